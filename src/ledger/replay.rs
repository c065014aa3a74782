//! Replay: what the rows must be, if the events are true. Pure.
//!
//! What lives here: projecting events to rows, judging grants and starts by the rules, and comparing rows. What does not:
//! reading either (`store`), and the chain (`verify`). Keeps the second half of I11: the last [`RowMark`] of every row and
//! the facts of the events that carry them against the tables.
//!
//! What the ledger cannot tell and so is not compared: whether an approver was in a group when they agreed (it says who was
//! asked and why; that they were in the group was checked then); leases, fences and processes; `posted_at`
//! and `differs` of a request; the thread of a run; what checks found last; versions of brakes and of the pause, and when a
//! failure that was put off is looked at again; how often a passkey has signed; inbox, outbox and messages.
//!
//! An event whose body was erased tells nothing any more. Rows of its run are compared with what came after it; where that
//! does not suffice, they are counted as not compared.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

use super::report::{At, Finding, Findings};
use crate::model::access::{Access, Members, gainers};
use crate::model::approval::{Asked, Because, Rules, Tally, tally};
use crate::model::catalog::{Stage, Subject};
use crate::model::chat::{Account, UserGroup};
use crate::model::event::{Brake, Covers, Happened, Record, RowMark, Scope, StartedUnasked, Under};
use crate::model::id::{
    AccessId, DelegationId, Digest, GrantId, HandoverId, InboxId, IncidentId, PasskeyId, PersonId, RequestId, RunId,
    RunbookName, ServiceName, TriggerName,
};
use crate::model::plan::PlanPolicy;
use crate::model::plan::{Plan, PlanStep, Sealed};
use crate::model::policy::{Automatic, Relaxed, Repeat, Unasked};
use crate::model::request::{Answer, Decision, Freeing, GrantState, OnPage, Proof, ReviewVerdict, Wish};
use crate::model::run::{AttemptState, Outcome, Verdict};
use crate::model::signature::{
    Basis, Counted, PublicKey, Signed, SignedDecision, break_rule, evidence, trigger_rule, unasked_rule,
};
use crate::passkey::{self, Assertion, Challenge};
use crate::store::{
    AccessCheck, AttemptCheck, AttemptKey, AutomationCheck, BrakeCheck, ChainRow, CoverCheck, DecisionCheck,
    DelegationCheck, FiringCheck, GrantCheck, HandoverCheck, IncidentCheck, KeyCheck, PasskeyCheck, RequestCheck,
    ReviewCheck, RunCheck,
};

/// Kinds that change no state row: erasing their bodies hides nothing that is compared.
const STATELESS: [&str; 29] = [
    "ledger_created",
    "check_turned",
    "check_flaps",
    "check_steady",
    "incident_noted",
    "incident_room_made",
    "incident_room_invited",
    "incident_room_refused",
    "incident_room_archived",
    "line_said",
    "line_edited",
    "catalog_loaded",
    "catalog_refused",
    "request_differs",
    "request_reminded",
    "request_rung",
    "ring_failed",
    "request_looked_at",
    "handover_reminded",
    "group_seen",
    "group_unseen",
    "was_away",
    "room_changed",
    "catalog_warned",
    "passkey_invited",
    "decision_linked",
    "passkey_used",
    "clock_jumped",
    super::verify::ERASED,
];

/// Kinds that tell of brakes, firings and the pause, and of no other row.
const OF_AUTOMATION: [&str; 5] =
    ["trigger_fired", "trigger_held", "trigger_released", "automation_paused", "automation_resumed"];

/// Kinds that tell of delegations and handovers, which belong to no run.
const OF_DUTIES: [&str; 5] =
    ["delegation_given", "delegation_ended", "handover_offered", "handover_taken", "handover_lapsed"];
/// Kinds that tell of keys, and of no other row.
const OF_KEYS: [&str; 2] = ["key_added", "key_retired"];
/// Kinds that tell of passkeys, and of no other row.
const OF_PASSKEYS: [&str; 2] = ["passkey_added", "passkey_removed"];

/// The kind that tells what was signed with a passkey. It changes no row, and answers rest on it.
const PAGE_USED: &str = "passkey_used";

/// How many characters of a value a finding shows.
const SHOWN: usize = 80;

/// What the events say of everything.
#[derive(Debug, Default)]
pub(super) struct Replay {
    plans: BTreeMap<Digest, PlanFacts>,
    /// Plans whose bytes are not theirs; said once.
    changed_plans: BTreeSet<Digest>,
    marks: BTreeMap<String, Mark>,
    runs: BTreeMap<RunId, RunFacts>,
    requests: BTreeMap<RequestId, RequestFacts>,
    grants: BTreeMap<GrantId, GrantFacts>,
    /// By request.
    broken: BTreeMap<RequestId, BrokenFacts>,
    /// When runs of each runbook were started because whoever asked may start it.
    unasked: BTreeMap<String, Vec<DateTime<Utc>>>,
    /// When each trigger started runs of each runbook by itself.
    automatic: BTreeMap<(TriggerName, RunbookName), Vec<DateTime<Utc>>>,
    /// By request.
    covers: BTreeMap<RequestId, CoverFacts>,
    /// The ledger's own name, which every signature names.
    ledger: Option<String>,
    /// Keys that grants are signed with.
    keys: BTreeMap<PublicKey, KeyFacts>,
    attempts: BTreeMap<AttemptKey, AttemptFacts>,
    /// By request, stage, person, and the line that gave it.
    decisions: BTreeMap<(RequestId, u32, PersonId, Option<i64>), DecisionFacts>,
    incidents: BTreeMap<IncidentId, IncidentFacts>,
    delegations: BTreeMap<DelegationId, DelegationFacts>,
    handovers: BTreeMap<HandoverId, HandoverFacts>,
    /// Whether automation is paused; `None` before the ledger began.
    automation: Option<AutomationFacts>,
    brakes: BTreeMap<(String, String), BrakeFacts>,
    /// Versions of who may do what.
    access: BTreeMap<AccessId, AccessFacts>,
    /// The last erased event that told of such a version.
    blind_access: Option<u64>,
    /// What was in force last; `None`: the ledger does not say.
    in_force: Option<Box<Access>>,
    /// Who was last seen in each group that a platform keeps.
    members: BTreeMap<UserGroup, BTreeSet<PersonId>>,
    /// What each trigger did for each service, with the event that says so.
    firings: BTreeMap<(String, String), Vec<FiringFacts>>,
    passkeys: BTreeMap<PasskeyId, PasskeyFacts>,
    /// What was signed on pages and has not been found in an answer yet: by request, person and credential.
    signed_pages: BTreeMap<(RequestId, PersonId, String), Vec<OnPage>>,
    /// Pages that were used.
    used_pages: BTreeSet<Digest>,
    /// How many events were erased that told what was signed, and have not been missed yet.
    blind_pages: u64,
    /// The last erased event that told of brakes, firings or the pause.
    blind_automation: Option<u64>,
    /// The last erased event that told of delegations or handovers.
    blind_duties: Option<u64>,
    /// Whether an event was erased that told of a key.
    blind_keys: bool,
    /// The last erased event that told of a passkey.
    blind_passkeys: Option<u64>,
    /// Runs of which an event was erased, with the last one. Nothing said before it is known to be the last word.
    blind: BTreeMap<RunId, u64>,
    /// The same of incidents.
    blind_incidents: BTreeMap<IncidentId, u64>,
    /// How many events were replayed, to tell earlier from later.
    turn: u64,
    /// How many rows were compared.
    pub(super) rows: u64,
    /// How much could not be compared.
    pub(super) not_compared: u64,
}

#[derive(Debug)]
struct PlanFacts {
    runbook: RunbookName,
    policy: Option<PlanPolicy>,
    /// Who may not agree although they did not ask.
    excluded: Vec<PersonId>,
    steps: Vec<StepFacts>,
}

#[derive(Debug, Clone, Copy)]
struct StepFacts {
    privileged: bool,
    /// Whether it may be repeated after an unknown outcome, because it only reads or doing it twice is doing it once.
    repeatable: bool,
    /// How often it may be tried again after it failed.
    times: u32,
}

/// The last mark of a row.
#[derive(Debug)]
struct Mark {
    state: String,
    version: i64,
    at: At,
    turn: u64,
}

#[derive(Debug, Default)]
struct RunFacts {
    planned: Option<Planned>,
    /// Who took it over last, and the event that says so.
    handed_to: Option<(At, u64, PersonId)>,
    /// What each state's evidence is: by state name, for it may come back to `stuck` more than once.
    evidence: BTreeMap<&'static str, Evidence>,
}

#[derive(Debug)]
struct Planned {
    at: At,
    when: DateTime<Utc>,
    scope: Scope,
    digest: Digest,
    runbook: String,
    requester: PersonId,
    account: String,
    room: String,
    trigger: Option<TriggerName>,
}

/// The columns beside a state.
#[derive(Debug, Clone)]
struct Evidence {
    at: At,
    turn: u64,
    by: Option<String>,
    step: Option<u32>,
    why: Option<String>,
}

#[derive(Debug)]
struct RequestFacts {
    at: At,
    when: DateTime<Utc>,
    run: RunId,
    code: String,
    retry_step: Option<u32>,
    wish: Option<Wish>,
    digest: Digest,
    requesters: Vec<PersonId>,
    /// Among whom one must agree, as the request itself says of a stuck step.
    needs: Vec<PersonId>,
    /// The event that said last who counts as having asked.
    handed: (At, u64),
    /// Of the stage that was asked last.
    expires_at: DateTime<Utc>,
    /// Who was asked; `None` if the ledger does not say so, as an older release's does not.
    asked: Option<Vec<Asked>>,
    decisions: Vec<Told>,
    /// The request that took its place.
    superseded_by: Option<RequestId>,
    ended: Option<Evidence>,
}

/// An answer, as far as it matters for a grant.
#[derive(Debug)]
struct Told {
    decision: Decision,
    /// Whether it came before the end of its stage.
    in_time: bool,
    /// The line that gave it.
    line: Option<i64>,
}

/// How a request came to be granted, if not by those whom it asked.
#[derive(Debug, Clone, Copy)]
struct How<'a> {
    automatic: Option<&'a TriggerName>,
    broken: Option<&'a PersonId>,
    under: Option<&'a Under>,
    unasked: Option<&'a StartedUnasked>,
    /// Denials that no longer counted, as it was signed.
    set_aside: &'a [Counted],
}

impl How<'_> {
    /// Whether an answer still counted then: it came in time, and its signature does not say that its giver had lost the right.
    fn counted(&self, told: &Told) -> bool {
        let Told { decision, in_time, line } = told;
        let is_it =
            |one: &Counted| one.stage == decision.stage && one.person == decision.person && Some(one.line.0) == *line;
        *in_time && !(decision.answer == Answer::Deny && self.set_aside.iter().any(is_it))
    }
}

/// The denials that a grant was signed to set aside. What the signature is worth is judged elsewhere.
fn set_aside(signed: Option<&Signed>) -> Vec<Counted> {
    let some = signed.filter(|signed| signed.statement.contains("\"set_aside\""));
    match some.and_then(|signed| signed.verify().ok()).map(|statement| statement.basis) {
        Some(Basis::Decisions { set_aside, .. }) => set_aside,
        Some(Basis::Rule { .. }) | None => Vec::new(),
    }
}

/// An approval that covers further runs, by the last event that says something of it.
#[derive(Debug)]
struct CoverFacts {
    at: At,
    turn: u64,
    /// When it was given.
    when: DateTime<Utc>,
    run: RunId,
    digest: Digest,
    runs: u32,
    until: DateTime<Utc>,
    used: u32,
    ended: Option<(PersonId, DateTime<Utc>)>,
}

/// Somebody started a run without agreement.
#[derive(Debug)]
struct BrokenFacts {
    at: At,
    when: DateTime<Utc>,
    turn: u64,
    person: PersonId,
    account: String,
    proof: Proof,
    reason: String,
    review_by: DateTime<Utc>,
    line: Option<i64>,
    /// Who said what of it, when, and by which event.
    reviewed: Option<(At, u64, PersonId, ReviewVerdict, String, DateTime<Utc>)>,
}

#[derive(Debug)]
struct GrantFacts {
    at: At,
    when: DateTime<Utc>,
    run: RunId,
    request: RequestId,
    digest: Digest,
    valid_until: DateTime<Utc>,
    start_by: Option<DateTime<Utc>>,
    /// Under which earlier approval, as which run.
    under: Option<(RequestId, u32)>,
    /// Whether nobody was asked because whoever asked may start it.
    unasked: bool,
    signed: Option<Signed>,
}

/// A key's life.
#[derive(Debug)]
struct KeyFacts {
    /// The event that told of it last.
    at: At,
    when: DateTime<Utc>,
    host: String,
    by: String,
    retired: Option<(DateTime<Utc>, String, String)>,
}

#[derive(Debug)]
struct AttemptFacts {
    at: At,
    when: DateTime<Utc>,
    grant: Option<GrantId>,
    ended: Option<EndedFacts>,
    /// Who said what came of it; without a verdict it was left out.
    judged: Option<(At, PersonId, Option<Verdict>)>,
}

#[derive(Debug)]
struct EndedFacts {
    /// How; `None` when nobody saw.
    outcome: Option<Outcome>,
    at: At,
    when: DateTime<Utc>,
    exit_code: Option<i32>,
    /// `None` when the event does not say one.
    summary: Option<String>,
    output: Option<Digest>,
}

/// What the events say of an incident: its opening, and what the columns that change say after the last of them.
#[derive(Debug)]
struct IncidentFacts {
    at: At,
    when: DateTime<Utc>,
    scope: Scope,
    service: Option<String>,
    title: String,
    by: Option<PersonId>,
    room: String,
    line: Option<i64>,
    /// The event that changed it last.
    changed: (At, u64),
    failed_at: DateTime<Utc>,
    acknowledged: Option<(PersonId, DateTime<Utc>)>,
    mitigated_at: Option<DateTime<Utc>>,
    resolved: Option<(PersonId, DateTime<Utc>, Option<String>)>,
}

/// What the events say of a version of who may do what.
#[derive(Debug)]
struct AccessFacts {
    at: At,
    when: DateTime<Utc>,
    fingerprint: Digest,
    sha256: Digest,
    /// Its code and until when it waits, if it waited.
    waits: Option<(String, DateTime<Utc>)>,
    /// Who is named as having written it, by the last event that says so.
    changed_by: (u64, Vec<PersonId>),
    /// What was agreed to, and by which event.
    agreed: Option<(At, Digest)>,
    refused: Option<(PersonId, String)>,
}

impl AccessFacts {
    fn new(at: At, when: DateTime<Utc>, fingerprint: Digest, sha256: Digest) -> Self {
        Self { at, when, fingerprint, sha256, waits: None, changed_by: (0, Vec::new()), agreed: None, refused: None }
    }
}

#[derive(Debug)]
struct DelegationFacts {
    at: At,
    giver: PersonId,
    receiver: PersonId,
    since: DateTime<Utc>,
    until: DateTime<Utc>,
    line: Option<i64>,
    /// When it was taken back, and the event that says so.
    ended: Option<(At, DateTime<Utc>)>,
}

#[derive(Debug)]
struct HandoverFacts {
    at: At,
    when: DateTime<Utc>,
    from: PersonId,
    to: PersonId,
    reason: Option<String>,
    requests: Vec<RequestId>,
    runs: Vec<RunId>,
    pause: bool,
    room: String,
    /// When it was taken or lapsed, and the event that says so.
    ended: Option<(At, DateTime<Utc>)>,
    taken_by: Option<PersonId>,
}

/// Whether automation is paused, by the last event that says so.
#[derive(Debug)]
struct AutomationFacts {
    at: At,
    turn: u64,
    paused: Option<(PersonId, DateTime<Utc>, Option<String>)>,
}

/// A passkey, by the events that added and removed it.
#[derive(Debug)]
struct PasskeyFacts {
    at: At,
    turn: u64,
    person: PersonId,
    name: String,
    credential: String,
    public_key: String,
    removed: Option<(DateTime<Utc>, At)>,
}

/// What somebody is said to have signed on a page of their own.
struct Used {
    passkey: PasskeyId,
    person: PersonId,
    request: RequestId,
    digest: Digest,
    link: Digest,
    done: OnPage,
}

/// What a passkey has signed, as told: each base64url.
struct Signature {
    client_data: String,
    authenticator_data: String,
    signature: String,
}

/// A trigger's brakes for a service, by the last event that changed them.
#[derive(Debug)]
struct BrakeFacts {
    at: At,
    turn: u64,
    held: Option<(Brake, DateTime<Utc>, String)>,
    /// When it was let go on last.
    released: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct FiringFacts {
    at: At,
    when: DateTime<Utc>,
    run: Option<RunId>,
}

#[derive(Debug)]
struct DecisionFacts {
    at: At,
    when: DateTime<Utc>,
    run: Option<RunId>,
    account: String,
    answer: Answer,
    reason: Option<String>,
    on_behalf_of: Option<PersonId>,
    proof: Proof,
    /// When it was taken back, by which line, and the event that says so.
    taken_back: Option<(At, DateTime<Utc>, Option<i64>)>,
}

/// A value as a finding shows it: quoted, escaped, cut.
fn shown(value: Option<&str>) -> String {
    let Some(value) = value else { return "nothing".to_owned() };
    let mut text: String = value.chars().take(SHOWN).flat_map(char::escape_default).collect();
    if value.chars().nth(SHOWN).is_some() {
        text += "…";
    }
    format!("`{text}`")
}

fn moment(when: DateTime<Utc>) -> String {
    when.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// A digest as stored, whatever its length.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether so many in a window are not used up by those before.
fn left<'a>(
    before: impl IntoIterator<Item = &'a DateTime<Utc>>,
    per: std::time::Duration,
    runs: u32,
    when: DateTime<Utc>,
) -> bool {
    let window = chrono::TimeDelta::from_std(per).unwrap_or(chrono::TimeDelta::MAX);
    let count = before.into_iter().filter(|at| when.signed_duration_since(**at) < window).count();
    u32::try_from(count).is_ok_and(|count| count < runs)
}

/// Whom a stage can have asked, as far as the ledger can know: those it names, and, when it asks a group, anybody who was
/// let decide, since membership was checked at that moment and is not recorded.
fn could_decide(stage: &Stage, person: &PersonId) -> bool {
    stage.approvers.iter().any(|subject| match subject {
        Subject::Person(named) => named == person,
        Subject::Group(_) | Subject::Rota(_) => true,
        // A plan names the person in its place.
        Subject::Accountable => false,
    })
}

/// Whether somebody was asked for the answer that they gave: in that stage, in their own name or the other's.
fn was_asked(asked: &Asked, decision: &Decision) -> bool {
    let whose = match &asked.because {
        Because::Delegate(giver) => decision.on_behalf_of.as_ref() == Some(giver),
        Because::Stage | Because::Escalation(_) | Because::Turn | Because::Needed => decision.on_behalf_of.is_none(),
    };
    // Who is needed in particular is asked with the last stage and answers beside it.
    let beside = matches!(asked.because, Because::Needed | Because::Delegate(_)) && asked.stage + 1 == decision.stage;
    let there = asked.stage == decision.stage && asked.because != Because::Needed;
    whose && asked.person == decision.person && (there || beside)
}

/// One row being compared.
struct Row<'a> {
    name: String,
    /// The state that its last mark says; the table's, when there is none.
    state: String,
    /// Its version by that mark.
    version: i64,
    /// The event of that mark.
    at: Option<At>,
    /// The last erased event of its run, if there is one: what is not told may stand in it.
    blind: Option<u64>,
    not_compared: u64,
    findings: &'a mut Findings,
}

impl Row<'_> {
    /// Compares a column with what an event says of it for good.
    fn same(&mut self, column: &'static str, table: Option<String>, ledger: Option<String>, at: At) {
        if table != ledger {
            let (table, ledger) = (shown(table.as_deref()), shown(ledger.as_deref()));
            self.findings.push(Finding::Column { row: self.name.clone(), column, table, ledger, at });
        }
    }

    /// Compares a column with what an event said last: an erased event after it may have said something else.
    fn same_since(&mut self, turn: u64, column: &'static str, table: Option<String>, ledger: Option<String>, at: At) {
        if table != ledger && self.blind.is_some_and(|blind| blind > turn) {
            self.not_compared += 1;
        } else {
            self.same(column, table, ledger, at);
        }
    }

    /// An event that should tell of the row is not there.
    fn untold(&mut self, kind: Option<&'static str>) {
        if self.blind.is_some() {
            self.not_compared += 1;
        } else {
            self.findings.push(Finding::Untold { row: self.name.clone(), kind });
        }
    }

    /// Compares the columns beside a state. `kind` is the event that must tell of them in this state; `None` when the
    /// state has none.
    fn evidence(
        &mut self,
        kind: Option<&'static str>,
        told: Option<&Evidence>,
        columns: [(&'static str, Option<String>); 3],
    ) {
        let (turn, at, ledger) = match (kind, told) {
            (Some(_), Some(told)) => {
                (told.turn, told.at, [told.by.clone(), told.step.map(|step| step.to_string()), told.why.clone()])
            }
            (Some(kind), None) => return self.untold(Some(kind)),
            // Without a mark, that was said already.
            (None, _) => match self.at {
                Some(at) => (0, at, [None, None, None]),
                None => return,
            },
        };
        for ((column, table), ledger) in columns.into_iter().zip(ledger) {
            self.same_since(turn, column, table, ledger, at);
        }
    }
}

impl Replay {
    /// Takes a plan before the events that name it.
    pub(super) fn plan(&mut self, digest: &[u8], bytes: Vec<u8>, findings: &mut Findings) {
        let sealed = Sealed::from_stored(bytes);
        if sealed.digest().0 != *digest {
            // Its bytes say nothing about what was agreed to.
            findings.push(Finding::Plan { digest: hex(digest), found: sealed.digest() });
            self.changed_plans.extend(Digest::from_slice(digest));
            return;
        }
        if let Ok(plan) = sealed.open() {
            let excluded = plan.excluded().to_vec();
            let Plan { runbook, policy, steps, .. } = plan;
            let facts = |step: &PlanStep| StepFacts {
                privileged: step.privileged,
                repeatable: step.idempotent || !step.privileged,
                times: step.retry.map_or(0, |retry| retry.times),
            };
            let steps = steps.iter().map(facts).collect();
            self.plans.insert(sealed.digest(), PlanFacts { runbook, policy, excluded, steps });
        }
    }

    /// An event whose body was erased.
    pub(super) fn erased(&mut self, row: &ChainRow, at: At, findings: &mut Findings) {
        self.turn += 1;
        if ["group_seen", "group_unseen"].contains(&row.kind.as_str()) {
            self.members.clear();
        }
        if row.kind == PAGE_USED {
            self.blind_pages += 1;
        }
        if STATELESS.contains(&row.kind.as_str()) {
            return;
        }
        if OF_AUTOMATION.contains(&row.kind.as_str()) {
            self.blind_automation = Some(self.turn);
            return;
        }
        if row.kind.starts_with("access_") {
            self.blind_access = Some(self.turn);
            return;
        }
        if OF_DUTIES.contains(&row.kind.as_str()) {
            self.blind_duties = Some(self.turn);
            // One that was taken may have told of the pause.
            if row.kind == "handover_taken" {
                self.blind_automation = Some(self.turn);
            }
            return;
        }
        if OF_KEYS.contains(&row.kind.as_str()) {
            self.blind_keys = true;
            return;
        }
        if OF_PASSKEYS.contains(&row.kind.as_str()) {
            self.blind_passkeys = Some(self.turn);
            return;
        }
        match (row.scope.run, row.scope.incident) {
            (Some(run), _) => {
                self.blind.insert(run, self.turn);
            }
            (None, Some(incident)) => {
                self.blind_incidents.insert(incident, self.turn);
            }
            // Nobody can tell which rows it told of.
            (None, None) => findings.push(Finding::Unreadable { at, kind: row.kind.clone(), schema: row.schema }),
        }
    }

    /// Takes the next event.
    pub(super) fn event(&mut self, row: &ChainRow, record: Record, at: At, findings: &mut Findings) {
        self.turn += 1;
        // First what it says, judged by the marks before it; then its own marks.
        self.happened(row, record.what, at, findings);
        for RowMark { row, state, version } in record.rows {
            let mark = Mark { state, version, at, turn: self.turn };
            if let Some(before) = self.marks.get(&row) {
                let back =
                    before.version > mark.version || (before.version == mark.version && before.state != mark.state);
                if back {
                    findings.push(Finding::Backwards { row: row.clone(), at });
                }
            }
            self.marks.insert(row, mark);
        }
    }

    fn happened(&mut self, row: &ChainRow, what: Happened, at: At, findings: &mut Findings) {
        let when = row.at;
        let turn = self.turn;
        let plain = |by: Option<PersonId>, step, why| Evidence { at, turn, by: by.map(|by| by.to_string()), step, why };
        match what {
            Happened::LedgerCreated { trial: _, ledger } => {
                self.ledger.get_or_insert(ledger);
                self.automation = Some(AutomationFacts { at, turn, paused: None });
            }
            Happened::AutomationPaused { by, reason } => {
                self.automation = Some(AutomationFacts { at, turn, paused: Some((by, when, reason)) });
            }
            Happened::AutomationResumed { by: _ } => {
                self.automation = Some(AutomationFacts { at, turn, paused: None });
            }
            Happened::TriggerHeld { trigger, service, by, why, until: _ } => match by {
                Brake::AtMost | Brake::Flapping | Brake::NoEffect => {
                    let facts = self.brake_facts(&trigger, &service, at);
                    (facts.at, facts.turn, facts.held) = (at, turn, Some((by, when, why)));
                }
                // Put off, and looked at again by itself.
                Brake::Cooldown | Brake::Busy | Brake::Stuck | Brake::Paused | Brake::NoPlan => {}
            },
            Happened::DelegationGiven { delegation, giver, receiver, since, until } => {
                let line = row.cause.map(|line| line.0);
                let facts = DelegationFacts { at, giver, receiver, since, until, line, ended: None };
                self.delegations.insert(delegation, facts);
            }
            Happened::DelegationEnded { delegation, giver: _, receiver: _ } => {
                if let Some(facts) = self.delegations.get_mut(&delegation) {
                    facts.ended = Some((at, when));
                }
            }
            Happened::HandoverOffered { handover, from, to, reason, requests, codes: _, runs, pause, room } => {
                let room = room.to_string();
                let facts = HandoverFacts {
                    at,
                    when,
                    from,
                    to,
                    reason,
                    requests,
                    runs,
                    pause,
                    room,
                    ended: None,
                    taken_by: None,
                };
                self.handovers.insert(handover, facts);
            }
            Happened::HandoverTaken { handover, from, by, codes: _, runs: _, pause } => {
                if let Some(facts) = self.handovers.get_mut(&handover) {
                    (facts.ended, facts.taken_by) = (Some((at, when)), Some(by.clone()));
                }
                // Whoever takes over answers for the pause.
                let theirs = |paused: &(PersonId, DateTime<Utc>, Option<String>)| pause && paused.0 == from;
                if let Some(facts) = &mut self.automation
                    && let Some(paused) = facts.paused.as_mut().filter(|paused| theirs(paused))
                {
                    paused.0 = by;
                    (facts.at, facts.turn) = (at, turn);
                }
            }
            Happened::HandoverLapsed { handover, from: _, to: _ } => {
                if let Some(facts) = self.handovers.get_mut(&handover) {
                    facts.ended = Some((at, when));
                }
            }
            Happened::RequestHandedOver { request, code: _, run: _, from: _, to: _, requesters } => {
                if let Some(facts) = self.requests.get_mut(&request) {
                    (facts.requesters, facts.handed) = (requesters, (at, turn));
                }
            }
            Happened::RunHandedOver { run, from: _, to } => {
                self.runs.entry(run).or_default().handed_to = Some((at, turn, to));
            }
            Happened::TriggerReleased { trigger, service, by: _ } => {
                let facts = self.brake_facts(&trigger, &service, at);
                (facts.at, facts.turn, facts.held, facts.released) = (at, turn, None, Some(when));
            }
            Happened::AccessBegun { access, fingerprint, sha256, snapshot } => {
                self.access.insert(access, AccessFacts::new(at, when, fingerprint, sha256));
                self.in_force = Some(snapshot);
            }
            Happened::AccessTaken { access, fingerprint, sha256, changed_by, snapshot, .. } => {
                let changed_by = (turn, changed_by);
                self.access
                    .insert(access, AccessFacts { changed_by, ..AccessFacts::new(at, when, fingerprint, sha256) });
                self.in_force = Some(snapshot);
            }
            Happened::AccessProposed { access, code, fingerprint, sha256, changed_by, expires_at, .. } => {
                let facts = AccessFacts {
                    waits: Some((code.to_string(), expires_at)),
                    changed_by: (turn, changed_by),
                    ..AccessFacts::new(at, when, fingerprint, sha256)
                };
                self.access.insert(access, facts);
            }
            // What was countersigned is what was proposed.
            Happened::AccessCountersigned { access, fingerprint, by, account, snapshot, .. } => {
                for why in self.wrong_with_countersigning(access, (&by, &account), Some(&snapshot), when) {
                    findings.push(Finding::Access { access, at, why });
                }
                if let Some(facts) = self.access.get_mut(&access) {
                    facts.agreed = Some((at, fingerprint));
                }
                self.in_force = Some(snapshot);
            }
            Happened::AccessAccepted { access, fingerprint, snapshot, .. } => {
                if let Some(facts) = self.access.get_mut(&access) {
                    facts.agreed = Some((at, fingerprint));
                }
                self.in_force = Some(snapshot);
            }
            Happened::AccessRefused { access, by, account, why, .. } => {
                for why in self.wrong_with_countersigning(access, (&by, &account), None, when) {
                    findings.push(Finding::Access { access, at, why });
                }
                if let Some(facts) = self.access.get_mut(&access) {
                    facts.refused = Some((by, why));
                }
            }
            Happened::GroupSeen { user_group, members, .. } => {
                self.members.insert(user_group, members.into_iter().collect());
            }
            Happened::GroupUnseen { user_group, .. } => {
                self.members.remove(&user_group);
            }
            Happened::AccessAuthors { access, changed_by } => {
                if let Some(facts) = self.access.get_mut(&access) {
                    facts.changed_by = (turn, changed_by);
                }
            }
            Happened::TriggerFired { trigger, service, run, .. } => {
                let fired = self.firings.entry((trigger.to_string(), service.to_string())).or_default();
                fired.push(FiringFacts { at, when, run });
            }
            Happened::LineSaid { .. }
            | Happened::LineEdited { .. }
            | Happened::CatalogLoaded { .. }
            | Happened::CatalogRefused { .. }
            | Happened::RequestDiffers { .. }
            | Happened::RequestReminded { .. }
            | Happened::RequestRung { .. }
            | Happened::RingFailed { .. }
            | Happened::RequestLookedAt { .. }
            | Happened::HandoverReminded { .. }
            | Happened::GrantEnded { .. }
            | Happened::RunSucceeded { .. }
            | Happened::CheckTurned { .. }
            | Happened::CheckFlaps { .. }
            | Happened::CheckSteady { .. }
            | Happened::IncidentNoted { .. }
            | Happened::IncidentRoomMade { .. }
            | Happened::IncidentRoomInvited { .. }
            | Happened::IncidentRoomRefused { .. }
            | Happened::IncidentRoomArchived { .. }
            | Happened::AccessExpired { .. }
            | Happened::AccessSuperseded { .. }
            | Happened::WasAway { .. }
            | Happened::RoomChanged { .. }
            | Happened::CatalogWarned { .. }
            | Happened::PasskeyInvited { .. }
            | Happened::DecisionLinked { .. }
            | Happened::ClockJumped { .. } => {}
            Happened::PasskeyUsed {
                passkey,
                person,
                request,
                code: _,
                digest,
                link,
                answer: done,
                client_data,
                authenticator_data,
                signature,
            } => {
                let signature = Signature { client_data, authenticator_data, signature };
                let used = Used { passkey, person, request, digest, link, done };
                if let Err(why) = self.page_used(used, &signature) {
                    findings.push(Finding::Passkey { request, at, why });
                }
            }
            Happened::PasskeyAdded { passkey, person, name, credential, public_key } => {
                let turn = self.turn;
                let facts = PasskeyFacts { at, turn, person, name, credential, public_key, removed: None };
                self.passkeys.insert(passkey, facts);
            }
            Happened::PasskeyRemoved { passkey, person: _, because: _ } => {
                if let Some(facts) = self.passkeys.get_mut(&passkey) {
                    (facts.turn, facts.removed) = (self.turn, Some((when, at)));
                }
            }
            Happened::IncidentOpened { incident, service, title, check: _, by, room, since } => {
                let facts = IncidentFacts {
                    at,
                    when,
                    scope: row.scope.clone(),
                    service: service.map(|service| service.to_string()),
                    title,
                    by,
                    room: room.to_string(),
                    line: row.cause.map(|line| line.0),
                    changed: (at, turn),
                    failed_at: since,
                    acknowledged: None,
                    mitigated_at: None,
                    resolved: None,
                };
                self.incidents.insert(incident, facts);
            }
            Happened::IncidentAcknowledged { incident, by } => {
                self.incident_changed(incident, at, |facts| facts.acknowledged = Some((by, when)));
            }
            Happened::IncidentMitigated { incident, since, millis: _ } => {
                self.incident_changed(incident, at, |facts| facts.mitigated_at = Some(since));
            }
            Happened::IncidentRecurred { incident, check: _, since } => {
                self.incident_changed(incident, at, |facts| {
                    facts.failed_at = since;
                    facts.mitigated_at = None;
                });
            }
            Happened::IncidentResolved { incident, by, reason, millis: _, asked: _, waited_millis: _ } => {
                self.incident_changed(incident, at, |facts| facts.resolved = Some((by, when, reason)));
            }
            Happened::IncidentReopened { incident, by: _, reason: _ } => {
                self.incident_changed(incident, at, |facts| {
                    facts.failed_at = when;
                    facts.mitigated_at = None;
                    facts.resolved = None;
                });
            }
            Happened::RunPlanned { run, deed: _, runbook, params: _, digest, requester, account, room, trigger } => {
                self.runs.entry(run).or_default().planned = Some(Planned {
                    at,
                    when,
                    scope: row.scope.clone(),
                    digest,
                    runbook: runbook.to_string(),
                    requester,
                    account: account.to_string(),
                    room: room.to_string(),
                    trigger,
                });
            }
            Happened::RequestAsked {
                request,
                code,
                run,
                retry_step,
                digest,
                requesters,
                stages,
                expires_at,
                excluded,
                wish,
                carried,
            } => {
                if let Some(plan) = self.plans.get(&digest) {
                    if plan.policy.as_ref().is_none_or(|policy| policy.stages != stages) {
                        let why = "the stages that it names are not those of its plan".to_owned();
                        findings.push(Finding::Grant { request, at, why });
                    }
                    if plan.excluded != excluded {
                        let why = "those whom it leaves out are not those whom its plan does".to_owned();
                        findings.push(Finding::Grant { request, at, why });
                    }
                }
                self.requests.insert(
                    request,
                    RequestFacts {
                        at,
                        when,
                        run,
                        code: code.to_string(),
                        retry_step,
                        wish,
                        digest,
                        requesters,
                        needs: carried.map(|carried| carried.needs).unwrap_or_default(),
                        handed: (at, turn),
                        expires_at,
                        asked: None,
                        decisions: Vec::new(),
                        superseded_by: None,
                        ended: None,
                    },
                );
            }
            Happened::PeopleAsked { request, code: _, run: _, stage, people, expires_at } => {
                if let Some(facts) = self.requests.get_mut(&request) {
                    facts.expires_at = expires_at;
                    let people = people.into_iter();
                    let asked = people.map(|who| Asked { person: who.person, stage, because: who.because });
                    facts.asked.get_or_insert_default().extend(asked);
                }
            }
            Happened::DecisionTakenBack { request, code: _, stage, person, account: _, line, passkey: _ } => {
                if let Some(asked) = self.requests.get_mut(&request) {
                    let is_it = |told: &Told| {
                        told.decision.person == person && told.decision.stage == stage && told.line == Some(line.0)
                    };
                    asked.decisions.retain(|told| !is_it(told));
                }
                if let Some(facts) = self.decisions.get_mut(&(request, stage, person, Some(line.0))) {
                    facts.taken_back = Some((at, when, row.cause.map(|line| line.0)));
                }
            }
            Happened::Decided { request, code: _, stage, person, account, answer, reason, on_behalf_of, proof } => {
                let line = row.cause.map(|line| line.0);
                if let Err(why) = self.proved(request, &person, &proof, answer.into()) {
                    findings.push(Finding::Passkey { request, at, why });
                }
                let asked = self.requests.get_mut(&request);
                let run = asked.as_ref().map(|asked| asked.run).or(row.scope.run);
                if let Some(asked) = asked {
                    let relaxed = self.plans.get(&asked.digest).and_then(|plan| plan.policy.as_ref());
                    let may = asked.retry_step.is_none()
                        && relaxed.is_some_and(|policy| policy.relaxed.contains(&Relaxed::RequesterMayAgree));
                    if answer == Answer::Approve && asked.requesters.contains(&person) && !may {
                        findings.push(Finding::OwnApproval { request, person: person.clone(), at });
                    }
                    let decision = Decision {
                        person: person.clone(),
                        stage,
                        answer,
                        on_behalf_of: on_behalf_of.clone(),
                        proof: proof.clone(),
                    };
                    asked.decisions.push(Told { decision, in_time: when <= asked.expires_at, line });
                }
                let (account, taken_back) = (account.to_string(), None);
                let facts = DecisionFacts { at, when, run, account, answer, reason, on_behalf_of, proof, taken_back };
                self.decisions.insert((request, stage, person, line), facts);
            }
            Happened::RequestGranted {
                request,
                code: _,
                run,
                grant,
                digest,
                by,
                automatic,
                valid_until,
                start_by,
                relaxed: _,
                broken,
                under,
                unasked,
                covers,
                signed,
            } => {
                let set_aside = set_aside(signed.as_ref());
                let how = How {
                    set_aside: &set_aside,
                    automatic: automatic.as_ref(),
                    broken: broken.as_ref(),
                    under: under.as_ref(),
                    unasked: unasked.as_ref(),
                };
                for why in self.wrong_with_grant(request, run, digest, &by, how, when) {
                    findings.push(Finding::Grant { request, at, why });
                }
                if let Some(Covers { runs, until }) = covers {
                    let facts = CoverFacts { at, turn, when, run, digest, runs, until, used: 1, ended: None };
                    self.covers.insert(request, facts);
                }
                if let Some(under) = &under
                    && let Some(cover) = self.covers.get_mut(&under.request)
                {
                    (cover.used, cover.at, cover.turn) = (cover.used + 1, at, turn);
                }
                let under = under.map(|under| (under.request, under.number));
                let facts = GrantFacts {
                    at,
                    when,
                    run,
                    request,
                    digest,
                    valid_until,
                    start_by,
                    under,
                    unasked: unasked.is_some(),
                    signed,
                };
                if let (Some(trigger), Some(plan)) = (&automatic, self.plans.get(&digest)) {
                    self.automatic.entry((trigger.clone(), plan.runbook.clone())).or_default().push(when);
                }
                if unasked.is_some() {
                    let runbook = self.runs.get(&run).and_then(|run| run.planned.as_ref()).map(|p| p.runbook.clone());
                    self.unasked.entry(runbook.unwrap_or_default()).or_default().push(when);
                }
                let rule = match (&automatic, self.broken.get(&request).filter(|_| broken.is_some())) {
                    (Some(trigger), _) => Some(trigger_rule(trigger)),
                    (None, Some(broken)) => broken.line.map(|line| break_rule(&broken.person, InboxId(line))),
                    (None, None) => unasked.as_ref().map(|started| unasked_rule(&started.person)),
                };
                for why in self.wrong_with_signature(grant, &facts, &by, rule.as_deref()) {
                    findings.push(Finding::Grant { request, at, why });
                }
                self.grants.insert(grant, facts);
            }
            Happened::CoverEnded { request, code: _, run: _, by, used: _ } => {
                if let Some(cover) = self.covers.get_mut(&request) {
                    (cover.ended, cover.at, cover.turn) = (Some((by, when)), at, turn);
                }
            }
            Happened::LaterRefused { request, code: _, run, not_before: _, why: _ } => {
                // It belongs to an approval that was given, of a run of which nothing was started.
                let given = self.grants.values().any(|grant| grant.request == request && grant.run == run);
                let begun = self.attempts.keys().any(|key| key.run == run);
                if begun || !given {
                    let why = "it was said not to be started, and was never approved or had begun".to_owned();
                    findings.push(Finding::Grant { request, at, why });
                }
            }
            Happened::GlassBroken { request, person, account, proof, reason, review_by, .. } => {
                let line = row.cause.map(|line| line.0);
                if let Err(why) = self.proved(request, &person, &proof, OnPage::BreakGlass) {
                    findings.push(Finding::Passkey { request, at, why });
                }
                let account = account.to_string();
                let facts =
                    BrokenFacts { at, when, turn, person, account, proof, reason, review_by, line, reviewed: None };
                self.broken.insert(request, facts);
            }
            Happened::ReviewOverdue { .. } => {}
            Happened::Reviewed { request, by, verdict, words, .. } => {
                let own = self.broken.get(&request).is_some_and(|broken| broken.person == by);
                if own || self.requests.get(&request).is_some_and(|asked| asked.requesters.contains(&by)) {
                    let why = format!("{by} reviewed what they did or asked for themselves");
                    findings.push(Finding::Grant { request, at, why });
                }
                if let Some(broken) = self.broken.get_mut(&request) {
                    broken.reviewed = Some((at, turn, by, verdict, words, when));
                }
            }
            Happened::KeyAdded { key, host, by } => {
                // What is there already stays as it was told first.
                self.keys.entry(key).or_insert(KeyFacts { at, when, host, by, retired: None });
            }
            Happened::KeyRetired { key, at: from, by, why } => match self.keys.get_mut(&key) {
                Some(facts) => {
                    facts.at = at;
                    facts.retired.get_or_insert((from, by, why));
                }
                None if self.blind_keys => self.not_compared += 1,
                None => findings.push(Finding::Untold { row: key_name(key), kind: Some("key_added") }),
            },
            Happened::RequestDenied { request, code: _, run, by, why } => {
                self.request_ended(request, plain(Some(by.clone()), None, why.clone()));
                self.evidence(run, "denied", plain(Some(by), None, why));
            }
            Happened::RequestExpired { request, code: _, run: _ } => {
                self.request_ended(request, plain(None, None, None));
            }
            Happened::RequestWithdrawn { request, code: _, run, by } => {
                self.request_ended(request, plain(Some(by.clone()), None, None));
                self.evidence(run, "withdrawn", plain(Some(by), None, None));
            }
            Happened::RequestSentBack { request, code: _, run, by, why } => {
                self.request_ended(request, plain(Some(by.clone()), None, Some(why)));
                self.evidence(run, "withdrawn", plain(Some(by), None, None));
            }
            Happened::RequestSuperseded { request, code: _, run, by, newer, newer_code: _ } => {
                self.request_ended(request, plain(None, None, None));
                if let Some(asked) = self.requests.get_mut(&request) {
                    asked.superseded_by = Some(newer);
                }
                self.evidence(run, "withdrawn", plain(Some(by), None, None));
            }
            Happened::AttemptStarted { run, step, number, digest, grant, executor: _ } => {
                let key = AttemptKey { run, step, number };
                if let Some(why) = self.wrong_with_start(key, digest, grant, when) {
                    findings.push(Finding::Attempt { row: attempt_name(key), at, why });
                }
                self.attempts.insert(key, AttemptFacts { at, when, grant, ended: None, judged: None });
            }
            Happened::AttemptEnded {
                run,
                step,
                number,
                outcome,
                exit_code,
                millis: _,
                summary,
                output_sha256,
                checks: _,
            } => {
                let ended = EndedFacts {
                    outcome: Some(outcome),
                    at,
                    when,
                    exit_code,
                    summary: Some(summary),
                    output: output_sha256,
                };
                self.attempt_ended(AttemptKey { run, step, number }, ended);
            }
            // Changes no state.
            Happened::AttemptProgress { .. } => {}
            Happened::AttemptLost { run, step, number, why: _ } => {
                let ended = EndedFacts { outcome: None, at, when, exit_code: None, summary: None, output: None };
                self.attempt_ended(AttemptKey { run, step, number }, ended);
            }
            Happened::AttemptJudged { run, step, number, by, verdict, why, request } => {
                let what = match verdict {
                    Verdict::Worked => Freeing::JudgeWorked,
                    Verdict::Failed => Freeing::JudgeFailed,
                };
                let key = AttemptKey { run, step, number };
                if let Some(why) = self.wrong_with_freeing(key, request, Wish { what, by: by.clone(), why }) {
                    findings.push(Finding::Attempt { row: attempt_name(key), at, why });
                }
                if let Some(attempt) = self.attempts.get_mut(&AttemptKey { run, step, number }) {
                    attempt.judged = Some((at, by, Some(verdict)));
                }
            }
            Happened::AttemptSkipped { run, step, number, by, why, request } => {
                let key = AttemptKey { run, step, number };
                if let Some(why) =
                    self.wrong_with_freeing(key, request, Wish { what: Freeing::Skip, by: by.clone(), why })
                {
                    findings.push(Finding::Attempt { row: attempt_name(key), at, why });
                }
                if let Some(attempt) = self.attempts.get_mut(&key) {
                    attempt.judged = Some((at, by, None));
                }
            }
            Happened::RunFailed { run, step, why } => {
                self.evidence(run, "failed", plain(None, Some(step), Some(why)));
            }
            Happened::RunStuck { run, step, why } => {
                self.evidence(run, "stuck", plain(None, Some(step), Some(why)));
            }
            Happened::RunStopping { run, by } => self.evidence(run, "stopping", plain(Some(by), None, None)),
            Happened::RunStopped { run, by, .. } => self.evidence(run, "stopped", plain(Some(by), None, None)),
        }
    }

    fn brake_facts(&mut self, trigger: &TriggerName, service: &ServiceName, at: At) -> &mut BrakeFacts {
        let turn = self.turn;
        let of = (trigger.to_string(), service.to_string());
        self.brakes.entry(of).or_insert(BrakeFacts { at, turn, held: None, released: None })
    }

    fn incident_changed(&mut self, incident: IncidentId, at: At, change: impl FnOnce(&mut IncidentFacts)) {
        let turn = self.turn;
        if let Some(facts) = self.incidents.get_mut(&incident) {
            facts.changed = (at, turn);
            change(facts);
        }
    }

    fn evidence(&mut self, run: RunId, state: &'static str, evidence: Evidence) {
        self.runs.entry(run).or_default().evidence.insert(state, evidence);
    }

    fn request_ended(&mut self, request: RequestId, evidence: Evidence) {
        if let Some(asked) = self.requests.get_mut(&request) {
            asked.ended = Some(evidence);
        }
    }

    fn attempt_ended(&mut self, key: AttemptKey, ended: EndedFacts) {
        if let Some(attempt) = self.attempts.get_mut(&key) {
            attempt.ended = Some(ended);
        }
    }

    /// What a grant offends against, counted from the decisions before it.
    fn wrong_with_grant(
        &mut self,
        request: RequestId,
        run: RunId,
        digest: Digest,
        by: &[PersonId],
        how: How<'_>,
        when: DateTime<Utc>,
    ) -> Vec<String> {
        let How { automatic, broken, under, unasked, set_aside: _ } = how;
        let Some(asked) = self.requests.get(&request) else {
            if self.blind.contains_key(&run) {
                self.not_compared += 1;
                return Vec::new();
            }
            return vec!["nobody asked for it".to_owned()];
        };
        let mut wrong = Vec::new();
        if asked.run != run {
            wrong.push(format!("it was asked for run/{} and granted for run/{run}", asked.run));
        }
        if asked.digest != digest {
            wrong.push(format!("the plan {} was asked for and {} granted", asked.digest.short(), digest.short()));
        }
        if when > asked.expires_at {
            wrong.push(format!("it had expired at {}", moment(asked.expires_at)));
        }
        let policy = self.plans.get(&digest).and_then(|plan| plan.policy.as_ref());
        let may = asked.retry_step.is_none()
            && policy.is_some_and(|policy| policy.relaxed.contains(&Relaxed::RequesterMayAgree));
        if let Some(under) = under {
            if self.blind.contains_key(&run)
                || self.requests.get(&under.request).is_none_or(|o| self.blind.contains_key(&o.run))
            {
                self.not_compared += 1;
                return wrong;
            }
            wrong.extend(self.wrong_with_under(asked, digest, under, how, when));
            return wrong;
        }
        if let Some(own) = by.iter().find(|person| asked.requesters.contains(person) && !may) {
            wrong.push(format!("{own} asked for it and is named among those who agreed"));
        }
        let approved = |person: &PersonId| {
            let said = |told: &Told| told.decision.person == *person && told.decision.answer == Answer::Approve;
            asked.decisions.iter().any(said)
        };
        // An erased decision cannot be counted any more.
        if self.blind.contains_key(&run) {
            self.not_compared += 1;
            return wrong;
        }
        if let Some(stranger) = by.iter().find(|person| !approved(person)) {
            wrong.push(format!("{stranger} is named among those who agreed and did not"));
        }
        if let Some(person) = broken {
            wrong.extend(self.wrong_with_break(asked, request, policy, person));
            return wrong;
        }
        if let Some(started) = unasked {
            wrong.extend(self.wrong_with_unasked(asked, run, digest, started, when));
            return wrong;
        }
        if let Some(trigger) = automatic {
            wrong.extend(self.wrong_with_automatic(asked, run, digest, by, (trigger, when)));
            return wrong;
        }
        let Some(plan) = self.plans.get(&digest) else { return wrong };
        let Some(policy) = &plan.policy else {
            wrong.push("its plan names no policy".to_owned());
            return wrong;
        };
        // Of a stuck step the request itself may say who is needed in particular.
        let needing = policy.clone().needing(&asked.needs);
        let policy = &needing;
        let in_time = asked.decisions.iter().filter(|told| how.counted(told)).map(|told| &told.decision);
        let counts = |decision: &Decision| {
            let Some(stage) = policy.stage_of(decision.stage) else { return false };
            if decision.answer == Answer::Approve && stage.step_up && decision.proof.is_chat() {
                return false;
            }
            match &asked.asked {
                Some(all) => all.iter().any(|one| was_asked(one, decision)),
                None => could_decide(stage, &decision.person),
            }
        };
        let tally = tally(&Rules::new(policy, &asked.requesters, &plan.excluded), in_time, counts).tally;
        match tally {
            Tally::Agreed => {}
            Tally::Denied => wrong.push("somebody who was asked had denied it".to_owned()),
            Tally::Waiting { stage, .. } => {
                let missing = tally.missing();
                let people = if missing == 1 { "1 more person".to_owned() } else { format!("{missing} more people") };
                wrong.push(format!("stage {} of its policy still waited for {people}", u64::from(stage) + 1));
            }
        }
        wrong
    }

    /// What a grant offends against that nobody was asked for because whoever asked may start it: the policy in the plan's bytes
    /// has to let them, and so many have to be left in the window.
    fn wrong_with_unasked(
        &self,
        asked: &RequestFacts,
        run: RunId,
        digest: Digest,
        started: &StartedUnasked,
        when: DateTime<Utc>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let person = &started.person;
        if asked.requesters.as_slice() != std::slice::from_ref(person) || asked.retry_step.is_some() {
            wrong.push(format!("{person} did not ask for it alone, and was let start it unasked"));
        }
        let planned = self.runs.get(&run).and_then(|run| run.planned.as_ref());
        if planned.is_some_and(|planned| planned.trigger.is_some()) {
            wrong.push("a trigger asked for it, and it was started as a person's".to_owned());
        }
        let Some(policy) = self.plans.get(&digest).and_then(|plan| plan.policy.as_ref()) else { return wrong };
        let before =
            planned.and_then(|planned| self.unasked.get(&planned.runbook)).map(Vec::as_slice).unwrap_or_default();
        let lets = |rule: &Unasked| rule.may_name(person) && left(before, rule.per(), rule.runs, when);
        if !policy.unasked.iter().any(lets) {
            wrong.push(format!("its policy does not let {person} start it unasked, or not so often"));
        }
        wrong
    }

    /// What a grant offends against that an earlier approval covers: the very same plan, whose policy says how many runs and
    /// for how long; not taken back; each run counted once; and agreed to by people who asked for neither.
    fn wrong_with_under(
        &self,
        asked: &RequestFacts,
        digest: Digest,
        under: &Under,
        how: How<'_>,
        when: DateTime<Utc>,
    ) -> Vec<String> {
        let name = request_name(under.request);
        let (Some(cover), Some(original)) = (self.covers.get(&under.request), self.requests.get(&under.request)) else {
            return vec![format!("it names {name}, which covers no further run")];
        };
        let mut wrong = Vec::new();
        if cover.digest != digest {
            wrong.push(format!("it names {name}, which is for the plan {}", cover.digest.short()));
        }
        if when >= cover.until {
            wrong.push(format!("it names {name}, which covered runs until {}", moment(cover.until)));
        }
        if let Some((by, _)) = &cover.ended {
            wrong.push(format!("it names {name}, which {by} had taken back"));
        }
        let taken = self.grants.values().any(|grant| grant.under == Some((under.request, under.number)));
        if taken || under.number < 2 || under.number > cover.runs {
            wrong.push(format!("it is counted as run {} of {} under {name}", under.number, cover.runs));
        }
        let Some(plan) = self.plans.get(&digest) else { return wrong };
        let Some(policy) = &plan.policy else { return wrong };
        let within = |repeat: Repeat| {
            TimeDelta::from_std(repeat.within()).is_ok_and(|within| cover.until <= cover.when + within)
        };
        if !policy.repeat.is_some_and(|repeat| repeat.runs == cover.runs && within(repeat)) {
            wrong.push("its policy does not let one approval cover so much".to_owned());
        }
        let mut requesters = original.requesters.clone();
        requesters.extend(asked.requesters.iter().cloned());
        let rules = Rules::new(policy, &requesters, &plan.excluded);
        let counts = |decision: &Decision| match &original.asked {
            Some(all) => all.iter().any(|one| was_asked(one, decision)),
            None => true,
        };
        let decisions = original.decisions.iter().filter(|told| how.counted(told)).map(|told| &told.decision);
        if tally(&rules, decisions, counts).tally != Tally::Agreed {
            wrong.push(format!("those who agreed to {name} do not suffice when these people ask"));
        }
        if asked.retry_step.is_some() {
            wrong.push("another attempt was granted under an earlier approval".to_owned());
        }
        wrong
    }

    /// What is wrong with a grant's signature, by the keys and decisions before it.
    fn wrong_with_signature(
        &mut self,
        grant: GrantId,
        facts: &GrantFacts,
        by: &[PersonId],
        rule: Option<&str>,
    ) -> Vec<String> {
        let Some(signed) = &facts.signed else {
            // Given before grants were signed.
            let without = "it bears no signature, and grants were signed by then".to_owned();
            return if self.keys.is_empty() { Vec::new() } else { vec![without] };
        };
        let key = signed.key.short();
        let mut wrong = Vec::new();
        match self.keys.get(&signed.key) {
            None if self.blind_keys => self.not_compared += 1,
            None => wrong.push(format!("it is signed by the key {key}, which was not known by then")),
            Some(KeyFacts { retired: Some(_), .. }) => {
                wrong.push(format!("it is signed by the key {key}, which was retired before"));
            }
            Some(_) => {}
        }
        let statement = match signed.verify() {
            Ok(statement) => statement,
            Err(error) => {
                wrong.push(error.to_string());
                return wrong;
            }
        };
        let same = [
            ("ledger", self.ledger.as_ref() == Some(&statement.ledger)),
            ("number", statement.grant == grant),
            ("request", statement.request == facts.request),
            ("run", statement.run == facts.run),
            ("plan", statement.digest == facts.digest),
            ("time", statement.granted_at == facts.when),
            ("latest start", Some(statement.start_by) == facts.start_by),
            ("end", statement.valid_until == facts.valid_until),
        ];
        let others = same.into_iter().filter(|(_, same)| !same);
        wrong.extend(others.map(|(what, _)| format!("its signature is for another {what}")));
        match statement.basis {
            Basis::Rule { rule: signed_rule } => {
                if rule != Some(signed_rule.as_str()) {
                    wrong.push(format!(
                        "its signature is for the rule `{signed_rule}`, which is not why it was granted"
                    ));
                }
            }
            Basis::Decisions { counted, evidence: signed_for, set_aside: _ } => {
                let named: BTreeSet<&PersonId> = counted.iter().map(|counted| &counted.person).collect();
                if rule.is_some() || named != by.iter().collect() {
                    wrong.push("its signature names others than those who agreed".to_owned());
                }
                // What an earlier approval covers was decided there.
                let decided = facts.under.map_or(facts.request, |(request, _)| request);
                let found = counted.iter().map(|counted| {
                    let Counted { stage, person, line } = counted.clone();
                    let told = self.decisions.get(&(decided, stage, person.clone(), Some(line.0)))?;
                    Some(SignedDecision {
                        request: decided,
                        stage,
                        person,
                        on_behalf_of: told.on_behalf_of.clone(),
                        account: told.account.clone(),
                        answer: told.answer,
                        proof: told.proof.clone(),
                        at: told.when,
                        line,
                    })
                });
                match found.collect::<Option<Vec<SignedDecision>>>() {
                    Some(found) if evidence(&found) == signed_for => {}
                    // An erased decision cannot be hashed any more.
                    _ if self.blind.contains_key(&facts.run) => self.not_compared += 1,
                    _ => wrong.push("the decisions are not those that it was signed for".to_owned()),
                }
            }
        }
        wrong
    }

    /// Compares an approval that covers further runs.
    pub(super) fn cover(&mut self, table: CoverCheck, findings: &mut Findings) {
        self.rows += 1;
        let id = RequestId(table.request);
        let facts = self.covers.remove(&id);
        let blind = facts.as_ref().and_then(|facts| self.blind.get(&facts.run).copied());
        let name = format!("cover/{id}");
        let mut row = Row { name, state: String::new(), version: 0, at: None, blind, not_compared: 0, findings };
        match facts {
            None => row.untold(Some("request_granted")),
            Some(facts) => {
                let (at, turn) = (facts.at, facts.turn);
                row.same("digest", Some(hex(&table.digest)), Some(facts.digest.to_string()), at);
                row.same("runs", Some(table.runs.to_string()), Some(facts.runs.to_string()), at);
                row.same("until", Some(moment(table.until)), Some(moment(facts.until)), at);
                row.same_since(turn, "used", Some(table.used.to_string()), Some(facts.used.to_string()), at);
                let (by, ended) = facts.ended.unzip();
                row.same_since(turn, "ended_by", table.ended_by, by.map(|by| by.to_string()), at);
                row.same_since(turn, "ended_at", table.ended_at.map(moment), ended.map(moment), at);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// What a grant offends against for which nobody's agreement was waited: the policy in the plan's bytes has to let that
    /// person, by that proof, and they have to have said why.
    fn wrong_with_break(
        &self,
        asked: &RequestFacts,
        request: RequestId,
        policy: Option<&PlanPolicy>,
        person: &PersonId,
    ) -> Vec<String> {
        let Some(broken) = self.broken.get(&request) else {
            return vec![format!("{person} is said to have started it without agreement, and did not")];
        };
        let mut wrong = Vec::new();
        if broken.person != *person || broken.reason.is_empty() {
            wrong.push(format!("it was not {person} who started it without agreement and said why"));
        }
        // A plan that cannot be read says nothing.
        if let Some(policy) = policy {
            let may = policy
                .break_glass
                .as_ref()
                .is_some_and(|rules| rules.may_name(person) && rules.accepts(&policy.stages, &broken.proof));
            if !may {
                wrong.push(format!("its policy does not let {person} start it without agreement"));
            }
        }
        if asked.retry_step.is_some() {
            wrong.push("what becomes of a stuck step was decided by one alone".to_owned());
        }
        wrong
    }

    /// Compares who started a run without agreement, and what others said of it.
    pub(super) fn review(&mut self, table: ReviewCheck, findings: &mut Findings) {
        let id = RequestId(table.request);
        let facts = self.broken.remove(&id);
        let run = self.requests.get(&id).map_or(RunId(table.run), |asked| asked.run);
        let mut row = self.row(review_name(id), run, &table.state, table.version, findings);
        match facts {
            None => row.untold(Some("glass_broken")),
            Some(facts) => {
                let at = facts.at;
                row.same("run", Some(table.run.to_string()), Some(run.to_string()), at);
                row.same("by", Some(table.by), Some(facts.person.to_string()), at);
                row.same("account", Some(table.account), Some(facts.account), at);
                let (proof, credential) = match facts.proof {
                    Proof::Chat => ("chat", None),
                    Proof::Passkey { credential } => ("passkey", Some(credential)),
                };
                row.same("proof", Some(table.proof), Some(proof.to_owned()), at);
                row.same("credential", table.credential, credential, at);
                row.same("line", Some(table.line.to_string()), facts.line.map(|line| line.to_string()), at);
                row.same("reason", Some(table.reason), Some(facts.reason), at);
                row.same("at", Some(moment(table.at)), Some(moment(facts.when)), at);
                row.same("due_at", Some(moment(table.due_at)), Some(moment(facts.review_by)), at);
                let (at, turn, said) = match facts.reviewed {
                    Some((at, turn, by, verdict, words, when)) => {
                        let verdict = verdict.name().to_owned();
                        (at, turn, [Some(by.to_string()), Some(verdict), Some(words), Some(moment(when))])
                    }
                    None => (at, facts.turn, [None, None, None, None]),
                };
                let [by, verdict, words, when] = said;
                row.same_since(turn, "reviewer", table.reviewer, by, at);
                row.same_since(turn, "verdict", table.verdict, verdict, at);
                row.same_since(turn, "words", table.words, words, at);
                row.same_since(turn, "reviewed_at", table.reviewed_at.map(moment), when, at);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// What a grant offends against that nobody decided: the policy in the plan's bytes has to name the trigger with the plan's
    /// runbook, the run has to be that trigger's, and so many have to be left in the window.
    fn wrong_with_automatic(
        &self,
        asked: &RequestFacts,
        run: RunId,
        digest: Digest,
        by: &[PersonId],
        (trigger, when): (&TriggerName, DateTime<Utc>),
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let planned = self.runs.get(&run).and_then(|run| run.planned.as_ref());
        if planned.is_some_and(|planned| planned.trigger.as_ref() != Some(trigger)) {
            wrong.push(format!("it was granted to the trigger {trigger}, which did not ask for run/{run}"));
        }
        if let Some(plan) = self.plans.get(&digest) {
            let rules = plan.policy.iter().flat_map(|policy| &policy.automatic);
            let rules: Vec<&Automatic> = rules.filter(|rule| rule.lets(trigger, &plan.runbook)).collect();
            let before = self.automatic.get(&(trigger.clone(), plan.runbook.clone()));
            let left = |rule: &&Automatic| {
                rule.bound
                    .as_ref()
                    .is_none_or(|bound| left(before.into_iter().flatten(), bound.per(), bound.runs, when))
            };
            if rules.is_empty() {
                wrong.push(format!("its policy does not let the trigger {trigger} start {} by itself", plan.runbook));
            } else if !rules.iter().any(left) {
                wrong.push(format!("its policy does not let the trigger {trigger} start {} so often", plan.runbook));
            }
        }
        let denied = |plan: &PlanFacts| plan.policy.as_ref().is_some_and(|policy| policy.denied_before.is_some());
        if self.plans.get(&digest).is_some_and(denied) {
            wrong.push("it was granted to a trigger although the same had just been denied".to_owned());
        }
        if asked.retry_step.is_some() {
            wrong.push("a further attempt was granted to a trigger".to_owned());
        }
        if !by.is_empty() {
            wrong.push("it was granted to a trigger and names people who agreed".to_owned());
        }
        wrong
    }

    /// What a word on a change of who may do what offends against: whoever gave it was named to countersign in what was in
    /// force, did not write the change, and does not gain by it (I7). Where the ledger does not say who was in a group, nothing is
    /// said of them.
    fn wrong_with_countersigning(
        &self,
        access: AccessId,
        (by, account): (&PersonId, &Account),
        wanted: Option<&Access>,
        when: DateTime<Utc>,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        if let Some(facts) = self.access.get(&access) {
            if facts.changed_by.1.contains(by) {
                wrong.push(format!("{by} is named among those who wrote it"));
            }
            if let Some((_, until)) = facts.waits.as_ref().filter(|(_, until)| when >= *until) {
                wrong.push(format!("it had expired at {}", moment(*until)));
            }
        }
        let Some(now) = &self.in_force else { return wrong };
        let seen = |members: &Members| match members {
            Members::Listed(_) => true,
            Members::Of(group) => self.members.contains_key(group),
        };
        if now.people.get(by).is_none_or(|accounts| !accounts.contains(account)) {
            wrong.push(format!("{account} was not an account of {by}"));
        }
        match &now.keepers {
            None => wrong.push("nobody was named who could".to_owned()),
            Some(keepers) => {
                let unseen = |subject: &Subject| match subject {
                    Subject::Group(group) => now.groups.get(group).is_some_and(|members| !seen(members)),
                    Subject::Person(_) | Subject::Rota(_) | Subject::Accountable => false,
                };
                let named = now.people_of(&keepers.by, &self.members).contains(by);
                if !named && !keepers.by.iter().any(unseen) {
                    wrong.push(format!("{by} was not named among those who could"));
                }
            }
        }
        if let Some(wanted) = wanted
            && now.groups.values().chain(wanted.groups.values()).all(seen)
            && gainers(now, wanted, &self.members).contains(by)
        {
            wrong.push(format!("{by} gains by it"));
        }
        wrong
    }

    /// What a start offends against, by what was known before it.
    fn wrong_with_start(
        &mut self,
        key: AttemptKey,
        digest: Digest,
        grant: Option<GrantId>,
        when: DateTime<Utc>,
    ) -> Option<String> {
        let run = key.run;
        if self.blind.contains_key(&run) {
            self.not_compared += 1;
            return None;
        }
        let planned = self.runs.get(&run).and_then(|run| run.planned.as_ref());
        match planned {
            None => return Some(format!("run/{run} was never planned")),
            Some(planned) if planned.digest != digest => {
                return Some(format!("its plan is {} and that of its run {}", digest.short(), planned.digest.short()));
            }
            Some(_) => {}
        }
        let index = usize::try_from(key.step).ok().and_then(|step| step.checked_sub(1));
        if let Some(plan) = self.plans.get(&digest) {
            let Some(step) = index.and_then(|index| plan.steps.get(index)).copied() else {
                return Some(format!("its plan has no step {}", key.step));
            };
            if step.privileged && grant.is_none() {
                return Some("its step changes something and it names no grant".to_owned());
            }
            if let Some(why) = self.wrong_with_number(key, step, grant) {
                return Some(why);
            }
        }
        let grant = grant?;
        let Some(granted) = self.grants.get(&grant) else {
            return Some(format!("it names grant/{grant}, which nobody gave"));
        };
        if granted.run != run {
            return Some(format!("it names grant/{grant}, which is for run/{}", granted.run));
        }
        if granted.digest != digest {
            return Some(format!("it names grant/{grant}, which is for the plan {}", granted.digest.short()));
        }
        if when >= granted.valid_until {
            return Some(format!("it names grant/{grant}, which had ended at {}", moment(granted.valid_until)));
        }
        let in_time = |when: DateTime<Utc>| granted.start_by.is_none_or(|start_by| when < start_by);
        let mut earlier = self.attempts.iter().filter(|(other, _)| other.run == run).map(|(_, facts)| facts.when);
        let begun = earlier.any(|at| at >= granted.when && in_time(at));
        if let Some(start_by) = granted.start_by.filter(|start_by| when >= *start_by && !begun) {
            return Some(format!("it names grant/{grant}, under which it had to begin by {}", moment(start_by)));
        }
        let mark = self.marks.get(&grant_name(grant));
        mark.filter(|mark| mark.state != GrantState::Granted.name())
            .map(|mark| format!("it names grant/{grant}, which was {} by then", mark.state))
    }

    /// What is wrong with a further attempt of a step (I3): after a failure as many as the plan's `retry` says, after an
    /// unknown outcome those of a step that may be repeated or that the grant's request asked to retry, and no others.
    fn wrong_with_number(&self, key: AttemptKey, step: StepFacts, grant: Option<GrantId>) -> Option<String> {
        if self.attempts.contains_key(&key) {
            return Some("it had started before".to_owned());
        }
        let before = match key.number {
            0 => return Some("attempts are counted from 1".to_owned()),
            1 => return None,
            number => AttemptKey { number: number - 1, ..key },
        };
        let Some(earlier) = self.attempts.get(&before) else {
            return Some("the attempt before it never started".to_owned());
        };
        if earlier.judged.is_some() {
            return Some("a person had judged the attempt before it".to_owned());
        }
        let Some(ended) = &earlier.ended else { return Some("the attempt before it had not ended".to_owned()) };
        match ended.outcome {
            Some(Outcome::Succeeded) => Some("the attempt before it had done its work".to_owned()),
            Some(Outcome::Failed | Outcome::TimedOut) if key.number - 1 <= step.times => None,
            Some(Outcome::Failed | Outcome::TimedOut) => {
                Some("the attempt before it had failed, and its plan lets it be tried no further".to_owned())
            }
            None if step.repeatable => None,
            None => {
                let asked = grant.and_then(|grant| self.grants.get(&grant)).map(|grant| grant.request);
                let retry = asked.and_then(|request| self.requests.get(&request));
                let retry = retry.filter(|asked| asked.wish.is_none()).and_then(|asked| asked.retry_step);
                let why = "the outcome of the attempt before it was unknown, and nobody agreed to another";
                (retry != Some(key.step)).then(|| why.to_owned())
            }
        }
    }

    /// What is wrong with being done with a step whose outcome is unknown (I3): a step that changes something needs a request
    /// for just that, to which others agreed; before there were such requests, somebody else than whoever asked for the run.
    fn wrong_with_freeing(&mut self, key: AttemptKey, request: Option<RequestId>, wish: Wish) -> Option<String> {
        if self.blind.contains_key(&key.run) {
            self.not_compared += 1;
            return None;
        }
        let Some(request) = request else {
            let planned = self.runs.get(&key.run).and_then(|run| run.planned.as_ref());
            let own = planned.is_some_and(|planned| planned.requester == wish.by);
            if own {
                return Some(format!("{} asked for its run and said what came of it", wish.by));
            }
            let index = usize::try_from(key.step).ok().and_then(|step| step.checked_sub(1));
            let plan = planned.and_then(|planned| self.plans.get(&planned.digest));
            let step = plan.zip(index).and_then(|(plan, index)| plan.steps.get(index));
            // Judging had no requests once; leaving out has always had.
            return (wish.what == Freeing::Skip && step.is_some_and(|step| step.privileged))
                .then(|| "its step changes something and was left out without a request".to_owned());
        };
        let asked = self.requests.get(&request);
        let fits = asked.is_some_and(|asked| {
            asked.run == key.run && asked.retry_step == Some(key.step) && asked.wish.as_ref() == Some(&wish)
        });
        if !fits {
            return Some(format!("it names request/{request}, which did not ask for that"));
        }
        let granted = self.grants.values().any(|grant| grant.request == request);
        (!granted).then(|| format!("it names request/{request}, to which nobody agreed"))
    }

    /// Begins to compare a row: its state and version with its last mark.
    fn row<'a>(&mut self, name: String, run: RunId, state: &str, version: i64, findings: &'a mut Findings) -> Row<'a> {
        let blind = self.blind.get(&run).copied();
        self.row_of(name, blind, state, version, findings)
    }

    /// The same, of a row that belongs to no run: with the last erased event of what it belongs to.
    fn row_of<'a>(
        &mut self,
        name: String,
        blind: Option<u64>,
        state: &str,
        version: i64,
        findings: &'a mut Findings,
    ) -> Row<'a> {
        self.rows += 1;
        let mark = self.marks.remove(&name);
        let mut row = Row { name, state: state.to_owned(), version, at: None, blind, not_compared: 0, findings };
        match mark {
            None => row.untold(None),
            Some(mark) => {
                row.at = Some(mark.at);
                row.same_since(mark.turn, "state", Some(state.to_owned()), Some(mark.state.clone()), mark.at);
                let versions = (Some(version.to_string()), Some(mark.version.to_string()));
                row.same_since(mark.turn, "version", versions.0, versions.1, mark.at);
                row.version = mark.version;
                row.state = mark.state;
            }
        }
        row
    }

    /// Compares a run.
    pub(super) fn run(&mut self, table: RunCheck, findings: &mut Findings) {
        let id = RunId(table.id);
        let facts = self.runs.remove(&id).unwrap_or_default();
        let mut row = self.row(run_name(id), id, &table.state, table.version, findings);
        match facts.planned {
            None => row.untold(Some("run_planned")),
            Some(planned) => {
                let at = planned.at;
                row.same("plan", Some(hex(&table.plan)), Some(planned.digest.to_string()), at);
                row.same("runbook", Some(table.runbook), Some(planned.runbook), at);
                row.same("requester", Some(table.requester), Some(planned.requester.to_string()), at);
                row.same("requester_account", Some(table.requester_account), Some(planned.account), at);
                row.same("room", Some(table.room), Some(planned.room), at);
                row.same("trigger", table.trigger, planned.trigger.map(|trigger| trigger.to_string()), at);
                let incident = planned.scope.incident.map(|incident| incident.to_string());
                row.same("incident", table.incident.map(|incident| incident.to_string()), incident, at);
                row.same("created_at", Some(moment(table.created_at)), Some(moment(planned.when)), at);
                if let Some(system) = planned.scope.system {
                    row.same("system", Some(table.system), Some(system.to_string()), at);
                }
                if let Some(environment) = planned.scope.environment {
                    row.same("environment", Some(table.environment), Some(environment), at);
                }
                if !self.plans.contains_key(&planned.digest) && !self.changed_plans.contains(&planned.digest) {
                    row.findings.push(Finding::PlanUnreadable { digest: planned.digest });
                }
            }
        }
        let handed = facts.handed_to.as_ref().map(|(at, turn, to)| (*at, *turn, to.to_string()));
        match (handed, row.at) {
            (Some((at, turn, to)), _) => row.same_since(turn, "handed_to", table.handed_to, Some(to), at),
            (None, Some(at)) => row.same_since(0, "handed_to", table.handed_to, None, at),
            (None, None) => {}
        }
        let kind = match row.state.as_str() {
            "stuck" => Some("run_stuck"),
            "failed" => Some("run_failed"),
            "stopping" => Some("run_stopping"),
            "stopped" => Some("run_stopped"),
            "denied" => Some("request_denied"),
            "withdrawn" => Some("request_withdrawn"),
            _ => None,
        };
        let told = facts.evidence.get(row.state.as_str());
        let step = table.state_step.map(|step| step.to_string());
        let columns = [("state_by", table.state_by), ("state_step", step), ("state_why", table.state_why)];
        row.evidence(kind, told, columns);
        self.not_compared += row.not_compared;
    }

    /// Compares an incident.
    pub(super) fn incident(&mut self, table: IncidentCheck, findings: &mut Findings) {
        let id = IncidentId(table.id);
        let facts = self.incidents.remove(&id);
        let blind = self.blind_incidents.get(&id).copied();
        let mut row = self.row_of(incident_name(id), blind, &table.state, table.version, findings);
        match facts {
            None => row.untold(Some("incident_opened")),
            Some(facts) => {
                let at = facts.at;
                row.same("service", table.service, facts.service, at);
                row.same("title", Some(table.title), Some(facts.title), at);
                row.same("room", Some(table.room), Some(facts.room), at);
                row.same("opened_at", Some(moment(table.opened_at)), Some(moment(facts.when)), at);
                row.same("opened_by", table.opened_by, facts.by.map(|by| by.to_string()), at);
                let lines = (table.cause, facts.line);
                row.same("cause", lines.0.map(|line| line.to_string()), lines.1.map(|line| line.to_string()), at);
                if let Some(system) = facts.scope.system {
                    row.same("system", Some(table.system), Some(system.to_string()), at);
                }
                if let Some(environment) = facts.scope.environment {
                    row.same("environment", Some(table.environment), Some(environment), at);
                }
                let (at, turn) = facts.changed;
                let mut last = |column, table, ledger| row.same_since(turn, column, table, ledger, at);
                let (keeper, kept) = facts.acknowledged.unzip();
                last("failed_at", Some(moment(table.failed_at)), Some(moment(facts.failed_at)));
                last("acknowledged_by", table.acknowledged_by, keeper.map(|by| by.to_string()));
                last("acknowledged_at", table.acknowledged_at.map(moment), kept.map(moment));
                last("mitigated_at", table.mitigated_at.map(moment), facts.mitigated_at.map(moment));
                let (by, resolved, why) = match facts.resolved {
                    Some((by, when, why)) => (Some(by.to_string()), Some(moment(when)), why),
                    None => (None, None, None),
                };
                last("resolved_by", table.resolved_by, by);
                last("resolved_at", table.resolved_at.map(moment), resolved);
                last("resolved_why", table.resolved_why, why);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// Compares a request.
    pub(super) fn request(&mut self, table: RequestCheck, findings: &mut Findings) {
        let id = RequestId(table.id);
        let facts = self.requests.remove(&id);
        let run = facts.as_ref().map_or(RunId(table.run), |facts| facts.run);
        let mut row = self.row(request_name(id), run, &table.state, table.version, findings);
        match &facts {
            None => row.untold(Some("request_asked")),
            Some(facts) => {
                let at = facts.at;
                row.same("run", Some(table.run.to_string()), Some(facts.run.to_string()), at);
                row.same("code", Some(table.code), Some(facts.code.clone()), at);
                let steps = (table.retry_step, facts.retry_step);
                row.same("retry_step", steps.0.map(|step| step.to_string()), steps.1.map(|step| step.to_string()), at);
                row.same("wanted", table.wanted, facts.wish.as_ref().map(|wish| wish.what.name().to_owned()), at);
                row.same("wanted_by", table.wanted_by, facts.wish.as_ref().map(|wish| wish.by.to_string()), at);
                row.same("wanted_why", table.wanted_why, facts.wish.as_ref().map(|wish| wish.why.clone()), at);
                row.same("digest", Some(hex(&table.digest)), Some(facts.digest.to_string()), at);
                let here = table.requesters.iter().map(|person| person.as_deref().unwrap_or("nobody"));
                let there = facts.requesters.iter().map(PersonId::as_str);
                let needed = table.needs.iter().map(|person| person.as_deref().unwrap_or("nobody"));
                row.same("needs", Some(listed(needed)), Some(listed(facts.needs.iter().map(PersonId::as_str))), at);
                let (handed, turn) = facts.handed;
                row.same_since(turn, "requesters", Some(listed(here)), Some(listed(there)), handed);
                row.same("asked_at", Some(moment(table.asked_at)), Some(moment(facts.when)), at);
                row.same("expires_at", Some(moment(table.expires_at)), Some(moment(facts.expires_at)), at);
            }
        }
        if let Some(at) = row.at {
            // Every change of a request raises its version by one, and every change but the last is a stage's end.
            let changes = if row.state == "pending" { 1 } else { 2 };
            let stage = row.version.saturating_sub(changes);
            row.same("stage", Some(table.stage.to_string()), Some(stage.to_string()), at);
        }
        let kind = match row.state.as_str() {
            "denied" => Some("request_denied"),
            "withdrawn" => Some("request_withdrawn"),
            "changes_requested" => Some("request_sent_back"),
            "superseded" => Some("request_superseded"),
            _ => None,
        };
        let told = facts.as_ref().and_then(|facts| facts.ended.as_ref());
        let columns = [("state_by", table.state_by), ("", None), ("state_why", table.state_why)];
        row.evidence(kind, told, columns);
        if let Some(facts) = &facts {
            let newer = facts.superseded_by.map(|newer| newer.to_string());
            row.same("superseded_by", table.superseded_by.map(|newer| newer.to_string()), newer, facts.at);
        }
        self.not_compared += row.not_compared;
    }

    /// Compares a grant.
    pub(super) fn grant(&mut self, table: &GrantCheck, findings: &mut Findings) {
        let id = GrantId(table.id);
        let facts = self.grants.remove(&id);
        let run = facts.as_ref().map_or(RunId(table.run), |facts| facts.run);
        let mut row = self.row(grant_name(id), run, &table.state, table.version, findings);
        match facts {
            None => row.untold(Some("request_granted")),
            Some(facts) => {
                let at = facts.at;
                row.same("run", Some(table.run.to_string()), Some(facts.run.to_string()), at);
                row.same("request", Some(table.request.to_string()), Some(facts.request.to_string()), at);
                row.same("digest", Some(hex(&table.digest)), Some(facts.digest.to_string()), at);
                row.same("granted_at", Some(moment(table.granted_at)), Some(moment(facts.when)), at);
                row.same("expires_at", Some(moment(table.expires_at)), Some(moment(facts.valid_until)), at);
                row.same("start_by", table.start_by.map(moment), facts.start_by.map(moment), at);
                let (under, number) = facts.under.unzip();
                row.same("unasked", Some(table.unasked.to_string()), Some(facts.unasked.to_string()), at);
                row.same("under", table.under.map(|id| id.to_string()), under.map(|id| id.to_string()), at);
                row.same("under_number", table.under_number.map(|n| n.to_string()), number.map(|n| n.to_string()), at);
                let (key, text, signature) = facts.signed.map_or((None, None, None), |signed| {
                    (Some(signed.key.to_string()), Some(signed.statement), Some(signed.signature.to_string()))
                });
                row.same("signed_by", table.signed_by.as_deref().map(hex), key, at);
                let statement = table.statement.as_deref().map(|text| String::from_utf8_lossy(text).into_owned());
                row.same("statement", statement, text, at);
                row.same("signature", table.signature.as_deref().map(hex), signature, at);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// Compares an attempt and the output that is kept of it.
    pub(super) fn attempt(&mut self, table: AttemptCheck, findings: &mut Findings) {
        let run = RunId(table.run);
        let name = format!("attempt/{}/{}/{}", table.run, table.step, table.number);
        let key = u32::try_from(table.step).ok().zip(u32::try_from(table.number).ok());
        let facts = key.and_then(|(step, number)| self.attempts.remove(&AttemptKey { run, step, number }));
        let mut row = self.row(name, run, &table.state, table.version, findings);
        let (ended, judged) = match facts {
            None => {
                row.untold(Some("attempt_started"));
                (None, None)
            }
            Some(facts) => {
                let grants = (table.run_grant, facts.grant);
                row.same("run_grant", grants.0.map(|g| g.to_string()), grants.1.map(|g| g.to_string()), facts.at);
                row.same("started_at", Some(moment(table.started_at)), Some(moment(facts.when)), facts.at);
                (facts.ended, facts.judged)
            }
        };
        let is_started = row.state == AttemptState::Started.name();
        let output = table.output_sha256.as_deref().map(hex);
        let kept = table.kept_sha256.as_deref().map(hex);
        let code = table.exit_code.map(|code| code.to_string());
        match (ended, row.at) {
            (Some(ended), _) => {
                let at = ended.at;
                row.same("ended_at", table.ended_at.map(moment), Some(moment(ended.when)), at);
                row.same("exit_code", code, ended.exit_code.map(|code| code.to_string()), at);
                if let Some(summary) = ended.summary {
                    row.same("summary", table.summary, Some(summary), at);
                }
                let told = ended.output.map(|digest| digest.to_string());
                row.same("output_sha256", output, told.clone(), at);
                row.same("attempt_output.bytes (SHA-256)", kept, told, at);
            }
            (None, Some(at)) if is_started => {
                row.same("ended_at", table.ended_at.map(moment), None, at);
                row.same("exit_code", code, None, at);
                row.same("summary", table.summary, None, at);
                row.same("output_sha256", output, None, at);
                row.same("attempt_output.bytes (SHA-256)", kept, None, at);
            }
            (None, _) => row.untold(Some("attempt_ended` or `attempt_lost")),
        }
        let worked = table.judged_worked.map(|worked| worked.to_string());
        match (judged, row.at) {
            (Some((at, by, verdict)), _) => {
                row.same("judged_by", table.judged_by, Some(by.to_string()), at);
                let verdict = verdict.map(|verdict| (verdict == Verdict::Worked).to_string());
                row.same("judged_worked", worked, verdict, at);
            }
            (None, _) if row.state == "judged" => row.untold(Some("attempt_judged")),
            (None, _) if row.state == "skipped" => row.untold(Some("attempt_skipped")),
            (None, Some(at)) => {
                row.same("judged_by", table.judged_by, None, at);
                row.same("judged_worked", worked, None, at);
            }
            (None, None) => {}
        }
        self.not_compared += row.not_compared;
    }

    /// Compares a decision. Decisions have no versions: a row is as its event says, or wrong.
    pub(super) fn decision(&mut self, table: DecisionCheck, findings: &mut Findings) {
        self.rows += 1;
        let request = RequestId(table.request);
        let name = decision_name(request, i64::from(table.stage), &table.person);
        let stage = u32::try_from(table.stage).ok();
        let person = PersonId::new(table.person);
        // An event without its line is of a decision that nobody's line made; there is at most one of those.
        let facts = stage.and_then(|stage| {
            let with_line = (request, stage, person.clone(), Some(table.line));
            self.decisions.remove(&with_line).or_else(|| self.decisions.remove(&(request, stage, person, None)))
        });
        let run = facts.as_ref().and_then(|facts| facts.run).or_else(|| self.requests.get(&request).map(|r| r.run));
        let blind = run.and_then(|run| self.blind.get(&run).copied());
        let mut row = Row { name, state: String::new(), version: 0, at: None, blind, not_compared: 0, findings };
        match facts {
            None => row.untold(Some("decided")),
            Some(facts) => {
                let at = facts.at;
                row.same("account", Some(table.account), Some(facts.account), at);
                row.same("verdict", Some(table.verdict), Some(facts.answer.name().to_owned()), at);
                row.same("reason", table.reason, facts.reason, at);
                row.same("at", Some(moment(table.at)), Some(moment(facts.when)), at);
                row.same("on_behalf_of", table.on_behalf_of, facts.on_behalf_of.map(|giver| giver.to_string()), at);
                let (proof, credential) = match facts.proof {
                    Proof::Chat => ("chat", None),
                    Proof::Passkey { credential } => ("passkey", Some(credential)),
                };
                row.same("proof", Some(table.proof), Some(proof.to_owned()), at);
                row.same("credential", table.credential, credential, at);
                let (back_at, back_when, back_line) = match facts.taken_back {
                    Some((at, when, line)) => (at, Some(moment(when)), line.map(|line| line.to_string())),
                    None => (at, None, None),
                };
                row.same("taken_back_at", table.taken_back_at.map(moment), back_when, back_at);
                row.same("taken_back_line", table.taken_back_line.map(|line| line.to_string()), back_line, back_at);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// Compares a signing key.
    pub(super) fn key(&mut self, table: KeyCheck, findings: &mut Findings) {
        self.rows += 1;
        let key = PublicKey::from_slice(&table.public);
        let name = key.map_or_else(|| format!("key/{}", hex(&table.public)), key_name);
        let facts = key.and_then(|key| self.keys.remove(&key));
        // Whatever is not told may stand in an erased event.
        let blind = self.blind_keys.then_some(u64::MAX);
        let mut row = Row { name, state: String::new(), version: 0, at: None, blind, not_compared: 0, findings };
        match facts {
            None => row.untold(Some("key_added")),
            Some(facts) => {
                let at = facts.at;
                row.same("host", Some(table.host), Some(facts.host), at);
                row.same("added_at", Some(moment(table.added_at)), Some(moment(facts.when)), at);
                row.same("added_by", Some(table.added_by), Some(facts.by), at);
                let (from, by, why) = facts
                    .retired
                    .map_or((None, None, None), |(from, by, why)| (Some(moment(from)), Some(by), Some(why)));
                row.same_since(0, "retired_at", table.retired_at.map(moment), from, at);
                row.same_since(0, "retired_by", table.retired_by, by, at);
                row.same_since(0, "retired_why", table.retired_why, why, at);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// A row of automation: it has no mark, and events whose bodies were erased may have told of it.
    fn row_of_automation<'a>(&mut self, name: String, findings: &'a mut Findings) -> Row<'a> {
        self.rows += 1;
        let blind = self.blind_automation;
        Row { name, state: String::new(), version: 0, at: None, blind, not_compared: 0, findings }
    }

    /// Compares a delegation.
    pub(super) fn delegation(&mut self, table: DelegationCheck, findings: &mut Findings) {
        let facts = self.delegations.remove(&DelegationId(table.id));
        let state = if table.ended_at.is_some() { "ended" } else { "given" };
        let blind = self.blind_duties;
        let mut row = self.row_of(delegation_name(DelegationId(table.id)), blind, state, table.version, findings);
        match facts {
            None => row.untold(Some("delegation_given")),
            Some(DelegationFacts { at, giver, receiver, since, until, line, ended }) => {
                row.same("giver", Some(table.giver), Some(giver.to_string()), at);
                row.same("receiver", Some(table.receiver), Some(receiver.to_string()), at);
                row.same("since", Some(moment(table.since)), Some(moment(since)), at);
                row.same("until", Some(moment(table.until)), Some(moment(until)), at);
                row.same("line", Some(table.line.to_string()), line.map(|line| line.to_string()), at);
                let (at, ended) = ended.map_or((at, None), |(at, ended)| (at, Some(ended)));
                row.same_since(0, "ended_at", table.ended_at.map(moment), ended.map(moment), at);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// Compares a handover.
    pub(super) fn handover(&mut self, table: HandoverCheck, findings: &mut Findings) {
        let facts = self.handovers.remove(&HandoverId(table.id));
        let blind = self.blind_duties;
        let mut row = self.row_of(handover_name(HandoverId(table.id)), blind, &table.state, table.version, findings);
        match facts {
            None => row.untold(Some("handover_offered")),
            Some(facts) => {
                let at = facts.at;
                let numbers = |numbers: &[i64]| numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let requests: Vec<i64> = facts.requests.iter().map(|request| request.0).collect();
                let runs: Vec<i64> = facts.runs.iter().map(|run| run.0).collect();
                row.same("giver", Some(table.giver), Some(facts.from.to_string()), at);
                row.same("receiver", Some(table.receiver), Some(facts.to.to_string()), at);
                row.same("reason", table.reason, facts.reason, at);
                row.same("requests", Some(numbers(&table.requests)), Some(numbers(&requests)), at);
                row.same("runs", Some(numbers(&table.runs)), Some(numbers(&runs)), at);
                row.same("pause", Some(table.pause.to_string()), Some(facts.pause.to_string()), at);
                row.same("room", Some(table.room), Some(facts.room), at);
                row.same("offered_at", Some(moment(table.offered_at)), Some(moment(facts.when)), at);
                let (at, ended) = facts.ended.map_or((at, None), |(at, ended)| (at, Some(ended)));
                row.same_since(0, "ended_at", table.ended_at.map(moment), ended.map(moment), at);
                let by = facts.taken_by.map(|by| by.to_string());
                row.same_since(0, "taken_by", table.taken_by, by, at);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// Compares the row that says whether automation is paused. `None`: the table has it no more.
    pub(super) fn automation(&mut self, table: Option<AutomationCheck>, findings: &mut Findings) {
        // It stays when there is no row, and is missed at the end.
        let Some(table) = table else { return };
        let facts = self.automation.take();
        let mut row = self.row_of_automation(AUTOMATION.to_owned(), findings);
        match facts {
            None => row.untold(Some("ledger_created")),
            Some(AutomationFacts { at, turn, paused }) => {
                let (by, when, why) = match paused {
                    Some((by, when, why)) => (Some(by.to_string()), Some(moment(when)), why),
                    None => (None, None, None),
                };
                let mut last = |column, table, ledger| row.same_since(turn, column, table, ledger, at);
                last("paused", Some(table.paused.to_string()), Some(by.is_some().to_string()));
                last("paused_by", table.paused_by, by);
                last("paused_at", table.paused_at.map(moment), when);
                last("paused_why", table.paused_why, why);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// Compares a trigger's brakes for a service.
    pub(super) fn brake(&mut self, table: BrakeCheck, findings: &mut Findings) {
        let of = (table.trigger, table.service);
        let facts = self.brakes.remove(&of);
        let mut row = self.row_of_automation(brake_name(&of), findings);
        match facts {
            // A trigger that was never held and never let go on has brakes too: what it was put off for.
            None if table.held_by.is_none() && table.held_since.is_none() && table.counted_from.is_none() => {}
            None => row.untold(Some("trigger_held` or `trigger_released")),
            Some(BrakeFacts { at, turn, held, released }) => {
                let (by, since, why) = match held {
                    Some((by, since, why)) => (Some(by.name().to_owned()), Some(moment(since)), Some(why)),
                    None => (None, None, None),
                };
                let mut last = |column, table, ledger| row.same_since(turn, column, table, ledger, at);
                last("held_by", table.held_by, by);
                last("held_since", table.held_since.map(moment), since);
                last("held_why", table.held_why, why);
                last("counted_from", table.counted_from.map(moment), released.map(moment));
            }
        }
        self.not_compared += row.not_compared;
    }

    /// Compares a version of who may do what: the value of the row itself too, for it decides who may.
    pub(super) fn access(&mut self, table: AccessCheck, findings: &mut Findings) {
        let id = AccessId(table.id);
        let facts = self.access.remove(&id);
        let blind = self.blind_access;
        let mut row = self.row_of(access_name(id), blind, &table.state, table.version, findings);
        let Some(facts) = facts else {
            row.untold(Some("access_begun`, `access_taken` or `access_proposed"));
            self.not_compared += row.not_compared;
            return;
        };
        let at = facts.at;
        row.same("fingerprint", Some(hex(&table.fingerprint)), Some(facts.fingerprint.to_string()), at);
        let held = Digest(Sha256::digest(&table.snapshot).into());
        row.same("snapshot", Some(held.to_string()), Some(facts.sha256.to_string()), at);
        if let Some((at, agreed)) = facts.agreed {
            row.same("fingerprint", Some(hex(&table.fingerprint)), Some(agreed.to_string()), at);
        }
        row.same("made_at", Some(moment(table.made_at)), Some(moment(facts.when)), at);
        let (code, expires_at) = facts.waits.unzip();
        row.same("code", table.code, code, at);
        row.same("expires_at", table.expires_at.map(moment), expires_at.map(moment), at);
        let (turn, changed_by) = facts.changed_by;
        let table_by = table.changed_by.iter().map(|by| by.as_deref().unwrap_or_default());
        let names = changed_by.iter().map(PersonId::as_str);
        row.same_since(turn, "changed_by", Some(listed(table_by)), Some(listed(names)), at);
        let (by, why) = facts.refused.map(|(by, why)| (by.to_string(), why)).unzip();
        row.same("state_by", table.state_by, by, at);
        row.same("state_why", table.state_why, why, at);
        self.not_compared += row.not_compared;
    }

    /// Compares one time that a trigger fired: what its brakes count.
    pub(super) fn firing(&mut self, table: FiringCheck, findings: &mut Findings) {
        let of = (table.trigger, table.service);
        let (when, run) = (moment(table.at), table.run.map(RunId));
        let told = self.firings.get_mut(&of);
        let found = told.and_then(|told| {
            let place = told.iter().position(|told| told.run == run && moment(told.when) == when)?;
            Some(told.remove(place))
        });
        let mut row = self.row_of_automation(format!("firing/{}", table.id), findings);
        if found.is_none() {
            row.untold(Some("trigger_fired"));
        }
        self.not_compared += row.not_compared;
    }

    /// Notes what was signed on a page, once it is seen to have been: by a passkey of that person's which was in use, over that
    /// page, request, plan and answer.
    fn page_used(&mut self, used: Used, signature: &Signature) -> Result<(), String> {
        let Used { passkey, person, request, digest, link, done } = used;
        let name = passkey_name(passkey);
        if !self.used_pages.insert(link) {
            return Err(format!("{person} signed on a page that had been used before"));
        }
        if self.requests.get(&request).is_some_and(|asked| asked.digest != digest) {
            return Err(format!("{person} signed another plan than was asked for"));
        }
        let Some(facts) = self.passkeys.get(&passkey) else {
            if self.blind_passkeys.is_some() {
                // Whose it was, and its key, were erased: what was signed is taken as told.
                self.not_compared += 1;
                self.blind_pages += 1;
                return Ok(());
            }
            return Err(format!("{name} signed, and was never added"));
        };
        if facts.person != person {
            return Err(format!("{name} signed for {person}, and is {}'s", facts.person));
        }
        if facts.removed.is_some() {
            return Err(format!("{name} signed after it was removed"));
        }
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let challenge = Challenge::of_page(&link.0, request.0, &digest.0, done.name());
        let (client_data, data) = (bytes(&signature.client_data), bytes(&signature.authenticator_data));
        let said =
            Assertion { client_data: &client_data, authenticator_data: &data, signature: &bytes(&signature.signature) };
        passkey::has_signed(&challenge, &bytes(&facts.public_key), said)
            .map_err(|why| format!("{person} is said to have signed it with {name}: {why}"))?;
        let key = (request, person, facts.credential.clone());
        self.signed_pages.entry(key).or_default().push(done);
        Ok(())
    }

    /// Whether an answer that is said to have been given with a passkey was signed before, on a page that no other answer
    /// rests on.
    fn proved(&mut self, request: RequestId, person: &PersonId, proof: &Proof, done: OnPage) -> Result<(), String> {
        let Proof::Passkey { credential } = proof else { return Ok(()) };
        let key = (request, person.clone(), credential.clone());
        if let Some(pages) = self.signed_pages.get_mut(&key)
            && let Some(at) = pages.iter().position(|signed| *signed == done)
        {
            pages.remove(at);
            return Ok(());
        }
        if self.blind_pages > 0 {
            (self.blind_pages, self.not_compared) = (self.blind_pages - 1, self.not_compared + 1);
            return Ok(());
        }
        Err(format!("{person} is said to have used a passkey to {} it, and signed nothing of the kind", done.words()))
    }

    /// Compares a passkey: one that was planted, or given to somebody else, would decide in their name.
    pub(super) fn passkey(&mut self, table: PasskeyCheck, findings: &mut Findings) {
        self.rows += 1;
        let id = PasskeyId(table.id);
        let facts = self.passkeys.remove(&id);
        let blind = self.blind_passkeys;
        let (state, name) = (String::new(), passkey_name(id));
        let mut row = Row { name, state, version: 0, at: None, blind, not_compared: 0, findings };
        match facts {
            None => row.untold(Some("passkey_added")),
            Some(PasskeyFacts { at, turn, person, name, credential, public_key, removed }) => {
                row.same("person", Some(table.person), Some(person.to_string()), at);
                row.same("name", Some(table.name), Some(name), at);
                row.same("credential", Some(URL_SAFE_NO_PAD.encode(table.credential)), Some(credential), at);
                row.same("public_key", Some(URL_SAFE_NO_PAD.encode(table.public_key)), Some(public_key), at);
                let (removed, at) = removed.map_or((None, at), |(when, at)| (Some(moment(when)), at));
                row.same_since(turn, "removed_at", table.removed_at.map(moment), removed, at);
            }
        }
        self.not_compared += row.not_compared;
    }

    /// What events tell of and no table has. Comes last: everything compared is gone from here.
    pub(super) fn finish(&mut self, findings: &mut Findings) {
        let mut missing: BTreeMap<String, At> = BTreeMap::new();
        let planned = |(id, run): (&RunId, &RunFacts)| run.planned.as_ref().map(|planned| (run_name(*id), planned.at));
        missing.extend(self.runs.iter().filter_map(planned));
        missing.extend(self.incidents.iter().map(|(id, facts)| (incident_name(*id), facts.at)));
        missing.extend(self.requests.iter().map(|(id, facts)| (request_name(*id), facts.at)));
        missing.extend(self.grants.iter().map(|(id, facts)| (grant_name(*id), facts.at)));
        missing.extend(self.attempts.iter().map(|(key, facts)| (attempt_name(*key), facts.at)));
        missing.extend(self.broken.iter().map(|(id, facts)| (review_name(*id), facts.at)));
        missing.extend(self.covers.iter().map(|(id, facts)| (format!("cover/{id}"), facts.at)));
        missing.extend(self.keys.iter().map(|(key, facts)| (key_name(*key), facts.at)));
        let decided = self.decisions.iter();
        missing.extend(
            decided.map(|((id, stage, by, _), facts)| (decision_name(*id, i64::from(*stage), by.as_str()), facts.at)),
        );
        missing.extend(self.delegations.iter().map(|(id, facts)| (delegation_name(*id), facts.at)));
        missing.extend(self.handovers.iter().map(|(id, facts)| (handover_name(*id), facts.at)));
        missing.extend(self.automation.iter().map(|facts| (AUTOMATION.to_owned(), facts.at)));
        missing.extend(self.access.iter().map(|(id, facts)| (access_name(*id), facts.at)));
        missing.extend(self.passkeys.iter().map(|(id, facts)| (passkey_name(*id), facts.at)));
        missing.extend(self.brakes.iter().map(|(of, facts)| (brake_name(of), facts.at)));
        for (of, told) in &self.firings {
            let name = |facts: &FiringFacts| format!("firing of {} for {} at {}", of.0, of.1, moment(facts.when));
            missing.extend(told.iter().map(|facts| (name(facts), facts.at)));
        }
        // Last, so that the newest event that tells of a row is named.
        missing.extend(self.marks.iter().map(|(name, mark)| (name.clone(), mark.at)));
        for (row, at) in missing {
            findings.push(Finding::RowMissing { row, at });
        }
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn delegation_name(id: DelegationId) -> String {
    format!("delegation/{id}")
}

fn handover_name(id: HandoverId) -> String {
    format!("handover/{id}")
}

/// The name of the one row that says whether automation is paused.
const AUTOMATION: &str = "automation";

fn brake_name((trigger, service): &(String, String)) -> String {
    format!("brakes of {trigger} for {service}")
}

fn access_name(access: AccessId) -> String {
    format!("access/{access}")
}

fn passkey_name(passkey: PasskeyId) -> String {
    format!("passkey/{passkey}")
}

fn run_name(run: RunId) -> String {
    format!("run/{run}")
}

fn incident_name(incident: IncidentId) -> String {
    format!("incident/{incident}")
}

fn request_name(request: RequestId) -> String {
    format!("request/{request}")
}

fn review_name(request: RequestId) -> String {
    format!("review/{request}")
}

fn decision_name(request: RequestId, stage: i64, person: &str) -> String {
    format!("decision/{request}/{stage}/{person}")
}

fn grant_name(grant: GrantId) -> String {
    format!("grant/{grant}")
}

fn key_name(key: PublicKey) -> String {
    format!("key/{}", key.short())
}

fn attempt_name(key: AttemptKey) -> String {
    format!("attempt/{}/{}/{}", key.run, key.step, key.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::GroupName;

    /// A grant of a release that did not sign is sound in a ledger without keys, and is not where keys are.
    #[test]
    fn i11_a_grant_without_a_signature_is_one_of_before_there_were_keys() {
        let at = At { position: None, event: crate::model::id::EventId(1) };
        let when = DateTime::UNIX_EPOCH;
        let facts = GrantFacts {
            at,
            when,
            run: RunId(1),
            request: RequestId(1),
            digest: Digest([0; 32]),
            valid_until: when,
            start_by: None,
            unasked: false,
            under: None,
            signed: None,
        };
        let mut replay = Replay::default();
        assert!(replay.wrong_with_signature(GrantId(1), &facts, &[], None).is_empty());
        let key = KeyFacts { at, when, host: String::new(), by: String::new(), retired: None };
        replay.keys.insert(PublicKey([0; 32]), key);
        let wrong = replay.wrong_with_signature(GrantId(1), &facts, &[], None);
        assert_eq!(wrong, ["it bears no signature, and grants were signed by then"]);
    }

    #[test]
    fn values_are_quoted_escaped_and_cut() {
        assert_eq!(shown(None), "nothing");
        assert_eq!(shown(Some("not now")), "`not now`");
        assert_eq!(shown(Some("a\n- Ledger sound")), "`a\\n- Ledger sound`");
        assert_eq!(shown(Some(&"x".repeat(81))), format!("`{}…`", "x".repeat(80)));
    }

    #[test]
    fn i7_a_stage_that_names_people_asks_nobody_else() {
        let person = |name| PersonId::new(name);
        let named = Stage::new(vec![Subject::Person(person("boss"))], 1);
        assert!(could_decide(&named, &person("boss")) && !could_decide(&named, &person("lin")));
        let group = Stage::new(vec![Subject::Group(GroupName::new("managers"))], 1);
        assert!(could_decide(&group, &person("lin")));
    }
}

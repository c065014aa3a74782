//! Proof of segregation: who asked, who agreed and what executed each privileged run, from the ledger alone.
//!
//! What lives here: a projection of the events to a list of runs, what is out of the ordinary about each, and what must
//! never be. What does not: whether the ledger itself is whole ([`mod@super::verify`] says so), and the state tables, which
//! are not asked. Keeps I7 by showing it: somebody who asked for a run and counts among those who agreed is a violation.
//!
//! A run is privileged when agreement was asked for, or an attempt of it names a grant. A new kind of event is one more arm
//! of [`Projection::happened`], and there is no wildcard: it does not compile until somebody has thought about it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::LedgerError;
use crate::model::approval::Because;
use crate::model::event::{Executor, Happened, Record, Under, WhoAsked};
use crate::model::id::{Digest, EventId, GrantId, PersonId, Position, RequestId, RunId};
use crate::model::plan::Sealed;
use crate::model::policy::Relaxed;
use crate::model::request::{Answer, Freeing, Proof, Wish};
use crate::model::run::Verdict;
use crate::model::signature::Basis;
use crate::store::{ChainRow, Snapshot, Store};

/// The list, and over what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segregation {
    /// The ledger's name.
    pub ledger: Option<String>,
    /// Whether it is a trial's, in which one person may speak as several: then it proves nothing about people.
    pub trial: bool,
    /// The newest place that was read, with its hash: what to give to `audit verify`.
    pub head: Option<String>,
    /// Runs planned at or after this.
    pub from: Option<DateTime<Utc>>,
    /// And before this.
    pub until: Option<DateTime<Utc>>,
    /// The privileged runs, oldest first.
    pub runs: Vec<PrivilegedRun>,
    /// How many bodies of events could not be read: erased, missing, or of a later version.
    pub unread: u64,
}

/// A run that may have changed something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivilegedRun {
    /// Its number.
    pub run: RunId,
    /// When it was asked for.
    pub at: DateTime<Utc>,
    /// The deed.
    pub deed: String,
    /// The runbook.
    pub runbook: String,
    /// The system.
    pub system: Option<String>,
    /// Its environment.
    pub environment: Option<String>,
    /// The plan.
    pub digest: Digest,
    /// Everybody who counts as having asked.
    pub requesters: Vec<PersonId>,
    /// By which account it was asked for.
    pub account: String,
    /// The trigger that asked, if no person did.
    pub trigger: Option<String>,
    /// Who changed the runbook last, when its plan says so.
    pub author: Option<PersonId>,
    /// Where it stands.
    pub state: String,
    /// What was asked for, in order: to start, and further attempts.
    pub requests: Vec<Asked>,
    /// What started its attempts.
    pub executors: Vec<Executor>,
    /// How many attempts started.
    pub attempts: u64,
    /// What is out of the ordinary, and allowed.
    pub exceptions: Vec<Remark>,
    /// What must never be.
    pub violations: Vec<Remark>,
}

/// One asking for agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Its code.
    pub code: String,
    /// The step of which a further attempt was asked for; `None`: the start of the run.
    pub retry_step: Option<u32>,
    /// How it ended: `pending`, `granted`, `denied`, `expired`, `withdrawn`.
    pub state: String,
    /// Who approved, in order.
    pub approvers: Vec<Approver>,
}

/// Somebody who approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approver {
    /// Who.
    pub person: PersonId,
    /// By which account.
    pub account: String,
    /// In which stage, counted from 1.
    pub stage: u32,
    /// When.
    pub at: DateTime<Utc>,
    /// How they were known: `chat`, `passkey`.
    pub proof: String,
    /// For whom, if they decided in somebody's place.
    pub on_behalf_of: Option<PersonId>,
    /// By which line or button.
    pub line: Option<i64>,
    /// Whether they took it back.
    pub taken_back: bool,
    /// Whether the approval counted when the grant was given.
    pub counted: bool,
}

/// Something to know of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What kind: a word that stays the same.
    pub kind: String,
    /// In one sentence.
    pub text: String,
}

impl Segregation {
    /// How many things must never be.
    pub fn violations(&self) -> usize {
        self.runs.iter().map(|run| run.violations.len()).sum()
    }
}

/// Reads the ledger and lists its privileged runs that were asked for within a time.
///
/// # Errors
/// When the database cannot be asked.
pub async fn segregation(
    store: &Store,
    from: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
) -> Result<Segregation, LedgerError> {
    let mut snapshot = store.snapshot().await?;
    let mut projection = Projection { authors: authors(&mut snapshot).await?, ..Projection::default() };
    let head = chained(&mut snapshot, &mut projection).await?;
    let mut after = EventId(i64::MIN);
    loop {
        let page = snapshot.list_waiting(after).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for event in page.into_iter().filter_map(|row| row.event) {
            projection.event(&event);
        }
    }
    Ok(projection.finish(head, from, until))
}

/// Whom plans name as the author of their runbook's last change. Bytes that are not those of their digest say nothing; the
/// digest is the ledger's, so what the others say is what was agreed to.
async fn authors(snapshot: &mut Snapshot) -> Result<BTreeMap<Digest, PersonId>, LedgerError> {
    let mut authors = BTreeMap::new();
    let mut after = Vec::new();
    loop {
        let page = snapshot.list_plans(&after).await?;
        let Some((last, _)) = page.last() else { return Ok(authors) };
        after.clone_from(last);
        for (digest, bytes) in page {
            let sealed = Sealed::from_stored(bytes);
            let author = sealed.open().ok().and_then(|plan| plan.author);
            if let Some(author) = author.filter(|_| sealed.digest().0[..] == digest[..]) {
                authors.insert(sealed.digest(), author);
            }
        }
    }
}

async fn chained(snapshot: &mut Snapshot, projection: &mut Projection) -> Result<Option<String>, LedgerError> {
    let mut head = None;
    let mut after = Position(i64::MIN);
    loop {
        let page = snapshot.list_chain(after).await?;
        let Some((last, hash)) = page.last().and_then(|row| row.place.clone()) else { return Ok(head) };
        after = last;
        head = Digest::from_slice(&hash).map(|hash| format!("{last}:{}", hash.short()));
        for event in page.into_iter().filter_map(|row| row.event) {
            projection.event(&event);
        }
    }
}

/// What the events come to so far.
#[derive(Debug, Default)]
struct Projection {
    ledger: Option<(String, bool)>,
    runs: BTreeMap<RunId, Found>,
    requests: BTreeMap<RequestId, RunId>,
    /// Who changed the runbook of a plan last.
    authors: BTreeMap<Digest, PersonId>,
    unread: u64,
}

/// Who may not agree to a request.
#[derive(Debug, Clone, Default)]
struct Barred {
    /// Who asked.
    requesters: BTreeSet<PersonId>,
    /// Who wrote the runbook, if its policy leaves them out.
    excluded: Vec<PersonId>,
}

impl Barred {
    /// Why somebody may not agree, if they may not. `may`: whoever asked may.
    fn why(&self, person: &PersonId, may: bool) -> Option<(&'static str, &'static str)> {
        if self.requesters.contains(person) && !may {
            Some(("own_approval", "asked for it"))
        } else if self.excluded.contains(person) {
            Some(("author_approval", "made the last change of its runbook, which its policy leaves out,"))
        } else {
            None
        }
    }
}

/// A run so far, privileged or not.
#[derive(Debug)]
struct Found {
    shown: PrivilegedRun,
    privileged: bool,
    /// The requests, in order, with who may not agree to them.
    requests: Vec<(RequestId, Barred)>,
    /// Grants that were given, and whether they are in force.
    grants: BTreeMap<GrantId, bool>,
}

impl Found {
    fn except(&mut self, kind: &str, text: String) {
        self.shown.exceptions.push(Remark { kind: kind.to_owned(), text });
    }

    fn violate(&mut self, kind: &str, text: String) {
        self.shown.violations.push(Remark { kind: kind.to_owned(), text });
    }

    /// What speaks against those by whose right it was granted, each in their own name or another's, and what of separation its
    /// policy gave up for them.
    fn judge(
        &mut self,
        code: &str,
        relaxed: &[Relaxed],
        sides: impl IntoIterator<Item = PersonId>,
        barred: &[&Barred],
    ) {
        for rule in relaxed {
            let text = match rule {
                Relaxed::RequesterMayAgree => "who asked may also agree",
                Relaxed::OnePersonSeveralStages => "one person may agree in several stages",
            };
            self.except("relaxed", format!("The policy of {code} says that {text}, and that was used."));
        }
        let may = relaxed.contains(&Relaxed::RequesterMayAgree);
        let sides: BTreeSet<PersonId> = sides.into_iter().collect();
        for person in sides {
            if let Some((kind, why)) = barred.iter().find_map(|barred| barred.why(&person, may)) {
                self.violate(kind, format!("{person} {why} and counts among those who agreed to {code}."));
            }
            let excluded = barred.iter().any(|barred| barred.excluded.contains(&person));
            if self.shown.author.as_ref() == Some(&person) && !excluded {
                self.except("author", format!("{person} made the last change of the runbook and agreed to {code}."));
            }
        }
    }

    fn asked(&mut self, request: RequestId) -> Option<(&mut Asked, &mut Barred)> {
        let index = self.requests.iter().position(|(id, _)| *id == request)?;
        let (asked, of) = (self.shown.requests.get_mut(index)?, self.requests.get_mut(index)?);
        Some((asked, &mut of.1))
    }
}

impl Projection {
    fn event(&mut self, row: &ChainRow) {
        let record = row.body.as_ref().and_then(|(_, body)| serde_json::from_slice::<Record>(body).ok());
        let Some(Record { what, rows }) = record else {
            // An event that says that another was erased is no record, and tells of no run.
            if row.kind != super::verify::ERASED {
                self.unread += 1;
                if let Some(found) = row.scope.run.and_then(|run| self.runs.get_mut(&run)) {
                    found.except("unread", format!("An event of kind `{}` can no longer be read.", row.kind));
                }
            }
            return;
        };
        self.happened(row, what);
        for mark in rows {
            let run = mark.row.strip_prefix("run/").and_then(|run| run.parse().ok()).map(RunId);
            if let Some(found) = run.and_then(|run| self.runs.get_mut(&run)) {
                found.shown.state.clone_from(&mark.state);
            }
            let grant = mark.row.strip_prefix("grant/").and_then(|grant| grant.parse().ok()).map(GrantId);
            let run = row.scope.run.and_then(|run| self.runs.get_mut(&run));
            if let (Some(grant), Some(found)) = (grant, run) {
                found.grants.insert(grant, mark.state == "granted");
            }
        }
    }

    fn of_request(&mut self, request: RequestId) -> Option<&mut Found> {
        self.requests.get(&request).and_then(|run| self.runs.get_mut(run))
    }

    fn request_ended(&mut self, request: RequestId, state: &str) {
        if let Some((asked, _)) = self.of_request(request).and_then(|found| found.asked(request)) {
            state.clone_into(&mut asked.state);
        }
    }

    /// A run that starts under an earlier approval: those who agreed to that one must not be among those who asked for either.
    #[expect(clippy::too_many_arguments, reason = "the parts of one event")]
    fn granted_under(
        &mut self,
        run: RunId,
        grant: GrantId,
        request: RequestId,
        code: &str,
        digest: Digest,
        by: &[PersonId],
        relaxed: &[Relaxed],
        under: &Under,
    ) {
        let original = self.of_request(under.request).and_then(|found| {
            let (asked, barred) = found.asked(under.request)?;
            let counted = || asked.approvers.iter().filter(|one| one.counted);
            let agreed: Vec<PersonId> = counted().map(|one| one.person.clone()).collect();
            let holders: Vec<PersonId> = counted().filter_map(|one| one.on_behalf_of.clone()).collect();
            Some((agreed, holders, barred.clone(), asked.state == "granted"))
        });
        let Some(found) = self.runs.get_mut(&run) else { return };
        found.privileged = true;
        found.grants.insert(grant, true);
        if digest != found.shown.digest {
            let text = format!("{code} was granted for another plan ({}) than that of the run.", digest.short());
            found.violate("other_plan", text);
        }
        let text =
            format!("{code} is run {} of {} under {}: nobody was asked again.", under.number, under.of, under.code);
        found.except("under", text);
        let Some((asked, barred)) = found.asked(request) else {
            found.violate("not_asked", format!("{code} was granted, and nobody asked for it."));
            return;
        };
        "granted".clone_into(&mut asked.state);
        let barred = barred.clone();
        let Some((agreed, holders, before, true)) = original else {
            let text = format!("{code} was granted under {}, which nobody had agreed to.", under.code);
            found.violate("no_approval", text);
            return;
        };
        found.judge(code, relaxed, by.iter().cloned().chain(holders), &[&barred, &before]);
        for person in by.iter().filter(|person| !agreed.contains(person)) {
            let text =
                format!("{person} counts among those who agreed to {code}, and no approval of theirs is recorded.");
            found.violate("no_approval", text);
        }
        if by.is_empty() {
            found.violate("no_approval", format!("{code} was granted, and nobody agreed."));
        }
    }

    /// One event. Every kind is listed: a new one says here what it means for who did what.
    fn happened(&mut self, row: &ChainRow, what: Happened) {
        match what {
            Happened::LedgerCreated { trial, ledger } => {
                self.ledger.get_or_insert((ledger, trial));
            }
            Happened::RunPlanned { run, deed, runbook, params: _, digest, requester, account, room: _, trigger } => {
                let shown = PrivilegedRun {
                    run,
                    at: row.at,
                    deed,
                    runbook: runbook.to_string(),
                    system: row.scope.system.as_ref().map(ToString::to_string),
                    environment: row.scope.environment.clone(),
                    digest,
                    requesters: vec![requester],
                    account: account.to_string(),
                    trigger: trigger.map(|trigger| trigger.to_string()),
                    author: self.authors.get(&digest).cloned(),
                    state: String::new(),
                    requests: Vec::new(),
                    executors: Vec::new(),
                    attempts: 0,
                    exceptions: Vec::new(),
                    violations: Vec::new(),
                };
                let found = Found { shown, privileged: false, requests: Vec::new(), grants: BTreeMap::new() };
                self.runs.insert(run, found);
            }
            Happened::RequestAsked {
                request,
                code,
                run,
                retry_step,
                digest,
                requesters,
                stages: _,
                expires_at: _,
                excluded,
                wish,
                // Whether those who were needed agreed is `audit verify`'s to say.
                carried: _,
            } => {
                self.requests.insert(request, run);
                let Some(found) = self.runs.get_mut(&run) else { return };
                found.privileged = true;
                if digest != found.shown.digest {
                    let text = format!("{code} asked for another plan ({}) than that of the run.", digest.short());
                    found.violate("other_plan", text);
                }
                for person in &requesters {
                    if !found.shown.requesters.contains(person) {
                        found.shown.requesters.push(person.clone());
                    }
                }
                let asked =
                    Asked { code: code.to_string(), retry_step, state: "pending".to_owned(), approvers: Vec::new() };
                if let Some(Wish { what, by, why: _ }) = &wish {
                    let deed = match what {
                        Freeing::Skip => "leave out",
                        Freeing::JudgeWorked => "count as done",
                        Freeing::JudgeFailed => "count as failed",
                    };
                    let text = format!("{by} wanted to {deed} the stuck step ({code}).");
                    found.except("freeing", text);
                }
                found.shown.requests.push(asked);
                let barred = Barred { requesters: requesters.into_iter().collect(), excluded };
                found.requests.push((request, barred));
            }
            Happened::PeopleAsked { request, code, people, .. } => {
                let Some(found) = self.of_request(request) else { return };
                for WhoAsked { person, because } in people {
                    match because {
                        Because::Stage | Because::Needed => {}
                        Because::Escalation(number) => {
                            let text = format!("{person} was asked about {code} by escalation {}.", number + 1);
                            found.except("escalated", text);
                        }
                        Because::Turn => {
                            let text = format!("{person} was asked about {code} as the next on call.");
                            found.except("escalated", text);
                        }
                        Because::Delegate(giver) => {
                            let text = format!("{person} was asked about {code} in place of {giver}.");
                            found.except("delegated", text);
                        }
                    }
                }
            }
            Happened::RequestHandedOver { request, code, run: _, from, to, requesters } => {
                let Some(found) = self.of_request(request) else { return };
                for person in &requesters {
                    if !found.shown.requesters.contains(person) {
                        found.shown.requesters.push(person.clone());
                    }
                }
                if let Some((_, barred)) = found.asked(request) {
                    // Never fewer: whoever asked once stays on that side.
                    barred.requesters.extend(requesters);
                }
                found.except("handed_over", format!("{to} took {code} over from {from}."));
            }
            Happened::RunHandedOver { run, from, to } => {
                if let Some(found) = self.runs.get_mut(&run) {
                    found.except("handed_over", format!("{to} took the run over from {from}."));
                }
            }
            Happened::Decided { request, code, stage, person, account, answer, reason: _, on_behalf_of, proof } => {
                let Some(found) = self.of_request(request) else { return };
                if answer == Answer::Deny {
                    return;
                }
                let (of_asker, account) = (found.shown.account.clone(), account.to_string());
                let Some((asked, barred)) = found.asked(request) else { return };
                let own = barred.requesters.contains(&person);
                asked.approvers.push(Approver {
                    person: person.clone(),
                    account: account.clone(),
                    stage: stage.saturating_add(1),
                    at: row.at,
                    proof: match proof {
                        Proof::Chat => "chat".to_owned(),
                        Proof::Passkey { .. } => "passkey".to_owned(),
                    },
                    on_behalf_of,
                    line: row.cause.map(|line| line.0),
                    taken_back: false,
                    counted: false,
                });
                if !own && account == of_asker {
                    let text = format!("{person} approved {code} by {account}, the account that asked for it.");
                    found.violate("same_account", text);
                }
            }
            Happened::DecisionTakenBack { request, code: _, stage, person, account: _, line, passkey: _ } => {
                let Some((asked, _)) = self.of_request(request).and_then(|found| found.asked(request)) else { return };
                let same = |one: &&mut Approver| {
                    one.stage == stage.saturating_add(1) && one.person == person && one.line == Some(line.0)
                };
                if let Some(one) = asked.approvers.iter_mut().find(same) {
                    one.taken_back = true;
                }
            }
            Happened::RequestGranted {
                request,
                code,
                run,
                grant,
                digest,
                by,
                automatic,
                valid_until: _,
                start_by: _,
                relaxed,
                signed,
                broken,
                under,
                unasked,
                covers: _,
            } => {
                if let Some(under) = &under {
                    self.granted_under(run, grant, request, &code.to_string(), digest, &by, &relaxed, under);
                    return;
                }
                let Some(found) = self.runs.get_mut(&run) else { return };
                found.privileged = true;
                found.grants.insert(grant, true);
                if digest != found.shown.digest {
                    let text =
                        format!("{code} was granted for another plan ({}) than that of the run.", digest.short());
                    found.violate("other_plan", text);
                }
                if let Some(trigger) = &automatic {
                    let text = format!(
                        "Nobody was asked about {code}: its policy lets the trigger {trigger} start by itself."
                    );
                    found.except("automatic", text);
                }
                if let Some(started) = &unasked {
                    let text = format!(
                        "Nobody was asked about {code}: its policy lets {} start it, run {} of {} in its window.",
                        started.person, started.number, started.of
                    );
                    found.except("unasked", text);
                }
                let Some((asked, barred)) = found.asked(request) else {
                    found.violate("not_asked", format!("{code} was granted, and nobody asked for it."));
                    return;
                };
                "granted".clone_into(&mut asked.state);
                let counted =
                    signed.and_then(|signed| signed.verify().ok()).and_then(|statement| match statement.basis {
                        Basis::Decisions { counted, .. } => Some(counted),
                        Basis::Rule { .. } => None,
                    });
                for one in &mut asked.approvers {
                    one.counted = match &counted {
                        Some(counted) => counted.iter().any(|signed| {
                            signed.stage.saturating_add(1) == one.stage
                                && signed.person == one.person
                                && Some(signed.line.0) == one.line
                        }),
                        // Before grants were signed only the names were told.
                        None => by.contains(&one.person) && !one.taken_back,
                    };
                }
                let barred = barred.clone();
                // Whoever agreed in another's place used that one's right: neither may be on the other side.
                let holders =
                    asked.approvers.iter().filter(|one| one.counted).filter_map(|one| one.on_behalf_of.clone());
                let sides: Vec<PersonId> = by.iter().cloned().chain(holders).collect();
                let silent = |person: &&PersonId| !asked.approvers.iter().any(|one| one.person == **person);
                let silent: Vec<PersonId> = by.iter().filter(silent).cloned().collect();
                found.judge(&code.to_string(), &relaxed, sides, &[&barred]);
                for person in silent {
                    let text = format!(
                        "{person} counts among those who agreed to {code}, and no approval of theirs is recorded."
                    );
                    found.violate("no_approval", text);
                }
                if by.is_empty() && automatic.is_none() && broken.is_none() && unasked.is_none() {
                    found.violate("no_approval", format!("{code} was granted, and nobody agreed."));
                }
            }
            Happened::RequestSentBack { request, .. } => self.request_ended(request, "sent back"),
            Happened::RequestSuperseded { request, .. } => self.request_ended(request, "superseded"),
            Happened::RequestDenied { request, .. } => self.request_ended(request, "denied"),
            Happened::RequestExpired { request, .. } => self.request_ended(request, "expired"),
            Happened::RequestWithdrawn { request, .. } => self.request_ended(request, "withdrawn"),
            Happened::AttemptStarted { run, step, number, digest, grant, executor } => {
                let Some(found) = self.runs.get_mut(&run) else { return };
                found.shown.attempts += 1;
                found.privileged |= grant.is_some();
                if let Some(executor) = executor.filter(|executor| !found.shown.executors.contains(executor)) {
                    found.shown.executors.push(executor);
                }
                let wrong = match grant {
                    _ if digest != found.shown.digest => Some("under another plan than that of the run"),
                    Some(grant) => match found.grants.get(&grant) {
                        Some(true) => None,
                        Some(false) => Some("under a grant that was no longer in force"),
                        None => Some("under a grant that nobody gave to this run"),
                    },
                    // A plan with any step that may change something starts no step before its grant.
                    None if found.privileged && found.grants.is_empty() => Some("before anybody had agreed"),
                    None => None,
                };
                if let Some(wrong) = wrong {
                    found.violate("started", format!("Attempt {number} of step {step} was started {wrong}."));
                }
            }
            Happened::GlassBroken { code, run, person, own, .. } => {
                let Some(found) = self.runs.get_mut(&run) else { return };
                let own = if own { ", who had asked for it," } else { "" };
                let text = format!("{person}{own} broke the glass ({code}) and started it without agreement.");
                found.except("glass_broken", text);
            }
            Happened::ReviewOverdue { code, run, .. } => {
                let Some(found) = self.runs.get_mut(&run) else { return };
                found.except("review_overdue", format!("The review of {code} was overdue."));
            }
            Happened::Reviewed { code, run, by, verdict, .. } => {
                let Some(found) = self.runs.get_mut(&run) else { return };
                let text = format!("{by} reviewed {code}: {}.", verdict.words());
                found.except("reviewed", text);
            }
            Happened::CoverEnded { .. } => {}
            Happened::LaterRefused { code, run, why, .. } => {
                let Some(found) = self.runs.get_mut(&run) else { return };
                found.except("later_refused", format!("Approved as {code} to start later, and not started: {why}."));
            }
            Happened::AttemptSkipped { run, step, number, by, why: _, request: _ } => {
                let Some(found) = self.runs.get_mut(&run) else { return };
                let text = format!("Attempt {number} of step {step} was left out, as {by} wanted.");
                found.except("skipped", text);
            }
            Happened::AttemptJudged { run, step, number, by, verdict, why: _, request: _ } => {
                let Some(found) = self.runs.get_mut(&run) else { return };
                let as_what = match verdict {
                    Verdict::Worked => "worked",
                    Verdict::Failed => "failed",
                };
                let own = if found.shown.requesters.contains(&by) { ", who had asked for the run," } else { "" };
                let text = format!("{by}{own} judged that attempt {number} of step {step} {as_what}.");
                found.except("judged", text);
            }
            Happened::GrantEnded { grant, run, state: _ } => {
                if let Some(found) = self.runs.get_mut(&run) {
                    found.grants.insert(grant, false);
                }
            }
            Happened::RunStopped { run, by, done: _, unknown: _, not_started: _, skipped: _, revoked } => {
                if let Some(found) = self.runs.get_mut(&run) {
                    let text = match revoked {
                        Some(revoked) => {
                            format!("{by} took the approval {} away before anything had begun.", revoked.code)
                        }
                        None => format!("{by} stopped it."),
                    };
                    found.except("stopped", text);
                }
            }
            Happened::LineSaid { .. }
            | Happened::LineEdited { .. }
            | Happened::CatalogLoaded { .. }
            | Happened::CatalogRefused { .. }
            | Happened::RequestDiffers { .. }
            | Happened::AttemptEnded { .. }
            | Happened::AttemptProgress { .. }
            | Happened::AttemptLost { .. }
            | Happened::RunSucceeded { .. }
            | Happened::RunFailed { .. }
            | Happened::RunStuck { .. }
            | Happened::RunStopping { .. }
            | Happened::CheckTurned { .. }
            | Happened::CheckFlaps { .. }
            | Happened::CheckSteady { .. }
            | Happened::IncidentOpened { .. }
            | Happened::IncidentAcknowledged { .. }
            | Happened::IncidentMitigated { .. }
            | Happened::IncidentRecurred { .. }
            | Happened::IncidentResolved { .. }
            | Happened::IncidentReopened { .. }
            | Happened::IncidentNoted { .. }
            | Happened::IncidentRoomMade { .. }
            | Happened::IncidentRoomInvited { .. }
            | Happened::IncidentRoomRefused { .. }
            | Happened::IncidentRoomArchived { .. }
            | Happened::TriggerFired { .. }
            | Happened::TriggerHeld { .. }
            | Happened::TriggerReleased { .. }
            | Happened::AutomationPaused { .. }
            | Happened::AutomationResumed { .. }
            | Happened::AccessBegun { .. }
            | Happened::AccessTaken { .. }
            | Happened::AccessProposed { .. }
            | Happened::AccessCountersigned { .. }
            | Happened::AccessAccepted { .. }
            | Happened::AccessRefused { .. }
            | Happened::AccessExpired { .. }
            | Happened::AccessSuperseded { .. }
            | Happened::AccessAuthors { .. }
            | Happened::RequestReminded { .. }
            | Happened::RequestRung { .. }
            | Happened::RingFailed { .. }
            | Happened::RequestLookedAt { .. }
            | Happened::DelegationGiven { .. }
            | Happened::DelegationEnded { .. }
            | Happened::HandoverOffered { .. }
            | Happened::HandoverReminded { .. }
            | Happened::HandoverTaken { .. }
            | Happened::HandoverLapsed { .. }
            | Happened::GroupSeen { .. }
            | Happened::GroupUnseen { .. }
            | Happened::WasAway { .. }
            | Happened::RoomChanged { .. }
            | Happened::KeyAdded { .. }
            | Happened::KeyRetired { .. }
            | Happened::CatalogWarned { .. }
            | Happened::PasskeyInvited { .. }
            | Happened::PasskeyAdded { .. }
            | Happened::PasskeyRemoved { .. }
            | Happened::DecisionLinked { .. }
            | Happened::PasskeyUsed { .. }
            | Happened::ClockJumped { .. } => {}
        }
    }

    fn finish(self, head: Option<String>, from: Option<DateTime<Utc>>, until: Option<DateTime<Utc>>) -> Segregation {
        let within = |at: DateTime<Utc>| from.is_none_or(|from| at >= from) && until.is_none_or(|until| at < until);
        let mut runs: Vec<PrivilegedRun> = self
            .runs
            .into_values()
            .filter(|found| found.privileged && within(found.shown.at))
            .map(|found| found.shown)
            .collect();
        for run in &mut runs {
            for asked in &run.requests {
                if let Some(step) = asked.retry_step.filter(|_| asked.state == "granted") {
                    let by: Vec<&str> =
                        asked.approvers.iter().filter(|one| one.counted).map(|one| one.person.as_str()).collect();
                    let text = format!("A further attempt of step {step} was approved by {}.", by.join(", "));
                    run.exceptions.push(Remark { kind: "retried".to_owned(), text });
                }
            }
        }
        let (ledger, trial) = self.ledger.unzip();
        Segregation { ledger, trial: trial.unwrap_or(false), head, from, until, runs, unread: self.unread }
    }
}

/// A value from outside on one line, without anything that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|letter| if letter.is_control() { letter.escape_default().collect() } else { vec![letter] })
        .collect()
}

fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

fn names(people: &[PersonId]) -> String {
    people.iter().map(PersonId::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Segregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = match (self.from, self.until) {
            (None, None) => "of all time".to_owned(),
            (Some(from), None) => format!("from {}", moment(from)),
            (None, Some(until)) => format!("until {}", moment(until)),
            (Some(from), Some(until)) => format!("from {} until {}", moment(from), moment(until)),
        };
        let runs = match self.runs.len() {
            1 => "1 privileged run".to_owned(),
            count => format!("{count} privileged runs"),
        };
        let of = self.ledger.as_deref().unwrap_or("without a name");
        writeln!(f, "Segregation of duties: {runs} {range}, ledger {of}.")?;
        match &self.head {
            Some(head) => {
                writeln!(f, "Read up to {head}; `countersign audit verify --head {head}` says whether that is whole.")?
            }
            None => writeln!(f, "The ledger is empty.")?,
        }
        if self.trial {
            writeln!(
                f,
                "This is a trial's ledger: one person may have spoken as several, so it proves nothing about people."
            )?;
        }
        if self.unread > 0 {
            writeln!(f, "{} events could not be read; what they told is missing here.", self.unread)?;
        }
        for run in &self.runs {
            write!(f, "\n{run}")?;
        }
        match self.violations() {
            0 => writeln!(f, "\nNo violation: nobody who asked counts among those who agreed."),
            1 => writeln!(f, "\n1 violation."),
            count => writeln!(f, "\n{count} violations."),
        }
    }
}

impl fmt::Display for PrivilegedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match (&self.system, &self.environment) {
            (Some(system), Some(environment)) => format!(" on {system} ({environment})"),
            (Some(system), None) => format!(" on {system}"),
            (None, _) => String::new(),
        };
        let state = if self.state.is_empty() { "not known" } else { &self.state };
        writeln!(f, "Run {} · {} · {}{place} · {state}", self.run, moment(self.at), plain(&self.deed))?;
        writeln!(f, "  runbook    {} · plan {}", plain(&self.runbook), self.digest.short())?;
        let by = match &self.trigger {
            Some(trigger) => format!("the trigger {}", plain(trigger)),
            None => plain(&self.account),
        };
        writeln!(f, "  requesters {} · by {by}", names(&self.requesters))?;
        writeln!(f, "  author     {}", self.author.as_ref().map_or("not known", PersonId::as_str))?;
        for asked in &self.requests {
            let what = match asked.retry_step {
                None => "start".to_owned(),
                Some(step) => format!("further attempt of step {step}"),
            };
            writeln!(f, "  request    {} · {what} · {}", asked.code, asked.state)?;
            for one in &asked.approvers {
                let behalf = one.on_behalf_of.as_ref().map(|whom| format!(" for {whom}")).unwrap_or_default();
                let counted = match one {
                    Approver { taken_back: true, .. } => " · taken back",
                    Approver { counted: false, .. } if asked.state == "granted" => " · did not count",
                    _ => "",
                };
                writeln!(
                    f,
                    "  approver   {}{behalf} · {} · stage {} · {} · {}{counted}",
                    one.person,
                    plain(&one.account),
                    one.stage,
                    one.proof,
                    moment(one.at)
                )?;
            }
            if asked.approvers.is_empty() {
                writeln!(f, "  approver   nobody")?;
            }
        }
        for executor in &self.executors {
            writeln!(f, "  executor   {} · worker {}", plain(&executor.host), executor.worker)?;
        }
        match (self.attempts, self.executors.is_empty()) {
            (0, _) => writeln!(f, "  executor   nothing was started")?,
            (_, true) => writeln!(f, "  executor   not in the ledger")?,
            (_, false) => {}
        }
        for remark in &self.exceptions {
            writeln!(f, "  exception  {}", plain(&remark.text))?;
        }
        for remark in &self.violations {
            writeln!(f, "  VIOLATION  {}", plain(&remark.text))?;
        }
        Ok(())
    }
}

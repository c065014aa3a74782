//! What happened, as the ledger keeps it.
//!
//! What lives here: one enum with a variant for each kind of event, and the marks by which verification compares the
//! ledger with the tables (I11). What does not: hashing and ordering (`ledger`), wording (`text`). A body's shape has a
//! version; released versions stay readable, with samples as tests.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::access::{Access, Change};
use super::approval::Because;
use super::catalog::{Stage, TriggerMode};
use super::chat::{Account, RoomAddress, RoomChange, UserGroup};
use super::code::Code;
use super::id::{
    AccessId, CheckName, DelegationId, Digest, EventId, GrantId, GroupName, HandoverId, InboxId, IncidentId, MessageId,
    PasskeyId, PersonId, Position, RequestId, RingId, RunId, RunbookName, ServiceName, SystemName, ThreadId,
    TriggerName,
};
use super::incident_room::RoomDeed;
use super::policy::{Carried, Relaxed};
use super::request::{Answer, OnPage, Proof, ReviewVerdict, Wish};
use super::run::{Outcome, Verdict};
use super::signature::{PublicKey, Signed};

/// The version of bodies that this binary writes.
pub const EVENT_SCHEMA: i16 = 1;

/// An event about to be recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What it is about.
    pub scope: Scope,
    /// The line or button that led to it.
    pub cause: Option<InboxId>,
    /// What happened, and which rows it changed.
    pub record: Record,
}

/// What an event is about; each part may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// The system.
    pub system: Option<SystemName>,
    /// Its environment.
    pub environment: Option<String>,
    /// The incident.
    pub incident: Option<IncidentId>,
    /// The run.
    pub run: Option<RunId>,
    /// Who may read it, when that is not everybody in the room: an account.
    pub audience: Option<String>,
}

/// An event's body: what is hashed and, unless erased, kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What happened.
    pub what: Happened,
    /// The state rows that the same transaction changed, as they are after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<RowMark>,
}

/// A state row as it is after an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowMark {
    /// `run/12`, `request/7`, `grant/3`, `incident/7`, `access/2` or `attempt/12/1/2`.
    pub row: String,
    /// Its state.
    pub state: String,
    /// Its version.
    pub version: i64,
}

impl RowMark {
    /// The mark of a run.
    pub fn run(id: RunId, state: &str, version: i64) -> Self {
        Self { row: format!("run/{id}"), state: state.to_owned(), version }
    }

    /// The mark of a request.
    pub fn request(id: RequestId, state: &str, version: i64) -> Self {
        Self { row: format!("request/{id}"), state: state.to_owned(), version }
    }

    /// The mark of a grant.
    pub fn grant(id: GrantId, state: &str, version: i64) -> Self {
        Self { row: format!("grant/{id}"), state: state.to_owned(), version }
    }

    /// The mark of an incident.
    pub fn incident(id: IncidentId, state: &str, version: i64) -> Self {
        Self { row: format!("incident/{id}"), state: state.to_owned(), version }
    }

    /// The mark of a version of who may do what.
    pub fn access(id: AccessId, state: &str, version: i64) -> Self {
        Self { row: format!("access/{id}"), state: state.to_owned(), version }
    }

    /// The mark of a delegation.
    pub fn delegation(id: DelegationId, state: &str, version: i64) -> Self {
        Self { row: format!("delegation/{id}"), state: state.to_owned(), version }
    }

    /// The mark of a handover.
    pub fn handover(id: HandoverId, state: &str, version: i64) -> Self {
        Self { row: format!("handover/{id}"), state: state.to_owned(), version }
    }

    /// The mark of the review of a request.
    pub fn review(id: RequestId, state: &str, version: i64) -> Self {
        Self { row: format!("review/{id}"), state: state.to_owned(), version }
    }

    /// The mark of an attempt.
    pub fn attempt(run: RunId, step: u32, number: u32, state: &str, version: i64) -> Self {
        Self { row: format!("attempt/{run}/{step}/{number}"), state: state.to_owned(), version }
    }
}

/// Somebody who was asked, and why they.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAsked {
    /// Who.
    pub person: PersonId,
    /// Why.
    pub because: Because,
}

impl WhoAsked {
    /// Whose right it is: their own, or that of whoever lets them answer.
    pub fn holder(&self) -> &PersonId {
        match &self.because {
            Because::Delegate(giver) => giver,
            Because::Stage | Because::Escalation(_) | Because::Turn | Because::Needed => &self.person,
        }
    }
}

/// The approval under which a run starts without asking again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Under {
    /// The request that was approved.
    pub request: RequestId,
    /// Its code.
    pub code: Code,
    /// Which run under it this is; its own is 1.
    pub number: u32,
    /// How many it covers.
    pub of: u32,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// The rule by which somebody started a run without anybody's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedUnasked {
    /// Who asked, and was let.
    pub person: PersonId,
    /// Which run of the window this is, counted from 1.
    pub number: u32,
    /// How many there may be.
    pub of: u32,
    /// In how many seconds.
    pub per_secs: u64,
}

/// What an approval covers beside its own run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covers {
    /// How many runs, with its own.
    pub runs: u32,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// An approval that was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The code of its request.
    pub code: Code,
    /// Why, if they said; redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What happened. The names of the variants are stored: they never change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Happened {
    /// The ledger's first event.
    LedgerCreated {
        /// Whether this ledger is a trial's, in which one person may speak as several.
        trial: bool,
        /// A random name, so that heads of two ledgers are not mixed up.
        ledger: String,
    },
    /// Something was said to the bot, or in a room in which it listens.
    LineSaid {
        /// Where.
        room: RoomAddress,
        /// In which thread.
        thread: Option<ThreadId>,
        /// What it is: `line:ID`, `press:ID`.
        key: String,
        /// By which account.
        account: Account,
        /// By whom; `None` for an unknown account.
        person: Option<PersonId>,
        /// The text, redacted.
        text: String,
        /// What became of it: `talk`, `answered`, `refused`, `recorded`.
        outcome: String,
        /// What was answered at once.
        answer: Vec<String>,
        /// When it was said, if it was not heard then: it was found in the room's history later.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        said_at: Option<DateTime<Utc>>,
    },
    /// A message was changed or deleted. It never acts.
    LineEdited {
        /// Where.
        room: RoomAddress,
        /// Which message.
        message: MessageId,
        /// By which account.
        account: Account,
        /// By whom.
        person: Option<PersonId>,
        /// The new text, redacted; `None` if deleted.
        text: Option<String>,
        /// What was answered at once.
        answer: Vec<String>,
    },
    /// A catalog was loaded.
    CatalogLoaded {
        /// The hash over its files.
        fingerprint: Digest,
        /// How many runbooks it holds.
        runbooks: usize,
    },
    /// A catalog was not loaded; the one before keeps serving (I10).
    CatalogRefused {
        /// One line for each problem.
        problems: Vec<String>,
    },
    /// A run was planned.
    RunPlanned {
        /// The run.
        run: RunId,
        /// The deed.
        deed: String,
        /// The runbook.
        runbook: RunbookName,
        /// Its parameters.
        params: BTreeMap<String, String>,
        /// The plan.
        digest: Digest,
        /// Who asked.
        requester: PersonId,
        /// By which account.
        account: Account,
        /// Where.
        room: RoomAddress,
        /// The trigger that asked, if no person did. Then the requester is its owner.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trigger: Option<TriggerName>,
    },
    /// A request was made.
    RequestAsked {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// `None` asks to start; a number asks for a further attempt of that step.
        retry_step: Option<u32>,
        /// The plan.
        digest: Digest,
        /// Who counts as having asked.
        requesters: Vec<PersonId>,
        /// Who must agree.
        stages: Vec<Stage>,
        /// Until when.
        expires_at: DateTime<Utc>,
        /// Who may not agree although they did not ask.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        excluded: Vec<PersonId>,
        /// How one wants to be done with that step instead of trying it again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wish: Option<Wish>,
        /// What was denied of that step not long ago.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        carried: Option<Carried>,
    },
    /// People were asked to answer a request: when a stage of it began, or later as well.
    PeopleAsked {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// In which stage, counted from 0.
        stage: u32,
        /// Who, and why.
        people: Vec<WhoAsked>,
        /// Until when an answer counts.
        expires_at: DateTime<Utc>,
    },
    /// Whoever could answer a request was reminded of it.
    RequestReminded {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// In which stage, counted from 0.
        stage: u32,
        /// Who.
        people: Vec<PersonId>,
    },
    /// The webhook took a ring: whoever could answer a request is called.
    RequestRung {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// In which stage, counted from 0.
        stage: u32,
        /// The ring.
        ring: RingId,
        /// Who.
        people: Vec<PersonId>,
        /// How often it was tried.
        tries: u32,
    },
    /// A ring was given up: the webhook did not take it.
    RingFailed {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// In which stage, counted from 0.
        stage: u32,
        /// The ring.
        ring: RingId,
        /// Who should have been called.
        people: Vec<PersonId>,
        /// How often it was tried.
        tries: u32,
        /// What the last try came to.
        why: String,
    },
    /// Somebody who is asked says that they look: nobody else is woken for a while.
    RequestLookedAt {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// In which stage, counted from 0.
        stage: u32,
        /// Who.
        by: PersonId,
        /// Until when nobody else is woken.
        until: DateTime<Utc>,
    },
    /// Somebody lets somebody else answer for them, for a while.
    DelegationGiven {
        /// The delegation.
        delegation: DelegationId,
        /// Whose right it is.
        giver: PersonId,
        /// Who may use it.
        receiver: PersonId,
        /// From when.
        since: DateTime<Utc>,
        /// Until when; not after.
        until: DateTime<Utc>,
    },
    /// Somebody took a delegation back before its time.
    DelegationEnded {
        /// The delegation.
        delegation: DelegationId,
        /// Whose right it is.
        giver: PersonId,
        /// Who could use it.
        receiver: PersonId,
    },
    /// Somebody wants to hand over what they have open.
    HandoverOffered {
        /// The handover.
        handover: HandoverId,
        /// Whose things they are.
        from: PersonId,
        /// Who is asked to take them.
        to: PersonId,
        /// Why, if they said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The requests that wait.
        requests: Vec<RequestId>,
        /// Their codes.
        codes: Vec<Code>,
        /// The runs that are not over.
        runs: Vec<RunId>,
        /// Whether they have paused automation.
        pause: bool,
        /// Where.
        room: RoomAddress,
    },
    /// Nobody has taken over for a while: it was said again, to more people.
    HandoverReminded {
        /// The handover.
        handover: HandoverId,
        /// Whose things they are.
        from: PersonId,
        /// Who was asked to take them.
        to: PersonId,
        /// Who can help as well.
        people: Vec<PersonId>,
    },
    /// Somebody took over what was open of it.
    HandoverTaken {
        /// The handover.
        handover: HandoverId,
        /// Whose things they were.
        from: PersonId,
        /// Who took them.
        by: PersonId,
        /// The codes of the requests.
        codes: Vec<Code>,
        /// The runs.
        runs: Vec<RunId>,
        /// Whether the pause is theirs now.
        pause: bool,
    },
    /// Nobody took over in time, or another handover took its place.
    HandoverLapsed {
        /// The handover.
        handover: HandoverId,
        /// Whose things they are.
        from: PersonId,
        /// Who was asked to take them.
        to: PersonId,
    },
    /// Somebody took a request over: they count as having asked, beside whoever did.
    RequestHandedOver {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// From whom.
        from: PersonId,
        /// Who.
        to: PersonId,
        /// Who counts as having asked from now on; whoever took it first.
        requesters: Vec<PersonId>,
    },
    /// Somebody took a run over: what comes of it is told to them.
    RunHandedOver {
        /// The run.
        run: RunId,
        /// From whom.
        from: PersonId,
        /// Who.
        to: PersonId,
    },
    /// A person answered a request.
    Decided {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// In which stage.
        stage: u32,
        /// Who.
        person: PersonId,
        /// By which account.
        account: Account,
        /// What.
        answer: Answer,
        /// Why, if they said.
        reason: Option<String>,
        /// For whom, if for somebody who lets them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        on_behalf_of: Option<PersonId>,
        /// By what it is known that it was they.
        #[serde(default, skip_serializing_if = "Proof::is_chat")]
        proof: Proof,
    },
    /// An answer was taken back before the request was decided.
    DecisionTakenBack {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// In which stage.
        stage: u32,
        /// Who.
        person: PersonId,
        /// By which account.
        account: Account,
        /// The line that had given the answer.
        line: InboxId,
        /// The passkey by which it was given, if it is taken back because that was removed; else they did it themselves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        passkey: Option<PasskeyId>,
    },
    /// Somebody started a run without the agreement that its policy wants, because it cannot wait.
    GlassBroken {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// Who.
        person: PersonId,
        /// By which account.
        account: Account,
        /// By what it is known that it was they.
        #[serde(default, skip_serializing_if = "Proof::is_chat")]
        proof: Proof,
        /// Why.
        reason: String,
        /// Whether they had asked for it themselves: an exception that the policy makes.
        own: bool,
        /// Whose answer was not waited for.
        skipped: Vec<PersonId>,
        /// Until when somebody else says what they think of it.
        review_by: DateTime<Utc>,
    },
    /// Nobody has yet said what they think of a run that was started without agreement, and it is time.
    ReviewOverdue {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// Until when it was to be said.
        due_at: DateTime<Utc>,
    },
    /// Somebody said what they think of a run that was started without agreement.
    Reviewed {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// Who.
        by: PersonId,
        /// What.
        verdict: ReviewVerdict,
        /// In their words.
        words: String,
    },
    /// A request has all the agreement that it needs.
    RequestGranted {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// The grant.
        grant: GrantId,
        /// The plan.
        digest: Digest,
        /// Who agreed; nobody when its policy lets the trigger start by itself.
        by: Vec<PersonId>,
        /// The trigger that the policy lets start by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        automatic: Option<TriggerName>,
        /// Until when the run may start attempts.
        valid_until: DateTime<Utc>,
        /// Until when it may begin; as long as it may start attempts if it is not said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start_by: Option<DateTime<Utc>>,
        /// Rules of separation that its policy gives up and without which it would not have been granted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        relaxed: Vec<Relaxed>,
        /// Who started it without that agreement.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        broken: Option<PersonId>,
        /// The approval that covers it without asking again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        under: Option<Under>,
        /// The rule of its policy that let whoever asked start it, if nobody was asked for that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unasked: Option<StartedUnasked>,
        /// How many runs of this plan it covers, and until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        covers: Option<Covers>,
        /// What was signed; `None` before grants were signed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<Signed>,
    },
    /// A run that was approved to start later was not started: something that it was approved on does not hold any more.
    LaterRefused {
        /// The request that was approved.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// When it was to start.
        not_before: DateTime<Utc>,
        /// What has changed.
        why: String,
    },
    /// Somebody took an approval back that covers further runs: it covers none any more.
    CoverEnded {
        /// The request that was approved.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// Who.
        by: PersonId,
        /// How many runs it had covered, with the first.
        used: u32,
    },
    /// A key signs grants from now on.
    KeyAdded {
        /// Its public half.
        key: PublicKey,
        /// The host of the process that made it.
        host: String,
        /// Who made it, as they said: nothing proves it.
        by: String,
    },
    /// A key signs nothing any more. What it signed before stays signed.
    KeyRetired {
        /// Its public half.
        key: PublicKey,
        /// From when on nothing counts that it signs.
        at: DateTime<Utc>,
        /// Who retired it, as they said: nothing proves it.
        by: String,
        /// Why.
        why: String,
    },
    /// A request was denied.
    RequestDenied {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// By whom.
        by: PersonId,
        /// Why, if they said.
        why: Option<String>,
    },
    /// Nobody decided in time.
    RequestExpired {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
    },
    /// A request was taken back, or ended with its run.
    RequestWithdrawn {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// By whom.
        by: PersonId,
    },
    /// Somebody who is asked wants something else: it goes back to whoever asked.
    RequestSentBack {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// By whom.
        by: PersonId,
        /// What they want.
        why: String,
    },
    /// The same was asked again with other content: the newer request takes its place.
    RequestSuperseded {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// By whom the newer one was asked.
        by: PersonId,
        /// The newer request.
        newer: RequestId,
        /// Its code.
        newer_code: Code,
    },
    /// The catalog changed while a request waits, and would now make another plan of the same deed (I13).
    RequestDiffers {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Its run.
        run: RunId,
        /// What the catalog would make of it now; `None` if nothing.
        now: Option<Digest>,
    },
    /// A grant was revoked or lapsed before its run was over.
    GrantEnded {
        /// The grant.
        grant: GrantId,
        /// Its run.
        run: RunId,
        /// `revoked` or `lapsed`.
        state: String,
    },
    /// An attempt started.
    AttemptStarted {
        /// The run.
        run: RunId,
        /// The step, counted from 1.
        step: u32,
        /// Which try, counted from 1.
        number: u32,
        /// The plan under which.
        digest: Digest,
        /// The grant under which; `None` for a step that only reads.
        grant: Option<GrantId>,
        /// What executes it; `None` before that was recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        executor: Option<Executor>,
    },
    /// An attempt was seen to end.
    AttemptEnded {
        /// The run.
        run: RunId,
        /// The step.
        step: u32,
        /// Which try.
        number: u32,
        /// How.
        outcome: Outcome,
        /// The exit code, if its process ended by itself.
        exit_code: Option<i32>,
        /// How long it took, in milliseconds.
        millis: u64,
        /// One line of what came of it, redacted.
        summary: String,
        /// SHA-256 of the stored output, if there was any.
        output_sha256: Option<Digest>,
        /// What each check said, for a step that asks checks.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        checks: Vec<CheckResult>,
    },
    /// What a step that takes long has said last. Changes no state.
    AttemptProgress {
        /// The run.
        run: RunId,
        /// The step.
        step: u32,
        /// Which try.
        number: u32,
        /// Its last line so far, redacted.
        line: String,
    },
    /// Nobody saw how an attempt ended; its process group is proved gone.
    AttemptLost {
        /// The run.
        run: RunId,
        /// The step.
        step: u32,
        /// Which try.
        number: u32,
        /// Why nobody saw it.
        why: String,
    },
    /// A person said what came of an attempt whose outcome is unknown.
    AttemptJudged {
        /// The run.
        run: RunId,
        /// The step.
        step: u32,
        /// Which try.
        number: u32,
        /// Who.
        by: PersonId,
        /// What.
        verdict: Verdict,
        /// Why they say so.
        why: String,
        /// The request by which others agreed to that; `None` for a step that only reads, and in older releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
    },
    /// An attempt whose outcome is unknown is left as it is, and the run goes on.
    AttemptSkipped {
        /// The run.
        run: RunId,
        /// The step.
        step: u32,
        /// Which try.
        number: u32,
        /// Who wanted that.
        by: PersonId,
        /// Why.
        why: String,
        /// The request by which others agreed to that; `None` for a step that only reads.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
    },
    /// Every step is done.
    RunSucceeded {
        /// The run.
        run: RunId,
        /// From the first start to the end, in milliseconds.
        millis: u64,
    },
    /// A step failed for good.
    RunFailed {
        /// The run.
        run: RunId,
        /// At which step.
        step: u32,
        /// Why.
        why: String,
    },
    /// A step's outcome is unknown: a person must judge, retry or stop.
    RunStuck {
        /// The run.
        run: RunId,
        /// At which step.
        step: u32,
        /// Why.
        why: String,
    },
    /// Somebody said `stop` while a step ran.
    RunStopping {
        /// The run.
        run: RunId,
        /// Who.
        by: PersonId,
    },
    /// The run was ended by a person.
    RunStopped {
        /// The run.
        run: RunId,
        /// Who.
        by: PersonId,
        /// Steps that are done.
        done: Vec<u32>,
        /// Steps whose outcome is unknown.
        unknown: Vec<u32>,
        /// Steps that were not started.
        not_started: Vec<u32>,
        /// Steps that were left out.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        skipped: Vec<u32>,
        /// The approval that was taken away before anything had begun, if it was that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revoked: Option<Revoked>,
    },
    /// A scheduled check has changed for certain.
    CheckTurned {
        /// The service it is about.
        service: ServiceName,
        /// Its name.
        check: CheckName,
        /// What it was; `None` if nothing was known yet.
        was: Option<Health>,
        /// What it is.
        now: Health,
        /// When the first result of this kind came.
        since: DateTime<Utc>,
        /// How many results in a row said so.
        results: u32,
        /// Its first line, redacted.
        detail: String,
    },
    /// A scheduled check changes too often: its turns are recorded no more until it is steady.
    CheckFlaps {
        /// The service it is about.
        service: ServiceName,
        /// Its name.
        check: CheckName,
        /// How often it has changed for certain within the window.
        changes: u32,
        /// The window, in seconds.
        within_secs: u64,
        /// What it is at the moment.
        now: Health,
    },
    /// A scheduled check that flapped has held one state for the whole window.
    CheckSteady {
        /// The service it is about.
        service: ServiceName,
        /// Its name.
        check: CheckName,
        /// What it is.
        now: Health,
        /// When the first result of this kind came.
        since: DateTime<Utc>,
        /// Its first line, redacted.
        detail: String,
    },
    /// An incident was opened: by a check, or by a person.
    IncidentOpened {
        /// The incident.
        incident: IncidentId,
        /// The service; `None` if a person named none.
        service: Option<ServiceName>,
        /// In a few words.
        title: String,
        /// The check that failed, if one did.
        check: Option<CheckName>,
        /// The person, if one did.
        by: Option<PersonId>,
        /// Where it is talked about.
        room: RoomAddress,
        /// Since when it has been so: the first result of its check that said so; its opening, if a person opened it.
        since: DateTime<Utc>,
    },
    /// Somebody has seen it and takes care.
    IncidentAcknowledged {
        /// The incident.
        incident: IncidentId,
        /// Who.
        by: PersonId,
    },
    /// Its service is well again; a person has yet to resolve it.
    IncidentMitigated {
        /// The incident.
        incident: IncidentId,
        /// Since when: the first result that said so.
        since: DateTime<Utc>,
        /// How long it had failed: from its first failing result, its last recurrence or its reopening, in milliseconds.
        millis: u64,
    },
    /// Its service has failed again before it was resolved.
    IncidentRecurred {
        /// The incident.
        incident: IncidentId,
        /// The check.
        check: CheckName,
        /// Since when: the first result that said so.
        since: DateTime<Utc>,
    },
    /// A person says that it is over.
    IncidentResolved {
        /// The incident.
        incident: IncidentId,
        /// Who.
        by: PersonId,
        /// What they said.
        reason: Option<String>,
        /// From its opening, in milliseconds.
        millis: u64,
        /// How many people were asked to approve.
        asked: u32,
        /// How long approvals were waited for in all, in milliseconds.
        waited_millis: u64,
    },
    /// A person says that it is not over.
    IncidentReopened {
        /// The incident.
        incident: IncidentId,
        /// Who.
        by: PersonId,
        /// Why.
        reason: Option<String>,
    },
    /// A person wrote something down for the record.
    IncidentNoted {
        /// The incident.
        incident: IncidentId,
        /// Who.
        by: PersonId,
        /// What, redacted.
        text: String,
    },
    /// A room was made for an incident.
    IncidentRoomMade {
        /// The incident.
        incident: IncidentId,
        /// The room.
        room: RoomAddress,
        /// What it is called there.
        name: String,
    },
    /// People were invited to an incident's room.
    IncidentRoomInvited {
        /// The incident.
        incident: IncidentId,
        /// The room.
        room: RoomAddress,
        /// Who is to help.
        responders: Vec<PersonId>,
        /// Who is to follow it.
        observers: Vec<PersonId>,
        /// Who could not be invited.
        left_out: Vec<LeftOut>,
    },
    /// The platform will not do something for an incident's room. The incident goes on without it.
    IncidentRoomRefused {
        /// The incident.
        incident: IncidentId,
        /// The room; `None` if it could not be made.
        room: Option<RoomAddress>,
        /// What it will not do.
        undone: RoomDeed,
        /// Why, in the platform's words and ours.
        why: String,
    },
    /// An incident's room takes no more messages: it was archived, or the bot was taken out of it.
    IncidentRoomArchived {
        /// The incident.
        incident: IncidentId,
        /// The room.
        room: RoomAddress,
    },
    /// A trigger met its failure and no brake held it.
    TriggerFired {
        /// The trigger.
        trigger: TriggerName,
        /// Its mode.
        mode: TriggerMode,
        /// The service that failed.
        service: ServiceName,
        /// Its check.
        check: CheckName,
        /// The deed.
        deed: String,
        /// The run; `None` in mode `shadow`.
        run: Option<RunId>,
        /// Why people are asked although its mode is `auto`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// A trigger met its failure and did nothing.
    TriggerHeld {
        /// The trigger.
        trigger: TriggerName,
        /// The service that failed.
        service: ServiceName,
        /// What held it.
        by: Brake,
        /// In a few words for people.
        why: String,
        /// When it is looked at again by itself; `None` is when a person says `resume`.
        until: Option<DateTime<Utc>>,
    },
    /// A person let a held trigger go on.
    TriggerReleased {
        /// The trigger.
        trigger: TriggerName,
        /// For which service.
        service: ServiceName,
        /// Who.
        by: PersonId,
    },
    /// A person stopped all automation.
    AutomationPaused {
        /// Who.
        by: PersonId,
        /// Why, if they said.
        reason: Option<String>,
    },
    /// A person let automation go on.
    AutomationResumed {
        /// Who.
        by: PersonId,
    },
    /// A platform said who is in a group, and it is another answer than before or the first since this process began.
    GroupSeen {
        /// The group.
        group: GroupName,
        /// Where it is kept.
        user_group: UserGroup,
        /// The people of the catalog who are in it.
        members: Vec<PersonId>,
        /// Who was not in it when this process last saw it.
        came: Vec<PersonId>,
        /// Who was, and is no longer.
        left: Vec<PersonId>,
    },
    /// Nobody knows who is in a group any more: from now on nobody has a right by it.
    GroupUnseen {
        /// The group.
        group: GroupName,
        /// Where it is kept.
        user_group: UserGroup,
        /// What the platform answers instead, if it answers.
        why: Option<String>,
    },
    /// The first version of who may ask, see and approve: the catalog as it stood when it was first kept.
    AccessBegun {
        /// The version.
        access: AccessId,
        /// Its fingerprint.
        fingerprint: Digest,
        /// SHA-256 of the bytes that are kept of it.
        sha256: Digest,
        /// The whole of it.
        snapshot: Box<Access>,
    },
    /// Rights were taken away in the catalog, which holds at once: a version is in force without anybody's word.
    AccessTaken {
        /// The version.
        access: AccessId,
        /// Its fingerprint.
        fingerprint: Digest,
        /// SHA-256 of the bytes that are kept of it.
        sha256: Digest,
        /// What is different from the version before.
        changes: Vec<Change>,
        /// Whether the rest of what the same files say waits: then what shows that tells of this as well.
        waits: bool,
        /// Who is named as having written it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changed_by: Vec<PersonId>,
        /// The whole of it.
        snapshot: Box<Access>,
    },
    /// The catalog would give rights: that waits for a second person.
    AccessProposed {
        /// The version that waits.
        access: AccessId,
        /// Its code.
        code: Code,
        /// Its fingerprint.
        fingerprint: Digest,
        /// SHA-256 of the bytes that are kept of it.
        sha256: Digest,
        /// What would be different from what is in force.
        changes: Vec<Change>,
        /// What was changed by the same files and holds already.
        held: Vec<Change>,
        /// Who is named as having written it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changed_by: Vec<PersonId>,
        /// Until when.
        expires_at: DateTime<Utc>,
    },
    /// A second person agreed: a version that waited is in force.
    AccessCountersigned {
        /// The version.
        access: AccessId,
        /// Its code.
        code: Code,
        /// Who.
        by: PersonId,
        /// By which account.
        account: Account,
        /// Its fingerprint.
        fingerprint: Digest,
        /// What is different from the version before.
        changes: Vec<Change>,
        /// The whole of it.
        snapshot: Box<Access>,
    },
    /// An operator put a version that waited in force on the host, without a second person: an exception.
    AccessAccepted {
        /// The version.
        access: AccessId,
        /// Its code.
        code: Code,
        /// Who, as they named themselves.
        operator: String,
        /// Why.
        why: String,
        /// Its fingerprint.
        fingerprint: Digest,
        /// What is different from the version before.
        changes: Vec<Change>,
        /// The whole of it.
        snapshot: Box<Access>,
    },
    /// A version that waited was refused.
    AccessRefused {
        /// The version.
        access: AccessId,
        /// Its code.
        code: Code,
        /// Who.
        by: PersonId,
        /// By which account.
        account: Account,
        /// Why.
        why: String,
    },
    /// Nobody answered in time.
    AccessExpired {
        /// The version.
        access: AccessId,
        /// Its code.
        code: Code,
    },
    /// A version that waited is not what the files say any more.
    AccessSuperseded {
        /// The version.
        access: AccessId,
        /// Its code.
        code: Code,
    },
    /// Somebody is named as having written a version that waits, who was not named before.
    AccessAuthors {
        /// The version.
        access: AccessId,
        /// All who are.
        changed_by: Vec<PersonId>,
    },
    /// The bot did not hear a room for a while, and has read what was said there meanwhile; or found in its history what
    /// it should have heard before.
    WasAway {
        /// Where.
        room: RoomAddress,
        /// Since when it was not there.
        from: DateTime<Utc>,
        /// When it was back.
        to: DateTime<Utc>,
        /// Commands that it found too late to act on, in the order in which they were said; the first of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        not_done: Vec<NotDone>,
        /// How many more there are. Each stands in the ledger as a line of its own.
        #[serde(default)]
        more: usize,
        /// More was said than is read: what was said between `from` and this moment is not recorded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unread_until: Option<DateTime<Utc>>,
    },
    /// Something happened to a declared room itself.
    RoomChanged {
        /// Which.
        room: RoomAddress,
        /// When, as the platform says.
        at: DateTime<Utc>,
        /// Whose doing it is, as far as the platform says.
        account: Account,
        /// Who that is.
        person: Option<PersonId>,
        /// What.
        change: RoomChange,
    },
    /// A catalog that was loaded has what somebody should look at.
    CatalogWarned {
        /// One sentence for each thing.
        warnings: Vec<String>,
    },
    /// An operator invited a person to add a passkey.
    PasskeyInvited {
        /// Whom.
        person: PersonId,
        /// Until when the invitation may be used, once.
        expires_at: DateTime<Utc>,
    },
    /// A person added a passkey, by an invitation.
    PasskeyAdded {
        /// Its number.
        passkey: PasskeyId,
        /// Whose.
        person: PersonId,
        /// What they call it.
        name: String,
        /// What browsers call it: base64url.
        credential: String,
        /// Its public key as COSE has it: base64url.
        public_key: String,
    },
    /// A passkey was removed.
    PasskeyRemoved {
        /// Its number.
        passkey: PasskeyId,
        /// Whose it was.
        person: PersonId,
        /// Why.
        #[serde(default, skip_serializing_if = "RemovedBecause::is_operator")]
        because: RemovedBecause,
    },
    /// Somebody who is asked was given a page on which to decide with a passkey.
    DecisionLinked {
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// Who may decide there.
        person: PersonId,
        /// The account that was told.
        account: Account,
        /// The plan that the page shows.
        digest: Digest,
        /// SHA-256 of what stands in the page's address.
        link: Digest,
        /// Until when.
        expires_at: DateTime<Utc>,
    },
    /// A passkey has signed a decision. What it signed stands here, so that others can verify it; whether the decision
    /// counted is told by what follows.
    PasskeyUsed {
        /// Which.
        passkey: PasskeyId,
        /// Whose.
        person: PersonId,
        /// The request.
        request: RequestId,
        /// Its code.
        code: Code,
        /// The plan that was shown.
        digest: Digest,
        /// SHA-256 of what stood in the page's address.
        link: Digest,
        /// What was done there.
        answer: OnPage,
        /// What the browser asked the authenticator for: base64url of JSON.
        client_data: String,
        /// What the authenticator said of itself: base64url.
        authenticator_data: String,
        /// Its signature: base64url.
        signature: String,
    },
    /// The database's clock and ours parted by more than two seconds; ours was set anew.
    ClockJumped {
        /// By how many milliseconds; positive is forward.
        millis: i64,
    },
}

impl Happened {
    /// The kind's name, as stored in its column.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::LedgerCreated { .. } => "ledger_created",
            Self::LineSaid { .. } => "line_said",
            Self::LineEdited { .. } => "line_edited",
            Self::CatalogLoaded { .. } => "catalog_loaded",
            Self::CatalogRefused { .. } => "catalog_refused",
            Self::RunPlanned { .. } => "run_planned",
            Self::RequestAsked { .. } => "request_asked",
            Self::PeopleAsked { .. } => "people_asked",
            Self::RequestReminded { .. } => "request_reminded",
            Self::RequestRung { .. } => "request_rung",
            Self::RingFailed { .. } => "ring_failed",
            Self::RequestLookedAt { .. } => "request_looked_at",
            Self::DelegationGiven { .. } => "delegation_given",
            Self::DelegationEnded { .. } => "delegation_ended",
            Self::HandoverOffered { .. } => "handover_offered",
            Self::HandoverReminded { .. } => "handover_reminded",
            Self::HandoverTaken { .. } => "handover_taken",
            Self::HandoverLapsed { .. } => "handover_lapsed",
            Self::RequestHandedOver { .. } => "request_handed_over",
            Self::RunHandedOver { .. } => "run_handed_over",
            Self::Decided { .. } => "decided",
            Self::DecisionTakenBack { .. } => "decision_taken_back",
            Self::CoverEnded { .. } => "cover_ended",
            Self::LaterRefused { .. } => "later_refused",
            Self::GlassBroken { .. } => "glass_broken",
            Self::ReviewOverdue { .. } => "review_overdue",
            Self::Reviewed { .. } => "reviewed",
            Self::RequestGranted { .. } => "request_granted",
            Self::RequestDenied { .. } => "request_denied",
            Self::RequestExpired { .. } => "request_expired",
            Self::RequestWithdrawn { .. } => "request_withdrawn",
            Self::RequestSentBack { .. } => "request_sent_back",
            Self::RequestSuperseded { .. } => "request_superseded",
            Self::RequestDiffers { .. } => "request_differs",
            Self::GrantEnded { .. } => "grant_ended",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::AttemptProgress { .. } => "attempt_progress",
            Self::AttemptLost { .. } => "attempt_lost",
            Self::AttemptJudged { .. } => "attempt_judged",
            Self::AttemptSkipped { .. } => "attempt_skipped",
            Self::RunSucceeded { .. } => "run_succeeded",
            Self::RunFailed { .. } => "run_failed",
            Self::RunStuck { .. } => "run_stuck",
            Self::RunStopping { .. } => "run_stopping",
            Self::RunStopped { .. } => "run_stopped",
            Self::CheckTurned { .. } => "check_turned",
            Self::CheckFlaps { .. } => "check_flaps",
            Self::CheckSteady { .. } => "check_steady",
            Self::IncidentOpened { .. } => "incident_opened",
            Self::IncidentAcknowledged { .. } => "incident_acknowledged",
            Self::IncidentMitigated { .. } => "incident_mitigated",
            Self::IncidentRecurred { .. } => "incident_recurred",
            Self::IncidentResolved { .. } => "incident_resolved",
            Self::IncidentReopened { .. } => "incident_reopened",
            Self::IncidentNoted { .. } => "incident_noted",
            Self::IncidentRoomMade { .. } => "incident_room_made",
            Self::IncidentRoomInvited { .. } => "incident_room_invited",
            Self::IncidentRoomRefused { .. } => "incident_room_refused",
            Self::IncidentRoomArchived { .. } => "incident_room_archived",
            Self::TriggerFired { .. } => "trigger_fired",
            Self::TriggerHeld { .. } => "trigger_held",
            Self::TriggerReleased { .. } => "trigger_released",
            Self::AutomationPaused { .. } => "automation_paused",
            Self::AutomationResumed { .. } => "automation_resumed",
            Self::GroupSeen { .. } => "group_seen",
            Self::GroupUnseen { .. } => "group_unseen",
            Self::AccessBegun { .. } => "access_begun",
            Self::AccessTaken { .. } => "access_taken",
            Self::AccessProposed { .. } => "access_proposed",
            Self::AccessCountersigned { .. } => "access_countersigned",
            Self::AccessAccepted { .. } => "access_accepted",
            Self::AccessRefused { .. } => "access_refused",
            Self::AccessExpired { .. } => "access_expired",
            Self::AccessSuperseded { .. } => "access_superseded",
            Self::AccessAuthors { .. } => "access_authors",
            Self::WasAway { .. } => "was_away",
            Self::RoomChanged { .. } => "room_changed",
            Self::CatalogWarned { .. } => "catalog_warned",
            Self::PasskeyInvited { .. } => "passkey_invited",
            Self::PasskeyAdded { .. } => "passkey_added",
            Self::PasskeyRemoved { .. } => "passkey_removed",
            Self::DecisionLinked { .. } => "decision_linked",
            Self::PasskeyUsed { .. } => "passkey_used",
            Self::ClockJumped { .. } => "clock_jumped",
            Self::KeyAdded { .. } => "key_added",
            Self::KeyRetired { .. } => "key_retired",
        }
    }
}

/// Why a passkey was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovedBecause {
    /// An operator removed it.
    #[default]
    Operator,
    /// The catalog in force has no person of that name any more: who has the name later is perhaps somebody else.
    Left,
}

impl RemovedBecause {
    fn is_operator(&self) -> bool {
        *self == Self::Operator
    }
}

/// What executes an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executor {
    /// The process, by its number among the workers.
    pub worker: i64,
    /// Its host.
    pub host: String,
}

/// Somebody who could not be invited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Who.
    pub person: PersonId,
    /// Why, in a few words.
    pub why: String,
}

/// A command that was found too late to act on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotDone {
    /// Which line, or which edit of one, by its key.
    pub line: String,
    /// Who said it.
    pub person: PersonId,
    /// When.
    pub said_at: DateTime<Utc>,
    /// What, redacted.
    pub text: String,
    /// Why it was not done.
    pub why: Missed,
}

/// Why a command that was found in a room's history does not act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// It was said too long ago.
    Late,
    /// It was edited since.
    Edited,
}

impl Missed {
    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Edited => "edited",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Late, Self::Edited].into_iter().find(|missed| missed.name() == name)
    }
}

/// What holds a trigger back (I12).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Brake {
    /// The time since its last run for this service is too short.
    Cooldown,
    /// It has had its runs in this window.
    AtMost,
    /// The check changes too often to be believed.
    Flapping,
    /// Its last run did not help.
    NoEffect,
    /// Its last run is stuck: a person has to say what came of it.
    Stuck,
    /// A run for this service is under way or waits, or one for its system that started by itself.
    Busy,
    /// All automation is paused.
    Paused,
    /// No plan can be made of it.
    NoPlan,
}

impl Brake {
    /// The name as stored and spoken.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cooldown => "cooldown",
            Self::AtMost => "at_most",
            Self::Flapping => "flapping",
            Self::NoEffect => "no_effect",
            Self::Stuck => "stuck",
            Self::Busy => "busy",
            Self::Paused => "paused",
            Self::NoPlan => "no_plan",
        }
    }
}

/// What a check said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckResult {
    /// The service it is about.
    pub service: ServiceName,
    /// Its name.
    pub check: CheckName,
    /// What it found.
    pub health: Health,
    /// Its first line of output, redacted; or why it could not be asked.
    pub detail: String,
}

/// How well a service is. `Unknown` is never called healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Well.
    Ok,
    /// Not well, but working.
    Warning,
    /// Not working.
    Critical,
    /// Nobody knows: the check could not run or did not end in time.
    Unknown,
}

/// An event as read from the ledger.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place; `None` while the sequencer has not come to it.
    pub position: Option<Position>,
    /// The chain's hash there.
    pub hash: Option<Digest>,
    /// Its number.
    pub id: EventId,
    /// Its kind, as stored.
    pub kind: String,
    /// When.
    pub at: DateTime<Utc>,
    /// What it is about.
    pub scope: Scope,
    /// The line or button that led to it.
    pub cause: Option<InboxId>,
    /// What happened; `None` once erased.
    pub record: Option<Record>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_the_tag_of_its_body() {
        let what = Happened::RunSucceeded { run: RunId(12), millis: 4 };
        let json = serde_json::to_value(&what).expect("a body is JSON");
        assert_eq!(json["kind"], what.kind());
        assert_eq!(serde_json::from_value::<Happened>(json).expect("it reads back"), what);
    }
}

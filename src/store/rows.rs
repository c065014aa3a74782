//! Rows as the model's values. A row that contradicts the model is a named inconsistency, never a guess.

use chrono::{DateTime, Utc};

use crate::model::chat::{Account, RoomAddress};
use crate::model::code::Code;
use crate::model::event::Scope;
use crate::model::id::{
    Digest, GrantId, InboxId, IncidentId, PersonId, RequestId, RunId, RunbookName, SystemName, ThreadId, TriggerName,
};
use crate::model::request::{Decision, GrantState, Proof, RequestState, Stuck, Wanted};
use crate::model::run::{AttemptState, RunState, Snag, Verdict};
use crate::model::signature::Signed;
use crate::model::trace::Trace;
use crate::sys::ProcessIdentity;

/// A row that contradicts the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{row} contradicts the model at {column}: it was changed by other hands, or by a newer version")]
pub struct Inconsistent {
    /// Which row.
    pub row: String,
    /// Which column.
    pub column: &'static str,
}

impl Inconsistent {
    pub(super) fn at(row: impl Into<String>, column: &'static str) -> Self {
        Self { row: row.into(), column }
    }
}

/// A run as stored.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its number.
    pub id: RunId,
    /// Its version: every change names it.
    pub version: i64,
    /// Where it stands.
    pub state: RunState,
    /// The runbook.
    pub runbook: RunbookName,
    /// The system.
    pub system: SystemName,
    /// Its environment.
    pub environment: String,
    /// The digest that its plan was stored under.
    pub digest: Digest,
    /// The plan's bytes.
    pub plan: Vec<u8>,
    /// The room in which it was asked.
    pub room: RoomAddress,
    /// The thread in which it was asked; `None`: its root message starts one.
    pub thread: Option<ThreadId>,
    /// Who asked.
    pub requester: PersonId,
    /// Who took it over from whoever asked.
    pub handed_to: Option<PersonId>,
    /// By which account.
    pub requester_account: Account,
    /// The line that last moved it.
    pub cause: Option<InboxId>,
    /// The trigger that asked, if no person did.
    pub trigger: Option<TriggerName>,
    /// The incident that it belongs to.
    pub incident: Option<IncidentId>,
    /// When it was asked.
    pub created_at: DateTime<Utc>,
    /// The fence of whoever holds it.
    pub fence: i64,
    /// The trace that it is part of; `None`: it was made before runs had one.
    pub trace: Option<Trace>,
}

impl Run {
    /// What an event about it is about.
    pub fn scope(&self) -> Scope {
        Scope {
            system: Some(self.system.clone()),
            environment: Some(self.environment.clone()),
            incident: self.incident,
            run: Some(self.id),
            ..Scope::default()
        }
    }

    /// Whom it concerns: whoever asked, or took it over. They are told what comes of it.
    pub fn concerns(&self) -> &PersonId {
        self.handed_to.as_ref().unwrap_or(&self.requester)
    }

    /// The name under which its messages are kept.
    pub fn subject(&self) -> String {
        subject(self.id)
    }
}

/// The name under which a run's messages are kept.
pub(crate) fn subject(run: RunId) -> String {
    format!("run:{run}")
}

pub(super) fn run_state(
    id: i64,
    state: &str,
    by: Option<String>,
    step: Option<i32>,
    why: Option<String>,
) -> Result<RunState, Inconsistent> {
    let by_person = || by.clone().map(PersonId::new);
    let step = step.and_then(|step| u32::try_from(step).ok());
    let found = match (state, by_person(), step, why) {
        ("planned", None, None, None) => RunState::Planned,
        ("awaiting_approval", None, None, None) => RunState::AwaitingApproval,
        ("approved", None, None, None) => RunState::Approved,
        ("running", None, None, None) => RunState::Running,
        ("stuck", None, Some(step), Some(why)) => RunState::Stuck(Snag { step, why }),
        ("stopping", Some(by), None, None) => RunState::Stopping { by },
        ("succeeded", None, None, None) => RunState::Succeeded,
        ("failed", None, Some(step), Some(why)) => RunState::Failed(Snag { step, why }),
        ("stopped", Some(by), None, None) => RunState::Stopped { by },
        ("denied", Some(by), None, why) => RunState::Denied { by, why },
        ("expired", None, None, None) => RunState::Expired,
        ("withdrawn", Some(by), None, None) => RunState::Withdrawn { by },
        _ => return Err(Inconsistent::at(format!("run {id}"), "state")),
    };
    Ok(found)
}

/// A run state as its columns: `by`, `step`, `why`.
pub(super) fn run_columns(state: &RunState) -> (Option<String>, Option<i32>, Option<String>) {
    let step = |snag: &Snag| i32::try_from(snag.step).ok();
    match state {
        RunState::Planned
        | RunState::AwaitingApproval
        | RunState::Approved
        | RunState::Running
        | RunState::Succeeded
        | RunState::Expired => (None, None, None),
        RunState::Stuck(snag) | RunState::Failed(snag) => (None, step(snag), Some(snag.why.clone())),
        RunState::Stopping { by } | RunState::Stopped { by } | RunState::Withdrawn { by } => {
            (Some(by.to_string()), None, None)
        }
        RunState::Denied { by, why } => (Some(by.to_string()), None, why.clone()),
    }
}

/// Which attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey {
    /// The run.
    pub run: RunId,
    /// The step, counted from 1.
    pub step: u32,
    /// Which try, counted from 1.
    pub number: u32,
}

impl std::fmt::Display for AttemptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.run, self.step, self.number)
    }
}

/// An attempt as stored.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Which.
    pub key: AttemptKey,
    /// Its version.
    pub version: i64,
    /// Where it stands.
    pub state: AttemptState,
    /// The fence under which it started.
    pub fence: i64,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// One line of what came of it.
    pub summary: Option<String>,
    /// The worker that started it; `None` for one that this process has just started.
    pub worker: Option<ProcessIdentity>,
    /// The leader of its process group, once known.
    pub process: Option<ProcessIdentity>,
}

pub(super) fn attempt_state(
    key: AttemptKey,
    state: &str,
    by: Option<String>,
    worked: Option<bool>,
) -> Result<AttemptState, Inconsistent> {
    let verdict = |worked| if worked { Verdict::Worked } else { Verdict::Failed };
    match (state, by, worked) {
        ("started", None, None) => Ok(AttemptState::Started),
        ("succeeded", None, None) => Ok(AttemptState::Succeeded),
        ("failed", None, None) => Ok(AttemptState::Failed),
        ("timed_out", None, None) => Ok(AttemptState::TimedOut),
        ("unknown", None, None) => Ok(AttemptState::Unknown),
        ("judged", Some(by), Some(worked)) => {
            Ok(AttemptState::Judged { by: PersonId::new(by), verdict: verdict(worked) })
        }
        ("skipped", Some(by), None) => Ok(AttemptState::Skipped { by: PersonId::new(by) }),
        _ => Err(Inconsistent::at(format!("attempt {key}"), "state")),
    }
}

/// A request as stored.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its number.
    pub id: RequestId,
    /// Its version.
    pub version: i64,
    /// Its code.
    pub code: Code,
    /// Its run.
    pub run: RunId,
    /// What is asked for.
    pub wanted: Wanted,
    /// The plan that is asked for.
    pub digest: Digest,
    /// Who counts as having asked.
    pub requesters: Vec<PersonId>,
    /// Among whom one must agree, for what it asks of a stuck step was denied not long ago.
    pub needs: Vec<PersonId>,
    /// Where it stands.
    pub state: RequestState,
    /// In which room.
    pub room: RoomAddress,
    /// In which thread, once known.
    pub thread: Option<ThreadId>,
    /// When it was asked.
    pub asked_at: DateTime<Utc>,
    /// Until when a decision counts.
    pub expires_at: DateTime<Utc>,
    /// When the whole of it was confirmed posted.
    pub posted_at: Option<DateTime<Utc>>,
    /// What the catalog would make of it now, if the thread was told that it differs.
    pub differs: Option<Digest>,
    /// Whether it was written down who was asked: not by older releases.
    pub knows_asked: bool,
    /// When its stage began.
    pub stage_since: DateTime<Utc>,
    /// From when the steps of its stage are counted: its beginning, or later by as long as somebody looked.
    pub wake_from: DateTime<Utc>,
    /// How many reminders, rings and further askings of its stage have been done.
    pub woken: u32,
    /// Who looks at it, and until when nobody is woken for that.
    pub looking: Option<(PersonId, DateTime<Utc>)>,
}

pub(super) fn request_state(
    id: i64,
    state: &str,
    stage: i32,
    by: Option<String>,
    why: Option<String>,
    superseded_by: Option<i64>,
) -> Result<RequestState, Inconsistent> {
    let wrong = || Inconsistent::at(format!("request {id}"), "state");
    match (state, by.map(PersonId::new), why, superseded_by.map(RequestId)) {
        ("pending", None, None, None) => {
            Ok(RequestState::Pending { stage: u32::try_from(stage).map_err(|_| wrong())? })
        }
        ("granted", None, None, None) => Ok(RequestState::Granted),
        ("denied", Some(by), why, None) => Ok(RequestState::Denied { by, why }),
        ("expired", None, None, None) => Ok(RequestState::Expired),
        ("withdrawn", Some(by), None, None) => Ok(RequestState::Withdrawn { by }),
        ("changes_requested", Some(by), Some(why), None) => Ok(RequestState::ChangesRequested { by, why }),
        ("superseded", None, None, Some(by)) => Ok(RequestState::Superseded { by }),
        _ => Err(wrong()),
    }
}

/// A request state as its columns.
#[derive(Debug)]
pub(super) struct RequestColumns {
    pub(super) stage: i32,
    pub(super) by: Option<String>,
    pub(super) why: Option<String>,
    pub(super) superseded_by: Option<i64>,
}

pub(super) fn request_columns(state: &RequestState, stage_before: i32) -> RequestColumns {
    let none = RequestColumns { stage: stage_before, by: None, why: None, superseded_by: None };
    match state {
        RequestState::Pending { stage } => RequestColumns { stage: i32::try_from(*stage).unwrap_or(i32::MAX), ..none },
        RequestState::Granted | RequestState::Expired => none,
        RequestState::Denied { by, why } => RequestColumns { by: Some(by.to_string()), why: why.clone(), ..none },
        RequestState::Withdrawn { by } => RequestColumns { by: Some(by.to_string()), ..none },
        RequestState::ChangesRequested { by, why } => {
            RequestColumns { by: Some(by.to_string()), why: Some(why.clone()), ..none }
        }
        RequestState::Superseded { by } => RequestColumns { superseded_by: Some(by.0), ..none },
    }
}

/// A decision as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDecision {
    /// What was decided, by whom, in which stage.
    pub decision: Decision,
    /// By which account.
    pub account: Account,
    /// When.
    pub at: DateTime<Utc>,
    /// By which line or button.
    pub line: InboxId,
    /// Why, if they said.
    pub reason: Option<String>,
    /// When it was taken back, if it was: then it does not stand.
    pub taken_back_at: Option<DateTime<Utc>>,
}

/// What stands beside a grant as its signature. Not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSignature {
    /// What was signed.
    pub signed: Signed,
    /// What the table of keys says of the key.
    pub known: KeyKnown,
    /// The latest start as its row has it, whether or not the run has begun.
    pub start_by: Option<DateTime<Utc>>,
}

/// What the table of keys says of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKnown {
    /// It has a row.
    Yes {
        /// Since when it signs no more.
        retired_at: Option<DateTime<Utc>>,
    },
    /// It has none.
    No,
}

/// A grant's row: what `approval` locks while it derives a Grant from the decisions. Not itself a proof of anything.
#[derive(Debug, Clone)]
pub struct StoredGrant {
    /// Its number.
    pub id: GrantId,
    /// Its version.
    pub version: i64,
    /// Its run.
    pub run: RunId,
    /// Its request.
    pub request: RequestId,
    /// The digest that was granted.
    pub digest: Digest,
    /// Where it stands.
    pub state: GrantState,
    /// When it was given.
    pub granted_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// Until when it may start an attempt: the latest start until its run has begun under it, then as long as it lasts.
    pub start_by: DateTime<Utc>,
    /// Its signature; `None` for a grant of before grants were signed, and for what nobody signed.
    pub signature: Option<StoredSignature>,
    /// Who counts as having asked.
    pub requesters: Vec<PersonId>,
    /// Among whom one must agree, as its request says of a stuck step.
    pub needs: Vec<PersonId>,
    /// The stuck step that its request is about; none: the start of its run.
    pub stuck: Option<Stuck>,
    /// The trigger that asked for its run, if no person did.
    pub trigger: Option<TriggerName>,
    /// The plan's stored bytes.
    pub plan: Vec<u8>,
    /// The decisions of its request that stand.
    pub decisions: Vec<StoredDecision>,
    /// Who started it without agreement, if somebody did, and by what that is known.
    pub broken: Option<StoredBreak>,
    /// The approval that covers it without asking again; then the decisions are that one's, and whoever asked for either
    /// counts as having asked.
    pub under: Option<StoredUnder>,
    /// Whether it was given because its policy lets whoever asked start without anybody's answer.
    pub unasked: bool,
}

impl StoredGrant {
    /// The step of which its request asked a further attempt, if it did.
    pub fn retry_step(&self) -> Option<u32> {
        self.stuck.filter(|stuck| stuck.free.is_none()).map(|stuck| stuck.step)
    }
}

/// The approval that covers a run without asking again, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredUnder {
    /// The request that was approved.
    pub request: RequestId,
    /// The plan that it approved.
    pub digest: Digest,
    /// Which run under it this is; its own is 1.
    pub number: u32,
}

/// Somebody started a run without agreement, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBreak {
    /// Who.
    pub person: PersonId,
    /// By what it is known that it was they.
    pub proof: Proof,
    /// By which line.
    pub line: InboxId,
    /// Why.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every state goes into its columns and comes back the same.
    #[test]
    fn run_states_round_trip() {
        let by = || PersonId::new("boss");
        let snag = || Snag { step: 2, why: "exit 1".into() };
        for state in [
            RunState::Planned,
            RunState::AwaitingApproval,
            RunState::Approved,
            RunState::Running,
            RunState::Stuck(snag()),
            RunState::Stopping { by: by() },
            RunState::Succeeded,
            RunState::Failed(snag()),
            RunState::Stopped { by: by() },
            RunState::Denied { by: by(), why: Some("not now".into()) },
            RunState::Denied { by: by(), why: None },
            RunState::Expired,
            RunState::Withdrawn { by: by() },
        ] {
            let (by, step, why) = run_columns(&state);
            assert_eq!(run_state(1, state.name(), by, step, why), Ok(state));
        }
        assert!(run_state(1, "stuck", None, None, None).is_err(), "stuck without evidence");
        assert!(run_state(1, "running", Some("boss".into()), None, None).is_err(), "evidence that does not belong");
    }

    #[test]
    fn request_states_round_trip() {
        let by = || PersonId::new("boss");
        for state in [
            RequestState::Pending { stage: 1 },
            RequestState::Granted,
            RequestState::Denied { by: by(), why: None },
            RequestState::Expired,
            RequestState::Withdrawn { by: by() },
            RequestState::ChangesRequested { by: by(), why: "not at noon".into() },
            RequestState::Superseded { by: RequestId(8) },
        ] {
            let RequestColumns { stage, by, why, superseded_by } = request_columns(&state, 1);
            assert_eq!(request_state(1, state.name(), stage, by, why, superseded_by), Ok(state));
        }
    }

    #[test]
    fn attempt_states_round_trip() {
        let key = AttemptKey { run: RunId(1), step: 1, number: 1 };
        for (state, by, worked) in [
            (AttemptState::Started, None, None),
            (AttemptState::Unknown, None, None),
            (
                AttemptState::Judged { by: PersonId::new("boss"), verdict: Verdict::Worked },
                Some("boss".to_owned()),
                Some(true),
            ),
        ] {
            assert_eq!(attempt_state(key, state.name(), by, worked), Ok(state));
        }
        assert!(attempt_state(key, "judged", None, None).is_err());
    }
}

//! What a person can do to a run: stop it, or judge a step whose outcome is unknown.
//!
//! Keeps I3: judging is never by the requester alone; a further attempt needs a request of its own (`flow` makes it).

use super::drive::stopped;
use crate::approval::{self, Free, Freed};
use crate::model::code::Code;
use crate::model::event::{Happened, NewEvent, Record, Revoked, RowMark};
use crate::model::id::{InboxId, PersonId, RunId};
use crate::model::plan::{Plan, Sealed};
use crate::model::request::{Freeing, GrantState, RequestEvent, RequestState};
use crate::model::run::{RunEvent, RunState, Snag};
use crate::store::{Request, Result, Run, StoreError, StoredGrant, Tx};

fn event(run: &Run, line: InboxId, what: Happened, rows: Vec<RowMark>) -> NewEvent {
    let scope = run.scope();
    NewEvent { scope, cause: Some(line), record: Record { what, rows } }
}

fn open_plan(run: &Run) -> Result<Plan> {
    Sealed::from_stored(run.plan.clone())
        .open()
        .map_err(|error| StoreError::Refused(format!("run {}: {error}", run.id)))
}

fn illegal(error: impl std::fmt::Display) -> StoreError {
    StoreError::Refused(error.to_string())
}

/// The request that waits was read before the run was locked, for that is the order of locks. If another has come since,
/// the turn is tried again.
async fn expect_pending(tx: &mut Tx, run: &Run, pending: Option<&Request>) -> Result<()> {
    let now = tx.find_pending_of_run(run.id).await?;
    let read = pending.filter(|request| matches!(request.state, RequestState::Pending { .. }));
    if now.map(|request| request.id) == read.map(|request| request.id) {
        return Ok(());
    }
    Err(StoreError::Moved { row: format!("the request of run {}", run.id), expected: "as it was read".to_owned() })
}

/// What came of `stop`.
#[derive(Debug)]
pub enum StopOutcome {
    /// It has ended.
    Stopped,
    /// A step runs; its processes are being ended.
    Stopping,
    /// It was over already, or somebody has stopped it before.
    Over(Box<Run>),
}

/// What was approved for several runs is approved for none of them any more, because of what was done to one of them.
async fn end_covers(tx: &mut Tx, run: &Run, grants: &[StoredGrant], by: &PersonId, line: InboxId) -> Result<()> {
    for grant in grants {
        let approved = grant.under.as_ref().map_or(grant.request, |under| under.request);
        let Some(cover) = tx.end_cover(approved, by).await? else { continue };
        let Some(Request { id, code, run: first, .. }) = tx.find_request(approved).await? else {
            return Err(StoreError::Refused(format!("request {approved}, which covers run {}, is gone", run.id)));
        };
        let what = Happened::CoverEnded { request: id, code, run: first, by: by.clone(), used: cover.used };
        tx.record(event(run, line, what, Vec::new()));
    }
    Ok(())
}

/// Stops a run: at once if no step runs, else as soon as its processes are gone. Its request is taken back and its grant
/// revoked in the same transaction: nothing of it can start any more when that commits. An approval for several runs of which
/// this is one ends too, unless whoever asked stops their own.
///
/// # Errors
/// When the database refuses.
pub async fn stop(tx: &mut Tx, run: RunId, by: &PersonId, line: InboxId) -> Result<StopOutcome> {
    let pending = match tx.find_pending_of_run(run).await? {
        Some(request) => Some(tx.lock_request(request.id).await?),
        None => None,
    };
    let grants = tx.lock_grants(&[run]).await?;
    let run = tx.lock_run(run).await?;
    expect_pending(tx, &run, pending.as_ref()).await?;
    let Ok(to) = run.state.clone().next(RunEvent::Stop { by: by.clone() }) else {
        return Ok(StopOutcome::Over(Box::new(run)));
    };
    let plan = open_plan(&run)?;
    if let Some(request) = pending
        && let Ok(withdrawn) = request.state.clone().next(RequestEvent::Withdrawn { by: by.clone() })
    {
        let version = tx.move_request(&request, &withdrawn).await?;
        let what = Happened::RequestWithdrawn { request: request.id, code: request.code, run: run.id, by: by.clone() };
        tx.record(event(&run, line, what, vec![RowMark::request(request.id, withdrawn.name(), version)]));
    }
    for grant in &grants {
        let version = tx.move_grant(grant, GrantState::Revoked).await?;
        let what = Happened::GrantEnded { grant: grant.id, run: run.id, state: "revoked".to_owned() };
        tx.record(event(&run, line, what, vec![RowMark::grant(grant.id, "revoked", version)]));
    }
    if !tx.list_holders(&run).await?.contains(by) {
        end_covers(tx, &run, &grants, by, line).await?;
    }
    let version = tx.move_run(&run, &to, Some(line)).await?;
    let mark = vec![RowMark::run(run.id, to.name(), version)];
    if let RunState::Stopping { .. } = to {
        tx.record(event(&run, line, Happened::RunStopping { run: run.id, by: by.clone() }, mark));
        Ok(StopOutcome::Stopping)
    } else {
        let attempts = tx.list_attempts(run.id).await?;
        tx.record(event(&run, line, stopped(run.id, by.clone(), &plan, &attempts), mark));
        Ok(StopOutcome::Stopped)
    }
}

/// An approval about to be taken away.
#[derive(Debug)]
pub struct Revoke<'a> {
    /// Whose.
    pub run: RunId,
    /// The code of its request.
    pub code: Code,
    /// Who takes it away.
    pub by: &'a PersonId,
    /// Why, if they say; redacted.
    pub why: Option<String>,
}

/// What came of `revoke`.
#[derive(Debug)]
pub enum RevokeOutcome {
    /// The approval is gone, and the run is over.
    Revoked,
    /// The run has begun, or is over.
    Begun(Box<Run>),
}

/// Takes the approval of a run away before it has begun. The grant's row is the one that a start guards: when this commits
/// nothing of the run can start any more; when a start came first, nothing is changed.
///
/// # Errors
/// When the database refuses.
pub async fn revoke(tx: &mut Tx, revoke: Revoke<'_>, line: InboxId) -> Result<RevokeOutcome> {
    let Revoke { run, code, by, why } = revoke;
    let grants = tx.lock_grants(&[run]).await?;
    let run = tx.lock_run(run).await?;
    let attempts = tx.list_attempts(run.id).await?;
    if run.state != RunState::Approved || !attempts.is_empty() || grants.is_empty() {
        return Ok(RevokeOutcome::Begun(Box::new(run)));
    }
    let to = run.state.clone().next(RunEvent::Stop { by: by.clone() }).map_err(illegal)?;
    let plan = open_plan(&run)?;
    for grant in &grants {
        let version = tx.move_grant(grant, GrantState::Revoked).await?;
        let what = Happened::GrantEnded { grant: grant.id, run: run.id, state: "revoked".to_owned() };
        tx.record(event(&run, line, what, vec![RowMark::grant(grant.id, "revoked", version)]));
    }
    end_covers(tx, &run, &grants, by, line).await?;
    let version = tx.move_run(&run, &to, Some(line)).await?;
    let mut what = stopped(run.id, by.clone(), &plan, &attempts);
    if let Happened::RunStopped { revoked, .. } = &mut what {
        *revoked = Some(Revoked { code, why });
    }
    tx.record(event(&run, line, what, vec![RowMark::run(run.id, to.name(), version)]));
    Ok(RevokeOutcome::Revoked)
}

/// What came of `judge`.
#[derive(Debug)]
pub enum JudgeOutcome {
    /// It counts: the run goes on, or has failed.
    Judged,
    /// It is the person's own run (I3).
    OwnRun(Box<Run>),
    /// Nothing of the run is unknown.
    NotStuck(Box<Run>),
}

/// Is done with a step that only reads and whose outcome is unknown, as a person says: nobody has to agree to that but
/// whoever asked for the run may not (I3). A step that changes something needs a request.
///
/// # Errors
/// When the database refuses.
pub async fn judge(
    tx: &mut Tx,
    run: RunId,
    by: &PersonId,
    how: Freeing,
    why: &str,
    line: InboxId,
) -> Result<JudgeOutcome> {
    let pending = match tx.find_pending_of_run(run).await? {
        Some(request) => Some(tx.lock_request(request.id).await?),
        None => None,
    };
    let _grants = tx.lock_grants(&[run]).await?;
    let run = tx.lock_run(run).await?;
    expect_pending(tx, &run, pending.as_ref()).await?;
    let RunState::Stuck(snag) = run.state.clone() else { return Ok(JudgeOutcome::NotStuck(Box::new(run))) };
    if changes_something(&open_plan(&run)?, &snag) {
        return Err(StoreError::Refused(format!("step {} of run {} needs a request", snag.step, run.id)));
    }
    if tx.list_holders(&run).await?.contains(by) {
        return Ok(JudgeOutcome::OwnRun(Box::new(run)));
    }
    match approval::free(tx, Free { run: &run, how, by, why, request: None, line }).await? {
        Freed::NothingUnknown => return Ok(JudgeOutcome::NotStuck(Box::new(run))),
        Freed::Yes => {}
    }
    // A request to retry the step has lost its object.
    if let Some(request) = pending
        && let Ok(withdrawn) = request.state.clone().next(RequestEvent::Withdrawn { by: by.clone() })
    {
        let version = tx.move_request(&request, &withdrawn).await?;
        let what = Happened::RequestWithdrawn { request: request.id, code: request.code, run: run.id, by: by.clone() };
        tx.record(event(&run, line, what, vec![RowMark::request(request.id, withdrawn.name(), version)]));
    }
    Ok(JudgeOutcome::Judged)
}

/// Whether the step at which a run is stuck changes something. One that the plan does not have counts as if it did.
pub fn changes_something(plan: &Plan, snag: &Snag) -> bool {
    let index = usize::try_from(snag.step).ok().and_then(|step| step.checked_sub(1));
    index.and_then(|index| plan.steps.get(index)).is_none_or(|step| step.privileged)
}

//! Being done with a step whose outcome nobody knows: it counts as done, as failed, or is left out (I3).

use super::decide::{event, illegal};
use crate::model::event::{Happened, RowMark};
use crate::model::id::{InboxId, PersonId, RequestId};
use crate::model::request::{Freeing, GrantState};
use crate::model::run::{AttemptState, RunEvent, RunState, Snag, Verdict};
use crate::store::{Result, Run, Tx};

/// A stuck step about to be done with. That it may be was decided: by a request, or by a right for a step that only reads.
#[derive(Debug)]
pub struct Free<'a> {
    /// Its run, locked, stuck at the step; so are its grants.
    pub run: &'a Run,
    /// How.
    pub how: Freeing,
    /// Who wanted that.
    pub by: &'a PersonId,
    /// Why; redacted.
    pub why: &'a str,
    /// The request by which others agreed.
    pub request: Option<RequestId>,
    /// By which line.
    pub line: InboxId,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freed {
    /// The run goes on, or has failed.
    Yes,
    /// Nothing of the run is unknown.
    NothingUnknown,
}

/// Is done with the step at which a run is stuck.
///
/// # Errors
/// When the database refuses.
pub async fn free(tx: &mut Tx, free: Free<'_>) -> Result<Freed> {
    let Free { run, how, by, why, request, line } = free;
    let RunState::Stuck(snag) = run.state.clone() else { return Ok(Freed::NothingUnknown) };
    let attempts = tx.list_attempts(run.id).await?;
    let last = attempts.iter().filter(|attempt| attempt.key.step == snag.step).max_by_key(|a| a.key.number);
    let Some(attempt) = last.filter(|attempt| attempt.state == AttemptState::Unknown) else {
        return Ok(Freed::NothingUnknown);
    };
    let (step, number) = (attempt.key.step, attempt.key.number);
    let judged = |verdict| Happened::AttemptJudged {
        run: run.id,
        step,
        number,
        by: by.clone(),
        verdict,
        why: why.to_owned(),
        request,
    };
    let (state, version, run_event, what) = match how {
        Freeing::Skip => {
            let version = tx.skip_attempt(attempt, by).await?;
            let (by, why) = (by.clone(), why.to_owned());
            let what = Happened::AttemptSkipped { run: run.id, step, number, by, why, request };
            ("skipped", version, RunEvent::Skipped, what)
        }
        Freeing::JudgeWorked => {
            let version = tx.judge_attempt(attempt, by, Verdict::Worked).await?;
            ("judged", version, RunEvent::JudgedWorked, judged(Verdict::Worked))
        }
        Freeing::JudgeFailed => {
            let version = tx.judge_attempt(attempt, by, Verdict::Failed).await?;
            let snag = Snag { step, why: format!("{by} judged that it did not work: {why}") };
            ("judged", version, RunEvent::JudgedFailed(snag), judged(Verdict::Failed))
        }
    };
    let mut marks = vec![RowMark::attempt(run.id, step, number, state, version)];
    let to = run.state.clone().next(run_event).map_err(illegal)?;
    let version = tx.move_run(run, &to, Some(line)).await?;
    let run_mark = RowMark::run(run.id, to.name(), version);
    let RunState::Failed(failed) = to else {
        marks.push(run_mark);
        tx.record(event(run, Some(line), what, marks));
        return Ok(Freed::Yes);
    };
    tx.record(event(run, Some(line), what, marks));
    let mut marks = vec![run_mark];
    for grant in tx.lock_grants(&[run.id]).await? {
        let version = tx.move_grant(&grant, GrantState::Used).await?;
        marks.push(RowMark::grant(grant.id, "used", version));
    }
    let what = Happened::RunFailed { run: run.id, step: failed.step, why: failed.why };
    tx.record(event(run, Some(line), what, marks));
    Ok(Freed::Yes)
}

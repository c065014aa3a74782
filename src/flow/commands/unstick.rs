//! Ending and freeing runs: `stop`, `judge`, `retry`.

use super::super::turn::{Turn, plan_of};
use super::decide::shown_directly;
use super::{ask, look};
use crate::engine::{self, JudgeOutcome, StopOutcome};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::Subject;
use crate::model::id::{PersonId, RunId};
use crate::model::plan::{Plan, Sealed};
use crate::model::run::{RunState, Verdict};
use crate::store::{Result, Run};
use crate::text;

/// Finds the run that a command means: the one named, or the one that this place makes plain.
async fn bind(turn: &mut Turn<'_>, run: Option<RunId>, word: &str, fits: fn(&Run) -> bool) -> Result<Option<Run>> {
    if let Some(run) = run {
        return look::find(turn, run).await;
    }
    let thread = turn.thread().cloned();
    let mut open = Vec::new();
    if thread.is_some() && turn.is_private() {
        // A thread of direct messages is about what was shown there.
        for (request, _) in shown_directly(turn).await? {
            open.extend(turn.tx.find_run(request.run).await?.filter(|run| !run.state.is_over()));
        }
    } else {
        for room in turn.rooms() {
            open.extend(turn.tx.list_open_runs(&room, thread.as_ref()).await?);
        }
    }
    open.retain(fits);
    open.retain(|run| look::may_see(turn, run));
    match open.len() {
        0 => {
            turn.refuse(text::answer::no_open_run(word));
            Ok(None)
        }
        1 => {
            let run = open.pop();
            if let Some(run) = &run {
                turn.acts_in(&run.room);
            }
            Ok(run)
        }
        _ => {
            let list = open.iter().map(|run| Ok((run.id, plan_of(run)?.deed))).collect::<Result<Vec<_>>>()?;
            turn.refuse(text::answer::which_run(word, &list));
            Ok(None)
        }
    }
}

/// Who may unstick runs of a system.
fn may_unstick(turn: &Turn<'_>, run: &Run) -> Vec<PersonId> {
    turn.catalog().people_in(&subjects(turn, run)).into_iter().collect()
}

fn subjects(turn: &Turn<'_>, run: &Run) -> Vec<Subject> {
    turn.system_of(run).map(|system| system.may_unstick.clone()).unwrap_or_default()
}

fn holds(turn: &Turn<'_>, run: &Run, verb: Verb) -> bool {
    turn.system_of(run).is_some_and(|system| allowed(turn.catalog(), &turn.person, verb, system))
}

/// Who may stop a run: who asked, who is asked, and who may unstick.
fn who_may_stop(turn: &Turn<'_>, run: &Run, plan: &Plan) -> Vec<PersonId> {
    let mut who = vec![run.requester.clone()];
    let stages = plan.policy.as_ref().map(|policy| policy.stages.as_slice()).unwrap_or_default();
    who.extend(stages.iter().flat_map(|stage| turn.catalog().people_in(&stage.approvers)));
    who.extend(may_unstick(turn, run));
    let mut seen = std::collections::BTreeSet::new();
    who.retain(|person| seen.insert(person.clone()));
    who
}

pub(super) async fn command_stop(turn: &mut Turn<'_>, run: Option<RunId>) -> Result<()> {
    let Some(run) = bind(turn, run, "stop", |_| true).await? else { return Ok(()) };
    let plan = plan_of(&run)?;
    let who = who_may_stop(turn, &run, &plan);
    if !who.contains(&turn.person) {
        let mut subjects = Turn::approvers(&plan, 0);
        subjects.extend(self::subjects(turn, &run));
        turn.refuse_right(text::answer::may_not_stop(&turn.person, run.id, &who), &subjects);
        return Ok(());
    }
    match engine::stop(&mut turn.tx, run.id, &turn.person, turn.line).await? {
        // Echoed from the ledger.
        StopOutcome::Stopped | StopOutcome::Stopping => {}
        StopOutcome::Over(run) => turn.refuse(text::answer::over_already(run.id, &run.state)),
    }
    Ok(())
}

fn is_stuck(run: &Run) -> bool {
    matches!(run.state, RunState::Stuck(_))
}

pub(super) async fn command_judge(
    turn: &mut Turn<'_>,
    run: Option<RunId>,
    verdict: Verdict,
    reason: &str,
) -> Result<()> {
    let Some(run) = bind(turn, run, "judge", is_stuck).await? else { return Ok(()) };
    let who = may_unstick(turn, &run);
    if !holds(turn, &run, Verb::Unstick) {
        let subjects = subjects(turn, &run);
        turn.refuse_right(text::answer::not_allowed(&turn.person, "judge", run.system.as_str(), &who), &subjects);
        return Ok(());
    }
    let reason = turn.in_use.secrets.redact(reason);
    match engine::judge(&mut turn.tx, run.id, &turn.person, verdict, &reason, turn.line).await? {
        // Echoed from the ledger.
        JudgeOutcome::Judged => {}
        JudgeOutcome::OwnRun(run) => {
            let others: Vec<PersonId> = who.into_iter().filter(|person| *person != run.requester).collect();
            turn.refuse(text::answer::own_judgement(&turn.person, &others));
        }
        JudgeOutcome::NotStuck(run) => turn.refuse(text::answer::not_stuck(run.id, &run.state)),
    }
    Ok(())
}

/// A further attempt is asked for under the same policy, with the same plan; neither who asked first nor who asks now may
/// agree to it (I3, I7).
pub(super) async fn command_retry(turn: &mut Turn<'_>, run: Option<RunId>) -> Result<()> {
    let Some(run) = bind(turn, run, "retry", is_stuck).await? else { return Ok(()) };
    if !holds(turn, &run, Verb::Run) && !holds(turn, &run, Verb::Unstick) {
        let who = may_unstick(turn, &run);
        let subjects = subjects(turn, &run);
        turn.refuse_right(text::answer::not_allowed(&turn.person, "retry", run.system.as_str(), &who), &subjects);
        return Ok(());
    }
    let run = turn.tx.lock_run(run.id).await?;
    // Read under the lock that every asking for this run takes.
    let pending = turn.tx.find_pending_of_run(run.id).await?;
    let RunState::Stuck(snag) = run.state.clone() else {
        turn.refuse(text::answer::not_stuck(run.id, &run.state));
        return Ok(());
    };
    if let Some(pending) = pending {
        turn.tx.insert_line_run(turn.line, run.id).await?;
        turn.refuse(text::answer::retry_waits(&pending.code));
        return Ok(());
    }
    turn.tx.insert_line_run(turn.line, run.id).await?;
    let sealed = Sealed::from_stored(run.plan.clone());
    let plan = plan_of(&run)?;
    let mut requesters = vec![turn.person.clone()];
    if run.requester != turn.person {
        requesters.push(run.requester.clone());
    }
    let elsewhere = run.room != *turn.room();
    let mut asking = ask::Asking::of_line(turn);
    if elsewhere {
        // It is shown where its run is talked about.
        (asking.room, asking.thread) = (run.room.clone(), run.thread.clone());
    }
    asking.requesters = requesters;
    asking.incident = run.incident;
    asking.request(&plan, &sealed, run.id, Some(snag.step), ask::Show::Yes).await?;
    if elsewhere {
        ask::say_where(turn, run.id, &run.room).await?;
    }
    Ok(())
}

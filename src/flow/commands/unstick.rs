//! Ending and freeing runs: `stop`, `judge`, `skip`, `retry`.

use std::collections::BTreeSet;

use super::super::turn::{Turn, plan_of};
use super::decide::shown_directly;
use super::{ask, look};
use crate::approval::{self, Decide, DecideOutcome, Seen};
use crate::engine::{self, JudgeOutcome, StopOutcome};
use crate::model::allowed::{Verb, allowed};
use crate::model::approval::whom_to_ask;
use crate::model::catalog::Subject;
use crate::model::escalation::Around;
use crate::model::id::{PersonId, RequestId, RunId};
use crate::model::plan::{Plan, PlanPolicy, Sealed};
use crate::model::request::{Answer, Freeing, Proof, Wanted, Wish};
use crate::model::run::{AttemptState, RunState, Verdict};
use crate::store::{Result, Run, StoreError};
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
    who.extend(run.handed_to.clone());
    let stages = plan.policy.as_ref().map(|policy| policy.stages.as_slice()).unwrap_or_default();
    who.extend(stages.iter().flat_map(|stage| turn.catalog().people_in(&stage.approvers)));
    who.extend(may_unstick(turn, run));
    let mut seen = BTreeSet::new();
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
    let how = match verdict {
        Verdict::Worked => Freeing::JudgeWorked,
        Verdict::Failed => Freeing::JudgeFailed,
    };
    command_free(turn, run, how, "judge", reason).await
}

pub(super) async fn command_skip(turn: &mut Turn<'_>, run: Option<RunId>, reason: &str) -> Result<()> {
    command_free(turn, run, Freeing::Skip, "skip", reason).await
}

/// Being done with a stuck step. Of one that only reads whoever may unstick says so; of one that changes something it is
/// asked under the same policy (I3).
async fn command_free(turn: &mut Turn<'_>, run: Option<RunId>, how: Freeing, word: &str, reason: &str) -> Result<()> {
    let Some(run) = bind(turn, run, word, is_stuck).await? else { return Ok(()) };
    let plan = plan_of(&run)?;
    let reason = turn.in_use.secrets.redact(reason);
    if let RunState::Stuck(snag) = &run.state
        && engine::changes_something(&plan, snag)
    {
        return ask_about(turn, &run, word, |step, by| Wanted::Free {
            step,
            wish: Wish { what: how, by, why: reason },
        })
        .await;
    }
    let who = may_unstick(turn, &run);
    if !holds(turn, &run, Verb::Unstick) {
        let subjects = subjects(turn, &run);
        turn.refuse_right(text::answer::not_allowed(&turn.person, word, run.system.as_str(), &who), &subjects);
        return Ok(());
    }
    // Whoever broke the glass for it decides nothing more of it alone, no less than whoever asked.
    if turn.tx.list_breaks(run.id).await?.iter().any(|(_, breaker)| *breaker == turn.person) {
        let holders = turn.tx.list_holders(&run).await?;
        let others: Vec<PersonId> =
            who.into_iter().filter(|person| !holders.contains(person) && *person != turn.person).collect();
        turn.refuse(text::answer::own_judgement(&turn.person, &others));
        return Ok(());
    }
    match engine::judge(&mut turn.tx, run.id, &turn.person, how, &reason, turn.line).await? {
        // Echoed from the ledger.
        JudgeOutcome::Judged => {}
        JudgeOutcome::OwnRun(run) => {
            let holders = turn.tx.list_holders(&run).await?;
            let others: Vec<PersonId> = who.into_iter().filter(|person| !holders.contains(person)).collect();
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
    ask_about(turn, &run, "retry", |step, _| Wanted::Retry { step }).await
}

/// Whoever counts as having asked for what becomes of a run: who asked for it or ever took it over, whoever has the account by
/// which it was asked for, and whoever started it without agreement, who decided alone once already.
async fn holders_of(turn: &mut Turn<'_>, run: &Run) -> Result<Vec<PersonId>> {
    let mut holders = turn.tx.list_holders(run).await?;
    // Under another name by now, perhaps.
    if let Some(owner) = turn.catalog().person_of(&run.requester_account).map(|owner| owner.name.clone())
        && !holders.contains(&owner)
    {
        holders.push(owner);
    }
    for (_, breaker) in turn.tx.list_breaks(run.id).await? {
        if !holders.contains(&breaker) {
            holders.push(breaker);
        }
    }
    Ok(holders)
}

/// Asks those who agreed to a run what becomes of the step at which it is stuck. Whoever says how to be done with it and is
/// one of those who are asked has answered by that; whoever asks for another attempt has asked for something to be done.
async fn ask_about(
    turn: &mut Turn<'_>,
    run: &Run,
    word: &str,
    wanted: impl FnOnce(u32, PersonId) -> Wanted,
) -> Result<()> {
    let plan = plan_of(run)?;
    let speaker = turn.person.clone();
    let run_requesters = holders_of(turn, run).await?;
    let is_asked = match plan.policy.as_ref().map(PlanPolicy::over_stuck_steps) {
        Some(policy) => {
            let policy = &policy;
            let delegations = turn.tx.list_delegations().await?;
            let around = Around {
                catalog: turn.catalog(),
                policy,
                stage: 0,
                requesters: &run_requesters,
                excluded: plan.excluded(),
                asked: &[],
                spent: &BTreeSet::new(),
                delegations: &delegations,
                now: turn.tx.now(),
            };
            whom_to_ask(&around).iter().any(|asked| asked.person == speaker)
        }
        None => false,
    };
    if !holds(turn, run, Verb::Run) && !holds(turn, run, Verb::Unstick) && !is_asked {
        let who = may_unstick(turn, run);
        let subjects = subjects(turn, run);
        turn.refuse_right(text::answer::not_allowed(&speaker, word, run.system.as_str(), &who), &subjects);
        return Ok(());
    }
    // Grants before the run, as everybody locks them: own words count below, and that looks at both.
    let _grants = turn.tx.lock_grants(&[run.id]).await?;
    let run = turn.tx.lock_run(run.id).await?;
    // Whoever took it over since then, or started it alone, must not be left out of who asks. The turn is tried again.
    if holders_of(turn, &run).await? != run_requesters {
        let expected = "as it was read".to_owned();
        return Err(StoreError::Moved { row: format!("who asks for run {}", run.id), expected });
    }
    // Read under the lock that every asking for this run takes.
    let pending = turn.tx.find_pending_of_run(run.id).await?;
    let RunState::Stuck(snag) = run.state.clone() else {
        turn.refuse(text::answer::not_stuck(run.id, &run.state));
        return Ok(());
    };
    turn.tx.insert_line_run(turn.line, run.id).await?;
    if let Some(pending) = pending {
        let deed = text::plan::asked_deed(&plan, run.id, &pending.wanted);
        turn.refuse(text::answer::asked_already(&pending.code, &deed));
        return Ok(());
    }
    let wanted = wanted(snag.step, speaker.clone());
    let attempts = turn.tx.list_attempts(run.id).await?;
    let last = attempts.iter().filter(|attempt| attempt.key.step == snag.step).max_by_key(|attempt| attempt.key.number);
    if wanted.wish().is_some() && last.is_none_or(|last| last.state != AttemptState::Unknown) {
        turn.refuse(text::answer::nothing_unknown(run.id, snag.step));
        return Ok(());
    }
    let sealed = Sealed::from_stored(run.plan.clone());
    let mut requesters = run_requesters;
    let mut asking = ask::Asking::of_line(turn);
    asking.requesters.clone_from(&requesters);
    // Who is needed because of a denial is asked as well.
    let carried = asking.denied_of_step(&plan, run.id, snag.step).await?;
    let is_needed = carried.as_ref().is_some_and(|(carried, _)| {
        carried.needs.contains(&speaker) && !requesters.contains(&speaker) && !plan.excluded().contains(&speaker)
    });
    let decides = (is_asked || is_needed) && wanted.wish().is_some();
    if !decides && !requesters.contains(&speaker) {
        requesters.insert(0, speaker.clone());
    }
    let elsewhere = run.room != *turn.room();
    let mut asking = ask::Asking::of_line(turn);
    if elsewhere {
        // It is shown where its run is talked about.
        (asking.room, asking.thread) = (run.room.clone(), run.thread.clone());
    }
    asking.requesters = requesters;
    asking.incident = run.incident;
    // Whoever asks it themselves is not needed beside.
    if let Some((carried, note)) = asking.denied_of_step(&plan, run.id, snag.step).await? {
        asking.notes.push(note);
        asking.carried = Some(carried);
    }
    let show = if decides { ask::Show::Later } else { ask::Show::Yes };
    let id = asking.request(&plan, &sealed, run.id, &wanted, show).await?;
    if decides {
        let (notes, requesters) = (std::mem::take(&mut asking.notes), asking.requesters.clone());
        let carried = asking.carried.take();
        let (room, thread) = (asking.room.clone(), asking.thread.clone());
        if own_words(turn, id, &speaker, &wanted).await? {
            return Ok(());
        }
        // Others are needed too, or another proof.
        let Some(request) = turn.tx.find_request(id).await? else { return Ok(()) };
        let asked = turn.asked_now(&request).await?;
        let mut asking = ask::Asking::of_line(turn);
        (asking.room, asking.thread, asking.requesters, asking.notes) = (room, thread, requesters, notes);
        asking.carried = carried;
        asking.incident = run.incident;
        asking.show(&plan, id, &asked).await?;
    }
    if elsewhere {
        ask::say_where(turn, run.id, &run.room).await?;
    }
    Ok(())
}

/// Counts what somebody says as their own answer, in the same transaction. Returns whether that was all that was needed.
async fn own_words(turn: &mut Turn<'_>, request: RequestId, person: &PersonId, wanted: &Wanted) -> Result<bool> {
    let (in_use, account) = (turn.in_use.clone(), turn.incoming.account.clone());
    // Said in a chat: no page asks for this with a passkey.
    let proof = Proof::Chat;
    let decide = Decide {
        request,
        person,
        account: &account,
        answer: Answer::Approve,
        reason: wanted.wish().map(|wish| wish.why.clone()),
        proof,
        line: turn.line,
        seen: Seen::OwnWords,
    };
    match approval::decide(&mut turn.tx, &in_use.catalog, decide).await? {
        // Echoed from the ledger.
        DecideOutcome::Granted | DecideOutcome::Denied => Ok(true),
        // The request that is shown now says who is asked.
        DecideOutcome::Counted { .. } | DecideOutcome::Refused(_) => Ok(false),
    }
}

//! What a run does next: pure.
//!
//! Plan and attempts in, the next move out. Recovery is the same question asked after a restart: an attempt that is still
//! `started` although nobody of this process started it has been left behind. Keeps I3.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::plan::{Plan, PlanStep};
use crate::model::run::{AttemptState, RunEvent, RunState, Snag, Verdict};
use crate::store::Attempt;

/// The next move of a run that this worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    /// Start this attempt.
    Start {
        /// The step, counted from 1.
        step: u32,
        /// Which try, counted from 1.
        number: u32,
    },
    /// The step failed and the plan lets it be tried again: not before this time has passed.
    Pause(Duration),
    /// An attempt was left behind by a worker that is gone: end its process group, then record it as unknown.
    Settle {
        /// The step.
        step: u32,
        /// Which try.
        number: u32,
    },
    /// Nothing is left to start: the run takes this event.
    Finish(RunEvent),
    /// Nothing to do in this state.
    Nothing,
}

/// Decides the next move. `now` tells how much of a pause between two tries is left.
pub(super) fn next(plan: &Plan, state: &RunState, attempts: &[Attempt], now: DateTime<Utc>) -> Next {
    let last_of = |step: u32| attempts.iter().filter(|attempt| attempt.key.step == step).max_by_key(|a| a.key.number);
    let left_behind = attempts.iter().find(|attempt| attempt.state == AttemptState::Started);
    match state {
        RunState::Planned | RunState::Approved | RunState::Running => {}
        RunState::Stopping { .. } => {
            return match left_behind {
                Some(attempt) => Next::Settle { step: attempt.key.step, number: attempt.key.number },
                None => Next::Finish(RunEvent::Halted),
            };
        }
        RunState::AwaitingApproval
        | RunState::Stuck(_)
        | RunState::Succeeded
        | RunState::Failed(_)
        | RunState::Stopped { .. }
        | RunState::Denied { .. }
        | RunState::Expired
        | RunState::Withdrawn { .. } => return Next::Nothing,
    }
    if let Some(attempt) = left_behind {
        return Next::Settle { step: attempt.key.step, number: attempt.key.number };
    }
    for (step, planned) in (1_u32..).zip(&plan.steps) {
        let Some(attempt) = last_of(step) else { return Next::Start { step, number: 1 } };
        let number = attempt.key.number;
        let snag = |why: &str| Snag { step, why: why.to_owned() };
        match &attempt.state {
            AttemptState::Succeeded
            | AttemptState::Judged { verdict: Verdict::Worked, .. }
            | AttemptState::Skipped { .. } => {}
            AttemptState::Failed | AttemptState::TimedOut if may_try_again(planned, number) => {
                let left = pause_left(planned, attempt, now);
                return if left.is_zero() { Next::Start { step, number: number + 1 } } else { Next::Pause(left) };
            }
            AttemptState::Failed | AttemptState::TimedOut => {
                let why = attempt.summary.as_deref().unwrap_or("it failed");
                return Next::Finish(RunEvent::StepFailed(snag(why)));
            }
            AttemptState::Judged { verdict: Verdict::Failed, by } => {
                return Next::Finish(RunEvent::StepFailed(snag(&format!("{by} judged that it did not work"))));
            }
            AttemptState::Unknown if repeatable(planned) || *state == RunState::Approved => {
                // Approved: a person decided, under the same policy, that it may be tried again.
                return Next::Start { step, number: number + 1 };
            }
            AttemptState::Unknown => {
                return Next::Finish(RunEvent::OutcomeUnknown(snag("nobody saw how it ended")));
            }
            AttemptState::Started => return Next::Settle { step, number },
        }
    }
    Next::Finish(RunEvent::AllDone)
}

/// Whether a step may be tried again by itself after an unknown outcome.
pub(super) fn repeatable(step: &PlanStep) -> bool {
    step.idempotent || !step.privileged
}

/// Whether the plan's `retry` lets a step be tried again after so many tries, of which the last was seen to fail. Tries
/// whose outcome is unknown and those that a person's decision started count too.
fn may_try_again(step: &PlanStep, tries: u32) -> bool {
    step.retry.is_some_and(|retry| tries <= retry.times)
}

/// How long until the next try. Never longer than the pause itself, whatever became of the clock.
fn pause_left(step: &PlanStep, attempt: &Attempt, now: DateTime<Utc>) -> Duration {
    let pause = step.retry.map_or(Duration::ZERO, |retry| retry.pause(attempt.key.number));
    let Some(ended) = attempt.ended_at else { return Duration::ZERO };
    // It ended in the future: the clock was set back since.
    let passed = (now - ended).to_std().unwrap_or(Duration::ZERO);
    pause.saturating_sub(passed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Retry;
    use crate::model::id::{PersonId, RunId, RunbookName, SystemName};
    use crate::model::plan::{Action, PLAN_VERSION, Telling};
    use crate::store::AttemptKey;
    use proptest::prelude::*;

    fn step(privileged: bool, idempotent: bool) -> PlanStep {
        PlanStep {
            name: "Step".into(),
            privileged,
            read_only: false,
            idempotent,
            timeout_ms: 1000,
            retry: None,
            action: Action::Check { checks: Vec::new(), until: None },
        }
    }

    /// Ten seconds after every attempt of [`attempt`] has ended.
    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::from_secs(10)
    }

    fn retried(times: u32, wait_ms: u64, step: PlanStep) -> PlanStep {
        PlanStep { retry: Some(Retry { times, wait_ms, at_most_ms: 60_000 }), ..step }
    }

    fn plan(steps: Vec<PlanStep>) -> Plan {
        Plan {
            version: PLAN_VERSION,
            runbook: RunbookName::new("r"),
            title: String::new(),
            why: None,
            deed: String::new(),
            system: SystemName::new("s"),
            system_title: String::new(),
            environment: String::new(),
            host: String::new(),
            params: Default::default(),
            targets: Vec::new(),
            files: Default::default(),
            policy: None,
            author: None,
            steps,
            not_before: None,
            telling: Telling::Steps,
        }
    }

    fn attempt(step: u32, number: u32, state: AttemptState) -> Attempt {
        Attempt {
            key: AttemptKey { run: RunId(1), step, number },
            version: 1,
            state,
            fence: 1,
            started_at: chrono::DateTime::UNIX_EPOCH,
            ended_at: Some(chrono::DateTime::UNIX_EPOCH),
            summary: Some("exit 7".into()),
            worker: None,
            process: None,
        }
    }

    #[test]
    fn steps_follow_each_other_to_the_end() {
        let plan = plan(vec![step(true, false), step(false, false)]);
        let mut attempts = Vec::new();
        assert_eq!(next(&plan, &RunState::Approved, &attempts, now()), Next::Start { step: 1, number: 1 });
        attempts.push(attempt(1, 1, AttemptState::Succeeded));
        assert_eq!(next(&plan, &RunState::Running, &attempts, now()), Next::Start { step: 2, number: 1 });
        attempts.push(attempt(2, 1, AttemptState::Succeeded));
        assert_eq!(next(&plan, &RunState::Running, &attempts, now()), Next::Finish(RunEvent::AllDone));
    }

    #[test]
    fn a_failed_step_ends_the_run_with_what_it_said() {
        let plan = plan(vec![step(true, false)]);
        let attempts = [attempt(1, 1, AttemptState::Failed)];
        let snag = Snag { step: 1, why: "exit 7".into() };
        assert_eq!(next(&plan, &RunState::Running, &attempts, now()), Next::Finish(RunEvent::StepFailed(snag)));
    }

    #[test]
    fn i3_what_was_left_behind_is_settled_first_and_then_only_repeated_if_it_may_be() {
        let once = plan(vec![step(true, false)]);
        let often = plan(vec![step(true, true)]);
        let reads = plan(vec![step(false, false)]);
        let left = [attempt(1, 1, AttemptState::Started)];
        for plan in [&once, &often, &reads] {
            assert_eq!(next(plan, &RunState::Running, &left, now()), Next::Settle { step: 1, number: 1 });
        }
        let unknown = [attempt(1, 1, AttemptState::Unknown)];
        let snag = Snag { step: 1, why: "nobody saw how it ended".into() };
        assert_eq!(next(&once, &RunState::Running, &unknown, now()), Next::Finish(RunEvent::OutcomeUnknown(snag)));
        assert_eq!(next(&often, &RunState::Running, &unknown, now()), Next::Start { step: 1, number: 2 });
        assert_eq!(next(&reads, &RunState::Running, &unknown, now()), Next::Start { step: 1, number: 2 });
        // A person's decision under the same policy is the other way.
        assert_eq!(next(&once, &RunState::Approved, &unknown, now()), Next::Start { step: 1, number: 2 });
        let judged = AttemptState::Judged { by: PersonId::new("boss"), verdict: Verdict::Worked };
        let judged = [attempt(1, 1, judged)];
        assert_eq!(next(&once, &RunState::Approved, &judged, now()), Next::Finish(RunEvent::AllDone));
    }

    #[test]
    fn a_stopping_run_settles_and_halts() {
        let plan = plan(vec![step(true, true), step(true, true)]);
        let stopping = RunState::Stopping { by: PersonId::new("mei") };
        let started = [attempt(1, 1, AttemptState::Started)];
        assert_eq!(next(&plan, &stopping, &started, now()), Next::Settle { step: 1, number: 1 });
        let settled = [attempt(1, 1, AttemptState::Unknown)];
        assert_eq!(next(&plan, &stopping, &settled, now()), Next::Finish(RunEvent::Halted));
        assert_eq!(next(&plan, &RunState::Expired, &[], now()), Next::Nothing);
        assert_eq!(next(&plan, &RunState::AwaitingApproval, &[], now()), Next::Nothing);
    }

    #[test]
    fn a_step_that_failed_is_tried_again_after_its_pause_as_often_as_the_plan_says() {
        let plan = plan(vec![retried(2, 12_000, step(true, false))]);
        let fail = |number| attempt(1, number, AttemptState::Failed);
        // Ten of the twelve seconds have passed.
        assert_eq!(next(&plan, &RunState::Running, &[fail(1)], now()), Next::Pause(Duration::from_secs(2)));
        let later = now() + Duration::from_secs(2);
        assert_eq!(next(&plan, &RunState::Running, &[fail(1)], later), Next::Start { step: 1, number: 2 });
        // The second pause is twice as long.
        let two = [fail(1), attempt(1, 2, AttemptState::TimedOut)];
        assert_eq!(next(&plan, &RunState::Running, &two, later), Next::Pause(Duration::from_secs(12)));
        let much_later = now() + Duration::from_secs(60);
        assert_eq!(next(&plan, &RunState::Running, &two, much_later), Next::Start { step: 1, number: 3 });
        let three = [fail(1), fail(2), fail(3)];
        let snag = Snag { step: 1, why: "exit 7".into() };
        assert_eq!(next(&plan, &RunState::Running, &three, much_later), Next::Finish(RunEvent::StepFailed(snag)));
        // A clock that was set back makes nobody wait longer than the pause.
        let before = DateTime::UNIX_EPOCH - Duration::from_secs(3600);
        assert_eq!(next(&plan, &RunState::Running, &[fail(1)], before), Next::Pause(Duration::from_secs(12)));
        // Nothing is begun in a run that is being stopped.
        let stopping = RunState::Stopping { by: PersonId::new("mei") };
        assert_eq!(next(&plan, &stopping, &[fail(1)], now()), Next::Finish(RunEvent::Halted));
    }

    #[test]
    fn i3_retry_repeats_nothing_whose_outcome_is_unknown_and_counts_what_a_person_let_start() {
        let once = plan(vec![retried(1, 1, step(true, false))]);
        let unknown = [attempt(1, 1, AttemptState::Unknown)];
        let snag = Snag { step: 1, why: "nobody saw how it ended".into() };
        assert_eq!(next(&once, &RunState::Running, &unknown, now()), Next::Finish(RunEvent::OutcomeUnknown(snag)));
        // A person let the second start, and it failed: the one further try that the plan has is used up.
        let released = [attempt(1, 1, AttemptState::Unknown), attempt(1, 2, AttemptState::Failed)];
        let snag = Snag { step: 1, why: "exit 7".into() };
        assert_eq!(next(&once, &RunState::Running, &released, now()), Next::Finish(RunEvent::StepFailed(snag)));
    }

    fn any_state() -> impl Strategy<Value = AttemptState> {
        prop::sample::select(vec![
            AttemptState::Started,
            AttemptState::Succeeded,
            AttemptState::Failed,
            AttemptState::TimedOut,
            AttemptState::Unknown,
        ])
    }

    proptest! {
        /// Whatever lies behind: nothing starts beside a started attempt, no step starts before the one before it worked,
        /// no number is used twice, and a step that must not be repeated is not.
        #[test]
        fn i3_no_history_leads_to_a_start_that_must_not_be(
            history in prop::collection::vec((1..4_u32, any_state()), 0..8),
            kinds in prop::collection::vec((any::<bool>(), any::<bool>(), 0..4_u32), 3),
            approved in any::<bool>(),
            passed in 0..100_u64,
        ) {
            let kind = |&(privileged, idempotent, times)| retried(times, 10_000, step(privileged, idempotent));
            let plan = plan(kinds.iter().map(kind).collect());
            let mut attempts: Vec<Attempt> = Vec::new();
            for (step, state) in history {
                let number = attempts.iter().filter(|a| a.key.step == step).count() as u32 + 1;
                attempts.push(attempt(step, number, state));
            }
            let state = if approved { RunState::Approved } else { RunState::Running };
            let now = DateTime::UNIX_EPOCH + Duration::from_secs(passed);
            let next = next(&plan, &state, &attempts, now);
            if let Next::Pause(time) = next {
                prop_assert!(!time.is_zero() && time <= Duration::from_secs(60));
            }
            if let Next::Start { step, number } = next {
                prop_assert!(attempts.iter().all(|a| a.state != AttemptState::Started));
                prop_assert!(attempts.iter().all(|a| (a.key.step, a.key.number) != (step, number)));
                for before in 1..step {
                    let last = attempts.iter().filter(|a| a.key.step == before).max_by_key(|a| a.key.number);
                    prop_assert!(last.is_some_and(|a| a.state.worked()), "step {} was skipped", before);
                }
                let (privileged, idempotent, times) = kinds[step as usize - 1];
                let last = attempts.iter().filter(|a| a.key.step == step).max_by_key(|a| a.key.number);
                match last.map(|last| &last.state) {
                    None => prop_assert_eq!(number, 1),
                    Some(AttemptState::Failed | AttemptState::TimedOut) => {
                        prop_assert!(number <= 1 + times);
                        let pause = retried(times, 10_000, self::step(true, true)).retry.expect("one").pause(number - 1);
                        prop_assert!(Duration::from_secs(passed) >= pause);
                    }
                    Some(AttemptState::Unknown) => prop_assert!(approved || idempotent || !privileged),
                    other => prop_assert!(false, "a start after {other:?}"),
                }
            }
        }
    }
}

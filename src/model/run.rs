//! The state machines of runs and attempts: pure, total, one function each.
//!
//! What lives here: states with their evidence, and which event leads from which state to which. What does not: storing
//! them (`store`), or deciding that an event happened (`engine`, `approval`, `flow`). Keeps I3: what is not listed here
//! cannot happen, and illegal pairs are listed, not wildcarded.

use serde::{Deserialize, Serialize};

use super::id::PersonId;

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// Asked; needs nobody's agreement; not begun.
    Planned,
    /// A request for it waits.
    AwaitingApproval,
    /// Granted; not begun, or released from `stuck`.
    Approved,
    /// A worker executes its steps, or will again after a restart.
    Running,
    /// What a step did is unknown and doing it again might harm: a person must judge, retry or stop.
    Stuck(Snag),
    /// Somebody said `stop` while a step ran; its process group is being ended.
    Stopping {
        /// Who.
        by: PersonId,
    },
    /// Every step is done.
    Succeeded,
    /// A step failed, timed out, or could not be started.
    Failed(Snag),
    /// Ended by a person before it was done.
    Stopped {
        /// Who.
        by: PersonId,
    },
    /// Somebody who was asked said no.
    Denied {
        /// Who.
        by: PersonId,
        /// Why, if they said.
        why: Option<String>,
    },
    /// Nobody decided in time.
    Expired,
    /// Taken back by who asked.
    Withdrawn {
        /// Who.
        by: PersonId,
    },
}

/// At which step it went wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snag {
    /// The step, counted from 1.
    pub step: u32,
    /// In a few words for people.
    pub why: String,
}

/// What can happen to a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEvent {
    /// Its request was granted.
    Granted,
    /// Its request was denied.
    Denied {
        /// By whom.
        by: PersonId,
        /// Why, if they said.
        why: Option<String>,
    },
    /// Its request expired.
    Expired,
    /// Its request was withdrawn.
    Withdrawn {
        /// By whom.
        by: PersonId,
    },
    /// A worker starts its next attempt.
    Started,
    /// The last step is done.
    AllDone,
    /// A step failed for good.
    StepFailed(Snag),
    /// A step's outcome is unknown and it may not be repeated.
    OutcomeUnknown(Snag),
    /// A person judged that the unknown step did its work.
    JudgedWorked,
    /// A person judged that it did not.
    JudgedFailed(Snag),
    /// The unknown step is left out.
    Skipped,
    /// A person said `stop`.
    Stop {
        /// Who.
        by: PersonId,
    },
    /// The process group of a stopped run is gone.
    Halted,
}

/// An event that the state does not allow: nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {state} cannot take `{event}`")]
pub struct RunRefusal {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl RunState {
    /// The name as stored and spoken.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::AwaitingApproval => "awaiting_approval",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Stuck(_) => "stuck",
            Self::Stopping { .. } => "stopping",
            Self::Succeeded => "succeeded",
            Self::Failed(_) => "failed",
            Self::Stopped { .. } => "stopped",
            Self::Denied { .. } => "denied",
            Self::Expired => "expired",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }

    /// Whether nothing can happen to it any more.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Planned
            | Self::AwaitingApproval
            | Self::Approved
            | Self::Running
            | Self::Stuck(_)
            | Self::Stopping { .. } => false,
            Self::Succeeded
            | Self::Failed(_)
            | Self::Stopped { .. }
            | Self::Denied { .. }
            | Self::Expired
            | Self::Withdrawn { .. } => true,
        }
    }

    /// Whether it goes on only when a person does something.
    pub fn waits_for_a_person(&self) -> bool {
        matches!(self, Self::AwaitingApproval | Self::Stuck(_))
    }

    /// The state after an event.
    ///
    /// # Errors
    /// When the state does not allow the event. Nothing wildcarded: a new state or event has to be thought through here.
    pub fn next(self, event: RunEvent) -> Result<Self, RunRefusal> {
        use RunEvent as E;
        use RunState as S;
        let refusal = RunRefusal { state: self.name(), event: event.name() };
        match (self, event) {
            (S::Planned, E::Started) => Ok(S::Running),
            (S::Planned, E::Stop { by }) => Ok(S::Stopped { by }),
            (S::Planned, E::StepFailed(snag)) => Ok(S::Failed(snag)),
            (
                S::Planned,
                E::Granted
                | E::Denied { .. }
                | E::Expired
                | E::Withdrawn { .. }
                | E::AllDone
                | E::OutcomeUnknown(_)
                | E::JudgedWorked
                | E::JudgedFailed(_)
                | E::Skipped
                | E::Halted,
            ) => Err(refusal),

            (S::AwaitingApproval, E::Granted) => Ok(S::Approved),
            (S::AwaitingApproval, E::Denied { by, why }) => Ok(S::Denied { by, why }),
            (S::AwaitingApproval, E::Expired) => Ok(S::Expired),
            (S::AwaitingApproval, E::Withdrawn { by }) => Ok(S::Withdrawn { by }),
            (S::AwaitingApproval, E::Stop { by }) => Ok(S::Stopped { by }),
            (
                S::AwaitingApproval,
                E::Started
                | E::AllDone
                | E::StepFailed(_)
                | E::OutcomeUnknown(_)
                | E::JudgedWorked
                | E::JudgedFailed(_)
                | E::Skipped
                | E::Halted,
            ) => Err(refusal),

            (S::Approved, E::Started) => Ok(S::Running),
            (S::Approved, E::StepFailed(snag)) => Ok(S::Failed(snag)),
            (S::Approved, E::Stop { by }) => Ok(S::Stopped { by }),
            // A run released from `stuck` whose last step was judged to have worked has nothing left to start.
            (S::Approved, E::AllDone) => Ok(S::Succeeded),
            // A further try was granted, and the one before it is not proved gone.
            (S::Approved, E::OutcomeUnknown(snag)) => Ok(S::Stuck(snag)),
            (
                S::Approved,
                E::Granted
                | E::Denied { .. }
                | E::Expired
                | E::Withdrawn { .. }
                | E::JudgedWorked
                | E::JudgedFailed(_)
                | E::Skipped
                | E::Halted,
            ) => Err(refusal),

            // The next step of a run that runs.
            (S::Running, E::Started) => Ok(S::Running),
            (S::Running, E::AllDone) => Ok(S::Succeeded),
            (S::Running, E::StepFailed(snag)) => Ok(S::Failed(snag)),
            (S::Running, E::OutcomeUnknown(snag)) => Ok(S::Stuck(snag)),
            (S::Running, E::Stop { by }) => Ok(S::Stopping { by }),
            (
                S::Running,
                E::Granted
                | E::Denied { .. }
                | E::Expired
                | E::Withdrawn { .. }
                | E::JudgedWorked
                | E::JudgedFailed(_)
                | E::Skipped
                | E::Halted,
            ) => Err(refusal),

            // A request to retry was granted.
            (S::Stuck(_), E::Granted) => Ok(S::Approved),
            (S::Stuck(_), E::JudgedWorked | E::Skipped) => Ok(S::Approved),
            (S::Stuck(_), E::JudgedFailed(snag)) => Ok(S::Failed(snag)),
            (S::Stuck(_), E::Stop { by }) => Ok(S::Stopped { by }),
            // A request to retry came to nothing: it is as stuck as before.
            (S::Stuck(snag), E::Denied { .. } | E::Expired | E::Withdrawn { .. }) => Ok(S::Stuck(snag)),
            (S::Stuck(_), E::Started | E::AllDone | E::StepFailed(_) | E::OutcomeUnknown(_) | E::Halted) => {
                Err(refusal)
            }

            (S::Stopping { by }, E::Halted) => Ok(S::Stopped { by }),
            (S::Stopping { .. }, E::OutcomeUnknown(snag)) => Ok(S::Stuck(snag)),
            (
                S::Stopping { .. },
                E::Granted
                | E::Denied { .. }
                | E::Expired
                | E::Withdrawn { .. }
                | E::Started
                | E::AllDone
                | E::StepFailed(_)
                | E::JudgedWorked
                | E::JudgedFailed(_)
                | E::Skipped
                | E::Stop { .. },
            ) => Err(refusal),

            (
                S::Succeeded | S::Failed(_) | S::Stopped { .. } | S::Denied { .. } | S::Expired | S::Withdrawn { .. },
                E::Granted
                | E::Denied { .. }
                | E::Expired
                | E::Withdrawn { .. }
                | E::Started
                | E::AllDone
                | E::StepFailed(_)
                | E::OutcomeUnknown(_)
                | E::JudgedWorked
                | E::JudgedFailed(_)
                | E::Skipped
                | E::Stop { .. }
                | E::Halted,
            ) => Err(refusal),
        }
    }
}

impl RunEvent {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Denied { .. } => "denied",
            Self::Expired => "expired",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Started => "started",
            Self::AllDone => "all done",
            Self::StepFailed(_) => "step failed",
            Self::OutcomeUnknown(_) => "outcome unknown",
            Self::JudgedWorked => "judged worked",
            Self::JudgedFailed(_) => "judged failed",
            Self::Skipped => "skipped",
            Self::Stop { .. } => "stop",
            Self::Halted => "halted",
        }
    }
}

/// Where an attempt stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptState {
    /// Its process was or is about to be started. Durable before the process exists.
    Started,
    /// It ended well.
    Succeeded,
    /// It ended badly, or could not be started at all.
    Failed,
    /// Its time was over and its process group was ended.
    TimedOut,
    /// Nobody saw how it ended.
    Unknown,
    /// A person said what came of it.
    Judged {
        /// Who.
        by: PersonId,
        /// What.
        verdict: Verdict,
    },
    /// It is left out: nobody knows how it ended, and the run goes on.
    Skipped {
        /// Who wanted that.
        by: PersonId,
    },
}

/// What a person says about an attempt whose outcome is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did its work.
    Worked,
    /// It did not.
    Failed,
}

/// What can happen to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttemptEvent {
    /// It was seen to end.
    Ended(Outcome),
    /// Its outcome was not seen, and its process group is proved gone.
    Lost,
    /// A person said what came of it.
    Judged {
        /// Who.
        by: PersonId,
        /// What.
        verdict: Verdict,
    },
    /// It is left out.
    Skipped {
        /// Who wanted that.
        by: PersonId,
    },
}

/// How an attempt was seen to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// Badly.
    Failed,
    /// By its timeout.
    TimedOut,
}

/// An event that the attempt's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an attempt that is {state} cannot take `{event}`")]
pub struct AttemptRefusal {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl AttemptState {
    /// The name as stored.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
            Self::Judged { .. } => "judged",
            Self::Skipped { .. } => "skipped",
        }
    }

    /// Whether the step counts as done.
    pub fn worked(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Judged { verdict: Verdict::Worked, .. })
    }

    /// The state after an event.
    ///
    /// # Errors
    /// When the state does not allow the event.
    pub fn next(self, event: AttemptEvent) -> Result<Self, AttemptRefusal> {
        use AttemptEvent as E;
        use AttemptState as S;
        let refusal = AttemptRefusal { state: self.name(), event: event.name() };
        match (self, event) {
            (S::Started, E::Ended(Outcome::Succeeded)) => Ok(S::Succeeded),
            (S::Started, E::Ended(Outcome::Failed)) => Ok(S::Failed),
            (S::Started, E::Ended(Outcome::TimedOut)) => Ok(S::TimedOut),
            (S::Started, E::Lost) => Ok(S::Unknown),
            (S::Unknown, E::Judged { by, verdict }) => Ok(S::Judged { by, verdict }),
            (S::Unknown, E::Skipped { by }) => Ok(S::Skipped { by }),
            (S::Started, E::Judged { .. } | E::Skipped { .. }) | (S::Unknown, E::Ended(_) | E::Lost) => Err(refusal),
            (
                S::Succeeded | S::Failed | S::TimedOut | S::Judged { .. } | S::Skipped { .. },
                E::Ended(_) | E::Lost | E::Judged { .. } | E::Skipped { .. },
            ) => Err(refusal),
        }
    }
}

impl AttemptEvent {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ended(Outcome::Succeeded) => "succeeded",
            Self::Ended(Outcome::Failed) => "failed",
            Self::Ended(Outcome::TimedOut) => "timed out",
            Self::Lost => "lost",
            Self::Judged { .. } => "judged",
            Self::Skipped { .. } => "skipped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn person() -> PersonId {
        PersonId::new("boss")
    }

    fn snag() -> Snag {
        Snag { step: 1, why: "exit 1".into() }
    }

    fn every_state() -> Vec<RunState> {
        vec![
            RunState::Planned,
            RunState::AwaitingApproval,
            RunState::Approved,
            RunState::Running,
            RunState::Stuck(snag()),
            RunState::Stopping { by: person() },
            RunState::Succeeded,
            RunState::Failed(snag()),
            RunState::Stopped { by: person() },
            RunState::Denied { by: person(), why: None },
            RunState::Expired,
            RunState::Withdrawn { by: person() },
        ]
    }

    fn every_event() -> Vec<RunEvent> {
        vec![
            RunEvent::Granted,
            RunEvent::Denied { by: person(), why: None },
            RunEvent::Expired,
            RunEvent::Withdrawn { by: person() },
            RunEvent::Started,
            RunEvent::AllDone,
            RunEvent::StepFailed(snag()),
            RunEvent::OutcomeUnknown(snag()),
            RunEvent::JudgedWorked,
            RunEvent::JudgedFailed(snag()),
            RunEvent::Stop { by: person() },
            RunEvent::Halted,
        ]
    }

    /// The whole table, one row a state: what is not here is refused.
    #[test]
    fn every_pair_of_run_state_and_event() {
        let mut table = String::new();
        for state in every_state() {
            for event in every_event() {
                let name = event.name();
                if let Ok(next) = state.clone().next(event) {
                    table += &format!("{} + {name} -> {}\n", state.name(), next.name());
                }
            }
        }
        insta::assert_snapshot!(table, @r"
        planned + started -> running
        planned + step failed -> failed
        planned + stop -> stopped
        awaiting_approval + granted -> approved
        awaiting_approval + denied -> denied
        awaiting_approval + expired -> expired
        awaiting_approval + withdrawn -> withdrawn
        awaiting_approval + stop -> stopped
        approved + started -> running
        approved + all done -> succeeded
        approved + step failed -> failed
        approved + outcome unknown -> stuck
        approved + stop -> stopped
        running + started -> running
        running + all done -> succeeded
        running + step failed -> failed
        running + outcome unknown -> stuck
        running + stop -> stopping
        stuck + granted -> approved
        stuck + denied -> stuck
        stuck + expired -> stuck
        stuck + withdrawn -> stuck
        stuck + judged worked -> approved
        stuck + judged failed -> failed
        stuck + stop -> stopped
        stopping + outcome unknown -> stuck
        stopping + halted -> stopped
        ");
    }

    #[test]
    fn every_pair_of_attempt_state_and_event() {
        let states = [
            AttemptState::Started,
            AttemptState::Succeeded,
            AttemptState::Failed,
            AttemptState::TimedOut,
            AttemptState::Unknown,
            AttemptState::Judged { by: person(), verdict: Verdict::Worked },
            AttemptState::Skipped { by: person() },
        ];
        let events = [
            AttemptEvent::Ended(Outcome::Succeeded),
            AttemptEvent::Ended(Outcome::Failed),
            AttemptEvent::Ended(Outcome::TimedOut),
            AttemptEvent::Lost,
            AttemptEvent::Judged { by: person(), verdict: Verdict::Failed },
            AttemptEvent::Skipped { by: person() },
        ];
        let mut table = String::new();
        for state in &states {
            for event in &events {
                if let Ok(next) = state.clone().next(event.clone()) {
                    table += &format!("{} + {} -> {}\n", state.name(), event.name(), next.name());
                }
            }
        }
        insta::assert_snapshot!(table, @"
        started + succeeded -> succeeded
        started + failed -> failed
        started + timed out -> timed_out
        started + lost -> unknown
        unknown + judged -> judged
        unknown + skipped -> skipped
        ");
    }

    fn any_event() -> impl Strategy<Value = RunEvent> {
        prop::sample::select(every_event())
    }

    proptest! {
        /// Whatever happens in whatever order: over is over, and nothing runs that was not granted first.
        #[test]
        fn i3_no_sequence_of_events_revives_a_run_or_starts_an_unapproved_one(
            events in prop::collection::vec(any_event(), 0..40)
        ) {
            let mut state = RunState::AwaitingApproval;
            let mut granted = false;
            for event in events {
                let was_over = state.is_over();
                let before = state.name();
                let grants = event == RunEvent::Granted;
                match state.clone().next(event) {
                    Ok(next) => {
                        prop_assert!(!was_over, "{before} moved to {}", next.name());
                        granted |= grants;
                        if next == RunState::Running {
                            prop_assert!(granted, "started without a grant");
                        }
                        state = next;
                    }
                    Err(refusal) => prop_assert_eq!(refusal.state, before),
                }
            }
        }
    }
}

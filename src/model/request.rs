//! The state machine of requests and grants, and the arithmetic of agreement: pure, total.
//!
//! What lives here: who has agreed to what so far and what that comes to. What does not: reading decisions from the
//! store and making a Grant of them (`approval`, its only maker). Keeps I7: a requester never counts, a person counts once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::catalog::Stage;
use super::id::PersonId;

/// Where a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestState {
    /// Waits for the people of a stage.
    Pending {
        /// Which stage of the policy, counted from 0.
        stage: u32,
    },
    /// Every stage agreed.
    Granted,
    /// Somebody who was asked said no: that ends it whatever others said.
    Denied {
        /// Who.
        by: PersonId,
        /// Why, if they said.
        why: Option<String>,
    },
    /// Nobody decided in time. Not a denial.
    Expired,
    /// Taken back by who asked, or ended with its run.
    Withdrawn {
        /// Who.
        by: PersonId,
    },
}

/// What can happen to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestEvent {
    /// The stage has all the approvals that it needs.
    StageComplete {
        /// Whether another stage follows.
        last: Last,
    },
    /// Somebody who is asked said no.
    Denied {
        /// Who.
        by: PersonId,
        /// Why, if they said.
        why: Option<String>,
    },
    /// Its time is over.
    Expired,
    /// Taken back.
    Withdrawn {
        /// By whom.
        by: PersonId,
    },
}

/// Whether a stage is the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    /// It is.
    Yes,
    /// Another follows.
    No,
}

/// An event that the request's state does not allow: a late decision changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a request that is {state} cannot take `{event}`")]
pub struct RequestRefusal {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl RequestState {
    /// The name as stored.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pending { .. } => "pending",
            Self::Granted => "granted",
            Self::Denied { .. } => "denied",
            Self::Expired => "expired",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }

    /// The state after an event.
    ///
    /// # Errors
    /// When the state does not allow the event.
    pub fn next(self, event: RequestEvent) -> Result<Self, RequestRefusal> {
        use RequestEvent as E;
        use RequestState as S;
        let refusal = RequestRefusal { state: self.name(), event: event.name() };
        match (self, event) {
            (S::Pending { stage }, E::StageComplete { last: Last::No }) => Ok(S::Pending { stage: stage + 1 }),
            (S::Pending { .. }, E::StageComplete { last: Last::Yes }) => Ok(S::Granted),
            (S::Pending { .. }, E::Denied { by, why }) => Ok(S::Denied { by, why }),
            (S::Pending { .. }, E::Expired) => Ok(S::Expired),
            (S::Pending { .. }, E::Withdrawn { by }) => Ok(S::Withdrawn { by }),
            (
                S::Granted | S::Denied { .. } | S::Expired | S::Withdrawn { .. },
                E::StageComplete { .. } | E::Denied { .. } | E::Expired | E::Withdrawn { .. },
            ) => Err(refusal),
        }
    }
}

impl RequestEvent {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::StageComplete { last: Last::No } => "stage complete",
            Self::StageComplete { last: Last::Yes } => "last stage complete",
            Self::Denied { .. } => "denied",
            Self::Expired => "expired",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantState {
    /// Its run may start attempts.
    Granted,
    /// Its run is over.
    Used,
    /// Taken away before its run was over.
    Revoked,
    /// Its time was over before its run was.
    Lapsed,
}

/// What can happen to a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantEvent {
    /// Its run ended by itself.
    RunOver,
    /// Somebody stopped the run, or another grant replaces it.
    Revoked,
    /// Its time is over.
    Lapsed,
}

/// An event that the grant's state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a grant that is {state} cannot take `{event}`")]
pub struct GrantRefusal {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl GrantState {
    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Used => "used",
            Self::Revoked => "revoked",
            Self::Lapsed => "lapsed",
        }
    }

    /// Reads a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Granted, Self::Used, Self::Revoked, Self::Lapsed].into_iter().find(|state| state.name() == name)
    }

    /// The state after an event.
    ///
    /// # Errors
    /// When the state does not allow the event.
    pub fn next(self, event: GrantEvent) -> Result<Self, GrantRefusal> {
        match (self, event) {
            (Self::Granted, GrantEvent::RunOver) => Ok(Self::Used),
            (Self::Granted, GrantEvent::Revoked) => Ok(Self::Revoked),
            (Self::Granted, GrantEvent::Lapsed) => Ok(Self::Lapsed),
            (
                Self::Used | Self::Revoked | Self::Lapsed,
                GrantEvent::RunOver | GrantEvent::Revoked | GrantEvent::Lapsed,
            ) => Err(GrantRefusal {
                state: self.name(),
                event: match event {
                    GrantEvent::RunOver => "run over",
                    GrantEvent::Revoked => "revoked",
                    GrantEvent::Lapsed => "lapsed",
                },
            }),
        }
    }
}

/// One person's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Who.
    pub person: PersonId,
    /// In which stage.
    pub stage: u32,
    /// Yes or no.
    pub answer: Answer,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

impl Answer {
    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
        }
    }

    /// Reads a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Approve, Self::Deny].into_iter().find(|answer| answer.name() == name)
    }
}

/// What a request's decisions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// A stage still waits.
    Waiting {
        /// Which, counted from 0.
        stage: u32,
        /// For how many more people.
        missing: u32,
    },
    /// Every stage agreed and nobody denied.
    Agreed,
    /// Somebody denied.
    Denied,
}

/// Counts decisions against the frozen stages. `may_decide(stage, person)` tells whether the person is asked there. A
/// requester's decision never counts (I7); a person counts once a stage, whichever groups they are in.
pub fn tally(
    stages: &[Stage],
    requesters: &[PersonId],
    decisions: &[Decision],
    may_decide: impl Fn(&Stage, &PersonId) -> bool,
) -> Tally {
    let counts = |decision: &&Decision, stage: &Stage| {
        !requesters.contains(&decision.person) && may_decide(stage, &decision.person)
    };
    for (index, stage) in (0_u32..).zip(stages) {
        let here = || decisions.iter().filter(|decision| decision.stage == index).filter(|d| counts(d, stage));
        if here().any(|decision| decision.answer == Answer::Deny) {
            return Tally::Denied;
        }
        let agreed: BTreeSet<&PersonId> = here().map(|decision| &decision.person).collect();
        let agreed = u32::try_from(agreed.len()).unwrap_or(u32::MAX);
        if agreed < stage.quorum {
            return Tally::Waiting { stage: index, missing: stage.quorum - agreed };
        }
    }
    if stages.is_empty() { Tally::Waiting { stage: 0, missing: 1 } } else { Tally::Agreed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::Subject;
    use proptest::prelude::*;

    fn person(name: &str) -> PersonId {
        PersonId::new(name)
    }

    fn stage(people: &[&str], quorum: u32) -> Stage {
        Stage { approvers: people.iter().map(|name| Subject::Person(person(name))).collect(), quorum }
    }

    fn asked(stage: &Stage, who: &PersonId) -> bool {
        stage.approvers.contains(&Subject::Person(who.clone()))
    }

    fn says(who: &str, stage: u32, answer: Answer) -> Decision {
        Decision { person: person(who), stage, answer }
    }

    #[test]
    fn every_pair_of_request_state_and_event() {
        let by = || person("boss");
        let states = [
            RequestState::Pending { stage: 0 },
            RequestState::Granted,
            RequestState::Denied { by: by(), why: None },
            RequestState::Expired,
            RequestState::Withdrawn { by: by() },
        ];
        let events = [
            RequestEvent::StageComplete { last: Last::No },
            RequestEvent::StageComplete { last: Last::Yes },
            RequestEvent::Denied { by: by(), why: None },
            RequestEvent::Expired,
            RequestEvent::Withdrawn { by: by() },
        ];
        let mut table = String::new();
        for state in &states {
            for event in &events {
                if let Ok(next) = state.clone().next(event.clone()) {
                    table += &format!("{state:?} + {} -> {next:?}\n", event.name());
                }
            }
        }
        insta::assert_snapshot!(table, @r#"
        Pending { stage: 0 } + stage complete -> Pending { stage: 1 }
        Pending { stage: 0 } + last stage complete -> Granted
        Pending { stage: 0 } + denied -> Denied { by: PersonId("boss"), why: None }
        Pending { stage: 0 } + expired -> Expired
        Pending { stage: 0 } + withdrawn -> Withdrawn { by: PersonId("boss") }
        "#);
    }

    #[test]
    fn a_grant_ends_once() {
        for event in [GrantEvent::RunOver, GrantEvent::Revoked, GrantEvent::Lapsed] {
            let ended = GrantState::Granted.next(event).expect("granted takes every event");
            for again in [GrantEvent::RunOver, GrantEvent::Revoked, GrantEvent::Lapsed] {
                assert!(ended.next(again).is_err());
            }
            assert_eq!(GrantState::from_name(ended.name()), Some(ended));
        }
    }

    #[test]
    fn two_stages_with_a_quorum_of_two_need_two_people_each() {
        let stages = [stage(&["a", "b", "c"], 2), stage(&["c", "d"], 2)];
        let mut decisions = vec![says("a", 0, Answer::Approve)];
        let count = |decisions: &[Decision]| tally(&stages, &[person("mei")], decisions, asked);
        assert_eq!(count(&decisions), Tally::Waiting { stage: 0, missing: 1 });
        decisions.push(says("b", 0, Answer::Approve));
        assert_eq!(count(&decisions), Tally::Waiting { stage: 1, missing: 2 });
        decisions.extend([says("c", 1, Answer::Approve), says("d", 1, Answer::Approve)]);
        assert_eq!(count(&decisions), Tally::Agreed);
        decisions.push(says("d", 1, Answer::Deny));
        assert_eq!(count(&decisions), Tally::Denied);
    }

    #[test]
    fn i7_a_requester_never_counts_and_a_person_counts_once() {
        let stages = [stage(&["mei", "boss", "lin"], 2)];
        let decisions = [
            says("mei", 0, Answer::Approve),
            says("boss", 0, Answer::Approve),
            says("boss", 0, Answer::Approve),
            says("zed", 0, Answer::Approve),
        ];
        let waiting = Tally::Waiting { stage: 0, missing: 1 };
        assert_eq!(tally(&stages, &[person("mei")], &decisions, asked), waiting);
    }

    #[test]
    fn no_stages_agree_to_nothing() {
        assert_eq!(tally(&[], &[], &[], asked), Tally::Waiting { stage: 0, missing: 1 });
    }

    proptest! {
        /// However decisions are shuffled, the tally is the same, and it never agrees without enough different people.
        #[test]
        fn i7_the_order_of_decisions_does_not_matter(
            picks in prop::collection::vec((0..5_usize, 0..2_u32, any::<bool>()), 0..12),
            seed in any::<prop::sample::Index>(),
        ) {
            let names = ["mei", "a", "b", "c", "d"];
            let stages = [stage(&["a", "b", "c"], 2), stage(&["mei", "c", "d"], 1)];
            let mut decisions: Vec<_> = picks
                .iter()
                .map(|(who, stage, yes)| says(names[*who], *stage, if *yes { Answer::Approve } else { Answer::Deny }))
                .collect();
            let before = tally(&stages, &[person("mei")], &decisions, asked);
            if !decisions.is_empty() {
                let turn = seed.index(decisions.len());
                decisions.rotate_left(turn);
            }
            let after = tally(&stages, &[person("mei")], &decisions, asked);
            // Which of several stages denied may differ; that it was denied may not, unless an earlier stage waits.
            prop_assert_eq!(before, after);
            if after == Tally::Agreed {
                for (index, stage) in (0_u32..).zip(&stages) {
                    let people: BTreeSet<_> = decisions
                        .iter()
                        .filter(|d| d.stage == index && d.answer == Answer::Approve && d.person != person("mei"))
                        .filter(|d| asked(stage, &d.person))
                        .map(|d| &d.person)
                        .collect();
                    prop_assert!(people.len() >= stage.quorum as usize);
                }
            }
        }
    }
}

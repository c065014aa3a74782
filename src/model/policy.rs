//! The parts of a policy, as the catalog has them and as a plan freezes them.
//!
//! What lives here: the shapes and their stored form. What does not: choosing a policy, counting decisions
//! (`approval`, beside this), reading YAML (`runbook`). Everything here stands in the bytes of plans: a field that is
//! left out reads as it did before there was one.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::catalog::{Catalog, Subject, System};
use super::code::Code;
use super::id::{PersonId, RunbookName, TriggerName};
use super::request::Proof;

/// One part of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// Who may agree.
    pub approvers: Vec<Subject>,
    /// How many different people must; at least 1.
    pub quorum: u32,
    /// How many different people who say no end it; at least 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub denials: u32,
    /// Whether an answer must say why.
    #[serde(default, skip_serializing_if = "is_false")]
    pub reason_required: bool,
    /// Whether agreeing needs a passkey beside the chat account.
    #[serde(default, skip_serializing_if = "is_false")]
    pub step_up: bool,
    /// How long the stage waits from its beginning, in milliseconds; `None` is as long as the request does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// After how many milliseconds whoever is asked is reminded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remind_after_ms: Option<u64>,
    /// After how many milliseconds whoever is asked is rung.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ring_after_ms: Option<u64>,
    /// Who is asked as well when nobody has decided for a while; in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalate: Vec<Escalation>,
}

impl Stage {
    /// A stage that asks these, all at once, and needs so many of them.
    pub fn new(approvers: Vec<Subject>, quorum: u32) -> Self {
        Self {
            approvers,
            quorum,
            denials: 1,
            reason_required: false,
            step_up: false,
            expires_ms: None,
            remind_after_ms: None,
            ring_after_ms: None,
            escalate: Vec::new(),
        }
    }

    /// Everybody whom it names, at once or after a while.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.approvers.iter().chain(self.escalate.iter().flat_map(|step| &step.to))
    }

    /// How long it waits from its beginning, if it says so itself.
    pub fn expires(&self) -> Option<Duration> {
        self.expires_ms.map(Duration::from_millis)
    }
}

/// Others who are asked after a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalation {
    /// How many milliseconds after the stage's beginning.
    pub after_ms: u64,
    /// Who.
    pub to: Vec<Subject>,
}

/// People who may start a runbook without anybody's answer, so often in a window. Only ever of a named runbook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unasked {
    /// Who.
    pub by: Vec<Subject>,
    /// How many runs; at least 1. Everybody's count together.
    pub runs: u32,
    /// In how many milliseconds.
    pub per_ms: u64,
}

impl Unasked {
    /// Whether it can mean a person: it names them, or a group in which they may be.
    pub fn may_name(&self, person: &PersonId) -> bool {
        can_mean(&self.by, person)
    }

    /// In how long.
    pub fn per(&self) -> Duration {
        Duration::from_millis(self.per_ms)
    }
}

/// A trigger whose runs start without anybody's answer: of a named runbook, and so often in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Automatic {
    /// Which trigger.
    pub trigger: TriggerName,
    /// Of what, and how often. `None`: frozen or kept by a release that knew no bound. No catalog that is read has one without,
    /// and no plan is made of one.
    pub bound: Option<Bound>,
}

/// What a trigger may start by itself, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Which runbook: changing what the trigger runs lets nothing else start.
    pub runbook: RunbookName,
    /// How many runs; at least 1. For all services together.
    pub runs: u32,
    /// In how many milliseconds.
    pub per_ms: u64,
}

impl Automatic {
    /// Whether it lets a trigger start a runbook, whatever has been started before.
    pub fn lets(&self, trigger: &TriggerName, runbook: &RunbookName) -> bool {
        self.trigger == *trigger && self.bound.as_ref().is_none_or(|bound| bound.runbook == *runbook)
    }

    /// Whether another lets start all that this one does.
    pub fn is_within(&self, other: &Self) -> bool {
        let bounded = match (&self.bound, &other.bound) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(Bound { runbook, runs, per_ms }), Some(other)) => {
                *runbook == other.runbook && *runs <= other.runs && *per_ms >= other.per_ms
            }
        };
        bounded && self.trigger == other.trigger
    }
}

impl Bound {
    /// In how long.
    pub fn per(&self) -> Duration {
        Duration::from_millis(self.per_ms)
    }
}

/// How it is written: with its bound as a map, and without one as the name alone, as the first releases did.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WithBound {
    trigger: TriggerName,
    runbook: RunbookName,
    runs: u32,
    per_ms: u64,
}

impl Serialize for Automatic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let trigger = self.trigger.clone();
        match self.bound.clone() {
            None => trigger.serialize(serializer),
            Some(Bound { runbook, runs, per_ms }) => WithBound { trigger, runbook, runs, per_ms }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Automatic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Automatic;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a trigger's name, or a trigger, a runbook, runs and per_ms")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Automatic, E> {
                Ok(Automatic { trigger: TriggerName::new(name), bound: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Automatic, A::Error> {
                let WithBound { trigger, runbook, runs, per_ms } =
                    WithBound::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Automatic { trigger, bound: Some(Bound { runbook, runs, per_ms }) })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

/// A rule of separation that a policy gives up, in words. The ledger says so wherever it mattered (I7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relaxed {
    /// Whoever asked may also agree.
    RequesterMayAgree,
    /// One person may agree in several stages.
    OnePersonSeveralStages,
}

impl Relaxed {
    /// Each, with its word in a policy.
    pub const ALL: [(Self, &str); 2] =
        [(Self::RequesterMayAgree, "requester_may_agree"), (Self::OnePersonSeveralStages, "one_person_several_stages")];

    /// Its word in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequesterMayAgree => "requester_may_agree",
            Self::OnePersonSeveralStages => "one_person_several_stages",
        }
    }
}

/// Who may start a run without the agreement that the policy wants, and who looks at that afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlass {
    /// Who may; whoever asked may be among them.
    pub by: Vec<Subject>,
    /// Within how many milliseconds somebody else says what they think of it.
    pub review_within_ms: u64,
    /// Who says so: neither who broke the glass nor who asked.
    pub reviewed_by: Vec<Subject>,
    /// Whether a chat account is enough where a stage wants a passkey.
    #[serde(default, skip_serializing_if = "is_false")]
    pub by_chat: bool,
}

impl BreakGlass {
    /// Within what time it is reviewed.
    pub fn review_within(&self) -> Duration {
        Duration::from_millis(self.review_within_ms)
    }

    /// The same with people in the place of whoever is accountable for a system.
    pub fn of_system(&self, system: &System) -> Self {
        let named = |subjects: &[Subject]| subjects.iter().filter_map(|subject| subject.of_system(system)).collect();
        Self { by: named(&self.by), reviewed_by: named(&self.reviewed_by), ..self.clone() }
    }

    /// Whether this much proof is enough, with these stages.
    pub fn accepts(&self, stages: &[Stage], proof: &Proof) -> bool {
        self.by_chat || !proof.is_chat() || !stages.iter().any(|stage| stage.step_up)
    }

    /// Whether somebody can have been among those who may, as far as one can know without knowing who is in a group.
    pub fn may_name(&self, person: &PersonId) -> bool {
        can_mean(&self.by, person)
    }
}

/// How many runs of the same plan one approval covers, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How many, with the first.
    pub runs: u32,
    /// From the approval, in milliseconds.
    pub within_ms: u64,
}

impl Repeat {
    /// How long, from the approval.
    pub fn within(&self) -> Duration {
        Duration::from_millis(self.within_ms)
    }
}

/// That the same was denied not long ago, as whoever is asked now sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeniedBefore {
    /// The code of the request that was denied.
    pub code: Code,
    /// Who denied it.
    pub by: PersonId,
    /// Why, if they said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// That something was denied of a stuck step not long ago, and what follows: frozen with the request that asks about the step
/// again, as the plan is its run's and says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    /// What was denied.
    pub denied: DeniedBefore,
    /// At least one of these must be among those who agree; empty is nobody in particular.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<PersonId>,
}

/// Who has to agree when the same is asked again soon after it was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AfterDenial {
    /// Whoever denied it, or whom they report to, must be among those who agree.
    #[default]
    Denier,
    /// The same people as ever.
    SamePeople,
}

impl AfterDenial {
    /// Each, with its word in a policy.
    pub const ALL: [(Self, &str); 2] = [(Self::Denier, "denier"), (Self::SamePeople, "same_people")];

    /// Who must be among those who agree, when somebody asks for what another has denied: one of these. Nobody in particular
    /// when the policy says so, when the denier asks it themselves, and when nobody knows the denier any more.
    pub fn needs(self, catalog: &Catalog, denier: &PersonId, requesters: &[PersonId]) -> Vec<PersonId> {
        if self == Self::SamePeople || requesters.contains(denier) || !catalog.people.contains_key(denier) {
            return Vec::new();
        }
        let above = catalog.reports_to.get(denier).filter(|above| !requesters.contains(*above));
        std::iter::once(denier).chain(above).cloned().collect()
    }
}

/// Whether those who are asked may let somebody else answer for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delegating {
    /// They may, for a bounded time.
    #[default]
    Allowed,
    /// They may not.
    Refused,
}

impl Delegating {
    /// Whether they may: what is left out of a plan's bytes.
    pub fn is_allowed(&self) -> bool {
        *self == Self::Allowed
    }
}

/// Whether subjects can mean a person, as far as one can know without knowing who is in a group.
fn can_mean(subjects: &[Subject], person: &PersonId) -> bool {
    subjects.iter().any(|subject| match subject {
        Subject::Person(named) => named == person,
        Subject::Group(_) | Subject::Rota(_) => true,
        Subject::Accountable => false,
    })
}

fn one() -> u32 {
    1
}

fn is_one(number: &u32) -> bool {
    *number == 1
}

pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::GroupName;

    #[test]
    fn a_stage_of_the_first_release_is_written_as_it_was() {
        let old = r#"{"approvers":["group:managers"],"quorum":1}"#;
        let stage: Stage = serde_json::from_str(old).expect("a stage");
        assert_eq!(stage, Stage::new(vec![Subject::Group(GroupName::new("managers"))], 1));
        assert_eq!(serde_json::to_string(&stage).expect("JSON"), old);
    }

    #[test]
    fn a_trigger_without_a_bound_is_read_and_written_as_the_first_releases_did() {
        let old = r#"["web-down"]"#;
        let read: Vec<Automatic> = serde_json::from_str(old).expect("a list");
        let (trigger, other) = (TriggerName::new("web-down"), TriggerName::new("cart-down"));
        assert_eq!(read, [Automatic { trigger: trigger.clone(), bound: None }]);
        assert_eq!(serde_json::to_string(&read).expect("JSON"), old);
        assert!(read[0].lets(&trigger, &RunbookName::new("any")) && !read[0].lets(&other, &RunbookName::new("any")));
        let new = r#"[{"trigger":"web-down","runbook":"fix","runs":3,"per_ms":60000}]"#;
        let bounded: Vec<Automatic> = serde_json::from_str(new).expect("a list");
        assert_eq!(serde_json::to_string(&bounded).expect("JSON"), new);
        assert!(bounded[0].lets(&trigger, &RunbookName::new("fix")));
        assert!(!bounded[0].lets(&trigger, &RunbookName::new("fixb")), "only what it names");
        assert!(bounded[0].is_within(&read[0]) && !read[0].is_within(&bounded[0]));
        let unknown = r#"[{"trigger":"web-down","runbook":"fix","runs":3,"per_ms":60000,"more":1}]"#;
        serde_json::from_str::<Vec<Automatic>>(unknown).expect_err("nobody knows what that would let start");
    }
}

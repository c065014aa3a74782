//! The parts of a policy, as the catalog has them and as a plan freezes them.
//!
//! What lives here: the shapes and their stored form. What does not: choosing a policy, counting decisions
//! (`approval`, beside this), reading YAML (`runbook`). Everything here stands in the bytes of plans: a field that is
//! left out reads as it did before there was one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::Subject;

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
}

//! The state machines of requests and grants: pure, total.
//!
//! What lives here: the states, what can happen to them, and one person's answer. What does not: what answers come to
//! (`approval`, beside this), reading them from the store and making a Grant of them (the top-level `approval`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::id::{PersonId, RequestId};

/// For how long it is said of a request what became of the one before it, and what was denied counts for who must agree.
pub const REMEMBERED: TimeDelta = TimeDelta::days(1);

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
    /// Sent back to whoever asked: somebody who was asked wants something else.
    ChangesRequested {
        /// Who.
        by: PersonId,
        /// What they want.
        why: String,
    },
    /// The same was asked again with other content: the newer one is what waits.
    Superseded {
        /// The newer one.
        by: RequestId,
    },
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// That its run starts.
    Start,
    /// Another attempt of a stuck step.
    Retry {
        /// Which, counted from 1.
        step: u32,
    },
    /// That a stuck step is done with, without another attempt.
    Free {
        /// Which, counted from 1.
        step: u32,
        /// How, and why.
        wish: Wish,
    },
}

impl Wanted {
    /// What is wanted of a step, if one is named. `None`: a wish without a step.
    pub fn of(step: Option<u32>, wish: Option<Wish>) -> Option<Self> {
        match (step, wish) {
            (None, None) => Some(Self::Start),
            (Some(step), None) => Some(Self::Retry { step }),
            (Some(step), Some(wish)) => Some(Self::Free { step, wish }),
            (None, Some(_)) => None,
        }
    }

    /// What it is about of a stuck step, if it is about one.
    pub fn stuck(&self) -> Option<Stuck> {
        self.step().map(|step| Stuck { step, free: self.wish().map(|wish| wish.what) })
    }

    /// The stuck step, if it is about one.
    pub fn step(&self) -> Option<u32> {
        match self {
            Self::Start => None,
            Self::Retry { step } | Self::Free { step, .. } => Some(*step),
        }
    }

    /// What is wanted beside another attempt.
    pub fn wish(&self) -> Option<&Wish> {
        match self {
            Self::Start | Self::Retry { .. } => None,
            Self::Free { wish, .. } => Some(wish),
        }
    }
}

/// What a request is about of a stuck step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stuck {
    /// Which, counted from 1.
    pub step: u32,
    /// How it is to be done with; none: another attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Freeing>,
}

/// How somebody wants to be done with a stuck step, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// How.
    pub what: Freeing,
    /// Whose words it is.
    pub by: PersonId,
    /// Why, redacted.
    pub why: String,
}

/// How a stuck step is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freeing {
    /// It is left out: the run goes on after it.
    Skip,
    /// It counts as done: the run goes on after it.
    JudgeWorked,
    /// It counts as failed: the run is over.
    JudgeFailed,
}

impl Freeing {
    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::JudgeWorked => "judge_worked",
            Self::JudgeFailed => "judge_failed",
        }
    }

    /// Reads a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Skip, Self::JudgeWorked, Self::JudgeFailed].into_iter().find(|freeing| freeing.name() == name)
    }
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
    /// Sent back to whoever asked.
    ChangesRequested {
        /// By whom.
        by: PersonId,
        /// What they want.
        why: String,
    },
    /// The same was asked again with other content.
    Superseded {
        /// The newer one.
        by: RequestId,
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
            Self::ChangesRequested { .. } => "changes_requested",
            Self::Superseded { .. } => "superseded",
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
            (S::Pending { .. }, E::ChangesRequested { by, why }) => Ok(S::ChangesRequested { by, why }),
            (S::Pending { .. }, E::Superseded { by }) => Ok(S::Superseded { by }),
            (
                S::Granted
                | S::Denied { .. }
                | S::Expired
                | S::Withdrawn { .. }
                | S::ChangesRequested { .. }
                | S::Superseded { .. },
                E::StageComplete { .. }
                | E::Denied { .. }
                | E::Expired
                | E::Withdrawn { .. }
                | E::ChangesRequested { .. }
                | E::Superseded { .. },
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
            Self::ChangesRequested { .. } => "changes requested",
            Self::Superseded { .. } => "superseded",
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
    /// For whom they answered, if for somebody who had handed their right on to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<PersonId>,
    /// By what it is known that it was they.
    #[serde(default, skip_serializing_if = "Proof::is_chat")]
    pub proof: Proof,
}

impl Decision {
    /// An answer for oneself, given in a chat.
    pub fn new(person: PersonId, stage: u32, answer: Answer) -> Self {
        Self { person, stage, answer, on_behalf_of: None, proof: Proof::Chat }
    }

    /// The person whose right it is: who decided, unless they did for another.
    pub fn holder(&self) -> &PersonId {
        self.on_behalf_of.as_ref().unwrap_or(&self.person)
    }

    /// Whether it needs either of these two to be free: nobody counts twice, in their own name or another's (I7).
    pub fn involves(&self, person: &PersonId) -> bool {
        self.person == *person || self.holder() == person
    }
}

/// What somebody thinks of a run that was started without agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewVerdict {
    /// It was right.
    Fine,
    /// It was not.
    NotFine,
}

impl ReviewVerdict {
    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::NotFine => "not_fine",
        }
    }

    /// As people say it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::NotFine => "not fine",
        }
    }
}

/// By what it is known who gave an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// By their chat account.
    #[default]
    Chat,
    /// By their chat account and a passkey of theirs.
    Passkey {
        /// Which: the credential's id in base64url without padding.
        credential: String,
    },
}

/// What browsers call a credential, as text: base64url without padding.
pub fn credential_text(credential: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(credential)
}

/// What browsers call a credential, read from such text; `None`: it is none.
pub fn credential_of(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok().filter(|credential| !credential.is_empty())
}

impl Proof {
    /// Whether it was the chat account alone.
    pub fn is_chat(&self) -> bool {
        *self == Self::Chat
    }
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

/// What somebody does on a page of their own, with a passkey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPage {
    /// They agree.
    Approve,
    /// They do not.
    Deny,
    /// They start it without the agreement of others.
    BreakGlass,
}

impl OnPage {
    /// The name as stored, and as it is signed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::BreakGlass => "break_glass",
        }
    }

    /// Reads a stored name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Approve, Self::Deny, Self::BreakGlass].into_iter().find(|done| done.name() == name)
    }

    /// As one says it in chat, before the code.
    pub fn words(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::BreakGlass => "break glass",
        }
    }
}

impl From<Answer> for OnPage {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Approve => Self::Approve,
            Answer::Deny => Self::Deny,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> PersonId {
        PersonId::new(name)
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
            RequestState::ChangesRequested { by: by(), why: "not at noon".to_owned() },
            RequestState::Superseded { by: RequestId(8) },
        ];
        let events = [
            RequestEvent::StageComplete { last: Last::No },
            RequestEvent::StageComplete { last: Last::Yes },
            RequestEvent::Denied { by: by(), why: None },
            RequestEvent::Expired,
            RequestEvent::Withdrawn { by: by() },
            RequestEvent::ChangesRequested { by: by(), why: "not at noon".to_owned() },
            RequestEvent::Superseded { by: RequestId(8) },
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
        Pending { stage: 0 } + changes requested -> ChangesRequested { by: PersonId("boss"), why: "not at noon" }
        Pending { stage: 0 } + superseded -> Superseded { by: RequestId(8) }
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
}

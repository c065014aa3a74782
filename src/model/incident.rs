//! The state machine of incidents: pure, total, one function.
//!
//! What lives here: what an incident is, its states with their evidence, and which event leads from which state to which.
//! What does not: storing it (`store`), or deciding that an event happened (`incident`). What is not listed here cannot
//! happen, and illegal pairs are listed, not wildcarded.

use chrono::{DateTime, Utc};

use super::chat::RoomAddress;
use super::id::{InboxId, IncidentId, PersonId, ServiceName, SystemName};

/// Something wrong with a system, from opened to resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its number, said as `INC-7`.
    pub id: IncidentId,
    /// Its version: every change names it.
    pub version: i64,
    /// Where it stands.
    pub state: IncidentState,
    /// The system.
    pub system: SystemName,
    /// Its environment.
    pub environment: String,
    /// The service; `None` if a person opened it and named none.
    pub service: Option<ServiceName>,
    /// In a few words.
    pub title: String,
    /// Where it is talked about.
    pub room: RoomAddress,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// Who opened it; `None`: a check did.
    pub opened_by: Option<PersonId>,
    /// Who takes care of it.
    pub acknowledged: Option<Acknowledged>,
    /// The line that opened it.
    pub cause: Option<InboxId>,
}

/// Who takes care of an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Who.
    pub by: PersonId,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// Where an incident stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncidentState {
    /// Its service fails, or a person says that something is wrong.
    Open {
        /// Since when: its opening, its last recurrence, or when a person reopened it.
        since: DateTime<Utc>,
    },
    /// Its service is well again; a person has yet to resolve it.
    Mitigated {
        /// Since when it was open before.
        since: DateTime<Utc>,
        /// Since when its service is well.
        at: DateTime<Utc>,
    },
    /// A person says that it is over.
    Resolved {
        /// Since when it was open before.
        since: DateTime<Utc>,
        /// Since when its service was well before that, if it was.
        mitigated: Option<DateTime<Utc>>,
        /// Who.
        by: PersonId,
        /// When.
        at: DateTime<Utc>,
        /// What they said.
        why: Option<String>,
    },
}

/// What can happen to an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncidentEvent {
    /// A check of its service fails for certain.
    Failed {
        /// When the first of the results that made it certain came.
        since: DateTime<Utc>,
    },
    /// Every check of its service is well again.
    Recovered {
        /// When the first of the results that made it certain came.
        since: DateTime<Utc>,
    },
    /// Somebody takes care of it.
    Acknowledged,
    /// A person says that it is over.
    Resolved {
        /// Who.
        by: PersonId,
        /// What they said.
        why: Option<String>,
    },
    /// A person says that it is not over.
    Reopened,
}

/// An event that the state does not allow: nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an incident that is {state} cannot take `{event}`")]
pub struct IncidentRefusal {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl IncidentState {
    /// The name as stored and spoken.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Mitigated { .. } => "mitigated",
            Self::Resolved { .. } => "resolved",
        }
    }

    /// Whether a person has said that it is over.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Open { .. } | Self::Mitigated { .. } => false,
            Self::Resolved { .. } => true,
        }
    }

    /// Since when its service failed last, or a person said that it did.
    pub fn since(&self) -> DateTime<Utc> {
        match self {
            Self::Open { since } | Self::Mitigated { since, .. } | Self::Resolved { since, .. } => *since,
        }
    }

    /// The state after an event at a time.
    ///
    /// # Errors
    /// When the state does not allow the event. Nothing wildcarded: a new state or event has to be thought through here.
    pub fn next(self, event: IncidentEvent, at: DateTime<Utc>) -> Result<Self, IncidentRefusal> {
        use IncidentEvent as E;
        use IncidentState as S;
        let refusal = IncidentRefusal { state: self.name(), event: event.name() };
        match (self, event) {
            (S::Open { since }, E::Recovered { since: well }) => Ok(S::Mitigated { since, at: well }),
            (S::Open { since }, E::Acknowledged) => Ok(S::Open { since }),
            (S::Open { since }, E::Resolved { by, why }) => Ok(S::Resolved { since, mitigated: None, by, at, why }),
            // A further failing check of an incident that is open is the same failure.
            (S::Open { .. }, E::Failed { .. } | E::Reopened) => Err(refusal),

            (S::Mitigated { .. }, E::Failed { since }) => Ok(S::Open { since }),
            (S::Mitigated { since, at }, E::Acknowledged) => Ok(S::Mitigated { since, at }),
            (S::Mitigated { since, at: well }, E::Resolved { by, why }) => {
                Ok(S::Resolved { since, mitigated: Some(well), by, at, why })
            }
            (S::Mitigated { .. }, E::Recovered { .. } | E::Reopened) => Err(refusal),

            (S::Resolved { .. }, E::Reopened) => Ok(S::Open { since: at }),
            // A failure after the end is an incident of its own.
            (S::Resolved { .. }, E::Failed { .. } | E::Recovered { .. } | E::Acknowledged | E::Resolved { .. }) => {
                Err(refusal)
            }
        }
    }
}

impl IncidentEvent {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Failed { .. } => "failed",
            Self::Recovered { .. } => "recovered",
            Self::Acknowledged => "acknowledged",
            Self::Resolved { .. } => "resolved",
            Self::Reopened => "reopened",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + second, 0).expect("a time")
    }

    fn mei() -> PersonId {
        PersonId::new("mei")
    }

    #[test]
    fn every_pair_of_state_and_event() {
        let states = [
            IncidentState::Open { since: at(0) },
            IncidentState::Mitigated { since: at(0), at: at(4) },
            IncidentState::Resolved { since: at(0), mitigated: Some(at(4)), by: mei(), at: at(9), why: None },
        ];
        let events = [
            IncidentEvent::Failed { since: at(20) },
            IncidentEvent::Recovered { since: at(21) },
            IncidentEvent::Acknowledged,
            IncidentEvent::Resolved { by: mei(), why: Some("a drill".into()) },
            IncidentEvent::Reopened,
        ];
        let mut table = String::new();
        for state in &states {
            for event in &events {
                let (from, what) = (state.name(), event.name());
                let to = state.clone().next(event.clone(), at(30)).map_or_else(|_| "-", |to| to.name());
                table += &format!("{from} + {what} = {to}\n");
            }
        }
        insta::assert_snapshot!(table, @r"
        open + failed = -
        open + recovered = mitigated
        open + acknowledged = open
        open + resolved = resolved
        open + reopened = -
        mitigated + failed = open
        mitigated + recovered = -
        mitigated + acknowledged = mitigated
        mitigated + resolved = resolved
        mitigated + reopened = -
        resolved + failed = -
        resolved + recovered = -
        resolved + acknowledged = -
        resolved + resolved = -
        resolved + reopened = open
        ");
    }

    #[test]
    fn evidence_goes_with_the_state() {
        let open = IncidentState::Open { since: at(0) };
        let well = open.next(IncidentEvent::Recovered { since: at(4) }, at(5)).expect("it recovers");
        assert_eq!(well, IncidentState::Mitigated { since: at(0), at: at(4) });
        let again = well.clone().next(IncidentEvent::Failed { since: at(7) }, at(8)).expect("it fails again");
        assert_eq!(again, IncidentState::Open { since: at(7) });
        let over = well.next(IncidentEvent::Resolved { by: mei(), why: None }, at(9)).expect("it is resolved");
        assert_eq!(
            over,
            IncidentState::Resolved { since: at(0), mitigated: Some(at(4)), by: mei(), at: at(9), why: None }
        );
        assert_eq!(
            over.next(IncidentEvent::Reopened, at(11)).expect("reopened"),
            IncidentState::Open { since: at(11) }
        );
    }
}

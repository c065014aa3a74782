//! What becomes of one version: one function, total, without a wildcard.

use serde::{Deserialize, Serialize};

use crate::model::id::PersonId;

/// Where a version stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VersionState {
    /// It waits for a second person.
    Proposed,
    /// It is what holds.
    InForce,
    /// It held, or waited, and another came after it.
    Superseded,
    /// Somebody said no.
    Refused {
        /// Who.
        by: PersonId,
        /// Why.
        why: String,
    },
    /// Nobody answered in time.
    Expired,
}

/// What can happen to a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionEvent {
    /// A second person agreed, or an operator accepted it on the host.
    Countersigned,
    /// Somebody who could have agreed said no.
    Refused {
        /// Who.
        by: PersonId,
        /// Why.
        why: String,
    },
    /// Another came after it.
    Superseded,
    /// Its time is over.
    Expired,
}

impl VersionState {
    /// The name as stored.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::InForce => "in_force",
            Self::Superseded => "superseded",
            Self::Refused { .. } => "refused",
            Self::Expired => "expired",
        }
    }

    /// What it is after an event; `None`: the event changes nothing any more.
    #[must_use]
    pub fn next(&self, event: VersionEvent) -> Option<Self> {
        match (self, event) {
            (Self::Proposed, VersionEvent::Countersigned) => Some(Self::InForce),
            (Self::Proposed, VersionEvent::Refused { by, why }) => Some(Self::Refused { by, why }),
            (Self::Proposed | Self::InForce, VersionEvent::Superseded) => Some(Self::Superseded),
            (Self::Proposed, VersionEvent::Expired) => Some(Self::Expired),
            (Self::InForce, VersionEvent::Countersigned | VersionEvent::Refused { .. } | VersionEvent::Expired) => None,
            (
                Self::Superseded | Self::Refused { .. } | Self::Expired,
                VersionEvent::Countersigned
                | VersionEvent::Refused { .. }
                | VersionEvent::Superseded
                | VersionEvent::Expired,
            ) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair() {
        let (by, why) = (PersonId::new("boss"), "not like that".to_owned());
        let refused = || VersionState::Refused { by: by.clone(), why: why.clone() };
        let states =
            [VersionState::Proposed, VersionState::InForce, VersionState::Superseded, refused(), VersionState::Expired];
        let events = [
            VersionEvent::Countersigned,
            VersionEvent::Refused { by: by.clone(), why: why.clone() },
            VersionEvent::Superseded,
            VersionEvent::Expired,
        ];
        let mut table = String::new();
        for state in &states {
            for event in &events {
                let next = state.next(event.clone());
                let event = format!("{event:?}");
                let event = event.split([' ', '{']).next().unwrap_or_default();
                let next = next.as_ref().map_or("-", VersionState::name);
                table.push_str(&format!("{} {event} {next}\n", state.name()));
            }
        }
        insta::assert_snapshot!(table, @"
        proposed Countersigned in_force
        proposed Refused refused
        proposed Superseded superseded
        proposed Expired expired
        in_force Countersigned -
        in_force Refused -
        in_force Superseded superseded
        in_force Expired -
        superseded Countersigned -
        superseded Refused -
        superseded Superseded -
        superseded Expired -
        refused Countersigned -
        refused Refused -
        refused Superseded -
        refused Expired -
        expired Countersigned -
        expired Refused -
        expired Superseded -
        expired Expired -
        ");
    }
}

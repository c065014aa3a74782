//! Names and numbers that must not be mixed up: one newtype each.
//!
//! What lives here: identifiers and the digest. What does not: anything that says what the identified thing is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A catalog name made of lower-case words joined by hyphens, such as `service-b`.
macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a name; whether the catalog knows it is for the catalog to say.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as written in the catalog.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

names! {
    /// A person of the catalog. Rights belong to people, never to accounts or display names.
    PersonId,
    /// A group of people.
    GroupName,
    /// A rota: people who take turns at being on call.
    RotaName,
    /// A system: what an environment and a room belong to.
    SystemName,
    /// A service of a system.
    ServiceName,
    /// A check of a service.
    CheckName,
    /// A runbook.
    RunbookName,
    /// A policy: who must agree.
    PolicyName,
    /// A room's catalog name: a label for its address.
    RoomName,
    /// A secret's catalog name; never its value.
    SecretName,
    /// A trigger: a rule from a failing check to a runbook.
    TriggerName,
    /// A platform's identifier of a message. Opaque: never parsed, never ordered.
    MessageId,
    /// A platform's identifier of a thread. Opaque.
    ThreadId,
}

/// A row's number, as people see it (`run 12`).
macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

numbers! {
    /// One execution of a runbook.
    RunId,
    /// One asking for approval.
    RequestId,
    /// The row that proves that a run may start; not the proof itself, which `approval` derives.
    GrantId,
    /// One calling of people who do not look.
    RingId,
    /// One letting of somebody else answer.
    DelegationId,
    /// One handing over of what somebody has asked for.
    HandoverId,
    /// Something wrong with a system, from opened to resolved.
    IncidentId,
    /// One thing that was said to the bot: a line, an edit or a pressed button, as stored in the inbox.
    InboxId,
    /// One thing that the bot says, as stored in the outbox.
    OutboxId,
    /// One thing that happened. Increasing per subject, not gapless.
    EventId,
    /// A version of everything that decides who may ask, see and approve.
    AccessId,
    /// A place in the ledger: 1 is the first event, no gaps.
    Position,
    /// A passkey of a person.
    PasskeyId,
    /// A one-time page on which one person may decide one request.
    LinkId,
}

/// SHA-256, of a plan, an output or a ledger row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The first twelve hexadecimal characters: for eyes only, never compared.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// Reads 64 hexadecimal characters; anything else is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
            let high = (pair[0] as char).to_digit(16)?;
            let low = (pair[1] as char).to_digit(16)?;
            *byte = (high * 16 + low) as u8;
        }
        Some(Self(bytes))
    }

    /// Reads the 32 bytes of a column; any other length is `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a digest is 64 hexadecimal characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_round_trips_and_refuses_what_is_not_one() {
        let digest = Digest([0xab; 32]);
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert_eq!(digest.short(), "abababababab");
        assert_eq!(Digest::parse("ab"), None);
        assert_eq!(Digest::parse(&"zz".repeat(32)), None);
    }
}

//! The shapes of catalog files as written: every value a text or a list with its place, nothing checked.
//!
//! What lives here: which keys exist. What does not: what they must say (`check`). Every key is optional here, so that
//! all missing ones of a file are told at once; unknown keys are refused by the reader, for a key that does nothing
//! would be believed.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::yaml::{At, Pairs};

/// A text.
pub(super) type Word = Option<At<String>>;
/// A list of texts.
pub(super) type Words = Option<At<Vec<At<String>>>>;

/// One file, by kind.
#[derive(Debug)]
pub(super) enum Document {
    /// `system:`
    System(System),
    /// `runbook:`
    Runbook(Runbook),
    /// `policy:`
    Policy(Policy),
    /// `people:` and `groups:`
    People(People),
    /// `rooms:`
    Rooms(Rooms),
    /// `secrets:`
    Secrets(Secrets),
}

/// Declares raw mappings: all keys optional, unknown ones refused.
macro_rules! raw {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub(super) struct $name { $($(#[$attribute])* pub(super) $field: $type),* }
    )*};
}

raw! {
    /// A system.
    System {
        system: Word, title: Word, environment: Word, room: Word,
        may_run: Words, may_see: Words, may_unstick: Words, may_resolve: Words, may_pause: Words,
        services: Option<At<Pairs<Service>>>,
    }
    /// A service.
    Service { title: Word, checks: Option<At<Pairs<Check>>> }
    /// A check.
    Check { command: Words, codes: Word, env: Option<Vec<At<Env>>>, timeout: Word }
    /// A runbook.
    Runbook {
        runbook: Word, title: Word, why: Word, say: Words, params: Option<Pairs<Param>>,
        approval: Word, system: Word, steps: Option<At<Vec<At<Step>>>>,
    }
    /// A parameter: which keys belong to which type is checked later.
    Param {
        #[serde(rename = "type")]
        kind: Word,
        system: Word, one_of: Words, min: Option<At<i64>>, max: Option<At<i64>>, max_length: Option<At<u64>>,
        default: Word, may_begin_with_dash: Option<At<bool>>,
    }
    /// A step: exactly one of `run` and `check`.
    Step {
        name: Word, run: Option<At<Run>>, check: Word, until: Option<At<Until>>,
        timeout: Word, idempotent: Option<At<bool>>, read_only: Option<At<bool>>,
    }
    /// A program.
    Run { command: Words, env: Option<Vec<At<Env>>> }
    /// Keep asking.
    Until { passes_within: Word, every: Word }
    /// A policy.
    Policy { policy: Word, title: Word, stages: Option<At<Vec<At<Stage>>>>, expires: Word, valid_for: Word }
    /// A stage of a policy.
    Stage { approvers: Words, quorum: Option<At<u32>> }
    /// People and groups.
    People { people: Option<At<Pairs<Person>>>, groups: Option<At<Pairs<At<Vec<At<String>>>>>> }
    /// A person.
    Person { accounts: Words }
    /// Rooms.
    Rooms { rooms: Option<At<Pairs<Room>>> }
    /// A room.
    Room { address: Word }
    /// Secrets.
    Secrets { secrets: Option<At<Pairs<Secret>>> }
    /// Where a secret comes from.
    Secret { env: Word, file: Word }
    /// What stands behind a variable's name.
    EnvSource { secret: Word }
}

/// An environment variable: `NAME`, or `NAME: {secret: its-name}`.
#[derive(Debug)]
pub(super) enum Env {
    /// Passed through from the bot's environment.
    Name(String),
    /// From a secret.
    From(Pairs<EnvSource>),
}

impl<'de> Deserialize<'de> for Env {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Env;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a variable's name, or {NAME: {secret: the-secret}}")
            }
            fn visit_str<E>(self, name: &str) -> Result<Env, E> {
                Ok(Env::Name(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Env, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<At<String>>()? {
                    pairs.push((key, map.next_value()?));
                }
                Ok(Env::From(Pairs(pairs)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

//! The shapes of catalog files as written: every value a text or a list with its place, nothing checked.
//!
//! What lives here: which keys exist. What does not: what they must say (`check`). Every key is optional here, so that
//! all missing ones of a file are told at once; unknown keys are refused by the reader, for a key that does nothing
//! would be believed.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::yaml::{At, Pairs, Place};

/// A text.
pub(super) type Word = Option<At<String>>;
/// A list of texts.
pub(super) type Words = Option<At<Vec<At<String>>>>;

/// One file, by kind.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a file is read once, checked and dropped")]
pub(super) enum Document {
    /// `system:`
    System(System),
    /// `runbook:`
    Runbook(Runbook),
    /// `trigger:`
    Trigger(Trigger),
    /// `policy:`
    Policy(Policy),
    /// `people:`, `groups:`, `rotas:` and `access:`
    People(People),
    /// `rooms:`
    Rooms(Rooms),
    /// `secrets:`
    Secrets(Secrets),
}

/// A raw mapping: its name, and its keys with their types as they stand in this file.
pub(super) type Shape = (&'static str, &'static [(&'static str, &'static str)]);

/// Declares raw mappings: all keys optional, unknown ones refused. The same words become [`SHAPES`], of which the schema
/// for editors is made: a key cannot be in one and not in the other.
macro_rules! raw {
    ($($(#[$doc:meta])* $name:ident { $($field:ident : $type:ty),* $(,)? })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Deserialize)]
            #[serde(deny_unknown_fields)]
            pub(super) struct $name { $(pub(super) $field: $type),* }
        )*

        /// Every raw mapping.
        pub(super) const SHAPES: &[Shape] =
            &[$((stringify!($name), &[$((stringify!($field), stringify!($type))),*])),*];
    };
}

raw! {
    /// A system.
    System {
        system: Word, title: Word, environment: Word, room: Word, accountable: Word,
        may_run: Words, may_see: Words, may_unstick: Words, may_resolve: Words, may_pause: Words,
        incident_channel: Option<At<IncidentChannel>>,
        services: Option<At<Pairs<Service>>>,
    }
    /// A room for each incident.
    IncidentChannel {
        r#in: Word, name: Word, private: Option<At<bool>>, invite: Words, observe: Words,
        archive_on_resolve: Option<At<bool>>,
    }
    /// A service.
    Service { title: Word, checks: Option<At<Pairs<Check>>> }
    /// A check: exactly one of `command`, `http` and `tcp`.
    Check {
        command: Words, codes: Word, env: Option<Vec<At<Env>>>, http: Option<At<Http>>, tcp: Word,
        every: Word, fails_after: Option<At<u64>>, timeout: Word,
    }
    /// A request over HTTP.
    Http { method: Word, url: Word, headers: Option<At<Pairs<At<Header>>>>, body: Word, expect: Option<At<Expect>> }
    /// What an answer must be.
    Expect { status: Option<At<Statuses>>, contains: Word }
    /// A runbook.
    Runbook {
        runbook: Word, title: Word, why: Word, say: Words, params: Option<Pairs<Param>>,
        risk: Word, approval: Word, author: Word, system: Word, steps: Option<At<Vec<At<Step>>>>,
    }
    /// A parameter: which keys belong to which type is checked later.
    Param {
        r#type: Word,
        system: Word, one_of: Words, min: Option<At<i64>>, max: Option<At<i64>>, max_length: Option<At<u64>>,
        default: Word, may_begin_with_dash: Option<At<bool>>,
    }
    /// A step: exactly one of `run`, `check`, `http`, `tcp` and `wait`.
    Step {
        name: Word, run: Option<At<Run>>, check: Word, http: Option<At<Http>>, tcp: Word, wait: Word,
        until: Option<At<Until>>, timeout: Word, retry: Option<At<Retry>>,
        idempotent: Option<At<bool>>, read_only: Option<At<bool>>,
    }
    /// A program.
    Run { command: Words, env: Option<Vec<At<Env>>> }
    /// Keep asking.
    Until { passes_within: Word, every: Word }
    /// Try again.
    Retry { times: Option<At<u64>>, wait: Word, at_most: Word }
    /// A policy.
    Policy {
        policy: Word, title: Word, stages: Option<At<Vec<At<Stage>>>>, expires: Word, starts_within: Word,
        valid_for: Word, automatic: Option<At<Vec<At<Starts>>>>, exclude: Words, relax: Words, may_delegate: Option<At<bool>>,
        break_glass: Option<At<BreakGlass>>, after_denial: Word,
        repeat: Option<At<Repeat>>,
        when: Option<At<When>>, replaces: Words, refuse: Word, unasked: Option<At<Vec<At<Unasked>>>>,
    }
    /// A trigger whose runs of a runbook start without anybody's answer.
    Automatic { trigger: Word, runbook: Word, at_most: Option<At<AtMost>> }
    /// People who may start a runbook without anybody's answer.
    Unasked { runbook: Word, by: Words, at_most: Option<At<AtMost>> }
    /// When a policy applies to runbooks that do not name it.
    When {
        runbooks: Words, risk: Words, environments: Words, targets: Words,
        during: Option<At<Vec<At<Window>>>>, outside: Option<At<Vec<At<Window>>>>,
    }
    /// A time that comes once or every week.
    Window { days: Words, from: Word, until: Word, zone: Word }
    /// A stage of a policy.
    Stage {
        approvers: Words, quorum: Option<At<u32>>, denials: Option<At<u32>>, reason: Word, step_up: Option<At<bool>>,
        expires: Word, remind_after: Word, ring_after: Word, escalate: Option<At<Vec<At<Escalate>>>>,
    }
    /// How many runs one approval covers.
    Repeat { runs: Option<At<u32>>, within: Word }
    /// Who may start a run without agreement.
    BreakGlass { by: Words, review_within: Word, reviewed_by: Words, by_chat: Option<At<bool>> }
    /// Others who are asked after a while.
    Escalate { after: Word, to: Words }
    /// A trigger.
    Trigger {
        trigger: Word, owner: Word, on: Option<At<On>>, run: Word, with: Option<At<Pairs<At<String>>>>,
        mode: Word, brakes: Option<At<Brakes>>,
    }
    /// Which checks a trigger listens to.
    On { check: Word, becomes: Word }
    /// The limits of a trigger.
    Brakes { cooldown: Word, at_most: Option<At<AtMost>>, flapping: Option<At<Flapping>> }
    /// So many runs in a window.
    AtMost { runs: Option<At<u64>>, per: Word }
    /// So many changes in a window.
    Flapping { changes: Option<At<u64>>, per: Word }
    /// People, groups, rotas and who countersigns.
    People {
        people: Option<At<Pairs<Person>>>, groups: Option<At<Pairs<At<Members>>>>, rotas: Option<At<Pairs<Rota>>>,
        access: Option<At<Access>>,
    }
    /// A rota.
    Rota {
        members: Words, stand_ins: Words, turns: Word, from: Word, at: Word, zone: Word,
        overrides: Option<At<Vec<At<Override>>>>,
    }
    /// Somebody stands in.
    Override { person: Word, from: Word, until: Word, zone: Word }
    /// Who countersigns.
    Access { countersigned_by: Words, room: Word, changed_by: Words }
    /// A group that a chat platform keeps.
    MembersOf { members_of: Word }
    /// A person.
    Person { accounts: Words, ask: Word, reports_to: Word }
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

/// Who is in a group: a list of people, or `{members_of: platform:workspace:id}`.
#[derive(Debug)]
pub(super) enum Members {
    /// These.
    Listed(Vec<At<String>>),
    /// Whoever is in a user group of a platform.
    Of(MembersOf),
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of people, or {members_of: the-user-group}")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Members, A::Error> {
                let mut people = Vec::new();
                while let Some(person) = list.next_element()? {
                    people.push(person);
                }
                Ok(Members::Listed(people))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Members, A::Error> {
                MembersOf::deserialize(MapAccessDeserializer::new(map)).map(Members::Of)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What may start without anybody's answer.
#[derive(Debug)]
pub(super) enum Starts {
    /// A trigger's name alone: it says neither what it may start nor how often, and is refused.
    Name(String),
    /// A trigger with its runbook and its bound.
    Rule(Automatic),
}

impl<'de> Deserialize<'de> for Starts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Starts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("{trigger: NAME, runbook: NAME, at_most: {runs: 3, per: 1h}}")
            }
            fn visit_str<E>(self, name: &str) -> Result<Starts, E> {
                Ok(Starts::Name(name.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Starts, A::Error> {
                Automatic::deserialize(MapAccessDeserializer::new(map)).map(Starts::Rule)
            }
        }
        deserializer.deserialize_any(Reader)
    }
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

/// A header's value: a text, or `{secret: its-name}`.
#[derive(Debug)]
pub(super) enum Header {
    /// As written.
    Text(String),
    /// From a secret.
    From(Pairs<At<String>>),
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Header;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text in quotes, or {secret: the-secret}")
            }
            fn visit_str<E>(self, text: &str) -> Result<Header, E> {
                Ok(Header::Text(text.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<At<String>>()? {
                    pairs.push((key, map.next_value()?));
                }
                Ok(Header::From(Pairs(pairs)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// One status code, or a list of them.
#[derive(Debug)]
pub(super) struct Statuses(pub(super) Vec<At<u64>>);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Statuses;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status code such as 200, or a list of them")
            }
            fn visit_u64<E>(self, code: u64) -> Result<Statuses, E> {
                Ok(Statuses(vec![At { value: code, place: Place::default() }]))
            }
            fn visit_i64<E: Error>(self, code: i64) -> Result<Statuses, E> {
                match u64::try_from(code) {
                    Ok(code) => self.visit_u64(code),
                    Err(_) => Err(E::invalid_value(Unexpected::Signed(code), &self)),
                }
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Statuses, A::Error> {
                let mut codes = Vec::new();
                while let Some(code) = list.next_element()? {
                    codes.push(code);
                }
                Ok(Statuses(codes))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

//! What a file that could not be read declares all the same, as far as that can be made out.
//!
//! What lives here: looking past a mistake for names, so that all other files are checked in full and what refers to these
//! names is not told a second time. What does not: saying what is wrong (`yaml`, `check`). Serves I10: all problems of all
//! files at once.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::check::Kind;
use super::words;
use super::yaml::{self, At, Pairs, Place};
use super::{ALL_KINDS, FileKind, KINDS};

/// What is known of files that could not be read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// Kinds of things that such files declare: what these things hold is not known.
    pub(super) contents: BTreeSet<Kind>,
    /// Kinds of which even a name may be missing.
    pub(super) nameless: BTreeSet<Kind>,
    /// Names that such files declare for certain, with their file.
    pub(super) names: Vec<(usize, Kind, At<String>)>,
    /// Names that they probably declare: the file is no YAML, and its lines look like that.
    pub(super) probably: BTreeSet<(Kind, String)>,
}

impl Unread {
    /// A file of which nothing can be said.
    pub(super) fn anything(&mut self) {
        self.contents.extend(ALL_KINDS);
        self.nameless.extend(ALL_KINDS);
    }

    /// A file whose text is at hand.
    pub(super) fn file(&mut self, file: usize, text: &str) {
        match yaml::read_loosely::<Option<Pairs<Loose>>>(text) {
            Ok(pairs) => self.mapping(file, &pairs.map_or_else(Vec::new, |pairs| pairs.0)),
            Err(_) => self.lines(text),
        }
    }

    /// A mapping with a mistake in it.
    fn mapping(&mut self, file: usize, pairs: &[(At<String>, Loose)]) {
        let kind_of = |key: &str| KINDS.iter().find(|(word, _)| *word == key).map(|(_, kind)| *kind);
        let is_runbook = pairs.iter().any(|(key, _)| kind_of(&key.value) == Some(FileKind::Runbook));
        let mut kinds: Vec<(&str, FileKind, &Loose)> = pairs
            .iter()
            .filter_map(|(key, value)| kind_of(&key.value).map(|kind| (key.value.as_str(), kind, value)))
            .filter(|(_, kind, _)| !(is_runbook && *kind == FileKind::System))
            .collect();
        if kinds.is_empty() {
            // Perhaps the key that says the kind is the one that is misspelt.
            kinds.extend(pairs.iter().find_map(|(key, value)| {
                let word = words::nearest(&key.value, KINDS.iter().map(|(word, _)| *word))?;
                kind_of(word).map(|kind| (word, kind, value))
            }));
        }
        if kinds.is_empty() && !pairs.iter().any(|(key, _)| yaml::is_later(&key.value)) {
            self.anything();
        }
        for (word, kind, value) in kinds {
            self.contents.extend(kind.declares());
            match (kind, word) {
                (FileKind::Runbook, _) => self.name(file, Kind::Runbook, value),
                (FileKind::Trigger, _) => self.name(file, Kind::Trigger, value),
                (FileKind::Policy, _) => self.name(file, Kind::Policy, value),
                (FileKind::System, _) => {
                    self.name(file, Kind::System, value);
                    let services = pairs.iter().find(|(key, _)| key.value == "services").map(|(_, value)| value);
                    self.names(file, Kind::Service, services);
                }
                (FileKind::Rooms, _) => self.names(file, Kind::Room, Some(value)),
                (FileKind::Secrets, _) => self.names(file, Kind::Secret, Some(value)),
                (FileKind::People, "people") => self.names(file, Kind::Person, Some(value)),
                (FileKind::People, "rotas") => self.names(file, Kind::Rota, Some(value)),
                (FileKind::People, "groups") => self.names(file, Kind::Group, Some(value)),
                // It names things and declares none.
                (FileKind::People, _) => {}
            }
            // The other half of such a file may stand under a misspelt key.
            if kind == FileKind::People && pairs.iter().any(|(key, _)| kind_of(&key.value).is_none()) {
                self.nameless.extend(kind.declares());
            }
        }
    }

    fn name(&mut self, file: usize, kind: Kind, value: &Loose) {
        match value {
            Loose::Text(text, place) => {
                self.names.push((file, kind, At { value: text.clone(), place: *place }));
            }
            Loose::Mapping(_) | Loose::Other => {
                self.nameless.insert(kind);
            }
        }
    }

    fn names(&mut self, file: usize, kind: Kind, value: Option<&Loose>) {
        match value {
            Some(Loose::Mapping(keys)) => {
                for key in keys {
                    // Twice in one file is what the file was complained about.
                    let again = |(other, of, name): &(usize, Kind, At<String>)| {
                        *other == file && *of == kind && name.value == key.value
                    };
                    if !self.names.iter().any(again) {
                        self.names.push((file, kind, key.clone()));
                    }
                }
            }
            Some(Loose::Text(..) | Loose::Other) | None => {
                self.nameless.insert(kind);
            }
        }
    }

    /// A text that is no YAML: what its lines begin with.
    fn lines(&mut self, text: &str) {
        let mut any = false;
        for line in text.lines() {
            let Some((key, rest)) = line.split_once(':') else { continue };
            let Some((_, kind)) = KINDS.iter().find(|(word, _)| *word == key) else { continue };
            any = true;
            self.contents.extend(kind.declares());
            let name = rest.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
            let single = match kind {
                FileKind::Runbook => Some(Kind::Runbook),
                FileKind::Trigger => Some(Kind::Trigger),
                FileKind::Policy => Some(Kind::Policy),
                FileKind::System => Some(Kind::System),
                FileKind::People | FileKind::Rooms | FileKind::Secrets => None,
            };
            match single {
                Some(single) if !name.is_empty() => {
                    self.probably.insert((single, name.to_owned()));
                    self.nameless.extend(kind.declares().iter().filter(|declared| **declared != single));
                }
                Some(_) | None => self.nameless.extend(kind.declares()),
            }
        }
        if !any {
            self.anything();
        }
    }
}

/// Any value, and of it only what may be a name.
#[derive(Debug)]
enum Loose {
    /// A text.
    Text(String, Place),
    /// A mapping: its keys.
    Mapping(Vec<At<String>>),
    /// Anything else.
    Other,
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = At::<Unplaced>::deserialize(deserializer)?;
        Ok(match read.value {
            Unplaced::Text(text) => Self::Text(text, read.place),
            Unplaced::Mapping(keys) => Self::Mapping(keys),
            Unplaced::Other => Self::Other,
        })
    }
}

enum Unplaced {
    Text(String),
    Mapping(Vec<At<String>>),
    Other,
}

impl<'de> Deserialize<'de> for Unplaced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Unplaced;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_str<E>(self, text: &str) -> Result<Unplaced, E> {
                Ok(Unplaced::Text(text.to_owned()))
            }
            fn visit_bool<E>(self, _: bool) -> Result<Unplaced, E> {
                Ok(Unplaced::Other)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Unplaced, E> {
                Ok(Unplaced::Other)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Unplaced, E> {
                Ok(Unplaced::Other)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Unplaced, E> {
                Ok(Unplaced::Other)
            }
            fn visit_unit<E>(self) -> Result<Unplaced, E> {
                Ok(Unplaced::Other)
            }
            fn visit_none<E>(self) -> Result<Unplaced, E> {
                Ok(Unplaced::Other)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unplaced, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Unplaced::Other)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unplaced, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = map.next_key::<At<String>>()? {
                    let _: IgnoredAny = map.next_value()?;
                    keys.push(key);
                }
                Ok(Unplaced::Mapping(keys))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

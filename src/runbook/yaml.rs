//! Reading one YAML document into a raw type, with the place of everything.
//!
//! What lives here: every call of the YAML library, its options and budgets, and its errors said in our words. What
//! does not: what the words mean (`check`). Keeps I10 against hostile files: aliases, depth and size are bounded.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_yaml::budget::BudgetBreach;
use serde_yaml::options::DuplicateKeyPolicy;
use serde_yaml::{Error, Location, MessageFormatter as _, Spanned, UserMessageFormatter};

use super::diagnostic::Problem;
use super::words;

/// The greatest size of one catalog file, in bytes. A longer one is refused unread.
pub(super) const GREATEST_FILE: usize = 256 * 1024;

/// A place in a file's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// First byte.
    pub(super) start: usize,
    /// One past the last byte; equal to `start` when the reader knows only where a thing begins.
    pub(super) end: usize,
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        let span = location.span();
        let number = |value: Option<u64>| usize::try_from(value.unwrap_or(0)).unwrap_or(0);
        let start = number(span.byte_offset());
        Self { start, end: start.saturating_add(number(span.byte_len())) }
    }
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    /// The value.
    pub(super) value: T,
    /// Where it stands: where it is used, if it comes through an alias.
    pub(super) place: Place,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<T>::deserialize(deserializer)?;
        Ok(Self { value: spanned.value, place: spanned.referenced.into() })
    }
}

/// A mapping in the order written, each key with its place. The reader has refused duplicate keys.
#[derive(Debug, Clone)]
pub(super) struct Pairs<V>(pub(super) Vec<(At<String>, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Reader<V> {
            type Value = Pairs<V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(key) = map.next_key::<At<String>>()? {
                    pairs.push((key, map.next_value()?));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Reader(PhantomData))
    }
}

/// The keys at the top of a document: what says which kind of thing it is.
///
/// # Errors
/// When the text is no YAML, more than one document, empty, or no mapping.
pub(super) fn top_keys(text: &str) -> Result<Vec<At<String>>, Problem> {
    read::<Option<Pairs<IgnoredAny>>>(text)
        .map(|pairs| pairs.map_or_else(Vec::new, |pairs| pairs.0.into_iter().map(|(key, _)| key).collect()))
}

/// Reads the one document of a text.
///
/// # Errors
/// The first thing in it that does not have the shape of `T`.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    read_with(text, DuplicateKeyPolicy::Error)
}

/// Reads what can be read of a text that was complained about: keys may stand in it twice.
///
/// # Errors
/// As [`read`].
pub(super) fn read_loosely<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    read_with(text, DuplicateKeyPolicy::LastWins)
}

fn read_with<T: DeserializeOwned>(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<T, Problem> {
    let options = serde_yaml::options! {
        duplicate_keys: duplicate_keys,
        strict_booleans: true,
        merge_keys: serde_yaml::options::MergeKeyPolicy::Error,
        with_snippet: false,
        reject_unsupported_tags: true,
        // Far above any catalog that a person writes, far below what would take noticeable time.
        budget: serde_yaml::budget! {
            max_depth: 24, max_nodes: 20_000, max_events: 60_000, max_documents: 1,
            max_anchors: 100, max_aliases: 1_000, max_recorded_anchor_events: 20_000,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: 20_000, max_replay_stack_depth: 8, max_alias_expansions_per_anchor: 1_000,
        },
    };
    serde_yaml::from_str_with_options::<T>(text, options).map_err(|error| in_our_words(text, &error))
}

/// Says what the reader found wrong. What a wrong catalog commonly causes has its own sentence; the rest is told in the
/// library's words for users.
fn in_our_words(text: &str, error: &Error) -> Problem {
    let place = error.location().map_or_else(Place::default, |location| place_of(text, location));
    match error {
        Error::WithSnippet { error, .. } => in_our_words(text, error),
        Error::AliasError { error, .. } => Problem { place, ..in_our_words(text, error) },
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(place, field, expected),
        Error::DuplicateMappingKey { key, .. } => {
            let key = words::quoted(key.as_deref().unwrap_or("this key"));
            Problem::new(place, format!("{key} stands here a second time")).hint("keep one of the two")
        }
        Error::Unexpected { expected, .. } => {
            let wanted = match *expected {
                "string scalar" => "a text",
                "mapping start" => "a mapping (`key: value`)",
                "sequence start" => "a list (`[one, two]`, or lines that begin with `- `)",
                other => other,
            };
            let problem = Problem::new(place, "this has the wrong shape").label(format!("expected {wanted}"));
            match text.get(place.start..).is_some_and(|rest| rest.starts_with('{')) && wanted == "a text" {
                true => problem.hint("put a text that begins with `{` into quotes: \"{{ name }}\""),
                false => problem,
            }
        }
        Error::InvalidBooleanStrict { .. } => {
            Problem::new(place, "this is neither true nor false").label("expected `true` or `false`")
        }
        Error::InvalidScalar { ty, .. } => {
            let wanted = if ty.starts_with('u') { "a whole number, not below 0" } else { "a whole number" };
            Problem::new(place, "this is not a number that can stand here").label(format!("expected {wanted}"))
        }
        Error::NullIntoString { .. } => Problem::new(place, "nothing stands here")
            .label("expected a text")
            .hint("put the word into quotes if it is one"),
        Error::MergeKeyNotAllowed { .. } => {
            Problem::new(place, "`<<` is not used in a catalog").hint("write the keys out: an approver reads them")
        }
        Error::MultipleDocuments { .. } | Error::Budget { breach: BudgetBreach::Documents { .. }, .. } => {
            Problem::new(place, "a second document begins here").hint("give each document its own file")
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            Problem::new(place, "this file nests, repeats or refers more than a catalog file may")
                .hint("split it, or write out what its aliases (`*name`) stand for")
        }
        Error::SerdeInvalidType { expected, .. } | Error::SerdeInvalidValue { expected, .. } => {
            Problem::new(place, "this has the wrong shape").label(format!("expected {expected}"))
        }
        Error::UnknownAnchor { .. } => Problem::new(place, "this alias (`*name`) refers to nothing above it")
            .hint("a text that begins with `*` needs quotes"),
        other => {
            let said = UserMessageFormatter.format_message(other);
            let problem = Problem::new(place, format!("this is not YAML: {said}"));
            if said.contains("tab") { problem.hint("indent with spaces") } else { problem }
        }
    }
}

/// Words that later releases bring: refused today, but not as if they were misspelt.
const LATER: &[&str] = &["dns", "tls", "slots", "undo", "when", "ask", "confirm", "notify", "hosts", "register"];

/// Whether a later release brings this word.
pub(super) fn is_later(word: &str) -> bool {
    LATER.contains(&word)
}

fn unknown_key(place: Place, field: &str, expected: &[&'static str]) -> Problem {
    let problem = Problem::new(place, format!("{} is not a key that can stand here", words::quoted(field)))
        .label(format!("expected {}", words::any_of(expected.iter().copied())));
    if is_later(field) {
        return problem.hint(format!("`{field}` is not yet in this release: leave it out"));
    }
    problem.nearest(field, expected.iter().copied())
}

/// The place of a location: its bytes if the reader knows them, else counted from line and column.
fn place_of(text: &str, location: Location) -> Place {
    if location.span().byte_offset().is_some_and(|byte| byte > 0) {
        return location.into();
    }
    let line = usize::try_from(location.line()).unwrap_or(1).saturating_sub(1);
    let column = usize::try_from(location.column()).unwrap_or(1).saturating_sub(1);
    let line_start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let within: usize = text[line_start..].chars().take(column).map(char::len_utf8).sum();
    Place { start: line_start + within, end: line_start + within }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Probe {
        name: Option<At<String>>,
        list: Option<Vec<At<String>>>,
    }

    fn drawn(text: &str, place: Place) -> &str {
        &text[place.start..place.end]
    }

    #[test]
    fn every_value_knows_its_place() {
        let text = "# é\nlist: [é, \"b c\", 017, NO]\nname: &x on\n";
        let probe = read::<Probe>(text).expect("read");
        let list = probe.list.expect("a list");
        let shown: Vec<_> = list.iter().map(|item| (item.value.as_str(), drawn(text, item.place))).collect();
        // Words and numbers stay as they are written.
        assert_eq!(shown, [("é", "é"), ("b c", "\"b c\""), ("017", "017"), ("NO", "NO")]);
        let name = probe.name.expect("a name");
        assert_eq!((name.value.as_str(), drawn(text, name.place)), ("on", "on"));
    }

    #[test]
    fn pairs_keep_the_order_written() {
        let pairs = read::<Pairs<At<String>>>("b: 1\na: 2\nc: 3\n").expect("read");
        let keys: Vec<_> = pairs.0.iter().map(|(key, value)| format!("{}{}", key.value, value.value)).collect();
        assert_eq!(keys, ["b1", "a2", "c3"]);
        assert!(read::<Pairs<At<String>>>("b: 1\na: 2\nb: 3\n").is_err());
    }

    #[test]
    fn aliases_are_placed_where_they_are_used() {
        let text = "name: &x one\nlist: [*x]\n";
        let probe = read::<Probe>(text).expect("read");
        assert_eq!(drawn(text, probe.list.expect("a list")[0].place), "*x");
    }

    #[test]
    fn what_the_reader_refuses_has_a_place_too() {
        for (text, at) in [
            ("name: é\nlist: [é, \"b\n", "\"b"),
            ("list: [é, *y]\n", "*y"),
            ("# é\nname: [a]\n", "[a]"),
            ("name: é\nnmae: x\n", "nmae"),
            ("name: é\nname: x\n", "name: x"),
        ] {
            let problem = read::<Probe>(text).expect_err("wrong");
            assert!(text[problem.place.start..].starts_with(at), "{text}: {problem:?}");
        }
        assert!(read::<Probe>("name: !tag x\n").is_err());
    }
}

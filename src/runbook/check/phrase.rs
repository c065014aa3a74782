//! Phrases: `start {service}`. Which may be declared, and that no line can mean two things.
//!
//! The rules, all crisp:
//! - A phrase begins with a word; two parameters never stand side by side; a parameter stands in it once.
//! - Its first word is none of the built-in commands' first words, with two exceptions:
//!   - `run`, if a fixed word stands at the third place or later (`run {system} health check`). The general form is
//!     `run RUNBOOK key=value …`: from the third word on it has only words with `=`, and a fixed word has none.
//!   - `stop`, if the second part is a service's or system's name or a fixed word other than `run`. The built-in is
//!     `stop`, `stop NUMBER` or `stop run NUMBER`, and a name begins with a letter.
//! - No two phrases of the catalog may match the same line, if a parameter takes one or more words of any kind.

use std::collections::BTreeSet;

use crate::model::catalog::{Param, ParamKind, Phrase, PhrasePart};

use super::super::words;
use super::super::yaml::Place;

/// First words of built-in commands, and words that sound like a decision.
const BUILT_IN: &[&str] = &[
    "ack", "again", "approve", "approved", "denied", "deny", "help", "is", "judge", "no", "ok", "open", "pause",
    "ping", "reopen", "report", "requests", "resolve", "resume", "retry", "run", "show", "status", "stop", "what",
    "who", "whoami", "withdraw", "yes",
];

/// All phrases so far: file number, place, phrase.
#[derive(Default)]
pub(super) struct Phrases(Vec<(usize, Place, Phrase)>);

impl Phrases {
    /// Enters a phrase; gives back the earlier one that could match the same line.
    pub(super) fn enter(&mut self, file: usize, place: Place, phrase: &Phrase) -> Option<(usize, Place, String)> {
        let earlier = self.0.iter().find(|(_, _, other)| clash(other, phrase));
        let earlier = earlier.map(|(file, place, other)| (*file, *place, other.text.clone()));
        self.0.push((file, place, phrase.clone()));
        earlier
    }
}

/// Reads a phrase: words and `{parameters}`, separated by spaces.
///
/// # Errors
/// One sentence without its full stop.
pub(super) fn parse(text: &str) -> Result<Phrase, String> {
    let mut parts: Vec<PhrasePart> = Vec::new();
    for word in text.split_whitespace() {
        let slot = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let part = match slot {
            Some(name) if !name.contains(['{', '}']) => PhrasePart::Slot(name.to_owned()),
            _ if word.contains(['{', '}']) => {
                return Err(format!(
                    "{} is neither a word nor a {{parameter}}: put spaces between",
                    words::quoted(word)
                ));
            }
            _ if word
                .chars()
                .all(|letter| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/' | '\'')) =>
            {
                PhrasePart::Word(word.to_lowercase())
            }
            _ => return Err(format!("{} cannot be a word of a phrase", words::quoted(word))),
        };
        match (parts.last(), &part) {
            (None, PhrasePart::Slot(name)) => {
                return Err(format!(
                    "a phrase begins with a word, or it would catch every line: put one before {{{name}}}"
                ));
            }
            (Some(PhrasePart::Slot(before)), PhrasePart::Slot(name)) => {
                return Err(format!(
                    "nobody can tell where {{{before}}} ends and {{{name}}} begins: put a word between"
                ));
            }
            (_, PhrasePart::Slot(name)) if parts.contains(&part) => {
                return Err(format!("{{{name}}} stands in this phrase twice"));
            }
            _ => parts.push(part),
        }
    }
    if parts.is_empty() {
        return Err("this phrase is empty".to_owned());
    }
    Ok(Phrase { text: text.split_whitespace().collect::<Vec<_>>().join(" "), parts })
}

/// The built-in word that a phrase would take away; `None` is a phrase that may be declared.
pub(super) fn shadows(phrase: &Phrase, params: &[Param]) -> Option<&'static str> {
    let Some(PhrasePart::Word(first)) = phrase.parts.first() else { return None };
    let built_in = *BUILT_IN.iter().find(|word| *word == first)?;
    let rest = &phrase.parts[1..];
    let allowed = match built_in {
        "run" => rest.iter().skip(1).any(|part| matches!(part, PhrasePart::Word(_))),
        "stop" => match rest.first() {
            None => false,
            Some(PhrasePart::Word(word)) => word != "run" && !word.starts_with(|first: char| first.is_ascii_digit()),
            Some(PhrasePart::Slot(name)) => params.iter().any(|param| {
                param.name == *name && matches!(param.kind, ParamKind::Service { .. } | ParamKind::System)
            }),
        },
        _ => false,
    };
    (!allowed).then_some(built_in)
}

/// Whether one line could match both, if every parameter took one or more words of any kind.
fn clash(one: &Phrase, other: &Phrase) -> bool {
    // Hyphens in names do not matter to a reader of lines, so they do not make words differ here either.
    let tokens = |phrase: &Phrase| -> Vec<Option<String>> {
        let token = |part: &PhrasePart| match part {
            PhrasePart::Word(word) => word.split('-').map(|word| Some(word.to_owned())).collect(),
            PhrasePart::Slot(_) => vec![None],
        };
        phrase.parts.iter().flat_map(token).collect()
    };
    let (one, other) = (tokens(one), tokens(other));
    // Both are walked along one imagined line, a word at a time: a word is passed, a parameter may take another word.
    let (mut seen, mut open) = (BTreeSet::new(), vec![(0, 0)]);
    while let Some((at, other_at)) = open.pop() {
        if !seen.insert((at, other_at)) {
            continue;
        }
        match (one.get(at), other.get(other_at)) {
            (None, None) => return true,
            (None, Some(_)) | (Some(_), None) => {}
            (Some(Some(word)), Some(Some(other_word))) => {
                if word == other_word {
                    open.push((at + 1, other_at + 1));
                }
            }
            (Some(Some(_)), Some(None)) => open.extend([(at + 1, other_at + 1), (at + 1, other_at)]),
            (Some(None), Some(Some(_))) => open.extend([(at + 1, other_at + 1), (at, other_at + 1)]),
            // Two parameters: either may end with this word.
            (Some(None), Some(None)) => open.extend([(at + 1, other_at + 1), (at + 1, other_at), (at, other_at + 1)]),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Phrase {
        parse(text).expect("a phrase")
    }

    fn params() -> Vec<Param> {
        let param = |name: &str, kind| Param { name: name.into(), kind, default: None, may_begin_with_dash: false };
        vec![
            param("service", ParamKind::Service { system: None }),
            param("system", ParamKind::System),
            param("text", ParamKind::Text { max_length: 9 }),
        ]
    }

    #[test]
    fn built_in_words_stay_built_in() {
        assert!(BUILT_IN.is_sorted());
        for (text, taken) in [
            ("help {service}", Some("help")),
            ("Status of {service}", Some("status")),
            ("run", Some("run")),
            ("run {system}", Some("run")),
            ("run check {text}", Some("run")),
            ("run {system} health check", None),
            ("run check {text} now", None),
            ("stop", Some("stop")),
            ("stop run {service}", Some("stop")),
            ("stop {text}", Some("stop")),
            ("stop 12", Some("stop")),
            ("stop {service}", None),
            ("stop everything", None),
            ("start {service}", None),
        ] {
            assert_eq!(shadows(&phrase(text), &params()), taken, "{text}");
        }
    }

    #[test]
    fn phrases_clash_when_a_line_could_say_both() {
        for (one, other, expected) in [
            ("start {a}", "start {b}", true),
            ("start {a}", "start everything", true),
            ("start {a}", "start {b} now", true),
            ("move {a} to {b}", "move x {c} y", true),
            ("health-check {a}", "health check {a}", true),
            ("start", "start", true),
            ("start {a}", "start", false),
            ("start {a} now", "start {b} later", false),
            ("start {a}", "restart {a}", false),
            ("run {system} health check", "run {system} smoke test", false),
        ] {
            assert_eq!(clash(&phrase(one), &phrase(other)), expected, "{one} / {other}");
            assert_eq!(clash(&phrase(other), &phrase(one)), expected, "{other} / {one}");
        }
    }

    #[test]
    fn what_is_no_phrase_is_refused() {
        for wrong in
            ["", "  ", "{a}", "{a} up", "start {a} {b}", "copy {a} to {a}", "start{a}", "start {", "x=y", "a `b`"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}

//! Phrases: what is said when one cannot be declared, and the list of those that were.
//!
//! What lives here: wording. What does not: the rules, which the parser of lines has too (`model::phrase`).

use crate::model::catalog::{Param, Phrase};
use crate::model::phrase::{BUILT_IN, PhraseError, RESERVED, clash, shadows};

use super::super::diagnostic::Problem;
use super::super::words;
use super::super::yaml::Place;

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

/// What is wrong with the text of a phrase.
pub(super) fn unreadable(place: Place, error: &PhraseError) -> Problem {
    let problem = |message: String| Problem::new(place, message);
    match error {
        PhraseError::Empty => problem("this phrase is empty".to_owned())
            .hint("write the words that one would say, such as `start {service}`"),
        PhraseError::BeginsWithSlot(name) => {
            problem("a phrase begins with a word, or it would catch every line".to_owned())
                .hint(format!("put a word before {}", slot(name)))
        }
        PhraseError::AdjacentSlots(before, after) => {
            problem(format!("nobody can tell where {} ends and {} begins", slot(before), slot(after)))
                .hint("put a word between")
        }
        PhraseError::RepeatedSlot(name) => problem(format!("{} stands in this phrase twice", slot(name)))
            .hint("name each parameter once: there is one value for it"),
        PhraseError::Braces(word) => problem(format!("{} is neither a word nor a {{parameter}}", words::quoted(word)))
            .hint("put braces around a whole name, and spaces around the braces"),
        PhraseError::Character(word) => problem(format!("{} cannot be a word of a phrase", words::quoted(word)))
            .hint("use letters, digits and inside a word `-`, `_`, `.`, `/`, `+` and `'`"),
    }
}

/// What is wrong with a phrase that takes a built-in's word; `None` if it takes none.
pub(super) fn taken(place: Place, phrase: &Phrase, params: &[Param]) -> Option<Problem> {
    let word = shadows(phrase, params)?;
    let problem = if BUILT_IN.contains(&word) {
        Problem::new(place, format!("a phrase cannot begin with `{word}`: that is a built-in command"))
    } else if RESERVED.contains(&word) {
        Problem::new(place, format!("a phrase cannot begin with `{word}`: people expect the bot itself to answer that"))
    } else {
        Problem::new(place, format!("`{word}` sounds like a decision, and only `approved` and `deny` are"))
    };
    Some(match word {
        "run" => {
            problem.hint("put a fixed word later in it: `run {system} health check`; `run RUNBOOK key=value` has none")
        }
        "stop" => problem.hint("say after it which service or system, or what: `stop {service}`, `stop everything`"),
        word if BUILT_IN.contains(&word) || RESERVED.contains(&word) => problem.hint("choose another first word"),
        _ => problem.hint("say in the phrase what is done"),
    })
}

/// A parameter as it stands in a phrase, bounded and without characters that one cannot see.
fn slot(name: &str) -> String {
    format!("{{{}}}", words::shown(name))
}

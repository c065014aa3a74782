//! `help`, `help TOPIC`: a built-in's word, a runbook's name or title, or the beginning of one of its phrases.

use crate::model::catalog::PhrasePart;
use crate::model::id::RunbookName;
use crate::model::phrase;

use super::names::{self, Found};
use super::words;
use super::{Command, Line, ParseError, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    let rest = &line.words[1..];
    if rest.is_empty() {
        return Reading::Right(Command::Help { topic: None });
    }
    let at = words::span(rest);
    let said = &line.text[at.clone()];
    let right = |topic: &str| Reading::Right(Command::Help { topic: Some(topic.to_owned()) });
    if let Some(word) = built_in(said) {
        return right(word);
    }
    match names::find(names::runbooks(line.catalog), said) {
        Found::One(name) => return right(name),
        Found::Several(names) => {
            return Reading::Wrong(ParseError::AmbiguousRunbook {
                at,
                said: said.to_owned(),
                names: names.into_iter().map(RunbookName::new).collect(),
            });
        }
        Found::None(_) => {}
    }
    let beginning: Vec<&RunbookName> = line
        .catalog
        .runbooks
        .values()
        .filter(|runbook| runbook.say.iter().any(|phrase| begins_with(&phrase.parts, rest)))
        .map(|runbook| &runbook.name)
        .collect();
    match beginning[..] {
        [one] => return right(one.as_str()),
        [_, _, ..] => {
            let names = beginning.into_iter().cloned().collect();
            return Reading::Wrong(ParseError::AmbiguousRunbook { at, said: said.to_owned(), names });
        }
        [] => {}
    }
    let words = phrase::BUILT_IN.iter().map(|word| names::Known { name: word, title: word });
    let near = names::nearest(words.chain(names::runbooks(line.catalog)), said);
    let attempted = near.is_some() || names::attempted(names::runbooks(line.catalog), said);
    let error = ParseError::UnknownTopic { at, said: said.to_owned(), did_you_mean: near.map(str::to_owned) };
    // `help me` and `help is on its way` are talk.
    if attempted && said.chars().count() > 3 { Reading::Wrong(error) } else { Reading::Perhaps(error) }
}

/// The word under which a built-in is explained.
fn built_in(said: &str) -> Option<&'static str> {
    let said = said.to_lowercase();
    match said.as_str() {
        "approved" => Some("approve"),
        "denied" => Some("deny"),
        "who am i" => Some("whoami"),
        "who is on call" | "on call" | "oncall" => Some("who"),
        "what happened" => Some("what"),
        "open incident" => Some("open"),
        said => phrase::BUILT_IN.iter().find(|word| **word == said).copied(),
    }
}

/// Whether the words are the fixed words that a phrase begins with, all of them.
fn begins_with(parts: &[PhrasePart], words: &[words::Word<'_>]) -> bool {
    let fixed = parts.iter().take_while(|part| matches!(part, PhrasePart::Word(_))).count();
    fixed == words.len()
        && parts.iter().zip(words).all(|(part, word)| matches!(part, PhrasePart::Word(fixed) if word.is(fixed)))
}

//! `is service-c running`, `is service c ok`, `is service c answering`: asks a service's checks. Only reads.

use crate::model::catalog::Service;
use crate::model::id::{CheckName, ServiceName};

use super::names::{self, Found};
use super::words::{self, Word};
use super::{Command, Line, ParseError, Reading};

/// Words that ask for all checks.
const WELL: &[&str] = &["ok", "okay", "healthy", "up", "fine"];

pub(super) fn read(line: &Line<'_>) -> Reading {
    let words = &line.words[1..];
    let mut known: Option<(&Service, &[Word<'_>])> = None;
    // The longest name first: of `service` and `service-b`, `is service b running` asks about the second.
    for end in (1..=words.len()).rev() {
        let (name, rest) = words.split_at(end);
        match names::find(names::services(line.catalog), &line.text[words::span(name)]) {
            Found::One(name) => {
                let Some((_, service)) = line.catalog.service(&ServiceName::new(name)) else { continue };
                if let Some(check) = check(service, &line.text[words::span(rest)]) {
                    return Reading::Right(Command::Is { service: service.name.clone(), check });
                }
                known.get_or_insert((service, rest));
            }
            Found::Several(several) if rest.len() == 1 => {
                return Reading::Wrong(ParseError::AmbiguousService {
                    at: words::span(name),
                    said: line.text[words::span(name)].to_owned(),
                    names: several.into_iter().map(ServiceName::new).collect(),
                });
            }
            Found::Several(_) | Found::None(_) => {}
        }
    }
    match known {
        Some((service, rest)) => unknown_check(line, service, rest),
        None => unknown_service(line, words),
    }
}

/// The check that a word asks for: `Some(None)` is all of them, `None` that there is no such check.
#[expect(clippy::option_option, reason = "no such check and all checks are two answers")]
fn check(service: &Service, word: &str) -> Option<Option<CheckName>> {
    let lower = word.to_lowercase();
    if WELL.contains(&lower.as_str()) {
        return Some(None);
    }
    match names::find(names::plain(service.checks.keys().map(CheckName::as_str)), word) {
        Found::One(name) => Some(Some(CheckName::new(name))),
        _ if lower == "running" => Some(None),
        _ => None,
    }
}

/// In a room only one further word is surely a question to the bot: `is service b really that slow` is not.
fn unknown_check(line: &Line<'_>, service: &Service, rest: &[Word<'_>]) -> Reading {
    let (at, said) = match rest {
        [] => (line.span().end..line.span().end, String::new()),
        rest => (words::span(rest), line.text[words::span(rest)].to_owned()),
    };
    let checks = || service.checks.keys().map(CheckName::as_str);
    let error = ParseError::UnknownCheck {
        at,
        did_you_mean: names::nearest(names::plain(checks()), &said).map(CheckName::new),
        said,
        service: service.name.clone(),
        known: service.checks.keys().cloned().collect(),
    };
    match rest.len() {
        1 => Reading::Wrong(error),
        _ => Reading::Perhaps(error),
    }
}

fn unknown_service(line: &Line<'_>, words: &[Word<'_>]) -> Reading {
    let Some((last, name)) = words.split_last().filter(|(_, name)| !name.is_empty()) else {
        return line.usage("is");
    };
    let state = last.is("running")
        || WELL.iter().any(|word| last.is(word))
        || line
            .catalog
            .systems
            .values()
            .flat_map(|system| system.services.values())
            .any(|service| matches!(check(service, last.text), Some(Some(_))));
    if !state {
        return line.usage("is");
    }
    let at = words::span(name);
    let said = line.text[at.clone()].to_owned();
    let system = match names::find(names::systems(line.catalog), &said) {
        Found::One(name) => line.catalog.systems.values().find(|system| system.name.as_str() == name),
        _ => None,
    };
    let near = names::nearest(names::services(line.catalog), &said);
    let attempted = system.is_some() || near.is_some() || names::attempted(names::services(line.catalog), &said);
    let error = ParseError::UnknownService {
        at,
        said,
        did_you_mean: near.filter(|_| system.is_none()).map(ServiceName::new),
        known: match system {
            Some(system) => system.services.keys().cloned().collect(),
            None => line.catalog.systems.values().flat_map(|system| system.services.keys().cloned()).collect(),
        },
    };
    if attempted { Reading::Wrong(error) } else { Reading::Perhaps(error) }
}

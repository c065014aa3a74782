//! `delegate to lin until friday`, `delegate to lin for 2 days`; `delegations`; `end delegation [to lin]`.

use super::names::{self, Found, Known};
use super::words::{self, Word};
use super::{Command, Line, ParseError, Reading, until};
use crate::model::id::PersonId;

pub(super) fn read(line: &Line<'_>) -> Reading {
    let (to, rest) = match &line.words[1..] {
        [to, name, rest @ ..] if to.is("to") => (name, rest),
        _ => return line.usage("delegate"),
    };
    let to = match person(line, to) {
        Ok(to) => to,
        // `delegate to the others` is talk; with a time it is meant.
        Err(error) if until::read(rest).is_some() => return Reading::Wrong(error),
        Err(error) => return Reading::Perhaps(error),
    };
    match until::read(rest) {
        Some(until) => Reading::Right(Command::Delegate { to, until }),
        None => {
            let at = if rest.is_empty() { line.span().end..line.span().end } else { words::span(rest) };
            let said = line.text[at.clone()].to_owned();
            Reading::Wrong(ParseError::NotATime { at, said })
        }
    }
}

/// `delegations`.
pub(super) fn list(line: &Line<'_>) -> Reading {
    if line.words.len() == 1 { Reading::Right(Command::Delegations) } else { line.usage("delegations") }
}

/// `end delegation`, `end delegation to lin`.
pub(super) fn end(line: &Line<'_>) -> Reading {
    match &line.words[1..] {
        [delegation] if delegation.is("delegation") => Reading::Right(Command::EndDelegation { to: None }),
        [delegation, to, name] if delegation.is("delegation") && to.is("to") => match person(line, name) {
            Ok(to) => Reading::Right(Command::EndDelegation { to: Some(to) }),
            Err(error) => Reading::Wrong(error),
        },
        [delegation, ..] if delegation.is("delegation") => line.usage("end"),
        _ => Reading::NotMine,
    }
}

/// A person of the catalog, by name.
#[expect(clippy::result_large_err, reason = "as everywhere in this module")]
pub(super) fn person(line: &Line<'_>, name: &Word<'_>) -> Result<PersonId, ParseError> {
    let known = || line.catalog.people.keys().map(|name| Known { name: name.as_str(), title: name.as_str() });
    let said = name.text.strip_prefix('@').unwrap_or(name.text);
    match names::find(known(), said) {
        Found::One(name) => Ok(PersonId::new(name)),
        Found::Several(names) => Err(ParseError::UnknownPerson {
            at: name.span(),
            said: name.text.to_owned(),
            did_you_mean: names.first().map(|name| PersonId::new(*name)),
        }),
        Found::None(near) => Err(ParseError::UnknownPerson {
            at: name.span(),
            said: name.text.to_owned(),
            did_you_mean: near.map(PersonId::new),
        }),
    }
}

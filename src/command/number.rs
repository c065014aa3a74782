//! A run's or an incident's number and a request's code, where a command may name one.

use crate::model::code::Code;
use crate::model::id::{IncidentId, RunId};

use super::names::{self, Found};
use super::words::{self, Word};
use super::{Line, ParseError, Reading};

/// `run 12`, `run #12`, `12` or nothing; anything else is the reading to give back.
pub(super) fn run(line: &Line<'_>, command: &'static str, rest: &[Word<'_>]) -> Result<Option<RunId>, Reading> {
    let (number, named) = match rest {
        [] => return Ok(None),
        [run, number] if run.is("run") => (number, true),
        [number] => (number, false),
        _ => return Err(wrong_object(line, command, rest)),
    };
    match parse_run(number.text) {
        Some(run) => Ok(Some(run)),
        None if named || number.text.chars().any(|c| c.is_ascii_digit()) => {
            let error = ParseError::NotARun { at: number.span(), said: number.text.to_owned(), command };
            let attempted = number.text.chars().any(|c| c.is_ascii_digit());
            Err(if attempted { Reading::Wrong(error) } else { Reading::Perhaps(error) })
        }
        None => Err(wrong_object(line, command, rest)),
    }
}

/// A service's name after a word that wants a run: sure to be meant for the bot, and worth an answer.
fn wrong_object(line: &Line<'_>, command: &'static str, rest: &[Word<'_>]) -> Reading {
    let at = words::span(rest);
    let said = &line.text[at.clone()];
    match names::find(names::services(line.catalog), said) {
        Found::One(_) => Reading::Wrong(ParseError::NotARun { at, said: said.to_owned(), command }),
        _ => line.usage(command),
    }
}

/// A run's number: digits, perhaps after `#`.
pub(super) fn parse_run(said: &str) -> Option<RunId> {
    let digits = said.strip_prefix('#').unwrap_or(said);
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number > 0).map(RunId)
}

/// An incident's number: `INC-7`, `inc7`, `#7` or `7`.
pub(super) fn parse_incident(said: &str) -> Option<IncidentId> {
    let digits = match said.get(..3) {
        Some(inc) if inc.eq_ignore_ascii_case("inc") => {
            let rest = &said[3..];
            rest.strip_prefix(['-', '#']).unwrap_or(rest)
        }
        _ => said,
    };
    parse_run(digits).map(|RunId(number)| IncidentId(number))
}

/// The incident that the words begin with, as one word or as `inc 7` or `incident 7`, and the words after it. `None`: they
/// begin with none.
pub(super) fn leading_incident<'w, 'a>(words: &'w [Word<'a>]) -> Option<(IncidentId, &'w [Word<'a>])> {
    match words {
        [inc, number, rest @ ..] if inc.is("inc") || inc.is("incident") => {
            parse_incident(bare(number.text)).map(|incident| (incident, rest))
        }
        [number, rest @ ..] => parse_incident(bare(number.text)).map(|incident| (incident, rest)),
        [] => None,
    }
}

/// The word without the comma or colon at its end.
fn bare(said: &str) -> &str {
    said.strip_suffix([',', ':']).unwrap_or(said)
}

/// An incident or nothing; anything else is the reading to give back.
pub(super) fn incident(
    line: &Line<'_>,
    command: &'static str,
    rest: &[Word<'_>],
) -> Result<Option<IncidentId>, Reading> {
    if rest.is_empty() {
        return Ok(None);
    }
    match leading_incident(rest) {
        Some((incident, [])) => Ok(Some(incident)),
        _ => Err(no_incident(line, command, rest)),
    }
}

/// What stands where an incident should is perhaps an attempt at one.
pub(super) fn no_incident(line: &Line<'_>, command: &'static str, rest: &[Word<'_>]) -> Reading {
    let at = words::span(rest);
    let said = &line.text[at.clone()];
    let letters = said.to_lowercase();
    let attempted = letters.starts_with("inc") && letters.contains(|c: char| c.is_ascii_digit())
        || rest.len() == 1 && letters.starts_with(|c: char| c == '#' || c.is_ascii_digit());
    match attempted && rest.len() <= 2 {
        true => Reading::Wrong(ParseError::NotAnIncident { at, said: said.to_owned(), command }),
        false => line.usage(command),
    }
}

/// `[INC-7] [because …]`, the reason being the rest of the line whatever stands in it; anything else is the reading to
/// give back.
pub(super) fn incident_because(
    line: &Line<'_>,
    command: &'static str,
) -> Result<(Option<IncidentId>, Option<String>), Reading> {
    let said = line.raw.get(1..).unwrap_or_default();
    let (incident, rest) = match leading_incident(said) {
        Some((incident, rest)) => (Some(incident), rest),
        None => (None, said),
    };
    match rest {
        [because, reason, ..] if because.is("because") || because.is("because:") => {
            Ok((incident, Some(line.rest_from(reason).to_owned())))
        }
        // Sure to be meant, and without what it announces.
        [because] if because.is("because") || because.is("because:") => Err(match line.usage(command) {
            Reading::Perhaps(error) => Reading::Wrong(error),
            reading => reading,
        }),
        _ => incident_at_end(line, command),
    }
}

fn incident_at_end(line: &Line<'_>, command: &'static str) -> Result<(Option<IncidentId>, Option<String>), Reading> {
    incident(line, command, line.words.get(1..).unwrap_or_default()).map(|incident| (incident, None))
}

/// A code or nothing; anything else is the reading to give back.
pub(super) fn code(line: &Line<'_>, command: &'static str, rest: &[Word<'_>]) -> Result<Option<Code>, Reading> {
    match rest {
        [] => Ok(None),
        [word] => match Code::parse(word.text) {
            Some(code) => Ok(Some(code)),
            None if nearly_code(word.text) => {
                Err(Reading::Wrong(ParseError::NotACode { at: word.span(), said: word.text.to_owned(), command }))
            }
            None => Err(line.usage(command)),
        },
        // Sure to be meant: what is approved has a code, and what runs a number.
        [run, number, rest_of @ ..]
            if run.is("run")
                && parse_run(number.text).is_some()
                && rest_of.first().is_none_or(|because| because.is("because")) =>
        {
            let at = words::span(&rest[..2]);
            Err(Reading::Wrong(ParseError::NotACode { said: line.text[at.clone()].to_owned(), at, command }))
        }
        _ => Err(line.usage(command)),
    }
}

/// Whether a word looks like an attempt at a code: letters and digits mixed, one more or less than there should be.
pub(super) fn nearly_code(said: &str) -> bool {
    let length = said.chars().count();
    (3..=5).contains(&length)
        && said.chars().all(char::is_alphanumeric)
        && said.chars().any(|c| c.is_ascii_digit())
        && (length == 4 || said.chars().any(char::is_alphabetic))
}

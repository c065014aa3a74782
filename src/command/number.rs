//! A run's number and a request's code, where a command may name one.

use crate::model::code::Code;
use crate::model::id::RunId;

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

//! `deny`, `denied`, `deny because …`, `deny 7K3F`, `deny 7K3F because …`. Without a reason the whole line must be that;
//! a reason begins with `because` and is the rest of the line, whatever stands in it.

use crate::model::code::Code;

use super::words::{Ending, Word};
use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    let said = &line.raw[1..];
    let reason = |at: usize| -> Option<String> { said.get(at + 1).map(|word| line.rest_from(word).to_owned()) };
    match said {
        [because, ..] if is_because(because) => with_reason(line, None, reason(0)),
        [code, because, ..] if is_because(because) => match number::code(line, "deny", &[bare(code)]) {
            Ok(code) => with_reason(line, code, reason(1)),
            Err(reading) => reading,
        },
        _ => match (number::code(line, "deny", &line.words[1..]), line.ending) {
            (Ok(code), Ending::Plain) => Reading::Right(Command::Deny { code, reason: None }),
            (Ok(_), Ending::Please | Ending::Question) => line.usage("deny"),
            (Err(Reading::Wrong(_)), Ending::Question) => line.usage("deny"),
            (Err(reading), _) => reading,
        },
    }
}

fn with_reason(line: &Line<'_>, code: Option<Code>, reason: Option<String>) -> Reading {
    match reason {
        Some(reason) => Reading::Right(Command::Deny { code, reason: Some(reason) }),
        None => line.usage("deny"),
    }
}

fn is_because(word: &Word<'_>) -> bool {
    word.is("because") || word.is("because:")
}

/// The word without a comma at its end.
fn bare<'a>(word: &Word<'a>) -> Word<'a> {
    Word { text: word.text.strip_suffix(',').unwrap_or(word.text), ..*word }
}

//! `handover to lin`, `handover to lin because …`; `taken`, `taken 3`.

use super::words::Ending;
use super::{Command, Line, Reading, delegate, number};
use crate::model::id::HandoverId;

pub(super) fn read(line: &Line<'_>) -> Reading {
    let because = line.raw.iter().position(|word| word.is("because") || word.is("because:"));
    let (head, reason) = match because {
        Some(at) => match line.raw.get(at + 1) {
            Some(first) => (&line.raw[..at], Some(line.rest_from(first).to_owned())),
            None => return line.usage("handover"),
        },
        None => (line.words.as_slice(), None),
    };
    match head {
        [_, to, name] if to.is("to") => match delegate::person(line, name) {
            Ok(to) => Reading::Right(Command::Handover { to, reason }),
            Err(error) => Reading::Wrong(error),
        },
        _ => line.usage("handover"),
    }
}

/// `taken`, `taken 3`.
pub(super) fn taken(line: &Line<'_>) -> Reading {
    match &line.words[1..] {
        [] if line.ending == Ending::Please => line.usage("taken"),
        [] => Reading::Right(Command::Taken { handover: None }),
        [one] => match number::parse_run(one.text) {
            Some(run) => Reading::Right(Command::Taken { handover: Some(HandoverId(run.0)) }),
            None => line.usage("taken"),
        },
        _ => line.usage("taken"),
    }
}

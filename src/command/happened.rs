//! `what happened`, `what happened INC-7`.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match &line.words[1..] {
        [happened, rest @ ..] if happened.is("happened") => match number::incident(line, "what", rest) {
            Ok(incident) => Reading::Right(Command::Happened { incident }),
            Err(reading) => reading,
        },
        _ => line.usage("what"),
    }
}

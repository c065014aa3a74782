//! `ack`, `ack INC-7`.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match number::incident(line, "ack", &line.words[1..]) {
        Ok(incident) => Reading::Right(Command::Ack { incident }),
        Err(reading) => reading,
    }
}

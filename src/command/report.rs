//! `report`, `report INC-7`.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match number::incident(line, "report", &line.words[1..]) {
        Ok(incident) => Reading::Right(Command::Report { incident }),
        Err(reading) => reading,
    }
}

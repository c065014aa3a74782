//! `reopen`, `reopen INC-7`, `reopen because …`, `reopen INC-7 because …`. A reason is the rest of the line.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match number::incident_because(line, "reopen") {
        Ok((incident, reason)) => Reading::Right(Command::Reopen { incident, reason }),
        Err(reading) => reading,
    }
}

//! `resolve`, `resolve INC-7`, `resolve because …`, `resolve INC-7 because …`. A reason is the rest of the line.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match number::incident_because(line, "resolve") {
        Ok((incident, reason)) => Reading::Right(Command::Resolve { incident, reason }),
        Err(reading) => reading,
    }
}

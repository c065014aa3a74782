//! `stop`, `stop run 12`, `stop 12`.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match number::run(line, "stop", &line.words[1..]) {
        Ok(run) => Reading::Right(Command::Stop { run }),
        Err(reading) => reading,
    }
}

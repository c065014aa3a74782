//! `retry`, `retry run 12`, `retry 12`.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match number::run(line, "retry", &line.words[1..]) {
        Ok(run) => Reading::Right(Command::Retry { run }),
        Err(reading) => reading,
    }
}

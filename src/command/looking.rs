//! `looking`, `looking 7K3F`. The whole line must be that.

use super::words::Ending;
use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match number::code(line, "looking", &line.words[1..]) {
        Ok(_) if line.ending == Ending::Please => line.usage("looking"),
        Ok(code) => Reading::Right(Command::Looking { code }),
        Err(reading) => reading,
    }
}

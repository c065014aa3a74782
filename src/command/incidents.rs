//! `incidents`: the whole line.

use super::{Command, Line, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match line.words[..] {
        [_] => Reading::Right(Command::Incidents),
        _ => line.usage("incidents"),
    }
}

//! `again`: repeats the last asking here. `start service b again` is the phrase's business.

use super::{Command, Line, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match line.after("again") {
        Some([]) => Reading::Right(Command::Again),
        _ => line.usage("again"),
    }
}

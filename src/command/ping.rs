//! `ping`.

use super::{Command, Line, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match line.after("ping") {
        Some([]) => Reading::Right(Command::Ping),
        _ => line.usage("ping"),
    }
}

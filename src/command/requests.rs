//! `requests`.

use super::{Command, Line, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match line.after("requests") {
        Some([]) => Reading::Right(Command::Requests),
        _ => line.usage("requests"),
    }
}

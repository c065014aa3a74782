//! `status`: the whole line.

use super::{Command, Line, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match line.words[..] {
        [_] => Reading::Right(Command::Status),
        _ => line.usage("status"),
    }
}

//! `pause`, `pause because …`. The reason is the rest of the line, whatever stands in it.

use super::{Command, Line, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match &line.raw[1..] {
        [because, reason, ..] if because.is("because") || because.is("because:") => {
            Reading::Right(Command::Pause { reason: Some(line.rest_from(reason).to_owned()) })
        }
        _ => match line.after("pause") {
            Some([]) => Reading::Right(Command::Pause { reason: None }),
            _ => line.usage("pause"),
        },
    }
}

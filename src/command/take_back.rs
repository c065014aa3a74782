//! `take back 7K3F`: an approval that covers further runs.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match line.after("take") {
        Some([back, rest @ ..]) if back.is("back") => match number::code(line, "take back", rest) {
            Ok(Some(code)) => Reading::Right(Command::TakeBack { code }),
            Ok(None) => line.usage("take back"),
            Err(reading) => reading,
        },
        _ => Reading::NotMine,
    }
}

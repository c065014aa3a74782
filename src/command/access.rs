//! `access`, `access changes`.

use super::{AccessShown, Command, Line, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match &line.words[1..] {
        [] => Reading::Right(Command::Access { shown: AccessShown::Short }),
        [changes] if changes.is("changes") => Reading::Right(Command::Access { shown: AccessShown::Changes }),
        _ => line.usage("access"),
    }
}

//! `whoami`, `who am i`.

use super::{Command, Line, Reading};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match &line.words[..] {
        [word] if word.is("whoami") => Reading::Right(Command::WhoAmI),
        [who, am, i] if who.is("who") && am.is("am") && i.is("i") => Reading::Right(Command::WhoAmI),
        _ => line.usage("whoami"),
    }
}

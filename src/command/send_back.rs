//! `send back because …`, `send back 7K3F because …`; `request change …` says the same. The reason is the rest of the line.

use super::{Command, Line, Reading, reason};

pub(super) fn read(line: &Line<'_>) -> Reading {
    let second = line.raw.get(1);
    if !second.is_some_and(|word| word.is("back") || word.is("change") || word.is("changes")) {
        return Reading::NotMine;
    }
    match reason::of(line, 2, "send") {
        Some(Ok((code, reason))) => Reading::Right(Command::SendBack { code, reason }),
        Some(Err(reading)) => reading,
        // It wants a reason: whoever asked has to know what to change.
        None => line.usage("send"),
    }
}

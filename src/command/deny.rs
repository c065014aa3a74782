//! `deny`, `denied`, `deny because …`, `deny 7K3F`, `deny 7K3F because …`. Without a reason the whole line must be that;
//! a reason begins with `because` and is the rest of the line, whatever stands in it.

use super::words::Ending;
use super::{Command, Line, Reading, number, reason};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match reason::of(line, 1, "deny") {
        Some(Ok((code, reason))) => return Reading::Right(Command::Deny { code, reason: Some(reason) }),
        Some(Err(reading)) => return reading,
        None => {}
    }
    match (number::code(line, "deny", &line.words[1..]), line.ending) {
        (Ok(code), Ending::Plain) => Reading::Right(Command::Deny { code, reason: None }),
        (Ok(_), Ending::Please | Ending::Question) => line.usage("deny"),
        (Err(Reading::Wrong(_)), Ending::Question) => line.usage("deny"),
        (Err(reading), _) => reading,
    }
}

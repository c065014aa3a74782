//! `approve`, `approved`, `approve 7K3F`, `approved because …`. Without a reason the whole line must be that; more words, a
//! question mark or a `please` to someone make it talk.

use super::words::Ending;
use super::{Command, Line, Reading, number, reason};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match reason::of(line, 1, "approve") {
        Some(Ok((code, reason))) => return Reading::Right(Command::Approve { code, reason: Some(reason) }),
        Some(Err(reading)) => return reading,
        None => {}
    }
    match (number::code(line, "approve", &line.words[1..]), line.ending) {
        (Ok(code), Ending::Plain) => Reading::Right(Command::Approve { code, reason: None }),
        (Ok(_), Ending::Please | Ending::Question) => line.usage("approve"),
        (Err(Reading::Wrong(_)), Ending::Question) => line.usage("approve"),
        (Err(reading), _) => reading,
    }
}

//! `approve`, `approved`, `approve 7K3F`. The whole line must be that; more words, a question mark or a `please` to
//! someone make it talk.

use super::words::Ending;
use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match (number::code(line, "approve", &line.words[1..]), line.ending) {
        (Ok(code), Ending::Plain) => Reading::Right(Command::Approve { code }),
        (Ok(_), Ending::Please | Ending::Question) => line.usage("approve"),
        (Err(Reading::Wrong(_)), Ending::Question) => line.usage("approve"),
        (Err(reading), _) => reading,
    }
}

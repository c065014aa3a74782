//! `countersign 7K3F`. The whole line must be that, and the code is never left out.

use super::words::Ending;
use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match (number::code(line, "countersign", &line.words[1..]), line.ending) {
        (Ok(Some(code)), Ending::Plain) => Reading::Right(Command::Countersign { code }),
        (Ok(_), Ending::Plain | Ending::Please | Ending::Question) => line.usage("countersign"),
        (Err(Reading::Wrong(_)), Ending::Question) => line.usage("countersign"),
        (Err(reading), _) => reading,
    }
}

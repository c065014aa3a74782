//! `withdraw`, `withdraw 7K3F`. The whole line must be that.

use super::words::Ending;
use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match number::code(line, "withdraw", &line.words[1..]) {
        Ok(_) if line.ending == Ending::Please => line.usage("withdraw"),
        Ok(code) => Reading::Right(Command::Withdraw { code }),
        Err(reading) => reading,
    }
}

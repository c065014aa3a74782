//! `revoke`, `revoke 7K3F`, `revoke 7K3F because …`. The reason is the rest of the line.

use super::words::Ending;
use super::{Command, Line, Reading, number, reason};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match reason::of(line, 1, "revoke") {
        Some(Ok((code, reason))) => return Reading::Right(Command::Revoke { code, reason: Some(reason) }),
        Some(Err(reading)) => return reading,
        None => {}
    }
    match number::code(line, "revoke", &line.words[1..]) {
        Ok(_) if line.ending == Ending::Please => line.usage("revoke"),
        Ok(code) => Reading::Right(Command::Revoke { code, reason: None }),
        Err(reading) => reading,
    }
}

//! `refuse 7K3F because …`: the reason is the rest of the line, whatever stands in it.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    let [code, because, reason, ..] = &line.raw[1..] else { return line.usage("refuse") };
    if !because.is("because") && !because.is("because:") {
        return line.usage("refuse");
    }
    match number::code(line, "refuse", &[*code]) {
        Ok(Some(code)) => Reading::Right(Command::Refuse { code, reason: line.rest_from(reason).to_owned() }),
        Ok(None) => line.usage("refuse"),
        Err(reading) => reading,
    }
}

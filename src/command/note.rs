//! `note TEXT`, `note INC-7 TEXT`, with or without a colon. The text is the rest of the line, whatever stands in it.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    let said = &line.raw[1..];
    let (incident, text) = match number::leading_incident(said) {
        // `note 5 of 7 hosts are down` begins with a number that names no incident.
        Some((incident, rest)) if said[0].text.bytes().any(|byte| !byte.is_ascii_digit()) => (Some(incident), rest),
        _ => (None, said),
    };
    match text {
        [first, ..] => Reading::Right(Command::Note { incident, text: line.rest_from(first).to_owned() }),
        [] => line.usage("note"),
    }
}

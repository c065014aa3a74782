//! `review 7K3F fine because …`, `review 7K3F not fine because …`, `reviews`. The reason is the rest of the line.

use super::{Command, Line, Reading, number};
use crate::model::request::ReviewVerdict;

pub(super) fn read(line: &Line<'_>) -> Reading {
    let (code, verdict, rest) = match &line.raw[1..] {
        [code, not, fine, rest @ ..] if not.is("not") && fine.is("fine") => (code, ReviewVerdict::NotFine, rest),
        [code, fine, rest @ ..] if fine.is("fine") => (code, ReviewVerdict::Fine, rest),
        _ => return line.usage("review"),
    };
    let code = match number::code(line, "review", &[*code]) {
        Ok(Some(code)) => code,
        Ok(None) => return line.usage("review"),
        Err(reading) => return reading,
    };
    match rest {
        [because, reason, ..] if because.is("because") || because.is("because:") => {
            Reading::Right(Command::Review { code, verdict, reason: line.rest_from(reason).to_owned() })
        }
        _ => match line.usage("review") {
            Reading::Perhaps(error) => Reading::Wrong(error),
            reading => reading,
        },
    }
}

pub(super) fn read_list(line: &Line<'_>) -> Reading {
    match line.after("reviews") {
        Some([]) => Reading::Right(Command::Reviews),
        _ => line.usage("reviews"),
    }
}

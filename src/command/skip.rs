//! `skip [run 12] because …`. The reason is the rest of the line.

use super::{Command, Line, Reading, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    let (run, rest) = match &line.raw[1..] {
        [run, number, rest @ ..] if run.is("run") => match number::parse_run(number.text) {
            Some(id) => (Some(id), rest),
            None => return number::run(line, "skip", &[*run, *number]).err().unwrap_or_else(|| line.usage("skip")),
        },
        [number, rest @ ..] if number::parse_run(number.text).is_some() => (number::parse_run(number.text), rest),
        rest => (None, rest),
    };
    match rest {
        [word, reason, ..] if word.is("because") || word.is("because:") => {
            Reading::Right(Command::Skip { run, reason: line.rest_from(reason).to_owned() })
        }
        // `skip run 12` wants its reason; `skip lunch` is talk.
        [] => claim(line, run.is_some()),
        [word] if word.is("because") || word.is("because:") => claim(line, true),
        _ => claim(line, run.is_some()),
    }
}

fn claim(line: &Line<'_>, sure: bool) -> Reading {
    match line.usage("skip") {
        Reading::Perhaps(error) if sure => Reading::Wrong(error),
        reading => reading,
    }
}

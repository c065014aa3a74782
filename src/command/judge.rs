//! `judge [run 12] worked because …`, `judge [run 12] failed because …`. The reason is the rest of the line.

use super::words::Word;
use super::{Command, Line, Reading, Verdict, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    let (run, rest) = match &line.raw[1..] {
        [run, number, rest @ ..] if run.is("run") => match number::parse_run(number.text) {
            Some(id) => (Some(id), rest),
            None => return number::run(line, "judge", &[*run, *number]).err().unwrap_or_else(|| line.usage("judge")),
        },
        [number, rest @ ..] if number::parse_run(number.text).is_some() => (number::parse_run(number.text), rest),
        rest => (None, rest),
    };
    let Some((verdict, because)) = rest.split_first().and_then(|(word, rest)| Some((verdict(word)?, rest))) else {
        return claim(line, run.is_some());
    };
    match because {
        [word, reason, ..] if word.is("because") || word.is("because:") => {
            Reading::Right(Command::Judge { run, verdict, reason: line.rest_from(reason).to_owned() })
        }
        // `judge worked` is a judgement without its reason; `judge worked late yesterday` is talk.
        [] => claim(line, true),
        [word] if word.is("because") => claim(line, true),
        _ => claim(line, run.is_some()),
    }
}

fn claim(line: &Line<'_>, sure: bool) -> Reading {
    match line.usage("judge") {
        Reading::Perhaps(error) if sure => Reading::Wrong(error),
        reading => reading,
    }
}

fn verdict(word: &Word<'_>) -> Option<Verdict> {
    match word.text.trim_end_matches(['.', ',']).to_lowercase().as_str() {
        "worked" => Some(Verdict::Worked),
        "failed" => Some(Verdict::Failed),
        _ => None,
    }
}

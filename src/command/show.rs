//! `show 7K3F`, `show run 12`, `show 12`.

use crate::model::code::Code;

use super::{Command, Line, ParseError, Reading, Shown, number};

pub(super) fn read(line: &Line<'_>) -> Reading {
    match &line.words[1..] {
        [code] if Code::parse(code.text).is_some() => match Code::parse(code.text) {
            Some(code) => Reading::Right(Command::Show { what: Shown::Code(code) }),
            None => line.usage("show"),
        },
        [word] if number::parse_run(word.text).is_none() && number::nearly_code(word.text) => {
            Reading::Wrong(ParseError::NotACode { at: word.span(), said: word.text.to_owned(), command: "show" })
        }
        rest => match number::run(line, "show", rest) {
            Ok(Some(run)) => Reading::Right(Command::Show { what: Shown::Run(run) }),
            Ok(None) => line.usage("show"),
            Err(reading) => reading,
        },
    }
}

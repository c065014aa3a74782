//! `at 02:00 restart service b`, `at friday 02:00 run deploy version=1`: what is asked for now and starts later.

use super::words::Word;
use super::{Command, Line, ParseError, Reading, phrase, run, until};

pub(super) fn read(line: &Line<'_>) -> Reading {
    // The ending belongs to what follows: it is read as a line of its own.
    let rest = |words: usize| line.raw.get(words).map(|word| Line::new(line.catalog, line.text, word.start));
    let words = line.raw.get(1..).unwrap_or_default();
    let two = words.get(..2).and_then(until::moment).zip(rest(3));
    match two.or_else(|| words.get(..1).and_then(until::moment).zip(rest(2))) {
        Some((when, rest)) => match asked(&rest) {
            Reading::Right(Command::Run { runbook, params, anew }) => {
                Reading::Right(Command::At { when, runbook, params, anew })
            }
            // Other commands do not wait, and what is none of ours is talk: `at 18:00 we go home`.
            Reading::Right(_) | Reading::NotMine => line.usage("at"),
            wrong @ (Reading::Wrong(_) | Reading::Perhaps(_)) => wrong,
        },
        None => no_time(line, words),
    }
}

/// What is said after the time.
fn asked(rest: &Line<'_>) -> Reading {
    match (phrase::read(rest), rest.after("run").is_some()) {
        (Reading::NotMine, true) => run::read(rest),
        (reading, _) => reading,
    }
}

/// `at 25:00 restart service b` is meant; `at the weekend` is talk.
fn no_time(line: &Line<'_>, words: &[Word<'_>]) -> Reading {
    let meant = (1..=2).find_map(|count| {
        let rest = Line::new(line.catalog, line.text, words.get(count)?.start);
        matches!(asked(&rest), Reading::Right(Command::Run { .. })).then_some(count)
    });
    match meant {
        Some(count) => {
            let at = super::words::span(&words[..count]);
            let said = line.text[at.clone()].to_owned();
            Reading::Wrong(ParseError::NotAStart { at, said })
        }
        None => line.usage("at"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::{NaiveDate, NaiveTime, Weekday};

    use crate::command::tests::world;
    use crate::command::{Anew, Command, ParseError, Parsed, Place, parse};
    use crate::model::chat::Addressed;
    use crate::model::id::RunbookName;
    use crate::model::until::Until;

    fn read(text: &str) -> Parsed {
        parse(&world(), text, Addressed::ToRoom, Place { in_declared_room: true })
    }

    #[test]
    fn what_starts_later_is_read_as_what_starts_at_once() {
        let two = NaiveTime::from_hms_opt(2, 0, 0).expect("a time");
        let day = NaiveDate::from_ymd_opt(2026, 12, 24).expect("a day");
        let at = |when, anew| {
            let params = BTreeMap::from([("service".to_owned(), "service-b".to_owned())]);
            Parsed::Command(Command::At { when, runbook: RunbookName::new("start-service"), params, anew })
        };
        for (text, when, anew) in [
            ("at 02:00 start service b", Until::Clock(two), Anew::No),
            ("At 02:00 start service b, please.", Until::Clock(two), Anew::No),
            ("at 02:00 start service b again", Until::Clock(two), Anew::Yes),
            ("at 02:00 run start-service service=service-b", Until::Clock(two), Anew::No),
            ("at 2026-12-24 02:00 start service b", Until::Day(day, Some(two)), Anew::No),
            ("at Friday 02:00 start service b", Until::Weekday(Weekday::Fri, Some(two)), Anew::No),
        ] {
            assert_eq!(read(text), at(when, anew), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_the_rest_is_told_as_ever_and_prose_is_not() {
        for text in ["at 02:00 start service x", "at 02:00 run start-servcie service=x", "at 02:00 start service b?"] {
            assert!(matches!(read(text), Parsed::Wrong(_)), "{text}: {:?}", read(text));
        }
        for (text, said) in [("at 25:00 start service b", "25:00"), ("at fryday 02:00 start service b", "fryday 02:00")]
        {
            match read(text) {
                Parsed::Wrong(ParseError::NotAStart { said: found, .. }) => assert_eq!(found, said),
                other => panic!("{text}: {other:?}"),
            }
        }
        for text in ["at 18:00 we go home", "at the weekend", "at 02:00", "at 02:00 approve 7K3F", "at"] {
            assert_eq!(read(text), Parsed::Talk, "{text}");
        }
    }
}

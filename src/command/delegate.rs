//! `delegate to lin until friday`, `delegate to lin for 2 days`; `delegations`; `end delegation [to lin]`.

use super::names::{self, Found, Known};
use super::words::{self, Word};
use super::{Command, Line, ParseError, Reading, until};
use crate::model::id::PersonId;

pub(super) fn read(line: &Line<'_>) -> Reading {
    let (to, rest) = match &line.words[1..] {
        [to, name, rest @ ..] if to.is("to") => (name, rest),
        _ => return line.usage("delegate"),
    };
    let to = match person(line, to) {
        Ok(to) => to,
        // `delegate to the others` is talk; with a time it is meant.
        Err(error) if until::read(rest).is_some() => return Reading::Wrong(error),
        Err(error) => return Reading::Perhaps(error),
    };
    match until::read(rest) {
        Some(until) => Reading::Right(Command::Delegate { to, until }),
        None => {
            let at = if rest.is_empty() { line.span().end..line.span().end } else { words::span(rest) };
            let said = line.text[at.clone()].to_owned();
            Reading::Wrong(ParseError::NotATime { at, said })
        }
    }
}

/// `delegations`.
pub(super) fn list(line: &Line<'_>) -> Reading {
    if line.words.len() == 1 { Reading::Right(Command::Delegations) } else { line.usage("delegations") }
}

/// `end delegation`, `end delegation to lin`.
pub(super) fn end(line: &Line<'_>) -> Reading {
    match &line.words[1..] {
        [delegation] if delegation.is("delegation") => Reading::Right(Command::EndDelegation { to: None }),
        [delegation, to, name] if delegation.is("delegation") && to.is("to") => match person(line, name) {
            Ok(to) => Reading::Right(Command::EndDelegation { to: Some(to) }),
            Err(error) => Reading::Wrong(error),
        },
        [delegation, ..] if delegation.is("delegation") => line.usage("end"),
        _ => Reading::NotMine,
    }
}

/// A person of the catalog, by name.
#[expect(clippy::result_large_err, reason = "as everywhere in this module")]
pub(super) fn person(line: &Line<'_>, name: &Word<'_>) -> Result<PersonId, ParseError> {
    let known = || line.catalog.people.keys().map(|name| Known { name: name.as_str(), title: name.as_str() });
    let said = name.text.strip_prefix('@').unwrap_or(name.text);
    match names::find(known(), said) {
        Found::One(name) => Ok(PersonId::new(name)),
        Found::Several(names) => Err(ParseError::UnknownPerson {
            at: name.span(),
            said: name.text.to_owned(),
            did_you_mean: names.first().map(|name| PersonId::new(*name)),
        }),
        Found::None(near) => Err(ParseError::UnknownPerson {
            at: name.span(),
            said: name.text.to_owned(),
            did_you_mean: near.map(PersonId::new),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::{NaiveDate, NaiveTime, Weekday};

    use crate::command::{Command, ParseError, Parsed, Place, parse};
    use crate::model::catalog::{Ask, Catalog, Person};
    use crate::model::chat::Addressed;
    use crate::model::id::{HandoverId, PersonId};
    use crate::model::until::Until;

    fn read(text: &str) -> Parsed {
        let person = |name: &str| {
            let name = PersonId::new(name);
            (name.clone(), Person { name, accounts: Vec::new(), ask: Ask::Thread })
        };
        let catalog = Catalog { people: ["lin", "mary-ann"].map(person).into(), ..Catalog::default() };
        parse(&catalog, text, Addressed::ToRoom, Place { in_declared_room: true })
    }

    #[test]
    fn duties_are_handed_on_in_these_words() {
        let lin = || PersonId::new("lin");
        let delegate = |until| Command::Delegate { to: lin(), until };
        let nine = NaiveTime::from_hms_opt(9, 0, 0);
        let day = NaiveDate::from_ymd_opt(2026, 11, 25).expect("a day");
        let at_six = NaiveTime::from_hms_opt(18, 0, 0).expect("a time");
        for (text, expected) in [
            ("delegate to lin until friday", delegate(Until::Weekday(Weekday::Fri, None))),
            ("Delegate to Lin until Fri 09:00.", delegate(Until::Weekday(Weekday::Fri, nine))),
            ("delegate to @lin until 18:00", delegate(Until::Clock(at_six))),
            ("delegate to lin until 2026-11-25", delegate(Until::Day(day, None))),
            ("delegate to lin until 2026-11-25 09:00", delegate(Until::Day(day, nine))),
            ("delegate to lin for 2 days", delegate(Until::For(Duration::from_secs(172_800)))),
            ("delegate to lin for a week, thanks", delegate(Until::For(Duration::from_secs(604_800)))),
            ("delegations", Command::Delegations),
            ("end delegation", Command::EndDelegation { to: None }),
            ("end delegation to lin", Command::EndDelegation { to: Some(lin()) }),
            ("handover to maryann", Command::Handover { to: PersonId::new("mary-ann"), reason: None }),
            (
                "handover to lin because my shift ends, sorry?",
                Command::Handover { to: lin(), reason: Some("my shift ends, sorry?".to_owned()) },
            ),
            ("taken", Command::Taken { handover: None }),
            ("taken 3", Command::Taken { handover: Some(HandoverId(3)) }),
            ("looking", Command::Looking { code: None }),
        ] {
            assert_eq!(read(text), Parsed::Command(expected), "{text}");
        }
    }

    #[test]
    fn what_is_nearly_that_is_answered_and_prose_is_not() {
        let wrong = |text: &str| match read(text) {
            Parsed::Wrong(error) => error,
            other => panic!("{text}: {other:?}"),
        };
        assert!(
            matches!(wrong("delegate to lim until friday"), ParseError::UnknownPerson { did_you_mean: Some(near), .. } if near == PersonId::new("lin"))
        );
        for text in [
            "delegate to lin",
            "delegate to lin until later",
            "delegate to lin for ever",
            "delegate to lin until 25:00",
        ] {
            assert!(matches!(wrong(text), ParseError::NotATime { .. }), "{text}");
        }
        assert!(matches!(wrong("handover to zed"), ParseError::UnknownPerson { did_you_mean: None, .. }));
        for text in [
            "delegate it",
            "delegate to the others",
            "end of the day",
            "taken care of",
            "handover at 9",
            "looking into it",
        ] {
            assert_eq!(read(text), Parsed::Talk, "{text}");
        }
    }
}

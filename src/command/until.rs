//! What stands after `until` and `for`: a time, a weekday, a date, a length.

use chrono::{NaiveDate, NaiveTime, Weekday};

use super::words::Word;
use crate::model::until::Until;

/// `until friday`, `until 18:00`, `until 2026-11-25 09:00`, `for 2 days`, as words. `None`: nothing of that kind.
pub(super) fn read(words: &[Word<'_>]) -> Option<Until> {
    let (first, rest) = words.split_first()?;
    if first.is("for") {
        let length: Vec<&str> = rest.iter().map(|word| word.text).collect();
        let length = length.join(" ").to_lowercase();
        let length = length.strip_prefix("a ").map_or_else(|| length.clone(), |unit| format!("1 {unit}"));
        return humantime::parse_duration(&length).ok().filter(|length| !length.is_zero()).map(Until::For);
    }
    if !first.is("until") {
        return None;
    }
    moment(rest)
}

/// `friday`, `18:00`, `2026-11-25 09:00`: a moment, as words. `None`: nothing of that kind.
pub(super) fn moment(words: &[Word<'_>]) -> Option<Until> {
    match words {
        [one] => match (time(one), weekday(one), day(one)) {
            (Some(time), ..) => Some(Until::Clock(time)),
            (_, Some(weekday), _) => Some(Until::Weekday(weekday, None)),
            (.., Some(day)) => Some(Until::Day(day, None)),
            (None, None, None) => None,
        },
        [on, at] => {
            let time = Some(time(at)?);
            match (weekday(on), day(on)) {
                (Some(weekday), _) => Some(Until::Weekday(weekday, time)),
                (None, Some(day)) => Some(Until::Day(day, time)),
                (None, None) => None,
            }
        }
        _ => None,
    }
}

fn time(word: &Word<'_>) -> Option<NaiveTime> {
    NaiveTime::parse_from_str(word.text, "%H:%M").ok()
}

fn weekday(word: &Word<'_>) -> Option<Weekday> {
    word.text.parse().ok()
}

fn day(word: &Word<'_>) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(word.text, "%Y-%m-%d").ok()
}

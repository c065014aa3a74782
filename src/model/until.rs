//! Until when, as people say it: `until friday`, `until 18:00`, `for 2 days`. Pure: the zone and the moment are parameters.

use std::time::Duration;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::rota::moment_in;

/// An end, as said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Until {
    /// The next moment at which the clock shows this.
    Clock(NaiveTime),
    /// The next such day after today, at its beginning or at this time.
    Weekday(Weekday, Option<NaiveTime>),
    /// That day, at its beginning or at this time.
    Day(NaiveDate, Option<NaiveTime>),
    /// So long from now.
    For(Duration),
}

/// The moment that is meant, in a zone; it may be past. `None`: no calendar goes that far.
pub fn moment(until: Until, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let today = now.with_timezone(&zone).date_naive();
    let on = |day: NaiveDate, time: Option<NaiveTime>| moment_in(zone, day.and_time(time.unwrap_or(NaiveTime::MIN)));
    match until {
        Until::Clock(time) => {
            let at = on(today, Some(time));
            if at > now { Some(at) } else { Some(on(today.checked_add_days(Days::new(1))?, Some(time))) }
        }
        Until::Weekday(weekday, time) => {
            let days = i64::from(weekday.num_days_from_monday()) - i64::from(today.weekday().num_days_from_monday());
            // Said on that very day it is the one in a week.
            let days = if days <= 0 { days + 7 } else { days };
            Some(on(today.checked_add_days(Days::new(days.unsigned_abs()))?, time))
        }
        Until::Day(day, time) => Some(on(day, time)),
        Until::For(length) => now.checked_add_signed(TimeDelta::from_std(length).ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_say_is_one_moment() {
        // A Saturday, 22:20 in Singapore.
        let now: DateTime<Utc> = "2026-11-21T14:20:00Z".parse().expect("a time");
        let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").expect("a time");
        let day = |text: &str| text.parse::<NaiveDate>().expect("a day");
        let said = |until| {
            let at = moment(until, Tz::Asia__Singapore, now).expect("a moment");
            at.with_timezone(&Tz::Asia__Singapore).format("%a %Y-%m-%d %H:%M").to_string()
        };
        for (until, expected) in [
            (Until::Clock(time("23:00")), "Sat 2026-11-21 23:00"),
            (Until::Clock(time("22:20")), "Sun 2026-11-22 22:20"),
            (Until::Clock(time("07:00")), "Sun 2026-11-22 07:00"),
            (Until::Weekday(Weekday::Fri, None), "Fri 2026-11-27 00:00"),
            (Until::Weekday(Weekday::Sun, Some(time("09:00"))), "Sun 2026-11-22 09:00"),
            (Until::Weekday(Weekday::Sat, None), "Sat 2026-11-28 00:00"),
            (Until::Day(day("2026-11-25"), Some(time("09:00"))), "Wed 2026-11-25 09:00"),
            (Until::Day(day("2026-11-20"), None), "Fri 2026-11-20 00:00"),
            (Until::For(Duration::from_secs(2 * 86_400)), "Mon 2026-11-23 22:20"),
        ] {
            assert_eq!(said(until), expected, "{until:?}");
        }
        assert_eq!(moment(Until::For(Duration::from_secs(u64::MAX)), Tz::UTC, now), None);
    }

    #[test]
    fn a_day_on_which_the_clocks_change_has_a_beginning() {
        // In Berlin the clocks went forward on 2026-03-29.
        let now: DateTime<Utc> = "2026-03-28T12:00:00Z".parse().expect("a time");
        let time = NaiveTime::from_hms_opt(2, 30, 0);
        let at = moment(Until::Weekday(Weekday::Sun, time), Tz::Europe__Berlin, now).expect("a moment");
        assert_eq!(at.to_rfc3339(), "2026-03-29T01:00:00+00:00");
    }
}

//! Times and durations in words: absolute, with zone; numbers with units.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

/// How times are said: in one named zone.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    zone: Tz,
}

impl Times {
    /// Says times in this zone.
    pub fn in_zone(zone: Tz) -> Self {
        Self { zone }
    }

    /// The zone in which times are said, and in which people mean theirs.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    /// `22:33 UTC`; with the date when it is not today.
    pub fn at(&self, moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
        self.say(moment, now, "%H:%M")
    }

    /// `22:33:07 UTC`; with the date when it is not today.
    pub fn at_second(&self, moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
        self.say(moment, now, "%H:%M:%S")
    }

    /// `22:01–22:14 UTC`; with dates when one of the two is not today.
    pub fn from_to(&self, from: DateTime<Utc>, to: DateTime<Utc>, now: DateTime<Utc>) -> String {
        if self.is_today(from, now) && self.is_today(to, now) {
            format!("{}–{}", from.with_timezone(&self.zone).format("%H:%M"), self.at(to, now))
        } else {
            format!("{} to {}", self.at(from, now), self.at(to, now))
        }
    }

    /// `22:03` of a day that the sentence has named; with date and zone when it is not today.
    pub fn short(&self, moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
        if self.is_today(moment, now) {
            moment.with_timezone(&self.zone).format("%H:%M").to_string()
        } else {
            self.at(moment, now)
        }
    }

    fn is_today(&self, moment: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        moment.with_timezone(&self.zone).date_naive() == now.with_timezone(&self.zone).date_naive()
    }

    /// Until when: with seconds when it is less than ten minutes away, for then they matter.
    pub fn until(&self, moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
        if moment - now < TimeDelta::minutes(10) { self.at_second(moment, now) } else { self.at(moment, now) }
    }

    /// `22:33:07`, for a column of times of one day.
    pub fn clock(&self, moment: DateTime<Utc>) -> String {
        moment.with_timezone(&self.zone).format("%H:%M:%S").to_string()
    }

    /// `Sat 2026-11-21 UTC`: the day and zone over such a column.
    pub fn day(&self, moment: DateTime<Utc>) -> String {
        moment.with_timezone(&self.zone).format("%a %Y-%m-%d %Z").to_string()
    }

    /// `2026-12-24 03:00:00 UTC`: for records, in which no day goes without saying.
    pub fn exactly(&self, moment: DateTime<Utc>) -> String {
        moment.with_timezone(&self.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    fn say(&self, moment: DateTime<Utc>, now: DateTime<Utc>, clock: &str) -> String {
        let today = self.is_today(moment, now);
        let moment = moment.with_timezone(&self.zone);
        let format = if today { format!("{clock} %Z") } else { format!("%Y-%m-%d {clock} %Z") };
        moment.format(&format).to_string()
    }
}

/// `4 s`, `1 min 10 s`, `3 d 4 h`: the two greatest units; under ten seconds with a tenth when it is not whole.
pub fn lasted(millis: u64) -> String {
    if millis < 50 {
        return format!("{millis} ms");
    }
    if millis < 10_000 {
        let tenths = (millis + 50) / 100;
        return match (tenths / 10, tenths % 10) {
            (whole, 0) => format!("{whole} s"),
            (whole, tenth) => format!("{whole}.{tenth} s"),
        };
    }
    let seconds = (millis + 500) / 1000;
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, unit) in units {
        if rest >= length {
            parts.push(format!("{} {unit}", rest / length));
            rest %= length;
        }
    }
    parts.truncate(2);
    parts.join(" ")
}

/// A duration of the catalog: `60 s`, `5 min`.
pub fn limit(duration: Duration) -> String {
    lasted(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn times_have_a_zone_and_a_date_when_it_is_not_today() {
        let now = moment("2026-11-21T14:20:00Z");
        let utc = Times::in_zone(Tz::UTC);
        assert_eq!(utc.at(moment("2026-11-21T14:33:07Z"), now), "14:33 UTC");
        assert_eq!(utc.until(moment("2026-11-21T14:21:07Z"), now), "14:21:07 UTC");
        assert_eq!(utc.until(moment("2026-11-22T01:00:00Z"), now), "2026-11-22 01:00 UTC");
        assert_eq!(utc.clock(moment("2026-11-21T14:33:07Z")), "14:33:07");
        assert_eq!(utc.from_to(moment("2026-11-21T14:01:07Z"), now, now), "14:01–14:20 UTC");
        assert_eq!(utc.from_to(moment("2026-11-20T23:01:07Z"), now, now), "2026-11-20 23:01 UTC to 14:20 UTC");
        assert_eq!(utc.short(moment("2026-11-21T14:01:07Z"), now), "14:01");
        assert_eq!(utc.short(moment("2026-11-20T23:01:07Z"), now), "2026-11-20 23:01 UTC");
        let berlin = Times::in_zone(Tz::Europe__Berlin);
        assert_eq!(berlin.at(moment("2026-11-21T14:33:07Z"), now), "15:33 CET");
        assert_eq!(berlin.day(moment("2026-11-21T23:33:07Z")), "Sun 2026-11-22 CET");
    }

    #[test]
    fn durations_have_their_two_greatest_units() {
        let said: Vec<String> =
            [0, 43, 449, 1_100, 4_000, 9_960, 60_000, 70_000, 400_000, 3_600_000, 90_061_000].map(lasted).to_vec();
        let expected =
            ["0 ms", "43 ms", "0.4 s", "1.1 s", "4 s", "10 s", "1 min", "1 min 10 s", "6 min 40 s", "1 h", "1 d 1 h"];
        assert_eq!(said, expected);
    }
}

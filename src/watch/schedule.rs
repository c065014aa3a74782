//! When a check is asked next.
//!
//! - Each check has its own place within the interval, by a hash of its name: after a start the checks are spread, and
//!   those of two bots that watch the same things are not asked in step with each other's neighbours.
//! - Each interval is up to a tenth longer, at random: checks that have met by chance part again.
//! - An interval is counted from the asking before. What a slow check or a busy bot missed is not made up for.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest as _, Sha256};

/// The longest time over which a start spreads its first askings.
pub const SPREAD: Duration = Duration::from_secs(30);

/// The most checks that are asked at once.
pub const AT_ONCE: usize = 16;
/// Of these, the most that are held by checks that have not shown yet how long they take, or take long.
const NOT_QUICK: usize = 12;
/// Of these, the most that are held by checks that took long when they were asked last.
const SLOW: usize = 8;
/// Whoever takes as long as this takes long, as does one that takes its whole timeout.
const LONG: Duration = Duration::from_secs(2);

/// How long a check took when it was asked last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Not long.
    Quick,
    /// It has not been asked yet.
    New,
    /// Its whole timeout, or seconds.
    Slow,
}

impl Pace {
    /// The pace of a check that took so long.
    pub fn of(took: Duration, timeout: Duration) -> Self {
        if took >= timeout.min(LONG) { Self::Slow } else { Self::Quick }
    }
}

/// The places at which checks are being asked. Checks that hang hold half of them at most: those that answer are asked in
/// their time, however many hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Places {
    quick: usize,
    new: usize,
    slow: usize,
}

impl Places {
    /// Whether a check of this pace may be asked now.
    pub fn is_free(&self, pace: Pace) -> bool {
        let not_quick = self.new + self.slow;
        let free = not_quick + self.quick < AT_ONCE;
        match pace {
            Pace::Quick => free,
            Pace::New => free && not_quick < NOT_QUICK,
            Pace::Slow => free && not_quick < NOT_QUICK && self.slow < SLOW,
        }
    }

    /// A check of this pace is being asked.
    pub fn hold(&mut self, pace: Pace) {
        match pace {
            Pace::Quick => self.quick += 1,
            Pace::New => self.new += 1,
            Pace::Slow => self.slow += 1,
        }
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

fn scaled(duration: Duration, share: u32) -> Duration {
    duration.mul_f64(f64::from(share) / f64::from(u32::MAX))
}

/// A name's place within an interval, the same every time: 0 is its beginning, `u32::MAX` its end.
fn place(name: &str) -> u32 {
    let hash: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// When a check is asked first after a start or a change of the catalog. One that was asked recently goes on from there;
/// one that is due, or was never asked, is asked at its place within the interval, or within [`SPREAD`] if that is shorter.
pub fn first(name: &str, every: Duration, asked_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> DateTime<Utc> {
    match asked_at.map(|asked_at| asked_at + delta(every)) {
        // A clock that was set back must not silence a check for long.
        Some(due) if due > now && due <= now + delta(every) => due,
        _ => now + delta(scaled(every.min(SPREAD), place(name))),
    }
}

/// When a check is asked next, given when the last asking began. `random` is any number.
pub fn next(every: Duration, asked_at: DateTime<Utc>, now: DateTime<Utc>, random: u32) -> DateTime<Utc> {
    (asked_at + delta(every) + delta(scaled(every / 10, random))).max(now)
}

/// Whether what is known of a check is too old to be called its state: it should have been asked again, and the answer
/// should be here.
pub fn is_stale(every: Duration, timeout: Duration, asked_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - asked_at > delta(every + every / 10 + timeout)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(millis)
    }

    #[test]
    fn the_first_askings_are_spread_and_the_same_every_time() {
        let every = Duration::from_secs(30);
        let dues: Vec<_> =
            (0..100).map(|n| first(&format!("system-a/service-{n}/running"), every, None, at(0))).collect();
        for tenth in 0..10 {
            let here = dues.iter().filter(|due| **due >= at(tenth * 3_000) && **due < at((tenth + 1) * 3_000)).count();
            assert!((2..=25).contains(&here), "{here} of 100 in the tenth part {tenth}");
        }
        assert_eq!(first("a", every, None, at(0)), first("a", every, None, at(0)));
    }

    #[test]
    fn a_restart_goes_on_from_the_last_asking() {
        let every = Duration::from_secs(30);
        assert_eq!(first("a", every, Some(at(0)), at(10_000)), at(30_000));
        assert!(first("a", every, Some(at(0)), at(100_000)) >= at(100_000), "what was missed is not made up for");
        assert!(first("a", every, Some(at(9_000_000)), at(0)) <= at(30_000), "a clock that was set back");
    }

    #[test]
    fn checks_that_hang_leave_places_to_those_that_answer() {
        let mut places = Places::default();
        let mut fill = |pace, most| {
            for _ in 0..most {
                assert!(places.is_free(pace), "{places:?}");
                places.hold(pace);
            }
            assert!(!places.is_free(pace), "{places:?}");
        };
        fill(Pace::Slow, 8);
        fill(Pace::New, 4);
        fill(Pace::Quick, 4);
    }

    #[test]
    fn who_takes_the_whole_timeout_or_seconds_is_slow() {
        let millis = Duration::from_millis;
        assert_eq!(Pace::of(millis(500), millis(500)), Pace::Slow);
        assert_eq!(Pace::of(millis(1_999), millis(30_000)), Pace::Quick);
        assert_eq!(Pace::of(millis(2_000), millis(30_000)), Pace::Slow);
    }

    #[test]
    fn what_is_older_than_interval_and_timeout_is_stale() {
        let (every, timeout) = (Duration::from_secs(30), Duration::from_secs(5));
        assert!(!is_stale(every, timeout, at(0), at(38_000)));
        assert!(is_stale(every, timeout, at(0), at(38_001)));
    }

    proptest! {
        #[test]
        fn the_next_asking_is_never_early_and_at_most_a_tenth_late(
            every in 1_u64..3_600_000, took in 0_i64..7_200_000, random: u32
        ) {
            let every = Duration::from_millis(every);
            let now = at(took);
            let due = next(every, at(0), now, random);
            prop_assert!(due >= at(0) + delta(every) && due >= now);
            prop_assert!(due <= (at(0) + delta(every + every / 10)).max(now));
        }

        #[test]
        fn the_first_asking_is_within_one_interval(
            every in 1_u64..3_600_000, asked in prop::option::of(-9_000_000_i64..9_000_000), name in "[a-z/-]{1,30}"
        ) {
            let every = Duration::from_millis(every);
            let due = first(&name, every, asked.map(at), at(0));
            prop_assert!(due >= at(0) && due <= at(0) + delta(every));
        }
    }
}

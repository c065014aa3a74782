//! The clock: the database's time at connect plus monotonic time.
//!
//! All SQL takes its `$now` from here, so that one process has one time and no statement reads another. A wall clock
//! that jumps on this machine changes nothing; the database's is compared from time to time, and a jump is an event.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

/// A clock. Cheap to clone; clones share their offset.
#[derive(Debug, Clone)]
pub struct Clock {
    base: DateTime<Utc>,
    began: Instant,
    offset_micros: Arc<AtomicI64>,
}

impl Clock {
    /// Starts a clock that says `now` now.
    pub fn starting_at(now: DateTime<Utc>) -> Self {
        Self { base: now, began: Instant::now(), offset_micros: Arc::new(AtomicI64::new(0)) }
    }

    /// What time it is, to the microsecond, as Postgres keeps it.
    pub fn now(&self) -> DateTime<Utc> {
        let elapsed = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        let offset = self.offset_micros.load(Ordering::Relaxed);
        let micros = self.base.timestamp_micros().saturating_add(elapsed).saturating_add(offset);
        DateTime::from_timestamp_micros(micros).unwrap_or(self.base)
    }

    /// Moves the clock: after a jump of the database's, or by hand in a test.
    pub fn shift(&self, by: TimeDelta) {
        self.offset_micros.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }

    /// How long from now until a moment; zero if it is past.
    pub fn until(&self, moment: DateTime<Utc>) -> Duration {
        (moment - self.now()).to_std().unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_on_and_can_be_moved() {
        let start = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        let clock = Clock::starting_at(start);
        assert!(clock.now() >= start);
        let other = clock.clone();
        other.shift(TimeDelta::hours(1));
        assert!(clock.now() >= start + TimeDelta::hours(1));
        assert_eq!(clock.until(start), Duration::ZERO);
    }
}

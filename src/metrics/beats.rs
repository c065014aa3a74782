//! The beats of the loops: whether each still goes round.
//!
//! A loop beats each time that it goes round, which every one does at least every few seconds, whatever the database does;
//! only one that hangs is silent. A loop that was never started is not missed.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A loop of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// Claims runs and keeps their leases.
    Engine,
    /// Expiry, dead predecessors, the clock.
    Housekeeping,
    /// Wakes people while nobody decides.
    Escalation,
    /// Asks the checks that are due.
    Checks,
    /// Looks whether the catalog changed.
    Catalog,
    /// Gives events their places.
    Sequencer,
    /// Tells the rooms from the ledger.
    RoomSink,
    /// Sends what waits in the outbox.
    Sender,
    /// Makes and furnishes the channels of incidents.
    IncidentRooms,
}

impl Loop {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Engine,
        Self::Housekeeping,
        Self::Escalation,
        Self::Checks,
        Self::Catalog,
        Self::Sequencer,
        Self::RoomSink,
        Self::Sender,
        Self::IncidentRooms,
    ];

    /// Its name as a label.
    pub fn key(self) -> &'static str {
        match self {
            Self::Engine => "engine",
            Self::Housekeeping => "housekeeping",
            Self::Escalation => "escalation",
            Self::Checks => "checks",
            Self::Catalog => "catalog",
            Self::Sequencer => "sequencer",
            Self::RoomSink => "room_sink",
            Self::Sender => "sender",
            Self::IncidentRooms => "incident_rooms",
        }
    }

    /// Its name for people, with its article.
    pub fn title(self) -> &'static str {
        match self {
            Self::Engine => "the engine",
            Self::Housekeeping => "housekeeping",
            Self::Escalation => "escalation",
            Self::Checks => "the watch over the checks",
            Self::Catalog => "the catalog's watch",
            Self::Sequencer => "the sequencer",
            Self::RoomSink => "the room's sink",
            Self::Sender => "the sender",
            Self::IncidentRooms => "the channels of incidents",
        }
    }
}

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// When each last beat, in milliseconds since the beginning, plus one; zero: never.
static LAST: [AtomicU64; Loop::ALL.len()] = [const { AtomicU64::new(0) }; Loop::ALL.len()];

fn now() -> u64 {
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
}

/// A loop goes round.
pub fn beat(of: Loop) {
    LAST[of as usize].store(now(), Ordering::Relaxed);
}

/// How long each loop that was started has been silent.
pub fn silences() -> Vec<(Loop, Duration)> {
    let now = now();
    let silence = |of: Loop| match LAST[of as usize].load(Ordering::Relaxed) {
        0 => None,
        last => Some((of, Duration::from_millis(now.saturating_sub(last)))),
    };
    Loop::ALL.into_iter().filter_map(silence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_has_a_place_of_its_own() {
        for (place, of) in Loop::ALL.into_iter().enumerate() {
            assert_eq!(of as usize, place);
        }
    }

    #[test]
    fn a_loop_that_beats_is_not_silent() {
        beat(Loop::Catalog);
        let silence = silences().into_iter().find(|(of, _)| *of == Loop::Catalog).expect("it has begun").1;
        assert!(silence < Duration::from_secs(60), "{silence:?}");
    }
}

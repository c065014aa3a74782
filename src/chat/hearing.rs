//! Whether the bot hears a platform, and since when not.
//!
//! What lives here: one small shared fact per workspace. What does not: who finds it out (the adapter) and who is told
//! (`/healthz`, `/readyz`, the metrics, the room after a gap).
//!
//! What "heard" means differs. Through a socket the platform gives signs of itself every few seconds, so that silence is
//! deafness. Where the platform calls us nobody may have anything to say for days: there it hears as long as its listener
//! serves, and the time of the last sign tells only when somebody last spoke.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What is known of one workspace.
#[derive(Debug)]
pub struct Hearing {
    workspace: String,
    /// When there was last a sign that what is said arrives; `None` before the first.
    heard: Mutex<Option<Instant>>,
    /// Since when it is known to be deaf; `None` while it hears.
    deaf: Mutex<Option<Instant>>,
    /// Channels of declared rooms in which the bot is not, or in which nothing can be said.
    closed: Mutex<BTreeSet<String>>,
}

impl Hearing {
    /// Of a workspace that nobody listens to yet: deaf from now on.
    pub fn new(workspace: impl Into<String>) -> Self {
        let (heard, closed) = (Mutex::default(), Mutex::default());
        Self { workspace: workspace.into(), heard, deaf: Mutex::new(Some(Instant::now())), closed }
    }

    /// Which one, as `platform:workspace`.
    pub fn workspace(&self) -> &str {
        &self.workspace
    }

    /// A sign that it hears.
    pub fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        *self.deaf.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// It hears nothing from now on.
    pub fn lost(&self) {
        let mut deaf = self.deaf.lock().unwrap_or_else(PoisonError::into_inner);
        deaf.get_or_insert_with(Instant::now);
    }

    /// For how long it has been deaf; `None`: it hears.
    pub fn deaf_for(&self) -> Option<Duration> {
        self.deaf.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// How long ago there was the last sign; `None`: there was none yet.
    pub fn last_heard(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// For how long nothing has been heard, if it is deaf; `None`: it hears. What went silent was silent for a while before
    /// that was noticed.
    pub fn silent_for(&self) -> Option<Duration> {
        let deaf = self.deaf_for()?;
        Some(self.last_heard().unwrap_or(deaf))
    }

    /// A declared room turned out to be closed to the bot, by its channel: it is not in there, or the room is archived.
    /// Returns whether that is news.
    pub fn close_room(&self, channel: &str) -> bool {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).insert(channel.to_owned())
    }

    /// A room is open to it.
    pub fn open_room(&self, channel: &str) {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).remove(channel);
    }

    /// How many declared rooms are known to be closed to it.
    pub fn closed_rooms(&self) -> usize {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_deaf_until_it_hears_and_from_when_it_is_lost() {
        let hearing = Hearing::new("slack:T1");
        assert!(hearing.deaf_for().is_some() && hearing.last_heard().is_none());
        hearing.heard();
        assert!(hearing.deaf_for().is_none() && hearing.last_heard().is_some());
        hearing.lost();
        let first = hearing.deaf_for();
        hearing.lost();
        assert!(first.is_some() && hearing.deaf_for() >= first, "it counts from the first");
        assert_eq!(hearing.workspace(), "slack:T1");
    }

    #[test]
    fn what_went_silent_was_silent_before_that_was_noticed() {
        let hearing = Hearing::new("slack:T1");
        assert!(hearing.silent_for().is_some(), "since the start");
        hearing.heard();
        assert_eq!(hearing.silent_for(), None);
        let before = hearing.last_heard();
        hearing.lost();
        assert!(hearing.silent_for() >= before && hearing.silent_for() >= hearing.deaf_for());
    }

    #[test]
    fn a_room_is_closed_until_it_is_open() {
        let hearing = Hearing::new("slack:T1");
        for channel in ["C1", "C2", "C1"] {
            hearing.close_room(channel);
        }
        assert_eq!(hearing.closed_rooms(), 2);
        hearing.open_room("C1");
        hearing.open_room("C1");
        assert_eq!(hearing.closed_rooms(), 1);
    }
}

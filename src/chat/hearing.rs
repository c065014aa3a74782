//! Whether the bot hears a platform, and since when not.
//!
//! What lives here: one small shared fact per workspace. What does not: who finds it out (the adapter) and who is told
//! (`/readyz`, the metrics, the room after a gap).

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// What is known of one workspace.
#[derive(Debug)]
pub struct Hearing {
    workspace: String,
    /// When there was last a sign that what is said arrives; `None` before the first.
    heard: Mutex<Option<Instant>>,
    /// Since when it is known to be deaf; `None` while it hears.
    deaf: Mutex<Option<Instant>>,
}

impl Hearing {
    /// Of a workspace that nobody listens to yet: deaf from now on.
    pub fn new(workspace: impl Into<String>) -> Self {
        Self { workspace: workspace.into(), heard: Mutex::default(), deaf: Mutex::new(Some(Instant::now())) }
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
    pub fn deaf_for(&self) -> Option<std::time::Duration> {
        self.deaf.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }

    /// How long ago there was the last sign; `None`: there was none yet.
    pub fn last_heard(&self) -> Option<std::time::Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
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
}

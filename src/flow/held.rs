//! The lease of a loop of which one process at a time does the work.
//!
//! What lives here: keeping it while the loop goes round. What does not: what the loop may write without it. The lease
//! spares work; what must not happen twice is guarded where it is written.

use std::time::Duration;

use tokio::time::Instant;

use super::App;
use crate::store::WorkerId;
use crate::text;

/// A lease by name.
pub(super) struct Held {
    name: &'static str,
    until: Option<Instant>,
}

impl Held {
    /// Of nothing so far.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, until: None }
    }

    /// Takes or renews it when a third of it has passed. Whether this process has it.
    pub(super) async fn keep(&mut self, app: &App, me: WorkerId, lease: Duration) -> bool {
        let now = Instant::now();
        if self.until.is_none_or(|until| now + lease * 2 / 3 >= until) {
            self.until = match app.store.take_lease(self.name, me, lease).await {
                Ok(taken) => taken.map(|_| now + lease),
                Err(error) => {
                    tracing::error!(error = %text::chain(&error), lease = self.name, "a loop has no lease");
                    None
                }
            };
        }
        self.until.is_some()
    }
}

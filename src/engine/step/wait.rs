//! `wait`: lets time pass.
//!
//! What is left after a restart is waited for, counted from the first attempt: a bot that is restarted in the middle of ten
//! minutes does not make them twenty.

use std::time::Duration;

use super::super::output::Capture;
use super::{Context, End, Seen, unless_ordered};
use crate::model::run::Outcome;

/// Waits `time` less what was `waited` already; an order ends it at once.
pub(super) async fn execute(time: Duration, waited: Duration, context: &Context) -> End {
    match unless_ordered(tokio::time::sleep(time.saturating_sub(waited)), context).await {
        Ok(()) => End::Seen(Seen {
            outcome: Outcome::Succeeded,
            exit_code: None,
            summary: format!("waited {} s", time.as_secs_f64()),
            output: Capture::default(),
            checks: Vec::new(),
        }),
        Err(given) => End::Ordered(given),
    }
}

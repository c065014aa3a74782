//! What asking over the network comes to, and what that means for a check and for a step.
//!
//! What lives here: the answers that `http` and `tcp` share, and looking a name up. What does not: either protocol. Keeps
//! I3: a request that may have been received and whose answer was not seen is never told as failed when sending it again
//! might harm.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{ToSocketAddrs, lookup_host};
use tokio::time::{Instant, timeout_at};

use super::super::next::repeatable;
use super::super::output::Capture;
use super::{Context, End, Seen};
use crate::model::event::Health;
use crate::model::plan::PlanStep;
use crate::model::run::Outcome;

/// What came of asking. The output was redacted as it was read; the texts may name what was asked for, and are redacted by
/// whoever passes them on.
#[derive(Debug)]
pub(super) enum Asked {
    /// It answered as expected.
    Good { detail: String, output: Capture },
    /// It answered otherwise, or took no connection. Nothing of it is in doubt.
    Bad { detail: String, output: Capture },
    /// It could not be asked: a fault on the way or of ours, which says nothing about it. Nothing was sent.
    Unasked(String),
    /// It was asked, and no whole answer was seen: it may have done what it was asked for.
    Unseen { why: String, how: Missed, output: Capture },
}

/// How an answer was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    /// It did not come in time.
    TooLate,
    /// The connection broke.
    Broken,
}

impl Asked {
    /// What it means for a check: what does not serve is critical, what could not be asked is unknown.
    pub(super) fn health(self) -> (Health, String, Capture) {
        match self {
            Self::Good { detail, output } => (Health::Ok, detail, output),
            Self::Bad { detail, output } | Self::Unseen { why: detail, output, .. } => {
                (Health::Critical, detail, output)
            }
            Self::Unasked(why) => (Health::Unknown, why, Capture::default()),
        }
    }

    /// What it means for a step.
    pub(super) fn end(self, step: &PlanStep, context: &Context) -> End {
        let seen = |outcome, summary: String, output| {
            let summary = context.secrets.redact(&summary);
            End::Seen(Seen { outcome, exit_code: None, summary, output, checks: Vec::new() })
        };
        match self {
            Self::Good { detail, output } => seen(Outcome::Succeeded, detail, output),
            Self::Bad { detail, output } => seen(Outcome::Failed, detail, output),
            Self::Unasked(why) => seen(Outcome::Failed, why, Capture::default()),
            Self::Unseen { why, .. } if !repeatable(step) => End::Unseen(context.secrets.redact(&why)),
            Self::Unseen { why, how: Missed::TooLate, output } => seen(Outcome::TimedOut, why, output),
            Self::Unseen { why, how: Missed::Broken, output } => seen(Outcome::Failed, why, output),
        }
    }
}

/// The sentence for an answer that did not come in time.
pub(super) fn no_answer(timeout: Duration) -> String {
    format!("no answer within {} s", timeout.as_secs_f64())
}

/// Every address of a name.
///
/// # Errors
/// A sentence that says why there is none; the name could not be asked for then.
pub(super) async fn resolve(
    name: &str,
    what: impl ToSocketAddrs,
    deadline: Instant,
) -> Result<Vec<SocketAddr>, String> {
    let found: Vec<SocketAddr> = match timeout_at(deadline, lookup_host(what)).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(error)) => return Err(format!("the address of {name} is not known: {error}")),
        Err(_) => return Err(format!("the address of {name} could not be found in time")),
    };
    if found.is_empty() { Err(format!("the address of {name} is not known")) } else { Ok(found) }
}

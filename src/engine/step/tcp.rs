//! `tcp`: opens a connection and closes it again.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::super::output::Capture;
use super::net::{Asked, Missed, no_answer, resolve};
use super::{Context, Orders, unless_ordered};
use crate::model::catalog::TcpAsk;

/// Tries every address that the name has until one takes the connection. Each gets an equal part of the time that is left,
/// so that one that swallows everything does not hide the next.
///
/// # Errors
/// What was ordered, when that ended it.
pub(super) async fn ask(
    ask: &TcpAsk,
    deadline: Instant,
    timeout: Duration,
    context: &Context,
) -> Result<Asked, Orders> {
    unless_ordered(connect(&ask.address, deadline, timeout), context).await
}

async fn connect(address: &str, deadline: Instant, timeout: Duration) -> Asked {
    let addresses = match resolve(address, address, deadline).await {
        Ok(addresses) => addresses,
        Err(why) => return Asked::Unasked(why),
    };
    let mut worst = None;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for one in addresses {
        let now = Instant::now();
        let until = now + deadline.saturating_duration_since(now) / left;
        left = left.saturating_sub(1).max(1);
        let failed = match timeout_at(until, TcpStream::connect(one)).await {
            Ok(Ok(_connection)) => {
                return Asked::Good { detail: format!("{address} takes connections"), output: Capture::default() };
            }
            Ok(Err(error)) => match error.kind() {
                ErrorKind::ConnectionRefused => bad(format!("{address} refuses the connection")),
                ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
                    bad(format!("{address} breaks the connection off"))
                }
                ErrorKind::TimedOut => late(timeout),
                _ => Asked::Unasked(format!("no way to {address}: {error}")),
            },
            Err(_) => late(timeout),
        };
        // What one address says for certain is worth more than that another could not be asked.
        if !matches!((&worst, &failed), (Some(_), Asked::Unasked(_))) {
            worst = Some(failed);
        }
    }
    worst.unwrap_or_else(|| Asked::Unasked(format!("{address} has no address")))
}

fn bad(detail: String) -> Asked {
    Asked::Bad { detail, output: Capture::default() }
}

fn late(timeout: Duration) -> Asked {
    Asked::Unseen { why: no_answer(timeout), how: Missed::TooLate, output: Capture::default() }
}

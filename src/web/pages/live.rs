//! Tells open pages that there is something new: Server-Sent Events that name how far ledger and rooms have come.
//!
//! An event says nothing but that, so a stream needs no rights of its own: the page asks for itself again, as its reader
//! may see it. Streams resume: a browser names the last event that it got, or the mark that its page was made at, and is
//! told at once if there is more.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::extract::Query;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::super::{Shared, stopped};
use super::Wrong;
use super::visitor::Guest;
use crate::model::id::{OutboxId, Position};
use crate::store::{Listener, Mark, Topic};

/// Streams at once: more than any trial has pages.
static STREAMS: Semaphore = Semaphore::const_new(256);

/// How often it looks without being woken: another process may have written.
const POLL: Duration = Duration::from_secs(1);

/// The shortest pause between two events, so that a busy ledger is few of them.
const APART: Duration = Duration::from_millis(150);

/// How often a stream says that it lives. A page takes it for lost after some of these.
const BEAT: Duration = Duration::from_secs(5);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/live", get(live))
}

#[derive(Debug, Deserialize)]
struct LiveQuery {
    #[serde(default)]
    after: String,
}

fn read_mark(text: &str) -> Option<Mark> {
    let (position, message) = text.split_once('.')?;
    Some(Mark { position: Position(position.parse().ok()?), message: OutboxId(message.parse().ok()?) })
}

struct Stream {
    web: Shared,
    wake: Listener,
    /// What the page shows; `None`: nobody knows, so it is told.
    told: Option<Mark>,
    told_at: Instant,
    beat_at: Instant,
    _one: tokio::sync::SemaphorePermit<'static>,
}

async fn live(Guest { web, .. }: Guest, Query(query): Query<LiveQuery>, headers: HeaderMap) -> Result<Response, Wrong> {
    let one = STREAMS.try_acquire().map_err(|_| {
        Wrong::new(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "Too many pages are open. Close some, or reload by hand.",
        )
    })?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let told = last.and_then(read_mark).or_else(|| read_mark(&query.after));
    let wake = web.state.store.hub().listen(Topic::Settled);
    let now = Instant::now();
    let stream = Stream { web, wake, told, told_at: now, beat_at: now, _one: one };
    let events = futures_util::stream::unfold(stream, |mut stream| async {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(20))).into_response())
}

/// An event of a kind. It carries a word, as browsers drop an event without data unheard.
fn event(kind: &str) -> Event {
    Event::default().event(kind).data(kind)
}

impl Stream {
    /// The next event; `None` when the server ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            match self.web.state.store.live_mark().await {
                Ok(mark) if self.told != Some(mark) => {
                    self.told = Some(mark);
                    (self.told_at, self.beat_at) = (Instant::now(), Instant::now());
                    let id = format!("{}.{}", mark.position, mark.message);
                    return Some(event("changed").id(id));
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(error = %crate::text::chain(&error), "a page cannot be told what is new"),
            }
            if self.beat_at.elapsed() >= BEAT {
                self.beat_at = Instant::now();
                return Some(event("beat"));
            }
            tokio::select! {
                () = self.wake.wait(POLL) => {}
                () = stopped(self.web.stop.clone()) => return None,
            }
            tokio::time::sleep(APART.saturating_sub(self.told_at.elapsed())).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_two_numbers() {
        assert_eq!(read_mark("12.7"), Some(Mark { position: Position(12), message: OutboxId(7) }));
        for wrong in ["", "12", "12.", ".7", "a.b", "1.2.3"] {
            assert_eq!(read_mark(wrong), None, "{wrong}");
        }
    }
}

//! Reading on as it happens: the ledger's events, and the messages of a room.
//!
//! What lives here: two routes that wait until there is more. What does not: what an event says (`text`, in whoever asks),
//! and following one line to its end (`follow`). Both are resumed by a number that the reader keeps, so a broken
//! connection loses nothing (I5).
//!
//! How many may do that at once is bounded, and so is how many of them ask the database at the same moment.
//!
//! The ledger is asked by long polling: a question waits until there is something after a place. The room is a stream,
//! as its messages come in an order that is not quite that of their numbers.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio::time::{Instant, sleep_until};

use super::follow::told_live;
use super::rooms::{PAGE, RoomPath, account, known_room, room_of, told};
use super::wire::{EventTold, EventsTold, Told};
use super::{Refusal, Shared, stopped};
use crate::chat::room::Posted;
use crate::model::chat::{Account, RoomAddress};
use crate::model::id::{OutboxId, Position};
use crate::store::{Chained, StoreError, Topic};

/// Events in one answer, unless fewer are asked for.
const EVENTS: i64 = 100;

/// The most events in one answer.
const MOST_EVENTS: i64 = 500;

/// The longest wait of one question: short enough for whatever stands between and drops silent connections.
const MOST_WAIT_MS: u64 = 60_000;

/// How often it looks without being woken: another process may do the work.
const POLL: Duration = Duration::from_secs(1);

/// After how long without a message a stream writes an empty line, so that a dead connection is noticed.
const BEAT: Duration = Duration::from_secs(15);

/// How far numbers may be out of order: a message is made before its transaction commits, and another may overtake it.
const OVERLAP: i64 = 64;

/// How many may read on at once: room streams, and questions that wait. More than any trial has readers.
pub(super) const READERS: usize = 256;

/// How many of them may look at the database at the same moment: the rest of its connections is for those who act.
const LOOKING: usize = 2;

/// The bounds that all who read on share.
#[derive(Debug)]
pub(crate) struct Readers {
    places: Arc<Semaphore>,
    looking: Semaphore,
}

impl Default for Readers {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(READERS)), looking: Semaphore::new(LOOKING) }
    }
}

impl Readers {
    /// A place for one more, or a refusal.
    fn place(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let sentence = format!("{READERS} readers are connected already, and no more are served; try again later");
            Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
        })
    }

    /// Looks at the database when it is this reader's turn.
    async fn look<T>(&self, looking: impl Future<Output = T>) -> T {
        // Nobody closes it, so there always is a turn.
        let _turn = self.looking.acquire().await;
        looking.await
    }
}

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/api/v1/events", get(list_events)).route("/api/v1/rooms/{room}/stream", get(stream_messages))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EventsQuery {
    #[serde(default)]
    after: i64,
    limit: Option<i64>,
    #[serde(default)]
    wait_ms: u64,
    room: Option<String>,
}

async fn list_events(
    State(web): State<Shared>,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let wants = "the events want `after`, a position, and perhaps `limit`, `wait_ms` and `room`";
    let Query(query) = query.map_err(|_| Refusal::wrong(wants))?;
    let limit = query.limit.unwrap_or(EVENTS);
    if !(1..=MOST_EVENTS).contains(&limit) {
        return Err(Refusal::wrong(format!("`limit` is from 1 to {MOST_EVENTS}")));
    }
    if query.wait_ms > MOST_WAIT_MS {
        return Err(Refusal::wrong(format!("`wait_ms` is at most {MOST_WAIT_MS}")));
    }
    let room = query.room.map(|room| room_of(&web, room)).transpose()?;
    let deadline = Instant::now() + Duration::from_millis(query.wait_ms);
    let mut after = Position(query.after);
    // Who does not wait is answered as any other question.
    let _place = if query.wait_ms > 0 { Some(web.readers.place()?) } else { None };
    // Listening before looking: what comes in between wakes.
    let mut wake = web.state.store.hub().listen(Topic::Chained);
    loop {
        let found = web.readers.look(web.state.store.list_chained_for(after, room.as_ref(), limit)).await;
        let Chained { head, up_to, rows } = found.map_err(|error| Refusal::failed(&error))?;
        // What is not for this reader is not looked at twice.
        after = up_to;
        let left = deadline.saturating_duration_since(Instant::now());
        if !rows.is_empty() || left.is_zero() || *web.stop.borrow() {
            let events = rows.iter().filter_map(EventTold::new).collect();
            let told = EventsTold { now: web.state.store.clock().now(), head, up_to, events };
            return Ok(([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response());
        }
        tokio::select! {
            () = wake.wait(left.min(POLL)) => {}
            () = stopped(web.stop.clone()) => {}
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamQuery {
    #[serde(rename = "as")]
    speaker: String,
    after: Option<i64>,
}

async fn stream_messages(
    State(web): State<Shared>,
    room: RoomPath,
    query: Result<Query<StreamQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let room = known_room(&web, room)?;
    let Query(query) =
        query.map_err(|_| Refusal::wrong("the stream wants `as`, a person, and perhaps `after`, a number"))?;
    let reader = account(&query.speaker)?;
    let place = web.readers.place()?;
    // Listening before looking, here as well.
    let live = web.state.room.listen();
    let store = &web.state.store;
    let newest = store.newest_sent(&room).await.map_err(|error| Refusal::failed(&error))?;
    let start = query.after.map_or(newest, OutboxId);
    let mut stream = RoomStream {
        live,
        room,
        reader,
        start,
        newest: start,
        seen: BTreeSet::new(),
        ready: VecDeque::new(),
        behind: true,
        looked: Instant::now(),
        wrote: Instant::now(),
        ended: false,
        web,
        _place: place,
    };
    // Where it begins, for whoever resumes before any message came.
    stream.write(format!("{{\"from\":{start}}}").into_bytes());
    let body = Body::from_stream(futures_util::stream::unfold(stream, |mut stream| async {
        let next = stream.next().await?;
        Some((Ok::<_, Infallible>(next), stream))
    }));
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

/// The messages of a room from a number on, each once, for as long as somebody reads.
struct RoomStream {
    web: Shared,
    live: broadcast::Receiver<Posted>,
    room: RoomAddress,
    reader: Account,
    /// Nothing up to here is told.
    start: OutboxId,
    /// The newest that was told, or is not for this reader.
    newest: OutboxId,
    /// Which of the last [`OVERLAP`] numbers were; older ones come no more.
    seen: BTreeSet<OutboxId>,
    ready: VecDeque<Bytes>,
    /// Whether live listening may have missed something.
    behind: bool,
    looked: Instant,
    wrote: Instant,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl RoomStream {
    /// The next line of the stream; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.ended {
                return None;
            }
            if self.behind {
                if let Err(error) = self.catch_up().await {
                    tracing::warn!(room = %self.room, %error, "a room cannot be read; whoever reads it asks again");
                    self.ended = true;
                }
                continue;
            }
            if self.wrote.elapsed() >= BEAT {
                self.write(Vec::new());
                continue;
            }
            tokio::select! {
                biased;
                () = stopped(self.web.stop.clone()) => self.ended = true,
                posted = self.live.recv() => match posted {
                    Ok(posted) if posted.room == self.room => {
                        if self.is_new(posted.id)
                            && let Some(told) = told_live(posted, &self.reader)
                        {
                            self.tell(&told);
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => self.behind = true,
                    // Not while the state holds the room.
                    Err(RecvError::Closed) => self.ended = true,
                },
                () = sleep_until(self.looked + POLL) => self.behind = true,
            }
        }
    }

    /// Takes from the outbox what live listening may have missed.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let looking = self.web.state.store.list_sent(&self.room, self.low(), PAGE);
        let rows = self.web.readers.look(looking).await?;
        // A page has more rows than may be seen already: with each the reader comes further, at its own pace.
        self.behind = i64::try_from(rows.len()).is_ok_and(|rows| rows >= PAGE);
        for row in rows {
            if self.is_new(row.id)
                && let Some(told) = told(row, &self.reader)
            {
                self.tell(&told);
            }
        }
        self.looked = Instant::now();
        Ok(())
    }

    /// Below it nothing is looked for any more.
    fn low(&self) -> OutboxId {
        self.start.max(OutboxId(self.newest.0.saturating_sub(OVERLAP)))
    }

    fn is_new(&mut self, id: OutboxId) -> bool {
        if id <= self.low() || !self.seen.insert(id) {
            return false;
        }
        self.newest = self.newest.max(id);
        let low = self.low();
        self.seen.retain(|seen| *seen > low);
        true
    }

    fn tell(&mut self, told: &Told) {
        match serde_json::to_vec(told) {
            Ok(line) => self.write(line),
            Err(error) => {
                tracing::error!(%error, "a line of a stream cannot be written");
                self.ended = true;
            }
        }
    }

    fn write(&mut self, mut line: Vec<u8>) {
        line.push(b'\n');
        self.ready.push_back(line.into());
        self.wrote = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_readers_and_no_more() {
        let readers = Readers::default();
        let mut places: Vec<_> = (0..READERS).map(|_| readers.place().expect("a place")).collect();
        let refusal = readers.place().expect_err("it is full");
        assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
        insta::assert_snapshot!(refusal.sentence, @"256 readers are connected already, and no more are served; try again later");
        places.pop();
        assert!(readers.place().is_ok(), "one has gone");
    }

    #[tokio::test]
    async fn they_take_turns_at_the_database() {
        let readers = Readers::default();
        let (now, most) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
        let look = || {
            readers.look(async {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                tokio::task::yield_now().await;
                now.set(now.get() - 1);
            })
        };
        futures_util::future::join_all((0..50).map(|_| look())).await;
        assert_eq!(most.get(), LOOKING);
    }
}

//! Coming back to a room: what was said meanwhile is kept, what is too late to do is told once; and news of rooms.
//!
//! What lives here: since when a room has not been heard, taking what was found in its history, and the end of the gap.
//! What does not: reading a history (`chat`), and the words (`text`).
//!
//! A line that was found and is young enough acts as if it had been heard, in the same transaction as ever. One that is too
//! late, or was edited, is recorded without a word, and a command among them is noted as waiting to be told. The end of the
//! gap takes those notes away and records `WasAway` with them in one transaction (I4), from which the room's sink tells the
//! room (I5): whoever is killed in between leaves the notes and the position as they were, and the next start goes on.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::App;
use crate::chat::{Attendance, FoundInRoom, Gap, NewsReceived, ReceiveError};
use crate::model::chat::{Incoming, RoomAddress, RoomChange, RoomNews};
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::store::StoreError;
use crate::text;

/// How much before the position a reading begins.
const OVERLAP: TimeDelta = TimeDelta::hours(1);
/// A gap that is shorter is not told when nothing was left undone in it.
const WORTH_TELLING: TimeDelta = TimeDelta::minutes(2);
/// How much of what was not done is named.
const NAMED: usize = 10;
/// Threads that are asked for in each room: those in which something waits or goes on, and those in which people wrote not
/// long before the gap.
const THREADS: i64 = 12;
const LIVELY_FOR: TimeDelta = TimeDelta::hours(6);
/// How far our clock and the database's may be apart for an age to be believed. Housekeeping brings them together.
const CLOCKS_APART: i64 = 2_000;

impl Attendance for App {
    fn gaps<'a>(&'a self, workspace: &'a str) -> BoxFuture<'a, Result<Vec<Gap>, ReceiveError>> {
        // Said by whoever asked, who asks again.
        self.list_gaps(workspace).map(|gaps| gaps.map_err(|error| ReceiveError(error.into()))).boxed()
    }

    fn caught_up<'a>(&'a self, found: FoundInRoom) -> BoxFuture<'a, Result<(), ReceiveError>> {
        self.take_found(found).boxed()
    }

    fn present<'a>(
        &'a self,
        rooms: &'a [RoomAddress],
        until: chrono::DateTime<chrono::Utc>,
    ) -> BoxFuture<'a, Result<(), ReceiveError>> {
        self.store.set_rooms_heard(rooms, until).map(|done| done.map_err(|error| ReceiveError(error.into()))).boxed()
    }
}

/// Logs what failed: whoever asked only asks again.
fn kept<T>(result: Result<T, StoreError>) -> Result<T, ReceiveError> {
    result.map_err(|error| {
        tracing::error!(error = %text::chain(&error), "what was said while nobody listened could not be dealt with");
        ReceiveError(error.into())
    })
}

impl App {
    async fn list_gaps(&self, workspace: &str) -> Result<Vec<Gap>, StoreError> {
        // After this machine was asleep our clock is behind until housekeeping sets it: what is old would look young.
        let apart = self.store.clock_apart().await?;
        if apart.abs() > CLOCKS_APART {
            return Err(StoreError::Refused(format!(
                "our clock is {apart} ms off the database's, and is to be set first"
            )));
        }
        let in_use = self.in_use();
        let of_workspace =
            |room: &&RoomAddress| workspace.split_once(':') == Some((room.platform.as_str(), room.workspace.as_str()));
        let mut gaps = Vec::new();
        // Every line is heard in the channels of incidents as well.
        let own = self.store.list_incident_rooms().await?;
        let declared = in_use.catalog.rooms.values().map(|room| &room.address);
        for room in declared.chain(&own).filter(of_workspace) {
            let heard = self.store.find_room_heard(room).await?;
            let since = heard.map(|heard| heard.known_from.max(heard.heard_until - OVERLAP));
            let threads = match since {
                Some(since) => self.store.list_lively_threads(room, since - LIVELY_FOR, THREADS).await?,
                None => Vec::new(),
            };
            gaps.push(Gap { room: room.clone(), since, threads });
        }
        Ok(gaps)
    }

    async fn take_found(&self, found: FoundInRoom) -> Result<(), ReceiveError> {
        let FoundInRoom { room, found, until, unread_until } = found;
        let keys: Vec<String> = found.iter().map(|incoming| incoming.what.key()).collect();
        let known: BTreeSet<String> = kept(self.store.list_known_keys(&room, &keys).await)?;
        let new: Vec<&Incoming> = found.iter().filter(|incoming| !known.contains(&incoming.what.key())).collect();
        for incoming in &new {
            self.receive_late(incoming).await?;
        }
        if !new.is_empty() {
            tracing::info!(%room, lines = new.len(), "what was said while nobody listened was read");
        }
        let mut tries = 0;
        loop {
            tries += 1;
            match self.close_gap(&room, until, unread_until).await {
                Err(StoreError::Database(error))
                    if tries < super::handle::TRIES && super::handle::is_collision(&error) => {}
                other => return kept(other),
            }
        }
    }

    async fn close_gap(
        &self,
        room: &RoomAddress,
        until: chrono::DateTime<chrono::Utc>,
        unread_until: Option<chrono::DateTime<chrono::Utc>>,
    ) -> Result<(), StoreError> {
        let mut tx = self.store.begin().await?;
        let gap = tx.close_gap(room, until).await?;
        let from = gap.from.unwrap_or(until).min(until);
        let unread_until = unread_until.filter(|unread| *unread > from);
        let mut not_done = gap.not_done;
        if !not_done.is_empty() || unread_until.is_some() || until - from >= WORTH_TELLING {
            let more = not_done.len().saturating_sub(NAMED);
            not_done.truncate(NAMED);
            let what = Happened::WasAway { room: room.clone(), from, to: until, not_done, more, unread_until };
            let record = Record { what, rows: Vec::new() };
            tx.record(NewEvent { scope: Scope::default(), cause: None, record });
        }
        tx.commit().await
    }

    pub(super) async fn take_news(&self, news: RoomNews) -> Result<NewsReceived, ReceiveError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.keep_news(&news).await {
                Err(StoreError::Database(error)) if tries < super::handle::TRIES && super::handle::is_collision(&error) => {}
                // Perhaps it was committed: then it is known.
                Err(error) if tries < super::handle::TRIES_OF_CONNECTIONS && error.is_cut() => {}
                other => return other.map_err(|error| {
                    tracing::error!(error = %text::chain(&error), room = %news.room, "news of a room could not be kept");
                    ReceiveError(error.into())
                }),
            }
        }
    }

    async fn keep_news(&self, news: &RoomNews) -> Result<NewsReceived, StoreError> {
        let in_use = self.in_use();
        let declared = in_use.catalog.room_at(&news.room).is_some();
        if !declared && self.store.find_incident_at(&news.room).await?.is_none() {
            tracing::debug!(room = %news.room, key = news.key, "news of a room that nobody declares");
            return Ok(NewsReceived::Undeclared);
        }
        let person = in_use.catalog.person_of(&news.account).map(|person| person.name.clone());
        let change = match &news.what {
            // I8: before storage.
            RoomChange::Renamed { name } => RoomChange::Renamed { name: in_use.secrets.redact(name) },
            other => other.clone(),
        };
        let mut tx = self.store.begin().await?;
        let Some(line) = tx.insert_news(news, person.as_ref()).await? else { return Ok(NewsReceived::Again) };
        if change == RoomChange::BotJoined {
            // What was said while it was not wanted there is not its to read.
            tx.begin_room(&news.room, news.at.min(tx.now())).await?;
        }
        let what = Happened::RoomChanged {
            room: news.room.clone(),
            at: news.at,
            account: news.account.clone(),
            person,
            change,
        };
        let record = Record { what, rows: Vec::new() };
        tx.record(NewEvent { scope: Scope::default(), cause: Some(line), record });
        tx.commit().await?;
        Ok(if declared { NewsReceived::First } else { NewsReceived::OfIncident })
    }
}

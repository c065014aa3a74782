//! Since when the bot has been away from a room, what it heard too late there, and the end of such a gap.
//!
//! What lives here: one row for each room that has a history on its platform (see `migrations`), and the lines that wait
//! to be told of. What does not: reading a history (`chat`), and whether a gap is worth telling (`flow`).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::{Inconsistent, Result, Store, Tx};
use crate::model::chat::RoomAddress;
use crate::model::event::{Missed, NotDone};
use crate::model::id::{InboxId, PersonId, ThreadId};

/// Up to when a room is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomHeard {
    /// What was said before is not asked for.
    pub known_from: DateTime<Utc>,
    /// Everything that was said up to here is in the inbox.
    pub heard_until: DateTime<Utc>,
}

/// A gap that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedGap {
    /// When it began: the bot was there until then. `None`: it was never there before.
    pub from: Option<DateTime<Utc>>,
    /// Commands of people that were found too late, in the order in which they were said. Each is told once.
    pub not_done: Vec<NotDone>,
}

impl Store {
    /// By how many milliseconds the database's clock is ahead of ours; below zero: behind. Changes nothing.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn clock_apart(&self) -> Result<i64> {
        let theirs = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(&self.loops).await?;
        Ok((theirs - self.clock().now()).num_milliseconds())
    }

    /// Up to when a room is known; `None`: the bot was never there.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_room_heard(&self, room: &RoomAddress) -> Result<Option<RoomHeard>> {
        let row = sqlx::query!("select known_from, heard_until from room_heard where room = $1", room.to_string())
            .fetch_optional(&self.loops)
            .await?;
        Ok(row.map(|row| RoomHeard { known_from: row.known_from, heard_until: row.heard_until }))
    }

    /// Notes that rooms were heard up to a moment. Never goes back, and begins no room: that is the end of a gap.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_rooms_heard(&self, rooms: &[RoomAddress], until: DateTime<Utc>) -> Result<()> {
        let rooms: Vec<String> = rooms.iter().map(ToString::to_string).collect();
        sqlx::query!(
            // In the order of the key, so that two processes do not wait for each other.
            r#"
            update room_heard set heard_until = $2 where room in (
                select room from room_heard where room = any($1) and heard_until < $2 order by room for update)
            "#,
            &rooms,
            until
        )
        .execute(&self.loops)
        .await?;
        Ok(())
    }

    /// Which of these things that were said in a room are in the inbox, by their keys.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_known_keys(&self, room: &RoomAddress, keys: &[String]) -> Result<BTreeSet<String>> {
        let known =
            sqlx::query_scalar!("select key from inbox where room = $1 and key = any($2)", room.to_string(), keys)
                .fetch_all(&self.loops)
                .await?;
        Ok(known.into_iter().collect())
    }

    /// Threads of a room in which somebody may have written while nobody listened: those of requests that wait and of runs
    /// that are not over, and those in which people wrote last. The newest first within each kind; at most `limit`.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_lively_threads(&self, room: &RoomAddress, limit: i64) -> Result<Vec<ThreadId>> {
        let threads = sqlx::query_scalar!(
            r#"
            with waiting as (
                select thread, id from request where room = $1 and state = 'pending' and thread is not null
                order by id desc limit $2
            ), going as (
                select coalesce(r.thread, p.platform_message) as thread, r.id
                from run r left join posted p on p.subject = 'run:' || r.id and p.role = 'root' and p.room = r.room
                where r.room = $1
                    and r.state in ('planned', 'awaiting_approval', 'approved', 'running', 'stuck', 'stopping')
                order by r.id desc limit $2
            ), spoken as (
                select thread, max(id) as id from (
                    select thread, id from inbox where room = $1 and thread is not null order by id desc limit 200
                ) recent group by thread
            )
            select thread as "thread!" from (
                select thread, min(rank) as rank, max(id) as id from (
                    select thread, id, 0 as rank from waiting
                    union all select thread, id, 1 from going
                    union all select thread, id, 2 from spoken
                ) every where thread is not null group by thread
            ) once order by rank, id desc limit $2
            "#,
            room.to_string(),
            limit
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(threads.into_iter().map(ThreadId::new).collect())
    }
}

impl Tx {
    /// Notes that a line is a command that was found too late: it waits to be told of.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_missed_line(&mut self, line: InboxId, room: &RoomAddress, why: Missed) -> Result<()> {
        sqlx::query!(
            "insert into missed_line (line, room, why) values ($1, $2, $3)",
            line.0,
            room.to_string(),
            why.name()
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Whether something that was said is in the inbox, by its key.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn is_known(&mut self, room: &RoomAddress, key: &str) -> Result<bool> {
        let known = sqlx::query_scalar!(
            r#"select exists (select from inbox where room = $1 and key = $2) as "known!""#,
            room.to_string(),
            key
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(known)
    }

    /// Begins to know a room at a moment: what was said before is not asked for.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn begin_room(&mut self, room: &RoomAddress, at: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            r#"
            insert into room_heard (room, known_from, heard_until) values ($1, $2, $2)
            on conflict (room) do update set known_from = $2, heard_until = greatest(room_heard.heard_until, $2)
            "#,
            room.to_string(),
            at
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Ends the gap of a room: everything that was said up to a moment is in the inbox. What was found too late is taken
    /// out of what waits to be told, so that it is told by whoever commits this, and by nobody else. Two that come back at
    /// once wait for each other here.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn close_gap(&mut self, room: &RoomAddress, until: DateTime<Utc>) -> Result<ClosedGap> {
        let address = room.to_string();
        let from = sqlx::query_scalar!("select heard_until from room_heard where room = $1 for update", address)
            .fetch_optional(&mut *self.inner)
            .await?;
        sqlx::query!(
            r#"
            insert into room_heard (room, known_from, heard_until) values ($1, $2, $2)
            on conflict (room) do update set heard_until = greatest(room_heard.heard_until, $2)
            "#,
            address,
            until
        )
        .execute(&mut *self.inner)
        .await?;
        let rows = sqlx::query!(
            r#"
            with m as (delete from missed_line where room = $1 returning line, why)
            select i.id, i.key, i.person, i.said_at, i.text, m.why from m join inbox i on i.id = m.line
            order by i.said_at, i.id
            "#,
            address
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let mut not_done = Vec::new();
        for row in rows {
            let wrong = |column| Inconsistent::at(format!("the missed line {}", row.id), column);
            not_done.push(NotDone {
                line: row.key.clone(),
                person: row.person.map(PersonId::new).ok_or_else(|| wrong("person"))?,
                said_at: row.said_at,
                text: row.text.unwrap_or_default(),
                why: Missed::named(&row.why).ok_or_else(|| wrong("why"))?,
            });
        }
        Ok(ClosedGap { from, not_done })
    }
}

//! The outbox as its sender sees it: what waits in a room, in order, and what became of it.

use chrono::{DateTime, Utc};

use super::begin::begin;
use super::{Result, Store, Topic, WorkerId};
use crate::model::chat::{Message, RoomAddress};
use crate::model::id::{InboxId, MessageId, OutboxId, RequestId, RunId, ThreadId};

/// A message that waits to be sent, or was.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// Its number: also its order in the room.
    pub id: OutboxId,
    /// In which room.
    pub room: RoomAddress,
    /// In which thread; `None` is the room itself.
    pub thread: Option<ThreadId>,
    /// Whether its thread hangs on a message that has not been sent.
    pub thread_is_open: bool,
    /// What makes it itself: origin and part. A platform that keeps metadata keeps this.
    pub key: String,
    /// The line that led to it.
    pub cause: Option<InboxId>,
    /// The message that it changes, if it changes one.
    pub edits: Option<MessageId>,
    /// Whether it changes a message that has not been sent.
    pub target_is_open: bool,
    /// What is said is only worth saying in the place of another message, or not at all.
    pub only_instead: OnlyInstead,
    /// How often it was tried.
    pub tries: i32,
    /// What.
    pub message: Message,
    /// When it was put here.
    pub created_at: DateTime<Utc>,
    /// The platform's name for it, once sent.
    pub platform_message: Option<MessageId>,
    /// Whether it is something for its subject, and so is remembered by that once sent.
    pub has_role: bool,
    /// The first of the messages with which it is told as one; `None`: it is told by itself.
    pub together: Option<OutboxId>,
}

/// Whether a message that changes another may become one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyInstead {
    /// It may, when there is nothing to change.
    No,
    /// It stands in the place of another message, or waits until that was sent.
    Yes,
    /// It would stand in the place of a message that was given up: there is nothing to say.
    OfNothing,
}

struct Row {
    id: i64,
    room: String,
    thread: Option<String>,
    thread_of: Option<String>,
    origin: String,
    part: i32,
    cause: Option<i64>,
    edits: bool,
    changes: Option<i64>,
    target: Option<String>,
    target_failed: bool,
    tries: i32,
    message: String,
    created_at: DateTime<Utc>,
    platform_message: Option<String>,
    has_role: bool,
    together: Option<i64>,
}

impl Row {
    fn read(self) -> Result<OutboxRow> {
        let wrong = |column| super::Inconsistent::at(format!("outbox {}", self.id), column);
        Ok(OutboxRow {
            id: OutboxId(self.id),
            room: self.room.parse().map_err(|_| wrong("room"))?,
            thread_is_open: self.thread_of.is_some() && self.thread.is_none(),
            thread: self.thread.map(ThreadId::new),
            key: format!("{}:{}", self.origin, self.part),
            cause: self.cause.map(InboxId),
            target_is_open: self.edits && self.target.is_none(),
            only_instead: match (self.changes, self.target_failed) {
                (None, _) => OnlyInstead::No,
                (Some(_), false) => OnlyInstead::Yes,
                (Some(_), true) => OnlyInstead::OfNothing,
            },
            edits: self.target.filter(|_| self.edits).map(MessageId::new),
            tries: self.tries,
            message: serde_json::from_str(&self.message)?,
            created_at: self.created_at,
            platform_message: self.platform_message.map(MessageId::new),
            has_role: self.has_role,
            together: self.together.map(OutboxId),
        })
    }
}

impl Store {
    /// Rooms in which something waits to be sent and the first of it may be tried now.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_rooms_with_unsent(&self) -> Result<Vec<RoomAddress>> {
        let rooms = sqlx::query_scalar!(
            r#"
            select first.room as "room!" from (
                select distinct on (room) room, next_try_at from outbox
                where sent_at is null and failed is null order by room, id
            ) first where first.next_try_at <= $1
            "#,
            self.clock().now()
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(rooms.iter().filter_map(|room| room.parse().ok()).collect())
    }

    /// The next messages of a room, in order. Empty while the first of them has to wait for its next try.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_unsent(&self, room: &RoomAddress, limit: i64) -> Result<Vec<OutboxRow>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select o.id, o.room,
                coalesce(o.thread, root.platform_message) as thread, o.thread_of, o.origin, o.part, o.cause, o.edits,
                o.changes, coalesce(target.platform_message, other.platform_message) as "target?",
                (o.changes is not null and (other.id is null or other.failed is not null)) as "target_failed!", o.tries, o.message, o.created_at, o.platform_message,
                o.role is not null as "has_role!", o.together
            from outbox o
                left join posted root on root.subject = o.thread_of and root.role = 'root' and root.room = o.room
                left join posted target on target.subject = o.subject and target.role = o.role and target.room = o.room
                    and o.edits
                left join outbox other on other.id = o.changes and other.room = o.room
            where o.room = $1 and o.sent_at is null and o.failed is null
                and not exists (select from outbox first where first.room = $1 and first.sent_at is null
                    and first.failed is null and first.id <= o.id and first.next_try_at > $2)
            order by o.id limit $3
            "#,
            room.to_string(),
            self.clock().now(),
            limit,
        )
        .fetch_all(&self.loops)
        .await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Messages of a room that were sent, after a number, oldest first: what the local room shows as its history.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_sent(&self, room: &RoomAddress, after: OutboxId, limit: i64) -> Result<Vec<OutboxRow>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select o.id, o.room,
                coalesce(o.thread, root.platform_message) as thread, o.thread_of, o.origin, o.part, o.cause, o.edits,
                o.changes, coalesce(target.platform_message, other.platform_message) as "target?",
                (o.changes is not null and (other.id is null or other.failed is not null)) as "target_failed!", o.tries, o.message, o.created_at, o.platform_message,
                o.role is not null as "has_role!", o.together
            from outbox o
                left join posted root on root.subject = o.thread_of and root.role = 'root' and root.room = o.room
                left join posted target on target.subject = o.subject and target.role = o.role and target.room = o.room
                    and o.edits
                left join outbox other on other.id = o.changes and other.room = o.room
            where o.room = $1 and o.sent_at is not null and o.id > $2
            order by o.id limit $3
            "#,
            room.to_string(),
            after.0,
            limit,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The number of the newest message that was sent to a room; 0 if there is none.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn newest_sent(&self, room: &RoomAddress) -> Result<OutboxId> {
        let newest =
            sqlx::query_scalar!("select max(id) from outbox where room = $1 and sent_at is not null", room.to_string())
                .fetch_one(&self.pool)
                .await?;
        Ok(OutboxId(newest.unwrap_or(0)))
    }

    /// Messages that a line led to and that were sent, after a number, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_sent_because_of(&self, cause: InboxId, after: OutboxId) -> Result<Vec<OutboxRow>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select o.id, o.room,
                coalesce(o.thread, root.platform_message) as thread, o.thread_of, o.origin, o.part, o.cause, o.edits,
                o.changes, coalesce(target.platform_message, other.platform_message) as "target?",
                (o.changes is not null and (other.id is null or other.failed is not null)) as "target_failed!", o.tries, o.message, o.created_at, o.platform_message,
                o.role is not null as "has_role!", o.together
            from outbox o
                left join posted root on root.subject = o.thread_of and root.role = 'root' and root.room = o.room
                left join posted target on target.subject = o.subject and target.role = o.role and target.room = o.room
                    and o.edits
                left join outbox other on other.id = o.changes and other.room = o.room
            where o.cause = $1 and o.sent_at is not null and o.id > $2
            order by o.id
            "#,
            cause.0,
            after.0,
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// Notes that messages that have no role were sent, and under which names the platform knows them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_sent_plain(&self, sent: &[(OutboxId, MessageId)]) -> Result<()> {
        let ids: Vec<i64> = sent.iter().map(|(id, _)| id.0).collect();
        let names: Vec<String> = sent.iter().map(|(_, name)| name.to_string()).collect();
        sqlx::query!(
            r#"
            update outbox o set sent_at = $1, platform_message = t.name from unnest($2::bigint[], $3::text[]) as t (id, name)
            where o.id = t.id and o.sent_at is null and o.role is null
            "#,
            self.clock().now(),
            &ids,
            &names,
        )
        .execute(&self.loops)
        .await?;
        self.hub().wake(Topic::Settled);
        Ok(())
    }

    /// Notes that messages were sent and under which names the platform knows them. In the same transaction the messages
    /// that have a role are remembered by it (also an edit that had nothing to change and so became a message of its own),
    /// and a request whose last part this was counts as posted: from now on words
    /// in its thread bind to it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_sent(&self, sent: &[(OutboxId, MessageId)]) -> Result<()> {
        let ids: Vec<i64> = sent.iter().map(|(id, _)| id.0).collect();
        let names: Vec<String> = sent.iter().map(|(_, name)| name.to_string()).collect();
        let mut tx = begin(&self.loops).await?;
        let with_role = sqlx::query_scalar!(
            r#"
            with done as (
                update outbox o set sent_at = $1, platform_message = t.name
                from unnest($2::bigint[], $3::text[]) as t (id, name)
                where o.id = t.id and o.sent_at is null
                returning o.subject, o.role, o.room, o.edits, t.name, t.id
            ), p as (
                insert into posted (subject, role, room, platform_message)
                select subject, role, room, name from done where role is not null
                on conflict (subject, role, room) do nothing
            )
            select count(*) filter (where role is not null) as "n!" from done
            "#,
            self.clock().now(),
            &ids,
            &names,
        )
        .fetch_one(&mut *tx)
        .await?;
        if with_role > 0 {
            sqlx::query!(
                r#"
                update request q set posted_at = $1,
                    thread = coalesce(q.thread, (select platform_message from posted p
                        where p.subject = 'run:' || q.run and p.role = 'root' and p.room = q.room))
                where q.state = 'pending' and q.posted_at is null
                    -- Its parts: the run's root message when it asks to start, and whatever did not fit into that.
                    -- A copy in somebody's direct messages is none of them.
                    and exists (select from outbox o where o.id = any($2)
                        and ((o.subject = 'request:' || q.id and o.role = 'request')
                            or (q.retry_step is null and o.subject = 'run:' || q.run and o.role = 'root')))
                    and not exists (select from outbox o where o.sent_at is null
                        and ((o.subject = 'request:' || q.id and o.role = 'request')
                            or (q.retry_step is null and o.subject = 'run:' || q.run and o.role = 'root')))
                "#,
                self.clock().now(),
                &ids,
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        self.hub().wake(Topic::Settled);
        Ok(())
    }

    /// Notes that messages are told as one, if the room's lease is held as named: whoever sends them from now on, after a
    /// crash too, sends them as this one. The first of them names the whole. `false`: the lease is somebody else's, or one
    /// of them is not to be told any more or is told otherwise; then nothing is noted.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_together(&self, ids: &[OutboxId], lease: &str, me: WorkerId, fence: i64) -> Result<bool> {
        let Some(first) = ids.first() else { return Ok(false) };
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let mut tx = begin(&self.loops).await?;
        // Locked, so that nobody takes it before this is committed.
        let held = sqlx::query_scalar!(
            "select fence from lease where name = $1 and holder = $2 and fence = $3 and until > $4 for update",
            lease,
            me.0,
            fence,
            self.clock().now(),
        )
        .fetch_optional(&mut *tx)
        .await?;
        if held.is_none() {
            return Ok(false);
        }
        let noted = sqlx::query!(
            r#"
            update outbox set together = $1
            where id = any($2) and sent_at is null and failed is null and together is null and role is null
            "#,
            first.0,
            &ids,
        )
        .execute(&mut *tx)
        .await?
        .rows_affected();
        if noted != ids.len() as u64 {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Takes back that messages are told as one: the platform refused it. Each is told by itself.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_apart(&self, first: OutboxId) -> Result<()> {
        sqlx::query!("update outbox set together = null where together = $1 and sent_at is null", first.0)
            .execute(&self.loops)
            .await?;
        Ok(())
    }

    /// Notes that a message was not taken, as the platform wants to be left alone until the given time; the room's later
    /// messages wait with it. It did not arrive, so this is no try after which it would be looked for.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_wait(&self, id: OutboxId, until: DateTime<Utc>) -> Result<()> {
        sqlx::query!("update outbox set next_try_at = $2 where id = $1", id.0, until).execute(&self.loops).await?;
        Ok(())
    }

    /// Notes that a message could not be sent: it is tried again at the given time, and the room's later messages wait.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_try_again(&self, id: OutboxId, at: DateTime<Utc>) -> Result<()> {
        sqlx::query!("update outbox set tries = tries + 1, next_try_at = $2 where id = $1", id.0, at)
            .execute(&self.loops)
            .await?;
        Ok(())
    }

    /// Gives a message up: the platform refused it for good. The room's later messages go on. A channel that was made for
    /// an incident is looked at: it may have been closed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_failed(&self, id: OutboxId, why: &str) -> Result<()> {
        sqlx::query!(
            r#"
            with given_up as (update outbox set failed = $2 where id = $1 returning room)
            update incident_channel c set next_try_at = $3, tries = 0, version = version + 1 from given_up
            where c.room = given_up.room and not ('archive' = any(c.done))
            "#,
            id.0,
            why,
            self.clock().now(),
        )
        .execute(&self.loops)
        .await?;
        self.hub().wake(Topic::Settled);
        Ok(())
    }

    /// Every message that shows a request of a run, in the order in which they are sent, without those that were given up:
    /// the run's root message, what of the request stands in its thread, and the copies in direct messages.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_shown(&self, run: RunId) -> Result<Vec<Shown>> {
        let rows = sqlx::query!(
            r#"
            select q.id as "request!", q.retry_step is not null as "retries!", o.id as "id!", o.room as "room!",
                o.role as "role!", o.message as "message!"
            from request q join outbox o on o.subject = 'request:' || q.id and not o.edits
            where q.run = $1 and o.role in ('request', 'direct') and o.failed is null
            union all
            select q.id, false, o.id, o.room, o.role, o.message
            from request q join outbox o on o.subject = 'run:' || q.run and not o.edits
            where q.run = $1 and q.retry_step is null and o.role = 'root' and o.failed is null
            order by 3
            "#,
            run.0
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let wrong = |column| super::Inconsistent::at(format!("outbox {}", row.id), column);
                Ok(Shown {
                    id: OutboxId(row.id),
                    room: row.room.parse().map_err(|_| wrong("room"))?,
                    request: RequestId(row.request),
                    retries: row.retries,
                    shown_as: match row.role.as_str() {
                        "root" => ShownAs::Root,
                        "request" => ShownAs::Part,
                        "direct" => ShownAs::Direct,
                        _ => return Err(wrong("role").into()),
                    },
                    message: serde_json::from_str(&row.message)?,
                })
            })
            .collect()
    }

    /// Copies of requests that wait which were given up on their way to somebody's direct messages, or have been on it since
    /// before a time, and of which the room has not been told: the first message of each.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_undelivered(&self, before: DateTime<Utc>) -> Result<Vec<(OutboxId, RoomAddress, RequestId)>> {
        let rows = sqlx::query!(
            r#"
            select min(o.id) as "id!", o.room, q.id as "request!"
            from outbox o join request q on o.subject = 'request:' || q.id and q.state = 'pending'
            where o.role = 'direct' and o.sent_at is null and not o.edits
                and (o.failed is not null or o.created_at < $1)
            group by o.room, q.id
            having not exists (select from outbox told where told.origin = 'undelivered:' || min(o.id))
            order by 1
            "#,
            before
        )
        .fetch_all(&self.loops)
        .await?;
        let wrong = |id| super::Inconsistent::at(format!("outbox {id}"), "room");
        rows.into_iter()
            .map(|row| Ok((OutboxId(row.id), row.room.parse().map_err(|_| wrong(row.id))?, RequestId(row.request))))
            .collect()
    }

    /// What has been recorded and not yet told: events that wait for the sequencer, chained events that wait for the room's
    /// sink, messages that wait to be sent.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn backlog(&self) -> Result<Backlog> {
        let row = sqlx::query!(
            r#"
            select (select count(*) from unsequenced) as "unsequenced!",
                coalesce((select max(position) from chain), 0)
                    - coalesce((select position from sink where name = 'room'), 0) as "untold!",
                (select count(*) from outbox where sent_at is null and failed is null) as "unsent!"
            "#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Backlog { unsequenced: row.unsequenced, untold: row.untold, unsent: row.unsent })
    }
}

/// A message that shows a request, or a part of one.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Its number in the outbox.
    pub id: OutboxId,
    /// In which room.
    pub room: RoomAddress,
    /// Which request.
    pub request: RequestId,
    /// Whether that asks for another attempt of a step.
    pub retries: bool,
    /// As what.
    pub shown_as: ShownAs,
    /// What was said first.
    pub message: Message,
}

/// As what a message shows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShownAs {
    /// As the message on which the run's thread hangs.
    Root,
    /// In a thread.
    Part,
    /// In the direct messages of somebody who is asked.
    Direct,
}

/// What has been recorded and not yet told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// Events that wait for the sequencer.
    pub unsequenced: i64,
    /// Chained events that wait for the room's sink.
    pub untold: i64,
    /// Messages that wait to be sent.
    pub unsent: i64,
}

impl Backlog {
    /// Whether everything has been told.
    pub fn is_empty(&self) -> bool {
        (self.unsequenced, self.untold, self.unsent) == (0, 0, 0)
    }
}

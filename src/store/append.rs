//! Appending events and messages: one statement for any number of both.
//!
//! A body is hashed with a random salt before it is stored: the chain later hashes the commitment, so the body can be
//! erased without breaking it, and cannot be guessed from its hash.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;

use super::Result;
use crate::model::chat::{Message, RoomAddress};
use crate::model::event::{EVENT_SCHEMA, NewEvent};
use crate::model::id::{InboxId, OutboxId, Position, RequestId, ThreadId};

/// The version of outbox messages that this binary writes.
pub(super) const MESSAGE_SCHEMA: i16 = 1;

/// The role of a message that shows a request in the direct messages of somebody who is asked.
pub const DIRECT: &str = "direct";

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// In which room.
    pub room: RoomAddress,
    /// Where in it.
    pub place: Place,
    /// Why it is said: with `part` and the room what makes it itself.
    pub origin: Origin,
    /// Which of the messages of the same origin in this room.
    pub part: i32,
    /// The line or button that led to it.
    pub cause: Option<InboxId>,
    /// What it is for its subject, such as `run:12` and `progress`.
    pub role: Option<(String, &'static str)>,
    /// Whether it changes the message that has this role already. What stands [instead](Place::Instead) of a message does
    /// so whatever this says.
    pub edits: bool,
    /// What.
    pub message: Message,
}

/// Where in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the room itself.
    Room,
    /// In a thread.
    Thread(ThreadId),
    /// In the thread that hangs on the root message of a subject, which may not have been sent yet.
    ThreadOf(String),
    /// In the place of another message of the same room, which may not have been sent yet. If that one is given up, so is
    /// this.
    Instead(OutboxId),
}

/// Why something is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It answers a line or button.
    Line(InboxId),
    /// It shows a request that no line asked for.
    Request(RequestId),
    /// It echoes a place in the ledger.
    Event(Position),
    /// It says in the room what could not be said by direct message.
    Undelivered(OutboxId),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line:{line}"),
            Self::Request(request) => write!(f, "request:{request}"),
            Self::Event(position) => write!(f, "event:{position}"),
            Self::Undelivered(message) => write!(f, "undelivered:{message}"),
        }
    }
}

/// Events as columns.
#[derive(Default)]
pub(super) struct EventColumns {
    pub(super) kind: Vec<String>,
    pub(super) system: Vec<Option<String>>,
    pub(super) environment: Vec<Option<String>>,
    pub(super) incident: Vec<Option<i64>>,
    pub(super) run: Vec<Option<i64>>,
    pub(super) audience: Vec<Option<String>>,
    pub(super) cause: Vec<Option<i64>>,
    pub(super) commitment: Vec<Vec<u8>>,
    pub(super) salt: Vec<Vec<u8>>,
    pub(super) body: Vec<Vec<u8>>,
}

impl EventColumns {
    pub(super) fn of<'a>(events: impl IntoIterator<Item = &'a NewEvent>) -> Result<Self> {
        let mut columns = Self::default();
        for event in events {
            columns.push(event)?;
        }
        Ok(columns)
    }

    fn push(&mut self, event: &NewEvent) -> Result<()> {
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let body = serde_json::to_vec(&event.record)?;
        self.kind.push(event.record.what.kind().to_owned());
        self.system.push(event.scope.system.as_ref().map(ToString::to_string));
        self.environment.push(event.scope.environment.clone());
        self.incident.push(event.scope.incident.map(|incident| incident.0));
        self.run.push(event.scope.run.map(|run| run.0));
        self.audience.push(event.scope.audience.clone());
        self.cause.push(event.cause.map(|cause| cause.0));
        self.commitment.push(commitment(&salt, &body).to_vec());
        self.salt.push(salt.to_vec());
        self.body.push(body);
        Ok(())
    }
}

/// What the chain hashes in place of a body.
pub(crate) fn commitment(salt: &[u8], body: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(body);
    hash.finalize().into()
}

/// Messages as columns.
#[derive(Default)]
pub(super) struct MessageColumns {
    room: Vec<String>,
    thread: Vec<Option<String>>,
    thread_of: Vec<Option<String>>,
    origin: Vec<String>,
    part: Vec<i32>,
    cause: Vec<Option<i64>>,
    subject: Vec<Option<String>>,
    role: Vec<Option<String>>,
    edits: Vec<bool>,
    changes: Vec<Option<i64>>,
    message: Vec<String>,
}

impl MessageColumns {
    pub(super) fn of<'a>(messages: impl IntoIterator<Item = &'a NewMessage>) -> Result<Self> {
        let mut columns = Self::default();
        for message in messages {
            let (thread, thread_of, changes) = match &message.place {
                Place::Room => (None, None, None),
                Place::Thread(thread) => (Some(thread.to_string()), None, None),
                Place::ThreadOf(subject) => (None, Some(subject.clone()), None),
                Place::Instead(other) => (None, None, Some(other.0)),
            };
            let (subject, role) = match &message.role {
                Some((subject, role)) => (Some(subject.clone()), Some((*role).to_owned())),
                None => (None, None),
            };
            columns.room.push(message.room.to_string());
            columns.thread.push(thread);
            columns.thread_of.push(thread_of);
            columns.origin.push(message.origin.to_string());
            columns.part.push(message.part);
            columns.cause.push(message.cause.map(|cause| cause.0));
            columns.subject.push(subject);
            columns.role.push(role);
            columns.edits.push(message.edits || changes.is_some());
            columns.changes.push(changes);
            columns.message.push(serde_json::to_string(&message.message)?);
        }
        Ok(columns)
    }
}

/// Inserts events with their bodies and places in the sequencer's queue, and messages.
pub(super) async fn append(
    connection: &mut PgConnection,
    now: DateTime<Utc>,
    events: &[NewEvent],
    messages: &[NewMessage],
) -> Result<()> {
    if events.is_empty() && messages.is_empty() {
        return Ok(());
    }
    let e = EventColumns::of(events)?;
    let m = MessageColumns::of(messages)?;
    sqlx::query!(
        r#"
        with input as (
            select * from unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[],
                $8::bigint[], $9::bytea[], $10::bytea[], $11::bytea[])
                with ordinality
                as t (kind, system, environment, incident, run, audience, cause, commitment, salt, body, n)
        ), e as (
            insert into event (kind, schema, at, system, environment, incident, run, audience, cause, commitment)
            select kind, $12, $1, system, environment, incident, run, audience, cause, commitment from input order by n
            returning id, commitment
        ), b as (
            -- A commitment holds a random salt: it names its event.
            insert into event_body (event, salt, body)
            select e.id, input.salt, input.body from e join input using (commitment)
        ), u as (
            insert into unsequenced (event) select id from e
        )
        insert into outbox (schema, room, thread, thread_of, origin, part, cause, subject, role, edits, message,
            created_at, next_try_at, changes)
        select $13, room, thread, thread_of, origin, part, cause, subject, role, edits, message, $1, $1, changes
        from unnest($14::text[], $15::text[], $16::text[], $17::text[], $18::int[], $19::bigint[], $20::text[],
            $21::text[], $22::bool[], $23::text[], $24::bigint[])
            with ordinality
            as t (room, thread, thread_of, origin, part, cause, subject, role, edits, message, changes, n)
        order by n
        on conflict (origin, part, room) do nothing
        "#,
        now,
        &e.kind,
        &e.system as &[Option<String>],
        &e.environment as &[Option<String>],
        &e.incident as &[Option<i64>],
        &e.run as &[Option<i64>],
        &e.audience as &[Option<String>],
        &e.cause as &[Option<i64>],
        &e.commitment,
        &e.salt,
        &e.body,
        EVENT_SCHEMA,
        MESSAGE_SCHEMA,
        &m.room,
        &m.thread as &[Option<String>],
        &m.thread_of as &[Option<String>],
        &m.origin,
        &m.part,
        &m.cause as &[Option<i64>],
        &m.subject as &[Option<String>],
        &m.role as &[Option<String>],
        &m.edits,
        &m.message,
        &m.changes as &[Option<i64>],
    )
    .execute(connection)
    .await?;
    Ok(())
}

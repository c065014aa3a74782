//! A transaction that carries its events and messages with it (I4), and the inbox (I6).

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};

use super::append::{self, DIRECT, NewMessage, Origin, Place};
use super::begin::begin;
use super::{Result, Store, Topic};
use crate::metrics;
use crate::model::chat::{Incoming, Message, RoomAddress, RoomNews, Said};
use crate::model::event::NewEvent;
use crate::model::id::{InboxId, IncidentId, PersonId, RunId, ThreadId};
use crate::model::trace::Trace;

/// A transaction. Dropped without [`Tx::commit`] it leaves nothing behind.
#[derive(Debug)]
pub struct Tx {
    pub(super) inner: Transaction<'static, Postgres>,
    pub(super) store: Store,
    now: DateTime<Utc>,
    /// What the runs that are made here are part of.
    trace: Option<Trace>,
    /// The run and the incident that the log names already.
    named: (Option<RunId>, Option<IncidentId>),
    events: Vec<NewEvent>,
    messages: Vec<NewMessage>,
    /// What messages may say and the ledger may not.
    kept_out: Vec<String>,
    pub(super) wakes_runs: bool,
    pub(super) wakes_requests: bool,
}

/// What became of something that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineOutcome {
    /// Not for the bot.
    Talk,
    /// Answered, and perhaps acted on.
    Answered,
    /// Refused, with a sentence.
    Refused,
    /// Kept for the record: an edit, a line too old to act.
    Recorded,
}

impl LineOutcome {
    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Recorded => "recorded",
        }
    }
}

/// A line of the inbox as it was received before.
#[derive(Debug, Clone)]
pub struct LineRow {
    /// Its number.
    pub id: InboxId,
    /// What became of it.
    pub outcome: String,
    /// When it was first received.
    pub received_at: DateTime<Utc>,
}

impl Store {
    /// Begins a transaction.
    ///
    /// # Errors
    /// When no connection is to be had within ten seconds.
    pub async fn begin(&self) -> Result<Tx> {
        Ok(Tx {
            inner: begin(&self.pool).await?,
            store: self.clone(),
            now: self.clock().now(),
            trace: None,
            named: (None, None),
            events: Vec::new(),
            messages: Vec::new(),
            kept_out: Vec::new(),
            wakes_runs: false,
            wakes_requests: false,
        })
    }

    /// The inbox's row for something that was said, if it was received before.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_line(&self, room: &RoomAddress, key: &str) -> Result<Option<LineRow>> {
        let row = sqlx::query!(
            "select id, outcome, received_at from inbox where room = $1 and key = $2",
            room.to_string(),
            key
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| LineRow { id: InboxId(row.id), outcome: row.outcome, received_at: row.received_at }))
    }
}

impl Tx {
    /// The one time of this transaction.
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// Says what the runs that are made from now on are part of. Without this each begins a trace of its own.
    pub fn set_trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    /// What a run that is made now is part of.
    ///
    /// # Errors
    /// When a trace would have to begin and the system has no randomness.
    pub(super) fn trace(&self) -> Result<Trace> {
        match self.trace {
            Some(trace) => Ok(trace),
            None => {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes)?;
                Ok(Trace::from_entropy(bytes))
            }
        }
    }

    /// Adds an event, to be written at commit.
    pub fn record(&mut self, event: NewEvent) {
        // Whatever is logged from here on names what it is about. Where nothing of the kind is logged this does nothing.
        let (span, scope) = (tracing::Span::current(), &event.scope);
        if let Some(run) = scope.run.filter(|run| self.named.0.replace(*run) != Some(*run)) {
            span.record("run.id", run.0);
        }
        if let Some(incident) = scope.incident.filter(|incident| self.named.1.replace(*incident) != Some(*incident)) {
            span.record("incident.id", incident.0);
        }
        self.events.push(event);
    }

    /// Adds a message, to be written at commit.
    pub fn say(&mut self, message: NewMessage) {
        self.messages.push(message);
    }

    /// Adds an answer to a line, where the line was said. Answers of one line are numbered in the order said.
    pub fn answer(&mut self, line: InboxId, room: &RoomAddress, thread: Option<&ThreadId>, message: Message) {
        let place = thread.map_or(Place::Room, |thread| Place::Thread(thread.clone()));
        self.say(NewMessage {
            room: room.clone(),
            place,
            origin: Origin::Line(line),
            part: self.next_part(Origin::Line(line)),
            cause: Some(line),
            role: None,
            edits: false,
            message,
        });
    }

    /// The number of the next message of an origin, whatever room it is for.
    pub fn next_part(&self, origin: Origin) -> i32 {
        let said = self.messages.iter().filter(|message| message.origin == origin).count();
        i32::try_from(said).unwrap_or(i32::MAX)
    }

    /// Keeps a text out of [`Tx::answers`]: the address of a page that is one person's alone.
    pub fn keep_out(&mut self, text: &str) {
        self.kept_out.push(text.to_owned());
    }

    /// The texts of what has been said in this transaction so far. What is said again in somebody's direct messages is not
    /// said twice.
    pub fn answers(&self) -> Vec<String> {
        let copy = |message: &&NewMessage| matches!(message.role, Some((_, DIRECT)));
        let shown =
            |text: &String| self.kept_out.iter().fold(text.clone(), |text, secret| text.replace(secret, "(a link)"));
        self.messages.iter().filter(|message| !copy(message)).map(|message| shown(&message.message.text)).collect()
    }

    /// Puts something that was said into the inbox. `None`: it was received before, and must not act again (I6). Two
    /// deliveries at once wait for each other here.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_line(
        &mut self,
        incoming: &Incoming,
        person: Option<&PersonId>,
        text: Option<&str>,
    ) -> Result<Option<InboxId>> {
        let id = sqlx::query_scalar!(
            r#"
            insert into inbox (room, key, thread, account, person, said_at, received_at, text, outcome)
            values ($1, $2, $3, $4, $5, $6, $7, $8, 'answered')
            on conflict (room, key) do nothing
            returning id
            "#,
            incoming.room.to_string(),
            incoming.what.key(),
            incoming.thread.as_ref().map(ThreadId::as_str),
            incoming.account.to_string(),
            person.map(PersonId::as_str),
            incoming.said_at,
            self.now,
            text,
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(id.map(InboxId))
    }

    /// Puts news of a room into the inbox. `None`: they were received before, and must not be recorded again (I6).
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_news(&mut self, news: &RoomNews, person: Option<&PersonId>) -> Result<Option<InboxId>> {
        let id = sqlx::query_scalar!(
            r#"
            insert into inbox (room, key, account, person, said_at, received_at, outcome)
            values ($1, $2, $3, $4, $5, $6, 'recorded')
            on conflict (room, key) do nothing
            returning id
            "#,
            news.room.to_string(),
            format!("news:{}", news.key),
            news.account.to_string(),
            person.map(PersonId::as_str),
            news.at,
            self.now,
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(id.map(InboxId))
    }

    /// Whether a line was edited or deleted since it was said: then it must not act.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn line_was_edited(&mut self, incoming: &Incoming) -> Result<bool> {
        let Said::Line { message, .. } = &incoming.what else { return Ok(false) };
        let found = sqlx::query_scalar!(
            // The first condition is the index's: edits are few, lines are many.
            r#"
            select exists (select from inbox where room = $1 and account = $3 and starts_with(key, 'edit:')
                and starts_with(key, $2))
                as "found!"
            "#,
            incoming.room.to_string(),
            format!("edit:{message}:"),
            // Only who said it can have edited it.
            incoming.account.to_string(),
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(found)
    }

    /// Says what became of a line, when it was not simply answered.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_line_outcome(&mut self, line: InboxId, outcome: LineOutcome) -> Result<()> {
        sqlx::query!("update inbox set outcome = $2 where id = $1", line.0, outcome.name())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Notes that a line made or moved a run: whoever waits for the line's consequences waits for the run.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_line_run(&mut self, line: InboxId, run: RunId) -> Result<()> {
        self.wakes_runs = true;
        sqlx::query!("insert into line_run (line, run) values ($1, $2) on conflict do nothing", line.0, run.0)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Writes the events and messages and commits. When it returns, all of it is durable; then the loops that care are
    /// woken.
    ///
    /// # Errors
    /// When the database refuses: then nothing of it happened, unless the connection broke during the commit itself,
    /// in which case the inbox tells at the next delivery.
    pub async fn commit(mut self) -> Result<()> {
        append::append(&mut self.inner, self.now, &self.events, &self.messages).await?;
        self.inner.commit().await?;
        metrics::committed(&self.events);
        let hub = self.store.hub();
        if !self.messages.is_empty() {
            hub.wake(Topic::Outbox);
        }
        if !self.events.is_empty() {
            hub.wake(Topic::Unsequenced);
        }
        if self.wakes_runs {
            hub.wake(Topic::Runs);
        }
        if self.wakes_requests {
            hub.wake(Topic::Requests);
        }
        hub.wake(Topic::Settled);
        Ok(())
    }
}

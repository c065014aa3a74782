//! A line that changes nothing but the record: one statement, one commit.
//!
//! Most of what is said needs no look at the database before it is answered: talk, `ping`, `help`, a misspelt command.
//! Inbox row, event and answers are then one statement, whose insertion into the inbox is the guard: what was received
//! before inserts nothing at all (I4, I6).

use super::append::{MESSAGE_SCHEMA, commitment};
use super::outbox::OnlyInstead;
use super::{LineOutcome, OutboxRow, Result, Store, Topic};
use crate::metrics;
use crate::model::chat::{Incoming, Message, RoomAddress, Said};
use crate::model::event::{EVENT_SCHEMA, Record};
use crate::model::id::{InboxId, OutboxId, PersonId, ThreadId};

/// Something that was said, with all that comes of it.
#[derive(Debug)]
pub struct PlainLine<'a> {
    /// What was said.
    pub incoming: &'a Incoming,
    /// By whom, if the catalog knows them.
    pub person: Option<&'a PersonId>,
    /// Its text, redacted.
    pub text: Option<&'a str>,
    /// What became of it.
    pub outcome: LineOutcome,
    /// The event that tells it.
    pub record: Record,
    /// The answers.
    pub answers: Vec<Message>,
    /// In which room they are given.
    pub answered_in: &'a RoomAddress,
    /// In which thread there.
    pub answered_thread: Option<&'a ThreadId>,
}

impl Store {
    /// Keeps a line, its event and its answers. When it returns, all of it is durable. `None`: nothing of it was written,
    /// for the line was received before, or was edited since it was said. Two deliveries at once wait for each other.
    ///
    /// # Errors
    /// When the database refuses: then nothing of it happened, unless the connection broke during the commit, in which
    /// case the inbox tells at the next delivery.
    pub async fn insert_plain_line(&self, line: PlainLine<'_>) -> Result<Option<InboxId>> {
        let now = self.clock().now();
        let incoming = line.incoming;
        let room = incoming.room.to_string();
        let edits = match &incoming.what {
            Said::Line { message, .. } => Some(format!("edit:{message}:")),
            Said::Edit { .. } | Said::Press { .. } => None,
        };
        let mut salt = [0; 16];
        getrandom::fill(&mut salt)?;
        let body = serde_json::to_vec(&line.record)?;
        let messages: Vec<String> = line.answers.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        let row = sqlx::query!(
            r#"
            with line as (
                insert into inbox (room, key, thread, account, person, said_at, received_at, text, outcome)
                select $1, $2, $3, $4, $5, $6, $7, $8, $9
                where $10::text is null or not exists (
                    select from inbox where room = $1 and starts_with(key, 'edit:') and starts_with(key, $10))
                on conflict (room, key) do nothing
                returning id
            ), e as (
                insert into event (kind, schema, at, cause, commitment) select $11, $12, $7, id, $13 from line
                returning id
            ), b as (
                insert into event_body (event, salt, body) select id, $14, $15 from e
            ), u as (
                insert into unsequenced (event) select id from e
            ), o as (
                insert into outbox (schema, room, thread, origin, part, cause, edits, message, created_at, next_try_at)
                select $16, $18, $19, 'line:' || line.id, n - 1, line.id, false, message, $7, $7
                from line cross join unnest($17::text[]) with ordinality as t (message, n) order by n
                returning id, part
            )
            select id as "id!", array(select o.id from o order by part) as "answers!",
                -- Before these answers, as every part of a statement sees what was there before it.
                not exists (select from outbox where room = $18 and sent_at is null and failed is null) as "first!"
            from line
            "#,
            room,
            incoming.what.key(),
            incoming.thread.as_ref().map(ThreadId::as_str),
            incoming.account.to_string(),
            line.person.map(PersonId::as_str),
            incoming.said_at,
            now,
            line.text,
            line.outcome.name(),
            edits,
            line.record.what.kind(),
            EVENT_SCHEMA,
            &commitment(&salt, &body)[..],
            &salt[..],
            body,
            MESSAGE_SCHEMA,
            &messages,
            line.answered_in.to_string(),
            line.answered_thread.map(ThreadId::as_str),
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        metrics::committed_record(&line.record);
        let id = InboxId(row.id);
        if !line.answers.is_empty() {
            let rows = row.answers.into_iter().zip(line.answers).zip(0..).map(|((outbox, message), part)| OutboxRow {
                id: OutboxId(outbox),
                room: line.answered_in.clone(),
                thread: line.answered_thread.cloned(),
                thread_is_open: false,
                key: format!("line:{id}:{part}"),
                cause: Some(id),
                edits: None,
                target_is_open: false,
                only_instead: OnlyInstead::No,
                tries: 0,
                message,
                created_at: now,
                platform_message: None,
                has_role: false,
                together: None,
            });
            // The answer first: whoever else wakes up competes with it.
            if !(row.first && self.hub().hand_over(line.answered_in, rows.collect())) {
                self.hub().wake(Topic::Outbox);
            }
        }
        self.hub().wake(Topic::Unsequenced);
        self.hub().wake(Topic::Settled);
        Ok(Some(id))
    }
}

//! What pages read: a room's conversation, the ledger a page at a time, and what belongs to a run.
//!
//! Only reads. Every list is bounded and starts from a place that an index leads to, so that a page costs the same over a
//! small ledger and a large one. What does not live here: who may see it (`web::pages`).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::rows::{Inconsistent, Request, Run, StoredDecision};
use super::{ChainRow, Result, Store};
use crate::model::approval::{Asked, Delegation};
use crate::model::chat::{Account, Message, RoomAddress};
use crate::model::event::{Event, Health};
use crate::model::id::{
    CheckName, EventId, InboxId, IncidentId, MessageId, OutboxId, PersonId, Position, RequestId, RunId, ServiceName,
    SystemName, ThreadId, TriggerName,
};
use crate::model::incident::Incident;

/// Who was asked of a request, and what they answered that stands.
#[derive(Debug, Clone, Default)]
pub struct Asking {
    /// Who was asked, in the order asked.
    pub asked: Vec<Asked>,
    /// Answers that stand, in the order given.
    pub standing: Vec<StoredDecision>,
}

/// Something that stands in a room.
#[derive(Debug, Clone)]
pub enum Entry {
    /// What somebody said or pressed.
    Line(LineEntry),
    /// What the bot said.
    Message(MessageEntry),
}

impl Entry {
    /// When it came.
    pub fn at(&self) -> DateTime<Utc> {
        match self {
            Self::Line(line) => line.at,
            Self::Message(message) => message.at,
        }
    }

    /// In which thread.
    pub fn thread(&self) -> Option<&ThreadId> {
        match self {
            Self::Line(line) => line.thread.as_ref(),
            Self::Message(message) => message.thread.as_ref(),
        }
    }
}

/// A line or a pressed button.
#[derive(Debug, Clone)]
pub struct LineEntry {
    /// Its number.
    pub id: InboxId,
    /// `line:ID` or `press:ID`.
    pub key: String,
    /// In which thread.
    pub thread: Option<ThreadId>,
    /// By which account.
    pub account: Account,
    /// By whom; `None` for an unknown account.
    pub person: Option<PersonId>,
    /// When.
    pub at: DateTime<Utc>,
    /// What, redacted.
    pub text: String,
    /// What it says since its author changed it; the inner `None` is a deletion.
    pub edited: Option<Option<String>>,
}

/// A message of the bot, as it reads now.
#[derive(Debug, Clone)]
pub struct MessageEntry {
    /// Its number.
    pub id: OutboxId,
    /// Its name in the room.
    pub name: MessageId,
    /// In which thread.
    pub thread: Option<ThreadId>,
    /// The run that it is about, if it is a message of one.
    pub run: Option<RunId>,
    /// The line that led to it.
    pub cause: Option<InboxId>,
    /// When it was first said.
    pub at: DateTime<Utc>,
    /// When it was last changed.
    pub changed_at: Option<DateTime<Utc>>,
    /// What it says now.
    pub message: Message,
}

/// Where a page of a conversation ends: what is older stands before these numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Older {
    /// Before this line.
    pub line: InboxId,
    /// And before this message.
    pub message: OutboxId,
}

impl Older {
    /// Nothing is left out at the newer end.
    pub const NEWEST: Self = Self { line: InboxId(i64::MAX), message: OutboxId(i64::MAX) };
}

/// A page of a conversation, oldest first.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// What was said.
    pub entries: Vec<Entry>,
    /// Where the page before it ends, if there is more.
    pub older: Option<Older>,
}

/// Which events of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerFilter {
    /// All.
    All,
    /// Those of a run.
    Run(RunId),
    /// Those of a kind.
    Kind(String),
    /// What a person said, and what came of it.
    Person(PersonId),
    /// Those about a system.
    System(SystemName),
    /// Those of an incident.
    Incident(IncidentId),
}

/// From where a page of the ledger goes, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerFrom {
    /// Older ones than this.
    Before(EventId),
    /// Newer ones than this.
    After(EventId),
}

/// What is known of a scheduled check.
#[derive(Debug, Clone)]
pub struct KnownCheck {
    /// The system.
    pub system: SystemName,
    /// The service.
    pub service: ServiceName,
    /// The check.
    pub check: CheckName,
    /// What is certain and since when; `None` before the first certain result.
    pub hard: Option<(Health, DateTime<Utc>)>,
    /// Since when it changes too often to be believed, if it does.
    pub flaps_since: Option<DateTime<Utc>>,
    /// What the newest result said.
    pub soft: Health,
    /// How many in a row have said so.
    pub soft_count: i32,
    /// When the newest result came.
    pub asked_at: DateTime<Utc>,
    /// Its first line, redacted.
    pub detail: String,
}

/// Whether anything starts by itself, and what does not.
#[derive(Debug, Clone, Default)]
pub struct AutomationSeen {
    /// Who paused all of it, when and why.
    pub paused: Option<(PersonId, DateTime<Utc>, Option<String>)>,
    /// Triggers that wait for a person, each with its service, since when, and why.
    pub held: Vec<(TriggerName, ServiceName, DateTime<Utc>, String)>,
}

/// How far the ledger and the rooms have come: changes with everything that a page shows of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// The chain's newest place.
    pub position: Position,
    /// The newest message that was sent.
    pub message: OutboxId,
}

struct MessageRow {
    id: i64,
    name: String,
    thread: Option<String>,
    subject: Option<String>,
    thread_of: Option<String>,
    cause: Option<i64>,
    message: String,
    created_at: DateTime<Utc>,
    edited: Option<String>,
    edited_at: Option<DateTime<Utc>>,
}

impl MessageRow {
    fn read(self) -> Result<MessageEntry> {
        let run_of = |subject: &str| subject.strip_prefix("run:")?.split(':').next()?.parse().ok().map(RunId);
        Ok(MessageEntry {
            id: OutboxId(self.id),
            name: MessageId::new(self.name),
            thread: self.thread.map(ThreadId::new),
            run: [self.subject, self.thread_of].iter().flatten().find_map(|subject| run_of(subject)),
            cause: self.cause.map(InboxId),
            at: self.created_at,
            changed_at: self.edited_at,
            message: serde_json::from_str(self.edited.as_deref().unwrap_or(&self.message))?,
        })
    }
}

struct LineRow {
    id: i64,
    key: String,
    thread: Option<String>,
    account: String,
    person: Option<String>,
    received_at: DateTime<Utc>,
    text: Option<String>,
}

impl LineRow {
    fn read(self) -> Result<LineEntry> {
        Ok(LineEntry {
            id: InboxId(self.id),
            account: self.account.parse().map_err(|_| Inconsistent::at(format!("inbox {}", self.id), "account"))?,
            key: self.key,
            thread: self.thread.map(ThreadId::new),
            person: self.person.map(PersonId::new),
            at: self.received_at,
            text: self.text.unwrap_or_default(),
            edited: None,
        })
    }
}

fn health(name: &str) -> Option<Health> {
    match name {
        "ok" => Some(Health::Ok),
        "warning" => Some(Health::Warning),
        "critical" => Some(Health::Critical),
        "unknown" => Some(Health::Unknown),
        _ => None,
    }
}

impl Store {
    /// A page of what stands in a room, threads included, ending before a place.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_conversation(&self, room: &RoomAddress, before: Older, limit: i64) -> Result<Conversation> {
        let address = room.to_string();
        let lines = sqlx::query_as!(
            LineRow,
            r#"
            select id, key, thread, account, person, received_at, text from inbox
            where room = $1 and id < $2 and not starts_with(key, 'edit:') and not starts_with(key, 'news:')
            order by id desc limit $3
            "#,
            address,
            before.line.0,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let messages = sqlx::query_as!(
            MessageRow,
            r#"
            select o.id, o.platform_message as "name!", coalesce(o.thread, root.platform_message) as thread, o.subject,
                o.thread_of, o.cause, o.message, o.created_at, e.message as "edited?", e.created_at as "edited_at?"
            from outbox o
                left join posted root on root.subject = o.thread_of and root.role = 'root' and root.room = o.room
                left join lateral (
                    select e.message, e.created_at from outbox e
                    where e.room = o.room and e.subject = o.subject and e.role = o.role and e.edits
                        and e.sent_at is not null
                    order by e.id desc limit 1
                ) e on true
            where o.room = $1 and o.id < $2 and o.sent_at is not null and o.platform_message is not null
                -- A change that found nothing to change became a message of its own.
                and (not o.edits or o.platform_message = 'm' || o.id)
            order by o.id desc limit $3
            "#,
            address,
            before.message.0,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = lines.len() == most || messages.len() == most;
        let mut entries = self.read_entries(room, lines, messages).await?;
        let more = more || entries.len() > most;
        let left_out = entries.len().saturating_sub(most);
        let mut older = before;
        entries.drain(..left_out);
        for entry in &entries {
            match entry {
                Entry::Line(line) => older.line = older.line.min(line.id),
                Entry::Message(message) => older.message = older.message.min(message.id),
            }
        }
        let older = (more && !entries.is_empty()).then_some(older);
        Ok(Conversation { entries, older })
    }

    /// The newest of what stands in one thread, its root included; `root` is the message that it hangs on, if that is one
    /// of the bot's.
    ///
    /// # Errors
    /// As [`Store::list_conversation`].
    pub async fn list_thread(
        &self,
        room: &RoomAddress,
        thread: &ThreadId,
        root: Option<OutboxId>,
        limit: i64,
    ) -> Result<Vec<Entry>> {
        let address = room.to_string();
        let subject = sqlx::query_scalar!(
            "select subject from outbox where id = $1 and room = $2 and role = 'root'",
            root.map(|root| root.0),
            address
        )
        .fetch_optional(&self.pool)
        .await?
        .flatten();
        let lines = sqlx::query_as!(
            LineRow,
            r#"
            select id, key, thread, account, person, received_at, text from inbox
            where room = $1 and thread = $2 and not starts_with(key, 'edit:') and not starts_with(key, 'news:')
            order by id desc limit $3
            "#,
            address,
            thread.as_str(),
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let messages = sqlx::query_as!(
            MessageRow,
            r#"
            select o.id as "id!", o.platform_message as "name!", coalesce(o.thread, root.platform_message) as thread,
                o.subject, o.thread_of, o.cause, o.message as "message!", o.created_at as "created_at!",
                e.message as "edited?", e.created_at as "edited_at?"
            from (
                select * from outbox where room = $1 and thread = $2
                union all select * from outbox where room = $1 and thread_of = $3
                union all select * from outbox where id = $4 and room = $1
            ) o
                left join posted root on root.subject = o.thread_of and root.role = 'root' and root.room = o.room
                left join lateral (
                    select e.message, e.created_at from outbox e
                    where e.room = o.room and e.subject = o.subject and e.role = o.role and e.edits
                        and e.sent_at is not null
                    order by e.id desc limit 1
                ) e on true
            where o.sent_at is not null and o.platform_message is not null
                and (not o.edits or o.platform_message = 'm' || o.id)
            order by o.id desc limit $5
            "#,
            address,
            thread.as_str(),
            subject,
            root.map(|root| root.0),
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        self.read_entries(room, lines, messages).await
    }

    /// Lines and messages in the order of time, each as it reads now.
    async fn read_entries(
        &self,
        room: &RoomAddress,
        lines: Vec<LineRow>,
        messages: Vec<MessageRow>,
    ) -> Result<Vec<Entry>> {
        let mut lines: Vec<LineEntry> = lines.into_iter().map(LineRow::read).collect::<Result<_>>()?;
        self.read_edits(room, &mut lines).await?;
        let mut entries: Vec<Entry> = lines.into_iter().map(Entry::Line).collect();
        for message in messages {
            entries.push(Entry::Message(message.read()?));
        }
        // A line stands before what answers it, also when both carry the same moment.
        let order = |entry: &Entry| match entry {
            Entry::Line(line) => (line.at, 0, line.id.0),
            Entry::Message(message) => (message.at, 1, message.id.0),
        };
        entries.sort_by_key(order);
        Ok(entries)
    }

    /// What lines say since their authors changed them. Somebody else's change of a line is not one.
    async fn read_edits(&self, room: &RoomAddress, lines: &mut [LineEntry]) -> Result<()> {
        let Some(oldest) = lines.iter().map(|line| line.id.0).min() else { return Ok(()) };
        let edits = sqlx::query!(
            "select key, account, text from inbox where room = $1 and starts_with(key, 'edit:') and id > $2 order by id",
            room.to_string(),
            oldest
        )
        .fetch_all(&self.pool)
        .await?;
        for edit in edits {
            let of = |line: &LineEntry| {
                let message = line.key.strip_prefix("line:");
                message
                    .and_then(|message| edit.key.strip_prefix("edit:")?.strip_prefix(message))
                    .is_some_and(|rest| rest.starts_with(':') && edit.account == line.account.to_string())
            };
            if let Some(line) = lines.iter_mut().find(|line| of(line)) {
                line.edited = Some(edit.text);
            }
        }
        Ok(())
    }

    /// How far ledger and rooms have come.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn live_mark(&self) -> Result<Mark> {
        let row = sqlx::query!(
            r#"
            select coalesce((select position from chain order by position desc limit 1), 0) as "position!",
                coalesce((select id from outbox where sent_at is not null order by id desc limit 1), 0) as "message!"
            "#
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(Mark { position: Position(row.position), message: OutboxId(row.message) })
    }

    /// Every request that waits with its run, oldest first, at most a hundred.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_waiting(&self) -> Result<Vec<(Request, Run)>> {
        let ids = sqlx::query!("select id, run from request where state = 'pending' order by id limit 100")
            .fetch_all(&self.pool)
            .await?;
        let (requests, runs): (Vec<i64>, Vec<i64>) = ids.into_iter().map(|row| (row.id, row.run)).unzip();
        let runs = super::runs::runs_by_id(&self.pool, &runs).await?;
        let requests = super::runs::requests_by_id(&self.pool, &requests).await?;
        let run_of = |request: &Request| runs.iter().find(|run| run.id == request.run).cloned();
        Ok(requests.into_iter().filter_map(|request| run_of(&request).map(|run| (request, run))).collect())
    }

    /// The requests of a run, oldest first.
    ///
    /// # Errors
    /// As [`Store::list_waiting`].
    pub async fn list_requests_of(&self, run: RunId) -> Result<Vec<Request>> {
        let ids = sqlx::query_scalar!("select id from request where run = $1 order by id", run.0)
            .fetch_all(&self.pool)
            .await?;
        super::runs::requests_by_id(&self.pool, &ids).await
    }

    /// The answers to a request, in the order given, with those that were taken back.
    ///
    /// # Errors
    /// As [`Store::list_waiting`].
    pub async fn list_decisions_of(&self, request: RequestId) -> Result<Vec<StoredDecision>> {
        let rows = sqlx::query_as!(
            super::runs::DecisionRow,
            r#"
            select request, stage, person, account, verdict, on_behalf_of, proof, credential, reason, at, line,
                taken_back_at
            from decision where request = $1 order by at, person
            "#,
            request.0
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(super::runs::DecisionRow::stored).collect::<Result<_, _>>()?)
    }

    /// Who was asked of requests and what they answered that stands, by request. One that an older release made has nobody
    /// asked.
    ///
    /// # Errors
    /// As [`Store::list_waiting`].
    pub async fn list_askings(&self, requests: &[RequestId]) -> Result<BTreeMap<RequestId, Asking>> {
        let ids: Vec<i64> = requests.iter().map(|request| request.0).collect();
        let mut askings: BTreeMap<RequestId, Asking> = BTreeMap::new();
        for (request, asked) in super::runs::asked_of(&self.pool, &ids).await? {
            askings.entry(RequestId(request)).or_default().asked.push(asked);
        }
        for (request, decision) in super::runs::standing(&self.pool, &ids).await? {
            askings.entry(RequestId(request)).or_default().standing.push(decision);
        }
        Ok(askings)
    }

    /// The delegations to and from anybody that hold now.
    ///
    /// # Errors
    /// As [`Store::list_waiting`].
    pub async fn list_delegations(&self) -> Result<Vec<Delegation>> {
        super::runs::delegations(&self.pool, self.clock().now()).await
    }

    /// The newest runs before a number, newest first; of one room if one is given.
    ///
    /// # Errors
    /// As [`Store::list_waiting`].
    pub async fn list_newest_runs(&self, room: Option<&RoomAddress>, before: RunId, limit: i64) -> Result<Vec<Run>> {
        let ids = match room {
            Some(room) => {
                sqlx::query_scalar!(
                    "select id from run where room = $1 and id < $2 order by id desc limit $3",
                    room.to_string(),
                    before.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            None => {
                sqlx::query_scalar!("select id from run where id < $1 order by id desc limit $2", before.0, limit)
                    .fetch_all(&self.pool)
                    .await?
            }
        };
        let mut runs = super::runs::runs_by_id(&self.pool, &ids).await?;
        runs.reverse();
        Ok(runs)
    }

    /// The newest runs of an incident, newest first.
    ///
    /// # Errors
    /// As [`Store::list_waiting`].
    pub async fn list_newest_incident_runs(&self, incident: IncidentId, limit: i64) -> Result<Vec<Run>> {
        let ids =
            sqlx::query_scalar!("select id from run where incident = $1 order by id desc limit $2", incident.0, limit)
                .fetch_all(&self.pool)
                .await?;
        let mut runs = super::runs::runs_by_id(&self.pool, &ids).await?;
        runs.reverse();
        Ok(runs)
    }

    /// Incidents that are not resolved, newest first, at most a hundred; of one room if one is given.
    ///
    /// # Errors
    /// As [`Store::list_waiting`].
    pub async fn list_open_incidents(&self, room: Option<&RoomAddress>) -> Result<Vec<Incident>> {
        let ids = sqlx::query_scalar!(
            r#"
            select id from incident where state <> 'resolved' and ($1::text is null or room = $1)
            order by id desc limit 100
            "#,
            room.map(ToString::to_string)
        )
        .fetch_all(&self.pool)
        .await?;
        let mut incidents = super::incident::incidents_by_id(&self.pool, &ids).await?;
        incidents.reverse();
        Ok(incidents)
    }

    /// What is known of every scheduled check: one small row for each.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_known_checks(&self) -> Result<Vec<KnownCheck>> {
        let rows = sqlx::query!(
            r#"
            select system, service, check_name, hard, hard_since, soft, soft_count, asked_at, detail,
                flaps_since
            from check_state order by system, service, check_name
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|row| {
                let wrong = |column| {
                    let check = format!("check {}/{}/{}", row.system, row.service, row.check_name);
                    Inconsistent::at(check, column)
                };
                let hard = match (row.hard.as_deref(), row.hard_since) {
                    (None, _) => None,
                    (Some(hard), Some(since)) => Some((health(hard).ok_or_else(|| wrong("hard"))?, since)),
                    (Some(_), None) => return Err(wrong("hard_since").into()),
                };
                let soft = health(&row.soft).ok_or_else(|| wrong("soft"))?;
                Ok(KnownCheck {
                    system: SystemName::new(row.system),
                    service: ServiceName::new(row.service),
                    check: CheckName::new(row.check_name),
                    hard,
                    flaps_since: row.flaps_since,
                    soft,
                    soft_count: row.soft_count,
                    asked_at: row.asked_at,
                    detail: row.detail,
                })
            })
            .collect()
    }

    /// Whether anything starts by itself.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn look_at_automation(&self) -> Result<AutomationSeen> {
        let paused = sqlx::query!("select paused_by, paused_at, paused_why from automation where one and paused")
            .fetch_optional(&self.pool)
            .await?;
        let held = sqlx::query!(
            r#"
            select trigger, service, held_since as "held_since!", coalesce(held_why, held_by) as "held_why!"
            from brake_state where held_by is not null and held_since is not null order by trigger, service
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        let held = held
            .into_iter()
            .map(|row| (TriggerName::new(row.trigger), ServiceName::new(row.service), row.held_since, row.held_why));
        Ok(AutomationSeen {
            paused: paused.and_then(|row| Some((PersonId::new(row.paused_by?), row.paused_at?, row.paused_why))),
            held: held.collect(),
        })
    }

    /// The message on which a run's thread hangs, once it is posted.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_root_of(&self, run: RunId, room: &RoomAddress) -> Result<Option<MessageId>> {
        let name = sqlx::query_scalar!(
            "select platform_message from posted where subject = $1 and role = 'root' and room = $2",
            super::rows::subject(run),
            room.to_string()
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(name.map(MessageId::new))
    }

    /// In which room and by which account a line was said.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row contradicts the model.
    pub async fn find_line_place(&self, line: InboxId) -> Result<Option<(RoomAddress, Account)>> {
        let row =
            sqlx::query!("select room, account from inbox where id = $1", line.0).fetch_optional(&self.pool).await?;
        let wrong = |column| Inconsistent::at(format!("inbox {line}"), column);
        row.map(|row| {
            let room = row.room.parse().map_err(|_| wrong("room"))?;
            Ok((room, row.account.parse().map_err(|_| wrong("account"))?))
        })
        .transpose()
    }

    /// The event at a place of the chain.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_event_at(&self, position: Position) -> Result<Option<EventId>> {
        let id = sqlx::query_scalar!("select event from chain where position = $1", position.0)
            .fetch_optional(&self.pool)
            .await?;
        Ok(id.map(EventId))
    }

    /// A page of the ledger, newest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_ledger(&self, filter: &LedgerFilter, from: LedgerFrom, limit: i64) -> Result<Vec<Event>> {
        let ids = self.list_ledger_ids(filter, from, limit).await?;
        let mut rows: Vec<ChainRow> = super::ledger::rows_of_events(&self.pool, &ids).await?;
        rows.sort_by_key(|row| std::cmp::Reverse(row.id));
        Ok(rows.iter().map(ChainRow::event).collect())
    }

    async fn list_ledger_ids(&self, filter: &LedgerFilter, from: LedgerFrom, limit: i64) -> Result<Vec<i64>> {
        let ids = match (filter, from) {
            (LedgerFilter::All, LedgerFrom::Before(id)) => {
                sqlx::query_scalar!("select id from event where id < $1 order by id desc limit $2", id.0, limit)
                    .fetch_all(&self.pool)
                    .await?
            }
            (LedgerFilter::All, LedgerFrom::After(id)) => {
                sqlx::query_scalar!("select id from event where id > $1 order by id limit $2", id.0, limit)
                    .fetch_all(&self.pool)
                    .await?
            }
            (LedgerFilter::Run(run), LedgerFrom::Before(id)) => {
                sqlx::query_scalar!(
                    "select id from event where run = $1 and id < $2 order by id desc limit $3",
                    run.0,
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::Run(run), LedgerFrom::After(id)) => {
                sqlx::query_scalar!(
                    "select id from event where run = $1 and id > $2 order by id limit $3",
                    run.0,
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::Kind(kind), LedgerFrom::Before(id)) => {
                sqlx::query_scalar!(
                    "select id from event where kind = $1 and id < $2 order by id desc limit $3",
                    kind,
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::Kind(kind), LedgerFrom::After(id)) => {
                sqlx::query_scalar!(
                    "select id from event where kind = $1 and id > $2 order by id limit $3",
                    kind,
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::System(system), LedgerFrom::Before(id)) => {
                sqlx::query_scalar!(
                    "select id from event where system = $1 and id < $2 order by id desc limit $3",
                    system.as_str(),
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::System(system), LedgerFrom::After(id)) => {
                sqlx::query_scalar!(
                    "select id from event where system = $1 and id > $2 order by id limit $3",
                    system.as_str(),
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::Incident(incident), LedgerFrom::Before(id)) => {
                sqlx::query_scalar!(
                    "select id from event where incident = $1 and id < $2 order by id desc limit $3",
                    incident.0,
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::Incident(incident), LedgerFrom::After(id)) => {
                sqlx::query_scalar!(
                    "select id from event where incident = $1 and id > $2 order by id limit $3",
                    incident.0,
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::Person(person), LedgerFrom::Before(id)) => {
                sqlx::query_scalar!(
                    r#"
                    select e.id from inbox i join event e on e.cause = i.id
                    where i.person = $1 and e.id < $2 order by e.id desc limit $3
                    "#,
                    person.as_str(),
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
            (LedgerFilter::Person(person), LedgerFrom::After(id)) => {
                sqlx::query_scalar!(
                    r#"
                    select e.id from inbox i join event e on e.cause = i.id
                    where i.person = $1 and e.id > $2 order by e.id limit $3
                    "#,
                    person.as_str(),
                    id.0,
                    limit
                )
                .fetch_all(&self.pool)
                .await?
            }
        };
        Ok(ids)
    }
}

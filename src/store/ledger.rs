//! The chain's rows: what the sequencer appends, what sinks and verification read.

use chrono::{DateTime, Utc};

use super::append::{self, NewMessage};
use super::begin::begin;
use super::{Result, Store, Topic};
use crate::metrics;
use crate::model::chat::RoomAddress;
use crate::model::event::{Event, NewEvent, Record, Scope};
use crate::model::id::{Digest, EventId, InboxId, IncidentId, Position, RunId, SystemName};

/// The chain's newest place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// 0 while the chain is empty.
    pub position: Position,
    /// All zeros while the chain is empty.
    pub hash: Digest,
}

/// A part of the chain, for whoever reads on.
#[derive(Debug, Clone)]
pub struct Chained {
    /// The newest place when it was read; 0 while the chain is empty.
    pub head: Position,
    /// How far was looked: where to read on.
    pub up_to: Position,
    /// The events, in order.
    pub rows: Vec<ChainRow>,
}

/// An event with all its bytes, as the chain hashes it.
#[derive(Debug, Clone)]
pub struct ChainRow {
    /// Its place and hash; `None` while it waits for the sequencer.
    pub place: Option<(Position, Digest)>,
    /// Its number.
    pub id: EventId,
    /// Its kind.
    pub kind: String,
    /// The version of its body.
    pub schema: i16,
    /// When.
    pub at: DateTime<Utc>,
    /// What it is about.
    pub scope: Scope,
    /// The line that led to it.
    pub cause: Option<InboxId>,
    /// SHA-256(salt ‖ body).
    pub commitment: Vec<u8>,
    /// Salt and body; `None` once erased.
    pub body: Option<(Vec<u8>, Vec<u8>)>,
    /// The event that erased it.
    pub erased_by: Option<EventId>,
    /// Whether the body's row exists at all.
    pub body_row: bool,
}

impl ChainRow {
    /// The event, its body read; the body is `None` when erased or not readable by this binary.
    pub fn event(&self) -> Event {
        let record = self.body.as_ref().and_then(|(_, body)| serde_json::from_slice::<Record>(body).ok());
        Event {
            position: self.place.map(|(position, _)| position),
            hash: self.place.map(|(_, hash)| hash),
            id: self.id,
            kind: self.kind.clone(),
            at: self.at,
            scope: self.scope.clone(),
            cause: self.cause,
            record,
        }
    }
}

/// An event's columns, as every reading of events selects them.
pub(super) struct Row {
    pub(super) position: Option<i64>,
    pub(super) hash: Option<Vec<u8>>,
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) schema: i16,
    pub(super) at: DateTime<Utc>,
    pub(super) system: Option<String>,
    pub(super) environment: Option<String>,
    pub(super) incident: Option<i64>,
    pub(super) run: Option<i64>,
    pub(super) audience: Option<String>,
    pub(super) cause: Option<i64>,
    pub(super) commitment: Vec<u8>,
    pub(super) salt: Option<Vec<u8>>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) erased_by: Option<i64>,
    pub(super) body_row: bool,
}

impl From<Row> for ChainRow {
    fn from(row: Row) -> Self {
        let place = match (row.position, row.hash.as_deref().and_then(Digest::from_slice)) {
            (Some(position), Some(hash)) => Some((Position(position), hash)),
            _ => None,
        };
        Self {
            place,
            id: EventId(row.id),
            kind: row.kind,
            schema: row.schema,
            at: row.at,
            scope: Scope {
                system: row.system.map(SystemName::new),
                environment: row.environment,
                incident: row.incident.map(IncidentId),
                run: row.run.map(RunId),
                audience: row.audience,
            },
            cause: row.cause.map(InboxId),
            commitment: row.commitment,
            body: row.salt.zip(row.body),
            erased_by: row.erased_by.map(EventId),
            body_row: row.body_row,
        }
    }
}

impl Store {
    /// Appends an event that belongs to no state change: a catalog loaded, a clock that jumped.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn record(&self, events: &[NewEvent]) -> Result<()> {
        let mut tx = begin(&self.pool).await?;
        append::append(&mut tx, self.clock().now(), events, &[]).await?;
        tx.commit().await?;
        metrics::committed(events);
        self.hub().wake(Topic::Unsequenced);
        Ok(())
    }

    /// Whether the ledger has any event at all.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn ledger_is_empty(&self) -> Result<bool> {
        Ok(!sqlx::query_scalar!(r#"select exists (select from event) as "any!""#).fetch_one(&self.pool).await?)
    }

    /// The first event of the ledger, sequenced or not.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn first_event(&self) -> Result<Option<Event>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
                e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
                b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
            from event e left join chain c on c.event = e.id left join event_body b on b.event = e.id
            order by e.id limit 1
            "#
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| ChainRow::from(row).event()))
    }

    /// Records the first event, unless the ledger has one. Two processes at once: the lock lets one insert, and shows the
    /// other what was inserted.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_first_event(&self, event: NewEvent) -> Result<()> {
        let mut tx = begin(&self.pool).await?;
        // Conflicts with itself and with every insert of an event; not with reading.
        sqlx::query!("lock table event in share row exclusive mode").execute(&mut *tx).await?;
        let any = sqlx::query_scalar!(r#"select exists (select from event) as "any!""#).fetch_one(&mut *tx).await?;
        if any {
            return Ok(());
        }
        append::append(&mut tx, self.clock().now(), &[event], &[]).await?;
        tx.commit().await?;
        self.hub().wake(Topic::Unsequenced);
        Ok(())
    }

    /// The newest place of the chain.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn chain_head(&self) -> Result<ChainHead> {
        let row = sqlx::query!("select position, hash from chain order by position desc limit 1")
            .fetch_optional(&self.pool)
            .await?;
        let empty = ChainHead { position: Position(0), hash: Digest([0; 32]) };
        Ok(row.map_or(empty, |row| ChainHead {
            position: Position(row.position),
            hash: Digest::from_slice(&row.hash).unwrap_or(empty.hash),
        }))
    }

    /// Chained events after a place, in order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_chained(&self, after: Position, limit: i64) -> Result<Vec<ChainRow>> {
        let mut connection = self.loops.acquire().await?;
        chained_after(&mut connection, after, limit).await
    }

    /// Chained events after a place, in order, for whoever reads on; with a room only what was said there, what that led
    /// to, and the runs and incidents that are talked about there.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_chained_for(&self, after: Position, room: Option<&RoomAddress>, limit: i64) -> Result<Chained> {
        // Read first: what is appended later is looked at by the next call.
        let head = self.chain_head().await?.position;
        let rows = sqlx::query_as!(
            Row,
            r#"
            select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
                e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
                b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
            from chain c join event e on e.id = c.event left join event_body b on b.event = c.event
            where c.position > $1 and c.position <= $2
                and ($3::text is null
                    or exists (select from inbox i where i.id = e.cause and i.room = $3)
                    or exists (select from run r where r.id = e.run and r.room = $3)
                    or exists (select from incident n where n.id = e.incident and n.room = $3))
            order by c.position limit $4
            "#,
            after.0,
            head.0,
            room.map(ToString::to_string),
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let rows: Vec<ChainRow> = rows.into_iter().map(ChainRow::from).collect();
        let full = i64::try_from(rows.len()).is_ok_and(|rows| rows >= limit);
        let last = rows.last().and_then(|row| row.place).map(|(position, _)| position);
        Ok(Chained { head, up_to: last.filter(|_| full).unwrap_or(head.max(after)), rows })
    }

    /// Appends pending events to the chain in one transaction, under the sequencer's lease: locks the lease row by holder
    /// and fence, reads the last chain row, and inserts what `link` makes of each. Returns how many; `None` when the lease
    /// is no longer ours.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn sequence(
        &self,
        lease: &str,
        me: super::WorkerId,
        fence: i64,
        limit: i64,
        link: impl Fn(ChainHead, &ChainRow) -> ChainHead + Send,
    ) -> Result<Option<usize>> {
        let mut tx = begin(&self.loops).await?;
        let held = sqlx::query!(
            "select fence from lease where name = $1 and holder = $2 and fence = $3 and until > $4 for update",
            lease,
            me.0,
            fence,
            self.clock().now()
        )
        .fetch_optional(&mut *tx)
        .await?;
        if held.is_none() {
            return Ok(None);
        }
        // After the lock, and so with everything that whoever held the lease before has appended. Every row carries the
        // place before the first.
        let rows = sqlx::query!(
            r#"
            select last.position as "last_position?", last.hash as "last_hash?", e.id, e.kind, e.schema, e.at, e.system,
                e.environment, e.incident, e.run, e.audience, e.cause, e.commitment
            from unsequenced u join event e on e.id = u.event
                left join (select position, hash from chain order by position desc limit 1) last on true
            order by e.id limit $1
            "#,
            limit
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut head = ChainHead { position: Position(0), hash: Digest([0; 32]) };
        if let Some(row) = rows.first()
            && let (Some(position), Some(hash)) = (row.last_position, &row.last_hash)
        {
            let hash =
                Digest::from_slice(hash).ok_or_else(|| super::Inconsistent::at(format!("chain {position}"), "hash"))?;
            head = ChainHead { position: Position(position), hash };
        }
        let rows: Vec<ChainRow> = rows
            .into_iter()
            .map(|row| {
                ChainRow::from(Row {
                    position: None,
                    hash: None,
                    id: row.id,
                    kind: row.kind,
                    schema: row.schema,
                    at: row.at,
                    system: row.system,
                    environment: row.environment,
                    incident: row.incident,
                    run: row.run,
                    audience: row.audience,
                    cause: row.cause,
                    commitment: row.commitment,
                    salt: None,
                    body: None,
                    erased_by: None,
                    body_row: true,
                })
            })
            .collect();
        if rows.is_empty() {
            return Ok(Some(0));
        }
        let (mut positions, mut events, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            head = link(head, row);
            positions.push(head.position.0);
            events.push(row.id.0);
            hashes.push(head.hash.0.to_vec());
        }
        sqlx::query!(
            r#"
            with gone as (delete from unsequenced where event = any($2))
            insert into chain (position, event, hash) select * from unnest($1::bigint[], $2::bigint[], $3::bytea[])
            "#,
            &positions,
            &events,
            &hashes
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        self.hub().wake(Topic::Chained);
        Ok(Some(rows.len()))
    }

    /// How far a sink has come; registers it at the beginning if it is new.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn sink_position(&self, name: &str) -> Result<Position> {
        let position =
            sqlx::query_scalar!("select position from sink where name = $1", name).fetch_optional(&self.loops).await?;
        if let Some(position) = position {
            return Ok(Position(position));
        }
        sqlx::query!("insert into sink (name) values ($1) on conflict do nothing", name).execute(&self.loops).await?;
        Ok(Position(0))
    }

    /// Moves a sink forward and puts what it says into the outbox, in one transaction. `false`: somebody else moved it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn advance_sink(
        &self,
        name: &str,
        from: Position,
        to: Position,
        messages: &[NewMessage],
    ) -> Result<bool> {
        if messages.is_empty() {
            let moved = move_sink(&self.loops, name, from, to).await?;
            self.hub().wake(Topic::Settled);
            return Ok(moved);
        }
        let mut tx = begin(&self.loops).await?;
        if !move_sink(&mut *tx, name, from, to).await? {
            return Ok(false);
        }
        append::append(&mut tx, self.clock().now(), &[], messages).await?;
        tx.commit().await?;
        self.hub().wake(Topic::Outbox);
        self.hub().wake(Topic::Settled);
        Ok(true)
    }

    /// The chained events of a run up to a place, in order: what an echo is told from.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_run_events(&self, run: RunId, up_to: Position) -> Result<Vec<Event>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
                e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
                b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
            from event e join chain c on c.event = e.id left join event_body b on b.event = e.id
            where e.run = $1 and c.position <= $2 order by c.position
            "#,
            run.0,
            up_to.0
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(rows.into_iter().map(|row| ChainRow::from(row).event()).collect())
    }
}

/// Events by their numbers, sequenced or not, in no order.
pub(super) async fn rows_of_events(executor: impl sqlx::PgExecutor<'_>, ids: &[i64]) -> Result<Vec<ChainRow>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select c.position as "position?", c.hash as "hash?", e.id as "id!", e.kind as "kind!",
            e.schema as "schema!", e.at as "at!", e.system, e.environment, e.incident, e.run, e.audience, e.cause,
            e.commitment as "commitment!", b.salt as "salt?", b.body as "body?",
            b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
        from event e left join chain c on c.event = e.id left join event_body b on b.event = e.id
        where e.id = any($1)
        "#,
        ids
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(ChainRow::from).collect())
}

pub(super) async fn chained_after(
    connection: &mut sqlx::PgConnection,
    after: Position,
    limit: i64,
) -> Result<Vec<ChainRow>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        select c.position as "position?", c.hash as "hash?", coalesce(e.id, c.event) as "id!",
            coalesce(e.kind, '') as "kind!", coalesce(e.schema, 0::smallint) as "schema!",
            coalesce(e.at, 'epoch'::timestamptz) as "at!", e.system, e.environment, e.incident, e.run, e.audience,
            e.cause, coalesce(e.commitment, ''::bytea) as "commitment!", b.salt as "salt?", b.body as "body?",
            b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
        from chain c left join event e on e.id = c.event left join event_body b on b.event = c.event
        where c.position > $1 order by c.position limit $2
        "#,
        after.0,
        limit
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(ChainRow::from).collect())
}

/// Moves a sink's cursor, if it still stands where it was read.
async fn move_sink(executor: impl sqlx::PgExecutor<'_>, name: &str, from: Position, to: Position) -> Result<bool> {
    let moved = sqlx::query!("update sink set position = $3 where name = $1 and position = $2", name, from.0, to.0)
        .execute(executor)
        .await?;
    Ok(moved.rows_affected() == 1)
}

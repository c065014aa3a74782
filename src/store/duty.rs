//! Duties that are handed on: delegations (somebody else may answer for one) and handovers (somebody else takes over what one
//! has asked for).

use chrono::{DateTime, Utc};

use super::{Inconsistent, Request, Result, Store, StoreError, Tx};
use crate::model::approval::Delegation;
use crate::model::chat::RoomAddress;
use crate::model::id::{DelegationId, HandoverId, InboxId, PersonId, RequestId, RunId, ThreadId};

/// A delegation that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationRow {
    /// Its number.
    pub id: DelegationId,
    /// Its version.
    pub version: i64,
    /// Who lets whom answer, and until when.
    pub delegation: Delegation,
}

/// How a handover stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HandoverState {
    /// Nobody has taken it yet.
    Offered,
    /// Somebody has.
    Taken {
        /// Who.
        by: PersonId,
    },
    /// Nobody did in time, or another took its place.
    Lapsed,
}

/// A handover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// Its number.
    pub id: HandoverId,
    /// Its version.
    pub version: i64,
    /// Whose things they are.
    pub giver: PersonId,
    /// Who is asked to take them.
    pub receiver: PersonId,
    /// Why, if they said.
    pub reason: Option<String>,
    /// The requests that waited when it was offered.
    pub requests: Vec<RequestId>,
    /// The runs that were not over then.
    pub runs: Vec<RunId>,
    /// Whether automation was paused by them then.
    pub pause: bool,
    /// Where it was offered.
    pub room: RoomAddress,
    /// In which thread, if in one.
    pub thread: Option<ThreadId>,
    /// When.
    pub offered_at: DateTime<Utc>,
    /// How it stands.
    pub state: HandoverState,
    /// How often it was said again.
    pub reminded: u32,
}

/// A handover about to be offered.
#[derive(Debug, Clone, Copy)]
pub struct NewHandover<'a> {
    /// Whose things they are.
    pub giver: &'a PersonId,
    /// Who is asked to take them.
    pub receiver: &'a PersonId,
    /// Why, if they said; redacted.
    pub reason: Option<&'a str>,
    /// The requests that wait.
    pub requests: &'a [RequestId],
    /// The runs that are not over.
    pub runs: &'a [RunId],
    /// Whether automation is paused by them.
    pub pause: bool,
    /// Where.
    pub room: &'a RoomAddress,
    /// In which thread, if in one.
    pub thread: Option<&'a ThreadId>,
    /// By which line.
    pub line: InboxId,
    /// When it is said again.
    pub remind_at: DateTime<Utc>,
}

struct HandoverColumns {
    id: i64,
    version: i64,
    giver: String,
    receiver: String,
    reason: Option<String>,
    requests: Vec<i64>,
    runs: Vec<i64>,
    pause: bool,
    room: String,
    thread: Option<String>,
    offered_at: DateTime<Utc>,
    state: String,
    taken_by: Option<String>,
    reminded: i32,
}

impl TryFrom<HandoverColumns> for Handover {
    type Error = Inconsistent;
    fn try_from(row: HandoverColumns) -> Result<Self, Inconsistent> {
        let wrong = |column| Inconsistent::at(format!("handover {}", row.id), column);
        let state = match (row.state.as_str(), row.taken_by) {
            ("offered", None) => HandoverState::Offered,
            ("taken", Some(by)) => HandoverState::Taken { by: PersonId::new(by) },
            ("lapsed", None) => HandoverState::Lapsed,
            _ => return Err(wrong("state")),
        };
        Ok(Self {
            id: HandoverId(row.id),
            version: row.version,
            room: row.room.parse().map_err(|_| wrong("room"))?,
            reminded: u32::try_from(row.reminded).map_err(|_| wrong("reminded"))?,
            giver: PersonId::new(row.giver),
            receiver: PersonId::new(row.receiver),
            reason: row.reason,
            requests: row.requests.into_iter().map(RequestId).collect(),
            runs: row.runs.into_iter().map(RunId).collect(),
            pause: row.pause,
            thread: row.thread.map(ThreadId::new),
            offered_at: row.offered_at,
            state,
        })
    }
}

impl Store {
    /// The numbers of the handovers that are offered and to be looked at now, the longest due first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_handovers_due(&self) -> Result<Vec<HandoverId>> {
        let ids = sqlx::query_scalar!(
            "select id from handover where state = 'offered' and remind_at <= $1 order by remind_at, id limit 100",
            self.clock().now()
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(ids.into_iter().map(HandoverId).collect())
    }

    /// A handover by its number.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row contradicts the model.
    pub async fn find_handover(&self, id: HandoverId) -> Result<Option<Handover>> {
        let row = sqlx::query_as!(
            HandoverColumns,
            r#"
            select id, version, giver, receiver, reason, requests, runs, pause, room, thread, offered_at, state, taken_by,
                reminded
            from handover where id = $1
            "#,
            id.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Handover::try_from).transpose()?)
    }
}

impl Tx {
    /// Lets nobody else change a delegation until this transaction ends.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn lock_delegations(&mut self) -> Result<()> {
        sqlx::query!("lock table delegation in share row exclusive mode").execute(&mut *self.inner).await?;
        Ok(())
    }

    /// The delegations that hold now, oldest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_delegation_rows(&mut self) -> Result<Vec<DelegationRow>> {
        let rows = sqlx::query!(
            r#"
            select id, version, giver, receiver, since, until from delegation
            where ended_at is null and since <= $1 and until > $1 order by id
            "#,
            self.now(),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let rows = rows.into_iter().map(|row| DelegationRow {
            id: DelegationId(row.id),
            version: row.version,
            delegation: Delegation {
                giver: PersonId::new(row.giver),
                receiver: PersonId::new(row.receiver),
                since: row.since,
                until: row.until,
            },
        });
        Ok(rows.collect())
    }

    /// Inserts a delegation that begins now; its version is 1.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_delegation(
        &mut self,
        giver: &PersonId,
        receiver: &PersonId,
        until: DateTime<Utc>,
        line: InboxId,
    ) -> Result<DelegationId> {
        let id = sqlx::query_scalar!(
            "insert into delegation (giver, receiver, since, until, line) values ($1, $2, $3, $4, $5) returning id",
            giver.as_str(),
            receiver.as_str(),
            self.now(),
            until,
            line.0,
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(DelegationId(id))
    }

    /// Ends a delegation before its time; returns its new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it had ended.
    pub async fn end_delegation(&mut self, row: &DelegationRow) -> Result<i64> {
        sqlx::query_scalar!(
            r#"
            update delegation set ended_at = $3, version = version + 1
            where id = $1 and version = $2 and ended_at is null returning version
            "#,
            row.id.0,
            row.version,
            self.now(),
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(format!("delegation {}", row.id), "given"))
    }

    /// The requests that wait and ask somebody in their own name, oldest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_asking(&mut self, person: &PersonId) -> Result<Vec<RequestId>> {
        let ids = sqlx::query_scalar!(
            r#"
            select id from request q where state = 'pending' and exists (
                select from asked a where a.request = q.id and a.person = $1 and not starts_with(a.because, 'delegate:'))
            order by id
            "#,
            person.as_str(),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(ids.into_iter().map(RequestId).collect())
    }

    /// The runs that are not over and concern somebody: they asked and nobody took over, or they took over. Oldest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_runs_of(&mut self, person: &PersonId) -> Result<Vec<RunId>> {
        let ids = sqlx::query_scalar!(
            r#"
            select id from run
            where coalesce(handed_to, requester) = $1
                and state in ('planned', 'awaiting_approval', 'approved', 'running', 'stuck', 'stopping')
            order by id
            "#,
            person.as_str(),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(ids.into_iter().map(RunId).collect())
    }

    /// Inserts a handover; its version is 1.
    ///
    /// # Errors
    /// When the database refuses: also when the same person offers another.
    pub async fn insert_handover(&mut self, new: NewHandover<'_>) -> Result<HandoverId> {
        let requests: Vec<i64> = new.requests.iter().map(|request| request.0).collect();
        let runs: Vec<i64> = new.runs.iter().map(|run| run.0).collect();
        let id = sqlx::query_scalar!(
            r#"
            insert into handover (giver, receiver, reason, requests, runs, pause, room, thread, offered_at, line, remind_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) returning id
            "#,
            new.giver.as_str(),
            new.receiver.as_str(),
            new.reason,
            &requests,
            &runs,
            new.pause,
            new.room.to_string(),
            new.thread.map(ThreadId::as_str),
            self.now(),
            new.line.0,
            new.remind_at,
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(HandoverId(id))
    }

    /// Locks the handovers that are offered, oldest first, and reads them.
    ///
    /// # Errors
    /// When the database refuses, or a row contradicts the model.
    pub async fn lock_handovers(&mut self) -> Result<Vec<Handover>> {
        let rows = sqlx::query_as!(
            HandoverColumns,
            r#"
            select id, version, giver, receiver, reason, requests, runs, pause, room, thread, offered_at, state, taken_by,
                reminded
            from handover where state = 'offered' order by id for update
            "#
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(Handover::try_from).collect::<Result<_, _>>()?)
    }

    /// Ends a handover that is offered; returns its new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn end_handover(&mut self, handover: &Handover, taken_by: Option<&PersonId>) -> Result<i64> {
        sqlx::query_scalar!(
            r#"
            update handover set state = $3, taken_by = $4, ended_at = $5, version = version + 1
            where id = $1 and version = $2 and state = 'offered' returning version
            "#,
            handover.id.0,
            handover.version,
            if taken_by.is_some() { "taken" } else { "lapsed" },
            taken_by.map(PersonId::as_str),
            self.now(),
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(format!("handover {}", handover.id), "offered"))
    }

    /// Notes that a handover was said again, and when it is looked at next.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn set_handover_reminded(&mut self, handover: &Handover, next: DateTime<Utc>) -> Result<()> {
        let done = sqlx::query!(
            r#"
            update handover set reminded = reminded + 1, remind_at = $4
            where id = $1 and version = $2 and reminded = $3 and state = 'offered'
            "#,
            handover.id.0,
            handover.version,
            i32::try_from(handover.reminded).unwrap_or(i32::MAX),
            next,
        )
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(moved(format!("handover {}", handover.id), "offered"))
    }

    /// Says whom a run that is not over concerns from now on. Its state and version stay: whoever executes it goes on.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_run_handed_to(&mut self, run: RunId, to: &PersonId) -> Result<()> {
        sqlx::query!("update run set handed_to = $2 where id = $1", run.0, to.as_str())
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Says who counts as having asked for a request that waits, locked and read before. Its state and version stay.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it no longer waits.
    pub async fn set_requesters(&mut self, request: &Request, requesters: &[PersonId]) -> Result<()> {
        let names: Vec<String> = requesters.iter().map(ToString::to_string).collect();
        let done = sqlx::query!(
            "update request set requesters = $3 where id = $1 and version = $2 and state = 'pending'",
            request.id.0,
            request.version,
            &names,
        )
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(moved(format!("request {}", request.code), "pending"))
    }
}

fn moved(row: String, expected: &str) -> StoreError {
    StoreError::Moved { row, expected: expected.to_owned() }
}

//! Waking people: when requests are looked at next, what has been done for them, and the rings that are on their way.
//!
//! Every step is one transaction on the locked row of its request and names how many were done before it, so that two
//! processes never do the same one. A ring is a row made with its step; whoever sends it counts the try first.

use chrono::{DateTime, TimeDelta, Utc};

use super::begin::begin;
use super::{Request, Result, Store, StoreError, Tx};
use crate::model::id::{PersonId, RequestId, RingId};

/// What has been done for a stage, and when it is looked at next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewWaking {
    /// How many of its steps are done.
    pub woken: u32,
    /// From when they are counted.
    pub from: DateTime<Utc>,
    /// When it is looked at next; `None`: nothing more comes.
    pub next: Option<DateTime<Utc>>,
}

/// Somebody to be called.
#[derive(Debug, Clone, Copy)]
pub struct Ring<'a> {
    /// For which request.
    pub request: RequestId,
    /// In which stage, counted from 0.
    pub stage: u32,
    /// Who.
    pub people: &'a [PersonId],
}

/// A ring that is tried now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingRing {
    /// Its number: the same at every try.
    pub id: RingId,
    /// For which request.
    pub request: RequestId,
    /// In which stage, counted from 0.
    pub stage: u32,
    /// Who.
    pub people: Vec<PersonId>,
    /// How often it has been tried, with this time.
    pub tries: u32,
    /// What the try before came to, if somebody saw it.
    pub why: Option<String>,
}

/// How a ring ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingEnd {
    /// The webhook took it.
    Rung,
    /// It was given up.
    Failed,
    /// The request no longer waits.
    Dropped,
}

impl RingEnd {
    fn name(self) -> &'static str {
        match self {
            Self::Rung => "rung",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

fn number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Store {
    /// The requests that wait and are to be looked at now, the longest due first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_to_wake(&self, limit: i64) -> Result<Vec<RequestId>> {
        let ids = sqlx::query_scalar!(
            r#"
            select id from request where state = 'pending' and wake_at is not null and wake_at <= $1
            order by wake_at, id limit $2
            "#,
            self.clock().now(),
            limit,
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(ids.into_iter().map(RequestId).collect())
    }

    /// When the next request is to be looked at, if one is.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn next_wake(&self) -> Result<Option<DateTime<Utc>>> {
        let next = sqlx::query_scalar!(
            r#"
            select wake_at as "wake_at!" from request where state = 'pending' and wake_at is not null
            order by wake_at, id limit 1
            "#
        );
        Ok(next.fetch_optional(&self.loops).await?)
    }

    /// Takes the ring that is due the longest, if one is, and counts a try of it. Nobody else takes it before `pause` is over,
    /// which must be longer than a try; a try that nobody sees the end of is made again then. `pause` is told how often it
    /// was tried before.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn take_ring(&self, pause: impl Fn(u32) -> TimeDelta) -> Result<Option<WaitingRing>> {
        let now = self.clock().now();
        let mut tx = begin(&self.loops).await?;
        let row = sqlx::query!(
            r#"
            select id, request, stage, people, tries, why from ring where state = 'waiting' and next_try_at <= $1
            order by next_try_at, id limit 1 for update skip locked
            "#,
            now
        )
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let before = u32::try_from(row.tries).unwrap_or(0);
        sqlx::query!(
            "update ring set tries = tries + 1, next_try_at = $2, why = null where id = $1",
            row.id,
            now + pause(before)
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Some(WaitingRing {
            id: RingId(row.id),
            request: RequestId(row.request),
            stage: u32::try_from(row.stage).unwrap_or(0),
            people: row.people.into_iter().map(PersonId::new).collect(),
            tries: before.saturating_add(1),
            why: row.why,
        }))
    }

    /// Notes what a try of a ring came to that is made again.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_ring_why(&self, ring: RingId, why: &str) -> Result<()> {
        sqlx::query!("update ring set why = $2 where id = $1 and state = 'waiting'", ring.0, why)
            .execute(&self.loops)
            .await?;
        Ok(())
    }
}

impl Tx {
    /// Notes what has been done for the stage of a request that was locked and read, and when it is looked at next.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn set_woken(&mut self, request: &Request, to: NewWaking) -> Result<()> {
        let done = sqlx::query!(
            r#"
            update request set woken = $3, wake_from = $4, wake_at = $5
            where id = $1 and woken = $2 and version = $6 and state = 'pending'
            "#,
            request.id.0,
            number(request.woken),
            number(to.woken),
            to.from,
            to.next,
            request.version,
        )
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(StoreError::Moved { row: format!("request {}", request.code), expected: "pending".to_owned() })
    }

    /// Notes who looks at a request, and until when nobody is woken for that.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_looking(&mut self, request: RequestId, by: &PersonId, until: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            "update request set looking_by = $2, looking_until = $3 where id = $1",
            request.0,
            by.as_str(),
            until
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Puts a ring on its way.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_ring(&mut self, ring: Ring<'_>) -> Result<RingId> {
        let people: Vec<String> = ring.people.iter().map(ToString::to_string).collect();
        let id = sqlx::query_scalar!(
            r#"
            insert into ring (request, stage, people, made_at, next_try_at) values ($1, $2, $3, $4, $4) returning id
            "#,
            ring.request.0,
            number(ring.stage),
            &people,
            self.now(),
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(RingId(id))
    }

    /// Ends a ring. `false`: it had ended.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn end_ring(&mut self, ring: RingId, end: RingEnd) -> Result<bool> {
        let done = sqlx::query!("update ring set state = $2 where id = $1 and state = 'waiting'", ring.0, end.name())
            .execute(&mut *self.inner)
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

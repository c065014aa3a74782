//! Approvals that cover several runs of the same plan until a time.

use chrono::{DateTime, Utc};

use super::rows::Inconsistent;
use super::{Result, Tx};
use crate::model::chat::RoomAddress;
use crate::model::id::{Digest, GrantId, PersonId, RequestId, RunbookName, TriggerName};

/// An approval that covers further runs.
#[derive(Debug, Clone)]
pub struct Cover {
    /// The request that was approved.
    pub request: RequestId,
    /// How many runs it covers, with its own.
    pub runs: u32,
    /// How many it has covered.
    pub used: u32,
    /// Until when.
    pub until: DateTime<Utc>,
}

struct Row {
    request: i64,
    runs: i32,
    used: i32,
    until: DateTime<Utc>,
}

impl TryFrom<Row> for Cover {
    type Error = Inconsistent;
    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let wrong = |column| Inconsistent::at(format!("cover {}", row.request), column);
        Ok(Self {
            request: RequestId(row.request),
            runs: u32::try_from(row.runs).map_err(|_| wrong("runs"))?,
            used: u32::try_from(row.used).map_err(|_| wrong("used"))?,
            until: row.until,
        })
    }
}

impl Tx {
    /// Notes that a request that was just approved covers further runs of its plan. Its own run is the first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_cover(
        &mut self,
        request: RequestId,
        digest: Digest,
        runs: u32,
        until: DateTime<Utc>,
    ) -> Result<()> {
        sqlx::query!(
            "insert into cover (request, digest, runs, until) values ($1, $2, $3, $4)",
            request.0,
            &digest.0,
            i32::try_from(runs).unwrap_or(i32::MAX),
            until,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// The approvals in force that still cover a run: of one plan, or of any; those that last longest first.
    ///
    /// # Errors
    /// When the database refuses, or a row contradicts the model.
    pub async fn list_covers(&mut self, digest: Option<Digest>) -> Result<Vec<Cover>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select request, runs, used, until from cover
            where ended_at is null and until > $1 and ($2::bytea is null or digest = $2) and used < runs
            order by until desc, request
            "#,
            self.now(),
            digest.as_ref().map(|digest| &digest.0[..]),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(Cover::try_from).collect::<Result<_, _>>()?)
    }

    /// Takes one more run of an approval, if there is one left and its time is not over: one guarded statement, so that two at
    /// once never take more than there are. Returns it as it is then.
    ///
    /// # Errors
    /// As [`Tx::list_covers`].
    pub async fn take_cover(&mut self, request: RequestId, digest: Digest) -> Result<Option<Cover>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            update cover set used = used + 1
            where request = $1 and digest = $2 and used < runs and until > $3 and ended_at is null
            returning request, runs, used, until
            "#,
            request.0,
            &digest.0,
            self.now(),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(Cover::try_from).transpose()?)
    }

    /// Whether a run that was started under an approval stands in a room.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn covers_run_in(&mut self, request: RequestId, room: &RoomAddress) -> Result<bool> {
        let there = sqlx::query_scalar!(
            r#"
            select exists (select from run_grant g join run r on r.id = g.run where g.under = $1 and r.room = $2) as "there!"
            "#,
            request.0,
            room.to_string(),
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(there)
    }

    /// Ends an approval for further runs. Returns it as it is then; `None`: it was not in force.
    ///
    /// # Errors
    /// As [`Tx::list_covers`].
    pub async fn end_cover(&mut self, request: RequestId, by: &PersonId) -> Result<Option<Cover>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            update cover set ended_by = $2, ended_at = $3
            where request = $1 and until > $3 and ended_at is null returning request, runs, used, until
            "#,
            request.0,
            by.as_str(),
            self.now(),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(Cover::try_from).transpose()?)
    }

    /// Notes that a grant was given because its policy lets whoever asked start it: what [`Tx::count_unasked`] counts.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_grant_unasked(&mut self, grant: GrantId) -> Result<()> {
        sqlx::query!("update run_grant set unasked = true where id = $1", grant.0).execute(&mut *self.inner).await?;
        Ok(())
    }

    /// How many runs of a runbook were started since a moment because a policy lets people start it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count_unasked(&mut self, runbook: &RunbookName, since: DateTime<Utc>) -> Result<u32> {
        let count = sqlx::query_scalar!(
            r#"
            select count(*) as "count!" from run_grant g join run r on r.id = g.run
            where g.unasked and g.granted_at > $2 and r.runbook = $1
            "#,
            runbook.as_str(),
            since,
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// How many runs of a runbook a trigger started by itself since a moment. What starts by itself is granted in the very
    /// transaction that makes it; what somebody agreed to is granted later, and never counts.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn count_automatic(
        &mut self,
        trigger: &TriggerName,
        runbook: &RunbookName,
        since: DateTime<Utc>,
    ) -> Result<u32> {
        let count = sqlx::query_scalar!(
            r#"
            select count(*) as "count!" from run r join run_grant g on g.run = r.id and g.granted_at = r.created_at
            where r.runbook = $1 and r.created_at > $2 and r.trigger = $3
            "#,
            runbook.as_str(),
            since,
            trigger.as_str(),
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Notes under which approval a grant was given, and which run under it that is.
    ///
    /// # Errors
    /// When the database refuses: also when that run was counted before.
    pub async fn set_grant_under(&mut self, grant: GrantId, under: RequestId, number: u32) -> Result<()> {
        sqlx::query!(
            "update run_grant set under = $2, under_number = $3 where id = $1",
            grant.0,
            under.0,
            i32::try_from(number).unwrap_or(i32::MAX),
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}

//! Runs that are approved and start later: which are to be looked at, and that one may begin.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Request, Result, Run, Store, StoreError, Tx};
use crate::model::id::{RequestId, RunId};

/// For how long it counts that a run was seen to hold: who begins it later looks again.
pub(super) const CLEARED_FOR: TimeDelta = TimeDelta::seconds(30);

impl Store {
    /// Runs whose time has come and that nobody has begun, each with the request that was granted.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_to_clear(&self) -> Result<Vec<(RunId, RequestId)>> {
        let now = self.clock().now();
        let rows = sqlx::query!(
            r#"
            select run.id, q.id as request from run join request q on q.run = run.id and q.state = 'granted'
            where run.state = 'approved' and run.not_before is not null and run.not_before <= $1
                and (run.cleared_at is null or run.cleared_at <= $2)
                and (run.holder is null or run.lease_until <= $1)
                and not exists (select from attempt where attempt.run = run.id)
            order by run.not_before, run.id limit 100
            "#,
            now,
            now - CLEARED_FOR,
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(rows.into_iter().map(|row| (RunId(row.id), RequestId(row.request))).collect())
    }

    /// When the time of the next such run comes, if one waits.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn next_to_clear(&self) -> Result<Option<DateTime<Utc>>> {
        let next = sqlx::query_scalar!(
            r#"
            select not_before as "at!" from run where state = 'approved' and not_before is not null and not_before > $1
            order by not_before limit 1
            "#,
            self.clock().now(),
        );
        Ok(next.fetch_optional(&self.loops).await?)
    }
}

impl Tx {
    /// Lets a run begin whose time has come: everything that it was approved on holds now.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn clear_run(&mut self, run: &Run) -> Result<()> {
        let done = sqlx::query!(
            "update run set cleared_at = $3 where id = $1 and version = $2 and state = 'approved'",
            run.id.0,
            run.version,
            self.now(),
        )
        .execute(&mut *self.inner)
        .await?;
        if done.rows_affected() == 1 {
            self.wakes_runs = true;
            Ok(())
        } else {
            Err(StoreError::Moved { row: format!("run {}", run.id), expected: run.state.name().to_owned() })
        }
    }

    /// Requests in a room whose runs are approved and begin later, the next one first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_later_in(&mut self, room: &crate::model::chat::RoomAddress) -> Result<Vec<Request>> {
        let ids = sqlx::query_scalar!(
            r#"
            select q.id from request q join run on run.id = q.run
            where run.state = 'approved' and run.not_before is not null and q.state = 'granted' and run.room = $1
                and not exists (select from attempt where attempt.run = run.id)
            order by run.not_before, run.id
            "#,
            room.to_string(),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let mut found = Vec::new();
        for id in ids {
            found.extend(self.find_request(RequestId(id)).await?);
        }
        Ok(found)
    }
}

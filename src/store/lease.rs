//! Workers and leases (I2).
//!
//! A lease has a holder, an end and a fencing number that grows with every change of holder. Whoever holds one renews it
//! well before its end, and stops acting when it could not. A process that proves another dead takes its leases at once.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Result, Store};
use crate::model::id::RunId;
use crate::sys::ProcessIdentity;

/// A process that works on this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub i64);

/// A lease as taken or renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The number that every write under it names.
    pub fence: i64,
    /// Until when somebody, this worker included, may have acted under it before; `None`: nobody ever held it.
    pub held_before: Option<DateTime<Utc>>,
}

/// A worker that has not ended, as registered.
#[derive(Debug, Clone)]
pub struct WorkerRow {
    /// Its number.
    pub id: WorkerId,
    /// Its process.
    pub process: ProcessIdentity,
}

fn end(now: DateTime<Utc>, length: Duration) -> DateTime<Utc> {
    now + chrono::TimeDelta::from_std(length).unwrap_or(chrono::TimeDelta::MAX)
}

impl Store {
    /// Registers this process as a worker.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_worker(&self, process: &ProcessIdentity) -> Result<WorkerId> {
        let id = sqlx::query_scalar!(
            "insert into worker (machine, boot, pid, pid_started, began_at) values ($1, $2, $3, $4, $5) returning id",
            process.machine,
            process.boot,
            i64::from(process.pid),
            i64::try_from(process.started).unwrap_or(i64::MAX),
            self.clock().now(),
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(WorkerId(id))
    }

    /// Workers that have not said that they ended, other than this one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_other_workers(&self, me: WorkerId) -> Result<Vec<WorkerRow>> {
        let rows = sqlx::query!(
            "select id, machine, boot, pid, pid_started from worker where ended_at is null and id <> $1",
            me.0
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(rows
            .into_iter()
            .map(|row| WorkerRow {
                id: WorkerId(row.id),
                process: ProcessIdentity {
                    machine: row.machine,
                    boot: row.boot,
                    pid: u32::try_from(row.pid).unwrap_or(0),
                    started: u64::try_from(row.pid_started).unwrap_or(0),
                },
            })
            .collect())
    }

    /// Ends a worker that is proved dead, or ended by itself: what it held can be taken at once.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn end_worker(&self, worker: WorkerId) -> Result<()> {
        let now = self.clock().now();
        sqlx::query!(
            r#"
            with l as (update lease set until = $2 where holder = $1 and until > $2),
                 -- Only these are held; their index leads to them, past all that are over.
                 r as (update run set lease_until = $2 where holder = $1 and lease_until > $2
                    and state in ('planned', 'approved', 'running', 'stopping'))
            update worker set ended_at = $2 where id = $1 and ended_at is null
            "#,
            worker.0,
            now
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Takes a named lease, or renews it if this worker holds it. `None`: somebody else holds it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn take_lease(&self, name: &str, me: WorkerId, length: Duration) -> Result<Option<Lease>> {
        let now = self.clock().now();
        let row = sqlx::query!(
            r#"
            insert into lease as l (name, holder, fence, until) values ($1, $2, 1, $4)
            on conflict (name) do update set
                holder = $2, until = $4, fence = l.fence + (case when l.holder = $2 and l.until > $3 then 0 else 1 end),
                held_before = case when l.holder = $2 and l.until > $3 then $3 else l.until end
                where l.holder = $2 or l.holder is null or l.until <= $3
            returning fence, held_before
            "#,
            name,
            me.0,
            now,
            end(now, length),
        )
        .fetch_optional(&self.loops)
        .await?;
        Ok(row.map(|row| Lease { fence: row.fence, held_before: row.held_before }))
    }

    /// Claims up to `limit` runs that have something to do and that nobody holds; returns them with their new fences. What
    /// this worker drives already (`mine`) is never claimed, even if its lease has ended; what it holds without knowing,
    /// because an answer was lost, is.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn claim_runs(
        &self,
        me: WorkerId,
        length: Duration,
        limit: i64,
        mine: &[RunId],
    ) -> Result<Vec<(RunId, i64)>> {
        let now = self.clock().now();
        let mine: Vec<i64> = mine.iter().map(|run| run.0).collect();
        let rows = sqlx::query!(
            r#"
            update run set holder = $1, lease_until = $3, fence = fence + 1
            where id in (
                select id from run
                where state in ('planned', 'approved', 'running', 'stopping')
                    and (holder is null or lease_until <= $2 or holder = $1)
                    and id <> all($5)
                    -- What starts later begins once it was seen, a moment ago, that it still may.
                    and (not_before is null or state <> 'approved'
                        or (not_before <= $2 and cleared_at > $6)
                        or exists (select from attempt where attempt.run = run.id))
                order by id limit $4 for update skip locked)
            returning id, fence
            "#,
            me.0,
            now,
            end(now, length),
            limit,
            &mine,
            now - super::later::CLEARED_FOR,
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(rows.into_iter().map(|row| (RunId(row.id), row.fence)).collect())
    }

    /// Runs that this worker holds and that somebody has stopped.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_stopping(&self, me: WorkerId) -> Result<Vec<RunId>> {
        let ids = sqlx::query_scalar!("select id from run where holder = $1 and state = 'stopping'", me.0)
            .fetch_all(&self.loops)
            .await?;
        Ok(ids.into_iter().map(RunId).collect())
    }

    /// Renews the leases of runs that this worker holds; returns those that it still held. A lease that has ended is not
    /// renewed: somebody else may have it by now.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn renew_runs(&self, me: WorkerId, runs: &[(RunId, i64)], length: Duration) -> Result<Vec<RunId>> {
        let now = self.clock().now();
        let ids: Vec<i64> = runs.iter().map(|(run, _)| run.0).collect();
        let fences: Vec<i64> = runs.iter().map(|(_, fence)| *fence).collect();
        let renewed = sqlx::query_scalar!(
            r#"
            update run set lease_until = $3 from unnest($4::bigint[], $5::bigint[]) as mine (run, fence)
            where run.id = mine.run and run.holder = $1 and run.fence = mine.fence and run.lease_until > $2
            returning run.id
            "#,
            me.0,
            now,
            end(now, length),
            &ids,
            &fences,
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(renewed.into_iter().map(RunId).collect())
    }

    /// Lets go of a run: whoever comes next may claim it.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn release_run(&self, me: WorkerId, run: RunId, fence: i64) -> Result<()> {
        sqlx::query!(
            "update run set holder = null, lease_until = null where id = $1 and holder = $2 and fence = $3",
            run.0,
            me.0,
            fence
        )
        .execute(&self.loops)
        .await?;
        Ok(())
    }
}

//! Moving runs forward: many at once in one transaction, each guarded on its own (group commit).
//!
//! "Finished step 3" and "started step 4" of a run are one [`Advance`]. A batch either passes all its guards or is rolled
//! back and tried one by one, so that one run whose lease was lost does not hold up the others. Keeps I1 (the guarded
//! update of the grant's row stands in the same transaction as the attempt), I2 (every write names holder and fence), I3
//! (an attempt's key is unique) and I4 (events commit with the change).

use sqlx::{Postgres, Transaction};

use super::append::EventColumns;
use super::begin::begin;
use super::lease::WorkerId;
use super::rows::{self, AttemptKey, StoredGrant};
use super::runs::{self, NewAttemptOutput};
use super::watch::{self, Automation};
use super::{Result, Store, StoreError, Topic};
use crate::metrics;
use crate::model::event::{EVENT_SCHEMA, NewEvent};
use crate::model::id::{Digest, GrantId, RunId};
use crate::model::request::GrantState;
use crate::model::run::{AttemptState, RunState};
use crate::sys::ProcessIdentity;

/// One step forward of one run.
#[derive(Debug, Clone)]
pub struct Advance {
    /// The run.
    pub run: RunId,
    /// The version that it must have.
    pub version: i64,
    /// The state that it must be in.
    pub from: RunState,
    /// The fence under which this worker holds it.
    pub fence: i64,
    /// The state that it takes.
    pub to: RunState,
    /// The attempt that ended.
    pub ended: Option<Ended>,
    /// The attempt that starts.
    pub started: Option<Started>,
    /// A grant that ends with this, and how.
    pub grant_ends: Option<(GrantId, i64, GrantState)>,
    /// What happened, in order.
    pub events: Vec<NewEvent>,
}

/// An attempt that ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which.
    pub key: AttemptKey,
    /// As what: not `Started` and not `Judged`.
    pub state: AttemptState,
    /// The exit code, if its process ended by itself.
    pub exit_code: Option<i32>,
    /// One line for people.
    pub summary: String,
    /// Its output and that output's hash.
    pub output: Option<(NewAttemptOutput, Digest)>,
}

/// An attempt that starts.
#[derive(Debug, Clone)]
pub struct Started {
    /// Which.
    pub key: AttemptKey,
    /// The grant under which and the digest that it grants; `None` for a step that only reads.
    pub grant: Option<(GrantId, Digest)>,
}

/// Why a run did not move.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// A guard was not met: the run was moved by somebody else, the lease was lost, or the grant is no longer in force.
    #[error("run {0} was moved by somebody else, or its lease or grant has ended")]
    Guard(RunId),
    /// The database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for AdvanceError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(StoreError::Database(error))
    }
}

/// A transaction that moves runs forward. It begins with the first lock; a batch that needs none is one statement, and
/// that is its own transaction.
#[derive(Debug)]
pub struct AdvanceTx {
    inner: Option<sqlx::Transaction<'static, sqlx::Postgres>>,
    store: Store,
    me: WorkerId,
}

impl Store {
    /// A transaction that moves runs forward.
    pub fn advance_tx(&self, me: WorkerId) -> AdvanceTx {
        AdvanceTx { inner: None, store: self.clone(), me }
    }

    /// Notes the process of an attempt, once it exists. No event: it changes nothing that people agreed to.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_attempt_process(&self, key: AttemptKey, fence: i64, process: &ProcessIdentity) -> Result<()> {
        sqlx::query!(
            r#"
            update attempt set machine = $5, boot = $6, pid = $7, pid_started = $8
            where run = $1 and step = $2 and number = $3 and fence = $4
            "#,
            key.run.0,
            i32::try_from(key.step).unwrap_or(i32::MAX),
            i32::try_from(key.number).unwrap_or(i32::MAX),
            fence,
            process.machine,
            process.boot,
            i64::from(process.pid),
            i64::try_from(process.started).unwrap_or(i64::MAX),
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}

#[derive(Default)]
struct Columns {
    run: Vec<i64>,
    version: Vec<i64>,
    from: Vec<String>,
    fence: Vec<i64>,
    to: Vec<String>,
    by: Vec<Option<String>>,
    at_step: Vec<Option<i32>>,
    why: Vec<Option<String>>,
    over: Vec<bool>,
    ended_step: Vec<Option<i32>>,
    ended_number: Vec<Option<i32>>,
    ended_state: Vec<Option<String>>,
    exit_code: Vec<Option<i32>>,
    summary: Vec<Option<String>>,
    output: Vec<Option<Vec<u8>>>,
    output_left_out: Vec<Option<i64>>,
    output_sha256: Vec<Option<Vec<u8>>>,
    started_step: Vec<Option<i32>>,
    started_number: Vec<Option<i32>>,
    grant: Vec<Option<i64>>,
    grant_digest: Vec<Option<Vec<u8>>>,
    ends_grant: Vec<Option<i64>>,
    ends_version: Vec<Option<i64>>,
    ends_state: Vec<Option<String>>,
}

fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

impl Columns {
    fn of(batch: &[Advance]) -> Self {
        let mut c = Self::default();
        for advance in batch {
            let (by, at_step, why) = rows::run_columns(&advance.to);
            c.run.push(advance.run.0);
            c.version.push(advance.version);
            c.from.push(advance.from.name().to_owned());
            c.fence.push(advance.fence);
            c.to.push(advance.to.name().to_owned());
            c.by.push(by);
            c.at_step.push(at_step);
            c.why.push(why);
            // Whoever waits for a person or is over is held by nobody.
            c.over.push(advance.to.is_over() || advance.to.waits_for_a_person());
            let ended = advance.ended.as_ref();
            c.ended_step.push(ended.map(|ended| small(ended.key.step)));
            c.ended_number.push(ended.map(|ended| small(ended.key.number)));
            c.ended_state.push(ended.map(|ended| ended.state.name().to_owned()));
            c.exit_code.push(ended.and_then(|ended| ended.exit_code));
            c.summary.push(ended.map(|ended| ended.summary.clone()));
            let output = ended.and_then(|ended| ended.output.as_ref());
            c.output.push(output.map(|(output, _)| output.bytes.clone()));
            c.output_left_out.push(output.map(|(output, _)| i64::try_from(output.left_out).unwrap_or(i64::MAX)));
            c.output_sha256.push(output.map(|(_, digest)| digest.0.to_vec()));
            let started = advance.started.as_ref();
            c.started_step.push(started.map(|started| small(started.key.step)));
            c.started_number.push(started.map(|started| small(started.key.number)));
            let grant = started.and_then(|started| started.grant);
            c.grant.push(grant.map(|(grant, _)| grant.0));
            c.grant_digest.push(grant.map(|(_, digest)| digest.0.to_vec()));
            c.ends_grant.push(advance.grant_ends.map(|(grant, _, _)| grant.0));
            c.ends_version.push(advance.grant_ends.map(|(_, version, _)| version));
            c.ends_state.push(advance.grant_ends.map(|(_, _, state)| state.name().to_owned()));
        }
        c
    }
}

impl AdvanceTx {
    /// Whether automation is paused; it stays so until this transaction ends. Comes before every other lock.
    ///
    /// # Errors
    /// When the database refuses, or the row contradicts the model.
    pub async fn share_automation(&mut self) -> Result<Automation> {
        watch::share_automation(self.inner().await?).await
    }

    async fn inner(&mut self) -> Result<&mut Transaction<'static, Postgres>> {
        Ok(match &mut self.inner {
            Some(tx) => tx,
            none => none.insert(begin(&self.store.pool).await?),
        })
    }

    /// Locks and reads the grants in force of runs, with all that a Grant is derived from.
    ///
    /// # Errors
    /// When the database refuses, or a row contradicts the model.
    pub async fn lock_grants(&mut self, runs: &[RunId]) -> Result<Vec<StoredGrant>> {
        let ids: Vec<i64> = runs.iter().map(|run| run.0).collect();
        runs::lock_grants(self.inner().await?, &ids).await
    }

    /// Applies a batch and commits it: all of it, or, when a guard is not met, none of it. Every run stands in it once.
    /// When it returns, states, attempts and events are durable.
    ///
    /// # Errors
    /// [`AdvanceError::Guard`] when any guard was not met (the run named is the first of the batch: with a batch of one it
    /// is the one).
    pub async fn apply(self, batch: &[Advance]) -> Result<(), AdvanceError> {
        let Some(first) = batch.first() else { return Ok(()) };
        let done = match self.inner {
            None => write(&self.store.pool, self.store.clock().now(), self.me, batch).await,
            Some(mut tx) => match write(&mut *tx, self.store.clock().now(), self.me, batch).await {
                Ok(()) => tx.commit().await.map_err(StoreError::Database),
                Err(error) => Err(error),
            },
        };
        match done {
            Ok(()) => {}
            Err(StoreError::Database(error)) if is_unmet_guard(&error) => return Err(AdvanceError::Guard(first.run)),
            Err(error) => return Err(error.into()),
        }
        metrics::committed(batch.iter().flat_map(|advance| &advance.events));
        self.store.hub().wake(Topic::Unsequenced);
        self.store.hub().wake(Topic::Settled);
        Ok(())
    }
}

/// Whether a statement ended by its own division by zero: see [`write()`].
fn is_unmet_guard(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).as_deref() == Some("22012")
}

/// Writes a batch: states, attempts, grants and events in one statement. If a guard is not met the statement divides by
/// zero, so that nothing of it stays, inside a transaction or without one.
async fn write(
    executor: impl sqlx::PgExecutor<'_>,
    now: chrono::DateTime<chrono::Utc>,
    me: WorkerId,
    batch: &[Advance],
) -> Result<()> {
    let c = Columns::of(batch);
    let e = EventColumns::of(batch.iter().flat_map(|advance| &advance.events))?;
    let expected = |present: fn(&Advance) -> bool| batch.iter().filter(|advance| present(advance)).count() as i64;
    sqlx::query!(
            r#"
            with input as (
                select * from unnest($3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[],
                    $9::int[], $10::text[], $11::bool[], $12::int[], $13::int[], $14::text[], $15::int[], $16::text[],
                    $17::bytea[], $18::bigint[], $19::bytea[], $20::int[], $21::int[], $22::bigint[], $23::bytea[],
                    $24::bigint[], $25::bigint[], $26::text[])
                as t (run, version, "from", fence, "to", by, at_step, why, over, ended_step, ended_number, ended_state,
                    exit_code, summary, output, left_out, sha256, started_step, started_number, "grant", digest,
                    ends_grant, ends_version, ends_state)
            ), granted as (
                -- I1: in force, this run, this digest, not expired. The row is the one that revoke, expiry and stop change.
                update run_grant g set granted_at = g.granted_at from input i
                where g.id = i."grant" and g.run = i.run and g.digest = i.digest and g.state = 'granted'
                    and g.expires_at > $1
                    and (g.start_by is null or g.start_by > $1 or exists (
                        select from attempt a
                        where a.run = g.run and a.started_at >= g.granted_at and a.started_at < g.start_by))
                returning g.id
            ), moved as (
                update run r set state = i."to", state_by = i.by, state_step = i.at_step, state_why = i.why,
                    version = r.version + 1, updated_at = $1,
                    holder = case when i.over then null else r.holder end,
                    lease_until = case when i.over then null else r.lease_until end
                from input i
                -- I2: this worker, this fence, a lease that has not ended.
                where r.id = i.run and r.version = i.version and r.state = i."from" and r.fence = i.fence
                    and r.holder = $2 and r.lease_until > $1
                returning r.id, i.ended_step, i.ended_number, i.ended_state, i.exit_code, i.summary, i.output, i.left_out,
                    i.sha256, i.started_step, i.started_number, i."grant", i.fence
            ), ended as (
                update attempt a set state = m.ended_state, version = a.version + 1, ended_at = $1,
                    exit_code = m.exit_code, summary = m.summary, output_sha256 = m.sha256
                from moved m
                where a.run = m.id and a.step = m.ended_step and a.number = m.ended_number and a.state = 'started'
                returning a.run
            ), kept as (
                insert into attempt_output (run, step, number, bytes, left_out)
                select id, ended_step, ended_number, output, left_out from moved where output is not null
            ), started as (
                insert into attempt (run, step, number, state, fence, run_grant, worker, started_at)
                select id, started_step, started_number, 'started', fence, "grant", $2, $1
                from moved where started_step is not null
                returning run
            ), grants_ended as (
                update run_grant g set state = i.ends_state, version = g.version + 1 from input i
                where g.id = i.ends_grant and g.run = i.run and g.version = i.ends_version and g.state = 'granted'
                returning g.id
            ), told as (
                select * from unnest($27::text[], $28::text[], $29::text[], $30::bigint[], $31::bigint[], $32::text[],
                    $33::bigint[], $34::bytea[], $35::bytea[], $36::bytea[])
                    with ordinality
                    as t (kind, system, environment, incident, run, audience, cause, commitment, salt, body, n)
            ), e as (
                insert into event (kind, schema, at, system, environment, incident, run, audience, cause, commitment)
                select kind, $37, $1, system, environment, incident, run, audience, cause, commitment from told order by n
                returning id, commitment
            ), b as (
                -- A commitment holds a random salt: it names its event.
                insert into event_body (event, salt, body)
                select e.id, told.salt, told.body from e join told using (commitment)
            ), u as (
                insert into unsequenced (event) select id from e
            )
            select 1 / (case when (select count(*) from moved) = $38 and (select count(*) from granted) = $39
                and (select count(*) from ended) = $40 and (select count(*) from started) = $41
                and (select count(*) from grants_ended) = $42 then 1 else 0 end) as "met!"
            "#,
            now,
            me.0,
            &c.run,
            &c.version,
            &c.from,
            &c.fence,
            &c.to,
            &c.by as &[Option<String>],
            &c.at_step as &[Option<i32>],
            &c.why as &[Option<String>],
            &c.over,
            &c.ended_step as &[Option<i32>],
            &c.ended_number as &[Option<i32>],
            &c.ended_state as &[Option<String>],
            &c.exit_code as &[Option<i32>],
            &c.summary as &[Option<String>],
            &c.output as &[Option<Vec<u8>>],
            &c.output_left_out as &[Option<i64>],
            &c.output_sha256 as &[Option<Vec<u8>>],
            &c.started_step as &[Option<i32>],
            &c.started_number as &[Option<i32>],
            &c.grant as &[Option<i64>],
            &c.grant_digest as &[Option<Vec<u8>>],
            &c.ends_grant as &[Option<i64>],
            &c.ends_version as &[Option<i64>],
            &c.ends_state as &[Option<String>],
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
            expected(|_| true),
            expected(|advance| advance.started.as_ref().is_some_and(|started| started.grant.is_some())),
            expected(|advance| advance.ended.is_some()),
            expected(|advance| advance.started.is_some()),
            expected(|advance| advance.grant_ends.is_some()),
        )
        .fetch_one(executor)
        .await?;
    Ok(())
}

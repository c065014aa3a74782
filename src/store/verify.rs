//! What verification and export read: the ledger and the state rows beside it, in one snapshot, page by page.
//!
//! What lives here: reading rows as they are, also such as no constraint would let in. What does not: judging them
//! (`ledger`). A row that contradicts the model must become a finding, never an error: so nothing is parsed here, and
//! times are brought into the range that can be read, which changes only times that nobody wrote honestly.

use chrono::{DateTime, Utc};
use sqlx::{Postgres, Transaction};

use super::begin::begin_with;
use super::{ChainRow, Result, Store};
use crate::model::event::Scope;
use crate::model::id::{EventId, InboxId, IncidentId, Position, RunId, SystemName};

/// How many rows one page holds.
const PAGE: i64 = 500;

/// The whole database at one moment: repeatable read, read only.
#[derive(Debug)]
pub(crate) struct Snapshot {
    inner: Transaction<'static, Postgres>,
}

/// A place of the chain or of the sequencer's queue, with what stands at it.
#[derive(Debug)]
pub(crate) struct EventCheck {
    /// The place and its hash as stored; `None` in the queue.
    pub(crate) place: Option<(Position, Vec<u8>)>,
    /// The event that the place or the queue names.
    pub(crate) id: EventId,
    /// The event with its body; `None` when it is not there.
    pub(crate) event: Option<ChainRow>,
    /// The erasing event's kind and body, if it is there and has one.
    pub(crate) eraser: Option<(String, Vec<u8>)>,
}

/// A row that stands where no other row leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loose {
    /// An event that is neither chained nor waiting.
    Event,
    /// An event that is chained and waits as well.
    Both,
    /// An event that has several places.
    Repeated,
    /// A body without an event.
    Body,
}

/// A run's row.
#[derive(Debug)]
pub(crate) struct RunCheck {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) state_by: Option<String>,
    pub(crate) state_step: Option<i32>,
    pub(crate) state_why: Option<String>,
    pub(crate) runbook: String,
    pub(crate) system: String,
    pub(crate) environment: String,
    pub(crate) plan: Vec<u8>,
    pub(crate) room: String,
    pub(crate) requester: String,
    pub(crate) requester_account: String,
    pub(crate) handed_to: Option<String>,
    pub(crate) trigger: Option<String>,
    pub(crate) incident: Option<i64>,
    pub(crate) created_at: DateTime<Utc>,
}

/// A request's row.
#[derive(Debug)]
pub(crate) struct RequestCheck {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) code: String,
    pub(crate) run: i64,
    pub(crate) retry_step: Option<i32>,
    pub(crate) wanted: Option<String>,
    pub(crate) wanted_by: Option<String>,
    pub(crate) wanted_why: Option<String>,
    pub(crate) digest: Vec<u8>,
    pub(crate) requesters: Vec<Option<String>>,
    pub(crate) needs: Vec<Option<String>>,
    pub(crate) state: String,
    pub(crate) stage: i32,
    pub(crate) state_by: Option<String>,
    pub(crate) state_why: Option<String>,
    pub(crate) asked_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) superseded_by: Option<i64>,
}

/// A grant's row.
#[derive(Debug)]
pub(crate) struct GrantCheck {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) run: i64,
    pub(crate) request: i64,
    pub(crate) digest: Vec<u8>,
    pub(crate) state: String,
    pub(crate) granted_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) start_by: Option<DateTime<Utc>>,
    pub(crate) under: Option<i64>,
    pub(crate) unasked: bool,
    pub(crate) under_number: Option<i32>,
    pub(crate) signed_by: Option<Vec<u8>>,
    pub(crate) statement: Option<Vec<u8>>,
    pub(crate) signature: Option<Vec<u8>>,
}

/// A signing key's row.
#[derive(Debug)]
pub(crate) struct KeyCheck {
    pub(crate) public: Vec<u8>,
    pub(crate) host: String,
    pub(crate) added_at: DateTime<Utc>,
    pub(crate) added_by: String,
    pub(crate) retired_at: Option<DateTime<Utc>>,
    pub(crate) retired_by: Option<String>,
    pub(crate) retired_why: Option<String>,
}

/// An attempt's row.
#[derive(Debug)]
pub(crate) struct AttemptCheck {
    pub(crate) run: i64,
    pub(crate) step: i32,
    pub(crate) number: i32,
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) run_grant: Option<i64>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) summary: Option<String>,
    pub(crate) output_sha256: Option<Vec<u8>>,
    pub(crate) judged_by: Option<String>,
    pub(crate) judged_worked: Option<bool>,
    /// SHA-256 of the output that is kept, if any is.
    pub(crate) kept_sha256: Option<Vec<u8>>,
}

/// A version of who may do what.
#[derive(Debug)]
pub(crate) struct AccessCheck {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) code: Option<String>,
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) snapshot: Vec<u8>,
    pub(crate) changed_by: Vec<Option<String>>,
    pub(crate) made_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) state_by: Option<String>,
    pub(crate) state_why: Option<String>,
}

/// The row that says whether automation is paused.
#[derive(Debug)]
pub(crate) struct AutomationCheck {
    pub(crate) paused: bool,
    pub(crate) paused_by: Option<String>,
    pub(crate) paused_at: Option<DateTime<Utc>>,
    pub(crate) paused_why: Option<String>,
}

/// A delegation's row.
#[derive(Debug)]
pub(crate) struct DelegationCheck {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) giver: String,
    pub(crate) receiver: String,
    pub(crate) since: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    pub(crate) line: i64,
}

/// A handover's row.
#[derive(Debug)]
pub(crate) struct HandoverCheck {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) giver: String,
    pub(crate) receiver: String,
    pub(crate) reason: Option<String>,
    pub(crate) requests: Vec<i64>,
    pub(crate) runs: Vec<i64>,
    pub(crate) pause: bool,
    pub(crate) room: String,
    pub(crate) offered_at: DateTime<Utc>,
    pub(crate) state: String,
    pub(crate) taken_by: Option<String>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

/// A trigger's brakes for one service.
#[derive(Debug)]
pub(crate) struct BrakeCheck {
    pub(crate) trigger: String,
    pub(crate) service: String,
    pub(crate) held_by: Option<String>,
    pub(crate) held_since: Option<DateTime<Utc>>,
    pub(crate) held_why: Option<String>,
    pub(crate) counted_from: Option<DateTime<Utc>>,
}

/// A passkey.
#[derive(Debug)]
pub(crate) struct PasskeyCheck {
    pub(crate) id: i64,
    pub(crate) person: String,
    pub(crate) name: String,
    pub(crate) credential: Vec<u8>,
    pub(crate) public_key: Vec<u8>,
    pub(crate) removed_at: Option<DateTime<Utc>>,
}

/// One time that a trigger fired.
#[derive(Debug)]
pub(crate) struct FiringCheck {
    pub(crate) id: i64,
    pub(crate) trigger: String,
    pub(crate) service: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) run: Option<i64>,
}

/// An incident's row.
#[derive(Debug)]
pub(crate) struct IncidentCheck {
    pub(crate) id: i64,
    pub(crate) version: i64,
    pub(crate) state: String,
    pub(crate) system: String,
    pub(crate) environment: String,
    pub(crate) service: Option<String>,
    pub(crate) title: String,
    pub(crate) room: String,
    pub(crate) opened_at: DateTime<Utc>,
    pub(crate) opened_by: Option<String>,
    pub(crate) failed_at: DateTime<Utc>,
    pub(crate) acknowledged_by: Option<String>,
    pub(crate) acknowledged_at: Option<DateTime<Utc>>,
    pub(crate) mitigated_at: Option<DateTime<Utc>>,
    pub(crate) resolved_by: Option<String>,
    pub(crate) resolved_at: Option<DateTime<Utc>>,
    pub(crate) resolved_why: Option<String>,
    pub(crate) cause: Option<i64>,
}

/// The row of a run that was started without agreement.
#[derive(Debug)]
pub(crate) struct ReviewCheck {
    pub(crate) request: i64,
    pub(crate) version: i64,
    pub(crate) run: i64,
    pub(crate) by: String,
    pub(crate) account: String,
    pub(crate) proof: String,
    pub(crate) credential: Option<String>,
    pub(crate) line: i64,
    pub(crate) reason: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) due_at: DateTime<Utc>,
    pub(crate) state: String,
    pub(crate) reviewer: Option<String>,
    pub(crate) verdict: Option<String>,
    pub(crate) words: Option<String>,
    pub(crate) reviewed_at: Option<DateTime<Utc>>,
}

/// The row of an approval that covers further runs.
#[derive(Debug)]
pub(crate) struct CoverCheck {
    pub(crate) request: i64,
    pub(crate) digest: Vec<u8>,
    pub(crate) runs: i32,
    pub(crate) used: i32,
    pub(crate) until: DateTime<Utc>,
    pub(crate) ended_by: Option<String>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

/// A decision's row.
#[derive(Debug)]
pub(crate) struct DecisionCheck {
    pub(crate) request: i64,
    pub(crate) stage: i32,
    pub(crate) person: String,
    pub(crate) account: String,
    pub(crate) verdict: String,
    pub(crate) reason: Option<String>,
    pub(crate) line: i64,
    pub(crate) on_behalf_of: Option<String>,
    pub(crate) proof: String,
    pub(crate) credential: Option<String>,
    pub(crate) at: DateTime<Utc>,
    pub(crate) taken_back_at: Option<DateTime<Utc>>,
    pub(crate) taken_back_line: Option<i64>,
}

struct EventColumns {
    position: Option<i64>,
    hash: Option<Vec<u8>>,
    id: i64,
    present: bool,
    kind: String,
    schema: i16,
    at: DateTime<Utc>,
    system: Option<String>,
    environment: Option<String>,
    incident: Option<i64>,
    run: Option<i64>,
    audience: Option<String>,
    cause: Option<i64>,
    commitment: Vec<u8>,
    salt: Option<Vec<u8>>,
    body: Option<Vec<u8>>,
    erased_by: Option<i64>,
    body_row: bool,
    eraser_kind: Option<String>,
    eraser_body: Option<Vec<u8>>,
}

impl From<EventColumns> for EventCheck {
    fn from(row: EventColumns) -> Self {
        let event = row.present.then(|| ChainRow {
            place: None,
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
        });
        Self {
            place: row.position.map(Position).zip(row.hash),
            id: EventId(row.id),
            event,
            eraser: row.eraser_kind.zip(row.eraser_body),
        }
    }
}

impl Store {
    /// Takes a snapshot.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot { inner: begin_with(&self.pool, "begin isolation level repeatable read read only").await? })
    }
}

impl Snapshot {
    /// A page of the chain after a place, in order.
    ///
    /// # Errors
    /// When the database refuses, as all of these.
    pub(crate) async fn list_chain(&mut self, after: Position) -> Result<Vec<EventCheck>> {
        let rows = sqlx::query_as!(
            EventColumns,
            r#"
            select c.position as "position?", c.hash as "hash?", c.event as "id!", (e.id is not null) as "present!",
                coalesce(e.kind, '') as "kind!", coalesce(e.schema, 0::smallint) as "schema!",
                greatest(least(coalesce(e.at, 'epoch'), '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "at!",
                e.system as "system?", e.environment as "environment?", e.incident as "incident?", e.run as "run?",
                e.audience as "audience?", e.cause as "cause?", coalesce(e.commitment, ''::bytea) as "commitment!",
                b.salt as "salt?", b.body as "body?", b.erased_by as "erased_by?", (b.event is not null) as "body_row!",
                x.kind as "eraser_kind?", xb.body as "eraser_body?"
            from chain c left join event e on e.id = c.event left join event_body b on b.event = c.event
                left join event x on x.id = b.erased_by left join event_body xb on xb.event = b.erased_by
            where c.position > $1 order by c.position limit $2
            "#,
            after.0,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(EventCheck::from).collect())
    }

    /// A page of the sequencer's queue after an event, in the order of events.
    pub(crate) async fn list_waiting(&mut self, after: EventId) -> Result<Vec<EventCheck>> {
        let rows = sqlx::query_as!(
            EventColumns,
            r#"
            select null::bigint as "position?", null::bytea as "hash?", u.event as "id!", (e.id is not null) as "present!",
                coalesce(e.kind, '') as "kind!", coalesce(e.schema, 0::smallint) as "schema!",
                greatest(least(coalesce(e.at, 'epoch'), '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "at!",
                e.system as "system?", e.environment as "environment?", e.incident as "incident?", e.run as "run?",
                e.audience as "audience?", e.cause as "cause?", coalesce(e.commitment, ''::bytea) as "commitment!",
                b.salt as "salt?", b.body as "body?", b.erased_by as "erased_by?", (b.event is not null) as "body_row!",
                x.kind as "eraser_kind?", xb.body as "eraser_body?"
            from unsequenced u left join event e on e.id = u.event left join event_body b on b.event = u.event
                left join event x on x.id = b.erased_by left join event_body xb on xb.event = b.erased_by
            where u.event > $1 order by u.event limit $2
            "#,
            after.0,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(EventCheck::from).collect())
    }

    /// Rows of the ledger that stand where no other row leads to them, and how many there are; the first `limit` of them.
    pub(crate) async fn list_loose(&mut self, limit: i64) -> Result<(Vec<(Loose, EventId)>, i64)> {
        let rows = sqlx::query!(
            r#"
            select what as "what!", event as "event!", count(*) over () as "total!"
            from (
                select 0 as what, e.id as event from event e
                where not exists (select from chain c where c.event = e.id)
                    and not exists (select from unsequenced u where u.event = e.id)
                union all
                select 1, u.event from unsequenced u where exists (select from chain c where c.event = u.event)
                union all
                select 2, c.event from chain c group by c.event having count(*) > 1
                union all
                select 3, b.event from event_body b where not exists (select from event e where e.id = b.event)
            ) as loose
            order by what, event limit $1
            "#,
            limit
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let total = rows.first().map_or(0, |row| row.total);
        let loose = rows
            .into_iter()
            .map(|row| {
                let what = match row.what {
                    0 => Loose::Event,
                    1 => Loose::Both,
                    2 => Loose::Repeated,
                    _ => Loose::Body,
                };
                (what, EventId(row.event))
            })
            .collect();
        Ok((loose, total))
    }

    /// A page of plans after a digest: digest and bytes as stored. Plans are the largest rows, so the page is small.
    pub(crate) async fn list_plans(&mut self, after: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let rows = sqlx::query!("select digest, bytes from plan where digest > $1 order by digest limit 50", after)
            .fetch_all(&mut *self.inner)
            .await?;
        Ok(rows.into_iter().map(|row| (row.digest, row.bytes)).collect())
    }

    /// A page of runs after a number.
    pub(crate) async fn list_runs(&mut self, after: i64) -> Result<Vec<RunCheck>> {
        let rows = sqlx::query_as!(
            RunCheck,
            r#"
            select id, version, state, state_by, state_step, state_why, runbook, system, environment, plan, room, requester,
                requester_account, handed_to, trigger, incident,
                greatest(least(created_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "created_at!"
            from run where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of incidents after a number.
    pub(crate) async fn list_incidents(&mut self, after: i64) -> Result<Vec<IncidentCheck>> {
        let rows = sqlx::query_as!(
            IncidentCheck,
            r#"
            select id, version, state, system, environment, service, title, room, opened_by, acknowledged_by, resolved_by,
                resolved_why, cause,
                greatest(least(opened_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "opened_at!",
                greatest(least(failed_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "failed_at!",
                case when acknowledged_at is not null then
                    greatest(least(acknowledged_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "acknowledged_at?",
                case when mitigated_at is not null then
                    greatest(least(mitigated_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "mitigated_at?",
                case when resolved_at is not null then
                    greatest(least(resolved_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "resolved_at?"
            from incident where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// Whether automation is paused; `None` when the row is gone.
    pub(crate) async fn find_automation(&mut self) -> Result<Option<AutomationCheck>> {
        let row = sqlx::query_as!(
            AutomationCheck,
            r#"
            select paused, paused_by, paused_why,
                case when paused_at is not null then
                    greatest(least(paused_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "paused_at?"
            from automation
            "#
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row)
    }

    /// A page of delegations after a number.
    pub(crate) async fn list_delegations(&mut self, after: i64) -> Result<Vec<DelegationCheck>> {
        let rows = sqlx::query_as!(
            DelegationCheck,
            r#"
            select id, version, giver, receiver, line,
                greatest(least(since, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "since!",
                greatest(least(until, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "until!",
                case when ended_at is not null then
                    greatest(least(ended_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "ended_at?"
            from delegation where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of handovers after a number.
    pub(crate) async fn list_handovers(&mut self, after: i64) -> Result<Vec<HandoverCheck>> {
        let rows = sqlx::query_as!(
            HandoverCheck,
            r#"
            select id, version, giver, receiver, reason, requests, runs, pause, room, state, taken_by,
                greatest(least(offered_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "offered_at!",
                case when ended_at is not null then
                    greatest(least(ended_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "ended_at?"
            from handover where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of passkeys after one, by number.
    pub(crate) async fn list_passkeys(&mut self, after: i64) -> Result<Vec<PasskeyCheck>> {
        let rows = sqlx::query_as!(
            PasskeyCheck,
            r#"
            select id, person, name, credential, public_key,
                case when removed_at is not null then
                    greatest(least(removed_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "removed_at?"
            from passkey where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of brakes after one, in the order of triggers and services.
    pub(crate) async fn list_brakes(&mut self, after: Option<(&str, &str)>) -> Result<Vec<BrakeCheck>> {
        let (trigger, service) = after.unzip();
        let rows = sqlx::query_as!(
            BrakeCheck,
            r#"
            select trigger, service, held_by, held_why,
                case when held_since is not null then
                    greatest(least(held_since, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "held_since?",
                case when counted_from is not null then
                    greatest(least(counted_from, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "counted_from?"
            from brake_state
            where $1::text is null or (trigger, service) > ($1, $2::text) order by trigger, service limit $3
            "#,
            trigger,
            service,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of firings after a number.
    pub(crate) async fn list_firings(&mut self, after: i64) -> Result<Vec<FiringCheck>> {
        let rows = sqlx::query_as!(
            FiringCheck,
            r#"
            select id, trigger, service, run,
                greatest(least(at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "at!"
            from firing where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of requests after a number.
    pub(crate) async fn list_requests(&mut self, after: i64) -> Result<Vec<RequestCheck>> {
        let rows = sqlx::query_as!(
            RequestCheck,
            r#"
            select id, version, code, run, retry_step, wanted, wanted_by, wanted_why, digest, requesters as "requesters: Vec<Option<String>>",
                needs as "needs: Vec<Option<String>>", state, stage, state_by, state_why, superseded_by,
                greatest(least(asked_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "asked_at!",
                greatest(least(expires_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "expires_at!"
            from request where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of grants after a number.
    pub(crate) async fn list_grants(&mut self, after: i64) -> Result<Vec<GrantCheck>> {
        let rows = sqlx::query_as!(
            GrantCheck,
            r#"
            select id, version, run, request, digest, state, under, unasked, under_number, signed_by, statement, signature,
                case when start_by is not null then
                    greatest(least(start_by, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "start_by?",
                greatest(least(granted_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "granted_at!",
                greatest(least(expires_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "expires_at!"
            from run_grant where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// All signing keys, which are few.
    pub(crate) async fn list_keys(&mut self) -> Result<Vec<KeyCheck>> {
        let rows = sqlx::query_as!(
            KeyCheck,
            r#"
            select public, host, added_by, retired_by, retired_why,
                greatest(least(added_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "added_at!",
                case when retired_at is not null then
                    greatest(least(retired_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "retired_at?"
            from signing_key order by public
            "#
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of attempts after one, in the order of runs, steps and tries, with the hash of the output that is kept.
    pub(crate) async fn list_attempts(&mut self, after: (i64, i32, i32)) -> Result<Vec<AttemptCheck>> {
        let rows = sqlx::query_as!(
            AttemptCheck,
            r#"
            select a.run, a.step, a.number, a.version, a.state, a.run_grant,
                greatest(least(a.started_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "started_at!",
                case when a.ended_at is not null then
                    greatest(least(a.ended_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "ended_at?",
                a.exit_code, a.summary, a.output_sha256, a.judged_by, a.judged_worked,
                sha256(o.bytes) as "kept_sha256?"
            from attempt a
                left join attempt_output o on o.run = a.run and o.step = a.step and o.number = a.number
            where (a.run, a.step, a.number) > ($1, $2, $3) order by a.run, a.step, a.number limit $4
            "#,
            after.0,
            after.1,
            after.2,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of versions of who may do what after a number.
    pub(crate) async fn list_access(&mut self, after: i64) -> Result<Vec<AccessCheck>> {
        let rows = sqlx::query_as!(
            AccessCheck,
            r#"
            select id, version, state, code, fingerprint, snapshot, changed_by as "changed_by!: Vec<Option<String>>",
                greatest(least(made_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "made_at!",
                case when expires_at is not null then
                    greatest(least(expires_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "expires_at?",
                state_by, state_why
            from access_version where id > $1 order by id limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of runs that were started without agreement, after a request.
    pub(crate) async fn list_reviews(&mut self, after: i64) -> Result<Vec<ReviewCheck>> {
        let rows = sqlx::query_as!(
            ReviewCheck,
            r#"
            select request, version, run, by, account, proof, credential, line, reason, state, reviewer, verdict, words,
                greatest(least(at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "at!",
                greatest(least(due_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "due_at!",
                case when reviewed_at is not null then
                    greatest(least(reviewed_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "reviewed_at?"
            from review where request > $1 order by request limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of approvals that cover further runs, after a request.
    pub(crate) async fn list_covers(&mut self, after: i64) -> Result<Vec<CoverCheck>> {
        let rows = sqlx::query_as!(
            CoverCheck,
            r#"
            select request, digest, runs, used, ended_by,
                greatest(least(until, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "until!",
                case when ended_at is not null then
                    greatest(least(ended_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "ended_at?"
            from cover where request > $1 order by request limit $2
            "#,
            after,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }

    /// A page of decisions after one, in the order of requests, stages and people.
    pub(crate) async fn list_decisions(&mut self, after: (i64, i32, &str, i64)) -> Result<Vec<DecisionCheck>> {
        let rows = sqlx::query_as!(
            DecisionCheck,
            r#"
            select request, stage, person, account, verdict, reason, line, on_behalf_of, proof, credential,
                greatest(least(at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz) as "at!",
                case when taken_back_at is not null then
                    greatest(least(taken_back_at, '9999-12-31Z'::timestamptz), '0001-01-01Z'::timestamptz)
                end as "taken_back_at?",
                taken_back_line
            from decision where (request, stage, person, line) > ($1, $2, $3, $4)
            order by request, stage, person, line limit $5
            "#,
            after.0,
            after.1,
            after.2,
            after.3,
            PAGE
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows)
    }
}

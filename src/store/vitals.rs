//! What the database says of the moment: how much waits, for how long, and who holds what.
//!
//! Asked by whoever watches over the bot, as often as they like, so every part goes by an index and counts no further than
//! [`MOST`].

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{MIGRATOR, MOST_CONNECTIONS, MOST_LOOP_CONNECTIONS, Result, Store};
use crate::metrics::{Connections, SinkVitals, Vitals};

/// How far what waits is counted.
const MOST: i64 = 10_000;

impl Store {
    /// Reads them, in one round trip.
    ///
    /// # Errors
    /// When the database cannot be asked. Unbounded in time: whoever asks says how long they wait.
    pub async fn vitals(&self) -> Result<Vitals> {
        // After the database was away every connection of the pool is dead, and each is found by using it.
        for _ in 0..MOST_CONNECTIONS {
            match self.read_vitals().await {
                Err(error) if error.is_cut() => {}
                read => return read,
            }
        }
        self.read_vitals().await
    }

    async fn read_vitals(&self) -> Result<Vitals> {
        let now = self.clock().now();
        let needed: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
        let row = sqlx::query!(
            r#"
            select
                (select count(*) from _sqlx_migrations where success and version = any($3)) as "migrations!",
                (select count(*) from request where state = 'pending') as "requests!",
                r.planned as "planned!", r.approved as "approved!", r.running as "running!", r.stopping as "stopping!",
                (select count(*) from run where state = 'stuck') as "stuck!",
                (select count(*) from (select from unsequenced limit $2) u) as "unsequenced!",
                (select at from event where id = (select min(event) from unsequenced)) as unsequenced_since,
                exists (select from lease where name = 'sequencer' and holder is not null and until > $1)
                    as "sequencer_held!",
                (select count(*) from incident where state <> 'resolved' and state = 'open') as "open!",
                (select count(*) from incident where state <> 'resolved' and state = 'mitigated') as "mitigated!",
                (select count(*) from check_state where hard = 'ok') as "checks_ok!",
                (select count(*) from check_state where hard = 'warning') as "checks_warning!",
                (select count(*) from check_state where hard = 'critical') as "checks_critical!",
                (select count(*) from check_state where hard = 'unknown') as "checks_unknown!",
                (select count(*) from check_state where hard is null) as "checks_none!",
                (select paused from automation) as "paused!",
                (select count(*) from brake_state where held_by is not null) as "held!",
                o.unsent as "unsent!", o.since as unsent_since, o.due as unsent_due,
                coalesce(array_agg(s.name order by s.name) filter (where s.name is not null), '{}') as "sinks!",
                coalesce(array_agg(s.lag order by s.name) filter (where s.name is not null), '{}') as "lags!",
                coalesce(array_agg(s.since order by s.name) filter (where s.name is not null), '{}')
                    as "sink_since!: Vec<Option<DateTime<Utc>>>",
                coalesce(array_agg(s.held order by s.name) filter (where s.name is not null), '{}') as "sinks_held!"
            from (
                select count(*) filter (where state = 'planned') as planned,
                    count(*) filter (where state = 'approved') as approved,
                    count(*) filter (where state = 'running') as running,
                    count(*) filter (where state = 'stopping') as stopping
                from run where state in ('planned', 'approved', 'running', 'stopping')
            ) r
            cross join (
                -- The first of each room: those behind it wait for it, however long they have been due.
                select count(*) as unsent, min(created_at) as since, min(next_try_at) filter (where is_first) as due
                from (
                    -- A change of a message may wait while others go: it holds up nothing.
                    select created_at, next_try_at,
                        not edits and row_number() over (partition by room, edits order by id) = 1 as is_first
                    from (select room, id, edits, created_at, next_try_at from outbox
                        where sent_at is null and failed is null order by room, id limit $2) w
                ) u
            ) o
            left join (
                select s.name, h.head - s.position as lag,
                    (select e.at from chain c join event e on e.id = c.event where c.position = s.position + 1) as since,
                    exists (select from lease where name = 'sink:' || s.name and holder is not null and until > $1)
                        as held
                from sink s cross join (select coalesce(max(position), 0) as head from chain) h
            ) s on true
            group by r.planned, r.approved, r.running, r.stopping, o.unsent, o.since, o.due
            "#,
            now,
            MOST,
            &needed,
        )
        .fetch_one(&self.pool)
        .await?;
        let age = |since: Option<DateTime<Utc>>| {
            since.and_then(|since| (now - since).to_std().ok()).unwrap_or(Duration::ZERO)
        };
        let sinks = row.sinks.into_iter().zip(row.lags).zip(row.sink_since).zip(row.sinks_held);
        Ok(Vitals {
            // Further ones are fine: migrations first add, and take away a release later.
            schema_is_current: usize::try_from(row.migrations) == Ok(needed.len()),
            requests_waiting: row.requests,
            runs_open: vec![
                ("planned", row.planned),
                ("approved", row.approved),
                ("running", row.running),
                ("stopping", row.stopping),
                ("stuck", row.stuck),
            ],
            incidents: vec![("open", row.open), ("mitigated", row.mitigated)],
            checks: vec![
                ("ok", row.checks_ok),
                ("warning", row.checks_warning),
                ("critical", row.checks_critical),
                ("unknown", row.checks_unknown),
                ("none", row.checks_none),
            ],
            paused: row.paused,
            held: row.held,
            unsequenced: row.unsequenced,
            unsequenced_age: age(row.unsequenced_since),
            sequencer_held: row.sequencer_held,
            sinks: sinks.map(|(((name, lag), since), held)| SinkVitals { name, lag, age: age(since), held }).collect(),
            unsent: row.unsent,
            unsent_age: age(row.unsent_since),
            unsent_overdue: age(row.unsent_due),
        })
    }

    /// The connections of this process.
    pub fn connections(&self) -> [Connections; 2] {
        let of = |pool: &'static str, connections: &sqlx::PgPool, most| {
            let (open, idle) = (connections.size(), u32::try_from(connections.num_idle()).unwrap_or(u32::MAX));
            Connections { pool, used: open.saturating_sub(idle), idle, most }
        };
        [of("turns", &self.pool, MOST_CONNECTIONS), of("loops", &self.loops, MOST_LOOP_CONNECTIONS)]
    }
}

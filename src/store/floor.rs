//! The least that the database can be asked for: what `bench` measures the bot beside.
//!
//! What lives here: bare statements over one connection, with the same durability as ours, and databases that are made
//! and dropped for a measurement. What does not: anything that the bot does.

use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Result, StoreError};

/// About as long as the smallest event.
const BODY: &str = r#"{"step":"check-disk","exit":0,"by":"bot"}"#;

/// One connection that writes hash-chained rows and nothing else.
#[derive(Debug)]
pub struct Floor {
    connection: PgConnection,
    last: [u8; 32],
}

impl Floor {
    /// Connects and makes the table.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses.
    pub async fn connect(options: &PgConnectOptions) -> Result<Self> {
        let options = options.clone().options([("synchronous_commit", "on")]);
        let mut connection = PgConnection::connect_with(&options).await?;
        sqlx::query(
            r#"
            create table if not exists floor (id bigint generated always as identity primary key, run bigint not null,
                kind text not null, body jsonb not null, prev bytea not null, hash bytea not null)
            "#,
        )
        .execute(&mut connection)
        .await?;
        Ok(Self { connection, last: [0; 32] })
    }

    /// Writes one row; when it returns, the row is durable.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn write_one(&mut self) -> Result<()> {
        let (before, hash) = self.link();
        sqlx::query("insert into floor (run, kind, body, prev, hash) values ($1, 'step', $2::text::jsonb, $3, $4)")
            .bind(1_i64)
            .bind(BODY)
            .bind(before)
            .bind(hash)
            .execute(&mut self.connection)
            .await?;
        Ok(())
    }

    /// Writes one row for each of the runs with one commit.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn write_many(&mut self, runs: &[i64]) -> Result<()> {
        let (before, hashes): (Vec<_>, Vec<_>) = runs.iter().map(|_| self.link()).unzip();
        sqlx::query(
            r#"
            insert into floor (run, kind, body, prev, hash)
            select run, 'step', $4::text::jsonb, prev, hash
            from unnest($1::bigint[], $2::bytea[], $3::bytea[]) as t (run, prev, hash)
            "#,
        )
        .bind(runs)
        .bind(before)
        .bind(hashes)
        .bind(BODY)
        .execute(&mut self.connection)
        .await?;
        Ok(())
    }

    fn link(&mut self) -> (Vec<u8>, Vec<u8>) {
        let before = self.last;
        let mut hash = Sha256::new();
        hash.update(before);
        hash.update(BODY);
        self.last = hash.finalize().into();
        (before.to_vec(), self.last.to_vec())
    }

    /// Makes so many rows that can be claimed, and claims them as barely as it goes: `at_once` with each commit, until none
    /// is left. Returns how long the claims took.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn claim_all(&mut self, rows: i64, at_once: i64) -> Result<Duration> {
        let make = "create temporary table claim (id bigint primary key, holder bigint, fence bigint not null)";
        sqlx::query(make).execute(&mut self.connection).await?;
        sqlx::query("insert into claim select n, null, 0 from generate_series(1, $1) n")
            .bind(rows)
            .execute(&mut self.connection)
            .await?;
        let began = Instant::now();
        loop {
            let claimed = sqlx::query(
                r#"
                update claim set holder = 1, fence = fence + 1
                where id in (select id from claim where holder is null order by id limit $1 for update skip locked)
                "#,
            )
            .bind(at_once)
            .execute(&mut self.connection)
            .await?;
            if claimed.rows_affected() == 0 {
                break;
            }
        }
        let took = began.elapsed();
        sqlx::query("drop table claim").execute(&mut self.connection).await?;
        Ok(took)
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// When the database is gone already.
    pub async fn close(self) -> Result<()> {
        Ok(self.connection.close().await?)
    }
}

/// One connection to the database of a bot that is measured: it looks, and it makes many rows of one.
#[derive(Debug)]
pub struct Observer {
    connection: PgConnection,
}

/// A run that a bot has claimed, as it stood.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub struct Driven {
    run: i64,
    version: i64,
    fence: i64,
}

/// How many runs stand how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    /// All of them.
    pub all: i64,
    /// Those that did all that they should.
    pub succeeded: i64,
    /// Those that wait for a person, as the outcome of a step is not known.
    pub stuck: i64,
}

impl Observer {
    /// Connects.
    ///
    /// # Errors
    /// When the database cannot be reached.
    pub async fn connect(options: &PgConnectOptions) -> Result<Self> {
        Ok(Self { connection: PgConnection::connect_with(options).await? })
    }

    /// The runs that a bot has claimed.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn driven(&mut self) -> Result<Vec<Driven>> {
        let driven = "select id as run, version, fence from run where holder is not null order by id";
        Ok(sqlx::query_as(driven).fetch_all(&mut self.connection).await?)
    }

    /// How many of these have neither been claimed again nor moved.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn untouched(&mut self, driven: &[Driven]) -> Result<i64> {
        let column = |of: fn(&Driven) -> i64| driven.iter().map(of).collect::<Vec<i64>>();
        let untouched = sqlx::query_scalar(
            r#"
            select count(*) from run
                join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as t (run, version, fence) on t.run = run.id
            where run.version = t.version and run.fence = t.fence
            "#,
        );
        Ok(untouched
            .bind(column(|driven| driven.run))
            .bind(column(|driven| driven.version))
            .bind(column(|driven| driven.fence))
            .fetch_one(&mut self.connection)
            .await?)
    }

    /// How the runs stand.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn standing(&mut self) -> Result<Standing> {
        let standing = r#"
            select count(*) as "all", count(*) filter (where state = 'succeeded') as succeeded,
                count(*) filter (where state = 'stuck') as stuck from run
            "#;
        Ok(sqlx::query_as(standing).fetch_one(&mut self.connection).await?)
    }

    /// Makes of the one run that waits for agreement, and of its request, as many as there are codes. Of every thousand one
    /// waits in the same room. Returns how many bytes a run and its request take, indexes and all. Nothing else is written:
    /// no event tells of them.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn multiply_waiting(&mut self, codes: &[String]) -> Result<f64> {
        let size = "select pg_total_relation_size('run') + pg_total_relation_size('request')";
        let before: i64 = sqlx::query_scalar(size).fetch_one(&mut self.connection).await?;
        sqlx::query(
            r#"
            with one as (select * from run where state = 'awaiting_approval' order by id limit 1), made as (
                insert into run (state, state_by, state_step, state_why, runbook, system, environment, plan, room, thread,
                    requester, requester_account, cause, created_at, updated_at)
                select state, state_by, state_step, state_why, runbook, system, environment, plan,
                    case when n % 1000 = 0 then room else room || '-' || n % 1000 end, thread, requester,
                    requester_account, cause, created_at, updated_at
                from one cross join generate_series(1, cardinality($1::text[])) n
                returning id, room
            ), numbered as (select id, room, row_number() over (order by id) as n from made)
            insert into request (code, run, digest, requesters, state, stage, room, thread, asked_at, expires_at, posted_at,
                differs)
            select t.code, numbered.id, digest, requesters, state, stage, numbered.room, thread, asked_at, expires_at, asked_at,
                -- No catalog makes this plan, and their threads know.
                decode(repeat('00', 32), 'hex')
            from numbered join unnest($1::text[]) with ordinality as t (code, n) using (n)
                cross join (select r.* from request r join one on one.id = r.run) as first
            "#,
        )
        .bind(codes)
        .execute(&mut self.connection)
        .await?;
        let after: i64 = sqlx::query_scalar(size).fetch_one(&mut self.connection).await?;
        Ok((after - before) as f64 / codes.len().max(1) as f64)
    }

    /// Marks every request that waits as posted, as a sender does once the whole of it was sent.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn post_all(&mut self) -> Result<()> {
        let post = "update request set posted_at = asked_at where state = 'pending' and posted_at is null";
        sqlx::query(post).execute(&mut self.connection).await?;
        Ok(())
    }

    /// How many events have a place in the chain, and how many wait for one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn events(&mut self) -> Result<(i64, i64)> {
        let counted = "select (select count(*) from chain), (select count(*) from unsequenced)";
        Ok(sqlx::query_as(counted).fetch_one(&mut self.connection).await?)
    }

    /// Ends the connection.
    ///
    /// # Errors
    /// When the database is gone already.
    pub async fn close(self) -> Result<()> {
        Ok(self.connection.close().await?)
    }
}

/// Makes a database, by a connection to another of the same server.
///
/// # Errors
/// When the name is not plain, or the database refuses.
pub async fn create_database(by: &PgConnectOptions, name: &str) -> Result<()> {
    alter(by, name, format!("create database {}", plain(name)?)).await
}

/// Drops a database that [`create_database`] made, whoever is connected to it.
///
/// # Errors
/// When the name is not plain, or the database refuses.
pub async fn drop_database(by: &PgConnectOptions, name: &str) -> Result<()> {
    alter(by, name, format!("drop database if exists {} with (force)", plain(name)?)).await
}

async fn alter(by: &PgConnectOptions, name: &str, statement: String) -> Result<()> {
    let mut connection = PgConnection::connect_with(by).await?;
    tracing::debug!(name, "a database for a measurement is made or dropped");
    // Made of our own words and a name without anything that has a meaning in SQL.
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

fn plain(name: &str) -> Result<&str> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.starts_with("countersign_bench_") && name.chars().all(is_plain) {
        return Ok(name);
    }
    Err(StoreError::Refused(format!("`{name}` is not the name of a database for a measurement")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_databases_of_its_own_are_made_and_dropped() {
        assert!(plain("countersign_bench_12_bot").is_ok());
        for other in ["countersign", "countersign_bench_x; drop table run", "countersign_bench_\"", ""] {
            assert!(plain(other).is_err(), "{other}");
        }
    }
}

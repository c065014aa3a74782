//! The least that the database can be asked for: what `bench` measures the bot beside.
//!
//! What lives here: bare statements over one connection, with the same durability as ours, and databases that are made
//! and dropped for a measurement. What does not: anything that the bot does.

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

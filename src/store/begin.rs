//! Beginning a transaction, so that whoever stops waiting for it leaves none behind. Keeps I4.

use sqlx::postgres::PgPool;
use sqlx::{Postgres, Transaction};

use super::Result;

/// Begins a transaction on a connection of the pool. As [`begin_with`].
pub(super) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>> {
    begin_with(pool, "begin").await
}

/// Begins a transaction with this statement, in a task of its own. The client library counts a transaction once its `begin`
/// was answered: given up in between, in a `select!` or by a browser that goes away, the connection would return to the pool
/// with a transaction that nobody knows of, and whatever is written on it next would not be committed.
///
/// # Errors
/// When no connection is to be had within ten seconds, or the database refuses.
pub(super) async fn begin_with(pool: &PgPool, statement: &'static str) -> Result<Transaction<'static, Postgres>> {
    let pool = pool.clone();
    match tokio::spawn(async move { pool.begin_with(statement).await }).await {
        Ok(begun) => Ok(begun?),
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        // The process is ending.
        Err(_) => Err(sqlx::Error::PoolClosed.into()),
    }
}

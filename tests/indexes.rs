//! What is asked again and again while very many requests wait reads a few rows of an index, and not all of them.

mod support;

use sqlx::AssertSqlSafe;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

/// How Postgres would do it.
async fn plan(connection: &mut PgConnection, statement: &str) -> String {
    let explain = sqlx::query(AssertSqlSafe(format!("explain {statement}")));
    let rows = explain.fetch_all(connection).await.expect("a plan");
    rows.iter().map(|row| row.get::<String, _>(0)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn requests_are_found_without_reading_all_of_them() {
    let db = support::database().await;
    let mut connection = db.connection().await;
    // As the bot's sessions have it.
    for setting in ["set enable_seqscan = off", "set jit = off"] {
        sqlx::query(setting).execute(&mut connection).await.expect("a setting");
    }
    for (statement, index) in [
        (
            "select id from request where state = 'pending' and expires_at <= now() order by expires_at, id",
            "request_expiry",
        ),
        ("select expires_at from request where state = 'pending' order by expires_at, id limit 1", "request_expiry"),
        ("select id, run from request where state = 'pending' order by id limit 100", "request_waiting"),
        (
            "select id from request where state = 'pending' and digest = 'x' and differs is not distinct from null \
             and id > 0 order by id limit 50",
            "request_waiting_plan",
        ),
        (
            "select id from request where code = '7K3F' order by (state = 'pending') desc, id desc limit 1",
            "request_by_code",
        ),
        (
            "update run set lease_until = now() where holder = 1 and lease_until > now() \
             and state in ('planned', 'approved', 'running', 'stopping')",
            "run_claimable",
        ),
    ] {
        let plan = plan(&mut connection, statement).await;
        assert!(plan.contains(index) && !plan.contains("Seq Scan"), "{statement}\n{plan}");
    }
}

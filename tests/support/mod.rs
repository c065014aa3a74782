//! A database of its own for a test.
//!
//! What lives here: making one on the server that the environment names, and removing it. A test never skips for want of
//! a server: it fails and says what to set.

use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use countersign::store::Store;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

/// Names a server on which databases may be created.
const SERVER: &str = "COUNTERSIGN_TEST_POSTGRES";

/// A database; removed when dropped.
pub(crate) struct TestDb {
    /// Connected to it.
    pub(crate) store: Store,
    server: PgConnectOptions,
    name: String,
}

fn server() -> PgConnectOptions {
    let url = std::env::var(SERVER).unwrap_or_else(|_| {
        panic!("set {SERVER} to the URL of a Postgres server where databases may be created, such as postgres://postgres@localhost/postgres")
    });
    PgConnectOptions::from_str(&url).unwrap_or_else(|error| panic!("{SERVER} is not a Postgres URL: {error}"))
}

fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // The number of a process may come again after a test run was killed.
    let random = getrandom::u32().expect("the system has randomness");
    format!("countersign_test_{}_{}_{random:08x}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn on_server(server: &PgConnectOptions, sql: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect_with(server).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// An empty database with the schema.
pub(crate) async fn database() -> TestDb {
    let server = server();
    let name = unique_name();
    on_server(&server, format!("create database {name}")).await.expect("a database can be created");
    let store = Store::connect(server.clone().database(&name)).await.expect("the new database can be used");
    TestDb { store, server, name }
}

impl TestDb {
    /// A copy of this database. Closes the store of this one: a database that is copied has no other connections.
    pub(crate) async fn fork(&self) -> TestDb {
        self.store.close().await;
        let name = unique_name();
        on_server(&self.server, format!("create database {name} template {}", self.name))
            .await
            .expect("it can be copied");
        let store = Store::connect_as_is(self.server.clone().database(&name)).await.expect("the copy can be used");
        TestDb { store, server: self.server.clone(), name }
    }

    /// A further store on this database, as another process would have it.
    pub(crate) async fn another_store(&self) -> Store {
        Store::connect_as_is(self.server.clone().database(&self.name)).await.expect("it can be connected to once more")
    }

    /// A connection beside the store.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect_with(&self.server.clone().database(&self.name)).await.expect("a connection")
    }

    /// Changes the database as somebody would who may do everything: no trigger and no foreign key stands in the way.
    pub(crate) async fn tamper(&self, sql: &str) {
        let sql = format!("set session_replication_role = replica; {sql}");
        let mut connection = self.connection().await;
        let done = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut connection).await;
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// Remembers the rows of every table as they are.
    pub(crate) async fn keep(&self) {
        self.tamper(
            "create schema kept;
             do $$ declare t text; begin
                 for t in select tablename from pg_tables where schemaname = 'public' loop
                     execute format('create table kept.%1$I as table public.%1$I', t);
                 end loop;
             end $$",
        )
        .await;
    }

    /// Puts every table back as it was kept: much faster than a copy of the database for each case.
    pub(crate) async fn restore(&self) {
        self.tamper(
            "do $$ declare t text; begin
                 for t in select tablename from pg_tables where schemaname = 'kept' loop
                     execute format('delete from public.%1$I', t);
                     execute format('insert into public.%1$I overriding system value select * from kept.%1$I', t);
                 end loop;
             end $$",
        )
        .await;
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.connection().await).await.expect("a number")
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        // The test's runtime cannot be waited for from here.
        let removed = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime
                .block_on(on_server(&server, format!("drop database if exists {name} with (force)")))
                .map_err(std::io::Error::other)
        });
        if let Ok(Err(error)) = removed.join() {
            eprintln!("the database {} is left behind: {error}", self.name);
        }
    }
}

//! What tests against a real Postgres and the real program share: a database for each test, and the program as a
//! process ([`bot`]) in a world made for it ([`world`]).
//!
//! A test never skips for want of a server: it fails and says how to have one.

// Each test binary uses its own part of this.
#![allow(dead_code)]

pub(crate) mod authenticator;
pub(crate) mod bot;
pub(crate) mod browser;
pub(crate) mod chromium;
pub(crate) mod passkeys;
pub(crate) mod world;

use std::fmt::Write as _;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::ledger::keys;
use countersign::model::signature::Trust;
use countersign::store::Store;
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};

/// Gives a store a key to sign with, and its trust in the ledger, as a start of the bot does.
pub(crate) async fn hold_key(store: &Store, ledger: &str) {
    let trust = Trust { ledger: ledger.to_owned(), keys: None };
    keys::fleeting(store, "app-1", "a test", trust).await.expect("a key");
}

/// Names a server on which databases may be created.
const SERVER: &str = "COUNTERSIGN_TEST_POSTGRES";

/// How long anything may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Waits until something is there; panics when it takes too long.
pub(crate) async fn until<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    until_with(what, Duration::from_millis(10), probe).await
}

/// The same with a pause between two looks, for those that are work themselves.
pub(crate) async fn until_with<T>(what: &str, pause: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        let mut tick = tokio::time::interval(pause);
        // A look that takes long is not made up for: what is waited for needs the machine more.
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if let Some(found) = probe().await {
                return found;
            }
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// A database; removed when dropped.
pub(crate) struct TestDb {
    /// Connected to it.
    pub(crate) store: Store,
    server: PgConnectOptions,
    url: String,
    name: String,
}

fn server_url() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| {
        panic!(
            "{SERVER} is not set, and this test wants a Postgres.\n\
             Run script/test, or: cargo run --example with_postgres -- cargo nextest run"
        )
    })
}

fn server() -> PgConnectOptions {
    PgConnectOptions::from_str(&server_url()).unwrap_or_else(|error| panic!("{SERVER} is not a Postgres URL: {error}"))
}

/// The server's URL with another database in it.
fn url_of(name: &str) -> String {
    let url = server_url();
    let (base, query) = url.split_once('?').map_or((url.as_str(), None), |(base, query)| (base, Some(query)));
    let after_scheme = base.find("://").map_or(0, |at| at + 3);
    let end = base.get(after_scheme..).and_then(|rest| rest.find('/')).map_or(base.len(), |at| after_scheme + at);
    let mut made = format!("{}/{name}", base.get(..end).unwrap_or_default());
    if let Some(query) = query {
        // Writing into a String cannot fail.
        let _ = write!(made, "?{query}");
    }
    made
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

/// The name of the template: other migrations, another template.
fn template_name() -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<_> =
        std::fs::read_dir(dir).expect("migrations").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(std::fs::read(file).expect("a migration"));
    }
    let mut name = "countersign_template_".to_owned();
    for byte in hash.finalize().iter().take(8) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Makes the migrated database that others are copied from, once for a server, whichever test comes first.
async fn template(server: &PgConnectOptions) -> sqlx::Result<String> {
    let name = template_name();
    let mut connection = PgConnection::connect_with(server).await?;
    // Let go of when the connection closes.
    sqlx::query("select pg_advisory_lock(7141003)").execute(&mut connection).await?;
    let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&name)
        .fetch_one(&mut connection)
        .await?;
    if !there {
        // Under another name until it is whole.
        for sql in [format!("drop database if exists {name}_new with (force)"), format!("create database {name}_new")] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
        }
        let store = Store::connect(server.clone().database(&format!("{name}_new"))).await.expect("the schema applies");
        store.close().await;
        let sql = format!("alter database {name}_new rename to {name}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(name)
}

/// Makes a database from another one. By copying files, which takes a quarter of the time that Postgres 15 and newer take of
/// themselves, with each page through the log.
async fn copy(server: &PgConnectOptions, from: &str, name: &str) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect_with(server).await?;
    let version: i32 =
        sqlx::query_scalar("select current_setting('server_version_num')::int4").fetch_one(&mut connection).await?;
    let strategy = if version >= 150_000 { " strategy file_copy" } else { "" };
    let sql = format!("create database {name} template {from}{strategy}");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await
}

/// An empty database with the schema.
pub(crate) async fn database() -> TestDb {
    let server = server();
    let name = unique_name();
    let template = template(&server).await.expect("a template can be made");
    copy(&server, &template, &name).await.expect("a database can be created");
    let store = Store::connect(server.clone().database(&name)).await.expect("the new database can be used");
    TestDb { store, server, url: url_of(&name), name }
}

impl TestDb {
    /// Where it is, password included.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// How to connect to it.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// A copy of this database. Closes the store of this one: a database that is copied has no other connections.
    pub(crate) async fn fork(&self) -> TestDb {
        self.store.close().await;
        let name = unique_name();
        copy(&self.server, &self.name, &name).await.expect("it can be copied");
        let store = Store::connect_as_is(self.server.clone().database(&name)).await.expect("the copy can be used");
        TestDb { store, server: self.server.clone(), url: url_of(&name), name }
    }

    /// A further store on this database, as another process would have it.
    pub(crate) async fn another_store(&self) -> Store {
        Store::connect_as_is(self.options()).await.expect("it can be connected to once more")
    }

    /// A connection beside the store.
    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect_with(&self.options()).await.expect("a connection")
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

    /// One text, past everything of ours.
    pub(crate) async fn text(&self, sql: &'static str) -> String {
        sqlx::query_scalar(sql).fetch_one(&mut self.connection().await).await.expect("a text")
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

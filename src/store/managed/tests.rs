//! With a real Postgres, found as production finds it. Without one these tests fail, as they should.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    str::FromStr,
};

use sqlx::{ConnectOptions, Connection, PgConnection};
use tempfile::TempDir;

use super::*;
use crate::sys::{Liveness, Signal, effective_user, kill};

/// A data directory whose server does not outlive the test, however the test ends.
struct Data {
    dir: TempDir,
    /// The data directory below it.
    below: &'static str,
}

impl Data {
    fn new() -> Self {
        // For us alone, as `up` makes it.
        let dir = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o700)).tempdir().unwrap();
        Self { dir, below: "" }
    }

    fn path(&self) -> PathBuf {
        // Not joined with nothing: that would add a slash.
        if self.below.is_empty() { self.dir.path().to_owned() } else { self.dir.path().join(self.below) }
    }

    fn options(&self) -> ManagedOptions {
        ManagedOptions::new(self.path())
    }

    fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path().join("postgres/data/postmaster.pid")).ok()?;
        text.lines().next()?.parse().ok()
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        if let Some(identity) = self.pid().and_then(|pid| ProcessIdentity::of(pid).ok().flatten()) {
            let _ = kill(&identity, Signal::QUIT);
        }
        let home = self.path().join("postgres");
        if let Ok(target) = fs::read_link(&home) {
            let _ = fs::remove_dir_all(target);
        }
    }
}

async fn one(managed: &Managed, sql: &'static str) -> String {
    let mut connection = managed.connect_options().connect().await.unwrap();
    let value = sqlx::query_scalar::<_, String>(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    value
}

async fn run(managed: &Managed, sql: &'static str) {
    let mut connection = managed.connect_options().connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn it_is_made_kept_adopted_and_stopped() {
    let data = Data::new();
    let first = start(data.options()).await.unwrap();
    assert_eq!(first.origin(), Origin::Created);
    run(&first, "create table kept (word text); insert into kept values ('still here')").await;
    let identity = first.identity().clone();

    // As after a SIGKILL: the lock is let go of by the kernel, the server runs on.
    drop(first);
    assert_eq!(identity.liveness(), Liveness::Alive);
    let second = start(data.options()).await.unwrap();
    assert_eq!((second.origin(), second.identity()), (Origin::Adopted, &identity));
    assert_eq!(one(&second, "select word from kept").await, "still here");

    second.stop().await.unwrap();
    assert_eq!(identity.liveness(), Liveness::Dead);
    assert_eq!(data.pid(), None, "it stopped in good order, and removed its own pid file");

    let third = start(ManagedOptions { settings: vec![("max_connections".into(), "33".into())], ..data.options() })
        .await
        .unwrap();
    assert_eq!(third.origin(), Origin::Started);
    assert_eq!(one(&third, "select word from kept").await, "still here");
    assert_eq!(one(&third, "show max_connections").await, "33");
    for (setting, value) in [
        ("show fsync", "on"),
        ("show synchronous_commit", "on"),
        ("show data_checksums", "on"),
        ("show listen_addresses", ""),
        ("show server_encoding", "UTF8"),
        ("show timezone", "UTC"),
    ] {
        assert_eq!(one(&third, setting).await, value, "{setting}");
    }
    third.stop().await.unwrap();
}

#[tokio::test]
async fn it_is_started_again_after_its_own_death() {
    let data = Data::new();
    let first = start(data.options()).await.unwrap();
    run(&first, "create table kept (word text); insert into kept values ('written')").await;
    // A query that does not notice at once that its server died keeps the shared memory in use.
    let mut busy = first.connect_options().connect().await.unwrap();
    let busy = tokio::spawn(async move {
        let count = "select count(*) from generate_series(1, 1000000) a where md5(a::text) = ''";
        sqlx::query(count).execute(&mut busy).await.map(|_| ())
    });
    let mut look = first.connect_options().connect().await.unwrap();
    let running = "select count(*) from pg_stat_activity where state = 'active' and query like '%generate_series%' \
                   and pid <> pg_backend_pid()";
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while sqlx::query_scalar::<_, i64>(running).fetch_one(&mut look).await.unwrap() == 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    kill(first.identity(), Signal::KILL).unwrap();
    let dead = first.identity().clone();
    drop(first);
    let second = start(data.options()).await.unwrap();
    let _ = busy.await.unwrap();
    assert_ne!(second.identity(), &dead);
    assert_eq!(second.origin(), Origin::Started);
    assert_eq!(one(&second, "select word from kept").await, "written");
    second.stop().await.unwrap();
}

#[tokio::test]
async fn only_we_can_reach_it_and_only_with_the_password() {
    let data = Data::new();
    let managed = start(data.options()).await.unwrap();
    let home = data.path().join("postgres");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    assert_eq!(mode(&home.join("password")), 0o600);
    assert_eq!(mode(&data.path().join("postgres.log")), 0o600);
    assert_eq!(mode(&data.path().join("lock")), 0o600);

    // The URL for people has no password; the other one is enough for sqlx.
    assert!(!managed.url().contains(&managed.password) && !format!("{managed:?}").contains(&managed.password));
    let options = PgConnectOptions::from_str(&managed.secret_url()).unwrap();
    PgConnection::connect_with(&options).await.unwrap().close().await.unwrap();
    let refused = PgConnection::connect_with(&managed.connect_options().password("guess")).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("28P01"));

    // Not root, and with nothing of our environment.
    let process = format!("/proc/{}", managed.identity().pid);
    let owner = fs::metadata(&process).unwrap().uid();
    assert_ne!(owner, 0);
    assert_eq!(effective_user().is_root(), owner != effective_user().uid);
    let environment = fs::read(format!("{process}/environ")).unwrap();
    assert!(!String::from_utf8_lossy(&environment).contains("CARGO"));
    managed.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_bot_is_told_about_the_first() {
    let data = Data::new();
    let first = start(data.options()).await.unwrap();
    let refused = start(data.options()).await.unwrap_err();
    let text = refused.to_string().replace(&data.path().display().to_string(), "DATA");
    let text = text.replace(&std::process::id().to_string(), "PID");
    insta::assert_snapshot!(text, @"Another countersign (process PID) uses the data directory DATA. Stop that one, or give this one its own with `--data DIR`.");
    // The server does not hold the lock: nothing but the bot may.
    let lock = data.path().join("lock");
    let files = fs::read_dir(format!("/proc/{}/fd", first.identity().pid)).unwrap();
    assert!(files.filter_map(|file| fs::read_link(file.unwrap().path()).ok()).all(|path| path != lock));
    first.stop().await.unwrap();
    start(data.options()).await.unwrap().stop().await.unwrap();
}

#[tokio::test]
async fn what_was_half_made_is_removed_and_made_anew() {
    let data = Data::new();
    let half = data.path().join("postgres.new");
    fs::create_dir_all(half.join("data/base")).unwrap();
    fs::write(half.join("data/PG_VERSION"), "15\n").unwrap();
    let managed = start(data.options()).await.unwrap();
    assert_eq!(managed.origin(), Origin::Created);
    assert!(!half.exists());
    managed.stop().await.unwrap();
}

#[tokio::test]
async fn without_a_postgres_nothing_is_made() {
    let data = Data::new();
    let nowhere = ManagedOptions { search: Search::Only(vec![]), ..data.options() };
    let error = start(nowhere).await.unwrap_err();
    assert!(matches!(error, ManagedError::NoPostgres { .. }), "{error}");
    let names: Vec<_> = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["lock"]);
}

#[tokio::test]
async fn a_cluster_of_another_version_is_not_touched() {
    let data = Data::new();
    fs::create_dir_all(data.path().join("postgres/data")).unwrap();
    fs::write(data.path().join("postgres/data/PG_VERSION"), "13\n").unwrap();
    fs::write(data.path().join("postgres/password"), "p\n").unwrap();
    let error = start(data.options()).await.unwrap_err();
    assert!(matches!(error, ManagedError::WrongMajor { needed: 13, .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_cluster_is_named() {
    let data = Data::new();
    fs::create_dir(data.path().join("postgres")).unwrap();
    let error = start(data.options()).await.unwrap_err();
    let text = error.to_string().replace(&data.path().display().to_string(), "DATA");
    insta::assert_snapshot!(text, @"DATA/postgres holds no database of ours (data/PG_VERSION is missing). Put it back, or move it away to begin a new one.");
    fs::remove_dir(data.path().join("postgres")).unwrap();
    std::os::unix::fs::symlink("/no/such/place", data.path().join("postgres")).unwrap();
    let error = start(data.options()).await.unwrap_err();
    assert!(matches!(error, ManagedError::NotACluster { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let data = Data::new();
    let wrong = ManagedOptions { settings: vec![("no_such_setting".into(), "1".into())], ..data.options() };
    let error = start(wrong).await.unwrap_err().to_string();
    assert!(error.contains("no_such_setting") && error.contains("postgres.log"), "{error}");
}

#[tokio::test]
async fn a_deep_data_directory_gets_a_short_socket() {
    let below = "a-directory-of-forty-letters-and-so-on-it/a-directory-of-forty-letters-and-so-on-it/another-of-them";
    // Reachable for the user that root's server runs as.
    let open = fs::Permissions::from_mode(0o755);
    let data = Data { dir: tempfile::Builder::new().permissions(open).tempdir_in("/tmp").unwrap(), below };
    fs::create_dir_all(data.path()).unwrap();
    let managed = start(data.options()).await.unwrap();
    let socket_dir = managed.socket_dir.clone();
    assert!(!socket_dir.starts_with(data.path()), "{}", socket_dir.display());
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
    assert_eq!(one(&managed, "select 'here'").await, "here");
    managed.stop().await.unwrap();

    // Somebody else's directory in that place is not used.
    fs::set_permissions(&socket_dir, fs::Permissions::from_mode(0o755)).unwrap();
    let error = start(data.options()).await.unwrap_err();
    assert!(matches!(error, ManagedError::UnsafeSocketDirectory { .. }), "{error}");
    fs::remove_dir_all(socket_dir).unwrap();
}

#[tokio::test]
async fn root_keeps_the_cluster_elsewhere_if_the_data_directory_is_out_of_reach() {
    if !effective_user().is_root() {
        return;
    }
    // As /root is: closed to everybody else.
    let mut data = Data::new();
    data.below = "inner";
    let half = data.path().join("postgres.new");
    fs::create_dir(data.path()).unwrap();
    // A link that leads elsewhere is removed, and what it leads to is not.
    let bystander = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(bystander.path(), &half).unwrap();

    let managed = start(data.options()).await.unwrap();
    assert!(bystander.path().exists());
    assert!(fs::symlink_metadata(&half).is_err());
    let real = fs::read_link(data.path().join("postgres")).unwrap();
    assert_eq!(real.parent(), Some(Path::new("/var/lib/countersign")));
    let identity = managed.identity().clone();
    drop(managed);
    let again = start(data.options()).await.unwrap();
    assert_eq!((again.origin(), again.identity()), (Origin::Adopted, &identity));
    again.stop().await.unwrap();
    assert_eq!(fs::metadata(data.dir.path()).unwrap().mode() & 0o777, 0o700);
    fs::remove_dir_all(real).unwrap();
}

#[test]
fn a_path_becomes_the_host_of_a_url() {
    assert_eq!(percent_encoded("/a b/c-1.d_é"), "%2Fa%20b%2Fc-1.d_%C3%A9");
}

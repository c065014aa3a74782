//! `countersign plan` against a real Postgres, a data directory, and a server that is scripted.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::routing::post;
use axum::{Json, Router};
use countersign::model::chat::{Addressed, Incoming, Said};
use countersign::model::id::{MessageId, PersonId, RunId};
use countersign::model::plan::Sealed;
use countersign::model::run::RunState;
use countersign::store::managed::{self, ManagedOptions};
use countersign::store::{NewRun, Store};
use countersign::web::wire::{PlanAsked, PlanTold};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// A fresh, empty database: how to connect, and its URL.
async fn database() -> (PgConnectOptions, String) {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let server = std::env::var("COUNTERSIGN_TEST_POSTGRES")
        .expect("set COUNTERSIGN_TEST_POSTGRES to the URL of a Postgres in which databases may be created");
    let server: PgConnectOptions = server.parse().expect("COUNTERSIGN_TEST_POSTGRES is a Postgres URL");
    let name = format!("cli_plan_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let mut connection = PgConnection::connect_with(&server).await.expect("a Postgres to test with");
    for sql in [format!("drop database if exists {name} with (force)"), format!("create database {name}")] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.expect("a database");
    }
    let options = server.database(&name);
    let url = options.to_url_lossy().to_string();
    (options, url)
}

fn countersign(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(environment.iter().copied())
        .output()
        .expect("it runs")
}

/// Runs `plan` without blocking the test's own server.
async fn plan(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let own = |text: &str| text.to_owned();
    let arguments: Vec<String> = ["plan", "start-service"].iter().chain(arguments).map(|text| own(text)).collect();
    let environment: Vec<(String, String)> = environment.iter().map(|(name, value)| (own(name), own(value))).collect();
    let output = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
        countersign(&arguments, &environment)
    });
    let output = output.await.expect("it ran");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The plan's bytes as they stand in what `--json` printed.
fn printed(out: &str) -> (Value, Sealed) {
    let value: Value = serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}"));
    let from = out.find("\"plan\":").expect("a plan") + "\"plan\":".len();
    let bytes = out[from..].strip_suffix("}\n").expect("the object's end");
    (value, Sealed::from_stored(bytes.as_bytes().to_vec()))
}

/// Puts a run of the plan into the ledger, as if mei had asked for it.
async fn ask(store: &Store, sealed: &Sealed, line: &str) -> RunId {
    let plan = sealed.open().expect("a plan");
    let incoming = Incoming {
        room: "local:trial:system-a".parse().expect("a room"),
        thread: None,
        account: "local:trial:mei".parse().expect("an account"),
        said_at: store.clock().now(),
        what: Said::Line { message: MessageId::new(line), text: line.to_owned(), address: Addressed::ToRoom },
        trace: None,
    };
    let mut tx = store.begin().await.expect("a transaction");
    let mei = PersonId::new("mei");
    let line = tx.insert_line(&incoming, Some(&mei), Some(line)).await.expect("a line").expect("a new line");
    tx.insert_plan(sealed).await.expect("a plan");
    let run = NewRun {
        state: RunState::Planned,
        runbook: &plan.runbook,
        system: &plan.system,
        environment: &plan.environment,
        plan: sealed,
        room: &incoming.room,
        thread: None,
        requester: &mei,
        account: &incoming.account,
        cause: Some(line),
        trigger: None,
        incident: None,
        not_before: None,
    };
    let run = tx.insert_run(run).await.expect("a run");
    tx.commit().await.expect("committed");
    run
}

#[tokio::test]
async fn a_database_tells_what_became_of_the_same_plan() {
    let (options, url) = database().await;
    let service_b = &["service=service b", "--database", &url];
    let (code, out, err) = plan(service_b, &[]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        err,
        "countersign: this database holds no ledger of countersign yet: start it there once with `countersign up`\n"
    );

    let store = Store::connect(options).await.expect("a store");
    let (code, out, err) = plan(&[service_b, &["--json"][..]].concat(), &[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let (value, sealed) = printed(&out);
    assert_eq!(value["digest"], sealed.digest().to_string());
    assert_eq!((&value["history"]["runs"], &value["history"]["last"]), (&0.into(), &Value::Null));
    assert_eq!(sealed.open().expect("a plan").deed, "start service-b");

    ask(&store, &sealed, "one").await;
    let newest = ask(&store, &sealed, "two").await;
    let (code, out, err) = plan(service_b, &[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("PRODUCTION · start service-b on "), "{out}");
    assert!(out.contains(&format!("\nPlan {}\n", sealed.digest())), "the same inputs make the same bytes: {out}");
    let last = format!("\n2 runs of exactly this plan; the last is run {newest}, planned, asked by mei at ");
    assert!(out.contains(&last), "{out}");
    let (_, out, _) = plan(&["service=service c", "--database", &url], &[]).await;
    assert!(out.ends_with("\nNo run of exactly this plan is known.\n"), "{out}");

    sqlx::query("insert into _sqlx_migrations select 99999999999999, 'later', now(), true, checksum, 0 from _sqlx_migrations limit 1")
        .execute(&mut PgConnection::connect(&url).await.expect("a connection"))
        .await
        .expect("a later migration");
    let (code, _, err) = plan(service_b, &[]).await;
    assert_eq!(code, Some(1));
    assert!(err.starts_with("countersign: this database was last used by another version of countersign"), "{err}");
}

#[tokio::test]
async fn a_data_directory_is_read_while_no_bot_uses_it_and_left_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let data: PathBuf = folder.path().join("data");
    let managed = managed::start(ManagedOptions::new(&data)).await.expect("a Postgres");
    Store::connect(managed.connect_options()).await.expect("a store").close().await;
    let data_flag = data.to_str().expect("text").to_owned();
    let arguments = ["service=service-b", "--data", &data_flag];

    let (code, out, err) = plan(&arguments, &[]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let told = err.replace(&data_flag, "DIR").replace(&std::process::id().to_string(), "PID");
    assert_eq!(told, "countersign: a running countersign (process PID) uses DIR: ask it with `--server URL` instead\n");

    // As after a crash of the bot: the server runs on, and does so after this too.
    let server = managed.identity().clone();
    drop(managed);
    let (code, out, err) = plan(&arguments, &[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.ends_with("\nNo run of exactly this plan is known.\n"), "{out}");
    let managed = managed::start(ManagedOptions::new(&data)).await.expect("a Postgres");
    assert_eq!(managed.identity(), &server, "it was left running");
    managed.stop().await.expect("stopped");

    // Stopped in good order: it is started for this, and stopped again.
    let (code, _, err) = plan(&arguments, &[]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(!data.join("postgres/data/postmaster.pid").exists(), "it was stopped again");
    if let Ok(target) = std::fs::read_link(data.join("postgres")) {
        std::fs::remove_dir_all(target).expect("removed");
    }
}

/// A server that answers with this plan.
async fn server(told: impl Fn(PlanAsked) -> PlanTold + Clone + Send + Sync + 'static) -> String {
    let answer = move |Json(asked): Json<PlanAsked>| {
        let told = told(asked);
        async move { Json(told) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(axum::serve(listener, Router::new().route("/api/v1/plan", post(answer))).into_future());
    format!("http://{address}")
}

#[tokio::test]
async fn i1_a_servers_digest_is_computed_again() {
    let (options, url) = database().await;
    let store = Store::connect(options).await.expect("a store");
    let (_, out, _) = plan(&["service=service-b", "--database", &url, "--json"], &[]).await;
    let (_, sealed) = printed(&out);
    let history = store.find_plan_history(sealed.digest()).await.expect("a history");
    let bytes = String::from_utf8(sealed.bytes().to_vec()).expect("text");
    let right = PlanTold { digest: sealed.digest(), plan: bytes, history };

    let token = "ab".repeat(32);
    let environment = [("COUNTERSIGN_TOKEN", token.as_str())];
    let answer = right.clone();
    let honest = server(move |asked| {
        assert_eq!(asked.runbook, "start-service");
        assert_eq!(asked.params.into_iter().collect::<Vec<_>>(), [("service".to_owned(), "service b".to_owned())]);
        answer.clone()
    });
    let (code, out, err) = plan(&["service=service b", "--server", &honest.await], &environment).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains(&format!("\nPlan {}\n", sealed.digest())), "{out}");

    let changed = PlanTold { plan: right.plan.replace("start", "stop"), ..right };
    let forged = server(move |_| changed.clone()).await;
    let (code, out, err) = plan(&["service=service b", "--server", &forged], &environment).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "countersign: the server's plan has another digest than the server says: believe neither\n");

    let (code, out, err) = plan(&["service=a", "Service=b", "--server", &forged], &environment).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err, "countersign: Service is given twice. start-service wants it once.\n");
}

//! The bot without its process: the app, engine and store over a database of its own, with each part set to work by the
//! test and not by itself. So a test says in which instant something happens, and may do what no chat could.
//!
//! What really happened is counted outside the database: scripts of the catalog append lines to files below `side/`.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use countersign::approval::{self, End, Ending};
use countersign::chat::{Delivery, Inbound as _, ReceiveError, Received};
use countersign::engine::plan::LocalWorld;
use countersign::engine::{Engine, Surroundings, WorkerSettings};
use countersign::flow::{App, CurrentSecrets, Reload, room_sink, watch_catalog};
use countersign::ledger::{self, Trial, sequencer};
use countersign::model::chat::{Account, Addressed, Incoming, RoomAddress, Said};
use countersign::model::code::Code;
use countersign::model::id::{InboxId, MessageId, RequestId, RunId};
use countersign::model::run::RunState;
use countersign::runbook::{self, Loaded};
use countersign::store::{Run, Store, WorkerId};
use countersign::sys::ProcessIdentity;
use countersign::text::time::Times;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::support::{TestDb, database, hold_key, until};

/// Longer than any test: a lease that nobody renews holds to its end.
pub(crate) const LEASE: Duration = Duration::from_secs(60);

const PEOPLE: &str = "people:
  mei: {accounts: ['local:trial:mei', 'local:trial:mei2']}
  ann: {accounts: ['local:trial:ann', 'local:trial:ann2']}
  boss: {accounts: ['local:trial:boss', 'local:trial:boss2']}
  lin: {accounts: ['local:trial:lin']}
  kim: {accounts: ['local:trial:kim', 'local:trial:kim2']}
  vic: {accounts: ['local:trial:vic']}
groups:
  support: [mei, ann]
  managers: [ann, boss, lin, kim]
  leads: [kim]
";

const ROOMS: &str = "rooms:
  shop: {address: 'local:trial:shop'}
  yard: {address: 'local:trial:yard'}
";

const SYSTEM: &str = "system: shop
title: The shop
environment: production
room: shop
may_run: [group:support, group:managers]
may_see: [person:vic]
may_unstick: [group:managers]
services:
  web: {title: Web, checks: {running: {command: ['true']}}}
";

/// One agrees.
const ONE: &str = "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\nexpires: 10m\nvalid_for: 1h\n";
/// Two different people agree.
const TWO: &str = "policy: two\ntitle: Two agree\nstages: [{approvers: [group:managers, group:leads], quorum: 2}]\nexpires: 10m\nvalid_for: 1h\n";

/// Appends its second argument to the file that its first one names.
const NOTE: &str = "#!/bin/sh\nprintf '%s\\n' \"$2\" >> \"$1\"\n";
/// The same, and then waits until a file is there.
const GATE: &str = "#!/bin/sh\nprintf '%s\\n' \"$2\" >> \"$1\"\nwhile [ ! -e \"$3\" ]; do sleep 0.02; done\n";
/// The same, and never ends; its pid stands beside the note.
const HANG: &str = "#!/bin/sh\necho $$ >> \"$1.pid\"\nprintf '%s\\n' \"$2\" >> \"$1\"\nexec sleep 600\n";

/// The bot's parts, and where they work.
pub(crate) struct House {
    pub(crate) db: TestDb,
    pub(crate) app: Arc<App>,
    pub(crate) me: WorkerId,
    pub(crate) ledger: String,
    folder: TempDir,
    said: AtomicU32,
    workers: AtomicU32,
}

/// Something that was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) run: RunId,
    pub(crate) request: RequestId,
    pub(crate) code: Code,
}

/// A part that works until it is told to stop.
pub(crate) struct Working {
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) task: JoinHandle<()>,
}

impl Working {
    /// A part that the test has set to work itself.
    pub(crate) fn of(stop: watch::Sender<bool>, task: JoinHandle<()>) -> Self {
        Self { stop, task }
    }

    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.expect("it ends well");
    }

    /// Ends it in the middle: what it had begun stays as it was.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }
}

pub(crate) fn account(name: &str) -> Account {
    format!("local:trial:{name}").parse().expect("an account")
}

pub(crate) fn room() -> RoomAddress {
    "local:trial:shop".parse().expect("a room")
}

/// A runbook `NAME`, started by its name's words.
fn runbook(name: &str, policy: &str, rest: &str) -> String {
    let words = name.replace('-', " ");
    format!("runbook: {name}\ntitle: Test {words}\nsay: ['{words}']\nsystem: shop\napproval: {policy}\n{rest}")
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    /// With further files of the catalog, or others in the place of those that are there. `SIDE` in them is the folder
    /// that scripts write to.
    pub(crate) async fn with(more: &[(&str, &str)]) -> Self {
        let db = database().await;
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["catalog", "side"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder");
        }
        let note = |what: &str| format!("{{command: [./note.sh, SIDE/done, {what}]}}");
        let gate = "{command: [./gate.sh, SIDE/done, gate, SIDE/open]}";
        let hang = "{command: [./hang.sh, SIDE/done, hang]}";
        let (one, two) = (note("one"), note("two"));
        let files: BTreeMap<String, String> = [
            ("people.yaml", PEOPLE.to_owned()),
            ("rooms.yaml", ROOMS.to_owned()),
            ("shop.yaml", SYSTEM.to_owned()),
            ("one.yaml", ONE.to_owned()),
            ("two.yaml", TWO.to_owned()),
            ("mark-it.yaml", runbook("mark-it", "one", &format!("steps: [{{name: Note, run: {one}}}]\n"))),
            ("both-notes.yaml", {
                let steps = format!("steps: [{{name: One, run: {one}}}, {{name: Two, run: {two}}}]\n");
                runbook("both-notes", "one", &steps)
            }),
            ("agree-twice.yaml", runbook("agree-twice", "two", &format!("steps: [{{name: Note, run: {one}}}]\n"))),
            ("pass-gate.yaml", {
                let steps = format!("steps: [{{name: Gate, run: {gate}}}, {{name: Note, run: {one}}}]\n");
                runbook("pass-gate", "one", &steps)
            }),
            ("hang-on.yaml", {
                let steps = format!("steps: [{{name: Hang, run: {hang}}}, {{name: Note, run: {one}}}]\n");
                runbook("hang-on", "one", &steps)
            }),
            ("hang-again.yaml", {
                let steps = format!("steps: [{{name: Hang, run: {hang}, idempotent: true}}]\n");
                runbook("hang-again", "one", &steps)
            }),
            ("say-words.yaml", {
                let params = "params: {words: {type: text, max_length: 60}}\n";
                let note = note("'{{ words }}'");
                let text = runbook("say-words", "one", &format!("{params}steps: [{{name: Say, run: {note}}}]\n"));
                text.replace("'say words'", "'announce {words}'")
            }),
            ("look-at.yaml", {
                let steps = "params: {system: {type: system}}\nsteps: [{name: Look, check: '{{ system }}'}]\n";
                format!("runbook: look-at\ntitle: Look\nsay: ['look at {{system}}']\n{steps}")
            }),
            ("note.sh", NOTE.to_owned()),
            ("gate.sh", GATE.to_owned()),
            ("hang.sh", HANG.to_owned()),
        ]
        .into_iter()
        .chain(more.iter().map(|(path, text)| (*path, (*text).to_owned())))
        .map(|(path, text)| (path.to_owned(), text))
        .collect();
        for (path, text) in &files {
            write(&folder, path, text);
        }
        let loaded = load(&folder);
        let store = db.store.clone();
        let ledger = ledger::open(&store, Trial::Yes).await.expect("a ledger").ledger;
        hold_key(&store, &ledger).await;
        // Exists from the first start on.
        store.sink_position("room").await.expect("a sink");
        let me = store.insert_worker(&ProcessIdentity::own().expect("a process")).await.expect("a worker");
        let world = LocalWorld { search_path: ["/usr/bin", "/bin"].map(PathBuf::from).to_vec(), host: "app-1".into() };
        let times = Times::in_zone(chrono_tz::UTC);
        let app = Arc::new(App::new(store, times, world, Vec::new(), loaded, Vec::new()));
        Self { db, app, me, ledger, folder, said: AtomicU32::new(0), workers: AtomicU32::new(0) }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.db.store
    }

    /// Writes a file of the catalog; who uses it has to be told.
    pub(crate) fn write(&self, path: &str, text: &str) {
        write(&self.folder, path, text);
    }

    /// Whether a name is in the folder of side effects.
    pub(crate) fn side(&self, name: &str) -> PathBuf {
        self.folder.path().join("side").join(name)
    }

    pub(crate) fn catalog_folder(&self) -> PathBuf {
        self.folder.path().join("catalog")
    }

    /// The catalog's files as they are now.
    pub(crate) fn load(&self) -> Loaded {
        load(&self.folder)
    }

    /// What the steps did, in order.
    pub(crate) fn done(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.side("done")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Lets a step at the gate go on.
    pub(crate) fn open_gate(&self) {
        std::fs::write(self.side("open"), "").expect("written");
    }

    /// Begins anew outside the database, for a further case in the same house.
    pub(crate) fn forget_what_was_done(&self) {
        for name in ["done", "done.pid", "open"] {
            let _absent = std::fs::remove_file(self.side(name));
        }
    }

    // ---- speaking ----

    /// A line that nobody has said yet.
    pub(crate) fn line(&self, who: &str, text: &str) -> Incoming {
        let number = self.said.fetch_add(1, Ordering::Relaxed) + 1;
        Incoming {
            room: room(),
            thread: None,
            account: account(who),
            said_at: self.store().clock().now(),
            what: Said::Line {
                message: MessageId::new(format!("s{number}")),
                text: text.to_owned(),
                address: Addressed::ToRoom,
            },
            trace: None,
        }
    }

    pub(crate) async fn receive(&self, incoming: Incoming) -> Result<Received, ReceiveError> {
        self.app.receive(incoming).await
    }

    /// Says a line; returns what it was answered.
    pub(crate) async fn say(&self, who: &str, text: &str) -> String {
        let received = self.receive(self.line(who, text)).await.expect("it is received");
        assert_eq!(received.delivery, Delivery::First);
        self.answers(received.line).await
    }

    /// The answers to a line.
    pub(crate) async fn answers(&self, line: InboxId) -> String {
        let sql = format!("select message::json ->> 'text' from outbox where origin = 'line:{line}' order by part");
        self.texts(sql).await.join("\n")
    }

    /// Asks for something that somebody must agree to; the whole of it is posted.
    pub(crate) async fn ask(&self, who: &str, text: &str) -> Asked {
        let received = self.receive(self.line(who, text)).await.expect("it is received");
        self.post().await;
        self.asked_by(received.line).await
    }

    /// What a line asked for.
    pub(crate) async fn asked_by(&self, line: InboxId) -> Asked {
        let sql = format!(
            "select q.id, q.run, q.code from request q join line_run l on l.run = q.run
             where l.line = {line} order by q.id desc limit 1"
        );
        let row = sqlx::query(AssertSqlSafe(sql)).fetch_optional(&mut self.db.connection().await).await.expect("asked");
        let Some(row) = row else { panic!("no request: {}", self.answers(line).await) };
        let code: String = row.get("code");
        Asked {
            run: RunId(row.get("run")),
            request: RequestId(row.get("id")),
            code: Code::parse(&code).expect("a code"),
        }
    }

    /// Asks, and somebody agrees.
    pub(crate) async fn granted(&self, who: &str, text: &str, by: &str) -> Asked {
        let asked = self.ask(who, text).await;
        self.say(by, &format!("approve {}", asked.code)).await;
        // Not the run's state: an engine that works already may have begun.
        assert_eq!(self.count(&format!("run_grant where run = {}", asked.run)).await, 1);
        asked
    }

    /// Marks what waits in the room as sent, as a sender would.
    pub(crate) async fn post(&self) {
        let waiting = self.store().list_unsent(&room(), 1000).await.expect("the outbox");
        let sent: Vec<_> = waiting.iter().map(|row| (row.id, MessageId::new(format!("m{}", row.id)))).collect();
        self.store().set_sent(&sent).await.expect("marked");
    }

    /// Ends what has waited too long, as the bot does by itself.
    pub(crate) async fn expire(&self) {
        for request in self.store().list_expired_requests().await.expect("requests") {
            let mut tx = self.store().begin().await.expect("a transaction");
            let end = End { request, ending: Ending::Expired, line: None };
            approval::end(&mut tx, end).await.expect("it ends");
            tx.commit().await.expect("committed");
        }
    }

    // ---- working ----

    pub(crate) fn engine(&self) -> Working {
        self.engine_of(self.store().clone(), self.me, LEASE)
    }

    pub(crate) fn engine_of(&self, store: Store, me: WorkerId, lease: Duration) -> Working {
        let surroundings = Surroundings {
            path: "/usr/bin:/bin".into(),
            extra_env: Arc::default(),
            cwd: PathBuf::from("/"),
            ledger: self.ledger.clone(),
        };
        let settings = WorkerSettings { lease, ..WorkerSettings::default() };
        let (stop, stopped) = watch::channel(false);
        let engine = Engine::new(store, me, surroundings, Arc::new(CurrentSecrets(self.app.clone())), settings);
        Working { stop, task: tokio::spawn(engine.run(stopped)) }
    }

    /// A further worker: a process of this machine that is no more.
    pub(crate) async fn another_worker(&self) -> WorkerId {
        let pid = 4_000_000 + self.workers.fetch_add(1, Ordering::Relaxed);
        let process = ProcessIdentity { pid, ..ProcessIdentity::own().expect("a process") };
        self.store().insert_worker(&process).await.expect("a worker")
    }

    /// Counts the worker of this house as dead: what it held can be taken at once.
    pub(crate) async fn forget_worker(&self) {
        self.store().end_worker(self.me).await.expect("it is ended");
    }

    /// Gives every event its place, and tells the rooms.
    pub(crate) async fn tell(&self) {
        sequencer::drain(self.store(), self.me).await.expect("sequenced");
        let (stop, stopped) = watch::channel(false);
        let sink = Working { stop, task: tokio::spawn(room_sink(self.app.clone(), self.me, LEASE, stopped)) };
        until("everything is told", async || {
            (self.store().backlog().await.expect("a backlog").untold == 0).then_some(())
        })
        .await;
        sink.stop().await;
    }

    /// What is said in the room, in order, since a number of the outbox.
    pub(crate) async fn said(&self) -> Vec<String> {
        self.texts("select message::json ->> 'text' from outbox order by id".to_owned()).await
    }

    /// Watches the catalog; `ask` reloads it.
    pub(crate) fn watch(&self) -> (mpsc::Sender<Reload>, Working) {
        let (ask, asked) = mpsc::channel(1);
        let (stop, stopped) = watch::channel(false);
        let watching = watch_catalog(self.app.clone(), self.catalog_folder(), asked, stopped);
        (ask, Working { stop, task: tokio::spawn(watching) })
    }

    // ---- looking ----

    pub(crate) async fn run(&self, run: RunId) -> Run {
        self.store().find_run(run).await.expect("the run can be read").expect("the run is there")
    }

    /// Waits until a run is over or waits for a person.
    pub(crate) async fn settled(&self, run: RunId) -> RunState {
        until("the run is settled", async || {
            let state = self.run(run).await.state;
            (state.is_over() || state.waits_for_a_person()).then_some(state)
        })
        .await
    }

    /// Why a run fails when it is driven.
    pub(crate) async fn failure_of(&self, asked: Asked) -> String {
        let engine = self.engine();
        let why = self.failure(asked.run).await;
        engine.stop().await;
        why
    }

    /// Why a run failed.
    pub(crate) async fn failure(&self, run: RunId) -> String {
        match self.settled(run).await {
            RunState::Failed(snag) => snag.why,
            other => panic!("it did not fail: {other:?}"),
        }
    }

    pub(crate) async fn texts(&self, sql: String) -> Vec<String> {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut self.db.connection().await).await.expect("texts")
    }

    pub(crate) async fn count(&self, from: &str) -> i64 {
        let sql = format!("select count(*) from {from}");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut self.db.connection().await).await.expect("a number")
    }

    /// Every row of every table, as text; bytes stand in it as hexadecimal digits.
    pub(crate) async fn every_row(&self) -> BTreeMap<String, Vec<String>> {
        let mut connection = self.db.connection().await;
        let tables: Vec<String> =
            sqlx::query_scalar("select tablename::text from pg_tables where schemaname = 'public' order by 1")
                .fetch_all(&mut connection)
                .await
                .expect("tables");
        let mut all = BTreeMap::new();
        for table in tables {
            let sql = format!("select t::text from {table} t order by 1");
            let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.expect("rows");
            all.insert(table, rows);
        }
        connection.close().await.expect("closed");
        all
    }

    /// Moves the clock of this process alone.
    pub(crate) fn shift(&self, by: TimeDelta) {
        self.store().clock().shift(by);
    }
}

fn write(folder: &TempDir, path: &str, text: &str) {
    let side = folder.path().join("side").display().to_string();
    let file = folder.path().join("catalog").join(path);
    // In one stroke: whoever watches sees the old or the new.
    let new = folder.path().join("new");
    std::fs::write(&new, text.replace("SIDE", &side)).expect("written");
    let mode = if path.ends_with(".sh") { 0o755 } else { 0o644 };
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).expect("permissions");
    std::fs::rename(&new, &file).expect("moved");
}

fn load(folder: &TempDir) -> Loaded {
    runbook::load(&folder.path().join("catalog")).unwrap_or_else(|wrong| panic!("{wrong}"))
}

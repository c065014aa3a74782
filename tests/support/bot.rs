//! The real program as a process, spoken to as anybody would: over its API and its command line.
//!
//! Every message that a room got must have been read by the test: what a `say` returned, what was waited for
//! ([`Bot::hear`]), or the rest, taken in words ([`Bot::rest`]). [`Bot::finish`] holds that and everything else that must
//! be true at the end of any story; a test that forgets it fails.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::future::IntoFuture;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use countersign::cli::client::{Client, ClientError};
use countersign::ledger;
use countersign::model::event::Happened;
use countersign::model::id::{Position, RunId};
use countersign::web::Token;
use countersign::web::wire::{Kept, NewEdit, NewLine, NewPress, Settled, SettledAs, Told};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::world::{Catalog, OTHER_ROOM, ROOM};
use super::{SOON, TestDb, database, until, until_with};

/// The program.
pub(crate) const EXE: &str = env!("CARGO_BIN_EXE_countersign");

/// What the bot's environment consists of, beside `HOME`.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a round of the engine says that took a fifth of a lease.
pub(crate) const SLOW: &str = "the database does not answer; runs whose leases cannot be renewed";

/// A bot in a world of its own.
pub(crate) struct Bot {
    /// The world: `catalog/`, `data/`, `side/`, `log`.
    dir: tempfile::TempDir,
    catalog: PathBuf,
    db: TestDb,
    child: Option<Child>,
    address: String,
    /// What `address` names.
    _port: Port,
    /// The ledger's name, which stands in the mark of every process of a step.
    ledger: String,
    /// Room and number of what the test has read.
    read: Mutex<HashSet<(String, i64)>>,
    spoke: Mutex<BTreeSet<String>>,
    expected_errors: Vec<String>,
    tolerated_errors: Vec<String>,
    said: AtomicU32,
    finished: bool,
    /// Further arguments of `up`.
    arguments: Vec<String>,
}

/// What came back for one line.
#[derive(Debug)]
pub(crate) struct Reply {
    /// That it was kept, and whether for the first time.
    pub(crate) kept: Kept,
    /// Every message, edits too.
    pub(crate) told: Vec<Told>,
    /// How it settled; nothing if the wait was over or the bot went away.
    pub(crate) settled: Option<Settled>,
}

impl Reply {
    fn settled(&self) -> &Settled {
        self.settled.as_ref().unwrap_or_else(|| panic!("not settled: {self:#?}"))
    }

    /// The run that the line made or moved.
    pub(crate) fn run(&self) -> RunId {
        self.settled().run.expect("a run")
    }

    /// The thread of that run.
    pub(crate) fn thread(&self) -> String {
        self.settled().thread.as_ref().expect("a thread").to_string()
    }

    /// The code of its request.
    pub(crate) fn code(&self) -> String {
        self.settled().request.clone().expect("a request")
    }

    /// Where it stands.
    pub(crate) fn state(&self) -> &str {
        self.settled().state.as_deref().unwrap_or_default()
    }

    /// Every message as it reads in the end.
    pub(crate) fn text(&self) -> String {
        folded(&self.told)
    }

    /// The same with what differs from test to test replaced.
    pub(crate) fn plain(&self) -> String {
        plain(&self.text())
    }

    /// How it settled.
    pub(crate) fn was(&self) -> SettledAs {
        self.settled().settled
    }

    /// Panics unless the line was refused.
    #[track_caller]
    pub(crate) fn refused(self) -> Self {
        assert_eq!(self.was(), SettledAs::Refused, "{}", self.text());
        self
    }

    /// Panics unless a run waits for a person.
    #[track_caller]
    pub(crate) fn waiting(self) -> Self {
        assert_eq!(self.was(), SettledAs::Waiting, "{}", self.text());
        self
    }

    /// Panics unless nothing more comes of it.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.was(), SettledAs::Done, "{}", self.text());
        self
    }
}

/// Messages in the order of their first appearance, each as it reads in the end.
fn folded(told: &[Told]) -> String {
    let mut order: Vec<&str> = Vec::new();
    let mut texts: BTreeMap<&str, String> = BTreeMap::new();
    for told in told {
        let id = told.id.as_str();
        if !texts.contains_key(id) {
            order.push(id);
        }
        let mark = told.only_to.as_ref().map(|account| format!("(to {account}) ")).unwrap_or_default();
        texts.insert(id, format!("{mark}{}", told.text));
    }
    order.iter().map(|id| texts[id].as_str()).collect::<Vec<_>>().join("\n")
}

/// A line about to be said. Awaited, it is said and answered.
pub(crate) struct Say<'a> {
    bot: &'a Bot,
    room: String,
    line: NewLine,
}

impl<'a> Say<'a> {
    /// In a thread.
    pub(crate) fn thread(mut self, thread: impl Into<String>) -> Self {
        self.line.thread = Some(thread.into());
        self
    }

    /// In another room.
    pub(crate) fn room(mut self, room: &str) -> Self {
        room.clone_into(&mut self.room);
        self
    }

    /// Under a name of its own.
    pub(crate) fn message_id(mut self, id: &str) -> Self {
        self.line.message_id = Some(id.to_owned());
        self
    }

    /// Waits only for the line's own answers, not for what its runs do.
    pub(crate) fn no_wait(mut self) -> Self {
        self.line.wait_ms = None;
        self
    }

    /// Waits at most so long.
    pub(crate) fn wait(mut self, wait: Duration) -> Self {
        self.line.wait_ms = Some(u64::try_from(wait.as_millis()).expect("not for ever"));
        self
    }

    /// Says it; what the server refuses to take is an error.
    pub(crate) async fn send(self) -> Result<Reply, ClientError> {
        let Self { bot, room, line } = self;
        let body = serde_json::to_value(&line).expect("JSON");
        bot.post(&room, "lines", &line.speaker, body).await
    }
}

impl<'a> IntoFuture for Say<'a> {
    type Output = Reply;
    type IntoFuture = BoxFuture<'a, Reply>;

    fn into_future(self) -> Self::IntoFuture {
        async move { self.send().await.expect("the bot takes the line") }.boxed()
    }
}

impl Bot {
    /// Starts a bot with a catalog, and waits until it is ready.
    pub(crate) async fn start(catalog: Catalog) -> Self {
        Self::start_with(catalog, "").await
    }

    /// The same with a settings file of this content.
    pub(crate) async fn start_with(catalog: Catalog, settings: &str) -> Self {
        Self::start_as(catalog, settings, &[]).await
    }

    /// The same with further arguments of `up`.
    pub(crate) async fn start_as(catalog: Catalog, settings: &str, arguments: &[&str]) -> Self {
        // Whether another test was first does not matter.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::Builder::new().prefix("cs-").tempdir().expect("a directory");
        let side = dir.path().join("side");
        std::fs::create_dir(&side).expect("a directory");
        let catalog = catalog.write(&dir.path().join("catalog"), &side);
        std::fs::write(dir.path().join("settings.yaml"), settings).expect("a file");
        let port = free_port();
        let mut bot = Self {
            dir,
            catalog,
            db: database().await,
            child: None,
            address: format!("127.0.0.1:{port}"),
            _port: port,
            ledger: String::new(),
            read: Mutex::default(),
            spoke: Mutex::default(),
            expected_errors: Vec::new(),
            // A machine with much to do is as slow as a database that does not answer: then runs are given up, which shows.
            tolerated_errors: vec![SLOW.to_owned()],
            said: AtomicU32::new(0),
            finished: false,
            arguments: arguments.iter().map(|argument| (*argument).to_owned()).collect(),
        };
        bot.go().await;
        bot
    }

    /// Starts the program over what is there.
    async fn go(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("a log");
        let mut child = self
            .command(&["up", "--config"])
            .arg(self.settings())
            .arg("--catalog")
            .arg(&self.catalog)
            .arg("--data")
            .arg(self.data())
            .args(["--database", self.db.url(), "--listen", &self.address])
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let stdout = child.stdout.take().expect("a pipe");
        self.child = Some(child);
        let mut lines = BufReader::new(stdout).lines();
        let ready = tokio::time::timeout(SOON, lines.next_line()).await.expect("ready in time").expect("a line");
        let ready = ready.unwrap_or_else(|| panic!("it ended instead of getting ready"));
        let address = ready.strip_prefix("ready http://").unwrap_or_else(|| panic!("not as promised: {ready}"));
        // Again at the same place, so that who waits finds it again.
        address.clone_into(&mut self.address);
        std::fs::write(self.side("server"), format!("http://{address}")).expect("a file");
        let first = self.db.store.first_event().await.expect("the database").expect("a first event");
        let Some(Happened::LedgerCreated { ledger, .. }) = first.record.map(|record| record.what) else {
            panic!("the ledger does not begin as it should");
        };
        self.ledger = ledger;
    }

    /// A command of the program, with nothing of the test's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(EXE);
        command.args(arguments).env_clear().env("PATH", PATH).env("HOME", self.dir.path()).stdin(Stdio::null());
        command
    }

    /// `countersign say` with the room, the server and the data directory filled in.
    pub(crate) async fn say_by_hand(&self, speaker: &str, arguments: &[&str]) -> Output {
        self.spoke.lock().expect("no panic before").insert(speaker.to_owned());
        let url = self.url();
        self.command(&["say", "--server", &url, "--room", ROOM, "--as", speaker, "--data"])
            .arg(self.data())
            .args(arguments)
            .output()
            .await
            .expect("the program runs")
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// A file beside everything, where steps leave their traces.
    pub(crate) fn side(&self, name: &str) -> PathBuf {
        self.dir.path().join("side").join(name)
    }

    /// A file of the catalog.
    pub(crate) fn catalog(&self, name: &str) -> PathBuf {
        self.catalog.join(name)
    }

    /// Changes a file of the catalog, or adds one, at once: nobody reads half of it.
    pub(crate) fn rewrite(&self, name: &str, text: &str) {
        let new = self.dir.path().join("rewritten");
        std::fs::write(&new, text).expect("a file");
        std::fs::rename(new, self.catalog(name)).expect("a file");
    }

    /// Its settings file.
    pub(crate) fn settings(&self) -> PathBuf {
        self.dir.path().join("settings.yaml")
    }

    /// Its database.
    pub(crate) fn db(&self) -> &TestDb {
        &self.db
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn client(&self) -> Client {
        let token = Token::read(&self.data()).expect("a token");
        Client::new(self.url().parse().expect("an address"), token).expect("a client")
    }

    /// Somebody says something in the room. Waits until what it causes is over or waits for a person.
    pub(crate) fn say(&self, speaker: &str, text: &str) -> Say<'_> {
        let number = self.said.fetch_add(1, Ordering::Relaxed);
        let line = NewLine {
            speaker: speaker.to_owned(),
            text: text.to_owned(),
            thread: None,
            message_id: Some(format!("line-{number}")),
            wait_ms: Some(u64::try_from(SOON.as_millis()).expect("not for ever")),
        };
        Say { bot: self, room: ROOM.to_owned(), line }
    }

    /// Somebody edits (or, without a text, deletes) a message.
    pub(crate) async fn edit(&self, speaker: &str, message_id: &str, text: Option<&str>) -> Reply {
        let number = self.said.fetch_add(1, Ordering::Relaxed);
        let edit = NewEdit {
            speaker: speaker.to_owned(),
            message_id: message_id.to_owned(),
            revision: format!("revision-{number}"),
            text: text.map(str::to_owned),
        };
        let body = serde_json::to_value(&edit).expect("JSON");
        self.post(ROOM, "edits", speaker, body).await.expect("the bot takes the edit")
    }

    /// Somebody presses a button under a message.
    pub(crate) async fn press(&self, speaker: &str, interaction: &str, message: &str, command: &str) -> Reply {
        let press = NewPress {
            speaker: speaker.to_owned(),
            interaction: interaction.to_owned(),
            message: message.to_owned(),
            command: command.to_owned(),
            thread: Some(message.to_owned()),
            wait_ms: Some(u64::try_from(SOON.as_millis()).expect("not for ever")),
        };
        let body = serde_json::to_value(&press).expect("JSON");
        self.post(ROOM, "presses", speaker, body).await.expect("the bot takes the press")
    }

    async fn post(&self, room: &str, what: &str, speaker: &str, body: Value) -> Result<Reply, ClientError> {
        self.spoke.lock().expect("no panic before").insert(speaker.to_owned());
        let client = self.client();
        let request = client.request(Method::POST, &["api", "v1", "rooms", room, what]).json(&body);
        let mut response = client.send(request).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| client.away(&error))? {
            bytes.extend_from_slice(&chunk);
        }
        let mut lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let kept = serde_json::from_slice(lines.next().expect("a first line")).expect("that it was kept");
        let mut reply = Reply { kept, told: Vec::new(), settled: None };
        for line in lines {
            let value: Value = serde_json::from_slice(line).expect("JSON");
            if value.get("settled").is_some() {
                reply.settled = Some(serde_json::from_value(value).expect("how it settled"));
            } else if value.get("timeout").is_none() {
                reply.told.push(serde_json::from_value(value).expect("a message"));
            }
        }
        self.mark_read(room, &reply.told);
        Ok(reply)
    }

    fn mark_read(&self, room: &str, told: &[Told]) {
        let mut read = self.read.lock().expect("no panic before");
        read.extend(told.iter().map(|told| (room.to_owned(), told.number.0)));
    }

    /// Everything that a person reads in a room.
    pub(crate) async fn history(&self, room: &str, reader: &str) -> Vec<Told> {
        let client = self.client();
        let mut all = Vec::<Told>::new();
        loop {
            let after = all.last().map_or(0, |told| told.number.0).to_string();
            let query = [("as", reader), ("after", after.as_str())];
            let request = client.request(Method::GET, &["api", "v1", "rooms", room, "messages"]).query(&query);
            let response = client.send(request).await.expect("the history");
            let page: Vec<Told> = response.json().await.expect("messages");
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    /// What no test line has read yet, by room, whoever may see it.
    async fn unread(&self) -> BTreeMap<String, Vec<Told>> {
        let readers = self.spoke.lock().expect("no panic before").clone();
        let mut unread = BTreeMap::new();
        for room in [ROOM, OTHER_ROOM] {
            if room == OTHER_ROOM && !self.catalog(&format!("{room}.yaml")).exists() {
                continue;
            }
            let mut told: BTreeMap<i64, Told> = BTreeMap::new();
            for reader in readers.iter().map(String::as_str).chain(["nobody"]) {
                told.extend(self.history(room, reader).await.into_iter().map(|told| (told.number.0, told)));
            }
            let read = self.read.lock().expect("no panic before");
            let rest: Vec<Told> =
                told.into_values().filter(|told| !read.contains(&(room.to_owned(), told.number.0))).collect();
            if !rest.is_empty() {
                unread.insert(room.to_owned(), rest);
            }
        }
        unread
    }

    /// Waits until an unread message holds some words, and reads it.
    pub(crate) async fn hear(&self, words: &str) -> Told {
        let pause = Duration::from_millis(25);
        let (room, told) = until_with(&format!("a message with `{words}`"), pause, async || {
            let unread = self.unread().await;
            unread.into_iter().find_map(|(room, told)| {
                told.into_iter().find(|told| told.text.contains(words)).map(|told| (room, told))
            })
        })
        .await;
        self.mark_read(&room, std::slice::from_ref(&told));
        told
    }

    /// Waits until everything has been told, and reads what nobody read so far.
    pub(crate) async fn rest(&self) -> String {
        self.quiet().await;
        let mut texts = Vec::new();
        for (room, told) in self.unread().await {
            self.mark_read(&room, &told);
            texts.push(folded(&told));
        }
        texts.join("\n")
    }

    /// Waits until everything that was recorded has been told.
    pub(crate) async fn quiet(&self) {
        until("everything is told", async || {
            let backlog = self.db.store.backlog().await.expect("the database");
            backlog.is_empty().then_some(())
        })
        .await;
    }

    /// Waits until a run is in a state.
    pub(crate) async fn until_run(&self, run: RunId, state: &str) {
        until(&format!("run {run} is {state}"), async || {
            let run = self.db.store.find_run(run).await.expect("the database").expect("a run");
            (run.state.name() == state).then_some(())
        })
        .await;
    }

    /// What steps really did: one name for each start of a step.
    pub(crate) fn effects(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.side("effects")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a step has begun so many times.
    pub(crate) async fn until_effect(&self, name: &str, times: usize) {
        until(&format!("{name} begins"), async || {
            (self.effects().iter().filter(|effect| *effect == name).count() >= times).then_some(())
        })
        .await;
    }

    /// Lets a step that waits go on.
    pub(crate) fn release(&self, name: &str) {
        File::create(self.side(&format!("go-{name}"))).expect("a file");
    }

    /// The processes of this bot's steps that are alive.
    pub(crate) fn step_processes(&self) -> Vec<u32> {
        let mark = format!("COUNTERSIGN_ATTEMPT={}", self.ledger);
        processes(|environment, _| environment.contains(&mark))
    }

    /// The processes of this bot's demo that are alive.
    pub(crate) fn demo_processes(&self) -> Vec<u32> {
        let dir = countersign::demo::dir_for(&self.data()).display().to_string();
        processes(|_, arguments| arguments.contains(&dir))
    }

    /// Log lines of level ERROR with these words are part of the story.
    pub(crate) fn expect_error(&mut self, words: &str) {
        self.expected_errors.push(words.to_owned());
    }

    /// Log lines of level ERROR with these words may or may not come: whether they do is a matter of moments.
    pub(crate) fn tolerate_error(&mut self, words: &str) {
        self.tolerated_errors.push(words.to_owned());
    }

    /// Kills the program where it stands.
    pub(crate) async fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.start_kill().expect("it can be killed");
        child.wait().await.expect("it is gone");
    }

    /// Waits until the program has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let ended = tokio::time::timeout(SOON, child.wait()).await;
        ended.expect("it ends").expect("its end is seen")
    }

    /// Starts the program again over the same data.
    pub(crate) async fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        self.go().await;
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
        rustix::process::kill_process(pid, signal).expect("it can be signalled");
    }

    /// Ends the program as an operator would, and waits for it.
    pub(crate) async fn term(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.ended().await
    }

    /// Ends the story: nothing is left over, and the record is sound.
    pub(crate) async fn finish(self) {
        self.quiet().await;
        let unread = self.unread().await;
        let unread: Vec<&str> = unread.values().flatten().map(|told| told.text.as_str()).collect();
        assert!(unread.is_empty(), "nobody read:\n{}", unread.join("\n"));
        self.end().await;
    }

    /// The same without looking at the local room: where people speak elsewhere there is none.
    pub(crate) async fn end(mut self) {
        self.quiet().await;
        let open = self
            .db
            .number("select count(*) from run where state in ('planned', 'approved', 'running', 'stopping')")
            .await;
        assert_eq!(open, 0, "runs go on");
        // A process whose end was seen may still be a name in the table for a moment.
        super::until("no process of a step is left", async || self.step_processes().is_empty().then_some(())).await;
        let status = self.term().await;
        assert_eq!(status.code(), Some(0), "it ends well");
        assert_eq!(self.step_processes(), Vec::<u32>::new(), "processes of steps are left");
        assert_eq!(self.demo_processes(), Vec::<u32>::new(), "demo services are left");
        let backlog = self.db.store.backlog().await.expect("the database");
        assert!(backlog.is_empty(), "not everything was told: {backlog:?}");
        self.check_ledger().await;
        self.check_log();
        self.finished = true;
    }

    /// Verifies the ledger against the head that it says it has.
    pub(crate) async fn check_ledger(&self) {
        let report = ledger::verify(&self.db.store, &[]).await.expect("it can be verified");
        assert!(report.is_sound(), "{report}");
        assert_ne!(report.head.map(|head| head.0), Some(Position(0)));
    }

    fn check_log(&self) {
        let log = self.log();
        let is_error = |line: &&str| [" ERROR ", "\"level\":\"ERROR\"", "panicked at"].iter().any(|w| line.contains(w));
        for line in log.lines().filter(is_error) {
            let expected = self.expected_errors.iter().chain(&self.tolerated_errors).any(|words| line.contains(words));
            assert!(expected, "the log has an error that no test expects: {line}");
        }
        for words in &self.expected_errors {
            assert!(log.contains(words), "the log does not say `{words}`");
        }
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        for pid in self.step_processes_if_known().into_iter().chain(self.demo_processes()) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
                // It may have ended meanwhile.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("---- the bot's log ----\n{}----", self.log());
        } else {
            assert!(self.finished, "the test does not end with `bot.finish().await`");
        }
    }
}

impl Bot {
    fn step_processes_if_known(&self) -> Vec<u32> {
        if self.ledger.is_empty() { Vec::new() } else { self.step_processes() }
    }
}

/// The living processes whose environment and arguments are as asked.
fn processes(wanted: impl Fn(&str, &str) -> bool) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let read = |path: PathBuf| std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A zombie has neither.
        let (environment, arguments) = (read(entry.path().join("environ")), read(entry.path().join("cmdline")));
        if wanted(&environment.unwrap_or_default(), &arguments.unwrap_or_default()) && is_alive(pid) {
            found.push(pid);
        }
    }
    found
}

/// The number of a port at which nobody listens, and which no other test gets until this is dropped.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    /// The UDP port of the same number, which nobody uses and one test at a time can have: the port itself must be free
    /// for a program that starts, and starts again.
    _claim: UdpSocket,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}

/// A port that nobody listens at, below those that connections get by themselves: a program that was killed finds it
/// free again.
pub(crate) fn free_port() -> Port {
    loop {
        let mut random = [0; 2];
        getrandom::fill(&mut random).expect("randomness");
        let number = 20_000 + u16::from_le_bytes(random) % 12_000;
        let Ok(claim) = UdpSocket::bind(("127.0.0.1", number)) else { continue };
        if TcpListener::bind(("127.0.0.1", number)).is_ok() {
            return Port { number, _claim: claim };
        }
    }
}

/// Whether a process is there and no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")) else { return false };
    let state = stat.rfind(')').and_then(|end| stat.get(end + 2..end + 3));
    !matches!(state, None | Some("Z" | "X"))
}

/// Replaces what differs from run to run, after making sure that it looks as it should: codes, times, digests, durations,
/// pids, ports, the host and places on this machine.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let mut before: Option<char> = None;
    while let Some(first) = rest.chars().next() {
        let at_start = before.is_none_or(|c| !c.is_alphanumeric());
        let replaced = if at_start { token(rest, &out) } else { None };
        match replaced {
            Some((length, with)) => {
                out.push_str(with);
                before = rest.get(..length).and_then(|token| token.chars().last());
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                out.push(first);
                before = Some(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    without_days(&out)
        .replace(&format!(" on {},", countersign::sys::hostname()), " on HOST,")
        .replace(&format!(" on {} ", countersign::sys::hostname()), " on HOST ")
        .replace(EXE, "BIN/countersign")
}

/// Without the days that stand before times: near midnight what lasts an hour ends on another one.
fn without_days(text: &str) -> String {
    let is_day = |day: &str| day.len() == 10 && day.parse::<chrono::NaiveDate>().is_ok();
    let mut parts: Vec<String> = text.split(" TIME").map(str::to_owned).collect();
    let last = parts.len().saturating_sub(1);
    for part in parts.iter_mut().take(last) {
        let day = part.rsplit(' ').next().filter(|day| is_day(day)).map(|day| day.len() + 1);
        part.truncate(part.len() - day.unwrap_or_default());
    }
    parts.join(" TIME")
}

/// A thing that differs, at the start of a text: its length and what stands for it.
fn token(text: &str, before: &str) -> Option<(usize, &'static str)> {
    let word_end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let word = text.get(..word_end)?;
    let digits = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let after = text.get(word_end..).unwrap_or_default();
    // 12:34 UTC, 12:34:56 UTC
    if digits && word.len() == 2 && after.starts_with(':') {
        let time_end = text.find(|c: char| !c.is_ascii_digit() && c != ':')?;
        let shape: Vec<usize> = text.get(..time_end)?.split(':').map(str::len).collect();
        if text.get(time_end..)?.starts_with(" UTC") && (shape == [2, 2] || shape == [2, 2, 2]) {
            return Some((time_end + 4, "TIME"));
        }
    }
    // uptime 0:00:04
    if digits && before.ends_with("uptime ") {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != ':')?;
        return Some((end, "TIME"));
    }
    if digits && before.ends_with("pid ") {
        return Some((word_end, "PID"));
    }
    if digits && before.ends_with("127.0.0.1:") {
        return Some((word_end, "PORT"));
    }
    if digits && before.ends_with("Ledger ") {
        return Some((word_end, "N"));
    }
    // 43 ms, 0.1 s, 3 s, 1 min 10 s; a limit has no tenths, and is whole minutes
    let is_a_limit = ["at most ", "within ", "every ", "not done after "].iter().any(|words| before.ends_with(words));
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let tenths = text.get(..end).is_some_and(|number| number.contains('.'));
    if digits && (tenths || !is_a_limit) {
        let unit = text.get(end..)?;
        if unit.starts_with(" ms") {
            return Some((end + 3, "LASTED"));
        }
        if unit.strip_prefix(" s").is_some_and(|after| !after.starts_with(char::is_alphabetic)) {
            return Some((end + 2, "LASTED"));
        }
        let seconds = unit.strip_prefix(" min ").and_then(|after| after.split_once(" s"));
        if let Some((seconds, after)) = seconds
            && seconds.parse::<u8>().is_ok_and(|seconds| seconds < 60)
            && !after.starts_with(char::is_alphabetic)
        {
            return Some((end + " min ".len() + seconds.len() + " s".len(), "LASTED"));
        }
    }
    let hexadecimal = |word: &str| word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if word.len() == 12 && hexadecimal(word) {
        return Some((word_end, "DIGEST"));
    }
    // 2560 f915 ef18
    if before.ends_with("Plan ")
        && let Some(groups) = text.get(..14)
        && groups.split(' ').all(|group| group.len() == 4 && hexadecimal(group))
    {
        return Some((14, "DIGEST"));
    }
    // A request's code has no look-alikes, and nobody shouts four such letters otherwise.
    if word.len() == 4
        && word.parse::<countersign::model::code::Code>().is_ok()
        && !word.bytes().any(|b| b.is_ascii_lowercase())
    {
        return Some((word_end, "CODE"));
    }
    None
}

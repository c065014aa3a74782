//! `countersign doctor` over a workspace of ours: all well, and every wrong thing in turn. It changes nothing there.

#[path = "support/slack/mod.rs"]
mod slack;
mod support;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use slack::{APP_TOKEN, BOT_TOKEN, Fault, Kind, Room, SECRET, Slack, TEAM};
use support::TestDb;
use support::world::{Catalog, OTHER_ROOM, ROOM};

/// What may be called without changing anything.
const READS: [&str; 5] =
    ["auth.test", "apps.connections.open", "conversations.info", "users.info", "usergroups.users.list"];

/// The rights of the manifest and no others.
fn manifest_rights(slack: &Slack) {
    let wanted: Vec<&str> = countersign::chat::slack::manifest::SCOPES.iter().map(|scope| scope.name).collect();
    for scope in slack::SCOPES.iter().filter(|scope| !wanted.contains(scope)) {
        slack.without_scope(scope);
    }
    for scope in wanted.iter().filter(|scope| !slack::SCOPES.contains(scope)) {
        slack.with_scope(scope);
    }
}

/// A workspace, a catalog that fits it, settings, and a database.
struct Practice {
    slack: Slack,
    room: String,
    other: String,
    dir: tempfile::TempDir,
    db: TestDb,
}

impl Practice {
    async fn open() -> Self {
        let slack = Slack::start().await;
        slack.people(&["mei", "boss", "lin"]);
        manifest_rights(&slack);
        let members = ["mei", "boss", "lin", "countersign"];
        let room = slack.channel(ROOM, Room::Public, &members);
        let other = slack.channel(OTHER_ROOM, Room::Private, &members);
        slack.group("managers", &["boss", "lin"]);
        let dir = tempfile::tempdir().expect("a directory");
        let own = Self { slack, room, other, dir, db: support::database().await };
        own.catalog(Self::fitting());
        own.secret("bot", BOT_TOKEN);
        own.secret("app", APP_TOKEN);
        own.secret("signing", SECRET);
        own.settings("app_token: {file: DIR/app}", "");
        own
    }

    fn fitting() -> Catalog {
        Catalog::made().runbook("roll-out", &[]).edited(
            "people.yaml",
            "  managers: [boss, lin]",
            "  managers: {members_of: \"slack:T0ACME:S0MANAGERS\"}",
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn secret(&self, name: &str, secret: &str) {
        std::fs::write(self.path(name), format!("{secret}\n")).expect("a file");
    }

    fn catalog(&self, catalog: Catalog) {
        let _old = std::fs::remove_dir_all(self.path("catalog"));
        let catalog = catalog
            .file("roll-out.yaml", ROLL_OUT)
            // boss has one account here.
            .edited("people.yaml", ", \"local:trial:boss2\"", "");
        catalog.in_slack(TEAM, &self.room, &self.other).write(&self.path("catalog"), &self.path("side"));
    }

    /// One entry of a workspace, and whatever else stands in the settings.
    fn settings(&self, entry: &str, more: &str) {
        let text = format!(
            "catalog: DIR/catalog\ndata: DIR/data\nlisten: 127.0.0.1:0\ndatabase: {}\n{more}slack:\n  - workspace: \
             {TEAM}\n    api: {}\n    bot_token: {{file: DIR/bot}}\n    {entry}\n",
            self.db.url(),
            self.slack.api()
        );
        self.write_settings(&text);
    }

    fn write_settings(&self, text: &str) {
        let text = text.replace("DIR", &self.dir.path().display().to_string());
        std::fs::write(self.path("countersign.yaml"), text).expect("a file");
    }

    /// Runs it; the exit code and what it printed, with what differs from run to run named.
    async fn doctor(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("doctor").arg("--config").arg(self.path("countersign.yaml")).args(arguments);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it runs");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.is_empty(), "{complaint}");
        let text = String::from_utf8(output.stdout).expect("text");
        for secret in [BOT_TOKEN, APP_TOKEN, SECRET] {
            assert!(!text.contains(secret), "it tells no secret: {text}");
        }
        let text = text
            .replace(&self.dir.path().display().to_string(), "DIR")
            .replace(&self.slack.api(), "API")
            .replace(&self.room, "C0ROOM")
            .replace(&self.other, "C0OTHER");
        (output.status.code().unwrap_or(-1), text)
    }

    /// What it finds that is not as it should be.
    async fn finds(&self) -> String {
        let (code, text) = self.doctor(&[]).await;
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("ok ")).collect();
        let wrong = lines.iter().any(|line| line.starts_with("wrong "));
        assert_eq!(code, i32::from(wrong), "{text}");
        lines.join("\n")
    }

    /// Nothing was changed, and nobody listens.
    fn close(self) {
        for call in self.slack.calls() {
            assert!(READS.contains(&call.method.as_str()), "{} is no look", call.method);
        }
        assert_eq!(self.slack.sockets(), 0, "no socket is open");
        assert!(!self.path("data").exists(), "no data folder is made");
        // What is refused is what this is about; the arguments of every call are right.
        let wrong = self.slack.pardon();
        assert!(wrong.iter().all(|wrong| !wrong.contains("invalid_arguments")), "{wrong:?}");
        self.slack.finish();
    }
}

const ROLL_OUT: &str = "runbook: roll-out\ntitle: Roll out\nsay: [\"roll out\"]\nsystem: system-a\napproval: managers\n\
    steps:\n  - {name: Roll, run: {command: [/bin/true]}}\n";

#[tokio::test]
async fn all_is_well() {
    let practice = Practice::open().await;
    let (code, text) = practice.doctor(&[]).await;
    insta::assert_snapshot!(text, @"");
    assert_eq!(code, 0);
    let (_, json) = practice.doctor(&["--json"]).await;
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
    assert_eq!(lines.len() + 1, text.lines().count(), "the same, without the sum");
    assert!(lines.iter().all(|line| line["level"] == "ok"), "{json}");
    practice.close();
}

#[tokio::test]
async fn settings_and_catalog() {
    let practice = Practice::open().await;
    let mut page = Vec::new();
    practice.write_settings("colour: red\n");
    page.push(practice.finds().await);
    practice.write_settings("data: DIR/data\n");
    let (_, text) = practice.doctor(&["--catalog", "/nowhere", "--listen", "127.0.0.1:0"]).await;
    page.extend(text.lines().find(|line| line.contains("catalog")).map(str::to_owned));
    page.extend(text.lines().find(|line| line.contains("slack")).map(str::to_owned));

    practice.settings("app_token: {file: DIR/app}", "");
    practice.catalog(Practice::fitting().file("more.yaml", "groups: {ops: [nobody]}\n"));
    page.push(practice.finds().await);
    let elsewhere = "rooms: {far: {address: \"slack:T0BETA:C1\"}, near: {address: \"local:x:y\"}}\n";
    let stranger =
        "people: {kim: {accounts: [\"slack:T0BETA:U1\"]}}\ngroups: {far: {members_of: \"slack:T0BETA:S1\"}}\n";
    let secret = "secrets: {key: {file: /nowhere/key}}\n";
    practice.catalog(
        Practice::fitting().file("rooms2.yaml", elsewhere).file("people2.yaml", stranger).file("secrets.yaml", secret),
    );
    page.push(practice.finds().await);
    practice.catalog(Practice::fitting());
    practice.settings("app_token: {file: DIR/app}", "user_groups: {every: 10m}\n");
    page.push(practice.finds().await);
    insta::assert_snapshot!(page.join("\n\n"), @"");
    practice.close();
}

#[tokio::test]
async fn tokens_and_rights() {
    let practice = Practice::open().await;
    let mut page = Vec::new();
    for (name, secret) in
        [("bot", "xoxb-other"), ("bot", "xapp-fake"), ("bot", " "), ("app", "xapp-other"), ("app", "xoxb-fake")]
    {
        practice.secret(name, secret);
        page.push(format!("{name} {secret}:\n{}", practice.finds().await));
        practice.secret("bot", BOT_TOKEN);
        practice.secret("app", APP_TOKEN);
    }
    practice.settings("app_token: {file: DIR/nothing}", "");
    page.push(practice.finds().await);
    practice.settings("app_token: {file: DIR/app}\n    workspace2: x", "");
    practice.settings("app_token: {file: DIR/app}", "");
    let settings = std::fs::read_to_string(practice.path("countersign.yaml")).expect("settings");
    practice.write_settings(&settings.replace("workspace: T0ACME", "workspace: T0BETA"));
    page.push(practice.finds().await);
    // The same workspace twice.
    let (_, entry) = settings.split_once("slack:\n").expect("an entry");
    practice.write_settings(&format!("{settings}{entry}"));
    page.push(practice.finds().await);
    practice.write_settings(&settings);

    practice.slack.without_scope("usergroups:read");
    practice.slack.without_scope("users:read");
    practice.slack.with_scope("admin");
    page.push(practice.finds().await);
    practice.slack.revoke();
    page.push(practice.finds().await);
    insta::assert_snapshot!(page.join("\n\n"), @"");
    practice.close();
}

#[tokio::test]
async fn rooms_people_and_groups() {
    let practice = Practice::open().await;
    let mut page = Vec::new();
    practice.slack.remove_bot(&practice.room);
    practice.slack.archive("mei", &practice.other);
    page.push(practice.finds().await);
    practice.slack.invite_bot("mei", &practice.room);
    practice.slack.unarchive("mei", &practice.other);
    practice.slack.remove_bot(&practice.other);
    practice.slack.deactivate("lin");
    practice.slack.group("managers", &["mei"]);
    page.push(practice.finds().await);

    for (name, kind) in
        [("robot", Kind::Bot), ("visitor", Kind::Guest), ("partner", Kind::Stranger("T0OTHER".to_owned()))]
    {
        practice.slack.user(name, kind);
    }
    let people = "people:\n  kim: {accounts: [\"local:trial:robot\"]}\n  ann: {accounts: [\"local:trial:visitor\"]}\n  \
                  bob: {accounts: [\"local:trial:partner\"]}\n  joe: {accounts: [\"local:trial:joe\"]}\n\
                  groups:\n  gone: {members_of: \"slack:T0ACME:S0GONE\"}\n";
    practice.slack.group("managers", &["robot"]);
    practice.catalog(Practice::fitting().file("people2.yaml", people));
    let shared = practice.slack.channel("shared", Room::Public, &["countersign", "partner"]);
    let rooms =
        format!("rooms: {{shared: {{address: \"slack:{TEAM}:{shared}\"}}, no: {{address: \"slack:{TEAM}:C404\"}}}}\n");
    practice.catalog(Practice::fitting().file("people2.yaml", people).file("rooms2.yaml", &rooms));
    page.push(practice.finds().await.replace(&shared, "C0SHARED"));
    insta::assert_snapshot!(page.join("\n\n"), @"");
    practice.close();
}

#[tokio::test]
async fn ways_and_clocks() {
    let practice = Practice::open().await;
    let mut page = Vec::new();
    practice.slack.clock_ahead(75);
    page.push(practice.finds().await);
    practice.slack.clock_ahead(-400);
    page.push(practice.finds().await);
    practice.slack.clock_ahead(0);
    practice.slack.next("conversations.info", Fault::Limited(Duration::from_secs(1)));
    practice.slack.next("users.info", Fault::Limited(Duration::from_secs(600)));
    practice.slack.next("usergroups.users.list", Fault::Status(503));
    page.push(practice.finds().await);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = (taken.local_addr().expect("an address").to_string(), taken);
    practice.settings(&format!("listen: {}\n    signing_secret: {{file: DIR/signing}}", taken.0), "");
    page.push(practice.finds().await.replace(&taken.0, "TAKEN"));
    practice.settings("listen: 127.0.0.1:0\n    signing_secret: {env: NO_SUCH_VARIABLE}", "");
    page.push(practice.finds().await);
    practice.settings("app_token: {file: DIR/app}", "");
    let settings = std::fs::read_to_string(practice.path("countersign.yaml")).expect("settings");
    practice.write_settings(&settings.replace("127.0.0.1:0\n", &format!("{}\n", taken.0)));
    page.push(practice.finds().await.replace(&taken.0, "TAKEN"));
    practice.write_settings(&settings.replace(practice.db.url(), "postgres://nobody@127.0.0.1:1/none"));
    page.push(practice.finds().await);
    practice.write_settings(&settings);
    practice.slack.down();
    page.push(practice.finds().await);
    practice.slack.up();
    insta::assert_snapshot!(page.join("\n\n"), @"");
    practice.close();
}

#[tokio::test]
async fn a_ledger_that_a_trial_began_is_none_for_slack() {
    let practice = Practice::open().await;
    countersign::ledger::open(&practice.db.store, countersign::ledger::Trial::Yes).await.expect("begun");
    insta::assert_snapshot!(practice.finds().await, @"");
    practice.close();
}

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
    access: String,
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
        let access = ACCESS.to_owned();
        let own = Self { slack, room, other, access, dir, db: support::database().await };
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
        let catalog = match self.access.as_str() {
            "" => catalog,
            access => catalog.file("access.yaml", access),
        };
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
            .replace(&self.other, "C0OTHER")
            .replace(&format!("all {} of", countersign::chat::slack::manifest::SCOPES.len()), "all N of");
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

const ACCESS: &str = "access: {countersigned_by: [person:boss, person:lin], room: system-a}\n";

const ROLL_OUT: &str = "runbook: roll-out\ntitle: Roll out\nsay: [\"roll out\"]\nsystem: system-a\napproval: managers\n\
    steps:\n  - {name: Roll, run: {command: [/bin/true]}}\n";

#[tokio::test]
async fn all_is_well() {
    let practice = Practice::open().await;
    let (code, text) = practice.doctor(&[]).await;
    insta::assert_snapshot!(text, @"
    ok     settings: DIR/countersign.yaml
    ok     catalog: DIR/catalog: 1 runbook, 2 systems, 3 people, 2 rooms; all sound
    ok     database: it answers, and its tables are this program's
    ok     listen: a free port is taken
    ok     bot token: of the workspace T0ACME (Acme), as U0BOT
    ok     rights: all N of the manifest
    ok     clock: within 1 s of Slack's
    ok     app token: it may open a socket
    ok     room system-a: #system-a (C0ROOM)
    ok     room system-z: #system-z (C0OTHER)
    ok     person boss: slack:T0ACME:U0BOSS
    ok     person lin: slack:T0ACME:U0LIN
    ok     person mei: slack:T0ACME:U0MEI
    ok     group managers: S0MANAGERS: boss, lin
    ok     access: boss or lin can countersign a change of who may do what
    ok     user groups: asked every 1 min, believed for 5 min
    16 ok, nothing wrong.
    ");
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
    insta::assert_snapshot!(page.join("\n\n"), @"
    wrong  settings: DIR/countersign.yaml: unknown field `colour`, expected one of catalog, data, database, listen, beyond_loopback, names, time_zone, lease, slack, user_groups, ring, trusted_keys, decisions at line 1, column 1
    0 ok, 1 wrong.

    wrong  catalog: 1 problem in 1 file, the first: /nowhere: the catalog cannot be read: No such file or directory (os error 2). Give the catalog's folder with --catalog. `countersign validate /nowhere` shows all

    note   slack: the settings name no workspace: `up` starts a trial with a local room

    wrong  catalog: 1 problem in 1 file, the first: more.yaml:1: there is no person `nobody` (expected `boss`, `lin` or `mei`). `countersign validate DIR/catalog` shows all
    7 ok, 1 wrong.

    wrong  catalog: secret key: /nowhere/key cannot be read: No such file or directory (os error 2)
    wrong  room far: slack:T0BETA:C1: no entry of `slack` in the settings is the workspace T0BETA
    wrong  room near: local:x:y: the trial's own room is closed beside a workspace; write an address such as slack:T1:C2
    note   person kim: no account in a workspace of the settings: cannot speak, cannot be asked
    wrong  group far: slack:T0BETA:S1: no entry of `slack` in the settings is the workspace T0BETA
    16 ok, 1 note, 4 wrong.

    wrong  settings: user_groups: `every: 10m` is not a time from 1s to 5m; say one such as 1m
    0 ok, 1 wrong.
    ");
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
    insta::assert_snapshot!(page.join("\n\n"), @r#"
    bot xoxb-other:
    wrong  bot token: Slack does not know this token. Copy it again: "OAuth & Permissions" has the bot's, "Basic Information" the app's own
    7 ok, 1 wrong.

    bot xapp-fake:
    wrong  bot token: the file DIR/bot does not hold the Slack bot's token, which begins with `xoxb-`
    7 ok, 1 wrong.

    bot  :
    wrong  bot token: the Slack bot's token is not there: the file DIR/bot is empty
    7 ok, 1 wrong.

    app xapp-other:
    wrong  app token: Slack does not know this token. Copy it again: "OAuth & Permissions" has the bot's, "Basic Information" the app's own
    15 ok, 1 wrong.

    app xoxb-fake:
    wrong  app token: the file DIR/app does not hold the Slack app's own token, which begins with `xapp-`
    15 ok, 1 wrong.

    wrong  app token: the Slack app's own token cannot be read: the file DIR/nothing: No such file or directory (os error 2)
    15 ok, 1 wrong.

    wrong  bot token: it is of the workspace T0ACME (Acme), and the settings say T0BETA
    15 ok, 1 wrong.

    wrong  bot token: two entries of `slack` are the same workspace, T0ACME
    26 ok, 1 wrong.

    wrong  rights: the app lacks usergroups:read (see who is in the user groups that people.yaml names, and in no other); users:read (let `countersign doctor` find accounts of people.yaml that are switched off or an app's). Give it the manifest of `countersign slack manifest` ("App Manifest") and install it again
    note   rights: it has rights that nothing here needs: admin. Take them away in the app's settings
    wrong  person boss: slack:T0ACME:U0BOSS was not looked at: the app lacks users:read
    wrong  group managers: not looked at, and nobody is in it for the bot: the app lacks usergroups:read
    11 ok, 1 note, 3 wrong.

    wrong  bot token: Slack says token_revoked: install the app again and give the bot its new token
    wrong  app token: Slack says token_revoked: install the app again and give the bot its new token
    6 ok, 2 wrong.
    "#);
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
    insta::assert_snapshot!(page.join("\n\n"), @r#"
    wrong  room system-a: the bot is not in #system-a (C0ROOM): say `/invite <@U0BOT>` there
    wrong  room system-z: Slack has no channel C0OTHER, or it is private and the bot is not in it: check the id in rooms.yaml, or say `/invite <@U0BOT>` there
    14 ok, 2 wrong.

    wrong  room system-z: Slack has no channel C0OTHER, or it is private and the bot is not in it: check the id in rooms.yaml, or say `/invite <@U0BOT>` there
    wrong  person lin: slack:T0ACME:U0LIN is switched off: take it out of people.yaml
    14 ok, 2 wrong.

    wrong  room no: Slack has no channel C404, or it is private and the bot is not in it: check the id in rooms.yaml, or say `/invite <@U0BOT>` there
    note   room shared: #shared (C0SHARED): people of other workspaces are in it, read all that is said there, and are nobody here
    wrong  room system-z: Slack has no channel C0OTHER, or it is private and the bot is not in it: check the id in rooms.yaml, or say `/invite <@U0BOT>` there
    note   person ann: slack:T0ACME:U0VISITOR is a guest's
    wrong  person bob: slack:T0ACME:U0PARTNER is of another workspace: as slack:T0OTHER:U0PARTNER it would be known
    wrong  person joe: Slack has no slack:T0ACME:U0JOE: `whoami`, said by that person in Slack, tells the right one for people.yaml
    wrong  person kim: slack:T0ACME:U0ROBOT is an app's: whoever controls that app would be kim
    wrong  person lin: slack:T0ACME:U0LIN is switched off: take it out of people.yaml
    wrong  group gone: Slack has no user group S0GONE in use, so nobody is in it. Its id stands at the end of the address under "People", "User groups"
    14 ok, 2 notes, 7 wrong.
    "#);
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
    insta::assert_snapshot!(page.join("\n\n"), @"
    wrong  clock: about 1 min behind Slack's: requests that Slack signs are refused from 5 min on, and commands count as old. Set the clock of the database's machine, best by NTP
    15 ok, 1 wrong.

    wrong  clock: about 7 min ahead of Slack's: requests that Slack signs are refused from 5 min on, and commands count as old. Set the clock of the database's machine, best by NTP
    15 ok, 1 wrong.

    wrong  person boss: Slack was asked for slack:T0ACME:U0BOSS, and it asks to wait; run this again in some minutes
    wrong  group managers: Slack was asked for it, and there is no way to it (HTTP 503)
    14 ok, 2 wrong.

    note   requests: something listens at TAKEN already: a running bot, if it is yours
    16 ok, 1 note, nothing wrong.

    wrong  signing secret: the Slack app's signing secret is not there: the environment variable NO_SUCH_VARIABLE is not set, or is not text: environment variable not found
    16 ok, 1 wrong.

    wrong  listen: something else listens at TAKEN: `--listen` takes another port
    15 ok, 1 wrong.

    wrong  database: it cannot be used: the database did not do it: pool timed out while waiting for an open connection
    15 ok, 1 wrong.

    wrong  bot token: Slack at API: there is no way to it (the connection broke off)
    wrong  app token: Slack at API: there is no way to it (the connection broke off)
    6 ok, 2 wrong.
    ");
    practice.close();
}

#[tokio::test]
async fn a_ledger_that_a_trial_began_is_none_for_slack() {
    let practice = Practice::open().await;
    countersign::ledger::open(&practice.db.store, countersign::ledger::Trial::Yes).await.expect("begun");
    insta::assert_snapshot!(practice.finds().await, @"
    wrong  database: its ledger was begun by a trial, in which one person may speak as several: Slack needs a database of its own
    15 ok, 1 wrong.
    ");
    practice.close();
}

/// Outside a trial whoever is added or promoted waits for a second person; without one the bot would tell that after its start.
#[tokio::test]
async fn who_countersigns_is_looked_at_before_the_first_change_needs_them() {
    let mut practice = Practice::open().await;
    let mut page = Vec::new();
    for access in [
        "",
        "access: {countersigned_by: [person:boss], room: system-a}\n",
        "access: {countersigned_by: [person:boss, person:lin], room: system-a, changed_by: [lin]}\n",
        "access: {countersigned_by: [person:boss], room: system-a, changed_by: [boss]}\n",
        "access: {countersigned_by: [group:managers], room: system-a}\n",
        "access: {countersigned_by: [group:managers, person:mei], room: system-a}\n",
    ] {
        access.clone_into(&mut practice.access);
        practice.catalog(Practice::fitting());
        let (code, text) = practice.doctor(&[]).await;
        let line = text.lines().find(|line| line.contains("  access: ")).unwrap_or_default();
        assert_eq!(code, i32::from(line.starts_with("wrong")), "{text}");
        page.push(line.to_owned());
    }
    insta::assert_snapshot!(page.join("\n"), @"
    note   access: the catalog names nobody who countersigns a change of who may do what (`access:`): what gives a right waits until an operator accepts it on this host (`countersign access accept`)
    note   access: boss alone can countersign a change of who may do what: for one that boss writes there is nobody. Name another person in `access:`
    note   access: boss alone can countersign a change of who may do what: for one that boss writes there is nobody. Name another person in `access:`
    wrong  access: `access:` names nobody who can countersign: whoever wrote the catalog's last change (`changed_by`) does not. Name others, and accept that once on this host (`countersign access accept`)
    ok     access: whoever is in the group that `access:` names can countersign a change of who may do what
    ok     access: mei, and whoever is in the group that `access:` names, can countersign a change of who may do what
    ");
    practice.close();
}

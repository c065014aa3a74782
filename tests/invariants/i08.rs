//! I8: a secret that a step says, or a person, is in no table, no message and no log.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use countersign::model::chat::Said;
use countersign::model::id::{MessageId, Position};
use countersign::model::run::RunState;

use super::house::House;
use super::support::until;

const SECRET: &str = "hunter2-Zq8/kk+Wx";

/// Says the secret in many ways, on both outputs, in pieces, and as what it fails with.
const LEAK: &str = r#"#!/bin/sh
echo "plain $TOKEN"
echo "twice $TOKEN$TOKEN" >&2
printf '%s' "$TOKEN" | base64
printf 'user:%s' "$TOKEN" | base64
printf '%s' "$TOKEN" | od -An -tx1 | tr -d ' \n'
echo
printf 'hunter2-'
sleep 0.1
printf 'Zq8/kk+Wx in two pieces\n'
echo "https://x/?t=hunter2-Zq8%2Fkk%2BWx"
sleep 2.2
echo "last line: $TOKEN" >&2
exit 7
"#;

const LEAKS: &str = "runbook: leak-it
title: Leak
say: ['leak it']
system: shop
approval: one
steps: [{name: Leak, run: {command: [./leak.sh], env: [{TOKEN: {secret: token}}]}, timeout: 20s}]
";

/// The same from a check, whose first line becomes part of an event.
const CHECKS: &str = "system: shed
title: The shed
environment: scratch
room: shop
may_run: [group:support]
may_see: [group:support]
services:
  rake: {title: Rake, checks: {running: {command: [./leak.sh], env: [{TOKEN: {secret: token}}]}}}
";

/// Everything that this process logs.
fn log() -> Arc<Mutex<Vec<u8>>> {
    #[derive(Clone)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static LOG: OnceLock<Arc<Mutex<Vec<u8>>>> = OnceLock::new();
    let make = || {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let writer = Kept(kept.clone());
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("the only one of this program");
        kept
    };
    LOG.get_or_init(make).clone()
}

/// The ways in which the secret would stand in a row's text, where bytes are hexadecimal digits.
fn spellings() -> Vec<String> {
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let plain =
        [SECRET, "aHVudGVyMi1acTgva2srV3", "hunter2-Zq8%2Fkk%2BWx", "hunter2-Zq8\\/kk+Wx", "dXNlcjpodW50ZXIyLVpxOC9ra"];
    let hexadecimal = hex(SECRET);
    plain
        .iter()
        .map(|text| (*text).to_owned())
        .chain(plain.iter().map(|text| hex(text)))
        .chain([hex(&hexadecimal), hexadecimal])
        .collect()
}

/// Nothing of it in any row of any table.
async fn nowhere(house: &House, when: &str) {
    for (table, rows) in house.every_row().await {
        for row in rows {
            for spelling in spellings() {
                assert!(!row.contains(&spelling), "{when}: `{spelling}` stands in {table}: {row}");
            }
        }
    }
    let log = String::from_utf8_lossy(&log().lock().expect("no panic")).into_owned();
    for spelling in spellings() {
        assert!(!log.contains(&spelling), "{when}: `{spelling}` stands in the log");
    }
}

async fn house() -> House {
    log();
    let folder = std::env::temp_dir().join(format!(
        "countersign-i8-{}-{:08x}",
        std::process::id(),
        getrandom::u32().expect("random")
    ));
    std::fs::write(&folder, format!("{SECRET}\n")).expect("written");
    let secrets = format!("secrets: {{token: {{file: '{}'}}}}\n", folder.display());
    let house =
        House::with(&[("secrets.yaml", &secrets), ("leak-it.yaml", LEAKS), ("leak.sh", LEAK), ("shed.yaml", CHECKS)])
            .await;
    std::fs::remove_file(&folder).expect("removed");
    house
}

#[tokio::test]
async fn i8_what_a_step_says_is_kept_without_its_secrets() {
    let house = house().await;
    let asked = house.granted("mei", "leak it", "boss").await;
    let looked = house.receive(house.line("mei", "look at shed")).await.expect("received");
    let engine = house.engine();
    let why = house.failure(asked.run).await;
    assert_eq!(why, "exit 7: last line: [secret token]");
    until("the check has ended", async || {
        let status = house.store().cause_status(looked.line).await.expect("asked").expect("a line");
        status.runs.iter().all(|run| run.state.is_over()).then_some(())
    })
    .await;
    engine.stop().await;
    house.tell().await;
    house.post().await;
    house.say("mei", &format!("show run {}", asked.run)).await;
    let kept = house.texts("select convert_from(bytes, 'UTF8') from attempt_output".to_owned()).await.join("\n");
    assert!(kept.contains("plain [secret token]") && kept.contains("[secret token] in two pieces"), "{kept}");
    assert!(house.count("event where kind = 'attempt_progress'").await > 0, "its progress was told as well");
    assert!(house.said().await.iter().any(|text| text.contains("[secret token]")), "the room sees that one was there");
    nowhere(&house, "after a step").await;
    let mut export = Vec::new();
    let lines = countersign::ledger::export(house.store(), Position(1), |line| {
        export.push(line);
        Ok(())
    });
    assert!(lines.await.expect("exported") > 10);
    let export = export.join("\n");
    assert!(spellings().iter().all(|spelling| !export.contains(spelling)), "{export}");
}

#[tokio::test]
async fn i8_what_a_person_types_is_kept_without_its_secrets() {
    let house = house().await;
    let asked = house.ask("mei", "mark it").await;
    for (who, text) in [
        ("mei", format!("the password is {SECRET} by the way")),
        ("zed", SECRET.to_owned()),
        ("mei", format!("announce {SECRET}")),
        ("mei", format!("run say-words words={SECRET}x")),
        ("mei", format!("run say-words wrods={SECRET}")),
        ("mei", format!("run {SECRET}")),
        ("mei", format!("help {SECRET}")),
        ("zed", format!("run {SECRET}")),
        ("boss", format!("deny {} because {SECRET} leaked", asked.code)),
    ] {
        house.say(who, &text).await;
        house.post().await;
    }
    let mut edit = house.line("mei", "");
    edit.what = Said::Edit { message: MessageId::new("s1"), revision: "1".into(), text: Some(format!("x {SECRET}")) };
    house.receive(edit).await.expect("received");
    let mut press = house.line("mei", "");
    press.what = Said::Press {
        interaction: "p1".into(),
        message: MessageId::new("m1"),
        command: format!("deny because {SECRET}"),
        signed: None,
    };
    house.receive(press).await.expect("received");
    let mut stale = house.line("mei", &format!("announce {SECRET}"));
    stale.said_at -= chrono::TimeDelta::minutes(5);
    house.receive(stale).await.expect("received");
    assert_eq!(house.run(asked.run).await.state.name(), "denied");
    let RunState::Denied { why, .. } = house.run(asked.run).await.state else { panic!("denied") };
    assert_eq!(why.as_deref(), Some("[secret token] leaked"));
    house.tell().await;
    nowhere(&house, "after people spoke").await;
}

/// The step itself gets it, and nothing else of the bot's.
#[tokio::test]
async fn i8_a_secret_goes_into_the_environment_and_not_into_arguments() {
    const TAKES: &str = "runbook: take-it
title: Take
say: ['take it']
system: shop
approval: one
steps: [{name: Take, run: {command: [./take.sh, SIDE/done], env: [{TOKEN: {secret: token}}]}}]
";
    const TAKE: &str = "#!/bin/sh\nprintf '%s\\n' \"$TOKEN\" > \"$1\"\ntr '\\0' ' ' < /proc/$$/cmdline >> \"$1\"\n";
    let path = std::env::temp_dir().join(format!(
        "countersign-i8-{}-{:08x}",
        std::process::id(),
        getrandom::u32().expect("random")
    ));
    std::fs::write(&path, SECRET).expect("written");
    let secrets = format!("secrets: {{token: {{file: '{}'}}}}\n", path.display());
    log();
    let house = House::with(&[("secrets.yaml", &secrets), ("take-it.yaml", TAKES), ("take.sh", TAKE)]).await;
    std::fs::remove_file(&path).expect("removed");
    let asked = house.granted("mei", "take it", "boss").await;
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    let done = house.done();
    assert_eq!(done[0], SECRET);
    assert!(!done[1].contains(SECRET), "{done:?}");
    nowhere(&house, "after it was used").await;
}

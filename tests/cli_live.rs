//! `tail` and `console` against the real program.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Output, Stdio};

use support::bot::Bot;
use support::world::{Catalog, ROOM, step};
use support::{SOON, until};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// `roll out`: one step that works, with approval.
fn world() -> Catalog {
    Catalog::made().runbook("roll-out", &[step("copy", "ok")])
}

/// One of the commands that speak to the bot, with server and data directory filled in.
fn command(bot: &Bot, name: &str, arguments: &[&str]) -> Command {
    let mut command = bot.command(&[name, "--server", &bot.url(), "--data"]);
    command.arg(bot.data()).args(arguments).kill_on_drop(true);
    command
}

async fn output(mut command: Command) -> Output {
    tokio::time::timeout(SOON, command.output()).await.expect("in time").expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

/// A console as a pipe, and what it is told.
fn pipe(bot: &Bot, speaker: &str, further: &[&str]) -> (Child, ChildStdin) {
    let mut command = command(bot, "console", &["--stdio", "--as", speaker, "--room", ROOM]);
    let mut child = command
        .args(further)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stdin = child.stdin.take().expect("a pipe");
    (child, stdin)
}

/// The replies by ID; each ID has one.
fn replies(out: &str) -> BTreeMap<String, String> {
    let mut replies = BTreeMap::new();
    for line in out.lines() {
        let (id, reply) = line.split_once(' ').unwrap_or_else(|| panic!("no reply: {line}"));
        assert_eq!(replies.insert(id.to_owned(), reply.to_owned()), None, "answered twice: {line}");
    }
    replies
}

#[tokio::test]
async fn hundreds_of_lines_go_through_the_pipe_at_once() {
    let bot = Bot::start(world()).await;
    let (child, mut stdin) = pipe(&bot, "mei", &["--wait", "30s"]);
    let mut lines = String::new();
    for number in 0..400 {
        let said = match number % 4 {
            0 => "ping",
            1 => "whoami",
            2 => "how is everybody doing tonight?",
            _ => "approve 7K3O",
        };
        lines.push_str(&format!("n{number} {said}\n"));
    }
    lines.push_str("\nlonely\n - nothing\nlast help");
    let writing = tokio::spawn(async move {
        stdin.write_all(lines.as_bytes()).await.expect("written");
    });
    let output = tokio::time::timeout(SOON, child.wait_with_output()).await.expect("in time").expect("its end");
    writing.await.expect("written");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
    let out = text(&output.stdout);
    let bad = "- error a line is `ID TEXT`, the ID at most 128 characters and not `-`\n";
    assert!(out.contains(bad), "{out}");
    let replies = replies(&out.replacen(bad, "", 1));
    assert_eq!(replies.len(), 402);
    let of = |rest: usize| -> BTreeSet<&str> {
        (0..400).filter(|n| n % 4 == rest).map(|n| replies[&format!("n{n}")].as_str()).collect()
    };
    assert_eq!(of(2), BTreeSet::from([""]), "talk has no answer");
    insta::assert_snapshot!([of(0), of(1)].iter().flatten().copied().collect::<Vec<_>>().join("\n"), @r"
    I am here.
    You are mei (local:trial:mei), in support.
    ");
    assert_eq!(
        of(3),
        BTreeSet::from(["\"7K3O\" is no code, so nothing was done. A code is four characters: `approve 7K3F`."])
    );
    assert_eq!(replies["lonely"], "error say something after the ID");
    assert!(replies["last"].contains("\\n") && !replies["last"].starts_with("error"), "{}", replies["last"]);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_pipe_outlives_the_bot_and_says_what_had_no_answer() {
    let mut bot = Bot::start(world()).await;
    let (mut child, mut stdin) = pipe(&bot, "mei", &["--wait", "60s"]);
    let mut out = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    stdin.write_all(b"1 roll out\n").await.expect("written");
    let first = out.next_line().await.expect("read").expect("a reply");
    assert!(first.starts_with("1 PRODUCTION · mei asks: ") && first.contains("\\n"), "{first}");
    bot.kill().await;
    stdin.write_all(b"2 whoami\n").await.expect("written");
    bot.restart().await;
    let second = out.next_line().await.expect("read").expect("a reply");
    assert!(second.starts_with("2 You are mei"), "{second}");
    let long = format!("3 {}\n", "x".repeat(5000));
    stdin.write_all(long.as_bytes()).await.expect("written");
    let third = out.next_line().await.expect("read").expect("a reply");
    assert_eq!(third, "3 error a line has at most 4000 characters");
    drop(stdin);
    assert_eq!(out.next_line().await.expect("read"), None);
    assert_eq!(child.wait().await.expect("its end").code(), Some(0));

    let (child, stdin) = pipe(&bot, "mei", &["--room", "nowhere"]);
    drop((child, stdin));
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn the_chat_shows_the_room_with_its_threads() {
    let bot = Bot::start(world()).await;
    let mut chat = command(&bot, "console", &["--as", "boss", "--room", ROOM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = chat.stdin.take().expect("a pipe");
    let mut out = BufReader::new(chat.stdout.take().expect("a pipe")).lines();
    let mut shown = Vec::new();
    // Its own line first: then it listens.
    stdin.write_all(b"whoami\n").await.expect("written");
    let mut hear = async |words: &str| {
        let line = async {
            loop {
                let line = out.next_line().await.expect("read").unwrap_or_else(|| panic!("no `{words}` in {shown:#?}"));
                shown.push(line.clone());
                if line.contains(words) {
                    return line;
                }
            }
        };
        tokio::time::timeout(SOON, line).await.unwrap_or_else(|_| panic!("no `{words}` in time"))
    };
    hear("You are boss").await;
    stdin.write_all(b"/nonsense\n").await.expect("written");
    assert_eq!(hear("/nonsense").await, "/nonsense is no command of the console. `/help` lists them.");

    let asked = bot.say("mei", "roll out").await.waiting();
    let thread = asked.thread();
    let request = hear("mei asks").await;
    assert!(request.starts_with(&format!("{thread} countersign: PRODUCTION · mei asks: ")), "{request}");
    assert_eq!(hear("mei: ").await, "mei: roll out", "what others say comes from the ledger");
    stdin.write_all(format!("/thread {}\nok\n", thread.trim_start_matches('m')).as_bytes()).await.expect("written");
    assert_eq!(
        hear("Not approved yet").await,
        format!("{thread} countersign (to you): Not approved yet. Send `approved` or `deny because …`.")
    );
    stdin.write_all(b"approved\n").await.expect("written");
    hear("boss approved").await;
    let done = hear("1 done").await;
    assert!(
        done.starts_with(&format!("{thread} countersign (goes on): 1 done")) || done.starts_with("    1 done"),
        "{done}"
    );
    hear("mei: roll out is done").await;
    drop(stdin);
    let mut rest = String::new();
    while let Some(line) = out.next_line().await.expect("read") {
        rest.push_str(&line);
    }
    let ended = tokio::time::timeout(SOON, chat.wait()).await.expect("in time").expect("its end");
    let mut err = String::new();
    chat.stderr.take().expect("a pipe").read_to_string(&mut err).await.expect("read");
    assert_eq!((ended.code(), err.as_str()), (Some(0), ""));
    let all = shown.join("\n") + &rest;
    assert!(
        !all.contains("boss: ok\n") && !all.contains("boss: approved"),
        "what one typed is on the screen already: {all}"
    );
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_room_that_is_not_there_ends_the_console_at_once() {
    let bot = Bot::start(world()).await;
    let output = output(command(&bot, "console", &["--as", "mei", "--room", "nowhere"])).await;
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(1), ""));
    assert_eq!(text(&output.stderr), "countersign: there is no such room here\n");
    bot.finish().await;
}

#[tokio::test]
async fn tail_tells_the_ledger_and_goes_on_after_a_restart() {
    let mut bot = Bot::start(world()).await;
    let mut following = command(&bot, "tail", &["--from", "1", "--follow", "--room", ROOM])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut out = BufReader::new(following.stdout.take().expect("a pipe")).lines();
    let mut err = BufReader::new(following.stderr.take().expect("a pipe")).lines();
    let mut told = Vec::new();
    bot.say("mei", "roll out").await.waiting();
    bot.say("boss", "approved").await.done();
    let mut hear = async |words: &str| loop {
        let line = tokio::time::timeout(SOON, out.next_line()).await.expect("in time").expect("read").expect("a line");
        told.push(line.clone());
        if line.contains(words) {
            return line;
        }
    };
    hear("finished run 1").await;
    bot.kill().await;
    let away = tokio::time::timeout(SOON, err.next_line()).await.expect("in time").expect("read").expect("a line");
    assert!(away.ends_with("; waiting for it"), "{away}");
    bot.restart().await;
    bot.say("mei", "whoami").await.done();
    hear("mei in system-a: whoami").await;
    following.start_kill().expect("killed");
    following.wait().await.expect("its end");
    insta::assert_snapshot!(support::bot::plain(&without_places(&told.join("\n"))), @"
    DIGEST  TIME  mei asked for roll out in system-a: run 1, runbook roll-out, plan DIGEST.
    DIGEST  TIME  countersign asked managers to approve run 1 for mei: CODE, until TIME.
    DIGEST  TIME  countersign asked boss, lin in stage 1 of CODE, until TIME.
    DIGEST  TIME  mei in system-a: roll out
    DIGEST  TIME  boss approved CODE.
    DIGEST  TIME  countersign granted CODE: boss agreed. Run 1 may start plan DIGEST until TIME. It must begin by TIME.
    DIGEST  TIME  boss in system-a: approved
    DIGEST  TIME  countersign started step 1 of run 1.
    DIGEST  TIME  countersign saw step 1 of run 1 succeed in LASTED: copy ok.
    DIGEST  TIME  countersign finished run 1: done in LASTED.
    DIGEST  TIME  mei in system-a: whoami
    ");

    // All of it, as JSON, is what the ledger has: every place once, in order.
    let json = output(command(&bot, "tail", &["--from", "1", "--json"])).await;
    assert_eq!((json.status.code(), text(&json.stderr).as_str()), (Some(0), ""));
    let events: Vec<serde_json::Value> =
        text(&json.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let positions: Vec<i64> = events.iter().map(|event| event["position"].as_i64().expect("a place")).collect();
    assert_eq!(positions, (1..=positions.len()).map(|place| i64::try_from(place).expect("small")).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event["what"]["kind"] == event["kind"]), "{events:#?}");
    let head = until("the head", async || {
        let head = bot.db().store.chain_head().await.expect("the database");
        (head.position.0 >= positions.len() as i64).then_some(head)
    })
    .await;
    let last = events.iter().find(|event| event["position"] == head.position.0);
    assert!(last.is_none_or(|last| last["hash"] == head.hash.to_string()));

    let end = output(command(&bot, "tail", &[])).await;
    assert_eq!(text(&end.stdout).lines().count(), positions.len().min(20));
    let wrong = output(command(&bot, "tail", &["--room", "nowhere"])).await;
    assert_eq!(text(&wrong.stderr), "countersign: there is no such room here\n");
    bot.rest().await;
    bot.finish().await;
}

/// Each line without its place.
fn without_places(lines: &str) -> String {
    let without = |line: &str| line.split_once(" · ").map_or_else(|| line.to_owned(), |(_, rest)| rest.to_owned());
    lines.lines().map(without).collect::<Vec<_>>().join("\n")
}

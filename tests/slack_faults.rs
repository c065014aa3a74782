//! What goes wrong between the bot and Slack: limits, lost answers, lost sockets, deliveries twice and out of order, and a
//! bot that dies at the wrong moment. The real program in a workspace of ours; what counts is what people see in the end:
//! nothing lost, nothing lastingly doubled, nothing run twice, everything in order.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use countersign::chat::sender;
use countersign::chat::slack::api::Slack as Adapter;
use countersign::model::chat::{Incoming, Message, RoomAddress, Said};
use countersign::model::id::{InboxId, MessageId, OutboxId};
use countersign::store::{NewMessage, Origin, Place, Store};
use countersign::sys::ProcessIdentity;
use countersign::text::echo::at_once;
use serde_json::json;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::sync::watch;

use slack::{BOT_TOKEN, Call, Fault, Release, Room, Slack, TEAM, Ts};
use slack_bot::{Hears, SlackBot};
use support::bot::Bot;
use support::world::{Catalog, Step, step};
use support::{SOON, until};

/// A bot with one runbook, `roll out`.
async fn rolls_out(steps: &[Step]) -> SlackBot {
    let bot = SlackBot::start(Catalog::made().runbook("roll-out", steps), Hears::Socket).await;
    // What is not acknowledged comes again soon, so that a test need not wait a minute for it.
    bot.slack.retries(&[Duration::from_millis(50); 40]);
    bot
}

/// Everything that the bot says in the end, and that none of it stands there twice.
#[track_caller]
fn once(bot: &SlackBot) -> Vec<String> {
    let mut count: BTreeMap<(String, Option<Ts>, String), usize> = BTreeMap::new();
    let mut texts = Vec::new();
    let mut all = bot.slack.everything_of_bot();
    all.sort_by_key(|(_, seen)| seen.ts);
    for (place, seen) in all {
        texts.push(seen.text.clone());
        *count.entry((place, seen.thread, seen.text)).or_default() += 1;
    }
    let doubled: Vec<_> = count.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "said twice: {doubled:#?}");
    texts
}

/// The only message that holds some words.
#[track_caller]
fn only(texts: &[String], words: &str) -> usize {
    let at: Vec<usize> = (0..texts.len()).filter(|at| texts[*at].contains(words)).collect();
    assert_eq!(at.len(), 1, "`{words}` in {texts:#?}");
    at[0]
}

/// Waits until everything that happened so far has been told.
async fn told(bot: &SlackBot) {
    bot.slack.settled().await;
    until("everything is told", async || {
        bot.bot.db().store.backlog().await.expect("the database").is_empty().then_some(())
    })
    .await;
}

/// Looks for messages whose fate was unknown.
fn searches(slack: &Slack) -> usize {
    let history = slack.calls_of("conversations.history").into_iter().chain(slack.calls_of("conversations.replies"));
    history.filter(|call| call.text("include_all_metadata") == "true").count()
}

/// Keeps everybody from writing to a table, until let go.
async fn hold(bot: &Bot, table: &str) -> PgConnection {
    let mut connection = bot.db().connection().await;
    let sql = format!("begin; lock table {table} in exclusive mode");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("the table can be held");
    connection
}

async fn until_blocked(connection: &mut PgConnection) {
    until("somebody waits for the table", async || {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks l join pg_database d on d.oid = l.database
             where not l.granted and d.datname = current_database()",
        )
        .fetch_one(&mut *connection)
        .await
        .expect("the locks");
        (waiting > 0).then_some(())
    })
    .await;
}

async fn let_go(connection: PgConnection) {
    connection.close().await.expect("it is let go");
}

/// By Slack's own clock, which the bot's need not agree with.
#[tokio::test]
async fn a_word_that_slack_delivers_late_does_not_approve_what_was_asked_after_it() {
    let bot = rolls_out(&[step("one", "ok")]).await;
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    bot.slack.said("boss", &bot.room, "approved", Duration::from_secs(60));
    bot.calm().await;
    let said = bot.rest().await;
    assert!(
        said.contains("was asked only after you said that, so it is not meant. Read it, then say approve"),
        "{said}"
    );
    assert_eq!(bot.bot.db().number("select count(*) from decision").await, 0);
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_socket_that_drops_during_an_approval_loses_no_word() {
    let bot = rolls_out(&[step("one", "ok"), step("two", "ok")]).await;
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    // Said while no socket is there, and delivered when one is.
    bot.slack.hold();
    bot.slack.drop_sockets();
    bot.reply("boss", asked.ts, "approved");
    bot.slack.release(Release::Kept);
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    assert_eq!(bot.bot.effects(), ["one", "two"]);
    only(&once(&bot), "is done");

    // Pressed, and the socket is gone before the bot could say that it has it. Slack does not deliver a press again, and
    // tells the person, who presses once more: whether the first one was heard or not, it is approved once.
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.slack.press("boss", &bot.room, asked.ts, "approve");
    let opened = bot.slack.calls_of("apps.connections.open").len();
    bot.slack.drop_sockets();
    let anew = |slack: &Slack| slack.calls_of("apps.connections.open").len() > opened && slack.sockets() == 1;
    bot.slack.until("a socket anew", |slack| anew(slack).then_some(())).await;
    bot.slack.press("boss", &bot.room, asked.ts, "approve");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    assert_eq!(bot.bot.effects(), ["one", "two", "one", "two"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_limit_in_mid_run_stops_no_step_and_afterwards_the_room_reads_right() {
    let steps = [step("one", "wait"), step("two", "ok"), step("three", "ok"), step("four", "ok")];
    let bot = rolls_out(&steps).await;
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_effect("one", 1).await;
    bot.hear("1").await;
    let before = bot.slack.calls().len();
    bot.slack.limit_until_lifted(None, Duration::from_secs(4));
    bot.bot.release("one");
    bot.bot.until_run(asked.run, "succeeded").await;
    assert_eq!(bot.bot.effects(), ["one", "two", "three", "four"]);
    let told = bot.slack.of_bot(&bot.room);
    assert!(!told.iter().any(|seen| seen.text.contains("is done")), "the run did not wait for Slack: {told:#?}");
    bot.slack.unlimited();
    bot.rest().await;
    let limited = |call: &Call| call.status == 429;
    let asked_in_vain = bot.slack.calls().into_iter().skip(before).filter(limited).count();
    assert!(asked_in_vain <= 6, "Slack was asked {asked_in_vain} times while it wanted to be left alone");
    let texts = once(&bot);
    only(&texts, "is done");
    assert!(texts.iter().any(|text| text.contains("four")), "the progress is the newest: {texts:#?}");
    assert_eq!(searches(&bot.slack), 0, "what Slack did not take is not looked for");
    bot.finish().await;
}

#[tokio::test]
async fn everything_delivered_twice_and_out_of_order_acts_once() {
    let bot = rolls_out(&[step("one", "ok")]).await;
    bot.slack.twice();
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    bot.slack.hold();
    let line = bot.reply("boss", asked.ts, "approved");
    bot.slack.edit("boss", &bot.room, line, "never mind");
    bot.reply("lin", asked.ts, "approved");
    bot.slack.press("lin", &bot.room, asked.ts, "approve");
    bot.say("mei", "status");
    bot.slack.release(Release::Reversed);
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    assert_eq!(bot.bot.effects(), ["one"]);
    only(&once(&bot), "is done");
    bot.finish().await;
}

#[tokio::test]
async fn i5_killed_between_a_post_and_its_note_it_is_said_once() {
    let mut bot = rolls_out(&[step("one", "ok")]).await;
    // Noting that a request was posted writes to this table.
    let mut held = hold(&bot.bot, "posted").await;
    bot.say("mei", "roll out");
    bot.slack.until("the request is there", |slack| slack.of_bot(&bot.room).pop()).await;
    until_blocked(&mut held).await;
    bot.bot.kill().await;
    let_go(held).await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    let asked = bot.request().await;
    assert_eq!(once(&bot).len(), 1, "the request was said once");
    bot.rest().await;
    // A plain answer: it arrives after the table is held in which it would be noted.
    bot.slack.next("chat.postMessage", Fault::Held);
    bot.say("mei", "status");
    until("it is on its way", async || {
        let unsent = bot.bot.db().number("select count(*) from outbox where sent_at is null").await;
        (unsent == 1).then_some(())
    })
    .await;
    let mut held = hold(&bot.bot, "outbox").await;
    bot.slack.goes_on();
    bot.slack.until("the answer is there", |slack| (slack.of_bot(&bot.room).len() == 2).then_some(())).await;
    until_blocked(&mut held).await;
    bot.bot.kill().await;
    let_go(held).await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    bot.rest().await;
    assert_eq!(once(&bot).len(), 2, "the answer was said once");
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    assert_eq!(bot.bot.effects(), ["one"]);
    only(&once(&bot), "is done");
    bot.finish().await;
}

#[tokio::test]
async fn what_was_said_after_a_restart_is_answered_at_once() {
    let mut bot = rolls_out(&[step("one", "ok")]).await;
    bot.say("mei", "status");
    bot.rest().await;
    for died in 1..=2 {
        bot.bot.kill().await;
        bot.bot.restart().await;
        bot.hears(Hears::Socket).await;
        // The clocks of two machines may differ a little, so what is said within an instant of a death is looked for.
        until("the death is an instant ago", async || {
            let dead = "select count(*) from worker where ended_at < now() - interval '100 milliseconds'";
            (bot.bot.db().number(dead).await == died).then_some(())
        })
        .await;
        bot.say("mei", "status");
        bot.rest().await;
    }
    assert_eq!(searches(&bot.slack), 0, "nobody can have sent what was put into the outbox after the last one's death");
    bot.finish().await;
}

/// Each fault meets one message; in the end each is there once and in its place.
async fn said_in_spite_of(faults: &[Fault]) {
    let bot = rolls_out(&[step("one", "ok")]).await;
    let mut expected = Vec::new();
    for (n, fault) in faults.iter().enumerate() {
        let word = format!("help nosuch-q{n}");
        bot.slack.next("chat.postMessage", fault.clone());
        bot.say("mei", &word);
        bot.calm().await;
        expected.push(format!("nosuch-q{n}"));
    }
    bot.rest().await;
    let texts = once(&bot);
    let places: Vec<usize> = expected.iter().map(|words| only(&texts, words)).collect();
    assert!(places.is_sorted(), "in order: {texts:#?}");
    bot.finish().await;
}

#[tokio::test]
async fn i5_what_is_lost_on_the_way_or_back_is_said_once() {
    said_in_spite_of(&[Fault::LostAfter, Fault::LostBefore, Fault::Status(503), Fault::Status(500)]).await;
}

#[tokio::test]
async fn i5_what_slack_answers_in_its_trouble_is_said_once() {
    // 200 with a page instead of JSON among them.
    let faults = [Fault::Error("internal_error"), Fault::Error("fatal_error"), Fault::Status(200)];
    said_in_spite_of(&faults).await;
    said_in_spite_of(&[Fault::Limited(Duration::from_secs(1)), Fault::Error("ratelimited")]).await;
}

#[tokio::test]
async fn i5_a_run_is_told_in_spite_of_everything() {
    let bot = rolls_out(&[step("one", "wait"), step("two", "ok")]).await;
    bot.slack.next("chat.postMessage", Fault::LostAfter);
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.slack.next("chat.postMessage", Fault::LostBefore);
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_effect("one", 1).await;
    told(&bot).await;
    // The change of the progress gets lost both ways, and the outcome does not wait for it.
    for fault in [Fault::LostAfter, Fault::Status(503), Fault::LostBefore] {
        bot.slack.next("chat.update", fault);
    }
    bot.slack.next("chat.postMessage", Fault::LostAfter);
    bot.bot.release("one");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    assert_eq!(bot.bot.effects(), ["one", "two"]);
    let texts = once(&bot);
    only(&texts, "is done");
    assert!(texts.iter().any(|text| text.contains("2 of 2") || text.contains("two")), "{texts:#?}");
    bot.finish().await;
}

#[tokio::test]
async fn i5_a_double_that_got_through_is_removed() {
    let bot = rolls_out(&[step("one", "ok")]).await;
    // Made beforehand, as that takes a while and the bot looks for what was lost at once.
    let client = slack::client();
    bot.slack.next("chat.postMessage", Fault::LostAfter);
    bot.say("mei", "status");
    let arrived = bot.slack.until("it arrived", |slack| slack.of_bot(&bot.room).pop()).await;
    // As if a connection had stood for long, and what was believed lost came through after all.
    let call = bot.slack.calls_of("chat.postMessage").pop().expect("a call");
    let again = client
        .post(format!("{}/chat.postMessage", bot.slack.api()))
        .bearer_auth(BOT_TOKEN)
        .json(&json!(call.arguments))
        .send()
        .await
        .expect("an answer");
    assert!(again.status().is_success());
    bot.rest().await;
    let left = bot.slack.of_bot(&bot.room);
    assert_eq!(left.iter().map(|seen| seen.ts).collect::<Vec<_>>(), [arrived.ts], "the first stays");
    bot.finish().await;
}

const MANY: usize = 300;

/// A bot whose `help` is longer than anybody reads in a room.
async fn helps_at_length() -> SlackBot {
    let mut catalog = Catalog::made();
    for n in 0..MANY {
        catalog = catalog.runbook(&format!("roll-out-{n:03}"), &[step("one", "ok")]);
    }
    SlackBot::start(catalog, Hears::Socket).await
}

/// How many of the runbooks a text names.
fn named(text: &str) -> usize {
    (0..MANY).filter(|n| text.contains(&format!("roll out {n:03}"))).count()
}

#[tokio::test]
async fn i5_an_answer_that_is_too_long_is_its_beginning_and_a_file() {
    let bot = helps_at_length().await;
    // It is there, and nobody knows: it is found, and not put there again.
    bot.slack.next("files.completeUploadExternal", Fault::LostAfter);
    bot.slack.next("chat.postMessage", Fault::Limited(Duration::from_secs(1)));
    bot.say("mei", "help");
    bot.rest().await;
    let told = bot.slack.of_bot(&bot.room);
    let files: Vec<&String> = told.iter().flat_map(|seen| &seen.files).collect();
    assert_eq!((told.len(), files.len()), (2, 1), "{told:#?}");
    let content = bot.slack.calls_of("files.getUploadURLExternal").pop().expect("a file");
    let content = bot.slack.file(content.text("filename")).expect("its content");
    assert_eq!(named(&String::from_utf8(content).expect("text")), MANY);
    let shown = told.last().expect("a message");
    assert!(shown.text.ends_with("Cut here: the whole is in the file next to this message."), "{}", shown.text);
    assert!(named(&shown.text) > 10);
    bot.finish().await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_a_file_is_several_messages() {
    let bot = helps_at_length().await;
    bot.slack.without_scope("files:write");
    bot.slack.forgive("files.getUploadURLExternal", "missing_scope");
    bot.say("mei", "help");
    bot.rest().await;
    let told = bot.slack.of_bot(&bot.room);
    assert!(told.len() > 3 && told.iter().all(|seen| seen.files.is_empty()), "{told:#?}");
    let whole: Vec<&str> = told.iter().map(|seen| seen.text.as_str()).collect();
    assert_eq!(named(&whole.join("\n")), MANY, "nothing is left out");
    bot.finish().await;
}

/// A second process beside a bot: the same database, catalog and settings, and so the same workspace.
struct Second {
    child: Child,
    log: std::path::PathBuf,
}

impl Second {
    async fn start(bot: &Bot) -> Self {
        let log = bot.data().with_file_name("log-2");
        let mut child = bot
            .command(&["up", "--listen", "127.0.0.1:0", "--database", bot.db().url(), "--config"])
            .arg(bot.settings())
            .arg("--catalog")
            .arg(bot.catalog(""))
            .arg("--data")
            .arg(bot.data().with_file_name("data-2"))
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let ready = tokio::time::timeout(SOON, lines.next_line()).await.expect("ready in time").expect("a line");
        assert!(ready.is_some_and(|line| line.starts_with("ready ")), "it gets ready");
        Self { child, log }
    }

    async fn finish(mut self) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("it runs"), rustix::process::Signal::TERM).expect("a signal");
        let ended = tokio::time::timeout(SOON, self.child.wait()).await.expect("it ends in time");
        assert_eq!(ended.expect("its end is seen").code(), Some(0));
        let log = std::fs::read_to_string(&self.log).expect("a log");
        let wrong = log.lines().find(|line| line.contains(" ERROR ") || line.contains("panicked at"));
        assert_eq!(wrong, None, "the second process' log has an error");
    }
}

#[tokio::test]
async fn two_processes_in_one_workspace_say_and_do_everything_once() {
    let mut catalog = Catalog::made();
    for n in 0..4 {
        catalog = catalog.runbook(&format!("roll-{n}"), &[step(&format!("r{n}"), "ok")]);
    }
    let bot = SlackBot::start(catalog, Hears::Socket).await;
    bot.slack.retries(&[Duration::from_millis(50); 40]);
    let second = Second::start(&bot.bot).await;
    bot.slack.connected(2).await;
    bot.slack.twice();
    for n in 0..4 {
        bot.say("mei", &format!("roll {n}"));
    }
    bot.calm().await;
    for n in 0..4 {
        let words = format!("roll {n}");
        let shown = bot
            .slack
            .of_bot(&bot.room)
            .into_iter()
            .find(|seen| seen.text.contains(&words) && seen.buttons.iter().any(|button| button.label == "approve"));
        let shown = shown.unwrap_or_else(|| panic!("`{words}` is asked for"));
        bot.reply("boss", shown.ts, "approved");
        bot.reply("lin", shown.ts, "approved");
    }
    until("all are done", async || {
        let done = bot.bot.db().number("select count(*) from run where state = 'succeeded'").await;
        (done == 4).then_some(())
    })
    .await;
    bot.rest().await;
    let mut effects = bot.bot.effects();
    effects.sort();
    assert_eq!(effects, ["r0", "r1", "r2", "r3"]);
    once(&bot);
    second.finish().await;
    bot.finish().await;
}

async fn line(store: &Store, room: &RoomAddress) -> InboxId {
    let mut tx = store.begin().await.expect("a transaction");
    let incoming = Incoming {
        room: room.clone(),
        thread: None,
        account: "slack:T0ACME:U0MEI".parse().expect("an account"),
        said_at: store.clock().now(),
        what: Said::Line {
            message: MessageId::new("1"),
            text: "x".to_owned(),
            address: countersign::model::chat::Addressed::ToRoom,
        },
        trace: None,
    };
    let line = tx.insert_line(&incoming, None, Some("x")).await.expect("a line").expect("a new line");
    tx.commit().await.expect("committed");
    line
}

#[tokio::test]
async fn a_storm_of_alerts_is_a_few_messages_within_seconds() {
    const ALERTS: i32 = 500;
    let db = support::database().await;
    let store = db.store.clone();
    let slack = Slack::start().await;
    slack.people(&["mei", "boss"]);
    let channel = slack.channel("incidents", Room::Public, &["mei", "boss", "countersign"]);
    // As the real one: one a second, and a few at once.
    slack.pace(3, Duration::from_secs(1));
    let room = RoomAddress { platform: "slack".into(), workspace: TEAM.into(), channel: channel.clone() };
    let cause = line(&store, &room).await;
    let mut tx = store.begin().await.expect("a transaction");
    for n in 1..=ALERTS {
        let mut message = Message::to_room(format!("service-{n:03} on app-{} failed: connection refused", n % 7));
        if n % 100 == 0 {
            message.ping.push("slack:T0ACME:U0BOSS".parse().expect("an account"));
        }
        let place = Place::Room;
        let origin = Origin::Line(cause);
        tx.say(NewMessage {
            room: room.clone(),
            place,
            origin,
            part: n,
            cause: None,
            role: None,
            edits: false,
            message,
        });
    }
    tx.commit().await.expect("committed");
    let adapter = Arc::new(Adapter::connect(&slack.api(), BOT_TOKEN.to_owned()).await.expect("let in"));
    let me = store.insert_worker(&ProcessIdentity::own().expect("a process")).await.expect("a worker");
    let (stop, stops) = watch::channel(false);
    let sending = tokio::spawn(sender::run(store.clone(), vec![adapter], at_once, me, SOON, stops));
    until("everything is told", async || {
        let sent = store.list_sent(&room, OutboxId(0), 1_000).await.expect("rows");
        (sent.len() == 500).then_some(())
    })
    .await;
    let told = slack.of_bot(&channel);
    assert!(told.len() <= 15, "{} messages", told.len());
    let alerts = told.iter().flat_map(|seen| seen.text.lines()).filter(|line| line.starts_with("service-"));
    let alerts: Vec<&str> = alerts.map(|line| &line[8..11]).collect();
    let wanted: Vec<String> = (1..=ALERTS).map(|n| format!("{n:03}")).collect();
    assert_eq!(alerts, wanted, "each once and in order");
    assert!(told.iter().filter(|seen| seen.text.contains("messages at once, as I was behind:")).count() > 5);
    assert_eq!(slack.pushes("boss").len(), 5, "no ping is lost");
    let limited = slack.calls().iter().filter(|call| call.status == 429).count();
    assert!(limited <= 1, "the pace was kept: {limited} calls were too many");
    stop.send_replace(true);
    sending.await.expect("it ends");
    slack.finish();
}

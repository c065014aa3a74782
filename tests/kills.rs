//! Killed at any moment and started again: every accepted line is finished, waiting, or stuck in plain sight; no attempt
//! ran twice, and nothing said is lost. What steps did is counted in a file outside the database.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::cli::client::Client;
use countersign::model::id::RunId;
use countersign::model::run::RunState;
use countersign::web::Token;
use countersign::web::wire::{KeptAs, SettledAs, Told};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use support::bot::{Bot, is_alive};
use support::until;
use support::world::{Catalog, ROOM, Step, step};

/// A run that somebody asked for and somebody else approved.
struct Granted {
    run: RunId,
    thread: String,
    code: String,
}

/// Asks and approves, and does not wait for what comes of it.
async fn grant(bot: &Bot, words: &str) -> Granted {
    let asked = bot.say("mei", words).await.waiting();
    let granted = Granted { run: asked.run(), thread: asked.thread(), code: asked.code() };
    bot.say("boss", &format!("approve {}", granted.code)).no_wait().await;
    granted
}

/// Starts a run and kills the bot while its step is at work.
async fn killed_in_step(bot: &mut Bot, words: &str, name: &str) -> Granted {
    let granted = grant(bot, words).await;
    bot.until_effect(name, 1).await;
    bot.kill().await;
    granted
}

/// How many messages of a room hold some words.
async fn count_told(bot: &Bot, words: &str) -> usize {
    bot.history(ROOM, "mei").await.iter().filter(|told| told.text.contains(words)).count()
}

/// A catalog with one runbook, `roll out`.
fn roll_out(steps: &[Step]) -> Catalog {
    Catalog::made().runbook("roll-out", steps)
}

/// Waits until none of a bot's steps has a process.
async fn until_no_step(bot: &Bot) {
    until("the old processes are gone", async || bot.step_processes().is_empty().then_some(())).await;
}

/// A wrong number sequence is as good as a right one, so long as it is the same every time.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Holds a table so that nobody writes to it, until dropped or let go.
async fn hold(bot: &Bot, table: &str) -> PgConnection {
    let mut connection = bot.db().connection().await;
    let sql = format!("begin; lock table {table} in exclusive mode");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.expect("the table can be held");
    connection
}

/// Waits until somebody waits for a held table.
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

/// Says a line on a task of its own, to a bot that may be gone before it answers. What was told until then is collected.
fn say_aside(
    bot: &Bot,
    speaker: &str,
    text: &str,
    message_id: &str,
) -> (tokio::task::JoinHandle<()>, Arc<Mutex<Vec<Told>>>) {
    let token = Token::read(&bot.data()).expect("a token");
    let client = Client::new(bot.url().parse().expect("an address"), token).expect("a client");
    let body = json!({"as": speaker, "text": text, "message_id": message_id, "wait_ms": 30_000});
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let task = tokio::spawn(async move {
        let request = client.request(Method::POST, &["api", "v1", "rooms", ROOM, "lines"]).json(&body);
        let Ok(mut response) = client.send(request).await else { return };
        let mut bytes = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            bytes.extend_from_slice(&chunk);
            while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = bytes.drain(..=end).collect();
                let value: Value = serde_json::from_slice(&line).expect("JSON");
                if let Ok(told) = serde_json::from_value::<Told>(value) {
                    hears.lock().expect("no panic before").push(told);
                }
            }
        }
    });
    (task, heard)
}

#[tokio::test]
async fn killed_while_waiting_the_same_request_waits_and_can_be_approved() {
    let mut bot = Bot::start(roll_out(&[step("one", "ok")])).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.quiet().await;
    let before = bot.history(ROOM, "mei").await;
    bot.kill().await;
    bot.restart().await;
    bot.quiet().await;
    assert_eq!(bot.history(ROOM, "mei").await, before, "nothing was told twice");
    let again = bot.say("mei", "roll out").await.waiting();
    assert_eq!((again.run(), again.thread(), again.code()), (asked.run(), asked.thread(), asked.code()));
    assert_eq!(bot.effects(), Vec::<String>::new());
    bot.say("mei", "approved").thread(asked.thread()).await.refused();
    let reply = bot.say("boss", "approved").thread(asked.thread()).await.done();
    assert_eq!(reply.state(), "succeeded");
    assert_eq!(bot.effects(), ["one"]);
    bot.finish().await;
}

#[tokio::test]
async fn i3_killed_in_a_step_it_is_stuck_and_judged_worked_it_goes_on() {
    let mut bot = Bot::start(roll_out(&[step("one", "ok"), step("two", "family"), step("three", "ok")])).await;
    let granted = killed_in_step(&mut bot, "roll out", "two").await;
    assert!(!bot.step_processes().is_empty(), "the step outlives the bot");
    bot.restart().await;
    bot.until_run(granted.run, "stuck").await;
    // I2: the whole family is gone, the one in a group of its own too.
    assert_eq!(bot.step_processes(), Vec::<u32>::new());
    bot.quiet().await;
    assert_eq!(count_told(&bot, "is stuck at step 2").await, 1);
    bot.kill().await;
    bot.restart().await;
    bot.quiet().await;
    assert_eq!(count_told(&bot, "is stuck at step 2").await, 1, "the room is told once");
    assert_eq!(bot.effects(), ["one", "two"], "nothing more of it starts");
    bot.rest().await;

    let thread = &granted.thread;
    let reply = bot.say("boss", "judge worked because I looked").thread(thread).await.done();
    assert_eq!(reply.state(), "succeeded");
    assert_eq!(bot.effects(), ["one", "two", "three"]);
    bot.finish().await;
}

#[tokio::test]
async fn i3_a_stuck_step_is_judged_by_somebody_else_with_the_right() {
    // Boss may ask as well, and may unstick: still not their own run.
    let mut bot = Bot::start(roll_out(&[step("one", "hang"), step("two", "ok")])).await;
    let asked = bot.say("boss", "roll out").await.waiting();
    bot.say("lin", "approved").thread(asked.thread()).no_wait().await;
    bot.until_effect("one", 1).await;
    bot.kill().await;
    bot.restart().await;
    bot.until_run(asked.run(), "stuck").await;
    bot.rest().await;
    let thread = &asked.thread();
    bot.say("zed", "judge worked because I looked").thread(thread).await.refused();
    // What boss says of it is asked of others: by another of their accounts they are no other person.
    let judging = bot.say("boss", "judge worked because I looked").thread(thread).await.waiting();
    bot.say("boss2", &format!("approve {}", judging.code())).thread(thread).await.refused();
    bot.say("boss", &format!("withdraw {}", judging.code())).thread(thread).await;
    bot.until_run(asked.run(), "stuck").await;
    let reply = bot.say("lin", "judge failed because it is half done").thread(thread).await.done();
    assert_eq!(reply.state(), "failed");
    assert!(reply.text().contains("it is half done"), "{}", reply.text());
    assert_eq!(bot.effects(), ["one"]);
    bot.finish().await;
}

#[tokio::test]
async fn i3_a_stuck_step_is_retried_only_when_another_person_agrees() {
    let mut bot = Bot::start(roll_out(&[step("one", "heir"), step("two", "ok")])).await;
    let granted = killed_in_step(&mut bot, "roll out", "one").await;
    bot.restart().await;
    bot.until_run(granted.run, "stuck").await;
    bot.rest().await;
    let thread = &granted.thread;
    let retry = bot.say("lin", "retry").thread(thread).await.waiting();
    assert_eq!(retry.run(), granted.run);
    assert_ne!(retry.code(), granted.code);
    // Neither who asked for the run nor who asks for the retry, and not under the old code.
    bot.say("lin", "approved").thread(thread).await.refused();
    bot.say("mei", "approved").thread(thread).await.refused();
    bot.say("boss", &format!("approve {}", granted.code)).thread(thread).await.refused();
    bot.kill().await;
    bot.restart().await;
    assert_eq!(bot.effects(), ["one"]);
    let agreed = format!("approve {}", retry.code());
    bot.say("boss", &agreed).thread(thread).no_wait().await;
    bot.until_effect("one", 2).await;
    bot.release("one");
    bot.until_run(granted.run, "succeeded").await;
    assert_eq!(bot.effects(), ["one", "one", "two"]);
    assert_eq!(std::fs::read_to_string(bot.side("heirs")).expect("heirs"), "one after gone\n");
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i3_a_stuck_run_can_be_stopped_and_a_pending_retry_ends_with_it() {
    let mut bot = Bot::start(roll_out(&[step("one", "hang"), step("two", "ok")])).await;
    let granted = killed_in_step(&mut bot, "roll out", "one").await;
    bot.restart().await;
    bot.until_run(granted.run, "stuck").await;
    bot.rest().await;
    let retry = bot.say("mei", "retry").thread(&granted.thread).await.waiting();
    let stopped = bot.say("mei", "stop").thread(&granted.thread).await.done();
    assert_eq!(stopped.state(), "stopped");
    assert!(stopped.text().contains("Unknown: 1"), "{}", stopped.text());
    bot.say("boss", &format!("approve {}", retry.code())).await.refused();
    assert_eq!(bot.effects(), ["one"]);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i2_what_left_for_a_session_of_its_own_is_spared() {
    let mut bot = Bot::start(roll_out(&[step("one", "leaver")])).await;
    let granted = killed_in_step(&mut bot, "roll out", "one").await;
    let left = until("the daemon is there", async || {
        std::fs::read_to_string(bot.side("left-one")).ok().and_then(|pid| pid.trim().parse::<u32>().ok())
    })
    .await;
    bot.restart().await;
    bot.until_run(granted.run, "stuck").await;
    assert_eq!(bot.step_processes(), [left], "the daemon alone is left");
    let daemon = i32::try_from(left).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).expect("it can be killed");
    until("the daemon is gone", async || (!is_alive(left)).then_some(())).await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i2_an_idempotent_step_is_tried_again_only_when_its_predecessor_is_gone() {
    let steps = [step("one", "ok"), step("two", "heir").idempotent(), step("three", "ok")];
    let mut bot = Bot::start(roll_out(&steps)).await;
    let granted = killed_in_step(&mut bot, "roll out", "two").await;
    for attempt in 2..=4 {
        // Once before its family is there, then in the midst of it.
        until("the family is there", async || {
            let family = std::fs::read_to_string(bot.side("family-two")).unwrap_or_default();
            (attempt == 2 || family.split_whitespace().count() == 3).then_some(())
        })
        .await;
        bot.restart().await;
        bot.until_effect("two", attempt).await;
        if attempt < 4 {
            until("it has looked", async || {
                let heirs = std::fs::read_to_string(bot.side("heirs")).unwrap_or_default();
                (heirs.lines().count() + 2 >= attempt).then_some(())
            })
            .await;
            bot.kill().await;
        }
    }
    bot.release("two");
    bot.until_run(granted.run, "succeeded").await;
    assert_eq!(bot.effects(), ["one", "two", "two", "two", "two", "three"]);
    let heirs = std::fs::read_to_string(bot.side("heirs")).expect("heirs");
    assert!(heirs.lines().all(|line| line == "two after gone") && heirs.lines().count() >= 2, "{heirs}");
    bot.rest().await;
    bot.finish().await;
}

/// Frees a stuck run, and waits until it is: what left its trace is judged to have worked, what did not is tried again.
/// Returns the step at which it was stuck.
async fn unstick(bot: &Bot, granted: &Granted, names: &[String]) -> String {
    let run = bot.db().store.find_run(granted.run).await.expect("the database").expect("a run");
    let RunState::Stuck(snag) = run.state else { panic!("it is {}", run.state.name()) };
    let name = &names[usize::try_from(snag.step).expect("small") - 1];
    bot.quiet().await;
    if bot.effects().contains(name) {
        bot.say("boss", &format!("judge run {} worked because it is there", granted.run)).no_wait().await;
    } else {
        let retry = bot.say("mei", &format!("retry run {}", granted.run)).await.waiting();
        bot.say("boss", &format!("approve {}", retry.code())).no_wait().await;
    }
    name.clone()
}

/// Gets a run to its end, through whatever it is stuck at; returns the steps at which it was.
async fn see_it_through(bot: &Bot, granted: &Granted, names: &[String]) -> Vec<String> {
    let mut stuck_at = Vec::new();
    loop {
        let state = until("the run rests", async || {
            let run = bot.db().store.find_run(granted.run).await.expect("the database").expect("a run");
            (run.state.is_over() || run.state.waits_for_a_person()).then_some(run.state)
        })
        .await;
        if let RunState::Stuck(_) = state {
            stuck_at.push(unstick(bot, granted, names).await);
        } else {
            assert_eq!(state.name(), "succeeded");
            return stuck_at;
        }
    }
}

#[tokio::test]
async fn i3_killed_between_any_two_steps_every_step_leaves_one_trace() {
    for seed in [1, 2] {
        let mut seeded = Seeded(seed);
        let names: Vec<String> = (1..=8).map(|n| format!("s{n}")).collect();
        let steps: Vec<Step> = names.iter().map(|name| step(name, "paced")).collect();
        let mut bot = Bot::start(roll_out(&steps)).await;
        let granted = grant(&bot, "roll out").await;
        let mut stuck_at = Vec::new();
        for n in 0..=names.len() {
            // The run may have gone on beyond this point while the way out of the last one was found.
            until("so far", async || {
                let over =
                    bot.db().store.find_run(granted.run).await.expect("the database").expect("a run").state.is_over();
                (over || bot.effects().len() >= n).then_some(())
            })
            .await;
            tokio::time::sleep(Duration::from_micros(seeded.below(60_000))).await;
            bot.kill().await;
            bot.restart().await;
            let run = until("it goes on or is stuck", async || {
                let run = bot.db().store.find_run(granted.run).await.expect("the database").expect("a run");
                (run.state.is_over() || run.state.name() == "stuck" || bot.effects().len() > n).then_some(run)
            })
            .await;
            if run.state.name() == "stuck" {
                stuck_at.push(unstick(&bot, &granted, &names).await);
            }
        }
        stuck_at.extend(see_it_through(&bot, &granted, &names).await);
        assert_eq!(bot.effects(), names, "each once, in order (seed {seed})");
        let order = std::fs::read_to_string(bot.side("order")).expect("an order");
        for (at, line) in order.lines().enumerate().skip(1) {
            let before = &names[at - 1];
            let (name, after) = line.split_once(" after ").expect("as written");
            assert_eq!(name, names[at]);
            assert!(after == before || stuck_at.contains(before), "{line} (seed {seed})");
        }
        bot.quiet().await;
        assert_eq!(count_told(&bot, "is stuck at step").await, stuck_at.len(), "each is told once");
        bot.rest().await;
        bot.finish().await;
    }
}

/// How often a message was told to a room: once is right.
fn assert_told_once(history: &[Told]) {
    let mut numbers: Vec<i64> = history.iter().map(|told| told.number.0).collect();
    numbers.dedup();
    assert_eq!(numbers.len(), history.len(), "{history:#?}");
    let mut names: Vec<&str> = history.iter().filter(|told| !told.edits).map(|told| told.id.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let posts = history.iter().filter(|told| !told.edits).count();
    assert_eq!(names.len(), posts, "{history:#?}");
}

#[tokio::test]
async fn i6_killed_in_the_middle_of_a_line_it_acts_once_when_it_is_said_again() {
    let mut seeded = Seeded(3);
    let mut bot = Bot::start(roll_out(&[step("one", "ok")])).await;
    let names = ["one".to_owned()];
    for round in 0..8_usize {
        let (ask, approve) = (format!("ask-{round}"), format!("approve-{round}"));
        let (task, _) = say_aside(&bot, "mei", "roll out", &ask);
        // A line takes some milliseconds: before it is read, within its transaction, and after.
        tokio::time::sleep(Duration::from_micros(seeded.below(12_000))).await;
        bot.kill().await;
        task.await.expect("no panic");
        bot.restart().await;
        let asked = bot.say("mei", "roll out").message_id(&ask).await.waiting();
        assert_eq!(bot.db().number("select count(*) from run").await, i64::try_from(round).expect("small") + 1);
        assert_eq!(bot.db().number("select count(*) from request where state = 'pending'").await, 1);

        let (task, _) = say_aside(&bot, "boss", &format!("approve {}", asked.code()), &approve);
        tokio::time::sleep(Duration::from_micros(seeded.below(12_000))).await;
        bot.kill().await;
        task.await.expect("no panic");
        bot.restart().await;
        // As one would who does not know whether it was heard: the same line, by the same name.
        let again = format!("approve {}", asked.code());
        let approved = bot.say("boss", &again).message_id(&approve).no_wait().await;
        assert_ne!(approved.was(), SettledAs::Refused, "{}", approved.text());
        let granted = Granted { run: asked.run(), thread: asked.thread(), code: asked.code() };
        let before = bot.effects().len();
        assert!(before <= round + 1);
        // The trace of an earlier round is no proof for this one.
        let stuck = until("the run rests", async || {
            let run = bot.db().store.find_run(granted.run).await.expect("the database").expect("a run");
            (run.state.is_over() || run.state.name() == "stuck").then_some(run.state.name() == "stuck")
        })
        .await;
        if stuck {
            if bot.effects().len() == round + 1 {
                unstick(&bot, &granted, &names).await;
            } else {
                let retry = bot.say("lin", &format!("retry run {}", granted.run)).await.waiting();
                bot.say("boss", &format!("approve {}", retry.code())).no_wait().await;
            }
        }
        bot.until_run(granted.run, "succeeded").await;
        assert_eq!(bot.effects().len(), round + 1, "each approval had its effect once");
    }
    bot.quiet().await;
    assert_eq!(count_told(&bot, "mei asks:").await - count_told(&bot, "mei asks: retry").await, 8);
    assert_eq!(count_told(&bot, "already").await, 0, "no line was taken for a second one");
    assert_told_once(&bot.history(ROOM, "mei").await);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i3_killed_between_two_tries_it_goes_on_and_counts_right() {
    let retry = "{times: 1, wait: 5s, at_most: 5s}";
    let mut bot = Bot::start(roll_out(&[step("one", "fail").key("retry", retry), step("two", "ok")])).await;
    let granted = grant(&bot, "roll out").await;
    let failed = "select count(*) from attempt where state = 'failed'";
    until("the first try has failed", async || (bot.db().number(failed).await == 1).then_some(())).await;
    bot.kill().await;
    assert_eq!(bot.db().number("select count(*) from attempt").await, 1, "it was killed in the pause");
    bot.restart().await;
    bot.until_run(granted.run, "failed").await;
    assert_eq!(bot.effects(), ["one", "one"]);
    assert_eq!(bot.db().number("select count(*) from attempt where state = 'failed' and number <= 2").await, 2);
    let pause = "select (extract(epoch from b.started_at - a.ended_at) * 1000)::bigint from attempt a
        join attempt b on b.run = a.run and b.step = a.step and b.number = a.number + 1";
    assert!(bot.db().number(pause).await >= 5000, "the pause was whole");
    bot.quiet().await;
    assert_eq!(count_told(&bot, "failed  run    ./step.sh one fail (attempt 2)").await, 1);
    assert_eq!(count_told(&bot, "(attempt 3)").await, 0);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i5_killed_after_a_message_was_sent_and_before_that_was_noted_it_is_told_once() {
    let mut bot = Bot::start(roll_out(&[step("one", "ok")])).await;
    // Noting that a message was sent writes to this table.
    let mut held = hold(&bot, "posted").await;
    let (task, heard) = say_aside(&bot, "mei", "roll out", "ask");
    let first = until("the message is told", async || heard.lock().expect("no panic before").first().cloned()).await;
    until_blocked(&mut held).await;
    bot.kill().await;
    task.await.expect("no panic");
    let_go(held).await;
    bot.restart().await;
    let again = bot.say("mei", "roll out").message_id("ask").await.waiting();
    assert_eq!(again.kept.delivery, KeptAs::Again);
    let told: Vec<_> = again.told.iter().map(|told| (told.number, &told.id, &told.text)).collect();
    assert_eq!(told, [(first.number, &first.id, &first.text)], "the same message under the same number");
    bot.quiet().await;
    let history = bot.history(ROOM, "mei").await;
    assert_eq!(history.len(), 1, "{history:#?}");
    let reply = bot.say("boss", "approved").thread(again.thread()).await.done();
    assert_eq!(reply.state(), "succeeded");
    assert_told_once(&bot.history(ROOM, "mei").await);
    bot.finish().await;
}

#[tokio::test]
async fn i5_killed_before_a_message_was_sent_it_is_told_after_the_restart() {
    let mut bot = Bot::start(roll_out(&[step("one", "ok")])).await;
    // Whoever wants to send to a room takes its lease first.
    let held = hold(&bot, "lease").await;
    let (task, heard) = say_aside(&bot, "mei", "roll out", "ask");
    until("it is recorded", async || {
        let unsent = bot.db().number("select count(*) from outbox where sent_at is null").await;
        (unsent > 0).then_some(())
    })
    .await;
    bot.kill().await;
    task.await.expect("no panic");
    assert!(heard.lock().expect("no panic before").is_empty());
    let_go(held).await;
    bot.restart().await;
    let told = bot.hear("mei asks:").await;
    // What waited for being sent had not been shown to anybody: only now it can be approved.
    bot.quiet().await;
    assert_eq!(bot.history(ROOM, "mei").await.len(), 1);
    let reply = bot.say("boss", "approved").thread(told.id.to_string()).await.done();
    assert_eq!(reply.state(), "succeeded");
    assert_eq!(bot.effects(), ["one"]);
    bot.finish().await;
}

#[tokio::test]
async fn i5_killed_before_an_outcome_is_told_it_is_told_after_the_restart() {
    let mut bot = Bot::start(roll_out(&[step("one", "wait")])).await;
    let granted = grant(&bot, "roll out").await;
    bot.until_effect("one", 1).await;
    bot.quiet().await;
    bot.rest().await;
    // The sequencer, the room's sink and the sender all go by a lease.
    let held = hold(&bot, "chain").await;
    bot.release("one");
    bot.until_run(granted.run, "succeeded").await;
    bot.kill().await;
    let_go(held).await;
    bot.restart().await;
    let rest = bot.rest().await;
    assert_eq!(rest.matches("roll out is done").count(), 1, "{rest}");
    assert!(rest.contains("1 done"), "{rest}");
    assert_told_once(&bot.history(ROOM, "mei").await);
    bot.finish().await;
}

#[tokio::test]
async fn i1_killed_during_a_stop_it_is_stopped_and_nothing_of_it_runs() {
    let mut seeded = Seeded(4);
    let mut bot = Bot::start(roll_out(&[step("one", "family").idempotent(), step("two", "ok")])).await;
    for round in 0..5_usize {
        let before = bot.effects().len();
        let granted = grant(&bot, "roll out").await;
        bot.until_effect("one", before + 1).await;
        if round == 0 {
            // The processes are gone, and that this was so cannot be written.
            let mut held = hold(&bot, "attempt").await;
            let (task, _) = say_aside(&bot, "mei", &format!("stop run {}", granted.run), "stop-0");
            until_no_step(&bot).await;
            until_blocked(&mut held).await;
            bot.kill().await;
            task.await.expect("no panic");
            let_go(held).await;
        } else {
            let (task, _) = say_aside(&bot, "mei", &format!("stop run {}", granted.run), &format!("stop-{round}"));
            tokio::time::sleep(Duration::from_micros(seeded.below(15_000))).await;
            bot.kill().await;
            task.await.expect("no panic");
        }
        bot.restart().await;
        bot.say("mei", &format!("stop run {}", granted.run)).message_id(&format!("stop-{round}")).await;
        bot.until_run(granted.run, "stopped").await;
        assert_eq!(bot.step_processes(), Vec::<u32>::new());
        bot.quiet().await;
        assert_eq!(count_told(&bot, "mei stopped").await, round + 1, "the room is told once");
        // Killed before the line was kept, the step may have been tried again before it was stopped; the next never is.
        assert!(!bot.effects().contains(&"two".to_owned()));
    }
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i3_killed_while_a_timeout_ends_a_step_its_outcome_is_unknown() {
    let mut bot = Bot::start(roll_out(&[step("one", "family").timeout("4s"), step("two", "ok")])).await;
    let granted = grant(&bot, "roll out").await;
    bot.until_effect("one", 1).await;
    let mut held = hold(&bot, "attempt").await;
    until_no_step(&bot).await;
    until_blocked(&mut held).await;
    bot.kill().await;
    let_go(held).await;
    bot.restart().await;
    bot.until_run(granted.run, "stuck").await;
    bot.quiet().await;
    assert_eq!(count_told(&bot, "is stuck at step 1").await, 1);
    let reply = bot.say("lin", "judge failed because it hung").thread(&granted.thread).await.done();
    assert_eq!(reply.state(), "failed");
    assert_eq!(bot.effects(), ["one"]);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn told_to_end_it_ends_within_its_grace_and_leaves_no_process() {
    let catalog = Catalog::made()
        .runbook("roll-out", &[step("one", "family"), step("two", "ok")])
        .runbook("roll-on", &[step("three", "family").idempotent(), step("four", "ok")])
        .runbook("roll-up", &[step("five", "wait"), step("six", "ok")]);
    let mut bot = Bot::start(catalog).await;
    let once = grant(&bot, "roll out").await;
    let often = grant(&bot, "roll on").await;
    let soon = grant(&bot, "roll up").await;
    for name in ["one", "three", "five"] {
        bot.until_effect(name, 1).await;
    }
    bot.signal(rustix::process::Signal::TERM);
    // What ends within the grace has ended well, and what follows it may still run.
    bot.release("five");
    bot.until_run(soon.run, "succeeded").await;
    let status = tokio::time::timeout(Duration::from_secs(10), bot.term()).await.expect("it ends within its grace");
    assert_eq!(status.code(), Some(0));
    assert_eq!(bot.step_processes(), Vec::<u32>::new());
    assert_eq!(bot.effects().iter().filter(|effect| ["five", "six"].contains(&effect.as_str())).count(), 2);
    bot.restart().await;
    bot.until_run(once.run, "stuck").await;
    bot.until_effect("three", 2).await;
    bot.quiet().await;
    assert_eq!(count_told(&bot, "is stuck at step 1").await, 1);
    bot.rest().await;
    bot.say("boss", &format!("judge run {} failed because it was ended", once.run)).await.done();
    bot.say("mei", &format!("stop run {}", often.run)).await.done();
    assert!(!bot.effects().iter().any(|effect| effect == "two" || effect == "four"));
    bot.rest().await;
    bot.finish().await;
}

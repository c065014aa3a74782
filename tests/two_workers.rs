//! Two processes of the real program on one database: every run is driven by exactly one, whoever cannot be proved dead is
//! waited for until its lease ends, and who comes back too late can write nothing and start nothing.

mod support;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use countersign::cli::client::Client;
use countersign::model::id::RunId;
use countersign::web::Token;
use countersign::web::wire::{KeptAs, SettledAs};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use support::bot::{Bot, SLOW, is_alive};
use support::world::{Catalog, ROOM, Step, step};
use support::{SOON, until};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;

/// A second process beside a bot: the same database, catalog and settings; its own port and data.
struct Second {
    child: Child,
    url: String,
    data: PathBuf,
    log: PathBuf,
}

impl Second {
    async fn start(bot: &Bot) -> Self {
        let data = bot.data().with_file_name("data-2");
        let log = bot.data().with_file_name("log-2");
        let mut child = bot
            .command(&["up", "--listen", "127.0.0.1:0", "--database", bot.db().url(), "--config"])
            .arg(bot.settings())
            .arg("--catalog")
            .arg(bot.catalog(""))
            .arg("--data")
            .arg(&data)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let ready = tokio::time::timeout(SOON, lines.next_line()).await.expect("ready in time").expect("a line");
        let url = ready.expect("it gets ready").strip_prefix("ready ").expect("as promised").to_owned();
        Self { child, url, data, log }
    }

    /// Somebody says something to this process, which waits until it settles.
    async fn say(&self, speaker: &str, text: &str, message_id: &str) -> Reply {
        let client = Client::new(self.url.parse().expect("an address"), Token::read(&self.data).expect("a token"));
        let client = client.expect("a client");
        let body = json!({"as": speaker, "text": text, "message_id": message_id, "wait_ms": u64::try_from(SOON.as_millis()).expect("not for ever")});
        let request = client.request(Method::POST, &["api", "v1", "rooms", ROOM, "lines"]).json(&body);
        let text = client.send(request).await.expect("it takes the line").text().await.expect("an answer");
        let lines = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        Reply { lines }
    }

    fn signal(&self, signal: Signal) {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("it runs"), signal).expect("it can be signalled");
    }

    /// Ends it as an operator would; nothing went wrong in it.
    async fn finish(mut self) {
        self.signal(Signal::TERM);
        let ended = tokio::time::timeout(SOON, self.child.wait()).await.expect("it ends in time");
        assert_eq!(ended.expect("its end is seen").code(), Some(0));
        let log = std::fs::read_to_string(&self.log).expect("a log");
        let wrong = |line: &&str| line.contains("panicked at") || (line.contains(" ERROR ") && !line.contains(SLOW));
        let wrong = log.lines().find(wrong);
        assert_eq!(wrong, None, "the second process' log has an error");
    }
}

/// What a process answered: JSON, line by line.
struct Reply {
    lines: Vec<Value>,
}

impl Reply {
    fn settled(&self) -> &Value {
        self.lines.iter().find(|line| line.get("settled").is_some()).unwrap_or_else(|| panic!("{:#?}", self.lines))
    }

    fn was(&self) -> SettledAs {
        serde_json::from_value(self.settled()["settled"].clone()).expect("how it settled")
    }

    fn code(&self) -> String {
        serde_json::from_value(self.settled()["request"].clone()).expect("a request")
    }
}

/// A number of a run's row.
async fn run_number(bot: &Bot, run: RunId, column: &str) -> i64 {
    let mut connection = bot.db().connection().await;
    let sql = format!("select {column} from run where id = {run}");
    let number: Option<i64> =
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("a number");
    number.unwrap_or(0)
}

async fn until_state(bot: &Bot, run: RunId, states: &[&str]) {
    until(&format!("run {run} is {states:?}"), async || {
        let run = bot.db().store.find_run(run).await.expect("the database").expect("a run");
        states.contains(&run.state.name()).then_some(())
    })
    .await;
}

fn family(bot: &Bot, name: &str) -> Vec<u32> {
    let text = std::fs::read_to_string(bot.side(&format!("family-{name}"))).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[tokio::test]
async fn i2_two_processes_drive_every_run_exactly_once() {
    let mut catalog = Catalog::made();
    for n in 0..8 {
        let steps: Vec<Step> = (1..=4).map(|s| step(&format!("r{n}-s{s}"), "ok")).collect();
        catalog = catalog.runbook(&format!("roll-{n}"), &steps);
    }
    let bot = Bot::start(catalog).await;
    let second = Second::start(&bot).await;
    let mut codes = Vec::new();
    for n in 0..8 {
        codes.push(match n % 2 {
            0 => bot.say("mei", &format!("roll {n}")).await.waiting().code(),
            _ => second.say("mei", &format!("roll {n}"), &format!("ask-{n}")).await.code(),
        });
    }
    // Each is approved through the process that did not take it, half of them at the same moment.
    let through_first = async {
        for (n, code) in codes.iter().enumerate().filter(|(n, _)| n % 2 == 1) {
            assert_eq!(bot.say("boss", &format!("approve {code}")).await.was(), SettledAs::Done, "{n}");
        }
    };
    let through_second = async {
        for (n, code) in codes.iter().enumerate().filter(|(n, _)| n % 2 == 0) {
            let reply = second.say("boss", &format!("approve {code}"), &format!("approve-{n}")).await;
            assert_eq!(reply.was(), SettledAs::Done, "{n}");
        }
    };
    tokio::join!(through_first, through_second);
    let effects = bot.effects();
    for n in 0..8 {
        let own: Vec<&String> = effects.iter().filter(|effect| effect.starts_with(&format!("r{n}-"))).collect();
        assert_eq!(own, [1, 2, 3, 4].map(|s| format!("r{n}-s{s}")).iter().collect::<Vec<_>>());
    }
    assert_eq!(effects.len(), 32);
    bot.rest().await;
    second.finish().await;
    bot.finish().await;
}

#[tokio::test]
async fn i7_of_two_deciders_at_the_same_instant_through_two_processes_one_wins() {
    let mut catalog = Catalog::made();
    for n in 0..6 {
        catalog = catalog.runbook(&format!("roll-{n}"), &[step(&format!("r{n}"), "ok")]);
    }
    let bot = Bot::start(catalog).await;
    let second = Second::start(&bot).await;
    let mut approved = 0;
    for n in 0..6 {
        let asked = bot.say("mei", &format!("roll {n}")).await.waiting();
        let other = if n % 2 == 0 { "approve" } else { "deny" };
        let (first_says, second_says) = (format!("approve {}", asked.code()), format!("{other} {}", asked.code()));
        let id = format!("decide-{n}");
        let (first, second_reply) = tokio::join!(bot.say("boss", &first_says), second.say("lin", &second_says, &id));
        let won = [first.was(), second_reply.was()].map(|was| was == SettledAs::Done);
        assert_ne!(won[0], won[1], "{n}: {:?} and {:?}", first.told, second_reply.lines);
        let ran = bot.effects().contains(&format!("r{n}"));
        assert_eq!(ran, won[0] || other == "approve", "{n}");
        approved += usize::from(ran);
        assert_eq!(bot.effects().len(), approved, "each at most once");
    }
    bot.rest().await;
    second.finish().await;
    bot.finish().await;
}

#[tokio::test]
async fn i2_a_killed_worker_is_proved_dead_and_its_runs_go_on_at_once() {
    let catalog = Catalog::made()
        .runbook("roll-out", &[step("one", "family"), step("two", "ok")])
        .runbook("roll-on", &[step("three", "heir").idempotent(), step("four", "ok")]);
    let mut bot = Bot::start_with(catalog, "lease: 5m\n").await;
    let once = bot.say("mei", "roll out").await.waiting();
    let often = bot.say("mei", "roll on").await.waiting();
    for asked in [&once, &often] {
        bot.say("boss", &format!("approve {}", asked.code())).no_wait().await;
    }
    bot.until_effect("one", 1).await;
    until("the family is there", async || (family(&bot, "three").len() == 3).then_some(())).await;
    // There is no other process yet, so the first holds both.
    let second = Second::start(&bot).await;
    bot.kill().await;
    let killed = Instant::now();
    bot.until_run(once.run(), "stuck").await;
    bot.until_effect("three", 2).await;
    assert!(killed.elapsed() < Duration::from_secs(100), "far sooner than the lease ends");
    until("it has looked", async || std::fs::read_to_string(bot.side("heirs")).ok().filter(|h| h.ends_with('\n')))
        .await;
    assert_eq!(std::fs::read_to_string(bot.side("heirs")).expect("heirs"), "three after gone\n");
    bot.release("three");
    bot.until_run(often.run(), "succeeded").await;
    assert_eq!(
        second.say("lin", &format!("judge run {} worked because I looked", once.run()), "judge").await.was(),
        SettledAs::Done
    );
    assert_eq!(bot.effects(), ["one", "three", "three", "four", "two"]);
    bot.restart().await;
    bot.rest().await;
    second.finish().await;
    bot.finish().await;
}

#[tokio::test]
async fn i2_who_stands_still_beyond_the_lease_is_taken_over_from_and_writes_nothing_more() {
    let catalog = Catalog::made()
        .runbook("roll-out", &[step("one", "family"), step("two", "ok")])
        .runbook("roll-on", &[step("three", "heir").idempotent(), step("four", "ok")]);
    let bot = Bot::start_with(catalog, "lease: 6s\n").await;
    let once = bot.say("mei", "roll out").await.waiting();
    let often = bot.say("mei", "roll on").await.waiting();
    for asked in [&once, &often] {
        bot.say("boss", &format!("approve {}", asked.code())).no_wait().await;
    }
    bot.until_effect("one", 1).await;
    until("the family is there", async || (family(&bot, "three").len() == 3).then_some(())).await;
    let old = bot.step_processes();
    let second = Second::start(&bot).await;
    let fences = [run_number(&bot, once.run(), "fence").await, run_number(&bot, often.run(), "fence").await];
    bot.signal(Signal::STOP);
    // Its steps go on without it; when its lease has ended, the other ends them before anything else.
    bot.until_run(once.run(), "stuck").await;
    bot.until_effect("three", 2).await;
    until("it has looked", async || std::fs::read_to_string(bot.side("heirs")).ok().filter(|h| h.ends_with('\n')))
        .await;
    assert_eq!(std::fs::read_to_string(bot.side("heirs")).expect("heirs"), "three after gone\n");
    assert!(old.iter().all(|pid| !is_alive(*pid)), "the old processes are gone");
    assert!(run_number(&bot, often.run(), "fence").await > fences[1]);
    let stuck_version = run_number(&bot, once.run(), "version").await;
    let version = run_number(&bot, often.run(), "version").await;
    bot.signal(Signal::CONT);
    // It sees both steps end by a signal, which is a failure if it could write; and it looks for work.
    let pong = bot.say("mei", "ping").await;
    assert_eq!(pong.was(), SettledAs::Done);
    let others = bot.step_processes();
    bot.release("three");
    bot.until_run(often.run(), "succeeded").await;
    bot.quiet().await;
    assert!(!others.is_empty());
    assert_eq!(run_number(&bot, once.run(), "version").await, stuck_version, "nothing was written");
    assert!(run_number(&bot, once.run(), "fence").await > fences[0]);
    assert_eq!(run_number(&bot, often.run(), "version").await, version + 2, "step 3 ended and 4 began, and the end");
    assert_eq!(bot.effects(), ["one", "three", "three", "four"]);
    let judged = bot.say("lin", &format!("judge run {} worked because I looked", once.run())).await.done();
    assert_eq!(judged.state(), "succeeded");
    assert_eq!(bot.effects(), ["one", "three", "three", "four", "two"]);
    bot.rest().await;
    second.finish().await;
    bot.finish().await;
}

/// Lets a process stand still until the lease of the one run has ended.
async fn stand_still(bot: &Bot) {
    bot.signal(Signal::STOP);
    until("the lease has ended", async || {
        // Its clock and the database's differ by as much as it took to ask.
        let sql = "select count(*) from run where lease_until < clock_timestamp() - interval '500 ms'";
        (bot.db().number(sql).await == 1).then_some(())
    })
    .await;
}

/// Holds a table so that nobody writes to it, until it is closed.
async fn hold(bot: &Bot, table: &str) -> PgConnection {
    let mut held = bot.db().connection().await;
    let sql = format!("begin; lock table {table} in exclusive mode");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut held).await.expect("the table can be held");
    held
}

#[tokio::test]
async fn i2_a_step_is_not_started_after_the_lease_has_ended() {
    let catalog = Catalog::made().runbook("roll-out", &[step("one", "wait"), step("two", "ok")]);
    let bot = Bot::start_with(catalog, "lease: 5s\n").await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", &format!("approve {}", asked.code())).no_wait().await;
    bot.until_effect("one", 1).await;
    bot.quiet().await;
    // The process stands still in the midst of writing that the second step starts: it holds the run's row, so that
    // nobody else can claim the run although the lease ends.
    let mut held = hold(&bot, "event").await;
    bot.release("one");
    until_blocked(&mut held, 1).await;
    stand_still(&bot).await;
    // Whoever gives orders in the process is kept from it: renewing the lease comes first, and has to wait for this one.
    let mut watch = bot.db().connection().await;
    let mut first_in_line = bot.db().connection().await;
    let line = tokio::spawn(async move {
        let locked = sqlx::raw_sql("begin; lock table run in access exclusive mode").execute(&mut first_in_line).await;
        locked.expect("it comes to it");
        first_in_line
    });
    until_blocked(&mut watch, 2).await;
    held.close().await.expect("let go");
    bot.signal(Signal::CONT);
    let first_in_line = line.await.expect("no panic");
    // Now that is written. The driver starts the step, or knows better and lets go of the run.
    until("the driver has decided", async || (bot.effects().len() > 1 || blocked(&mut watch).await >= 2).then_some(()))
        .await;
    first_in_line.close().await.expect("let go");
    bot.until_run(asked.run(), "stuck").await;
    assert_eq!(bot.effects(), ["one"], "nothing was started without a lease");
    let reply = bot.say("lin", "judge failed because nothing happened").thread(asked.thread()).await.done();
    assert_eq!(reply.state(), "failed");
    bot.rest().await;
    bot.finish().await;
}

/// When a step that says it all the time worked last, in milliseconds; 0 when it has not worked yet.
fn stamp(bot: &Bot, name: &str) -> i64 {
    let text = std::fs::read_to_string(bot.side(&format!("stamps-{name}"))).unwrap_or_default();
    // What follows the last end of a line is half of one.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().last().map_or(0, |line| line.parse().expect("a time"))
}

#[tokio::test]
async fn i2_whoever_cannot_renew_ends_the_step_before_the_lease_ends() {
    let mut bot = Bot::start_with(Catalog::made().runbook("roll-out", &[step("one", "stamps")]), "lease: 6s\n").await;
    // Whatever has to wait for the database says so.
    bot.tolerate_error(" ERROR ");
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", &format!("approve {}", asked.code())).no_wait().await;
    until("it works", async || (stamp(&bot, "one") > 0).then_some(())).await;
    // The database takes every question and answers none.
    let mut held = bot.db().connection().await;
    let locked = sqlx::raw_sql("begin; lock table run in access exclusive mode").execute(&mut held).await;
    locked.expect("the table can be held");
    let lease_until = "select (extract(epoch from lease_until) * 1000)::bigint from run";
    let lease_until: i64 = sqlx::query_scalar(lease_until).fetch_one(&mut held).await.expect("it has a lease");
    until("the step is ended", async || bot.step_processes().is_empty().then_some(())).await;
    // By its own word, however late this test looks.
    let last = stamp(&bot, "one");
    assert!(last < lease_until, "it worked until {last}, and its lease was until {lease_until}");
    held.close().await.expect("let go");
    bot.until_run(asked.run(), "stuck").await;
    bot.rest().await;
    bot.say("lin", "judge failed because it was ended").thread(asked.thread()).await.done();
    assert_eq!(bot.effects(), ["one"]);
    bot.finish().await;
}

#[tokio::test]
async fn i2_a_run_claimed_anew_is_not_lost_with_its_earlier_driver() {
    let bot = Bot::start_with(Catalog::made().runbook("roll-out", &[step("one", "ok")]), "lease: 3s\n").await;
    for round in 0..3 {
        let asked = bot.say("mei", "roll out").await.waiting();
        bot.quiet().await;
        let before = bot.effects().len();
        // Nothing of the run is locked yet: whether the process first claims the run anew or first writes under the old
        // lease is a matter of moments.
        let mut held = hold(&bot, "attempt").await;
        bot.say("boss", &format!("approve {}", asked.code())).no_wait().await;
        until_blocked(&mut held, 1).await;
        stand_still(&bot).await;
        held.close().await.expect("let go");
        bot.signal(Signal::CONT);
        until_state(&bot, asked.run(), &["stuck", "succeeded"]).await;
        let state = bot.db().store.find_run(asked.run()).await.expect("the database").expect("a run").state;
        let expected = if state.name() == "stuck" { 0 } else { 1 };
        assert_eq!(bot.effects().len() - before, expected, "round {round}: {}", state.name());
        if expected == 0 {
            bot.say("lin", &format!("judge run {} failed because nothing happened", asked.run())).await.done();
        }
    }
    bot.rest().await;
    bot.finish().await;
}

/// How many connections wait for a lock.
async fn blocked(connection: &mut PgConnection) -> i64 {
    // Within a transaction the connections of its first look would be counted for ever, and a pool opens new ones.
    sqlx::query("select pg_stat_clear_snapshot()").execute(&mut *connection).await.expect("a new look");
    let sql = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    sqlx::query_scalar(sql).fetch_one(connection).await.expect("the connections")
}

/// Waits until so many connections wait for a lock.
async fn until_blocked(connection: &mut PgConnection, count: i64) {
    until("somebody waits for a lock", async || (blocked(connection).await >= count).then_some(())).await;
}

#[tokio::test]
async fn i3_an_outcome_that_was_seen_survives_the_database_being_cut() {
    let catalog = Catalog::made().runbook("roll-out", &[step("one", "wait"), step("two", "wait"), step("three", "ok")]);
    let mut bot = Bot::start(catalog).await;
    bot.expect_error("a run could not be moved");
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", &format!("approve {}", asked.code())).no_wait().await;
    for name in ["one", "two"] {
        bot.until_effect(name, 1).await;
        // Which process it is gets written once it has begun; it is the writing of its end that is cut off.
        until("its process is written down", async || {
            let known = "select count(*) from attempt where state = 'started' and pid is not null";
            (bot.db().number(known).await == 1).then_some(())
        })
        .await;
        bot.quiet().await;
        let mut held = hold(&bot, "attempt").await;
        bot.release(name);
        until_blocked(&mut held, 1).await;
        let cut: i64 = sqlx::query_scalar(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(&mut held)
        .await
        .expect("it can be cut");
        assert_eq!(cut, 1);
        held.close().await.expect("let go");
    }
    bot.until_run(asked.run(), "succeeded").await;
    assert_eq!(bot.effects(), ["one", "two", "three"]);
    bot.rest().await;
    bot.finish().await;
}

/// Cuts every connection to the database but this one; returns how many.
async fn cut(connection: &mut PgConnection) -> i64 {
    let sql = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    sqlx::query_scalar(sql).fetch_one(connection).await.expect("they can be cut")
}

#[tokio::test]
async fn i6_a_line_is_taken_although_every_connection_has_died() {
    let mut bot = Bot::start(Catalog::made()).await;
    bot.tolerate_error(" ERROR ");
    let mut side = bot.db().connection().await;
    for round in 0..5 {
        assert!(cut(&mut side).await > 1);
        let reply = bot.say("mei", "whoami").no_wait().send().await;
        reply.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
    reconnect(&bot).await;
    assert!(!bot.log().contains("a line could not be dealt with"));
    bot.rest().await;
    bot.finish().await;
}

/// After a cut, the test's own connections are dead as well; each is found by using it.
async fn reconnect(bot: &Bot) {
    let mut in_a_row = 0;
    until("the test is connected again", async || {
        let (backlog, run) = (bot.db().store.backlog().await, bot.db().store.find_run(RunId(1)).await);
        in_a_row = if backlog.is_ok() && run.is_ok() { in_a_row + 1 } else { 0 };
        (in_a_row > 12).then_some(())
    })
    .await;
}

#[tokio::test]
async fn i6_the_database_cut_in_mid_decision_loses_and_doubles_nothing() {
    let mut bot = Bot::start(Catalog::made().runbook("roll-out", &[step("one", "ok")])).await;
    // Whatever works without a database says so.
    bot.tolerate_error(" ERROR ");
    let mut side = bot.db().connection().await;
    let mut cuts = 0_i64;
    for round in 0..10_usize {
        let asked = bot.say("mei", "roll out").await.waiting();
        bot.quiet().await;
        let (words, id) = (format!("approve {}", asked.code()), format!("approve-{round}"));
        let cutting = async {
            let until = Instant::now() + Duration::from_millis(20 + 7 * u64::try_from(round).expect("small"));
            while Instant::now() < until {
                cuts += cut(&mut side).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let approving = async {
            let began = Instant::now();
            loop {
                match bot.say("boss", &words).message_id(&id).no_wait().send().await {
                    Ok(reply) => return reply,
                    Err(error) => assert!(began.elapsed() < SOON, "{error}"),
                }
            }
        };
        let (reply, ()) = tokio::join!(approving, cutting);
        reconnect(&bot).await;
        // The end of a stream may have been cut as well: what counts is that it is not refused.
        if let (KeptAs::First, Some(settled)) = (reply.kept.delivery, &reply.settled) {
            assert_ne!(settled.settled, SettledAs::Refused, "{}", reply.text());
        }
        until_state(&bot, asked.run(), &["succeeded", "stuck"]).await;
        let state = bot.db().store.find_run(asked.run()).await.expect("the database").expect("a run").state;
        assert_eq!(state.name(), "succeeded", "round {round}");
        assert_eq!(bot.effects().len(), round + 1, "each approval had its effect once");
    }
    assert!(cuts > 20, "{cuts} connections were cut");
    assert_eq!(bot.db().number("select count(*) from decision").await, 10);
    bot.rest().await;
    bot.finish().await;
}

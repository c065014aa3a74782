//! Whether the bot lives, could do its work, and how it is: asked of the real program, as a probe would.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use countersign::model::id::RunId;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _};
use support::bot::Bot;
use support::world::{Catalog, step};
use support::{TestDb, until};

/// What a path answers to somebody without a token who calls the bot by a name of their own.
async fn ask(bot: &Bot, path: &str) -> (u16, String) {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = http.get(format!("{}/{path}", bot.url())).header("host", "bot.cluster.example");
    let response = request.timeout(Duration::from_secs(60)).send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.text().await.expect("text"))
}

async fn until_ready(bot: &Bot) {
    until("it is ready", async || (ask(bot, "readyz").await == (200, "ready\n".to_owned())).then_some(())).await;
}

/// The metrics, each sample by its name with labels.
async fn metrics(bot: &Bot) -> BTreeMap<String, f64> {
    let (status, text) = ask(bot, "metrics").await;
    assert_eq!(status, 200, "{text}");
    samples(&text)
}

fn is_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.chars().next().is_some_and(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Reads the exposition format and panics where it is not as the format wants it: a family is declared once, before its
/// samples, which stand together; counters end in `_total` and never go below zero; buckets grow up to `+Inf`, which is
/// the count; no sample stands twice; `# EOF` is the last line.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let lines: Vec<&str> = text.lines().collect();
    assert!(text.ends_with('\n') && lines.last() == Some(&"# EOF"), "it does not end as it should");
    let mut families: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut current = "";
    let mut samples = BTreeMap::new();
    let mut bucket = (String::new(), 0.0);
    for line in &lines[..lines.len() - 1] {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
            assert!(is_name(name) && help.ends_with('.') && helped.insert(name), "{line}");
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
            assert!(["counter", "gauge", "histogram", "info"].contains(&kind), "{line}");
            assert!(helped.contains(name) && families.insert(name, kind).is_none(), "{line}");
            assert!(name.starts_with("countersign_"), "{line}");
            current = name;
            continue;
        }
        assert!(!line.starts_with('#') && !line.is_empty(), "{line:?}");
        let (sample, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        let (name, labels) = match sample.split_once('{') {
            None => (sample, ""),
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("no end: {line}"))),
        };
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (name, value) = label.split_once('=').unwrap_or_else(|| panic!("no label: {line}"));
            // Ours hold nothing that would have to be escaped.
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            assert!(is_name(name) && inner.is_some_and(|value| !value.contains(['"', '\\'])), "{line}");
        }
        let suffix = name.strip_prefix(current).unwrap_or_else(|| panic!("outside of its family: {line}"));
        match families.get(current).copied() {
            Some("counter") => assert!(suffix == "_total" && value >= 0.0, "{line}"),
            Some("gauge") => assert!(suffix.is_empty(), "{line}"),
            Some("info") => assert!(suffix == "_info" && value == 1.0, "{line}"),
            Some("histogram") => match suffix {
                "_bucket" => {
                    assert!(bucket.0 != current || value >= bucket.1, "buckets do not grow: {line}");
                    bucket = (current.to_owned(), value);
                }
                "_count" => {
                    let all = samples.get(&format!("{current}_bucket{{le=\"+Inf\"}}"));
                    assert!(all.is_none_or(|all| *all == value), "{line}");
                }
                "_sum" => {}
                _ => panic!("{line}"),
            },
            _ => panic!("no type: {line}"),
        }
        assert!(samples.insert(sample.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

#[tokio::test]
async fn a_bot_that_is_well_says_so_to_whoever_asks() {
    let bot = Bot::start(Catalog::made()).await;
    assert_eq!(ask(&bot, "healthz").await, (200, "ok\n".to_owned()));
    until_ready(&bot).await;
    // What needs the token still does.
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let response = http.get(format!("{}/api/v1/ledger/verify", bot.url())).send().await.expect("an answer");
    assert_eq!(response.status().as_u16(), 401);

    let url = bot.url();
    for (arguments, said) in
        [(vec!["healthcheck", "--server", &url], "ok\n"), (vec!["healthcheck", "--server", &url, "--ready"], "ready\n")]
    {
        let output = bot.command(&arguments).output().await.expect("the program runs");
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(0), said));
    }
    let nobody = bot.command(&["healthcheck", "--server", "http://127.0.0.1:9"]).output().await.expect("it runs");
    assert_eq!(nobody.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("http://127.0.0.1:9 does not answer"), "{nobody:?}");
    bot.finish().await;
}

/// A connection to the server, beside the database of the test.
async fn beside(db: &TestDb) -> (PgConnection, String) {
    let options: PgConnectOptions = db.options();
    let name = options.get_database().expect("a name").to_owned();
    (PgConnection::connect_with(&options.database("postgres")).await.expect("a connection"), name)
}

async fn sql(connection: &mut PgConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql.clone()))
        .execute(connection)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

#[tokio::test]
async fn a_bot_without_its_database_lives_but_is_not_ready_until_it_is_back() {
    let mut bot = Bot::start(Catalog::made()).await;
    bot.tolerate_error(" ERROR ");
    until_ready(&bot).await;
    let (mut server, name) = beside(bot.db()).await;
    sql(&mut server, format!("alter database {name} allow_connections false")).await;
    sql(&mut server, format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")).await;
    let told = until("it is not ready", async || {
        let (status, told) = ask(&bot, "readyz").await;
        (status == 503).then_some(told)
    })
    .await;
    assert_eq!(told, "The database does not answer as it should within 2 s.\n");
    // To start it again would bring nothing back.
    assert_eq!(ask(&bot, "healthz").await, (200, "ok\n".to_owned()));
    let cut = metrics(&bot).await;
    assert_eq!(cut["countersign_database_up"], 0.0);
    assert!(!cut.contains_key("countersign_requests_waiting"), "nothing is said from memory");
    let asked = bot.command(&["healthcheck", "--ready", "--server", &bot.url()]).output().await.expect("it runs");
    assert_eq!((asked.status.code(), String::from_utf8_lossy(&asked.stdout).as_ref()), (Some(1), told.as_str()));

    sql(&mut server, format!("alter database {name} allow_connections true")).await;
    until_ready(&bot).await;
    assert_eq!(metrics(&bot).await["countersign_database_up"], 1.0);
    // The test's own connections died as well; each is found by using it.
    let mut in_a_row = 0;
    until("the test is connected again", async || {
        let well = bot.db().store.backlog().await.is_ok() && bot.db().store.find_run(RunId(1)).await.is_ok();
        in_a_row = if well { in_a_row + 1 } else { 0 };
        (in_a_row > 12).then_some(())
    })
    .await;
    bot.finish().await;
}

#[tokio::test]
async fn loops_that_hang_are_named() {
    let mut bot = Bot::start_with(Catalog::made(), "lease: 2s\n").await;
    bot.tolerate_error(" ERROR ");
    until_ready(&bot).await;
    let mut side = bot.db().connection().await;
    sqlx::raw_sql("begin; lock table lease in access exclusive mode").execute(&mut side).await.expect("it can be held");
    // Which of those that wait for the lock is late first is the machine's affair.
    let told = until("loops hang", async || {
        let (status, told) = ask(&bot, "healthz").await;
        (status == 503 && told.contains("the sequencer")).then_some(told)
    })
    .await;
    // Not before everything that it held is lost anyway: four leases, and ten seconds more.
    let silent = told.split("No sign of life from the sequencer for ").nth(1).and_then(|rest| rest.split(' ').next());
    let silent: u64 = silent.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    assert!(silent >= 18, "{told}");
    let (status, unready) = ask(&bot, "readyz").await;
    assert_eq!(status, 503);
    assert!(unready.contains("No sign of life from the sequencer"), "{unready}");
    assert!(unready.contains("The database does not answer as it should within 2 s."), "{unready}");
    drop(side);
    until("it lives again", async || (ask(&bot, "healthz").await.0 == 200).then_some(())).await;
    until_ready(&bot).await;
    bot.finish().await;
}

#[tokio::test]
async fn what_is_done_is_counted() {
    let bot = Bot::start(Catalog::made().runbook("roll-out", &[step("one", "ok"), step("two", "fail")])).await;
    until_ready(&bot).await;
    let before = metrics(&bot).await;
    assert_eq!(before["countersign_lines_total{outcome=\"answered\"}"], 0.0);
    assert_eq!(before["countersign_catalog_loads_total{outcome=\"loaded\"}"], 1.0);

    bot.say("mei", "hello all").await;
    bot.say("mei", "fly to the moon please").await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.quiet().await;
    let waiting = metrics_after(&bot).await;
    assert_eq!(waiting["countersign_requests_waiting"], 1.0);
    assert_eq!(waiting["countersign_runs_open{state=\"running\"}"], 0.0);
    bot.say("boss", &format!("approve {}", asked.code())).await.done();
    bot.quiet().await;
    let after = metrics_after(&bot).await;
    for (name, value) in [
        ("countersign_lines_total{outcome=\"answered\"}", 2.0),
        ("countersign_lines_total{outcome=\"again\"}", 0.0),
        ("countersign_lines_total{outcome=\"failed\"}", 0.0),
        ("countersign_line_seconds_count", 4.0),
        ("countersign_runs_total{state=\"failed\"}", 1.0),
        ("countersign_runs_total{state=\"succeeded\"}", 0.0),
        ("countersign_attempts_total{outcome=\"succeeded\"}", 1.0),
        ("countersign_attempts_total{outcome=\"failed\"}", 1.0),
        ("countersign_attempt_seconds_count", 2.0),
        ("countersign_requests_total{outcome=\"granted\"}", 1.0),
        ("countersign_requests_total{outcome=\"denied\"}", 0.0),
        ("countersign_messages_total{outcome=\"failed\"}", 0.0),
        ("countersign_requests_waiting", 0.0),
        ("countersign_runs_open{state=\"stuck\"}", 0.0),
        ("countersign_sink_lag_positions{sink=\"room\"}", 0.0),
        ("countersign_unsequenced_events", 0.0),
        ("countersign_automation_paused", 0.0),
        ("countersign_automation_held_now", 0.0),
        ("countersign_incidents_open{state=\"open\"}", 0.0),
        ("countersign_outbox_unsent", 0.0),
        ("countersign_outbox_age_seconds", 0.0),
        ("countersign_database_connections{pool=\"turns\",state=\"most\"}", 12.0),
    ] {
        assert_eq!(after.get(name), Some(&value), "{name}");
    }
    let sent = after["countersign_messages_total{outcome=\"sent\"}"];
    assert!(sent >= 3.0, "{sent}");
    assert_eq!(after["countersign_message_seconds_count"], sent);
    for of in ["engine", "housekeeping", "catalog", "sequencer", "room_sink", "sender"] {
        let silent = after[&format!("countersign_loop_silent_seconds{{loop=\"{of}\"}}")];
        assert!(silent < 20.0, "{of}: {silent}");
    }
    // Nobody and nothing of the catalog is named.
    let (_, text) = ask(&bot, "metrics").await;
    for name in ["mei", "boss", "local:", "system-a", "roll-out", "managers"] {
        assert!(!text.contains(name), "{name}");
    }
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn scheduled_checks_are_counted() {
    let system = "system: system-a\ntitle: System A\nenvironment: production\nroom: system-a\n\
                  may_run: [group:support]\nmay_see: [group:support]\nservices:\n  service-b:\n    title: Service B\n\
                  \x20   checks:\n      running: {command: [/bin/true], every: 1s}\n\
                  \x20     other: {command: [./step.sh, other, ok], every: 1s}\n";
    let bot = Bot::start(Catalog::made().file("system-a.yaml", system)).await;
    let told = until("both are known for certain", async || {
        let told = metrics(&bot).await;
        (told.get("countersign_checks{health=\"ok\"}") == Some(&2.0)).then_some(told)
    })
    .await;
    assert!(told["countersign_check_results_total{health=\"ok\"}"] >= 2.0);
    assert_eq!(told["countersign_check_results_total{health=\"critical\"}"], 0.0);
    let late = told["countersign_check_late_seconds_count"];
    assert!(late >= 2.0, "{late}");
    assert!(told["countersign_loop_silent_seconds{loop=\"checks\"}"] < 20.0);
    bot.rest().await;
    bot.finish().await;
}

/// The metrics of a moment that begins now: what the database said may be a second old.
async fn metrics_after(bot: &Bot) -> BTreeMap<String, f64> {
    tokio::time::sleep(Duration::from_millis(1100)).await;
    metrics(bot).await
}

#[test]
#[should_panic(expected = "twice")]
fn the_reader_of_metrics_sees_a_double() {
    samples("# HELP countersign_a A.\n# TYPE countersign_a gauge\ncountersign_a 1\ncountersign_a 1\n# EOF\n");
}

#[test]
#[should_panic(expected = "outside of its family")]
fn the_reader_of_metrics_sees_a_stray() {
    samples("# HELP countersign_a A.\n# TYPE countersign_a gauge\ncountersign_b 1\n# EOF\n");
}

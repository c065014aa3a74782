//! From a message to its steps: one trace, in the log and in what each step is told.

mod support;

use std::collections::BTreeSet;

use countersign::model::trace::Trace;
use serde_json::Value;
use support::bot::Bot;
use support::world::{Catalog, ROOM, step};

/// `SERVICE`'s check tells its trace as well.
const SYSTEM: &str = r#"system: system-a
title: System A
environment: production
room: system-a
may_run: [group:support, group:managers]
may_see: [group:support, group:managers]
may_unstick: [group:managers]
services:
  service-b:
    title: Service B
    checks:
      running: {command: [./step.sh, check, trace]}
"#;

fn catalog() -> Catalog {
    Catalog::made().file("system-a.yaml", SYSTEM).runbook(
        "roll-out",
        &[step("first", "trace"), step("second", "trace"), step("verify", "ok").key("timeout", "30s")],
    )
}

/// The lines of the log, which is JSON.
fn log(bot: &Bot) -> Vec<Value> {
    bot.log().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The trace of the log's line about something that was said, and the run that it names.
fn logged(bot: &Bot, key: &str) -> (String, Option<u64>) {
    let lines = log(bot);
    let line =
        lines.iter().find(|line| line["span"]["line.key"] == key && line["fields"]["message"] == "a line was taken");
    let line = line.unwrap_or_else(|| panic!("nothing of {key} in {lines:#?}"));
    (line["span"]["trace_id"].as_str().expect("a trace").to_owned(), line["span"]["run.id"].as_u64())
}

/// What steps were told, by name.
fn told(bot: &Bot) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(bot.side("trace")).unwrap_or_default();
    let parts = |line: &str| line.split_once(' ').map(|(name, trace)| (name.to_owned(), trace.to_owned()));
    text.lines().map(|line| parts(line).unwrap_or_else(|| panic!("no trace: {line}"))).collect()
}

fn trace_id(traceparent: &str) -> String {
    Trace::from_traceparent(traceparent).unwrap_or_else(|| panic!("not a trace: {traceparent}")).id().to_string()
}

/// The part of a trace that is its reader's parent.
fn span_id(traceparent: &str) -> &str {
    traceparent.split('-').nth(2).expect("a part")
}

#[tokio::test]
async fn a_step_is_told_the_trace_of_the_line_that_asked_for_it() {
    let bot = Bot::start_as(catalog(), "", &["--log-format", "json"]).await;
    let asked = bot.say("mei", "roll out").message_id("asked").await.waiting();
    bot.say("boss", &format!("approve {}", asked.code())).message_id("agreed").await.done();
    bot.say("mei", "is service b running").message_id("looked").await.done();

    let run = u64::try_from(asked.run().0).expect("a number");
    let (trace, of) = logged(&bot, "line:asked");
    assert_eq!(of, Some(run));
    // Whoever agrees has a trace of their own, and the log says what of.
    let (other, of) = logged(&bot, "line:agreed");
    assert!(other != trace && of == Some(run), "{other} {of:?}");
    let told = told(&bot);
    let [(first, one), (second, two), (check, three)] = &told[..] else { panic!("{told:?}") };
    assert_eq!((first.as_str(), second.as_str(), check.as_str()), ("first", "second", "check"));
    assert_eq!((trace_id(one), trace_id(two)), (trace.clone(), trace.clone()));
    assert_eq!(trace_id(three), logged(&bot, "line:looked").0);
    let spans: BTreeSet<&str> = told.iter().map(|(_, told)| span_id(told)).collect();
    assert_eq!(spans.len(), 3, "each attempt has a place of its own");

    // Every line of the log in the course of the run names it and its trace.
    let lines = log(&bot);
    let of_run: Vec<&Value> =
        lines.iter().filter(|line| line["span"]["name"] == "run" && line["span"]["run.id"] == run).collect();
    assert!(of_run.iter().all(|line| line["span"]["trace_id"] == trace.as_str()), "{of_run:#?}");
    let said: Vec<&str> = of_run.iter().filter_map(|line| line["fields"]["message"].as_str()).collect();
    assert_eq!(said, ["an attempt ended", "an attempt ended", "an attempt ended", "a run came to rest"]);
    let logged: Vec<&str> = of_run.iter().filter_map(|line| line["fields"]["span_id"].as_str()).collect();
    assert_eq!(&logged[..2], [span_id(one), span_id(two)]);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_trace_that_comes_in_goes_on() {
    let bot = Bot::start_as(catalog(), "", &["--log-format", "json"]).await;
    let came = "4bf92f3577b34da6a3ce929d0e0e4736";
    let say = async |id: &str, header: &[&str]| {
        let token = countersign::web::Token::read(&bot.data()).expect("a token");
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let mut request = http.post(format!("{}/api/v1/rooms/{ROOM}/lines", bot.url())).bearer_auth(token.expose());
        for value in header {
            request = request.header("traceparent", *value);
        }
        let line = serde_json::json!({"as": "mei", "text": "whoami", "message_id": id});
        let response = request.json(&line).send().await.expect("an answer");
        assert_eq!(response.status().as_u16(), 200);
        response.text().await.expect("it is kept");
        logged(&bot, &format!("line:{id}")).0
    };
    let right = format!("00-{came}-00f067aa0ba902b7-00");
    assert_eq!(say("right", &[&right]).await, came);
    // What is not valid, or says two things, begins a trace.
    for (id, wrong) in [
        ("zeros", vec![format!("00-{}-00f067aa0ba902b7-00", "0".repeat(32))]),
        ("forged", vec![format!("00-{came}-00f067aa0ba902b7-00 x")]),
        ("twice", vec![right.clone(), right.clone()]),
    ] {
        let wrong: Vec<&str> = wrong.iter().map(String::as_str).collect();
        assert_ne!(say(id, &wrong).await, came, "{id}");
    }

    // The same from the command line.
    let output = bot
        .command(&["say", "--server", &bot.url(), "--room", ROOM, "--as", "mei", "--wait", "20s", "--data"])
        .arg(bot.data())
        .args(["--message-id", "by-hand", "is service b running"])
        .env("TRACEPARENT", &right)
        .output()
        .await
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = told(&bot);
    let [(_, told)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(trace_id(told), came);
    assert!(told.ends_with("-00"), "whoever began it does not keep it: {told}");
    bot.say("mei", "hello").await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn nobody_agrees_to_a_trace() {
    let bot = Bot::start(catalog()).await;
    let first = bot.say("mei", "is service b running").await.done().run();
    let second = bot.say("mei", "is service b running").await.done().run();
    let store = &bot.db().store;
    let first = store.find_run(first).await.expect("the database").expect("a run");
    let second = store.find_run(second).await.expect("the database").expect("a run");
    assert_ne!(first.trace, second.trace);
    assert!(first.trace.is_some());
    assert_eq!((first.digest, &first.plan), (second.digest, &second.plan));
    let trace = first.trace.expect("a trace").id().to_string();
    assert!(!String::from_utf8_lossy(&first.plan).contains(&trace));
    bot.rest().await;
    bot.finish().await;
}

//! What goes wrong by order: errors, limits, pace, lost answers, silence.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::app::{call, connect, sent, workspace};
use super::slack::{BOT_TOKEN, Fault};

#[tokio::test]
async fn the_next_call_goes_wrong_as_ordered_and_the_one_after_it_does_not() {
    let (slack, incidents) = workspace().await;
    let post = || call(&slack, "chat.postMessage", json!({"channel": incidents, "text": "hello"}));
    slack.next("chat.postMessage", Fault::Error("fatal_error"));
    slack.next("chat.postMessage", Fault::Error("internal_error"));
    assert_eq!(call(&slack, "auth.test", json!({})).await["ok"], true);
    assert_eq!(post().await["error"], "fatal_error");
    assert_eq!(post().await["error"], "internal_error");
    assert_eq!(post().await["ok"], true);
    slack.next("chat.postMessage", Fault::Status(503));
    let answer = sent(&slack, "chat.postMessage", json!({"channel": incidents, "text": "hello"}), BOT_TOKEN).await;
    assert_eq!(answer.expect("an answer").status(), 503);
    assert_eq!(slack.of_bot(&incidents).len(), 1);
    assert_eq!(slack.calls_of("chat.postMessage").len(), 4);
    slack.finish();
}

#[tokio::test]
async fn a_limit_answers_429_until_it_is_over() {
    let (slack, incidents) = workspace().await;
    let arguments = json!({"channel": incidents, "text": "hello"});
    slack.next("chat.postMessage", Fault::Limited(Duration::from_secs(30)));
    let answer = sent(&slack, "chat.postMessage", arguments.clone(), BOT_TOKEN).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (429, &"30".parse().expect("a value")));
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body, json!({"ok": false, "error": "ratelimited"}));
    let long = Duration::from_secs(3600);
    slack.limit("chat.postMessage", long);
    assert_eq!(call(&slack, "chat.postMessage", arguments.clone()).await["error"], "ratelimited");
    assert_eq!(call(&slack, "auth.test", json!({})).await["ok"], true);
    slack.unlimited();
    slack.limit_all(long);
    assert_eq!(call(&slack, "auth.test", json!({})).await["error"], "ratelimited");
    slack.unlimited();
    // One that ends by itself.
    slack.limit_all(Duration::from_millis(100));
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while call(&slack, "chat.postMessage", arguments.clone()).await["ok"] != true {
        tick.tick().await;
    }
    assert_eq!(slack.of_bot(&incidents).len(), 1);
    slack.finish();
}

#[tokio::test]
async fn a_channel_takes_so_many_messages_and_then_one_at_a_time() {
    let (slack, incidents) = workspace().await;
    let other = slack.channel("other", super::slack::Room::Public, &["countersign"]);
    slack.pace(2, Duration::from_secs(3600));
    let to = |channel: &str| json!({"channel": channel, "text": "hello"});
    for (channel, error) in [
        (&incidents, Value::Null),
        (&incidents, Value::Null),
        (&incidents, json!("ratelimited")),
        (&other, Value::Null),
    ] {
        assert_eq!(call(&slack, "chat.postMessage", to(channel)).await["error"], error);
    }
    slack.finish();
}

#[tokio::test]
async fn an_answer_is_lost_before_or_after_the_effect() {
    let (slack, incidents) = workspace().await;
    let arguments = json!({"channel": incidents, "text": "hello"});
    slack.next("chat.postMessage", Fault::LostBefore);
    assert!(sent(&slack, "chat.postMessage", arguments.clone(), BOT_TOKEN).await.is_err());
    assert_eq!(slack.of_bot(&incidents).len(), 0);
    slack.next("chat.postMessage", Fault::LostAfter);
    assert!(sent(&slack, "chat.postMessage", arguments.clone(), BOT_TOKEN).await.is_err());
    assert_eq!(slack.of_bot(&incidents).len(), 1);
    assert_eq!(call(&slack, "chat.postMessage", arguments).await["ok"], true);
    assert_eq!(slack.of_bot(&incidents).len(), 2);
    slack.finish();
}

#[tokio::test]
async fn an_answer_can_be_slow() {
    let (slack, _) = workspace().await;
    slack.next("auth.test", Fault::Slow(Duration::from_millis(80)));
    let start = Instant::now();
    assert_eq!(call(&slack, "auth.test", json!({})).await["ok"], true);
    assert!(start.elapsed() >= Duration::from_millis(80));
    slack.latency(Duration::from_millis(60));
    let start = Instant::now();
    assert_eq!(call(&slack, "auth.test", json!({})).await["ok"], true);
    assert!(start.elapsed() >= Duration::from_millis(60));
    slack.finish();
}

#[tokio::test]
async fn the_whole_workspace_goes_away_and_comes_back() {
    let (slack, _) = workspace().await;
    let mut line = connect(&slack).await;
    slack.connected(1).await;
    slack.down();
    assert!(line.frame().await.is_none());
    assert!(sent(&slack, "auth.test", json!({}), BOT_TOKEN).await.is_err());
    slack.up();
    assert_eq!(call(&slack, "auth.test", json!({})).await["ok"], true);
    let _line = connect(&slack).await;
    slack.connected(1).await;
    slack.finish();
}

#[tokio::test]
#[should_panic(expected = "channel_not_found")]
async fn a_wrong_call_fails_the_test() {
    let (slack, _) = workspace().await;
    call(&slack, "chat.postMessage", json!({"channel": "C404", "text": "hello"})).await;
    slack.finish();
}

#[tokio::test]
#[should_panic(expected = "does not call `finish`")]
async fn a_test_that_does_not_finish_fails() {
    let (_slack, _) = workspace().await;
}

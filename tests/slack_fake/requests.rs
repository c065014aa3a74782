//! The Events API: signed requests, and what comes after one that failed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use super::app::workspace;
use super::slack::deliver::signature;
use super::slack::{Came, Forgery, Mode, SECRET, Slack};

/// What an app was sent, and what it answers to each in turn (200 after that).
#[derive(Clone, Default)]
struct App {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<Vec<u16>>>,
    says: Arc<Mutex<String>>,
    final_words: bool,
}

async fn app(slack: &Slack, answers: &[u16]) -> App {
    served(slack, App::default(), answers).await
}

async fn served(slack: &Slack, app: App, answers: &[u16]) -> App {
    app.answers.lock().expect("a lock").extend(answers.iter().rev());
    let served = app.clone();
    let take = move |headers: HeaderMap, body: String| async move {
        let asked: Value = serde_json::from_str(&body).unwrap_or_default();
        served.got.lock().expect("a lock").push((headers, body));
        let status = served.answers.lock().expect("a lock").pop().unwrap_or(200);
        let says = served.says.lock().expect("a lock").replace("{it}", asked["challenge"].as_str().unwrap_or_default());
        let last = if served.final_words { "1" } else { "0" };
        (StatusCode::from_u16(status).expect("a status"), [("x-slack-no-retry", last)], says)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/slack", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/slack", post(take))).await });
    slack.mode(Mode::Http(url));
    app
}

impl App {
    fn got(&self) -> Vec<(HeaderMap, String)> {
        self.got.lock().expect("a lock").clone()
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[test]
fn a_signature_is_that_of_the_documents() {
    // Computed with another implementation: `printf 'v0:1531420618:token=x' | openssl dgst -sha256 -hmac a-secret`.
    assert_eq!(
        signature("a-secret", 1_531_420_618, "token=x"),
        "v0=ae84862f7e1ed77e9e25a1b2c2a7879f118611b3f0aad82784f221dd1fafe6ff"
    );
}

#[tokio::test]
async fn requests_are_signed_over_what_is_sent() {
    let (slack, incidents) = workspace().await;
    let app = app(&slack, &[]).await;
    slack.say("mei", &incidents, "hello");
    slack.settled().await;
    let (headers, body) = app.got().remove(0);
    let seconds: u64 = header(&headers, "x-slack-request-timestamp").parse().expect("seconds");
    assert_eq!(header(&headers, "x-slack-signature"), signature(SECRET, seconds, &body));
    assert_eq!(header(&headers, "x-slack-retry-num"), "");
    let event: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((&event["type"], &event["event"]["text"]), (&json!("event_callback"), &json!("hello")));
    slack.finish();
}

#[tokio::test]
async fn what_fails_comes_again_with_a_number_and_a_reason() {
    let (slack, incidents) = workspace().await;
    slack.retries(&[Duration::ZERO, Duration::ZERO]);
    let app = app(&slack, &[500, 503, 200]).await;
    slack.say("mei", &incidents, "hello");
    slack.settled().await;
    let told: Vec<String> = app
        .got()
        .iter()
        .map(|(headers, _)| {
            format!("{} {}", header(headers, "x-slack-retry-num"), header(headers, "x-slack-retry-reason"))
        })
        .collect();
    assert_eq!(told, [" ", "1 http_error", "2 http_error"]);
    let came: Vec<Came> = slack.deliveries()[0].attempts.iter().map(|attempt| attempt.came.clone()).collect();
    assert_eq!(came, [Came::Refused(500), Came::Refused(503), Came::Taken(None)]);
    slack.mode(Mode::Http("http://127.0.0.1:1/".to_owned()));
    slack.say("mei", &incidents, "hello?");
    slack.settled().await;
    assert!(slack.deliveries()[1].attempts.iter().all(|attempt| attempt.came == Came::Nobody));
    slack.finish();
}

#[tokio::test]
async fn commands_and_interactions_are_forms() {
    let (slack, incidents) = workspace().await;
    let app = app(&slack, &[]).await;
    *app.says.lock().expect("a lock") = r#"{"text":"on it"}"#.to_owned();
    let handed = slack.command("mei", &incidents, "/countersign", "run a & b");
    assert_eq!(slack.outcome(handed.number).await.answer(), Some(&json!({"text": "on it"})));
    let (headers, body) = app.got().remove(0);
    assert_eq!(header(&headers, "content-type"), "application/x-www-form-urlencoded");
    let url = reqwest::Url::parse(&format!("http://form/?{body}")).expect("a form");
    let field = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    assert_eq!(field("command").as_deref(), Some("/countersign"));
    assert_eq!(field("text").as_deref(), Some("run a & b"));
    assert_eq!(field("trigger_id"), Some(handed.trigger));
    slack.finish();
}

#[tokio::test]
async fn an_app_may_ask_not_to_be_tried_again() {
    let (slack, incidents) = workspace().await;
    slack.retries(&[Duration::ZERO, Duration::ZERO]);
    let app = served(&slack, App { final_words: true, ..App::default() }, &[500]).await;
    slack.say("mei", &incidents, "hello");
    slack.settled().await;
    assert_eq!(app.got().len(), 1);
    assert_eq!(slack.deliveries()[0].attempts[0].came, Came::Declined(500));
    slack.finish();
}

/// Whether a request is Slack's, as an app should judge it.
fn genuine(headers: &HeaderMap, body: &str, now: u64) -> bool {
    let seconds: Option<u64> = header(headers, "x-slack-request-timestamp").parse().ok();
    seconds.is_some_and(|seconds| {
        seconds.abs_diff(now) <= 300 && header(headers, "x-slack-signature") == signature(SECRET, seconds, body)
    })
}

#[tokio::test]
async fn forged_requests_differ_from_genuine_ones_in_one_point() {
    let (slack, incidents) = workspace().await;
    let app = app(&slack, &[]).await;
    let old = Duration::from_secs(301);
    for forgery in [
        Forgery::None,
        Forgery::Old(old),
        Forgery::Early(old),
        Forgery::OtherSecret,
        Forgery::OtherBody,
        Forgery::Unsigned,
        Forgery::NoTime,
    ] {
        assert_eq!(slack.forge("mei", &incidents, "start b", forgery).await, 200);
        let (headers, body) = app.got().pop().expect("a request");
        let now = body.split("\"event_time\":").nth(1).and_then(|rest| rest.split([',', '}']).next());
        let now = now.and_then(|now| now.parse().ok()).expect("a time");
        assert_eq!(genuine(&headers, &body, now), forgery == Forgery::None, "{forgery:?}");
    }
    slack.finish();
}

#[tokio::test]
async fn the_url_is_asked_for_its_challenge() {
    let (slack, _) = workspace().await;
    let app = app(&slack, &[]).await;
    assert!(!slack.verify_url().await);
    *app.says.lock().expect("a lock") = r#"{"challenge":"challenge-999"}"#.to_owned();
    assert!(!slack.verify_url().await, "an old challenge is none");
    *app.says.lock().expect("a lock") = r#"{"challenge":"{it}"}"#.to_owned();
    assert!(slack.verify_url().await);
    *app.says.lock().expect("a lock") = "{it}".to_owned();
    assert!(slack.verify_url().await);
    let got = app.got();
    let asked: Value = serde_json::from_str(&got[0].1).expect("JSON");
    assert_eq!(asked["type"], "url_verification");
    slack.finish();
}

//! The adapter against a server on this machine that answers as it is told.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::*;
use crate::model::chat::{Account, Message};
use crate::model::id::{OutboxId, ThreadId};

/// One answer: a status, a pause to ask for, a body.
type Answer = (u16, Option<u64>, Value);

#[derive(Default)]
struct Script {
    /// What was called, with the fields.
    calls: Vec<(String, Value)>,
    answers: HashMap<String, VecDeque<Answer>>,
}

type Shared = Arc<Mutex<Script>>;

async fn called(
    State(script): State<Shared>,
    Path(method): Path<String>,
    Query(fields): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> Response {
    let said = if body.is_empty() { json!(fields) } else { serde_json::from_slice(&body).expect("JSON") };
    let mut script = script.lock().expect("the script");
    script.calls.push((method.clone(), said));
    let next = script.answers.get_mut(&method).and_then(VecDeque::pop_front);
    let (status, pause, body) = next.unwrap_or_else(|| (200, None, json!({"ok": false, "error": "not_scripted"})));
    let mut response = (StatusCode::from_u16(status).expect("a status"), axum::Json(body)).into_response();
    if let Some(pause) = pause {
        response.headers_mut().insert("retry-after", pause.into());
    }
    response
}

/// A server, and the adapter that speaks to it. The time in which something may still appear is over.
async fn slack(answers: &[(&str, Answer)]) -> (Slack, Shared) {
    let script = Shared::default();
    let mut whoami = vec![(
        "auth.test",
        (200, None, json!({"ok": true, "team_id": "T1", "user_id": "U0", "bot_id": "B0", "team": "t", "user": "u"})),
    )];
    whoami.extend_from_slice(answers);
    for (method, answer) in whoami {
        script.lock().expect("the script").answers.entry(method.to_owned()).or_default().push_back(answer);
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = Router::new().route("/api/{method}", any(called)).with_state(script.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.expect("a server") });
    let slack = Slack::connect(&format!("http://{address}/api"), "xoxb-1".to_owned()).await.expect("let in");
    slack.settled.lock().expect("settled").0 = Instant::now();
    (slack, script)
}

fn calls(script: &Shared) -> Vec<(String, Value)> {
    script.lock().expect("the script").calls.split_off(1)
}

fn outgoing(text: &str) -> Outgoing {
    Outgoing {
        id: OutboxId(7),
        room: "slack:T1:C1".parse().expect("an address"),
        thread: None,
        key: "line:7:0".to_owned(),
        cause: None,
        edits: None,
        message: Message::to_room(text),
    }
}

fn ok(body: Value) -> Answer {
    let mut body = body;
    body["ok"] = json!(true);
    (200, None, body)
}

fn refusal(code: &str) -> Answer {
    (200, None, json!({"ok": false, "error": code}))
}

fn ours(ts: &str, key: &str, part: usize, of: usize) -> Value {
    let payload = Key { key: key.to_owned(), part, of }.payload();
    json!({"type": "message", "user": "U0", "bot_id": "B0", "ts": ts, "text": "x",
           "metadata": {"event_type": EVENT, "event_payload": payload}})
}

#[tokio::test]
async fn a_message_bears_its_key_and_unfurls_nothing() {
    let (slack, script) = slack(&[("chat.postMessage", ok(json!({"channel": "C1", "ts": "17.1"})))]).await;
    assert!(slack.serves(&"slack:T1:C1".parse().expect("an address")));
    for other in ["slack:T2:C1", "local:T1:C1"] {
        assert!(!slack.serves(&other.parse().expect("an address")), "{other}");
    }
    let message = Outgoing { thread: Some(ThreadId::new("16.1")), ..outgoing("a <b>") };
    assert_eq!(slack.send(&message).await, Ok(MessageId::new("17.1")));
    let calls = calls(&script);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].0, "chat.postMessage");
    assert_eq!(
        calls[0].1,
        json!({
            "channel": "C1", "thread_ts": "16.1", "text": "a &lt;b&gt;", "parse": "none", "link_names": false,
            "unfurl_links": false, "unfurl_media": false,
            "blocks": [{"type": "rich_text", "elements": [
                {"type": "rich_text_section", "elements": [{"type": "text", "text": "a <b>"}]}
            ]}],
            "metadata": {"event_type": "countersign_message", "event_payload": {"key": "line:7:0", "part": 0, "of": 1}},
        })
    );
}

#[tokio::test]
async fn an_edit_changes_the_message_and_a_private_answer_is_ephemeral() {
    let answers =
        [("chat.update", ok(json!({"ts": "17.1"}))), ("chat.postEphemeral", ok(json!({"message_ts": "18.1"})))];
    let (slack, script) = slack(&answers).await;
    let edit = Outgoing { edits: Some(MessageId::new("17.1")), ..outgoing("2 done") };
    assert_eq!(slack.send(&edit).await, Ok(MessageId::new("17.1")));
    assert_eq!(slack.find(&edit).await, Ok(None), "it is made again");
    let boss: Account = "slack:T1:U2".parse().expect("an account");
    let private = Outgoing { message: Message::only_to(boss.clone(), "Not approved yet."), ..outgoing("") };
    assert_eq!(slack.send(&private).await, Ok(MessageId::new("18.1")));
    assert_eq!(slack.find(&private).await, Ok(None), "it cannot be looked for");
    let other = Message::only_to("discord:G1:U2".parse().expect("an account"), "x");
    assert!(matches!(slack.send(&Outgoing { message: other, ..outgoing("") }).await, Err(SendError::Refused(_))));
    let calls = calls(&script);
    assert_eq!(
        calls.iter().map(|(method, _)| method.as_str()).collect::<Vec<_>>(),
        ["chat.update", "chat.postEphemeral"]
    );
    assert_eq!((&calls[0].1["ts"], &calls[1].1["user"]), (&json!("17.1"), &json!("U2")));
    // Metadata would be refused.
    assert!(calls[1].1.get("metadata").is_none() && calls[0].1.get("metadata").is_none());
}

#[tokio::test]
async fn what_slack_answers_is_what_becomes_of_the_message() {
    let said = [
        (429, Some(30), json!({"ok": false, "error": "ratelimited"})),
        refusal("ratelimited"),
        refusal("not_in_channel"),
        refusal("invalid_auth"),
        refusal("missing_scope"),
        refusal("internal_error"),
        refusal("brand_new_error"),
        (503, None, json!({})),
        (400, None, json!({})),
        (200, None, json!({"welcome": "to the network"})),
        ok(json!({"channel": "C1"})),
    ];
    let answers: Vec<(&str, Answer)> = said.into_iter().map(|answer| ("chat.update", answer)).collect();
    let (slack, _script) = slack(&answers).await;
    let edit = Outgoing { edits: Some(MessageId::new("17.1")), ..outgoing("2 done") };
    let mut became = Vec::new();
    for _ in 0..answers.len() {
        // Pace is not what is looked at here.
        slack.limited.lock().expect("limited").clear();
        slack.changes.lock().expect("changes").full_at = Instant::now();
        became.push(match slack.send(&edit).await {
            Ok(name) => format!("sent {name}"),
            Err(SendError::RetryAfter(pause)) => format!("wait {} s", pause.as_secs()),
            Err(SendError::Unknown(why)) => format!("unknown, {why}"),
            Err(SendError::Refused(why)) => format!("refused, {why}"),
        });
    }
    insta::assert_snapshot!(became.join("\n"), @r##"
    wait 30 s
    wait 5 s
    refused, not_in_channel: the bot is not in the channel; invite it
    unknown, invalid_auth: the bot's token is not valid; install the app again and give it the new one
    unknown, missing_scope: the app lacks a right; compare it with `countersign slack manifest` and install it again
    unknown, internal_error: Slack has trouble of its own
    refused, brand_new_error
    unknown, HTTP 503
    refused, HTTP 400
    unknown, an answer that cannot be read
    sent 17.1
    "##);
}

#[tokio::test]
async fn a_method_of_which_slack_has_had_too_much_is_called_by_nobody() {
    let limited = (429, Some(30), json!({"ok": false, "error": "ratelimited"}));
    let answers = [("chat.postMessage", limited), ("conversations.history", ok(json!({"messages": []})))];
    let (slack, script) = slack(&answers).await;
    let pause = async |message: &Outgoing| match slack.send(message).await {
        Err(SendError::RetryAfter(pause)) => pause,
        other => panic!("{other:?}"),
    };
    let given = Instant::now();
    assert_eq!(pause(&outgoing("x")).await, Duration::from_secs(30));
    let elsewhere = Outgoing { room: "slack:T1:C2".parse().expect("an address"), ..outgoing("x") };
    let mut waits = Vec::new();
    for _ in 0..3 {
        waits.push(pause(&elsewhere).await);
    }
    assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "one after the other: {waits:?}");
    let left = Duration::from_secs(30).saturating_sub(given.elapsed());
    assert!(waits.iter().all(|wait| *wait >= left && *wait < Duration::from_secs(31)), "{waits:?} of {left:?}");
    slack.settled.lock().expect("settled").1.clear();
    assert_eq!(slack.find(&outgoing("x")).await, Ok(None), "another method is another's");
    assert_eq!(calls(&script).len(), 2);
}

#[tokio::test]
async fn a_change_is_not_waited_for() {
    let answers: Vec<(&str, Answer)> = (0..CHANGES_AT_ONCE).map(|_| ("chat.update", ok(json!({})))).collect();
    let (slack, script) = slack(&answers).await;
    let edit = Outgoing { edits: Some(MessageId::new("17.1")), ..outgoing("2 done") };
    for _ in 0..CHANGES_AT_ONCE {
        assert_eq!(slack.send(&edit).await, Ok(MessageId::new("17.1")));
    }
    match slack.send(&edit).await {
        Err(SendError::RetryAfter(pause)) => assert!(!pause.is_zero() && pause <= CHANGE_EVERY, "{pause:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(calls(&script).len(), answers.len());
}

#[tokio::test]
async fn i5_what_arrived_in_part_is_looked_for_before_it_is_sent_again() {
    let limited = (429, Some(30), json!({"ok": false, "error": "ratelimited"}));
    let answers = [("chat.postMessage", ok(json!({"ts": "17.1"}))), ("chat.postMessage", limited)];
    let (slack, _script) = slack(&answers).await;
    let long = "word ".repeat(BODY / 4);
    assert!(matches!(slack.send(&outgoing(&long)).await, Err(SendError::Unknown(_))));
}

/// The library takes what is not JSON at all for an empty answer.
#[test]
fn what_something_in_between_answers_is_no_success() {
    for answer in [json!({}), json!({"ok": false}), json!({"ok": "true"}), json!("welcome"), Value::Null] {
        assert!(matches!(slacks(answer.clone()), Err(SendError::Unknown(_))), "{answer}");
    }
    assert!(slacks(json!({"ok": true})).is_ok());
}

/// Messages, channels and people are asked for by one way: who is told to wait waits, whatever it is for.
#[tokio::test]
async fn a_limit_holds_for_everything_that_is_asked() {
    let limited = (429, Some(30), json!({"ok": false, "error": "ratelimited"}));
    let (slack, script) = slack(&[("conversations.create", limited.clone()), ("conversations.info", limited)]).await;
    for _ in 0..2 {
        let made = slack.ask("conversations.create", json!({"name": "inc-1"})).await;
        assert!(matches!(made, Err((_, SendError::RetryAfter(_)))), "{made:?}");
        let seen = slack.look_up("conversations.info", &[("channel", Some("C1".to_owned()))]).await;
        assert!(matches!(seen, Err((_, SendError::RetryAfter(_)))), "{seen:?}");
    }
    assert_eq!(calls(&script).len(), 2, "each once");
}

#[tokio::test]
async fn what_a_thread_does_not_take_is_said_in_its_channel() {
    let answers =
        [("chat.postMessage", refusal("cannot_reply_to_message")), ("chat.postMessage", ok(json!({"ts": "18.1"})))];
    let (slack, script) = slack(&answers).await;
    let reply = Outgoing { thread: Some(ThreadId::new("17.1")), ..outgoing("failed at step 2") };
    assert_eq!(slack.send(&reply).await, Ok(MessageId::new("18.1")));
    let calls = calls(&script);
    assert_eq!((&calls[0].1["thread_ts"], calls[1].1.get("thread_ts")), (&json!("17.1"), None));
}

#[tokio::test]
async fn i5_a_room_that_must_not_be_read_is_spoken_to_all_the_same() {
    let (slack, _script) = slack(&[("conversations.history", refusal("missing_scope"))]).await;
    assert!(matches!(slack.find(&outgoing("x")).await, Err(SendError::Refused(_))), "the sender goes on after this");
}

#[tokio::test]
async fn i5_a_message_that_arrived_is_found_and_its_double_removed() {
    let history =
        |messages: Value, cursor: &str| ok(json!({"messages": messages, "response_metadata": {"next_cursor": cursor}}));
    let mut forged = ours("15.1", "line:7:0", 0, 1);
    forged["user"] = json!("U9");
    forged["bot_id"] = json!("B9");
    let newest =
        json!([{"type": "message", "user": "U1", "ts": "19.1", "text": "hello"}, ours("18.1", "line:7:0", 0, 1)]);
    let older = json!([ours("17.1", "line:7:0", 0, 1), ours("16.1", "line:6:0", 0, 1), forged]);
    let answers = [
        ("conversations.history", history(newest, "next")),
        ("conversations.history", history(older, "")),
        ("chat.delete", ok(json!({}))),
    ];
    let (slack, script) = slack(&answers).await;
    assert_eq!(slack.find(&outgoing("x")).await, Ok(Some(MessageId::new("17.1"))));
    let calls = calls(&script);
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[1].1["cursor"], "next");
    assert_eq!(calls[2], ("chat.delete".to_owned(), json!({"channel": "C1", "ts": "18.1"})));
}

#[tokio::test]
async fn i5_what_is_looked_for_in_a_thread_is_looked_for_there() {
    let replies = ok(json!({"messages": [ours("17.1", "line:8:0", 0, 1)], "has_more": false}));
    let (slack, script) = slack(&[("conversations.replies", replies)]).await;
    let message = Outgoing { thread: Some(ThreadId::new("16.1")), ..outgoing("x") };
    assert_eq!(slack.find(&message).await, Ok(None));
    let calls = calls(&script);
    assert_eq!((calls[0].0.as_str(), &calls[0].1["ts"]), ("conversations.replies", &json!("16.1")));
    assert_eq!(calls[0].1["include_all_metadata"], "true");
}

#[tokio::test]
async fn whoever_may_not_look_is_told_so() {
    let (slack, _script) = slack(&[("conversations.history", refusal("channel_not_found"))]).await;
    assert!(matches!(slack.find(&outgoing("x")).await, Err(SendError::Refused(_))));
}

#[tokio::test]
async fn a_token_that_is_not_valid_is_told_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let app = Router::new()
        .route("/api/{method}", any(|| async { axum::Json(json!({"ok": false, "error": "invalid_auth"})) }));
    tokio::spawn(async move { axum::serve(listener, app).await.expect("a server") });
    let refused = Slack::connect(&format!("http://{address}/api"), "xoxb-secret".to_owned()).await;
    let error = refused.err().expect("refused").to_string();
    assert!(error.contains("invalid_auth") && !error.contains("xoxb"), "{error}");
}

#[test]
fn doubles_go_and_what_is_not_whole_is_sent_anew() {
    let written = |all: &[(&str, usize, usize)]| {
        let all = all.iter().map(|(ts, part, of)| Written { ts: (*ts).to_owned(), part: *part, of: *of }).collect();
        let Found { first, superfluous } = Found::of(all);
        format!("{} / {}", first.unwrap_or_default(), superfluous.join(" "))
    };
    assert_eq!(written(&[]), " / ");
    assert_eq!(written(&[("2", 0, 1)]), "2 / ");
    assert_eq!(written(&[("3", 0, 1), ("2", 0, 1), ("3", 0, 1)]), "2 / 3");
    assert_eq!(written(&[("2", 0, 2), ("3", 1, 2)]), "2 / ");
    assert_eq!(written(&[("4", 1, 2), ("2", 0, 2), ("3", 1, 2)]), "2 / 4");
    assert_eq!(written(&[("2", 0, 2)]), " / 2", "its second part is missing");
    assert_eq!(written(&[("2", 1, 2), ("3", 1, 2)]), " / 2 3", "its first part is missing");
}

#[test]
fn a_channel_takes_a_few_at_once_and_then_one_a_second() {
    let now = Instant::now();
    let mut bucket = Bucket { full_at: now };
    let waits: Vec<u128> = (0..6).map(|_| bucket.take(now, EVERY, AT_ONCE).duration_since(now).as_millis()).collect();
    assert_eq!(waits, [0, 0, 0, 1_000, 2_000, 3_000]);
    let later = now + Duration::from_secs(60);
    assert!(bucket.is_full(later));
    assert_eq!(bucket.take(later, EVERY, AT_ONCE), later);
}

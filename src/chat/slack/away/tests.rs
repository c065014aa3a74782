//! The reading against a Web API on this machine that answers as it is told.

use std::collections::{HashMap, VecDeque};

use axum::Router;
use axum::extract::{Path, Query, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::chat::ReceiveError;
use crate::model::chat::Said;
use crate::model::id::ThreadId;

fn at(text: &str) -> DateTime<Utc> {
    time(text).expect("a time")
}

#[test]
fn a_moment_is_written_as_it_is_read() {
    for text in ["1700000000.000000", "1700000000.000100", "1700000001.999999"] {
        assert_eq!(stamp(at(text)), text);
    }
}

#[test]
fn threads_that_were_asked_for_come_before_those_that_are_found() {
    let since = at("1700000100.000000");
    let messages = [
        json!({"ts": "1700000050.000000", "latest_reply": "1700000099.000000"}),
        json!({"ts": "1700000110.000000", "thread_ts": "1700000110.000000", "latest_reply": "1700000120.000000"}),
        json!({"ts": "1700000111.000000", "latest_reply": "1700000130.000000"}),
        json!({"ts": "1700000112.000000"}),
    ];
    assert_eq!(
        threads(&["1600000000.000000", "1700000110.000000"], &messages, since),
        ["1600000000.000000", "1700000110.000000", "1700000111.000000"]
    );
    let many: Vec<String> = (0..100).map(|number| format!("16000000{number:02}.000000")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(threads(&many, &messages, since).len(), THREADS);
}

#[test]
fn an_edit_is_as_old_as_the_edit() {
    let edited = json!({"ts": "1700000000.000000", "edited": {"user": "U1", "ts": "1700000009.000000"}});
    assert_eq!(said_at(&edited), Some(at("1700000009.000000")));
    assert_eq!(said_at(&json!({"ts": "1700000000.000000"})), Some(at("1700000000.000000")));
    assert_eq!(said_at(&json!({})), None);
}

/// What each method answers next, by method and channel or thread; the last answer stays.
#[derive(Default)]
struct Web {
    answers: Mutex<HashMap<String, VecDeque<Value>>>,
    calls: Mutex<Vec<String>>,
}

async fn called(
    Shared(web): Shared<Arc<Web>>,
    Path(method): Path<String>,
    Query(fields): Query<HashMap<String, String>>,
) -> Response {
    let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
    let which = [method.clone(), field("channel"), field("ts"), field("cursor")].join(" ");
    let which = which.split_whitespace().collect::<Vec<_>>().join(" ");
    web.calls.lock().expect("calls").push(which.clone());
    if method == "auth.test" {
        return axum::Json(json!({"ok": true, "team_id": "T1", "user_id": "U0", "bot_id": "B0"})).into_response();
    }
    let mut answers = web.answers.lock().expect("answers");
    let answers = answers.get_mut(&which).unwrap_or_else(|| panic!("nobody expects {which}"));
    let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
    let mut answer = answer.expect("an answer");
    if let Some(seconds) = answer["retry_after"].as_str() {
        let wait = [(header::RETRY_AFTER, seconds.to_owned())];
        return (StatusCode::TOO_MANY_REQUESTS, wait, axum::Json(json!({"ok": false, "error": "ratelimited"})))
            .into_response();
    }
    if answer["error"].is_null() {
        answer["ok"] = json!(true);
    } else {
        answer["ok"] = json!(false);
    }
    axum::Json(answer).into_response()
}

/// Keeps what was found and noted.
#[derive(Default)]
struct Book {
    gaps: Mutex<Vec<Gap>>,
    found: Mutex<Vec<FoundInRoom>>,
    present: Mutex<Vec<Vec<RoomAddress>>>,
}

impl Attendance for Book {
    fn gaps<'a>(&'a self, workspace: &'a str) -> BoxFuture<'a, Result<Vec<Gap>, ReceiveError>> {
        assert_eq!(workspace, "slack:T1");
        async { Ok(self.gaps.lock().expect("gaps").clone()) }.boxed()
    }

    fn caught_up<'a>(&'a self, found: FoundInRoom) -> BoxFuture<'a, Result<(), ReceiveError>> {
        self.found.lock().expect("found").push(found);
        async { Ok(()) }.boxed()
    }

    fn present<'a>(&'a self, rooms: &'a [RoomAddress], _: DateTime<Utc>) -> BoxFuture<'a, Result<(), ReceiveError>> {
        self.present.lock().expect("present").push(rooms.to_vec());
        async { Ok(()) }.boxed()
    }
}

struct Scene {
    web: Arc<Web>,
    book: Arc<Book>,
    away: Away,
    again: Option<Instant>,
    looked: Option<Instant>,
}

const SINCE: &str = "1700000000.000000";

fn room(channel: &str) -> RoomAddress {
    RoomAddress { platform: "slack".into(), workspace: "T1".into(), channel: channel.into() }
}

impl Scene {
    async fn new(channels: &[&str]) -> Self {
        let web = Arc::new(Web::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = Router::new().route("/api/{method}", any(called)).with_state(web.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.expect("a server") });
        let slack = Slack::connect(&format!("http://{address}/api"), "xoxb-1".to_owned()).await.expect("let in");
        let book = Arc::new(Book::default());
        let names: Names = Arc::new(|_| None);
        let clock = Clock::starting_at(at("1700000600.000000"));
        let away = Away::new(Arc::new(slack), book.clone(), names, clock, Ear::Socket);
        let own = Self { web, book, away, again: None, looked: None };
        let gap = |channel: &&str| Gap { room: room(channel), since: Some(at(SINCE)), threads: Vec::new() };
        *own.book.gaps.lock().expect("gaps") = channels.iter().map(gap).collect();
        for channel in channels {
            own.answers(&format!("conversations.info {channel}"), &[member(true)]);
            own.answers(&format!("conversations.history {channel}"), &[json!({"messages": []})]);
        }
        own
    }

    fn answers(&self, which: &str, answers: &[Value]) {
        self.web.answers.lock().expect("answers").insert(which.to_owned(), answers.iter().cloned().collect());
    }

    async fn round(&mut self) {
        let mut pause = SHORTEST_PAUSE;
        self.away.round(&mut self.looked, &mut self.again, &mut pause).await;
    }

    fn hears(&self) {
        self.away.slack.hearing().heard();
    }

    fn calls(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut *self.web.calls.lock().expect("calls"));
        calls.retain(|call| call != "auth.test");
        calls
    }

    /// What was found since this was asked last: the texts of each room.
    fn found(&self) -> Vec<Vec<String>> {
        let found = std::mem::take(&mut *self.book.found.lock().expect("found"));
        let text = |incoming: Incoming| match incoming.what {
            Said::Line { text, .. } => text,
            Said::Edit { text, .. } => format!("edited: {}", text.unwrap_or_default()),
            Said::Press { command, .. } => command,
        };
        found.into_iter().map(|found| found.found.into_iter().map(text).collect()).collect()
    }

    fn noted(&self) -> usize {
        self.book.present.lock().expect("present").len()
    }
}

fn member(is: bool) -> Value {
    json!({"channel": {"id": "C1", "is_member": is, "is_archived": false}})
}

fn said(ts: &str, text: &str) -> Value {
    json!({"type": "message", "user": "U1", "text": text, "ts": ts, "team": "T1"})
}

#[tokio::test]
async fn all_pages_and_threads_are_read_and_put_in_order() {
    let mut scene = Scene::new(&["C1"]).await;
    scene.book.gaps.lock().expect("gaps")[0].threads = vec![ThreadId::new("1600000000.000000")];
    let mut root = said("1700000300.000000", "third");
    root["latest_reply"] = json!("1700000500.000000");
    let mut edited = said("1700000100.000000", "fourth");
    edited["edited"] = json!({"user": "U1", "ts": "1700000400.000000"});
    let own = json!({"type": "message", "user": "U0", "bot_id": "B0", "text": "mine", "ts": "1700000301.000000"});
    let joined =
        json!({"type": "message", "subtype": "channel_join", "user": "U1", "text": "", "ts": "1700000302.000000"});
    let first = json!({"messages": [own, joined, root], "response_metadata": {"next_cursor": "more"}});
    scene.answers("conversations.history C1", &[first]);
    scene.answers(
        "conversations.history C1 more",
        &[json!({"messages": [said("1700000200.000000", "second"), edited]})],
    );
    let reply = |ts: &str, thread: &str, text: &str| {
        let mut reply = said(ts, text);
        reply["thread_ts"] = json!(thread);
        reply
    };
    let old = [said("1600000000.000000", "old"), reply("1700000150.000000", "1600000000.000000", "first")];
    scene.answers("conversations.replies C1 1600000000.000000", &[json!({"messages": old})]);
    let new = [said("1700000300.000000", "third"), reply("1700000500.000000", "1700000300.000000", "fifth")];
    scene.answers("conversations.replies C1 1700000300.000000", &[json!({"messages": new})]);
    scene.round().await;
    assert!(scene.calls().is_empty(), "nothing is read while nothing is heard");
    scene.hears();
    scene.round().await;
    assert_eq!(scene.found(), [["first", "second", "third", "edited: fourth", "fifth"]]);
    assert!(timeout(Duration::from_secs(5), scene.away.whole()).await.is_ok());
    // Once is enough, and from then on it follows.
    scene.calls();
    assert_eq!(scene.noted(), 0);
    scene.round().await;
    assert!(scene.calls().is_empty() && scene.noted() == 1);
}

#[tokio::test]
async fn what_is_too_much_is_said_to_be_missing() {
    let mut scene = Scene::new(&["C1"]).await;
    let page = |ts: &str| json!({"messages": [said(ts, "x")], "response_metadata": {"next_cursor": "more"}});
    scene.answers("conversations.history C1", &[page("1700000300.000000")]);
    scene.answers("conversations.history C1 more", &[page("1700000200.000000")]);
    scene.hears();
    scene.round().await;
    assert_eq!(scene.calls().len(), 1 + PAGES);
    assert_eq!(scene.book.found.lock().expect("found")[0].unread_until, Some(at("1700000200.000000")));
}

#[tokio::test]
async fn a_limit_is_waited_for_and_what_was_read_is_not_read_again() {
    let mut scene = Scene::new(&["C1", "C2"]).await;
    scene.answers("conversations.history C2", &[json!({"retry_after": "7"}), json!({"messages": []})]);
    scene.hears();
    scene.round().await;
    let wait = scene.again.expect("it tries again") - Instant::now();
    assert!(wait > Duration::from_secs(5) && wait <= Duration::from_secs(7), "{wait:?}");
    assert!(scene.away.whole().now_or_never().is_none(), "one is missing");
    scene.calls();
    scene.round().await;
    assert!(scene.calls().is_empty(), "not before");
    scene.again = Some(Instant::now());
    scene.away.slack.forget_limits();
    scene.round().await;
    assert_eq!(scene.calls(), ["conversations.info C2", "conversations.history C2"]);
    assert!(scene.away.whole().now_or_never().is_some() && scene.again.is_none());
    // Only what is whole was noted as heard.
    let noted: Vec<usize> = scene.book.present.lock().expect("present").iter().map(Vec::len).collect();
    assert_eq!(noted, [1, 1]);
}

#[tokio::test]
async fn a_room_that_is_closed_does_not_keep_the_others_waiting() {
    let mut scene = Scene::new(&["C1", "C2", "C3", "C4"]).await;
    scene.answers("conversations.info C1", &[member(false)]);
    scene.answers("conversations.info C2", &[json!({"error": "channel_not_found"})]);
    scene.answers("conversations.info C3", &[json!({"channel": {"is_member": true, "is_archived": true}})]);
    scene.hears();
    scene.round().await;
    assert_eq!(scene.found().len(), 2, "one that is archived can be read");
    assert_eq!(scene.away.slack.hearing().closed_rooms(), 3);
    assert!(scene.away.whole().now_or_never().is_some());
    // Invited again.
    scene.answers("conversations.info C1", &[member(true)]);
    scene.away.look_again(&room("C1"));
    scene.round().await;
    assert_eq!(scene.away.slack.hearing().closed_rooms(), 2);
}

#[tokio::test]
async fn what_was_lost_or_is_suspected_is_read_again_and_not_noted_as_heard() {
    let mut scene = Scene::new(&["C1"]).await;
    scene.hears();
    scene.round().await;
    scene.round().await;
    assert_eq!((scene.found().len(), scene.noted()), (1, 1));
    // A socket ended, and another opened.
    scene.away.slack.hearing().lost();
    scene.away.lost();
    scene.hears();
    assert!(scene.away.whole().now_or_never().is_none());
    scene.round().await;
    assert_eq!((scene.found().len(), scene.noted()), (1, 1));
    // Something could not be kept: Slack has a while to deliver it again.
    scene.away.suspect();
    scene.round().await;
    assert_eq!((scene.found().len(), scene.noted()), (0, 2));
    scene.away.state().suspects = Some(Instant::now());
    scene.round().await;
    assert_eq!(scene.found().len(), 1);
}

#[tokio::test]
async fn a_room_that_is_new_reads_nothing_old() {
    let mut scene = Scene::new(&["C1"]).await;
    scene.book.gaps.lock().expect("gaps")[0].since = None;
    scene.hears();
    scene.round().await;
    assert_eq!(scene.calls(), ["conversations.info C1"]);
    assert_eq!(scene.found(), [Vec::<String>::new()]);
}

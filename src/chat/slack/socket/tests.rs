//! The listener against a socket on this machine that says what it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::any;
use chrono::DateTime;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_async;

use super::super::api::Slack;
use super::super::hand_over::Names;
use super::super::inbound::Note;
use super::*;
use crate::chat::{Delivery, Inbound, NewsReceived, ReceiveError, Received};
use crate::model::chat::{Incoming, RoomNews, Said, WhyWords};
use crate::model::id::InboxId;
use crate::store::Clock;

/// Keeps what it receives, unless it is told to fail.
#[derive(Default)]
struct Memory {
    kept: Mutex<Vec<Incoming>>,
    fails: Mutex<VecDeque<()>>,
}

impl Inbound for Memory {
    fn receive(&self, incoming: Incoming) -> BoxFuture<'_, Result<Received, ReceiveError>> {
        async move {
            if self.fails.lock().expect("fails").pop_front().is_some() {
                return Err(ReceiveError(anyhow::anyhow!("the database is away")));
            }
            let mut kept = self.kept.lock().expect("kept");
            kept.push(incoming);
            let line = InboxId(i64::try_from(kept.len()).expect("few"));
            Ok(Received { line, delivery: Delivery::First })
        }
        .boxed()
    }

    fn news(&self, _: RoomNews) -> BoxFuture<'_, Result<NewsReceived, ReceiveError>> {
        async { Ok(NewsReceived::Undeclared) }.boxed()
    }
}

type Calls = Arc<Mutex<Vec<String>>>;

/// Slack: a Web API, and sockets that a test takes one by one.
struct Fake {
    sockets: mpsc::Receiver<WebSocketStream<TcpStream>>,
    calls: Calls,
    memory: Arc<Memory>,
    stop: watch::Sender<bool>,
    listener: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
struct Web {
    calls: Calls,
    place: String,
    window: &'static str,
}

async fn called(State(web): State<Web>, Path(method): Path<String>) -> axum::Json<Value> {
    web.calls.lock().expect("calls").push(method.clone());
    axum::Json(match method.as_str() {
        "auth.test" => json!({"ok": true, "team_id": "T1", "user_id": "U0", "bot_id": "B0"}),
        "apps.connections.open" => json!({"ok": true, "url": web.place}),
        "views.open" if web.window == "opens" => json!({"ok": true, "view": {"id": "V1"}}),
        _ => json!({"ok": false, "error": web.window}),
    })
}

async fn fake(window: &'static str, deaf_after: Duration) -> Fake {
    let place = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (taken, sockets) = mpsc::channel(8);
    let url = format!("ws://{}/link", place.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = place.accept().await {
            let socket = accept_async(stream).await.expect("a socket");
            if taken.send(socket).await.is_err() {
                return;
            }
        }
    });
    let calls = Calls::default();
    let web = Web { calls: calls.clone(), place: url, window };
    let api = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = api.local_addr().expect("an address");
    let app = Router::new().route("/api/{method}", any(called)).with_state(web);
    tokio::spawn(async move { axum::serve(api, app).await.expect("a server") });
    let slack = Slack::connect(&format!("http://{address}/api"), "xoxb-1".to_owned()).await.expect("let in");
    let memory = Arc::new(Memory::default());
    let clock = Clock::starting_at(DateTime::from_timestamp(1_700_000_010, 0).expect("a time"));
    let words = WhyWords { title: "Deny".into(), question: "Why?".into(), send: "deny".into(), cancel: "back".into() };
    let patience = Patience {
        shortest_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        asks_every: deaf_after / 3,
        deaf_after,
        ..Patience::default()
    };
    let (stop, stops) = watch::channel(false);
    let names: Names = Arc::new(|account| (account.to_string() == "slack:T1:U2").then(|| "boss".to_owned()));
    let door = Door { slack: Arc::new(slack), inbound: memory.clone(), names, clock, words, away: None };
    let listener = Listener::new(door, "xapp-1".to_owned(), patience);
    let listener = tokio::spawn(listener.run(stops));
    Fake { sockets, calls, memory, stop, listener }
}

const PATIENT: Duration = Duration::from_secs(30);

impl Fake {
    async fn socket(&mut self) -> WebSocketStream<TcpStream> {
        timeout(PATIENT, self.sockets.recv()).await.expect("in time").expect("a socket")
    }

    fn kept(&self) -> Vec<String> {
        let kept = self.memory.kept.lock().expect("kept");
        kept.iter()
            .map(|incoming| match &incoming.what {
                Said::Line { text, .. } => text.clone(),
                Said::Press { command, .. } => command.clone(),
                Said::Edit { .. } => "an edit".to_owned(),
            })
            .collect()
    }

    async fn end(self) {
        self.stop.send(true).expect("it listens");
        timeout(PATIENT, self.listener).await.expect("in time").expect("it ends");
    }
}

async fn say(socket: &mut WebSocketStream<TcpStream>, frame: Value) {
    socket.send(Message::Text(frame.to_string().into())).await.expect("sent");
}

fn envelope(id: &str, sample: &str) -> Value {
    let path = format!("{}/src/chat/slack/inbound/samples/{sample}.json", env!("CARGO_MANIFEST_DIR"));
    let payload: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("a sample")).expect("JSON");
    let kind = match payload["type"].as_str() {
        Some("event_callback") => "events_api",
        Some(_) => "interactive",
        None => "slash_commands",
    };
    json!({"envelope_id": id, "type": kind, "accepts_response_payload": false, "payload": payload})
}

/// The next receipt.
async fn receipt(socket: &mut WebSocketStream<TcpStream>) -> String {
    loop {
        let message = timeout(PATIENT, socket.next()).await.expect("in time").expect("open").expect("a message");
        if let Message::Text(text) = message {
            let receipt: Value = serde_json::from_str(&text).expect("JSON");
            return receipt["envelope_id"].as_str().expect("an id").to_owned();
        }
    }
}

#[tokio::test]
async fn i6_what_is_durable_is_acknowledged_and_nothing_else() {
    let mut slack = fake("opens", PATIENT).await;
    slack.memory.fails.lock().expect("fails").push_back(());
    let mut socket = slack.socket().await;
    say(&mut socket, json!({"type": "hello", "num_connections": 1})).await;
    say(&mut socket, envelope("e1", "message")).await;
    say(&mut socket, envelope("e2", "message_mention")).await;
    assert_eq!(receipt(&mut socket).await, "e2", "e1 could not be kept");
    say(&mut socket, envelope("e3", "message")).await;
    assert_eq!(receipt(&mut socket).await, "e3", "delivered again");
    assert_eq!(slack.kept(), ["@countersign ask @boss in #ops about <service> web.io", "start service b"]);
    slack.end().await;
}

#[tokio::test]
async fn what_is_not_understood_is_acknowledged_once_and_does_not_stop_the_rest() {
    let mut slack = fake("opens", PATIENT).await;
    let mut socket = slack.socket().await;
    socket.send(Message::Text("not JSON".into())).await.expect("sent");
    say(&mut socket, json!({"type": "hologram"})).await;
    say(&mut socket, json!({"type": "hologram", "envelope_id": "e1", "payload": {}})).await;
    say(&mut socket, json!({"type": "events_api", "envelope_id": "e2", "payload": {"authorizations": 7}})).await;
    say(&mut socket, envelope("e3", "message_org_wide")).await;
    say(&mut socket, envelope("e4", "slash")).await;
    let mut receipts = Vec::new();
    for _ in 0..4 {
        receipts.push(receipt(&mut socket).await);
    }
    assert_eq!(receipts, ["e1", "e2", "e3", "e4"]);
    assert_eq!(slack.kept(), ["start service b", "start service b for @boss"]);
    slack.end().await;
}

#[tokio::test]
async fn a_socket_that_breaks_or_is_to_be_opened_anew_is_opened_again() {
    let mut slack = fake("opens", PATIENT).await;
    let mut first = slack.socket().await;
    say(&mut first, envelope("e1", "message")).await;
    assert_eq!(receipt(&mut first).await, "e1");
    say(&mut first, json!({"type": "disconnect", "reason": "refresh_requested"})).await;
    let second = slack.socket().await;
    // Without a word.
    drop(second);
    let mut third = slack.socket().await;
    say(&mut third, envelope("e2", "message_direct")).await;
    assert_eq!(receipt(&mut third).await, "e2");
    assert_eq!(slack.kept(), ["start service b", "help"]);
    slack.end().await;
}

#[tokio::test]
async fn a_socket_from_which_nothing_comes_is_noticed() {
    let mut slack = fake("opens", Duration::from_millis(60)).await;
    // It is held open, and nobody reads it: pings are not answered.
    let silent = slack.socket().await;
    let _next = slack.socket().await;
    drop(silent);
    slack.end().await;
}

#[tokio::test]
async fn a_denial_is_asked_for_its_reason_and_counts_without_one_if_it_cannot_be() {
    for (window, kept) in [("opens", &[][..]), ("exchanged_trigger_id", &[]), ("invalid_arguments", &["deny 7K3F"])] {
        let mut slack = fake(window, PATIENT).await;
        let mut socket = slack.socket().await;
        say(&mut socket, envelope("e1", "press_deny")).await;
        assert_eq!(receipt(&mut socket).await, "e1");
        assert_eq!(slack.kept(), kept, "{window}");
        assert!(slack.calls.lock().expect("calls").iter().any(|method| method == "views.open"));
        say(&mut socket, envelope("e2", "view_submission")).await;
        assert_eq!(receipt(&mut socket).await, "e2");
        assert_eq!(slack.kept().last().map(String::as_str), Some("deny 7K3F because not tonight ask me tomorrow"));
        slack.end().await;
    }
}

#[test]
fn everything_that_may_be_noted_is_counted() {
    let notes = [
        Note::Own,
        Note::OtherWorkspace,
        Note::OrgWide,
        Note::NoWords,
        Note::Unknown(String::new()),
        Note::Unreadable(String::new()),
    ];
    for note in notes {
        assert!(metrics::SLACK.contains(&note.name()), "{}", note.name());
    }
}

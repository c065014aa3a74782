//! The scene against a Slack that we did not write: the real program speaks to an emulator of Slack's Web API, which keeps
//! what it is told, checks scopes and channels in its own way, and gives it back. It opens no sockets and presses no
//! buttons, so what people say is brought to the program as signed requests.
//!
//! `script/slack-counterpart` starts the emulator, runs this, and lets a second program of others, an official library's
//! validator, look at every block that was sent.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use countersign::chat::slack::signed::signature;
use reqwest::Client;
use serde_json::{Value, json};
use support::bot::{Bot, free_port, plain};
use support::until;
use support::world::Catalog;

/// Names the emulator: `http://127.0.0.1:3977`.
const WHERE: &str = "COUNTERSIGN_COUNTERPART";
/// Where what the program wrote is left for the validator.
const KEPT: &str = "COUNTERSIGN_COUNTERPART_KEPT";
const SECRET: &str = "a-secret-for-signing";

struct Emulator {
    url: String,
    http: Client,
}

impl Emulator {
    async fn call(&self, token: &str, method: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}/api/{method}", self.url)).bearer_auth(token).json(&body);
        let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["ok"], true, "{method}: {answer}");
        answer
    }

    async fn whoami(&self, token: &str) -> (String, String) {
        let answer = self.call(token, "auth.test", json!({})).await;
        let text = |name: &str| answer[name].as_str().expect("an id").to_owned();
        (text("team_id"), text("user_id"))
    }

    async fn channel(&self, name: &str) -> String {
        let answer = self.call("xoxb-counterpart", "conversations.list", json!({})).await;
        let channels = answer["channels"].as_array().expect("channels");
        let found = channels.iter().find(|channel| channel["name"] == name).expect("the channel");
        found["id"].as_str().expect("an id").to_owned()
    }

    async fn messages(&self, method: &str, of: Value) -> Vec<Value> {
        let answer = self.call("xoxb-counterpart", method, of).await;
        answer["messages"].as_array().expect("messages").clone()
    }
}

/// Stands before the emulator and asks by POST what the program asks by GET: Slack takes both, the emulator one of them.
async fn front(emulator: String, http: Client) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let forward = async move |request: Request<Body>| {
        let (parts, body) = request.into_parts();
        let mut url: reqwest::Url = format!("{emulator}{}", parts.uri).parse().expect("an address");
        let asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        url.set_query(None);
        let mut sent = http.post(url).header("content-type", "application/json");
        if let Some(token) = parts.headers.get("authorization") {
            sent = sent.header("authorization", token);
        }
        let sent = match parts.method {
            Method::GET => sent.body(serde_json::to_vec(&asked).expect("JSON")),
            _ => sent.body(axum::body::to_bytes(body, 1 << 20).await.expect("a body")),
        };
        let answer = sent.send().await.expect("an answer");
        let status = answer.status();
        (status, [("content-type", "application/json")], answer.bytes().await.expect("a body"))
    };
    let app = axum::Router::new().fallback(forward);
    tokio::spawn(async move { axum::serve(listener, app).await.expect("a server") });
    format!("http://{address}")
}

/// Somebody says something: first to the emulator, which names it, then to the program, as Slack would.
struct Speaker<'a> {
    emulator: &'a Emulator,
    token: &'static str,
    team: String,
    user: String,
    port: u16,
}

impl Speaker<'_> {
    async fn say(&self, bot: &Bot, channel: &str, thread: Option<&str>, text: &str) -> String {
        let mut line = json!({"channel": channel, "text": text});
        if let Some(thread) = thread {
            line["thread_ts"] = json!(thread);
        }
        let posted = self.emulator.call(self.token, "chat.postMessage", line).await;
        let ts = posted["ts"].as_str().expect("a name").to_owned();
        let mut event = json!({"type": "message", "channel": channel, "user": self.user, "text": text, "ts": ts,
            "event_ts": ts, "channel_type": "channel", "team": self.team});
        if let Some(thread) = thread {
            event["thread_ts"] = json!(thread);
        }
        let now = bot.db().store.clock().now().timestamp();
        let body = json!({"type": "event_callback", "team_id": self.team, "event_id": format!("Ev{ts}"),
            "event_time": now, "event": event,
            "authorizations": [{"team_id": self.team, "is_bot": true}]})
        .to_string();
        let at = now.to_string();
        let request = self.emulator.http.post(format!("http://127.0.0.1:{}/slack/events", self.port));
        let answer = request
            .header("content-type", "application/json")
            .header("x-slack-request-timestamp", &at)
            .header("x-slack-signature", signature(SECRET, &at, body.as_bytes()))
            .body(body)
            .send()
            .await;
        assert_eq!(answer.expect("an answer").status(), 200);
        ts
    }
}

#[tokio::test]
#[ignore = "wants an emulator of others beside it: script/slack-counterpart"]
async fn the_scene_before_a_slack_that_others_wrote() {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let url = std::env::var(WHERE).unwrap_or_else(|_| panic!("{WHERE} is not set: run script/slack-counterpart"));
    let emulator = Emulator { url, http: Client::new() };
    let (team, _) = emulator.whoami("xoxb-counterpart").await;
    let room = emulator.channel("system-a").await;
    let claimed = free_port();
    let port = claimed.number;
    let speaker = async |token: &'static str| {
        let (team, user) = emulator.whoami(token).await;
        Speaker { emulator: &emulator, token, team, user, port }
    };
    let (mei, boss) = (speaker("xoxp-mei").await, speaker("xoxp-boss").await);

    let secrets = tempfile::tempdir().expect("a directory");
    let keep = |name: &str, secret: &str| {
        let path = secrets.path().join(name);
        std::fs::write(&path, secret).expect("a file");
        path.display().to_string()
    };
    let settings = format!(
        "slack:\n  - workspace: {team}\n    api: {}/api\n    bot_token: {{file: {}}}\n    listen: 127.0.0.1:{port}\n    \
         signing_secret: {{file: {}}}\n",
        front(emulator.url.clone(), emulator.http.clone()).await,
        keep("bot", "xoxb-counterpart"),
        keep("signing", SECRET)
    );
    let catalog = Catalog::unwatched()
        .edited("people.yaml", "local:trial:mei", &format!("slack:{team}:{}", mei.user))
        .edited("people.yaml", "local:trial:boss", &format!("slack:{team}:{}", boss.user))
        .edited("rooms.yaml", "local:trial:system-a", &format!("slack:{team}:{room}"));
    let bot = Bot::start_with(catalog, &settings).await;

    let line = mei.say(&bot, &room, None, "start service b").await;
    let asked = until("the request is in the channel", async || {
        let messages = emulator.messages("conversations.history", json!({"channel": room})).await;
        messages.into_iter().find(|message| message["text"].as_str().is_some_and(|text| text.contains("mei asks")))
    })
    .await;
    assert_ne!(asked["ts"], line.as_str());
    assert!(asked["blocks"].as_array().is_some_and(|blocks| blocks.len() >= 2), "{asked}");
    let root = asked["ts"].as_str().expect("a name").to_owned();
    until("it counts as posted", async || {
        let posted = bot.db().number("select count(*) from request where posted_at is not null").await;
        (posted == 1).then_some(())
    })
    .await;
    boss.say(&bot, &room, Some(&root), "approved").await;
    let thread = until("the outcome is in the thread", async || {
        let replies = emulator.messages("conversations.replies", json!({"channel": room, "ts": root})).await;
        replies
            .iter()
            .any(|reply| reply["text"].as_str().is_some_and(|text| text.contains("is done")))
            .then_some(replies)
    })
    .await;
    let own = thread.iter().filter(|message| message["blocks"].is_array());
    let texts: Vec<String> = own.map(|message| plain(message["text"].as_str().unwrap_or_default())).collect();
    assert_eq!(texts.len(), 3, "request, progress, outcome: {texts:#?}");
    assert!(texts[2].contains("mei: start service-b is done."), "{texts:#?}");

    // Everything that the program said, for the validator.
    if let Ok(path) = std::env::var(KEPT) {
        let history = emulator.messages("conversations.history", json!({"channel": room})).await;
        let said: Vec<&Value> = history.iter().chain(&thread).filter(|message| message["blocks"].is_array()).collect();
        std::fs::write(path, serde_json::to_string(&said).expect("JSON")).expect("a file");
    }
    tokio::time::timeout(Duration::from_secs(120), bot.end()).await.expect("it ends");
}

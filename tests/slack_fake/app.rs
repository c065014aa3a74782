//! The smallest app: it calls methods with plain requests and speaks on a plain socket.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::slack::{APP_TOKEN, BOT_TOKEN, Kind, Room, Slack, client};

/// A workspace with `incidents`, where mei, ana and the bot are.
pub(crate) async fn workspace() -> (Slack, String) {
    let slack = Slack::start().await;
    slack.people(&["mei", "ana", "bo"]);
    slack.user("gus", Kind::Guest);
    let incidents = slack.channel("incidents", Room::Public, &["mei", "ana", "gus", "countersign"]);
    (slack, incidents)
}

/// Calls a method with JSON.
pub(crate) async fn call(slack: &Slack, method: &str, arguments: Value) -> Value {
    sent(slack, method, arguments, BOT_TOKEN).await.expect("an answer").json().await.expect("JSON")
}

/// The same with a token, and what came of it.
pub(crate) async fn sent(
    slack: &Slack,
    method: &str,
    arguments: Value,
    token: &str,
) -> reqwest::Result<reqwest::Response> {
    let url = format!("{}/{method}", slack.api());
    client().post(url).bearer_auth(token).json(&arguments).send().await
}

/// Calls a method with a query.
pub(crate) async fn get(slack: &Slack, method: &str, query: &[(&str, &str)]) -> Value {
    let url = format!("{}/{method}", slack.api());
    let answer = client().get(url).bearer_auth(BOT_TOKEN).query(query).send().await;
    answer.expect("an answer").json().await.expect("JSON")
}

/// Calls a method with a form.
pub(crate) async fn form(slack: &Slack, method: &str, fields: &[(&str, &str)]) -> Value {
    let url = format!("{}/{method}", slack.api());
    client().post(url).form(fields).send().await.expect("an answer").json().await.expect("JSON")
}

/// Posts to a URL of the workspace's.
pub(crate) async fn post(url: &str, body: Value) -> u16 {
    client().post(url).json(&body).send().await.expect("an answer").status().as_u16()
}

/// Posts bytes.
pub(crate) async fn post_bytes(url: &str, body: &'static [u8]) -> u16 {
    client().post(url).body(body).send().await.expect("an answer").status().as_u16()
}

/// A socket.
pub(crate) struct Line(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// Opens one, and reads the greeting.
pub(crate) async fn connect(slack: &Slack) -> Line {
    let url = opened(slack).await;
    let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("a socket");
    let mut line = Line(socket);
    let hello = line.frame().await.expect("a greeting");
    assert_eq!(hello["type"], "hello");
    line
}

/// Where a socket may be opened.
pub(crate) async fn opened(slack: &Slack) -> String {
    let answer = sent(slack, "apps.connections.open", json!({}), APP_TOKEN).await.expect("an answer");
    let answer: Value = answer.json().await.expect("JSON");
    answer["url"].as_str().expect("a URL").to_owned()
}

impl Line {
    /// The next frame that is no ping; nothing when the socket ended.
    pub(crate) async fn frame(&mut self) -> Option<Value> {
        loop {
            let next = tokio::time::timeout(super::slack::deliver::SOON, self.0.next()).await.expect("a frame in time");
            match next {
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(text.as_str()).expect("JSON")),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Waits for a ping.
    pub(crate) async fn ping(&mut self) {
        while let Some(Ok(message)) = self.0.next().await {
            if message.is_ping() {
                return;
            }
        }
        panic!("the socket ended");
    }

    /// Says that an envelope was taken, perhaps with an answer.
    pub(crate) async fn ack(&mut self, frame: &Value, answer: Option<Value>) {
        let mut ack = json!({"envelope_id": frame["envelope_id"]});
        if let Some(answer) = answer {
            ack["payload"] = answer;
        }
        self.say(ack).await;
    }

    /// Says anything.
    pub(crate) async fn say(&mut self, said: Value) {
        self.0.send(Message::text(said.to_string())).await.expect("an open socket");
    }

    /// The next frame, acked.
    pub(crate) async fn taken(&mut self) -> Value {
        let frame = self.frame().await.expect("a payload");
        self.ack(&frame, None).await;
        frame
    }
}

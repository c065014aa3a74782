//! Listening to Slack through a socket that the bot opens (Socket Mode).
//!
//! What lives here: opening, noticing that it is deaf, opening again; handing over what came in and acknowledging it.
//! What does not: what it means (`inbound`), and what is done about it. It is not the library's listener: that decodes
//! what it hears first, and what it cannot decode is lost in it.
//!
//! Keeps I6 on Slack's side: a delivery is acknowledged only after everything in it is durable. What could not be kept
//! is not acknowledged, so that Slack delivers it again. Deliveries are dealt with one after the other, as they came; those
//! of a socket that has just opened wait a moment for what was said before it opened (`away`).

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use slack_morphism::{SlackApiToken, SlackApiTokenValue};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::away::HOLDS;
use super::hand_over::{Delivered, Door, Kept};
use crate::metrics;

/// How patient a listener is.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long opening may take.
    pub opens_within: Duration,
    /// How often it asks whether the other end is there.
    pub asks_every: Duration,
    /// After how long without a sign of it a socket counts as dead. Slack's own signs come every few seconds.
    pub deaf_after: Duration,
    /// The pause after the first failure; it doubles with each that follows.
    pub shortest_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            opens_within: Duration::from_secs(10),
            asks_every: Duration::from_secs(5),
            deaf_after: Duration::from_secs(15),
            shortest_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// What listens to one workspace.
pub struct Listener {
    door: Door,
    app: SlackApiToken,
    patience: Patience,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Why a socket ended.
#[derive(Debug)]
enum Ended {
    /// The program ends.
    Stopped,
    /// Slack wants it opened anew, or has closed it.
    Anew,
    /// It broke, or went silent, or was never open.
    Broken(String),
}

/// One frame. The payload stays as it is.
#[derive(Debug, Deserialize)]
struct Frame {
    #[serde(rename = "type")]
    kind: String,
    envelope_id: Option<String>,
    #[serde(default)]
    payload: Value,
    retry_attempt: Option<u32>,
    reason: Option<String>,
}

impl Listener {
    /// Something that listens as the app whose token it is (`xapp-…`), and hands over through a door.
    pub fn new(door: Door, app_token: String, patience: Patience) -> Self {
        Self { door, app: SlackApiToken::new(SlackApiTokenValue(app_token)), patience }
    }

    /// Listens until told to stop. What breaks is logged and opened again: it never ends by itself.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failures = 0;
        while !*stop.borrow() {
            let began = Instant::now();
            let ended = self.listen(&mut stop).await;
            self.door.slack.hearing().lost();
            if let Some(away) = &self.door.away {
                away.lost();
            }
            let pause = match ended {
                Ended::Stopped => return,
                Ended::Anew => Duration::ZERO,
                Ended::Broken(why) => {
                    let pause = self.pause_after(failures);
                    tracing::warn!(why, ?pause, "the socket to Slack broke; opening it again");
                    pause
                }
            };
            // One that lived for a while was no failure to open. One that Slack closes at once is one more.
            failures = if began.elapsed() > self.patience.deaf_after { 0 } else { failures + 1 };
            let pause = if failures > 1 { pause.max(self.pause_after(failures - 2)) } else { pause };
            tokio::select! {
                () = sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Doubles with every failure, and is off by up to a quarter so that replicas do not come all at once.
    fn pause_after(&self, failures: u32) -> Duration {
        let whole = (self.patience.shortest_pause * (1 << failures.min(6))).min(self.patience.longest_pause);
        let mut chance = [0; 1];
        // Without chance it is the whole pause, which is right as well.
        let off = getrandom::fill(&mut chance).map_or(0, |()| u32::from(chance[0]));
        whole - whole * off / (4 * 256)
    }

    async fn listen(&self, stop: &mut watch::Receiver<bool>) -> Ended {
        let opening = timeout(self.patience.opens_within, self.open());
        let socket = tokio::select! {
            _ = stop.changed() => return Ended::Stopped,
            opened = opening => match opened {
                Ok(Ok(socket)) => socket,
                Ok(Err(why)) => return Ended::Broken(why),
                Err(_) => return Ended::Broken("it did not open in time".to_owned()),
            },
        };
        self.serve(socket, stop).await
    }

    async fn open(&self) -> Result<Socket, String> {
        let place = self.door.slack.open_socket(&self.app).await.map_err(|error| error.to_string())?;
        // The place holds a ticket: it is not to be logged.
        let (socket, _) = connect_async(place).await.map_err(|error| plain(&error))?;
        Ok(socket)
    }

    /// Waits until what was missed has been read, or for as long as that may take.
    async fn whole(&self) {
        if let Some(away) = &self.door.away {
            drop(timeout(HOLDS, away.whole()).await);
        }
    }

    /// Hands over what is in a frame, and acknowledges it.
    async fn take(&self, socket: &mut Socket, frame: Frame) -> Result<(), Ended> {
        let Some(envelope) = frame.envelope_id else {
            metrics::slack("unknown");
            tracing::warn!(kind = frame.kind, "a frame of Slack's has no envelope");
            return Ok(());
        };
        let again = frame.retry_attempt.unwrap_or(0) > 0;
        let delivered = Delivered { kind: &frame.kind, payload: &frame.payload, again };
        if self.door.take(delivered).await == Kept::No {
            return Ok(());
        }
        let receipt = json!({"envelope_id": envelope}).to_string();
        // If it fails, it is delivered again and does nothing then.
        socket.send(Message::Text(receipt.into())).await.map_err(|error| Ended::Broken(plain(&error)))
    }

    async fn serve(&self, mut socket: Socket, stop: &mut watch::Receiver<bool>) -> Ended {
        let mut heard = Instant::now();
        let mut ask_at = heard + self.patience.asks_every;
        let mut held: VecDeque<Frame> = VecDeque::new();
        let whole = self.whole();
        tokio::pin!(whole);
        let mut waits = false;
        loop {
            let message = tokio::select! {
                _ = stop.changed() => {
                    // Whether it hears that is its own affair.
                    drop(timeout(self.patience.asks_every, socket.close(None)).await);
                    return Ended::Stopped;
                }
                () = sleep_until(ask_at.min(heard + self.patience.deaf_after)) => {
                    let now = Instant::now();
                    if now >= heard + self.patience.deaf_after {
                        return Ended::Broken(format!("nothing was heard for {:?}", self.patience.deaf_after));
                    }
                    ask_at = now + self.patience.asks_every;
                    match timeout(self.patience.asks_every, socket.send(Message::Ping(Vec::new().into()))).await {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => return Ended::Broken(plain(&error)),
                        Err(_) => return Ended::Broken("nothing can be sent".to_owned()),
                    }
                }
                () = &mut whole, if waits => {
                    waits = false;
                    while let Some(frame) = held.pop_front() {
                        if let Err(ended) = self.take(&mut socket, frame).await {
                            return ended;
                        }
                    }
                    heard = Instant::now();
                    continue;
                }
                message = socket.next() => message,
            };
            heard = Instant::now();
            self.door.slack.hearing().heard();
            let text = match message {
                None | Some(Ok(Message::Close(_))) => return Ended::Anew,
                Some(Err(error)) => return Ended::Broken(plain(&error)),
                Some(Ok(Message::Text(text))) => text,
                // Pings are answered by the library.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_))) => continue,
            };
            let frame: Frame = match serde_json::from_str(&text) {
                Ok(frame) => frame,
                Err(error) => {
                    metrics::slack("unreadable");
                    tracing::warn!(%error, bytes = text.len(), "a frame of Slack's cannot be read");
                    continue;
                }
            };
            match frame.kind.as_str() {
                "hello" => {
                    tracing::info!("Slack is heard");
                    if let Some(away) = &self.door.away {
                        away.heard();
                        waits = true;
                    }
                }
                "disconnect" => {
                    tracing::info!(reason = frame.reason, "Slack wants the socket opened anew");
                    return Ended::Anew;
                }
                // What is too much to hold is not acknowledged, and delivered again.
                _ if waits && held.len() < MOST_HELD => held.push_back(frame),
                _ if waits => {}
                _ => {
                    if let Err(ended) = self.take(&mut socket, frame).await {
                        return ended;
                    }
                }
            }
            // Whatever took its time here was not silence of Slack's.
            heard = Instant::now();
        }
    }
}

/// The most deliveries that wait for what was said before.
const MOST_HELD: usize = 500;

/// An error of the socket's, without the place that was opened.
fn plain(error: &tungstenite::Error) -> String {
    match error {
        tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => {
            "the place to listen at cannot be read".to_owned()
        }
        tungstenite::Error::Http(answer) => format!("it was answered with HTTP {}", answer.status().as_u16()),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;

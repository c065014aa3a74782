//! Readers of a bot over HTTP: one with the token, as programs have it, and one with a session, as browsers have it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use reqwest::header::{CONTENT_TYPE, COOKIE, SET_COOKIE};
use reqwest::{Client, Response, redirect};
use tokio::sync::mpsc;

use super::bot::{Bot, ROOM, SPEAKER};
use crate::web::Token;
use crate::web::wire::{EventsTold, Told};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something new.
pub(super) enum Heard {
    /// An event of the ledger.
    Event {
        kind: String,
        what: serde_json::Value,
        /// When it happened, by the bot's clock carried over to ours.
        happened: Instant,
        heard: Instant,
    },
    /// A message in the room, as it reads now.
    Message { text: String, heard: Instant },
}

fn client() -> anyhow::Result<Client> {
    Ok(Client::builder().redirect(redirect::Policy::none()).no_proxy().build()?)
}

/// A reader with the token.
#[derive(Clone)]
pub(super) struct Api {
    address: SocketAddr,
    token: Token,
}

impl Api {
    pub(super) fn of(bot: &Bot) -> Self {
        Self { address: bot.address(), token: bot.token().clone() }
    }

    async fn get(&self, client: &Client, path: &str) -> anyhow::Result<Response> {
        let request = client.get(format!("http://{}{path}", self.address)).bearer_auth(self.token.expose());
        Ok(request.send().await?.error_for_status()?)
    }

    /// Tells every event of the ledger from now on, until the bot ends or nobody listens.
    pub(super) async fn follow_events(self, tell: mpsc::UnboundedSender<Heard>) {
        let follow = async {
            let client = client()?;
            let mut after = 0;
            loop {
                let path = format!("/api/v1/events?after={after}&wait_ms=30000");
                let told: EventsTold = self.get(&client, &path).await?.json().await?;
                let heard = Instant::now();
                after = told.up_to.0;
                for event in told.events {
                    let ago = (told.now - event.at).to_std().unwrap_or_default();
                    let happened = heard.checked_sub(ago).unwrap_or(heard);
                    let what = event.what.unwrap_or_default();
                    tell.send(Heard::Event { kind: event.kind, what, happened, heard })?;
                }
            }
        };
        let ended: anyhow::Result<()> = follow.await;
        tracing::debug!(?ended, "nobody follows the ledger any more");
    }

    /// Tells every message of the room from now on, until the bot ends or nobody listens.
    pub(super) async fn follow_room(self, tell: mpsc::UnboundedSender<Heard>) {
        let follow = async {
            let client = client()?;
            let mut stream = self.get(&client, &format!("/api/v1/rooms/{ROOM}/stream?as={SPEAKER}")).await?;
            let mut buffer = Vec::new();
            while let Some(chunk) = stream.chunk().await? {
                let heard = Instant::now();
                buffer.extend_from_slice(&chunk);
                while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = buffer.drain(..=end).collect();
                    // The stream's first line says where it begins, and empty ones that it lives.
                    if let Ok(told) = serde_json::from_slice::<Told>(&line) {
                        tell.send(Heard::Message { text: told.text, heard })?;
                    }
                }
            }
            anyhow::Ok(())
        };
        let ended = follow.await;
        tracing::debug!(?ended, "nobody follows the room any more");
    }
}

/// One look at a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// Until the first byte of the answer was here.
    pub(super) first: Duration,
    /// Until all of it was.
    pub(super) whole: Duration,
    pub(super) bytes: usize,
}

/// Asks for something, and reads all of it.
pub(super) async fn look(client: &Client, url: &str, cookie: &str) -> anyhow::Result<(Look, Vec<u8>)> {
    let began = Instant::now();
    let asked = async {
        let mut response = client.get(url).header(COOKIE, cookie).send().await?;
        if response.status() != 200 {
            bail!("{url} answered {}", response.status());
        }
        let mut all = Vec::new();
        let mut first = None;
        while let Some(chunk) = response.chunk().await? {
            first.get_or_insert_with(|| began.elapsed());
            all.extend_from_slice(&chunk);
        }
        let whole = began.elapsed();
        Ok((Look { first: first.unwrap_or(whole), whole, bytes: all.len() }, all))
    };
    tokio::time::timeout(PATIENCE, asked).await.with_context(|| format!("{url} did not answer"))?
}

/// A browser that came in and speaks as somebody.
#[derive(Clone)]
pub(super) struct Browser {
    pub(super) client: Client,
    pub(super) base: String,
    pub(super) cookie: String,
}

impl Browser {
    pub(super) async fn enter(bot: &Bot) -> anyhow::Result<Self> {
        let mut browser = Self { client: client()?, base: format!("http://{}", bot.address()), cookie: String::new() };
        // The token and a name are plain characters: nothing of them has to be encoded.
        browser.send("/enter", format!("key={}&next=/", bot.token().expose())).await?;
        let (_, page) = look(&browser.client, &format!("{}/people", browser.base), &browser.cookie).await?;
        let page = String::from_utf8(page)?;
        let form = page.split_once("name=\"token\" value=\"").and_then(|(_, rest)| rest.split('"').next());
        let form = form.context("the page has no form")?;
        browser.send("/people", format!("token={form}&next=/&speaker={SPEAKER}")).await?;
        Ok(browser)
    }

    async fn send(&mut self, path: &str, body: String) -> anyhow::Result<()> {
        let request = self.client.post(format!("{}{path}", self.base)).header(COOKIE, &self.cookie);
        let response = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body).send().await?;
        let kept = response.headers().get(SET_COOKIE).and_then(|kept| kept.to_str().ok()?.split(';').next());
        self.cookie = kept.with_context(|| format!("{path} answered {} and no session", response.status()))?.to_owned();
        Ok(())
    }

    pub(super) async fn look(&self, path: &str) -> anyhow::Result<(Look, Vec<u8>)> {
        look(&self.client, &format!("{}{path}", self.base), &self.cookie).await
    }
}

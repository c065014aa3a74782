//! Speaking to Slack: the adapter's way out.
//!
//! What lives here: posting, changing, finding again and removing doubles; pace; what Slack's errors mean for a message.
//! A channel is waited for; a method of which Slack has had too much is not called by anybody until the time that Slack
//! named is over.
//! What does not: how a message is set (`text`), and what comes in.
//!
//! Keeps I5 on Slack's side. Every message that stays carries its key as metadata. Whoever does not know whether it
//! arrived reads the room or the thread, after a time in which a late one would appear, and keeps the first of what bears
//! the key and was written by this bot; the rest is removed. A message that only one person sees leaves nothing that could
//! be read: if its fate is unknown it is sent again, and at worst that person sees it twice. A change is made again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper_rustls::HttpsConnectorBuilder;
use serde::Deserialize;
use serde_json::{Value, json};
use slack_morphism::errors::SlackClientError;
use slack_morphism::hyper_tokio::{SlackClientHyperConnector, SlackHyperClient};
use slack_morphism::prelude::SlackApiFilesUploadViaUrlRequest;
use slack_morphism::{SlackApiToken, SlackApiTokenValue, SlackClient, SlackFileUploadUrl};
use tokio::time::{Instant, sleep_until};

use super::inbound::{Own, time};
use super::text::{self, BODY, BUTTONS, EDITED_BODY, Post};
use super::{PLATFORM, is_user_id};
use crate::chat::hearing::Hearing;
use crate::chat::sender::MOST_MESSAGES;
use crate::chat::{Adapter, Limits, Long, Outgoing, Rooms, SendError, Used};
use crate::metrics;
use crate::model::chat::{Account, AsFile, RoomAddress, UserGroup};
use crate::model::id::MessageId;

/// Where Slack is.
pub const SLACK: &str = "https://slack.com/api";

/// What the bot's metadata is called.
const EVENT: &str = "countersign_message";

/// How long a message whose fate is unknown may take to appear.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// How long to wait when Slack says that it is too much, and not how long.
const PAUSE: Duration = Duration::from_secs(5);

/// Slack takes one message a second in each channel.
const EVERY: Duration = Duration::from_secs(1);

/// How many of them it takes at once.
const AT_ONCE: u32 = 3;

/// Slack takes fifty changes of messages a minute, in the whole workspace.
const CHANGE_EVERY: Duration = Duration::from_millis(1_200);

/// How many of them it takes at once.
const CHANGES_AT_ONCE: u32 = 10;

/// Whoever was told to wait comes back so much later than the one before, so that a workspace that wanted to be left
/// alone is not asked by everybody in the same instant.
const ONE_AFTER_THE_OTHER: Duration = Duration::from_millis(100);

/// How many of them wait one after the other at most.
const WAIT_IN_LINE: u32 = 50;

/// Messages on one page of a history.
const PAGE: usize = 200;

/// How many pages are read to find a message. One whose fate is unknown is among the newest of a room.
const PAGES: usize = 5;

/// One workspace of Slack, as its bot speaks to it.
pub struct Slack {
    client: SlackHyperClient,
    token: SlackApiToken,
    own: Own,
    hearing: Arc<Hearing>,
    /// The channels of people's direct messages, by the person's id. A channel of two stays what it is.
    directs: Mutex<HashMap<String, String>>,
    /// What each channel still takes at once.
    pace: Mutex<HashMap<String, Bucket>>,
    /// What the workspace still takes of changes.
    changes: Mutex<Bucket>,
    /// The methods of which Slack has had too much.
    limited: Mutex<HashMap<String, Limited>>,
    /// Until when something may still appear: for all channels, as another process may have died right before this one
    /// began, and for each in which a fate became unknown.
    settled: Mutex<(Instant, HashMap<String, Instant>)>,
}

/// Slack cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The machine has no certificates to check Slack's with.
    #[error("this machine's certificates cannot be read, so Slack's cannot be checked; install ca-certificates")]
    Certificates(#[source] std::io::Error),
    /// Slack does not accept the token.
    #[error("Slack does not let the bot in: {0}")]
    Refused(SendError),
    /// Slack does not answer, or not now: worth another try.
    #[error("Slack cannot be reached: {0}")]
    Unreachable(SendError),
    /// An answer that is none.
    #[error("Slack's answer to auth.test cannot be read")]
    Answer(#[source] serde_json::Error),
}

impl Slack {
    /// Asks Slack whose token it is, and speaks as that bot from then on. `api` is [`SLACK`], or where a server stands
    /// that speaks as Slack does; plain HTTP is spoken only if it says so.
    ///
    /// # Errors
    /// When Slack cannot be reached, or does not accept the token.
    pub async fn connect(api: &str, token: String) -> Result<Self, ConnectError> {
        let builder = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::ring::default_provider())
            .map_err(ConnectError::Certificates)?;
        let builder = if api.starts_with("http://") { builder.https_or_http() } else { builder.https_only() };
        // No rate control of the library's: it is one queue for a whole workspace, and here each channel has its own.
        let connector = SlackClientHyperConnector::with_connector(builder.enable_http1().build())
            .with_slack_api_url(api.trim_end_matches('/'));
        let client = SlackClient::new(connector);
        let token = SlackApiToken::new(SlackApiTokenValue(token));
        let answer: Value =
            client.open_session(&token).http_session_api.http_post("auth.test", &json!({}), None).await.map_err(
                |error| match (&error, meaning(&error)) {
                    (SlackClientError::ApiError(refusal), meant) if is_trouble(&refusal.code) => {
                        ConnectError::Unreachable(meant)
                    }
                    (SlackClientError::ApiError(_), meant @ (SendError::Unknown(_) | SendError::Refused(_))) => {
                        ConnectError::Refused(meant)
                    }
                    (_, meant) => ConnectError::Unreachable(meant),
                },
            )?;
        let own: WhoAmI = serde_json::from_value(answer).map_err(ConnectError::Answer)?;
        let own = Own { team: own.team_id, user: own.user_id, bot: own.bot_id };
        let settled = Mutex::new((Instant::now() + SETTLES_WITHIN, HashMap::new()));
        let hearing = Arc::new(Hearing::new(format!("{PLATFORM}:{}", own.team)));
        let changes = Mutex::new(Bucket { full_at: Instant::now() });
        let (directs, pace, limited) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { client, token, own, hearing, directs, pace, changes, limited, settled })
    }

    /// Who the bot is there.
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Whether what is said there arrives here.
    pub fn hearing(&self) -> &Arc<Hearing> {
        &self.hearing
    }

    /// Asks for a place at which to listen, with the app's own token. It can be used once.
    pub(super) async fn open_socket(&self, app: &SlackApiToken) -> Result<String, SendError> {
        let answer = self.post_as(app, "apps.connections.open", json!({})).await?;
        let place = answer["url"].as_str().map(str::to_owned);
        place.ok_or_else(|| SendError::Unknown("apps.connections.open was answered without a place".to_owned()))
    }

    /// Opens a window for whoever pressed. Slack lets that be done once, within 3 s.
    pub(super) async fn open_view(&self, trigger: &str, view: Value) -> Result<(), SendError> {
        self.post("views.open", json!({"trigger_id": trigger, "view": view})).await.map(drop)
    }

    async fn post(&self, method: &str, request: Value) -> Result<Value, SendError> {
        self.post_as(&self.token, method, request).await
    }

    /// Asks for something and tells Slack's own word for why it was not done, beside what that means.
    pub(super) async fn ask(&self, method: &str, request: Value) -> Result<Value, Why> {
        self.call(&self.token, method, Asking::Post(request)).await
    }

    /// The same for what is only read.
    pub(super) async fn look_up(&self, method: &str, fields: &[(&str, Option<String>)]) -> Result<Value, Why> {
        self.call(&self.token, method, Asking::Get(fields)).await
    }

    async fn post_as(&self, token: &SlackApiToken, method: &str, request: Value) -> Result<Value, SendError> {
        self.call(token, method, Asking::Post(request)).await.map_err(|(_, error)| error)
    }

    pub(super) async fn get(&self, method: &str, fields: &[(&str, Option<String>)]) -> Result<Value, SendError> {
        self.look_up(method, fields).await.map_err(|(_, error)| error)
    }

    /// The one way to Slack: everything that is asked keeps its limits, and believes nobody else's answer.
    async fn call(&self, token: &SlackApiToken, method: &str, asking: Asking<'_>) -> Result<Value, Why> {
        self.may_call(method).map_err(|error| (None, error))?;
        let session = self.client.open_session(token);
        let answer = match asking {
            Asking::Post(request) => session.http_session_api.http_post(method, &request, None).await,
            Asking::Get(fields) => session.http_session_api.http_get(method, &fields.to_vec(), None).await,
        };
        let answer = answer.map_err(|error| (code_of(&error), self.note(method, &error)))?;
        slacks(answer).map_err(|error| (None, error))
    }

    /// As if every limit were over: a test does not wait.
    #[cfg(test)]
    pub(super) fn forget_limits(&self) {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Slack limits a method for the whole workspace, so while it wants to be left alone nobody calls it.
    fn may_call(&self, method: &str) -> Result<(), SendError> {
        let mut limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limit) = limited.get_mut(method) else { return Ok(()) };
        match limit.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            Some(left) => {
                limit.in_line = (limit.in_line + 1).min(WAIT_IN_LINE);
                Err(SendError::RetryAfter(left + ONE_AFTER_THE_OTHER * limit.in_line))
            }
            None => {
                limited.remove(method);
                Ok(())
            }
        }
    }

    /// What an error means for the message; and if it is that the method was called too often, remembers it.
    fn note(&self, method: &str, error: &SlackClientError) -> SendError {
        let meant = meaning(error);
        if let SendError::RetryAfter(pause) = &meant
            && let Some(until) = Instant::now().checked_add(*pause)
        {
            metrics::rate_limited();
            tracing::warn!(method, pause = ?pause, "Slack wants to be left alone");
            let mut limited = self.limited.lock().unwrap_or_else(PoisonError::into_inner);
            let limit = limited.entry(method.to_owned()).or_insert(Limited { until, in_line: 0 });
            limit.until = limit.until.max(until);
        }
        meant
    }

    /// The channel that Slack knows a room by. The direct messages of somebody are addressed by who it is, and Slack has a
    /// channel for them, which it names when it is asked for.
    async fn channel_of(&self, room: &RoomAddress) -> Result<String, SendError> {
        if !is_user_id(&room.channel) {
            return Ok(room.channel.clone());
        }
        let known = {
            let directs = self.directs.lock().unwrap_or_else(PoisonError::into_inner);
            directs.get(&room.channel).cloned()
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let answer = self.post("conversations.open", json!({"users": room.channel})).await?;
        let channel = answer["channel"]["id"].as_str().map(str::to_owned);
        let channel = channel
            .ok_or_else(|| SendError::Unknown("conversations.open was answered without a channel".to_owned()))?;
        self.directs.lock().unwrap_or_else(PoisonError::into_inner).insert(room.channel.clone(), channel.clone());
        Ok(channel)
    }

    /// Waits until the channel takes another message.
    async fn wait_for(&self, channel: &str) {
        let at = {
            let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            // A channel in which nothing was said for a while takes as much as one that is new.
            pace.retain(|_, bucket| !bucket.is_full(now));
            pace.entry(channel.to_owned()).or_insert(Bucket { full_at: now }).take(now, EVERY, AT_ONCE)
        };
        sleep_until(at).await;
    }

    /// Notes that something may still appear in a channel.
    fn may_appear_in(&self, channel: &str) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        settled.1.insert(channel.to_owned(), Instant::now() + SETTLES_WITHIN);
    }

    async fn send_posts(&self, outgoing: &Outgoing) -> Result<MessageId, SendError> {
        let channel = &self.channel_of(&outgoing.room).await?;
        if let Some(edited) = &outgoing.edits {
            let Post { text, blocks } = text::edit(&outgoing.message);
            let request = json!({
                "channel": channel, "ts": edited.as_str(), "text": text, "blocks": blocks,
                "parse": "none", "link_names": false,
            });
            // Not waited for: what follows may be more urgent than a change, and a newer one may come.
            let taken = self.changes.lock().unwrap_or_else(PoisonError::into_inner).take_now(
                Instant::now(),
                CHANGE_EVERY,
                CHANGES_AT_ONCE,
            );
            taken.map_err(SendError::RetryAfter)?;
            self.post("chat.update", request).await?;
            return Ok(edited.clone());
        }
        let posts = text::posts(&outgoing.message);
        if let Some(file) = &outgoing.message.file
            && posts.len() > MOST_MESSAGES
            && alone(outgoing)?.is_none()
            && self.share(outgoing, file).await? == Shared::Yes
        {
            return self.send_parts(outgoing, vec![text::beginning(&outgoing.message, &file.note)]).await;
        }
        self.send_parts(outgoing, posts).await
    }

    /// Puts the whole text into a file where the message belongs, unless it is there. What is not uploaded is told in
    /// messages; what may have been is tried again.
    async fn share(&self, outgoing: &Outgoing, file: &AsFile) -> Result<Shared, SendError> {
        let channel = &self.channel_of(&outgoing.room).await?;
        // The key makes the name its own, so that it is found again.
        let name = format!("{}-{}.txt", file.name, outgoing.key.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let own = self.history(outgoing, channel, |message| {
            let named = |file: &Value| file["name"].as_str() == Some(&name);
            let files = message["files"].as_array();
            (self.is_own(message) && files.is_some_and(|files| files.iter().any(named))).then_some(())
        });
        if !own.await?.is_empty() {
            return Ok(Shared::Yes);
        }
        let id = match self.upload(&name, &outgoing.message.text).await {
            Ok(id) => id,
            Err(SendError::RetryAfter(pause)) => return Err(SendError::RetryAfter(pause)),
            Err(SendError::Unknown(why) | SendError::Refused(why)) => {
                tracing::warn!(room = %outgoing.room, why, "a file was not uploaded; its text is told in messages");
                return Ok(Shared::No);
            }
        };
        let mut request = json!({"files": [{"id": id, "title": name}], "channel_id": channel});
        if let Some(thread) = &outgoing.thread {
            request["thread_ts"] = json!(thread.as_str());
        }
        self.wait_for(channel).await;
        match self.post("files.completeUploadExternal", request).await {
            Ok(_) => Ok(Shared::Yes),
            Err(SendError::Refused(why)) => {
                tracing::warn!(room = %outgoing.room, why, "a file was not shared; its text is told in messages");
                Ok(Shared::No)
            }
            Err(error) => Err(error),
        }
    }

    /// Hands a file over that nobody sees yet. Its id.
    async fn upload(&self, name: &str, text: &str) -> Result<String, SendError> {
        const METHOD: &str = "files.getUploadURLExternal";
        let fields = [("filename", Some(name.to_owned())), ("length", Some(text.len().to_string()))];
        let answer = self.get(METHOD, &fields).await?;
        let shape = || SendError::Unknown(format!("{METHOD} was answered in another shape"));
        let url = answer["upload_url"].as_str().and_then(|url| url.parse().ok()).ok_or_else(shape)?;
        let id = answer["file_id"].as_str().ok_or_else(shape)?;
        let request = SlackApiFilesUploadViaUrlRequest {
            upload_url: SlackFileUploadUrl(url),
            content: text.as_bytes().to_vec(),
            content_type: "text/plain; charset=utf-8".to_owned(),
        };
        let session = self.client.open_session(&self.token);
        session.files_upload_via_url(&request).await.map_err(|error| meaning(&error))?;
        Ok(id.to_owned())
    }

    async fn send_parts(&self, outgoing: &Outgoing, posts: Vec<Post>) -> Result<MessageId, SendError> {
        let channel = &self.channel_of(&outgoing.room).await?;
        let whole = posts.len();
        let mut first = None;
        for (part, Post { text, blocks }) in posts.into_iter().enumerate() {
            let mut request = json!({
                "channel": channel, "text": text, "blocks": blocks, "parse": "none", "link_names": false,
            });
            if let Some(thread) = &outgoing.thread {
                request["thread_ts"] = json!(thread.as_str());
            }
            let method = match alone(outgoing)? {
                Some(user) => {
                    request["user"] = json!(user);
                    "chat.postEphemeral"
                }
                None => {
                    let key = Key { key: outgoing.key.clone(), part, of: whole };
                    request["metadata"] = json!({"event_type": EVENT, "event_payload": key.payload()});
                    // What a link leads to is nothing that the bot says, and opening it may do something.
                    request["unfurl_links"] = json!(false);
                    request["unfurl_media"] = json!(false);
                    "chat.postMessage"
                }
            };
            self.wait_for(channel).await;
            let mut answer = self.post(method, request.clone()).await;
            if let (Err(SendError::Refused(why)), Some(fields)) = (&answer, request.as_object_mut())
                && is_about_the_thread(why)
                && fields.remove("thread_ts").is_some()
            {
                // Its root was deleted, or the thread was closed: better in the channel than nowhere.
                tracing::warn!(room = %outgoing.room, why, "a thread takes nothing any more; it is said in its channel");
                answer = self.post(method, request).await;
            }
            let answer = answer.map_err(|error| match error {
                // Some of it has arrived: whoever sends it again has to look for that first.
                SendError::RetryAfter(_) if part > 0 => {
                    SendError::Unknown(format!("only {part} of {whole} parts went"))
                }
                other => other,
            })?;
            let name = answer["ts"].as_str().or_else(|| answer["message_ts"].as_str());
            let name = name.ok_or_else(|| SendError::Unknown(format!("{method} was answered without a name")))?;
            first.get_or_insert_with(|| MessageId::new(name));
        }
        first.ok_or_else(|| SendError::Refused("there is nothing to say".to_owned()))
    }

    async fn find_posts(&self, outgoing: &Outgoing) -> Result<Option<MessageId>, SendError> {
        if outgoing.edits.is_some() || alone(outgoing)?.is_some() {
            return Ok(None);
        }
        let channel = &self.channel_of(&outgoing.room).await?;
        let settled = {
            let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            settled.1.get(&outgoing.room.channel).map_or(settled.0, |at| settled.0.max(*at))
        };
        sleep_until(settled).await;
        let found = Found::of(self.written_with(outgoing, channel).await?);
        for ts in &found.superfluous {
            self.remove(channel, ts).await?;
        }
        Ok(found.first.map(MessageId::new))
    }

    /// This bot's messages that bear the key, in the room or in the thread.
    async fn written_with(&self, outgoing: &Outgoing, channel: &str) -> Result<Vec<Written>, SendError> {
        self.history(outgoing, channel, |message| self.written(message, &outgoing.key)).await
    }

    /// What is picked from the newest messages of the room or the thread in which a message belongs.
    async fn history<T>(
        &self,
        outgoing: &Outgoing,
        channel: &str,
        pick: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<T>, SendError> {
        let mut picked = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES {
            let mut fields = vec![
                ("channel", Some(channel.to_owned())),
                ("limit", Some(PAGE.to_string())),
                ("include_all_metadata", Some("true".to_owned())),
                ("cursor", cursor.take()),
            ];
            let method = match &outgoing.thread {
                None => "conversations.history",
                Some(thread) => {
                    fields.push(("ts", Some(thread.as_str().to_owned())));
                    "conversations.replies"
                }
            };
            let page = self.get(method, &fields).await.map_err(cannot_look)?;
            let page: Page = Page::deserialize(&page)
                .map_err(|error| SendError::Unknown(format!("{method} was answered in another shape: {error}")))?;
            picked.extend(page.messages.iter().filter_map(&pick));
            cursor = page.response_metadata.and_then(|page| page.next_cursor).filter(|cursor| !cursor.is_empty());
            if cursor.is_none() {
                return Ok(picked);
            }
        }
        tracing::warn!(room = %outgoing.room, "a room is too long to be searched whole for a message that may have arrived");
        Ok(picked)
    }

    /// Another app may bear any metadata: only what this bot wrote counts.
    fn is_own(&self, message: &Value) -> bool {
        message["user"].as_str() == Some(&self.own.user)
            || self.own.bot.is_some() && message["bot_id"].as_str() == self.own.bot.as_deref()
    }

    fn written(&self, message: &Value, key: &str) -> Option<Written> {
        if !self.is_own(message) || message["metadata"]["event_type"].as_str() != Some(EVENT) {
            return None;
        }
        let borne = Key::of(&message["metadata"]["event_payload"])?;
        let ts = message["ts"].as_str()?.to_owned();
        (borne.key == key).then_some(Written { ts, part: borne.part, of: borne.of })
    }

    async fn remove(&self, channel: &str, ts: &str) -> Result<(), SendError> {
        match self.post("chat.delete", json!({"channel": channel, "ts": ts})).await {
            Ok(_) => {
                tracing::info!(channel, ts, "a double was removed");
                Ok(())
            }
            // It is gone, or it is not ours to remove: the message itself has arrived either way.
            Err(SendError::Refused(why)) => {
                tracing::warn!(channel, ts, why, "a double was not removed");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Slack's own word for why something was not done, if it said one, and what that means.
pub(super) type Why = (Option<String>, SendError);

/// How a method is asked.
enum Asking<'a> {
    /// With a body of JSON.
    Post(Value),
    /// By fields in the address: what is only read.
    Get(&'a [(&'a str, Option<String>)]),
}

fn code_of(error: &SlackClientError) -> Option<String> {
    match error {
        SlackClientError::ApiError(refusal) => Some(refusal.code.clone()),
        _ => None,
    }
}

impl Adapter for Slack {
    fn serves(&self, room: &RoomAddress) -> bool {
        room.platform == PLATFORM && room.workspace == self.own.team
    }

    fn limits(&self) -> Limits {
        Limits {
            text: BODY,
            buttons: BUTTONS,
            used: Used::Stay { edited: EDITED_BODY },
            at_once: usize::try_from(AT_ONCE).ok(),
            long: Long::File,
        }
    }

    fn direct(&self, account: &Account) -> Option<RoomAddress> {
        let here = account.platform == PLATFORM && account.workspace == self.own.team && is_user_id(&account.id);
        here.then(|| RoomAddress {
            platform: PLATFORM.to_owned(),
            workspace: self.own.team.clone(),
            channel: account.id.clone(),
        })
    }

    fn precedes(&self, said: &MessageId, posted: &MessageId) -> Option<bool> {
        Some(time(said.as_str())? < time(posted.as_str())?)
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<MessageId, SendError>> {
        async move {
            // Noted beforehand: whoever waits may give up, and then nothing below is reached.
            self.may_appear_in(&message.room.channel);
            let sent = self.send_posts(message).await;
            if matches!(sent, Err(SendError::Unknown(_))) {
                // Counted from when nobody knew any more: what took long to fail may take long to appear.
                self.may_appear_in(&message.room.channel);
            }
            sent
        }
        .boxed()
    }

    fn find<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Option<MessageId>, SendError>> {
        self.find_posts(message).boxed()
    }

    fn members_of<'a>(&'a self, group: &'a UserGroup) -> BoxFuture<'a, Result<Option<BTreeSet<Account>>, SendError>> {
        self.accounts_in(group).boxed()
    }

    fn rooms(&self) -> Option<&dyn Rooms> {
        Some(self)
    }
}

/// Who alone sees a message, if that has to be asked for: in a conversation of two everything is.
fn alone(outgoing: &Outgoing) -> Result<Option<&str>, SendError> {
    match &outgoing.message.only_to {
        None => Ok(None),
        Some(_) if outgoing.room.channel.starts_with('D') || is_user_id(&outgoing.room.channel) => Ok(None),
        Some(account) if account.platform == PLATFORM && is_user_id(&account.id) => Ok(Some(&account.id)),
        Some(account) => Err(SendError::Refused(format!("{account} is nobody whom Slack knows"))),
    }
}

/// Whether a file is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shared {
    Yes,
    No,
}

/// What makes a message itself, and which part of it this is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    key: String,
    part: usize,
    of: usize,
}

impl Key {
    fn payload(&self) -> Value {
        json!({"key": self.key, "part": self.part, "of": self.of})
    }

    fn of(payload: &Value) -> Option<Self> {
        let number = |field: &str| payload[field].as_u64().and_then(|number| usize::try_from(number).ok());
        Some(Self { key: payload["key"].as_str()?.to_owned(), part: number("part")?, of: number("of")? })
    }
}

/// A message that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Written {
    ts: String,
    part: usize,
    of: usize,
}

/// What is left of a message that was looked for.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// Its first part, if all of it is there.
    first: Option<String>,
    /// What has to go: doubles, and parts of what is not whole and will be sent anew.
    superfluous: Vec<String>,
}

impl Found {
    fn of(mut written: Vec<Written>) -> Self {
        // Slack's names are times of one length, so that the oldest is the first.
        written.sort_by(|one, other| one.ts.cmp(&other.ts));
        written.dedup_by(|one, other| one.ts == other.ts);
        let mut parts: BTreeMap<usize, &str> = BTreeMap::new();
        let mut superfluous = Vec::new();
        for message in &written {
            if let std::collections::btree_map::Entry::Vacant(place) = parts.entry(message.part) {
                place.insert(&message.ts);
            } else {
                superfluous.push(message.ts.clone());
            }
        }
        let whole = written.first().is_some_and(|first| (0..first.of).all(|part| parts.contains_key(&part)));
        let first = parts.get(&0).filter(|_| whole).map(|ts| (*ts).to_owned());
        if first.is_none() {
            superfluous = written.iter().map(|message| message.ts.clone()).collect();
        }
        Self { first, superfluous }
    }
}

/// How much a channel takes at once, told by when it takes all of it again.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    full_at: Instant,
}

impl Bucket {
    fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// Takes the next place. When it is.
    fn take(&mut self, now: Instant, every: Duration, at_once: u32) -> Instant {
        self.full_at = self.full_at.max(now) + every;
        self.full_at.checked_sub(every * at_once).map_or(now, |at| at.max(now))
    }

    /// Takes a place if there is one now; else says when there will be.
    fn take_now(&mut self, now: Instant, every: Duration, at_once: u32) -> Result<(), Duration> {
        let before = *self;
        let at = self.take(now, every, at_once);
        if at <= now {
            return Ok(());
        }
        *self = before;
        Err(at.duration_since(now))
    }
}

/// A method of which Slack has had too much.
#[derive(Debug, Clone, Copy)]
struct Limited {
    until: Instant,
    /// Who has been told to wait since.
    in_line: u32,
}

#[derive(Debug, Deserialize)]
struct WhoAmI {
    team_id: String,
    user_id: String,
    bot_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Page {
    messages: Vec<Value>,
    response_metadata: Option<PageMetadata>,
}

#[derive(Debug, Deserialize)]
struct PageMetadata {
    next_cursor: Option<String>,
}

/// What an error means for the message. The library's own words are not handed on: they hold whole bodies.
fn meaning(error: &SlackClientError) -> SendError {
    match error {
        SlackClientError::RateLimitError(limit) => SendError::RetryAfter(limit.retry_after.unwrap_or(PAUSE)),
        SlackClientError::ApiError(refusal) => meaning_of_code(&refusal.code),
        SlackClientError::HttpError(refusal) => {
            let status = refusal.status_code.as_u16();
            match status {
                400 | 413 | 414 => SendError::Refused(format!("HTTP {status}")),
                _ => SendError::Unknown(format!("HTTP {status}")),
            }
        }
        SlackClientError::HttpProtocolError(_) => SendError::Unknown("the connection failed".to_owned()),
        SlackClientError::EndOfStream(_) => SendError::Unknown("the connection ended early".to_owned()),
        SlackClientError::SystemError(_) => SendError::Unknown("this machine could not speak to it".to_owned()),
        SlackClientError::ProtocolError(_) | SlackClientError::SocketModeProtocolError(_) => {
            SendError::Unknown("an answer that cannot be read".to_owned())
        }
    }
}

/// What Slack says is Slack's: everything that it answers says whether it is well. Something between may answer as well,
/// and without an error.
fn slacks(answer: Value) -> Result<Value, SendError> {
    if answer["ok"] == true {
        return Ok(answer);
    }
    Err(SendError::Unknown("an answer that is not Slack's".to_owned()))
}

/// A room that must not be read is one that cannot be searched, which must not silence it.
fn cannot_look(error: SendError) -> SendError {
    match error {
        SendError::Unknown(why) if ["missing_scope", "no_permission"].iter().any(|code| why.starts_with(code)) => {
            SendError::Refused(why)
        }
        other => other,
    }
}

/// Whether Slack has trouble that passes.
fn is_trouble(code: &str) -> bool {
    matches!(code, "internal_error" | "fatal_error" | "service_unavailable" | "request_timeout" | "team_added_to_org")
}

/// Whether a message was refused only because of the thread that it was for.
fn is_about_the_thread(why: &str) -> bool {
    ["thread_not_found", "cannot_reply_to_message", "restricted_action_thread_locked"]
        .iter()
        .any(|code| why.starts_with(code))
}

/// What one of Slack's words means for the message. What is wrong with the app or its token is not wrong with the
/// message: it waits until somebody has put that right.
fn meaning_of_code(code: &str) -> SendError {
    let refused = |why: &str| SendError::Refused(format!("{code}: {why}"));
    let waits = |why: &str| SendError::Unknown(format!("{code}: {why}"));
    match code {
        "ratelimited" | "rate_limited" => SendError::RetryAfter(PAUSE),
        "message_limit_exceeded" => SendError::RetryAfter(PAUSE),
        code if is_trouble(code) => waits("Slack has trouble of its own"),
        "update_failed" | "external_channel_migrating" | "team_access_not_granted" => {
            waits("Slack does not take it now")
        }
        "invalid_auth"
        | "not_authed"
        | "token_revoked"
        | "token_expired"
        | "account_inactive"
        | "not_allowed_token_type" => {
            waits("the bot's token is not valid; install the app again and give it the new one")
        }
        "missing_scope" | "no_permission" => {
            waits("the app lacks a right; compare it with `countersign slack manifest` and install it again")
        }
        "access_denied"
        | "ekm_access_denied"
        | "enterprise_is_restricted"
        | "org_login_required"
        | "accesslimited"
        | "two_factor_setup_required" => waits("Slack does not let the app in; an administrator has to"),
        "not_in_channel" => refused("the bot is not in the channel; invite it"),
        "channel_not_found" => refused("there is no such channel, or the bot is not in it; invite it"),
        "is_archived" => refused("the channel is archived"),
        "user_not_in_channel" => refused("who alone should see it is not in the channel"),
        "message_not_found" => refused("the message that it changes is gone"),
        "thread_not_found" => refused("the thread that it belongs to is gone"),
        "user_not_found" | "user_not_visible" | "users_not_found" => refused("there is nobody of this id here"),
        "user_disabled" => refused("the account is switched off"),
        "cannot_dm_bot" => refused("the account is a bot's, and bots have no direct messages with each other"),
        other => SendError::Refused(other.to_owned()),
    }
}

#[cfg(test)]
mod tests;

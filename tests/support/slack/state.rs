//! Everything that the fake remembers, behind one lock; and what follows from a change: events, pushes, triggers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::deliver::{Delivery, Mode, Payload, What};
use super::world::{Channel, Kind, Message, Metadata, Room, Ts, World};
use super::{APP, BOT, TEAM};

/// One call of a method, or of a `response_url`.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// `chat.postMessage`; `response_url` for those.
    pub(crate) method: String,
    /// What was sent, before it was judged.
    pub(crate) arguments: Map<String, Value>,
    /// What was answered; null when nothing was.
    pub(crate) answer: Value,
    pub(crate) status: u16,
    /// What is wrong with it, though it may have been answered well.
    pub(crate) complaints: Vec<String>,
    /// The answer was ordered by the test ([`Fault`]) or by a limit, and is no fault of the caller's.
    pub(crate) ordered: bool,
}

impl Call {
    /// Whether it did what it asked for, as far as the caller could tell.
    pub(crate) fn ok(&self) -> bool {
        self.answer.get("ok").and_then(Value::as_bool) == Some(true)
    }

    /// The error, if it was refused.
    pub(crate) fn error(&self) -> Option<&str> {
        self.answer.get("error").and_then(Value::as_str)
    }

    /// A string among the arguments; empty when it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.arguments.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// What goes wrong with one call, by order of the test.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// `ok: false` with this error.
    Error(&'static str),
    /// 429 with this `Retry-After`.
    Limited(Duration),
    /// This status, with a body that is no JSON.
    Status(u16),
    /// The connection dies before anything was done.
    LostBefore,
    /// It is done; the connection dies before the answer.
    LostAfter,
    /// It is done after this long.
    Slow(Duration),
    /// It is done when the test lets it go on.
    Held,
}

/// A 429 for every call of a method (or of all).
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) method: Option<String>,
    pub(super) lasts: Lasts,
}

/// For how long a limit stands, which it says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lasts {
    Until(Instant),
    /// Until the test lifts it; each answer says that it is so long.
    Lifted(Duration),
}

impl Lasts {
    /// How long it says that it still stands; nothing when it does not.
    pub(super) fn left(self, now: Instant) -> Option<Duration> {
        match self {
            Self::Until(end) => end.checked_duration_since(now).filter(|left| !left.is_zero()),
            Self::Lifted(says) => Some(says),
        }
    }
}

/// A message that one person sees, and only until the next reload.
#[derive(Debug, Clone)]
pub(crate) struct Ephemeral {
    pub(crate) channel: String,
    /// Who sees it.
    pub(crate) user: String,
    pub(crate) message: Message,
}

/// A push to a telephone.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) user: String,
    pub(crate) channel: String,
    pub(crate) ts: Ts,
    /// What the lock screen shows.
    pub(crate) text: String,
}

/// What opens a modal.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) user: String,
    pub(super) made: u64,
    pub(super) used: bool,
}

/// How long a trigger can be used.
const TRIGGER: Duration = Duration::from_secs(3);

/// An open modal.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) id: String,
    /// Whose screen it is on.
    pub(crate) user: String,
    /// As the app sent it.
    pub(crate) sent: Value,
}

/// Where an app may answer an interaction.
#[derive(Debug, Clone)]
pub(super) struct ResponseUrl {
    pub(super) channel: String,
    pub(super) user: String,
    /// The message that the button stood in, and its thread.
    pub(super) message: Option<(Ts, bool)>,
    pub(super) made: u64,
    pub(super) used: u32,
}

/// A file on its way.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) name: String,
    pub(super) length: u64,
    pub(super) content: Option<Vec<u8>>,
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) orders: mpsc::UnboundedSender<Order>,
    /// Told to go: gets nothing new.
    pub(super) leaving: bool,
}

/// What a socket's task is told.
#[derive(Debug)]
pub(super) enum Order {
    Send(String),
    /// Ends without a close frame.
    Drop,
    /// With one.
    Close,
    /// Neither reads nor writes any more, and stays open.
    Freeze,
}

/// What the app asked for in its settings.
#[derive(Debug)]
pub(super) struct Settings {
    /// Scopes of the bot token.
    pub(super) scopes: BTreeSet<String>,
    pub(super) subscriptions: BTreeSet<String>,
    pub(super) mode: Mode,
    /// How long the fake waits for an ack.
    pub(super) ack: Duration,
    /// After how long each further attempt follows the one before.
    pub(super) retries: Vec<Duration>,
    pub(super) ping: Duration,
    pub(super) latency: Duration,
    pub(super) twice: bool,
    /// Events carry no team in `authorizations`, as where an app is installed for a whole organisation.
    pub(super) organisation: bool,
    /// So many messages at once, then one for each so long, in each channel.
    pub(super) pace: Option<(u32, Duration)>,
    /// Whether the token still works.
    pub(super) revoked: bool,
    /// Nothing is accepted or answered.
    pub(super) down: bool,
    /// How many seconds the clock that answers tell of is ahead of this machine's.
    pub(super) ahead: i64,
}

/// All of it.
pub(super) struct State {
    pub(super) world: World,
    pub(super) settings: Settings,
    pub(super) address: String,
    pub(super) calls: Vec<Call>,
    pub(super) forgiven: Vec<(String, String)>,
    pub(super) complaints: Vec<String>,
    pub(super) faults: VecDeque<(String, Fault)>,
    pub(super) limits: Vec<Limit>,
    /// What is left in a channel's bucket, and since when.
    pub(super) buckets: BTreeMap<String, (f64, Instant)>,
    pub(super) ephemerals: Vec<Ephemeral>,
    pub(super) pushes: Vec<Push>,
    /// Replies in threads that somebody follows, without those that push anyway.
    pub(super) thread_notices: Vec<Push>,
    pub(super) triggers: BTreeMap<String, Trigger>,
    pub(super) views: BTreeMap<String, View>,
    pub(super) responses: BTreeMap<String, ResponseUrl>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) deliveries: Vec<Delivery>,
    pub(super) held: Option<Vec<Payload>>,
    pub(super) queue: mpsc::UnboundedSender<Payload>,
    pub(super) tickets: BTreeSet<String>,
    pub(super) sockets: BTreeMap<u32, Socket>,
    /// Which socket got the last payload.
    pub(super) last_socket: u32,
    /// Who waits for an envelope's ack, and on which socket it went.
    pub(super) acks: BTreeMap<String, (u32, oneshot::Sender<Option<Value>>)>,
    /// Every envelope that was sent, and whether its ack may carry an answer.
    pub(super) envelopes: BTreeMap<String, bool>,
    next: u64,
    last: u64,
    /// How far this workspace's clock is ahead of the machine's.
    ahead: Duration,
}

impl State {
    pub(super) fn new(address: String, queue: mpsc::UnboundedSender<Payload>) -> Self {
        Self {
            world: World::default(),
            settings: Settings {
                scopes: super::SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
                subscriptions: super::SUBSCRIPTIONS.iter().map(|name| (*name).to_owned()).collect(),
                mode: Mode::Socket,
                ack: Duration::from_secs(3),
                retries: vec![Duration::ZERO, Duration::from_secs(60), Duration::from_secs(300)],
                ping: Duration::from_secs(5),
                latency: Duration::ZERO,
                twice: false,
                organisation: false,
                pace: None,
                revoked: false,
                ahead: 0,
                down: false,
            },
            address,
            calls: Vec::new(),
            forgiven: Vec::new(),
            complaints: Vec::new(),
            faults: VecDeque::new(),
            limits: Vec::new(),
            buckets: BTreeMap::new(),
            ephemerals: Vec::new(),
            pushes: Vec::new(),
            thread_notices: Vec::new(),
            triggers: BTreeMap::new(),
            views: BTreeMap::new(),
            responses: BTreeMap::new(),
            uploads: BTreeMap::new(),
            deliveries: Vec::new(),
            held: None,
            queue,
            tickets: BTreeSet::new(),
            sockets: BTreeMap::new(),
            last_socket: 0,
            acks: BTreeMap::new(),
            envelopes: BTreeMap::new(),
            next: 0,
            last: 0,
            ahead: Duration::ZERO,
        }
    }

    /// A number that was not there before.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// An id that was not there before: `C0NEW00000007`.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{:08}", self.number())
    }

    /// The workspace's time, in microseconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "a workspace elsewhere has its own clock, and no store to ask")]
    pub(super) fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a clock after 1970") + self.ahead;
        u64::try_from(since.as_micros()).expect("a clock before the year 584000")
    }

    /// Lets time pass for the workspace alone.
    pub(super) fn pass(&mut self, time: Duration) {
        self.ahead += time;
    }

    /// The time of a new message: now, and later than any other.
    pub(super) fn ts(&mut self) -> Ts {
        self.last = self.now().max(self.last + 1);
        Ts(self.last)
    }

    pub(super) fn channel(&self, id: &str) -> Option<&Channel> {
        self.world.channels.get(id)
    }

    /// The conversation of the bot with somebody, opened when it is not there.
    pub(super) fn direct(&mut self, user: &str) -> String {
        let there = |channel: &&Channel| channel.room == Room::Direct && channel.name == user;
        if let Some(channel) = self.world.channels.values().find(there) {
            return channel.id.clone();
        }
        let id = self.id("D0");
        let channel = Channel {
            id: id.clone(),
            name: user.to_owned(),
            room: Room::Direct,
            members: BTreeSet::from([user.to_owned(), BOT.to_owned()]),
            archived: false,
            shared: false,
            topic: String::new(),
            purpose: String::new(),
            created: 1_700_000_000,
            pins: Vec::new(),
            messages: BTreeMap::new(),
            creator: BOT.to_owned(),
        };
        self.world.channels.insert(id.clone(), channel);
        id
    }

    /// Puts a message where it belongs, tells the app and whoever is mentioned. The caller has judged it.
    pub(super) fn post(&mut self, channel_id: &str, mut message: Message) -> Ts {
        if message.ts.0 == 0 {
            message.ts = self.ts();
        }
        for (index, block) in message.blocks.iter_mut().enumerate() {
            fill_ids(block, message.ts, index);
        }
        match self.world.users.get(&message.user).map(|user| &user.kind) {
            Some(Kind::Stranger(team)) => message.team = Some(team.clone()),
            Some(Kind::Bot) => message.bot = Some(format!("B{}", message.user.trim_start_matches('U'))),
            Some(Kind::Person | Kind::Guest) | None => {}
        }
        let ts = message.ts;
        let Some(channel) = self.world.channels.get_mut(channel_id) else { return ts };
        channel.messages.insert(ts, message.clone());
        let channel = channel.clone();
        let text = self.world.seen(&message).notification;
        let reached = self.world.pushed(&channel, &message);
        let following = self.world.followers(&channel, &message);
        let push = |user: &String| Push { user: user.clone(), channel: channel_id.to_owned(), ts, text: text.clone() };
        self.pushes.extend(reached.iter().map(push));
        self.thread_notices.extend(following.difference(&reached).map(push));
        let mut event = message.wire(Metadata::Told);
        event["channel"] = json!(channel_id);
        event["channel_type"] = json!(channel.room.channel_type());
        event["event_ts"] = json!(ts.to_string());
        if let Some(root) = message.thread.and_then(|root| channel.messages.get(&root)) {
            event["parent_user_id"] = json!(root.user);
        }
        self.tell_message(&channel, event.clone());
        let mentioned = message.text.contains(&format!("<@{BOT}>"));
        if mentioned && message.user != BOT && channel.room != Room::Direct && message.subtype.is_none() {
            if let Some(event) = event.as_object_mut() {
                event.insert("type".to_owned(), json!("app_mention"));
                event.remove("channel_type");
                event.remove("parent_user_id");
            }
            self.tell(&channel, "app_mention", "app_mentions:read", event);
        }
        ts
    }

    /// Shows one person a message; no event tells of it.
    pub(super) fn whisper(&mut self, channel: &str, user: &str, mut message: Message) -> Ts {
        let ts = self.ts();
        message.ts = ts;
        for (index, block) in message.blocks.iter_mut().enumerate() {
            fill_ids(block, ts, index);
        }
        self.ephemerals.push(Ephemeral { channel: channel.to_owned(), user: user.to_owned(), message });
        ts
    }

    /// Closes a channel for good and tells the app.
    pub(super) fn archive(&mut self, channel_id: &str, by: &str) {
        let Some(channel) = self.world.channels.get_mut(channel_id) else { return };
        channel.archived = true;
        let channel = channel.clone();
        self.note(channel_id, by, "channel_archive", format!("<@{by}> archived the channel"));
        self.tell_of_channel(&channel, "archive", json!({"channel": channel_id, "user": by}));
        // Slack takes bots out of what is archived, and lets none of them open it again.
        if let Some(channel) = self.world.channels.get_mut(channel_id) {
            channel.members.remove(BOT);
        }
    }

    /// `channel_…` or `group_…`, as the room is.
    pub(super) fn tell_of_channel(&mut self, channel: &Channel, what: &str, mut event: Value) {
        let kind = if channel.room == Room::Private { "group" } else { "channel" };
        let name = format!("{kind}_{what}");
        event["type"] = json!(name);
        event["event_ts"] = json!(self.ts().to_string());
        let scope = format!("{}:read", channel.room.scope());
        self.tell(channel, &name, &scope, event);
    }

    /// A modal as interactions tell it, with what was put in.
    pub(super) fn view_told(&self, id: &str, values: Value) -> Value {
        let Some(view) = self.views.get(id) else { return Value::Null };
        let mut told = json!({
            "id": id, "team_id": TEAM, "type": "modal", "blocks": [], "private_metadata": "", "callback_id": "",
            "state": {"values": values}, "hash": format!("{}.hash", id), "title": null, "clear_on_close": false,
            "notify_on_close": false, "close": null, "submit": null, "previous_view_id": null, "root_view_id": id,
            "app_id": APP, "external_id": "", "app_installed_team_id": TEAM, "bot_id": super::BOT_ID,
        });
        for (name, value) in view.sent.as_object().into_iter().flatten() {
            told[name] = value.clone();
        }
        told
    }

    /// Replaces a message and tells the app.
    pub(super) fn change(&mut self, channel_id: &str, ts: Ts, change: impl FnOnce(&mut Message)) {
        let at = self.ts();
        let Some(channel) = self.world.channels.get_mut(channel_id) else { return };
        let Some(message) = channel.messages.get_mut(&ts) else { return };
        let before = message.clone();
        change(message);
        for (index, block) in message.blocks.iter_mut().enumerate() {
            fill_ids(block, ts, index);
        }
        let after = message.clone();
        let channel = channel.clone();
        let event = json!({
            "type": "message", "subtype": "message_changed", "hidden": true, "channel": channel_id,
            "channel_type": channel.room.channel_type(), "ts": at.to_string(), "event_ts": at.to_string(),
            "message": channel.told(&after, Metadata::Told), "previous_message": before.wire(Metadata::Told),
        });
        self.tell_message(&channel, event);
    }

    /// Takes a message away and tells the app. One with replies leaves a stone.
    pub(super) fn remove(&mut self, channel_id: &str, ts: Ts) {
        let at = self.ts();
        let Some(channel) = self.world.channels.get_mut(channel_id) else { return };
        let Some(before) = channel.messages.remove(&ts) else { return };
        let replied = channel.messages.values().any(|message| message.thread == Some(ts));
        if replied {
            let stone = Message {
                ts,
                user: "USLACKBOT".to_owned(),
                text: "This message was deleted.".to_owned(),
                thread: Some(ts),
                subtype: Some("tombstone"),
                ..Message::default()
            };
            channel.messages.insert(ts, stone);
        }
        channel.pins.retain(|pinned| *pinned != ts);
        let channel = channel.clone();
        let mut event = json!({
            "type": "message", "subtype": "message_deleted", "hidden": true, "channel": channel_id,
            "channel_type": channel.room.channel_type(), "ts": at.to_string(), "event_ts": at.to_string(),
            "deleted_ts": ts.to_string(), "previous_message": before.wire(Metadata::Told),
        });
        if replied {
            // A root with replies is changed into a stone rather than deleted.
            event["subtype"] = json!("message_changed");
            event["message"] = channel.messages.get(&ts).map_or(Value::Null, |stone| stone.wire(Metadata::Kept));
            if let Some(event) = event.as_object_mut() {
                event.remove("deleted_ts");
            }
        }
        self.tell_message(&channel, event);
    }

    /// What Slack itself writes into a channel.
    pub(super) fn note(&mut self, channel: &str, user: &str, subtype: &'static str, text: String) {
        let message = Message { user: user.to_owned(), text, subtype: Some(subtype), ..Message::default() };
        self.post(channel, message);
    }

    /// Somebody comes in: the note, and the event.
    pub(super) fn enter(&mut self, channel_id: &str, user: &str, inviter: Option<&str>) {
        let Some(channel) = self.world.channels.get_mut(channel_id) else { return };
        if !channel.members.insert(user.to_owned()) {
            return;
        }
        let channel = channel.clone();
        self.note(channel_id, user, "channel_join", format!("<@{user}> has joined the channel"));
        let at = self.ts();
        let team = self.world.users.get(user).map_or(TEAM, |user| user.team()).to_owned();
        let kind = if channel.room == Room::Private { "G" } else { "C" };
        let mut event = json!({"type": "member_joined_channel", "user": user, "channel": channel_id,
            "channel_type": kind, "team": team, "event_ts": at.to_string()});
        if let Some(inviter) = inviter {
            event["inviter"] = json!(inviter);
        }
        let scope = format!("{}:read", channel.room.scope());
        self.tell(&channel, "member_joined_channel", &scope, event);
    }

    fn tell_message(&mut self, channel: &Channel, event: Value) {
        let subscription = match channel.room {
            Room::Public => "message.channels",
            Room::Private => "message.groups",
            Room::Direct => "message.im",
        };
        self.tell(channel, subscription, &format!("{}:history", channel.room.scope()), event);
    }

    /// Sends the app an event of a channel, if it is there, asked for it and may have it.
    pub(super) fn tell(&mut self, channel: &Channel, subscription: &str, scope: &str, event: Value) {
        let member = self.channel(&channel.id).is_some_and(|channel| channel.members.contains(BOT));
        if member && self.settings.subscriptions.contains(subscription) && self.settings.scopes.contains(scope) {
            self.tell_raw(event, channel.shared);
        }
    }

    /// Sends the app an event, whatever it asked for.
    pub(super) fn tell_raw(&mut self, event: Value, shared: bool) {
        let event_id = self.id("Ev");
        let team = if self.settings.organisation { Value::Null } else { json!(TEAM) };
        let body = json!({
            "token": "outdated", "team_id": TEAM, "context_team_id": TEAM, "context_enterprise_id": null,
            "api_app_id": APP, "event": event, "type": "event_callback", "event_id": event_id,
            "event_time": self.now() / 1_000_000,
            "authorizations": [{"enterprise_id": null, "team_id": team, "user_id": BOT, "is_bot": true,
                                "is_enterprise_install": self.settings.organisation}],
            "is_ext_shared_channel": shared, "event_context": format!("4-{event_id}"),
        });
        self.send(What::Event, body);
    }

    /// Hands a payload over to whoever carries it; its number.
    pub(super) fn send(&mut self, what: What, body: Value) -> usize {
        let number = self.deliveries.len();
        self.deliveries.push(Delivery { what, body: body.clone(), attempts: Vec::new(), pending: 1 });
        let payload = Payload { number, what, body, again: false };
        match &mut self.held {
            Some(held) => held.push(payload),
            None => self.carry(payload),
        }
        number
    }

    pub(super) fn carry(&mut self, payload: Payload) {
        let twice = self.settings.twice && payload.what == What::Event;
        if twice && let Some(delivery) = self.deliveries.get_mut(payload.number) {
            delivery.pending += 1;
        }
        // The receiver goes only with the whole fake.
        let _gone = self.queue.send(payload.clone());
        if twice {
            let _gone = self.queue.send(Payload { again: true, ..payload });
        }
    }

    /// A trigger for somebody who did something now.
    pub(super) fn trigger(&mut self, user: &str) -> String {
        let number = self.number();
        let id = format!("{number}.{}.{:032x}", 4_242_000 + number, u128::from(number) << 90 | 0xfeed);
        self.triggers.insert(id.clone(), Trigger { user: user.to_owned(), made: self.now(), used: false });
        id
    }

    /// Uses one up; whose it was.
    pub(super) fn exchange(&mut self, id: &str) -> Result<String, &'static str> {
        let now = self.now();
        let trigger = self.triggers.get_mut(id).ok_or("invalid_trigger_id")?;
        if trigger.used {
            return Err("exchanged_trigger_id");
        }
        if now.saturating_sub(trigger.made) > u64::try_from(TRIGGER.as_micros()).unwrap_or(u64::MAX) {
            return Err("expired_trigger_id");
        }
        trigger.used = true;
        Ok(trigger.user.clone())
    }

    /// Where the app may answer.
    pub(super) fn response_url(&mut self, channel: &str, user: &str, message: Option<(Ts, bool)>) -> String {
        let id = self.id("R");
        let made = self.now();
        let response = ResponseUrl { channel: channel.to_owned(), user: user.to_owned(), message, made, used: 0 };
        self.responses.insert(id.clone(), response);
        format!("http://{}/response/{id}", self.address)
    }

    /// Takes one message out of a channel's allowance.
    pub(super) fn allowed(&mut self, channel: &str) -> bool {
        let Some((burst, every)) = self.settings.pace else { return true };
        let now = Instant::now();
        let (left, since) = self.buckets.entry(channel.to_owned()).or_insert((f64::from(burst), now));
        *left = (*left + now.duration_since(*since).as_secs_f64() / every.as_secs_f64()).min(f64::from(burst));
        *since = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

/// Gives blocks and elements the ids that their author left out.
fn fill_ids(block: &mut Value, ts: Ts, index: usize) {
    let Some(map) = block.as_object_mut() else { return };
    map.entry("block_id").or_insert_with(|| json!(format!("b{:x}{index}", ts.0 & 0xffff)));
    let mut elements: Vec<&mut Value> = Vec::new();
    for (name, value) in map.iter_mut() {
        if name == "elements" {
            elements.extend(value.as_array_mut().into_iter().flatten());
        } else if name == "accessory" || name == "element" {
            elements.push(value);
        }
    }
    for (at, element) in elements.into_iter().enumerate() {
        if element.get("type").and_then(Value::as_str) == Some("button")
            && let Some(element) = element.as_object_mut()
        {
            element.entry("action_id").or_insert_with(|| json!(format!("a{index}{at}")));
        }
    }
}

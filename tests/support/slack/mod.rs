//! A Slack workspace on loopback, for tests of what speaks to Slack.
//!
//! It answers the Web API ([`api`]), opens sockets ([`socket`]) or posts signed requests ([`deliver`]), plays the people
//! ([`people`]) and remembers every call. A call that is wrong is answered as Slack would and remembered, also where
//! Slack itself would let it pass; [`Slack::finish`] holds that there was none, and a test that forgets it fails.
//!
//! Written from the documents of the platform. It is no model of its speed, its search or its permissions beyond what a
//! bot meets.

// Each test binary uses its own part of this.
#![allow(dead_code, unused_imports)]

mod api;
mod arguments;
pub(crate) mod blocks;
pub(crate) mod deliver;
pub(crate) mod people;
mod socket;
pub(crate) mod state;
mod wire;
pub(crate) mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub(crate) use deliver::{Came, Delivery, Forgery, Mode, What};
pub(crate) use people::Handed;
pub(crate) use state::{Call, Fault, Push, View};
pub(crate) use world::{Button, Kind, Room, Seen, Ts};

use deliver::SOON;
use state::{Lasts, Limit, Order, State};
use world::{Channel, Group, User};

/// The workspace.
pub(crate) const TEAM: &str = "T0ACME";
/// The app.
pub(crate) const APP: &str = "A0APP";
/// The bot as a user.
pub(crate) const BOT: &str = "U0BOT";
/// The bot as a bot.
pub(crate) const BOT_ID: &str = "B0BOT";
/// What methods are called with.
pub(crate) const BOT_TOKEN: &str = "xoxb-fake";
/// What connections are opened with.
pub(crate) const APP_TOKEN: &str = "xapp-fake";
/// What requests to the app are signed with.
pub(crate) const SECRET: &str = "a-secret-for-signing";

/// The scopes that the bot token has at first.
pub(crate) const SCOPES: &[&str] = &[
    "app_mentions:read",
    "channels:history",
    "channels:manage",
    "channels:read",
    "chat:write",
    "commands",
    "files:read",
    "files:write",
    "groups:history",
    "groups:read",
    "groups:write",
    "im:history",
    "im:read",
    "im:write",
    "pins:write",
    "usergroups:read",
    "users:read",
];

/// The events that the app asks for at first.
pub(crate) const SUBSCRIPTIONS: &[&str] = &[
    "app_mention",
    "channel_archive",
    "channel_rename",
    "channel_unarchive",
    "group_archive",
    "group_rename",
    "group_unarchive",
    "member_joined_channel",
    "member_left_channel",
    "message.channels",
    "message.groups",
    "message.im",
];

/// What the server, the carrier and the handle share.
pub(crate) struct Inner {
    state: Mutex<State>,
    /// Something happened that somebody may wait for.
    changed: Notify,
    /// Lets go on what [`Fault::Held`] keeps.
    goes_on: Notify,
    client: reqwest::Client,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked in the middle has failed already.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// One client for all tests of a binary, because making one reads the machine's certificates. It keeps no connection:
/// each belongs to the test that opened it.
pub(crate) fn client() -> reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    let make = || {
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client")
    };
    CLIENT.get_or_init(make).clone()
}

/// In which order what was held back goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// As it happened.
    Kept,
    /// The last first.
    Reversed,
}

/// A workspace, and the handle to it.
pub(crate) struct Slack {
    inner: Arc<Inner>,
    address: String,
    tasks: Vec<JoinHandle<()>>,
    finished: bool,
}

impl Drop for Slack {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        assert!(self.finished || std::thread::panicking(), "the test does not call `finish`");
    }
}

impl Slack {
    /// An empty workspace with the app installed, on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let (sender, queue) = mpsc::unbounded_channel();
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(address.clone(), sender)),
            changed: Notify::new(),
            goes_on: Notify::new(),
            client: client(),
        });
        let server = Arc::clone(&inner);
        let server = tokio::spawn(async move { match wire::serve(listener, server).await {} });
        let carrier = tokio::spawn(deliver::carry(Arc::clone(&inner), queue));
        Self { inner, address, tasks: vec![server, carrier], finished: false }
    }

    /// Where methods are: `{this}/chat.postMessage`.
    pub(crate) fn api(&self) -> String {
        format!("http://{}/api", self.address)
    }

    // The workspace.

    /// Adds an account; its id.
    pub(crate) fn user(&self, name: &str, kind: Kind) -> String {
        let mut state = self.inner.state();
        let id = format!("U0{}", name.to_uppercase());
        let user = User { id: id.clone(), name: name.to_owned(), kind, deleted: false };
        assert!(state.world.users.insert(id.clone(), user).is_none(), "{name} is there already");
        id
    }

    /// Adds members of the workspace.
    pub(crate) fn people(&self, names: &[&str]) {
        for name in names {
            self.user(name, Kind::Person);
        }
    }

    /// An account is switched off.
    pub(crate) fn deactivate(&self, person: &str) {
        let mut state = self.inner.state();
        let id = state.world.user(person).unwrap_or_else(|| panic!("nobody is called {person}")).id.clone();
        if let Some(user) = state.world.users.get_mut(&id) {
            user.deleted = true;
        }
    }

    /// Adds a channel with these people in it, and the bot where the test says `countersign`; its id. No event tells of it.
    pub(crate) fn channel(&self, name: &str, room: Room, members: &[&str]) -> String {
        let mut state = self.inner.state();
        let id = state.id("C0");
        let members: BTreeSet<String> = members
            .iter()
            .map(|member| {
                let user = (*member != "countersign").then(|| state.world.user(member));
                user.map_or_else(|| BOT.to_owned(), |user| user.unwrap_or_else(|| panic!("no {member}")).id.clone())
            })
            .collect();
        let stranger = |id: &String| matches!(state.world.users.get(id), Some(User { kind: Kind::Stranger(_), .. }));
        let channel = Channel {
            id: id.clone(),
            name: name.to_owned(),
            room,
            shared: members.iter().any(stranger),
            creator: members.first().cloned().unwrap_or_default(),
            members,
            archived: false,
            topic: String::new(),
            purpose: String::new(),
            created: 1_700_000_000,
            pins: Vec::new(),
            messages: BTreeMap::new(),
        };
        state.world.channels.insert(id.clone(), channel);
        id
    }

    /// Adds a user group, or changes who is in it; its id.
    pub(crate) fn group(&self, handle: &str, members: &[&str]) -> String {
        let mut state = self.inner.state();
        let id = format!("S0{}", handle.to_uppercase());
        let members = members
            .iter()
            .map(|member| state.world.user(member).unwrap_or_else(|| panic!("no {member}")).id.clone())
            .collect();
        state.world.groups.insert(id.clone(), Group { handle: handle.to_owned(), members, disabled: false });
        id
    }

    /// The conversation of the bot with somebody; its id.
    pub(crate) fn direct(&self, person: &str) -> String {
        let mut state = self.inner.state();
        let id = state.world.user(person).unwrap_or_else(|| panic!("nobody is called {person}")).id.clone();
        state.direct(&id)
    }

    // What goes wrong, or otherwise.

    /// The next call of a method that has no such order yet goes wrong like this; several orders are followed in turn.
    pub(crate) fn next(&self, method: &str, fault: Fault) {
        self.inner.state().faults.push_back((method.to_owned(), fault));
    }

    /// The next calls of a method go well, whatever was ordered for them.
    pub(crate) fn faultless(&self, method: &str) {
        self.inner.state().faults.retain(|(of, _)| of != method);
    }

    /// Every call of this method gets 429 for so long.
    pub(crate) fn limit(&self, method: &str, time: Duration) {
        self.limited(Some(method.to_owned()), time);
    }

    /// Every call gets 429 for so long.
    pub(crate) fn limit_all(&self, time: Duration) {
        self.limited(None, time);
    }

    /// No limit stands any more.
    pub(crate) fn unlimited(&self) {
        self.inner.state().limits.clear();
    }

    fn limited(&self, method: Option<String>, time: Duration) {
        self.inner.state().limits.push(Limit { method, lasts: Lasts::Until(Instant::now() + time) });
    }

    /// Every call (of this method, if one is named) gets 429 and is asked to come again after so long, until
    /// [`unlimited`](Self::unlimited).
    pub(crate) fn limit_until_lifted(&self, method: Option<&str>, again: Duration) {
        self.inner.state().limits.push(Limit { method: method.map(str::to_owned), lasts: Lasts::Lifted(again) });
    }

    /// Lets the call go on that [`Fault::Held`] keeps, or will keep.
    pub(crate) fn goes_on(&self) {
        self.inner.goes_on.notify_one();
    }

    /// In each channel so many messages of the bot at once, then one for each so long; 429 for more. Without this there is
    /// no pace.
    pub(crate) fn pace(&self, burst: u32, every: Duration) {
        self.inner.state().settings.pace = Some((burst, every));
    }

    /// Every answer takes so much longer.
    pub(crate) fn latency(&self, time: Duration) {
        self.inner.state().settings.latency = time;
    }

    /// The bot token loses a scope.
    pub(crate) fn without_scope(&self, scope: &str) {
        assert!(self.inner.state().settings.scopes.remove(scope), "{scope} is not among the scopes");
    }

    /// The bot token gets a scope.
    pub(crate) fn with_scope(&self, scope: &str) {
        self.inner.state().settings.scopes.insert(scope.to_owned());
    }

    /// The app stops asking for an event.
    pub(crate) fn unsubscribe(&self, event: &str) {
        assert!(self.inner.state().settings.subscriptions.remove(event), "{event} was not asked for");
    }

    /// Answers tell a time that is so many seconds ahead of this machine's.
    pub(crate) fn clock_ahead(&self, seconds: i64) {
        self.inner.state().settings.ahead = seconds;
    }

    /// Both tokens stop working.
    pub(crate) fn revoke(&self) {
        self.inner.state().settings.revoked = true;
    }

    /// Installed for a whole organisation: `authorizations` name no team.
    pub(crate) fn for_the_organisation(&self) {
        self.inner.state().settings.organisation = true;
    }

    /// Payloads go this way from now on.
    pub(crate) fn mode(&self, mode: Mode) {
        self.inner.state().settings.mode = mode;
    }

    /// How long the app has to ack; three seconds without this.
    pub(crate) fn ack_within(&self, time: Duration) {
        self.inner.state().settings.ack = time;
    }

    /// After how long each further attempt is made; at once, after a minute and after five without this.
    pub(crate) fn retries(&self, after: &[Duration]) {
        self.inner.state().settings.retries = after.to_vec();
    }

    /// How often each socket is pinged; every five seconds without this. For sockets that open later.
    pub(crate) fn ping_every(&self, time: Duration) {
        self.inner.state().settings.ping = time;
    }

    /// Every event is delivered twice from now on, under the same event id.
    pub(crate) fn twice(&self) {
        self.inner.state().settings.twice = true;
    }

    /// Nothing is delivered until [`Self::release`].
    pub(crate) fn hold(&self) {
        self.inner.state().held.get_or_insert_default();
    }

    /// What was held back goes out, and nothing is held back any more.
    pub(crate) fn release(&self, order: Release) {
        let mut state = self.inner.state();
        let mut held = state.held.take().unwrap_or_default();
        if order == Release::Reversed {
            held.reverse();
        }
        for payload in held {
            state.carry(payload);
        }
    }

    /// What was held back is never delivered: what happens while an app is away for long.
    pub(crate) fn lose(&self) {
        let mut state = self.inner.state();
        for payload in state.held.take().unwrap_or_default() {
            if let Some(delivery) = state.deliveries.get_mut(payload.number) {
                delivery.pending = 0;
            }
        }
    }

    /// Time passes for the workspace: triggers expire, messages come later.
    pub(crate) fn pass(&self, time: Duration) {
        self.inner.state().pass(time);
    }

    /// Nothing is accepted or answered any more; sockets end.
    pub(crate) fn down(&self) {
        self.inner.state().settings.down = true;
        self.drop_sockets();
    }

    /// As before.
    pub(crate) fn up(&self) {
        self.inner.state().settings.down = false;
    }

    // Requests of one's own, for an app that has a URL.

    /// Sends an event of a line in a channel, right or wrong, past the deliveries; the status.
    pub(crate) async fn forge(&self, person: &str, channel: &str, text: &str, forgery: Forgery) -> u16 {
        let body = {
            let mut state = self.inner.state();
            let (at, event_id) = (state.ts(), state.id("Ev"));
            let user = state.world.user(person).unwrap_or_else(|| panic!("nobody is called {person}")).id.clone();
            let channel = Self::place(&state, channel);
            serde_json::json!({
                "token": "outdated", "team_id": TEAM, "api_app_id": APP, "type": "event_callback",
                "event_id": event_id, "event_time": at.0 / 1_000_000,
                "event": {"type": "message", "user": user, "text": text, "ts": at.to_string(), "channel": channel.id,
                          "channel_type": channel.room.channel_type(), "event_ts": at.to_string(), "team": TEAM},
                "authorizations": [{"enterprise_id": null, "team_id": TEAM, "user_id": BOT, "is_bot": true,
                                    "is_enterprise_install": false}],
            })
        };
        deliver::forge(&self.inner, body.to_string(), "application/json", forgery).await.0
    }

    /// Sends the app any body, well signed; the status and the answer.
    pub(crate) async fn request(&self, body: &str, kind: &str) -> (u16, String) {
        deliver::forge(&self.inner, body.to_owned(), kind, Forgery::None).await
    }

    /// Asks the app whether the URL is its own, as when it is typed into the settings; whether it answered well.
    pub(crate) async fn verify_url(&self) -> bool {
        let challenge = format!("challenge-{}", self.inner.state().number());
        let body = serde_json::json!({"token": "outdated", "challenge": challenge, "type": "url_verification"});
        let (status, answer) = self.request(&body.to_string(), "application/json").await;
        let said = serde_json::from_str::<serde_json::Value>(&answer).ok();
        let said = said.and_then(|said| said.get("challenge").and_then(|said| said.as_str().map(ToOwned::to_owned)));
        status == 200 && (said.as_deref() == Some(challenge.as_str()) || answer.trim() == challenge)
    }

    // Sockets.

    /// How many are open and were not told to go.
    pub(crate) fn sockets(&self) -> usize {
        self.inner.state().sockets.values().filter(|socket| !socket.leaving).count()
    }

    /// Waits until so many are open that were not told to go.
    pub(crate) async fn connected(&self, count: usize) {
        self.until(&format!("{count} sockets"), |slack| (slack.sockets() == count).then_some(())).await;
    }

    fn order(&self, order: impl Fn() -> Order) {
        for socket in self.inner.state().sockets.values() {
            // One that ends by itself needs no order.
            let _gone = socket.orders.send(order());
        }
    }

    /// Every socket ends without a close frame.
    pub(crate) fn drop_sockets(&self) {
        self.order(|| Order::Drop);
    }

    /// Every socket is closed.
    pub(crate) fn close_sockets(&self) {
        self.order(|| Order::Close);
    }

    /// Every socket stays open and says nothing any more, not even to a ping.
    pub(crate) fn freeze_sockets(&self) {
        self.order(|| Order::Freeze);
    }

    /// Every socket that is open is told that it will end (`warning`, `refresh_requested`, `link_disabled`) and gets
    /// nothing new; it stays open until it is closed.
    pub(crate) fn disconnect(&self, reason: &str) {
        self.order(|| Order::Send(socket::disconnect(reason)));
        for socket in self.inner.state().sockets.values_mut() {
            socket.leaving = true;
        }
    }

    // What a test asks.

    /// Waits until something is there; panics when it takes too long.
    pub(crate) async fn until<T>(&self, what: &str, mut probe: impl FnMut(&Self) -> Option<T>) -> T {
        let waiting = async {
            loop {
                // Registered before it is looked at, so that nothing is missed.
                let changed = self.inner.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(found) = probe(self) {
                    return found;
                }
                // Some things change without a word.
                let _late = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        };
        let waited = tokio::time::timeout(SOON, waiting).await;
        waited.unwrap_or_else(|_| panic!("not in time: {what}\n{}", self.account()))
    }

    /// Waits until every payload was taken, or given up.
    pub(crate) async fn settled(&self) {
        let quiet = |slack: &Self| slack.inner.state().deliveries.iter().all(|delivery| delivery.pending == 0);
        self.until("every payload to be taken", |slack| quiet(slack).then_some(())).await;
    }

    /// Waits until a payload was taken or given up; what came of it.
    pub(crate) async fn outcome(&self, number: usize) -> Delivery {
        let done =
            |slack: &Self| slack.inner.state().deliveries.get(number).filter(|delivery| delivery.pending == 0).cloned();
        self.until("a payload to be taken", done).await
    }

    /// Every payload so far.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        self.inner.state().deliveries.clone()
    }

    /// Every event so far, in order, as `type` or `type/subtype`.
    pub(crate) fn events(&self) -> Vec<String> {
        let of = |delivery: &Delivery| {
            let text = |name: &str| delivery.body.pointer(name).and_then(serde_json::Value::as_str);
            let kind = text("/event/type")?.to_owned();
            Some(text("/event/subtype").map_or_else(|| kind.clone(), |subtype| format!("{kind}/{subtype}")))
        };
        self.inner.state().deliveries.iter().filter_map(of).collect()
    }

    fn place(state: &State, channel: &str) -> Channel {
        let found = state.channel(channel).or_else(|| state.world.channels.values().find(|one| one.name == channel));
        found.unwrap_or_else(|| panic!("no channel {channel}")).clone()
    }

    /// Every message of a channel and its threads as a reader sees it, without what Slack writes itself.
    pub(crate) fn messages(&self, channel: &str) -> Vec<Seen> {
        let state = self.inner.state();
        let channel = Self::place(&state, channel);
        let shown = channel.messages.values().filter(|message| {
            message.subtype.is_none_or(|subtype| matches!(subtype, "tombstone" | "thread_broadcast" | "file_share"))
        });
        shown.map(|message| state.world.seen(message)).collect()
    }

    /// The root of a thread and its replies.
    pub(crate) fn thread(&self, channel: &str, root: Ts) -> Vec<Seen> {
        self.messages(channel).into_iter().filter(|seen| seen.ts == root || seen.thread == Some(root)).collect()
    }

    /// What the bot wrote in a channel.
    pub(crate) fn of_bot(&self, channel: &str) -> Vec<Seen> {
        self.messages(channel).into_iter().filter(|seen| seen.by == "countersign").collect()
    }

    /// Everything that the bot wrote: where (a channel's name, `direct NAME`, or `only NAME` for what one person alone was
    /// shown), and the message.
    pub(crate) fn everything_of_bot(&self) -> Vec<(String, Seen)> {
        let (channels, people): (Vec<Channel>, Vec<String>) = {
            let state = self.inner.state();
            let people = state.world.users.values().map(|user| user.name.clone()).collect();
            (state.world.channels.values().cloned().collect(), people)
        };
        let mut all = Vec::new();
        for channel in channels {
            let place = match &channel.room {
                Room::Direct => {
                    let state = self.inner.state();
                    let other = channel.members.iter().find(|member| *member != BOT);
                    format!("direct {}", other.map_or_else(|| "nobody".to_owned(), |other| state.world.name(other)))
                }
                Room::Public | Room::Private => channel.name.clone(),
            };
            all.extend(self.of_bot(&channel.id).into_iter().map(|seen| (place.clone(), seen)));
        }
        for person in people {
            all.extend(self.whispers(&person).into_iter().map(|seen| (format!("only {person}"), seen)));
        }
        all
    }

    /// A channel as a page: replies under their root, who wrote and what it says.
    pub(crate) fn transcript(&self, channel: &str) -> String {
        let messages = self.messages(channel);
        let mut page = String::new();
        let mut line = |seen: &Seen, indent: &str| {
            let edited = if seen.edited { " (edited)" } else { "" };
            let text = seen.text.replace('\n', &format!("\n{indent}    "));
            page.push_str(&format!("{indent}{}: {text}{edited}\n", seen.by));
            for file in &seen.files {
                page.push_str(&format!("{indent}    [file {file}]\n"));
            }
        };
        for root in messages.iter().filter(|seen| seen.thread.is_none()) {
            line(root, "");
            for reply in messages.iter().filter(|seen| seen.thread == Some(root.ts)) {
                line(reply, "  | ");
            }
        }
        page
    }

    /// What one person alone was shown.
    pub(crate) fn whispers(&self, person: &str) -> Vec<Seen> {
        let state = self.inner.state();
        let id = state.world.user(person).unwrap_or_else(|| panic!("nobody is called {person}")).id.clone();
        let own = state.ephemerals.iter().filter(|one| one.user == id);
        own.map(|one| state.world.seen(&one.message)).collect()
    }

    /// The modals on somebody's screen.
    pub(crate) fn views(&self, person: &str) -> Vec<View> {
        let state = self.inner.state();
        let id = state.world.user(person).unwrap_or_else(|| panic!("nobody is called {person}")).id.clone();
        state.views.values().filter(|view| view.user == id).cloned().collect()
    }

    /// Every push that somebody's telephone got: mentions of them, their groups or everybody, and direct messages. Edits
    /// and what one person alone is shown push nothing.
    pub(crate) fn pushes(&self, person: &str) -> Vec<Push> {
        let state = self.inner.state();
        let id = state.world.user(person).unwrap_or_else(|| panic!("nobody is called {person}")).id.clone();
        state.pushes.iter().filter(|push| push.user == id).cloned().collect()
    }

    /// Every reply in a thread that somebody follows (wrote in, or is mentioned in) and that mentions them not. Slack
    /// tells people of these too unless they have switched it off; they are no [`Self::pushes`].
    pub(crate) fn thread_notices(&self, person: &str) -> Vec<Push> {
        let state = self.inner.state();
        let id = state.world.user(person).unwrap_or_else(|| panic!("nobody is called {person}")).id.clone();
        state.thread_notices.iter().filter(|push| push.user == id).cloned().collect()
    }

    /// What is pinned in a channel, its topic, whether it is archived, and who is in it by name.
    pub(crate) fn about(&self, channel: &str) -> About {
        let state = self.inner.state();
        let channel = Self::place(&state, channel);
        About {
            pins: channel.pins.clone(),
            topic: channel.topic.clone(),
            purpose: channel.purpose.clone(),
            archived: channel.archived,
            members: channel.members.iter().map(|member| state.world.name(member)).collect(),
        }
    }

    /// The channels that the bot has made, by name.
    pub(crate) fn made_by_bot(&self) -> BTreeMap<String, String> {
        let state = self.inner.state();
        let made = state.world.channels.values().filter(|channel| channel.creator == BOT);
        made.map(|channel| (channel.name.clone(), channel.id.clone())).collect()
    }

    /// The content of an uploaded file.
    pub(crate) fn file(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.inner.state();
        state.uploads.values().find(|upload| upload.name == name).and_then(|upload| upload.content.clone())
    }

    /// Every call so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner.state().calls.clone()
    }

    /// How many faults of a method nobody has met so far. One that is slow is met when the call comes.
    pub(crate) fn unmet(&self, method: &str) -> usize {
        self.inner.state().faults.iter().filter(|(faulty, _)| faulty == method).count()
    }

    /// The calls of one method.
    pub(crate) fn calls_of(&self, method: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.method == method).collect()
    }

    /// That a method may be refused with this error is part of the test.
    pub(crate) fn forgive(&self, method: &str, error: &str) {
        self.inner.state().forgiven.push((method.to_owned(), error.to_owned()));
    }

    /// Everything that was done wrong, a sentence each.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let state = self.inner.state();
        let mut wrong = state.complaints.clone();
        for call in &state.calls {
            let forgiven =
                |error: &str| state.forgiven.iter().any(|(method, of)| *method == call.method && of == error);
            if let Some(error) = call.error().filter(|error| !call.ordered && !forgiven(error)) {
                wrong.push(format!("{}: {error} {}", call.method, call.answer));
            }
            wrong.extend(call.complaints.iter().map(|complaint| format!("{}: {complaint}", call.method)));
        }
        wrong
    }

    /// Takes note of everything that was done wrong: the test is about it.
    pub(crate) fn pardon(&self) -> Vec<String> {
        let wrong = self.wrong();
        let mut state = self.inner.state();
        state.complaints.clear();
        for call in &mut state.calls {
            call.ordered = true;
            call.complaints.clear();
        }
        wrong
    }

    /// Panics if anything was done wrong.
    #[track_caller]
    pub(crate) fn finish(mut self) {
        self.finished = true;
        let wrong = self.wrong();
        assert!(wrong.is_empty(), "wrong calls:\n{}", wrong.join("\n"));
    }

    /// What happened here, for a test that fails.
    fn account(&self) -> String {
        let calls = self.calls();
        let lines = calls.iter().map(|call| {
            format!("{} {} {}", call.method, call.status, call.error().unwrap_or(if call.ok() { "ok" } else { "lost" }))
        });
        let payloads =
            self.deliveries().iter().map(|one| format!("{:?} {:?}", one.what, one.attempts)).collect::<Vec<_>>();
        format!("calls:\n{}\npayloads:\n{}", lines.collect::<Vec<_>>().join("\n"), payloads.join("\n"))
    }
}

/// What there is to know of a channel beside its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) pins: Vec<Ts>,
    pub(crate) topic: String,
    pub(crate) purpose: String,
    pub(crate) archived: bool,
    /// By name, the bot among them.
    pub(crate) members: BTreeSet<String>,
}

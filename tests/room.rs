//! The local room over HTTP and the sender behind it, over a real Postgres; only who takes the lines, and the platform
//! of the sender's own tests, are scripted.

mod support;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use countersign::chat::room::LocalRoom;
use countersign::chat::{
    Adapter, Delivery, Inbound, Limits, Long, NewsReceived, Outgoing, ReceiveError, Received, SendError, Used, sender,
};
use countersign::cli::client::{Client, ServerArgs};
use countersign::cli::say;
use countersign::model::chat::{Account, Incoming, Message, RoomAddress, RoomNews, Said};
use countersign::model::id::{InboxId, MessageId, OutboxId, PersonId, RunbookName, SystemName};
use countersign::model::plan::Sealed;
use countersign::model::run::RunState;
use countersign::store::{LineOutcome, NewMessage, NewRun, Origin, Place, Store, WorkerId};
use countersign::sys::ProcessIdentity;
use countersign::text::time::Times;
use countersign::web::{self, Speaking, Token, WebState};
use futures_util::future::BoxFuture;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;
use support::{TestDb, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

/// How long anything may take.
const SOON: Duration = Duration::from_secs(60);

const LEASE: Duration = Duration::from_secs(10);

// ---- the world of a test ----

/// A fresh database, removed when dropped, and its store.
async fn database() -> (Arc<TestDb>, Store) {
    let db = support::database().await;
    let store = db.store.clone();
    // The room's sink exists from the first start on.
    store.sink_position("room").await.expect("a sink");
    (Arc::new(db), store)
}

async fn worker(store: &Store) -> WorkerId {
    store.insert_worker(&ProcessIdentity::own().expect("a process")).await.expect("a worker")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no test thread panicked here")
}

/// Says a line on its own, so that messages have a cause and an origin.
async fn line(store: &Store, room: &RoomAddress, id: &str) -> InboxId {
    let mut tx = store.begin().await.expect("a transaction");
    let incoming = Incoming {
        room: room.clone(),
        thread: None,
        account: "local:trial:mei".parse().expect("an account"),
        said_at: store.clock().now(),
        what: Said::Line {
            message: MessageId::new(id),
            text: id.to_owned(),
            address: countersign::model::chat::Addressed::ToRoom,
        },
        trace: None,
    };
    let line = tx.insert_line(&incoming, None, Some(id)).await.expect("a line").expect("a new line");
    tx.commit().await.expect("committed");
    line
}

fn message(room: &RoomAddress, cause: InboxId, part: i32, text: &str) -> NewMessage {
    NewMessage {
        room: room.clone(),
        place: Place::Room,
        origin: Origin::Line(cause),
        part,
        cause: Some(cause),
        role: None,
        edits: false,
        message: Message::to_room(text),
    }
}

async fn say_all(store: &Store, messages: impl IntoIterator<Item = NewMessage>) {
    let mut tx = store.begin().await.expect("a transaction");
    for message in messages {
        tx.say(message);
    }
    tx.commit().await.expect("committed");
}

async fn sent_texts(store: &Store, room: &RoomAddress) -> Vec<String> {
    let rows = store.list_sent(room, OutboxId(0), 1000).await.expect("rows");
    rows.into_iter().map(|row| row.message.text).collect()
}

// ---- the sender, before a scripted platform ----

/// What the platform does with the next sending of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    RetryAfter(Duration),
    /// It arrives, but the answer is lost.
    ArrivesUnknown,
    /// It is lost on the way.
    LostUnknown,
    Refuse,
    /// It arrives, and the answer never comes.
    ArrivesAndHangs,
    /// It is lost on the way, and the answer never comes.
    LostAndHangs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    text: String,
    name: MessageId,
    thread: Option<String>,
    edits: Option<String>,
}

#[derive(Default)]
struct Platform {
    script: Mutex<HashMap<String, VecDeque<Deed>>>,
    /// What people see, in the order of arrival, by key.
    seen: Mutex<Vec<(String, Seen)>>,
    /// Texts that were looked for.
    looked_for: Mutex<Vec<String>>,
    /// Whether it finds nothing, as if its search were down.
    blind: AtomicBool,
    /// Whether it takes one message after the other, so that what waits may be told as one.
    paced: AtomicBool,
    hanging: Notify,
}

fn together(count: usize) -> String {
    format!("{count} at once:")
}

impl Platform {
    fn paced() -> Arc<Self> {
        Arc::new(Self { paced: AtomicBool::new(true), ..Self::default() })
    }

    fn script(&self, text: &str, deeds: impl IntoIterator<Item = Deed>) {
        locked(&self.script).insert(text.to_owned(), deeds.into_iter().collect());
    }

    fn texts(&self) -> Vec<String> {
        locked(&self.seen).iter().map(|(_, seen)| seen.text.clone()).collect()
    }

    fn texts_in(&self, room: &RoomAddress) -> Vec<String> {
        let own = |text: &String| text.starts_with(&room.channel);
        self.texts().into_iter().filter(own).collect()
    }

    fn arrive(&self, message: &Outgoing) -> MessageId {
        let mut seen = locked(&self.seen);
        let name = message.edits.clone().unwrap_or_else(|| MessageId::new(format!("p{}", seen.len() + 1)));
        let entry = Seen {
            text: message.message.text.clone(),
            name: name.clone(),
            thread: message.thread.as_ref().map(ToString::to_string),
            edits: message.edits.as_ref().map(ToString::to_string),
        };
        seen.push((message.key.clone(), entry));
        name
    }
}

impl Adapter for Platform {
    fn serves(&self, room: &RoomAddress) -> bool {
        room.platform == "slack"
    }

    fn limits(&self) -> Limits {
        Limits {
            text: 4000,
            buttons: 0,
            used: Used::Hidden,
            at_once: self.paced.load(Ordering::Relaxed).then_some(3),
            long: Long::Messages,
        }
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<MessageId, SendError>> {
        Box::pin(async move {
            let deed = locked(&self.script).get_mut(&message.message.text).and_then(VecDeque::pop_front);
            match deed {
                None => {
                    tokio::task::yield_now().await;
                    Ok(self.arrive(message))
                }
                Some(Deed::RetryAfter(pause)) => Err(SendError::RetryAfter(pause)),
                Some(Deed::ArrivesUnknown) => {
                    self.arrive(message);
                    Err(SendError::Unknown("cut".to_owned()))
                }
                Some(Deed::LostUnknown) => Err(SendError::Unknown("cut".to_owned())),
                Some(Deed::Refuse) => Err(SendError::Refused("not allowed".to_owned())),
                Some(Deed::ArrivesAndHangs) => {
                    self.arrive(message);
                    self.hanging.notify_one();
                    std::future::pending().await
                }
                Some(Deed::LostAndHangs) => {
                    self.hanging.notify_one();
                    std::future::pending().await
                }
            }
        })
    }

    fn find<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Option<MessageId>, SendError>> {
        Box::pin(async move {
            locked(&self.looked_for).push(message.message.text.clone());
            let seen = locked(&self.seen);
            if self.blind.load(Ordering::Relaxed) {
                return Ok(None);
            }
            Ok(seen.iter().find(|(key, _)| *key == message.key).map(|(_, seen)| seen.name.clone()))
        })
    }
}

/// A sender that runs until it is dropped, as after a kill, or stopped.
struct Sending {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Sending {
    fn start(store: &Store, adapter: Arc<dyn Adapter>, me: WorkerId, lease: Duration) -> Self {
        let (stop, stopped) = watch::channel(false);
        Self { stop, task: tokio::spawn(sender::run(store.clone(), vec![adapter], together, me, lease, stopped)) }
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(SOON, self.task).await.expect("it ends in time").expect("it ends well");
    }

    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }
}

fn slack(channel: &str) -> RoomAddress {
    RoomAddress { platform: "slack".to_owned(), workspace: "T1".to_owned(), channel: channel.to_owned() }
}

#[tokio::test]
async fn i5_order_holds_under_limits_doubt_and_refusal() {
    let (_db, store) = database().await;
    let platform = Arc::new(Platform::default());
    let room = slack("r");
    let cause = line(&store, &room, "1").await;
    platform.script("r2", [Deed::RetryAfter(Duration::from_millis(30)), Deed::RetryAfter(Duration::from_millis(30))]);
    platform.script("r3", [Deed::ArrivesUnknown]);
    platform.script("r4", [Deed::LostUnknown]);
    platform.script("r5", [Deed::Refuse]);
    say_all(&store, (1..=6).map(|n| message(&room, cause, n, &format!("r{n}")))).await;
    let sending = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
    until("the last message is marked", async || {
        sent_texts(&store, &room).await.contains(&"r6".to_owned()).then_some(())
    })
    .await;
    let all_but_refused = ["r1", "r2", "r3", "r4", "r6"];
    assert_eq!(platform.texts(), all_but_refused, "in order, and none twice");
    assert_eq!(sent_texts(&store, &room).await, all_but_refused);
    let looked_for = locked(&platform.looked_for).clone();
    assert!(["r3", "r4"].iter().all(|text| looked_for.iter().any(|looked| looked == text)), "{looked_for:?}");
    let never_taken = ["r1", "r2", "r6"].iter().any(|text| looked_for.iter().any(|looked| looked == text));
    assert!(!never_taken, "what cannot have arrived is not looked for: {looked_for:?}");
    sending.stop().await;
}

#[tokio::test]
async fn i5_a_successor_looks_for_what_was_on_its_way_when_its_predecessor_was_killed() {
    let (_db, store) = database().await;
    let platform = Arc::new(Platform::default());
    let room = slack("r");
    let cause = line(&store, &room, "1").await;
    platform.script("r2", [Deed::ArrivesAndHangs]);
    say_all(&store, (1..=4).map(|n| message(&room, cause, n, &format!("r{n}")))).await;
    let first = worker(&store).await;
    let sending = Sending::start(&store, platform.clone(), first, LEASE);
    tokio::time::timeout(SOON, platform.hanging.notified()).await.expect("the second is on its way");
    sending.kill().await;
    assert_eq!(platform.texts(), ["r1", "r2"]);

    let second = worker(&store).await;
    store.end_worker(first).await.expect("ended");
    locked(&platform.looked_for).clear();
    let sending = Sending::start(&store, platform.clone(), second, LEASE);
    until("all are marked", async || (sent_texts(&store, &room).await.len() == 4).then_some(())).await;
    assert_eq!(platform.texts(), ["r1", "r2", "r3", "r4"], "none twice");
    let looked_for = locked(&platform.looked_for).clone();
    assert!(
        looked_for.ends_with(&["r2".to_owned(), "r3".to_owned()]),
        "up to the first that is not there: {looked_for:?}"
    );
    sending.stop().await;
}

/// Each of the room's messages that were sent, with the name of the message that holds it.
async fn holders(store: &Store, room: &RoomAddress) -> Vec<(String, String)> {
    let rows = store.list_sent(room, OutboxId(0), 1000).await.expect("rows");
    let holder = |name: Option<MessageId>| name.map(|name| name.to_string()).unwrap_or_default();
    rows.into_iter().map(|row| (row.message.text, holder(row.platform_message))).collect()
}

async fn until_sent(store: &Store, room: &RoomAddress, count: usize) {
    until("all are marked", async || (sent_texts(store, room).await.len() == count).then_some(())).await;
}

/// `r1` to `r20`.
fn twenty() -> Vec<String> {
    (1..=20).map(|n| format!("r{n}")).collect()
}

#[tokio::test]
async fn i5_a_room_that_is_behind_is_told_several_things_as_one() {
    let (_db, store) = database().await;
    let platform = Platform::paced();
    let room = slack("r");
    let cause = line(&store, &room, "1").await;
    say_all(&store, (1..=20).map(|n| message(&room, cause, n, &format!("r{n}")))).await;
    let sending = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
    until_sent(&store, &room, 20).await;
    assert_eq!(platform.texts(), [format!("20 at once:\n{}", twenty().join("\n"))]);
    assert!(locked(&platform.looked_for).is_empty(), "nobody can have sent any of it");
    let expected: Vec<_> = twenty().into_iter().map(|text| (text, "p1".to_owned())).collect();
    assert_eq!(holders(&store, &room).await, expected, "each is marked with the message that holds it");
    sending.stop().await;
}

#[tokio::test]
async fn i5_what_was_told_as_one_is_found_as_one_after_a_kill_whatever_waits_by_then() {
    let (_db, store) = database().await;
    for arrives in [true, false] {
        let platform = Platform::paced();
        let room = slack(if arrives { "here" } else { "lost" });
        let cause = line(&store, &room, "1").await;
        say_all(&store, (1..=20).map(|n| message(&room, cause, n, &format!("r{n}")))).await;
        let whole = format!("20 at once:\n{}", twenty().join("\n"));
        platform.script(&whole, [if arrives { Deed::ArrivesAndHangs } else { Deed::LostAndHangs }]);
        let first = worker(&store).await;
        let sending = Sending::start(&store, platform.clone(), first, LEASE);
        tokio::time::timeout(SOON, platform.hanging.notified()).await.expect("it is on its way");
        sending.kill().await;
        // Joined anew, these would go with the others.
        say_all(&store, (21..=30).map(|n| message(&room, cause, n, &format!("r{n}")))).await;
        store.end_worker(first).await.expect("ended");
        let sending = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
        until_sent(&store, &room, 30).await;
        let texts = platform.texts();
        assert_eq!(texts.first(), Some(&whole), "once and whole");
        let all = texts.join("\n");
        for n in 1..=30 {
            assert_eq!(all.lines().filter(|line| *line == format!("r{n}")).count(), 1, "r{n} in {all}");
        }
        sending.stop().await;
    }
}

#[tokio::test]
async fn i5_what_the_platform_refuses_as_one_is_told_one_by_one() {
    let (_db, store) = database().await;
    let platform = Platform::paced();
    let room = slack("r");
    let cause = line(&store, &room, "1").await;
    say_all(&store, (1..=20).map(|n| message(&room, cause, n, &format!("r{n}")))).await;
    platform.script(&format!("20 at once:\n{}", twenty().join("\n")), [Deed::Refuse]);
    platform.script("r7", [Deed::Refuse]);
    let sending = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
    until_sent(&store, &room, 19).await;
    let expected: Vec<_> = twenty().into_iter().filter(|text| text != "r7").collect();
    assert_eq!(platform.texts(), expected, "one that is not taken silences no other");
    sending.stop().await;
}

#[tokio::test]
async fn a_change_that_has_to_wait_holds_up_nothing_and_only_the_newest_is_made() {
    let (_db, store) = database().await;
    let platform = Platform::paced();
    let room = slack("r");
    let cause = line(&store, &room, "1").await;
    let progress = |part, text: &str, edits| NewMessage {
        role: Some(("run:1:1".to_owned(), "progress")),
        edits,
        ..message(&room, cause, part, text)
    };
    say_all(&store, [progress(1, "step 1", false)]).await;
    let first = worker(&store).await;
    let sending = Sending::start(&store, platform.clone(), first, LEASE);
    until_sent(&store, &room, 1).await;
    // Long after the end of this test: the outcome may not wait for it.
    platform.script("step 2", [Deed::RetryAfter(Duration::from_secs(3600))]);
    say_all(&store, [progress(2, "step 2", true)]).await;
    until("it was tried", async || locked(&platform.script).values().all(VecDeque::is_empty).then_some(())).await;
    say_all(&store, [progress(3, "step 3", true), progress(4, "step 4", true), message(&room, cause, 5, "done")]).await;
    until("the outcome is there", async || platform.texts().contains(&"done".to_owned()).then_some(())).await;
    assert_eq!(platform.texts(), ["step 1", "done"]);
    sending.stop().await;
    // Whoever comes next makes the newest change and no other.
    store.end_worker(first).await.expect("ended");
    let sending = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
    until_sent(&store, &room, 5).await;
    assert_eq!(platform.texts(), ["step 1", "done", "step 4"]);
    sending.stop().await;
}

#[tokio::test]
async fn i5_a_slow_room_holds_up_no_other() {
    let (_db, store) = database().await;
    let platform = Arc::new(Platform::default());
    let [slow, quick] = [slack("slow"), slack("quick")];
    platform.script("slow1", [Deed::ArrivesAndHangs]);
    let sending = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
    let cause = line(&store, &slow, "1").await;
    say_all(&store, (1..=2).map(|n| message(&slow, cause, n, &format!("slow{n}")))).await;
    tokio::time::timeout(SOON, platform.hanging.notified()).await.expect("the slow one hangs");
    let cause = line(&store, &quick, "2").await;
    say_all(&store, (1..=3).map(|n| message(&quick, cause, n, &format!("quick{n}")))).await;
    until("the quick room is served", async || (sent_texts(&store, &quick).await.len() == 3).then_some(())).await;
    assert_eq!(platform.texts_in(&slow), ["slow1"], "the slow room's order holds");
    sending.kill().await;
}

#[tokio::test]
async fn i5_two_workers_send_each_message_once_and_in_order() {
    let (db, store) = database().await;
    let other = Store::connect(db.options()).await.expect("a second process's store");
    let platform = Arc::new(Platform::default());
    // Nothing but the lease keeps the two apart.
    platform.blind.store(true, Ordering::Relaxed);
    let rooms = [slack("a"), slack("b"), slack("c")];
    let one = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
    let two = Sending::start(&other, platform.clone(), worker(&other).await, LEASE);
    for (room, n) in rooms.iter().zip(1..) {
        let cause = line(&store, room, &n.to_string()).await;
        for part in 1..=20 {
            // Each process is woken by what itself says.
            let sayer = if part % 2 == 0 { &store } else { &other };
            say_all(sayer, [message(room, cause, part, &format!("{}{part}", room.channel))]).await;
        }
    }
    for room in &rooms {
        until("all are marked", async || (sent_texts(&store, room).await.len() == 20).then_some(())).await;
        let expected: Vec<String> = (1..=20).map(|part| format!("{}{part}", room.channel)).collect();
        assert_eq!(platform.texts_in(room), expected);
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn i2_a_sender_that_lost_its_lease_sends_no_more() {
    let (_db, store) = database().await;
    let platform = Arc::new(Platform::default());
    let room = slack("r");
    let first = worker(&store).await;
    let sending = Sending::start(&store, platform.clone(), first, Duration::from_millis(600));
    let cause = line(&store, &room, "1").await;
    platform.script("r1", [Deed::ArrivesAndHangs]);
    say_all(&store, (1..=2).map(|n| message(&room, cause, n, &format!("r{n}")))).await;
    tokio::time::timeout(SOON, platform.hanging.notified()).await.expect("the first is on its way");
    // Somebody who took the first worker for dead takes over while it hangs.
    let second = worker(&store).await;
    until("the lease is taken over", async || {
        store.end_worker(first).await.expect("ended");
        store.take_lease("channel:slack:T1:r", second, LEASE).await.expect("asked")
    })
    .await;
    let successor = Sending::start(&store, platform.clone(), second, LEASE);
    until("all are marked", async || (sent_texts(&store, &room).await.len() == 2).then_some(())).await;
    assert_eq!(platform.texts(), ["r1", "r2"]);
    successor.stop().await;
    sending.stop().await;
}

#[tokio::test]
async fn threads_and_edits_wait_for_the_message_that_they_hang_on() {
    let (_db, store) = database().await;
    let platform = Arc::new(Platform::default());
    let room = slack("r");
    let cause = line(&store, &room, "1").await;
    let root = Some(("run:1".to_owned(), "root"));
    let in_thread = Place::ThreadOf("run:1".to_owned());
    say_all(
        &store,
        [
            message(&room, cause, 0, "before"),
            NewMessage { role: root.clone(), ..message(&room, cause, 1, "root") },
            NewMessage { place: in_thread.clone(), ..message(&room, cause, 2, "in the thread") },
            NewMessage { role: root, edits: true, ..message(&room, cause, 3, "root, edited") },
        ],
    )
    .await;
    let sending = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
    until("all are marked", async || (sent_texts(&store, &room).await.len() == 4).then_some(())).await;
    let seen: Vec<Seen> = locked(&platform.seen).iter().map(|(_, seen)| seen.clone()).collect();
    assert_eq!(seen[2].thread.as_deref(), Some("p2"), "{seen:?}");
    assert_eq!((seen[3].edits.as_deref(), seen[3].name.as_str()), (Some("p2"), "p2"), "{seen:?}");
    sending.stop().await;
}

#[tokio::test]
async fn what_hangs_on_a_message_that_was_given_up_stands_by_itself() {
    let (_db, store) = database().await;
    let platform = Arc::new(Platform::default());
    platform.script("root", [Deed::Refuse]);
    let room = slack("r");
    let cause = line(&store, &room, "1").await;
    let root = Some(("run:1".to_owned(), "root"));
    let edit = |part, text| NewMessage { role: root.clone(), edits: true, ..message(&room, cause, part, text) };
    say_all(
        &store,
        [
            NewMessage { role: root.clone(), ..message(&room, cause, 1, "root") },
            NewMessage { place: Place::ThreadOf("run:1".to_owned()), ..message(&room, cause, 2, "in the thread") },
            edit(3, "edited"),
            edit(4, "edited again"),
        ],
    )
    .await;
    let sending = Sending::start(&store, platform.clone(), worker(&store).await, LEASE);
    until("all are marked", async || (sent_texts(&store, &room).await.len() == 3).then_some(())).await;
    let seen: Vec<Seen> = locked(&platform.seen).iter().map(|(_, seen)| seen.clone()).collect();
    assert_eq!((seen[0].text.as_str(), seen[0].thread.as_deref()), ("in the thread", None));
    assert_eq!((seen[1].text.as_str(), seen[1].edits.as_deref()), ("edited", None));
    assert_eq!((seen[2].text.as_str(), seen[2].edits.as_deref()), ("edited again", Some("p2")));
    sending.stop().await;
}

#[tokio::test]
async fn a_room_that_nobody_serves_is_given_up_with_a_reason() {
    let (db, store) = database().await;
    let room: RoomAddress = "discord:G1:x".parse().expect("an address");
    let cause = line(&store, &room, "1").await;
    say_all(&store, [message(&room, cause, 1, "hello")]).await;
    let sending = Sending::start(&store, Arc::new(Platform::default()), worker(&store).await, LEASE);
    let mut connection = PgConnection::connect_with(&db.options()).await.expect("a connection");
    let reason: String = until("it is given up", async || {
        let failed = sqlx::query_scalar::<_, Option<String>>("select failed from outbox");
        failed.fetch_one(&mut connection).await.expect("a row")
    })
    .await;
    insta::assert_snapshot!(reason, @"nothing here speaks to discord:G1:x: no adapter serves its platform and workspace");
    sending.stop().await;
}

// ---- the local room over HTTP ----

/// Takes lines by a script: what the text says is what happens.
struct Scripted {
    store: Store,
    received: AtomicUsize,
}

impl Scripted {
    async fn take(&self, incoming: Incoming) -> anyhow::Result<Received> {
        self.received.fetch_add(1, Ordering::SeqCst);
        let text = match &incoming.what {
            Said::Line { text, .. } => text.clone(),
            Said::Edit { .. } => "edit".to_owned(),
            Said::Press { command, .. } => command.clone(),
        };
        anyhow::ensure!(text != "fail", "as the script says: password=hunter2");
        let mut tx = self.store.begin().await?;
        let Some(line) = tx.insert_line(&incoming, None, Some(&text)).await? else {
            let found = self.store.find_line(&incoming.room, &incoming.what.key()).await?;
            let found = found.expect("what was received before is there");
            return Ok(Received { line: found.id, delivery: Delivery::Again });
        };
        let (room, thread) = (&incoming.room, incoming.thread.as_ref());
        let mut answer = |message| tx.answer(line, room, thread, message);
        let account = |id: &str| Account { id: id.to_owned(), ..incoming.account.clone() };
        match text.as_str() {
            "talk" => tx.set_line_outcome(line, LineOutcome::Talk).await?,
            "edit" => tx.set_line_outcome(line, LineOutcome::Recorded).await?,
            "refuse" => {
                answer(Message::to_room("No runbook says that."));
                tx.set_line_outcome(line, LineOutcome::Refused).await?;
            }
            "whisper to boss" => {
                answer(Message::to_room("For all."));
                answer(Message::only_to(account("boss"), "For boss alone."));
                answer(Message::only_to(incoming.account.clone(), "For the speaker alone."));
            }
            "ask" | "run" => {
                answer(Message::to_room("A run."));
                let plan = Sealed::from_stored(b"{}".to_vec());
                tx.insert_plan(&plan).await?;
                let state = if text == "ask" { RunState::AwaitingApproval } else { RunState::Planned };
                tx.insert_run(NewRun {
                    state,
                    runbook: &RunbookName::new("start-service"),
                    system: &SystemName::new("system-a"),
                    environment: "production",
                    plan: &plan,
                    room,
                    thread,
                    requester: &PersonId::new("mei"),
                    account: &incoming.account,
                    cause: Some(line),
                    trigger: None,
                    incident: None,
                    not_before: None,
                })
                .await?;
            }
            other => answer(Message::to_room(format!("You said: {other}"))),
        }
        tx.commit().await?;
        Ok(Received { line, delivery: Delivery::First })
    }
}

impl Inbound for Scripted {
    fn receive(&self, incoming: Incoming) -> BoxFuture<'_, Result<Received, ReceiveError>> {
        Box::pin(async move { self.take(incoming).await.map_err(ReceiveError) })
    }

    fn news(&self, _: RoomNews) -> BoxFuture<'_, Result<NewsReceived, ReceiveError>> {
        Box::pin(async { Ok(NewsReceived::Undeclared) })
    }
}

struct World {
    db: Arc<TestDb>,
    store: Store,
    inbound: Arc<Scripted>,
    address: SocketAddr,
    client: Client,
    token: Token,
    stop: watch::Sender<bool>,
    serving: JoinHandle<std::io::Result<()>>,
    sending: Option<Sending>,
}

fn token() -> Token {
    Token::parse(&"5e".repeat(32)).expect("a token")
}

/// A server over a store. Without a sender nothing is ever told.
async fn serve(db: Arc<TestDb>, store: Store, listener: TcpListener, sends: bool) -> World {
    // An error means that another test was faster.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let room = Arc::new(LocalRoom::new(store.clock().clone()));
    let inbound = Arc::new(Scripted { store: store.clone(), received: AtomicUsize::new(0) });
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = watch::channel(false);
    let state = WebState {
        decisions: None,
        speaking: Speaking::Here,
        store: store.clone(),
        room: room.clone(),
        inbound: inbound.clone(),
        token: token(),
        rooms: Arc::new(|room| room.channel.starts_with("system-")),
        catalog: Arc::new(Arc::default),
        mending_line: Arc::new(|_, _| None),
        times: Times::in_zone(chrono_tz::Tz::UTC),
        trial: None,
        planner: Arc::new(|_| Err("no plans in this test".to_owned())),
        names: Vec::new(),
        keys: countersign::ledger::keys::Place { data: "/nowhere".into(), host: "app-1".to_owned() },
        hearings: Vec::new(),
        silent_at_most: Duration::from_secs(60),
    };
    let serving = tokio::spawn(web::serve(listener, state, stopped));
    let sending = if sends { Some(Sending::start(&store, room, worker(&store).await, LEASE)) } else { None };
    let client = Client::new(format!("http://{address}").parse().expect("an address"), token()).expect("a client");
    World { db, store, inbound, address, client, token: token(), stop, serving, sending }
}

impl World {
    async fn new() -> Self {
        let (db, store) = database().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        serve(db, store, listener, true).await
    }

    fn post(&self, what: &str, body: &Value) -> RequestBuilder {
        self.client.request(Method::POST, &["api", "v1", "rooms", "system-a", what]).json(body)
    }

    /// Says a line and reads the whole stream.
    async fn say(&self, body: Value) -> Vec<Value> {
        let response = self.post("lines", &body).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        objects(&text_of(response).await)
    }

    async fn history(&self, speaker: &str, after: i64) -> Vec<Value> {
        let request = self.client.request(Method::GET, &["api", "v1", "rooms", "system-a", "messages"]);
        let request = request.query(&[("as", speaker), ("after", &after.to_string())]);
        let response = request.send().await.expect("an answer");
        serde_json::from_str(&text_of(response).await).expect("JSON")
    }

    async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(SOON, self.serving).await.expect("in time").expect("no panic").expect("served");
        if let Some(sending) = self.sending {
            sending.stop().await;
        }
    }
}

async fn text_of(response: Response) -> String {
    tokio::time::timeout(SOON, response.text()).await.expect("in time").expect("a body")
}

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("an object a line")).collect()
}

fn texts(objects: &[Value]) -> Vec<&str> {
    objects.iter().filter_map(|object| object.get("text")?.as_str()).collect()
}

#[tokio::test]
async fn a_line_is_kept_answered_and_settled() {
    let world = World::new().await;
    let stream = world.say(json!({"as": "mei", "text": "hello", "message_id": "x1"})).await;
    assert_eq!(stream[0], json!({"line": 1, "delivery": "first", "message_id": "x1"}));
    let mut told = stream[1].clone();
    assert!(told.as_object_mut().and_then(|told| told.remove("at")).is_some_and(|at| at.is_string()));
    let expected = json!({
        "number": 1, "id": "m1", "thread": null, "edits": false, "only_to": null, "text": "You said: hello", "buttons": []
    });
    assert_eq!(told, expected);
    assert_eq!(stream[2], json!({"settled": "done", "run": null, "thread": null, "request": null, "state": null}));
    assert_eq!(stream.len(), 3);

    let refused = world.say(json!({"as": "mei", "text": "refuse", "thread": "m1"})).await;
    assert_eq!((&refused[1]["thread"], &refused[2]["settled"]), (&json!("m1"), &json!("refused")));
    assert!(refused[0]["message_id"].as_str().is_some_and(|id| id.len() == 32), "a line without a name gets one");

    let talk = world.say(json!({"as": "mei", "text": "talk", "wait_ms": 10000})).await;
    assert_eq!((talk.len(), &talk[1]["settled"]), (2, &json!("done")));
    world.stop().await;
}

#[tokio::test]
async fn i6_a_redelivered_line_acts_once_and_streams_what_it_had_led_to() {
    let world = World::new().await;
    let body = json!({"as": "mei", "text": "hello", "message_id": "x1"});
    let first = world.say(body.clone()).await;
    let again = world.say(body).await;
    assert_eq!(again[0], json!({"line": 1, "delivery": "again", "message_id": "x1"}));
    assert_eq!((texts(&again), again.last()), (texts(&first), first.last()));
    assert_eq!(texts(&world.history("mei", 0).await), ["You said: hello"], "it was answered once");
    world.stop().await;
}

#[tokio::test]
async fn a_private_message_reaches_its_account_alone() {
    let world = World::new().await;
    let by_mei = world.say(json!({"as": "mei", "text": "whisper to boss", "message_id": "x1"})).await;
    assert_eq!(texts(&by_mei), ["For all.", "For the speaker alone."]);
    assert_eq!(by_mei[2]["only_to"], "mei");
    // Whoever redelivers somebody else's line sees no more of it than anybody.
    let by_zed = world.say(json!({"as": "zed", "text": "whisper to boss", "message_id": "x1"})).await;
    assert_eq!(texts(&by_zed), ["For all."]);
    assert_eq!(texts(&world.history("mei", 0).await), ["For all.", "For the speaker alone."]);
    assert_eq!(texts(&world.history("boss", 0).await), ["For all.", "For boss alone."]);
    assert_eq!(texts(&world.history("zed", 0).await), ["For all."]);
    assert_eq!(texts(&world.history("boss", 1).await), ["For boss alone."]);
    world.stop().await;
}

#[tokio::test]
async fn streams_at_once_tell_each_only_its_own() {
    let world = World::new().await;
    let bodies: Vec<Value> = (0..20)
        .map(|n| json!({"as": format!("p{n}"), "text": format!("t{n}"), "message_id": format!("x{n}")}))
        .collect();
    let streams = futures_util::future::join_all(bodies.into_iter().map(|body| world.say(body))).await;
    for (n, stream) in streams.iter().enumerate() {
        assert_eq!(texts(stream), [format!("You said: t{n}")]);
        assert_eq!(stream.last().map(|last| &last["settled"]), Some(&json!("done")));
    }
    world.stop().await;
}

#[tokio::test]
async fn i5_a_message_sent_twice_is_told_once() {
    let world = World::new().await;
    let following = world.say(json!({"as": "mei", "text": "run", "wait_ms": 20000}));
    let doubling = async {
        until("the answer is marked", async || (!world.history("mei", 0).await.is_empty()).then_some(())).await;
        let mut connection = PgConnection::connect_with(&world.db.options()).await.expect("a connection");
        // As if the mark had been lost in a crash: the row is sent again.
        let unmark = sqlx::query("update outbox set sent_at = null where id = 1").execute(&mut connection).await;
        assert_eq!(unmark.expect("updated").rows_affected(), 1);
        say_all(&world.store, [message(&LocalRoom::address("system-a"), InboxId(1), 7, "The run is done.")]).await;
        until("both are marked", async || (world.history("mei", 0).await.len() == 2).then_some(())).await;
        let done = sqlx::query("update run set state = 'succeeded'").execute(&mut connection).await;
        assert_eq!(done.expect("updated").rows_affected(), 1);
    };
    let (followed, ()) = tokio::join!(following, doubling);
    assert_eq!(texts(&followed), ["A run.", "The run is done."]);
    world.stop().await;
}

#[tokio::test]
async fn waiting_ends_when_runs_rest_and_not_before() {
    let world = World::new().await;
    let asked = world.say(json!({"as": "mei", "text": "ask", "wait_ms": 20000})).await;
    let last = asked.last().expect("a last line");
    assert_eq!((&last["settled"], &last["state"]), (&json!("waiting"), &json!("awaiting_approval")));

    let timed_out = world.say(json!({"as": "mei", "text": "run", "wait_ms": 300, "message_id": "x2"})).await;
    assert_eq!(timed_out.last(), Some(&json!({"timeout": true})));
    let answered = world.say(json!({"as": "mei", "text": "run", "message_id": "x2"})).await;
    let last = answered.last().expect("a last line");
    assert_eq!(
        (&last["settled"], &last["state"]),
        (&json!("done"), &json!("planned")),
        "without a wait, answers end it"
    );

    let following = world.say(json!({"as": "mei", "text": "run", "wait_ms": 20000, "message_id": "x2"}));
    let ending = async {
        let room = LocalRoom::address("system-a");
        say_all(&world.store, [message(&room, InboxId(2), 7, "The run is done.")]).await;
        let mut connection = PgConnection::connect_with(&world.db.options()).await.expect("a connection");
        let done = sqlx::query("update run set state = 'succeeded' where id = 2").execute(&mut connection).await;
        assert_eq!(done.expect("updated").rows_affected(), 1);
    };
    let (followed, ()) = tokio::join!(following, ending);
    assert_eq!(texts(&followed), ["A run.", "The run is done."]);
    let last = followed.last().expect("a last line");
    assert_eq!((&last["settled"], &last["state"], &last["run"]), (&json!("done"), &json!("succeeded"), &json!(2)));
    world.stop().await;
}

#[tokio::test]
async fn a_dropped_connection_loses_nothing() {
    let world = World::new().await;
    // Gone before the answer: the request is written and the connection closed at once.
    let body = json!({"as": "mei", "text": "hello", "message_id": "x1"}).to_string();
    let request = format!(
        "POST /api/v1/rooms/system-a/lines HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        world.address,
        world.token.expose(),
        body.len(),
    );
    let mut connection = TcpStream::connect(world.address).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("written");
    drop(connection);
    until("it is received", async || (world.inbound.received.load(Ordering::SeqCst) == 1).then_some(())).await;
    until("it is answered", async || (!world.history("mei", 0).await.is_empty()).then_some(())).await;
    let again = world.say(json!({"as": "mei", "text": "hello", "message_id": "x1"})).await;
    assert_eq!((&again[0]["delivery"], texts(&again)), (&json!("again"), vec!["You said: hello"]));

    // Gone in the middle of the stream.
    let body = json!({"as": "mei", "text": "run", "message_id": "x2", "wait_ms": 20000});
    let mut response = world.post("lines", &body).send().await.expect("an answer");
    assert!(response.chunk().await.expect("a chunk").is_some());
    drop(response);
    let again = world.say(json!({"as": "mei", "text": "run", "message_id": "x2"})).await;
    assert_eq!((&again[0]["delivery"], texts(&again)), (&json!("again"), vec!["A run."]));
    world.stop().await;
}

/// Readers are bounded, and the bound is given back when one goes; whoever says something is served all the same.
#[tokio::test]
async fn so_many_read_on_at_once_and_no_more() {
    let world = World::new().await;
    let stream = async |speaker: &str| {
        let request = world.client.request(Method::GET, &["api", "v1", "rooms", "system-a", "stream"]);
        request.query(&[("as", speaker)]).send().await.expect("an answer")
    };
    let mut readers = Vec::new();
    for number in 0..256 {
        let response = stream(&format!("r{number}")).await;
        assert_eq!(response.status(), StatusCode::OK, "reader {number}");
        readers.push(response);
    }
    let full = stream("late").await;
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    insta::assert_snapshot!(text_of(full).await, @r#"{"error":"256 readers are connected already, and no more are served; try again later"}"#);
    let events = |wait_ms: &str| {
        let request = world.client.request(Method::GET, &["api", "v1", "events"]);
        request.query(&[("after", "0"), ("wait_ms", wait_ms)]).send()
    };
    let waiting = events("1000").await.expect("an answer");
    assert_eq!(waiting.status(), StatusCode::SERVICE_UNAVAILABLE, "who waits is a reader too");
    assert_eq!(events("0").await.expect("an answer").status(), StatusCode::OK);
    assert_eq!(texts(&world.say(json!({"as": "mei", "text": "hello"})).await), ["You said: hello"]);
    readers.pop();
    until("one has gone", async || (stream("late").await.status() == StatusCode::OK).then_some(())).await;
    drop(readers);
    world.stop().await;
}

#[tokio::test]
async fn strangers_and_other_sites_are_turned_away() {
    let world = World::new().await;
    let body = json!({"as": "mei", "text": "hello"});
    let status = async |request: RequestBuilder| {
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let error = serde_json::from_str::<Value>(&text_of(response).await).expect("JSON");
        (status, error["error"].as_str().unwrap_or_default().to_owned())
    };
    let port = world.address.port();
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), format!("127.0.0.1:{}", port ^ 1)] {
        let refused = status(world.post("lines", &body).header("host", &host)).await;
        assert_eq!(refused, (403, "this server does not go by that name".to_owned()), "{host}");
    }
    for origin in ["http://evil.example", "null", "http://127.0.0.1"] {
        let refused = status(world.post("lines", &body).header("origin", origin)).await;
        assert_eq!(refused, (403, "pages of other sites may not ask".to_owned()), "{origin}");
    }
    let http = reqwest::Client::new();
    let url = format!("http://{}/api/v1/rooms/system-a/lines", world.address);
    let unknown = (401, "the token is missing or wrong".to_owned());
    assert_eq!(status(http.post(&url).json(&body)).await, unknown);
    assert_eq!(status(http.post(&url).json(&body).bearer_auth("5e")).await, unknown);
    let nowhere = format!("http://{}/nowhere", world.address);
    assert_eq!(status(http.get(&nowhere)).await, unknown, "also where there is nothing");
    assert_eq!(world.inbound.received.load(Ordering::SeqCst), 0);

    let health = http.get(format!("http://{}/healthz", world.address)).send().await.expect("an answer");
    assert_eq!(health.status(), StatusCode::OK);
    let own = world.post("lines", &body).header("host", format!("localhost:{port}"));
    let own = own.header("origin", format!("http://localhost:{port}"));
    assert_eq!(own.send().await.expect("an answer").status(), StatusCode::OK);
    world.stop().await;
}

#[tokio::test]
async fn what_is_not_a_line_is_refused_with_one_sentence() {
    let world = World::new().await;
    let refused = async |what: &str, body: Value| {
        let response = world.post(what, &body).send().await.expect("an answer");
        let status = response.status().as_u16();
        let body: Value = serde_json::from_str(&text_of(response).await).expect("JSON");
        format!("{status} {}", body["error"].as_str().expect("a sentence"))
    };
    let long = "x".repeat(4001);
    let mut said = Vec::new();
    for (what, body) in [
        ("lines", json!({"as": "mei", "text": long})),
        ("lines", json!({"as": "mei", "text": " "})),
        ("lines", json!({"as": "mei", "text": "a\0b"})),
        ("lines", json!({"as": "m i", "text": "x"})),
        ("lines", json!({"as": "mei", "text": "x", "thread": "a\nb"})),
        ("lines", json!({"as": "mei", "text": "x", "message_id": ""})),
        ("lines", json!({"as": "mei", "text": "x", "wait_ms": 86_400_001})),
        ("lines", json!({"as": "mei", "text": "x", "wait": 1})),
        ("edits", json!({"as": "mei", "message_id": "x", "revision": "1"})),
        ("presses", json!({"as": "mei", "message": "m1", "command": "approve"})),
        ("lines", json!({"as": "mei", "text": "fail"})),
        ("nonsense", json!({})),
    ] {
        said.push(refused(what, body).await);
    }
    insta::assert_snapshot!(said.join("\n"), @r"
    400 a line has at most 4000 characters
    400 say something: the text is empty
    400 a line cannot hold the character NUL
    400 `as` must be 1 to 128 characters without spaces and control characters
    400 `thread` must be 1 to 128 characters without spaces and control characters
    400 `message_id` must be 1 to 128 characters without spaces and control characters
    400 `wait_ms` is at most 86400000, which is a day
    400 the body does not fit: unknown field `wait`, expected one of `as`, `text`, `thread`, `message_id`, `wait_ms` at line 1 column 29
    400 the body does not fit: missing field `text` at line 1 column 44
    400 the body does not fit: missing field `interaction` at line 1 column 47
    503 it could not be kept; send it again
    404 there is nothing at this address
    ");

    for room in ["other", "system-a%0a", "..", "%ff"] {
        let url = format!("http://{}/api/v1/rooms/{room}/lines", world.address);
        let request = reqwest::Client::new().post(url).bearer_auth(world.token.expose());
        let response = request.json(&json!({"as": "mei", "text": "x"})).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{room}");
    }
    let form = world.client.request(Method::POST, &["api", "v1", "rooms", "system-a", "lines"]).body("{}");
    assert_eq!(form.send().await.expect("an answer").status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let large = world.post("lines", &json!({"as": "mei", "text": "x".repeat(100_000)}));
    assert_eq!(large.send().await.expect("an answer").status(), StatusCode::PAYLOAD_TOO_LARGE);
    let get = world.client.request(Method::GET, &["api", "v1", "rooms", "system-a", "lines"]);
    assert_eq!(get.send().await.expect("an answer").status(), StatusCode::METHOD_NOT_ALLOWED, "GET never acts");
    world.stop().await;
}

#[tokio::test]
async fn edits_and_presses_come_in_as_what_they_are() {
    let world = World::new().await;
    let send = async |what: &str, body: Value| {
        let response = world.post(what, &body).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        objects(&text_of(response).await)
    };
    let edit = send("edits", json!({"as": "mei", "message_id": "x1", "revision": "2", "text": null})).await;
    assert_eq!((edit.len(), &edit[0]["delivery"], &edit[1]["settled"]), (2, &json!("first"), &json!("done")));
    let press = json!({"as": "boss", "interaction": "i1", "message": "m1", "command": "approve 7K3F", "thread": "m1"});
    let pressed = send("presses", press.clone()).await;
    assert_eq!((texts(&pressed), &pressed[1]["thread"]), (vec!["You said: approve 7K3F"], &json!("m1")));
    assert_eq!(send("presses", press).await[0]["delivery"], "again");
    let room = LocalRoom::address("system-a");
    for key in ["edit:x1:2", "press:i1"] {
        assert!(world.store.find_line(&room, key).await.expect("asked").is_some(), "{key}");
    }
    world.stop().await;
}

// ---- `say` ----

fn arguments(address: SocketAddr, text: &str, json: bool) -> say::Args {
    say::Args {
        at: ServerArgs { server: format!("http://{address}").parse().expect("an address"), data: None },
        speaker: "mei".to_owned(),
        room: "system-a".to_owned(),
        thread: None,
        message_id: Some("x1".to_owned()),
        wait: Some(SOON),
        json,
        text: text.split(' ').map(str::to_owned).collect(),
    }
}

async fn spoken(args: &say::Args, client: &Client) -> (Result<u8, String>, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = say::speak(args, client, &mut out, &mut err).await.map_err(|error| format!("{error:#}"));
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (code, text(out), text(err))
}

#[tokio::test]
async fn say_prints_what_comes_of_a_line() {
    let world = World::new().await;
    let said = spoken(&arguments(world.address, "hello there", false), &world.client).await;
    assert_eq!(said, (Ok(0), "You said: hello there\n".to_owned(), String::new()));
    let refuse = say::Args { message_id: None, ..arguments(world.address, "refuse", false) };
    let said = spoken(&refuse, &world.client).await;
    assert_eq!(said, (Ok(1), "No runbook says that.\n".to_owned(), "refused; the answer says why\n".to_owned()));
    let whisper = say::Args { message_id: None, ..arguments(world.address, "whisper to boss", false) };
    let said = spoken(&whisper, &world.client).await;
    assert_eq!(said, (Ok(0), "For all.\n(to you) For the speaker alone.\n".to_owned(), String::new()));
    let (code, out, err) = spoken(&arguments(world.address, "hello there", true), &world.client).await;
    assert_eq!((code, err), (Ok(0), String::new()));
    assert_eq!(objects(&out).last().map(|last| &last["settled"]), Some(&json!("done")));

    let wait = Some(Duration::from_millis(200));
    let late = say::Args { wait, message_id: None, ..arguments(world.address, "run", false) };
    let said = spoken(&late, &world.client).await;
    assert_eq!(said, (Ok(1), "A run.\n".to_owned(), "no end within 200ms\n".to_owned()));
    let elsewhere = say::Args { room: "other".to_owned(), ..arguments(world.address, "hello", false) };
    let (code, _, _) = spoken(&elsewhere, &world.client).await;
    assert_eq!(code, Err("there is no such room here".to_owned()));
    world.stop().await;
}

#[tokio::test]
async fn say_goes_on_when_the_bot_comes_back() {
    let (db, store) = database().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    // The first bot takes the line and is gone before it has told anything.
    let first = serve(db.clone(), store.clone(), listener, false).await;
    let (address, client) = (first.address, first.client.clone());
    let saying = tokio::spawn(async move { spoken(&arguments(address, "hello there", true), &client).await });
    until("the line is taken", async || (first.inbound.received.load(Ordering::SeqCst) == 1).then_some(())).await;
    until("the line is durable", async || {
        store.find_line(&LocalRoom::address("system-a"), "line:x1").await.expect("asked")
    })
    .await;
    first.stop().await;
    let listener = TcpListener::bind(address).await.expect("the same port");
    let second = serve(db, store, listener, true).await;
    let (code, out, err) = tokio::time::timeout(SOON, saying).await.expect("in time").expect("no panic");
    assert_eq!((code, err), (Ok(0), String::new()));
    let out = objects(&out);
    assert_eq!(texts(&out), ["You said: hello there"]);
    assert_eq!(out.iter().filter(|object| object.get("line").is_some()).count(), 1);
    assert_eq!(texts(&second.history("mei", 0).await), ["You said: hello there"], "it acted once");
    second.stop().await;
}

#[tokio::test]
async fn say_without_a_bot_is_one_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let args = say::Args { wait: None, ..arguments(address, "hello", false) };
    let client = Client::new(args.at.server.clone(), token()).expect("a client");
    let (code, out, _) = spoken(&args, &client).await;
    let sentence = code.expect_err("nobody is there").replace(&address.to_string(), "ADDRESS");
    insta::assert_snapshot!(sentence, @"http://ADDRESS does not answer (Connection refused (os error 111))");
    assert_eq!(out, "");
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams_unsettled() {
    let world = World::new().await;
    let body = json!({"as": "mei", "text": "run", "wait_ms": 60000});
    let mut response = world.post("lines", &body).send().await.expect("an answer");
    assert!(response.chunk().await.expect("a chunk").is_some());
    // An idle connection must not hold up the end either.
    let mut idle = TcpStream::connect(world.address).await.expect("a connection");
    world.stop().await;
    let rest = objects(&text_of(response).await);
    assert!(rest.iter().all(|object| object.get("settled").is_none() && object.get("timeout").is_none()), "{rest:?}");
    let mut byte = [0];
    let read = tokio::time::timeout(SOON, idle.read(&mut byte)).await.expect("in time");
    assert_eq!(read.unwrap_or(0), 0);
}

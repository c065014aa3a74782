//! The adapter for Slack against a workspace that it did not grow up with: with the rights of its own manifest and no
//! others, over HTTP and a socket. Every call is held to Slack's documents by the workspace itself.

#[path = "support/slack/mod.rs"]
mod slack;

use std::sync::Arc;
use std::time::Duration;

use countersign::chat::slack::api::Slack as Adapter;
use countersign::chat::slack::hand_over::{Door, Names};
use countersign::chat::slack::manifest::{COMMAND, EVENTS, SCOPES};
use countersign::chat::slack::socket::{Listener, Patience};
use countersign::chat::slack::text::WHY;
use countersign::chat::{Adapter as _, Delivery, Inbound, NewsReceived, Outgoing, ReceiveError, Received, SendError};
use countersign::model::chat::{Button, Incoming, Message, RoomAddress, RoomNews, Said, WhyWords};
use countersign::model::id::{InboxId, MessageId, OutboxId, ThreadId};
use countersign::store::Clock;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use slack::{APP_TOKEN, BOT_TOKEN, Fault, Kind, Room, SUBSCRIPTIONS, Slack, TEAM};

/// Hands over what it receives.
struct Ear(mpsc::UnboundedSender<Incoming>);

impl Inbound for Ear {
    fn receive(&self, incoming: Incoming) -> BoxFuture<'_, Result<Received, ReceiveError>> {
        let sent = self.0.send(incoming).map_err(|error| ReceiveError(error.into()));
        async move { sent.map(|()| Received { line: InboxId(1), delivery: Delivery::First }) }.boxed()
    }

    fn news(&self, _: RoomNews) -> BoxFuture<'_, Result<NewsReceived, ReceiveError>> {
        async { Ok(NewsReceived::First) }.boxed()
    }
}

/// The workspace, the adapter in it, and what it hears.
struct Scene {
    slack: Slack,
    channel: String,
    adapter: Arc<Adapter>,
    heard: mpsc::UnboundedReceiver<Incoming>,
    stop: watch::Sender<bool>,
    listener: JoinHandle<()>,
}

const SOON: Duration = Duration::from_secs(60);

impl Scene {
    async fn new() -> Self {
        let slack = Slack::start().await;
        slack.people(&["mei", "boss"]);
        slack.user("eve", Kind::Stranger("T0OTHER".to_owned()));
        slack.user("tool", Kind::Bot);
        let channel = slack.channel("incidents", Room::Public, &["mei", "boss", "eve", "tool", "countersign"]);
        for scope in slack::SCOPES.iter().filter(|scope| SCOPES.iter().all(|asked| asked.name != **scope)) {
            slack.without_scope(scope);
        }
        for event in SUBSCRIPTIONS.iter().filter(|event| EVENTS.iter().all(|(asked, _)| asked.name != **event)) {
            slack.unsubscribe(event);
        }
        let adapter = Adapter::connect(&slack.api(), BOT_TOKEN.to_owned()).await.expect("let in");
        let adapter = Arc::new(adapter);
        let (ear, heard) = mpsc::unbounded_channel();
        let names: Names = Arc::new(|account| account.id.strip_prefix("U0").map(str::to_lowercase));
        let clock = Clock::starting_at(chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("a time"));
        let words =
            WhyWords { title: "Deny".into(), question: "Why?".into(), send: "deny".into(), cancel: "back".into() };
        let patience = Patience { shortest_pause: Duration::from_millis(10), ..Patience::default() };
        let ear = Arc::new(Ear(ear));
        let door = Door { slack: adapter.clone(), inbound: ear, names, clock, words, away: None };
        let listener = Listener::new(door, APP_TOKEN.to_owned(), patience);
        let (stop, stops) = watch::channel(false);
        let listener = tokio::spawn(listener.run(stops));
        slack.connected(1).await;
        Self { slack, channel, adapter, heard, stop, listener }
    }

    /// What is heard next: who, and what.
    async fn next(&mut self) -> String {
        let incoming = tokio::time::timeout(SOON, self.heard.recv()).await.expect("in time").expect("something");
        assert_eq!(incoming.room, self.room());
        let thread = incoming.thread.map(|_| " in a thread").unwrap_or_default();
        let what = match incoming.what {
            Said::Line { text, address, .. } => format!("{address:?} {text}"),
            Said::Edit { text: Some(text), .. } => format!("edited: {text}"),
            Said::Edit { text: None, .. } => "deleted".to_owned(),
            Said::Press { command, .. } => format!("pressed: {command}"),
        };
        format!("{}{thread} {what}", incoming.account)
    }

    fn room(&self) -> RoomAddress {
        RoomAddress { platform: "slack".into(), workspace: TEAM.into(), channel: self.channel.clone() }
    }

    fn outgoing(&self, key: &str, message: Message) -> Outgoing {
        let room = self.room();
        Outgoing { id: OutboxId(1), room, thread: None, key: key.into(), cause: None, edits: None, message }
    }

    async fn end(self) {
        self.stop.send(true).expect("it listens");
        tokio::time::timeout(SOON, self.listener).await.expect("in time").expect("it ends");
        self.slack.finish();
    }
}

fn request() -> Message {
    let button = |word: &str| Button { label: word.to_owned(), command: format!("{word} 7K3F") };
    let text =
        "PRODUCTION · mei asks: start service-b · 7K3F\n`approved` or `deny because …` here.\n1 ! run    <!channel>";
    Message { buttons: vec![button("approve"), button("deny")], ..Message::to_room(text) }
}

#[tokio::test]
async fn what_people_do_is_heard_as_they_did_it() {
    let mut scene = Scene::new().await;
    let channel = scene.channel.clone();
    let line = scene.slack.say("mei", &channel, "start service b & c <now>");
    assert_eq!(scene.next().await, "slack:T0ACME:U0MEI ToRoom start service b & c <now>");
    scene.slack.reply("boss", &channel, line, "approved");
    assert_eq!(scene.next().await, "slack:T0ACME:U0BOSS in a thread ToRoom approved");
    scene.slack.edit("mei", &channel, line, "start service c");
    assert_eq!(scene.next().await, "slack:T0ACME:U0MEI edited: start service c");
    scene.slack.say("mei", &channel, "@countersign is @boss there");
    assert_eq!(scene.next().await, "slack:T0ACME:U0MEI Mention @countersign is @boss there");
    scene.slack.command("mei", &channel, COMMAND, "start service b");
    assert_eq!(scene.next().await, "slack:T0ACME:U0MEI Slash start service b");
    scene.slack.share("mei", &channel, "look", "graph.txt");
    assert_eq!(scene.next().await, "slack:T0ACME:U0MEI ToRoom look");
    assert!(scene.next().await.starts_with("slack:T0ACME:U0MEI ToRoom [file graph.txt, text/plain"));
    scene.slack.say("eve", &channel, "approved");
    assert_eq!(scene.next().await, "slack:T0OTHER:U0EVE ToRoom approved");
    // News of the room are no words of anybody's, and do not stop what follows.
    scene.slack.rename("mei", &channel, "incidents-old");
    scene.slack.leave("boss", &channel);
    scene.slack.drop_sockets();
    let anew =
        |slack: &Slack| (slack.calls_of("apps.connections.open").len() == 2 && slack.sockets() == 1).then_some(());
    scene.slack.until("a socket anew", anew).await;
    scene.slack.say("mei", &channel, "still there");
    assert_eq!(scene.next().await, "slack:T0ACME:U0MEI ToRoom still there");
    scene.end().await;
}

#[tokio::test]
async fn a_request_is_shown_pressed_and_changed() {
    let mut scene = Scene::new().await;
    let channel = scene.channel.clone();
    let name = scene.adapter.send(&scene.outgoing("k1", request())).await.expect("sent");
    let seen = scene.slack.of_bot(&channel).remove(0);
    assert_eq!(seen.ts.to_string(), name.as_str());
    assert!(seen.notification.starts_with("PRODUCTION · mei asks: start service-b · 7K3F"), "{}", seen.notification);
    assert!(scene.slack.pushes("mei").is_empty(), "nobody is pinged by what an output holds");
    scene.slack.press("boss", &channel, seen.ts, "approve");
    assert_eq!(scene.next().await, "slack:T0ACME:U0BOSS in a thread pressed: approve 7K3F");
    scene.slack.press("boss", &channel, seen.ts, "deny");
    let view = scene.slack.until("a window", |slack| slack.views("boss").pop()).await;
    scene.slack.submit(&view.id, &[(WHY, WHY, "not tonight")]);
    assert_eq!(scene.next().await, "slack:T0ACME:U0BOSS in a thread pressed: deny 7K3F because not tonight");
    let edit = Outgoing { edits: Some(name.clone()), ..scene.outgoing("k2", Message::to_room("boss denied 7K3F.")) };
    assert_eq!(scene.adapter.send(&edit).await, Ok(name.clone()));
    let reply =
        Outgoing { thread: Some(ThreadId::new(name.as_str())), ..scene.outgoing("k3", Message::to_room("Denied.")) };
    scene.adapter.send(&reply).await.expect("sent");
    let boss = format!("slack:{TEAM}:U0BOSS").parse().expect("an account");
    let private = scene.outgoing("k4", Message::only_to(boss, "Not approved yet."));
    scene.adapter.send(&private).await.expect("sent");
    assert_eq!(scene.slack.whispers("boss").len(), 1);
    let changed =
        scene.slack.messages(&channel).into_iter().find(|message| message.ts == seen.ts).expect("it is there");
    assert!(changed.edited && changed.buttons.is_empty() && changed.text.contains("boss denied 7K3F."), "{changed:?}");
    assert_eq!(scene.slack.thread(&channel, seen.ts).len(), 2);
    scene.end().await;
}

#[tokio::test]
async fn i5_what_arrived_without_an_answer_is_found_and_a_double_goes() {
    let scene = Scene::new().await;
    let message = scene.outgoing("k1", request());
    scene.slack.next("chat.postMessage", Fault::LostAfter);
    assert!(matches!(scene.adapter.send(&message).await, Err(SendError::Unknown(_))));
    let arrived = scene.slack.of_bot(&scene.channel).remove(0).ts.to_string();
    assert_eq!(scene.adapter.find(&message).await, Ok(Some(MessageId::new(&arrived))));
    // Somebody was too quick and sent it once more.
    scene.adapter.send(&message).await.expect("sent");
    assert_eq!(scene.slack.of_bot(&scene.channel).len(), 2);
    assert_eq!(scene.adapter.find(&message).await, Ok(Some(MessageId::new(&arrived))));
    assert_eq!(scene.slack.of_bot(&scene.channel).len(), 1);
    assert_eq!(scene.adapter.find(&scene.outgoing("k2", request())).await, Ok(None));
    scene.slack.next("chat.postMessage", Fault::LostBefore);
    let other = scene.outgoing("k3", request());
    assert!(matches!(scene.adapter.send(&other).await, Err(SendError::Unknown(_))));
    assert_eq!(scene.adapter.find(&other).await, Ok(None));
    scene.slack.next("chat.postMessage", Fault::Limited(Duration::from_secs(30)));
    assert_eq!(scene.adapter.send(&other).await, Err(SendError::RetryAfter(Duration::from_secs(30))));
    scene.end().await;
}

#[tokio::test]
async fn i5_somebody_is_written_to_alone_and_it_is_found_and_changed_there() {
    let scene = Scene::new().await;
    let boss = format!("slack:{TEAM}:U0BOSS").parse().expect("an account");
    let room = scene.adapter.direct(&boss).expect("direct messages");
    assert_eq!(room.to_string(), format!("slack:{TEAM}:U0BOSS"));
    for other in ["slack:T0OTHER:U0BOSS", "discord:T0ACME:U0BOSS", "slack:T0ACME:B0TOOL", "slack:T0ACME:C0BOSS"] {
        assert_eq!(scene.adapter.direct(&other.parse().expect("an account")), None, "{other}");
    }
    let message = Outgoing { room: room.clone(), ..scene.outgoing("k1", request()) };
    scene.slack.next("chat.postMessage", Fault::LostAfter);
    assert!(matches!(scene.adapter.send(&message).await, Err(SendError::Unknown(_))));
    let found = scene.adapter.find(&message).await.expect("an answer").expect("it arrived");
    let change = Outgoing {
        edits: Some(found.clone()),
        room: room.clone(),
        ..scene.outgoing("k2", Message::to_room("Denied."))
    };
    assert_eq!(scene.adapter.send(&change).await, Ok(found));
    let told = Outgoing { room, ..scene.outgoing("k3", Message::only_to(boss, "Not approved yet.")) };
    scene.adapter.send(&told).await.expect("sent");
    let channel = scene.slack.direct("boss");
    let said: Vec<String> = scene.slack.of_bot(&channel).into_iter().map(|seen| seen.text).collect();
    assert_eq!(said, ["Denied.", "Not approved yet."]);
    assert_eq!(scene.slack.calls_of("conversations.open").len(), 1, "Slack is asked once");
    assert!(scene.slack.of_bot(&scene.channel).is_empty());
    scene.end().await;
}

#[tokio::test]
async fn who_has_no_direct_messages_is_given_up_and_an_outage_is_not() {
    let scene = Scene::new().await;
    scene.slack.deactivate("boss");
    scene.slack.forgive("conversations.open", "user_disabled");
    let to = |id: &str| {
        let room = format!("slack:{TEAM}:{id}").parse().expect("an address");
        Outgoing { room, ..scene.outgoing("k1", request()) }
    };
    let refused = scene.adapter.send(&to("U0BOSS")).await;
    assert_eq!(refused, Err(SendError::Refused("user_disabled: the account is switched off".to_owned())));
    scene.slack.next("conversations.open", Fault::Status(503));
    assert!(matches!(scene.adapter.send(&to("U0MEI")).await, Err(SendError::Unknown(_))));
    assert!(scene.adapter.send(&to("U0MEI")).await.is_ok());
    scene.end().await;
}

//! Socket Mode: greetings, payloads, acks, and connections that end.

use std::time::Duration;

use serde_json::{Value, json};

use super::app::{connect, opened, workspace};
use super::slack::{Came, Release, Room, What};

const AT_ONCE: &[Duration] = &[Duration::ZERO, Duration::ZERO, Duration::ZERO];

fn event(frame: &Value) -> &Value {
    &frame["payload"]["event"]
}

#[tokio::test]
async fn a_line_arrives_and_is_taken() {
    let (slack, incidents) = workspace().await;
    let mut line = connect(&slack).await;
    slack.connected(1).await;
    let ts = slack.say("mei", &incidents, "start service b & <more>");
    let frame = line.frame().await.expect("an event");
    assert_eq!((&frame["type"], &frame["retry_attempt"]), (&json!("events_api"), &json!(0)));
    assert_eq!(frame["accepts_response_payload"], false);
    assert_eq!(frame["payload"]["type"], "event_callback");
    assert_eq!(frame["payload"]["authorizations"][0]["team_id"], "T0ACME");
    let event = event(&frame);
    assert_eq!(event["text"], "start service b &amp; &lt;more&gt;");
    assert_eq!((&event["ts"], &event["channel_type"]), (&json!(ts.to_string()), &json!("channel")));
    assert_eq!(slack.deliveries()[0].attempts.len(), 0);
    line.ack(&frame, None).await;
    slack.settled().await;
    assert_eq!(slack.deliveries()[0].attempts[0].came, Came::Taken(None));
    slack.finish();
}

#[tokio::test]
async fn a_mention_comes_as_two_events_of_one_time() {
    let (slack, incidents) = workspace().await;
    let mut line = connect(&slack).await;
    slack.say("mei", &incidents, "@countersign status");
    let (first, second) = (line.taken().await, line.taken().await);
    assert_eq!((&event(&first)["type"], &event(&second)["type"]), (&json!("message"), &json!("app_mention")));
    assert_eq!(event(&first)["ts"], event(&second)["ts"]);
    assert_eq!(event(&first)["text"], "<@U0BOT> status");
    assert_ne!(first["payload"]["event_id"], second["payload"]["event_id"]);
    slack.settled().await;
    slack.finish();
}

#[tokio::test]
async fn what_is_not_acked_comes_again_and_is_given_up_after_three_more() {
    let (slack, incidents) = workspace().await;
    slack.ack_within(Duration::from_millis(50));
    slack.retries(AT_ONCE);
    let mut line = connect(&slack).await;
    slack.say("mei", &incidents, "hello");
    let mut ids = Vec::new();
    for attempt in 0..4 {
        let frame = line.frame().await.expect("an attempt");
        assert_eq!(frame["retry_attempt"], attempt);
        assert_eq!(frame["retry_reason"], if attempt == 0 { "" } else { "timeout" });
        ids.push((frame["payload"]["event_id"].clone(), frame["envelope_id"].clone()));
    }
    slack.settled().await;
    assert!(ids.iter().all(|(event, _)| *event == ids[0].0), "the event stays the same");
    assert!(ids[1..].iter().all(|(_, envelope)| *envelope != ids[0].1), "the envelope does not");
    let delivery = &slack.deliveries()[0];
    assert!(!delivery.taken() && delivery.attempts.len() == 4, "{delivery:#?}");
    slack.finish();
}

#[tokio::test]
async fn a_button_is_delivered_once_though_nobody_acks_it() {
    let (slack, incidents) = workspace().await;
    slack.ack_within(Duration::from_millis(50));
    slack.retries(AT_ONCE);
    let mut line = connect(&slack).await;
    let handed = slack.command("mei", &incidents, "/countersign", "help");
    let frame = line.frame().await.expect("a command");
    assert_eq!((&frame["type"], &frame["accepts_response_payload"]), (&json!("slash_commands"), &json!(true)));
    assert_eq!((&frame["payload"]["command"], &frame["payload"]["text"]), (&json!("/countersign"), &json!("help")));
    let outcome = slack.outcome(handed.number).await;
    assert_eq!(outcome.what, What::Command);
    assert_eq!(outcome.attempts.iter().map(|attempt| attempt.came.clone()).collect::<Vec<_>>(), [Came::Late]);
    slack.finish();
}

#[tokio::test]
async fn each_payload_goes_to_one_of_several_sockets() {
    let (slack, incidents) = workspace().await;
    let (mut one, mut two) = (connect(&slack).await, connect(&slack).await);
    slack.connected(2).await;
    for n in 0..4 {
        slack.say("mei", &incidents, &format!("line {n}"));
    }
    for line in [&mut one, &mut two] {
        line.taken().await;
        line.taken().await;
    }
    slack.settled().await;
    let sockets: Vec<_> = slack.deliveries().iter().map(|one| one.attempts[0].socket).collect();
    assert_eq!(sockets[0], sockets[2]);
    assert_eq!(sockets[1], sockets[3]);
    assert_ne!(sockets[0], sockets[1]);
    slack.finish();
}

#[tokio::test]
async fn a_socket_that_drops_gives_back_what_it_had() {
    let (slack, incidents) = workspace().await;
    slack.retries(AT_ONCE);
    let mut first = connect(&slack).await;
    let mut second = connect(&slack).await;
    slack.connected(2).await;
    slack.say("mei", &incidents, "hello");
    let frame = first.frame().await.expect("an event");
    drop(first);
    slack.connected(1).await;
    let again = second.taken().await;
    assert_eq!(again["payload"]["event_id"], frame["payload"]["event_id"]);
    assert_eq!(again["retry_attempt"], 1);
    slack.settled().await;
    slack.finish();
}

#[tokio::test]
async fn with_nobody_there_an_event_is_lost_and_stays_in_the_history() {
    let (slack, incidents) = workspace().await;
    slack.retries(&[]);
    slack.say("mei", &incidents, "hello?");
    slack.settled().await;
    assert_eq!(slack.deliveries()[0].attempts[0].came, Came::Nobody);
    assert_eq!(slack.messages(&incidents).len(), 1);
    slack.finish();
}

#[tokio::test]
async fn a_socket_told_to_go_gets_nothing_new() {
    let (slack, incidents) = workspace().await;
    let mut old = connect(&slack).await;
    slack.disconnect("warning");
    assert_eq!(old.frame().await.expect("a frame")["reason"], "warning");
    let mut new = connect(&slack).await;
    slack.say("mei", &incidents, "hello");
    new.taken().await;
    slack.settled().await;
    slack.close_sockets();
    assert!(old.frame().await.is_none() && new.frame().await.is_none());
    slack.connected(0).await;
    slack.finish();
}

#[tokio::test]
async fn sockets_are_pinged_dropped_and_frozen() {
    let (slack, incidents) = workspace().await;
    slack.ping_every(Duration::from_millis(20));
    slack.ack_within(Duration::from_millis(50));
    slack.retries(&[]);
    let mut line = connect(&slack).await;
    line.ping().await;
    slack.freeze_sockets();
    slack.say("mei", &incidents, "hello?");
    slack.settled().await;
    assert_eq!(slack.deliveries()[0].attempts[0].came, Came::Late);
    assert_eq!(slack.sockets(), 1);
    slack.drop_sockets();
    assert!(line.frame().await.is_none());
    slack.connected(0).await;
    slack.finish();
}

#[tokio::test]
async fn a_ticket_opens_one_socket_and_the_eleventh_is_turned_away() {
    let (slack, _) = workspace().await;
    let url = opened(&slack).await;
    let (_first, _) = tokio_tungstenite::connect_async(&url).await.expect("a socket");
    assert!(tokio_tungstenite::connect_async(&url).await.is_err(), "a ticket is used once");
    assert_eq!(slack.pardon().len(), 1);
    let mut lines = Vec::new();
    for _ in 0..9 {
        lines.push(connect(&slack).await);
    }
    slack.connected(10).await;
    let (mut last, _) = tokio_tungstenite::connect_async(opened(&slack).await).await.expect("a socket");
    let said = futures_util::StreamExt::next(&mut last).await.expect("a frame").expect("a frame");
    assert!(said.to_text().is_ok_and(|text| text.contains("too_many_websockets")), "{said}");
    slack.finish();
}

#[tokio::test]
async fn strange_acks_are_remembered() {
    let (slack, incidents) = workspace().await;
    let mut line = connect(&slack).await;
    line.say(json!({"hello": "there"})).await;
    line.say(json!({"envelope_id": "nobody"})).await;
    slack.say("mei", &incidents, "hello");
    let frame = line.frame().await.expect("an event");
    line.ack(&frame, Some(json!({"text": "no"}))).await;
    slack.settled().await;
    assert_eq!(slack.pardon().len(), 3);
    slack.finish();
}

#[tokio::test]
async fn events_come_twice_late_and_the_wrong_way_round() {
    let (slack, incidents) = workspace().await;
    let mut line = connect(&slack).await;
    slack.twice();
    slack.say("mei", &incidents, "once");
    let (first, second) = (line.taken().await, line.taken().await);
    assert_eq!(first["payload"]["event_id"], second["payload"]["event_id"]);
    assert_eq!((&first["retry_attempt"], &second["retry_attempt"]), (&json!(0), &json!(1)));
    slack.settled().await;
    slack.hold();
    slack.say("mei", &incidents, "first");
    slack.say("mei", &incidents, "second");
    slack.release(Release::Reversed);
    let mut texts = Vec::new();
    for _ in 0..4 {
        texts.push(event(&line.taken().await)["text"].as_str().unwrap_or_default().to_owned());
    }
    assert_eq!(texts, ["second", "second", "first", "first"]);
    slack.hold();
    slack.say("mei", &incidents, "never");
    slack.lose();
    slack.settled().await;
    assert!(!slack.deliveries().last().expect("a payload").taken());
    slack.finish();
}

#[tokio::test]
async fn only_what_the_app_may_hear_is_told() {
    let (slack, incidents) = workspace().await;
    slack.retries(&[]);
    let elsewhere = slack.channel("general", Room::Public, &["mei"]);
    slack.say("mei", &elsewhere, "@countersign are you here?");
    assert_eq!(slack.events(), [""; 0], "the bot is not in that channel");
    slack.without_scope("app_mentions:read");
    slack.say("mei", &incidents, "@countersign status");
    assert_eq!(slack.events(), ["message"]);
    slack.unsubscribe("message.channels");
    slack.say("mei", &incidents, "hello");
    assert_eq!(slack.events(), ["message"]);
    slack.for_the_organisation();
    slack.tell_directly("mei", "psst");
    let told = slack.deliveries();
    assert_eq!(told[1].body["authorizations"][0]["team_id"], Value::Null);
    assert_eq!(told[1].body["event"]["channel_type"], "im");
    slack.finish();
}

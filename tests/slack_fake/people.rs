//! What people do, and what comes of it for the app and for the others.

use std::time::Duration;

use serde_json::{Value, json};

use super::app::{call, connect, post, workspace};
use super::slack::{Kind, Room, Slack, Ts};

async fn posted(slack: &Slack, arguments: Value) -> Ts {
    let answer = call(slack, "chat.postMessage", arguments).await;
    answer["ts"].as_str().unwrap_or_else(|| panic!("{answer}")).parse().expect("a time")
}

fn buttons() -> Value {
    json!([
        {"type": "section", "text": {"type": "mrkdwn", "text": "May <@U0MEI> restart `b`?"}},
        {"type": "actions", "block_id": "decide", "elements": [
            {"type": "button", "text": {"type": "plain_text", "text": "Approve"}, "action_id": "approve",
             "value": "R1:2", "style": "primary"},
            {"type": "button", "text": {"type": "plain_text", "text": "Deny"}, "action_id": "deny", "value": "R1:2"}]}
    ])
}

#[tokio::test]
async fn what_is_typed_is_marked_and_reads_as_typed() {
    let (slack, incidents) = workspace().await;
    slack.group("oncall", &["mei", "ana"]);
    let typed = "@countersign tell @ana, @oncall and #incidents: 1 < 2 & https://example.org/?a=1&b=2 @nobody";
    slack.say("mei", &incidents, typed);
    let body = &slack.deliveries()[0].body;
    assert_eq!(
        body["event"]["text"],
        format!(
            "<@U0BOT> tell <@U0ANA>, <!subteam^S0ONCALL|@oncall> and <#{incidents}|incidents>: 1 &lt; 2 &amp; \
             <https://example.org/?a=1&amp;b=2> @nobody"
        )
    );
    assert_eq!(slack.transcript(&incidents), format!("mei: {typed}\n"));
    slack.finish();
}

#[tokio::test]
async fn edits_and_deletions_are_told_with_what_was_before() {
    let (slack, incidents) = workspace().await;
    let first = slack.say("mei", &incidents, "start service b");
    slack.edit("mei", &incidents, first, "start service c");
    slack.reply("ana", &incidents, first, "why?");
    slack.delete(&incidents, first);
    let alone = slack.say("mei", &incidents, "never mind");
    slack.delete(&incidents, alone);
    assert_eq!(
        slack.events(),
        [
            "message",
            "message/message_changed",
            "message",
            "message/message_changed",
            "message",
            "message/message_deleted"
        ]
    );
    let told = slack.deliveries();
    assert_eq!(told[1].body["event"]["message"]["text"], "start service c");
    assert_eq!(told[1].body["event"]["previous_message"]["text"], "start service b");
    assert_eq!(told[1].body["event"]["message"]["edited"]["user"], "U0MEI");
    assert_eq!(told[2].body["event"]["thread_ts"], first.to_string());
    assert_eq!(told[3].body["event"]["message"]["subtype"], "tombstone");
    assert_eq!(told[5].body["event"]["deleted_ts"], alone.to_string());
    slack.finish();
}

#[tokio::test]
async fn a_reader_sees_blocks_with_buttons_and_a_lock_screen_the_text() {
    let (slack, incidents) = workspace().await;
    let text = format!("<@U0MEI> may approve R1 {}", "x".repeat(200));
    let ts = posted(&slack, json!({"channel": incidents, "text": text, "blocks": buttons()})).await;
    let seen = slack.of_bot(&incidents).remove(0);
    assert_eq!(seen.text, "May @mei restart `b`?\n[Approve] [Deny]");
    assert!(seen.notification.starts_with("@mei may approve R1 x"));
    assert_eq!(seen.notification.chars().count(), 110);
    assert_eq!(seen.buttons.len(), 2);
    assert_eq!(
        (seen.buttons[0].action_id.as_str(), seen.buttons[0].value.as_str(), seen.buttons[0].style.as_str()),
        ("approve", "R1:2", "primary")
    );
    let pushes = slack.pushes("mei");
    assert_eq!((pushes.len(), pushes[0].ts, &pushes[0].text), (1, ts, &seen.notification));
    slack.finish();
}

#[tokio::test]
async fn pushes_go_to_those_who_are_mentioned_and_there() {
    let (slack, incidents) = workspace().await;
    slack.group("oncall", &["ana", "bo"]);
    let say = |text: &str| json!({"channel": incidents, "text": text});
    posted(&slack, say("nobody in particular, mei")).await;
    let root = posted(&slack, say("<!subteam^S0ONCALL> look")).await;
    posted(&slack, say("<@U0BO> is not here")).await;
    posted(&slack, say("&lt;@U0MEI&gt; is not a mention")).await;
    call(&slack, "chat.update", json!({"channel": incidents, "ts": root.to_string(), "text": "<@U0MEI>"})).await;
    posted(&slack, json!({"channel": "U0MEI", "text": "directly"})).await;
    slack.say("mei", &incidents, "@mei and @ana");
    let count = |person: &str| slack.pushes(person).len();
    assert_eq!((count("mei"), count("ana"), count("bo"), count("gus")), (1, 2, 0, 0));
    posted(&slack, say("<!channel> fire")).await;
    assert_eq!((count("mei"), count("ana"), count("bo"), count("gus")), (2, 3, 0, 1));
    slack.finish();
}

#[tokio::test]
async fn a_pressed_button_opens_a_modal_that_is_sent_off() {
    let (slack, incidents) = workspace().await;
    let mut line = connect(&slack).await;
    let root = posted(&slack, json!({"channel": incidents, "text": "R1"})).await;
    line.taken().await;
    let arguments = json!({"channel": incidents, "text": "may I?", "blocks": buttons(), "thread_ts": root.to_string()});
    let ts = posted(&slack, arguments).await;
    line.taken().await;
    let pressed = slack.press("ana", &incidents, ts, "deny");
    let payload = line.taken().await["payload"].clone();
    let mut action = payload["actions"][0].clone();
    assert!(action["action_ts"].as_str().is_some_and(|ts| ts.parse::<Ts>().is_ok()), "{action}");
    action["action_ts"] = json!("");
    assert_eq!(
        action,
        json!({"type": "button", "action_id": "deny", "block_id": "decide", "value": "R1:2", "action_ts": "",
               "text": {"type": "plain_text", "text": "Deny", "emoji": true}})
    );
    assert_eq!(payload["type"], "block_actions");
    assert_eq!((&payload["user"]["id"], &payload["user"]["team_id"]), (&json!("U0ANA"), &json!("T0ACME")));
    assert_eq!(payload["container"]["message_ts"], ts.to_string());
    assert_eq!(payload["container"]["thread_ts"], root.to_string());
    assert_eq!(payload["message"]["blocks"][1]["block_id"], "decide");
    assert_eq!(payload["trigger_id"], pressed.trigger);

    let view = json!({"type": "modal", "title": {"type": "plain_text", "text": "Deny"}, "private_metadata": "R1:2",
        "callback_id": "deny", "submit": {"type": "plain_text", "text": "Deny"}, "blocks": [
        {"type": "input", "block_id": "why", "label": {"type": "plain_text", "text": "Why"},
         "element": {"type": "plain_text_input", "action_id": "reason"}}]});
    let open = json!({"trigger_id": pressed.trigger, "view": view});
    let opened = call(&slack, "views.open", open.clone()).await;
    assert_eq!(opened["ok"], true, "{opened}");
    assert_eq!(call(&slack, "views.open", open).await["error"], "exchanged_trigger_id");
    let views = slack.views("ana");
    assert_eq!(views.len(), 1);
    let sent = slack.submit(&views[0].id, &[("why", "reason", "not on a Friday")]);
    let frame = line.frame().await.expect("a submission");
    assert_eq!(frame["accepts_response_payload"], true);
    assert_eq!(frame["payload"]["view"]["state"]["values"]["why"]["reason"]["value"], "not on a Friday");
    assert_eq!(frame["payload"]["view"]["private_metadata"], "R1:2");
    line.ack(&frame, Some(json!({"response_action": "clear"}))).await;
    assert_eq!(slack.outcome(sent.number).await.answer(), Some(&json!({"response_action": "clear"})));
    assert_eq!(slack.views("ana").len(), 0);

    // A trigger lasts three seconds, and is nobody's to invent.
    let pressed = slack.press("ana", &incidents, ts, "Approve");
    slack.pass(Duration::from_millis(3100));
    for (trigger, error) in [(pressed.trigger.as_str(), "expired_trigger_id"), ("1.2.3", "invalid_trigger_id")] {
        let answer = call(&slack, "views.open", json!({"trigger_id": trigger, "view": view})).await;
        assert_eq!(answer["error"], error);
    }
    assert_eq!(slack.pardon().len(), 3);
    line.taken().await;
    slack.settled().await;
    slack.finish();
}

#[tokio::test]
async fn a_button_can_be_pressed_after_it_is_gone() {
    let (slack, incidents) = workspace().await;
    let ts = posted(&slack, json!({"channel": incidents, "text": "may I?", "blocks": buttons()})).await;
    let button = slack.of_bot(&incidents)[0].buttons[0].clone();
    let change = json!({"channel": incidents, "ts": ts.to_string(), "text": "approved", "blocks": []});
    call(&slack, "chat.update", change).await;
    assert_eq!(slack.of_bot(&incidents)[0].buttons, []);
    let pressed = slack.press_late("ana", &incidents, ts, &button);
    let body = slack.deliveries()[pressed.number].body.clone();
    assert_eq!(body["actions"][0]["value"], "R1:2");
    assert_eq!(body["message"]["text"], "approved");
    slack.finish();
}

#[tokio::test]
async fn a_response_url_answers_replaces_and_wears_out() {
    let (slack, incidents) = workspace().await;
    let ts = posted(&slack, json!({"channel": incidents, "text": "may I?", "blocks": buttons()})).await;
    let url = slack.press("ana", &incidents, ts, "approve").response_url;
    assert_eq!(post(&url, json!({"text": "not you"})).await, 200);
    assert_eq!(slack.whispers("ana")[0].text, "not you");
    assert_eq!(post(&url, json!({"text": "heard", "response_type": "in_channel"})).await, 200);
    assert_eq!(post(&url, json!({"text": "approved", "replace_original": true})).await, 200);
    assert_eq!(slack.transcript(&incidents), "countersign: approved (edited)\ncountersign: heard\n");
    assert_eq!(post(&url, json!({"colour": "red"})).await, 404);
    assert_eq!(post(&url, json!({"delete_original": true})).await, 200);
    assert_eq!(post(&url, json!({"text": "once more"})).await, 404);
    slack.pardon();
    let url = slack.command("ana", &incidents, "/countersign", "").response_url;
    slack.pass(Duration::from_secs(31 * 60));
    assert_eq!(post(&url, json!({"text": "late"})).await, 404);
    assert_eq!(slack.pardon().len(), 2, "the error, and that it was refused");
    slack.finish();
}

#[tokio::test]
async fn people_come_and_go_and_channels_change() {
    let (slack, incidents) = workspace().await;
    slack.user("zed", Kind::Stranger("T0OTHER".to_owned()));
    slack.join("bo", &incidents);
    slack.join("zed", &incidents);
    slack.say("zed", &incidents, "hello");
    slack.rename("mei", &incidents, "outage");
    slack.leave("bo", "outage");
    slack.share("mei", "outage", "the log", "b.log");
    slack.archive("mei", "outage");
    slack.unarchive("mei", "outage");
    slack.remove_bot("outage");
    slack.say("mei", "outage", "is it gone?");
    slack.invite_bot("mei", "outage");
    insta::assert_snapshot!(slack.events().join("\n"), @"
    message/channel_join
    member_joined_channel
    message/channel_join
    member_joined_channel
    message
    message/channel_name
    channel_rename
    message/channel_leave
    member_left_channel
    message/file_share
    message/channel_archive
    channel_archive
    message/channel_join
    member_joined_channel
    ");
    let of = |kind: &str| {
        let found = slack.deliveries().into_iter().rev().find(|one| one.body["event"]["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}")).body["event"].clone()
    };
    assert_eq!(of("channel_rename")["channel"]["name"], "outage");
    assert_eq!(of("member_joined_channel")["inviter"], "U0MEI");
    let stranger = slack.deliveries()[4].body.clone();
    assert_eq!((&stranger["event"]["user"], &stranger["event"]["team"]), (&json!("U0ZED"), &json!("T0OTHER")));
    assert_eq!(slack.deliveries()[9].body["event"]["files"][0]["name"], "b.log");
    slack.finish();
}

#[tokio::test]
async fn what_was_said_before_stands_before() {
    let (slack, _) = workspace().await;
    let quiet = slack.channel("quiet", Room::Private, &["mei", "countersign"]);
    slack.say("mei", &quiet, "now");
    slack.said("mei", &quiet, "ten minutes ago", Duration::from_secs(600));
    assert_eq!(slack.transcript(&quiet), "mei: ten minutes ago\nmei: now\n");
    slack.event(json!({"type": "brand_new", "x": 1}));
    assert_eq!(slack.events(), ["message", "message", "brand_new"]);
    slack.finish();
}

#[tokio::test]
async fn what_others_send_tells_what_they_are() {
    let (slack, incidents) = workspace().await;
    slack.user("hubot", Kind::Bot);
    slack.user("zed", Kind::Stranger("T0OTHER".to_owned()));
    let shared = slack.channel("shared", Room::Public, &["zed", "hubot", "countersign"]);
    slack.say("zed", &shared, "hello");
    slack.say("hubot", &shared, "beep");
    slack.integration(&incidents, "build 7 failed");
    let ts = slack.say("mei", &incidents, "see https://example.org/");
    slack.unfurl(&incidents, ts);
    let told: Vec<Value> = slack.deliveries().into_iter().map(|one| one.body).collect();
    assert_eq!((&told[0]["event"]["user_team"], &told[0]["is_ext_shared_channel"]), (&json!("T0OTHER"), &json!(true)));
    assert_eq!((&told[1]["event"]["bot_id"], &told[1]["event"]["user"]), (&json!("B0HUBOT"), &json!("U0HUBOT")));
    assert_eq!(told[2]["event"]["subtype"], "bot_message");
    assert!(told[2]["event"].get("user").is_none() && told[2]["event"].get("client_msg_id").is_none());
    let change = &told[4]["event"];
    assert_eq!(change["subtype"], "message_changed");
    assert_eq!(change["message"]["text"], change["previous_message"]["text"]);
    assert!(change["message"].get("edited").is_none() && change["message"]["attachments"][0].is_object());
    slack.finish();
}

#[tokio::test]
async fn replies_are_noticed_by_those_who_follow_the_thread() {
    let (slack, incidents) = workspace().await;
    let root = slack.say("mei", &incidents, "start b");
    let reply = |text: &str| json!({"channel": incidents, "text": text, "thread_ts": root.to_string()});
    posted(&slack, reply("step 1")).await;
    posted(&slack, reply("<@U0ANA> may I?")).await;
    posted(&slack, reply("step 2")).await;
    let count = |person: &str| (slack.pushes(person).len(), slack.thread_notices(person).len());
    assert_eq!((count("mei"), count("ana"), count("gus")), ((0, 3), (1, 1), (0, 0)));
    slack.finish();
}

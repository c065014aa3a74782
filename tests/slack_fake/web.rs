//! The Web API: what methods do, and what they refuse.

use serde_json::{Value, json};

use super::app::{call, form, get, post_bytes, sent, workspace};
use super::slack::{APP_TOKEN, BOT, BOT_TOKEN, Kind, Room, Slack, Ts};

fn ts(answer: &Value) -> Ts {
    answer["ts"].as_str().unwrap_or_else(|| panic!("no ts: {answer}")).parse().expect("a time")
}

/// Calls a method that must be refused with this error.
async fn refused(slack: &Slack, method: &str, arguments: Value, error: &str) -> Value {
    let answer = call(slack, method, arguments).await;
    assert_eq!(answer["ok"], false, "{method}: {answer}");
    assert_eq!(answer["error"], error, "{method}: {answer}");
    slack.forgive(method, error);
    answer
}

async fn done(slack: &Slack, method: &str, arguments: Value) -> Value {
    let answer = call(slack, method, arguments).await;
    assert_eq!(answer["ok"], true, "{method}: {answer}");
    answer
}

#[tokio::test]
async fn a_token_is_asked_for_and_must_be_of_the_right_kind() {
    let (slack, incidents) = workspace().await;
    let who = done(&slack, "auth.test", json!({})).await;
    assert_eq!((&who["team_id"], &who["user_id"]), (&json!("T0ACME"), &json!(BOT)));

    let answer: Value = form(&slack, "auth.test", &[]).await;
    assert_eq!(answer["error"], "not_authed");
    let answer: Value = form(&slack, "auth.test", &[("token", BOT_TOKEN)]).await;
    assert_eq!(answer["ok"], true);
    for (method, token, error) in [
        ("chat.postMessage", "xoxb-other", "invalid_auth"),
        ("chat.postMessage", APP_TOKEN, "not_allowed_token_type"),
        ("apps.connections.open", BOT_TOKEN, "not_allowed_token_type"),
        ("chat.scream", BOT_TOKEN, "unknown_method"),
    ] {
        let arguments = json!({"channel": incidents, "text": "hello"});
        let answer = sent(&slack, method, arguments, token).await.expect("an answer");
        let answer: Value = answer.json().await.expect("JSON");
        assert_eq!(answer["error"], error, "{method}");
    }
    slack.revoke();
    let answer = call(&slack, "auth.test", json!({})).await;
    assert_eq!(answer["error"], "token_revoked");
    assert_eq!(slack.pardon().len(), 6);
    slack.finish();
}

#[tokio::test]
async fn a_missing_scope_is_named_and_every_answer_tells_the_scopes() {
    let (slack, incidents) = workspace().await;
    slack.without_scope("chat:write");
    let arguments = json!({"channel": incidents, "text": "hello"});
    let answer = refused(&slack, "chat.postMessage", arguments, "missing_scope").await;
    assert_eq!(answer["needed"], "chat:write");
    assert!(answer["provided"].as_str().is_some_and(|scopes| scopes.contains("users:read")));
    let answer = sent(&slack, "auth.test", json!({}), BOT_TOKEN).await.expect("an answer");
    let scopes = answer.headers()["x-oauth-scopes"].to_str().expect("text");
    assert!(scopes.contains("users:read") && !scopes.contains("chat:write"), "{scopes}");

    // History asks for the scope of that kind of channel.
    slack.without_scope("groups:history");
    let private = slack.channel("secrets", Room::Private, &["mei", "countersign"]);
    let answer = refused(&slack, "conversations.history", json!({"channel": private}), "missing_scope").await;
    assert_eq!(answer["needed"], "groups:history");
    done(&slack, "conversations.history", json!({"channel": incidents})).await;
    slack.finish();
}

#[tokio::test]
async fn a_message_is_posted_read_edited_and_deleted() {
    let (slack, incidents) = workspace().await;
    let metadata = json!({"event_type": "countersign", "event_payload": {"position": 7, "of": {"run": "R1"}}});
    let posted =
        done(&slack, "chat.postMessage", json!({"channel": incidents, "text": "one &amp; two", "metadata": metadata}))
            .await;
    let first = ts(&posted);
    assert_eq!(posted["message"]["bot_id"], "B0BOT");
    let reply = json!({"channel": incidents, "text": "reply", "thread_ts": first.to_string()});
    let reply = ts(&done(&slack, "chat.postMessage", reply).await);
    let edit = json!({"channel": incidents, "ts": first.to_string(), "text": "changed"});
    done(&slack, "chat.update", edit).await;

    insta::assert_snapshot!(slack.transcript(&incidents), @r"
    countersign: changed (edited)
      | countersign: reply
    ");

    // Metadata comes only when it is asked for, and stays through an edit that does not name it.
    let history = get(&slack, "conversations.history", &[("channel", incidents.as_str())]).await;
    assert_eq!(history["messages"].as_array().map(Vec::len), Some(1), "{history}");
    assert_eq!(history["messages"][0]["reply_count"], 1);
    assert!(history["messages"][0].get("metadata").is_none());
    let query = [("channel", incidents.as_str()), ("include_all_metadata", "true")];
    let history = get(&slack, "conversations.history", &query).await;
    assert_eq!(history["messages"][0]["metadata"], metadata);
    let root = first.to_string();
    let query = [("channel", incidents.as_str()), ("ts", root.as_str())];
    let replies = get(&slack, "conversations.replies", &query).await;
    assert_eq!(replies["messages"].as_array().map(Vec::len), Some(2), "{replies}");
    assert_eq!(replies["messages"][1]["parent_user_id"], BOT);

    // A root with replies leaves a stone; a reply goes.
    done(&slack, "chat.delete", json!({"channel": incidents, "ts": first.to_string()})).await;
    assert_eq!(slack.transcript(&incidents), "USLACKBOT: This message was deleted.\n  | countersign: reply\n");
    refused(&slack, "chat.delete", json!({"channel": incidents, "ts": first.to_string()}), "message_not_found").await;
    done(&slack, "chat.delete", json!({"channel": incidents, "ts": reply.to_string()})).await;
    let edit = json!({"channel": incidents, "ts": reply.to_string(), "text": "again"});
    refused(&slack, "chat.update", edit, "message_not_found").await;
    slack.finish();
}

#[tokio::test]
async fn what_others_wrote_is_not_the_bots_to_change() {
    let (slack, incidents) = workspace().await;
    let said = slack.say("mei", &incidents, "mine").to_string();
    let arguments = json!({"channel": incidents, "ts": said, "text": "yours"});
    refused(&slack, "chat.update", arguments.clone(), "cant_update_message").await;
    refused(&slack, "chat.delete", json!({"channel": incidents, "ts": said}), "cant_delete_message").await;
    slack.finish();
}

#[tokio::test]
async fn channels_that_the_bot_is_not_in_do_not_know_it() {
    let (slack, incidents) = workspace().await;
    let open = slack.channel("general", Room::Public, &["mei"]);
    let closed = slack.channel("closed", Room::Private, &["mei"]);
    let to = |channel: &str| json!({"channel": channel, "text": "hello"});
    refused(&slack, "chat.postMessage", to(&open), "not_in_channel").await;
    refused(&slack, "chat.postMessage", to(&closed), "channel_not_found").await;
    refused(&slack, "chat.postMessage", to("C404"), "channel_not_found").await;
    refused(&slack, "conversations.history", json!({"channel": open}), "not_in_channel").await;
    done(&slack, "conversations.info", json!({"channel": open})).await;
    refused(&slack, "conversations.info", json!({"channel": closed}), "channel_not_found").await;
    slack.with_scope("chat:write.public");
    done(&slack, "chat.postMessage", to(&open)).await;

    slack.archive("mei", &incidents);
    refused(&slack, "chat.postMessage", to(&incidents), "is_archived").await;
    // Who archives a channel takes the bots out of it.
    refused(&slack, "conversations.history", json!({"channel": incidents}), "not_in_channel").await;
    slack.finish();
}

#[tokio::test]
async fn what_no_document_knows_is_remembered_though_it_passes() {
    let (slack, incidents) = workspace().await;
    done(&slack, "chat.postMessage", json!({"channel": incidents, "text": "hello", "colour": "red"})).await;
    let blocks = json!([{"type": "section", "text": {"type": "mrkdwn", "text": "no fallback"}}]);
    let posted = done(&slack, "chat.postMessage", json!({"channel": incidents, "blocks": blocks})).await;
    done(&slack, "chat.update", json!({"channel": incidents, "ts": posted["ts"], "text": "changed"})).await;
    let orphan = json!({"channel": incidents, "text": "reply", "thread_ts": "1700000000.000001"});
    done(&slack, "chat.postMessage", orphan).await;
    insta::assert_snapshot!(slack.pardon().join("\n"), @r"
    chat.postMessage: `chat.postMessage` has no argument `colour`
    chat.postMessage: blocks without a text: a lock screen shows nothing of it
    chat.update: an edit without blocks: the old ones stay, with their buttons
    chat.postMessage: no message 1700000000.000001: the reply lands in the channel itself
    ");
    slack.finish();
}

#[tokio::test]
async fn arguments_have_types_and_texts_have_bounds() {
    let (slack, incidents) = workspace().await;
    let with = |name: &str, value: Value| {
        let mut arguments = json!({"channel": incidents, "text": "hello"});
        arguments[name] = value;
        arguments
    };
    for (name, value, error) in [
        ("channel", json!(""), "invalid_arguments"),
        ("thread_ts", json!(1_700_000_000.0), "invalid_arguments"),
        ("thread_ts", json!("yesterday"), "invalid_arguments"),
        ("unfurl_links", json!("perhaps"), "invalid_arguments"),
        ("blocks", json!({"type": "section"}), "invalid_blocks_format"),
        ("blocks", json!("[{"), "invalid_blocks_format"),
        ("metadata", json!("x"), "invalid_metadata_format"),
        ("metadata", json!({"event_type": "x"}), "invalid_metadata_format"),
        ("metadata", json!({"event_type": "x", "event_payload": {"a": {"b": {"c": 1}}}}), "invalid_metadata_format"),
        ("text", json!(""), "no_text"),
        ("markdown_text", json!("# also"), "markdown_text_conflict"),
        ("username", json!("root"), "missing_scope"),
    ] {
        refused(&slack, "chat.postMessage", with(name, value), error).await;
    }
    let posted = done(&slack, "chat.postMessage", with("text", json!("x".repeat(40_000)))).await;
    let edit = |long: usize| json!({"channel": incidents, "ts": posted["ts"], "text": "x".repeat(long)});
    done(&slack, "chat.update", edit(4000)).await;
    refused(&slack, "chat.update", edit(4001), "msg_too_long").await;
    assert_eq!(slack.wrong(), [""; 0]);
    done(&slack, "chat.postMessage", with("text", json!("x".repeat(40_001)))).await;
    assert_eq!(slack.pardon().len(), 1);
    assert_eq!(slack.of_bot(&incidents).last().map(|seen| seen.text.len()), Some(40_000));
    slack.finish();
}

#[tokio::test]
async fn history_comes_in_pages_the_newest_first() {
    let (slack, incidents) = workspace().await;
    let said: Vec<String> = (0..5).map(|n| slack.say("mei", &incidents, &format!("line {n}")).to_string()).collect();
    let texts = |answer: &Value| {
        let messages = answer["messages"].as_array().unwrap_or_else(|| panic!("{answer}"));
        messages.iter().map(|message| message["text"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let page = get(&slack, "conversations.history", &[("channel", &incidents), ("limit", "2")]).await;
    assert_eq!(texts(&page), ["line 4", "line 3"]);
    assert_eq!(page["has_more"], true);
    let cursor = page["response_metadata"]["next_cursor"].as_str().expect("a cursor");
    let query = [("channel", incidents.as_str()), ("limit", "3"), ("cursor", cursor)];
    let page = get(&slack, "conversations.history", &query).await;
    assert_eq!(texts(&page), ["line 2", "line 1", "line 0"]);
    assert_eq!(page["has_more"], false);

    let between = [("channel", incidents.as_str()), ("oldest", &said[1]), ("latest", &said[3])];
    assert_eq!(texts(&get(&slack, "conversations.history", &between).await), ["line 2"]);
    let mut inclusive = between.to_vec();
    inclusive.push(("inclusive", "true"));
    assert_eq!(texts(&get(&slack, "conversations.history", &inclusive).await), ["line 3", "line 2", "line 1"]);
    refused(&slack, "conversations.history", json!({"channel": incidents, "cursor": "bm8="}), "invalid_cursor").await;
    refused(&slack, "conversations.history", json!({"channel": incidents, "limit": 1001}), "invalid_limit").await;
    refused(
        &slack,
        "conversations.replies",
        json!({"channel": incidents, "ts": "1700000000.000001"}),
        "thread_not_found",
    )
    .await;
    slack.finish();
}

#[tokio::test]
async fn an_ephemeral_message_is_seen_by_one_person() {
    let (slack, incidents) = workspace().await;
    let to = |user: &str| json!({"channel": incidents, "user": user, "text": "not you"});
    let answer = done(&slack, "chat.postEphemeral", to("U0MEI")).await;
    assert!(answer["message_ts"].is_string());
    assert_eq!(slack.whispers("mei").len(), 1);
    assert_eq!(slack.whispers("ana").len(), 0);
    assert_eq!(slack.transcript(&incidents), "");
    refused(&slack, "chat.postEphemeral", to("U0BO"), "user_not_in_channel").await;
    assert_eq!(slack.pushes("mei").len(), 0);
    slack.finish();
}

#[tokio::test]
async fn a_channel_is_made_for_an_incident_and_put_away() {
    let (slack, _) = workspace().await;
    let made = done(&slack, "conversations.create", json!({"name": "inc-7"})).await;
    let id = made["channel"]["id"].as_str().expect("an id").to_owned();
    refused(&slack, "conversations.create", json!({"name": "inc-7"}), "name_taken").await;
    refused(&slack, "conversations.create", json!({"name": "Inc 8"}), "invalid_name").await;
    refused(&slack, "conversations.create", json!({"name": "inc 8"}), "invalid_name_specials").await;
    refused(&slack, "conversations.create", json!({"name": "x".repeat(81)}), "invalid_name_maxlength").await;
    done(&slack, "conversations.invite", json!({"channel": id, "users": "U0MEI,U0ANA"})).await;
    let again = json!({"channel": id, "users": ["U0MEI", "U0BO"]});
    let answer = refused(&slack, "conversations.invite", again, "already_in_channel").await;
    assert_eq!(answer["errors"][0]["user"], "U0MEI");
    done(&slack, "conversations.setTopic", json!({"channel": id, "topic": "service b is down"})).await;
    refused(&slack, "conversations.setTopic", json!({"channel": id, "topic": "x".repeat(251)}), "too_long").await;
    let posted = done(&slack, "chat.postMessage", json!({"channel": id, "text": "summary"})).await;
    let pin = json!({"channel": id, "timestamp": posted["ts"]});
    done(&slack, "pins.add", pin.clone()).await;
    refused(&slack, "pins.add", pin, "already_pinned").await;
    done(&slack, "conversations.archive", json!({"channel": id})).await;
    refused(&slack, "conversations.archive", json!({"channel": id}), "already_archived").await;
    let about = slack.about(&id);
    assert_eq!((about.topic.as_str(), about.archived, about.pins.len()), ("service b is down", true, 1));
    // Bots leave what is archived.
    assert_eq!(about.members.into_iter().collect::<Vec<_>>(), ["ana", "mei"]);
    slack.finish();
}

#[tokio::test]
async fn people_and_groups_are_told_as_they_are() {
    let (slack, _) = workspace().await;
    slack.user("zed", Kind::Stranger("T0OTHER".to_owned()));
    slack.user("hubot", Kind::Bot);
    let group = slack.group("oncall", &["mei", "ana"]);
    for (id, pointer, value) in [
        ("U0MEI", "/user/is_restricted", json!(false)),
        ("U0GUS", "/user/is_restricted", json!(true)),
        ("U0ZED", "/user/team_id", json!("T0OTHER")),
        ("U0ZED", "/user/is_stranger", json!(true)),
        ("U0HUBOT", "/user/is_bot", json!(true)),
    ] {
        let answer = get(&slack, "users.info", &[("user", id)]).await;
        assert_eq!(answer.pointer(pointer), Some(&value), "{answer}");
    }
    slack.deactivate("bo");
    assert_eq!(get(&slack, "users.info", &[("user", "U0BO")]).await["user"]["deleted"], true);
    refused(&slack, "users.info", json!({"user": "U404"}), "user_not_found").await;
    let answer = get(&slack, "usergroups.users.list", &[("usergroup", group.as_str())]).await;
    assert_eq!(answer["users"], json!(["U0MEI", "U0ANA"]));
    refused(&slack, "usergroups.users.list", json!({"usergroup": "S404"}), "no_such_subteam").await;

    // A direct conversation is opened, once.
    let first = done(&slack, "conversations.open", json!({"users": "U0MEI"})).await;
    let second = done(&slack, "conversations.open", json!({"users": ["U0MEI"]})).await;
    assert_eq!(first["channel"]["id"], second["channel"]["id"]);
    refused(&slack, "conversations.open", json!({"users": "U0HUBOT"}), "cannot_dm_bot").await;
    done(&slack, "chat.postMessage", json!({"channel": "U0MEI", "text": "psst"})).await;
    assert_eq!(slack.of_bot(&slack.direct("mei")).len(), 1);
    slack.finish();
}

#[tokio::test]
async fn a_file_is_announced_sent_and_shown() {
    let (slack, incidents) = workspace().await;
    let ask = [("filename", "out.txt"), ("length", "5")];
    let asked = get(&slack, "files.getUploadURLExternal", &ask).await;
    let complete = json!({"files": [{"id": asked["file_id"], "title": "output"}], "channel_id": incidents,
                          "initial_comment": "all of it"});
    refused(&slack, "files.completeUploadExternal", complete.clone(), "file_update_failed").await;
    assert_eq!(post_bytes(asked["upload_url"].as_str().expect("a URL"), b"hello").await, 200);
    done(&slack, "files.completeUploadExternal", complete).await;
    assert_eq!(slack.transcript(&incidents), "countersign: all of it\n    [file output]\n");
    assert_eq!(slack.file("out.txt").as_deref(), Some(b"hello".as_slice()));
    slack.finish();
}

//! Block Kit: every bound at its edge.

use serde_json::{Value, json};

use super::app::{call, workspace};
use super::slack::blocks::{ALL_TEXT, Surface, problems, view_problems};

/// Holds that a value of this length is taken and one longer is not.
fn edge(bound: usize, what: &str, make: impl Fn(String) -> Value) {
    let of = |long: usize| problems(&[make("x".repeat(long))], Surface::Message);
    assert_eq!(of(bound), [""; 0], "{what} of {bound}");
    assert_eq!(of(bound + 1).len(), 1, "{what} of {}: {:?}", bound + 1, of(bound + 1));
}

fn button(more: Value) -> Value {
    let mut button = json!({"type": "button", "text": {"type": "plain_text", "text": "Approve"}, "action_id": "ok"});
    for (name, value) in more.as_object().into_iter().flatten() {
        button[name] = value.clone();
    }
    json!({"type": "actions", "elements": [button]})
}

fn section(text: Value) -> Value {
    json!({"type": "section", "text": text})
}

#[test]
fn lengths_are_held_at_their_edge() {
    edge(3000, "section", |text| section(json!({"type": "mrkdwn", "text": text})));
    edge(2000, "field", |text| json!({"type": "section", "fields": [{"type": "mrkdwn", "text": text}]}));
    edge(150, "header", |text| json!({"type": "header", "text": {"type": "plain_text", "text": text}}));
    edge(75, "button text", |text| button(json!({"text": {"type": "plain_text", "text": text}})));
    edge(2000, "button value", |value| button(json!({ "value": value })));
    edge(255, "action id", |id| button(json!({ "action_id": id })));
    edge(255, "block id", |id| json!({"type": "divider", "block_id": id}));
    edge(12_000, "markdown", |text| json!({"type": "markdown", "text": text}));
    edge(300, "confirm", |text| {
        let plain = json!({"type": "plain_text", "text": "Yes"});
        let text = json!({"type": "mrkdwn", "text": text});
        button(json!({"confirm": {"title": plain, "text": text, "confirm": plain, "deny": plain}}))
    });
}

#[test]
fn lists_are_held_at_their_edge() {
    let many = |count: usize, make: &dyn Fn(usize) -> Value| (0..count).map(make).collect::<Vec<_>>();
    let divider = |_| json!({"type": "divider"});
    assert_eq!(problems(&many(50, &divider), Surface::Message), [""; 0]);
    assert_eq!(problems(&many(51, &divider), Surface::Message).len(), 1);
    assert_eq!(problems(&many(100, &divider), Surface::Modal), [""; 0]);
    assert_eq!(problems(&many(101, &divider), Surface::Modal).len(), 1);
    let text = json!({"type": "plain_text", "text": "x"});
    let element = |n: usize| json!({"type": "button", "text": text, "action_id": format!("a{n}")});
    let actions = |count: usize| [json!({"type": "actions", "elements": many(count, &element)})];
    assert_eq!(problems(&actions(25), Surface::Message), [""; 0]);
    assert_eq!(problems(&actions(26), Surface::Message).len(), 1);
    assert_eq!(problems(&actions(0), Surface::Message).len(), 1);
    let context = |count: usize| [json!({"type": "context", "elements": many(count, &|_| text.clone())})];
    assert_eq!(problems(&context(10), Surface::Message), [""; 0]);
    assert_eq!(problems(&context(11), Surface::Message).len(), 1);
    let fields = |count: usize| [json!({"type": "section", "fields": many(count, &|_| text.clone())})];
    assert_eq!(problems(&fields(10), Surface::Message), [""; 0]);
    assert_eq!(problems(&fields(11), Surface::Message).len(), 1);
}

#[test]
fn shapes_are_held() {
    let plain = json!({"type": "plain_text", "text": "x"});
    let mrkdwn = json!({"type": "mrkdwn", "text": "x"});
    let cases = [
        ("no such block", json!({"type": "marquee"})),
        ("nothing in a section", json!({"type": "section"})),
        ("mrkdwn in a button", button(json!({ "text": mrkdwn }))),
        ("mrkdwn in a header", json!({"type": "header", "text": mrkdwn})),
        ("no such style", button(json!({"style": "warning"}))),
        ("no such field", button(json!({"colour": "red"}))),
        ("an empty text", section(json!({"type": "mrkdwn", "text": ""}))),
        ("a text that is a string", section(json!("hello"))),
        ("emoji in mrkdwn", section(json!({"type": "mrkdwn", "text": "x", "emoji": true}))),
        ("a number as a value", button(json!({"value": 7}))),
        ("a button without a text", json!({"type": "actions", "elements": [{"type": "button", "action_id": "a"}]})),
        ("half a confirmation", button(json!({"confirm": {"title": plain, "text": plain}}))),
        (
            "an input in a message",
            json!({"type": "input", "label": plain, "element": {"type": "plain_text_input", "action_id": "a"}}),
        ),
    ];
    let mut page = String::new();
    for (what, block) in cases {
        let problems = problems(&[block], Surface::Message);
        assert!(!problems.is_empty(), "{what}");
        page.push_str(&format!("{what}: {}\n", problems.join("; ")));
    }
    insta::assert_snapshot!(page);
    let twice = json!({"type": "divider", "block_id": "same"});
    assert_eq!(problems(&[twice.clone(), twice], Surface::Message).len(), 1);
    let one = json!({"type": "button", "text": plain, "action_id": "same"});
    assert_eq!(problems(&[json!({"type": "actions", "elements": [one, one]})], Surface::Message).len(), 1);
}

#[test]
fn modals_have_a_shape_too() {
    let plain = |text: &str| json!({"type": "plain_text", "text": text});
    let input = json!({"type": "input", "block_id": "why", "label": plain("Why"),
                       "element": {"type": "plain_text_input", "action_id": "reason", "multiline": true}});
    let view = json!({"type": "modal", "title": plain("Deny"), "submit": plain("Deny"), "close": plain("Back"),
                      "callback_id": "deny", "private_metadata": "R1", "blocks": [input]});
    assert_eq!(view_problems(&view), [""; 0]);
    let without = |name: &str| {
        let mut map = view.as_object().cloned().unwrap_or_default();
        map.remove(name);
        Value::Object(map)
    };
    assert_eq!(view_problems(&without("submit")).len(), 1);
    assert_eq!(view_problems(&without("title")).len(), 1);
    let with = |name: &str, value: Value| {
        let mut view = view.clone();
        view[name] = value;
        view
    };
    assert_eq!(view_problems(&with("title", plain(&"x".repeat(25)))).len(), 1);
    assert_eq!(view_problems(&with("private_metadata", json!("x".repeat(3001)))).len(), 1);
    assert_eq!(view_problems(&with("callback_id", json!("x".repeat(256)))).len(), 1);
    assert_eq!(view_problems(&with("type", json!("window"))).len(), 1);
}

#[tokio::test]
async fn blocks_are_refused_with_a_pointer_and_all_together_have_a_bound() {
    let (slack, incidents) = workspace().await;
    let wide = section(json!({"type": "mrkdwn", "text": "x".repeat(3001)}));
    let answer = call(&slack, "chat.postMessage", json!({"channel": incidents, "text": "x", "blocks": [wide]})).await;
    assert_eq!(answer["error"], "invalid_blocks");
    let said = "[ERROR] must be less than 3001 characters [json-pointer:/blocks/0/text/text]";
    assert_eq!(answer["response_metadata"]["messages"], json!([said]));
    let full = section(json!({"type": "mrkdwn", "text": "x".repeat(2500)}));
    let send = |count: usize| json!({"channel": incidents, "text": "x", "blocks": vec![full.clone(); count]});
    assert_eq!(ALL_TEXT, 10_000);
    assert_eq!(call(&slack, "chat.postMessage", send(4)).await["ok"], true);
    assert_eq!(call(&slack, "chat.postMessage", send(5)).await["error"], "msg_blocks_too_long");
    assert_eq!(slack.pardon().len(), 2);
    slack.finish();
}

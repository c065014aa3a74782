//! From a message in our words to what Slack shows.
//!
//! What lives here: blocks, the text that stands for them on a lock screen, escapes, limits, the window that asks for a
//! reason. What does not: the words.
//!
//! The body is set as rich text, whose text is taken letter by letter: no `<!channel>`, no `<@U…>`, no link and no star
//! in it means anything, wherever it comes from (I9). Whom a message pings stands in elements of its own. The text beside
//! the blocks, which notifications show, is read by Slack as markup; what means something there is escaped.

use serde_json::{Value, json};

use super::{PLATFORM, is_user_id};
use crate::chat::sender::split;
use crate::model::chat::{Account, Button, Message, WhyWords};

/// The most characters of a message's body. Slack takes about four times as many, in a way that it does not document;
/// this many are on a phone's screen without being folded away for long, and a plan is more messages rather than less.
pub const BODY: usize = 3_000;

/// The most characters of a body that takes another's place. It cannot be more messages, so it is allowed more.
pub const EDITED_BODY: usize = 9_000;

/// The most characters of the text beside the blocks, escapes included: from 4,000 on Slack refuses some.
pub const FALLBACK: usize = 3_900;

/// The most buttons under one message: one row of Slack's.
pub const BUTTONS: usize = 5;

/// The most characters on a button.
const LABEL: usize = 75;

/// The most characters of what a button sends.
const VALUE: usize = 2_000;

/// The most characters of what a window is named by, and of what stands on its buttons.
const TITLE: usize = 24;

/// The most characters that a person may give as a reason. The whole command has to fit into a line.
const REASON: u32 = 500;

/// Actions that send their value as a command. A number follows: Slack wants them distinct within a message.
pub const SAYS: &str = "says-";

/// Actions that ask for a reason first, and send their value with it.
pub const ASKS_WHY: &str = "asks-why-";

/// The window that asks for a reason.
pub const WHY: &str = "countersign-why";

/// What stands where something was left out.
const CUT: &str = "…";

/// One message as Slack takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Post {
    /// What notifications and readers without blocks show.
    pub text: String,
    /// What everybody else sees.
    pub blocks: Value,
}

/// Sets a message. It is more than one if its text does not fit: nothing is left out. Whom it pings stands in the first,
/// its buttons under the last.
pub fn posts(message: &Message) -> Vec<Post> {
    let parts = split(&message.text, BODY);
    let last = parts.len().saturating_sub(1);
    parts
        .iter()
        .enumerate()
        .map(|(index, part)| {
            let ping: &[Account] = if index == 0 { &message.ping } else { &[] };
            let buttons: &[Button] = if index == last { &message.buttons } else { &[] };
            let mut post = post(&[part], ping, buttons);
            if let Some(link) = &message.link {
                open_link(&mut post.blocks, link);
            }
            post
        })
        .collect()
}

/// Makes the one address that may be opened a link, where it stands in the text.
fn open_link(blocks: &mut Value, link: &str) {
    let groups = blocks.as_array_mut().into_iter().flatten().filter_map(|block| block["elements"].as_array_mut());
    for section in groups.flatten().filter(|group| group["type"] == "rich_text_section") {
        let Some(elements) = section["elements"].as_array_mut() else { continue };
        let at = elements.iter().position(|element| element["text"].as_str().is_some_and(|text| text.contains(link)));
        let Some(at) = at else { continue };
        let element = elements.remove(at);
        let (before, after) = element["text"].as_str().and_then(|text| text.split_once(link)).unwrap_or_default();
        let text = |text: &str| (!text.is_empty()).then(|| json!({"type": "text", "text": text}));
        let parts = [text(before), Some(json!({"type": "link", "url": link})), text(after)];
        elements.splice(at..at, parts.into_iter().flatten());
        return;
    }
}

/// Sets the beginning of a message whose whole is in a file, with a last line that says so.
pub fn beginning(message: &Message, note: &str) -> Post {
    let room = BODY.saturating_sub(note.chars().count() + 3).max(1);
    let parts = split(&message.text, room);
    let first = parts.first().map_or("", String::as_str).trim_end();
    post(&[&format!("{first}\n{CUT}\n{note}")], &message.ping, &message.buttons)
}

/// Sets a message that takes another's place: one, whatever it takes. What does not fit is left out at the end, and a
/// mark says so; what must not be cut is never an edit.
pub fn edit(message: &Message) -> Post {
    let length = message.text.chars().count();
    let kept: String = if length > EDITED_BODY {
        message.text.chars().take(EDITED_BODY - CUT.len()).chain(CUT.chars()).collect()
    } else {
        message.text.clone()
    };
    let parts = split(&kept, BODY);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    post(&parts, &message.ping, &message.buttons)
}

fn post(parts: &[&str], ping: &[Account], buttons: &[Button]) -> Post {
    let ping: Vec<&str> = ping.iter().filter_map(pinged).collect();
    let mut blocks = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let ping: &[&str] = if index == 0 { &ping } else { &[] };
        blocks.push(json!({"type": "rich_text", "elements": body(part, ping)}));
    }
    let buttons: Vec<Value> = buttons.iter().take(BUTTONS).enumerate().filter_map(button).collect();
    if !buttons.is_empty() {
        blocks.push(json!({"type": "actions", "elements": buttons}));
    }
    Post { text: fallback(&parts.join("\n"), &ping), blocks: Value::Array(blocks) }
}

/// The id to ping. An account of another platform, or one that cannot be a person's, is not pinged.
fn pinged(account: &Account) -> Option<&str> {
    (account.platform == PLATFORM && is_user_id(&account.id)).then_some(account.id.as_str())
}

/// How a line is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Setting {
    /// As prose; what stands in backticks is code.
    Prose,
    /// In letters of one width, so that columns stand under each other.
    Columns,
}

/// A body's elements. The first line says what it is about, and is prose; from there on a line that is indented, or has
/// more than one space in a row, was set in columns.
fn body(part: &str, ping: &[&str]) -> Vec<Value> {
    let part = part.trim_matches('\n');
    let part = if part.is_empty() { CUT } else { part };
    let mut groups: Vec<(Setting, Vec<&str>)> = Vec::new();
    for line in part.split('\n') {
        let setting = match groups.last() {
            None => Setting::Prose,
            Some((before, _)) if line.trim().is_empty() => *before,
            Some(_) if line.starts_with([' ', '\t']) || line.trim_end().contains("  ") => Setting::Columns,
            Some(_) => Setting::Prose,
        };
        match groups.last_mut() {
            Some((before, lines)) if *before == setting => lines.push(line),
            Some(_) | None => groups.push((setting, vec![line])),
        }
    }
    let mut elements = Vec::new();
    for (index, (setting, lines)) in groups.iter().enumerate() {
        elements.push(match setting {
            Setting::Prose => prose(lines, if index == 0 { ping } else { &[] }),
            Setting::Columns => json!({
                "type": "rich_text_preformatted",
                "elements": [{"type": "text", "text": lines.join("\n")}],
            }),
        });
    }
    elements
}

/// A section: its lines, and after the first of them whom it pings.
fn prose(lines: &[&str], ping: &[&str]) -> Value {
    let mut elements = Vec::new();
    let mut plain = String::new();
    let flush = |plain: &mut String, elements: &mut Vec<Value>| {
        if !plain.is_empty() {
            elements.push(json!({"type": "text", "text": std::mem::take(plain)}));
        }
    };
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            plain.push('\n');
        }
        for span in spans(line) {
            match span {
                Span::Plain(text) => plain.push_str(text),
                Span::Code(text) => {
                    flush(&mut plain, &mut elements);
                    elements.push(json!({"type": "text", "text": text, "style": {"code": true}}));
                }
            }
        }
        if index == 0 && !ping.is_empty() {
            plain.push('\n');
            for (index, id) in ping.iter().enumerate() {
                if index > 0 {
                    plain.push(' ');
                }
                flush(&mut plain, &mut elements);
                elements.push(json!({"type": "user", "user_id": id}));
            }
        }
    }
    flush(&mut plain, &mut elements);
    json!({"type": "rich_text_section", "elements": elements})
}

/// A stretch of a line.
#[derive(Debug, PartialEq, Eq)]
enum Span<'a> {
    Plain(&'a str),
    /// What stood between two backticks.
    Code(&'a str),
}

/// Takes a line apart at its backticks. One without a partner, or with nothing between, stays as it is.
fn spans(line: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let mut rest = line;
    while let Some(open) = rest.find('`') {
        let after = &rest[open + 1..];
        match after.find('`') {
            Some(close) if close > 0 => {
                if open > 0 {
                    spans.push(Span::Plain(&rest[..open]));
                }
                spans.push(Span::Code(&after[..close]));
                rest = &after[close + 1..];
            }
            Some(_) => {
                spans.push(Span::Plain(&rest[..open + 2]));
                rest = &after[1..];
            }
            None => break,
        }
    }
    if !rest.is_empty() {
        spans.push(Span::Plain(rest));
    }
    spans
}

fn button((index, button): (usize, &Button)) -> Option<Value> {
    // What a button does a word does as well, so one that cannot be set is no loss.
    if button.command.is_empty() || button.command.chars().count() > VALUE || button.label.trim().is_empty() {
        return None;
    }
    let kind = if asks_why(&button.command) { ASKS_WHY } else { SAYS };
    Some(json!({
        "type": "button",
        "action_id": format!("{kind}{index}"),
        "text": {"type": "plain_text", "text": cut(&button.label, LABEL), "emoji": false},
        "value": button.command,
    }))
}

/// Whether a command wants a reason that a button has not.
fn asks_why(command: &str) -> bool {
    command.split_whitespace().next() == Some("deny")
}

/// The text beside the blocks: it begins as the body does, so that a lock screen shows what it is about. Whom it pings
/// stands at the end.
fn fallback(body: &str, ping: &[&str]) -> String {
    let mut tail = String::new();
    for id in ping {
        // One too many is pinged by the blocks.
        if tail.len() + id.len() > FALLBACK / 4 {
            break;
        }
        tail.push_str(&format!(" <@{id}>"));
    }
    let body = body.trim();
    let body = if body.is_empty() { CUT } else { body };
    let room = FALLBACK - tail.chars().count();
    let mut text = escape(body);
    if text.chars().count() > room {
        text.clear();
        let mut used = 1;
        for character in body.chars() {
            let mut buffer = [0; 4];
            let escaped = escape(character.encode_utf8(&mut buffer));
            used += escaped.chars().count();
            if used > room {
                break;
            }
            text.push_str(&escaped);
        }
        text.push_str(CUT);
    }
    text + &tail
}

/// Takes the meaning from the three characters with which everything begins that Slack reads in a text: mentions,
/// channels, links, commands.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some(_) => text.chars().take(most - 1).chain(CUT.chars()).collect(),
    }
}

/// The window that asks for a reason. `kept` comes back with the answer; Slack takes at most 3,000 characters of it.
pub fn why_view(words: &WhyWords, kept: &str) -> Value {
    let plain = |text: &str, most| json!({"type": "plain_text", "text": cut(text, most), "emoji": false});
    json!({
        "type": "modal",
        "callback_id": WHY,
        "private_metadata": kept,
        "title": plain(&words.title, TITLE),
        "submit": plain(&words.send, TITLE),
        "close": plain(&words.cancel, TITLE),
        "blocks": [{
            "type": "input",
            "block_id": WHY,
            "label": plain(&words.question, VALUE),
            "element": {
                "type": "plain_text_input",
                "action_id": WHY,
                "multiline": false,
                "min_length": 1,
                "max_length": REASON,
                "focus_on_load": true,
            },
        }],
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REQUEST: &str = "PRODUCTION · mei asks: start service-b on app-1 · 1 change, no undo · until 22:33 SGT · 7K3F\n\
        `approved` or `deny because …` here, boss.\n\
        Why: users cannot check out until it runs. Last 5 runs: 5 helped, usually 8 s.\n\
        1 ! run    supervisorctl start service-b      on app-1, at most 60 s\n\
        \x20          asked for: supervisorctl\n\
        2   check  service-b                          within 30 s\n\
        Plan 9f2c 41d0 77ae · asked of boss";

    fn account(text: &str) -> Account {
        text.parse().expect("an account")
    }

    fn request() -> Message {
        let button = |label: &str, command: &str| Button { label: label.into(), command: command.into() };
        Message {
            ping: vec![account("slack:T1:U2"), account("slack:T1:U3")],
            buttons: vec![button("approve", "approve 7K3F"), button("deny", "deny 7K3F")],
            ..Message::to_room(REQUEST)
        }
    }

    #[test]
    fn the_one_link_of_a_message_can_be_opened_and_no_other() {
        let link = "https://decide.example/decide/x";
        let text = format!("7K3F needs your passkey. Decide at {link} now. https://evil.example stays text.");
        let message = Message { link: Some(link.to_owned()), ..Message::to_room(text.clone()) };
        insta::assert_snapshot!(posts(&message)[0].blocks[0]["elements"][0]["elements"], @r#"[{"text":"7K3F needs your passkey. Decide at ","type":"text"},{"type":"link","url":"https://decide.example/decide/x"},{"text":" now. https://evil.example stays text.","type":"text"}]"#);
        assert_eq!(
            posts(&Message::to_room(text))[0].blocks[0]["elements"][0]["elements"].as_array().map(Vec::len),
            Some(1)
        );
    }

    /// What a reader sees, with the backticks that code was written with, and without those who are pinged.
    fn seen(post: &Post) -> String {
        let mut groups = Vec::new();
        for block in post.blocks.as_array().expect("blocks") {
            if block["type"] != "rich_text" {
                continue;
            }
            for group in block["elements"].as_array().expect("elements") {
                let mut text = String::new();
                for element in group["elements"].as_array().expect("elements") {
                    if element["type"] == "user" {
                        continue;
                    }
                    let plain = element["text"].as_str().expect("a text");
                    match element["style"]["code"].as_bool() {
                        Some(true) => text.push_str(&format!("`{plain}`")),
                        Some(false) | None => text.push_str(plain),
                    }
                }
                groups.push(text);
            }
        }
        groups.join("\n")
    }

    /// Slack's rules for what we use of its blocks, written out as Slack documents them.
    fn check_blocks(blocks: &Value) {
        let blocks = blocks.as_array().expect("an array");
        assert!(!blocks.is_empty() && blocks.len() <= 50);
        let text_fits = |text: &Value, most: usize| {
            let text = text.as_str().expect("a text");
            assert!(!text.is_empty() && text.chars().count() <= most, "{} characters", text.chars().count());
        };
        let mut actions = Vec::new();
        for block in blocks {
            let elements = block["elements"].as_array().expect("elements");
            assert!(!elements.is_empty());
            match block["type"].as_str().expect("a type") {
                "rich_text" => {
                    for group in elements {
                        assert!(
                            ["rich_text_section", "rich_text_preformatted"]
                                .contains(&group["type"].as_str().expect("a type"))
                        );
                        let inline = group["elements"].as_array().expect("elements");
                        assert!(!inline.is_empty());
                        for element in inline {
                            match element["type"].as_str().expect("a type") {
                                "text" => text_fits(&element["text"], 3_000),
                                "user" => assert!(is_user_id(element["user_id"].as_str().expect("an id"))),
                                other => panic!("{other}"),
                            }
                        }
                    }
                }
                "actions" => {
                    assert!(elements.len() <= 25);
                    for element in elements {
                        assert_eq!(
                            (&element["type"], &element["text"]["type"]),
                            (&json!("button"), &json!("plain_text"))
                        );
                        text_fits(&element["text"]["text"], 75);
                        text_fits(&element["value"], 2_000);
                        text_fits(&element["action_id"], 255);
                        actions.push(element["action_id"].as_str().expect("an id").to_owned());
                    }
                }
                other => panic!("{other}"),
            }
        }
        let all = actions.len();
        actions.sort();
        actions.dedup();
        assert_eq!(actions.len(), all, "actions are distinct");
    }

    /// Undoes [`escape`].
    fn unescape(text: &str) -> String {
        text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    }

    #[test]
    fn a_request_is_its_decision_then_who_must_act_then_the_plan_in_columns() {
        let posts = posts(&request());
        assert_eq!(posts.len(), 1);
        insta::assert_json_snapshot!(posts[0].blocks, @r##"
        [
          {
            "elements": [
              {
                "elements": [
                  {
                    "text": "PRODUCTION · mei asks: start service-b on app-1 · 1 change, no undo · until 22:33 SGT · 7K3F\n",
                    "type": "text"
                  },
                  {
                    "type": "user",
                    "user_id": "U2"
                  },
                  {
                    "text": " ",
                    "type": "text"
                  },
                  {
                    "type": "user",
                    "user_id": "U3"
                  },
                  {
                    "text": "\n",
                    "type": "text"
                  },
                  {
                    "style": {
                      "code": true
                    },
                    "text": "approved",
                    "type": "text"
                  },
                  {
                    "text": " or ",
                    "type": "text"
                  },
                  {
                    "style": {
                      "code": true
                    },
                    "text": "deny because …",
                    "type": "text"
                  },
                  {
                    "text": " here, boss.\nWhy: users cannot check out until it runs. Last 5 runs: 5 helped, usually 8 s.",
                    "type": "text"
                  }
                ],
                "type": "rich_text_section"
              },
              {
                "elements": [
                  {
                    "text": "1 ! run    supervisorctl start service-b      on app-1, at most 60 s\n           asked for: supervisorctl\n2   check  service-b                          within 30 s",
                    "type": "text"
                  }
                ],
                "type": "rich_text_preformatted"
              },
              {
                "elements": [
                  {
                    "text": "Plan 9f2c 41d0 77ae · asked of boss",
                    "type": "text"
                  }
                ],
                "type": "rich_text_section"
              }
            ],
            "type": "rich_text"
          },
          {
            "elements": [
              {
                "action_id": "says-0",
                "text": {
                  "emoji": false,
                  "text": "approve",
                  "type": "plain_text"
                },
                "type": "button",
                "value": "approve 7K3F"
              },
              {
                "action_id": "asks-why-1",
                "text": {
                  "emoji": false,
                  "text": "deny",
                  "type": "plain_text"
                },
                "type": "button",
                "value": "deny 7K3F"
              }
            ],
            "type": "actions"
          }
        ]
        "##);
    }

    #[test]
    fn a_lock_screen_shows_the_decision() {
        let text = &posts(&request())[0].text;
        let shown: String = text.chars().take(110).collect();
        assert!(
            shown.contains(
                "PRODUCTION · mei asks: start service-b on app-1 · 1 change, no undo · until 22:33 SGT · 7K3F"
            ),
            "{shown}"
        );
        assert!(text.ends_with("asked of boss <@U2> <@U3>"), "{text}");
    }

    #[test]
    fn i9_nothing_from_outside_pings_links_or_forges() {
        let said = "No runbook says \"<!channel> <@U999> <#C1> <https://evil.example|good> @here *boss approved* &lt;!here&gt;\".";
        let post = &posts(&Message::to_room(said))[0];
        assert_eq!(seen(post), said);
        assert_eq!(
            post.text,
            "No runbook says \"&lt;!channel&gt; &lt;@U999&gt; &lt;#C1&gt; &lt;https://evil.example|good&gt; @here *boss \
             approved* &amp;lt;!here&amp;gt;\"."
        );
        let elements = &post.blocks[0]["elements"][0]["elements"];
        assert_eq!(elements.as_array().map(Vec::len), Some(1), "one stretch of plain text: {elements}");
        assert_eq!(elements[0], json!({"type": "text", "text": said}));
    }

    #[test]
    fn i9_only_people_of_slack_are_pinged() {
        let ping = ["slack:T1:U2", "discord:G1:U3", "slack:T1:!channel", "slack:T1:C4", "slack:T1:U5>"];
        let message = Message { ping: ping.map(account).to_vec(), ..Message::to_room("now") };
        let post = &posts(&message)[0];
        assert_eq!(post.text, "now <@U2>");
        assert_eq!(
            post.blocks[0]["elements"][0]["elements"],
            json!([{"type": "text", "text": "now\n"}, {"type": "user", "user_id": "U2"}])
        );
    }

    #[test]
    fn a_fence_in_an_output_ends_nothing() {
        let said = "2 failed  run\n  | ```\n  | <!everyone>\n  | ```\nThe run has failed.";
        let post = &posts(&Message::to_room(said))[0];
        assert_eq!(seen(post), said);
        let groups = post.blocks[0]["elements"].as_array().expect("groups");
        let types: Vec<&str> = groups.iter().filter_map(|group| group["type"].as_str()).collect();
        assert_eq!(types, ["rich_text_section", "rich_text_preformatted", "rich_text_section"]);
    }

    #[test]
    fn backticks_are_code_in_pairs() {
        let all = |line| spans(line).into_iter().map(|span| format!("{span:?}")).collect::<Vec<_>>().join(" ");
        assert_eq!(all("say `help` or `ping`."), r#"Plain("say ") Code("help") Plain(" or ") Code("ping") Plain(".")"#);
        assert_eq!(all("a ` b"), r#"Plain("a ` b")"#);
        assert_eq!(all("``` x"), r#"Plain("``") Plain("` x")"#);
        assert_eq!(all(""), "");
    }

    #[test]
    fn a_plan_that_is_long_is_more_messages_and_none_is_cut() {
        let step =
            |number| format!("{number} ! run    supervisorctl restart service-{number}   on app-1, at most 60 s");
        let steps: Vec<String> = (1..=300).map(step).collect();
        let message = Message { text: format!("PRODUCTION · mei asks\n{}", steps.join("\n")), ..request() };
        let posts = posts(&message);
        assert!(posts.len() > 5, "{}", posts.len());
        let all = posts.iter().map(seen).collect::<Vec<_>>().join("\n");
        // Whom it pings stands in a line of its own below the first, which is empty without them.
        assert_eq!(all.replacen("\n ", "", 1), message.text);
        let last = posts.len() - 1;
        for (index, post) in posts.iter().enumerate() {
            assert_eq!(post.blocks.to_string().contains("\"actions\""), index == last);
            assert_eq!(post.blocks.to_string().contains("\"user_id\""), index == 0);
        }
    }

    #[test]
    fn an_edit_is_one_message_and_says_what_it_lost() {
        let short = edit(&request());
        assert_eq!(short, posts(&request())[0]);
        let long = edit(&Message::to_room("a line of it\n".repeat(2_000)));
        check_blocks(&long.blocks);
        assert!(seen(&long).ends_with(CUT) && long.text.ends_with(CUT));
        let most = edit(&Message::to_room("é".repeat(EDITED_BODY)));
        assert_eq!(seen(&most).chars().filter(|c| *c == 'é').count(), EDITED_BODY);
    }

    #[test]
    fn a_button_that_slack_would_refuse_is_left_out() {
        let button = |label: &str, command: &str| Button { label: label.into(), command: command.into() };
        let long = "x".repeat(VALUE + 1);
        let buttons = vec![
            button("much", &long),
            button("", "approve"),
            button(&"l".repeat(100), "approve"),
            button("d", "deny 7K3F"),
        ];
        let post = &posts(&Message { buttons, ..Message::to_room("x") })[0];
        check_blocks(&post.blocks);
        let elements = &post.blocks[1]["elements"];
        assert_eq!(elements.as_array().map(Vec::len), Some(2));
        assert_eq!(elements[0]["action_id"], "says-2");
        assert_eq!(elements[1]["action_id"], "asks-why-3");
    }

    #[test]
    fn the_window_asks_and_keeps() {
        let words = WhyWords {
            title: "Deny a request of mei's to start".into(),
            question: "Why not?".into(),
            send: "deny".into(),
            cancel: "cancel".into(),
        };
        let view = why_view(&words, "{}");
        assert_eq!(view["title"]["text"], "Deny a request of mei's…");
        assert_eq!((&view["private_metadata"], &view["callback_id"]), (&json!("{}"), &json!(WHY)));
        assert_eq!(view["blocks"][0]["element"]["max_length"], 500);
    }

    fn any_message() -> impl Strategy<Value = Message> {
        // A piece of text, said again and again: long ones are quick to make.
        let piece =
            prop_oneof!["[ -~\n]{0,80}", "[<>&@!|`*_~ a-z\n]{0,80}", "(<!channel>|<@U1>|`|  |\n|&|é|😀|word | ){0,30}"];
        let text = (piece, 0..150_usize).prop_map(|(piece, times)| piece.repeat(times));
        let button = (
            "[ -~é]{0,100}",
            prop_oneof![Just("deny 7K3F".to_owned()), (0..2_100_usize).prop_map(|length| "x".repeat(length))],
        );
        let ping = prop::collection::vec("(slack|discord):T1:[UWC!][A-Z0-9>]{0,12}", 0..6);
        (text, prop::collection::vec(button, 0..8), ping).prop_map(|(text, buttons, ping)| Message {
            text,
            only_to: None,
            ping: ping.iter().map(|ping| account(ping)).collect(),
            buttons: buttons.into_iter().map(|(label, command)| Button { label, command }).collect(),
            file: None,
            link: None,
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn whatever_is_said_fits(message in any_message()) {
            for post in posts(&message).into_iter().chain([edit(&message)]) {
                check_blocks(&post.blocks);
                prop_assert!(!post.text.is_empty() && post.text.chars().count() <= FALLBACK);
            }
        }

        #[test]
        fn nothing_is_lost(message in any_message()) {
            let ink = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let quiet = Message { ping: Vec::new(), ..message };
            let shown: String = posts(&quiet).iter().map(seen).collect();
            let (shown, said) = (ink(&shown), ink(&quiet.text));
            prop_assert!(shown == said || (said.is_empty() && shown == CUT), "{shown}");
        }

        #[test]
        fn what_fits_is_seen_letter_by_letter(text in "[!-~é😀]([ -~é😀\n]{0,300}[!-~])?") {
            let post = posts(&Message::to_room(text.clone())).remove(0);
            prop_assert_eq!(seen(&post), text);
        }

        #[test]
        fn i9_only_who_is_meant_is_pinged(message in any_message()) {
            let meant: Vec<String> = message.ping.iter().filter_map(pinged).map(str::to_owned).collect();
            let mut users = Vec::new();
            for post in posts(&message) {
                let text = meant.iter().fold(post.text.clone(), |text, id| text.replacen(&format!(" <@{id}>"), "", 1));
                prop_assert!(!text.contains(['<', '>']), "{text}");
                let blocks = post.blocks.as_array().expect("blocks").clone();
                let groups = blocks.iter().flat_map(|block| block["elements"].as_array().cloned().unwrap_or_default());
                let inline = groups.flat_map(|group| group["elements"].as_array().cloned().unwrap_or_default());
                users.extend(inline.filter_map(|element| element["user_id"].as_str().map(str::to_owned)));
            }
            prop_assert_eq!(users, meant);
        }

        #[test]
        fn the_first_letters_are_the_first_letters(message in any_message()) {
            let body = split(&message.text, BODY).remove(0);
            let head: String = body.trim().chars().take(110).collect();
            let text = posts(&message).remove(0).text;
            prop_assert!(unescape(&text).starts_with(&head), "{text}");
        }
    }
}

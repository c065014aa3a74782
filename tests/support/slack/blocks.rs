//! Block Kit: which blocks, elements and fields there are, and how long each may be.
//!
//! Stricter than Slack in one point: a field that no document knows is a problem here and is ignored there.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Where blocks stand, which decides what may be among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// A message: at most 50.
    Message,
    /// A modal: at most 100.
    Modal,
}

/// All text of a message's blocks together. No document names the bound; messages of 9,597 characters are known to have
/// been taken, and of 11,341 to have been refused.
pub(crate) const ALL_TEXT: usize = 10_000;

/// What is wrong with a list of blocks, as Slack words it: a sentence and where.
pub(crate) fn problems(blocks: &[Value], surface: Surface) -> Vec<String> {
    let mut check = Check::default();
    let most = match surface {
        Surface::Message => 50,
        Surface::Modal => 100,
    };
    if blocks.len() > most {
        check.say("/blocks", format!("no more than {most} items allowed"));
    }
    let mut ids = BTreeSet::new();
    for (index, block) in blocks.iter().enumerate() {
        let at = format!("/blocks/{index}");
        check.block(&at, block, surface);
        if let Some(id) = block.get("block_id").and_then(Value::as_str)
            && !ids.insert(id)
        {
            check.say(&at, format!("`block_id` {id} already exists"));
        }
    }
    check.problems
}

/// What is wrong with a modal.
pub(crate) fn view_problems(view: &Value) -> Vec<String> {
    let mut check = Check::default();
    let fields = [
        "type",
        "title",
        "close",
        "submit",
        "blocks",
        "private_metadata",
        "callback_id",
        "external_id",
        "clear_on_close",
        "notify_on_close",
        "submit_disabled",
    ];
    let Some(map) = check.object("/view", view, &fields, &["type", "title", "blocks"]) else { return check.problems };
    if map.get("type").and_then(Value::as_str) != Some("modal") {
        check.say("/view/type", "must be `modal`");
    }
    for name in ["title", "close", "submit"] {
        check.text_of("/view", map, name, Text::Plain, 24);
    }
    check.string_of("/view", map, "private_metadata", 0, 3000);
    check.string_of("/view", map, "callback_id", 0, 255);
    check.string_of("/view", map, "external_id", 0, 255);
    check.flags("/view", map, &["clear_on_close", "notify_on_close", "submit_disabled"]);
    match map.get("blocks") {
        Some(Value::Array(blocks)) => {
            if blocks.iter().any(|block| block.get("type").and_then(Value::as_str) == Some("input"))
                && !map.contains_key("submit")
            {
                check.say("/view/submit", "must have a `submit` when there is an input");
            }
            check.problems.extend(problems(blocks, Surface::Modal));
        }
        Some(_) => check.say("/view/blocks", "must be an array"),
        None => {}
    }
    check.problems
}

/// How many characters of text the blocks hold.
pub(crate) fn text_in(blocks: &[Value]) -> usize {
    fn count(value: &Value) -> usize {
        match value {
            Value::Object(map) => map
                .iter()
                .map(|(name, value)| match value {
                    Value::String(text) if name == "text" => text.chars().count(),
                    _ => count(value),
                })
                .sum(),
            Value::Array(list) => list.iter().map(count).sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        }
    }
    blocks.iter().map(count).sum()
}

/// Which text objects may stand somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Plain,
    Any,
}

#[derive(Default)]
struct Check {
    problems: Vec<String>,
}

impl Check {
    fn say(&mut self, at: &str, problem: impl AsRef<str>) {
        self.problems.push(format!("{} [json-pointer:{at}]", problem.as_ref()));
    }

    /// The object, when it is one; says what is missing and what does not belong.
    fn object<'v>(
        &mut self,
        at: &str,
        value: &'v Value,
        allowed: &[&str],
        needed: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let Some(map) = value.as_object() else {
            self.say(at, "must be an object");
            return None;
        };
        for name in map.keys().filter(|name| !allowed.contains(&name.as_str())) {
            self.say(at, format!("no such field: `{name}`"));
        }
        for name in needed.iter().filter(|name| !map.contains_key(**name)) {
            self.say(at, format!("missing required field: {name}"));
        }
        Some(map)
    }

    /// A string between these lengths, where there is one.
    fn string_of(&mut self, at: &str, map: &Map<String, Value>, name: &str, least: usize, most: usize) {
        let at = format!("{at}/{name}");
        match map.get(name) {
            None => {}
            Some(Value::String(text)) => self.length(&at, text, least, most),
            Some(_) => self.say(&at, "must be a string"),
        }
    }

    fn length(&mut self, at: &str, text: &str, least: usize, most: usize) {
        let long = text.chars().count();
        if long > most {
            self.say(at, format!("must be less than {} characters", most + 1));
        }
        if long < least {
            self.say(at, format!("must be more than {} characters", least - 1));
        }
    }

    fn flags(&mut self, at: &str, map: &Map<String, Value>, names: &[&str]) {
        for name in names {
            if map.get(*name).is_some_and(|value| !value.is_boolean()) {
                self.say(&format!("{at}/{name}"), "must be a boolean");
            }
        }
    }

    fn one_of(&mut self, at: &str, map: &Map<String, Value>, name: &str, choices: &[&str]) {
        match map.get(name) {
            None => {}
            Some(Value::String(value)) if choices.contains(&value.as_str()) => {}
            Some(_) => self.say(&format!("{at}/{name}"), format!("must be one of {}", choices.join(", "))),
        }
    }

    fn text_of(&mut self, at: &str, map: &Map<String, Value>, name: &str, kind: Text, most: usize) {
        if let Some(text) = map.get(name) {
            self.text(&format!("{at}/{name}"), text, kind, most);
        }
    }

    /// A text object.
    fn text(&mut self, at: &str, value: &Value, kind: Text, most: usize) {
        let Some(map) = self.object(at, value, &["type", "text", "emoji", "verbatim"], &["type", "text"]) else {
            return;
        };
        let said = map.get("type").and_then(Value::as_str).unwrap_or_default();
        match (kind, said) {
            (Text::Any | Text::Plain, "plain_text") | (Text::Any, "mrkdwn") => {}
            (Text::Any | Text::Plain, _) => self.say(&format!("{at}/type"), format!("unsupported type: {said}")),
        }
        if said == "mrkdwn" && map.contains_key("emoji") || said == "plain_text" && map.contains_key("verbatim") {
            self.say(at, "`emoji` is for plain text and `verbatim` for mrkdwn");
        }
        self.flags(at, map, &["emoji", "verbatim"]);
        self.string_of(at, map, "text", 1, most);
    }

    /// A list of this many; each looked at.
    fn list<'v>(
        &mut self,
        at: &str,
        map: &'v Map<String, Value>,
        name: &str,
        most: usize,
        mut each: impl FnMut(&mut Self, &str, &'v Value),
    ) {
        let at = format!("{at}/{name}");
        match map.get(name) {
            None => {}
            Some(Value::Array(list)) => {
                if list.is_empty() {
                    self.say(&at, "no fewer than 1 items allowed");
                }
                if list.len() > most {
                    self.say(&at, format!("no more than {most} items allowed"));
                }
                for (index, value) in list.iter().enumerate() {
                    each(self, &format!("{at}/{index}"), value);
                }
            }
            Some(_) => self.say(&at, "must be an array"),
        }
    }

    fn block(&mut self, at: &str, block: &Value, surface: Surface) {
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
        let (fields, needed): (&[&str], &[&str]) = match kind {
            "section" => (&["text", "fields", "accessory", "expand"], &[]),
            "actions" => (&["elements"], &["elements"]),
            "context" => (&["elements"], &["elements"]),
            "header" => (&["text", "level"], &["text"]),
            "divider" => (&[], &[]),
            "markdown" => (&["text"], &["text"]),
            "rich_text" => (&["elements"], &["elements"]),
            "image" => (&["image_url", "slack_file", "alt_text", "title"], &["alt_text"]),
            "input" => (&["label", "element", "dispatch_action", "hint", "optional"], &["label", "element"]),
            _ => {
                self.say(&format!("{at}/type"), format!("unsupported type: {kind}"));
                return;
            }
        };
        let allowed: Vec<&str> = ["type", "block_id"].iter().chain(fields).copied().collect();
        let Some(map) = self.object(at, block, &allowed, needed) else { return };
        self.string_of(at, map, "block_id", 1, 255);
        match kind {
            "section" => {
                if !map.contains_key("text") && !map.contains_key("fields") {
                    self.say(at, "must have `text` or `fields`");
                }
                self.text_of(at, map, "text", Text::Any, 3000);
                self.list(at, map, "fields", 10, |check, at, field| check.text(at, field, Text::Any, 2000));
                self.flags(at, map, &["expand"]);
                if let Some(element) = map.get("accessory") {
                    self.element(&format!("{at}/accessory"), element, ACCESSORIES);
                }
            }
            "actions" => {
                let mut ids = BTreeSet::new();
                self.list(at, map, "elements", 25, |check, at, element| {
                    check.element(at, element, ACTIONS);
                    if let Some(id) = element.get("action_id").and_then(Value::as_str)
                        && !ids.insert(id)
                    {
                        check.say(at, format!("`action_id` {id} already exists for this block"));
                    }
                });
            }
            "context" => self.list(at, map, "elements", 10, |check, at, element| {
                if element.get("type").and_then(Value::as_str) == Some("image") {
                    check.element(at, element, &["image"]);
                } else {
                    check.text(at, element, Text::Any, 3000);
                }
            }),
            "header" => self.text_of(at, map, "text", Text::Plain, 150),
            "markdown" => self.string_of(at, map, "text", 1, 12_000),
            "rich_text" => self.list(at, map, "elements", usize::MAX, |check, at, element| {
                let kind = element.get("type").and_then(Value::as_str).unwrap_or_default();
                if !["rich_text_section", "rich_text_list", "rich_text_quote", "rich_text_preformatted"].contains(&kind)
                {
                    check.say(&format!("{at}/type"), format!("unsupported type: {kind}"));
                }
            }),
            "image" => self.image(at, map),
            "input" => {
                self.text_of(at, map, "label", Text::Plain, 2000);
                self.text_of(at, map, "hint", Text::Plain, 2000);
                self.flags(at, map, &["dispatch_action", "optional"]);
                if let Some(element) = map.get("element") {
                    self.element(&format!("{at}/element"), element, INPUTS);
                }
                if surface == Surface::Message {
                    self.say(at, "an input in a message, where nobody submits it");
                }
            }
            _ => {}
        }
    }

    fn image(&mut self, at: &str, map: &Map<String, Value>) {
        self.string_of(at, map, "image_url", 1, 3000);
        self.string_of(at, map, "alt_text", 1, 2000);
        self.text_of(at, map, "title", Text::Plain, 2000);
        if map.contains_key("image_url") == map.contains_key("slack_file") {
            self.say(at, "must have one of `image_url` and `slack_file`");
        }
    }

    fn element(&mut self, at: &str, element: &Value, here: &[&str]) {
        let kind = element.get("type").and_then(Value::as_str).unwrap_or_default();
        if !here.contains(&kind) {
            self.say(&format!("{at}/type"), format!("unsupported type: {kind}"));
            return;
        }
        let (fields, needed): (&[&str], &[&str]) = match kind {
            "button" => (&["text", "value", "url", "style", "confirm", "accessibility_label"], &["text"]),
            "static_select" => (
                &["options", "option_groups", "initial_option", "placeholder", "confirm", "focus_on_load"],
                &["options"],
            ),
            "overflow" => (&["options", "confirm"], &["options"]),
            "users_select" => (&["initial_user", "placeholder", "confirm", "focus_on_load"], &[]),
            "plain_text_input" => (
                &[
                    "initial_value",
                    "multiline",
                    "min_length",
                    "max_length",
                    "placeholder",
                    "dispatch_action_config",
                    "focus_on_load",
                ],
                &[],
            ),
            "checkboxes" | "radio_buttons" => {
                (&["options", "initial_options", "initial_option", "confirm", "focus_on_load"], &["options"])
            }
            _ => (&["image_url", "slack_file", "alt_text"], &["alt_text"]),
        };
        let own: &[&str] = if kind == "image" { &["type"] } else { &["type", "action_id"] };
        let allowed: Vec<&str> = own.iter().chain(fields).copied().collect();
        let Some(map) = self.object(at, element, &allowed, needed) else { return };
        self.string_of(at, map, "action_id", 1, 255);
        self.text_of(at, map, "placeholder", Text::Plain, 150);
        if let Some(confirm) = map.get("confirm") {
            self.confirm(&format!("{at}/confirm"), confirm);
        }
        match kind {
            "button" => {
                self.text_of(at, map, "text", Text::Plain, 75);
                self.string_of(at, map, "value", 0, 2000);
                self.string_of(at, map, "url", 1, 3000);
                self.string_of(at, map, "accessibility_label", 1, 75);
                self.one_of(at, map, "style", &["primary", "danger"]);
            }
            "static_select" => self.list(at, map, "options", 100, |check, at, option| check.option(at, option)),
            "overflow" => self.list(at, map, "options", 5, |check, at, option| check.option(at, option)),
            "checkboxes" | "radio_buttons" => {
                self.list(at, map, "options", 10, |check, at, option| check.option(at, option));
            }
            "plain_text_input" => {
                self.string_of(at, map, "initial_value", 0, 3000);
                self.flags(at, map, &["multiline", "focus_on_load"]);
                for (name, least) in [("min_length", 0), ("max_length", 1)] {
                    if map.get(name).is_some_and(|value| value.as_u64().is_none_or(|n| n < least || n > 3000)) {
                        self.say(&format!("{at}/{name}"), format!("must be between {least} and 3000"));
                    }
                }
            }
            "image" => self.image(at, map),
            _ => {}
        }
    }

    fn option(&mut self, at: &str, option: &Value) {
        let allowed = ["text", "value", "description", "url"];
        let Some(map) = self.object(at, option, &allowed, &["text", "value"]) else { return };
        self.text_of(at, map, "text", Text::Any, 75);
        self.text_of(at, map, "description", Text::Any, 75);
        self.string_of(at, map, "value", 1, 150);
    }

    fn confirm(&mut self, at: &str, confirm: &Value) {
        let needed = ["title", "text", "confirm", "deny"];
        let Some(map) = self.object(at, confirm, &["title", "text", "confirm", "deny", "style"], &needed) else {
            return;
        };
        self.text_of(at, map, "title", Text::Plain, 100);
        self.text_of(at, map, "text", Text::Any, 300);
        self.text_of(at, map, "confirm", Text::Plain, 30);
        self.text_of(at, map, "deny", Text::Plain, 30);
        self.one_of(at, map, "style", &["primary", "danger"]);
    }
}

const ACTIONS: &[&str] = &["button", "static_select", "overflow", "users_select", "checkboxes", "radio_buttons"];
const ACCESSORIES: &[&str] =
    &["button", "static_select", "overflow", "users_select", "checkboxes", "radio_buttons", "image"];
const INPUTS: &[&str] = &["plain_text_input", "static_select", "users_select", "checkboxes", "radio_buttons"];

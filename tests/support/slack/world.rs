//! The workspace: its people, channels, messages and groups, and how a reader sees them.
//!
//! Nothing here knows of HTTP, sockets or calls; nothing here is checked against rights.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::{APP, BOT, BOT_ID, TEAM};

/// The time of a message, which is its name in its channel: microseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ts(pub(crate) u64);

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

impl FromStr for Ts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a time of a message");
        let (seconds, micros) = text.split_once('.').ok_or_else(wrong)?;
        if micros.len() != 6 || seconds.len() < 9 {
            return Err(wrong());
        }
        let seconds: u64 = seconds.parse().map_err(|_| wrong())?;
        let micros: u64 = micros.parse().map_err(|_| wrong())?;
        Ok(Self(seconds * 1_000_000 + micros))
    }
}

/// What kind of account it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A member of the workspace.
    Person,
    /// Another app's bot.
    Bot,
    /// A guest, who sees single channels.
    Guest,
    /// Somebody of another workspace, here through a shared channel; its team's id.
    Stranger(String),
}

/// An account.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// `U…`, or `W…` elsewhere.
    pub(crate) id: String,
    /// What people type after the `@`.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// No longer here.
    pub(crate) deleted: bool,
}

impl User {
    /// The workspace that it belongs to.
    pub(crate) fn team(&self) -> &str {
        match &self.kind {
            Kind::Stranger(team) => team,
            Kind::Person | Kind::Bot | Kind::Guest => TEAM,
        }
    }

    /// As `users.info` tells it.
    pub(crate) fn described(&self) -> Value {
        let mut user = json!({
            "id": self.id, "team_id": self.team(), "name": self.name, "deleted": self.deleted, "color": "9f69e7",
            "real_name": self.name, "tz": "Europe/Amsterdam", "tz_label": "Central European Time", "tz_offset": 3600,
            "profile": {"real_name": self.name, "display_name": self.name, "real_name_normalized": self.name,
                        "display_name_normalized": self.name, "team": self.team()},
            "is_bot": self.kind == Kind::Bot, "is_app_user": false, "updated": 1_700_000_000,
        });
        if !self.deleted {
            user["is_admin"] = json!(false);
            user["is_owner"] = json!(false);
            user["is_primary_owner"] = json!(false);
            user["is_restricted"] = json!(self.kind == Kind::Guest);
            user["is_ultra_restricted"] = json!(self.kind == Kind::Guest);
        }
        if matches!(self.kind, Kind::Stranger(_)) {
            user["is_stranger"] = json!(true);
        }
        user
    }
}

/// What kind of conversation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Anybody of the workspace may come in.
    Public,
    /// By invitation.
    Private,
    /// One person and the bot.
    Direct,
}

impl Room {
    /// As events call it.
    pub(crate) fn channel_type(self) -> &'static str {
        match self {
            Self::Public => "channel",
            Self::Private => "group",
            Self::Direct => "im",
        }
    }

    /// What the scopes for reading and managing it begin with.
    pub(crate) fn scope(self) -> &'static str {
        match self {
            Self::Public => "channels",
            Self::Private => "groups",
            Self::Direct => "im",
        }
    }
}

/// A conversation.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    /// `C…`, or `D…` for a direct one.
    pub(crate) id: String,
    /// Without the `#`; the person's id for a direct one.
    pub(crate) name: String,
    pub(crate) room: Room,
    pub(crate) members: BTreeSet<String>,
    pub(crate) archived: bool,
    /// Shared with another workspace.
    pub(crate) shared: bool,
    pub(crate) topic: String,
    /// What Slack shows as its description.
    pub(crate) purpose: String,
    /// In seconds.
    pub(crate) created: u64,
    pub(crate) pins: Vec<Ts>,
    pub(crate) messages: BTreeMap<Ts, Message>,
    pub(crate) creator: String,
}

impl Channel {
    /// As `conversations.info` tells it.
    pub(crate) fn described(&self) -> Value {
        if self.room == Room::Direct {
            return json!({"id": self.id, "created": 1_700_000_000, "is_archived": self.archived, "is_im": true,
                          "is_org_shared": false, "user": self.name, "priority": 0});
        }
        json!({
            "id": self.id, "name": self.name, "name_normalized": self.name, "created": self.created,
            "creator": self.creator, "is_channel": self.room == Room::Public, "is_group": self.room == Room::Private,
            "is_im": false, "is_mpim": false, "is_private": self.room == Room::Private, "is_archived": self.archived,
            "is_general": false, "is_shared": self.shared, "is_ext_shared": self.shared, "is_org_shared": false,
            "is_pending_ext_shared": false, "is_member": self.members.contains(BOT), "context_team_id": TEAM,
            "unlinked": 0, "previous_names": [], "pending_shared": [],
            "topic": {"value": self.topic, "creator": "", "last_set": 0},
            "purpose": {"value": self.purpose, "creator": "", "last_set": 0},
        })
    }

    /// How many replies a message has, who wrote them and when the last came.
    fn replies(&self, root: Ts) -> (Vec<&str>, usize, Option<Ts>) {
        let mut writers: Vec<&str> = Vec::new();
        let (mut count, mut last) = (0, None);
        for message in self.messages.values().filter(|message| message.thread == Some(root) && message.ts != root) {
            count += 1;
            last = Some(message.ts);
            if !writers.contains(&message.user.as_str()) {
                writers.push(&message.user);
            }
        }
        (writers, count, last)
    }

    /// A message as the history tells it.
    pub(crate) fn told(&self, message: &Message, metadata: Metadata) -> Value {
        let mut told = message.wire(metadata);
        let (writers, count, last) = self.replies(message.ts);
        if let Some(last) = last {
            told["thread_ts"] = json!(message.ts.to_string());
            told["reply_count"] = json!(count);
            told["reply_users_count"] = json!(writers.len());
            told["reply_users"] = json!(writers);
            told["latest_reply"] = json!(last.to_string());
            told["is_locked"] = json!(false);
            told["subscribed"] = json!(false);
        } else if let Some(root) = message.thread.filter(|root| *root != message.ts) {
            told["thread_ts"] = json!(root.to_string());
            if let Some(root) = self.messages.get(&root) {
                told["parent_user_id"] = json!(root.user);
            }
        }
        if self.pins.contains(&message.ts) {
            told["pinned_to"] = json!([self.id]);
        }
        told
    }
}

/// Whether metadata is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Metadata {
    /// All of it.
    Told,
    /// None: what one gets without asking.
    Kept,
}

/// A message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) ts: Ts,
    /// Who wrote it.
    pub(crate) user: String,
    /// Mrkdwn, escaped, as it stands on the wire.
    pub(crate) text: String,
    pub(crate) blocks: Vec<Value>,
    pub(crate) metadata: Option<Value>,
    /// The root of the thread that it is a reply in.
    pub(crate) thread: Option<Ts>,
    /// Shown in the channel too.
    pub(crate) broadcast: bool,
    /// By whom and when.
    pub(crate) edited: Option<(String, Ts)>,
    pub(crate) subtype: Option<&'static str>,
    pub(crate) files: Vec<Value>,
    /// The team of the writer, when it is another.
    pub(crate) team: Option<String>,
    /// The bot that wrote it, when it is another.
    pub(crate) bot: Option<String>,
    /// What is shown beneath it: previews of links.
    pub(crate) attachments: Vec<Value>,
}

impl Message {
    /// As it stands in history and events, without what the channel knows about it.
    pub(crate) fn wire(&self, metadata: Metadata) -> Value {
        let mut wire = Map::new();
        wire.insert("type".to_owned(), json!("message"));
        // An old integration is no user.
        if !self.user.is_empty() {
            wire.insert("user".to_owned(), json!(self.user));
        }
        wire.insert("text".to_owned(), json!(self.text));
        wire.insert("ts".to_owned(), json!(self.ts.to_string()));
        wire.insert("team".to_owned(), json!(self.team.as_deref().unwrap_or(TEAM)));
        if let Some(subtype) = self.subtype {
            wire.insert("subtype".to_owned(), json!(subtype));
        }
        if !self.blocks.is_empty() {
            wire.insert("blocks".to_owned(), json!(self.blocks));
        }
        if !self.attachments.is_empty() {
            wire.insert("attachments".to_owned(), json!(self.attachments));
        }
        if let Some(team) = &self.team {
            wire.insert("user_team".to_owned(), json!(team));
            wire.insert("source_team".to_owned(), json!(team));
        }
        if !self.files.is_empty() {
            wire.insert("files".to_owned(), json!(self.files));
            wire.insert("upload".to_owned(), json!(false));
        }
        if let Some((by, at)) = &self.edited {
            wire.insert("edited".to_owned(), json!({"user": by, "ts": at.to_string()}));
        }
        if let Some(root) = self.thread {
            wire.insert("thread_ts".to_owned(), json!(root.to_string()));
        }
        if self.user == BOT {
            wire.insert("bot_id".to_owned(), json!(BOT_ID));
            wire.insert("app_id".to_owned(), json!(APP));
            wire.insert(
                "bot_profile".to_owned(),
                json!({"id": BOT_ID, "app_id": APP, "name": "countersign", "deleted": false, "team_id": TEAM,
                       "updated": 1_700_000_000, "icons": {}}),
            );
        } else if let Some(bot) = &self.bot {
            wire.insert("bot_id".to_owned(), json!(bot));
            wire.insert("app_id".to_owned(), json!("A0OTHER"));
        } else if self.subtype.is_none() {
            wire.insert("client_msg_id".to_owned(), json!(format!("00000000-0000-4000-8000-{:012x}", self.ts.0 >> 4)));
        }
        if let (Metadata::Told, Some(metadata)) = (metadata, &self.metadata) {
            wire.insert("metadata".to_owned(), metadata.clone());
        }
        Value::Object(wire)
    }

    /// Whether it stands in the channel itself rather than in a thread alone.
    pub(crate) fn in_channel(&self) -> bool {
        self.broadcast || self.thread.is_none_or(|root| root == self.ts)
    }
}

/// A user group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// What people type after the `@`.
    pub(crate) handle: String,
    pub(crate) members: Vec<String>,
    pub(crate) disabled: bool,
}

/// Everything that is in the workspace.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) channels: BTreeMap<String, Channel>,
    pub(crate) groups: BTreeMap<String, Group>,
}

/// A button that a reader may press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Button {
    /// What it says.
    pub(crate) label: String,
    pub(crate) action_id: String,
    pub(crate) block_id: String,
    pub(crate) value: String,
    /// `primary`, `danger` or nothing.
    pub(crate) style: String,
}

/// A message as a reader sees it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) ts: Ts,
    /// The root of its thread, when it is a reply.
    pub(crate) thread: Option<Ts>,
    /// The name of who wrote it.
    pub(crate) by: String,
    /// What is shown: the blocks, or the text where there are none.
    pub(crate) text: String,
    /// What a lock screen shows.
    pub(crate) notification: String,
    pub(crate) buttons: Vec<Button>,
    /// Says `(edited)`.
    pub(crate) edited: bool,
    pub(crate) metadata: Option<Value>,
    /// Names of files.
    pub(crate) files: Vec<String>,
}

/// As many characters as a lock screen shows.
pub(crate) const LOCK_SCREEN: usize = 110;

impl World {
    /// The name of a user.
    pub(crate) fn name(&self, user: &str) -> String {
        if user == BOT {
            return "countersign".to_owned();
        }
        self.users.get(user).map_or_else(|| user.to_owned(), |found| found.name.clone())
    }

    /// The account with that name, or with that id.
    pub(crate) fn user(&self, who: &str) -> Option<&User> {
        self.users.get(who).or_else(|| self.users.values().find(|user| user.name == who))
    }

    /// What a person types as it reaches the wire: escaped, with mentions, channels and links marked.
    pub(crate) fn typed(&self, text: &str) -> String {
        let mut wire = String::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let word: &str = rest.split(char::is_whitespace).next().unwrap_or_default();
            let bare = word.get(1..).unwrap_or_default().trim_end_matches([',', '.', ':', '?', '!', ';', ')']);
            if first == '@' {
                let marked = match bare {
                    "countersign" => Some(format!("<@{BOT}>")),
                    "channel" | "here" | "everyone" => Some(format!("<!{bare}>")),
                    _ => self
                        .users
                        .values()
                        .find(|user| user.name == bare)
                        .map(|user| format!("<@{}>", user.id))
                        .or_else(|| {
                            let group = self.groups.iter().find(|(_, group)| group.handle == bare)?;
                            Some(format!("<!subteam^{}|@{bare}>", group.0))
                        }),
                };
                if let Some(marked) = marked {
                    wire.push_str(&marked);
                    rest = rest.get(1 + bare.len()..).unwrap_or_default();
                    continue;
                }
            }
            if first == '#'
                && let Some(channel) = self.channels.values().find(|channel| channel.name == bare)
            {
                wire.push_str(&format!("<#{}|{bare}>", channel.id));
                rest = rest.get(1 + bare.len()..).unwrap_or_default();
                continue;
            }
            if word.starts_with("https://") || word.starts_with("http://") {
                wire.push_str(&format!("<{}>", escaped(word)));
                rest = rest.get(word.len()..).unwrap_or_default();
                continue;
            }
            wire.push_str(&escaped(first.encode_utf8(&mut [0; 4])));
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
        wire
    }

    /// Mrkdwn as it reads: mentions by name, links by label, nothing escaped.
    pub(crate) fn reads(&self, mrkdwn: &str) -> String {
        let mut read = String::new();
        let mut rest = mrkdwn;
        while let Some((before, after)) = rest.split_once('<') {
            read.push_str(&unescaped(before));
            let Some((mark, after)) = after.split_once('>') else {
                read.push('<');
                rest = after;
                continue;
            };
            let (target, label) = mark.split_once('|').map_or((mark, None), |(target, label)| (target, Some(label)));
            if let Some(user) = target.strip_prefix('@') {
                read.push_str(&format!("@{}", self.name(user)));
            } else if let Some(group) = target.strip_prefix("!subteam^") {
                let handle = self.groups.get(group).map_or(group, |group| group.handle.as_str());
                read.push_str(&format!("@{handle}"));
            } else if let Some(all) = target.strip_prefix('!') {
                match label {
                    Some(label) => read.push_str(&unescaped(label)),
                    None => read.push_str(&format!("@{all}")),
                }
            } else if let Some(channel) = target.strip_prefix('#') {
                let name = self.channels.get(channel).map_or(channel, |channel| channel.name.as_str());
                read.push_str(&format!("#{name}"));
            } else {
                read.push_str(&unescaped(label.unwrap_or(target)));
            }
            rest = after;
        }
        read.push_str(&unescaped(rest));
        read
    }

    /// A message as a reader sees it.
    pub(crate) fn seen(&self, message: &Message) -> Seen {
        let mut lines = Vec::new();
        let mut buttons = Vec::new();
        for block in &message.blocks {
            self.read_block(block, &mut lines, &mut buttons);
        }
        let fallback = self.reads(&message.text);
        let text = if lines.is_empty() { fallback.clone() } else { lines.join("\n") };
        let notification = fallback.chars().take(LOCK_SCREEN).collect();
        Seen {
            ts: message.ts,
            thread: message.thread.filter(|root| *root != message.ts),
            by: self.name(&message.user),
            text,
            notification,
            buttons,
            edited: message.edited.is_some(),
            metadata: message.metadata.clone(),
            files: message
                .files
                .iter()
                .filter_map(|file| file.get("title").and_then(Value::as_str))
                .map(ToOwned::to_owned)
                .collect(),
        }
    }

    fn read_text(&self, text: &Value) -> String {
        let content = text.get("text").and_then(Value::as_str).unwrap_or_default();
        if text.get("type").and_then(Value::as_str) == Some("mrkdwn") {
            self.reads(content)
        } else {
            content.to_owned()
        }
    }

    fn read_block(&self, block: &Value, lines: &mut Vec<String>, buttons: &mut Vec<Button>) {
        let kind = block.get("type").and_then(Value::as_str).unwrap_or_default();
        let block_id = block.get("block_id").and_then(Value::as_str).unwrap_or_default();
        let list = |name: &str| block.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        match kind {
            "section" => {
                lines.extend(block.get("text").map(|text| self.read_text(text)));
                lines.extend(list("fields").iter().map(|field| self.read_text(field)));
                buttons.extend(block.get("accessory").and_then(|element| button(block_id, element)));
            }
            "header" => lines.extend(block.get("text").map(|text| self.read_text(text))),
            "context" => {
                let parts: Vec<String> = list("elements").iter().map(|part| self.read_text(part)).collect();
                lines.push(parts.join(" "));
            }
            "actions" => {
                let here: Vec<Button> =
                    list("elements").iter().filter_map(|element| button(block_id, element)).collect();
                lines.push(here.iter().map(|button| format!("[{}]", button.label)).collect::<Vec<_>>().join(" "));
                buttons.extend(here);
            }
            "divider" => lines.push("---".to_owned()),
            "markdown" => lines.extend(block.get("text").and_then(Value::as_str).map(ToOwned::to_owned)),
            "rich_text" => {
                // Each part begins on a line of its own.
                for part in list("elements") {
                    let mut text = String::new();
                    rich(std::slice::from_ref(&part), &mut text, self);
                    lines.push(text);
                }
            }
            _ => lines.push(format!("[{kind}]")),
        }
    }

    /// Whom a message of somebody's in a channel reaches by a push: those whom it mentions, or who is spoken to directly.
    pub(crate) fn pushed(&self, channel: &Channel, message: &Message) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        if message.subtype.is_some_and(|subtype| subtype != "thread_broadcast" && subtype != "file_share") {
            return reached;
        }
        let people = || {
            channel
                .members
                .iter()
                .filter(|id| self.users.get(*id).is_some_and(|user| !user.deleted && user.kind != Kind::Bot))
        };
        if channel.room == Room::Direct {
            reached.extend(people().cloned());
        }
        let mut texts = vec![message.text.clone()];
        for block in &message.blocks {
            mrkdwn_in(block, &mut texts);
        }
        for mark in texts.iter().flat_map(|text| marks(text)) {
            let target = mark.split_once('|').map_or(mark, |(target, _)| target);
            if let Some(user) = target.strip_prefix('@') {
                reached.extend(people().filter(|id| *id == user).cloned());
            } else if let Some(group) = target.strip_prefix("!subteam^") {
                let members = self.groups.get(group).map(|group| group.members.clone()).unwrap_or_default();
                reached.extend(people().filter(|id| members.contains(id)).cloned());
            } else if matches!(target, "!channel" | "!here" | "!everyone") {
                reached.extend(people().cloned());
            }
        }
        reached.remove(&message.user);
        reached
    }
}

impl World {
    /// Who follows the thread that a message is a reply in: those who wrote in it before or are mentioned in it. Slack
    /// tells them of every reply unless they have switched that off.
    pub(crate) fn followers(&self, channel: &Channel, message: &Message) -> BTreeSet<String> {
        let Some(root) = message.thread.filter(|root| *root != message.ts) else { return BTreeSet::new() };
        let thread = channel.messages.values().filter(|other| other.ts == root || other.thread == Some(root));
        let mut following = BTreeSet::new();
        for other in thread {
            if other.ts != message.ts {
                following.insert(other.user.clone());
            }
            for mark in marks(&other.text) {
                let user = mark.strip_prefix('@').map(|user| user.split_once('|').map_or(user, |(user, _)| user));
                following.extend(user.map(ToOwned::to_owned));
            }
        }
        let here = |id: &String| {
            let account = self.users.get(id);
            channel.members.contains(id) && account.is_some_and(|user| !user.deleted && user.kind != Kind::Bot)
        };
        following.retain(|id| *id != message.user && here(id));
        following
    }
}

fn rich(elements: &[Value], text: &mut String, world: &World) {
    for element in elements {
        if let Some(inner) = element.get("elements").and_then(Value::as_array) {
            rich(inner, text, world);
            continue;
        }
        let of = |name: &str| element.get(name).and_then(Value::as_str).unwrap_or_default();
        match of("type") {
            "user" => text.push_str(&format!("@{}", world.name(of("user_id")))),
            "link" if !element.get("text").is_some_and(Value::is_string) => text.push_str(of("url")),
            "broadcast" => text.push_str(&format!("@{}", of("range"))),
            _ => text.push_str(of("text")),
        }
    }
}

fn button(block_id: &str, element: &Value) -> Option<Button> {
    let of = |name: &str| element.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    (of("type") == "button").then(|| Button {
        label: element.pointer("/text/text").and_then(Value::as_str).unwrap_or_default().to_owned(),
        action_id: of("action_id"),
        block_id: block_id.to_owned(),
        value: of("value"),
        style: of("style"),
    })
}

/// Every mrkdwn text in a block, however deep.
fn mrkdwn_in(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let kind = map.get("type").and_then(Value::as_str);
            if kind == Some("mrkdwn") {
                texts.extend(map.get("text").and_then(Value::as_str).map(ToOwned::to_owned));
            }
            if let (Some("user"), Some(user)) = (kind, map.get("user_id").and_then(Value::as_str)) {
                texts.push(format!("<@{user}>"));
            }
            map.values().for_each(|value| mrkdwn_in(value, texts));
        }
        Value::Array(list) => list.iter().for_each(|value| mrkdwn_in(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What stands between `<` and `>`.
fn marks(text: &str) -> impl Iterator<Item = &str> {
    text.split('<').skip(1).filter_map(|part| part.split_once('>').map(|(mark, _)| mark))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

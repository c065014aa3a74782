//! The Web API: what each method checks, does and answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::arguments::{Method, Scope};
use super::blocks::{self, Surface};
use super::state::{Ephemeral, State, Upload, View};
use super::world::{Channel, Message, Metadata, Room, Ts};
use super::{BOT, BOT_ID, TEAM};

/// Longest text of an edit.
const EDIT: usize = 4000;
/// Longest text of a message; Slack cuts what is longer.
const TEXT: usize = 40_000;
/// Longest text in the other Markdown.
const MARKDOWN: usize = 12_000;
/// Longest topic.
const TOPIC: usize = 250;

/// A call that is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: &'static str,
    pub(super) more: Map<String, Value>,
    pub(super) status: u16,
}

impl From<&'static str> for Refusal {
    fn from(error: &'static str) -> Self {
        Self { error, more: Map::new(), status: 200 }
    }
}

impl Refusal {
    /// With sentences about what is wrong.
    pub(super) fn saying(error: &'static str, messages: &[String]) -> Self {
        let mut refusal = Self::from(error);
        let marked: Vec<String> = messages
            .iter()
            .map(|message| if message.starts_with('[') { message.clone() } else { format!("[ERROR] {message}") })
            .collect();
        refusal.more.insert("response_metadata".to_owned(), json!({"messages": marked}));
        if error == "invalid_blocks" {
            refusal.more.insert("errors".to_owned(), json!(messages));
        }
        refusal
    }

    fn scope(needed: &str, scopes: &BTreeSet<String>) -> Self {
        let mut refusal = Self::from("missing_scope");
        refusal.more.insert("needed".to_owned(), json!(needed));
        refusal.more.insert("provided".to_owned(), json!(scopes.iter().cloned().collect::<Vec<_>>().join(",")));
        refusal
    }
}

/// One call, with what it may touch.
pub(super) struct Calling<'s> {
    pub(super) state: &'s mut State,
    pub(super) method: &'static Method,
    pub(super) arguments: Map<String, Value>,
    /// What Slack would let pass and the bot should not do.
    pub(super) complaints: Vec<String>,
}

impl Calling<'_> {
    /// Does it.
    pub(super) fn answer(&mut self) -> Result<Value, Refusal> {
        if let Scope::Is(scope) = self.method.scope
            && self.method.name != "apps.connections.open"
        {
            self.need(scope)?;
        }
        match self.method.name {
            "auth.test" => Ok(json!({"url": "https://acme.slack.com/", "team": "Acme", "user": "countersign",
                "team_id": TEAM, "user_id": BOT, "bot_id": BOT_ID, "is_enterprise_install": false})),
            "apps.connections.open" => Ok(self.open_connection()),
            "chat.postMessage" => self.post_message(),
            "chat.update" => self.update(),
            "chat.postEphemeral" => self.post_ephemeral(),
            "chat.delete" => self.delete(),
            "conversations.history" => self.history(),
            "conversations.replies" => self.replies(),
            "conversations.info" => self.info(),
            "conversations.open" => self.open_direct(),
            "conversations.create" => self.create(),
            "conversations.invite" => self.invite(),
            "conversations.setTopic" => self.set_topic(),
            "conversations.archive" => self.archive(),
            "conversations.setPurpose" => self.set_purpose(),
            "users.conversations" => self.own_channels(),
            "pins.add" => self.pin(),
            "users.info" => self.user(),
            "usergroups.users.list" => self.group(),
            "views.open" => self.open_view(),
            "files.getUploadURLExternal" => self.upload_url(),
            "files.completeUploadExternal" => self.complete_upload(),
            other => unreachable!("{other} is in the list of methods and nothing does it"),
        }
    }

    fn text(&self, name: &str) -> &str {
        self.arguments.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn owned(&self, name: &str) -> String {
        self.text(name).to_owned()
    }

    fn flag(&self, name: &str) -> bool {
        self.arguments.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    fn time(&self, name: &str) -> Option<Ts> {
        self.text(name).parse().ok()
    }

    fn ids(&self, name: &str) -> Vec<String> {
        let list = self.arguments.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
    }

    fn list(&self, name: &str) -> Option<Vec<Value>> {
        self.arguments.get(name).and_then(Value::as_array).cloned()
    }

    fn need(&self, scope: &str) -> Result<(), Refusal> {
        if self.state.settings.scopes.contains(scope) {
            Ok(())
        } else {
            Err(Refusal::scope(scope, &self.state.settings.scopes))
        }
    }

    fn open_connection(&mut self) -> Value {
        let ticket = self.state.id("TICKET");
        let url = format!("ws://{}/link/?ticket={ticket}&app_id={}", self.state.address, super::APP);
        self.state.tickets.insert(ticket);
        json!({ "url": url })
    }

    /// The channel, if the bot may know of it; with the scope that the method asks for in such a room.
    fn channel(&self) -> Result<Channel, Refusal> {
        let channel = self.state.channel(self.text("channel")).ok_or("channel_not_found")?;
        if channel.room != Room::Public && !channel.members.contains(BOT) {
            return Err("channel_not_found".into());
        }
        if let Some(scope) = self.method.scope.of(channel.room) {
            self.need(&scope)?;
        }
        Ok(channel.clone())
    }

    /// The channel, if the bot is in it.
    fn own_channel(&self) -> Result<Channel, Refusal> {
        let channel = self.channel()?;
        if channel.members.contains(BOT) { Ok(channel) } else { Err("not_in_channel".into()) }
    }

    /// The text and blocks of a message, judged.
    fn content(&mut self, before: Option<&Message>) -> Result<(String, Vec<Value>), Refusal> {
        let mut text = self.owned("text");
        let blocks = self.list("blocks");
        if self.arguments.contains_key("markdown_text") {
            if self.arguments.contains_key("text") || blocks.is_some() {
                return Err("markdown_text_conflict".into());
            }
            text = self.owned("markdown_text");
            if text.chars().count() > MARKDOWN {
                return Err("msg_too_long".into());
            }
        }
        if text.is_empty() && blocks.as_ref().is_none_or(Vec::is_empty) && !self.arguments.contains_key("attachments") {
            return Err("no_text".into());
        }
        if let Some(blocks) = &blocks {
            let problems = blocks::problems(blocks, Surface::Message);
            if !problems.is_empty() {
                return Err(Refusal::saying("invalid_blocks", &problems));
            }
            if blocks::text_in(blocks) > blocks::ALL_TEXT {
                return Err("msg_blocks_too_long".into());
            }
            if text.is_empty() && !blocks.is_empty() {
                self.complaints.push("blocks without a text: a lock screen shows nothing of it".to_owned());
            }
        }
        let long = text.chars().count();
        if before.is_some() && long > EDIT {
            return Err("msg_too_long".into());
        }
        if long > TEXT {
            self.complaints.push(format!("a text of {long} characters, which is cut after {TEXT}"));
            text = text.chars().take(TEXT).collect();
        }
        let blocks = match (blocks, before) {
            (Some(blocks), _) => blocks,
            (None, Some(before)) => {
                if !before.blocks.is_empty() {
                    self.complaints.push("an edit without blocks: the old ones stay, with their buttons".to_owned());
                }
                before.blocks.clone()
            }
            (None, None) => Vec::new(),
        };
        Ok((text, blocks))
    }

    fn metadata(&self) -> Result<Option<Value>, Refusal> {
        let Some(metadata) = self.arguments.get("metadata") else { return Ok(None) };
        let wrong = || Refusal::from("invalid_metadata_format");
        let map = metadata.as_object().ok_or_else(wrong)?;
        if map.is_empty() {
            return Ok(Some(Value::Null));
        }
        let known = map.keys().all(|name| matches!(name.as_str(), "event_type" | "event_payload" | "entities"));
        let named = map.get("event_type").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
        let payload = map.get("event_payload").and_then(Value::as_object).ok_or_else(wrong)?;
        let scalar = |value: &Value| value.is_string() || value.is_number() || value.is_boolean();
        let flat = |value: &Value| value.as_object().is_some_and(|map| map.values().all(scalar));
        let good = payload
            .values()
            .all(|value| scalar(value) || flat(value) || value.as_array().is_some_and(|list| list.iter().all(flat)));
        if known && named && good { Ok(Some(metadata.clone())) } else { Err(wrong()) }
    }

    /// The root that a reply goes to.
    fn thread(&mut self, channel: &Channel) -> Result<Option<Ts>, Refusal> {
        let Some(root) = self.time("thread_ts") else {
            if self.flag("reply_broadcast") {
                self.complaints.push("`reply_broadcast` without a thread".to_owned());
            }
            return Ok(None);
        };
        match channel.messages.get(&root) {
            None => {
                self.complaints.push(format!("no message {root}: the reply lands in the channel itself"));
                Ok(None)
            }
            Some(message) if message.thread.is_some_and(|above| above != root) => {
                self.complaints.push(format!("{root} is itself a reply: reply to its root"));
                Ok(message.thread)
            }
            Some(message) if message.subtype.is_some_and(|kind| kind.starts_with("channel_")) => {
                Err("cannot_reply_to_message".into())
            }
            Some(_) => Ok(Some(root)),
        }
    }

    fn customised(&self) -> Result<(), Refusal> {
        if ["username", "icon_emoji", "icon_url"].iter().any(|name| self.arguments.contains_key(*name)) {
            self.need("chat:write.customize")?;
        }
        Ok(())
    }

    fn post_message(&mut self) -> Result<Value, Refusal> {
        let named = self.owned("channel");
        let id = if self.state.world.users.contains_key(&named) { self.state.direct(&named) } else { named };
        self.arguments.insert("channel".to_owned(), json!(id));
        let channel = self.channel()?;
        if channel.archived {
            return Err("is_archived".into());
        }
        if !channel.members.contains(BOT) && !self.state.settings.scopes.contains("chat:write.public") {
            return Err("not_in_channel".into());
        }
        self.customised()?;
        let (text, blocks) = self.content(None)?;
        let metadata = self.metadata()?.filter(|metadata| !metadata.is_null());
        let thread = self.thread(&channel)?;
        if !self.state.allowed(&id) {
            return Err(Refusal { error: "ratelimited", more: Map::new(), status: 429 });
        }
        let broadcast = thread.is_some() && self.flag("reply_broadcast");
        let subtype = broadcast.then_some("thread_broadcast");
        let message =
            Message { user: BOT.to_owned(), text, blocks, metadata, thread, broadcast, subtype, ..Message::default() };
        let ts = self.state.post(&id, message);
        Ok(json!({"channel": id, "ts": ts.to_string(), "message": self.stored(&id, ts)}))
    }

    fn stored(&self, channel: &str, ts: Ts) -> Value {
        let message = self.state.channel(channel).and_then(|channel| channel.messages.get(&ts));
        message.map_or(Value::Null, |message| message.wire(Metadata::Told))
    }

    fn update(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        let ts = self.time("ts").ok_or("message_not_found")?;
        let before = channel.messages.get(&ts).ok_or("message_not_found")?.clone();
        if before.user != BOT || before.subtype == Some("tombstone") {
            return Err("cant_update_message".into());
        }
        if channel.archived {
            return Err("is_inactive".into());
        }
        let (text, blocks) = self.content(Some(&before))?;
        let metadata = match self.metadata()? {
            None => before.metadata.clone(),
            Some(Value::Null) => None,
            Some(metadata) => Some(metadata),
        };
        let at = self.state.ts();
        self.state.change(&channel.id, ts, |message| {
            message.text.clone_from(&text);
            message.blocks = blocks;
            message.metadata = metadata;
            message.edited = Some((BOT.to_owned(), at));
        });
        Ok(json!({"channel": channel.id, "ts": ts.to_string(), "text": text,
                  "message": self.stored(&channel.id, ts)}))
    }

    fn post_ephemeral(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        if channel.archived {
            return Err("is_archived".into());
        }
        let user = self.owned("user");
        if !channel.members.contains(&user) {
            return Err("user_not_in_channel".into());
        }
        self.customised()?;
        let (text, blocks) = self.content(None)?;
        let thread = self.thread(&channel)?;
        let message = Message { user: BOT.to_owned(), text, blocks, thread, ..Message::default() };
        let ts = self.state.whisper(&channel.id, &user, message);
        Ok(json!({"message_ts": ts.to_string()}))
    }

    fn delete(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        let ts = self.time("ts").ok_or("message_not_found")?;
        let message = channel.messages.get(&ts).ok_or("message_not_found")?;
        if message.subtype == Some("tombstone") {
            return Err("message_not_found".into());
        }
        if message.user != BOT {
            return Err("cant_delete_message".into());
        }
        self.state.remove(&channel.id, ts);
        Ok(json!({"channel": channel.id, "ts": ts.to_string()}))
    }

    /// A bound in time: seconds with or without a fraction, or nothing.
    fn bound(&self, name: &str) -> Result<Option<Ts>, Refusal> {
        let text = self.text(name);
        if text.is_empty() || text == "now" {
            return Ok(None);
        }
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let wrong: Refusal = if name == "oldest" { "invalid_ts_oldest".into() } else { "invalid_ts_latest".into() };
        let micros = format!("{fraction:0<6}");
        match (seconds.parse::<u64>(), micros.parse::<u64>()) {
            (Ok(seconds), Ok(micros)) if micros < 1_000_000 => Ok(Some(Ts(seconds * 1_000_000 + micros))),
            _ => Err(wrong),
        }
    }

    /// One page of messages in the given order.
    fn page(
        &self,
        channel: &Channel,
        mut messages: Vec<&Message>,
        usual: u64,
        root: Option<Ts>,
    ) -> Result<Value, Refusal> {
        let (oldest, latest) = (self.bound("oldest")?, self.bound("latest")?);
        let inclusive = self.flag("inclusive");
        messages.retain(|message| {
            let after = oldest.is_none_or(|oldest| message.ts > oldest || inclusive && message.ts == oldest);
            let before = latest.is_none_or(|latest| message.ts < latest || inclusive && message.ts == latest);
            (after && before) || root == Some(message.ts)
        });
        let limit = self.arguments.get("limit").and_then(Value::as_u64).unwrap_or(usual);
        if limit == 0 || limit > 1000 {
            return Err("invalid_limit".into());
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let start = match self.text("cursor") {
            "" => 0,
            cursor => {
                let ts: Ts = cursor.strip_prefix("next_ts:").and_then(|ts| ts.parse().ok()).ok_or("invalid_cursor")?;
                messages.iter().position(|message| message.ts == ts).ok_or("invalid_cursor")?
            }
        };
        let rest = messages.get(start..).unwrap_or_default();
        let metadata = if self.flag("include_all_metadata") { Metadata::Told } else { Metadata::Kept };
        let told: Vec<Value> = rest.iter().take(limit).map(|message| channel.told(message, metadata)).collect();
        let mut answer = json!({"messages": told, "has_more": rest.len() > limit});
        if let Some(next) = rest.get(limit) {
            answer["response_metadata"] = json!({"next_cursor": format!("next_ts:{}", next.ts)});
        }
        Ok(answer)
    }

    fn history(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        let messages = channel.messages.values().rev().filter(|message| message.in_channel()).collect();
        let mut answer = self.page(&channel, messages, 100, None)?;
        answer["pin_count"] = json!(channel.pins.len());
        answer["channel_actions_ts"] = Value::Null;
        answer["channel_actions_count"] = json!(0);
        Ok(answer)
    }

    fn replies(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        let root = self.time("ts").ok_or("thread_not_found")?;
        if !channel.messages.contains_key(&root) {
            return Err("thread_not_found".into());
        }
        let of = |message: &&Message| message.ts == root || message.thread == Some(root);
        self.page(&channel, channel.messages.values().filter(of).collect(), 1000, Some(root))
    }

    fn info(&mut self) -> Result<Value, Refusal> {
        let channel = self.channel()?;
        let mut described = channel.described();
        if self.flag("include_num_members") {
            described["num_members"] = json!(channel.members.len());
        }
        Ok(json!({ "channel": described }))
    }

    fn open_direct(&mut self) -> Result<Value, Refusal> {
        let users = self.ids("users");
        let id = match (self.state.channel(self.text("channel")), users.as_slice()) {
            (Some(channel), []) if channel.room == Room::Direct => channel.id.clone(),
            (_, []) if !self.text("channel").is_empty() => return Err("channel_not_found".into()),
            (_, []) => return Err("users_list_not_supplied".into()),
            (_, [user]) => {
                let user = self.state.world.users.get(user).ok_or("user_not_found")?;
                if user.deleted {
                    return Err("user_disabled".into());
                }
                if user.kind == super::world::Kind::Bot {
                    return Err("cannot_dm_bot".into());
                }
                let user = user.id.clone();
                self.state.direct(&user)
            }
            (_, _) => {
                self.need("mpim:write")?;
                self.complaints.push("a conversation of several is not played here".to_owned());
                return Err("method_not_supported_for_channel_type".into());
            }
        };
        let whole = self.flag("return_im");
        let channel = self.state.channel(&id).map(Channel::described).unwrap_or_default();
        Ok(json!({"no_op": false, "already_open": false,
                  "channel": if whole { channel } else { json!({"id": id, "created": 1_700_000_000}) }}))
    }

    fn create(&mut self) -> Result<Value, Refusal> {
        let name = self.owned("name");
        let room = if self.flag("is_private") { Room::Private } else { Room::Public };
        self.need(Scope::Manage.of(room).as_deref().unwrap_or_default())?;
        if name.chars().count() > 80 {
            return Err("invalid_name_maxlength".into());
        }
        if name.chars().any(char::is_uppercase) {
            return Err("invalid_name".into());
        }
        if !name.chars().all(|c| c.is_alphanumeric() || c == '-' || c == '_') {
            return Err("invalid_name_specials".into());
        }
        if self.state.world.channels.values().any(|channel| channel.name == name) {
            return Err("name_taken".into());
        }
        let id = self.state.id("C0");
        let channel = Channel {
            id: id.clone(),
            name,
            room,
            members: BTreeSet::from([BOT.to_owned()]),
            archived: false,
            shared: false,
            topic: String::new(),
            purpose: String::new(),
            created: self.state.now() / 1_000_000,
            pins: Vec::new(),
            messages: BTreeMap::new(),
            creator: BOT.to_owned(),
        };
        let described = channel.described();
        self.state.world.channels.insert(id, channel);
        Ok(json!({ "channel": described }))
    }

    fn invite(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        if channel.archived {
            return Err("is_archived".into());
        }
        let users = self.ids("users");
        if users.is_empty() {
            return Err("no_user".into());
        }
        let mut errors = Vec::new();
        for user in &users {
            let error = match self.state.world.users.get(user) {
                _ if user == BOT => Some("cant_invite_self"),
                None => Some("user_not_found"),
                Some(found) if found.deleted => Some("user_not_found"),
                Some(_) if channel.members.contains(user) => Some("already_in_channel"),
                // One-channel guests are in theirs; of other workspaces nobody comes into a channel that is not shared.
                Some(found) if found.kind == super::world::Kind::Guest => Some("ura_max_channels"),
                Some(found) if matches!(found.kind, super::world::Kind::Stranger(_)) && !channel.shared => {
                    Some("cant_invite")
                }
                Some(_) => None,
            };
            errors.extend(error.map(|error| (error, user.clone())));
        }
        if let Some((error, _)) = errors.first()
            && !self.flag("force")
        {
            let mut refusal = Refusal::from(*error);
            let each: Vec<Value> =
                errors.iter().map(|(error, user)| json!({"user": user, "ok": false, "error": error})).collect();
            refusal.more.insert("errors".to_owned(), json!(each));
            return Err(refusal);
        }
        for user in users.iter().filter(|user| !errors.iter().any(|(_, wrong)| wrong == *user)) {
            self.state.enter(&channel.id, user, Some(BOT));
        }
        let described = self.state.channel(&channel.id).map(Channel::described).unwrap_or_default();
        Ok(json!({ "channel": described }))
    }

    fn set_topic(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        let topic = self.owned("topic");
        if channel.archived {
            return Err("is_archived".into());
        }
        if channel.room == Room::Direct {
            return Err("method_not_supported_for_channel_type".into());
        }
        if topic.chars().count() > TOPIC {
            return Err("too_long".into());
        }
        if let Some(channel) = self.state.world.channels.get_mut(&channel.id) {
            channel.topic.clone_from(&topic);
        }
        self.state.note(&channel.id, BOT, "channel_topic", format!("set the channel topic: {topic}"));
        let described = self.state.channel(&channel.id).map(Channel::described).unwrap_or_default();
        Ok(json!({ "channel": described }))
    }

    fn set_purpose(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        let purpose = self.owned("purpose");
        if channel.archived {
            return Err("is_archived".into());
        }
        if channel.room == Room::Direct {
            return Err("method_not_supported_for_channel_type".into());
        }
        if purpose.chars().count() > TOPIC {
            return Err("too_long".into());
        }
        if let Some(channel) = self.state.world.channels.get_mut(&channel.id) {
            channel.purpose.clone_from(&purpose);
        }
        self.state.note(&channel.id, BOT, "channel_purpose", format!("set the channel description: {purpose}"));
        Ok(json!({ "purpose": purpose }))
    }

    /// The channels that the bot is in.
    fn own_channels(&mut self) -> Result<Value, Refusal> {
        let types = self.owned("types");
        let types: Vec<&str> = if types.is_empty() { vec!["public_channel"] } else { types.split(',').collect() };
        let mut kinds = Vec::new();
        for kind in types {
            let room = match kind.trim() {
                "public_channel" => Room::Public,
                "private_channel" => Room::Private,
                "im" => Room::Direct,
                _ => return Err("invalid_types".into()),
            };
            self.need(&format!("{}:read", room.scope()))?;
            kinds.push(room);
        }
        let limit = self.arguments.get("limit").and_then(Value::as_u64).unwrap_or(100);
        if !(1..=999).contains(&limit) {
            return Err("invalid_limit".into());
        }
        let skip = match self.text("cursor") {
            "" => 0,
            cursor => cursor.strip_prefix("after:").and_then(|n| n.parse::<usize>().ok()).ok_or("invalid_cursor")?,
        };
        let archived = !self.flag("exclude_archived");
        let own = self.state.world.channels.values().filter(|channel| {
            kinds.contains(&channel.room) && channel.members.contains(BOT) && (archived || !channel.archived)
        });
        let own: Vec<Value> = own.map(Channel::described).collect();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let page: Vec<Value> = own.iter().skip(skip).take(limit).cloned().collect();
        let next = if own.len() > skip + limit { format!("after:{}", skip + limit) } else { String::new() };
        Ok(json!({"channels": page, "response_metadata": {"next_cursor": next}}))
    }

    fn archive(&mut self) -> Result<Value, Refusal> {
        let channel = self.channel()?;
        if channel.room == Room::Direct {
            return Err("method_not_supported_for_channel_type".into());
        }
        if channel.archived {
            return Err("already_archived".into());
        }
        let channel = self.own_channel()?;
        self.state.archive(&channel.id, BOT);
        Ok(json!({}))
    }

    fn pin(&mut self) -> Result<Value, Refusal> {
        let channel = self.own_channel()?;
        let ts = self.time("timestamp").ok_or("bad_timestamp")?;
        if channel.archived {
            return Err("is_archived".into());
        }
        if !channel.messages.contains_key(&ts) {
            return Err("message_not_found".into());
        }
        if channel.pins.contains(&ts) {
            return Err("already_pinned".into());
        }
        if let Some(channel) = self.state.world.channels.get_mut(&channel.id) {
            channel.pins.push(ts);
        }
        Ok(json!({}))
    }

    fn user(&mut self) -> Result<Value, Refusal> {
        let id = self.text("user");
        if id == BOT {
            return Ok(json!({"user": {"id": BOT, "team_id": TEAM, "name": "countersign", "deleted": false,
                "is_bot": true, "is_app_user": false, "profile": {"bot_id": BOT_ID, "real_name": "countersign"}}}));
        }
        let user = self.state.world.users.get(id).ok_or("user_not_found")?;
        Ok(json!({ "user": user.described() }))
    }

    fn group(&mut self) -> Result<Value, Refusal> {
        let group = self.state.world.groups.get(self.text("usergroup")).ok_or("no_such_subteam")?;
        if group.disabled && !self.flag("include_disabled") {
            return Err("no_such_subteam".into());
        }
        Ok(json!({ "users": group.members }))
    }

    fn open_view(&mut self) -> Result<Value, Refusal> {
        let view = self.arguments.get("view").cloned().unwrap_or_default();
        let problems = blocks::view_problems(&view);
        if !problems.is_empty() {
            return Err(Refusal::saying("invalid_arguments", &problems));
        }
        let trigger = self.owned("trigger_id");
        let user = self.state.exchange(&trigger)?;
        let id = self.state.id("V0");
        self.state.views.insert(id.clone(), View { id: id.clone(), user, sent: view });
        let told = self.state.view_told(&id, json!({}));
        Ok(json!({ "view": told }))
    }

    fn upload_url(&mut self) -> Result<Value, Refusal> {
        let length = self.arguments.get("length").and_then(Value::as_u64).unwrap_or_default();
        if length == 0 {
            return Err(Refusal::saying(
                "invalid_arguments",
                &["must be greater than 0 [json-pointer:/length]".to_owned()],
            ));
        }
        let id = self.state.id("F0");
        let url = format!("http://{}/upload/{id}", self.state.address);
        let upload = Upload { name: self.owned("filename"), length, content: None };
        self.state.uploads.insert(id.clone(), upload);
        Ok(json!({"upload_url": url, "file_id": id}))
    }

    fn complete_upload(&mut self) -> Result<Value, Refusal> {
        let mut files = Vec::new();
        for file in self.list("files").unwrap_or_default() {
            let id = file.get("id").and_then(Value::as_str).unwrap_or_default();
            let upload = self.state.uploads.get(id).ok_or("file_not_found")?;
            let length = upload.content.as_ref().map(Vec::len).and_then(|length| u64::try_from(length).ok());
            if length != Some(upload.length) {
                return Err("file_update_failed".into());
            }
            let title = file.get("title").and_then(Value::as_str).unwrap_or(&upload.name);
            files.push(super::people::file(id, &upload.name, title, upload.length, BOT));
        }
        if files.is_empty() {
            return Err(Refusal::saying(
                "invalid_arguments",
                &["no fewer than 1 items allowed [json-pointer:/files]".to_owned()],
            ));
        }
        let mut targets = self.ids("channels");
        targets.extend(Some(self.owned("channel_id")).filter(|id| !id.is_empty()));
        if targets.is_empty() && self.arguments.contains_key("thread_ts") {
            self.complaints.push("`thread_ts` without a channel".to_owned());
        }
        for target in targets {
            self.arguments.insert("channel".to_owned(), json!(target));
            let channel = self.own_channel()?;
            if channel.archived {
                return Err("is_archived".into());
            }
            let thread = self.thread(&channel)?;
            let message = Message {
                user: BOT.to_owned(),
                text: self.owned("initial_comment"),
                thread,
                files: files.clone(),
                subtype: Some("file_share"),
                ..Message::default()
            };
            self.state.post(&channel.id, message);
        }
        self.arguments.remove("channel");
        Ok(json!({ "files": files }))
    }
}

/// A message sent to a `response_url`: what is done with it.
pub(super) fn respond(
    state: &mut State,
    id: &str,
    body: &Value,
    complaints: &mut Vec<String>,
) -> Result<(), &'static str> {
    let now = state.now();
    let Some(response) = state.responses.get_mut(id) else { return Err("used_url") };
    response.used += 1;
    if response.used > 5 || now.saturating_sub(response.made) > 30 * 60 * 1_000_000 {
        return Err("expired_url");
    }
    let response = response.clone();
    let known = [
        "text",
        "blocks",
        "attachments",
        "response_type",
        "replace_original",
        "delete_original",
        "thread_ts",
        "metadata",
        "unfurl_links",
        "unfurl_media",
        "mrkdwn",
    ];
    for name in body.as_object().into_iter().flat_map(Map::keys).filter(|name| !known.contains(&name.as_str())) {
        complaints.push(format!("`response_url` has no argument `{name}`"));
    }
    let flag = |name: &str| body.get(name).and_then(Value::as_bool).unwrap_or_default();
    let text = body.get("text").and_then(Value::as_str).unwrap_or_default().to_owned();
    let blocks = body.get("blocks").and_then(Value::as_array).cloned().unwrap_or_default();
    if !blocks::problems(&blocks, Surface::Message).is_empty() {
        return Err("invalid_blocks");
    }
    if flag("delete_original") || flag("replace_original") {
        let Some((ts, ephemeral)) = response.message else { return Err("no_original") };
        if ephemeral {
            let own = |one: &Ephemeral| one.message.ts == ts && one.user == response.user;
            if flag("delete_original") {
                state.ephemerals.retain(|one| !own(one));
            } else if let Some(one) = state.ephemerals.iter_mut().find(|one| own(one)) {
                one.message.text = text;
                one.message.blocks = blocks;
            }
        } else if flag("delete_original") {
            state.remove(&response.channel, ts);
        } else {
            let at = state.ts();
            state.change(&response.channel, ts, |message| {
                message.text = text;
                message.blocks = blocks;
                message.edited = Some((BOT.to_owned(), at));
            });
        }
        return Ok(());
    }
    if text.is_empty() && blocks.is_empty() {
        return Err("no_text");
    }
    let thread = body.get("thread_ts").and_then(Value::as_str).and_then(|ts| ts.parse().ok());
    let message = Message { user: BOT.to_owned(), text, blocks, thread, ..Message::default() };
    if body.get("response_type").and_then(Value::as_str) == Some("in_channel") {
        state.post(&response.channel, message);
    } else {
        state.whisper(&response.channel, &response.user, message);
    }
    Ok(())
}

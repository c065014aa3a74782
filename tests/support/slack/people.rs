//! What people do: they speak, edit, press, submit, come, rename and archive. Each is one method of the fake.
//!
//! A person is named as in the room (`mei`) or by id. What a person cannot do panics: it is the test that is wrong.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::deliver::What;
use super::state::State;
use super::world::{Button, Channel, Message, Room, Ts};
use super::{APP, BOT, Slack, TEAM};

/// Something that the app was handed and may answer.
#[derive(Debug, Clone)]
pub(crate) struct Handed {
    /// Its number among the deliveries.
    pub(crate) number: usize,
    /// What a modal is opened with.
    pub(crate) trigger: String,
    /// Where the app may answer, as often as five times in half an hour.
    pub(crate) response_url: String,
}

/// A file as messages tell it.
pub(super) fn file(id: &str, name: &str, title: &str, size: u64, user: &str) -> Value {
    json!({"id": id, "created": 1_700_000_000, "timestamp": 1_700_000_000, "name": name, "title": title,
           "mimetype": "text/plain", "filetype": "text", "pretty_type": "Plain Text", "user": user, "size": size,
           "mode": "hosted", "is_external": false, "external_type": "", "is_public": true,
           "url_private": format!("https://files.slack.com/files-pri/{TEAM}-{id}/{name}"),
           "permalink": format!("https://acme.slack.com/files/{user}/{id}/{name}")})
}

/// What the client sends of a typed line beside the text.
fn rich_text(text: &str) -> Value {
    json!({"type": "rich_text", "elements": [
        {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}]})
}

impl State {
    fn who(&self, person: &str) -> String {
        self.world.user(person).unwrap_or_else(|| panic!("nobody is called {person}")).id.clone()
    }

    fn basic(&self, user: &str) -> Value {
        let team = self.world.users.get(user).map_or(TEAM, |user| user.team());
        let name = self.world.name(user);
        json!({"id": user, "username": name, "name": name, "team_id": team})
    }

    fn place(&self, channel: &str) -> Channel {
        let found = self.channel(channel).or_else(|| self.world.channels.values().find(|found| found.name == channel));
        found.unwrap_or_else(|| panic!("no channel {channel}")).clone()
    }

    /// A channel that the person can write in.
    fn open_to(&self, person: &str, channel: &str) -> (String, Channel) {
        let (user, channel) = (self.who(person), self.place(channel));
        assert!(channel.members.contains(&user), "{person} is not in {}", channel.name);
        assert!(!channel.archived, "{} is archived", channel.name);
        (user, channel)
    }

    fn interaction(&mut self, user: &str, kind: &str) -> (Map<String, Value>, String) {
        let trigger = self.trigger(user);
        let body = json!({
            "type": kind, "user": self.basic(user), "api_app_id": APP, "token": "outdated", "trigger_id": trigger,
            "team": {"id": TEAM, "domain": "acme"}, "enterprise": null, "is_enterprise_install": false,
        });
        (body.as_object().cloned().unwrap_or_default(), trigger)
    }
}

impl Slack {
    /// Somebody writes into a channel; `@name`, `#channel` and links are marked as the client would.
    pub(crate) fn say(&self, person: &str, channel: &str, text: &str) -> Ts {
        self.write(person, channel, text, None, Vec::new(), Duration::ZERO)
    }

    /// The same, so long ago: what the app finds in the history.
    pub(crate) fn said(&self, person: &str, channel: &str, text: &str, ago: Duration) -> Ts {
        self.write(person, channel, text, None, Vec::new(), ago)
    }

    /// Somebody replies in a thread.
    pub(crate) fn reply(&self, person: &str, channel: &str, root: Ts, text: &str) -> Ts {
        self.write(person, channel, text, Some(root), Vec::new(), Duration::ZERO)
    }

    /// Somebody writes to the bot alone.
    pub(crate) fn tell_directly(&self, person: &str, text: &str) -> Ts {
        let channel = self.direct(person);
        self.write(person, &channel, text, None, Vec::new(), Duration::ZERO)
    }

    /// Somebody shares a file, with a line.
    pub(crate) fn share(&self, person: &str, channel: &str, text: &str, name: &str) -> Ts {
        let file = {
            let mut state = self.inner.state();
            let (id, user) = (state.id("F0"), state.who(person));
            file(&id, name, name, 12, &user)
        };
        self.write(person, channel, text, None, vec![file], Duration::ZERO)
    }

    fn write(
        &self,
        person: &str,
        channel: &str,
        text: &str,
        thread: Option<Ts>,
        files: Vec<Value>,
        ago: Duration,
    ) -> Ts {
        let mut state = self.inner.state();
        let (user, channel) = state.open_to(person, channel);
        if let Some(root) = thread {
            assert!(channel.messages.contains_key(&root), "no thread {root}");
        }
        let ts = state.ts();
        let ts = Ts(ts.0 - u64::try_from(ago.as_micros()).expect("a short while"));
        let subtype = (!files.is_empty()).then_some("file_share");
        let message = Message {
            ts,
            user,
            text: state.world.typed(text),
            blocks: if files.is_empty() { vec![rich_text(text)] } else { Vec::new() },
            thread,
            files,
            subtype,
            ..Message::default()
        };
        state.post(&channel.id, message)
    }

    /// Somebody changes what they wrote.
    pub(crate) fn edit(&self, person: &str, channel: &str, ts: Ts, text: &str) {
        let mut state = self.inner.state();
        let (user, channel) = state.open_to(person, channel);
        let message = channel.messages.get(&ts).unwrap_or_else(|| panic!("no message {ts}"));
        assert_eq!(message.user, user, "{person} did not write {ts}");
        let (at, wire) = (state.ts(), state.world.typed(text));
        state.change(&channel.id, ts, |message| {
            message.text = wire;
            message.blocks = vec![rich_text(text)];
            message.edited = Some((user, at));
        });
    }

    /// An old integration writes: no user, and the subtype of its kind.
    pub(crate) fn integration(&self, channel: &str, text: &str) -> Ts {
        let mut state = self.inner.state();
        let channel = state.place(channel);
        let message = Message {
            text: text.to_owned(),
            subtype: Some("bot_message"),
            bot: Some("B0OLD".to_owned()),
            ..Message::default()
        };
        state.post(&channel.id, message)
    }

    /// Slack adds the preview of a link to what somebody wrote: a change that is no edit.
    pub(crate) fn unfurl(&self, channel: &str, ts: Ts) {
        let mut state = self.inner.state();
        let channel = state.place(channel);
        assert!(channel.messages.contains_key(&ts), "no message {ts}");
        let preview = json!({"id": 1, "from_url": "https://example.org/", "original_url": "https://example.org/",
                             "fallback": "Example", "title": "Example", "title_link": "https://example.org/"});
        state.change(&channel.id, ts, |message| message.attachments.push(preview));
    }

    /// Somebody deletes what they wrote, or an administrator what anybody wrote.
    pub(crate) fn delete(&self, channel: &str, ts: Ts) {
        let mut state = self.inner.state();
        let channel = state.place(channel);
        assert!(channel.messages.contains_key(&ts), "no message {ts}");
        state.remove(&channel.id, ts);
    }

    /// Somebody presses a button of a message, or of what only they see. It panics when there is none such.
    pub(crate) fn press(&self, person: &str, channel: &str, ts: Ts, action: &str) -> Handed {
        let mut state = self.inner.state();
        let (user, channel) = state.open_to(person, channel);
        let ephemeral = state
            .ephemerals
            .iter()
            .find(|one| one.message.ts == ts && one.user == user && one.channel == channel.id)
            .map(|one| one.message.clone());
        let private = ephemeral.is_some();
        let message = ephemeral.or_else(|| channel.messages.get(&ts).cloned());
        let message = message.unwrap_or_else(|| panic!("{person} sees no message {ts}"));
        let buttons = state.world.seen(&message).buttons;
        let button = buttons.iter().find(|button| button.action_id == action || button.label == action);
        let button = button.unwrap_or_else(|| panic!("no button {action} among {buttons:#?}")).clone();
        state.press(&user, &channel, Some((&message, private)), ts, &button)
    }

    /// Presses a button as it stood in a message that has changed or gone since: a client that was slow.
    pub(crate) fn press_late(&self, person: &str, channel: &str, ts: Ts, button: &Button) -> Handed {
        let mut state = self.inner.state();
        let (user, channel) = state.open_to(person, channel);
        let message = channel.messages.get(&ts).cloned();
        state.press(&user, &channel, message.as_ref().map(|message| (message, false)), ts, button)
    }

    /// Somebody sends off a modal. Each value: block, action, text.
    pub(crate) fn submit(&self, view: &str, values: &[(&str, &str, &str)]) -> Handed {
        let mut state = self.inner.state();
        let open = state.views.get(view).unwrap_or_else(|| panic!("no modal {view}")).clone();
        let mut put_in = json!({});
        for block in open.sent.get("blocks").and_then(Value::as_array).into_iter().flatten() {
            let of = |pointer: &str| block.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            if of("/type") != "input" {
                continue;
            }
            let (block_id, action, kind) = (of("/block_id"), of("/element/action_id"), of("/element/type"));
            assert!(!block_id.is_empty() && !action.is_empty(), "an input without ids cannot be read: {block}");
            let value = values.iter().find(|value| value.0 == block_id && value.1 == action).map(|value| value.2);
            let optional = block.get("optional").and_then(Value::as_bool).unwrap_or_default();
            assert!(optional || value.is_some_and(|value| !value.is_empty()), "{block_id} must be filled in");
            put_in[block_id][action] = json!({"type": kind, "value": value.filter(|value| !value.is_empty())});
        }
        for value in values {
            assert!(put_in.pointer(&format!("/{}/{}", value.0, value.1)).is_some(), "no input {}/{}", value.0, value.1);
        }
        let (mut body, trigger) = state.interaction(&open.user, "view_submission");
        body.insert("view".to_owned(), state.view_told(view, put_in));
        body.insert("response_urls".to_owned(), json!([]));
        state.views.remove(view);
        let number = state.send(What::Interaction, Value::Object(body));
        Handed { number, trigger, response_url: String::new() }
    }

    /// Somebody closes a modal; the app hears of it if it asked to.
    pub(crate) fn close(&self, view: &str) {
        let mut state = self.inner.state();
        let open = state.views.get(view).unwrap_or_else(|| panic!("no modal {view}")).clone();
        let told = state.view_told(view, json!({}));
        state.views.remove(view);
        if open.sent.get("notify_on_close").and_then(Value::as_bool) == Some(true) {
            let (mut body, _) = state.interaction(&open.user, "view_closed");
            body.remove("trigger_id");
            body.insert("view".to_owned(), told);
            body.insert("is_cleared".to_owned(), json!(false));
            state.send(What::Interaction, Value::Object(body));
        }
    }

    /// Somebody types a slash command; the app gets it wherever it is typed.
    pub(crate) fn command(&self, person: &str, channel: &str, command: &str, text: &str) -> Handed {
        let mut state = self.inner.state();
        assert!(state.settings.scopes.contains("commands"), "the app has no slash command");
        let (user, channel) = state.open_to(person, channel);
        let trigger = state.trigger(&user);
        let response_url = state.response_url(&channel.id, &user, None);
        let name = if channel.room == Room::Direct { "directmessage".to_owned() } else { channel.name.clone() };
        let body = json!({
            "token": "outdated", "team_id": TEAM, "team_domain": "acme", "channel_id": channel.id, "channel_name": name,
            "user_id": user, "user_name": state.world.name(&user), "command": command, "text": text,
            "api_app_id": APP, "is_enterprise_install": "false", "response_url": response_url, "trigger_id": trigger,
        });
        let number = state.send(What::Command, body);
        Handed { number, trigger, response_url }
    }

    /// Somebody comes into a channel.
    pub(crate) fn join(&self, person: &str, channel: &str) {
        let mut state = self.inner.state();
        let (user, channel) = (state.who(person), state.place(channel));
        state.enter(&channel.id, &user, None);
    }

    /// Somebody invites the bot.
    pub(crate) fn invite_bot(&self, person: &str, channel: &str) {
        let mut state = self.inner.state();
        let (user, channel) = state.open_to(person, channel);
        state.enter(&channel.id, BOT, Some(&user));
    }

    /// Somebody goes out of a channel.
    pub(crate) fn leave(&self, person: &str, channel: &str) {
        let mut state = self.inner.state();
        let (user, channel) = state.open_to(person, channel);
        state.part(&channel, &user);
    }

    /// Somebody removes the bot from a channel.
    pub(crate) fn remove_bot(&self, channel: &str) {
        let mut state = self.inner.state();
        let channel = state.place(channel);
        state.part(&channel, BOT);
    }

    /// Somebody gives a channel another name.
    pub(crate) fn rename(&self, person: &str, channel: &str, name: &str) {
        let mut state = self.inner.state();
        let (user, channel) = state.open_to(person, channel);
        if let Some(found) = state.world.channels.get_mut(&channel.id) {
            name.clone_into(&mut found.name);
        }
        state.note(&channel.id, &user, "channel_name", format!("has renamed the channel to \"{name}\""));
        let told = json!({"channel": {"id": channel.id, "name": name, "name_normalized": name,
            "created": 1_700_000_000, "is_channel": channel.room == Room::Public, "is_mpim": false}});
        state.tell_of_channel(&channel, "rename", told);
    }

    /// Somebody archives a channel.
    pub(crate) fn archive(&self, person: &str, channel: &str) {
        let mut state = self.inner.state();
        let (user, channel) = state.open_to(person, channel);
        state.archive(&channel.id, &user);
    }

    /// Somebody takes a channel out of the archive.
    pub(crate) fn unarchive(&self, person: &str, channel: &str) {
        let mut state = self.inner.state();
        let (user, channel) = (state.who(person), state.place(channel));
        if let Some(found) = state.world.channels.get_mut(&channel.id) {
            found.archived = false;
        }
        state.tell_of_channel(&channel, "unarchive", json!({"channel": channel.id, "user": user}));
    }

    /// An event of a kind that nobody here plays, word for word.
    pub(crate) fn event(&self, event: Value) -> usize {
        let mut state = self.inner.state();
        state.tell_raw(event, false);
        state.deliveries.len() - 1
    }
}

impl State {
    fn part(&mut self, channel: &Channel, user: &str) {
        let at = self.ts();
        let kind = if channel.room == Room::Private { "G" } else { "C" };
        let event = json!({"type": "member_left_channel", "user": user, "channel": channel.id, "channel_type": kind,
                           "team": TEAM, "event_ts": at.to_string()});
        self.note(&channel.id, user, "channel_leave", format!("<@{user}> has left the channel"));
        let scope = format!("{}:read", channel.room.scope());
        self.tell(channel, "member_left_channel", &scope, event);
        if let Some(found) = self.world.channels.get_mut(&channel.id) {
            found.members.remove(user);
        }
    }

    fn press(
        &mut self,
        user: &str,
        channel: &Channel,
        message: Option<(&Message, bool)>,
        ts: Ts,
        button: &Button,
    ) -> Handed {
        let (mut body, trigger) = self.interaction(user, "block_actions");
        let private = message.is_some_and(|(_, private)| private);
        let response_url = self.response_url(&channel.id, user, Some((ts, private)));
        let at = self.ts();
        let mut container = json!({"type": "message", "message_ts": ts.to_string(), "channel_id": channel.id,
                                   "is_ephemeral": private});
        if let Some(root) = message.and_then(|(message, _)| message.thread) {
            container["thread_ts"] = json!(root.to_string());
        }
        body.insert("container".to_owned(), container);
        let name = if channel.room == Room::Direct { "directmessage" } else { &channel.name };
        body.insert("channel".to_owned(), json!({"id": channel.id, "name": name}));
        // What one person alone sees is not told.
        if let Some((message, false)) = message {
            body.insert("message".to_owned(), channel.told(message, super::world::Metadata::Told));
        }
        body.insert("state".to_owned(), json!({"values": {}}));
        body.insert("response_url".to_owned(), json!(response_url));
        let mut action = json!({"type": "button", "action_id": button.action_id, "block_id": button.block_id,
            "text": {"type": "plain_text", "text": button.label, "emoji": true}, "action_ts": at.to_string()});
        for (name, value) in [("value", &button.value), ("style", &button.style)] {
            if !value.is_empty() {
                action[name] = json!(value);
            }
        }
        body.insert("actions".to_owned(), json!([action]));
        let number = self.send(What::Interaction, Value::Object(body));
        Handed { number, trigger, response_url }
    }
}

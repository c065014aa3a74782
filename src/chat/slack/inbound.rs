//! From what Slack delivers to what was said.
//!
//! What lives here: one reading of events, slash commands, buttons and windows, for Socket Mode and for HTTP alike. It
//! reads the raw JSON, with no more of Slack's shapes than it needs, so that a field that Slack adds, leaves out or sets
//! to null loses nothing. What does not: receiving, and whoever acts on it.
//!
//! Keeps I6: a thing's key is made of what was said (channel and `ts`; message, button, time and presser), never of its
//! delivery. Keeps I9: an account is the id that Slack vouches for, in the workspace that it belongs to. What a program
//! wrote is the program's, even in a person's name.

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::PLATFORM;
use super::text::{ASKS_WHY, SAYS, WHY};
use super::words::{begins_with_mention, typed};
use crate::model::chat::{Account, Addressed, Incoming, RoomAddress, RoomChange, RoomNews, Said};
use crate::model::id::{MessageId, ThreadId};

/// Who the bot is in one workspace, as `auth.test` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The workspace.
    pub team: String,
    /// The bot as somebody who is mentioned.
    pub user: String,
    /// The bot as somebody who writes.
    pub bot: Option<String>,
}

/// What one delivery turned out to be; one delivery may be several things.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// Somebody said something.
    Said(Incoming),
    /// Somebody pressed a button that wants a reason: open the window. If it cannot be opened, the press counts.
    AskWhy {
        /// What Slack wants to have back with the window, within 3 s.
        trigger: String,
        /// What is to come back with the answer.
        kept: String,
        /// The press, without a reason.
        press: Incoming,
    },
    /// Something about the room itself.
    Room(RoomNews),
    /// Something to count.
    Noted(Note),
}

/// Why a delivery, or a part of one, is nothing that somebody said; or what was odd about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The bot's own words.
    Own,
    /// Something in a workspace that this one does not serve.
    OtherWorkspace,
    /// It came for a whole organisation, with no workspace named. It was read all the same.
    OrgWide,
    /// Nobody said anything: a link was unfurled, a topic set.
    NoWords,
    /// A kind that this version does not know.
    Unknown(String),
    /// A kind that it knows, in a shape that it does not.
    Unreadable(String),
}

impl Note {
    /// Its name, as a label of a counter: one of a closed list.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::OtherWorkspace => "other_workspace",
            Self::OrgWide => "org_wide",
            Self::NoWords => "no_words",
            Self::Unknown(_) => "unknown",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// Reads what one workspace's bot is sent.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Who the bot is.
    pub own: &'a Own,
    /// The catalog's name for an account's id.
    pub name: &'a dyn Fn(&str) -> Option<String>,
    /// Now: what Slack gives no time for was said now.
    pub now: DateTime<Utc>,
}

/// What an account is called that Slack does not name: it is never in a catalog, where ids are capitals and digits.
const UNNAMED: &str = "unnamed";

/// What became of a message.
#[derive(Debug, Clone, Copy)]
enum Revision<'a> {
    Edited(&'a Edited),
    /// When.
    Deleted(&'a str),
}

/// The end of reading a thing early: it is not what was said.
type Read<T> = Result<T, Note>;

impl Reader<'_> {
    /// Reads one frame of Socket Mode; `kind` is its `type`, `payload` what is in it.
    pub fn frame(&self, kind: &str, payload: &Value) -> Vec<Taken> {
        match kind {
            "events_api" => self.event(payload),
            "slash_commands" => self.slash(payload),
            "interactive" => self.interaction(payload),
            other => noted(Note::Unknown(format!("frame {other}"))),
        }
    }

    /// Reads an event, as the Events API delivers it.
    pub fn event(&self, payload: &Value) -> Vec<Taken> {
        let mut taken = Vec::new();
        let read = self.read_event(payload, &mut taken);
        finish(taken, read)
    }

    fn read_event(&self, payload: &Value, taken: &mut Vec<Taken>) -> Read<Vec<Taken>> {
        let mut callback: Callback = shape("event_callback", payload)?;
        if callback.is_ext_shared_channel {
            // Who is not said to be of a workspace could be of any.
            for message in ["", "/message", "/previous_message"] {
                if let Some(message) = callback.event.pointer_mut(message).and_then(Value::as_object_mut)
                    && message.contains_key("ts")
                    && !["team", "user_team"].iter().any(|name| message.get(*name).is_some_and(Value::is_string))
                {
                    message.insert("user_team".to_owned(), Value::from(UNNAMED));
                }
            }
        }
        if callback.kind != "event_callback" {
            return Err(Note::Unknown(format!("event {}", callback.kind)));
        }
        let teams: Vec<&str> = (callback.team_id.iter().chain(&callback.context_team_id))
            .chain(callback.authorizations.iter().flatten().filter_map(|installed| installed.team_id.as_ref()))
            .map(String::as_str)
            .collect();
        let anywhere = callback.authorizations.iter().flatten().any(|installed| installed.team_id.is_none());
        taken.extend(org_wide(anywhere));
        if !anywhere && !teams.is_empty() && !teams.contains(&self.own.team.as_str()) {
            return Err(Note::OtherWorkspace);
        }
        let kind = callback.event["type"].as_str().unwrap_or_default();
        match kind {
            "message" => self.message(&callback.event),
            "app_mention" => self.plain_message(&shape(kind, &callback.event)?),
            "member_joined_channel" | "member_left_channel" => self.member(kind, &callback),
            "channel_rename" | "group_rename" => {
                let Renamed { channel } = shape(kind, &callback.event)?;
                let what = RoomChange::Renamed { name: channel.name };
                self.news(&channel.id, &callback, kind, self.doer(None), what)
            }
            "channel_archive" | "group_archive" => {
                let archived: InChannel = shape(kind, &callback.event)?;
                let doer = self.doer(archived.user.as_deref());
                self.news(&archived.channel, &callback, kind, doer, RoomChange::Archived)
            }
            "channel_unarchive" | "group_unarchive" => {
                let unarchived: InChannel = shape(kind, &callback.event)?;
                let doer = self.doer(unarchived.user.as_deref());
                self.news(&unarchived.channel, &callback, kind, doer, RoomChange::Unarchived)
            }
            other => Err(Note::Unknown(format!("event {other}"))),
        }
    }

    /// Reads a message as a channel's history holds it: what people said, and edits of it.
    pub fn found(&self, channel: &str, message: &Value) -> Vec<Incoming> {
        let mut message = message.clone();
        // A history does not repeat where it is the history of.
        if let Some(fields) = message.as_object_mut() {
            fields.entry("channel").or_insert_with(|| channel.into());
        }
        let said = |taken| match taken {
            Taken::Said(incoming) => Some(incoming),
            Taken::AskWhy { .. } | Taken::Room(_) | Taken::Noted(_) => None,
        };
        // What cannot be read here is noted when it is delivered.
        self.message(&message).unwrap_or_default().into_iter().filter_map(said).collect()
    }

    fn message(&self, event: &Value) -> Read<Vec<Taken>> {
        let subtype = event["subtype"].as_str();
        match subtype {
            None | Some("file_share" | "thread_broadcast" | "bot_message" | "me_message") => {
                self.plain_message(&shape("message", event)?)
            }
            Some("message_changed") => self.changed(&shape("message_changed", event)?),
            Some("message_deleted") => self.deleted(&shape("message_deleted", event)?),
            // Slack's own sentences, and what it tells beside a message: nobody said it. Who came or went is an event.
            Some(
                "channel_join"
                | "channel_leave"
                | "channel_topic"
                | "channel_purpose"
                | "channel_name"
                | "channel_archive"
                | "channel_unarchive"
                | "channel_convert_to_private"
                | "channel_posting_permissions"
                | "group_join"
                | "group_leave"
                | "group_topic"
                | "group_purpose"
                | "group_name"
                | "group_archive"
                | "group_unarchive"
                | "message_replied"
                | "pinned_item"
                | "unpinned_item"
                | "bot_add"
                | "bot_remove"
                | "reminder_add"
                | "reply_broadcast",
            ) => Err(Note::NoWords),
            Some(other) => Err(Note::Unknown(format!("message {other}"))),
        }
    }

    /// A line. One that was edited before it was delivered counts as the edit alone: it never acts.
    fn plain_message(&self, message: &Words) -> Read<Vec<Taken>> {
        let channel = message.channel.as_deref().ok_or_else(|| missing("message", "channel"))?;
        let account = self.author(message)?;
        let line = |what| self.incoming(channel, message.thread(), account.clone(), &message.ts, what);
        if let Some(edited) = &message.edited {
            return self.edit(channel, message, account.clone(), Revision::Edited(edited)).map(|edit| vec![edit]);
        }
        let mut taken = vec![line(Said::Line {
            message: MessageId::new(&message.ts),
            text: self.words(message),
            address: self.address(message),
        })?];
        // Each file is a line of its own, so that what was typed with it still means what it says.
        for file in &message.files {
            let named = Said::Line {
                message: MessageId::new(format!("{}/{}", message.ts, file.id)),
                text: format!("[file {}]", file.name()),
                address: Addressed::ToRoom,
            };
            taken.push(line(named)?);
        }
        Ok(taken)
    }

    fn changed(&self, change: &Changed) -> Read<Vec<Taken>> {
        let message = &change.message;
        let account = self.author(message)?;
        if message.subtype.as_deref() == Some("tombstone") {
            let author = change.previous_message.as_ref().map_or(Ok(account), |before| self.author(before))?;
            return self.edit(&change.channel, message, author, Revision::Deleted(&change.ts)).map(|edit| vec![edit]);
        }
        let before = change.previous_message.as_ref().and_then(|before| before.edited.as_ref());
        match &message.edited {
            // Slack changes messages by itself, for instance to show what a link leads to.
            None => Err(Note::NoWords),
            Some(edited) if Some(edited) == before => Err(Note::NoWords),
            Some(edited) => {
                self.edit(&change.channel, message, account, Revision::Edited(edited)).map(|edit| vec![edit])
            }
        }
    }

    fn deleted(&self, deletion: &Deleted) -> Read<Vec<Taken>> {
        let Some(before) = &deletion.previous_message else {
            return Err(missing("message_deleted", "previous_message"));
        };
        // The bot removes doubles of its own.
        let account = self.author(before)?;
        self.edit(&deletion.channel, before, account, Revision::Deleted(&deletion.ts)).map(|edit| vec![edit])
    }

    /// An edit, or a deletion. A message is deleted once, whichever way Slack tells it.
    fn edit(&self, channel: &str, message: &Words, account: Account, revision: Revision<'_>) -> Read<Taken> {
        let (revision, text, at) = match revision {
            Revision::Edited(edited) => (edited.ts.as_str(), Some(self.words(message)), edited.ts.as_str()),
            Revision::Deleted(at) => ("deleted", None, at),
        };
        let what = Said::Edit { message: MessageId::new(&message.ts), revision: revision.to_owned(), text };
        self.incoming(channel, message.thread(), account, at, what)
    }

    fn member(&self, kind: &str, callback: &Callback) -> Read<Vec<Taken>> {
        let member: Member = shape(kind, &callback.event)?;
        let account = self.account(member.team.as_deref(), &member.user);
        let what = match (kind == "member_joined_channel", member.user == self.own.user) {
            (true, true) => RoomChange::BotJoined,
            (false, true) => RoomChange::BotLeft,
            (true, false) => RoomChange::Joined,
            (false, false) => RoomChange::Left,
        };
        self.news(&member.channel, callback, &format!("{kind}:{}", member.user), account, what)
    }

    /// Who did something to a room; the bot's own account where nobody is named.
    fn doer(&self, user: Option<&str>) -> Account {
        self.account(None, user.unwrap_or(&self.own.user))
    }

    fn news(
        &self,
        channel: &str,
        callback: &Callback,
        what_kind: &str,
        account: Account,
        what: RoomChange,
    ) -> Read<Vec<Taken>> {
        let stamp = callback.event["event_ts"].as_str().map(str::to_owned);
        let stamp = stamp.or_else(|| callback.event_time.map(|seconds| seconds.to_string()));
        let stamp = stamp.ok_or_else(|| missing(what_kind, "event_ts"))?;
        let at = time(&stamp).ok_or_else(|| missing(what_kind, "time"))?;
        let (room, key) = (self.room(channel), format!("{what_kind}:{stamp}"));
        Ok(vec![Taken::Room(RoomNews { room, key, at, account, what })])
    }

    /// Reads a slash command. Over HTTP it comes as a form: hand over its fields as an object of strings.
    pub fn slash(&self, payload: &Value) -> Vec<Taken> {
        finish(Vec::new(), self.read_slash(payload))
    }

    fn read_slash(&self, payload: &Value) -> Read<Vec<Taken>> {
        let slash: Slash = shape("slash command", payload)?;
        match slash.team_id.as_deref() {
            Some(team) if team != self.own.team => return Err(Note::OtherWorkspace),
            Some(_) | None => {}
        }
        let text = typed(&slash.text, &self.own.user, self.name);
        let what = Said::Line {
            message: MessageId::new(format!("slash-{}", slash.trigger_id)),
            text,
            address: Addressed::Slash,
        };
        let account = self.account(slash.team_id.as_deref(), &slash.user_id);
        let incoming = Incoming {
            room: self.room(&slash.channel_id),
            thread: None,
            account,
            said_at: self.now,
            what,
            trace: None,
        };
        let mut taken = org_wide(slash.team_id.is_none());
        taken.push(Taken::Said(incoming));
        Ok(taken)
    }

    /// Reads a pressed button or a window that was sent. Over HTTP it is the form's field `payload`.
    pub fn interaction(&self, payload: &Value) -> Vec<Taken> {
        let read = match payload["type"].as_str().unwrap_or_default() {
            "block_actions" => self.actions(payload),
            "view_submission" => self.submission(payload),
            "view_closed" => Err(Note::NoWords),
            other => Err(Note::Unknown(format!("interaction {other}"))),
        };
        finish(Vec::new(), read)
    }

    fn actions(&self, payload: &Value) -> Read<Vec<Taken>> {
        let pressed: Pressed = shape("block_actions", payload)?;
        let channel = pressed.channel.map(|channel| channel.id).or(pressed.container.channel_id);
        let (Some(channel), Some(message)) = (channel, pressed.container.message_ts) else {
            return Err(Note::Unknown("a button outside a message".to_owned()));
        };
        // What comes of a button stands in the thread of its message, which begins with the first answer.
        let thread = pressed.container.thread_ts.or_else(|| pressed.message.and_then(|message| message.thread_ts));
        let thread = Some(thread.unwrap_or_else(|| message.clone()));
        let account = self.account(pressed.user.team_id.as_deref(), &pressed.user.id);
        if pressed.actions.is_empty() {
            return Err(missing("block_actions", "actions"));
        }
        let mut taken = org_wide(pressed.team.is_none());
        for action in pressed.actions {
            let asks_why = action.action_id.starts_with(ASKS_WHY);
            if !asks_why && !action.action_id.starts_with(SAYS) {
                taken.push(Taken::Noted(Note::Unknown("a button that is not the bot's".to_owned())));
                continue;
            }
            let command = action.value.ok_or_else(|| missing("block_actions", "value"))?;
            let interaction = format!("{message}:{}:{}:{}", action.action_id, action.action_ts, pressed.user.id);
            let said_at = time(&action.action_ts).ok_or_else(|| missing("block_actions", "action_ts"))?;
            let press = Incoming {
                room: self.room(&channel),
                thread: thread.clone().map(ThreadId::new),
                account: account.clone(),
                said_at,
                what: Said::Press {
                    interaction,
                    message: MessageId::new(&message),
                    command: command.clone(),
                    signed: None,
                },
                trace: None,
            };
            taken.push(match (&pressed.trigger_id, asks_why) {
                (Some(trigger), true) => {
                    let kept =
                        Kept { channel: channel.clone(), thread: thread.clone(), message: message.clone(), command };
                    let kept = serde_json::to_string(&kept).map_err(|error| Note::Unreadable(error.to_string()))?;
                    Taken::AskWhy { trigger: trigger.clone(), kept, press }
                }
                (Some(_) | None, _) => Taken::Said(press),
            });
        }
        Ok(taken)
    }

    fn submission(&self, payload: &Value) -> Read<Vec<Taken>> {
        let sent: Submission = shape("view_submission", payload)?;
        if sent.view.callback_id != WHY {
            return Err(Note::Unknown("a window that is not the bot's".to_owned()));
        }
        let kept: Kept = serde_json::from_str(&sent.view.private_metadata)
            .map_err(|error| Note::Unreadable(format!("view_submission: what was kept: {error}")))?;
        let reason = sent.view.state["values"][WHY][WHY]["value"].as_str().unwrap_or_default();
        // One line, as if it had been typed.
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let command = if reason.is_empty() { kept.command } else { format!("{} because {reason}", kept.command) };
        let what = Said::Press {
            interaction: format!("view:{}", sent.view.id),
            message: MessageId::new(kept.message),
            command,
            signed: None,
        };
        let mut taken = org_wide(sent.team.is_none());
        taken.push(Taken::Said(Incoming {
            room: self.room(&kept.channel),
            thread: kept.thread.map(ThreadId::new),
            account: self.account(sent.user.team_id.as_deref(), &sent.user.id),
            said_at: self.now,
            what,
            trace: None,
        }));
        Ok(taken)
    }

    fn room(&self, channel: &str) -> RoomAddress {
        RoomAddress { platform: PLATFORM.to_owned(), workspace: self.own.team.clone(), channel: channel.to_owned() }
    }

    /// An account in the workspace that it belongs to, which in a shared channel need not be the bot's.
    fn account(&self, team: Option<&str>, id: &str) -> Account {
        let workspace = team.unwrap_or(&self.own.team).to_owned();
        Account { platform: PLATFORM.to_owned(), workspace, id: id.to_owned() }
    }

    /// Who wrote a message. What came through a program is the program's, even if it bears a person's id: whoever has
    /// somebody's token could otherwise speak as them.
    fn author(&self, message: &Words) -> Read<Account> {
        let own = message.user.as_deref() == Some(&self.own.user)
            || (message.bot_id.is_some() && message.bot_id == self.own.bot);
        if own {
            return Err(Note::Own);
        }
        let team = message.user_team.as_deref().or(message.team.as_deref());
        let through = message.app_id.is_some() || !message.bot_profile.is_null();
        let through = through || message.subtype.as_deref() == Some("bot_message");
        let id = match (&message.bot_id, &message.app_id) {
            (Some(bot), _) => Some(bot.as_str()),
            // A program that Slack does not name is nobody, whomever it writes as.
            (None, app) if through => Some(app.as_deref().unwrap_or(UNNAMED)),
            (None, _) => message.user.as_deref(),
        };
        id.map(|id| self.account(team, id)).ok_or_else(|| missing("message", "user"))
    }

    fn words(&self, message: &Words) -> String {
        let mut text = typed(&message.text, &self.own.user, self.name);
        if message.subtype.as_deref() == Some("me_message") {
            text.insert_str(0, "/me ");
        }
        if message.attachments.iter().any(|attached| attached.is_share || attached.is_msg_unfurl) {
            // What somebody hands on is not what they say: with this line it is no command.
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str("[forwarded message]");
        }
        text
    }

    fn address(&self, message: &Words) -> Addressed {
        match message.channel_type.as_deref() {
            Some("im") => Addressed::Direct,
            Some(_) | None if begins_with_mention(&message.text, &self.own.user) => Addressed::Mention,
            Some(_) | None => Addressed::ToRoom,
        }
    }

    fn incoming(&self, channel: &str, thread: Option<&str>, account: Account, at: &str, what: Said) -> Read<Taken> {
        let said_at = time(at).ok_or_else(|| missing("message", "ts"))?;
        let thread = thread.map(ThreadId::new);
        Ok(Taken::Said(Incoming { room: self.room(channel), thread, account, said_at, what, trace: None }))
    }
}

fn finish(mut taken: Vec<Taken>, read: Read<Vec<Taken>>) -> Vec<Taken> {
    match read {
        Ok(more) => taken.extend(more),
        Err(note) => taken.push(Taken::Noted(note)),
    }
    taken
}

/// What came with no workspace named is counted, and read.
fn org_wide(is: bool) -> Vec<Taken> {
    if is { noted(Note::OrgWide) } else { Vec::new() }
}

fn noted(note: Note) -> Vec<Taken> {
    vec![Taken::Noted(note)]
}

fn missing(what: &str, field: &str) -> Note {
    Note::Unreadable(format!("{what}: `{field}` is missing or cannot be read"))
}

fn shape<T: DeserializeOwned>(what: &str, value: &Value) -> Read<T> {
    // Where, and not the reader's own words: those hold what somebody typed.
    serde_path_to_error::deserialize(value)
        .map_err(|error| Note::Unreadable(format!("{what}: `{}` is missing or of another kind", error.path())))
}

/// Reads Slack's time: seconds, and after a full stop a fraction that makes it unique in its channel.
pub fn time(ts: &str) -> Option<DateTime<Utc>> {
    let (seconds, fraction) = ts.split_once('.').unwrap_or((ts, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) {
        return None;
    }
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let whole = DateTime::from_timestamp(seconds.parse().ok()?, 0)?;
    whole.checked_add_signed(TimeDelta::microseconds(micros.parse().ok()?))
}

/// What a window brings back.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    channel: String,
    thread: Option<String>,
    message: String,
    command: String,
}

#[derive(Debug, Deserialize)]
struct Callback {
    #[serde(rename = "type")]
    kind: String,
    team_id: Option<String>,
    context_team_id: Option<String>,
    authorizations: Option<Vec<Installed>>,
    event_time: Option<i64>,
    /// Whether people of other workspaces are in the channel.
    #[serde(default, deserialize_with = "or_default")]
    is_ext_shared_channel: bool,
    #[serde(default)]
    event: Value,
}

#[derive(Debug, Deserialize)]
struct Installed {
    team_id: Option<String>,
}

/// A message, whole or within another.
#[derive(Debug, Deserialize)]
struct Words {
    subtype: Option<String>,
    channel: Option<String>,
    channel_type: Option<String>,
    user: Option<String>,
    bot_id: Option<String>,
    app_id: Option<String>,
    #[serde(default)]
    bot_profile: Value,
    user_team: Option<String>,
    team: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    text: String,
    ts: String,
    thread_ts: Option<String>,
    edited: Option<Edited>,
    #[serde(default, deserialize_with = "or_default")]
    files: Vec<File>,
    #[serde(default, deserialize_with = "or_default")]
    attachments: Vec<Attachment>,
}

impl Words {
    /// The thread that it stands in; what a thread hangs on does not stand in it.
    fn thread(&self) -> Option<&str> {
        self.thread_ts.as_deref().filter(|thread| *thread != self.ts)
    }
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Edited {
    ts: String,
}

#[derive(Debug, Deserialize)]
struct File {
    id: String,
    name: Option<String>,
    title: Option<String>,
    mimetype: Option<String>,
    size: Option<u64>,
}

impl File {
    fn name(&self) -> String {
        let name = self.name.as_ref().or(self.title.as_ref()).unwrap_or(&self.id);
        // A name is one line, and ends before the bracket does.
        let mut said: String = name.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some(kind) = self.mimetype.as_ref().filter(|kind| !kind.is_empty()) {
            said.push_str(&format!(", {kind}"));
        }
        if let Some(size) = self.size {
            said.push_str(&format!(", {size} bytes"));
        }
        said
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attachment {
    #[serde(deserialize_with = "or_default")]
    is_share: bool,
    #[serde(deserialize_with = "or_default")]
    is_msg_unfurl: bool,
}

#[derive(Debug, Deserialize)]
struct Changed {
    channel: String,
    ts: String,
    message: Words,
    previous_message: Option<Words>,
}

#[derive(Debug, Deserialize)]
struct Deleted {
    channel: String,
    ts: String,
    previous_message: Option<Words>,
}

#[derive(Debug, Deserialize)]
struct Member {
    user: String,
    channel: String,
    team: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Renamed {
    channel: NamedChannel,
}

#[derive(Debug, Deserialize)]
struct NamedChannel {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct InChannel {
    channel: String,
    user: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Slash {
    team_id: Option<String>,
    channel_id: String,
    user_id: String,
    #[serde(default, deserialize_with = "or_default")]
    text: String,
    trigger_id: String,
}

#[derive(Debug, Deserialize)]
struct Pressed {
    user: User,
    /// Whose workspace it is; people of others press in shared channels, so that it says nothing about who may.
    team: Option<HasId>,
    channel: Option<HasId>,
    container: Container,
    message: Option<Parent>,
    trigger_id: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    actions: Vec<Action>,
}

#[derive(Debug, Deserialize)]
struct User {
    id: String,
    team_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct HasId {
    id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    message_ts: Option<String>,
    channel_id: Option<String>,
    thread_ts: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Parent {
    thread_ts: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Action {
    action_id: String,
    value: Option<String>,
    action_ts: String,
}

#[derive(Debug, Deserialize)]
struct Submission {
    user: User,
    team: Option<HasId>,
    view: View,
}

#[derive(Debug, Deserialize)]
struct View {
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    callback_id: String,
    #[serde(default, deserialize_with = "or_default")]
    private_metadata: String,
    #[serde(default)]
    state: Value,
}

/// Reads null as nothing.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(value).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;

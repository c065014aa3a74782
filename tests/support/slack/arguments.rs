//! What each method takes: names, types, which are needed, and which scope it asks for.

use serde_json::{Map, Value};

use super::world::{Room, Ts};

/// Which token a method is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum With {
    /// `xoxb-…`
    BotToken,
    /// `xapp-…`
    AppToken,
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Text,
    Flag,
    Count,
    /// The time of a message.
    Time,
    /// An object, or in a form its JSON.
    Object,
    /// An array, or in a form its JSON.
    Array,
    /// Ids with commas between them; in JSON also an array.
    Ids,
}

/// One argument.
struct Argument(&'static str, Is, Need);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Must,
    May,
}

/// Which scope it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// None, or one that depends on the arguments.
    None,
    /// This one.
    Is(&'static str),
    /// Of the kind of the channel: `channels:` and this, `groups:` and this, `im:` and this.
    OfRoom(&'static str),
    /// To manage a channel of that kind: `channels:manage`, `groups:write`, `im:write`.
    Manage,
}

impl Scope {
    /// The scope for a conversation of that kind.
    pub(crate) fn of(self, room: Room) -> Option<String> {
        match self {
            Self::None => None,
            Self::Is(scope) => Some(scope.to_owned()),
            Self::OfRoom(what) => Some(format!("{}:{what}", room.scope())),
            Self::Manage => Some(match room {
                Room::Public => "channels:manage".to_owned(),
                Room::Private => "groups:write".to_owned(),
                Room::Direct => "im:write".to_owned(),
            }),
        }
    }
}

/// A method.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) with: With,
    pub(crate) scope: Scope,
    arguments: &'static [Argument],
}

use Is::{Array, Count, Flag, Ids, Object, Text, Time};
use Need::{May, Must};

const fn method(name: &'static str, scope: Scope, arguments: &'static [Argument]) -> Method {
    Method { name, with: With::BotToken, scope, arguments }
}

/// Every method that there is here.
pub(crate) const METHODS: &[Method] = &[
    method("auth.test", Scope::None, &[]),
    Method {
        name: "apps.connections.open",
        with: With::AppToken,
        scope: Scope::Is("connections:write"),
        arguments: &[],
    },
    method(
        "chat.postMessage",
        Scope::Is("chat:write"),
        &[
            Argument("channel", Text, Must),
            Argument("text", Text, May),
            Argument("markdown_text", Text, May),
            Argument("blocks", Array, May),
            Argument("attachments", Array, May),
            Argument("metadata", Object, May),
            Argument("thread_ts", Time, May),
            Argument("reply_broadcast", Flag, May),
            Argument("unfurl_links", Flag, May),
            Argument("unfurl_media", Flag, May),
            Argument("mrkdwn", Flag, May),
            Argument("link_names", Flag, May),
            Argument("parse", Text, May),
            Argument("username", Text, May),
            Argument("icon_emoji", Text, May),
            Argument("icon_url", Text, May),
            Argument("as_user", Flag, May),
        ],
    ),
    method(
        "chat.update",
        Scope::Is("chat:write"),
        &[
            Argument("channel", Text, Must),
            Argument("ts", Time, Must),
            Argument("text", Text, May),
            Argument("markdown_text", Text, May),
            Argument("blocks", Array, May),
            Argument("attachments", Array, May),
            Argument("metadata", Object, May),
            Argument("file_ids", Array, May),
            Argument("reply_broadcast", Flag, May),
            Argument("link_names", Flag, May),
            Argument("parse", Text, May),
            Argument("as_user", Flag, May),
        ],
    ),
    method(
        "chat.postEphemeral",
        Scope::Is("chat:write"),
        &[
            Argument("channel", Text, Must),
            Argument("user", Text, Must),
            Argument("text", Text, May),
            Argument("markdown_text", Text, May),
            Argument("blocks", Array, May),
            Argument("attachments", Array, May),
            Argument("thread_ts", Time, May),
            Argument("link_names", Flag, May),
            Argument("parse", Text, May),
            Argument("username", Text, May),
            Argument("icon_emoji", Text, May),
            Argument("icon_url", Text, May),
            Argument("as_user", Flag, May),
        ],
    ),
    method(
        "chat.delete",
        Scope::Is("chat:write"),
        &[Argument("channel", Text, Must), Argument("ts", Time, Must), Argument("as_user", Flag, May)],
    ),
    method(
        "conversations.history",
        Scope::OfRoom("history"),
        &[
            Argument("channel", Text, Must),
            Argument("cursor", Text, May),
            Argument("limit", Count, May),
            Argument("oldest", Text, May),
            Argument("latest", Text, May),
            Argument("inclusive", Flag, May),
            Argument("include_all_metadata", Flag, May),
        ],
    ),
    method(
        "conversations.replies",
        Scope::OfRoom("history"),
        &[
            Argument("channel", Text, Must),
            Argument("ts", Time, Must),
            Argument("cursor", Text, May),
            Argument("limit", Count, May),
            Argument("oldest", Text, May),
            Argument("latest", Text, May),
            Argument("inclusive", Flag, May),
            Argument("include_all_metadata", Flag, May),
        ],
    ),
    method(
        "conversations.info",
        Scope::OfRoom("read"),
        &[
            Argument("channel", Text, Must),
            Argument("include_locale", Flag, May),
            Argument("include_num_members", Flag, May),
        ],
    ),
    method(
        "conversations.open",
        Scope::Is("im:write"),
        &[
            Argument("channel", Text, May),
            Argument("users", Ids, May),
            Argument("return_im", Flag, May),
            Argument("prevent_creation", Flag, May),
        ],
    ),
    method(
        "conversations.create",
        Scope::None,
        &[Argument("name", Text, Must), Argument("is_private", Flag, May), Argument("team_id", Text, May)],
    ),
    method(
        "conversations.invite",
        Scope::Manage,
        &[Argument("channel", Text, Must), Argument("users", Ids, Must), Argument("force", Flag, May)],
    ),
    method(
        "conversations.setPurpose",
        Scope::Manage,
        &[Argument("channel", Text, Must), Argument("purpose", Text, Must)],
    ),
    // Its scopes are those of the kinds that it is asked for.
    method(
        "users.conversations",
        Scope::None,
        &[
            Argument("user", Text, May),
            Argument("types", Text, May),
            Argument("exclude_archived", Flag, May),
            Argument("limit", Count, May),
            Argument("cursor", Text, May),
            Argument("team_id", Text, May),
        ],
    ),
    method("conversations.setTopic", Scope::Manage, &[Argument("channel", Text, Must), Argument("topic", Text, Must)]),
    method("conversations.archive", Scope::Manage, &[Argument("channel", Text, Must)]),
    method("pins.add", Scope::Is("pins:write"), &[Argument("channel", Text, Must), Argument("timestamp", Time, Must)]),
    method(
        "users.info",
        Scope::Is("users:read"),
        &[Argument("user", Text, Must), Argument("include_locale", Flag, May)],
    ),
    method(
        "usergroups.users.list",
        Scope::Is("usergroups:read"),
        &[Argument("usergroup", Text, Must), Argument("include_disabled", Flag, May), Argument("team_id", Text, May)],
    ),
    method("views.open", Scope::None, &[Argument("trigger_id", Text, Must), Argument("view", Object, Must)]),
    method(
        "files.getUploadURLExternal",
        Scope::Is("files:write"),
        &[
            Argument("filename", Text, Must),
            Argument("length", Count, Must),
            Argument("alt_text", Text, May),
            Argument("snippet_type", Text, May),
        ],
    ),
    method(
        "files.completeUploadExternal",
        Scope::Is("files:write"),
        &[
            Argument("files", Array, Must),
            Argument("channel_id", Text, May),
            Argument("channels", Ids, May),
            Argument("thread_ts", Time, May),
            Argument("initial_comment", Text, May),
            Argument("blocks", Array, May),
        ],
    ),
];

/// How the arguments came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    /// Each a string.
    Form,
    /// Each with its type.
    Json,
}

/// What was made of the arguments.
pub(crate) struct Taken {
    /// With the types that they ought to have.
    pub(crate) arguments: Map<String, Value>,
    /// What Slack would let pass and nobody meant.
    pub(crate) superfluous: Vec<String>,
    /// What makes the call wrong, each as `response_metadata.messages` words it.
    pub(crate) wrong: Vec<String>,
}

impl Method {
    /// Reads the arguments of a call.
    pub(crate) fn take(&self, given: &Map<String, Value>, came: Came) -> Taken {
        let mut taken = Taken { arguments: Map::new(), superfluous: Vec::new(), wrong: Vec::new() };
        for (name, value) in given {
            let Some(argument) = self.arguments.iter().find(|argument| argument.0 == name) else {
                taken.superfluous.push(format!("`{}` has no argument `{name}`", self.name));
                continue;
            };
            match argument.1.read(value, came) {
                // An optional argument may be null.
                Ok(Value::Null) if argument.2 == May => {}
                Ok(read) => {
                    taken.arguments.insert(name.clone(), read);
                }
                Err(must) => taken.wrong.push(format!("[ERROR] {must} [json-pointer:/{name}]")),
            }
        }
        for argument in self.arguments.iter().filter(|argument| argument.2 == Must) {
            let empty = taken.arguments.get(argument.0).is_none_or(|value| value.as_str() == Some(""));
            // An empty topic is a topic.
            if empty && argument.0 != "topic" && argument.0 != "purpose" {
                taken.wrong.push(format!("[ERROR] missing required field: {}", argument.0));
            }
        }
        taken
    }
}

impl Is {
    fn read(self, value: &Value, came: Came) -> Result<Value, &'static str> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        match (self, value, came) {
            (Text, Value::String(_), _) => Ok(value.clone()),
            (Text, _, _) => Err("must be a string"),
            (Time, Value::String(text), _) if text.parse::<Ts>().is_ok() => Ok(value.clone()),
            (Time, _, _) => Err("must be the time of a message, as a string"),
            (Flag, Value::Bool(_), Came::Json) => Ok(value.clone()),
            (Flag, Value::String(text), _) => match text.as_str() {
                "true" | "1" => Ok(Value::Bool(true)),
                "false" | "0" => Ok(Value::Bool(false)),
                _ => Err("must be a boolean"),
            },
            (Flag, _, _) => Err("must be a boolean"),
            (Count, Value::Number(number), Came::Json) if number.is_u64() => Ok(value.clone()),
            (Count, Value::String(text), _) => text.parse::<u64>().map(Value::from).map_err(|_| "must be a number"),
            (Count, _, _) => Err("must be a number"),
            (Object, Value::Object(_), Came::Json) | (Array, Value::Array(_), Came::Json) => Ok(value.clone()),
            (Object | Array, Value::String(text), _) => {
                let read: Value = serde_json::from_str(text).map_err(|_| "must be valid json")?;
                match (self, &read) {
                    (Object, Value::Object(_)) | (Array, Value::Array(_)) => Ok(read),
                    _ => Err("must be of the right type"),
                }
            }
            (Object | Array, _, _) => Err("must be of the right type"),
            (Ids, Value::String(text), _) => {
                Ok(text.split(',').map(str::trim).filter(|id| !id.is_empty()).collect::<Vec<_>>().into())
            }
            (Ids, Value::Array(list), Came::Json) if list.iter().all(Value::is_string) => Ok(value.clone()),
            (Ids, _, _) => Err("must be ids with commas between them"),
        }
    }
}

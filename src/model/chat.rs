//! What every chat platform has in common, in our words: accounts, rooms, threads, lines, edits, buttons, messages.
//!
//! Adapters translate their platform into these and back; no platform type passes their door. The vocabulary is the
//! common ground of Slack (Socket Mode and Events API), Discord (gateway) and the built-in local room: all three name a message by an opaque
//! id within a channel, hang threads on a message, deliver the same thing more than once, and limit length and rate.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{Digest, LinkId, MessageId, PasskeyId, RequestId, ThreadId};
use super::request::OnPage;
use super::trace::Trace;

/// The longest line, in bytes, that is read as a command.
pub const MAX_LINE: usize = 2000;

/// Who speaks, as the platform knows them: `platform:workspace:id`. Maps to at most one person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// `local`, `slack` or `discord`.
    pub platform: String,
    /// The workspace, team or guild; ids are unique within it only.
    pub workspace: String,
    /// The platform's stable id, never a display name.
    pub id: String,
}

/// Where it is said: `platform:workspace:channel`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomAddress {
    /// `local`, `slack` or `discord`.
    pub platform: String,
    /// The workspace, team or guild.
    pub workspace: String,
    /// The platform's stable channel id.
    pub channel: String,
}

/// A group of accounts that the platform keeps: `platform:workspace:id`. Ids are the platform's stable ones, never names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserGroup {
    /// `slack`.
    pub platform: String,
    /// The workspace.
    pub workspace: String,
    /// The platform's stable id of it.
    pub id: String,
}

/// An address that is not three non-empty parts joined by colons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an address: write it as platform:workspace:id")]
pub struct AddressError(pub String);

fn three_parts(text: &str) -> Result<[String; 3], AddressError> {
    let wrong = || AddressError(text.to_owned());
    let mut parts = text.splitn(3, ':');
    let mut next =
        || parts.next().filter(|part| !part.is_empty() && !part.chars().any(char::is_whitespace)).map(str::to_owned);
    match (next(), next(), next()) {
        (Some(platform), Some(workspace), Some(id)) => Ok([platform, workspace, id]),
        _ => Err(wrong()),
    }
}

macro_rules! address {
    ($name:ident, $last:ident) => {
        impl FromStr for $name {
            type Err = AddressError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let [platform, workspace, $last] = three_parts(text)?;
                Ok(Self { platform, workspace, $last })
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}:{}", self.platform, self.workspace, self.$last)
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
address!(Account, id);
address!(RoomAddress, channel);
address!(UserGroup, id);

/// One workspace of a platform: `platform:workspace`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workspace {
    /// `local`, `slack` or `discord`.
    pub platform: String,
    /// The workspace, team or guild.
    pub workspace: String,
}

impl Workspace {
    /// The address of a channel in it.
    pub fn room(&self, channel: impl Into<String>) -> RoomAddress {
        RoomAddress { platform: self.platform.clone(), workspace: self.workspace.clone(), channel: channel.into() }
    }

    /// Whether an account is of it.
    pub fn has(&self, account: &Account) -> bool {
        self.platform == account.platform && self.workspace == account.workspace
    }
}

impl FromStr for Workspace {
    type Err = AddressError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((platform, workspace))
                if !platform.is_empty()
                    && !workspace.is_empty()
                    && !text.chars().any(char::is_whitespace)
                    && !workspace.contains(':') =>
            {
                Ok(Self { platform: platform.to_owned(), workspace: workspace.to_owned() })
            }
            _ => Err(AddressError(text.to_owned())),
        }
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.platform, self.workspace)
    }
}

/// Something that came in. Unique by what was said, not by its delivery (I6): `key` is the same for every
/// delivery of the same thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Where.
    pub room: RoomAddress,
    /// In which thread, if in one.
    pub thread: Option<ThreadId>,
    /// Who.
    pub account: Account,
    /// When the platform says that it was said. Decides whether a line is too old to act; never whether a decision is in time.
    pub said_at: chrono::DateTime<chrono::Utc>,
    /// What.
    pub what: Said,
    /// The trace that it came with; `None`: one begins with it.
    pub trace: Option<Trace>,
}

/// The kinds of things that come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A new message.
    Line {
        /// The message.
        message: MessageId,
        /// Its text, with the platform's markup undone.
        text: String,
        /// How directly it was addressed to the bot.
        address: Addressed,
    },
    /// A message was changed. Recorded, never acted on.
    Edit {
        /// The message that was changed.
        message: MessageId,
        /// The platform's identifier of this revision (a timestamp or a counter).
        revision: String,
        /// What it says now; `None` if it was deleted.
        text: Option<String>,
    },
    /// A button under one of our messages was pressed.
    Press {
        /// The platform's identifier of the interaction.
        interaction: String,
        /// Under which of our messages.
        message: MessageId,
        /// The command that the button stands for: whatever a button does, a word does.
        command: String,
        /// What the person has signed with a passkey, if the button stood on a page of their own.
        signed: Option<Box<Signed>>,
    },
}

/// What a person has signed with a passkey on a page of their own. Whoever makes one has verified the signature; whoever acts
/// by it uses the page up in the transaction of what it does, and does it to what was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The page.
    pub page: LinkId,
    /// SHA-256 of what stands in its address.
    pub link: Digest,
    /// The request that stood on it.
    pub request: RequestId,
    /// The plan that stood on it.
    pub digest: Digest,
    /// What was done there.
    pub done: OnPage,
    /// With which passkey.
    pub passkey: PasskeyId,
    /// What browsers call it: base64url.
    pub credential: String,
    /// How often it had signed before.
    pub count_before: u32,
    /// How often it has signed now.
    pub count: u32,
    /// What the browser asked the authenticator for: base64url of JSON.
    pub client_data: String,
    /// What the authenticator said of itself: base64url.
    pub authenticator_data: String,
    /// Its signature: base64url.
    pub signature: String,
}

/// How directly a line was addressed to the bot. In a declared room the bot listens to every line; elsewhere only to the
/// other three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addressed {
    /// Said in the room, to whoever listens.
    ToRoom,
    /// The bot was mentioned.
    Mention,
    /// A slash command.
    Slash,
    /// A direct message.
    Direct,
}

impl Said {
    /// What makes this thing itself, whichever delivery brings it: together with the room's address the inbox's key.
    pub fn key(&self) -> String {
        match self {
            Self::Line { message, .. } => Self::line_key(message),
            Self::Edit { message, revision, .. } => format!("edit:{message}:{revision}"),
            Self::Press { interaction, .. } => format!("press:{interaction}"),
        }
    }

    /// The key of the line that a message was when it was new.
    pub fn line_key(message: &MessageId) -> String {
        format!("line:{message}")
    }
}

/// Something about a room itself, which nobody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomNews {
    /// Which room.
    pub room: RoomAddress,
    /// What makes it itself, whichever delivery brings it: together with the room its name in the inbox.
    pub key: String,
    /// When, as the platform says.
    pub at: chrono::DateTime<chrono::Utc>,
    /// Who came, left or did it; the bot's own account where the platform names nobody.
    pub account: Account,
    /// What.
    pub what: RoomChange,
}

/// What may happen to a room. The names of the variants are stored: they never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum RoomChange {
    /// Somebody joined.
    Joined,
    /// Somebody left.
    Left,
    /// The bot was invited, and hears the room from now on.
    BotJoined,
    /// The bot was taken out, and is deaf there.
    BotLeft,
    /// It has another name. Names are labels: nothing hangs on them.
    Renamed {
        /// What it is called now.
        name: String,
    },
    /// It was archived: nothing can be said there any more.
    Archived,
    /// It was brought back.
    Unarchived,
}

/// Something that the bot says. Text first: without buttons it is still complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The whole text. Lines are separated by `\n`; the first line is what a lock screen shows.
    pub text: String,
    /// Whom it concerns alone; `None` is the whole room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_to: Option<Account>,
    /// Whom it pings: those who must act, nobody else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ping: Vec<Account>,
    /// Shortcuts for words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buttons: Vec<Button>,
    /// How it is shown where the platform takes files and it would be many messages otherwise. A plan never has this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<AsFile>,
    /// The one address in its text that may be opened: a page of the bot's own. Whatever else looks like an address is text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A long text that is shown by its beginning, and whole in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsFile {
    /// What the file is called, without its ending: letters, digits and hyphens.
    pub name: String,
    /// The line under the beginning, which says where the whole is.
    pub note: String,
}

impl Message {
    /// A message to the whole room that pings nobody.
    pub fn to_room(text: impl Into<String>) -> Self {
        Self { text: text.into(), only_to: None, ping: Vec::new(), buttons: Vec::new(), file: None, link: None }
    }

    /// A message that only one account sees.
    pub fn only_to(account: Account, text: impl Into<String>) -> Self {
        Self { only_to: Some(account), ..Self::to_room(text) }
    }
}

/// A button: a label and the command that pressing it sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Button {
    /// What stands on it.
    pub label: String,
    /// What it says for the presser, such as `approve 7K3F`.
    pub command: String,
}

/// The words of the window that asks for a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhyWords {
    /// What it is called, at most 24 characters.
    pub title: String,
    /// What it asks.
    pub question: String,
    /// What stands on the button that sends it, at most 24 characters.
    pub send: String,
    /// What stands on the button that does not, at most 24 characters.
    pub cancel: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_and_refuse_what_is_not_one() {
        let account: Account = "slack:T1:U2".parse().expect("an address");
        assert_eq!((account.platform.as_str(), account.workspace.as_str(), account.id.as_str()), ("slack", "T1", "U2"));
        assert_eq!(account.to_string(), "slack:T1:U2");
        for wrong in ["", "slack", "slack:T1", "slack::U2", ":T1:U2", "slack:T1:", "slack:T1:a b"] {
            assert_eq!(wrong.parse::<Account>(), Err(AddressError(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn a_workspace_is_two_parts() {
        let home: Workspace = "slack:T1".parse().expect("a workspace");
        assert_eq!((home.to_string().as_str(), home.room("C2").to_string().as_str()), ("slack:T1", "slack:T1:C2"));
        for wrong in ["", "slack", "slack:", ":T1", "slack:T1:C2", "slack:T 1"] {
            assert_eq!(wrong.parse::<Workspace>(), Err(AddressError(wrong.to_owned())), "{wrong}");
        }
    }

    #[test]
    fn a_key_names_what_was_said() {
        let message = MessageId::new("17");
        let line = Said::Line { message: message.clone(), text: "x".into(), address: Addressed::ToRoom };
        let edit = Said::Edit { message, revision: "2".into(), text: None };
        let press = Said::Press {
            interaction: "17".into(),
            message: MessageId::new("1"),
            command: "approve".into(),
            signed: None,
        };
        assert_eq!([line.key(), edit.key(), press.key()], ["line:17", "edit:17:2", "press:17"]);
    }
}

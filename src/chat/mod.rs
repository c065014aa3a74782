//! The door to chat platforms: what an adapter does, and the one queue through which all of them speak.
//!
//! What lives here: the adapter's contract and the sender. What does not: what is said (`text`, `flow`) or who may say it.
//! Knows the model's vocabulary and the outbox; no platform type passes this door. Keeps I5 and I6.
//!
//! The contract fits Slack and Discord as they are: both deliver things more than once (Slack when an acknowledgement is
//! late, Discord after a resume), so [`Inbound::receive`] returns only when the thing is durable and says whether it was
//! new; both limit rate per channel ([`SendError::RetryAfter`]); both may take a message without saying so
//! ([`SendError::Unknown`], after which [`Adapter::find`] looks for it by its key before it is sent again); both limit
//! length ([`Limits`]). A change of a message may be told to wait without holding up what follows: [`SendError::RetryAfter`]
//! for a change means that alone.

pub mod hearing;
pub mod room;
pub mod sender;
pub mod slack;

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::model::chat::{Account, Incoming, Message, RoomAddress, RoomNews, UserGroup, Workspace};
use crate::model::id::{InboxId, MessageId, OutboxId, ThreadId};
use crate::model::incident_room::{MadeRoom, Privacy};

/// One chat platform's workspace.
pub trait Adapter: Send + Sync {
    /// The first two parts of the addresses that are this adapter's: platform and workspace.
    fn serves(&self, room: &RoomAddress) -> bool;

    /// What fits into one message.
    fn limits(&self) -> Limits;

    /// The room in which the platform takes messages to one account alone; `None`: it has no direct messages, or the account
    /// is not of its workspace. What the account says there comes with whatever address the platform has for it.
    fn direct(&self, _account: &Account) -> Option<RoomAddress> {
        None
    }

    /// Posts a message, or changes one. When it returns a name, the platform has it.
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<MessageId, SendError>>;

    /// Looks for a message whose fate is unknown, by its key. A double that got through is removed.
    fn find<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Option<MessageId>, SendError>>;

    /// The accounts in a user group that the platform keeps; `None`: it has no such group, or none in use. A platform
    /// without user groups has none. On an error nobody knows who is in it.
    fn members_of<'a>(&'a self, _group: &'a UserGroup) -> BoxFuture<'a, Result<Option<BTreeSet<Account>>, SendError>> {
        std::future::ready(Ok(None)).boxed()
    }

    /// Whether the platform had something that a person said before it had a message of ours, as far as its own names of the
    /// two tell. `None`: they do not, and the bot's clock is asked instead.
    fn precedes(&self, _said: &MessageId, _posted: &MessageId) -> Option<bool> {
        None
    }

    /// What makes rooms there; `None`: nothing does.
    fn rooms(&self) -> Option<&dyn Rooms> {
        None
    }
}

/// Making rooms on a platform, and furnishing them. All of it may be done again after a crash or a lost answer: what is
/// done already is done.
///
/// [`SendError::Refused`] says why in a sentence for people, with what to do about it.
pub trait Rooms: Send + Sync {
    /// Makes a room, or finds the one that was made for the same mark. Another's room of the same name is left alone: then
    /// the name gets a number.
    fn make<'a>(&'a self, new: &'a NewRoom) -> BoxFuture<'a, Result<MadeRoom, SendError>>;

    /// Invites people. Who cannot be invited is returned with the reason, and the others are.
    fn invite<'a>(
        &'a self,
        room: &'a RoomAddress,
        accounts: &'a [Account],
    ) -> BoxFuture<'a, Result<Vec<(Account, String)>, SendError>>;

    /// Sets the topic.
    fn set_topic<'a>(&'a self, room: &'a RoomAddress, topic: &'a str) -> BoxFuture<'a, Result<(), SendError>>;

    /// Pins a message.
    fn pin<'a>(&'a self, room: &'a RoomAddress, message: &'a MessageId) -> BoxFuture<'a, Result<(), SendError>>;

    /// Whether the bot can speak in a room: it is there, not archived, and the bot is in it.
    fn is_open<'a>(&'a self, room: &'a RoomAddress) -> BoxFuture<'a, Result<bool, SendError>>;

    /// Closes a room for further messages; it stays readable.
    fn archive<'a>(&'a self, room: &'a RoomAddress) -> BoxFuture<'a, Result<(), SendError>>;
}

/// A room that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRoom {
    /// Where.
    pub home: Workspace,
    /// What it is to be called; made valid for the platform.
    pub name: String,
    /// Who may come in.
    pub privacy: Privacy,
    /// What it is for, in words. Holds the mark.
    pub purpose: String,
    /// What makes it itself: no other room has it.
    pub mark: String,
    /// Since when it is wanted: a room that is older is another.
    pub wanted_at: DateTime<Utc>,
}

/// What fits into one message of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Characters of text. What is longer is more messages; a plan is never cut.
    pub text: usize,
    /// Buttons under one message; 0 means that the platform has none and words must do.
    pub buttons: usize,
    /// What becomes of buttons that have done their work.
    pub used: Used,
    /// How many messages a room takes at once, before it takes them one after the other and what waits may be told as
    /// one; `None`: as many as there are.
    pub at_once: Option<usize>,
    /// What becomes of a text of very many characters, if it may be shown cut.
    pub long: Long,
}

/// What becomes of buttons that have done their work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// Whoever shows the room works out which buttons still do something.
    Hidden,
    /// They stay until their message is changed.
    Stay {
        /// Characters of a message that takes another's place. It cannot be more messages, so it may hold more than one.
        edited: usize,
    },
}

/// What becomes of a long text that may be shown cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Long {
    /// It is more messages.
    Messages,
    /// It is one message and a file.
    File,
}

/// A message on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Its number in the outbox.
    pub id: OutboxId,
    /// Where.
    pub room: RoomAddress,
    /// In which thread.
    pub thread: Option<ThreadId>,
    /// What makes it itself; a platform that keeps metadata keeps this.
    pub key: String,
    /// The line that led to it.
    pub cause: Option<InboxId>,
    /// The message that it changes.
    pub edits: Option<MessageId>,
    /// What.
    pub message: Message,
}

/// Why a message was not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The platform wants us to wait.
    #[error("the platform asks to wait {0:?}")]
    RetryAfter(Duration),
    /// It may have arrived or not.
    #[error("no answer from the platform: {0}")]
    Unknown(String),
    /// The platform will never take it.
    #[error("the platform refuses it: {0}")]
    Refused(String),
}

/// Where adapters hand over what came in.
pub trait Inbound: Send + Sync {
    /// Takes something that was said. When it returns, the thing and its effect are durable: only then may the adapter
    /// acknowledge it. On an error it must not, so that the platform delivers it again.
    fn receive(&self, incoming: Incoming) -> BoxFuture<'_, Result<Received, ReceiveError>>;

    /// Takes news of a room. When it returns, they are durable, and the same holds as for what was said: on an error they
    /// have to be delivered again. News of a room that no catalog declares are nobody's, and are not kept.
    fn news(&self, news: RoomNews) -> BoxFuture<'_, Result<NewsReceived, ReceiveError>>;
}

/// What became of news of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewsReceived {
    /// They are recorded.
    First,
    /// They were recorded before.
    Again,
    /// They are recorded. The room was made for an incident: whoever made it looks after it, and its end is no trouble.
    OfIncident,
    /// The catalog declares no such room.
    Undeclared,
}

/// What is known of when the bot was there: kept by whoever keeps what was said. For platforms that remember what was
/// said, so that a gap can be closed.
pub trait Attendance: Send + Sync {
    /// The declared rooms of a workspace, and what there is to be read in each. `workspace` is `platform:workspace`.
    ///
    /// An error is worth another try a little later.
    fn gaps<'a>(&'a self, workspace: &'a str) -> BoxFuture<'a, Result<Vec<Gap>, ReceiveError>>;

    /// Takes what was found in the history of a room, in the order in which it was said. When it returns, all of it is
    /// durable, everything that was said in the room up to `until` counts as heard, and what could not be done any more is
    /// told there once. What was received before does nothing. On an error the whole is to be done again.
    fn caught_up<'a>(&'a self, found: FoundInRoom) -> BoxFuture<'a, Result<(), ReceiveError>>;

    /// These rooms were heard without a gap up to a moment.
    fn present<'a>(&'a self, rooms: &'a [RoomAddress], until: DateTime<Utc>)
    -> BoxFuture<'a, Result<(), ReceiveError>>;
}

/// A declared room, and what there is to be read in its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The room.
    pub room: RoomAddress,
    /// What was said after this is to be read; `None`: the bot was never there, and reads nothing old.
    pub since: Option<DateTime<Utc>>,
    /// Threads in which somebody may have written although they began before.
    pub threads: Vec<ThreadId>,
}

/// What was found in a room's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundInRoom {
    /// The room.
    pub room: RoomAddress,
    /// What was said, in the order in which it was said.
    pub found: Vec<Incoming>,
    /// When the reading began: what was said later arrives by itself.
    pub until: DateTime<Utc>,
    /// More was said than is read: what is older than this is missing.
    pub unread_until: Option<DateTime<Utc>>,
}

/// What became of something that came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number in the inbox.
    pub line: InboxId,
    /// Whether it had been received before, and so did nothing now.
    pub delivery: Delivery,
}

/// Whether a thing came for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It did.
    First,
    /// It was received before; it acted then.
    Again,
}

/// Something that came in could not be kept: it must be delivered again.
#[derive(Debug, thiserror::Error)]
#[error("it could not be kept; send it again")]
pub struct ReceiveError(#[source] pub anyhow::Error);

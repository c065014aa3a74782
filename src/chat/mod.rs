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

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::model::chat::{Incoming, Message, RoomAddress};
use crate::model::id::{InboxId, MessageId, OutboxId, ThreadId};

/// One chat platform's workspace.
pub trait Adapter: Send + Sync {
    /// The first two parts of the addresses that are this adapter's: platform and workspace.
    fn serves(&self, room: &RoomAddress) -> bool;

    /// What fits into one message.
    fn limits(&self) -> Limits;

    /// Posts a message, or changes one. When it returns a name, the platform has it.
    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<MessageId, SendError>>;

    /// Looks for a message whose fate is unknown, by its key. A double that got through is removed.
    fn find<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<Option<MessageId>, SendError>>;
}

/// What fits into one message of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Characters of text. What is longer is more messages; a plan is never cut.
    pub text: usize,
    /// Buttons under one message; 0 means that the platform has none and words must do.
    pub buttons: usize,
    /// How many messages a room takes at once, before it takes them one after the other and what waits may be told as
    /// one; `None`: as many as there are.
    pub at_once: Option<usize>,
    /// What becomes of a text of very many characters, if it may be shown cut.
    pub long: Long,
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

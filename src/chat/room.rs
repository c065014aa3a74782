//! The built-in local room: the adapter of the trial, and of whoever follows it live.
//!
//! What lives here: handing messages to live listeners, and the names that they get. What does not: HTTP (`web`), and any
//! store of its own: the outbox is the room's history.
//!
//! Keeps I5 without looking anything up. A message's name is made of its number in the outbox (`m12`), and an edit keeps
//! the name of what it changes, so sending a row a second time says the same thing under the same number again. Readers
//! fold by that number: whoever listens drops a number that it has seen, and whoever reads the history reads each row
//! once. A double therefore cannot be told from the original, and [`Adapter::find`] has nothing to find.

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::sync::broadcast;

use super::{Adapter, Limits, Long, Outgoing, SendError, Used};
use crate::model::chat::{Message, RoomAddress};
use crate::model::id::{InboxId, MessageId, OutboxId, ThreadId};
use crate::store::Clock;

/// The platform part of the local room's addresses.
pub const PLATFORM: &str = "local";

/// The workspace part of the local room's addresses.
pub const WORKSPACE: &str = "trial";

/// How many messages a live listener may lag behind before it has to read the history instead.
const BACKLOG: usize = 1024;

/// A message as live listeners get it.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its number in the outbox; the same for every double.
    pub id: OutboxId,
    /// When it was posted.
    pub at: DateTime<Utc>,
    /// In which room.
    pub room: RoomAddress,
    /// In which thread.
    pub thread: Option<ThreadId>,
    /// The line that led to it.
    pub cause: Option<InboxId>,
    /// Its name in the room.
    pub name: MessageId,
    /// The message that it changes; then `name` is the same.
    pub edits: Option<MessageId>,
    /// What.
    pub message: Message,
}

/// The local room's adapter.
#[derive(Debug)]
pub struct LocalRoom {
    clock: Clock,
    live: broadcast::Sender<Posted>,
}

impl LocalRoom {
    /// A room with nobody listening.
    pub fn new(clock: Clock) -> Self {
        Self { clock, live: broadcast::Sender::new(BACKLOG) }
    }

    /// The address of a room of the trial.
    pub fn address(channel: impl Into<String>) -> RoomAddress {
        RoomAddress { platform: PLATFORM.to_owned(), workspace: WORKSPACE.to_owned(), channel: channel.into() }
    }

    /// The name that a message has in the room, unless it changes another.
    pub fn name_of(id: OutboxId) -> MessageId {
        MessageId::new(format!("m{id}"))
    }

    /// Listens from now on. A listener that falls too far behind is told so and reads the history instead.
    pub fn listen(&self) -> broadcast::Receiver<Posted> {
        self.live.subscribe()
    }
}

impl Adapter for LocalRoom {
    fn serves(&self, room: &RoomAddress) -> bool {
        room.platform == PLATFORM && room.workspace == WORKSPACE
    }

    fn limits(&self) -> Limits {
        Limits { text: 4000, buttons: 5, used: Used::Hidden, at_once: None, long: Long::Messages }
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<MessageId, SendError>> {
        let name = message.edits.clone().unwrap_or_else(|| Self::name_of(message.id));
        let posted = Posted {
            id: message.id,
            at: self.clock.now(),
            room: message.room.clone(),
            thread: message.thread.clone(),
            cause: message.cause,
            name: name.clone(),
            edits: message.edits.clone(),
            message: message.message.clone(),
        };
        // An error means that nobody listens: the history has it.
        drop(self.live.send(posted));
        Box::pin(std::future::ready(Ok(name)))
    }

    fn find<'a>(&'a self, _message: &'a Outgoing) -> BoxFuture<'a, Result<Option<MessageId>, SendError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(id: i64, edits: Option<&str>) -> Outgoing {
        Outgoing {
            id: OutboxId(id),
            room: LocalRoom::address("system-a"),
            thread: None,
            key: format!("line:{id}:0"),
            cause: Some(InboxId(1)),
            edits: edits.map(MessageId::new),
            message: Message::to_room("hello"),
        }
    }

    fn room() -> LocalRoom {
        LocalRoom::new(Clock::starting_at(DateTime::from_timestamp(1_000_000, 0).expect("a time")))
    }

    #[tokio::test]
    async fn i5_a_double_has_the_name_and_number_of_the_original() {
        let room = room();
        let mut live = room.listen();
        let message = outgoing(7, None);
        assert_eq!(room.find(&message).await, Ok(None));
        let names = [room.send(&message).await, room.send(&message).await];
        assert_eq!(names, [Ok(MessageId::new("m7")), Ok(MessageId::new("m7"))]);
        let posted = [live.recv().await.expect("posted"), live.recv().await.expect("posted")];
        assert_eq!(posted.map(|posted| posted.id), [OutboxId(7), OutboxId(7)]);
    }

    #[tokio::test]
    async fn an_edit_keeps_the_name_of_what_it_changes() {
        let room = room();
        let mut live = room.listen();
        assert_eq!(room.send(&outgoing(9, Some("m7"))).await, Ok(MessageId::new("m7")));
        let posted = live.recv().await.expect("posted");
        assert_eq!((posted.id, posted.edits), (OutboxId(9), Some(MessageId::new("m7"))));
    }

    #[test]
    fn it_serves_the_trial_and_nothing_else() {
        let room = room();
        assert!(room.serves(&LocalRoom::address("system-a")));
        for other in ["slack:trial:x", "local:team:x"] {
            assert!(!room.serves(&other.parse().expect("an address")), "{other}");
        }
    }
}

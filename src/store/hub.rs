//! Wake-ups within this process: hints, never truth. Every loop that waits here also polls.
//!
//! A message that was just committed may be handed to its room's sender as it is, so that it need not be read first. That
//! too is a hint: what is not taken, or is lost, waits in the outbox.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::OutboxRow;
use crate::model::chat::RoomAddress;

/// What may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Events wait for the sequencer.
    Unsequenced,
    /// The chain grew.
    Chained,
    /// Messages wait in the outbox.
    Outbox,
    /// A run may be claimed, or one that is held has changed.
    Runs,
    /// A message was sent, or a sink came further: whoever waits for consequences should look.
    Settled,
    /// A request waits, and will expire.
    Requests,
}

const TOPICS: usize = 6;

/// The wake-ups. Register interest before looking, so that none is lost.
#[derive(Debug)]
pub struct Hub {
    topics: [watch::Sender<()>; TOPICS],
    takers: Arc<Takers>,
}

/// Who takes messages that were just committed, by room.
type Takers = Mutex<HashMap<RoomAddress, mpsc::UnboundedSender<Vec<OutboxRow>>>>;

impl Default for Hub {
    fn default() -> Self {
        Self { topics: std::array::from_fn(|_| watch::Sender::new(())), takers: Arc::default() }
    }
}

impl Hub {
    /// Wakes whoever waits for the topic.
    pub fn wake(&self, topic: Topic) {
        self.topics[topic as usize].send_replace(());
    }

    /// Registers interest. What is woken from now on is not lost.
    pub fn listen(&self, topic: Topic) -> Listener {
        Listener(self.topics[topic as usize].subscribe())
    }

    /// Hands messages that are durable and before which nothing waited to the sender of their room. `false`: there is none
    /// here.
    pub fn hand_over(&self, room: &RoomAddress, rows: Vec<OutboxRow>) -> bool {
        // Nothing panics while it holds this lock.
        let takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        takers.get(room).is_some_and(|taker| taker.send(rows).is_ok())
    }

    /// Takes what is handed over for a room from now on, until dropped. The last who asks gets it.
    pub fn take_over(&self, room: &RoomAddress) -> HandedOver {
        let (send, receive) = mpsc::unbounded_channel();
        self.takers.lock().unwrap_or_else(PoisonError::into_inner).insert(room.clone(), send);
        HandedOver {
            room: room.clone(),
            receive,
            takers: Arc::clone(&self.takers),
            outbox: self.topics[Topic::Outbox as usize].clone(),
        }
    }
}

/// The receiving end of what is handed over for a room.
#[derive(Debug)]
pub struct HandedOver {
    room: RoomAddress,
    receive: mpsc::UnboundedReceiver<Vec<OutboxRow>>,
    takers: Arc<Takers>,
    outbox: watch::Sender<()>,
}

impl HandedOver {
    /// The next messages that are handed over. Waits for ever when there are none.
    pub async fn next(&mut self) -> Vec<OutboxRow> {
        match self.receive.recv().await {
            Some(rows) => rows,
            // Somebody else takes them now.
            None => std::future::pending().await,
        }
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        let mut takers = self.takers.lock().unwrap_or_else(PoisonError::into_inner);
        self.receive.close();
        if takers.get(&self.room).is_some_and(mpsc::UnboundedSender::is_closed) {
            takers.remove(&self.room);
        }
        drop(takers);
        // What was handed over and not sent is found in the outbox.
        self.outbox.send_replace(());
    }
}

/// Somebody who waits for a topic.
#[derive(Debug)]
pub struct Listener(watch::Receiver<()>);

impl Listener {
    /// Waits until the topic is woken or the time is over, whichever comes first.
    pub async fn wait(&mut self, at_most: Duration) {
        // A closed channel means that the store is gone; then only the time counts.
        if let Ok(Err(_)) = tokio::time::timeout(at_most, self.0.changed()).await {
            tokio::time::sleep(at_most).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::chat::Message;
    use crate::model::id::OutboxId;
    use crate::store::OnlyInstead;

    fn room() -> RoomAddress {
        "local:trial:ops".parse().expect("an address")
    }

    fn row(id: i64) -> OutboxRow {
        OutboxRow {
            id: OutboxId(id),
            room: room(),
            thread: None,
            thread_is_open: false,
            key: format!("line:{id}:0"),
            cause: None,
            edits: None,
            target_is_open: false,
            only_instead: OnlyInstead::No,
            tries: 0,
            message: Message::to_room("hello"),
            created_at: chrono::DateTime::UNIX_EPOCH,
            platform_message: None,
            has_role: false,
            together: None,
        }
    }

    #[tokio::test]
    async fn messages_are_handed_to_whoever_serves_their_room_and_to_nobody_else() {
        let hub = Hub::default();
        assert!(!hub.hand_over(&room(), vec![row(1)]), "nobody serves it");
        let mut taker = hub.take_over(&room());
        assert!(!hub.hand_over(&"local:trial:other".parse().expect("an address"), vec![row(2)]));
        assert!(hub.hand_over(&room(), vec![row(3)]));
        assert_eq!(taker.next().await.first().map(|row| row.id), Some(OutboxId(3)));
    }

    #[tokio::test]
    async fn whoever_leaves_sends_others_to_the_outbox() {
        let hub = Hub::default();
        let taker = hub.take_over(&room());
        let mut outbox = hub.listen(Topic::Outbox);
        assert!(hub.hand_over(&room(), vec![row(1)]));
        drop(taker);
        // Woken, as what was handed over was not sent; a wait for the whole time would end the test by its bound.
        let woken = tokio::time::timeout(Duration::from_secs(5), outbox.wait(Duration::from_secs(60))).await;
        assert!(woken.is_ok());
        assert!(!hub.hand_over(&room(), vec![row(2)]));
    }

    #[tokio::test]
    async fn a_successor_is_not_removed_by_the_one_before() {
        let hub = Hub::default();
        let before = hub.take_over(&room());
        let mut after = hub.take_over(&room());
        drop(before);
        assert!(hub.hand_over(&room(), vec![row(4)]));
        assert_eq!(after.next().await.len(), 1);
    }
}

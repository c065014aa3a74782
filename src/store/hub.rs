//! Wake-ups within this process: hints, never truth. Every loop that waits here also polls.

use std::time::Duration;

use tokio::sync::watch;

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
}

const TOPICS: usize = 5;

/// The wake-ups. Register interest before looking, so that none is lost.
#[derive(Debug)]
pub struct Hub {
    topics: [watch::Sender<()>; TOPICS],
}

impl Default for Hub {
    fn default() -> Self {
        Self { topics: std::array::from_fn(|_| watch::Sender::new(())) }
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

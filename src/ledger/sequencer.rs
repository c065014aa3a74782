//! The sequencer: at most one worker, under a lease, gives events their places in the chain.
//!
//! What lives here: the loop, its lease and its patience. What does not: the transaction that appends (`store`), which
//! locks the lease row by holder and fence, so that a sequencer that lost its lease cannot append (I2, I5).

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{LedgerError, chain};
use crate::metrics::beats::{Loop, beat};
use crate::store::{Lease, Store, StoreError, Topic, WorkerId};

/// The lease's name.
pub const LEASE: &str = "sequencer";

/// How many events one transaction appends at most.
const BATCH: usize = 500;

/// How long to wait for a wake-up before looking anyway, and before trying again for a lease that is held elsewhere.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long after a wake-up it begins: whatever was recorded is first answered to who waits for it.
const ANSWERS_FIRST: Duration = Duration::from_millis(1);

/// The shortest time from the beginning of one turn to that of the next, so that many small batches are a few larger ones.
const GAP: Duration = Duration::from_millis(5);

/// How long the lease is taken for when everything is to be sequenced now.
const DRAIN_LEASE: Duration = Duration::from_secs(10);

/// A lease and when it was last taken or renewed.
#[derive(Debug, Clone, Copy)]
struct Held {
    lease: Lease,
    since: Instant,
}

/// What a turn came to.
enum Turn {
    /// Nothing waits any more.
    Caught,
    /// Another worker does it.
    Elsewhere,
}

/// Gives events their places until told to stop, or until whoever could tell it is gone. Ends for no other reason: while
/// the database fails it says so once and tries again.
///
/// A turn that is cut off by the stop leaves a whole batch or nothing. The lease is left to end by itself, or with its
/// worker ([`Store::end_worker`]).
pub async fn run(store: Store, me: WorkerId, lease_length: Duration, mut stop: watch::Receiver<bool>) {
    // Registered before the first look, so that no wake-up is lost.
    let mut wake = store.hub().listen(Topic::Unsequenced);
    let work = async {
        let mut held = None;
        let mut failing = false;
        loop {
            let began = Instant::now();
            match turn(&store, me, lease_length, &mut held).await {
                Ok(turn) => {
                    if failing {
                        tracing::info!(worker.id = me.0, "the sequencer works again");
                        failing = false;
                    }
                    match turn {
                        Turn::Caught => {
                            wake.wait(renewal(lease_length).min(PATIENCE)).await;
                            tokio::time::sleep_until((Instant::now() + ANSWERS_FIRST).max(began + GAP)).await;
                        }
                        // A wake-up here is for whoever holds it.
                        Turn::Elsewhere => tokio::time::sleep(PATIENCE).await,
                    }
                }
                Err(error) => {
                    if !failing {
                        tracing::error!(
                            worker.id = me.0,
                            error = chain_of(&error),
                            "the sequencer cannot reach the ledger; it tries again until it can"
                        );
                        failing = true;
                    }
                    // Whether the lease is still ours is not known.
                    held = None;
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    };
    tokio::select! {
        never = work => match never {},
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Gives every event that waits its place now and returns how many there were: for shutdown, after [`run`] has ended, and
/// for tests.
///
/// # Errors
/// [`LedgerError::HeldElsewhere`] when another worker is the sequencer; and when the database refuses.
pub async fn drain(store: &Store, me: WorkerId) -> Result<usize, LedgerError> {
    let mut total = 0;
    loop {
        let lease = store.take_lease(LEASE, me, DRAIN_LEASE).await?.ok_or(LedgerError::HeldElsewhere)?;
        let done = batch(store, me, lease).await?.ok_or(LedgerError::HeldElsewhere)?;
        total += done;
        if done < BATCH {
            return Ok(total);
        }
    }
}

/// Takes or renews the lease when it is time, and appends until nothing waits.
async fn turn(
    store: &Store,
    me: WorkerId,
    lease_length: Duration,
    held: &mut Option<Held>,
) -> Result<Turn, StoreError> {
    loop {
        beat(Loop::Sequencer);
        let current = match held {
            Some(current) if current.since.elapsed() < renewal(lease_length) => *current,
            _ => {
                // From before the database answers: ours is never longer than its.
                let since = Instant::now();
                *held = store.take_lease(LEASE, me, lease_length).await?.map(|lease| Held { lease, since });
                let Some(current) = held else { return Ok(Turn::Elsewhere) };
                *current
            }
        };
        match batch(store, me, current.lease).await? {
            // Less than a batch: nothing waited when it looked. What came since has woken the listener.
            Some(done) if done < BATCH => return Ok(Turn::Caught),
            Some(_) => {}
            // Taken over, or over before it was renewed: ask again, but not at once.
            None => {
                *held = None;
                return Ok(Turn::Elsewhere);
            }
        }
    }
}

async fn batch(store: &Store, me: WorkerId, lease: Lease) -> Result<Option<usize>, StoreError> {
    store.sequence(LEASE, me, lease.fence, BATCH as i64, chain::link).await
}

/// After which part of its length a lease is renewed.
fn renewal(lease_length: Duration) -> Duration {
    lease_length / 3
}

/// An error and what caused it, in one line.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line += ": ";
        line += &cause.to_string();
        source = cause.source();
    }
    line
}

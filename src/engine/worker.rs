//! The worker: claims runs, drives them, keeps their leases, passes on orders.
//!
//! Keeps I2: a lease that cannot be renewed ends the run's processes before it ends, by the monotonic clock; a worker that
//! proves another dead takes its leases at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::SecretsSource;
use super::commit::Committer;
use super::drive::{Shared, drive};
use super::step::{Orders, Surroundings};
use crate::model::id::RunId;
use crate::store::{Store, StoreError, Topic, WorkerId};
use crate::sys::Liveness;
use crate::text;

/// How the worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// How long a lease lasts without being renewed.
    pub lease: Duration,
    /// How many runs are driven at once.
    pub at_once: usize,
    /// How long running steps may go on after the bot was told to end.
    pub grace: Duration,
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), at_once: 64, grace: Duration::from_secs(5) }
    }
}

/// The engine of one process.
pub struct Engine {
    shared: Shared,
    me: WorkerId,
    settings: WorkerSettings,
}

struct Held {
    fence: i64,
    orders: watch::Sender<Orders>,
    /// Until when its driver may act: with a fifth of the lease left there is still time to end the processes. The driver
    /// goes by this itself, for the worker may be waiting for the database just then.
    act_until: watch::Sender<Instant>,
}

impl Engine {
    /// Makes an engine for a registered worker.
    pub fn new(
        store: Store,
        me: WorkerId,
        surroundings: Surroundings,
        secrets: Arc<dyn SecretsSource>,
        settings: WorkerSettings,
    ) -> Self {
        let committer = Committer::start(store.clone(), me);
        Self { shared: Shared { store, committer, surroundings, secrets }, me, settings }
    }

    /// Works until told to stop; then lets running steps end within the grace, and gives up the rest, whose processes are
    /// ended. Returns when nothing of it runs any more.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let store = self.shared.store.clone();
        let mut held: HashMap<RunId, Held> = HashMap::new();
        let (finished, mut done) = mpsc::unbounded_channel::<(RunId, i64)>();
        let renew_every = self.settings.lease / 3;
        let mut renew_at = Instant::now() + renew_every;
        let mut runs = store.hub().listen(Topic::Runs);
        let mut stopping = false;
        let mut give_up_at = None::<Instant>;
        loop {
            if !stopping {
                self.claim(&mut held, &finished).await;
            } else if held.is_empty() {
                break;
            }
            self.pass_on_stops(&held).await;
            let next = renew_at.min(give_up_at.unwrap_or(renew_at));
            tokio::select! {
                () = runs.wait(Duration::from_secs(1)) => {}
                Some(first) = done.recv() => {
                    let mut ended = Some(first);
                    while let Some((run, fence)) = ended {
                        // The run may have been claimed anew meanwhile, when the driver that ended had lost its lease.
                        if held.get(&run).is_some_and(|held| held.fence == fence) {
                            held.remove(&run);
                        }
                        ended = done.try_recv().ok();
                    }
                }
                () = tokio::time::sleep_until(next) => {}
                // A closed channel means that whoever could say stop is gone: that is a stop.
                _ = stop.wait_for(|stop| *stop), if !stopping => {
                    stopping = true;
                    give_up_at = Some(Instant::now() + self.settings.grace);
                }
            }
            let now = Instant::now();
            if now >= renew_at {
                self.renew(&mut held).await;
                renew_at = now + renew_every;
            }
            for run in held.values() {
                if now >= *run.act_until.borrow() || give_up_at.is_some_and(|at| now >= at) {
                    run.orders.send_replace(Orders::GiveUp);
                }
            }
        }
    }

    /// Until when one may act under a lease that was asked for at a moment.
    fn act_until(&self, asked: Instant) -> Instant {
        asked + self.settings.lease / 5 * 4
    }

    async fn claim(&self, held: &mut HashMap<RunId, Held>, finished: &mpsc::UnboundedSender<(RunId, i64)>) {
        let room = self.settings.at_once.saturating_sub(held.len());
        if room == 0 {
            return;
        }
        let before = Instant::now();
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        let claimed = match self.shared.store.claim_runs(self.me, self.settings.lease, limit).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(error = %text::chain(&error), "runs could not be claimed");
                return;
            }
        };
        for (run, fence) in claimed {
            let (orders, receiver) = watch::channel(Orders::GoOn);
            let (act_until, sure) = watch::channel(self.act_until(before));
            held.insert(run, Held { fence, orders, act_until });
            let shared = self.shared.clone();
            let finished = finished.clone();
            let me = self.me;
            tokio::spawn(async move {
                if let Err(error) = drive(&shared, run, fence, receiver, sure).await {
                    tracing::error!(error = %text::chain(&error), %run, "a run could not go on; it is tried again");
                    // Not at once: what is wrong now may not be in a moment.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                // Without this the run waits for the lease to end.
                if let Err(error) = shared.store.release_run(me, run, fence).await {
                    tracing::warn!(error = %text::chain(&error), %run, "a run was not let go of");
                }
                // The loop is gone only when the process is about to end.
                let _ = finished.send((run, fence));
            });
        }
    }

    async fn pass_on_stops(&self, held: &HashMap<RunId, Held>) {
        if held.is_empty() {
            return;
        }
        match self.shared.store.list_stopping(self.me).await {
            Ok(stopping) => {
                for run in stopping {
                    if let Some(held) = held.get(&run) {
                        held.orders.send_if_modified(|orders| {
                            let changes = *orders == Orders::GoOn;
                            if changes {
                                *orders = Orders::Stop;
                            }
                            changes
                        });
                    }
                }
            }
            Err(error) => tracing::error!(error = %text::chain(&error), "nobody can be told to stop"),
        }
    }

    async fn renew(&self, held: &mut HashMap<RunId, Held>) {
        let mine: Vec<(RunId, i64)> = held.iter().map(|(run, held)| (*run, held.fence)).collect();
        let before = Instant::now();
        match self.shared.store.renew_runs(self.me, &mine, self.settings.lease).await {
            Ok(renewed) => {
                for run in renewed {
                    if let Some(held) = held.get_mut(&run) {
                        held.act_until.send_replace(self.act_until(before));
                    }
                }
            }
            Err(error) => tracing::error!(error = %text::chain(&error), "leases could not be renewed"),
        }
    }
}

/// Ends the workers whose processes are proved dead, so that what they held can be taken at once.
///
/// # Errors
/// When the database refuses.
pub async fn bury_the_dead(store: &Store, me: WorkerId) -> Result<usize, StoreError> {
    let mut dead = 0;
    for worker in store.list_other_workers(me).await? {
        if worker.process.liveness() == Liveness::Dead {
            tracing::info!(worker = %worker.process, "a predecessor is dead; its leases are free");
            store.end_worker(worker.id).await?;
            dead += 1;
        }
    }
    if dead > 0 {
        store.hub().wake(Topic::Runs);
    }
    Ok(dead)
}

//! The worker: claims runs, drives them, keeps their leases, passes on orders.
//!
//! Keeps I2: a lease that cannot be renewed ends the run's processes before it ends, by the monotonic clock; a worker that
//! proves another dead takes its leases at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::SecretsSource;
use super::commit::Committer;
use super::drive::{Shared, drive};
use super::step::{Orders, Surroundings};
use crate::metrics::beats::{Loop, beat};
use crate::model::id::RunId;
use crate::store::{Store, StoreError, Topic, WorkerId};
use crate::sys::Liveness;
use crate::text;

/// How long a run whose driver failed waits for the next try.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How long letting go of a run may take before its lease has to end by itself.
const RELEASE_WITHIN: Duration = Duration::from_secs(2);

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

/// A run that this process drives.
struct Held {
    fence: i64,
    orders: watch::Sender<Orders>,
    /// Until when its driver may act: with a fifth of the lease left there is still time to end the processes. Its watchdog
    /// and the driver itself go by this, for the worker may be waiting for the database just then.
    act_until: watch::Sender<Instant>,
}

/// A driver that has ended.
struct Finished {
    run: RunId,
    fence: i64,
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
        let (finished, mut done) = mpsc::unbounded_channel::<Finished>();
        let renew_every = self.settings.lease / 3;
        let mut renew_at = Instant::now();
        let mut runs = store.hub().listen(Topic::Runs);
        let mut give_up_at = None::<Instant>;
        // Nothing here may wait for the database longer than this; what a lease needs done in time, its watchdog does.
        let patience = self.settings.lease / 5;
        loop {
            beat(Loop::Engine);
            if give_up_at.is_some() && held.is_empty() {
                break;
            }
            let stopping = give_up_at.is_some();
            let round = async {
                if !stopping {
                    self.claim(&mut held, &finished).await;
                }
                self.pass_on_stops(&held).await;
                if Instant::now() >= renew_at {
                    self.renew(&held).await;
                    renew_at = Instant::now() + renew_every;
                }
            };
            if tokio::time::timeout(patience, round).await.is_err() {
                tracing::error!(
                    "the database does not answer; runs whose leases cannot be renewed are given up in time"
                );
            }
            let wake = Instant::now() + renew_every.min(Duration::from_secs(1));
            tokio::select! {
                biased;
                // A closed channel means that whoever could say stop is gone: that is a stop.
                _ = stop.wait_for(|stop| *stop), if !stopping => {
                    give_up_at = Some(Instant::now() + self.settings.grace);
                }
                () = tokio::time::sleep_until(give_up_at.unwrap_or(wake)), if stopping => {
                    for run in held.values() {
                        run.orders.send_replace(Orders::GiveUp);
                    }
                    // Said once; from now on only their ends are waited for.
                    give_up_at = Some(Instant::now() + Duration::from_secs(3600));
                }
                Some(first) = done.recv() => {
                    // All that have ended: what is free is claimed at once, not one run with each look at the database.
                    let mut next = Some(first);
                    while let Some(Finished { run, fence }) = next {
                        // A later claim of the same run has another fence and stays.
                        if held.get(&run).is_some_and(|held| held.fence == fence) {
                            held.remove(&run);
                        }
                        next = done.try_recv().ok();
                    }
                }
                () = runs.wait(Duration::from_secs(1)), if !stopping => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
    }

    /// Until when one may act under a lease that was asked for at a moment.
    fn act_until(&self, asked: Instant) -> Instant {
        asked + self.settings.lease / 5 * 4
    }

    async fn claim(&self, held: &mut HashMap<RunId, Held>, finished: &mpsc::UnboundedSender<Finished>) {
        let room = self.settings.at_once.saturating_sub(held.len());
        if room == 0 {
            return;
        }
        let before = Instant::now();
        let limit = i64::try_from(room).unwrap_or(i64::MAX);
        let mine: Vec<RunId> = held.keys().copied().collect();
        let claimed = match self.shared.store.claim_runs(self.me, self.settings.lease, limit, &mine).await {
            Ok(claimed) => claimed,
            Err(error) => {
                tracing::error!(error = %text::chain(&error), "runs could not be claimed");
                return;
            }
        };
        for (run, fence) in claimed {
            let (orders, receiver) = watch::channel(Orders::GoOn);
            let (act_until, watched) = watch::channel(self.act_until(before));
            tokio::spawn(watchdog(watched.clone(), orders.clone()));
            held.insert(run, Held { fence, orders, act_until });
            let (shared, finished, me) = (self.shared.clone(), finished.clone(), self.me);
            // All that is logged in the course of a run names it, and its trace as soon as that is read; errors too when
            // nothing else is logged.
            let span = tracing::error_span!(
                "run",
                run.id = run.0,
                trace_id = tracing::field::Empty,
                incident.id = tracing::field::Empty
            );
            let driver = async move {
                let driving = shared.clone();
                // A task of its own, so that the end is told however it comes about.
                let driver = async move { drive(&driving, run, fence, receiver, watched).await };
                let ended = tokio::spawn(driver.in_current_span()).await;
                let failure = match ended {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(text::chain(&error)),
                    Err(error) => Some(format!("its driver ended badly: {error}")),
                };
                if let Some(error) = failure {
                    tracing::error!(error, "a run could not go on; it is tried again in a while");
                    // What is wrong now may not be in a moment; and what is wrong for good must not fill the log.
                    tokio::time::sleep(TRY_AGAIN_AFTER).await;
                }
                // Without this the run waits for the lease to end.
                let released = shared.store.release_run(me, run, fence);
                match tokio::time::timeout(RELEASE_WITHIN, released).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => tracing::warn!(error = %text::chain(&error), "a run was not let go of"),
                    Err(_) => tracing::warn!("a run was not let go of in time"),
                }
                // The loop is gone only when the process is about to end.
                let _ = finished.send(Finished { run, fence });
            };
            tokio::spawn(driver.instrument(span));
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

    async fn renew(&self, held: &HashMap<RunId, Held>) {
        if held.is_empty() {
            return;
        }
        let mut mine: Vec<(RunId, i64)> = held.iter().map(|(run, held)| (*run, held.fence)).collect();
        mine.sort_unstable();
        let before = Instant::now();
        match self.shared.store.renew_runs(self.me, &mine, self.settings.lease).await {
            Ok(renewed) => {
                for run in renewed {
                    if let Some(held) = held.get(&run) {
                        held.act_until.send_replace(self.act_until(before));
                    }
                }
            }
            Err(error) => tracing::error!(error = %text::chain(&error), "leases could not be renewed"),
        }
    }
}

/// Tells a run to give up while enough of its lease is left to end its processes (I2). Waits for nothing but time: a
/// database that hangs cannot hold it up. Ends with the run.
async fn watchdog(mut act_until: watch::Receiver<Instant>, orders: watch::Sender<Orders>) {
    loop {
        let give_up_at = *act_until.borrow_and_update();
        tokio::select! {
            renewed = act_until.changed() => {
                if renewed.is_err() {
                    return;
                }
            }
            () = tokio::time::sleep_until(give_up_at) => {
                orders.send_replace(Orders::GiveUp);
                return;
            }
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

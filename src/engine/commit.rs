//! Group commit: one writer for all the runs of this process.
//!
//! Drivers hand over what they want to move; the writer takes all that waits, derives what Grants it needs inside the
//! transaction (I1), and commits once. No delay is added: a lone run pays one commit. A batch whose guard fails is tried
//! one by one, so that a run whose lease was lost does not hold up the others.

use tokio::sync::{mpsc, oneshot};

use crate::approval::{self, GrantError};
use crate::model::event::{Executor, Happened, RowMark};
use crate::model::id::RunId;
use crate::model::request::GrantState;
use crate::model::signature::Trust;
use crate::store::{Advance, AdvanceError, AdvanceTx, Paused, Store, StoreError, StoredGrant, WorkerId};
use crate::sys;

/// The most runs moved by one commit.
const BATCH: usize = 256;

/// What a move needs of its run's grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: it only reads, or starts nothing.
    Nothing,
    /// A Grant that covers this attempt.
    Cover(approval::Step),
    /// The same of a run that a trigger asked for: if nobody decided, only while automation is not paused (I12).
    CoverUnlessPaused(approval::Step),
    /// The end of the grant, for the run is over.
    EndGrant,
}

/// Why a run did not move.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommitError {
    /// There is no Grant for it.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// Somebody else moved the run, or the lease has ended.
    #[error("the run was moved by somebody else, or its lease has ended")]
    Moved,
    /// The database refused.
    #[error(transparent)]
    Store(StoreError),
    /// The writer has ended: the bot is shutting down.
    #[error("the bot is shutting down")]
    Closed,
}

struct Job {
    advance: Advance,
    needs: Needs,
    reply: oneshot::Sender<Result<(), CommitError>>,
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Committer(mpsc::Sender<Job>);

impl Committer {
    /// Starts the writer; it ends when the last `Committer` is gone.
    pub(super) fn start(store: Store, me: WorkerId) -> Self {
        let (send, mut receive) = mpsc::channel::<Job>(BATCH);
        tokio::spawn(async move {
            let mut jobs = Vec::with_capacity(BATCH);
            while receive.recv_many(&mut jobs, BATCH).await > 0 {
                commit(&store, me, std::mem::take(&mut jobs)).await;
            }
        });
        Self(send)
    }

    /// Moves a run. When it returns `Ok`, the move and its events are durable.
    pub(super) async fn advance(&self, advance: Advance, needs: Needs) -> Result<(), CommitError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Job { advance, needs, reply }).await.map_err(|_| CommitError::Closed)?;
        answer.await.map_err(|_| CommitError::Closed)?
    }
}

async fn commit(store: &Store, me: WorkerId, mut jobs: Vec<Job>) {
    // Rows are locked in the order of their keys, here as everywhere.
    jobs.sort_by_key(|job| job.advance.run);
    let alone = jobs.len() == 1;
    match try_commit(store, me, &jobs).await {
        Ok(results) => {
            for (job, result) in jobs.into_iter().zip(results) {
                // A driver that is gone has no use for the answer.
                let _ = job.reply.send(result);
            }
        }
        Err(error) if alone => {
            for job in jobs {
                let _ = job.reply.send(Err(match error {
                    AdvanceError::Guard(_) => CommitError::Moved,
                    AdvanceError::Store(_) => CommitError::Store(StoreError::Refused(error.to_string())),
                }));
                if let AdvanceError::Store(cause) = &error {
                    tracing::error!(error = %crate::text::chain(cause), run.id = job.advance.run.0, "a run could not be moved");
                }
            }
        }
        Err(_) => {
            for job in jobs {
                Box::pin(commit(store, me, vec![job])).await;
            }
        }
    }
}

/// Commits what can be committed together. The outer error means that nothing was.
async fn try_commit(store: &Store, me: WorkerId, jobs: &[Job]) -> Result<Vec<Result<(), CommitError>>, AdvanceError> {
    let mut tx = store.advance_tx(me);
    // Before every other lock, as everywhere; it stays so until this commits, so `pause` comes before or after (I1).
    let paused = if jobs.iter().any(|job| matches!(job.needs, Needs::CoverUnlessPaused(_))) {
        tx.share_automation().await?.paused
    } else {
        None
    };
    let grants = lock_grants(&mut tx, jobs).await?;
    let by = By {
        trust: store.keyring().trust(),
        executor: Executor { worker: me.0, host: sys::hostname() },
        paused,
        now: store.clock().now(),
    };
    let mut batch = Vec::with_capacity(jobs.len());
    let mut results = Vec::with_capacity(jobs.len());
    for job in jobs {
        match with_grant(job, grants.iter().filter(|grant| grant.run == job.advance.run), &by) {
            Ok(advance) => {
                batch.push(advance);
                results.push(Ok(()));
            }
            Err(error) => results.push(Err(error)),
        }
    }
    tx.apply(&batch).await?;
    Ok(results)
}

async fn lock_grants(tx: &mut AdvanceTx, jobs: &[Job]) -> Result<Vec<StoredGrant>, StoreError> {
    let runs: Vec<RunId> = jobs.iter().filter(|job| job.needs != Needs::Nothing).map(|job| job.advance.run).collect();
    if runs.is_empty() { Ok(Vec::new()) } else { tx.lock_grants(&runs).await }
}

/// What a batch is moved by.
struct By {
    trust: Trust,
    executor: Executor,
    paused: Option<Paused>,
    now: chrono::DateTime<chrono::Utc>,
}

/// Puts what the grant says into the move: the proof under which an attempt starts, or the grant's end.
fn with_grant<'a>(
    job: &Job,
    mut grants: impl Iterator<Item = &'a StoredGrant>,
    by: &By,
) -> Result<Advance, CommitError> {
    let By { trust, executor, paused, now } = by;
    let mut advance = job.advance.clone();
    for event in &mut advance.events {
        if let Happened::AttemptStarted { executor: told, .. } = &mut event.record.what {
            *told = Some(executor.clone());
        }
    }
    match job.needs {
        Needs::Nothing => {}
        Needs::Cover(step) | Needs::CoverUnlessPaused(step) => {
            let stored = grants.next().ok_or(GrantError::NotInForce("not in force"))?;
            if let Some(paused) = paused.as_ref().filter(|_| matches!(job.needs, Needs::CoverUnlessPaused(_)))
                && stored.decisions.is_empty()
                && stored.broken.is_none()
            {
                return Err(GrantError::Paused(paused.by.clone()).into());
            }
            let (grant, _plan) = approval::derive(stored, trust, *now)?;
            grant.covers(step)?;
            if let Some(started) = &mut advance.started {
                started.grant = Some((grant.id(), grant.digest()));
            }
            for event in &mut advance.events {
                if let Happened::AttemptStarted { grant: under, digest, .. } = &mut event.record.what {
                    *under = Some(grant.id());
                    *digest = grant.digest();
                }
            }
        }
        Needs::EndGrant => {
            if let Some(stored) = grants.next() {
                // Its latest start is over, or its end: nothing can start under it any more.
                let over = *now >= stored.expires_at || *now >= stored.start_by;
                let to = if over { GrantState::Lapsed } else { GrantState::Used };
                advance.grant_ends = Some((stored.id, stored.version, to));
                if let Some(last) = advance.events.last_mut() {
                    last.record.rows.push(RowMark::grant(stored.id, to.name(), stored.version + 1));
                }
            }
        }
    }
    Ok(advance)
}

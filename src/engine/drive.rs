//! Driving one run: next move, commit, execute, again.
//!
//! Everything that must not be lost is committed before it is acted on: an attempt is `started` in the database before its
//! process exists. "Ended" of one step and "started" of the next are one commit. A crash anywhere leaves a state from
//! which [`next`] goes on.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::commit::{CommitError, Committer, Needs};
use super::next::{Next, next};
use super::step::{self, Answering, Context, End, Orders, Seen, Surroundings};
use super::{Secrets, SecretsSource};
use crate::approval;
use crate::model::event::{Happened, NewEvent, Record, RowMark};
use crate::model::id::{Digest, RunId};
use crate::model::plan::{Plan, Sealed, Telling};
use crate::model::run::{AttemptState, Outcome, RunEvent, RunState, Snag};
use crate::model::trace::SpanId;
use crate::store::{Advance, Attempt, AttemptKey, Ended, NewAttemptOutput, Run, Started, Store, StoreError};
use crate::sys::{self, Liveness, ProcessIdentity};
use crate::text;

/// After how long a process that still runs is written down. Its marker finds it before that; most steps that only take
/// a moment are spared a commit.
const RECORD_PROCESS_AFTER: Duration = Duration::from_millis(10);

/// Between two tries to commit a move when the database fails, in milliseconds: some four seconds in all, and never beyond
/// the lease.
const COMMIT_PAUSES: [u64; 9] = [10, 20, 40, 80, 160, 320, 640, 1280, 1280];

/// How often, at first and at most, a step's newest line is told while it runs.
const PROGRESS_FIRST: Duration = Duration::from_secs(2);
const PROGRESS_SLOWEST: Duration = Duration::from_secs(60);

/// What every driver of this process shares.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) store: Store,
    pub(super) committer: Committer,
    pub(super) surroundings: Surroundings,
    pub(super) secrets: Arc<dyn SecretsSource>,
}

struct Driver<'a> {
    shared: &'a Shared,
    orders: watch::Receiver<Orders>,
    act_until: watch::Receiver<Instant>,
    run: Run,
    plan: Plan,
    attempts: Vec<Attempt>,
    /// What ended and is not yet committed.
    ended: Option<(Ended, NewEvent)>,
    secrets: Secrets,
    /// The name of the attempt under way in the run's trace.
    span: Option<SpanId>,
}

/// Whether a driver has gone on.
enum Step {
    GoOn,
    Done,
}

/// Drives a run that this process holds until it is over, waits for a person, or must be given up.
///
/// # Errors
/// When the database cannot be used, or the stored plan cannot be read.
pub(super) async fn drive(
    shared: &Shared,
    id: RunId,
    fence: i64,
    orders: watch::Receiver<Orders>,
    act_until: watch::Receiver<Instant>,
) -> Result<(), StoreError> {
    let Some(run) = shared.store.find_run(id).await? else { return Ok(()) };
    if run.fence != fence {
        return Ok(());
    }
    if let Some(trace) = run.trace {
        tracing::Span::current().record("trace_id", tracing::field::display(trace.id()));
    }
    if let Some(incident) = run.incident {
        tracing::Span::current().record("incident.id", incident.0);
    }
    // The digest is never believed: it is computed anew from the bytes that will be executed.
    let sealed = Sealed::from_stored(run.plan.clone());
    let attempts = shared.store.list_attempts(id).await?;
    if sealed.digest() != run.digest {
        return give_up(shared, &run, &attempts, sealed.digest()).await;
    }
    let plan = sealed.open().map_err(|error| StoreError::Refused(format!("run {id}: {error}")))?;
    let secrets = shared.secrets.secrets();
    let mut driver = Driver { shared, orders, act_until, run, plan, attempts, ended: None, secrets, span: None };
    loop {
        match driver.step().await? {
            Step::GoOn => {}
            Step::Done => return Ok(()),
        }
    }
}

/// Ends a run whose stored plan is not the one that was planned. Nothing in those bytes is believed, so nothing of them is
/// executed; a step that a predecessor left behind is ended by its mark, for which no plan is needed.
async fn give_up(shared: &Shared, run: &Run, attempts: &[Attempt], found: Digest) -> Result<(), StoreError> {
    let why = approval::GrantError::OtherPlan { found, granted: run.digest }.to_string();
    let mut events = Vec::new();
    let mut ended = None;
    let mut step = 1 + attempts.iter().filter(|attempt| attempt.state.worked()).map(|a| a.key.step).max().unwrap_or(0);
    if let Some(left) = attempts.iter().find(|attempt| attempt.state == AttemptState::Started) {
        let key = left.key;
        step = key.step;
        prove_gone(shared, left)
            .await
            .map_err(|why| StoreError::Refused(format!("attempt {key} of a run whose plan was changed: {why}")))?;
        let what = Happened::AttemptLost { run: run.id, step: key.step, number: key.number, why: why.clone() };
        let state = AttemptState::Unknown;
        let mark = RowMark::attempt(run.id, key.step, key.number, state.name(), left.version + 1);
        events.push(event_of(run, what, vec![mark]));
        ended = Some(Ended { key, state, exit_code: None, summary: why.clone(), output: None });
    }
    let event = match run.state {
        RunState::Stopping { .. } => RunEvent::Halted,
        _ => RunEvent::StepFailed(Snag { step, why }),
    };
    let Ok(to) = run.state.clone().next(event) else { return Ok(()) };
    let what = match &to {
        RunState::Stopped { by } => {
            let of = |worked| attempts.iter().filter(move |a| a.state.worked() == worked).map(|a| a.key.step).collect();
            // Which steps there were besides, nobody can say any more.
            Happened::RunStopped {
                run: run.id,
                by: by.clone(),
                done: of(true),
                unknown: of(false),
                not_started: vec![],
                skipped: vec![],
                revoked: None,
            }
        }
        _ => {
            let why = if let RunState::Failed(snag) = &to { snag.why.clone() } else { String::new() };
            Happened::RunFailed { run: run.id, step, why }
        }
    };
    events.push(event_of(run, what, vec![RowMark::run(run.id, to.name(), run.version + 1)]));
    let advance = Advance {
        run: run.id,
        version: run.version,
        from: run.state.clone(),
        fence: run.fence,
        to,
        ended,
        started: None,
        grant_ends: None,
        events,
    };
    match shared.committer.advance(advance, Needs::EndGrant).await {
        // Moved by somebody else: whoever claims it next looks again.
        Ok(()) | Err(CommitError::Moved | CommitError::Closed) => Ok(()),
        Err(CommitError::Grant(error)) => Err(StoreError::Refused(error.to_string())),
        Err(CommitError::Store(error)) => Err(error),
    }
}

/// Ends an attempt's processes, or says why they are not proved gone. One whose process was not yet written down is
/// looked for by its mark, which shows nothing of another machine: that it was started here must be known (I2).
async fn prove_gone(shared: &Shared, attempt: &Attempt) -> Result<(), String> {
    if let (None, Some(worker)) = (&attempt.process, &attempt.worker)
        && worker.liveness() == Liveness::Unknowable
    {
        return Err(format!(
            "it was started by {worker}, which is not on this machine, so its end cannot be proved here"
        ));
    }
    let marker = step::marker(&shared.surroundings, attempt.key);
    let ended = sys::end_group(attempt.process.as_ref(), &marker, step::GONE_WITHIN).await;
    ended.map(drop).map_err(|error| error.to_string())
}

/// An event about a run, caused by the line that last moved it.
fn event_of(run: &Run, what: Happened, rows: Vec<RowMark>) -> NewEvent {
    let scope = run.scope();
    NewEvent { scope, cause: run.cause, record: Record { what, rows } }
}

impl Driver<'_> {
    async fn step(&mut self) -> Result<Step, StoreError> {
        match next(&self.plan, &self.run.state, &self.attempts, self.shared.store.clock().now()) {
            Next::Nothing => Ok(Step::Done),
            Next::Pause(time) => self.pause(time).await,
            Next::Settle { step, number } => self.settle(step, number).await,
            Next::Start { step, number } => self.start(step, number).await,
            Next::Finish(event) => self.finish(event).await,
        }
    }

    fn key(&self, step: u32, number: u32) -> AttemptKey {
        AttemptKey { run: self.run.id, step, number }
    }

    fn attempt(&mut self, key: AttemptKey) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.key == key)
    }

    fn event(&self, what: Happened, rows: Vec<RowMark>) -> NewEvent {
        event_of(&self.run, what, rows)
    }

    /// Ends what an attempt left behind, then counts it as unknown.
    async fn settle(&mut self, step: u32, number: u32) -> Result<Step, StoreError> {
        let key = self.key(step, number);
        let Some(attempt) = self.attempt(key).cloned() else { return Ok(Step::Done) };
        match prove_gone(self.shared, &attempt).await {
            Ok(()) => {
                let own = ProcessIdentity::own().ok();
                let why = if attempt.worker.is_some() && attempt.worker == own {
                    "the bot ended it, because it could not hold its lease"
                } else {
                    "the bot was not there to see how it ended"
                };
                self.lost(key, why.to_owned());
                Ok(Step::GoOn)
            }
            Err(why) => {
                self.lost(key, why.clone());
                self.finish(RunEvent::OutcomeUnknown(Snag { step, why })).await
            }
        }
    }

    /// Notes that an attempt's outcome is unknown, to be committed with the next move.
    fn lost(&mut self, key: AttemptKey, why: String) {
        let Some(attempt) = self.attempt(key) else { return };
        attempt.state = AttemptState::Unknown;
        attempt.version += 1;
        let mark = RowMark::attempt(key.run, key.step, key.number, attempt.state.name(), attempt.version);
        let what = Happened::AttemptLost { run: key.run, step: key.step, number: key.number, why: why.clone() };
        let event = self.event(what, vec![mark]);
        let ended = Ended { key, state: AttemptState::Unknown, exit_code: None, summary: why, output: None };
        self.ended = Some((ended, event));
    }

    async fn start(&mut self, step: u32, number: u32) -> Result<Step, StoreError> {
        let key = self.key(step, number);
        // Nobody starts a further attempt until the ones before it are proved gone (I2).
        let earlier: Vec<_> = self.attempts.iter().filter(|attempt| attempt.key.step == step).cloned().collect();
        for earlier in earlier {
            if let Err(why) = prove_gone(self.shared, &earlier).await {
                // It is not known to be over, so a person must look.
                return self.finish(RunEvent::OutcomeUnknown(Snag { step, why })).await;
            }
        }
        let Some(planned) = index(step).and_then(|index| self.plan.steps.get(index)).cloned() else {
            return Ok(Step::Done);
        };
        let Ok(to) = self.run.state.clone().next(RunEvent::Started) else { return Ok(Step::Done) };
        let needs = if planned.privileged {
            let covered = approval::Step { step, number, after: self.after(key) };
            if self.run.trigger.is_some() { Needs::CoverUnlessPaused(covered) } else { Needs::Cover(covered) }
        } else {
            Needs::Nothing
        };
        let what = Happened::AttemptStarted {
            run: key.run,
            step,
            number,
            digest: self.run.digest,
            grant: None,
            executor: None,
        };
        let marks = vec![
            RowMark::attempt(key.run, step, number, AttemptState::Started.name(), 1),
            RowMark::run(key.run, to.name(), self.run.version + 1),
        ];
        let event = self.event(what, marks);
        match self.commit(to, Some(Started { key, grant: None }), needs, Some(event)).await? {
            Committed::Yes => {}
            Committed::Moved(step) => return Ok(step),
            Committed::NoGrant(why) => {
                return self.finish(RunEvent::StepFailed(Snag { step, why })).await;
            }
        }
        self.attempts.push(Attempt {
            key,
            version: 1,
            state: AttemptState::Started,
            fence: self.run.fence,
            started_at: self.shared.store.clock().now(),
            ended_at: None,
            summary: None,
            worker: None,
            process: None,
        });
        let began = self.shared.store.clock().now();
        let end = self.execute(&planned, key).await;
        match end {
            End::Seen(seen) => {
                self.seen(key, began, seen);
                Ok(Step::GoOn)
            }
            End::Ordered(Orders::Stop | Orders::GoOn) => {
                self.lost(key, "it was ended in the middle by `stop`".to_owned());
                self.reload().await
            }
            // The lease has ended or the bot shuts down: whoever comes next finds the attempt as it is.
            End::Ordered(Orders::GiveUp) => Ok(Step::Done),
            End::NotProvedGone(why) => {
                self.lost(key, why.clone());
                if let Step::Done = self.reload().await? {
                    return Ok(Step::Done);
                }
                self.finish(RunEvent::OutcomeUnknown(Snag { step, why })).await
            }
            End::Unseen(why) => {
                self.lost(key, why.clone());
                self.finish(RunEvent::OutcomeUnknown(Snag { step, why })).await
            }
        }
    }

    /// What came of the attempt before one.
    fn after(&self, key: AttemptKey) -> approval::After {
        let before = |attempt: &&Attempt| attempt.key.step == key.step && attempt.key.number < key.number;
        match self.attempts.iter().filter(before).max_by_key(|attempt| attempt.key.number).map(|last| &last.state) {
            None => approval::After::Nothing,
            Some(AttemptState::Failed | AttemptState::TimedOut) => approval::After::Failed,
            Some(AttemptState::Unknown) => approval::After::Unknown,
            Some(
                AttemptState::Started
                | AttemptState::Succeeded
                | AttemptState::Judged { .. }
                | AttemptState::Skipped { .. },
            ) => approval::After::Other,
        }
    }

    /// Waits between two tries of a step, with nothing open. How the last one ended is durable before: a restart reckons
    /// the rest of the pause from that.
    async fn pause(&mut self, time: Duration) -> Result<Step, StoreError> {
        if self.ended.is_some() {
            match self.commit(self.run.state.clone(), None, Needs::Nothing, None).await? {
                Committed::Yes => {}
                Committed::Moved(step) => return Ok(step),
                Committed::NoGrant(why) => return Err(StoreError::Refused(why)),
            }
        }
        tokio::select! {
            biased;
            given = step::ordered(self.orders.clone(), self.act_until.clone()) => match given {
                Orders::GiveUp => Ok(Step::Done),
                Orders::Stop | Orders::GoOn => self.reload().await,
            },
            () = tokio::time::sleep(time) => Ok(Step::GoOn),
        }
    }

    async fn execute(&mut self, planned: &crate::model::plan::PlanStep, key: AttemptKey) -> End {
        let (process, mut started) = watch::channel(None::<ProcessIdentity>);
        let (progress, mut line) = watch::channel(None::<String>);
        // A name of its own in the trace for each attempt; what a step tells of itself hangs below it.
        self.span = new_span();
        let traceparent = self.run.trace.zip(self.span).map(|(trace, span)| trace.traceparent(span));
        let span_id = self.span.map(tracing::field::display);
        tracing::debug!(run.step = key.step, run.attempt = key.number, span_id, "an attempt starts");
        let context = Context {
            marker: step::marker(&self.shared.surroundings, key),
            run: Some(key.run),
            traceparent,
            surroundings: self.shared.surroundings.clone(),
            secrets: self.secrets.clone(),
            orders: self.orders.clone(),
            act_until: self.act_until.clone(),
            process,
            progress,
        };
        let first = self.attempts.iter().find(|attempt| attempt.key.step == key.step && attempt.key.number == 1);
        let waited = first.map_or(Duration::ZERO, |first| {
            (self.shared.store.clock().now() - first.started_at).to_std().unwrap_or(Duration::ZERO)
        });
        let answering = match self.plan.telling {
            Telling::Steps => Answering::Step,
            Telling::Answer => Answering::Question,
        };
        let store = self.shared.store.clone();
        let fence = self.run.fence;
        let template = self.event(
            Happened::AttemptProgress { run: key.run, step: key.step, number: key.number, line: String::new() },
            Vec::new(),
        );
        // Beside the step, and ended with it: writing down its process, and telling what it says.
        let record = {
            let store = store.clone();
            async move {
                while started.changed().await.is_ok() {
                    tokio::time::sleep(RECORD_PROCESS_AFTER).await;
                    let process = started.borrow_and_update().clone();
                    if let Some(process) = process
                        && let Err(error) = store.set_attempt_process(key, fence, &process).await
                    {
                        tracing::warn!(error = %text::chain(&error), attempt = %key, "a process was not written down");
                    }
                }
                std::future::pending::<()>().await;
            }
        };
        let tell = async move {
            let mut pause = PROGRESS_FIRST;
            loop {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PROGRESS_SLOWEST);
                let newest = if line.has_changed().unwrap_or(false) { line.borrow_and_update().clone() } else { None };
                let Some(newest) = newest else { continue };
                let mut event = template.clone();
                if let Happened::AttemptProgress { line, .. } = &mut event.record.what {
                    *line = newest;
                }
                if let Err(error) = store.record(&[event]).await {
                    tracing::warn!(error = %text::chain(&error), attempt = %key, "progress was not recorded");
                }
            }
        };
        tokio::select! {
            end = step::execute(planned, answering, waited, context) => end,
            () = record => unreachable_end(),
            () = tell => unreachable_end(),
        }
    }

    /// Notes how an attempt ended, to be committed with the next move.
    fn seen(&mut self, key: AttemptKey, began: chrono::DateTime<chrono::Utc>, seen: Seen) {
        let state = match seen.outcome {
            Outcome::Succeeded => AttemptState::Succeeded,
            Outcome::Failed => AttemptState::Failed,
            Outcome::TimedOut => AttemptState::TimedOut,
        };
        let output = if seen.output.is_empty() {
            None
        } else {
            let (bytes, left_out) = seen.output.finish();
            let digest = Digest(Sha256::digest(&bytes).into());
            Some((NewAttemptOutput { bytes, left_out }, digest))
        };
        let ended_at = self.shared.store.clock().now();
        let took = ended_at - began;
        let millis = u64::try_from(took.num_milliseconds()).unwrap_or(0);
        // What it said is for the ledger and the room; the log tells how it went.
        let span_id = self.span.take().map(tracing::field::display);
        tracing::info!(
            run.step = key.step,
            run.attempt = key.number,
            span_id,
            outcome = state.name(),
            millis,
            "an attempt ended"
        );
        let Some(attempt) = self.attempt(key) else { return };
        attempt.state = state.clone();
        attempt.version += 1;
        attempt.ended_at = Some(ended_at);
        attempt.summary = Some(seen.summary.clone());
        let mark = RowMark::attempt(key.run, key.step, key.number, state.name(), attempt.version);
        let event = self.event(
            Happened::AttemptEnded {
                run: key.run,
                step: key.step,
                number: key.number,
                outcome: seen.outcome,
                exit_code: seen.exit_code,
                millis,
                summary: seen.summary.clone(),
                output_sha256: output.as_ref().map(|(_, digest)| *digest),
                checks: seen.checks,
            },
            vec![mark],
        );
        let ended = Ended { key, state, exit_code: seen.exit_code, summary: seen.summary, output };
        self.ended = Some((ended, event));
    }

    async fn finish(&mut self, event: RunEvent) -> Result<Step, StoreError> {
        let to = match self.run.state.clone().next(event) {
            Ok(to) => to,
            Err(refusal) => {
                return Err(StoreError::Refused(format!("run {}: {refusal}", self.run.id)));
            }
        };
        let mark = RowMark::run(self.run.id, to.name(), self.run.version + 1);
        let what = self.outcome(&to);
        let event = self.event(what, vec![mark]);
        let needs = if self.plan.privileged() && to.is_over() { Needs::EndGrant } else { Needs::Nothing };
        match self.commit(to, None, needs, Some(event)).await? {
            Committed::Yes => {
                tracing::info!(run.state = self.run.state.name(), "a run came to rest");
                Ok(Step::Done)
            }
            Committed::Moved(step) => Ok(step),
            Committed::NoGrant(why) => Err(StoreError::Refused(why)),
        }
    }

    /// What a run's new state is called in the ledger.
    fn outcome(&self, to: &RunState) -> Happened {
        let run = self.run.id;
        match to {
            RunState::Stuck(snag) => Happened::RunStuck { run, step: snag.step, why: snag.why.clone() },
            RunState::Failed(snag) => Happened::RunFailed { run, step: snag.step, why: snag.why.clone() },
            RunState::Stopped { by } | RunState::Stopping { by } => {
                stopped(run, by.clone(), &self.plan, &self.attempts)
            }
            RunState::Planned
            | RunState::AwaitingApproval
            | RunState::Approved
            | RunState::Running
            | RunState::Succeeded
            | RunState::Denied { .. }
            | RunState::Expired
            | RunState::Withdrawn { .. } => {
                let began = self.attempts.first().map_or(self.run.created_at, |attempt| attempt.started_at);
                let took = self.shared.store.clock().now() - began;
                Happened::RunSucceeded { run, millis: u64::try_from(took.num_milliseconds()).unwrap_or(0) }
            }
        }
    }

    /// Commits a move with whatever ended before it. When the database fails in the middle, nobody knows whether it was
    /// committed: it is tried again for a while, under the same guard, so that what was seen is not lost with a connection.
    async fn commit(
        &mut self,
        to: RunState,
        started: Option<Started>,
        needs: Needs,
        event: Option<NewEvent>,
    ) -> Result<Committed, StoreError> {
        let (ended, mut ended_event) = self.ended.clone().unzip();
        if let (None, Some(alone)) = (&event, &mut ended_event) {
            // No other event of this commit tells that the run's row has moved.
            alone.record.rows.push(RowMark::run(self.run.id, to.name(), self.run.version + 1));
        }
        let advance = Advance {
            run: self.run.id,
            version: self.run.version,
            from: self.run.state.clone(),
            fence: self.run.fence,
            to: to.clone(),
            ended,
            started,
            grant_ends: None,
            events: ended_event.into_iter().chain(event).collect(),
        };
        let mut pauses = COMMIT_PAUSES.into_iter().map(Duration::from_millis);
        loop {
            let error = match self.shared.committer.advance(advance.clone(), needs).await {
                Ok(()) => break,
                Err(CommitError::Grant(error)) => return Ok(Committed::NoGrant(error.to_string())),
                Err(CommitError::Moved) => match self.has_moved(&to).await {
                    Ok(Since::OurMove) => break,
                    Ok(Since::OtherMove) => return Ok(Committed::Moved(self.reload().await?)),
                    // Whoever comes next reads the attempts anew.
                    Ok(Since::Both) => return Ok(Committed::Moved(Step::Done)),
                    Err(error) => error,
                },
                Err(CommitError::Store(error)) => error,
                Err(CommitError::Closed) => return Ok(Committed::Moved(Step::Done)),
            };
            match pauses.next() {
                Some(pause) if Instant::now() + pause < *self.act_until.borrow() => tokio::time::sleep(pause).await,
                _ => return Err(error),
            }
        }
        self.ended = None;
        self.run.state = to;
        self.run.version += 1;
        Ok(Committed::Yes)
    }

    /// Whether this driver's own move was committed although nobody said so. No other move leads to the same state: a
    /// person's `stop` has states of its own, and a judgement or retry needs a run that nobody drives.
    async fn has_moved(&self, to: &RunState) -> Result<Since, StoreError> {
        let run = self.shared.store.find_run(self.run.id).await?;
        Ok(match run.filter(|run| run.fence == self.run.fence) {
            Some(run) if run.version == self.run.version + 1 && run.state == *to => Since::OurMove,
            Some(run) if run.version > self.run.version + 1 => Since::Both,
            _ => Since::OtherMove,
        })
    }

    /// Reads the run again after somebody else moved it. What this process saw of its own attempts stays.
    async fn reload(&mut self) -> Result<Step, StoreError> {
        let Some(run) = self.shared.store.find_run(self.run.id).await? else { return Ok(Step::Done) };
        if run.fence != self.run.fence {
            return Ok(Step::Done);
        }
        if run.version == self.run.version && run.state == self.run.state && self.ended.is_none() {
            // The row is as we know it and still does not let us: the lease has ended.
            return Ok(Step::Done);
        }
        let same = run.version == self.run.version;
        self.run = run;
        Ok(if same && *self.orders.borrow() == Orders::GiveUp { Step::Done } else { Step::GoOn })
    }
}

/// What happened to a run since its driver read it.
enum Since {
    /// The driver's own move, which was committed after all.
    OurMove,
    /// Somebody else moved it, or claimed it, or nobody did.
    OtherMove,
    /// Both: people have one move, to stop it.
    Both,
}

/// What became of a commit.
enum Committed {
    Yes,
    Moved(Step),
    NoGrant(String),
}

/// The name of a new part of a trace. Without randomness there is none, and the step goes on without a trace.
fn new_span() -> Option<SpanId> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).ok()?;
    Some(SpanId::from_entropy(bytes))
}

fn index(step: u32) -> Option<usize> {
    usize::try_from(step).ok()?.checked_sub(1)
}

fn unreachable_end() -> End {
    // Both companions of a step run for ever; the step alone can end the wait.
    End::NotProvedGone("the step's companion ended before it".to_owned())
}

/// What is done, unknown and not started when a run ends by `stop`.
pub(super) fn stopped(run: RunId, by: crate::model::id::PersonId, plan: &Plan, attempts: &[Attempt]) -> Happened {
    let (mut done, mut unknown, mut not_started, mut skipped) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (step, _) in (1_u32..).zip(&plan.steps) {
        match attempts.iter().filter(|attempt| attempt.key.step == step).max_by_key(|attempt| attempt.key.number) {
            Some(attempt) if attempt.state.worked() => done.push(step),
            Some(attempt) if matches!(attempt.state, AttemptState::Skipped { .. }) => skipped.push(step),
            Some(_) => unknown.push(step),
            None => not_started.push(step),
        }
    }
    Happened::RunStopped { run, by, done, unknown, not_started, skipped, revoked: None }
}

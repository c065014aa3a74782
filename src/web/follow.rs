//! A stream that follows one line: that it is kept, every message that it leads to, and how it settled.
//!
//! Messages come live from the local room, in the room's order, and are folded by their number in the outbox. The
//! database is asked whether there is more to come, and for messages only where live ones may be missing: after a
//! redelivery, after falling behind, when another process is the room's sender, and once at the end. Nothing is asked
//! before the first answer had its time to go out.
//!
//! Only messages of the line's own room are told here, and private ones only to who said the line.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, sleep_until};

use super::rooms::{may_see, told};
use super::wire::{Kept, KeptAs, Settled, SettledAs, TimedOut, Told};
use super::{Shared, stopped};
use crate::chat::room::Posted;
use crate::model::chat::{Account, RoomAddress};
use crate::model::id::{InboxId, OutboxId, RunId};
use crate::model::run::RunState;
use crate::store::{CauseStatus, CausedRun, Listener, StoreError, Topic};

/// For how long a line's own answers are waited for when nothing else is.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// How often it looks without being woken.
const POLL: Duration = Duration::from_millis(250);

/// How long the first look waits for the first answer.
const ANSWER_FIRST: Duration = Duration::from_millis(20);

/// Between two looks: a tenth of the time waited so far, within these bounds. Many wake-ups are then few questions.
const GAP: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// What a stream waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// The line's own answers.
    Answers,
    /// That every run that the line made or moved is over or waits for a person.
    Consequences {
        /// For at most so many milliseconds.
        wait_ms: u64,
    },
}

pub(super) struct Follow {
    web: Shared,
    live: broadcast::Receiver<Posted>,
    wake: Listener,
    woken: bool,
    line: InboxId,
    room: RoomAddress,
    reader: Account,
    patience: Patience,
    began: Instant,
    deadline: Instant,
    /// What is to be written next.
    ready: VecDeque<Bytes>,
    /// Messages that were written, or are not for this reader.
    seen: HashSet<OutboxId>,
    looked: Option<Instant>,
    /// When messages were last read from the database; `None`: live ones may be missing.
    caught_up: Option<Instant>,
    /// Where the runs rested at the last look.
    rested: Option<Vec<(RunId, &'static str)>>,
    ended: bool,
}

impl Follow {
    pub(super) fn new(
        web: Shared,
        live: broadcast::Receiver<Posted>,
        room: RoomAddress,
        reader: Account,
        kept: &Kept,
        patience: Patience,
    ) -> Self {
        let began = Instant::now();
        let wait = match patience {
            Patience::Answers => ANSWERS_WITHIN,
            Patience::Consequences { wait_ms } => Duration::from_millis(wait_ms),
        };
        let caught_up = match kept.delivery {
            KeptAs::First => Some(began),
            KeptAs::Again => None,
        };
        let wake = web.state.store.hub().listen(Topic::Settled);
        let mut follow = Self {
            web,
            live,
            wake,
            woken: caught_up.is_none(),
            line: kept.line,
            room,
            reader,
            patience,
            began,
            deadline: began + wait,
            ready: VecDeque::new(),
            seen: HashSet::new(),
            looked: None,
            caught_up,
            rested: None,
            ended: false,
        };
        follow.write(kept);
        follow
    }

    pub(super) fn into_body(self) -> Body {
        Body::from_stream(futures_util::stream::unfold(self, |mut follow| async {
            let next = follow.next().await?;
            Some((Ok::<_, Infallible>(next), follow))
        }))
    }

    /// The next line of the stream; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            if self.ended {
                return None;
            }
            let (woken, look_at, poll_at) =
                (self.woken, self.earliest_look(), self.looked.unwrap_or(self.began) + POLL);
            tokio::select! {
                biased;
                // Not while earlier ones may be missing.
                posted = self.live.recv(), if self.caught_up.is_some() => match posted {
                    Ok(posted) => self.take(posted),
                    Err(RecvError::Lagged(_)) => (self.caught_up, self.woken) = (None, true),
                    // Not while the state holds the room.
                    Err(RecvError::Closed) => self.ended = true,
                },
                () = sleep_until(self.deadline) => {
                    self.write(&TimedOut { timeout: true });
                    self.ended = true;
                }
                // Without a last line: whoever waits asks again, and the next process goes on where this one stopped.
                () = stopped(self.web.stop.clone()) => self.ended = true,
                () = sleep_until(look_at), if woken => {
                    self.woken = false;
                    if let Err(error) = self.look().await {
                        tracing::warn!(line = %self.line, %error, "a line's consequences cannot be read; trying again");
                    }
                }
                () = self.wake.wait(poll_at.saturating_duration_since(Instant::now())), if !woken => self.woken = true,
            }
        }
    }

    fn earliest_look(&self) -> Instant {
        match self.looked {
            None if self.caught_up.is_none() || !self.seen.is_empty() => self.began,
            None => self.began + ANSWER_FIRST,
            Some(looked) => looked + (looked - self.began).div_f64(10.0).clamp(GAP.0, GAP.1),
        }
    }

    /// Looks how far the line's consequences have come.
    async fn look(&mut self) -> Result<(), StoreError> {
        self.looked = Some(Instant::now());
        if self.caught_up.is_none_or(|caught_up| caught_up.elapsed() >= POLL) {
            self.catch_up().await?;
        }
        let Some(status) = self.web.state.store.cause_status(self.line).await? else {
            tracing::error!(line = %self.line, "a line that was kept is not there");
            self.ended = true;
            return Ok(());
        };
        if self.has_settled(&status) {
            self.catch_up().await?;
            self.write(&settled(status));
            self.ended = true;
        }
        Ok(())
    }

    /// Whether nothing is left to wait for. `told` was read before the runs were: that they rest counts only if they
    /// rested in the same way before that, else the end of a run could overtake the message that tells it.
    fn has_settled(&mut self, status: &CauseStatus) -> bool {
        let rests = |run: &CausedRun| run.state.is_over() || run.state.waits_for_a_person();
        match self.patience {
            Patience::Answers => status.told,
            Patience::Consequences { .. } if status.runs.is_empty() => status.told,
            Patience::Consequences { .. } => {
                let now = status
                    .runs
                    .iter()
                    .all(rests)
                    .then(|| status.runs.iter().map(|run| (run.id, run.state.name())).collect::<Vec<_>>());
                let rested_before = now.is_some() && now == self.rested;
                if now.is_some() && !rested_before {
                    self.woken = true;
                }
                self.rested = now;
                rested_before && status.told
            }
        }
    }

    /// Takes what live listening may have missed, together with what is in the ear already, in the room's order.
    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let rows = self.web.state.store.list_sent_because_of(self.line, OutboxId(0)).await?;
        let mut missed = BTreeMap::new();
        for row in rows {
            if row.room == self.room && self.seen.insert(row.id) {
                missed.insert(row.id, told(row, &self.reader));
            }
        }
        while let Ok(posted) = self.live.try_recv() {
            if self.is_new(&posted) {
                missed.insert(posted.id, told_live(posted, &self.reader));
            }
        }
        for told in missed.into_values().flatten() {
            self.write(&told);
        }
        self.caught_up = Some(Instant::now());
        Ok(())
    }

    fn take(&mut self, posted: Posted) {
        if self.is_new(&posted)
            && let Some(told) = told_live(posted, &self.reader)
        {
            self.write(&told);
        }
    }

    /// Whether a live message is one that this stream tells and has not told. Remembers it.
    fn is_new(&mut self, posted: &Posted) -> bool {
        posted.cause == Some(self.line) && posted.room == self.room && self.seen.insert(posted.id)
    }

    fn write(&mut self, line: &impl Serialize) {
        match serde_json::to_vec(line) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                self.ready.push_back(bytes.into());
            }
            Err(error) => {
                tracing::error!(%error, "a line of a stream cannot be written");
                self.ended = true;
            }
        }
    }
}

/// A live message as an account may see it.
pub(super) fn told_live(posted: Posted, reader: &Account) -> Option<Told> {
    may_see(reader, posted.message.only_to.as_ref()).then(|| {
        let edits = posted.edits.is_some();
        Told::new(posted.id, posted.at, posted.name, posted.thread, edits, posted.message)
    })
}

/// What a run does now: one that is stuck and for which a retry is asked waits for that.
fn state_name(run: &CausedRun) -> &'static str {
    if run.request_waits { RunState::AwaitingApproval.name() } else { run.state.name() }
}

/// The last line: how the line's consequences stand.
fn settled(status: CauseStatus) -> Settled {
    let waiting = status.runs.iter().rposition(|run| run.state.waits_for_a_person());
    let settled = match waiting {
        _ if status.outcome == "refused" => SettledAs::Refused,
        Some(_) => SettledAs::Waiting,
        None => SettledAs::Done,
    };
    let mut runs = status.runs;
    let run = match waiting {
        Some(at) => Some(runs.swap_remove(at)),
        None => runs.pop(),
    };
    Settled {
        settled,
        state: run.as_ref().map(|run| state_name(run).to_owned()),
        run: run.as_ref().map(|run| run.id),
        request: run.as_ref().and_then(|run| run.request.as_ref().map(ToString::to_string)),
        thread: run.and_then(|run| run.thread),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{PersonId, ThreadId};
    use crate::model::run::RunState;

    fn status(outcome: &str, states: impl IntoIterator<Item = RunState>) -> CauseStatus {
        let runs = states.into_iter().zip(1..).map(|(state, id)| CausedRun {
            id: RunId(id),
            state,
            request_waits: false,
            thread: Some(ThreadId::new(format!("m{id}"))),
            request: None,
        });
        CauseStatus { outcome: outcome.to_owned(), runs: runs.collect(), told: true }
    }

    #[test]
    fn the_last_line_names_the_newest_run_and_one_that_waits_before_others() {
        let of = |outcome, states: Vec<RunState>| {
            let settled = settled(status(outcome, states));
            (settled.settled, settled.run.map(|run| run.0), settled.state)
        };
        assert_eq!(of("answered", vec![]), (SettledAs::Done, None, None));
        assert_eq!(of("talk", vec![]), (SettledAs::Done, None, None));
        assert_eq!(of("refused", vec![]), (SettledAs::Refused, None, None));
        let over = RunState::Stopped { by: PersonId::new("boss") };
        assert_eq!(
            of("answered", vec![over.clone(), RunState::Succeeded]),
            (SettledAs::Done, Some(2), Some("succeeded".to_owned()))
        );
        assert_eq!(
            of("answered", vec![RunState::AwaitingApproval, over]),
            (SettledAs::Waiting, Some(1), Some("awaiting_approval".to_owned()))
        );
    }
}

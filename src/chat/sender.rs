//! The one queue out: takes what waits in the outbox to the platforms, room by room, in order.
//!
//! What lives here: order, pace, doubt and giving up. What does not: what is said, and how a platform wants it.
//!
//! Keeps I5. A room has one sender at a time, the holder of the lease `channel:ROOM`; it sends in the order of the rows
//! and does not go on past one that has to be tried again. Rows are marked after they were sent, so what a crash leaves
//! sent but unmarked is always the beginning of what waits. Whoever takes the lease therefore looks for the first rows
//! one by one until one is not there, and from then on sends. What was put into the outbox after the lease had last been
//! held cannot have been sent, and is not looked for. A row whose fate is unknown is looked for as well; one that the
//! platform answered with a time to wait did not arrive.
//!
//! A change of a message is no message: making it twice does no harm, and it has no place in the order. So a change that
//! the platform wants to have later waits alone, and is passed by what follows; and when it is not found, that says
//! nothing about those behind it. What a room that is behind is told as one is decided in [`together`].

mod together;

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Semaphore, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::together::{Behind, Known, Noted, Unit};
use super::{Adapter, Limits, Outgoing, SendError};
use crate::metrics::beats::{Loop, beat};
use crate::metrics::{self, Sending};
use crate::model::chat::RoomAddress;
use crate::model::id::{MessageId, OutboxId};
use crate::store::{HandedOver, Listener, OnlyInstead, OutboxRow, Store, StoreError, Topic, WorkerId};

/// How often it looks without being woken.
const POLL: Duration = Duration::from_secs(1);

/// Rooms that are served at once. Above the number that one process speaks to a platform about; it bounds memory.
const MOST_ROOMS: usize = 64;

/// Rooms that keep a task, and so need one query instead of three for their next message.
const MOST_LINGERING: usize = 4;

/// How long such a task stays without work.
const LINGER: Duration = Duration::from_secs(30);

/// How long rooms without a lingering task are left alone while others have one, so that looking for them does not
/// compete with an answer on its way, and a burst of wake-ups is one look.
const LET_THE_BUSY_GO_FIRST: Duration = Duration::from_millis(5);

/// Messages read at once.
const BATCH: i64 = 50;

/// Messages read at once where some may be told as one. Above what is told as one at most.
const PACED_BATCH: i64 = 200;

/// A room is behind when so many times as much waits as it takes at once.
const BEHIND: usize = 2;

/// Or when the platform takes its time, and something waits for so long.
const BEHIND_AFTER: TimeDelta = TimeDelta::seconds(3);

/// A platform that takes so long for one message takes its time. What has come meanwhile is looked at first.
const SLOW: Duration = Duration::from_millis(700);

/// By how much the clocks may differ of whoever commits a message and whoever held the lease.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::milliseconds(50);

/// How long a message may be sent and not marked, while others follow it.
const MARK_WITHIN: Duration = Duration::from_millis(20);

/// How long a platform may take for one message before its fate counts as unknown.
const SEND_AT_MOST: Duration = Duration::from_secs(30);

/// How long messages on their way may take at the end.
const GRACE: Duration = Duration::from_secs(5);

/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The first line of a message that holds so many, as its room was behind.
pub type Together = fn(usize) -> String;

/// Sends what waits, until told to stop; then what is on its way is finished and marked, and the rest waits for the next
/// sender. Errors are logged and tried again: it never ends by itself.
pub async fn run(
    store: Store,
    adapters: Vec<Arc<dyn Adapter>>,
    together: Together,
    me: WorkerId,
    lease_length: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut wake = store.hub().listen(Topic::Outbox);
    let lingering = Semaphore::new(MOST_LINGERING);
    let sender = Arc::new(Sender { store, adapters, together, me, lease_length, stop: stop.clone(), lingering });
    let mut rooms = Rooms::default();
    while !*stop.borrow() {
        beat(Loop::Sender);
        match sender.store.list_rooms_with_unsent().await {
            Ok(waiting) => rooms.serve(&sender, waiting),
            Err(error) => tracing::warn!(error = %chain(&error), "the outbox cannot be read; trying again"),
        }
        // Look again at once only after a task that may have missed a wake-up. One that failed, or whose room somebody
        // else serves, would fail again.
        let again = tokio::select! {
            biased;
            _ = stop.changed() => break,
            again = rooms.next_ended() => again,
            () = wake.wait(POLL) => Again::Soon,
        };
        if again == Again::Soon && !rooms.busy.is_empty() {
            sleep(LET_THE_BUSY_GO_FIRST).await;
        }
    }
    if timeout(GRACE, rooms.end()).await.is_err() {
        tracing::warn!("messages on their way did not end in time; the next sender looks for them");
    }
}

/// When to look for work again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    AtOnce,
    Soon,
}

/// The tasks, one for each room that has work.
#[derive(Default)]
struct Rooms {
    tasks: JoinSet<Ended>,
    by_task: HashMap<Id, RoomAddress>,
    busy: HashSet<RoomAddress>,
    /// The fence under which a room's last task ended with nothing in doubt.
    clear: HashMap<RoomAddress, i64>,
    /// Rooms to leave alone until then: somebody else serves them, or their task failed and would again.
    left_alone: HashMap<RoomAddress, Instant>,
}

impl Rooms {
    fn serve(&mut self, sender: &Arc<Sender>, waiting: Vec<RoomAddress>) {
        let now = Instant::now();
        self.left_alone.retain(|_, until| *until > now);
        for room in waiting {
            if self.left_alone.contains_key(&room) {
                continue;
            }
            if self.busy.len() >= MOST_ROOMS {
                return;
            }
            if !self.busy.insert(room.clone()) {
                continue;
            }
            let clear = self.clear.remove(&room);
            let task = self.tasks.spawn(Arc::clone(sender).serve(room.clone(), clear));
            self.by_task.insert(task.id(), room);
        }
    }

    /// Waits until a task ends; for ever when there is none.
    async fn next_ended(&mut self) -> Again {
        match self.tasks.join_next_with_id().await {
            None => std::future::pending().await,
            Some(ended) => self.note(ended),
        }
    }

    fn note(&mut self, ended: Result<(Id, Ended), JoinError>) -> Again {
        let (id, ended) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Ended::InDoubt(format!("its task ended early: {error}"))),
        };
        let Some(room) = self.by_task.remove(&id) else { return Again::Soon };
        self.busy.remove(&room);
        match ended {
            Ended::Clear { fence } => {
                self.clear.insert(room, fence);
                Again::AtOnce
            }
            Ended::Doubtful => Again::Soon,
            Ended::Elsewhere => {
                self.left_alone.insert(room, Instant::now() + POLL);
                Again::Soon
            }
            Ended::InDoubt(why) => {
                tracing::warn!(%room, why, "a room's messages wait");
                self.left_alone.insert(room, Instant::now() + POLL);
                Again::Soon
            }
        }
    }

    async fn end(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// How a room's task ended.
#[derive(Debug)]
enum Ended {
    /// Everything that was sent is marked.
    Clear { fence: i64 },
    /// Everything that it sent is marked; whether its predecessor's is, it did not come to know.
    Doubtful,
    /// Another worker serves the room.
    Elsewhere,
    /// Something may have been sent and not marked.
    InDoubt(String),
}

/// What all rooms share.
struct Sender {
    store: Store,
    adapters: Vec<Arc<dyn Adapter>>,
    together: Together,
    me: WorkerId,
    lease_length: Duration,
    stop: watch::Receiver<bool>,
    lingering: Semaphore,
}

impl Sender {
    /// Serves a room while it has work, and some time longer if there is a place to linger.
    async fn serve(self: Arc<Self>, room: RoomAddress, clear: Option<i64>) -> Ended {
        let name = format!("channel:{room}");
        // Registered before looking, so that what is put into the outbox meanwhile is not missed.
        let wake = self.store.hub().listen(Topic::Outbox);
        let taken = Instant::now();
        let lease = match self.store.take_lease(&name, self.me, self.lease_length).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return Ended::Elsewhere,
            Err(error) => return Ended::InDoubt(chain(&error)),
        };
        let fence = lease.fence;
        let adapter = self.adapters.iter().find(|adapter| adapter.serves(&room));
        let mut channel = Channel {
            sender: &self,
            adapter,
            limits: adapter.map(|adapter| adapter.limits()),
            room: &room,
            lease: &name,
            fence,
            // A lease that was renewed was held by a task of this process, of which nothing is known but that it ended.
            in_doubt: lease.held_before.filter(|_| clear != Some(fence)).map(|held| held + CLOCKS_DIFFER),
            unmarked: Vec::new(),
            roles_unmarked: false,
            unmarked_since: taken,
            try_at: None,
            held_back: None,
            newest: OutboxId(0),
            changes_wait: None,
            changes_failed: 0,
            slow: false,
            apart: HashSet::new(),
        };
        let handed = self.store.hub().take_over(&room);
        tokio::select! {
            done = channel.work(wake, handed) => match done {
                Ok(()) if channel.in_doubt.is_some() => Ended::Doubtful,
                Ok(()) => Ended::Clear { fence },
                Err(error) => Ended::InDoubt(chain(&error)),
            },
            why = self.keep_lease(&name, fence, taken) => Ended::InDoubt(why),
        }
    }

    /// Renews the lease until it is lost, or until it could not be renewed for so long that it may be lost soon. Then
    /// the work is dropped where it stands: the next holder looks for what was on its way.
    async fn keep_lease(&self, name: &str, fence: i64, taken: Instant) -> String {
        let third = self.lease_length / 3;
        let mut renewed = taken;
        let mut next = taken + third;
        loop {
            sleep_until(next).await;
            let asked = Instant::now();
            let give_up = renewed + 2 * third;
            let answer =
                tokio::time::timeout_at(give_up, self.store.take_lease(name, self.me, self.lease_length)).await;
            match answer {
                Ok(Ok(Some(lease))) if lease.fence == fence => {
                    renewed = asked;
                    next = asked + third;
                }
                Ok(Ok(_)) => return "the lease was lost".to_owned(),
                Ok(Err(error)) if Instant::now() < give_up => {
                    tracing::debug!(error = %chain(&error), "a channel's lease was not renewed; trying again");
                    next = Instant::now() + third / 8;
                }
                Ok(Err(_)) | Err(_) => return "the lease could not be renewed".to_owned(),
            }
        }
    }
}

/// One room while this process is its sender.
struct Channel<'a> {
    sender: &'a Sender,
    adapter: Option<&'a Arc<dyn Adapter>>,
    limits: Option<Limits>,
    room: &'a RoomAddress,
    /// The lease's name.
    lease: &'a str,
    fence: i64,
    /// What was put into the outbox until then may have been sent by whoever held the lease before.
    in_doubt: Option<DateTime<Utc>>,
    unmarked: Vec<(OutboxId, MessageId)>,
    /// Whether any of these has a role.
    roles_unmarked: bool,
    unmarked_since: Instant,
    /// When the first of what waits may be tried again.
    try_at: Option<Instant>,
    /// A message that is to be tried again: nothing may overtake it.
    held_back: Option<OutboxId>,
    /// The newest message that was sent.
    newest: OutboxId,
    /// Until when no message is changed.
    changes_wait: Option<Instant>,
    /// How many changes in a row came to nothing.
    changes_failed: i32,
    /// Whether the platform took its time for what was sent last, or wants to be left alone.
    slow: bool,
    /// What the platform refused when it was told as one.
    apart: HashSet<OutboxId>,
}

/// What a room's sender does next.
enum Work {
    /// Reads what waits.
    Look,
    /// Sends what was handed over: the database says that nothing waited before it.
    Send(Vec<OutboxRow>),
}

/// Whether anything was done with what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Something,
    /// All of it is changes whose time has not come.
    Nothing,
}

/// What became of a message.
enum Sent {
    /// It, or all that are told as one, went or were given up.
    Gone,
    /// It is a change that waits alone.
    Later,
    /// What follows has to wait as well.
    Waits,
}

impl Channel<'_> {
    async fn work(&mut self, mut wake: Listener, mut handed: HandedOver) -> Result<(), StoreError> {
        let mut stop = self.sender.stop.clone();
        let mut place = None;
        let mut idle_since = Instant::now();
        let mut work = Work::Look;
        while !*stop.borrow() {
            let mut done = Done::Something;
            match std::mem::replace(&mut work, Work::Look) {
                Work::Look => {
                    let rows = self.sender.store.list_unsent(self.room, self.batch()).await?;
                    self.settle_doubt(&rows);
                    if rows.is_empty() {
                        self.slow &= self.held_back.is_some();
                    } else {
                        done = self.send_all(rows).await?;
                        idle_since = Instant::now();
                        if done == Done::Something {
                            continue;
                        }
                    }
                }
                Work::Send(rows) => {
                    done = self.send_all(rows).await?;
                    idle_since = Instant::now();
                    // What was left because the platform took its time is read again.
                    if self.held_back.is_some() || self.slow {
                        continue;
                    }
                }
            }
            if place.is_none() {
                place = self.sender.lingering.try_acquire().ok();
            }
            // Whoever left now would be back at once, as something waits that the database does not know to be waiting.
            if done == Done::Something && (place.is_none() || idle_since.elapsed() >= LINGER) {
                break;
            }
            let now = Instant::now();
            let until = if done == Done::Nothing { self.changes_wait } else { self.try_at.take() };
            let pause = until.map_or(POLL, |at| at.saturating_duration_since(now).min(POLL));
            tokio::select! {
                biased;
                rows = handed.next() => {
                    // What was committed in another order than numbered, or has been read meanwhile, is looked for.
                    let next = rows.first().is_some_and(|first| first.id > self.newest);
                    if next && self.held_back.is_none() {
                        work = Work::Send(rows);
                    }
                }
                () = wake.wait(pause) => {}
                _ = stop.changed() => {}
            }
        }
        Ok(())
    }

    /// Ends the doubt when nothing that was read, which is all that waits, is as old. What is not committed yet was not
    /// sent by anybody.
    fn settle_doubt(&mut self, rows: &[OutboxRow]) {
        let all_read = if rows.is_empty() {
            self.held_back.is_none() && self.newest > OutboxId(0)
        } else {
            i64::try_from(rows.len()).is_ok_and(|count| count < self.batch())
        };
        if all_read && !rows.iter().any(|row| self.doubts(row)) {
            self.in_doubt = None;
        }
    }

    /// How many messages are read at once.
    fn batch(&self) -> i64 {
        if self.limits.is_some_and(|limits| limits.at_once.is_some()) { PACED_BATCH } else { BATCH }
    }

    /// What waits, as it is sent: one by one, or where the platform takes one after the other perhaps several as one.
    fn units(&self, rows: Vec<OutboxRow>) -> Vec<Unit> {
        let Some((limits, at_once)) = self.limits.and_then(|limits| Some((limits, limits.at_once?))) else {
            return rows.into_iter().map(Unit::One).collect();
        };
        let whole = rows.len() < usize::try_from(self.batch()).unwrap_or(usize::MAX);
        let mut messages = rows.iter().filter(|row| row.edits.is_none()).peekable();
        let late = self.sender.store.clock().now() - BEHIND_AFTER;
        let for_long = self.slow && messages.peek().is_some_and(|first| first.created_at < late);
        let behind = if for_long || messages.count() > BEHIND * at_once { Behind::Yes } else { Behind::No };
        let known = Known { behind, limits, together: self.sender.together, apart: &self.apart };
        let mut units = together::units(rows, &known, |row| self.doubts(row));
        // More of what is told as one may wait behind what was read, unless it is the first: all of that was read.
        let cut = units.iter().skip(1).position(|unit| matches!(unit, Unit::Several(_, Noted::Yes)));
        if let Some(at) = cut.filter(|_| !whole) {
            units.truncate(at + 1);
        }
        units
    }

    /// Whether a row may have been sent by whoever held the lease before.
    fn doubts(&self, row: &OutboxRow) -> bool {
        self.in_doubt.is_some_and(|until| row.created_at <= until)
    }

    /// Sends rows in order, up to the first that has to wait.
    async fn send_all(&mut self, rows: Vec<OutboxRow>) -> Result<Done, StoreError> {
        let mut done = Done::Nothing;
        for unit in self.units(rows) {
            if *self.sender.stop.borrow() {
                done = Done::Something;
                break;
            }
            let open = match &unit {
                Unit::One(row) | Unit::Superseded(row) => row.thread_is_open || row.target_is_open,
                Unit::Several(..) => false,
            };
            if open && !self.unmarked.is_empty() {
                // What it hangs on, or changes, may be what was just sent: once that is marked, the row knows its name.
                // If nothing is left to mark, the other message was given up, and this one stands by itself.
                break;
            }
            if let Unit::One(row) | Unit::Superseded(row) = &unit {
                match row.only_instead {
                    OnlyInstead::No => {}
                    // What it changes was given up after this row was read: read again, it knows.
                    OnlyInstead::Yes if row.target_is_open => {
                        done = Done::Something;
                        break;
                    }
                    OnlyInstead::Yes => {}
                    OnlyInstead::OfNothing => {
                        self.drop_row(row.id).await?;
                        done = Done::Something;
                        continue;
                    }
                }
            }
            let began = Instant::now();
            let sent = match unit {
                Unit::Superseded(row) => self.pass_over(row),
                Unit::One(row) => self.send_row(row).await?,
                Unit::Several(rows, noted) => self.send_several(rows, noted).await?,
            };
            match sent {
                Sent::Gone => done = Done::Something,
                Sent::Later => continue,
                Sent::Waits => {
                    done = Done::Something;
                    break;
                }
            }
            if !self.unmarked.is_empty() && self.unmarked_since.elapsed() >= MARK_WITHIN {
                self.mark().await;
            }
            self.slow = began.elapsed() >= SLOW;
            if self.slow && self.limits.is_some_and(|limits| limits.at_once.is_some()) {
                // What has come meanwhile may be told together with what waits.
                break;
            }
        }
        self.mark().await;
        Ok(done)
    }

    /// Leaves out a change that a newer one makes superfluous: it counts as made.
    fn pass_over(&mut self, row: OutboxRow) -> Sent {
        let Some(name) = row.edits else { return Sent::Later };
        metrics::message(Sending::Folded);
        self.note_sent(row.id, name, row.has_role);
        Sent::Gone
    }

    fn note_sent(&mut self, id: OutboxId, name: MessageId, has_role: bool) {
        self.note_over(id);
        if self.unmarked.is_empty() {
            self.unmarked_since = Instant::now();
        }
        self.unmarked.push((id, name));
        self.roles_unmarked |= has_role;
    }

    /// Nothing waits for this one any more.
    fn note_over(&mut self, id: OutboxId) {
        self.newest = self.newest.max(id);
        self.held_back = self.held_back.filter(|held| *held != id);
    }

    async fn send_row(&mut self, row: OutboxRow) -> Result<Sent, StoreError> {
        if row.edits.is_some() && self.changes_wait.is_some_and(|until| until > Instant::now()) {
            return Ok(Sent::Later);
        }
        let doubted = self.doubts(&row);
        let (tries, has_role, created_at) = (row.tries, row.has_role, row.created_at);
        let outgoing = Outgoing {
            id: row.id,
            room: row.room,
            thread: row.thread,
            key: row.key,
            cause: row.cause,
            edits: row.edits,
            message: row.message,
        };
        match self.deliver(&outgoing, doubted, tries).await {
            Ok((name, how)) => {
                metrics::message(how);
                // One that was found was sent by somebody before, nobody knows when.
                if how == Sending::Sent {
                    self.note_time(created_at);
                }
                if outgoing.edits.is_some() {
                    self.changes_failed = 0;
                }
                self.note_sent(outgoing.id, name, has_role);
                Ok(Sent::Gone)
            }
            Err(Undelivered::Refused(why)) => self.give_up(outgoing.id, &why).await,
            Err(Undelivered::Limited(pause)) if outgoing.edits.is_some() => Ok(self.change_later(pause)),
            Err(Undelivered::Doubtful(error)) if outgoing.edits.is_some() => {
                tracing::info!(room = %self.room, outbox = %outgoing.id, %error, "a change is tried again");
                let pause = pause_after(self.changes_failed);
                self.changes_failed = self.changes_failed.saturating_add(1);
                Ok(self.change_later(pause))
            }
            Err(Undelivered::Doubtful(error)) => self.try_again(outgoing.id, tries, &error).await,
            Err(Undelivered::Limited(pause)) => self.wait(outgoing.id, pause).await,
        }
    }

    /// Changes nothing in this room for so long.
    fn change_later(&mut self, pause: Duration) -> Sent {
        metrics::message(Sending::Retried);
        self.changes_wait = Instant::now().checked_add(pause);
        Sent::Later
    }

    /// Sends several messages as one.
    async fn send_several(&mut self, rows: Vec<OutboxRow>, noted: Noted) -> Result<Sent, StoreError> {
        let ids: Vec<OutboxId> = rows.iter().map(|row| row.id).collect();
        let (Some(first), Some(outgoing)) = (rows.first(), together::joined(&rows, self.sender.together)) else {
            return Ok(Sent::Later);
        };
        // Before it is sent, so that whoever comes next knows what was.
        if noted == Noted::NotYet
            && !self.sender.store.set_together(&ids, self.lease, self.sender.me, self.fence).await?
        {
            tracing::warn!(room = %self.room, "messages were not joined, as the lease was lost or they changed");
            sleep(POLL / 4).await;
            return Ok(Sent::Waits);
        }
        let doubted = noted == Noted::Yes && self.doubts(first);
        match self.deliver(&outgoing, doubted, first.tries).await {
            Ok((name, how)) => {
                metrics::message(how);
                tracing::info!(room = %self.room, messages = rows.len(), "told as one, as the room is behind");
                for (at, row) in rows.iter().enumerate() {
                    if how == Sending::Sent {
                        self.note_time(row.created_at);
                    }
                    if at > 0 {
                        metrics::message(Sending::Folded);
                    }
                    self.note_sent(row.id, name.clone(), row.has_role);
                }
                Ok(Sent::Gone)
            }
            Err(Undelivered::Refused(why)) => {
                // One text that it does not take must not silence the others.
                tracing::warn!(room = %self.room, outbox = %outgoing.id, why, "told one by one, as it is refused as one");
                self.mark().await;
                self.sender.store.set_apart(outgoing.id).await?;
                self.apart.extend(ids);
                Ok(Sent::Waits)
            }
            Err(Undelivered::Doubtful(error)) => self.try_again(outgoing.id, first.tries, &error).await,
            Err(Undelivered::Limited(pause)) => self.wait(outgoing.id, pause).await,
        }
    }

    /// Sends one message, unless it is there already.
    async fn deliver(
        &mut self,
        outgoing: &Outgoing,
        doubted: bool,
        tries: i32,
    ) -> Result<(MessageId, Sending), Undelivered> {
        let Some(adapter) = self.adapter.cloned() else {
            let why = format!("nothing here speaks to {}: no adapter serves its platform and workspace", self.room);
            return Err(Undelivered::Refused(why));
        };
        if doubted || tries > 0 {
            match bounded(adapter.find(outgoing)).await {
                Ok(Some(name)) => return Ok((name, Sending::Found)),
                Ok(None) => {}
                Err(SendError::Refused(why)) => {
                    // A platform that does not let us look must not silence us: a double is better than nothing.
                    tracing::warn!(room = %self.room, outbox = %outgoing.id, why, "cannot look for a message; sending it");
                }
                Err(error @ (SendError::RetryAfter(_) | SendError::Unknown(_))) => {
                    return Err(Undelivered::Doubtful(error));
                }
            }
        }
        // What leaves nothing that could be found says nothing about those behind it.
        if doubted && outgoing.edits.is_none() && outgoing.message.only_to.is_none() {
            self.in_doubt = None;
        }
        match self.send(adapter.as_ref(), outgoing).await {
            Ok(name) => Ok((name, Sending::Sent)),
            Err(SendError::Refused(why)) => Err(Undelivered::Refused(why)),
            Err(SendError::RetryAfter(pause)) => Err(Undelivered::Limited(pause)),
            Err(error @ SendError::Unknown(_)) => Err(Undelivered::Doubtful(error)),
        }
    }

    fn note_time(&self, created_at: DateTime<Utc>) {
        let took = self.sender.store.clock().now() - created_at;
        metrics::message_took(took.to_std().unwrap_or_default());
    }

    /// Sends one message. If the platform takes its time, those before it are marked meanwhile.
    async fn send(&mut self, adapter: &dyn Adapter, outgoing: &Outgoing) -> Result<MessageId, SendError> {
        let mut sending = pin!(bounded(adapter.send(outgoing)));
        if !self.unmarked.is_empty() {
            tokio::select! {
                biased;
                sent = &mut sending => return sent,
                () = sleep_until(self.unmarked_since + MARK_WITHIN) => {}
            }
            // Both go on, so that a platform's answer does not wait for the database.
            let (sent, ()) = tokio::join!(sending, self.mark());
            return sent;
        }
        sending.await
    }

    /// Marks what was sent, for as long as it takes: the lease ends it.
    async fn mark(&mut self) {
        if self.unmarked.is_empty() {
            return;
        }
        loop {
            let store = &self.sender.store;
            let marked = if self.roles_unmarked {
                store.set_sent(&self.unmarked).await
            } else {
                store.set_sent_plain(&self.unmarked).await
            };
            let Err(error) = marked else { break };
            tracing::warn!(room = %self.room, error = %chain(&error), "sent messages cannot be marked; trying again");
            sleep(POLL / 4).await;
        }
        self.unmarked.clear();
        self.roles_unmarked = false;
    }

    /// The platform wants to be left alone: the message did not arrive, and need not be looked for.
    async fn wait(&mut self, id: OutboxId, pause: Duration) -> Result<Sent, StoreError> {
        let until = self.hold_back(id, pause).await;
        tracing::info!(room = %self.room, outbox = %id, pause = ?pause, "the platform wants to be left alone");
        self.sender.store.set_wait(id, until).await?;
        Ok(Sent::Waits)
    }

    async fn try_again(&mut self, id: OutboxId, tries: i32, error: &SendError) -> Result<Sent, StoreError> {
        let pause = match error {
            SendError::RetryAfter(pause) => *pause,
            SendError::Unknown(_) | SendError::Refused(_) => pause_after(tries),
        };
        let until = self.hold_back(id, pause).await;
        tracing::info!(room = %self.room, outbox = %id, %error, pause = ?pause, "a message is tried again");
        self.sender.store.set_try_again(id, until).await?;
        Ok(Sent::Waits)
    }

    /// Takes a row out of what waits whose message would stand in the place of one that nobody can see.
    async fn drop_row(&mut self, id: OutboxId) -> Result<(), StoreError> {
        tracing::info!(room = %self.room, outbox = %id, "a change was dropped: what it changes was given up");
        self.note_over(id);
        self.sender.store.set_failed(id, "what it changes was given up").await
    }

    /// Holds a message back, and marks what went before it. Until when, by the store's clock.
    async fn hold_back(&mut self, id: OutboxId, pause: Duration) -> DateTime<Utc> {
        self.held_back = Some(id);
        self.slow = true;
        metrics::message(Sending::Retried);
        self.mark().await;
        self.try_at = Instant::now().checked_add(pause);
        let now = self.sender.store.clock().now();
        let until = TimeDelta::from_std(pause).ok().and_then(|pause| now.checked_add_signed(pause));
        until.unwrap_or_else(|| now + LONGEST_PAUSE)
    }

    async fn give_up(&mut self, id: OutboxId, why: &str) -> Result<Sent, StoreError> {
        self.note_over(id);
        tracing::warn!(room = %self.room, outbox = %id, why, "a message was given up");
        metrics::message(Sending::Failed);
        self.sender.store.set_failed(id, why).await?;
        Ok(Sent::Gone)
    }
}

/// Why a message was not delivered.
enum Undelivered {
    /// The platform will never take it.
    Refused(String),
    /// It did not arrive; the platform wants to be left alone for so long.
    Limited(Duration),
    /// It may have arrived, or nobody could look.
    Doubtful(SendError),
}

/// Bounds what an adapter does: a platform that does not answer leaves the fate unknown.
async fn bounded<T>(doing: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
    let late = || SendError::Unknown(format!("nothing for {} s", SEND_AT_MOST.as_secs()));
    timeout(SEND_AT_MOST, doing).await.unwrap_or_else(|_| Err(late()))
}

/// The pause before the next try: 1 s, 2 s, 4 s and so on, at most a minute.
fn pause_after(tries: i32) -> Duration {
    let doublings = u32::try_from(tries).unwrap_or(0).min(6);
    Duration::from_secs(1 << doublings).min(LONGEST_PAUSE)
}

/// An error with its causes, in one line for the operator.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// A text of more messages than this is shown as a file, where it may be and the platform takes files.
pub const MOST_MESSAGES: usize = 3;

/// Cuts a text into messages of at most `limit` characters: at ends of lines, else at spaces, and within a word only if
/// the word alone is longer. Nothing but the one line break or space at each cut is left out, and parts of nothing but
/// white space. A text that fits is one part, unchanged.
pub fn split(text: &str, limit: usize) -> Vec<String> {
    let limit = limit.max(1);
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((end, _)) = rest.char_indices().nth(limit) {
        // The part may reach up to `end`, and the character at `end` may be the border itself.
        let next = rest[end..].chars().next().map_or(end, |c| end + c.len_utf8());
        let border = |c: char| rest[..next].rfind(c);
        let (cut, resume) = match border('\n').or_else(|| border(' ')) {
            Some(at) => (at, at + 1),
            None => (end, end),
        };
        parts.push(&rest[..cut]);
        rest = &rest[resume..];
    }
    parts.push(rest);
    if parts.len() > 1 {
        parts.retain(|part| !part.trim().is_empty());
    }
    parts.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let pauses: Vec<u64> = (-1..9).map(|tries| pause_after(tries).as_secs()).collect();
        assert_eq!(pauses, [1, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(pause_after(i32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn what_fits_is_one_part_as_it_is() {
        for text in ["", " ", "a", "a\n\nb  c\n"] {
            assert_eq!(split(text, 8), [text]);
        }
    }

    #[test]
    fn it_cuts_at_lines_then_at_spaces_then_anywhere() {
        assert_eq!(split("one\ntwo three\nfour", 13), ["one\ntwo three", "four"]);
        assert_eq!(split("one two three", 8), ["one two", "three"]);
        assert_eq!(split("one two three", 7), ["one two", "three"]);
        assert_eq!(split("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(split("größer", 2), ["gr", "öß", "er"]);
        assert_eq!(split("1 run\n  supervisorctl  start", 24), ["1 run", "  supervisorctl  start"]);
        assert_eq!(split("a\n\n\n\n\nb", 2), ["a\n", "b"]);
    }

    proptest! {
        #[test]
        fn parts_fit_and_lose_no_word(text in "[a-zä😀 \n]{0,200}", limit in 1_usize..40) {
            let parts = split(&text, limit);
            prop_assert!(!parts.is_empty());
            prop_assert!(parts.iter().all(|part| part.chars().count() <= limit));
            let ink = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(ink(&parts.concat()), ink(&text));
        }

        #[test]
        fn words_that_fit_stay_whole(text in "[a-z]{1,9}([ \n]{1,3}[a-z]{1,9}){0,30}", limit in 9_usize..40) {
            let parts = split(&text, limit);
            let joined = parts.join("\n");
            prop_assert_eq!(joined.split_whitespace().collect::<Vec<_>>(), text.split_whitespace().collect::<Vec<_>>());
        }
    }
}

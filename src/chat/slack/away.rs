//! Coming back: what was said while nobody listened is read from the channels' histories.
//!
//! What lives here: when to read, what to read, and for how long. What does not: what is done with what was found, and
//! since when a room has not been heard (both `flow`, behind [`Attendance`]); and listening itself (`socket`, `requests`).
//!
//! **The position is stored, not guessed.** The newest line of the inbox would not do as one: a line that is delivered
//! while older ones are still being read would hide them for ever after a crash. So each declared room has a moment up to
//! which everything is known to be recorded. It moves for two reasons alone: a reading of its history has ended, or the
//! room was heard without a break since the last one did. While the bot hears it follows every few seconds, so that after
//! a crash it also tells since when the bot was away.
//!
//! **When.** After every opening of a socket, after the start, when a delivery could not be kept, when Slack says that it
//! delivers something again over HTTP (then others may have been given up), when the bot comes back to a room, and when the
//! catalog declares a new one. Each reading begins an hour before the position: Slack's and our clock may differ, and a
//! delivery may have been given up unseen. What is known already does nothing (I6).
//!
//! **What.** The history of the channel since then, and the replies in its threads: those of messages found there, and
//! those that whoever keeps the lines names, for a reply in an old thread does not appear in a history. Undeclared channels
//! and direct messages are not read. A deletion leaves nothing that could be found. News of a room are not in its history
//! either.
//!
//! **Order.** What is delivered by a socket that has just opened waits for the reading, for [`HOLDS`] at most: whatever was
//! said before is dealt with before it. Beyond that, and where Slack limits the reading, people's answers are worth more
//! than the order of two lines of which one is late; a command that is late does not act anyway.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::PLATFORM;
use super::api::Slack;
use super::hand_over::Names;
use super::inbound::{Reader, time};
use crate::chat::{Attendance, FoundInRoom, Gap, SendError};
use crate::model::chat::{Account, Incoming, RoomAddress};
use crate::store::Clock;

/// How long what a new socket delivers may wait for the reading. Slack wants an answer within 3 s.
pub const HOLDS: Duration = Duration::from_secs(2);

/// How often the position follows.
const FOLLOWS_EVERY: Duration = Duration::from_secs(3);
/// How often the catalog is looked at for rooms that are new.
const LOOKS_EVERY: Duration = Duration::from_secs(60);
/// After what could not be kept, how long Slack has to deliver it again before the history is read.
const SUSPECTS_FOR: Duration = Duration::from_secs(30);
/// The pause after a reading failed; it doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Messages on one page.
const PAGE: usize = 200;
/// Pages of a channel that are read; with [`PAGE`] what one reading takes in of it at most.
const PAGES: usize = 10;
/// Pages of each thread.
const THREAD_PAGES: usize = 5;
/// Threads of a channel that are read: the newest of the history, after those that were asked for.
const THREADS: usize = 40;

/// How a workspace is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ear {
    /// Through a socket: it gives signs of itself, and was heard up to the last of them.
    Socket,
    /// By requests: it is heard as long as they are served.
    Requests,
}

/// What reads the histories of one workspace.
pub struct Away {
    slack: Arc<Slack>,
    attendance: Arc<dyn Attendance>,
    names: Names,
    clock: Clock,
    ear: Ear,
    state: Mutex<State>,
    wake: Notify,
    /// The last look of which every room was read, or found closed.
    done: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// Which look is due. A room that was read for an earlier one has to be read again.
    look: u64,
    /// Rooms of which nothing is missing as long as they are heard.
    whole: BTreeSet<RoomAddress>,
    /// When to look again, as something could not be kept.
    suspects: Option<Instant>,
}

/// Why a room could not be read.
#[derive(Debug)]
enum Unread {
    /// The bot cannot get in: it is not in the channel, or there is none.
    Closed(String),
    /// Not now.
    Later(Duration),
    /// Something failed.
    Failed(String),
}

impl From<SendError> for Unread {
    fn from(error: SendError) -> Self {
        match error {
            SendError::RetryAfter(pause) => Self::Later(pause),
            SendError::Unknown(why) => Self::Failed(why),
            SendError::Refused(why) => Self::Closed(why),
        }
    }
}

impl Away {
    /// Something that reads for a workspace. Nothing of it is known yet: a reading is due.
    pub fn new(slack: Arc<Slack>, attendance: Arc<dyn Attendance>, names: Names, clock: Clock, ear: Ear) -> Self {
        let state = State { look: 1, whole: BTreeSet::new(), suspects: None };
        let (state, wake, done) = (Mutex::new(state), Notify::new(), watch::Sender::new(0));
        Self { slack, attendance, names, clock, ear, state, wake, done }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it holds this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing is heard any more: whatever is said from now on has to be read. To be called before anything is heard again.
    pub fn lost(&self) {
        let mut state = self.state();
        state.look += 1;
        state.whole.clear();
    }

    /// It is heard again: what was said meanwhile is read now.
    pub fn heard(&self) {
        self.wake.notify_one();
    }

    /// Something could not be kept, or was delivered again: unless it comes by itself, it is found in the history.
    pub fn suspect(&self) {
        self.state().suspects.get_or_insert_with(|| Instant::now() + SUSPECTS_FOR);
        self.wake.notify_one();
    }

    /// A room was closed, or is open again.
    pub fn look_again(&self, room: &RoomAddress) {
        let mut state = self.state();
        state.look += 1;
        state.whole.remove(room);
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until everything has been read that was missing when this was called.
    pub async fn whole(&self) {
        let look = self.state().look;
        let mut done = self.done.subscribe();
        // An error means that nobody reads any more: then there is nothing to wait for.
        drop(done.wait_for(|done| *done >= look).await);
    }

    /// Reads whenever it is due, until told to stop.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut looked = None::<Instant>;
        let mut pause = SHORTEST_PAUSE;
        // When to try again what could not be read.
        let mut again = None::<Instant>;
        while !*stop.borrow() {
            let round = self.round(&mut looked, &mut again, &mut pause);
            tokio::select! {
                () = round => {}
                _ = stop.changed() => return,
            }
            let now = Instant::now();
            let next = [again, self.state().suspects].into_iter().flatten().min();
            let next = next.map_or(FOLLOWS_EVERY, |at| at.saturating_duration_since(now).min(FOLLOWS_EVERY));
            tokio::select! {
                () = sleep(next) => {}
                () = self.wake.notified() => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn round(&self, looked: &mut Option<Instant>, again: &mut Option<Instant>, pause: &mut Duration) {
        if self.slack.hearing().deaf_for().is_some() {
            return;
        }
        self.follow().await;
        let now = Instant::now();
        let look = {
            let mut state = self.state();
            if state.suspects.is_some_and(|at| at <= now) {
                state.suspects = None;
                state.look += 1;
                state.whole.clear();
            }
            state.look
        };
        let due = *self.done.borrow() < look;
        let waits = again.is_some_and(|at| at > now);
        if waits || !(due || again.is_some() || looked.is_none_or(|at| now - at >= LOOKS_EVERY)) {
            return;
        }
        *looked = Some(now);
        match self.look(look).await {
            Ok(()) => {
                (*again, *pause) = (None, SHORTEST_PAUSE);
                self.done.send_if_modified(|done| std::mem::replace(done, look.max(*done)) < look);
            }
            Err(wait) => {
                *again = Some(Instant::now() + wait.unwrap_or(*pause));
                *pause = (*pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Says which rooms are still heard.
    async fn follow(&self) {
        let hearing = self.slack.hearing();
        let at = self.clock.now();
        let silence = match (self.ear, hearing.last_heard()) {
            (Ear::Socket, Some(silence)) => silence,
            (Ear::Socket, None) => return,
            (Ear::Requests, _) => Duration::ZERO,
        };
        // Looked at last: a room that is whole now was heard without a break when the ear was asked.
        let rooms: Vec<RoomAddress> = self.state().whole.iter().cloned().collect();
        let Ok(silence) = TimeDelta::from_std(silence) else { return };
        if rooms.is_empty() {
            return;
        }
        if let Err(error) = self.attendance.present(&rooms, at - silence).await {
            tracing::debug!(error = ?error.0, "it could not be noted up to when rooms were heard");
        }
    }

    /// Reads every room of which something may be missing. An error: some could not be read; for how long to wait, if
    /// Slack says.
    async fn look(&self, look: u64) -> Result<(), Option<Duration>> {
        let gaps = match self.attendance.gaps(self.slack.hearing().workspace()).await {
            Ok(gaps) => gaps,
            Err(error) => {
                tracing::warn!(error = %error.0, "it is not known what was missed; trying again");
                return Err(None);
            }
        };
        let declared: BTreeSet<&RoomAddress> = gaps.iter().map(|gap| &gap.room).collect();
        let missing: Vec<&Gap> = {
            let mut state = self.state();
            state.whole.retain(|room| declared.contains(room));
            gaps.iter().filter(|gap| !state.whole.contains(&gap.room)).collect()
        };
        let mut result = Ok(());
        for gap in missing {
            let room = &gap.room;
            match self.catch_up(gap).await {
                Ok(open) => {
                    match open {
                        Open::Yes => self.slack.hearing().open_room(&room.channel),
                        Open::Archived => self.closed(room, "it is archived"),
                    }
                    let mut state = self.state();
                    // Otherwise it was lost meanwhile, and this reading is not the last word.
                    if state.look == look {
                        state.whole.insert(room.clone());
                    }
                }
                Err(Unread::Closed(why)) => self.closed(room, &why),
                Err(Unread::Later(wait)) => {
                    tracing::info!(%room, ?wait, "Slack wants the reading of what was missed to wait");
                    return Err(Some(wait));
                }
                Err(Unread::Failed(why)) => {
                    tracing::warn!(%room, why, "what was missed in a room cannot be read; trying again");
                    result = Err(None);
                }
            }
        }
        result
    }

    /// Said once, until it is open again.
    fn closed(&self, room: &RoomAddress, why: &str) {
        if self.slack.hearing().close_room(&room.channel) {
            tracing::error!(%room, why, "a declared room is closed to the bot");
        }
    }

    async fn catch_up(&self, gap: &Gap) -> Result<Open, Unread> {
        let until = self.clock.now();
        let room = &gap.room;
        let about: About = self.ask("conversations.info", vec![("channel", Some(room.channel.clone()))]).await?;
        if !about.channel.is_member {
            return Err(Unread::Closed("the bot is not in the channel; invite it".to_owned()));
        }
        let (found, unread_until) = match gap.since {
            Some(since) => self.read(gap, since).await?,
            None => (Vec::new(), None),
        };
        let found = FoundInRoom { room: room.clone(), found, until, unread_until };
        // Why is said where it failed.
        let kept = self.attendance.caught_up(found).await;
        kept.map_err(|_| Unread::Failed("it could not be kept".to_owned()))?;
        Ok(if about.channel.is_archived { Open::Archived } else { Open::Yes })
    }

    /// What was said in a room and its threads, in order; and before when something is missing.
    async fn read(&self, gap: &Gap, since: DateTime<Utc>) -> Result<(Vec<Incoming>, Option<DateTime<Utc>>), Unread> {
        let history = self.pages("conversations.history", &gap.room, None, since, PAGES).await?;
        let mut messages = history.messages;
        // What is left out of a channel is its oldest.
        let unread_until = if history.all { None } else { messages.iter().filter_map(said_at).min() };
        let asked: Vec<&str> = gap.threads.iter().map(crate::model::id::ThreadId::as_str).collect();
        for root in threads(&asked, &messages, since) {
            match self.pages("conversations.replies", &gap.room, Some(&root), since, THREAD_PAGES).await {
                Ok(replies) => {
                    if !replies.all {
                        tracing::warn!(room = %gap.room, thread = root, "more was said in a thread than is read");
                    }
                    messages.extend(replies.messages);
                }
                // The room itself could be read: it is the thread that is gone.
                Err(Unread::Closed(why)) => {
                    tracing::debug!(room = %gap.room, thread = root, why, "a thread cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        let name = |id: &str| {
            let workspace = self.slack.own().team.clone();
            (self.names)(&Account { platform: PLATFORM.to_owned(), workspace, id: id.to_owned() })
        };
        let reader = Reader { own: self.slack.own(), name: &name, now: self.clock.now() };
        let mut found: Vec<Incoming> = messages
            .iter()
            // A thread tells its first message again, however old it is.
            .filter(|message| said_at(message).is_some_and(|at| at > since))
            .flat_map(|message| reader.found(&gap.room.channel, message))
            .collect();
        let key = |incoming: &Incoming| (incoming.said_at, incoming.what.key());
        found.sort_by_cached_key(key);
        found.dedup_by_key(|incoming| incoming.what.key());
        Ok((found, unread_until))
    }

    async fn pages(
        &self,
        method: &str,
        room: &RoomAddress,
        thread: Option<&str>,
        since: DateTime<Utc>,
        most: usize,
    ) -> Result<Pages, Unread> {
        let mut messages = Vec::new();
        let mut cursor = None;
        for _ in 0..most {
            let mut fields = vec![
                ("channel", Some(room.channel.clone())),
                // Both bounds: then the newest come first, and what is too much is what is oldest.
                ("oldest", Some(stamp(since))),
                ("latest", Some(stamp(self.clock.now() + TimeDelta::days(1)))),
                ("limit", Some(PAGE.to_string())),
                ("cursor", cursor.take()),
            ];
            if let Some(root) = thread {
                fields.push(("ts", Some(root.to_owned())));
            }
            let page: Page = self.ask(method, fields).await?;
            messages.extend(page.messages);
            cursor = page.response_metadata.and_then(|page| page.next_cursor).filter(|cursor| !cursor.is_empty());
            if cursor.is_none() {
                return Ok(Pages { messages, all: true });
            }
        }
        Ok(Pages { messages, all: false })
    }

    async fn ask<T: DeserializeOwned>(&self, method: &str, fields: Vec<(&str, Option<String>)>) -> Result<T, Unread> {
        let answer = timeout(ANSWERS_WITHIN, self.slack.get(method, &fields)).await;
        let answer = answer.map_err(|_| Unread::Failed(format!("{method} was not answered in time")))??;
        T::deserialize(&answer)
            .map_err(|error| Unread::Failed(format!("{method} was answered in another shape: {error}")))
    }
}

/// How long one page may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);

/// Whether something can be said in a room that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    Archived,
}

#[derive(Debug, Deserialize)]
struct About {
    channel: AboutChannel,
}

#[derive(Debug, Deserialize)]
struct AboutChannel {
    #[serde(default)]
    is_member: bool,
    #[serde(default)]
    is_archived: bool,
}

struct Pages {
    messages: Vec<Value>,
    /// Whether there is no more.
    all: bool,
}

#[derive(Debug, Deserialize)]
struct Page {
    messages: Vec<Value>,
    response_metadata: Option<PageMetadata>,
}

#[derive(Debug, Deserialize)]
struct PageMetadata {
    next_cursor: Option<String>,
}

/// A moment as Slack writes it.
fn stamp(at: DateTime<Utc>) -> String {
    format!("{}.{:06}", at.timestamp(), at.timestamp_subsec_micros())
}

/// When a message was said, or last changed.
fn said_at(message: &Value) -> Option<DateTime<Utc>> {
    let stamp = message["edited"]["ts"].as_str().or_else(|| message["ts"].as_str());
    stamp.and_then(time)
}

/// The threads to read: those that were asked for, then those of the messages found that were replied to since, the
/// newest first. Bounded.
fn threads(asked: &[&str], messages: &[Value], since: DateTime<Utc>) -> Vec<String> {
    let mut found: Vec<(DateTime<Utc>, &str)> = messages
        .iter()
        .filter_map(|message| {
            let last = message["latest_reply"].as_str().and_then(time).filter(|last| *last > since)?;
            // Of a message that is shown in the channel as well this is the thread that it stands in.
            Some((last, message["thread_ts"].as_str().or_else(|| message["ts"].as_str())?))
        })
        .collect();
    found.sort_by(|one, other| other.cmp(one));
    let mut threads: Vec<String> = Vec::new();
    for root in asked.iter().copied().chain(found.into_iter().map(|(_, root)| root)) {
        if threads.len() < THREADS && !threads.iter().any(|known| known == root) {
            threads.push(root.to_owned());
        }
    }
    threads
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        time(text).expect("a time")
    }

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        for text in ["1700000000.000000", "1700000000.000100", "1700000001.999999"] {
            assert_eq!(stamp(at(text)), text);
        }
    }

    #[test]
    fn threads_that_were_asked_for_come_before_those_that_are_found() {
        let since = at("1700000100.000000");
        let messages = [
            json!({"ts": "1700000050.000000", "latest_reply": "1700000099.000000"}),
            json!({"ts": "1700000110.000000", "thread_ts": "1700000110.000000", "latest_reply": "1700000120.000000"}),
            json!({"ts": "1700000111.000000", "latest_reply": "1700000130.000000"}),
            json!({"ts": "1700000112.000000"}),
        ];
        assert_eq!(
            threads(&["1600000000.000000", "1700000110.000000"], &messages, since),
            ["1600000000.000000", "1700000110.000000", "1700000111.000000"]
        );
        let many: Vec<String> = (0..100).map(|number| format!("16000000{number:02}.000000")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(threads(&many, &messages, since).len(), THREADS);
    }

    #[test]
    fn an_edit_is_as_old_as_the_edit() {
        let edited = json!({"ts": "1700000000.000000", "edited": {"user": "U1", "ts": "1700000009.000000"}});
        assert_eq!(said_at(&edited), Some(at("1700000009.000000")));
        assert_eq!(said_at(&json!({"ts": "1700000000.000000"})), Some(at("1700000000.000000")));
        assert_eq!(said_at(&json!({})), None);
    }
}

//! Saying a line, and what comes back for it: shared by `say` and `console`.
//!
//! The line has a name before it is sent. If the connection breaks it may be sent again under the same name, so a bot that
//! is restarted meanwhile acts on it once (I6).

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{Client, ClientError};
use crate::model::id::{MessageId, OutboxId};
use crate::model::trace::Trace;
use crate::web::wire::{Kept, NewLine, Settled, Told};

/// How much longer than asked a server may take to say that the time is over.
const GRACE: Duration = Duration::from_secs(2);

/// Bytes of one line of a stream.
const MOST_LINE: usize = 1024 * 1024;

/// Messages of which a teller knows what they said last; older ones are told as new ones when they change.
const MOST_KNOWN: usize = 4096;

/// What a saying waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// The line's own answers.
    ForAnswers,
    /// That every run that it causes is over or waits for a person.
    ForRuns,
}

/// What a saying does when the connection breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It ends with the error.
    GivesUp,
    /// It is said again under its name while there is time.
    SaysAgain,
}

/// What comes back, a line of the stream each.
#[derive(Debug)]
pub(super) enum Heard {
    /// What was said is durable. Comes again when the line was said again.
    Kept,
    /// A message. May come again as well.
    Told(Told),
    /// The last: everything has been told.
    Settled(Settled),
    /// The last: not in time.
    TimedOut,
}

impl Heard {
    /// Reads a line of a stream.
    ///
    /// # Errors
    /// When it is not of this API.
    pub(super) fn read(line: &[u8]) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_slice(line).context("the server does not speak JSON")?;
        let has = |key: &str| value.get(key).is_some();
        let heard = if has("settled") {
            serde_json::from_value(value).map(Self::Settled)
        } else if has("timeout") {
            Ok(Self::TimedOut)
        } else if has("line") {
            serde_json::from_value::<Kept>(value).map(|_| Self::Kept)
        } else {
            serde_json::from_value(value).map(Self::Told)
        };
        heard.context("the server speaks another version of this API")
    }
}

/// How a line is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Saying<'a> {
    pub(super) client: &'a Client,
    pub(super) room: &'a str,
    pub(super) end: Instant,
    pub(super) waits: Waits,
    pub(super) broken: Broken,
}

/// Why there is no end of a saying.
enum Trouble {
    /// There, or on the way.
    Client(ClientError),
    /// On this side.
    Here(anyhow::Error),
}

impl Saying<'_> {
    /// Says a line, which has a name, and hands over each line that comes back until one makes an end of it. `None`: there
    /// was none in time.
    ///
    /// # Errors
    /// When the bot does not answer or does not take the line, in one sentence; and those of `take`.
    pub(super) async fn say<E>(
        &self,
        mut line: NewLine,
        mut take: impl FnMut(&[u8]) -> anyhow::Result<Option<E>>,
    ) -> anyhow::Result<Option<E>> {
        let mut pause = Duration::from_millis(100);
        loop {
            let left = self.end.saturating_duration_since(Instant::now());
            line.wait_ms = match self.waits {
                Waits::ForAnswers => None,
                Waits::ForRuns => Some(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
            };
            let error = match timeout_at(self.end + GRACE, self.once(&line, &mut take)).await {
                Ok(Ok(ended)) => return Ok(Some(ended)),
                Err(_) => return Ok(None),
                Ok(Err(Trouble::Here(error))) => return Err(error),
                Ok(Err(Trouble::Client(error))) => error,
            };
            if !error.may_pass() || self.broken == Broken::GivesUp || Instant::now() + pause >= self.end {
                return Err(error.into());
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn once<E>(
        &self,
        line: &NewLine,
        take: &mut impl FnMut(&[u8]) -> anyhow::Result<Option<E>>,
    ) -> Result<E, Trouble> {
        let request = self.client.request(Method::POST, &["api", "v1", "rooms", self.room, "lines"]).json(line);
        // Said in the course of something that is traced, the line is part of the same trace.
        let request = match std::env::var("TRACEPARENT").ok().filter(|trace| Trace::from_traceparent(trace).is_some()) {
            Some(trace) => request.header("traceparent", trace.trim()),
            None => request,
        };
        let mut lines = Lines::of(self.client.send(request).await.map_err(Trouble::Client)?);
        loop {
            let line = match lines.next().await {
                Ok(Some(line)) => line,
                Ok(None) => return Err(Trouble::Client(self.client.ended_early())),
                Err(error) => return Err(Trouble::Client(self.client.away(&error))),
            };
            if let Some(ended) = take(&line).map_err(Trouble::Here)? {
                return Ok(ended);
            }
        }
    }
}

/// The lines of a stream.
pub(super) struct Lines {
    response: Response,
    buffer: Vec<u8>,
}

impl Lines {
    pub(super) fn of(response: Response) -> Self {
        Self { response, buffer: Vec::new() }
    }

    /// The next whole line; `None` at the end. A line that the end cut off, or that is too long, is no line. Waiting may
    /// be given up at any time: nothing is lost.
    pub(super) async fn next(&mut self) -> reqwest::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=at).collect();
                line.pop();
                return Ok(Some(line));
            }
            match self.response.chunk().await? {
                Some(chunk) if self.buffer.len() + chunk.len() <= MOST_LINE => self.buffer.extend_from_slice(&chunk),
                Some(_) | None => return Ok(None),
            }
        }
    }
}

/// Knows what was told already: each message is told once, and of a changed one only the lines that are new.
#[derive(Debug, Default)]
pub(super) struct Teller {
    numbers: BTreeSet<OutboxId>,
    /// The lines of each message as last told, and the number under which.
    versions: HashMap<MessageId, (OutboxId, Vec<String>)>,
}

impl Teller {
    /// Whether a message was not told yet. From now on it was.
    pub(super) fn is_new(&mut self, told: &Told) -> bool {
        if self.numbers.len() >= 2 * MOST_KNOWN {
            // Far older ones come no more.
            while self.numbers.len() > MOST_KNOWN {
                self.numbers.pop_first();
            }
            let oldest = self.numbers.first().copied();
            self.versions.retain(|_, (number, _)| Some(*number) >= oldest);
        }
        self.numbers.insert(told.number)
    }

    /// The lines of a message that are to be shown, none of which moves a cursor.
    pub(super) fn lines(&mut self, told: &Told) -> Vec<String> {
        let lines: Vec<String> = told.text.lines().map(escaped).collect();
        let former = self.versions.remove(&told.id).filter(|_| told.edits).map(|(_, lines)| lines).unwrap_or_default();
        let new = lines.iter().filter(|line| !former.contains(line)).cloned().collect();
        self.versions.insert(told.id.clone(), (told.number, lines));
        new
    }
}

/// A line that moves no cursor: what it holds may come from anywhere.
pub(super) fn escaped(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() && c != '\t' { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// A name that nobody has given before.
///
/// # Errors
/// When the system gives no randomness.
pub(super) fn random_name() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no randomness from the system")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Reads how long to wait: `30s`, at most a day.
///
/// # Errors
/// With what to write instead.
pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    let wait = humantime::parse_duration(text).map_err(|_| "write it as 30s, 5m or 1h30m".to_owned())?;
    if wait > Duration::from_secs(24 * 60 * 60) { Err("at most a day".to_owned()) } else { Ok(wait) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: i64, id: &str, edits: bool, text: &str) -> Told {
        Told {
            number: OutboxId(number),
            at: chrono::DateTime::UNIX_EPOCH,
            id: MessageId::new(id),
            thread: None,
            edits,
            only_to: None,
            text: text.to_owned(),
            buttons: Vec::new(),
        }
    }

    #[test]
    fn a_teller_forgets_what_is_long_past_and_nothing_else() {
        let mut teller = Teller::default();
        for number in 1..=3 * i64::try_from(MOST_KNOWN).expect("small") {
            let message = told(number, &format!("m{number}"), false, "x");
            assert!(teller.is_new(&message));
            assert!(!teller.is_new(&message));
            assert_eq!(teller.lines(&message), ["x"]);
        }
        assert!(teller.numbers.len() <= 2 * MOST_KNOWN && teller.versions.len() <= 2 * MOST_KNOWN);
        let newest = teller.numbers.last().expect("some").0;
        let edit = told(newest + 1, &format!("m{newest}"), true, "x\ny");
        assert!(teller.is_new(&edit));
        assert_eq!(teller.lines(&edit), ["y"]);
    }
}

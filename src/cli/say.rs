//! `countersign say`: one line into the local room, and what comes of it.
//!
//! The line has a name before it is sent. If the connection breaks, it is sent again under the same name until the wait
//! is over, so a bot that is restarted meanwhile acts on it once (I6); messages that were printed already are known by
//! their number.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, Response};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::client::{BaseUrl, Client, ClientError, find_token};
use crate::model::id::{MessageId, OutboxId};
use crate::model::trace::Trace;
use crate::web::wire::{NewLine, Settled, SettledAs, Told};

/// How long the whole may take without `--wait`.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// How much longer than asked a server may take to say that the time is over.
const GRACE: Duration = Duration::from_secs(2);

/// Bytes of one line of the stream.
const MOST_LINE: usize = 1024 * 1024;

/// Says one line in the local room of a running bot and prints what comes of it.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the bot listens: what `countersign up` printed after `ready`.
    #[arg(long, value_name = "URL")]
    pub server: BaseUrl,
    /// Who speaks.
    #[arg(long = "as", value_name = "PERSON")]
    pub speaker: String,
    /// In which room.
    #[arg(long)]
    pub room: String,
    /// In which thread of it.
    #[arg(long)]
    pub thread: Option<String>,
    /// What makes the line itself: said again under the same id, it is a redelivery and does not act again.
    #[arg(long, value_name = "ID")]
    pub message_id: Option<String>,
    /// Wait until every run that the line caused is over or waits for a person, at most this long (such as 30s).
    #[arg(long, value_name = "DURATION", value_parser = parse_wait)]
    pub wait: Option<Duration>,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// The bot's data directory, which holds the token [env: COUNTERSIGN_DATA; the token itself: COUNTERSIGN_TOKEN].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What to say; words are joined by spaces.
    #[arg(required = true, value_name = "TEXT")]
    pub text: Vec<String>,
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    let wait = humantime::parse_duration(text).map_err(|_| "write it as 30s, 5m or 1h30m".to_owned())?;
    if wait > Duration::from_secs(24 * 60 * 60) { Err("at most a day".to_owned()) } else { Ok(wait) }
}

/// Says the line. The exit code: 0 done or waiting, 1 refused, failed, stuck or not in time.
///
/// # Errors
/// When the token is missing, or the bot does not answer or does not take the line; one sentence.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let client = Client::new(args.server.clone(), find_token(args.data.as_deref())?)?;
    speak(&args, &client, &mut io::stdout(), &mut io::stderr()).await
}

/// Says the line with a given client, and writes to given places.
///
/// # Errors
/// As [`run`].
pub async fn speak(
    args: &Args,
    client: &Client,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> anyhow::Result<u8> {
    let mut line = NewLine {
        speaker: args.speaker.clone(),
        text: args.text.join(" "),
        thread: args.thread.clone(),
        message_id: Some(args.message_id.clone().map_or_else(random_id, Ok)?),
        wait_ms: None,
    };
    let end = Instant::now() + args.wait.unwrap_or(ANSWER_WITHIN);
    let mut printer = Printer::new(out, args.json);
    let mut pause = Duration::from_millis(100);
    loop {
        let left = end.saturating_duration_since(Instant::now());
        line.wait_ms = args.wait.map(|_| u64::try_from(left.as_millis()).unwrap_or(u64::MAX));
        let ended = match timeout_at(end + GRACE, say_once(client, &args.room, &line, &mut printer)).await {
            Ok(ended) => ended,
            Err(_) => Ok(Ended::TimedOut),
        };
        match ended {
            Ok(Ended::Settled(settled)) => return conclude(&settled, err),
            Ok(Ended::TimedOut) => {
                let waited = args.wait.unwrap_or(ANSWER_WITHIN);
                writeln!(err, "no end within {}", humantime::format_duration(waited))?;
                return Ok(1);
            }
            Err(Trouble::Client(error)) if error.may_pass() && args.wait.is_some() => {
                if Instant::now() + pause >= end {
                    return Err(error.into());
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            Err(Trouble::Client(error)) => return Err(error.into()),
            Err(Trouble::Here(error)) => return Err(error),
        }
    }
}

/// How a stream ended.
enum Ended {
    Settled(Settled),
    TimedOut,
}

/// Why it did not.
enum Trouble {
    /// There, or on the way.
    Client(ClientError),
    /// On this side.
    Here(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Here(error)
    }
}

async fn say_once(client: &Client, room: &str, line: &NewLine, printer: &mut Printer<'_>) -> Result<Ended, Trouble> {
    let request = client.request(Method::POST, &["api", "v1", "rooms", room, "lines"]).json(line);
    // Said in the course of something that is traced, the line is part of the same trace.
    let request = match std::env::var("TRACEPARENT").ok().filter(|trace| Trace::from_traceparent(trace).is_some()) {
        Some(trace) => request.header("traceparent", trace.trim()),
        None => request,
    };
    let mut lines = Lines { response: client.send(request).await.map_err(Trouble::Client)?, buffer: Vec::new() };
    loop {
        let line = match lines.next().await {
            Ok(Some(line)) => line,
            Ok(None) => {
                let why = "the connection ended early".to_owned();
                return Err(Trouble::Client(ClientError::Away { base: client.base().to_string(), why }));
            }
            Err(error) => return Err(Trouble::Client(client.away(&error))),
        };
        if let Some(ended) = printer.take(&line)? {
            return Ok(ended);
        }
    }
}

/// The lines of a stream.
struct Lines {
    response: Response,
    buffer: Vec<u8>,
}

impl Lines {
    /// The next whole line; `None` at the end. A line that the end cut off, or that is too long, is no line.
    async fn next(&mut self) -> reqwest::Result<Option<Vec<u8>>> {
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

/// Prints each message once.
struct Printer<'a> {
    out: &'a mut (dyn Write + Send),
    json: bool,
    kept: bool,
    printed: HashSet<OutboxId>,
    /// The lines of each message as last printed.
    versions: HashMap<MessageId, Vec<String>>,
}

impl<'a> Printer<'a> {
    fn new(out: &'a mut (dyn Write + Send), json: bool) -> Self {
        Self { out, json, kept: false, printed: HashSet::new(), versions: HashMap::new() }
    }

    fn take(&mut self, line: &[u8]) -> anyhow::Result<Option<Ended>> {
        let value: Value = serde_json::from_slice(line).context("the server does not speak JSON")?;
        let has = |key: &str| value.get(key).is_some();
        let read = "the server speaks another version of this API";
        if has("settled") {
            self.raw(line)?;
            return Ok(Some(Ended::Settled(serde_json::from_value(value).context(read)?)));
        }
        if has("timeout") {
            self.raw(line)?;
            return Ok(Some(Ended::TimedOut));
        }
        if has("line") {
            if !std::mem::replace(&mut self.kept, true) {
                self.raw(line)?;
            }
            return Ok(None);
        }
        let told: Told = serde_json::from_value(value).context(read)?;
        if self.printed.insert(told.number) {
            self.raw(line)?;
            self.show(told)?;
        }
        Ok(None)
    }

    fn raw(&mut self, line: &[u8]) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        self.out.write_all(line)?;
        self.out.write_all(b"\n")?;
        self.out.flush()
    }

    fn show(&mut self, told: Told) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let lines: Vec<String> = told.text.lines().map(escaped).collect();
        let former = self.versions.remove(&told.id).filter(|_| told.edits).unwrap_or_default();
        let mut mark = told.only_to.map_or("", |_| "(to you) ");
        for line in lines.iter().filter(|line| !former.contains(line)) {
            writeln!(self.out, "{mark}{line}")?;
            mark = "";
        }
        self.versions.insert(told.id, lines);
        self.out.flush()
    }
}

/// A line that moves no cursor: what it holds may come from anywhere.
fn escaped(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() && c != '\t' { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    shown
}

/// The exit code, and one line on what went wrong.
fn conclude(settled: &Settled, err: &mut (dyn Write + Send)) -> anyhow::Result<u8> {
    let run = settled.run.map_or_else(|| "the run".to_owned(), |run| format!("run {run}"));
    match (settled.settled, settled.state.as_deref()) {
        (SettledAs::Refused, _) => writeln!(err, "refused; the answer says why")?,
        (_, Some("failed")) => writeln!(err, "{run} failed")?,
        (_, Some("stuck")) => writeln!(err, "{run} is stuck: somebody must judge it")?,
        (SettledAs::Done | SettledAs::Waiting, _) => return Ok(0),
    }
    Ok(1)
}

fn random_id() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("no randomness from the system")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    fn printed(json: bool, lines: &[&str]) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, json);
        for line in lines {
            drop(printer.take(line.as_bytes()).expect("a line of ours"));
        }
        String::from_utf8(out).expect("text")
    }

    fn told(number: i64, id: &str, edits: bool, only_to: Option<&str>, text: &str) -> String {
        let told = Told {
            number: OutboxId(number),
            at: chrono::DateTime::from_timestamp(1_000_000, 0).expect("a time"),
            id: MessageId::new(id),
            thread: None,
            edits,
            only_to: only_to.map(str::to_owned),
            text: text.to_owned(),
            buttons: Vec::new(),
        };
        serde_json::to_string(&told).expect("JSON")
    }

    #[test]
    fn an_edit_prints_what_is_new_and_a_double_nothing() {
        let lines = [
            r#"{"line":1,"delivery":"first","message_id":"x"}"#.to_owned(),
            told(1, "m1", false, None, "Starting.\n1 started run"),
            told(1, "m1", false, None, "Starting.\n1 started run"),
            told(2, "m1", true, None, "Starting.\n1 done run"),
            told(3, "m1", true, None, "Starting.\n1 done run\n2 started check"),
            told(4, "m4", false, Some("mei"), "Only you see this.\nAll of it."),
            told(5, "m5", false, None, "a\u{1b}[31mb"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        insta::assert_snapshot!(printed(false, &lines), @r"
        Starting.
        1 started run
        1 done run
        2 started check
        (to you) Only you see this.
        All of it.
        a\u{1b}[31mb
        ");
    }

    #[test]
    fn json_prints_each_object_once_and_keeps_them_as_they_are() {
        let message = told(1, "m1", false, None, "x");
        let kept = r#"{"line":1,"delivery":"first","message_id":"x"}"#;
        let again = r#"{"line":1,"delivery":"again","message_id":"x"}"#;
        let settled = r#"{"settled":"done","run":null,"thread":null,"request":null,"state":null,"later":1}"#;
        let text = printed(true, &[kept, &message, again, &message, settled]);
        assert_eq!(text.lines().collect::<Vec<_>>(), [kept, &message, settled]);
    }

    #[test]
    fn exit_codes_say_whether_it_went_well() {
        let code = |settled, state: Option<&str>| {
            let state = state.map(str::to_owned);
            let run = state.as_ref().map(|_| crate::model::id::RunId(12));
            let settled = Settled { settled, run, thread: None, request: None, state };
            let mut err = Vec::new();
            let code = conclude(&settled, &mut err).expect("a code");
            format!("{code} {}", String::from_utf8(err).expect("text").trim_end())
        };
        assert_eq!(code(SettledAs::Done, None), "0 ");
        for state in ["succeeded", "denied", "withdrawn", "stopped", "expired", "running"] {
            assert_eq!(code(SettledAs::Done, Some(state)), "0 ", "{state}");
        }
        assert_eq!(code(SettledAs::Waiting, Some("awaiting_approval")), "0 ");
        assert_eq!(code(SettledAs::Refused, None), "1 refused; the answer says why");
        assert_eq!(code(SettledAs::Done, Some("failed")), "1 run 12 failed");
        assert_eq!(code(SettledAs::Waiting, Some("stuck")), "1 run 12 is stuck: somebody must judge it");
    }

    #[test]
    fn arguments_are_as_promised() {
        let parse = |line: &str| Program::try_parse_from(line.split(' ')).map(|program| program.args);
        let args = parse(
            "say --server http://127.0.0.1:1 --as mei --room system-a --thread m1 --message-id x --wait 30s --json \
             --data /d start service b",
        )
        .expect("arguments");
        assert_eq!((args.text.join(" "), args.wait), ("start service b".to_owned(), Some(Duration::from_secs(30))));
        for wrong in [
            "say --server http://h:1 --as mei --room r",
            "say --server nonsense:// --as mei --room r x",
            "say --server http://h:1 --as mei --room r --wait long x",
            "say --server http://h:1 --as mei --room r --wait 2days x",
            "say --server http://h:1 --room r x",
        ] {
            assert_eq!(parse(wrong).map_err(|error| error.exit_code()).expect_err("wrong"), 2, "{wrong}");
        }
    }
}

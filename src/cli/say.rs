//! `countersign say`: one line into the local room, and what comes of it.
//!
//! What lives here: printing, and the exit code. What does not: saying it, once, over a connection that may break (`line`).

use std::io::{self, Write};
use std::time::Duration;

use tokio::time::Instant;

use super::client::{Client, ServerArgs};
use super::line::{Broken, Heard, Saying, Teller, Waits, parse_wait, random_name};
use crate::web::wire::{NewLine, Settled, SettledAs, Told};

/// How long the whole may take without `--wait`.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Say one line in the local room of a running bot and prints what comes of it.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which bot; the help has the words of its two flags.
    #[command(flatten)]
    pub at: ServerArgs,
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
    /// What to say; words are joined by spaces.
    #[arg(required = true, value_name = "TEXT")]
    pub text: Vec<String>,
}

/// Says the line. The exit code: 0 done or waiting, 1 refused, failed, stuck or not in time.
///
/// # Errors
/// When the token is missing, or the bot does not answer or does not take the line; one sentence.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    speak(&args, &args.at.client()?, &mut io::stdout(), &mut io::stderr()).await
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
    let line = NewLine {
        speaker: args.speaker.clone(),
        text: args.text.join(" "),
        thread: args.thread.clone(),
        message_id: Some(args.message_id.clone().map_or_else(random_name, Ok)?),
        wait_ms: None,
    };
    let waited = args.wait.unwrap_or(ANSWER_WITHIN);
    let (waits, broken) = match args.wait {
        None => (Waits::ForAnswers, Broken::GivesUp),
        Some(_) => (Waits::ForRuns, Broken::SaysAgain),
    };
    let mut printer = Printer::new(out, args.json);
    let saying = Saying { client, room: &args.room, end: Instant::now() + waited, waits, broken };
    match saying.say(line, |line| printer.take(line)).await? {
        Some(Ended::Settled(settled)) => conclude(&settled, err),
        Some(Ended::TimedOut) | None => {
            writeln!(err, "no end within {}", humantime::format_duration(waited))?;
            Ok(1)
        }
    }
}

/// How a stream ended.
enum Ended {
    Settled(Settled),
    TimedOut,
}

/// Prints each message once.
struct Printer<'a> {
    out: &'a mut (dyn Write + Send),
    json: bool,
    kept: bool,
    teller: Teller,
}

impl<'a> Printer<'a> {
    fn new(out: &'a mut (dyn Write + Send), json: bool) -> Self {
        Self { out, json, kept: false, teller: Teller::default() }
    }

    fn take(&mut self, line: &[u8]) -> anyhow::Result<Option<Ended>> {
        match Heard::read(line)? {
            Heard::Settled(settled) => {
                self.raw(line)?;
                return Ok(Some(Ended::Settled(settled)));
            }
            Heard::TimedOut => {
                self.raw(line)?;
                return Ok(Some(Ended::TimedOut));
            }
            Heard::Kept => {
                if !std::mem::replace(&mut self.kept, true) {
                    self.raw(line)?;
                }
            }
            Heard::Told(told) => {
                if self.teller.is_new(&told) {
                    self.raw(line)?;
                    self.show(&told)?;
                }
            }
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

    fn show(&mut self, told: &Told) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut mark = told.only_to.as_ref().map_or("", |_| "(to you) ");
        for line in self.teller.lines(told) {
            writeln!(self.out, "{mark}{line}")?;
            mark = "";
        }
        self.out.flush()
    }
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

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::model::id::{MessageId, OutboxId};

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

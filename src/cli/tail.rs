//! `countersign tail`: the ledger's events as they come, one readable line each.
//!
//! What lives here: asking for what is next, again and again, and where to go on after the connection broke. What does
//! not: the sentence of an event (`text::timeline`).

use std::io::{self, Write};
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use reqwest::Method;
use tokio::time::sleep;

use super::client::{Client, ClientError, ServerArgs};
use crate::model::id::Position;
use crate::text::time::Times;
use crate::text::timeline;
use crate::web::wire::{EventTold, EventsTold};

/// Places of the ledger that are shown when nobody says from where.
const LAST: i64 = 20;

/// For how long one question waits for something new.
pub(super) const WAIT: Duration = Duration::from_secs(25);

/// How much longer the answer may take.
const GRACE: Duration = Duration::from_secs(10);

/// Events in one answer.
const PAGE: i64 = 200;

/// The longest pause between two tries to reach a bot that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Show the ledger's events, one line each: place and hash, time, who did what.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Which bot; the help has the words of its two flags.
    #[command(flatten)]
    pub at: ServerArgs,
    /// Only what was said in this room, what came of it, and the runs and incidents that are talked about there.
    #[arg(long)]
    pub room: Option<String>,
    /// From this place on [default: the last 20 places].
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(1..))]
    pub from: Option<i64>,
    /// Go on with what comes, until Ctrl-C; when the bot is away, wait for it and go on where it stopped.
    #[arg(long)]
    pub follow: bool,
    /// Print one JSON object a line, with the whole event.
    #[arg(long, conflicts_with = "time_zone")]
    pub json: bool,
    /// Say times in this zone, such as Europe/Berlin [default: UTC].
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    pub time_zone: Option<Tz>,
}

fn parse_zone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| "write the zone's name, such as Europe/Berlin or Asia/Singapore".to_owned())
}

/// Shows the events. The exit code is 0.
///
/// # Errors
/// When the bot does not answer (while following: when it refuses), or nothing can be printed.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let client = args.at.client()?;
    match tail(&args, &client, &mut io::stdout(), &mut io::stderr()).await {
        // Whoever read has read enough.
        Err(error) if is_broken_pipe(&error) => Ok(0),
        ended => ended.map(|()| 0),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

async fn tail(
    args: &Args,
    client: &Client,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let times = Times::in_zone(args.time_zone.unwrap_or(Tz::UTC));
    let mut after = args.from.map(|from| Position(from - 1));
    let mut away = false;
    let mut pause = Duration::from_millis(100);
    loop {
        let asked = match after {
            // Nobody says from where: the first question is only how far the ledger goes.
            None => ask(client, Position(i64::MAX), args.room.as_deref(), Duration::ZERO).await,
            Some(after) => {
                let wait = if args.follow && !away { WAIT } else { Duration::ZERO };
                ask(client, after, args.room.as_deref(), wait).await
            }
        };
        let told = match asked {
            Ok(told) => told,
            Err(error) if args.follow && error.may_pass() => {
                if !std::mem::replace(&mut away, true) {
                    writeln!(err, "{error}; waiting for it")?;
                }
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        away = false;
        pause = Duration::from_millis(100);
        if after.is_none() {
            after = Some(Position(told.head.0.saturating_sub(LAST)));
            continue;
        }
        for event in &told.events {
            if args.json {
                writeln!(out, "{}", serde_json::to_string(event)?)?;
            } else {
                writeln!(out, "{}", line(event, &times, told.now))?;
            }
        }
        out.flush()?;
        after = Some(told.up_to);
        if !args.follow && told.up_to >= told.head {
            return Ok(());
        }
    }
}

/// Asks for what comes after a place, and waits for something to come.
///
/// # Errors
/// When the bot does not answer, or answers in another way than it should.
pub(super) async fn ask(
    client: &Client,
    after: Position,
    room: Option<&str>,
    wait: Duration,
) -> Result<EventsTold, ClientError> {
    let mut query =
        vec![("after", after.to_string()), ("limit", PAGE.to_string()), ("wait_ms", wait.as_millis().to_string())];
    query.extend(room.map(|room| ("room", room.to_owned())));
    let request = client.request(Method::GET, &["api", "v1", "events"]).query(&query).timeout(wait + GRACE);
    let response = client.send(request).await?;
    let body = response.bytes().await.map_err(|error| client.away(&error))?;
    serde_json::from_slice(&body)
        .map_err(|_| ClientError::Refused("the server speaks another version of this API".to_owned()))
}

/// `4183 · 9f2c41d077ae  22:03:07 UTC  boss approved 7K3F.` What came from outside stands last, so it can forge nothing
/// that stands before it.
fn line(told: &EventTold, times: &Times, now: DateTime<Utc>) -> String {
    let event = told.event();
    let (hash, at) = (told.hash.short(), times.at_second(told.at, now));
    format!("{} · {hash}  {at}  {}", told.position, timeline::line(&event, times, now))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn arguments_are_as_promised() {
        let parse = |line: &str| Program::try_parse_from(line.split(' ')).map(|program| program.args);
        let args = parse("tail --server h:1 --room system-a --from 12 --follow --time-zone Asia/Singapore");
        let args = args.expect("arguments");
        assert_eq!((args.from, args.follow, args.time_zone), (Some(12), true, Some(Tz::Asia__Singapore)));
        for wrong in [
            "tail",
            "tail --server h:1 --from 0",
            "tail --server h:1 --from now",
            "tail --server h:1 --time-zone SGT+8",
            "tail --server h:1 --json --time-zone UTC",
        ] {
            assert_eq!(parse(wrong).map_err(|error| error.exit_code()).expect_err("wrong"), 2, "{wrong}");
        }
    }

    #[test]
    fn a_line_has_place_hash_time_and_words_and_survives_what_it_does_not_know() {
        let mut event = json!({
            "position": 4183, "hash": "9f2c41d077ae".to_owned() + &"0".repeat(52), "id": 4190,
            "at": "2026-11-21T22:03:07Z", "kind": "automation_resumed", "system": null, "environment": null,
            "incident": null, "run": null, "audience": null, "cause": 3,
            "what": {"kind": "automation_resumed", "by": "boss"},
        });
        let now = "2026-11-21T22:10:00Z".parse().expect("a time");
        let said = |event: &serde_json::Value| {
            let told: EventTold = serde_json::from_value(event.clone()).expect("an event");
            line(&told, &Times::in_zone(Tz::UTC), now)
        };
        insta::assert_snapshot!(said(&event), @"4183 · 9f2c41d077ae  22:03:07 UTC  boss let automation go on.");
        event["what"] = json!({"kind": "moon_rose", "phase": 3});
        event["kind"] = json!("moon_rose");
        insta::assert_snapshot!(said(&event), @"4183 · 9f2c41d077ae  22:03:07 UTC  countersign recorded `moon_rose`, whose words were erased or are of another version of this program.");
    }
}

//! `countersign audit`: verify the ledger, list who did what, say who could do what at a moment, or write it all out.
//!
//! With `--server` a running bot answers; with `--database` or `--data` the database is read directly, which does not take
//! the bot's word for anything.

use std::io::Write;
use std::str::FromStr;

use anyhow::Context;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, Utc};
use reqwest::Method;

use super::place::{Place, PlaceArgs};
use crate::ledger::{self, Head, Segregation};
use crate::model::access::Then;
use crate::model::id::{Position, RunbookName};
use crate::text;
use crate::text::time::Times;
use crate::web::wire::{AccessTold, Verified};

/// Verify the ledger, list who did what, say who could do what at a moment, or write it all out.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Recompute the whole chain, replay the decisions and compare every request, grant, run and attempt with them.
    Verify(VerifyArgs),
    /// List who asked for, agreed to and executed every run that may have changed something, with what is out of the
    /// ordinary; somebody who counts as having asked and as having agreed is a violation.
    Sod(SodArgs),
    /// Write every event as one line of JSON, with all that is needed to recompute the chain.
    Export(ExportArgs),
    /// Say who could ask for what and who could approve it at a moment, from the ledger alone.
    #[command(
        after_help = "Example: countersign audit access --at 2026-12-24T03:00Z --runbook start-service --data ./data"
    )]
    Access(AccessArgs),
}

/// Arguments of `audit verify`.
#[derive(Debug, clap::Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// A head that the ledger must contain, as the room showed it or as a whole: POSITION:HASH, at least twelve
    /// characters of the hash. May be given several times.
    #[arg(long = "head", value_name = "P:HASH")]
    heads: Vec<Head>,
}

/// Arguments of `audit export`.
#[derive(Debug, clap::Args)]
pub struct ExportArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Arguments of `audit access`.
#[derive(Debug, clap::Args)]
pub struct AccessArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The moment: `2026-12-24T03:00Z`, with another offset, or `2026-12-24` for the first moment of a day in UTC
    /// [default: now].
    #[arg(long, value_name = "DATE")]
    at: Option<Moment>,
    /// Only this runbook.
    #[arg(long, value_name = "RUNBOOK")]
    runbook: Option<String>,
    /// As one JSON object.
    #[arg(long)]
    json: bool,
}

/// Arguments of `audit sod`.
#[derive(Debug, clap::Args)]
pub struct SodArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// Runs that were asked for at or after this: a day, or a time such as 2026-11-21T22:40:00+08:00. A day begins at
    /// 00:00 UTC.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<DateTime<Utc>>,
    /// And before this.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// A moment as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Moment(DateTime<Utc>);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let day = || {
            let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
            Some(day.and_time(NaiveTime::MIN).and_utc())
        };
        let whole = || DateTime::parse_from_rfc3339(text).ok().map(|at| at.to_utc());
        let minute = || DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M%#z").ok().map(|at| at.to_utc());
        let zulu = || {
            let text = text.strip_suffix(['Z', 'z'])?;
            NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok().map(|at| at.and_utc())
        };
        let moment = whole().or_else(minute).or_else(zulu).or_else(day);
        moment.map(Self).ok_or_else(|| "write it as 2026-12-24T03:00Z, 2026-12-24T03:00+08:00 or 2026-12-24".to_owned())
    }
}

/// Reads a day or a time with its zone.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let day = text.parse::<NaiveDate>().ok().and_then(|day| day.and_hms_opt(0, 0, 0)).map(|time| time.and_utc());
    let time = || DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    day.or_else(time).ok_or_else(|| "say a day such as 2026-11-21, or a time such as 2026-11-21T22:40:00Z".to_owned())
}

/// Runs `audit`.
///
/// # Errors
/// When the ledger cannot be reached or read. What verification finds is told, and is exit code 1.
pub async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Verify(args) => verify(args).await,
        Command::Sod(args) => sod(args).await,
        Command::Export(args) => export(args).await,
        Command::Access(args) => access(args).await,
    }
}

async fn verify(args: VerifyArgs) -> anyhow::Result<u8> {
    let place = args.place.open().await?;
    let verified = match &place {
        Place::Server(client) => {
            let heads: Vec<String> = args.heads.iter().map(ToString::to_string).collect();
            let request =
                client.request(Method::GET, &["api", "v1", "audit", "verify"]).query(&[("heads", heads.join(","))]);
            let response = client.send(request).await?;
            response.json().await.context("the server speaks another version of this API")
        }
        Place::Store(store, _) => ledger::verify(store, &args.heads)
            .await
            .map(|report| Verified { sound: report.is_sound(), report: report.to_string() })
            .context("the ledger cannot be read"),
    };
    place.close().await?;
    let verified = verified?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", verified.report.trim_end())?;
    if verified.sound {
        return Ok(0);
    }
    drop(out);
    writeln!(std::io::stderr(), "countersign: the ledger is not sound")?;
    Ok(1)
}

async fn sod(args: SodArgs) -> anyhow::Result<u8> {
    let place = args.place.open().await?;
    let listed = match &place {
        Place::Server(client) => {
            let time = |time: Option<DateTime<Utc>>| time.map(|time| time.to_rfc3339()).unwrap_or_default();
            let request = client
                .request(Method::GET, &["api", "v1", "audit", "sod"])
                .query(&[("from", time(args.from)), ("until", time(args.until))]);
            let response = client.send(request).await?;
            response.json::<Segregation>().await.context("the server speaks another version of this API")
        }
        Place::Store(store, _) => {
            ledger::segregation(store, args.from, args.until).await.context("the ledger cannot be read")
        }
    };
    place.close().await?;
    let listed = listed?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&listed)?)?;
    } else {
        write!(out, "{listed}")?;
    }
    out.flush()?;
    drop(out);
    if listed.violations() == 0 {
        return Ok(0);
    }
    writeln!(
        std::io::stderr(),
        "countersign: somebody counts on both sides, or something started that nobody agreed to"
    )?;
    Ok(1)
}

async fn export(args: ExportArgs) -> anyhow::Result<u8> {
    let place = args.place.open().await?;
    let written = match &place {
        Place::Server(client) => {
            let mut response = client.send(client.request(Method::GET, &["api", "v1", "audit", "export"])).await?;
            let mut out = std::io::stdout().lock();
            loop {
                match response.chunk().await.context("the export broke off: what was written is not the whole ledger") {
                    Ok(Some(chunk)) => out.write_all(&chunk)?,
                    Ok(None) => break out.flush().map_err(anyhow::Error::from),
                    Err(error) => break Err(error),
                }
            }
        }
        Place::Store(store, _) => {
            let export = ledger::export(store, Position(1), |line| writeln!(std::io::stdout(), "{line}"));
            export.await.map(drop).context("the ledger cannot be written out")
        }
    };
    place.close().await?;
    written.map(|()| 0)
}

async fn access(args: AccessArgs) -> anyhow::Result<u8> {
    let place = args.place.open().await?;
    let runbook = args.runbook.as_deref().map(RunbookName::new);
    let then: anyhow::Result<Option<Then>> = match &place {
        Place::Server(client) => {
            let mut query: Vec<(&str, String)> = Vec::new();
            query.extend(args.at.map(|Moment(at)| ("at", at.to_rfc3339_opts(SecondsFormat::AutoSi, true))));
            query.extend(args.runbook.clone().map(|runbook| ("runbook", runbook)));
            let request = client.request(Method::GET, &["api", "v1", "audit", "access"]).query(&query);
            let response = client.send(request).await?;
            let told: anyhow::Result<AccessTold> =
                response.json().await.context("the server speaks another version of this API");
            told.map(|told| told.then)
        }
        Place::Store(store, _) => {
            let at = args.at.map_or_else(|| store.clock().now(), |Moment(at)| at);
            ledger::access_at(store, at, runbook.as_ref()).await.context("the ledger cannot be read")
        }
    };
    place.close().await?;
    let then = then?;
    let mut out = std::io::stdout().lock();
    let Some(then) = then else {
        drop(out);
        writeln!(std::io::stderr(), "countersign: {}", text::access::not_kept())?;
        return Ok(1);
    };
    if let (Some(runbook), true) = (&runbook, then.runbooks.is_empty()) {
        drop(out);
        writeln!(std::io::stderr(), "countersign: {}", text::access::no_such_runbook(runbook))?;
        return Ok(1);
    }
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&then)?)?;
    } else {
        writeln!(out, "{}", text::access::then(&then, &Times::in_zone(chrono_tz::UTC)))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_as_people_write_it() {
        let read = |text: &str| text.parse::<Moment>().map(|Moment(at)| at.to_rfc3339());
        for text in ["2026-12-24T03:00:00Z", "2026-12-24T03:00Z", "2026-12-24T11:00+08:00", "2026-12-24T11:00:00+08:00"]
        {
            assert_eq!(read(text).as_deref(), Ok("2026-12-24T03:00:00+00:00"), "{text}");
        }
        assert_eq!(read("2026-12-24").as_deref(), Ok("2026-12-24T00:00:00+00:00"));
        for wrong in ["", "yesterday", "2026-13-01", "2026-12-24 03:00", "24.12.2026"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}

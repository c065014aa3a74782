//! `countersign audit`: verify the ledger, list who did what, or write it all out.
//!
//! With `--server` a running bot answers; with `--database` or `--data` the database is read directly, which does not take
//! the bot's word for anything.

use std::io::Write;

use anyhow::Context;
use chrono::{DateTime, NaiveDate, Utc};
use reqwest::Method;

use super::place::{Place, PlaceArgs};
use crate::ledger::{self, Head, Segregation};
use crate::model::id::Position;
use crate::web::wire::Verified;

/// Verify the ledger, list who did what, or write it all out.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Recompute the whole chain, replay the decisions and compare every request, grant, run and attempt with them.
    Verify(VerifyArgs),
    /// List who asked for, agreed to and executed every run that may have changed something, with what is out of the
    /// ordinary; somebody who counts as having asked and as having agreed is a violation.
    Sod(SodArgs),
    /// Write every event as one line of JSON, with all that is needed to recompute the chain.
    Export(ExportArgs),
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

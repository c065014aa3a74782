//! `countersign audit`: verify the ledger, or write it out.
//!
//! With `--server` a running bot answers; with `--database` or `--data` the database is read directly, which does not take
//! the bot's word for anything.

use std::io::Write;

use anyhow::Context;
use reqwest::Method;

use super::place::{Place, PlaceArgs};
use crate::ledger::{self, Head};
use crate::model::id::Position;
use crate::web::wire::Verified;

/// Verify the ledger, or write it out.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Recompute the whole chain, replay the decisions and compare every request, grant, run and attempt with them.
    Verify(VerifyArgs),
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

/// Runs `audit`.
///
/// # Errors
/// When the ledger cannot be reached or read. What verification finds is told, and is exit code 1.
pub async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Verify(args) => verify(args).await,
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

//! `countersign access`: the way out when nobody is left who could countersign a change of who may do what.
//!
//! It works on the database and not by asking the bot: whoever holds the bot's token, as a step might that reads its
//! files, only reads.

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;

use super::place::{DatabaseUrl, Place, PlaceArgs};
use crate::approval::{self, Accepted};
use crate::model::code::Code;
use crate::text;

/// What waits to be countersigned, and the way out when nobody can.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show what waits, line by line.
    #[command(after_help = "Example: countersign access show --data ./data")]
    Show(ShowArgs),
    /// Put what waits in force without a second person. The ledger keeps it as an exception, and the room is told.
    #[command(
        after_help = "Example: countersign access accept 7K3F --as mei --because \"boss has left\" --data ./data"
    )]
    Accept(AcceptArgs),
}

/// Exactly one of `--database` and `--data`.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct HostArgs {
    /// The bot's database.
    #[arg(long, value_name = "URL")]
    database: Option<DatabaseUrl>,
    /// The bot's data directory, while no bot uses it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Arguments of `access show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    host: HostArgs,
}

/// Arguments of `access accept`.
#[derive(Debug, clap::Args)]
pub struct AcceptArgs {
    /// The code of what waits, as the room and `access show` show it.
    #[arg(value_name = "CODE")]
    code: Code,
    /// Your name, for the record.
    #[arg(long = "as", value_name = "NAME")]
    operator: String,
    /// Why nobody countersigns it, for the record.
    #[arg(long, value_name = "REASON")]
    because: String,
    #[command(flatten)]
    host: HostArgs,
}

/// Runs `access`.
///
/// # Errors
/// When the database cannot be reached, or the name or the reason is empty.
pub async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Show(args) => show(args).await,
        Command::Accept(args) => accept(args).await,
    }
}

async fn open(host: HostArgs) -> anyhow::Result<Place> {
    let HostArgs { database, data } = host;
    PlaceArgs { server: None, database, data }.open().await
}

async fn show(args: ShowArgs) -> anyhow::Result<u8> {
    let place = open(args.host).await?;
    let Place::Store(store, _) = &place else { bail!("name the database") };
    let standing = approval::access_standing(store).await;
    place.close().await?;
    let mut out = std::io::stdout().lock();
    match standing? {
        None => writeln!(out, "{}", text::access::not_kept())?,
        Some((_, None)) => writeln!(out, "{}", text::access::nothing_waits())?,
        Some((current, Some(row))) => {
            let changes = crate::model::access::diff(&current.access, &row.access);
            let code = row.code.map(|code| code.to_string()).unwrap_or_default();
            writeln!(out, "{code}\n{}", text::access::changes(&changes))?;
        }
    }
    Ok(0)
}

async fn accept(args: AcceptArgs) -> anyhow::Result<u8> {
    let (operator, because) = (args.operator.trim(), args.because.trim());
    if operator.is_empty() || because.is_empty() {
        bail!("--as and --because are for the record: say who you are and why nobody countersigns it");
    }
    let place = open(args.host).await?;
    let Place::Store(store, _) = &place else { bail!("name the database") };
    let accepted = approval::accept(store, args.code, operator, because).await;
    place.close().await?;
    match accepted? {
        Accepted::InForce(changes) => {
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}\n{}", text::access::accepted_here(args.code), text::access::changes(&changes))?;
            Ok(0)
        }
        Accepted::TooLate(until) => {
            writeln!(std::io::stderr(), "countersign: {}", text::access::accepted_too_late(args.code, until))?;
            Ok(1)
        }
        Accepted::NothingLikeIt(waits) => {
            writeln!(std::io::stderr(), "countersign: {}", text::access::nothing_like_it(args.code, waits))?;
            Ok(1)
        }
    }
}

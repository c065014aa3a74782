//! `countersign keys`: the keys that approvals are signed with.
//!
//! With `--server` a running bot answers and acts; else the database is asked. A key is changed where its file is: by the
//! bot itself, or in its data directory while none uses it.

use std::io::Write;

use std::path::PathBuf;

use anyhow::Context;
use reqwest::Method;

use super::client::BaseUrl;
use super::place::{Place, PlaceArgs};
use crate::ledger::keys;
use crate::sys;
use crate::web::wire::{KeyRotated, KeysTold, RotateKey};

/// The keys that approvals are signed with.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the public keys, since when they sign, and who ended which.
    List(ListArgs),
    /// Give a bot another key: it signs from now on, the one before is retired. What that one signed stays valid.
    Rotate(RotateArgs),
    /// Retire a key that is lost or that others have seen. What it signed before stays valid.
    Retire(RetireArgs),
}

/// Arguments of `keys list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    place: PlaceArgs,
}

/// Exactly one of `--server` and `--data`: who changes keys needs the private one, or the bot that has it.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
struct ChangeArgs {
    /// Ask the running bot at this address, which `countersign up` printed after `ready` [env: COUNTERSIGN_DATA names
    /// its data directory, or COUNTERSIGN_TOKEN holds its token].
    #[arg(long, value_name = "URL")]
    server: Option<BaseUrl>,
    /// Change what is in this data directory, and the managed database in it, while no bot uses it.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl From<ChangeArgs> for PlaceArgs {
    fn from(args: ChangeArgs) -> Self {
        Self { server: args.server, database: None, data: args.data }
    }
}

/// Arguments of `keys rotate`.
#[derive(Debug, clap::Args)]
pub struct RotateArgs {
    #[command(flatten)]
    place: ChangeArgs,
}

/// Arguments of `keys retire`.
#[derive(Debug, clap::Args)]
pub struct RetireArgs {
    /// Which key: all of it, or how it begins.
    key: String,
    /// Why, for the record.
    #[arg(long, value_name = "REASON")]
    because: String,
    #[command(flatten)]
    place: ChangeArgs,
}

/// Runs `keys`.
///
/// # Errors
/// When the ledger cannot be reached, or the key cannot be ended.
pub async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::List(args) => list(args).await,
        Command::Rotate(args) => rotate(args).await,
        Command::Retire(args) => retire(args).await,
    }
}

/// Who asks, for the record: the user and the host, which nothing proves.
fn asker() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty() && user.len() <= 64);
    format!("{}@{}", user.as_deref().unwrap_or("somebody"), sys::hostname())
}

async fn list(args: ListArgs) -> anyhow::Result<u8> {
    let place = args.place.open().await?;
    let told = match &place {
        Place::Server(client) => {
            let response = client.send(client.request(Method::GET, &["api", "v1", "keys"])).await?;
            response.json::<KeysTold>().await.context("the server speaks another version of this API")
        }
        Place::Store(store, _) => store
            .list_keys()
            .await
            .map(|rows| KeysTold { own: None, keys: crate::web::keys_told(rows) })
            .context("the keys cannot be read"),
    };
    place.close().await?;
    let KeysTold { own, keys } = told?;
    let mut out = std::io::stdout().lock();
    if keys.is_empty() {
        writeln!(out, "No key yet: the first start makes one.")?;
    }
    for key in keys {
        let time = |at: chrono::DateTime<chrono::Utc>| at.format("%Y-%m-%d %H:%M UTC");
        let own = if own == Some(key.key) { " (this bot's)" } else { "" };
        writeln!(
            out,
            "{}{own}\n  signs on {} since {}, made by {}",
            key.key,
            key.host,
            time(key.added_at),
            key.added_by
        )?;
        if let Some(end) = key.retired {
            writeln!(out, "  retired {} by {}: {}", time(end.at), end.by, end.why)?;
        }
    }
    Ok(0)
}

async fn rotate(args: RotateArgs) -> anyhow::Result<u8> {
    let data = args.place.data.clone();
    let place = PlaceArgs::from(args.place).open().await?;
    let rotated = match (&place, data) {
        (Place::Server(client), _) => {
            let body = RotateKey { by: asker(), key: None, why: None };
            let request = client.request(Method::POST, &["api", "v1", "keys", "rotate"]).json(&body);
            let response = client.send(request).await?;
            response.json::<KeyRotated>().await.context("the server speaks another version of this API")
        }
        (Place::Store(store, _), Some(data)) => {
            let place = keys::Place { data, host: sys::hostname() };
            let rotated = keys::rotate(store, &place, &asker()).await;
            rotated.map(|(old, new)| KeyRotated { old, new }).map_err(anyhow::Error::from)
        }
        (Place::Store(..), None) => Err(anyhow::anyhow!("name the data directory with --data DIR")),
    };
    place.close().await?;
    let KeyRotated { old, new } = rotated?;
    writeln!(
        std::io::stdout(),
        "{new} signs from now on; {} is retired, and what it signed stays valid.",
        old.short()
    )?;
    Ok(0)
}

async fn retire(args: RetireArgs) -> anyhow::Result<u8> {
    let place = PlaceArgs::from(args.place).open().await?;
    let retired = match &place {
        Place::Server(client) => {
            let body = RotateKey { by: asker(), key: Some(args.key), why: Some(args.because) };
            let request = client.request(Method::POST, &["api", "v1", "keys", "retire"]).json(&body);
            let response = client.send(request).await?;
            response.json().await.context("the server speaks another version of this API")
        }
        Place::Store(store, _) => {
            keys::retire(store, &args.key, &asker(), &args.because).await.map_err(anyhow::Error::from)
        }
    };
    place.close().await?;
    let key: crate::model::signature::PublicKey = retired?;
    writeln!(std::io::stdout(), "{key} signs no more; what it signed before stays valid.")?;
    Ok(0)
}

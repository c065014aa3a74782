//! `countersign passkey`: who has which passkey, and the only way to another one.
//!
//! An operator does this beside a running bot, by its token. An invitation's address is printed here and stands nowhere
//! else: whoever it is for must get it by a way that is not their chat account.

use std::io::Write as _;

use anyhow::Context;
use reqwest::Method;

use super::client::ServerArgs;
use crate::text::time::Times;
use crate::text::visible::visible;
use crate::web::wire::{Invite, Invited, PasskeysTold};

/// Passkeys of people: invite to add one, list, remove.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print a link, good once and for 15 minutes, on which a person adds a passkey.
    #[command(after_help = "Example: countersign passkey invite boss --server http://127.0.0.1:7373\n\
                            Give the link to that person by a way that is not their chat account.")]
    Invite(InviteArgs),
    /// List passkeys: number, whose, what they call it, when it was added and last used.
    #[command(after_help = "Example: countersign passkey list --person boss --server http://127.0.0.1:7373")]
    List(ListArgs),
    /// Remove a passkey: from then on it decides nothing.
    #[command(after_help = "Example: countersign passkey remove 3 --server http://127.0.0.1:7373")]
    Remove(RemoveArgs),
}

/// Arguments of `passkey invite`.
#[derive(Debug, clap::Args)]
pub struct InviteArgs {
    /// Which bot; the help has the words of its two flags.
    #[command(flatten)]
    at: ServerArgs,
    /// Who: a name of people.yaml.
    person: String,
}

/// Arguments of `passkey list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// Which bot; the help has the words of its two flags.
    #[command(flatten)]
    at: ServerArgs,
    /// Only those of this person.
    #[arg(long)]
    person: Option<String>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Arguments of `passkey remove`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    /// Which bot; the help has the words of its two flags.
    #[command(flatten)]
    at: ServerArgs,
    /// Which: its number.
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    number: i64,
}

/// Runs `passkey`.
///
/// # Errors
/// When the bot is away or does not do it, with one sentence.
pub async fn run(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Invite(args) => invite(args).await,
        Command::List(args) => list(args).await,
        Command::Remove(args) => remove(args).await,
    }
}

const OTHER_VERSION: &str = "the server speaks another version of this API";

async fn invite(args: InviteArgs) -> anyhow::Result<u8> {
    let client = args.at.client()?;
    let path = ["api", "v1", "passkeys", "invitations"];
    let request = client.request(Method::POST, &path).json(&Invite { person: args.person });
    let invited: Invited = client.send(request).await?.json().await.context(OTHER_VERSION)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", invited.link)?;
    drop(out);
    // What a script takes is the link alone.
    writeln!(
        std::io::stderr(),
        "For {} alone, good once, until {}. Give it to them by a way that is not their chat account.",
        visible(invited.person.as_str()),
        invited.said
    )?;
    Ok(0)
}

async fn list(args: ListArgs) -> anyhow::Result<u8> {
    let client = args.at.client()?;
    let mut request = client.request(Method::GET, &["api", "v1", "passkeys"]);
    if let Some(person) = &args.person {
        request = request.query(&[("person", person)]);
    }
    let told: PasskeysTold = client.send(request).await?.json().await.context(OTHER_VERSION)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        for passkey in &told.passkeys {
            writeln!(out, "{}", serde_json::to_string(passkey)?)?;
        }
        return Ok(0);
    }
    let times = Times::in_zone(chrono_tz::UTC);
    for passkey in &told.passkeys {
        let used = passkey.used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", times.day(at)));
        let removed = passkey.removed_at.map(|at| format!(", removed {}", times.day(at))).unwrap_or_default();
        writeln!(
            out,
            "{}  {}  {}  added {}, {used}{removed}",
            passkey.passkey,
            visible(passkey.person.as_str()),
            visible(&passkey.name),
            times.day(passkey.added_at),
        )?;
    }
    if told.passkeys.is_empty() {
        writeln!(out, "No passkeys. `countersign passkey invite PERSON` prints a link to add one.")?;
    }
    Ok(0)
}

async fn remove(args: RemoveArgs) -> anyhow::Result<u8> {
    let client = args.at.client()?;
    let number = args.number.to_string();
    client.send(client.request(Method::DELETE, &["api", "v1", "passkeys", &number])).await?;
    writeln!(std::io::stdout().lock(), "Passkey {number} is removed.")?;
    Ok(0)
}

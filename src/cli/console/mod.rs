//! `countersign console`: one room of a running bot in a terminal, or as a pipe for a program.
//!
//! What lives here: the arguments. What does not: the conversation of people ([`chat`]) and that of programs ([`pipe`]).

mod chat;
mod pipe;

use std::time::Duration;

use super::client::ServerArgs;
use super::line::parse_wait;

/// Take part in the local room of a running bot: a chat in the terminal, or with --stdio a pipe.
///
/// In the chat each line that you type is said in the room, and everything that the room gets is shown. What the bot says
/// stands behind the name of its thread. Three lines are for the console itself: `/thread m2` says what follows in that
/// thread (`/thread` alone goes back to the room), `/help` tells this, and Ctrl-D ends.
///
/// With --stdio, stdin has a line `ID TEXT` for each thing to say, and stdout a line `ID REPLY` with the first answer to
/// it, in the order in which the answers come. In a reply `\n` is a new line, `\r` a carriage return and `\\` a backslash.
/// A line that nobody answers (it was talk) gets an empty reply: `ID` and a space. A line that is not taken gets
/// `ID error WHY`, and one that has no ID `- error WHY`; a reply that begins with the word `error` itself comes as
/// `\error`. At the end of stdin it waits for the answers that are still to come and ends with 0.
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
    /// Be a pipe: `ID TEXT` in, `ID REPLY` out.
    #[arg(long)]
    pub stdio: bool,
    /// How long the answer to a line may take, and the end with it.
    #[arg(long, value_name = "DURATION", value_parser = parse_wait, default_value = "15s")]
    pub wait: Duration,
}

/// Takes part. The exit code is 0.
///
/// # Errors
/// When the token is missing, the bot is not there or does not know the room, or nothing can be read or printed.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let client = args.at.client()?;
    if args.stdio {
        pipe::run(&args, &client, tokio::io::stdin(), tokio::io::stdout()).await?;
    } else {
        chat::run(&args, client).await?;
    }
    Ok(0)
}

//! `countersign slack`: what is needed to set Slack up.

use std::io::{self, Write};

use crate::chat::slack::manifest::{self, Form};

/// What is needed to set Slack up.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the manifest from which Slack makes the app: what it may do there, and why.
    ///
    /// In Slack: api.slack.com/apps, "Create New App", "From a manifest", YAML. Every right and every event that it asks
    /// for has its reason beside it.
    #[command(after_help = "Examples:\n  countersign slack manifest > slack-app.yaml\n  countersign slack manifest \
                            --requests https://bot.example.org > slack-app.yaml")]
    Manifest {
        /// Slack is to call the bot at this address, instead of the bot opening a socket. Without a path it is the bot's
        /// own, `/slack/events`.
        #[arg(long, value_name = "URL")]
        requests: Option<manifest::Url>,
    },
}

/// Prints what was asked for. The exit code is 0.
///
/// # Errors
/// When nothing can be printed.
pub fn run(command: &Command) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    match command {
        Command::Manifest { requests } => {
            let form = requests.clone().map_or(Form::Socket, Form::Requests);
            out.write_all(manifest::yaml(&form).as_bytes())?;
        }
    }
    Ok(0)
}

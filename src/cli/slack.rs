//! `countersign slack`: what is needed to set Slack up.

use std::io::{self, Write};

use crate::chat::slack::manifest;

/// What is needed to set Slack up.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print the manifest from which Slack makes the app: what it may do there, and why.
    ///
    /// In Slack: api.slack.com/apps, "Create New App", "From a manifest", YAML. Every right and every event that it asks
    /// for has its reason beside it.
    #[command(after_help = "Example: countersign slack manifest > slack-app.yaml")]
    Manifest,
}

/// Prints what was asked for. The exit code is 0.
///
/// # Errors
/// When nothing can be printed.
pub fn run(command: &Command) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    match command {
        Command::Manifest => out.write_all(manifest::yaml().as_bytes())?,
    }
    Ok(0)
}

//! The command line: one file for each subcommand. The only place that prints.

pub mod access;
pub mod audit;
pub mod bench;
pub mod client;
pub mod completions;
pub mod console;
pub mod doctor;
pub mod healthcheck;
pub mod init;
pub mod keys;
mod line;
pub mod passkey;
pub mod place;
pub mod plan;
pub mod policy;
pub mod report;
pub mod say;
pub mod schema;
pub mod slack;
pub mod tail;
mod trial;
pub mod up;
pub mod validate;
mod workspaces;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to stderr. What is logged is said by `COUNTERSIGN_LOG` (`info` if unset; `debug`, or by module
/// `countersign::engine=debug,warn`).
///
/// # Errors
/// When `COUNTERSIGN_LOG` cannot be read.
pub fn start_logging(format: LogFormat) -> anyhow::Result<()> {
    use std::io::IsTerminal;
    let wanted = std::env::var("COUNTERSIGN_LOG").unwrap_or_else(|_| "info".to_owned());
    let filter: Targets = wanted.parse().map_err(|error| {
        anyhow::anyhow!("COUNTERSIGN_LOG: `{wanted}` is not a filter ({error}); say `info` or `debug`")
    })?;
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        LogFormat::Text => {
            let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry.with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour)).init();
        }
        LogFormat::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr)).init();
        }
    }
    Ok(())
}

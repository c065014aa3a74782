//! `countersign healthcheck`: asks a running bot whether it lives, for whoever can start a program and nothing else.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;

use super::client::BaseUrl;
use crate::text::visible::visible;

/// How long the whole may take: less than the time that a container's health check usually has.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

/// Bytes of an answer that are read.
const MOST_ANSWER: usize = 64 * 1024;

/// Ask a running bot whether it lives: prints what it says, ends with 0 if all is well and with 1 if not. Needs no token.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where the bot listens.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7373")]
    pub server: BaseUrl,
    /// Ask whether it could do its work (`/readyz`), not only whether it lives (`/healthz`).
    #[arg(long)]
    pub ready: bool,
}

/// Asks.
///
/// # Errors
/// When the bot does not answer in time.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER_WITHIN)
        .build()
        .context("no HTTP client can be made here")?;
    let path = if args.ready { "readyz" } else { "healthz" };
    let asked = http.get(args.server.join(&[path])).send().await;
    let mut response = asked.with_context(|| format!("{} does not answer", args.server))?;
    let status = response.status();
    let mut said = Vec::new();
    while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
        said.extend_from_slice(&chunk);
        anyhow::ensure!(said.len() <= MOST_ANSWER, "{} answers at length: is it countersign?", args.server);
    }
    let mut out = std::io::stdout().lock();
    for line in String::from_utf8_lossy(&said).lines() {
        writeln!(out, "{}", visible(line))?;
    }
    Ok(u8::from(!status.is_success()))
}

//! The chat workspaces that `up` speaks to: opening them, and listening to them.
//!
//! What lives here: from settings to adapters and listeners. What does not: what a workspace is like (`chat`).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::chat::slack::api::{ConnectError, SLACK, Slack};
use crate::chat::slack::away::{Away, Ear};
use crate::chat::slack::hand_over::{Door, Names};
use crate::chat::slack::requests;
use crate::chat::slack::socket::{Listener, Patience};
use crate::config::{SlackHears, SlackSettings};
use crate::flow::App;
use crate::model::id::SecretName;
use crate::text;

/// How long a workspace that does not answer is waited for at the start.
const REACHED_WITHIN: Duration = Duration::from_secs(30);
/// The pause between two tries.
const PAUSE: Duration = Duration::from_secs(2);

/// A workspace that let the bot in.
pub(super) struct Workspace {
    pub(super) slack: Arc<Slack>,
    hears: Hears,
}

enum Hears {
    Socket { app_token: String },
    Requests { listener: TcpListener, secret: String },
}

/// Opens every workspace of the settings.
///
/// # Errors
/// One sentence: which secret is missing, which workspace did not let the bot in, and what to do.
pub(super) async fn open(settings: &[SlackSettings]) -> anyhow::Result<(Vec<Workspace>, Vec<(SecretName, Vec<u8>)>)> {
    let mut workspaces: Vec<Workspace> = Vec::new();
    let mut secrets = Vec::new();
    let mut keep = |name: &str, secret: &str| secrets.push((SecretName::new(name), secret.as_bytes().to_vec()));
    for entry in settings {
        let bot_token = entry.bot_token.read("the Slack bot's token", "xoxb-")?;
        keep("slack-bot-token", &bot_token);
        let hears = match &entry.hears {
            SlackHears::Socket { app_token } => {
                let app_token = app_token.read("the Slack app's own token", "xapp-")?;
                keep("slack-app-token", &app_token);
                Hears::Socket { app_token }
            }
            SlackHears::Requests { listen, signing_secret } => {
                let secret = signing_secret.read("the Slack app's signing secret", "")?;
                keep("slack-signing-secret", &secret);
                let listener = TcpListener::bind(listen)
                    .await
                    .with_context(|| format!("cannot listen for Slack's requests at {listen}"))?;
                tracing::info!(at = %listener.local_addr()?, path = requests::PATH, "Slack may call");
                Hears::Requests { listener, secret }
            }
        };
        let slack = reach(entry.api.as_deref().unwrap_or(SLACK), &bot_token).await?;
        let team = &slack.own().team;
        if let Some(wanted) = entry.workspace.as_ref().filter(|wanted| *wanted != team) {
            bail!(
                "the Slack bot's token in {} is of the workspace {team}, and the settings say {wanted}",
                entry.bot_token
            );
        }
        if workspaces.iter().any(|other| other.slack.own().team == *team) {
            bail!("two entries of `slack` in the settings are the same workspace, {team}");
        }
        tracing::info!(workspace = team, "Slack lets the bot in");
        workspaces.push(Workspace { slack: Arc::new(slack), hears });
    }
    Ok((workspaces, secrets))
}

/// Tries for a while when Slack does not answer; a token that it refuses is not tried again.
async fn reach(api: &str, token: &str) -> anyhow::Result<Slack> {
    let began = tokio::time::Instant::now();
    loop {
        match Slack::connect(api, token.to_owned()).await {
            Ok(slack) => return Ok(slack),
            Err(error @ ConnectError::Unreachable(_)) if began.elapsed() < REACHED_WITHIN => {
                tracing::warn!(%error, "trying again");
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Workspace {
    /// Listens until told to stop, and hands over to the app.
    pub(super) async fn listen(self, app: Arc<App>, stop: watch::Receiver<bool>) {
        let known = app.clone();
        let names: Names = Arc::new(move |account| {
            known.in_use().catalog.person_of(account).map(|person| person.name.as_str().to_owned())
        });
        let clock = app.store.clock().clone();
        let ear = match &self.hears {
            Hears::Socket { .. } => Ear::Socket,
            Hears::Requests { .. } => Ear::Requests,
        };
        let away = Arc::new(Away::new(self.slack.clone(), app.clone(), names.clone(), clock.clone(), ear));
        let reads = away.clone().run(stop.clone());
        let words = text::answer::why_window();
        let door = Door { slack: self.slack, inbound: app, names, clock, words, away: Some(away) };
        let hears = async {
            match self.hears {
                Hears::Socket { app_token } => Listener::new(door, app_token, Patience::default()).run(stop).await,
                Hears::Requests { listener, secret } => {
                    if let Err(error) = requests::serve(listener, door, secret, stop).await {
                        tracing::error!(%error, "nothing listens to Slack's requests any more");
                    }
                }
            }
        };
        // The one that listens decides when this is over; both end when told to stop.
        tokio::select! {
            () = hears => {}
            () = async { reads.await; std::future::pending().await } => {}
        }
    }
}

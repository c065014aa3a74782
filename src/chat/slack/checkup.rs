//! Looking at a workspace without changing anything there: what `countersign doctor` asks of Slack.
//!
//! What lives here: calls that only read, and what their answers and headers say. What does not: whether that is well, and
//! what to do about it (`cli::doctor`, `text::doctor`). The library that the adapter speaks through keeps the headers to
//! itself, and two of them are what is looked at here: the rights of a token, and Slack's time. So these are requests of
//! our own.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::PLATFORM;
use crate::model::chat::Account;

/// How long one answer is waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How often one question is asked again when Slack asks to wait.
const TRIES: u32 = 4;
/// The longest wait that is obeyed; what Slack wants beyond it is told instead.
const MOST_WAIT: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read. A user group of ten thousand has a tenth of it.
const MOST_ANSWER: usize = 4 * 1024 * 1024;

/// Slack, to be looked at.
#[derive(Debug, Clone)]
pub struct Checkup {
    http: reqwest::Client,
    api: String,
}

/// What a question came to that has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// No connection, or none that lasted.
    #[error("there is no way to it ({0})")]
    NoWay(String),
    /// It asks to wait for longer than one would.
    #[error("it asks to wait; run this again in some minutes")]
    Busy,
    /// Its word for what is wrong.
    #[error("it says {0}")]
    Refused(String),
    /// Something answers that is not Slack.
    #[error("what answers there is not Slack (HTTP {0})")]
    Unreadable(u16),
}

/// Whose token it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The workspace's id.
    pub team: String,
    /// What it is called: a label.
    pub name: String,
    /// The bot's id as a user there.
    pub user: String,
    /// Whether it is a bot's token at all.
    pub is_bot: bool,
    /// What the token may do; `None`: Slack did not say.
    pub scopes: Option<BTreeSet<String>>,
    /// What time Slack says it is, in whole seconds.
    pub time: Option<DateTime<Utc>>,
}

/// A channel, as the bot sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// What it is called: a label.
    pub name: String,
    /// Whether it takes no more messages.
    pub archived: bool,
    /// Whether the bot is in it.
    pub member: bool,
    /// Whether people of other workspaces are in it.
    pub shared: bool,
}

/// An account, as Slack has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The workspace that it belongs to.
    pub team: Option<String>,
    /// Switched off.
    pub deactivated: bool,
    /// An app's.
    pub bot: bool,
    /// Of a guest, who sees some channels only.
    pub guest: bool,
}

impl Checkup {
    /// Looks at Slack where its Web API is.
    ///
    /// # Errors
    /// When this machine cannot make requests at all.
    pub fn new(api: &str) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            // As the bot itself goes: not through a proxy.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWERS_WITHIN)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { http, api: api.trim_end_matches('/').to_owned() })
    }

    /// Whose token it is, what it may do, and what time it is there.
    ///
    /// # Errors
    /// When Slack does not say.
    pub async fn installed(&self, token: &str) -> Result<Installed, Trouble> {
        let (headers, answer) = self.ask(token, "auth.test", &[]).await?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        let scopes = headers.get("x-oauth-scopes").and_then(|scopes| scopes.to_str().ok());
        let time = headers.get(DATE).and_then(|date| date.to_str().ok());
        Ok(Installed {
            team: text("team_id"),
            name: text("team"),
            user: text("user_id"),
            is_bot: answer["bot_id"].is_string(),
            scopes: scopes.map(|all| {
                all.split(',').map(str::trim).filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
            }),
            time: time.and_then(|time| DateTime::parse_from_rfc2822(time).ok()).map(|time| time.to_utc()),
        })
    }

    /// Whether a socket may be opened with the app's own token. Slack names a place for one, and nobody goes there: it is
    /// forgotten.
    ///
    /// # Errors
    /// When it may not.
    pub async fn may_listen(&self, app_token: &str) -> Result<(), Trouble> {
        self.ask(app_token, "apps.connections.open", &[]).await.map(drop)
    }

    /// A channel.
    ///
    /// # Errors
    /// When Slack does not tell: also when it is a private channel without the bot.
    pub async fn channel(&self, token: &str, channel: &str) -> Result<Channel, Trouble> {
        let (_, answer) = self.ask(token, "conversations.info", &[("channel", channel)]).await?;
        let it = &answer["channel"];
        let is = |key: &str| it[key].as_bool().unwrap_or_default();
        Ok(Channel {
            name: it["name"].as_str().unwrap_or_default().to_owned(),
            archived: is("is_archived"),
            // A conversation of two has no members to be one of.
            member: is("is_member") || is("is_im"),
            shared: is("is_ext_shared"),
        })
    }

    /// An account.
    ///
    /// # Errors
    /// When Slack does not tell: also when there is none.
    pub async fn member(&self, token: &str, user: &str) -> Result<Member, Trouble> {
        let (_, answer) = self.ask(token, "users.info", &[("user", user)]).await?;
        let it = &answer["user"];
        let is = |key: &str| it[key].as_bool().unwrap_or_default();
        Ok(Member {
            team: it["team_id"].as_str().map(str::to_owned),
            deactivated: is("deleted"),
            bot: is("is_bot") || it["id"] == "USLACKBOT",
            guest: is("is_restricted") || is("is_ultra_restricted"),
        })
    }

    /// The accounts in a user group.
    ///
    /// # Errors
    /// When Slack does not tell: also when there is none, or it is switched off.
    pub async fn user_group(&self, token: &str, team: &str, group: &str) -> Result<BTreeSet<Account>, Trouble> {
        let (_, answer) = self.ask(token, "usergroups.users.list", &[("usergroup", group)]).await?;
        let users = answer["users"].as_array().ok_or(Trouble::Unreadable(200))?;
        let account =
            |id: &str| Account { platform: PLATFORM.to_owned(), workspace: team.to_owned(), id: id.to_owned() };
        Ok(users.iter().filter_map(Value::as_str).map(account).collect())
    }

    /// Asks, again when Slack asks to wait.
    async fn ask(&self, token: &str, method: &str, fields: &[(&str, &str)]) -> Result<(HeaderMap, Value), Trouble> {
        for _ in 0..TRIES {
            let request = self.http.post(format!("{}/{method}", self.api)).bearer_auth(token).form(fields);
            // What went wrong on the way names the address at most, and the token is not in it.
            let no_way = |error: reqwest::Error| Trouble::NoWay(why(&error).to_owned());
            let mut response = request.send().await.map_err(no_way)?;
            let status = response.status().as_u16();
            if status == 429 {
                let wait = response.headers().get(RETRY_AFTER).and_then(|wait| wait.to_str().ok());
                let wait = wait.and_then(|wait| wait.parse().ok()).map_or(Duration::from_secs(5), Duration::from_secs);
                if wait > MOST_WAIT {
                    return Err(Trouble::Busy);
                }
                tokio::time::sleep(wait).await;
                continue;
            }
            if status >= 500 {
                return Err(Trouble::NoWay(format!("HTTP {status}")));
            }
            let headers = response.headers().clone();
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(no_way)? {
                body.extend_from_slice(&chunk);
                if body.len() > MOST_ANSWER {
                    return Err(Trouble::Unreadable(status));
                }
            }
            let answer: Value = serde_json::from_slice(&body).map_err(|_| Trouble::Unreadable(status))?;
            return match (answer["ok"].as_bool(), answer["error"].as_str()) {
                (Some(true), _) => Ok((headers, answer)),
                (Some(false), Some(error)) => Err(Trouble::Refused(error.to_owned())),
                _ => Err(Trouble::Unreadable(status)),
            };
        }
        Err(Trouble::Busy)
    }
}

/// What kept a request from its answer, in words. The library's own name the whole address.
fn why(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer within 10 s"
    } else if error.is_connect() {
        "no connection can be made"
    } else {
        "the connection broke off"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn where_nobody_listens_there_is_no_way() {
        let _already_there = rustls::crypto::ring::default_provider().install_default();
        let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let at = free.local_addr().expect("an address");
        drop(free);
        let checkup = Checkup::new(&format!("http://{at}/api/")).expect("a client");
        let trouble = checkup.installed("xoxb-secret").await.expect_err("nobody is there");
        assert_eq!(trouble, Trouble::NoWay("no connection can be made".to_owned()));
        assert!(!format!("{trouble:?} {trouble}").contains("secret"));
    }
}

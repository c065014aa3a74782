//! The HTTP client of the commands that speak to a running bot.
//!
//! What lives here: the server's address, the token, and what a refusal says. What does not: any single request.

use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Method, RequestBuilder, Response, Url};

use crate::web::Token;
use crate::web::wire::Wrong;

/// The variable that names the data directory.
pub const DATA_VARIABLE: &str = "COUNTERSIGN_DATA";

/// The variable that holds the token itself.
pub const TOKEN_VARIABLE: &str = "COUNTERSIGN_TOKEN";

/// How long connecting may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of a refusal that are read.
const MOST_REFUSAL: usize = 64 * 1024;

/// Where a server is: `http://HOST:PORT`, perhaps with a path under which it was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

/// A server's address that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write it as http://HOST:PORT, as `countersign up` prints it")]
pub struct BaseUrlError;

impl FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, BaseUrlError> {
        let text = text.trim();
        let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
        let mut url = url.map_err(|_| BaseUrlError)?;
        let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain || url.password().is_some() {
            return Err(BaseUrlError);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(&path);
        Ok(Self(url))
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl BaseUrl {
    /// The address below this one that the segments make, each of them encoded.
    pub(super) fn join(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        // An http address always has a path that can be extended.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }
}

/// Which running bot is spoken to.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// Where the bot listens: what `countersign up` printed after `ready`.
    #[arg(long, value_name = "URL")]
    pub server: BaseUrl,
    /// The bot's data directory, which holds the token [env: COUNTERSIGN_DATA; the token itself: COUNTERSIGN_TOKEN].
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl ServerArgs {
    /// A client of that bot.
    ///
    /// # Errors
    /// When the token is missing, with one sentence.
    pub fn client(&self) -> anyhow::Result<Client> {
        Client::new(self.server.clone(), find_token(self.data.as_deref())?)
    }

    /// The bot's data directory, if it is named.
    pub fn data(&self) -> Option<PathBuf> {
        let named = || env::var_os(DATA_VARIABLE).filter(|data| !data.is_empty()).map(PathBuf::from);
        self.data.clone().or_else(named)
    }
}

/// Finds the token: in the directory that `--data` names, else in `COUNTERSIGN_TOKEN`, else in the directory that
/// `COUNTERSIGN_DATA` names.
///
/// # Errors
/// With one sentence for people, when it is named nowhere, or not readable where it should be.
pub fn find_token(data: Option<&Path>) -> anyhow::Result<Token> {
    choose_token(data, env::var_os(TOKEN_VARIABLE), env::var_os(DATA_VARIABLE))
}

fn choose_token(flag: Option<&Path>, token: Option<OsString>, data: Option<OsString>) -> anyhow::Result<Token> {
    let given = |value: Option<OsString>| value.filter(|value| !value.is_empty());
    if let Some(data) = flag {
        return Ok(Token::read(data)?);
    }
    if let Some(token) = given(token) {
        let token = token.to_str().and_then(|token| Token::parse(token.trim()));
        return token.context("COUNTERSIGN_TOKEN does not hold a token: it has 64 hexadecimal characters");
    }
    if let Some(data) = given(data) {
        return Ok(Token::read(&PathBuf::from(data))?);
    }
    bail!("no token: name the server's data directory with --data or COUNTERSIGN_DATA, or set COUNTERSIGN_TOKEN")
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: BaseUrl,
    token: Token,
}

/// Why there is no answer to use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server was not reached, or went away: asking again may help.
    #[error("{base} does not answer ({why})")]
    Away {
        /// The server.
        base: String,
        /// In a few words.
        why: String,
    },
    /// The server cannot do it now: asking again may help.
    #[error("{0}")]
    NotNow(String),
    /// The server refuses the request.
    #[error("{0}")]
    Refused(String),
}

impl ClientError {
    /// Whether the same request may be answered later.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Away { .. } | Self::NotNow(_) => true,
            Self::Refused(_) => false,
        }
    }
}

impl Client {
    /// A client that sends its token to this server only: no proxy, no redirect.
    ///
    /// # Errors
    /// When no client can be made on this machine.
    pub fn new(base: BaseUrl, token: Token) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_WITHIN)
            .build()
            .context("no HTTP client can be made here")?;
        Ok(Self { http, base, token })
    }

    /// The server.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// A request for the path that the segments make, each of them encoded.
    pub fn request(&self, method: Method, segments: &[&str]) -> RequestBuilder {
        // `bearer_auth` marks the header as sensitive.
        self.http.request(method, self.base.join(segments)).bearer_auth(self.token.expose())
    }

    /// Sends a request; an answer other than a success becomes a sentence.
    ///
    /// # Errors
    /// When the server is away or does not do it.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.away(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let sentence = refusal(response).await;
        let sentence = sentence.unwrap_or_else(|| format!("{} answers {status}: is it countersign?", self.base));
        if status.is_server_error() { Err(ClientError::NotNow(sentence)) } else { Err(ClientError::Refused(sentence)) }
    }

    /// A stream that broke off before its last line.
    pub fn ended_early(&self) -> ClientError {
        ClientError::Away { base: self.base.to_string(), why: "the connection ended early".to_owned() }
    }

    /// What a broken connection means, in a few words.
    pub fn away(&self, error: &reqwest::Error) -> ClientError {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        ClientError::Away { base: self.base.to_string(), why: cause.to_string() }
    }
}

/// The sentence of a refusal, if it is one of ours.
async fn refusal(mut response: Response) -> Option<String> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MOST_REFUSAL {
            return None;
        }
    }
    serde_json::from_slice::<Wrong>(&body).ok().map(|wrong| wrong.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_normalised() {
        let base = |text: &str| text.parse::<BaseUrl>().map(|base| base.to_string());
        for text in ["http://127.0.0.1:4100", "http://127.0.0.1:4100/", "127.0.0.1:4100", " http://127.0.0.1:4100// "] {
            assert_eq!(base(text), Ok("http://127.0.0.1:4100".to_owned()), "{text}");
        }
        assert_eq!(base("https://bot.example/chat/"), Ok("https://bot.example/chat".to_owned()));
        for wrong in ["", "ftp://x", "http://", "http://x?y", "http://x#y", "http://mei:secret@x", "http://x:99999"] {
            assert_eq!(base(wrong), Err(BaseUrlError), "{wrong}");
        }
    }

    #[test]
    fn segments_are_encoded() {
        let base: BaseUrl = "http://h:1/sub/".parse().expect("an address");
        assert_eq!(base.join(&["api", "v1", "a/b c?"]).as_str(), "http://h:1/sub/api/v1/a%2Fb%20c%3F");
        let base: BaseUrl = "http://h:1".parse().expect("an address");
        assert_eq!(base.join(&["api"]).as_str(), "http://h:1/api");
    }

    #[test]
    fn the_flag_comes_first_then_the_token_then_the_directory() {
        let [flag, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let in_flag = Token::create_or_read(flag.path()).expect("a token");
        let in_other = Token::create_or_read(other.path()).expect("a token");
        let text = OsString::from("ab".repeat(32));
        let chosen = |flag: Option<&Path>, token: Option<&OsString>, data: Option<&Path>| {
            choose_token(flag, token.cloned(), data.map(|data| data.as_os_str().to_owned()))
                .map(|token| token.expose().to_owned())
                .map_err(|error| error.to_string())
        };
        assert_eq!(chosen(Some(flag.path()), Some(&text), Some(other.path())), Ok(in_flag.expose().to_owned()));
        assert_eq!(chosen(None, Some(&text), Some(other.path())), Ok("ab".repeat(32)));
        assert_eq!(chosen(None, None, Some(other.path())), Ok(in_other.expose().to_owned()));
        assert_eq!(chosen(None, Some(&OsString::new()), Some(other.path())), Ok(in_other.expose().to_owned()));
        insta::assert_snapshot!(chosen(None, None, None).expect_err("no token"),
            @"no token: name the server's data directory with --data or COUNTERSIGN_DATA, or set COUNTERSIGN_TOKEN");
        insta::assert_snapshot!(chosen(None, Some(&"x".into()), None).expect_err("no token"),
            @"COUNTERSIGN_TOKEN does not hold a token: it has 64 hexadecimal characters");
        insta::assert_snapshot!(chosen(Some(Path::new("/nowhere")), None, None).expect_err("no token"),
            @"/nowhere/token is not there: is this the data directory of a running countersign?");
    }
}

//! Settings: a file, the environment, flags; later ones win. Unknown keys are refused.
//!
//! What lives here: reading and merging. What does not: acting on any of it (`cli::up`). Secrets are not settings: what
//! runbooks need belongs to the catalog, and for what the bot itself needs a setting names where the value comes from.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;

/// How long a lease lasts when nothing is said.
const LEASE: Duration = Duration::from_secs(15);
/// What a lease may last. A shorter one would be lost to a busy moment; a longer one would keep what a lost machine held
/// from everybody else for as long.
const LEASES: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(5 * 60);

/// How long a platform's word on who is in a user group may be relied on.
const GOOD_FOR: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(5 * 60);

/// The settings file, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    catalog: Option<PathBuf>,
    data: Option<PathBuf>,
    database: Option<String>,
    listen: Option<String>,
    #[serde(default)]
    beyond_loopback: bool,
    #[serde(default)]
    names: Vec<String>,
    time_zone: Option<String>,
    lease: Option<String>,
    #[serde(default)]
    slack: Vec<SlackFile>,
    #[serde(default)]
    user_groups: UserGroupsFile,
    ring: Option<RingFile>,
    trusted_keys: Option<Vec<String>>,
    decisions: Option<DecisionsFile>,
}

/// The webhook that rings people, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    url: String,
    secret: Option<SecretFile>,
}

/// The pages on which people decide with a passkey, as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionsFile {
    listen: String,
    url: String,
}

/// How user groups are asked for, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserGroupsFile {
    every: Option<String>,
    good_for: Option<String>,
}

/// One workspace of Slack, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlackFile {
    workspace: Option<String>,
    bot_token: Option<SecretFile>,
    app_token: Option<SecretFile>,
    signing_secret: Option<SecretFile>,
    listen: Option<String>,
    api: Option<String>,
}

/// Where a secret of the bot's own is, as written: `env: NAME` or `file: PATH`. Any other text is taken as well, and
/// refused later (`place`): an error of the reader's would show the line, and somebody may have written the secret there.
#[derive(Debug)]
enum SecretFile {
    Env(String),
    File(PathBuf),
    Neither,
}

impl<'de> Deserialize<'de> for SecretFile {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(reader)?;
        let text = |key: &str| value.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        Ok(match (value.as_object().map(serde_json::Map::len), text("env"), text("file")) {
            (Some(1), Some(name), None) => Self::Env(name),
            (Some(1), None, Some(path)) => Self::File(path.into()),
            _ => Self::Neither,
        })
    }
}

/// What was said on the command line or by environment variables.
#[derive(Debug, Default, Clone)]
pub struct Flags {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--catalog`.
    pub catalog: Option<PathBuf>,
    /// `--data`.
    pub data: Option<PathBuf>,
    /// `--database`.
    pub database: Option<String>,
    /// `--listen`.
    pub listen: Option<String>,
}

/// The settings in force.
#[derive(Debug)]
pub struct Settings {
    /// The catalog's folder.
    pub catalog: PathBuf,
    /// The bot's own folder: token, managed database.
    pub data: PathBuf,
    /// Where the database is.
    pub database: Database,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Further names under which this server is reached, for the check of Host and Origin.
    pub names: Vec<String>,
    /// In which zone times are said.
    pub time_zone: chrono_tz::Tz,
    /// How long what this process holds (runs, rooms, the ledger's end) stays its own without being renewed: 2 seconds to
    /// 5 minutes. Another process on the same database waits this long before it takes over from one that it cannot
    /// prove dead.
    pub lease: Duration,
    /// The workspaces of Slack. With any of them this is no trial: everybody speaks for themselves.
    pub slack: Vec<SlackSettings>,
    /// How often platforms are asked who is in their user groups; at most half of the next.
    pub user_groups_every: Duration,
    /// For how long an answer is relied on: 1 second to 5 minutes. Longer would let somebody approve long after they were
    /// taken out of a group that nobody can look into.
    pub user_groups_good_for: Duration,
    /// The webhook that calls people who do not look; `None`: nobody is called.
    pub ring: Option<RingSettings>,
    /// The only public keys whose signature under an approval lets a step start, 64 hexadecimal characters each; `None`:
    /// those that the ledger knows.
    pub trusted_keys: Option<Vec<String>>,
    /// The pages on which people decide with a passkey; `None`: there are none, and what wants a passkey cannot be approved.
    pub decisions: Option<DecisionSettings>,
}

/// The webhook that calls people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingSettings {
    /// Where it is. May hold a token of its own: never printed.
    pub url: String,
    /// The secret by which what it is sent is signed.
    pub secret: SecretPlace,
}

/// The pages on which people decide with a passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionSettings {
    /// Where they are served. May be open to the world by itself: nothing else is served there.
    pub listen: SocketAddr,
    /// How browsers reach them: `https://` and a host, or `http://localhost`; with a port if it is not the scheme's own,
    /// without a path.
    pub origin: String,
    /// That host. Passkeys are made for it and for no other.
    pub host: String,
}

/// One workspace of Slack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlackSettings {
    /// Which workspace the bot's token must belong to; `None`: whichever it does.
    pub workspace: Option<String>,
    /// The bot's token (`xoxb-…`).
    pub bot_token: SecretPlace,
    /// How the bot hears.
    pub hears: SlackHears,
    /// Where a server stands that speaks as Slack's Web API does; `None`: Slack itself.
    pub api: Option<String>,
}

/// How the bot hears what is said in Slack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlackHears {
    /// Through a socket that it opens (Socket Mode): nothing has to reach it from outside.
    Socket {
        /// The app's own token (`xapp-…`).
        app_token: SecretPlace,
    },
    /// By requests that Slack makes (Events API over HTTP).
    Requests {
        /// Where it listens for them.
        listen: SocketAddr,
        /// What Slack signs them with.
        signing_secret: SecretPlace,
    },
}

/// Where a secret of the bot's own is. Never the secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In an environment variable.
    Env(String),
    /// In a file, which holds nothing else.
    File(PathBuf),
}

impl std::fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

impl SecretPlace {
    /// Reads it. `what` says what it is, and `begins` how every such secret begins; it may be empty.
    ///
    /// # Errors
    /// One sentence that says where it was looked for. It never holds any part of the value.
    pub fn read(&self, what: &str, begins: &str) -> anyhow::Result<String> {
        let value = match self {
            Self::Env(name) => std::env::var(name)
                .with_context(|| format!("{what} is not there: {self} is not set, or is not text"))?,
            Self::File(path) => {
                std::fs::read_to_string(path).with_context(|| format!("{what} cannot be read: {self}"))?
            }
        };
        let value = value.trim();
        if value.is_empty() {
            bail!("{what} is not there: {self} is empty");
        }
        if !value.starts_with(begins) {
            bail!("{self} does not hold {what}, which begins with `{begins}`");
        }
        Ok(value.to_owned())
    }
}

/// Where the database is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A Postgres that this program finds, starts and stops.
    Auto,
    /// One that is there, by URL. The URL may hold a password and is never printed.
    Url(String),
}

/// The bot's own folder when none is named: `$XDG_DATA_HOME/countersign`, else `~/.local/share/countersign`.
///
/// # Errors
/// When neither `XDG_DATA_HOME` nor `HOME` is set.
pub fn default_data() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_DATA_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("countersign"))
        .context("neither XDG_DATA_HOME nor HOME is set; say where to keep data with --data DIR")
}

impl Settings {
    /// Reads the file, if one is named, and merges.
    ///
    /// # Errors
    /// One sentence that names the file and key, or the flag, that is wrong.
    pub fn read(flags: Flags) -> anyhow::Result<Self> {
        let file = match &flags.config {
            Some(path) => read_file(path)?,
            None => File::default(),
        };
        let data = match flags.data.or(file.data) {
            Some(data) => data,
            None => default_data()?,
        };
        let listen = flags.listen.or(file.listen).unwrap_or_else(|| "127.0.0.1:7373".to_owned());
        let listen: SocketAddr = listen.parse().map_err(|_| {
            anyhow::anyhow!("cannot listen at `{listen}`: say an address and a port, such as 127.0.0.1:7373")
        })?;
        if !listen.ip().is_loopback() && !file.beyond_loopback {
            bail!(
                "{listen} can be reached from other machines, and in the trial whoever has the token can speak as anybody; \
                 if that is wanted, write `beyond_loopback: true` in the settings file"
            );
        }
        let zone = file.time_zone.unwrap_or_else(|| "UTC".to_owned());
        let time_zone = zone.parse().map_err(|_| {
            anyhow::anyhow!("time_zone: `{zone}` is not a zone; say one such as Asia/Singapore or Europe/Berlin")
        })?;
        let lease = file.lease.as_deref().map_or(Ok(LEASE), read_lease)?;
        let (user_groups_every, user_groups_good_for) = read_user_groups(&file.user_groups)?;
        let database = match flags.database.or(file.database) {
            None => Database::Auto,
            Some(database) if database == "auto" => Database::Auto,
            Some(url) => Database::Url(url),
        };
        Ok(Self {
            catalog: flags.catalog.or(file.catalog).unwrap_or_else(|| PathBuf::from("runbooks")),
            data,
            database,
            listen,
            names: file.names,
            time_zone,
            lease,
            slack: file.slack.into_iter().map(read_slack).collect::<anyhow::Result<_>>()?,
            user_groups_every,
            user_groups_good_for,
            ring: file.ring.map(read_ring).transpose()?,
            trusted_keys: file.trusted_keys.map(read_trusted_keys).transpose()?,
            decisions: file.decisions.map(read_decisions).transpose()?,
        })
    }
}

fn read_ring(file: RingFile) -> anyhow::Result<RingSettings> {
    let secret = match file.secret {
        None => SecretPlace::Env("COUNTERSIGN_RING_SECRET".to_owned()),
        Some(SecretFile::Env(name)) => SecretPlace::Env(name),
        Some(SecretFile::File(path)) => SecretPlace::File(path),
        Some(SecretFile::Neither) => bail!(
            "ring: secret: say where it is, as `{{env: NAME}}` or `{{file: PATH}}`; the secret itself does not belong here"
        ),
    };
    Ok(RingSettings { url: file.url, secret })
}

/// Public keys as `countersign keys list` shows them.
fn read_trusted_keys(keys: Vec<String>) -> anyhow::Result<Vec<String>> {
    if keys.is_empty() {
        bail!(
            "trusted_keys: name at least one key, or leave it out: with none no step that needs approval could start"
        );
    }
    match keys.iter().find(|key| key.len() != 64 || !key.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        Some(wrong) => bail!(
            "trusted_keys: `{wrong}` is no public key; `countersign keys list` shows them, 64 hexadecimal characters each"
        ),
        None => Ok(keys.into_iter().map(|key| key.to_ascii_lowercase()).collect()),
    }
}

fn read_decisions(file: DecisionsFile) -> anyhow::Result<DecisionSettings> {
    let DecisionsFile { listen, url } = file;
    let listen = listen.parse().map_err(|_| {
        anyhow::anyhow!("decisions: cannot listen at `{listen}`: say an address and a port, such as 127.0.0.1:7375")
    })?;
    let read = reqwest::Url::parse(&url).ok().filter(|url| {
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        bare && url.username().is_empty() && url.password().is_none()
    });
    let read = read.with_context(|| {
        format!("decisions: `url: {url}` is not the address of a host alone; write it as https://decide.example")
    })?;
    // Browsers make passkeys for names, and speak to them only where nobody listens in.
    let Some(host) = read.domain() else {
        bail!(
            "decisions: `url: {url}` names a number, and passkeys are made for names; on this machine write localhost"
        );
    };
    if read.scheme() != "https" && !(read.scheme() == "http" && host == "localhost") {
        bail!(
            "decisions: `url: {url}`: browsers use passkeys over https:// only, or on this machine at http://localhost"
        );
    }
    Ok(DecisionSettings { listen, host: host.to_owned(), origin: read.origin().ascii_serialization() })
}

fn read_slack(file: SlackFile) -> anyhow::Result<SlackSettings> {
    let hears = match (file.listen, file.app_token, file.signing_secret) {
        (Some(_), Some(_), _) => {
            bail!(
                "slack: `listen` is for requests that Slack makes, `app_token` for a socket that the bot opens; keep one"
            )
        }
        (None, _, Some(_)) => bail!(
            "slack: `signing_secret` is for requests that Slack makes; say with `listen` where they come, such as 127.0.0.1:7374"
        ),
        (Some(listen), None, secret) => SlackHears::Requests {
            listen: listen.parse().map_err(|_| {
                anyhow::anyhow!("slack: cannot listen at `{listen}`: say an address and a port, such as 127.0.0.1:7374")
            })?,
            signing_secret: place("signing_secret", secret, "SLACK_SIGNING_SECRET")?,
        },
        (None, app_token, None) => SlackHears::Socket { app_token: place("app_token", app_token, "SLACK_APP_TOKEN")? },
    };
    if let Some(api) = &file.api {
        let url = reqwest::Url::parse(api).map_err(|_| anyhow::anyhow!("slack: `api: {api}` is not an address"))?;
        let host = url.host_str().unwrap_or_default();
        let local = ["127.0.0.1", "[::1]", "localhost"].contains(&host) && url.username().is_empty();
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            bail!("slack: `api: {api}` would send the bot's token over the network as plain text; use https://");
        }
    }
    Ok(SlackSettings {
        workspace: file.workspace,
        bot_token: place("bot_token", file.bot_token, "SLACK_BOT_TOKEN")?,
        hears,
        api: file.api,
    })
}

/// Where a secret is: as written, else in the variable that everybody uses for it.
fn place(key: &str, file: Option<SecretFile>, variable: &str) -> anyhow::Result<SecretPlace> {
    match file {
        None => Ok(SecretPlace::Env(variable.to_owned())),
        Some(SecretFile::Env(name)) => Ok(SecretPlace::Env(name)),
        Some(SecretFile::File(path)) => Ok(SecretPlace::File(path)),
        Some(SecretFile::Neither) => {
            bail!(
                "slack: {key}: say where it is, as `{{env: NAME}}` or `{{file: PATH}}`; the secret itself does not belong here"
            )
        }
    }
}

/// How often user groups are asked for, and for how long an answer is relied on.
fn read_user_groups(file: &UserGroupsFile) -> anyhow::Result<(Duration, Duration)> {
    let read = |key: &str, text: &Option<String>| match text {
        None => Ok(None),
        Some(text) => {
            humantime::parse_duration(text).ok().filter(|time| GOOD_FOR.contains(time)).map(Some).with_context(|| {
                format!("user_groups: `{key}: {text}` is not a time from 1s to 5m; say one such as 1m")
            })
        }
    };
    let good_for = read("good_for", &file.good_for)?.unwrap_or(*GOOD_FOR.end());
    let every = read("every", &file.every)?.unwrap_or((good_for / 2).min(Duration::from_secs(60)));
    if every * 2 > good_for {
        bail!(
            "user_groups: every {every:?} is too seldom for what is good for {good_for:?}: one answer that is lost would \
             take everybody's rights away; let `every` be at most half of `good_for`"
        );
    }
    Ok((every, good_for))
}

fn read_lease(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text)
        .ok()
        .filter(|lease| LEASES.contains(lease))
        .with_context(|| format!("lease: `{text}` is not a time from 2s to 5m; say one such as 15s"))
}

fn read_file(path: &Path) -> anyhow::Result<File> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("the settings file {} cannot be read", path.display()))?;
    // Without the line itself: somebody may have written a token into it.
    serde_yaml::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {}", path.display(), error.without_snippet()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(content: &str, flags: Flags) -> anyhow::Result<Settings> {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("countersign.yaml");
        std::fs::write(&path, content).expect("a file");
        Settings::read(Flags { config: Some(path), ..flags })
    }

    #[test]
    fn flags_win_over_the_file() {
        let flags = Flags { listen: Some("127.0.0.1:9".to_owned()), ..Flags::default() };
        let settings = with_file("listen: 127.0.0.1:8\ndata: /x\ndatabase: postgres://h/d\n", flags).expect("settings");
        assert_eq!(settings.listen.port(), 9);
        assert_eq!(settings.data, PathBuf::from("/x"));
        assert_eq!(settings.database, Database::Url("postgres://h/d".to_owned()));
        assert_eq!(settings.catalog, PathBuf::from("runbooks"));
    }

    #[test]
    fn a_lease_is_what_the_file_says() {
        let lease = |content: &str| with_file(content, Flags::default()).expect("settings").lease;
        assert_eq!(lease("data: /x\n"), Duration::from_secs(15));
        assert_eq!(lease("data: /x\nlease: 2s\n"), Duration::from_secs(2));
        assert_eq!(lease("data: /x\nlease: 5m\n"), Duration::from_secs(300));
    }

    #[test]
    fn a_workspace_needs_no_more_than_its_two_tokens_in_the_usual_variables() {
        let slack = |content: &str| with_file(content, Flags::default()).expect("settings").slack;
        let env = |name: &str| SecretPlace::Env(name.to_owned());
        assert_eq!(slack("data: /x\n"), []);
        let usual = slack("data: /x\nslack: [{}]\n").remove(0);
        assert_eq!(usual.bot_token, env("SLACK_BOT_TOKEN"));
        assert_eq!(usual.hears, SlackHears::Socket { app_token: env("SLACK_APP_TOKEN") });
        assert_eq!((usual.workspace, usual.api), (None, None));
        let called = slack(
            "data: /x\nslack:\n  - workspace: T1\n    listen: 127.0.0.1:7374\n    bot_token: {file: /run/t}\n    \
             signing_secret: {env: S}\n    api: http://127.0.0.1:9/api\n",
        )
        .remove(0);
        let listen = "127.0.0.1:7374".parse().expect("an address");
        assert_eq!(called.hears, SlackHears::Requests { listen, signing_secret: env("S") });
        assert_eq!(called.bot_token, SecretPlace::File("/run/t".into()));
        assert_eq!(called.workspace.as_deref(), Some("T1"));
    }

    #[test]
    fn a_workspace_that_cannot_be_is_refused_in_words() {
        let wrong = |entry: &str| {
            let content = format!("data: /x\nslack: [{entry}]\n");
            format!("{:#}", with_file(&content, Flags::default()).expect_err(entry))
        };
        let both = wrong("{listen: '127.0.0.1:1', app_token: {env: A}}");
        assert!(both.contains("keep one"), "{both}");
        let nowhere = wrong("{signing_secret: {env: A}}");
        assert!(nowhere.contains("say with `listen`"), "{nowhere}");
        let vague = wrong("{bot_token: {}}");
        assert!(vague.contains("bot_token: say where it is"), "{vague}");
        for api in ["http://slack.example/api", "http://127.0.0.1:1@slack.example/api", "ftp://127.0.0.1/api"] {
            let plain = wrong(&format!("{{api: '{api}'}}"));
            assert!(plain.contains("as plain text"), "{plain}");
        }
        let unknown = wrong("{bot-token: xoxb-1-hidden}");
        assert!(unknown.contains("bot-token") && !unknown.contains("hidden"), "{unknown}");
        let inline = wrong("{bot_token: xoxb-1-hidden}");
        assert!(inline.contains("bot_token: say where it is") && !inline.contains("hidden"), "{inline}");
        assert!(wrong("{listen: here}").contains("cannot listen at `here`"));
        assert!(wrong("{colour: red}").contains("colour"));
    }

    #[test]
    fn a_secret_is_read_without_its_line_end_and_never_shown() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("token");
        let read = |content: &str| {
            std::fs::write(&path, content).expect("a file");
            SecretPlace::File(path.clone()).read("the bot's token", "xoxb-").map_err(|error| format!("{error:#}"))
        };
        assert_eq!(read("xoxb-1\n"), Ok("xoxb-1".to_owned()));
        let other = read("xapp-secret\n").expect_err("another token");
        assert!(other.contains("does not hold the bot's token, which begins with `xoxb-`"), "{other}");
        assert!(!other.contains("secret"), "{other}");
        assert!(read(" \n").expect_err("empty").contains("is empty"));
        let unset = SecretPlace::Env("COUNTERSIGN_TEST_UNSET".to_owned()).read("the bot's token", "xoxb-");
        assert!(format!("{:#}", unset.expect_err("unset")).contains("COUNTERSIGN_TEST_UNSET is not set"));
    }

    #[test]
    fn a_ring_names_where_its_secret_is() {
        let ring = |content: &str| with_file(content, Flags::default()).map(|settings| settings.ring);
        assert_eq!(ring("data: /x\n").expect("settings"), None);
        let usual = ring("data: /x\nring: {url: 'https://ring.example/x'}\n").expect("settings").expect("a ring");
        assert_eq!(usual.secret, SecretPlace::Env("COUNTERSIGN_RING_SECRET".to_owned()));
        let inline = ring("data: /x\nring: {url: 'https://ring.example/x', secret: hidden}\n").expect_err("inline");
        assert!(inline.to_string().starts_with("ring: secret: say where it is"), "{inline}");
    }

    #[test]
    fn user_groups_are_asked_for_at_least_twice_as_often_as_an_answer_lasts() {
        let read = |content: &str| {
            with_file(&format!("data: /x\n{content}"), Flags::default())
                .map(|settings| (settings.user_groups_every.as_millis(), settings.user_groups_good_for.as_millis()))
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(""), Ok((60_000, 300_000)));
        assert_eq!(read("user_groups: {good_for: 1m}\n"), Ok((30_000, 60_000)));
        assert_eq!(read("user_groups: {every: 1s, good_for: 3s}\n"), Ok((1_000, 3_000)));
        for wrong in ["{every: 3m}", "{every: 1m, good_for: 1m}", "{good_for: 6m}", "{every: 0s}", "{every: often}"] {
            let said = read(&format!("user_groups: {wrong}\n")).expect_err(wrong);
            assert!(said.starts_with("user_groups: "), "{said}");
        }
    }

    #[test]
    fn pages_for_passkeys_have_a_name_and_nobody_listens_in() {
        let read = |url: &str| {
            with_file(&format!("data: /x\ndecisions: {{listen: '127.0.0.1:1', url: '{url}'}}\n"), Flags::default())
                .map(|settings| settings.decisions.expect("pages"))
                .map_err(|error| format!("{error:#}"))
        };
        let one = read("https://Decide.example/").expect("pages");
        assert_eq!((one.host.as_str(), one.origin.as_str()), ("decide.example", "https://decide.example"));
        let here = read("http://localhost:7375").expect("pages");
        assert_eq!((here.host.as_str(), here.origin.as_str()), ("localhost", "http://localhost:7375"));
        assert_eq!(read("https://d.example:444").expect("pages").origin, "https://d.example:444");
        for bad in ["https://d.example/x", "https://u@d.example", "https://d.example?q", "d.example", "localhost:1", ""]
        {
            assert!(read(bad).expect_err(bad).contains("a host alone"), "{bad}");
        }
        for bad in ["http://d.example", "http://localhost.example"] {
            assert!(read(bad).expect_err(bad).contains("https:// only"), "{bad}");
        }
        for bad in ["http://127.0.0.1:1", "https://[::1]", "https://192.0.2.1"] {
            assert!(read(bad).expect_err(bad).contains("names a number"), "{bad}");
        }
        assert_eq!(with_file("data: /x\n", Flags::default()).expect("settings").decisions, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |content: &str| format!("{:#}", with_file(content, Flags::default()).expect_err(content));
        assert!(wrong("colour: red\n").contains("colour"), "{}", wrong("colour: red\n"));
        assert!(wrong("data: /x\nlisten: here\n").contains("cannot listen at `here`"));
        assert!(wrong("data: /x\ntime_zone: Mars\n").contains("`Mars` is not a zone"));
        for lease in ["1999ms", "301s", "15", "-3s", "long"] {
            let said = wrong(&format!("data: /x\nlease: '{lease}'\n"));
            assert!(said.contains(&format!("lease: `{lease}` is not a time from 2s to 5m")), "{said}");
        }
        assert!(wrong("data: /x\nlisten: 0.0.0.0:80\n").contains("beyond_loopback: true"));
        assert!(with_file("data: /x\nlisten: 0.0.0.0:80\nbeyond_loopback: true\n", Flags::default()).is_ok());
    }
}

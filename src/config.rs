//! Settings: a file, the environment, flags; later ones win. Unknown keys are refused.
//!
//! What lives here: reading and merging. What does not: acting on any of it (`cli::up`). Secrets are not settings: they
//! belong to the catalog, which names where their values come from.

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
        })
    }
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
    serde_yaml::from_str(&text).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
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

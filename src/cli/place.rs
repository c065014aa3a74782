//! Where a command that only reads finds the ledger: at a running bot, or in its database.
//!
//! What lives here: the three flags of which exactly one is given, and opening what they name. What does not: anything
//! that is asked there.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::{env, fmt};

use anyhow::{Context as _, bail};
use sqlx::postgres::PgConnectOptions;

use super::client::{BaseUrl, Client, DATA_VARIABLE, TOKEN_VARIABLE, find_token};
use crate::engine::plan::LocalWorld;
use crate::store::Store;
use crate::store::managed::{self, Managed, ManagedError, ManagedOptions, Origin};
use crate::sys;

/// Exactly one of `--server`, `--database` and `--data`.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = false)]
pub struct PlaceArgs {
    /// Ask the running bot at this address, which `countersign up` printed after `ready` [env: COUNTERSIGN_DATA names
    /// its data directory, or COUNTERSIGN_TOKEN holds its token].
    #[arg(long, value_name = "URL")]
    pub server: Option<BaseUrl>,
    /// Read this database, without changing it.
    #[arg(long, value_name = "URL")]
    pub database: Option<DatabaseUrl>,
    /// Read the database in this data directory while no bot uses it.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// A database's URL, which may hold a password: it is never shown (I8).
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl(String);

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    // Whether it is one is found out later, in words that do not repeat it.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

impl DatabaseUrl {
    /// How to connect there.
    ///
    /// # Errors
    /// With one sentence that does not repeat the URL.
    pub fn options(&self) -> anyhow::Result<PgConnectOptions> {
        let is_ours = ["postgres://", "postgresql://"].iter().any(|scheme| self.0.starts_with(scheme));
        let options = is_ours.then(|| self.0.parse::<PgConnectOptions>().ok()).flatten();
        options.context("--database wants a URL such as postgres://USER:PASSWORD@HOST/NAME")
    }
}

/// What the flags name, open.
#[derive(Debug)]
pub enum Place {
    /// A running bot.
    Server(Client),
    /// A database whose schema is this binary's, and the server that was started or adopted for it.
    Store(Store, Option<Box<Managed>>),
}

impl PlaceArgs {
    /// Opens what the flags name. Nothing is created and no schema is changed.
    ///
    /// # Errors
    /// With one sentence that says what to do instead.
    pub async fn open(&self) -> anyhow::Result<Place> {
        if let Some(base) = &self.server {
            return Ok(Place::Server(client(base.clone())?));
        }
        let (options, managed) = match (&self.database, &self.data) {
            (Some(url), _) => (url.options()?, None),
            (None, Some(data)) => {
                let managed = start(data).await?;
                (managed.connect_options(), Some(managed))
            }
            // The group requires one of them.
            (None, None) => bail!("name the ledger: --server URL, --database URL or --data DIR"),
        };
        match connect(options).await {
            Ok(store) => Ok(Place::Store(store, managed.map(Box::new))),
            Err(error) => {
                stop(managed).await?;
                Err(error)
            }
        }
    }
}

impl Place {
    /// Leaves everything as it was found: a database server that was started for this is stopped, one that ran already
    /// runs on.
    ///
    /// # Errors
    /// When the server does not stop.
    pub async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Server(_) => Ok(()),
            Self::Store(store, managed) => {
                store.close().await;
                stop(managed.map(|managed| *managed)).await
            }
        }
    }
}

fn client(base: BaseUrl) -> anyhow::Result<Client> {
    let given = |variable: &str| env::var_os(variable).is_some_and(|value| !value.is_empty());
    // `--data` is another place here, so the usual sentence, which proposes it, would mislead.
    if !given(TOKEN_VARIABLE) && !given(DATA_VARIABLE) {
        bail!("no token: set {DATA_VARIABLE} to the server's data directory, or {TOKEN_VARIABLE} to its token");
    }
    Client::new(base, find_token(None)?)
}

async fn start(data: &Path) -> anyhow::Result<Managed> {
    if data.join("postgres").symlink_metadata().is_err() {
        bail!("{} holds no database: name the data directory of a countersign that has run", data.display());
    }
    managed::start(ManagedOptions::new(data)).await.map_err(|error| match error {
        ManagedError::InUse { data_dir, holder } => {
            let holder = holder.map(|pid| format!(" (process {pid})")).unwrap_or_default();
            let data = data_dir.display();
            anyhow::anyhow!("a running countersign{holder} uses {data}: ask it with `--server URL` instead")
        }
        error => error.into(),
    })
}

async fn connect(options: PgConnectOptions) -> anyhow::Result<Store> {
    let store = Store::connect_as_is(options).await.context("the database cannot be read")?;
    match store.expect_current().await {
        Ok(()) => Ok(store),
        Err(error) => {
            store.close().await;
            Err(error.into())
        }
    }
}

async fn stop(managed: Option<Managed>) -> anyhow::Result<()> {
    match managed {
        Some(managed) if managed.origin() != Origin::Adopted => Ok(managed.stop().await?),
        // Dropped, an adopted one runs on.
        _ => Ok(()),
    }
}

/// Where programs are looked for, after the folder of this program itself.
const SEARCH_PATH: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// This host as plans see it: its name, the folder of this program, then the system's usual folders. The caller's `PATH`
/// has no say. The bot and the command line must see the same, or their plans of the same thing differ.
///
/// # Errors
/// When the system does not say where this program is.
pub fn local_world() -> anyhow::Result<LocalWorld> {
    let exe = env::current_exe().context("the system does not say where this program is")?;
    let own = exe.parent().map(Path::to_owned);
    let search_path = own.into_iter().chain(SEARCH_PATH.map(PathBuf::from)).collect();
    Ok(LocalWorld { search_path, host: sys::hostname() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        place: PlaceArgs,
    }

    fn parse(line: &str) -> Result<PlaceArgs, clap::Error> {
        Program::try_parse_from(line.split(' ')).map(|program| program.place)
    }

    #[test]
    fn exactly_one_place_is_named() {
        assert!(parse("x --server http://127.0.0.1:1").is_ok_and(|place| place.server.is_some()));
        assert!(parse("x --database postgres://h/n").is_ok_and(|place| place.database.is_some()));
        assert!(parse("x --data /d").is_ok_and(|place| place.data == Some("/d".into())));
        for wrong in
            ["x", "x --server h:1 --data d", "x --data d --database u", "x --data d --data e", "x --server ftp://h"]
        {
            assert_eq!(parse(wrong).map_err(|error| error.exit_code()).expect_err("wrong"), 2, "{wrong}");
        }
    }

    #[test]
    fn i8_a_database_url_is_not_shown() {
        let url = "mysql://mei:hush@h/n".parse::<DatabaseUrl>().expect("never fails");
        assert_eq!(format!("{url:?}"), "DatabaseUrl(…)");
        let error = url.options().expect_err("not ours");
        assert_eq!(format!("{error:#}"), "--database wants a URL such as postgres://USER:PASSWORD@HOST/NAME");
        assert!("postgres://mei:hush@h/n".parse::<DatabaseUrl>().expect("never fails").options().is_ok());
    }

    #[tokio::test]
    async fn a_folder_without_a_database_stays_without() {
        let folder = tempfile::tempdir().expect("a folder");
        for data in [folder.path().to_owned(), folder.path().join("missing")] {
            let place = PlaceArgs { server: None, database: None, data: Some(data.clone()) };
            let error = place.open().await.expect_err("no database");
            let said = format!("{error:#}").replace(&data.display().to_string(), "DIR");
            assert_eq!(said, "DIR holds no database: name the data directory of a countersign that has run");
            assert!(!folder.path().join("lock").exists() && !folder.path().join("missing").exists());
        }
    }

    #[test]
    fn this_program_finds_its_own_kind_first() {
        let own = env::current_exe().expect("a program");
        let world = local_world().expect("a world");
        assert_eq!(world.search_path.first().map(PathBuf::as_path), own.parent());
        assert!(world.search_path.iter().all(|folder| folder.is_absolute()));
    }
}

//! The database that comes with the program: a real Postgres that is found on this machine, initialised in the data
//! directory, started, adopted after a crash, and stopped (`database: auto`).
//!
//! What lives here: the life of that server. Finding its programs is in [`find`], making its files in [`cluster`], the
//! running server in [`server`]. What does not: our tables and statements (the rest of `store`).
//!
//! In the data directory stand:
//!
//! - `lock`: held by the one bot that may use the directory;
//! - `postgres/`: the cluster in `data/`, and `password`; owned by whom the server runs as. It appears complete or not
//!   at all. Root's data directory may be closed to that user: then it is a link to `/var/lib/countersign/…`;
//! - `postgres.new`: one that is being made, or was when somebody was killed; removed at the next start;
//! - `postgres.log`: what the server says.
//!
//! The server listens on a Unix socket only, which only its own user (and root) can open, and still asks for the
//! password. It keeps running when the bot is killed, and the next bot adopts it.

mod cluster;
mod find;
mod server;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::process::Child;

use self::server::Making;
use crate::sys::{FileLock, LockError, ProcessIdentity};

pub use self::find::{Installed, OLDEST_MAJOR, Search};

/// The role that owns the database. A superuser of this cluster, as tests make databases of their own.
const USER: &str = "countersign";
/// The database.
const DATABASE: &str = "countersign";
/// The number in the socket file's name. Nothing listens on it as a port.
const PORT: u16 = 5432;

/// How to run the managed server.
#[derive(Debug, Clone)]
pub struct ManagedOptions {
    /// The bot's data directory; made if it is missing, for us alone to read.
    pub data_dir: PathBuf,
    /// Where to look for the server's programs.
    pub search: Search,
    /// Further settings of the server (`max_connections`, `80`). They win over ours.
    pub settings: Vec<(String, String)>,
    /// How long the server may take until it answers, crash recovery included.
    pub ready_within: Duration,
    /// How long it may take to stop in good order before it is stopped at once (which loses nothing, but makes the next
    /// start slower).
    pub stop_within: Duration,
}

impl ManagedOptions {
    /// The usual ones: the system's own Postgres, 30 s to get ready, 20 s to stop.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            search: Search::System,
            settings: Vec::new(),
            ready_within: Duration::from_secs(30),
            stop_within: Duration::from_secs(20),
        }
    }
}

/// How a running server was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Its files were made now.
    Created,
    /// It was started on files that were there.
    Started,
    /// It ran already.
    Adopted,
}

/// A running server that answers, and the lock on its data directory.
///
/// Dropped, it lets go of the lock and leaves the server running, as if the bot had been killed. [`Managed::stop`] ends
/// the server.
pub struct Managed {
    /// Held until the very end, so that nobody starts a server while this one stops.
    _lock: FileLock,
    /// Ours to collect, unless it was adopted.
    child: Option<Child>,
    identity: ProcessIdentity,
    origin: Origin,
    socket_dir: PathBuf,
    port: u16,
    password: String,
    stop_within: Duration,
}

/// Why there is no managed database.
#[derive(Debug, thiserror::Error)]
pub enum ManagedError {
    /// Another bot uses the data directory.
    #[error("Another countersign{} uses the data directory {}. Stop that one, or give this one its own with `--data DIR`.",
        .holder.map(|pid| format!(" (process {pid})")).unwrap_or_default(), .data_dir.display())]
    InUse {
        /// The directory.
        data_dir: PathBuf,
        /// The other's pid, if it could be read.
        holder: Option<u32>,
    },
    /// No Postgres that is new enough is installed where we look.
    #[error("{}", find::nothing_found(.too_old))]
    NoPostgres {
        /// What was found and is too old.
        too_old: Vec<Installed>,
    },
    /// The cluster was made by a Postgres that is not installed.
    #[error("{}", find::wrong_major(.cluster, *.needed, .found))]
    WrongMajor {
        /// The cluster.
        cluster: PathBuf,
        /// The major version that made it.
        needed: u32,
        /// What was found instead.
        found: Vec<Installed>,
    },
    /// The user that we run as has a number and no name.
    #[error(
        "This process runs as user {uid}, which has no entry in /etc/passwd, and Postgres refuses to run so. Name a \
         server with `--database postgres://USER:PASSWORD@HOST/NAME`."
    )]
    NamelessUser {
        /// The number.
        uid: u32,
    },
    /// We are root, Postgres refuses to run as root, and there is nobody else to run it as.
    #[error(
        "Postgres refuses to run as root, and this machine has neither a user `postgres` nor a user `nobody`. Start \
         countersign as another user, or name a server with `--database postgres://USER:PASSWORD@HOST/NAME`."
    )]
    NoServerUser,
    /// What stands where the cluster should be is none.
    #[error("{} holds no database of ours ({what}). Put it back, or move it away to begin a new one.", .home.display())]
    NotACluster {
        /// The place.
        home: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The directory for the socket is not ours alone.
    #[error("{} should be a directory that only {owner} can enter, and is not. Remove it and start again.", .path.display())]
    UnsafeSocketDirectory {
        /// The place.
        path: PathBuf,
        /// Whom it should belong to.
        owner: String,
    },
    /// `initdb` failed.
    #[error("{} could not make a database in {}. It said:\n{said}", .program.display(), .home.display())]
    Init {
        /// The program.
        program: PathBuf,
        /// Where.
        home: PathBuf,
        /// The end of its output.
        said: String,
    },
    /// The server ended instead of getting ready.
    #[error("The database server did not start. The end of {}:\n{tail}", .log.display())]
    Start {
        /// Its log.
        log: PathBuf,
        /// The last lines that it wrote in this start.
        tail: String,
    },
    /// The server did not get ready in time. It was left running.
    #[error("The database server did not answer within {} s{}. The end of {}:\n{tail}", .within.as_secs(),
        .answer.as_ref().map(|answer| format!(" ({answer})")).unwrap_or_default(), .log.display())]
    NotReady {
        /// The time that it had.
        within: Duration,
        /// What it answered last, if anything.
        answer: Option<String>,
        /// Its log.
        log: PathBuf,
        /// The last lines that it wrote in this start.
        tail: String,
    },
    /// The server refuses us.
    #[error("The database server in {} refuses us: {answer}.", .home.display())]
    Refused {
        /// Its place.
        home: PathBuf,
        /// What it answered.
        answer: String,
    },
    /// The server runs on although it was told to stop.
    #[error("The database server ({identity}) does not stop.")]
    DoesNotStop {
        /// Who it is.
        identity: ProcessIdentity,
    },
    /// The system refuses something about a file or a process.
    #[error("Cannot {doing} {}.", .path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl ManagedError {
    /// Wraps what the system said about a path.
    fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// How long a holder of the data directory's lock that was killed may take to be gone.
const HOLDER_ENDS_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// The Postgres that [`start`] would use for a data directory, found without changing anything.
///
/// # Errors
/// See [`ManagedError`]: each is one sentence that says what to do.
pub async fn look(data_dir: &Path) -> Result<Installed, ManagedError> {
    let home = cluster::find(data_dir)?;
    find::pick(&Search::System, home.as_ref().map(|home| (home.major, home.path.as_path()))).await
}

/// Takes the data directory, makes what is missing, and returns when the server answers.
///
/// # Errors
/// See [`ManagedError`]: each is one sentence that says what to do.
pub async fn start(options: ManagedOptions) -> Result<Managed, ManagedError> {
    let data_dir = cluster::prepare_data_dir(&options.data_dir)?;
    let lock_path = data_dir.join("lock");
    let lock = take_lock(&lock_path).await.map_err(|error| match error {
        LockError::Held { holder } => ManagedError::InUse { data_dir: data_dir.clone(), holder },
        LockError::Io(error) => ManagedError::io("lock", &lock_path)(error),
    })?;

    cluster::remove_half_made(&data_dir)?;
    let (home, making) = match cluster::find(&data_dir)? {
        Some(home) => (home, Making::WasThere),
        None => (cluster::initialise(&data_dir, &options.search).await?, Making::MadeNow),
    };
    let password = home.password()?;
    let running = server::run(&data_dir, &home, making, &password, &options).await?;
    let origin = match (making, running.child.is_some()) {
        (Making::MadeNow, _) => Origin::Created,
        (Making::WasThere, true) => Origin::Started,
        (Making::WasThere, false) => Origin::Adopted,
    };
    Ok(Managed {
        _lock: lock,
        child: running.child,
        identity: running.identity,
        origin,
        socket_dir: running.socket_dir,
        port: running.port,
        password,
        stop_within: options.stop_within,
    })
}

impl Managed {
    /// The password of its one user: known to be kept out of everything that is shown.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// How to connect to our database. For another database of this server, `.database("name")`.
    pub fn connect_options(&self) -> PgConnectOptions {
        connect_options(&self.socket_dir, self.port, &self.password, DATABASE)
    }

    /// The database as people may see it: without the password.
    pub fn url(&self) -> String {
        format!("postgres://{USER}@{}:{}/{DATABASE}", percent_encoded(&self.socket_dir.to_string_lossy()), self.port)
    }

    /// The database with its password, for another program of ours that is handed a URL. Never logged.
    pub fn secret_url(&self) -> String {
        let host = percent_encoded(&self.socket_dir.to_string_lossy());
        // The password is made of hexadecimal digits.
        format!("postgres://{USER}:{}@{host}:{}/{DATABASE}", self.password, self.port)
    }

    /// The server's process.
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// How it was come by.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Ends the server in good order: connections are cut, everything is written. If that takes too long it is ended at
    /// once. Then lets go of the data directory.
    ///
    /// # Errors
    /// When it does not end, or cannot be told to.
    pub async fn stop(self) -> Result<(), ManagedError> {
        server::stop(&self.identity, self.child, self.stop_within).await
    }
}

impl fmt::Debug for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Managed")
            .field("url", &self.url())
            .field("identity", &self.identity)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// Takes the lock of the data directory. A predecessor that was killed a moment ago may still be on its way out and hold
/// it: that is waited for, briefly.
async fn take_lock(path: &std::path::Path) -> Result<FileLock, LockError> {
    let deadline = tokio::time::Instant::now() + HOLDER_ENDS_WITHIN;
    loop {
        match FileLock::take(path) {
            Err(LockError::Held { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            taken => return taken,
        }
    }
}

fn connect_options(socket_dir: &std::path::Path, port: u16, password: &str, database: &str) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(port)
        .username(USER)
        .password(password)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
}

/// A path as the host of a URL, which must not hold slashes.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests;

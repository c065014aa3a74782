//! The running server: adopting it, starting it, knowing that it answers, stopping it.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use sqlx::{Connection, PgConnection};
use tokio::{process::Child, time::Instant};

use super::{
    DATABASE, ManagedError, ManagedOptions, PORT, cluster,
    cluster::Home,
    connect_options,
    find::{self, Installed},
};
use crate::sys::{Liveness, ProcessIdentity, Signal, Tool, effective_user, kill};

/// The longest path that a Unix socket's address holds, without the zero at its end.
const LONGEST_SOCKET_PATH: usize = 107;
/// A log larger than this is set aside at the next start.
const LARGEST_LOG: u64 = 1 << 20;

/// How often a server is started that ends instead of getting ready.
const TRIES: u32 = 2;

/// What every managed server is started with: nothing over the network, everything durable, and small.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("cluster_name", "countersign"),
    // What was committed stays, whatever the cluster's own file says.
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    // One bot and its tests, on a machine that does other things.
    ("max_connections", "60"),
    ("shared_buffers", "32MB"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "256MB"),
    ("autovacuum_max_workers", "1"),
    ("jit", "off"),
    // Nobody replicates from here and no query of ours is worth a second process.
    ("max_wal_senders", "0"),
    ("max_replication_slots", "0"),
    ("max_logical_replication_workers", "0"),
    ("max_parallel_workers", "0"),
    // To our file, in one form.
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_checkpoints", "off"),
    ("log_line_prefix", "%m [%p] "),
    ("log_timezone", "UTC"),
    ("timezone", "UTC"),
];

/// Whether the cluster was made in this start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Making {
    /// It has no database of ours yet.
    MadeNow,
    /// It has one, as far as we know.
    WasThere,
}

/// A server that answers.
pub(super) struct Running {
    /// Ours, unless it was adopted.
    pub child: Option<Child>,
    pub identity: ProcessIdentity,
    pub socket_dir: PathBuf,
    pub port: u16,
}

/// Adopts the cluster's living server or starts one, and returns when it answers and has our database.
pub(super) async fn run(
    data_dir: &Path,
    home: &Home,
    making: Making,
    password: &str,
    options: &ManagedOptions,
) -> Result<Running, ManagedError> {
    let deadline = Instant::now() + options.ready_within;
    let log = Log::of(data_dir);
    let data = home.data();
    let mut child: Option<Child> = None;
    let mut tries = 0;
    let mut answer = None;
    loop {
        let living = Postmaster::living(&data)?;
        if let Some(found) = living.as_ref().filter(|found| found.ready) {
            match greet(found, password, making).await {
                Ok(()) => {
                    return Ok(Running {
                        child,
                        identity: found.identity.clone(),
                        socket_dir: found.socket_dir.clone(),
                        port: found.port,
                    });
                }
                Err(Greeting::Refused(answer)) => {
                    return Err(ManagedError::Refused { home: home.path.clone(), answer });
                }
                Err(Greeting::NotYet(said)) => answer = Some(said),
            }
        }
        if let Some(ours) = &mut child {
            // It also ends if another server of this cluster was a moment earlier: that one is adopted.
            if ours.try_wait().map_err(ManagedError::io("wait for the server of", &data))?.is_some() {
                child = None;
                let tail = log.tail();
                if tail.contains("pre-existing shared memory block") {
                    // Its predecessor was killed, and a query of then has not noticed yet. It will.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    tries = 0;
                } else if living.is_none() && tries >= TRIES {
                    return Err(ManagedError::Start { tail, log: log.path });
                }
            }
        } else if living.is_none() {
            tries += 1;
            let installed = find::pick(&options.search, Some((home.major, &home.path))).await?;
            child = Some(launch(data_dir, home, &installed, &log, &options.settings)?);
        }
        if Instant::now() >= deadline {
            return Err(ManagedError::NotReady {
                within: options.ready_within,
                answer,
                tail: log.tail(),
                log: log.path,
            });
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Tells the server to stop, in good order first and at once after `within`, and returns when it is gone.
pub(super) async fn stop(
    identity: &ProcessIdentity,
    mut child: Option<Child>,
    within: Duration,
) -> Result<(), ManagedError> {
    for (signal, within) in [(Signal::INT, within), (Signal::QUIT, Duration::from_secs(10))] {
        kill(identity, signal).map_err(ManagedError::io("stop", identity.to_string()))?;
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if let Some(child) = &mut child {
                // Collects it, if it is our child; who it was is judged below either way.
                let _ = child.try_wait();
            }
            if identity.liveness() == Liveness::Dead {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        tracing::warn!(server = %identity, within = ?within, "the database server did not stop in time");
    }
    Err(ManagedError::DoesNotStop { identity: identity.clone() })
}

fn launch(
    data_dir: &Path,
    home: &Home,
    installed: &Installed,
    log: &Log,
    settings: &[(String, String)],
) -> Result<Child, ManagedError> {
    let socket_dir = socket_dir(data_dir, home)?;
    let mut arguments: Vec<OsString> = vec!["-D".into(), home.data().into(), "-k".into(), socket_dir.into()];
    let port = PORT.to_string();
    let fixed = SETTINGS.iter().copied().chain([("port", port.as_str())]);
    // Its own input and output processes are for large machines.
    let newer = (installed.major >= 18).then_some(("io_method", "sync"));
    let further = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    // The last of two wins.
    for (name, value) in fixed.chain(newer).chain(further) {
        arguments.push("-c".into());
        arguments.push(format!("{name}={value}").into());
    }
    let program = installed.bin.join("postgres");
    let tool = Tool {
        program: program.clone(),
        arguments,
        env: find::environment(),
        cwd: home.path.clone(),
        user: home.user.clone(),
    };
    tool.start(&log.open()?).map_err(ManagedError::io("run", program))
}

/// The directory for the socket: the cluster's own, or a short one of ours if the socket's path would be too long there.
fn socket_dir(data_dir: &Path, home: &Home) -> Result<PathBuf, ManagedError> {
    let name = format!(".s.PGSQL.{PORT}");
    let fits = |dir: &Path| dir.as_os_str().len() + 1 + name.len() <= LONGEST_SOCKET_PATH;
    // A list of directories to Postgres: a comma in the name would part it.
    let plain = |dir: &Path| !dir.as_os_str().as_bytes().iter().any(|byte| matches!(byte, b',' | b'"'));
    let usable = |dir: &Path| fits(dir) && plain(dir);
    if usable(&home.path) {
        return Ok(home.path.clone());
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // Another user cannot enter our runtime directory.
    let runtime = runtime.filter(|_| home.user.is_none()).filter(|dir| dir.is_absolute() && dir.is_dir());
    let hash = Sha256::digest(data_dir.as_os_str().as_bytes());
    let leaf = hash.iter().take(8).fold("countersign-".to_owned(), |leaf, byte| leaf + &format!("{byte:02x}"));
    let dir =
        runtime.map(|dir| dir.join(&leaf)).filter(|dir| usable(dir)).unwrap_or_else(|| Path::new("/tmp").join(leaf));
    private_directory(&dir, home)?;
    Ok(dir)
}

/// Makes the directory, or accepts the one that is there if nobody but the server's user can have put anything into it.
fn private_directory(dir: &Path, home: &Home) -> Result<(), ManagedError> {
    let owner = home.user.as_ref().map_or_else(|| effective_user().uid, |user| user.uid);
    match fs::symlink_metadata(dir) {
        Ok(found) if found.is_dir() && found.uid() == owner && found.mode() & 0o077 == 0 => Ok(()),
        Ok(_) => Err(ManagedError::UnsafeSocketDirectory { path: dir.to_owned(), owner: format!("user {owner}") }),
        Err(_) => cluster::make_private_directory(dir, home.user.as_ref()),
    }
}

/// A server as its `postmaster.pid` describes it.
struct Postmaster {
    identity: ProcessIdentity,
    socket_dir: PathBuf,
    port: u16,
    ready: bool,
}

impl Postmaster {
    /// The living server of this cluster. A file that names a dead process, or one that is something else by now, is not
    /// one; Postgres itself cleans that up.
    fn living(data: &Path) -> Result<Option<Self>, ManagedError> {
        let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return Ok(None) };
        let mut lines = text.lines();
        let Some(pid) = lines.next().and_then(|line| line.trim().parse().ok()) else { return Ok(None) };
        let identity = ProcessIdentity::of(pid).map_err(ManagedError::io("read about process", pid.to_string()))?;
        let Some(identity) = identity.filter(|_| serves(pid, data)) else { return Ok(None) };
        let mut lines = lines.skip(2);
        let port = lines.next().and_then(|line| line.trim().parse().ok());
        let socket_dir = lines.next().map(|line| PathBuf::from(line.trim_end()));
        let status = lines.nth(2).map(str::trim);
        Ok(Some(Self {
            identity,
            ready: status == Some("ready") && port.is_some() && socket_dir.is_some(),
            port: port.unwrap_or(PORT),
            socket_dir: socket_dir.unwrap_or_default(),
        }))
    }
}

/// Whether a process is a Postgres at work in this cluster: it stands in the cluster's directory, and its program is
/// named so. Both are read from the kernel, not from what the process says of itself.
fn serves(pid: u32, data: &Path) -> bool {
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).ok();
    let program = link("exe").and_then(|exe| exe.file_name().map(|name| name.to_string_lossy().into_owned()));
    // An upgrade of the package removes the file under a running server: the kernel then adds " (deleted)".
    link("cwd").as_deref() == Some(data) && program.is_some_and(|name| name.starts_with("postgres"))
}

enum Greeting {
    /// It is still starting, or already stopping.
    NotYet(String),
    /// It will not have us, however long we wait.
    Refused(String),
}

/// Connects once, and makes our database if it is missing.
async fn greet(server: &Postmaster, password: &str, making: Making) -> Result<(), Greeting> {
    let options = |database| connect_options(&server.socket_dir, server.port, password, database);
    if making == Making::WasThere {
        match PgConnection::connect_with(&options(DATABASE)).await {
            Ok(connection) => {
                // It answered; how the parting went does not matter.
                let _ = connection.close().await;
                return Ok(());
            }
            // Somebody was killed between making the cluster and making the database.
            Err(error) if code(&error).as_deref() == Some("3D000") => {}
            Err(error) => return Err(judge(&error)),
        }
    }
    let mut connection = PgConnection::connect_with(&options("postgres")).await.map_err(|error| judge(&error))?;
    let made = sqlx::query("create database countersign").execute(&mut connection).await;
    let _ = connection.close().await;
    match made {
        Ok(_) => Ok(()),
        // An earlier try of this start made it.
        Err(error) if code(&error).as_deref() == Some("42P04") => Ok(()),
        Err(error) => Err(judge(&error)),
    }
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(|code| code.into_owned())
}

fn judge(error: &sqlx::Error) -> Greeting {
    let Some(answer) = error.as_database_error() else { return Greeting::NotYet(error.to_string()) };
    match answer.code().as_deref() {
        // Starting, stopping, or every connection is taken.
        Some("57P03" | "57P01" | "57P02" | "53300") => Greeting::NotYet(answer.message().to_owned()),
        _ => Greeting::Refused(answer.message().to_owned()),
    }
}

/// The file that the server's words go to.
struct Log {
    path: PathBuf,
    /// Where this start's words begin.
    from: u64,
}

impl Log {
    fn of(data_dir: &Path) -> Self {
        let path = data_dir.join("postgres.log");
        let mut from = fs::metadata(&path).map_or(0, |found| found.len());
        if from > LARGEST_LOG && fs::rename(&path, data_dir.join("postgres.log.1")).is_ok() {
            from = 0;
        }
        Self { path, from }
    }

    fn open(&self) -> Result<File, ManagedError> {
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        opened.map_err(ManagedError::io("write", &self.path))
    }

    /// The last twenty lines of this start.
    fn tail(&self) -> String {
        let read = || {
            let mut file = File::open(&self.path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(self.from.max(length.saturating_sub(16 << 10))))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        match lines.len() {
            0 => "(nothing)".to_owned(),
            count => lines[count.saturating_sub(20)..].join("\n"),
        }
    }
}

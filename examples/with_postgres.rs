//! Runs a command beside a Postgres of its own: `cargo run --example with_postgres -- cargo nextest run`.
//!
//! The server is found, made and started by the code that `countersign up` uses, in a new directory under the system's
//! directory for temporary files. The command finds its URL in `COUNTERSIGN_TEST_POSTGRES`; its role may create databases.
//! Afterwards, and on Ctrl-C or SIGTERM, the server is stopped and everything of it removed. The exit code is the
//! command's.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use countersign::store::managed::{self, ManagedOptions};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// What the server may forget: a test's database has no tomorrow. Every test has some connections of its own.
const SETTINGS: [(&str, &str); 5] = [
    ("max_connections", "300"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("max_locks_per_transaction", "256"),
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(program) = arguments.next() else {
        eprintln!("with_postgres: say which command, such as `-- cargo nextest run`");
        return ExitCode::from(2);
    };
    let mut command = Command::new(program);
    command.args(arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime.context("no runtime").and_then(|runtime| runtime.block_on(run(command)));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("with_postgres: {error:#}");
            ExitCode::from(1)
        }
    }
}

async fn run(mut command: Command) -> anyhow::Result<u8> {
    // Registered before anything is started: a signal in the middle of it ends the command, then the server.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let dir = tempfile::Builder::new().prefix("countersign-tests-").tempdir()?;
    // When we are root, the server runs as somebody else, and must get to its files.
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
    let mut options = ManagedOptions::new(dir.path());
    options.settings = SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let server = managed::start(options).await?;
    // Of a command that was told to end, the server still outlives the end.
    let child = command.env("COUNTERSIGN_TEST_POSTGRES", server.secret_url()).kill_on_drop(true).spawn();
    let status = match child {
        Err(error) => Err(anyhow::Error::from(error).context("the command cannot be started")),
        Ok(mut child) => loop {
            let signalled = tokio::select! {
                status = child.wait() => break status.context("the command's end was not seen"),
                _ = terminate.recv() => rustix::process::Signal::TERM,
                _ = interrupt.recv() => rustix::process::Signal::INT,
            };
            let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                // On Ctrl-C the terminal has told it already, and being told twice does no harm.
                let _ = rustix::process::kill_process(pid, signalled);
            }
        },
    };
    let stopped = server.stop().await;
    remove_cluster(dir.path());
    dir.close()?;
    stopped?;
    let status = status?;
    let by_signal = || status.signal().map(|signal| 128 + signal);
    Ok(u8::try_from(status.code().or_else(by_signal).unwrap_or(1)).unwrap_or(1))
}

/// Removes the files of a server whose directory could not hold them itself (it then holds a link).
fn remove_cluster(dir: &Path) {
    let link = dir.join("postgres");
    if let Ok(target) = std::fs::read_link(&link)
        && let Err(error) = std::fs::remove_dir_all(&target)
    {
        eprintln!("with_postgres: {} is left behind: {error}", target.display());
    }
}

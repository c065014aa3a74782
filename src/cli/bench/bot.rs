//! The bot as people meet it: this program's `up` as a process of its own, spoken to over HTTP.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::sys::{ProcessIdentity, Signal, kill};
use crate::web::Token;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The room, and who speaks in it.
pub(super) const ROOM: &str = "bench";
pub(super) const SPEAKER: &str = "mei";

/// Runbooks in the catalog.
const RUNBOOKS: usize = 100;

/// A running bot.
pub(super) struct Bot {
    child: Child,
    identity: ProcessIdentity,
    address: SocketAddr,
    token: Token,
    pub(super) began: Instant,
    pub(super) ready_after: Duration,
}

/// Where a bot keeps what is its own.
#[derive(Debug, Clone)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
    pub(super) database: Database,
}

/// Which database a bot uses.
#[derive(Debug, Clone)]
pub(super) enum Database {
    /// One of its own, in its data folder.
    Managed,
    /// The one that a URL names.
    Given(String),
}

impl Home {
    /// The bot's own data.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }
}

impl Bot {
    /// Starts it; returns when it says that it is ready.
    pub(super) async fn start(home: &Home) -> anyhow::Result<Self> {
        let exe = std::env::current_exe()?;
        let (catalog, data) = (home.dir.join("catalog"), home.data());
        let log = std::fs::File::create(home.dir.join("log"))?;
        let mut command = Command::new(exe);
        command
            .args(["up", "--listen", "127.0.0.1:0", "--catalog"])
            .arg(&catalog)
            .arg("--data")
            .arg(&data)
            .env_remove("COUNTERSIGN_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        match &home.database {
            // By the environment: an argument would show the password to everybody on this machine.
            Database::Given(url) => command.env("DATABASE_URL", url),
            Database::Managed => command.env_remove("DATABASE_URL"),
        };
        let began = Instant::now();
        let mut child = command.spawn()?;
        let pid = child.id().context("the bot ended at once")?;
        let mut line = String::new();
        let out = child.stdout.take().context("the bot has no output")?;
        timeout(PATIENCE, BufReader::new(out).read_line(&mut line)).await.context("the bot did not get ready")??;
        let ready_after = began.elapsed();
        let address = line.trim().strip_prefix("ready http://").and_then(|address| address.parse().ok());
        let Some(address) = address else {
            let log = std::fs::read_to_string(home.dir.join("log")).unwrap_or_default();
            bail!("the bot did not get ready; it said:\n{log}");
        };
        let identity = ProcessIdentity::of(pid)?.context("the bot ended at once")?;
        Ok(Self { child, identity, address, token: Token::read(&data)?, began, ready_after })
    }

    pub(super) fn pid(&self) -> u32 {
        self.identity.pid
    }

    /// Where it answers.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its API asks for.
    pub(super) fn token(&self) -> &Token {
        &self.token
    }

    pub(super) async fn speaker(&self) -> anyhow::Result<Speaker> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(Speaker { stream, address: self.address, token: self.token.clone(), buffer: Vec::new() })
    }

    /// Ends it in good order.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        kill(&self.identity, Signal::TERM)?;
        timeout(PATIENCE, self.child.wait()).await.context("the bot did not end")??;
        Ok(())
    }

    /// Ends it as a failing machine would.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }
}

/// One connection that says one line at a time.
pub(super) struct Speaker {
    stream: TcpStream,
    address: SocketAddr,
    token: Token,
    buffer: Vec<u8>,
}

impl Speaker {
    /// Says a line; returns after how long its first answer was here. What follows the answer is read, and not counted.
    pub(super) async fn say(&mut self, text: &str) -> anyhow::Result<Duration> {
        let body = serde_json::json!({"as": SPEAKER, "text": text}).to_string();
        let mut request = String::new();
        write!(
            request,
            "POST /api/v1/rooms/{ROOM}/lines HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            self.token.expose(),
            body.len(),
        )?;
        timeout(PATIENCE, self.exchange(&request)).await.context("a line was not answered")?
    }

    async fn exchange(&mut self, request: &str) -> anyhow::Result<Duration> {
        self.buffer.clear();
        let began = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        let mut answered = None;
        // One object a line: that the line is kept, then its answers; a chunk of length zero ends it.
        while !self.buffer.ends_with(b"\r\n0\r\n\r\n") {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the bot closed the connection");
            }
            if answered.is_none() && self.buffer.windows(2).filter(|bytes| bytes == b"}\n").count() >= 2 {
                answered = Some(began.elapsed());
            }
            if !self.buffer.starts_with(b"HTTP/1.1 200") {
                bail!("the bot refused a line: {}", String::from_utf8_lossy(&self.buffer));
            }
        }
        answered.with_context(|| format!("a line had no answer: {}", String::from_utf8_lossy(&self.buffer)))
    }
}

/// Writes a catalog with a room, a person who may speak there, and a hundred runbooks.
pub(super) fn write_catalog(dir: &Path) -> anyhow::Result<()> {
    let write = |path: &str, text: &str| write_file(dir, path, text);
    write("rooms.yaml", "rooms:\n  bench: {address: \"local:trial:bench\"}\n")?;
    write(
        "people.yaml",
        "people:\n  mei: {accounts: [\"local:trial:mei\"]}\n  boss: {accounts: [\"local:trial:boss\"]}\n\
         groups:\n  support: [mei]\n  managers: [boss]\n",
    )?;
    write(
        "policies/managers.yaml",
        "policy: managers\ntitle: A manager agrees\nstages:\n  - approvers: [group:managers]\n    quorum: 1\n\
         expires: 30m\nvalid_for: 1h\n",
    )?;
    write(
        "systems/system-a.yaml",
        "system: system-a\ntitle: System A\nenvironment: production\nroom: bench\nmay_run: [group:support]\n\
         may_see: [group:support]\nmay_unstick: [group:managers]\nmay_resolve: [group:support]\nservices:\n  service-b:\n    title: Service B\n    \
         checks:\n      running:\n        command: [/bin/true]\n",
    )?;
    for number in 1..=RUNBOOKS {
        write(
            &format!("runbook-{number}.yaml"),
            &format!(
                "runbook: restart-part-{number}\ntitle: Restart part {number}\n\
                 why: Part {number} hangs now and then; users see errors for a moment.\n\
                 say: [\"restart part {number} of {{service}}\"]\nparams:\n  service: {{type: service, system: system-a}}\n\
                 approval: managers\nsteps:\n  - name: Restart\n    run:\n      \
                 command: [/bin/true, \"{{{{ service }}}}\", part-{number}]\n    timeout: 60s\n  \
                 - name: Verify\n    check: \"{{{{ service }}}}\"\n    until: {{passes_within: 30s, every: 2s}}\n"
            ),
        )?;
    }
    Ok(())
}

/// How often the check of [`write_recovery_catalog`] is asked, in seconds.
pub(super) const CHECKED_EVERY: u32 = 1;

/// The service of [`write_recovery_catalog`], one of the demo's.
pub(super) const SERVICE: &str = "service-c";

/// Writes a catalog in which a failing check of a demo service starts a runbook by itself, with brakes as wide as a
/// catalog may have them: what is measured is the way, and a brake would end it.
pub(super) fn write_recovery_catalog(dir: &Path) -> anyhow::Result<()> {
    let write = |path: &str, text: &str| write_file(dir, path, text);
    write("rooms.yaml", "rooms:\n  bench: {address: \"local:trial:bench\"}\n")?;
    write(
        "people.yaml",
        "people:\n  mei: {accounts: [\"local:trial:mei\"]}\n  boss: {accounts: [\"local:trial:boss\"]}\n\
         groups:\n  support: [mei]\n  managers: [boss]\n",
    )?;
    write(
        "policies/managers.yaml",
        "policy: managers\ntitle: A manager agrees\nstages:\n  - approvers: [group:managers]\n    quorum: 1\n\
         expires: 30m\nvalid_for: 1h\nautomatic: [{trigger: service-down, runbook: start-service, at_most: {runs: 100, per: 1m}}]\n",
    )?;
    write(
        "systems/system-a.yaml",
        &format!(
            "system: system-a\ntitle: System A\nenvironment: production\nroom: bench\nmay_run: [group:support]\n\
             may_see: [group:support]\nmay_unstick: [group:managers]\nservices:\n  {SERVICE}:\n    title: Service C\n    \
             checks:\n      running:\n        command: [countersign, demo-ctl, status, {SERVICE}]\n        \
             env: [COUNTERSIGN_DEMO]\n        timeout: 1s\n        every: {CHECKED_EVERY}s\n        fails_after: 1\n"
        ),
    )?;
    write(
        "start-service.yaml",
        "runbook: start-service\ntitle: Start a service\nwhy: Brings a stopped service back.\n\
         say: [\"start {service}\"]\nparams:\n  service: {type: service, system: system-a}\napproval: managers\nsteps:\n  \
         - name: Start\n    run:\n      command: [countersign, demo-ctl, start, \"{{ service }}\"]\n      \
         env: [COUNTERSIGN_DEMO]\n    timeout: 60s\n  \
         - name: Verify\n    check: \"{{ service }}\"\n    until: {passes_within: 30s, every: 1s}\n",
    )?;
    write(
        "triggers/service-down.yaml",
        &format!(
            "trigger: service-down\nowner: mei\non:\n  check: system-a/{SERVICE}/running\n  becomes: critical\n\
             run: start-service\nwith: {{service: \"{{{{ service }}}}\"}}\nmode: auto\nbrakes:\n  cooldown: 1s\n  \
             at_most: {{runs: 20, per: 1m}}\n  flapping: {{changes: 100, per: 1m}}\n"
        ),
    )
}

fn write_file(dir: &Path, path: &str, text: &str) -> anyhow::Result<()> {
    let path = dir.join(path);
    std::fs::create_dir_all(path.parent().context("a path within the catalog")?)?;
    std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_catalogs_are_sound() {
        for (write, runbooks) in
            [(write_catalog as fn(&Path) -> anyhow::Result<()>, RUNBOOKS), (write_recovery_catalog, 1)]
        {
            let dir = tempfile::tempdir().expect("a folder");
            write(dir.path()).expect("written");
            match crate::runbook::load(dir.path()) {
                Ok(loaded) => assert_eq!(loaded.catalog.runbooks.len(), runbooks),
                Err(problems) => panic!("{problems}"),
            }
        }
    }
}

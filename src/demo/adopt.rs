//! How the bot comes to its demo: adopts the one that serves, or starts one that outlives the bot.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use super::place::{self, DemoError, Lock};
use super::protocol::{self, Question};

/// How long a new supervisor may take to answer. It first brings its services up, and may wait for one that is ending.
const ANSWERS: Duration = Duration::from_secs(15);
/// How long a shutdown may take: the services' grace, and some air.
const ENDS: Duration = Duration::from_secs(10);

/// A demo that serves. Dropping it does not end it.
#[derive(Debug)]
pub struct Demo {
    dir: PathBuf,
    adopted: bool,
}

/// Adopts the demo that serves in `dir`, or starts `exe demo-services --dir DIR` and waits until it answers, for 15
/// seconds at most. When two do this at once, one supervisor is left and both get it.
///
/// # Errors
/// [`DemoError`] when the directory cannot be used or the supervisor does not answer in time.
pub async fn ensure(exe: &Path, dir: &Path) -> Result<Demo, DemoError> {
    place::make_private(dir)?;
    if protocol::ask(dir, &Question::Hello {}, ANSWERS).await.is_ok() {
        return Ok(Demo { dir: dir.to_owned(), adopted: true });
    }
    let log_path = place::log_in(dir);
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(&log_path)
        .map_err(|source| DemoError::Dir { dir: dir.to_owned(), source })?;
    let spawn_failed = |source| DemoError::Spawn { exe: exe.to_owned(), source };
    // Without the bot's environment: a token in it would stand in /proc for every step to read.
    let mut child = Command::new(exe)
        .arg("demo-services")
        .arg("--dir")
        .arg(std::path::absolute(dir).map_err(|source| DemoError::Dir { dir: dir.to_owned(), source })?)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(spawn_failed)?)
        .stderr(log)
        .spawn()
        .map_err(spawn_failed)?;
    let ours = child.id();
    let until = Instant::now() + ANSWERS;
    loop {
        let left = matches!(child.try_wait(), Ok(Some(_)));
        let patience = until.saturating_duration_since(Instant::now());
        if let Ok(answer) = protocol::ask(dir, &Question::Hello {}, patience).await {
            return Ok(Demo { dir: dir.to_owned(), adopted: Some(answer.supervisor) != ours });
        }
        // Ours may have left because another was first; then that one has the lock, and answers soon.
        let nobody = left && !matches!(Lock::take(dir), Ok(None));
        if nobody || Instant::now() >= until {
            let _ = child.start_kill();
            return Err(DemoError::DidNotStart { last: last_line(&log_path), log: log_path });
        }
        sleep(Duration::from_millis(10)).await;
    }
}

fn last_line(log: &Path) -> String {
    fs::read_to_string(log)
        .ok()
        .and_then(|text| text.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned))
        .unwrap_or_else(|| "(empty)".to_owned())
}

impl Demo {
    /// The demo's directory: what steps are given as `COUNTERSIGN_DEMO`.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether it served before the bot asked for it.
    pub fn adopted(&self) -> bool {
        self.adopted
    }

    /// Ends the supervisor and its services, and returns when they are gone; after 10 seconds in any case.
    pub async fn shutdown(&self) {
        let until = Instant::now() + ENDS;
        if let Err(error) = protocol::ask(&self.dir, &Question::Shutdown {}, ENDS).await {
            tracing::warn!(%error, "the demo could not be told to end");
        }
        // Its lock is free when its process is gone, and not before.
        while matches!(Lock::take(&self.dir), Ok(None)) && Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_cannot_be_run_is_named() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("demo");
        let error = ensure(Path::new("/nonexistent/countersign"), &dir).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nonexistent/countersign");
    }

    #[test]
    fn the_last_words_of_a_log() {
        let temp = tempfile::tempdir().unwrap();
        let log = temp.path().join("demo.log");
        assert_eq!(last_line(&log), "(empty)");
        fs::write(&log, "one\ntwo\n\n").unwrap();
        assert_eq!(last_line(&log), "two");
    }
}

//! Starting one step's process: its own group, nothing inherited but what was named.
//!
//! What lives here: the start, and the handle by which its starter reads, waits and kills. What does not: what the
//! process is and how long it may take (`engine`), and ending what outlived its starter (`group`).

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{ChildStderr, ChildStdout, Command};

use super::ProcessIdentity;

/// The environment variable that carries a step's marker, by which its processes are found again.
pub const MARKER_VARIABLE: &str = "COUNTERSIGN_ATTEMPT";

/// What to start.
#[derive(Debug, Clone)]
pub struct Spawn {
    /// The program's file. With a slash in it, it is that file; without, it is looked for on the `PATH` of `env`.
    pub program: PathBuf,
    /// Its arguments, the zeroth (the name by which it is called) included. Never empty.
    pub argv: Vec<OsString>,
    /// Its whole environment: nothing of ours is added except the marker.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Goes into the environment as [`MARKER_VARIABLE`], before anything that `env` says of it. Unique per attempt.
    pub marker: Option<String>,
}

/// A step's process, from start to end. Dropped before its end was seen, it takes its whole group with it.
#[derive(Debug)]
pub struct Child {
    inner: tokio::process::Child,
    identity: ProcessIdentity,
}

/// Starts a process in a group of its own, with no standard input and with both outputs to be read by us. Every other
/// file that this program opened is closed on exec; a file that this program's own starter left open to it is not.
///
/// Must be called within a tokio runtime.
///
/// # Errors
/// When `argv` is empty, the directory or the program is missing, or the system refuses. The kind tells which, the text
/// names the path.
pub fn spawn(what: Spawn) -> io::Result<Child> {
    let Some((name, arguments)) = what.argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the command is empty"));
    };
    let mut command = Command::new(&what.program);
    command
        .arg0(name)
        .args(arguments)
        .env_clear()
        .envs(what.env)
        .current_dir(&what.cwd)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some(marker) = what.marker {
        command.env(MARKER_VARIABLE, marker);
    }
    let inner = command.spawn().map_err(|error| {
        // The system says "not found" of either, and a reader looks in the wrong place.
        let subject = if what.cwd.is_dir() { what.program.display() } else { what.cwd.display() };
        io::Error::new(error.kind(), format!("{subject}: {error}"))
    })?;
    let pid = inner.id().ok_or_else(|| io::Error::other("the process has no pid"))?;
    let identity = ProcessIdentity::of_own_child(pid)?;
    Ok(Child { inner, identity })
}

impl Child {
    /// Who it is.
    pub fn identity(&self) -> &ProcessIdentity {
        &self.identity
    }

    /// Its group, whose number is its pid.
    pub fn group(&self) -> u32 {
        self.identity.pid
    }

    /// Its standard output; `None` when it was taken already.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.inner.stdout.take()
    }

    /// Its standard error; `None` when it was taken already.
    pub fn take_stderr(&mut self) -> Option<ChildStderr> {
        self.inner.stderr.take()
    }

    /// Waits for its end, not for that of its children. May be cancelled and called again.
    ///
    /// # Errors
    /// When the system cannot say.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.inner.wait().await
    }

    /// Kills its whole group at once, as long as its end was not yet seen by [`Child::wait`]: until then its pid cannot
    /// be another's. Afterwards it does nothing: what it left behind is for [`end_group`](super::end_group). The kill is
    /// not yet the end, and not proof of it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill_group(&mut self) -> io::Result<()> {
        let Some(group) = self.inner.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) else { return Ok(()) };
        match kill_process_group(group, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A future that was cancelled must not leave half a step running. tokio collects the leader afterwards.
        if let Err(error) = self.kill_group() {
            tracing::warn!(%error, child = %self.identity, "the processes of a step that was given up were not killed");
        }
    }
}

/// Puts this process in a session of its own, so that neither its starter's terminal nor the end of its starter's group
/// reaches it. For programs that are to outlive who started them.
///
/// # Errors
/// When this process leads a group already: it must have been started in another's.
pub fn new_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::sys::Liveness;

    fn shell(script: &str) -> Spawn {
        Spawn {
            program: "/bin/sh".into(),
            argv: ["zeroth", "-c", script].map(OsString::from).to_vec(),
            env: vec![("ONLY".into(), "this".into())],
            cwd: "/usr".into(),
            marker: Some("m-1".into()),
        }
    }

    async fn output(child: &mut Child) -> String {
        let mut text = String::new();
        child.take_stdout().unwrap().read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn it_gets_what_was_named_and_nothing_else() {
        let mut child =
            spawn(shell(r#"/bin/cat /proc/$$/environ | /usr/bin/tr '\0' ' '; echo; echo $0; pwd; /bin/cat"#)).unwrap();
        let text = output(&mut child).await;
        assert!(child.wait().await.unwrap().success());
        let lines: Vec<&str> = text.lines().collect();
        let mut environment: Vec<&str> = lines[0].split_whitespace().collect();
        environment.sort_unstable();
        assert_eq!(environment, ["COUNTERSIGN_ATTEMPT=m-1", "ONLY=this"]);
        assert_eq!(lines[1..3], ["zeroth", "/usr"]);
    }

    #[tokio::test]
    async fn a_file_that_we_opened_is_not_open_there() {
        let ours = tempfile::NamedTempFile::new().unwrap();
        let mut child = spawn(shell("echo; exec /bin/sleep 100")).unwrap();
        // It has spoken, so it is past the exec that closes the rest.
        child.take_stdout().unwrap().read_u8().await.unwrap();
        let files = std::fs::read_dir(format!("/proc/{}/fd", child.identity().pid)).unwrap();
        let open: Vec<_> = files.map(|entry| std::fs::read_link(entry.unwrap().path()).unwrap()).collect();
        assert!(open.len() >= 3 && !open.iter().any(|path| path == ours.path()), "{open:?}");
        child.kill_group().unwrap();
        child.wait().await.unwrap();
    }

    #[tokio::test]
    async fn it_leads_a_group_of_its_own() {
        let mut child = spawn(shell("read line _ < /proc/$$/stat; cat /proc/$$/stat")).unwrap();
        let text = output(&mut child).await;
        child.wait().await.unwrap();
        let fields: Vec<&str> = text[text.rfind(')').unwrap()..].split_whitespace().collect();
        assert_eq!(fields[3], child.group().to_string());
    }

    #[tokio::test]
    async fn a_killed_group_closes_its_outputs() {
        let mut child = spawn(shell("/bin/sleep 100 & /bin/sleep 100 & wait")).unwrap();
        child.kill_group().unwrap();
        // Ends only when every holder of the pipe is gone.
        assert_eq!(output(&mut child).await, "");
        child.wait().await.unwrap();
        assert_eq!(child.identity().liveness(), Liveness::Dead);
        // Its number may be another's from now on.
        child.kill_group().unwrap();
    }

    #[tokio::test]
    async fn a_dropped_child_takes_its_group_along() {
        let mut child = spawn(shell("/bin/sleep 100 & echo; wait")).unwrap();
        let mut stdout = child.take_stdout().unwrap();
        stdout.read_u8().await.unwrap();
        drop(child);
        assert_eq!(stdout.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_missing_is_named() {
        let error = spawn(Spawn { program: "/no/such/program".into(), ..shell("") }).unwrap_err();
        insta::assert_snapshot!(error, @"/no/such/program: No such file or directory (os error 2)");
        let error = spawn(Spawn { cwd: "/no/such/directory".into(), ..shell("") }).unwrap_err();
        insta::assert_snapshot!(error, @"/no/such/directory: No such file or directory (os error 2)");
        let error = spawn(Spawn { argv: Vec::new(), ..shell("") }).unwrap_err();
        insta::assert_snapshot!(error, @"the command is empty");
    }

    #[tokio::test]
    async fn an_exit_code_arrives_even_if_the_process_was_faster_than_us() {
        for _ in 0..20 {
            let mut child = spawn(shell("exit 3")).unwrap();
            assert_eq!(child.wait().await.unwrap().code(), Some(3));
        }
    }
}

//! Programs that we need ourselves, as opposed to steps: the database server's. They may run as another user and may
//! outlive us.

use std::{
    ffi::OsString,
    fs::File,
    io,
    path::PathBuf,
    process::{Output, Stdio},
};

use tokio::process::{Child, Command};

use super::User;

/// A program to run for ourselves, in a process group of its own, so that Ctrl-C in our terminal does not reach it.
#[derive(Debug, Clone)]
pub struct Tool {
    /// The program's file.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it starts. Entered with the rights of `user`.
    pub cwd: PathBuf,
    /// Whom it runs as, with that user's one group; `None` is ourselves. Only root can name another.
    pub user: Option<User>,
}

impl Tool {
    /// Runs it to its end and returns what it said. Cancelled, it is killed.
    ///
    /// # Errors
    /// When it cannot be started. Its own failure is in the output's status.
    pub async fn output(&self) -> io::Result<Output> {
        self.command().stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).output().await
    }

    /// Starts it with both outputs appended to `log` and leaves it running, whatever becomes of us or of the handle.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, log: &File) -> io::Result<Child> {
        self.command().stdout(log.try_clone()?).stderr(log.try_clone()?).kill_on_drop(false).spawn()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.cwd)
            .process_group(0)
            .stdin(Stdio::null());
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::sys::{effective_user, find_user};

    fn tool(script: &str) -> Tool {
        Tool {
            program: "/bin/sh".into(),
            arguments: ["-c", script].map(OsString::from).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: "/".into(),
            user: None,
        }
    }

    #[tokio::test]
    async fn its_output_and_status_come_back() {
        let output = tool("echo out; echo err >&2; exit 4").output().await.unwrap();
        assert_eq!((&*output.stdout, &*output.stderr, output.status.code()), (&b"out\n"[..], &b"err\n"[..], Some(4)));
    }

    #[tokio::test]
    async fn as_root_it_runs_as_another() {
        let (true, Some(nobody)) = (effective_user().is_root(), find_user("nobody")) else { return };
        let nobody_runs = Tool { user: Some(nobody.clone()), ..tool("id -u; id -G") };
        let output = nobody_runs.output().await.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n{}\n", nobody.uid, nobody.gid));
        let closed = tempfile::tempdir().unwrap();
        std::fs::set_permissions(closed.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let refused = Tool { cwd: closed.path().into(), ..nobody_runs }.output().await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }
}

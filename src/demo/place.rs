//! Where a demo lives: a directory that is its owner's alone, and the lock that makes one supervisor the only one.
//!
//! The directory is not inside the bot's data directory: steps are told where the demo is, and must not learn from it
//! where the data is.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::protocol;

/// Why there is no demo to act on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The directory's path leaves no room for the socket in it.
    #[error(
        "{} is {} bytes long and a socket's path has room for {}: choose a shorter directory",
        .0.display(),
        .0.as_os_str().len(),
        protocol::MAX_SOCKET_PATH
    )]
    PathTooLong(PathBuf),
    /// The directory cannot be made or read.
    #[error("cannot use {} for the demo", .dir.display())]
    Dir {
        /// The demo's directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Other users could reach into the directory, or it is theirs.
    #[error("{} must be a directory of yours that is closed to others: choose another, or run `chmod 700` on it", .0.display())]
    NotPrivate(PathBuf),
    /// A live supervisor holds the directory.
    #[error("another demo supervisor serves {}", .0.display())]
    AlreadyServed(PathBuf),
    /// The supervisor's program could not be run.
    #[error("cannot run {}", .exe.display())]
    Spawn {
        /// The program.
        exe: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The supervisor was run and does not answer.
    #[error("the demo supervisor did not start; the last line of {} is: {last}", .log.display())]
    DidNotStart {
        /// What the supervisor wrote.
        log: PathBuf,
        /// The last line of it, or that there is none.
        last: String,
    },
}

/// The directory of the demo that belongs to a bot's data directory. Nothing is made.
///
/// Short, because a socket stands in it: `countersign-demo-<uid>-<12 hex digits of the data directory's hash>`, under
/// the user's runtime directory if there is one, else under `/tmp`.
pub fn dir_for(data_dir: &Path) -> PathBuf {
    let uid = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute() && dir.metadata().is_ok_and(|meta| meta.is_dir() && meta.uid() == uid));
    // Not resolved through links: the answer must be the same before the directory exists and after.
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    dir_under(runtime.as_deref(), uid, &data_dir)
}

fn dir_under(runtime: Option<&Path>, uid: u32, data_dir: &Path) -> PathBuf {
    let hash = Sha256::digest(data_dir.as_os_str().as_bytes());
    let hex: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let name = format!("countersign-demo-{uid}-{hex}");
    runtime
        .map(|runtime| runtime.join(&name))
        .filter(|dir| protocol::socket_in(dir).is_ok())
        .unwrap_or_else(|| Path::new("/tmp").join(&name))
}

/// Makes the demo's directory, or takes one that is there if it is the caller's and closed to others.
pub(crate) fn make_private(dir: &Path) -> Result<(), DemoError> {
    protocol::socket_in(dir).map_err(|_| DemoError::PathTooLong(dir.join("control.sock")))?;
    let fail = |source| DemoError::Dir { dir: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail)?;
    // Asked of the path itself: in a directory like /tmp somebody else may have put a link there.
    let meta = dir.symlink_metadata().map_err(fail)?;
    let ours = meta.uid() == rustix::process::geteuid().as_raw();
    if meta.is_dir() && ours && meta.mode() & 0o077 == 0 { Ok(()) } else { Err(DemoError::NotPrivate(dir.to_owned())) }
}

/// The file that the supervisor and its services write to.
pub(crate) fn log_in(dir: &Path) -> PathBuf {
    dir.join("demo.log")
}

/// The lock of a directory. It ends with the process that holds it, however that ends; children do not inherit it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock, or says with `None` that somebody has it. The file stays: removing it would let two hold it.
    pub(crate) fn take(dir: &Path) -> Result<Option<Self>, DemoError> {
        let fail = |source| DemoError::Dir { dir: dir.to_owned(), source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(dir.join("lock"))
            .map_err(fail)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(fail(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_directory_is_named_by_user_and_data() {
        let data = Path::new("/home/mei/.local/share/countersign");
        let dir = dir_under(None, 1000, data);
        insta::assert_snapshot!(dir.display(), @"/tmp/countersign-demo-1000-36a4afd359a7");
        assert_ne!(dir, dir_under(None, 1001, data));
        assert_ne!(dir, dir_under(None, 1000, Path::new("/home/mei/other")));
    }

    #[test]
    fn the_runtime_directory_is_taken_if_the_socket_fits() {
        let data = Path::new("/srv/data");
        assert!(dir_under(Some(Path::new("/run/user/1000")), 1000, data).starts_with("/run/user/1000"));
        let long = PathBuf::from(format!("/run/{}", "x".repeat(80)));
        assert!(dir_under(Some(&long), 1000, data).starts_with("/tmp"));
    }

    #[test]
    fn the_same_data_directory_gives_the_same_demo_however_it_is_written() {
        let here = std::env::current_dir().unwrap();
        assert_eq!(dir_for(Path::new("some/data")), dir_for(&here.join("./some/data")));
    }

    #[test]
    fn a_new_directory_is_closed_to_others() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("demo");
        make_private(&dir).unwrap();
        assert_eq!(dir.metadata().unwrap().mode() & 0o777, 0o700);
        make_private(&dir).unwrap();
    }

    #[test]
    fn open_directories_links_and_files_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let open = temp.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(make_private(&open), Err(DemoError::NotPrivate(_))));

        let closed = temp.path().join("closed");
        make_private(&closed).unwrap();
        let link = temp.path().join("link");
        symlink(&closed, &link).unwrap();
        assert!(matches!(make_private(&link), Err(DemoError::NotPrivate(_))));

        let file = temp.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(make_private(&file), Err(DemoError::Dir { .. })));
    }

    #[test]
    fn one_holds_the_lock_at_a_time() {
        let temp = tempfile::tempdir().unwrap();
        let first = Lock::take(temp.path()).unwrap();
        assert!(first.is_some());
        assert!(Lock::take(temp.path()).unwrap().is_none());
        drop(first);
        assert!(Lock::take(temp.path()).unwrap().is_some());
    }
}

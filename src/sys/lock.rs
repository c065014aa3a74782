//! A file that at most one process holds. The kernel lets go of it when the holder ends, however it ends.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// A lock held until this value is dropped. The descriptor is closed on exec, so no child inherits it.
#[derive(Debug)]
pub struct FileLock {
    file: File,
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Closing alone is not enough: a child between fork and exec still has the descriptor for a moment.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(%error, "a file lock was not let go of by hand; closing it does so");
        }
    }
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process, or another part of this one, holds it.
    #[error("{}", match .holder { Some(pid) => format!("process {pid} holds it"), None => "another process holds it".to_owned() })]
    Held {
        /// The pid that the holder wrote into the file.
        holder: Option<u32>,
    },
    /// The file cannot be opened, or its file system does not lock.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl FileLock {
    /// Takes the lock at once or not at all, and writes our pid into the file for people to read. The file stays when
    /// the lock is let go: removing it would let two processes hold two files of one name.
    ///
    /// # Errors
    /// [`LockError::Held`] when another holds it; [`LockError::Io`] when it cannot be opened or locked.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let holder = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(LockError::Held { holder });
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = FileLock::take(&path).unwrap();
        let refused = FileLock::take(&path).unwrap_err();
        assert_eq!(refused.to_string(), format!("process {} holds it", std::process::id()));
        drop(first);
        FileLock::take(&path).unwrap();
    }

    #[test]
    fn a_child_does_not_inherit_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let _held = FileLock::take(&path).unwrap();
        let mut child = std::process::Command::new("/bin/sleep").arg("100").spawn().unwrap();
        let open = std::fs::read_dir(format!("/proc/{}/fd", child.id()))
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .collect::<Vec<_>>();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!open.contains(&path.canonicalize().unwrap()), "{open:?}");
    }

    #[test]
    fn a_missing_directory_is_an_error_of_its_own() {
        assert!(matches!(FileLock::take(Path::new("/no/such/directory/lock")), Err(LockError::Io(_))));
    }
}

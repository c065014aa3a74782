//! The token: what a request must present, and the file that shares it with this machine's user alone.
//!
//! What lives here: making, reading and comparing it. What does not: where a request carries it (`guard`).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// The token's file in the data directory.
const FILE: &str = "token";

/// 32 random bytes, written as 64 hexadecimal characters. Never shown, not even for debugging.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file is not there.
    #[error("{} is not there: is this the data directory of a running countersign?", .0.display())]
    Missing(PathBuf),
    /// Others could read it.
    #[error("{} can be opened by others than its owner: remove it and start `countersign up` again", .0.display())]
    Open(PathBuf),
    /// It does not hold a token.
    #[error("{} does not hold a token: remove it and start `countersign up` again", .0.display())]
    Damaged(PathBuf),
    /// It cannot be read or made.
    #[error("{} cannot be used: {cause}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Token {
    /// Reads the token of a data directory, or makes one. The file appears whole or not at all; of two processes that
    /// make it at once, both get the same.
    ///
    /// # Errors
    /// When the file cannot be made or read, is open to others, or does not hold a token.
    pub fn create_or_read(data: &Path) -> Result<Self, TokenError> {
        match Self::read(data) {
            Err(TokenError::Missing(path)) => {
                create(data, &path).map_err(|cause| TokenError::Unusable { path, cause })?;
                Self::read(data)
            }
            read => read,
        }
    }

    /// Reads the token of a data directory.
    ///
    /// # Errors
    /// As [`Token::create_or_read`], and when there is none.
    pub fn read(data: &Path) -> Result<Self, TokenError> {
        let path = data.join(FILE);
        let unusable = |cause| TokenError::Unusable { path: path.clone(), cause };
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let opened = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(&path);
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(TokenError::Missing(path)),
            Err(error) => return Err(unusable(error)),
        };
        let metadata = file.metadata().map_err(unusable)?;
        if !metadata.is_file() {
            return Err(TokenError::Damaged(path));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(TokenError::Open(path));
        }
        let mut text = String::new();
        match file.take(1024).read_to_string(&mut text) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(TokenError::Damaged(path)),
            Err(error) => return Err(unusable(error)),
        }
        Self::parse(text.trim()).ok_or(TokenError::Damaged(path))
    }

    /// Reads a token as written; anything but 64 hexadecimal characters is `None`.
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The token as presented in a request.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether this is what was presented. How long it takes says nothing about how much of it is right.
    pub fn matches(&self, presented: &[u8]) -> bool {
        let ours = self.0.as_bytes();
        let differing =
            ours.iter().zip(presented).fold(0, |differing, (a, b)| std::hint::black_box(differing | (a ^ b)));
        ours.len() == presented.len() && differing == 0
    }
}

/// Makes the file under a name of its own and gives it the right one when it is whole: linking fails where renaming would
/// replace.
fn create(data: &Path, path: &Path) -> io::Result<()> {
    let mut random = [0; 40];
    getrandom::fill(&mut random)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (secret, suffix) = random.split_at(32);
    let draft = data.join(format!("{FILE}.{}.new", hex(suffix)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    let made = write(&mut file, &hex(secret)).and_then(|()| fs::hard_link(&draft, path));
    fs::remove_file(&draft)?;
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn write(file: &mut File, secret: &str) -> io::Result<()> {
    writeln!(file, "{secret}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn it_is_made_once_and_only_for_its_owner() {
        let data = tempfile::tempdir().expect("a directory");
        let made = Token::create_or_read(data.path()).expect("a token");
        let read = Token::create_or_read(data.path()).expect("a token");
        assert_eq!(made.expose(), read.expose());
        assert_eq!(made.expose().len(), 64);
        let mode = fs::metadata(data.path().join("token")).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 1, "no draft is left");
    }

    #[test]
    fn two_that_make_it_at_once_get_the_same() {
        let data = tempfile::tempdir().expect("a directory");
        let make = || Token::create_or_read(data.path()).expect("a token").expose().to_owned();
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).collect::<Vec<_>>()
        });
        assert!(made.iter().all(|token| *token == made[0]));
    }

    #[test]
    fn what_is_not_a_private_file_with_a_token_is_refused() {
        let data = tempfile::tempdir().expect("a directory");
        assert!(matches!(Token::read(data.path()), Err(TokenError::Missing(_))));
        let path = data.path().join("token");
        Token::create_or_read(data.path()).expect("a token");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        assert!(matches!(Token::create_or_read(data.path()), Err(TokenError::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        for wrong in [&b""[..], b"abc", b"\xff\xfe", &[b'g'; 64]] {
            fs::write(&path, wrong).expect("a file");
            assert!(matches!(Token::create_or_read(data.path()), Err(TokenError::Damaged(_))));
        }
        fs::rename(&path, data.path().join("elsewhere")).expect("moved");
        symlink("elsewhere", &path).expect("a link");
        assert!(matches!(Token::create_or_read(data.path()), Err(TokenError::Unusable { .. })));
    }

    #[test]
    fn only_the_whole_of_it_matches_and_it_is_never_shown() {
        let token = Token::parse(&"0a".repeat(32)).expect("a token");
        assert!(token.matches(token.expose().as_bytes()));
        for wrong in ["", "0a", &"0b".repeat(32), &"0a".repeat(33), &"0A".repeat(32)] {
            assert!(!token.matches(wrong.as_bytes()), "{wrong}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}

//! The keys that grants are signed with: the private half in a file of the data directory, the public half in the ledger.
//!
//! What lives here: making, reading and replacing the file, and the life of a key as rows and events. What does not: signing
//! (`model::signature`), and judging a grant (`approval`). Keeps I8: the private half is in no table, event, log or message;
//! what is read of it is wiped from memory but for the key in use.
//!
//! Each data directory has one key, and so each process that signs. A key begins to sign when `key_added` is committed and
//! ends when `key_retired` is. Who loses the file gets a new key at the next start; what the old one signed stays verifiable,
//! as its public half is in the ledger.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::model::signature::{PublicKey, Signer, Trust, pkcs8};
use crate::store::{KeyRow, Store, StoreError, Tx};

/// The private half's file in the data directory: PKCS#8 in DER.
pub const FILE: &str = "signing-key.p8";
/// No key in PKCS#8 is longer.
const LONGEST: u64 = 1024;

/// What can go wrong with keys. The text is for the operator; it never holds any part of a private half.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The database refused, or a row could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file cannot be made, read or replaced.
    #[error("the signing key in {path} cannot be used: {cause}")]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// The file is open to others.
    #[error(
        "{0} can be read by others than its owner: whoever has it can sign approvals. Run `chmod 600 {0}`, and `countersign keys rotate` if somebody may have read it"
    )]
    Open(PathBuf),
    /// The file holds something else.
    #[error("{0} holds no signing key: move it away, and the next start makes a new one")]
    Damaged(PathBuf),
    /// No such key.
    #[error("the ledger knows no key {0}: `countersign keys list` shows them")]
    Unknown(String),
    /// The beginning is that of several keys.
    #[error("several keys begin with {0}: give more of it")]
    Several(String),
    /// It has ended already, or is none of this ledger's.
    #[error("the key {0} was retired before")]
    Retired(String),
    /// One's own key.
    #[error("this bot signs with the key {0}: `countersign keys rotate` gives it another and retires this one")]
    InUse(String),
}

/// What a start found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The key that signs from now on.
    pub key: PublicKey,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a key came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Found,
    /// It was made, as none was there.
    Made {
        /// Keys of this host that the ledger knows, that are not retired, and whose file is not here: lost, or another
        /// process's.
        others: Vec<PublicKey>,
    },
    /// It was made in the place of a retired one.
    Replaced(PublicKey),
}

/// Where a process keeps its key, and who it is.
#[derive(Debug, Clone)]
pub struct Place {
    /// The data directory.
    pub data: PathBuf,
    /// The host's name.
    pub host: String,
}

/// Takes the key of a data directory into the store's keyring; makes one when there is none, or when the one that is there
/// was retired. The ledger knows it before this returns.
///
/// # Errors
/// When the file cannot be used, is open to others or holds something else, and when the database refuses.
pub async fn open(store: &Store, place: &Place, trust: Trust) -> Result<Opened, KeyError> {
    let path = place.data.join(FILE);
    let before = store.list_keys().await?;
    let (mut signer, mut origin) = match read(&path)? {
        Some(signer) => (signer, Origin::Found),
        None => {
            let others = before.iter().filter(|key| key.retired.is_none() && key.host == place.host);
            (make(&path, &place.data)?, Origin::Made { others: others.map(|key| key.public).collect() })
        }
    };
    if before.iter().any(|key| key.public == signer.public() && key.retired.is_some()) {
        origin = Origin::Replaced(signer.public());
        let (draft, fresh) = draft(&place.data, &path)?;
        fs::rename(&draft, &path).map_err(|cause| KeyError::File { path: path.clone(), cause })?;
        signer = fresh;
    }
    let key = signer.public();
    if !before.iter().any(|known| known.public == key) {
        let mut tx = store.begin().await?;
        add(&mut tx, key, &place.host, "countersign up").await?;
        tx.commit().await?;
    }
    store.keyring().hold(Arc::new(signer), trust);
    Ok(Opened { key, origin })
}

/// Gives the store's keyring a key that is in no file and ends with this process: for one that has no data directory of its
/// own and signs what it itself or another process executes. `by` says what it is for.
///
/// # Errors
/// When the system has no randomness, or the database refuses.
pub async fn fleeting(store: &Store, host: &str, by: &str, trust: Trust) -> Result<PublicKey, KeyError> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..]).map_err(StoreError::from)?;
    let signer = Signer::from_pkcs8(&pkcs8(&seed)).map_err(|_| KeyError::Damaged(PathBuf::from("memory")))?;
    let key = signer.public();
    let mut tx = store.begin().await?;
    add(&mut tx, key, host, by).await?;
    tx.commit().await?;
    store.keyring().hold(Arc::new(signer), trust);
    Ok(key)
}

/// Adds a key, if it is new, with its event.
async fn add(tx: &mut Tx, key: PublicKey, host: &str, by: &str) -> Result<(), StoreError> {
    if tx.insert_key(key, host, by).await? {
        let what = Happened::KeyAdded { key, host: host.to_owned(), by: by.to_owned() };
        tx.record(NewEvent { scope: Scope::default(), cause: None, record: Record { what, rows: Vec::new() } });
    }
    Ok(())
}

async fn end(tx: &mut Tx, key: PublicKey, by: &str, why: &str) -> Result<(), KeyError> {
    let at = tx.retire_key(key, by, why).await?.ok_or_else(|| KeyError::Retired(key.short()))?;
    let what = Happened::KeyRetired { key, at, by: by.to_owned(), why: why.to_owned() };
    tx.record(NewEvent { scope: Scope::default(), cause: None, record: Record { what, rows: Vec::new() } });
    Ok(())
}

/// Gives the data directory another key: from the commit on it signs, and the one before is retired. What that one has
/// signed stays valid. Returns the old and the new one.
///
/// A process that is killed in the middle leaves the old file with either a key that signs on, or one that was retired,
/// which the next start replaces.
///
/// # Errors
/// As [`open`]; then the key before signs on, unless the error says that its file could not be replaced.
pub async fn rotate(store: &Store, place: &Place, by: &str) -> Result<(PublicKey, PublicKey), KeyError> {
    let path = place.data.join(FILE);
    let old = match store.keyring().signer() {
        Some(signer) => signer.public(),
        None => read(&path)?.ok_or_else(|| KeyError::Damaged(path.clone()))?.public(),
    };
    let (draft, signer) = draft(&place.data, &path)?;
    let new = signer.public();
    let changed = async {
        let mut tx = store.begin().await?;
        add(&mut tx, new, &place.host, by).await?;
        match end(&mut tx, old, by, "rotated").await {
            // Whoever retired it did what is left to do.
            Ok(()) | Err(KeyError::Retired(_)) => Ok(tx.commit().await?),
            Err(error) => Err(error),
        }
    };
    if let Err(error) = changed.await {
        // Nobody knows this key; what is left of it is of no use.
        let _ = fs::remove_file(&draft);
        return Err(error);
    }
    // Before the file: whoever signs now finds the old one retired and looks here again.
    store.keyring().change(Arc::new(signer));
    fs::rename(&draft, &path)
        .and_then(|()| File::open(&place.data)?.sync_all())
        .map_err(|cause| KeyError::File { path, cause })?;
    Ok((old, new))
}

/// Retires a key that is lost or was seen by others, named by itself or by how it begins. What it has signed stays valid.
///
/// # Errors
/// When there is no such key or several, when it is retired or this process's own, and when the database refuses.
pub async fn retire(store: &Store, named: &str, by: &str, why: &str) -> Result<PublicKey, KeyError> {
    let keys = store.list_keys().await?;
    let begins = |key: &&KeyRow| !named.is_empty() && key.public.to_string().starts_with(&named.to_ascii_lowercase());
    let mut found = keys.iter().filter(begins).map(|key| key.public);
    let key = found.next().ok_or_else(|| KeyError::Unknown(named.to_owned()))?;
    if found.next().is_some() {
        return Err(KeyError::Several(named.to_owned()));
    }
    if store.keyring().signer().is_some_and(|signer| signer.public() == key) {
        return Err(KeyError::InUse(key.short()));
    }
    let mut tx = store.begin().await?;
    end(&mut tx, key, by, why).await?;
    tx.commit().await?;
    Ok(key)
}

/// Reads a key's file; `None`: there is none.
fn read(path: &Path) -> Result<Option<Signer>, KeyError> {
    let unusable = |cause| KeyError::File { path: path.to_owned(), cause };
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error)),
    };
    let metadata = file.metadata().map_err(unusable)?;
    if !metadata.is_file() {
        return Err(KeyError::Damaged(path.to_owned()));
    }
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyError::Open(path.to_owned()));
    }
    // With all the room that it may need: a buffer that grows leaves copies behind.
    let mut der = Zeroizing::new(Vec::with_capacity(2 * LONGEST as usize));
    file.take(LONGEST).read_to_end(&mut der).map_err(unusable)?;
    Signer::from_pkcs8(&der).map(Some).map_err(|_| KeyError::Damaged(path.to_owned()))
}

/// Makes a key and its file. Of two processes that do so at once, both get the same.
fn make(path: &Path, data: &Path) -> Result<Signer, KeyError> {
    let unusable = |cause| KeyError::File { path: path.to_owned(), cause };
    let (draft, _signer) = draft(data, path)?;
    // Linking fails where renaming would replace.
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).map_err(unusable)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unusable(error)),
        _ => File::open(data).and_then(|folder| folder.sync_all()).map_err(unusable)?,
    }
    read(path)?.ok_or_else(|| unusable(io::ErrorKind::NotFound.into()))
}

/// A new key in a file of its own name, whole and on the disk.
fn draft(data: &Path, path: &Path) -> Result<(PathBuf, Signer), KeyError> {
    let unusable = |cause| KeyError::File { path: path.to_owned(), cause };
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut seed[..]).map_err(StoreError::from)?;
    let der = pkcs8(&seed);
    let signer = Signer::from_pkcs8(&der).map_err(|_| KeyError::Damaged(path.to_owned()))?;
    // Named by its public half, which nobody else's can be.
    let draft = data.join(format!("{FILE}.{}.new", signer.public().short()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(unusable)?;
    file.write_all(&der).and_then(|()| file.sync_all()).map_err(unusable)?;
    Ok((draft, signer))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn i8_a_key_is_made_once_and_only_for_its_owner() {
        let data = tempfile::tempdir().expect("a directory");
        let path = data.path().join(FILE);
        assert!(read(&path).expect("nothing there").is_none());
        let made = make(&path, data.path()).expect("a key");
        let again = make(&path, data.path()).expect("the same key");
        assert_eq!(made.public(), again.public());
        assert_eq!(read(&path).expect("read").map(|key| key.public()), Some(made.public()));
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 1, "no draft is left");
    }

    #[test]
    fn two_that_make_it_at_once_get_the_same() {
        let data = tempfile::tempdir().expect("a directory");
        let path = data.path().join(FILE);
        let make = || make(&path, data.path()).expect("a key").public();
        let made = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread")).collect::<Vec<_>>()
        });
        assert!(made.iter().all(|key| *key == made[0]));
    }

    #[test]
    fn i8_what_is_not_a_private_file_with_a_key_is_refused_without_showing_it() {
        let data = tempfile::tempdir().expect("a directory");
        let path = data.path().join(FILE);
        make(&path, data.path()).expect("a key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a mode");
        assert!(matches!(read(&path), Err(KeyError::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a mode");
        for wrong in [&b""[..], b"hush hush", &[0; 48], &[7; 4000]] {
            fs::write(&path, wrong).expect("a file");
            let error = read(&path).expect_err("no key");
            assert!(matches!(error, KeyError::Damaged(_)));
            assert!(!format!("{error} {error:?}").contains("hush"));
        }
        fs::rename(&path, data.path().join("elsewhere")).expect("moved");
        symlink("elsewhere", &path).expect("a link");
        assert!(matches!(read(&path), Err(KeyError::File { .. })));
    }
}

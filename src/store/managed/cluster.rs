//! The cluster's files: where they are, whose they are, and making them so that a kill in the middle leaves nothing
//! half-made.
//!
//! Everything is made under another name and appears under its own by one rename. The removal of what was half-made goes
//! by that other name alone.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use super::{
    ManagedError, USER,
    find::{self, Installed, Search},
};
use crate::sys::{Tool, User, effective_user, find_user};

/// The cluster under its final name, in the data directory.
const FINISHED: &str = "postgres";
/// The cluster while it is made.
const UNFINISHED: &str = "postgres.new";
/// Where root's clusters go when the server's user cannot reach the data directory.
const ROOTS_CLUSTERS: &str = "/var/lib/countersign";

/// A finished cluster.
#[derive(Debug)]
pub(super) struct Home {
    /// Its real place: no links in it.
    pub path: PathBuf,
    /// The major version that made it.
    pub major: u32,
    /// Whom its server must run as, if that is not ourselves.
    pub user: Option<User>,
}

impl Home {
    /// What Postgres calls the data directory.
    pub(super) fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Our role's password.
    pub(super) fn password(&self) -> Result<String, ManagedError> {
        let path = self.path.join("password");
        let text = fs::read_to_string(&path).map_err(ManagedError::io("read", &path))?;
        Ok(text.trim_end().to_owned())
    }

    /// Reads a finished cluster.
    fn at(path: &Path) -> Result<Self, ManagedError> {
        let wrong = |what| ManagedError::NotACluster { home: path.to_owned(), what };
        let real = fs::canonicalize(path).map_err(|_| wrong("the link leads nowhere"))?;
        let version_path = real.join("data/PG_VERSION");
        let version = match fs::read_to_string(&version_path) {
            Ok(version) => version,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(wrong("data/PG_VERSION is missing")),
            Err(error) => return Err(ManagedError::io("read", version_path)(error)),
        };
        let major = version.trim().parse().map_err(|_| wrong("data/PG_VERSION is not a version"))?;
        let us = effective_user();
        let owner = fs::metadata(&version_path).map_err(ManagedError::io("read", version_path))?;
        // Postgres accepts only its files' owner, and only root can be somebody else.
        let user = us.is_root().then(|| User { uid: owner.uid(), gid: owner.gid(), name: None });
        Ok(Self { path: real, major, user })
    }
}

/// Makes the data directory if it is missing, and returns its real path.
pub(super) fn prepare_data_dir(dir: &Path) -> Result<PathBuf, ManagedError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(ManagedError::io("make", dir))?;
    fs::canonicalize(dir).map_err(ManagedError::io("find", dir))
}

/// The finished cluster of a data directory, if it has one.
pub(super) fn find(data_dir: &Path) -> Result<Option<Home>, ManagedError> {
    let path = data_dir.join(FINISHED);
    match fs::symlink_metadata(&path) {
        Ok(_) => Home::at(&path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ManagedError::io("read", path)(error)),
    }
}

/// Removes what an earlier start began to make and did not finish.
pub(super) fn remove_half_made(data_dir: &Path) -> Result<(), ManagedError> {
    let path = data_dir.join(UNFINISHED);
    let removed = match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_symlink() => {
            // Only where we put it ourselves, whatever the link says.
            match fs::read_link(&path) {
                Ok(target) if target.parent() == Some(Path::new(ROOTS_CLUSTERS)) => remove_tree(&target),
                _ => Ok(()),
            }
            .and_then(|()| fs::remove_file(&path))
        }
        Ok(_) => remove_tree(&path),
    };
    removed.map_err(ManagedError::io("remove", path))
}

/// Removes a directory in which an orphaned `initdb` may still be writing: it notices, and gives up.
fn remove_tree(path: &Path) -> io::Result<()> {
    let mut tries = 0..20;
    loop {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries.next().is_some() => {}
            other => return other,
        }
    }
}

/// Makes a cluster, and returns it when it is complete under its final name.
pub(super) async fn initialise(data_dir: &Path, search: &Search) -> Result<Home, ManagedError> {
    let installed = find::pick(search, None).await?;
    let user = server_user()?;
    let unfinished = data_dir.join(UNFINISHED);
    match &user {
        Some(user) if !open_the_way(data_dir, user).await? => {
            let base = Path::new(ROOTS_CLUSTERS);
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o755)
                .create(base)
                .map_err(ManagedError::io("make", ROOTS_CLUSTERS))?;
            let real = base.join(random_hex::<8>()?);
            // The link first: whatever stands at its end can then be found and removed.
            symlink(&real, &unfinished).map_err(ManagedError::io("make", &unfinished))?;
            make_private_directory(&real, Some(user))?;
        }
        _ => make_private_directory(&unfinished, user.as_ref())?,
    }
    let made = fs::canonicalize(&unfinished).map_err(ManagedError::io("find", &unfinished))?;
    fill(&made, &installed, user.as_ref()).await?;
    let finished = data_dir.join(FINISHED);
    fs::rename(&unfinished, &finished).map_err(ManagedError::io("make", &finished))?;
    sync_directory(data_dir)?;
    Home::at(&finished)
}

/// Runs `initdb` in a directory of ours.
async fn fill(home: &Path, installed: &Installed, user: Option<&User>) -> Result<(), ManagedError> {
    let password_path = home.join("password");
    write_password(&password_path, &random_hex::<24>()?, user)?;
    let program = installed.bin.join("initdb");
    let mut said = String::new();
    // Sorted by code point and still knowing letters, where the system has that locale; else bytes.
    for locale in ["C.UTF-8", "C"] {
        let mut arguments = vec!["-D".into(), home.join("data").into_os_string(), "--pwfile".into()];
        arguments.push(password_path.clone().into_os_string());
        arguments.extend(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--data-checksums"].map(Into::into));
        arguments.extend(["--no-instructions", "--lc-messages=C", "--locale", locale].map(Into::into));
        let tool = Tool {
            program: program.clone(),
            arguments,
            env: find::environment(),
            cwd: home.to_owned(),
            user: user.cloned(),
        };
        let output = tool.output().await.map_err(ManagedError::io("run", &program))?;
        if output.status.success() {
            return sync_directory(home);
        }
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if said.contains("could not look up effective user ID") {
            return Err(ManagedError::NamelessUser { uid: effective_user().uid });
        }
        if !said.contains("locale") {
            break;
        }
    }
    Err(ManagedError::Init { program, home: home.to_owned(), said })
}

/// Whom to run the server as: ourselves, unless we are root.
fn server_user() -> Result<Option<User>, ManagedError> {
    if !effective_user().is_root() {
        return Ok(None);
    }
    let user = ["postgres", "nobody"].into_iter().filter_map(find_user).find(|user| !user.is_root());
    user.map(Some).ok_or(ManagedError::NoServerUser)
}

/// Makes sure, as root, that the server's user can pass through the data directory. That directory's own mode is ours to
/// widen (to pass, not to look); those above it are not: then the answer is false.
async fn open_the_way(data_dir: &Path, user: &User) -> Result<bool, ManagedError> {
    if can_enter(data_dir, user).await? {
        return Ok(true);
    }
    match data_dir.parent() {
        Some(parent) if can_enter(parent, user).await? => {}
        _ => return Ok(false),
    }
    let mode = fs::metadata(data_dir).map_err(ManagedError::io("read", data_dir))?.permissions().mode();
    fs::set_permissions(data_dir, fs::Permissions::from_mode(mode | 0o001))
        .map_err(ManagedError::io("change the mode of", data_dir))?;
    can_enter(data_dir, user).await
}

/// Tries it, as access lists and mounts have a say beside the modes.
async fn can_enter(dir: &Path, user: &User) -> Result<bool, ManagedError> {
    let tool = Tool {
        program: "/bin/sh".into(),
        arguments: vec!["-c".into(), r#"cd -- "$1""#.into(), "sh".into(), dir.into()],
        env: find::environment(),
        cwd: "/".into(),
        user: Some(user.clone()),
    };
    Ok(tool.output().await.map_err(ManagedError::io("run", "/bin/sh"))?.status.success())
}

/// Makes a directory that only its owner can enter, and gives it to the server's user.
pub(super) fn make_private_directory(path: &Path, owner: Option<&User>) -> Result<(), ManagedError> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(ManagedError::io("make", path))?;
    give(path, owner)
}

fn give(path: &Path, owner: Option<&User>) -> Result<(), ManagedError> {
    let Some(user) = owner else { return Ok(()) };
    chown(path, Some(user.uid), Some(user.gid)).map_err(ManagedError::io("change the owner of", path))
}

fn write_password(path: &Path, password: &str, owner: Option<&User>) -> Result<(), ManagedError> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            writeln!(file, "{password}")?;
            file.sync_all()
        })
        .map_err(ManagedError::io("write", path))?;
    give(path, owner)
}

fn sync_directory(path: &Path) -> Result<(), ManagedError> {
    fs::File::open(path).and_then(|dir| dir.sync_all()).map_err(ManagedError::io("write", path))
}

fn random_hex<const BYTES: usize>() -> Result<String, ManagedError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| ManagedError::io("read random numbers from", "the system")(io::Error::other(error)))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

//! Finding and reading the files of a catalog.
//!
//! What lives here: which files belong to it. Hidden ones do not, and a link counts as what it leads to, as long as
//! that lies below the root: a mounted configuration map is a folder of such links. Nothing outside the root is read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::diagnostic::Diagnostic;
use super::yaml::GREATEST_FILE;

/// The greatest number of files: far above any catalog, below what would take noticeable time.
const MOST_FILES: usize = 5_000;

/// A file of the catalog.
pub(super) struct File {
    /// Path below the root, with forward slashes.
    pub(super) path: String,
    /// Its content.
    pub(super) bytes: Vec<u8>,
}

/// What is below a root.
pub(super) struct Found {
    /// The root, absolute and without links.
    pub(super) root: PathBuf,
    /// Its YAML files, sorted by path.
    pub(super) files: Vec<File>,
    /// Files and folders that cannot be read.
    pub(super) problems: Vec<Diagnostic>,
}

/// Finds and reads all files.
///
/// # Errors
/// When the root is no folder that can be read.
pub(super) fn find(root: &Path) -> Result<Found, Diagnostic> {
    let unreadable = |why: &str| {
        let hint = "give the catalog's folder with --catalog";
        Diagnostic::of_path(root.display().to_string(), format!("the catalog cannot be read: {why}"), Some(hint))
    };
    let absolute = root.canonicalize().map_err(|error| unreadable(&error.to_string()))?;
    if !absolute.is_dir() {
        return Err(unreadable("this is not a folder"));
    }
    let mut walk = Walk { root: absolute.clone(), seen: BTreeSet::new(), files: Vec::new(), problems: Vec::new() };
    walk.folder(&absolute, "");
    let Walk { mut files, problems, .. } = walk;
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(Found { root: absolute, files, problems })
}

struct Walk {
    root: PathBuf,
    /// Folders that were entered, without links: none is entered twice, so a loop of links ends.
    seen: BTreeSet<PathBuf>,
    files: Vec<File>,
    problems: Vec<Diagnostic>,
}

impl Walk {
    fn folder(&mut self, folder: &Path, below: &str) {
        if !self.seen.insert(folder.to_owned()) {
            return;
        }
        let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.problem(below, format!("this folder cannot be read: {error}")),
        };
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let shown = format!("{below}{}", name.to_string_lossy());
                self.problem(&shown, "this name is not UTF-8".to_owned());
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            let path = format!("{below}{name}");
            let is_yaml = name.ends_with(".yaml") || name.ends_with(".yml");
            let real = match entry.path().canonicalize() {
                Ok(real) => real,
                Err(error) if is_yaml => {
                    self.problem(&path, format!("this file cannot be read: {error}"));
                    continue;
                }
                Err(_) => continue,
            };
            if real.is_dir() {
                if real.starts_with(&self.root) {
                    self.folder(&real, &format!("{path}/"));
                }
            } else if is_yaml {
                self.file(&real, path);
            }
        }
    }

    fn file(&mut self, real: &Path, path: String) {
        if self.files.len() == MOST_FILES {
            if self.problems.last().is_none_or(|last| last.path() != "") {
                self.problem("", format!("there are more than {MOST_FILES} files here"));
            }
            return;
        }
        if !real.starts_with(&self.root) {
            return self.problem(&path, "this link leads out of the catalog".to_owned());
        }
        let length = match real.metadata() {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return self.problem(&path, "this is not a file".to_owned()),
            Err(error) => return self.problem(&path, format!("this file cannot be read: {error}")),
        };
        if length > GREATEST_FILE as u64 {
            let greatest = GREATEST_FILE / 1024;
            return self.problem(&path, format!("this file is too large: a catalog file has at most {greatest} KiB"));
        }
        match std::fs::read(real) {
            Ok(bytes) => self.files.push(File { path, bytes }),
            Err(error) => self.problem(&path, format!("this file cannot be read: {error}")),
        }
    }

    fn problem(&mut self, path: &str, message: String) {
        self.problems.push(Diagnostic::of_path(path, message, None));
    }
}

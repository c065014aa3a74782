//! Finding the Postgres that is installed: where its programs usually are, and which version they are.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::ManagedError;
use crate::sys::Tool;

/// The oldest Postgres that our statements are written for.
pub const OLDEST_MAJOR: u32 = 14;

/// Where to look for `initdb` and `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Search {
    /// On `PATH`, and where distributions and installers put them.
    System,
    /// In these directories only.
    Only(Vec<PathBuf>),
}

/// A Postgres with both programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The directory of its programs.
    pub bin: PathBuf,
    /// Its major version.
    pub major: u32,
}

/// Finds what is installed and picks one: exactly `needed` for a cluster that exists, else the highest.
pub(super) async fn pick(search: &Search, needed: Option<(u32, &Path)>) -> Result<Installed, ManagedError> {
    let mut found: Vec<Installed> = Vec::new();
    for bin in directories(search) {
        let Some(major) = major_of(&bin).await else { continue };
        if needed.is_some_and(|(needed, _)| needed == major) {
            return Ok(Installed { bin, major });
        }
        found.push(Installed { bin, major });
    }
    choose(found, needed)
}

fn choose(mut found: Vec<Installed>, needed: Option<(u32, &Path)>) -> Result<Installed, ManagedError> {
    // Stable: of two of one version the one that was looked for first.
    found.sort_by_key(|installed| std::cmp::Reverse(installed.major));
    if let Some((needed, cluster)) = needed {
        return match found.iter().find(|installed| installed.major == needed) {
            Some(installed) => Ok(installed.clone()),
            None => Err(ManagedError::WrongMajor { cluster: cluster.to_owned(), needed, found }),
        };
    }
    match found.first() {
        Some(highest) if highest.major >= OLDEST_MAJOR => Ok(highest.clone()),
        _ => Err(ManagedError::NoPostgres { too_old: found }),
    }
}

/// The directories that hold both programs, each once, in the order in which they are preferred.
fn directories(search: &Search) -> Vec<PathBuf> {
    let all = match search {
        Search::Only(directories) => directories.clone(),
        Search::System => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let mut all: Vec<PathBuf> = std::env::split_paths(&path).filter(|dir| dir.is_absolute()).collect();
            all.extend(versioned("/usr/lib/postgresql", ""));
            all.extend(versioned("/usr", "pgsql-"));
            all.extend(versioned("/opt/homebrew/opt", "postgresql@"));
            all.extend(versioned("/usr/local/opt", "postgresql@"));
            all.extend(versioned("/Applications/Postgres.app/Contents/Versions", ""));
            all.push("/usr/local/pgsql/bin".into());
            all
        }
    };
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut usable = Vec::new();
    for dir in all {
        let Ok(real) = fs::canonicalize(dir.join("postgres")) else { continue };
        if real.is_file() && dir.join("initdb").is_file() && !seen.contains(&real) {
            seen.push(real);
            usable.push(dir);
        }
    }
    usable
}

/// `base/prefix*/bin`, for what begins with a digit at the star.
fn versioned(base: &str, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let rest = name.to_str().and_then(|name| name.strip_prefix(prefix));
            rest.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        })
        .map(|entry| entry.path().join("bin"))
        .collect();
    dirs.sort();
    dirs
}

/// The version that the directory's name says, else the one that the program says; `None` if it says none.
async fn major_of(bin: &Path) -> Option<u32> {
    // A link on PATH often leads to a directory that says it.
    let real = fs::canonicalize(bin.join("postgres")).ok();
    if let Some(major) = major_in_path(bin).or_else(|| major_in_path(real?.parent()?)) {
        return Some(major);
    }
    let tool = Tool {
        program: bin.join("postgres"),
        arguments: vec!["--version".into()],
        env: environment(),
        cwd: "/".into(),
        user: None,
    };
    let output = tool.output().await.ok()?;
    major_in_words(&String::from_utf8_lossy(&output.stdout))
}

/// `…/postgresql/15/bin`, `…/pgsql-16/bin`, `…/postgresql@17/bin`: the number of two digits that ends the last but one
/// name. Only below directories that are named for Postgres, as other things have numbers too.
fn major_in_path(bin: &Path) -> Option<u32> {
    let parent = bin.parent()?;
    let name = parent.file_name()?.to_str()?;
    let start = name.rfind(|letter: char| !letter.is_ascii_digit()).map_or(0, |index| index + 1);
    let (words, digits) = name.split_at(start);
    let named = match words {
        "pgsql-" | "postgresql@" => true,
        "" => parent.parent().is_some_and(|above| above.ends_with("postgresql")),
        _ => false,
    };
    if named && digits.len() == 2 { digits.parse().ok() } else { None }
}

/// `postgres (PostgreSQL) 15.18 (Debian …)`, `postgres (PostgreSQL) 18beta1`.
fn major_in_words(words: &str) -> Option<u32> {
    let number = words.split_once("(PostgreSQL) ")?.1;
    let end = number.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(number.len());
    number[..end].parse().ok()
}

/// What the server's programs get of an environment: nothing of ours, messages in English.
pub(super) fn environment() -> Vec<(OsString, OsString)> {
    vec![("PATH".into(), "/usr/bin:/bin".into()), ("LC_ALL".into(), "C".into()), ("TZ".into(), "UTC".into())]
}

/// The sentence for a machine without a Postgres that will do.
pub(super) fn nothing_found(too_old: &[Installed]) -> String {
    let found = match too_old {
        [] => "No Postgres was found on this machine".to_owned(),
        _ => format!("Only {} was found on this machine", list(too_old)),
    };
    format!(
        "{found}. Install Postgres {OLDEST_MAJOR} or newer (Debian, Ubuntu: `apt install postgresql`; Fedora: `dnf install \
         postgresql-server`; macOS: `brew install postgresql@17`), or put the directory of its `initdb` and `postgres` on \
         PATH, or name a server with `--database postgres://USER:PASSWORD@HOST/NAME`."
    )
}

/// The sentence for a cluster whose Postgres is missing.
pub(super) fn wrong_major(cluster: &Path, needed: u32, found: &[Installed]) -> String {
    let found = if found.is_empty() { "none".to_owned() } else { format!("only {}", list(found)) };
    format!(
        "The database in {} was made by Postgres {needed}, and {found} was found on this machine. Install Postgres \
         {needed} (Debian, Ubuntu: `apt install postgresql-{needed}`; macOS: `brew install postgresql@{needed}`), or put \
         the directory of its `initdb` and `postgres` on PATH.",
        cluster.display()
    )
}

fn list(found: &[Installed]) -> String {
    let each: Vec<String> = found.iter().map(|one| format!("Postgres {} ({})", one.major, one.bin.display())).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(major: u32) -> Installed {
        Installed { bin: format!("/pg/{major}").into(), major }
    }

    #[test]
    fn a_path_says_its_version_only_where_it_is_named_for_postgres() {
        let major = |path: &str| major_in_path(Path::new(path));
        assert_eq!(major("/usr/lib/postgresql/15/bin"), Some(15));
        assert_eq!(major("/usr/pgsql-16/bin"), Some(16));
        assert_eq!(major("/opt/homebrew/opt/postgresql@17/bin"), Some(17));
        assert_eq!(major("/usr/lib/postgresql/9.6/bin"), None);
        assert_eq!(major("/Applications/Postgres.app/Contents/Versions/17/bin"), None);
        assert_eq!(major("/home/me/15/bin"), None);
        assert_eq!(major("/usr/bin"), None);
        assert_eq!(major("/"), None);
    }

    #[test]
    fn the_program_says_its_version() {
        assert_eq!(major_in_words("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(major_in_words("postgres (PostgreSQL) 18beta1\n"), Some(18));
        assert_eq!(major_in_words("postgres (PostgreSQL) 9.6.24\n"), Some(9));
        assert_eq!(major_in_words("something else 15"), None);
    }

    #[test]
    fn the_highest_for_a_new_cluster_and_the_same_for_an_old_one() {
        let found = || vec![installed(14), installed(17), installed(12)];
        assert_eq!(choose(found(), None).unwrap(), installed(17));
        assert_eq!(choose(found(), Some((14, Path::new("/data")))).unwrap(), installed(14));
    }

    #[test]
    fn too_old_and_missing_say_the_ways_out() {
        insta::assert_snapshot!(choose(vec![], None).unwrap_err(), @"No Postgres was found on this machine. Install Postgres 14 or newer (Debian, Ubuntu: `apt install postgresql`; Fedora: `dnf install postgresql-server`; macOS: `brew install postgresql@17`), or put the directory of its `initdb` and `postgres` on PATH, or name a server with `--database postgres://USER:PASSWORD@HOST/NAME`.");
        insta::assert_snapshot!(choose(vec![installed(12)], None).unwrap_err(), @"Only Postgres 12 (/pg/12) was found on this machine. Install Postgres 14 or newer (Debian, Ubuntu: `apt install postgresql`; Fedora: `dnf install postgresql-server`; macOS: `brew install postgresql@17`), or put the directory of its `initdb` and `postgres` on PATH, or name a server with `--database postgres://USER:PASSWORD@HOST/NAME`.");
    }

    #[test]
    fn a_cluster_of_another_version_says_which_is_needed() {
        let cluster = Some((16, Path::new("/data/postgres")));
        insta::assert_snapshot!(choose(vec![installed(15), installed(17)], cluster).unwrap_err(), @"The database in /data/postgres was made by Postgres 16, and only Postgres 17 (/pg/17), Postgres 15 (/pg/15) was found on this machine. Install Postgres 16 (Debian, Ubuntu: `apt install postgresql-16`; macOS: `brew install postgresql@16`), or put the directory of its `initdb` and `postgres` on PATH.");
        insta::assert_snapshot!(choose(vec![], cluster).unwrap_err(), @"The database in /data/postgres was made by Postgres 16, and none was found on this machine. Install Postgres 16 (Debian, Ubuntu: `apt install postgresql-16`; macOS: `brew install postgresql@16`), or put the directory of its `initdb` and `postgres` on PATH.");
    }

    #[test]
    fn a_directory_needs_both_programs_and_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, half, alias) = (dir.path().join("whole"), dir.path().join("half"), dir.path().join("alias"));
        for (directory, names) in [(&whole, &["initdb", "postgres"][..]), (&half, &["postgres"])] {
            fs::create_dir(directory).unwrap();
            names.iter().for_each(|name| fs::write(directory.join(name), "").unwrap());
        }
        std::os::unix::fs::symlink(&whole, &alias).unwrap();
        assert_eq!(directories(&Search::Only(vec![half, whole.clone(), alias])), [whole]);
    }
}

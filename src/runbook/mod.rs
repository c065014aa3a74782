//! The catalog, read: YAML files below one folder become a checked [`Catalog`], or a list of everything that is wrong.
//!
//! What lives here: reading the files ([`load`]), in three steps with a room each: `raw` says which keys exist, `check`
//! says what they mean, `diagnostic` draws what is wrong. What does not: using a catalog, or watching for changes (the
//! caller compares fingerprints). Keeps I10: a catalog comes out whole or not at all. A catalog is loaded before
//! anything runs, never during: plans carry all that they need.

mod check;
mod diagnostic;
mod files;
mod raw;
mod schema;
mod words;
mod yaml;

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::model::catalog::{Catalog, Source};
use crate::model::id::Digest;

use check::{Input, Kind};
use diagnostic::{Problem, Text};
use raw::Document;
use yaml::{At, Place};

pub use diagnostic::{Diagnostic, Diagnostics};
pub use schema::schema;

/// What the fingerprint's input begins with.
const DOMAIN: &[u8] = b"countersign/catalog/v1\n";

/// What a release is able to do with a policy. The types carry more than this release does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The greatest number of stages.
    pub stages: usize,
    /// The greatest quorum.
    pub quorum: u32,
}

impl Limits {
    /// One stage, one approver.
    pub const THIS_RELEASE: Self = Self { stages: 1, quorum: 1 };
    /// Everything that the types can say: for tests of what is to come.
    pub const NONE: Self = Self { stages: usize::MAX, quorum: u32::MAX };
}

/// A catalog, loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The catalog.
    pub catalog: Catalog,
    /// SHA-256 over paths and bytes of all its YAML files: differs when any of them does. Scripts are not in it: a plan
    /// reads those itself.
    pub fingerprint: Digest,
    /// The paths of its files below the root, sorted.
    pub files: Vec<String>,
}

/// Reads the catalog below `root`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(root: &Path) -> Result<Loaded, Diagnostics> {
    load_with(root, Limits::THIS_RELEASE)
}

/// Reads the catalog below `root` within other limits than this release's.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_with(root: &Path, limits: Limits) -> Result<Loaded, Diagnostics> {
    let files::Found { root, files, mut problems } =
        files::find(root).map_err(|problem| Diagnostics::new(vec![problem]))?;
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    let mut texts = Vec::new();
    let mut found: Vec<(usize, Problem)> = Vec::new();
    let mut inputs = Vec::new();
    let mut broken = BTreeSet::new();
    // A file that could not even be opened may have held anything.
    if !problems.is_empty() {
        broken.extend(ALL_KINDS);
    }
    let paths = files.iter().map(|file| file.path.clone()).collect();
    for file in files {
        let sha256 = Digest(Sha256::digest(&file.bytes).into());
        hash.update(file.path.as_bytes());
        hash.update([0]);
        hash.update(sha256.0);
        let text: std::sync::Arc<str> = match String::from_utf8(file.bytes) {
            Ok(text) => text.into(),
            Err(_) => {
                broken.extend(ALL_KINDS);
                let hint = Some("save it as UTF-8");
                problems.push(Diagnostic::of_path(file.path, "this file is not UTF-8 text", hint));
                continue;
            }
        };
        let number = texts.len();
        texts.push(Text { path: file.path.clone(), text: text.clone() });
        match document(&text) {
            Ok(document) => {
                let source = Source { path: file.path, sha256 };
                inputs.push(Input { file: number, source, text, document });
            }
            Err(unread) => {
                broken.extend(unread.kinds);
                found.push((number, *unread.problem));
            }
        }
    }
    if texts.is_empty() && problems.is_empty() {
        let hint = Some("put the catalog's *.yaml files there; `runbooks/` of the source is an example");
        let message = "there is no *.yaml file below this folder";
        return Err(Diagnostics::new(vec![Diagnostic::of_path(root.display().to_string(), message, hint)]));
    }
    let catalog = Catalog { root, ..Catalog::default() };
    let checked = check::check(catalog, &inputs, broken, limits);
    found.extend(checked.problems);
    problems.extend(found.into_iter().map(|(file, problem)| Diagnostic::new(&texts, file, problem)));
    if !problems.is_empty() {
        return Err(Diagnostics::new(problems));
    }
    Ok(Loaded { catalog: checked.catalog, fingerprint: Digest(hash.finalize().into()), files: paths })
}

const ALL_KINDS: [Kind; 9] = [
    Kind::System,
    Kind::Service,
    Kind::Runbook,
    Kind::Trigger,
    Kind::Policy,
    Kind::Person,
    Kind::Group,
    Kind::Room,
    Kind::Secret,
];

/// A file that could not be read, and what it may have declared.
struct Unread {
    kinds: Vec<Kind>,
    problem: Box<Problem>,
}

/// Reads one file: its top keys say the kind, the kind says the shape.
fn document(text: &str) -> Result<Document, Unread> {
    let unread = |kinds: &[Kind], problem| Unread { kinds: kinds.to_vec(), problem: Box::new(problem) };
    let keys = yaml::top_keys(text).map_err(|problem| unread(&ALL_KINDS, problem))?;
    let kind = kind_of(&keys).map_err(|problem| unread(&ALL_KINDS, problem))?;
    match kind {
        FileKind::System => {
            yaml::read(text).map(Document::System).map_err(|problem| unread(&[Kind::System, Kind::Service], problem))
        }
        FileKind::Runbook => {
            yaml::read(text).map(Document::Runbook).map_err(|problem| unread(&[Kind::Runbook], problem))
        }
        FileKind::Trigger => {
            yaml::read(text).map(Document::Trigger).map_err(|problem| unread(&[Kind::Trigger], problem))
        }
        FileKind::Policy => yaml::read(text).map(Document::Policy).map_err(|problem| unread(&[Kind::Policy], problem)),
        FileKind::People => {
            yaml::read(text).map(Document::People).map_err(|problem| unread(&[Kind::Person, Kind::Group], problem))
        }
        FileKind::Rooms => yaml::read(text).map(Document::Rooms).map_err(|problem| unread(&[Kind::Room], problem)),
        FileKind::Secrets => {
            yaml::read(text).map(Document::Secrets).map_err(|problem| unread(&[Kind::Secret], problem))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    System,
    Runbook,
    Trigger,
    Policy,
    People,
    Rooms,
    Secrets,
}

/// The keys that name a kind.
const KINDS: [(&str, FileKind); 8] = [
    ("runbook", FileKind::Runbook),
    ("system", FileKind::System),
    ("trigger", FileKind::Trigger),
    ("policy", FileKind::Policy),
    ("people", FileKind::People),
    ("groups", FileKind::People),
    ("rooms", FileKind::Rooms),
    ("secrets", FileKind::Secrets),
];

impl FileKind {
    /// The raw mapping that a file of this kind is.
    fn shape(self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Runbook => "Runbook",
            Self::Trigger => "Trigger",
            Self::Policy => "Policy",
            Self::People => "People",
            Self::Rooms => "Rooms",
            Self::Secrets => "Secrets",
        }
    }
}

/// The kind that the top keys name. In a runbook `system` is an ordinary key; people and groups may share a file.
fn kind_of(keys: &[At<String>]) -> Result<FileKind, Problem> {
    let named: Vec<(&At<String>, FileKind)> = keys
        .iter()
        .filter_map(|key| KINDS.iter().find(|(word, _)| *word == key.value).map(|(_, kind)| (key, *kind)))
        .collect();
    let is_runbook = named.iter().any(|(_, kind)| *kind == FileKind::Runbook);
    let mut named = named.into_iter().filter(|(_, kind)| !(is_runbook && *kind == FileKind::System));
    let words = || KINDS.iter().map(|(word, _)| *word);
    let Some((first, kind)) = named.next() else {
        let Some(key) = keys.first() else {
            return Err(Problem::new(Place::default(), "this file is empty")
                .hint("delete it, or say what it declares, such as `runbook: start-service`"));
        };
        let problem = Problem::new(key.place, "no key says what this file declares")
            .label(format!("expected one of the keys {}", self::words::one_of(words())));
        return Err(match keys.iter().find(|key| yaml::is_later(&key.value)) {
            Some(later) => Problem { place: later.place, ..problem }
                .hint(format!("`{}` is not yet in this release: leave the file out", later.value)),
            None => keys
                .iter()
                .find(|key| self::words::nearest(&key.value, words()).is_some())
                .map_or(problem.clone(), |key| Problem { place: key.place, ..problem }.nearest(&key.value, words())),
        });
    };
    match named.find(|(_, other)| *other != kind) {
        Some((second, _)) => Err(Problem::new(
            second.place,
            format!("this file declares two kinds of things: `{}` and `{}`", first.value, second.value),
        )
        .hint("give each its own file")),
        None => Ok(kind),
    }
}

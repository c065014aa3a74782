//! The catalog, read: YAML files below one folder become a checked [`Catalog`], or a list of everything that is wrong.
//!
//! What lives here: reading the files ([`load`]), in three steps with a room each: `raw` says which keys exist, `check`
//! says what they mean, `diagnostic` draws what is wrong. What does not: using a catalog, or watching for changes (the
//! caller compares fingerprints). Keeps I10: a catalog comes out whole or not at all. A catalog is loaded before
//! anything runs, never during: plans carry all that they need.

mod check;
mod diagnostic;
mod files;
mod names;
mod raw;
mod schema;
mod words;
mod yaml;

use std::collections::BTreeMap;
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

/// A catalog, loaded.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The catalog.
    pub catalog: Catalog,
    /// SHA-256 over paths and bytes of all its YAML files, and of the scripts of runbooks that start without anybody's
    /// agreement: differs when any of them does. Other scripts are not in it: a plan reads those itself.
    pub fingerprint: Digest,
    /// The paths of its files below the root, sorted.
    pub files: Vec<String>,
}

/// Reads the catalog below `root`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(root: &Path) -> Result<Loaded, Diagnostics> {
    let files::Found { root, files, mut problems } =
        files::find(root).map_err(|problem| Diagnostics::new(vec![problem]))?;
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    let mut texts = Vec::new();
    let mut found: Vec<(usize, Problem)> = Vec::new();
    let mut inputs = Vec::new();
    let mut unread = names::Unread::default();
    // A file that could not even be opened may have held anything.
    if !problems.is_empty() {
        unread.anything();
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
                unread.anything();
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
            Err(problem) => {
                unread.file(number, &text);
                found.push((number, *problem));
            }
        }
    }
    if texts.is_empty() && problems.is_empty() {
        let hint = Some("put the catalog's *.yaml files there; `runbooks/` of the source is an example");
        let message = "there is no *.yaml file below this folder";
        return Err(Diagnostics::new(vec![Diagnostic::of_path(root.display().to_string(), message, hint)]));
    }
    let catalog = Catalog { root, ..Catalog::default() };
    let checked = check::check(catalog, &inputs, unread);
    found.extend(checked.problems);
    problems.extend(found.into_iter().map(|(file, problem)| Diagnostic::new(&texts, file, problem)));
    if !problems.is_empty() {
        return Err(Diagnostics::new(problems));
    }
    let mut catalog = checked.catalog;
    catalog.scripts = scripts(&catalog);
    for (word, sha256) in &catalog.scripts {
        hash.update(word.as_bytes());
        hash.update([0]);
        hash.update(sha256.0);
    }
    Ok(Loaded { catalog, fingerprint: Digest(hash.finalize().into()), files: paths })
}

/// What stands in the scripts of runbooks that may start without anybody's agreement, as a policy says or as they name none:
/// changing one is changing what starts.
fn scripts(catalog: &Catalog) -> BTreeMap<String, Digest> {
    let named = catalog.policies.values().flat_map(|policy| {
        let by_triggers = policy.automatic.iter().filter_map(|rule| rule.bound.as_ref()).map(|bound| &bound.runbook);
        by_triggers.chain(policy.unasked.iter().map(|(runbook, _)| runbook))
    });
    let read = |word: &str| {
        let real = catalog.root.join(word).canonicalize().ok().filter(|real| real.starts_with(&catalog.root));
        let bytes = real.and_then(|real| std::fs::read(real).ok());
        bytes.map_or(Digest([0; 32]), |bytes| Digest(Sha256::digest(bytes).into()))
    };
    let on_their_word = catalog.runbooks.values().filter(|runbook| runbook.acts_on_its_word());
    let runbooks = named.filter_map(|name| catalog.runbooks.get(name)).chain(on_their_word);
    runbooks.flat_map(|runbook| runbook.scripts()).map(|word| (word.to_owned(), read(word))).collect()
}

const ALL_KINDS: [Kind; 10] = [
    Kind::System,
    Kind::Service,
    Kind::Runbook,
    Kind::Trigger,
    Kind::Policy,
    Kind::Person,
    Kind::Group,
    Kind::Rota,
    Kind::Room,
    Kind::Secret,
];

/// Reads one file: its top keys say the kind, the kind says the shape.
fn document(text: &str) -> Result<Document, Box<Problem>> {
    let kind = kind_of(&yaml::top_keys(text)?)?;
    let read = match kind {
        FileKind::System => Document::System(yaml::read(text)?),
        FileKind::Runbook => Document::Runbook(yaml::read(text)?),
        FileKind::Trigger => Document::Trigger(yaml::read(text)?),
        FileKind::Policy => Document::Policy(yaml::read(text)?),
        FileKind::People => Document::People(yaml::read(text)?),
        FileKind::Rooms => Document::Rooms(yaml::read(text)?),
        FileKind::Secrets => Document::Secrets(yaml::read(text)?),
    };
    Ok(read)
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
const KINDS: [(&str, FileKind); 10] = [
    ("runbook", FileKind::Runbook),
    ("system", FileKind::System),
    ("trigger", FileKind::Trigger),
    ("policy", FileKind::Policy),
    ("people", FileKind::People),
    ("groups", FileKind::People),
    ("rotas", FileKind::People),
    ("access", FileKind::People),
    ("rooms", FileKind::Rooms),
    ("secrets", FileKind::Secrets),
];

impl FileKind {
    /// The kinds of things that a file of this kind declares.
    fn declares(self) -> &'static [Kind] {
        match self {
            Self::System => &[Kind::System, Kind::Service],
            Self::Runbook => &[Kind::Runbook],
            Self::Trigger => &[Kind::Trigger],
            Self::Policy => &[Kind::Policy],
            Self::People => &[Kind::Person, Kind::Group, Kind::Rota],
            Self::Rooms => &[Kind::Room],
            Self::Secrets => &[Kind::Secret],
        }
    }

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

/// The kind that the top keys name. In a runbook `system` is an ordinary key; people, groups, rotas and who countersigns may
/// share a file.
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

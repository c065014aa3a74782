//! Who may know whom. The story in `src/lib.rs` is told in rooms (top-level modules); this test reads the sources as text
//! and holds the rooms to it.
//!
//! What it sees: `crate::room`, `crate::{room, …}` and chains of `super::` that lead to another room, in code that ships;
//! modules of tests may use whatever they like. What it does not see: a room that is reached through a value whose type
//! it never names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Which rooms each room may name, and why where it is not plain from the story. A room that is not listed here fails the
/// test, and so does a permission that nobody uses: the list stays as small as the truth.
const MAY: &[(&str, &[&str])] = &[
    // Nouns, transitions and rights, and the calls of the operating system: the two rooms below all others.
    ("model", &[]),
    ("sys", &[]),
    ("config", &[]),
    // Counters, and the beats of the loops: every room below may count into it, so it stands beside them.
    ("metrics", &["model"]),
    // Bytes of a browser to a proof, without I/O; and a listener that may be open to the world.
    ("passkey", &[]),
    ("listener", &[]),
    // The demo is a world of its own; the bot meets it only through a command line.
    ("demo", &[]),
    // Pure readings of text and files.
    ("command", &["model"]),
    ("runbook", &["model"]),
    ("text", &["model"]),
    // `sys`: rows name processes (worker, attempt) by `ProcessIdentity`, and the managed database is a process.
    ("store", &["model", "sys", "metrics"]),
    ("approval", &["model", "store"]),
    // `text`: a report holds the sentences of its timeline.
    ("incident", &["model", "store", "text"]),
    // `incident`: what a turn of a check opens or mitigates.
    ("watch", &["model", "store", "incident"]),
    // `passkey`: what was signed with one is verified again.
    ("ledger", &["model", "store", "metrics", "passkey"]),
    // `store`: the sender reads the outbox, the local room shares its clock.
    ("chat", &["model", "store", "metrics", "listener"]),
    // `approval`: the Grant. `text`: only `text::chain`, which writes an error's causes into one line of the log.
    ("engine", &["model", "store", "sys", "approval", "text", "metrics"]),
    // HTTP is the door of the local room: it knows that adapter, and reads how a line settled from the store. `text`: pages
    // say times, plans and states in the bot's words.
    // `listener` and `passkey`: the pages on which people decide with a passkey stand alone.
    // `approval`: whoever removes a passkey takes back what was agreed to with it.
    ("web", &["model", "store", "approval", "incident", "chat", "ledger", "text", "metrics", "listener", "passkey"]),
    // The one room that knows the others.
    (
        "flow",
        &[
            "model", "store", "command", "runbook", "engine", "approval", "incident", "watch", "chat", "text",
            "ledger", "web", "metrics", "passkey",
        ],
    ),
    // The command line wires everything up.
    (
        "cli",
        &[
            "model", "sys", "config", "demo", "command", "runbook", "text", "store", "approval", "ledger", "chat",
            "engine", "incident", "web", "flow", "metrics", "passkey",
        ],
    ),
];

/// Rooms that may leave a permission unused: whoever wires everything may wire anything.
const WIRERS: [&str; 2] = ["flow", "cli"];

/// A file of the sources, without comments and without modules of tests.
struct Source {
    /// Below `src`.
    path: PathBuf,
    room: String,
    /// How many `super::` lead from here to the crate's root.
    depth: usize,
    code: String,
}

#[test]
fn rooms_know_only_whom_they_may() {
    let sources = sources();
    let rooms: BTreeSet<&str> = sources.iter().map(|source| source.room.as_str()).collect();
    let may: BTreeMap<&str, &[&str]> = MAY.iter().copied().collect();
    assert_eq!(rooms, may.keys().copied().collect(), "the list has one row for each room");
    let mut used: BTreeSet<(&str, String)> = BTreeSet::new();
    let mut wrong = String::new();
    for source in &sources {
        for (line, other) in named_rooms(source, &rooms) {
            if !may[source.room.as_str()].contains(&other.as_str()) {
                let (path, room) = (source.path.display(), &source.room);
                writeln!(wrong, "src/{path}:{line}: `{room}` may not know `{other}`").expect("a string");
            }
            used.insert((&source.room, other));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    for (room, others) in MAY.iter().filter(|(room, _)| !WIRERS.contains(room)) {
        for other in *others {
            assert!(
                used.contains(&(*room, (*other).to_owned())),
                "`{room}` does not use `{other}`: take it off the list"
            );
        }
    }
}

#[test]
fn rooms_know_each_other_in_no_circle() {
    let sources = sources();
    let rooms: BTreeSet<&str> = sources.iter().map(|source| source.room.as_str()).collect();
    let mut knows: BTreeMap<String, BTreeSet<String>> =
        rooms.iter().map(|room| ((*room).to_owned(), BTreeSet::new())).collect();
    for source in &sources {
        let others = named_rooms(source, &rooms).into_iter().map(|(_, other)| other);
        knows.get_mut(&source.room).expect("listed").extend(others);
    }
    // Rooms that know nobody who is left are taken away until none is left, or only circles are.
    while !knows.is_empty() {
        let free: Vec<String> = knows
            .iter()
            .filter(|(_, others)| !others.iter().any(|other| knows.contains_key(other)))
            .map(|(room, _)| room.clone())
            .collect();
        assert!(!free.is_empty(), "these rooms know each other in a circle: {knows:#?}");
        for room in free {
            knows.remove(&room);
        }
    }
}

#[test]
fn only_the_store_speaks_sql() {
    for source in sources().iter().filter(|source| source.room != "store") {
        for word in ["sqlx::query", "sqlx::raw_sql", "sqlx::migrate", "QueryBuilder"] {
            assert!(!source.code.contains(word), "src/{}: `{word}` belongs to `store`", source.path.display());
        }
    }
}

/// A plan is the same bytes for the same inputs, so whoever makes it reaches nothing but its inputs.
/// A turn has one connection, its transaction's. With a second one, as many turns at once as there are connections would
/// wait for each other.
#[test]
fn a_turn_asks_only_its_own_transaction() {
    let mut wrong = String::new();
    for source in sources().iter().filter(|source| source.path.starts_with("flow/commands")) {
        for (index, line) in source.code.lines().enumerate() {
            if line.contains("store.") && !line.contains("store.clock()") {
                writeln!(wrong, "src/{}:{}: {}", source.path.display(), index + 1, line.trim()).expect("a string");
            }
        }
    }
    assert!(wrong.is_empty(), "these ask the database past the turn's transaction:\n{wrong}");
}

#[test]
fn planning_is_pure() {
    let sources = sources();
    let plan = sources.iter().find(|source| source.path == Path::new("engine/plan.rs")).expect("engine/plan.rs");
    let rooms: BTreeSet<&str> = sources.iter().map(|source| source.room.as_str()).collect();
    for (line, other) in named_rooms(plan, &rooms) {
        assert_eq!(other, "model", "src/engine/plan.rs:{line}");
    }
    for word in ["async ", "tokio::", "SystemTime", "Instant", "getrandom", "std::env"] {
        assert!(!plan.code.contains(word), "src/engine/plan.rs: `{word}`");
    }
}

#[test]
fn the_model_is_pure() {
    for source in sources().iter().filter(|source| source.room == "model") {
        for word in
            ["async ", "tokio::", "sqlx::", "std::fs", "std::env", "std::net", "std::process", "SystemTime", "Instant"]
        {
            assert!(!source.code.contains(word), "src/{}: `{word}`", source.path.display());
        }
    }
}

/// The engine says nothing to people: of `text` it uses the one function that writes errors into the log.
#[test]
fn the_engine_uses_text_for_logs_alone() {
    for source in sources().iter().filter(|source| source.room == "engine") {
        for (at, _) in source.code.match_indices("text::") {
            let before = source.code[..at].chars().next_back();
            let is_whole_word = !before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
            let after = &source.code[at + "text::".len()..];
            assert!(!is_whole_word || word(after) == "chain", "src/{}: text::{}", source.path.display(), word(after));
        }
    }
}

/// Only `approval` can make a Grant: its fields are private, and nothing else in the sources writes the literal.
#[test]
fn only_approval_makes_grants() {
    for source in sources() {
        let makes = source.code.contains("Grant {") && source.code.contains("retry_step:");
        let is_maker = source.path == Path::new("approval/grant.rs");
        let literal = source.code.lines().any(|line| {
            let line = line.trim_start();
            line.contains("= Grant {") || line.starts_with("Grant {") || line.contains("(Grant {")
        });
        assert!(is_maker || !(makes && literal), "src/{}: a Grant is made here", source.path.display());
        if is_maker {
            let body = source.code.split("pub struct Grant {").nth(1).and_then(|rest| rest.split('}').next());
            let body = body.expect("the Grant's fields");
            assert!(!body.contains("pub"), "a field of Grant can be written from outside");
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let mut sources = Vec::new();
    for file in files {
        let path = file.strip_prefix(&root).expect("below src").to_owned();
        let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let last = parts.last().expect("a name").as_str();
        // The crate's root and the program's arguments tell the story; files of tests use what they like.
        if parts.len() == 1 && (last == "lib.rs" || last == "main.rs") || last == "tests.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source");
        let room = parts[0].trim_end_matches(".rs").to_owned();
        let depth = if last == "mod.rs" { parts.len() - 1 } else { parts.len() };
        sources.push(Source { path, room, depth, code: shipping(&text) });
    }
    assert!(sources.len() > 50, "the sources are there");
    sources
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The code that ships: comments and items under `#[cfg(test)]` become empty lines, so that line numbers stay.
fn shipping(text: &str) -> String {
    let mut code = String::new();
    // The indentation of the item under `#[cfg(test)]` that is being left out.
    let mut leaving_out: Option<usize> = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim_start();
        match leaving_out {
            Some(from) => {
                let ends = indent == from && (line.starts_with('}') || line.ends_with(';'));
                if ends {
                    leaving_out = None;
                }
            }
            None if line == "#[cfg(test)]" => leaving_out = Some(indent),
            None if line.starts_with("//") => {}
            None => code.push_str(line.split(" // ").next().unwrap_or(line)),
        }
        code.push('\n');
    }
    assert!(leaving_out.is_none(), "an item under #[cfg(test)] does not end");
    code
}

/// The rooms that a file names other than its own, each with its line.
fn named_rooms(source: &Source, rooms: &BTreeSet<&str>) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    let to_root = "super::".repeat(source.depth);
    for (index, line) in source.code.lines().enumerate() {
        for root in ["crate::", to_root.as_str()] {
            for (at, _) in line.match_indices(root) {
                let before = line[..at].chars().next_back();
                if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == ':') {
                    continue;
                }
                let after = &line[at + root.len()..];
                let names: Vec<&str> = match after.strip_prefix('{') {
                    None => vec![word(after)],
                    Some(group) => top_of_group(group),
                };
                for name in names.into_iter().filter(|name| rooms.contains(name) && *name != source.room) {
                    named.push((index + 1, name.to_owned()));
                }
            }
        }
    }
    named
}

/// The word at the beginning of a text.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(text.len());
    &text[..end]
}

/// The first words of a use group's members: `store` and `text` of `store::{self, Tx}, text};`.
fn top_of_group(group: &str) -> Vec<&str> {
    assert!(group.contains('}'), "a use group of crate:: over several lines is not read here: {group}");
    let (mut depth, mut begins, mut names) = (0_i32, true, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            letter if begins && (letter.is_alphabetic() || letter == '_') => {
                names.push(word(&group[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

#[test]
fn the_reader_of_sources_reads() {
    let text = "use crate::store;\n// crate::flow\n#[cfg(test)]\nmod tests {\n    use crate::chat;\n}\nlet x = 1; // crate::web\n#[cfg(test)]\nmod more;\nfn f() {}\n";
    assert_eq!(shipping(text), "use crate::store;\n\n\n\n\n\nlet x = 1;\n\n\nfn f() {}\n");
    let rooms: BTreeSet<&str> = ["a", "b", "c", "d"].into();
    let source = |code: &str| Source { path: PathBuf::new(), room: "a".into(), depth: 2, code: code.into() };
    let named = |code: &str| named_rooms(&source(code), &rooms).into_iter().map(|(_, name)| name).collect::<Vec<_>>();
    assert_eq!(named("use crate::{b, c::{d, E}, a};"), ["b", "c"]);
    assert_eq!(named("use super::super::b::X; super::c::f(); xcrate::d::y()"), ["b"]);
    assert_eq!(named("crate::a::b() + crate::d::g(crate::zzz)"), ["d"]);
}

/// Below a folder, the files that hold tests of each invariant by name, in order.
fn tests_of_invariants(folder: &str) -> BTreeMap<usize, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let name = path.strip_prefix(&root).expect("below it").display().to_string();
            for (at, _) in text.match_indices("fn i") {
                let words =
                    text.get(at + "fn i".len()..).unwrap_or_default().split(['(', ' ']).next().unwrap_or_default();
                // `i1_i2_i3_…` is a test of three.
                for word in words.split('_').enumerate().map_while(|(index, word)| {
                    let number = if index == 0 { Some(word) } else { word.strip_prefix('i') };
                    number.and_then(|number| number.parse::<usize>().ok())
                }) {
                    found.entry(word).or_default().insert(name.clone());
                }
            }
        }
    }
    found
}

#[test]
fn the_table_of_invariants_names_every_file_that_tests_them() {
    let (sources, tests) = (tests_of_invariants("src"), tests_of_invariants("tests"));
    let cell = |files: Option<&BTreeSet<String>>| {
        let files: Vec<String> = files.into_iter().flatten().map(|file| format!("`{file}`")).collect();
        files.join(", ")
    };
    let mut table = String::from("| | in `src/` | in `tests/` |\n| --- | --- | --- |\n");
    for number in 1..=13 {
        let row = format!("| I{number} | {} | {} |\n", cell(sources.get(&number)), cell(tests.get(&number)));
        table.push_str(&row.replace("|  |", "| |"));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md");
    let page = std::fs::read_to_string(&path).expect("the page");
    assert!(page.contains(&table), "{} should say:\n\n{table}", path.display());
}

//! Takes out of the code, one thing at a time, what keeps an invariant, and expects the invariant's tests to fail:
//! `script/mutations [--target DIR] [WORDS…]`. With words, only mutations whose invariant or name holds one of them.
//!
//! It works on a copy of the last commit in a temporary folder, with a target folder of its own there, or `DIR`, which is
//! kept and makes the next time shorter. Statements are checked against a database that is made for it on the server of
//! `COUNTERSIGN_TEST_POSTGRES`, for a mutation of a statement is not in `.sqlx/`. Prints a table for
//! `docs/mutations.md`; ends with 1 when a mutation survived, could not be built, or took too long, and with 2 when it
//! could not begin.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod list;

use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use countersign::store::Store;
use list::Mutation;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tokio::process::Command;

/// How long building the tests may take; the first time everything is built.
const BUILD: Duration = Duration::from_secs(30 * 60);
/// How long the named tests may take. Each waits a minute at most for anything.
const TESTS: Duration = Duration::from_secs(3 * 60);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    let target = arguments.next_if_eq("--target").and_then(|_| arguments.next()).map(PathBuf::from);
    let words: Vec<String> = arguments.collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("no runtime").and_then(|runtime| runtime.block_on(all(target, &words))) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("mutations: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// What became of a mutation.
enum Fate {
    /// These tests of its invariant failed.
    Killed(Vec<String>),
    /// None did.
    Survived,
    /// Nobody knows: why.
    Untested(String),
}

/// Where the mutated copy is built and tested.
struct Place {
    folder: PathBuf,
    target: PathBuf,
    /// For the statements.
    database: String,
}

async fn all(target: Option<PathBuf>, words: &[String]) -> anyhow::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("tests/mutations.txt")).context("tests/mutations.txt")?;
    let mut mutations = list::read(&text).map_err(|wrong| anyhow::anyhow!("tests/mutations.txt: {wrong}"))?;
    mutations.retain(|mutation| {
        let named = |word: &String| mutation.invariant.eq_ignore_ascii_case(word) || mutation.what.contains(word);
        words.is_empty() || words.iter().any(named)
    });
    ensure!(!mutations.is_empty(), "no mutation is called that");
    let server =
        std::env::var("COUNTERSIGN_TEST_POSTGRES").context("set COUNTERSIGN_TEST_POSTGRES, or use script/mutations")?;
    let server: PgConnectOptions = server.parse().context("COUNTERSIGN_TEST_POSTGRES is not a Postgres URL")?;
    let temporary = tempfile::Builder::new().prefix("countersign-mutations-").tempdir()?;
    let folder = temporary.path().join("source");
    copy_of_head(root, &folder).await?;
    let name = format!("countersign_mutations_{}", std::process::id());
    on(&server, format!("create database {name}")).await?;
    let options = server.clone().database(&name);
    let store = Store::connect(options.clone()).await?;
    store.close().await;
    let target = target.map(std::path::absolute).transpose()?.unwrap_or_else(|| temporary.path().join("target"));
    let place = Place { folder, target, database: options.to_url_lossy().to_string() };
    let done = each(&place, &mutations).await;
    on(&server, format!("drop database if exists {name} with (force)")).await?;
    done
}

async fn on(server: &PgConnectOptions, sql: String) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect_with(server).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    Ok(connection.close().await?)
}

/// The sources as of the last commit: what is not committed is not tested.
async fn copy_of_head(root: &Path, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(folder)?;
    let changed = Command::new("git").args(["status", "--porcelain"]).current_dir(root).output().await?;
    if !changed.stdout.is_empty() {
        eprintln!("mutations: there are changes that are not committed; the last commit is what is tested");
    }
    let archive = folder.with_extension("tar");
    let archived =
        Command::new("git").args(["archive", "-o"]).arg(&archive).arg("HEAD").current_dir(root).status().await?;
    ensure!(archived.success(), "git archive failed");
    let unpacked = Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder).status().await?;
    ensure!(unpacked.success(), "tar failed");
    Ok(())
}

/// All mutations, one after another; whether every one was killed.
async fn each(place: &Place, mutations: &[Mutation]) -> anyhow::Result<bool> {
    // First without any: a test that fails anyway proves nothing.
    let begun = Instant::now();
    for mutation in mutations {
        mutation.apply(&std::fs::read_to_string(place.folder.join(&mutation.file))?).map_err(anyhow::Error::msg)?;
    }
    let mut tests: Vec<&[String]> = mutations.iter().map(|mutation| mutation.test.as_slice()).collect();
    tests.sort_unstable();
    tests.dedup();
    for test in tests {
        match attempt(place, test).await? {
            Attempt::Passed(count) if count > 0 => {}
            Attempt::Passed(_) => bail!("`cargo test {}` runs no test", test.join(" ")),
            Attempt::Failed(names) => bail!("without any mutation these tests fail: {}", names.join(", ")),
            Attempt::Broken(why) => bail!("without any mutation `cargo test {}` does not work: {why}", test.join(" ")),
        }
    }
    eprintln!("without any mutation all tests pass ({} s)", begun.elapsed().as_secs());

    println!("| invariant | mutation | killed by | result |");
    println!("| --- | --- | --- | --- |");
    let mut survived = 0;
    for mutation in mutations {
        let begun = Instant::now();
        let fate = one(place, mutation).await?;
        let took = begun.elapsed().as_secs();
        let (by, result) = match fate {
            Fate::Killed(names) => {
                let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
                (format!("`{}`{more}", names.first().map_or("", String::as_str)), "killed".to_owned())
            }
            Fate::Survived => ("".to_owned(), "**survived**".to_owned()),
            Fate::Untested(why) => ("".to_owned(), format!("**not tested**: {why}")),
        };
        survived += u32::from(result != "killed");
        println!("| {} | {} | {by} | {result} |", mutation.invariant, mutation.what);
        eprintln!("{} {}: {result} ({took} s)", mutation.invariant, mutation.what);
    }
    println!();
    println!("{} mutations, {} killed.", mutations.len(), mutations.len() - survived as usize);
    Ok(survived == 0)
}

/// One mutation: applied, tested, taken back.
async fn one(place: &Place, mutation: &Mutation) -> anyhow::Result<Fate> {
    let path = place.folder.join(&mutation.file);
    let sound = std::fs::read_to_string(&path)?;
    std::fs::write(&path, mutation.apply(&sound).map_err(anyhow::Error::msg)?)?;
    let attempt = attempt(place, &mutation.test).await;
    std::fs::write(&path, sound)?;
    Ok(match attempt? {
        Attempt::Passed(_) => Fate::Survived,
        Attempt::Broken(why) => Fate::Untested(why),
        Attempt::Failed(names) => {
            let own = |name: &String| name.rsplit("::").next().is_some_and(|last| last.starts_with(&mutation.prefix()));
            let names: Vec<String> = names.into_iter().filter(own).collect();
            if names.is_empty() { Fate::Survived } else { Fate::Killed(names) }
        }
    })
}

/// What `cargo test` came to.
enum Attempt {
    /// So many tests passed and none failed.
    Passed(u32),
    /// These failed.
    Failed(Vec<String>),
    /// It was not built, or did not end.
    Broken(String),
}

async fn attempt(place: &Place, test: &[String]) -> anyhow::Result<Attempt> {
    let (built, errors) = cargo(place, test, &["--no-run"], BUILD).await?;
    match built {
        None => return Ok(Attempt::Broken("it was not built in time".to_owned())),
        Some(status) if !status.success() => {
            let first = errors.lines().find(|line| line.starts_with("error")).unwrap_or("it does not build");
            return Ok(Attempt::Broken(first.to_owned()));
        }
        Some(_) => {}
    }
    let (ran, output) = cargo(place, test, &[], TESTS).await?;
    let Some(status) = ran else { return Ok(Attempt::Broken("its tests did not end in time".to_owned())) };
    let of = |ending: &str| {
        let name = |line: &str| line.strip_prefix("test ")?.strip_suffix(ending).map(str::to_owned);
        output.lines().filter_map(name).collect::<Vec<String>>()
    };
    let failed = of(" ... FAILED");
    Ok(match (status.success(), failed.is_empty()) {
        (true, _) => Attempt::Passed(u32::try_from(of(" ... ok").len()).unwrap_or(u32::MAX)),
        (false, false) => Attempt::Failed(failed),
        (false, true) => Attempt::Broken("its tests ended badly without saying which".to_owned()),
    })
}

/// `cargo test`, told which tests; its end, unless it took too long, and what it said.
async fn cargo(
    place: &Place,
    test: &[String],
    more: &[&str],
    at_most: Duration,
) -> anyhow::Result<(Option<ExitStatus>, String)> {
    // What goes to cargo, and what goes to the tests: `--test invariants`, and `i1_a i1_b`.
    let numbered = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let (names, which): (Vec<&String>, Vec<&String>) =
        test.iter().partition(|word| word.strip_prefix('i').is_some_and(numbered));
    let mut command = Command::new("cargo");
    command
        .arg("test")
        .args(["--locked", "--target-dir"])
        .arg(&place.target)
        .args(which)
        .args(more)
        .arg("--")
        .args(names)
        .current_dir(&place.folder)
        .env("DATABASE_URL", &place.database)
        .env("RUST_BACKTRACE", "0")
        .env("INSTA_UPDATE", "no")
        .env("CARGO_TERM_COLOR", "never")
        .env_remove("SQLX_OFFLINE")
        .env_remove("CARGO_TARGET_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let child = command.spawn().context("cargo cannot be started")?;
    let group = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    match tokio::time::timeout(at_most, child.wait_with_output()).await {
        Ok(output) => {
            let output = output?;
            let said = [output.stdout, output.stderr].concat();
            Ok((Some(output.status), String::from_utf8_lossy(&said).into_owned()))
        }
        Err(_) => {
            if let Some(group) = group {
                // The tests are not cargo itself, and would go on without it.
                let _gone = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            }
            Ok((None, String::new()))
        }
    }
}

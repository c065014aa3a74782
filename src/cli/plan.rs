//! `countersign plan`: what would run, to the last byte, without asking for it.
//!
//! The plan is made as for a line of a room, with the same checks and the same sentences. With `--server` the bot makes
//! it, of the catalog that it has in use; else it is made here, of `--catalog`, and only looked up in the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail};
use chrono_tz::Tz;
use reqwest::Method;

use super::client::Client;
use super::place::{Place, PlaceArgs, local_world};
use crate::command::ParseError;
use crate::engine::plan::World;
use crate::flow::make_plan;
use crate::model::catalog::{Catalog, Stage};
use crate::model::id::RunbookName;
use crate::model::plan::{Plan, PlanPolicy, Sealed};
use crate::runbook;
use crate::store::PlanHistory;
use crate::text;
use crate::text::time::{Times, lasted};
use crate::text::visible::visible;
use crate::web::wire::{PlanAsked, PlanTold};

/// Show what a runbook would run, and its digest. Nothing is asked for and nothing runs.
#[derive(Debug, Clone, clap::Args)]
pub struct PlanArgs {
    /// The runbook.
    pub runbook: String,
    /// Its arguments.
    #[arg(value_name = "KEY=VALUE")]
    pub params: Vec<Pair>,
    /// Where to look up what became of the same plan before; with --server that bot also makes the plan.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The catalog's folder, unless the bot makes the plan [default: runbooks].
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub catalog: Option<PathBuf>,
    /// Print one JSON object; `plan` in it is byte for byte what the digest is of.
    #[arg(long)]
    pub json: bool,
}

/// One `KEY=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Before the first `=`.
    pub key: String,
    /// All after it.
    pub value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            _ => Err("write it as KEY=VALUE"),
        }
    }
}

/// Makes and shows the plan. The exit code: 0 done, 1 the catalog is wrong.
///
/// # Errors
/// With one sentence, when there is no such plan, or when the place cannot be read.
pub async fn run(args: PlanArgs) -> anyhow::Result<u8> {
    show(&args, &local_world()?, &mut io::stdout(), &mut io::stderr()).await
}

/// Makes and shows the plan for a given host, and writes to given places.
///
/// # Errors
/// As [`run`].
pub async fn show(
    args: &PlanArgs,
    world: &(dyn World + Sync),
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> anyhow::Result<u8> {
    refuse_twice(args)?;
    // A plan that cannot be made needs no database to be started.
    let made = if args.place.server.is_some() {
        None
    } else {
        let dir = args.catalog.as_deref().unwrap_or(Path::new("runbooks"));
        match runbook::load(dir) {
            Ok(loaded) => Some(make(&loaded.catalog, args, world)?),
            Err(problems) => {
                writeln!(err, "{problems}")?;
                return Ok(1);
            }
        }
    };
    let place = args.place.open().await?;
    let found = find(&place, args, made).await;
    place.close().await?;
    let (sealed, history) = found?;
    // Read in either case: what a server sent is printed as JSON only if it is a plan.
    let plan = sealed.open().context("the plan cannot be read")?;
    if args.json {
        write_json(out, &sealed, &history)?;
    } else {
        for line in report(&plan, &sealed, &history) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(0)
}

/// The plan, made here or there, and what is known of it.
async fn find(place: &Place, args: &PlanArgs, made: Option<Sealed>) -> anyhow::Result<(Sealed, PlanHistory)> {
    match (place, made) {
        (Place::Server(client), _) => ask(client, args).await,
        (Place::Store(store, _), Some(sealed)) => {
            let history = store.find_plan_history(sealed.digest()).await.context("the ledger cannot be read")?;
            Ok((sealed, history))
        }
        (Place::Store(..), None) => bail!("name one place: --server URL, --database URL or --data DIR"),
    }
}

async fn ask(client: &Client, args: &PlanArgs) -> anyhow::Result<(Sealed, PlanHistory)> {
    let params: BTreeMap<_, _> = args.params.iter().map(|pair| (pair.key.clone(), pair.value.clone())).collect();
    let asked = PlanAsked { runbook: args.runbook.clone(), params };
    let request = client.request(Method::POST, &["api", "v1", "plan"]).json(&asked);
    let response = client.send(request).await?;
    let told: PlanTold = response.json().await.context("the server speaks another version of this API")?;
    let sealed = Sealed::from_stored(told.plan.into_bytes());
    if sealed.digest() != told.digest {
        bail!("the server's plan has another digest than the server says: believe neither");
    }
    Ok((sealed, told.history))
}

/// Makes the plan of the arguments, checked as in a room.
fn make(catalog: &Catalog, args: &PlanArgs, world: &dyn World) -> anyhow::Result<Sealed> {
    let pairs = args.params.iter().map(|pair| (pair.key.as_str(), pair.value.as_str()));
    #[expect(clippy::disallowed_methods, reason = "no bot is asked, and this machine's clock is what there is")]
    let now = chrono::Utc::now();
    make_plan(catalog, &args.runbook, pairs, now, world).map_err(|sentence| anyhow!(sentence))
}

/// An argument that is given twice would be lost on the way to a server, which takes them by name.
fn refuse_twice(args: &PlanArgs) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    match args.params.iter().find(|pair| !seen.insert(pair.key.to_lowercase())) {
        None => Ok(()),
        Some(pair) => {
            let runbook = RunbookName::new(visible(&args.runbook));
            Err(wrong(&ParseError::DuplicateArgument { at: 0..0, runbook, name: pair.key.clone() }))
        }
    }
}

fn wrong(error: &ParseError) -> anyhow::Error {
    anyhow!(text::command::wrong(error))
}

/// All of a plan, for people.
fn report(plan: &Plan, sealed: &Sealed, history: &PlanHistory) -> Vec<String> {
    let mut lines = vec![format!(
        "{} · {} on {} · {}",
        text::plan::environment(plan),
        visible(&plan.deed),
        visible(&plan.host),
        text::plan::effect(plan)
    )];
    lines.extend(plan.why.as_deref().map(|why| format!("Why: {}", visible(why))));
    lines.extend(text::plan::steps(plan));
    lines.push(format!("Works on: {}", visible(&plan.targets.join(", "))));
    lines.push(format!("Policy: {}", plan.policy.as_ref().map_or_else(nobody, policy)));
    lines.push("Made of:".to_owned());
    lines.extend(plan.files.iter().map(|(path, sha256)| format!("  {sha256}  {}", visible(path))));
    lines.push(format!("Plan {}", sealed.digest()));
    lines.push(known(history));
    lines
}

fn nobody() -> String {
    "none; nobody must agree".to_owned()
}

fn policy(policy: &PlanPolicy) -> String {
    let stage = |stage: &Stage| {
        let approvers: Vec<String> = stage.approvers.iter().map(ToString::to_string).collect();
        format!("{} of {}", stage.quorum, approvers.join(", "))
    };
    let stages: Vec<String> = policy.stages.iter().map(stage).collect();
    let (waits, lasts) = (lasted(policy.expires_ms), lasted(policy.valid_for_ms));
    format!("{}, {} must agree; a request waits {waits}, a grant lasts {lasts}", policy.name, stages.join(", then "))
}

fn known(history: &PlanHistory) -> String {
    let runs = match history.runs {
        1 => "1 run".to_owned(),
        runs => format!("{runs} runs"),
    };
    match &history.last {
        None => "No run of exactly this plan is known.".to_owned(),
        Some(last) => {
            // The command line has no zone of its own.
            let at = Times::in_zone(Tz::UTC).at(last.asked_at, history.as_of);
            let state = visible(&last.state).replace('_', " ");
            let requester = visible(last.requester.as_str());
            format!("{runs} of exactly this plan; the last is run {}, {state}, asked by {requester} at {at}.", last.run)
        }
    }
}

/// One JSON object. The plan stands in it as its bytes are, so that its digest can be computed from what is printed.
fn write_json(out: &mut dyn Write, sealed: &Sealed, history: &PlanHistory) -> anyhow::Result<()> {
    let digest = serde_json::to_string(&sealed.digest())?;
    let history = serde_json::to_string(history)?;
    write!(out, "{{\"digest\":{digest},\"history\":{history},\"plan\":")?;
    out.write_all(sealed.bytes())?;
    writeln!(out, "}}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io as std_io;

    use clap::Parser;

    use super::*;
    use crate::model::id::{Digest, PersonId, RunId};
    use crate::store::LastRun;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        plan: PlanArgs,
    }

    fn args(line: &[&str]) -> Result<PlanArgs, clap::Error> {
        Program::try_parse_from([&["plan"], line].concat()).map(|program| program.plan)
    }

    /// Where everything is under `/opt`.
    struct Elsewhere;

    impl World for Elsewhere {
        fn host(&self) -> String {
            "app-1".to_owned()
        }

        fn program(&self, name: &str) -> Option<PathBuf> {
            (name == "countersign").then(|| PathBuf::from("/opt/countersign"))
        }

        fn search_path(&self) -> String {
            "/opt".to_owned()
        }

        fn script(&self, _: &Path, _: &Path) -> std_io::Result<(PathBuf, Digest)> {
            Err(std_io::Error::other("there is none"))
        }
    }

    fn shipped() -> Catalog {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
        runbook::load(&root).unwrap_or_else(|wrong| panic!("{wrong}")).catalog
    }

    fn made(line: &[&str]) -> Result<Sealed, String> {
        let args = args(&[line, &["--data", "/d"]].concat()).expect("arguments");
        refuse_twice(&args).and_then(|()| make(&shipped(), &args, &Elsewhere)).map_err(|error| format!("{error:#}"))
    }

    fn history(runs: i64) -> PlanHistory {
        let moment = |text: &str| text.parse().expect("a time");
        let last = LastRun {
            run: RunId(12),
            state: "awaiting_approval".to_owned(),
            requester: PersonId::new("mei"),
            asked_at: moment("2026-11-21T14:03:00Z"),
        };
        PlanHistory { runs, last: (runs > 0).then_some(last), as_of: moment("2026-11-21T14:20:00Z") }
    }

    /// Long hexadecimal numbers change with the shipped files.
    fn without_hashes(text: &str) -> String {
        let is_hash = |word: &str| word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let words = text.split(' ').map(|word| if is_hash(word) { "[sha256]" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_plan_is_shown_whole() {
        let sealed = made(&["start-service", "service=Service B"]).expect("a plan");
        let lines = report(&sealed.open().expect("a plan"), &sealed, &history(3));
        let lines: Vec<String> = lines.iter().map(|line| without_hashes(line)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
    PRODUCTION · start service-b on app-1 · 1 change, no undo
    Why: Brings a stopped service back; users see errors until then.
    1 ! run    countersign demo-ctl start service-b   on app-1, at most 1 min
               (is /opt/countersign; gets COUNTERSIGN_DEMO)
    2   check  service-b running   within 30 s, every 2 s
               countersign demo-ctl status service-b
               (is /opt/countersign; gets COUNTERSIGN_DEMO)
    Works on: service-b
    Policy: managers, 1 of group:managers must agree; a request waits 1 min, a grant lasts 1 h
    Made of:
      [sha256]  policies/managers.yaml
      [sha256]  start-service.yaml
      [sha256]  systems/system-a.yaml
    Plan [sha256]
    3 runs of exactly this plan; the last is run 12, awaiting approval, asked by mei at 14:03 UTC.
    "#);
        let sealed = made(&["Health check", "system=system a"]).expect("a plan");
        let lines = report(&sealed.open().expect("a plan"), &sealed, &history(0));
        let lines: Vec<String> = lines.iter().map(|line| without_hashes(line)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        PRODUCTION · run system-a health check on app-1 · only reads
        1   check  service-b running, service-c running   at most 2 s
                   countersign demo-ctl status service-b
                   (is /opt/countersign; gets COUNTERSIGN_DEMO)
                   countersign demo-ctl status service-c
                   (is /opt/countersign; gets COUNTERSIGN_DEMO)
        Works on: system-a
        Policy: none; nobody must agree
        Made of:
          [sha256]  health-check.yaml
          [sha256]  systems/system-a.yaml
        Plan [sha256]
        No run of exactly this plan is known.
        "#);
    }

    #[test]
    fn one_run_is_one_run() {
        assert_eq!(
            known(&history(1)),
            "1 run of exactly this plan; the last is run 12, awaiting approval, asked by mei at 14:03 UTC."
        );
    }

    #[test]
    fn json_holds_the_bytes_that_the_digest_is_of() {
        let sealed = made(&["stop-service", "service=service-c"]).expect("a plan");
        let mut out = Vec::new();
        write_json(&mut out, &sealed, &history(1)).expect("written");
        let text = String::from_utf8(out).expect("text");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["digest"], sealed.digest().to_string());
        assert_eq!(value["history"]["last"]["run"], 12);
        let from = text.find("\"plan\":").expect("a plan") + "\"plan\":".len();
        let bytes = text[from..].strip_suffix("}\n").expect("the object's end");
        assert_eq!(Sealed::from_stored(bytes.as_bytes().to_vec()), sealed);
    }

    #[test]
    fn wrong_arguments_are_told_as_in_a_room() {
        let told: Vec<String> = [
            &["strat-service", "service=service-b"][..],
            &["start-service"],
            &["start-service", "service=service-x1"],
            &["start-service", "servce=service-b"],
            &["start-service", "service=service-b", "Service=service-c"],
            &["start-service", "service=-b"],
            &["is", "service=service-b"],
        ]
        .iter()
        .map(|line| format!("{}: {}", line.join(" "), made(line).expect_err("wrong")))
        .collect();
        insta::assert_snapshot!(told.join("\n"), @r#"
        strat-service service=service-b: No runbook is called "strat-service". Did you mean start-service?
        start-service: start-service wants service: one of service-b, service-c.
        start-service service=service-x1: "service-x1" is no service of start-service. Did you mean service-b?
        start-service servce=service-b: start-service has no argument servce. Did you mean service?
        start-service service=service-b Service=service-c: Service is given twice. start-service wants it once.
        start-service service=-b: "-b" is no service of start-service. start-service wants service: one of service-b, service-c.
        is service=service-b: No runbook is called "is". There is health-check, restart-service, start-service and stop-service.
        "#);
    }

    #[test]
    fn usage() {
        let parsed = args(&["deploy", "note=a=b c", "empty=", "--server", "127.0.0.1:1", "--json"]).expect("arguments");
        let pairs: Vec<(&str, &str)> = parsed.params.iter().map(|pair| (&*pair.key, &*pair.value)).collect();
        assert_eq!((pairs, parsed.json), (vec![("note", "a=b c"), ("empty", "")], true));
        for wrong in [
            &["deploy"][..],
            &["--data", "/d"],
            &["deploy", "service-b", "--data", "/d"],
            &["deploy", "=b", "--data", "/d"],
            &["deploy", "--server", "h:1", "--data", "/d"],
            // The bot has its own.
            &["deploy", "--server", "h:1", "--catalog", "/c"],
        ] {
            assert_eq!(args(wrong).map_err(|error| error.exit_code()).expect_err("wrong"), 2, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn a_wrong_catalog_is_drawn_and_no_database_is_looked_for() {
        let args = args(&["x", "--data", "/no/such/place", "--catalog", "/no/such/catalog"]).expect("arguments");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(show(&args, &Elsewhere, &mut out, &mut err).await.expect("an answer"), 1);
        assert!(out.is_empty());
        assert!(String::from_utf8(err).expect("text").starts_with("error: the catalog cannot be read"));
    }
}

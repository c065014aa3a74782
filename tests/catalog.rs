//! Whole catalogs: the shipped one, what is to come, and folders that are hostile or broken.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use countersign::command::{Anew, Command, Parsed, Place, parse};
use countersign::model::catalog::{Brakes, Catalog, ExitCodes, ParamKind, Probe, StepAction, Subject, TriggerMode};
use countersign::model::chat::Addressed;
use countersign::model::id::{
    CheckName, GroupName, PersonId, PolicyName, RunId, RunbookName, ServiceName, SystemName, TriggerName,
};
use countersign::model::policy::{Automatic, Bound};
use countersign::runbook::load;
use countersign::text;
use proptest::prelude::*;
use tempfile::TempDir;

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder with the given files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    folder
}

const ROOMS: &str = "rooms: {ops: {address: 'local:trial:ops'}}\n";

#[test]
fn the_shipped_catalog_is_the_world_of_the_story() {
    let catalog = load(&source("runbooks")).unwrap_or_else(|wrong| panic!("{wrong}")).catalog;
    assert!(catalog.root.is_absolute());
    let system = &catalog.systems[&SystemName::new("system-a")];
    assert_eq!((system.title.as_str(), system.environment.as_str()), ("System A", "production"));
    assert_eq!(system.room.as_str(), "system-a");
    let services: Vec<&str> = system.services.keys().map(ServiceName::as_str).collect();
    assert_eq!(services, ["service-b", "service-c"]);
    for service in system.services.values() {
        let check = service.checks.values().next().expect("a check");
        let Probe::Command { command, codes, .. } = &check.probe else { panic!("a command") };
        assert_eq!(command, &["countersign", "demo-ctl", "status", service.name.as_str()]);
        assert_eq!((*codes, check.timeout), (ExitCodes::Plain, Duration::from_secs(1)));
    }
    let people: Vec<&str> = catalog.people.keys().map(PersonId::as_str).collect();
    assert_eq!(people, ["boss", "lin", "mei"]);
    let zed = "local:trial:zed".parse().expect("an account");
    assert!(catalog.person_of(&zed).is_none());
    let may = |subjects: &[Subject], person: &str| catalog.includes(subjects, &PersonId::new(person));
    for (person, run, unstick) in
        [("mei", true, false), ("boss", true, true), ("lin", true, true), ("zed", false, false)]
    {
        assert_eq!((may(&system.may_run, person), may(&system.may_unstick, person)), (run, unstick), "{person}");
    }
    let say = |name: &str| -> Vec<String> {
        catalog.runbooks[&RunbookName::new(name)].say.iter().map(|phrase| phrase.text.clone()).collect()
    };
    assert_eq!(say("start-service"), ["start {service}"]);
    assert_eq!(say("stop-service"), ["stop {service}"]);
    assert_eq!(say("restart-service"), ["restart {service}", "bounce {service}"]);
    assert_eq!(say("health-check"), ["run {system} health check", "check {system}"]);
    for runbook in catalog.runbooks.values() {
        let privileged = runbook.steps.iter().any(|step| step.is_privileged());
        assert_eq!(privileged, runbook.approval.is_some(), "{}", runbook.name);
        assert_eq!(privileged, runbook.name.as_str() != "health-check");
    }
    let start = &catalog.runbooks[&RunbookName::new("start-service")];
    assert_eq!(start.params[0].kind, ParamKind::Service { system: Some(SystemName::new("system-a")) });
    assert!(!start.steps[0].idempotent && matches!(start.steps[0].action, StepAction::Run { .. }));
    // Verifying takes as long as it may ask, and the check that it asks last.
    assert_eq!(start.steps[1].timeout, Duration::from_secs(30 + 1));
    let policy = &catalog.policies[&PolicyName::new("managers")];
    assert_eq!(policy.stages[0].approvers, [Subject::Group(GroupName::new("managers"))]);
    assert_eq!((policy.expires, policy.valid_for), (Duration::from_secs(60), Duration::from_secs(60 * 60)));
    assert_eq!(policy.text, std::fs::read_to_string(source("runbooks/policies/managers.yaml")).expect("the file"));
}

/// What the room makes of a line, over the shipped catalog.
fn said(catalog: &Catalog, line: &str) -> Parsed {
    parse(catalog, line, Addressed::ToRoom, Place { in_declared_room: true })
}

#[test]
fn the_lines_of_the_story_mean_what_they_say() {
    let catalog = load(&source("runbooks")).unwrap_or_else(|wrong| panic!("{wrong}")).catalog;
    let run = |runbook: &str, name: &str, value: &str| {
        let params = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        Command::Run { runbook: RunbookName::new(runbook), params, anew: Anew::No }
    };
    for (line, command) in [
        (
            "is service c running",
            Command::Is { service: ServiceName::new("service-c"), check: Some(CheckName::new("running")) },
        ),
        ("start service b", run("start-service", "service", "service-b")),
        ("start service-b", run("start-service", "service", "service-b")),
        ("stop service b", run("stop-service", "service", "service-b")),
        ("bounce service c", run("restart-service", "service", "service-c")),
        ("stop", Command::Stop { run: None }),
        ("stop run 12", Command::Stop { run: Some(RunId(12)) }),
        ("run system a health check", run("health-check", "system", "system-a")),
        ("check system a", run("health-check", "system", "system-a")),
        ("run start-service service=service-b", run("start-service", "service", "service-b")),
        ("approved, thanks", Command::Approve { code: None, reason: None }),
        ("deny because not now", Command::Deny { code: None, reason: Some("not now".to_owned()) }),
    ] {
        assert_eq!(said(&catalog, line), Parsed::Command(command), "{line}");
    }
    assert_eq!(said(&catalog, "ok"), Parsed::NearYes);
}

#[test]
fn a_slip_over_the_shipped_catalog_is_told_and_nothing_is_guessed() {
    let catalog = load(&source("runbooks")).unwrap_or_else(|wrong| panic!("{wrong}")).catalog;
    let wrong: Vec<String> = [
        "strat service b",
        "start service x",
        "start serviceb2",
        "run start-service servce=service-b",
        "run start-service",
        "is service x running",
    ]
    .iter()
    .map(|line| match said(&catalog, line) {
        Parsed::Wrong(error) => format!("{line}: {}", text::command::wrong(&error)),
        other => format!("{line}: not wrong, but {other:?}"),
    })
    .collect();
    insta::assert_snapshot!(wrong.join("\n"), @r#"
    strat service b: No runbook says "strat service b". Did you mean `start service b`?
    start service x: "service x" is no service of start-service. Did you mean service-b?
    start serviceb2: "serviceb2" is no service of start-service. Did you mean service-b?
    run start-service servce=service-b: start-service has no argument servce. Did you mean service?
    run start-service: start-service wants service: one of service-b, service-c.
    is service x running: No service is called "service x". Did you mean service-b?
    "#);
}

#[test]
fn a_watched_catalog_says_what_is_asked_how_often_and_what_starts_by_itself() {
    let catalog = load(&source("tests/catalogs/watch")).unwrap_or_else(|wrong| panic!("{wrong}")).catalog;
    let system = &catalog.systems[&SystemName::new("shop")];
    let people =
        |subjects: &[Subject]| -> Vec<String> { catalog.people_in(subjects).iter().map(ToString::to_string).collect() };
    assert_eq!(
        (people(&system.may_resolve), people(&system.may_pause)),
        (vec!["boss".into(), "mei".into()], vec!["boss".to_owned()])
    );
    let mut told = String::new();
    for service in system.services.values() {
        for check in service.checks.values() {
            let (every, timeout) = (check.schedule, check.timeout);
            told.push_str(&format!("{} {} {:?} {timeout:?}\n  {every:?}\n", service.name, check.name, check.probe));
        }
    }
    for step in &catalog.runbooks[&RunbookName::new("restart")].steps {
        let privileged = if step.is_privileged() { "changes" } else { "reads" };
        let longest = step.longest();
        told.push_str(&format!(
            "{} {privileged}, at most {longest:?}\n  {:?} {:?}\n",
            step.name, step.action, step.retry
        ));
    }
    for trigger in catalog.triggers.values() {
        told.push_str(&format!(
            "{} {} {} {:?}\n  {:?}\n  {:?}\n",
            trigger.name,
            trigger.owner,
            trigger.mode.name(),
            trigger.with,
            trigger.on,
            trigger.brakes
        ));
    }
    insta::assert_snapshot!(told);
    let policy = &catalog.policies[&PolicyName::new("managers")];
    let bound = Bound { runbook: RunbookName::new("restart"), runs: 3, per_ms: 3_600_000 };
    assert_eq!(policy.automatic, [Automatic { trigger: TriggerName::new("cart-down"), bound: Some(bound) }]);
    assert!(policy.text.contains("automatic: [{trigger: cart-down,"), "an approver reads it: it is part of the plan");
    // What is not said is the default, which brakes.
    assert_eq!(catalog.triggers[&TriggerName::new("down")].brakes, Brakes::default());
}

#[test]
fn a_trigger_may_start_what_only_reads_without_any_policy() {
    let files = [
        ("rooms.yaml", ROOMS),
        ("people.yaml", "people: {mei: {accounts: ['local:trial:mei']}}\n"),
        (
            "system.yaml",
            "system: shop\ntitle: The shop\nenvironment: production\nroom: ops\nmay_see: [person:mei]\n\
             services: {web: {title: Web, checks: {port: {tcp: '127.0.0.1:80', every: 1s}}}}\n",
        ),
        (
            "look.yaml",
            "runbook: look\ntitle: Look\nsystem: shop\nsteps: [{name: Look, http: {url: 'http://127.0.0.1/'}}]\n",
        ),
        (
            "trigger.yaml",
            "trigger: look-at-it\nowner: mei\non: {check: 'shop/*/*', becomes: critical}\nrun: look\nmode: auto\n",
        ),
    ];
    let catalog = load(folder(&files).path()).unwrap_or_else(|wrong| panic!("{wrong}")).catalog;
    assert_eq!(catalog.triggers.values().map(|trigger| trigger.mode).collect::<Vec<_>>(), [TriggerMode::Auto]);
    // A check is never still asked when it is due again.
    let check = &catalog.checks_at("web/port").expect("a check")[0].check;
    assert_eq!((check.timeout, check.schedule.map(|it| it.fails_after)), (Duration::from_secs(1), Some(2)));
}

/// Every example of the guide that declares something, together: they are one right catalog.
#[test]
fn the_examples_of_the_guide_are_a_catalog() {
    let guide = std::fs::read_to_string(source("docs/writing-runbooks.md")).expect("the guide");
    let blocks = guide.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("```").map(|(block, _)| block));
    let kinds = ["system:", "runbook:", "trigger:", "policy:", "people:", "rotas:", "rooms:", "secrets:"];
    let declares: Vec<&str> = blocks.filter(|block| kinds.iter().any(|kind| block.starts_with(kind))).collect();
    // Policies have several: that ask, that refuse, and that let the glass be broken.
    assert_eq!(declares.len(), kinds.len() + 3, "an example of each kind");
    let names: Vec<String> = (0..declares.len()).map(|number| format!("{number}.yaml")).collect();
    let mut files: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(declares).collect();
    files.push(("checks/load.sh", "#!/bin/sh\nexit 0\n"));
    let root = folder(&files);
    let script = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.path().join("checks/load.sh"), script).expect("made executable");
    let catalog = load(root.path()).unwrap_or_else(|wrong| panic!("{wrong}")).catalog;
    assert_eq!((catalog.triggers.len(), catalog.runbooks.len()), (1, 1));
}

/// What the guide shows as refused is what a reader gets to see.
#[test]
fn the_guide_speaks_as_the_program_does() {
    let guide = std::fs::read_to_string(source("docs/writing-runbooks.md")).expect("the guide");
    let check = source("src/runbook/check").read_dir().expect("the checks").map(|entry| entry.expect("a file").path());
    let sources: String = check
        .chain([source("src/runbook/diagnostic.rs"), source("src/runbook/yaml.rs")])
        .map(|path| std::fs::read_to_string(path).expect("a source"))
        .collect();
    for line in guide.lines().filter_map(|line| line.trim_start().strip_prefix("= help: ")) {
        // A hint names what stands in its own example: the words before the first name are the same everywhere.
        let fixed = line.split('`').next().unwrap_or(line);
        assert!(sources.contains(fixed), "nothing says this hint: {line}");
    }
}

#[test]
fn two_stages_and_a_quorum_of_two_load() {
    let root = source("tests/catalogs/two-stages");
    let catalog = load(&root).unwrap_or_else(|wrong| panic!("{wrong}")).catalog;
    let policy = &catalog.policies[&PolicyName::new("change-board")];
    let stages: Vec<(u32, usize)> =
        policy.stages.iter().map(|stage| (stage.quorum, catalog.people_in(&stage.approvers).len())).collect();
    assert_eq!(stages, [(1, 1), (2, 3)]);
}

#[test]
fn the_fingerprint_moves_with_every_file_and_only_with_those() {
    let files = [("rooms.yaml", ROOMS), ("below/people.yaml", "people: {mei: {accounts: ['local:trial:mei']}}\n")];
    let root = folder(&files);
    let print = || load(root.path()).expect("a catalog").fingerprint;
    let before = print();
    assert_eq!(load(folder(&files).path()).expect("a catalog").fingerprint, before, "it does not depend on the place");
    std::fs::write(root.path().join("notes.md"), "x").expect("written");
    std::fs::write(root.path().join(".hidden.yaml"), "x").expect("written");
    assert_eq!(print(), before);
    std::fs::write(root.path().join("rooms.yaml"), format!("{ROOMS}# more\n")).expect("written");
    let after = print();
    assert_ne!(after, before);
    std::fs::rename(root.path().join("rooms.yaml"), root.path().join("places.yml")).expect("renamed");
    assert_ne!(print(), after);
}

#[test]
fn a_mistake_in_one_file_is_not_told_again_in_others() {
    let root = folder(&[
        ("rooms.yaml", ROOMS),
        ("system.yaml", "system: shop\ntitel: The shop\n"),
        ("policy.yaml", "policy: managers\n  title: x\n"),
        ("look.yaml", "runbook: look\ntitle: Look\nsystem: shop\nsteps: [{name: Look, check: web/running}]\n"),
        (
            "start.yaml",
            "runbook: start\ntitle: Start\nparams: {service: {type: service, system: shop, default: web}}\n\
             approval: managers\nsteps: [{name: Start, run: {command: [x, '{{ service }}']}}]\n",
        ),
    ]);
    let told = load(root.path()).expect_err("wrong").lines().collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(told, @"
    policy.yaml:2: this is not YAML: mapping values are not allowed in this context.
    system.yaml:2: `titel` is not a key that can stand here (expected `system`, `title`, `environment`, `room`, `accountable`, `may_run`, `may_see`, `may_unstick`, `may_resolve`, `may_pause`, `incident_channel` or `services`). Did you mean `title`?
    ");
}

#[test]
fn problems_are_sorted_by_file_and_line() {
    let root = folder(&[
        ("b.yaml", "rooms:\n  Ops: {address: x}\n  dev: {}\n"),
        ("a.yaml", "groups: {a: [nobody]}\n"),
        ("c/d.yaml", "secrets: {}\n"),
    ]);
    let wrong = load(root.path()).expect_err("wrong");
    let places: Vec<(&str, usize, usize)> = wrong.iter().map(|it| (it.path(), it.line(), it.column())).collect();
    assert_eq!(places, [("a.yaml", 1, 14), ("b.yaml", 2, 3), ("b.yaml", 2, 18), ("b.yaml", 3, 3), ("c/d.yaml", 1, 10)]);
    assert_eq!(wrong.count(), "5 problems in 3 files");
}

#[test]
fn i10_a_bomb_is_refused_fast() {
    let mut bomb = String::from("runbook: bomb\na0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = format!("*a{}, ", level - 1).repeat(9);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", before.trim_end_matches(", ")));
    }
    let deep = format!("rooms: {}1{}\n", "[".repeat(10_000), "]".repeat(10_000));
    let long = format!("rooms: {{ops: {{address: '{}'}}}}\n", "x".repeat(300 * 1024));
    let wide = format!("people:\n{}", "  - x\n".repeat(40_000));
    for (name, text) in [("bomb", bomb), ("deep", deep), ("long", long), ("wide", wide)] {
        let root = folder(&[("x.yaml", &text)]);
        let started = Instant::now();
        let wrong = load(root.path()).expect_err(name);
        // Generous, for a machine with much else to do: what is guarded against takes minutes or all memory.
        assert!(started.elapsed() < Duration::from_secs(60), "{name} took {:?}", started.elapsed());
        assert_eq!(wrong.iter().len(), 1, "{name}: {wrong}");
        assert!(wrong.to_string().len() < 2_000, "{name}");
    }
}

#[test]
fn links_below_the_root_are_followed_once_and_never_out_of_it() {
    use std::os::unix::fs::symlink;
    let root = folder(&[("..data/rooms.yaml", ROOMS), ("below/x.md", "")]);
    symlink("..data/rooms.yaml", root.path().join("rooms.yaml")).expect("linked");
    symlink("..", root.path().join("below/up")).expect("linked");
    symlink(".", root.path().join("again")).expect("linked");
    symlink("missing", root.path().join("dangling.md")).expect("linked");
    assert_eq!(load(root.path()).expect("a catalog").files, ["rooms.yaml"]);

    let outside = folder(&[("people.yaml", "people: {zed: {accounts: ['local:trial:zed']}}\n")]);
    symlink(outside.path(), root.path().join("outside")).expect("linked");
    assert_eq!(load(root.path()).expect("a catalog").files, ["rooms.yaml"]);
    symlink(outside.path().join("people.yaml"), root.path().join("people.yaml")).expect("linked");
    symlink("missing", root.path().join("dangling.yaml")).expect("linked");
    let told = load(root.path()).expect_err("wrong").lines().collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(told, @r#"
    dangling.yaml: this file cannot be read: No such file or directory (os error 2).
    people.yaml: this link leads out of the catalog.
    "#);
}

#[test]
fn what_cannot_be_read_is_told_without_a_drawing() {
    let root = folder(&[("rooms.yaml", ROOMS)]);
    std::fs::write(root.path().join("latin.yaml"), b"title: caf\xe9\n").expect("written");
    let told = load(root.path()).expect_err("wrong").to_string();
    insta::assert_snapshot!(told, @r#"
    error: this file is not UTF-8 text
     --> latin.yaml
      = help: save it as UTF-8

    1 problem in 1 file; the catalog is not loaded
    "#);
    let nowhere = load(Path::new("/nonexistent/catalog")).expect_err("wrong").to_string();
    insta::assert_snapshot!(nowhere, @r#"
    error: the catalog cannot be read: No such file or directory (os error 2)
     --> /nonexistent/catalog
      = help: give the catalog's folder with --catalog

    1 problem in 1 file; the catalog is not loaded
    "#);
    let empty = folder(&[("readme.md", "")]);
    let told = load(empty.path()).expect_err("wrong").to_string();
    insta::assert_snapshot!(told.replace(&empty.path().canonicalize().expect("a path").display().to_string(), "ROOT"), @r#"
    error: there is no *.yaml file below this folder
     --> ROOT
      = help: put the catalog's *.yaml files there; `runbooks/` of the source is an example

    1 problem in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn a_room_is_told_one_line_a_problem() {
    let root = folder(&[
        ("rooms.yaml", "rooms:\n  ops: {address: 'local:trial:ops'}\n  dev: {address: 'local:trial:ops'}\n"),
        ("people.yaml", "people: {mei: {acounts: []}}\n"),
        ("forged.yaml", "secrets: {all: {file: \"mei\\nrooms.yaml:1: all is well\\u202e\"}}\n"),
    ]);
    let told = load(root.path()).expect_err("wrong").lines().collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(told,  @r#"
    forged.yaml:1: `mei\u{a}rooms.yaml:1: all is well\u{202e}` is not an absolute path. A secret lies outside the catalog: give its path from `/` on.
    people.yaml:1: `acounts` is not a key that can stand here (expected `accounts`, `ask` or `reports_to`). Did you mean `accounts`?
    rooms.yaml:3: room `ops` has this address already (the other is at rooms.yaml:2). A place has one name here: use that one.
    "#);
}

/// The files of a catalog, sorted by path: read once, so that every case begins from the same texts.
fn texts(below: &str) -> Vec<(String, String)> {
    let root = source(below);
    let loaded = load(&root).unwrap_or_else(|wrong| panic!("{wrong}"));
    let read =
        |path: &String| std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    loaded.files.iter().map(|path| (path.clone(), read(path))).collect()
}

/// What becomes of a catalog in one of whose files a part is replaced.
fn spoilt(
    texts: &[(String, String)],
    file: usize,
    at: prop::sample::Index,
    cut: usize,
    put: &str,
) -> Result<(), TestCaseError> {
    let mut texts = texts.to_vec();
    let file = file % texts.len();
    let mut letters: Vec<char> = texts[file].1.chars().collect();
    let from = at.index(letters.len());
    letters.splice(from..(from + cut).min(letters.len()), put.chars());
    texts[file].1 = letters.into_iter().collect();
    let root = tempfile::tempdir().map_err(|error| TestCaseError::reject(format!("no folder: {error}")))?;
    for (path, text) in &texts {
        let path = root.path().join(path);
        let written =
            std::fs::create_dir_all(path.parent().expect("a folder")).and_then(|()| std::fs::write(&path, text));
        // A machine without room says nothing about the reader.
        written.map_err(|error| TestCaseError::reject(format!("not written: {error}")))?;
    }
    let Err(wrong) = load(root.path()) else { return Ok(()) };
    prop_assert!(wrong.iter().len() > 0 && !wrong.to_string().is_empty());
    for diagnostic in wrong.iter() {
        let text = texts.iter().find(|(path, _)| path == diagnostic.path()).map(|(_, text)| text.as_str());
        prop_assert!(text.is_some(), "a problem of no file: {}", diagnostic);
        let lines = text.unwrap_or_default().split('\n').count();
        prop_assert!((1..=lines).contains(&diagnostic.line()), "{}", diagnostic);
        prop_assert!(!diagnostic.one_line().contains('\n'), "{}", diagnostic.one_line());
    }
    Ok(())
}

/// The folder of wrong inputs has one that was found and lost its seed: nothing cut, nothing put. It is a right catalog.
#[test]
fn a_file_that_is_not_spoilt_is_right() {
    for below in ["runbooks", "tests/catalogs/watch"] {
        let texts = texts(below);
        let root = folder(&texts.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect::<Vec<_>>());
        load(root.path()).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: Some(Box::new(proptest::test_runner::FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// Whatever stands in a file, the answer is a catalog or places that exist in it; never a panic.
    #[test]
    fn i10_a_spoilt_file_is_told_at_a_place_that_exists(
        file in 0_usize..8, at in any::<prop::sample::Index>(), cut in 0_usize..12,
        put in "([a-z{}\\[\\]:,#&*!|>'\"% \\n\t-]|é|\u{202e}|\u{1f527}){0,10}",
    ) {
        thread_local!(static SHIPPED: Vec<(String, String)> = texts("runbooks"));
        SHIPPED.with(|texts| spoilt(texts, file, at, cut, &put))?;
    }

    /// The same for a catalog of schedules, requests, retries and triggers.
    #[test]
    fn i10_a_spoilt_file_of_a_watched_catalog_is_told_too(
        file in 0_usize..9, at in any::<prop::sample::Index>(), cut in 0_usize..12,
        put in "([a-z0-9{}\\[\\]:,#&*!|>'\"%/.@ \\n\t-]|é|\u{202e}|\u{1f527}){0,10}",
    ) {
        thread_local!(static WATCHED: Vec<(String, String)> = texts("tests/catalogs/watch"));
        WATCHED.with(|texts| spoilt(texts, file, at, cut, &put))?;
    }
}

//! `countersign policy`: the real program, over a catalog of its own.

use std::path::Path;
use std::process::{Command, Output};

const FILES: [(&str, &str); 8] = [
    (
        "system.yaml",
        r#"system: shop
title: The shop
environment: production
room: ops
accountable: ann
may_run: [group:support, group:managers]
services:
  web: {title: Web, checks: {running: {command: [/bin/true], every: 30s}}}
"#,
    ),
    (
        "start.yaml",
        r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - {name: Start, run: {command: [/bin/true, "{{ service }}"]}}
"#,
    ),
    (
        "look.yaml",
        "runbook: look\ntitle: Look\nsystem: shop\nsteps:\n  - {name: Look, run: {command: [/bin/true]}, read_only: true}\n",
    ),
    (
        "managers.yaml",
        r#"policy: managers
title: A manager agrees
stages:
  - approvers: [rota:leads]
    quorum: 1
    escalate: [{after: 8m, to: [accountable]}]
automatic: [{trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}]
"#,
    ),
    (
        "night.yaml",
        r#"policy: night
title: Two agree at night
stages:
  - {approvers: [rota:leads], quorum: 1}
  - {approvers: [rota:leads, accountable], quorum: 1, reason: required}
when:
  environments: [production]
  outside: [{from: "09:00", until: "18:00", zone: Asia/Singapore}]
"#,
    ),
    (
        "freeze.yaml",
        r#"policy: freeze
title: Nothing changes over the holidays
refuse: Nobody is here to help
when:
  environments: [production]
  during: [{from: 2026-12-20 00:00, until: 2027-01-03 09:00, zone: Asia/Singapore}]
"#,
    ),
    (
        "trigger.yaml",
        r#"trigger: web-down
owner: mei
on: {check: "shop/web/running", becomes: critical}
run: start
with: {service: "{{ service }}"}
mode: auto
"#,
    ),
    (
        "people.yaml",
        r#"people:
  ann: {accounts: ["local:trial:ann"]}
  boss: {accounts: ["local:trial:boss"]}
  lin: {accounts: ["local:trial:lin"]}
  mei: {accounts: ["local:trial:mei"]}
  zoe: {accounts: ["local:trial:zoe"]}
groups: {support: [mei], managers: [boss]}
rotas:
  leads: {members: [boss, lin], turns: weekly, from: 2026-11-02, at: "09:00", zone: Asia/Singapore}
"#,
    ),
];

const ROOMS: &str = "rooms: {ops: {address: 'local:trial:ops'}}\n";

/// A folder with the catalog in `catalog`, files of it in place of or beside its own, and other files beside it.
fn folder(files: &[(&str, &str)], beside: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = folder.path().join("catalog");
    std::fs::create_dir(&catalog).expect("made");
    for (path, text) in FILES.iter().chain(&[("rooms.yaml", ROOMS)]).chain(files) {
        std::fs::write(catalog.join(path), text).expect("written");
    }
    for (path, text) in beside {
        std::fs::write(folder.path().join(path), text).expect("written");
    }
    folder
}

fn countersign(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["policy"])
        .args(arguments)
        .args(["--catalog", "catalog"])
        .current_dir(folder)
        .env_clear()
        .output()
        .expect("it runs")
}

/// Exit code, stdout, stderr.
fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// What `policy explain start service=web` says.
fn explained(arguments: &[&str]) -> String {
    let folder = folder(&[], &[]);
    let (code, out, err) =
        told(countersign(folder.path(), &[&["explain", "start", "service=web"], arguments].concat()));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    out
}

#[test]
fn by_day_the_base_policy_with_everything_that_comes_when() {
    insta::assert_snapshot!(explained(&["--as", "mei", "--at", "2026-12-01 11:00 Asia/Singapore"]), @"
    PRODUCTION · The shop: mei asks for start web at Tue 2026-12-01 11:00 Asia/Singapore (risk: medium)

    Policies, the strictest first:
      managers: the runbook names it; it wins
      freeze: does not apply, that moment is not in its `during`
      night: does not apply, that moment is in its `outside`

    Stage 1 of 1: 1 of rota:leads
      could agree: boss and lin
      asked at once: boss
      at Tue 2026-12-01 11:03 Asia/Singapore: whoever is asked is reminded
      at Tue 2026-12-01 11:05 Asia/Singapore: whoever is asked is rung, if the settings have a `ring`
      at Tue 2026-12-01 11:08 Asia/Singapore: ann is asked as well, and can agree from then on (escalation)
      at Tue 2026-12-01 11:08 Asia/Singapore: lin is asked as well (next in the rota)
      at Tue 2026-12-01 11:30 Asia/Singapore: the request expires
    leads: boss is on call until Mon 2026-12-07 09:00 Asia/Singapore; lin is next.

    It needs one person; those who are asked at once suffice.
    ");
}

#[test]
fn at_night_the_stricter_one_and_who_is_asleep() {
    insta::assert_snapshot!(explained(&["--as", "boss", "--at", "2026-12-01T15:00Z", "--asleep", "ann"]), @"
    PRODUCTION · The shop: boss asks for start web at Tue 2026-12-01 15:00 UTC (risk: medium)

    Policies, the strictest first:
      night: its `when` applies; it wins
      managers: the runbook names it; it gives way: the winner wants more people
      freeze: does not apply, that moment is not in its `during`

    Stage 1 of 2: 1 of rota:leads
      could agree: lin
      not boss, who asked for it
      at Tue 2026-12-01 15:03 UTC: whoever is asked is reminded
      at Tue 2026-12-01 15:05 UTC: whoever is asked is rung, if the settings have a `ring`
      at Tue 2026-12-01 15:30 UTC: the request expires
    Stage 2 of 2: 1 of rota:leads, person:ann, with a reason
      could agree: lin
      not ann, who is asleep
      not boss, who asked for it
      3 min after its beginning: whoever is asked is reminded
      5 min after its beginning: whoever is asked is rung, if the settings have a `ring`
      30 min after the asking: the request expires
    leads: boss is on call until Mon 2026-12-07 09:00 Asia/Singapore; lin is next.

    It needs 2 different people; stage 2 lacks 1 without ann: it expires unanswered.
    ");
}

#[test]
fn somebody_asleep_is_waited_for_until_others_are_asked() {
    let day = "2026-12-01 11:00 Asia/Singapore";
    let out = explained(&["--as", "boss", "--at", day, "--asleep", "lin"]);
    insta::assert_snapshot!(out.lines().last().unwrap_or_default(), @"It needs one person; they suffice without lin only with whom it asks later, 8 min into a stage, at Tue 2026-12-01 11:08 Asia/Singapore if that is the first stage.");
}

#[test]
fn of_a_rota_only_whose_turn_it_is_can_agree_until_the_next_is_asked() {
    let policy = |expires: &str| {
        format!(
            "policy: managers\ntitle: Whoever is on call agrees\nstages: [{{approvers: [rota:leads], quorum: 1}}]\n\
             expires: {expires}\n"
        )
    };
    let told_with = |expires: &str, asleep: &[&str]| {
        let folder = folder(&[("managers.yaml", &policy(expires)), ("night.yaml", ""), ("trigger.yaml", "")], &[]);
        for gone in ["night.yaml", "trigger.yaml"] {
            std::fs::remove_file(folder.path().join("catalog").join(gone)).expect("gone");
        }
        let mut arguments = vec!["explain", "start", "service=web", "--as", "mei", "--at", "2026-12-01T03:00Z"];
        arguments.extend(asleep.iter().flat_map(|name| ["--asleep", name]));
        let (code, out, err) = told(countersign(folder.path(), &arguments));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let (_, stage) = out.split_once("Stage 1 of 1").expect("a stage");
        stage
            .lines()
            .filter(|line| !line.contains("remind") && !line.contains("rung") && !line.is_empty())
            .skip(1)
            .map(|line| format!("{}\n", line.trim_start()))
            .collect::<String>()
    };
    insta::assert_snapshot!(told_with("40s", &["boss"]), @"
    could agree: lin
    asked at once: nobody
    not boss, who is asleep
    at Tue 2026-12-01 03:00 UTC: the request expires
    leads: boss is on call until Mon 2026-12-07 09:00 Asia/Singapore; lin is next.
    It needs one person; those who are asked before it expires do not suffice without boss. Others of the rota may answer, and nobody asks them in time.
    ");
    insta::assert_snapshot!(told_with("30m", &["boss"]), @"
    could agree: lin
    asked at once: nobody
    not boss, who is asleep
    at Tue 2026-12-01 03:08 UTC: lin is asked as well (next in the rota)
    at Tue 2026-12-01 03:30 UTC: the request expires
    leads: boss is on call until Mon 2026-12-07 09:00 Asia/Singapore; lin is next.
    It needs one person; they suffice without boss only with whom it asks later, 8 min into a stage, at Tue 2026-12-01 03:08 UTC if that is the first stage.
    ");
}

#[test]
fn what_may_start_unasked_is_said_and_can_be_expected() {
    let policy = "policy: managers\ntitle: A manager agrees\nstages: [{approvers: [group:managers, person:lin], quorum: 1}]\n\
                  unasked: [{runbook: start, by: [group:support], at_most: {runs: 3, per: 1h}}]\n";
    let expectations = "expectations:\n  - name: mei starts it\n    ask: {runbook: start, with: {service: web}, as: mei, at: 2026-12-01T03:00Z}\n    \
                        expect: {unasked: true, automatic: true, approvers: [boss, lin], needs: 1}\n  - name: boss asks\n    \
                        ask: {runbook: start, with: {service: web}, as: boss, at: 2026-12-01T03:00Z}\n    expect: {unasked: false, automatic: false}\n";
    let folder = folder(&[("managers.yaml", policy)], &[("expectations.yaml", expectations)]);
    for gone in ["night.yaml", "trigger.yaml"] {
        std::fs::remove_file(folder.path().join("catalog").join(gone)).expect("gone");
    }
    let arguments = ["explain", "start", "service=web", "--as", "mei", "--at", "2026-12-01T03:00Z"];
    let (code, out, err) = told(countersign(folder.path(), &arguments));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let line = out.lines().find(|line| line.starts_with("Starts without asking")).unwrap_or_default();
    insta::assert_snapshot!(line, @"Starts without asking: managers lets mei start 3 runs in 1 h, everybody's together. Beyond that, for later (`at`), within a day of a denial of the same, and while automation is paused it asks:");
    let (_, out, err) = told(countersign(folder.path(), &["test", "expectations.yaml", "--at", "2026-12-01T03:00Z"]));
    assert!(out.starts_with("2 expectations hold") && !err.contains("expectations.yaml"), "{out}{err}");
}

#[test]
fn a_freeze_refuses() {
    insta::assert_snapshot!(explained(&["--as", "mei", "--at", "2026-12-24T03:00Z"]), @"
    PRODUCTION · The shop: mei asks for start web at Thu 2026-12-24 03:00 UTC (risk: medium)

    Policies, the strictest first:
      freeze: its `when` applies; it wins
      managers: the runbook names it; it gives way: the winner refuses, or does so for longer
      night: does not apply, that moment is in its `outside`

    Refused by freeze until Sun 2027-01-03 09:00 Asia/Singapore: Nobody is here to help
    ");
}

#[test]
fn a_trigger_starts_by_itself_where_the_winner_lets_it() {
    let last =
        |at: &str| explained(&["--trigger", "web-down", "--at", at]).lines().last().unwrap_or_default().to_owned();
    insta::assert_snapshot!(last("2026-12-01T03:00Z"), @"Approved by itself: managers lets web-down start start, at most 3 runs in 1 h, without anybody's answer. Beyond that people are asked. The ledger records it as automatic.");
    insta::assert_snapshot!(last("2026-12-01T15:00Z"), @"It needs 2 different people; those who are asked at once suffice.");
}

#[test]
fn what_cannot_be_asked_is_one_sentence() {
    let folder = folder(&[], &[]);
    let complaint = |arguments: &[&str]| {
        let (code, out, err) = told(countersign(folder.path(), &[&["explain"], arguments].concat()));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        err
    };
    let all = [
        complaint(&["strat", "--as", "mei"]),
        complaint(&["start", "service=web", "--as", "may"]),
        complaint(&["start", "service=web", "--as", "zoe"]),
        complaint(&["start", "service=web", "--trigger", "nothing"]),
    ];
    insta::assert_snapshot!(all.concat(), @r#"
    countersign: No runbook is called "strat". Did you mean start?
    countersign: there is no person may; the catalog has ann, boss, lin, mei and zoe
    countersign: zoe may not ask for anything that changes The shop. boss or mei may.
    countersign: there is no trigger nothing
    "#);
    let (code, _, err) = told(countersign(folder.path(), &["explain", "start", "service=web"]));
    assert_eq!(code, Some(2), "{err}");
    let (code, _, err) = told(countersign(folder.path(), &["explain", "start", "--as", "mei", "--at", "noon"]));
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("`noon` is no time"), "{err}");
    let (_, out, _) =
        told(countersign(folder.path(), &["explain", "look", "--as", "mei", "--at", "2026-12-01T03:00Z"]));
    insta::assert_snapshot!(out, @"
    PRODUCTION · The shop: mei asks for run look at Tue 2026-12-01 03:00 UTC (risk: medium)

    look only reads: it stands under no policy, and nobody has to agree.
    ");
}

const EXPECTATIONS: &str = r#"
expectations:
  - name: nothing changes over the holidays
    ask: {runbook: start, with: {service: web}, as: mei, at: 2026-12-24T03:00Z}
    expect: {policy: freeze, refused: true}
  - name: by day one of the leads
    ask: {runbook: start, with: {service: web}, as: mei, at: "2026-12-01 11:00 Asia/Singapore"}
    expect: {policy: managers, approvers: [ann, boss, lin], needs: 1, nobody: false, refused: false}
  - name: by day with the leads asleep
    ask: {runbook: start, with: {service: web}, as: mei, at: "2026-12-01 11:00 Asia/Singapore"}
    asleep: [boss, lin]
    expect: {approvers: [ann]}
  - name: the trigger starts by day
    ask: {runbook: start, with: {service: web}, trigger: web-down, at: 2026-12-01T03:00Z}
    expect: {automatic: true}
  - name: zoe may not ask
    ask: {runbook: start, with: {service: web}, as: zoe, at: 2026-12-01T03:00Z}
    expect: {refused: true}
"#;

#[test]
fn expectations_that_hold_end_with_0() {
    let folder = folder(&[], &[("expectations.yaml", EXPECTATIONS)]);
    let (code, out, err) =
        told(countersign(folder.path(), &["test", "expectations.yaml", "--at", "2026-12-01T03:00Z"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(out, @"5 expectations hold; each of 4 requests can be approved by somebody.");
}

#[test]
fn each_that_does_not_hold_is_one_sentence() {
    let wrong = EXPECTATIONS
        .replace("policy: freeze, refused: true", "policy: managers, refused: false")
        .replace("approvers: [ann, boss, lin], needs: 1", "approvers: [boss], needs: 2")
        .replace("asleep: [boss, lin]", "asleep: [bos]");
    let folder = folder(&[], &[("expectations.yaml", &wrong), ("other.yaml", "expectations: [{nmae: x}]\n")]);
    let (code, out, err) =
        told(countersign(folder.path(), &["test", "expectations.yaml", "--at", "2026-12-01T03:00Z"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    insta::assert_snapshot!(err, @"
    countersign: expectations.yaml: nothing changes over the holidays: `policy` should be managers, and is freeze.
    countersign: expectations.yaml: nothing changes over the holidays: `refused` should be false, and is true.
    countersign: expectations.yaml: by day one of the leads: `approvers` should be boss, and is ann, boss and lin.
    countersign: expectations.yaml: by day one of the leads: `needs` should be 2, and is 1.
    countersign: expectations.yaml: by day with the leads asleep: there is no person bos; the catalog has ann, boss, lin, mei and zoe
    ");
    let (code, _, err) = told(countersign(folder.path(), &["test", "other.yaml"]));
    assert_eq!(code, Some(1));
    assert!(err.starts_with("countersign: other.yaml: this is no file of expectations"), "{err}");
    let (code, _, err) = told(countersign(folder.path(), &["test", "missing.yaml"]));
    assert_eq!((code, err.contains("missing.yaml cannot be read")), (Some(1), true), "{err}");
}

#[test]
fn a_request_that_nobody_could_ever_approve_is_named() {
    // At night both leads must agree, one in each stage: when boss asks, only lin is left.
    let night = FILES[4].1.replace("[rota:leads, accountable]", "[rota:leads]");
    let folder = folder(&[("night.yaml", &night)], &[]);
    // From the middle of a day on: that night comes is found out.
    let (code, out, err) = told(countersign(folder.path(), &["test", "--at", "2026-12-01T03:00Z"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    insta::assert_snapshot!(err, @"countersign: start on The shop (production): nobody could ever approve it when boss asks: stage 2 of policy night lacks 1 person besides boss.");
}

#[test]
fn nobody_is_missed_in_the_catalog_that_comes_with_the_program() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["policy", "test", "--at", "2026-12-01T03:00Z"])
        .current_dir(source)
        .env_clear()
        .output()
        .expect("it runs");
    let (code, out, err) = told(output);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(out, @"0 expectations hold; each of 9 requests can be approved by somebody.");
}

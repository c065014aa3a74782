//! What is told of a policy's `when` and `refuse` that cannot be, and of a runbook's `risk`.

mod diagnostics_base;

use diagnostics_base::told;

/// The right catalog with this policy beside its own.
fn policy(lines: &str) -> String {
    told(&[("second.yaml", &format!("policy: second\ntitle: A second one\n{lines}\n"))])
}

const STAGES: &str = "stages: [{approvers: [person:boss], quorum: 1}]\n";

#[test]
fn names_that_nothing_has() {
    insta::assert_snapshot!(policy(&format!(r#"{STAGES}when:
  runbooks: [strat]
  risk: [hihg]
  environments: [prodution]
  targets: [webb, web, web]
  during: []"#)), @"
  error: there is no runbook `strat`
   --> second.yaml:5:14
    |
  5 |   runbooks: [strat]
    |              ^^^^^ expected `start`
    |
    = help: did you mean `start`?

  error: `hihg` is no risk
   --> second.yaml:6:10
    |
  6 |   risk: [hihg]
    |          ^^^^ expected `low`, `medium` or `high`
    |
    = help: did you mean `high`?

  error: no system is in `prodution`
   --> second.yaml:7:18
    |
  7 |   environments: [prodution]
    |                  ^^^^^^^^^ expected `production`
    |
    = help: did you mean `production`?

  error: there is no system or service `webb`
   --> second.yaml:8:13
    |
  8 |   targets: [webb, web, web]
    |             ^^^^ expected `shop` or `web`
    |
    = help: did you mean `web`?

  error: `web` stands in this list twice
   --> second.yaml:8:24
    |
  8 |   targets: [webb, web, web]
    |                        ^^^
    |
    = help: keep one of the two

  error: `during` is empty
   --> second.yaml:9:11
    |
  9 |   during: []
    |           ^
    |
    = help: name a time, or leave the key out if it makes no difference

  6 problems in 1 file; the catalog is not loaded
  ");
}

#[test]
fn times_that_are_none() {
    insta::assert_snapshot!(policy(&format!(r#"{STAGES}when:
  during:
    - {{from: "09:00", until: 2026-12-24 18:00, zone: UTC}}
    - {{days: [mon], from: 2026-12-26 18:00, until: 2026-12-24 18:00, zone: UTC}}
    - {{days: [monday], from: "9 am", until: "18:00", zone: Asia/Singapur}}
    - {{from: "09:00"}}"#)), @r#"
    error: one end of this time is of a day, and the other is of every day
     --> second.yaml:6:30
      |
    6 |     - {from: "09:00", until: 2026-12-24 18:00, zone: UTC}
      |                              ^^^^^^^^^^^^^^^^
      |
      = help: write both as `"09:00"`, or both as `2026-12-24 18:00`

    error: `days` belongs to hours, and this time comes once
     --> second.yaml:7:14
      |
    7 |     - {days: [mon], from: 2026-12-26 18:00, until: 2026-12-24 18:00, zone: UTC}
      |              ^
      |
      = help: leave it out

    error: this time ends before it begins
     --> second.yaml:7:52
      |
    7 |     - {days: [mon], from: 2026-12-26 18:00, until: 2026-12-24 18:00, zone: UTC}
      |                                                    ^^^^^^^^^^^^^^^^
      |
      = help: `until` is later than `from`

    error: `monday` is no day
     --> second.yaml:8:15
      |
    8 |     - {days: [monday], from: "9 am", until: "18:00", zone: Asia/Singapur}
      |               ^^^^^^ expected `mon`, `tue`, `wed`, `thu`, `fri`, `sat` or `sun`

    error: `9 am` is no time of day
     --> second.yaml:8:30
      |
    8 |     - {days: [monday], from: "9 am", until: "18:00", zone: Asia/Singapur}
      |                              ^^^^^^ expected hours and minutes, such as "09:00"

    error: there is no zone `Asia/Singapur`
     --> second.yaml:8:60
      |
    8 |     - {days: [monday], from: "9 am", until: "18:00", zone: Asia/Singapur}
      |                                                            ^^^^^^^^^^^^^ expected a name such as `Europe/Berlin`, or `UTC`
      |
      = help: did you mean `Asia/Singapore`?

    error: `until` is missing here
     --> second.yaml:9:7
      |
    9 |     - {from: "09:00"}
      |       ^
      |
      = help: say when it ends: `until: "18:00"` or `until: 2026-12-26 09:00`

    error: `zone` is missing here
     --> second.yaml:9:7
      |
    9 |     - {from: "09:00"}
      |       ^
      |
      = help: say whose clocks are meant: `zone: Asia/Singapore`

    8 problems in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn a_policy_that_refuses_lets_nobody_start_anything() {
    let lines = "refuse: Frozen
when: {environments: [production]}
unasked: [{runbook: start, by: [person:boss], at_most: {runs: 1, per: 1h}}]
break_glass: {by: [person:boss], review_within: 1h, reviewed_by: [group:managers]}
repeat: {runs: 2, within: 5m}
after_denial: same_people
";
    let told = policy(lines);
    for key in ["unasked", "break_glass", "repeat", "after_denial"] {
        assert!(told.contains(&format!("error: `{key}` means nothing here: this policy refuses")), "{key}: {told}");
    }
}

#[test]
fn a_policy_that_refuses_asks_nobody() {
    insta::assert_snapshot!(policy(&format!("{STAGES}expires: 5m\nrefuse: Frozen\n")), @"
    error: nothing says when this policy refuses
     --> second.yaml:1:9
      |
    1 | policy: second
      |         ^^^^^^
      |
      = help: say it: `when: {during: [{from: …, until: …, zone: …}]}`

    error: `stages` means nothing here: this policy refuses
     --> second.yaml:3:9
      |
    3 | stages: [{approvers: [person:boss], quorum: 1}]
      |         ^
      |
      = help: keep `refuse` or the other

    error: `expires` means nothing here: this policy refuses
     --> second.yaml:4:10
      |
    4 | expires: 5m
      |          ^^
      |
      = help: keep `refuse` or the other

    3 problems in 1 file; the catalog is not loaded
    ");
}

#[test]
fn a_runbook_names_a_policy_that_asks() {
    insta::assert_snapshot!(told(&[
        ("policy.yaml", "policy: managers\ntitle: Frozen\nrefuse: Frozen\nwhen: {environments: [production]}\n"),
    ]), @"
    error: policy `managers` refuses whatever it applies to
     --> start.yaml:5:11
      |
    5 | approval: managers
      |           ^^^^^^^^
      |
      = help: name one that asks somebody: a policy that refuses applies by its own `when`

    1 problem in 1 file; the catalog is not loaded
    ");
}

#[test]
fn a_policy_that_could_not_stand_over_what_it_applies_to() {
    insta::assert_snapshot!(policy(&format!("{STAGES}valid_for: 10s\nwhen: {{risk: [medium]}}\n")), @"
    error: this policy can apply to `start`, which may take 1m in all, but its grant lasts 10s
     --> second.yaml:1:9
      |
    1 | policy: second
      |         ^^^^^^
      |
      = note: the runbook is at start.yaml:1
      = help: give the policy a longer `valid_for`, or leave the runbook out of `when`

    1 problem in 1 file; the catalog is not loaded
    ");
    insta::assert_snapshot!(
        policy("stages: [{approvers: [accountable], quorum: 1}]\nwhen: {targets: [web]}\n"),
        @"
        error: this policy asks whoever is accountable and can apply to `start` on `shop`, which names nobody
         --> second.yaml:1:9
          |
        1 | policy: second
          |         ^^^^^^
          |
          = note: the runbook is at start.yaml:1
          = help: say in the system's file who answers for it: `accountable: NAME`

        1 problem in 1 file; the catalog is not loaded
        "
    );
    insta::assert_snapshot!(policy(&format!("{STAGES}exclude: [last_author]\nwhen: {{}}\n")), @"
    error: this policy leaves the last author out and can apply to `start`, which does not say who that is
     --> second.yaml:1:9
      |
    1 | policy: second
      |         ^^^^^^
      |
      = note: the runbook is at start.yaml:1
      = help: name in the runbook who made its last change: `author: NAME`

    1 problem in 1 file; the catalog is not loaded
    ");
}

#[test]
fn a_risk_that_is_none() {
    insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
params: {service: {type: service}}
risk: hi
approval: managers
steps:
  - {name: Start, run: {command: [web-ctl, start, "{{ service }}"]}}
"#)]), @"
error: `hi` is no risk
 --> start.yaml:4:7
  |
4 | risk: hi
  |       ^^ expected `low`, `medium` or `high`

1 problem in 1 file; the catalog is not loaded
");
}

#[test]
fn a_policy_that_would_loosen_what_a_runbook_names() {
    let people = "people:\n  mei: {accounts: [\"local:trial:mei\"]}\n  boss: {accounts: [\"local:trial:boss\"]}\n  \
                  lin: {accounts: [\"local:trial:lin\"]}\n  kim: {accounts: [\"local:trial:kim\"]}\n\
                  groups:\n  support: [mei]\n  managers: [boss, lin]\n  others: [kim, mei]\n";
    let told_of = |lines: &str| {
        let second = format!("policy: second\ntitle: A second one\n{lines}\n");
        told(&[("people.yaml", people), ("second.yaml", &second)])
    };
    // It wants more people, so it wins; and they are others.
    insta::assert_snapshot!(told_of("stages: [{approvers: [group:others], quorum: 2}]\nwhen: {runbooks: [start]}\n"), @"
    error: this policy can take the place of `managers` for `start`, and is less strict: others may agree (`approvers`)
     --> second.yaml:1:9
      |
    1 | policy: second
      |         ^^^^^^
      |
      = note: the other policy is at policy.yaml:1
      = help: make it as strict as `managers` there, leave `start` out of `when`, or say that it is meant: `replaces: [managers]`

    1 problem in 1 file; the catalog is not loaded
    ");
    let stricter = "stages: [{approvers: [person:boss, person:lin], quorum: 2}]\n";
    for (more, respect) in [
        ("break_glass: {by: [group:support], reviewed_by: [group:managers]}\n", "`break_glass`"),
        ("repeat: {runs: 2, within: 1h}\n", "`repeat`"),
        ("after_denial: same_people\n", "`after_denial`"),
        ("valid_for: 2h\n", "`valid_for`"),
        ("relax: [one_person_several_stages]\n", "`relax`"),
    ] {
        let told = told_of(&format!("{stricter}{more}when: {{}}\n"));
        assert!(told.contains(respect) && told.contains("`replaces: [managers]`"), "{respect}: {told}");
    }
    insta::assert_snapshot!(told_of("stages: [{approvers: [group:others], quorum: 2}]\nreplaces: [mangers, second]\n"), @"
    error: `replaces` means nothing here: only a runbook that names it has this policy
     --> second.yaml:4:11
      |
    4 | replaces: [mangers, second]
      |           ^
      |
      = help: say when it applies to others: `when: {…}`, or leave it out

    error: there is no policy `mangers`
     --> second.yaml:4:12
      |
    4 | replaces: [mangers, second]
      |            ^^^^^^^ expected `managers` or `second`
      |
      = help: did you mean `managers`?

    error: no policy replaces itself
     --> second.yaml:4:21
      |
    4 | replaces: [mangers, second]
      |                     ^^^^^^
      |
      = help: name another

    3 problems in 1 file; the catalog is not loaded
    ");
}

#[test]
fn a_policy_that_is_as_strict_or_says_that_it_replaces_the_other_loads() {
    let people = "people:\n  mei: {accounts: [\"local:trial:mei\"]}\n  boss: {accounts: [\"local:trial:boss\"]}\n  \
                  lin: {accounts: [\"local:trial:lin\"]}\ngroups:\n  support: [mei]\n  managers: [boss, lin]\n";
    for lines in [
        // People by name are within the group that the other asks.
        "stages: [{approvers: [person:boss, person:lin], quorum: 2}]\nwhen: {}\n",
        "stages: [{approvers: [person:mei, person:lin], quorum: 2}]\nwhen: {}\nreplaces: [managers]\n",
        // It never wins: fewer would have to agree.
        "stages: [{approvers: [person:mei], quorum: 1}]\nrelax: [requester_may_agree]\nwhen: {}\n",
    ] {
        let second = format!("policy: second\ntitle: A second one\n{lines}");
        let folder = tempfile::tempdir().expect("a folder");
        diagnostics_base::write(folder.path(), &[("people.yaml", people), ("second.yaml", &second)]);
        if let Err(problems) = countersign::runbook::load(folder.path()) {
            panic!("{lines}: {problems}");
        }
    }
}

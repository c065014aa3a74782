//! What is told of rotas that cannot be, and of policies that ask whoever is accountable.

mod diagnostics_base;

use diagnostics_base::told;

/// The right people with this rota beside them.
fn rota(lines: &str) -> String {
    let people = format!(
        r#"people:
  mei: {{accounts: ["local:trial:mei"]}}
  lin: {{accounts: ["local:trial:lin"]}}
  boss: {{accounts: ["local:trial:boss"]}}
groups:
  support: [mei]
  managers: [boss]
rotas:
  ops-primary:
{lines}
"#
    );
    told(&[("people.yaml", &people)])
}

const HEAD: &str = r#"    members: [mei, lin]
    turns: weekly
    from: 2026-11-02
    at: "09:00"
    zone: Asia/Singapore
"#;

#[test]
fn everything_that_is_missing() {
    insta::assert_snapshot!(rota("    stand_ins: [boss]"), @r#"
    error: `members` is missing here
     --> people.yaml:9:3
      |
    9 |   ops-primary:
      |   ^^^^^^^^^^^
      |
      = help: say who takes turns, in order: `members: [mei, lin]`

    error: `turns` is missing here
     --> people.yaml:9:3
      |
    9 |   ops-primary:
      |   ^^^^^^^^^^^
      |
      = help: say how long a turn is: `turns: weekly`

    error: `from` is missing here
     --> people.yaml:9:3
      |
    9 |   ops-primary:
      |   ^^^^^^^^^^^
      |
      = help: say on which day the first member's first turn begins: `from: 2026-11-02`

    error: `at` is missing here
     --> people.yaml:9:3
      |
    9 |   ops-primary:
      |   ^^^^^^^^^^^
      |
      = help: say when one hands over to the next: `at: "09:00"`

    error: `zone` is missing here
     --> people.yaml:9:3
      |
    9 |   ops-primary:
      |   ^^^^^^^^^^^
      |
      = help: say whose clocks are meant: `zone: Asia/Singapore`

    5 problems in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn names_days_and_times_that_are_none() {
    insta::assert_snapshot!(rota(r#"    members: [mei, lina, mei]
    turns: weakly
    from: 2026-02-30
    at: "25:00"
    zone: Asia/Singapur"#), @r#"
    error: there is no person `lina`
      --> people.yaml:10:20
       |
    10 |     members: [mei, lina, mei]
       |                    ^^^^ expected `boss`, `lin` or `mei`
       |
       = help: did you mean `lin`?

    error: `mei` stands in this rota twice
      --> people.yaml:10:26
       |
    10 |     members: [mei, lina, mei]
       |                          ^^^
       |
       = help: keep one of the two

    error: `weakly` is no length of a turn
      --> people.yaml:11:12
       |
    11 |     turns: weakly
       |            ^^^^^^ expected `daily` or `weekly`
       |
       = help: did you mean `weekly`?

    error: `2026-02-30` is no day
      --> people.yaml:12:11
       |
    12 |     from: 2026-02-30
       |           ^^^^^^^^^^ expected year, month and day, such as 2026-11-02

    error: `25:00` is no time of day
      --> people.yaml:13:9
       |
    13 |     at: "25:00"
       |         ^^^^^^^ expected hours and minutes, such as "09:00"

    error: there is no zone `Asia/Singapur`
      --> people.yaml:14:11
       |
    14 |     zone: Asia/Singapur
       |           ^^^^^^^^^^^^^ expected a name such as `Europe/Berlin`, or `UTC`
       |
       = help: did you mean `Asia/Singapore`?

    6 problems in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn a_zone_by_its_city_alone() {
    insta::assert_snapshot!(rota(&HEAD.replace("Asia/Singapore", "berlin")), @"
    error: there is no zone `berlin`
      --> people.yaml:14:11
       |
    14 |     zone: berlin
       |           ^^^^^^ expected a name such as `Europe/Berlin`, or `UTC`
       |
       = help: did you mean `Europe/Berlin`?

    1 problem in 1 file; the catalog is not loaded
    ");
}

#[test]
fn overrides_that_contradict_each_other() {
    insta::assert_snapshot!(rota(&format!(r#"{HEAD}    overrides:
      - {{person: lin, from: 2026-12-24 18:00, until: 2026-12-26 09:00}}
      - {{person: mei, from: 2026-12-26 09:00, until: 2026-12-27 09:00}}
      - {{person: mei, from: 2026-12-26 00:30, until: 2026-12-26 02:00, zone: UTC}}
      - {{person: mei, from: 2026-12-28, until: 2026-12-27 09:00}}
      - {{person: mei, from: 2026-12-28 09:00, until: 2026-12-27 09:00}}"#)), @"
      error: mei is to stand in while lin does
        --> people.yaml:18:29
         |
      18 |       - {person: mei, from: 2026-12-26 00:30, until: 2026-12-26 02:00, zone: UTC}
         |                             ^^^^^^^^^^^^^^^^
         |
         = help: one of the two is on call: end one override where the other begins

      error: `2026-12-28` is no day and time
        --> people.yaml:19:29
         |
      19 |       - {person: mei, from: 2026-12-28, until: 2026-12-27 09:00}
         |                             ^^^^^^^^^^ expected year, month, day and time, such as 2026-12-24 18:00
         |
         = help: the zone is a key of its own: `zone`

      error: this override ends before it begins
        --> people.yaml:20:54
         |
      20 |       - {person: mei, from: 2026-12-28 09:00, until: 2026-12-27 09:00}
         |                                                      ^^^^^^^^^^^^^^^^
         |
         = help: `until` is later than `from`

      3 problems in 1 file; the catalog is not loaded
      ");
}

#[test]
fn an_override_gives_nobody_a_right() {
    insta::assert_snapshot!(rota(&format!(r#"{HEAD}    overrides:
      - {{person: boss, from: 2026-12-24 18:00, until: 2026-12-26 09:00}}"#)), @"
      error: boss is not in this rota
        --> people.yaml:16:18
         |
      16 |       - {person: boss, from: 2026-12-24 18:00, until: 2026-12-26 09:00}
         |                  ^^^^
         |
         = help: an override says who is asked, not who may decide: add them to `stand_ins`

      1 problem in 1 file; the catalog is not loaded
      ");
}

#[test]
fn a_rota_of_a_name_that_a_system_has() {
    let people = format!("rotas:\n  shop:\n{HEAD}").replace("lin]", "boss]");
    insta::assert_snapshot!(told(&[("rotas.yaml", &people)]), @"
    error: `shop` is the name of a rota too
     --> system.yaml:1:9
      |
    1 | system: shop
      |         ^^^^
      |
      = note: the other is at rotas.yaml:2
      = help: services, systems and rotas are said by name alone, so no two may have the same

    1 problem in 1 file; the catalog is not loaded
    ");
}

/// The right policy with these approvers, and a rota.
fn approvers(list: &str) -> String {
    let rotas = format!("rotas:\n  ops-primary:\n{HEAD}").replace("lin]", "boss]");
    let policy = format!("policy: managers\ntitle: Somebody agrees\nstages: [{{approvers: [{list}], quorum: 1}}]\n");
    told(&[("rotas.yaml", &rotas), ("policy.yaml", &policy)])
}

#[test]
fn a_rota_that_is_not_there_or_not_said_to_be_one() {
    insta::assert_snapshot!(approvers("rota:ops-primry, ops-primary, acountable"), @"
    error: there is no rota `ops-primry`
     --> policy.yaml:3:23
      |
    3 | stages: [{approvers: [rota:ops-primry, ops-primary, acountable], quorum: 1}]
      |                       ^^^^^^^^^^^^^^^ expected `rota:ops-primary`
      |
      = help: did you mean `rota:ops-primary`?

    error: `ops-primary` names no person, group or rota
     --> policy.yaml:3:40
      |
    3 | stages: [{approvers: [rota:ops-primry, ops-primary, acountable], quorum: 1}]
      |                                        ^^^^^^^^^^^ expected person:NAME, group:NAME or rota:NAME
      |
      = help: did you mean `rota:ops-primary`?

    error: `acountable` names no person, group or rota
     --> policy.yaml:3:53
      |
    3 | stages: [{approvers: [rota:ops-primry, ops-primary, acountable], quorum: 1}]
      |                                                     ^^^^^^^^^^ expected person:NAME, group:NAME or rota:NAME
      |
      = help: did you mean `accountable`?

    3 problems in 1 file; the catalog is not loaded
    ");
}

#[test]
fn a_system_that_names_nobody_accountable() {
    insta::assert_snapshot!(approvers("accountable"), @"
    error: policy `managers` asks whoever is accountable, and system `shop` names nobody
     --> start.yaml:5:11
      |
    5 | approval: managers
      |           ^^^^^^^^
      |
      = note: the system is at system.yaml:1
      = help: say in the system's file who answers for it: `accountable: NAME`

    1 problem in 1 file; the catalog is not loaded
    ");
}

#[test]
fn rights_of_a_system_are_no_matter_of_who_is_accountable() {
    insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
accountable: bos
may_run: [accountable]
services:
  web: {title: Web, checks: {running: {command: [web-status, web]}}}
"#)]), @"
error: there is no person `bos`
 --> system.yaml:5:14
  |
5 | accountable: bos
  |              ^^^ expected `boss` or `mei`
  |
  = help: did you mean `boss`?

error: only a policy can mean whoever is accountable
 --> system.yaml:6:11
  |
6 | may_run: [accountable]
  |           ^^^^^^^^^^^
  |
  = help: name the person here: `person:NAME`

2 problems in 1 file; the catalog is not loaded
");
}

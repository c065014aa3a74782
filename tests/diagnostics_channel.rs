//! What is told of a channel for incidents that cannot be.

mod diagnostics_base;

use diagnostics_base::told;

/// The right system with these lines for its incidents' channel.
fn channel(lines: &str) -> String {
    let system = format!(
        r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
incident_channel:
{lines}
services:
  web:
    title: Web
    checks:
      running: {{command: [web-status, web]}}
"#
    );
    told(&[("system.yaml", &system)])
}

#[test]
fn it_is_made_somewhere() {
    insta::assert_snapshot!(channel("  name: \"inc-{incident}\""), @r#"
    error: `in` is missing here
     --> system.yaml:7:3
      |
    7 |   name: "inc-{incident}"
      |   ^
      |
      = help: say in which workspace it is made: `in: "slack:T0ACME"`

    1 problem in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn the_built_in_room_makes_none() {
    insta::assert_snapshot!(channel("  in: \"local:trial\""), @r#"
    error: the built-in room makes no channels, so none can be made for an incident
     --> system.yaml:7:7
      |
    7 |   in: "local:trial"
      |       ^^^^^^^^^^^^^
      |
      = help: leave `incident_channel` out: incidents are then talked about in the system's room

    1 problem in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn only_slack_makes_them() {
    insta::assert_snapshot!(channel("  in: \"discord:G1\""), @r#"
    error: channels for incidents are made in Slack, not in `discord:G1`
     --> system.yaml:7:7
      |
    7 |   in: "discord:G1"
      |       ^^^^^^^^^^^^ expected `slack:WORKSPACE`

    1 problem in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn a_workspace_is_no_room() {
    insta::assert_snapshot!(channel("  in: \"slack:T0ACME:C0OPS\""), @r#"
    error: `slack:T0ACME:C0OPS` is not a workspace
     --> system.yaml:7:7
      |
    7 |   in: "slack:T0ACME:C0OPS"
      |       ^^^^^^^^^^^^^^^^^^^^ expected `slack:WORKSPACE`
      |
      = help: it is made there and has no address yet: write `slack:T0ACME`

    1 problem in 1 file; the catalog is not loaded
    "#);
    insta::assert_snapshot!(channel("  in: acme"), @"
    error: `acme` is not a workspace
     --> system.yaml:7:7
      |
    7 |   in: acme
      |       ^^^^ expected `slack:WORKSPACE`

    1 problem in 1 file; the catalog is not loaded
    ");
}

#[test]
fn every_incident_has_its_own() {
    insta::assert_snapshot!(channel("  in: \"slack:T0ACME\"\n  name: \"war-room-{system}\""), @r#"
    error: every incident would want the same channel, `war-room-{system}`
     --> system.yaml:8:9
      |
    8 |   name: "war-room-{system}"
      |         ^^^^^^^^^^^^^^^^^^^
      |
      = help: name it after its incident: `name: "inc-{incident}-{system}"`

    1 problem in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn only_two_things_are_filled_in() {
    insta::assert_snapshot!(channel("  in: \"slack:T0ACME\"\n  name: \"inc-{incident}-{service}\""), @r#"
    error: `inc-{incident}-{service}` cannot be filled in
     --> system.yaml:8:9
      |
    8 |   name: "inc-{incident}-{service}"
      |         ^^^^^^^^^^^^^^^^^^^^^^^^^^ only `{incident}` and `{system}` may stand in braces

    1 problem in 1 file; the catalog is not loaded
    "#);
}

#[test]
fn whoever_is_called_does_not_only_follow() {
    let lines =
        "  in: \"slack:T0ACME\"\n  invite: [group:support, person:boss]\n  observe: [person:boss, group:manager]";
    insta::assert_snapshot!(channel(lines), @"
    error: `person:boss` is to be called and not to be called
     --> system.yaml:9:13
      |
    9 |   observe: [person:boss, group:manager]
      |             ^^^^^^^^^^^
      |
      = help: `invite` calls people, `observe` does not: keep one of the two

    error: there is no group `manager`
     --> system.yaml:9:26
      |
    9 |   observe: [person:boss, group:manager]
      |                          ^^^^^^^^^^^^^ expected `group:managers` or `group:support`
      |
      = help: did you mean `group:managers`?

    2 problems in 1 file; the catalog is not loaded
    ");
}

#[test]
fn unknown_keys_are_refused() {
    insta::assert_snapshot!(channel("  in: \"slack:T0ACME\"\n  archive: true"), @"
    error: `archive` is not a key that can stand here
     --> system.yaml:8:3
      |
    8 |   archive: true
      |   ^^^^^^^ expected `in`, `name`, `private`, `invite`, `observe` or `archive_on_resolve`

    1 problem in 1 file; the catalog is not loaded
    ");
}

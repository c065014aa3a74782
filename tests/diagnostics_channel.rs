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
    insta::assert_snapshot!(channel("  name: \"inc-{incident}\""), @"");
}

#[test]
fn the_built_in_room_makes_none() {
    insta::assert_snapshot!(channel("  in: \"local:trial\""), @"");
}

#[test]
fn only_slack_makes_them() {
    insta::assert_snapshot!(channel("  in: \"discord:G1\""), @"");
}

#[test]
fn a_workspace_is_no_room() {
    insta::assert_snapshot!(channel("  in: \"slack:T0ACME:C0OPS\""), @"");
    insta::assert_snapshot!(channel("  in: acme"), @"");
}

#[test]
fn every_incident_has_its_own() {
    insta::assert_snapshot!(channel("  in: \"slack:T0ACME\"\n  name: \"war-room-{system}\""), @"");
}

#[test]
fn only_two_things_are_filled_in() {
    insta::assert_snapshot!(channel("  in: \"slack:T0ACME\"\n  name: \"inc-{incident}-{service}\""), @"");
}

#[test]
fn whoever_is_called_does_not_only_follow() {
    insta::assert_snapshot!(channel(
        "  in: \"slack:T0ACME\"\n  invite: [group:support, person:boss]\n  observe: [person:boss, group:manager]"
    ), @"");
}

#[test]
fn unknown_keys_are_refused() {
    insta::assert_snapshot!(channel("  in: \"slack:T0ACME\"\n  archive: true"), @"");
}

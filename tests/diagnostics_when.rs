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
  during: []"#)), @"");
}

#[test]
fn times_that_are_none() {
    insta::assert_snapshot!(policy(&format!(r#"{STAGES}when:
  during:
    - {{from: "09:00", until: 2026-12-24 18:00, zone: UTC}}
    - {{days: [mon], from: 2026-12-26 18:00, until: 2026-12-24 18:00, zone: UTC}}
    - {{days: [monday], from: "9 am", until: "18:00", zone: Asia/Singapur}}
    - {{from: "09:00"}}"#)), @"");
}

#[test]
fn a_policy_that_refuses_asks_nobody() {
    insta::assert_snapshot!(policy(&format!("{STAGES}expires: 5m\nrefuse: Frozen\n")), @"");
}

#[test]
fn a_runbook_names_a_policy_that_asks() {
    insta::assert_snapshot!(told(&[
        ("policy.yaml", "policy: managers\ntitle: Frozen\nrefuse: Frozen\nwhen: {environments: [production]}\n"),
    ]), @"");
}

#[test]
fn a_policy_that_could_not_stand_over_what_it_applies_to() {
    insta::assert_snapshot!(policy(&format!("{STAGES}valid_for: 10s\nwhen: {{risk: [medium]}}\n")), @"");
    insta::assert_snapshot!(
        policy("stages: [{approvers: [accountable], quorum: 1}]\nwhen: {targets: [web]}\n"),
        @""
    );
    insta::assert_snapshot!(policy(&format!("{STAGES}exclude: [last_author]\nwhen: {{}}\n")), @"");
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
"#)]), @"");
}

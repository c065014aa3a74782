//! The right catalog that each case breaks.

use std::path::Path;

use countersign::runbook;

const RIGHT: [(&str, &str); 5] = [
    ("start.yaml", START),
    ("system.yaml", SYSTEM),
    (
        "policy.yaml",
        r#"policy: managers
title: A manager agrees
stages: [{approvers: [group:managers], quorum: 1}]
"#,
    ),
    ("people.yaml", PEOPLE),
    ("rooms.yaml", "rooms: {ops: {address: 'local:trial:ops'}}\n"),
];

const START: &str = r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#;

const SYSTEM: &str = r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web]}
"#;

const PEOPLE: &str = r#"people:
  mei: {accounts: ["local:trial:mei"]}
  boss: {accounts: ["local:trial:boss"]}
groups:
  support: [mei]
  managers: [boss]
"#;

/// Writes the right catalog with the given files in place of, or beside, its own.
pub(crate) fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, text) in RIGHT.iter().chain(files) {
        std::fs::write(folder.join(path), text).expect("written");
    }
}

/// What is told about it, as on a terminal.
pub(crate) fn told(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), files);
    runbook::load(folder.path()).expect_err("wrong").to_string()
}

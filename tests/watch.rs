//! It notices, it recovers by itself, it stops itself: the real program, a real Postgres, services that a test breaks.

mod support;

use countersign::model::id::RunId;
use support::bot::{Bot, plain};
use support::until;
use support::world::Catalog;

/// A system with a service that a test breaks and heals by a file, asked every second; one result makes it certain.
const SYSTEM: &str = r#"system: system-a
title: System A
environment: production
room: system-a
may_run: [group:support, group:managers]
may_see: [group:support, group:managers]
may_unstick: [group:managers]
may_resolve: [group:support, group:managers]
may_pause: [group:managers]
services:
  service-b:
    title: Service B
    checks:
      running: {command: [./step.sh, service-b, probe], every: 1s, fails_after: 2}
"#;

const START: &str = r#"runbook: start-service
title: Start a service
why: A test wants it.
say: ["start {service}"]
params: {service: {type: service, system: system-a}}
approval: managers
steps:
  - name: Start
    run: {command: [./step.sh, "{{ service }}", heal]}
"#;

const BROKEN_START: &str = r#"runbook: start-service
title: Start a service
why: A test wants it.
say: ["start {service}"]
params: {service: {type: service, system: system-a}}
approval: managers
steps:
  - name: Start
    run: {command: [./step.sh, "{{ service }}", fail]}
"#;

fn policy(automatic: &str) -> String {
    format!(
        "policy: managers\ntitle: A manager agrees\nstages:\n  - approvers: [group:managers]\n    quorum: 1\n\
         expires: 30m\nvalid_for: 1h\n{automatic}"
    )
}

fn trigger(mode: &str, brakes: &str) -> String {
    format!(
        "trigger: service-down\nowner: mei\non: {{check: \"system-a/*/running\", becomes: critical}}\n\
         run: start-service\nwith: {{service: \"{{{{ service }}}}\"}}\nmode: {mode}\nbrakes: {brakes}\n"
    )
}

const LOOSE: &str = "{cooldown: 1s, at_most: {runs: 20, per: 1h}, flapping: {changes: 100, per: 1h}}";

fn world(mode: &str, brakes: &str) -> Catalog {
    let automatic = if mode == "auto" { "automatic: [service-down]\n" } else { "" };
    Catalog::made()
        .file("system-a.yaml", SYSTEM)
        .file("managers.yaml", &policy(automatic))
        .file("start-service.yaml", START)
        .file("service-down.yaml", &trigger(mode, brakes))
}

/// Breaks the service: its check ends with this code.
fn break_it(bot: &Bot, code: u32) {
    std::fs::write(bot.side("health-service-b"), code.to_string()).expect("a file");
}

fn heal(bot: &Bot) {
    std::fs::remove_file(bot.side("health-service-b")).expect("it was broken");
}

/// How often the check was asked.
fn probes(bot: &Bot) -> usize {
    std::fs::read_to_string(bot.side("probes")).unwrap_or_default().lines().count()
}

/// Waits until the check has been asked so many more times.
async fn more_probes(bot: &Bot, count: usize) {
    let from = probes(bot);
    until("the check is asked again", async || (probes(bot) >= from + count).then_some(())).await;
}

async fn runs(bot: &Bot) -> i64 {
    bot.db().number("select count(*) from run where trigger is not null").await
}

#[tokio::test]
async fn i12_a_failure_is_noticed_and_recovered_with_nobody_woken() {
    let bot = Bot::start(world("auto", LOOSE)).await;
    more_probes(&bot, 1).await;
    break_it(&bot, 2);
    let fine = bot.hear("INC-1: Service B").await;
    let said = plain(&bot.rest().await);
    insta::assert_snapshot!(said, @"");
    insta::assert_snapshot!(plain(&fine.text), @"");
    assert_eq!(bot.effects(), ["service-b"]);
    bot.until_run(RunId(1), "succeeded").await;
    bot.finish().await;
}

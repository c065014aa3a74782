//! `who is on call`: the real program, a real Postgres.

mod support;

use support::bot::Bot;
use support::world::{Catalog, step};

/// Rotas of which one knows who is on call, whenever the test runs.
const ROTAS: &str = r#"rotas:
  ops-primary:
    members: [boss]
    stand_ins: [lin]
    turns: weekly
    from: 2026-11-02
    at: "09:00"
    zone: Asia/Singapore
    overrides: [{person: lin, from: 2000-01-01 09:00, until: 2099-12-28 09:00}]
  night-watch:
    members: [lin]
    turns: daily
    from: 2026-11-02
    at: "21:00"
    zone: Europe/Berlin
    overrides: [{person: lin, from: 2000-01-01 09:00, until: 2099-12-28 09:00, zone: UTC}]
"#;

#[tokio::test]
async fn who_is_on_call_is_told_in_the_room() {
    let catalog =
        Catalog::made().file("rotas.yaml", ROTAS).edited("system-a.yaml", "may_see: [", "may_see: [rota:ops-primary, ");
    let bot = Bot::start(catalog).await;
    // That of the room's system; a question mark is forgiven.
    insta::assert_snapshot!(bot.say("mei", "who is on call?").await.done().text(), @"ops-primary: lin stands in for boss until Mon 2099-12-28 09:00 Asia/Singapore; boss is next.");
    insta::assert_snapshot!(bot.say("mei", "who is on call for system a").await.done().text(), @"ops-primary: lin stands in for boss until Mon 2099-12-28 09:00 Asia/Singapore; boss is next.");
    // One that no system names is known to everybody of the catalog.
    insta::assert_snapshot!(bot.say("mei", "who is on call for night watch").await.done().text(), @"night-watch: lin is on call until Mon 2099-12-28 10:00 Europe/Berlin, and nobody else comes after.");
    insta::assert_snapshot!(bot.say("mei", "who is on call for ops-primry").await.refused().text(), @r#"Nobody is on call for "ops-primry": it is no rota, system or service. Did you mean ops-primary?"#);
    insta::assert_snapshot!(bot.say("zed", "who is on call").await.refused().text(), @"(to zed) zed (local:trial:zed) is not known here. Ask an operator to add you to people.yaml.");
    bot.finish().await;
}

/// A policy that refuses whatever is asked for in production, in all the time that tests run in.
const FREEZE: &str = r#"policy: freeze
title: Nothing changes
refuse: Nobody is here to help.
when:
  environments: [production]
  during: [{from: 2020-01-01 00:00, until: 2099-12-28 09:00, zone: Asia/Singapore}]
"#;

/// One that wants two people, whatever is asked for.
const TWO: &str = r#"policy: two
title: Two agree
stages: [{approvers: [group:managers], quorum: 2}]
when: {}
"#;

#[tokio::test]
async fn the_strictest_policy_is_asked_and_a_freeze_is_answered() {
    let catalog = Catalog::made().runbook("touch", &[step("touch", "ok")]);
    let bot = Bot::start(catalog.clone().file("two.yaml", TWO)).await;
    let asked = bot.say("mei", "run touch").await.waiting();
    let plan: serde_json::Value = serde_json::from_str(
        &bot.db().text("select convert_from(plan.bytes, 'UTF8') from plan join run on run.plan = plan.digest").await,
    )
    .expect("a plan");
    assert_eq!(plan["policy"]["name"], "two", "{}", asked.text());
    bot.end().await;

    let bot = Bot::start(catalog.file("two.yaml", TWO).file("freeze.yaml", FREEZE)).await;
    insta::assert_snapshot!(bot.say("mei", "run touch").await.refused().text(), @"mei, nothing was asked: policy freeze refuses this until Mon 2099-12-28 09:00 Asia/Singapore (Nobody is here to help); ask again then, or have freeze.yaml changed.");
    assert_eq!(bot.db().number("select count(*) from run").await, 0);
    bot.finish().await;
}

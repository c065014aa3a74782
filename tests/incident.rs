//! Incidents in the room: the real program, a real Postgres, over the public interface. Checks are turned by hand here, as
//! whoever asks them by schedule does it: state, event and incident in one transaction.

mod support;

use chrono::TimeDelta;
use countersign::incident::{Failure, Recovery, failed, recovered};
use countersign::ledger::{Report, verify};
use countersign::model::event::{Happened, Health, NewEvent, Record, Scope};
use countersign::model::id::{CheckName, IncidentId, ServiceName, SystemName};
use countersign::store::Store;
use support::bot::Bot;
use support::database;
use support::world::Catalog;

const SYSTEM: &str = r#"system: system-a
title: System A
environment: production
room: system-a
may_run: [group:support, group:managers]
may_see: [group:support, group:managers]
may_unstick: [group:managers]
may_resolve: [group:support, person:boss]
services:
  service-b:
    title: Service B
    checks:
      running: {command: [/bin/true]}
      answers: {command: [/bin/true]}
  service-c:
    title: Service C
    checks:
      running: {command: [/bin/true]}
"#;

const START: &str = r#"runbook: start-service
title: Start a service
why: Users see errors until then.
say: ["start {service}"]
params: {service: {type: service, system: system-a}}
approval: managers
steps:
  - name: Start
    run: {command: [./step.sh, start, ok]}
  - name: Verify
    check: "{{ service }}"
"#;

fn catalog() -> Catalog {
    Catalog::made().file("system-a.yaml", SYSTEM).file("start-service.yaml", START)
}

/// A check of a service fails for certain, or could not be asked.
async fn turn(store: &Store, service: &str, check: &str, now: Health, detail: &str) -> Option<IncidentId> {
    let (service, check) = (ServiceName::new(service), CheckName::new(check));
    let system = SystemName::new("system-a");
    let mut tx = store.begin().await.expect("a transaction");
    let since = tx.now() - TimeDelta::seconds(2);
    let incident = match now {
        Health::Warning | Health::Critical => {
            let failure = Failure {
                system: system.clone(),
                environment: "production".into(),
                service: service.clone(),
                check: check.clone(),
                title: format!("{service} is not well"),
                room: "local:trial:system-a".parse().expect("a room"),
                health: now,
                since,
            };
            Some(failed(&mut tx, failure).await.expect("an incident"))
        }
        Health::Ok => {
            let recovery = Recovery { system: system.clone(), service: service.clone(), since };
            recovered(&mut tx, recovery).await.expect("it is noted")
        }
        Health::Unknown => None,
    };
    let scope = Scope { system: Some(system), environment: Some("production".into()), incident, ..Scope::default() };
    let was = (now == Health::Ok).then_some(Health::Critical);
    let detail = detail.to_owned();
    let what = Happened::CheckTurned { service, check, was, now, since, results: 2, detail };
    tx.record(NewEvent { scope, cause: None, record: Record { what, rows: Vec::new() } });
    tx.commit().await.expect("it commits");
    incident
}

/// A text without what differs from one run of the test to the next.
fn steady(text: &str) -> String {
    let mut plain = support::bot::plain(text);
    // Durations with tenths.
    for digit in '0'..='9' {
        plain = plain.replace(&format!("{digit}.LASTED"), "LASTED");
    }
    let time = |word: &str| {
        word.len() >= 20 && word.contains('T') && word.trim_matches('`').trim_end_matches("`.").len() <= 30
    };
    let words = plain.split(' ').map(|word| match word.strip_prefix('`') {
        Some(bare) if bare.starts_with("20") && time(bare) => "`TIME`",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

async fn report(store: &Store) -> Report {
    verify(store, &[]).await.expect("verification can read")
}

#[tokio::test]
async fn a_night() {
    let bot = Bot::start(catalog()).await;
    let store = &bot.db().store;
    turn(store, "service-b", "running", Health::Critical, "STOPPED").await;
    let told = bot.hear("INC-1 opened").await;
    insta::assert_snapshot!(steady(&told.text), @"");
    turn(store, "service-b", "answers", Health::Critical, "no answer").await;
    let told = bot.hear("belongs to INC-1").await;
    insta::assert_snapshot!(steady(&told.text), @"");

    let late = bot.say("lin", "what happened").await.done();
    insta::assert_snapshot!(late.plain(), @"");
    let ack = bot.say("mei", "ack").await.done();
    insta::assert_snapshot!(ack.plain(), @"");
    insta::assert_snapshot!(bot.say("mei", "ack inc 1").await.done().plain(), @"");

    let asked = bot.say("mei", "start service b").await.waiting();
    bot.db().tamper("update run set incident = 1").await;
    insta::assert_snapshot!(bot.say("lin", "what happened?").await.done().plain(), @"");
    insta::assert_snapshot!(bot.say("mei", "status").await.done().plain(), @"");
    bot.say("boss", "approved").thread(asked.thread()).await.done();
    insta::assert_snapshot!(bot.say("boss", "note the disk\u{202e} was full").await.done().plain(), @"");

    let denied = bot.say("lin", "resolve").await.refused();
    insta::assert_snapshot!(denied.plain(), @"");
    turn(store, "service-b", "running", Health::Ok, "RUNNING").await;
    let told = bot.hear("fine again").await;
    insta::assert_snapshot!(steady(&told.text), @"");
    insta::assert_snapshot!(bot.say("lin", "what happened inc-1").await.done().plain(), @"");
    let resolved = bot.say("mei", "resolve").await.done();
    insta::assert_snapshot!(steady(&resolved.text()), @"");
    insta::assert_snapshot!(bot.say("boss", "resolve 1").await.refused().plain(), @"");
    insta::assert_snapshot!(bot.say("boss", "resolve").await.refused().plain(), @"");
    insta::assert_snapshot!(bot.say("lin", "what happened").await.done().plain(), @"");
    insta::assert_snapshot!(bot.say("lin", "report").await.done().plain(), @"");
    insta::assert_snapshot!(bot.say("lin", "incidents").await.done().plain(), @"");
    insta::assert_snapshot!(bot.say("mei", "reopen because it is slow again").await.done().plain(), @"");
    insta::assert_snapshot!(bot.say("mei", "reopen").await.refused().plain(), @"");
    bot.say("mei", "resolve because: done").await.done();
    bot.finish().await;
}

#[tokio::test]
async fn two_at_once_and_a_restart() {
    let mut bot = Bot::start(catalog()).await;
    turn(&bot.db().store, "service-b", "running", Health::Critical, "").await;
    bot.hear("INC-1 opened").await;
    let opened = bot.say("mei", "open incident System A: checkout is\tslow").await.done();
    insta::assert_snapshot!(opened.plain(), @"");
    for text in ["resolve", "ack", "reopen", "note hello", "report"] {
        let which = bot.say("mei", text).await.refused();
        assert!(which.text().starts_with("2 incidents are open here. Say which: "), "{text}: {}", which.text());
    }
    insta::assert_snapshot!(bot.say("mei", "ack").await.refused().plain(), @"");
    insta::assert_snapshot!(bot.say("mei", "what happened").await.done().plain(), @"");
    bot.kill().await;
    bot.restart().await;
    insta::assert_snapshot!(bot.say("mei", "ack 2").await.done().plain(), @"");
    insta::assert_snapshot!(bot.say("mei", "resolve #2 because the cache is warm").await.done().plain(), @"");
    insta::assert_snapshot!(bot.say("mei", "incidents").await.done().plain(), @"");
    // Two people at once: one outcome, and the truth for both.
    let (one, other) =
        tokio::join!(async { bot.say("mei", "resolve").await }, async { bot.say("boss", "resolve").await });
    let texts = [one.text(), other.text()];
    let resolved = texts.iter().filter(|text| text.contains("INC-1 resolved after")).count();
    let late = texts
        .iter()
        .filter(|text| text.contains("INC-1 is resolved already") || text.contains("No incident is open here"));
    assert_eq!((resolved, late.count()), (1, 1), "{texts:?}");
    // What is said where there is nothing.
    assert!(bot.say("mei", "note so what").await.refused().text().starts_with("Not noted"));
    assert!(bot.say("mei", "what happened INC-9").await.refused().text().starts_with("This room has no INC-9"));
    bot.finish().await;
}

#[tokio::test]
async fn what_nobody_knows_is_never_called_well() {
    let bot = Bot::start(catalog()).await;
    turn(&bot.db().store, "service-c", "running", Health::Unknown, "no such program").await;
    let told = bot.hear("nobody knows").await;
    insta::assert_snapshot!(steady(&told.text), @"");
    let status = bot.say("mei", "status?").await.done();
    insta::assert_snapshot!(status.plain(), @"");
    bot.db()
        .tamper(
            "insert into check_state (system, service, check_name, hard, hard_since, soft, soft_since, soft_count, asked_at,
                 detail)
             values ('system-a', 'service-b', 'running', 'ok', now(), 'ok', now(), 1, now() - interval '1 day', 'pid 1')",
        )
        .await;
    bot.db().tamper("update check_state set asked_at = now(), hard = 'critical', detail = 'STOPPED'").await;
    turn(&bot.db().store, "service-b", "running", Health::Critical, "STOPPED").await;
    bot.hear("INC-1 opened").await;
    let failing = bot.say("mei", "resolve").await.refused();
    insta::assert_snapshot!(failing.plain(), @"");
    bot.say("mei", "resolve because it is a drill").await.done();
    bot.finish().await;
}

#[tokio::test]
async fn i4_one_failure_is_one_incident_whoever_is_first() {
    let db = database().await;
    let another = db.another_store().await;
    for round in 1..=5_i64 {
        let (one, other) = tokio::join!(
            turn(&db.store, "service-b", "running", Health::Critical, ""),
            turn(&another, "service-b", "answers", Health::Critical, "")
        );
        assert_eq!((one, other), (Some(IncidentId(round)), Some(IncidentId(round))), "round {round}");
        let opened = db.number("select count(*) from event where kind = 'incident_opened'").await;
        assert_eq!(opened, round, "one event for one incident");
        assert_eq!(turn(&db.store, "service-b", "running", Health::Ok, "").await, one);
        assert_eq!(turn(&db.store, "service-b", "running", Health::Ok, "").await, None, "it was well already");
        assert_eq!(turn(&db.store, "service-b", "running", Health::Critical, "").await, one, "open again");
        // A person ends it; numbers of rows that were not inserted leave gaps, so they are counted anew.
        db.tamper("update incident set state = 'resolved', resolved_by = 'mei', resolved_at = now() where state <> 'resolved'")
            .await;
        db.tamper("select setval('incident_id_seq', (select max(id) from incident))").await;
    }
    another.close().await;
}

#[tokio::test]
async fn i11_changes_of_incidents_are_found() {
    let bot = Bot::start(catalog()).await;
    let store = &bot.db().store;
    turn(store, "service-b", "running", Health::Critical, "").await;
    turn(store, "service-c", "running", Health::Critical, "").await;
    bot.say("mei", "ack 1").await.done();
    bot.say("mei", "resolve 1 because it is a drill").await.done();
    turn(store, "service-c", "running", Health::Ok, "").await;
    bot.rest().await;
    let sound = report(store).await;
    assert!(sound.is_sound(), "{sound}");
    let mut shown = String::new();
    bot.db().keep().await;
    for change in [
        "update incident set state = 'open', mitigated_at = null where id = 2",
        "update incident set version = 9 where id = 2",
        "update incident set title = 'nothing' where id = 1",
        "update incident set service = null where id = 1",
        "update incident set system = 'system-z' where id = 1",
        "update incident set environment = 'scratch' where id = 1",
        "update incident set room = 'local:trial:system-z' where id = 1",
        "update incident set opened_at = opened_at - interval '1 hour' where id = 1",
        "update incident set opened_by = 'lin' where id = 1",
        "update incident set failed_at = failed_at - interval '1 hour' where id = 2",
        "update incident set acknowledged_by = 'lin' where id = 1",
        "update incident set acknowledged_at = null where id = 1",
        "update incident set mitigated_at = mitigated_at + interval '1 hour' where id = 2",
        "update incident set resolved_by = 'boss' where id = 1",
        "update incident set resolved_at = resolved_at + interval '1 hour' where id = 1",
        "update incident set resolved_why = null where id = 1",
        "update incident set cause = 1 where id = 1",
        "delete from incident where id = 2",
        "insert into incident (state, system, environment, title, room, opened_at, failed_at)
             values ('open', 'system-a', 'production', 'x', 'local:trial:system-a', now(), now())",
    ] {
        bot.db().restore().await;
        bot.db().tamper(change).await;
        let found = report(store).await;
        assert!(!found.is_sound(), "not found: {change}");
        for finding in &found.findings {
            shown += &format!("{}\n", steady(&finding.to_string()));
        }
    }
    bot.db().restore().await;
    insta::assert_snapshot!(shown, @"");
    bot.finish().await;
}

//! Incidents in the room: the real program, a real Postgres, over the public interface. Checks are turned by hand here, as
//! whoever asks them by schedule does it: state, event and incident in one transaction.

mod support;

use chrono::TimeDelta;
use countersign::incident::{Failure, Recovery, failed, recovered};
use countersign::ledger::{Report, verify};
use countersign::model::event::{Brake, Happened, Health, NewEvent, Record, Scope};
use countersign::model::id::{CheckName, IncidentId, ServiceName, SystemName, TriggerName};
use countersign::model::report::IncidentReport;
use countersign::store::Store;
use support::bot::Bot;
use support::database;
use support::until;
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
                channel: None,
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
    let plain = support::bot::plain(text);
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
    insta::assert_snapshot!(steady(&told.text), @"
    PRODUCTION · System A: Service B is not running since TIME (check running, 2 results).
    INC-1 opened. Say `what happened`, `status`, or `start service b`.
    ");
    turn(store, "service-b", "answers", Health::Critical, "no answer").await;
    let told = bot.hear("belongs to INC-1").await;
    insta::assert_snapshot!(steady(&told.text), @"Service B: check answers is critical since TIME: no answer (2 results). It belongs to INC-1.");

    let late = bot.say("lin", "what happened").await.done();
    insta::assert_snapshot!(late.plain(), @"
    PRODUCTION · System A: INC-1: service-b is not well since TIME (check running).
    Nothing was tried yet.
    Now: open for LASTED. Nobody has said `ack` yet. Next: `start service b`, `ack`, or `resolve` when it is over.
    ");
    let ack = bot.say("mei", "ack").await.done();
    insta::assert_snapshot!(ack.plain(), @"mei takes care of INC-1.");
    insta::assert_snapshot!(bot.say("mei", "ack inc 1").await.done().plain(), @"You take care of INC-1 already, since TIME.");

    let asked = bot.say("mei", "start service b").await.waiting();
    bot.db().tamper("update run set incident = 1").await;
    insta::assert_snapshot!(bot.say("lin", "what happened?").await.done().plain(), @"
    PRODUCTION · System A: INC-1: service-b is not well since TIME (check running).
    Tried: start service-b, asked by mei at TIME, waits for approval (CODE).
    Now: open for LASTED. mei takes care of it since TIME. CODE waits for boss or lin: `approved` or `deny because …`.
    ");
    insta::assert_snapshot!(bot.say("mei", "status").await.done().plain(), @"
    PRODUCTION · System A
    Service B: not checked by itself: ask `is service b ok`.
    Service C: not checked by itself: ask `is service c ok`.
    INC-1 open LASTED, mei takes care   service-b is not well
    CODE waits for boss or lin until TIME   start service-b
    ");
    bot.say("boss", "approved").thread(asked.thread()).await.done();
    insta::assert_snapshot!(bot.say("boss", "note the disk\u{202e} was full").await.done().plain(), @"Noted on INC-1.");

    let denied = bot.say("lin", "resolve").await.refused();
    insta::assert_snapshot!(denied.plain(), @"lin, you may not resolve INC-1 on System A. boss or mei may.");
    turn(store, "service-b", "running", Health::Ok, "RUNNING").await;
    let told = bot.hear("fine again").await;
    insta::assert_snapshot!(steady(&told.text), @"Service B is fine again after LASTED. INC-1 stays open until `resolve`.");
    insta::assert_snapshot!(bot.say("lin", "what happened inc-1").await.done().plain(), @"
    PRODUCTION · System A: INC-1: service-b is not well, from TIME for LASTED (check running).
    Tried: start service-b, asked by mei at TIME, approved by boss, done in LASTED.
    Now: well again since TIME; it stays open until `resolve`. mei takes care of it since TIME.
    ");
    let resolved = bot.say("mei", "resolve").await.done();
    insta::assert_snapshot!(steady(&resolved.text()), @"INC-1 resolved LASTED after it was opened. Asked 2 people, waited LASTED for approval. `report` has the whole record. Ledger N · DIGEST");
    insta::assert_snapshot!(bot.say("boss", "resolve 1").await.refused().plain(), @"INC-1 is resolved already: mei said so at TIME. `reopen INC-1` opens it again.");
    insta::assert_snapshot!(bot.say("boss", "resolve").await.refused().plain(), @"No incident is open here. Name one, as `resolve INC-7`; `incidents` lists them.");
    insta::assert_snapshot!(bot.say("lin", "what happened").await.done().plain(), @"
    PRODUCTION · System A: INC-1: service-b is not well, from TIME for LASTED (check running).
    Tried: start service-b, asked by mei at TIME, approved by boss, done in LASTED.
    Now: resolved by mei at TIME. `report INC-1` has the whole record; `reopen INC-1` if it is not over.
    ");
    insta::assert_snapshot!(bot.say("lin", "report").await.done().plain(), @"
    PRODUCTION · System A: INC-1: service-b is not well, from TIME for LASTED (check running).
    Tried: start service-b, asked by mei at TIME, approved by boss, done in LASTED.
    Now: resolved by mei at TIME. `report INC-1` has the whole record; `reopen INC-1` if it is not over.
    The whole record: `countersign report INC-1`, or /incidents/1 on the page.
    ");
    insta::assert_snapshot!(bot.say("lin", "incidents").await.done().plain(), @"
    No incident is open here.
    INC-1 resolved by mei at TIME   service-b is not well
    ");
    insta::assert_snapshot!(bot.say("mei", "reopen because it is slow again").await.done().plain(), @"mei reopened INC-1: it is slow again. Say `what happened` for its story.");
    insta::assert_snapshot!(bot.say("mei", "reopen").await.refused().plain(), @"INC-1 is open and needs no reopening. `what happened INC-1` tells where it stands.");
    bot.say("mei", "resolve because: done").await.done();
    bot.finish().await;
}

#[tokio::test]
async fn two_at_once_and_a_restart() {
    let mut bot = Bot::start(catalog()).await;
    turn(&bot.db().store, "service-b", "running", Health::Critical, "").await;
    bot.hear("INC-1 opened").await;
    let opened = bot.say("mei", "open incident System A: checkout is\tslow").await.done();
    insta::assert_snapshot!(opened.plain(), @r#"
    PRODUCTION · System A: mei opened INC-2: checkout is\tslow.
    Say `ack` to take care of it, `note …` for its record, `resolve` when it is over.
    "#);
    for text in ["resolve", "ack", "note hello", "report"] {
        let which = bot.say("mei", text).await.refused();
        assert!(which.text().starts_with("2 incidents are open here. Say which: "), "{text}: {}", which.text());
    }
    insta::assert_snapshot!(bot.say("mei", "ack").await.refused().plain(), @r#"2 incidents are open here. Say which: `ack INC-1` (service-b) or `ack INC-2` (checkout is\tslow)."#);
    insta::assert_snapshot!(bot.say("mei", "what happened").await.done().plain(), @r#"
    PRODUCTION · System A: INC-1: service-b is not well since TIME (check running).
    Nothing was tried yet.
    Now: open for LASTED. Nobody has said `ack` yet. Next: `start service b`, `ack`, or `resolve` when it is over.

    PRODUCTION · System A: INC-2: checkout is\tslow since TIME (opened by mei).
    Nothing was tried yet.
    Now: open for LASTED. Nobody has said `ack` yet. Next: `ack`, `note …`, or `resolve` when it is over.
    "#);
    bot.kill().await;
    bot.restart().await;
    insta::assert_snapshot!(bot.say("mei", "ack 2").await.done().plain(), @"mei takes care of INC-2.");
    insta::assert_snapshot!(bot.say("mei", "resolve #2 because the cache is warm").await.done().plain(), @"INC-2 resolved LASTED after it was opened: the cache is warm. Nobody was asked to approve. `report` has the whole record. Ledger N · DIGEST");
    insta::assert_snapshot!(bot.say("mei", "incidents").await.done().plain(), @r#"
    INC-1 open LASTED   service-b is not well
    INC-2 resolved by mei at TIME   checkout is\tslow
    "#);
    // Two people at once: one outcome, and the truth for both.
    let (one, other) =
        tokio::join!(async { bot.say("mei", "resolve").await }, async { bot.say("boss", "resolve").await });
    let texts = [one.text(), other.text()];
    let resolved = texts.iter().filter(|text| text.contains("INC-1 resolved ")).count();
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
    insta::assert_snapshot!(steady(&told.text), @"PRODUCTION · System A: Service C: nobody knows since TIME (check running could not be asked: no such program). Nothing is started for it.");
    let status = bot.say("mei", "status?").await.done();
    insta::assert_snapshot!(status.plain(), @"
    PRODUCTION · System A
    Service B: not checked by itself: ask `is service b ok`.
    Service C: not checked by itself: ask `is service c ok`.
    No incident is open here.
    ");
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
    insta::assert_snapshot!(failing.plain(), @"INC-1 stays open: service-b still fails (check running since TIME). If it is over all the same: `resolve INC-1 because …`.");
    bot.say("mei", "resolve because it is a drill").await.done();
    bot.finish().await;
}

/// What a browser, a reader of Markdown, a terminal or a chat would take for its own.
const TRICKS: &str = "<script>alert(1)</script> **bold** [x](javascript:x) | cell ![i](https://evil.example/p.png) <!channel> @here \u{202e}www.evil.example";

#[tokio::test]
async fn the_report_is_the_whole_record() {
    let bot = Bot::start(catalog()).await;
    let store = &bot.db().store;
    turn(store, "service-b", "running", Health::Critical, TRICKS).await;
    bot.hear("INC-1 opened").await;
    bot.say("mei", "is anybody looking at this").await.done();
    bot.say("mei", "ack").await.done();
    bot.say("boss", "I see it too").message_id("boss-1").await.done();
    let asked = bot.say("mei", "start service b").await.waiting();
    bot.db().tamper("update run set incident = 1").await;
    bot.say("boss", "approved").thread(asked.thread()).await.done();
    bot.say("mei", &format!("note {TRICKS}")).await.done();
    turn(store, "service-b", "running", Health::Ok, "RUNNING").await;
    bot.hear("fine again").await;
    bot.say("mei", &format!("resolve because {TRICKS}")).await.done();
    bot.edit("boss", "boss-1", Some("I saw it")).await;
    bot.edit("boss", "boss-1", None).await;
    bot.say("mei", "nothing to do with it").await.done();
    bot.rest().await;

    let make = async |arguments: &[&str]| {
        let url = bot.db().url().to_owned();
        let mut all = vec!["report", "--database", &url];
        all.extend(arguments);
        let output = bot.command(&all).output().await.expect("it runs");
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), String::from_utf8(output.stdout).expect("text"), complaint)
    };
    let (code, markdown, complaint) = make(&["INC-1"]).await;
    assert_eq!(code, Some(0), "{complaint}");
    for wanted in [
        "# PRODUCTION · system-a · INC-1",
        "- **State**: resolved",
        "Asked 2 people, waited ",
        "### Run 1: start service-b",
        "1 ! run ",
        "boss answered approve to ",
        "start ok",
        "said: is anybody looking at this",
        "said: I see it too",
        "changed message boss-1 to: I saw it",
        "deleted message boss-1",
        "takes care of INC-1",
        "The ledger is sound up to ",
    ] {
        assert!(markdown.contains(wanted), "`{wanted}` is not in\n{markdown}");
    }
    assert!(!markdown.contains("nothing to do with it"), "what is said after the end does not belong to it");
    for trick in
        ["<script", "**bold**", " [x](", "<!channel", "@here", "\u{202e}", "https://evil", "www.evil", " | cell"]
    {
        assert!(!markdown.contains(trick), "`{trick}` stands in\n{markdown}");
    }

    let (_, page, _) = make(&["1", "--format", "html"]).await;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    for trick in ["<script", "<img", "href=", "src=", "\u{202e}", "<!channel"] {
        assert!(!page.contains(trick), "`{trick}` stands in the page");
    }

    let (_, json, _) = make(&["--format", "json"]).await;
    let report: IncidentReport = serde_json::from_str(&json).expect("it reads back");
    assert_eq!((report.version, report.state.as_str(), report.runs.len()), (1, "resolved", 1));
    assert_eq!(report.runs[0].attempts.len(), 2);
    assert_eq!(report.runs[0].attempts[0].output, ["start ok"]);
    assert_eq!((report.checks.len(), report.summary.impact.len(), report.summary.asked), (2, 1, Some(2)));
    assert!(report.timeline.is_sorted_by_key(|row| row.position), "in the order of the ledger");

    // The same incident at the same head is the same report, whoever makes it.
    for format in ["md", "html", "json"] {
        let (_, first, _) = make(&["1", "--format", format]).await;
        let (_, second, _) = make(&["1", "--format", format]).await;
        let file = bot.side(&format!("report.{format}"));
        let url = bot.url();
        let path = file.display().to_string();
        let arguments = ["report", "INC-1", "--server", &url, "--format", format, "--out", &path];
        let output = bot.command(&arguments).env("COUNTERSIGN_DATA", bot.data()).output().await.expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let asked = std::fs::read_to_string(&file).expect("it was written");
        assert!(first == second && first == asked, "{format} differs");
    }

    let (code, _, complaint) = make(&["INC-9"]).await;
    assert_eq!((code, complaint.trim()), (Some(1), "countersign: the ledger tells of no INC-9"));
    // A ledger that was changed by other hands is told, in the report and by the exit code.
    bot.db().keep().await;
    bot.db().tamper("update incident set title = 'nothing' where id = 1").await;
    let (code, markdown, complaint) = make(&["INC-1"]).await;
    assert_eq!(code, Some(1));
    assert!(complaint.contains("the ledger is not sound"), "{complaint}");
    assert!(markdown.contains("The ledger is NOT sound up to "), "{markdown}");
    bot.db().restore().await;
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
        // Which number it has is nobody's matter: whoever comes second may have used one up.
        assert!(one.is_some() && one == other, "round {round}: {one:?}, {other:?}");
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
    insta::assert_snapshot!(shown, @"
    incident/2 has nothing in `mitigated_at`; position 12 (event 12) says `TIME`
    incident/2 has `open` in `state`; position 12 (event 12) says `mitigated`.
    incident/2 has `9` in `version`; position 12 (event 12) says `2`.
    incident/1 has `nothing` in `title`; position 4 (event 4) says `service-b is not well`.
    incident/1 has nothing in `service`; position 4 (event 4) says `service-b`.
    incident/1 has `system-z` in `system`; position 4 (event 4) says `system-a`.
    incident/1 has `scratch` in `environment`; position 4 (event 4) says `production`.
    incident/1 has `local:trial:system-z` in `room`; position 4 (event 4) says `local:trial:system-a`.
    incident/1 has `TIME` in `opened_at`; position 4 (event 4) says `TIME`
    incident/1 has `lin` in `opened_by`; position 4 (event 4) says nothing.
    incident/2 has `TIME` in `failed_at`; position 12 (event 12) says `TIME`
    incident/1 has `lin` in `acknowledged_by`; position 10 (event 10) says `mei`.
    incident/1 has nothing in `acknowledged_at`; position 10 (event 10) says `TIME`
    incident/2 has `TIME` in `mitigated_at`; position 12 (event 12) says `TIME`
    incident/1 has `boss` in `resolved_by`; position 10 (event 10) says `mei`.
    incident/1 has `TIME` in `resolved_at`; position 10 (event 10) says `TIME`
    incident/1 has nothing in `resolved_why`; position 10 (event 10) says `it is a drill`.
    incident/1 has `1` in `cause`; position 4 (event 4) says nothing.
    incident/2 is missing from its table; position 12 (event 12) tells of it.
    incident/3 stands in its table, and no event tells of it.
    incident/3 stands in its table without the `incident_opened` event that would tell of it.
    ");
    bot.finish().await;
}

/// What is open cannot be meant by `reopen`.
#[tokio::test]
async fn reopen_lists_what_is_resolved_newest_first() {
    let bot = Bot::start(catalog()).await;
    for title in ["one", "two", "three", "four"] {
        bot.say("mei", &format!("open incident {title}")).await.done();
    }
    insta::assert_snapshot!(bot.say("mei", "reopen").await.refused().plain(), @r#"
    No incident here is resolved, so there is nothing to reopen. `incidents` lists those that are open.
    "#);
    bot.say("mei", "resolve INC-1").await.done();
    insta::assert_snapshot!(bot.say("mei", "reopen").await.refused().plain(), @r#"
    An incident is open here already, so say which you mean: `reopen INC-1` (one).
    "#);
    bot.say("mei", "resolve INC-3").await.done();
    insta::assert_snapshot!(bot.say("mei", "reopen").await.refused().plain(), @r#"
    Say which, the newest first: `reopen INC-3` (three) or `reopen INC-1` (one). `incidents` lists more.
    "#);
    insta::assert_snapshot!(bot.say("mei", "reopen INC-3").await.done().plain(), @r#"
    mei reopened INC-3. Say `what happened` for its story.
    "#);
    bot.rest().await;
    bot.finish().await;
}

const SHADOW: &str = r#"trigger: service-c-down
owner: mei
on: {check: "system-a/service-c/running", becomes: critical}
run: start-service
with: {service: "{{ service }}"}
mode: shadow
"#;

/// A system whose service C is asked by itself, so that a trigger may listen.
fn watched() -> String {
    let paused = SYSTEM.replace("may_resolve:", "may_pause: [group:support]\nmay_resolve:");
    let (before, after) = paused.split_once("  service-c:").expect("it has service C");
    format!("{before}  service-c:{}", after.replace("[/bin/true]", "[/bin/true], every: 1h"))
}

/// A brake holds the trigger, with the event that says so.
async fn held(store: &Store, by: Brake, why: &str) {
    let (trigger, service) = (TriggerName::new("service-c-down"), ServiceName::new("service-c"));
    let mut tx = store.begin().await.expect("a transaction");
    let mut brake = tx.lock_brake(&trigger, &service).await.expect("brakes");
    let why = why.to_owned();
    (brake.held_by, brake.held_since, brake.held_why) = (Some(by), Some(tx.now()), Some(why.clone()));
    tx.put_brake(&brake).await.expect("written");
    let scope = Scope { system: Some(SystemName::new("system-a")), ..Scope::default() };
    let what = Happened::TriggerHeld { trigger, service, by, why, until: None };
    tx.record(NewEvent { scope, cause: None, record: Record { what, rows: Vec::new() } });
    tx.commit().await.expect("it commits");
}

/// Somebody who comes late learns what keeps automation back, and is offered nothing that is done or gone.
#[tokio::test]
async fn what_happened_tells_of_brakes_and_of_what_is_gone() {
    let world = catalog().file("system-a.yaml", &watched()).file("service-c-down.yaml", SHADOW);
    let bot = Bot::start(world).await;
    let store = &bot.db().store;
    until("it is known", async || {
        (bot.db().number("select count(*) from check_state where hard = 'ok'").await == 1).then_some(())
    })
    .await;
    turn(store, "service-c", "running", Health::Critical, "STOPPED").await;
    bot.hear("INC-1 opened").await;
    held(store, Brake::AtMost, "3 runs within 10 min is its limit").await;
    bot.hear("has stopped itself").await;
    insta::assert_snapshot!(bot.say("lin", "what happened").await.done().plain(), @r#"
    PRODUCTION · System A: INC-1: service-c is not well since TIME (check running).
    Nothing was tried yet.
    Now: open for LASTED. Nobody has said `ack` yet. service-c-down has stopped itself (3 runs within 10 min is its limit): `resume service-c-down` lets it go on. Next: `start service c`, `ack`, or `resolve` when it is over.
    "#);
    bot.say("mei", "ack").await.done();
    bot.say("mei", "pause").await.done();
    insta::assert_snapshot!(bot.say("lin", "what happened").await.done().plain(), @r#"
    PRODUCTION · System A: INC-1: service-c is not well since TIME (check running).
    Nothing was tried yet.
    Now: open for LASTED. mei takes care of it since TIME. Automation is paused by mei: `resume` lets it go on. service-c-down has stopped itself (3 runs within 10 min is its limit): `resume service-c-down` lets it go on. Next: `start service c`, or `resolve` when it is over.
    "#);
    // `resume` takes back the pause, and no brake.
    insta::assert_snapshot!(bot.say("mei", "resume").await.done().plain(), @r#"
    service-c-down is still held for service-c. Say `resume service-c-down` to let it go on.
    mei lets automation go on.
    "#);
    insta::assert_snapshot!(bot.say("mei", "resume").await.refused().plain(), @r#"
    Nothing is paused. service-c-down is still held for service-c. Say `resume service-c-down` to let it go on.
    "#);
    assert!(bot.say("mei", "status").await.done().text().contains("`resume service-c-down` lets it go on."));
    insta::assert_snapshot!(bot.say("mei", "resume service-d-down").await.refused().plain(), @r#"
    No trigger is called "service-d-down". Did you mean service-c-down?
    "#);

    // The trigger and its service leave the catalog.
    std::fs::remove_file(bot.catalog("service-c-down.yaml")).expect("it is there");
    let watched = watched();
    let (without, _) = watched.split_once("  service-c:").expect("it has service C");
    bot.rewrite("system-a.yaml", without);
    until("it is forgotten", async || (bot.db().number("select count(*) from check_state").await == 0).then_some(()))
        .await;
    insta::assert_snapshot!(bot.say("lin", "what happened").await.done().plain(), @r#"
    PRODUCTION · System A: INC-1: service-c is not well, seen at TIME (check running).
    Nothing was tried yet.
    Now: open for LASTED. The catalog does not have that check any more, so nobody knows how it is. mei takes care of it since TIME. Next: `note …`, or `resolve` when it is over.
    "#);
    let status = bot.say("mei", "status").await.done();
    assert!(!status.text().contains("service-c-down"), "{}", status.text());
    insta::assert_snapshot!(bot.say("mei", "resume service-c-down").await.refused().plain(), @r#"
    No trigger is called "service-c-down". The catalog has none. `resume` alone lets automation go on.
    "#);
    bot.rest().await;
    bot.finish().await;
}

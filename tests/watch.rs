//! It notices, it recovers by itself, it stops itself: the real program, a real Postgres, services that a test breaks.

mod support;

use countersign::model::id::RunId;
use support::bot::{Bot, plain};
use support::until;
use support::world::{Catalog, ROOM};

/// A system with a service that a test breaks and heals by a file, asked every second. The second failure in a row
/// makes it certain: one answer that takes too long is nothing.
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

const STARTS: &str = "automatic: [{trigger: service-down, runbook: start-service, at_most: {runs: 20, per: 1h}}]\n";

const LOOSE: &str = "{cooldown: 1s, at_most: {runs: 20, per: 1h}, flapping: {changes: 100, per: 1h}}";

fn world(mode: &str, brakes: &str) -> Catalog {
    let automatic = if mode == "auto" { STARTS } else { "" };
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

/// How many messages with these words ping somebody.
async fn pings(bot: &Bot, words: &str) -> usize {
    let mut db = bot.db().connection().await;
    let sql = "select message from outbox where message like '%\"ping\":[\"%' or message like '%\"ping\":[{%'";
    let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut db).await.expect("the messages");
    found.iter().filter(|message| message.contains(words)).count()
}

async fn runs(bot: &Bot) -> i64 {
    bot.db().number("select count(*) from run where trigger is not null").await
}

/// The first failure, as it reads from beginning to end; the service heals itself by the run.
#[tokio::test]
async fn i12_a_failure_is_noticed_and_recovered_with_nobody_woken() {
    let bot = Bot::start(world("auto", LOOSE)).await;
    more_probes(&bot, 1).await;
    break_it(&bot, 2);
    bot.hear("Service B is fine again").await;
    bot.until_run(RunId(1), "succeeded").await;
    bot.quiet().await;
    let told = bot.history(ROOM, "mei").await;
    assert_eq!(pings(&bot, "").await, 0, "somebody was woken");
    // What was edited counts as it stands in the end.
    let mut said: Vec<(String, String)> = Vec::new();
    for told in &told {
        let (id, text) = (told.id.as_str().to_owned(), plain(&told.text));
        match said.iter_mut().find(|(known, _)| *known == id) {
            Some((_, old)) => *old = text,
            None => said.push((id, text)),
        }
    }
    let said: Vec<&str> = said.iter().map(|(_, text)| text.split(" after ").next().unwrap_or_default()).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    PRODUCTION · System A: Service B is not running since TIME (check running, 2 of 2).
    INC-1 opened. Say `what happened`, `status`, or `start service b`.
    Recovering: start service-b, by service-down. Ledger N · DIGEST
    1 done    run    ./step.sh service-b heal   LASTED   service-b healed
    Service B is fine again
    ");
    assert_eq!(bot.effects(), ["service-b"]);
    // One incident, and everything of the run stands in its record.
    assert_eq!(bot.db().number("select count(*) from incident").await, 1);
    let outside = "select count(*) from event where run = 1 and incident is distinct from 1";
    assert_eq!(bot.db().number(outside).await, 0);
    bot.rest().await;
    bot.finish().await;
}

/// Breaks the service and waits until it was recovered so many times.
async fn recovered(bot: &Bot, times: i64) {
    break_it(bot, 2);
    until("it is recovered", async || {
        let sql = "select count(*) from run where trigger is not null and state = 'succeeded'";
        (bot.db().number(sql).await >= times && !bot.side("health-service-b").exists()).then_some(())
    })
    .await;
    until("it is known to be well", async || {
        (bot.db().number("select count(*) from check_state where hard = 'ok'").await == 1).then_some(())
    })
    .await;
}

/// Killed again and again: so many runs and no more; said once, by name; a person lets it go on.
#[tokio::test]
async fn i12_killed_again_and_again_it_stops_itself_and_says_so_once() {
    let bot = Bot::start(world("auto", "{cooldown: 1s, at_most: {runs: 2, per: 1h}}")).await;
    more_probes(&bot, 1).await;
    recovered(&bot, 1).await;
    recovered(&bot, 2).await;
    break_it(&bot, 2);
    let held = bot.hear("has stopped itself").await;
    insta::assert_snapshot!(plain(&held.text), @"PRODUCTION · service-down has stopped itself for service-b: 2 runs within 1 h is its limit. mei, boss or lin: say `start service-b` to do it by hand, `resume service-down` to let it go on.");
    assert_eq!(pings(&bot, "has stopped itself").await, 1, "a person has to act");
    more_probes(&bot, 3).await;
    let again = bot.rest().await;
    assert!(!again.contains("has stopped itself"), "said twice:\n{again}");
    assert_eq!(runs(&bot).await, 2);

    let refused = bot.say("mei", "resume service-down").await.refused();
    insta::assert_snapshot!(refused.plain(), @"mei, you may not resume automation. Ask boss or lin.");
    let released = bot.say("boss", "resume service-down").await.done();
    insta::assert_snapshot!(released.plain(), @"boss lets service-down go on for service-b. Its counts begin anew.");
    bot.hear("Service B is fine again").await;
    assert_eq!(runs(&bot).await, 3);
    bot.until_run(RunId(3), "succeeded").await;
    bot.rest().await;
    bot.finish().await;
}

/// Beyond what its policy lets it start people are asked, whatever its own brakes let pass, and they read why.
#[tokio::test]
async fn i12_beyond_the_bound_of_its_policy_people_are_asked() {
    let once = STARTS.replace("runs: 20", "runs: 1");
    let bot = Bot::start(world("auto", LOOSE).file("managers.yaml", &policy(&once))).await;
    more_probes(&bot, 1).await;
    recovered(&bot, 1).await;
    break_it(&bot, 2);
    let asked = bot.hear("asks: start service-b").await;
    assert!(
        plain(&asked.text).contains(
            "You are asked because service-down has started start-service 1 time within 1 h by itself, and policy managers \
             lets it start no more."
        ),
        "{}",
        asked.text
    );
    bot.until_run(RunId(2), "awaiting_approval").await;
    // What a person agrees to is not counted: the window still holds the one.
    bot.say("boss", "approved").thread(asked.id.as_str()).await.done();
    bot.until_run(RunId(2), "succeeded").await;
    // Twice it failed and twice it is told that it is over: once for each.
    bot.hear("Service B is fine again").await;
    bot.hear("Service B is fine again").await;
    let timeline: Vec<String> = {
        let mut db = bot.db().connection().await;
        let sql = "select convert_from(body, 'UTF8') from event_body b join event e on e.id = b.event where e.kind = 'trigger_fired' order by e.id";
        sqlx::query_scalar(sql).fetch_all(&mut db).await.expect("the events")
    };
    assert!(!timeline[0].contains("You are asked") && timeline[1].contains("You are asked"), "{timeline:?}");
    bot.rest().await;
    bot.finish().await;
}

/// A run that does not help is the last one.
#[tokio::test]
async fn i12_a_run_that_fails_is_told_and_is_the_last_one() {
    let bot = Bot::start(world("auto", LOOSE).file("start-service.yaml", BROKEN_START)).await;
    more_probes(&bot, 1).await;
    break_it(&bot, 2);
    let failed = bot.hear("failed at step 1").await;
    insta::assert_snapshot!(plain(&failed.text), @"PRODUCTION · start service-b, started by service-down, failed at step 1 (Start): exit 3: service-b broke. mei, boss or lin: please look. Ledger N · DIGEST");
    assert_eq!(pings(&bot, "failed at step 1").await, 1, "a person has to act");
    let held = bot.hear("has stopped itself").await;
    insta::assert_snapshot!(plain(&held.text), @"PRODUCTION · service-down has stopped itself for service-b: its last run failed. mei, boss or lin: say `start service-b` to do it by hand, `resume service-down` to let it go on.");
    assert_eq!(pings(&bot, "has stopped itself").await, 0, "they were woken a moment ago");
    more_probes(&bot, 3).await;
    assert_eq!(runs(&bot).await, 1);
    heal(&bot);
    bot.hear("Service B is fine again").await;
    bot.rest().await;
    bot.finish().await;
}

/// I11: what the row says of a trigger is held against the ledger.
#[tokio::test]
async fn i11_an_automatic_run_whose_row_was_changed_is_found() {
    let bot = Bot::start(world("auto", LOOSE)).await;
    more_probes(&bot, 1).await;
    recovered(&bot, 1).await;
    bot.quiet().await;
    bot.check_ledger().await;
    for (sql, back) in [
        ("update run set trigger = null", "update run set trigger = 'service-down'"),
        ("update run set trigger = 'another'", "update run set trigger = 'service-down'"),
        ("update run set incident = null", "update run set incident = 1"),
        ("update run_grant set state = 'granted'", "update run_grant set state = 'used'"),
    ] {
        bot.db().tamper(sql).await;
        let report = countersign::ledger::verify(&bot.db().store, &[]).await.expect("it can be verified");
        assert!(!report.is_sound(), "{sql}:\n{report}");
        bot.db().tamper(back).await;
    }
    bot.rest().await;
    bot.finish().await;
}

/// `pause` stops all of it; `resume` lets it go on, also for what failed meanwhile.
#[tokio::test]
async fn i12_paused_means_that_nothing_starts() {
    let bot = Bot::start(world("auto", LOOSE)).await;
    more_probes(&bot, 1).await;
    let refused = bot.say("mei", "pause").await.refused();
    insta::assert_snapshot!(refused.plain(), @"mei, you may not pause automation. Ask boss or lin.");
    let paused = bot.say("boss", "pause because we move the racks").await.done();
    insta::assert_snapshot!(paused.plain(), @"boss has paused all automation: we move the racks. Checks go on, nothing starts by itself. `resume` lets it go on.");
    bot.say("boss", "pause").await.refused();
    break_it(&bot, 2);
    let held = bot.hear("service-down does nothing").await;
    insta::assert_snapshot!(plain(&held.text), @"service-down does nothing about service-b: automation is paused by boss. `resume` lets it go on.");
    more_probes(&bot, 3).await;
    assert_eq!(runs(&bot).await, 0);
    let resumed = bot.say("boss", "resume").await.done();
    insta::assert_snapshot!(resumed.plain(), @"boss lets automation go on.");
    bot.hear("Service B is fine again").await;
    bot.until_run(RunId(1), "succeeded").await;
    let nothing = bot.say("boss", "resume").await.refused();
    insta::assert_snapshot!(nothing.plain(), @"Nothing is paused, and no trigger of this room has stopped itself.");
    bot.rest().await;
    bot.finish().await;
}

/// Paused while a run that started by itself is in a step: that step is not torn apart, and nothing is begun after it.
#[tokio::test]
async fn i12_paused_in_the_middle_of_a_run_no_further_change_begins() {
    let steps = "steps:\n  - name: Drain\n    run: {command: [./step.sh, drain, wait]}\n  - name: Start\n    run: {command: [./step.sh, start, ok]}\n";
    let (head, _) = START.split_once("steps:").expect("steps");
    let world = world("auto", LOOSE).file("start-service.yaml", &format!("{head}{steps}"));
    let bot = Bot::start(world).await;
    more_probes(&bot, 1).await;
    break_it(&bot, 2);
    bot.until_effect("drain", 1).await;
    let paused = bot.say("boss", "pause").await.done();
    insta::assert_snapshot!(paused.plain(), @r#"
    Run 1, which started by itself, begins no further change after the step under way. `stop run 1` ends it at once.
    boss has paused all automation. Checks go on, nothing starts by itself. `resume` lets it go on.
    "#);
    bot.release("drain");
    bot.until_run(RunId(1), "failed").await;
    assert_eq!(bot.effects(), ["drain"], "a further step was started");
    let told = bot.hear("failed at step 2").await;
    insta::assert_snapshot!(plain(&told.text), @r#"PRODUCTION · start service-b, started by service-down, failed at step 2 (Start): boss has paused all automation. mei, boss or lin: please look. Ledger N · DIGEST"#);
    bot.say("boss", "resume").await.done();
    // A recovery that was cut short is not repeated before somebody has looked.
    bot.hear("has stopped itself").await;
    assert_eq!(runs(&bot).await, 1);
    bot.rest().await;
    bot.finish().await;
}

/// A program that says a NUL is believed all the same.
#[tokio::test]
async fn i12_whatever_a_check_says_its_result_is_taken() {
    let nul = SYSTEM.replace("[./step.sh, service-b, probe]", r#"[printf, "x\\0y"]"#);
    let bot = Bot::start(world("auto", LOOSE).file("system-a.yaml", &nul)).await;
    let known = "select count(*) from check_state where hard = 'ok'";
    until("its result is taken", async || (bot.db().number(known).await == 1).then_some(())).await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i12_a_shadow_only_says_what_it_would_have_done() {
    let bot = Bot::start(world("shadow", LOOSE)).await;
    more_probes(&bot, 1).await;
    break_it(&bot, 2);
    let told = bot.hear("only watches").await;
    insta::assert_snapshot!(plain(&told.text), @"service-down only watches (shadow): it would have said `start service-b`. Nothing was done.");
    more_probes(&bot, 2).await;
    assert_eq!(bot.db().number("select count(*) from run").await, 0);
    assert_eq!(bot.effects(), [""; 0]);
    heal(&bot);
    bot.hear("Service B is fine again").await;
    bot.rest().await;
    bot.finish().await;
}

/// I7: whoever answers for the trigger counts as having asked.
#[tokio::test]
async fn i7_a_trigger_that_asks_waits_for_somebody_other_than_its_owner() {
    let world =
        world("ask", LOOSE).file("service-down.yaml", &trigger("ask", LOOSE).replace("owner: mei", "owner: boss"));
    let bot = Bot::start(world).await;
    more_probes(&bot, 1).await;
    break_it(&bot, 2);
    let request = bot.hear("asks: start service-b").await;
    let first = plain(&request.text).lines().next().unwrap_or_default().to_owned();
    insta::assert_snapshot!(first, @"PRODUCTION · trigger service-down (of boss) asks: start service-b on HOST · 1 change, no undo · until TIME · CODE");
    more_probes(&bot, 2).await;
    assert_eq!(bot.effects(), [""; 0], "nobody has agreed");
    let own = bot.say("boss", "approved").thread(request.id.as_str()).await.refused();
    insta::assert_snapshot!(own.plain(), @"boss, it is your own request: someone else must approve. Asked: lin.");
    bot.say("lin", "approved").thread(request.id.as_str()).await.done();
    bot.hear("Service B is fine again").await;
    assert_eq!(runs(&bot).await, 1);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i12_a_check_that_cannot_run_triggers_nothing_and_is_never_called_healthy() {
    let bot = Bot::start(world("auto", LOOSE)).await;
    more_probes(&bot, 1).await;
    break_it(&bot, 127);
    until("it is unknown", async || {
        (bot.db().number("select count(*) from check_state where hard = 'unknown'").await == 1).then_some(())
    })
    .await;
    more_probes(&bot, 2).await;
    assert_eq!(bot.db().number("select count(*) from run").await, 0);
    assert_eq!(bot.db().number("select count(*) from incident").await, 0);
    let said = bot.rest().await;
    assert!(!said.contains("fine") && !said.contains("healthy"), "{said}");
    bot.finish().await;
}

/// A person who asks for the same while it fails: their run belongs to the incident, and the trigger waits for it.
#[tokio::test]
async fn i12_a_person_who_is_at_it_is_not_disturbed() {
    let bot = Bot::start(world("auto", LOOSE)).await;
    more_probes(&bot, 1).await;
    let asked = bot.say("mei", "start service b").await.waiting();
    break_it(&bot, 2);
    bot.hear("INC-1 opened").await;
    more_probes(&bot, 3).await;
    assert_eq!(runs(&bot).await, 0, "a person is at it");
    bot.say("boss", "approved").thread(asked.thread()).await.done();
    bot.hear("Service B is fine again").await;
    assert_eq!(runs(&bot).await, 0);
    bot.rest().await;
    bot.finish().await;
}

/// Killed in the middle: what is known goes on, what was started is finished, nothing starts twice.
#[tokio::test]
async fn i12_killed_in_the_middle_it_goes_on_from_what_is_known() {
    let slow = START.replace("heal]", "wait]");
    let mut bot = Bot::start(world("auto", LOOSE).file("start-service.yaml", &slow)).await;
    bot.tolerate_error("the database");
    more_probes(&bot, 2).await;
    break_it(&bot, 2);
    bot.until_effect("service-b", 1).await;
    bot.kill().await;
    bot.restart().await;
    more_probes(&bot, 3).await;
    assert_eq!(runs(&bot).await, 1, "nothing starts twice");
    assert_eq!(bot.db().number("select count(*) from incident").await, 1, "one failure is one incident");
    // Its step is not idempotent: nobody saw how it ended, so a person says.
    bot.until_run(RunId(1), "stuck").await;
    bot.hear("is stuck at step 1").await;
    more_probes(&bot, 3).await;
    heal(&bot);
    bot.hear("Service B is fine again").await;
    // It fails again while nobody has judged: what keeps the trigger is said as it is.
    break_it(&bot, 2);
    let waits = bot.hear("service-down does nothing").await;
    insta::assert_snapshot!(plain(&waits.text), @"service-down does nothing about service-b: its last run is stuck: somebody must look, `judge run 1 …` says what came of it.");
    heal(&bot);
    until("it is well", async || (certain(&bot, "ok").await == 1).then_some(())).await;
    bot.say("boss", "judge run 1 worked because it answers").await.done();
    bot.until_run(RunId(1), "succeeded").await;
    more_probes(&bot, 2).await;
    assert_eq!(bot.db().number("select count(*) from brake_state where held_by is not null").await, 0);
    // It worked: nothing holds the trigger.
    break_it(&bot, 2);
    bot.until_effect("service-b", 2).await;
    heal(&bot);
    bot.release("service-b");
    bot.until_run(RunId(2), "succeeded").await;
    until("it is well", async || (certain(&bot, "ok").await == 1).then_some(())).await;
    let said = bot.rest().await;
    assert!(!said.contains("its last run failed") && !said.contains("stopped itself"), "{said}");
    bot.finish().await;
}

/// How many checks are this for certain.
async fn certain(bot: &Bot, health: &str) -> i64 {
    let mut db = bot.db().connection().await;
    let sql = "select count(*) from check_state where hard = $1";
    sqlx::query_scalar(sql).bind(health).fetch_one(&mut db).await.expect("the states")
}

/// The world without a trigger.
fn untriggered() -> Catalog {
    Catalog::made().file("system-a.yaml", SYSTEM).file("managers.yaml", &policy("")).file("start-service.yaml", START)
}

/// A check that flaps is told once, keeps its incident, and is told once more when it is steady.
#[tokio::test]
async fn a_check_that_flaps_is_told_once_and_again_when_it_is_steady() {
    let bot = Bot::start(untriggered()).await;
    more_probes(&bot, 1).await;
    for _ in 0..6 {
        break_it(&bot, 2);
        until("it fails", async || (certain(&bot, "critical").await == 1).then_some(())).await;
        heal(&bot);
        until("it is well", async || (certain(&bot, "ok").await == 1).then_some(())).await;
    }
    let told = bot.hear("flaps").await;
    insta::assert_snapshot!(plain(&told.text), @"PRODUCTION · System A: Service B: check running flaps: 11 changes in 10 min. I say no more of its turns until it is steady. INC-1 stays open until then.");
    let turns = "select count(*) from event where kind = 'check_turned'";
    assert_eq!(bot.db().number(turns).await, 11, "the first word and ten turns");
    assert_eq!(bot.db().number("select count(*) from event where kind = 'check_flaps'").await, 1);
    assert_eq!(bot.db().number("select count(*) from event where kind = 'incident_mitigated'").await, 5);
    assert_eq!(bot.db().number("select count(*) from incident where state = 'open'").await, 1, "it stays open");
    // Ten minutes later.
    bot.db()
        .tamper("update check_state set version = version + 1, turns = (select array_agg(at - interval '11 min') from unnest(turns) at)")
        .await;
    let steady = bot.hear("steady again").await;
    insta::assert_snapshot!(plain(&steady.text), @"PRODUCTION · System A: Service B: check running is steady again: ok since TIME. INC-1 stays open until `resolve`.");
    assert_eq!(bot.db().number("select count(*) from incident where state = 'mitigated'").await, 1);
    // From now on it is told as ever.
    break_it(&bot, 2);
    until("it is told", async || (bot.db().number(turns).await == 12).then_some(())).await;
    heal(&bot);
    until("it is well", async || (bot.db().number(turns).await == 13).then_some(())).await;
    bot.rest().await;
    bot.finish().await;
}

/// An incident with thousands of events: the room is told what concerns it, and the process still ends at once.
#[tokio::test]
async fn a_long_incident_does_not_silence_the_rooms() {
    let bot = Bot::start(untriggered()).await;
    more_probes(&bot, 1).await;
    break_it(&bot, 2);
    bot.hear("INC-1 opened").await;
    // Thousands of events that say nothing, and then some of which each is held against its incident.
    let mut db = bot.db().connection().await;
    sqlx::raw_sql(
        r#"
        create temp table made as
        select n, '\x00112233445566778899aabbccddeeff'::bytea as salt, convert_to(format(
            '{"what":{"kind":"check_turned","service":"service-b","check":"running","was":%s,"now":%s,%s}}',
            case when n <= 6000 then 'null' else '"ok"' end, case when n <= 6000 then '"ok"' else '"critical"' end,
            '"since":"2026-11-21T10:00:00Z","results":1,"detail":""'), 'UTF8') as body
        from generate_series(1, 6200) n;
        do $$
        declare one record; made_id bigint;
        begin
            for one in select * from made order by n loop
                insert into event (kind, schema, at, system, environment, incident, commitment)
                values ('check_turned', 1, '2026-11-21T10:00:00Z'::timestamptz + one.n * interval '1 second',
                    'system-a', 'production', 1, sha256(one.salt || one.body)) returning id into made_id;
                insert into event_body (event, salt, body) values (made_id, one.salt, one.body);
                insert into unsequenced (event) values (made_id);
            end loop;
        end $$;
        "#,
    )
    .execute(&mut db)
    .await
    .expect("events");
    heal(&bot);
    bot.hear("Service B is fine again").await;
    let story = bot.say("mei", "what happened").await;
    assert!(story.text().contains("INC-1"), "{}", story.text());
    bot.rest().await;
    bot.finish().await;
}

/// Twenty checks that hang, for as long as may be: one that answers is still asked each second.
#[tokio::test]
async fn checks_that_hang_do_not_starve_one_that_answers() {
    let hanging: String = (1..=20)
        .map(|n| {
            format!(
                "  hang-{n}:\n    title: Hang {n}\n    checks:\n      \
                 running: {{command: [./step.sh, hang-{n}, hang], every: 6s, timeout: 6s, fails_after: 9}}\n"
            )
        })
        .collect();
    let world = untriggered().file("system-a.yaml", &format!("{SYSTEM}{hanging}"));
    let bot = Bot::start(world).await;
    until("each has hung", async || {
        (bot.db().number("select count(*) from check_state where service like 'hang-%'").await == 20).then_some(())
    })
    .await;
    let before = bot.effects().len();
    more_probes(&bot, 10).await;
    // Eight places are theirs for six seconds each: some fourteen of them begin meanwhile. Were the one that answers in a
    // line with them, some sixty would.
    let hung = bot.effects().len() - before;
    assert!(hung <= 40, "{hung} that hang were asked while the one that answers was asked ten times");
    // Some hang at every moment: they are asked no more, and end.
    bot.rewrite("system-a.yaml", SYSTEM);
    bot.rest().await;
    bot.finish().await;
}

/// One row that contradicts the model: its check begins anew, the others are watched all along.
#[tokio::test]
async fn one_bad_row_does_not_stop_all_watching() {
    let two = format!(
        "{SYSTEM}  service-c:\n    title: Service C\n    checks:\n      \
         running: {{command: [./step.sh, service-c, probe], every: 1s, fails_after: 2}}\n"
    );
    let mut bot = Bot::start(untriggered().file("system-a.yaml", &two)).await;
    bot.tolerate_error("the database");
    bot.expect_error("cannot be read and counts as not known");
    until("both are known", async || (certain(&bot, "ok").await == 2).then_some(())).await;
    bot.kill().await;
    bot.db().tamper("alter table check_state drop constraint check_state_hard_check").await;
    bot.db().tamper("update check_state set hard = 'nonsense' where service = 'service-c'").await;
    bot.restart().await;
    more_probes(&bot, 4).await;
    until("both are known again", async || (certain(&bot, "ok").await == 2).then_some(())).await;
    break_it(&bot, 2);
    bot.hear("INC-1 opened").await;
    bot.rest().await;
    bot.finish().await;
}

/// A trigger that is declared while its check fails already looks at that failure.
#[tokio::test]
async fn i12_a_trigger_that_comes_late_looks_at_what_fails_already() {
    let mut bot = Bot::start(untriggered()).await;
    // Between the two files the policy names a trigger that is not there yet.
    bot.tolerate_error("the catalog is not loaded");
    more_probes(&bot, 1).await;
    break_it(&bot, 2);
    bot.hear("INC-1 opened").await;
    bot.rewrite("managers.yaml", &policy(STARTS));
    bot.rewrite("service-down.yaml", &trigger("auto", LOOSE));
    bot.hear("Service B is fine again").await;
    bot.until_run(RunId(1), "succeeded").await;
    more_probes(&bot, 2).await;
    assert_eq!(runs(&bot).await, 1, "once");
    bot.rest().await;
    bot.finish().await;
}

/// Two services fail at once: one run by itself at a time.
#[tokio::test]
async fn i12_of_a_system_one_run_at_a_time_starts_by_itself() {
    let two = format!(
        "{SYSTEM}  service-c:\n    title: Service C\n    checks:\n      \
         running: {{command: [./step.sh, service-c, probe], every: 1s, fails_after: 2}}\n"
    );
    let slow = START.replace("heal]", "wait]");
    let world = world("auto", LOOSE).file("system-a.yaml", &two).file("start-service.yaml", &slow);
    let bot = Bot::start(world).await;
    until("both are known", async || (certain(&bot, "ok").await == 2).then_some(())).await;
    break_it(&bot, 2);
    std::fs::write(bot.side("health-service-c"), "2").expect("a file");
    until("both fail", async || (certain(&bot, "critical").await == 2).then_some(())).await;
    until("one begins", async || (!bot.effects().is_empty()).then_some(())).await;
    more_probes(&bot, 6).await;
    assert_eq!(runs(&bot).await, 1);
    let first = bot.effects()[0].clone();
    std::fs::remove_file(bot.side(&format!("health-{first}"))).expect("it was broken");
    bot.release(&first);
    until("the other begins", async || (bot.effects().len() == 2).then_some(())).await;
    let second = bot.effects()[1].clone();
    assert_ne!(first, second);
    std::fs::remove_file(bot.side(&format!("health-{second}"))).expect("it was broken");
    bot.release(&second);
    bot.until_run(RunId(2), "succeeded").await;
    until("both are well", async || (certain(&bot, "ok").await == 2).then_some(())).await;
    assert_eq!(runs(&bot).await, 2);
    bot.rest().await;
    bot.finish().await;
}

/// Two processes on one database: one asks.
#[tokio::test]
async fn two_processes_on_one_database_ask_each_check_once() {
    let bot = Bot::start(world("auto", LOOSE)).await;
    more_probes(&bot, 1).await;
    let mut second = bot
        .command(&["up", "--listen", "127.0.0.1:0", "--database", bot.db().url(), "--config"])
        .arg(bot.settings())
        .arg("--catalog")
        .arg(bot.catalog(""))
        .arg("--data")
        .arg(bot.data().with_file_name("data-2"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the program starts");
    until("the second works", async || {
        (bot.db().number("select count(*) from worker where ended_at is null").await == 2).then_some(())
    })
    .await;
    // When the asking began whose result was recorded last, by the clock of whoever asked.
    let asked = "select (extract(epoch from asked_at) * 1000)::bigint from check_state";
    let before = bot.db().number(asked).await;
    more_probes(&bot, 6).await;
    let took = bot.db().number(asked).await - before;
    // With the newest not recorded yet, six askings of one asker are five intervals of a second at least; of two, half of
    // that.
    assert!(took >= 4_000, "six askings in {took} ms");
    break_it(&bot, 2);
    bot.hear("Service B is fine again").await;
    assert_eq!(runs(&bot).await, 1);
    // Whichever of the two drives it is not killed in the midst of it.
    bot.until_run(RunId(1), "succeeded").await;
    second.kill().await.expect("it is killed");
    bot.rest().await;
    bot.finish().await;
}

/// A check that is taken out of the catalog is forgotten, and the record says so.
#[tokio::test]
async fn a_check_that_is_gone_is_forgotten_in_plain_sight() {
    let mut bot = Bot::start(world("auto", LOOSE)).await;
    // Between two of the files the policy names a trigger that is gone.
    bot.tolerate_error("the catalog is not loaded");
    more_probes(&bot, 1).await;
    until("it is known", async || {
        (bot.db().number("select count(*) from check_state where hard = 'ok'").await == 1).then_some(())
    })
    .await;
    std::fs::remove_file(bot.catalog("service-down.yaml")).expect("it is there");
    let without = SYSTEM.replace(", every: 1s, fails_after: 2", "");
    bot.rewrite("managers.yaml", &policy(""));
    bot.rewrite("system-a.yaml", &without);
    until("it is forgotten", async || (bot.db().number("select count(*) from check_state").await == 0).then_some(()))
        .await;
    let told = bot.hear("no longer asked by itself").await;
    insta::assert_snapshot!(plain(&told.text), @"PRODUCTION · System A: Service B: nobody knows since TIME (check running could not be asked: no longer asked by itself). Nothing is started for it.");
    bot.rest().await;
    bot.finish().await;
}

//! The story of a night, over the catalog that comes with the program: it notices, it asks, it recovers, it tells; and it
//! stops itself. The real program, real processes that are killed, a real Postgres.

mod support;

use countersign::model::id::RunId;
use support::bot::{Bot, plain};
use support::until;
use support::world::Catalog;

/// Ends the process of a service behind everybody's back.
async fn kill(bot: &Bot, service: &str) {
    let dir = countersign::demo::dir_for(&bot.data()).display().to_string();
    let output = bot.command(&["demo-ctl", "--dir", &dir, "kill", service]).output().await.expect("the tool runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

async fn automatic_runs(bot: &Bot) -> i64 {
    bot.db().number("select count(*) from run where trigger is not null").await
}

/// Waits until Service C is known to be well.
async fn well(bot: &Bot) {
    let sql = "select count(*) from check_state where service = 'service-c' and hard = 'ok'";
    until("it is known to be well", async || (bot.db().number(sql).await == 1).then_some(())).await;
}

#[tokio::test]
async fn the_story() {
    let bot = Bot::start(Catalog::shipped()).await;

    // It has noticed by itself. A trigger in mode `shadow` says what it would have done.
    let noticed = bot.hear("INC-1 opened").await;
    insta::assert_snapshot!(plain(&noticed.text), @r#"
    PRODUCTION · System A: Service B is not running since TIME (check running, 2 of 2).
    INC-1 opened. Say `what happened`, `status`, or `start service b`.
    "#);
    let shadow = bot.hear("service-b-down").await;
    insta::assert_snapshot!(plain(&shadow.text), @r#"service-b-down only watches (shadow): it would have said `start service-b`. Nothing was done."#);

    // The manager joins late.
    insta::assert_snapshot!(bot.say("boss", "what happened").await.done().plain(), @r#"
    PRODUCTION · System A: INC-1: Service B is not running since TIME (check running).
    Nothing was tried yet.
    Now: open for LASTED. Nobody has said `ack` yet. Next: `start service b`, `ack`, or `resolve` when it is over.
    "#);
    insta::assert_snapshot!(bot.say("boss", "status").await.done().plain(), @r#"
    PRODUCTION · System A
    Service B: not running since TIME (service-b STOPPED), asked LASTED ago.
    Service C: running, asked LASTED ago.
    INC-1 open LASTED   Service B is not running
    "#);
    assert_eq!(automatic_runs(&bot).await, 0, "nothing was started by itself");

    // The scene, decided by a button.
    let asked = bot.say("mei", "start service b").await.waiting();
    let own = bot.press("mei", "own", &asked.thread(), &format!("approve {}", asked.code())).await.refused();
    insta::assert_snapshot!(own.plain(), @r#"mei, it is your own request: someone else must approve. Asked: boss and lin."#);
    let approved = bot.press("boss", "yes", &asked.thread(), &format!("approve {}", asked.code())).await.done();
    insta::assert_snapshot!(approved.plain(), @r#"
    boss approved start service-b (CODE). Starting. Ledger N · DIGEST
    1 done    run    countersign demo-ctl start service-b   LASTED   service-b: started
    2 done    check  service-b   LASTED   service-b RUNNING pid PID, uptime TIME, http://127.0.0.1:PORT
    mei: start service-b is done. LASTED. Ledger N · DIGEST
    "#);
    let again = bot.press("boss", "yes-again", &asked.thread(), &format!("approve {}", asked.code())).await;
    insta::assert_snapshot!(again.plain(), @r#"CODE is approved already, by boss. Your answer changes nothing."#);
    let fine = bot.hear("Service B is fine again").await;
    insta::assert_snapshot!(plain(&fine.text), @r#"Service B is fine again after LASTED. INC-1 stays open until `resolve`."#);

    // Its end, and the whole record.
    insta::assert_snapshot!(bot.say("mei", "resolve because its disk was full").await.done().plain(), @r#"INC-1 resolved LASTED after it was opened: its disk was full. Asked 2 people, waited LASTED for approval. `report` has the whole record. Ledger N · DIGEST"#);
    insta::assert_snapshot!(bot.say("boss", "report").await.done().plain(), @r#"
    PRODUCTION · System A: INC-1: Service B is not running, from TIME for LASTED (check running).
    Tried: start service-b, asked by mei at TIME, approved by boss, done in LASTED.
    Now: resolved by mei at TIME: its disk was full. `report INC-1` has the whole record; `reopen INC-1` if it is not over.
    The whole record: `countersign report INC-1`, or /incidents/1 on the page.
    "#);
    let (url, data) = (bot.url(), bot.data().display().to_string());
    let mut report = bot.command(&["report", "1", "--server", &url]);
    let report = report.env("COUNTERSIGN_DATA", data).output().await.expect("the command runs");
    assert!(report.status.success(), "{}", String::from_utf8_lossy(&report.stderr));
    let report = String::from_utf8(report.stdout).expect("text");
    for part in [
        "INC-1",
        "Service B is not running",
        "said: what happened",
        "boss answered approve",
        "service-b: started",
        "its disk was full",
        "The ledger is sound up to ",
    ] {
        assert!(report.contains(part), "`{part}` is not in\n{report}");
    }
    bot.rest().await;
    bot.finish().await;
}

/// Service C dies, again and again. Its trigger starts it, nobody is woken; then the brakes hold, say so once, and ask for
/// a person. `pause` stops everything.
#[tokio::test]
async fn it_recovers_by_itself_until_it_stops_itself() {
    let bot = Bot::start(Catalog::shipped()).await;
    bot.hear("INC-1 opened").await;
    well(&bot).await;

    kill(&bot, "service-c").await;
    let noticed = bot.hear("INC-2 opened").await;
    insta::assert_snapshot!(plain(&noticed.text), @r#"
    PRODUCTION · System A: Service C is not running since TIME (check running, 2 of 2).
    INC-2 opened. Say `what happened`, `status`, or `start service c`.
    "#);
    let fine = bot.hear("Service C is fine again").await;
    insta::assert_snapshot!(plain(&fine.text), @r#"Service C is fine again after LASTED. INC-2 stays open until `resolve`."#);
    bot.until_run(RunId(1), "succeeded").await;
    let room = bot.rest().await;
    assert!(room.contains("Recovering: start service-c, by service-c-down."), "{room}");
    assert!(!room.contains("approved` or"), "somebody was asked:\n{room}");

    for run in 2..=3 {
        kill(&bot, "service-c").await;
        until("it was started", async || (automatic_runs(&bot).await == run).then_some(())).await;
        bot.until_run(RunId(run), "succeeded").await;
        bot.hear("Service C is fine again").await;
    }
    let too_soon = "select count(*) from run b where b.trigger is not null and exists (
        select from attempt a where a.run < b.id and a.ended_at > b.created_at - interval '5 seconds')";
    assert_eq!(bot.db().number(too_soon).await, 0, "it waits in between");
    bot.rest().await;

    kill(&bot, "service-c").await;
    let held = bot.hear("has stopped itself").await;
    insta::assert_snapshot!(plain(&held.text), @r#"PRODUCTION · service-c-down has stopped itself for service-c: 3 runs within 10 min is its limit. mei, boss or lin: say `start service-c` to do it by hand, `resume service-c-down` to let it go on."#);
    let what = bot.say("lin", "what happened INC-2").await.done();
    insta::assert_snapshot!(what.plain(), @r#"
    PRODUCTION · System A: INC-2: Service C is not running since TIME (check running, failed 4 times).
    Tried: start service-c, 3 times by trigger service-c-down, last at TIME, let by its policy, done each time.
    Now: open for LASTED. Nobody has said `ack` yet. service-c-down has stopped itself (3 runs within 10 min is its limit): `resume service-c-down` lets it go on. Next: `start service c`, `ack`, or `resolve` when it is over.
    "#);
    assert_eq!(automatic_runs(&bot).await, 3);

    // Who is nobody here changes nothing; a person lets it go on, with automation paused first.
    let stranger = bot.say("zed", "resume service-c-down").await.refused();
    insta::assert_snapshot!(stranger.plain(), @r#"(to zed) zed (local:trial:zed) is not known here. Ask an operator to add you to people.yaml."#);
    insta::assert_snapshot!(bot.say("mei", "pause because we look at it").await.done().plain(), @r#"mei has paused all automation: we look at it. Checks go on, nothing starts by itself. `resume` lets it go on."#);
    insta::assert_snapshot!(bot.say("mei", "resume service-c-down").await.done().plain(), @r#"
    All automation is still paused by mei: `resume` lets it go on.
    mei lets service-c-down go on for service-c. Its counts begin anew.
    "#);
    assert_eq!(automatic_runs(&bot).await, 3, "paused means that nothing starts");
    insta::assert_snapshot!(bot.say("mei", "resume").await.done().plain(), @r#"mei lets automation go on."#);
    bot.hear("Service C is fine again").await;
    bot.until_run(RunId(4), "succeeded").await;
    let room = bot.rest().await;
    assert!(!room.contains("has stopped itself"), "said twice:\n{room}");
    bot.finish().await;
}

//! The scene, with the bot killed in the middle and started again: nothing is lost, nothing runs twice.

mod support;

use countersign::web::wire::SettledAs;
use support::bot::{Bot, is_alive, plain};
use support::world::{Catalog, step};

fn slowly() -> Catalog {
    Catalog::made().runbook("roll-out", &[step("copy", "ok"), step("restart", "wait"), step("verify", "ok")])
}

/// Has the run of `roll out` killed in its second step, and the bot started again.
async fn killed_in_mid_step() -> (Bot, String) {
    let mut bot = Bot::start(slowly()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", "approved").thread(asked.thread()).no_wait().await;
    bot.until_effect("restart", 1).await;
    let old = bot.step_processes();
    assert!(!old.is_empty());
    bot.kill().await;
    assert!(old.iter().any(|pid| is_alive(*pid)), "a killed bot ends nothing");
    bot.restart().await;
    bot.until_run(asked.run(), "stuck").await;
    assert!(!old.iter().any(|pid| is_alive(*pid)), "what the old bot had started is gone");
    bot.hear("is stuck").await;
    bot.rest().await;
    (bot, asked.thread())
}

#[tokio::test]
async fn killed_while_a_request_waits() {
    let mut bot = Bot::start(Catalog::made().runbook("roll-out", &[step("copy", "ok")])).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let before = bot.history("system-a", "mei").await;
    bot.kill().await;
    bot.restart().await;
    let twice = bot.say("mei", "roll out").await.waiting();
    assert_eq!((twice.code(), twice.thread()), (asked.code(), asked.thread()), "the same request, in the same thread");
    let after = bot.history("system-a", "mei").await;
    assert_eq!(after.len(), before.len() + 1, "only the answer to asking again is new");
    assert!(after.starts_with(&before));
    let approved = bot.say("boss", "approved").thread(asked.thread()).await.done();
    assert_eq!(approved.state(), "succeeded");
    assert_eq!(bot.effects(), ["copy"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_stuck_run_is_retried_under_the_same_policy() {
    let (bot, thread) = killed_in_mid_step().await;
    let asked = bot.say("boss", "retry").thread(&thread).await.waiting();
    insta::assert_snapshot!(asked.plain().lines().next().expect("a line"), @"PRODUCTION · boss asks: retry step 2 of run 1 (roll out) on HOST · 3 changes, no undo · until TIME · CODE");
    let twice = bot.say("lin", "retry").thread(&thread).await.refused();
    insta::assert_snapshot!(twice.plain(), @"It is asked for already to retry step 2 of run 1 (roll out), CODE. `requests` lists what waits in this room.");
    for requester in ["mei", "boss"] {
        let own = bot.say(requester, "approved").thread(&thread).await.refused();
        assert!(own.text().contains("someone else must approve"), "{}", own.text());
    }
    assert_eq!(bot.effects(), ["copy", "restart"], "nothing starts before somebody agrees");
    bot.release("restart");
    let approved = bot.say("lin", "approved").thread(&thread).await.done();
    insta::assert_snapshot!(approved.plain(), @"
    lin approved roll out (CODE). Starting. Ledger N · DIGEST
    2 done    run    ./step.sh restart wait (attempt 2)   LASTED   restart went on
    3 done    run    ./step.sh verify ok   LASTED   verify ok
    mei: roll out is done. LASTED. Ledger N · DIGEST
    ");
    assert_eq!(bot.effects(), ["copy", "restart", "restart", "verify"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_stuck_run_is_judged_to_have_failed() {
    let (bot, thread) = killed_in_mid_step().await;
    let judged = bot.say("boss", "judge failed because the host is gone").thread(&thread).await;
    insta::assert_snapshot!(judged.plain(), @"
    boss approved to judge that step 2 of run 1 (roll out) failed (CODE). The run ends there. Ledger N · DIGEST
    2 judged  run    ./step.sh restart wait   boss judged that it did not work: the host is gone
    PRODUCTION · mei: roll out failed at step 2 (restart): boss judged that it did not work: the host is gone. Step after it: not started. `again` asks anew. Ledger N · DIGEST
    ");
    assert_eq!(judged.state(), "failed");
    assert_eq!(bot.effects(), ["copy", "restart"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_stuck_run_is_stopped() {
    let (bot, thread) = killed_in_mid_step().await;
    let stopped = bot.say("mei", "stop").thread(&thread).await.done();
    insta::assert_snapshot!(stopped.plain(), @"mei stopped roll out. Done: 1 (copy). Unknown: 2 (restart). Not started: 3 (verify). Ledger N · DIGEST");
    let late = bot.say("lin", "judge worked because it is up").thread(&thread).await.refused();
    insta::assert_snapshot!(late.plain(), @"Nothing here to judge. Name the run: `judge run 12`.");
    assert_eq!(bot.effects(), ["copy", "restart"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_stop_that_was_said_before_the_kill_holds_after_it() {
    let mut bot = Bot::start(slowly()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", "approved").thread(asked.thread()).no_wait().await;
    bot.until_effect("restart", 1).await;
    bot.say("mei", "stop").thread(asked.thread()).no_wait().await;
    bot.kill().await;
    bot.restart().await;
    bot.until_run(asked.run(), "stopped").await;
    assert_eq!(bot.step_processes(), Vec::<u32>::new());
    bot.rest().await;
    assert_eq!(bot.effects(), ["copy", "restart"]);
    bot.finish().await;
}

/// Killed again and again, wherever it happens to be: no step starts twice, and in the end every run is over or stuck in
/// plain sight.
#[tokio::test]
async fn killed_anywhere_no_step_starts_twice() {
    let names = ["one", "two", "three", "four", "five"];
    let mut bot = Bot::start(Catalog::made().runbook("roll-out", &names.map(|name| step(name, "ok")))).await;
    for (round, name) in names.iter().enumerate() {
        let asked = bot.say("mei", "roll out").await.waiting();
        bot.say("boss", "approved").thread(asked.thread()).no_wait().await;
        bot.until_effect(name, 1).await;
        bot.kill().await;
        bot.restart().await;
        let state = support::until("the run is over or stuck", async || {
            let run = bot.db().store.find_run(asked.run()).await.expect("the database").expect("a run");
            ["succeeded", "stuck"].into_iter().find(|state| *state == run.state.name())
        })
        .await;
        let effects = bot.effects();
        for name in names {
            let times = effects.iter().filter(|effect| **effect == name).count();
            assert!(times <= 1, "round {round}: {name} ran {times} times: {effects:?}");
        }
        if state == "stuck" {
            let stopped = bot.say("mei", "stop").thread(asked.thread()).await;
            assert_eq!(stopped.was(), SettledAs::Done, "{}", plain(&stopped.text()));
        } else {
            assert_eq!(effects, names);
        }
        bot.rest().await;
        std::fs::remove_file(bot.side("effects")).expect("the effects of this round");
    }
    bot.finish().await;
}

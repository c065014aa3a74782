//! The scene, played right: the real program, real processes, a real Postgres, over the public interface. Nothing is asked
//! by itself here, so that what is said is the answer to what was said; `story.rs` plays the whole night.

mod support;

use countersign::model::code::Code;
use support::bot::{Bot, is_alive};
use support::world::Catalog;

/// What the demo's own tool says of a service, past the bot.
async fn status(bot: &Bot, service: &str) -> String {
    let dir = countersign::demo::dir_for(&bot.data());
    let output = bot
        .command(&["demo-ctl", "--dir", &dir.display().to_string(), "status", service])
        .output()
        .await
        .expect("the tool runs");
    String::from_utf8(output.stdout).expect("text")
}

/// The process that a text names.
fn pid_in(text: &str) -> u32 {
    let (_, after) = text.split_once("pid ").expect("a pid");
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

#[tokio::test]
async fn the_scene() {
    let bot = Bot::start(Catalog::unwatched()).await;

    let reply = bot.say("mei", "is service c running").await.done();
    insta::assert_snapshot!(reply.plain(), @"Service C is running. Checked at TIME by `running`: service-c RUNNING pid PID, uptime TIME, http://127.0.0.1:PORT.");

    let asked = bot.say("mei", "start service b").await.waiting();
    insta::assert_snapshot!(asked.plain(), @"
    PRODUCTION · mei asks: start service-b on HOST · 1 change, no undo · until TIME · CODE
    `approved` or `deny because …` here, boss or lin.
    Why: Brings a stopped service back; users see errors until then. It has not run before.
    1 ! run    countersign demo-ctl start service-b   on HOST, at most 1 min
               (is BIN/countersign; gets COUNTERSIGN_DEMO)
    2   check  service-b running   within 30 s, every 2 s
               countersign demo-ctl status service-b
               (is BIN/countersign; gets COUNTERSIGN_DEMO)
    Plan DIGEST · run 2 · policy managers · asked of boss and lin
    ");
    assert!(Code::parse(&asked.code()).is_some(), "{}", asked.code());
    assert_eq!(asked.told[0].id.as_str(), asked.thread(), "the request starts its thread");
    assert!(asked.told.iter().all(|told| told.text.lines().next().is_some_and(|line| line.ends_with(&asked.code()))));
    let found = status(&bot, "service-b").await;
    assert!(!found.contains("RUNNING"), "nothing has run, but: {found}");

    let thread = asked.thread();
    let ok = bot.say("boss", "ok").thread(&thread).await.refused();
    insta::assert_snapshot!(ok.plain(), @"(to boss) Not approved yet. Send `approved` or `deny because …`.");
    assert!(bot.say("mei", "looks dead to me?").thread(&thread).await.done().told.is_empty(), "talk is talk");
    let own = bot.say("mei", "approved").thread(&thread).await.refused();
    insta::assert_snapshot!(own.plain(), @"mei, it is your own request: someone else must approve. Asked: boss and lin.");
    let found = status(&bot, "service-b").await;
    assert!(!found.contains("RUNNING"), "nothing has run, but: {found}");

    let approved = bot.say("boss", "approved, thanks").thread(&thread).await.done();
    insta::assert_snapshot!(approved.plain(), @"
    boss approved start service-b (CODE). Starting. Ledger N · DIGEST
    1 done    run    countersign demo-ctl start service-b   LASTED   service-b: started
    2 done    check  service-b   LASTED   service-b RUNNING pid PID, uptime TIME, http://127.0.0.1:PORT
    mei: start service-b is done. LASTED. Ledger N · DIGEST
    ");
    assert_eq!(approved.state(), "succeeded");
    assert!(approved.told.iter().all(|told| told.thread.as_ref().is_some_and(|at| at.as_str() == thread)));
    let pid = pid_in(&approved.text());
    assert!(is_alive(pid), "the process is really there");
    assert!(status(&bot, "service-b").await.contains(&format!("RUNNING pid {pid},")));

    let health = bot.say("mei", "run system a health check").await.done();
    insta::assert_snapshot!(health.plain(), @"Service B is running. Service C is running. System A is healthy. Checked at TIME.");

    let late = bot.say("lin", "approved").thread(&thread).await.refused();
    insta::assert_snapshot!(late.plain(), @"CODE is approved already, by boss. Your answer changes nothing.");

    bot.finish().await;
    assert!(!is_alive(pid), "the demo ends with the bot");
}

#[tokio::test]
async fn a_health_check_says_what_is_wrong_and_needs_nobody() {
    let bot = Bot::start(Catalog::unwatched()).await;
    let health = bot.say("boss", "Run System-A health check").await.done();
    insta::assert_snapshot!(health.plain(), @"Service B is not running (service-b STOPPED). Service C is running. System A is not healthy. Checked at TIME.");
    let is = bot.say("lin", "is service-b running?").await.done();
    insta::assert_snapshot!(is.plain(), @"Service B is not running (service-b STOPPED). Checked at TIME by `running`.");
    bot.finish().await;
}

/// The demo outlives a killed bot, and the next bot finds it again.
#[tokio::test]
async fn the_demo_survives_a_kill_and_ends_with_a_clean_end() {
    let mut bot = Bot::start(Catalog::unwatched()).await;
    let before = pid_in(&bot.say("mei", "is service c running").await.done().text());
    bot.kill().await;
    assert!(is_alive(before));
    bot.restart().await;
    let after = pid_in(&bot.say("mei", "is service c running").await.done().text());
    assert_eq!(before, after, "adopted, not started again");
    bot.finish().await;
    assert!(!is_alive(before));
}

//! The pages in a real browser: the story on a desk and on a phone, what is forbidden, and what a page must be for
//! everybody. Screenshots are left in the build's directory for tests, under `pages/`.

mod support;

use serde_json::json;
use support::bot::Bot;
use support::chromium::{DESK, Driver, PHONE};
use support::world::Catalog;

/// The checker, with `return check(phone)` to follow.
const CHECK: &str = include_str!("page_browser/check.js");

/// The shipped trial, in which requests wait until a slow machine has come so far.
fn trial() -> Catalog {
    Catalog::copied().edited("policies/managers.yaml", "expires: 60s", "expires: 30m")
}

/// Waits until the trial's own failure has been noticed and told: nothing more comes by itself after that.
async fn noticed(bot: &Bot) {
    bot.hear("Service B is not running").await;
    bot.hear("only watches").await;
}

#[tokio::test]
async fn the_story_in_two_browsers() {
    let bot = Bot::start(trial()).await;
    let driver = Driver::start().await;
    let (mei, boss) = (driver.open(&bot, DESK).await, driver.open(&bot, PHONE).await);
    mei.come_in(&bot, "mei").await;
    boss.come_in(&bot, "boss").await;
    mei.mark().await;
    boss.mark().await;

    // It has noticed by itself, and says what to do next.
    for window in [&mei, &boss] {
        window.reads("#talk", "System A: Service B is not running since").await;
        window.reads("#talk", "INC-1 opened.").await;
        window.reads("#beside", "INC-1 Service B is not running").await;
    }
    mei.reads("#guide", "As boss, in a private window").await;
    mei.picture("story-1280-first").await;
    boss.picture("story-360-first").await;

    boss.press_line("what happened").await;
    for window in [&boss, &mei] {
        window.reads("#talk", "INC-1: Service B is not running since").await;
        window.reads("#talk", "Nothing was tried yet.").await;
    }

    // What is being typed stays while the page changes under it.
    boss.write("#say", "half a sent").await;
    mei.press_line("start service b").await;
    mei.reads("#talk", "mei asks: start service-b").await;
    boss.reads("#waiting", "A request waits for you").await;
    boss.reads("#waiting .steps", "countersign demo-ctl start service-b").await;
    assert_eq!(boss.script("return document.getElementById('say').value").await, "half a sent");
    assert_eq!(boss.script("return document.activeElement.id").await, "say", "and so does the focus");
    mei.picture("story-1280-waiting").await;
    boss.picture("story-360-waiting").await;

    boss.click("#waiting .thumb.good").await;
    for window in [&boss, &mei] {
        window.reads("#talk", "mei: start service-b is done.").await;
        window.reads("#talk", "Service B is fine again after").await;
    }
    mei.reads("#beside .sheet", "boss approved at").await;
    boss.is_gone("#waiting").await;
    let texts = mei.text("#talk").await;
    assert_eq!(texts.matches("1 done").count(), 1, "progress is one message that changes: {texts}");
    mei.picture("story-1280-done").await;
    boss.picture("story-360-done").await;

    mei.press_line("resolve").await;
    for window in [&mei, &boss] {
        window.reads("#talk", "INC-1 resolved").await;
    }
    mei.press_line("report INC-1").await;
    mei.reads("#talk", "Now: resolved by mei").await;

    // Another service dies: nobody is asked.
    boss.click("#strip summary").await;
    boss.click("#strip form:has([value=service-c]) button").await;
    boss.reads("#notice", "Nobody told the bot: its checks have to notice.").await;
    for window in [&boss, &mei] {
        window.reads("#talk", "Service C is not running since").await;
        window.reads("#talk", "Recovering: start service-c, by service-c-down.").await;
        window.reads("#talk", "Service C is fine again after").await;
    }
    mei.reads("#beside .sheet", "Nobody was asked").await;
    assert!(boss.text("#notice").await.contains("Nobody told"), "what was told stays while the page changes");
    mei.was_not_reloaded().await;
    boss.was_not_reloaded().await;
    mei.picture("story-1280-recovered").await;
    boss.picture("story-360-recovered").await;

    // From the conversation to the whole record.
    mei.click("#talk a[href='/incidents/1']").await;
    mei.is_at("/incidents/1").await;
    mei.reads("#here", "resolved by mei").await;
    mei.reads(".fold", "boss approved").await;
    mei.click("a[href$='report?format=html']").await;
    mei.is_at("/incidents/1/report").await;
    mei.reads("body", "Service B is not running").await;
    mei.picture("report-1280").await;
    mei.is_quiet().await;
    boss.is_quiet().await;
    mei.close().await;
    boss.close().await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn who_tries_to_cheat_reads_why_not() {
    let bot = Bot::start(trial()).await;
    noticed(&bot).await;
    let driver = Driver::start().await;
    let (mei, zed) = (driver.open(&bot, DESK).await, driver.open(&bot, DESK).await);
    mei.come_in(&bot, "mei").await;
    mei.say("start service b").await;
    mei.reads("#talk", "mei asks: start service-b").await;
    mei.click("#strip summary").await;
    mei.click("#strip form[action='/trial/approve'] button").await;
    mei.reads("#talk", "mei, it is your own request: someone else must approve.").await;
    assert_eq!(mei.script("return document.querySelectorAll('.thumb.good').length").await, 0);

    // The catalog changes under what was asked: whoever decides reads so.
    mei.click("#strip form[action='/trial/runbook'] button").await;
    mei.reads("#notice", "What was asked before stays as it was asked.").await;
    mei.reads("#beside .request", "would now make another plan of it").await;

    zed.come_in(&bot, "zed").await;
    zed.say("approved").await;
    zed.reads("#talk", "zed (local:trial:zed) is not known here.").await;
    assert!(!zed.text("body").await.contains("start service-b"), "who is not known reads nobody else's lines");
    // An address of a run that is there says no more than one that is not.
    zed.go("/runs/1").await;
    zed.reads("main", "There is no run here that you may see.").await;

    // A form of another site, sent by the reader's own browser.
    let forged = format!(
        "data:text/html,<form method=post action='{}/rooms/system-a/lines'><input name=text value=approved><button>x</button></form>",
        bot.url()
    );
    zed.call("POST", "/url", Some(json!({"url": forged}))).await;
    zed.click("button").await;
    zed.reads("body", "pages of other sites may not ask").await;
    let complaints = zed.complaints().await;
    let expected =
        |complaint: &String| complaint.contains("404") || complaint.contains("403") || complaint.contains("favicon");
    assert!(complaints.iter().all(expected), "{complaints:?}");

    // Without any script: a page that knows nothing of what happened since, and the same buttons.
    let (boss, lin) = (driver.open(&bot, PHONE).await, driver.open(&bot, PHONE).await);
    for window in [&boss, &lin] {
        window.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    }
    boss.come_in(&bot, "boss").await;
    lin.come_in(&bot, "lin").await;
    boss.go("/runs/1").await;
    boss.element(".thumb.good").await;
    lin.go("/runs/1").await;
    lin.write("input[name=reason]", "not tonight").await;
    lin.click(".thumb.bad").await;
    mei.reads("#talk", "not tonight").await;
    boss.click(".thumb.good").await;
    boss.reads("#notice", "was denied by lin. Your answer changes nothing.").await;
    boss.picture("stale-button-360").await;
    mei.is_quiet().await;
    for window in [mei, zed, boss, lin] {
        window.close().await;
    }
    assert!(!bot.rest().await.contains("Starting."), "nothing was started");
    bot.finish().await;
}

#[tokio::test]
async fn a_page_that_lost_its_stream_says_so_and_goes_on() {
    let mut bot = Bot::start(Catalog::made()).await;
    let driver = Driver::start().await;
    let mei = driver.open(&bot, PHONE).await;
    mei.come_in(&bot, "mei").await;
    mei.mark().await;
    bot.kill().await;
    mei.reads("#stale", "Stale: not connected since").await;
    mei.picture("stale-360").await;
    bot.restart().await;
    bot.say("boss", "ping").await.done();
    mei.reads("#talk", "boss ping").await;
    mei.is_gone("#stale:not([hidden])").await;
    mei.was_not_reloaded().await;
    mei.close().await;
    bot.rest().await;
    bot.finish().await;
}

/// Killed by its own page: the page says that it is gone, and opens again by itself once it is back.
#[tokio::test]
async fn a_page_waits_for_the_bot_that_it_killed() {
    let mut bot = Bot::start(trial()).await;
    noticed(&bot).await;
    let driver = Driver::start().await;
    let mei = driver.open(&bot, PHONE).await;
    mei.come_in(&bot, "mei").await;
    mei.click("#strip summary").await;
    mei.click("#strip form[action='/trial/kill'] button").await;
    assert_eq!(bot.ended().await.code(), None, "by a signal");
    mei.reads("#back-when-there", "It is away, for").await;
    mei.picture("killed-360").await;
    bot.restart().await;
    mei.is_at("/rooms/system-a").await;
    mei.reads("#talk", "Service B is not running").await;
    mei.close().await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn pages_are_for_everybody() {
    let bot = Bot::start(trial()).await;
    noticed(&bot).await;
    let driver = Driver::start().await;
    bot.say("mei", "start service b").await.waiting();
    let asked = bot.say("mei", "stop service c").await.waiting();
    bot.say("boss", &format!("deny {} because users are on it", asked.code())).await.done();
    bot.say("mei", "is service c running").await.done();
    let mut faults = Vec::new();
    for (name, size) in [("1280", DESK), ("360", PHONE)] {
        let window = driver.open(&bot, size).await;
        window.come_in(&bot, "boss").await;
        for scheme in ["light", "dark"] {
            window.scheme(scheme).await;
            let pages = [
                "/rooms/system-a",
                "/runs/1",
                "/runs/2",
                "/requests",
                "/systems",
                "/incidents",
                "/incidents/1",
                "/rooms/system-a?thread=m3",
                "/ledger",
                "/ledger?run=2",
                "/ledger/verify",
                "/people",
            ];
            for path in pages {
                window.go(path).await;
                // What is folded is part of the page.
                window.script("for (const fold of document.querySelectorAll('details')) fold.open = true").await;
                let found = window.script(&format!("{CHECK}\nreturn check({})", size == PHONE)).await;
                let found: Vec<String> = serde_json::from_value(found).expect("sentences");
                faults.extend(found.into_iter().map(|fault| format!("{path} at {name}, {scheme}: {fault}")));
                let picture = path.trim_start_matches('/').replace(['/', '?', '='], "-");
                window.picture(&format!("{picture}-{name}-{scheme}")).await;
            }
        }
        // The keyboard goes through a page in the order in which it reads, and one sees where it is.
        window.go("/runs/1").await;
        let mut last = -1;
        for _ in 0..12 {
            let keys = json!({"actions": [{"type": "key", "id": "keys", "actions": [{"type": "keyDown", "value": "\u{e004}"}, {"type": "keyUp", "value": "\u{e004}"}]}]});
            window.call("POST", "/actions", Some(keys)).await;
            let at = window
                .script(
                    "const at = document.activeElement; return [[...document.querySelectorAll('*')].indexOf(at), getComputedStyle(at).outlineStyle]",
                )
                .await;
            let index = at[0].as_i64().expect("a number");
            assert!(index > last, "the keyboard goes back on a page of {name}");
            assert_ne!(at[1], "none", "one does not see where the keyboard is");
            last = index;
        }
        window.is_quiet().await;
        window.close().await;
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    bot.rest().await;
    bot.finish().await;
}

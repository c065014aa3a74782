//! Passkeys in a real browser, with a virtual authenticator: adding one, approving with it, and what a page that was passed
//! on, looked at by something else, or used before comes to. Screenshots are left in the build's directory for tests, under
//! `pages/`.

mod support;

use serde_json::json;
use support::chromium::{DESK, Driver, PHONE, Window};
use support::passkeys::{World, catalog};

/// The checker, with `return check(phone)` to follow.
const CHECK: &str = include_str!("page_browser/check.js");

/// Adds a passkey to a browser's authenticator, by an invitation.
async fn enrol(world: &World, window: &Window<'_>, person: &str) {
    window.visit(&world.invite(person).await).await;
    window.write("#name", "phone").await;
    window.click("button.yes").await;
    window.reads("[data-sentence]", &format!("phone is a passkey of {person} now")).await;
}

/// Pictures of a page on a phone and on a desk, by day and by night; and what the checker finds on each.
async fn pictures(window: &Window<'_>, name: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (width, height) in [PHONE, DESK] {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        window.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        for scheme in ["light", "dark"] {
            window.scheme(scheme).await;
            let found = window.script(&format!("{CHECK}\nreturn check({})", width < 500)).await;
            let found = found.as_array().cloned().unwrap_or_default();
            // A page here is whole in itself; its policy names its style and its script by their hashes.
            let found = found.iter().filter(|fault| !fault.to_string().contains("style or script in the page itself"));
            faults.extend(found.map(|fault| format!("{name} {width} {scheme}: {fault}")));
            window.picture(&format!("{name}-{width}-{scheme}")).await;
        }
    }
    faults
}

#[tokio::test]
async fn a_person_adds_a_passkey_and_approves_with_it() {
    let world = World::start(catalog(1)).await;
    let driver = Driver::start().await;
    let boss = driver.open_at(world.origin.clone(), PHONE).await;
    boss.authenticator().await;

    let invitation = world.invite("boss").await;
    boss.visit(&invitation).await;
    let mut faults = pictures(&boss, "passkey-add").await;
    boss.write("#name", "phone").await;
    boss.click("button.yes").await;
    boss.reads("[data-sentence]", "phone is a passkey of boss now").await;
    faults.extend(pictures(&boss, "passkey-added").await);

    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    boss.visit(&link).await;
    boss.reads("h1", "roll out").await;
    boss.reads(".steps", "step.sh one ok").await;
    faults.extend(pictures(&boss, "decide").await);
    boss.click(".yes").await;
    boss.reads("h1", "Approved").await;
    boss.reads("[data-sentence]", "is granted").await;
    world.bot.until_run(run.run(), "succeeded").await;
    faults.extend(pictures(&boss, "decided").await);

    // The same address in another browser, with the same passkey at hand or not.
    let second = driver.open_at(world.origin.clone(), DESK).await;
    second.visit(&link).await;
    second.reads("[data-sentence]", "This page was used at").await;
    second.reads("[data-sentence]", "Nothing was decided").await;
    faults.extend(pictures(&second, "decide-over").await);
    assert_eq!(world.bot.effects(), ["one"]);
    // And back in the first.
    boss.visit(&link).await;
    boss.reads("[data-sentence]", "This page was used at").await;

    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    for window in [&boss, &second] {
        // What a page answers with 410 the console calls a failure.
        let loud: Vec<String> = window.complaints().await.into_iter().filter(|text| !text.contains("410")).collect();
        assert_eq!(loud, Vec::<String>::new());
    }
    boss.close().await;
    second.close().await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn a_link_that_was_passed_on_or_previewed_decides_nothing() {
    let world = World::start(catalog(1)).await;
    let driver = Driver::start().await;
    let (boss, lin) =
        (driver.open_at(world.origin.clone(), PHONE).await, driver.open_at(world.origin.clone(), DESK).await);
    let key = boss.authenticator().await;
    lin.authenticator().await;
    enrol(&world, &boss, "boss").await;
    enrol(&world, &lin, "lin").await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;

    // A preview fetches it; lin, who could approve by a page of their own, opens boss's.
    for _ in 0..3 {
        world.page(&link).await;
    }
    lin.visit(&link).await;
    lin.click(".yes").await;
    lin.reads("[data-sentence]", "That passkey is not boss's").await;
    lin.reads("[data-sentence]", "Nothing was decided").await;
    lin.picture("decide-passed-on-1280").await;

    // boss's own authenticator does not know who touches it.
    boss.knows(&key, false).await;
    boss.visit(&link).await;
    boss.click(".yes").await;
    boss.reads("#said", "The passkey was not used").await;
    boss.picture("decide-not-known-360").await;
    world.bot.until_run(run.run(), "awaiting_approval").await;
    assert_eq!(world.events("decided").await.len() + world.events("passkey_used").await.len(), 0);

    // Known again, by the same page: nothing of all that has used it up. Denied, with a reason.
    boss.knows(&key, true).await;
    boss.write("#reason", "not tonight").await;
    boss.click(".no").await;
    boss.reads("h1", "Denied").await;
    world.bot.until_run(run.run(), "denied").await;
    assert!(world.bot.rest().await.contains("not tonight"));
    boss.close().await;
    lin.close().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn without_a_script_the_plan_is_there_and_says_what_to_do() {
    let (world, [_]) = World::with(catalog(1), ["boss"]).await;
    let driver = Driver::start().await;
    let window = driver.open_at(world.origin.clone(), PHONE).await;
    window.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    window.visit(&link).await;
    window.devtools("Emulation.setScriptExecutionDisabled", json!({"value": false})).await;
    window.reads(".steps", "step.sh one ok").await;
    window.reads("noscript", &format!("say deny {} because …", run.code())).await;
    assert_eq!(window.text(".decide").await, "", "no button that does nothing");
    window.picture("decide-no-script-360").await;
    window.close().await;
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

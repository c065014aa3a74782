//! The scene of the bones, in Slack: the real program, real processes, a real Postgres, and a workspace that holds every
//! call to Slack's documents. Played by socket and by requests, right and wrong.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use std::time::Duration;

use slack_bot::{Hears, SlackBot};
use support::world::Catalog;

async fn the_scene(hears: Hears) {
    let mut page = Vec::new();
    let bot = SlackBot::start(Catalog::unwatched(), hears).await;

    bot.say("mei", "is service c running");
    page.push(bot.rest().await);

    bot.say("mei", "start service b");
    let asked = bot.request().await;
    page.push(bot.rest().await);
    let shown = bot.slack.of_bot(&bot.room).pop().expect("the request");
    let locked: String = shown.notification.chars().take(110).collect();
    page.push(format!("locked screen: {}", support::bot::plain(&locked)));
    assert_eq!(bot.slack.pushes("boss").len(), 1, "whoever is asked is pushed once");

    // Who is not asked, who asks themselves, whom nobody knows, and what only sounds like it.
    bot.reply("zed", asked.ts, "approved");
    bot.reply("mei", asked.ts, "approved");
    bot.reply("boss", asked.ts, "ok");
    bot.reply("mei", asked.ts, "looks dead to me?");
    page.push(bot.rest().await);

    bot.reply("boss", asked.ts, "approved");
    page.push(bot.rest().await);
    bot.bot.until_run(asked.run, "succeeded").await;

    bot.say("mei", "run system a health check");
    bot.reply("lin", asked.ts, "approved");
    page.push(bot.rest().await);
    insta::assert_snapshot!("the_scene", page.join("\n\n"));
    bot.finish().await;
}

#[tokio::test]
async fn the_scene_by_socket() {
    the_scene(Hears::Socket).await;
}

#[tokio::test]
async fn the_scene_by_requests() {
    the_scene(Hears::Requests).await;
}

async fn pressed(hears: Hears) {
    let mut page = Vec::new();
    let bot = SlackBot::start(Catalog::unwatched(), hears).await;
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    bot.rest().await;
    bot.slack.press("mei", &bot.room, asked.ts, "approve");
    bot.slack.press("zed", &bot.room, asked.ts, "approve");
    page.push(bot.rest().await);
    // Denying by a button asks why.
    bot.slack.press("lin", &bot.room, asked.ts, "deny");
    let window = bot.slack.until("a window", |slack| slack.views("lin").pop()).await;
    bot.slack.submit(&window.id, &[("countersign-why", "countersign-why", "not before the backup")]);
    page.push(bot.rest().await);
    bot.bot.until_run(asked.run, "denied").await;
    insta::assert_snapshot!("pressed", page.join("\n\n"));
    bot.finish().await;
}

#[tokio::test]
async fn buttons_by_socket() {
    pressed(Hears::Socket).await;
}

#[tokio::test]
async fn buttons_by_requests() {
    pressed(Hears::Requests).await;
}

/// The trial's own room does not exist beside a real workspace: nobody speaks as somebody else there.
#[tokio::test]
async fn nobody_speaks_for_others_beside_a_workspace() {
    let bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    let refused = bot.bot.say_by_hand("boss", &["approved"]).await;
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("there is no such room here"), "{said}");
    bot.finish().await;
}

#[tokio::test]
async fn only_slack_may_call() {
    let bot = SlackBot::start(Catalog::unwatched(), Hears::Requests).await;
    assert!(bot.slack.verify_url().await, "the challenge is answered");
    for (forgery, status) in [
        (slack::Forgery::None, 200),
        (slack::Forgery::OtherSecret, 401),
        (slack::Forgery::OtherBody, 401),
        (slack::Forgery::Unsigned, 401),
        (slack::Forgery::NoTime, 401),
        (slack::Forgery::Old(Duration::from_secs(310)), 401),
        (slack::Forgery::Early(Duration::from_secs(310)), 401),
    ] {
        assert_eq!(bot.slack.forge("mei", &bot.room, "ping", forgery).await, status, "{forgery:?}");
    }
    insta::assert_snapshot!(bot.rest().await, @"");
    bot.finish().await;
}

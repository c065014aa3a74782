//! Who is woken in Slack while nobody decides: counted in pushes, with the real program killed between the steps.
//!
//! Minutes are not waited for: the request's own count of them is moved.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use slack_bot::{Hears, SlackBot};
use support::until;
use support::world::Catalog;

const POLICY: &str = "policy: managers\ntitle: boss agrees, or lin\nstages:\n  - approvers: [person:boss]\n    quorum: 1\n    \
                      escalate: [{after: 8m, to: [person:lin]}]\nexpires: 30m\nvalid_for: 1h\n";

async fn minutes_later(bot: &SlackBot, minutes: u32) {
    let before = format!("interval '{minutes} minutes'");
    let sql = format!("update request set wake_from = wake_from - {before}, wake_at = wake_at - {before}");
    bot.bot.db().tamper(&sql).await;
    until("what is due is done", async || {
        let due = bot.bot.db().store.list_to_wake(1).await.expect("requests");
        due.is_empty().then_some(())
    })
    .await;
    bot.calm().await;
}

fn pushes(bot: &SlackBot) -> [usize; 3] {
    ["boss", "lin", "mei"].map(|person| bot.slack.pushes(person).len())
}

#[tokio::test]
async fn whoever_does_not_look_is_reminded_once_and_the_next_is_asked_once() {
    let mut bot = SlackBot::start(Catalog::unwatched().file("policies/managers.yaml", POLICY), Hears::Socket).await;
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    let shown = bot.rest().await;
    assert!(shown.contains("asked of boss · next lin at TIME"), "{shown}");
    assert_eq!(pushes(&bot), [1, 0, 0]);

    minutes_later(&bot, 3).await;
    assert_eq!(pushes(&bot), [2, 0, 0]);
    let reminded = bot.hear("waits for you since").await;
    assert_eq!(reminded.thread, Some(asked.ts), "in the request's thread");

    // Killed between two steps: what was done is not done again, what is due then is done.
    bot.bot.kill().await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    minutes_later(&bot, 2).await;
    assert_eq!(pushes(&bot), [2, 0, 0]);

    bot.reply("boss", asked.ts, "looking");
    bot.hear("Nobody else is woken before").await;
    minutes_later(&bot, 3).await;
    assert_eq!(pushes(&bot), [2, 0, 0]);
    let foot = bot.slack.of_bot(&bot.room).into_iter().find(|seen| seen.ts == asked.ts).expect("the request");
    assert!(foot.text.contains("boss looks until ") && foot.text.contains("next lin at "), "{}", foot.text);

    minutes_later(&bot, 5).await;
    bot.hear("also asks lin").await;
    assert_eq!(pushes(&bot), [2, 1, 0]);
    // One message was changed, and pushed nobody: who is asked stands at its foot.
    let foot = bot.slack.of_bot(&bot.room).into_iter().find(|seen| seen.ts == asked.ts).expect("the request");
    assert!(foot.text.contains("asked of boss and lin"), "{}", foot.text);
    bot.bot.kill().await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    minutes_later(&bot, 1).await;
    assert_eq!(pushes(&bot), [2, 1, 0]);
    // By a button that the changed message still has.
    bot.slack.press("lin", &bot.room, asked.ts, "approve");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    bot.finish().await;
}

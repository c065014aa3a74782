//! Approving with a passkey from Slack: whoever says `approved` alone sees where, and what they decide there is told in the
//! thread like any other answer.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use reqwest::{Client, StatusCode};
use slack::{Room, Slack};
use slack_bot::{Hears, PEOPLE, SlackBot};
use support::authenticator::{Authenticator, form};
use support::bot::free_port;
use support::passkeys::{catalog, link_in, sentence};
use support::world::{OTHER_ROOM, ROOM};

/// Adds a passkey for somebody, by an invitation of the operator's.
async fn enrol(bot: &SlackBot, origin: &str, person: &str) -> Authenticator {
    let url = bot.bot.url();
    let mut command = bot.bot.command(&["passkey", "invite", person, "--server", &url, "--data"]);
    let output = command.arg(bot.bot.data()).output().await.expect("the program runs");
    let link = String::from_utf8(output.stdout).expect("text").trim().to_owned();
    let http = Client::builder().no_proxy().build().expect("a client");
    let page = http.get(&link).send().await.expect("an answer").text().await.expect("a page");
    let mut authenticator = Authenticator::new(origin);
    let made = http.post(&link).form(&authenticator.make(&page, "phone")).send().await.expect("an answer");
    assert_eq!(made.status(), StatusCode::OK);
    authenticator
}

#[tokio::test]
async fn whoever_approves_in_slack_alone_sees_where_and_the_thread_hears_what_came_of_it() {
    let port = free_port();
    let origin = format!("http://localhost:{port}");
    let slack = Slack::start().await;
    slack.people(&PEOPLE);
    let members: Vec<&str> = PEOPLE.into_iter().chain(["countersign"]).collect();
    let room = slack.channel(ROOM, Room::Public, &members);
    let other = slack.channel(OTHER_ROOM, Room::Private, &members);
    let settings = format!("decisions: {{listen: '127.0.0.1:{port}', url: '{origin}'}}\n");
    let bot = SlackBot::start_in(slack, room, other, catalog(1), Hears::Socket, &settings).await;
    let mut page = Vec::new();

    let mut boss = enrol(&bot, &origin, "boss").await;
    // Two accounts of one person are told in no order.
    let added = bot.rest().await;
    let mut added: Vec<&str> = added.lines().collect();
    added.sort_unstable();
    page.push(added.join("\n"));
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    bot.reply("boss", asked.ts, "approved");
    bot.calm().await;
    let told = bot.hear("needs your passkey").await;
    let link = link_in(&told.text);
    page.push(support::bot::plain(&told.text.replace(&link, "LINK")));
    page.push(format!("besides: {}", bot.rest().await));

    let http = Client::builder().no_proxy().build().expect("a client");
    let shown = http.get(&link).send().await.expect("an answer").text().await.expect("a page");
    let fields = boss.sign(form(&shown, "value=\"approve\""), "approve");
    let done = http.post(&link).form(&fields).send().await.expect("an answer");
    assert_eq!(done.status(), StatusCode::OK);
    page.push(support::bot::plain(&sentence(&done.text().await.expect("a page"))));
    bot.bot.until_run(asked.run, "succeeded").await;
    // Where the test's own script lies differs from run to run.
    let rest = bot.rest().await;
    page.push(rest.lines().filter(|line| !line.contains("(is /")).collect::<Vec<_>>().join("\n"));
    insta::assert_snapshot!(page.join("\n\n"), @"
    direct boss2: A passkey was added for you: phone (number 1). With it you approve what needs one. If that was not you, tell an operator: countersign passkey remove 1.
    direct boss: A passkey was added for you: phone (number 1). With it you approve what needs one. If that was not you, tell an operator: countersign passkey remove 1.

    CODE is not approved yet: it needs your passkey. Decide at LINK until TIME. The link is for you alone and works once. To deny, deny CODE because … is enough.

    besides: 

    CODE is granted: it runs now, and the room tells how it goes.

    system-a: Done in LASTED, approved by boss.
    PRODUCTION · mei asks: roll out on HOST · 1 change, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Why: A test wants it. It has not run before.
    1 ! run    ./step.sh one ok   on HOST, at most 1 min
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    system-a >: boss approved roll out (CODE). Starting. Ledger N · DIGEST
    1 done    run    ./step.sh one ok   LASTED   one ok
    system-a >: mei: roll out is done. LASTED. Ledger N · DIGEST
    @mei
    ");
    bot.finish().await;
}

//! What stands on a page: the same as in chat, all of it, on as many pages as it needs; and what a page does is one transaction.

use std::fmt::Write as _;

use reqwest::StatusCode;

use super::support::authenticator::form;
use super::support::bot::{Reply, plain};
use super::support::passkeys::{World, catalog, policy, sentence};
use super::support::world::Catalog;

/// A policy under which one decision covers more, and by which a denial is carried on.
fn repeating() -> String {
    policy(1).replace("valid_for: 1h", "valid_for: 1h\nrepeat: {runs: 50, within: 1d}")
}

/// The text of a page, without its style and script: its words in order.
fn words_of(page: &str) -> String {
    let body = page.split("<body>").nth(1).expect("a body").split("<script>").next().expect("a page");
    let mut text = String::new();
    let mut in_tag = false;
    for c in body.chars() {
        match c {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            c if !in_tag => text.push(c),
            _ => {}
        }
    }
    let text = text.replace("&#39;", "'").replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    text.replace("&amp;", "&").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every line of a request as the room reads it stands on a page, but for how to answer in the room and who is woken when.
fn same_as_in_chat(asked: &Reply, page: &str) {
    let (text, words) = (asked.text(), words_of(page));
    let mut lines = text.lines();
    let head = lines.next().expect("a decision");
    let (environment, head) = head.split_once(" · ").expect("an environment");
    assert!(words.contains(environment), "{environment}: {words}");
    let (asker, head) = head.split_once(" asks: ").expect("who asks");
    let mut parts: Vec<String> = head.split(" · ").map(|part| part.replacen("at ", "starts at ", 1)).collect();
    parts[0] = head.split(" · ").next().expect("a deed").to_owned();
    parts.push(asker.to_owned());
    for part in parts {
        assert!(words.contains(&part), "`{part}` of the first line is not on the page: {words}");
    }
    for line in lines {
        if line.starts_with("`approved` or ") {
            continue;
        }
        if line.starts_with("Plan ") {
            let foot: Vec<&str> = line.split(" · ").take_while(|part| !part.starts_with("asked of")).collect();
            assert!(words.contains(&foot.join(" · ")), "{line}: {words}");
            continue;
        }
        // Steps are numbered by the list that they stand in.
        let line = line.trim_start();
        let step = line.split_once(' ').filter(|(number, _)| number.parse::<u32>().is_ok());
        let line = step.map_or(line, |(_, step)| step);
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(&line), "`{line}` is not on the page: {words}");
    }
}

#[tokio::test]
async fn chat_and_page_say_the_same_of_a_request() {
    let catalog = catalog(1).file("managers.yaml", &repeating());
    let (world, [mut lin]) = World::with(catalog, ["lin"]).await;
    // Denied, sent back, and asked twice: then with everything that can be said before it.
    world.bot.say("mei", "roll out").await.waiting();
    world.bot.say("boss", "deny because not tonight").await.done();
    let first = world.bot.say("mei", "roll out").await.waiting();
    world.bot.say("lin", &format!("send back {} because later", first.code())).await.done();
    let asked = world.bot.say("mei", "roll out").await.waiting();
    for words in
        ["boss denied the same at", "must be among those who agree", "Agreeing covers up to 50 runs", "lin wanted"]
    {
        assert!(asked.text().contains(words), "{words}: {}", asked.text());
    }
    let (link, _) = world.sent("lin", "approved").await;
    let page = world.page(&link).await;
    same_as_in_chat(&asked, &page);
    let (status, page) = world.post(&link, &lin.sign(form(&page, "value=\"deny\""), "deny")).await;
    assert_eq!(status, StatusCode::OK, "{page}");

    // What starts later.
    let at = world.bot.db().store.clock().now() + chrono::TimeDelta::hours(3);
    let later = world.bot.say("mei", &format!("at {} roll out", at.format("%Y-%m-%d %H:%M"))).await.waiting();
    let (link, _) = world.sent("lin", &format!("approve {}", later.code())).await;
    same_as_in_chat(&later, &world.page(&link).await);
    world.bot.say("mei", &format!("withdraw {}", later.code())).await;
    world.bot.rest().await;
    world.bot.finish().await;
}

/// A catalog whose runbook has a hundred steps.
fn hundred(what: impl Fn(usize) -> String) -> Catalog {
    let mut steps = String::new();
    for number in 1..=100 {
        writeln!(steps, "  - name: s{number}\n    run: {{command: [{}]}}\n    timeout: 60s", what(number))
            .expect("text");
    }
    let text = format!(
        "runbook: long\ntitle: long\nwhy: A test wants it.\nsay: [\"long\"]\nsystem: system-a\napproval: managers\nsteps:\n{steps}"
    );
    // As long as all of that may take.
    let policy = policy(1).replace("valid_for: 1h", "valid_for: 1d");
    catalog(1).file("managers.yaml", &policy).file("long.yaml", &text)
}

#[tokio::test]
async fn a_plan_of_a_hundred_short_steps_is_one_document_of_less_than_30_kb() {
    let (world, [_]) =
        World::with(hundred(|number| format!("/bin/echo, restart, \"service-{number}\"")), ["boss"]).await;
    let asked = world.bot.say("mei", "long").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    assert!(page.len() < 30_000, "{} bytes", page.len());
    assert!(page.contains("value=\"approve\""), "one decides on it");
    same_as_in_chat(&asked, &page);
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn a_plan_of_a_hundred_long_steps_is_decided_once_all_of_it_was_opened() {
    let long = |number: usize| format!("/bin/true, \"{}-{number}\"", "a <b> & 'c' ".repeat(80));
    let (world, [mut boss]) = World::with(hundred(long), ["boss"]).await;
    let asked = world.bot.say("mei", "long").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let (mut at, mut pages) = (link.clone(), Vec::new());
    let last = loop {
        let page = world.page(&at).await;
        assert!(page.len() < 30_000, "{} bytes", page.len());
        pages.push(page.clone());
        assert!(pages.len() < 50, "it ends");
        let Some(next) = page.split("class=\"next\" href=\"").nth(1).and_then(|rest| rest.split('"').next()) else {
            break page;
        };
        assert!(!page.contains("data-challenge="), "nothing to decide with before the last");
        at = format!("{}/{next}", at.rsplit_once('/').expect("a path").0);
    };
    assert!(pages.len() > 3, "{}", pages.len());
    assert_eq!(last.matches("data-challenge=").count(), 2);
    // All of it, in order, and nothing twice.
    let shown: Vec<String> = pages
        .iter()
        .map(|page| {
            let words = words_of(page);
            let (_, steps) = words.split_once(" of 100: ").unwrap_or_else(|| panic!("no steps in {words}"));
            steps.split(" ! marks a step").next().expect("an end").to_owned()
        })
        .collect();
    let shown = shown.join(" ");
    let chat: Vec<String> = asked
        .text()
        .lines()
        .filter(|line| line.contains(" ! run") || line.starts_with("      "))
        .map(|line| {
            let line = line.trim_start();
            let line =
                line.split_once(' ').filter(|(number, _)| number.parse::<u32>().is_ok()).map_or(line, |(_, rest)| rest);
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(chat.len(), 200);
    assert_eq!(shown, chat.join(" "));
    // An address that the page before did not give opens nothing.
    for guess in ["1-AAAAAAAAAAAAAAAAAAAAAA", "99", "0", ""] {
        let status = world.get(&format!("{link}/{guess}")).await.status();
        assert_eq!(status, StatusCode::NOT_FOUND, "{guess}");
    }
    let (status, page) = world.post(&at, &boss.sign(form(&last, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.len() < 30_000, "{} bytes", page.len());
    world.bot.until_run(asked.run(), "succeeded").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn i4_a_decision_that_cannot_be_kept_leaves_its_page_as_it_was() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    let mut world = world;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let fields = boss.sign(form(&page, "value=\"approve\""), "approve");
    // After the page is used up and before the answer counts, the database gives up.
    world
        .bot
        .db()
        .tamper(
            "create function give_up() returns trigger language plpgsql as $$ begin raise exception 'gives up'; end $$; \
             create trigger give_up before insert on decision for each row execute function give_up()",
        )
        .await;
    world.bot.expect_error("a line could not be dealt with");
    world.bot.expect_error("what a passkey decided was not kept");
    let (status, said) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    insta::assert_snapshot!(sentence(&said), @"What you decided could not be kept. Nothing was decided. Open this page again in a moment.");
    assert_eq!(world.events("passkey_used").await.len() + world.events("decided").await.len(), 0);
    world.bot.db().tamper("drop trigger give_up on decision; drop function give_up()").await;

    // Killed and started again: the page stands as it did, and what was signed decides once.
    world.bot.kill().await;
    world.bot.restart().await;
    assert_eq!(world.get(&link).await.status(), StatusCode::OK);
    let (status, said) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let (status, _) = world.post(&link, &fields).await;
    assert_eq!(status, StatusCode::GONE);
    world.bot.until_run(run.run(), "succeeded").await;
    assert_eq!(world.bot.effects(), ["one"]);
    assert_eq!((world.events("passkey_used").await.len(), world.events("decided").await.len()), (1, 1));
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn a_page_that_was_used_up_without_a_decision_says_so() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    // As an earlier release left it that was killed in between.
    world.bot.db().tamper("update decision_link set used_at = made_at, passkey = 1, answer = 'approve'").await;
    let page = world.get(&link).await;
    assert_eq!(page.status(), StatusCode::GONE);
    insta::assert_snapshot!(plain(&sentence(&page.text().await.expect("a page"))), @"This page was used at TIME, to approve CODE, and the bot was stopped before that was said: it decided nothing. Say `approve CODE` where you were asked for a new page. Nothing was decided just now.");
    let (again, _) = world.sent("boss", "approved").await;
    let page = world.page(&again).await;
    // Refused when it is read: lin denies before boss's page says yes.
    world.bot.say("lin", "deny because no").await.done();
    let (status, page) = world.post(&again, &boss.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::GONE, "{page}");
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn the_glass_of_what_wants_a_passkey_is_broken_on_a_page() {
    let burning = policy(1) + "break_glass: {by: [group:support], reviewed_by: [group:managers]}\n";
    let (world, [mut mei, mut boss]) = World::with(catalog(1).file("managers.yaml", &burning), ["mei", "boss"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let reply = world.bot.say("boss", "approved").await.refused();
    let decides = super::support::passkeys::link_in(&reply.text());
    let (link, reply) = world.sent("mei", "break glass because \"it\" burns").await;
    insta::assert_snapshot!(plain(&reply.text().replace(&link, "LINK")), @"(to mei) The glass of CODE is not broken yet: it needs your passkey. Break it at LINK until TIME. The link is for you alone and works once. CODE waits as before for those who are asked.");
    let page = world.page(&link).await;
    assert!(words_of(&page).contains("Your reason: \"it\" burns"), "{}", words_of(&page));
    assert_eq!(page.matches("data-challenge=").count(), 1, "there is nothing else to do there");
    // boss's page is for deciding, and this one is not boss's.
    let glass = form(&page, "value=\"break_glass\"").to_owned();
    let (status, _) = world.post(&link, &boss.sign(&glass, "break_glass")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let theirs = world.page(&decides).await;
    let (status, _) = world.post(&decides, &boss.sign(form(&theirs, "value=\"approve\""), "break_glass")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, page) = world.post(&link, &mei.sign(&glass, "break_glass")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    insta::assert_snapshot!(plain(&sentence(&page)), @"CODE is granted: it runs now, and the room tells how it goes.");
    world.bot.until_run(run.run(), "succeeded").await;
    let broken = world.events("glass_broken").await;
    assert_eq!(broken[0]["what"]["reason"], "\"it\" burns", "{broken:?}");
    assert!(broken[0]["what"]["proof"]["passkey"]["credential"].is_string(), "{broken:?}");
    assert_eq!(world.events("passkey_used").await[0]["what"]["answer"], "break_glass");
    assert!(world.bot.rest().await.contains("GLASS BROKEN"));
    world.bot.finish().await;
}

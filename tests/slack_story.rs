//! The scene of the bones, in Slack: the real program, real processes, a real Postgres, and a workspace that holds every
//! call to Slack's documents. Played by socket and by requests, right and wrong.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use std::time::Duration;

use slack_bot::{Hears, SlackBot};
use support::browser::Browser;
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
    for (who, words) in [("zed", "approved"), ("mei", "approved"), ("boss", "ok"), ("mei", "looks dead to me?")] {
        bot.reply(who, asked.ts, words);
        page.push(format!("{who} says {words}\n{}", bot.rest().await));
    }

    bot.reply("boss", asked.ts, "approved");
    page.push(bot.rest().await);
    bot.bot.until_run(asked.run, "succeeded").await;

    bot.say("mei", "run system a health check");
    page.push(bot.rest().await);
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
    for who in ["mei", "zed"] {
        bot.slack.press(who, &bot.room, asked.ts, "approve");
        page.push(format!("{who} presses approve\n{}", bot.rest().await));
    }
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

/// The night: a service that never ran, and one that dies and is brought back by itself. All that anybody reads of it.
#[tokio::test]
async fn it_recovers_by_itself() {
    let bot = SlackBot::start(Catalog::copied(), Hears::Socket).await;
    let down = bot.hear("Service B is not running").await;
    insta::assert_snapshot!(support::bot::plain(&down.text), @"
    PRODUCTION · System A: Service B is not running since TIME (check running, 2 of 2).
    INC-1 opened. Say what happened, status, or start service b.
    ");
    let dir = countersign::demo::dir_for(&bot.bot.data()).display().to_string();
    let killed = bot.bot.command(&["demo-ctl", "--dir", &dir, "kill", "service-c"]).output().await;
    assert!(killed.expect("the tool runs").status.success());
    for words in ["Service C is not running", "Service C is fine again"] {
        let told = bot.hear(words).await;
        assert!(told.thread.is_none(), "it is told in the room: {}", told.text);
    }
    bot.bot.until_run(countersign::model::id::RunId(1), "succeeded").await;
    let rest = bot.rest().await;
    assert!(rest.contains("Recovering: start service-c"), "{rest}");
    for person in ["boss", "lin"] {
        let pushes = bot.slack.pushes(person);
        assert!(pushes.iter().all(|push| !push.text.contains("Service C")), "nobody is woken for it: {pushes:?}");
    }
    bot.say("boss", "what happened INC-1");
    let happened = bot.hear("INC-1").await;
    assert!(happened.text.contains("Service B"), "{}", happened.text);
    bot.rest().await;
    bot.finish().await;
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

/// Beside a workspace the pages show, to whoever has the key, and do nothing.
#[tokio::test]
async fn the_pages_only_show() {
    let bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    bot.rest().await;
    let chooser = Browser::come_in(&bot.bot).await.page("/people").await;
    assert!(chooser.contains("Through whose eyes?") && !chooser.contains("zed"), "{chooser}");
    let boss = Browser::of(&bot.bot, "boss").await;
    for path in [format!("/runs/{}", asked.run), "/requests".to_owned(), "/systems".to_owned(), "/".to_owned()] {
        let page = boss.get(&path).await.text().await.expect("a page");
        for form in page.split("<form").skip(1) {
            let action = form.split("action=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
            assert!(!action.contains("/rooms/") && !action.contains("/trial/"), "{path}: {action}");
        }
    }
    let run = boss.page(&format!("/runs/{}", asked.run)).await;
    assert!(run.contains("demo-ctl start service-b"), "the plan is shown: {run}");
    let token = boss.token_on("/people").await;
    for (path, command) in [("presses", "command"), ("lines", "text")] {
        for room in ["system-a", bot.room.as_str()] {
            let fields = [("token", token.as_str()), ("id", "1"), ("interaction", "1"), ("message", "m1")];
            let mut fields = fields.to_vec();
            let approve = format!("approve {}", asked.code);
            fields.push((command, &approve));
            let answer = boss.post(&format!("/rooms/{room}/{path}"), &fields).await;
            assert_eq!(answer.status(), reqwest::StatusCode::FORBIDDEN);
        }
    }
    let waits = bot.bot.db().number("select count(*) from request where state = 'pending'").await;
    assert_eq!(waits, 1, "nobody decided");
    bot.finish().await;
}

/// A room that no workspace has is said at the start, and at a reload keeps the catalog before it.
#[tokio::test]
async fn a_room_of_nowhere_is_not_taken() {
    let mut bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    let text = std::fs::read_to_string(bot.bot.catalog("rooms.yaml")).expect("a file");
    bot.bot.expect_error("the catalog is not loaded");
    let more = "  far: {address: \"slack:T0FAR:C1\"}\n  old: {address: \"local:trial:x\"}\n";
    bot.bot.rewrite("rooms.yaml", &format!("{text}{more}"));
    bot.hear("The catalog was changed and is not loaded").await;
    insta::assert_snapshot!(bot.slack.of_bot(&bot.room)[0].text, @r#"
    The catalog was changed and is not loaded; the one before keeps serving:
    The room far is at slack:T0FAR:C1, and the settings name no workspace slack:T0FAR.
    The room old is at local:trial:x, and the trial's own room is closed once there is a chat workspace.
    "#);
    bot.bot.rewrite("rooms.yaml", &text);
    bot.hear("The catalog is loaded again").await;
    bot.finish().await;
}

/// Whoever opens a connection and says nothing, or half of it, holds up neither Slack nor the end.
#[tokio::test]
async fn a_connection_that_says_nothing_holds_nothing_up() {
    use tokio::io::AsyncWriteExt as _;
    let bot = SlackBot::start(Catalog::unwatched(), Hears::Requests).await;
    let address = bot.listens_at();
    let mut open = Vec::new();
    for said in [
        "",
        "POST /slack/events HTTP/1.1\r\nHost: x\r\n",
        "POST /slack/events HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
    ] {
        let mut stream = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(said.as_bytes()).await.expect("sent");
        open.push(stream);
    }
    bot.say("mei", "ping");
    bot.hear("I am here.").await;
    // It ends within ten seconds, with exit code 0, or this fails.
    bot.finish().await;
    drop(open);
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
    insta::assert_snapshot!(bot.rest().await, @r#"system-a: I am here."#);
    bot.finish().await;
}

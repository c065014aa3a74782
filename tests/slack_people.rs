//! Who may do what in Slack: the real program in a workspace of ours, with groups that Slack keeps, and with everybody who
//! is in a channel and is nobody here.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use std::time::Duration;

use serde_json::json;
use slack::{BOT, Fault, Kind, Room, Slack, TEAM};
use slack_bot::{Hears, PEOPLE, SlackBot};
use support::until;
use support::world::{Catalog, OTHER_ROOM, ROOM};

/// The shipped catalog, with the managers' group in Slack.
fn catalog() -> Catalog {
    let listed = "  managers: [boss, lin]";
    let one = r#"boss: {accounts: ["local:trial:boss"]}"#;
    Catalog::unwatched().edited("people.yaml", listed, "  managers: {members_of: \"slack:T0ACME:S0MANAGERS\"}").edited(
        "people.yaml",
        one,
        r#"boss: {accounts: ["local:trial:boss", "local:trial:boss2"]}"#,
    )
}

/// So that what changes in Slack is known within the test.
const OFTEN: &str = "user_groups: {every: 1s, good_for: 5m}\n";

/// So that what is too old is so within the test.
const BRIEFLY: &str = "user_groups: {every: 1s, good_for: 8s}\n";

/// A workspace with its two rooms, before the program starts.
async fn workspace() -> (Slack, String, String) {
    let slack = Slack::start().await;
    slack.people(&PEOPLE);
    let members: Vec<&str> = PEOPLE.into_iter().chain(["countersign"]).collect();
    let room = slack.channel(ROOM, Room::Public, &members);
    let other = slack.channel(OTHER_ROOM, Room::Private, &members);
    (slack, room, other)
}

async fn start(slack: Slack, room: String, other: String, settings: &str) -> SlackBot {
    SlackBot::start_in(slack, room, other, catalog(), Hears::Socket, settings).await
}

/// Waits until the ledger has so many events that say who is in a group.
async fn seen(bot: &SlackBot, times: i64) {
    until("the group is seen", async || {
        let count = bot.bot.db().number("select count(*) from event where kind = 'group_seen'").await;
        (count >= times).then_some(())
    })
    .await;
}

/// The same of those that say that nobody knows.
async fn unseen(bot: &SlackBot, times: i64) {
    until("the group is out of sight", async || {
        let count = bot.bot.db().number("select count(*) from event where kind = 'group_unseen'").await;
        (count >= times).then_some(())
    })
    .await;
}

/// What the ledger says of the group last.
async fn newest(bot: &SlackBot) -> String {
    let text = bot
        .bot
        .db()
        .text(
            "select convert_from(b.body, 'UTF8') from event_body b join event e on e.id = b.event
             where e.kind in ('group_seen', 'group_unseen') order by e.id desc limit 1",
        )
        .await;
    let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    record["what"].to_string()
}

#[tokio::test]
async fn whoever_is_in_the_user_group_approves() {
    let (slack, room, other) = workspace().await;
    // zed is in it and nobody here.
    slack.group("managers", &["boss", "zed"]);
    let bot = start(slack, room, other, OFTEN).await;
    seen(&bot, 1).await;
    let mut page = vec![newest(&bot).await];
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    let shown = bot.rest().await;
    assert!(shown.contains("asked of boss\n"), "{shown}");
    bot.reply("zed", asked.ts, "approved");
    bot.calm().await;
    bot.reply("lin", asked.ts, "approved");
    page.push(bot.rest().await);

    // Between asking and deciding boss is taken out, and lin comes: who comes later is asked of what comes later.
    bot.slack.group("managers", &["lin"]);
    seen(&bot, 2).await;
    page.push(newest(&bot).await);
    let known = page.join("\n");
    assert!(known.contains("lin, ") && known.contains("is not for you to decide. Asked: boss."), "{known}");
    assert!(known.contains(r#""left":["boss"]"#), "{known}");
    // The other account of the same person, which never was in it.
    for who in ["boss", "boss2", "lin"] {
        bot.reply(who, asked.ts, "approved");
        bot.calm().await;
    }
    let said = bot.rest().await;
    assert_eq!(said.matches("was yours to decide and is no longer").count(), 2, "{said}");
    assert_eq!(said.matches("lin, ").count(), 1, "{said}");
    bot.reply("mei", asked.ts, "withdraw");
    bot.bot.until_run(asked.run, "withdrawn").await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn either_account_of_a_person_counts_and_the_person_once() {
    let (slack, room, other) = workspace().await;
    slack.group("managers", &["boss2", "mei"]);
    let bot = start(slack, room, other, "").await;
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    bot.rest().await;
    // In the group, and still the requester (I7).
    bot.reply("mei", asked.ts, "approved");
    bot.calm().await;
    // The account that is not in it belongs to the person who is.
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    let said = bot.rest().await;
    assert!(said.contains("mei, it is your own request: someone else must approve. Asked: boss."), "{said}");
    assert!(said.contains("boss approved"), "{said}");
    bot.finish().await;
}

#[tokio::test]
async fn when_slack_is_silent_nobody_is_in_it_and_it_is_said() {
    let (slack, room, other) = workspace().await;
    slack.group("managers", &["boss"]);
    let bot = start(slack, room, other, BRIEFLY).await;
    seen(&bot, 1).await;
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    bot.rest().await;

    // An operator installed the app again with fewer rights.
    bot.slack.without_scope("usergroups:read");
    bot.slack.forgive("usergroups.users.list", "missing_scope");
    until("nobody knows any more", async || newest(&bot).await.contains("missing_scope").then_some(())).await;
    let mut page = vec![newest(&bot).await];
    bot.reply("boss", asked.ts, "approved");
    bot.calm().await;
    bot.say("boss", "whoami");
    bot.calm().await;
    // Nothing that boss may do by the group, either.
    bot.say("boss", "pause");
    bot.calm().await;
    // Who has the right by the catalog itself keeps it, and is told how it stands.
    bot.say("mei", "start service b");
    page.push(bot.rest().await);

    bot.slack.with_scope("usergroups:read");
    until("it is known again", async || newest(&bot).await.contains("group_seen").then_some(())).await;
    page.push(newest(&bot).await);
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    page.extend(bot.rest().await.split(". Starting").next().map(str::to_owned));
    insta::assert_snapshot!(page.join("\n\n"), @r#"
    {"group":"managers","kind":"group_unseen","user_group":"slack:T0ACME:S0MANAGERS","why":"missing_scope: the app lacks a right; compare it with `countersign slack manifest` and install it again"}

    system-a >: boss, CODE was yours to decide and is no longer. Asked: nobody. I cannot see who is in managers just now: Slack has not told it for LASTED (missing_scope: the app lacks a right; compare it with countersign slack manifest and install it again). Ask an operator.
    system-a: You are boss (slack:T0ACME:U0BOSS), in no group. I cannot see who is in managers just now: Slack has not told it for LASTED (missing_scope: the app lacks a right; compare it with countersign slack manifest and install it again). Ask an operator.
    system-a: boss, you may not pause automation. Ask mei. I cannot see who is in managers just now: Slack has not told it for LASTED (missing_scope: the app lacks a right; compare it with countersign slack manifest and install it again). Ask an operator.
    system-a: Already waiting for nobody since TIME, CODE. again asks anew. I cannot see who is in managers just now: Slack has not told it for LASTED (missing_scope: the app lacks a right; compare it with countersign slack manifest and install it again). Ask an operator.

    {"came":[],"group":"managers","kind":"group_seen","left":[],"members":["boss"],"user_group":"slack:T0ACME:S0MANAGERS"}

    system-a: Done in LASTED, approved by boss.
    PRODUCTION · mei asks: start service-b on HOST · 1 change, no undo · until TIME · CODE
    approved or deny because … here, boss.
    Why: Brings a stopped service back; users see errors until then. It has not run before.
    1 ! run    countersign demo-ctl start service-b   on HOST, at most 1 min
               (is BIN/countersign; gets COUNTERSIGN_DEMO)
    2   check  service-b running   within 30 s, every 2 s
               countersign demo-ctl status service-b
               (is BIN/countersign; gets COUNTERSIGN_DEMO)
    Plan DIGEST · run 1 · policy managers · asked of boss
    system-a >: boss approved start service-b (CODE)
    "#);
    bot.finish().await;
}

#[tokio::test]
async fn a_user_group_that_is_not_there_has_nobody() {
    let (slack, room, other) = workspace().await;
    slack.forgive("usergroups.users.list", "no_such_subteam");
    let bot = start(slack, room, other, OFTEN).await;
    unseen(&bot, 1).await;
    let mut page = vec![newest(&bot).await];
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    bot.reply("boss", asked.ts, "approved");
    let said = bot.rest().await;
    let telling = |line: &&str| ["asked of", "cannot see"].iter().any(|words| line.contains(words));
    page.extend(said.lines().filter(telling).map(str::to_owned));
    insta::assert_snapshot!(page.join("\n"), @r#"
    {"group":"managers","kind":"group_unseen","user_group":"slack:T0ACME:S0MANAGERS","why":"there is no such user group, or it is not in use"}
    Plan DIGEST · run 1 · policy managers · asked of nobody
    I cannot see who is in managers just now: Slack has no user group S0MANAGERS in use. Ask an operator to correct people.yaml.
    system-a >: boss, CODE is not for you to decide. Asked: nobody. I cannot see who is in managers just now: Slack has no user group S0MANAGERS in use. Ask an operator to correct people.yaml.
    "#);
    bot.reply("mei", asked.ts, "withdraw");
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn what_went_wrong_once_is_asked_again_at_once_or_in_its_turn() {
    let (slack, room, other) = workspace().await;
    slack.group("managers", &["boss"]);
    slack.next("usergroups.users.list", Fault::Limited(Duration::from_secs(1)));
    slack.next("usergroups.users.list", Fault::LostBefore);
    slack.next("usergroups.users.list", Fault::Error("internal_error"));
    slack.next("usergroups.users.list", Fault::Status(503));
    slack.limit_until_lifted(Some("usergroups.users.list"), Duration::from_secs(1));
    let bot = start(slack, room, other, OFTEN).await;
    // Nobody has said yet who is in it.
    unseen(&bot, 1).await;
    bot.say("boss", "whoami");
    let said = bot.rest().await;
    assert!(said.contains("I cannot see who is in managers just now: Slack has not told it yet"), "{said}");
    bot.slack.unlimited();
    seen(&bot, 1).await;
    bot.say("boss", "whoami");
    insta::assert_snapshot!(bot.rest().await, @"system-a: You are boss (slack:T0ACME:U0BOSS), in managers.");
    bot.finish().await;
}

#[tokio::test]
async fn i9_nobody_of_slack_is_anybody_here_by_themselves() {
    let slack = Slack::start().await;
    slack.people(&PEOPLE);
    slack.user("robot", Kind::Bot);
    slack.user("visitor", Kind::Guest);
    // The same id as boss has here, in another workspace, would be another account; here a stranger has one of their own.
    slack.user("partner", Kind::Stranger("T0OTHER".to_owned()));
    let members: Vec<&str> = PEOPLE.into_iter().chain(["robot", "visitor", "partner", "countersign"]).collect();
    let room = slack.channel(ROOM, Room::Public, &members);
    let other = slack.channel(OTHER_ROOM, Room::Private, &members);
    // All of them are in the user group too: that makes nobody somebody.
    slack.group("managers", &["robot", "visitor", "partner", "zed"]);
    let bot = start(slack, room, other, OFTEN).await;
    seen(&bot, 1).await;
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    bot.rest().await;

    let mut page = Vec::new();
    for person in ["robot", "visitor", "partner", "zed"] {
        bot.reply(person, asked.ts, "approved");
        bot.calm().await;
        bot.slack.press(person, &bot.room, asked.ts, "approve");
        bot.calm().await;
        bot.say(person, "start service b");
        bot.calm().await;
        bot.say(person, "whoami");
        page.push(format!("{person}:\n{}", bot.rest().await));
    }
    // Whatever an app posts counts as the app's, whoever's name it bears: a workflow, an app with boss's own token, an old
    // integration, and what claims to be the bot.
    bot.slack.integration(&bot.room, "approved");
    let posted = |number: u32, more: serde_json::Value| {
        let mut event = json!({
            "type": "message", "channel": bot.room, "channel_type": "channel", "text": "approved",
            "ts": format!("1790000000.00000{number}"), "event_ts": format!("1790000000.00000{number}"),
            "thread_ts": asked.ts.to_string(), "team": TEAM,
        });
        for (key, value) in more.as_object().expect("fields") {
            event[key] = value.clone();
        }
        bot.slack.event(event);
    };
    posted(1, json!({"user": "U0BOSS", "bot_id": "B0WORKFLOW", "app_id": "A0WORKFLOW"}));
    posted(2, json!({"subtype": "bot_message", "bot_id": "B0OTHER", "username": "boss"}));
    posted(3, json!({"user": BOT}));
    posted(4, json!({"user": "U0BOSS", "user_team": "T0OTHER", "source_team": "T0OTHER"}));
    page.push(format!("apps:\n{}", bot.rest().await));
    let decisions = bot.bot.db().number("select count(*) from decision").await;
    let runs = bot.bot.db().number("select count(*) from run").await;
    assert_eq!((decisions, runs), (0, 1), "nobody decided, and nobody else asked");
    insta::assert_snapshot!(page.join("\n\n"), @r"
    robot:
    only robot >: U0ROBOT (slack:T0ACME:U0ROBOT) is not known here. Ask an operator to add you to people.yaml.

    visitor:
    only visitor >: U0VISITOR (slack:T0ACME:U0VISITOR) is not known here. Ask an operator to add you to people.yaml.
    only visitor >: U0VISITOR (slack:T0ACME:U0VISITOR) is not known here. Ask an operator to add you to people.yaml.
    only visitor: U0VISITOR (slack:T0ACME:U0VISITOR) is not known here. Ask an operator to add you to people.yaml.
    only visitor: You are slack:T0ACME:U0VISITOR, and that is all I know. Ask an operator to add you to people.yaml.

    partner:
    only partner >: U0PARTNER (slack:T0OTHER:U0PARTNER) is not known here. Ask an operator to add you to people.yaml.
    only partner >: U0PARTNER (slack:T0OTHER:U0PARTNER) is not known here. Ask an operator to add you to people.yaml.
    only partner: U0PARTNER (slack:T0OTHER:U0PARTNER) is not known here. Ask an operator to add you to people.yaml.
    only partner: You are slack:T0OTHER:U0PARTNER, and that is all I know. Ask an operator to add you to people.yaml.

    zed:
    only zed >: U0ZED (slack:T0ACME:U0ZED) is not known here. Ask an operator to add you to people.yaml.
    only zed >: U0ZED (slack:T0ACME:U0ZED) is not known here. Ask an operator to add you to people.yaml.
    only zed: U0ZED (slack:T0ACME:U0ZED) is not known here. Ask an operator to add you to people.yaml.
    only zed: You are slack:T0ACME:U0ZED, and that is all I know. Ask an operator to add you to people.yaml.

    apps:
    only boss >: U0BOSS (slack:T0OTHER:U0BOSS) is not known here. Ask an operator to add you to people.yaml.
    ");
    bot.reply("mei", asked.ts, "withdraw");
    bot.rest().await;
    bot.finish().await;
}

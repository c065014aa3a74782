//! Channels of incidents: the real program makes, fills, pins, archives and makes anew in a workspace that holds every
//! call to Slack's documents and answers some of them badly.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use std::time::Duration;

use slack::world::Kind;
use slack::{Fault, Room, Slack, TEAM};
use slack_bot::{Hears, PEOPLE, SlackBot};
use support::bot::plain;
use support::until;
use support::world::{Catalog, OTHER_ROOM, ROOM, step};

/// Incidents of system-a get a channel: mei and lin are called, boss follows.
fn world(more: &str) -> Catalog {
    Catalog::made()
        .edited(
            "system-a.yaml",
            "may_unstick: [group:managers]\n",
            &format!(
                "may_unstick: [group:managers]\nmay_resolve: [group:support, group:managers]\nincident_channel:\n  \
                 in: \"slack:{TEAM}\"\n  invite: [group:support, person:lin]\n  observe: [group:managers]\n{more}"
            ),
        )
        .runbook("roll-out", &[step("one", "ok")])
}

async fn start(more: &str) -> SlackBot {
    SlackBot::start(world(more), Hears::Socket).await
}

/// Waits until nothing is to be done for any channel, and everything is told.
async fn settled(bot: &SlackBot) {
    until("every channel is as it should be", async || {
        let due = "select count(*) from incident_channel where next_try_at is not null";
        (bot.bot.db().number(due).await == 0).then_some(())
    })
    .await;
    bot.calm().await;
    // What was told last may have been the incident's end.
    until("every channel is as it should be in the end", async || {
        let due = "select count(*) from incident_channel where next_try_at is not null";
        (bot.bot.db().number(due).await == 0).then_some(())
    })
    .await;
}

/// The channel that was made under a name.
fn made(bot: &SlackBot, name: &str) -> String {
    bot.slack.made_by_bot().get(name).cloned().unwrap_or_else(|| panic!("#{name}: {:?}", names(&bot.slack)))
}

fn names(slack: &Slack) -> Vec<String> {
    slack.made_by_bot().into_keys().collect()
}

/// What the bot has written in a channel, as it stands there, without its calls of people's names.
fn written(bot: &SlackBot, channel: &str) -> String {
    let texts: Vec<String> = bot.slack.of_bot(channel).into_iter().map(|seen| seen.text).collect();
    plain(&texts.join("\n--\n"))
}

async fn finish(bot: SlackBot) {
    settled(&bot).await;
    bot.rest().await;
    bot.finish().await;
}

async fn count(bot: &SlackBot, sql: &'static str) -> i64 {
    bot.bot.db().number(sql).await
}

#[tokio::test]
async fn a_person_opens_an_incident_and_it_gets_a_channel() {
    let bot = start("").await;
    bot.say("mei", "open incident everything is <!channel> slow");
    settled(&bot).await;
    let channel = made(&bot, "inc-1-system-a");
    let about = bot.slack.about(&channel);
    let members: Vec<&str> = about.members.iter().map(String::as_str).collect();
    assert_eq!(members, ["boss", "boss2", "countersign", "lin", "mei"]);
    assert_eq!(about.topic, "INC-1 · PRODUCTION · System A · everything is &lt;!channel&gt; slow");
    assert!(
        about.purpose.starts_with("INC-1 of System A, made by countersign. Archived when it is resolved. [counter")
    );
    insta::assert_snapshot!(written(&bot, &bot.room), @"
    PRODUCTION · System A: mei opened INC-1: everything is <!channel> slow.
    Say ack to take care of it, note … for its record, resolve when it is over.
    --
    INC-1: talk in #inc-1-system-a. It ends up in the same record.
    ");
    insta::assert_snapshot!(written(&bot, &channel), @"
    INC-1 · PRODUCTION · System A: everything is <!channel> slow.
    Open since TIME.
    Nobody takes care of it yet: say ack.
    No run so far.
    --
    Asked to help: lin and mei. Here to follow it: boss.
    @lin @mei
    ");
    let summary = bot.slack.of_bot(&channel).remove(0);
    assert_eq!(about.pins, [summary.ts]);
    // Who is to help is called once, who follows is not.
    let pushed = |person: &str| bot.slack.pushes(person).len();
    assert_eq!([pushed("mei"), pushed("lin"), pushed("boss"), pushed("zed")], [1, 1, 0, 0]);

    // The channel is a room: every line is heard, and a run that is asked there lives there.
    bot.slack.say("mei", &channel, "I see it too");
    bot.slack.say("mei", &channel, "ack");
    bot.slack.say("mei", &channel, "roll out");
    bot.calm().await;
    let code = bot.bot.db().text("select code from request").await;
    assert_eq!(count(&bot, "select incident from run").await, 1);
    bot.slack.say("boss", &channel, &format!("approve {code}"));
    until("it is done", async || {
        (count(&bot, "select count(*) from run where state = 'succeeded'").await == 1).then_some(())
    })
    .await;
    settled(&bot).await;
    assert_eq!(bot.slack.pushes("boss").len(), 1, "whoever is asked is called");
    let said = written(&bot, &channel);
    let (summary, rest) = said.split_once("\n--\n").expect("several");
    insta::assert_snapshot!(summary, @"
    INC-1 · PRODUCTION · System A: everything is <!channel> slow.
    Open since TIME.
    mei takes care of it.
    Last run: roll out (run 1), succeeded.
    ");
    for words in ["mei takes care of INC-1.", "mei asks: roll out", "boss approved roll out", "mei: roll out is done."]
    {
        assert!(rest.contains(words), "{words}: {rest}");
    }
    // Nothing of it is told in the system's room.
    let before = bot.slack.of_bot(&bot.room).len();
    assert_eq!(before, 2);

    bot.slack.say("mei", &channel, "resolve because it went away");
    settled(&bot).await;
    let about = bot.slack.about(&channel);
    assert!(about.archived);
    let last = plain(&bot.slack.of_bot(&channel).remove(0).text);
    insta::assert_snapshot!(last, @"
    INC-1 · PRODUCTION · System A: everything is <!channel> slow.
    Resolved by mei after LASTED: it went away.
    mei took care of it.
    Last run: roll out (run 1), succeeded.
    ");
    insta::assert_snapshot!(plain(&bot.slack.of_bot(&bot.room).pop().expect("the end").text), @"INC-1 resolved LASTED after it was opened: it went away. Asked 2 people, waited LASTED for approval. report has the whole record. Ledger N · DIGEST");
    // What people said there is part of the record.
    assert_eq!(count(&bot, "select count(*) from event where kind = 'line_said'").await, 6);
    finish(bot).await;
}

#[tokio::test]
async fn a_failing_check_opens_one_and_what_comes_of_it_is_told_there() {
    let catalog = world("").edited(
        "system-a.yaml",
        "running: {command: [/bin/true]}",
        "running: {command: [./step.sh, b, probe], codes: nagios, every: 1s, timeout: 1s}",
    );
    let bot = SlackBot::start(catalog, Hears::Socket).await;
    std::fs::write(bot.bot.side("health-b"), "2").expect("it fails");
    until("it is opened", async || (count(&bot, "select count(*) from incident").await == 1).then_some(())).await;
    settled(&bot).await;
    let channel = made(&bot, "inc-1-system-a");
    insta::assert_snapshot!(written(&bot, &bot.room), @"
    PRODUCTION · System A: Service B is not running since TIME (check running, 2 of 2).
    INC-1 opened. Say what happened or status.
    --
    INC-1: talk in #inc-1-system-a. It ends up in the same record.
    ");
    std::fs::remove_file(bot.bot.side("health-b")).expect("it is well");
    until("it is mitigated", async || {
        (count(&bot, "select count(*) from incident where state = 'mitigated'").await == 1).then_some(())
    })
    .await;
    settled(&bot).await;
    insta::assert_snapshot!(written(&bot, &channel), @"
    INC-1 · PRODUCTION · System A: Service B is not running.
    Its service is well since TIME; it stays open until resolve.
    Nobody takes care of it yet: say ack.
    No run so far.
    --
    Asked to help: lin and mei. Here to follow it: boss.
    @lin @mei
    --
    Service B is fine again after LASTED. INC-1 stays open until resolve.
    ");
    bot.say("boss", "resolve");
    settled(&bot).await;
    assert!(bot.slack.about(&channel).archived);
    finish(bot).await;
}

/// Every call of Slack's goes wrong once, in every way that passes: there is one channel, and it is as it should be.
#[tokio::test]
async fn what_goes_wrong_and_passes_leaves_one_channel() {
    let bot = start("").await;
    for (method, done_already) in [
        ("conversations.create", "name_taken"),
        ("conversations.invite", "already_in_channel"),
        ("pins.add", "already_pinned"),
        ("conversations.archive", "already_archived"),
    ] {
        bot.slack.forgive(method, done_already);
    }
    let methods = [
        "conversations.create",
        "conversations.setPurpose",
        "conversations.invite",
        "conversations.setTopic",
        "pins.add",
    ];
    let faults = [
        Fault::Limited(Duration::from_secs(1)),
        Fault::Status(503),
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::Error("internal_error"),
    ];
    let incident = i64::try_from(faults.len()).expect("few");
    // The faults are met by whichever channel comes next: every method meets every fault once.
    for turn in 0..faults.len() {
        for (number, method) in methods.iter().enumerate() {
            bot.slack.next(method, faults[(turn + number) % faults.len()].clone());
        }
        bot.say("mei", &format!("open incident number {}", turn + 1));
    }
    settled(&bot).await;
    assert_eq!(names(&bot.slack).len(), usize::try_from(incident).expect("few"), "{:?}", names(&bot.slack));
    for number in 1..=incident {
        let channel = made(&bot, &format!("inc-{number}-system-a"));
        let about = bot.slack.about(&channel);
        assert_eq!((about.members.len(), about.pins.len()), (5, 1), "{number}");
        assert!(
            about.topic.ends_with(&format!("number {number}")) && about.purpose.contains("[countersign"),
            "{number}"
        );
    }
    let wrong = "select count(*) from event where kind = 'incident_room_refused'";
    assert_eq!(count(&bot, wrong).await, 0);
    for (number, fault) in (1..).zip(faults) {
        bot.slack.next("conversations.archive", fault);
        bot.say("mei", &format!("resolve INC-{number}"));
        let name = format!("inc-{number}-system-a");
        until("it is archived", async || bot.slack.about(&made(&bot, &name)).archived.then_some(())).await;
    }
    settled(&bot).await;
    let archived = "select count(*) from incident_channel where 'archive' = any(done)";
    assert_eq!((count(&bot, archived).await, count(&bot, wrong).await), (5, 0));
    finish(bot).await;
}

/// What Slack will not do is said once, with what to do, and the incident goes on.
#[tokio::test]
async fn what_is_refused_is_said_once_and_the_incident_goes_on() {
    let bot = start("").await;
    bot.slack.next("conversations.create", Fault::Error("restricted_action"));
    bot.say("mei", "open incident one");
    settled(&bot).await;
    assert_eq!(names(&bot.slack), Vec::<String>::new());
    bot.slack.without_scope("channels:manage");
    bot.say("mei", "open incident two");
    settled(&bot).await;
    bot.slack.with_scope("channels:manage");
    bot.say("mei", "ack INC-2");
    bot.say("mei", "resolve INC-2");
    bot.say("mei", "resolve INC-1");
    settled(&bot).await;
    insta::assert_snapshot!(written(&bot, &bot.room), @"
    PRODUCTION · System A: mei opened INC-1: one.
    Say ack to take care of it, note … for its record, resolve when it is over.
    --
    INC-1 gets no channel of its own and is talked about here. restricted_action: this workspace does not let the app do it; an owner can allow it under Settings, Permissions.
    --
    PRODUCTION · System A: mei opened INC-2: two.
    Say ack to take care of it, note … for its record, resolve when it is over.
    --
    INC-2 gets no channel of its own and is talked about here. missing_scope: Slack wants the right channels:manage for it; add it as countersign slack manifest has it, and install the app again.
    --
    mei takes care of INC-2.
    --
    INC-2 resolved LASTED after it was opened. Nobody was asked to approve. report has the whole record. Ledger N · DIGEST
    --
    INC-1 resolved LASTED after it was opened. Nobody was asked to approve. report has the whole record. Ledger N · DIGEST
    ");
    assert_eq!(names(&bot.slack), Vec::<String>::new());

    bot.slack.without_scope("pins:write");
    for method in ["conversations.invite", "conversations.setTopic", "conversations.archive"] {
        bot.slack.next(method, Fault::Error("restricted_action"));
    }
    bot.say("mei", "open incident three");
    settled(&bot).await;
    let channel = made(&bot, "inc-3-system-a");
    insta::assert_snapshot!(written(&bot, &channel), @"
    INC-3 · PRODUCTION · System A: three.
    Open since TIME.
    Nobody takes care of it yet: say ack.
    No run so far.
    --
    The topic of this channel could not be set. restricted_action: this workspace does not let the app do it; an owner can allow it under Settings, Permissions.
    --
    The summary could not be pinned. missing_scope: Slack wants the right pins:write for it; add it as countersign slack manifest has it, and install the app again.
    ");
    bot.slack.join("zed", &channel);
    bot.slack.say("zed", &channel, "hello");
    bot.say("mei", "resolve");
    settled(&bot).await;
    assert!(!bot.slack.about(&channel).archived);
    let room = written(&bot, &bot.room);
    let (_, said) = room.split_once("opened INC-3").expect("the third");
    insta::assert_snapshot!(said, @"
    : three.
    Say ack to take care of it, note … for its record, resolve when it is over.
    --
    INC-3: talk in #inc-3-system-a. It ends up in the same record.
    --
    Nobody could be invited to the channel of INC-3: come by yourselves. restricted_action: this workspace does not let the app do it; an owner can allow it under Settings, Permissions.
    --
    INC-3 resolved LASTED after it was opened. Nobody was asked to approve. report has the whole record. Ledger N · DIGEST
    --
    The channel of INC-3 could not be archived: do it by hand. restricted_action: this workspace does not let the app do it; an owner can allow it under Settings, Permissions.
    ");
    bot.slack.pardon();
    finish(bot).await;
}

#[tokio::test]
async fn a_name_of_somebody_elses_is_left_alone() {
    let slack = Slack::start().await;
    slack.people(&PEOPLE);
    let members: Vec<&str> = PEOPLE.into_iter().chain(["countersign"]).collect();
    let room = slack.channel(ROOM, Room::Public, &members);
    let other = slack.channel(OTHER_ROOM, Room::Private, &members);
    // One that the bot is in, one that it cannot see, and one that is archived.
    let public = slack.channel("inc-1-system-a", Room::Public, &["mei", "countersign"]);
    slack.channel("inc-1-system-a-2", Room::Private, &["boss"]);
    let old = slack.channel("inc-1-system-a-3", Room::Public, &["mei", "countersign"]);
    let bot = SlackBot::start_in(slack, room, other, world(""), Hears::Socket, "").await;
    bot.slack.archive("mei", &old);
    bot.slack.forgive("conversations.create", "name_taken");
    bot.say("mei", "open incident everything is slow");
    settled(&bot).await;
    assert!(!bot.slack.about(&made(&bot, "inc-1-system-a-4")).topic.is_empty());
    // Also one that the bot itself has made, of old.
    assert!(made(&bot, "inc-1-system-a") == public && bot.slack.about(&public).topic.is_empty());
    assert!(written(&bot, &bot.room).contains("talk in #inc-1-system-a-4"));
    finish(bot).await;
}

/// Killed in the middle of every deed: what was done is found, and what was not is done.
#[tokio::test]
async fn killed_at_any_deed_it_goes_on_where_it_was() {
    let mut bot = start("").await;
    // Catching up after the start may meet the channel in the moment in which it is archived.
    bot.bot.tolerate_error("a declared room is closed to the bot");
    // News of a channel may come while nobody is there.
    bot.slack.retries(&[Duration::from_secs(1); 30]);
    bot.slack.forgive("conversations.create", "name_taken");
    bot.slack.forgive("conversations.invite", "already_in_channel");
    let never = Fault::Slow(Duration::from_secs(600));
    let deeds = [
        "conversations.create",
        "conversations.setPurpose",
        "conversations.invite",
        "conversations.setTopic",
        "pins.add",
    ];
    for (number, method) in (1_i64..).zip(deeds) {
        bot.slack.next(method, never.clone());
        bot.say("mei", &format!("open incident number {number}"));
        bot.slack.until("the call", |slack| (slack.unmet(method) == 0).then_some(())).await;
        bot.bot.kill().await;
        bot.bot.restart().await;
        bot.hears(Hears::Socket).await;
        settled(&bot).await;
        let about = bot.slack.about(&made(&bot, &format!("inc-{number}-system-a")));
        assert_eq!((about.members.len(), about.pins.len()), (5, 1), "{method}");
        assert_eq!(names(&bot.slack).len(), usize::try_from(number).expect("few"), "{method}");
    }
    // Slack did it, and nobody was there to hear so.
    bot.slack.next("conversations.create", Fault::LostAfter);
    bot.say("mei", "open incident number 6");
    bot.slack.until("the call", |slack| (slack.unmet("conversations.create") == 0).then_some(())).await;
    bot.bot.kill().await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    settled(&bot).await;
    assert_eq!(names(&bot.slack).len(), 6);
    bot.slack.next("conversations.archive", never);
    bot.say("mei", "resolve INC-6");
    bot.slack.until("the call", |slack| (slack.unmet("conversations.archive") == 0).then_some(())).await;
    bot.bot.kill().await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    settled(&bot).await;
    assert!(bot.slack.about(&made(&bot, "inc-6-system-a")).archived);
    finish(bot).await;
}

#[tokio::test]
async fn two_at_once_get_two_and_each_channel_means_its_own() {
    let bot = start("").await;
    bot.say("mei", "open incident one");
    bot.say("boss", "open incident two");
    settled(&bot).await;
    assert_eq!(names(&bot.slack), ["inc-1-system-a", "inc-2-system-a"]);
    // Where two are open a word without a number asks which; in the channel of one it means that one.
    bot.say("mei", "resolve");
    settled(&bot).await;
    assert_eq!(count(&bot, "select count(*) from incident where state = 'resolved'").await, 0);
    let second = made(&bot, "inc-2-system-a");
    bot.slack.say("mei", &second, "resolve INC-1");
    bot.slack.say("mei", &second, "resolve");
    settled(&bot).await;
    assert_eq!(count(&bot, "select id from incident where state = 'resolved'").await, 2);
    assert!(bot.slack.about(&second).archived && !bot.slack.about(&made(&bot, "inc-1-system-a")).archived);
    // To be in a channel is no right.
    let first = made(&bot, "inc-1-system-a");
    bot.slack.join("zed", &first);
    bot.slack.say("zed", &first, "resolve");
    settled(&bot).await;
    assert_eq!(count(&bot, "select count(*) from incident where state = 'resolved'").await, 1);
    finish(bot).await;
}

/// Slack lets no bot open an archived channel again: another is made.
#[tokio::test]
async fn reopened_it_gets_another_channel() {
    let bot = start("").await;
    bot.say("mei", "open incident everything is slow");
    settled(&bot).await;
    bot.say("mei", "resolve");
    settled(&bot).await;
    assert!(bot.slack.about(&made(&bot, "inc-1-system-a")).archived);
    bot.say("mei", "reopen INC-1 because it is back");
    settled(&bot).await;
    assert_eq!(names(&bot.slack), ["inc-1-system-a", "inc-1-system-a-2"]);
    let again = made(&bot, "inc-1-system-a-2");
    bot.slack.say("mei", &again, "ack");
    settled(&bot).await;
    insta::assert_snapshot!(written(&bot, &again), @"
    INC-1 · PRODUCTION · System A: everything is slow.
    Open since TIME.
    mei takes care of it.
    No run so far.
    --
    Asked to help: lin and mei. Here to follow it: boss.
    @lin @mei
    --
    mei takes care of INC-1.
    ");
    insta::assert_snapshot!(written(&bot, &bot.room), @"
    PRODUCTION · System A: mei opened INC-1: everything is slow.
    Say ack to take care of it, note … for its record, resolve when it is over.
    --
    INC-1: talk in #inc-1-system-a. It ends up in the same record.
    --
    INC-1 resolved LASTED after it was opened. Nobody was asked to approve. report has the whole record. Ledger N · DIGEST
    --
    mei reopened INC-1: it is back. Say what happened for its story.
    --
    INC-1: talk in #inc-1-system-a-2. It ends up in the same record.
    ");
    bot.slack.say("mei", &again, "resolve");
    settled(&bot).await;
    assert!(bot.slack.about(&again).archived);
    finish(bot).await;
}

/// Somebody archives the channel by hand, or takes the bot out of it, while the incident is open: it goes on in another.
#[tokio::test]
async fn closed_by_hand_it_goes_on_in_another() {
    let bot = start("").await;
    bot.say("mei", "open incident everything is slow");
    settled(&bot).await;
    bot.slack.forgive("chat.postMessage", "is_archived");
    bot.slack.forgive("chat.update", "not_in_channel");
    bot.slack.forgive("chat.postMessage", "not_in_channel");
    bot.slack.archive("boss", &made(&bot, "inc-1-system-a"));
    bot.say("mei", "ack INC-1");
    bot.slack.until("another", |slack| slack.made_by_bot().get("inc-1-system-a-2").cloned()).await;
    settled(&bot).await;
    let again = made(&bot, "inc-1-system-a-2");
    assert!(written(&bot, &again).contains("mei takes care of it."), "{}", written(&bot, &again));
    assert_eq!(bot.slack.about(&again).pins.len(), 1);
    bot.slack.remove_bot(&again);
    bot.say("lin", "ack INC-1");
    bot.slack.until("another", |slack| slack.made_by_bot().get("inc-1-system-a-3").cloned()).await;
    settled(&bot).await;
    bot.say("mei", "resolve");
    settled(&bot).await;
    assert!(bot.slack.about(&made(&bot, "inc-1-system-a-3")).archived);
    finish(bot).await;
}

#[tokio::test]
async fn one_that_is_kept_is_used_again_and_a_private_one_is_private() {
    let bot = start("  private: true\n  archive_on_resolve: false\n  name: \"War Room {incident}!\"\n").await;
    bot.say("mei", "open incident everything is slow");
    settled(&bot).await;
    let channel = made(&bot, "war-room-1");
    bot.slack.say("mei", &channel, "resolve");
    settled(&bot).await;
    assert!(!bot.slack.about(&channel).archived);
    bot.slack.say("mei", &channel, "reopen");
    bot.slack.say("mei", &channel, "ack");
    settled(&bot).await;
    assert_eq!(names(&bot.slack), ["war-room-1"]);
    insta::assert_snapshot!(written(&bot, &channel), @"
    INC-1 · PRODUCTION · System A: everything is slow.
    Open since TIME.
    mei takes care of it.
    No run so far.
    --
    Asked to help: lin and mei. Here to follow it: boss.
    @lin @mei
    --
    INC-1 resolved LASTED after it was opened. Nobody was asked to approve. report has the whole record. Ledger N · DIGEST
    --
    mei reopened INC-1. Say what happened for its story.
    --
    mei takes care of INC-1.
    ");
    assert!(bot.slack.calls_of("conversations.create").iter().all(|call| call.arguments["is_private"] == true));
    finish(bot).await;
}

/// Who cannot come is named, and the others are invited.
#[tokio::test]
async fn who_cannot_be_invited_is_named() {
    let slack = Slack::start().await;
    slack.people(&PEOPLE);
    slack.user("guest", Kind::Guest);
    slack.people(&["gone"]);
    slack.deactivate("gone");
    let members: Vec<&str> = PEOPLE.into_iter().chain(["countersign"]).collect();
    let room = slack.channel(ROOM, Room::Public, &members);
    let other = slack.channel(OTHER_ROOM, Room::Private, &members);
    let catalog = world("").edited(
        "people.yaml",
        "groups:\n  support: [mei]\n",
        "  yuki: {accounts: [\"slack:T0OTHER:U0YUKI\"]}\n  visitor: {accounts: [\"local:trial:guest\"]}\n  \
         gone: {accounts: [\"local:trial:gone\"]}\ngroups:\n  support: [mei, yuki, visitor, gone]\n",
    );
    let bot = SlackBot::start_in(slack, room, other, catalog, Hears::Socket, "").await;
    bot.say("mei", "open incident everything is slow");
    settled(&bot).await;
    let channel = made(&bot, "inc-1-system-a");
    insta::assert_snapshot!(written(&bot, &channel), @"
    INC-1 · PRODUCTION · System A: everything is slow.
    Open since TIME.
    Nobody takes care of it yet: say ack.
    No run so far.
    --
    Asked to help: lin and mei. Here to follow it: boss. Not invited: yuki (no account in this workspace), gone (no active account in this workspace), visitor (a guest of other channels).
    @lin @mei
    ");
    let members = bot.slack.about(&channel).members;
    assert_eq!(members.iter().map(String::as_str).collect::<Vec<_>>(), ["boss", "boss2", "countersign", "lin", "mei"]);
    bot.slack.pardon();
    finish(bot).await;
}

/// A workspace that is not served is told in words; the catalog before keeps serving.
#[tokio::test]
async fn a_workspace_that_nobody_serves_is_told_when_the_catalog_is_read_again() {
    let mut bot = start("").await;
    bot.bot.expect_error("is not loaded");
    let text = std::fs::read_to_string(bot.bot.catalog("system-a.yaml")).expect("a file");
    bot.bot.rewrite("system-a.yaml", &text.replace(&format!("in: \"slack:{TEAM}\""), "in: \"slack:T0ELSE\""));
    let said = bot.hear("T0ELSE").await;
    insta::assert_snapshot!(said.text, @"
    The catalog was changed and is not loaded; the one before keeps serving:
    incidents of system-a are to get channels in slack:T0ELSE, and the bot does not speak to that workspace: correct in of its incident_channel, or add the workspace to the settings
    ");
    bot.bot.rewrite("system-a.yaml", &text);
    for _room in [ROOM, OTHER_ROOM] {
        bot.hear("loaded again").await;
    }
    finish(bot).await;
}

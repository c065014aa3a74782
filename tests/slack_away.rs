//! What happens when the bot does not hear Slack for a while: the real program, killed, deafened, limited and brought back,
//! in a workspace of ours that goes on without it.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use std::time::Duration;

use countersign::incident::report;
use countersign::ledger;
use countersign::model::id::IncidentId;
use countersign::model::report::Verification;
use countersign::text::time::Times;
use slack::{Fault, Release};
use slack_bot::{Hears, SlackBot};
use sqlx::AssertSqlSafe;
use support::until;
use support::world::Catalog;

const MINUTE: Duration = Duration::from_secs(60);

impl SlackBot {
    /// Waits until the bot knows up to when it has heard its room.
    async fn knows_its_room(&self) {
        until("a position in the room", async || {
            (self.bot.db().number("select count(*) from room_heard").await == 1).then_some(())
        })
        .await;
    }

    /// The bot dies, and it is as if it had died so long ago.
    async fn dies(&mut self, ago: Duration) {
        self.knows_its_room().await;
        self.bot.kill().await;
        self.was_gone_for(ago).await;
        self.slack.hold();
    }

    async fn was_gone_for(&self, ago: Duration) {
        let sql = format!(
            "update room_heard set known_from = now() - interval '2 days', heard_until = now() - interval '{} seconds'",
            ago.as_secs()
        );
        sqlx::query(AssertSqlSafe(sql)).execute(&mut self.bot.db().connection().await).await.expect("updated");
    }

    /// It comes back; whatever Slack wanted to deliver meanwhile is lost.
    async fn comes_back(&mut self) {
        self.slack.lose();
        self.bot.restart().await;
        self.hears(Hears::Socket).await;
    }

    async fn ask(&self, path: &str) -> (u16, String) {
        let http = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = http.get(format!("{}/{path}", self.bot.url())).timeout(Duration::from_secs(60));
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("text"))
    }

    /// The timeline of an incident's report.
    async fn report(&self, incident: IncidentId) -> String {
        let store = &self.bot.db().store;
        let verified = ledger::verify(store, &[]).await.expect("it can be verified");
        let (position, hash) = verified.head.expect("a head");
        let verification = Verification { sound: true, position, hash, findings: Vec::new(), total: 0 };
        let times = Times::in_zone(chrono_tz::Tz::UTC);
        let report =
            report::gather(store, incident, verification, &times).await.expect("gathered").expect("it is there");
        let lines: Vec<String> = report.timeline.iter().map(|row| format!("{} {}", row.actor, row.words)).collect();
        lines.join("\n")
    }

    async fn events(&self, kind: &'static str) -> i64 {
        let sql = format!("select count(*) from event where kind = '{kind}'");
        let mut connection = self.bot.db().connection().await;
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("a number")
    }

    /// Waits until the bot has told so many gaps, and reads what it says.
    async fn told(&self, gaps: i64) -> String {
        until("the end of the gap", async || (self.events("was_away").await >= gaps).then_some(())).await;
        clockless(&self.rest().await)
    }
}

/// Without times of day; what has a zone is hidden already. Around midnight a gap has dates.
fn clockless(text: &str) -> String {
    let is_clock = |word: &str| {
        word.len() == 5
            && word.bytes().enumerate().all(|(at, byte)| if at == 2 { byte == b':' } else { byte.is_ascii_digit() })
    };
    let said: Vec<String> = text
        .split(' ')
        .map(|word| match word.split_once('–') {
            Some((from, to)) if is_clock(from) => format!("HH:MM–{to}"),
            _ if is_clock(word) => "HH:MM".to_owned(),
            _ => word.to_owned(),
        })
        .collect();
    said.join(" ")
}

#[tokio::test]
async fn what_was_said_meanwhile_is_kept_and_what_is_too_late_is_told_once() {
    let mut bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    bot.rest().await;
    bot.dies(13 * MINUTE).await;
    // In another order than they are read.
    let room = bot.room.clone();
    bot.slack.said("boss", &room, "approved", 9 * MINUTE);
    bot.slack.said("mei", &room, "start service c", 11 * MINUTE);
    bot.slack.said("mei", &room, "is anybody there", 8 * MINUTE);
    bot.slack.said("zed", &room, "start service b", 7 * MINUTE);
    bot.slack.said("lin", &room, "strat service c", 6 * MINUTE);
    let changed = bot.slack.said("lin", &room, "ping", 5 * MINUTE);
    bot.slack.edit("lin", &room, changed, "stop service c");
    bot.comes_back().await;
    insta::assert_snapshot!(bot.told(1).await, @"system-a: I was away HH:MM–TIME. Not done: mei HH:MM start service c; boss HH:MM approved; lin HH:MM strat service c; lin HH:MM stop service c (edited). Say it again if still wanted.");
    assert_eq!(bot.bot.db().number("select count(*) from inbox where outcome = 'recorded'").await, 5);
    assert_eq!(bot.bot.db().number("select count(*) from missed_line").await, 0);
    let states = "select count(*) from request where state = 'pending'";
    assert_eq!(bot.bot.db().number(states).await, 1, "an old approval approves nothing");
    // Said again it is done.
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn i6_what_is_still_fresh_acts_once_however_often_it_comes() {
    let mut bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    bot.say("mei", "start service b");
    let asked = bot.request().await;
    bot.rest().await;
    bot.dies(MINUTE).await;
    bot.reply("boss", asked.ts, "approved");
    bot.say("mei", "is service c running");
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.hear("Service C is running").await;
    // Slack delivers both late, the last first.
    bot.slack.release(Release::Reversed);
    bot.rest().await;
    assert_eq!(bot.bot.db().number("select count(*) from attempt where run = 1 and step = 1").await, 1);
    assert_eq!(bot.bot.db().number("select count(*) from decision").await, 1);
    assert_eq!(bot.events("was_away").await, 0, "a minute is not worth a word");
    bot.finish().await;
}

#[tokio::test]
async fn i5_killed_between_reading_and_telling_it_tells_all_the_same_and_once() {
    let mut bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    bot.dies(13 * MINUTE).await;
    let room = bot.room.clone();
    bot.slack.said("mei", &room, "start service b", 11 * MINUTE);
    // Nobody gets to the end of the gap.
    let mut holder = bot.bot.db().connection().await;
    for sql in ["begin", "select 1 from room_heard for update"] {
        sqlx::query(sql).execute(&mut holder).await.expect("locked");
    }
    bot.comes_back().await;
    until("the line is read", async || {
        (bot.bot.db().number("select count(*) from missed_line").await == 1).then_some(())
    })
    .await;
    assert_eq!(bot.events("was_away").await, 0);
    bot.bot.kill().await;
    sqlx::query("rollback").execute(&mut holder).await.expect("let go");
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    insta::assert_snapshot!(bot.told(1).await, @"system-a: I was away HH:MM–TIME. Not done: mei HH:MM start service b. Say it again if still wanted.");
    // Nor do two more starts in a row say it again.
    for _ in 0..2 {
        bot.knows_its_room().await;
        bot.bot.kill().await;
        bot.bot.restart().await;
        bot.hears(Hears::Socket).await;
        let looked = bot.slack.calls_of("conversations.history").len();
        bot.slack
            .until("the room is read", |slack| (slack.calls_of("conversations.history").len() > looked).then_some(()))
            .await;
    }
    assert_eq!((bot.rest().await.as_str(), bot.events("was_away").await), ("", 1));
    bot.finish().await;
}

#[tokio::test]
async fn whoever_speaks_is_answered_while_slack_limits_the_reading() {
    let mut bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    bot.dies(13 * MINUTE).await;
    let room = bot.room.clone();
    bot.slack.said("mei", &room, "start service b", 11 * MINUTE);
    bot.slack.limit_until_lifted(Some("conversations.history"), Duration::from_secs(1));
    bot.comes_back().await;
    bot.say("mei", "ping");
    let answered = "select count(*) from inbox where text = 'ping' and outcome = 'answered'";
    until("an answer", async || (bot.bot.db().number(answered).await == 1).then_some(())).await;
    bot.hear("I am here").await;
    assert_eq!(bot.events("was_away").await, 0);
    bot.slack.unlimited();
    assert!(bot.told(1).await.contains("Not done: mei HH:MM start service b."));
    bot.finish().await;
}

#[tokio::test]
async fn by_requests_the_start_reads_what_was_missed() {
    let mut bot = SlackBot::start(Catalog::unwatched(), Hears::Requests).await;
    bot.dies(13 * MINUTE).await;
    let room = bot.room.clone();
    bot.slack.said("mei", &room, "start service b", 11 * MINUTE);
    bot.slack.lose();
    bot.bot.restart().await;
    assert!(bot.told(1).await.contains("Not done: mei HH:MM start service b."));
    assert_eq!(bot.ask("healthz").await, (200, "ok\n".to_owned()));
    bot.say("mei", "ping");
    bot.hear("I am here").await;
    bot.finish().await;
}

#[tokio::test]
async fn a_socket_that_went_dumb_is_noticed_told_and_opened_again() {
    let bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    bot.knows_its_room().await;
    bot.slack.retries(&[Duration::from_secs(1); 3]);
    // Until it has been seen.
    for _ in 0..100 {
        bot.slack.next("apps.connections.open", Fault::Status(503));
    }
    bot.slack.freeze_sockets();
    bot.say("mei", "is service c running");
    let told = until("it is told", async || {
        let (status, text) = bot.ask("healthz").await;
        assert_eq!(status, 200, "{text}");
        text.contains("has not been heard").then_some(text)
    })
    .await;
    let silent =
        told.strip_prefix("ok\nSlack (T0ACME) has not been heard for ").and_then(|rest| rest.split(' ').next());
    let silent: u64 = silent.and_then(|seconds| seconds.parse().ok()).unwrap_or_else(|| panic!("{told}"));
    assert!(silent >= 15, "{told}");
    let (_, metrics) = bot.ask("metrics").await;
    assert!(metrics.contains("countersign_chat_deaf{workspace=\"slack:T0ACME\"} 1"), "{metrics}");
    bot.slack.faultless("apps.connections.open");
    bot.hear("Service C is running").await;
    assert_eq!(bot.ask("healthz").await, (200, "ok\n".to_owned()));
    bot.rest().await;
    assert_eq!(bot.events("was_away").await, 0);
    bot.finish().await;
}

#[tokio::test]
async fn what_happens_to_a_room_stands_in_the_ledger_once_and_in_its_incident() {
    let mut bot = SlackBot::start(Catalog::unwatched(), Hears::Socket).await;
    bot.knows_its_room().await;
    bot.say("mei", "open incident system a: everything is slow");
    bot.rest().await;
    bot.slack.twice();
    let room = bot.room.clone();
    bot.slack.leave("lin", &room);
    bot.slack.join("lin", &room);
    bot.slack.rename("mei", &room, "incidents-old");
    until("three events", async || (bot.events("room_changed").await == 3).then_some(())).await;
    bot.slack.settled().await;
    // What stands in a room that has another name is read anew.
    bot.rest().await;
    assert_eq!((bot.events("room_changed").await, bot.slack.of_bot(&room).len()), (3, 1), "nothing is said");
    // Edits and links of Slack's own are nothing that happened to the room, and what is told stands in the report.
    let report = bot.report(IncidentId(1)).await;
    for words in ["lin left ", "lin joined ", " get the name incidents-old"] {
        assert_eq!(report.matches(words).count(), 1, "{words}: {report}");
    }
    // Loudly: the bot is taken out of a declared room.
    bot.bot.expect_error("taken out of a declared room");
    bot.bot.tolerate_error("a declared room is closed to the bot");
    bot.slack.remove_bot(&room);
    until("it is told", async || {
        let (status, text) = bot.ask("readyz").await;
        (status == 200 && text.contains("One declared room of Slack (T0ACME) is closed to the bot")).then_some(())
    })
    .await;
    // It has looked, too: a look that comes after the invitation, and before the news of it, would be one at an open room.
    bot.slack
        .until("it sees that it is not in there", |slack| {
            let seen = slack.calls_of("conversations.info");
            seen.iter().any(|call| call.answer["channel"]["is_member"] == false).then_some(())
        })
        .await;
    // What is said while it is not wanted there is not its to read.
    bot.slack.say("mei", &room, "now that it is gone");
    bot.slack.invite_bot("mei", &room);
    until("all is well", async || (bot.ask("readyz").await == (200, "ready\n".to_owned())).then_some(())).await;
    bot.say("mei", "ping");
    bot.hear("I am here").await;
    assert_eq!(bot.bot.db().number("select count(*) from inbox where text like 'now that%'").await, 0);
    assert_eq!(bot.events("room_changed").await, 5);
    bot.finish().await;
}

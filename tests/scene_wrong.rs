//! The scene, going wrong: each time one clear sentence, and nothing executed that should not be.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use countersign::chat::Inbound as _;
use countersign::chat::room::LocalRoom;
use countersign::engine::plan::LocalWorld;
use countersign::flow::App;
use countersign::model::chat::{Addressed, Incoming, Said};
use countersign::model::id::MessageId;
use countersign::text::time::Times;
use countersign::web::wire::{KeptAs, SettledAs};
use serde_json::Value;
use support::bot::Bot;
use support::until;
use support::world::{Catalog, OTHER_ROOM, runbook, step};

const NOTHING: [&str; 0] = [];

/// `roll out`: two steps that work.
fn rolling_out() -> Catalog {
    Catalog::made().runbook("roll-out", &[step("copy", "ok"), step("restart", "ok")])
}

/// `roll out`: its second step waits for the test.
fn rolling_out_slowly() -> Catalog {
    Catalog::made().runbook("roll-out", &[step("copy", "ok"), step("restart", "wait"), step("verify", "ok")])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[tokio::test]
async fn a_stranger_can_only_ask_who_they_are() {
    let bot = Bot::start(rolling_out()).await;
    let reply = bot.say("zed", "roll out").await.refused();
    insta::assert_snapshot!(reply.plain(), @r#"(to zed) zed (local:trial:zed) is not known here. Ask an operator to add you to people.yaml."#);
    let reply = bot.say("zed", "whoami").await.done();
    insta::assert_snapshot!(reply.plain(), @r#"(to zed) You are local:trial:zed, and that is all I know. Ask an operator to add you to people.yaml."#);
    assert!(bot.say("zed", "is anybody there").await.done().told.is_empty(), "talk is talk");
    let asked = bot.say("mei", "roll out").await.waiting();
    let reply = bot.say("zed", "approved").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(reply.plain(), @r#"(to zed) zed (local:trial:zed) is not known here. Ask an operator to add you to people.yaml."#);
    assert!(bot.say("zed", "ok").thread(asked.thread()).await.done().told.is_empty());
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn denied_because_not_now() {
    let bot = Bot::start(rolling_out()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let denied = bot.say("boss", "deny because not now").thread(asked.thread()).await.done();
    insta::assert_snapshot!(denied.plain(), @"mei: boss denied roll out (CODE): not now. Nothing was done. Ledger N · DIGEST");
    assert_eq!(denied.state(), "denied");
    let late = bot.say("lin", "approved").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(late.plain(), @"CODE was denied by boss. Your answer changes nothing. `again` asks anew.");
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn nobody_answers_until_it_expires() {
    let bot = Bot::start(rolling_out().expires("2s")).await;
    let asked = bot.say("mei", "roll out").no_wait().await;
    let expired = bot.hear("expired").await;
    insta::assert_snapshot!(support::bot::plain(&expired.text), @"mei: CODE expired at TIME, nobody decided. roll out: nothing was done. `again` asks anew. Ledger N · DIGEST");
    assert_eq!(expired.thread.map(|thread| thread.to_string()), Some(asked.thread()));
    let late = bot.say("boss", "approved").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(late.plain(), @"CODE expired at TIME, nobody decided. Nothing was done. `again` asks anew.");
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn the_catalog_changes_while_a_request_waits() {
    let bot = Bot::start(rolling_out()).await;
    let change = |name: &str| bot.rewrite("roll-out.yaml", &runbook("roll-out", "system-a", &[step(name, "ok")]));
    let asked = bot.say("mei", "roll out").await.waiting();
    change("second");
    let differs = bot.hear("The catalog has changed").await;
    insta::assert_snapshot!(support::bot::plain(&differs.text), @"The catalog has changed since CODE was asked (roll out): it would now be plan DIGEST. CODE still means exactly what is shown above. To have the new one, `withdraw CODE` and ask again.");
    assert_eq!(differs.thread.map(|thread| thread.to_string()), Some(asked.thread()));
    let approved = bot.say("boss", "approved").thread(asked.thread()).await.done();
    assert_eq!(approved.state(), "succeeded");
    assert_eq!(bot.effects(), ["copy", "restart"], "what was shown is what runs");

    let asked = bot.say("mei", "roll out").await.waiting();
    change("third");
    bot.hear("The catalog has changed").await;
    let withdrawn = bot.say("mei", "withdraw").thread(asked.thread()).await.done();
    insta::assert_snapshot!(withdrawn.plain(), @"mei withdrew roll out (CODE). Nothing was done.");
    let anew = bot.say("mei", "roll out").await.waiting();
    assert!(anew.text().contains("./step.sh third ok"), "{}", anew.text());
    bot.say("boss", "approved").thread(anew.thread()).await.done();
    assert_eq!(bot.effects(), ["copy", "restart", "third"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_script_that_changed_since_it_was_shown_does_not_run() {
    let bot = Bot::start(rolling_out()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let script = bot.catalog("step.sh");
    let text = std::fs::read_to_string(&script).expect("the script");
    std::fs::write(&script, format!("{text}\necho more\n")).expect("a file");
    bot.hear("The catalog has changed").await;
    let approved = bot.say("boss", "approved").thread(asked.thread()).await.done();
    insta::assert_snapshot!(approved.plain().replace(&script.display().to_string(), "STEP.SH"), @"
    boss approved roll out (CODE). Starting. Ledger N · DIGEST
    1 failed  run    ./step.sh copy ok   LASTED   STEP.SH has changed since it was planned; ask again to plan it anew
    PRODUCTION · mei: roll out failed at step 1 (copy): STEP.SH has changed since it was planned; ask again to plan it anew. Step after it: not started. `again` asks anew. Ledger N · DIGEST
    ");
    assert_eq!(approved.state(), "failed");
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn a_step_fails() {
    let steps = [step("copy", "ok"), step("restart", "fail"), step("verify", "ok")];
    let bot = Bot::start(Catalog::made().runbook("roll-out", &steps)).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let failed = bot.say("boss", "approved").thread(asked.thread()).await.done();
    insta::assert_snapshot!(failed.plain(), @"
    boss approved roll out (CODE). Starting. Ledger N · DIGEST
    1 done    run    ./step.sh copy ok   LASTED   copy ok
    2 failed  run    ./step.sh restart fail   LASTED   exit 3: restart broke
    PRODUCTION · mei: roll out failed at step 2 (restart): exit 3: restart broke. Step after it: not started. `again` asks anew. Ledger N · DIGEST
    ");
    assert_eq!(failed.state(), "failed");
    assert_eq!(bot.effects(), ["copy", "restart"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_step_that_hangs_is_ended_with_everything_it_started() {
    let steps = [step("copy", "family").timeout("4s"), step("restart", "ok")];
    let bot = Bot::start(Catalog::made().runbook("roll-out", &steps)).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let approving = bot.say("boss", "approved").thread(asked.thread());
    let (failed, family) = tokio::join!(approving.into_future(), async {
        bot.until_effect("copy", 1).await;
        until("the whole family", async || {
            let family = bot.step_processes();
            (bot.side("family-copy").exists() && family.len() >= 5).then_some(family)
        })
        .await
    });
    assert!(family.len() >= 5, "{family:?}");
    let failed = failed.done();
    insta::assert_snapshot!(failed.plain(), @"
    boss approved roll out (CODE). Starting. Ledger N · DIGEST
    1 timeout run    ./step.sh copy family   not done after 4 s; its processes were ended
    PRODUCTION · mei: roll out failed at step 1 (copy): not done after 4 s; its processes were ended. Step after it: not started. `again` asks anew. Ledger N · DIGEST
    ");
    assert_eq!(failed.state(), "failed");
    assert!(family.iter().all(|pid| !support::bot::is_alive(*pid)), "grandchildren are gone as well");
    assert_eq!(bot.effects(), ["copy"]);
    bot.finish().await;
}

#[tokio::test]
async fn the_same_message_acts_once() {
    let bot = Bot::start(rolling_out()).await;
    // At the same time, as two connections of a platform would bring it.
    let asking = (0..8).map(|_| bot.say("mei", "roll out").message_id("ask").into_future());
    let asked = futures_util::future::join_all(asking).await;
    let first = asked.iter().filter(|reply| reply.kept.delivery == KeptAs::First).count();
    assert_eq!(first, 1);
    let codes: BTreeSet<String> = asked.iter().map(support::bot::Reply::code).collect();
    assert_eq!(codes.len(), 1, "one request: {codes:?}");
    // And once more, later: the same answer, nothing new.
    let again = bot.say("mei", "roll out").message_id("ask").await.waiting();
    assert_eq!(again.kept.delivery, KeptAs::Again);
    assert_eq!(again.text(), asked[0].text());

    let thread = asked[0].thread();
    let approving = (0..8).map(|_| bot.say("boss", "approved").thread(&thread).message_id("yes").into_future());
    let approved = futures_util::future::join_all(approving).await;
    assert!(approved.iter().all(|reply| reply.was() == SettledAs::Done && reply.state() == "succeeded"));
    assert_eq!(approved.iter().filter(|reply| reply.kept.delivery == KeptAs::First).count(), 1);
    bot.say("boss", "approved").thread(&thread).message_id("yes").await.done();
    assert_eq!(bot.effects(), ["copy", "restart"]);
    assert_eq!(bot.db().number("select count(*) from request").await, 1);
    bot.finish().await;
}

#[tokio::test]
async fn asking_twice_joins_and_again_does_not() {
    let bot = Bot::start(rolling_out()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let twice = bot.say("mei", "roll out").await.waiting();
    insta::assert_snapshot!(twice.plain(), @"Already waiting for boss or lin since TIME, CODE. `again` asks anew.");
    assert_eq!((twice.run(), twice.code()), (asked.run(), asked.code()));
    let anew = bot.say("mei", "again").await.waiting();
    assert_ne!((anew.run(), anew.code()), (asked.run(), asked.code()));
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn two_people_who_ask_the_same_at_once_make_one_request() {
    let bot = Bot::start(rolling_out()).await;
    let (mei, boss) = tokio::join!(bot.say("mei", "roll out").into_future(), bot.say("boss", "roll out").into_future());
    assert_eq!(mei.code(), boss.code());
    assert_eq!(bot.db().number("select count(*) from request").await, 1);
    bot.finish().await;
}

#[tokio::test]
async fn stop_in_mid_step() {
    let bot = Bot::start(rolling_out_slowly()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", "approved").thread(asked.thread()).no_wait().await;
    bot.until_effect("restart", 1).await;
    let other = bot.say("zed", "stop").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(other.plain(), @r#"(to zed) zed (local:trial:zed) is not known here. Ask an operator to add you to people.yaml."#);
    let stopped = bot.say("mei", "stop").thread(asked.thread()).await.done();
    insta::assert_snapshot!(stopped.plain(), @"
    mei stops roll out: ending the step that runs.
    mei stopped roll out. Done: 1 (copy). Unknown: 2 (restart). Not started: 3 (verify). Ledger N · DIGEST
    ");
    assert_eq!(stopped.state(), "stopped");
    assert_eq!(bot.step_processes(), Vec::<u32>::new(), "its processes are gone");
    let twice = bot.say("mei", "stop").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(twice.plain(), @"Nothing here to stop. Name the run: `stop run 12`.");
    bot.rest().await;
    assert_eq!(bot.effects(), ["copy", "restart"]);
    bot.finish().await;
}

#[tokio::test]
async fn stop_before_anybody_agreed() {
    let bot = Bot::start(rolling_out()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let stopped = bot.say("mei", "stop").thread(asked.thread()).await.done();
    insta::assert_snapshot!(stopped.plain(), @"
    mei withdrew roll out (CODE). Nothing was done.
    mei stopped roll out. Done: none. Unknown: none. Not started: 1 (copy), 2 (restart). Ledger N · DIGEST
    ");
    bot.say("boss", "approved").thread(asked.thread()).await.refused();
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn what_is_not_known_is_answered_with_what_is_near() {
    let catalog = Catalog::made()
        .file(
            "scale.yaml",
            "runbook: scale\ntitle: Scale\nsay: [\"scale {service} to {count}\"]\nparams:\n  service: {type: service, \
             system: system-a}\n  count: {type: integer, min: 1, max: 9}\napproval: managers\nsteps:\n  - name: Scale\n    run: \
             {command: [./step.sh, scale, ok, \"{{ service }}\", \"{{ count }}\"]}\n",
        )
        .runbook("roll-out", &[step("copy", "ok")]);
    let bot = Bot::start(catalog).await;
    let mut said = String::new();
    for line in [
        "rol out",
        "scale service d to 3",
        "scale servce b to 3",
        "scale service b to 33",
        "scale service b to many",
        "run scale service=service-b count=3 extra=1",
        "run scle service=service-b count=3",
        "run scale service=service-b",
        "run scale service=service-b count=--3",
        "is service x running",
        "approve 7K3F",
        "approve 0000",
        "approved",
        "deny",
        "withdraw",
        "stop",
        "stop run 99",
        "show 7K3F",
        "show run 99",
        "retry",
        "judge worked because I looked",
        "again",
        "help me",
    ] {
        let reply = bot.say("mei", line).await;
        let how = match reply.was() {
            SettledAs::Refused => "",
            SettledAs::Done | SettledAs::Waiting => " (not refused)",
        };
        said += &format!("> {line}{how}\n{}\n", reply.plain());
    }
    insta::assert_snapshot!(said, @r#"
    > rol out (not refused)

    > scale service d to 3
    "service d" is no service of scale. Did you mean service-b?
    > scale servce b to 3
    "servce b" is no service of scale. Did you mean service-b?
    > scale service b to 33
    33 is out of bounds. scale wants count: a whole number from 1 to 9.
    > scale service b to many (not refused)

    > run scale service=service-b count=3 extra=1
    scale has no argument extra. It takes service and count.
    > run scle service=service-b count=3
    No runbook is called "scle". Did you mean scale?
    > run scale service=service-b
    scale wants count: a whole number from 1 to 9.
    > run scale service=service-b count=--3
    "--3" is no whole number. scale wants count: a whole number from 1 to 9.
    > is service x running
    No service is called "service x". Did you mean service-b?
    > approve 7K3F
    No request has the code CODE. `requests` lists what waits in this room.
    > approve 0000
    "0000" is no code, so nothing was done. A code is four characters: `approve CODE`.
    > approved
    Nothing waits for approval here. `requests` lists what waits in this room.
    > deny
    Nothing waits for approval here. `requests` lists what waits in this room.
    > withdraw
    Nothing waits for approval here. `requests` lists what waits in this room.
    > stop
    Nothing here to stop. Name the run: `stop run 12`.
    > stop run 99
    There is no run 99 in this room.
    > show 7K3F
    No request has the code CODE. `requests` lists what waits in this room.
    > show run 99
    There is no run 99 in this room.
    > retry
    Nothing here to retry. Name the run: `retry run 12`.
    > judge worked because I looked
    Nothing here to judge. Name the run: `judge run 12`.
    > again
    Nothing was asked here that could be asked again. Say what you want, or `help`.
    > help me (not refused)
    "#);
    assert_eq!(bot.effects(), NOTHING);
    assert_eq!(bot.db().number("select count(*) from run").await, 0);
    bot.finish().await;
}

#[tokio::test]
async fn of_two_deciders_in_the_same_instant_one_counts() {
    let bot = Bot::start(rolling_out()).await;
    for round in 1..=12 {
        let asked = bot.say("mei", "again").await;
        let asked = if asked.was() == SettledAs::Refused { bot.say("mei", "roll out").await } else { asked }.waiting();
        let thread = asked.thread();
        let (boss, lin) = tokio::join!(
            bot.say("boss", "approved").thread(&thread).into_future(),
            bot.say("lin", "approved").thread(&thread).into_future()
        );
        let (winner, loser) = if boss.was() == SettledAs::Refused { (lin, boss) } else { (boss, lin) };
        assert_eq!(winner.done().state(), "succeeded");
        assert!(loser.refused().text().contains("is approved already, by"));
        assert_eq!(bot.effects().iter().filter(|effect| *effect == "copy").count(), round);
        assert_eq!(bot.effects().len(), 2 * round);
    }
    bot.finish().await;
}

#[tokio::test]
async fn of_a_yes_and_a_no_in_the_same_instant_one_counts() {
    // What was denied is denied for that time alone: each round is to be the same.
    let policy = "policy: managers\ntitle: A manager agrees\nstages:\n  - approvers: [group:managers]\n    quorum: 1\n\
                  expires: 30m\nvalid_for: 1h\nafter_denial: same_people\n";
    let bot = Bot::start(rolling_out().file("managers.yaml", policy)).await;
    let mut expected = 0;
    for _ in 0..12 {
        let asked = bot.say("mei", "roll out").await.waiting();
        let thread = asked.thread();
        let (yes, no) = tokio::join!(
            bot.say("boss", "approved").thread(&thread).into_future(),
            bot.say("lin", "deny because no").thread(&thread).into_future()
        );
        assert!((yes.was() == SettledAs::Refused) != (no.was() == SettledAs::Refused), "{yes:?} {no:?}");
        if yes.was() == SettledAs::Done {
            expected += 2;
        }
        assert_eq!(bot.effects().len(), expected);
    }
    bot.finish().await;
}

#[tokio::test]
async fn with_two_waiting_a_bare_word_asks_which() {
    let catalog = rolling_out().runbook("roll-back", &[step("back", "ok")]);
    let bot = Bot::start(catalog).await;
    let out = bot.say("mei", "roll out").await.waiting();
    let back = bot.say("mei", "roll back").await.waiting();
    let which = bot.say("boss", "approved").await.refused();
    insta::assert_snapshot!(which.plain(), @"2 requests wait here. Say which: `approve CODE` (roll out) or `approve CODE` (roll back).");
    let near = bot.say("boss", "ok").await.refused();
    insta::assert_snapshot!(near.plain(), @"(to boss) Not approved yet. Send `approve CODE` or `deny CODE because …`.");
    assert_eq!(bot.effects(), NOTHING);
    // By its code, from the room.
    let approved = bot.say("boss", &format!("approve {}", back.code().to_lowercase())).await.done();
    assert_eq!(approved.run(), back.run());
    assert_eq!(bot.effects(), ["back"]);
    // Now that one is left, the word is plain.
    let approved = bot.say("boss", "approved").await.done();
    assert_eq!(approved.run(), out.run());
    assert_eq!(bot.effects(), ["back", "copy", "restart"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_code_counts_in_its_own_room_alone() {
    let catalog = rolling_out().other_runbook("tidy-up", &[step("tidy", "ok")]);
    let bot = Bot::start(catalog).await;
    let asked = bot.say("mei", "tidy up").room(OTHER_ROOM).await.waiting();
    let elsewhere = bot.say("boss", &format!("approve {}", asked.code())).await.refused();
    insta::assert_snapshot!(elsewhere.plain(), @"No request has the code CODE. `requests` lists what waits in this room.");
    bot.say("boss", "approved").thread(asked.thread()).await.refused();
    assert_eq!(bot.effects(), NOTHING);
    bot.say("boss", &format!("approve {}", asked.code())).room(OTHER_ROOM).await.done();
    assert_eq!(bot.effects(), ["tidy"]);
    bot.finish().await;
}

#[tokio::test]
async fn an_edited_line_never_acts() {
    let bot = Bot::start(rolling_out()).await;
    assert!(bot.say("mei", "hello").message_id("a").await.done().told.is_empty());
    let edited = bot.edit("mei", "a", Some("roll out")).await;
    insta::assert_snapshot!(edited.plain(), @"(to mei) Void: you edited that message. Say it again.");
    assert_eq!(bot.db().number("select count(*) from run").await, 0);

    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", "what is that").thread(asked.thread()).message_id("b").await.done();
    let edited = bot.edit("boss", "b", Some("approved")).await;
    insta::assert_snapshot!(edited.plain(), @"(to boss) Void: you edited that message. Say it again.");
    // What was edited before it was delivered (platforms do that) does not act either.
    assert!(bot.edit("boss", "c", Some("nothing at all")).await.told.is_empty());
    let late = bot.say("boss", "approved").thread(asked.thread()).message_id("c").await.refused();
    insta::assert_snapshot!(late.plain(), @"(to boss) Void: you edited that message. Say it again.");
    // A deletion does nothing.
    assert!(bot.edit("boss", "b", None).await.told.is_empty());
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn a_second_account_is_the_same_person() {
    let bot = Bot::start(rolling_out()).await;
    let asked = bot.say("boss", "roll out").await.waiting();
    assert!(!asked.text().contains("boss or lin"), "who asks is not asked: {}", asked.text());
    let own = bot.say("boss2", "approved").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(own.plain(), @"boss, it is your own request: someone else must approve. Asked: lin.");
    let own = bot.say("boss2", &format!("approve {}", asked.code())).await.refused();
    insta::assert_snapshot!(own.plain(), @"boss, it is your own request: someone else must approve. Asked: lin.");
    assert_eq!(bot.effects(), NOTHING);
    bot.say("lin", "approved").thread(asked.thread()).await.done();
    assert_eq!(bot.effects(), ["copy", "restart"]);
    bot.finish().await;
}

#[tokio::test]
async fn who_is_not_asked_cannot_decide() {
    let policy = "policy: managers\ntitle: Lin agrees\nstages:\n  - approvers: [person:lin]\n    quorum: 1\nexpires: 30m\nvalid_for: 1h\n";
    let bot = Bot::start(rolling_out().file("managers.yaml", policy)).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let reply = bot.say("boss", "approved").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(reply.plain(), @"boss, CODE is not for you to decide. Asked: lin.");
    let reply = bot.say("boss", "withdraw").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(reply.plain(), @"Only mei can withdraw CODE. Who is asked can `deny because …`.");
    let reply = bot.say("mei", "deny").thread(asked.thread()).await.refused();
    insta::assert_snapshot!(reply.plain(), @"mei, it is your own request: `withdraw` takes it back.");
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn words_that_only_sound_like_yes_decide_nothing() {
    let bot = Bot::start(rolling_out()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    for words in
        ["approved?", "not approved", "I have approved it", "`approved`", "> approved", "\"approved\"", "yes", "+1"]
    {
        bot.say("boss", words).thread(asked.thread()).await;
    }
    assert_eq!(bot.db().number("select count(*) from decision").await, 0);
    assert_eq!(bot.effects(), NOTHING);
    bot.finish().await;
}

#[tokio::test]
async fn a_pressed_button_does_what_its_word_does() {
    let bot = Bot::start(rolling_out()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let button = asked.told.iter().flat_map(|told| &told.buttons).find(|button| button.label == "approve");
    let command = button.expect("a button").command.clone();
    let thread = asked.thread();
    let own = bot.press("mei", "press-1", &thread, &command).await.refused();
    insta::assert_snapshot!(own.plain(), @"mei, it is your own request: someone else must approve. Asked: boss and lin.");
    let pressing = (0..4).map(|_| bot.press("boss", "press-2", &thread, &command));
    let pressed = futures_util::future::join_all(pressing).await;
    assert_eq!(pressed.iter().filter(|reply| reply.kept.delivery == KeptAs::First).count(), 1);
    assert_eq!(bot.effects(), ["copy", "restart"]);
    let late = bot.press("lin", "press-3", &thread, &command).await.refused();
    insta::assert_snapshot!(late.plain(), @"CODE is approved already, by boss. Your answer changes nothing.");
    bot.finish().await;
}

/// Sixty people say something that needs a look at what waits, at the same moment: more than there are connections.
#[tokio::test]
async fn many_voices_at_once_are_all_heard() {
    let bot = Bot::start(rolling_out()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let thread = asked.thread();
    let saying = (0..60).map(|number| {
        let (words, speaker) = [("ok", "boss"), ("requests", "mei"), ("status", "lin")][number % 3];
        bot.say(speaker, words).thread(thread.clone()).send()
    });
    for said in futures_util::future::join_all(saying).await {
        let reply = said.expect("it was heard");
        assert!(!reply.text().contains("could not be kept"), "{}", reply.text());
    }
    bot.say("mei", "withdraw").thread(thread).await.done();
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_broken_catalog_is_refused_and_the_old_one_serves() {
    let mut bot = Bot::start(rolling_out()).await;
    bot.expect_error("the catalog is not loaded");
    let right = std::fs::read_to_string(bot.catalog("roll-out.yaml")).expect("a file");
    bot.rewrite("roll-out.yaml", &right.replace("approval: managers", "aproval: managers"));
    let refused = bot.hear("is not loaded").await;
    insta::assert_snapshot!(support::bot::plain(&refused.text), @"
    The catalog was changed and is not loaded; the one before keeps serving:
    roll-out.yaml:6: `aproval` is not a key that can stand here (expected `runbook`, `title`, `why`, `say`, `params`, `risk`, `approval`, `author`, `system` or `steps`). Did you mean `approval`?
    ");
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", "approved").thread(asked.thread()).await.done();
    assert_eq!(bot.effects(), ["copy", "restart"]);
    bot.rewrite("roll-out.yaml", &right);
    let mended = bot.hear("loaded again").await;
    insta::assert_snapshot!(mended.text, @"The catalog is loaded again: 1 runbook.");
    // Both rooms were told of both.
    assert_eq!(bot.rest().await.lines().filter(|line| line.contains("loaded")).count(), 2);
    bot.finish().await;
}

#[tokio::test]
async fn sighup_loads_the_catalog_again() {
    let bot = Bot::start(rolling_out()).await;
    let loads = "select count(*) from event where kind = 'catalog_loaded'";
    let before = bot.db().number(loads).await;
    bot.signal(rustix::process::Signal::HUP);
    until("the catalog is loaded again", async || (bot.db().number(loads).await > before).then_some(())).await;
    bot.say("mei", "ping").await.done();
    bot.finish().await;
}

#[tokio::test]
async fn a_step_cannot_approve_what_waits() {
    let catalog = Catalog::made()
        .runbook("look-around", &[step("spy", "env"), step("sneak", "self-approve")])
        .runbook("roll-out", &[step("copy", "ok")]);
    let bot = Bot::start(catalog).await;
    let waiting = bot.say("mei", "roll out").await.waiting();
    let asked = bot.say("mei", "look around").await.waiting();
    bot.say("boss", "approved").thread(asked.thread()).await.done();

    let environment = std::fs::read_to_string(bot.side("env")).expect("the step's environment");
    let names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(names, ["COUNTERSIGN_ATTEMPT", "COUNTERSIGN_RUN", "LANG", "PATH", "PWD", "TRACEPARENT"]);
    let seen = [environment, std::fs::read_to_string(bot.side("fds")).expect("its open files")].concat();
    assert!(!seen.contains(&bot.data().display().to_string()), "{seen}");
    assert!(!seen.contains("postgres") && !seen.contains(".s.PGSQL"), "{seen}");
    assert_eq!(std::fs::read_to_string(bot.side("cwd")).expect("where it ran"), "/\n");

    let tried = std::fs::read_to_string(bot.side("approve")).expect("what came of it");
    insta::assert_snapshot!(tried, @"
    countersign: no token: name the server's data directory with --data or COUNTERSIGN_DATA, or set COUNTERSIGN_TOKEN
    said 1
    ");
    let request = bot.db().store.list_pending_requests().await.expect("requests");
    assert_eq!(request.iter().map(|request| request.code.to_string()).collect::<Vec<_>>(), [waiting.code()]);
    assert_eq!(bot.effects(), ["spy", "sneak"]);
    bot.finish().await;
}

#[tokio::test]
async fn output_forges_nothing() {
    let bot = Bot::start(Catalog::made().runbook("roll-out", &[step("copy", "nasty")])).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let done = bot.say("boss", "approved").thread(asked.thread()).await.done();
    insta::assert_snapshot!(done.plain(), @r#"
    boss approved roll out (CODE). Starting. Ledger N · DIGEST
    1 done    run    ./step.sh copy nasty   LASTED   @boss approved \u{1b}[31mred\u{1b}[0m \u{202e}evil\u{200b} \u{7} `x` <!channel> <@U1>
    mei: roll out is done. LASTED. Ledger N · DIGEST
    "#);
    let shown = done.text();
    assert!(!shown.chars().any(|c| c != '\n' && (c.is_control() || matches!(c, '\u{202e}' | '\u{200b}'))), "{shown:?}");
    bot.finish().await;
}

#[tokio::test]
async fn say_ends_with_0_1_or_2() {
    let bot = Bot::start(rolling_out_slowly()).await;
    let code = |output: &std::process::Output| output.status.code();

    let said = bot.say_by_hand("mei", &["ping"]).await;
    assert_eq!((code(&said), text(&said.stdout), text(&said.stderr)), (Some(0), "I am here.\n", ""));
    let said = bot.say_by_hand("zed", &["roll", "out"]).await;
    assert_eq!(code(&said), Some(1));
    assert_eq!(text(&said.stderr).lines().count(), 1, "{}", text(&said.stderr));
    for wrong in [&[][..], &["--wait", "soon", "ping"], &["--no-such-flag", "ping"]] {
        let said = bot.say_by_hand("mei", wrong).await;
        assert_eq!(code(&said), Some(2), "{wrong:?}");
        assert_eq!(text(&said.stdout), "");
    }

    let said = bot.say_by_hand("mei", &["--json", "--wait", "20s", "roll", "out"]).await;
    assert_eq!(code(&said), Some(0));
    let lines: Vec<Value> = text(&said.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let last = lines.last().expect("a last line");
    assert_eq!((last["settled"].as_str(), last["run"].as_i64()), (Some("waiting"), Some(1)), "{last}");
    let (thread, request) = (last["thread"].as_str().expect("a thread"), last["request"].as_str().expect("a code"));
    let shown = lines.iter().filter_map(|line| line["text"].as_str()).any(|text| text.contains(request));
    assert!(shown, "{lines:?}");

    // A step runs, and the wait is over before it is.
    let said = bot.say_by_hand("boss", &["--thread", thread, "--wait", "700ms", "approved"]).await;
    assert_eq!(code(&said), Some(1));
    assert_eq!(text(&said.stderr), "no end within 700ms\n");
    bot.until_effect("restart", 1).await;
    bot.release("restart");
    bot.until_run(countersign::model::id::RunId(1), "succeeded").await;
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn say_fails_when_a_run_fails_and_when_nobody_answers() {
    let mut bot = Bot::start(Catalog::made().runbook("roll-out", &[step("copy", "fail")])).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let said = bot.say_by_hand("boss", &["--thread", &asked.thread(), "--wait", "20s", "approved"]).await;
    assert_eq!((said.status.code(), text(&said.stderr)), (Some(1), "run 1 failed\n"));
    bot.rest().await;
    bot.kill().await;
    let said = bot.say_by_hand("boss", &["ping"]).await;
    assert_eq!((said.status.code(), text(&said.stdout)), (Some(1), ""));
    assert_eq!(text(&said.stderr).lines().count(), 1, "{}", text(&said.stderr));
    bot.restart().await;
    bot.finish().await;
}

#[tokio::test]
async fn say_waits_for_a_bot_that_is_started_again_and_acts_once() {
    let mut bot = Bot::start(rolling_out()).await;
    bot.kill().await;
    // Said while nobody is there, then delivered, then delivered again by a second hand.
    let arguments = ["--message-id", "ask", "--wait", "25s", "--json", "roll", "out"];
    let url = bot.url();
    let said = bot
        .command(&["say", "--server", &url, "--room", "system-a", "--as", "mei", "--data"])
        .arg(bot.data())
        .args(arguments)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    bot.restart().await;
    let said = said.wait_with_output().await.expect("it ends");
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    let again = bot.say_by_hand("mei", &arguments).await;
    assert_eq!(again.status.code(), Some(0));
    let last = |output: &std::process::Output| text(&output.stdout).lines().last().map(str::to_owned);
    assert_eq!(last(&said), last(&again));
    assert_eq!(bot.db().number("select count(*) from request").await, 1);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn say_follows_a_run_across_a_kill() {
    let steps = [step("copy", "ok"), step("restart", "wait").idempotent(), step("verify", "ok")];
    let mut bot = Bot::start(Catalog::made().runbook("roll-out", &steps)).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let url = bot.url();
    let approving = bot
        .command(&[
            "say",
            "--server",
            &url,
            "--room",
            "system-a",
            "--as",
            "boss",
            "--thread",
            &asked.thread(),
            "--data",
        ])
        .arg(bot.data())
        .args(["--message-id", "yes", "--wait", "28s", "approved"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program runs");
    bot.until_effect("restart", 1).await;
    let old = bot.step_processes();
    bot.kill().await;
    bot.restart().await;
    bot.until_effect("restart", 2).await;
    assert!(old.iter().all(|pid| !support::bot::is_alive(*pid)), "the old processes are gone before attempt 2");
    bot.release("restart");
    let approved = approving.wait_with_output().await.expect("it ends");
    assert_eq!(approved.status.code(), Some(0), "{}", text(&approved.stderr));
    // Whether a step's start is told on its own depends on how soon it ends.
    let said: Vec<&str> = text(&approved.stdout).lines().filter(|line| !line.contains(" started ")).collect();
    insta::assert_snapshot!(support::bot::plain(&said.join("\n")), @"
    boss approved roll out (CODE). Starting. Ledger N · DIGEST
    1 done    run    ./step.sh copy ok   LASTED   copy ok
    2 unknown run    ./step.sh restart wait   the bot was not there to see how it ended
    2 done    run    ./step.sh restart wait (attempt 2)   LASTED   restart went on
    3 done    run    ./step.sh verify ok   LASTED   verify ok
    mei: roll out is done. LASTED. Ledger N · DIGEST
    ");
    assert_eq!(bot.effects(), ["copy", "restart", "restart", "verify"]);
    bot.rest().await;
    bot.finish().await;
}

#[tokio::test]
async fn a_clean_end_in_mid_step_leaves_nothing_running_and_says_what_is_unknown() {
    let mut bot = Bot::start(rolling_out_slowly()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("boss", "approved").thread(asked.thread()).no_wait().await;
    bot.until_effect("restart", 1).await;
    let ended = tokio::time::timeout(Duration::from_secs(10), bot.term()).await;
    assert_eq!(ended.expect("it ends within its grace").code(), Some(0));
    assert_eq!(bot.step_processes(), Vec::<u32>::new());
    bot.restart().await;
    bot.until_run(asked.run(), "stuck").await;
    let stuck = bot.hear("is stuck").await;
    insta::assert_snapshot!(support::bot::plain(&stuck.text), @"
    PRODUCTION · run 1 (roll out) is stuck at step 2 (restart): nobody saw how it ended. Nothing more of it starts.
    boss or lin: look, then `judge worked because …`, `judge failed because …` or `skip because …`. mei or you: `retry` asks for approval of another attempt, `stop` ends it. Ledger N · DIGEST
    ");
    bot.rest().await;
    let judged = bot.say("lin", "judge worked because it is up").thread(asked.thread()).await.done();
    insta::assert_snapshot!(judged.plain(), @"
    lin approved to judge that step 2 of run 1 (roll out) worked (CODE). The run goes on. Ledger N · DIGEST
    2 judged  run    ./step.sh restart wait   lin judged that it worked: it is up
    3 done    run    ./step.sh verify ok   LASTED   verify ok
    mei: roll out is done. LASTED. Ledger N · DIGEST
    ");
    assert_eq!(bot.effects(), ["copy", "restart", "verify"]);
    bot.finish().await;
}

#[tokio::test]
async fn a_wait_that_is_over_says_so() {
    let bot = Bot::start(rolling_out_slowly()).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    let approving = bot.say("boss", "approved").thread(asked.thread()).wait(Duration::from_millis(500)).await;
    assert!(approving.settled.is_none());
    bot.until_effect("restart", 1).await;
    bot.release("restart");
    bot.until_run(asked.run(), "succeeded").await;
    bot.rest().await;
    bot.finish().await;
}

/// Both bots count their runs from one: ending the step of one must not touch the other's.
#[tokio::test]
async fn two_bots_on_one_machine_leave_each_others_steps_alone() {
    let slow = Bot::start(Catalog::made().runbook("roll-out", &[step("restart", "wait")])).await;
    let hung = Bot::start(Catalog::made().runbook("roll-out", &[step("restart", "hang").timeout("1s")])).await;
    let asked = slow.say("mei", "roll out").await.waiting();
    slow.say("boss", "approved").thread(asked.thread()).no_wait().await;
    slow.until_effect("restart", 1).await;
    let asked = hung.say("mei", "roll out").await.waiting();
    let failed = hung.say("boss", "approved").thread(asked.thread()).await.done();
    assert_eq!((failed.run(), failed.state()), (asked.run(), "failed"));
    assert!(!slow.step_processes().is_empty(), "the other bot's step runs on");
    slow.release("restart");
    slow.until_run(asked.run(), "succeeded").await;
    slow.rest().await;
    slow.finish().await;
    hung.finish().await;
}

/// The local room stamps lines itself, so a late delivery, as other platforms know it, is played behind the door.
#[tokio::test]
async fn a_command_that_is_older_than_two_minutes_is_recorded_and_does_not_act() {
    let db = support::database().await;
    let dir = tempfile::tempdir().expect("a directory");
    let root = rolling_out().write(&dir.path().join("catalog"), dir.path());
    let loaded = countersign::runbook::load(&root).expect("a sound catalog");
    let store = db.store.clone();
    let room = std::sync::Arc::new(LocalRoom::new(store.clock().clone()));
    let world = LocalWorld { search_path: vec!["/bin".into()], host: "here".to_owned() };
    let app = App::new(store.clone(), Times::in_zone(chrono_tz::UTC), world, vec![room], loaded, Vec::new());
    let said = async |minutes: i64, seconds: i64, id: &str, text: &str| {
        let ago = chrono::TimeDelta::minutes(minutes) + chrono::TimeDelta::seconds(seconds);
        let incoming = Incoming {
            room: "local:trial:system-a".parse().expect("a room"),
            thread: None,
            account: "local:trial:mei".parse().expect("an account"),
            said_at: store.clock().now() - ago,
            what: Said::Line { message: MessageId::new(id), text: text.to_owned(), address: Addressed::ToRoom },
            trace: None,
        };
        app.receive(incoming).await.expect("it is kept").line
    };
    let stale = said(2, 1, "a", "roll out").await;
    assert_eq!(db.number("select count(*) from run").await, 0);
    assert_eq!(db.number("select count(*) from inbox where outcome = 'recorded'").await, 1);
    let answer: String = sqlx::query_scalar("select message from outbox where cause = $1")
        .bind(stale.0)
        .fetch_one(&mut db.connection().await)
        .await
        .expect("an answer");
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    insta::assert_snapshot!(support::bot::plain(answer["text"].as_str().expect("a text")), @"Not done: `roll out` was said at TIME, more than two minutes ago. Say it again if still wanted.");
    // The same words, old but not too old, act.
    said(1, 50, "b", "roll out").await;
    assert_eq!(db.number("select count(*) from run").await, 1);
}

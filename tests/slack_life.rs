//! The life of a run's messages in Slack: buttons go when they have done their work, the first message says how the run
//! stands, whoever must know is pushed and nobody else, approvers are asked where they want to be, and what is said to the
//! bot alone acts where people see it.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use std::sync::Arc;
use std::time::Duration;

use countersign::chat::{Adapter, Limits, Long, Outgoing, SendError, Used, sender};
use countersign::model::chat::{Message, RoomAddress};
use countersign::model::id::{MessageId, Position};
use countersign::store::{NewMessage, OnlyInstead, Origin, OutboxRow, Place, Store};
use countersign::sys::ProcessIdentity;
use countersign::text;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::watch;

use slack::{Fault, Kind, Room, Seen, Slack};
use slack_bot::{Asked, Hears, SlackBot};
use support::bot::plain;
use support::world::{Catalog, runbook, step};

fn roll_out() -> Catalog {
    Catalog::made().runbook("roll-out", &[step("copy", "ok"), step("verify", "ok")])
}

/// Somebody of the made catalog wants to be asked otherwise.
fn asking(catalog: Catalog, person: &str, ask: &str) -> Catalog {
    let (from, to) = match person {
        "boss" => ("\"local:trial:boss2\"]}", format!("\"local:trial:boss2\"], ask: {ask}}}")),
        _ => ("\"local:trial:lin\"]}", format!("\"local:trial:lin\"], ask: {ask}}}")),
    };
    catalog.edited("people.yaml", from, &to)
}

async fn start(catalog: Catalog) -> SlackBot {
    SlackBot::start(catalog, Hears::Socket).await
}

/// The first line of a message, as it is now, and its buttons.
fn head(seen: &Seen) -> String {
    let buttons: Vec<&str> = seen.buttons.iter().map(|button| button.label.as_str()).collect();
    let line = seen.text.lines().next().unwrap_or_default();
    plain(&if buttons.is_empty() { line.to_owned() } else { format!("{line} [{}]", buttons.join("] [")) })
}

/// What the bot said since somebody looked, room by room, without the steps of its plans.
async fn said(bot: &SlackBot) -> String {
    let page = bot.rest().await;
    let of_plan = |line: &str| {
        let marked = line.split_once(" ! ").is_some_and(|(number, _)| number.chars().all(|c| c.is_ascii_digit()));
        marked || line.starts_with("           (is ") || line.starts_with("Why: A test wants it.")
    };
    let place = |line: &str| {
        let (place, _) = line.split_once(": ")?;
        let place = place.trim_end_matches(" >");
        let room = ["direct ", "only ", "system-"].iter().any(|known| place.starts_with(known));
        room.then(|| place.to_owned())
    };
    let mut messages: Vec<(String, Vec<&str>)> = Vec::new();
    for line in page.lines().filter(|line| !of_plan(line)) {
        match (place(line), messages.last_mut()) {
            (Some(place), _) => messages.push((place, vec![line])),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => messages.push((String::new(), vec![line])),
        }
    }
    // Which of two rooms is told first is nobody's business.
    messages.sort_by(|one, other| one.0.cmp(&other.0));
    messages.iter().map(|(_, lines)| lines.join("\n")).collect::<Vec<_>>().join("\n")
}

/// A request without its buttons and without whom it mentions.
fn plan_in(seen: &Seen) -> String {
    let kept = |line: &&str| !line.starts_with('[') && !line.starts_with('@');
    seen.text.lines().filter(kept).collect::<Vec<_>>().join("\n")
}

/// The run's first message as it is now.
fn root(bot: &SlackBot, asked: &Asked) -> Seen {
    bot.slack.of_bot(&bot.room).into_iter().find(|seen| seen.ts == asked.ts).expect("the root")
}

/// What the bot wrote to somebody alone.
fn direct(bot: &SlackBot, person: &str) -> Vec<Seen> {
    let channel = bot.slack.direct(person);
    bot.slack.of_bot(&channel)
}

async fn ask(bot: &SlackBot, line: &str) -> Asked {
    bot.say("mei", line);
    let asked = bot.request().await;
    bot.rest().await;
    asked
}

// ---- buttons and roots ----

#[tokio::test]
async fn a_run_says_in_its_first_message_how_it_stands() {
    let bot = start(roll_out()).await;
    let asked = ask(&bot, "roll out").await;
    let before = root(&bot, &asked);
    insta::assert_snapshot!(head(&before), @"PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE [approve] [deny]");
    let approve = before.buttons[0].clone();
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.calm().await;
    let after = root(&bot, &asked);
    insta::assert_snapshot!(head(&after), @"Done in LASTED, approved by boss.");
    // The plan stands whole below it, and pings nobody any more.
    assert!(after.text.ends_with(&plan_in(&before)), "{}\n---\n{}", after.text, before.text);
    assert_eq!(after.text, plan_in(&after), "nobody is mentioned");
    // A telephone that was slow still shows the button.
    bot.slack.press_late("lin", &bot.room, asked.ts, &approve);
    bot.rest().await;
    bot.slack.press_late("boss", &bot.room, asked.ts, &approve);
    insta::assert_snapshot!(said(&bot).await, @"system-a >: CODE is approved already, by boss. Your answer changes nothing.");
    bot.finish().await;
}

#[tokio::test]
async fn every_way_in_which_a_request_ends_takes_its_buttons() {
    let bot = start(roll_out()).await;
    let mut heads = Vec::new();
    for (who, word) in [("boss", "deny because not tonight"), ("boss", "deny"), ("mei", "withdraw"), ("mei", "stop")] {
        let asked = ask(&bot, "roll out").await;
        assert_eq!(root(&bot, &asked).buttons.len(), 2);
        let old = root(&bot, &asked).buttons[1].clone();
        bot.reply(who, asked.ts, word);
        bot.rest().await;
        heads.push(head(&root(&bot, &asked)));
        bot.slack.press_late("lin", &bot.room, asked.ts, &old);
        // Denying asks why, whatever became of it.
        let window = bot.slack.until("a window", |slack| slack.views("lin").pop()).await;
        bot.slack.submit(&window.id, &[("countersign-why", "countersign-why", "no")]);
        heads.push(said(&bot).await);
    }
    insta::assert_snapshot!(heads.join("\n"), @"
    Denied by boss: not tonight.
    system-a >: CODE was denied by boss. Your answer changes nothing. again asks anew.
    Denied by boss.
    system-a >: CODE was denied by boss. Your answer changes nothing. again asks anew.
    Withdrawn by mei.
    system-a >: CODE was withdrawn by mei. Your answer changes nothing. again asks anew.
    Stopped by mei.
    system-a >: CODE was withdrawn by mei. Your answer changes nothing. again asks anew.
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_request_that_expires_loses_its_buttons() {
    let bot = start(roll_out().expires("3s")).await;
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.hear("expired at").await;
    bot.rest().await;
    insta::assert_snapshot!(head(&root(&bot, &asked)), @"Expired TIME, nobody decided.");
    bot.finish().await;
}

#[tokio::test]
async fn a_run_that_was_asked_for_in_a_thread_says_it_there() {
    let bot = start(roll_out()).await;
    let talk = bot.say("lin", "it is slow again");
    bot.reply("mei", talk, "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    bot.reply("boss", talk, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    insta::assert_snapshot!(said(&bot).await, @"
    system-a >: Done in LASTED, approved by boss.
    PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    system-a >: boss approved roll out (CODE). Starting. Ledger N · DIGEST
    1 done    run    ./step.sh copy ok   LASTED   copy ok
    2 done    run    ./step.sh verify ok   LASTED   verify ok
    system-a >: mei: roll out is done. LASTED. Ledger N · DIGEST
    @mei
    ");
    insta::assert_snapshot!(head(&root(&bot, &asked)), @"Done in LASTED, approved by boss.");
    bot.finish().await;
}

#[tokio::test]
async fn a_plan_of_several_messages_loses_its_buttons_where_they_stand() {
    let many: Vec<_> = (0..40).map(|n| step(&format!("step-{n:02}-{}", "x".repeat(60)), "ok")).collect();
    let bot = start(Catalog::made().runbook("roll-out", &many)).await;
    bot.say("mei", "roll out");
    bot.calm().await;
    let shown = bot.slack.of_bot(&bot.room);
    assert!(shown.len() > 2, "{}", shown.len());
    bot.rest().await;
    let (first, last) = (shown[0].clone(), shown[shown.len() - 1].clone());
    assert_eq!((first.buttons.len(), last.buttons.len()), (0, 2));
    assert_eq!(last.thread, Some(first.ts));
    bot.slack.press("lin", &bot.room, last.ts, "approve");
    bot.rest().await;
    let now = bot.slack.of_bot(&bot.room);
    let of = |ts| now.iter().find(|seen| seen.ts == ts).expect("it is there").clone();
    insta::assert_snapshot!(format!("{}\n{}", head(&of(first.ts)), head(&of(last.ts))), @"
    Done in LASTED, approved by lin.
    Approved by lin at TIME.
    ");
    assert!(of(last.ts).text.ends_with(&plan_in(&last)), "nothing of the plan is lost");
    bot.finish().await;
}

#[tokio::test]
async fn a_run_that_is_stuck_says_so_until_it_is_not() {
    let catalog = Catalog::made().runbook("roll-out", &[step("copy", "ok"), step("restart", "wait")]);
    let mut bot = start(catalog).await;
    bot.slack.retries(&[Duration::from_millis(300); 3]);
    let asked = ask(&bot, "roll out").await;
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_effect("restart", 1).await;
    bot.bot.kill().await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    bot.bot.until_run(asked.run, "stuck").await;
    let mut heads = Vec::new();
    bot.rest().await;
    heads.push(head(&root(&bot, &asked)));
    let pushed = |person: &str| bot.slack.pushes(person).len();
    // Who asked: granted, stuck. Who must act: asked, stuck.
    assert_eq!([pushed("mei"), pushed("boss"), pushed("lin")], [2, 2, 2]);

    // A retry that comes to nothing leaves it as it was.
    bot.reply("mei", asked.ts, "retry");
    bot.rest().await;
    let retry = bot.slack.of_bot(&bot.room).into_iter().rfind(|seen| !seen.buttons.is_empty()).expect("a request");
    bot.reply("boss", asked.ts, "deny because look first");
    bot.rest().await;
    let now = bot.slack.of_bot(&bot.room).into_iter().find(|seen| seen.ts == retry.ts).expect("it is there");
    heads.extend([head(&retry), head(&now), head(&root(&bot, &asked))]);

    bot.reply("mei", asked.ts, "retry");
    bot.rest().await;
    bot.bot.release("restart");
    let retry = bot.slack.of_bot(&bot.room).into_iter().rfind(|seen| !seen.buttons.is_empty()).expect("a request");
    // Who has just denied it is among those who agree.
    bot.slack.press("boss", &bot.room, retry.ts, "approve");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    let now = bot.slack.of_bot(&bot.room).into_iter().find(|seen| seen.ts == retry.ts).expect("it is there");
    heads.extend([head(&now), head(&root(&bot, &asked))]);
    insta::assert_snapshot!(heads.join("\n"), @"
    Stuck at step 2 (restart): somebody has to look.
    PRODUCTION · mei asks: retry step 2 of run 1 (roll out) on HOST · 2 changes, no undo · until TIME · CODE [approve] [deny]
    Denied by boss: look first.
    Stuck at step 2 (restart): somebody has to look.
    Approved by boss at TIME.
    Done in LASTED, approved by boss.
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_run_that_failed_or_was_stopped_says_so() {
    let catalog = Catalog::made()
        .runbook("roll-out", &[step("copy", "ok"), step("verify", "fail")])
        .runbook("hang-on", &[step("hang", "hang")]);
    let bot = start(catalog).await;
    let mut heads = Vec::new();
    let asked = ask(&bot, "roll out").await;
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_run(asked.run, "failed").await;
    bot.rest().await;
    heads.push(head(&root(&bot, &asked)));
    let asked = ask(&bot, "hang on").await;
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_effect("hang", 1).await;
    bot.reply("lin", asked.ts, "stop");
    bot.bot.until_run(asked.run, "stopped").await;
    bot.rest().await;
    heads.push(head(&root(&bot, &asked)));
    insta::assert_snapshot!(heads.join("\n"), @"
    Failed at step 2 (verify).
    Stopped by lin.
    ");
    bot.finish().await;
}

// ---- pushes ----

#[tokio::test]
async fn a_run_of_twelve_steps_pushes_once_to_the_approver_and_twice_to_the_requester() {
    let steps: Vec<_> = (1..=12).map(|n| step(&format!("step-{n}"), "ok")).collect();
    let bot = start(Catalog::made().runbook("roll-out", &steps)).await;
    let asked = ask(&bot, "roll out").await;
    bot.slack.press("boss", &bot.room, asked.ts, "approve");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    let pushes = |person: &str| bot.slack.pushes(person).iter().map(|push| plain(&push.text)).collect::<Vec<_>>();
    assert_eq!([pushes("boss").len(), pushes("lin").len(), pushes("zed").len()], [1, 1, 0]);
    insta::assert_snapshot!(pushes("mei").join("\n"), @"
    boss approved roll out (CODE). Starting. Ledger N · DIGEST @mei
    mei: roll out is done. LASTED. Ledger N · DIGEST @mei
    ");
    bot.finish().await;
}

#[tokio::test]
async fn who_asked_is_told_how_it_ended_and_nobody_else() {
    let brief = "policy: briefly\ntitle: A manager agrees at once\nstages:\n  - approvers: [group:managers]\n    quorum: 1\n\
                 expires: 4s\nvalid_for: 1h\n";
    let runbook = runbook("tidy-up", "system-a", &[step("tidy", "ok")]);
    let catalog = roll_out()
        .file("briefly.yaml", brief)
        .file("tidy-up.yaml", &runbook.replace("approval: managers", "approval: briefly"));
    let bot = start(catalog).await;
    let pushed = |people: [&str; 3]| people.map(|person| bot.slack.pushes(person).len());
    let asked = ask(&bot, "roll out").await;
    bot.reply("boss", asked.ts, "deny");
    bot.rest().await;
    assert_eq!(pushed(["mei", "boss", "lin"]), [1, 1, 1]);
    bot.say("mei", "tidy up");
    bot.hear("expired at").await;
    bot.rest().await;
    assert_eq!(pushed(["mei", "boss", "lin"]), [2, 2, 2]);
    let asked = ask(&bot, "roll out").await;
    bot.reply("mei", asked.ts, "withdraw");
    bot.rest().await;
    assert_eq!(pushed(["mei", "boss", "lin"]), [2, 3, 3]);
    bot.finish().await;
}

// ---- asked directly ----

#[tokio::test]
async fn two_are_asked_directly_and_one_decides() {
    let bot = start(asking(asking(roll_out(), "boss", "direct"), "lin", "both")).await;
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    insta::assert_snapshot!(said(&bot).await, @"
    direct boss: PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    Asked in system-a: what comes of it is told there.
    [approve] [deny]
    direct lin: PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    Asked in system-a: what comes of it is told there.
    [approve] [deny]
    system-a: PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    @lin
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    [approve] [deny]
    ");
    // Directly or by mention, and who wants both gets both.
    assert_eq!([bot.slack.pushes("boss").len(), bot.slack.pushes("lin").len()], [1, 2]);
    let old = direct(&bot, "lin").pop().expect("a direct message").buttons[0].clone();
    let shown = direct(&bot, "boss").pop().expect("a direct message");
    bot.slack.press("boss", &bot.slack.direct("boss"), shown.ts, "approve");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    let heads: Vec<String> = ["boss", "lin"]
        .iter()
        .flat_map(|person| direct(&bot, person))
        .chain([root(&bot, &asked)])
        .map(|seen| head(&seen))
        .collect();
    insta::assert_snapshot!(heads.join("\n"), @"
    Done in LASTED, approved by boss.
    Done in LASTED, approved by boss.
    Done in LASTED, approved by boss.
    ");
    assert_eq!([bot.slack.pushes("boss").len(), bot.slack.pushes("lin").len()], [1, 2], "changes push nobody");
    // The other's button, on a telephone that was slow.
    let shown = direct(&bot, "lin").pop().expect("a direct message");
    bot.slack.press_late("lin", &bot.slack.direct("lin"), shown.ts, &old);
    insta::assert_snapshot!(said(&bot).await, @"direct lin >: CODE is approved already, by boss. Your answer changes nothing.");
    bot.finish().await;
}

/// Whoever is asked once the first stage has agreed wants it where they said, too.
#[tokio::test]
async fn whoever_is_asked_later_is_asked_directly_as_well() {
    let stages = "policy: managers\ntitle: boss, then lin\nstages:\n  - {approvers: [person:boss], quorum: 1}\n  \
                  - {approvers: [person:lin], quorum: 1}\nexpires: 10m\nvalid_for: 1h\n";
    let bot = start(asking(roll_out(), "lin", "direct").file("managers.yaml", stages)).await;
    let asked = ask(&bot, "roll out").await;
    assert!(direct(&bot, "lin").is_empty(), "lin is not asked yet");
    bot.reply("boss", asked.ts, "approved");
    insta::assert_snapshot!(said(&bot).await, @"
    direct lin: PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    approved or deny because … here, lin.
    Plan DIGEST · run 1 · policy managers · asked of lin
    Asked in system-a: what comes of it is told there.
    [approve] [deny]
    system-a: PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    approved or deny because … here, boss.
    Plan DIGEST · run 1 · policy managers · asked of lin
    [approve] [deny]
    system-a >: CODE: stage 1 of 2 agreed (boss). lin: approve CODE or deny CODE because …, until TIME. It is roll out, as shown above.
    ");
    assert_eq!(bot.slack.pushes("lin").len(), 1, "once");
    let shown = direct(&bot, "lin").pop().expect("a direct message");
    let plan = |seen: &Seen| plan_in(seen).lines().filter(|line| line.contains(" ! ")).map(plain).collect::<Vec<_>>();
    assert_eq!(plan(&shown), plan(&root(&bot, &asked)), "all of it");
    bot.slack.tell_directly("lin", "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    let shown = direct(&bot, "lin").into_iter().find(|seen| seen.ts == shown.ts).expect("still there");
    insta::assert_snapshot!(head(&shown), @"Done in LASTED, approved by boss and lin.");
    bot.finish().await;
}

#[tokio::test]
async fn a_bare_word_to_the_bot_alone_is_never_ambiguous() {
    let catalog = roll_out().runbook("tidy-up", &[step("tidy", "ok")]);
    let bot = start(asking(catalog, "boss", "direct")).await;
    let mut page = Vec::new();
    bot.slack.tell_directly("boss", "approved");
    page.push(format!("none: {}", said(&bot).await));
    let first = ask(&bot, "roll out").await;
    bot.slack.tell_directly("boss", "ok");
    page.push(format!("nearly: {}", said(&bot).await));
    ask(&bot, "tidy up").await;
    bot.slack.tell_directly("boss", "approved");
    page.push(format!("two: {}", said(&bot).await));
    // In the thread of one of them the word means that one.
    let shown = direct(&bot, "boss");
    let of_first = shown.iter().find(|seen| seen.text.contains(&first.code)).expect("it was shown");
    bot.slack.reply("boss", &bot.slack.direct("boss"), of_first.ts, "deny because not now");
    page.push(format!("in its thread: {}", said(&bot).await));
    bot.slack.tell_directly("boss", "approved");
    page.push(format!("one: {}", said(&bot).await));
    // Who was not asked here is not answered by a guess.
    let third = ask(&bot, "tidy up").await;
    bot.slack.tell_directly("lin", "approved");
    page.push(format!("not shown here: {}", said(&bot).await));
    bot.slack.tell_directly("lin", &format!("approve {}", third.code));
    page.push(format!("by its code: {}", said(&bot).await));
    insta::assert_snapshot!(page.join("\n\n"), @"
    none: direct boss: Nothing that was shown here waits for you. requests lists what waits; with its code, as in approve CODE, it can be decided here.

    nearly: direct boss: Not approved yet. Send approved or deny because ….

    two: direct boss: 2 requests wait here. Say which: approve CODE (roll out) or approve CODE (tidy up).

    in its thread: direct boss: Denied by boss: not now.
    PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    Asked in system-a: what comes of it is told there.
    direct boss >: Done. What comes of it is told in system-a.
    system-a: Denied by boss: not now.
    PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    system-a >: mei: boss denied roll out (CODE): not now. Nothing was done. Ledger N · DIGEST
    @mei

    one: direct boss: Done in LASTED, approved by boss.
    PRODUCTION · mei asks: tidy up on HOST · 1 change, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 2 · policy managers · asked of boss and lin
    Asked in system-a: what comes of it is told there.
    direct boss: Done. What comes of it is told in system-a.
    system-a: Done in LASTED, approved by boss.
    PRODUCTION · mei asks: tidy up on HOST · 1 change, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 2 · policy managers · asked of boss and lin
    system-a >: boss approved tidy up (CODE). Starting. Ledger N · DIGEST
    1 done    run    ./step.sh tidy ok   LASTED   tidy ok
    system-a >: mei: tidy up is done. LASTED. Ledger N · DIGEST
    @mei

    not shown here: direct lin: Nothing that was shown here waits for you. requests lists what waits; with its code, as in approve CODE, it can be decided here.

    by its code: direct boss: Done in LASTED, approved by lin.
    PRODUCTION · mei asks: tidy up on HOST · 1 change, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 3 · policy managers · asked of boss and lin
    Asked in system-a: what comes of it is told there.
    direct lin: Done. What comes of it is told in system-a.
    system-a: Done in LASTED, approved by lin.
    PRODUCTION · mei asks: tidy up on HOST · 1 change, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 3 · policy managers · asked of boss and lin
    system-a >: lin approved tidy up (CODE). Starting. Ledger N · DIGEST
    1 done    run    ./step.sh tidy ok   LASTED   tidy ok
    system-a >: mei: tidy up is done. LASTED. Ledger N · DIGEST
    @mei
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_stranger_decides_nothing_directly() {
    let bot = start(asking(roll_out(), "boss", "direct")).await;
    let asked = ask(&bot, "roll out").await;
    bot.slack.tell_directly("zed", "approved");
    bot.slack.tell_directly("zed", &format!("approve {}", asked.code));
    insta::assert_snapshot!(said(&bot).await, @"
    direct zed: U0ZED (slack:T0ACME:U0ZED) is not known here. Ask an operator to add you to people.yaml.
    direct zed: U0ZED (slack:T0ACME:U0ZED) is not known here. Ask an operator to add you to people.yaml.
    ");
    // And who asked is told the same as in the room.
    bot.slack.tell_directly("mei", &format!("approve {}", asked.code));
    insta::assert_snapshot!(said(&bot).await, @"direct mei: mei, it is your own request: someone else must approve. Asked: boss and lin.");
    assert_eq!(root(&bot, &asked).buttons.len(), 2);
    bot.finish().await;
}

#[tokio::test]
async fn who_cannot_be_reached_directly_is_called_in_the_room() {
    let slack = Slack::start().await;
    slack.people(&slack_bot::PEOPLE);
    let members: Vec<&str> = slack_bot::PEOPLE.into_iter().chain(["countersign"]).collect();
    let room = slack.channel("system-a", Room::Public, &members);
    let other = slack.channel("system-z", Room::Private, &members);
    slack.deactivate("boss");
    slack.forgive("conversations.open", "user_disabled");
    let bot = SlackBot::start_in(slack, room, other, asking(roll_out(), "boss", "direct"), Hears::Socket, "").await;
    bot.say("mei", "roll out");
    let called = bot.hear("was not reached").await;
    insta::assert_snapshot!(plain(&called.text), @"
    boss was not reached by direct message. CODE waits for you here.
    @boss @boss2
    ");
    let asked = Asked { ts: called.thread.expect("it stands in the request's thread"), ..bot.request().await };
    bot.reply("lin", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    insta::assert_snapshot!(head(&root(&bot, &asked)), @"Done in LASTED, approved by lin.");
    let calls = bot.slack.of_bot(&bot.room).iter().filter(|seen| seen.text.contains("was not reached")).count();
    assert_eq!(calls, 1, "once");
    bot.finish().await;
}

// ---- commands from elsewhere ----

#[tokio::test]
async fn what_is_asked_for_directly_is_shown_where_those_who_decide_see_it() {
    let bot = start(roll_out()).await;
    bot.slack.tell_directly("mei", "roll out");
    let asked = bot.request().await;
    insta::assert_snapshot!(said(&bot).await, @"
    direct mei: Asked in system-a: CODE. boss or lin decides there.
    system-a: PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    @boss @boss2 @lin
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    [approve] [deny]
    ");
    bot.slack.tell_directly("mei", "roll out");
    let mut page = vec![said(&bot).await];
    for line in ["requests", "status", "is service b running"] {
        bot.slack.tell_directly("mei", line);
        page.push(said(&bot).await);
    }
    insta::assert_snapshot!(page.join("\n"), @"
    direct mei: Already waiting for boss or lin since TIME, CODE. again asks anew.
    direct mei: CODE  mei asks: roll out · until TIME · asked of boss and lin
    direct mei: PRODUCTION · System A
    Service B: not checked by itself: ask is service b ok.
    SCRATCH · System Z
    Service Y: not checked by itself: ask is service y ok.
    No incident is open here.
    CODE waits for boss or lin until TIME   roll out
    direct mei: Service B is running. Checked at TIME by running: exit 0.
    ");
    bot.slack.tell_directly("mei", "withdraw");
    insta::assert_snapshot!(said(&bot).await, @"
    direct mei: Done. What comes of it is told in system-a.
    system-a: Withdrawn by mei.
    PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 1 · policy managers · asked of boss and lin
    system-a >: mei withdrew roll out (CODE). Nothing was done.
    ");
    bot.bot.until_run(asked.run, "withdrawn").await;
    bot.slack.tell_directly("mei", "again");
    insta::assert_snapshot!(said(&bot).await, @"
    direct mei: Asked in system-a: CODE. boss or lin decides there.
    system-a: PRODUCTION · mei asks: roll out on HOST · 2 changes, no undo · until TIME · CODE
    @boss @boss2 @lin
    approved or deny because … here, boss or lin.
    Plan DIGEST · run 3 · policy managers · asked of boss and lin
    [approve] [deny]
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_slash_command_where_the_bot_is_not_is_answered_to_its_speaker() {
    let bot = start(roll_out()).await;
    let far = bot.slack.channel("far-away", Room::Public, &["mei", "zed"]);
    let mut page = Vec::new();
    for (person, line) in [("mei", "is service b running"), ("mei", "ping"), ("zed", "status")] {
        bot.slack.command(person, &far, "/countersign", line);
        page.push(said(&bot).await);
    }
    insta::assert_snapshot!(page.join("\n"), @"
    direct mei: Service B is running. Checked at TIME by running: exit 0.
    direct mei: I am here.
    direct zed: U0ZED (slack:T0ACME:U0ZED) is not known here. Ask an operator to add you to people.yaml.
    ");
    bot.slack.command("mei", &far, "/countersign", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    bot.slack.command("boss", &bot.other, "/countersign", &format!("approve {}", asked.code));
    insta::assert_snapshot!(said(&bot).await, @"system-z: No request has the code CODE. requests lists what waits in this room.");
    assert_eq!(bot.slack.of_bot(&far).len(), 0);
    bot.finish().await;
}

// ---- what goes wrong ----

#[tokio::test]
async fn a_message_whose_arrival_was_in_doubt_is_changed_where_it_arrived() {
    let bot = start(roll_out()).await;
    bot.bot.db();
    bot.slack.next("chat.postMessage", Fault::LostAfter);
    let asked = ask(&bot, "roll out").await;
    assert_eq!(bot.slack.of_bot(&bot.room).len(), 1, "once");
    bot.reply("boss", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    insta::assert_snapshot!(head(&root(&bot, &asked)), @"Done in LASTED, approved by boss.");
    bot.finish().await;
}

#[tokio::test]
async fn a_message_that_is_gone_keeps_nothing_from_being_told() {
    let bot = start(roll_out()).await;
    let asked = ask(&bot, "roll out").await;
    bot.slack.delete(&bot.room, asked.ts);
    bot.slack.forgive("chat.update", "message_not_found");
    bot.slack.forgive("chat.postMessage", "thread_not_found");
    bot.say("boss", &format!("approve {}", asked.code));
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.say("mei", "ping");
    bot.hear("I am here.").await;
    bot.rest().await;
    bot.slack.pardon();
    bot.finish().await;
}

#[tokio::test]
async fn a_process_that_dies_between_outcome_and_change_leaves_the_change_to_the_next() {
    let mut bot = start(roll_out()).await;
    bot.slack.retries(&[Duration::from_millis(300); 3]);
    let asked = ask(&bot, "roll out").await;
    bot.slack.limit("chat.update", Duration::from_secs(3_600));
    bot.reply("boss", asked.ts, "deny because not tonight");
    bot.hear("boss denied").await;
    assert_eq!(root(&bot, &asked).buttons.len(), 2);
    bot.bot.kill().await;
    bot.slack.unlimited();
    bot.bot.db().tamper("update outbox set next_try_at = created_at where sent_at is null").await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    bot.rest().await;
    insta::assert_snapshot!(head(&root(&bot, &asked)), @"Denied by boss: not tonight.");
    bot.finish().await;
}

// ---- the outbox ----

fn to_say(part: i32, place: Place, text: &str) -> NewMessage {
    NewMessage {
        room: "slack:T0ACME:C1".parse().expect("an address"),
        place,
        origin: Origin::Event(Position(1)),
        part,
        cause: None,
        role: None,
        edits: false,
        message: Message::to_room(text),
    }
}

/// A message and a change of it, in the outbox.
async fn with_a_change(store: &Store) -> (RoomAddress, OutboxRow) {
    let message = to_say(0, Place::Room, "a request");
    let room = message.room.clone();
    let mut tx = store.begin().await.expect("a transaction");
    tx.say(message);
    tx.commit().await.expect("committed");
    let first = store.list_unsent(&room, 9).await.expect("rows").pop().expect("a row");
    let mut tx = store.begin().await.expect("a transaction");
    tx.say(to_say(1, Place::Instead(first.id), "decided"));
    tx.commit().await.expect("committed");
    (room, first)
}

#[tokio::test]
async fn a_change_waits_for_the_message_that_it_changes() {
    let db = support::database().await;
    let (room, first) = with_a_change(&db.store).await;
    let rows = db.store.list_unsent(&room, 9).await.expect("rows");
    let seen: Vec<_> = rows.iter().map(|row| (row.target_is_open, row.only_instead, row.edits.clone())).collect();
    assert_eq!(seen, [(false, OnlyInstead::No, None), (true, OnlyInstead::Yes, None)]);
    db.store.set_sent_plain(&[(first.id, MessageId::new("17.5"))]).await.expect("marked");
    let rows = db.store.list_unsent(&room, 9).await.expect("rows");
    let seen: Vec<_> = rows.iter().map(|row| (row.target_is_open, row.only_instead, row.edits.clone())).collect();
    assert_eq!(seen, [(false, OnlyInstead::Yes, Some(MessageId::new("17.5")))]);
    // Changed again: it is still the first message that is changed.
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.say(to_say(2, Place::Instead(first.id), "done"));
    tx.commit().await.expect("committed");
    let rows = db.store.list_unsent(&room, 9).await.expect("rows");
    assert!(rows.iter().all(|row| row.edits == Some(MessageId::new("17.5"))), "{rows:?}");
}

/// A platform that refuses the first message, and notes what it is handed.
#[derive(Default)]
struct Refusing(std::sync::Mutex<Vec<String>>);

impl Adapter for Refusing {
    fn serves(&self, _: &RoomAddress) -> bool {
        true
    }

    fn limits(&self) -> Limits {
        Limits { text: 100, buttons: 5, used: Used::Stay { edited: 100 }, at_once: None, long: Long::Messages }
    }

    fn send<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Result<MessageId, SendError>> {
        let mut handed = self.0.lock().expect("no panic before");
        handed.push(message.message.text.clone());
        let refused = handed.len() == 1;
        let name = MessageId::new(format!("m{}", message.id));
        async move { if refused { Err(SendError::Refused("gone".to_owned())) } else { Ok(name) } }.boxed()
    }

    fn find<'a>(&'a self, _: &'a Outgoing) -> BoxFuture<'a, Result<Option<MessageId>, SendError>> {
        async { Ok(None) }.boxed()
    }
}

#[tokio::test]
async fn a_change_of_what_was_given_up_is_not_said() {
    let db = support::database().await;
    let (room, _) = with_a_change(&db.store).await;
    let mut tx = db.store.begin().await.expect("a transaction");
    tx.say(to_say(2, Place::Room, "something else"));
    tx.commit().await.expect("committed");
    let platform = Arc::new(Refusing::default());
    let me = db.store.insert_worker(&ProcessIdentity::own().expect("a process")).await.expect("a worker");
    let (stop, stops) = watch::channel(false);
    let adapters: Vec<Arc<dyn Adapter>> = vec![platform.clone()];
    let sender =
        tokio::spawn(sender::run(db.store.clone(), adapters, text::echo::at_once, me, Duration::from_secs(9), stops));
    support::until("everything was sent or given up", async || {
        db.store.list_unsent(&room, 9).await.expect("rows").is_empty().then_some(())
    })
    .await;
    assert_eq!(*platform.0.lock().expect("no panic before"), ["a request", "something else"]);
    let why = db.text("select failed from outbox where changes is not null").await;
    assert_eq!(why, "what it changes was given up");
    stop.send(true).expect("it listens");
    sender.await.expect("it ends");
}

/// Somebody from elsewhere who is in the room is nobody here.
#[tokio::test]
async fn an_account_of_another_workspace_is_not_spoken_to_directly() {
    let bot = start(roll_out()).await;
    bot.slack.user("eve", Kind::Stranger("T0OTHER".to_owned()));
    bot.slack.tell_directly("eve", "status");
    insta::assert_snapshot!(said(&bot).await, @"direct eve: U0EVE (slack:T0OTHER:U0EVE) is not known here. Ask an operator to add you to people.yaml.");
    bot.finish().await;
}

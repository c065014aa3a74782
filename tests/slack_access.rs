//! Who may change who may approve: the real program in a workspace of ours, over a catalog whose files change while it runs.

#[path = "support/slack/mod.rs"]
mod slack;
#[path = "support/slack_bot.rs"]
mod slack_bot;
mod support;

use std::process::Output;

use chrono::{DateTime, Utc};
use countersign::ledger::verify;
use slack_bot::{Hears, SlackBot};
use support::bot::Bot;
use support::until;
use support::world::{Catalog, step};

const PEOPLE: &str = r#"people:
  mei: {accounts: ["local:trial:mei"]}
  boss: {accounts: ["local:trial:boss"]}
  kim: {accounts: ["local:trial:boss2"]}
  lin: {accounts: ["local:trial:lin"]}
groups:
  support: [mei]
  managers: [boss, kim]
access:
  countersigned_by: [person:boss, person:lin]
  room: system-a
"#;

/// Managers approve; boss and lin countersign; lin is no manager.
fn catalog() -> Catalog {
    Catalog::made().file("people.yaml", PEOPLE).runbook("roll-out", &[step("one", "ok")])
}

async fn start() -> SlackBot {
    SlackBot::start(catalog(), Hears::Socket).await
}

/// Changes a file of the catalog in use.
fn change(bot: &SlackBot, file: &str, from: &str, to: &str) {
    let path = bot.bot.catalog(file);
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.contains(from), "{file} holds `{from}`: {text}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("a file");
}

/// Later than everything.
fn far() -> DateTime<Utc> {
    DateTime::from_timestamp(4_000_000_000, 0).expect("a time")
}

/// Waits until so many events of a kind are in the ledger, and everything is told.
async fn recorded(bot: &SlackBot, kind: &str, times: usize) {
    until("it is recorded", async || {
        let events = bot.bot.db().store.list_events_of(&[kind], far()).await.expect("the database");
        let count = events.len();
        assert!(count <= times, "{count} {kind}");
        (count == times).then_some(())
    })
    .await;
    bot.calm().await;
}

/// The code of what waits.
async fn code(bot: &SlackBot) -> String {
    bot.bot.db().text("select code from access_version where state = 'proposed'").await
}

/// The messages in the order of their rooms: which room is told first does not matter.
fn by_room(said: &str) -> String {
    let mut messages: Vec<String> = Vec::new();
    for line in said.lines() {
        match messages.last_mut() {
            Some(message) if !line.starts_with("system-") => message.push_str(&format!("\n{line}")),
            _ => messages.push(line.to_owned()),
        }
    }
    messages.sort_by_key(|message| message.split(':').next().unwrap_or_default().to_owned());
    messages.join("\n")
}

async fn program(bot: &SlackBot, arguments: &[&str]) -> Output {
    let mut command = bot.bot.command(arguments);
    command.env("COUNTERSIGN_DATA", bot.bot.data());
    command.output().await.expect("the program runs")
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Who could approve `roll-out` at a moment, from the ledger.
async fn could_approve(bot: &SlackBot, at: &str) -> String {
    let url = bot.bot.url();
    let arguments = ["audit", "access", "--server", &url, "--at", at, "--runbook", "roll-out", "--json"];
    let output = program(bot, &arguments).await;
    let then: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
    then["runbooks"][0]["stages"][0]["could_approve"].to_string()
}

/// A moment by the database's clock.
async fn now(bot: &SlackBot) -> String {
    let now = r#"select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#;
    bot.bot.db().text(now).await
}

/// Makes of one person another in what is in force.
fn by_hand(from: &str, to: &str) -> String {
    format!(
        "update access_version set snapshot = convert_to(replace(convert_from(snapshot, 'UTF8'), '\"{from}\"', \
         '\"{to}\"'), 'UTF8') where state = 'in_force'"
    )
}

#[tokio::test]
async fn i7_whoever_comes_to_a_group_approves_once_a_second_person_has_agreed() {
    let mut bot = start().await;
    assert!(bot.bot.log().contains("who may do what is kept from now on"), "{}", bot.bot.log());
    let before = now(&bot).await;
    change(&bot, "people.yaml", "managers: [boss, kim]", "managers: [boss, kim, lin]");
    recorded(&bot, "access_proposed", 1).await;
    let waits = code(&bot).await;
    let mut page = vec![bot.rest().await];

    // It waits, also for another process that reads the same files.
    bot.bot.term().await;
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    assert_eq!(code(&bot).await, waits, "one proposal for the same files");
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    bot.reply("lin", asked.ts, "approved");
    page.push(bot.rest().await);

    // Who gains by it, and who is not named.
    bot.say("lin", &format!("countersign {waits}"));
    bot.calm().await;
    bot.say("boss2", &format!("countersign {waits}"));
    bot.calm().await;
    bot.say("boss", &format!("countersign {waits}?"));
    page.push(bot.rest().await);
    assert_eq!(code(&bot).await, waits, "it still waits");
    let between = now(&bot).await;

    bot.say("boss", &format!("countersign {waits}"));
    page.push(bot.rest().await);
    bot.say("boss", &format!("countersign {waits}"));
    page.push(bot.rest().await);
    // Who was asked is what counts for what waits already; what is asked from now on asks lin too.
    bot.reply("lin", asked.ts, "approved");
    page.push(bot.rest().await);
    bot.reply("mei", asked.ts, "withdraw");
    bot.rest().await;
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    bot.reply("lin", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    insta::assert_snapshot!(page.join("\n--\n"), @"
    system-a: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet.
    @boss
    gives: lin is in group managers
    countersign CODE or refuse CODE because … here, boss. lin would gain by it, so somebody else must.
    --
    system-a >: lin, CODE is not for you to decide. Asked: boss and kim.
    --
    system-a: lin, CODE gives you rights: somebody else must countersign it. Asked: boss.
    system-a: kim, you do not countersign CODE. Asked: boss.
    --
    system-a: boss countersigned CODE: it holds from now on. Ledger N · DIGEST
    gives: lin is in group managers
    --
    system-a: CODE is in force already. Nothing has changed. access shows what waits.
    --
    system-a >: lin, CODE is not for you to decide. Asked: boss and kim.
    ");

    let after = now(&bot).await;
    assert_eq!(could_approve(&bot, &before).await, r#"["boss","kim"]"#);
    assert_eq!(could_approve(&bot, &between).await, r#"["boss","kim"]"#, "it waited");
    assert_eq!(could_approve(&bot, &after).await, r#"["boss","kim","lin"]"#);

    // Whoever changes the row by hand is found.
    bot.bot.db().tamper(&by_hand("kim", "zed")).await;
    let report = verify(&bot.bot.db().store, &[]).await.expect("it can be verified").to_string();
    assert!(report.contains("access/2"), "{report}");
    bot.bot.db().tamper(&by_hand("zed", "kim")).await;
    bot.finish().await;
}

#[tokio::test]
async fn whoever_is_taken_out_is_gone_at_once_and_comes_back_by_a_second_person() {
    let bot = start().await;
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    let before = now(&bot).await;
    change(&bot, "people.yaml", "managers: [boss, kim]", "managers: [kim]");
    recorded(&bot, "access_taken", 1).await;
    let mut page = vec![bot.rest().await];
    bot.reply("boss", asked.ts, "approved");
    page.push(bot.rest().await);
    bot.say("boss", "access");
    page.push(bot.rest().await);
    // Whoever can write the files cannot undo it alone.
    change(&bot, "people.yaml", "managers: [kim]", "managers: [boss, kim]");
    recorded(&bot, "access_proposed", 1).await;
    let waits = code(&bot).await;
    bot.rest().await;
    bot.reply("boss", asked.ts, "approved");
    bot.calm().await;
    bot.say("boss", &format!("countersign {waits}"));
    bot.calm().await;
    bot.say("lin", &format!("refuse {waits}"));
    bot.calm().await;
    bot.say("lin", &format!("refuse {waits} because boss is on leave"));
    bot.calm().await;
    bot.say("lin", &format!("countersign {waits}"));
    bot.calm().await;
    bot.say("lin", "access changes");
    page.push(bot.rest().await);
    assert_eq!(could_approve(&bot, &before).await, r#"["boss","kim"]"#);
    assert_eq!(could_approve(&bot, &now(&bot).await).await, r#"["kim"]"#);
    bot.reply("boss2", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    insta::assert_snapshot!(page.join("\n--\n"), @"
    system-a: Who may do what has changed. Nobody has to countersign it, so it holds at once:
    takes: boss is in group managers no more
    --
    system-a >: boss, CODE was yours to decide and is no longer. Asked: kim.
    --
    system-a: Who may do what is in force since TIME. Changes are countersigned by boss or lin.
    Nothing waits to be countersigned.
    --
    system-a >: boss, CODE was yours to decide and is no longer. Asked: kim.
    system-a: boss, CODE gives you rights: somebody else must countersign it. Asked: lin.
    system-a: lin refused CODE: boss is on leave. Nothing of it holds. Take it out of the catalog's files, or change them.
    system-a: CODE was refused by lin: boss is on leave. Nothing has changed. access shows what waits.
    system-a: Who may do what is in force since TIME. Changes are countersigned by boss or lin.
    Nothing waits to be countersigned.
    ");
    bot.finish().await;
}

#[tokio::test]
async fn of_two_who_countersign_at_once_one_does() {
    let bot = start().await;
    change(&bot, "people.yaml", "support: [mei]", "support: [mei, kim]");
    recorded(&bot, "access_proposed", 1).await;
    let waits = code(&bot).await;
    let mut page = vec![bot.rest().await];
    bot.say("boss", &format!("countersign {waits}"));
    bot.say("lin", &format!("countersign {waits}"));
    recorded(&bot, "access_countersigned", 1).await;
    let said = bot.rest().await;
    assert_eq!(said.matches("CODE is in force already").count(), 1, "{said}");
    assert_eq!(said.matches("countersigned CODE: it holds from now on").count(), 1, "{said}");
    assert_eq!(bot.bot.db().number("select count(*) from access_version where state = 'in_force'").await, 1);
    change(&bot, "people.yaml", "support: [mei, kim]", "support: [mei]");
    recorded(&bot, "access_taken", 1).await;
    page.push(bot.rest().await);
    insta::assert_snapshot!(page.join("\n--\n"), @"
    system-a: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet.
    @boss @lin
    gives: kim is in group support
    countersign CODE or refuse CODE because … here, boss or lin.
    --
    system-a: Who may do what has changed. Nobody has to countersign it, so it holds at once:
    takes: kim is in group support no more
    ");
    bot.finish().await;
}

/// Whoever approves under a policy that becomes laxer comes to decide more: somebody else countersigns it.
#[tokio::test]
async fn i7_who_approves_under_a_loosened_policy_does_not_countersign_it() {
    let bot = start().await;
    change(&bot, "managers.yaml", "expires: 30m", "expires: 45m");
    recorded(&bot, "access_proposed", 1).await;
    let waits = code(&bot).await;
    let mut page = vec![bot.rest().await];
    bot.say("boss", &format!("countersign {waits}"));
    page.push(bot.rest().await);
    bot.say("lin", &format!("countersign {waits}"));
    recorded(&bot, "access_countersigned", 1).await;
    bot.rest().await;
    // The other way is only stricter.
    change(&bot, "managers.yaml", "expires: 45m", "expires: 30m");
    recorded(&bot, "access_taken", 1).await;
    page.push(bot.rest().await);
    insta::assert_snapshot!(page.join("\n--\n"), @"
    system-a: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet.
    @lin
    gives: policy managers says something else
        without expires: 30m
        with    expires: 45m
    countersign CODE or refuse CODE because … here, lin. boss would gain by it, so somebody else must.
    --
    system-a: boss, CODE gives you rights: somebody else must countersign it. Asked: lin.
    --
    system-a: Who may do what has changed. Nobody has to countersign it, so it holds at once:
    takes: policy managers says something else
        without expires: 45m
        with    expires: 30m
    ");
    bot.finish().await;
}

/// Nobody reads the plan of what starts without being asked: what it does is countersigned.
#[tokio::test]
async fn i1_a_runbook_that_starts_unasked_and_changed_is_asked_about_until_countersigned() {
    let catalog = catalog();
    let bot = SlackBot::start(catalog, Hears::Socket).await;
    let unasked = "unasked: [{runbook: roll-out, by: [person:mei], at_most: {runs: 5, per: 1h}}]\nexpires: 30m";
    change(&bot, "managers.yaml", "expires: 30m", unasked);
    recorded(&bot, "access_proposed", 1).await;
    bot.say("lin", &format!("countersign {}", code(&bot).await));
    recorded(&bot, "access_countersigned", 1).await;
    bot.rest().await;
    bot.say("mei", "run roll-out");
    recorded(&bot, "run_succeeded", 1).await;
    let said = bot.rest().await;
    assert!(said.contains("Nobody is asked"), "{said}");
    // The steps alone.
    let text = std::fs::read_to_string(bot.bot.catalog("roll-out.yaml")).expect("a file");
    std::fs::write(bot.bot.catalog("roll-out.yaml"), format!("{text}# another\n")).expect("a file");
    recorded(&bot, "access_proposed", 2).await;
    insta::assert_snapshot!(bot.rest().await, @"
    system-a: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet.
    @boss @lin
    gives: runbook roll-out changed, and people whom a policy names start it without anybody's agreement: until countersigned people are asked
    countersign CODE or refuse CODE because … here, boss or lin.
    ");
    bot.say("mei", "run roll-out");
    recorded(&bot, "request_asked", 2).await;
    let said = bot.rest().await;
    assert!(!said.contains("Nobody is asked") && said.contains("mei asks"), "{said}");
    bot.say("mei", "withdraw");
    bot.say("lin", &format!("countersign {}", code(&bot).await));
    recorded(&bot, "access_countersigned", 2).await;
    bot.rest().await;
    bot.say("mei", "run roll-out");
    recorded(&bot, "run_succeeded", 2).await;
    let said = bot.rest().await;
    assert!(said.contains("Nobody is asked"), "{said}");
    bot.finish().await;
}

#[tokio::test]
async fn when_nobody_is_left_an_operator_accepts_it_on_the_host() {
    let bot = start().await;
    // boss has left; lin wrote it.
    change(&bot, "people.yaml", "  boss: {accounts: [\"slack:T0ACME:U0BOSS\"]}\n", "");
    change(&bot, "people.yaml", "managers: [boss, kim]", "managers: [kim, lin]");
    change(&bot, "people.yaml", "[person:boss, person:lin]\n", "[person:lin, person:kim]\n  changed_by: [lin]\n");
    recorded(&bot, "access_proposed", 1).await;
    let waits = code(&bot).await;
    let mut page = vec![bot.rest().await];
    bot.say("lin", &format!("countersign {waits}"));
    bot.calm().await;
    bot.say("boss", &format!("countersign {waits}"));
    page.push(bot.rest().await);
    let url = bot.bot.db().url().to_owned();
    let wrong = program(&bot, &["access", "accept", "2A2A", "--as", "mei", "--because", "x", "--database", &url]).await;
    assert_eq!(wrong.status.code(), Some(1), "{}", printed(&wrong));
    let unsaid =
        program(&bot, &["access", "accept", &waits, "--as", "mei", "--because", " ", "--database", &url]).await;
    assert_eq!(unsaid.status.code(), Some(1), "{}", printed(&unsaid));
    let shown = program(&bot, &["access", "show", "--database", &url]).await;
    page.push(printed(&shown).replace(&waits, "CODE"));
    let because = "boss has left and lin wrote it";
    let done =
        program(&bot, &["access", "accept", &waits, "--as", "mei", "--because", because, "--database", &url]).await;
    assert_eq!(done.status.code(), Some(0), "{}", printed(&done));
    recorded(&bot, "access_accepted", 1).await;
    page.push(bot.rest().await);
    until("the bot uses it", async || bot.bot.log().contains("another version of who may do what").then_some(())).await;
    bot.say("mei", "roll out");
    let asked = bot.request().await;
    bot.rest().await;
    bot.reply("lin", asked.ts, "approved");
    bot.bot.until_run(asked.run, "succeeded").await;
    bot.rest().await;
    let audit = program(&bot, &["audit", "access", "--database", &url, "--runbook", "roll-out"]).await;
    let audit = support::bot::plain(&printed(&audit));
    page.push(audit);
    insta::assert_snapshot!(page.join("\n--\n"), @"
    system-a: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet. lin wrote it.
    gives: lin is in group managers
    gives: kim countersigns changes like this
    What takes rights away holds already:
    takes: boss is known no more
    takes: boss is in group managers no more
    takes: boss is not named any more to countersign
    Nobody who is named may countersign it. An operator can, on the host: countersign access accept CODE --as NAME --because REASON. lin wrote it and does not count.
    --
    system-a: lin, you wrote CODE: somebody else must countersign it. An operator can, on the host: countersign access accept CODE --as NAME --because REASON.
    only boss: U0BOSS (slack:T0ACME:U0BOSS) is not known here. Ask an operator to add you to people.yaml.
    --
    CODE
    gives: lin is in group managers
    gives: kim countersigns changes like this

    --
    system-a: EXCEPTION: mei put CODE in force on the host, without a second person: boss has left and lin wrote it. Ledger N · DIGEST
    gives: lin is in group managers
    gives: kim countersigns changes like this
    --
    Who could do what at TIME.
    So since TIME: EXCEPTION: put in force on the host by mei, without a second person. Ledger N.
    Changes of it were countersigned by: kim and lin.

    system system-a (production, room system-a)
      could ask for runbooks on: kim, lin and mei
      could look at: kim, lin and mei
      could judge, retry and stop what is stuck on: kim and lin

    system system-z (scratch, room system-z)
      could ask for runbooks on: kim, lin and mei
      could look at: kim, lin and mei
      could judge, retry and stop what is stuck on: kim and lin

    runbook roll-out (on system-a)
      could be asked for by: kim, lin and mei
      needed policy managers, whoever asked not counting:
        1. 1 of kim and lin (group managers)
    ");
    bot.finish().await;
}

#[tokio::test]
async fn a_bot_that_was_off_compares_when_it_starts_and_a_catalog_that_names_nobody_keeps_what_waits() {
    let none = PEOPLE.split("access:").next().expect("a part").to_owned();
    let catalog = Catalog::made().file("people.yaml", &none).runbook("roll-out", &[step("one", "ok")]);
    let mut bot = SlackBot::start(catalog, Hears::Socket).await;
    bot.bot.term().await;
    change(&bot, "people.yaml", "managers: [boss, kim]", "managers: [kim, lin]");
    bot.bot.restart().await;
    bot.hears(Hears::Socket).await;
    recorded(&bot, "access_proposed", 1).await;
    let waits = code(&bot).await;
    assert!(bot.bot.log().contains("names nobody who countersigns"), "{}", bot.bot.log());
    let mut page = vec![by_room(&bot.rest().await)];
    bot.say("boss", &format!("countersign {waits}"));
    page.push(by_room(&bot.rest().await));
    // Back to what it was: boss has lost it, and only that waits now.
    change(&bot, "people.yaml", "managers: [kim, lin]", "managers: [boss, kim]");
    recorded(&bot, "access_proposed", 2).await;
    page.push(by_room(&bot.rest().await));
    insta::assert_snapshot!(page.join("\n--\n"), @"
    system-a: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet.
    gives: lin is in group managers
    What takes rights away holds already:
    takes: boss is in group managers no more
    The catalog that is in force names nobody who countersigns. An operator can, on the host: countersign access accept CODE --as NAME --because REASON.
    system-z: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet.
    gives: lin is in group managers
    What takes rights away holds already:
    takes: boss is in group managers no more
    The catalog that is in force names nobody who countersigns. An operator can, on the host: countersign access accept CODE --as NAME --because REASON.
    --
    system-a: boss, you do not countersign CODE. An operator can, on the host: countersign access accept CODE --as NAME --because REASON.
    --
    system-a: CODE waits no more: what the catalog's files or the rights in force say has changed since.
    system-a: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet.
    gives: boss is in group managers
    The catalog that is in force names nobody who countersigns. An operator can, on the host: countersign access accept CODE --as NAME --because REASON.
    system-z: CODE waits no more: what the catalog's files or the rights in force say has changed since.
    system-z: CODE · who may do what would change. It waits for a second person until TIME; nothing of it holds yet.
    gives: boss is in group managers
    The catalog that is in force names nobody who countersigns. An operator can, on the host: countersign access accept CODE --as NAME --because REASON.
    ");
    bot.finish().await;
}

#[tokio::test]
async fn in_a_trial_a_change_holds_at_once() {
    let catalog = Catalog::made().edited("people.yaml", "managers: [boss, lin]", "managers: [boss]");
    let bot = Bot::start(catalog.runbook("roll-out", &[step("one", "ok")])).await;
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("lin", "approved").thread(asked.thread()).await.refused();
    let people = bot.catalog("people.yaml");
    let text = std::fs::read_to_string(&people).expect("a file");
    std::fs::write(&people, text.replace("managers: [boss]", "managers: [lin]")).expect("a file");
    until("it is loaded", async || {
        let loaded = bot.db().number("select count(*) from event where kind = 'catalog_loaded'").await;
        (loaded == 2).then_some(())
    })
    .await;
    bot.say("boss", "approved").thread(asked.thread()).await.refused();
    bot.say("mei", "withdraw").thread(asked.thread()).await.done();
    let asked = bot.say("mei", "roll out").await.waiting();
    bot.say("lin", "approved").thread(asked.thread()).await.done();
    let said = bot.say("boss", "access").await.plain();
    insta::assert_snapshot!(said, @"This is a trial: a change of the catalog holds at once, and nobody countersigns it.");
    assert_eq!(bot.db().number("select count(*) from access_version").await, 0);
    bot.rest().await;
    bot.finish().await;
}

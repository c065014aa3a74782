//! What is approved now and starts later: not before its time, and only if everything still holds then.

use chrono::TimeDelta;
use countersign::chat::Delivery;
use countersign::flow::clear_all;
use countersign::ledger;
use countersign::model::run::RunState;

use super::house::{Asked, House};
use super::i13::reload;

/// Who may pause, and nothing else.
const PAUSING: (&str, &str) = (
    "shop.yaml",
    "system: shop\ntitle: The shop\nenvironment: production\nroom: shop\nmay_run: [group:support, group:managers]\n\
     may_see: [person:vic]\nmay_unstick: [group:managers]\nmay_pause: [person:boss]\nservices:\n  \
     web: {title: Web, checks: {running: {command: ['true']}}}\n",
);

const PEOPLE: &str = "people:
  mei: {accounts: ['local:trial:mei', 'local:trial:mei2']}
  ann: {accounts: ['local:trial:ann', 'local:trial:ann2']}
  boss: {accounts: ['local:trial:boss', 'local:trial:boss2']}
  lin: {accounts: ['local:trial:lin']}
  kim: {accounts: ['local:trial:kim', 'local:trial:kim2']}
  vic: {accounts: ['local:trial:vic']}
groups:
  support: [mei, ann]
  managers: [ann, lin, kim]
  leads: [kim]
";

async fn sound(house: &House) {
    house.tell().await;
    let report = ledger::verify(house.store(), &[]).await.expect("verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// Asks for `mark it` in three hours, to the minute; boss agrees at once.
async fn approved(house: &House, what: &str) -> Asked {
    let at = house.store().clock().now() + TimeDelta::hours(3);
    let asked = house.ask("mei", &format!("at {} {what}", at.format("%Y-%m-%d %H:%M"))).await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
    assert_eq!(house.count(&format!("run_grant where run = {}", asked.run)).await, 1);
    asked
}

async fn told(house: &House) -> String {
    house.tell().await;
    house.said().await.join("\n")
}

/// Its time comes; it must not be started, and that is said with these words.
async fn not_started(house: &House, asked: Asked, words: &str) {
    let engine = house.engine();
    clear_all(&house.app).await.expect("looked at");
    let RunState::Failed(snag) = house.settled(asked.run).await else { panic!("it was started") };
    assert!(snag.why.contains(words), "{}", snag.why);
    engine.stop().await;
    assert_eq!(house.done(), [""; 0]);
    assert_eq!(house.count("run_grant where state = 'revoked'").await, 1);
    let told = told(house).await;
    assert!(told.contains("and is not started: ") && told.contains(words), "{told}");
    let pings = house.texts("select message from outbox where message like '%is not started%'".to_owned()).await;
    assert!(pings.join("").contains("local:trial:mei"), "{pings:?}");
    sound(house).await;
}

#[tokio::test]
async fn i1_it_starts_at_its_time_and_not_before_whoever_is_killed_in_between() {
    let house = House::new().await;
    let asked = approved(&house, "mark it").await;
    let text = told(&house).await;
    assert!(text.contains(" · at ") && text.contains("boss approved mark it") && text.contains("Starts at "), "{text}");
    assert!(!text.contains("Starting."), "{text}");
    for (line, says) in [
        ("requests".to_owned(), "approved, starts at "),
        ("status".to_owned(), "approved, starts at "),
        (format!("show {}", asked.code), "Starts at "),
    ] {
        let said = house.say("mei", &line).await;
        assert!(said.contains(says), "{line}: {said}");
    }
    // Nobody looks, nobody claims: neither now nor a few minutes before.
    for minutes in [0, 175] {
        house.shift(TimeDelta::minutes(minutes));
        clear_all(&house.app).await.expect("looked at");
        let me = house.another_worker().await;
        let claimed = house.store().claim_runs(me, super::house::LEASE, 10, &[]).await.expect("claimed");
        assert!(claimed.is_empty());
        let engine = house.engine();
        engine.kill().await;
    }
    house.shift(TimeDelta::minutes(5));
    // Its time has come, and it still is nobody's before it was looked at.
    let me = house.another_worker().await;
    assert!(house.store().claim_runs(me, super::house::LEASE, 10, &[]).await.expect("claimed").is_empty());
    clear_all(&house.app).await.expect("looked at");
    // What was seen to hold is not believed for long: the bot was away in between.
    house.shift(TimeDelta::minutes(1));
    assert!(house.store().claim_runs(me, super::house::LEASE, 10, &[]).await.expect("claimed").is_empty());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let keeping = countersign::flow::housekeeping(house.app.clone(), house.me, stopped);
    let keeping = super::house::Working::of(stop, tokio::spawn(keeping));
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    keeping.stop().await;
    assert_eq!(house.done(), ["one"]);
    sound(&house).await;
}

#[tokio::test]
async fn i1_a_column_set_by_hand_starts_nothing_early() {
    let house = House::new().await;
    let asked = approved(&house, "mark it").await;
    house.db.tamper("update run set not_before = null").await;
    let why = house.failure_of(asked).await;
    assert!(why.contains("and not before"), "{why}");
    assert_eq!(house.done(), [""; 0]);
}

#[tokio::test]
async fn i13_whoever_agreed_has_lost_the_right_by_then() {
    let house = House::new().await;
    let asked = approved(&house, "mark it").await;
    house.write("people.yaml", PEOPLE);
    reload(&house).await;
    house.shift(TimeDelta::hours(3));
    not_started(&house, asked, "those who agreed may not agree to it any more").await;
}

#[tokio::test]
async fn i13_whoever_asked_may_not_any_more() {
    let house = House::new().await;
    let asked = approved(&house, "mark it").await;
    house.write(
        "people.yaml",
        &PEOPLE.replace("managers: [ann, lin", "managers: [ann, boss, lin").replace("[mei, ann]", "[ann]"),
    );
    reload(&house).await;
    house.shift(TimeDelta::hours(3));
    not_started(&house, asked, "mei may not ask for it any more").await;
}

#[tokio::test]
async fn i13_the_catalog_makes_something_else_of_it() {
    let house = House::new().await;
    let asked = approved(&house, "mark it").await;
    house.write("note.sh", "#!/bin/sh\nprintf '%s\\n' \"other\" >> \"$1\"\n");
    house.shift(TimeDelta::hours(3));
    not_started(&house, asked, "another plan").await;
}

#[tokio::test]
async fn i12_while_automation_is_paused_it_does_not_start() {
    let house = House::with(&[PAUSING]).await;
    let asked = approved(&house, "mark it").await;
    house.say("boss", "pause because of the audit").await;
    house.shift(TimeDelta::hours(3));
    not_started(&house, asked, "boss has paused all automation").await;
}

#[tokio::test]
async fn i1_the_bot_was_away_until_its_latest_start_was_over() {
    let house = House::new().await;
    let asked = approved(&house, "mark it").await;
    // The policy lets it start as long as the approval lasts: an hour.
    house.shift(TimeDelta::minutes(241));
    not_started(&house, asked, "its latest start was over").await;
}

#[tokio::test]
async fn i1_what_is_revoked_or_stopped_before_its_time_does_not_start() {
    let house = House::new().await;
    let revoked = approved(&house, "mark it").await;
    let stopped = approved(&house, "both notes").await;
    house.say("boss", &format!("revoke {} because not tonight", revoked.code)).await;
    house.say("mei", &format!("stop run {}", stopped.run)).await;
    house.shift(TimeDelta::hours(3));
    clear_all(&house.app).await.expect("looked at");
    for asked in [revoked, stopped] {
        assert!(matches!(house.run(asked.run).await.state, RunState::Stopped { .. }));
    }
    assert_eq!(house.count("run_grant where state = 'revoked'").await, 2);
    sound(&house).await;
}

#[tokio::test]
async fn i1_answers_are_waited_for_until_its_time_at_most() {
    let house = House::new().await;
    let at = house.store().clock().now() + TimeDelta::minutes(4);
    let asked = house.ask("mei", &format!("at {} mark it", at.format("%Y-%m-%d %H:%M"))).await;
    house.shift(TimeDelta::minutes(4));
    house.say("boss", &format!("approve {}", asked.code)).await;
    house.expire().await;
    assert_eq!(house.run(asked.run).await.state, RunState::Expired);
    sound(&house).await;
}

/// `again` means the same time, and what is to be done tonight stands beside what is to be done now.
#[tokio::test]
async fn i13_again_asks_for_the_same_time_or_says_that_it_is_over() {
    let house = House::new().await;
    let at = house.store().clock().now() + TimeDelta::hours(3);
    let time = at.format("%Y-%m-%d %H:%M").to_string();
    let tonight = house.ask("mei", &format!("at {time} mark it")).await;
    let now = house.ask("mei", "mark it").await;
    let waiting = "select code from request where state = 'pending' order by id".to_owned();
    assert_eq!(house.texts(waiting.clone()).await, [tonight.code.to_string(), now.code.to_string()]);
    let which = house.say("boss", "approved").await;
    assert!(which.contains(&format!("`approve {}` (mark it · at ", tonight.code)), "{which}");
    assert!(which.contains(&format!("`approve {}` (mark it)", now.code)), "{which}");
    assert!(house.say("boss", "requests").await.contains("mei asks: mark it · at "));
    house.say("mei", &format!("withdraw {}", now.code)).await;
    house.say("mei", &format!("withdraw {}", tonight.code)).await;
    let tonight = house.ask("mei", &format!("at {time} mark it")).await;
    house.say("boss", &format!("approve {}", tonight.code)).await;
    house.say("boss", &format!("revoke {} because not tonight", tonight.code)).await;
    let again = house.ask("mei", "again").await;
    let later = |run| format!("run where id = {run} and to_char(not_before, 'YYYY-MM-DD HH24:MI') = '{time}'");
    assert_eq!(house.count(&later(again.run)).await, 1, "at the same time");
    house.say("mei", &format!("withdraw {}", again.code)).await;
    house.shift(TimeDelta::hours(4));
    let said = house.say("mei", "again").await;
    assert!(
        said.starts_with("mark it was to start at ") && said.contains("which is over, so nothing was asked"),
        "{said}"
    );
    assert_eq!(house.count("request where state = 'pending'").await, 0);
    sound(&house).await;
}

#[tokio::test]
async fn i1_it_never_starts_under_what_lets_others_start_at_once() {
    let rules = "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\nexpires: 10m\n\
        valid_for: 1h\nunasked: [{runbook: mark-it, by: [person:mei], at_most: {runs: 2, per: 1h}}]\n\
        repeat: {runs: 3, within: 1h}\n";
    let house = House::with(&[("one.yaml", rules)]).await;
    let at = house.store().clock().now() + TimeDelta::hours(2);
    let asked = house.ask("mei", &format!("at {} mark it", at.format("%Y-%m-%d %H:%M"))).await;
    assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval);
    house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(house.count("cover").await, 0);
    sound(&house).await;
}

#[tokio::test]
async fn i9_what_cannot_start_later_is_refused_with_a_sentence() {
    let house = House::new().await;
    for (line, says) in [
        ("at 2020-01-01 02:00 mark it", "is over"),
        ("at 2999-01-01 02:00 mark it", "more than 7 days away"),
        ("at 25:00 mark it", "no time that I know"),
        ("at 02:00 look at shop", "changes nothing"),
    ] {
        let said = house.say("mei", line).await;
        assert!(said.contains(says), "{line}: {said}");
    }
    assert_eq!(house.count("run").await, 0);
    // The same twice is one.
    let at = house.store().clock().now() + TimeDelta::hours(2);
    let line = format!("at {} mark it", at.format("%Y-%m-%d %H:%M"));
    house.ask("mei", &line).await;
    let received = house.receive(house.line("mei", &line)).await.expect("it is received");
    assert_eq!(received.delivery, Delivery::First);
    assert_eq!(house.count("run").await, 1);
}

/// The passkey of whoever agreed is removed before its time, for it was stolen: what it agreed to is not started. The decision is
/// made one of a passkey by hand, so the ledger is not asked.
#[tokio::test]
async fn i13_what_a_passkey_agreed_to_that_is_removed_before_its_time_is_not_started() {
    let house = House::new().await;
    let asked = approved(&house, "mark it").await;
    house.db.tamper("update decision set proof = 'passkey', credential = 'AAAA'").await;
    house.shift(TimeDelta::hours(3));
    let mut tx = house.store().begin().await.expect("a transaction");
    let made = countersign::approval::NowMade::Plan(house.run(asked.run).await.digest);
    let catalog = house.app.in_use().catalog.clone();
    let cleared = countersign::approval::clear(&mut tx, &catalog, asked.request, &made).await.expect("looked at");
    assert_eq!(cleared, countersign::approval::Cleared::No);
    tx.commit().await.expect("committed");
    let RunState::Failed(snag) = house.run(asked.run).await.state else { panic!("it goes on") };
    assert_eq!(snag.why, "the passkey of boss, by which it was agreed to, is removed");
}

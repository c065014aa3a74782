//! What a policy lets people start without anybody's answer: a named runbook, named people, so often, and never silently.

use chrono::TimeDelta;
use countersign::chat::Delivery;
use countersign::ledger;
use countersign::model::run::RunState;

use super::house::House;

const LETS: (&str, &str) = (
    "one.yaml",
    "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\nexpires: 10m\n\
     valid_for: 1h\nunasked: [{runbook: mark-it, by: [person:mei], at_most: {runs: 2, per: 1h}}]\n",
);

async fn sound(house: &House) {
    house.tell().await;
    let report = ledger::verify(house.store(), &[]).await.expect("verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[tokio::test]
async fn i1_only_those_whom_it_names_and_only_so_often() {
    let house = House::with(&[LETS]).await;
    let engine = house.engine();
    for number in 1..=2 {
        let asked = house.ask("mei", "mark it").await;
        assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
        house.tell().await;
        let told = house.said().await.join("\n");
        assert!(told.contains(&format!("run {number} of 2")), "{told}");
        assert!(told.contains("Nobody is asked: policy one lets mei start it."), "{told}");
    }
    // The third waits for a person, as does another's, and another runbook.
    for (who, what) in [("mei", "mark it"), ("ann", "mark it again"), ("mei", "both notes")] {
        let asked = house.ask(who, what.trim_end_matches(" again")).await;
        assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval, "{who}: {what}");
        house.say(who, &format!("withdraw {}", asked.code)).await;
    }
    house.shift(TimeDelta::minutes(61));
    let asked = house.ask("mei", "mark it").await;
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    assert_eq!(house.done(), ["one", "one", "one"]);
    sound(&house).await;
}

#[tokio::test]
async fn i12_while_automation_is_paused_everybody_is_asked() {
    let pausing = "system: shop\ntitle: The shop\nenvironment: production\nroom: shop\n\
        may_run: [group:support, group:managers]\nmay_see: [person:vic]\nmay_unstick: [group:managers]\n\
        may_pause: [person:boss]\nservices:\n  web: {title: Web, checks: {running: {command: ['true']}}}\n";
    let house = House::with(&[LETS, ("shop.yaml", pausing)]).await;
    house.say("boss", "pause because of the audit").await;
    let asked = house.ask("mei", "mark it").await;
    assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval);
}

#[tokio::test]
async fn i1_who_was_denied_it_is_not_let_start_it_for_a_day() {
    let narrow = LETS.1.replace("runs: 2", "runs: 1");
    let house = House::with(&[("one.yaml", &narrow)]).await;
    let first = house.ask("mei", "mark it").await;
    assert_eq!(house.run(first.run).await.state, RunState::Approved);
    let engine = house.engine();
    house.settled(first.run).await;
    engine.stop().await;
    let second = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {} because not twice", second.code)).await;
    house.shift(TimeDelta::minutes(61));
    let third = house.ask("mei", "mark it").await;
    assert_eq!(house.run(third.run).await.state, RunState::AwaitingApproval, "there is one left, and it was denied");
}

#[tokio::test]
async fn i1_two_at_once_never_start_more_than_it_lets() {
    let narrow = LETS.1.replace("runs: 2", "runs: 1");
    let house = House::with(&[("one.yaml", &narrow)]).await;
    let lines = (0..4).map(|_| house.receive(house.line("mei", "mark it again")));
    for received in futures_util::future::join_all(lines).await {
        assert_eq!(received.expect("it is received").delivery, Delivery::First);
    }
    assert_eq!(house.count("run_grant where unasked").await, 1);
}

#[tokio::test]
async fn i11_a_flag_set_by_hand_is_found_and_starts_nothing() {
    let house = House::with(&[LETS]).await;
    let asked = house.ask("mei", "both notes").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    house.db.tamper("update run_grant set unasked = true").await;
    house.db.tamper("delete from decision").await;
    let engine = house.engine();
    let why = house.failure(asked.run).await;
    engine.stop().await;
    assert!(why.contains("approval") || why.contains("decisions"), "{why}");
    assert_eq!(house.done(), [""; 0]);
    house.tell().await;
    let report = ledger::verify(house.store(), &[]).await.expect("verified");
    assert!(!report.findings.is_empty());
}

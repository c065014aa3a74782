//! I13: a request means what it meant when it was asked; who may decide it can only become fewer.

use countersign::approval::DecideOutcome;
use countersign::flow::Reload;
use countersign::model::run::RunState;

use super::house::House;
use super::i07::decides;
use super::support::until;

/// What the reloading catalog may say: this release loads policies of one person.
const TWO: (&str, &str) = (
    "two.yaml",
    "policy: two\ntitle: Two\nstages: [{approvers: [group:managers, group:leads], quorum: 1}]\nexpires: 10m\nvalid_for: 1h\n",
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
  managers: [ann, boss, lin, kim]
  leads: [kim]
";

/// Reloads what was written, and waits until it is in use.
pub(crate) async fn reload(house: &House) {
    let before = house.app.in_use().fingerprint;
    let (ask, watching) = house.watch();
    ask.send(Reload::Asked).await.expect("it watches");
    until("the new one is in use", async || (house.app.in_use().fingerprint != before).then_some(())).await;
    watching.stop().await;
}

#[tokio::test]
async fn i13_what_was_asked_for_runs_as_it_was_asked_for() {
    let house = House::with(&[TWO]).await;
    let asked = house.ask("mei", "mark it").await;
    let digest = house.run(asked.run).await.digest;
    // The runbook does something else now, and who agrees to it is somebody else.
    house.write(
        "mark-it.yaml",
        "runbook: mark-it\ntitle: Note\nsay: ['mark it']\nsystem: shop\napproval: two\n\
         steps: [{name: Other, run: {command: [./note.sh, SIDE/done, other]}}, {name: More, check: shop}]\n",
    );
    let (ask, watching) = house.watch();
    ask.send(Reload::Asked).await.expect("it watches");
    until("the thread is to be told", async || {
        (house.count("event where kind = 'request_differs'").await == 1).then_some(())
    })
    .await;
    // Once for each other plan, however often it is loaded.
    for _ in 0..2 {
        let loaded = house.count("event where kind = 'catalog_loaded'").await;
        ask.send(Reload::Asked).await.expect("it watches");
        until("loaded", async || (house.count("event where kind = 'catalog_loaded'").await > loaded).then_some(()))
            .await;
    }
    watching.stop().await;
    assert_eq!(house.count("event where kind = 'request_differs'").await, 1);
    assert_eq!(house.texts("select state from request".to_owned()).await, ["pending"], "a reload voids nothing");
    house.say("boss", &format!("approve {}", asked.code)).await;
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    assert_eq!(house.done(), ["one"], "the bytes that were shown");
    assert_eq!(house.run(asked.run).await.digest, digest);
    house.tell().await;
    let said = house.said().await;
    assert_eq!(said.iter().filter(|text| text.contains("it would now be plan")).count(), 1, "{said:#?}");
    // Asked anew, it is the new one.
    let anew = house.ask("mei", "mark it").await;
    assert_ne!(house.run(anew.run).await.digest, digest);
}

#[tokio::test]
async fn i13_a_runbook_that_is_gone_still_runs_for_whoever_asked_before() {
    let house = House::with(&[TWO]).await;
    let asked = house.ask("mei", "mark it").await;
    std::fs::remove_file(house.catalog_folder().join("mark-it.yaml")).expect("removed");
    reload(&house).await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    assert_eq!(house.done(), ["one"]);
}

#[tokio::test]
async fn i13_who_has_left_the_group_decides_no_more() {
    let house = House::with(&[TWO]).await;
    let asked = house.ask("mei", "mark it").await;
    house.write("people.yaml", &PEOPLE.replace("[ann, boss, lin, kim]", "[ann, lin, kim]"));
    reload(&house).await;
    for text in [format!("approve {}", asked.code), format!("deny {}", asked.code)] {
        let said = house.say("boss", &text).await;
        assert!(said.starts_with(&format!("boss, {} was yours to decide and is no longer.", asked.code)), "{said}");
        assert!(!said.contains("boss and") && !said.contains("and boss"), "{said}");
    }
    assert_eq!((house.count("decision").await, house.count("run_grant").await), (0, 0));
    house.say("lin", &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
}

/// Nor does a right that came later widen what was frozen: the plan names its policy's people in its own bytes.
#[tokio::test]
async fn i13_a_policy_that_asks_others_now_asks_them_only_of_what_comes() {
    let house = House::with(&[TWO]).await;
    let asked = house.ask("ann", "mark it").await;
    let policy =
        "policy: one\ntitle: Anybody\nstages: [{approvers: [person:mei], quorum: 1}]\nexpires: 10m\nvalid_for: 1h\n";
    house.write("one.yaml", policy);
    reload(&house).await;
    let said = house.say("mei", &format!("approve {}", asked.code)).await;
    assert!(said.starts_with(&format!("mei, {} is not for you to decide.", asked.code)), "{said}");
    house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
}

/// An account that belongs to somebody else by now speaks for somebody else.
#[tokio::test]
async fn i13_an_account_that_went_to_another_person_speaks_for_that_one() {
    let house = House::with(&[TWO]).await;
    let asked = house.ask("mei", "mark it").await;
    let moved = PEOPLE
        .replace(", 'local:trial:boss2']", "]")
        .replace("['local:trial:vic']", "['local:trial:vic', 'local:trial:boss2']");
    house.write("people.yaml", &moved);
    reload(&house).await;
    let said = house.say("boss2", &format!("approve {}", asked.code)).await;
    assert!(said.starts_with("vic, "), "{said}");
    assert_eq!(house.count("decision").await, 0);
}

/// Of two who have to agree, the first has agreed. Then that one leaves the group, or the account goes to somebody else:
/// the answer of before no longer counts at the grant.
#[tokio::test]
async fn i13_an_answer_counts_only_if_it_still_would_at_the_grant() {
    let left = PEOPLE.replace("[ann, boss, lin, kim]", "[ann, lin, kim]");
    let moved = PEOPLE
        .replace(", 'local:trial:boss2']", "]")
        .replace("['local:trial:vic']", "['local:trial:vic', 'local:trial:boss2']");
    for (what, people) in [("left the group", left), ("lost the account", moved)] {
        let house = House::new().await;
        let asked = house.ask("mei", "agree twice").await;
        let before = house.app.in_use();
        let one_more = |outcome: &DecideOutcome| match outcome {
            DecideOutcome::Counted { tally, .. } => tally.missing() == 1,
            _ => false,
        };
        assert!(one_more(&decides(&house, &before.catalog, asked, "boss2").await));
        house.write("people.yaml", &people);
        let after = house.load().catalog;
        let outcome = decides(&house, &after, asked, "lin").await;
        assert!(one_more(&outcome), "{what}: {outcome:?}");
        assert_eq!(house.count("run_grant").await, 0, "{what}");
        let outcome = decides(&house, &after, asked, "kim").await;
        let DecideOutcome::Granted = outcome else { panic!("{what}: {outcome:?}") };
        let granted = house.texts("select convert_from(b.body, 'UTF8') from event e join event_body b on b.event = e.id where e.kind = 'request_granted'".to_owned()).await;
        assert!(granted[0].contains(r#""by":["kim","lin"]"#), "{what}: who agreed is who counted: {}", granted[0]);
    }
}

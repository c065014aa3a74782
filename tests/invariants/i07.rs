//! I7: nobody agrees to their own request, whichever account they use, and a person counts once.

use countersign::approval::{Decide, DecideOutcome, Seen, decide};
use countersign::model::approval::Refusal;
use countersign::model::catalog::Catalog;
use countersign::model::id::PersonId;
use countersign::model::request::{Answer, Proof};
use countersign::model::run::RunState;

use super::house::{Asked, House, account};
use super::i03::stuck;
use super::retry::sound;
use super::support::until;

const TWO_STAGES: &str = "policy: two\ntitle: The boss, then a manager\nstages: [{approvers: [person:boss], quorum: 1}, \
                          {approvers: [group:managers], quorum: 1}]\nexpires: 10m\nvalid_for: 1h\n";
/// A manager agrees, who may be the one who asked.
const RELAXED: &str = "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\n\
                       expires: 10m\nvalid_for: 1h\nrelax: [requester_may_agree]\n";

/// One decision by an account that the catalog knows, as a handler would hand it over.
pub(crate) async fn decides(house: &House, catalog: &Catalog, asked: Asked, by: &str) -> DecideOutcome {
    let account = account(by);
    let person = catalog.person_of(&account).map_or_else(|| PersonId::new(by), |person| person.name.clone());
    let mut tx = house.store().begin().await.expect("a transaction");
    let line = tx.insert_line(&house.line(by, "approved"), Some(&person), None).await.expect("asked").expect("new");
    let asked = Decide {
        request: asked.request,
        person: &person,
        account: &account,
        answer: Answer::Approve,
        reason: None,
        proof: Proof::Chat,
        line,
        seen: Seen::Posted,
    };
    let outcome = decide(&mut tx, catalog, asked).await.expect("decided");
    tx.commit().await.expect("committed");
    outcome
}

/// ann may ask and is in the group that is asked.
#[tokio::test]
async fn i7_who_asks_cannot_agree_with_either_account() {
    let house = House::new().await;
    let asked = house.ask("ann", "mark it").await;
    for who in ["ann", "ann2"] {
        for text in [format!("approve {}", asked.code), "approved".to_owned()] {
            let said = house.say(who, &text).await;
            assert!(said.starts_with("ann, it is your own request: someone else must approve."), "{said}");
            assert!(!said.contains("ann and") && !said.contains("and ann"), "she is not asked: {said}");
        }
        assert_eq!(house.say(who, "deny").await, "ann, it is your own request: `withdraw` takes it back.");
    }
    assert_eq!((house.count("decision").await, house.count("run_grant").await), (0, 0));
    // By the rule itself, whatever the handler does.
    let in_use = house.app.in_use();
    let outcome = decides(&house, &in_use.catalog, asked, "ann2").await;
    assert!(matches!(outcome, DecideOutcome::Refused(refused) if refused.why == Refusal::OwnRequest));
    assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval);
}

/// The other way round: asked by the second account.
#[tokio::test]
async fn i7_who_asked_by_a_second_account_is_the_same_person() {
    let house = House::new().await;
    let asked = house.ask("ann2", "mark it").await;
    let said = house.say("ann", &format!("approve {}", asked.code)).await;
    assert!(said.starts_with("ann, it is your own request"), "{said}");
    assert_eq!(house.count("run_grant").await, 0);
}

/// Two have to agree, of two groups. kim is in both, and has two accounts.
#[tokio::test]
async fn i7_a_person_counts_once_whichever_groups_and_accounts() {
    let house = House::new().await;
    let asked = house.ask("mei", "agree twice").await;
    let approve = format!("approve {}", asked.code);
    let said = house.say("kim", &approve).await;
    assert_eq!(said, format!("kim's answer to {} counts: 1 of 2. It still needs 1 more person.", asked.code));
    for who in ["kim2", "kim"] {
        let said = house.say(who, &approve).await;
        assert!(said.starts_with("kim, you have decided"), "{said}");
    }
    assert_eq!((house.count("decision").await, house.count("run_grant").await), (1, 0));
    assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval);
    house.say("lin", &approve).await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
}

/// A row that somebody wrote by hand: the same person under another spelling of the stage, and who asked.
#[tokio::test]
async fn i7_decisions_written_by_hand_do_not_make_a_quorum() {
    let house = House::new().await;
    let asked = house.ask("ann", "agree twice").await;
    let by_hand = "insert into decision select id, 0, 'ann', 'local:trial:ann', 'approve', null, 1, now() from request";
    house.db.tamper(by_hand).await;
    let said = house.say("boss", &format!("approve {}", asked.code)).await;
    assert!(said.contains("still needs 1 more person"), "{said}");
    assert_eq!(house.count("run_grant").await, 0);
}

/// Who asks for a retry and who asked first are both requesters of it.
#[tokio::test]
async fn i7_neither_who_asked_first_nor_who_asks_again_agrees_to_a_retry() {
    let house = House::new().await;
    let asked = house.granted("ann", "hang on", "boss").await;
    let engine = house.engine();
    until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    house.forget_worker().await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, super::house::LEASE);
    assert_eq!(house.settled(asked.run).await.name(), "stuck");
    engine.stop().await;
    house.say("boss", &format!("retry run {}", asked.run)).await;
    house.post().await;
    let code = house.texts("select code from request where state = 'pending'".to_owned()).await.remove(0);
    for (who, name) in [("ann", "ann"), ("ann2", "ann"), ("boss", "boss"), ("boss2", "boss")] {
        let said = house.say(who, &format!("approve {code}")).await;
        assert!(said.starts_with(&format!("{name}, it is your own request")), "{said}");
    }
    assert_eq!(house.run(asked.run).await.state.name(), "stuck");
    house.say("kim", &format!("approve {code}")).await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
}

/// Whoever asks may agree where the policy says so in words, and the ledger says that it was so.
#[tokio::test]
async fn i7_a_policy_that_says_so_lets_who_asks_agree_and_the_ledger_tells() {
    let house = House::with(&[("one.yaml", RELAXED)]).await;
    let asked = house.granted("ann", "mark it", "ann2").await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    sound(&house).await;
    let granted = house
        .texts("select convert_from(body, 'UTF8') from event_body join event on event.id = event_body.event where kind = 'request_granted'".to_owned())
        .await
        .remove(0);
    assert!(granted.contains("requester_may_agree"), "{granted}");
}

/// Of a stuck step nobody decides who asked for it, whatever the policy says of starting; so nobody who did is asked.
#[tokio::test]
async fn i7_what_a_policy_gives_up_for_starting_is_not_given_up_for_a_stuck_step() {
    let house = House::with(&[("one.yaml", RELAXED)]).await;
    let asked = stuck(&house, "ann", "hang on").await;
    house.say("ann", &format!("retry run {}", asked.run)).await;
    house.post().await;
    let code = house.texts("select code from request where state = 'pending'".to_owned()).await.remove(0);
    let names = "select person from asked join request on request.id = asked.request \
                 where state = 'pending' order by person";
    assert_eq!(house.texts(names.to_owned()).await, ["boss", "kim", "lin"]);
    let shown = house.said().await.pop().unwrap_or_default();
    assert!(shown.contains(&code) && shown.contains("asked of boss, kim and lin"), "{shown}");
    let said = house.say("ann", &format!("approve {code}")).await;
    assert!(said.starts_with("ann, it is your own request"), "{said}");
    house.say("kim", &format!("approve {code}")).await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
    sound(&house).await;
}

/// Another name makes nobody another person: the account says who asked.
#[tokio::test]
async fn i7_who_asked_is_who_asked_under_another_name_too() {
    let renamed = "people:
  mei-tan: {accounts: ['local:trial:mei', 'local:trial:mei2']}
  ann: {accounts: ['local:trial:ann']}
  boss: {accounts: ['local:trial:boss']}
  lin: {accounts: ['local:trial:lin']}
  kim: {accounts: ['local:trial:kim']}
  vic: {accounts: ['local:trial:vic']}
groups:
  support: [mei-tan, ann]
  managers: [mei-tan, boss, lin, kim]
  leads: [kim]
";
    let house = House::with(&[("two.yaml", TWO_STAGES)]).await;
    let stuck = stuck(&house, "mei", "hang on").await;
    let waits = house.ask("mei", "agree twice").await;
    house.write("people.yaml", renamed);
    super::i13::reload(&house).await;
    house.say("boss", &format!("approve {}", waits.code)).await;
    house.post().await;
    let said = house.say("mei", &format!("approve {}", waits.code)).await;
    assert!(said.starts_with("mei-tan, it is your own request"), "{said}");
    assert!(said.contains("Asked: ") && said.matches("mei-tan").count() == 1, "nor are they said to be asked: {said}");
    assert_eq!(house.run(waits.run).await.state, RunState::AwaitingApproval);
    house.say("mei", &format!("judge run {} worked because it did", stuck.run)).await;
    assert_eq!(house.run(stuck.run).await.state.name(), "stuck");
    sound(&house).await;
}

/// Who is not asked decides nothing, however they may ask.
#[tokio::test]
async fn i7_who_is_not_asked_decides_nothing() {
    let house = House::new().await;
    let asked = house.ask("ann", "mark it").await;
    for who in ["mei", "vic"] {
        let said = house.say(who, &format!("approve {}", asked.code)).await;
        assert!(said.starts_with(&format!("{who}, {} is not for you to decide.", asked.code)), "{said}");
    }
    assert_eq!((house.count("decision").await, house.count("run_grant").await), (0, 0));
}

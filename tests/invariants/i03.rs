//! I3: no attempt starts twice, and a further one of a step that must not be repeated wants a decision.

use countersign::approval::{self, After, GrantError, Step};
use countersign::model::run::RunState;
use countersign::store::AdvanceError;

use super::house::{Asked, House, LEASE};
use super::i01::{start, stored};
use super::support::until;

/// A run of `text` whose first step's worker died in the middle: nobody knows what it did.
pub(crate) async fn stuck(house: &House, who: &str, text: &str) -> Asked {
    let asked = house.granted(who, text, "boss").await;
    let engine = house.engine();
    until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    house.forget_worker().await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    assert_eq!(house.settled(asked.run).await.name(), "stuck");
    engine.stop().await;
    asked
}

pub(crate) async fn attempts(house: &House) -> Vec<String> {
    house.texts("select step || '.' || number || ' ' || state from attempt order by step, number".to_owned()).await
}

#[tokio::test]
async fn i3_a_step_of_unknown_outcome_is_not_started_again() {
    let house = House::new().await;
    let asked = stuck(&house, "mei", "hang on").await;
    // Whoever looks at it once more does nothing either.
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    let other = house.granted("mei", "mark it", "boss").await;
    house.settled(other.run).await;
    engine.stop().await;
    assert_eq!(house.run(asked.run).await.state.name(), "stuck");
    assert_eq!(house.done(), ["hang", "one"]);
    assert_eq!(house.count(&format!("attempt where run = {}", asked.run)).await, 1);
}

#[tokio::test]
async fn i3_an_idempotent_step_is_tried_again_by_itself() {
    let house = House::new().await;
    let asked = house.granted("mei", "hang again", "boss").await;
    let engine = house.engine();
    until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    house.forget_worker().await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    until("it runs again", async || (house.done().len() == 2).then_some(())).await;
    house.say("mei", &format!("stop run {}", asked.run)).await;
    house.settled(asked.run).await;
    engine.stop().await;
    assert_eq!(attempts(&house).await, ["1.1 unknown", "1.2 unknown"]);
}

/// The run is made to look released, as by a hand in the database: the first grant still covers no second attempt.
#[tokio::test]
async fn i3_a_grant_to_start_covers_no_second_attempt() {
    let house = House::new().await;
    let asked = stuck(&house, "mei", "hang on").await;
    let sql = "update run set state = 'approved', state_step = null, state_why = null, version = version + 1";
    house.db.tamper(sql).await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    assert_eq!(house.failure(asked.run).await, "the approval covers no further attempt of step 1");
    engine.stop().await;
    assert_eq!((house.done().len(), attempts(&house).await), (1, vec!["1.1 unknown".to_owned()]));
}

#[tokio::test]
async fn i3_a_grant_to_retry_covers_its_step_alone() {
    let house = House::new().await;
    let asked = stuck(&house, "mei", "hang on").await;
    let covers = async |step, number, after| {
        let stored = stored(&house, asked).await;
        let (grant, _) =
            approval::derive(&stored, &house.store().keyring().trust(), house.store().clock().now()).expect("a Grant");
        grant.covers(Step { step, number, after })
    };
    assert!(matches!(covers(1, 2, After::Unknown).await, Err(GrantError::NotThisAttempt(1))));
    assert!(covers(1, 1, After::Nothing).await.is_ok());
    house.say("boss", &format!("retry run {}", asked.run)).await;
    house.post().await;
    let codes = house.texts("select code from request where state = 'pending'".to_owned()).await;
    house.say("lin", &format!("approve {}", codes[0])).await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
    assert!(covers(1, 2, After::Unknown).await.is_ok());
    assert!(matches!(covers(2, 2, After::Unknown).await, Err(GrantError::NotThisAttempt(2))));
    assert_eq!(house.count("run_grant where state = 'granted'").await, 1, "it takes the place of the first");
}

#[tokio::test]
async fn i3_a_retry_is_decided_by_others_and_starts_one_attempt() {
    let house = House::new().await;
    let asked = stuck(&house, "ann", "hang on").await;
    // Who asked cannot agree to try it again.
    house.say("ann", &format!("retry run {}", asked.run)).await;
    assert_eq!(house.run(asked.run).await.state.name(), "stuck", "asking starts nothing");
    house.post().await;
    let code = house.texts("select code from request where state = 'pending'".to_owned()).await.remove(0);
    let said = house.say("ann2", &format!("approve {code}")).await;
    assert!(said.starts_with("ann, it is your own request"), "{said}");
    house.say("lin", &format!("approve {code}")).await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    until("it runs once more", async || (house.done().len() == 2).then_some(())).await;
    engine.kill().await;
    let sql = "update worker set ended_at = now(); update run set lease_until = now()";
    house.db.tamper(sql).await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    assert_eq!(house.settled(asked.run).await.name(), "stuck", "one decision is one attempt");
    engine.stop().await;
    assert_eq!(attempts(&house).await, ["1.1 unknown", "1.2 unknown"]);
    assert_eq!(house.done(), ["hang", "hang"]);
}

/// What was decided while a run was in one state is not done when it is in a later one, by whoever holds it.
#[tokio::test]
async fn i3_what_was_decided_on_an_older_state_is_not_done() {
    let house = House::new().await;
    let asked = house.granted("mei", "both notes", "boss").await;
    let (_, fence) = house.store().claim_runs(house.me, LEASE, 1, &[]).await.expect("claimed")[0];
    let grant = stored(&house, asked).await;
    let first = start(&house, asked, fence, Some((grant.id, grant.digest))).await;
    // The same worker, the same fence, another attempt: only the version and the state tell that it comes too late.
    let mut late = first.clone();
    late.started.as_mut().expect("a start").key.step = 2;
    house.store().advance_tx(house.me).apply(&[first]).await.expect("it starts");
    let applied = house.store().advance_tx(house.me).apply(std::slice::from_ref(&late)).await;
    assert!(matches!(applied, Err(AdvanceError::Guard(run)) if run == asked.run), "an older version: {applied:?}");
    late.version = house.run(asked.run).await.version;
    let applied = house.store().advance_tx(house.me).apply(&[late]).await;
    assert!(matches!(applied, Err(AdvanceError::Guard(run)) if run == asked.run), "another state: {applied:?}");
    assert_eq!(attempts(&house).await, ["1.1 started"]);
}

/// The key of an attempt is unique in the database itself.
#[tokio::test]
async fn i3_the_same_attempt_cannot_be_written_twice() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let (_, fence) = house.store().claim_runs(house.me, LEASE, 1, &[]).await.expect("claimed")[0];
    let grant = stored(&house, asked).await;
    for first in [true, false] {
        let advance = start(&house, asked, fence, Some((grant.id, grant.digest))).await;
        let tx = house.store().advance_tx(house.me);
        let applied = tx.apply(&[advance]).await;
        if first {
            applied.expect("it starts");
        } else {
            assert!(matches!(applied, Err(AdvanceError::Store(_))), "{applied:?}");
        }
    }
    assert_eq!(house.count("attempt").await, 1);
    assert_eq!(house.count("event where kind = 'attempt_started'").await, 1);
}

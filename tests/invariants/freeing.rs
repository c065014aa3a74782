//! I3 at a stuck step: what is said to have come of it, and that it is left out, is decided by those who would have to agree
//! to another attempt. Whoever asked never decides it alone.

use countersign::ledger::{sequencer, verify};
use countersign::model::request::RequestState;
use countersign::model::run::RunState;

use super::house::House;
use super::i03::{attempts, stuck};
use super::retry::sound;

async fn pending(house: &House) -> Vec<String> {
    house.texts("select code from request where state = 'pending'".to_owned()).await
}

async fn drive(house: &House, asked: super::house::Asked) -> RunState {
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, super::house::LEASE);
    let state = house.settled(asked.run).await;
    engine.stop().await;
    state
}

#[tokio::test]
async fn i3_an_approvers_own_words_are_their_decision() {
    for (words, done, ends, states) in [
        ("skip", vec!["hang", "one"], "succeeded", ["1.1 skipped", "2.1 succeeded"].as_slice()),
        ("judge worked", vec!["hang", "one"], "succeeded", ["1.1 judged", "2.1 succeeded"].as_slice()),
        ("judge failed", vec!["hang"], "failed", ["1.1 judged"].as_slice()),
    ] {
        let house = House::new().await;
        let asked = stuck(&house, "mei", "hang on").await;
        let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
        house.say("lin", &format!("{word} run {} {rest} because I looked", asked.run).replace("  ", " ")).await;
        assert_eq!(pending(&house).await, Vec::<String>::new());
        assert_eq!(drive(&house, asked).await.name(), ends);
        assert_eq!(
            (house.done(), attempts(&house).await.as_slice()),
            (
                done.iter().map(ToString::to_string).collect(),
                states.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice()
            )
        );
        assert_eq!(
            house.count("decision where person = 'lin' and verdict = 'approve' and reason = 'I looked'").await,
            1
        );
        house.tell().await;
        let said = house.said().await.join("\n");
        assert!(
            said.contains(&format!(
                "lin approved to {}",
                if words == "skip" { "skip step 1" } else { "judge that step 1" }
            )),
            "{said}"
        );
        sound(&house).await;
    }
}

#[tokio::test]
async fn i3_who_asked_for_the_run_cannot_free_it_alone() {
    let house = House::new().await;
    // ann may ask, may unstick and is one of those who are asked.
    let asked = stuck(&house, "ann", "hang on").await;
    house.say("ann", &format!("skip run {} because it is up", asked.run)).await;
    house.post().await;
    assert_eq!(house.run(asked.run).await.state.name(), "stuck");
    let code = pending(&house).await.remove(0);
    let shown = house.said().await.join("\n");
    assert!(shown.contains("ann asks: skip step 1 of run") && shown.contains("ann says: it is up."), "{shown}");
    for who in ["ann", "ann2"] {
        let said = house.say(who, &format!("approve {code}")).await;
        assert!(said.starts_with("ann, it is your own request"), "{said}");
    }
    // While that waits nothing else is asked of the step.
    let said = house.say("boss", &format!("judge run {} failed because it is not", asked.run)).await;
    assert!(said.contains("asked for already to skip step 1") && said.contains(&code), "{said}");
    house.say("boss", &format!("deny {code} because it is not")).await;
    assert_eq!(house.run(asked.run).await.state.name(), "stuck");
    house.say("boss", &format!("judge run {} failed because it is not", asked.run)).await;
    assert_eq!(house.run(asked.run).await.state.name(), "failed");
    house.tell().await;
    let said = house.said().await.join("\n");
    assert!(said.contains(&format!("({code}) was denied by boss: it is not")), "{said}");
    sound(&house).await;
}

#[tokio::test]
async fn i3_where_two_must_agree_ones_own_words_are_one_of_them() {
    let two = "runbook: hang-two\ntitle: Hang\nsay: ['hang two']\nsystem: shop\napproval: two\n\
               steps: [{name: Hang, run: {command: [./hang.sh, SIDE/done, hang]}}]\n";
    let house = House::with(&[("hang-two.yaml", two)]).await;
    let asked = house.ask("mei", "hang two").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    house.say("lin", &format!("approve {}", asked.code)).await;
    let engine = house.engine();
    super::support::until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    house.forget_worker().await;
    assert_eq!(drive(&house, asked).await.name(), "stuck");
    house.say("boss", &format!("judge run {} worked because I looked", asked.run)).await;
    house.post().await;
    let code = pending(&house).await.remove(0);
    assert_eq!(house.count("decision where person = 'boss'").await, 2);
    assert_eq!(house.run(asked.run).await.state.name(), "stuck");
    house.say("kim", &format!("approve {code}")).await;
    assert_eq!(drive(&house, asked).await, RunState::Succeeded);
    sound(&house).await;
}

/// What carries a request out is in the ledger with the request that others agreed to: without it, or with another, it is told.
#[tokio::test]
async fn i11_a_step_that_was_freed_by_hand_is_found() {
    let house = House::new().await;
    let asked = stuck(&house, "mei", "hang on").await;
    house.say("lin", &format!("skip run {} because I looked", asked.run)).await;
    sound(&house).await;
    for sql in [
        "update attempt set judged_by = 'boss' where state = 'skipped'",
        "update attempt set state = 'judged', judged_worked = true where state = 'skipped'",
        "update request set wanted_why = 'so' where wanted is not null",
        "update request set wanted = 'judge_worked' where wanted is not null",
    ] {
        let snapshot = house.every_row().await;
        house.db.tamper(sql).await;
        sequencer::drain(house.store(), house.me).await.expect("sequenced");
        let report = verify(house.store(), &[]).await.expect("it can be read");
        assert!(!report.is_sound(), "{sql}");
        let back = match sql.contains("attempt") {
            true => {
                "update attempt set judged_by = 'lin', state = 'skipped', judged_worked = null where state in ('judged', 'skipped')"
            }
            false => "update request set wanted = 'skip', wanted_why = 'I looked' where wanted is not null",
        };
        house.db.tamper(back).await;
        assert_eq!(house.every_row().await["attempt"], snapshot["attempt"]);
    }
    sound(&house).await;
}

/// A release that does not know of such requests cannot grant one: it would try the step again.
#[tokio::test]
async fn i3_an_older_release_cannot_grant_what_it_does_not_know() {
    let house = House::new().await;
    let asked = stuck(&house, "mei", "hang on").await;
    house.say("mei", &format!("skip run {} because it is up", asked.run)).await;
    let code = pending(&house).await.remove(0);
    let sql = "update request set state = 'granted', version = version + 1 where state = 'pending'";
    let refused = sqlx::query(sql).execute(&mut house.db.connection().await).await.expect_err("it is refused");
    assert!(refused.to_string().contains("request_wanted_carried_out"), "{refused}");
    let request = house.store().list_pending_requests().await.expect("requests").remove(0);
    assert_eq!((request.code.to_string(), request.state), (code, RequestState::Pending { stage: 0 }));
}

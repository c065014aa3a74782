//! I3 between tries: a step is tried again by itself as often as the plan says, after the pause that it says, and never when
//! its outcome is unknown. The rest of a pause is found in the database, so no test waits for one: the clock is moved.

use chrono::TimeDelta;
use countersign::ledger::{sequencer, verify};
use countersign::model::run::RunState;

use super::house::{House, LEASE};
use super::i03::attempts;
use super::support::until;

/// Appends its second argument to its first; ends well once it has done so as often as the third says.
const FLAKY: &str =
    "#!/bin/sh\nprintf '%s\\n' \"$2\" >> \"$1\"\n[ \"$(grep -c . \"$1\")\" -ge \"$3\" ] || { echo no; exit 3; }\n";

fn runbook(name: &str, step: &str) -> String {
    let words = name.replace('-', " ");
    format!(
        "runbook: {name}\ntitle: Test {words}\nsay: ['{words}']\nsystem: shop\napproval: one\n\
         steps: [{{name: Try, {step}}}, {{name: Note, run: {{command: [./note.sh, SIDE/done, end]}}}}]\n"
    )
}

/// Its first step works at the third try. What `more` says besides is of that step.
async fn flaky(more: &str) -> House {
    let step = format!("run: {{command: [./flaky.sh, SIDE/done, try, '3']}}, {more}");
    House::with(&[("flaky.sh", FLAKY), ("be-flaky.yaml", &runbook("be-flaky", &step))]).await
}

pub(crate) async fn sound(house: &House) {
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
}

/// Waits until the first try has failed and its pause has begun.
async fn until_failed(house: &House) {
    until("the first try has failed", async || {
        (house.count("attempt where state = 'failed' and ended_at is not null").await == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn i3_a_step_that_fails_is_tried_again_as_the_plan_says_and_the_run_goes_on() {
    let house = flaky("retry: {times: 2, wait: 10ms}").await;
    let asked = house.granted("mei", "be flaky", "boss").await;
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    assert_eq!(house.done(), ["try", "try", "try", "end"]);
    assert_eq!(attempts(&house).await, ["1.1 failed", "1.2 failed", "1.3 succeeded", "2.1 succeeded"]);
    house.tell().await;
    let said = house.said().await.join("\n");
    assert!(said.contains("(attempt 2)") && said.contains("(attempt 3)"), "{said}");
    assert!(!said.contains("It failed") && house.count("event where kind = 'run_failed'").await == 0, "{said}");
    sound(&house).await;
}

#[tokio::test]
async fn i3_a_step_is_tried_no_more_often_than_the_plan_says() {
    let house = flaky("retry: {times: 1, wait: 1ms}").await;
    let asked = house.granted("mei", "be flaky", "boss").await;
    let engine = house.engine();
    assert_eq!(house.failure(asked.run).await, "exit 3: no");
    engine.stop().await;
    assert_eq!(house.done(), ["try", "try"]);
    assert_eq!(attempts(&house).await, ["1.1 failed", "1.2 failed"]);
    assert_eq!(house.count("event where kind = 'run_failed'").await, 1);
    sound(&house).await;
}

#[tokio::test]
async fn i3_a_restart_in_a_pause_waits_for_the_rest_of_it() {
    let house = flaky("retry: {times: 2, wait: 20m, at_most: 20m}").await;
    let asked = house.granted("mei", "be flaky", "boss").await;
    let engine = house.engine();
    until_failed(&house).await;
    engine.kill().await;
    house.forget_worker().await;
    assert_eq!(house.run(asked.run).await.state, RunState::Running);
    // Nineteen minutes are not enough; whoever looks then waits on.
    house.shift(TimeDelta::minutes(19));
    let second = house.another_worker().await;
    let engine = house.engine_of(house.store().clone(), second, LEASE);
    until("it is held", async || (house.count("run where holder is not null and fence = 2").await == 1).then_some(()))
        .await;
    engine.kill().await;
    assert_eq!(attempts(&house).await, ["1.1 failed"]);
    house.store().end_worker(second).await.expect("it is ended");
    house.shift(TimeDelta::minutes(2));
    let third = house.another_worker().await;
    let engine = house.engine_of(house.store().clone(), third, LEASE);
    until("it is tried again", async || (attempts(&house).await.len() == 2).then_some(())).await;
    until("that fails too", async || (house.count("attempt where state = 'failed'").await == 2).then_some(())).await;
    // A person need not wait for the end of a pause.
    house.say("mei", &format!("stop run {}", asked.run)).await;
    assert_eq!(house.settled(asked.run).await.name(), "stopped");
    engine.stop().await;
    assert_eq!(house.done(), ["try", "try"]);
    sound(&house).await;
}

#[tokio::test]
async fn i3_an_unknown_outcome_is_not_tried_again_though_tries_are_left() {
    let step = "run: {command: [./hang.sh, SIDE/done, hang]}, retry: {times: 5, wait: 1ms}";
    let house = House::with(&[("hang-more.yaml", &runbook("hang-more", step))]).await;
    let asked = house.granted("mei", "hang more", "boss").await;
    let engine = house.engine();
    until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    house.forget_worker().await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    assert_eq!(house.settled(asked.run).await.name(), "stuck");
    engine.stop().await;
    assert_eq!((house.done().len(), attempts(&house).await), (1, vec!["1.1 unknown".to_owned()]));
    sound(&house).await;
}

/// I2: the try before is not known to be over, so a person must look; and looking does not make it so.
#[tokio::test]
async fn i2_a_try_that_is_not_proved_gone_makes_the_run_stuck() {
    let house = flaky("retry: {times: 2, wait: 20m, at_most: 20m}").await;
    let asked = house.granted("mei", "be flaky", "boss").await;
    let engine = house.engine();
    until_failed(&house).await;
    engine.kill().await;
    house.forget_worker().await;
    let sql = "update attempt set machine = 'ff/app-2/1', boot = 'another', pid = 77, pid_started = 1";
    house.db.tamper(sql).await;
    house.shift(TimeDelta::minutes(21));
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    let stuck = async || match house.settled(asked.run).await {
        RunState::Stuck(snag) => snag.why,
        other => panic!("it is not stuck: {other:?}"),
    };
    assert!(stuck().await.contains("is not on this machine"), "{}", stuck().await);
    house.say("boss", &format!("retry run {}", asked.run)).await;
    house.post().await;
    let code = house.texts("select code from request where state = 'pending'".to_owned()).await.remove(0);
    let before = house.count("event where kind = 'run_stuck'").await;
    house.say("lin", &format!("approve {code}")).await;
    until("it is stuck again", async || (house.count("event where kind = 'run_stuck'").await > before).then_some(()))
        .await;
    assert!(stuck().await.contains("is not on this machine"));
    engine.stop().await;
    assert_eq!((house.done(), attempts(&house).await), (vec!["try".to_owned()], vec!["1.1 failed".to_owned()]));
    sound(&house).await;
}

/// A server that takes connections and never answers.
#[tokio::test]
async fn i3_a_request_that_may_have_been_received_makes_the_run_stuck() {
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/pay", silent.local_addr().expect("an address"));
    let call =
        |rest: &str| format!("http: {{method: POST, url: '{url}'}}, timeout: 1s, retry: {{times: 1, wait: 1ms}}{rest}");
    let (once, often) = (runbook("pay-once", &call("")), runbook("pay-often", &call(", idempotent: true")));
    let house = House::with(&[("pay-once.yaml", &once), ("pay-often.yaml", &often)]).await;
    let engine = house.engine();
    let once = house.granted("mei", "pay once", "boss").await;
    let RunState::Stuck(snag) = house.settled(once.run).await else { panic!("it is not stuck") };
    assert_eq!((snag.step, snag.why.as_str()), (1, "no answer within 1 s"));
    assert_eq!(attempts(&house).await, ["1.1 unknown"]);
    house.db.tamper("update run set state = 'failed', state_step = 1, state_why = 'x'").await;
    let often = house.granted("mei", "pay often", "boss").await;
    assert_eq!(house.failure(often.run).await, "no answer within 1 s");
    let tries = house.count(&format!("attempt where run = {} and state = 'timed_out'", often.run)).await;
    assert_eq!(tries, 2, "what is the same twice is tried again");
    engine.stop().await;
}

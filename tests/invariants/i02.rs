//! I2: one worker holds a step at a time, and nobody starts again before the old processes are gone.

use std::time::Duration;

use chrono::TimeDelta;
use countersign::model::run::RunState;
use countersign::store::{AdvanceError, AttemptKey};
use countersign::sys::{self, Liveness, ProcessIdentity};

use super::house::{House, LEASE};
use super::i01::{start, stored};
use super::support::until;

#[tokio::test]
async fn i2_a_write_names_holder_fence_and_a_lease_that_has_not_ended() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let other = house.another_worker().await;
    let (run, fence) = house.store().claim_runs(house.me, LEASE, 1, &[]).await.expect("claimed")[0];
    assert_eq!(run, asked.run);
    assert_eq!(house.store().claim_runs(other, LEASE, 9, &[]).await.expect("asked"), [], "it is held");
    let grant = stored(&house, asked).await;
    let own = Some((grant.id, grant.digest));
    let attempt = async |what: &str, worker, fence| {
        let mut advance = start(&house, asked, fence, own).await;
        let tx = house.store().advance_tx(worker);
        let refused = tx.apply(std::slice::from_ref(&advance)).await;
        assert!(matches!(refused, Err(AdvanceError::Guard(_))), "{what}: {refused:?}");
        // Nor without an attempt.
        advance.started = None;
        let tx = house.store().advance_tx(worker);
        assert!(matches!(tx.apply(&[advance]).await, Err(AdvanceError::Guard(_))), "{what}");
        assert_eq!((house.count("attempt").await, house.run(run).await.state), (0, RunState::Approved), "{what}");
    };
    attempt("an older fence", house.me, fence - 1).await;
    attempt("a fence to come", house.me, fence + 1).await;
    attempt("another worker", other, fence).await;
    house.shift(TimeDelta::seconds(61));
    attempt("a lease that has ended", house.me, fence).await;
    assert_eq!(house.store().renew_runs(house.me, &[(run, fence)], LEASE).await.expect("asked"), []);
    house.shift(TimeDelta::seconds(-61));
    assert_eq!(house.store().renew_runs(house.me, &[(run, fence - 1)], LEASE).await.expect("asked"), []);
    assert_eq!(house.store().renew_runs(other, &[(run, fence)], LEASE).await.expect("asked"), []);
    for (worker, fence) in [(house.me, fence - 1), (other, fence)] {
        house.store().release_run(worker, run, fence).await.expect("asked");
        assert_eq!(house.count("run where holder is not null").await, 1, "it is still held");
    }
    assert_eq!(house.store().renew_runs(house.me, &[(run, fence)], LEASE).await.expect("asked"), [run]);
    let advance = start(&house, asked, fence, own).await;
    let tx = house.store().advance_tx(house.me);
    tx.apply(std::slice::from_ref(&advance)).await.expect("its holder may");
    // And once: the version has moved.
    let tx = house.store().advance_tx(house.me);
    assert!(matches!(tx.apply(&[advance]).await, Err(AdvanceError::Guard(_))));
}

/// Two workers claim at once, again and again: each run has one holder, and each change of holder another fence.
#[tokio::test]
async fn i2_a_run_is_claimed_once_and_each_claim_has_its_own_fence() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let workers = [house.another_worker().await, house.another_worker().await, house.another_worker().await];
    let mut last = 0;
    for _ in 0..5 {
        let claim = |worker| house.store().claim_runs(worker, LEASE, 9, &[]);
        let (one, two, three) = tokio::join!(claim(workers[0]), claim(workers[1]), claim(workers[2]));
        let claims = [one, two, three].map(|claimed| claimed.expect("asked"));
        let won: Vec<_> = claims.iter().zip(workers).filter(|(claimed, _)| !claimed.is_empty()).collect();
        let [(claimed, worker)] = won.as_slice() else { panic!("{claims:?}") };
        let (run, fence) = claimed[0];
        assert_eq!(run, asked.run);
        assert!(fence > last, "{fence} after {last}");
        last = fence;
        house.store().release_run(*worker, run, fence).await.expect("let go");
    }
}

fn pid(house: &House) -> Option<u32> {
    std::fs::read_to_string(house.side("done.pid")).ok()?.lines().last()?.parse().ok()
}

/// Whether a process runs: one that has ended and is not yet collected does not.
fn runs(process: &ProcessIdentity) -> bool {
    process.liveness() == Liveness::Alive
}

/// Somebody else took the run while its step ran: the first worker ends the step's processes and writes nothing more.
#[tokio::test]
async fn i2_a_worker_that_lost_its_lease_ends_its_processes_and_writes_nothing() {
    let house = House::new().await;
    let asked = house.granted("mei", "hang on", "boss").await;
    let engine = house.engine_of(house.store().clone(), house.me, Duration::from_secs(6));
    let pid = until("the step runs", async || pid(&house)).await;
    let process = ProcessIdentity::of(pid).expect("asked").expect("it runs");
    let other = house.another_worker().await;
    let sql = format!(
        "update run set holder = {}, fence = fence + 1, lease_until = now() + '1h' where id = {}",
        other.0, asked.run
    );
    house.db.tamper(&sql).await;
    until("its processes are gone", async || (!runs(&process)).then_some(())).await;
    engine.stop().await;
    let run = house.run(asked.run).await;
    assert_eq!(run.state, RunState::Running, "what came of it is for its new holder to say");
    assert_eq!(house.texts("select state from attempt".to_owned()).await, ["started"]);
    assert_eq!(house.count(&format!("run where holder = {}", other.0)).await, 1);
}

/// An attempt was left behind with a process that still runs, and nobody wrote down which: it is found by its mark, and
/// gone before the next attempt begins.
#[tokio::test]
async fn i2_the_next_attempt_waits_until_the_old_processes_are_gone() {
    let house = House::new().await;
    let asked = house.granted("mei", "hang again", "boss").await;
    let (run, fence) = house.store().claim_runs(house.me, LEASE, 1, &[]).await.expect("claimed")[0];
    let grant = stored(&house, asked).await;
    let advance = start(&house, asked, fence, Some((grant.id, grant.digest))).await;
    house.store().advance_tx(house.me).apply(&[advance]).await.expect("started");
    let key = AttemptKey { run, step: 1, number: 1 };
    let mut left = sys::spawn(sys::Spawn {
        program: "/bin/sleep".into(),
        argv: ["sleep", "600"].map(Into::into).to_vec(),
        env: Vec::new(),
        cwd: "/".into(),
        marker: Some(format!("{}-{key}", house.ledger)),
    })
    .expect("spawned");
    let process = left.identity().clone();
    house.forget_worker().await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    until("the next attempt runs", async || (house.done() == ["hang"]).then_some(())).await;
    assert!(!runs(&process), "both ran at once");
    engine.stop().await;
    left.wait().await.expect("it has ended");
    assert_eq!(house.texts("select number || ' ' || state from attempt order by 1".to_owned()).await[0], "1 unknown");
}

/// Whoever writes down a process must hold the attempt's fence.
#[tokio::test]
async fn i2_a_process_is_written_down_under_its_fence_alone() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let (run, fence) = house.store().claim_runs(house.me, LEASE, 1, &[]).await.expect("claimed")[0];
    let grant = stored(&house, asked).await;
    let advance = start(&house, asked, fence, Some((grant.id, grant.digest))).await;
    house.store().advance_tx(house.me).apply(&[advance]).await.expect("started");
    let key = AttemptKey { run, step: 1, number: 1 };
    let process = ProcessIdentity::own().expect("a process");
    house.store().set_attempt_process(key, fence - 1, &process).await.expect("asked");
    assert_eq!(house.count("attempt where pid is not null").await, 0);
    house.store().set_attempt_process(key, fence, &process).await.expect("asked");
    assert_eq!(house.count("attempt where pid is not null").await, 1);
}

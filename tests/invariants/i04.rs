//! I4: a change and the events that describe it commit together, or not at all.

use std::collections::BTreeMap;

use countersign::ledger::{sequencer, verify};
use countersign::model::run::RunState;

use super::house::{House, LEASE};
use super::i01::{start, stored};
use super::support::until;

/// Makes the ledger refuse one kind of event.
async fn refuse(house: &House, kind: &str) {
    let sql = format!(
        "create or replace function refuse_kind() returns trigger language plpgsql as $$
         begin if new.kind = '{kind}' then raise exception 'no {kind}'; end if; return new; end $$;
         create or replace trigger refuse_kind before insert on event for each row execute function refuse_kind()"
    );
    house.db.tamper(&sql).await;
}

async fn allow(house: &House) {
    house.db.tamper("drop trigger refuse_kind on event").await;
}

/// Every row of every table is as it was.
async fn unchanged(house: &House, before: &BTreeMap<String, Vec<String>>, what: &str) {
    for (table, rows) in house.every_row().await {
        assert_eq!(rows, before[&table], "{what}: {table}");
    }
}

/// Says a line whose event cannot be written: nothing of it stays, and when it is delivered again it does all of it.
async fn all_or_nothing(house: &House, who: &str, text: &str, kind: &str) {
    let line = house.line(who, text);
    let before = house.every_row().await;
    refuse(house, kind).await;
    house.receive(line.clone()).await.expect_err(kind);
    unchanged(house, &before, &format!("`{text}` without `{kind}`")).await;
    allow(house).await;
    house.receive(line).await.expect("delivered again, it is received");
    assert!(house.count(&format!("event where kind = '{kind}'")).await > 0, "{kind}");
}

#[tokio::test]
async fn i4_no_command_changes_a_row_without_its_event() {
    let house = House::new().await;
    all_or_nothing(&house, "mei", "mark it", "run_planned").await;
    house.post().await;
    all_or_nothing(&house, "boss", "deny because no", "decided").await;
    all_or_nothing(&house, "mei", "again", "request_asked").await;
    house.post().await;
    all_or_nothing(&house, "boss", "deny because no", "request_denied").await;
    house.ask("mei", "mark it").await;
    all_or_nothing(&house, "mei", "withdraw", "request_withdrawn").await;
    let asked = house.ask("mei", "mark it").await;
    all_or_nothing(&house, "boss", "approve", "request_granted").await;
    all_or_nothing(&house, "mei", &format!("stop run {}", asked.run), "grant_ended").await;
    house.granted("mei", "mark it", "boss").await;
    all_or_nothing(&house, "mei", "stop", "run_stopped").await;
    all_or_nothing(&house, "mei", "help", "line_said").await;
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
}

#[tokio::test]
async fn i4_neither_stopping_nor_judging_goes_without_its_event() {
    let house = House::new().await;
    let asked = house.granted("mei", "hang on", "boss").await;
    let engine = house.engine();
    until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    until("the run is let go of", async || (house.count("run where holder is not null").await == 0).then_some(()))
        .await;
    all_or_nothing(&house, "mei", &format!("stop run {}", asked.run), "run_stopping").await;
    house.forget_worker().await;
    house.db.tamper("update run set state = 'running', state_by = null, version = version + 1").await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    assert_eq!(house.settled(asked.run).await.name(), "stuck");
    engine.stop().await;
    all_or_nothing(&house, "boss", "judge failed because it did not", "attempt_judged").await;
    assert_eq!(house.run(asked.run).await.state.name(), "failed");
}

#[tokio::test]
async fn i4_a_request_does_not_expire_without_its_event() {
    use countersign::approval::{End, Ending, end};
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    house.shift(chrono::TimeDelta::minutes(11));
    let before = house.every_row().await;
    refuse(&house, "request_expired").await;
    let expire = async || {
        let mut tx = house.store().begin().await.expect("a transaction");
        end(&mut tx, End { request: asked.request, ending: Ending::Expired, line: None }).await.expect("it ends");
        tx.commit().await
    };
    expire().await.expect_err("the event is refused");
    unchanged(&house, &before, "without its event").await;
    allow(&house).await;
    expire().await.expect("it commits");
    assert_eq!(house.run(asked.run).await.state, RunState::Expired);
    assert_eq!(house.count("event where kind = 'request_expired'").await, 1);
}

#[tokio::test]
async fn i4_no_step_starts_or_ends_without_its_event() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let (_, fence) = house.store().claim_runs(house.me, LEASE, 1, &[]).await.expect("claimed")[0];
    let grant = stored(&house, asked).await;
    let before = house.every_row().await;
    refuse(&house, "attempt_started").await;
    let apply = async || {
        let advance = start(&house, asked, fence, Some((grant.id, grant.digest))).await;
        house.store().advance_tx(house.me).apply(&[advance]).await
    };
    apply().await.expect_err("the event is refused");
    unchanged(&house, &before, "without its event").await;
    allow(&house).await;
    apply().await.expect("it starts");
    assert_eq!(house.count("event where kind = 'attempt_started'").await, 1);

    // The engine itself, while its events are refused: nothing is executed that is not recorded.
    let other = house.granted("mei", "both notes", "boss").await;
    refuse(&house, "attempt_started").await;
    let engine = house.engine();
    until("it was tried", async || {
        (house.count(&format!("run where id = {} and fence > 0", other.run)).await > 0).then_some(())
    })
    .await;
    engine.stop().await;
    assert_eq!(house.done(), [""; 0]);
    assert_eq!(house.run(other.run).await.state, RunState::Approved);
    allow(&house).await;
    let engine = house.engine();
    assert_eq!(house.settled(other.run).await, RunState::Succeeded);
    engine.stop().await;
    assert_eq!(house.done(), ["one", "two"]);
}

/// Every event has its body and its place in the sequencer's queue from the same statement.
#[tokio::test]
async fn i4_an_event_has_its_body_and_waits_for_its_place() {
    let house = House::new().await;
    house.ask("mei", "mark it").await;
    let events = house.count("event").await;
    assert!(events > 3);
    assert_eq!(house.count("event_body b join event e on e.id = b.event").await, events);
    assert_eq!(house.count("unsequenced u join event e on e.id = u.event").await, events);
}

/// A transaction that somebody stopped waiting for in the middle of its beginning is open nowhere: what is written next on its
/// connection would not be committed.
#[tokio::test]
async fn i4_whoever_stops_waiting_leaves_no_transaction_open() {
    let house = House::new().await;
    for looks in 0..40 {
        let mut begin = std::pin::pin!(house.store().begin());
        for _ in 0..looks {
            if futures_util::poll!(begin.as_mut()).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let left = "pg_stat_activity where datname = current_database() and application_name = 'countersign'
                and state like 'idle in transaction%'";
    until("none is open", async || (house.count(left).await == 0).then_some(())).await;
    for _ in 0..20 {
        verify(house.store(), &[]).await.expect("it can be read");
    }
    let asked = house.ask("mei", "mark it").await;
    assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval);
}

//! I11: in a ledger that the bot itself wrote, every change is found. What each kind of tampering is called is in
//! `tests/ledger.rs`; here every table and column that a run leaves behind has its turn.

use countersign::ledger::{Head, sequencer, verify};

use super::house::House;
use super::support::until;

async fn story(house: &House) {
    house.say("mei", "look at shop").await;
    house.granted("mei", "both notes", "boss").await;
    let denied = house.ask("mei", "mark it").await;
    house.say("lin", &format!("deny {} because not now", denied.code)).await;
    let asked = house.ask("ann", "agree twice").await;
    house.say("kim", &format!("approve {}", asked.code)).await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    let stopped = house.granted("ann", "announce hello", "boss").await;
    house.say("ann", &format!("stop run {}", stopped.run)).await;
    let engine = house.engine();
    for run in 1..=2 {
        house.settled(countersign::model::id::RunId(run)).await;
    }
    house.settled(asked.run).await;
    engine.stop().await;
    let stuck = house.granted("ann", "hang on", "boss").await;
    house.forget_what_was_done();
    let engine = house.engine();
    until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    house.forget_worker().await;
    let other = house.another_worker().await;
    let engine = house.engine_of(house.store().clone(), other, super::house::LEASE);
    house.settled(stuck.run).await;
    engine.stop().await;
    house.say("boss", &format!("judge run {} failed because I looked", stuck.run)).await;
    house.ask("mei", "mark it").await;
    sequencer::drain(house.store(), other).await.expect("sequenced");
}

#[tokio::test]
async fn i11_a_ledger_that_the_bot_wrote_is_sound_and_no_change_of_it_passes() {
    let house = House::new().await;
    story(&house).await;
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
    let (position, hash) = report.head.expect("a head");
    let head = Head::new(position, hash);
    house.db.keep().await;
    let mut missed = Vec::new();
    for sql in [
        // The log itself.
        "update event_body set body = convert_to(replace(convert_from(body, 'UTF8'), 'boss', 'lin_'), 'UTF8')
            where event = (select min(id) from event where kind = 'decided')",
        "update event set kind = 'line_said' where id = (select min(id) from event where kind = 'decided')",
        "update event set at = at - interval '1 hour' where id = (select max(id) from event)",
        "delete from chain where position = (select max(position) from chain)",
        "update chain set hash = sha256(hash) where position = 7",
        "update chain set event = -event where event in (3, 4);
            update chain set event = case event when -3 then 4 else 3 end where event in (-3, -4)",
        // What follows from it.
        "update plan set bytes = bytes || ' '",
        "update run set state = 'succeeded', state_by = null, state_step = null, state_why = null where state = 'denied'",
        "update run set requester = 'zed' where id = 2",
        "update run set requester_account = 'local:trial:zed' where id = 2",
        "update run set plan = (select plan from run where id = 3) where id = 2",
        "update run set version = version + 1 where id = 2",
        "delete from run where id = (select max(id) from run)",
        "update request set state = 'granted', state_by = null, state_why = null where state = 'denied'",
        "update request set requesters = '{zed}' where id = 1",
        "update request set expires_at = expires_at + interval '1 day' where id = 1",
        "update request set digest = (select plan from run where id = 3) where id = 1",
        "delete from request where id = (select max(id) from request)",
        "update decision set person = 'lin' where request = 1",
        "update decision set account = 'local:trial:lin' where request = 1",
        "update decision set verdict = 'approve' where verdict = 'deny'",
        "update decision set reason = 'go on' where verdict = 'deny'",
        "delete from decision where request = 1",
        "insert into decision select request, stage, 'lin', 'local:trial:lin', verdict, null, line, at from decision where request = 1",
        "update run_grant set state = 'granted' where state = 'revoked'",
        "update run_grant set expires_at = expires_at + interval '1 year'",
        "delete from run_grant where id = 1",
        "insert into run_grant (run, request, digest, state, granted_at, expires_at)
            select run, id, digest, 'granted', now(), now() + interval '1h' from request where state = 'pending'",
        "update attempt set state = 'succeeded', judged_by = null, judged_worked = null where state = 'judged'",
        "update attempt set judged_worked = true where state = 'judged'",
        "update attempt set judged_by = 'lin' where state = 'judged'",
        "update attempt set run_grant = null where run = 2",
        "update attempt set exit_code = 1 where run = 2",
        "delete from attempt where run = 2 and step = 1",
        "insert into attempt (run, step, number, state, fence, started_at, worker) values (2, 1, 2, 'succeeded', 1, now(), 1)",
    ] {
        house.db.restore().await;
        house.db.tamper(sql).await;
        let found = verify(house.store(), std::slice::from_ref(&head)).await.expect("it can be read");
        if found.is_sound() {
            missed.push(sql);
        }
    }
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
    house.db.restore().await;
    let report = verify(house.store(), std::slice::from_ref(&head)).await.expect("it can be read");
    assert!(report.is_sound() && report.proved == Some(head), "put back, it is sound: {report}");
}

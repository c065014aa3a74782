//! I11: in a ledger that the bot itself wrote, every change is found. What each kind of tampering is called is in
//! `tests/ledger.rs`; here every table and column that a run leaves behind has its turn.

use chrono::{DateTime, Utc};
use countersign::ledger::{Head, sequencer, verify};
use countersign::model::catalog::TriggerMode;
use countersign::model::event::{Brake, Happened, NewEvent, Record, Scope};
use countersign::model::id::{CheckName, PersonId, ServiceName, TriggerName};
use countersign::store::{Paused, Tx};

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

fn record(tx: &mut Tx, what: Happened) {
    tx.record(NewEvent { scope: Scope::default(), cause: None, record: Record { what, rows: Vec::new() } });
}

/// Pauses automation, or lets it go on, with the event that says so.
async fn paused(house: &House, reason: Option<&str>) {
    let mut tx = house.store().begin().await.expect("a transaction");
    let read = tx.lock_automation().await.expect("the row");
    let by = PersonId::new("boss");
    let why = reason.map(str::to_owned);
    let paused = why.is_some().then(|| Paused { by: by.clone(), at: tx.now(), why: why.clone() });
    tx.put_automation(&read, paused.as_ref()).await.expect("written");
    let what = match why {
        Some(_) => Happened::AutomationPaused { by, reason: why },
        None => Happened::AutomationResumed { by },
    };
    record(&mut tx, what);
    tx.commit().await.expect("it commits");
}

/// A trigger fires for `web`, is held by its brake, and perhaps let go on.
async fn braked(house: &House, trigger: &str, then: Option<&str>) {
    let (trigger, service) = (TriggerName::new(trigger), ServiceName::new("web"));
    let mut tx = house.store().begin().await.expect("a transaction");
    tx.insert_firing(&trigger, &service, None).await.expect("written");
    let (check, deed, mode) = (CheckName::new("running"), "start web".to_owned(), TriggerMode::Shadow);
    let (of, by) = ((trigger.clone(), service.clone()), Brake::AtMost);
    record(&mut tx, Happened::TriggerFired { trigger: of.0, mode, service: of.1, check, deed, run: None, why: None });
    let mut brake = tx.lock_brake(&trigger, &service).await.expect("brakes");
    let why = "1 run within 1 h is its limit".to_owned();
    (brake.held_by, brake.held_since, brake.held_why) = (Some(by), Some(tx.now()), Some(why.clone()));
    tx.put_brake(&brake).await.expect("written");
    let of = (trigger.clone(), service.clone());
    record(&mut tx, Happened::TriggerHeld { trigger: of.0, service: of.1, by, why, until: None });
    tx.commit().await.expect("it commits");
    let Some(person) = then else { return };
    let mut tx = house.store().begin().await.expect("a transaction");
    let mut brake = tx.lock_brake(&trigger, &service).await.expect("brakes");
    (brake.held_by, brake.held_since, brake.held_why) = (None, None, None);
    let now: DateTime<Utc> = tx.now();
    (brake.counted_from, brake.again_at) = (Some(now), Some(now));
    tx.put_brake(&brake).await.expect("written");
    record(&mut tx, Happened::TriggerReleased { trigger, service, by: PersonId::new(person) });
    tx.commit().await.expect("it commits");
}

/// What keeps automation back is in the ledger too: who takes a brake off by hand is found.
#[tokio::test]
async fn i11_a_brake_or_a_pause_that_is_changed_by_hand_is_found() {
    let house = House::new().await;
    braked(&house, "held", None).await;
    braked(&house, "free", Some("boss")).await;
    paused(&house, Some("we move the racks")).await;
    paused(&house, None).await;
    paused(&house, Some("once more")).await;
    let worker = house.another_worker().await;
    sequencer::drain(house.store(), worker).await.expect("sequenced");
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
    house.db.keep().await;
    let mut missed = Vec::new();
    for (sql, says) in [
        ("update automation set paused = false, paused_by = null, paused_at = null, paused_why = null", "automation"),
        ("update automation set paused_by = 'zed'", "paused_by"),
        ("update automation set paused_at = paused_at - interval '1 day'", "paused_at"),
        ("update automation set paused_why = 'a drill'", "paused_why"),
        ("delete from automation", "automation"),
        ("update brake_state set held_by = null, held_since = null, held_why = null where trigger = 'held'", "held_by"),
        ("update brake_state set held_by = 'flapping' where trigger = 'held'", "held_by"),
        ("update brake_state set held_since = now() where trigger = 'held'", "held_since"),
        (
            "update brake_state set held_by = 'at_most', held_since = now(), held_why = 'x' where trigger = 'free'",
            "held_by",
        ),
        ("update brake_state set counted_from = now() where trigger = 'held'", "counted_from"),
        ("update brake_state set counted_from = null where trigger = 'free'", "counted_from"),
        ("delete from brake_state where trigger = 'held'", "brakes of held for web"),
        (
            "insert into brake_state (trigger, service, held_by, held_since, held_why) values ('new', 'web', 'at_most', now(), 'x')",
            "brakes of new for web",
        ),
        ("delete from firing where trigger = 'held'", "firing of held for web"),
        ("update firing set at = at - interval '1 day' where trigger = 'held'", "firing"),
        ("update firing set trigger = 'free' where trigger = 'held'", "firing"),
        ("insert into firing (trigger, service, at) values ('held', 'web', now())", "firing"),
    ] {
        house.db.restore().await;
        house.db.tamper(sql).await;
        let found = verify(house.store(), &[]).await.expect("it can be read");
        if found.is_sound() || !found.to_string().contains(says) {
            missed.push(format!("{sql}\n{found}"));
        }
    }
    assert!(missed.is_empty(), "not found:\n{}", missed.join("\n"));
    // What was put off is no state: a brake that was never held needs no event.
    house.db.restore().await;
    house.db.tamper("insert into brake_state (trigger, service, again_at) values ('new', 'web', now())").await;
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
}

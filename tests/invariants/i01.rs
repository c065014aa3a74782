//! I1: what starts is what was granted, while it is granted.

use std::time::Duration;

use chrono::TimeDelta;
use countersign::approval::{self, GrantError};
use countersign::model::event::{Happened, NewEvent, Record, Scope};
use countersign::model::id::{Digest, GrantId, PersonId};
use countersign::model::request::{Answer, GrantState};
use countersign::model::run::RunState;
use countersign::store::{Advance, AdvanceError, AttemptKey, Started, StoredGrant};

use super::house::{Asked, House, LEASE};
use super::support::until;

/// The next start of a run, under a grant, as the engine would hand it to the store.
pub(crate) async fn start(house: &House, asked: Asked, fence: i64, grant: Option<(GrantId, Digest)>) -> Advance {
    let run = house.run(asked.run).await;
    let key = AttemptKey { run: run.id, step: 1, number: 1 };
    let digest = run.digest;
    let what = Happened::AttemptStarted {
        run: run.id,
        step: 1,
        number: 1,
        digest,
        grant: grant.map(|(grant, _)| grant),
        executor: None,
    };
    let event = NewEvent {
        scope: Scope { run: Some(run.id), ..Scope::default() },
        cause: None,
        record: Record { what, rows: Vec::new() },
    };
    Advance {
        run: run.id,
        version: run.version,
        from: run.state,
        fence,
        to: RunState::Running,
        ended: None,
        started: Some(Started { key, grant }),
        grant_ends: None,
        events: vec![event],
    }
}

/// The grant of a run, as read in a transaction that changes nothing.
pub(crate) async fn stored(house: &House, asked: Asked) -> StoredGrant {
    let mut tx = house.store().begin().await.expect("a transaction");
    tx.lock_grants(&[asked.run]).await.expect("grants").pop().expect("one in force")
}

/// Changes the plan that a run was granted, after it was.
const OTHER_BYTES: &str =
    "update plan set bytes = convert_to(replace(convert_from(bytes, 'UTF8'), '\"one\"', '\"two\"'), 'UTF8')";

#[tokio::test]
async fn i1_a_plan_that_was_changed_after_approval_does_not_start() {
    for (what, sql) in [
        ("another argument", OTHER_BYTES),
        ("no plan at all", "update plan set bytes = 'rm -rf /'"),
        (
            "another plan's bytes",
            "update plan set bytes = (select p.bytes from plan p where p.digest <> plan.digest limit 1)",
        ),
    ] {
        let house = House::new().await;
        let waiting = house.ask("mei", "both notes").await;
        let asked = house.granted("mei", "mark it", "boss").await;
        house.db.tamper(&format!("{sql} where digest = (select plan from run where id = {})", asked.run)).await;
        let engine = house.engine();
        let why = house.failure(asked.run).await;
        engine.stop().await;
        assert!(why.starts_with("the stored plan is not the one that was approved"), "{what}: {why}");
        assert_eq!(house.done(), [""; 0], "{what}");
        assert_eq!(house.count("attempt").await, 0, "{what}");
        assert_eq!(state_of_grant(&house, asked).await, "used", "{what}");
        // The room is told, and is told what comes after as well.
        house.say("mei", &format!("withdraw {}", waiting.code)).await;
        house.tell().await;
        let said = house.said().await;
        let [.., failed, withdrawn] = said.as_slice() else { panic!("{said:?}") };
        let begins = format!("mei: run {} failed at step 1: {why}. Nothing more of it was started.", asked.run);
        assert!(failed.starts_with(&begins), "{what}: {failed}");
        assert!(withdrawn.starts_with("mei withdrew both notes"), "{what}: {withdrawn}");
    }
}

/// A step was left behind by a worker that is gone, and then the plan was changed: what runs is ended, nothing follows.
#[tokio::test]
async fn i1_a_plan_that_was_changed_while_a_step_ran_ends_what_runs() {
    for (what, stops) in [("failed", false), ("stopped", true)] {
        let house = House::new().await;
        let asked = house.granted("mei", "hang on", "boss").await;
        let engine = house.engine();
        until("the step runs", async || (house.done() == ["hang"]).then_some(())).await;
        engine.kill().await;
        house.forget_worker().await;
        if stops {
            house.say("mei", &format!("stop run {}", asked.run)).await;
        }
        house.db.tamper(OTHER_BYTES).await;
        let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
        let state = house.settled(asked.run).await;
        engine.stop().await;
        assert_eq!(state.name(), what);
        assert_eq!(house.done(), ["hang"], "{what}");
        assert_eq!(house.texts("select state from attempt".to_owned()).await, ["unknown"], "{what}");
    }
}

#[tokio::test]
async fn i1_what_is_taken_away_in_the_middle_stops_the_next_step() {
    let plan = "where digest = (select plan from run where id = RUN)";
    let house = House::new().await;
    house.ask("mei", "mark it").await;
    for (what, sql, sentence) in [
        ("revoked", "update run_grant set state = 'revoked' where run = RUN".into(), "the approval is not in force"),
        (
            "expired",
            "update run_grant set expires_at = now() - interval '1 minute' where run = RUN".into(),
            "the approval has lapsed",
        ),
        ("another run's", "update run_grant set run = 1 where run = RUN".into(), "the approval is not in force"),
        (
            "another plan's",
            "update run_grant set digest = (select plan from run where id = 1) where run = RUN".into(),
            "the stored plan is not the one that was approved",
        ),
        (
            "decisions",
            "delete from decision where request in (select id from request where run = RUN)".into(),
            "the decisions are not those that the approval was signed for",
        ),
        (
            "the decider asked for it",
            "update request set requesters = '{mei,boss}' where run = RUN".into(),
            "the decisions do not come to an agreement",
        ),
        (
            "a denial",
            "update decision set verdict = 'deny' where request in (select id from request where run = RUN)".into(),
            "the decisions are not those that the approval was signed for",
        ),
        // The last: every later run of this plan has the same bytes.
        ("plan", format!("{OTHER_BYTES} {plan}"), "the stored plan is not the one that was approved"),
    ] {
        house.forget_what_was_done();
        let asked = house.granted("mei", "pass gate", "boss").await;
        let engine = house.engine();
        until("the first step runs", async || (house.done() == ["gate"]).then_some(())).await;
        house.db.tamper(&sql.replace("RUN", &asked.run.to_string())).await;
        house.open_gate();
        let why = house.failure(asked.run).await;
        engine.stop().await;
        assert!(why.starts_with(sentence), "{what}: {why}");
        assert_eq!(house.done(), ["gate"], "{what}");
        assert_eq!(house.count(&format!("attempt where run = {}", asked.run)).await, 1, "{what}");
    }
}

#[tokio::test]
async fn i1_what_is_taken_away_before_the_first_step_starts_nothing() {
    let house = House::new().await;
    for (what, sql, sentence) in [
        ("revoked", "update run_grant set state = 'revoked'", "the approval is not in force"),
        ("expired", "update run_grant set expires_at = now() - interval '1 minute'", "the approval has lapsed"),
        ("decisions", "delete from decision", "the decisions are not those that the approval was signed for"),
        ("grant", "delete from run_grant", "the approval is not in force"),
    ] {
        let asked = house.granted("mei", "mark it", "boss").await;
        house.db.tamper(sql).await;
        let engine = house.engine();
        let why = house.failure(asked.run).await;
        engine.stop().await;
        assert!(why.starts_with(sentence), "{what}: {why}");
        assert_eq!((house.done(), house.count("attempt").await), (Vec::new(), 0), "{what}");
    }
}

/// The statement that starts an attempt is asked directly, without the derivation before it: what changes between the two
/// must not slip through.
#[tokio::test]
async fn i1_the_statement_that_starts_wants_the_grant_in_force() {
    let house = House::new().await;
    let other = house.granted("mei", "both notes", "boss").await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let claimed = house.store().claim_runs(house.me, LEASE, 10, &[]).await.expect("claimed");
    let fence = claimed.iter().find(|(run, _)| *run == asked.run).expect("it is claimed").1;
    let grant = stored(&house, asked).await;
    let others = stored(&house, other).await;
    let own = (grant.id, grant.digest);
    let attempt = async |what: &str, under: (GrantId, Digest)| {
        let advance = start(&house, asked, fence, Some(under)).await;
        let tx = house.store().advance_tx(house.me);
        let refused = tx.apply(&[advance]).await;
        assert!(matches!(refused, Err(AdvanceError::Guard(_))), "{what}: {refused:?}");
        assert_eq!(house.count("attempt").await, 0, "{what}");
        assert_eq!(house.run(asked.run).await.state, RunState::Approved, "{what}");
    };
    attempt("another run's", (others.id, others.digest)).await;
    attempt("another digest", (grant.id, others.digest)).await;
    attempt("nobody's", (GrantId(999), grant.digest)).await;
    for (what, change, back) in [
        ("another run's, same digest", "run = (select min(run) from run_grant)", "run = RUN"),
        ("revoked", "state = 'revoked'", "state = 'granted'"),
        ("used", "state = 'used'", "state = 'granted'"),
        ("expired", "expires_at = now() - interval '1 minute'", "expires_at = now() + '1h'"),
    ] {
        let set = async |to: &str| {
            let sql = format!("update run_grant set {to} where id = {}", grant.id);
            house.db.tamper(&sql.replace("RUN", &asked.run.to_string())).await;
        };
        set(change).await;
        attempt(what, own).await;
        set(back).await;
    }
    let advance = start(&house, asked, fence, Some(own)).await;
    let tx = house.store().advance_tx(house.me);
    tx.apply(&[advance]).await.expect("untouched, it starts");
    assert_eq!(house.count("attempt").await, 1);
}

#[tokio::test]
async fn i1_a_grant_is_derived_and_never_loaded() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let sound = stored(&house, asked).await;
    let (now, trust) = (house.store().clock().now(), house.store().keyring().trust());
    let (grant, plan) = approval::derive(&sound, &trust, now).expect("it is sound");
    assert_eq!((grant.run(), grant.request(), grant.digest()), (asked.run, asked.request, sound.digest));
    assert_eq!(plan.deed, "mark it");
    let with = |change: &dyn Fn(&mut StoredGrant)| {
        let mut stored = sound.clone();
        change(&mut stored);
        approval::derive(&stored, &trust, now).map(|(grant, _)| grant).expect_err("there is no Grant")
    };
    assert!(matches!(with(&|stored| stored.plan.push(b' ')), GrantError::OtherPlan { .. }));
    assert!(matches!(with(&|stored| stored.digest = Digest([0; 32])), GrantError::OtherPlan { .. }));
    for state in [GrantState::Used, GrantState::Revoked, GrantState::Lapsed] {
        assert!(matches!(with(&|stored| stored.state = state), GrantError::NotInForce(_)));
    }
    assert!(matches!(with(&|stored| stored.expires_at = now), GrantError::Lapsed), "over at the moment itself");
    assert!(matches!(with(&|stored| stored.decisions.clear()), GrantError::NotSigned(_)));
    assert!(matches!(with(&|stored| stored.requesters.push(PersonId::new("boss"))), GrantError::NotAgreed));
    let denied = |stored: &mut StoredGrant| stored.decisions[0].decision.answer = Answer::Deny;
    assert!(matches!(with(&denied), GrantError::NotSigned(_)));
    let elsewhere = |stored: &mut StoredGrant| stored.decisions[0].decision.stage = 1;
    assert!(matches!(with(&elsewhere), GrantError::NotSigned(_)));
}

/// A stop and a start of the same run at once: whichever commits first, nothing starts after the stop has.
#[tokio::test]
async fn i1_nothing_starts_after_a_stop_has_committed() {
    for _ in 0..4 {
        let house = House::new().await;
        let asked = house.granted("mei", "both notes", "boss").await;
        let engine = house.engine();
        house.say("mei", &format!("stop run {}", asked.run)).await;
        let at_the_stop = house.count(&format!("attempt where run = {}", asked.run)).await;
        house.settled(asked.run).await;
        engine.stop().await;
        assert_eq!(house.count(&format!("attempt where run = {}", asked.run)).await, at_the_stop);
        let started: usize = usize::try_from(at_the_stop).expect("few");
        assert!(house.done().len() <= started, "{:?}", house.done());
    }
}

/// A grant outlives its time in nobody's hands: the run that still has steps to go fails in words.
#[tokio::test]
async fn i1_a_grant_that_lapses_while_a_run_waits_starts_nothing() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    house.shift(TimeDelta::minutes(61));
    let engine = house.engine_of(house.store().clone(), house.me, Duration::from_secs(5));
    assert_eq!(house.failure(asked.run).await, "the approval has lapsed");
    engine.stop().await;
    assert_eq!(house.done(), [""; 0]);
    assert_eq!(state_of_grant(&house, asked).await, "lapsed");
}

async fn state_of_grant(house: &House, asked: Asked) -> String {
    house.texts(format!("select state from run_grant where run = {}", asked.run)).await.join(" ")
}

/// A step that only reads starts without a grant, and does not make a late start an early one.
#[tokio::test]
async fn i1_reading_first_does_not_outlast_the_latest_start() {
    let runbook = "runbook: look-first\ntitle: Look\nsay: ['look first']\nsystem: shop\napproval: one\n\
        steps: [{name: Look, check: web}, {name: Note, run: {command: [./note.sh, SIDE/done, one]}}]\n";
    let house = House::with(&[("look-first.yaml", runbook)]).await;
    let asked = house.granted("mei", "look first", "boss").await;
    // Beyond the latest start, which is a quarter of an hour, and within what the grant lasts.
    house.shift(TimeDelta::minutes(20));
    let engine = house.engine();
    let why = house.failure(asked.run).await;
    engine.stop().await;
    assert!(why.contains("lapsed"), "{why}");
    assert_eq!(house.done(), [""; 0]);
}

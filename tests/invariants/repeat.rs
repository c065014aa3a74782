//! One approval for several runs: the very same plan, no more often and no longer than its policy says, never for somebody who
//! agreed, and each with a request and a grant of its own.

use chrono::TimeDelta;
use countersign::ledger::{segregation, sequencer, verify};
use countersign::model::run::RunState;

use super::house::{Asked, House};
use super::retry::sound;

const OFTEN: &str = "policy: often\ntitle: One agrees to three\n\
    stages: [{approvers: [group:managers], quorum: 1}]\nexpires: 10m\nvalid_for: 1h\n\
    repeat: {runs: 3, within: 4h}\n";

/// boss is no manager any more.
const WITHOUT_BOSS: &str = "people:
  mei: {accounts: ['local:trial:mei', 'local:trial:mei2']}
  ann: {accounts: ['local:trial:ann', 'local:trial:ann2']}
  boss: {accounts: ['local:trial:boss', 'local:trial:boss2']}
  lin: {accounts: ['local:trial:lin']}
  kim: {accounts: ['local:trial:kim', 'local:trial:kim2']}
  vic: {accounts: ['local:trial:vic']}
groups:
  support: [mei, ann]
  managers: [ann, lin, kim]
  leads: [kim]
";

async fn house() -> House {
    let runbook = "runbook: mark-often\ntitle: Mark\nsay: ['mark often']\nsystem: shop\napproval: often\n\
                   steps: [{name: Note, run: {command: [./note.sh, SIDE/done, one]}}]\n";
    House::with(&[("often.yaml", OFTEN), ("mark-often.yaml", runbook)]).await
}

async fn state(house: &House, asked: &Asked) -> &'static str {
    house.store().find_request(asked.request).await.expect("read").expect("there").state.name()
}

async fn drive(house: &House, asked: Asked) {
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
}

async fn shown(house: &House, asked: &Asked) -> String {
    let sql =
        format!("select message::json ->> 'text' from outbox where subject = 'run:{}' and role = 'root'", asked.run);
    house.texts(sql).await.join("\n")
}

#[tokio::test]
async fn i1_one_approval_covers_as_many_runs_as_its_policy_says_and_no_more() {
    let house = house().await;
    let first = house.ask("mei", "mark often").await;
    let text = shown(&house, &first).await;
    assert!(text.contains("Agreeing covers up to 3 runs of exactly this within 4 h"), "{text}");
    house.say("boss", &format!("approve {}", first.code)).await;
    drive(&house, first).await;
    // Anybody who may ask, with a request and a grant of their own.
    for (who, number) in [("ann", 2), ("mei", 3)] {
        let next = house.ask(who, "mark often").await;
        assert_eq!(state(&house, &next).await, "granted");
        let text = shown(&house, &next).await;
        assert!(text.contains(&format!("run {number} of 3 under {}, until", first.code)), "{text}");
        drive(&house, next).await;
    }
    assert_eq!(house.count("run_grant where under is not null").await, 2);
    // The fourth is asked as ever.
    let fourth = house.ask("mei", "mark often").await;
    assert_eq!(state(&house, &fourth).await, "pending");
    assert_eq!(house.done().len(), 3);
    house.tell().await;
    let said = house.said().await.join("\n");
    assert!(said.contains(&format!("starts under {}, approved by boss: run 2 of 3.", first.code)), "{said}");
    sound(&house).await;
}

#[tokio::test]
async fn i7_who_agreed_is_not_covered_when_they_ask() {
    let house = house().await;
    // ann may ask, and is one of those who are asked.
    let first = house.ask("mei", "mark often").await;
    house.say("ann", &format!("approve {}", first.code)).await;
    drive(&house, first).await;
    let own = house.ask("ann", "mark often").await;
    assert_eq!(state(&house, &own).await, "pending");
    house.say("ann", &format!("withdraw {}", own.code)).await;
    let other = house.ask("mei", "mark often").await;
    assert_eq!(state(&house, &other).await, "granted");
    sound(&house).await;
}

#[tokio::test]
async fn i13_another_plan_another_time_or_a_lost_right_is_not_covered() {
    let house = house().await;
    let first = house.ask("mei", "mark often").await;
    house.say("boss", &format!("approve {}", first.code)).await;
    drive(&house, first).await;
    // Its time is over.
    house.shift(TimeDelta::hours(4));
    let late = house.ask("mei", "mark often").await;
    assert_eq!(state(&house, &late).await, "pending");
    house.say("boss", &format!("approve {}", late.code)).await;
    drive(&house, late).await;
    // The catalog makes another plan of it.
    let more = std::fs::read_to_string(house.catalog_folder().join("mark-often.yaml")).expect("read");
    house.write("mark-often.yaml", &more.replace(", one]", ", two]"));
    let (reload, watching) = house.watch();
    drop(reload);
    super::support::until("it is in use", async || {
        let digest = house
            .app
            .in_use()
            .catalog
            .runbooks
            .values()
            .any(|runbook| format!("{runbook:?}").contains("\"two\"") && runbook.name.as_str() == "mark-often");
        digest.then_some(())
    })
    .await;
    let other = house.ask("mei", "mark often").await;
    assert_eq!(state(&house, &other).await, "pending");
    house.say("boss", &format!("approve {}", other.code)).await;
    drive(&house, other).await;
    // Who agreed is no longer one of those who may.
    let people = std::fs::read_to_string(house.catalog_folder().join("people.yaml")).expect("read");
    house.write("people.yaml", &people.replace("managers: [ann, boss, lin, kim]", "managers: [ann, lin, kim]"));
    super::support::until("it is in use", async || {
        let groups = house.app.in_use().catalog.groups.clone();
        groups.values().any(|group| group.members.len() == 3).then_some(())
    })
    .await;
    watching.stop().await;
    let lost = house.ask("mei", "mark often").await;
    assert_eq!(state(&house, &lost).await, "pending");
    sound(&house).await;
}

#[tokio::test]
async fn what_is_taken_back_covers_nothing_more() {
    let house = house().await;
    let first = house.ask("mei", "mark often").await;
    house.say("boss", &format!("approve {}", first.code)).await;
    drive(&house, first).await;
    let list = house.say("mei", "requests").await;
    assert!(list.contains(&format!("{} mark often is approved for 3 runs, 1 used, until", first.code)), "{list}");
    let said = house.say("mei", &format!("take back {}", first.code)).await;
    assert!(said.starts_with("mei, you may not take"), "{said}");
    house.say("lin", &format!("take back {}", first.code)).await;
    assert!(house.say("lin", &format!("take back {}", first.code)).await.contains("covers no further runs"));
    assert!(!house.say("mei", "requests").await.contains("is approved for"));
    let next = house.ask("mei", "mark often").await;
    assert_eq!(state(&house, &next).await, "pending");
    house.tell().await;
    let said = house.said().await.join("\n");
    assert!(said.contains(&format!("lin took {} back (mark often): it covers no further runs.", first.code)), "{said}");
    sound(&house).await;
}

/// Two who ask for the last run at once: one is covered, the other is asked as ever.
#[tokio::test]
async fn i1_two_at_once_never_take_more_than_there_are() {
    let house = house().await;
    let first = house.ask("mei", "mark often").await;
    house.say("boss", &format!("approve {}", first.code)).await;
    drive(&house, first).await;
    let second = house.ask("mei", "mark often").await;
    drive(&house, second).await;
    let (one, other) = (house.line("mei", "mark often again"), house.line("ann", "mark often again"));
    let (one, other) = tokio::join!(house.receive(one), house.receive(other));
    let (one, other) = (one.expect("received"), other.expect("received"));
    house.post().await;
    let (one, other) = (house.asked_by(one.line).await, house.asked_by(other.line).await);
    let mut states = [state(&house, &one).await, state(&house, &other).await];
    states.sort_unstable();
    assert_eq!(states, ["granted", "pending"]);
    sound(&house).await;
    // Nor does a hand in the database make it more.
    let refused = sqlx::query("update cover set used = used + 1").execute(&mut house.db.connection().await).await;
    assert!(refused.is_err());
    house.db.tamper("update cover set runs = 9").await;
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    assert!(!verify(house.store(), &[]).await.expect("it can be read").is_sound());
}

/// Whoever stops or revokes one of its runs has looked and says no: the next one is asked for. Whoever asked may change their
/// mind about their own.
#[tokio::test]
async fn i1_a_run_that_somebody_else_stopped_or_revoked_ends_what_covers_it() {
    for (who, words, covered, next) in [
        ("boss", "stop run RUN", false, "pending"),
        ("mei", "stop run RUN", false, "granted"),
        ("lin", "stop run RUN", true, "pending"),
        ("lin", "revoke CODE because not now", true, "pending"),
        ("mei", "stop run RUN", true, "granted"),
    ] {
        let house = house().await;
        let mut asked = house.ask("mei", "mark often").await;
        let first = asked;
        house.say("boss", &format!("approve {}", asked.code)).await;
        if covered {
            drive(&house, asked).await;
            asked = house.ask("mei", "mark often").await;
            assert_eq!(state(&house, &asked).await, "granted");
        }
        let words = words.replace("RUN", &asked.run.to_string()).replace("CODE", &asked.code.to_string());
        house.say(who, &words).await;
        assert_eq!(house.run(asked.run).await.state.name(), "stopped", "{who}: {words}");
        let anew = house.ask("mei", "mark often").await;
        assert_eq!(state(&house, &anew).await, next, "{who}: {words}, covered: {covered}");
        house.tell().await;
        let said = house.said().await.join("\n");
        let ended = format!("{who} took {} back (mark often): it covers no further runs.", first.code);
        assert_eq!(said.contains(&ended), next == "pending", "{said}");
        sound(&house).await;
    }
}

/// One of three who agreed has lost the right, and two are enough: the further run names those who still count.
#[tokio::test]
async fn i13_a_further_run_names_nobody_who_has_lost_the_right() {
    let house = house().await;
    house.write("often.yaml", &OFTEN.replace("quorum: 1", "quorum: 2"));
    super::i13::reload(&house).await;
    let first = house.ask("mei", "mark often").await;
    house.say("boss", &format!("approve {}", first.code)).await;
    house.write("people.yaml", WITHOUT_BOSS);
    super::i13::reload(&house).await;
    for who in ["lin", "kim"] {
        house.say(who, &format!("approve {}", first.code)).await;
    }
    drive(&house, first).await;
    let next = house.ask("mei", "mark often").await;
    assert_eq!(state(&house, &next).await, "granted");
    drive(&house, next).await;
    house.tell().await;
    let said = house.said().await.join("\n");
    assert!(said.contains(&format!("starts under {}, approved by kim and lin: run 2 of 3.", first.code)), "{said}");
    sound(&house).await;
}

#[tokio::test]
async fn i1_an_approval_that_is_revoked_covers_nothing_more() {
    let house = house().await;
    let first = house.ask("mei", "mark often").await;
    house.say("boss", &format!("approve {}", first.code)).await;
    house.say("boss", &format!("revoke {} because the wrong host", first.code)).await;
    let next = house.ask("mei", "mark often").await;
    assert_eq!(state(&house, &next).await, "pending", "somebody has to agree anew");
    assert_eq!(house.count("run_grant where state = 'granted'").await, 0);
    sound(&house).await;
}

/// Where whoever asked may agree, what they agreed to covers them: an exception that is listed, and no violation.
#[tokio::test]
async fn i7_what_a_policy_gives_up_is_an_exception_of_covered_runs_too() {
    let relaxed = format!("{OFTEN}relax: [requester_may_agree]\n");
    let runbook = "runbook: mark-often\ntitle: Mark\nsay: ['mark often']\nsystem: shop\napproval: often\n\
                   steps: [{name: Note, run: {command: [./note.sh, SIDE/done, one]}}]\n";
    let house = House::with(&[("often.yaml", &relaxed), ("mark-often.yaml", runbook)]).await;
    let first = house.ask("boss", "mark often").await;
    house.say("boss", &format!("approve {}", first.code)).await;
    drive(&house, first).await;
    let received = house.receive(house.line("boss", "mark often")).await.expect("received");
    let second = house.asked_by(received.line).await;
    drive(&house, second).await;
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
    let listed = segregation(house.store(), None, None).await.expect("it can be read");
    for run in &listed.runs {
        assert_eq!(run.violations, [], "run {}", run.run);
        assert!(run.exceptions.iter().any(|one| one.kind == "relaxed"), "run {}: {:?}", run.run, run.exceptions);
    }
    assert_eq!(listed.runs.len(), 2);
}

//! Asked again elsewhere: a denial is not gone round by asking in another room, of other people, or by somebody else.

use chrono::TimeDelta;
use countersign::model::chat::RoomAddress;
use countersign::model::request::RequestState;

use super::house::{Asked, House};
use super::retry::sound;

const PEOPLE: &str = "people:
  mei: {accounts: ['local:trial:mei']}
  ann: {accounts: ['local:trial:ann']}
  boss: {accounts: ['local:trial:boss'], reports_to: kim}
  lin: {accounts: ['local:trial:lin']}
  kim: {accounts: ['local:trial:kim']}
  vic: {accounts: ['local:trial:vic']}
groups:
  support: [mei, ann]
  managers: [boss, lin, ann]
  leads: [kim]
";

async fn house() -> House {
    let same = "policy: same\ntitle: One agrees\nstages: [{approvers: [group:managers], quorum: 1}]\n\
                after_denial: same_people\n";
    let mark = "runbook: mark-same\ntitle: Mark\nsay: ['mark same']\nsystem: shop\napproval: same\n\
                steps: [{name: Note, run: {command: [./note.sh, SIDE/done, one]}}]\n";
    House::with(&[("people.yaml", PEOPLE), ("same.yaml", same), ("mark-same.yaml", mark)]).await
}

async fn state(house: &House, asked: &Asked) -> &'static str {
    house.store().find_request(asked.request).await.expect("read").expect("there").state.name()
}

/// Asks in another room.
async fn ask_in_yard(house: &House, who: &str, text: &str) -> Asked {
    let yard: RoomAddress = "local:trial:yard".parse().expect("a room");
    let line = countersign::model::chat::Incoming { room: yard.clone(), ..house.line(who, text) };
    let received = house.receive(line).await.expect("received");
    let waiting = house.store().list_unsent(&yard, 1000).await.expect("the outbox");
    let sent: Vec<_> =
        waiting.iter().map(|row| (row.id, countersign::model::id::MessageId::new(format!("y{}", row.id)))).collect();
    house.store().set_sent(&sent).await.expect("marked");
    house.post().await;
    house.asked_by(received.line).await
}

async fn say_in_yard(house: &House, who: &str, text: &str) -> String {
    let yard: RoomAddress = "local:trial:yard".parse().expect("a room");
    let line = countersign::model::chat::Incoming { room: yard, ..house.line(who, text) };
    let received = house.receive(line).await.expect("received");
    house.answers(received.line).await
}

async fn shown(house: &House, asked: &Asked) -> String {
    let sql = format!("select message from outbox where subject = 'run:{}' and role = 'root'", asked.run);
    house.texts(sql).await.join("\n")
}

#[tokio::test]
async fn i13_what_was_denied_is_carried_into_the_next_asking_wherever_that_is() {
    let house = house().await;
    let first = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {} because not at noon", first.code)).await;
    let second = ask_in_yard(&house, "mei", "mark it").await;
    let text = shown(&house, &second).await;
    assert!(
        text.contains(&format!("({}): not at noon. boss or kim must be among those who agree.", first.code)),
        "{text}"
    );
    assert!(text.contains("local:trial:boss") && text.contains("local:trial:kim"), "both are pinged: {text}");
    // The plan itself says so: that is what is hashed.
    let plan = house.run(second.run).await.plan;
    let plan = String::from_utf8(plan).expect("text");
    assert!(plan.contains("\"denied_before\"") && plan.contains("\"needs\":[\"boss\",\"kim\"]"), "{plan}");
    assert_ne!(house.run(first.run).await.digest, house.run(second.run).await.digest);
    // lin alone is as many as the stage wants, and not enough.
    say_in_yard(&house, "lin", &format!("approve {}", second.code)).await;
    assert_eq!(state(&house, &second).await, "pending");
    say_in_yard(&house, "kim", &format!("approve {}", second.code)).await;
    assert_eq!(state(&house, &second).await, "granted");
    // Agreed to since: nothing is carried any more.
    let third = house.ask("ann", "mark it again").await;
    assert!(!shown(&house, &third).await.contains("denied the same"));
    sound(&house).await;
}

#[tokio::test]
async fn nothing_more_is_needed_of_the_denier_after_a_day_or_where_the_policy_says_so() {
    let house = house().await;
    // The denier asks themselves.
    let first = house.ask("mei", "mark it").await;
    house.say("ann", &format!("deny {}", first.code)).await;
    let second = house.ask("ann", "mark it").await;
    let text = shown(&house, &second).await;
    assert!(text.contains("ann denied the same") && !text.contains("must be among"), "{text}");
    house.say("lin", &format!("approve {}", second.code)).await;
    assert_eq!(state(&house, &second).await, "granted");
    // The policy gives it up, in words; it is said all the same, and the denier hears of it.
    let first = house.ask("mei", "mark same").await;
    house.say("boss", &format!("deny {} because no", first.code)).await;
    let second = house.ask("mei", "mark same").await;
    let text = shown(&house, &second).await;
    assert!(text.contains("boss denied the same") && !text.contains("must be among"), "{text}");
    house.say("lin", &format!("approve {}", second.code)).await;
    assert_eq!(state(&house, &second).await, "granted");
    // A day later it is forgotten.
    let first = house.ask("mei", "announce hello").await;
    house.say("boss", &format!("deny {}", first.code)).await;
    house.shift(TimeDelta::hours(25));
    let second = house.ask("mei", "announce hello").await;
    assert!(!shown(&house, &second).await.contains("denied the same"));
    sound(&house).await;
}

#[tokio::test]
async fn a_denier_who_has_left_the_catalog_is_named_and_not_needed() {
    let house = house().await;
    let first = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {} because no", first.code)).await;
    let people = PEOPLE
        .replace("  boss: {accounts: ['local:trial:boss'], reports_to: kim}\n", "")
        .replace("[boss, lin, ann]", "[lin, ann]");
    house.write("people.yaml", &people);
    let (reload, watching) = house.watch();
    drop(reload);
    super::support::until("it is in use", async || {
        let people = &house.app.in_use().catalog.people;
        (people.len() == 5).then_some(())
    })
    .await;
    watching.stop().await;
    let second = house.ask("mei", "mark it").await;
    let text = shown(&house, &second).await;
    assert!(text.contains("boss denied the same") && !text.contains("must be among"), "{text}");
    house.say("lin", &format!("approve {}", second.code)).await;
    assert_eq!(
        house.store().find_request(second.request).await.expect("read").expect("there").state,
        RequestState::Granted
    );
    sound(&house).await;
}

/// A catalog that is loaded anew and the same does not call the plan another: what was denied stands in no file.
#[tokio::test]
async fn i13_a_reload_does_not_call_it_another_plan() {
    let house = house().await;
    let first = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {} because no", first.code)).await;
    house.ask("mei", "mark it").await;
    house.write("more.yaml", "policy: more\ntitle: More\nstages: [{approvers: [group:leads], quorum: 1}]\n");
    let (reload, watching) = house.watch();
    drop(reload);
    super::support::until("it is in use", async || (house.app.in_use().catalog.policies.len() == 4).then_some(()))
        .await;
    watching.stop().await;
    assert_eq!(house.count("event where kind = 'request_differs'").await, 0);
}

#[test]
fn circles_of_who_reports_to_whom_are_no_catalog() {
    use countersign::runbook::load;
    for (people, words) in [
        ("people:\n  mei: {accounts: ['local:trial:mei'], reports_to: mei}\n", "mei reports to themselves"),
        (
            "people:\n  mei: {accounts: ['local:trial:mei'], reports_to: ann}\n  \
             ann: {accounts: ['local:trial:ann'], reports_to: boss}\n  \
             boss: {accounts: ['local:trial:boss'], reports_to: mei}\n",
            "reports to themselves, by way of others",
        ),
        ("people:\n  mei: {accounts: ['local:trial:mei'], reports_to: nobody}\n", "nobody"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("people.yaml"), people).expect("written");
        let wrong = load(folder.path()).expect_err("it is refused").to_string();
        assert!(wrong.contains(words), "{wrong}");
    }
}

/// Whoever is needed in particular stands beside the people whom the policy asks, and not in their place.
#[tokio::test]
async fn i7_who_is_needed_because_of_a_denial_fills_no_place_of_a_stage() {
    let house = house().await;
    let first = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {} because not at noon", first.code)).await;
    let second = house.ask("mei", "mark it").await;
    // kim leads boss, and is no manager.
    let said = house.say("kim", &format!("approve {}", second.code)).await;
    assert!(said.contains("counts: 0 of 1"), "{said}");
    assert_eq!(state(&house, &second).await, "pending");
    house.say("lin", &format!("approve {}", second.code)).await;
    assert_eq!(state(&house, &second).await, "granted");
    sound(&house).await;
}

// ---- what starts by itself ----

const DOWN: &str =
    "trigger: web-down\nowner: ann\non: {check: 'shop/web/running', becomes: critical}\nrun: mark-it\nmode: auto\n";

/// A house in which a failing check starts `mark it` by itself.
async fn watched() -> House {
    let policy = "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\n\
        expires: 10m\nvalid_for: 1h\nautomatic: [{trigger: web-down, runbook: mark-it, at_most: {runs: 3, per: 1h}}]\n";
    let system = "system: shop\ntitle: The shop\nenvironment: production\nroom: shop\n\
        may_run: [group:support, group:managers]\nmay_see: [person:vic]\nmay_unstick: [group:managers]\n\
        services:\n  web: {title: Web, checks: {running: {command: [./sick.sh], every: 1s, fails_after: 1}}}\n";
    House::with(&[
        ("one.yaml", policy),
        ("web-down.yaml", DOWN),
        ("shop.yaml", system),
        ("sick.sh", "#!/bin/sh\n[ ! -e SIDE/sick ] || exit 2\n"),
    ])
    .await
}

/// The service fails; returns the run that its trigger made.
async fn fails(house: &House) -> countersign::store::Run {
    let surroundings = countersign::engine::Surroundings {
        path: "/usr/bin:/bin".into(),
        extra_env: std::sync::Arc::default(),
        cwd: "/".into(),
        ledger: house.ledger.clone(),
    };
    let asker = countersign::engine::probe::Asker::new(surroundings).expect("an asker");
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (app, lease) = (house.app.clone(), super::house::LEASE);
    let loop_ = countersign::flow::watch(app, std::sync::Arc::new(asker), house.me, lease, stopped);
    let watching = super::house::Working::of(stop, tokio::spawn(loop_));
    super::support::until("it is fine at first", async || {
        (house.count("check_state where hard = 'ok'").await == 1).then_some(())
    })
    .await;
    std::fs::write(house.side("sick"), "").expect("written");
    super::support::until("the trigger acts", async || {
        (house.count("run where trigger is not null").await == 1).then_some(())
    })
    .await;
    watching.stop().await;
    let run = house.texts("select id::text from run where trigger is not null".to_owned()).await.remove(0);
    house.run(countersign::model::id::RunId(run.parse().expect("a number"))).await
}

#[tokio::test]
async fn i12_what_a_person_has_just_denied_does_not_start_by_itself() {
    let house = watched().await;
    let first = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {} because not at noon", first.code)).await;
    let run = fails(&house).await;
    assert_eq!(run.state.name(), "awaiting_approval");
    assert_eq!(house.count("run_grant").await, 0);
    let text = house.texts(format!("select message from outbox where subject = 'run:{}'", run.id)).await.join("\n");
    assert!(text.contains("boss denied the same at") && text.contains("not at noon"), "{text}");
    assert!(
        text.contains("Trigger web-down would have started it by itself. It was denied within a day: people decide."),
        "{text}"
    );
    house.post().await;
    // By the same rule as ever: who denied it, or whom they report to, is among those who agree.
    let code = house.texts("select code from request where state = 'pending'".to_owned()).await.remove(0);
    house.say("lin", &format!("approve {code}")).await;
    assert_eq!(house.run(run.id).await.state.name(), "awaiting_approval");
    house.say("boss", &format!("approve {code}")).await;
    assert_eq!(house.run(run.id).await.state.name(), "approved");
    sound(&house).await;
}

#[tokio::test]
async fn i12_what_was_denied_long_ago_starts_by_itself() {
    let house = watched().await;
    let first = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {}", first.code)).await;
    house.shift(TimeDelta::hours(25));
    let run = fails(&house).await;
    assert_eq!(run.state.name(), "approved");
    assert_eq!(house.count("run_grant where state = 'granted'").await, 1);
    sound(&house).await;
}

// ---- stuck steps ----

async fn pending(house: &House) -> (countersign::model::id::RequestId, String) {
    house.post().await;
    let code = house.texts("select code from request where state = 'pending'".to_owned()).await.remove(0);
    let id = house.texts("select id::text from request where state = 'pending'".to_owned()).await.remove(0);
    (countersign::model::id::RequestId(id.parse().expect("a number")), code)
}

async fn shown_last(house: &House) -> String {
    house
        .texts("select message from outbox where message like '%asks:%' order by id desc limit 1".to_owned())
        .await
        .remove(0)
}

#[tokio::test]
async fn i3_what_was_denied_of_a_stuck_step_is_carried_into_the_next_asking() {
    let house = house().await;
    let asked = super::i03::stuck(&house, "mei", "hang on").await;
    house.say("mei", &format!("retry run {}", asked.run)).await;
    let (_, code) = pending(&house).await;
    house.say("boss", &format!("deny {code} because it is not idempotent")).await;
    house.say("mei", &format!("retry run {}", asked.run)).await;
    let (request, second) = pending(&house).await;
    let text = shown_last(&house).await;
    assert!(
        text.contains(&format!("({code}): it is not idempotent. boss or kim must be among those who agree.")),
        "{text}"
    );
    assert!(text.contains("boss denied to retry step 1 of run"), "{text}");
    assert!(text.contains("local:trial:kim"), "kim is pinged: {text}");
    house.say("lin", &format!("approve {second}")).await;
    let state = || async { house.store().find_request(request).await.expect("read").expect("there").state.name() };
    assert_eq!(state().await, "pending", "lin alone is not enough");
    sound(&house).await;
    house.say("kim", &format!("approve {second}")).await;
    assert_eq!(state().await, "granted");
    sound(&house).await;
    // What is needed is frozen with the request, and a grant without it is none.
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, super::house::LEASE);
    super::support::until("it is tried again", async || (house.done().len() == 2).then_some(())).await;
    engine.kill().await;
}

#[tokio::test]
async fn i3_who_denied_it_may_be_who_is_done_with_it_and_after_a_day_it_is_forgotten() {
    let house = house().await;
    let asked = super::i03::stuck(&house, "mei", "hang on").await;
    house.say("mei", &format!("skip run {} because it is up", asked.run)).await;
    let (_, code) = pending(&house).await;
    house.say("boss", &format!("deny {code} because it is not")).await;
    house.shift(TimeDelta::hours(25));
    house.say("mei", &format!("retry run {}", asked.run)).await;
    let (_, second) = pending(&house).await;
    assert!(!shown_last(&house).await.contains("boss denied"));
    house.say("lin", &format!("deny {second} because I look")).await;
    // One who is not needed in particular does not do it alone.
    house.say("boss", &format!("judge run {} failed because it is not", asked.run)).await;
    assert_eq!(house.run(asked.run).await.state.name(), "stuck");
    let (_, third) = pending(&house).await;
    house.say("lin", &format!("approve {third}")).await;
    assert_eq!(house.run(asked.run).await.state.name(), "failed");
    sound(&house).await;
}

/// Whoever takes what is needed out of a request's row is found, and changes nothing of a grant that lacks it.
#[tokio::test]
async fn i11_who_is_needed_stands_in_the_ledger() {
    let house = house().await;
    let asked = super::i03::stuck(&house, "mei", "hang on").await;
    house.say("mei", &format!("retry run {}", asked.run)).await;
    let (_, code) = pending(&house).await;
    house.say("boss", &format!("deny {code}")).await;
    house.say("mei", &format!("retry run {}", asked.run)).await;
    let (_, second) = pending(&house).await;
    house.db.tamper("update request set needs = '{}' where state = 'pending'").await;
    house.tell().await;
    let report = countersign::ledger::verify(house.store(), &[]).await.expect("verified");
    assert!(!report.is_sound(), "the row is not what was asked");
    house.say("lin", &format!("approve {second}")).await;
    house.tell().await;
    let report = countersign::ledger::verify(house.store(), &[]).await.expect("verified");
    assert!(report.to_string().contains(&format!("request {second}")) || !report.is_sound(), "{report}");
}

// ---- a first no ----

/// Two must say no to end it: one who did is not asked afresh because the request ended otherwise.
#[tokio::test]
async fn i13_a_first_no_is_carried_whatever_ended_the_request() {
    let two = "policy: one\ntitle: Two end it\nstages: [{approvers: [group:managers], quorum: 1, denials: 2}]\n\
        expires: 10m\nvalid_for: 1h\n";
    for end in ["withdraw", "expire", "send back", "again", "other", "none"] {
        let house = House::with(&[("people.yaml", PEOPLE), ("one.yaml", two)]).await;
        let first = house.ask("mei", "mark it").await;
        house.say("boss", &format!("deny {} because not at noon", first.code)).await;
        let expected = format!("({}): not at noon. boss or kim must be among those who agree.", first.code);
        let second = match end {
            "withdraw" => {
                house.say("mei", &format!("withdraw {}", first.code)).await;
                house.ask("mei", "mark it").await
            }
            // Somebody else asks.
            "other" => {
                house.say("mei", &format!("withdraw {}", first.code)).await;
                house.ask("ann", "mark it").await
            }
            "expire" => {
                house.shift(TimeDelta::minutes(11));
                house.expire().await;
                house.ask("mei", "mark it").await
            }
            "send back" => {
                house.say("lin", &format!("send back {} because say why", first.code)).await;
                house.ask("mei", "mark it").await
            }
            // It takes the place of what still waits.
            "again" => house.ask("mei", "again").await,
            // The same once more joins what waits.
            _ => {
                let said = house.say("mei", "mark it").await;
                assert!(said.contains(&format!("{}. `again` asks anew.", first.code)), "{said}");
                continue;
            }
        };
        let text = shown(&house, &second).await;
        assert!(text.contains(&expected), "{end}: {text}");
        house.say("lin", &format!("approve {}", second.code)).await;
        assert_eq!(state(&house, &second).await, "pending", "{end}");
        house.say("boss", &format!("approve {}", second.code)).await;
        assert_eq!(state(&house, &second).await, "granted", "{end}");
        sound(&house).await;
    }
}

/// A no that was taken back is none.
#[tokio::test]
async fn a_first_no_that_was_taken_back_is_not_carried() {
    let two = "policy: one\ntitle: Two end it\nstages: [{approvers: [group:managers], quorum: 1, denials: 2}]\n\
        expires: 10m\nvalid_for: 1h\n";
    let house = House::with(&[("people.yaml", PEOPLE), ("one.yaml", two)]).await;
    let first = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {} because not at noon", first.code)).await;
    house.say("boss", &format!("withdraw {}", first.code)).await;
    house.say("mei", &format!("withdraw {}", first.code)).await;
    let second = house.ask("mei", "mark it").await;
    assert!(!shown(&house, &second).await.contains("denied the same"));
    house.say("lin", &format!("approve {}", second.code)).await;
    assert_eq!(state(&house, &second).await, "granted");
    sound(&house).await;
}

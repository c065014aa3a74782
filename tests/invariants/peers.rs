//! What other tools for approvals got wrong, one test each, named after it. Each was a complaint of people who used them.

use chrono::TimeDelta;
use countersign::chat::Delivery;
use countersign::model::chat::{Incoming, Said, Signed};
use countersign::model::code::Code;
use countersign::model::id::{Digest, LinkId, MessageId, PasskeyId};
use countersign::model::request::OnPage;
use countersign::model::run::RunState;

use super::house::{Asked, House};
use super::i13::reload;

/// A button, pressed once.
fn press(house: &House, who: &str, name: &str, command: &str) -> Incoming {
    let mut press = house.line(who, "");
    press.what = Said::Press {
        interaction: name.to_owned(),
        message: MessageId::new("m1"),
        command: command.to_owned(),
        signed: None,
    };
    press
}

async fn presses(house: &House, who: &str, name: &str, command: &str) -> String {
    let received = house.receive(press(house, who, name, command)).await.expect("it is received");
    assert_eq!(received.delivery, Delivery::First);
    house.answers(received.line).await
}

async fn no_grant(house: &House, asked: Asked) {
    assert_eq!(house.count(&format!("run_grant where run = {}", asked.run)).await, 0);
    assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval);
}

const THREE: &str = "policy: two\ntitle: Two of three\n\
    stages: [{approvers: [person:boss, person:lin, person:kim], quorum: 2}]\nexpires: 10m\nvalid_for: 1h\n";

#[tokio::test]
async fn peer_01_there_was_no_pause_for_approval_before_anything_ran() {
    let house = House::new().await;
    let engine = house.engine();
    let asked = house.ask("mei", "both notes").await;
    no_grant(&house, asked).await;
    assert_eq!(house.count("attempt").await, 0);
    house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    assert_eq!(house.done(), ["one", "two"]);
}

#[tokio::test]
async fn peer_02_one_had_to_leave_the_chat_to_approve() {
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    house.say("boss", "approved").await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
}

#[tokio::test]
async fn peer_03_a_stolen_chat_account_was_enough_to_approve() {
    let careful = "policy: one\ntitle: With a passkey\n\
        stages: [{approvers: [group:managers], quorum: 1, step_up: true}]\nexpires: 10m\nvalid_for: 1h\n";
    let house = House::with(&[("one.yaml", careful)]).await;
    let asked = house.ask("mei", "mark it").await;
    let approve = format!("approve {}", asked.code);
    for said in [house.say("boss", &approve).await, presses(&house, "boss", "b1", &approve).await] {
        assert!(said.contains("passkey"), "{said}");
    }
    no_grant(&house, asked).await;
    // Saying no needs nothing but the account: it harms nobody.
    house.say("boss", &format!("deny {}", asked.code)).await;
    assert!(matches!(house.run(asked.run).await.state, RunState::Denied { .. }));
}

#[tokio::test]
async fn peer_04_some_way_let_the_requester_approve() {
    let house = House::new().await;
    let asked = house.ask("ann", "mark it").await;
    let approve = format!("approve {}", asked.code);
    for (number, who) in ["ann", "ann2"].into_iter().enumerate() {
        for said in [
            house.say(who, &approve).await,
            house.say(who, "approved").await,
            house.say(who, &format!("{approve} because I may")).await,
            presses(&house, who, &format!("a{number}"), &approve).await,
        ] {
            assert!(said.starts_with("ann, it is your own request"), "{said}");
        }
    }
    no_grant(&house, asked).await;
}

#[tokio::test]
async fn peer_05_two_of_three_did_not_work_when_they_were_asked_at_once() {
    let house = House::with(&[("two.yaml", THREE)]).await;
    let asked = house.ask("mei", "agree twice").await;
    let approve = format!("approve {}", asked.code);
    let lines = ["boss", "lin", "kim"].map(|who| house.receive(house.line(who, &approve)));
    let mut told = Vec::new();
    for received in futures_util::future::join_all(lines).await {
        let received = received.expect("it is received");
        assert_eq!(received.delivery, Delivery::First);
        told.push(house.answers(received.line).await);
    }
    assert_eq!(house.count(&format!("run_grant where run = {}", asked.run)).await, 1);
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
    let sql = format!("select person from decision where request = {} order by person", asked.request);
    let counted = house.texts(sql).await;
    assert_eq!(counted.len(), 2, "{counted:?}");
    // The first is told that one more is needed; the second reads the receipt; the third came late, and is told so.
    let late = format!("{} is approved already, by ", asked.code);
    let is_late = |text: &&String| text.starts_with(&late) && text.ends_with("Your answer changes nothing.");
    let said_late = told.iter().find(is_late);
    assert!(said_late.is_some_and(|text| counted.iter().all(|person| text.contains(person))), "{told:?}");
    assert_eq!(told.iter().filter(|text| text.is_empty()).count(), 1, "{told:?}");
    assert!(told.iter().any(|text| text.ends_with("counts: 1 of 2. It still needs 1 more person.")), "{told:?}");
}

#[tokio::test]
async fn peer_06_the_chat_said_approved_when_it_was_not() {
    let house = House::with(&[("two.yaml", THREE)]).await;
    let asked = house.ask("mei", "agree twice").await;
    let said = house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(said, format!("boss's answer to {} counts: 1 of 2. It still needs 1 more person.", asked.code));
    no_grant(&house, asked).await;
    house.tell().await;
    let told = house.said().await.join("\n");
    assert!(!told.contains("boss approved agree twice"), "{told}");
}

#[tokio::test]
async fn peer_07_what_was_approved_for_one_thing_let_another_run() {
    let house = House::new().await;
    let engine = house.engine();
    let (one, other) = (house.ask("mei", "mark it").await, house.ask("ann", "both notes").await);
    house.say("boss", &format!("approve {}", one.code)).await;
    assert_eq!(house.settled(one.run).await, RunState::Succeeded);
    no_grant(&house, other).await;
    // An approval of a plan that nobody could have read yet is none.
    let line = house.receive(house.line("mei", "announce hello")).await.expect("it is received").line;
    let unread = house.asked_by(line).await;
    let said = house.say("boss", &format!("approve {}", unread.code)).await;
    assert!(said.contains("has been posted yet"), "{said}");
    no_grant(&house, unread).await;
    engine.stop().await;
    assert_eq!(house.done(), ["one"]);
}

#[tokio::test]
async fn peer_08_breaking_the_glass_wanted_no_reason_and_told_nobody() {
    let urgent = "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\nexpires: 10m\n\
        valid_for: 1h\nbreak_glass: {by: [person:mei], review_within: 2h, reviewed_by: [group:managers]}\n";
    let house = House::with(&[("one.yaml", urgent)]).await;
    let asked = house.ask("mei", "mark it").await;
    let said = house.say("mei", &format!("break glass {}", asked.code)).await;
    assert!(said.contains("because"), "{said}");
    no_grant(&house, asked).await;
    house.say("mei", &format!("break glass {} because the shop burns", asked.code)).await;
    house.tell().await;
    let told = house.said().await.join("\n");
    assert!(told.contains("GLASS BROKEN: mei starts mark it") && told.contains("the shop burns"), "{told}");
    assert!(told.contains("Not waited for: ann, boss, kim and lin."), "{told}");
    assert_eq!(house.count("review where state = 'owed'").await, 1, "somebody has to look at it afterwards");
}

#[tokio::test]
async fn peer_09_requests_hung_for_ever_and_a_timeout_was_called_a_no() {
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    house.shift(TimeDelta::minutes(11));
    house.expire().await;
    assert_eq!(house.run(asked.run).await.state, RunState::Expired);
    house.tell().await;
    let told = house.said().await.join("\n");
    assert!(told.contains("expired at") && told.contains("nobody decided"), "{told}");
    assert!(!told.contains("denied"), "{told}");
    let said = house.say("boss", &format!("approve {}", asked.code)).await;
    assert!(said.contains("nobody decided. Nothing was done."), "{said}");
}

#[tokio::test]
async fn peer_10_an_approval_could_be_used_again_and_not_be_handed_back() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let said = house.say("mei", &format!("revoke {}", asked.code)).await;
    assert!(said.starts_with(&format!("mei, {} is not yours to revoke.", asked.code)), "{said}");
    house.say("lin", &format!("revoke {} because not at noon", asked.code)).await;
    assert!(matches!(house.run(asked.run).await.state, RunState::Stopped { .. }));
    let engine = house.engine();
    let again = house.granted("mei", "mark it", "boss").await;
    assert_eq!(house.settled(again.run).await, RunState::Succeeded);
    let said = house.say("boss", &format!("revoke {}", again.code)).await;
    assert!(said.contains("is over: there is nothing to revoke"), "{said}");
    engine.stop().await;
    assert_eq!(house.done(), ["one"], "each approval served one run at most");
    house.tell().await;
    let told = house.said().await.join("\n");
    assert!(told.contains("lin revoked the approval of mark it") && told.contains("not at noon"), "{told}");
    assert_eq!(house.count("run_grant where state = 'granted'").await, 0);
}

#[tokio::test]
async fn peer_11_what_was_approved_by_itself_was_too_broad() {
    // `automatic` names a trigger and a runbook; a person who asks for the same gets nothing of it.
    let policy = "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\n\
        expires: 10m\nvalid_for: 1h\nautomatic: [{trigger: web-down, runbook: mark-it, at_most: {runs: 3, per: 1h}}]\n";
    let trigger =
        "trigger: web-down\nowner: mei\non: {check: 'shop/web/running', becomes: critical}\nrun: mark-it\nmode: auto\n";
    let system = "system: shop\ntitle: The shop\nenvironment: production\nroom: shop\n\
        may_run: [group:support, group:managers]\nmay_see: [person:vic]\nmay_unstick: [group:managers]\n\
        services:\n  web: {title: Web, checks: {running: {command: ['true'], every: 30s}}}\n";
    let house = House::with(&[("one.yaml", policy), ("web-down.yaml", trigger), ("shop.yaml", system)]).await;
    for who in ["mei", "ann"] {
        let asked = house.ask(who, "mark it").await;
        no_grant(&house, asked).await;
        house.say(who, &format!("withdraw {}", asked.code)).await;
    }
    let other = house.ask("mei", "both notes").await;
    no_grant(&house, other).await;
    // `unasked` names a runbook, people and how often: nobody else, nothing else, and no more often.
    let policy = "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\n\
        expires: 10m\nvalid_for: 1h\nunasked: [{runbook: mark-it, by: [person:mei], at_most: {runs: 1, per: 1h}}]\n";
    let house = House::with(&[("one.yaml", policy)]).await;
    let engine = house.engine();
    let asked = house.ask("mei", "mark it").await;
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    for (who, what) in [("ann", "mark it"), ("boss", "mark it"), ("mei", "both notes"), ("mei", "mark it")] {
        let asked = house.ask(who, what).await;
        no_grant(&house, asked).await;
        house.say(who, &format!("withdraw {}", asked.code)).await;
    }
    engine.stop().await;
    assert_eq!(house.done(), ["one"]);
}

#[tokio::test]
async fn peer_12_one_departed_approver_broke_every_request() {
    let house = House::with(&[("two.yaml", THREE)]).await;
    let asked = house.ask("mei", "agree twice").await;
    let people = std::fs::read_to_string(house.catalog_folder().join("people.yaml")).expect("people");
    let without = people.replace("  boss: {accounts: ['local:trial:boss', 'local:trial:boss2']}\n", "");
    house.write("people.yaml", &without.replace("[ann, boss, lin, kim]", "[ann, lin, kim]"));
    house.write("two.yaml", &THREE.replace("person:boss, ", ""));
    reload(&house).await;
    for who in ["lin", "kim"] {
        house.say(who, &format!("approve {}", asked.code)).await;
    }
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
    // Whoever is asked need not have been pinged, nor be reachable where it was asked: the word and the code are enough.
    let people = people.replace("  lin: {accounts: ['local:trial:lin']}\n", "  lin: {accounts: ['slack:T1:U7']}\n");
    let house = House::with(&[("two.yaml", THREE), ("people.yaml", &people)]).await;
    let asked = house.ask("mei", "agree twice").await;
    let pinged = house.texts("select message::json ->> 'ping' from outbox order by id limit 1".to_owned()).await;
    assert!(pinged[0].contains("boss") && pinged[0].contains("kim") && !pinged[0].contains("U7"), "{pinged:?}");
    for who in ["boss2", "kim2"] {
        house.say(who, &format!("approve {}", asked.code)).await;
    }
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
}

#[tokio::test]
async fn peer_12_only_who_was_pinged_could_approve() {
    // vic answers for kim since after the request was posted: no message of it has ever named them.
    let house = House::with(&[("two.yaml", THREE)]).await;
    let asked = house.ask("mei", "agree twice").await;
    let shown = house.texts("select message from outbox order by id".to_owned()).await.join("\n");
    assert!(!shown.contains("vic"), "{shown}");
    house.say("kim", "delegate to vic for 1 hour").await;
    for who in ["vic", "boss"] {
        house.say(who, &format!("approve {}", asked.code)).await;
    }
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
}

#[tokio::test]
async fn peer_13_two_clicks_at_the_same_moment_ran_it_twice() {
    let house = House::new().await;
    let engine = house.engine();
    let asked = house.ask("mei", "mark it").await;
    let approve = format!("approve {}", asked.code);
    let clicks = [("boss", "c1"), ("boss", "c2"), ("boss2", "c3"), ("lin", "c4"), ("kim", "c5")];
    let clicks = clicks.map(|(who, name)| house.receive(press(&house, who, name, &approve)));
    let mut told = Vec::new();
    for received in futures_util::future::join_all(clicks).await {
        told.push(house.answers(received.expect("it is received").line).await);
    }
    // One click agreed and reads the receipt; each of the others is told that it changed nothing.
    assert_eq!(told.iter().filter(|text| text.is_empty()).count(), 1, "{told:?}");
    let changed_nothing = |text: &&String| text.contains("is approved already, by") || text.contains("have decided");
    assert_eq!(told.iter().filter(changed_nothing).count(), 4, "{told:?}");
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    assert_eq!(house.done(), ["one"]);
    assert_eq!(house.count("run_grant").await, 1);
    // A button that somebody still sees afterwards does nothing either. That it goes from where it stood, and what stands under
    // it, is looked at where there are buttons: `slack_life`.
    for (name, command) in [("c6", approve), ("c7", format!("deny {}", asked.code))] {
        let said = presses(&house, "kim", name, &command).await;
        assert!(said.contains("is approved already, by") || said.contains("you have"), "{said}");
    }
    assert_eq!((house.done().len(), house.count("run_grant").await), (1, 1));
}

#[tokio::test]
async fn peer_14_answers_that_came_fast_left_it_stuck() {
    let house = House::with(&[("two.yaml", THREE)]).await;
    let engine = house.engine();
    // Answers that meet each other, an answer that is taken back, a withdrawal in between: whatever comes first, it ends.
    for round in 0..5 {
        let asked = house.ask("mei", "agree twice").await;
        let (approve, withdraw) = (format!("approve {}", asked.code), format!("withdraw {}", asked.code));
        let mut lines = vec![house.line("boss", &approve), house.line("lin", &approve), house.line("boss", &withdraw)];
        if round % 2 == 0 {
            lines.push(house.line("mei", &withdraw));
        }
        let all = lines.into_iter().map(|line| house.receive(line));
        for received in futures_util::future::join_all(all).await {
            received.expect("it is received");
        }
        if house.run(asked.run).await.state == RunState::AwaitingApproval {
            house.say("kim", &approve).await;
            house.say("boss", &approve).await;
        }
        let state = house.settled(asked.run).await;
        assert!(state.is_over(), "round {round}: {state:?}");
    }
    engine.stop().await;
}

#[tokio::test]
async fn i1_what_was_signed_is_decided_and_nothing_that_was_said_beside_it() {
    let careful = "policy: one\ntitle: With a passkey\n\
        stages: [{approvers: [group:managers], quorum: 1, step_up: true}]\nexpires: 10m\nvalid_for: 1h\n";
    let house = House::with(&[("one.yaml", careful)]).await;
    let asked = house.ask("mei", "mark it").await;
    let other = house.ask("ann", "agree twice").await;
    let (mine, others) = (house.run(asked.run).await.digest, house.run(other.run).await.digest);
    let signs = |name: &str, request, digest, done, code: Code| {
        let signed = Signed {
            page: LinkId(1),
            link: Digest([1; 32]),
            request,
            digest,
            done,
            passkey: PasskeyId(1),
            credential: "AQ".to_owned(),
            count_before: 0,
            count: 1,
            client_data: String::new(),
            authenticator_data: String::new(),
            signature: String::new(),
        };
        let mut press = press(&house, "boss", name, &format!("approve {code}"));
        let Said::Press { signed: of_page, .. } = &mut press.what else { panic!("a press") };
        *of_page = Some(Box::new(signed));
        press
    };
    let approve = OnPage::Approve;
    for (name, request, digest, done) in [
        ("another request", other.request, others, approve),
        ("another plan", asked.request, others, approve),
        ("another answer", asked.request, mine, OnPage::Deny),
    ] {
        let received = house.receive(signs(name, request, digest, done, asked.code)).await.expect("received");
        let said = house.answers(received.line).await;
        assert_eq!(
            said, "That is not what your passkey has signed. Nothing has been decided. Tell an operator.",
            "{name}"
        );
    }
    // What fits is worth nothing without the page and the passkey that it names.
    let received = house.receive(signs("fits", asked.request, mine, approve, asked.code)).await.expect("received");
    assert!(house.answers(received.line).await.starts_with("That passkey is no longer yours."));
    no_grant(&house, asked).await;
    no_grant(&house, other).await;
    assert_eq!(house.count("decision").await, 0);
}

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

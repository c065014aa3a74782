//! Asking again: what somebody asked for before makes way for what they ask for now, and nobody's answer to the one counts
//! for the other.

use countersign::model::request::RequestState;
use countersign::model::run::RunState;

use super::house::{Asked, House};
use super::retry::sound;

async fn state(house: &House, asked: &Asked) -> RequestState {
    house.store().find_request(asked.request).await.expect("it can be read").expect("it is there").state
}

/// What the messages that show a request say.
async fn shown(house: &House, asked: &Asked) -> String {
    let sql = format!(
        "select message::json ->> 'text' from outbox where subject in ('request:{}', 'run:{}') and role <> 'progress' order by id",
        asked.request, asked.run
    );
    house.texts(sql).await.join("\n")
}

#[tokio::test]
async fn i13_other_words_take_the_place_of_what_waited_and_answers_do_not_carry() {
    let two = "runbook: tell\ntitle: Tell\nsay: ['tell {words}']\nsystem: shop\napproval: two\n\
               params: {words: {type: text, max_length: 60}}\n\
               steps: [{name: Tell, run: {command: [./note.sh, SIDE/done, '{{ words }}']}}]\n";
    let house = House::with(&[("tell.yaml", two)]).await;
    let first = house.ask("mei", "tell hello").await;
    house.say("boss", &format!("approve {}", first.code)).await;
    let second = house.ask("mei", "tell goodbye").await;
    assert_eq!(state(&house, &first).await, RequestState::Superseded { by: second.request });
    assert_eq!(house.run(first.run).await.state.name(), "withdrawn");
    let text = shown(&house, &second).await;
    assert!(text.contains(&format!("It takes the place of {}, which does not count any more.", first.code)), "{text}");
    // What boss said to the first counts for nothing, and the first can be answered no more.
    let late = house.say("lin", &format!("approve {}", first.code)).await;
    assert!(late.contains(&second.code.to_string()), "{late}");
    house.say("lin", &format!("approve {}", second.code)).await;
    assert_eq!(state(&house, &second).await, RequestState::Pending { stage: 0 });
    house.say("boss", &format!("approve {}", second.code)).await;
    assert_eq!(state(&house, &second).await, RequestState::Granted);
    house.tell().await;
    let said = house.said().await.join("\n");
    let words = format!("mei asked again: {} has taken the place of {}", second.code, first.code);
    assert!(said.contains(&words), "{said}");
    sound(&house).await;
}

#[tokio::test]
async fn what_is_another_persons_or_of_another_target_stays() {
    let target = "runbook: poke\ntitle: Poke\nsay: ['poke {service}']\nsystem: shop\napproval: one\n\
                  params: {service: {type: service}}\n\
                  steps: [{name: Poke, run: {command: [./note.sh, SIDE/done, '{{ service }}']}}]\n";
    let shop = "system: shop\ntitle: The shop\nenvironment: production\nroom: shop\n\
                may_run: [group:support, group:managers]\nmay_unstick: [group:managers]\nservices:\n  \
                web: {title: Web, checks: {running: {command: ['true']}}}\n  \
                db: {title: Db, checks: {running: {command: ['true']}}}\n";
    let house = House::with(&[("poke.yaml", target), ("shop.yaml", shop)]).await;
    let web = house.ask("mei", "poke web").await;
    let db = house.ask("mei", "poke db").await;
    let mine = house.ask("mei", "announce hello").await;
    let hers = house.ask("ann", "announce goodbye").await;
    for asked in [&web, &db, &mine, &hers] {
        assert_eq!(state(&house, asked).await, RequestState::Pending { stage: 0 });
    }
    sound(&house).await;
}

#[tokio::test]
async fn again_is_one_request_and_not_two() {
    let house = House::new().await;
    let first = house.ask("mei", "mark it").await;
    // Without `again` the same is joined.
    let joined = house.say("mei", "mark it").await;
    assert!(joined.contains(&first.code.to_string()), "{joined}");
    let second = house.ask("mei", "mark it again").await;
    assert_eq!(state(&house, &first).await, RequestState::Superseded { by: second.request });
    let third = house.ask("mei", "again").await;
    assert_eq!(state(&house, &second).await, RequestState::Superseded { by: third.request });
    assert_eq!(house.count("request where state = 'pending'").await, 1);
    // What was approved is not taken back by asking again.
    house.say("boss", &format!("approve {}", third.code)).await;
    let fourth = house.ask("mei", "mark it again").await;
    assert_eq!(state(&house, &third).await, RequestState::Granted);
    assert_eq!(house.run(third.run).await.state, RunState::Approved);
    assert_eq!(state(&house, &fourth).await, RequestState::Pending { stage: 0 });
    sound(&house).await;
}

#[tokio::test]
async fn what_was_sent_back_is_named_when_it_is_asked_again() {
    let house = House::new().await;
    let first = house.ask("mei", "announce hello").await;
    house.say("boss", &format!("send back {} because name the shop.", first.code)).await;
    let second = house.ask("mei", "announce hello shop").await;
    let text = shown(&house, &second).await;
    assert!(text.contains("Asked again after boss wanted: name the shop."), "{text}");
    // Said once.
    let third = house.ask("mei", "announce hello again shop").await;
    let text = shown(&house, &third).await;
    assert!(!text.contains("boss wanted") && text.contains("takes the place of"), "{text}");
    sound(&house).await;
}

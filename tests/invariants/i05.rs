//! I5: every event is told in order, at least once, and one place of the ledger is one message.

use countersign::model::id::Position;

use super::house::House;

/// A story with something of most kinds in it.
async fn story(house: &House) {
    house.say("mei", "look at shop").await;
    house.granted("mei", "both notes", "boss").await;
    let denied = house.ask("mei", "mark it").await;
    house.say("boss", &format!("deny {} because not now", denied.code)).await;
    let withdrawn = house.ask("mei", "mark it").await;
    house.say("mei", &format!("withdraw {}", withdrawn.code)).await;
    let engine = house.engine();
    for run in [1, 2] {
        house.settled(countersign::model::id::RunId(run)).await;
    }
    engine.stop().await;
}

#[tokio::test]
async fn i5_what_is_told_again_is_the_same_message() {
    let house = House::new().await;
    story(&house).await;
    house.tell().await;
    let told = house.texts("select o::text from outbox o order by id".to_owned()).await;
    assert!(told.len() > 8, "{told:#?}");
    for back_to in [0, 5, 11] {
        house.db.tamper(&format!("update sink set position = {back_to}")).await;
        house.tell().await;
        assert_eq!(house.texts("select o::text from outbox o order by id".to_owned()).await, told, "from {back_to}");
    }
    assert_eq!(house.count("(select distinct origin, part, room from outbox) o").await, told.len() as i64);
}

#[tokio::test]
async fn i5_echoes_come_in_the_order_of_the_ledger() {
    let house = House::new().await;
    story(&house).await;
    house.tell().await;
    let sql = "select split_part(origin, ':', 2) from outbox where origin like 'event:%' order by id";
    let places: Vec<i64> =
        house.texts(sql.to_owned()).await.iter().map(|place| place.parse().expect("a place")).collect();
    assert!(places.len() > 4 && places.is_sorted(), "{places:?}");
    let kinds = "select e.kind from chain c join event e on e.id = c.event where e.run = 2 order by c.position";
    let kinds = house.texts(kinds.to_owned()).await.join(" ");
    assert_eq!(
        kinds,
        "run_planned request_asked people_asked decided request_granted attempt_started attempt_ended attempt_started attempt_ended \
         run_succeeded"
    );
    let report = countersign::ledger::verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
}

/// Two sinks that read the same events: the one that comes second says nothing.
#[tokio::test]
async fn i5_a_sink_that_comes_second_says_nothing() {
    use countersign::model::chat::Message;
    use countersign::store::{NewMessage, Origin, Place};
    let house = House::new().await;
    let message = |place: i64| NewMessage {
        room: super::house::room(),
        place: Place::Room,
        origin: Origin::Event(Position(place)),
        part: 0,
        cause: None,
        role: None,
        edits: false,
        message: Message::to_room(format!("at {place}")),
    };
    let advance = async |from, to, place| {
        let moved = house.store().advance_sink("room", Position(from), Position(to), &[message(place)]).await;
        moved.expect("asked")
    };
    assert!(advance(0, 3, 2).await);
    assert!(!advance(0, 3, 3).await, "it was moved by the first");
    assert!(!advance(2, 4, 4).await);
    assert!(advance(3, 4, 4).await);
    assert_eq!(house.said().await, ["at 2", "at 4"]);
}

/// Answers of one line come in the order in which they were said.
#[tokio::test]
async fn i5_the_parts_of_one_answer_keep_their_order() {
    let house = House::new().await;
    let mut tx = house.store().begin().await.expect("a transaction");
    let incoming = house.line("mei", "help");
    let line = tx.insert_line(&incoming, None, None).await.expect("asked").expect("a new line");
    for part in 0..20 {
        tx.answer(line, &super::house::room(), None, countersign::model::chat::Message::to_room(part.to_string()));
    }
    tx.commit().await.expect("committed");
    let expected: Vec<String> = (0..20).map(|part| part.to_string()).collect();
    assert_eq!(house.said().await, expected);
}

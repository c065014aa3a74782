//! I6: what was said acts exactly once, and what is edited, stale or too late does not act.

use chrono::TimeDelta;
use countersign::approval::{Decide, DecideOutcome, Seen, decide};
use countersign::chat::Delivery;
use countersign::model::approval::Refusal;
use countersign::model::chat::Said;
use countersign::model::id::{MessageId, PersonId};
use countersign::model::request::{Answer, Proof};
use futures_util::future::join_all;

use super::house::{House, account};

#[tokio::test]
async fn i6_the_same_message_acts_once_however_often_it_comes() {
    let house = House::new().await;
    // A runbook that only reads is started anew each time it is asked for: nothing else joins the two.
    for text in ["look at shop", "mark it", "again"] {
        let before = (house.count("run").await, house.count("request").await);
        let line = house.line("mei", text);
        let all = join_all((0..8).map(|_| house.receive(line.clone()))).await;
        let received: Vec<_> = all.into_iter().map(|received| received.expect("received")).collect();
        let first = received.iter().filter(|received| received.delivery == Delivery::First).count();
        assert_eq!(first, 1, "{text}");
        assert!(received.iter().all(|one| one.line == received[0].line), "{text}");
        let later = house.receive(line).await.expect("received");
        assert_eq!((later.line, later.delivery), (received[0].line, Delivery::Again), "{text}");
        house.post().await;
        assert_eq!(house.count("run").await, before.0 + 1, "{text}");
        assert_eq!(house.count("request").await, before.1 + i64::from(text != "look at shop"), "{text}");
    }
    assert_eq!(house.count("event where kind = 'line_said'").await, 3);
}

/// A word without a code means what stood there when it was said, and not what took its place while it was on its way.
#[tokio::test]
async fn i6_a_word_that_was_long_on_its_way_does_not_decide_what_came_after_it() {
    for word in ["approved", "deny because no", "send back because no", "break glass because it burns"] {
        let house = House::new().await;
        let first = house.ask("mei", "announce one").await;
        let late = house.line("boss", word);
        house.say("mei", &format!("withdraw {}", first.code)).await;
        let second = house.ask("mei", "announce two").await;
        let received = house.receive(late).await.expect("received");
        let said = house.answers(received.line).await;
        assert!(said.contains(&format!("{} was asked only after you said that", second.code)), "{said}");
        assert_eq!((house.count("decision").await, house.count("run_grant").await), (0, 0), "{word}");
        assert_eq!(house.count("request where state = 'pending'").await, 1, "{word}");
    }
    // What is said once it stands there does.
    let house = House::new().await;
    house.ask("mei", "announce one").await;
    house.say("boss", "approved").await;
    assert_eq!(house.count("run_grant").await, 1);
}

/// The same press delivered twice, and the same id in another room: one is the same thing, the other is not.
#[tokio::test]
async fn i6_a_key_is_of_one_room_and_one_kind() {
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    let mut press = house.line("boss", "");
    press.what = Said::Press {
        interaction: "s1".into(),
        message: MessageId::new("m1"),
        command: format!("approve {}", asked.code),
        signed: None,
    };
    let first = house.receive(press.clone()).await.expect("received");
    let again = house.receive(press).await.expect("received");
    assert_eq!((first.delivery, again.delivery), (Delivery::First, Delivery::Again));
    assert_eq!(house.count("decision").await, 1);
    let mut there = house.line("mei", "ping");
    let here = there.clone();
    there.room = "local:trial:yard".parse().expect("a room");
    assert_eq!(house.receive(here).await.expect("received").delivery, Delivery::First);
    assert_eq!(house.receive(there).await.expect("received").delivery, Delivery::First);
}

#[tokio::test]
async fn i6_an_edit_never_acts() {
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    let talk = house.line("boss", "let me look");
    let Said::Line { message, .. } = talk.what.clone() else { panic!("a line") };
    house.receive(talk.clone()).await.expect("received");
    let mut edit = talk.clone();
    let yes = format!("approve {}", asked.code);
    edit.what = Said::Edit { message, revision: "1".into(), text: Some(yes.clone()) };
    let received = house.receive(edit).await.expect("received");
    assert_eq!(house.answers(received.line).await, "Void: you edited that message. Say it again.");
    assert_eq!((house.count("decision").await, house.count("run_grant").await), (0, 0));
    assert_eq!(house.texts("select outcome from inbox where key like 'edit:%'".to_owned()).await, ["recorded"]);

    // The edit overtook the line: what the line says then is not what stands there now.
    let late = house.line("boss", &yes);
    let Said::Line { message, .. } = late.what.clone() else { panic!("a line") };
    let mut edit = late.clone();
    edit.what = Said::Edit { message, revision: "1".into(), text: Some("no, wait".into()) };
    house.receive(edit).await.expect("received");
    let received = house.receive(late).await.expect("received");
    assert_eq!(house.answers(received.line).await, "Void: you edited that message. Say it again.");
    assert_eq!((house.count("decision").await, house.count("run_grant").await), (0, 0));
}

#[tokio::test]
async fn i6_a_stale_command_is_recorded_and_does_nothing() {
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    let (runs, requests) = (house.count("run").await, house.count("request").await);
    for (who, text) in [
        ("boss", format!("approve {}", asked.code)),
        ("boss", "approved".to_owned()),
        ("mei", "look at shop".to_owned()),
        ("mei", "both notes".to_owned()),
        ("mei", "withdraw".to_owned()),
        ("mei", "stop".to_owned()),
    ] {
        let mut line = house.line(who, &text);
        line.said_at -= TimeDelta::seconds(121);
        let received = house.receive(line).await.expect("received");
        let said = house.answers(received.line).await;
        assert!(said.starts_with(&format!("Not done: `{text}` was said at ")), "{said}");
    }
    assert_eq!((house.count("run").await, house.count("request").await), (runs, requests));
    assert_eq!(house.count("decision").await, 0);
    assert_eq!(house.texts("select state from request".to_owned()).await, ["pending"]);
    assert_eq!(house.count("inbox where outcome = 'recorded'").await, 6);
}

/// Nobody has swept yet: the request still says that it waits. A decision at its last moment is too late all the same.
#[tokio::test]
async fn i6_a_decision_read_at_or_after_expiry_does_not_count() {
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    house.shift(TimeDelta::minutes(10));
    for answer in ["approve", "deny"] {
        let said = house.say("boss", &format!("{answer} {}", asked.code)).await;
        assert!(said.starts_with(&format!("{} expired at ", asked.code)), "{said}");
    }
    assert_eq!(house.texts("select state from request".to_owned()).await, ["pending"]);
    house.shift(TimeDelta::minutes(-10));

    let boss = PersonId::new("boss");
    let outcome = async |micros_left: i64| {
        let mut tx = house.store().begin().await.expect("a transaction");
        let line = house.line("boss", "approved");
        let line = tx.insert_line(&line, Some(&boss), None).await.expect("asked").expect("new");
        let at = (tx.now() + TimeDelta::microseconds(micros_left)).to_rfc3339();
        house.db.tamper(&format!("update request set expires_at = '{at}'")).await;
        let account = account("boss");
        let asked = Decide {
            request: asked.request,
            person: &boss,
            account: &account,
            answer: Answer::Approve,
            reason: None,
            proof: Proof::Chat,
            line,
            seen: Seen::Posted,
        };
        decide(&mut tx, &house.app.in_use().catalog, asked).await.expect("decided")
    };
    let too_late = |outcome| matches!(outcome, DecideOutcome::Refused(refused) if refused.why == Refusal::TooLate);
    assert!(too_late(outcome(-1).await));
    assert!(too_late(outcome(0).await), "the moment itself is too late");
    assert!(matches!(outcome(1).await, DecideOutcome::Granted), "and one before it is not");
}

/// Ten say yes in the same instant: one grant, one of each event.
#[tokio::test]
async fn i6_decisions_in_the_same_instant_grant_once() {
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    let lines: Vec<_> = ["boss", "lin", "kim", "boss2", "kim2"]
        .iter()
        .map(|who| house.line(who, &format!("approve {}", asked.code)))
        .collect();
    for received in join_all(lines.into_iter().map(|line| house.receive(line))).await {
        received.expect("received");
    }
    assert_eq!((house.count("run_grant").await, house.count("decision").await), (1, 1));
    assert_eq!(house.count("event where kind = 'request_granted'").await, 1);
    assert_eq!(house.count("event where kind = 'decided'").await, 1);
}

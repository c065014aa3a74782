//! Who is woken while nobody decides: who is asked first and next, when, how often, and that no step is done twice.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use chrono::{TimeDelta, Timelike as _, Utc};
use countersign::flow::{Ringer, escalation};
use countersign::ledger::{sequencer, verify};
use countersign::model::chat::Account;
use countersign::model::id::RotaName;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::sync::watch;

use super::house::{Asked, House, Working};
use super::support::until;

const POLICY: &str = "policy: watchers\ntitle: Whoever watches agrees\nstages: [{approvers: [rota:watch], quorum: 1}]\n\
                      expires: 30m\nvalid_for: 1h\n";
const RUNBOOK: &str = "runbook: wake-them\ntitle: Wake them\nsay: ['wake them']\nsystem: shop\napproval: watchers\n\
                       steps: [{name: Note, run: {command: [./note.sh, SIDE/done, one]}}]\n";
const STAGED: &str = "policy: one\ntitle: A manager agrees, then kim\nstages:\n  - approvers: [person:boss]\n    quorum: 1\n    \
                      escalate: [{after: 8m, to: [person:lin]}]\nexpires: 30m\nvalid_for: 1h\n";

#[expect(clippy::disallowed_methods, reason = "the catalog is written before there is a store with a clock")]
fn rota(rest: &str) -> String {
    // Half a day from any change of turns, whatever day it is.
    let at = (Utc::now().hour() + 12) % 24;
    format!(
        "rotas:\n  watch:\n    members: [boss, lin, kim]\n    turns: weekly\n    from: 2026-11-02\n    at: \"{at:02}:00\"\n    zone: UTC\n{rest}"
    )
}

async fn watched(rest: &str) -> House {
    House::with(&[("rotas.yaml", &rota(rest)), ("watchers.yaml", POLICY), ("wake-them.yaml", RUNBOOK)]).await
}

impl House {
    fn waking(&self, ringer: Option<Ringer>) -> Working {
        let (stop, stopped) = watch::channel(false);
        Working { stop, task: tokio::spawn(escalation(self.app.clone(), ringer, stopped)) }
    }

    /// Does what is due, and tells it.
    async fn woken(&self) {
        let waking = self.waking(None);
        until("nobody is to be woken now", async || {
            self.store().list_to_wake(1).await.expect("requests").is_empty().then_some(())
        })
        .await;
        waking.stop().await;
        self.tell().await;
    }

    async fn later(&self, minutes: i64) {
        self.shift(TimeDelta::minutes(minutes));
        self.woken().await;
    }

    fn order(&self) -> Vec<String> {
        let now = self.store().clock().now();
        let order = self.app.in_use().catalog.on_call_order(&RotaName::new("watch"), now);
        order.iter().map(ToString::to_string).collect()
    }

    /// Who was asked, in the order asked.
    async fn asked_people(&self, asked: Asked) -> Vec<String> {
        self.texts(format!("select person from asked where request = {} order by at, person", asked.request)).await
    }

    /// What the bot has said by itself since it asked, each with whom it pings.
    async fn echoes(&self) -> Vec<(String, Vec<String>)> {
        let sql = "select message from outbox where origin like 'event:%' order by id".to_owned();
        let read = |text: String| {
            let message: countersign::model::chat::Message = serde_json::from_str(&text).expect("a message");
            (message.text, message.ping.iter().map(|account: &Account| account.id.clone()).collect())
        };
        self.texts(sql).await.into_iter().map(read).collect()
    }

    async fn is_sound(&self) {
        sequencer::drain(self.store(), self.me).await.expect("sequenced");
        let report = verify(self.store(), &[]).await.expect("it can be read");
        assert!(report.is_sound(), "{report}");
    }
}

/// A text with its code and times taken out.
fn plain(text: &str, asked: Asked) -> String {
    let mut words = Vec::new();
    for word in text.replace(&asked.code.to_string(), "CODE").split(' ') {
        let clock = word.trim_end_matches(['.', ',', ':', ';']);
        let digits = clock.len() >= 5 && clock.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
        // Near midnight a time may stand with its day.
        if word.len() == 10 && word.parse::<chrono::NaiveDate>().is_ok() {
            continue;
        }
        words.push(if digits && clock.contains(':') { word.replace(clock, "TIME") } else { word.to_owned() });
    }
    words.join(" ")
}

#[tokio::test]
async fn whoever_is_on_call_is_asked_then_reminded_and_the_others_come_one_after_the_other() {
    let house = watched("").await;
    let order = house.order();
    let asked = house.ask("mei", "wake them").await;
    assert_eq!(house.asked_people(asked).await, order[..1]);
    let said = house.said().await.join("\n");
    assert!(said.contains(&format!("asked of {} · next {} at ", order[0], order[1])), "{said}");

    house.later(2).await;
    assert_eq!(house.echoes().await, []);
    house.later(1).await;
    let (text, pings) = house.echoes().await.pop().expect("a reminder");
    let text = plain(&text, asked).replace(&order[0], "FIRST");
    assert!(
        text.starts_with("PRODUCTION · FIRST: mei waits for you since TIME UTC: ")
            || text.starts_with("PRODUCTION · FIRST: mei waits for you since TIME: "),
        "{text}"
    );
    assert!(text.contains("`approve CODE` or `deny CODE because …`, until TIME UTC."), "{text}");
    assert!(pings.iter().all(|account| account.starts_with(&order[0])) && !pings.is_empty(), "{pings:?}");
    // Nothing rings here: that step is passed over without a word.
    house.later(2).await;
    assert_eq!((house.echoes().await.len(), house.count("ring").await), (1, 0));
    house.later(3).await;
    assert_eq!(house.asked_people(asked).await, order[..2]);
    let (text, pings) = house.echoes().await.pop().expect("the next is asked");
    let expected = "CODE also asks SECOND (next on call): `approve CODE` or `deny CODE because …`, until TIME UTC.";
    assert_eq!(plain(&text, asked).replace(&order[1], "SECOND"), expected);
    assert!(pings.iter().all(|account| account.starts_with(&order[1])) && !pings.is_empty(), "{pings:?}");
    house.later(8).await;
    assert_eq!(house.asked_people(asked).await, order[..3]);
    // There is nobody else.
    house.later(8).await;
    assert_eq!(house.echoes().await.len(), 3);
    house.is_sound().await;
    house.say(&order[2], &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state.name(), "approved");
    house.is_sound().await;
}

/// Killed between any two steps, and done by two at once: each step is done once, and none is lost.
#[tokio::test]
async fn no_step_is_lost_and_none_is_done_twice() {
    let house = watched("").await;
    let asked = house.ask("mei", "wake them").await;
    for _ in 0..9 {
        house.shift(TimeDelta::minutes(3));
        let killed = house.waking(None);
        tokio::task::yield_now().await;
        killed.kill().await;
        let (one, other) = (house.waking(None), house.waking(None));
        until("nobody is to be woken now", async || {
            house.store().list_to_wake(1).await.expect("requests").is_empty().then_some(())
        })
        .await;
        one.kill().await;
        other.stop().await;
    }
    assert_eq!(house.count("event where kind = 'request_reminded'").await, 1);
    // At the beginning, and twice the next.
    assert_eq!(house.count("event where kind = 'people_asked'").await, 3);
    assert_eq!(house.asked_people(asked).await, house.order());
    house.shift(TimeDelta::minutes(5));
    house.expire().await;
    house.woken().await;
    assert_eq!(house.count("event where kind = 'people_asked'").await, 3);
    house.is_sound().await;
}

#[tokio::test]
async fn whoever_asks_is_passed_over_although_they_are_on_call() {
    // lin is on call, and asks.
    let house = watched("    overrides: [{person: lin, from: 2000-01-01 09:00, until: 2099-12-28 09:00}]\n").await;
    let asked = house.ask("lin", "wake them").await;
    let order = house.order();
    assert_eq!(order[0], "lin");
    assert_eq!(house.asked_people(asked).await, order[1..2]);
    house.later(9).await;
    let all = house.asked_people(asked).await;
    assert_eq!(all, order[1..3]);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the catalog is written before there is a store with a clock")]
async fn a_change_of_shift_asks_whoever_comes() {
    let now = Utc::now();
    let soon = now + TimeDelta::minutes(3) - TimeDelta::seconds(i64::from(now.second()));
    let time = |at: chrono::DateTime<Utc>| at.format("%Y-%m-%d %H:%M").to_string();
    let (early, late) = (time(now - TimeDelta::hours(1)), time(now + TimeDelta::hours(2)));
    let soon = time(soon);
    let rest = format!(
        "    overrides: [{{person: boss, from: {early}, until: {soon}}}, {{person: kim, from: {soon}, until: {late}}}]\n"
    );
    let house = watched(&rest).await;
    let asked = house.ask("mei", "wake them").await;
    assert_eq!(house.asked_people(asked).await, ["boss"]);
    house.later(4).await;
    assert_eq!(house.asked_people(asked).await, ["boss", "kim"]);
    house.later(1).await;
    assert_eq!(house.asked_people(asked).await, ["boss", "kim"]);
}

/// Turns say who is woken first, not who may: whoever of the rota is awake and reads it answers, and nobody is pinged for that.
#[tokio::test]
async fn i13_whoever_of_the_rota_is_awake_answers_without_having_been_woken() {
    let house = watched("").await;
    let order = house.order();
    let asked = house.ask("mei", "wake them").await;
    for who in ["mei", "ann", "vic"] {
        let said = house.say(who, &format!("approve {}", asked.code)).await;
        assert!(said.contains("not for you to decide") || said.contains("your own request"), "{who}: {said}");
    }
    assert_eq!(house.asked_people(asked).await, order[..1]);
    assert_eq!(house.say(&order[2], &format!("approve {}", asked.code)).await, "");
    house.tell().await;
    assert_eq!(house.count("run_grant").await, 1);
    let pings: Vec<String> = house.echoes().await.into_iter().flat_map(|(_, pings)| pings).collect();
    assert!(pings.iter().all(|account| account.starts_with("mei")), "{pings:?}");
    house.is_sound().await;
    // Who was taken out of the rota by then may not.
    let asked = house.ask("mei", "wake them again").await;
    let gone = house.order();
    house.write("rotas.yaml", &rota("").replace("[boss, lin, kim]", &format!("[{}, {}]", gone[0], gone[1])));
    super::i13::reload(&house).await;
    let said = house.say(&gone[2], &format!("approve {}", asked.code)).await;
    assert!(said.contains("not for you to decide"), "{said}");
    house.is_sound().await;
}

#[tokio::test]
async fn looking_keeps_everybody_else_from_being_woken_for_five_minutes() {
    let house = House::with(&[("one.yaml", STAGED)]).await;
    let asked = house.ask("mei", "mark it").await;
    assert!(house.said().await.join("\n").contains("asked of boss · next lin at "));
    // Talk, where it comes from somebody who is not asked.
    assert_eq!(house.say("lin", "looking").await, "");
    assert!(house.say("lin", &format!("looking {}", asked.code)).await.contains("is not for you to decide"));
    house.shift(TimeDelta::minutes(2));
    let said = house.say("boss", "looking").await;
    let expected = "boss looks at CODE. Nobody else is woken before TIME UTC. It still ends at TIME UTC.";
    assert_eq!(plain(&said, asked), expected);
    let again = house.say("boss", "looking").await;
    assert!(again.starts_with("boss, you look already"), "{again}");
    house.later(2).await;
    assert_eq!(house.echoes().await, [], "a reminder at 3 min would have come");
    house.later(4).await;
    assert_eq!(house.echoes().await.len(), 1, "reminded at 8 min");
    house.later(4).await;
    assert_eq!(house.asked_people(asked).await, ["boss"]);
    house.later(2).await;
    assert_eq!(house.asked_people(asked).await, ["boss", "lin"], "at 13 min instead of 8");
    // It ends when it would have ended.
    house.shift(TimeDelta::minutes(16));
    house.expire().await;
    assert_eq!(house.run(asked.run).await.state.name(), "expired");
    assert!(house.say("boss", &format!("looking {}", asked.code)).await.contains("expired at"));
    // Somebody who is asked may ask anew by their own right, and cannot agree to that themselves.
    let anew = house.ask("boss", "mark it again").await;
    assert_ne!(anew.run, asked.run);
    assert_eq!(house.asked_people(anew).await, [""; 0]);
    house.is_sound().await;
}

// ---- rings ----

type Heard = Arc<Mutex<Vec<(HeaderMap, String)>>>;

struct Phone {
    url: String,
    heard: Heard,
    /// What it answers next; 200 when there is nothing.
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Phone {
    async fn new() -> Self {
        let (heard, answers) = (Heard::default(), Arc::new(Mutex::new(Vec::new())));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/ring", listener.local_addr().expect("an address"));
        let take = |State((heard, answers)): State<(Heard, Arc<Mutex<Vec<u16>>>)>, headers: HeaderMap, body: String| async move {
            heard.lock().expect("no panic before").push((headers, body));
            let answer = answers.lock().expect("no panic before").pop().unwrap_or(200);
            StatusCode::from_u16(answer).expect("a status")
        };
        let app = Router::new().route("/ring", post(take)).with_state((heard.clone(), answers.clone()));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, heard, answers }
    }

    fn ringer(&self) -> Ringer {
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        Ringer::new(&self.url, "the ring's secret".to_owned()).expect("a ringer")
    }

    fn heard(&self) -> Vec<(HeaderMap, String)> {
        self.heard.lock().expect("no panic before").clone()
    }
}

fn header(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Works until no ring waits to be tried now.
async fn rung(house: &House, phone: &Phone) {
    let waking = house.waking(Some(phone.ringer()));
    until("nothing is to be done now", async || {
        let due = house.store().list_to_wake(1).await.expect("requests").len();
        let now = house.store().clock().now().to_rfc3339();
        let rings = house.count(&format!("ring where state = 'waiting' and next_try_at <= '{now}'")).await;
        let unseen = house.count("ring where state = 'waiting' and tries > 0 and why is null").await;
        (due == 0 && rings == 0 && unseen == 0).then_some(())
    })
    .await;
    waking.stop().await;
    house.tell().await;
}

#[tokio::test]
async fn whoever_could_answer_is_rung_with_a_signed_call_that_says_who_and_what() {
    let (house, phone) = (House::with(&[("one.yaml", STAGED)]).await, Phone::new().await);
    let asked = house.ask("mei", "mark it").await;
    house.shift(TimeDelta::minutes(5));
    rung(&house, &phone).await;
    let (headers, body) = phone.heard().pop().expect("a call");
    let call: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(call["people"], serde_json::json!(["boss"]));
    assert_eq!(call["code"], asked.code.to_string());
    let (deed, key) = (call["deed"].as_str().expect("a deed"), call["key"].as_str().expect("a key"));
    assert!(deed.contains("mark it"), "{deed}");
    assert_eq!(header(&headers, "idempotency-key"), key);
    let mut mac = Hmac::<Sha256>::new_from_slice(b"the ring's secret").expect("a key");
    mac.update(format!("v1:{}:{body}", header(&headers, "x-countersign-timestamp")).as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(header(&headers, "x-countersign-signature"), format!("v1={hex}"));
    assert_eq!(house.count("event where kind = 'request_rung'").await, 1);
    // Whoever is asked later is rung when they are.
    house.shift(TimeDelta::minutes(3));
    rung(&house, &phone).await;
    let (_, body) = phone.heard().pop().expect("a call");
    let call: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((phone.heard().len(), &call["people"]), (2, &serde_json::json!(["lin"])));
    house.is_sound().await;
}

#[tokio::test]
async fn a_ring_is_tried_again_as_the_same_one_and_given_up_aloud() {
    let (house, phone) = (House::new().await, Phone::new().await);
    let asked = house.ask("mei", "mark it").await;
    *phone.answers.lock().expect("no panic before") = vec![503; 9];
    house.shift(TimeDelta::minutes(5));
    for (tries, pause) in [(1, 16), (2, 31), (3, 61), (4, 121), (5, 1)] {
        rung(&house, &phone).await;
        assert_eq!(phone.heard().len(), tries);
        house.shift(TimeDelta::seconds(pause));
    }
    let keys: std::collections::BTreeSet<String> =
        phone.heard().iter().take(5).map(|(headers, _)| header(headers, "idempotency-key")).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let said = house.echoes().await;
    let (text, _) = said.iter().find(|(text, _)| text.contains("could not ring")).expect("it is said");
    let expected = "CODE: I could not ring ann, boss, kim and lin in 5 tries: the webhook answered 503. Somebody who sees this, call them.";
    assert_eq!(plain(text, asked), expected);
    assert_eq!(house.count("ring where request = 1 and state = 'failed'").await, 1);
    house.is_sound().await;
}

/// One that nobody waits for any more is not made.
#[tokio::test]
async fn nobody_is_rung_for_what_is_decided() {
    let (house, phone) = (House::with(&[("one.yaml", STAGED)]).await, Phone::new().await);
    let asked = house.ask("mei", "mark it").await;
    *phone.answers.lock().expect("no panic before") = vec![500];
    house.shift(TimeDelta::minutes(5));
    rung(&house, &phone).await;
    house.say("boss", &format!("deny {}", asked.code)).await;
    house.shift(TimeDelta::minutes(2));
    rung(&house, &phone).await;
    assert_eq!((phone.heard().len(), house.count("ring where state = 'dropped'").await), (1, 1));
}

// ---- later stages ----

/// A manager agrees, then whoever is on call; or what `stages` says.
async fn then_on_call(who: &str, policy: &str) -> House {
    let rest = format!("    overrides: [{{person: {who}, from: 2000-01-01 09:00, until: 2099-12-28 09:00}}]\n");
    House::with(&[("rotas.yaml", &rota(&rest)), ("watchers.yaml", policy), ("wake-them.yaml", RUNBOOK)]).await
}

const THEN_ON_CALL: &str = "policy: watchers\ntitle: A manager agrees, then whoever watches\nstages:\n  \
    - {approvers: [group:managers], quorum: 1}\n  - {approvers: [rota:watch], quorum: 1}\nexpires: 30m\nvalid_for: 1h\n";

async fn asked_in(house: &House, asked: Asked, stage: u32) -> Vec<String> {
    let request = asked.request;
    house
        .texts(format!("select person from asked where request = {request} and stage = {stage} order by at, person"))
        .await
}

#[tokio::test]
async fn whoever_agreed_before_is_passed_over_although_they_are_on_call() {
    let house = then_on_call("boss", THEN_ON_CALL).await;
    let order = house.order();
    let asked = house.ask("mei", "wake them").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(asked_in(&house, asked, 1).await, order[1..2], "it is not boss's turn: {order:?}");
    house.tell().await;
    let (text, pings) = house.echoes().await.pop().expect("the next stage is told");
    let text = plain(&text, asked).replace(&order[1], "NEXT");
    assert!(text.starts_with("CODE: stage 1 of 2 agreed (boss). NEXT: `approve CODE`"), "{text}");
    assert_eq!(pings, order[1..2]);
    // Nobody is asked because of a shift that helps nobody; the next of the rota is asked in their turn.
    house.later(2).await;
    assert_eq!(asked_in(&house, asked, 1).await, order[1..2]);
    house.later(7).await;
    assert_eq!(asked_in(&house, asked, 1).await, order[1..3]);
    house.say(&order[2], &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state.name(), "approved");
    house.is_sound().await;
}

#[tokio::test]
async fn whoever_asks_and_whoever_agreed_are_both_passed_over() {
    let house = then_on_call("lin", THEN_ON_CALL).await;
    let order = house.order();
    let asked = house.ask("lin", "wake them").await;
    house.say(&order[1], &format!("approve {}", asked.code)).await;
    assert_eq!(asked_in(&house, asked, 1).await, order[2..3], "{order:?}");
    house.say(&order[2], &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state.name(), "approved");
    house.is_sound().await;
}

/// An answer that was taken back is no longer spent, and who has used theirs in the stage before is passed over all the same.
#[tokio::test]
async fn whose_turn_it_is_is_looked_for_again_when_an_answer_is_taken_back() {
    let house = then_on_call("boss", THEN_ON_CALL).await;
    let order = house.order();
    let asked = house.ask("mei", "wake them").await;
    let approve = format!("approve {}", asked.code);
    house.say("boss", &approve).await;
    // order[1] is asked now; they agree to the first stage instead, which waits again.
    house.say("boss", &format!("withdraw {}", asked.code)).await;
    house.say(&order[1], &approve).await;
    house.later(2).await;
    assert_eq!(asked_in(&house, asked, 1).await, [order[1].clone(), "boss".to_owned()]);
    house.say("boss", &approve).await;
    assert_eq!(house.run(asked.run).await.state.name(), "approved");
    house.is_sound().await;
}

#[tokio::test]
async fn where_one_person_may_agree_twice_the_room_reads_whose_answer_is_wanted() {
    let relaxed = "policy: watchers\ntitle: Twice the same\nstages:\n  - {approvers: [person:boss], quorum: 1}\n  \
        - {approvers: [person:boss, rota:watch], quorum: 1}\nexpires: 30m\nvalid_for: 1h\n\
        relax: [one_person_several_stages]\n";
    let house = then_on_call("boss", relaxed).await;
    let asked = house.ask("mei", "wake them").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    house.tell().await;
    let (text, pings) = house.echoes().await.pop().expect("the next stage is told");
    let text = plain(&text, asked);
    assert!(text.starts_with("CODE: stage 1 of 2 agreed (boss). boss: `approve CODE`"), "{text}");
    assert!(!pings.is_empty() && pings.iter().all(|account| account.starts_with("boss")), "{pings:?}");
    house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state.name(), "approved");
}

#[tokio::test]
async fn whoever_is_asked_in_the_next_stage_is_named_once_and_for_whom() {
    let policy = "policy: watchers\ntitle: Boss, then kim\nstages:\n  - {approvers: [person:boss], quorum: 1}\n  \
        - {approvers: [person:boss, person:kim], quorum: 1}\nexpires: 30m\nvalid_for: 1h\n";
    let house = then_on_call("boss", policy).await;
    house.say("kim", "delegate to vic for 2 hours").await;
    let asked = house.ask("mei", "wake them").await;
    house.say("kim", &format!("deny {}", asked.code)).await;
    house.say("boss", &format!("deny {} because not at noon", asked.code)).await;
    // boss is needed in particular now, and is asked by the stage as well.
    let asked = house.ask("mei", "wake them").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    house.tell().await;
    let (text, pings) = house.echoes().await.pop().expect("the next stage is told");
    let text = plain(&text, asked);
    assert!(text.starts_with("CODE: stage 1 of 2 agreed (boss). kim or vic (for kim): `approve CODE`"), "{text}");
    assert_eq!(pings, ["kim", "kim2", "vic"]);
    house.say("vic", &format!("approve {}", asked.code)).await;
    house.tell().await;
    let receipt = house.said().await.into_iter().find(|text| text.contains("approved wake them")).expect("a receipt");
    assert!(receipt.starts_with("boss and vic (for kim) approved wake them"), "{receipt}");
    house.is_sound().await;
}

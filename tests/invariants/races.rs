//! Hundreds of people decide the same request at once, against each other and against whatever else may end it: exactly one
//! outcome, every line answered, no error of the database at the surface, and the ledger is sound afterwards.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::TimeDelta;
use countersign::approval::{self, End, Ending};
use countersign::chat::{Inbound as _, ReceiveError};
use countersign::ledger::{segregation, sequencer, verify};
use countersign::model::chat::Incoming;
use countersign::model::id::InboxId;
use futures_util::future::join_all;

use super::house::{Asked, House};
use super::support::until;

/// How many people there are to decide.
const PEOPLE: usize = 300;
/// How many have to agree.
const QUORUM: usize = 3;

fn name(number: usize) -> String {
    format!("p{number:03}")
}

async fn crowd() -> House {
    let mut people = "people:\n".to_owned();
    for name in ["mei", "ann", "boss", "lin", "kim", "vic"].map(str::to_owned).into_iter().chain((0..PEOPLE).map(name))
    {
        writeln!(people, "  {name}: {{accounts: ['local:trial:{name}']}}").expect("a string");
    }
    let crowd = (0..PEOPLE).map(name).collect::<Vec<_>>().join(", ");
    write!(
        people,
        "groups:\n  support: [mei, ann]\n  managers: [ann, boss, lin, kim]\n  leads: [kim]\n  crowd: [{crowd}]\n"
    )
    .expect("a string");
    let policy = format!(
        "policy: crowd\ntitle: Three of many agree\nstages: [{{approvers: [group:crowd], quorum: {QUORUM}}}]\n\
         expires: 10m\nvalid_for: 1h\n"
    );
    let runbook = "runbook: crowded\ntitle: Crowded\nsay: ['crowded {words}']\nsystem: shop\napproval: crowd\n\
                   params: {words: {type: text, max_length: 60}}\n\
                   steps: [{name: Note, run: {command: [./note.sh, SIDE/done, '{{ words }}']}}]\n";
    House::with(&[("people.yaml", &people), ("crowd.yaml", &policy), ("crowded.yaml", runbook)]).await
}

/// Delivers a line as a platform does: again, under its own name, until it is taken.
async fn deliver(house: &House, line: Incoming) -> InboxId {
    for _ in 0..20 {
        match house.app.receive(line.clone()).await {
            Ok(received) => return received.line,
            // Not taken in time: whoever delivers tries again. Nothing else may come to the surface.
            Err(ReceiveError(error)) => {
                let why = format!("{error:#}");
                assert!(why.contains("pool timed out"), "{why}");
            }
        }
    }
    panic!("not received in 20 deliveries");
}

/// All of it at once; every line is answered: at once, or by what the room is told of its effect.
async fn all_at_once(house: &House, lines: Vec<(String, String)>) {
    let lines: Vec<Incoming> = lines.iter().map(|(who, text)| house.line(who, text)).collect();
    let received = join_all(lines.into_iter().map(|line| deliver(house, line))).await;
    house.tell().await;
    let numbers: Vec<String> = received.iter().map(ToString::to_string).collect();
    let silent = format!(
        "inbox i where id in ({}) and not exists
            (select from outbox o where o.cause = i.id or o.origin = 'line:' || i.id)",
        numbers.join(", ")
    );
    assert_eq!(house.count(&silent).await, 0, "every line is answered");
}

/// The one way in which it ended, and that everything fits.
async fn outcome(house: &House, asked: Asked) -> String {
    let state = house.texts(format!("select state from request where id = {}", asked.request)).await.remove(0);
    let ends = house
        .texts(format!(
            "select kind from event where run = {} and kind in ('request_granted', 'request_denied', 'request_expired',
                'request_withdrawn', 'request_sent_back', 'request_superseded')",
            asked.run
        ))
        .await;
    assert_eq!(ends.len(), 1, "{ends:?}");
    let granted = house.count(&format!("run_grant where request = {}", asked.request)).await;
    assert_eq!(granted, i64::from(ends == ["request_granted"]), "{ends:?}");
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
    let listed = segregation(house.store(), None, None).await.expect("it can be read");
    assert_eq!(listed.violations(), 0, "{listed}");
    state
}

fn approvals(asked: Asked, of: impl Iterator<Item = usize>) -> Vec<(String, String)> {
    of.map(|number| (name(number), format!("approve {}", asked.code))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_of_three_hundred_who_approve_at_once_three_count_and_one_grant_comes_of_it() {
    let house = crowd().await;
    let asked = house.ask("mei", "crowded all").await;
    all_at_once(&house, approvals(asked, 0..PEOPLE)).await;
    assert_eq!(outcome(&house, asked).await, "granted");
    assert_eq!(house.count(&format!("decision where request = {}", asked.request)).await, QUORUM as i64);
    let by = house
        .texts(
            "select convert_from(body, 'UTF8') from event_body b join event e on e.id = b.event where kind = 'decided'"
                .to_owned(),
        )
        .await;
    assert_eq!(by.len(), QUORUM, "an answer that changes nothing is no decision");
    let engine = house.engine();
    house.settled(asked.run).await;
    engine.stop().await;
    assert_eq!(house.done(), ["all"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn i7_one_person_who_says_it_a_hundred_times_at_once_counts_once() {
    let house = crowd().await;
    let asked = house.ask("mei", "crowded once").await;
    let lines = (0..100).map(|_| (name(7), format!("approve {}", asked.code))).collect();
    all_at_once(&house, lines).await;
    assert_eq!(house.count(&format!("decision where request = {}", asked.request)).await, 1);
    assert_eq!(house.count("run_grant").await, 0);
    let state = house.texts(format!("select state from request where id = {}", asked.request)).await.remove(0);
    assert_eq!(state, "pending");
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_approvals_and_denials_at_once_come_to_one_outcome() {
    let house = crowd().await;
    for round in 0..4 {
        let asked = house.ask("mei", &format!("crowded r{round}")).await;
        let mut lines: Vec<_> = (0..PEOPLE / 2)
            .map(|number| {
                let deny = number % 50 == 49;
                let word =
                    if deny { format!("deny {} because no", asked.code) } else { format!("approve {}", asked.code) };
                (name(number), word)
            })
            .collect();
        // Different ones are first each time.
        let half = lines.len() / 4 * round;
        lines.rotate_left(half);
        all_at_once(&house, lines).await;
        let state = outcome(&house, asked).await;
        assert!(["granted", "denied"].contains(&state.as_str()), "{state}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_withdrawing_stopping_and_revoking_against_approvals_come_to_one_outcome() {
    let house = crowd().await;
    let engine = house.engine();
    for round in 0..6 {
        let asked = house.ask("mei", &format!("crowded w{round}")).await;
        let mut lines = approvals(asked, 0..40);
        let against = [
            ("mei".to_owned(), format!("withdraw {}", asked.code)),
            ("mei".to_owned(), format!("stop run {}", asked.run)),
            (name(41), format!("revoke {}", asked.code)),
            (name(42), format!("deny {} because no", asked.code)),
            (name(0), format!("withdraw {}", asked.code)),
        ];
        for (number, line) in against.into_iter().enumerate() {
            lines.insert((number * 7 + round * 3) % lines.len(), line);
        }
        all_at_once(&house, lines).await;
        until("the run is over", async || house.run(asked.run).await.state.is_over().then_some(())).await;
        outcome(&house, asked).await;
    }
    engine.stop().await;
    // Whatever was taken away before it began did not run.
    let ran = house.count("attempt").await;
    assert_eq!(house.done().len() as i64, ran);
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_expiry_against_approvals_comes_to_one_outcome() {
    let house = crowd().await;
    for round in 0..4 {
        let asked = house.ask("mei", &format!("crowded e{round}")).await;
        house.shift(TimeDelta::minutes(10) - TimeDelta::milliseconds(60 * round + 20));
        let expiring = until("it is over", async || {
            let mut tx = house.store().begin().await.expect("a transaction");
            let end = End { request: asked.request, ending: Ending::Expired, line: None };
            approval::end(&mut tx, end).await.expect("no error of the database");
            tx.commit().await.expect("it commits");
            let pending = house.count(&format!("request where id = {} and state = 'pending'", asked.request)).await;
            (pending == 0).then_some(())
        });
        let deciding = all_at_once(&house, approvals(asked, 0..100));
        let _ended = tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(expiring, deciding) })
            .await
            .expect("both end");
        let state = outcome(&house, asked).await;
        assert!(["granted", "expired"].contains(&state.as_str()), "{state}");
    }
}

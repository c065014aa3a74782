//! What passkeys prove later on: to `audit verify`, and of people who left.

use countersign::ledger::{chain, verify};
use countersign::model::id::{Digest, Position, RunId};
use countersign::store::ChainHead;
use reqwest::StatusCode;

use super::support::authenticator::form;
use super::support::bot::plain;
use super::support::passkeys::{World, catalog, policy};
use super::support::{TestDb, until};

/// Gives every place the hash that follows, as whoever can write the database can.
async fn rewrite(db: &TestDb) {
    db.tamper("update event e set commitment = sha256(b.salt || b.body) from event_body b where b.event = e.id").await;
    let mut head = ChainHead { position: Position(0), hash: Digest([0; 32]) };
    for row in db.store.list_chained(Position(0), 10_000).await.expect("the chain can be read") {
        head = chain::link(head, &row);
        db.tamper(&format!("update chain set hash = '\\x{}' where position = {}", head.hash, head.position)).await;
    }
}

#[tokio::test]
async fn i11_an_answer_that_no_passkey_has_signed_is_found() {
    let (world, [mut boss]) = World::with(catalog(1), ["boss"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let (status, page) = world.post(&link, &boss.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    world.bot.until_run(run.run(), "succeeded").await;
    world.bot.rest().await;
    world.bot.quiet().await;
    let db = world.bot.db();
    rewrite(db).await;
    assert!(verify(&db.store, &[]).await.expect("verified").is_sound(), "what is honest stays sound");
    db.tamper("create table kept_event as table event; create table kept_body as table event_body").await;
    let change = |change: &str| {
        format!(
            "update event_body set body = (select convert_to({change}, 'UTF8') from (select convert_from(body, 'UTF8') as x) t) \
             where event in (select id from event where kind = 'passkey_used')"
        )
    };
    let dropped = "update event_body set body = convert_to('{\"what\":{\"kind\":\"clock_jumped\",\"millis\":1}}', 'UTF8') \
                   where event in (select id from event where kind = 'passkey_used'); \
                   update event set kind = 'clock_jumped' where kind = 'passkey_used'";
    let mut found = String::new();
    for (what, sql) in [
        ("dropped", dropped.to_owned()),
        ("another answer", change("replace(x, '\"answer\":\"approve\"', '\"answer\":\"deny\"')")),
        ("another's", change("replace(x, '\"person\":\"boss\"', '\"person\":\"lin\"')")),
        ("another page", change("regexp_replace(x, '\"link\":\"..', '\"link\":\"00')")),
        ("another signature", change("regexp_replace(x, '\"signature\":\"M(.{20})', '\"signature\":\"M\\1AAAA')")),
        ("a key that was removed", "update event_body set body = convert_to('{\"what\":{\"kind\":\"passkey_removed\",\"passkey\":1,\"person\":\"boss\"}}', 'UTF8') where event = (select min(id) from event where kind = 'line_said'); update event set kind = 'passkey_removed' where id = (select min(id) from event where kind = 'line_said')".to_owned()),
    ] {
        db.tamper(&sql).await;
        rewrite(db).await;
        let report = verify(&db.store, &[]).await.expect("it can be verified");
        let text: Vec<String> = report.findings.iter().map(ToString::to_string).filter(|text| text.contains("A passkey was used")).collect();
        assert!(!text.is_empty(), "{what}: {report}");
        for line in text {
            found.push_str(&format!("{what}: {}\n", plain(&line)));
        }
        db.tamper("update event e set kind = k.kind, commitment = k.commitment from kept_event k where k.id = e.id; update event_body b set body = k.body from kept_body k where k.event = b.event").await;
        rewrite(db).await;
    }
    db.tamper("drop table kept_event; drop table kept_body").await;
    insta::assert_snapshot!(found, @"
    dropped: A passkey was used for request/1 at position 14 (event 14), and that does not hold: boss is said to have used a passkey to approve it, and signed nothing of the kind.
    another answer: A passkey was used for request/1 at position 13 (event 13), and that does not hold: boss is said to have signed it with passkey/1: the passkey has signed another question than this one.
    another answer: A passkey was used for request/1 at position 14 (event 14), and that does not hold: boss is said to have used a passkey to approve it, and signed nothing of the kind.
    another's: A passkey was used for request/1 at position 13 (event 13), and that does not hold: passkey/1 signed for lin, and is boss's.
    another's: A passkey was used for request/1 at position 14 (event 14), and that does not hold: boss is said to have used a passkey to approve it, and signed nothing of the kind.
    another page: A passkey was used for request/1 at position 13 (event 13), and that does not hold: boss is said to have signed it with passkey/1: the passkey has signed another question than this one.
    another page: A passkey was used for request/1 at position 14 (event 14), and that does not hold: boss is said to have used a passkey to approve it, and signed nothing of the kind.
    another signature: A passkey was used for request/1 at position 13 (event 13), and that does not hold: boss is said to have signed it with passkey/1: the signature is not this passkey's.
    another signature: A passkey was used for request/1 at position 14 (event 14), and that does not hold: boss is said to have used a passkey to approve it, and signed nothing of the kind.
    a key that was removed: A passkey was used for request/1 at position 13 (event 13), and that does not hold: passkey/1 signed after it was removed.
    a key that was removed: A passkey was used for request/1 at position 14 (event 14), and that does not hold: boss is said to have used a passkey to approve it, and signed nothing of the kind.
    ");
    world.bot.finish().await;
}

#[tokio::test]
async fn the_passkey_of_who_left_is_not_that_of_who_has_the_name_later() {
    let (world, [mut lin]) = World::with(catalog(1), ["lin"]).await;
    world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("lin", "approved").await;
    let page = world.page(&link).await;
    let file = world.bot.catalog("people.yaml");
    let people = std::fs::read_to_string(&file).expect("a file");
    let without = people
        .lines()
        .filter(|line| !line.starts_with("  lin:"))
        .collect::<Vec<_>>()
        .join("\n")
        .replace("managers: [boss, lin]", "managers: [boss]");
    std::fs::write(&file, without + "\n").expect("a file");
    until("the passkey is removed", async || (world.events("passkey_removed").await.len() == 1).then_some(())).await;
    assert_eq!(world.events("passkey_removed").await[0]["what"]["because"], "left");
    std::fs::write(&file, people).expect("a file");
    until("the catalog is loaded", async || (world.events("catalog_loaded").await.len() == 3).then_some(())).await;
    let (status, page) = world.post(&link, &lin.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{page}");
    let said = world.bot.say("lin", "approved").await.refused().text();
    assert!(said.contains("you have none"), "{said}");
    assert_eq!(world.events("decided").await.len(), 0);
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

#[tokio::test]
async fn i13_what_was_agreed_to_with_a_passkey_that_is_removed_counts_no_longer() {
    let (world, [mut boss, mut lin]) = World::with(catalog(2), ["boss", "lin"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let (status, page) = world.post(&link, &boss.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert_eq!(world.operator(&["remove", "1"]).await, (true, "Passkey 1 is removed.".to_owned()));
    assert_eq!(world.events("decision_taken_back").await.len(), 1);
    let told = world.bot.hear("counts no longer").await;
    insta::assert_snapshot!(plain(&told.text), @"boss's approval of CODE counts no longer: passkey 1, by which it was given, was removed. CODE still waits.");
    let (link, _) = world.sent("lin", "approved").await;
    let page = world.page(&link).await;
    let (status, page) = world.post(&link, &lin.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    assert!(page.contains("1 of 2"), "{page}");
    world.bot.until_run(run.run(), "awaiting_approval").await;
    // Another passkey of boss's answers anew.
    let mut boss = world.enrol("boss").await;
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let (status, page) = world.post(&link, &boss.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    world.bot.until_run(run.run(), "succeeded").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

/// An approval for several runs, given with a passkey that was stolen: once that is removed it covers no further run.
#[tokio::test]
async fn i13_what_a_removed_passkey_agreed_to_covers_no_further_run() {
    let often = format!("{}repeat: {{runs: 3, within: 4h}}\n", policy(1));
    let (world, [mut boss]) = World::with(catalog(1).file("managers.yaml", &often), ["boss"]).await;
    let run = world.bot.say("mei", "roll out").await.waiting();
    let (link, _) = world.sent("boss", "approved").await;
    let page = world.page(&link).await;
    let (status, page) = world.post(&link, &boss.sign(form(&page, "value=\"approve\""), "approve")).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    world.bot.until_run(run.run(), "succeeded").await;
    let covered = world.bot.say("mei", "roll out").await.done();
    assert!(covered.text().contains("run 2 of 3"), "{}", covered.text());
    world.bot.until_run(RunId(2), "succeeded").await;
    assert_eq!(world.operator(&["remove", "1"]).await, (true, "Passkey 1 is removed.".to_owned()));
    let again = world.bot.say("mei", "roll out").await.waiting();
    world.bot.until_run(again.run(), "awaiting_approval").await;
    world.bot.say("mei", "withdraw").await;
    world.bot.rest().await;
    world.bot.finish().await;
}

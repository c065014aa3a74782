//! What one writer of the catalog's files cannot bring about alone, outside the trial: over files, and over the real store.

use std::collections::BTreeSet;

use countersign::approval::{Because, Settled, Waits, accept, settle};
use countersign::engine::plan::{PlanFor, plan};
use countersign::ledger;
use countersign::model::access::{Access, in_force};
use countersign::model::catalog::Catalog;
use countersign::model::id::{PersonId, RunbookName};
use countersign::store::AccessRow;

use super::house::House;

const DISK: &str = "runbook: disk-usage
title: How full the disks are
say: ['how full']
system: shop
steps: [{name: Look, run: {command: [./full.sh, SIDE/done, looked]}, read_only: true}]
";

const NIGHT: &str = "policy: night
title: At night
when: {outside: [{from: '09:00', until: '18:00', zone: UTC}]}
stages: [{approvers: [group:managers], quorum: 1}]
expires: 10m
valid_for: 1h
";

const OWNERS: &str = "access:
  countersigned_by: [person:boss, person:lin, person:vic]
  room: shop
";

async fn house(more: &[(&str, &str)]) -> House {
    let house = House::with(&[&[("access.yaml", OWNERS)], more].concat()).await;
    let begun = read(&house, &[]).await;
    assert!(matches!(begun.waits, Waits::Nothing), "{:?}", begun.waits);
    house
}

/// Reads the files and compares them with what is in force.
async fn read(house: &House, authors: &[&str]) -> Settled {
    let authors = authors.iter().map(|name| PersonId::new(*name)).collect();
    settle(house.store(), &Access::of(&house.load().catalog), &authors, Because::Read).await.expect("settled")
}

fn waiting(settled: Settled) -> AccessRow {
    match settled.waits {
        Waits::Proposed(row) => row,
        Waits::Nothing | Waits::Refused(_) => panic!("it waits: {:?}", settled.waits),
    }
}

/// What is used of the files while something waits.
fn used(house: &House, settled: &Settled) -> Catalog {
    let mut catalog = house.load().catalog;
    in_force(&settled.in_force.access, &Access::of(&catalog)).narrow(&mut catalog);
    catalog
}

fn edit(house: &House, name: &str, from: &str, to: &str) {
    let path = house.catalog_folder().join(name);
    let text = std::fs::read_to_string(&path).expect("a file");
    assert!(text.contains(from), "{name} holds `{from}`: {text}");
    house.write(name, &text.replacen(from, to, 1));
}

async fn nothing_is_found(house: &House) {
    house.tell().await;
    let report = ledger::verify(house.store(), &[]).await.expect("verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[tokio::test]
async fn i1_what_acts_on_its_word_waits_when_it_does_something_else() {
    let house = house(&[("disk-usage.yaml", DISK), ("full.sh", "#!/bin/sh\ndf -h\n")]).await;
    let disk = RunbookName::new("disk-usage");
    assert!(used(&house, &read(&house, &[]).await).runbooks.contains_key(&disk));
    for (name, from, to) in [
        ("disk-usage.yaml", "looked]", "stopped]"),
        ("full.sh", "df -h", "supervisorctl stop payments"),
        ("disk-usage.yaml", "name: Look", "name: Stop"),
    ] {
        let before = std::fs::read_to_string(house.catalog_folder().join(name)).expect("a file");
        let fingerprint = house.load().fingerprint;
        edit(&house, name, from, to);
        assert_ne!(house.load().fingerprint, fingerprint, "{name}: it is read anew");
        let settled = read(&house, &[]).await;
        assert!(!used(&house, &settled).runbooks.contains_key(&disk), "{name}: nobody starts what nobody has seen");
        let row = waiting(settled);
        house.write(name, &before);
        let back = read(&house, &[]).await;
        assert!(matches!(back.waits, Waits::Nothing), "what was countersigned is back");
        assert!(used(&house, &back).runbooks.contains_key(&disk));
        assert!(row.code.is_some());
    }
    // Countersigned, it does the other thing.
    edit(&house, "full.sh", "df -h", "df -i");
    let code = waiting(read(&house, &[]).await).code.expect("it waits");
    accept(house.store(), code, "root", "seen").await.expect("accepted");
    let settled = read(&house, &[]).await;
    assert!(matches!(settled.waits, Waits::Nothing), "{:?}", settled.waits);
    let catalog = used(&house, &settled);
    let asked = PlanFor::at(chrono::DateTime::UNIX_EPOCH);
    plan(&catalog, &catalog.runbooks[&disk], &Default::default(), asked, &house.app.world).expect("a plan");
    // A script that changed after the catalog was read: nobody has compared it.
    edit(&house, "full.sh", "df -i", "supervisorctl stop payments");
    let refused = plan(&catalog, &catalog.runbooks[&disk], &Default::default(), asked, &house.app.world);
    assert_eq!(
        refused.expect_err("nobody has seen it").to_string(),
        "the script `./full.sh` changed since the catalog was read, and nobody would be asked: say it again in a moment"
    );
    nothing_is_found(&house).await;
}

#[tokio::test]
async fn i7_naming_policies_to_replace_is_countersigned() {
    let house = house(&[("night.yaml", NIGHT)]).await;
    edit(&house, "night.yaml", "title: At night", "title: At night\nreplaces: [one]");
    let row = waiting(read(&house, &[]).await);
    edit(&house, "night.yaml", "\nreplaces: [one]", "");
    assert!(matches!(read(&house, &[]).await.waits, Waits::Nothing));
    edit(&house, "night.yaml", "title: At night", "title: At night\nreplaces: [one]");
    let again = waiting(read(&house, &[]).await);
    assert_ne!(again.id, row.id);
    accept(house.store(), again.code.expect("it waits"), "root", "seen").await.expect("accepted");
    edit(&house, "night.yaml", "\nreplaces: [one]", "");
    assert!(matches!(read(&house, &[]).await.waits, Waits::Nothing), "no more of it needs nobody");
    nothing_is_found(&house).await;
}

/// Says no as somebody who may.
async fn refuse(house: &House, row: &AccessRow, by: &str) {
    use countersign::approval::{AccessAnswer, AccessOutcome, countersign};
    let line = house.receive(house.line(by, "no")).await.expect("received").line;
    let mut tx = house.store().begin().await.expect("a transaction");
    let (person, account) = (PersonId::new(by), format!("local:trial:{by}").parse().expect("an account"));
    let answer = AccessAnswer {
        code: row.code.expect("it waits"),
        person: &person,
        account: &account,
        refuse: Some("not like that".to_owned()),
        line,
    };
    let outcome = countersign(&mut tx, &house.load().catalog, answer).await.expect("answered");
    assert!(matches!(outcome, AccessOutcome::Refused), "{outcome:?}");
    tx.commit().await.expect("it commits");
}

#[tokio::test]
async fn i7_whoever_was_named_for_a_change_stays_named_for_it() {
    let named = |row: &AccessRow| row.changed_by.iter().map(PersonId::as_str).collect::<Vec<_>>().join(" ");
    let fewer = |house: &House| edit(house, "two.yaml", "quorum: 2", "quorum: 1");
    let more = |house: &House| edit(house, "two.yaml", "quorum: 1", "quorum: 2");
    // Refused, and shown again.
    let house = house(&[]).await;
    fewer(&house);
    let row = waiting(read(&house, &["lin"]).await);
    refuse(&house, &row, "vic").await;
    let wanted = Access::of(&house.load().catalog);
    assert!(matches!(read(&house, &[]).await.waits, Waits::Refused(_)), "it is not shown again by itself");
    let asked = settle(house.store(), &wanted, &BTreeSet::new(), Because::Asked).await.expect("settled");
    assert_eq!(named(&waiting(asked)), "lin", "the same again");
    // Put back, and written again.
    more(&house);
    assert!(matches!(read(&house, &[]).await.waits, Waits::Nothing));
    fewer(&house);
    assert_eq!(named(&waiting(read(&house, &["mei"]).await)), "lin mei");
    // In other words.
    edit(&house, "two.yaml", "title: Two agree", "title: Two or one agree");
    assert_eq!(named(&waiting(read(&house, &[]).await)), "lin mei");
    // With something taken away beside it.
    edit(&house, "people.yaml", "  support: [mei, ann]", "  support: [mei]");
    let row = waiting(read(&house, &[]).await);
    assert_eq!(named(&row), "lin mei");
    // Over what holds from then on it is another change.
    accept(house.store(), row.code.expect("it waits"), "root", "seen").await.expect("accepted");
    edit(&house, "people.yaml", "  leads: [kim]", "  leads: [kim, boss]");
    assert_eq!(named(&waiting(read(&house, &["boss"]).await)), "boss");
    nothing_is_found(&house).await;
}

//! What runs without anybody's agreement is what a second person saw: steps, scripts and triggers, outside the trial.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use countersign::approval::{Because, Waits, settle};
use countersign::engine::plan::{PlanFor, plan};
use countersign::ledger;
use countersign::model::access::{Access, in_force};
use countersign::model::catalog::Catalog;
use countersign::model::chat::Account;
use countersign::model::event::{Happened, NewEvent, Record, Scope};
use countersign::model::id::{PersonId, PolicyName, RunbookName, TriggerName};
use countersign::text;

use super::house::House;

const PEOPLE: &str = "people:
  mei: {accounts: ['local:trial:mei']}
  ann: {accounts: ['local:trial:ann']}
  boss: {accounts: ['local:trial:boss']}
  lin: {accounts: ['local:trial:lin']}
  kim: {accounts: ['local:trial:kim']}
  vic: {accounts: ['local:trial:vic']}
groups:
  support: [mei, ann]
  managers: [ann, boss, lin, kim]
  leads: [kim]
access:
  countersigned_by: [person:boss, person:lin]
  room: shop
";

const SYSTEM: &str = "system: shop
title: The shop
environment: production
room: shop
may_run: [group:support, group:managers]
may_see: [person:vic]
may_unstick: [group:managers]
services:
  web: {title: Web, checks: {running: {command: ['true'], every: 30s}}}
";

const POLICY: &str = "policy: one
title: A manager agrees
stages: [{approvers: [group:managers], quorum: 1}]
expires: 10m
valid_for: 1h
automatic: [{trigger: web-down, runbook: mark-it, at_most: {runs: 3, per: 1h}}]
unasked: [{runbook: both-notes, by: [person:mei], at_most: {runs: 2, per: 1h}}]
";

const TRIGGER: &str =
    "trigger: web-down\nowner: mei\non: {check: 'shop/web/running', becomes: critical}\nrun: mark-it\nmode: auto\n";

async fn house() -> House {
    let files = [("people.yaml", PEOPLE), ("shop.yaml", SYSTEM), ("one.yaml", POLICY), ("web-down.yaml", TRIGGER)];
    House::with(&files).await
}

/// What starts without agreement in a catalog, of which only that stands which was countersigned.
fn unagreed(read: &Catalog, approved: &Access) -> String {
    let mut catalog = read.clone();
    in_force(approved, &Access::of(read)).narrow(&mut catalog);
    let policy = &catalog.policies[&PolicyName::new("one")];
    let triggers = policy.automatic.iter().map(|rule| rule.trigger.to_string());
    triggers.chain(policy.unasked.iter().map(|(runbook, _)| runbook.to_string())).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn i1_changed_content_starts_nothing_by_itself_until_countersigned() {
    let house = house().await;
    let read = |house: &House| house.load().catalog;
    let nobody = BTreeSet::new();
    let settled = settle(house.store(), &Access::of(&read(&house)), &nobody, Because::Read).await.expect("settled");
    let approved = settled.in_force.access;
    assert_eq!(unagreed(&read(&house), &approved), "web-down both-notes");
    let file = |name: &str| std::fs::read_to_string(house.catalog_folder().join(name)).expect("a file");
    // Each change alone, as somebody would make it who can write files and not ask for a plan.
    for (name, from, to, left) in [
        ("mark-it.yaml", ", one]", ", two]", "both-notes"),
        ("both-notes.yaml", "name: Two", "name: Too", "web-down"),
        ("web-down.yaml", "owner: mei", "owner: ann", "both-notes"),
        ("web-down.yaml", "mode: auto", "mode: auto\nbrakes: {cooldown: 1s}", "both-notes"),
        ("note.sh", "printf", "cat /dev/null; printf", ""),
    ] {
        let before = file(name);
        assert!(before.contains(from), "{name}: {before}");
        let fingerprint = house.load().fingerprint;
        house.write(name, &before.replace(from, to));
        assert_ne!(house.load().fingerprint, fingerprint, "{name}: it is read anew");
        assert_eq!(unagreed(&read(&house), &approved), left, "{name}");
        let wanted = Access::of(&read(&house));
        let settled = settle(house.store(), &wanted, &nobody, Because::Read).await.expect("settled");
        assert_eq!(settled.in_force.access, approved, "nothing of it is in force");
        assert!(matches!(settled.waits, Waits::Proposed(_)), "{name} waits");
        // The plan that people are asked about starts nothing by itself either.
        let mut catalog = read(&house);
        in_force(&approved, &wanted).narrow(&mut catalog);
        let runbook = &catalog.runbooks[&RunbookName::new(if left == "web-down" { "both-notes" } else { "mark-it" })];
        let trigger = TriggerName::new("web-down");
        let asked = PlanFor { at: chrono::DateTime::UNIX_EPOCH, trigger: (left != "web-down").then_some(&trigger) };
        let made = plan(&catalog, runbook, &Default::default(), asked, &house.app.world).expect("a plan");
        let policy = made.policy.expect("a policy");
        assert!(policy.automatic.is_empty() && policy.unasked.is_empty(), "{name}");
        house.write(name, &before);
        assert_eq!(unagreed(&read(&house), &approved), "web-down both-notes", "what was countersigned is back");
    }
    // A script that changed after the catalog was read: the plan sees it.
    let catalog = read(&house);
    house.write("note.sh", "#!/bin/sh\necho else\n");
    let runbook = &catalog.runbooks[&RunbookName::new("mark-it")];
    let trigger = TriggerName::new("web-down");
    let asked = PlanFor { at: chrono::DateTime::UNIX_EPOCH, trigger: Some(&trigger) };
    let made = plan(&catalog, runbook, &Default::default(), asked, &house.app.world).expect("a plan");
    assert!(made.policy.expect("a policy").automatic.is_empty());
}

#[tokio::test]
async fn i7_a_runbook_that_was_taken_away_and_comes_back_weaker_waits() {
    let house = house().await;
    let nobody = BTreeSet::new();
    let runbook = RunbookName::new("agree-twice");
    let first = Access::of(&house.load().catalog);
    settle(house.store(), &first, &nobody, Because::Read).await.expect("settled");
    let mut without = first.clone();
    without.runbooks.remove(&runbook);
    for _ in 0..2 {
        let settled = settle(house.store(), &without, &nobody, Because::Read).await.expect("settled");
        assert!(matches!(settled.waits, Waits::Nothing), "taking away needs nobody, and is over: {:?}", settled.waits);
    }
    let mut again = first.clone();
    again.runbooks.get_mut(&runbook).expect("there").approval = Some(PolicyName::new("one"));
    for _ in 0..2 {
        let settled = settle(house.store(), &again, &nobody, Because::Read).await.expect("settled");
        assert!(matches!(settled.waits, Waits::Proposed(_)));
        assert_eq!(settled.in_force.access.runbooks[&runbook], first.runbooks[&runbook], "it needs what it needed");
    }
    let report = ledger::verify(house.store(), &[]).await.expect("verified");
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

#[tokio::test]
async fn i11_a_countersignature_of_somebody_who_could_not_is_found() {
    for (by, account, why) in [
        ("boss", "local:trial:boss", "boss is named among those who wrote it"),
        ("kim", "local:trial:kim", "kim was not named among those who could"),
        ("lin", "local:trial:lin", "lin gains by it"),
        ("lin", "local:trial:mei", "local:trial:mei was not an account of lin"),
    ] {
        let house = house().await;
        let first = Access::of(&house.load().catalog);
        settle(house.store(), &first, &BTreeSet::new(), Because::Read).await.expect("settled");
        // Fewer approvers of `two`: lin, who is one of them, gains.
        let two = std::fs::read_to_string(house.catalog_folder().join("two.yaml")).expect("a file");
        house.write("two.yaml", &two.replace("quorum: 2", "quorum: 1"));
        let wanted = Access::of(&house.load().catalog);
        let authors = BTreeSet::from([PersonId::new("boss")]);
        let settled = settle(house.store(), &wanted, &authors, Because::Read).await.expect("settled");
        let Waits::Proposed(row) = settled.waits else { panic!("nothing waits") };
        let report = ledger::verify(house.store(), &[]).await.expect("verified");
        assert!(report.findings.is_empty(), "{:?}", report.findings);
        let mut tx = house.store().begin().await.expect("a transaction");
        let what = Happened::AccessCountersigned {
            access: row.id,
            code: row.code.expect("it waits"),
            by: PersonId::new(by),
            account: account.parse::<Account>().expect("an account"),
            fingerprint: row.fingerprint,
            changes: Vec::new(),
            snapshot: Box::new(row.access),
        };
        tx.record(NewEvent { scope: Scope::default(), cause: None, record: Record { what, rows: Vec::new() } });
        tx.commit().await.expect("it commits");
        house.tell().await;
        let report = ledger::verify(house.store(), &[]).await.expect("verified");
        let found: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|found| found.contains(why)), "{why}: {found:#?}");
    }
}

#[tokio::test]
async fn an_operator_accepts_nothing_that_expired() {
    use countersign::approval::{Accepted, accept};
    let house = house().await;
    let first = Access::of(&house.load().catalog);
    settle(house.store(), &first, &BTreeSet::new(), Because::Read).await.expect("settled");
    let two = std::fs::read_to_string(house.catalog_folder().join("two.yaml")).expect("a file");
    house.write("two.yaml", &two.replace("quorum: 2", "quorum: 1"));
    let wanted = Access::of(&house.load().catalog);
    let code = |waits| match waits {
        Waits::Proposed(row) => row.code.expect("it waits"),
        Waits::Nothing | Waits::Refused(_) => panic!("it waits"),
    };
    let settled = settle(house.store(), &wanted, &BTreeSet::new(), Because::Read).await.expect("settled");
    let first = code(settled.waits);
    house.shift(TimeDelta::days(8));
    let late = accept(house.store(), first, "root", "nobody is left").await.expect("asked");
    assert!(matches!(late, Accepted::TooLate(Some(_))), "{late:?}");
    let settled = settle(house.store(), &wanted, &BTreeSet::new(), Because::Read).await.expect("settled");
    let anew = code(settled.waits);
    assert_ne!(anew, first, "shown anew, under another code");
    let in_time = accept(house.store(), anew, "root", "nobody is left").await.expect("asked");
    assert!(matches!(in_time, Accepted::InForce(_)), "{in_time:?}");
}

#[tokio::test]
async fn a_runbook_that_others_changed_under_an_old_name_is_told() {
    let house = house().await;
    let policy = POLICY.replace("expires: 10m", "exclude: [last_author]\nexpires: 10m");
    let text = |name: &str| std::fs::read_to_string(house.catalog_folder().join(name)).expect("a file");
    for name in ["mark-it", "both-notes", "pass-gate", "hang-on", "hang-again", "say-words"] {
        let file = format!("{name}.yaml");
        house.write(&file, &format!("{}author: mei\n", text(&file)));
    }
    house.write("one.yaml", &policy);
    let stale = |changed_by: &str, from: &str, to: &str| {
        let people = PEOPLE.replace("  room: shop\n", &format!("  room: shop\n{changed_by}"));
        let before = house.load().catalog;
        let file = text("mark-it.yaml");
        house.write("people.yaml", &people);
        house.write("mark-it.yaml", &file.replace(from, to));
        let stale = house.load().catalog.authors_perhaps_stale(&before);
        house.write("mark-it.yaml", &file);
        stale.iter().map(text::access::author_perhaps_stale).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        stale("  changed_by: [kim]\n", ", one]", ", two]"),
        "runbook mark-it changed and still says `author: mei`, while `changed_by` names kim: `exclude: [last_author]` may leave \
         out the wrong person. Write who made the last change"
    );
    assert_eq!(stale("  changed_by: [kim, mei]\n", ", one]", ", two]"), "", "mei is one of them");
    assert_eq!(stale("", ", one]", ", two]"), "", "nobody is said to have");
    assert_eq!(stale("  changed_by: [kim]\n", "author: mei", "author: kim"), "", "it says so");
    assert_eq!(stale("  changed_by: [kim]\n", "none of it", "none of it"), "", "it did not change");
}

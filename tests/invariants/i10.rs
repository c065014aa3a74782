//! I10: a catalog that does not validate is not loaded, and whom it concerns is told.

use countersign::flow::Reload;
use countersign::model::run::RunState;

use super::house::House;
use super::support::until;

const NOTE: &str = "[{name: Note, run: {command: [./note.sh, SIDE/done, anew]}}]";
/// What the reloading catalog may say: this release loads policies of one person.
const TWO: (&str, &str) = (
    "two.yaml",
    "policy: two\ntitle: Two\nstages: [{approvers: [group:managers, group:leads], quorum: 1}]\nexpires: 10m\nvalid_for: 1h\n",
);

#[tokio::test]
async fn i10_a_wrong_catalog_is_told_and_the_one_before_keeps_serving() {
    let house = House::with(&[TWO]).await;
    let sound = house.app.in_use().fingerprint;
    let (reload, watching) = house.watch();
    let wrong = "runbook: mark-it\ntitle: Note\nsay: ['mark it']\nsystem: shop\napproval: nobody\nsteps: []\n";
    house.write("mark-it.yaml", wrong);
    reload.send(Reload::Asked).await.expect("it watches");
    let refused = "event where kind = 'catalog_refused'";
    until("it is refused", async || (house.count(refused).await > 0).then_some(())).await;
    assert_eq!(house.app.in_use().fingerprint, sound, "the one before is in use");

    let asked = house.granted("mei", "mark it", "boss").await;
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded, "and works");
    engine.stop().await;

    house.tell().await;
    let said = house.said().await;
    let told: Vec<_> = said.iter().filter(|text| text.contains("mark-it.yaml")).collect();
    // Every room, once, with the file and the line.
    assert_eq!(told.len(), 2, "{said:#?}");
    assert!(told[0].contains("mark-it.yaml:5") && told[0].contains("nobody"), "{}", told[0]);

    // The same mistake again is told once; a catalog that is sound again is told, and used.
    reload.send(Reload::Asked).await.expect("it watches");
    reload.send(Reload::Asked).await.expect("it watches");
    house.write("mark-it.yaml", &wrong.replace("nobody", "one").replace("[]", NOTE));
    reload.send(Reload::Asked).await.expect("it watches");
    until("it is loaded", async || (house.app.in_use().fingerprint != sound).then_some(())).await;
    until("and recorded", async || (house.count("event where kind = 'catalog_loaded'").await > 0).then_some(())).await;
    watching.stop().await;
    assert_eq!(house.count(refused).await, 1);
    house.tell().await;
    let said = house.said().await;
    assert_eq!(said.iter().filter(|text| text.starts_with("The catalog is loaded again")).count(), 2, "{said:#?}");
}

#[tokio::test]
async fn i10_a_catalog_that_is_gone_is_a_wrong_one() {
    let house = House::with(&[TWO]).await;
    let sound = house.app.in_use().fingerprint;
    let (reload, watching) = house.watch();
    for entry in std::fs::read_dir(house.catalog_folder()).expect("the folder") {
        std::fs::remove_file(entry.expect("a file").path()).expect("removed");
    }
    reload.send(Reload::Asked).await.expect("it watches");
    until("it is refused", async || (house.count("event where kind = 'catalog_refused'").await > 0).then_some(()))
        .await;
    watching.stop().await;
    assert_eq!(house.app.in_use().fingerprint, sound);
    assert_eq!(house.say("mei", "ping").await, "I am here.");
}

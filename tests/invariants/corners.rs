//! Where two rules meet: a right that is lost and comes back, glass that is broken, an approval that covers more than one run.

use countersign::model::run::RunState;

use super::house::{Asked, House, LEASE};
use super::i13::reload;
use super::retry::sound;
use super::support::until;

fn people(managers: &str, support: &str) -> String {
    format!(
        "people:
  mei: {{accounts: ['local:trial:mei']}}
  ann: {{accounts: ['local:trial:ann']}}
  boss: {{accounts: ['local:trial:boss']}}
  lin: {{accounts: ['local:trial:lin']}}
  kim: {{accounts: ['local:trial:kim']}}
  vic: {{accounts: ['local:trial:vic']}}
groups:
  support: [{support}]
  managers: [{managers}]
  leads: [vic]
  keen: [mei, ann]
"
    )
}

const ALL: &str = "ann, boss, lin, kim";

async fn house(policy: &str, command: &str) -> House {
    let policy = format!("policy: corner\ntitle: Corner\nexpires: 10m\nvalid_for: 1h\n{policy}");
    let runbook = format!(
        "runbook: turn-it\ntitle: Turn\nsay: ['turn it']\nsystem: shop\napproval: corner\n\
         steps: [{{name: Note, run: {{command: [{command}]}}}}]\n"
    );
    let people = people(ALL, "mei, ann");
    House::with(&[("people.yaml", &people), ("corner.yaml", &policy), ("turn-it.yaml", &runbook)]).await
}

const NOTE: &str = "./note.sh, SIDE/done, one";

async fn managers(house: &House, managers: &str) {
    house.write("people.yaml", &people(managers, "mei, ann"));
    reload(house).await;
}

async fn state(house: &House, asked: &Asked) -> &'static str {
    house.store().find_request(asked.request).await.expect("read").expect("there").state.name()
}

async fn drive(house: &House, asked: Asked) -> RunState {
    let engine = house.engine();
    let state = house.settled(asked.run).await;
    engine.stop().await;
    state
}

#[tokio::test]
async fn i13_a_denial_of_somebody_who_left_stops_neither_the_grant_nor_what_it_covers() {
    let house =
        house("stages: [{approvers: [group:managers], quorum: 1, denials: 2}]\nrepeat: {runs: 2, within: 4h}\n", NOTE)
            .await;
    let asked = house.ask("mei", "turn it").await;
    house.say("kim", &format!("deny {} because not now", asked.code)).await;
    managers(&house, "ann, boss, lin").await;
    house.say("boss", &format!("deny {} because not now", asked.code)).await;
    assert_eq!(state(&house, &asked).await, "pending");
    house.say("lin", &format!("approve {}", asked.code)).await;
    assert_eq!(state(&house, &asked).await, "granted");
    assert_eq!(drive(&house, asked).await, RunState::Succeeded);
    let second = house.ask("mei", "turn it").await;
    assert_eq!(state(&house, &second).await, "granted");
    assert_eq!(drive(&house, second).await, RunState::Succeeded);
    sound(&house).await;
}

#[tokio::test]
async fn i13_a_right_that_comes_back_completes_the_stage_when_its_holder_says_so() {
    let house =
        house("stages: [{approvers: [group:managers], quorum: 2}, {approvers: [group:leads], quorum: 1}]\n", NOTE)
            .await;
    let asked = house.ask("mei", "turn it").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    managers(&house, "ann, lin, kim").await;
    house.say("lin", &format!("approve {}", asked.code)).await;
    managers(&house, ALL).await;
    assert_eq!(house.count("asked where stage = 1").await, 0);
    house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(house.count("asked where stage = 1 and person = 'vic'").await, 1);
    house.tell().await;
    house.post().await;
    sound(&house).await;
    house.say("vic", &format!("approve {}", asked.code)).await;
    assert_eq!(drive(&house, asked).await, RunState::Succeeded);
    sound(&house).await;
}

#[tokio::test]
async fn i7_nobodys_yes_settles_a_denial() {
    let house = house("stages: [{approvers: [group:managers], quorum: 2, denials: 2}]\n", NOTE).await;
    let asked = house.ask("mei", "turn it").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    house.say("kim", &format!("deny {} because not now", asked.code)).await;
    managers(&house, "ann, boss, lin").await;
    house.say("lin", &format!("deny {} because not now", asked.code)).await;
    managers(&house, ALL).await;
    let said = house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(state(&house, &asked).await, "pending", "{said}");
    house.say("kim", &format!("deny {} because not now", asked.code)).await;
    assert_eq!(state(&house, &asked).await, "denied");
    sound(&house).await;
}

#[tokio::test]
async fn i13_the_glass_is_not_broken_where_nobody_could_review_it() {
    let house = house(
        "stages: [{approvers: [group:managers], quorum: 1}]\n\
         break_glass: {by: [group:keen], reviewed_by: [group:support]}\n",
        NOTE,
    )
    .await;
    let asked = house.ask("ann", "turn it").await;
    let said = house.say("mei", &format!("break glass {} because it burns", asked.code)).await;
    assert!(said.contains("nobody but you or whoever asked could review"), "{said}");
    assert_eq!(state(&house, &asked).await, "pending");
    house.say("ann", &format!("break glass {} because it burns", asked.code)).await;
    assert_eq!(state(&house, &asked).await, "granted");
    let said = house.say("lin", &format!("approve {}", asked.code)).await;
    assert!(said.contains("ann has broken the glass"), "{said}");
    // Whoever would review it leaves: whoever is accountable may then, and nobody else.
    let shop = std::fs::read_to_string(house.catalog_folder().join("shop.yaml")).expect("read");
    house.write("shop.yaml", &format!("{shop}accountable: kim\n"));
    house.write("people.yaml", &people(ALL, "ann").replace("keen: [mei, ann]", "keen: [mei]"));
    reload(&house).await;
    let said = house.say("lin", &format!("review {} fine because I saw it", asked.code)).await;
    assert!(said.contains("kim may"), "{said}");
    house.say("kim", &format!("review {} fine because I saw it", asked.code)).await;
    assert_eq!(house.count("review where state = 'done'").await, 1);
    // What nobody agreed to makes no denial forgotten.
    sound(&house).await;
}

#[tokio::test]
async fn i3_who_broke_the_glass_frees_nothing_of_it_alone() {
    let house = house(
        "stages: [{approvers: [group:managers], quorum: 1}]\n\
         break_glass: {by: [person:lin], reviewed_by: [group:managers]}\n",
        "./hang.sh, SIDE/done, hang",
    )
    .await;
    let asked = house.ask("mei", "turn it").await;
    house.say("lin", &format!("break glass {} because it burns", asked.code)).await;
    let engine = house.engine();
    until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    house.forget_worker().await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, LEASE);
    assert_eq!(house.settled(asked.run).await.name(), "stuck");
    engine.stop().await;
    house.say("lin", &format!("judge run {} failed because I looked", asked.run)).await;
    assert_eq!(house.run(asked.run).await.state.name(), "stuck");
    house.post().await;
    let code = house.texts("select code from request where state = 'pending'".to_owned()).await.remove(0);
    let said = house.say("lin", &format!("approve {code}")).await;
    assert!(said.starts_with("lin, it is your own request"), "{said}");
    house.say("boss", &format!("approve {code}")).await;
    assert_eq!(house.run(asked.run).await.state.name(), "failed");
    sound(&house).await;
}

#[tokio::test]
async fn i13_a_covered_run_can_be_revoked_before_it_begins() {
    let house =
        house("stages: [{approvers: [group:managers], quorum: 1}]\nrepeat: {runs: 3, within: 4h}\n", NOTE).await;
    let first = house.ask("mei", "turn it").await;
    house.say("boss", &format!("approve {}", first.code)).await;
    assert_eq!(drive(&house, first).await, RunState::Succeeded);
    let second = house.ask("mei", "turn it").await;
    assert_eq!(state(&house, &second).await, "granted");
    let said = house.say("vic", &format!("revoke {}", second.code)).await;
    assert!(said.contains("not yours to revoke"), "{said}");
    house.say("lin", &format!("revoke {}", second.code)).await;
    assert_eq!(house.run(second.run).await.state.name(), "stopped");
    let said = house.say("lin", &format!("revoke {}", second.code)).await;
    assert!(said.starts_with("lin has ended run") && said.contains("there is nothing to revoke"), "{said}");
    sound(&house).await;
}

// ---- what people are told ----

const TWO_ENDS: &str = "policy: one\ntitle: Two end it\nstages: [{approvers: [group:managers], quorum: 1, denials: 2}]\n\
    expires: 10m\nvalid_for: 1h\n";

/// Two stages, the second of two people.
const STAGED: &str = "policy: one\ntitle: boss, then two\nstages:\n  - {approvers: [person:boss], quorum: 1}\n  \
    - {approvers: [person:lin, person:kim], quorum: 2}\nexpires: 10m\nvalid_for: 1h\n";

#[tokio::test]
async fn a_no_says_how_many_end_it_and_stands_in_the_receipt() {
    let house = House::with(&[("one.yaml", TWO_ENDS)]).await;
    let asked = house.ask("mei", "mark it").await;
    let code = asked.code;
    let said = house.say("lin", &format!("deny {code} because not at noon")).await;
    assert_eq!(said, format!("lin, your no to {code} counts: 1 of 2 that end it. It still waits."));
    house.say("boss", &format!("approve {code}")).await;
    house.tell().await;
    let told = house.said().await.join("\n");
    assert!(
        told.contains(&format!("boss approved mark it ({code}). lin had said no: not at noon. Starting.")),
        "{told}"
    );
}

#[tokio::test]
async fn how_far_it_has_come_is_said_wherever_one_looks() {
    let house = House::with(&[("one.yaml", STAGED)]).await;
    let asked = house.ask("mei", "mark it").await;
    let code = asked.code;
    let far = "stage 1 of 2";
    for what in ["requests", "status", &format!("show {code}")] {
        let said = house.say("mei", what).await;
        assert!(said.contains(far) && said.contains("boss") && said.contains("until "), "{what}: {said}");
    }
    house.say("boss", &format!("approve {code}")).await;
    house.say("lin", &format!("approve {code}")).await;
    for what in ["requests", "status", &format!("show {code}")] {
        let said = house.say("mei", what).await;
        assert!(said.contains("stage 2 of 2, 1 of 2 agreed") && said.contains("kim"), "{what}: {said}");
    }
    // Who agreed in the stage before is told so, and that others are asked.
    let said = house.say("boss", &format!("approve {code}")).await;
    assert_eq!(said, format!("boss, you have answered {code} in stage 1: this stage needs somebody else. Asked: kim."));
}

#[tokio::test]
async fn an_answer_is_taken_back_once() {
    let house = House::with(&[("one.yaml", TWO_ENDS)]).await;
    let asked = house.ask("mei", "mark it").await;
    let withdraw = format!("withdraw {}", asked.code);
    house.say("boss", &format!("deny {}", asked.code)).await;
    house.say("boss", &withdraw).await;
    let said = house.say("boss", &withdraw).await;
    assert!(
        said.starts_with(&format!("boss, no answer of yours to {} stands that could be taken back.", asked.code)),
        "{said}"
    );
    let said = house.say("vic", &withdraw).await;
    assert!(said.starts_with(&format!("Only mei can withdraw {}.", asked.code)), "{said}");
}

/// What somebody else was faster to decide is told for a while, also outside its thread.
#[tokio::test]
async fn a_late_word_in_the_room_is_told_who_decided() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    let said = house.say("lin", "approved").await;
    assert_eq!(said, format!("{} is approved already, by boss. Your answer changes nothing.", asked.code));
    house.shift(chrono::TimeDelta::minutes(11));
    let said = house.say("lin", "approved").await;
    assert!(said.starts_with("Nothing waits for approval here."), "{said}");
    let denied = house.ask("mei", "both notes").await;
    house.say("boss", &format!("deny {}", denied.code)).await;
    let said = house.say("lin", "approved").await;
    assert!(said.starts_with(&format!("{} was denied by boss.", denied.code)), "{said}");
}

#[tokio::test]
async fn what_is_revoked_is_not_called_over() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    house.say("lin", &format!("revoke {}", asked.code)).await;
    let said = house.say("boss", &format!("revoke {}", asked.code)).await;
    assert_eq!(
        said,
        format!(
            "lin has ended run {} of {} already, before anything of it began: there is nothing to revoke.",
            asked.run, asked.code
        )
    );
}

#[tokio::test]
async fn after_the_glass_was_broken_only_what_can_be_done_is_offered() {
    let urgent = "policy: one\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\nexpires: 10m\n\
        valid_for: 1h\nbreak_glass: {by: [person:mei], review_within: 2h, reviewed_by: [group:managers]}\n";
    let house = House::with(&[("one.yaml", urgent)]).await;
    let asked = house.ask("mei", "mark it").await;
    house.say("mei", &format!("break glass {} because the shop burns", asked.code)).await;
    let approve = format!("approve {}", asked.code);
    let said = house.say("boss", &approve).await;
    assert!(said.contains(&format!("`revoke {}` ends it until it has begun", asked.code)), "{said}");
    let engine = house.engine();
    house.settled(asked.run).await;
    engine.stop().await;
    let said = house.say("boss", &approve).await;
    assert_eq!(said, format!("mei has broken the glass for {}. Your answer changes nothing.", asked.code));
}

/// A right that a delegate has used and whose delegation is over can be used by whose it is.
#[tokio::test]
async fn i7_an_answer_that_no_longer_counts_has_used_nobodys_right() {
    let two = "policy: one\ntitle: Both\nstages: [{approvers: [person:boss, person:lin], quorum: 2}]\nexpires: 4h\n\
        valid_for: 1h\n";
    let house = House::with(&[("one.yaml", two)]).await;
    house.say("boss", "delegate to vic for 1 hour").await;
    let asked = house.ask("mei", "mark it").await;
    let approve = format!("approve {}", asked.code);
    house.say("vic", &approve).await;
    house.shift(chrono::TimeDelta::minutes(61));
    let said = house.say("boss", &approve).await;
    assert!(said.contains("counts: 1 of 2"), "{said}");
    house.say("lin", &approve).await;
    assert_eq!(house.run(asked.run).await.state.name(), "approved");
    super::retry::sound(&house).await;
}

/// Before anything was ever told, what a line has come to can be asked: whoever follows it on a page may be that fast.
#[tokio::test]
async fn i10_what_became_of_a_line_is_known_before_the_first_telling() {
    let house = House::new().await;
    let received = house.receive(house.line("mei", "ping")).await.expect("received");
    // As it stands until the first look at what there is to tell.
    house.db.tamper("delete from sink where name = 'room'").await;
    let status = house.store().cause_status(received.line).await.expect("it is known").expect("a line");
    assert!(!status.told, "its answer waits");
}

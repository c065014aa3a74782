//! Starting without agreement: only whom the frozen policy names, only with a reason, never of a stuck step, and never without
//! somebody else looking at it afterwards.

use chrono::TimeDelta;
use countersign::ledger::{sequencer, verify};
use countersign::model::run::RunState;

use super::house::{Asked, House, Working};
use super::i13::reload;
use super::retry::sound;
use super::support::until;

const URGENT: &str = "policy: urgent\ntitle: Two agree, or it burns\n\
    stages: [{approvers: [group:managers], quorum: 1}, {approvers: [group:leads], quorum: 1}]\n\
    expires: 10m\nvalid_for: 1h\n\
    break_glass: {by: [group:support], review_within: 2h, reviewed_by: [group:managers]}\n";
const SEALED: &str = "policy: sealed\ntitle: With a passkey\n\
    stages: [{approvers: [group:managers], quorum: 1, step_up: true}]\n\
    break_glass: {by: [person:mei], reviewed_by: [group:managers]}\n";
const BY_CHAT: &str = "policy: by-chat\ntitle: With a passkey, or it burns\n\
    stages: [{approvers: [group:managers], quorum: 1, step_up: true}]\n\
    break_glass: {by: [person:mei], reviewed_by: [group:managers], by_chat: true}\n";

fn runbook(name: &str, policy: &str, command: &str) -> String {
    let words = name.replace('-', " ");
    format!(
        "runbook: {name}\ntitle: {words}\nsay: ['{words}']\nsystem: shop\napproval: {policy}\n\
         steps: [{{name: Note, run: {{command: [{command}]}}}}]\n"
    )
}

async fn urgent() -> House {
    let note = "./note.sh, SIDE/done, one";
    House::with(&[
        ("urgent.yaml", URGENT),
        ("sealed.yaml", SEALED),
        ("by-chat.yaml", BY_CHAT),
        ("put-out.yaml", &runbook("put-out", "urgent", note)),
        ("hang-out.yaml", &runbook("hang-out", "urgent", "./hang.sh, SIDE/done, hang")),
        ("be-sealed.yaml", &runbook("be-sealed", "sealed", note)),
        ("be-loose.yaml", &runbook("be-loose", "by-chat", note)),
    ])
    .await
}

async fn drive(house: &House, asked: Asked) -> RunState {
    let engine = house.engine();
    let state = house.settled(asked.run).await;
    engine.stop().await;
    state
}

#[tokio::test]
async fn i7_who_asked_may_break_the_glass_where_the_policy_says_so_and_everybody_hears_of_it() {
    let house = urgent().await;
    let asked = house.ask("mei", "put out").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    let said = house.say("mei", &format!("break glass {} because the shop burns", asked.code)).await;
    assert_eq!(said, "", "told by the ledger");
    assert_eq!(drive(&house, asked).await, RunState::Succeeded);
    assert_eq!(house.done(), ["one"]);
    house.tell().await;
    let said = house.said().await.join("\n");
    let code = asked.code;
    for words in [
        format!(
            "PRODUCTION · GLASS BROKEN: mei starts put out ({code}) without agreement: the shop burns. It was their own request."
        ),
        "Not waited for: ann, kim and lin.".to_owned(),
        format!("review {code} not fine because"),
        format!("mei broke the glass for put out ({code}). Starting without agreement."),
    ] {
        assert!(said.contains(&words), "{words}\n{said}");
    }
    let pinged =
        house.texts("select message from outbox where message::json ->> 'text' like '%GLASS BROKEN%'".to_owned());
    let pinged = pinged.await.join("");
    for who in ["ann", "boss", "kim", "lin"] {
        assert!(pinged.contains(&format!("local:trial:{who}")), "{who}: {pinged}");
    }
    // The ledger says whose own request it was.
    let own = house.texts("select convert_from(body, 'UTF8') from event_body".to_owned()).await;
    assert!(own.iter().any(|body| body.contains(r#""kind":"glass_broken""#) && body.contains(r#""own":true"#)));
    sound(&house).await;
}

#[tokio::test]
async fn i13_nobody_else_breaks_it_and_nobody_without_a_reason() {
    let house = urgent().await;
    let asked = house.ask("mei", "put out").await;
    let code = asked.code;
    let said = house.say("boss", &format!("break glass {code} because it burns")).await;
    assert!(said.starts_with(&format!("boss, for {code} only ann or mei may break the glass.")), "{said}");
    let said = house.say("mei", &format!("break glass {code}")).await;
    assert!(said.contains("`break glass because …`"), "{said}");
    // Others' policies let nobody.
    let other = house.ask("mei", "mark it").await;
    let said = house.say("mei", &format!("break glass {} because it burns", other.code)).await;
    assert!(said.contains("lets nobody break the glass"), "{said}");
    // Who is no longer in the group when it is said.
    let people = house.catalog_folder().join("people.yaml");
    let text = std::fs::read_to_string(people).expect("read").replace("support: [mei, ann]", "support: [ann]");
    house.write("people.yaml", &text);
    reload(&house).await;
    let said = house.say("mei", &format!("break glass {code} because it burns")).await;
    assert!(said.starts_with(&format!("mei, for {code} only ann may break the glass.")), "{said}");
    assert_eq!(house.count("review").await + house.count("run_grant").await, 0);
    sound(&house).await;
}

#[tokio::test]
async fn a_passkey_is_not_gone_round_unless_the_policy_says_so() {
    let house = urgent().await;
    let asked = house.ask("mei", "be sealed").await;
    let said = house.say("mei", &format!("break glass {} because it burns", asked.code)).await;
    assert!(said.contains("it needs a passkey, and this bot has no page for that"), "{said}");
    assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval);
    let asked = house.ask("mei", "be loose").await;
    house.say("mei", &format!("break glass {} because it burns", asked.code)).await;
    assert_eq!(drive(&house, asked).await, RunState::Succeeded);
    sound(&house).await;
}

#[tokio::test]
async fn i3_of_a_stuck_step_nobody_breaks_the_glass() {
    let house = urgent().await;
    let asked = house.ask("mei", "hang out").await;
    house.say("mei", &format!("break glass {} because it burns", asked.code)).await;
    let engine = house.engine();
    until("the step runs", async || (house.done().len() == 1).then_some(())).await;
    engine.kill().await;
    house.forget_worker().await;
    let engine = house.engine_of(house.store().clone(), house.another_worker().await, super::house::LEASE);
    assert_eq!(house.settled(asked.run).await.name(), "stuck");
    engine.stop().await;
    house.say("mei", &format!("retry run {}", asked.run)).await;
    house.post().await;
    let code = house.texts("select code from request where state = 'pending'".to_owned()).await.remove(0);
    let said = house.say("mei", &format!("break glass {code} because it burns")).await;
    assert!(said.contains("about a stuck step: nobody decides that alone"), "{said}");
    sound(&house).await;
}

#[tokio::test]
async fn a_review_is_owed_is_told_daily_and_is_somebody_elses() {
    let house = urgent().await;
    let asked = house.ask("mei", "put out").await;
    let code = asked.code;
    house.say("ann", &format!("break glass {code} because the shop burns")).await;
    assert_eq!(drive(&house, asked).await, RunState::Succeeded);
    let owed = house.say("boss", "reviews").await;
    assert!(
        owed.contains(&format!("{code} PRODUCTION put out, started by ann")) && owed.contains("due until"),
        "{owed}"
    );
    // ann is a manager too, and mei asked.
    for who in ["ann", "ann2", "mei", "vic"] {
        let said = house.say(who, &format!("review {code} fine because so")).await;
        assert!(said.contains("you may not review"), "{who}: {said}");
    }
    let overdue = async |times: i64| {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let keeping = countersign::flow::housekeeping(house.app.clone(), house.me, stopped);
        let keeping = Working::of(stop, tokio::spawn(keeping));
        until("it is told", async || (house.count("event where kind = 'review_overdue'").await == times).then_some(()))
            .await;
        keeping.stop().await;
    };
    house.shift(TimeDelta::hours(2));
    overdue(1).await;
    overdue(1).await;
    house.shift(TimeDelta::hours(24));
    overdue(2).await;
    house.tell().await;
    let said = house.said().await.join("\n");
    assert!(
        said.contains(&format!("put out ({code}) was started by ann without agreement, and nobody has reviewed it.")),
        "{said}"
    );
    assert!(house.say("boss", "reviews").await.contains("OVERDUE since"));
    sound(&house).await;
    house.say("boss", &format!("review {code} not fine because lin was there")).await;
    assert_eq!(house.say("boss", "reviews").await, "No review is owed here.");
    let again = house.say("lin", &format!("review {code} fine because so")).await;
    assert!(again.contains("was reviewed already"), "{again}");
    house.tell().await;
    let said = house.said().await.join("\n");
    assert!(said.contains("boss reviewed that put out") && said.contains("not fine, lin was there."), "{said}");
    sound(&house).await;
}

/// Who is named may do it, also when the request was in other hands; and once it is overdue, whoever answers for the system.
#[tokio::test]
async fn who_may_review_is_named_and_more_are_once_it_is_overdue() {
    let house = urgent().await;
    let system = "system: shop\ntitle: The shop\nenvironment: production\nroom: shop\naccountable: vic\n\
        may_run: [group:support, group:managers]\nmay_see: [person:vic]\nmay_unstick: [group:managers]\nservices:\n  \
        web: {title: Web, checks: {running: {command: ['true']}}}\n";
    house.write("shop.yaml", system);
    super::i13::reload(&house).await;
    let asked = house.ask("mei", "put out").await;
    house.say("mei", "handover to lin").await;
    house.say("lin", "taken").await;
    house.say("ann", &format!("break glass {} because the shop burns", asked.code)).await;
    house.tell().await;
    let told = house.said().await.into_iter().find(|said| said.contains("review it")).unwrap_or_default();
    let told = told.to_lowercase();
    assert!(told.contains("boss or kim must review") && !told.contains("lin or"), "lin asks for it now: {told}");
    let words = format!("review {} fine because so", asked.code);
    for who in ["lin", "vic"] {
        let said = house.say(who, &words).await;
        assert!(said.contains("you may not review"), "{who}: {said}");
    }
    house.shift(TimeDelta::hours(3));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let keeping = countersign::flow::housekeeping(house.app.clone(), house.me, stopped);
    let keeping = Working::of(stop, tokio::spawn(keeping));
    until("it is told", async || (house.count("event where kind = 'review_overdue'").await == 1).then_some(())).await;
    keeping.stop().await;
    house.tell().await;
    let told = house.said().await.into_iter().find(|said| said.contains("nobody has reviewed it")).unwrap_or_default();
    assert!(told.to_lowercase().contains("boss, kim or vic"), "{told}");
    house.say("vic", &words).await;
    assert_eq!(house.say("boss", "reviews").await, "No review is owed here.");
    sound(&house).await;
}

/// What a hand in the database makes of it is neither believed nor unseen.
#[tokio::test]
async fn i11_a_break_that_nobody_said_is_found_and_starts_nothing() {
    let house = urgent().await;
    let asked = house.ask("mei", "put out").await;
    house.say("ann", &format!("break glass {} because the shop burns", asked.code)).await;
    house.db.tamper("update review set reason = 'because', by = 'boss'").await;
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.to_string().contains("review/"), "{report}");
    house.db.tamper("update review set by = 'ann', reason = 'the shop burns'").await;
    sound(&house).await;
    // Without the row the decisions are all there is, and they are none.
    house.db.tamper("delete from review").await;
    assert_eq!(
        house.failure_of(asked).await,
        "the approval was signed for a rule that the plan's policy does not have"
    );
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    assert!(!verify(house.store(), &[]).await.expect("it can be read").is_sound());
}

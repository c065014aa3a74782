//! Duties that are handed on: who answers for whom, for how long, and who counts as having asked after a handover.

use chrono::TimeDelta;
use countersign::flow::escalation;
use countersign::ledger::{sequencer, verify};
use countersign::model::run::RunState;
use tokio::sync::watch;

use super::house::{House, Working};
use super::support::until;

const BOSS: &str =
    "policy: one\ntitle: boss agrees\nstages: [{approvers: [person:boss], quorum: 1}]\nexpires: 30m\nvalid_for: 1h\n";

async fn house() -> House {
    House::with(&[("one.yaml", BOSS)]).await
}

async fn is_sound(house: &House) {
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.is_sound(), "{report}");
}

#[tokio::test]
async fn somebody_else_answers_for_a_while_and_both_names_stand() {
    let house = house().await;
    let waits = house.ask("mei", "mark it").await;
    let said = house.say("vic", &format!("approve {}", waits.code)).await;
    assert!(said.contains("is not for you to decide"), "{said}");
    let said = house.say("boss", "delegate to vic for 2 hours").await;
    assert!(said.starts_with("vic may answer for boss until "), "{said}");
    assert!(
        said.ends_with(&format!("`end delegation to vic` takes it back. Asked as well for {}.", waits.code)),
        "{said}"
    );
    // Told in its thread, to whoever may answer now.
    house.tell().await;
    let told = house.said().await.join("\n");
    assert!(told.contains(&format!("{} also asks vic (for boss): `approve {}`", waits.code, waits.code)), "{told}");
    house.say("vic", &format!("approve {}", waits.code)).await;
    assert_eq!(house.run(waits.run).await.state, RunState::Approved);
    assert_eq!(house.count("decision where person = 'vic' and on_behalf_of = 'boss'").await, 1);
    // A later request asks both; boss's right is used once.
    let later = house.ask("mei", "both notes").await;
    assert_eq!(house.count(&format!("asked where request = {} and person = 'vic'", later.request)).await, 1);
    // It ends by itself.
    house.shift(TimeDelta::minutes(121));
    assert_eq!(
        house.say("boss", "delegations").await,
        "Nobody lets anybody else answer. `delegate to lin until friday` does."
    );
    is_sound(&house).await;
}

#[tokio::test]
async fn what_is_taken_back_counts_no_more() {
    let house = house().await;
    house.say("boss", "delegate to vic until 2099-01-01").await;
    assert_eq!(house.count("delegation").await, 0, "too far away");
    house.say("boss", "delegate to vic for 3 days").await;
    let asked = house.ask("mei", "mark it").await;
    assert!(house.say("boss", "delegations").await.starts_with("vic may answer for boss until "));
    assert_eq!(
        house.say("boss", "end delegation to vic").await,
        "vic may no longer answer for boss. What was answered stays."
    );
    let said = house.say("vic", &format!("approve {}", asked.code)).await;
    assert!(!said.is_empty() && house.count("run_grant").await == 0, "{said}");
    assert!(house.say("boss", "end delegation").await.starts_with("boss, you let nobody else answer."));
    is_sound(&house).await;
}

#[tokio::test]
async fn a_delegation_that_cannot_be_is_refused_in_words() {
    let house = house().await;
    for (who, line, answer) in [
        ("boss", "delegate to boss until friday", "boss, you may answer for yourself already."),
        ("boss", "delegate to lni until friday", "Nobody is called \"lni\". Did you mean lin?"),
        ("boss", "delegate to lin until 2020-01-01", "2020-01-01 00:00 UTC is past, so nothing was done."),
        ("boss", "delegate to lin for 31 days", ""),
        ("boss", "delegate to lin until the cows come home", "\"until the cows come home\" is no time that I know"),
        ("boss", "delegate to lin", "Until when?"),
    ] {
        let said = house.say(who, line).await;
        assert!(said.starts_with(answer) && !said.is_empty(), "{line}: {said}");
    }
    assert_eq!(house.count("delegation").await, 0);
    house.say("boss", "delegate to lin for 1 day").await;
    let said = house.say("lin", "delegate to boss for 1 day").await;
    assert!(said.starts_with("lin, boss lets you answer until "), "{said}");
    assert_eq!(house.count("delegation").await, 1);
    // Nobody who asked answers for another.
    let asked = house.ask("lin", "mark it").await;
    let said = house.say("lin", &format!("approve {}", asked.code)).await;
    assert!(said.starts_with("lin, it is your own request"), "{said}");
    is_sound(&house).await;
}

#[tokio::test]
async fn a_policy_that_lets_nobody_answer_for_another_says_so() {
    let refuses = format!("{BOSS}may_delegate: false\n");
    let house = House::with(&[("one.yaml", &refuses)]).await;
    let asked = house.ask("mei", "mark it").await;
    let said = house.say("boss", "delegate to vic for 1 day").await;
    assert!(said.ends_with(&format!("Not for {}: its policy lets nobody answer for another.", asked.code)), "{said}");
    let said = house.say("vic", &format!("approve {}", asked.code)).await;
    assert!(said.contains("is not for you to decide"), "{said}");
}

#[tokio::test]
async fn a_row_that_the_ledger_does_not_tell_is_found() {
    let house = house().await;
    house.say("boss", "delegate to vic for 1 day").await;
    is_sound(&house).await;
    house.db.tamper("update delegation set receiver = 'lin'").await;
    sequencer::drain(house.store(), house.me).await.expect("sequenced");
    let report = verify(house.store(), &[]).await.expect("it can be read");
    assert!(report.to_string().contains("delegation/1"), "{report}");
}

// ---- handing over ----

#[tokio::test]
async fn i7_whoever_takes_a_request_over_cannot_approve_it_and_neither_can_whoever_asked() {
    let house = House::new().await;
    let asked = house.ask("ann", "mark it").await;
    let offered = house.say("ann", "handover to lin because my shift ends").await;
    assert!(offered.starts_with("lin: ann hands over to you, because my shift ends.\n"), "{offered}");
    assert!(offered.contains(&format!("{}   PRODUCTION · ", asked.code)), "{offered}");
    assert!(!offered.contains("awaiting approval"), "said once: {offered}");
    assert!(offered.contains("`taken 1` takes it over. Until then it stays ann's."), "{offered}");
    assert!(offered.ends_with(&format!("lin is asked to approve {}: whoever takes that over cannot.", asked.code)));
    // Talk, from anybody else.
    assert_eq!(house.say("kim", "taken").await, "");
    let said = house.say("kim", "taken 1").await;
    assert_eq!(said, "kim, handover 1 was offered to lin. ann can say `handover to kim`.");
    let said = house.say("lin", "taken").await;
    let expected = format!(
        "lin takes over {} from ann, and is told what comes of it. Neither of the two can approve {}.",
        asked.code, asked.code
    );
    assert_eq!(said, expected);
    for who in ["lin", "ann", "ann2"] {
        let said = house.say(who, &format!("approve {}", asked.code)).await;
        assert!(said.contains("it is your own request"), "{who}: {said}");
    }
    assert_eq!((house.count("decision").await, house.count("run_grant").await), (0, 0));
    is_sound(&house).await;
    // What comes of it is told to lin.
    house.say("boss", &format!("deny {} because not now", asked.code)).await;
    house.tell().await;
    let told = house.said().await.join("\n");
    assert!(told.contains("lin: boss denied "), "{told}");
    is_sound(&house).await;
}

/// What somebody handed over is theirs no more, unless it comes back.
#[tokio::test]
async fn i7_nobody_hands_the_same_over_twice() {
    let house = House::new().await;
    let asked = house.ask("mei", "mark it").await;
    for (from, to) in [("mei", "lin"), ("lin", "kim")] {
        house.say(from, &format!("handover to {to}")).await;
        house.say(to, "taken").await;
    }
    for who in ["mei", "lin"] {
        let said = house.say(who, "handover to boss").await;
        assert!(said.contains("nothing of yours is open"), "{said}");
    }
    house.say("kim", "handover to mei").await;
    house.say("mei", "taken").await;
    let offered = house.say("mei", "handover to boss").await;
    assert!(offered.contains(&asked.code.to_string()), "{offered}");
    is_sound(&house).await;
}

/// lin has agreed already, and takes the request over: that answer counts no more.
#[tokio::test]
async fn i7_an_answer_of_whoever_takes_over_counts_no_more() {
    let house = House::new().await;
    let asked = house.ask("ann", "agree twice").await;
    house.say("lin", &format!("approve {}", asked.code)).await;
    house.say("ann", "handover to lin").await;
    house.say("lin", "taken").await;
    house.say("boss", &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state, RunState::AwaitingApproval, "one of two");
    house.say("kim", &format!("approve {}", asked.code)).await;
    assert_eq!(house.run(asked.run).await.state, RunState::Approved);
    is_sound(&house).await;
}

#[tokio::test]
async fn a_run_and_the_pause_go_with_it() {
    let house = House::new().await;
    let asked = house.granted("mei", "mark it", "boss").await;
    assert_eq!(
        house.say("vic", "handover to boss").await,
        "vic, nothing of yours is open: no request, no run, no pause. Nothing was handed over."
    );
    assert_eq!(house.say("mei", "handover to mei").await, "mei, it is yours already. Say who else: `handover to lin`.");
    house.say("mei", "handover to ann").await;
    house.say("ann", "taken").await;
    let engine = house.engine();
    assert_eq!(house.settled(asked.run).await, RunState::Succeeded);
    engine.stop().await;
    house.tell().await;
    let told = house.said().await.join("\n");
    assert!(told.contains("ann: ") && told.contains(" is done. "), "{told}");
    is_sound(&house).await;
}

#[tokio::test]
async fn what_nobody_takes_is_said_again_and_stays_where_it_was() {
    let house = House::new().await;
    house.ask("mei", "hang on").await;
    house.say("mei", "handover to vic").await;
    let later = async |minutes| {
        house.shift(TimeDelta::minutes(minutes));
        let (stop, stopped) = watch::channel(false);
        let waking = Working { stop, task: tokio::spawn(escalation(house.app.clone(), None, stopped)) };
        until("nothing is due", async || {
            let due = house.store().list_handovers_due().await.expect("handovers").len();
            (due == 0).then_some(())
        })
        .await;
        waking.stop().await;
        house.tell().await;
        let said = house.said().await;
        said.into_iter().filter(|text| text.contains("taken over") && !text.contains("hands over")).collect::<Vec<_>>()
    };
    assert_eq!(later(7).await, [""; 0]);
    let said = later(2).await;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("vic, ann, boss, kim or lin: nobody has taken over from mei since "), "{}", said[0]);
    assert_eq!(later(10).await.len(), 1);
    assert_eq!(later(7).await.len(), 2);
    let said = later(5).await;
    assert!(said[2].starts_with("mei: vic has not taken over, and nobody else has."), "{}", said[2]);
    assert_eq!(house.say("vic", "taken 1").await, "vic, nothing is offered to you.");
    // Told of it, somebody else may take it.
    house.say("mei", "handover to vic").await;
    later(9).await;
    let said = house.say("kim", "taken 2").await;
    assert!(said.starts_with("kim takes over "), "{said}");
    is_sound(&house).await;
}

/// A room reads of what is another's that it is there, and no more: not everybody here may see it.
#[tokio::test]
async fn i10_what_is_handed_over_is_told_where_it_may_be_read() {
    let house = House::new().await;
    let here = house.ask("ann", "mark it").await;
    let mut there = house.line("ann", "announce salaries");
    there.room = "local:trial:yard".parse().expect("a room");
    let received = house.receive(there).await.expect("received");
    let there = house.asked_by(received.line).await;
    let offered = house.say("ann", "handover to lin").await;
    assert!(offered.contains(&format!("{}   PRODUCTION · mark it", here.code)), "{offered}");
    let elsewhere = format!("{}   in another room: `show {}` there\n", there.code, there.code);
    assert!(offered.contains(&elsewhere) && !offered.contains("salaries"), "{offered}");
    let said = house.say("lin", "taken").await;
    assert!(said.starts_with(&format!("lin takes over {} and {} from ann", here.code, there.code)), "{said}");
    is_sound(&house).await;
}

/// Who may not ask for it takes over nothing that starts later: at its time it would not be started for them.
#[tokio::test]
async fn i13_what_starts_later_stays_with_whoever_may_ask_for_it() {
    let house = House::new().await;
    let at = (house.store().clock().now() + TimeDelta::hours(3)).format("%Y-%m-%d %H:%M");
    let later = house.granted("mei", &format!("at {at} mark it"), "boss").await;
    let said = house.say("mei", "handover to vic").await;
    assert_eq!(said, format!("Run {} stays mei's: vic may not ask for it. Nothing was handed over.", later.run));
    house.ask("mei", "hang on").await;
    let offered = house.say("mei", "handover to vic").await;
    assert!(offered.ends_with(&format!("Run {} stays mei's: vic may not ask for it.", later.run)), "{offered}");
    assert_eq!(offered.lines().filter(|line| line.contains("mark it")).count(), 0, "{offered}");
    house.say("vic", "taken").await;
    assert_eq!(house.run(later.run).await.concerns().as_str(), "mei");
    // Whoever may ask for it takes it.
    house.say("mei", "handover to ann").await;
    // Meanwhile ann may ask for nothing any more.
    house.write(
        "people.yaml",
        "people:\n  mei: {accounts: ['local:trial:mei']}\n  ann: {accounts: ['local:trial:ann']}\n  \
         boss: {accounts: ['local:trial:boss']}\n  lin: {accounts: ['local:trial:lin']}\n  \
         kim: {accounts: ['local:trial:kim']}\n  vic: {accounts: ['local:trial:vic']}\n\
         groups:\n  support: [mei]\n  managers: [boss, lin, kim]\n  leads: [kim]\n",
    );
    super::i13::reload(&house).await;
    let said = house.say("ann", "taken").await;
    assert_eq!(said, format!("ann takes over from mei. Run {} stays mei's: ann may not ask for it.", later.run));
    assert_eq!(house.run(later.run).await.concerns().as_str(), "mei");
    is_sound(&house).await;
}

//! What is done, and when, while nobody decides: pure, total, one function.
//!
//! What lives here: the steps of a stage in the order of time ([`ladder`]), the next of them ([`next`]), what `looking` does
//! to them ([`look`]), and who is asked by one of them ([`whom`]). What does not: doing any of it (the top-level `approval`),
//! who may answer once asked (`approval`, beside this), wording (`text`).
//!
//! The steps of a stage are frozen with its policy, so that the number of those that are done says which comes next. What is
//! alive decides only who is asked by a step: whose turn it is in a rota, and who is in a group.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::approval::{Asked, Because, Delegation, Rules, delegates};
use super::catalog::{Catalog, Subject};
use super::id::PersonId;
use super::plan::PlanPolicy;
use super::policy::Stage;

/// After how long, and again after as long, the next of a rota is asked.
pub const NEXT_AFTER: Duration = Duration::from_secs(8 * 60);
/// For how long nobody is woken when somebody says that they look.
pub const LOOKING_FOR: TimeDelta = TimeDelta::minutes(5);
/// The greatest number of people of a rota who are asked one after the other in one stage.
const MOST_TURNS: u32 = 64;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Deed {
    /// Whoever could answer is reminded where they were asked.
    Remind,
    /// Whoever could answer is rung.
    Ring,
    /// Others are asked as well.
    Ask(Others),
}

/// Who is asked as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Others {
    /// Those of the stage's escalation of this number, counted from 0.
    Escalation(u32),
    /// The next of each rota that the stage asks; counted from 1, as the first was asked when it began.
    Turn(u32),
}

/// One step, and when it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its place among the steps of its stage, counted from 0: so many are done before it.
    pub number: u32,
    /// What is done.
    pub deed: Deed,
    /// When.
    pub at: DateTime<Utc>,
}

/// Where the waking of a stage stands.
#[derive(Debug, Clone, Copy)]
pub struct Waking<'a> {
    /// The frozen stage.
    pub stage: &'a Stage,
    /// From when its steps are counted: its beginning, or later by as long as somebody has looked.
    pub from: DateTime<Utc>,
    /// Until when an answer counts: from then on nothing is done any more.
    pub expires_at: DateTime<Utc>,
    /// How many steps are done.
    pub woken: u32,
}

/// The steps of a stage, in order, each with how long after the beginning it is due. Bounded, and the same whenever one asks.
pub fn ladder(stage: &Stage) -> Vec<(Duration, Deed)> {
    let remind = stage.remind_after_ms.map(|after| (Duration::from_millis(after), Deed::Remind));
    let ring = stage.ring_after_ms.map(|after| (Duration::from_millis(after), Deed::Ring));
    let escalations = (0_u32..)
        .zip(&stage.escalate)
        .map(|(number, step)| (Duration::from_millis(step.after_ms), Deed::Ask(Others::Escalation(number))));
    let turns = (1..=MOST_TURNS).filter(|_| by_turns(stage));
    let turns = turns.map(|turn| (NEXT_AFTER * turn, Deed::Ask(Others::Turn(turn))));
    let mut steps: Vec<_> = remind.into_iter().chain(ring).chain(escalations).chain(turns).collect();
    steps.sort();
    steps
}

/// The next step, if one comes before the end. It is due when its moment is not later than now.
pub fn next(waking: &Waking<'_>) -> Option<Step> {
    upcoming(waking).next()
}

/// The steps that are not done and come before the end, in order.
pub fn upcoming(waking: &Waking<'_>) -> impl Iterator<Item = Step> {
    let Waking { from, expires_at, woken, .. } = *waking;
    let moment =
        move |after: Duration| TimeDelta::from_std(after).ok().and_then(|after| from.checked_add_signed(after));
    (0_u32..)
        .zip(ladder(waking.stage))
        .skip(usize::try_from(woken).unwrap_or(usize::MAX))
        .filter_map(move |(number, (after, deed))| Some(Step { number, deed, at: moment(after)? }))
        .take_while(move |step| step.at < expires_at)
}

/// Somebody says at a moment that they look: from when steps are counted now, and until when nobody is woken. `until` is
/// until when somebody looks already.
pub fn look(from: DateTime<Utc>, until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let ends = now.checked_add_signed(LOOKING_FOR).unwrap_or(now);
    // What is left of an earlier look has been counted already.
    let counted = until.map_or(now, |until| until.max(now));
    let more = (ends - counted).max(TimeDelta::zero());
    (from.checked_add_signed(more).unwrap_or(from), ends.max(counted))
}

/// Whether a stage asks people by turns.
pub fn by_turns(stage: &Stage) -> bool {
    stage.approvers.iter().any(is_rota)
}

/// Who stands where when it is looked for whom to ask: of a stage that begins nobody was asked yet.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The catalog as it is now.
    pub catalog: &'a Catalog,
    /// The frozen policy.
    pub policy: &'a PlanPolicy,
    /// The stage, counted from 0.
    pub stage: u32,
    /// Who counts as having asked.
    pub requesters: &'a [PersonId],
    /// Who may not agree although they did not ask.
    pub excluded: &'a [PersonId],
    /// Who was asked so far, in whichever stage.
    pub asked: &'a [Asked],
    /// Whose answer in another stage keeps them from this one.
    pub spent: &'a BTreeSet<PersonId>,
    /// Who lets whom answer.
    pub delegations: &'a [Delegation],
    /// Now.
    pub now: DateTime<Utc>,
}

impl Around<'_> {
    fn stage(&self) -> Option<&Stage> {
        usize::try_from(self.stage).ok().and_then(|stage| self.policy.stages.get(stage))
    }

    /// Whether somebody may answer here: they are known, are not barred, and have not used their answer in another stage.
    fn may(&self, person: &PersonId) -> bool {
        let rules = Rules::new(self.policy, self.requesters, self.excluded);
        self.catalog.people.contains_key(person) && !rules.bars(person) && !self.spent.contains(person)
    }

    /// Whether asking somebody could help: they may answer, and were not asked by a right of their own.
    fn helps(&self, person: &PersonId) -> bool {
        let asked = |one: &&Asked| {
            one.person == *person && one.stage == self.stage && !matches!(one.because, Because::Delegate(_))
        };
        self.may(person) && self.asked.iter().find(asked).is_none()
    }

    /// With those whom they let answer.
    fn with_delegates(&self, mut all: Vec<Asked>) -> Vec<Asked> {
        let rules = Rules::new(self.policy, self.requesters, self.excluded);
        let receivers = delegates(self.catalog, self.policy, &all, self.delegations, self.now);
        all.extend(receivers.into_iter().filter(|asked| !rules.bars(&asked.person)));
        all
    }
}

/// Whom a step asks, with those whom they let answer: nobody who was asked already, and nobody who may not answer.
pub fn whom(around: &Around<'_>, others: Others) -> Vec<Asked> {
    let Some(stage) = around.stage() else { return Vec::new() };
    let (people, because) = match others {
        Others::Escalation(number) => {
            let step = usize::try_from(number).ok().and_then(|number| stage.escalate.get(number));
            let people = step.map(|step| around.catalog.people_in(&step.to)).unwrap_or_default();
            (people.into_iter().filter(|person| around.helps(person)).collect(), Because::Escalation(number))
        }
        Others::Turn(_) => {
            let of_rota = |subject| in_turn(around.catalog, subject, around.now).into_iter();
            let next = stage.approvers.iter().filter_map(|it| of_rota(it).find(|person| around.helps(person)));
            (next.collect::<BTreeSet<_>>(), Because::Turn)
        }
    };
    let asked = people.into_iter().map(|person| Asked { person, stage: around.stage, because: because.clone() });
    around.with_delegates(asked.collect())
}

/// Whoever has come on call since the stage began and was not asked yet, with those whom they let answer. Who may not answer
/// is passed over: then the next of the rota has come on call.
pub fn come_on_call(around: &Around<'_>) -> Vec<Asked> {
    let Some(stage) = around.stage() else { return Vec::new() };
    let first = |subject| in_turn(around.catalog, subject, around.now).into_iter().find(|person| around.may(person));
    let people: BTreeSet<PersonId> = stage.approvers.iter().filter_map(first).collect();
    let new = people.into_iter().filter(|person| around.helps(person));
    let asked = new.map(|person| Asked { person, stage: around.stage, because: Because::Turn });
    around.with_delegates(asked.collect())
}

/// Who is asked next, by which step, and when: the first of those to come that asks somebody.
pub fn next_asked(waking: &Waking<'_>, around: &Around<'_>) -> Option<(Vec<PersonId>, DateTime<Utc>)> {
    upcoming(waking).find_map(|step| match step.deed {
        Deed::Remind | Deed::Ring => None,
        Deed::Ask(others) => {
            let people: BTreeSet<PersonId> = whom(around, others).into_iter().map(|asked| asked.person).collect();
            (!people.is_empty()).then(|| (people.into_iter().collect(), step.at))
        }
    })
}

/// The people whom a stage asks when it begins: of a rota as many as must agree, whoever is on call first; of everything else
/// everybody. Never whoever is `left_out`; it is nobody's turn whose answer is `spent` in another stage.
pub fn asked_first(
    catalog: &Catalog,
    stage: &Stage,
    left_out: impl Fn(&PersonId) -> bool,
    spent: &BTreeSet<PersonId>,
    now: DateTime<Utc>,
) -> BTreeSet<PersonId> {
    let (rotas, others): (Vec<Subject>, Vec<Subject>) = stage.approvers.iter().cloned().partition(is_rota);
    let mut people = catalog.people_in(&others);
    people.retain(|person| !left_out(person));
    let quorum = usize::try_from(stage.quorum).unwrap_or(usize::MAX).max(1);
    for rota in &rotas {
        let may = in_turn(catalog, rota, now).into_iter().filter(|person| !left_out(person) && !spent.contains(person));
        people.extend(may.take(quorum));
    }
    people
}

/// Whether people of a subject are asked one after the other.
pub fn is_rota(subject: &Subject) -> bool {
    matches!(subject, Subject::Rota(_))
}

/// The people of a rota in the order in which they are asked; nobody of any other subject.
fn in_turn(catalog: &Catalog, subject: &Subject, now: DateTime<Utc>) -> Vec<PersonId> {
    match subject {
        Subject::Rota(rota) => catalog.on_call_order(rota, now),
        Subject::Person(_) | Subject::Group(_) | Subject::Accountable => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("a time")
    }

    fn stage(remind: Option<u64>, ring: Option<u64>, escalate: &[u64], rota: bool) -> Stage {
        let approvers = match rota {
            true => vec![Subject::Rota(crate::model::id::RotaName::new("ops"))],
            false => vec![Subject::Person(PersonId::new("boss"))],
        };
        let step = |after_ms: &u64| crate::model::policy::Escalation { after_ms: *after_ms, to: Vec::new() };
        Stage {
            remind_after_ms: remind,
            ring_after_ms: ring,
            escalate: escalate.iter().map(step).collect(),
            ..Stage::new(approvers, 1)
        }
    }

    #[test]
    fn the_usual_night() {
        let stage = stage(Some(180_000), Some(300_000), &[], true);
        let waking = Waking { stage: &stage, from: at(0), expires_at: at(1800), woken: 0 };
        let steps: Vec<(i64, Deed)> =
            upcoming(&waking).map(|step| ((step.at - at(0)).num_minutes(), step.deed)).collect();
        let turn = |number| Deed::Ask(Others::Turn(number));
        assert_eq!(steps, [(3, Deed::Remind), (5, Deed::Ring), (8, turn(1)), (16, turn(2)), (24, turn(3))]);
    }

    #[test]
    fn looking_stops_it_for_five_minutes_and_not_for_longer() {
        let stage = stage(Some(180_000), Some(300_000), &[480_000], false);
        let (from, until) = look(at(0), None, at(60));
        assert_eq!((from, until), (at(300), at(360)));
        let waking = Waking { stage: &stage, from, expires_at: at(1800), woken: 0 };
        let steps: Vec<i64> = upcoming(&waking).map(|step| (step.at - at(0)).num_minutes()).collect();
        assert_eq!(steps, [8, 10, 13]);
        // A second one a minute later adds what it adds.
        assert_eq!(look(from, Some(until), at(120)), (at(360), at(420)));
    }

    fn stages() -> impl Strategy<Value = Stage> {
        let after = || 0_u64..3_000_000;
        (
            proptest::option::of(after()),
            proptest::option::of(after()),
            proptest::collection::btree_set(after(), 0..5),
            any::<bool>(),
        )
            .prop_map(|(remind, ring, escalate, rota)| {
                stage(remind, ring, &escalate.into_iter().collect::<Vec<_>>(), rota)
            })
    }

    proptest! {
        #[test]
        fn each_step_comes_once_in_the_order_of_time_and_before_the_end(stage in stages(), lasts in 1_i64..4_000) {
            let mut waking = Waking { stage: &stage, from: at(0), expires_at: at(lasts), woken: 0 };
            let mut done = Vec::new();
            let mut last = at(0);
            while let Some(step) = next(&waking) {
                prop_assert_eq!(step.number, waking.woken);
                prop_assert!(step.at >= last && step.at < waking.expires_at);
                prop_assert!(!done.contains(&step.deed));
                done.push(step.deed);
                last = step.at;
                waking.woken = step.number + 1;
            }
            let in_time = ladder(&stage).into_iter().filter(|(after, _)| at(0) + *after < at(lasts)).count();
            prop_assert_eq!(done.len(), in_time);
        }

        #[test]
        fn looking_only_delays_and_never_outlasts_the_request(
            stage in stages(),
            looks in proptest::collection::vec(0_i64..2_000, 0..6),
            woken in 0_u32..6,
        ) {
            let mut looks = looks;
            looks.sort_unstable();
            let (mut from, mut until) = (at(0), None);
            let before = next(&Waking { stage: &stage, from, expires_at: at(1800), woken });
            let mut looked = TimeDelta::zero();
            for moment in looks {
                let (later, ends) = look(from, until, at(moment));
                prop_assert!(later >= from && later - from <= LOOKING_FOR);
                prop_assert!(until.is_none_or(|until| ends >= until) && ends >= at(moment));
                looked += later - from;
                (from, until) = (later, Some(ends));
            }
            let after = next(&Waking { stage: &stage, from, expires_at: at(1800), woken });
            match (before, after) {
                (Some(before), Some(after)) => {
                    prop_assert_eq!((before.number, before.deed), (after.number, after.deed));
                    prop_assert_eq!(after.at - before.at, looked);
                }
                (None, after) => prop_assert_eq!(after, None),
                (Some(before), None) => prop_assert!(before.at + looked >= at(1800)),
            }
        }
    }
}

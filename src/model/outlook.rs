//! What would become of a request: who could agree in which stage, when it reminds, escalates and ends, and whether all of it
//! could ever be agreed to. Pure; nothing is asked for.
//!
//! What lives here: the outlook of one frozen policy, and the matching of people to stages. What does not: choosing the
//! policy (`choice`), counting real answers (`approval`), saying any of it (`text`).
//!
//! A person counts once over all stages, unless the policy gives that up. So whether enough people are left is no matter of
//! one stage after the other: who is the only one for the second stage must not be spent in the first. People are matched to
//! places, stage by stage, each place moving whoever was matched before out of the way if somebody else can take theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::approval::{Asked, whom_to_ask};
use super::catalog::{Catalog, Subject};
use super::escalation::{Around, Deed, Others, come_on_call, ladder, whom};
use super::id::PersonId;
use super::plan::PlanPolicy;
use super::policy::{Relaxed, Stage};
use super::rota::on_call;

/// Who asks, and who is not there.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The people and groups.
    pub catalog: &'a Catalog,
    /// The policy, as a plan freezes it.
    pub policy: &'a PlanPolicy,
    /// Who counts as having asked.
    pub requesters: &'a [PersonId],
    /// Who may not agree although they did not ask: the author, if the policy says so.
    pub excluded: &'a [PersonId],
    /// Who does not answer.
    pub asleep: &'a BTreeSet<PersonId>,
    /// When it is asked: who is on call then is asked first. Later stages are looked at as if they began then as well.
    pub at: DateTime<Utc>,
}

/// Why somebody whom a stage names cannot agree there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Barred {
    /// They ask for it themselves.
    Requester,
    /// They made the last change of the runbook.
    Author,
    /// They are asleep.
    Asleep,
}

/// What a stage looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageOutlook {
    /// Who could agree from its beginning on: of a rota everybody, whether they have been asked yet or not.
    pub could: BTreeSet<PersonId>,
    /// Who of them is asked when it begins: of a rota whoever's turn it is.
    pub first: BTreeSet<PersonId>,
    /// Who is named and could not, and why.
    pub barred: BTreeMap<PersonId, Barred>,
    /// Who is asked as well after a while, in the order of time; nothing that comes after its end.
    pub later: Vec<Later>,
    /// Subjects of which only the platform that keeps them knows who is in them.
    pub unseen: Vec<Subject>,
}

/// People who are asked as well, after a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Later {
    /// How long after the stage's beginning.
    pub after: Duration,
    /// Who could agree then, of those who are asked.
    pub people: BTreeSet<PersonId>,
    /// Why they are asked.
    pub because: LaterBecause,
}

/// Why somebody is asked later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LaterBecause {
    /// Their shift begins.
    Shift,
    /// The stage's policy asks others.
    Escalation,
    /// They come next in a rota.
    Turn,
}

/// Whether all stages could be agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// By those who are asked at once.
    AtOnce,
    /// Only with those who are asked after so long in some stage.
    After(Duration),
    /// Not by those who are asked before it ends; with others of a rota, who may agree although nobody asks them in time.
    Unasked,
    /// Never: this stage, counted from 0, lacks so many people even when everybody is asked.
    Never {
        /// Which.
        stage: usize,
        /// How many people it lacks.
        lacks: u32,
    },
    /// That depends on who is in a group that a platform keeps.
    Unknown,
}

/// Beginnings of shifts that are looked at in one stage: what changes hands oftener is no rota.
const MOST_SHIFTS: usize = 400;

impl Scene<'_> {
    fn barred(&self, person: &PersonId) -> Option<Barred> {
        if self.excluded.contains(person) {
            return Some(Barred::Author);
        }
        let own = self.requesters.contains(person) && !self.policy.relaxed.contains(&Relaxed::RequesterMayAgree);
        match (own, self.asleep.contains(person)) {
            (true, _) => Some(Barred::Requester),
            (false, true) => Some(Barred::Asleep),
            (false, false) => None,
        }
    }

    fn able(&self, asked: &[Asked]) -> BTreeSet<PersonId> {
        let people = asked.iter().map(|asked| &asked.person);
        people.filter(|person| self.barred(person).is_none()).cloned().collect()
    }

    /// What each stage looks like.
    pub fn stages(&self) -> Vec<StageOutlook> {
        (0_u32..).zip(&self.policy.stages).map(|(number, stage)| self.stage(number, stage)).collect()
    }

    /// What is looked at while a stage waits, in the order of time: its steps that ask others, and the beginnings of shifts.
    fn moments(&self, stage: &Stage) -> BTreeSet<(Duration, LaterBecause, Option<Others>)> {
        let ends = stage.expires().unwrap_or(Duration::MAX).min(self.policy.expires());
        let steps = ladder(stage).into_iter().filter_map(|(after, deed)| match deed {
            Deed::Remind | Deed::Ring => None,
            Deed::Ask(others @ Others::Escalation(_)) => Some((after, LaterBecause::Escalation, Some(others))),
            Deed::Ask(others @ Others::Turn(_)) => Some((after, LaterBecause::Turn, Some(others))),
        });
        let rotas = stage.approvers.iter().filter_map(|subject| match subject {
            Subject::Rota(name) => self.catalog.rotas.get(name),
            Subject::Person(_) | Subject::Group(_) | Subject::Accountable => None,
        });
        let until = TimeDelta::from_std(ends).ok().and_then(|ends| self.at.checked_add_signed(ends));
        let shifts = rotas.flat_map(|rota| {
            let starts = std::iter::successors(Some(on_call(rota, self.at).until), |at| Some(on_call(rota, *at).until));
            starts.take(MOST_SHIFTS).take_while(|start| until.is_some_and(|until| *start < until))
        });
        let shifts = shifts.filter_map(|start| (start - self.at).to_std().ok());
        let shifts = shifts.map(|after| (after, LaterBecause::Shift, None));
        // Nothing is done any more from its end on.
        steps.chain(shifts).filter(|(after, ..)| *after < ends).collect()
    }

    fn stage(&self, number: u32, stage: &Stage) -> StageOutlook {
        let Self { catalog, policy, requesters, excluded, at, .. } = *self;
        // By what the bot itself asks people: whoever is asleep is asked as well, and does not answer.
        let spent = BTreeSet::new();
        let nobody = Around {
            catalog,
            policy,
            stage: number,
            requesters,
            excluded,
            asked: &[],
            spent: &spent,
            delegations: &[],
            now: at,
        };
        let first = whom_to_ask(&nobody);
        let could = self.catalog.people_in(&stage.approvers).into_iter().filter(|person| self.barred(person).is_none());
        let (could, at_once) = (could.collect(), self.able(&first));
        let (mut asked, mut later) = (first, Vec::new());
        for (after, because, others) in self.moments(stage) {
            let now = TimeDelta::from_std(after).ok().and_then(|after| at.checked_add_signed(after)).unwrap_or(at);
            let around = Around { asked: &asked, now, ..nobody };
            let new = match others {
                Some(others) => whom(&around, others),
                None => come_on_call(&around),
            };
            let people = self.able(&new);
            asked.extend(new);
            // An escalation is the policy's word, whether it brings somebody new or not.
            if !people.is_empty() || because == LaterBecause::Escalation {
                later.push(Later { after, people, because });
            }
        }
        let all: Vec<Subject> = stage.subjects().cloned().collect();
        let barred = self.catalog.people_in(&all).into_iter();
        let mut unseen: Vec<Subject> =
            all.iter().filter(|it| self.catalog.is_kept_elsewhere(std::slice::from_ref(*it))).cloned().collect();
        unseen.dedup();
        StageOutlook {
            could,
            first: at_once,
            barred: barred.filter_map(|person| self.barred(&person).map(|why| (person, why))).collect(),
            later,
            unseen,
        }
    }

    /// Whether all of it could be agreed to, and if only later, how long after a stage's beginning.
    pub fn verdict(&self) -> Verdict {
        let stages = self.stages();
        let mut waits: BTreeSet<Duration> = BTreeSet::from([Duration::ZERO]);
        waits.extend(stages.iter().flat_map(|stage| stage.later.iter().map(|later| later.after)));
        for wait in waits {
            let able: Vec<BTreeSet<PersonId>> = stages.iter().map(|stage| stage.by(wait)).collect();
            match self.matched(&able) {
                Ok(()) if wait.is_zero() => return Verdict::AtOnce,
                Ok(()) => return Verdict::After(wait),
                Err(_) => {}
            }
        }
        let everybody: Vec<BTreeSet<PersonId>> = stages.iter().map(StageOutlook::everybody).collect();
        let Err((stage, lacks)) = self.matched(&everybody) else { return Verdict::Unasked };
        if stages.iter().any(|stage| !stage.unseen.is_empty()) {
            return Verdict::Unknown;
        }
        Verdict::Never { stage, lacks }
    }

    /// How many different people must agree in all.
    pub fn people_needed(&self) -> u32 {
        let quorums = || self.policy.stages.iter().map(|stage| stage.quorum);
        match self.policy.relaxed.contains(&Relaxed::OnePersonSeveralStages) {
            true => quorums().max().unwrap_or(0),
            false => quorums().fold(0, u32::saturating_add),
        }
    }

    /// Whether every place of every stage has somebody of its own; else the first stage for which they do not suffice, and
    /// how many it lacks.
    fn matched(&self, able: &[BTreeSet<PersonId>]) -> Result<(), (usize, u32)> {
        let again = self.policy.relaxed.contains(&Relaxed::OnePersonSeveralStages);
        // Whose place is whose: a place is its stage and number.
        let mut taken: BTreeMap<PersonId, usize> = BTreeMap::new();
        for (number, stage) in self.policy.stages.iter().enumerate() {
            if again {
                taken.clear();
            }
            let found = (0..stage.quorum).filter(|_| place(number, able, &mut taken, &mut BTreeSet::new())).count();
            let lacks = stage.quorum.saturating_sub(u32::try_from(found).unwrap_or(u32::MAX));
            if lacks > 0 {
                return Err((number, lacks));
            }
        }
        Ok(())
    }
}

/// Finds somebody for one more place of a stage, moving others to their stage's other people where that helps.
fn place(
    stage: usize,
    able: &[BTreeSet<PersonId>],
    taken: &mut BTreeMap<PersonId, usize>,
    tried: &mut BTreeSet<PersonId>,
) -> bool {
    let people: Vec<PersonId> = able.get(stage).into_iter().flatten().cloned().collect();
    for person in people {
        if !tried.insert(person.clone()) {
            continue;
        }
        let free = match taken.get(&person).copied() {
            None => true,
            // Somebody of this very stage leaves no place by moving within it.
            Some(other) => place(other, able, taken, tried),
        };
        if free {
            taken.insert(person, stage);
            return true;
        }
    }
    false
}

impl StageOutlook {
    /// Who of those who are asked could agree after so long.
    pub fn by(&self, wait: Duration) -> BTreeSet<PersonId> {
        let later = self.later.iter().filter(|later| later.after <= wait).flat_map(|later| &later.people);
        self.first.iter().chain(later).cloned().collect()
    }

    /// Who could agree at any time before it ends, whether they are asked or not.
    pub fn everybody(&self) -> BTreeSet<PersonId> {
        self.by(Duration::MAX).union(&self.could).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::catalog::Person;
    use super::super::id::PolicyName;
    use super::super::policy::{Delegating, Escalation};
    use super::*;

    const EVERYBODY: [&str; 5] = ["ann", "boss", "lin", "mei", "zoe"];

    fn people(names: &[&str]) -> Vec<PersonId> {
        names.iter().map(|name| PersonId::new(*name)).collect()
    }

    fn catalog() -> Catalog {
        let person =
            |name: PersonId| (name.clone(), Person { name, accounts: vec![], ask: super::super::catalog::Ask::Thread });
        Catalog { people: people(&EVERYBODY).into_iter().map(person).collect(), ..Catalog::default() }
    }

    fn stage(names: &[&str], quorum: u32, later: &[(u64, &[&str])]) -> Stage {
        let subjects = |names: &[&str]| people(names).into_iter().map(Subject::Person).collect::<Vec<_>>();
        let escalate = later
            .iter()
            .map(|(minutes, names)| Escalation { after_ms: minutes * 60_000, to: subjects(names) })
            .collect();
        Stage { escalate, ..Stage::new(subjects(names), quorum) }
    }

    fn policy(stages: Vec<Stage>, relaxed: &[Relaxed]) -> PlanPolicy {
        PlanPolicy {
            name: PolicyName::new("it"),
            stages,
            expires_ms: 1_800_000,
            starts_within_ms: None,
            valid_for_ms: 3_600_000,
            relaxed: relaxed.to_vec(),
            exclude_author: false,
            delegating: Delegating::Allowed,
            needs: vec![],
            denied_before: None,
            repeat: None,
            break_glass: None,
            unasked: Vec::new(),
            automatic: vec![],
            text: String::new(),
        }
    }

    fn verdict(policy: &PlanPolicy, requester: &str, asleep: &[&str]) -> Verdict {
        let (catalog, requesters) = (catalog(), people(&[requester]));
        let asleep = people(asleep).into_iter().collect();
        let (requesters, asleep) = (&requesters, &asleep);
        Scene { catalog: &catalog, policy, requesters, excluded: &[], asleep, at: DateTime::UNIX_EPOCH }.verdict()
    }

    #[test]
    fn who_asks_does_not_count_and_who_is_asleep_waits_for_others() {
        let alone = policy(vec![stage(&["boss"], 1, &[])], &[]);
        assert_eq!(verdict(&alone, "mei", &[]), Verdict::AtOnce);
        assert_eq!(verdict(&alone, "boss", &[]), Verdict::Never { stage: 0, lacks: 1 });
        assert_eq!(verdict(&alone, "mei", &["boss"]), Verdict::Never { stage: 0, lacks: 1 });
        let own = policy(vec![stage(&["boss"], 1, &[])], &[Relaxed::RequesterMayAgree]);
        assert_eq!(verdict(&own, "boss", &[]), Verdict::AtOnce);
        let later = policy(vec![stage(&["boss"], 1, &[(8, &["lin"]), (20, &["zoe"])])], &[]);
        assert_eq!(verdict(&later, "mei", &["boss"]), Verdict::After(Duration::from_secs(480)));
        assert_eq!(verdict(&later, "mei", &["boss", "lin"]), Verdict::After(Duration::from_secs(1200)));
    }

    #[test]
    fn a_person_counts_once_over_all_stages() {
        // lin is needed for the second stage, so boss must take the first.
        let two = policy(vec![stage(&["boss", "lin"], 1, &[]), stage(&["lin"], 1, &[])], &[]);
        assert_eq!(verdict(&two, "mei", &[]), Verdict::AtOnce);
        assert_eq!(verdict(&two, "boss", &[]), Verdict::Never { stage: 1, lacks: 1 });
        assert_eq!(verdict(&two, "mei", &["boss"]), Verdict::Never { stage: 1, lacks: 1 });
        let again = policy(two.stages.clone(), &[Relaxed::OnePersonSeveralStages]);
        assert_eq!(verdict(&again, "boss", &[]), Verdict::AtOnce);
        // Three stages whose people only suffice if each is where nobody else can be.
        let three =
            vec![stage(&["ann", "boss", "lin"], 1, &[]), stage(&["ann", "boss"], 1, &[]), stage(&["ann"], 1, &[])];
        assert_eq!(verdict(&policy(three, &[]), "mei", &[]), Verdict::AtOnce);
        let many = policy(vec![stage(&["ann", "boss", "lin"], 2, &[]), stage(&["boss", "lin"], 2, &[])], &[]);
        assert_eq!(verdict(&many, "mei", &[]), Verdict::Never { stage: 1, lacks: 1 });
    }

    #[test]
    fn each_stage_says_who_could_and_who_could_not() {
        let (catalog, asleep) = (catalog(), people(&["lin"]).into_iter().collect());
        let policy = policy(vec![stage(&["ann", "boss", "lin", "mei"], 1, &[(8, &["zoe", "mei"])])], &[]);
        let (requesters, excluded) = (people(&["mei"]), people(&["ann"]));
        let (requesters, excluded, at) = (&requesters, &excluded, DateTime::UNIX_EPOCH);
        let scene = Scene { catalog: &catalog, policy: &policy, requesters, excluded, asleep: &asleep, at };
        let [stage] = &scene.stages()[..] else { panic!("one stage") };
        assert_eq!(stage.could, people(&["boss"]).into_iter().collect());
        let why: Vec<_> = stage.barred.iter().map(|(person, why)| (person.as_str(), *why)).collect();
        assert_eq!(why, [("ann", Barred::Author), ("lin", Barred::Asleep), ("mei", Barred::Requester)]);
        assert_eq!(stage.everybody(), people(&["boss", "zoe"]).into_iter().collect());
        assert_eq!(scene.people_needed(), 1);
    }

    /// Whether every place can be filled, by trying everything.
    fn by_trying(stages: &[(BTreeSet<usize>, u32)], used: BTreeSet<usize>) -> bool {
        let Some(((able, quorum), rest)) = stages.split_first() else { return true };
        if *quorum == 0 {
            return by_trying(rest, used);
        }
        let one_less: Vec<_> = std::iter::once((able.clone(), quorum - 1)).chain(rest.iter().cloned()).collect();
        able.difference(&used).any(|person| {
            let used = used.iter().copied().chain([*person]).collect();
            by_trying(&one_less, used)
        })
    }

    proptest! {
        #[test]
        fn people_are_matched_whenever_they_can_be(
            stages in proptest::collection::vec((proptest::collection::btree_set(0..5_usize, 1..5), 1..3_u32), 1..4)
        ) {
            let names = |people: &BTreeSet<usize>| people.iter().map(|at| EVERYBODY[*at]).collect::<Vec<_>>();
            let policy = policy(stages.iter().map(|(able, quorum)| stage(&names(able), *quorum, &[])).collect(), &[]);
            match verdict(&policy, "nobody", &[]) {
                Verdict::AtOnce => prop_assert!(by_trying(&stages, BTreeSet::new())),
                Verdict::Never { stage, lacks } => {
                    prop_assert!(lacks > 0);
                    prop_assert!(by_trying(&stages[..stage], BTreeSet::new()), "it is the first that lacks people");
                    prop_assert!(!by_trying(&stages[..=stage], BTreeSet::new()));
                    // So many fewer would do.
                    let mut fewer = stages[..=stage].to_vec();
                    fewer[stage].1 -= lacks;
                    prop_assert!(by_trying(&fewer, BTreeSet::new()));
                }
                other => prop_assert!(false, "{other:?}"),
            }
        }

        #[test]
        fn fewer_asleep_never_make_it_worse(
            able in proptest::collection::btree_set(0..5_usize, 1..5), quorum in 1..4_u32,
            asleep in proptest::collection::btree_set(0..5_usize, 0..5),
        ) {
            let names = |people: &BTreeSet<usize>| people.iter().map(|at| EVERYBODY[*at]).collect::<Vec<_>>();
            let policy = policy(vec![stage(&names(&able), quorum, &[(8, &["zoe"])])], &[]);
            let rank = |verdict: Verdict| match verdict {
                Verdict::AtOnce => 0,
                Verdict::After(_) => 1,
                Verdict::Unasked => 2,
                Verdict::Unknown => 3,
                Verdict::Never { .. } => 4,
            };
            let all = rank(verdict(&policy, "mei", &[]));
            prop_assert!(all <= rank(verdict(&policy, "mei", &names(&asleep))));
        }
    }
}

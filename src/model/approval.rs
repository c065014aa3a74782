//! What an answer to a request comes to: pure, total, one function.
//!
//! What lives here: who may answer, what counts, what all answers come to ([`tally`]), and the ruling on one more
//! ([`rule`]). What does not: states and their transitions (`request`), reading and writing any of it (the top-level
//! `approval`), wording (`text`).
//!
//! Keeps I7: whoever asked never counts, and nobody counts twice, in their own name or another's, in one stage or in
//! several. Keeps I13: what counts is the frozen policy and whoever was asked under it; what is alive may only narrow that.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::catalog::{Catalog, Subject};
use super::chat::Account;
use super::escalation::{Around, asked_first};
use super::id::PersonId;
use super::plan::PlanPolicy;
use super::policy::{Relaxed, Stage};
use super::request::{Answer, Decision, Proof, RequestState};

/// What is alive and may only narrow: who is who, and who is where, at this moment.
pub trait Rights {
    /// Whether a person is, or is in, one of the subjects.
    fn includes(&self, subjects: &[Subject], person: &PersonId) -> bool;
    /// Whose account it is.
    fn owner(&self, account: &Account) -> Option<PersonId>;
    /// Whether there is such a person.
    fn knows(&self, person: &PersonId) -> bool;
}

impl Rights for Catalog {
    fn includes(&self, subjects: &[Subject], person: &PersonId) -> bool {
        Catalog::includes(self, subjects, person)
    }

    fn owner(&self, account: &Account) -> Option<PersonId> {
        self.person_of(account).map(|person| person.name.clone())
    }

    fn knows(&self, person: &PersonId) -> bool {
        self.people.contains_key(person)
    }
}

/// Somebody who was asked, and why they.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Who.
    pub person: PersonId,
    /// In which stage.
    pub stage: u32,
    /// Why.
    pub because: Because,
}

/// Why somebody is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// The stage names them.
    Stage,
    /// Nobody had decided for a while: the stage's escalation of this number, counted from 0.
    Escalation(u32),
    /// They come next in a rota that the stage asks: nobody had decided for a while, or their shift began.
    Turn,
    /// Somebody who is asked lets them answer.
    Delegate(PersonId),
    /// The policy needs them in particular.
    Needed,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stage => f.write_str("stage"),
            Self::Escalation(number) => write!(f, "escalation:{number}"),
            Self::Delegate(giver) => write!(f, "delegate:{giver}"),
            Self::Turn => f.write_str("turn"),
            Self::Needed => f.write_str("needed"),
        }
    }
}

/// Text that is no reason for asking.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no reason for asking somebody")]
pub struct BecauseError(String);

impl FromStr for Because {
    type Err = BecauseError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || BecauseError(text.to_owned());
        match text.split_once(':') {
            None if text == "stage" => Ok(Self::Stage),
            None if text == "turn" => Ok(Self::Turn),
            None if text == "needed" => Ok(Self::Needed),
            Some(("escalation", number)) => number.parse().map(Self::Escalation).map_err(|_| wrong()),
            Some(("delegate", giver)) if !giver.is_empty() => Ok(Self::Delegate(PersonId::new(giver))),
            _ => Err(wrong()),
        }
    }
}

impl serde::Serialize for Because {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Because {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Somebody lets somebody else answer for them, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delegation {
    /// Whose right it is.
    pub giver: PersonId,
    /// Who may use it.
    pub receiver: PersonId,
    /// From when.
    pub since: DateTime<Utc>,
    /// Until when; not after.
    pub until: DateTime<Utc>,
}

impl Delegation {
    /// Whether it holds at a moment.
    pub fn holds(&self, at: DateTime<Utc>) -> bool {
        self.since <= at && at < self.until
    }
}

/// An answer that stands, and the account that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The answer.
    pub decision: Decision,
    /// The account.
    pub account: Account,
}

/// Everything that an answer to a request depends on, but for what is alive.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// Where the request stands.
    pub state: &'a RequestState,
    /// The frozen policy.
    pub policy: &'a PlanPolicy,
    /// Who counts as having asked.
    pub requesters: &'a [PersonId],
    /// Who may not agree although they did not ask: [`super::plan::Plan::excluded`].
    pub excluded: &'a [PersonId],
    /// Who was asked; `None` for a request that an older release made, which did not write it down.
    pub asked: Option<&'a [Asked]>,
    /// Answers that stand.
    pub given: &'a [Given],
    /// Who lets whom answer; ended ones left out.
    pub delegations: &'a [Delegation],
    /// Until when an answer counts.
    pub expires_at: DateTime<Utc>,
    /// Whether all of it has been confirmed posted.
    pub posted: bool,
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// To answer.
    Answer {
        /// What.
        answer: Answer,
        /// Whether they say why.
        reason: Reason,
        /// By what it is known that it is they.
        proof: Proof,
    },
    /// To take their own answer back.
    TakeBack,
    /// To have something else asked for.
    WantChange,
}

/// Whether somebody says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// They do.
    Given,
    /// They do not.
    Missing,
}

/// What an act comes to. Refusals are outcomes: they are recorded and told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// The answer counts; this is what all of them come to with it.
    Counts {
        /// The answer.
        decision: Decision,
        /// All of them.
        count: Count,
    },
    /// They have given this very answer, and since then something else has changed: all answers come to that decision now, or
    /// complete the stage.
    Settles {
        /// All of them.
        count: Count,
    },
    /// The answer is taken back.
    TakenBack {
        /// Which.
        decision: Decision,
    },
    /// It goes back to whoever asked.
    SentBack,
    /// Nothing is changed.
    Refused(Refusal),
}

/// Why an act changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The request is no longer waiting: a late answer changes nothing.
    Late,
    /// Its time is over, though nobody has said so yet.
    TooLate,
    /// Not all of it has been posted: one cannot agree to what one cannot have seen.
    NotPosted,
    /// They asked for it themselves (I7).
    OwnRequest,
    /// They made the last change of the runbook, and the policy leaves them out.
    Author,
    /// They are not asked.
    NotAsked,
    /// They were asked, and have lost the right since (I13).
    RightLost,
    /// They have given this very answer.
    AlreadyDecided,
    /// They have given the other answer: that has to be taken back first.
    Contradicts,
    /// They agreed in an earlier stage, and nobody counts in two.
    CountedBefore {
        /// In which, counted from 0.
        stage: u32,
    },
    /// Their right has been used: by the one for whom they would answer, or who answered for them.
    RightUsed {
        /// By whom.
        by: PersonId,
    },
    /// The stage wants a reason.
    ReasonNeeded,
    /// The stage wants a passkey beside the account.
    StepUpNeeded,
    /// They have given no answer that could be taken back.
    NothingToTakeBack,
}

/// The rules by which answers are counted.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    stages: &'a [Stage],
    relaxed: &'a [Relaxed],
    needs: &'a [PersonId],
    requesters: &'a [PersonId],
    excluded: &'a [PersonId],
}

impl<'a> Rules<'a> {
    /// Those of a frozen policy, for a request of these.
    pub fn new(policy: &'a PlanPolicy, requesters: &'a [PersonId], excluded: &'a [PersonId]) -> Self {
        Self { relaxed: &policy.relaxed, needs: &policy.needs, ..Self::of_stages(&policy.stages, requesters, excluded) }
    }

    /// Those of stages alone.
    pub fn of_stages(stages: &'a [Stage], requesters: &'a [PersonId], excluded: &'a [PersonId]) -> Self {
        Self { stages, relaxed: &[], needs: &[], requesters, excluded }
    }

    fn gives_up(&self, rule: Relaxed) -> bool {
        self.relaxed.contains(&rule)
    }

    /// Whether a person may not agree, because they asked or because of what they wrote.
    pub fn bars(&self, person: &PersonId) -> bool {
        let asked = self.requesters.contains(person) && !self.gives_up(Relaxed::RequesterMayAgree);
        asked || self.excluded.contains(person)
    }
}

/// What answers come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tally {
    /// A stage still waits.
    Waiting {
        /// Which, counted from 0.
        stage: u32,
        /// How many have agreed there.
        agreed: u32,
        /// How many must.
        of: u32,
        /// Whether one of those whom the policy needs in particular is missing.
        needed: bool,
    },
    /// Every stage agreed and nobody ended it.
    Agreed,
    /// As many said no as end it.
    Denied,
}

impl Tally {
    /// For how many more people it waits.
    pub fn missing(&self) -> u32 {
        match *self {
            Self::Waiting { agreed, of, needed, .. } => of.saturating_sub(agreed).max(u32::from(needed)),
            Self::Agreed | Self::Denied => 0,
        }
    }
}

/// What answers come to, and whose they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What they come to.
    pub tally: Tally,
    /// Who agreed and counts, in the order of stages and names.
    pub by: Vec<PersonId>,
    /// Rules of separation without which fewer would have counted.
    pub relaxed: BTreeSet<Relaxed>,
    /// How many said no in the stage that was counted last.
    pub against: u32,
}

/// Counts answers by the rules. `counts` tells of each whether it may: whether its giver was asked and still holds the right.
/// The order of the answers does not matter.
pub fn tally<'d>(
    rules: &Rules<'_>,
    decisions: impl IntoIterator<Item = &'d Decision>,
    counts: impl Fn(&Decision) -> bool,
) -> Count {
    let barred = |decision: &Decision| rules.bars(&decision.person) || rules.bars(decision.holder());
    let mut decisions: Vec<&Decision> =
        decisions.into_iter().filter(|decision| !barred(decision) && counts(decision)).collect();
    decisions.sort_by_key(|decision| (decision.stage, &decision.person, decision.holder()));
    let mut count = Count { tally: Tally::Agreed, by: Vec::new(), relaxed: BTreeSet::new(), against: 0 };
    let mut spent: BTreeSet<&PersonId> = BTreeSet::new();
    for (index, stage) in (0_u32..).zip(rules.stages) {
        let here = || decisions.iter().copied().filter(|decision| decision.stage == index);
        let no: BTreeSet<&PersonId> =
            here().filter(|decision| decision.answer == Answer::Deny).map(Decision::holder).collect();
        count.against = u32::try_from(no.len()).unwrap_or(u32::MAX);
        if count.against >= stage.denials {
            count.tally = Tally::Denied;
            return count;
        }
        // Whose name has been used in this stage, and whose in any.
        let mut now: BTreeSet<&PersonId> = BTreeSet::new();
        let mut agreed = 0_u32;
        for decision in here().filter(|decision| decision.answer == Answer::Approve) {
            let names = [&decision.person, decision.holder()];
            let before = names.iter().any(|name| spent.contains(*name));
            if names.iter().any(|name| now.contains(*name)) {
                continue;
            }
            if before && !rules.gives_up(Relaxed::OnePersonSeveralStages) {
                continue;
            }
            if before {
                count.relaxed.insert(Relaxed::OnePersonSeveralStages);
            }
            if names.iter().any(|name| rules.requesters.contains(*name)) {
                count.relaxed.insert(Relaxed::RequesterMayAgree);
            }
            now.extend(names);
            count.by.push(decision.person.clone());
            agreed = agreed.saturating_add(1);
        }
        spent.extend(now);
        let is_last = usize::try_from(index).is_ok_and(|index| index + 1 == rules.stages.len());
        let mut needed = is_last && !rules.needs.is_empty() && !rules.needs.iter().any(|name| spent.contains(name));
        if is_last {
            // Those who are needed in particular and whom no stage asks: they fill no place of one.
            let beside = || decisions.iter().copied().filter(|decision| decision.stage == index + 1);
            if beside().any(|decision| decision.answer == Answer::Deny) {
                count.tally = Tally::Denied;
                return count;
            }
            if let Some(one) = beside().find(|decision| rules.needs.contains(decision.holder())) {
                if needed {
                    count.by.push(one.person.clone());
                }
                needed = false;
            }
        }
        if agreed < stage.quorum || needed {
            count.tally = Tally::Waiting { stage: index, agreed, of: stage.quorum, needed };
            return count;
        }
    }
    if rules.stages.is_empty() {
        count.tally = Tally::Waiting { stage: 0, agreed: 0, of: 1, needed: false };
    }
    count
}

impl Case<'_> {
    fn rules(&self) -> Rules<'_> {
        Rules::new(self.policy, self.requesters, self.excluded)
    }

    fn stage(&self, stage: u32) -> Option<&Stage> {
        self.policy.stage_of(stage)
    }

    /// Whether somebody who was asked still holds the right by which they were.
    fn holds(&self, asked: &Asked, now: DateTime<Utc>, rights: &impl Rights) -> bool {
        let Some(stage) = self.stage(asked.stage) else { return false };
        match &asked.because {
            Because::Stage | Because::Turn => rights.includes(&stage.approvers, &asked.person),
            Because::Escalation(number) => {
                let step = usize::try_from(*number).ok().and_then(|number| stage.escalate.get(number));
                step.is_some_and(|step| rights.includes(&step.to, &asked.person))
            }
            Because::Needed => self.policy.needs.contains(&asked.person) && rights.knows(&asked.person),
            Because::Delegate(giver) => {
                let lets = |one: &Delegation| one.giver == *giver && one.receiver == asked.person && one.holds(now);
                self.policy.delegating.is_allowed()
                    && rights.knows(&asked.person)
                    && self.delegations.iter().any(lets)
                    && self.rights_of(giver, asked.stage).any(|own| {
                        // A right is handed on once, not from hand to hand.
                        !matches!(own.because, Because::Delegate(_)) && self.holds(&own, now, rights)
                    })
            }
        }
    }

    /// Whether the request waits in an earlier stage than this.
    fn is_before(&self, at: u32) -> bool {
        matches!(*self.state, RequestState::Pending { stage } if stage < at)
    }

    /// By which rights a person was asked in a stage.
    fn rights_of(&self, person: &PersonId, stage: u32) -> impl Iterator<Item = Asked> {
        let recorded: Vec<Asked> = match self.asked {
            Some(asked) => {
                asked.iter().filter(|asked| asked.person == *person && asked.stage == stage).cloned().collect()
            }
            None => vec![Asked { person: person.clone(), stage, because: Because::Stage }],
        };
        recorded.into_iter()
    }

    /// Whether an answer that stands still counts: its giver owns the account, was asked, and holds that right.
    fn counts(&self, given: &Given, now: DateTime<Utc>, rights: &impl Rights) -> bool {
        let decision = &given.decision;
        let of_theirs = |asked: &Asked| match &asked.because {
            Because::Delegate(giver) => decision.on_behalf_of.as_ref() == Some(giver),
            Because::Stage | Because::Escalation(_) | Because::Turn | Because::Needed => {
                decision.on_behalf_of.is_none()
            }
        };
        rights.owner(&given.account).as_ref() == Some(&decision.person)
            && self
                .rights_of(&decision.person, decision.stage)
                .any(|asked| of_theirs(&asked) && self.holds(&asked, now, rights))
    }

    /// What the answers that stand and still count come to, with one more if there is one.
    fn count(&self, more: Option<&Decision>, now: DateTime<Utc>, rights: &impl Rights) -> Count {
        let alive: Vec<&Decision> =
            self.given.iter().filter(|given| self.counts(given, now, rights)).map(|given| &given.decision).collect();
        tally(&self.rules(), alive.into_iter().chain(more), |_| true)
    }

    /// Whether an answer is a denial that stands and no longer counts, since its giver has lost the right.
    pub fn sets_aside(&self, given: &Given, now: DateTime<Utc>, rights: &impl Rights) -> bool {
        given.decision.answer == Answer::Deny && !self.counts(given, now, rights)
    }

    /// What the answers that stand and still count come to, and whose they are.
    pub fn counted(&self, now: DateTime<Utc>, rights: &impl Rights) -> Count {
        self.count(None, now, rights)
    }

    /// For what the request waits now: usually its stage; an earlier one if somebody who agreed there has lost the right
    /// since.
    pub fn waits_for(&self, now: DateTime<Utc>, rights: &impl Rights) -> Tally {
        self.count(None, now, rights).tally
    }

    /// The stage in which an answer would count now. `None`: the request does not wait.
    pub fn open_stage(&self, now: DateTime<Utc>, rights: &impl Rights) -> Option<u32> {
        let RequestState::Pending { stage } = *self.state else { return None };
        match self.waits_for(now, rights) {
            Tally::Waiting { stage: earliest, .. } => Some(earliest.min(stage)),
            // A right that came back can say so: whoever repeats their answer settles it.
            Tally::Agreed | Tally::Denied => Some(stage),
        }
    }

    /// The people who were asked and still hold the right by which they were, in the order of their names, whether or not they
    /// have answered.
    pub fn holders(&self, now: DateTime<Utc>, rights: &impl Rights) -> BTreeSet<PersonId> {
        let asked = self.asked.unwrap_or_default().iter();
        asked.filter(|asked| self.holds(asked, now, rights)).map(|asked| asked.person.clone()).collect()
    }

    /// The people who could answer now, in the order of their names: asked in the stage that waits, still holding the right,
    /// not barred, not spent.
    pub fn could_answer(&self, now: DateTime<Utc>, rights: &impl Rights) -> BTreeSet<PersonId> {
        let people: BTreeSet<&PersonId> = self.asked.unwrap_or_default().iter().map(|asked| &asked.person).collect();
        let yes = |person: &PersonId| {
            let proof = Proof::Passkey { credential: String::new() };
            let act = Act::Answer { answer: Answer::Approve, reason: Reason::Given, proof };
            // That it has not been posted yet keeps nobody from being asked.
            let case = Case { posted: true, ..self.clone() };
            matches!(rule(&case, person, &act, now, rights), Ruling::Counts { .. })
        };
        people.into_iter().filter(|person| yes(person)).cloned().collect()
    }
}

/// Whom a stage asks when it begins: those it names, those whom the policy needs in particular if it is the last, and those
/// whom they let answer. Never whoever is barred. Of a rota whoever is on call and can still answer.
///
/// Whom the stage itself names is asked although their answer is spent: they may take it back, and others have theirs to give.
pub fn whom_to_ask(around: &Around<'_>) -> Vec<Asked> {
    let Around { catalog, policy, stage, requesters, excluded, asked: _, spent, delegations, now } = *around;
    let rules = Rules::new(policy, requesters, excluded);
    let index = usize::try_from(stage).unwrap_or(usize::MAX);
    let Some(wanted) = policy.stages.get(index) else { return Vec::new() };
    let asked = |person: PersonId, because| Asked { person, stage, because };
    let first = asked_first(catalog, wanted, |person| rules.bars(person), spent, now);
    let mut all: Vec<Asked> = first.into_iter().map(|person| asked(person, Because::Stage)).collect();
    if index + 1 == policy.stages.len() {
        let needed = policy.needs.iter().filter(|person| catalog.people.contains_key(*person));
        let stage = policy.needed_stage();
        all.extend(needed.map(|person| Asked { person: person.clone(), stage, because: Because::Needed }));
    }
    all.retain(|asked| !rules.bars(&asked.person));
    let receivers = delegates(catalog, policy, &all, delegations, now);
    all.extend(receivers.into_iter().filter(|asked| !rules.bars(&asked.person)));
    all
}

/// Whose answer in another stage keeps them from this one, as long as it stands: whoever gave it, and for whom.
pub fn spent_elsewhere<'d>(
    policy: &PlanPolicy,
    stage: u32,
    decisions: impl IntoIterator<Item = &'d Decision>,
) -> BTreeSet<PersonId> {
    if policy.relaxed.contains(&Relaxed::OnePersonSeveralStages) {
        return BTreeSet::new();
    }
    let elsewhere = decisions.into_iter().filter(|decision| decision.stage != stage);
    elsewhere.flat_map(|decision| [decision.person.clone(), decision.holder().clone()]).collect()
}

/// Whom those who are asked let answer for them, at a moment.
pub fn delegates(
    catalog: &Catalog,
    policy: &PlanPolicy,
    asked: &[Asked],
    delegations: &[Delegation],
    now: DateTime<Utc>,
) -> Vec<Asked> {
    if !policy.delegating.is_allowed() {
        return Vec::new();
    }
    let own = asked.iter().filter(|asked| !matches!(asked.because, Because::Delegate(_)));
    own.flat_map(|own| {
        let lets = move |one: &&Delegation| one.giver == own.person && one.holds(now);
        delegations.iter().filter(lets).map(|one| Asked {
            person: one.receiver.clone(),
            stage: own.stage,
            because: Because::Delegate(own.person.clone()),
        })
    })
    .filter(|asked| catalog.people.contains_key(&asked.person))
    .collect()
}

/// Rules on what somebody wants. Of what is not in `case` only `now` and `rights` matter, and they only narrow.
pub fn rule(case: &Case<'_>, person: &PersonId, act: &Act, now: DateTime<Utc>, rights: &impl Rights) -> Ruling {
    match rule_or_refuse(case, person, act, now, rights) {
        Ok(ruling) => ruling,
        Err(refusal) => Ruling::Refused(refusal),
    }
}

fn rule_or_refuse(
    case: &Case<'_>,
    person: &PersonId,
    act: &Act,
    now: DateTime<Utc>,
    rights: &impl Rights,
) -> Result<Ruling, Refusal> {
    let Some(stage) = case.open_stage(now, rights) else { return Err(Refusal::Late) };
    if now >= case.expires_at {
        return Err(Refusal::TooLate);
    }
    if matches!(act, Act::TakeBack) {
        // Whatever has become of the right: taking back only narrows.
        let mine = case.given.iter().rev().find(|given| given.decision.person == *person);
        let decision = mine.map(|given| given.decision.clone()).ok_or(Refusal::NothingToTakeBack)?;
        return Ok(Ruling::TakenBack { decision });
    }
    if !case.posted {
        return Err(Refusal::NotPosted);
    }
    let (stage, on_behalf_of) = match right(case, person, stage, now, rights) {
        // Whoever has answered before is not asked again, and knows that they were.
        Err(Refusal::NotAsked) => return Err(counted_before(case, person).unwrap_or(Refusal::NotAsked)),
        other => other?,
    };
    let (answer, reason, proof) = match act {
        Act::Answer { answer, reason, proof } => (*answer, *reason, proof.clone()),
        Act::TakeBack | Act::WantChange => return Ok(Ruling::SentBack),
    };
    let decision = Decision { person: person.clone(), stage, answer, on_behalf_of, proof };
    match unspent(case, &decision, now, rights) {
        Err(Refusal::AlreadyDecided) => {
            let count = case.count(None, now, rights);
            // Nothing is decided in the name of somebody who says the opposite.
            let settles = match count.tally {
                Tally::Agreed => answer == Answer::Approve,
                Tally::Denied => answer == Answer::Deny,
                Tally::Waiting { stage: at, .. } => answer == Answer::Approve && case.is_before(at),
            };
            return if settles { Ok(Ruling::Settles { count }) } else { Err(Refusal::AlreadyDecided) };
        }
        other => other?,
    }
    let Some(asked) = case.stage(stage) else { return Err(Refusal::NotAsked) };
    if asked.reason_required && reason == Reason::Missing {
        return Err(Refusal::ReasonNeeded);
    }
    if asked.step_up && answer == Answer::Approve && decision.proof.is_chat() {
        return Err(Refusal::StepUpNeeded);
    }
    let count = case.count(Some(&decision), now, rights);
    Ok(Ruling::Counts { decision, count })
}

/// By whose right a person may answer in a stage: their own before another's.
fn right(
    case: &Case<'_>,
    person: &PersonId,
    stage: u32,
    now: DateTime<Utc>,
    rights: &impl Rights,
) -> Result<(u32, Option<PersonId>), Refusal> {
    let rules = case.rules();
    if case.excluded.contains(person) {
        return Err(Refusal::Author);
    }
    if rules.bars(person) {
        return Err(Refusal::OwnRequest);
    }
    let mut was_asked = false;
    let mut used = None;
    let mut all: Vec<Asked> = case.rights_of(person, stage).collect();
    // Beside the last stage those answer who are needed in particular; a place in the stage comes first.
    if case.policy.needed_stage() == stage + 1 && case.asked.is_some() {
        all.extend(case.rights_of(person, stage + 1));
    }
    all.sort_by_key(|asked| matches!(asked.because, Because::Delegate(_)));
    for asked in all {
        let holds = case.holds(&asked, now, rights);
        let Because::Delegate(giver) = asked.because else {
            was_asked = true;
            if holds {
                return Ok((asked.stage, None));
            }
            continue;
        };
        // One who asked cannot have somebody agree in their name.
        if rules.bars(&giver) {
            continue;
        }
        was_asked = true;
        if !holds {
            continue;
        }
        // Of several who let them answer, one whose right is still there.
        let uses = |given: &&Given| {
            given.decision.person != *person && given.decision.involves(&giver) && case.counts(given, now, rights)
        };
        match case.given.iter().find(uses) {
            Some(given) => used = Some(given.decision.person.clone()),
            None => return Ok((asked.stage, Some(giver))),
        }
    }
    Err(match used {
        Some(by) => Refusal::RightUsed { by },
        // Without a record of who was asked nobody can be said to have lost a right.
        None if was_asked && case.asked.is_some() => Refusal::RightLost,
        None => Refusal::NotAsked,
    })
}

/// That somebody's answer counts in another stage than the one that waits, and that nobody counts in two.
fn counted_before(case: &Case<'_>, person: &PersonId) -> Option<Refusal> {
    if case.policy.relaxed.contains(&Relaxed::OnePersonSeveralStages) {
        return None;
    }
    let given = case.given.iter().find(|given| given.decision.person == *person)?;
    Some(Refusal::CountedBefore { stage: given.decision.stage })
}

/// Whether neither the person nor the one for whom they answer has answered before (I7). Another's answer that no longer counts,
/// as their delegation is over, has used no right: whose right it is may answer again.
fn unspent(case: &Case<'_>, decision: &Decision, now: DateTime<Utc>, rights: &impl Rights) -> Result<(), Refusal> {
    let again = case.policy.relaxed.contains(&Relaxed::OnePersonSeveralStages);
    let own = |given: &&Given| given.decision.person == decision.person;
    for given in case.given.iter().filter(|given| own(given) || case.counts(given, now, rights)) {
        let given = &given.decision;
        let same_stage = given.stage == decision.stage;
        if given.person == decision.person {
            if same_stage && given.answer == decision.answer {
                return Err(Refusal::AlreadyDecided);
            }
            if same_stage {
                return Err(Refusal::Contradicts);
            }
            if !again {
                return Err(Refusal::CountedBefore { stage: given.stage });
            }
        } else if (same_stage || !again) && (given.involves(decision.holder()) || given.involves(&decision.person)) {
            return Err(Refusal::RightUsed { by: given.person.clone() });
        }
    }
    Ok(())
}

//! Which policy a request stands under: the base policy of its runbook, or a stricter one whose `when` matches.
//!
//! What lives here: conditions and calendars of policies, the one order of strictness, and the choice, all pure; the moment
//! is a parameter. What does not: counting answers (`approval`), reading YAML (`runbook`). Keeps I13: the choice is made
//! once, when a plan is made; what was chosen stands in the plan's bytes.
//!
//! # The order
//!
//! Of all policies that apply the strictest wins. One is stricter than another by the first of these in which they differ:
//!
//! 1. it refuses; of two that refuse, the one that does so for longer;
//! 2. more of its stages want a passkey beside the chat account;
//! 3. more different people besides whoever asked must agree (for a trigger that it lets start, nobody);
//! 4. it has more stages;
//! 5. more of its stages want a reason;
//! 6. it leaves out the author of the runbook's last change;
//! 7. its requests wait less long;
//! 8. its name comes first in the alphabet.
//!
//! The last makes the order total: no two policies have the same name. So the outcome does not depend on the order in which
//! policies are looked at, and a further policy never makes it less strict.

use std::cmp::{Ordering, Reverse};
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;

use super::catalog::{Catalog, Policy};
use super::id::{PolicyName, RunbookName, ServiceName, SystemName, TriggerName};
use super::policy::Relaxed;
use super::rota::moment_in;

/// How much can go wrong when a runbook runs, as its author says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Risk {
    /// Little.
    Low,
    /// Some; what a runbook has that does not say.
    #[default]
    Medium,
    /// Much.
    High,
}

impl Risk {
    /// Each, in rising order.
    pub const ALL: [Self; 3] = [Self::Low, Self::Medium, Self::High];

    /// Its word in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// When a policy applies to runbooks that do not name it: when all conditions that it has hold. One that is empty holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct When {
    /// One of these runbooks.
    pub runbooks: Vec<RunbookName>,
    /// One of these risks.
    pub risks: Vec<Risk>,
    /// On a system in one of these environments.
    pub environments: Vec<String>,
    /// On one of these systems and services; a system is everything in it.
    pub targets: Vec<String>,
    /// Within one of these times.
    pub during: Vec<Window>,
    /// Within none of these times.
    pub outside: Vec<Window>,
}

/// A time that comes once or every week, by the clocks of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Window {
    /// Hours of the day.
    Hours {
        /// On which days they begin; all of them if it is empty.
        days: Vec<Weekday>,
        /// When they begin.
        from: NaiveTime,
        /// When they end; on the next day if that is not later than `from`.
        until: NaiveTime,
        /// By whose clocks.
        zone: Tz,
    },
    /// Once.
    Dates {
        /// Its first moment.
        from: DateTime<Utc>,
        /// Its end, which is no longer part of it.
        until: DateTime<Utc>,
        /// The zone in which it was written, and in which its end is said.
        zone: Tz,
    },
}

impl Window {
    /// The hours that begin on a day, if they do: first moment and end. Clocks that skip all of them leave nothing.
    fn hours_of(&self, day: NaiveDate) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let Self::Hours { days, from, until, zone } = self else { return None };
        if !days.is_empty() && !days.contains(&day.weekday()) {
            return None;
        }
        let last = if until <= from { day.checked_add_days(Days::new(1))? } else { day };
        Some((moment_in(*zone, day.and_time(*from)), moment_in(*zone, last.and_time(*until))))
    }

    /// The end of it around a moment; `None`: the moment is not in it.
    pub fn end_around(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Dates { from, until, .. } => (*from <= at && at < *until).then_some(*until),
            Self::Hours { zone, .. } => {
                let today = at.with_timezone(zone).date_naive();
                [today.checked_sub_days(Days::new(1)), Some(today)]
                    .into_iter()
                    .flatten()
                    .filter_map(|day| self.hours_of(day))
                    .find(|(from, until)| *from <= at && at < *until)
                    .map(|(_, until)| until)
            }
        }
    }

    /// The next beginning of it after a moment; `None`: it does not come again.
    pub fn next_start(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        /// A week, and days on which clocks skip the hours.
        const LOOKED_AHEAD: u64 = 15;
        match self {
            Self::Dates { from, .. } => (*from > at).then_some(*from),
            Self::Hours { zone, .. } => {
                let today = at.with_timezone(zone).date_naive();
                (0..LOOKED_AHEAD)
                    .filter_map(|ahead| self.hours_of(today.checked_add_days(Days::new(ahead))?))
                    .find(|(from, until)| *from > at && from < until)
                    .map(|(from, _)| from)
            }
        }
    }

    /// The zone by whose clocks it is meant.
    pub fn zone(&self) -> Tz {
        match self {
            Self::Hours { zone, .. } | Self::Dates { zone, .. } => *zone,
        }
    }
}

/// What is known of a request when its policy is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The runbook.
    pub runbook: &'a RunbookName,
    /// How much can go wrong.
    pub risk: Risk,
    /// The system that it works on.
    pub system: &'a SystemName,
    /// That system's environment.
    pub environment: &'a str,
    /// The services and systems that its parameters name.
    pub targets: &'a [String],
    /// When it is asked for.
    pub at: DateTime<Utc>,
    /// The trigger that asks; `None`: a person does.
    pub trigger: Option<&'a TriggerName>,
}

/// A condition of `when`, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// `runbooks`
    Runbooks,
    /// `risk`
    Risk,
    /// `environments`
    Environments,
    /// `targets`
    Targets,
    /// `during`
    During,
    /// `outside`
    Outside,
}

impl When {
    /// The first condition that does not hold; `None`: it applies.
    pub fn missed(&self, facts: &Facts<'_>) -> Option<Condition> {
        let environments = self.environments.is_empty() || self.environments.iter().any(|it| it == facts.environment);
        let targets = self.targets.is_empty()
            || self.targets.iter().any(|it| it == facts.system.as_str() || facts.targets.contains(it));
        let held = [
            (Condition::Runbooks, self.runbooks.is_empty() || self.runbooks.contains(facts.runbook)),
            (Condition::Risk, self.risks.is_empty() || self.risks.contains(&facts.risk)),
            (Condition::Environments, environments),
            (Condition::Targets, targets),
            (Condition::During, self.is_during(facts.at)),
            (Condition::Outside, !self.is_outside(facts.at)),
        ];
        held.into_iter().find(|(_, holds)| !holds).map(|(condition, _)| condition)
    }

    fn is_during(&self, at: DateTime<Utc>) -> bool {
        self.during.is_empty() || self.during.iter().any(|window| window.end_around(at).is_some())
    }

    /// Whether a moment is in one of the times outside of which it applies.
    fn is_outside(&self, at: DateTime<Utc>) -> bool {
        self.outside.iter().any(|window| window.end_around(at).is_some())
    }

    /// From when on its times no longer hold, if they do at a moment, and by whose clocks that is said; `None`: never, or
    /// later than in two years.
    pub fn holds_until(&self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, Tz)> {
        let far = at.checked_add_days(Days::new(2 * 366))?;
        let end_around = |at| {
            self.during
                .iter()
                .filter_map(move |window| Some((window.end_around(at)?, window.zone())))
                .max_by_key(|it| it.0)
        };
        // Times that follow each other without a gap are one.
        let mut end = end_around(at);
        while let Some(later) = end.filter(|(end, _)| *end <= far).and_then(|(end, _)| end_around(end)) {
            end = Some(later);
        }
        let end = end.filter(|(end, _)| *end <= far);
        let next = |window: &Window| Some((window.next_start(at)?, window.zone()));
        let excepted = self.outside.iter().filter_map(next).min_by_key(|it| it.0);
        [end, excepted].into_iter().flatten().min_by_key(|it| it.0)
    }

    /// Whether it could ever apply to a runbook of this name and risk on this system.
    pub fn can_apply(&self, runbook: &RunbookName, risk: Risk, system: &super::catalog::System) -> bool {
        let of_system = |target: &String| {
            *target == system.name.as_str() || system.services.contains_key(&ServiceName::new(target))
        };
        (self.runbooks.is_empty() || self.runbooks.contains(runbook))
            && (self.risks.is_empty() || self.risks.contains(&risk))
            && (self.environments.is_empty() || self.environments.contains(&system.environment))
            && (self.targets.is_empty() || self.targets.iter().any(of_system))
    }
}

/// A rule of the order: by which of them one policy is stricter than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// It refuses, or does so for longer.
    Refuses,
    /// More stages want a passkey.
    StepUp,
    /// More people must agree.
    People,
    /// More stages.
    Stages,
    /// More stages want a reason.
    Reason,
    /// The author is left out.
    Author,
    /// It waits less long.
    Expiry,
    /// Its name comes first.
    Name,
}

/// How strict a policy is for one request: the greater, the stricter. Its fields are the order's rules, in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Strictness {
    refuses: Refusal,
    step_up: usize,
    people: u32,
    stages: usize,
    reasons: usize,
    author: bool,
    expires: Reverse<Duration>,
    name: Reverse<PolicyName>,
}

/// Whether a policy refuses, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Refusal {
    Asks,
    Until(DateTime<Utc>),
    ForGood,
}

impl Strictness {
    /// How strict a policy is for a request.
    pub fn of(policy: &Policy, facts: &Facts<'_>) -> Self {
        let until = || policy.refuses_until(facts.at).map(|(until, _)| until);
        let refuses = match &policy.refuse {
            None => Refusal::Asks,
            Some(_) => until().map_or(Refusal::ForGood, Refusal::Until),
        };
        let by_itself = facts.trigger.is_some_and(|trigger| policy.automatic.contains(trigger));
        Self {
            refuses,
            step_up: policy.step_ups(),
            people: if by_itself { 0 } else { policy.others_needed() },
            stages: policy.stages.len(),
            reasons: policy.reasons(),
            author: policy.leaves_out_author(),
            expires: Reverse(policy.expires),
            name: Reverse(policy.name.clone()),
        }
    }

    /// By which rule this one is stricter than the other, or the other than this one; `None`: it is the same policy.
    pub fn decided_by(&self, other: &Self) -> Option<Rule> {
        let compared = [
            (Rule::Refuses, self.refuses.cmp(&other.refuses)),
            (Rule::StepUp, self.step_up.cmp(&other.step_up)),
            (Rule::People, self.people.cmp(&other.people)),
            (Rule::Stages, self.stages.cmp(&other.stages)),
            (Rule::Reason, self.reasons.cmp(&other.reasons)),
            (Rule::Author, self.author.cmp(&other.author)),
            (Rule::Expiry, self.expires.cmp(&other.expires)),
            (Rule::Name, self.name.cmp(&other.name)),
        ];
        compared.into_iter().find(|(_, order)| *order != Ordering::Equal).map(|(rule, _)| rule)
    }
}

/// Why a policy is a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// The runbook names it.
    Base,
    /// Its `when` applies.
    When,
}

/// A policy that applies.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Which.
    pub policy: &'a Policy,
    /// Why.
    pub because: Because,
    /// How strict it is.
    pub strictness: Strictness,
}

/// All policies that apply to a request, the strictest first: that one is chosen. Empty only when the base policy is not
/// there and nothing else applies.
pub fn candidates<'a>(catalog: &'a Catalog, base: &PolicyName, facts: &Facts<'_>) -> Vec<Candidate<'a>> {
    let mut all: Vec<Candidate<'a>> = catalog
        .policies
        .values()
        .filter_map(|policy| {
            let applies = policy.when.as_ref().is_some_and(|when| when.missed(facts).is_none());
            let because = match (policy.name == *base, applies) {
                (true, _) => Because::Base,
                (false, true) => Because::When,
                (false, false) => return None,
            };
            Some(Candidate { policy, because, strictness: Strictness::of(policy, facts) })
        })
        .collect();
    all.sort_by(|one, other| other.strictness.cmp(&one.strictness));
    all
}

/// The policy that a request stands under.
pub fn choose<'a>(catalog: &'a Catalog, base: &PolicyName, facts: &Facts<'_>) -> Option<&'a Policy> {
    candidates(catalog, base, facts).first().map(|candidate| candidate.policy)
}

impl Policy {
    /// Until when it refuses, if it does at a moment, and by whose clocks that is said; `None`: as long as the catalog says
    /// so.
    pub fn refuses_until(&self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, Tz)> {
        self.when.as_ref().and_then(|when| when.holds_until(at))
    }

    /// How many different people besides whoever asked must agree.
    fn others_needed(&self) -> u32 {
        let quorums = || self.stages.iter().map(|stage| stage.quorum);
        let people = match self.relaxed.contains(&Relaxed::OnePersonSeveralStages) {
            true => quorums().max().unwrap_or(0),
            false => quorums().fold(0, u32::saturating_add),
        };
        people.saturating_sub(u32::from(self.relaxed.contains(&Relaxed::RequesterMayAgree)))
    }

    /// How many of its stages want a passkey.
    fn step_ups(&self) -> usize {
        self.stages.iter().filter(|stage| stage.step_up).count()
    }

    /// How many of its stages want a reason.
    fn reasons(&self) -> usize {
        self.stages.iter().filter(|stage| stage.reason_required).count()
    }

    /// Whether the author of the runbook's last change may not agree.
    fn leaves_out_author(&self) -> bool {
        self.exclude_author
    }
}

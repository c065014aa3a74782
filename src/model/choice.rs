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
//! 3. more different people besides whoever asked must agree (for a trigger that it lets start, and for a runbook that it lets
//!    some people start unasked, nobody);
//! 4. it has more stages;
//! 5. more of its stages want a reason;
//! 6. it leaves out the author of the runbook's last change;
//! 7. its requests wait less long;
//! 8. its name comes first in the alphabet.
//!
//! The last makes the order total: no two policies have the same name. So the outcome does not depend on the order in which
//! policies are looked at.
//!
//! The order looks at less than there is: who may agree is no part of it, as of two lists of people neither need be the
//! stricter one. That a further policy never makes anything less strict than the policy that the runbook names is kept by the
//! load instead: what [could win](could_win) over that policy is at least as strict in [every respect](super::strict), or says
//! in words that it replaces it.

use std::cmp::{Ordering, Reverse};
use std::time::Duration;

use chrono::{DateTime, Datelike as _, Days, NaiveDate, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;

use super::catalog::{Catalog, Policy};
use super::id::{PolicyName, RunbookName, ServiceName, SystemName, TriggerName};
use super::policy::Relaxed;
use super::rota::moment_in;

/// How much can go wrong when a runbook runs, as its author says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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
        #[serde(with = "zone_name")]
        zone: Tz,
    },
    /// Once.
    Dates {
        /// Its first moment.
        from: DateTime<Utc>,
        /// Its end, which is no longer part of it.
        until: DateTime<Utc>,
        /// The zone in which it was written, and in which its end is said.
        #[serde(with = "zone_name")]
        zone: Tz,
    },
}

/// A zone as its IANA name, where a policy is kept beside the catalog.
mod zone_name {
    use chrono_tz::Tz;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(zone.name())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
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

    /// From when on its times no longer hold, if they do at a moment, and by whose clocks that is said; `None`: never, as far
    /// as one can see.
    pub fn holds_until(&self, at: DateTime<Utc>) -> Option<(DateTime<Utc>, Tz)> {
        /// Times of a week that touch each other for so long have no end: some two years of days.
        const MOST_IN_A_ROW: usize = 800;
        let end_around = |at| {
            let ends = self.during.iter().filter_map(move |window| Some((window.end_around(at)?, window.zone())));
            ends.max_by_key(|it| it.0)
        };
        // Times that follow each other without a gap are one.
        let ends = std::iter::successors(end_around(at), |(end, _)| end_around(*end));
        let in_a_row: Vec<(DateTime<Utc>, Tz)> = ends.take(MOST_IN_A_ROW).collect();
        let end = in_a_row.last().copied().filter(|_| in_a_row.len() < MOST_IN_A_ROW);
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
        let unasked = |runbook: &RunbookName| policy.unasked.iter().any(|(of, _)| of == runbook);
        let by_itself = match facts.trigger {
            Some(trigger) => policy.automatic.iter().any(|rule| rule.lets(trigger, facts.runbook)),
            // Whoever it is that asks: a policy that lets some start by themselves is no stricter for the others.
            None => unasked(facts.runbook),
        };
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

/// Whether a policy that applies by its `when` could win over the one that a runbook names, whoever asks: a person, or one of
/// these triggers.
pub fn could_win<'a>(
    policy: &Policy,
    base: &Policy,
    runbook: &RunbookName,
    triggers: impl IntoIterator<Item = &'a TriggerName>,
) -> bool {
    let system = SystemName::new("");
    let wins = |trigger| {
        // Of all this only who asks for what matters to those that do not refuse.
        let facts = Facts {
            runbook,
            risk: Risk::default(),
            system: &system,
            environment: "",
            targets: &[],
            at: DateTime::UNIX_EPOCH,
            trigger,
        };
        Strictness::of(policy, &facts) > Strictness::of(base, &facts)
    };
    std::iter::once(None).chain(triggers.into_iter().map(Some)).any(wins)
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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::super::catalog::{Source, Stage, Subject};
    use super::super::id::{Digest, PersonId};
    use super::super::policy::{Automatic, Bound, BreakGlass, Delegating, Unasked};
    use super::super::strict::{Respect, laxer, listed};
    use super::*;

    fn moment(text: &str) -> DateTime<Utc> {
        text.parse().expect("a moment")
    }

    /// A policy of stages with these quorums, which applies always.
    pub(crate) fn policy(name: &str, quorums: &[u32]) -> Policy {
        let stage = |quorum: &u32| Stage::new(vec![Subject::Person(PersonId::new("boss"))], *quorum);
        Policy {
            name: PolicyName::new(name),
            title: name.to_owned(),
            when: Some(When::default()),
            replaces: Vec::new(),
            refuse: None,
            stages: quorums.iter().map(stage).collect(),
            expires: Duration::from_secs(1800),
            starts_within: Duration::from_secs(900),
            valid_for: Duration::from_secs(3600),
            relaxed: vec![],
            exclude_author: false,
            delegating: Delegating::Allowed,
            after_denial: crate::model::policy::AfterDenial::default(),
            repeat: None,
            break_glass: None,
            automatic: vec![],
            unasked: vec![],
            text: String::new(),
            source: Source { path: format!("{name}.yaml"), sha256: Digest([0; 32]) },
        }
    }

    fn catalog(policies: Vec<Policy>) -> Catalog {
        Catalog { policies: policies.into_iter().map(|it| (it.name.clone(), it)).collect(), ..Catalog::default() }
    }

    /// Looks with the facts of one request.
    fn with_facts<T>(at: &str, trigger: Option<&str>, look: impl FnOnce(&Facts<'_>) -> T) -> T {
        let trigger = trigger.map(TriggerName::new);
        look(&Facts {
            runbook: &RunbookName::new("deploy"),
            risk: Risk::Medium,
            system: &SystemName::new("shop"),
            environment: "production",
            targets: &["web".to_owned()],
            at: moment(at),
            trigger: trigger.as_ref(),
        })
    }

    fn chosen(policies: Vec<Policy>, trigger: Option<&str>) -> (String, Option<Rule>) {
        let catalog = catalog(policies);
        with_facts("2026-12-01T12:00:00Z", trigger, |facts| {
            let all = candidates(&catalog, &PolicyName::new("base"), facts);
            let rule = all.get(1).and_then(|second| all[0].strictness.decided_by(&second.strictness));
            (all[0].policy.name.to_string(), rule)
        })
    }

    #[test]
    fn each_rule_decides_where_those_before_it_do_not() {
        let base = || policy("base", &[1]);
        let other = |change: &dyn Fn(&mut Policy)| {
            let mut other = policy("other", &[1]);
            change(&mut other);
            chosen(vec![base(), other], None)
        };
        let wins = |rule| ("other".to_owned(), Some(rule));
        assert_eq!(other(&|it| it.refuse = Some("frozen".into())), wins(Rule::Refuses));
        assert_eq!(other(&|it| it.stages[0].step_up = true), wins(Rule::StepUp));
        assert_eq!(other(&|it| it.stages[0].quorum = 2), wins(Rule::People));
        assert_eq!(other(&|it| it.stages[0].reason_required = true), wins(Rule::Reason));
        assert_eq!(other(&|it| it.exclude_author = true), wins(Rule::Author));
        assert_eq!(other(&|it| it.expires = Duration::from_secs(60)), wins(Rule::Expiry));
        assert_eq!(other(&|_| {}), ("base".to_owned(), Some(Rule::Name)));
        // Two stages of one each want as many people as one of two.
        let (one, two) = (policy("a", &[2]), policy("base", &[1, 1]));
        assert_eq!(chosen(vec![one, two], None), ("base".to_owned(), Some(Rule::Stages)));
        // Who gives up a rule of separation wants fewer people.
        let mut relaxed = policy("a", &[1, 1]);
        relaxed.relaxed = vec![Relaxed::OnePersonSeveralStages];
        assert_eq!(chosen(vec![relaxed, policy("base", &[2])], None), ("base".to_owned(), Some(Rule::People)));
        let mut own = policy("a", &[1]);
        own.relaxed = vec![Relaxed::RequesterMayAgree];
        assert_eq!(chosen(vec![own, base()], None), ("base".to_owned(), Some(Rule::People)));
    }

    #[test]
    fn letting_a_trigger_start_is_least_strict() {
        let mut base = policy("base", &[2]);
        let bound = Bound { runbook: RunbookName::new("deploy"), runs: 3, per_ms: 3_600_000 };
        let automatic = |bound| Automatic { trigger: TriggerName::new("down"), bound: Some(bound) };
        base.automatic = vec![automatic(bound.clone())];
        let other = || policy("other", &[1]);
        assert_eq!(chosen(vec![base.clone(), other()], None).0, "base");
        assert_eq!(chosen(vec![base.clone(), other()], Some("down")), ("other".to_owned(), Some(Rule::People)));
        assert_eq!(chosen(vec![base.clone()], Some("down")).0, "base");
        // What it lets start is another runbook: of this one people are asked.
        base.automatic = vec![automatic(Bound { runbook: RunbookName::new("other"), ..bound })];
        assert_eq!(chosen(vec![base, other()], Some("down")).0, "base");
    }

    #[test]
    fn of_two_that_refuse_the_longer_one_is_named() {
        let frozen = |name: &str, until: &str| {
            let mut policy = policy(name, &[]);
            policy.refuse = Some("frozen".into());
            policy.when = Some(When {
                during: vec![Window::Dates {
                    from: moment("2026-11-01T00:00:00Z"),
                    until: moment(until),
                    zone: Tz::UTC,
                }],
                ..When::default()
            });
            policy
        };
        let (short, long) = (frozen("a", "2026-12-02T00:00:00Z"), frozen("b", "2026-12-03T00:00:00Z"));
        assert_eq!(chosen(vec![policy("base", &[3]), short, long], None), ("b".to_owned(), Some(Rule::Refuses)));
    }

    fn hours(days: &[Weekday], from: &str, until: &str, zone: Tz) -> Window {
        let time = |text: &str| NaiveTime::parse_from_str(text, "%H:%M").expect("a time");
        Window::Hours { days: days.to_vec(), from: time(from), until: time(until), zone }
    }

    const WORKDAYS: [Weekday; 5] = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri];

    #[test]
    fn conditions_hold_all_together_and_the_first_that_does_not_is_named() {
        let missed = |when: When| with_facts("2026-12-01T12:00:00Z", None, |facts| when.missed(facts));
        assert_eq!(missed(When::default()), None);
        let right = When {
            runbooks: vec![RunbookName::new("deploy"), RunbookName::new("other")],
            risks: vec![Risk::Medium],
            environments: vec!["production".into()],
            targets: vec!["web".into()],
            during: vec![hours(&WORKDAYS, "09:00", "18:00", Tz::UTC)],
            outside: vec![hours(&WORKDAYS, "18:00", "09:00", Tz::UTC)],
        };
        assert_eq!(missed(right.clone()), None);
        assert_eq!(missed(When { targets: vec!["shop".into()], ..right.clone() }), None, "a system is all in it");
        let wrong = |change: &dyn Fn(&mut When)| {
            let mut when = right.clone();
            change(&mut when);
            missed(when)
        };
        assert_eq!(wrong(&|it| it.runbooks = vec![RunbookName::new("x")]), Some(Condition::Runbooks));
        assert_eq!(wrong(&|it| it.risks = vec![Risk::High]), Some(Condition::Risk));
        assert_eq!(wrong(&|it| it.environments = vec!["scratch".into()]), Some(Condition::Environments));
        assert_eq!(wrong(&|it| it.targets = vec!["cart".into()]), Some(Condition::Targets));
        assert_eq!(wrong(&|it| it.during = vec![hours(&[], "13:00", "14:00", Tz::UTC)]), Some(Condition::During));
        assert_eq!(wrong(&|it| it.outside = vec![hours(&[], "11:00", "13:00", Tz::UTC)]), Some(Condition::Outside));
    }

    #[test]
    fn hours_go_by_the_clocks_of_their_zone() {
        let end = |window: &Window, at: &str| window.end_around(moment(at)).map(|it| it.format("%F %R").to_string());
        // Tuesday, 2026-12-01; nine in Singapore is one in UTC.
        let working = hours(&WORKDAYS, "09:00", "18:00", Tz::Asia__Singapore);
        assert_eq!(end(&working, "2026-12-01T00:59:59Z"), None);
        assert_eq!(end(&working, "2026-12-01T01:00:00Z").as_deref(), Some("2026-12-01 10:00"));
        assert_eq!(end(&working, "2026-12-01T10:00:00Z"), None);
        assert_eq!(end(&working, "2026-12-05T02:00:00Z"), None, "a Saturday");
        let next = working.next_start(moment("2026-12-04T05:00:00Z"));
        assert_eq!(next, Some(moment("2026-12-07T01:00:00Z")), "the Monday after");
        // Over midnight: the night that begins on Friday ends on Saturday.
        let night = hours(&WORKDAYS, "22:00", "06:00", Tz::UTC);
        assert_eq!(end(&night, "2026-12-05T05:59:59Z").as_deref(), Some("2026-12-05 06:00"));
        assert_eq!(end(&night, "2026-12-05T22:30:00Z"), None);
        // The night in which clocks go forward is an hour shorter.
        let berlin = hours(&[], "00:00", "06:00", Tz::Europe__Berlin);
        assert_eq!(end(&berlin, "2027-03-27T23:00:00Z").as_deref(), Some("2027-03-28 04:00"));
        // The same beginning and end are a whole day.
        let all = hours(&[Weekday::Tue], "00:00", "00:00", Tz::UTC);
        assert_eq!(end(&all, "2026-12-01T23:59:59Z").as_deref(), Some("2026-12-02 00:00"));
    }

    #[test]
    fn its_end_is_when_its_times_no_longer_hold() {
        let until = |when: &When, at: &str| {
            when.holds_until(moment(at)).map(|(until, zone)| format!("{} {zone}", until.format("%F %R")))
        };
        let during = |during: Vec<Window>| When { during, ..When::default() };
        let once = |from: &str, until: &str| Window::Dates {
            from: moment(from),
            until: moment(until),
            zone: Tz::Asia__Singapore,
        };
        let freeze = once("2026-12-20T00:00:00Z", "2027-01-03T00:00:00Z");
        let later = once("2027-01-03T00:00:00Z", "2027-01-04T00:00:00Z");
        assert_eq!(until(&When::default(), "2026-12-24T03:00:00Z"), None, "it has no times");
        assert_eq!(
            until(&during(vec![freeze.clone(), later]), "2026-12-24T03:00:00Z").as_deref(),
            Some("2027-01-04 00:00 Asia/Singapore"),
            "what follows without a gap is one time"
        );
        let always = hours(&[], "00:00", "00:00", Tz::UTC);
        assert_eq!(until(&during(vec![always.clone()]), "2026-12-24T03:00:00Z"), None);
        // Outside of working hours: until the next ones begin.
        let outside = When { outside: vec![hours(&WORKDAYS, "09:00", "18:00", Tz::UTC)], ..When::default() };
        assert_eq!(until(&outside, "2026-12-05T03:00:00Z").as_deref(), Some("2026-12-07 09:00 UTC"));
        let both = When { during: vec![always], ..outside };
        assert_eq!(until(&both, "2026-12-05T03:00:00Z").as_deref(), Some("2026-12-07 09:00 UTC"));
    }

    prop_compose! {
        fn policies()(
            quorums in proptest::collection::vec(1..4_u32, 0..3),
            flags in 0..64_u32,
            expires in 1..4_u64,
            until in proptest::option::of(1..4_i64),
        ) -> Policy {
            let mut policy = policy("x", &quorums);
            let flag = |number: u32| flags & (1 << number) != 0;
            policy.expires = Duration::from_secs(expires);
            policy.exclude_author = flag(0);
            for stage in &mut policy.stages {
                (stage.step_up, stage.reason_required) = (flag(1), flag(2));
            }
            if flag(3) {
                policy.relaxed.push(Relaxed::RequesterMayAgree);
            }
            if flag(4) && flag(5) {
                policy.refuse = Some("frozen".to_owned());
            }
            if let Some(days) = until {
                let from = moment("2026-12-01T00:00:00Z");
                let until = from + chrono::TimeDelta::days(days);
                let during = vec![Window::Dates { from, until, zone: Tz::UTC }];
                policy.when = Some(When { during, ..When::default() });
            }
            policy
        }
    }

    const PEOPLE: [&str; 4] = ["ann", "boss", "kim", "lin"];

    prop_compose! {
        /// With people, and with what starts something without them.
        fn with_people()(
            plain in policies(),
            stages in proptest::collection::vec((proptest::sample::subsequence(PEOPLE.to_vec(), 1..4), 1..3_u32, any::<bool>()), 1..3),
            glass in proptest::option::weighted(0.3, proptest::sample::subsequence(PEOPLE.to_vec(), 1..3)),
            alone in proptest::option::weighted(0.3, proptest::sample::subsequence(PEOPLE.to_vec(), 1..3)),
            denials in 1..3_u32,
            several in proptest::bool::weighted(0.3),
        ) -> Policy {
            let subjects = |names: &[&str]| names.iter().map(|name| Subject::Person(PersonId::new(*name))).collect::<Vec<_>>();
            let stage = |(names, quorum, step_up): &(Vec<&str>, u32, bool)| {
                Stage { step_up: *step_up, denials, ..Stage::new(subjects(names), *quorum) }
            };
            let mut policy = Policy { stages: stages.iter().map(stage).collect(), refuse: None, when: Some(When::default()), ..plain };
            if several {
                policy.relaxed.push(Relaxed::OnePersonSeveralStages);
            }
            policy.break_glass = glass.map(|by| BreakGlass {
                by: subjects(&by), review_within_ms: 1, reviewed_by: subjects(&["boss"]), by_chat: false,
            });
            policy.unasked = alone.into_iter().map(|by| (RunbookName::new("deploy"), Unasked { by: subjects(&by), runs: 1, per_ms: 1 })).collect();
            policy
        }
    }

    /// Whether a policy may stand beside the one that a runbook names.
    fn loads(policy: &Policy, base: &Policy) -> bool {
        !could_win(policy, base, &RunbookName::new("deploy"), []) || laxer(policy, base, &listed).is_none()
    }

    fn means(subjects: &[Subject], person: &str) -> bool {
        subjects.contains(&Subject::Person(PersonId::new(person)))
    }

    /// Whether these people are enough when `asker` asks, by trying out who stands in which stage. Knows nothing of any order.
    fn enough(policy: &Policy, asker: &str, people: &[(&str, bool)]) -> bool {
        let own = policy.relaxed.contains(&Relaxed::RequesterMayAgree);
        let several = policy.relaxed.contains(&Relaxed::OnePersonSeveralStages);
        let people: Vec<_> = people.iter().filter(|(person, _)| own || *person != asker).collect();
        let fits = |stage: &Stage, (person, passkey): &(&str, bool)| {
            means(&stage.approvers, person) && (*passkey || !stage.step_up)
        };
        if several {
            let full = |stage: &Stage| people.iter().filter(|it| fits(stage, it)).count() >= stage.quorum as usize;
            return policy.stages.iter().all(full);
        }
        // Each stands in one stage or in none.
        let places = policy.stages.len() + 1;
        (0..places.pow(u32::try_from(people.len()).expect("few"))).any(|mut way| {
            let mut counts = vec![0; policy.stages.len()];
            for it in &people {
                let place = way % places;
                way /= places;
                match policy.stages.get(place) {
                    Some(stage) if fits(stage, it) => counts[place] += 1,
                    Some(_) => return false,
                    None => {}
                }
            }
            policy.stages.iter().zip(counts).all(|(stage, count)| count >= stage.quorum)
        })
    }

    /// Who could do by one policy what nobody could by the other.
    fn passes_only(one: &Policy, other: &Policy) -> Option<(String, &'static str)> {
        for asker in PEOPLE {
            for set in 0..81_u32 {
                let state = |at: usize| (set / 3_u32.pow(u32::try_from(at).expect("few"))) % 3;
                let people: Vec<(&str, bool)> =
                    (0..4).filter(|at| state(*at) > 0).map(|at| (PEOPLE[at], state(at) == 2)).collect();
                if enough(one, asker, &people) && !enough(other, asker, &people) {
                    return Some((format!("{asker} with {people:?}"), "agree"));
                }
            }
            let alone = |policy: &Policy| policy.unasked.iter().any(|(_, rule)| means(&rule.by, asker));
            let breaks = |policy: &Policy| policy.break_glass.as_ref().is_some_and(|glass| means(&glass.by, asker));
            if alone(one) && !alone(other) {
                return Some((asker.to_owned(), "starts it unasked"));
            }
            if breaks(one) && !breaks(other) {
                return Some((asker.to_owned(), "breaks the glass"));
            }
        }
        None
    }

    #[test]
    fn others_who_may_agree_are_a_respect_that_the_order_does_not_see() {
        let base = policy("base", &[1]);
        let mut other = policy("other", &[2]);
        other.stages[0].approvers = ["kim", "lin"].map(|name| Subject::Person(PersonId::new(name))).to_vec();
        assert_eq!(chosen(vec![base.clone(), other.clone()], None).0, "other", "by the order it wins");
        assert!(passes_only(&other, &base).is_some(), "and kim and lin agree in the place of boss");
        assert_eq!(laxer(&other, &base, &listed), Some(Respect::Approvers));
        assert!(!loads(&other, &base), "so it does not load");
        other.stages[0].approvers.truncate(0);
        other.stages[0].approvers.push(Subject::Person(PersonId::new("boss")));
        assert!(loads(&other, &base) && passes_only(&other, &base).is_none());
        other.stages[0].denials = 2;
        assert_eq!(laxer(&other, &base, &listed), Some(Respect::Denials));
    }

    fn named(policies: Vec<Policy>) -> Vec<Policy> {
        let name = |number: usize| if number == 0 { "base".to_owned() } else { format!("p{number}") };
        policies
            .into_iter()
            .enumerate()
            .map(|(number, policy)| Policy { name: PolicyName::new(name(number)), ..policy })
            .collect()
    }

    fn strictest(policies: &[Policy]) -> Strictness {
        let catalog = catalog(policies.to_vec());
        with_facts("2026-12-01T12:00:00Z", None, |facts| {
            let policy = choose(&catalog, &PolicyName::new("base"), facts).expect("the base is there");
            Strictness::of(policy, facts)
        })
    }

    proptest! {
        #[test]
        fn a_further_policy_never_lets_pass_what_the_named_one_would_not(
            base in with_people(), all in proptest::collection::vec(with_people(), 0..5),
        ) {
            let mut all = named([vec![base], all].concat());
            let base = all[0].clone();
            all.retain(|policy| policy.name == base.name || loads(policy, &base));
            let catalog = catalog(all);
            let chosen = with_facts("2026-12-01T12:00:00Z", None, |facts| choose(&catalog, &base.name, facts).cloned());
            let chosen = chosen.expect("the base is there");
            if let Some((who, why)) = passes_only(&chosen, &base) {
                prop_assert!(false, "{who} {why} under\n{chosen:#?}\nand not under\n{base:#?}");
            }
        }

        #[test]
        fn the_outcome_does_not_depend_on_names_or_order(all in proptest::collection::vec(policies(), 1..6), turned in 0..6_usize) {
            let before = named(all.clone());
            // The base keeps its place: which one that is does matter when its own `when` does not apply.
            let (base, rest) = all.split_first().expect("at least one");
            let mut rest = rest.to_vec();
            let length = rest.len().max(1);
            if !rest.is_empty() {
                rest.rotate_left(turned % length);
            }
            let after = named([vec![base.clone()], rest].concat());
            let nameless = |it: Strictness| Strictness { name: Reverse(PolicyName::new("x")), ..it };
            prop_assert_eq!(nameless(strictest(&before)), nameless(strictest(&after)));
        }

        #[test]
        fn the_order_is_total_and_says_by_which_rule(one in policies(), other in policies()) {
            let two = named(vec![one, other]);
            with_facts("2026-12-01T12:00:00Z", None, |facts| {
                let (a, b) = (Strictness::of(&two[0], facts), Strictness::of(&two[1], facts));
                prop_assert!(a != b);
                prop_assert_eq!(a.decided_by(&b), b.decided_by(&a));
                prop_assert!(a.decided_by(&b).is_some());
                prop_assert_eq!(a.decided_by(&a), None);
                Ok(())
            })?;
        }

        #[test]
        fn it_holds_until_then_and_not_after(
            from in 0..1440_u32, until in 0..1440_u32, days in 0..128_u8, hours in 0..3000_i64, outside in any::<bool>(),
        ) {
            let time = |minute: u32| NaiveTime::from_num_seconds_from_midnight_opt(minute * 60, 0).expect("a time");
            let all = [Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri, Weekday::Sat, Weekday::Sun];
            let days = all.into_iter().enumerate().filter(|(at, _)| days & (1 << at) != 0).map(|(_, day)| day).collect();
            let window = Window::Hours { days, from: time(from), until: time(until), zone: Tz::Europe__Berlin };
            let when = match outside {
                true => When { outside: vec![window], ..When::default() },
                false => When { during: vec![window], ..When::default() },
            };
            let at = moment("2027-01-01T00:00:00Z") + chrono::TimeDelta::hours(hours);
            let holds = |at| when.is_during(at) && !when.is_outside(at);
            if holds(at) && let Some((end, _)) = when.holds_until(at) {
                prop_assert!(end > at);
                prop_assert!(!holds(end), "{end}");
                prop_assert!(holds(end - chrono::TimeDelta::seconds(1)), "{end}");
            }
        }
    }
}

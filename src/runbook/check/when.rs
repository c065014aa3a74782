//! When a policy applies to runbooks that do not name it, and policies that refuse.
//!
//! Looked at when everything else is known: a condition names runbooks, systems and services, and a policy that may come to
//! stand over a runbook has to fit it as the one that the runbook names does.

use std::time::Duration;

use chrono::Weekday;

use crate::model::catalog::{Policy, Runbook, Step, Subject, System};
use crate::model::choice::{Risk, When, Window, could_win};
use crate::model::id::{PolicyName, RunbookName};
use crate::model::strict::laxer;

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::{Checker, Input, Kind};

/// Days as they are written.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

impl Checker {
    /// Why a policy refuses, and that it then says nothing of whom it asks.
    pub(super) fn refuse(&mut self, input: &Input, name: &At<String>, raw: &raw::Policy) -> Option<String> {
        let written = raw.refuse.as_ref()?;
        let of_asking = [
            ("stages", raw.stages.as_ref().map(|it| it.place)),
            ("expires", raw.expires.as_ref().map(|it| it.place)),
            ("valid_for", raw.valid_for.as_ref().map(|it| it.place)),
            ("automatic", raw.automatic.as_ref().map(|it| it.place)),
            ("starts_within", raw.starts_within.as_ref().map(|it| it.place)),
            ("exclude", raw.exclude.as_ref().map(|it| it.place)),
            ("relax", raw.relax.as_ref().map(|it| it.place)),
            ("replaces", raw.replaces.as_ref().map(|it| it.place)),
            ("may_delegate", raw.may_delegate.as_ref().map(|it| it.place)),
            ("unasked", raw.unasked.as_ref().map(|it| it.place)),
            ("break_glass", raw.break_glass.as_ref().map(|it| it.place)),
            ("repeat", raw.repeat.as_ref().map(|it| it.place)),
            ("after_denial", raw.after_denial.as_ref().map(|it| it.place)),
        ];
        for (key, place) in of_asking {
            if let Some(place) = place {
                let problem = Problem::new(place, format!("`{key}` means nothing here: this policy refuses"));
                self.problem(input, problem.hint("keep `refuse` or the other"));
            }
        }
        if raw.when.is_none() {
            let problem = Problem::new(name.place, "nothing says when this policy refuses");
            self.problem(input, problem.hint("say it: `when: {during: [{from: …, until: …, zone: …}]}`"));
        }
        Some(self.text(input, written, 200))
    }

    /// How much can go wrong when a runbook runs.
    pub(super) fn risk(&mut self, input: &Input, written: &raw::Word) -> Risk {
        written.as_ref().and_then(|written| self.one_risk(input, written)).unwrap_or_default()
    }

    fn one_risk(&mut self, input: &Input, written: &At<String>) -> Option<Risk> {
        let names = || Risk::ALL.map(Risk::name);
        let found = Risk::ALL.into_iter().find(|risk| risk.name() == written.value);
        if found.is_none() {
            let problem = Problem::new(written.place, format!("{} is no risk", words::quoted(&written.value)))
                .label(format!("expected {}", words::any_of(names())))
                .nearest(&written.value, names());
            self.problem(input, problem);
        }
        found
    }

    /// The condition of a policy, once all names are known, and that it fits whatever it may come to stand over.
    pub(super) fn when(&mut self, input: &Input, raw: &raw::Policy) {
        let replaces = self.replaces(input, raw);
        let (Some(name), Some(written)) = (&raw.policy, &raw.when) else { return };
        let when = self.condition(input, &written.value);
        let policy = PolicyName::new(&name.value);
        if let Some(policy) = self.catalog.policies.get_mut(&policy) {
            policy.when = Some(when.clone());
            policy.replaces = replaces;
        }
        let Some(policy) = self.catalog.policies.get(&policy) else { return };
        let problem = misfit(self, policy, &when, name).or_else(|| loosens(self, policy, &when, name));
        if let Some(problem) = problem {
            self.problem(input, problem);
        }
    }

    /// Policies in whose place this one may stand although it is not as strict as they are in every respect.
    fn replaces(&mut self, input: &Input, raw: &raw::Policy) -> Vec<PolicyName> {
        let Some(list) = &raw.replaces else { return Vec::new() };
        if raw.when.is_none() {
            let problem =
                Problem::new(list.place, "`replaces` means nothing here: only a runbook that names it has this policy");
            self.problem(input, problem.hint("say when it applies to others: `when: {…}`, or leave it out"));
        }
        let named = self.listed_once(input, "replaces", &raw.replaces);
        for name in &named {
            if raw.policy.as_ref().is_some_and(|own| own.value == name.value) {
                self.problem(input, Problem::new(name.place, "no policy replaces itself").hint("name another"));
            } else {
                self.known(input, Kind::Policy, name);
            }
        }
        named.iter().map(|name| PolicyName::new(&name.value)).collect()
    }

    fn condition(&mut self, input: &Input, raw: &raw::When) -> When {
        let runbooks = self.listed_once(input, "runbooks", &raw.runbooks);
        for runbook in &runbooks {
            self.known(input, Kind::Runbook, runbook);
        }
        let risks = self.listed_once(input, "risk", &raw.risk);
        let risks = risks.iter().filter_map(|risk| self.one_risk(input, risk)).collect();
        let environments = self.listed_once(input, "environments", &raw.environments);
        for environment in &environments {
            self.environment(input, environment);
        }
        let targets = self.listed_once(input, "targets", &raw.targets);
        for target in &targets {
            let service = self.declared(Kind::Service, &target.value).is_some();
            let unread = self.may_be_unread(Kind::Service, &target.value);
            if !service && !unread && self.declared(Kind::System, &target.value).is_none() {
                let names = self.names.keys().filter(|(kind, _)| matches!(kind, Kind::System | Kind::Service));
                let names: Vec<String> = names.map(|(_, name)| name.clone()).collect();
                let message = format!("there is no system or service {}", words::quoted(&target.value));
                let names = || names.iter().map(String::as_str);
                let problem = Problem::new(target.place, message)
                    .label(format!("expected {}", words::one_of(names())))
                    .nearest(&target.value, names());
                self.problem(input, problem);
            }
        }
        let texts = |list: Vec<At<String>>| list.into_iter().map(|it| it.value).collect();
        When {
            runbooks: runbooks.into_iter().map(|it| RunbookName::new(it.value)).collect(),
            risks,
            environments: texts(environments),
            targets: texts(targets),
            during: self.windows(input, "during", &raw.during),
            outside: self.windows(input, "outside", &raw.outside),
        }
    }

    /// Tells an environment in which no system is: a condition that never holds would be believed.
    fn environment(&mut self, input: &Input, written: &At<String>) {
        let there = |system: &System| system.environment == written.value;
        if self.catalog.systems.values().any(there) || self.broken.contains(&Kind::System) {
            return;
        }
        let mut names: Vec<String> = self.catalog.systems.values().map(|it| it.environment.clone()).collect();
        names.sort();
        names.dedup();
        let names = || names.iter().map(String::as_str);
        let problem = Problem::new(written.place, format!("no system is in {}", words::quoted(&written.value)))
            .label(format!("expected {}", words::one_of(names())))
            .nearest(&written.value, names());
        self.problem(input, problem);
    }

    /// A list that is not empty, without what stands in it twice; both are told.
    fn listed_once(&mut self, input: &Input, key: &str, list: &raw::Words) -> Vec<At<String>> {
        let Some(list) = list else { return Vec::new() };
        if list.value.is_empty() {
            let problem = Problem::new(list.place, format!("`{key}` is empty"));
            self.problem(
                input,
                problem.hint("name what it applies to, or leave the key out if that makes no difference"),
            );
        }
        let mut found: Vec<At<String>> = Vec::new();
        for item in &list.value {
            if found.iter().any(|other| other.value == item.value) {
                let message = format!("{} stands in this list twice", words::quoted(&item.value));
                self.problem(input, Problem::new(item.place, message).hint("keep one of the two"));
            } else {
                found.push(item.clone());
            }
        }
        found
    }

    fn windows(&mut self, input: &Input, key: &str, list: &Option<At<Vec<At<raw::Window>>>>) -> Vec<Window> {
        let Some(list) = list else { return Vec::new() };
        if list.value.is_empty() {
            let problem = Problem::new(list.place, format!("`{key}` is empty"));
            self.problem(input, problem.hint("name a time, or leave the key out if it makes no difference"));
        }
        list.value.iter().filter_map(|window| self.window(input, window)).collect()
    }

    fn window(&mut self, input: &Input, raw: &At<raw::Window>) -> Option<Window> {
        let whose = Place { start: raw.place.start, end: raw.place.start };
        let raw::Window { days, from, until, zone } = &raw.value;
        let hint = "say when it begins: `from: \"09:00\"` or `from: 2026-12-24 18:00`";
        let from = self.required(input, whose, "from", from, hint);
        let hint = "say when it ends: `until: \"18:00\"` or `until: 2026-12-26 09:00`";
        let until = self.required(input, whose, "until", until, hint);
        let hint = "say whose clocks are meant: `zone: Asia/Singapore`";
        let zone = self.required(input, whose, "zone", zone, hint).and_then(|zone| self.zone(input, zone));
        let (from, until) = (from?, until?);
        // Hours are short: what has a day in it is a day and time.
        let once = from.value.contains('-');
        if once != until.value.contains('-') {
            let problem = Problem::new(until.place, "one end of this time is of a day, and the other is of every day");
            self.problem(input, problem.hint("write both as `\"09:00\"`, or both as `2026-12-24 18:00`"));
            return None;
        }
        if once {
            if let Some(days) = days {
                let problem = Problem::new(days.place, "`days` belongs to hours, and this time comes once");
                self.problem(input, problem.hint("leave it out"));
            }
            let (begins, ends) = (self.local(input, from), self.local(input, until));
            let (begins, ends, zone) = (begins?, ends?, zone?);
            let (begins, ends) =
                (crate::model::rota::moment_in(zone, begins), crate::model::rota::moment_in(zone, ends));
            if ends <= begins {
                let problem = Problem::new(until.place, "this time ends before it begins");
                self.problem(input, problem.hint("`until` is later than `from`"));
                return None;
            }
            return Some(Window::Dates { from: begins, until: ends, zone });
        }
        let days = self.days(input, days);
        let (from, until) = (self.time_of_day(input, from), self.time_of_day(input, until));
        Some(Window::Hours { days, from: from?, until: until?, zone: zone? })
    }

    fn days(&mut self, input: &Input, list: &raw::Words) -> Vec<Weekday> {
        let mut found = Vec::new();
        for written in self.listed_once(input, "days", list) {
            match DAYS.iter().find(|(name, _)| *name == written.value.to_lowercase()) {
                Some((_, day)) => found.push(*day),
                None => {
                    let names = || DAYS.iter().map(|(name, _)| *name);
                    let problem = Problem::new(written.place, format!("{} is no day", words::quoted(&written.value)))
                        .label(format!("expected {}", words::any_of(names())))
                        .nearest(&written.value, names());
                    self.problem(input, problem);
                }
            }
        }
        found
    }
}

/// Tells a policy that could win over the one that a runbook names while being less strict in some respect: whoever reads the
/// runbook would believe the other one. The first such runbook.
fn loosens(checker: &Checker, policy: &Policy, when: &When, name: &At<String>) -> Option<Problem> {
    if policy.refuse.is_some() {
        return None;
    }
    let catalog = &checker.catalog;
    let within = |new: &[Subject], old: &[Subject]| {
        let all = catalog.people_in(old);
        new.iter().all(|subject| {
            let alone = std::slice::from_ref(subject);
            let known = *subject != Subject::Accountable && !catalog.is_kept_elsewhere(alone);
            old.contains(subject) || (known && catalog.people_in(alone).is_subset(&all))
        })
    };
    // Whoever could not be read may be among them.
    if [Kind::Person, Kind::Group, Kind::Rota].iter().any(|kind| checker.broken.contains(kind)) {
        return None;
    }
    catalog.runbooks.values().find_map(|runbook| {
        let base =
            runbook.approval.as_ref().filter(|base| **base != policy.name && !policy.replaces.contains(*base))?;
        let base = catalog.policies.get(base)?;
        let can = |system: &System| {
            catalog.can_work_on(runbook, system) && when.can_apply(&runbook.name, runbook.risk, system)
        };
        let triggers = catalog.triggers.values().filter(|trigger| trigger.run == runbook.name);
        let triggers = triggers.map(|trigger| &trigger.name);
        if !catalog.systems.values().any(can) || !could_win(policy, base, &runbook.name, triggers) {
            return None;
        }
        // What it lets start of other runbooks matters there.
        let mut here = policy.clone();
        here.automatic.retain(|rule| rule.bound.as_ref().is_none_or(|bound| bound.runbook == runbook.name));
        here.unasked.retain(|(of, _)| *of == runbook.name);
        let respect = laxer(&here, base, &within)?;
        let message = format!(
            "this policy can take the place of `{}` for `{}`, and is less strict: {}",
            base.name,
            runbook.name,
            respect.words()
        );
        let hint = format!(
            "make it as strict as `{}` there, leave `{}` out of `when`, or say that it is meant: `replaces: [{}]`",
            base.name, runbook.name, base.name
        );
        let problem = Problem::new(name.place, message).hint(hint);
        Some(match checker.declared(Kind::Policy, base.name.as_str()) {
            Some((file, place)) => problem.elsewhere(file, place, "the other policy is at"),
            None => problem,
        })
    })
}

/// What keeps a policy from standing over a runbook that it may come to stand over; the first such runbook.
fn misfit(checker: &Checker, policy: &Policy, when: &When, name: &At<String>) -> Option<Problem> {
    if policy.refuse.is_some() {
        return None;
    }
    let catalog = &checker.catalog;
    let systems_of = |runbook: &Runbook| -> Vec<&System> {
        let can = |system: &&System| {
            catalog.can_work_on(runbook, system) && when.can_apply(&runbook.name, runbook.risk, system)
        };
        catalog.systems.values().filter(can).collect()
    };
    let asks_accountable = policy.subjects().any(|subject| *subject == Subject::Accountable);
    for runbook in catalog.runbooks.values().filter(|runbook| runbook.approval.is_some()) {
        let systems = systems_of(runbook);
        let longest = runbook.steps.iter().map(Step::longest).fold(Duration::ZERO, Duration::saturating_add);
        let problem = if systems.is_empty() || runbook.approval.as_ref() == Some(&policy.name) {
            continue;
        } else if longest > policy.valid_for {
            let message = format!(
                "this policy can apply to `{}`, which may take {} in all, but its grant lasts {}",
                runbook.name,
                words::duration(longest),
                words::duration(policy.valid_for)
            );
            Problem::new(name.place, message)
                .hint("give the policy a longer `valid_for`, or leave the runbook out of `when`")
        } else if let Some(system) = systems.iter().find(|system| asks_accountable && system.accountable.is_none()) {
            let message = format!(
                "this policy asks whoever is accountable and can apply to `{}` on `{}`, which names nobody",
                runbook.name, system.name
            );
            Problem::new(name.place, message).hint("say in the system's file who answers for it: `accountable: NAME`")
        } else if policy.exclude_author && runbook.author.is_none() {
            let message = format!(
                "this policy leaves the last author out and can apply to `{}`, which does not say who that is",
                runbook.name
            );
            Problem::new(name.place, message).hint("name in the runbook who made its last change: `author: NAME`")
        } else {
            continue;
        };
        return Some(match checker.declared(Kind::Runbook, runbook.name.as_str()) {
            Some((file, place)) => problem.elsewhere(file, place, "the runbook is at"),
            None => problem,
        });
    }
    None
}

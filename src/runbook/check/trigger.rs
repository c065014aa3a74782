//! Triggers: that each one can fire, that what it starts can be planned, and that no brake can be switched off.
//!
//! Keeps I12 (every brake has bounds; an unknown check triggers nothing), I7 (somebody other than the owner can agree),
//! the rights of people (a trigger does nothing that its owner may not ask for by hand) and I10 (a trigger that would never fire, or whose runbook would refuse its parameters, does not load).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{
    AtMost, Brakes, Catalog, ExitCodes, Flapping, FoundCheck, ParamKind, Probe, Runbook, Step, Subject, System,
    Trigger, TriggerMode, TriggerOn,
};
use crate::model::event::Health;
use crate::model::id::{CheckName, PersonId, PolicyName, RunbookName, ServiceName, SystemName, TriggerName};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::runbook::accepts;
use super::template::{self, Piece};
use super::{Checker, DAY, Input, Kind, MINUTE, SECOND};

/// What a parameter of a trigger may be filled with.
const NAMES: [&str; 3] = ["system", "service", "check"];
/// The longest cooldown and window.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The greatest number of runs in a window: more is no brake.
const MOST_RUNS: u32 = 20;
/// The greatest number of changes in a window.
const MOST_CHANGES: u32 = 100;

impl Checker {
    pub(super) fn trigger(&mut self, input: &Input, raw: &raw::Trigger) {
        let Some(name) = &raw.trigger else { return };
        self.declare(input, Kind::Trigger, name);
        let hint = "say who answers for it: `owner: mei`";
        let owner = self.required(input, name.place, "owner", &raw.owner, hint);
        if let Some(owner) = owner {
            self.known(input, Kind::Person, owner);
        }
        let hint = "say to which checks it listens: `on: {check: \"system/*/running\", becomes: critical}`";
        let on = self.required(input, name.place, "on", &raw.on, hint).and_then(|on| self.on(input, on));
        let hint = "say which runbook it asks for: `run: start-service`";
        let run = self.required(input, name.place, "run", &raw.run, hint);
        let run_known = run.is_some_and(|run| self.known(input, Kind::Runbook, run));
        let mode = self.mode(input, name, raw);
        let brakes = self.brakes(input, raw.brakes.as_ref());
        if let (Some(on), Some(run), true) = (&on, run, run_known) {
            self.with(input, raw, on, run);
        }
        if let (Some(run), Some(mode), Some(owner), true) = (run, &mode, owner, run_known) {
            self.agreed(input, name, mode, owner, run);
            if let Some(on) = &on {
                self.owner_may(input, raw, (on, mode.value), owner, run);
            }
        }
        let trigger = Trigger {
            name: TriggerName::new(&name.value),
            owner: PersonId::new(owner.map_or("", |owner| &owner.value)),
            on: on.unwrap_or_else(nothing),
            run: RunbookName::new(run.map_or("", |run| &run.value)),
            with: pairs(raw).iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect(),
            mode: mode.map_or(TriggerMode::Shadow, |mode| mode.value),
            brakes,
            source: input.source.clone(),
        };
        self.catalog.triggers.entry(trigger.name.clone()).or_insert(trigger);
    }

    /// `system/service/check`, and what it must become. `None` if that is not known; it has been told.
    fn on(&mut self, input: &Input, raw: &At<raw::On>) -> Option<TriggerOn> {
        let hint = "say which: `check: \"system/service/check\"`, a star for any service or check";
        let check = self.required(input, raw.place, "check", &raw.value.check, hint);
        let hint = "say what it must become: `becomes: critical`";
        let becomes = self.required(input, raw.place, "becomes", &raw.value.becomes, hint);
        let becomes = becomes.and_then(|becomes| self.becomes(input, becomes));
        let check = check?;
        let parts: Vec<&str> = check.value.split('/').collect();
        let &[system, service, of_service] = &parts[..] else {
            let problem = Problem::new(check.place, format!("{} names no check", words::quoted(&check.value)))
                .label("expected system/service/check")
                .hint("a star stands for any service or check: `\"system-a/*/running\"`");
            self.problem(input, problem);
            return None;
        };
        if system == "*" {
            let problem = Problem::new(check.place, "a trigger belongs to one system: the system is written out");
            self.problem(input, problem.hint("write a trigger for each system"));
            return None;
        }
        if !self.known_as(input, Kind::System, "", check.place, system) {
            return None;
        }
        let (system, any) = (SystemName::new(system), |part: &str| part == "*");
        let on = TriggerOn {
            service: (!any(service)).then(|| ServiceName::new(service)),
            check: (!any(of_service)).then(|| CheckName::new(of_service)),
            becomes: becomes.unwrap_or(Health::Critical),
            system,
        };
        // What could not be read may hold what is missing.
        if !self.catalog.systems.contains_key(&on.system) {
            return None;
        }
        self.can_fire(input, check, &on, becomes.and(raw.value.becomes.as_ref()));
        Some(on).filter(|on| !matching(&self.catalog, on).is_empty())
    }

    /// What a check must become: never `unknown`, for then nobody knows whether anything is wrong.
    fn becomes(&mut self, input: &Input, becomes: &At<String>) -> Option<Health> {
        let problem = match becomes.value.as_str() {
            "warning" => return Some(Health::Warning),
            "critical" => return Some(Health::Critical),
            "unknown" => Problem::new(becomes.place, "a check that is unknown triggers nothing")
                .label("expected `warning` or `critical`")
                .hint("unknown means that the check could not be asked: that says nothing about the service"),
            "ok" => Problem::new(becomes.place, "a trigger starts from a failure, and `ok` is none")
                .label("expected `warning` or `critical`"),
            other => Problem::new(becomes.place, format!("no check becomes {}", words::quoted(other)))
                .label("expected `warning` or `critical`")
                .nearest(other, ["warning", "critical"]),
        };
        self.problem(input, problem);
        None
    }

    /// Tells a trigger that would never fire: no such check, one that nobody asks, one that never becomes that.
    fn can_fire(&mut self, input: &Input, written: &At<String>, on: &TriggerOn, becomes: Option<&At<String>>) {
        let found = matching(&self.catalog, on);
        if found.is_empty() {
            let problem = no_match(&self.catalog, written, on);
            self.problem(input, problem);
            return;
        }
        let unasked = found.iter().find(|found| found.check.schedule.is_none());
        let warns =
            |found: &FoundCheck<'_>| matches!(&found.check.probe, Probe::Command { codes: ExitCodes::Nagios, .. });
        let never_warns = on.becomes == Health::Warning && !found.iter().any(warns);
        if let Some(found) = unasked {
            let message = format!(
                "this would never fire for {}: the check is asked only when somebody asks",
                words::quoted(&format!("{}/{}/{}", found.system.name, found.service.name, found.check.name))
            );
            let hint = format!("give check `{}` of `{}` an `every`", found.check.name, found.service.name);
            let problem = Problem::new(written.place, message).hint(hint);
            let problem = match self.declared(Kind::Service, found.service.name.as_str()) {
                Some((file, place)) => problem.elsewhere(file, place, "the service is at"),
                None => problem,
            };
            self.problem(input, problem);
        }
        if let (true, Some(becomes)) = (never_warns, becomes) {
            let problem = Problem::new(becomes.place, "this would never fire: no such check ever becomes `warning`");
            let hint = "only a command with `codes: nagios` can be `warning`; write `becomes: critical`";
            self.problem(input, problem.hint(hint));
        }
    }

    fn mode(&mut self, input: &Input, name: &At<String>, raw: &raw::Trigger) -> Option<At<TriggerMode>> {
        let hint = "say what it does: `mode: shadow` (only says what it would do), `ask` or `auto`";
        let mode = self.required(input, name.place, "mode", &raw.mode, hint)?;
        let modes = [TriggerMode::Shadow, TriggerMode::Ask, TriggerMode::Auto];
        match modes.into_iter().find(|known| known.name() == mode.value) {
            Some(value) => Some(At { value, place: mode.place }),
            None => {
                let names = || modes.iter().map(|mode| mode.name());
                let problem = Problem::new(mode.place, format!("there is no mode {}", words::quoted(&mode.value)))
                    .label(format!("expected {}", words::one_of(names())))
                    .nearest(&mode.value, names());
                self.problem(input, problem);
                None
            }
        }
    }

    /// The limits: what is not given is the default, and nothing switches one off.
    fn brakes(&mut self, input: &Input, raw: Option<&At<raw::Brakes>>) -> Brakes {
        let Brakes { cooldown, mut at_most, mut flapping } = Brakes::default();
        let Some(raw) = raw else { return Brakes { cooldown, at_most, flapping } };
        let cooldown = self.duration(input, &raw.value.cooldown, cooldown, SECOND..=LONGEST);
        if let Some(raw) = &raw.value.at_most {
            let hint = "say how many in how long: `at_most: {runs: 3, per: 1h}`";
            self.required(input, raw.place, "runs", &raw.value.runs, hint);
            self.required(input, raw.place, "per", &raw.value.per, hint);
            at_most = AtMost {
                runs: self.number(input, raw.value.runs.as_ref(), at_most.runs, 1..=MOST_RUNS),
                per: self.duration(input, &raw.value.per, at_most.per, MINUTE..=LONGEST),
            };
        }
        if let Some(raw) = &raw.value.flapping {
            let hint = "say how many in how long: `flapping: {changes: 4, per: 10m}`";
            self.required(input, raw.place, "changes", &raw.value.changes, hint);
            self.required(input, raw.place, "per", &raw.value.per, hint);
            flapping = Flapping {
                changes: self.number(input, raw.value.changes.as_ref(), flapping.changes, 2..=MOST_CHANGES),
                per: self.duration(input, &raw.value.per, flapping.per, MINUTE..=DAY),
            };
        }
        Brakes { cooldown, at_most, flapping }
    }

    /// Tries out the runbook's parameters with every check that can fire.
    fn with(&mut self, input: &Input, raw: &raw::Trigger, on: &TriggerOn, run: &At<String>) {
        let Some(runbook) = self.catalog.runbooks.get(&RunbookName::new(&run.value)) else { return };
        let mut problems = Vec::new();
        let names = || runbook.params.iter().map(|param| param.name.as_str());
        for (key, value) in pairs(raw) {
            if !names().any(|name| name == key.value) {
                let message = format!("{} has no parameter {}", run.value, words::quoted(&key.value));
                let problem = Problem::new(key.place, message).label(format!("expected {}", words::one_of(names())));
                problems.push(problem.nearest(&key.value, names()));
            }
            match template::parse(&value.value) {
                Err(message) => {
                    let hint = "write `{{ system }}`, `{{ service }}` or `{{ check }}`";
                    problems.push(Problem::new(value.place, message).hint(hint));
                }
                Ok(pieces) => problems.extend(pieces.iter().find_map(|piece| match piece {
                    Piece::Param(name) if !NAMES.contains(name) => {
                        let problem =
                            Problem::new(value.place, format!("a trigger cannot fill in {}", words::quoted(name)))
                                .label(format!("expected {}", words::one_of(NAMES)));
                        Some(problem.nearest(name, NAMES))
                    }
                    Piece::Param(_) | Piece::Text(_) => None,
                })),
            }
        }
        let given = |name: &str| pairs(raw).iter().find(|(key, _)| key.value == name);
        for param in runbook.params.iter().filter(|param| param.default.is_none() && given(&param.name).is_none()) {
            let message =
                format!("{} needs {}, which this trigger does not give", run.value, words::quoted(&param.name));
            let hint = match &param.kind {
                ParamKind::Service { .. } => format!("write `with: {{{}: \"{{{{ service }}}}\"}}`", param.name),
                ParamKind::System => format!("write `with: {{{}: \"{{{{ system }}}}\"}}`", param.name),
                ParamKind::Choice(_) | ParamKind::Integer { .. } | ParamKind::Text { .. } => {
                    format!("write `with: {{{}: …}}`", param.name)
                }
            };
            problems.push(Problem::new(run.place, message).hint(hint));
        }
        if problems.is_empty() {
            problems.extend(refused(self, runbook, on, raw, run.place));
        }
        for problem in problems {
            self.problem(input, problem);
        }
    }

    /// Tells an owner who may not ask by hand for what the trigger asks for: it acts in that person's name.
    fn owner_may(
        &mut self,
        input: &Input,
        raw: &raw::Trigger,
        (on, mode): (&TriggerOn, TriggerMode),
        owner: &At<String>,
        run: &At<String>,
    ) {
        match mode {
            TriggerMode::Shadow => return,
            TriggerMode::Ask | TriggerMode::Auto => {}
        }
        // Who is not known has been told, and whoever stands in a file that could not be read may have any right.
        let known = self.declared(Kind::Person, &owner.value).is_some();
        if !known || [Kind::Person, Kind::Group, Kind::Rota].iter().any(|it| self.broken.contains(it)) {
            return;
        }
        let Some(runbook) = self.catalog.runbooks.get(&RunbookName::new(&run.value)) else { return };
        let changes = runbook.steps.iter().any(Step::is_privileged);
        let verb = if changes { Verb::Run } else { Verb::See };
        let mut systems = BTreeSet::from([on.system.clone()]);
        for found in matching(&self.catalog, on) {
            let about = BTreeSet::from_iter(about(&self.catalog, runbook, &found, raw));
            // A run about several systems has been told.
            if about.len() > 1 {
                return;
            }
            systems.extend(about);
        }
        let person = PersonId::new(&owner.value);
        let may = |system: &&System| allowed(&self.catalog, &person, verb, system);
        let Some(system) = systems.iter().filter_map(|name| self.catalog.systems.get(name)).find(|it| !may(it)) else {
            return;
        };
        let (deed, key, subjects) = match changes {
            true => ("run anything on", "may_run", &system.may_run),
            false => ("look at", "may_see", &system.may_see),
        };
        let owner_name = words::quoted(&owner.value);
        let message = format!("{owner_name} may not {deed} system `{}`, and this trigger acts for them", system.name);
        let people = self.catalog.people_in(subjects);
        let hint = match people.is_empty() {
            // The bot acts for the owner when nobody is there to ask a platform.
            _ if self.catalog.is_kept_elsewhere(subjects) => format!(
                "an owner's right has to stand in the catalog itself, not in a user group: let `{key}` in {} include person:{}",
                system.source.path, owner.value
            ),
            true => format!("let `{key}` in {} include {owner_name}", system.source.path),
            false => format!(
                "name {} as the owner, or let `{key}` in {} include {owner_name}",
                words::one_of(people.iter().map(|person| person.as_str())),
                system.source.path
            ),
        };
        let problem = Problem::new(owner.place, message).hint(hint);
        let problem = match self.declared(Kind::System, system.name.as_str()) {
            Some((file, place)) => problem.elsewhere(file, place, "the system is at"),
            None => problem,
        };
        self.problem(input, problem);
    }

    /// Whether what it starts can be agreed to: by its policy beforehand, or by somebody who is not its owner.
    fn agreed(
        &mut self,
        input: &Input,
        name: &At<String>,
        mode: &At<TriggerMode>,
        owner: &At<String>,
        run: &At<String>,
    ) {
        let runbook = self.catalog.runbooks.get(&RunbookName::new(&run.value));
        let Some(policy) = runbook.and_then(|runbook| runbook.approval.as_ref()) else { return };
        let Some(policy) = self.catalog.policies.get(policy) else { return };
        let (trigger, runs) = (TriggerName::new(&name.value), RunbookName::new(&run.value));
        let problem = match mode.value {
            TriggerMode::Shadow => None,
            TriggerMode::Auto if policy.automatic.iter().any(|rule| rule.lets(&trigger, &runs)) => None,
            TriggerMode::Auto => {
                let message =
                    format!("policy `{}` does not let this trigger start `{}` by itself", policy.name, run.value);
                let rule = with_bound(&name.value, &run.value);
                let path = &policy.source.path;
                let hint = match policy.automatic.is_empty() {
                    true => format!("write `automatic: [{rule}]` into {path}, or say `mode: ask` here"),
                    false => format!("add `{rule}` to `automatic` in {path}, or say `mode: ask` here"),
                };
                Some(Problem::new(mode.place, message).hint(hint))
            }
            TriggerMode::Ask => policy.stages.iter().find_map(|stage| {
                let people = self.catalog.people_in(&stage.approvers);
                let unknown = people.is_empty()
                    || stage.approvers.contains(&Subject::Accountable)
                    || self.broken.contains(&Kind::Rota)
                    || self.catalog.is_kept_elsewhere(&stage.approvers)
                    || self.broken.contains(&Kind::Person)
                    || self.broken.contains(&Kind::Group);
                let others = people.iter().filter(|person| person.as_str() != owner.value).count();
                let few = u32::try_from(others).is_ok_and(|others| others < stage.quorum);
                let reachable = u32::try_from(people.len()).is_ok_and(|all| all >= stage.quorum);
                (few && reachable && !unknown).then(|| {
                    let message = format!(
                        "nobody could agree: {} counts as having asked, and policy `{}` has too few other approvers",
                        words::quoted(&owner.value),
                        policy.name
                    );
                    Problem::new(owner.place, message).hint("name another owner, or more approvers in the policy")
                })
            }),
        };
        let policy = policy.name.clone();
        if let Some(problem) = problem {
            let problem = match self.declared(Kind::Policy, policy.as_str()) {
                Some((file, place)) => problem.elsewhere(file, place, "the policy is at"),
                None => problem,
            };
            self.problem(input, problem);
        }
    }

    /// Whether a policy can come to stand over a runbook by its `when`.
    fn may_stand_over(&self, policy: &PolicyName, runbook: &Runbook, system: &SystemName) -> bool {
        let when = self.catalog.policies.get(policy).and_then(|policy| policy.when.as_ref());
        let system = self.catalog.systems.get(system);
        when.zip(system).is_some_and(|(when, system)| when.can_apply(&runbook.name, runbook.risk, system))
    }

    /// The triggers that a policy lets start: each exists, once, and starts the runbook that is said here, which stands under
    /// this policy.
    pub(super) fn automatic(&mut self, input: &Input, raw: &raw::Policy) {
        for rule in raw.unasked.iter().flat_map(|list| &list.value) {
            if let Some(runbook) = &rule.value.runbook {
                self.known(input, Kind::Runbook, runbook);
            }
        }
        let (Some(policy), Some(list)) = (&raw.policy, &raw.automatic) else { return };
        if list.value.is_empty() {
            let problem = Problem::new(list.place, "`automatic` is empty");
            self.problem(input, problem.hint("name a trigger, or leave the key out if none may start by itself"));
        }
        let mut before = BTreeSet::new();
        for written in &list.value {
            let (named, runbook) = match &written.value {
                raw::Starts::Name(name) => (At { value: name.clone(), place: written.place }, None),
                raw::Starts::Rule(rule) => {
                    // What is missing has been told.
                    let (Some(trigger), Some(runbook)) = (&rule.trigger, &rule.runbook) else { continue };
                    (trigger.clone(), Some(runbook))
                }
            };
            if !before.insert(named.value.clone()) {
                let message = format!("{} stands in this list twice", words::quoted(&named.value));
                self.problem(input, Problem::new(named.place, message).hint("keep one of the two"));
                continue;
            }
            let known = self.known(input, Kind::Trigger, &named);
            if let Some(runbook) = runbook {
                self.known(input, Kind::Runbook, runbook);
            }
            if !known {
                continue;
            }
            let problem = self.misnamed(&policy.value, &named, runbook);
            let Some(problem) = problem else { continue };
            let problem = match self.declared(Kind::Trigger, &named.value) {
                Some((file, place)) => problem.elsewhere(file, place, "the trigger is at"),
                None => problem,
            };
            self.problem(input, problem);
        }
    }

    /// What is wrong with a trigger that a policy lets start a runbook; both are there.
    fn misnamed(&self, policy: &str, named: &At<String>, runbook: Option<&At<String>>) -> Option<Problem> {
        let trigger = self.catalog.triggers.get(&TriggerName::new(&named.value))?;
        let runs = self.catalog.runbooks.get(&trigger.run)?;
        let out = |message: String| Some(Problem::new(named.place, message).hint("leave it out here"));
        match &runs.approval {
            Some(approval) if approval.as_str() == policy => {}
            Some(_) if self.may_stand_over(&PolicyName::new(policy), runs, &trigger.on.system) => {}
            Some(approval) => {
                return out(format!(
                    "trigger `{}` starts `{}`, which stands under policy `{approval}`, not under this one",
                    trigger.name, runs.name
                ));
            }
            None => {
                return out(format!("trigger `{}` starts `{}`, which needs no policy at all", trigger.name, runs.name));
            }
        }
        match runbook {
            None => {
                let message = format!("`{}` alone says neither what may start nor how often", trigger.name);
                let hint = format!("write `{}`", with_bound(&named.value, runs.name.as_str()));
                Some(Problem::new(named.place, message).hint(hint))
            }
            Some(runbook)
                if self.declared(Kind::Runbook, &runbook.value).is_some() && runbook.value != runs.name.as_str() =>
            {
                let message = format!("trigger `{}` starts `{}`, and not this", trigger.name, runs.name);
                let hint = format!(
                    "write `runbook: {}` if that may start by itself, or leave the trigger out here",
                    runs.name
                );
                Some(Problem::new(runbook.place, message).hint(hint))
            }
            Some(_) => None,
        }
    }
}

/// What a wrong trigger goes on with: it matches nothing.
fn nothing() -> TriggerOn {
    TriggerOn { system: SystemName::new(""), service: None, check: None, becomes: Health::Critical }
}

fn pairs(raw: &raw::Trigger) -> &[(At<String>, At<String>)] {
    raw.with.as_ref().map_or(&[], |with| &with.value.0)
}

/// What lets a trigger start a runbook, as it is written in a policy.
fn with_bound(trigger: &str, runbook: &str) -> String {
    format!("{{trigger: {trigger}, runbook: {runbook}, at_most: {{runs: 3, per: 1h}}}}")
}

/// Every check that a trigger listens to.
fn matching<'a>(catalog: &'a Catalog, on: &TriggerOn) -> Vec<FoundCheck<'a>> {
    let Some(system) = catalog.systems.get(&on.system) else { return Vec::new() };
    let found = system
        .services
        .values()
        .flat_map(|service| service.checks.values().map(move |check| FoundCheck { system, service, check }));
    found.filter(|found| on.matches(&found.system.name, &found.service.name, &found.check.name)).collect()
}

/// What is wrong with a trigger that listens to nothing.
fn no_match(catalog: &Catalog, written: &At<String>, on: &TriggerOn) -> Problem {
    let Some(system) = catalog.systems.get(&on.system) else {
        return Problem::new(written.place, "this listens to no check");
    };
    let service = on.service.as_ref().map(|service| (service, system.services.get(service)));
    if let Some((service, None)) = service {
        let names = || system.services.keys().map(|name| name.as_str());
        return Problem::new(written.place, format!("system `{}` has no service `{service}`", system.name))
            .label(format!("expected {}", words::one_of(names())))
            .nearest(service.as_str(), names());
    }
    let check = on.check.as_ref().map_or("*", |check| check.as_str());
    let of = |service: &ServiceName| system.services.get(service).into_iter().collect::<Vec<_>>();
    let services = on.service.as_ref().map_or_else(|| system.services.values().collect(), of);
    let mut names: Vec<&str> =
        services.iter().flat_map(|service| service.checks.keys()).map(|name| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let whose = match &on.service {
        Some(service) => format!("service `{service}` has"),
        None => format!("no service of `{}` has", system.name),
    };
    let message = match &on.service {
        Some(_) => format!("{whose} no check {}", words::quoted(check)),
        None => format!("{whose} a check {}", words::quoted(check)),
    };
    Problem::new(written.place, message)
        .label(format!("expected {}", words::one_of(names.iter().copied())))
        .nearest(check, names.iter().copied())
}

/// The systems that a run of it would be about when this check fails.
fn about(catalog: &Catalog, runbook: &Runbook, found: &FoundCheck<'_>, raw: &raw::Trigger) -> Vec<SystemName> {
    let filling = filling(found);
    let mut systems: Vec<SystemName> = runbook.system.iter().cloned().collect();
    for param in &runbook.params {
        let written = pairs(raw).iter().find(|(key, _)| key.value == param.name);
        let Some(value) = written.map(|(_, value)| fill(&value.value, &filling)).or_else(|| param.default.clone())
        else {
            continue;
        };
        match &param.kind {
            ParamKind::Service { .. } => {
                systems.extend(catalog.service(&ServiceName::new(value)).map(|(system, _)| system.name.clone()));
            }
            ParamKind::System => systems.push(SystemName::new(value)),
            ParamKind::Choice(_) | ParamKind::Integer { .. } | ParamKind::Text { .. } => {}
        }
    }
    systems
}

/// What stands for the words that a trigger may fill in.
fn filling<'a>(found: &FoundCheck<'a>) -> BTreeMap<&'static str, &'a str> {
    BTreeMap::from([
        ("system", found.system.name.as_str()),
        ("service", found.service.name.as_str()),
        ("check", found.check.name.as_str()),
    ])
}

/// The first filled parameter that the runbook would refuse, or a filling that names several systems.
fn refused(checker: &Checker, runbook: &Runbook, on: &TriggerOn, raw: &raw::Trigger, run: Place) -> Option<Problem> {
    let (catalog, given) = (&checker.catalog, pairs(raw));
    for found in matching(catalog, on) {
        let filling = filling(&found);
        for param in &runbook.params {
            let written = given.iter().find(|(key, _)| key.value == param.name).map(|(_, value)| value);
            let value = match (written, &param.default) {
                (Some(written), _) => At { value: fill(&written.value, &filling), place: written.place },
                (None, Some(default)) => At { value: default.clone(), place: run },
                (None, None) => continue,
            };
            let of = format!("{}/{}/{}", found.system.name, found.service.name, found.check.name);
            if value.value.starts_with('-') && !param.may_begin_with_dash {
                let message = format!("{} begins with `-`, which is refused", words::quoted(&value.value));
                return Some(Problem::new(value.place, message).hint("a program would read it as an option"));
            }
            if let Err(problem) = accepts(catalog, &param.kind, &value) {
                if checker.may_be_of_unread(&param.kind, &value.value) {
                    continue;
                }
                return Some(match &problem.hint {
                    Some(_) => problem,
                    None => problem.hint(format!("this is what it comes to when `{of}` fails")),
                });
            }
        }
        let mut systems = about(catalog, runbook, &found, raw);
        systems.sort_unstable();
        systems.dedup();
        if let [one, other, ..] = &systems[..] {
            let message = format!("this would be about {one} and {other}, and a plan works on one system");
            return Some(Problem::new(run, message).hint("give the parameters services of one system"));
        }
    }
    None
}

/// Fills a template that has been found right.
fn fill(text: &str, filling: &BTreeMap<&str, &str>) -> String {
    let text_of = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => (*text).to_owned(),
        Piece::Param(name) => filling.get(name).copied().unwrap_or_default().to_owned(),
    };
    template::parse(text).unwrap_or_default().iter().map(text_of).collect()
}

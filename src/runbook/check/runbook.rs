//! Runbooks: parameters, phrases, steps, and that the grant lasts as long as the plan may take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::catalog::{
    Catalog, HttpAsk, Param, ParamKind, Phrase, PhrasePart, Retry, Runbook, Step, StepAction, Subject, System,
    TargetError, TcpAsk, Until,
};
use crate::model::glyph;
use crate::model::id::{PersonId, PolicyName, RunbookName, SystemName};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Pairs, Place};
use super::http::Use;
use super::phrase::{self, Phrases};
use super::template::{self, Piece};
use super::{Checker, DAY, HOUR, Input, Kind, MILLISECOND, MINUTE, SECOND, not_a_name, program};

/// The greatest number of characters of a text parameter.
const LONGEST_TEXT: u64 = 1000;
/// The greatest number of steps.
const MOST_STEPS: usize = 100;
/// How many targets a template may come to before it is not tried out any more.
const MOST_TARGETS: usize = 10_000;
/// The greatest number of tries beyond the first.
const MOST_RETRIES: u32 = 20;
/// How long a request may take if its author does not say.
const HTTP_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take if its author does not say.
const TCP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after its time a step that waits counts as hanging.
const WAIT_MARGIN: Duration = Duration::from_secs(10);

/// What a step does, its check not yet looked at: that needs the step's other keys.
enum Raw<'a> {
    Run(StepAction),
    Check(&'a At<String>),
    Http(HttpAsk),
    Tcp(TcpAsk),
    Wait(Duration),
}

impl Checker {
    pub(super) fn runbook(&mut self, input: &Input, raw: &raw::Runbook, phrases: &mut Phrases) {
        let Some(name) = &raw.runbook else { return };
        self.declare(input, Kind::Runbook, name);
        if name.value == "is" {
            let problem = Problem::new(name.place, "`is` is the name of the question `is SERVICE running`");
            self.problem(input, problem.hint("choose another name"));
        }
        let title = self.title(input, name.place, &raw.title);
        let why = raw.why.as_ref().map(|why| self.text(input, why, 500));
        let system = raw.system.as_ref().map(|system| {
            self.known(input, Kind::System, system);
            SystemName::new(&system.value)
        });
        let params = self.params(input, &raw.params, system.as_ref());
        let say = self.phrases(input, &raw.say, &params, phrases);

        let names_system = |param: &Param| matches!(param.kind, ParamKind::Service { .. } | ParamKind::System);
        if system.is_none() && !params.iter().any(names_system) {
            let problem = Problem::new(name.place, "nothing says which system this runbook works on");
            self.problem(input, problem.hint("name it (`system: …`) or take a parameter of type service or system"));
        }

        let scope = Scope { systems: self.possible_systems(&params, system.as_ref()), params };
        let hint = "say what it does: `steps: [{name: …, run: {command: […]}}]`";
        let written = self.filled(input, name.place, "steps", &raw.steps, hint);
        if let Some(one_too_many) = written.get(MOST_STEPS) {
            let message = format!("this is step {} of {}", MOST_STEPS + 1, written.len());
            let problem = Problem::new(one_too_many.place, message).label(format!("expected at most {MOST_STEPS}"));
            self.problem(input, problem.hint("nobody can read such a plan before approving it: make several runbooks"));
        }
        let mut steps: Vec<Step> = Vec::new();
        for written in written {
            let Some(step) = self.step(input, written, &scope) else { continue };
            if !step.name.is_empty() && steps.iter().any(|other| other.name == step.name) {
                let place = written.value.name.as_ref().map_or(written.place, |name| name.place);
                let message = format!("another step is called {} too", words::quoted(&step.name));
                self.problem(
                    input,
                    Problem::new(place, message).hint("a step's name is how people tell it from the others"),
                );
            }
            steps.push(step);
        }
        let risk = self.risk(input, &raw.risk);
        let approval = self.approval(input, name, raw, &steps);
        let author = raw.author.as_ref().map(|author| {
            self.known(input, Kind::Person, author);
            PersonId::new(&author.value)
        });
        let excluding = approval.as_ref().and_then(|policy| self.catalog.policies.get(policy));
        if let Some(policy) = excluding.filter(|policy| policy.exclude_author && author.is_none()) {
            let message = format!("policy `{}` leaves the last author out, and nothing says who that is", policy.name);
            let problem = Problem::new(name.place, message);
            self.problem(input, problem.hint("name the person who made this runbook's last change: `author: …`"));
        }

        let name = RunbookName::new(&name.value);
        let source = input.source.clone();
        let params = scope.params;
        let runbook = Runbook { name, title, why, say, params, system, risk, approval, author, steps, source };
        if let Some(written) = &raw.approval {
            self.accountable(input, written, &runbook);
        }
        self.catalog.runbooks.entry(runbook.name.clone()).or_insert(runbook);
    }

    /// Tells a policy that asks whoever is accountable, where the runbook can work on a system that names nobody.
    fn accountable(&mut self, input: &Input, written: &At<String>, runbook: &Runbook) {
        let Some(policy) = self.catalog.policies.get(&PolicyName::new(&written.value)) else { return };
        if !policy.subjects().any(|subject| *subject == Subject::Accountable) {
            return;
        }
        let without = |system: &&System| system.accountable.is_none() && self.catalog.can_work_on(runbook, system);
        let Some(system) = self.catalog.systems.values().find(without).map(|system| system.name.clone()) else {
            return;
        };
        let message = format!(
            "policy {} asks whoever is accountable, and system {} names nobody",
            words::quoted(&written.value),
            words::quoted(system.as_str())
        );
        let hint = "say in the system's file who answers for it: `accountable: NAME`";
        let problem = Problem::new(written.place, message).hint(hint);
        let problem = match self.declared(Kind::System, system.as_str()) {
            Some((file, place)) => problem.elsewhere(file, place, "the system is at"),
            None => problem,
        };
        self.problem(input, problem);
    }

    fn approval(&mut self, input: &Input, name: &At<String>, raw: &raw::Runbook, steps: &[Step]) -> Option<PolicyName> {
        let privileged = steps.iter().find(|step| step.is_privileged());
        let Some(written) = &raw.approval else {
            if let Some(step) = privileged {
                let message = format!(
                    "step {} changes something and nobody must agree: `approval` is missing",
                    words::quoted(&step.name)
                );
                let hint = "name a policy (`approval: managers`), or say `read_only: true` on a step that only reads";
                self.problem(input, Problem::new(name.place, message).hint(hint));
            }
            return None;
        };
        if privileged.is_none() && !steps.is_empty() {
            let problem =
                Problem::new(written.place, "no step of this runbook changes anything, so nobody would be asked");
            self.problem(input, problem.hint("leave `approval` out"));
        }
        let known = self.known(input, Kind::Policy, written);
        let policy = PolicyName::new(&written.value);
        if self.catalog.policies.get(&policy).is_some_and(|policy| policy.refuse.is_some()) {
            let problem = Problem::new(
                written.place,
                format!("policy {} refuses whatever it applies to", words::quoted(&written.value)),
            );
            let hint = "name one that asks somebody: a policy that refuses applies by its own `when`";
            self.problem(input, problem.hint(hint));
            return Some(policy);
        }
        if known && let Some(valid_for) = self.catalog.policies.get(&policy).map(|policy| policy.valid_for) {
            let longest = steps.iter().fold(Duration::ZERO, |sum, step| sum.saturating_add(step.longest()));
            if longest > valid_for {
                let message = format!(
                    "this runbook may take {} in all, but a grant of policy {} lasts {}",
                    words::duration(longest),
                    words::quoted(policy.as_str()),
                    words::duration(valid_for)
                );
                let problem = Problem::new(written.place, message)
                    .hint("shorten the steps' timeouts and retries, or give the policy a longer `valid_for`");
                self.problem(
                    input,
                    match self.declared(Kind::Policy, policy.as_str()) {
                        Some((file, place)) => problem.elsewhere(file, place, "the policy is at"),
                        None => problem,
                    },
                );
            }
        }
        Some(policy)
    }

    fn params(&mut self, input: &Input, raw: &Option<Pairs<raw::Param>>, system: Option<&SystemName>) -> Vec<Param> {
        let Some(raw) = raw else { return Vec::new() };
        let mut params = Vec::new();
        for (name, raw) in &raw.0 {
            if !template::is_param_name(&name.value) {
                let hint =
                    "lower-case letters, digits and underscores, a letter first, at most 40, no word such as `if`";
                self.problem(input, not_a_name(name, "parameter's name").label(hint));
            }
            // A wrong one has been told: it goes on as the most usual type, so that its uses are not told as well.
            let kind = self.param_kind(input, name, raw, system);
            let kind = kind.unwrap_or_else(|| ParamKind::Service { system: system.cloned() });
            let may_begin_with_dash = raw.may_begin_with_dash.as_ref().is_some_and(|dash| dash.value);
            let dash = |value: &At<String>| value.value.starts_with('-') && !may_begin_with_dash;
            let hint = "a program would read it as an option; if that is meant, say `may_begin_with_dash: true`";
            if let (ParamKind::Integer { min, .. }, Some(written)) = (&kind, &raw.min)
                && *min < 0
                && !may_begin_with_dash
            {
                let problem = Problem::new(written.place, "a number below 0 begins with `-`, which is refused");
                self.problem(input, problem.hint(hint));
            }
            for choice in raw.one_of.iter().flat_map(|list| &list.value).filter(|choice| dash(choice)) {
                let message = format!("{} begins with `-`, which is refused", words::quoted(&choice.value));
                self.problem(input, Problem::new(choice.place, message).hint(hint));
            }
            let mut default = None;
            if let Some(written) = &raw.default {
                if dash(written) {
                    let message = format!("{} begins with `-`, which is refused", words::quoted(&written.value));
                    self.problem(input, Problem::new(written.place, message).hint(hint));
                } else if let Err(problem) = accepts(&self.catalog, &kind, written)
                    && !self.may_be_of_unread(&kind, &written.value)
                {
                    self.problem(input, problem);
                }
                default = Some(written.value.clone());
            }
            params.push(Param { name: name.value.clone(), kind, default, may_begin_with_dash });
        }
        params
    }

    fn param_kind(
        &mut self,
        input: &Input,
        name: &At<String>,
        raw: &raw::Param,
        runbook_system: Option<&SystemName>,
    ) -> Option<ParamKind> {
        const TYPES: [&str; 5] = ["service", "system", "choice", "integer", "text"];
        let hint = "say what it accepts: `type: service`";
        let kind = self.required(input, name.place, "type", &raw.r#type, hint)?;
        let places = [
            ("system", raw.system.as_ref().map(|it| it.place), "service"),
            ("one_of", raw.one_of.as_ref().map(|it| it.place), "choice"),
            ("min", raw.min.as_ref().map(|it| it.place), "integer"),
            ("max", raw.max.as_ref().map(|it| it.place), "integer"),
            ("max_length", raw.max_length.as_ref().map(|it| it.place), "text"),
        ];
        if !TYPES.contains(&kind.value.as_str()) {
            let problem = Problem::new(kind.place, format!("there is no type {}", words::quoted(&kind.value)))
                .label(format!("expected {}", words::one_of(TYPES)))
                .nearest(&kind.value, TYPES);
            self.problem(input, problem);
            return None;
        }
        for (key, place, of) in places {
            if let Some(place) = place
                && of != kind.value
            {
                let message = format!("`{key}` belongs to type {of}, and this is of type {}", kind.value);
                self.problem(input, Problem::new(place, message).hint("leave it out"));
            }
        }
        match kind.value.as_str() {
            "service" => {
                let system = raw.system.as_ref().map(|system| {
                    self.known(input, Kind::System, system);
                    SystemName::new(&system.value)
                });
                if let (Some(own), Some(runbooks)) = (&system, runbook_system)
                    && own != runbooks
                {
                    let place = raw.system.as_ref().map_or(kind.place, |system| system.place);
                    let message =
                        format!("this runbook works on {runbooks}, but the parameter takes services of {own}");
                    self.problem(input, Problem::new(place, message).hint("a plan works on one system"));
                }
                Some(ParamKind::Service { system: system.or_else(|| runbook_system.cloned()) })
            }
            "system" => Some(ParamKind::System),
            "choice" => {
                let hint = "list what it may be: `one_of: [fast, safe]`";
                let mut choices = Vec::new();
                for choice in self.filled(input, name.place, "one_of", &raw.one_of, hint) {
                    let text = self.text(input, choice, 100);
                    if choices.contains(&text) {
                        let message = format!("{} stands in this list twice", words::quoted(&text));
                        self.problem(input, Problem::new(choice.place, message).hint("keep one of the two"));
                    }
                    choices.push(text);
                }
                Some(ParamKind::Choice(choices))
            }
            "integer" => {
                let hint = "say its bounds: `{type: integer, min: 1, max: 10}`";
                let min = self.required(input, name.place, "min", &raw.min, hint)?;
                let max = self.required(input, name.place, "max", &raw.max, hint)?;
                if min.value > max.value {
                    let message = format!("no number is at least {} and at most {}", min.value, max.value);
                    self.problem(input, Problem::new(max.place, message).hint("`min` is the smaller one"));
                }
                Some(ParamKind::Integer { min: min.value, max: max.value })
            }
            _ => {
                let hint = "say how many characters at most: `{type: text, max_length: 80}`";
                let longest = self.required(input, name.place, "max_length", &raw.max_length, hint)?;
                if !(1..=LONGEST_TEXT).contains(&longest.value) {
                    let problem = Problem::new(longest.place, "no text can have this length here");
                    self.problem(input, problem.label(format!("expected 1 to {LONGEST_TEXT} characters")));
                }
                Some(ParamKind::Text { max_length: usize::try_from(longest.value).unwrap_or(usize::MAX) })
            }
        }
    }

    fn phrases(&mut self, input: &Input, say: &raw::Words, params: &[Param], phrases: &mut Phrases) -> Vec<Phrase> {
        let Some(say) = say else { return Vec::new() };
        if say.value.is_empty() {
            let problem = Problem::new(say.place, "`say` is empty");
            self.problem(input, problem.hint("leave it out: `run RUNBOOK key=value` always works"));
        }
        let mut read = Vec::new();
        for written in &say.value {
            let phrase = match Phrase::parse(&written.value) {
                Ok(phrase) => phrase,
                Err(error) => {
                    self.problem(input, phrase::unreadable(written.place, &error));
                    continue;
                }
            };
            let slots: BTreeSet<&str> = phrase
                .parts
                .iter()
                .filter_map(|part| match part {
                    PhrasePart::Slot(name) => Some(name.as_str()),
                    PhrasePart::Word(_) => None,
                })
                .collect();
            let names = || params.iter().map(|param| param.name.as_str());
            for slot in &slots {
                if !names().any(|name| name == *slot) {
                    let problem = Problem::new(written.place, format!("there is no parameter {}", words::quoted(slot)))
                        .label(format!("expected {}", words::one_of(names())))
                        .nearest(slot, names());
                    self.problem(input, problem);
                }
            }
            for param in params.iter().filter(|param| param.default.is_none() && !slots.contains(param.name.as_str())) {
                let message = format!("this phrase leaves out {}, which has no default", words::quoted(&param.name));
                let hint = format!("put {{{}}} into the phrase, or give the parameter a default", param.name);
                self.problem(input, Problem::new(written.place, message).hint(hint));
            }
            if let Some(problem) = phrase::taken(written.place, &phrase, params) {
                self.problem(input, problem);
            }
            if let Some((file, place, other)) = phrases.enter(input.file, written.place, &phrase) {
                let message = format!("one line could mean this phrase and {}", words::quoted(&other));
                let problem = Problem::new(written.place, message).hint("change a word of one of the two");
                self.problem(input, problem.elsewhere(file, place, "the other is at"));
            }
            read.push(phrase);
        }
        read
    }

    /// The systems that a plan of the runbook can be about.
    fn possible_systems(&self, params: &[Param], system: Option<&SystemName>) -> BTreeSet<SystemName> {
        if let Some(system) = system {
            return [system.clone()].into();
        }
        let all = || self.catalog.systems.keys().cloned();
        params
            .iter()
            .flat_map(|param| match &param.kind {
                ParamKind::Service { system: Some(system) } => vec![system.clone()],
                ParamKind::Service { system: None } | ParamKind::System => all().collect(),
                ParamKind::Choice(_) | ParamKind::Integer { .. } | ParamKind::Text { .. } => Vec::new(),
            })
            .collect()
    }

    fn step(&mut self, input: &Input, written: &At<raw::Step>, scope: &Scope) -> Option<Step> {
        let raw = &written.value;
        let whose = raw.name.as_ref().map_or(written.place, |name| name.place);
        let name = self.required(input, whose, "name", &raw.name, "say what the step does: `name: Start`");
        let name = name.map(|name| self.text(input, name, 80)).unwrap_or_default();
        let action = self.action(input, whose, raw, scope)?;
        // Where a key says nothing, it is refused: it would be believed.
        let (does, flags, limited) = match &action {
            Raw::Run(_) => ("runs a program", true, true),
            Raw::Http(ask) if !ask.only_reads() => ("makes a request", true, true),
            Raw::Http(_) => ("makes a request that only reads", false, true),
            Raw::Check(_) => ("asks checks, which only read", false, true),
            Raw::Tcp(_) => ("opens a connection, which only reads", false, true),
            Raw::Wait(_) => ("waits", false, false),
        };
        let out_of_place = |key: &str| format!("`{key}` does nothing here: this step {does}");
        if !flags {
            for (key, flag) in [("idempotent", &raw.idempotent), ("read_only", &raw.read_only)] {
                if let Some(flag) = flag {
                    self.problem(input, Problem::new(flag.place, out_of_place(key)).hint("leave it out"));
                }
            }
        }
        if !limited {
            if let Some(retry) = &raw.retry {
                let problem = Problem::new(retry.place, out_of_place("retry"));
                self.problem(input, problem.hint("waiting cannot fail: give `retry` to the step that can"));
            }
            if let Some(timeout) = &raw.timeout {
                let problem = Problem::new(timeout.place, out_of_place("timeout"));
                self.problem(input, problem.hint("leave it out: the step ends when the time is over"));
            }
        }
        if let (Some(until), false) = (&raw.until, matches!(action, Raw::Check(_))) {
            let problem = Problem::new(until.place, format!("`until` belongs to `check`, and this step {does}"));
            self.problem(input, problem.hint("add a step with `check` after it"));
        }
        let (action, timeout) = match action {
            Raw::Run(action) => (action, self.duration(input, &raw.timeout, MINUTE, MILLISECOND..=DAY)),
            Raw::Http(ask) => {
                (StepAction::Http(ask), self.duration(input, &raw.timeout, HTTP_TIMEOUT, MILLISECOND..=DAY))
            }
            Raw::Tcp(ask) => (StepAction::Tcp(ask), self.duration(input, &raw.timeout, TCP_TIMEOUT, MILLISECOND..=DAY)),
            Raw::Wait(time) => (StepAction::Wait(time), time.saturating_add(WAIT_MARGIN)),
            Raw::Check(target) => self.checks(input, raw, target, scope),
        };
        let retry = match &action {
            StepAction::Wait(_) => None,
            StepAction::Check { until: Some(_), .. } => {
                if let Some(retry) = &raw.retry {
                    let problem =
                        Problem::new(retry.place, "`until` keeps asking already: `retry` would ask in two ways");
                    self.problem(input, problem.hint("keep one of the two: `until` for a check that takes time"));
                }
                None
            }
            StepAction::Run { .. }
            | StepAction::Http(_)
            | StepAction::Tcp(_)
            | StepAction::Check { until: None, .. } => raw.retry.as_ref().map(|retry| self.retry(input, retry)),
        };
        let flag = |flag: &Option<At<bool>>| flags && flag.as_ref().is_some_and(|flag| flag.value);
        let (idempotent, read_only) = (flag(&raw.idempotent), flag(&raw.read_only));
        Some(Step { name, action, timeout, idempotent, read_only, retry })
    }

    /// The one thing that a step does. `None` if there is not one; it has been told.
    fn action<'a>(&mut self, input: &Input, whose: Place, raw: &'a raw::Step, scope: &Scope) -> Option<Raw<'a>> {
        let given = [raw.run.is_some(), raw.check.is_some(), raw.http.is_some(), raw.tcp.is_some(), raw.wait.is_some()];
        let count = given.iter().filter(|given| **given).count();
        if count != 1 {
            let message = match count {
                0 => "this step does nothing".to_owned(),
                2 => "a step does one thing, and this one does two".to_owned(),
                several => format!("a step does one thing, and this one does {several}"),
            };
            let problem = Problem::new(whose, message);
            self.problem(input, problem.label("expected exactly one of `run`, `check`, `http`, `tcp` and `wait`"));
            return None;
        }
        if let Some(run) = &raw.run {
            return Some(Raw::Run(self.run(input, run, scope)));
        }
        if let Some(ask) = &raw.http {
            return self.http(input, ask, Use::Step(scope)).map(Raw::Http);
        }
        if let Some(address) = &raw.tcp {
            return Some(Raw::Tcp(self.tcp(input, address)));
        }
        if raw.wait.is_some() {
            return Some(Raw::Wait(self.duration(input, &raw.wait, SECOND, MILLISECOND..=DAY)));
        }
        raw.check.as_ref().map(Raw::Check)
    }

    /// A step that asks checks, and how long it may take.
    fn checks(&mut self, input: &Input, raw: &raw::Step, target: &At<String>, scope: &Scope) -> (StepAction, Duration) {
        let until = raw.until.as_ref().map(|until| self.until(input, until));
        let of_checks = self.target(input, target, scope);
        let patience = until.as_ref().map_or(Duration::ZERO, |until| until.passes_within);
        // A target that is wrong has been told already: any time will do.
        let default = (of_checks + patience).max(MILLISECOND);
        let timeout = self.duration(input, &raw.timeout, default, MILLISECOND..=DAY);
        if let Some(written) = &raw.timeout
            && timeout < patience
        {
            let message = format!(
                "the step would be cut off after {}, but its checks may take {}",
                words::duration(timeout),
                words::duration(patience)
            );
            let problem = Problem::new(written.place, message);
            self.problem(input, problem.hint("leave `timeout` out: it follows from `passes_within`"));
        }
        (StepAction::Check { target: target.value.clone(), until }, timeout)
    }

    fn retry(&mut self, input: &Input, raw: &At<raw::Retry>) -> Retry {
        let hint = "say how often beyond the first try: `retry: {times: 3, wait: 2s, at_most: 30s}`";
        self.required(input, raw.place, "times", &raw.value.times, hint);
        let times = self.number(input, raw.value.times.as_ref(), 1, 1..=MOST_RETRIES);
        let wait = self.duration(input, &raw.value.wait, SECOND, MILLISECOND..=HOUR);
        let at_most = self.duration(input, &raw.value.at_most, MINUTE.max(wait), MILLISECOND..=HOUR);
        if let Some(written) = &raw.value.at_most
            && at_most < wait
        {
            let message = format!(
                "the first pause is {} already, and none may be longer than {}",
                words::duration(wait),
                words::duration(at_most)
            );
            let problem = Problem::new(written.place, message);
            self.problem(input, problem.hint("pauses double from try to try: make `at_most` at least `wait`"));
        }
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Retry { times, wait_ms: milliseconds(wait), at_most_ms: milliseconds(at_most) }
    }

    fn run(&mut self, input: &Input, run: &At<raw::Run>, scope: &Scope) -> StepAction {
        let words = self.command(input, run.place, &run.value.command);
        for word in words.iter().skip(1) {
            self.template(input, word, scope);
        }
        let texts: Vec<&str> = words.iter().map(|word| word.value.as_str()).collect();
        if !texts.is_empty()
            && !template::is_template(texts[0])
            && let Err((position, (message, hint))) = program::values(&texts)
        {
            let problem = Problem::new(words[position].place, message);
            self.problem(
                input,
                match hint {
                    Some(hint) => problem.hint(hint),
                    None => problem,
                },
            );
        }
        let env = self.env(input, run.value.env.as_deref().unwrap_or_default());
        StepAction::Run { command: words.into_iter().map(|word| word.value).collect(), env }
    }

    /// Tells names of no parameter in a template. What is no template at all has been told by then.
    pub(super) fn template(&mut self, input: &Input, text: &At<String>, scope: &Scope) {
        for piece in template::parse(&text.value).unwrap_or_default() {
            let Piece::Param(name) = piece else { continue };
            let names = || scope.params.iter().map(|param| param.name.as_str());
            if !names().any(|known| known == name) {
                let problem = Problem::new(text.place, format!("there is no parameter {}", words::quoted(name)))
                    .label(format!("expected {}", words::one_of(names())))
                    .nearest(name, names());
                self.problem(input, problem);
            }
        }
    }

    fn until(&mut self, input: &Input, until: &At<raw::Until>) -> Until {
        let whose = until.place;
        let hint = "say for how long to ask and how often: `until: {passes_within: 30s, every: 2s}`";
        self.required(input, whose, "passes_within", &until.value.passes_within, hint);
        self.required(input, whose, "every", &until.value.every, hint);
        let passes_within = self.duration(input, &until.value.passes_within, MINUTE, MILLISECOND..=DAY);
        let every = self.duration(input, &until.value.every, MILLISECOND, MILLISECOND..=DAY);
        if every > passes_within
            && let Some(written) = &until.value.every
        {
            let message = format!(
                "asking every {} within {} asks only once",
                words::duration(every),
                words::duration(passes_within)
            );
            self.problem(input, Problem::new(written.place, message).hint("make `every` shorter than `passes_within`"));
        }
        Until { passes_within, every }
    }

    /// Tries out everything that a check's target can come to. Gives back the longest time that its checks may take.
    fn target(&mut self, input: &Input, target: &At<String>, scope: &Scope) -> Duration {
        let before = self.problems.len();
        if let Err(message) = template::parse(&target.value) {
            let hint = "write `{{ name }}` with the name of a parameter";
            self.problem(input, Problem::new(target.place, message).hint(hint));
        }
        self.template(input, target, scope);
        if self.problems.len() > before {
            return Duration::ZERO;
        }
        let expansions = match scope.expansions(&self.catalog, &target.value) {
            Ok(expansions) => expansions,
            Err(message) => {
                let hint = "use parameters of type service, system or choice here";
                self.problem(input, Problem::new(target.place, message).hint(hint));
                return Duration::ZERO;
            }
        };
        let mut longest = Duration::ZERO;
        for name in expansions {
            match self.catalog.checks_at(&name) {
                Ok(checks) => {
                    let system = checks.first().map(|found| &found.system.name);
                    if let Some(system) =
                        system.filter(|system| !scope.systems.is_empty() && !scope.systems.contains(*system))
                    {
                        let message = format!(
                            "{} belongs to {system}, which this runbook does not work on",
                            words::quoted(&name)
                        );
                        self.problem(input, Problem::new(target.place, message).hint("a plan works on one system"));
                        return longest;
                    }
                    longest = longest.max(checks.iter().map(|found| found.check.timeout).sum());
                }
                Err(error) if !self.is_unread(&error) => {
                    let problem = self.target_problem(target.place, &name, name != target.value, &error);
                    self.problem(input, problem);
                    return longest;
                }
                Err(_) => return longest,
            }
        }
        longest
    }

    /// Whether the target that is missing may stand in a file that was already complained about.
    fn is_unread(&self, error: &TargetError) -> bool {
        match error {
            TargetError::NoSuchTarget { name } => {
                let name = name.split('/').next().unwrap_or_default();
                [Kind::Service, Kind::System].into_iter().any(|kind| {
                    let declared = self.broken.contains(&kind) && self.declared(kind, name).is_some();
                    declared || self.may_be_unread(kind, name)
                })
            }
            // The service has been read, and its checks with it.
            TargetError::NoSuchCheck { .. } => false,
        }
    }

    fn target_problem(&self, place: Place, name: &str, is_filled: bool, error: &TargetError) -> Problem {
        let message = match is_filled {
            true => format!("this can come to {}, and {error}", words::quoted(name)),
            false => error.to_string(),
        };
        let problem = Problem::new(place, message);
        match error {
            TargetError::NoSuchTarget { name } => {
                let systems = &self.catalog.systems;
                let services = systems.values().flat_map(|system| system.services.keys());
                let all: Vec<&str> =
                    services.map(|it| it.as_str()).chain(systems.keys().map(|it| it.as_str())).collect();
                problem.label("expected a service, service/check or system").nearest(name, all)
            }
            TargetError::NoSuchCheck { service, check } => {
                let found = self.catalog.service(service);
                let all: Vec<&str> =
                    found.iter().flat_map(|(_, service)| service.checks.keys()).map(|it| it.as_str()).collect();
                problem.label(format!("expected {}", words::one_of(all.iter().copied()))).nearest(check, all)
            }
        }
    }
}

/// What a step's templates can be filled with.
pub(super) struct Scope {
    params: Vec<Param>,
    systems: BTreeSet<SystemName>,
}

impl Scope {
    /// Whether a parameter is a whole number.
    pub(super) fn is_number(&self, name: &str) -> bool {
        self.params.iter().any(|param| param.name == name && matches!(param.kind, ParamKind::Integer { .. }))
    }

    /// Every text that a template over parameters of few values can come to.
    fn expansions(&self, catalog: &Catalog, text: &str) -> Result<Vec<String>, String> {
        let pieces = template::parse(text).unwrap_or_default();
        let mut fillings: Vec<BTreeMap<&str, String>> = vec![BTreeMap::new()];
        for piece in &pieces {
            let Piece::Param(name) = piece else { continue };
            let Some(param) = self.params.iter().find(|param| param.name == *name) else { continue };
            let Some(values) = self.values(catalog, &param.kind) else {
                return Err(format!(
                    "{} can be anything, so nobody can say beforehand what is checked",
                    words::quoted(name)
                ));
            };
            fillings = fillings
                .into_iter()
                .flat_map(|filling| match filling.contains_key(name) {
                    true => vec![filling],
                    false => {
                        let with = |value: &String| {
                            let mut filling = filling.clone();
                            filling.insert(name, value.clone());
                            filling
                        };
                        values.iter().map(with).collect()
                    }
                })
                .take(MOST_TARGETS + 1)
                .collect();
        }
        if fillings.len() > MOST_TARGETS {
            return Err(format!("this can come to more than {MOST_TARGETS} targets"));
        }
        let fill = |filling: &BTreeMap<&str, String>| {
            let text = |piece: &Piece<'_>| match piece {
                Piece::Text(text) => (*text).to_owned(),
                Piece::Param(name) => filling.get(name).cloned().unwrap_or_default(),
            };
            pieces.iter().map(text).collect()
        };
        Ok(fillings.iter().map(fill).collect())
    }

    fn values(&self, catalog: &Catalog, kind: &ParamKind) -> Option<Vec<String>> {
        match kind {
            ParamKind::Service { system } => {
                let systems = catalog.systems.values().filter(|it| system.as_ref().is_none_or(|only| it.name == *only));
                Some(systems.flat_map(|it| it.services.keys()).map(ToString::to_string).collect())
            }
            ParamKind::System => Some(self.systems.iter().map(ToString::to_string).collect()),
            ParamKind::Choice(choices) => Some(choices.clone()),
            ParamKind::Integer { .. } | ParamKind::Text { .. } => None,
        }
    }
}

/// Whether a kind of parameter accepts a value as it stands.
pub(super) fn accepts(catalog: &Catalog, kind: &ParamKind, value: &At<String>) -> Result<(), Problem> {
    let text = value.value.as_str();
    let refused = |label: String| {
        Problem::new(value.place, format!("{} is not accepted by this parameter", words::quoted(text))).label(label)
    };
    let one_of = |all: Vec<&str>| match all.contains(&text) {
        true => Ok(()),
        false => Err(refused(format!("expected {}", words::one_of(all.iter().copied()))).nearest(text, all)),
    };
    match kind {
        ParamKind::Service { system } => {
            let systems = catalog.systems.values().filter(|it| system.as_ref().is_none_or(|only| it.name == *only));
            one_of(systems.flat_map(|it| it.services.keys()).map(|name| name.as_str()).collect())
        }
        ParamKind::System => one_of(catalog.systems.keys().map(|name| name.as_str()).collect()),
        ParamKind::Choice(choices) => one_of(choices.iter().map(String::as_str).collect()),
        ParamKind::Integer { min, max } => match text.parse::<i64>() {
            // As a number is written canonically: no sign before a positive one, no leading zero.
            Ok(number) if (*min..=*max).contains(&number) && number.to_string() == text => Ok(()),
            _ => Err(refused(format!("expected a whole number from {min} to {max}"))),
        },
        ParamKind::Text { max_length } => {
            let length = text.chars().count();
            match (1..=*max_length).contains(&length) && !text.chars().any(glyph::hidden) {
                true => Ok(()),
                false => Err(refused(format!("expected 1 to {max_length} visible characters on one line"))),
            }
        }
    }
}

//! Policies: stages whose quorum can be reached, times that can be kept, exceptions that are said in words.

use std::time::Duration;

use crate::model::catalog::{Policy, Stage, Subject};
use crate::model::id::{PolicyName, RunbookName, TriggerName};
use crate::model::policy::{
    AfterDenial, Automatic, Bound, BreakGlass, Delegating, Escalation, Relaxed, Repeat, Unasked,
};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::{Checker, DAY, HOUR, Input, Kind, MINUTE, SECOND};

/// The greatest number of stages: nobody waits for more.
const MOST_STAGES: usize = 8;
/// The greatest number of further askings of a stage.
const MOST_ESCALATIONS: usize = 8;
/// The most runs in a window that people may start unasked.
const MOST_UNASKED: u32 = 20;
/// The most runs in a window that a trigger may start by itself: of all services together, each of which has its brakes.
const MOST_AUTOMATIC: u32 = 100;
/// The greatest number of runs that one approval covers.
const MOST_REPEATS: u32 = 100;
/// The one thing that `exclude` knows.
const LAST_AUTHOR: &str = "last_author";

impl Checker {
    pub(super) fn policy(&mut self, input: &Input, raw: &raw::Policy) {
        let Some(name) = &raw.policy else { return };
        self.declare(input, Kind::Policy, name);
        let title = self.title(input, name.place, &raw.title);
        let refuse = self.refuse(input, name, raw);
        let hint = "say who must agree: `stages: [{approvers: [group:managers], quorum: 1}]`";
        let written = match refuse {
            Some(_) => &[],
            None => self.filled(input, name.place, "stages", &raw.stages, hint),
        };
        let expires = self.duration(input, &raw.expires, 30 * MINUTE, SECOND..=7 * DAY);
        let stages: Vec<Stage> = written.iter().map(|stage| self.stage(input, stage, expires)).collect();
        if let Some(one_too_many) = written.get(MOST_STAGES) {
            let message = format!("this is stage {} of {}", MOST_STAGES + 1, written.len());
            let problem = Problem::new(one_too_many.place, message).label(format!("expected at most {MOST_STAGES}"));
            self.problem(input, problem.hint("nobody waits for so many: put people together"));
        }
        let valid_for = self.duration(input, &raw.valid_for, HOUR, SECOND..=7 * DAY);
        let starts_within = self.duration(input, &raw.starts_within, valid_for.min(15 * MINUTE), SECOND..=7 * DAY);
        if let Some(written) = raw.starts_within.as_ref().filter(|_| starts_within > valid_for) {
            let message = format!(
                "a run could begin {} after its approval, which lasts {}",
                words::duration(starts_within),
                words::duration(valid_for)
            );
            let problem = Problem::new(written.place, message);
            self.problem(input, problem.hint("begin earlier, or give the policy a longer `valid_for`"));
        }
        let relaxed = self.relaxed(input, raw);
        let exclude_author = self.exclude(input, raw);
        let delegating = match &raw.may_delegate {
            Some(At { value: false, .. }) => Delegating::Refused,
            Some(_) | None => Delegating::Allowed,
        };
        self.distinct(input, written, &stages, &relaxed);
        let automatic = self.starts(input, raw);
        let unasked = self.unasked(input, raw);
        let repeat = raw.repeat.as_ref().map(|written| self.repeat(input, written));
        let after_denial = self.after_denial(input, raw.after_denial.as_ref());
        let break_glass = raw.break_glass.as_ref().and_then(|written| self.break_glass(input, written, &stages));
        let name = PolicyName::new(&name.value);
        let text = input.text.to_string();
        let source = input.source.clone();
        let policy = Policy {
            name: name.clone(),
            title,
            when: None,
            replaces: Vec::new(),
            refuse,
            stages,
            expires,
            starts_within,
            valid_for,
            relaxed,
            exclude_author,
            delegating,
            after_denial,
            repeat,
            break_glass,
            automatic,
            unasked,
            text,
            source,
        };
        self.catalog.policies.insert(name, policy);
    }

    /// Triggers that may start a runbook by themselves. That both are there and belong together is looked at when all of them
    /// are known.
    fn starts(&mut self, input: &Input, raw: &raw::Policy) -> Vec<Automatic> {
        let mut rules = Vec::new();
        for written in raw.automatic.iter().flat_map(|list| &list.value) {
            let rule = match &written.value {
                // Told when it is known what the trigger runs.
                raw::Starts::Name(name) => {
                    rules.push(Automatic { trigger: TriggerName::new(name), bound: None });
                    continue;
                }
                raw::Starts::Rule(rule) => rule,
            };
            let whose = Place { start: written.place.start, end: written.place.start };
            let hint = "say which trigger: `trigger: web-down`";
            let trigger = self.required(input, whose, "trigger", &rule.trigger, hint);
            let hint = "say which runbook it may start: `runbook: restart-web`";
            let runbook = self.required(input, whose, "runbook", &rule.runbook, hint);
            let bound = self.so_often(input, whose, &rule.at_most, MOST_AUTOMATIC);
            let (Some(trigger), Some(runbook), Some((runs, per_ms))) = (trigger, runbook, bound) else { continue };
            let bound = Some(Bound { runbook: RunbookName::new(&runbook.value), runs, per_ms });
            rules.push(Automatic { trigger: TriggerName::new(&trigger.value), bound });
        }
        rules
    }

    /// How many runs in a window start without anybody's answer.
    fn so_often(
        &mut self,
        input: &Input,
        whose: Place,
        written: &Option<At<raw::AtMost>>,
        most: u32,
    ) -> Option<(u32, u64)> {
        let hint = "say how often: `at_most: {runs: 3, per: 1h}`";
        let at_most = self.required(input, whose, "at_most", written, hint)?;
        self.required(input, at_most.place, "runs", &at_most.value.runs, "say how many: `runs: 3`");
        self.required(input, at_most.place, "per", &at_most.value.per, "say in how long: `per: 1h`");
        let runs = self.number(input, at_most.value.runs.as_ref(), 1, 1..=most);
        let per = self.duration(input, &at_most.value.per, HOUR, MINUTE..=7 * DAY);
        Some((runs, milliseconds(per)))
    }

    /// People who may start a runbook unasked. That the runbook is there is looked at when all of them are known.
    fn unasked(&mut self, input: &Input, raw: &raw::Policy) -> Vec<(RunbookName, Unasked)> {
        let mut rules = Vec::new();
        for written in raw.unasked.iter().flat_map(|list| &list.value) {
            let whose = Place { start: written.place.start, end: written.place.start };
            let hint = "say which runbook: `runbook: restart-web`";
            let runbook = self.required(input, whose, "runbook", &written.value.runbook, hint);
            let hint = "say who: `by: [group:support]`";
            self.required(input, whose, "by", &written.value.by, hint);
            let by = self.subjects(input, "by", &written.value.by);
            let bound = self.so_often(input, whose, &written.value.at_most, MOST_UNASKED);
            let (Some(runbook), Some((runs, per_ms))) = (runbook, bound) else { continue };
            rules.push((RunbookName::new(&runbook.value), Unasked { by, runs, per_ms }));
        }
        rules
    }

    fn repeat(&mut self, input: &Input, raw: &At<raw::Repeat>) -> Repeat {
        let whose = Place { start: raw.place.start, end: raw.place.start };
        let raw = &raw.value;
        let runs = self.required(input, whose, "runs", &raw.runs, "say how many, with the first: `runs: 5`");
        let runs = runs.map_or(2, |runs| {
            if !(2..=MOST_REPEATS).contains(&runs.value) {
                let message = format!("one approval cannot cover {} runs", runs.value);
                let problem = Problem::new(runs.place, message).label(format!("expected 2 to {MOST_REPEATS}"));
                self.problem(input, problem);
            }
            runs.value
        });
        self.required(input, whose, "within", &raw.within, "say for how long: `within: 4h`");
        let within = self.duration(input, &raw.within, HOUR, MINUTE..=DAY);
        Repeat { runs, within_ms: milliseconds(within) }
    }

    fn after_denial(&mut self, input: &Input, written: Option<&At<String>>) -> AfterDenial {
        let Some(written) = written else { return AfterDenial::default() };
        let names = || AfterDenial::ALL.into_iter().map(|(_, name)| name);
        if let Some((after, _)) = AfterDenial::ALL.into_iter().find(|(_, name)| *name == written.value) {
            return after;
        }
        let message = format!("{} is not possible here", words::quoted(&written.value));
        let problem = Problem::new(written.place, message)
            .label(format!("expected {}", words::one_of(names())))
            .nearest(&written.value, names());
        self.problem(input, problem);
        AfterDenial::default()
    }

    fn break_glass(&mut self, input: &Input, raw: &At<raw::BreakGlass>, stages: &[Stage]) -> Option<BreakGlass> {
        let whose = Place { start: raw.place.start, end: raw.place.start };
        let raw = &raw.value;
        self.required(input, whose, "by", &raw.by, "say who may: `by: [group:managers]`")?;
        let hint = "say who looks at it afterwards: `reviewed_by: [group:managers]`";
        self.required(input, whose, "reviewed_by", &raw.reviewed_by, hint)?;
        let by = self.subjects(input, "by", &raw.by);
        let reviewed_by = self.subjects(input, "reviewed_by", &raw.reviewed_by);
        let within = self.duration(input, &raw.review_within, DAY, MINUTE..=7 * DAY);
        let by_chat = raw.by_chat.as_ref().is_some_and(|by_chat| by_chat.value);
        if let Some(written) = raw.by_chat.as_ref().filter(|by_chat| by_chat.value)
            && !stages.iter().any(|stage| stage.step_up)
        {
            let problem = Problem::new(written.place, "no stage of this policy wants a passkey");
            self.problem(input, problem.hint("leave `by_chat` out: a chat account is enough here"));
        }
        // One who may break it alone and is alone in looking at it would look at their own deed.
        let (may, look) = (self.catalog.people_in(&by), self.catalog.people_in(&reviewed_by));
        let known = !self.catalog.is_kept_elsewhere(&by) && !self.catalog.is_kept_elsewhere(&reviewed_by);
        if known
            && look.len() == 1
            && look.is_subset(&may)
            && let Some(written) = &raw.reviewed_by
        {
            let problem =
                Problem::new(written.place, "the only one who would look at it may break the glass themselves");
            self.problem(input, problem.hint("name somebody else too: nobody reviews what they did themselves"));
        }
        Some(BreakGlass { by, review_within_ms: milliseconds(within), reviewed_by, by_chat })
    }

    fn stage(&mut self, input: &Input, raw: &At<raw::Stage>, whole: Duration) -> Stage {
        let whose = Place { start: raw.place.start, end: raw.place.start };
        let raw = &raw.value;
        let hint = "say who may agree: `approvers: [group:managers]`";
        self.required(input, whose, "approvers", &raw.approvers, hint);
        let approvers = self.approvers(input, "approvers", &raw.approvers);
        let expires = raw.expires.is_some().then(|| self.duration(input, &raw.expires, whole, SECOND..=whole));
        let lasts = expires.unwrap_or(whole);
        let (reminds, rings) = ((3 * MINUTE).min(lasts), (5 * MINUTE).min(lasts));
        let remind_after = self.duration(input, &raw.remind_after, reminds, SECOND..=lasts);
        let ring_after = self.duration(input, &raw.ring_after, rings, SECOND..=lasts);
        let mut stage = Stage {
            denials: self.denials(input, raw.denials.as_ref(), &approvers),
            reason_required: self.reason(input, raw.reason.as_ref()),
            step_up: raw.step_up.as_ref().is_some_and(|step_up| step_up.value),
            expires_ms: expires.map(milliseconds),
            // What would come at the end of its time is no reminder.
            remind_after_ms: (remind_after < lasts).then(|| milliseconds(remind_after)),
            ring_after_ms: (ring_after < lasts).then(|| milliseconds(ring_after)),
            escalate: self.escalations(input, raw, lasts),
            ..Stage::new(approvers, 1)
        };
        let hint = "say how many different people must agree: `quorum: 1`";
        let Some(quorum) = self.required(input, whose, "quorum", &raw.quorum, hint) else { return stage };
        let place = quorum.place;
        stage.quorum = quorum.value;
        if stage.quorum == 0 {
            let problem = Problem::new(place, "a quorum of 0 would approve everything by itself");
            self.problem(
                input,
                problem.label("expected at least 1").hint("a runbook that only reads needs no policy at all"),
            );
        } else if let Some(people) = self.reachable(&stage).filter(|people| *people < stage.quorum) {
            let noun = if people == 1 { "person" } else { "people" };
            let message =
                format!("a quorum of {} can never be reached: the approvers are {people} {noun}", stage.quorum);
            self.problem(input, Problem::new(place, message).label(format!("expected at most {people}")));
        }
        stage
    }

    /// How many people a stage may come to ask. `None`: somebody in it is not known, which has been told already, or is kept
    /// elsewhere; then the count means nothing.
    fn reachable(&self, stage: &Stage) -> Option<u32> {
        let all: Vec<_> =
            stage.approvers.iter().chain(stage.escalate.iter().flat_map(|step| &step.to)).cloned().collect();
        let people = self.people_at_most(&all);
        let all_known = ![Kind::Person, Kind::Group, Kind::Rota].iter().any(|kind| self.broken.contains(kind))
            && all.iter().all(|subject| match subject {
                Subject::Rota(name) => self.catalog.rotas.contains_key(name),
                Subject::Person(_) | Subject::Group(_) | Subject::Accountable => true,
            })
            && !self.catalog.is_kept_elsewhere(&all)
            && people > 0;
        all_known.then(|| u32::try_from(people).unwrap_or(u32::MAX))
    }

    /// How many people subjects come to. Whoever is accountable may be somebody else in each system: at most one more.
    fn people_at_most(&self, subjects: &[Subject]) -> usize {
        self.catalog.people_in(subjects).len() + usize::from(subjects.contains(&Subject::Accountable))
    }

    fn denials(&mut self, input: &Input, written: Option<&At<u32>>, approvers: &[Subject]) -> u32 {
        let Some(written) = written else { return 1 };
        let people = self.reachable(&Stage::new(approvers.to_vec(), 1)).unwrap_or(u32::MAX);
        if written.value == 0 || written.value > people {
            let message = match written.value {
                0 => "with no denial at all that ends it nobody could refuse".to_owned(),
                denials => format!("{denials} denials can never come together: the approvers are {people}"),
            };
            let expected = if people == 1 { "expected 1".to_owned() } else { format!("expected 1 to {people}") };
            self.problem(input, Problem::new(written.place, message).label(expected));
            return 1;
        }
        written.value
    }

    fn reason(&mut self, input: &Input, written: Option<&At<String>>) -> bool {
        let Some(written) = written else { return false };
        match written.value.as_str() {
            "required" => true,
            "optional" => false,
            other => {
                let message = format!("{} is not possible here", words::quoted(other));
                let problem = Problem::new(written.place, message).label("expected required or optional");
                self.problem(input, problem.nearest(other, ["required", "optional"]));
                false
            }
        }
    }

    fn escalations(&mut self, input: &Input, raw: &raw::Stage, lasts: Duration) -> Vec<Escalation> {
        let Some(list) = &raw.escalate else { return Vec::new() };
        if list.value.is_empty() {
            self.problem(input, Problem::new(list.place, "`escalate` is empty").hint("leave the key out"));
        }
        if let Some(one_too_many) = list.value.get(MOST_ESCALATIONS) {
            let problem = Problem::new(one_too_many.place, format!("this is asking number {}", MOST_ESCALATIONS + 1));
            self.problem(input, problem.label(format!("expected at most {MOST_ESCALATIONS}")));
        }
        let mut steps: Vec<Escalation> = Vec::new();
        for step in &list.value {
            let whose = Place { start: step.place.start, end: step.place.start };
            let hint = "say when, from the stage's beginning: `after: 8m`";
            self.required(input, whose, "after", &step.value.after, hint);
            let after = self.duration(input, &step.value.after, lasts, SECOND..=lasts);
            let hint = "say who is asked then as well: `to: [group:managers]`";
            self.required(input, whose, "to", &step.value.to, hint);
            let to = self.approvers(input, "to", &step.value.to);
            let after_ms = milliseconds(after);
            if steps.last().is_some_and(|before| before.after_ms >= after_ms)
                && let Some(written) = &step.value.after
            {
                let problem = Problem::new(written.place, "this comes before the asking above it");
                self.problem(input, problem.hint("write them in the order of time"));
            }
            steps.push(Escalation { after_ms, to });
        }
        steps
    }

    fn relaxed(&mut self, input: &Input, raw: &raw::Policy) -> Vec<Relaxed> {
        let mut relaxed = Vec::new();
        for written in raw.relax.iter().flat_map(|list| &list.value) {
            let found = Relaxed::ALL.into_iter().find(|(_, name)| *name == written.value);
            match found {
                Some((rule, _)) if relaxed.contains(&rule) => {
                    let message = format!("{} stands in this list twice", words::quoted(&written.value));
                    self.problem(input, Problem::new(written.place, message).hint("keep one of the two"));
                }
                Some((rule, _)) => relaxed.push(rule),
                None => {
                    let names = || Relaxed::ALL.into_iter().map(|(_, name)| name);
                    let message = format!("{} is no rule that a policy may give up", words::quoted(&written.value));
                    let problem = Problem::new(written.place, message)
                        .label(format!("expected {}", words::one_of(names())))
                        .nearest(&written.value, names());
                    self.problem(input, problem);
                }
            }
        }
        relaxed.sort();
        relaxed
    }

    fn exclude(&mut self, input: &Input, raw: &raw::Policy) -> bool {
        let mut author = false;
        for written in raw.exclude.iter().flat_map(|list| &list.value) {
            if written.value == LAST_AUTHOR {
                author = true;
                continue;
            }
            let message = format!("{} is nobody who could be left out", words::quoted(&written.value));
            let problem = Problem::new(written.place, message)
                .label(format!("expected {LAST_AUTHOR}"))
                .nearest(&written.value, [LAST_AUTHOR]);
            self.problem(input, problem.hint("whoever asks never agrees: that needs no words"));
        }
        author
    }

    /// Whether the stages together can be agreed to, as nobody counts in two of them.
    fn distinct(&mut self, input: &Input, written: &[At<raw::Stage>], stages: &[Stage], relaxed: &[Relaxed]) {
        if stages.len() < 2 || relaxed.contains(&Relaxed::OnePersonSeveralStages) {
            return;
        }
        let mut all = Vec::new();
        let mut needed = 0_u32;
        for (stage, written) in stages.iter().zip(written) {
            // Of each stage alone it has been told.
            if self.reachable(stage).is_none_or(|people| people < stage.quorum) {
                return;
            }
            all.extend(stage.approvers.iter().chain(stage.escalate.iter().flat_map(|step| &step.to)).cloned());
            needed = needed.saturating_add(stage.quorum);
            let people = u32::try_from(self.people_at_most(&all)).unwrap_or(u32::MAX);
            if people < needed {
                let message = format!(
                    "up to this stage {needed} different people must agree, and only {people} could be asked: nobody counts \
                     in two stages"
                );
                let hint = "ask more people, or say `relax: [one_person_several_stages]`, which the ledger will show";
                self.problem(input, Problem::new(written.place, message).hint(hint));
                return;
            }
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

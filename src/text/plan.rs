//! A plan as the approver sees it: the decision first, then the reason, then every step as it will run. Never cut.

use std::fmt::Display;

use chrono::{DateTime, Utc};

use super::time::{Times, lasted, limit};
use super::visible::visible;
use super::waking::{self, Foot};
use crate::model::catalog::{EnvFrom, HeaderValue, HttpAsk};
use crate::model::code::Code;
use crate::model::id::{Digest, PersonId, RunId, TriggerName};
use crate::model::plan::{Action, Exec, Plan, PlanPolicy, PlanProbe, PlanStep};
use crate::model::policy::{Carried, DeniedBefore};
use crate::model::request::{Freeing, Wanted, Wish};

/// What a request's message is made of.
#[derive(Debug)]
pub struct RequestText<'a> {
    /// What it is about.
    pub told: Told<'a>,
    /// The plan's digest.
    pub digest: Digest,
    /// Its code.
    pub code: &'a Code,
    /// Who is asked.
    pub asked: &'a [PersonId],
    /// Who is asked next if nobody decides, and when.
    pub next: Option<&'a (Vec<PersonId>, DateTime<Utc>)>,
    /// Of which groups among them nobody knows now who is in them: sentences with a space before them, or nothing.
    pub unseen: &'a str,
}

/// What a request is about, for whoever shows it: chat and pages say the same of it.
#[derive(Debug)]
pub struct Told<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The run.
    pub run: RunId,
    /// What is asked for.
    pub wanted: &'a Wanted,
    /// Who asks.
    pub requester: &'a PersonId,
    /// The trigger that asks, if no person does.
    pub trigger: Option<&'a TriggerName>,
    /// How earlier runs of this plan went: total, helped, usual length in milliseconds.
    pub earlier: (i64, i64, Option<u64>),
    /// What came before it, each a line: [`takes_place_of`], [`after_sent_back`].
    pub notes: &'a [String],
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// Now.
    pub now: DateTime<Utc>,
    /// How times are said.
    pub times: Times,
}

/// The decision in its parts. Whoever shows a request takes this apart without leaving out a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The environment, in capitals.
    pub environment: String,
    /// Who asks.
    pub asker: String,
    /// What for.
    pub deed: String,
    /// Where.
    pub host: String,
    /// At what time it starts, if that is not at once.
    pub starts: Option<String>,
    /// What agreeing leads to.
    pub effect: String,
    /// Until when it can be decided.
    pub until: String,
}

/// The decision in its parts.
pub fn head(told: &Told<'_>) -> Head {
    let Told { plan, run, wanted, requester, trigger, expires_at, now, times, .. } = told;
    Head {
        environment: environment(plan),
        asker: asker(requester, *trigger),
        deed: asked_deed(plan, *run, wanted),
        host: visible(&plan.host),
        starts: super::later::at(plan, wanted, times, *now),
        effect: asked_effect(plan, wanted),
        until: times.until(*expires_at, *now),
    }
}

/// What stands between the decision and the steps, each a line: why, how it went before, what was denied, what agreeing
/// covers, what came before. Chat and pages take it from here, so that none of them leaves a line out.
pub fn before_steps(told: &Told<'_>) -> Vec<String> {
    let Told { plan, wanted, earlier: runs, notes, now, times, .. } = told;
    let policy = plan.policy.as_ref();
    let why = plan.why.as_deref().map(|why| format!("Why: {} ", visible(why))).unwrap_or_default();
    let mut lines = vec![format!("{why}{}", earlier(*runs))];
    lines.extend(policy.and_then(|policy| denied_before(policy, times, *now)));
    let repeat = policy.and_then(|policy| policy.repeat).filter(|_| **wanted == Wanted::Start);
    lines.extend(repeat.map(|repeat| super::repeat::covers(&repeat)));
    lines.extend(wanted.wish().map(wished_because));
    lines.extend(notes.iter().cloned());
    lines
}

/// The whole request. Its first line holds the decision.
pub fn request(text: &RequestText<'_>) -> String {
    let RequestText { told, digest, code, asked, next, unseen } = text;
    let Head { environment, asker, deed, host, starts, effect, until } = head(told);
    let starts = starts.map(|at| format!(" · at {at}")).unwrap_or_default();
    let mut lines = vec![
        format!("{environment} · {asker} asks: {deed} on {host}{starts} · {effect} · until {until} · {code}"),
        format!("`approved` or `deny because …` here, {}.", or(asked)),
    ];
    lines.extend(before_steps(told));
    lines.extend(steps(told.plan));
    let foot = waking::foot(&Foot { asked, looking: None, next: *next }, &told.times, told.now);
    lines.push(format!("{}{foot}", before_foot(told.plan, *digest, told.run)));
    if !unseen.is_empty() {
        lines.push(unseen.trim_start().to_owned());
    }
    lines.join("\n")
}

/// What stands before the part of a request's last line that is kept current.
fn before_foot(plan: &Plan, digest: Digest, run: RunId) -> String {
    let policy = plan.policy.as_ref().map(|policy| format!(" · policy {}", policy.name)).unwrap_or_default();
    format!("Plan {} · run {run}{policy} · ", groups(digest))
}

/// A request's text, or the part of it that holds the last line, with another foot; `None` if that line is not in it.
pub fn with_foot(text: &str, plan: &Plan, digest: Digest, run: RunId, foot: &str) -> Option<String> {
    let before = before_foot(plan, digest, run);
    let mut lines: Vec<&str> = text.split('\n').collect();
    let last = lines.iter_mut().rev().find(|line| line.starts_with(&before))?;
    let whole = format!("{before}{foot}");
    *last = &whole;
    Some(lines.join("\n"))
}

/// That the same was denied not long ago, and who must be among those who agree.
pub fn denied_before(policy: &PlanPolicy, times: &Times, now: DateTime<Utc>) -> Option<String> {
    let denied = policy.denied_before.as_ref()?;
    Some(denial(denied, "the same", &policy.needs, times, now))
}

/// That somebody denied something of a stuck step not long ago, and who must be among those who agree.
pub fn denied_of_step(carried: &Carried, deed: &str, times: &Times, now: DateTime<Utc>) -> String {
    denial(&carried.denied, &format!("to {deed}"), &carried.needs, times, now)
}

fn denial(denied: &DeniedBefore, what: &str, needs: &[PersonId], times: &Times, now: DateTime<Utc>) -> String {
    let DeniedBefore { code, by, why, at } = denied;
    let why = why.as_deref().map(|why| format!(": {}", super::echo::sentence(&visible(why)))).unwrap_or_default();
    let needs = match needs {
        [] => String::new(),
        needs => format!(" {} must be among those who agree.", or(needs)),
    };
    format!("{by} denied {what} at {} ({code}){why}.{needs}", times.at(*at, now))
}

/// Which requests end by this one.
pub fn takes_place_of(codes: &[Code]) -> String {
    let codes: Vec<String> = codes.iter().map(ToString::to_string).collect();
    let does = if codes.len() == 1 { "does" } else { "do" };
    format!("It takes the place of {}, which {does} not count any more.", codes.join(" and "))
}

/// That somebody had sent the same back.
pub fn after_sent_back(by: &PersonId, why: &str) -> String {
    format!("Asked again after {by} wanted: {}.", super::echo::sentence(&visible(why)))
}

/// What stands under a request in somebody's direct messages.
pub fn shown_directly(room: &str) -> String {
    format!("Asked in {}: what comes of it is told there.", visible(room))
}

/// Who asks: a person, or a trigger with whoever answers for it.
fn asker(requester: &PersonId, trigger: Option<&TriggerName>) -> String {
    match trigger {
        None => requester.to_string(),
        Some(trigger) => format!("trigger {trigger} (of {requester})"),
    }
}

/// What a request asks for: the deed, or another attempt of one of its steps.
pub fn asked_deed(plan: &Plan, run: RunId, wanted: &Wanted) -> String {
    let deed = visible(&plan.deed);
    match wanted {
        Wanted::Start => deed,
        Wanted::Retry { step } => format!("retry step {step} of run {run} ({deed})"),
        Wanted::Free { step, wish } => match wish.what {
            Freeing::Skip => format!("skip step {step} of run {run} ({deed})"),
            Freeing::JudgeWorked => format!("judge that step {step} of run {run} ({deed}) worked"),
            Freeing::JudgeFailed => format!("judge that step {step} of run {run} ({deed}) failed"),
        },
    }
}

/// What agreeing to a request leads to.
fn asked_effect(plan: &Plan, wanted: &Wanted) -> String {
    match wanted {
        Wanted::Start | Wanted::Retry { .. } => effect(plan),
        Wanted::Free { wish, .. } => match wish.what {
            Freeing::Skip | Freeing::JudgeWorked => "the run goes on after it".to_owned(),
            Freeing::JudgeFailed => "the run ends there".to_owned(),
        },
    }
}

/// Why somebody wants to be done with a stuck step.
fn wished_because(wish: &Wish) -> String {
    format!("{} says: {}.", wish.by, super::echo::sentence(&visible(&wish.why)))
}

/// The environment, as it stands before everything that concerns a system.
pub fn environment(plan: &Plan) -> String {
    visible(&plan.environment).to_uppercase()
}

/// What it changes: `1 change, no undo`.
pub fn effect(plan: &Plan) -> String {
    match plan.changes() {
        0 => "only reads".to_owned(),
        1 => "1 change, no undo".to_owned(),
        changes => format!("{changes} changes, no undo"),
    }
}

fn earlier((total, helped, usual): (i64, i64, Option<u64>)) -> String {
    match (total, usual) {
        (0, _) => "It has not run before.".to_owned(),
        (1, _) if helped == 1 => "The last run helped.".to_owned(),
        (1, _) => "The last run did not help.".to_owned(),
        (_, Some(usual)) => format!("Last {total} runs: {helped} helped, usually {}.", lasted(usual)),
        (_, None) => format!("Last {total} runs: {helped} helped."),
    }
}

/// A step in words, for whoever sets its parts apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepText {
    /// Its number, counted from 1.
    pub number: u32,
    /// Whether it changes something, and so needs a grant.
    pub changes: bool,
    /// What kind it is: `run`, `check`, `http`, `tcp` or `wait`.
    pub kind: &'static str,
    /// What it does.
    pub what: String,
    /// Where, how long, how often.
    pub facts: String,
    /// What the words before do not tell: each a line. What is asked for stands alone, what it comes to in brackets.
    pub details: Vec<String>,
}

/// Every step as it will run, changing ones marked with `!`.
pub fn steps(plan: &Plan) -> Vec<String> {
    let lines = |step: StepText| {
        let mark = if step.changes { "!" } else { " " };
        let facts = if step.facts.is_empty() { String::new() } else { format!("   {}", step.facts) };
        let first = format!("{} {mark} {:<6} {}{facts}", step.number, step.kind, step.what);
        let details = step.details.into_iter().map(|detail| format!("           {detail}"));
        std::iter::once(first).chain(details).collect::<Vec<_>>()
    };
    step_texts(plan).into_iter().flat_map(lines).collect()
}

/// Every step as it will run.
pub fn step_texts(plan: &Plan) -> Vec<StepText> {
    (1_u32..).zip(&plan.steps).map(|(number, step)| step_text(plan, number, step)).collect()
}

fn step_text(plan: &Plan, number: u32, step: &PlanStep) -> StepText {
    let place_and_time = |word: &str| {
        let mut facts = vec![format!("{word} {}", visible(&plan.host)), format!("at most {}", limit(step.timeout()))];
        facts.extend(repeats(step));
        facts.join(", ")
    };
    let (kind, what, facts, details) = match &step.action {
        Action::Run(exec) => ("run", argv(&exec.argv), place_and_time("on"), details(exec)),
        Action::Check { checks, until } => {
            let when = match until {
                Some(until) => format!("within {}, every {}", lasted(until.passes_within_ms), lasted(until.every_ms)),
                None => format!("at most {}", limit(step.timeout())),
            };
            // A check may always be asked again: only what its author has it do by itself is said.
            let when = match step.retry {
                Some(retry) => format!("{when}, tried up to {} times", retry.times + 1),
                None => when,
            };
            let names: Vec<String> = checks.iter().map(|check| format!("{} {}", check.service, check.check)).collect();
            let details = checks.iter().flat_map(|check| probe(&check.probe)).collect();
            ("check", names.join(", "), when, details)
        }
        Action::Http(ask) => {
            ("http", format!("{} {}", ask.method, visible(&ask.url)), place_and_time("from"), asks(ask))
        }
        Action::Tcp(ask) => ("tcp", visible(&ask.address), place_and_time("from"), Vec::new()),
        Action::Wait { ms } => ("wait", lasted(*ms), String::new(), Vec::new()),
    };
    StepText { number, changes: step.privileged, kind, what, facts, details }
}

/// How often a step may be tried, and what its author says of it.
fn repeats(step: &PlanStep) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(retry) = step.retry {
        facts.push(format!("tried up to {} times", retry.times + 1));
    }
    if step.idempotent && step.privileged {
        facts.push("may be repeated".to_owned());
    }
    if step.read_only && !only_reads(&step.action) {
        facts.push("its author says it only reads".to_owned());
    }
    facts
}

/// Whether a step only reads by its kind.
fn only_reads(action: &Action) -> bool {
    match action {
        Action::Run(_) => false,
        Action::Http(ask) => ask.only_reads(),
        Action::Check { .. } | Action::Tcp(_) | Action::Wait { .. } => true,
    }
}

/// How a check is asked.
fn probe(probe: &PlanProbe) -> Vec<String> {
    match probe {
        PlanProbe::Command { exec, .. } => {
            let mut lines = vec![argv(&exec.argv)];
            lines.extend(details(exec));
            lines
        }
        PlanProbe::Http(ask) => {
            let mut lines = vec![format!("{} {}", ask.method, visible(&ask.url))];
            lines.extend(asks(ask));
            lines
        }
        PlanProbe::Tcp(ask) => vec![format!("connects to {}", visible(&ask.address))],
    }
}

/// What a request sends beyond its address, and what its answer must be.
fn asks(ask: &HttpAsk) -> Vec<String> {
    let mut facts = Vec::new();
    for header in &ask.headers {
        facts.push(match &header.value {
            HeaderValue::Text(value) => format!("header {}: {}", visible(&header.name), word(value)),
            HeaderValue::Secret(secret) => format!("header {} from the secret {secret}", visible(&header.name)),
        });
    }
    if let Some(body) = &ask.body {
        facts.push(format!("sends {}", word(body)));
    }
    let status: Vec<String> = ask.status.iter().map(ToString::to_string).collect();
    facts.push(format!("expects {}", status.join(" or ")));
    if let Some(contains) = &ask.contains {
        facts.push(format!("whose answer holds {}", word(contains)));
    }
    vec![format!("({})", facts.join("; "))]
}

/// What a command line alone does not tell: which file it is, which scripts, which variables.
fn details(exec: &Exec) -> Vec<String> {
    let mut facts = vec![format!("is {}", visible(&exec.program))];
    for script in exec.scripts.values() {
        facts.push(format!("{} {}", visible(&script.path), script.sha256.short()));
    }
    for entry in &exec.env {
        facts.push(match &entry.from {
            EnvFrom::Bot => format!("gets {}", entry.name),
            EnvFrom::Secret(secret) => format!("gets {} from the secret {secret}", entry.name),
        });
    }
    vec![format!("({})", facts.join("; "))]
}

/// Arguments as one would type them: quoted where a reader could not tell where one ends.
pub fn argv(argv: &[String]) -> String {
    argv.iter().map(|text| word(text)).collect::<Vec<_>>().join(" ")
}

/// One text, quoted unless it is plain: nothing within it can pass for what stands after it.
fn word(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", visible(text).replace('\'', "'\\''")) }
}

/// A digest for eyes only: twelve characters in groups of four.
pub fn groups(digest: Digest) -> String {
    let short = digest.short();
    format!("{} {} {}", &short[..4], &short[4..8], &short[8..])
}

/// Somebody who answers, and for whom if not for themselves: `ann (for kim)`.
pub fn answerer(person: &PersonId, on_behalf_of: Option<&PersonId>) -> String {
    on_behalf_of.map_or_else(|| person.to_string(), |giver| format!("{person} (for {giver})"))
}

/// `boss, lin or mei`.
pub fn or<T: Display>(people: &[T]) -> String {
    list(people, "or")
}

/// `boss, lin and mei`.
pub fn and<T: Display>(people: &[T]) -> String {
    list(people, "and")
}

fn list<T: Display>(people: &[T], word: &str) -> String {
    match people {
        [] => "nobody".to_owned(),
        [one] => one.to_string(),
        [rest @ .., last] => {
            let rest: Vec<String> = rest.iter().map(ToString::to_string).collect();
            format!("{} {word} {last}", rest.join(", "))
        }
    }
}

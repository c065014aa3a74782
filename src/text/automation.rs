//! What is said about triggers and their brakes. A trigger speaks by its name; people are named once, and pinged only
//! when something waits for them.

use std::time::Duration;

use super::plan::{environment, or};
use super::time::limit;
use super::visible::visible;
use crate::model::catalog::{Catalog, PhrasePart, Trigger};
use crate::model::event::{Brake, Health};
use crate::model::id::{CheckName, PersonId, RunId, RunbookName, ServiceName, SystemName, TriggerName};
use crate::model::plan::Plan;

/// What is wrong with a service, in a few words: the title of its incident.
pub fn title(service: &str, check: &CheckName, health: Health) -> String {
    let service = visible(service);
    match (health, check.as_str()) {
        (Health::Critical, "running") => format!("{service} is not running"),
        (Health::Critical, _) => format!("{service}: {check} is critical"),
        (Health::Warning, _) => format!("{service}: {check} warns"),
        (Health::Unknown, _) => format!("{service}: nobody knows how {check} is"),
        (Health::Ok, _) => format!("{service}: {check} is ok"),
    }
}

/// Why people are asked for what a trigger would start by itself.
pub fn denied_lately(trigger: &TriggerName) -> String {
    format!("Trigger {trigger} would have started it by itself. It was denied within a day: people decide.")
}

/// Why `at_most` holds: so many runs in a window.
pub fn too_many_runs(runs: u32, per: Duration) -> String {
    format!("{} within {} is its limit", counted(runs, "run"), limit(per))
}

/// Why `flapping` holds: so many changes in a window.
pub fn flaps(check: &CheckName, changes: u32, per: Duration) -> String {
    format!("{check} changed {} within {}", counted(changes, "time"), limit(per))
}

/// Why `no_effect` holds: its last run failed.
pub fn run_failed() -> String {
    "its last run failed".to_owned()
}

/// Why `no_effect` holds: its last run ended well, and the check was never ok after it.
pub fn not_ok_after_run(check: &CheckName) -> String {
    format!("its last run did not help: {check} was not ok after it")
}

/// Why nothing is decided about a failure: its last run is stuck.
pub fn run_stuck(run: RunId) -> String {
    format!("its last run is stuck: somebody must look, `judge run {run} …` says what came of it")
}

/// Why it is busy: the system has another run that started by itself.
pub fn one_at_a_time(system: &SystemName) -> String {
    format!("another run of {system} that started by itself is under way")
}

/// Why it is busy.
pub fn busy(service: &ServiceName) -> String {
    format!("something else is under way for {service}")
}

/// Why it is put off.
pub fn cooling(cooldown: Duration) -> String {
    format!("its last run ended less than {} ago", limit(cooldown))
}

/// Why no plan can be made: the runbook is gone.
pub fn no_runbook(name: &RunbookName) -> String {
    format!("the catalog has no runbook {name}")
}

/// What is said of a check that the catalog no longer asks by itself.
pub fn not_watched() -> &'static str {
    "no longer asked by itself"
}

/// Why nothing starts by itself.
pub fn paused_by(by: &PersonId) -> String {
    format!("automation is paused by {by}")
}

/// Why people are asked about what a trigger in mode `auto` wants: the policy that stands over it does not name it.
pub fn not_named(plan: &Plan) -> String {
    format!("You are asked because policy {} does not let it start {} by itself.", policy(plan), plan.runbook)
}

/// Why people are asked about what a trigger in mode `auto` wants: what it would do, or the trigger, changed.
pub fn waits(plan: &Plan) -> String {
    format!(
        "You are asked because {}, or what starts it, changed since a second person saw it: until countersigned it does not \
         start by itself.",
        plan.runbook
    )
}

/// Why people are asked about what a trigger in mode `auto` wants: it has started as many as its policy lets it.
pub fn spent(plan: &Plan, trigger: &TriggerName, runs: u32, per: Duration) -> String {
    format!(
        "You are asked because {trigger} has started {} {} within {} by itself, and policy {} lets it start no more.",
        plan.runbook,
        counted(runs, "time"),
        limit(per),
        policy(plan),
    )
}

fn policy(plan: &Plan) -> String {
    plan.policy.as_ref().map(|policy| policy.name.to_string()).unwrap_or_default()
}

fn counted(count: u32, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A trigger that does something in mode `shadow`.
pub fn shadow(trigger: &TriggerName, deed: &str) -> String {
    format!("{trigger} only watches (shadow): it would have said `{}`. Nothing was done.", visible(deed))
}

/// What a held trigger is told with.
#[derive(Debug)]
pub struct Held<'a> {
    /// The system's environment.
    pub environment: &'a str,
    /// Which.
    pub trigger: &'a TriggerName,
    /// For which service.
    pub service: &'a ServiceName,
    /// By what.
    pub by: Brake,
    /// Why, in words.
    pub why: &'a str,
    /// Until when, in words.
    pub until: Option<&'a str>,
    /// What a person says to do the same by hand, if the catalog still has it.
    pub by_hand: Option<&'a str>,
    /// Who can.
    pub who: &'a [PersonId],
}

/// A trigger that met its failure and does nothing; `None` is not told: the room sees by itself that a person is at it.
pub fn held(held: &Held<'_>) -> Option<String> {
    let Held { trigger, service, by, until, by_hand, .. } = held;
    let why = visible(held.why);
    let place = visible(held.environment).to_uppercase();
    let hand = by_hand.map(|line| format!("`{}` to do it by hand, ", visible(line))).unwrap_or_default();
    Some(match by {
        Brake::Busy => return None,
        Brake::Cooldown => {
            let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
            format!("{trigger} waits{until} before it acts on {service} again: {why}.")
        }
        Brake::Stuck => format!("{trigger} does nothing about {service}: {why}."),
        Brake::Paused => format!("{trigger} does nothing about {service}: {why}. `resume` lets it go on."),
        Brake::NoPlan => format!("{place} · {trigger} can do nothing about {service}: {why}. {}", ask_for(held.who)),
        Brake::AtMost | Brake::Flapping | Brake::NoEffect => format!(
            "{place} · {trigger} has stopped itself for {service}: {why}. {}say {hand}`resume {trigger}` to let it go on.",
            named(held.who),
        ),
    })
}

fn ask_for(who: &[PersonId]) -> String {
    if who.is_empty() { "A person has to look.".to_owned() } else { format!("{}: please look.", or(who)) }
}

fn named(who: &[PersonId]) -> String {
    if who.is_empty() { "Somebody who may: ".to_owned() } else { format!("{}: ", or(who)) }
}

/// What a person says to have a trigger's deed done by hand: its runbook's first phrase, or the general form.
pub fn by_hand(catalog: &Catalog, trigger: &Trigger, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let runbook = catalog.runbooks.get(&trigger.run)?;
    if let Some(phrase) = runbook.say.first() {
        let words: Option<Vec<String>> = phrase
            .parts
            .iter()
            .map(|part| match part {
                PhrasePart::Word(word) => Some(word.clone()),
                PhrasePart::Slot(name) => value(name),
            })
            .collect();
        if let Some(words) = words {
            return Some(words.join(" "));
        }
    }
    let values = runbook.params.iter().filter_map(|param| Some(format!(" {}={}", param.name, value(&param.name)?)));
    Some(format!("run {}{}", runbook.name, values.collect::<String>()))
}

/// A person let a held trigger go on.
pub fn released(trigger: &TriggerName, service: &ServiceName, by: &PersonId) -> String {
    format!("{by} lets {trigger} go on for {service}. Its counts begin anew.")
}

/// A person stopped all automation.
pub fn paused(by: &PersonId, reason: Option<&str>) -> String {
    let why = reason.map(|why| format!(": {}", visible(why).trim_end_matches('.'))).unwrap_or_default();
    format!("{by} has paused all automation{why}. Checks go on, nothing starts by itself. `resume` lets it go on.")
}

/// To `pause` while a run that started by itself is under way.
pub fn goes_no_further(run: RunId) -> String {
    format!(
        "Run {run}, which started by itself, begins no further change after the step under way. `stop run {run}` ends it at once."
    )
}

/// A person let automation go on.
pub fn resumed(by: &PersonId) -> String {
    format!("{by} lets automation go on.")
}

/// To `pause` while it is paused.
pub fn paused_already(by: &PersonId, since: &str) -> String {
    format!("Automation is paused already, by {by} since {since}. `resume` lets it go on.")
}

/// To `resume` where nothing is paused or held.
pub fn nothing_to_resume() -> String {
    "Nothing is paused, and no trigger of this room has stopped itself.".to_owned()
}

/// To `resume`: triggers that have stopped themselves go on only by name. Empty when there is none.
pub fn still_held(held: &[(TriggerName, ServiceName)]) -> Option<String> {
    let mut names: Vec<String> = held.iter().map(|(trigger, _)| format!("`resume {trigger}`")).collect();
    names.dedup();
    let (first, rest) = held.split_first()?;
    let who = match rest {
        [] => format!("{} is still held for {}", first.0, first.1),
        _ => {
            let all: Vec<String> = held.iter().map(|(trigger, service)| format!("{trigger} for {service}")).collect();
            format!("Still held: {}", all.join(", "))
        }
    };
    Some(format!("{who}. Say {} to let it go on.", names.join(" or ")))
}

/// To `resume` where nothing is paused and triggers have stopped themselves.
pub fn only_held(held: &str) -> String {
    format!("Nothing is paused. {held}")
}

/// To `resume TRIGGER` of one that nothing holds.
pub fn not_held(trigger: &TriggerName) -> String {
    format!("{trigger} has not stopped itself: nothing holds it.")
}

/// To `resume TRIGGER` while everything is paused: the trigger alone was released.
pub fn still_paused(by: &PersonId) -> String {
    format!("All automation is still paused by {by}: `resume` lets it go on.")
}

/// To `pause` or `resume` where no system is talked about.
pub fn no_system_here(word: &str) -> String {
    format!("No system is talked about here. Say `{word}` in a system's room.")
}

/// To `resume TRIGGER` in another room than its own.
pub fn not_of_this_room(trigger: &TriggerName) -> String {
    format!("{trigger} is not of this room. Say it in the room of its system.")
}

/// To somebody who may not pause or resume.
pub fn may_not(person: &PersonId, word: &str, who: &[PersonId]) -> String {
    let who = if who.is_empty() { "Nobody may, by the catalog.".to_owned() } else { format!("Ask {}.", or(who)) };
    format!("{person}, you may not {word} automation. {who}")
}

/// The header of the progress of a run that started by itself.
pub fn recovering(deed: &str, trigger: &TriggerName, place: &str) -> String {
    format!("Recovering: {}, by {trigger}. {place}", visible(deed))
}

/// A run that started by itself has failed: a person has to look.
pub fn failed(plan: &Plan, trigger: &TriggerName, step: u32, why: &str, who: &[PersonId], place: &str) -> String {
    let name = usize::try_from(step).ok().and_then(|step| plan.steps.get(step.checked_sub(1)?));
    let name = name.map(|step| format!(" ({})", visible(&step.name))).unwrap_or_default();
    format!(
        "{} · {}, started by {trigger}, failed at step {step}{name}: {}. {} {place}",
        environment(plan),
        visible(&plan.deed),
        visible(why).trim_end_matches('.'),
        ask_for(who),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(by: Brake, why: &str, until: Option<&str>) -> Option<String> {
        held(&Held {
            environment: "production",
            trigger: &TriggerName::new("service-c-down"),
            service: &ServiceName::new("service-c"),
            by,
            why,
            until,
            by_hand: Some("start service-c"),
            who: &[PersonId::new("mei"), PersonId::new("lin")],
        })
    }

    #[test]
    fn what_is_held_says_why_and_what_to_do() {
        let runs = too_many_runs(3, Duration::from_secs(3600));
        insta::assert_snapshot!(said(Brake::AtMost, &runs, None).unwrap_or_default(), @r#"PRODUCTION · service-c-down has stopped itself for service-c: 3 runs within 1 h is its limit. mei or lin: say `start service-c` to do it by hand, `resume service-c-down` to let it go on."#);
        let cooling = cooling(Duration::from_secs(600));
        insta::assert_snapshot!(said(Brake::Cooldown, &cooling, Some("22:14 SGT")).unwrap_or_default(), @"service-c-down waits until 22:14 SGT before it acts on service-c again: its last run ended less than 10 min ago.");
        insta::assert_snapshot!(said(Brake::Paused, &paused_by(&PersonId::new("boss")), None).unwrap_or_default(), @"service-c-down does nothing about service-c: automation is paused by boss. `resume` lets it go on.");
        insta::assert_snapshot!(said(Brake::NoPlan, "there is no program `x`", None).unwrap_or_default(), @"PRODUCTION · service-c-down can do nothing about service-c: there is no program `x`. mei or lin: please look.");
        assert_eq!(said(Brake::Busy, "", None), None);
    }

    #[test]
    fn what_is_still_held_is_named() {
        let held = |names: &[(&str, &str)]| {
            let held: Vec<_> =
                names.iter().map(|(trigger, of)| (TriggerName::new(*trigger), ServiceName::new(*of))).collect();
            still_held(&held).unwrap_or_default()
        };
        assert_eq!(held(&[]), "");
        insta::assert_snapshot!(held(&[("c-down", "service-c")]), @r#"
    c-down is still held for service-c. Say `resume c-down` to let it go on.
    "#);
        insta::assert_snapshot!(held(&[("b-down", "service-b"), ("c-down", "service-c"), ("c-down", "service-d")]), @r#"
    Still held: b-down for service-b, c-down for service-c, c-down for service-d. Say `resume b-down` or `resume c-down` to let it go on.
    "#);
    }
}

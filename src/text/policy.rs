//! What `countersign policy` says: which policy wins and why, who could agree, what comes when, and what nobody could ever
//! agree to. Every time is absolute and has its zone.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::on_call::moment;
use super::plan::{and, or};
use super::time::limit;
use super::visible::visible;
use crate::model::catalog::{Policy, Runbook, System};
use crate::model::choice::{Because, Candidate, Condition, Rule};
use crate::model::id::{PersonId, PolicyName, RunbookName, TriggerName};
use crate::model::outlook::{Barred, Later, LaterBecause, StageOutlook, Verdict};
use crate::model::plan::PlanPolicy;
use crate::model::policy::{Automatic, Stage, Unasked};

/// Who asks for what, where, and when.
pub fn asked(who: &str, deed: &str, system: &System, runbook: &Runbook, at: DateTime<Utc>, zone: Tz) -> String {
    format!(
        "{} · {}: {} asks for {} at {} (risk: {})",
        visible(&system.environment).to_uppercase(),
        visible(&system.title),
        visible(who),
        visible(deed),
        moment(at, zone),
        runbook.risk.name()
    )
}

/// A trigger, as whoever asks.
pub fn trigger(name: &TriggerName, owner: &PersonId) -> String {
    format!("trigger {name} (for {owner})")
}

/// It needs nobody.
pub fn needs_no_policy(runbook: &RunbookName) -> String {
    format!("{runbook} only reads: it stands under no policy, and nobody has to agree.")
}

/// A policy that applies, and why; with the rule by which the winner is stricter, for each but the winner.
pub fn candidate(candidate: &Candidate<'_>, beaten_by: Option<Rule>) -> String {
    let because = match candidate.because {
        Because::Base => "the runbook names it",
        Because::When => "its `when` applies",
    };
    let outcome = match beaten_by {
        None => "wins".to_owned(),
        Some(rule) => format!("gives way: {}", stricter(rule)),
    };
    format!("  {}: {because}; it {outcome}", candidate.policy.name)
}

/// By which rule the winner is stricter than another.
fn stricter(rule: Rule) -> &'static str {
    match rule {
        Rule::Refuses => "the winner refuses, or does so for longer",
        Rule::StepUp => "the winner wants a passkey in more stages",
        Rule::People => "the winner wants more people",
        Rule::Stages => "the winner has more stages",
        Rule::Reason => "the winner wants a reason in more stages",
        Rule::Author => "the winner leaves out the author",
        Rule::Expiry => "the winner waits less long",
        Rule::Name => "both are equally strict, and the winner comes first in the alphabet",
    }
}

/// A policy that does not apply.
pub fn not_now(policy: &PolicyName, missed: Condition) -> String {
    let why = match missed {
        Condition::Runbooks => "it is for other runbooks",
        Condition::Risk => "it is for another risk",
        Condition::Environments => "it is for another environment",
        Condition::Targets => "it is for other systems or services",
        Condition::During => "that moment is not in its `during`",
        Condition::Outside => "that moment is in its `outside`",
    };
    format!("  {policy}: does not apply, {why}")
}

/// The policy that wins refuses.
pub fn refuses(policy: &Policy, at: DateTime<Utc>) -> String {
    let until = match policy.refuses_until(at) {
        Some((until, zone)) => format!("until {}", moment(until, zone)),
        None => "with no end".to_owned(),
    };
    let why = policy.refuse.as_deref().map(visible).unwrap_or_default();
    format!("Refused by {} {until}: {why}", policy.name)
}

/// The policy lets the trigger start without anybody's answer.
pub fn automatic(policy: &PolicyName, rule: &Automatic) -> String {
    let Automatic { trigger, bound } = rule;
    let what = bound.as_ref().map_or_else(String::new, |bound| {
        let runs = if bound.runs == 1 { "1 run".to_owned() } else { format!("{} runs", bound.runs) };
        format!(" {}, at most {runs} in {},", bound.runbook, limit(bound.per()))
    });
    format!(
        "Approved by itself: {policy} lets {trigger} start{what} without anybody's answer. Beyond that people are asked. The \
         ledger records it as automatic."
    )
}

/// The policy lets a person start without anybody's answer, so often.
pub fn unasked(policy: &PolicyName, person: &PersonId, rule: &Unasked) -> String {
    let runs = if rule.runs == 1 { "1 run".to_owned() } else { format!("{} runs", rule.runs) };
    format!(
        "Starts without asking: {policy} lets {person} start {runs} in {}, everybody's together. Beyond that, for later (`at`), \
         within a day of a denial of the same, and while automation is paused it asks:",
        limit(rule.per())
    )
}

/// The lines of one stage. `from` is its beginning, `None` for a later one, which begins when the one before it has agreed.
pub fn stage(
    number: usize,
    of: usize,
    stage: &Stage,
    outlook: &StageOutlook,
    policy: &PlanPolicy,
    from: Option<DateTime<Utc>>,
    zone: Tz,
) -> Vec<String> {
    let when = |after: Duration| match from.and_then(|from| from.checked_add_signed(TimeDelta::from_std(after).ok()?)) {
        Some(at) => format!("at {}", moment(at, zone)),
        None => format!("{} after its beginning", limit(after)),
    };
    let named: Vec<String> = stage.approvers.iter().map(ToString::to_string).collect();
    let mut wants = vec![format!("{} of {}", stage.quorum, named.join(", "))];
    if stage.step_up {
        wants.push("with a passkey".to_owned());
    }
    if stage.reason_required {
        wants.push("with a reason".to_owned());
    }
    let mut lines = vec![format!("Stage {number} of {of}: {}", wants.join(", "))];
    lines.push(match outlook.could.is_empty() {
        true => "  nobody could agree at once".to_owned(),
        false => format!("  could agree: {}", and(&list(&outlook.could))),
    });
    if outlook.first != outlook.could {
        lines.push(format!("  asked at once: {}", people(&outlook.first)));
    }
    for (person, why) in &outlook.barred {
        let why = match why {
            Barred::Requester => "asked for it",
            Barred::Author => "made the last change of the runbook",
            Barred::Asleep => "is asleep",
        };
        lines.push(format!("  not {person}, who {why}"));
    }
    for subject in &outlook.unseen {
        lines.push(format!("  and whoever is in {subject}: its platform keeps it, and only a running bot can look"));
    }
    let millis = Duration::from_millis;
    let reminds = stage.remind_after_ms.map(|after| (millis(after), "whoever is asked is reminded".to_owned()));
    let rings = stage
        .ring_after_ms
        .map(|after| (millis(after), "whoever is asked is rung, if the settings have a `ring`".to_owned()));
    let later = outlook.later.iter().map(|Later { after, people, because }| {
        let who = if people.is_empty() { "nobody new".to_owned() } else { and(&list(people)) };
        let then = match because {
            LaterBecause::Shift => "asked as well (their shift begins)",
            LaterBecause::Escalation => "asked as well, and can agree from then on (escalation)",
            LaterBecause::Turn => "asked as well (next in the rota)",
        };
        let is = if people.len() > 1 { "are" } else { "is" };
        (*after, format!("{who} {is} {then}"))
    });
    let ends = match stage.expires() {
        Some(own) => (own, "this stage ends unanswered, and the request expires".to_owned()),
        None => (policy.expires(), "the request expires".to_owned()),
    };
    let mut times: Vec<(Duration, String)> = reminds.into_iter().chain(rings).chain(later).collect();
    times.sort_by_key(|(after, _)| *after);
    times.push(ends);
    // A request's end counts from the asking, whichever stage it is in.
    lines.extend(times.into_iter().map(|(after, what)| match (from, stage.expires()) {
        (None, None) if after == policy.expires() && what == "the request expires" => {
            format!("  {} after the asking: {what}", limit(after))
        }
        _ => format!("  {}: {what}", when(after)),
    }));
    lines
}

/// What comes of it, in one line.
pub fn verdict(
    verdict: &Verdict,
    people_needed: u32,
    asleep: &BTreeSet<PersonId>,
    at: DateTime<Utc>,
    zone: Tz,
) -> String {
    let without = match asleep.is_empty() {
        true => String::new(),
        false => format!(" without {}", or(&list(asleep))),
    };
    let needed = match people_needed {
        1 => "one person".to_owned(),
        number => format!("{number} different people"),
    };
    match verdict {
        Verdict::AtOnce => format!("It needs {needed}; those who are asked at once suffice{without}."),
        Verdict::After(after) => {
            let from = TimeDelta::from_std(*after).ok().and_then(|after| at.checked_add_signed(after));
            let from =
                from.map_or_else(String::new, |from| format!(", at {} if that is the first stage", moment(from, zone)));
            format!(
                "It needs {needed}; they suffice{without} only with whom it asks later, {} into a stage{from}.",
                limit(*after)
            )
        }
        Verdict::Unasked => format!(
            "It needs {needed}; those who are asked before it expires do not suffice{without}. Others of the rota may answer, and \
             nobody asks them in time."
        ),
        Verdict::Never { stage, lacks } => {
            format!("It needs {needed}; stage {} lacks {lacks}{without}: it expires unanswered.", stage + 1)
        }
        Verdict::Unknown => {
            format!(
                "It needs {needed}; whether they suffice{without} depends on who is in a group that a platform keeps."
            )
        }
    }
}

/// A request that nobody could ever agree to.
pub fn deadlock(
    runbook: &RunbookName,
    system: &System,
    requester: &PersonId,
    policy: &PolicyName,
    stage: usize,
    lacks: u32,
) -> String {
    let people = if lacks == 1 { "person".to_owned() } else { "people".to_owned() };
    format!(
        "{runbook} on {} ({}): nobody could ever approve it when {requester} asks: stage {} of policy {policy} lacks {lacks} \
         {people} besides {requester}.",
        visible(&system.title),
        visible(&system.environment),
        stage + 1
    )
}

/// Policies that could not be looked into from here.
pub fn unknown(count: usize) -> String {
    format!(
        "note: {count} of these depend on who is in a group that a platform keeps, which only a running bot can see."
    )
}

/// How many expectations and requests were looked at, and that all is well.
pub fn all_well(expectations: usize, requests: usize) -> String {
    let held = match expectations {
        1 => "1 expectation holds".to_owned(),
        number => format!("{number} expectations hold"),
    };
    match requests {
        1 => format!("{held}; the one request that can be made can be approved by somebody."),
        number => format!("{held}; each of {number} requests can be approved by somebody."),
    }
}

/// An expectation that does not hold.
pub fn failed(file: &str, name: &str, what: &str) -> String {
    format!("{}: {}: {what}", visible(file), visible(name))
}

/// What an expectation was, and what came instead.
pub fn instead(key: &str, expected: &str, came: &str) -> String {
    format!("`{key}` should be {}, and is {}.", visible(expected), visible(came))
}

/// People, or nobody.
pub fn people(people: &BTreeSet<PersonId>) -> String {
    if people.is_empty() { "nobody".to_owned() } else { and(&list(people)) }
}

/// A person who may not ask.
pub fn may_not_ask(person: &PersonId, system: &System, who: &BTreeSet<PersonId>) -> String {
    let who = if who.is_empty() { "Nobody".to_owned() } else { or(&list(who)) };
    format!("{person} may not ask for anything that changes {}. {who} may.", visible(&system.title))
}

/// A name that is no person's.
pub fn no_person(said: &str, known: &[PersonId]) -> String {
    format!("there is no person {}; the catalog has {}", visible(said), and(known))
}

/// A name that is no trigger's.
pub fn no_trigger(said: &TriggerName) -> String {
    format!("there is no trigger {}", visible(said.as_str()))
}

fn list(people: &BTreeSet<PersonId>) -> Vec<PersonId> {
    people.iter().cloned().collect()
}

//! One approval for several runs of the same plan.

use super::plan::{effect, environment, steps};
use super::time::lasted;
use super::visible::visible;
use crate::model::code::Code;
use crate::model::event::StartedUnasked;
use crate::model::id::{PersonId, RunId};
use crate::model::plan::Plan;
use crate::model::policy::Repeat;

/// What agreeing to a request covers.
pub fn covers(repeat: &Repeat) -> String {
    format!("Agreeing covers up to {} runs of exactly this within {}.", repeat.runs, lasted(repeat.within_ms))
}

/// A run that starts under an earlier approval.
#[derive(Debug)]
pub struct Covered<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Who asks.
    pub requester: &'a PersonId,
    /// The code of the request.
    pub code: &'a Code,
    /// The run.
    pub run: RunId,
    /// The code of what was approved.
    pub under: &'a Code,
    /// Which run under it this is.
    pub number: u32,
    /// How many it covers.
    pub of: u32,
    /// Until when.
    pub until: &'a str,
}

/// A run starts under an earlier approval.
pub fn covered(text: &Covered<'_>) -> String {
    let Covered { plan, requester, code, run, under, number, of, until } = *text;
    let mut lines = vec![
        format!(
            "{} · {requester} starts: {} on {} · {} · run {number} of {of} under {under}, until {until} · {code}",
            environment(plan),
            visible(&plan.deed),
            visible(&plan.host),
            effect(plan),
        ),
        format!("Nobody is asked again: {under} was approved for it. `take back {under}` ends that. Run {run}."),
    ];
    lines.extend(steps(plan));
    lines.join("\n")
}

/// A run starts because its policy lets whoever asks.
pub fn unasked(plan: &Plan, code: &Code, run: RunId, started: &StartedUnasked) -> String {
    let StartedUnasked { person, number, of, per_secs } = started;
    let mut lines = vec![
        format!(
            "{} · {person} starts: {} on {} · {} · run {number} of {of} in {} · {code}",
            environment(plan),
            visible(&plan.deed),
            visible(&plan.host),
            effect(plan),
            lasted(per_secs.saturating_mul(1000)),
        ),
        format!("Nobody is asked: policy {} lets {person} start it. Run {run}.", policy_of(plan)),
    ];
    lines.extend(steps(plan));
    lines.join("\n")
}

/// The head of the progress of a run that its policy let somebody start.
pub fn unasked_header(plan: &Plan, code: &Code, started: &StartedUnasked, place: &str) -> String {
    format!(
        "{} ({code}) starts without asking: policy {} lets {}, run {} of {}. {place}",
        visible(&plan.deed),
        policy_of(plan),
        started.person,
        started.number,
        started.of
    )
}

fn policy_of(plan: &Plan) -> String {
    plan.policy.as_ref().map(|policy| policy.name.to_string()).unwrap_or_default()
}

/// The head of the progress of such a run.
pub fn header(plan: &Plan, code: &Code, under: &Code, number: u32, of: u32, by: &str, place: &str) -> String {
    format!("{} ({code}) starts under {under}, approved by {by}: run {number} of {of}. {place}", visible(&plan.deed))
}

/// How it stands with such a run, in front of its first message.
pub fn life(under: &Code, number: u32, of: u32) -> String {
    format!("Started under {under}, run {number} of {of}.")
}

/// An approval was taken back.
pub fn taken_back(plan: &Plan, code: &Code, by: &PersonId, used: u32) -> String {
    let runs = if used == 1 { "1 run was".to_owned() } else { format!("{used} runs were") };
    format!("{by} took {code} back ({}): it covers no further runs. {runs} started under it.", visible(&plan.deed))
}

/// One line of `requests` about an approval in force.
pub fn in_force(plan: &Plan, code: &Code, used: u32, runs: u32, until: &str) -> String {
    format!(
        "{code} {} is approved for {runs} runs, {used} used, until {until}: `take back {code}` ends that.",
        visible(&plan.deed)
    )
}

/// To `take back` of what covers nothing.
pub fn nothing_in_force(code: &Code) -> String {
    format!("{code} covers no further runs: there is nothing to take back. `revoke` is for a run that has not begun.")
}

/// To `take back` by somebody who may not.
pub fn may_not_take_back(person: &PersonId, code: &Code, who: &[PersonId]) -> String {
    format!("{person}, you may not take {code} back. Asked: {}.", super::plan::and(who))
}

//! Who may do what: one pure function that help, commands, pages and sinks all ask.
//!
//! Rights are data of the catalog; there is no default of "everyone". Whether a person may *decide a request* is not a
//! right of the catalog but of the frozen policy: `approval` answers that.

use super::catalog::{Catalog, System};
use super::id::PersonId;
use super::plan::Plan;

/// What one may want to do to a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// Ask for a runbook; withdraw or stop what one asked for.
    Run,
    /// Look: checks, requests, plans, outputs.
    See,
    /// Judge, retry or stop a stuck run.
    Unstick,
    /// Acknowledge, resolve and reopen incidents.
    Resolve,
    /// Pause all automation, and let it and held triggers go on.
    Pause,
}

/// Whether a person may do that to a system. Whoever may run, unstick or resolve may also see.
pub fn allowed(catalog: &Catalog, person: &PersonId, verb: Verb, system: &System) -> bool {
    let holds = |subjects| catalog.includes(subjects, person);
    match verb {
        Verb::Run => holds(&system.may_run),
        Verb::See => {
            holds(&system.may_see) || holds(&system.may_run) || holds(&system.may_unstick) || holds(&system.may_resolve)
        }
        Verb::Unstick => holds(&system.may_unstick),
        Verb::Resolve => holds(&system.may_resolve),
        Verb::Pause => holds(&system.may_pause),
    }
}

/// The people who are asked in a stage of a plan's policy, without those who asked for it. What counts is the frozen
/// policy; who is in its groups is the catalog's to say, now.
pub fn asked(catalog: &Catalog, plan: &Plan, stage: u32, requesters: &[PersonId]) -> Vec<PersonId> {
    let stages = plan.policy.as_ref().map(|policy| policy.stages.as_slice()).unwrap_or_default();
    let stage = usize::try_from(stage).ok().and_then(|stage| stages.get(stage));
    stage
        .map(|stage| catalog.people_in(&stage.approvers))
        .unwrap_or_default()
        .into_iter()
        .filter(|person| !requesters.contains(person))
        .collect()
}

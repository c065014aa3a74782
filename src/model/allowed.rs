//! Who may do what: one pure function that help, commands, pages and sinks all ask.
//!
//! Rights are data of the catalog; there is no default of "everyone". Whether a person may *decide a request* is not a
//! right of the catalog but of the frozen policy: `approval` answers that.

use super::catalog::{Catalog, System};
use super::id::PersonId;

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

//! What is said of runs that are approved now and start later.

use chrono::{DateTime, Utc};

use super::echo::sentence;
use super::plan::environment;
use super::time::Times;
use super::visible::visible;
use crate::model::code::Code;
use crate::model::id::PersonId;
use crate::model::plan::Plan;
use crate::model::request::Wanted;

/// At what time what is asked for starts; `None` for what starts at once.
pub fn at(plan: &Plan, wanted: &Wanted, times: &Times, now: DateTime<Utc>) -> Option<String> {
    plan.not_before.filter(|_| *wanted == Wanted::Start).map(|at| times.at(at, now))
}

/// `Starts at 02:00 UTC.`; `None` for what starts at once.
pub fn starts(plan: &Plan, times: &Times, now: DateTime<Utc>) -> Option<String> {
    plan.not_before.map(|at| format!("Starts at {}.", times.at(at, now)))
}

/// A run's state in lists, when it is approved and its time has not come.
pub fn waits(starts_at: &str) -> String {
    format!("approved, starts at {starts_at}")
}

/// To `requests`: a run that is approved and starts later.
pub fn approved(code: &Code, deed: &str, starts_at: &str) -> String {
    format!("{code}  {} · {} · `revoke {code}` takes that away.", visible(deed), waits(starts_at))
}

/// A run that was approved was not started at its time.
pub fn not_started(plan: &Plan, requester: &PersonId, why: &str, at: &str, place: &str) -> String {
    format!(
        "{} · {requester}: {} was approved for {at} and is not started: {}. Nothing was done. Ask again, with a time or without one. {place}",
        environment(plan),
        visible(&plan.deed),
        sentence(&visible(why)),
    )
}

/// To `at` with something that changes nothing.
pub fn only_reads(deed: &str) -> String {
    format!("{} changes nothing, so nobody has to agree to it beforehand. Say it without `at`.", visible(deed))
}

/// To `at` with a time that is over.
pub fn past(at: &str) -> String {
    format!("{at} is over, so nothing was asked.")
}

/// To `again` of what was to start at a time that is over.
pub fn again_past(deed: &str, at: &str) -> String {
    format!(
        "{} was to start at {at}, which is over, so nothing was asked. Say it again with a time, or without one.",
        visible(deed)
    )
}

/// To `at` with a time that is too far away.
pub fn too_far(at: &str, days: i64) -> String {
    format!(
        "{at} is more than {days} days away, so nothing was asked. What is agreed to now may be another thing by then."
    )
}

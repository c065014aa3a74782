//! How it stands, in one line: what is put in front of a request once it was decided, and of a run's first message as it
//! goes on. Whoever scrolls sees it without opening a thread.
//!
//! Told from the ledger's events alone, so that telling it twice says the same.

use chrono::{DateTime, Utc};

use super::echo::step_name;
use super::plan::and;
use super::time::{Times, lasted};
use super::visible::visible;
use crate::model::event::{Event, Happened};
use crate::model::id::{PersonId, RequestId};
use crate::model::plan::Plan;
use crate::model::run::Verdict;

/// How a request ended, if this event ended it: `Approved by boss at 22:31 SGT.`
pub fn request(what: &Happened, at: DateTime<Utc>, times: &Times, now: DateTime<Utc>) -> Option<String> {
    match what {
        Happened::RequestGranted { automatic: Some(trigger), .. } => Some(format!("Started by trigger {trigger}.")),
        Happened::RequestGranted { by, automatic: None, .. } => {
            Some(format!("Approved by {} at {}.", and(by), times.at(at, now)))
        }
        Happened::RequestDenied { by, why: Some(why), .. } => {
            Some(format!("Denied by {by}: {}.", visible(why).trim_end_matches('.')))
        }
        Happened::RequestDenied { by, why: None, .. } => Some(format!("Denied by {by}.")),
        Happened::RequestExpired { .. } => Some(format!("Expired {}, nobody decided.", times.at(at, now))),
        Happened::RequestWithdrawn { by, .. } => Some(format!("Withdrawn by {by}.")),
        _ => None,
    }
}

/// The request that an event ended.
pub fn ended(what: &Happened) -> Option<RequestId> {
    match what {
        Happened::RequestGranted { request, .. }
        | Happened::RequestDenied { request, .. }
        | Happened::RequestExpired { request, .. }
        | Happened::RequestWithdrawn { request, .. } => Some(*request),
        _ => None,
    }
}

/// Where a run stands, from its events so far; `None` while its request waits. A plan that cannot be believed any more is
/// left out: then steps have no names.
pub fn run(plan: Option<&Plan>, events: &[Event], times: &Times, now: DateTime<Utc>) -> Option<String> {
    let mut line = None;
    let mut approved = Vec::<PersonId>::new();
    // Requests for another attempt of a step: if they come to nothing, the run stands as it stood.
    let mut retries = Vec::<(RequestId, u32)>::new();
    let name = |step: u32| plan.map(|plan| step_name(plan, step)).unwrap_or_default();
    for event in events {
        let Some(record) = &event.record else { continue };
        let what = &record.what;
        match what {
            Happened::RequestAsked { request, retry_step: Some(step), .. } => retries.push((*request, *step)),
            Happened::RequestGranted { request: id, by, .. } => {
                approved.clone_from(by);
                let retried = retries.iter().find(|(retry, _)| retry == id);
                line = match (retried, request(what, event.at, times, now)) {
                    (Some((_, step)), Some(granted)) => Some(format!("{granted} Step {step}{} is tried again.", name(*step))),
                    (_, granted) => granted,
                };
            }
            Happened::RequestDenied { request: id, .. }
            | Happened::RequestExpired { request: id, .. }
            | Happened::RequestWithdrawn { request: id, .. } => {
                if retries.iter().all(|(retry, _)| retry != id) {
                    line = request(what, event.at, times, now);
                }
            }
            Happened::AttemptJudged { step, by, verdict: Verdict::Worked, .. } => {
                line = Some(format!("{by} judged that step {step}{} worked. It goes on.", name(*step)));
            }
            Happened::RunSucceeded { millis, .. } => {
                let by = if approved.is_empty() { String::new() } else { format!(", approved by {}", and(&approved)) };
                line = Some(format!("Done in {}{by}.", lasted(*millis)));
            }
            Happened::RunFailed { step, .. } => line = Some(format!("Failed at step {step}{}.", name(*step))),
            Happened::RunStuck { step, .. } => {
                line = Some(format!("Stuck at step {step}{}: somebody has to look.", name(*step)));
            }
            Happened::RunStopping { by, .. } => line = Some(format!("Being stopped by {by}.")),
            Happened::RunStopped { by, .. } => line = Some(format!("Stopped by {by}.")),
            _ => {}
        }
    }
    line
}

/// A text with its state in front of it, if that fits; `None` if it does not.
pub fn with_state(line: &str, text: &str, most: usize) -> Option<String> {
    let whole = format!("{line}\n{text}");
    (whole.chars().count() <= most).then_some(whole)
}

//! Runs that a policy lets people start without anybody's answer: a named runbook, named people, so many in a window.
//!
//! Keeps I1: what lets the run start is the frozen policy in the plan's own bytes, signed for the person who asked. Keeps I12:
//! while automation is paused everybody is asked.

use chrono::TimeDelta;

use super::decide::{illegal, lock_with_run, open_plan};
use super::give::{Granting, Told, write};
use super::signature::Why;
use crate::model::catalog::Catalog;
use crate::model::event::StartedUnasked;
use crate::model::id::{InboxId, PersonId, RequestId};
use crate::model::plan::Plan;
use crate::model::request::{RequestState, Wanted};
use crate::model::signature::unasked_rule;
use crate::store::{Automation, Result, StoreError, Tx};

/// Whether a person may start a plan without anybody's answer now, and as which run of the window. Locks the row of
/// `automation` until the transaction ends, so that two at once never exceed the number: it comes before every other lock.
///
/// Nobody may who was denied the same within a day: then people decide.
///
/// # Errors
/// When the database refuses.
pub async fn may_start_unasked(
    tx: &mut Tx,
    catalog: &Catalog,
    plan: &Plan,
    person: &PersonId,
) -> Result<Option<StartedUnasked>> {
    // What starts later never starts unasked.
    let policy = plan.policy.as_ref().filter(|policy| !policy.unasked.is_empty() && plan.not_before.is_none());
    let Some(policy) = policy else { return Ok(None) };
    if policy.denied_before.is_some() || plan.excluded().contains(person) {
        return Ok(None);
    }
    let Automation { paused, .. } = tx.lock_automation().await?;
    if paused.is_some() {
        return Ok(None);
    }
    for rule in policy.unasked.iter().filter(|rule| catalog.includes(&rule.by, person)) {
        let window = TimeDelta::from_std(rule.per()).map_err(illegal)?;
        let since = tx.now() - window;
        let count = tx.count_unasked(&plan.runbook, since).await?;
        if count < rule.runs {
            let (person, of, per_secs) = (person.clone(), rule.runs, rule.per().as_secs());
            return Ok(Some(StartedUnasked { person, number: count + 1, of, per_secs }));
        }
    }
    Ok(None)
}

/// Grants a request at once, because its policy lets whoever asked.
///
/// # Errors
/// When the database refuses, the stored plan is not the one that was asked for, or the request does not wait.
pub async fn grant_unasked(
    tx: &mut Tx,
    request: RequestId,
    started: StartedUnasked,
    line: Option<InboxId>,
) -> Result<()> {
    let (request, run) = lock_with_run(tx, request).await?;
    let plan = open_plan(&request, &run)?;
    let alone = request.requesters.as_slice() == std::slice::from_ref(&started.person);
    let Some(policy) = plan.policy.as_ref().filter(|_| alone && run.trigger.is_none()) else {
        return Err(StoreError::Refused(format!("nobody may start request {} without asking", request.code)));
    };
    if request.state != (RequestState::Pending { stage: 0 }) || request.wanted != Wanted::Start {
        return Err(StoreError::Moved { row: format!("request {}", request.code), expected: "pending".to_owned() });
    }
    let why = Why::Rule(unasked_rule(&started.person));
    let told = Told { unasked: Some(started), ..Told::default() };
    let (request, run, plan) = (&request, &run, &plan);
    write(tx, Granting { request, run, plan, policy, earlier: &[], why, told, line }).await
}

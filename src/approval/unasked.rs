//! Runs that a policy lets people start without anybody's answer: a named runbook, named people, so many in a window.
//!
//! Keeps I1: what lets the run start is the frozen policy in the plan's own bytes, signed for the person who asked. Keeps I12:
//! while automation is paused everybody is asked.

use chrono::TimeDelta;

use super::decide::{event, illegal, open_plan, times};
use super::signature::{Give, Why, give};
use crate::model::catalog::Catalog;
use crate::model::event::{Happened, RowMark, StartedUnasked};
use crate::model::id::{InboxId, PersonId, RequestId};
use crate::model::plan::Plan;
use crate::model::request::{RequestState, Wanted};
use crate::model::run::RunEvent;
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
    let request = tx.lock_request(request).await?;
    let run = tx.lock_run(request.run).await?;
    let plan = open_plan(&request, &run)?;
    let alone = request.requesters.as_slice() == std::slice::from_ref(&started.person);
    let Some(policy) = plan.policy.as_ref().filter(|_| alone && run.trigger.is_none()) else {
        return Err(StoreError::Refused(format!("nobody may start request {} without asking", request.code)));
    };
    if request.state != (RequestState::Pending { stage: 0 }) || request.wanted != Wanted::Start {
        return Err(StoreError::Moved { row: format!("request {}", request.code), expected: "pending".to_owned() });
    }
    let granted = RequestState::Granted;
    let version = tx.move_request(&request, &granted).await?;
    let mut rows = vec![RowMark::request(request.id, granted.name(), version)];
    let (start_by, valid_until) = times(&plan, policy, tx.now())?;
    let why = Why::Rule(unasked_rule(&started.person));
    let (grant, signed) = give(tx, Give { request: &request, why, start_by, valid_until }).await?;
    tx.set_grant_unasked(grant).await?;
    rows.push(RowMark::grant(grant, "granted", 1));
    let to = run.state.clone().next(RunEvent::Granted).map_err(illegal)?;
    let version = tx.move_run(&run, &to, line).await?;
    rows.push(RowMark::run(run.id, to.name(), version));
    let what = Happened::RequestGranted {
        request: request.id,
        code: request.code,
        run: run.id,
        grant,
        digest: request.digest,
        by: Vec::new(),
        automatic: None,
        valid_until,
        start_by: Some(start_by),
        relaxed: Vec::new(),
        broken: None,
        under: None,
        unasked: Some(started),
        covers: None,
        signed: Some(signed),
    };
    tx.record(event(&run, line, what, rows));
    Ok(())
}

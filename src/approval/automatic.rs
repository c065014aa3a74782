//! Runs that a policy lets a trigger start without anybody's answer: of a named runbook, and so many in a window.
//!
//! Keeps I1: what lets the run start is the frozen policy in the plan's own bytes, signed for the trigger that asked. Keeps I12:
//! beyond the bound people are asked, whatever the trigger's own brakes would let pass.

use std::time::Duration;

use chrono::TimeDelta;

use super::decide::{illegal, lock_with_run, open_plan};
use super::give::{Granting, Told, write};
use super::signature::{Why, rule_of};
use crate::model::id::{RequestId, TriggerName};
use crate::model::plan::Plan;
use crate::model::request::{RequestState, Wanted};
use crate::store::{Result, StoreError, Tx};

/// Whether a trigger may start a plan without anybody's answer now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByItself {
    /// It may.
    Lets,
    /// Its policy does not name it with this runbook.
    NotNamed,
    /// Somebody denied the same not long ago: people decide.
    Denied,
    /// It has started so many within this time, which is its bound.
    Spent {
        /// How many.
        runs: u32,
        /// Within this time.
        per: Duration,
    },
}

/// Whether the policy in a plan's own bytes lets a trigger start it now. The caller holds the row of `automation` for itself
/// until the transaction ends, so that two at once never exceed the number.
///
/// # Errors
/// When the database refuses.
pub async fn may_start_by_itself(tx: &mut Tx, plan: &Plan, trigger: &TriggerName) -> Result<ByItself> {
    let rules = plan.policy.iter().flat_map(|policy| &policy.automatic);
    let denied = plan.policy.as_ref().is_some_and(|policy| policy.denied_before.is_some());
    let mut came = ByItself::NotNamed;
    for rule in rules.filter(|rule| rule.lets(trigger, &plan.runbook)) {
        if denied {
            return Ok(ByItself::Denied);
        }
        // Frozen by a release that knew none: what it says is kept.
        let Some(bound) = &rule.bound else { return Ok(ByItself::Lets) };
        let since = tx.now() - TimeDelta::from_std(bound.per()).map_err(illegal)?;
        if tx.count_automatic(trigger, &plan.runbook, since).await? < bound.runs {
            return Ok(ByItself::Lets);
        }
        came = ByItself::Spent { runs: bound.runs, per: bound.per() };
    }
    Ok(came)
}

/// Grants the request of a run that a trigger asked for, if the policy in the plan's own bytes lets that trigger start it now.
/// The caller holds the row of `automation` for itself and has seen that nothing is paused; everything else is checked here,
/// from rows locked here. `false`: the policy does not let it, nothing was changed, and people have to decide.
///
/// # Errors
/// When the database refuses, the stored plan is not the one that was asked for, or the request does not wait.
pub async fn grant_automatic(tx: &mut Tx, request: RequestId) -> Result<bool> {
    let (request, run) = lock_with_run(tx, request).await?;
    let plan = open_plan(&request, &run)?;
    let (Some(policy), Some(trigger)) = (plan.policy.as_ref(), run.trigger.clone()) else { return Ok(false) };
    if request.wanted != Wanted::Start || may_start_by_itself(tx, &plan, &trigger).await? != ByItself::Lets {
        return Ok(false);
    }
    if request.state != (RequestState::Pending { stage: 0 }) {
        return Err(StoreError::Moved { row: format!("request {}", request.code), expected: "pending".to_owned() });
    }
    let Some(rule) = rule_of(Some(&trigger), &plan.runbook, policy) else { return Ok(false) };
    let told = Told { automatic: Some(trigger), ..Told::default() };
    let (request, run, plan, why) = (&request, &run, &plan, Why::Rule(rule));
    write(tx, Granting { request, run, plan, policy, earlier: &[], why, told, line: None }).await?;
    Ok(true)
}

//! Runs that were approved to start later: when their time comes, everything that they were approved on is looked at again.
//!
//! Each look is one transaction on the rows of its run, so that any number of processes may look. A worker comes only to
//! what was seen to hold a moment ago (`store::later`); after a restart it is looked at anew.

use super::App;
use super::turn::plan_of;
use crate::approval::{self, NowMade};
use crate::engine::plan::{PlanFor, plan};
use crate::model::id::{RequestId, RunId};
use crate::model::plan::{Plan, Sealed};
use crate::store::StoreError;
use crate::text;

/// Looks at every run whose time has come.
///
/// # Errors
/// When the database cannot be asked.
pub async fn clear_all(app: &App) -> Result<(), StoreError> {
    for (run, request) in app.store.list_to_clear().await? {
        match clear(app, run, request).await {
            // Revoked, stopped, or looked at by another process, in the meantime.
            Ok(()) | Err(StoreError::Moved { .. }) => {}
            Err(error @ StoreError::Database(_)) => return Err(error),
            // Each alone: one that cannot be read must not keep the others waiting. It does not start.
            Err(error) => tracing::error!(error = %text::chain(&error), %run, "a run cannot be looked at, and waits"),
        }
    }
    Ok(())
}

async fn clear(app: &App, run: RunId, request: RequestId) -> Result<(), StoreError> {
    let Some(run) = app.store.find_run(run).await? else { return Ok(()) };
    let in_use = app.in_use();
    let made = made_now(app, &plan_of(&run)?);
    let mut tx = app.store.begin().await?;
    approval::clear(&mut tx, &in_use.catalog, request, &made).await?;
    tx.commit().await
}

/// What the catalog in force makes of it at this moment, under the policy of this moment.
fn made_now(app: &App, asked: &Plan) -> NowMade {
    let in_use = app.in_use();
    let Some(runbook) = in_use.catalog.runbooks.get(&asked.runbook) else {
        return NowMade::Refused(format!("there is no runbook {}", asked.runbook));
    };
    let at = PlanFor::at(app.store.clock().now());
    match plan(&in_use.catalog, runbook, &asked.params, at, &app.world) {
        Ok(plan) => match Sealed::seal(&plan.as_asked(asked)) {
            Ok(sealed) => NowMade::Plan(sealed.digest()),
            Err(error) => NowMade::Refused(text::chain(&error)),
        },
        Err(refusal) => NowMade::Refused(text::chain(&refusal)),
    }
}

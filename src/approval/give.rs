//! The one way from a reason to a grant: the request moves, the signed grant is written, the run moves, and one event tells it.
//!
//! What lives here: what every grant has in common, whether people agreed, a policy lets it start, an earlier approval covers
//! it, or somebody broke the glass. What does not: whether there is such a reason; each caller has seen to that under its
//! locks. Keeps I4 (all of it is in one transaction with its event).

use super::decide::{event, illegal, span, times};
use super::signature::{Give, Why, give};
use crate::model::event::{Covers, Happened, RowMark, StartedUnasked, Under};
use crate::model::id::{InboxId, PersonId, TriggerName};
use crate::model::plan::{Plan, PlanPolicy};
use crate::model::policy::Relaxed;
use crate::model::request::{GrantState, Last, RequestEvent, Wanted};
use crate::model::run::RunEvent;
use crate::store::{Request, Result, Run, StoredGrant, Tx};

/// A request about to be granted, read under its locks.
#[derive(Debug)]
pub(super) struct Granting<'a> {
    /// The request.
    pub(super) request: &'a Request,
    /// Its run.
    pub(super) run: &'a Run,
    /// The plan.
    pub(super) plan: &'a Plan,
    /// Its policy.
    pub(super) policy: &'a PlanPolicy,
    /// Grants of the run that are in force: the new one takes their place.
    pub(super) earlier: &'a [StoredGrant],
    /// What is signed as the reason.
    pub(super) why: Why<'a>,
    /// What is told as the reason.
    pub(super) told: Told,
    /// By which line, if by one.
    pub(super) line: Option<InboxId>,
}

/// The reason for a grant, as its event tells it. Of the last four at most one.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Who agreed and counts.
    pub(super) by: Vec<PersonId>,
    /// Rules of separation without which fewer would have counted.
    pub(super) relaxed: Vec<Relaxed>,
    /// The trigger that the policy lets start.
    pub(super) automatic: Option<TriggerName>,
    /// Who broke the glass.
    pub(super) broken: Option<PersonId>,
    /// Whom the policy lets start without asking.
    pub(super) unasked: Option<StartedUnasked>,
    /// The approval that covers it.
    pub(super) under: Option<Under>,
}

/// Writes a grant.
///
/// # Errors
/// When the database refuses, or a row is no longer as it was read.
pub(super) async fn write(tx: &mut Tx, granting: Granting<'_>) -> Result<()> {
    let Granting { request, run, plan, policy, earlier, why, told, line } = granting;
    let Told { by, relaxed, automatic, broken, unasked, under } = told;
    let to = request.state.clone().next(RequestEvent::StageComplete { last: Last::Yes }).map_err(illegal)?;
    let version = tx.move_request(request, &to).await?;
    let mut rows = vec![RowMark::request(request.id, to.name(), version)];
    for earlier in earlier {
        let version = tx.move_grant(earlier, GrantState::Revoked).await?;
        let what = Happened::GrantEnded { grant: earlier.id, run: run.id, state: "revoked".to_owned() };
        tx.record(event(run, line, what, vec![RowMark::grant(earlier.id, "revoked", version)]));
    }
    let (start_by, valid_until) = times(plan, policy, tx.now())?;
    let (grant, signed) = give(tx, Give { request, why, start_by, valid_until }).await?;
    rows.push(RowMark::grant(grant, "granted", 1));
    if unasked.is_some() {
        tx.set_grant_unasked(grant).await?;
    }
    if let Some(under) = &under {
        tx.set_grant_under(grant, under.request, under.number).await?;
    }
    // What people agreed to may be more than one run of it.
    let agreed = automatic.is_none() && broken.is_none() && unasked.is_none() && under.is_none();
    let covers = match policy.repeat.filter(|_| agreed && request.wanted == Wanted::Start) {
        Some(repeat) => {
            let until = tx.now() + span(repeat.within())?;
            tx.insert_cover(request.id, request.digest, repeat.runs, until).await?;
            Some(Covers { runs: repeat.runs, until })
        }
        None => None,
    };
    match request.wanted {
        Wanted::Start | Wanted::Retry { .. } => {
            let to = run.state.clone().next(RunEvent::Granted).map_err(illegal)?;
            let version = tx.move_run(run, &to, line).await?;
            rows.push(RowMark::run(run.id, to.name(), version));
        }
        // The run moves by what was agreed to.
        Wanted::Free { .. } => {}
    }
    let what = Happened::RequestGranted {
        request: request.id,
        code: request.code,
        run: run.id,
        grant,
        digest: request.digest,
        by,
        automatic,
        valid_until,
        start_by: Some(start_by),
        relaxed,
        broken,
        unasked,
        under,
        covers,
        signed: Some(signed),
    };
    tx.record(event(run, line, what, rows));
    Ok(())
}

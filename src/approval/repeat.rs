//! One approval for several runs of the same plan.
//!
//! Keeps I1: each run has a request and a grant of its own, derived from the decisions of the one that was approved. Keeps I7:
//! whoever asked for either counts as having asked, so nobody who agreed can be who asks for a further run. Keeps I13: the very
//! same plan, and whoever agreed still has the right.

use super::decide::{File, lock_with_run, open_plan, requesters_now};
use super::give::{Granting, Told, write};
use super::signature::Why;
use crate::model::approval::{Case, Tally};
use crate::model::catalog::Catalog;
use crate::model::event::Under;
use crate::model::id::{Digest, InboxId, PersonId, RequestId};
use crate::model::request::{Answer, RequestState, Wanted};
use crate::store::{Cover, Result, StoreError, StoredDecision, Tx};

/// Takes one more run of an approval in force that covers this plan for these people, if there is one. What was taken is given
/// back when the transaction is not committed.
///
/// # Errors
/// When the database refuses.
pub async fn take_cover(
    tx: &mut Tx,
    catalog: &Catalog,
    digest: Digest,
    requesters: &[PersonId],
) -> Result<Option<Cover>> {
    for cover in tx.list_covers(Some(digest)).await? {
        let Some(request) = tx.find_request(cover.request).await? else { continue };
        let Some(run) = tx.find_run(request.run).await? else { continue };
        let file = File::read(tx, catalog, request, Vec::new(), run).await?;
        let mut all = file.requesters.clone();
        all.extend(requesters.iter().cloned());
        let case = Case { requesters: &all, ..file.case() };
        if file.request.state != RequestState::Granted || case.waits_for(tx.now(), catalog) != Tally::Agreed {
            continue;
        }
        if let Some(taken) = tx.take_cover(cover.request, digest).await? {
            return Ok(Some(taken));
        }
    }
    Ok(None)
}

/// Grants a request at once, under an approval of which a run was taken.
///
/// # Errors
/// When the database refuses, the stored plan is not the one that was asked for, or the request does not wait.
pub async fn grant_under(
    tx: &mut Tx,
    catalog: &Catalog,
    request: RequestId,
    cover: &Cover,
    line: Option<InboxId>,
) -> Result<()> {
    let (request, run) = lock_with_run(tx, request).await?;
    let plan = open_plan(&request, &run)?;
    let original = tx.find_request(cover.request).await?;
    let fits = original
        .as_ref()
        .is_some_and(|original| original.digest == request.digest && original.state == RequestState::Granted);
    let (Some(policy), Some(original), true) = (plan.policy.as_ref(), original, fits) else {
        return Err(StoreError::Refused(format!("request {} is not covered by what was approved", request.code)));
    };
    if request.state != (RequestState::Pending { stage: 0 }) || request.wanted != Wanted::Start {
        return Err(StoreError::Moved { row: format!("request {}", request.code), expected: "pending".to_owned() });
    }
    let Some(earlier) = tx.find_run(original.run).await? else {
        return Err(StoreError::Refused(format!("request {} is not covered by what was approved", request.code)));
    };
    let file = File::read(tx, catalog, original.clone(), Vec::new(), earlier).await?;
    let mut requesters = file.requesters.clone();
    requesters.extend(requesters_now(&request, &run, catalog));
    let aside = file.set_aside(tx.now(), catalog);
    // Whoever has lost the right since is not named as one who agreed, also where enough others did.
    let count = Case { requesters: &requesters, ..file.case() }.counted(tx.now(), catalog);
    if count.tally != Tally::Agreed {
        return Err(StoreError::Refused(format!("request {} is not covered by what was approved", request.code)));
    }
    let mut standing = file.stored;
    standing.retain(|stored| stored.decision.answer == Answer::Approve && count.by.contains(&stored.decision.person));
    let agreeing: Vec<&StoredDecision> = standing.iter().chain(&aside).collect();
    let why = Why::Covered { by: original.id, decisions: &agreeing };
    let under =
        Under { request: original.id, code: original.code, number: cover.used, of: cover.runs, until: cover.until };
    let relaxed = count.relaxed.into_iter().collect();
    let told = Told { by: count.by, relaxed, under: Some(under), ..Told::default() };
    let (request, run, plan) = (&request, &run, &plan);
    write(tx, Granting { request, run, plan, policy, earlier: &[], why, told, line }).await
}

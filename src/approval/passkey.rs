//! Ending a passkey: what was agreed to with it and still waits is agreed to no longer.

use super::decide::{event, lock_with_run};
use crate::model::event::{Happened, NewEvent, Record, RemovedBecause, Scope};
use crate::model::id::{PasskeyId, PersonId};
use crate::model::request::{Answer, Decision, Proof, RequestState};
use crate::store::{Result, Tx};

/// Removes a passkey. Taking a right away is immediate: approvals that were given with it are taken back in every request that
/// still waits; whoever gave them may answer again with another. A denial stands: it never needed one. `None`: there is no such
/// passkey in use.
///
/// # Errors
/// When the database refuses.
pub async fn remove_passkey(tx: &mut Tx, passkey: PasskeyId, because: RemovedBecause) -> Result<Option<PersonId>> {
    // Requests before passkeys, as whoever decides on a page locks them.
    for (request, _) in tx.list_approved_with(passkey).await? {
        tx.lock_request(request).await?;
    }
    let Some(person) = tx.remove_passkey(passkey).await? else { return Ok(None) };
    let what = Happened::PasskeyRemoved { passkey, person: person.clone(), because };
    tx.record(NewEvent { scope: Scope::default(), cause: None, record: Record { what, rows: Vec::new() } });
    // Read again: what was signed until this moment is there now, and nothing more can come.
    for (request, credential) in tx.list_approved_with(passkey).await? {
        let (locked, run) = lock_with_run(tx, request).await?;
        if !matches!(locked.state, RequestState::Pending { .. }) {
            continue;
        }
        let proof = Proof::Passkey { credential };
        let given = |decision: &Decision| decision.answer == Answer::Approve && decision.proof == proof;
        for stored in tx.list_decisions(request).await?.iter().filter(|stored| given(&stored.decision)) {
            if !tx.take_decision_back(request, &stored.decision, None).await? {
                continue;
            }
            let what = Happened::DecisionTakenBack {
                request,
                code: locked.code,
                stage: stored.decision.stage,
                person: stored.decision.person.clone(),
                account: stored.account.clone(),
                line: stored.line,
                passkey: Some(passkey),
            };
            tx.record(event(&run, None, what, Vec::new()));
        }
    }
    Ok(Some(person))
}

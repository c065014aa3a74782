//! Who may answer instead, and who counts as having asked after a handover, in requests that wait.

use super::decide::{File, Seen, ask, event, lock_with_run};
use crate::model::approval::{Asked, Because, delegates};
use crate::model::catalog::Catalog;
use crate::model::code::Code;
use crate::model::event::Happened;
use crate::model::id::{InboxId, PersonId, RequestId};
use crate::model::policy::Delegating;
use crate::model::request::RequestState;
use crate::store::{Result, Tx};

/// What a new delegation comes to for a request that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delegated {
    /// The receiver is asked as well.
    Asked(Code),
    /// Its policy lets nobody answer for another.
    Refused(Code),
    /// Nothing: the receiver is asked already or may not answer, or it no longer waits.
    Nothing,
}

/// Asks those who may answer for somebody whom a request asks, as far as they were not asked yet.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn ask_delegates(
    tx: &mut Tx,
    catalog: &Catalog,
    request: RequestId,
    giver: &PersonId,
    line: InboxId,
) -> Result<Delegated> {
    let file = File::lock(tx, catalog, request, Seen::Posted).await?;
    let RequestState::Pending { stage } = file.request.state else { return Ok(Delegated::Nothing) };
    let code = file.request.code;
    if tx.now() >= file.request.expires_at {
        return Ok(Delegated::Nothing);
    }
    if file.policy.delegating == Delegating::Refused {
        return Ok(Delegated::Refused(code));
    }
    let asked = file.asked.clone().unwrap_or_default();
    let own: Vec<Asked> = asked
        .iter()
        .filter(|one| one.stage == stage && one.person == *giver && !matches!(one.because, Because::Delegate(_)))
        .cloned()
        .collect();
    let mut new = delegates(catalog, &file.policy, &own, &file.delegations, tx.now());
    new.sort_by(|a, b| (&a.person, &a.because).cmp(&(&b.person, &b.because)));
    new.dedup();
    new.retain(|one| !asked.contains(one) && !file.is_barred(&one.person));
    if new.is_empty() {
        return Ok(Delegated::Nothing);
    }
    ask(tx, &file.run, request, code, stage, &new, file.request.expires_at, Some(line), Vec::new()).await?;
    Ok(Delegated::Asked(code))
}

/// Counts somebody as having asked for a request that waits, first of all of them: from now on neither they nor whoever asked
/// before may agree to it (I7). `None`: it no longer waits.
///
/// # Errors
/// When the database refuses.
pub async fn hand_over(
    tx: &mut Tx,
    request: RequestId,
    from: &PersonId,
    to: &PersonId,
    line: InboxId,
) -> Result<Option<Code>> {
    let (locked, run) = lock_with_run(tx, request).await?;
    let RequestState::Pending { .. } = locked.state else { return Ok(None) };
    let before = locked.requesters.iter().filter(|person| *person != to);
    let requesters: Vec<PersonId> = std::iter::once(to).chain(before).cloned().collect();
    tx.set_requesters(&locked, &requesters).await?;
    let code = locked.code;
    let (from, to) = (from.clone(), to.clone());
    let what = Happened::RequestHandedOver { request, code, run: run.id, from, to, requesters };
    tx.record(event(&run, Some(line), what, Vec::new()));
    Ok(Some(code))
}

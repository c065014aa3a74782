//! A run that was approved to start later, at its start: whether everything that it was approved on still holds.
//!
//! Keeps I13: what is alive may only narrow what was agreed to. Keeps I1: this starts nothing; it lets a worker come, and
//! the worker derives its Grant as ever.

use super::decide::{File, Seen, event, holds_proof, illegal};
use crate::model::allowed::{Verb, allowed};
use crate::model::approval::Tally;
use crate::model::catalog::Catalog;
use crate::model::event::{Happened, RowMark};
use crate::model::id::{Digest, PersonId, RequestId};
use crate::model::plan::Plan;
use crate::model::request::{GrantState, RequestState};
use crate::model::run::{RunEvent, RunState, Snag};
use crate::store::{Result, Run, Tx};

/// What the catalog makes of the plan at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NowMade {
    /// A plan with this digest.
    Plan(Digest),
    /// None, and why.
    Refused(String),
}

/// What came of looking at a run whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cleared {
    /// Everything holds: it may begin.
    Yes,
    /// Something does not: it has ended, and nothing of it was started.
    No,
    /// There was nothing to look at any more.
    Moved,
}

/// Why a run that was approved is not started after all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Changed {
    #[error("its latest start was over: nobody was there to start it in time")]
    TooLate,
    #[error("{0} has paused all automation")]
    Paused(PersonId),
    #[error("{0} may not ask for it any more")]
    MayNotRun(PersonId),
    #[error("{0} may not start it without agreement any more")]
    MayNotBreak(PersonId),
    #[error("those who agreed may not agree to it any more, or not all of them")]
    NotAgreed,
    #[error("the passkey of {0}, by which it was agreed to, is removed")]
    PasskeyRemoved(PersonId),
    #[error("the catalog makes another plan of it by now")]
    OtherPlan,
    #[error("the catalog makes no plan of it any more: {0}")]
    NoPlan(String),
}

/// Looks at a run whose time has come, under the locks of its rows: lets it begin, or ends it with its grant revoked.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn clear(tx: &mut Tx, catalog: &Catalog, request: RequestId, made: &NowMade) -> Result<Cleared> {
    // Before every other lock: a pause is before this or after it.
    let automation = tx.lock_automation().await?;
    let file = File::lock(tx, catalog, request, Seen::Posted).await?;
    let now = tx.now();
    let Some(not_before) = file.plan.not_before.filter(|at| *at <= now) else { return Ok(Cleared::Moved) };
    let begun = !tx.list_attempts(file.run.id).await?.is_empty();
    if file.run.state != RunState::Approved || file.request.state != RequestState::Granted || begun {
        return Ok(Cleared::Moved);
    }
    let paused = automation.paused.map(|paused| paused.by);
    let mut unproved = file.unproved.clone();
    for broken in file.grants.iter().filter_map(|grant| grant.broken.as_ref()) {
        if !holds_proof(tx, &broken.person, &broken.proof).await? {
            unproved.push(broken.person.clone());
        }
    }
    let Some(why) = changed(&file, catalog, now, paused, &unproved, made) else {
        tx.clear_run(&file.run).await?;
        return Ok(Cleared::Yes);
    };
    let File { request, grants, run, .. } = &file;
    for grant in grants {
        let version = tx.move_grant(grant, GrantState::Revoked).await?;
        let what = Happened::GrantEnded { grant: grant.id, run: run.id, state: "revoked".to_owned() };
        tx.record(event(run, None, what, vec![RowMark::grant(grant.id, "revoked", version)]));
    }
    let why = why.to_string();
    let to = run.state.clone().next(RunEvent::StepFailed(Snag { step: 1, why: why.clone() })).map_err(illegal)?;
    let version = tx.move_run(run, &to, run.cause).await?;
    let what = Happened::RunFailed { run: run.id, step: 1, why: why.clone() };
    tx.record(event(run, run.cause, what, vec![RowMark::run(run.id, to.name(), version)]));
    let (request, code) = (request.id, request.code);
    let what = Happened::LaterRefused { request, code, run: run.id, not_before, why };
    tx.record(event(run, run.cause, what, Vec::new()));
    Ok(Cleared::No)
}

/// What has changed since it was approved so that it must not start; `None`: nothing.
fn changed(
    file: &File,
    catalog: &Catalog,
    now: chrono::DateTime<chrono::Utc>,
    paused: Option<PersonId>,
    unproved: &[PersonId],
    made: &NowMade,
) -> Option<Changed> {
    let File { run, plan, policy, grants, .. } = file;
    if grants.iter().all(|grant| now >= grant.start_by || now >= grant.expires_at) {
        return Some(Changed::TooLate);
    }
    if let Some(by) = paused {
        return Some(Changed::Paused(by));
    }
    if !may_run(run, plan, catalog) {
        return Some(Changed::MayNotRun(run.concerns().clone()));
    }
    let broken = grants.iter().find_map(|grant| grant.broken.as_ref());
    match broken {
        Some(broken) => {
            let by = policy.break_glass.as_ref().map(|rules| rules.by.as_slice()).unwrap_or_default();
            if !catalog.includes(by, &broken.person) {
                return Some(Changed::MayNotBreak(broken.person.clone()));
            }
            if unproved.contains(&broken.person) {
                return Some(Changed::PasskeyRemoved(broken.person.clone()));
            }
        }
        None if file.case().waits_for(now, catalog) != Tally::Agreed => {
            let first = unproved.first().cloned();
            return Some(first.map_or(Changed::NotAgreed, Changed::PasskeyRemoved));
        }
        None => {}
    }
    match made {
        NowMade::Plan(digest) if *digest == file.request.digest => None,
        NowMade::Plan(_) => Some(Changed::OtherPlan),
        NowMade::Refused(why) => Some(Changed::NoPlan(why.clone())),
    }
}

/// Whether the person whose run it is may still ask for it, and still owns the account by which they did.
fn may_run(run: &Run, plan: &Plan, catalog: &Catalog) -> bool {
    let person = run.concerns();
    let owner = catalog.person_of(&run.requester_account).map(|owner| &owner.name);
    let theirs = *person != run.requester || owner == Some(person);
    let system = catalog.systems.get(&plan.system);
    theirs && system.is_some_and(|system| allowed(catalog, person, Verb::Run, system))
}

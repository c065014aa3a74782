//! Deciding a request, and ending one that nobody decided.

use crate::model::catalog::Catalog;
use crate::model::chat::Account;
use crate::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use crate::model::id::{InboxId, PersonId, RequestId};
use crate::model::plan::{Plan, Sealed};
use crate::model::request::{Answer, Decision, GrantState, Last, RequestEvent, RequestState, Tally, tally};
use crate::model::run::RunEvent;
use crate::store::{Request, Result, Run, StoreError, StoredDecision, Tx};

use super::signature::{Because, Give, give, rule_of};

/// One person's answer, about to be counted.
#[derive(Debug)]
pub struct Decide<'a> {
    /// To which request.
    pub request: RequestId,
    /// Whose.
    pub person: &'a PersonId,
    /// By which account.
    pub account: &'a Account,
    /// What.
    pub answer: Answer,
    /// Why, if they said.
    pub reason: Option<String>,
    /// By which line or button.
    pub line: InboxId,
}

/// What came of an answer. Refusals are outcomes: they are recorded and told.
#[derive(Debug)]
pub enum DecideOutcome {
    /// Everybody whose agreement is needed has agreed: the run may start.
    Granted,
    /// It counted, and more people are needed.
    Counted {
        /// The request.
        request: Request,
        /// How many more.
        missing: u32,
    },
    /// It was denied, and that ends it.
    Denied,
    /// The person asked for it themselves (I7).
    OwnRequest(Request, Plan),
    /// The person is not asked.
    NotAsked(Request, Plan),
    /// The person has decided this already.
    AlreadyDecided(Request),
    /// The request is no longer waiting: a late decision changes nothing.
    Late(Request),
    /// Its time is over, though nobody has said so yet.
    TooLate(Request),
    /// Not all of it has been posted: one cannot agree to what one cannot have seen.
    NotPosted(Request),
}

fn scope(run: &Run) -> Scope {
    Scope {
        system: Some(run.system.clone()),
        environment: Some(run.environment.clone()),
        incident: run.incident,
        run: Some(run.id),
        ..Scope::default()
    }
}

fn event(run: &Run, line: Option<InboxId>, what: Happened, rows: Vec<RowMark>) -> NewEvent {
    NewEvent { scope: scope(run), cause: line, record: Record { what, rows } }
}

/// Reads the plan that a request asks for: from the stored bytes, whose digest must be the request's (I1, I13).
fn open_plan(request: &Request, run: &Run) -> Result<Plan> {
    let sealed = Sealed::from_stored(run.plan.clone());
    if sealed.digest() != request.digest || request.digest != run.digest {
        return Err(StoreError::Refused(format!(
            "the stored plan of request {} is not the one that was asked for; nothing was decided",
            request.code
        )));
    }
    sealed.open().map_err(|error| StoreError::Refused(error.to_string()))
}

fn illegal(error: impl std::fmt::Display) -> StoreError {
    StoreError::Refused(error.to_string())
}

/// Counts one person's answer. Locks the request first; whoever comes second sees what the first did. Every state change
/// is in the transaction, with its events; nothing is durable until that commits.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn decide(tx: &mut Tx, catalog: &Catalog, decide: Decide<'_>) -> Result<DecideOutcome> {
    let request = tx.lock_request(decide.request).await?;
    let RequestState::Pending { stage } = request.state else {
        return Ok(DecideOutcome::Late(request));
    };
    if tx.now() >= request.expires_at {
        return Ok(DecideOutcome::TooLate(request));
    }
    if request.posted_at.is_none() {
        return Ok(DecideOutcome::NotPosted(request));
    }
    let grants = tx.lock_grants(&[request.run]).await?;
    let run = tx.lock_run(request.run).await?;
    if run.state.clone().next(RunEvent::Granted).is_err() {
        return Ok(DecideOutcome::Late(request));
    }
    let plan = open_plan(&request, &run)?;
    let Some(policy) = plan.policy.clone() else {
        return Err(StoreError::Refused(format!("the plan of request {} names no policy", request.code)));
    };
    let Some(asked) = usize::try_from(stage).ok().and_then(|stage| policy.stages.get(stage)) else {
        return Err(StoreError::Refused(format!("request {} waits for a stage that its policy lacks", request.code)));
    };
    if request.requesters.contains(decide.person) {
        return Ok(DecideOutcome::OwnRequest(request, plan));
    }
    // Live, and may only narrow: the person must hold the frozen right now (I13).
    if !catalog.includes(&asked.approvers, decide.person) {
        return Ok(DecideOutcome::NotAsked(request, plan));
    }
    let decision = Decision { person: decide.person.clone(), stage, answer: decide.answer };
    if !tx.insert_decision(request.id, &decision, decide.account, decide.reason.as_deref(), decide.line).await? {
        return Ok(DecideOutcome::AlreadyDecided(request));
    }
    // Counted anew from the rows. Whoever has lost the right since, or whose account is now somebody else's, no longer
    // counts (I13).
    let mut standing = tx.list_decisions(request.id).await?;
    standing.retain(|stored| {
        catalog.person_of(&stored.account).is_some_and(|person| person.name == stored.decision.person)
    });
    let decisions: Vec<Decision> = standing.iter().map(|stored| stored.decision.clone()).collect();
    let counted = tally(&policy.stages, &request.requesters, &decisions, |stage, person| {
        catalog.includes(&stage.approvers, person)
    });
    // Moves to the next stage belong to the decision that completed the one before.
    let mut rows = Vec::new();
    if let Tally::Waiting { stage: now_at, .. } = counted
        && now_at > stage
    {
        let to = request.state.clone().next(RequestEvent::StageComplete { last: Last::No }).map_err(illegal)?;
        let version = tx.move_request(&request, &to).await?;
        rows.push(RowMark::request(request.id, to.name(), version));
    }
    tx.record(event(
        &run,
        Some(decide.line),
        Happened::Decided {
            request: request.id,
            code: request.code,
            stage,
            person: decide.person.clone(),
            account: decide.account.clone(),
            answer: decide.answer,
            reason: decide.reason.clone(),
        },
        rows,
    ));
    match counted {
        Tally::Denied => {
            let by = decide.person.clone();
            let to = request
                .state
                .clone()
                .next(RequestEvent::Denied { by: by.clone(), why: decide.reason.clone() })
                .map_err(illegal)?;
            let version = tx.move_request(&request, &to).await?;
            let mut rows = vec![RowMark::request(request.id, to.name(), version)];
            rows.extend(
                move_run_with_request(
                    tx,
                    &request,
                    &run,
                    RunEvent::Denied { by: by.clone(), why: decide.reason.clone() },
                    Some(decide.line),
                )
                .await?,
            );
            tx.record(event(
                &run,
                Some(decide.line),
                Happened::RequestDenied {
                    request: request.id,
                    code: request.code,
                    run: run.id,
                    by,
                    why: decide.reason,
                },
                rows,
            ));
            Ok(DecideOutcome::Denied)
        }
        Tally::Waiting { missing, .. } => Ok(DecideOutcome::Counted { request, missing }),
        Tally::Agreed => {
            let to = request.state.clone().next(RequestEvent::StageComplete { last: Last::Yes }).map_err(illegal)?;
            let version = tx.move_request(&request, &to).await?;
            let mut rows = vec![RowMark::request(request.id, to.name(), version)];
            // A further approval of the same run takes the place of the earlier one.
            for earlier in &grants {
                let version = tx.move_grant(earlier, GrantState::Revoked).await?;
                tx.record(event(
                    &run,
                    Some(decide.line),
                    Happened::GrantEnded { grant: earlier.id, run: run.id, state: "revoked".to_owned() },
                    vec![RowMark::grant(earlier.id, "revoked", version)],
                ));
            }
            let valid = chrono::TimeDelta::from_std(policy.valid_for()).map_err(illegal)?;
            let valid_until = tx.now() + valid;
            // Those whose answer counted: not who has lost the right since.
            let counted = |stored: &&StoredDecision| {
                let decision = &stored.decision;
                let stage = usize::try_from(decision.stage).ok().and_then(|stage| policy.stages.get(stage));
                stage.is_some_and(|stage| catalog.includes(&stage.approvers, &decision.person))
                    && !request.requesters.contains(&decision.person)
            };
            let counted: Vec<&StoredDecision> = standing.iter().filter(counted).collect();
            let because = Because::Agreed(&counted);
            let (grant, signed) =
                give(tx, Give { request: &request, because, start_by: valid_until, valid_until }).await?;
            rows.push(RowMark::grant(grant, "granted", 1));
            let to = run.state.clone().next(RunEvent::Granted).map_err(illegal)?;
            let version = tx.move_run(&run, &to, Some(decide.line)).await?;
            rows.push(RowMark::run(run.id, to.name(), version));
            let by = counted.iter().map(|stored| stored.decision.person.clone()).collect();
            tx.record(event(
                &run,
                Some(decide.line),
                Happened::RequestGranted {
                    request: request.id,
                    code: request.code,
                    run: run.id,
                    grant,
                    digest: request.digest,
                    by,
                    automatic: None,
                    valid_until,
                    signed: Some(signed),
                },
                rows,
            ));
            Ok(DecideOutcome::Granted)
        }
    }
}

/// Grants the request of a run that a trigger asked for, if the policy in the plan's own bytes names that trigger. The
/// caller holds the row of `automation` for share and has seen that nothing is paused; everything else is checked here,
/// from rows locked here. `false`: the policy does not name it, nothing was changed, and people have to decide.
///
/// # Errors
/// When the database refuses, the stored plan is not the one that was asked for, or the request does not wait.
pub async fn grant_automatic(tx: &mut Tx, request: RequestId) -> Result<bool> {
    let request = tx.lock_request(request).await?;
    let run = tx.lock_run(request.run).await?;
    let plan = open_plan(&request, &run)?;
    let (Some(policy), Some(trigger)) = (plan.policy.as_ref(), run.trigger.clone()) else { return Ok(false) };
    if !policy.automatic.contains(&trigger) || request.retry_step.is_some() {
        return Ok(false);
    }
    let granted = RequestState::Granted;
    if request.state != (RequestState::Pending { stage: 0 }) {
        return Err(StoreError::Moved { row: format!("request {}", request.code), expected: "pending".to_owned() });
    }
    let version = tx.move_request(&request, &granted).await?;
    let mut rows = vec![RowMark::request(request.id, granted.name(), version)];
    let valid = chrono::TimeDelta::from_std(policy.valid_for()).map_err(illegal)?;
    let valid_until = tx.now() + valid;
    let Some(rule) = rule_of(Some(&trigger), policy) else { return Ok(false) };
    let because = Because::Rule(rule);
    let (grant, signed) = give(tx, Give { request: &request, because, start_by: valid_until, valid_until }).await?;
    rows.push(RowMark::grant(grant, "granted", 1));
    let to = run.state.clone().next(RunEvent::Granted).map_err(illegal)?;
    let version = tx.move_run(&run, &to, None).await?;
    rows.push(RowMark::run(run.id, to.name(), version));
    tx.record(event(
        &run,
        None,
        Happened::RequestGranted {
            request: request.id,
            code: request.code,
            run: run.id,
            grant,
            digest: request.digest,
            by: Vec::new(),
            automatic: Some(trigger),
            valid_until,
            signed: Some(signed),
        },
        rows,
    ));
    Ok(true)
}

/// A request to start takes its run with it; one to retry leaves the run as stuck as it was.
async fn move_run_with_request(
    tx: &mut Tx,
    request: &Request,
    run: &Run,
    event: RunEvent,
    line: Option<InboxId>,
) -> Result<Option<RowMark>> {
    if request.retry_step.is_some() {
        return Ok(None);
    }
    let to = run.state.clone().next(event).map_err(illegal)?;
    let version = tx.move_run(run, &to, line).await?;
    Ok(Some(RowMark::run(run.id, to.name(), version)))
}

/// How a request ends without a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Its time is over.
    Expired,
    /// Somebody took it back.
    Withdrawn(PersonId),
}

/// A request about to end without a decision.
#[derive(Debug)]
pub struct End {
    /// Which.
    pub request: RequestId,
    /// How.
    pub ending: Ending,
    /// By which line, if by one.
    pub line: Option<InboxId>,
}

/// What came of ending a request.
#[derive(Debug)]
pub enum EndOutcome {
    /// It has ended.
    Ended,
    /// It was no longer waiting, or its time is not over yet.
    NotWaiting(Box<Request>),
}

/// Ends a request that waits: because its time is over, or because it was taken back. Its run ends with it, unless the
/// request was to retry.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn end(tx: &mut Tx, end: End) -> Result<EndOutcome> {
    let request = tx.lock_request(end.request).await?;
    let waiting = matches!(request.state, RequestState::Pending { .. });
    let due = end.ending != Ending::Expired || tx.now() >= request.expires_at;
    if !waiting || !due {
        return Ok(EndOutcome::NotWaiting(Box::new(request)));
    }
    let run = tx.lock_run(request.run).await?;
    open_plan(&request, &run)?;
    let (request_event, run_event, what) = match end.ending {
        Ending::Expired => (
            RequestEvent::Expired,
            RunEvent::Expired,
            Happened::RequestExpired { request: request.id, code: request.code, run: run.id },
        ),
        Ending::Withdrawn(by) => (
            RequestEvent::Withdrawn { by: by.clone() },
            RunEvent::Withdrawn { by: by.clone() },
            Happened::RequestWithdrawn { request: request.id, code: request.code, run: run.id, by },
        ),
    };
    let to = request.state.clone().next(request_event).map_err(illegal)?;
    let version = tx.move_request(&request, &to).await?;
    let mut rows = vec![RowMark::request(request.id, to.name(), version)];
    rows.extend(move_run_with_request(tx, &request, &run, run_event, end.line).await?);
    // What nobody's line caused belongs to the line that asked: who waits for that one should hear of it.
    let cause = end.line.or(run.cause);
    tx.record(event(&run, cause, what, rows));
    Ok(EndOutcome::Ended)
}

//! Deciding a request, and ending one that nobody decided.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::free::{Free, Freed, free};
use super::give::{Granting, Told, write};
use crate::model::approval::{
    self as rules, Act, Asked, Because, Case, Delegation, Given, Reason, Refusal, Ruling, Tally,
};
use crate::model::catalog::{Catalog, Subject};
use crate::model::chat::Account;
use crate::model::code::Code;
use crate::model::escalation::Around;
use crate::model::event::{Happened, NewEvent, Record, RowMark, WhoAsked};
use crate::model::id::{GroupName, InboxId, PersonId, RequestId};
use crate::model::plan::{Plan, PlanPolicy, Sealed};
use crate::model::policy::Relaxed;
use crate::model::request::{Answer, Decision, Last, Proof, RequestEvent, RequestState, Wanted, credential_of};
use crate::model::run::RunEvent;
use crate::model::signature::break_rule;
use crate::store::{Request, Result, Run, StoreError, StoredDecision, StoredGrant, Tx};

use super::signature::Why;

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
    /// By what it is known that it is they.
    pub proof: Proof,
    /// By which line or button.
    pub line: InboxId,
    /// Whether they can have seen what they answer.
    pub seen: Seen,
}

/// Whether somebody can have seen what they answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Once it is confirmed posted.
    Posted,
    /// It is what they said themselves in the same line.
    OwnWords,
}

/// What came of an answer. Refusals are outcomes: they are recorded and told.
#[derive(Debug)]
pub enum DecideOutcome {
    /// Everybody whose agreement is needed has agreed: the run may start.
    Granted,
    /// It counted, and more people are needed.
    Counted {
        /// The request as it was.
        request: Box<Request>,
        /// What it waits for now.
        tally: Tally,
        /// How many said no in its stage, and how many end it.
        against: (u32, u32),
        /// Whether others are asked now.
        stage: StageOver,
    },
    /// It was denied, and that ends it.
    Denied,
    /// It changes nothing.
    Refused(Box<Refused>),
}

/// Whether an answer completed a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOver {
    /// It did: those of the next are asked.
    Yes,
    /// It did not.
    No,
}

/// An act that changes nothing, with what is needed to say why.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// The request.
    pub request: Request,
    /// Who could answer instead, now.
    pub asked: Vec<PersonId>,
}

pub(super) fn event(run: &Run, line: Option<InboxId>, what: Happened, rows: Vec<RowMark>) -> NewEvent {
    NewEvent { scope: run.scope(), cause: line, record: Record { what, rows } }
}

/// Reads the plan that a request asks for: from the stored bytes, whose digest must be the request's (I1, I13).
pub(super) fn open_plan(request: &Request, run: &Run) -> Result<Plan> {
    let sealed = Sealed::from_stored(run.plan.clone());
    if sealed.digest() != request.digest || request.digest != run.digest {
        return Err(StoreError::Refused(format!(
            "the stored plan of request {} is not the one that was asked for; nothing was decided",
            request.code
        )));
    }
    sealed.open().map_err(illegal)
}

pub(super) fn illegal(error: impl std::fmt::Display) -> StoreError {
    StoreError::Refused(error.to_string())
}

pub(super) fn span(duration: std::time::Duration) -> Result<TimeDelta> {
    TimeDelta::from_std(duration).map_err(illegal)
}

/// Everything that an answer to a request depends on, read under its locks.
pub(super) struct File {
    pub(super) request: Request,
    pub(super) grants: Vec<StoredGrant>,
    pub(super) run: Run,
    pub(super) plan: Plan,
    pub(super) policy: PlanPolicy,
    /// Who counts as having asked, by now.
    pub(super) requesters: Vec<PersonId>,
    pub(super) asked: Option<Vec<Asked>>,
    pub(super) stored: Vec<StoredDecision>,
    pub(super) given: Vec<Given>,
    /// Whose approvals count no longer, as the passkey by which they were given is removed.
    pub(super) unproved: Vec<PersonId>,
    pub(super) delegations: Vec<Delegation>,
    seen: Seen,
}

impl File {
    /// Locks the request, its run's grants and its run, in this order, and reads what stands beside them.
    pub(super) async fn lock(tx: &mut Tx, catalog: &Catalog, request: RequestId, seen: Seen) -> Result<Self> {
        let request = tx.lock_request(request).await?;
        let grants = tx.lock_grants(&[request.run]).await?;
        let run = tx.lock_run(request.run).await?;
        Ok(Self { seen, ..Self::read(tx, catalog, request, grants, run).await? })
    }

    pub(super) async fn read(
        tx: &mut Tx,
        catalog: &Catalog,
        request: Request,
        grants: Vec<StoredGrant>,
        run: Run,
    ) -> Result<Self> {
        let plan = open_plan(&request, &run)?;
        let Some(policy) = plan.policy_over(&request.wanted, &request.needs) else {
            return Err(StoreError::Refused(format!("the plan of request {} names no policy", request.code)));
        };
        let asked = if request.knows_asked { Some(tx.list_asked(request.id).await?) } else { None };
        let (stored, unproved) = proved(tx, request.id).await?;
        let given = stored
            .iter()
            .map(|stored| Given { decision: stored.decision.clone(), account: stored.account.clone() })
            .collect();
        let delegations = tx.list_delegations().await?;
        let requesters = requesters_now(&request, &run, catalog);
        let seen = Seen::Posted;
        Ok(Self { request, grants, run, plan, policy, requesters, asked, stored, given, unproved, delegations, seen })
    }

    pub(super) fn case(&self) -> Case<'_> {
        Case {
            state: &self.request.state,
            policy: &self.policy,
            requesters: &self.requesters,
            excluded: self.plan.excluded(),
            asked: self.asked.as_deref(),
            given: &self.given,
            delegations: &self.delegations,
            expires_at: self.request.expires_at,
            posted: self.request.posted_at.is_some() || self.seen == Seen::OwnWords,
        }
    }

    /// Whether a person may not agree, because they asked or because of what they wrote.
    pub(super) fn is_barred(&self, person: &PersonId) -> bool {
        rules::Rules::new(&self.policy, &self.requesters, self.plan.excluded()).bars(person)
    }

    /// Rules on an act; a request whose run has moved on without it waits no longer.
    fn rule(&self, person: &PersonId, act: &Act, now: DateTime<Utc>, catalog: &Catalog) -> Ruling {
        if matches!(self.request.state, RequestState::Pending { .. })
            && self.run.state.clone().next(RunEvent::Granted).is_err()
        {
            return Ruling::Refused(Refusal::Late);
        }
        rules::rule(&self.case(), person, act, now, catalog)
    }

    /// The denials that stand and no longer count: so a grant says of itself, for whoever looks at it later does not know who
    /// was where by then.
    pub(super) fn set_aside(&self, now: DateTime<Utc>, catalog: &Catalog) -> Vec<StoredDecision> {
        let case = self.case();
        let aside = |(_, given): &(&StoredDecision, &Given)| case.sets_aside(given, now, catalog);
        self.stored.iter().zip(&self.given).filter(aside).map(|(stored, _)| stored.clone()).collect()
    }

    fn refused(self, why: Refusal, now: DateTime<Utc>, catalog: &Catalog) -> Box<Refused> {
        let asked = who(&self.case(), catalog, now);
        Box::new(Refused { why, request: self.request, asked })
    }
}

/// The decisions of a request that stand, without the approvals by a passkey that is removed, and whose those were. While a
/// request waits they are taken back in the transaction that removes it; what was granted is still looked at before a later
/// start.
async fn proved(tx: &mut Tx, request: RequestId) -> Result<(Vec<StoredDecision>, Vec<PersonId>)> {
    let (mut standing, mut unproved) = (Vec::new(), Vec::new());
    for stored in tx.list_decisions(request).await? {
        let Decision { person, answer, proof, .. } = &stored.decision;
        if *answer == Answer::Deny || holds_proof(tx, person, proof).await? {
            standing.push(stored);
        } else {
            unproved.push(stored.decision.person);
        }
    }
    Ok((standing, unproved))
}

/// Whether somebody still has the passkey by which it was known that it was they, if it was by one.
pub(super) async fn holds_proof(tx: &mut Tx, person: &PersonId, proof: &Proof) -> Result<bool> {
    match proof {
        Proof::Chat => Ok(true),
        Proof::Passkey { credential } => match credential_of(credential) {
            Some(credential) => tx.is_passkey_of(&credential, person).await,
            None => Ok(false),
        },
    }
}

/// Locks a request and its run, in this order, where nothing turns on the plan.
pub(super) async fn lock_with_run(tx: &mut Tx, request: RequestId) -> Result<(Request, Run)> {
    let request = tx.lock_request(request).await?;
    let run = tx.lock_run(request.run).await?;
    Ok((request, run))
}

/// Who counts as having asked by now: those whom the request names, and whoever has the account by which it was asked for,
/// under whatever name (I7).
pub fn requesters_now(request: &Request, run: &Run, catalog: &Catalog) -> Vec<PersonId> {
    let mut all = request.requesters.clone();
    let owner = catalog.person_of(&run.requester_account).map(|owner| owner.name.clone());
    all.extend(owner.filter(|owner| !request.requesters.contains(owner)));
    all
}

/// Who could answer now, by name.
pub(super) fn who(case: &Case<'_>, catalog: &Catalog, now: DateTime<Utc>) -> Vec<PersonId> {
    if case.asked.is_some() {
        return case.could_answer(now, catalog).into_iter().collect();
    }
    // An older release did not write down whom it asked: whoever the stage names.
    let stage = case.open_stage(now, catalog).and_then(|stage| usize::try_from(stage).ok());
    let stage = stage.and_then(|stage| case.policy.stages.get(stage));
    let named = stage.map(|stage| catalog.people_in(&stage.approvers)).unwrap_or_default();
    named.into_iter().filter(|person| !case.requesters.contains(person)).collect()
}

/// Who could answer a request now, in the order of their names; nobody if it does not wait. Locks nothing.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn who_could_answer(tx: &mut Tx, catalog: &Catalog, request: &Request) -> Result<Vec<PersonId>> {
    let Some(run) = tx.find_run(request.run).await? else { return Ok(Vec::new()) };
    let file = File::read(tx, catalog, request.clone(), Vec::new(), run).await?;
    Ok(who(&file.case(), catalog, tx.now()))
}

/// Who may take an approval away, in the order of their names: whoever agreed, and whoever was asked and could still agree.
/// Nobody if nobody was asked. Locks nothing.
///
/// # Errors
/// As [`who_could_answer`].
pub async fn who_may_revoke(tx: &mut Tx, catalog: &Catalog, request: RequestId) -> Result<BTreeSet<PersonId>> {
    let Some(request) = tx.find_request(request).await? else { return Ok(BTreeSet::new()) };
    let Some(run) = tx.find_run(request.run).await? else { return Ok(BTreeSet::new()) };
    let file = File::read(tx, catalog, request, Vec::new(), run).await?;
    let mut who = file.case().holders(tx.now(), catalog);
    let agreed = file.stored.iter().map(|stored| &stored.decision);
    who.extend(agreed.filter(|decision| decision.answer == Answer::Approve).map(|decision| decision.person.clone()));
    Ok(who)
}

/// For what a request waits now; `None` if it does not wait.
///
/// # Errors
/// As [`who_could_answer`].
pub async fn waits_for(tx: &mut Tx, catalog: &Catalog, request: &Request) -> Result<Option<Tally>> {
    if !matches!(request.state, RequestState::Pending { .. }) {
        return Ok(None);
    }
    let Some(run) = tx.find_run(request.run).await? else { return Ok(None) };
    let file = File::read(tx, catalog, request.clone(), Vec::new(), run).await?;
    Ok(Some(file.case().waits_for(tx.now(), catalog)))
}

/// A request whose stage begins.
#[derive(Debug)]
pub struct Begin<'a> {
    /// The request.
    pub request: RequestId,
    /// Its code.
    pub code: Code,
    /// What is wanted of the run.
    pub wanted: &'a Wanted,
    /// Its run.
    pub run: &'a Run,
    /// Its plan.
    pub plan: &'a Plan,
    /// Who counts as having asked.
    pub requesters: &'a [PersonId],
    /// Among whom one must agree, as the request itself says.
    pub needs: &'a [PersonId],
    /// The stage, counted from 0.
    pub stage: u32,
    /// Until when the whole request waits.
    pub request_expires_at: DateTime<Utc>,
    /// By which line, if by one.
    pub line: Option<InboxId>,
    /// The request's move into the stage, if no other event tells of it.
    pub moved: Vec<RowMark>,
}

/// Until when a stage that begins now waits: as long as the request does, or less if it says so itself.
pub fn stage_expires_at(policy: &PlanPolicy, stage: u32, request: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    let own = usize::try_from(stage).ok().and_then(|stage| policy.stages.get(stage)).and_then(|stage| stage.expires());
    let own = own.and_then(|own| TimeDelta::from_std(own).ok()).and_then(|own| now.checked_add_signed(own));
    own.map_or(request, |own| own.min(request))
}

/// Until when a request waits at most: what starts later is decided before it does.
pub fn until(plan: &Plan, expires_at: DateTime<Utc>, wanted: &Wanted) -> DateTime<Utc> {
    match (plan.not_before, wanted) {
        (Some(not_before), Wanted::Start) => expires_at.min(not_before),
        (Some(_), Wanted::Retry { .. } | Wanted::Free { .. }) | (None, _) => expires_at,
    }
}

/// Begins a stage: writes down whom it asks and until when, with the event that says so. Returns who is asked, by name.
///
/// # Errors
/// When the database refuses.
pub async fn begin_stage(tx: &mut Tx, catalog: &Catalog, begin: Begin<'_>) -> Result<Vec<PersonId>> {
    let Begin { request, code, wanted, run, plan, requesters, needs, stage, request_expires_at, line, moved } = begin;
    let Some(policy) = plan.policy_over(wanted, needs) else {
        return Err(StoreError::Refused(format!("the plan of request {code} names no policy")));
    };
    let expires_at = stage_expires_at(&policy, stage, request_expires_at, tx.now());
    let index = usize::try_from(stage).unwrap_or(usize::MAX);
    let wake_at = policy.stages.get(index).and_then(|stage| super::wake::first_look(stage, tx.now(), expires_at));
    tx.begin_stage(request, expires_at, wake_at).await?;
    let approvers = policy.stages.get(index).map(|stage| stage.approvers.as_slice()).unwrap_or_default();
    let unseen: Vec<GroupName> = catalog.unseen(approvers).into_iter().map(|unseen| unseen.name.clone()).collect();
    tx.set_unseen(request, &unseen).await?;
    let delegations = tx.list_delegations().await?;
    // Of the stages before; a request that is asked now has none.
    let given = if stage == 0 { Vec::new() } else { tx.list_decisions(request).await? };
    let spent = rules::spent_elsewhere(&policy, stage, given.iter().map(|stored| &stored.decision));
    let asked = rules::whom_to_ask(&Around {
        catalog,
        policy: &policy,
        stage,
        requesters,
        excluded: plan.excluded(),
        asked: &[],
        spent: &spent,
        delegations: &delegations,
        now: tx.now(),
    });
    ask(tx, run, request, code, stage, &asked, expires_at, line, moved).await?;
    let mut people: Vec<PersonId> = asked.into_iter().map(|asked| asked.person).collect();
    people.sort();
    people.dedup();
    Ok(people)
}

/// Asks the members of the groups that nobody could see when the stage of a request began, for a platform keeps them, once they
/// are seen. Whoever came into a group that could be seen is not asked later (I13). Returns whether anything was changed.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn ask_late(tx: &mut Tx, catalog: &Catalog, request: RequestId) -> Result<bool> {
    let file = File::lock(tx, catalog, request, Seen::Posted).await?;
    let RequestState::Pending { stage } = file.request.state else { return Ok(false) };
    let before = tx.unseen_of(request).await?;
    let still = |name: &GroupName| catalog.unseen(&[Subject::Group(name.clone())]).iter().any(|one| one.name == name);
    let (unseen, seen): (Vec<GroupName>, Vec<GroupName>) = before.into_iter().partition(still);
    if seen.is_empty() || tx.now() >= file.request.expires_at {
        return Ok(false);
    }
    tx.set_unseen(request, &unseen).await?;
    let groups: Vec<Subject> = seen.into_iter().map(Subject::Group).collect();
    let spent = file.spent(stage);
    let mut people = rules::whom_to_ask(&file.around(catalog, stage, &[], &spent, tx.now()));
    let asked = file.asked.as_deref().unwrap_or_default();
    people.retain(|one| {
        let whose = match &one.because {
            Because::Stage => &one.person,
            Because::Delegate(giver) => giver,
            // Whom the policy names itself was asked when the stage began.
            Because::Escalation(_) | Because::Turn | Because::Needed => return false,
        };
        catalog.includes(&groups, whose) && !asked.contains(one)
    });
    if !people.is_empty() {
        let Request { id, code, expires_at, .. } = file.request;
        ask(tx, &file.run, id, code, stage, &people, expires_at, None, Vec::new()).await?;
    }
    Ok(true)
}

/// Writes down that people are asked, with the event that says so.
#[expect(clippy::too_many_arguments, reason = "the columns of one row and its event")]
pub(super) async fn ask(
    tx: &mut Tx,
    run: &Run,
    request: RequestId,
    code: Code,
    stage: u32,
    asked: &[Asked],
    expires_at: DateTime<Utc>,
    line: Option<InboxId>,
    rows: Vec<RowMark>,
) -> Result<()> {
    tx.insert_asked(request, asked).await?;
    let people =
        asked.iter().map(|asked| WhoAsked { person: asked.person.clone(), because: asked.because.clone() }).collect();
    let what = Happened::PeopleAsked { request, code, run: run.id, stage, people, expires_at };
    tx.record(event(run, line, what, rows));
    Ok(())
}

/// Counts one person's answer. Locks the request first; whoever comes second sees what the first did. Every state change
/// is in the transaction, with its events; nothing is durable until that commits.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn decide(tx: &mut Tx, catalog: &Catalog, decide: Decide<'_>) -> Result<DecideOutcome> {
    let Decide { request, person, account, answer, reason, proof, line, seen } = decide;
    let mut file = File::lock(tx, catalog, request, seen).await?;
    if super::wake::come(tx, catalog, &file, person, line).await? {
        file = File::lock(tx, catalog, request, seen).await?;
    }
    let now = tx.now();
    let said = if reason.is_some() { Reason::Given } else { Reason::Missing };
    let act = Act::Answer { answer, reason: said, proof };
    let (decision, count) = match file.rule(person, &act, now, catalog) {
        Ruling::Counts { decision, count } => {
            if !tx.insert_decision(file.request.id, &decision, account, reason.as_deref(), line).await? {
                return Ok(DecideOutcome::Refused(file.refused(Refusal::AlreadyDecided, now, catalog)));
            }
            (Some(decision), count)
        }
        Ruling::Settles { count } => (None, count),
        Ruling::Refused(why) => return Ok(DecideOutcome::Refused(file.refused(why, now, catalog))),
        Ruling::TakenBack { .. } | Ruling::SentBack => {
            return Err(StoreError::Refused("an answer was ruled on as something else".to_owned()));
        }
    };
    let RequestState::Pending { stage } = file.request.state else {
        return Ok(DecideOutcome::Refused(file.refused(Refusal::Late, now, catalog)));
    };
    // Moves to the next stage belong to the decision that completed the one before.
    let next = match count.tally {
        Tally::Waiting { stage: at, .. } if at > stage => Some(at),
        Tally::Waiting { .. } | Tally::Agreed | Tally::Denied => None,
    };
    let mut rows = Vec::new();
    if next.is_some() {
        let to = file.request.state.clone().next(RequestEvent::StageComplete { last: Last::No }).map_err(illegal)?;
        let version = tx.move_request(&file.request, &to).await?;
        rows.push(RowMark::request(file.request.id, to.name(), version));
    }
    let mut moved = Vec::new();
    if let Some(Decision { person, stage, answer, on_behalf_of, proof }) = decision {
        let what = Happened::Decided {
            request: file.request.id,
            code: file.request.code,
            stage,
            person,
            account: account.clone(),
            answer,
            reason: reason.clone(),
            on_behalf_of,
            proof,
        };
        tx.record(event(&file.run, Some(line), what, rows));
    } else {
        // An answer that was given before, and counts again, completes the stage: those who are asked next tell of that.
        moved = rows;
    }
    match count.tally {
        Tally::Denied => {
            deny(tx, &file, person, reason, line).await?;
            Ok(DecideOutcome::Denied)
        }
        Tally::Waiting { .. } => {
            let over = if let Some(stage) = next {
                let whole = span(file.policy.expires())?;
                let begin = Begin {
                    request: file.request.id,
                    code: file.request.code,
                    wanted: &file.request.wanted,
                    run: &file.run,
                    plan: &file.plan,
                    requesters: &file.requesters,
                    needs: &file.request.needs,
                    stage,
                    request_expires_at: until(&file.plan, file.request.asked_at + whole, &file.request.wanted),
                    line: Some(line),
                    moved,
                };
                begin_stage(tx, catalog, begin).await?;
                StageOver::Yes
            } else {
                StageOver::No
            };
            let ends = file.policy.stage_of(next.unwrap_or(stage)).map_or(1, |it| it.denials);
            let against = (count.against, ends);
            Ok(DecideOutcome::Counted { request: Box::new(file.request), tally: count.tally, against, stage: over })
        }
        Tally::Agreed => {
            let aside = file.set_aside(now, catalog);
            grant(
                tx,
                &file,
                Agreement { by: count.by, aside, relaxed: count.relaxed.into_iter().collect() },
                None,
                line,
            )
            .await?;
            Ok(DecideOutcome::Granted)
        }
    }
}

/// Ends a request that as many denied as end it.
async fn deny(tx: &mut Tx, file: &File, by: &PersonId, why: Option<String>, line: InboxId) -> Result<()> {
    let File { request, run, .. } = file;
    let to = request.state.clone().next(RequestEvent::Denied { by: by.clone(), why: why.clone() }).map_err(illegal)?;
    let version = tx.move_request(request, &to).await?;
    let mut rows = vec![RowMark::request(request.id, to.name(), version)];
    let moved = RunEvent::Denied { by: by.clone(), why: why.clone() };
    rows.extend(move_run_with_request(tx, request, run, moved, Some(line)).await?);
    let by = by.clone();
    let what = Happened::RequestDenied { request: request.id, code: request.code, run: run.id, by, why };
    tx.record(event(run, Some(line), what, rows));
    Ok(())
}

/// By whose answers a request is granted.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// Who agreed and counts.
    pub(super) by: Vec<PersonId>,
    /// Denials that stand and no longer count.
    pub(super) aside: Vec<StoredDecision>,
    /// Rules of separation without which fewer would have counted.
    pub(super) relaxed: Vec<Relaxed>,
}

/// Grants a request that has all the agreement it needs, or does without because somebody broke the glass.
pub(super) async fn grant(
    tx: &mut Tx,
    file: &File,
    agreement: Agreement,
    broken: Option<PersonId>,
    line: InboxId,
) -> Result<()> {
    let Agreement { by, aside, relaxed } = agreement;
    let File { request, grants, run, plan, policy, .. } = file;
    let mut standing = tx.list_decisions(request.id).await?;
    standing.retain(|stored| stored.decision.answer == Answer::Approve && by.contains(&stored.decision.person));
    let agreeing: Vec<&StoredDecision> = standing.iter().chain(&aside).collect();
    let why = match &broken {
        Some(person) => Why::Rule(break_rule(person, line)),
        None => Why::Agreed(&agreeing),
    };
    let told = Told { by, relaxed, broken, ..Told::default() };
    // A further approval of the same run takes the place of the earlier one.
    write(tx, Granting { request, run, plan, policy, earlier: grants, why, told, line: Some(line) }).await?;
    if let Wanted::Free { wish, .. } = &request.wanted {
        let freeing = Free { run, how: wish.what, by: &wish.by, why: &wish.why, request: Some(request.id), line };
        match free(tx, freeing).await? {
            Freed::Yes => {}
            Freed::NothingUnknown => {
                return Err(StoreError::Refused(format!("nothing of run {} is unknown any more", run.id)));
            }
        }
    }
    Ok(())
}

/// The latest start and the latest end of what is granted now; of what starts later they count from then.
pub(super) fn times(plan: &Plan, policy: &PlanPolicy, now: DateTime<Utc>) -> Result<(DateTime<Utc>, DateTime<Utc>)> {
    let now = plan.not_before.map_or(now, |at| at.max(now));
    let valid_until = now + span(policy.valid_for())?;
    Ok(((now + span(policy.starts_within())?).min(valid_until), valid_until))
}

/// What came of taking an answer back, or of sending a request back. Refusals are outcomes.
#[derive(Debug)]
pub enum BackOutcome {
    /// It is done.
    Done,
    /// It changes nothing.
    Refused(Box<Refused>),
}

/// Takes a person's own answer back, as long as the request waits.
///
/// # Errors
/// As [`decide`].
pub async fn take_back(
    tx: &mut Tx,
    catalog: &Catalog,
    request: RequestId,
    person: &PersonId,
    account: &Account,
    line: InboxId,
) -> Result<BackOutcome> {
    let file = File::lock(tx, catalog, request, Seen::Posted).await?;
    let now = tx.now();
    let decision = match file.rule(person, &Act::TakeBack, now, catalog) {
        Ruling::TakenBack { decision } => decision,
        Ruling::Refused(why) => return Ok(BackOutcome::Refused(file.refused(why, now, catalog))),
        Ruling::Counts { .. } | Ruling::Settles { .. } | Ruling::SentBack => {
            return Err(StoreError::Refused("taking back was ruled on as something else".to_owned()));
        }
    };
    let given_by = file.stored.iter().find(|stored| stored.decision == decision).map(|stored| stored.line);
    let Some(given_by) = given_by else {
        return Ok(BackOutcome::Refused(file.refused(Refusal::NothingToTakeBack, now, catalog)));
    };
    if !tx.take_decision_back(file.request.id, &decision, Some(line)).await? {
        return Ok(BackOutcome::Refused(file.refused(Refusal::NothingToTakeBack, now, catalog)));
    }
    let what = Happened::DecisionTakenBack {
        request: file.request.id,
        code: file.request.code,
        stage: decision.stage,
        person: person.clone(),
        account: account.clone(),
        line: given_by,
        passkey: None,
    };
    tx.record(event(&file.run, Some(line), what, Vec::new()));
    Ok(BackOutcome::Done)
}

/// Sends a request back to whoever asked, because somebody who is asked wants something else. Its run ends with it.
///
/// # Errors
/// As [`decide`].
pub async fn send_back(
    tx: &mut Tx,
    catalog: &Catalog,
    request: RequestId,
    person: &PersonId,
    why: String,
    line: InboxId,
) -> Result<BackOutcome> {
    let file = File::lock(tx, catalog, request, Seen::Posted).await?;
    let now = tx.now();
    match file.rule(person, &Act::WantChange, now, catalog) {
        Ruling::SentBack => {}
        Ruling::Refused(why) => return Ok(BackOutcome::Refused(file.refused(why, now, catalog))),
        Ruling::Counts { .. } | Ruling::Settles { .. } | Ruling::TakenBack { .. } => {
            return Err(StoreError::Refused("sending back was ruled on as something else".to_owned()));
        }
    }
    let File { request, run, .. } = &file;
    let by = person.clone();
    let back = RequestEvent::ChangesRequested { by: by.clone(), why: why.clone() };
    let to = request.state.clone().next(back).map_err(illegal)?;
    let version = tx.move_request(request, &to).await?;
    let mut rows = vec![RowMark::request(request.id, to.name(), version)];
    let moved = RunEvent::Withdrawn { by: by.clone() };
    rows.extend(move_run_with_request(tx, request, run, moved, Some(line)).await?);
    let what = Happened::RequestSentBack { request: request.id, code: request.code, run: run.id, by, why };
    tx.record(event(run, Some(line), what, rows));
    Ok(BackOutcome::Done)
}

/// A request to start takes its run with it; one to retry leaves the run as stuck as it was.
async fn move_run_with_request(
    tx: &mut Tx,
    request: &Request,
    run: &Run,
    event: RunEvent,
    line: Option<InboxId>,
) -> Result<Option<RowMark>> {
    if request.wanted != Wanted::Start {
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
    /// Another took its place.
    Superseded {
        /// Who asked for the other.
        by: PersonId,
        /// The other.
        newer: RequestId,
        /// Its code.
        newer_code: Code,
    },
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

/// Ends a request that waits: because its time is over, or because it was taken back or another took its place. Its run ends
/// with it, unless the request was to retry.
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
    let (id, code) = (request.id, request.code);
    let (request_event, run_event, what) = match end.ending {
        Ending::Expired => {
            (RequestEvent::Expired, RunEvent::Expired, Happened::RequestExpired { request: id, code, run: run.id })
        }
        Ending::Withdrawn(by) => (
            RequestEvent::Withdrawn { by: by.clone() },
            RunEvent::Withdrawn { by: by.clone() },
            Happened::RequestWithdrawn { request: id, code, run: run.id, by },
        ),
        Ending::Superseded { by, newer, newer_code } => (
            RequestEvent::Superseded { by: newer },
            RunEvent::Withdrawn { by: by.clone() },
            Happened::RequestSuperseded { request: id, code, run: run.id, by, newer, newer_code },
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

//! Starting a run without the agreement that its policy wants, because it cannot wait.
//!
//! Keeps I1 and I13: who may is the frozen policy's word, and what is written down is what a Grant is derived from. Whoever
//! asked may be the one: an exception to I7 that the policy makes in words, and that the ledger tells.

use std::collections::BTreeSet;

use super::decide::{Agreement, File, Seen, event, grant, illegal, span, who};
use crate::model::approval::whom_to_ask;
use crate::model::catalog::{Catalog, Subject, System};
use crate::model::chat::Account;
use crate::model::event::{Happened, RowMark};
use crate::model::id::{InboxId, PersonId, RequestId};
use crate::model::request::{Answer, Proof, RequestState, Wanted};
use crate::model::run::RunEvent;
use crate::store::{NewBreak, Request, Result, ReviewState, Tx};

/// Somebody wants a run to start at once.
#[derive(Debug)]
pub struct Break<'a> {
    /// The request.
    pub request: RequestId,
    /// Who.
    pub person: &'a PersonId,
    /// By which account.
    pub account: &'a Account,
    /// Why; redacted.
    pub reason: &'a str,
    /// By what it is known that it is they.
    pub proof: Proof,
    /// By which line.
    pub line: InboxId,
}

/// What came of it.
#[derive(Debug)]
pub enum BreakOutcome {
    /// The run may start, and a review is owed.
    Broken,
    /// It changes nothing.
    Refused {
        /// Why.
        why: BreakRefusal,
        /// The request.
        request: Box<Request>,
        /// Who could answer it now.
        asked: Vec<PersonId>,
    },
}

/// Why it changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakRefusal {
    /// The request no longer waits.
    Late,
    /// Not all of it has been posted: one cannot answer for what one cannot have seen.
    NotPosted,
    /// The policy lets nobody.
    Nobody,
    /// The policy lets others.
    NotYou {
        /// Whom.
        who: Vec<PersonId>,
    },
    /// A stage wants a passkey, and so does this.
    StepUpNeeded,
    /// Nobody would be left who may review it.
    NobodyToReview,
    /// It is about a stuck step: what becomes of that is never decided by one alone (I3).
    NotForThis,
}

/// Starts a run without the agreement that its policy wants. Everything is in the transaction, with its events.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn break_glass(tx: &mut Tx, catalog: &Catalog, wanted: Break<'_>) -> Result<BreakOutcome> {
    let Break { request, person, account, reason, proof, line } = wanted;
    let file = File::lock(tx, catalog, request, Seen::Posted).await?;
    let now = tx.now();
    let why = refusal(&file, catalog, person, account, &proof, now);
    let rules = match (&file.policy.break_glass, why) {
        (Some(rules), None) => rules.clone(),
        (_, why) => {
            let asked = who(&file.case(), catalog, now);
            let why = why.unwrap_or(BreakRefusal::Nobody);
            return Ok(BreakOutcome::Refused { why, request: Box::new(file.request), asked });
        }
    };
    let review_by = now + span(rules.review_within())?;
    tx.insert_break(NewBreak {
        request: file.request.id,
        run: file.run.id,
        by: person,
        account,
        proof: &proof,
        line,
        reason,
        due_at: review_by,
    })
    .await?;
    let what = Happened::GlassBroken {
        request: file.request.id,
        code: file.request.code,
        run: file.run.id,
        person: person.clone(),
        account: account.clone(),
        proof,
        reason: reason.to_owned(),
        own: file.requesters.contains(person),
        skipped: skipped(&file, catalog, person, now),
        review_by,
    };
    tx.record(event(&file.run, Some(line), what, vec![RowMark::review(file.request.id, "owed", 1)]));
    let (to, stage) = (RequestState::Granted, &file.request.state);
    if *stage == to {
        return Err(illegal("a request that was granted was granted again"));
    }
    grant(tx, &file, Agreement::default(), Some(person.clone()), line).await?;
    Ok(BreakOutcome::Broken)
}

fn refusal(
    file: &File,
    catalog: &Catalog,
    person: &PersonId,
    account: &Account,
    proof: &Proof,
    now: chrono::DateTime<chrono::Utc>,
) -> Option<BreakRefusal> {
    let waits = matches!(file.request.state, RequestState::Pending { .. });
    if !waits || now >= file.request.expires_at || file.run.state.clone().next(RunEvent::Granted).is_err() {
        return Some(BreakRefusal::Late);
    }
    if file.request.wanted != Wanted::Start {
        return Some(BreakRefusal::NotForThis);
    }
    let Some(rules) = &file.policy.break_glass else { return Some(BreakRefusal::Nobody) };
    let owner = catalog.person_of(account).is_some_and(|owner| owner.name == *person);
    if !owner || !catalog.includes(&rules.by, person) {
        return Some(BreakRefusal::NotYou { who: catalog.people_in(&rules.by).into_iter().collect() });
    }
    if file.request.posted_at.is_none() {
        return Some(BreakRefusal::NotPosted);
    }
    if !rules.accepts(&file.policy.stages, proof) {
        return Some(BreakRefusal::StepUpNeeded);
    }
    let review = Review { by: person, requesters: &file.requesters, system: None, state: ReviewState::Owed };
    reviewers(catalog, &rules.reviewed_by, &review).is_empty().then_some(BreakRefusal::NobodyToReview)
}

/// A review that is owed.
#[derive(Debug)]
pub struct Review<'a> {
    /// Who broke the glass.
    pub by: &'a PersonId,
    /// Who had asked.
    pub requesters: &'a [PersonId],
    /// The run's system as the catalog has it now.
    pub system: Option<&'a System>,
    /// Whether it is overdue.
    pub state: ReviewState,
}

/// Who may review that the glass was broken, by name: those whom the frozen policy names, but for whoever broke it and whoever
/// asked. Once it is overdue, and when those come to nobody any more, also whoever is accountable for the system; and if that is
/// nobody, those who may unstick its runs, so that what is owed can still be given.
pub fn reviewers(catalog: &Catalog, reviewed_by: &[Subject], review: &Review<'_>) -> Vec<PersonId> {
    let may = |person: &PersonId| person != review.by && !review.requesters.contains(person);
    let mut who: Vec<PersonId> = catalog.people_in(reviewed_by).into_iter().filter(may).collect();
    if who.is_empty() || review.state == ReviewState::Overdue {
        let accountable = review.system.and_then(|system| system.accountable.as_ref());
        let known = |person: &&PersonId| catalog.people.contains_key(*person) && may(person) && !who.contains(person);
        let more: Vec<PersonId> = accountable.filter(known).cloned().into_iter().collect();
        who.extend(more);
    }
    if who.is_empty() {
        let subjects = review.system.map(|system| system.may_unstick.as_slice()).unwrap_or_default();
        who.extend(catalog.people_in(subjects).into_iter().filter(may));
    }
    who.sort();
    who
}

/// Whose answer is not waited for: whoever was asked and has not agreed, and all whom later stages would have asked.
fn skipped(file: &File, catalog: &Catalog, breaker: &PersonId, now: chrono::DateTime<chrono::Utc>) -> Vec<PersonId> {
    let mut all: BTreeSet<PersonId> = who(&file.case(), catalog, now).into_iter().collect();
    for stage in 0..u32::try_from(file.policy.stages.len()).unwrap_or(u32::MAX) {
        let spent = file.spent(stage);
        let asked = whom_to_ask(&file.around(catalog, stage, &[], &spent, now));
        all.extend(asked.into_iter().map(|asked| asked.person));
    }
    let agreed = |person: &PersonId| {
        let yes = |given: &crate::model::approval::Given| {
            given.decision.person == *person && given.decision.answer == Answer::Approve
        };
        file.given.iter().any(yes)
    };
    all.into_iter().filter(|person| person != breaker && !agreed(person)).collect()
}

//! Starting without agreement, and what others say of that: `break glass because …`, `review 7K3F fine because …`, `reviews`.

use super::super::turn::{Turn, plan_of};
use super::step_up::{Meant, meant};
use super::{decide, look, step_up};
use crate::approval::{self, Break, BreakOutcome, BreakRefusal};
use crate::model::code::Code;
use crate::model::event::{Happened, NewEvent, Record, RowMark};
use crate::model::request::{OnPage, ReviewVerdict};
use crate::store::{Purpose, Result, ReviewState};
use crate::text;

pub(super) async fn command_break_glass(turn: &mut Turn<'_>, code: Option<Code>, reason: &str) -> Result<()> {
    let Some(Meant { request, proof }) = meant(turn, code, OnPage::BreakGlass).await? else { return Ok(()) };
    let reason = turn.in_use.secrets.redact(reason);
    let (in_use, person, account) = (turn.in_use.clone(), turn.person.clone(), turn.incoming.account.clone());
    let wanted = Break { request, person: &person, account: &account, reason: &reason, proof, line: turn.line };
    match approval::break_glass(&mut turn.tx, &in_use.catalog, wanted).await? {
        // Echoed from the ledger.
        BreakOutcome::Broken => {}
        BreakOutcome::Refused { why, request, asked } => match why {
            BreakRefusal::Late => decide::late(turn, &request).await?,
            BreakRefusal::NotPosted => turn.refuse(text::answer::not_posted(&request.code)),
            BreakRefusal::Nobody => turn.refuse(text::review::nobody_may(&request.code, &asked)),
            BreakRefusal::NotYou { who } => {
                turn.refuse(text::review::may_not_break(&person, &request.code, &who, &asked))
            }
            BreakRefusal::StepUpNeeded => {
                step_up::ask_for_passkey(turn, &request, Purpose::BreakGlass, Some(&reason)).await?;
            }
            BreakRefusal::NobodyToReview => turn.refuse(text::review::nobody_to_review(&person, &request.code, &asked)),
            BreakRefusal::NotForThis => turn.refuse(text::review::not_for_this(&request.code, &asked)),
        },
    }
    Ok(())
}

pub(super) async fn command_review(
    turn: &mut Turn<'_>,
    code: &Code,
    verdict: ReviewVerdict,
    reason: &str,
) -> Result<()> {
    let found = turn.tx.find_request_by_code(code).await?;
    let Some(request) = found.filter(|request| turn.rooms().contains(&request.room)) else {
        turn.refuse(text::answer::no_such_code(code));
        return Ok(());
    };
    let Some(review) = turn.tx.lock_review(request.id).await? else {
        turn.refuse(text::review::nothing_owed(code));
        return Ok(());
    };
    let Some(run) = turn.tx.find_run(request.run).await? else {
        turn.refuse(text::answer::no_such_code(code));
        return Ok(());
    };
    let plan = plan_of(&run)?;
    let subjects = plan.policy.and_then(|policy| policy.break_glass).map(|rules| rules.reviewed_by).unwrap_or_default();
    let requesters = approval::requesters_now(&request, &run, turn.catalog());
    let (requesters, system) = (requesters.as_slice(), turn.system_of(&run));
    let owed = approval::Review { by: &review.by, requesters, system, state: review.state };
    let who = approval::reviewers(turn.catalog(), &subjects, &owed);
    if review.state == ReviewState::Done {
        turn.refuse(text::review::done_already(code));
        return Ok(());
    }
    if !who.contains(&turn.person) {
        turn.refuse_right(text::review::may_not_review(&turn.person, code, &who), &subjects);
        return Ok(());
    }
    let words = turn.in_use.secrets.redact(reason);
    let by = turn.person.clone();
    let version = turn.tx.set_reviewed(&review, &by, verdict, &words).await?;
    turn.acts_in(&run.room);
    let scope = run.scope();
    let what = Happened::Reviewed { request: request.id, code: request.code, run: run.id, by, verdict, words };
    let rows = vec![RowMark::review(request.id, "done", version)];
    // Echoed from the ledger.
    turn.tx.record(NewEvent { scope, cause: Some(turn.line), record: Record { what, rows } });
    Ok(())
}

pub(super) async fn command_reviews(turn: &mut Turn<'_>) -> Result<()> {
    let rooms = turn.rooms();
    let mut list = Vec::new();
    for review in turn.tx.list_reviews_owed().await? {
        let Some(run) = turn.tx.find_run(review.run).await? else { continue };
        let Some(request) = turn.tx.find_request(review.request).await? else { continue };
        if !rooms.contains(&run.room) || !look::may_see(turn, &run) {
            continue;
        }
        let plan = plan_of(&run)?;
        let now = turn.tx.now();
        let (at, due) = (turn.app.times.at(review.at, now), turn.app.times.until(review.due_at, now));
        list.push(text::review::owed(
            &plan,
            &request.code,
            &review.by,
            &review.reason,
            &at,
            &due,
            now >= review.due_at,
        ));
    }
    turn.answer_list("reviews", text::review::list(&list));
    Ok(())
}

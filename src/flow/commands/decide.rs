//! Deciding: `approved`, `deny because …`, `withdraw`, `send back because …`, `revoke`, and what only sounds like it.

use std::collections::BTreeSet;

use super::super::request::{self, stage};
use super::super::turn::{Turn, plan_of};
use super::step_up::{Meant, meant};
use super::{look, step_up};
use crate::approval::{self, BackOutcome, Decide, DecideOutcome, End, EndOutcome, Ending, Refused, Seen};
use crate::engine;
use crate::model::approval::Refusal;
use crate::model::catalog::Subject;
use crate::model::chat::{Addressed, Said};
use crate::model::code::Code;
use crate::model::event::{Happened, NewEvent, Record};
use crate::model::id::{PersonId, RequestId};
use crate::model::request::{Answer, OnPage, RequestState};
use crate::model::run::RunState;
use crate::store::{Purpose, Request, Result, Run, Whole};
use crate::text;

/// For how long a decision without a code may mean what others have decided already.
const JUST_NOW: chrono::TimeDelta = chrono::TimeDelta::minutes(10);

pub(super) async fn command_approve(turn: &mut Turn<'_>, code: Option<Code>, reason: Option<String>) -> Result<()> {
    let reason = reason.map(|reason| turn.in_use.secrets.redact(&reason));
    decide(turn, code, Answer::Approve, reason).await
}

pub(super) async fn command_deny(turn: &mut Turn<'_>, code: Option<Code>, reason: Option<String>) -> Result<()> {
    let reason = reason.map(|reason| turn.in_use.secrets.redact(&reason));
    decide(turn, code, Answer::Deny, reason).await
}

async fn decide(turn: &mut Turn<'_>, code: Option<Code>, answer: Answer, reason: Option<String>) -> Result<()> {
    let Some(Meant { request, proof }) = meant(turn, code, answer.into()).await? else { return Ok(()) };
    let in_use = turn.in_use.clone();
    let (person, account) = (turn.person.clone(), turn.incoming.account.clone());
    let said = reason.clone();
    let asked = Decide {
        request,
        person: &person,
        account: &account,
        answer,
        reason,
        proof,
        line: turn.line,
        seen: Seen::Posted,
    };
    match approval::decide(&mut turn.tx, &in_use.catalog, asked).await? {
        // The room reads the receipt, who denied and why, or who is asked next, as an echo of the ledger.
        DecideOutcome::Granted
        | DecideOutcome::Denied
        | DecideOutcome::Counted { stage: approval::StageOver::Yes, .. } => {}
        DecideOutcome::Counted { request, tally, against, stage: approval::StageOver::No } => {
            turn.answer(match answer {
                Answer::Approve => text::answer::counted(&person, &request.code, &tally),
                Answer::Deny => text::answer::denial_counted(&person, &request.code, against),
            });
        }
        DecideOutcome::Refused(refused) if refused.why == Refusal::StepUpNeeded => {
            step_up::ask_for_passkey(turn, &refused.request, Purpose::Decide, said.as_deref()).await?;
        }
        DecideOutcome::Refused(refused) => refuse(turn, *refused, answer).await?,
    }
    Ok(())
}

/// Says why an answer changes nothing, and what would.
pub(super) async fn refuse(turn: &mut Turn<'_>, refused: Refused, answer: Answer) -> Result<()> {
    let Refused { why, request, asked } = refused;
    let (person, code) = (turn.person.clone(), request.code);
    match (why, answer) {
        (Refusal::Late | Refusal::TooLate, _) => late(turn, &request).await?,
        (Refusal::NotPosted, _) => turn.refuse(text::answer::not_posted(&code)),
        (Refusal::OwnRequest, Answer::Deny) => turn.refuse(text::answer::own_denial(&person)),
        (Refusal::OwnRequest, Answer::Approve) => {
            let approvers = approvers(turn, &request).await?;
            turn.refuse_right(text::answer::own_request(&person, &asked), &approvers);
        }
        (Refusal::NotAsked, _) => {
            let approvers = approvers(turn, &request).await?;
            turn.refuse_right(text::answer::not_asked(&person, &code, &asked), &approvers);
        }
        (Refusal::RightLost, _) => {
            let approvers = approvers(turn, &request).await?;
            turn.refuse_right(text::answer::right_lost(&person, &code, &asked), &approvers);
        }
        (Refusal::Author, _) => turn.refuse(text::answer::author(&person, &code, &asked)),
        (Refusal::AlreadyDecided, _) => turn.refuse(text::answer::already_decided(&person, &code)),
        (Refusal::Contradicts, _) => turn.refuse(text::answer::contradicts(&person, &code, answer)),
        (Refusal::CountedBefore { stage }, _) => {
            turn.refuse(text::answer::counted_before(&person, &code, stage, &asked));
        }
        (Refusal::RightUsed { by }, _) => turn.refuse(text::answer::right_used(&person, &code, &by)),
        (Refusal::ReasonNeeded, _) => turn.refuse(text::answer::reason_needed(&code, answer)),
        // Of an answer, that leads to a page; nothing else wants a passkey.
        (Refusal::StepUpNeeded, _) => step_up::ask_for_passkey(turn, &request, Purpose::Decide, None).await?,
        // Whoever is asked has no answer here: they never gave one, or took it back already.
        (Refusal::NothingToTakeBack, _) if asked.contains(&person) => {
            turn.refuse(text::answer::nothing_of_yours(&person, &code));
        }
        (Refusal::NothingToTakeBack, _) => {
            turn.refuse(text::answer::not_yours_to_withdraw(&code, &request.requesters));
        }
    }
    Ok(())
}

/// Whom the frozen policy names in the stage that waits.
async fn approvers(turn: &mut Turn<'_>, request: &Request) -> Result<Vec<Subject>> {
    let Some(run) = turn.tx.find_run(request.run).await? else { return Ok(Vec::new()) };
    Ok(Turn::approvers(&plan_of(&run)?, stage(request)))
}

/// A late decision changes nothing, and is told so.
pub(super) async fn late(turn: &mut Turn<'_>, request: &Request) -> Result<()> {
    let given = turn.tx.list_decisions(request.id).await?;
    let agreed = given.iter().map(|stored| &stored.decision).filter(|decision| decision.answer == Answer::Approve);
    let by: Vec<String> =
        agreed.map(|decision| text::plan::answerer(&decision.person, decision.on_behalf_of.as_ref())).collect();
    let expired = turn.app.times.until(request.expires_at, turn.tx.now());
    let breaks = turn.tx.list_breaks(request.run).await?;
    if let Some((_, breaker)) =
        breaks.iter().find(|(of, _)| *of == request.id && request.state == RequestState::Granted)
    {
        let run = turn.tx.find_run(request.run).await?;
        let begins = run.is_some_and(|run| run.state == RunState::Approved);
        turn.refuse(text::review::broken_already(&request.code, breaker, begins));
        return Ok(());
    }
    let newer = match request.state {
        RequestState::Superseded { by } => turn.tx.find_request(by).await?.map(|newer| newer.code),
        _ => None,
    };
    let by = if by.is_empty() { None } else { Some(by.as_slice()) };
    turn.refuse(text::answer::late(&request.code, &request.state, by, newer.as_ref(), &expired));
    Ok(())
}

/// Finds the request that a decision means: the one with the code, or the one that this place makes plain. Refuses, and
/// returns `None`, when there is none or more than one.
pub(super) async fn bind(turn: &mut Turn<'_>, code: Option<Code>, word: &str) -> Result<Option<RequestId>> {
    if let Some(code) = code {
        let found = turn.tx.find_request_by_code(&code).await?;
        // A code of another room is nobody's business here. Said to the bot alone it is the business of whomever it
        // concerns.
        let mine = match found {
            Some(request) if request.room == *turn.room() => Some(request),
            Some(request) if turn.is_private() && concerns(turn, &request).await? => Some(request),
            Some(_) | None => None,
        };
        return Ok(match mine {
            Some(request) => {
                turn.acts_in(&request.room);
                Some(request.id)
            }
            None => {
                turn.refuse(text::answer::no_such_code(&code));
                None
            }
        });
    }
    if let Said::Line { address: Addressed::Direct, .. } = &turn.incoming.what
        && turn.is_private()
    {
        return bind_directly(turn, word).await;
    }
    let (room, thread) = (turn.room().clone(), turn.thread().cloned());
    let waiting = turn.tx.list_pending_in(&room, thread.as_ref()).await?;
    match waiting.as_slice() {
        [only] => Ok(Some(only.id)),
        [] => {
            // In a thread the word means the thread's request even when that has been decided: then it is late.
            // So it does in a room for as long as somebody may not have read yet what another has just decided.
            let newest = turn.tx.find_newest_request(&room, thread.as_ref(), None).await?;
            let newest = match newest {
                Some(request) if thread.is_none() && !was_decided_just_now(turn, &request, word).await? => None,
                newest => newest,
            };
            match newest {
                Some(request) => Ok(Some(request.id)),
                None => {
                    turn.refuse(text::answer::nothing_waits());
                    Ok(None)
                }
            }
        }
        several => {
            which(turn, several, word).await?;
            Ok(None)
        }
    }
}

/// As [`bind`], for words that judge a request. Without a code they mean what stood there when they were said: a line that
/// was long on its way does not decide what took that request's place meanwhile.
pub(super) async fn bind_read(turn: &mut Turn<'_>, code: Option<Code>, word: &str) -> Result<Option<RequestId>> {
    let Some(id) = bind(turn, code, word).await? else { return Ok(None) };
    if code.is_some() {
        return Ok(Some(id));
    }
    let Some(request) = turn.tx.find_request(id).await? else { return Ok(Some(id)) };
    // What has not been posted is answered as that; what waits no more decides nothing.
    let waits = matches!(request.state, RequestState::Pending { .. });
    let Some(posted_at) = request.posted_at.filter(|_| waits) else { return Ok(Some(id)) };
    let (room, said_at) = (turn.incoming.room.clone(), turn.incoming.said_at);
    let Said::Line { message, .. } = turn.incoming.what.clone() else { return Ok(Some(id)) };
    let shown = turn.tx.list_messages_showing(&request, &room).await?;
    let told: Vec<bool> = shown.iter().filter_map(|shown| turn.app.precedes(&room, &message, shown)).collect();
    let before = if told.is_empty() { said_at < posted_at } else { told.contains(&true) };
    if before {
        turn.refuse(text::answer::said_before(word, &request.code));
        return Ok(None);
    }
    Ok(Some(id))
}

/// Whether people decided a request in the last minutes, so that another decision is likely to have meant it.
async fn was_decided_just_now(turn: &mut Turn<'_>, request: &Request, word: &str) -> Result<bool> {
    let decides = [OnPage::Approve, OnPage::Deny].map(OnPage::words).contains(&word);
    let by_people = matches!(request.state, RequestState::Granted | RequestState::Denied { .. });
    if !decides || !by_people {
        return Ok(false);
    }
    let last = turn.tx.list_decisions(request.id).await?.into_iter().map(|stored| stored.at).max();
    Ok(last.is_some_and(|last| turn.tx.now() - last < JUST_NOW))
}

async fn which(turn: &mut Turn<'_>, several: &[Request], word: &str) -> Result<()> {
    let mut list = Vec::new();
    for request in several {
        let deed = match turn.tx.find_run(request.run).await? {
            Some(run) => request::deed(turn.app, turn.tx.now(), &plan_of(&run)?, request),
            None => String::new(),
        };
        list.push((request.code, deed));
    }
    turn.refuse(text::answer::which_request(word, &list));
    Ok(())
}

/// Whether the speaker could answer a request now.
async fn is_asked(turn: &mut Turn<'_>, request: &Request) -> Result<bool> {
    Ok(turn.asked_now(request).await?.contains(&turn.person))
}

/// Whether a request of another room is the speaker's to speak of: who asked, who is asked, who may look.
async fn concerns(turn: &mut Turn<'_>, request: &Request) -> Result<bool> {
    if request.requesters.contains(&turn.person) {
        return Ok(true);
    }
    let Some(run) = turn.tx.find_run(request.run).await? else { return Ok(false) };
    Ok(is_asked(turn, request).await? || look::may_see(turn, &run))
}

/// The requests that were shown in the speaker's direct messages and ask them now, or that the thread there is about.
pub(super) async fn shown_directly(turn: &mut Turn<'_>) -> Result<Vec<(Request, Whole)>> {
    let Some(direct) = turn.app.direct(&turn.incoming.account) else { return Ok(Vec::new()) };
    let thread = turn.thread().cloned();
    let shown = turn.tx.list_shown_directly(&direct, thread.as_ref()).await?;
    if thread.is_some() {
        return Ok(shown);
    }
    let mut mine = Vec::new();
    for (request, whole) in shown {
        if is_asked(turn, &request).await? {
            mine.push((request, whole));
        }
    }
    Ok(mine)
}

/// What a word without a code means in direct messages: a decision, the only request that was shown there and is confirmed
/// to stand there whole; a withdrawal, the only one that the speaker asked for.
async fn bind_directly(turn: &mut Turn<'_>, word: &str) -> Result<Option<RequestId>> {
    let shown: Vec<(Request, Whole)> = if word == "withdraw" && turn.thread().is_none() {
        let person = turn.person.clone();
        turn.tx.list_pending_of(&person).await?.into_iter().map(|request| (request, Whole::Yes)).collect()
    } else {
        shown_directly(turn).await?
    };
    match shown.as_slice() {
        [] => {
            turn.refuse(text::answer::nothing_waits_directly());
            Ok(None)
        }
        [(request, Whole::Yes)] => {
            turn.acts_in(&request.room);
            Ok(Some(request.id))
        }
        [(request, Whole::No)] => {
            turn.refuse(text::answer::not_posted(&request.code));
            Ok(None)
        }
        several => {
            let several: Vec<Request> = several.iter().map(|(request, _)| request.clone()).collect();
            which(turn, &several, word).await?;
            Ok(None)
        }
    }
}

/// Takes back what is the speaker's: the request, if they asked for it, or their answer to it.
pub(super) async fn command_withdraw(turn: &mut Turn<'_>, code: Option<Code>) -> Result<()> {
    let Some(id) = bind(turn, code, "withdraw").await? else { return Ok(()) };
    let request = turn.tx.lock_request(id).await?;
    let in_use = turn.in_use.clone();
    let requesters = match turn.tx.find_run(request.run).await? {
        Some(run) => approval::requesters_now(&request, &run, &in_use.catalog),
        None => request.requesters.clone(),
    };
    if !requesters.contains(&turn.person) {
        let (person, account) = (turn.person.clone(), turn.incoming.account.clone());
        return match approval::take_back(&mut turn.tx, &in_use.catalog, id, &person, &account, turn.line).await? {
            BackOutcome::Done => {
                turn.answer(text::answer::answer_taken_back(&person, &request.code));
                Ok(())
            }
            BackOutcome::Refused(refused) => refuse(turn, *refused, Answer::Approve).await,
        };
    }
    let end = End { request: id, ending: Ending::Withdrawn(turn.person.clone()), line: Some(turn.line) };
    match approval::end(&mut turn.tx, end).await? {
        // Echoed from the ledger.
        EndOutcome::Ended => {}
        EndOutcome::NotWaiting(request) => late(turn, &request).await?,
    }
    Ok(())
}

pub(super) async fn command_send_back(turn: &mut Turn<'_>, code: Option<Code>, reason: &str) -> Result<()> {
    let Some(id) = bind_read(turn, code, "send back").await? else { return Ok(()) };
    let reason = turn.in_use.secrets.redact(reason);
    let (in_use, person) = (turn.in_use.clone(), turn.person.clone());
    match approval::send_back(&mut turn.tx, &in_use.catalog, id, &person, reason, turn.line).await? {
        // Echoed from the ledger.
        BackOutcome::Done => Ok(()),
        BackOutcome::Refused(refused) => refuse(turn, *refused, Answer::Deny).await,
    }
}

/// Takes an approval away, as long as nothing has begun under it: whoever agreed may, and whoever was asked and still may
/// agree.
pub(super) async fn command_revoke(turn: &mut Turn<'_>, code: Option<Code>, reason: Option<String>) -> Result<()> {
    let Some(request) = find_granted(turn, code).await? else { return Ok(()) };
    let run = turn.tx.find_run(request.run).await?;
    let Some(run) = run.filter(|_| request.state == RequestState::Granted) else {
        turn.refuse(text::answer::nothing_to_revoke(&request.code, &request.state, request.run));
        return Ok(());
    };
    if run.state != RunState::Approved {
        let began = !turn.tx.list_attempts(run.id).await?.is_empty();
        turn.refuse(match &run.state {
            RunState::Stopped { by } if !began => text::answer::ended_before(&request.code, run.id, by),
            state => text::answer::begun_already(&request.code, run.id, state),
        });
        return Ok(());
    }
    let who = who_may_revoke(turn, &request, &run).await?;
    if !who.contains(&turn.person) {
        let who: Vec<PersonId> = who.into_iter().collect();
        turn.refuse(text::answer::may_not_revoke(&turn.person, &request.code, &who));
        return Ok(());
    }
    let reason = reason.map(|reason| turn.in_use.secrets.redact(&reason));
    let revoke = engine::Revoke { run: run.id, code: request.code, by: &turn.person.clone(), why: reason };
    match engine::revoke(&mut turn.tx, revoke, turn.line).await? {
        // Echoed from the ledger.
        engine::RevokeOutcome::Revoked => {}
        engine::RevokeOutcome::Begun(run) => {
            turn.refuse(text::answer::begun_already(&request.code, run.id, &run.state));
        }
    }
    Ok(())
}

/// Who may take an approval away: whoever agreed, and whoever was asked and still may agree; of the approval that covers the
/// run, if it is an earlier one. Where nobody was asked, whoever would have been first.
async fn who_may_revoke(turn: &mut Turn<'_>, request: &Request, run: &Run) -> Result<BTreeSet<PersonId>> {
    let grants = turn.tx.lock_grants(&[run.id]).await?;
    let of_this = grants.iter().find(|grant| grant.request == request.id);
    let decided = of_this.and_then(|grant| grant.under.as_ref()).map_or(request.id, |under| under.request);
    let in_use = turn.in_use.clone();
    if turn.tx.list_asked(decided).await?.is_empty() && turn.tx.list_decisions(decided).await?.is_empty() {
        let plan = plan_of(run)?;
        let first = plan.policy.as_ref().and_then(|policy| policy.stages.first());
        let mut who = first.map(|stage| in_use.catalog.people_in(&stage.approvers)).unwrap_or_default();
        let requesters = approval::requesters_now(request, run, &in_use.catalog);
        who.retain(|person| !requesters.contains(person));
        return Ok(who);
    }
    approval::who_may_revoke(&mut turn.tx, &in_use.catalog, decided).await
}

/// Ends an approval that covers further runs. What has started under it goes on.
pub(super) async fn command_take_back(turn: &mut Turn<'_>, code: &Code) -> Result<()> {
    let found = turn.tx.find_request_by_code(code).await?;
    let room = turn.room().clone();
    // It is offered wherever a run stands that it covers.
    let here = match found {
        Some(request) if turn.tx.covers_run_in(request.id, &room).await? => Some(request.id),
        Some(_) | None => None,
    };
    let id = match here {
        Some(id) => id,
        None => match bind(turn, Some(*code), "take back").await? {
            Some(id) => id,
            None => return Ok(()),
        },
    };
    let request = turn.tx.lock_request(id).await?;
    let Some(run) = turn.tx.find_run(request.run).await? else { return Ok(()) };
    let who = who_may_revoke(turn, &request, &run).await?;
    if !who.contains(&turn.person) {
        let who: Vec<PersonId> = who.into_iter().collect();
        turn.refuse(text::repeat::may_not_take_back(&turn.person, code, &who));
        return Ok(());
    }
    let by = turn.person.clone();
    let Some(cover) = turn.tx.end_cover(request.id, &by).await? else {
        turn.refuse(text::repeat::nothing_in_force(code));
        return Ok(());
    };
    let scope = run.scope();
    // Echoed from the ledger.
    let what = Happened::CoverEnded { request: request.id, code: request.code, run: run.id, by, used: cover.used };
    turn.tx.record(NewEvent { scope, cause: Some(turn.line), record: Record { what, rows: Vec::new() } });
    Ok(())
}

/// The request whose approval a line is about: the one with the code, or the newest of this thread or room.
async fn find_granted(turn: &mut Turn<'_>, code: Option<Code>) -> Result<Option<Request>> {
    if code.is_some() {
        let Some(id) = bind(turn, code, "revoke").await? else { return Ok(None) };
        return Ok(Some(turn.tx.lock_request(id).await?));
    }
    let (room, thread) = (turn.room().clone(), turn.thread().cloned());
    let found = turn.tx.find_newest_request(&room, thread.as_ref(), None).await?;
    if found.is_none() {
        turn.refuse(text::answer::nothing_is_approved());
    }
    Ok(found)
}

/// What a line that decides nothing sounded like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flow) enum Near {
    Yes,
    No,
}

/// Somebody who is asked said something that sounds like an answer: they alone are told what to send. To everybody else
/// it is talk.
pub(in crate::flow) async fn near(turn: &mut Turn<'_>, near: Near) -> Result<()> {
    turn.outcome = crate::store::LineOutcome::Talk;
    let (room, thread) = (turn.room().clone(), turn.thread().cloned());
    let mut mine = Vec::new();
    let waiting = if turn.is_private() {
        shown_directly(turn).await?.into_iter().map(|(request, _)| request).collect()
    } else {
        turn.tx.list_pending_in(&room, thread.as_ref()).await?
    };
    for request in waiting {
        if !matches!(request.state, RequestState::Pending { .. }) {
            continue;
        }
        if is_asked(turn, &request).await? {
            mine.push(request.code);
        }
    }
    let code = match mine.as_slice() {
        [] => return Ok(()),
        [_] => None,
        // With several waiting the bare word would only be asked back.
        [first, ..] => Some(*first),
    };
    turn.refuse_privately(match near {
        Near::Yes => text::answer::near_yes(code.as_ref()),
        Near::No => text::answer::near_no(code.as_ref()),
    });
    Ok(())
}

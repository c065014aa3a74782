//! Deciding: `approved`, `deny because …`, `withdraw`, and what only sounds like it.

use super::super::turn::{Turn, plan_of};
use crate::approval::{self, Decide, DecideOutcome, End, EndOutcome, Ending};
use crate::model::code::Code;
use crate::model::id::{PersonId, RequestId};
use crate::model::request::{Answer, RequestState};
use crate::store::{Request, Result};
use crate::text;

pub(super) async fn command_approve(turn: &mut Turn<'_>, code: Option<Code>) -> Result<()> {
    decide(turn, code, Answer::Approve, None).await
}

pub(super) async fn command_deny(turn: &mut Turn<'_>, code: Option<Code>, reason: Option<String>) -> Result<()> {
    let reason = reason.map(|reason| turn.in_use.secrets.redact(&reason));
    decide(turn, code, Answer::Deny, reason).await
}

async fn decide(turn: &mut Turn<'_>, code: Option<Code>, answer: Answer, reason: Option<String>) -> Result<()> {
    let word = match answer {
        Answer::Approve => "approve",
        Answer::Deny => "deny",
    };
    let Some(request) = bind(turn, code, word).await? else { return Ok(()) };
    let in_use = turn.in_use.clone();
    let (person, account) = (turn.person.clone(), turn.incoming.account.clone());
    let asked = Decide { request, person: &person, account: &account, answer, reason, line: turn.line };
    match approval::decide(&mut turn.tx, &in_use.catalog, asked).await? {
        // The room reads the receipt, or who denied and why, as an echo of the ledger.
        DecideOutcome::Granted | DecideOutcome::Denied => {}
        DecideOutcome::Counted { request, missing } => {
            turn.answer(text::answer::counted(&person, &request.code, missing));
        }
        DecideOutcome::OwnRequest(request, plan) => {
            let asked = turn.asked(&plan, stage(&request), &request.requesters);
            match answer {
                Answer::Approve => {
                    let approvers = Turn::approvers(&plan, stage(&request));
                    turn.refuse_right(text::answer::own_request(&person, &asked), &approvers);
                }
                Answer::Deny => turn.refuse(text::answer::own_denial(&person)),
            }
        }
        DecideOutcome::NotAsked(request, plan) => {
            let asked = turn.asked(&plan, stage(&request), &request.requesters);
            let approvers = Turn::approvers(&plan, stage(&request));
            turn.refuse_right(text::answer::not_asked(&person, &request.code, &asked), &approvers);
        }
        DecideOutcome::AlreadyDecided(request) => {
            turn.refuse(text::answer::already_decided(&person, &request.code));
        }
        DecideOutcome::Late(request) | DecideOutcome::TooLate(request) => late(turn, &request).await?,
        DecideOutcome::NotPosted(request) => turn.refuse(text::answer::not_posted(&request.code)),
    }
    Ok(())
}

/// A late decision changes nothing, and is told so.
async fn late(turn: &mut Turn<'_>, request: &Request) -> Result<()> {
    let by: Vec<PersonId> = turn
        .tx
        .list_decisions(request.id)
        .await?
        .into_iter()
        .filter(|stored| stored.decision.answer == Answer::Approve)
        .map(|stored| stored.decision.person)
        .collect();
    let expired = turn.app.times.until(request.expires_at, turn.tx.now());
    let by = if by.is_empty() { None } else { Some(by.as_slice()) };
    turn.refuse(text::answer::late(&request.code, &request.state, by, &expired));
    Ok(())
}

fn stage(request: &Request) -> u32 {
    match request.state {
        RequestState::Pending { stage } => stage,
        _ => 0,
    }
}

/// Finds the request that a decision means: the one with the code, or the one that this place makes plain. Refuses, and
/// returns `None`, when there is none or more than one.
async fn bind(turn: &mut Turn<'_>, code: Option<Code>, word: &str) -> Result<Option<RequestId>> {
    if let Some(code) = code {
        let found = turn.tx.find_request_by_code(&code).await?;
        // A code of another room is nobody's business here.
        return match found.filter(|request| request.room == *turn.room()) {
            Some(request) => Ok(Some(request.id)),
            None => {
                turn.refuse(text::answer::no_such_code(&code));
                Ok(None)
            }
        };
    }
    let (room, thread) = (turn.room().clone(), turn.thread().cloned());
    let waiting = turn.tx.list_pending_in(&room, thread.as_ref()).await?;
    match waiting.as_slice() {
        [only] => Ok(Some(only.id)),
        [] => {
            // In a thread the word means the thread's request even when that has been decided: then it is late.
            let newest = match &thread {
                Some(thread) => turn.tx.find_newest_request(&room, Some(thread), None).await?,
                None => None,
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
            let mut list = Vec::new();
            for request in several {
                let deed = match turn.tx.find_run(request.run).await? {
                    Some(run) => text::plan::asked_deed(&plan_of(&run)?, run.id, request.retry_step),
                    None => String::new(),
                };
                list.push((request.code, deed));
            }
            turn.refuse(text::answer::which_request(word, &list));
            Ok(None)
        }
    }
}

pub(super) async fn command_withdraw(turn: &mut Turn<'_>, code: Option<Code>) -> Result<()> {
    let Some(id) = bind(turn, code, "withdraw").await? else { return Ok(()) };
    let request = turn.tx.lock_request(id).await?;
    if !request.requesters.contains(&turn.person) {
        turn.refuse(text::answer::not_yours_to_withdraw(&request.code, &request.requesters));
        return Ok(());
    }
    let end = End { request: id, ending: Ending::Withdrawn(turn.person.clone()), line: Some(turn.line) };
    match approval::end(&mut turn.tx, end).await? {
        // Echoed from the ledger.
        EndOutcome::Ended => {}
        EndOutcome::NotWaiting(request) => late(turn, &request).await?,
    }
    Ok(())
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
    for request in turn.tx.list_pending_in(&room, thread.as_ref()).await? {
        let Some(run) = turn.tx.find_run(request.run).await? else { continue };
        let plan = plan_of(&run)?;
        if turn.asked(&plan, stage(&request), &request.requesters).contains(&turn.person) {
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

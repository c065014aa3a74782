//! One handler for each command: rights, then the deed, then the answer.

mod access;
pub(super) mod ask;
mod automation;
mod break_glass;
mod decide;
mod delegate;
mod handover;
mod incident;
mod look;
mod looking;
mod step_up;
mod unstick;

use super::turn::Turn;
use crate::command::Command;
use crate::model::chat::Said;
use crate::store::{LineOutcome, Result};
use crate::text;

pub(super) use access::who;
pub(super) use decide::{Near, near};
pub(super) use incident::offer;
pub(super) use look::{help, whoami};

/// Deals with a command.
pub(super) async fn run(turn: &mut Turn<'_>, command: Command) -> Result<()> {
    match command {
        Command::Ping => turn.answer(text::answer::pong()),
        Command::Help { topic } => {
            let said = help(turn.catalog(), &turn.person, topic.as_deref());
            turn.answer_list("help", said);
        }
        Command::WhoAmI => {
            let said = whoami(turn.catalog(), &turn.person, &turn.incoming.account);
            turn.answer(said);
        }
        Command::OnCall { of } => look::command_on_call(turn, of.as_ref()),
        Command::Is { service, check } => ask::command_is(turn, &service, check.as_ref()).await?,
        Command::Run { runbook, params, anew } => ask::command_run(turn, &runbook, &params, anew).await?,
        Command::Again => ask::command_again(turn).await?,
        Command::Approve { code, reason } => decide::command_approve(turn, code, reason).await?,
        Command::Deny { code, reason } => decide::command_deny(turn, code, reason).await?,
        Command::Delegate { to, until } => delegate::command_delegate(turn, to, until).await?,
        Command::Delegations => delegate::command_delegations(turn).await?,
        Command::EndDelegation { to } => delegate::command_end_delegation(turn, to).await?,
        Command::Handover { to, reason } => handover::command_handover(turn, to, reason).await?,
        Command::Taken { handover } => handover::command_taken(turn, handover).await?,
        Command::Looking { code } => looking::command_looking(turn, code).await?,
        Command::Withdraw { code } => decide::command_withdraw(turn, code).await?,
        Command::SendBack { code, reason } => decide::command_send_back(turn, code, &reason).await?,
        Command::BreakGlass { code, reason } => break_glass::command_break_glass(turn, code, &reason).await?,
        Command::Review { code, verdict, reason } => {
            break_glass::command_review(turn, &code, verdict, &reason).await?;
        }
        Command::TakeBack { code } => decide::command_take_back(turn, &code).await?,
        Command::Reviews => break_glass::command_reviews(turn).await?,
        Command::Revoke { code, reason } => decide::command_revoke(turn, code, reason).await?,
        Command::Stop { run } => unstick::command_stop(turn, run).await?,
        Command::Judge { run, verdict, reason } => unstick::command_judge(turn, run, verdict, &reason).await?,
        Command::Skip { run, reason } => unstick::command_skip(turn, run, &reason).await?,
        Command::Retry { run } => unstick::command_retry(turn, run).await?,
        Command::Requests => look::command_requests(turn).await?,
        Command::Show { what } => look::command_show(turn, what).await?,
        Command::Incidents => incident::command_incidents(turn).await?,
        Command::Open { system, title } => incident::command_open(turn, system, &title).await?,
        Command::Ack { incident } => incident::command_ack(turn, incident).await?,
        Command::Pause { reason } => automation::command_pause(turn, reason).await?,
        Command::Resume { trigger } => automation::command_resume(turn, trigger).await?,
        Command::Resolve { incident, reason } => incident::command_resolve(turn, incident, reason).await?,
        Command::Reopen { incident, reason } => incident::command_reopen(turn, incident, reason).await?,
        Command::Note { incident, text } => incident::command_note(turn, incident, &text).await?,
        Command::Happened { incident } => incident::command_happened(turn, incident).await?,
        Command::Status => incident::command_status(turn).await?,
        Command::Countersign { code } => access::command_countersign(turn, code).await?,
        Command::Refuse { code, reason } => access::command_refuse(turn, code, &reason).await?,
        Command::Access { shown } => access::command_access(turn, shown).await?,
        Command::Report { incident } => incident::command_report(turn, incident).await?,
    }
    // Whoever speaks to the bot alone does not see what another room is told. A button says it by itself: its message is
    // changed.
    let silent = turn.outcome == LineOutcome::Answered && turn.tx.answers().is_empty();
    let typed = matches!(turn.incoming.what, Said::Line { .. });
    if let (true, true, Some(room)) = (silent, typed, turn.told_in.clone()) {
        let room = turn.name_of(&room);
        turn.answer(text::answer::told_in(&room));
    }
    Ok(())
}

//! One handler for each command: rights, then the deed, then the answer.

pub(super) mod ask;
mod decide;
mod look;
mod unstick;

use super::turn::Turn;
use crate::command::Command;
use crate::store::Result;
use crate::text;

pub(super) use decide::{Near, near};
pub(super) use look::{help, whoami};

/// Deals with a command.
pub(super) async fn run(turn: &mut Turn<'_>, command: Command) -> Result<()> {
    match command {
        Command::Ping => turn.answer(text::answer::pong()),
        Command::Help { topic } => {
            let said = help(turn.catalog(), &turn.person, topic.as_deref());
            turn.answer(said);
        }
        Command::WhoAmI => {
            let said = whoami(turn.catalog(), &turn.person, &turn.incoming.account);
            turn.answer(said);
        }
        Command::Is { service, check } => ask::command_is(turn, &service, check.as_ref()).await?,
        Command::Run { runbook, params, anew } => ask::command_run(turn, &runbook, &params, anew).await?,
        Command::Again => ask::command_again(turn).await?,
        Command::Approve { code } => decide::command_approve(turn, code).await?,
        Command::Deny { code, reason } => decide::command_deny(turn, code, reason).await?,
        Command::Withdraw { code } => decide::command_withdraw(turn, code).await?,
        Command::Stop { run } => unstick::command_stop(turn, run).await?,
        Command::Judge { run, verdict, reason } => unstick::command_judge(turn, run, verdict, &reason).await?,
        Command::Retry { run } => unstick::command_retry(turn, run).await?,
        Command::Requests => look::command_requests(turn).await?,
        Command::Show { what } => look::command_show(turn, what).await?,
    }
    Ok(())
}

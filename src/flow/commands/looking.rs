//! `looking`: somebody who is asked says that they are on it, and nobody else is woken for a while.

use super::super::turn::Turn;
use super::decide::{bind, late};
use crate::approval::{self, LookOutcome};
use crate::model::approval::Refusal;
use crate::model::code::Code;
use crate::store::{LineOutcome, Result};
use crate::text;

pub(super) async fn command_looking(turn: &mut Turn<'_>, code: Option<Code>) -> Result<()> {
    let (room, thread) = (turn.room().clone(), turn.thread().cloned());
    // A word that people say to each other: where nothing waits it is that.
    if code.is_none() && !turn.is_private() && turn.tx.list_pending_in(&room, thread.as_ref()).await?.is_empty() {
        turn.outcome = LineOutcome::Talk;
        return Ok(());
    }
    let Some(request) = bind(turn, code, "looking").await? else { return Ok(()) };
    let (in_use, person) = (turn.in_use.clone(), turn.person.clone());
    match approval::look(&mut turn.tx, &in_use.catalog, request, &person, turn.line).await? {
        LookOutcome::Until(until) => {
            let now = turn.tx.now();
            let said = match turn.tx.find_request(request).await? {
                Some(request) => {
                    let expires = turn.app.times.until(request.expires_at, now);
                    text::waking::looks(&person, &request.code, &turn.app.times.until(until, now), &expires)
                }
                None => String::new(),
            };
            turn.answer(said);
        }
        LookOutcome::Already(until) => {
            let until = turn.app.times.until(until, turn.tx.now());
            turn.refuse(text::waking::looks_already(&person, &until));
        }
        LookOutcome::Refused { why: Refusal::Late, request, .. } => late(turn, &request).await?,
        // Said by somebody who is not asked it is talk, unless they name the request.
        LookOutcome::Refused { .. } if code.is_none() => turn.outcome = LineOutcome::Talk,
        LookOutcome::Refused { request, asked, .. } => {
            turn.refuse(text::answer::not_asked(&person, &request.code, &asked));
        }
    }
    Ok(())
}

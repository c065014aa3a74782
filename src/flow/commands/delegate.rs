//! Letting somebody else answer for a while: `delegate`, `delegations`, `end delegation`.

use chrono::TimeDelta;

use super::super::turn::Turn;
use crate::approval::{self, Delegated};
use crate::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use crate::model::id::PersonId;
use crate::model::until::{Until, moment};
use crate::store::{DelegationRow, Result};
use crate::text;

/// For how many days at most somebody else may answer.
const MOST_DAYS: i64 = 30;

fn record(turn: &mut Turn<'_>, what: Happened, row: RowMark) {
    let record = Record { what, rows: vec![row] };
    turn.tx.record(NewEvent { scope: Scope::default(), cause: Some(turn.line), record });
}

pub(super) async fn command_delegate(turn: &mut Turn<'_>, to: PersonId, until: Until) -> Result<()> {
    let (giver, now) = (turn.person.clone(), turn.tx.now());
    if to == giver {
        turn.refuse(text::duties::to_oneself(&giver));
        return Ok(());
    }
    let most = now + TimeDelta::days(MOST_DAYS);
    let times = turn.app.times;
    let until = match moment(until, times.zone(), now) {
        Some(until) if until <= now => {
            turn.refuse(text::duties::past(&times.at(until, now)));
            return Ok(());
        }
        Some(until) if until <= most => until,
        far => {
            let far = far.map_or_else(|| "That".to_owned(), |far| times.at(far, now));
            turn.refuse(text::duties::too_long(&far, MOST_DAYS));
            return Ok(());
        }
    };
    // Two who let each other answer in the same instant: the second sees what the first did.
    turn.tx.lock_delegations().await?;
    let all = turn.tx.list_delegation_rows().await?;
    let back = all.iter().find(|row| row.delegation.giver == to && row.delegation.receiver == giver);
    if let Some(back) = back {
        let until = times.at(back.delegation.until, now);
        turn.refuse(text::duties::circle(&giver, &to, &until));
        return Ok(());
    }
    // A new end takes the place of the old one.
    for row in all.iter().filter(|row| row.delegation.giver == giver && row.delegation.receiver == to) {
        end(turn, row).await?;
    }
    let delegation = turn.tx.insert_delegation(&giver, &to, until, turn.line).await?;
    let (receiver, since) = (to.clone(), now);
    let mark = RowMark::delegation(delegation, "given", 1);
    record(turn, Happened::DelegationGiven { delegation, giver: giver.clone(), receiver, since, until }, mark);
    let in_use = turn.in_use.clone();
    let (mut asked, mut refused) = (Vec::new(), Vec::new());
    for request in turn.tx.list_asking(&giver).await? {
        match approval::ask_delegates(&mut turn.tx, &in_use.catalog, request, &giver, turn.line).await? {
            Delegated::Asked(code) => asked.push(code),
            Delegated::Refused(code) => refused.push(code),
            Delegated::Nothing => {}
        }
    }
    turn.answer(text::duties::delegated(&giver, &to, &times.at(until, now), &asked, &refused));
    Ok(())
}

async fn end(turn: &mut Turn<'_>, row: &DelegationRow) -> Result<()> {
    let version = turn.tx.end_delegation(row).await?;
    let (giver, receiver) = (row.delegation.giver.clone(), row.delegation.receiver.clone());
    let mark = RowMark::delegation(row.id, "ended", version);
    record(turn, Happened::DelegationEnded { delegation: row.id, giver, receiver }, mark);
    Ok(())
}

pub(super) async fn command_delegations(turn: &mut Turn<'_>) -> Result<()> {
    let now = turn.tx.now();
    let all = turn.tx.list_delegation_rows().await?;
    let line = |row: DelegationRow| {
        let until = turn.app.times.at(row.delegation.until, now);
        (row.delegation.giver, row.delegation.receiver, until)
    };
    let all: Vec<_> = all.into_iter().map(line).collect();
    turn.answer_list("delegations", text::duties::delegations(&all));
    Ok(())
}

pub(super) async fn command_end_delegation(turn: &mut Turn<'_>, to: Option<PersonId>) -> Result<()> {
    let giver = turn.person.clone();
    turn.tx.lock_delegations().await?;
    let mut mine = turn.tx.list_delegation_rows().await?;
    mine.retain(|row| row.delegation.giver == giver && to.as_ref().is_none_or(|to| row.delegation.receiver == *to));
    let mut receivers: Vec<PersonId> = mine.iter().map(|row| row.delegation.receiver.clone()).collect();
    receivers.sort();
    receivers.dedup();
    match receivers.len() {
        0 => turn.refuse(text::duties::no_delegation(&giver, to.as_ref())),
        1 => {
            for row in &mine {
                end(turn, row).await?;
            }
            turn.answer(text::duties::delegation_ended(&giver, &receivers));
        }
        _ => turn.refuse(text::duties::which_delegation(&receivers)),
    }
    Ok(())
}

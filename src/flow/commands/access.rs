//! Who may change who may do what: `countersign`, `refuse`, `access`.

use super::super::access::Countersigning;
use super::super::turn::Turn;
use crate::approval::{self, AccessAnswer, AccessOutcome, Countersigners};
use crate::command::AccessShown;
use crate::model::access::diff;
use crate::model::catalog::Catalog;
use crate::model::code::Code;
use crate::store::Result;
use crate::text;
use crate::text::access::Who;

/// Who may countersign, as sentences want it.
pub(in crate::flow) fn who<'a>(catalog: &Catalog, of: &'a Countersigners) -> Who<'a> {
    Who { named: catalog.access.is_some(), may: &of.may, gain: &of.gain, wrote: &of.wrote }
}

pub(super) async fn command_countersign(turn: &mut Turn<'_>, code: Code) -> Result<()> {
    answer(turn, code, None).await
}

pub(super) async fn command_refuse(turn: &mut Turn<'_>, code: Code, reason: &str) -> Result<()> {
    let reason = turn.in_use.secrets.redact(reason);
    answer(turn, code, Some(reason)).await
}

/// Where it is decided: in the room that is told, or alone with the bot. Without such a room, wherever people are.
fn here(turn: &Turn<'_>) -> std::result::Result<(), String> {
    let catalog = turn.catalog();
    let Some(access) = &catalog.access else { return Ok(()) };
    let is_the_room = catalog.rooms.get(&access.room).is_some_and(|room| room.address == *turn.room());
    if is_the_room || turn.is_private() { Ok(()) } else { Err(access.room.to_string()) }
}

async fn answer(turn: &mut Turn<'_>, code: Code, refuse: Option<String>) -> Result<()> {
    if turn.app.countersigning == Countersigning::AtOnce {
        turn.refuse(text::access::trial());
        return Ok(());
    }
    if let Err(room) = here(turn) {
        turn.refuse(text::access::elsewhere(&room));
        return Ok(());
    }
    let in_use = turn.in_use.clone();
    let (person, account) = (turn.person.clone(), turn.incoming.account.clone());
    let said = AccessAnswer { code, person: &person, account: &account, refuse, line: turn.line };
    let outcome = approval::countersign(&mut turn.tx, &in_use.catalog, said).await?;
    let catalog = &in_use.catalog;
    match outcome {
        // The room reads it as an echo of the ledger.
        AccessOutcome::Countersigned | AccessOutcome::Refused => {
            let room = catalog.access.as_ref().and_then(|access| catalog.rooms.get(&access.room));
            if let Some(room) = room {
                turn.acts_in(&room.address);
            }
        }
        AccessOutcome::NoSuchCode => turn.refuse(text::access::no_such_code(code)),
        AccessOutcome::Late(row) => turn.refuse(text::access::late(code, &row.state)),
        AccessOutcome::TooLate(row) => {
            let at = row.expires_at.unwrap_or(row.made_at);
            let until = turn.app.times.until(at, turn.tx.now());
            turn.refuse(text::access::too_late(code, &until));
        }
        AccessOutcome::NotAsked(of) => turn.refuse(text::access::not_asked(&person, code, &who(catalog, &of))),
        AccessOutcome::Gains(of) => turn.refuse(text::access::gains(&person, code, &who(catalog, &of))),
        AccessOutcome::Wrote(of) => turn.refuse(text::access::wrote(&person, code, &who(catalog, &of))),
        AccessOutcome::NotPosted => turn.refuse(text::access::not_posted(code)),
    }
    Ok(())
}

pub(super) async fn command_access(turn: &mut Turn<'_>, shown: AccessShown) -> Result<()> {
    if turn.app.countersigning == Countersigning::AtOnce {
        turn.answer(text::access::trial());
        return Ok(());
    }
    let standing = approval::access_standing(&turn.app.store).await?;
    let Some((current, waiting)) = standing else {
        turn.answer(text::access::trial());
        return Ok(());
    };
    let now = turn.tx.now();
    let in_use = turn.in_use.clone();
    let keepers = text::access::keepers(current.access.keepers.as_ref().map(|keepers| &keepers.by));
    let since = turn.app.times.at(current.made_at, now);
    let Some((row, code, expires_at)) =
        waiting.and_then(|row| Some((row.code?, row.expires_at?)).map(|(code, at)| (row, code, at)))
    else {
        turn.answer(text::access::standing(&since, &keepers, None));
        return Ok(());
    };
    let of = approval::countersigners(&current.access, &row, &in_use.catalog);
    let who = who(&in_use.catalog, &of);
    let until = turn.app.times.until(expires_at, now);
    let changes = diff(&current.access, &row.access);
    match shown {
        AccessShown::Short => {
            let waits = text::access::waits(code, changes.len(), &until, &who);
            turn.answer(text::access::standing(&since, &keepers, Some(&waits)));
        }
        AccessShown::Changes => {
            let author: Vec<_> = row.changed_by.iter().cloned().collect();
            let said = text::access::proposed(code, &until, &changes, &[], &author, &who);
            turn.answer_list("access", said);
        }
    }
    Ok(())
}

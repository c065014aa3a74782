//! Stopping what starts by itself, and letting it go on: `pause`, `resume`.
//!
//! Keeps I1 and I12: `pause` locks the row that every automatic start holds, and takes back what has been
//! granted and has not begun, in the same transaction. When it is answered, nothing starts by itself any more: no run, and
//! no further step of a run under way that may change something (`engine::commit` asks the same row).

use super::super::turn::Turn;
use crate::engine::{self, StopOutcome};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::System;
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::model::id::{PersonId, TriggerName};
use crate::store::{Automation, BrakeRow, Paused, Result};
use crate::text;

/// Those of them on which the speaker may pause automation; refuses if there is none.
fn may_pause(turn: &mut Turn<'_>, word: &str) -> Option<Vec<System>> {
    let here = turn.systems_here();
    if here.is_empty() {
        turn.refuse(text::automation::no_system_here(word));
        return None;
    }
    let may: Vec<System> =
        here.iter().filter(|system| allowed(turn.catalog(), &turn.person, Verb::Pause, system)).cloned().collect();
    if may.is_empty() {
        let subjects: Vec<_> = here.into_iter().flat_map(|system| system.may_pause).collect();
        let who: Vec<PersonId> = turn.catalog().people_in(&subjects).into_iter().collect();
        turn.refuse_right(text::automation::may_not(&turn.person, word, &who), &subjects);
        return None;
    }
    Some(may)
}

fn record(turn: &mut Turn<'_>, scope: Scope, what: Happened) {
    turn.tx.record(NewEvent { scope, cause: Some(turn.line), record: Record { what, rows: Vec::new() } });
}

pub(super) async fn command_pause(turn: &mut Turn<'_>, reason: Option<String>) -> Result<()> {
    if may_pause(turn, "pause").is_none() {
        return Ok(());
    }
    let read = turn.tx.lock_automation().await?;
    if let Some(paused) = &read.paused {
        let since = turn.app.times.at(paused.at, turn.tx.now());
        turn.refuse(text::automation::paused_already(&paused.by, &since));
        return Ok(());
    }
    let reason = reason.map(|reason| turn.in_use.secrets.redact(&reason));
    let by = turn.person.clone();
    let paused = Paused { by: by.clone(), at: turn.tx.now(), why: reason.clone() };
    turn.tx.put_automation(&read, Some(&paused)).await?;
    record(turn, Scope::default(), Happened::AutomationPaused { by: by.clone(), reason });
    for run in turn.tx.list_automatic_not_begun().await? {
        match engine::stop(&mut turn.tx, run, &by, turn.line).await? {
            // Echoed from the ledger.
            StopOutcome::Stopped | StopOutcome::Stopping | StopOutcome::Over(_) => {}
        }
    }
    // A step under way is not torn apart; the engine starts no further one of these.
    for run in turn.tx.list_automatic_under_way().await? {
        turn.answer(text::automation::goes_no_further(run));
    }
    Ok(())
}

pub(super) async fn command_resume(turn: &mut Turn<'_>, trigger: Option<TriggerName>) -> Result<()> {
    let Some(systems) = may_pause(turn, "resume") else { return Ok(()) };
    let of = |name: &TriggerName| {
        let trigger = turn.in_use.catalog.triggers.get(name)?;
        systems.iter().find(|system| system.name == trigger.on.system)
    };
    if let Some(name) = &trigger
        && of(name).is_none()
    {
        turn.refuse(text::automation::not_of_this_room(name));
        return Ok(());
    }
    let read = turn.tx.lock_automation().await?;
    let held = turn.tx.lock_held_brakes().await?;
    let of = |name: &TriggerName| {
        let trigger = turn.in_use.catalog.triggers.get(name)?;
        systems.iter().find(|system| system.name == trigger.on.system)
    };
    // A trigger that the catalog does not have any more is held for ever, and nobody is told of it.
    let held: Vec<(BrakeRow, System)> =
        held.into_iter().filter_map(|brake| of(&brake.trigger).cloned().map(|system| (brake, system))).collect();
    match trigger {
        Some(name) => resume_one(turn, &name, held, read.paused).await,
        None => resume_all(turn, &held, read).await,
    }
}

/// Takes back the pause. What has stopped itself did so for a reason of its own, and goes on by name only.
async fn resume_all(turn: &mut Turn<'_>, held: &[(BrakeRow, System)], read: Automation) -> Result<()> {
    let held: Vec<_> = held.iter().map(|(brake, _)| (brake.trigger.clone(), brake.service.clone())).collect();
    let still = text::automation::still_held(&held);
    if read.paused.is_none() {
        turn.refuse(match &still {
            Some(still) => text::automation::only_held(still),
            None => text::automation::nothing_to_resume(),
        });
        return Ok(());
    }
    turn.tx.put_automation(&read, None).await?;
    let by = turn.person.clone();
    record(turn, Scope::default(), Happened::AutomationResumed { by });
    if let Some(still) = still {
        turn.answer(still);
    }
    Ok(())
}

async fn resume_one(
    turn: &mut Turn<'_>,
    name: &TriggerName,
    held: Vec<(BrakeRow, System)>,
    paused: Option<Paused>,
) -> Result<()> {
    let meant: Vec<_> = held.into_iter().filter(|(brake, _)| brake.trigger == *name).collect();
    if meant.is_empty() {
        turn.refuse(text::automation::not_held(name));
        return Ok(());
    }
    if let Some(paused) = paused {
        turn.answer(text::automation::still_paused(&paused.by));
    }
    for (brake, system) in meant {
        release(turn, brake, system).await?;
    }
    Ok(())
}

/// Lets a held trigger go on: its counts begin anew, and a failure that is still there is looked at again.
async fn release(turn: &mut Turn<'_>, mut brake: BrakeRow, system: System) -> Result<()> {
    let now = turn.tx.now();
    (brake.held_by, brake.held_since, brake.held_why) = (None, None, None);
    (brake.counted_from, brake.again_at) = (Some(now), Some(now));
    turn.tx.put_brake(&brake).await?;
    let incident = turn.tx.find_unresolved_incident_of(&system.name, std::slice::from_ref(&brake.service)).await?;
    let scope =
        Scope { system: Some(system.name), environment: Some(system.environment), incident, ..Scope::default() };
    let by = turn.person.clone();
    record(turn, scope, Happened::TriggerReleased { trigger: brake.trigger, service: brake.service, by });
    Ok(())
}

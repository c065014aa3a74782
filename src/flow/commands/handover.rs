//! Handing over what one has asked for: `handover to lin`, `taken`.
//!
//! Keeps I7: whoever takes a request over counts as having asked for it, beside whoever did; neither may agree to it.

use super::super::handover::{FIRST_AGAIN, others};
use super::super::request;
use super::super::turn::{Turn, accounts, plan_of};
use crate::approval;
use crate::model::allowed::{Verb, allowed};
use crate::model::chat::{Message, RoomAddress};
use crate::model::code::Code;
use crate::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use crate::model::id::{HandoverId, PersonId, RequestId, RunId, ServiceName, ThreadId, TriggerName};
use crate::model::run::RunState;
use crate::store::{Handover, LineOutcome, NewHandover, NewMessage, Origin, Paused, Place, Result, Run, StoreError};
use crate::text;
use crate::text::duties::{Offer, Taken, Thing};

fn record(turn: &mut Turn<'_>, what: Happened, rows: Vec<RowMark>) {
    turn.tx.record(NewEvent { scope: Scope::default(), cause: Some(turn.line), record: Record { what, rows } });
}

/// What somebody has open.
struct Open {
    requests: Vec<RequestId>,
    codes: Vec<Code>,
    /// Requests that ask whoever is to take over.
    own: Vec<Code>,
    runs: Vec<RunId>,
    pause: bool,
    /// Each with its room, if it has one.
    things: Vec<(Option<RoomAddress>, Thing)>,
    /// What starts later and whoever is to take over may not ask for: it stays.
    stays: Vec<RunId>,
}

impl Open {
    /// The room of the first of them.
    fn room(&self) -> Option<RoomAddress> {
        self.things.iter().find_map(|(room, _)| room.clone())
    }

    /// What a room reads: of what is another's, that it is there and no more.
    fn told_in(&self, here: &RoomAddress) -> Vec<Thing> {
        let told = |(room, thing): &(Option<RoomAddress>, Thing)| match room {
            Some(room) if room != here => thing.elsewhere(),
            Some(_) | None => thing.clone(),
        };
        self.things.iter().map(told).collect()
    }
}

/// Whether a run starts later, and somebody could not have asked for it: at its time it would not be started for them.
fn stays(turn: &Turn<'_>, run: &Run, receiver: &PersonId) -> Result<bool> {
    let plan = plan_of(run)?;
    let may = turn.system_of(run).is_some_and(|system| allowed(turn.catalog(), receiver, Verb::Run, system));
    let begun = !matches!(run.state, RunState::Planned | RunState::AwaitingApproval | RunState::Approved);
    Ok(plan.not_before.is_some() && !begun && !may)
}

/// The triggers of somebody that have stopped themselves, each with its service.
async fn held(turn: &mut Turn<'_>, owner: &PersonId) -> Result<Vec<(TriggerName, ServiceName)>> {
    let mut held = Vec::new();
    for brake in turn.tx.lock_held_brakes().await? {
        if turn.catalog().triggers.get(&brake.trigger).is_some_and(|trigger| trigger.owner == *owner) {
            held.push((brake.trigger, brake.service));
        }
    }
    Ok(held)
}

async fn open(turn: &mut Turn<'_>, giver: &PersonId, receiver: &PersonId) -> Result<Open> {
    let now = turn.tx.now();
    let times = turn.app.times;
    let mut open = Open {
        requests: Vec::new(),
        codes: Vec::new(),
        own: Vec::new(),
        runs: turn.tx.list_runs_of(giver).await?,
        pause: false,
        things: Vec::new(),
        stays: Vec::new(),
    };
    for id in std::mem::take(&mut open.runs) {
        let Some(run) = turn.tx.find_run(id).await? else { continue };
        if stays(turn, &run, receiver)? { open.stays.push(id) } else { open.runs.push(id) }
    }
    let mut waits = Vec::new();
    for request in turn.tx.list_pending_of(giver).await? {
        let Some(run) = turn.tx.find_run(request.run).await? else { continue };
        if open.stays.contains(&run.id) || turn.tx.has_handed_over(&request, giver).await? {
            continue;
        }
        let plan = plan_of(&run)?;
        let asked = turn.asked_now(&request).await?;
        let deed = request::deed(turn.app, now, &plan, &request);
        let deed = format!("{} · {deed}", text::plan::environment(&plan));
        if asked.contains(receiver) {
            open.own.push(request.code);
        }
        let until = times.until(request.expires_at, now);
        open.things.push((Some(request.room), Thing::Request { code: request.code, deed, asked, until }));
        open.requests.push(request.id);
        open.codes.push(request.code);
        waits.push(run.id);
    }
    for run in open.runs.clone() {
        let Some(run) = turn.tx.find_run(run).await? else { continue };
        // Its request says it, unless the run is stuck as well.
        if waits.contains(&run.id) && !matches!(run.state, RunState::Stuck(_)) {
            continue;
        }
        let plan = plan_of(&run)?;
        let deed = format!("{} · {}", text::plan::environment(&plan), text::visible::visible(&plan.deed));
        open.things.push((Some(run.room), Thing::Run { run: run.id, deed, state: run.state }));
    }
    let automation = turn.tx.lock_automation().await?;
    if let Some(paused) = automation.paused.filter(|paused| paused.by == *giver) {
        open.pause = true;
        open.things.push((None, Thing::Pause { since: times.at(paused.at, now), why: paused.why }));
    }
    for (trigger, service) in held(turn, giver).await? {
        open.things.push((None, Thing::Held { trigger, service }));
    }
    Ok(open)
}

pub(super) async fn command_handover(turn: &mut Turn<'_>, to: PersonId, reason: Option<String>) -> Result<()> {
    let giver = turn.person.clone();
    if to == giver {
        turn.refuse(text::duties::handover_to_oneself(&giver));
        return Ok(());
    }
    // What was offered before is not offered any more: this takes its place.
    let before = turn.tx.lock_handovers().await?;
    let open = open(turn, &giver, &to).await?;
    if open.things.is_empty() {
        turn.refuse(match open.stays.as_slice() {
            [] => text::duties::nothing_to_hand_over(&giver),
            stays => text::duties::all_stays(&giver, &to, stays),
        });
        return Ok(());
    }
    for old in before.iter().filter(|old| old.giver == giver) {
        let version = turn.tx.end_handover(old, None).await?;
        let what = Happened::HandoverLapsed { handover: old.id, from: giver.clone(), to: old.receiver.clone() };
        record(turn, what, vec![RowMark::handover(old.id, "lapsed", version)]);
    }
    let reason = reason.map(|reason| turn.in_use.secrets.redact(&reason));
    let (room, thread): (RoomAddress, Option<ThreadId>) = match (turn.is_private(), open.room()) {
        // Whoever is to take it does not read what is said to the bot alone.
        (true, Some(room)) => (room, None),
        (true, None) => {
            let first = turn.catalog().rooms.values().next().map(|room| room.address.clone());
            (first.unwrap_or_else(|| turn.room().clone()), None)
        }
        (false, _) => (turn.answered.room.clone(), turn.answered.thread.clone()),
    };
    let new = NewHandover {
        giver: &giver,
        receiver: &to,
        reason: reason.as_deref(),
        requests: &open.requests,
        runs: &open.runs,
        pause: open.pause,
        room: &room,
        thread: thread.as_ref(),
        line: turn.line,
        remind_at: turn.tx.now() + FIRST_AGAIN,
    };
    let handover = turn.tx.insert_handover(new).await?;
    let what = Happened::HandoverOffered {
        handover,
        from: giver.clone(),
        to: to.clone(),
        reason: reason.clone(),
        requests: open.requests.clone(),
        codes: open.codes.clone(),
        runs: open.runs.clone(),
        pause: open.pause,
        room: room.clone(),
    };
    record(turn, what, vec![RowMark::handover(handover, "offered", 1)]);
    let things = open.told_in(&room);
    let said = text::duties::offered(&Offer {
        handover,
        giver: &giver,
        receiver: &to,
        reason: reason.as_deref(),
        things: &things,
        own: &open.own,
        stays: &open.stays,
    });
    let origin = Origin::Line(turn.line);
    for (index, text) in crate::chat::sender::split(&said, turn.app.limits(&room).text).into_iter().enumerate() {
        let mut message = Message::to_room(text);
        if index == 0 {
            message.ping = accounts(turn.catalog(), std::slice::from_ref(&to), &room);
        }
        let part = turn.tx.next_part(origin);
        turn.tx.say(NewMessage {
            room: room.clone(),
            place: thread.clone().map_or(Place::Room, Place::Thread),
            origin,
            part,
            cause: Some(turn.line),
            role: None,
            edits: false,
            message,
        });
    }
    if room != turn.answered.room {
        let name = turn.name_of(&room);
        turn.answer(text::duties::offered_in(&to, &name));
    }
    Ok(())
}

pub(super) async fn command_taken(turn: &mut Turn<'_>, handover: Option<HandoverId>) -> Result<()> {
    let person = turn.person.clone();
    let all = turn.tx.lock_handovers().await?;
    let Some(handover) = handover else {
        let mine: Vec<Handover> = all.into_iter().filter(|one| one.receiver == person).collect();
        return match mine.as_slice() {
            // Said where nothing is offered it is talk.
            [] if !turn.is_private() => {
                turn.outcome = LineOutcome::Talk;
                Ok(())
            }
            [] => {
                turn.refuse(text::duties::nothing_to_take(&person));
                Ok(())
            }
            [one] => take(turn, one).await,
            several => {
                let list: Vec<_> = several.iter().map(|one| (one.id, one.giver.clone())).collect();
                turn.refuse(text::duties::which_handover(&list));
                Ok(())
            }
        };
    };
    let Some(one) = all.into_iter().find(|one| one.id == handover) else {
        turn.refuse(text::duties::nothing_to_take(&person));
        return Ok(());
    };
    // Once nobody has taken it for a while, whoever was told of it as well may.
    let may = one.receiver == person
        || (one.reminded > 0
            && one.giver != person
            && others(&mut turn.tx, &turn.in_use.clone().catalog, &one).await?.contains(&person));
    if !may {
        turn.refuse(text::duties::not_offered_to(&person, one.id, &one.receiver, &one.giver));
        return Ok(());
    }
    take(turn, &one).await
}

async fn take(turn: &mut Turn<'_>, one: &Handover) -> Result<()> {
    let (from, by) = (one.giver.clone(), turn.person.clone());
    // First, as `pause` takes it: it goes on to runs from there.
    let read = turn.tx.lock_automation().await?;
    let mut codes = Vec::new();
    // Also what has been asked about the runs since they were offered: whoever takes a run over agrees to nothing of it.
    let mut requests = one.requests.clone();
    let (mut offered, mut left) = (Vec::new(), Vec::new());
    for id in &one.runs {
        let Some(run) = turn.tx.find_run(*id).await? else { continue };
        if *run.concerns() == from && stays(turn, &run, &by)? { left.push(run.id) } else { offered.push(run.id) }
    }
    for run in &left {
        let pending = turn.tx.find_pending_of_run(*run).await?;
        requests.retain(|request| pending.as_ref().is_none_or(|pending| pending.id != *request));
    }
    for run in &offered {
        requests.extend(turn.tx.find_pending_of_run(*run).await?.map(|request| request.id));
    }
    requests.sort();
    requests.dedup();
    for request in &requests {
        codes.extend(approval::hand_over(&mut turn.tx, *request, &from, &by, turn.line).await?);
    }
    let (mut runs, mut told) = (Vec::new(), Vec::new());
    for run in &offered {
        let run = turn.tx.lock_run(*run).await?;
        // Asked since it was looked for: whoever takes the run over would be left out of it. The turn is tried again.
        let pending = turn.tx.find_pending_of_run(run.id).await?;
        if pending.is_some_and(|request| !requests.contains(&request.id)) {
            let expected = "as it was read".to_owned();
            return Err(StoreError::Moved { row: format!("the request of run {}", run.id), expected });
        }
        // Somebody else may have taken it over in the meantime.
        if run.state.is_over() || *run.concerns() != from {
            continue;
        }
        turn.tx.set_run_handed_to(run.id, &by).await?;
        let scope = run.scope();
        let what = Happened::RunHandedOver { run: run.id, from: from.clone(), to: by.clone() };
        turn.tx.record(NewEvent { scope, cause: Some(turn.line), record: Record { what, rows: Vec::new() } });
        // Its request says it.
        if run.state != RunState::AwaitingApproval {
            told.push(run.id);
        }
        runs.push(run.id);
    }
    let pause = read.paused.clone().filter(|paused| one.pause && paused.by == from);
    if let Some(paused) = &pause {
        turn.tx.put_automation(&read, Some(&Paused { by: by.clone(), ..paused.clone() })).await?;
    }
    let version = turn.tx.end_handover(one, Some(&by)).await?;
    let what = Happened::HandoverTaken {
        handover: one.id,
        from: from.clone(),
        by: by.clone(),
        codes: codes.clone(),
        runs: runs.clone(),
        pause: pause.is_some(),
    };
    record(turn, what, vec![RowMark::handover(one.id, "taken", version)]);
    let held = held(turn, &from).await?;
    let taken = Taken { requests: &codes, runs: &told, pause: pause.is_some(), held: &held, left: &left };
    turn.answer(text::duties::taken(&by, &from, &taken));
    Ok(())
}

//! Handovers that nobody takes: said again, to more people, and at last told to whoever wanted to be rid of it.

use chrono::TimeDelta;

use super::App;
use super::turn::accounts;
use crate::chat::sender::split;
use crate::model::catalog::Catalog;
use crate::model::chat::Message;
use crate::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use crate::model::id::{HandoverId, PersonId, Position, SystemName};
use crate::store::{Handover, NewMessage, Origin, Place, StoreError, Tx};
use crate::text;

/// After how long it is said again.
pub(super) const FIRST_AGAIN: TimeDelta = TimeDelta::minutes(8);
/// After how long for the last time.
const LAST_AGAIN: TimeDelta = TimeDelta::minutes(25);
/// After how long it stays where it was.
const LAPSES: TimeDelta = TimeDelta::minutes(30);

/// Who can help when nobody takes over: those who may unstick the systems that it is about, and whoever is on call for them.
/// Neither of the two whom it concerns.
pub(super) async fn others(tx: &mut Tx, catalog: &Catalog, one: &Handover) -> Result<Vec<PersonId>, StoreError> {
    let mut systems = std::collections::BTreeSet::<SystemName>::new();
    for run in &one.runs {
        systems.extend(tx.find_run(*run).await?.map(|run| run.system));
    }
    for request in &one.requests {
        if let Some(request) = tx.find_request(*request).await? {
            systems.extend(tx.find_run(request.run).await?.map(|run| run.system));
        }
    }
    if systems.is_empty() {
        // A pause concerns every system of the room.
        let room = catalog.room_at(&one.room).map(|room| room.name.clone());
        let here = catalog.systems.values().filter(|system| Some(&system.room) == room.as_ref());
        systems.extend(here.map(|system| system.name.clone()));
    }
    let now = tx.now();
    let mut people = std::collections::BTreeSet::new();
    for system in systems.iter().filter_map(|name| catalog.systems.get(name)) {
        people.extend(catalog.people_in(&system.may_unstick));
        let rotas = catalog.rotas_of(system);
        people.extend(rotas.iter().filter_map(|rota| catalog.on_call(rota, now)).map(|shift| shift.person));
    }
    people.retain(|person| *person != one.giver && *person != one.receiver);
    Ok(people.into_iter().collect())
}

/// Looks at the handovers that are due, each alone.
pub(super) async fn look(app: &App) -> Result<(), StoreError> {
    for handover in app.store.list_handovers_due().await? {
        match again(app, handover).await {
            // Taken, or said again by another process, in the meantime.
            Ok(()) | Err(StoreError::Moved { .. }) => {}
            Err(error @ StoreError::Database(_)) => return Err(error),
            Err(error) => {
                tracing::error!(error = %text::chain(&error), handover = handover.0, "a handover cannot be said again");
            }
        }
    }
    Ok(())
}

async fn again(app: &App, id: HandoverId) -> Result<(), StoreError> {
    let in_use = app.in_use();
    let mut tx = app.store.begin().await?;
    let all = tx.lock_handovers().await?;
    let Some(one) = all.into_iter().find(|one| one.id == id) else { return Ok(()) };
    let (now, from, to) = (tx.now(), one.giver.clone(), one.receiver.clone());
    let (what, rows) = if now >= one.offered_at + LAPSES {
        let version = tx.end_handover(&one, None).await?;
        (Happened::HandoverLapsed { handover: id, from, to }, vec![RowMark::handover(id, "lapsed", version)])
    } else {
        let next = if one.reminded == 0 { LAST_AGAIN } else { LAPSES };
        let people = others(&mut tx, &in_use.catalog, &one).await?;
        tx.set_handover_reminded(&one, one.offered_at + next).await?;
        (Happened::HandoverReminded { handover: id, from, to, people }, Vec::new())
    };
    tx.record(NewEvent { scope: Scope::default(), cause: None, record: Record { what, rows } });
    tx.commit().await
}

/// What is told of it where it was offered.
pub(super) async fn tell(app: &App, position: Position, what: &Happened) -> Result<Vec<NewMessage>, StoreError> {
    let (id, from, to) = match what {
        Happened::HandoverReminded { handover, from, to, .. } | Happened::HandoverLapsed { handover, from, to } => {
            (*handover, from, to)
        }
        _ => return Ok(Vec::new()),
    };
    let Some(one) = app.store.find_handover(id).await? else { return Ok(Vec::new()) };
    let now = app.store.clock().now();
    let (text, people) = match what {
        Happened::HandoverReminded { people, .. } => {
            let since = app.times.short(one.offered_at, now);
            let until = app.times.at(one.offered_at + LAPSES, now);
            let told = std::iter::once(to).chain(people).cloned().collect();
            (text::duties::not_taken_yet(id, from, to, people, &since, &until), told)
        }
        // Another took its place before: that was said.
        _ if now < one.offered_at + LAPSES => return Ok(Vec::new()),
        _ => (text::duties::lapsed(from, to), vec![from.clone()]),
    };
    let message = |(part, text): (i32, String)| {
        let mut message = Message::to_room(text);
        if part == 0 {
            message.ping = accounts(&app.in_use().catalog, &people, &one.room);
        }
        NewMessage {
            room: one.room.clone(),
            place: one.thread.clone().map_or(Place::Room, Place::Thread),
            origin: Origin::Event(position),
            part,
            cause: None,
            role: None,
            edits: false,
            message,
        }
    };
    Ok((0..).zip(split(&text, app.limits(&one.room).text)).map(message).collect())
}

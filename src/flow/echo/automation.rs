//! What rooms read of triggers and of automation as a whole.

use super::to_every_room;
use crate::flow::App;
use crate::flow::turn::accounts;
use crate::model::catalog::Subject;
use crate::model::chat::Message;
use crate::model::event::{Brake, Event, Happened};
use crate::model::id::{PersonId, Position, ServiceName, SystemName, TriggerName};
use crate::store::{NewMessage, Origin, Place, Run, StoreError};
use crate::text;

/// The trigger that started a run by itself; `None` if a person asked, or decided.
pub(super) async fn by_itself(app: &App, run: &Run, up_to: Position) -> Result<Option<TriggerName>, StoreError> {
    if run.trigger.is_none() {
        return Ok(None);
    }
    let events = app.store.list_run_events(run.id, up_to).await?;
    Ok(events.iter().find_map(|event| match event.record.as_ref().map(|record| &record.what) {
        Some(Happened::RequestGranted { automatic, .. }) => automatic.clone(),
        _ => None,
    }))
}

/// Who is asked to look: who answers for the trigger, and who may run things there.
pub(super) fn who(app: &App, owner: &PersonId, system: &SystemName) -> Vec<PersonId> {
    let in_use = app.in_use();
    let subjects = in_use.catalog.systems.get(system).map(|system| system.may_run.clone()).unwrap_or_default();
    with(owner, in_use.catalog.people_in(&subjects))
}

fn with(owner: &PersonId, others: impl IntoIterator<Item = PersonId>) -> Vec<PersonId> {
    let others = others.into_iter().filter(|person| person != owner);
    std::iter::once(owner.clone()).chain(others).collect()
}

/// Who may judge or retry there.
pub(super) fn who_unsticks(app: &App, system: &SystemName) -> Vec<PersonId> {
    let in_use = app.in_use();
    let subjects: Vec<Subject> =
        in_use.catalog.systems.get(system).map(|system| system.may_unstick.clone()).unwrap_or_default();
    in_use.catalog.people_in(&subjects).into_iter().collect()
}

/// What is told of an event about triggers or automation.
pub(super) async fn tell(
    app: &App,
    event: &Event,
    position: Position,
    what: &Happened,
) -> Result<Vec<NewMessage>, StoreError> {
    let mut said = match what {
        Happened::AutomationPaused { by, reason } => {
            to_every_room(app, position, &text::automation::paused(by, reason.as_deref()))
        }
        Happened::AutomationResumed { by } => to_every_room(app, position, &text::automation::resumed(by)),
        Happened::TriggerFired { trigger, deed, run: None, .. } => {
            in_room_of(app, event, position, &text::automation::shadow(trigger, deed), &[])
        }
        // A request speaks for itself, and so does a run that starts by itself.
        Happened::TriggerFired { run: Some(_), .. } => Vec::new(),
        Happened::TriggerReleased { trigger, service, by } => {
            in_room_of(app, event, position, &text::automation::released(trigger, service, by), &[])
        }
        Happened::TriggerHeld { trigger, service, by, why, until } => {
            let until = until.map(|until| app.times.until(until, app.store.clock().now()));
            held(app, event, position, trigger, service, *by, why, until.as_deref()).await?
        }
        _ => Vec::new(),
    };
    for message in &mut said {
        message.cause = event.cause;
    }
    Ok(said)
}

#[expect(clippy::too_many_arguments, reason = "the parts of one event, taken apart once")]
async fn held(
    app: &App,
    event: &Event,
    position: Position,
    trigger: &TriggerName,
    service: &ServiceName,
    by: Brake,
    why: &str,
    until: Option<&str>,
) -> Result<Vec<NewMessage>, StoreError> {
    let in_use = app.in_use();
    let declared = in_use.catalog.triggers.get(trigger);
    let people = match (declared, &event.scope.system) {
        (Some(declared), Some(system)) => who(app, &declared.owner, system),
        (None, Some(system)) => who_unsticks(app, system),
        _ => Vec::new(),
    };
    let value = |name: &str| {
        let template = declared?.with.get(name)?;
        let values = [("service", service.as_str()), ("system", event.scope.system.as_ref()?.as_str())];
        let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        crate::engine::plan::fill(template, &values).ok()
    };
    let by_hand = declared.and_then(|declared| text::automation::by_hand(&in_use.catalog, declared, value));
    let said = text::automation::held(&text::automation::Held {
        environment: event.scope.environment.as_deref().unwrap_or_default(),
        trigger,
        service,
        by,
        why,
        until,
        by_hand: by_hand.as_deref(),
        who: &people,
    });
    let Some(said) = said else { return Ok(Vec::new()) };
    let waits_for_a_person = match by {
        Brake::AtMost | Brake::Flapping | Brake::NoPlan => true,
        // They were pinged for the run that failed a moment ago.
        Brake::NoEffect => {
            let last = app.store.find_last_fired(trigger, service).await?;
            last.is_none_or(|(_, state)| state != "failed")
        }
        // They were pinged when it got stuck.
        Brake::Stuck => false,
        Brake::Cooldown | Brake::Busy | Brake::Paused => false,
    };
    let ping = if waits_for_a_person { people } else { Vec::new() };
    Ok(in_room_of(app, event, position, &said, &ping))
}

/// A message in the room of the event's system.
fn in_room_of(app: &App, event: &Event, position: Position, text: &str, ping: &[PersonId]) -> Vec<NewMessage> {
    let in_use = app.in_use();
    let system = event.scope.system.as_ref().and_then(|system| in_use.catalog.systems.get(system));
    let Some(room) = system.and_then(|system| in_use.catalog.rooms.get(&system.room)) else { return Vec::new() };
    let mut message = Message::to_room(text);
    message.ping = accounts(&in_use.catalog, ping, &room.address);
    vec![NewMessage {
        room: room.address.clone(),
        place: Place::Room,
        origin: Origin::Event(position),
        part: 0,
        cause: None,
        role: None,
        edits: false,
        message,
    }]
}

//! What a room reads of checks that turned and of incidents.
//!
//! One failure is one message: the check's words tell of the opening as well, and the incident's own event then says
//! nothing. Nobody is pinged: whoever must act is named by the request that follows.

use std::time::Duration;

use super::App;
use super::commands::offer;
use super::incident_rooms::talked_in;
use crate::model::catalog::System;
use crate::model::chat::{Message, RoomAddress};
use crate::model::event::{Event, Happened, Health};
use crate::model::id::{CheckName, IncidentId, Position, ServiceName, SystemName};
use crate::model::incident::{Incident, IncidentState};
use crate::store::{NewMessage, Origin, Place, StoreError};
use crate::text;
use crate::text::flaps::Meant;
use crate::text::incident::{Did, Turned, Where};

/// What is told of one event, and in which rooms.
struct Told {
    rooms: Vec<RoomAddress>,
    text: String,
}

impl Told {
    fn in_room(room: RoomAddress, text: String) -> Self {
        Self { rooms: vec![room], text }
    }
}

/// Tells of a check that turned, or of an incident.
pub(super) async fn tell(
    app: &App,
    event: &Event,
    position: Position,
    what: &Happened,
) -> Result<Vec<NewMessage>, StoreError> {
    let told = match what {
        Happened::CheckTurned { .. } => turned(app, event, what).await?,
        Happened::CheckFlaps { .. } | Happened::CheckSteady { .. } => flapping(app, event, what).await?,
        _ => incident(app, event, what).await?,
    };
    let Some(Told { rooms, text }) = told else { return Ok(Vec::new()) };
    let mut messages = Vec::new();
    for room in rooms {
        let parts = crate::chat::sender::split(&text, app.limits(&room).text);
        messages.extend((0..).zip(parts).map(|(part, text)| NewMessage {
            room: room.clone(),
            place: Place::Room,
            origin: Origin::Event(position),
            part,
            cause: event.cause,
            role: None,
            edits: false,
            message: Message::to_room(text),
        }));
    }
    Ok(messages)
}

/// The room in which a system is talked about, by the catalog of now.
fn room_of(app: &App, system: &System) -> Option<RoomAddress> {
    app.in_use().catalog.rooms.get(&system.room).map(|room| room.address.clone())
}

async fn turned(app: &App, event: &Event, what: &Happened) -> Result<Option<Told>, StoreError> {
    let Happened::CheckTurned { service, check, was, now, since, results, detail } = what else { return Ok(None) };
    let Some(system_name) = &event.scope.system else { return Ok(None) };
    let in_use = app.in_use();
    let system = in_use.catalog.systems.get(system_name);
    let found = match event.scope.incident {
        Some(id) => app.store.find_incident(id).await?,
        None => None,
    };
    let room = match (&found, system) {
        (Some(incident), _) => Some(incident.room.clone()),
        (None, Some(system)) => room_of(app, system),
        (None, None) => None,
    };
    let Some(mut room) = room else { return Ok(None) };
    let title = system.map_or(system_name.as_str(), |system| system.title.as_str());
    let environment = event.scope.environment.as_deref().unwrap_or("unknown");
    let place = Where { environment, system: title };
    let schedule =
        system.and_then(|system| system.services.get(service)?.checks.get(check)).and_then(|check| check.schedule);
    let since_said = app.times.at_second(*since, app.store.clock().now());
    let called = service_title(app, system_name, Some(service)).unwrap_or_else(|| service.to_string());
    let turned = Turned {
        service: &called,
        check,
        now: *now,
        since: &since_said,
        results: (*results, schedule.map(|schedule| schedule.fails_after)),
        detail,
    };
    let text = match now {
        Health::Critical | Health::Warning => {
            let did = match &found {
                Some(incident) => did(app, event, incident, check).await?,
                None => Did::Nothing,
            };
            if let (Some(incident), Did::Recurred(_) | Did::Joined(_)) = (&found, did) {
                room = talked_in(app, incident).await?;
            }
            let offer = offer(&in_use.catalog, system_name, service, Some(check));
            Some(text::incident::failed(place, turned, did, offer.as_deref()))
        }
        Health::Unknown => {
            if let Some(incident) = &found {
                room = talked_in(app, incident).await?;
            }
            Some(text::incident::unknown(place, turned))
        }
        Health::Ok => match was {
            // What is known for the first time and well is no news.
            None => None,
            Some(was) => {
                // Where the service as a whole is well again, that is what is told.
                let mitigated = match &found {
                    Some(incident) => {
                        room = talked_in(app, incident).await?;
                        mitigated_with(app, event, incident.id).await?
                    }
                    None => false,
                };
                (!mitigated).then(|| text::incident::check_well(turned, *was))
            }
        },
    };
    Ok(text.map(|text| Told::in_room(room, text)))
}

/// What the failure of a check did to its incident.
async fn did(app: &App, event: &Event, incident: &Incident, failed: &CheckName) -> Result<Did, StoreError> {
    let together = together(app, event, incident.id).await?;
    let found = together.iter().rev().find_map(|what| match what {
        Happened::IncidentOpened { check: Some(check), .. } if check == failed => Some(Did::Opened(incident.id)),
        Happened::IncidentRecurred { check, .. } if check == failed => Some(Did::Recurred(incident.id)),
        _ => None,
    });
    Ok(found.unwrap_or(Did::Joined(incident.id)))
}

/// What was recorded of an incident together with an event: events of one transaction have one time. An incident may go on
/// for days; only these few are read.
async fn together(app: &App, event: &Event, id: IncidentId) -> Result<Vec<Happened>, StoreError> {
    let events = app.store.list_incident_events_at(id, event.at).await?;
    Ok(events.into_iter().filter_map(|other| other.record.map(|record| record.what)).collect())
}

async fn mitigated_with(app: &App, event: &Event, id: IncidentId) -> Result<bool, StoreError> {
    let together = together(app, event, id).await?;
    Ok(together.iter().any(|what| matches!(what, Happened::IncidentMitigated { .. })))
}

/// Whether the words of a check tell of an opening or a recurrence.
async fn told_by_its_check(app: &App, event: &Event, id: IncidentId, failed: &CheckName) -> Result<bool, StoreError> {
    let together = together(app, event, id).await?;
    Ok(together.iter().any(|what| match what {
        Happened::CheckTurned { check, .. }
        | Happened::CheckFlaps { check, .. }
        | Happened::CheckSteady { check, .. } => check == failed,
        _ => false,
    }))
}

/// Whether the words of a check that is steady again tell that its service is well.
async fn told_by_steadiness(app: &App, event: &Event, id: IncidentId) -> Result<bool, StoreError> {
    let together = together(app, event, id).await?;
    Ok(together.iter().any(|what| matches!(what, Happened::CheckSteady { .. })))
}

/// A check that flaps, or that is steady again.
async fn flapping(app: &App, event: &Event, what: &Happened) -> Result<Option<Told>, StoreError> {
    let (Happened::CheckFlaps { service, check, .. } | Happened::CheckSteady { service, check, .. }) = what else {
        return Ok(None);
    };
    let Some(system_name) = &event.scope.system else { return Ok(None) };
    let in_use = app.in_use();
    let system = in_use.catalog.systems.get(system_name);
    let found = match event.scope.incident {
        Some(id) => app.store.find_incident(id).await?,
        None => None,
    };
    let room = match &found {
        Some(incident) => Some(talked_in(app, incident).await?),
        None => system.and_then(|system| room_of(app, system)),
    };
    let Some(mut room) = room else { return Ok(None) };
    let title = system.map_or(system_name.as_str(), |system| system.title.as_str());
    let environment = event.scope.environment.as_deref().unwrap_or("unknown");
    let place = Where { environment, system: title };
    let called = service_title(app, system_name, Some(service)).unwrap_or_else(|| service.to_string());
    let text = match what {
        Happened::CheckFlaps { changes, within_secs, .. } => {
            let open = found.filter(|incident| matches!(incident.state, IncidentState::Open { .. }));
            let open = open.map(|incident| incident.id);
            text::flaps::flaps(place, &called, check, *changes, Duration::from_secs(*within_secs), open)
        }
        Happened::CheckSteady { now, since, .. } => {
            let together = match event.scope.incident {
                Some(id) => together(app, event, id).await?,
                None => Vec::new(),
            };
            let meant = together.iter().rev().find_map(|what| match what {
                Happened::IncidentMitigated { incident, .. } => Some(Meant::Mitigated(*incident)),
                Happened::IncidentOpened { incident, .. } => Some(Meant::Opened(*incident)),
                Happened::IncidentRecurred { incident, .. } => Some(Meant::Recurred(*incident)),
                _ => None,
            });
            if let (Some(Meant::Opened(_)), Some(incident)) = (&meant, &found) {
                room = incident.room.clone();
            }
            let since = app.times.at_second(*since, app.store.clock().now());
            text::flaps::steady(place, &called, check, *now, &since, meant.unwrap_or(Meant::Nothing))
        }
        _ => return Ok(None),
    };
    Ok(Some(Told::in_room(room, text)))
}

async fn incident(app: &App, event: &Event, what: &Happened) -> Result<Option<Told>, StoreError> {
    let Some(id) = event.scope.incident else { return Ok(None) };
    let Some(incident) = app.store.find_incident(id).await? else { return Ok(None) };
    let in_use = app.in_use();
    let system = in_use.catalog.systems.get(&incident.system);
    let title = system.map_or(incident.system.as_str(), |system| system.title.as_str());
    let place = Where { environment: &incident.environment, system: title };
    let now = app.store.clock().now();
    let text = match what {
        Happened::IncidentOpened { check: Some(check), .. } | Happened::IncidentRecurred { check, .. }
            if told_by_its_check(app, event, id, check).await? =>
        {
            None
        }
        Happened::IncidentOpened { title, by, .. } => Some(text::incident::opened(place, id, title, by.as_ref())),
        Happened::IncidentRecurred { since, .. } => {
            let since = app.times.at_second(*since, now);
            Some(text::incident::recurred(place, id, &incident.title, &since))
        }
        Happened::IncidentMitigated { .. } if told_by_steadiness(app, event, id).await? => None,
        Happened::IncidentMitigated { millis, .. } => {
            let name = service_title(app, &incident.system, incident.service.as_ref());
            Some(text::incident::mitigated(id, &name.unwrap_or_else(|| incident.title.clone()), *millis))
        }
        Happened::IncidentAcknowledged { by, .. } => Some(text::incident::acknowledged(id, by)),
        Happened::IncidentReopened { by, reason, .. } => Some(text::incident::reopened(id, by, reason.as_deref())),
        Happened::IncidentResolved { reason, millis, asked, waited_millis, .. } => {
            let head = event.position.zip(event.hash).map(|(position, hash)| text::echo::head(position, hash));
            let head = head.unwrap_or_default();
            Some(text::incident::resolved(id, reason.as_deref(), *millis, *asked, *waited_millis, &head))
        }
        _ => None,
    };
    let Some(text) = text else { return Ok(None) };
    let (home, own) = (incident.room.clone(), talked_in(app, &incident).await?);
    let rooms = match what {
        // That there is one is said where the system is talked about, as its channel may not be there yet.
        Happened::IncidentOpened { .. } => vec![home],
        // Its beginning and its end concern whoever reads that room as well.
        Happened::IncidentResolved { .. } | Happened::IncidentReopened { .. } if own != home => vec![home, own],
        _ => vec![own],
    };
    Ok(Some(Told { rooms, text }))
}

/// A service as people call it.
fn service_title(app: &App, system: &SystemName, service: Option<&ServiceName>) -> Option<String> {
    let service = service?;
    let in_use = app.in_use();
    let title = in_use.catalog.systems.get(system).and_then(|system| system.services.get(service));
    Some(title.map_or_else(|| service.to_string(), |service| service.title.clone()))
}

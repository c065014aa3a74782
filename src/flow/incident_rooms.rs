//! Channels of incidents: making and furnishing them, and what rooms read of that.
//!
//! What lives here: the loop that does what is next for each channel, and the words about it. What does not: what is next
//! (`model::incident_room`) and how a platform does it (`chat::Rooms`).
//!
//! Keeps I4: what was done is noted with its event in one transaction. What a crash leaves done and unnoted is done again,
//! which changes nothing on the platform: every deed of [`Rooms`] may be repeated. One worker does it at a time, by lease;
//! should two overlap, the row's version lets one note it, and the name of a channel is unique. Nothing else waits for any
//! of this: an incident goes on in its system's room until its channel is there, and when there will be none.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio::time::timeout;

use super::App;
use super::held::Held;
use super::turn::{accounts, plan_of};
use crate::chat::{Adapter, NewRoom, Rooms, SendError};
use crate::metrics::beats::{Loop, beat};
use crate::model::catalog::{Catalog, Subject};
use crate::model::chat::{Message, RoomAddress, Workspace};
use crate::model::event::{Event, Happened, LeftOut, NewEvent, Record, Scope};
use crate::model::id::{IncidentId, PersonId, Position};
use crate::model::incident::Incident;
use crate::model::incident_room::{IncidentRoom, MadeRoom, Next, RoomDeed};
use crate::store::{NewMessage, Origin, Place, RoomNote, SUMMARY, StoreError, WorkerId, incident_subject};
use crate::text;
use crate::text::incident::Where;
use crate::text::incident_room::LastRun;

/// The loop's lease.
const LEASE: &str = "incident_rooms";
/// How often it looks.
const EVERY: Duration = Duration::from_millis(500);
/// Channels of one round.
const BATCH: i64 = 20;
/// How long a platform may take for one deed before its fate counts as unknown.
const DEED_AT_MOST: Duration = Duration::from_secs(60);
/// How long a deed on its way may take at the end.
const GRACE: Duration = Duration::from_secs(5);
/// The first pause between two looks, and the longest.
const PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The part of the message that tells how an incident stands, among those of one event: past all others.
const SUMMARY_PART: i32 = 1_000;

/// Makes and furnishes channels until told to stop. `ledger` is the ledger's name: it goes into the marks of channels.
pub async fn incident_rooms(
    app: Arc<App>,
    ledger: String,
    me: WorkerId,
    lease: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut held = Held::new(LEASE);
    loop {
        beat(Loop::IncidentRooms);
        if *stop.borrow() {
            return;
        }
        let mut did = Did::Nothing;
        if held.keep(&app, me, lease).await {
            match round(&app, &ledger, &mut stop).await {
                Ok(done) => did = done,
                Err(error) => tracing::error!(error = %text::chain(&error), "the channels of incidents have to wait"),
            }
        }
        if did == Did::Something {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Whether a round changed anything, so that another is worth while at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Nothing,
    Something,
}

async fn round(app: &App, ledger: &str, stop: &mut watch::Receiver<bool>) -> Result<Did, StoreError> {
    let mut did = Did::Nothing;
    for room in app.store.list_due_incident_rooms(BATCH).await? {
        if *stop.borrow() {
            return Ok(Did::Nothing);
        }
        beat(Loop::IncidentRooms);
        // Each alone: one that cannot be dealt with must not keep the others waiting.
        match look(app, ledger, &room, stop).await {
            Ok(one) => did = if one == Did::Something { one } else { did },
            // Its incident has changed, or another worker was faster: looked at again.
            Err(StoreError::Moved { .. }) => did = Did::Something,
            Err(error @ StoreError::Database(_)) => return Err(error),
            Err(error) => {
                tracing::error!(error = %text::chain(&error), incident.id = room.incident.0, "a channel could not be dealt with");
                put_off(app, &room, LONGEST_PAUSE).await?;
            }
        }
    }
    Ok(did)
}

/// Does what is next for one channel.
async fn look(
    app: &App,
    ledger: &str,
    room: &IncidentRoom,
    stop: &mut watch::Receiver<bool>,
) -> Result<Did, StoreError> {
    let around = app.store.around_incident_room(room).await?;
    if around.lost && !around.over && is_closed(app, room).await? {
        return Ok(Did::Something);
    }
    match room.next(around) {
        Next::Nothing => {
            app.store.put_incident_room_off(room, None).await?;
            Ok(Did::Nothing)
        }
        Next::Wait => {
            put_off(app, room, pause_after(room.tries)).await?;
            Ok(Did::Nothing)
        }
        Next::Another => {
            let mut tx = app.store.begin().await?;
            tx.insert_another_incident_room(room).await?;
            tx.commit().await?;
            Ok(Did::Something)
        }
        Next::Do(deed) => {
            let Some(incident) = app.store.find_incident(room.incident).await? else { return Ok(Did::Nothing) };
            let adapter = app.adapters.iter().find(|adapter| adapter.serves(&room.home.room("")));
            let Some(rooms) = adapter.and_then(|adapter| adapter.rooms()) else {
                let why = format!("the bot speaks to no workspace {}", room.home);
                return refused(app, room, &incident, deed, why).await;
            };
            let mut room = room.clone();
            if deed == RoomDeed::Make && !room.begun {
                room = app.store.set_incident_room_begun(&room).await?;
            }
            let doing = Doing { app, ledger, rooms, room: &room, incident: &incident };
            let done = {
                let mut doing = pin!(timeout(DEED_AT_MOST, doing.act(deed)));
                let in_time = tokio::select! {
                    done = &mut doing => Some(done),
                    // What is not done by then is found by the next start.
                    _ = stop.changed() => timeout(GRACE, doing).await.ok(),
                };
                let Some(done) = in_time else { return Ok(Did::Nothing) };
                done.unwrap_or_else(|_| Err(SendError::Unknown(format!("nothing for {} s", DEED_AT_MOST.as_secs()))))
            };
            match done {
                Ok((note, what)) => {
                    noted(app, &room, &incident, &note, what).await?;
                    Ok(Did::Something)
                }
                Err(SendError::Refused(why)) => refused(app, &room, &incident, deed, why).await,
                Err(error) => {
                    let pause = match &error {
                        SendError::RetryAfter(pause) => *pause,
                        SendError::Unknown(_) | SendError::Refused(_) => pause_after(room.tries),
                    };
                    tracing::warn!(incident.id = room.incident.0, deed = deed.name(), %error, ?pause, "a channel's deed is tried again");
                    put_off(app, &room, pause).await?;
                    Ok(Did::Nothing)
                }
            }
        }
    }
}

/// Asks whether a channel still takes messages, after it has refused one. Whoever archived it, or took the bot out of it,
/// has ended it: that is noted, and the incident gets another.
async fn is_closed(app: &App, room: &IncidentRoom) -> Result<bool, StoreError> {
    let Some(made) = room.place() else { return Ok(false) };
    let rooms = app.adapters.iter().find(|adapter| adapter.serves(&made.address)).and_then(|adapter| adapter.rooms());
    let Some(rooms) = rooms else { return Ok(false) };
    match timeout(GRACE, rooms.is_open(&made.address)).await {
        Ok(Ok(false)) => {}
        // Looked at again when the next message is refused, or the incident changes.
        Ok(Ok(true) | Err(_)) | Err(_) => return Ok(false),
    }
    let Some(incident) = app.store.find_incident(room.incident).await? else { return Ok(false) };
    let what = Happened::IncidentRoomArchived { incident: incident.id, room: made.address.clone() };
    noted(app, room, &incident, &RoomNote::Done(RoomDeed::Archive), Some(what)).await?;
    Ok(true)
}

async fn put_off(app: &App, room: &IncidentRoom, pause: Duration) -> Result<(), StoreError> {
    let pause = TimeDelta::from_std(pause).unwrap_or(TimeDelta::MAX);
    let now = app.store.clock().now();
    let until = now.checked_add_signed(pause).unwrap_or(now + LONGEST_PAUSE);
    app.store.put_incident_room_off(room, Some(until)).await
}

/// The pause before the next look: a quarter of a second, then twice as long each time, at most a minute.
fn pause_after(tries: i32) -> Duration {
    let doublings = u32::try_from(tries).unwrap_or(0).min(8);
    (PAUSE * (1 << doublings)).min(LONGEST_PAUSE)
}

async fn refused(
    app: &App,
    room: &IncidentRoom,
    incident: &Incident,
    deed: RoomDeed,
    why: String,
) -> Result<Did, StoreError> {
    tracing::warn!(incident.id = room.incident.0, deed = deed.name(), why, "something was refused for a channel");
    let address = room.made.as_ref().map(|made| made.address.clone());
    let what = Happened::IncidentRoomRefused { incident: incident.id, room: address, undone: deed, why };
    noted(app, room, incident, &RoomNote::Refused(deed), Some(what)).await?;
    Ok(Did::Something)
}

/// Notes what was done, with its event (I4).
async fn noted(
    app: &App,
    room: &IncidentRoom,
    incident: &Incident,
    note: &RoomNote,
    what: Option<Happened>,
) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    tx.note_incident_room(room, note).await?;
    if let RoomNote::Made(made) = note {
        // What is said there while nobody listens is looked for, from its beginning.
        tx.begin_room(&made.address, room.wanted_at).await?;
    }
    if let Some(what) = what {
        let scope = Scope {
            system: Some(incident.system.clone()),
            environment: Some(incident.environment.clone()),
            incident: Some(incident.id),
            ..Scope::default()
        };
        tx.record(NewEvent { scope, cause: None, record: Record { what, rows: Vec::new() } });
    }
    tx.commit().await
}

/// One deed for one channel.
struct Doing<'a> {
    app: &'a App,
    ledger: &'a str,
    rooms: &'a dyn Rooms,
    room: &'a IncidentRoom,
    incident: &'a Incident,
}

impl Doing<'_> {
    /// Does it; returns what is to be noted and told.
    async fn act(&self, deed: RoomDeed) -> Result<(RoomNote, Option<Happened>), SendError> {
        let incident = self.incident.id;
        let made = || {
            let nowhere = || SendError::Unknown("the channel is not there yet".to_owned());
            self.room.made.as_ref().map(|made| &made.address).ok_or_else(nowhere)
        };
        match deed {
            RoomDeed::Make => {
                let made = self.make().await?;
                let (room, name) = (made.address.clone(), made.name.clone());
                Ok((RoomNote::Made(made), Some(Happened::IncidentRoomMade { incident, room, name })))
            }
            RoomDeed::Invite => {
                let what = self.invite(made()?).await?;
                Ok((RoomNote::Done(deed), what))
            }
            RoomDeed::Topic => {
                let (_, title) = self.titles();
                let place = Where { environment: &self.incident.environment, system: &title };
                self.rooms.set_topic(made()?, &text::incident_room::topic(place, self.incident)).await?;
                Ok((RoomNote::Done(deed), None))
            }
            RoomDeed::Pin => {
                let room = made()?;
                let subject = incident_subject(incident);
                let summary = self.app.store.find_posted(&subject, SUMMARY, room).await;
                let summary = summary.map_err(|error| SendError::Unknown(text::chain(&error)))?;
                let summary = summary.ok_or_else(|| SendError::Unknown("no summary stands there yet".to_owned()))?;
                self.rooms.pin(room, &summary).await?;
                Ok((RoomNote::Done(deed), None))
            }
            RoomDeed::Archive => {
                let room = made()?;
                self.rooms.archive(room).await?;
                Ok((RoomNote::Done(deed), Some(Happened::IncidentRoomArchived { incident, room: room.clone() })))
            }
        }
    }

    /// The catalog in force, and the system as people call it.
    fn titles(&self) -> (Arc<Catalog>, String) {
        let catalog = Arc::clone(&self.app.in_use().catalog);
        let title = catalog.systems.get(&self.incident.system).map(|system| system.title.clone());
        (catalog, title.unwrap_or_else(|| self.incident.system.to_string()))
    }

    async fn make(&self) -> Result<MadeRoom, SendError> {
        let (_, title) = self.titles();
        let room = self.room;
        let ledger: String = self.ledger.chars().take(12).collect();
        let mark = format!("[countersign {ledger}:{}.{}]", room.incident, room.number);
        let new = NewRoom {
            home: room.home.clone(),
            name: if room.number > 1 { format!("{}-{}", room.name, room.number) } else { room.name.clone() },
            privacy: room.privacy,
            purpose: text::incident_room::purpose(room.incident, &title, room.at_end, &mark),
            mark,
            wanted_at: room.wanted_at,
        };
        self.rooms.make(&new).await
    }

    /// Invites whoever the catalog names now.
    async fn invite(&self, room: &RoomAddress) -> Result<Option<Happened>, SendError> {
        let (catalog, _) = self.titles();
        let channel = catalog.systems.get(&self.incident.system).and_then(|system| system.incident_channel.as_ref());
        let (invite, observe) = channel.map_or((&[][..], &[][..]), |channel| (&channel.invite, &channel.observe));
        let wanted = Wanted::of(&catalog, &self.room.home, invite, observe);
        let everybody: Vec<PersonId> = wanted.responders.iter().chain(&wanted.observers).cloned().collect();
        let asked = accounts(&catalog, &everybody, room);
        let out = if asked.is_empty() { Vec::new() } else { self.rooms.invite(room, &asked).await? };
        let mut left_out = wanted.left_out;
        for person in &everybody {
            // One of several accounts is enough.
            let own = accounts(&catalog, std::slice::from_ref(person), room);
            let whys: Vec<&String> =
                out.iter().filter(|(account, _)| own.contains(account)).map(|(_, why)| why).collect();
            if whys.len() == own.len()
                && let Some(why) = whys.first()
            {
                left_out.push(LeftOut { person: person.clone(), why: (*why).clone() });
            }
        }
        let came = |people: Vec<PersonId>| -> Vec<PersonId> {
            people.into_iter().filter(|person| left_out.iter().all(|one| one.person != *person)).collect()
        };
        let (responders, observers) = (came(wanted.responders), came(wanted.observers));
        if responders.is_empty() && observers.is_empty() && left_out.is_empty() {
            return Ok(None);
        }
        let (incident, room) = (self.incident.id, room.clone());
        Ok(Some(Happened::IncidentRoomInvited { incident, room, responders, observers, left_out }))
    }
}

/// Who is to come to a channel.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    responders: Vec<PersonId>,
    observers: Vec<PersonId>,
    left_out: Vec<LeftOut>,
}

impl Wanted {
    /// Whoever is to help and to follow is called to help.
    fn of(catalog: &Catalog, home: &Workspace, invite: &[Subject], observe: &[Subject]) -> Self {
        let responders = catalog.people_in(invite);
        let observers: BTreeSet<PersonId> =
            catalog.people_in(observe).into_iter().filter(|person| !responders.contains(person)).collect();
        let has_account = |person: &PersonId| {
            catalog.people.get(person).is_some_and(|person| person.accounts.iter().any(|account| home.has(account)))
        };
        let mut wanted = Self::default();
        let mut sort = |people: BTreeSet<PersonId>, into: fn(&mut Self) -> &mut Vec<PersonId>| {
            for person in people {
                if has_account(&person) {
                    into(&mut wanted).push(person);
                } else {
                    let why = text::incident_room::no_account().to_owned();
                    wanted.left_out.push(LeftOut { person, why });
                }
            }
        };
        sort(responders, |wanted| &mut wanted.responders);
        sort(observers, |wanted| &mut wanted.observers);
        wanted
    }
}

/// What is wrong with the workspaces in which a catalog wants channels to be made: one sentence each.
pub(super) fn unserved(adapters: &[Arc<dyn Adapter>], catalog: &Catalog) -> Vec<String> {
    let serves =
        |home: &Workspace| adapters.iter().any(|adapter| adapter.serves(&home.room("")) && adapter.rooms().is_some());
    let wants = catalog.systems.values().filter_map(|system| Some((system, system.incident_channel.as_ref()?)));
    wants
        .filter(|(_, channel)| !serves(&channel.wish.home))
        .map(|(system, channel)| text::incident_room::not_served(system.name.as_str(), &channel.wish.home.to_string()))
        .collect()
}

/// Where an incident is talked about: in its channel while it has one, otherwise in its system's room.
pub(super) async fn talked_in(app: &App, incident: &Incident) -> Result<RoomAddress, StoreError> {
    let own = app.store.find_incident_room(incident.id).await?;
    Ok(own.map_or_else(|| incident.room.clone(), |own| own.address))
}

/// What rooms read of a channel that was made, filled or refused.
pub(super) async fn tell(
    app: &App,
    event: &Event,
    position: Position,
    what: &Happened,
) -> Result<Vec<NewMessage>, StoreError> {
    let Some(id) = event.scope.incident else { return Ok(Vec::new()) };
    let Some(incident) = app.store.find_incident(id).await? else { return Ok(Vec::new()) };
    let message = |room: &RoomAddress, text: String, ping: &[PersonId]| {
        let mut message = Message::to_room(text);
        message.ping = accounts(&app.in_use().catalog, ping, room);
        NewMessage {
            room: room.clone(),
            place: Place::Room,
            origin: Origin::Event(position),
            part: 0,
            cause: event.cause,
            role: None,
            edits: false,
            message,
        }
    };
    let told = match what {
        Happened::IncidentRoomMade { name, .. } => {
            let said = text::incident_room::made(id, name);
            vec![message(&incident.room, said, &[])]
        }
        Happened::IncidentRoomInvited { room, responders, observers, left_out, .. } => {
            let said = text::incident_room::invited(responders, observers, left_out);
            vec![message(room, said, responders)]
        }
        Happened::IncidentRoomRefused { room, undone, why, .. } => {
            let said = text::incident_room::refused(id, *undone, why);
            // Where whoever should know is: a channel to which nobody was invited is empty.
            let place = match (undone, room) {
                (RoomDeed::Topic | RoomDeed::Pin, Some(room)) => room,
                (RoomDeed::Make | RoomDeed::Invite | RoomDeed::Archive, _)
                | (RoomDeed::Topic | RoomDeed::Pin, None) => &incident.room,
            };
            vec![message(place, said, &[])]
        }
        _ => Vec::new(),
    };
    Ok(told)
}

/// Whether an event may change how an incident stands.
fn changes_the_summary(what: &Happened) -> bool {
    matches!(
        what,
        Happened::IncidentRoomMade { .. }
            | Happened::IncidentAcknowledged { .. }
            | Happened::IncidentMitigated { .. }
            | Happened::IncidentRecurred { .. }
            | Happened::IncidentResolved { .. }
            | Happened::IncidentReopened { .. }
            | Happened::RunPlanned { .. }
            | Happened::RequestGranted { .. }
            | Happened::RequestDenied { .. }
            | Happened::RequestExpired { .. }
            | Happened::RequestWithdrawn { .. }
            | Happened::RequestSentBack { .. }
            | Happened::RequestSuperseded { .. }
            | Happened::RunSucceeded { .. }
            | Happened::RunFailed { .. }
            | Happened::RunStuck { .. }
            | Happened::RunStopping { .. }
            | Happened::RunStopped { .. }
    )
}

/// The message that tells how an incident stands, in its channel: posted once, and from then on changed in place.
pub(super) async fn summary(
    app: &App,
    event: &Event,
    position: Position,
    what: &Happened,
) -> Result<Option<NewMessage>, StoreError> {
    let Some(id) = event.scope.incident.filter(|_| changes_the_summary(what)) else { return Ok(None) };
    let Some(own) = app.store.find_incident_room(id).await? else { return Ok(None) };
    let Some(incident) = app.store.find_incident(id).await? else { return Ok(None) };
    let in_use = app.in_use();
    let title = in_use.catalog.systems.get(&incident.system).map(|system| system.title.as_str());
    let place = Where { environment: &incident.environment, system: title.unwrap_or_else(|| incident.system.as_str()) };
    let last = last_run(app, id).await?;
    let text = text::incident_room::summary(place, &incident, last.as_ref(), &app.times);
    Ok(Some(NewMessage {
        room: own.address,
        place: Place::Room,
        origin: Origin::Event(position),
        part: SUMMARY_PART,
        cause: event.cause,
        role: Some((incident_subject(id), SUMMARY)),
        // Also the first: what has nothing to change becomes a message of its own.
        edits: true,
        message: Message::to_room(text),
    }))
}

async fn last_run(app: &App, incident: IncidentId) -> Result<Option<LastRun>, StoreError> {
    let Some(id) = app.store.find_last_run_of_incident(incident).await? else { return Ok(None) };
    let Some(run) = app.store.find_run(id).await? else { return Ok(None) };
    // The words of a plan that somebody changed cannot be believed: its name stands for it.
    let deed = plan_of(&run).map_or_else(|_| run.runbook.to_string(), |plan| plan.deed);
    Ok(Some(LastRun { id: run.id, deed, state: run.state.name() }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::catalog::Person;
    use crate::model::group::Group;
    use crate::model::id::GroupName;

    #[test]
    fn pauses_grow_and_end() {
        let pauses: Vec<u128> = [-1, 0, 1, 2, 3, 8, 9, i32::MAX].map(|tries| pause_after(tries).as_millis()).to_vec();
        assert_eq!(pauses, [250, 250, 500, 1_000, 2_000, 60_000, 60_000, 60_000]);
    }

    #[test]
    fn whoever_helps_is_called_whoever_follows_is_not_and_who_has_no_account_is_named() {
        let person = |name: &str, accounts: &[&str]| {
            let accounts = accounts.iter().map(|account| account.parse().expect("an account")).collect();
            (PersonId::new(name), Person { name: PersonId::new(name), accounts, ask: Default::default() })
        };
        let people = BTreeMap::from([
            person("mei", &["slack:T1:U1"]),
            person("lin", &["slack:T1:U2"]),
            person("boss", &["local:trial:boss", "slack:T1:U3"]),
            person("yuki", &["slack:T2:U1"]),
        ]);
        let group = |name: &str, members: &[&str]| {
            let members = members.iter().map(|member| PersonId::new(*member)).collect();
            (GroupName::new(name), Group { members, ..Group::default() })
        };
        let groups = BTreeMap::from([group("support", &["mei", "lin", "yuki"]), group("managers", &["boss", "lin"])]);
        let catalog = Catalog { people, groups, ..Catalog::default() };
        let subjects = |name: &str| [Subject::Group(GroupName::new(name))];
        let home = "slack:T1".parse().expect("a workspace");
        let wanted = Wanted::of(&catalog, &home, &subjects("support"), &subjects("managers"));
        let named = |people: &[PersonId]| people.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(named(&wanted.responders), ["lin", "mei"]);
        assert_eq!(named(&wanted.observers), ["boss"]);
        let left_out: Vec<String> = wanted.left_out.iter().map(|one| one.person.to_string()).collect();
        assert_eq!(left_out, ["yuki"]);
    }
}

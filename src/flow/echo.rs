//! The room's sink: reads the chain in order and tells each room what concerns it (I5).
//!
//! Every message comes from a place in the ledger and is unique by it: told twice after a crash, it is one message. The
//! sink's cursor moves in the transaction that puts the messages into the outbox.

mod access;
mod automation;
mod life;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::App;
use super::held::Held;
use super::request::{self, Showing};
use super::turn::{accounts, plan_of};
use crate::approval;
use crate::metrics::beats::{Loop, beat};
use crate::model::approval::{Because, spent_elsewhere};
use crate::model::chat::{Account, Message, RoomAddress};
use crate::model::code::Code;
use crate::model::event::WhoAsked;
use crate::model::event::{Event, Happened, Record};
use crate::model::id::RequestId;
use crate::model::id::{InboxId, PersonId, Position, TriggerName};
use crate::model::plan::{Plan, Sealed, Telling};
use crate::model::request::{Answer, RequestState, Wanted};
use crate::store::StoredDecision;
use crate::store::{ChainRow, NewMessage, Origin, Place, ReviewState, Run, StoreError, Topic, WorkerId};
use crate::text;

/// The sink's name, as stored.
const SINK: &str = "room";
/// Its lease.
const LEASE: &str = "sink:room";
/// The most events told by one transaction.
const BATCH: i64 = 200;

/// Tells until told to stop.
pub async fn room_sink(app: Arc<App>, me: WorkerId, lease: Duration, mut stop: watch::Receiver<bool>) {
    let mut chained = app.store.hub().listen(Topic::Chained);
    let mut held = Held::new(LEASE);
    loop {
        beat(Loop::RoomSink);
        if *stop.borrow() {
            return;
        }
        let now = tokio::time::Instant::now();
        // Renewed when a third of it has passed: the position's guard keeps two sinks from telling the same twice, the
        // lease keeps them from working in vain.
        let mut more = false;
        if held.keep(&app, me, lease).await {
            // What takes longer is told by further batches: between them the lease is renewed, and `stop` is heard.
            match tell(&app, now + lease / 6, &stop).await {
                Ok(told) => more = told == Told::Some,
                Err(error) => tracing::error!(error = %text::chain(&error), "the room's sink could not tell"),
            }
        }
        if more {
            continue;
        }
        tokio::select! {
            () = chained.wait(Duration::from_secs(1)) => {}
            _ = stop.changed() => {}
        }
    }
}

/// How much of what waits was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// All of it; what came since has woken the listener.
    All,
    /// A batch, or as much as there was time for.
    Some,
}

/// Tells the next events, as many as there is time for, and at least one.
async fn tell(app: &App, until: tokio::time::Instant, stop: &watch::Receiver<bool>) -> Result<Told, StoreError> {
    let from = app.store.sink_position(SINK).await?;
    let rows = app.store.list_chained(from, BATCH).await?;
    let mut messages = Vec::new();
    let mut last = None;
    let mut told = if rows.len() < BATCH as usize { Told::All } else { Told::Some };
    for row in &rows {
        if last.is_some() && (*stop.borrow() || tokio::time::Instant::now() >= until) {
            told = Told::Some;
            break;
        }
        match echo(app, row).await {
            Ok(said) => messages.extend(said),
            // The database is away: tried again, nothing is skipped.
            Err(error @ StoreError::Database(_)) => return Err(error),
            // This one event cannot be told, now or later; it must not keep every other room in silence.
            Err(error) => {
                let position = row.place.map_or(0, |(position, _)| position.0);
                let run = row.scope.run.map(|run| run.0);
                tracing::error!(error = %text::chain(&error), position, run.id = run, "an event cannot be told: `audit verify` tells more");
            }
        }
        last = row.place.map(|(position, _)| position).or(last);
    }
    let Some(last) = last else { return Ok(Told::All) };
    app.store.advance_sink(SINK, from, last, &fold(messages)).await?;
    Ok(told)
}

/// Of several changes of the same message in one batch only the last is worth telling.
fn fold(messages: Vec<NewMessage>) -> Vec<NewMessage> {
    let mut kept: Vec<NewMessage> = Vec::with_capacity(messages.len());
    for message in messages {
        if let Place::Instead(_) = message.place {
            kept.retain(|old| old.place != message.place);
            kept.push(message);
            continue;
        }
        let same =
            |old: &NewMessage| old.edits && message.edits && old.role == message.role && old.room == message.room;
        if kept.last().is_some_and(same) && kept.last().is_some_and(|old| old.cause == message.cause) {
            kept.pop();
        }
        kept.push(message);
    }
    kept
}

/// What rooms read of one event, and how the incident stands that it concerns.
async fn echo(app: &App, row: &ChainRow) -> Result<Vec<NewMessage>, StoreError> {
    let event = row.event();
    let (Some(position), Some(record)) = (event.position, event.record.as_ref()) else { return Ok(Vec::new()) };
    let mut said = words(app, &event, position, record).await?;
    said.extend(super::incident_rooms::summary(app, &event, position, &record.what).await?);
    Ok(said)
}

/// What a room reads of one event; most events concern no room.
async fn words(app: &App, event: &Event, position: Position, record: &Record) -> Result<Vec<NewMessage>, StoreError> {
    match &record.what {
        Happened::CatalogRefused { problems } => {
            Ok(to_every_room(app, position, &text::echo::catalog_refused(problems)))
        }
        Happened::CatalogLoaded { runbooks, .. } => {
            // Worth telling only after the rooms were told of one that was refused; the reload says so by its cause.
            let told = event.scope.audience.as_deref() == Some("rooms");
            Ok(if told { to_every_room(app, position, &text::echo::catalog_loaded(*runbooks)) } else { Vec::new() })
        }
        Happened::LedgerCreated { .. }
        | Happened::LineSaid { .. }
        | Happened::LineEdited { .. }
        | Happened::RunPlanned { .. }
        | Happened::RequestAsked { .. }
        | Happened::Decided { .. }
        // They have just read it.
        | Happened::DecisionTakenBack { passkey: None, .. }
        | Happened::DelegationGiven { .. }
        | Happened::DelegationEnded { .. }
        | Happened::HandoverOffered { .. }
        | Happened::HandoverTaken { .. }
        | Happened::RequestHandedOver { .. }
        | Happened::RunHandedOver { .. }
        | Happened::GrantEnded { .. }
        | Happened::IncidentNoted { .. }
        | Happened::IncidentRoomArchived { .. }
        | Happened::GroupSeen { .. }
        | Happened::GroupUnseen { .. }
        | Happened::RoomChanged { .. }
        | Happened::KeyAdded { .. }
        | Happened::KeyRetired { .. }
        | Happened::PasskeyInvited { .. }
        | Happened::DecisionLinked { .. }
        | Happened::PasskeyUsed { .. }
        | Happened::ClockJumped { .. } => Ok(Vec::new()),
        Happened::CatalogWarned { warnings } => {
            // At a start the operator reads it; after a reload whoever changed the catalog may be in a room.
            let told = event.scope.audience.as_deref() == Some("rooms");
            Ok(if told { to_every_room(app, position, &text::echo::catalog_warned(warnings)) } else { Vec::new() })
        }
        // They alone know whether it was them.
        Happened::PasskeyAdded { passkey, person, name, .. } => {
            Ok(to_person(app, position, person, &text::passkey::added(*passkey, name)))
        }
        Happened::PasskeyRemoved { passkey, person, because: _ } => {
            Ok(to_person(app, position, person, &text::passkey::removed_to_person(*passkey)))
        }
        Happened::WasAway { room, from, to, not_done, more, unread_until } => {
            let gap = text::away::Away { from: *from, to: *to, not_done, more: *more, unread_until: *unread_until };
            let text = text::away::was_away(&gap, &app.times, app.store.clock().now());
            Ok(vec![to_room(room, position, &text)])
        }
        Happened::IncidentRoomMade { .. }
        | Happened::IncidentRoomInvited { .. }
        | Happened::IncidentRoomRefused { .. } => super::incident_rooms::tell(app, event, position, &record.what).await,
        Happened::AccessBegun { .. }
        | Happened::AccessTaken { .. }
        | Happened::AccessProposed { .. }
        | Happened::AccessCountersigned { .. }
        | Happened::AccessAccepted { .. }
        | Happened::AccessRefused { .. }
        | Happened::AccessExpired { .. }
        | Happened::AccessSuperseded { .. }
        | Happened::AccessAuthors { .. } => access::tell(app, event, position, &record.what).await,
        Happened::HandoverReminded { .. } | Happened::HandoverLapsed { .. } => {
            super::handover::tell(app, position, &record.what).await
        }
        Happened::TriggerFired { .. }
        | Happened::TriggerHeld { .. }
        | Happened::TriggerReleased { .. }
        | Happened::AutomationPaused { .. }
        | Happened::AutomationResumed { .. } => automation::tell(app, event, position, &record.what).await,
        Happened::CheckTurned { .. }
        | Happened::CheckFlaps { .. }
        | Happened::CheckSteady { .. }
        | Happened::IncidentOpened { .. }
        | Happened::IncidentAcknowledged { .. }
        | Happened::IncidentMitigated { .. }
        | Happened::IncidentRecurred { .. }
        | Happened::IncidentResolved { .. }
        | Happened::IncidentReopened { .. } => super::echo_incident::tell(app, event, position, &record.what).await,
        Happened::GlassBroken { .. }
        | Happened::CoverEnded { .. }
        | Happened::LaterRefused { .. }
        | Happened::DecisionTakenBack { passkey: Some(_), .. }
        | Happened::ReviewOverdue { .. }
        | Happened::Reviewed { .. }
        | Happened::RequestGranted { .. }
        | Happened::RequestDenied { .. }
        | Happened::RequestExpired { .. }
        | Happened::RequestWithdrawn { .. }
        | Happened::RequestSentBack { .. }
        | Happened::RequestSuperseded { .. }
        | Happened::PeopleAsked { .. }
        | Happened::RequestReminded { .. }
        | Happened::RequestRung { .. }
        | Happened::RingFailed { .. }
        | Happened::RequestLookedAt { .. }
        | Happened::RequestDiffers { .. }
        | Happened::AttemptStarted { .. }
        | Happened::AttemptEnded { .. }
        | Happened::AttemptProgress { .. }
        | Happened::AttemptLost { .. }
        | Happened::AttemptJudged { .. }
        | Happened::AttemptSkipped { .. }
        | Happened::RunSucceeded { .. }
        | Happened::RunFailed { .. }
        | Happened::RunStuck { .. }
        | Happened::RunStopping { .. }
        | Happened::RunStopped { .. } => {
            let Some(id) = event.scope.run else { return Ok(Vec::new()) };
            let Some(run) = app.store.find_run(id).await? else { return Ok(Vec::new()) };
            let sealed = Sealed::from_stored(run.plan.clone());
            if sealed.digest() != run.digest {
                // One plan that somebody changed must not silence every room.
                let said = without_plan(app, &run, event, &record.what);
                let changed = life::tell(app, &run, None, life::Began::Asked, event, position, &record.what).await;
                return with_changes(said, changed, &run);
            }
            let by_itself = automation::by_itself(app, &run, position).await?;
            let plan = plan_of(&run)?;
            let began = if by_itself.is_some() { life::Began::ByItself } else { life::Began::Asked };
            let changed = match life::woke(&record.what) {
                Some(request) => life::foot(app, &run, &plan, request, event, position).await,
                None => life::tell(app, &run, Some(&plan), began, event, position, &record.what).await,
            };
            let teller = Teller { app, plan, run, by_itself, position, at: event.at, cause: event.cause };
            let said = teller.tell(event, &record.what).await?;
            with_changes(said, changed, &teller.run)
        }
    }
}

/// What is said, with the changes of what was posted before. What cannot be changed keeps nobody from being told.
fn with_changes(
    mut said: Vec<NewMessage>,
    changed: Result<Vec<NewMessage>, StoreError>,
    run: &Run,
) -> Result<Vec<NewMessage>, StoreError> {
    match changed {
        Ok(changed) => said.extend(changed),
        Err(error @ StoreError::Database(_)) => return Err(error),
        Err(error) => {
            tracing::error!(error = %text::chain(&error), run.id = run.id.0, "a run's messages cannot be changed");
        }
    }
    Ok(said)
}

/// What a room reads of a run whose stored plan is not the one that was planned: only how it ended, for the words of that
/// plan cannot be believed.
fn without_plan(app: &App, run: &Run, event: &Event, what: &Happened) -> Vec<NewMessage> {
    let (Some(position), Some(hash)) = (event.position, event.hash) else { return Vec::new() };
    let place = text::echo::head(position, hash);
    let text = match what {
        Happened::RunFailed { step, why, .. } => {
            text::echo::failed_without_plan(run.id, run.concerns(), *step, why, &place)
        }
        Happened::RunStopped { by, .. } => text::echo::stopped_without_plan(run.id, by, &place),
        _ => return Vec::new(),
    };
    let mut message = Message::to_room(text);
    message.ping = accounts(&app.in_use().catalog, std::slice::from_ref(run.concerns()), &run.room);
    vec![NewMessage {
        room: RoomAddress::clone(&run.room),
        place: run.thread.clone().map_or_else(|| Place::ThreadOf(run.subject()), Place::Thread),
        origin: Origin::Event(position),
        part: 0,
        cause: event.cause,
        role: None,
        edits: false,
        message,
    }]
}

fn to_every_room(app: &App, position: Position, text: &str) -> Vec<NewMessage> {
    let in_use = app.in_use();
    in_use.catalog.rooms.values().map(|room| to_room(&room.address, position, text)).collect()
}

/// To one person alone, wherever a platform takes messages to them.
fn to_person(app: &App, position: Position, person: &PersonId, text: &str) -> Vec<NewMessage> {
    let in_use = app.in_use();
    let accounts = in_use.catalog.people.get(person).map(|person| person.accounts.as_slice()).unwrap_or_default();
    accounts.iter().filter_map(|account| app.direct(account)).map(|room| to_room(&room, position, text)).collect()
}

fn to_room(room: &RoomAddress, position: Position, text: &str) -> NewMessage {
    NewMessage {
        room: room.clone(),
        place: Place::Room,
        origin: Origin::Event(position),
        part: 0,
        cause: None,
        role: None,
        edits: false,
        message: Message::to_room(text),
    }
}

/// One event of one run, about to be told.
struct Teller<'a> {
    app: &'a App,
    run: Run,
    plan: Plan,
    /// The trigger that started it by itself, if one did.
    by_itself: Option<TriggerName>,
    position: Position,
    at: DateTime<Utc>,
    cause: Option<InboxId>,
}

impl Teller<'_> {
    async fn tell(&self, event: &Event, what: &Happened) -> Result<Vec<NewMessage>, StoreError> {
        // A run that needs nobody's agreement has no thread of its own and tells its outcome alone.
        let quiet = !self.plan.privileged();
        let place = event.hash.map(|hash| text::echo::head(self.position, hash)).unwrap_or_default();
        let requester = self.run.concerns();
        let now = self.app.store.clock().now();
        if let Some((text, ping)) = self.retry_ended(what).await? {
            return Ok(self.plain(&text, &ping));
        }
        if let Some(said) = self.of_itself(what, &place) {
            return Ok(said);
        }
        let said = match what {
            Happened::CoverEnded { code, by, used, .. } => {
                (text::repeat::taken_back(&self.plan, code, by, *used), vec![requester.clone()])
            }
            Happened::GlassBroken { request, code, person, own, reason, skipped, review_by, .. } => {
                let reviewers = self.reviewers(*request, person, ReviewState::Owed).await?;
                let until = self.app.times.until(*review_by, now);
                let text = text::review::broken(&text::review::Broken {
                    plan: &self.plan,
                    code,
                    by: person,
                    own: *own,
                    reason,
                    skipped,
                    reviewers: &reviewers,
                    until: &until,
                    place: &place,
                });
                let told: Vec<PersonId> = skipped.iter().cloned().chain(reviewers).collect();
                return Ok(self.aloud(&text, &told));
            }
            Happened::ReviewOverdue { request, code, due_at, .. } => {
                let review = self.app.store.find_review(*request).await?;
                let by = review.map(|review| review.by);
                let reviewers = match &by {
                    Some(by) => self.reviewers(*request, by, ReviewState::Overdue).await?,
                    None => Vec::new(),
                };
                let due = self.app.times.at(*due_at, now);
                let text = text::review::overdue(&self.plan, code, by.as_ref(), &reviewers, &due);
                return Ok(self.aloud(&text, &reviewers));
            }
            Happened::Reviewed { request, code, by, verdict, words, .. } => {
                let review = self.app.store.find_review(*request).await?;
                let breaker = review.map_or_else(|| requester.clone(), |review| review.by);
                let text = text::review::reviewed(&self.plan, code, by, *verdict, words, &place);
                let mut told = vec![breaker];
                told.extend((told.first() != Some(requester)).then(|| requester.clone()));
                (text, told)
            }
            Happened::RequestGranted { request, automatic, .. } => {
                let mut said = self.progress(Edits::No).await?;
                // Who asked is told that it goes on, and that they need not wait.
                if automatic.is_none()
                    && let Some(message) = said.first_mut()
                {
                    let request = self.app.store.find_request(*request).await?;
                    let asked = request.and_then(|request| request.requesters.first().cloned());
                    message.message.ping = self.accounts(&[asked.unwrap_or_else(|| requester.clone())]);
                }
                return Ok(said);
            }
            Happened::AttemptStarted { .. }
            | Happened::AttemptEnded { .. }
            | Happened::AttemptProgress { .. }
            | Happened::AttemptLost { .. }
            | Happened::AttemptJudged { .. }
            | Happened::AttemptSkipped { .. } => {
                return if quiet { Ok(Vec::new()) } else { self.progress(Edits::Yes).await };
            }
            Happened::DecisionTakenBack { code, person, passkey: Some(passkey), .. } => {
                (text::passkey::approval_ended(person, code, *passkey), vec![person.clone()])
            }
            Happened::RequestDenied { code, by, why, .. } => {
                let text = text::echo::denied(&self.plan, requester, code, by, why.as_deref(), &place);
                (text, vec![requester.clone()])
            }
            Happened::RequestExpired { code, .. } => {
                let expired = self.app.times.until(self.at, now);
                (text::echo::expired(&self.plan, requester, code, &expired, &place), vec![requester.clone()])
            }
            Happened::RequestWithdrawn { code, by, .. } => (text::echo::withdrawn(&self.plan, code, by), Vec::new()),
            Happened::RequestSentBack { code, by, why, .. } => {
                (text::echo::sent_back(&self.plan, requester, code, by, why), vec![requester.clone()])
            }
            Happened::RequestSuperseded { code, by, newer_code, .. } => {
                (text::echo::superseded(&self.plan, code, by, newer_code), Vec::new())
            }
            // Whoever came without having been asked knows: their answer is what the room reads.
            Happened::PeopleAsked { people, .. }
                if self.cause.is_some()
                    && !people.is_empty()
                    && people.iter().all(|asked| asked.because == Because::Turn) =>
            {
                return Ok(Vec::new());
            }
            Happened::PeopleAsked { request, code, stage, people, expires_at, .. } => {
                return match self.asked_also(*request, code, *stage, people, *expires_at).await? {
                    Some((text, names)) => self.to_asked(*request, &text, &names).await,
                    None => Ok(Vec::new()),
                };
            }
            Happened::RequestReminded { request, people, .. } => match self.reminded(*request, people).await? {
                Some(said) => said,
                None => return Ok(Vec::new()),
            },
            Happened::RingFailed { code, people, tries, why, .. } => {
                (text::waking::ring_failed(code, people, *tries, why), Vec::new())
            }
            Happened::RequestDiffers { code, now, .. } => (text::echo::differs(&self.plan, code, *now), Vec::new()),
            Happened::RunSucceeded { millis, .. } if quiet => {
                let events = self.app.store.list_run_events(self.run.id, self.position).await?;
                let at = self.app.times.at_second(self.at, now);
                (self.found(&events, &at, *millis, &place), Vec::new())
            }
            Happened::RunFailed { step, why, .. } if quiet => {
                let events = self.app.store.list_run_events(self.run.id, self.position).await?;
                let at = self.app.times.at_second(self.at, now);
                let found = text::echo::health(&self.plan, &events, &at);
                let checked = events.iter().any(|event| {
                    matches!(event.record.as_ref().map(|record| &record.what),
                        Some(Happened::AttemptEnded { checks, .. }) if !checks.is_empty())
                });
                let text = match (self.plan.telling, checked) {
                    (Telling::Answer, _) => text::echo::is_answer(&self.plan, &events, &at),
                    (Telling::Steps, true) => found,
                    (Telling::Steps, false) => text::echo::failed(&self.plan, requester, *step, why, &place),
                };
                (text, vec![requester.clone()])
            }
            Happened::RunSucceeded { millis, .. } => {
                (text::echo::succeeded(&self.plan, requester, *millis, &place), vec![requester.clone()])
            }
            Happened::RunFailed { step, why, .. } => match self.not_started(why, &place).await? {
                Some(said) => said,
                None => (text::echo::failed(&self.plan, requester, *step, why, &place), vec![requester.clone()]),
            },
            Happened::RunStuck { step, why, .. } => {
                let in_use = self.app.in_use();
                let subjects = in_use.catalog.systems.get(&self.run.system).map(|system| system.may_unstick.clone());
                let who = in_use.catalog.people_in(&subjects.unwrap_or_default());
                let who: Vec<PersonId> = who.into_iter().filter(|person| person != requester).collect();
                let text = text::echo::stuck(&self.plan, self.run.id, requester, *step, why, &who, &place);
                let told = who.into_iter().chain([requester.clone()]).collect();
                (text, told)
            }
            Happened::RunStopping { by, .. } => (text::echo::stopping(&self.plan, by), Vec::new()),
            Happened::RunStopped { by, done, unknown, not_started, skipped, revoked, .. } => {
                let text = match revoked {
                    Some(revoked) => text::echo::revoked(&self.plan, by, revoked, &place),
                    None => text::echo::stopped(&self.plan, by, done, unknown, skipped, not_started, &place),
                };
                // Whoever stopped it knows.
                (text, if by == requester { Vec::new() } else { vec![requester.clone()] })
            }
            Happened::LedgerCreated { .. }
            | Happened::LineSaid { .. }
            | Happened::LineEdited { .. }
            | Happened::CatalogLoaded { .. }
            | Happened::CatalogRefused { .. }
            | Happened::RunPlanned { .. }
            // Told as the end of its run.
            | Happened::LaterRefused { .. }
            | Happened::RequestAsked { .. }
            | Happened::Decided { .. }
            | Happened::DecisionTakenBack { passkey: None, .. }
            | Happened::RequestRung { .. }
            | Happened::RequestLookedAt { .. }
            | Happened::DelegationGiven { .. }
            | Happened::DelegationEnded { .. }
            | Happened::HandoverOffered { .. }
            | Happened::HandoverReminded { .. }
            | Happened::HandoverTaken { .. }
            | Happened::HandoverLapsed { .. }
            | Happened::RequestHandedOver { .. }
            | Happened::RunHandedOver { .. }
            | Happened::GrantEnded { .. }
            | Happened::CheckTurned { .. }
            | Happened::CheckFlaps { .. }
            | Happened::CheckSteady { .. }
            | Happened::IncidentOpened { .. }
            | Happened::IncidentAcknowledged { .. }
            | Happened::IncidentMitigated { .. }
            | Happened::IncidentRecurred { .. }
            | Happened::IncidentResolved { .. }
            | Happened::IncidentReopened { .. }
            | Happened::IncidentNoted { .. }
            | Happened::IncidentRoomMade { .. }
            | Happened::IncidentRoomInvited { .. }
            | Happened::IncidentRoomRefused { .. }
            | Happened::IncidentRoomArchived { .. }
            | Happened::TriggerFired { .. }
            | Happened::TriggerHeld { .. }
            | Happened::TriggerReleased { .. }
            | Happened::AutomationPaused { .. }
            | Happened::AutomationResumed { .. }
            | Happened::GroupSeen { .. }
            | Happened::GroupUnseen { .. }
            | Happened::AccessBegun { .. }
            | Happened::AccessTaken { .. }
            | Happened::AccessProposed { .. }
            | Happened::AccessCountersigned { .. }
            | Happened::AccessAccepted { .. }
            | Happened::AccessRefused { .. }
            | Happened::AccessExpired { .. }
            | Happened::AccessSuperseded { .. }
            | Happened::AccessAuthors { .. }
            | Happened::WasAway { .. }
            | Happened::RoomChanged { .. }
            | Happened::KeyAdded { .. }
            | Happened::KeyRetired { .. }
            | Happened::CatalogWarned { .. }
            | Happened::PasskeyInvited { .. }
            | Happened::PasskeyAdded { .. }
            | Happened::PasskeyRemoved { .. }
            | Happened::DecisionLinked { .. }
            | Happened::PasskeyUsed { .. }
            | Happened::ClockJumped { .. } => return Ok(Vec::new()),
        };
        let (text, ping) = said;
        Ok(self.plain(&text, &ping))
    }

    /// What is told of a run that was to start later and never did, and to whom: whoever asked, and whoever agreed.
    async fn not_started(&self, why: &str, place: &str) -> Result<Option<(String, Vec<PersonId>)>, StoreError> {
        let Some(not_before) = self.plan.not_before else { return Ok(None) };
        let events = self.app.store.list_run_events(self.run.id, self.position).await?;
        let mut told = vec![self.run.concerns().clone()];
        for what in events.iter().filter_map(|event| Some(&event.record.as_ref()?.what)) {
            match what {
                Happened::AttemptStarted { .. } => return Ok(None),
                Happened::RequestGranted { by, .. } => {
                    told.extend(by.iter().filter(|person| *person != self.run.concerns()).cloned());
                }
                _ => {}
            }
        }
        let at = self.app.times.at(not_before, self.at);
        Ok(Some((text::later::not_started(&self.plan, self.run.concerns(), why, &at, place), told)))
    }

    /// By which accounts people are pinged in the run's room.
    fn accounts(&self, people: &[PersonId]) -> Vec<Account> {
        accounts(&self.app.in_use().catalog, people, &self.run.room)
    }

    /// What is told otherwise of a run that started by itself: in the room, where people are, and only what needs one.
    fn of_itself(&self, what: &Happened, place: &str) -> Option<Vec<NewMessage>> {
        let trigger = self.by_itself.as_ref()?;
        let (text, ping) = match what {
            // The service is fine again: that is what is told.
            Happened::RunSucceeded { .. } => return Some(Vec::new()),
            Happened::RunFailed { step, why, .. } => {
                let who = automation::who(self.app, self.run.concerns(), &self.run.system);
                (text::automation::failed(&self.plan, trigger, *step, why, &who, place), who)
            }
            Happened::RunStuck { step, why, .. } => {
                let who = automation::who_unsticks(self.app, &self.run.system);
                let owner = self.run.concerns();
                (text::echo::stuck(&self.plan, self.run.id, owner, *step, why, &who, place), who)
            }
            Happened::RunStopped { by, done, unknown, not_started, skipped, .. } => {
                (text::echo::stopped(&self.plan, by, done, unknown, skipped, not_started, place), Vec::new())
            }
            _ => return None,
        };
        let mut said = self.plain(&text, &ping);
        for message in &mut said {
            message.place = Place::Room;
        }
        Some(said)
    }

    /// What the whole room should read: not in a thread.
    fn aloud(&self, text: &str, ping: &[PersonId]) -> Vec<NewMessage> {
        let mut said = self.plain(text, ping);
        for message in &mut said {
            message.place = Place::Room;
        }
        said
    }

    /// Who reviews that somebody started the run without agreement.
    async fn reviewers(
        &self,
        request: RequestId,
        breaker: &PersonId,
        state: ReviewState,
    ) -> Result<Vec<PersonId>, StoreError> {
        let rules = self.plan.policy.as_ref().and_then(|policy| policy.break_glass.as_ref());
        let subjects = rules.map(|rules| rules.reviewed_by.as_slice()).unwrap_or_default();
        let request = self.app.store.find_request(request).await?;
        let in_use = self.app.in_use();
        let requesters = match request {
            Some(request) => approval::requesters_now(&request, &self.run, &in_use.catalog),
            None => vec![self.run.requester.clone()],
        };
        let system = in_use.catalog.systems.get(&self.run.system);
        let review = approval::Review { by: breaker, requesters: &requesters, system, state };
        Ok(approval::reviewers(&in_use.catalog, subjects, &review))
    }

    /// A message of its own, or several when it does not fit into one.
    fn plain(&self, text: &str, ping: &[PersonId]) -> Vec<NewMessage> {
        let parts = crate::chat::sender::split(text, self.app.limits(&self.run.room).text);
        (0..)
            .zip(parts)
            .map(|(part, text)| {
                let mut message = Message::to_room(text);
                if part == 0 {
                    message.ping = self.accounts(ping);
                }
                NewMessage { part, ..self.message(message, None, Edits::No) }
            })
            .collect()
    }

    /// What is said when people are asked after the request was shown: those of the next stage, and those who are asked as
    /// well. Whoever was asked with the request itself has read it.
    async fn asked_also(
        &self,
        request: RequestId,
        code: &Code,
        stage: u32,
        people: &[WhoAsked],
        expires_at: DateTime<Utc>,
    ) -> Result<Option<(String, Vec<PersonId>)>, StoreError> {
        let begins = people.iter().any(|asked| asked.because == Because::Stage) || people.is_empty();
        let events = self.app.store.list_run_events(self.run.id, self.position).await?;
        let of_stage = |event: &&Event| match event.record.as_ref().map(|record| &record.what) {
            Some(Happened::PeopleAsked { request: of, stage: at, .. }) => *of == request && *at == stage,
            _ => false,
        };
        // Whoever is asked when the stage has begun already is told in words of their own.
        let begins = begins && events.iter().filter(of_stage).count() <= 1;
        if stage == 0 && begins {
            return Ok(None);
        }
        let now = self.app.store.clock().now();
        let until = self.app.times.until(expires_at, now);
        let mut people = people.to_vec();
        let text = if begins {
            let mut before = self.app.store.list_decisions_of(request).await?;
            before.retain(|stored| stored.taken_back_at.is_none());
            let stages = self.plan.policy.as_ref().map_or(0, |policy| policy.stages.len());
            if let Some(policy) = &self.plan.policy {
                // Whoever has used their answer needs nobody to tell them that they cannot do so twice.
                let spent = spent_elsewhere(policy, stage, before.iter().map(|stored| &stored.decision));
                people.retain(|asked| !spent.contains(&asked.person) && !spent.contains(asked.holder()));
            }
            let agreed = |stored: &&StoredDecision| {
                stored.decision.stage + 1 == stage && stored.decision.answer == Answer::Approve
            };
            let name = |stored: &StoredDecision| {
                text::plan::answerer(&stored.decision.person, stored.decision.on_behalf_of.as_ref())
            };
            let by: Vec<String> = before.iter().filter(agreed).map(name).collect();
            text::echo::next_stage(&self.plan, code, stage, stages, &by, &people, &until)
        } else {
            text::echo::also_asked(code, &people, &until)
        };
        let mut names = Vec::new();
        for asked in people {
            if !names.contains(&asked.person) {
                names.push(asked.person);
            }
        }
        Ok(Some((text, names)))
    }

    /// The same, to each where they want to be asked: with a mention in the room, or with the whole request as a direct message.
    async fn to_asked(
        &self,
        request: RequestId,
        text: &str,
        names: &[PersonId],
    ) -> Result<Vec<NewMessage>, StoreError> {
        let in_use = self.app.in_use();
        let (mentioned, directly) = request::ways(self.app, &in_use, &self.run.room, names);
        let mut said = self.plain(text, &mentioned);
        let Some(request) = self.app.store.find_request(request).await? else { return Ok(said) };
        // What has ended meanwhile would stand there as if it waited.
        if directly.is_empty() || !matches!(request.state, RequestState::Pending { .. }) {
            return Ok(said);
        }
        let mut tx = self.app.store.begin().await?;
        let asked = approval::who_could_answer(&mut tx, &in_use.catalog, &request).await?;
        let showing = Showing {
            plan: &self.plan,
            request: &request,
            requester: request.requesters.first().unwrap_or(self.run.concerns()),
            trigger: self.run.trigger.as_ref(),
            asked: &asked,
            notes: &[],
        };
        let whole = request::whole(self.app, &in_use, &mut tx, &showing).await?;
        drop(tx);
        let origin = Origin::Event(self.position);
        said.extend(request::copies(self.app, &in_use, &request, &whole, directly, origin));
        Ok(said)
    }

    /// What is said to whoever could answer and has not.
    async fn reminded(
        &self,
        request: RequestId,
        people: &[PersonId],
    ) -> Result<Option<(String, Vec<PersonId>)>, StoreError> {
        let Some(request) = self.app.store.find_request(request).await? else { return Ok(None) };
        let now = self.app.store.clock().now();
        let requester = request.requesters.first().unwrap_or(self.run.concerns());
        let text = text::waking::reminded(
            &self.plan,
            self.run.id,
            &request.wanted,
            &request.code,
            people,
            requester,
            &self.app.times.short(request.stage_since, now),
            &self.app.times.until(request.expires_at, now),
        );
        Ok(Some((text, people.to_vec())))
    }

    /// What is said when a request to retry comes to nothing: the run is not ended by it.
    async fn retry_ended(&self, what: &Happened) -> Result<Option<(String, Vec<PersonId>)>, StoreError> {
        let (id, how) = match what {
            Happened::RequestDenied { request, by, why: Some(why), .. } => {
                (request, format!("was denied by {by}: {}", text::visible::visible(why)))
            }
            Happened::RequestDenied { request, by, why: None, .. } => (request, format!("was denied by {by}")),
            Happened::RequestWithdrawn { request, by, .. } => (request, format!("was withdrawn by {by}")),
            Happened::RequestSentBack { request, by, why, .. } => {
                (request, format!("was sent back by {by}: {}", text::visible::visible(why)))
            }
            Happened::RequestExpired { request, .. } => (request, "expired, nobody decided".to_owned()),
            _ => return Ok(None),
        };
        let Some(request) = self.app.store.find_request(*id).await? else { return Ok(None) };
        if request.wanted == Wanted::Start {
            return Ok(None);
        }
        let ping = request.requesters.first().cloned().into_iter().collect();
        Ok(Some((text::echo::retry_ended(&self.plan, &request.code, self.run.id, &request.wanted, &how), ping)))
    }

    fn found(&self, events: &[Event], at: &str, millis: u64, place: &str) -> String {
        match self.plan.telling {
            Telling::Answer => text::echo::is_answer(&self.plan, events, at),
            Telling::Steps if self.plan.steps.iter().all(checks) => text::echo::health(&self.plan, events, at),
            Telling::Steps => text::echo::succeeded(&self.plan, self.run.concerns(), millis, place),
        }
    }

    /// The progress message, posted or changed.
    async fn progress(&self, edits: Edits) -> Result<Vec<NewMessage>, StoreError> {
        let events = self.app.store.list_run_events(self.run.id, self.position).await?;
        // A further approval starts a message of its own; what it leads to is told there.
        let newest_grant = events
            .iter()
            .rposition(|event| matches!(event.record.as_ref().map(|r| &r.what), Some(Happened::RequestGranted { .. })))
            .unwrap_or(0);
        let since = events.get(newest_grant..).unwrap_or_default();
        let grant = since.first().and_then(|event| event.position).unwrap_or(self.position);
        let granted = since.iter().find_map(|event| match &event.record.as_ref()?.what {
            Happened::RequestGranted { request, .. } => Some(*request),
            _ => None,
        });
        let wanted = events.iter().find_map(|event| match &event.record.as_ref()?.what {
            Happened::RequestAsked { request, retry_step, wish, .. } if Some(*request) == granted => {
                Wanted::of(*retry_step, wish.clone())
            }
            _ => None,
        });
        let wanted = wanted.unwrap_or(Wanted::Start);
        let granted_at = since.first().map_or(self.at, |event| event.at);
        let starts = text::later::starts(&self.plan, &self.app.times, granted_at);
        let answered = granted.map(|request| text::answered::Answered::of(&events, request)).unwrap_or_default();
        let most = self.app.limits(&self.run.room).text;
        let text = text::echo::progress(&self.plan, since, &answered, &wanted, starts.as_deref(), most);
        let mut message = self.message(Message::to_room(text), Some(format!("run:{}:{grant}", self.run.id)), edits);
        let first = since.first().and_then(|event| event.record.as_ref()).map(|record| &record.what);
        if let Some(Happened::RequestGranted { automatic: Some(_), .. }) = first {
            // Nobody asked, so there is no message to hang a thread on: this one is the run's root.
            message.place = Place::Room;
            message.role = Some((self.run.subject(), "root"));
        }
        Ok(vec![message])
    }

    fn message(&self, message: Message, progress_of: Option<String>, edits: Edits) -> NewMessage {
        let place = match (&self.run.thread, self.plan.privileged()) {
            (Some(thread), _) => Place::Thread(thread.clone()),
            (None, true) => Place::ThreadOf(self.run.subject()),
            (None, false) => Place::Room,
        };
        NewMessage {
            room: RoomAddress::clone(&self.run.room),
            place,
            origin: Origin::Event(self.position),
            part: 0,
            cause: self.cause,
            role: progress_of.map(|subject| (subject, "progress")),
            edits: edits == Edits::Yes,
            message,
        }
    }
}

fn checks(step: &crate::model::plan::PlanStep) -> bool {
    matches!(step.action, crate::model::plan::Action::Check { .. })
}

/// Whether a message changes the one that has its role already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edits {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::OutboxId;

    fn message(place: Place, role: Option<(&str, &'static str)>, edits: bool, text: &str) -> NewMessage {
        NewMessage {
            room: "slack:T1:C2".parse().expect("an address"),
            place,
            origin: Origin::Event(Position(1)),
            part: 0,
            cause: None,
            role: role.map(|(subject, role)| (subject.to_owned(), role)),
            edits,
            message: Message::to_room(text),
        }
    }

    #[test]
    fn of_several_changes_of_a_message_the_last_is_told() {
        let progress = |text| message(Place::Room, Some(("run:1:2", "progress")), true, text);
        let instead = |of, text| message(Place::Instead(OutboxId(of)), None, true, text);
        let news = |text| message(Place::Room, None, false, text);
        let folded = fold(vec![
            instead(1, "approved"),
            instead(2, "approved"),
            news("starting"),
            progress("1 started"),
            progress("1 done"),
            news("done"),
            instead(1, "done"),
            instead(3, "done"),
        ]);
        let told: Vec<&str> = folded.iter().map(|message| message.message.text.as_str()).collect();
        assert_eq!(told, ["approved", "starting", "1 done", "done", "done", "done"]);
        assert_eq!(folded.first().map(|message| message.place.clone()), Some(Place::Instead(OutboxId(2))));
    }
}

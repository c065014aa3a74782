//! Incidents: opening, care, end, and the whole record of one.
//!
//! What lives here: what changes an incident, each change with its event in one transaction (I4). What does not: deciding
//! that a check fails (`watch`), who may change one (`flow`), words (`text`). The states are `model`'s.
//!
//! A failure of a service is one incident until a person resolves it: the table's unique index says so, whoever is first.

mod approvals;
pub mod report;

use chrono::{DateTime, Utc};

use crate::model::chat::RoomAddress;
use crate::model::event::{Happened, Health, NewEvent, Record, RowMark, Scope};
use crate::model::id::{CheckName, InboxId, IncidentId, PersonId, ServiceName, SystemName};
use crate::model::incident::{Acknowledged, Incident, IncidentEvent, IncidentState};
use crate::model::incident_room::RoomWish;
use crate::store::{CheckKnown, NewIncident, Result, StoreError, Tx};

pub use approvals::{Approvals, approvals};

/// A check of a service that fails for certain.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The system.
    pub system: SystemName,
    /// Its environment.
    pub environment: String,
    /// The service.
    pub service: ServiceName,
    /// The check.
    pub check: CheckName,
    /// What is wrong, in a few words: the title of an incident that is opened.
    pub title: String,
    /// Where an incident that is opened is talked about.
    pub room: RoomAddress,
    /// What the check found: [`Health::Warning`] or [`Health::Critical`].
    pub health: Health,
    /// When the first of the results that made it certain came.
    pub since: DateTime<Utc>,
    /// The channel that an incident gets that is opened.
    pub channel: Option<RoomWish>,
}

/// A service of which every check is well again, for certain.
#[derive(Debug, Clone)]
pub struct Recovery {
    /// The system.
    pub system: SystemName,
    /// The service.
    pub service: ServiceName,
    /// When the first of the results that made it certain came.
    pub since: DateTime<Utc>,
}

/// Opens an incident for a failure, or finds the one that its service has: one that was mitigated is open again, one that
/// is open stays as it is. Two failures at once make one incident.
///
/// Records `IncidentOpened` or `IncidentRecurred`, or nothing. Record the `CheckTurned` of the same failure after this
/// call, in the same transaction and with the returned incident in its scope: the room reads one message of both, and
/// tells of the opening with the words of the check.
///
/// # Errors
/// When the failure is none ([`Health::Ok`], [`Health::Unknown`]), or the database refuses.
pub async fn failed(tx: &mut Tx, failure: Failure) -> Result<IncidentId> {
    match failure.health {
        Health::Warning | Health::Critical => {}
        // What is well, and what nobody knows, is no failure.
        Health::Ok | Health::Unknown => {
            let (service, check) = (&failure.service, &failure.check);
            return Err(StoreError::Refused(format!("check {check} of {service} has not failed")));
        }
    }
    // An incident that is resolved between the two looks makes room for a new one: then the next round inserts it.
    for _ in 0..3 {
        if let Some(incident) = tx.lock_unresolved_incident(&failure.system, &failure.service).await? {
            return again(tx, incident, failure).await;
        }
        let new = NewIncident {
            system: &failure.system,
            environment: &failure.environment,
            service: Some(&failure.service),
            title: &failure.title,
            room: &failure.room,
            since: failure.since,
            by: None,
            cause: None,
            channel: failure.channel.as_ref(),
        };
        if let Some(id) = tx.insert_incident(new).await? {
            let scope = Scope {
                system: Some(failure.system),
                environment: Some(failure.environment),
                incident: Some(id),
                ..Scope::default()
            };
            let what = Happened::IncidentOpened {
                incident: id,
                service: Some(failure.service),
                title: failure.title,
                check: Some(failure.check),
                by: None,
                room: failure.room,
                since: failure.since,
            };
            let rows = vec![RowMark::incident(id, "open", 1)];
            tx.record(NewEvent { scope, cause: None, record: Record { what, rows } });
            return Ok(id);
        }
    }
    let service = failure.service;
    Err(StoreError::Moved { row: format!("the incident of {service}"), expected: "as it was read".to_owned() })
}

/// A service fails that has an unresolved incident.
async fn again(tx: &mut Tx, incident: Incident, failure: Failure) -> Result<IncidentId> {
    // Refused when it is open: the same failure.
    if let Ok(to) = incident.state.clone().next(IncidentEvent::Failed { since: failure.since }, tx.now()) {
        let what = Happened::IncidentRecurred { incident: incident.id, check: failure.check, since: failure.since };
        moved(tx, &incident, &to, incident.acknowledged.clone(), None, what).await?;
    }
    Ok(incident.id)
}

/// Marks the incident of a service as mitigated, if it has one that is open. Records `IncidentMitigated`. Record the
/// `CheckTurned` of the same recovery with the returned incident in its scope.
///
/// # Errors
/// When the database refuses.
pub async fn recovered(tx: &mut Tx, recovery: Recovery) -> Result<Option<IncidentId>> {
    let Some(incident) = tx.lock_unresolved_incident(&recovery.system, &recovery.service).await? else {
        return Ok(None);
    };
    let well = IncidentEvent::Recovered { since: recovery.since };
    let Ok(to) = incident.state.clone().next(well, tx.now()) else { return Ok(None) };
    let millis = millis_between(incident.state.since(), recovery.since);
    let what = Happened::IncidentMitigated { incident: incident.id, since: recovery.since, millis };
    moved(tx, &incident, &to, incident.acknowledged.clone(), None, what).await?;
    Ok(Some(incident.id))
}

/// Moves an incident and records why (I4).
async fn moved(
    tx: &mut Tx,
    incident: &Incident,
    to: &IncidentState,
    acknowledged: Option<Acknowledged>,
    cause: Option<InboxId>,
    what: Happened,
) -> Result<()> {
    let version = tx.move_incident(incident, to, acknowledged.as_ref()).await?;
    let rows = vec![RowMark::incident(incident.id, to.name(), version)];
    tx.record(NewEvent { scope: scope(incident), cause, record: Record { what, rows } });
    Ok(())
}

/// What every event of an incident is about.
fn scope(incident: &Incident) -> Scope {
    Scope {
        system: Some(incident.system.clone()),
        environment: Some(incident.environment.clone()),
        incident: Some(incident.id),
        ..Scope::default()
    }
}

/// Milliseconds from one moment to a later one; none if it is earlier.
fn millis_between(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}

/// An incident that a person is about to open.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The system.
    pub system: SystemName,
    /// Its environment.
    pub environment: String,
    /// What is wrong, in a few words, redacted.
    pub title: String,
    /// Where it is talked about.
    pub room: RoomAddress,
    /// The channel that it gets.
    pub channel: Option<RoomWish>,
}

/// A person's word on an incident, and the line in which they said it.
#[derive(Debug, Clone, Copy)]
pub struct Word<'a> {
    /// Who.
    pub by: &'a PersonId,
    /// In which line.
    pub line: InboxId,
}

/// Opens an incident that a person has seen. It belongs to no service: no check mitigates it.
///
/// # Errors
/// When the database refuses, as all of these.
pub async fn open(tx: &mut Tx, opening: Opening, word: Word<'_>) -> Result<IncidentId> {
    let since = tx.now();
    let new = NewIncident {
        system: &opening.system,
        environment: &opening.environment,
        service: None,
        title: &opening.title,
        room: &opening.room,
        since,
        by: Some(word.by),
        cause: Some(word.line),
        channel: opening.channel.as_ref(),
    };
    // Without a service there is nothing that it could be a second one of.
    let id = tx.insert_incident(new).await?.ok_or_else(|| StoreError::Moved {
        row: "an incident without a service".to_owned(),
        expected: "the only one of its number".to_owned(),
    })?;
    let scope = Scope {
        system: Some(opening.system),
        environment: Some(opening.environment),
        incident: Some(id),
        ..Scope::default()
    };
    let what = Happened::IncidentOpened {
        incident: id,
        service: None,
        title: opening.title,
        check: None,
        by: Some(word.by.clone()),
        room: opening.room,
        since,
    };
    let rows = vec![RowMark::incident(id, "open", 1)];
    tx.record(NewEvent { scope, cause: Some(word.line), record: Record { what, rows } });
    Ok(id)
}

/// What came of `ack`.
#[derive(Debug)]
pub enum AckOutcome {
    /// They take care of it now, whoever did before.
    Acknowledged,
    /// They did already.
    Already(Box<Incident>),
    /// It is over.
    Over(Box<Incident>),
}

/// Notes who takes care of an incident. Whoever says it last does.
///
/// # Errors
/// When the database refuses.
pub async fn acknowledge(tx: &mut Tx, id: IncidentId, word: Word<'_>) -> Result<AckOutcome> {
    let incident = tx.lock_incident(id).await?;
    if incident.acknowledged.as_ref().is_some_and(|keeper| keeper.by == *word.by) && !incident.state.is_over() {
        return Ok(AckOutcome::Already(Box::new(incident)));
    }
    let Ok(to) = incident.state.clone().next(IncidentEvent::Acknowledged, tx.now()) else {
        return Ok(AckOutcome::Over(Box::new(incident)));
    };
    let keeper = Acknowledged { by: word.by.clone(), at: tx.now() };
    let what = Happened::IncidentAcknowledged { incident: id, by: word.by.clone() };
    moved(tx, &incident, &to, Some(keeper), Some(word.line), what).await?;
    Ok(AckOutcome::Acknowledged)
}

/// What came of `resolve`.
#[derive(Debug)]
pub enum ResolveOutcome {
    /// It is over.
    Resolved,
    /// It was already: somebody else was faster.
    Over(Box<Incident>),
    /// Its service fails for certain, and they gave no reason: the checks that say so.
    StillFailing(Vec<CheckKnown>),
}

/// Ends an incident. While a check of its service fails for certain it wants a reason.
///
/// # Errors
/// When the database refuses.
pub async fn resolve(
    tx: &mut Tx,
    id: IncidentId,
    reason: Option<String>,
    approvals: Approvals,
    word: Word<'_>,
) -> Result<ResolveOutcome> {
    let incident = tx.lock_incident(id).await?;
    let end = IncidentEvent::Resolved { by: word.by.clone(), why: reason.clone() };
    let Ok(to) = incident.state.clone().next(end, tx.now()) else {
        return Ok(ResolveOutcome::Over(Box::new(incident)));
    };
    if let (None, Some(service)) = (&reason, &incident.service) {
        let mut failing = tx.list_checks_known(std::slice::from_ref(&incident.system)).await?;
        failing.retain(|known| known.service == *service && known.fails());
        if !failing.is_empty() {
            return Ok(ResolveOutcome::StillFailing(failing));
        }
    }
    let what = Happened::IncidentResolved {
        incident: id,
        by: word.by.clone(),
        reason,
        millis: millis_between(incident.opened_at, tx.now()),
        asked: approvals.asked,
        waited_millis: approvals.waited_millis,
    };
    moved(tx, &incident, &to, incident.acknowledged.clone(), Some(word.line), what).await?;
    Ok(ResolveOutcome::Resolved)
}

/// What came of `reopen`.
#[derive(Debug)]
pub enum ReopenOutcome {
    /// It is open.
    Reopened,
    /// It is not over.
    NotOver(Box<Incident>),
    /// Its service has a newer one that is not over.
    Another(IncidentId),
}

/// Opens an incident that was resolved.
///
/// # Errors
/// When the database refuses.
pub async fn reopen(tx: &mut Tx, id: IncidentId, reason: Option<String>, word: Word<'_>) -> Result<ReopenOutcome> {
    // Ordered by number: the older one is locked first, here as everywhere.
    let incident = tx.lock_incident(id).await?;
    let Ok(to) = incident.state.clone().next(IncidentEvent::Reopened, tx.now()) else {
        return Ok(ReopenOutcome::NotOver(Box::new(incident)));
    };
    if let Some(service) = &incident.service
        && let Some(other) = tx.lock_unresolved_incident(&incident.system, service).await?
    {
        return Ok(ReopenOutcome::Another(other.id));
    }
    let what = Happened::IncidentReopened { incident: id, by: word.by.clone(), reason };
    moved(tx, &incident, &to, incident.acknowledged.clone(), Some(word.line), what).await?;
    Ok(ReopenOutcome::Reopened)
}

/// Writes down what a person says for the record. Changes no state, so it is possible after the end as well.
pub fn note(tx: &mut Tx, incident: &Incident, text: String, word: Word<'_>) {
    let what = Happened::IncidentNoted { incident: incident.id, by: word.by.clone(), text };
    let record = Record { what, rows: Vec::new() };
    tx.record(NewEvent { scope: scope(incident), cause: Some(word.line), record });
}

//! Taking a result: the check's state, its turn and what that means for the service's incident, in one transaction (I4).

use chrono::{DateTime, Utc};

use super::state::{Known, Seen, Turn, all_well, next};
use crate::incident::{self, Failure, Recovery};
use crate::model::catalog::Schedule;
use crate::model::chat::RoomAddress;
use crate::model::event::{Happened, Health, NewEvent, Record, Scope};
use crate::model::id::{CheckName, IncidentId, ServiceName, SystemName};
use crate::store::{CheckRow, Result, Tx};

/// A check that is asked by itself, with what it belongs to.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its system.
    pub system: SystemName,
    /// That system's environment.
    pub environment: String,
    /// Where the system is talked about.
    pub room: RoomAddress,
    /// Its service.
    pub service: ServiceName,
    /// Its name.
    pub check: CheckName,
    /// How often, and how many results make it certain.
    pub schedule: Schedule,
    /// Every check of the service that is asked by itself.
    pub of_service: Vec<CheckName>,
}

/// What came of a result.
#[derive(Debug, Clone)]
pub struct Taken {
    /// What is known now.
    pub known: Known,
    /// Whether that is a change for certain.
    pub turn: Option<Turn>,
    /// The incident of the service that is not resolved, if this was a turn and there is one.
    pub incident: Option<IncidentId>,
}

fn known(row: &CheckRow) -> Known {
    Known {
        hard: row.hard,
        hard_since: row.hard_since,
        soft: row.soft,
        soft_since: row.soft_since,
        soft_count: row.soft_count,
        asked_at: row.asked_at,
        detail: row.detail.clone(),
        ok_at: row.ok_at,
        turns: row.turns.clone(),
    }
}

fn row(watched: &Watched, version: i64, known: &Known) -> CheckRow {
    CheckRow {
        system: watched.system.clone(),
        service: watched.service.clone(),
        check: watched.check.clone(),
        version,
        hard: known.hard,
        hard_since: known.hard_since,
        soft: known.soft,
        soft_since: known.soft_since,
        soft_count: known.soft_count,
        asked_at: known.asked_at,
        detail: known.detail.clone(),
        ok_at: known.ok_at,
        turns: known.turns.clone(),
    }
}

/// Takes a result. `title` says in a few words what is wrong, should it open an incident.
///
/// # Errors
/// When the database refuses, or a row moved meanwhile.
pub async fn take(tx: &mut Tx, watched: &Watched, seen: &Seen, title: String) -> Result<Taken> {
    let before = tx.lock_check_state(&watched.system, &watched.service, &watched.check).await?;
    let (after, turn) = next(before.as_ref().map(known).as_ref(), seen, watched.schedule.fails_after);
    tx.put_check_state(&row(watched, before.map_or(0, |row| row.version), &after)).await?;
    let incident = match &turn {
        None => None,
        Some(turn) => Some(incident_of(tx, watched, turn, title).await?),
    };
    if let (Some(turn), Some(incident)) = (&turn, incident) {
        let what = Happened::CheckTurned {
            service: watched.service.clone(),
            check: watched.check.clone(),
            was: turn.was,
            now: turn.now,
            since: turn.since,
            results: turn.results,
            detail: seen.detail.clone(),
        };
        tx.record(turned(watched, incident, what));
    }
    Ok(Taken { known: after, turn, incident: incident.flatten() })
}

/// What a turn opens, mitigates, or belongs to.
async fn incident_of(tx: &mut Tx, watched: &Watched, turn: &Turn, title: String) -> Result<Option<IncidentId>> {
    let service = std::slice::from_ref(&watched.service);
    match turn.now {
        Health::Warning | Health::Critical => {
            let failure = Failure {
                system: watched.system.clone(),
                environment: watched.environment.clone(),
                service: watched.service.clone(),
                check: watched.check.clone(),
                title,
                room: watched.room.clone(),
                health: turn.now,
                since: turn.since,
            };
            incident::failed(tx, failure).await.map(Some)
        }
        // Nobody knows: nothing is opened, and nothing counts as well.
        Health::Unknown => tx.find_unresolved_incident_of(&watched.system, service).await,
        Health::Ok => {
            let certain = tx.list_certain(&watched.system, &watched.service).await?;
            let of = |name: &CheckName| certain.iter().find(|(known, _)| known == name).and_then(|(_, hard)| *hard);
            if all_well(watched.of_service.iter().map(of)) {
                let (system, service) = (watched.system.clone(), watched.service.clone());
                if let Some(id) = incident::recovered(tx, Recovery { system, service, since: turn.since }).await? {
                    return Ok(Some(id));
                }
            }
            tx.find_unresolved_incident_of(&watched.system, service).await
        }
    }
}

fn turned(watched: &Watched, incident: Option<IncidentId>, what: Happened) -> NewEvent {
    let scope = Scope {
        system: Some(watched.system.clone()),
        environment: Some(watched.environment.clone()),
        incident,
        ..Scope::default()
    };
    NewEvent { scope, cause: None, record: Record { what, rows: Vec::new() } }
}

/// Forgets a check that is no longer watched, and says so: from now on it is unknown. `environment` is that of its system,
/// if that is still known.
///
/// # Errors
/// When the database refuses.
pub async fn forget(
    tx: &mut Tx,
    row: &CheckRow,
    environment: Option<String>,
    why: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    if !tx.delete_check_state(row).await? || row.hard.is_none_or(|hard| hard == Health::Unknown) {
        return Ok(());
    }
    let incident = tx.find_unresolved_incident_of(&row.system, std::slice::from_ref(&row.service)).await?;
    let scope = Scope { system: Some(row.system.clone()), environment, incident, ..Scope::default() };
    let what = Happened::CheckTurned {
        service: row.service.clone(),
        check: row.check.clone(),
        was: row.hard,
        now: Health::Unknown,
        since: now,
        results: 0,
        detail: why.to_owned(),
    };
    tx.record(NewEvent { scope, cause: None, record: Record { what, rows: Vec::new() } });
    Ok(())
}

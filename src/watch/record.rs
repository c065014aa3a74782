//! Taking a result: the check's state, its turn and what that means for the service's incident, in one transaction (I4).

use chrono::{DateTime, Utc};

use super::state::{FLAP_WINDOW, Known, News, Seen, Turn, all_well, next};
use crate::incident::{self, Failure, Recovery};
use crate::model::catalog::Schedule;
use crate::model::chat::RoomAddress;
use crate::model::event::{Happened, Health, NewEvent, Record, Scope};
use crate::model::id::{CheckName, IncidentId, ServiceName, SystemName};
use crate::model::incident_room::RoomWish;
use crate::store::{CheckFound, CheckRow, Result, Tx};

/// A check that is asked by itself, with what it belongs to.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Its system.
    pub system: SystemName,
    /// That system's environment.
    pub environment: String,
    /// Where the system is talked about.
    pub room: RoomAddress,
    /// The channel that each of the system's incidents gets.
    pub channel: Option<RoomWish>,
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
    /// Whether that is a change for certain, told or not.
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
        flaps_since: row.flaps_since,
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
        flaps_since: known.flaps_since,
    }
}

/// Takes a result. `title` says in a few words what is wrong, should it open an incident.
///
/// # Errors
/// When the database refuses, or a row moved meanwhile.
pub async fn take(tx: &mut Tx, watched: &Watched, seen: &Seen, title: String) -> Result<Taken> {
    let (version, before) = match tx.lock_check_state(&watched.system, &watched.service, &watched.check).await? {
        CheckFound::Nothing => (0, None),
        CheckFound::Row(row) => (row.version, Some(known(&row))),
        // It is not believed; what the check says now takes its place.
        CheckFound::Unreadable { version, why } => {
            tracing::error!(error = %why, "what is known of a check cannot be read and counts as not known");
            (version, None)
        }
    };
    let (after, news) = next(before.as_ref(), seen, watched.schedule.fails_after);
    tx.put_check_state(&row(watched, version, &after)).await?;
    let (service, check) = (watched.service.clone(), watched.check.clone());
    let (incident, what) = match &news {
        News::None => (None, None),
        News::Turned(turn) => {
            let what = Happened::CheckTurned {
                service,
                check,
                was: turn.was,
                now: turn.now,
                since: turn.since,
                results: turn.results,
                detail: seen.detail.clone(),
            };
            (incident_of(tx, watched, turn.now, turn.since, title).await?, Some(what))
        }
        News::Flaps { turn, changes } => {
            let what = Happened::CheckFlaps {
                service,
                check,
                changes: *changes,
                within_secs: FLAP_WINDOW.as_secs(),
                now: turn.now,
            };
            (incident_of(tx, watched, turn.now, turn.since, title).await?, Some(what))
        }
        // A failure is never without an incident; where there is one that is open, nothing is recorded.
        News::Hidden(turn) => (incident_of(tx, watched, turn.now, turn.since, title).await?, None),
        News::Steady { now, since } => {
            let what = Happened::CheckSteady { service, check, now: *now, since: *since, detail: seen.detail.clone() };
            (incident_of(tx, watched, *now, *since, title).await?, Some(what))
        }
    };
    if let Some(what) = what {
        tx.record(turned(watched, incident, what));
    }
    let turn = news.turn().cloned();
    Ok(Taken { known: after, turn, incident })
}

/// What a state opens, mitigates, or belongs to. A check that flaps is not certain to be well: it mitigates nothing.
async fn incident_of(
    tx: &mut Tx,
    watched: &Watched,
    now: Health,
    since: DateTime<Utc>,
    title: String,
) -> Result<Option<IncidentId>> {
    let service = std::slice::from_ref(&watched.service);
    match now {
        Health::Warning | Health::Critical => {
            let failure = Failure {
                system: watched.system.clone(),
                environment: watched.environment.clone(),
                service: watched.service.clone(),
                check: watched.check.clone(),
                title,
                room: watched.room.clone(),
                health: now,
                since,
                channel: watched.channel.clone(),
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
                if let Some(id) = incident::recovered(tx, Recovery { system, service, since }).await? {
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

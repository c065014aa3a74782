//! Incidents, as one transaction changes them and as others look them up; what is known of checks and of automation, as
//! people are told it.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::ledger::{ChainRow, Row};
use super::rows::Inconsistent;
use super::watch::Paused;
use super::{Result, Store, StoreError, Tx};
use crate::model::chat::RoomAddress;
use crate::model::event::{Event, Health};
use crate::model::id::{
    CheckName, InboxId, IncidentId, PersonId, Position, RunId, ServiceName, SystemName, TriggerName,
};
use crate::model::incident::{Acknowledged, Incident, IncidentState};
use crate::model::incident_room::RoomWish;

/// An incident about to be inserted; it is open.
#[derive(Debug)]
pub struct NewIncident<'a> {
    /// The system.
    pub system: &'a SystemName,
    /// Its environment.
    pub environment: &'a str,
    /// The service; `None` if a person names none.
    pub service: Option<&'a ServiceName>,
    /// In a few words.
    pub title: &'a str,
    /// Where it is talked about.
    pub room: &'a RoomAddress,
    /// Since when it is so.
    pub since: DateTime<Utc>,
    /// The person who opens it; `None`: a check does.
    pub by: Option<&'a PersonId>,
    /// The line that opens it.
    pub cause: Option<InboxId>,
    /// The channel that it is to have.
    pub channel: Option<&'a RoomWish>,
}

struct IncidentRow {
    id: i64,
    version: i64,
    state: String,
    system: String,
    environment: String,
    service: Option<String>,
    title: String,
    room: String,
    opened_at: DateTime<Utc>,
    opened_by: Option<String>,
    failed_at: DateTime<Utc>,
    acknowledged_by: Option<String>,
    acknowledged_at: Option<DateTime<Utc>>,
    mitigated_at: Option<DateTime<Utc>>,
    resolved_by: Option<String>,
    resolved_at: Option<DateTime<Utc>>,
    resolved_why: Option<String>,
    cause: Option<i64>,
}

impl TryFrom<IncidentRow> for Incident {
    type Error = Inconsistent;
    fn try_from(row: IncidentRow) -> Result<Self, Inconsistent> {
        let wrong = |column| Inconsistent::at(format!("incident {}", row.id), column);
        let since = row.failed_at;
        let resolved = (row.resolved_by.map(PersonId::new), row.resolved_at, row.resolved_why);
        let state = match (row.state.as_str(), row.mitigated_at, resolved) {
            ("open", None, (None, None, None)) => IncidentState::Open { since },
            ("mitigated", Some(at), (None, None, None)) => IncidentState::Mitigated { since, at },
            ("resolved", mitigated, (Some(by), Some(at), why)) => {
                IncidentState::Resolved { since, mitigated, by, at, why }
            }
            _ => return Err(wrong("state")),
        };
        let acknowledged = match (row.acknowledged_by.map(PersonId::new), row.acknowledged_at) {
            (Some(by), Some(at)) => Some(Acknowledged { by, at }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(wrong("acknowledged_by")),
        };
        Ok(Self {
            id: IncidentId(row.id),
            version: row.version,
            state,
            system: SystemName::new(row.system),
            environment: row.environment,
            service: row.service.map(ServiceName::new),
            title: row.title,
            room: row.room.parse().map_err(|_| wrong("room"))?,
            opened_at: row.opened_at,
            opened_by: row.opened_by.map(PersonId::new),
            acknowledged,
            cause: row.cause.map(InboxId),
        })
    }
}

/// The columns that a state fills: `failed_at`, `mitigated_at`, `resolved_by`, `resolved_at`, `resolved_why`.
struct StateColumns {
    failed_at: DateTime<Utc>,
    mitigated_at: Option<DateTime<Utc>>,
    resolved_by: Option<String>,
    resolved_at: Option<DateTime<Utc>>,
    resolved_why: Option<String>,
}

fn columns(state: &IncidentState) -> StateColumns {
    let none = StateColumns {
        failed_at: state.since(),
        mitigated_at: None,
        resolved_by: None,
        resolved_at: None,
        resolved_why: None,
    };
    match state {
        IncidentState::Open { .. } => none,
        IncidentState::Mitigated { at, .. } => StateColumns { mitigated_at: Some(*at), ..none },
        IncidentState::Resolved { since: _, mitigated, by, at, why } => StateColumns {
            mitigated_at: *mitigated,
            resolved_by: Some(by.to_string()),
            resolved_at: Some(*at),
            resolved_why: why.clone(),
            ..none
        },
    }
}

/// What is known of a scheduled check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckKnown {
    /// The system.
    pub system: SystemName,
    /// The service.
    pub service: ServiceName,
    /// The check.
    pub check: CheckName,
    /// What is certain, and when the first of the results came that made it so; `None`: nothing yet.
    pub hard: Option<(Health, DateTime<Utc>)>,
    /// When it was last asked.
    pub asked_at: DateTime<Utc>,
    /// What it said then: its first line, redacted.
    pub detail: String,
    /// Since when it flaps: what is certain of it is not to be believed.
    pub flaps_since: Option<DateTime<Utc>>,
}

impl CheckKnown {
    /// Whether it fails for certain. What nobody knows is no failure.
    pub fn fails(&self) -> bool {
        match self.hard {
            Some((Health::Warning | Health::Critical, _)) => true,
            Some((Health::Ok | Health::Unknown, _)) | None => false,
        }
    }
}

/// A trigger that a brake holds until a person says `resume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The trigger.
    pub trigger: TriggerName,
    /// For which service.
    pub service: ServiceName,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Why.
    pub why: String,
}

fn health(service: &str, name: &str) -> Result<Health, Inconsistent> {
    match name {
        "ok" => Ok(Health::Ok),
        "warning" => Ok(Health::Warning),
        "critical" => Ok(Health::Critical),
        "unknown" => Ok(Health::Unknown),
        _ => Err(Inconsistent::at(format!("the state of a check of {service}"), "hard")),
    }
}

/// The events of an incident and of its runs, in the order of the chain up to a place; what waits for the sequencer comes
/// last, and only without a place.
async fn events_of(executor: impl PgExecutor<'_>, id: IncidentId, up_to: Option<Position>) -> Result<Vec<Event>> {
    let rows = sqlx::query_as!(
        Row,
        r#"
        with its as (
            select e.id from event e where e.incident = $1
            union select e.id from event e join run r on r.id = e.run where r.incident = $1
        )
        select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
            e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
            b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
        from its join event e on e.id = its.id left join chain c on c.event = e.id
            left join event_body b on b.event = e.id
        where $2::bigint is null or c.position <= $2 order by c.position nulls last, e.id
        "#,
        id.0,
        up_to.map(|position| position.0)
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| ChainRow::from(row).event()).collect())
}

/// What an incident's record is filled with when it goes on for long, by its checks and not by people. Of these kinds only
/// the newest are told; every other kind is bounded by what people say and by brakes.
const OFTEN: [&str; 6] =
    ["check_turned", "check_flaps", "check_steady", "incident_recurred", "incident_mitigated", "trigger_held"];
/// How many of the kinds that come often are told.
const OFTEN_TOLD: i64 = 200;
/// How many of the other events are told, the newest; and of those of its runs.
const SELDOM_TOLD: i64 = 4_000;

/// The events of an incident and of its runs that an answer tells of, in the order of the chain; what waits for the
/// sequencer comes last. Bounded, however long the incident goes on: its opening, and the newest of everything.
async fn told_of(executor: impl PgExecutor<'_>, id: IncidentId) -> Result<Vec<Event>> {
    let often = OFTEN.map(str::to_owned);
    let rows = sqlx::query_as!(
        Row,
        r#"
        with its as (
            (select e.id from event e where e.incident = $1 and e.kind = 'incident_opened' order by e.id limit 1)
            union (select e.id from event e where e.incident = $1 and e.kind = any($2) order by e.id desc limit $3)
            union (select e.id from event e where e.incident = $1 and e.kind <> all($2) order by e.id desc limit $4)
            union (select e.id from event e join run r on r.id = e.run
                where r.incident = $1 and e.kind <> 'attempt_progress' order by e.id desc limit $4)
        )
        select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
            e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
            b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
        from its join event e on e.id = its.id left join chain c on c.event = e.id
            left join event_body b on b.event = e.id
        order by c.position nulls last, e.id
        "#,
        id.0,
        &often,
        OFTEN_TOLD,
        SELDOM_TOLD,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| ChainRow::from(row).event()).collect())
}

async fn runs_of(executor: impl PgExecutor<'_>, id: IncidentId) -> Result<Vec<RunId>> {
    let ids =
        sqlx::query_scalar!("select id from run where incident = $1 order by id", id.0).fetch_all(executor).await?;
    Ok(ids.into_iter().map(RunId).collect())
}

pub(super) async fn incidents_by_id(executor: impl PgExecutor<'_>, ids: &[i64]) -> Result<Vec<Incident>> {
    let rows = sqlx::query_as!(
        IncidentRow,
        r#"
        select id, version, state, system, environment, service, title, room, opened_at, opened_by, failed_at,
            acknowledged_by, acknowledged_at, mitigated_at, resolved_by, resolved_at, resolved_why, cause
        from incident where id = any($1) order by id
        "#,
        ids
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Incident::try_from).collect::<Result<_, _>>()?)
}

impl Store {
    /// An incident by its number.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row contradicts the model.
    pub async fn find_incident(&self, id: IncidentId) -> Result<Option<Incident>> {
        Ok(incidents_by_id(&self.pool, &[id.0]).await?.pop())
    }

    /// The events of an incident and of its runs, in the order of the chain: up to a place, or all with what waits for the
    /// sequencer last.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_incident_events(&self, id: IncidentId, up_to: Option<Position>) -> Result<Vec<Event>> {
        events_of(&self.pool, id, up_to).await
    }

    /// What was recorded of an incident at one moment, which is what one transaction recorded of it: a few events.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_incident_events_at(&self, id: IncidentId, at: DateTime<Utc>) -> Result<Vec<Event>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
                e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
                b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
            from event e left join chain c on c.event = e.id left join event_body b on b.event = e.id
            where e.incident = $1 and e.at = $2 order by e.id limit 100
            "#,
            id.0,
            at
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(rows.into_iter().map(|row| ChainRow::from(row).event()).collect())
    }

    /// The event at a place of the chain.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_chained(&self, at: Position) -> Result<Option<Event>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
                e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
                b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
            from chain c join event e on e.id = c.event left join event_body b on b.event = e.id
            where c.position = $1
            "#,
            at.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| ChainRow::from(row).event()))
    }

    /// Everything that was said in rooms between two places of the chain, both included, with edits, deletions and buttons,
    /// and what happened to the rooms themselves: events in order.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_room_lines(&self, rooms: &[RoomAddress], from: Position, to: Position) -> Result<Vec<Event>> {
        let rooms: Vec<String> = rooms.iter().map(ToString::to_string).collect();
        let rows = sqlx::query_as!(
            Row,
            r#"
            select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
                e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
                b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
            from chain c join event e on e.id = c.event join inbox i on i.id = e.cause
                left join event_body b on b.event = e.id
            where c.position between $2 and $3 and e.kind in ('line_said', 'line_edited', 'room_changed')
                and i.room = any($1)
            order by c.position
            "#,
            &rooms,
            from.0,
            to.0
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| ChainRow::from(row).event()).collect())
    }

    /// The runs of an incident, oldest first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_incident_runs(&self, id: IncidentId) -> Result<Vec<RunId>> {
        runs_of(&self.pool, id).await
    }

    /// Incidents, newest first; with a number only older ones, and `limit` of them at most.
    ///
    /// # Errors
    /// As [`Store::find_incident`].
    pub async fn list_incidents(&self, before: Option<IncidentId>, limit: i64) -> Result<Vec<Incident>> {
        let ids = sqlx::query_scalar!(
            "select id from incident where id < $1 order by id desc limit $2",
            before.map_or(i64::MAX, |before| before.0),
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        let mut found = incidents_by_id(&self.pool, &ids).await?;
        found.reverse();
        Ok(found)
    }
}

impl Tx {
    /// An incident by its number, not locked.
    ///
    /// # Errors
    /// When the database refuses, or the row contradicts the model; as all of these.
    pub async fn find_incident(&mut self, id: IncidentId) -> Result<Option<Incident>> {
        Ok(incidents_by_id(&mut *self.inner, &[id.0]).await?.pop())
    }

    /// The incidents of a room that are not resolved, oldest first.
    ///
    /// # Errors
    /// As [`Tx::find_incident`].
    pub async fn list_unresolved_incidents(&mut self, room: &RoomAddress) -> Result<Vec<Incident>> {
        let ids = sqlx::query_scalar!(
            "select id from incident where room = $1 and state <> 'resolved' order by id",
            room.to_string()
        )
        .fetch_all(&mut *self.inner)
        .await?;
        incidents_by_id(&mut *self.inner, &ids).await
    }

    /// The newest incident of a room, resolved or not.
    ///
    /// # Errors
    /// As [`Tx::find_incident`].
    pub async fn find_newest_incident(&mut self, room: &RoomAddress) -> Result<Option<Incident>> {
        let id =
            sqlx::query_scalar!("select id from incident where room = $1 order by id desc limit 1", room.to_string())
                .fetch_optional(&mut *self.inner)
                .await?;
        let Some(id) = id else { return Ok(None) };
        Ok(incidents_by_id(&mut *self.inner, &[id]).await?.pop())
    }

    /// The events of an incident and of its runs so far that an answer tells of, in order: its opening, and the newest of
    /// everything. Bounded, however long the incident goes on; the whole is [`Store::list_incident_events`].
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_incident_events(&mut self, id: IncidentId) -> Result<Vec<Event>> {
        told_of(&mut *self.inner, id).await
    }

    /// The runs of an incident, oldest first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_incident_runs(&mut self, id: IncidentId) -> Result<Vec<RunId>> {
        runs_of(&mut *self.inner, id).await
    }

    /// The last incidents of a room that are resolved, newest first.
    ///
    /// # Errors
    /// As [`Tx::find_incident`].
    pub async fn list_resolved_incidents(&mut self, room: &RoomAddress, limit: i64) -> Result<Vec<Incident>> {
        let ids = sqlx::query_scalar!(
            "select id from incident where room = $1 and state = 'resolved' order by id desc limit $2",
            room.to_string(),
            limit
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let mut found = incidents_by_id(&mut *self.inner, &ids).await?;
        found.reverse();
        Ok(found)
    }

    /// What is known of the scheduled checks of systems, by service and check.
    ///
    /// # Errors
    /// When the database refuses, or a row contradicts the model.
    pub async fn list_checks_known(&mut self, systems: &[SystemName]) -> Result<Vec<CheckKnown>> {
        let names: Vec<String> = systems.iter().map(ToString::to_string).collect();
        let rows = sqlx::query!(
            r#"
            select system, service, check_name, hard, hard_since, asked_at, detail, flaps_since
            from check_state where system = any($1) order by system, service, check_name
            "#,
            &names
        )
        .fetch_all(&mut *self.inner)
        .await?;
        rows.into_iter()
            .map(|row| {
                let hard = match (row.hard, row.hard_since) {
                    (Some(name), Some(since)) => Some((health(&row.service, &name)?, since)),
                    _ => None,
                };
                Ok(CheckKnown {
                    system: SystemName::new(row.system),
                    service: ServiceName::new(row.service),
                    check: CheckName::new(row.check_name),
                    hard,
                    asked_at: row.asked_at,
                    detail: row.detail,
                    flaps_since: row.flaps_since,
                })
            })
            .collect()
    }

    /// Whether all automation is paused.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn find_paused(&mut self) -> Result<Option<Paused>> {
        let row = sqlx::query!("select paused_by, paused_at, paused_why from automation where one and paused")
            .fetch_optional(&mut *self.inner)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let wrong = || Inconsistent::at("the pause of automation", "paused_by");
        let (by, at) = row.paused_by.zip(row.paused_at).ok_or_else(wrong)?;
        Ok(Some(Paused { by: PersonId::new(by), at, why: row.paused_why }))
    }

    /// The triggers that a brake holds until a person says `resume`.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_held(&mut self) -> Result<Vec<Held>> {
        let rows = sqlx::query!(
            r#"
            select trigger, service, held_since as "held_since!", coalesce(held_why, held_by) as "why!"
            from brake_state where held_by is not null and held_since is not null order by trigger, service
            "#
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let held = rows.into_iter().map(|row| Held {
            trigger: TriggerName::new(row.trigger),
            service: ServiceName::new(row.service),
            since: row.held_since,
            why: row.why,
        });
        Ok(held.collect())
    }

    /// Locks the incident of a service that is not resolved, and reads it.
    ///
    /// # Errors
    /// As [`Tx::find_incident`].
    pub async fn lock_unresolved_incident(
        &mut self,
        system: &SystemName,
        service: &ServiceName,
    ) -> Result<Option<Incident>> {
        let id = sqlx::query_scalar!(
            "select id from incident where system = $1 and service = $2 and state <> 'resolved' for update",
            system.as_str(),
            service.as_str()
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(id) = id else { return Ok(None) };
        Ok(incidents_by_id(&mut *self.inner, &[id]).await?.pop())
    }

    /// Locks an incident and reads it.
    ///
    /// # Errors
    /// When there is no such incident; else as [`Tx::find_incident`].
    pub async fn lock_incident(&mut self, id: IncidentId) -> Result<Incident> {
        sqlx::query!("select id from incident where id = $1 for update", id.0).fetch_one(&mut *self.inner).await?;
        let found = incidents_by_id(&mut *self.inner, &[id.0]).await?.pop();
        found.ok_or_else(|| StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// Inserts an incident; its version is 1. `None`: its service has one that is not resolved. Waits for whoever is
    /// about to insert that one.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_incident(&mut self, incident: NewIncident<'_>) -> Result<Option<IncidentId>> {
        let id = sqlx::query_scalar!(
            r#"
            insert into incident (state, system, environment, service, title, room, opened_at, opened_by, failed_at, cause)
            values ('open', $1, $2, $3, $4, $5, $6, $7, $8, $9)
            on conflict (system, service) where state <> 'resolved' and service is not null do nothing
            returning id
            "#,
            incident.system.as_str(),
            incident.environment,
            incident.service.map(ServiceName::as_str),
            incident.title,
            incident.room.to_string(),
            self.now(),
            incident.by.map(PersonId::as_str),
            incident.since,
            incident.cause.map(|cause| cause.0),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(id) = id.map(IncidentId) else { return Ok(None) };
        if let Some(wish) = incident.channel {
            self.insert_incident_room(id, incident.system, wish).await?;
        }
        Ok(Some(id))
    }

    /// Moves an incident from the state and version that was read to another state, with who takes care of it; returns
    /// the new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read, or when its service has another incident that is not resolved.
    pub async fn move_incident(
        &mut self,
        incident: &Incident,
        to: &IncidentState,
        acknowledged: Option<&Acknowledged>,
    ) -> Result<i64> {
        let c = columns(to);
        let moved = || StoreError::Moved {
            row: format!("incident {}", incident.id),
            expected: incident.state.name().to_owned(),
        };
        let done = sqlx::query_scalar!(
            r#"
            update incident set state = $4, failed_at = $5, mitigated_at = $6, resolved_by = $7, resolved_at = $8,
                resolved_why = $9, acknowledged_by = $10, acknowledged_at = $11, version = version + 1
            where id = $1 and version = $2 and state = $3 returning version
            "#,
            incident.id.0,
            incident.version,
            incident.state.name(),
            to.name(),
            c.failed_at,
            c.mitigated_at,
            c.resolved_by,
            c.resolved_at,
            c.resolved_why,
            acknowledged.map(|acknowledged| acknowledged.by.as_str()),
            acknowledged.map(|acknowledged| acknowledged.at),
        )
        .fetch_optional(&mut *self.inner)
        .await;
        match done {
            Ok(version) => {
                let version = version.ok_or_else(moved)?;
                self.look_at_incident_room(incident.id).await?;
                Ok(version)
            }
            // Reopened while its service got another one.
            Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => Err(moved()),
            Err(error) => Err(error.into()),
        }
    }
}

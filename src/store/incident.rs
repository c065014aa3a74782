//! Incidents, as one transaction changes them and as others look them up.

use chrono::{DateTime, Utc};
use sqlx::PgExecutor;

use super::rows::Inconsistent;
use super::{Result, Store, StoreError, Tx};
use crate::model::chat::RoomAddress;
use crate::model::id::{InboxId, IncidentId, PersonId, ServiceName, SystemName};
use crate::model::incident::{Acknowledged, Incident, IncidentState};

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
        Ok(id.map(IncidentId))
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
            Ok(version) => version.ok_or_else(moved),
            // Reopened while its service got another one.
            Err(error) if error.as_database_error().is_some_and(|error| error.is_unique_violation()) => Err(moved()),
            Err(error) => Err(error.into()),
        }
    }
}

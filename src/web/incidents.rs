//! Routes that only read: the incidents, and the report of one. Behind the guard, as all of the API.

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use serde::Deserialize;

use super::wire::IncidentTold;
use super::{Refusal, Shared};
use crate::incident::report::gather;
use crate::ledger::{self, LedgerError};
use crate::model::id::IncidentId;
use crate::model::incident::Incident;
use crate::model::report::IncidentReport;
use crate::store::Store;
use crate::text::report::{Format, set};
use crate::text::time::Times;

/// The most incidents in one answer.
const PAGE: i64 = 200;

/// The header that says whether the ledger was sound when a report was made.
pub(crate) const SOUND: &str = "countersign-ledger";

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/api/v1/incidents", get(list)).route("/api/v1/incidents/{number}/report", get(report))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Only older ones than this.
    before: Option<i64>,
    /// How many at most.
    limit: Option<i64>,
}

async fn list(State(web): State<Shared>, query: Query<ListQuery>) -> Result<Response, Refusal> {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE);
    let found = web.state.store.list_incidents(query.before.map(IncidentId), limit).await;
    let told: Vec<IncidentTold> =
        found.map_err(|error| Refusal::failed(&error))?.into_iter().map(IncidentTold::from).collect();
    Ok(Json(told).into_response())
}

impl From<Incident> for IncidentTold {
    fn from(incident: Incident) -> Self {
        Self {
            incident: incident.id,
            state: incident.state.name().to_owned(),
            system: incident.system,
            environment: incident.environment,
            service: incident.service,
            title: incident.title,
            room: incident.room.to_string(),
            opened_at: incident.opened_at,
            opened_by: incident.opened_by,
            failed_at: incident.state.since(),
            acknowledged_by: incident.acknowledged.map(|keeper| keeper.by),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportQuery {
    /// `md`, `json` or `html`.
    format: Option<String>,
}

async fn report(
    State(web): State<Shared>,
    Path(number): Path<i64>,
    query: Query<ReportQuery>,
) -> Result<Response, Refusal> {
    let format = match query.format.as_deref() {
        None => Format::Markdown,
        Some(name) => Format::parse(name).ok_or_else(|| Refusal::wrong("the format is one of md, json and html"))?,
    };
    let times = &web.state.times;
    let made = make(&web.state.store, IncidentId(number), times).await.map_err(|error| Refusal::failed(&error))?;
    let Some(report) = made else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, format!("the ledger tells of no incident {number}")));
    };
    let sound = if report.verification.sound { "sound" } else { "not-sound" };
    let headers = [
        (header::CONTENT_TYPE, format.media_type()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ];
    Ok((headers, [(SOUND, sound)], set(&report, format, times)).into_response())
}

/// Verifies the ledger and gathers the report of an incident up to the head that was verified. `None`: there is no such
/// incident up to there.
///
/// # Errors
/// When the ledger cannot be read.
pub(crate) async fn make(store: &Store, id: IncidentId, times: &Times) -> Result<Option<IncidentReport>, LedgerError> {
    let Some(verification) = ledger::verify(store, &[]).await?.verification() else { return Ok(None) };
    Ok(gather(store, id, verification, times).await?)
}

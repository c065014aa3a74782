//! Routes that only read: verifying and exporting the ledger, who could do what, looking at a plan.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{Request, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use tokio_stream::wrappers::ReceiverStream;

use super::wire::{AccessTold, PlanAsked, PlanTold, Verified};
use super::{Refusal, Shared, read_json};
use crate::ledger::{self, Head, parse_head};
use crate::model::id::{Position, RunbookName};

/// Lines of an export on their way.
const EXPORT_AHEAD: usize = 64;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/audit/verify", get(verify))
        .route("/api/v1/audit/sod", get(sod))
        .route("/api/v1/audit/export", get(export))
        .route("/api/v1/audit/access", get(access))
        .route("/api/v1/plan", post(plan))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyQuery {
    /// Heads that the ledger must contain, separated by commas.
    #[serde(default)]
    heads: String,
}

async fn verify(State(web): State<Shared>, query: Query<VerifyQuery>) -> Result<Response, Refusal> {
    let heads: Vec<Head> = query
        .heads
        .split(',')
        .filter(|head| !head.is_empty())
        .map(|head| parse_head(head).map_err(|error| Refusal::wrong(error.to_string())))
        .collect::<Result<_, _>>()?;
    let report = ledger::verify(&web.state.store, &heads).await.map_err(|error| Refusal::failed(&error))?;
    Ok(Json(Verified { sound: report.is_sound(), report: report.to_string() }).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessQuery {
    /// The moment; now if it is not said.
    #[serde(default)]
    at: Option<DateTime<Utc>>,
    /// Only this runbook.
    #[serde(default)]
    runbook: Option<RunbookName>,
}

async fn access(State(web): State<Shared>, query: Query<AccessQuery>) -> Result<Response, Refusal> {
    let store = &web.state.store;
    let at = query.at.unwrap_or_else(|| store.clock().now());
    let then = ledger::access_at(store, at, query.runbook.as_ref()).await.map_err(|error| Refusal::failed(&error))?;
    Ok(Json(AccessTold { then }).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SodQuery {
    /// RFC 3339; empty for no limit.
    #[serde(default)]
    from: String,
    #[serde(default)]
    until: String,
}

async fn sod(State(web): State<Shared>, query: Query<SodQuery>) -> Result<Response, Refusal> {
    let time = |text: &str| match text {
        "" => Ok(None),
        text => DateTime::parse_from_rfc3339(text)
            .map(|time| Some(time.to_utc()))
            .map_err(|_| Refusal::wrong("`from` and `until` are times such as 2026-11-21T22:40:00Z")),
    };
    let (from, until) = (time(&query.from)?, time(&query.until)?);
    let listed = ledger::segregation(&web.state.store, from, until).await.map_err(|error| Refusal::failed(&error))?;
    Ok(Json(listed).into_response())
}

async fn export(State(web): State<Shared>) -> Response {
    let (send, receive) = tokio::sync::mpsc::channel::<std::io::Result<Bytes>>(EXPORT_AHEAD);
    let store = web.state.store.clone();
    tokio::spawn(async move {
        // Pages are read as fast as the reader takes lines: what is ahead is bounded by whole pages, not by the ledger.
        let (lines, mut taken) = tokio::sync::mpsc::unbounded_channel::<String>();
        let reading = async move {
            ledger::export(&store, Position(1), move |line| {
                lines.send(line).map_err(|_| std::io::Error::from(std::io::ErrorKind::BrokenPipe))
            })
            .await
        };
        let sending = async {
            while let Some(mut line) = taken.recv().await {
                line.push('\n');
                if send.send(Ok(Bytes::from(line))).await.is_err() {
                    return;
                }
            }
        };
        let (read, ()) = tokio::join!(reading, sending);
        if let Err(error) = read {
            tracing::warn!(%error, "an export was not finished");
            // A body that ends in an error is not taken for a whole one; a reader that is gone needs no telling.
            let _ = send.send(Err(std::io::Error::other("the export was not finished"))).await;
        }
    });
    let body = Body::from_stream(ReceiverStream::new(receive));
    ([(header::CONTENT_TYPE, "application/x-ndjson")], body).into_response()
}

async fn plan(State(web): State<Shared>, request: Request<Body>) -> Result<Response, Refusal> {
    let asked: PlanAsked = read_json(request).await?;
    let sealed = (web.state.planner)(&asked).map_err(Refusal::wrong)?;
    let history = web.state.store.find_plan_history(sealed.digest()).await.map_err(|error| Refusal::failed(&error))?;
    let plan = String::from_utf8(sealed.bytes().to_vec()).map_err(|error| Refusal::failed(&error))?;
    Ok(Json(PlanTold { digest: sealed.digest(), plan, history }).into_response())
}

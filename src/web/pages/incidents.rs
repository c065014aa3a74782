//! Incidents: what is wrong, since when, what was tried; each with its timeline.

use axum::Router;
use axum::extract::{Path, Query};
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Shared;
use super::parts::{Tone, at, state};
use super::visitor::{Visitor, encoded, is_local};
use super::{Page, Tab, Waiting, Wrong, ledger, run, show};
use crate::model::id::{EventId, IncidentId};
use crate::model::incident::{Incident, IncidentState};
use crate::store::{LedgerFilter, LedgerFrom};
use crate::text::time::lasted;
use crate::text::visible::visible;

/// Incidents on a page.
const PAGE: i64 = 30;

/// Rows of a timeline.
const ROWS: i64 = 120;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/incidents", get(incidents)).route("/incidents/{incident}", get(incident_page))
}

#[derive(Debug, Deserialize)]
struct IncidentsQuery {
    before: Option<i64>,
}

fn incident_state(incident: &IncidentState) -> Markup {
    match incident {
        IncidentState::Open { .. } => state(Tone::Bad, "open"),
        IncidentState::Mitigated { .. } => state(Tone::Waiting, "well again, not resolved"),
        IncidentState::Resolved { by, .. } => state(Tone::Good, &format!("resolved by {by}")),
    }
}

/// Incidents that the reader may see, in a list.
pub(super) fn list(visitor: &Visitor, incidents: &[Incident]) -> Markup {
    let seen: Vec<&Incident> = incidents.iter().filter(|incident| visitor.sees(&incident.system)).collect();
    html! {
        @if seen.is_empty() { p { "None." } }
        ul.runs {
            @for incident in seen {
                li id={ "incident-" (incident.id) } {
                    a href={ "/incidents/" (incident.id) } { strong.code { "INC-" (incident.id) } " " (visible(&incident.title)) }
                    " " (incident_state(&incident.state))
                    span.small { " · " (visible(&incident.environment).to_uppercase()) " · opened " (at(visitor, incident.opened_at)) }
                }
            }
        }
    }
}

async fn incidents(visitor: Visitor, Query(query): Query<IncidentsQuery>) -> Result<Response, Wrong> {
    let store = &visitor.web.state.store;
    let open = store.list_open_incidents(None).await?;
    let newest = store.list_incidents(query.before.map(IncidentId), PAGE).await?;
    let older =
        newest.last().filter(|_| newest.len() == usize::try_from(PAGE).unwrap_or(usize::MAX)).map(|last| last.id);
    let main = html! {
        h1 { "Incidents" }
        @if query.before.is_none() { h2 { "Not resolved" } (list(&visitor, &open)) h2 { "All, newest first" } }
        (list(&visitor, &newest))
        nav.pages aria-label="Pages of incidents" {
            @if query.before.is_some() { a href="/incidents" { "Newest" } " " }
            @if let Some(id) = older { a rel="next" href={ "/incidents?before=" (id) } { "Older" } }
        }
    };
    let environments = visitor.environments();
    let page = Page {
        title: "Incidents".to_owned(),
        tab: Tab::Incidents,
        environments,
        main,
        aside: None,
        waiting: Waiting::Short,
    };
    show(&visitor, page).await
}

async fn incident_page(visitor: Visitor, Path(id): Path<i64>) -> Result<Response, Wrong> {
    let store = &visitor.web.state.store;
    let found = store.find_incident(IncidentId(id)).await?;
    let incident = found.filter(|incident| visitor.sees(&incident.system)).ok_or_else(|| Wrong::nothing("incident"))?;
    let filter = LedgerFilter::Incident(incident.id);
    let mut events = store.list_ledger(&filter, LedgerFrom::After(EventId(0)), ROWS).await?;
    events.reverse();
    let more = events.len() == usize::try_from(ROWS).unwrap_or(usize::MAX);
    let runs = store.list_newest_incident_runs(incident.id, 10).await?;
    let main = html! {
        h1 { "INC-" (incident.id) ": " (visible(&incident.title)) }
        (facts(&visitor, &incident))
        h2 { "Timeline" }
        (ledger::rows(&visitor, &events, None))
        @if more { p { a href={ "/ledger?incident=" (incident.id) } { "All of it in the ledger" } } }
    };
    let aside = html! {
        h2 { "Runs" }
        @if runs.is_empty() { p { "Nothing was run for it." } }
        (run::list(&visitor, &runs))
    };
    let page = Page {
        title: format!("INC-{}", incident.id),
        tab: Tab::Incidents,
        environments: vec![incident.environment.clone()],
        main,
        aside: Some(aside),
        waiting: Waiting::Short,
    };
    show(&visitor, page).await
}

fn facts(visitor: &Visitor, incident: &Incident) -> Markup {
    let millis = |from: chrono::DateTime<chrono::Utc>, to: chrono::DateTime<chrono::Utc>| {
        lasted(u64::try_from((to - from).num_milliseconds()).unwrap_or(0))
    };
    let system = visitor.catalog.systems.get(&incident.system).map_or(incident.system.as_str(), |system| &system.title);
    html! {
        p { (incident_state(&incident.state)) " · " (visible(system))
            @if let Some(service) = &incident.service { " · " (service.as_str()) } }
        p { "Opened " (at(visitor, incident.opened_at)) " by "
            @match &incident.opened_by { Some(person) => (visible(person.as_str())), None => "a check" }
            @if let Some(acknowledged) = &incident.acknowledged {
                ". " (visible(acknowledged.by.as_str())) " takes care of it since " (at(visitor, acknowledged.at))
            }
            "." }
        @match &incident.state {
            IncidentState::Open { since } => p { "It is so since " (at(visitor, *since)) "." },
            IncidentState::Mitigated { at: well, since } => p {
                "Well again at " (at(visitor, *well)) ", after " (millis(*since, *well)) ". Somebody has yet to say "
                code { "resolve INC-" (incident.id) } "." },
            IncidentState::Resolved { at: over, why, .. } => p {
                "Resolved at " (at(visitor, *over)) ", " (millis(incident.opened_at, *over)) " after its opening"
                @if let Some(why) = why { ": " (visible(why)) } "." },
        }
        @if is_local(&incident.room) {
            p { a href={ "/rooms/" (encoded(&incident.room.channel)) } { "Its room" } " · "
                a href={ "/ledger?incident=" (incident.id) } { "in the ledger" }
                span.small { " · printed, this page is its report" } }
        }
    }
}

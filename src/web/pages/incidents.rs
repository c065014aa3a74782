//! Incidents: what is wrong, since when, what was tried; each with its timeline.

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::Shared;
use super::super::incidents::make;
use super::parts::{Tone, at, state};
use super::run::press;
use super::visitor::{Visitor, encoded, is_local};
use super::{Page, Tab, Waiting, Wrong, ledger, run, show};
use crate::model::allowed::{Verb, allowed};
use crate::model::id::{EventId, IncidentId};
use crate::model::incident::{Incident, IncidentState};
use crate::store::{LedgerFilter, LedgerFrom};
use crate::text::report::{Format, set};
use crate::text::time::lasted;
use crate::text::visible::visible;

/// Incidents on a page.
const PAGE: i64 = 30;

/// Rows of a timeline.
const ROWS: i64 = 120;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/incidents", get(incidents))
        .route("/incidents/{incident}", get(incident_page))
        .route("/incidents/{incident}/report", get(report))
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

/// Incidents that the reader may see, in a list. `of` says which list of a page it is.
pub(super) fn list(visitor: &Visitor, incidents: &[Incident], of: &str) -> Markup {
    let seen: Vec<&Incident> = incidents.iter().filter(|incident| visitor.sees(&incident.system)).collect();
    html! {
        @if seen.is_empty() { p { "None." } }
        ul.runs {
            @for incident in seen {
                li id={ (of) "-" (incident.id) } {
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
        @if query.before.is_none() { h2 { "Not resolved" } (list(&visitor, &open, "open")) h2 { "All, newest first" } }
        (list(&visitor, &newest, "incident"))
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
        (deeds(&visitor, &incident)?)
        h2 { "Timeline" }
        (ledger::folded(&visitor, &events))
        @if more { p.more { a href={ "/ledger?incident=" (incident.id) } { "All of it in the ledger" } } }
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
            }
            @if visitor.sees_room(&incident.room) {
                p { "The whole record: " a href={ "/incidents/" (incident.id) "/report?format=html" } { "report" }
                    " · " a href={ "/incidents/" (incident.id) "/report?format=md" } { "as Markdown" }
                    " · " a href={ "/incidents/" (incident.id) "/report?format=json" } { "as JSON" }
                }
            }
        }
    }
}

/// What the reader may do about it, by the words that do it in its room.
fn deeds(visitor: &Visitor, incident: &Incident) -> Result<Markup, Wrong> {
    let may = visitor.catalog.systems.get(&incident.system).is_some_and(|system| {
        visitor.person.as_ref().is_some_and(|person| allowed(&visitor.catalog, person, Verb::Resolve, system))
    });
    if !may || !is_local(&incident.room) {
        return Ok(html! {});
    }
    let name = format!("INC-{}", incident.id);
    let form = |command: &str, label: &str, button: Markup| {
        let field = html! {
            label for={ "why-" (command) } { (label) }
            input id={ "why-" (command) } name="reason" maxlength="500" autocomplete="off";
            (button)
        };
        press(visitor, &incident.room, None, &format!("{command} {name}"), field)
    };
    let ack = press(
        visitor,
        &incident.room,
        None,
        &format!("ack {name}"),
        html! {
            button.thumb type="submit" { "I take care of " (name) }
        },
    )?;
    Ok(html! {
        div.decide {
            @match incident.state {
                IncidentState::Open { .. } | IncidentState::Mitigated { .. } => {
                    @if incident.acknowledged.as_ref().map(|keeper| &keeper.by) != visitor.person.as_ref() { (ack) }
                    (form("resolve", "What it was, if you say so", html! { button.thumb type="submit" { "Resolve " (name) } })?)
                },
                IncidentState::Resolved { .. } => details #reopen {
                    summary { "It is not over" }
                    (form("reopen", "Why, if you say so", html! { button.thumb type="submit" { "Reopen " (name) } })?)
                },
            }
        }
    })
}

#[derive(Debug, Deserialize)]
struct ReportQuery {
    #[serde(default)]
    format: String,
}

/// The whole record. It holds what was said in the room, so it is for whoever may read that.
async fn report(visitor: Visitor, Path(id): Path<i64>, Query(query): Query<ReportQuery>) -> Result<Response, Wrong> {
    let store = &visitor.web.state.store;
    let found = store.find_incident(IncidentId(id)).await?;
    let found = found.filter(|incident| visitor.sees(&incident.system) && visitor.sees_room(&incident.room));
    let incident = found.ok_or_else(|| Wrong::nothing("incident"))?;
    let wrong = || Wrong::new(StatusCode::BAD_REQUEST, "A report is set as `html`, `md` or `json`.");
    let format = Format::parse(&query.format).ok_or_else(wrong)?;
    let _one = ledger::VERIFYING.acquire().await.map_err(|error| Wrong::failed(&error))?;
    let times = &visitor.web.state.times;
    let made = make(store, incident.id, times).await?.ok_or_else(|| Wrong::nothing("record"))?;
    // A document of its own, which one keeps: its style stands in it, and nothing in it runs or loads.
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'";
    let headers = [(header::CONTENT_TYPE, format.media_type()), (header::CONTENT_SECURITY_POLICY, policy)];
    Ok((headers, set(&made, format, times)).into_response())
}

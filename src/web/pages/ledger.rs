//! The ledger: every row with its place, time, actor, words and hash, a page at a time.

use std::collections::HashMap;

use axum::Router;
use axum::extract::Query;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::super::Shared;
use super::parts::{Tone, at, clock, state, typed};
use super::visitor::{Visitor, encoded};
use super::{Page, Tab, Waiting, Wrong, show};
use crate::ledger;
use crate::model::event::{Event, Happened};
use crate::model::id::{EventId, IncidentId, PersonId, Position, RunId, SystemName};
use crate::store::{LedgerFilter, LedgerFrom};
use crate::text::timeline::{self, Entry};
use crate::text::visible::visible;

/// Rows on a page.
const ROWS: i64 = 60;

/// Verification reads everything: one at a time is enough for everybody.
pub(super) static VERIFYING: Semaphore = Semaphore::const_new(1);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/ledger", get(ledger_page)).route("/ledger/verify", get(verify))
}

#[derive(Debug, Default, Deserialize)]
struct LedgerQuery {
    run: Option<i64>,
    kind: Option<String>,
    person: Option<String>,
    system: Option<String>,
    incident: Option<i64>,
    /// Older than this event.
    before: Option<i64>,
    /// Newer than this event.
    after: Option<i64>,
    /// The page on which this place stands.
    at: Option<i64>,
}

impl LedgerQuery {
    fn filter(&self) -> LedgerFilter {
        if let Some(run) = self.run {
            LedgerFilter::Run(RunId(run))
        } else if let Some(kind) = &self.kind {
            LedgerFilter::Kind(kind.clone())
        } else if let Some(person) = &self.person {
            LedgerFilter::Person(PersonId::new(person))
        } else if let Some(system) = &self.system {
            LedgerFilter::System(SystemName::new(system))
        } else if let Some(incident) = self.incident {
            LedgerFilter::Incident(IncidentId(incident))
        } else {
            LedgerFilter::All
        }
    }
}

/// A filter as it stands in an address, with `?` and ready for `&`.
fn address(filter: &LedgerFilter) -> String {
    match filter {
        LedgerFilter::All => "/ledger?".to_owned(),
        LedgerFilter::Run(run) => format!("/ledger?run={run}&"),
        LedgerFilter::Kind(kind) => format!("/ledger?kind={}&", encoded(kind)),
        LedgerFilter::Person(person) => format!("/ledger?person={}&", encoded(person.as_str())),
        LedgerFilter::System(system) => format!("/ledger?system={}&", encoded(system.as_str())),
        LedgerFilter::Incident(incident) => format!("/ledger?incident={incident}&"),
    }
}

async fn ledger_page(visitor: Visitor, Query(query): Query<LedgerQuery>) -> Result<Response, Wrong> {
    let store = &visitor.web.state.store;
    let filter = query.filter();
    let newest = LedgerFrom::Before(EventId(i64::MAX));
    let from = match (query.before, query.after, query.at) {
        (Some(before), _, _) => LedgerFrom::Before(EventId(before)),
        (None, Some(after), _) => LedgerFrom::After(EventId(after)),
        (None, None, Some(at)) => {
            let some_later = store.find_event_at(Position(at.saturating_add(ROWS / 4))).await?;
            some_later.map_or(newest, LedgerFrom::Before)
        }
        (None, None, None) => newest,
    };
    let mut events =
        if visitor.person.is_some() { store.list_ledger(&filter, from, ROWS + 1).await? } else { Vec::new() };
    let more = events.len() > usize::try_from(ROWS).unwrap_or(usize::MAX);
    if more {
        // One too many was asked for, to know whether there are more that way.
        match from {
            LedgerFrom::Before(_) => drop(events.pop()),
            LedgerFrom::After(_) => drop(events.remove(0)),
        }
    }
    let (has_newer, has_older) = match from {
        LedgerFrom::Before(_) => (from != newest, more),
        LedgerFrom::After(_) => (more, true),
    };
    let base = address(&filter);
    let (first, last) = (events.first().map(|event| event.id), events.last().map(|event| event.id));
    let head = store.chain_head().await?;
    let main = html! {
        h1 { "Ledger" }
        p { "Newest place " a href={ "/ledger?at=" (head.position) "#p" (head.position) } { (head.position) }
            " · head " code.digest title=(head.hash.to_string()) { (head.hash.short()) }
            " · " a href="/ledger/verify" { "Verify it" }
            span.small { " (reads all of it, which takes a while when it is long)" } }
        (filters(&visitor, &filter))
        @if visitor.person.is_none() { p.note { (crate::text::answer::unknown_person(&visitor.account)) } }
        (pages(&base, first.filter(|_| has_newer), last.filter(|_| has_older), "above"))
        @if events.is_empty() { p { "No rows here." } }
        @if matches!(filter, LedgerFilter::All | LedgerFilter::Incident(_)) && query.at.is_none() { (folded(&visitor, &events)) } @else { (rows(&visitor, &events, query.run.map(RunId))) }
        (pages(&base, first.filter(|_| has_newer), last.filter(|_| has_older), "below"))
    };
    let environments = visitor.environments();
    let page =
        Page { title: "Ledger".to_owned(), tab: Tab::Ledger, environments, main, aside: None, waiting: Waiting::Short };
    show(&visitor, page).await
}

fn pages(base: &str, newer: Option<EventId>, older: Option<EventId>, place: &str) -> Markup {
    html! {
        nav.pages aria-label={ "Pages of the ledger, " (place) } {
            @if let Some(id) = newer { a rel="prev" href={ (base) "after=" (id) } { "Newer" } " " a href=(base.trim_end_matches(['?', '&'])) { "Newest" } " " }
            @if let Some(id) = older { a rel="next" href={ (base) "before=" (id) } { "Older" } }
        }
    }
}

/// The kinds that people look for.
const KINDS: [(&str, &str); 7] = [
    ("decided", "decisions"),
    ("request_asked", "requests"),
    ("attempt_ended", "steps"),
    ("incident_opened", "incidents"),
    ("trigger_held", "brakes"),
    ("catalog_loaded", "catalogs"),
    ("line_said", "lines"),
];

fn filters(visitor: &Visitor, filter: &LedgerFilter) -> Markup {
    let link = |this: LedgerFilter, name: &str| {
        let current = this == *filter;
        let to = address(&this);
        html! { li { a href=(to.trim_end_matches(['?', '&'])) aria-current=[current.then_some("true")] { (visible(name)) } } }
    };
    html! {
        nav.filters aria-label="Rows to show" {
            ul {
                (link(LedgerFilter::All, "all"))
                @for (kind, name) in KINDS { (link(LedgerFilter::Kind(kind.to_owned()), name)) }
                @for person in visitor.catalog.people.keys() { (link(LedgerFilter::Person(person.clone()), person.as_str())) }
                @for system in visitor.systems() { (link(LedgerFilter::System(system.name.clone()), &system.title)) }
                @if let LedgerFilter::Incident(incident) = filter { (link(filter.clone(), &format!("INC-{incident}"))) }
                @if let LedgerFilter::Run(run) = filter { (link(filter.clone(), &format!("run {run}"))) }
            }
        }
    }
}

/// Rows one by one. Where all are of one run, none says so.
pub(super) fn rows(visitor: &Visitor, events: &[Event], of: Option<RunId>) -> Markup {
    html! { ol.ledger { @for event in events { (row(visitor, event, of)) } } }
}

/// Rows of which those of one run are folded into one, at the place of the one that comes first.
pub(super) fn folded(visitor: &Visitor, events: &[Event]) -> Markup {
    let mut of_run: HashMap<RunId, Vec<&Event>> = HashMap::new();
    for event in events {
        if let Some(run) = event.scope.run {
            of_run.entry(run).or_default().push(event);
        }
    }
    html! {
        ol.ledger {
            @for event in events {
                @match event.scope.run.and_then(|run| Some((run, of_run.remove(&run)?))) {
                    Some((run, several)) if several.len() > 1 => {
                        li.fold id={ "fold-" (run) } {
                            details {
                                summary { (summary(visitor, run, &several)) }
                                ol.ledger { @for event in several { (row(visitor, event, Some(run))) } }
                            }
                        }
                    },
                    Some((_, several)) => { @for event in several { (row(visitor, event, None)) } },
                    None if event.scope.run.is_none() => (row(visitor, event, None)),
                    None => {},
                }
            }
        }
    }
}

/// A run in one row: who decided, and how far it has come.
fn summary(visitor: &Visitor, run: RunId, several: &[&Event]) -> Markup {
    let Some(newest) = several.iter().max_by_key(|event| event.id) else { return html! {} };
    let decided = several.iter().filter(|event| event.kind == "decided" && event.id != newest.id);
    html! {
        (clock(visitor, newest.at)) " " b { "run " (run) } " "
        span.words {
            @for event in decided.chain([newest]) {
                @if sees(visitor, event) {
                    @let entry = words(visitor, event);
                    (entry.actor) " " (typed(&entry.words)) " "
                }
            }
            span.small { (several.len()) " rows" }
        }
    }
}

fn words(visitor: &Visitor, event: &Event) -> Entry {
    timeline::entry(event, &visitor.web.state.times, visitor.web.state.store.clock().now())
}

/// Whether the reader may know what an event says.
fn sees(visitor: &Visitor, event: &Event) -> bool {
    let of_system = event.scope.system.as_ref().is_none_or(|system| visitor.sees(system));
    let for_reader = match event.scope.audience.as_deref() {
        None | Some("rooms") => true,
        Some(audience) => audience == visitor.account.to_string(),
    };
    let in_room = match event.record.as_ref().map(|record| &record.what) {
        Some(Happened::LineSaid { room, account, .. } | Happened::LineEdited { room, account, .. }) => {
            *account == visitor.account || visitor.sees_room(room)
        }
        Some(Happened::WasAway { room, .. } | Happened::RoomChanged { room, .. }) => visitor.sees_room(room),
        _ => true,
    };
    visitor.person.is_some() && of_system && for_reader && in_room
}

fn row(visitor: &Visitor, event: &Event, of: Option<RunId>) -> Markup {
    let shown = sees(visitor, event);
    let id = event.position.map_or_else(|| format!("e{}", event.id), |position| format!("p{position}"));
    html! {
        li.row id=(id) {
            @match event.position {
                Some(position) => a.place href={ "/ledger?at=" (position) "#p" (position) } { (position) },
                None => span.place { "…" },
            }
            " " (clock(visitor, event.at)) " "
            @if shown {
                @let entry = words(visitor, event);
                b { (entry.actor) } " " span.words { (typed(&entry.words)) }
                @if let Some(run) = event.scope.run.filter(|run| of != Some(*run)) { " " a.small href={ "/runs/" (run) } { "run " (run) } }
            } @else { span.small { "not yours to read" } }
            @match event.hash {
                Some(hash) => { " " code.hash title=(hash.to_string()) { (hash.short()) } },
                None => { " " span.small { "waits for its place" } },
            }
        }
    }
}

async fn verify(visitor: Visitor) -> Result<Response, Wrong> {
    if visitor.person.is_none() {
        return Err(Wrong::nothing("ledger"));
    }
    let _one = VERIFYING.acquire().await.map_err(|error| Wrong::failed(&error))?;
    let store = &visitor.web.state.store;
    let report = ledger::verify(store, &[]).await?;
    let now = store.clock().now();
    let (tone, word) = if report.is_sound() { (Tone::Good, "sound") } else { (Tone::Bad, "not sound") };
    let main = html! {
        h1 { "Verification of the ledger" }
        p { (state(tone, word)) " · read at " (at(&visitor, now)) }
        pre.output tabindex="0" { (report.to_string()) }
        p.small { "Whoever can write the database could rewrite all of it. A head that somebody kept elsewhere proves that \
                   nobody did: " code { "countersign audit verify --head HEAD" } "." }
        p.more { a href="/ledger" { "Back to the ledger" } }
    };
    let environments = visitor.environments();
    let page = Page {
        title: "Verification".to_owned(),
        tab: Tab::Ledger,
        environments,
        main,
        aside: None,
        waiting: Waiting::Short,
    };
    show(&visitor, page).await
}

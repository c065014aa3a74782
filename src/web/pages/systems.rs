//! The systems board: what is known of each service, and how old that is. What is not known is called so.

use std::collections::HashMap;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::super::Shared;
use super::parts::{Tone, at, state};
use super::visitor::Visitor;
use super::{Page, Tab, Waiting, Wrong, incidents, show};
use crate::model::catalog::{Check, Service, System};
use crate::model::event::Health;
use crate::model::id::{CheckName, ServiceName};
use crate::store::{AutomationSeen, KnownCheck};
use crate::text::time::lasted;
use crate::text::visible::visible;

/// What is known is old when it has not been asked for so many times its schedule.
const OLD_AFTER: u32 = 3;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/systems", get(systems))
}

pub(super) fn health(health: Health) -> Markup {
    match health {
        Health::Ok => state(Tone::Good, "ok"),
        Health::Warning => state(Tone::Waiting, "warning"),
        Health::Critical => state(Tone::Bad, "critical"),
        Health::Unknown => state(Tone::Over, "unknown"),
    }
}

/// How long ago something was.
fn ago(now: DateTime<Utc>, then: DateTime<Utc>) -> String {
    lasted(u64::try_from((now - then).num_milliseconds()).unwrap_or(0))
}

async fn systems(visitor: Visitor) -> Result<Response, Wrong> {
    let store = &visitor.web.state.store;
    let known = store.list_known_checks().await?;
    let known: HashMap<(&ServiceName, &CheckName), &KnownCheck> =
        known.iter().map(|known| ((&known.service, &known.check), known)).collect();
    let automation = store.look_at_automation().await?;
    let open = store.list_open_incidents(None).await?;
    let now = store.clock().now();
    let main = html! {
        h1 { "Systems" }
        (automation_note(&visitor, &automation))
        @for system in visitor.systems() { (board(&visitor, system, &known, now)) }
        @if visitor.systems().next().is_none() { p { "There is no system here that you may see." } }
    };
    let aside = html! {
        h2 { "Open incidents" }
        (incidents::list(&visitor, &open, "open"))
    };
    let environments = visitor.environments();
    let page = Page {
        title: "Systems".to_owned(),
        tab: Tab::Systems,
        environments,
        main,
        aside: Some(aside),
        waiting: Waiting::Short,
    };
    show(&visitor, page).await
}

/// What does not start by itself now, and who can let it.
fn automation_note(visitor: &Visitor, automation: &AutomationSeen) -> Markup {
    html! {
        @if let Some((by, since, why)) = &automation.paused {
            p.note { "All automation is paused by " (visible(by.as_str())) " since " (at(visitor, *since))
                @if let Some(why) = why { ": " (visible(why)) }
                ". " code { "resume" } " lets it go on." }
        }
        @for (trigger, service, since, why) in &automation.held {
            @if visitor.catalog.triggers.contains_key(trigger)
                && visitor.catalog.service(service).is_some_and(|(system, _)| visitor.sees(&system.name)) {
                p.note { "The trigger " (trigger.as_str()) " has stopped itself for " (service.as_str()) " since " (at(visitor, *since)) ": "
                    (visible(why)) ". " code { "resume " (trigger.as_str()) } " lets it go on." }
            }
        }
    }
}

fn board(
    visitor: &Visitor,
    system: &System,
    known: &HashMap<(&ServiceName, &CheckName), &KnownCheck>,
    now: DateTime<Utc>,
) -> Markup {
    html! {
        section.system id={ "system-" (system.name.as_str()) } aria-labelledby={ "title-" (system.name.as_str()) } {
            h2 id={ "title-" (system.name.as_str()) } {
                (visible(&system.title)) " " span.small { (visible(&system.environment).to_uppercase()) }
            }
            table {
                thead { tr { th scope="col" { "Service" } th scope="col" { "Check" } th scope="col" { "State" } th scope="col" { "Known" } } }
                tbody {
                    @for service in system.services.values() {
                        @for (index, check) in service.checks.values().enumerate() {
                            (check_row(visitor, service, check, index == 0, known.get(&(&service.name, &check.name)).copied(), now))
                        }
                    }
                }
            }
            p.more { a href={ "/ledger?system=" (super::visitor::encoded(system.name.as_str())) } { (visible(&system.title)) " in the ledger" } }
        }
    }
}

fn check_row(
    visitor: &Visitor,
    service: &Service,
    check: &Check,
    first: bool,
    known: Option<&KnownCheck>,
    now: DateTime<Utc>,
) -> Markup {
    let every = check.schedule.map(|schedule| schedule.every);
    html! {
        tr id={ "check-" (service.name.as_str()) "-" (check.name.as_str()) } {
            @if first { th scope="rowgroup" rowspan=(service.checks.len()) { (visible(&service.title)) } }
            td { (check.name.as_str()) }
            @match (known, every) {
                (Some(known), Some(every)) => {
                    @let old = is_old(now, known.asked_at, every);
                    td {
                        // What was certain long ago is not what is: a state that nobody has asked for is unknown.
                        @if old { (health(Health::Unknown)) }
                        @else if let Some(since) = known.flaps_since { (health(Health::Unknown)) ", flaps since " (at(visitor, since)) }
                        @else if let Some((hard, since)) = known.hard { (health(hard)) " since " (at(visitor, since)) }
                        @else { (health(Health::Unknown)) ", nothing certain yet" }
                        @if !old && known.hard.map(|(hard, _)| hard) != Some(known.soft) {
                            br; span.small { "last result: " (health(known.soft)) ", " (known.soft_count) " in a row" }
                        }
                    }
                    td {
                        @if old { "not checked since " (at(visitor, known.asked_at)) }
                        @else { "checked " (ago(now, known.asked_at)) " ago" }
                        br; code { (visible(&known.detail)) }
                    }
                },
                (Some(known), None) => {
                    td { (health(Health::Unknown)) }
                    td { "not checked since " (at(visitor, known.asked_at)) ": it has no schedule now" }
                },
                (None, Some(_)) => { td { (health(Health::Unknown)) } td { "not checked yet" } },
                (None, None) => { td { (health(Health::Unknown)) } td { "asked only when somebody asks: " code { "is " (service.name.as_str()) " " (check.name.as_str()) } } },
            }
        }
    }
}

/// Whether what is known of a check is too old to stand for what is.
fn is_old(now: DateTime<Utc>, asked_at: DateTime<Utc>, every: std::time::Duration) -> bool {
    let bound = TimeDelta::from_std(every * OLD_AFTER).unwrap_or(TimeDelta::MAX).max(TimeDelta::seconds(10));
    now - asked_at > bound
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_nobody_has_asked_for_is_old() {
        let now = DateTime::from_timestamp(1_000_000, 0).expect("a time");
        let old = |seconds| is_old(now, now - TimeDelta::seconds(seconds), Duration::from_secs(30));
        assert!(!old(90) && old(91));
        assert!(!is_old(now, now - TimeDelta::seconds(9), Duration::from_secs(1)), "a busy machine is no outage");
        assert!(is_old(now, now - TimeDelta::seconds(11), Duration::from_secs(1)));
    }
}

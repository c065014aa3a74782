//! What to do next: lines worth saying now, as buttons that say them, and the way through a trial for whoever is new.
//!
//! Both are made of what is known of the room's incidents and of the catalog, never of words that came from outside.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::Wrong;
use super::visitor::{Visitor, encoded, once};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{Catalog, Policy, Subject, TriggerMode};
use crate::model::chat::RoomAddress;
use crate::model::id::PersonId;
use crate::model::incident::{Incident, IncidentState};
use crate::text::visible::visible;

/// For how long after its resolution an incident's report is worth a button.
const REPORTED_FOR: TimeDelta = TimeDelta::hours(1);

/// What the lines of a room are made of.
pub(super) struct Standing {
    /// What is not resolved in the room, newest first.
    pub(super) open: Vec<Incident>,
    newest: Option<Incident>,
    /// Whether something is being done already about the one that is talked about.
    busy: bool,
    now: DateTime<Utc>,
}

impl Standing {
    pub(super) async fn of(visitor: &Visitor, room: &RoomAddress) -> Result<Self, Wrong> {
        let store = &visitor.web.state.store;
        let open = store.list_open_incidents(Some(room)).await?;
        let newest = store.list_incidents(None, 1).await?.pop().filter(|incident| incident.room == *room);
        let busy = match pressing(&open) {
            Some(incident) => {
                let runs = store.list_newest_incident_runs(incident.id, 1).await?;
                runs.iter().any(|run| !run.state.is_over())
            }
            None => false,
        };
        Ok(Self { open, newest, busy, now: store.clock().now() })
    }

    /// What the reader may say now that does something, the likeliest first.
    fn lines(&self, visitor: &Visitor) -> Vec<String> {
        let Some(person) = &visitor.person else { return Vec::new() };
        let Some(incident) = pressing(&self.open) else {
            let recent = self.newest.as_ref().filter(|incident| match &incident.state {
                IncidentState::Resolved { at, .. } => self.now - *at < REPORTED_FOR,
                IncidentState::Open { .. } | IncidentState::Mitigated { .. } => false,
            });
            let report = recent.map(|incident| format!("report INC-{}", incident.id));
            return report.into_iter().chain(["status".to_owned(), "help".to_owned()]).collect();
        };
        let may = |verb| {
            let system = visitor.catalog.systems.get(&incident.system);
            system.is_some_and(|system| allowed(&visitor.catalog, person, verb, system))
        };
        // With several the bot would ask which one is meant.
        let name = if self.open.len() > 1 { format!(" INC-{}", incident.id) } else { String::new() };
        let mut lines = vec![format!("what happened{name}")];
        match &incident.state {
            IncidentState::Open { .. } => {
                let mends = incident.service.as_ref().filter(|_| may(Verb::Run) && !self.busy);
                lines.extend(mends.and_then(|service| (visitor.web.state.mending_line)(&incident.system, service)));
                if may(Verb::Resolve) && incident.acknowledged.is_none() {
                    lines.push(format!("ack{name}"));
                }
            }
            IncidentState::Mitigated { .. } if may(Verb::Resolve) => lines.insert(0, format!("resolve{name}")),
            IncidentState::Mitigated { .. } | IncidentState::Resolved { .. } => {}
        }
        lines
    }

    /// Those lines, each as a button that says it.
    pub(super) fn buttons(&self, visitor: &Visitor, room: &RoomAddress) -> Result<Markup, Wrong> {
        let mut forms = Vec::new();
        for line in self.lines(visitor) {
            forms.push(html! {
                form method="post" action={ "/rooms/" (encoded(&room.channel)) "/lines" } data-swap {
                    (visitor.form_fields())
                    input type="hidden" name="id" value=(once()?);
                    input type="hidden" name="text" value=(line);
                    button type="submit" { span.hear { "Say " } code { (visible(&line)) } }
                }
            });
        }
        Ok(html! { div.buttons #worth { @for form in forms { (form) } } })
    }
}

/// The incident that is talked about: the newest that is open, or else the newest.
fn pressing(open: &[Incident]) -> Option<&Incident> {
    let fails = |incident: &&Incident| matches!(incident.state, IncidentState::Open { .. });
    open.iter().find(fails).or_else(|| open.first())
}

/// Somebody who may ask for runbooks, rather nobody who agrees to them as well, and somebody else who is asked to agree.
pub(super) fn two_people(catalog: &Catalog) -> Option<(&PersonId, &PersonId)> {
    let named: Vec<Subject> = catalog.policies.values().flat_map(Policy::subjects).cloned().collect();
    // Whom `accountable` means is for each system to say.
    let systems = || catalog.systems.values();
    let subjects: Vec<Subject> = systems().flat_map(|it| named.iter().filter_map(|who| who.of_system(it))).collect();
    let agrees = |person: &PersonId| catalog.includes(&subjects, person);
    let asks = |person: &&PersonId| catalog.systems.values().any(|system| allowed(catalog, person, Verb::Run, system));
    let people = || catalog.people.keys();
    let asker = people().filter(asks).find(|person| !agrees(person)).or_else(|| people().find(asks))?;
    Some((asker, people().find(|person| *person != asker && agrees(person))?))
}

/// The way through a trial; nothing where there is none.
pub(super) fn first_steps(visitor: &Visitor, is_new: bool) -> Markup {
    let Some(trial) = &visitor.web.state.trial else { return html! {} };
    let Some((asker, approver)) = two_people(&visitor.catalog) else { return html! {} };
    let mut services = visitor.systems().flat_map(|system| {
        let known = system.services.values().filter(|service| trial.services.contains(&service.name));
        known.map(move |service| (system, service))
    });
    let Some((system, first)) = services.next() else { return html! {} };
    let mends = (visitor.web.state.mending_line)(&system.name, &first.name);
    let by_itself = visitor.systems().flat_map(|system| system.services.values().map(move |service| (system, service)));
    let by_itself =
        by_itself.filter(|(_, service)| trial.services.contains(&service.name)).find(|(system, service)| {
            let mut triggers = visitor.catalog.triggers.values().filter(|trigger| trigger.mode == TriggerMode::Auto);
            triggers.any(|trigger| {
                service.checks.keys().any(|check| trigger.on.matches(&system.name, &service.name, check))
            })
        });
    html! {
        details #guide open[is_new] {
            summary { "A first round" }
            ol.guide {
                li { "As " b { (visible(asker.as_str())) } ": " code { "what happened" }
                    @if let Some(line) = &mends { ", then " code { (visible(line)) } } "." }
                li { "As " b { (visible(approver.as_str())) } ", in a private window: read the plan, approve." }
                li { code { "resolve" } ", then " code { "report" } "." }
                @if let Some((_, service)) = by_itself {
                    li { "At the foot of the page, break " (visible(&service.title)) ": the bot brings it back and wakes nobody." }
                }
                li { "There too: try to cheat." }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_shipped_catalog_has_one_who_asks_and_one_who_agrees() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
        let catalog = crate::runbook::load(&shipped).expect("the shipped catalog").catalog;
        let people = two_people(&catalog).map(|(asker, approver)| (asker.as_str(), approver.as_str()));
        assert_eq!(people, Some(("mei", "boss")));
        assert_eq!(two_people(&Catalog::default()), None);
    }
}

//! Incidents in the room: `open incident`, `ack`, `note`, `resolve`, `reopen`; `incidents`, `what happened`, `report`,
//! `status`.
//!
//! A command without a number means the only incident of the room that is not resolved; with two it asks which, before it
//! changes anything. `what happened` only reads, and then tells of each.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::turn::{Turn, plan_of};
use super::look;
use crate::incident::{self, AckOutcome, Opening, ReopenOutcome, ResolveOutcome, Word};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{
    Catalog, ParamKind, Phrase, PhrasePart, Runbook, Step, StepAction, Subject, System, Trigger,
};
use crate::model::event::{Happened, Health};
use crate::model::id::{CheckName, IncidentId, PersonId, ServiceName, SystemName};
use crate::model::incident::Incident;
use crate::model::run::RunState;
use crate::store::{CheckKnown, Result};
use crate::text;
use crate::text::incident::{Brakes, CheckStatus, Known, Standing, Story, UnderWay, Where};

/// How many resolved incidents `incidents` lists.
const RESOLVED_SHOWN: i64 = 3;

/// How many stories `what happened` tells at once.
const STORIES: usize = 3;

/// After how many missed rounds a check counts as not asked any more.
const ROUNDS: u32 = 3;

/// Which incident a command without a number means when none is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Else {
    /// None.
    Nothing,
    /// The newest, which is resolved.
    Newest,
}

fn system<'a>(turn: &'a Turn<'_>, incident: &Incident) -> Option<&'a System> {
    turn.catalog().systems.get(&incident.system)
}

fn may(turn: &Turn<'_>, verb: Verb, incident: &Incident) -> bool {
    system(turn, incident).is_some_and(|system| allowed(turn.catalog(), &turn.person, verb, system))
}

/// The resolved incidents of this room that `incidents` lists and that the speaker may see, the newest first.
async fn resolved(turn: &mut Turn<'_>) -> Result<Vec<Incident>> {
    let mut resolved = Vec::new();
    match turn.own.as_ref().map(|own| own.incident) {
        Some(own) => resolved.extend(turn.tx.find_incident(own).await?.filter(|incident| incident.state.is_over())),
        None => {
            for room in turn.rooms() {
                resolved.extend(turn.tx.list_resolved_incidents(&room, RESOLVED_SHOWN).await?);
            }
        }
    }
    resolved.retain(|incident| may(turn, Verb::See, incident));
    Ok(resolved)
}

/// The incidents of this room that are not resolved and that the speaker may see.
async fn unresolved(turn: &mut Turn<'_>) -> Result<Vec<Incident>> {
    let mut open = Vec::new();
    match turn.own.as_ref().map(|own| own.incident) {
        // In its own channel an incident is the only one that is talked about.
        Some(own) => {
            open.extend(turn.tx.find_incident(own).await?.filter(|incident| !incident.state.is_over()));
        }
        None => {
            for room in turn.rooms() {
                open.extend(turn.tx.list_unresolved_incidents(&room).await?);
            }
        }
    }
    open.retain(|incident| may(turn, Verb::See, incident));
    Ok(open)
}

/// The incident that a number names, if it is this room's and the speaker may see it. That it exists elsewhere is not told.
async fn named(turn: &mut Turn<'_>, id: IncidentId) -> Result<Option<Incident>> {
    let found = turn.tx.find_incident(id).await?;
    let own = turn.own.as_ref().map(|own| own.incident);
    let here = |incident: &Incident| match own {
        Some(own) => own == incident.id,
        None => turn.is_private() || incident.room == *turn.room(),
    };
    let found = found.filter(|incident| here(incident) && may(turn, Verb::See, incident));
    match &found {
        Some(incident) if own.is_none() => turn.acts_in(&incident.room),
        Some(_) => {}
        None => turn.refuse(text::incident::no_such(id)),
    }
    Ok(found)
}

async fn newest(turn: &mut Turn<'_>) -> Result<Option<Incident>> {
    if let Some(own) = turn.own.as_ref().map(|own| own.incident) {
        let found = turn.tx.find_incident(own).await?;
        return Ok(found.filter(|incident| may(turn, Verb::See, incident)));
    }
    let mut newest = None::<Incident>;
    for room in turn.rooms() {
        let found = turn.tx.find_newest_incident(&room).await?;
        let found = found.filter(|incident| may(turn, Verb::See, incident));
        newest = [newest, found].into_iter().flatten().max_by_key(|incident| incident.id);
    }
    if let Some(newest) = &newest {
        turn.acts_in(&newest.room);
    }
    Ok(newest)
}

/// Finds the incident that a command means; refuses and returns `None` otherwise.
async fn bind(turn: &mut Turn<'_>, id: Option<IncidentId>, word: &str, otherwise: Else) -> Result<Option<Incident>> {
    if let Some(id) = id {
        return named(turn, id).await;
    }
    let mut open = unresolved(turn).await?;
    match open.len() {
        0 => {
            let found = match otherwise {
                Else::Nothing => None,
                Else::Newest => newest(turn).await?,
            };
            if found.is_none() {
                turn.refuse(text::incident::none_open(word));
            }
            Ok(found)
        }
        1 => {
            let only = open.pop();
            if let Some(only) = &only {
                turn.acts_in(&only.room);
            }
            Ok(only)
        }
        _ => {
            turn.refuse(text::incident::which(word, &open));
            Ok(None)
        }
    }
}

/// Whether the speaker holds the right; refuses otherwise, naming who does.
fn holds(turn: &mut Turn<'_>, verb: Verb, incident: &Incident, word: &str) -> bool {
    if may(turn, verb, incident) {
        return true;
    }
    let (title, subjects) = match system(turn, incident) {
        Some(system) => (system.title.clone(), system.may_resolve.clone()),
        None => (incident.system.to_string(), Vec::new()),
    };
    let who: Vec<PersonId> = turn.catalog().people_in(&subjects).into_iter().collect();
    let deed = format!("{word} {}", text::incident::name(incident.id));
    let sentence = text::incident::may_not(&turn.person, &deed, &title, &who);
    turn.refuse_right(sentence, &subjects);
    false
}

pub(super) async fn command_open(turn: &mut Turn<'_>, named: Option<SystemName>, title: &str) -> Result<()> {
    let here = systems_here(turn);
    let chosen = match named {
        Some(name) => here.iter().find(|system| system.name == name),
        None if here.len() == 1 => here.first(),
        None => None,
    };
    let Some(system) = chosen.cloned() else {
        let titles: Vec<String> = here.iter().map(|system| system.title.clone()).collect();
        turn.refuse(text::incident::which_system(&titles));
        return Ok(());
    };
    let may = |verb| allowed(turn.catalog(), &turn.person, verb, &system);
    if !may(Verb::Run) && !may(Verb::Resolve) {
        let subjects: Vec<Subject> = system.may_run.iter().chain(&system.may_resolve).cloned().collect();
        let who: Vec<PersonId> = turn.catalog().people_in(&subjects).into_iter().collect();
        let sentence = text::incident::may_not(&turn.person, "open incidents", &system.title, &who);
        turn.refuse_right(sentence, &subjects);
        return Ok(());
    }
    // Where the system is talked about; in a room that is this one.
    let room = turn.catalog().rooms.get(&system.room).map_or_else(|| turn.room().clone(), |room| room.address.clone());
    turn.acts_in(&room);
    let opening = Opening {
        system: system.name.clone(),
        environment: system.environment.clone(),
        title: turn.in_use.secrets.redact(title),
        room,
        channel: system.incident_channel.as_ref().map(|channel| channel.wish.clone()),
    };
    let (person, line) = (turn.person.clone(), turn.line);
    // Echoed from the ledger.
    incident::open(&mut turn.tx, opening, Word { by: &person, line }).await?;
    Ok(())
}

/// The systems that are talked about in this room and that the speaker may see.
pub(super) fn systems_here(turn: &Turn<'_>) -> Vec<System> {
    let mut systems = turn.systems_here();
    systems.retain(|system| allowed(turn.catalog(), &turn.person, Verb::See, system));
    systems
}

pub(super) async fn command_ack(turn: &mut Turn<'_>, id: Option<IncidentId>) -> Result<()> {
    if id.is_none() && unresolved(turn).await?.is_empty() {
        // To people it is a near-yes as well: whoever is asked to approve must not believe that this did.
        super::near(turn, super::Near::Yes).await?;
        if turn.tx.answers().is_empty() {
            turn.refuse(text::incident::none_open("ack"));
        }
        return Ok(());
    }
    let Some(incident) = bind(turn, id, "ack", Else::Nothing).await? else { return Ok(()) };
    if !holds(turn, Verb::Resolve, &incident, "ack") {
        return Ok(());
    }
    let (person, line) = (turn.person.clone(), turn.line);
    match incident::acknowledge(&mut turn.tx, incident.id, Word { by: &person, line }).await? {
        // Echoed from the ledger.
        AckOutcome::Acknowledged => {}
        AckOutcome::Already(incident) => {
            let now = turn.tx.now();
            let since = incident.acknowledged.as_ref().map_or(now, |keeper| keeper.at);
            let since = turn.app.times.at_second(since, now);
            turn.answer(text::incident::already_yours(incident.id, &since));
        }
        AckOutcome::Over(incident) => refuse_over(turn, &incident),
    }
    Ok(())
}

fn refuse_over(turn: &mut Turn<'_>, incident: &Incident) {
    let sentence = text::incident::over(incident, &turn.app.times, turn.tx.now());
    turn.refuse(sentence);
}

pub(super) async fn command_note(turn: &mut Turn<'_>, id: Option<IncidentId>, said: &str) -> Result<()> {
    if id.is_none() && unresolved(turn).await?.is_empty() {
        turn.refuse(text::incident::nothing_to_note_on());
        return Ok(());
    }
    let Some(incident) = bind(turn, id, "note", Else::Nothing).await? else { return Ok(()) };
    let said = turn.in_use.secrets.redact(said);
    let (person, line) = (turn.person.clone(), turn.line);
    incident::note(&mut turn.tx, &incident, said, Word { by: &person, line });
    turn.answer(text::incident::noted(incident.id));
    Ok(())
}

pub(super) async fn command_resolve(turn: &mut Turn<'_>, id: Option<IncidentId>, reason: Option<String>) -> Result<()> {
    let Some(incident) = bind(turn, id, "resolve", Else::Nothing).await? else { return Ok(()) };
    if !holds(turn, Verb::Resolve, &incident, "resolve") {
        return Ok(());
    }
    let reason = reason.map(|reason| turn.in_use.secrets.redact(&reason));
    let events = turn.tx.list_incident_events(incident.id).await?;
    let now = turn.tx.now();
    let approvals = incident::approvals(&events, now, |subjects| turn.catalog().people_in(subjects));
    let (person, line) = (turn.person.clone(), turn.line);
    match incident::resolve(&mut turn.tx, incident.id, reason, approvals, Word { by: &person, line }).await? {
        // Echoed from the ledger, with its head (I11).
        ResolveOutcome::Resolved => {}
        ResolveOutcome::Over(incident) => refuse_over(turn, &incident),
        ResolveOutcome::StillFailing(failing) => {
            let times = turn.app.times;
            let since = |known: &CheckKnown| known.hard.map_or(known.asked_at, |(_, since)| since);
            let checks: Vec<(CheckName, String)> =
                failing.iter().map(|known| (known.check.clone(), times.at_second(since(known), now))).collect();
            if let Some(service) = &incident.service {
                turn.refuse(text::incident::still_failing(incident.id, service, &checks));
            }
        }
    }
    Ok(())
}

pub(super) async fn command_reopen(turn: &mut Turn<'_>, id: Option<IncidentId>, reason: Option<String>) -> Result<()> {
    let open = if id.is_none() { unresolved(turn).await?.len() } else { 0 };
    if open > 0 {
        // What is open needs no reopening, so it cannot be what is meant.
        let resolved = resolved(turn).await?;
        if open > 1 || !resolved.is_empty() {
            turn.refuse(text::incident::which_resolved(&resolved));
            return Ok(());
        }
    }
    let Some(incident) = bind(turn, id, "reopen", Else::Newest).await? else { return Ok(()) };
    if !holds(turn, Verb::Resolve, &incident, "reopen") {
        return Ok(());
    }
    let reason = reason.map(|reason| turn.in_use.secrets.redact(&reason));
    let (person, line) = (turn.person.clone(), turn.line);
    match incident::reopen(&mut turn.tx, incident.id, reason, Word { by: &person, line }).await? {
        // Echoed from the ledger.
        ReopenOutcome::Reopened => {}
        ReopenOutcome::NotOver(incident) => turn.refuse(text::incident::not_over(&incident)),
        ReopenOutcome::Another(newer) => turn.refuse(text::incident::has_newer(incident.id, newer)),
    }
    Ok(())
}

pub(super) async fn command_incidents(turn: &mut Turn<'_>) -> Result<()> {
    let open = unresolved(turn).await?;
    let resolved = resolved(turn).await?;
    let said = text::incident::incidents(&open, &resolved, &turn.app.times, turn.tx.now());
    turn.answer_list("incidents", said);
    Ok(())
}

/// Which of its story an answer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    Happened,
    Report,
}

async fn story(turn: &mut Turn<'_>, incident: &Incident, telling: Telling) -> Result<String> {
    let events = turn.tx.list_incident_events(incident.id).await?;
    let title = system(turn, incident).map_or_else(|| incident.system.to_string(), |system| system.title.clone());
    let asked = asked(turn, incident).await?;
    let check = events.iter().rev().find_map(|event| match &event.record.as_ref()?.what {
        Happened::IncidentOpened { check, .. } => check.clone(),
        Happened::IncidentRecurred { check, .. } => Some(check.clone()),
        _ => None,
    });
    let offer =
        incident.service.as_ref().and_then(|service| offer(turn.catalog(), &incident.system, service, check.as_ref()));
    let standing = standing(turn, incident, check.as_ref()).await?;
    let brakes = brakes(turn, incident).await?;
    let story = Story {
        place: Where { environment: &incident.environment, system: &title },
        incident,
        events: &events,
        asked: &asked,
        offer: offer.as_deref(),
        standing: &standing,
        brakes: &brakes,
    };
    let (times, now) = (turn.app.times, turn.tx.now());
    Ok(match telling {
        Telling::Happened => text::incident::happened(story, &times, now),
        Telling::Report => text::incident::report(story, &times, now),
    })
}

/// What is known now of the check by which an incident was opened.
async fn standing(turn: &mut Turn<'_>, incident: &Incident, check: Option<&CheckName>) -> Result<Standing> {
    let (Some(service), Some(check)) = (&incident.service, check) else { return Ok(Standing::AsTold) };
    let known = turn.catalog().systems.get(&incident.system).and_then(|system| system.services.get(service));
    if !known.is_some_and(|service| service.checks.contains_key(check)) {
        return Ok(Standing::Gone);
    }
    let known = turn.tx.list_checks_known(std::slice::from_ref(&incident.system)).await?;
    let found = known.iter().find(|known| known.service == *service && known.check == *check);
    Ok(match found.and_then(|found| found.hard) {
        Some((Health::Unknown, since)) => Standing::Unknown(since),
        Some((Health::Ok | Health::Warning | Health::Critical, _)) | None => Standing::AsTold,
    })
}

/// What keeps the triggers of an incident's service from acting.
async fn brakes(turn: &mut Turn<'_>, incident: &Incident) -> Result<Brakes> {
    let Some(service) = incident.service.clone() else { return Ok(Brakes::default()) };
    let listens = |trigger: &&Trigger| {
        trigger.on.system == incident.system && trigger.on.service.as_ref().is_none_or(|named| *named == service)
    };
    if !turn.catalog().triggers.values().any(|trigger| listens(&trigger)) {
        return Ok(Brakes::default());
    }
    let paused = turn.tx.find_paused().await?.map(|paused| paused.by);
    let held = turn.tx.list_held().await?.into_iter().filter(|held| {
        held.service == service && turn.in_use.catalog.triggers.get(&held.trigger).is_some_and(|it| listens(&it))
    });
    Ok(Brakes { paused, held: held.map(|held| (held.trigger, held.why)).collect() })
}

/// Who is asked by the request of the incident's runs that waits, if one does.
async fn asked(turn: &mut Turn<'_>, incident: &Incident) -> Result<Vec<PersonId>> {
    let runs = turn.tx.list_incident_runs(incident.id).await?;
    // A trigger asks in the system's room, people wherever they talk.
    let mut pending = turn.tx.list_pending_in(&incident.room, None).await?;
    if *turn.room() != incident.room {
        let room = turn.room().clone();
        pending.extend(turn.tx.list_pending_in(&room, None).await?);
    }
    for request in pending {
        if !runs.contains(&request.run) {
            continue;
        }
        return turn.asked_now(&request).await;
    }
    Ok(Vec::new())
}

pub(super) async fn command_happened(turn: &mut Turn<'_>, id: Option<IncidentId>) -> Result<()> {
    let mut meant = match id {
        Some(id) => named(turn, id).await?.into_iter().collect(),
        None => unresolved(turn).await?,
    };
    if meant.is_empty() && id.is_none() {
        match newest(turn).await? {
            Some(newest) => meant.push(newest),
            None => turn.refuse(text::incident::none_open("what happened")),
        }
    }
    if meant.len() > STORIES {
        turn.answer(text::incident::which("what happened", &meant));
        return Ok(());
    }
    let mut stories = Vec::with_capacity(meant.len());
    for incident in &meant {
        stories.push(story(turn, incident, Telling::Happened).await?);
    }
    if !stories.is_empty() {
        turn.answer_list("what-happened", stories.join("\n\n"));
    }
    Ok(())
}

pub(super) async fn command_report(turn: &mut Turn<'_>, id: Option<IncidentId>) -> Result<()> {
    let Some(incident) = bind(turn, id, "report", Else::Newest).await? else { return Ok(()) };
    let said = story(turn, &incident, Telling::Report).await?;
    turn.answer(said);
    Ok(())
}

pub(super) async fn command_status(turn: &mut Turn<'_>) -> Result<()> {
    let here = systems_here(turn);
    let names: Vec<SystemName> = here.iter().map(|system| system.name.clone()).collect();
    let known = turn.tx.list_checks_known(&names).await?;
    let (times, now) = (turn.app.times, turn.tx.now());
    let systems: Vec<(String, Vec<String>)> = here
        .iter()
        .map(|system| {
            let place = Where { environment: &system.environment, system: &system.title }.to_string();
            let lines = checks_of(system, &known, now).into_iter().map(|(service, checks)| {
                let title = system.services.get(&service).map_or(service.as_str(), |service| service.title.as_str());
                text::incident::service_status(&service, title, &checks, &times, now)
            });
            (place, lines.collect())
        })
        .collect();
    let mut under_way = UnderWay { incidents: unresolved(turn).await?, ..UnderWay::default() };
    let (mut pending, mut open) = (Vec::new(), Vec::new());
    for room in turn.rooms() {
        pending.extend(turn.tx.list_pending_in(&room, None).await?);
        open.extend(turn.tx.list_open_runs(&room, None).await?);
    }
    for run in open {
        if !look::may_see(turn, &run) {
            continue;
        }
        let plan = plan_of(&run)?;
        let Some(request) = pending.iter().find(|request| request.run == run.id) else {
            let waits = plan.not_before.filter(|at| run.state == RunState::Approved && *at > now);
            let state = waits.map_or_else(|| run.state.name().to_owned(), |at| text::later::waits(&times.at(at, now)));
            under_way.runs.push((run.id, plan.deed, state));
            continue;
        };
        under_way.requests.push(look::waiting_line(turn, request, &run).await?);
    }
    let paused = turn.tx.find_paused().await?;
    under_way.paused = paused.map(|paused| (paused.by, times.at_second(paused.at, now), paused.why));
    let held = turn.tx.list_held().await?;
    // Of a trigger that the catalog does not have any more there is nothing to let go on.
    let of_here = held.into_iter().filter(|held| {
        let system = turn.in_use.catalog.triggers.get(&held.trigger).map(|trigger| &trigger.on.system);
        here.iter().any(|it| system == Some(&it.name) && it.services.contains_key(&held.service))
    });
    under_way.held = of_here
        .map(|held| (held.trigger.to_string(), held.service, times.at_second(held.since, now), held.why))
        .collect();
    turn.answer_list("status", text::incident::status(&systems, &under_way, now));
    Ok(())
}

/// What is known of every check of a system as the catalog has it now. What nobody has asked for too long is not known.
fn checks_of(system: &System, known: &[CheckKnown], now: DateTime<Utc>) -> BTreeMap<ServiceName, Vec<CheckStatus>> {
    let status = |service: &ServiceName, check: &crate::model::catalog::Check| {
        let Some(schedule) = check.schedule else { return Known::NotScheduled };
        let found = known
            .iter()
            .find(|known| known.system == system.name && known.service == *service && known.check == check.name);
        let Some(found) = found else { return Known::NotYet };
        let late = TimeDelta::from_std(schedule.every * ROUNDS + check.timeout).unwrap_or(TimeDelta::MAX);
        if now - found.asked_at > late {
            return Known::NotSince(found.asked_at);
        }
        if let Some(since) = found.flaps_since {
            return Known::Flaps { since };
        }
        match found.hard {
            None => Known::Uncertain { asked: found.asked_at },
            Some((health, since)) => {
                Known::Certain { health, since, asked: found.asked_at, detail: found.detail.clone() }
            }
        }
    };
    let services = system.services.values().map(|service| {
        let checks = service
            .checks
            .values()
            .map(|check| CheckStatus { check: check.name.clone(), known: status(&service.name, check) });
        (service.name.clone(), checks.collect())
    });
    services.collect()
}

/// A line that would mend a service: a phrase of the runbook that a trigger of its check runs, or else of one that changes
/// something, is for one service, and looks afterwards whether the service is well; the shortest. `None`: the catalog has
/// none.
pub(in crate::flow) fn offer(
    catalog: &Catalog,
    system: &SystemName,
    service: &ServiceName,
    check: Option<&CheckName>,
) -> Option<String> {
    // A service that the catalog does not have is nothing to start.
    catalog.systems.get(system).filter(|system| system.services.contains_key(service))?;
    let said = |runbook: &Runbook| -> Option<String> {
        let wanted: Vec<_> = runbook.params.iter().filter(|param| param.default.is_none()).collect();
        let [param] = wanted[..] else { return None };
        let ParamKind::Service { system: of } = &param.kind else { return None };
        let fits = of.as_ref().is_none_or(|of| of == system) && runbook.steps.iter().any(Step::is_privileged);
        let only = |phrase: &&Phrase| {
            phrase.parts.iter().all(|part| match part {
                PhrasePart::Word(_) => true,
                PhrasePart::Slot(name) => *name == param.name,
            }) && phrase.parts.iter().any(|part| matches!(part, PhrasePart::Slot(_)))
        };
        let phrase = runbook.say.iter().find(only).filter(|_| fits)?;
        let words = phrase.parts.iter().map(|part| match part {
            PhrasePart::Word(word) => word.clone(),
            PhrasePart::Slot(_) => text::incident::spoken(service),
        });
        Some(words.collect::<Vec<_>>().join(" "))
    };
    let of_trigger = catalog
        .triggers
        .values()
        .filter(|trigger| check.is_some_and(|check| trigger.on.matches(system, service, check)))
        .find_map(|trigger| catalog.runbooks.get(&trigger.run).and_then(said));
    let looks = |runbook: &&Runbook| matches!(runbook.steps.last(), Some(step) if matches!(step.action, StepAction::Check { .. }));
    of_trigger.or_else(|| {
        let offers = catalog.runbooks.values().filter(looks).filter_map(said);
        offers.min_by_key(|line| (line.chars().count(), line.clone()))
    })
}

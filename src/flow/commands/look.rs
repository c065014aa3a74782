//! Looking: `help`, `whoami`, `requests`, `show`.

use std::collections::BTreeSet;

use super::super::turn::{Turn, plan_of};
use crate::approval;
use crate::command::{OnCallFor, Shown};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{Catalog, ParamKind, Runbook, Subject};
use crate::model::chat::Account;
use crate::model::id::{PersonId, RotaName, RunId};
use crate::model::plan::Plan;
use crate::model::rota::Rota;
use crate::store::{Request, Result, Run};
use crate::text;
use crate::text::answer::WaitingLine;

/// How many requests an answer to one person alone lists.
const LISTED: usize = 30;

/// What `help` says to a person.
pub(in crate::flow) fn help(catalog: &Catalog, person: &PersonId, topic: Option<&str>) -> String {
    // A runbook is offered to whoever may run it on at least one of the systems that it can be for.
    let may_run = |runbook: &Runbook| {
        let verb =
            if runbook.steps.iter().any(crate::model::catalog::Step::is_privileged) { Verb::Run } else { Verb::See };
        let named = |system: &crate::model::id::SystemName| {
            catalog.systems.get(system).is_some_and(|system| allowed(catalog, person, verb, system))
        };
        let any = || catalog.systems.keys().any(&named);
        let fixed = runbook.system.as_ref().map(&named);
        let by_param = runbook.params.iter().find_map(|param| match &param.kind {
            ParamKind::Service { system: Some(system) } => Some(named(system)),
            ParamKind::Service { system: None } | ParamKind::System => Some(any()),
            ParamKind::Choice(_) | ParamKind::Integer { .. } | ParamKind::Text { .. } => None,
        });
        by_param.or(fixed).unwrap_or(false)
    };
    match topic {
        None => text::command::help(catalog, &may_run),
        Some(topic) => text::command::help_on(catalog, &may_run, topic),
    }
}

/// What `whoami` says to a person.
pub(in crate::flow) fn whoami(catalog: &Catalog, person: &PersonId, account: &Account) -> String {
    let groups: Vec<String> = catalog
        .groups
        .iter()
        .filter(|(_, group)| group.members.contains(person))
        .map(|(name, _)| name.to_string())
        .collect();
    text::answer::whoami(person, account, &groups)
}

/// The approvals that cover further runs of what is talked about here.
async fn in_force(turn: &mut Turn<'_>) -> Result<Vec<String>> {
    let rooms = turn.rooms();
    let mut list = Vec::new();
    for cover in turn.tx.list_covers(None).await? {
        let Some(request) = turn.tx.find_request(cover.request).await? else { continue };
        let Some(run) = turn.tx.find_run(request.run).await? else { continue };
        if !rooms.contains(&run.room) || !may_see(turn, &run) {
            continue;
        }
        let until = turn.app.times.until(cover.until, turn.tx.now());
        list.push(text::repeat::in_force(&plan_of(&run)?, &request.code, cover.used, cover.runs, &until));
    }
    Ok(list)
}

/// `who is on call`: one line for each rota that has to do with what is meant and that the speaker may know of.
pub(super) fn command_on_call(turn: &mut Turn<'_>, of: Option<&OnCallFor>) {
    let in_use = turn.in_use.clone();
    let catalog = &in_use.catalog;
    let now = turn.tx.now();
    let all: Vec<RotaName> =
        catalog.rotas.keys().filter(|name| may_know(catalog, &turn.person, name)).cloned().collect();
    let names = match of {
        None if turn.is_private() => all.iter().cloned().collect(),
        None => {
            let systems = super::incident::systems_here(turn);
            let here: BTreeSet<RotaName> = systems.iter().flat_map(|system| catalog.rotas_of(system)).collect();
            // Where no system names one, those of the catalog are better than nothing.
            if here.is_empty() { all.iter().cloned().collect() } else { here }
        }
        Some(OnCallFor::System(name)) => match catalog.systems.get(name) {
            Some(system) if allowed(catalog, &turn.person, Verb::See, system) => {
                let of_system = catalog.rotas_of(system);
                if of_system.is_empty() {
                    turn.answer(text::on_call::no_rota_of(&system.title, &all));
                    return;
                }
                of_system
            }
            // The parser named it from this catalog.
            None => BTreeSet::new(),
            Some(system) => {
                let who: Vec<PersonId> = catalog.people_in(&system.may_see).into_iter().collect();
                let sentence = text::incident::may_not(&turn.person, "look", &system.title, &who);
                turn.refuse_right(sentence, &system.may_see);
                return;
            }
        },
        Some(OnCallFor::Rota(name)) if all.contains(name) => BTreeSet::from([name.clone()]),
        Some(OnCallFor::Rota(name)) => {
            turn.refuse(text::on_call::may_not_see(&turn.person, name));
            return;
        }
    };
    let rotas: Vec<&Rota> = names.iter().filter_map(|name| catalog.rotas.get(name)).collect();
    match rotas.is_empty() {
        true => turn.answer(text::on_call::no_rotas()),
        false => turn.answer_list("on-call", text::on_call::rotas(&rotas, now)),
    }
}

/// Whether somebody may know who is on a rota: whoever is in it, whoever may see a system that it has to do with, and for
/// one that has to do with none everybody of the catalog.
fn may_know(catalog: &Catalog, person: &PersonId, name: &RotaName) -> bool {
    let mut systems = catalog.systems.values().filter(|system| catalog.rotas_of(system).contains(name)).peekable();
    catalog.includes(&[Subject::Rota(name.clone())], person)
        || systems.peek().is_none()
        || systems.any(|system| allowed(catalog, person, Verb::See, system))
}

pub(super) async fn command_requests(turn: &mut Turn<'_>) -> Result<()> {
    let mut waiting = Vec::new();
    for room in turn.rooms() {
        waiting.extend(turn.tx.list_pending_in(&room, None).await?);
    }
    let mut list = Vec::new();
    let mut more = 0;
    for request in waiting {
        let Some(run) = turn.tx.find_run(request.run).await? else { continue };
        if !may_see(turn, &run) {
            continue;
        }
        if turn.is_private() && list.len() >= LISTED {
            more += 1;
            continue;
        }
        list.push(waiting_line(turn, &request, &run).await?);
    }
    let mut said = match turn.is_private() && list.is_empty() {
        true => text::answer::no_requests_anywhere(),
        false => text::answer::requests(&list),
    };
    let mut in_force = in_force(turn).await?;
    in_force.extend(later(turn).await?);
    if !in_force.is_empty() {
        said = format!("{said}\n{}", in_force.join("\n"));
    }
    if more > 0 {
        said = format!("{said}\n{}", text::answer::more_requests(more));
    }
    turn.answer_list("requests", said);
    Ok(())
}

/// How a request stands that waits.
pub(super) async fn waiting_line(turn: &mut Turn<'_>, request: &Request, run: &Run) -> Result<WaitingLine> {
    let plan = plan_of(run)?;
    Ok(WaitingLine {
        code: request.code,
        requester: request.requesters.first().cloned().unwrap_or_else(|| run.requester.clone()),
        deed: super::super::request::deed(turn.app, turn.tx.now(), &plan, request),
        until: turn.app.times.until(request.expires_at, turn.tx.now()),
        asked: turn.asked_now(request).await?,
        progress: progress(turn, request, &plan).await?,
    })
}

/// How far a request has come, where more than one answer is wanted.
async fn progress(turn: &mut Turn<'_>, request: &Request, plan: &Plan) -> Result<Option<String>> {
    let in_use = turn.in_use.clone();
    let stages = plan.policy.as_ref().map_or(0, |policy| policy.stages.len());
    let tally = approval::waits_for(&mut turn.tx, &in_use.catalog, request).await?;
    Ok(tally.and_then(|tally| text::answer::progress(&tally, stages)))
}

/// What is approved and starts later, each a line.
async fn later(turn: &mut Turn<'_>) -> Result<Vec<String>> {
    let mut list = Vec::new();
    for room in turn.rooms() {
        for request in turn.tx.list_later_in(&room).await? {
            let Some(run) = turn.tx.find_run(request.run).await?.filter(|run| may_see(turn, run)) else { continue };
            let plan = plan_of(&run)?;
            let Some(not_before) = plan.not_before else { continue };
            let at = turn.app.times.at(not_before, turn.tx.now());
            list.push(text::later::approved(&request.code, &plan.deed, &at));
        }
    }
    Ok(list)
}

/// Who may look at a run: whoever may look at its system.
pub(super) fn may_see(turn: &Turn<'_>, run: &Run) -> bool {
    turn.system_of(run).is_some_and(|system| allowed(turn.catalog(), &turn.person, Verb::See, system))
}

pub(super) async fn command_show(turn: &mut Turn<'_>, what: Shown) -> Result<()> {
    let id = match what {
        Shown::Run(run) => run,
        Shown::Code(code) => match turn.tx.find_request_by_code(&code).await? {
            Some(request) => request.run,
            None => {
                turn.refuse(text::answer::no_such_code(&code));
                return Ok(());
            }
        },
    };
    let Some(run) = find(turn, id).await? else { return Ok(()) };
    let plan = plan_of(&run)?;
    let attempts: Vec<String> = turn
        .tx
        .list_attempts(run.id)
        .await?
        .iter()
        .map(|attempt| {
            let summary = attempt.summary.as_deref().map(text::visible::visible).unwrap_or_default();
            let at = turn.app.times.at_second(attempt.started_at, turn.tx.now());
            format!(
                "step {} attempt {}: {}, started at {at}   {summary}",
                attempt.key.step,
                attempt.key.number,
                attempt.state.name()
            )
            .trim_end()
            .to_owned()
        })
        .collect();
    let mut waiting = Vec::new();
    if let Some(request) = turn.tx.find_pending_of_run(run.id).await? {
        waiting.push(waiting_line(turn, &request, &run).await?);
    }
    let said = text::answer::show_run(run.id, &plan, &run.state, &waiting, &attempts, &run.digest.to_string());
    let begun = !attempts.is_empty() || run.state.is_over();
    let starts = text::later::starts(&plan, &turn.app.times, turn.tx.now()).filter(|_| !begun);
    turn.answer(starts.map_or_else(|| said.clone(), |starts| format!("{said}\n{starts}")));
    Ok(())
}

/// A run of this room that the speaker may see; refuses and returns `None` otherwise. That it exists elsewhere is told to
/// nobody but the speaker alone.
pub(super) async fn find(turn: &mut Turn<'_>, id: RunId) -> Result<Option<Run>> {
    let run = turn.tx.find_run(id).await?;
    let run = run.filter(|run| (turn.is_private() || run.room == *turn.room()) && may_see(turn, run));
    match &run {
        Some(run) => turn.acts_in(&run.room),
        None => turn.refuse(text::answer::no_such_run(id)),
    }
    Ok(run)
}

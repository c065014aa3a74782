//! Asking for something to be done: `start service b`, `run start-service service=service-b`, `again`, `is service b
//! running`.

use std::collections::BTreeMap;

use super::super::turn::{Turn, accounts, plan_of};
use crate::chat::sender::split;
use crate::command::Anew;
use crate::engine::plan::{plan, plan_is};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{Runbook, System};
use crate::model::chat::{Button, Message};
use crate::model::code::Code;
use crate::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use crate::model::id::{CheckName, PersonId, RequestId, RunId, RunbookName, ServiceName};
use crate::model::plan::{Plan, Sealed};
use crate::model::run::RunState;
use crate::store::{EarlierRuns, NewMessage, NewRequest, NewRun, Origin, Place, Result, Run, StoreError};
use crate::text;
use crate::text::plan::RequestText;

/// How many codes are tried before giving up: with so many requests waiting, something else is wrong.
const CODES: usize = 20;

pub(super) async fn command_is(turn: &mut Turn<'_>, service: &ServiceName, check: Option<&CheckName>) -> Result<()> {
    let catalog = turn.in_use.clone();
    let Some((system, _)) = catalog.catalog.service(service) else {
        turn.refuse(text::answer::no_plan("that service is no longer in the catalog"));
        return Ok(());
    };
    if !may(turn, Verb::See, system, &format!("ask about {service}")) {
        return Ok(());
    }
    match plan_is(&catalog.catalog, service, check, &turn.app.world) {
        Ok(plan) => start(turn, plan, Anew::Yes).await,
        Err(refusal) => {
            turn.refuse(text::answer::no_plan(&refusal.to_string()));
            Ok(())
        }
    }
}

pub(super) async fn command_run(
    turn: &mut Turn<'_>,
    name: &RunbookName,
    params: &BTreeMap<String, String>,
    anew: Anew,
) -> Result<()> {
    let in_use = turn.in_use.clone();
    let Some(runbook) = in_use.catalog.runbooks.get(name) else {
        turn.refuse(text::answer::no_plan(&format!("there is no runbook {name} in the catalog any more")));
        return Ok(());
    };
    ask(turn, runbook, params, anew).await
}

/// `again`: the last request of this place, planned anew from the catalog as it is now.
pub(super) async fn command_again(turn: &mut Turn<'_>) -> Result<()> {
    let (room, thread) = (turn.room().clone(), turn.thread().cloned());
    let person = turn.person.clone();
    // In a thread it is the thread's request that is meant; in the room, what the speaker asked last.
    let of = if thread.is_some() { None } else { Some(&person) };
    let Some(request) = turn.tx.find_newest_request(&room, thread.as_ref(), of).await? else {
        turn.refuse(text::answer::nothing_to_repeat());
        return Ok(());
    };
    let Some(run) = turn.app.store.find_run(request.run).await? else {
        turn.refuse(text::answer::nothing_to_repeat());
        return Ok(());
    };
    let plan = plan_of(&run)?;
    command_run(turn, &plan.runbook, &plan.params, Anew::Yes).await
}

async fn ask(turn: &mut Turn<'_>, runbook: &Runbook, params: &BTreeMap<String, String>, anew: Anew) -> Result<()> {
    let in_use = turn.in_use.clone();
    let planned = match plan(&in_use.catalog, runbook, params, &turn.app.world) {
        Ok(planned) => planned,
        Err(refusal) => {
            turn.refuse(text::answer::no_plan(&refusal.to_string()));
            return Ok(());
        }
    };
    let Some(system) = in_use.catalog.systems.get(&planned.system) else {
        turn.refuse(text::answer::no_plan("its system is no longer in the catalog"));
        return Ok(());
    };
    // Looking asks for less than changing.
    let verb = if planned.privileged() { Verb::Run } else { Verb::See };
    if !may(turn, verb, system, &planned.deed) {
        return Ok(());
    }
    start(turn, planned, anew).await
}

fn may(turn: &mut Turn<'_>, verb: Verb, system: &System, deed: &str) -> bool {
    if allowed(turn.catalog(), &turn.person, verb, system) {
        return true;
    }
    let subjects = match verb {
        Verb::Run => &system.may_run,
        Verb::See => &system.may_see,
        Verb::Unstick => &system.may_unstick,
        Verb::Resolve => &system.may_resolve,
    };
    let who: Vec<PersonId> = turn.catalog().people_in(subjects).into_iter().collect();
    let sentence = text::answer::not_allowed(&turn.person, deed, &system.title, &who);
    turn.refuse(sentence);
    false
}

/// Makes the run, and the request if it needs one.
async fn start(turn: &mut Turn<'_>, plan: Plan, anew: Anew) -> Result<()> {
    let sealed = Sealed::seal(&plan).map_err(|error| StoreError::Refused(error.to_string()))?;
    turn.tx.insert_plan(&sealed).await?;
    let (room, thread) = (turn.room().clone(), turn.thread().cloned());
    if anew == Anew::No && plan.privileged() {
        // Two people who ask the same in the same instant: the second waits here and then finds the first's run.
        turn.tx.lock_plan(sealed.digest()).await?;
        if let Some(run) = turn.tx.find_open_run_of_plan(sealed.digest(), &room).await? {
            return join(turn, &plan, &run).await;
        }
    }
    let state = if plan.privileged() { RunState::AwaitingApproval } else { RunState::Planned };
    let state_name = state.name();
    let run = turn
        .tx
        .insert_run(NewRun {
            state,
            runbook: &plan.runbook,
            system: &plan.system,
            environment: &plan.environment,
            plan: &sealed,
            room: &room,
            thread: thread.as_ref(),
            requester: &turn.person,
            account: &turn.incoming.account,
            cause: turn.line,
        })
        .await?;
    let planned = Happened::RunPlanned {
        run,
        deed: plan.deed.clone(),
        runbook: plan.runbook.clone(),
        params: plan.params.clone(),
        digest: sealed.digest(),
        requester: turn.person.clone(),
        account: turn.incoming.account.clone(),
        room: room.clone(),
        trigger: None,
    };
    record(turn, &plan, run, planned, vec![RowMark::run(run, state_name, 1)]);
    if plan.privileged() {
        let requesters = vec![turn.person.clone()];
        request(turn, &plan, &sealed, run, None, requesters).await?;
    }
    Ok(())
}

/// The same waits or runs already: say so, and let whoever waits for this line wait for that run.
async fn join(turn: &mut Turn<'_>, plan: &Plan, run: &Run) -> Result<()> {
    turn.tx.insert_line_run(turn.line, run.id).await?;
    let since = text::answer::since(&turn.app.times, run.created_at, turn.tx.now());
    match turn.tx.find_pending_of_run(run.id).await? {
        Some(request) if request.retry_step.is_none() => {
            let asked = turn.asked(plan, 0, &request.requesters);
            turn.answer(text::answer::already_waiting(&asked, &since, &request.code));
        }
        _ => turn.answer(text::answer::already_going(run.id, &run.state, &since)),
    }
    Ok(())
}

fn record(turn: &mut Turn<'_>, plan: &Plan, run: RunId, what: Happened, rows: Vec<RowMark>) {
    let scope = Scope {
        system: Some(plan.system.clone()),
        environment: Some(plan.environment.clone()),
        run: Some(run),
        ..Scope::default()
    };
    turn.tx.record(NewEvent { scope, cause: Some(turn.line), record: Record { what, rows } });
}

/// Makes a request and shows the whole of it: the decision first, every step after, never cut.
pub(super) async fn request(
    turn: &mut Turn<'_>,
    plan: &Plan,
    sealed: &Sealed,
    run: RunId,
    retry_step: Option<u32>,
    requesters: Vec<PersonId>,
) -> Result<()> {
    let Some(policy) = plan.policy.clone() else {
        return Err(StoreError::Refused(format!("the plan of run {run} names no policy")));
    };
    let (room, thread) = (turn.room().clone(), turn.thread().cloned());
    let expires =
        chrono::TimeDelta::from_std(policy.expires()).map_err(|error| StoreError::Refused(error.to_string()))?;
    let expires_at = turn.tx.now() + expires;
    // A retry hangs in the thread of its run.
    let thread = match (&thread, retry_step) {
        (None, Some(_)) => turn.tx.find_root(run).await?,
        _ => thread,
    };
    let mut made = None;
    for _ in 0..CODES {
        let mut entropy = [0; 4];
        getrandom::fill(&mut entropy)?;
        let code = Code::from_entropy(u32::from_le_bytes(entropy));
        let new = NewRequest {
            code: &code,
            run,
            retry_step,
            digest: sealed.digest(),
            requesters: &requesters,
            room: &room,
            thread: thread.as_ref(),
            expires_at,
        };
        if let Some(id) = turn.tx.insert_request(new).await? {
            made = Some((id, code));
            break;
        }
    }
    let Some((id, code)) = made else {
        return Err(StoreError::Refused("no free request code was found".to_owned()));
    };
    let asked_event = Happened::RequestAsked {
        request: id,
        code,
        run,
        retry_step,
        digest: sealed.digest(),
        requesters: requesters.clone(),
        stages: policy.stages.clone(),
        expires_at,
    };
    record(turn, plan, run, asked_event, vec![RowMark::request(id, "pending", 1)]);
    let earlier: EarlierRuns = turn.tx.earlier_runs(sealed.digest()).await?;
    let asked = turn.asked(plan, 0, &requesters);
    let whole = text::plan::request(&RequestText {
        plan,
        digest: sealed.digest(),
        code: &code,
        run,
        retry_step,
        requester: &turn.person,
        asked: &asked,
        earlier: (
            earlier.total,
            earlier.helped,
            earlier.usual.and_then(|usual| u64::try_from(usual.num_milliseconds()).ok()),
        ),
        expires_at,
        now: turn.tx.now(),
        times: turn.app.times,
    });
    let limits = turn.app.limits(&room);
    let parts = split(&whole, limits.text);
    let ping = accounts(turn.catalog(), &asked, &room);
    let last = parts.len().saturating_sub(1);
    for (index, part) in parts.into_iter().enumerate() {
        let mut message = Message::to_room(part);
        if index == 0 {
            message.ping = ping.clone();
        }
        // Under the last line of the plan, not before it.
        if index == last && limits.buttons >= 2 {
            message.buttons = vec![
                Button { label: "approve".to_owned(), command: format!("approve {code}") },
                Button { label: "deny".to_owned(), command: format!("deny {code}") },
            ];
        }
        let starts_thread = index == 0 && thread.is_none();
        let (place, role) = if starts_thread {
            (Place::Room, (run_subject(run), "root"))
        } else {
            let place = thread.clone().map_or_else(|| Place::ThreadOf(run_subject(run)), Place::Thread);
            (place, (request_subject(id), "request"))
        };
        let part = turn.tx.next_part(turn.line);
        turn.tx.say(NewMessage {
            room: room.clone(),
            place,
            origin: Origin::Line(turn.line),
            part,
            cause: Some(turn.line),
            role: Some(role),
            edits: false,
            message,
        });
    }
    Ok(())
}

fn run_subject(run: RunId) -> String {
    crate::store::subject(run)
}

fn request_subject(request: RequestId) -> String {
    format!("request:{request}")
}

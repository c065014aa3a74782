//! Asking for something to be done: `start service b`, `run start-service service=service-b`, `again`, `is service b
//! running`. A trigger asks by the same code, without a line.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::super::request::{self, Showing};
use super::super::turn::{Answered, Turn, accounts, is_known, plan_of};
use super::super::{App, InUse};
use super::decide::shown_directly;
use crate::approval::{self, Begin, End, EndOutcome, Ending};
use crate::chat::sender::split;
use crate::command::Anew;
use crate::engine::plan::{PlanFor, PlanRefusal, plan, plan_is};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{Runbook, System};
use crate::model::chat::{Account, Message, RoomAddress};
use crate::model::code::Code;
use crate::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use crate::model::id::{
    CheckName, InboxId, IncidentId, PersonId, PolicyName, RequestId, RunId, RunbookName, ServiceName, ThreadId,
    TriggerName,
};
use crate::model::plan::{Plan, Sealed, Telling};
use crate::model::policy::{AfterDenial, Carried, DeniedBefore};
use crate::model::request::{Answer, REMEMBERED, RequestState, Wanted};
use crate::model::run::RunState;
use crate::model::until::{Until, moment};
use crate::store::{
    Cover, Decided, LastWord, NewMessage, NewRequest, NewRun, Origin, Place, Request, Result, Run, StoreError, Tx,
};
use crate::text;

/// How many codes are tried before giving up: with so many requests waiting, something else is wrong.
const CODES: usize = 20;
/// For how many days ahead something can be asked for.
const MOST_DAYS_AHEAD: i64 = 7;

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
    ask(turn, runbook, params, anew, None).await
}

/// `at 02:00 …`: asked now, started then.
pub(super) async fn command_at(
    turn: &mut Turn<'_>,
    when: Until,
    name: &RunbookName,
    params: &BTreeMap<String, String>,
    anew: Anew,
) -> Result<()> {
    let (times, now) = (turn.app.times, turn.tx.now());
    let most = now + chrono::TimeDelta::days(MOST_DAYS_AHEAD);
    let at = match moment(when, times.zone(), now) {
        Some(at) if at <= now => {
            turn.refuse(text::later::past(&times.at(at, now)));
            return Ok(());
        }
        Some(at) if at <= most => at,
        far => {
            let far = far.map_or_else(|| "That".to_owned(), |far| times.at(far, now));
            turn.refuse(text::later::too_far(&far, MOST_DAYS_AHEAD));
            return Ok(());
        }
    };
    let in_use = turn.in_use.clone();
    let Some(runbook) = in_use.catalog.runbooks.get(name) else {
        turn.refuse(text::answer::no_plan(&format!("there is no runbook {name} in the catalog any more")));
        return Ok(());
    };
    ask(turn, runbook, params, anew, Some(at)).await
}

/// `again`: the last request of this place, planned anew from the catalog as it is now.
pub(super) async fn command_again(turn: &mut Turn<'_>) -> Result<()> {
    let thread = turn.thread().cloned();
    let person = turn.person.clone();
    // In a thread it is the thread's request that is meant; in the room, what the speaker asked last.
    let of = if thread.is_some() { None } else { Some(&person) };
    let mut newest = None::<Request>;
    if thread.is_some() && turn.is_private() {
        newest = shown_directly(turn).await?.pop().map(|(request, _)| request);
    } else {
        for room in turn.rooms() {
            let found = turn.tx.find_newest_request(&room, thread.as_ref(), of).await?;
            newest = [newest, found].into_iter().flatten().max_by_key(|request| request.id);
        }
    }
    let Some(request) = newest else {
        turn.refuse(text::answer::nothing_to_repeat());
        return Ok(());
    };
    let Some(run) = turn.tx.find_run(request.run).await? else {
        turn.refuse(text::answer::nothing_to_repeat());
        return Ok(());
    };
    let plan = plan_of(&run)?;
    let (catalog, now) = (turn.in_use.clone(), turn.tx.now());
    if let Some(at) = plan.not_before.filter(|at| *at <= now) {
        turn.refuse(text::later::again_past(&plan.deed, &turn.app.times.at(at, now)));
        return Ok(());
    }
    let Some(runbook) = catalog.catalog.runbooks.get(&plan.runbook) else {
        turn.refuse(text::answer::no_plan(&format!("there is no runbook {} in the catalog any more", plan.runbook)));
        return Ok(());
    };
    ask(turn, runbook, &plan.params, Anew::Yes, plan.not_before).await
}

async fn ask(
    turn: &mut Turn<'_>,
    runbook: &Runbook,
    params: &BTreeMap<String, String>,
    anew: Anew,
    not_before: Option<DateTime<Utc>>,
) -> Result<()> {
    let in_use = turn.in_use.clone();
    // What starts later stands under the policy of that moment.
    let asked = PlanFor::at(not_before.unwrap_or_else(|| turn.tx.now()));
    let planned = match plan(&in_use.catalog, runbook, params, asked, &turn.app.world) {
        Ok(planned) => planned,
        Err(PlanRefusal::Refused(by)) => {
            turn.refuse(text::choice::refused(&turn.person, &by.policy, &by.why, by.until, &by.file));
            return Ok(());
        }
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
    match not_before {
        Some(_) if !planned.privileged() => {
            turn.refuse(text::later::only_reads(&planned.deed));
            Ok(())
        }
        Some(not_before) => start(turn, planned.later(not_before), anew).await,
        None => start(turn, planned, anew).await,
    }
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
        Verb::Pause => &system.may_pause,
    };
    let who: Vec<PersonId> = turn.catalog().people_in(subjects).into_iter().collect();
    let sentence = text::answer::not_allowed(&turn.person, deed, &system.title, &who);
    turn.refuse_right(sentence, subjects);
    false
}

/// Who asks for a run, where, and why: a person by a line, or a trigger.
pub(in crate::flow) struct Asking<'a> {
    pub(in crate::flow) app: &'a App,
    pub(in crate::flow) in_use: Arc<InUse>,
    pub(in crate::flow) tx: &'a mut Tx,
    pub(in crate::flow) room: RoomAddress,
    pub(in crate::flow) thread: Option<ThreadId>,
    /// Everybody who counts as having asked (I7), at least one; the first is the run's requester.
    pub(in crate::flow) requesters: Vec<PersonId>,
    pub(in crate::flow) account: Account,
    /// The line; `None` for a trigger.
    pub(in crate::flow) cause: Option<InboxId>,
    pub(in crate::flow) trigger: Option<TriggerName>,
    /// The incident that the run belongs to.
    pub(in crate::flow) incident: Option<IncidentId>,
    /// What is said of what came before, each a line of the request.
    pub(in crate::flow) notes: Vec<String>,
    /// That what is asked of a stuck step was denied not long ago: frozen with the request.
    pub(in crate::flow) carried: Option<Carried>,
}

/// Whether a no to a request that waits counts as said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flow) enum Waiting {
    /// It counts if the one who asks now would have that request's place taken.
    Replaced,
    /// It does not.
    LeftOut,
}

/// A run that was made.
pub(in crate::flow) struct Made {
    pub(in crate::flow) run: RunId,
    /// The request, if it needs one.
    pub(in crate::flow) request: Option<RequestId>,
}

/// Whether a request is shown, for people to decide, or granted in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::flow) enum Show {
    Yes,
    No,
    /// People are asked, and it is shown when the one whose words it are has had their say.
    Later,
}

impl<'a> Asking<'a> {
    /// The speaker of a line asks, alone, where the line is answered.
    pub(super) fn of_line(turn: &'a mut Turn<'_>) -> Self {
        let Answered { room, thread } = turn.answered.clone();
        Self {
            app: turn.app,
            in_use: turn.in_use.clone(),
            room,
            thread,
            requesters: vec![turn.person.clone()],
            account: turn.incoming.account.clone(),
            cause: Some(turn.line),
            trigger: None,
            incident: None,
            notes: Vec::new(),
            carried: None,
            tx: &mut turn.tx,
        }
    }

    fn requester(&self) -> Result<&PersonId> {
        self.requesters.first().ok_or_else(|| StoreError::Refused("nobody asks for this run".to_owned()))
    }

    /// Stores a plan and holds back whoever is about to make a run of the same one. Returns the run that does exactly
    /// this and is not over, if there is one.
    pub(in crate::flow) async fn find_open_run(&mut self, sealed: &Sealed) -> Result<Option<Run>> {
        self.tx.insert_plan(sealed).await?;
        // Two who ask the same in the same instant: the second waits here and then finds the first's run.
        self.tx.lock_plan(sealed.digest()).await?;
        self.tx.find_open_run_of_plan(sealed.digest(), &self.room).await
    }

    /// Writes into the plan that somebody said no to the same within a day, wherever that was and whatever ended it, and who must
    /// therefore be among those who agree: so that whoever is asked sees it, and it is part of what they agree to. Returns whether
    /// that was said of a request that waits.
    pub(in crate::flow) async fn carry_denial(&mut self, plan: &mut Plan, waiting: Waiting) -> Result<bool> {
        let Some(policy) = plan.policy.as_mut().filter(|_| plan.steps.iter().any(|step| step.privileged)) else {
            return Ok(false);
        };
        let requester = self.requester()?.clone();
        let since = self.tx.now() - REMEMBERED;
        for decided in self.tx.list_decided_since(&plan.runbook, &plan.system, since).await? {
            let Some(run) = self.tx.find_run(decided.request.run).await? else { continue };
            let waits = matches!(decided.request.state, RequestState::Pending { .. });
            let replaced = waiting == Waiting::Replaced
                && self.trigger.is_none()
                && run.trigger.is_none()
                && run.requester == requester
                && decided.request.room == self.room;
            if waits && !replaced || !plan_of(&run).is_ok_and(|older| older.targets == plan.targets) {
                continue;
            }
            // The last word on it: what was agreed to since is no longer denied.
            let Some(denied) = self.denial(&decided).await? else { return Ok(false) };
            policy.needs = self.after_denial(&policy.name).needs(&self.in_use.catalog, &denied.by, &self.requesters);
            policy.denied_before = Some(denied);
            return Ok(waits);
        }
        Ok(false)
    }

    /// What the last answered request about a stuck step says to whoever asks about it again within a day, if somebody said no,
    /// and how that is told.
    pub(super) async fn denied_of_step(
        &mut self,
        plan: &Plan,
        run: RunId,
        step: u32,
    ) -> Result<Option<(Carried, String)>> {
        let Some(policy) = plan.policy.as_ref().map(|policy| policy.name.clone()) else { return Ok(None) };
        let since = self.tx.now() - REMEMBERED;
        let Some(decided) = self.tx.find_last_decided_of_step(run, step, since).await? else { return Ok(None) };
        let Some(denied) = self.denial(&decided).await? else { return Ok(None) };
        let needs = self.after_denial(&policy).needs(&self.in_use.catalog, &denied.by, &self.requesters);
        let deed = text::plan::asked_deed(plan, run, &decided.request.wanted);
        let carried = Carried { denied, needs };
        let note = text::plan::denied_of_step(&carried, &deed, &self.app.times, self.tx.now());
        Ok(Some((carried, note)))
    }

    /// Who must agree after a denial, as the policy of that name says now.
    fn after_denial(&self, policy: &PolicyName) -> AfterDenial {
        self.in_use.catalog.policies.get(policy).map(|policy| policy.after_denial).unwrap_or_default()
    }

    /// Who said no to a request, and why; `None` if people agreed to it. Of several the one who ended it, or who said so last.
    async fn denial(&mut self, decided: &Decided) -> Result<Option<DeniedBefore>> {
        let Decided { request, word, at } = decided;
        let code = request.code;
        match (word, &request.state) {
            (LastWord::Agreed, _) => Ok(None),
            (LastWord::Against, RequestState::Denied { by, why }) => {
                Ok(Some(DeniedBefore { code, by: by.clone(), why: why.clone(), at: *at }))
            }
            (
                LastWord::Against,
                RequestState::Pending { .. }
                | RequestState::Granted
                | RequestState::Expired
                | RequestState::Withdrawn { .. }
                | RequestState::ChangesRequested { .. }
                | RequestState::Superseded { .. },
            ) => {
                let all = self.tx.list_decisions(request.id).await?;
                let no = all.into_iter().filter(|stored| stored.decision.answer == Answer::Deny);
                let last = no.max_by_key(|stored| stored.at);
                Ok(last.map(|no| DeniedBefore { code, by: no.decision.person, why: no.reason, at: no.at }))
            }
        }
    }

    /// What the same person asked for before, here, of the same runbook on the same targets: notes what the approvers should
    /// know of it, and returns the requests that still wait.
    async fn look_back(&mut self, plan: &Plan) -> Result<Vec<Request>> {
        let requester = self.requester()?.clone();
        let since = self.tx.now() - REMEMBERED;
        let found = self.tx.list_requests_like(&self.room, &requester, &plan.runbook, &plan.system, since).await?;
        let mut same = Vec::new();
        for request in found {
            if let Some(run) = self.tx.find_run(request.run).await?
                && plan_of(&run).is_ok_and(|older| older.same_wish(plan))
            {
                same.push(request);
            }
        }
        if let Some(RequestState::ChangesRequested { by, why }) = same.last().map(|request| &request.state) {
            self.notes.push(text::plan::after_sent_back(by, why));
        }
        same.retain(|request| matches!(request.state, RequestState::Pending { .. }));
        if !same.is_empty() {
            let codes: Vec<Code> = same.iter().map(|request| request.code).collect();
            self.notes.push(text::plan::takes_place_of(&codes));
        }
        Ok(same)
    }

    /// Ends older requests, because a newer one takes their place. One that was decided meanwhile stays as it is.
    async fn supersede(&mut self, older: &[Request], made: &Made) -> Result<()> {
        let Some(newer) = made.request else { return Ok(()) };
        let Some(newer) = self.tx.find_request(newer).await? else { return Ok(()) };
        for request in older {
            let by = self.requester()?.clone();
            let ending = Ending::Superseded { by, newer: newer.id, newer_code: newer.code };
            match approval::end(self.tx, End { request: request.id, ending, line: self.cause }).await? {
                // Echoed from the ledger.
                EndOutcome::Ended | EndOutcome::NotWaiting(_) => {}
            }
        }
        Ok(())
    }

    /// Makes the run, and the request if it needs one. The plan must be stored.
    pub(in crate::flow) async fn make(&mut self, plan: &Plan, sealed: &Sealed, show: Show) -> Result<Made> {
        let state = if plan.privileged() { RunState::AwaitingApproval } else { RunState::Planned };
        let state_name = state.name();
        let requester = self.requester()?.clone();
        let run = self
            .tx
            .insert_run(NewRun {
                state,
                runbook: &plan.runbook,
                system: &plan.system,
                environment: &plan.environment,
                plan: sealed,
                room: &self.room,
                thread: self.thread.as_ref(),
                requester: &requester,
                account: &self.account,
                cause: self.cause,
                trigger: self.trigger.as_ref(),
                incident: self.incident,
                not_before: plan.not_before,
            })
            .await?;
        let planned = Happened::RunPlanned {
            run,
            deed: plan.deed.clone(),
            runbook: plan.runbook.clone(),
            params: plan.params.clone(),
            digest: sealed.digest(),
            requester,
            account: self.account.clone(),
            room: self.room.clone(),
            trigger: self.trigger.clone(),
        };
        self.record(plan, run, planned, vec![RowMark::run(run, state_name, 1)]);
        let request =
            if plan.privileged() { Some(self.request(plan, sealed, run, &Wanted::Start, show).await?) } else { None };
        Ok(Made { run, request })
    }

    fn record(&mut self, plan: &Plan, run: RunId, what: Happened, rows: Vec<RowMark>) {
        let scope = Scope {
            system: Some(plan.system.clone()),
            environment: Some(plan.environment.clone()),
            incident: self.incident,
            run: Some(run),
            ..Scope::default()
        };
        self.tx.record(NewEvent { scope, cause: self.cause, record: Record { what, rows } });
    }

    /// Makes a request and, unless it is granted at once, shows the whole of it.
    pub(in crate::flow) async fn request(
        &mut self,
        plan: &Plan,
        sealed: &Sealed,
        run: RunId,
        wanted: &Wanted,
        show: Show,
    ) -> Result<RequestId> {
        let Some(policy) = plan.policy.clone() else {
            return Err(StoreError::Refused(format!("the plan of run {run} names no policy")));
        };
        // What starts says it in its plan.
        let carried = self.carried.clone().filter(|_| *wanted != Wanted::Start);
        let expires =
            chrono::TimeDelta::from_std(policy.expires()).map_err(|error| StoreError::Refused(error.to_string()))?;
        let expires_at = approval::until(plan, self.tx.now() + expires, wanted);
        // A retry hangs in the thread of its run.
        if self.thread.is_none() && *wanted != Wanted::Start {
            self.thread = self.tx.find_root(run).await?;
        }
        let mut made = None;
        for _ in 0..CODES {
            let mut entropy = [0; 4];
            getrandom::fill(&mut entropy)?;
            let code = Code::from_entropy(u32::from_le_bytes(entropy));
            let new = NewRequest {
                code: &code,
                run,
                wanted,
                digest: sealed.digest(),
                requesters: &self.requesters,
                needs: carried.as_ref().map(|carried| carried.needs.as_slice()).unwrap_or_default(),
                room: &self.room,
                thread: self.thread.as_ref(),
                expires_at,
            };
            if let Some(id) = self.tx.insert_request(new).await? {
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
            retry_step: wanted.step(),
            digest: sealed.digest(),
            requesters: self.requesters.clone(),
            stages: policy.stages.clone(),
            expires_at,
            excluded: plan.excluded().to_vec(),
            wish: wanted.wish().cloned(),
            carried: carried.clone(),
        };
        self.record(plan, run, asked_event, vec![RowMark::request(id, "pending", 1)]);
        match show {
            Show::Yes | Show::Later => {
                let stored = self.tx.find_run(run).await?;
                let stored = stored.ok_or_else(|| StoreError::Refused(format!("run {run} is gone")))?;
                let begin = Begin {
                    request: id,
                    code,
                    wanted,
                    run: &stored,
                    plan,
                    requesters: &self.requesters,
                    needs: carried.as_ref().map(|carried| carried.needs.as_slice()).unwrap_or_default(),
                    stage: 0,
                    request_expires_at: expires_at,
                    line: self.cause,
                    moved: Vec::new(),
                };
                let asked = approval::begin_stage(self.tx, &self.in_use.catalog, begin).await?;
                if show == Show::Yes {
                    self.show(plan, id, &asked).await?;
                }
            }
            // Nobody is asked: it is granted at once.
            Show::No => {}
        }
        Ok(id)
    }

    /// Shows the whole of a request: the decision first, every step after, never cut.
    pub(super) async fn show(&mut self, plan: &Plan, request: RequestId, asked: &[PersonId]) -> Result<()> {
        let request = self.tx.find_request(request).await?;
        let request = request.ok_or_else(|| StoreError::Refused("the request that was made is gone".to_owned()))?;
        let (id, run, code) = (request.id, request.run, request.code);
        let requester = self.requester()?.clone();
        let showing = Showing {
            plan,
            request: &request,
            requester: &requester,
            trigger: self.trigger.as_ref(),
            asked,
            notes: &self.notes,
        };
        let whole = request::whole(self.app, &self.in_use, self.tx, &showing).await?;
        let origin = self.cause.map_or(Origin::Request(id), Origin::Line);
        let (mut mentioned, directly) = request::ways(self.app, &self.in_use, &self.room, asked);
        // Whoever denied it hears that it is asked again, also when they are not asked.
        let of_plan = plan.policy.as_ref().and_then(|policy| policy.denied_before.as_ref());
        let of_step = self.carried.as_ref().map(|carried| &carried.denied);
        if let Some(denied) = of_step.or(of_plan)
            && !asked.contains(&denied.by)
        {
            mentioned.push(denied.by.clone());
        }
        let mut parts = request::parts(self.app, &self.room, &whole, code);
        if let Some(first) = parts.first_mut() {
            // The first alone: nobody is told twice of one thing.
            first.ping = accounts(&self.in_use.catalog, &mentioned, &self.room);
        }
        for (index, message) in parts.into_iter().enumerate() {
            let starts_thread = index == 0 && self.thread.is_none();
            let (place, role) = if starts_thread {
                (Place::Room, (run_subject(run), "root"))
            } else {
                let place = self.thread.clone().map_or_else(|| Place::ThreadOf(run_subject(run)), Place::Thread);
                (place, (request::subject(id), "request"))
            };
            let part = self.tx.next_part(origin);
            self.tx.say(NewMessage {
                room: self.room.clone(),
                place,
                origin,
                part,
                cause: self.cause,
                role: Some(role),
                edits: false,
                message,
            });
        }
        for copy in request::copies(self.app, &self.in_use, &request, &whole, directly, origin) {
            let part = self.tx.next_part(origin);
            self.tx.say(NewMessage { part, cause: self.cause, ..copy });
        }
        Ok(())
    }

    /// Says that a run starts under an earlier approval: its first message, with the plan, and nothing to press.
    async fn show_covered(&mut self, plan: &Plan, request: RequestId, cover: &Cover) -> Result<()> {
        let (Some(request), Some(original)) =
            (self.tx.find_request(request).await?, self.tx.find_request(cover.request).await?)
        else {
            return Ok(());
        };
        let until = self.app.times.until(cover.until, self.tx.now());
        let whole = text::repeat::covered(&text::repeat::Covered {
            plan,
            requester: self.requester()?,
            code: &request.code,
            run: request.run,
            under: &original.code,
            number: cover.used,
            of: cover.runs,
            until: &until,
        });
        self.say_at_once(request.id, request.run, &whole);
        Ok(())
    }

    /// Says what starts without waiting for anybody: its first message, with the plan, and nothing to press.
    fn say_at_once(&mut self, request: RequestId, run: RunId, whole: &str) {
        let origin = self.cause.map_or(Origin::Request(request), Origin::Line);
        for (index, text) in split(whole, self.app.limits(&self.room).text).into_iter().enumerate() {
            let starts_thread = index == 0 && self.thread.is_none();
            let (place, role) = if starts_thread {
                (Place::Room, (run_subject(run), "root"))
            } else {
                let of_run = Place::ThreadOf(run_subject(run));
                (self.thread.clone().map_or(of_run, Place::Thread), (request::subject(request), "request"))
            };
            let part = self.tx.next_part(origin);
            self.tx.say(NewMessage {
                room: self.room.clone(),
                place,
                origin,
                part,
                cause: self.cause,
                role: Some(role),
                edits: false,
                message: Message::to_room(text),
            });
        }
    }
}

/// Makes the run of a line, and the request if it needs one.
async fn start(turn: &mut Turn<'_>, mut plan: Plan, anew: Anew) -> Result<()> {
    let elsewhere = elsewhere(turn, &plan)?;
    let own = turn.own.clone();
    let in_use = turn.in_use.clone();
    let mut asking = Asking::of_line(turn);
    if let Some(room) = &elsewhere {
        (asking.room, asking.thread) = (room.clone(), None);
    }
    let mut joining = plan.clone();
    let of_waiting = asking.carry_denial(&mut plan, Waiting::Replaced).await?;
    // Before every other lock.
    let requester = asking.requester()?.clone();
    let unasked = match plan.privileged() {
        true => approval::may_start_unasked(asking.tx, &in_use.catalog, &plan, &requester).await?,
        false => None,
    };
    let sealed = Sealed::seal(&plan).map_err(|error| StoreError::Refused(error.to_string()))?;
    let mut older = Vec::new();
    if of_waiting && anew == Anew::No {
        // The same as what waits joins it: a no to that is none to something else.
        asking.carry_denial(&mut joining, Waiting::LeftOut).await?;
        let sealed = Sealed::seal(&joining).map_err(|error| StoreError::Refused(error.to_string()))?;
        if let Some(run) = asking.find_open_run(&sealed).await? {
            return join(turn, &joining, &run).await;
        }
    }
    if plan.privileged() {
        let open = asking.find_open_run(&sealed).await?;
        if let (Anew::No, Some(run)) = (anew, open) {
            return join(turn, &plan, &run).await;
        }
        older = asking.look_back(&plan).await?;
    } else {
        asking.tx.insert_plan(&sealed).await?;
    }
    // What is done while something is wrong belongs to its record; a question does not.
    if plan.telling == Telling::Steps {
        let services = services(&asking.in_use, &plan);
        asking.incident = match own {
            Some(own) if own.system == plan.system => Some(own.incident),
            Some(_) | None => asking.tx.find_unresolved_incident_of(&plan.system, &services).await?,
        };
    }
    let cover = match plan.privileged() && unasked.is_none() && plan.not_before.is_none() {
        true => approval::take_cover(asking.tx, &in_use.catalog, sealed.digest(), &asking.requesters).await?,
        false => None,
    };
    let quiet = cover.is_some() || unasked.is_some();
    let made = asking.make(&plan, &sealed, if quiet { Show::No } else { Show::Yes }).await?;
    if let (Some(started), Some(request)) = (unasked, made.request) {
        let found = asking.tx.find_request(request).await?;
        approval::grant_unasked(asking.tx, request, started.clone(), asking.cause).await?;
        if let Some(Request { code, .. }) = found {
            asking.say_at_once(request, made.run, &text::repeat::unasked(&plan, &code, made.run, &started));
        }
    }
    if let (Some(cover), Some(request)) = (&cover, made.request) {
        let in_use = asking.in_use.clone();
        approval::grant_under(asking.tx, &in_use.catalog, request, cover, asking.cause).await?;
        asking.show_covered(&plan, request, cover).await?;
    }
    asking.supersede(&older, &made).await?;
    if let Some(room) = elsewhere {
        say_where(turn, made.run, &room).await?;
    }
    Ok(())
}

/// The room in which a request is shown that was asked for where nobody but the catalog's rooms would see it: its system's.
fn elsewhere(turn: &Turn<'_>, plan: &Plan) -> Result<Option<RoomAddress>> {
    let catalog = turn.catalog();
    if !plan.privileged() || turn.own.is_some() || is_known(catalog, turn.room()) {
        return Ok(None);
    }
    let room = catalog.systems.get(&plan.system).and_then(|system| catalog.rooms.get(&system.room));
    let room = room.ok_or_else(|| StoreError::Refused(format!("system {} has no room", plan.system)))?;
    Ok(Some(room.address.clone()))
}

/// Says where it was asked, and who decides, to whoever asked somewhere else.
pub(super) async fn say_where(turn: &mut Turn<'_>, run: RunId, room: &RoomAddress) -> Result<()> {
    let Some(request) = turn.tx.find_pending_of_run(run).await? else { return Ok(()) };
    let asked = turn.asked_now(&request).await?;
    let room = turn.name_of(room);
    turn.answer(text::answer::asked_in(&room, &request.code, &asked));
    Ok(())
}

/// The services that a plan names as what it works on.
fn services(in_use: &InUse, plan: &Plan) -> Vec<ServiceName> {
    let names = plan.targets.iter().map(|target| ServiceName::new(target.clone()));
    names.filter(|name| in_use.catalog.service(name).is_some()).collect()
}

/// The same waits or runs already: say so, and let whoever waits for this line wait for that run.
async fn join(turn: &mut Turn<'_>, plan: &Plan, run: &Run) -> Result<()> {
    turn.tx.insert_line_run(turn.line, run.id).await?;
    let since = text::answer::since(&turn.app.times, run.created_at, turn.tx.now());
    match turn.tx.find_pending_of_run(run.id).await? {
        Some(request) if request.wanted == Wanted::Start => {
            let asked = turn.asked_now(&request).await?;
            let approvers = Turn::approvers(plan, 0);
            let unseen = turn.app.unseen(turn.catalog(), &approvers);
            turn.answer(text::answer::already_waiting(&asked, &since, &request.code) + &unseen);
        }
        _ => turn.answer(text::answer::already_going(run.id, &run.state, &since)),
    }
    Ok(())
}

fn run_subject(run: RunId) -> String {
    crate::store::subject(run)
}

//! The loop that asks the scheduled checks, and what a failing one starts by itself.
//!
//! One process at a time watches, by lease; every result is taken in a transaction that holds that lease still. A result,
//! its turn, the incident, and all that a trigger does about it are one transaction (I4): after a crash either all of it
//! happened, or the check is asked again. What is known of a check stands in the store and outlives the process.
//!
//! Keeps I12 with `watch::brake`: the brakes are read and locked in the transaction that would start something. An
//! automatic start holds the row of `automation` for itself, so that `pause` comes before or after it, never between (I1), and
//! so that no two are counted as one against the bound of a policy; one that people are asked about holds it for share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::commands::ask::{Asking, Show, Waiting};
use super::handle::{begin_trace, is_collision};
use super::{App, InUse};
use crate::approval::{self, ByItself};
use crate::engine::plan::{PlanFor, PlanRefusal, fill, plan, plan_check};
use crate::engine::probe::Asker;
use crate::metrics;
use crate::metrics::beats::{Loop, beat};
use crate::model::catalog::{Catalog, FoundCheck, Trigger, TriggerMode};
use crate::model::chat::Account;
use crate::model::event::{Brake, CheckResult, Happened, Health, NewEvent, Record, Scope};
use crate::model::id::{CheckName, IncidentId, RunId, ServiceName, SystemName};
use crate::model::plan::{Plan, Sealed};
use crate::model::run::RunState;
use crate::model::trace::Trace;
use crate::store::{Automation, BrakeRow, ChecksKnown, FiringRow, Run, StoreError, Tx, WorkerId};
use crate::text;
use crate::watch::brake::{Came, Decision, Firing, Look, Occasion, Others, Why, decide};
use crate::watch::record::{Taken, Watched, forget, take};
use crate::watch::schedule::{self, AT_ONCE, Pace, Places};
use crate::watch::state::Seen;

/// The loop's lease.
const LEASE: &str = "watch";
/// How often at least the loop looks around.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a result is taken again when somebody else moved a row meanwhile.
const TRIES: u32 = 5;

/// Which check.
type Key = (SystemName, ServiceName, CheckName);

/// A check of the round.
struct Entry {
    every: Duration,
    timeout: Duration,
    due: DateTime<Utc>,
    asking: bool,
    pace: Pace,
    /// Whether the triggers have yet to look at a failure that is older than this catalog.
    unlooked: bool,
}

/// The checks of one catalog.
struct Round {
    in_use: Arc<InUse>,
    checks: BTreeMap<Key, Entry>,
}

impl Round {
    /// The places that are held by what is being asked.
    fn places(&self) -> Places {
        let mut places = Places::default();
        for entry in self.checks.values().filter(|entry| entry.asking) {
            places.hold(entry.pace);
        }
        places
    }
}

/// By what right results are taken, and what may be started.
#[derive(Clone)]
struct Right {
    me: WorkerId,
    fence: i64,
    /// Held by whoever may start something: of several failures at once each sees what the others started.
    starts: Arc<Mutex<()>>,
}

/// What came of an asking.
struct Asked {
    key: Key,
    at: DateTime<Utc>,
    took: Duration,
    /// Whether there was a result and it was taken.
    taken: bool,
    /// The catalog of the round that asked.
    of: Arc<InUse>,
}

/// Watches until told to stop.
pub async fn watch(app: Arc<App>, asker: Arc<Asker>, me: WorkerId, lease: Duration, mut stop: watch::Receiver<bool>) {
    let mut held = None::<(i64, tokio::time::Instant)>;
    let mut round = None::<Round>;
    let mut asking: JoinSet<Asked> = JoinSet::new();
    let starts = Arc::new(Mutex::new(()));
    while !*stop.borrow() {
        let now = tokio::time::Instant::now();
        // Renewed when a third of it has passed.
        if held.is_none_or(|(_, until)| now + lease * 2 / 3 >= until) {
            held = match app.store.take_lease(LEASE, me, lease).await {
                Ok(Some(taken)) => {
                    if held.is_some_and(|(fence, _)| fence != taken.fence) {
                        round = None;
                    }
                    Some((taken.fence, now + lease))
                }
                Ok(None) => None,
                Err(error) => {
                    tracing::error!(error = %text::chain(&error), "the checks have no lease");
                    // What is held is held until its end.
                    held.filter(|(_, until)| now < *until)
                }
            };
        }
        let Some((fence, _)) = held else {
            // Somebody else watches: what is being asked here is not taken any more.
            beat(Loop::Checks);
            round = None;
            asking.shutdown().await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.changed() => {}
            }
            continue;
        };
        let in_use = app.in_use();
        if let Some(round) = round.as_mut().filter(|round| round.in_use.fingerprint == in_use.fingerprint) {
            // The same catalog: who is in its groups may be others, and nothing begins anew for that.
            round.in_use = in_use;
        } else {
            match begin(&app, in_use, round.as_ref()).await {
                Ok(begun) => round = Some(begun),
                // Those of the round before are watched meanwhile.
                Err(error) => tracing::error!(error = %text::chain(&error), "the checks cannot be watched yet"),
            }
        }
        // Without a round nothing is watched, and health must say so.
        if round.is_some() {
            beat(Loop::Checks);
        }
        let right = Right { me, fence, starts: starts.clone() };
        let wait = round.as_mut().map_or(LOOK_EVERY, |round| {
            ask_due(&app, &asker, &right, round, &mut asking, &stop);
            // Only what has a place is waited for: the others are looked at when one is free.
            let places = round.places();
            let waiting = round.checks.values().filter(|entry| !entry.asking && places.is_free(entry.pace));
            let free = waiting.map(|entry| entry.due).min();
            match free {
                Some(due) if asking.len() < AT_ONCE => app.store.clock().until(due).min(LOOK_EVERY),
                _ => LOOK_EVERY,
            }
        });
        tokio::select! {
            Some(done) = asking.join_next() => asked(&app, round.as_mut(), done),
            () = tokio::time::sleep(wait) => {}
            _ = stop.changed() => {}
        }
    }
    asking.shutdown().await;
}

/// Begins a round: what is known goes on from the store, what is no longer watched is forgotten.
async fn begin(app: &App, in_use: Arc<InUse>, before: Option<&Round>) -> Result<Round, StoreError> {
    let now = app.store.clock().now();
    let ChecksKnown { rows: known, unreadable } = app.store.list_check_states().await?;
    for why in unreadable {
        // One row keeps no other check from being watched; its own check begins anew.
        tracing::error!(error = %why, "what is known of a check cannot be read and counts as not known");
    }
    let mut checks = BTreeMap::new();
    for (key, found) in scheduled(&in_use.catalog) {
        let Some(schedule) = found.check.schedule else { continue };
        let row = known.iter().find(|row| (&row.system, &row.service, &row.check) == (&key.0, &key.1, &key.2));
        let name = format!("{}/{}/{}", key.0, key.1, key.2);
        let due = schedule::first(&name, schedule.every, row.map(|row| row.asked_at), now);
        // What is being asked already is not asked twice.
        let entry = before.and_then(|round| round.checks.get(&key));
        let asking = entry.is_some_and(|entry| entry.asking);
        // What nobody could find out last may well have hung.
        let hung = row.is_some_and(|row| row.soft == Health::Unknown);
        let pace = entry.map_or(if hung { Pace::Slow } else { Pace::New }, |entry| entry.pace);
        let (every, timeout) = (schedule.every, found.check.timeout);
        checks.insert(key, Entry { every, timeout, due, asking, pace, unlooked: true });
    }
    for row in known {
        if checks.contains_key(&(row.system.clone(), row.service.clone(), row.check.clone())) {
            continue;
        }
        let mut tx = app.store.begin().await?;
        let environment = in_use.catalog.systems.get(&row.system).map(|system| system.environment.clone());
        forget(&mut tx, &row, environment, text::automation::not_watched(), now).await?;
        tx.commit().await?;
        tracing::info!(service = %row.service, check = %row.check, "a check is no longer watched");
    }
    Ok(Round { in_use, checks })
}

fn scheduled(catalog: &Catalog) -> impl Iterator<Item = (Key, FoundCheck<'_>)> {
    catalog.systems.values().flat_map(|system| {
        system.services.values().flat_map(move |service| {
            let checks = service.checks.values().filter(|check| check.schedule.is_some());
            checks.map(move |check| {
                let key = (system.name.clone(), service.name.clone(), check.name.clone());
                (key, FoundCheck { system, service, check })
            })
        })
    })
}

/// Asks what is due, the longest due first, as many at once as may be.
fn ask_due(
    app: &Arc<App>,
    asker: &Arc<Asker>,
    right: &Right,
    round: &mut Round,
    asking: &mut JoinSet<Asked>,
    stop: &watch::Receiver<bool>,
) {
    let now = app.store.clock().now();
    let of = round.in_use.clone();
    let mut places = round.places();
    let mut due: Vec<(&Key, &mut Entry)> =
        round.checks.iter_mut().filter(|(_, entry)| !entry.asking && entry.due <= now).collect();
    due.sort_by_key(|(_, entry)| entry.due);
    for (key, entry) in due {
        // What an older round still asks holds a place as well.
        if asking.len() >= AT_ONCE || !places.is_free(entry.pace) {
            continue;
        }
        places.hold(entry.pace);
        entry.asking = true;
        let (app, asker, right, key, stop) = (app.clone(), asker.clone(), right.clone(), key.clone(), stop.clone());
        // What is logged of this asking carries these, and a run that it starts is part of its trace.
        let trace = begin_trace().ok();
        let span = tracing::error_span!(
            "check",
            trace_id = trace.map(|trace| tracing::field::display(trace.id())),
            check.service = %key.1,
            check.name = %key.2,
            run.id = tracing::field::Empty,
            incident.id = tracing::field::Empty,
        );
        let (due, unlooked, of) = (entry.due, entry.unlooked, of.clone());
        let asked = async move {
            let at = app.store.clock().now();
            let began = tokio::time::Instant::now();
            let late = (at - due).to_std().unwrap_or_default();
            let result = ask(&app, &asker, &key, stop).await;
            let took = began.elapsed();
            let taken = match result {
                Some(seen) => {
                    metrics::checked(seen.health, late);
                    took_at_last(&app, &right, &key, &seen, trace, unlooked).await
                }
                None => false,
            };
            Asked { key, at, took, taken, of }
        };
        asking.spawn(asked.instrument(span));
    }
}

/// One check was asked: when is it due again.
fn asked(app: &App, round: Option<&mut Round>, done: Result<Asked, tokio::task::JoinError>) {
    match done {
        Ok(Asked { key, at, took, taken, of }) => {
            let Some(round) = round else { return };
            // A result that an older round asked for was not brought before the triggers of this one.
            let looked = taken && of.fingerprint == round.in_use.fingerprint;
            if let Some(entry) = round.checks.get_mut(&key) {
                let mut random = [0; 4];
                // Without randomness the checks keep step, which does no harm for once.
                let _ = getrandom::fill(&mut random);
                entry.due = schedule::next(entry.every, at, app.store.clock().now(), u32::from_le_bytes(random));
                entry.asking = false;
                entry.pace = Pace::of(took, entry.timeout);
                entry.unlooked &= !looked;
            }
        }
        Err(error) => {
            tracing::error!(%error, "asking a check ended badly");
            // Which one it was is not known: all that are marked are free again, at worst one is asked twice.
            for entry in round.into_iter().flat_map(|round| round.checks.values_mut()) {
                entry.asking = false;
            }
        }
    }
}

/// Asks one check; `None`: there is no result.
async fn ask(app: &App, asker: &Asker, key: &Key, stop: watch::Receiver<bool>) -> Option<Seen> {
    let in_use = app.in_use();
    let found = find(&in_use.catalog, key)?;
    let at = app.store.clock().now();
    let result = match plan_check(&in_use.catalog, found, &app.world) {
        Ok(check) => asker.ask(&check, &in_use.secrets, stop).await,
        // A check that cannot be asked is unknown (I12).
        Err(refusal) => Some(CheckResult {
            service: key.1.clone(),
            check: key.2.clone(),
            health: Health::Unknown,
            detail: in_use.secrets.redact(&refusal.to_string()),
        }),
    };
    result.map(|result| Seen { health: result.health, detail: result.detail, at })
}

/// Takes one result, again if somebody else moved a row meanwhile; whether it was taken.
async fn took_at_last(app: &App, right: &Right, key: &Key, seen: &Seen, trace: Option<Trace>, unlooked: bool) -> bool {
    let mut tries = 0;
    loop {
        tries += 1;
        match took(app, right, key, seen, trace, unlooked).await {
            Ok(taken) => return taken,
            Err(StoreError::Moved { .. }) if tries < TRIES => {}
            Err(StoreError::Database(error)) if tries < TRIES && is_collision(&error) => {}
            Err(error) => {
                // The check is asked again in its turn.
                tracing::error!(error = %text::chain(&error), "a result was not taken");
                return false;
            }
        }
    }
}

fn find<'a>(catalog: &'a Catalog, (system, service, check): &Key) -> Option<FoundCheck<'a>> {
    let system = catalog.systems.get(system)?;
    let service = system.services.get(service)?;
    let check = service.checks.get(check).filter(|check| check.schedule.is_some())?;
    Some(FoundCheck { system, service, check })
}

/// Takes one result, with all that follows from it; `false` if it is nobody's any more.
async fn took(
    app: &App,
    right: &Right,
    key: &Key,
    seen: &Seen,
    trace: Option<Trace>,
    unlooked: bool,
) -> Result<bool, StoreError> {
    let in_use = app.in_use();
    let Some(found) = find(&in_use.catalog, key) else { return Ok(false) };
    let Some(schedule) = found.check.schedule else { return Ok(false) };
    let Some(room) = in_use.catalog.rooms.get(&found.system.room) else { return Ok(false) };
    let watched = Watched {
        system: key.0.clone(),
        environment: found.system.environment.clone(),
        room: room.address.clone(),
        channel: found.system.incident_channel.as_ref().map(|channel| channel.wish.clone()),
        service: key.1.clone(),
        check: key.2.clone(),
        schedule,
        of_service: found.service.checks.values().filter(|c| c.schedule.is_some()).map(|c| c.name.clone()).collect(),
    };
    // What is unknown triggers nothing, whatever a trigger says (I12).
    let failing = matches!(seen.health, Health::Warning | Health::Critical);
    let listening: Vec<Trigger> = in_use
        .catalog
        .triggers
        .values()
        .filter(|trigger| failing && trigger.on.becomes == seen.health && trigger.on.matches(&key.0, &key.1, &key.2))
        .cloned()
        .collect();
    // Before the transaction begins: whoever waits here holds no connection.
    let _starts = if listening.is_empty() { None } else { Some(right.starts.lock().await) };
    let mut tx = app.store.begin().await?;
    if !tx.holds_lease(LEASE, right.me, right.fence).await? {
        return Ok(false);
    }
    if let Some(trace) = trace {
        tx.set_trace(trace);
    }
    // What may start by itself is counted: no other process counts at the same time.
    let automation = match listening.iter().any(|trigger| trigger.mode == TriggerMode::Auto) {
        true => Some(tx.lock_automation().await?),
        false if listening.is_empty() => None,
        false => Some(tx.share_automation().await?),
    };
    let title = text::automation::title(&found.service.title, &key.2, seen.health);
    let taken = take(&mut tx, &watched, seen, title).await?;
    if taken.known.hard == Some(seen.health)
        && let Some(automation) = automation
    {
        for trigger in &listening {
            let context =
                Context { app, in_use: &in_use, watched: &watched, taken: &taken, automation: &automation, unlooked };
            context.consider(&mut tx, trigger, seen).await?;
        }
    }
    tx.commit().await?;
    Ok(true)
}

/// A failure that is certain, about to be brought before a trigger.
struct Context<'a> {
    app: &'a App,
    in_use: &'a Arc<InUse>,
    watched: &'a Watched,
    taken: &'a Taken,
    automation: &'a Automation,
    /// Whether this catalog's triggers have not looked at this check yet.
    unlooked: bool,
}

impl Context<'_> {
    async fn consider(&self, tx: &mut Tx, trigger: &Trigger, seen: &Seen) -> Result<(), StoreError> {
        let service = &self.watched.service;
        let mut brake = tx.lock_brake(&trigger.name, service).await?;
        if brake.held_by.is_some() {
            return Ok(());
        }
        let now = tx.now();
        let window = TimeDelta::from_std(trigger.brakes.at_most.per).unwrap_or(TimeDelta::MAX);
        let since = now.checked_sub_signed(window).unwrap_or(DateTime::<Utc>::MIN_UTC);
        let fired = tx.list_firings(&trigger.name, service, since).await?;
        let firings: Vec<Firing> = fired.iter().map(firing).collect();
        let own: Vec<RunId> = fired.iter().filter_map(|firing| firing.run.as_ref().map(|(run, _, _)| *run)).collect();
        let still = self.taken.turn.is_none();
        // It began before the trigger was there, or before a reload mended what kept it from acting: looked at now.
        let acted = fired.last().is_some_and(|last| self.taken.known.hard_since.is_some_and(|since| last.at >= since));
        let late = self.unlooked && still && brake.again_at.is_none() && !acted;
        if late {
            brake.again_at = Some(now);
        }
        let occasion = if still { Occasion::StillFails { again_at: brake.again_at } } else { Occasion::Turned };
        let schedule = self.watched.schedule;
        let (others, by_itself) = others(tx, &self.watched.system, service, &own).await?;
        let look = Look {
            now,
            occasion,
            asked_at: seen.at,
            ok_at: self.taken.known.ok_at,
            settle: schedule.every * schedule.fails_after.max(1),
            brakes: trigger.brakes,
            paused: self.automation.paused.is_some(),
            held: brake.held_by,
            counted_from: brake.counted_from,
            firings: &firings,
            turns: &self.taken.known.turns,
            others,
        };
        match decide(&look) {
            // What is in its way now is in its way for a while: it is looked at with every result.
            Decision::Wait if late => tx.put_brake(&brake).await,
            Decision::Wait => Ok(()),
            Decision::PutOff { by, until } => {
                let why = match (by, &self.automation.paused) {
                    (Brake::Paused, Some(paused)) => text::automation::paused_by(&paused.by),
                    (Brake::Stuck, _) => match own.last() {
                        Some(run) => text::automation::run_stuck(*run),
                        None => text::automation::busy(service),
                    },
                    (Brake::Busy, _) if by_itself => text::automation::one_at_a_time(&self.watched.system),
                    (Brake::Busy, _) => text::automation::busy(service),
                    _ => text::automation::cooling(trigger.brakes.cooldown),
                };
                brake.again_at = Some(until.unwrap_or(now));
                tx.put_brake(&brake).await?;
                self.held(tx, trigger, by, why, until).await
            }
            Decision::Held { by, why } => {
                let why = match why {
                    Why::Runs(runs) => text::automation::too_many_runs(runs, trigger.brakes.at_most.per),
                    Why::Turns(turns) => {
                        text::automation::flaps(&self.watched.check, turns, trigger.brakes.flapping.per)
                    }
                    Why::RunFailed => text::automation::run_failed(),
                    Why::NotOkAfterRun => text::automation::not_ok_after_run(&self.watched.check),
                };
                (brake.held_by, brake.held_since, brake.held_why) = (Some(by), Some(now), Some(why.clone()));
                brake.again_at = None;
                tx.put_brake(&brake).await?;
                self.held(tx, trigger, by, why, None).await
            }
            Decision::Go => self.fire(tx, trigger, brake).await,
        }
    }

    /// The incident that this belongs to.
    async fn incident(&self, tx: &mut Tx) -> Result<Option<IncidentId>, StoreError> {
        tx.find_unresolved_incident_of(&self.watched.system, std::slice::from_ref(&self.watched.service)).await
    }

    async fn record(&self, tx: &mut Tx, run: Option<RunId>, what: Happened) -> Result<(), StoreError> {
        let scope = Scope {
            system: Some(self.watched.system.clone()),
            environment: Some(self.watched.environment.clone()),
            incident: self.incident(tx).await?,
            run,
            ..Scope::default()
        };
        tx.record(NewEvent { scope, cause: None, record: Record { what, rows: Vec::new() } });
        Ok(())
    }

    async fn held(
        &self,
        tx: &mut Tx,
        trigger: &Trigger,
        by: Brake,
        why: String,
        until: Option<DateTime<Utc>>,
    ) -> Result<(), StoreError> {
        let (trigger, service) = (trigger.name.clone(), self.watched.service.clone());
        self.record(tx, None, Happened::TriggerHeld { trigger, service, by, why, until }).await
    }

    /// The plan of what a trigger does about this failure.
    fn plan(&self, trigger: &Trigger, now: DateTime<Utc>) -> Result<Plan, NoPlan> {
        let values = BTreeMap::from([
            ("system".to_owned(), self.watched.system.to_string()),
            ("service".to_owned(), self.watched.service.to_string()),
            ("check".to_owned(), self.watched.check.to_string()),
        ]);
        let catalog = &self.in_use.catalog;
        let no_runbook = || NoPlan { why: text::automation::no_runbook(&trigger.run), until: None };
        let runbook = catalog.runbooks.get(&trigger.run).ok_or_else(no_runbook)?;
        let mut params = BTreeMap::new();
        for (name, template) in &trigger.with {
            params.insert(name.clone(), fill(template, &values).map_err(NoPlan::from)?);
        }
        let asked = PlanFor { at: now, trigger: Some(&trigger.name) };
        plan(catalog, runbook, &params, asked, &self.app.world).map_err(NoPlan::from)
    }

    /// Whether the catalog that was read lets a trigger start a plan, and the one in use does not: that waits for a second
    /// person, or a script of it changed a moment ago.
    fn waits(&self, plan: &Plan, trigger: &Trigger) -> bool {
        let policy = plan.policy.as_ref().filter(|_| self.in_use.access.is_some());
        let policy = policy.and_then(|policy| self.in_use.read.policies.get(&policy.name));
        policy.is_some_and(|policy| policy.automatic.iter().any(|rule| rule.lets(&trigger.name, &plan.runbook)))
    }

    async fn fire(&self, tx: &mut Tx, trigger: &Trigger, mut brake: BrakeRow) -> Result<(), StoreError> {
        let service = &self.watched.service;
        brake.again_at = None;
        let mut plan = match self.plan(trigger, tx.now()) {
            Ok(plan) => plan,
            Err(NoPlan { why, until }) => {
                // A freeze ends by itself: then it is looked at again.
                brake.again_at = until;
                tx.put_brake(&brake).await?;
                self.held(tx, trigger, Brake::NoPlan, self.in_use.secrets.redact(&why), until).await?;
                return Ok(());
            }
        };
        let mut why = None;
        let (mode, made) = if trigger.mode == TriggerMode::Shadow {
            (TriggerMode::Shadow, None)
        } else {
            let mut asking = Asking {
                app: self.app,
                in_use: self.in_use.clone(),
                room: self.watched.room.clone(),
                thread: None,
                // I7: who answers for the trigger counts as having asked.
                requesters: vec![trigger.owner.clone()],
                account: account(trigger),
                cause: None,
                trigger: Some(trigger.name.clone()),
                incident: self.incident(tx).await?,
                notes: Vec::new(),
                carried: None,
                tx: &mut *tx,
            };
            asking.carry_denial(&mut plan, Waiting::LeftOut).await?;
            let wanted = trigger.mode == TriggerMode::Auto;
            let by_itself = match wanted && plan.privileged() {
                true => match approval::may_start_by_itself(&mut *asking.tx, &plan, &trigger.name).await? {
                    ByItself::Lets => true,
                    ByItself::NotNamed => {
                        why = Some(match self.waits(&plan, trigger) {
                            true => text::automation::waits(&plan),
                            false => text::automation::not_named(&plan),
                        });
                        false
                    }
                    // What somebody has just denied, people decide.
                    ByItself::Denied => {
                        why = Some(text::automation::denied_lately(&trigger.name));
                        false
                    }
                    ByItself::Spent { runs, per } => {
                        why = Some(text::automation::spent(&plan, &trigger.name, runs, per));
                        false
                    }
                },
                false => wanted,
            };
            if !by_itself {
                asking.notes.extend(why.clone());
            }
            let sealed = Sealed::seal(&plan).map_err(|error| StoreError::Refused(error.to_string()))?;
            if asking.find_open_run(&sealed).await?.is_some() {
                // Somebody asked for exactly this in the same instant.
                brake.again_at = Some(tx.now());
                tx.put_brake(&brake).await?;
                self.held(tx, trigger, Brake::Busy, text::automation::busy(service), None).await?;
                return Ok(());
            }
            let show = if by_itself { Show::No } else { Show::Yes };
            let made = asking.make(&plan, &sealed, show).await?;
            if let (true, Some(request)) = (by_itself, made.request)
                && !approval::grant_automatic(tx, request).await?
            {
                return Err(StoreError::Refused(format!("run {} may not start by itself", made.run)));
            }
            (if by_itself { TriggerMode::Auto } else { TriggerMode::Ask }, Some(made.run))
        };
        tx.insert_firing(&trigger.name, service, made).await?;
        tx.put_brake(&brake).await?;
        let what = Happened::TriggerFired {
            trigger: trigger.name.clone(),
            mode,
            service: service.clone(),
            check: self.watched.check.clone(),
            deed: plan.deed,
            run: made,
            why,
        };
        self.record(tx, made, what).await
    }
}

/// Why there is no plan, and from when on there may be one.
struct NoPlan {
    why: String,
    until: Option<DateTime<Utc>>,
}

impl From<PlanRefusal> for NoPlan {
    fn from(refusal: PlanRefusal) -> Self {
        let until = match &refusal {
            PlanRefusal::Refused(by) => by.until.map(|(until, _)| until),
            _ => None,
        };
        Self { why: text::chain(&refusal), until }
    }
}

/// The account by which a trigger asks: no platform has it, so nobody can speak by it.
fn account(trigger: &Trigger) -> Account {
    Account { platform: "trigger".to_owned(), workspace: "catalog".to_owned(), id: trigger.name.to_string() }
}

/// What came of a firing, by its run's state.
fn firing(row: &FiringRow) -> Firing {
    let came = match &row.run {
        None => Came::Shadow,
        Some((_, state, at)) => match state.as_str() {
            "succeeded" => Came::Succeeded(*at),
            "failed" => Came::Failed(*at),
            "stuck" => Came::Stuck,
            "denied" | "withdrawn" | "stopped" => Came::Declined(*at),
            "expired" => Came::Expired(*at),
            // Not over; a state that is not known here is not believed to be over.
            _ => Came::Open,
        },
    };
    Firing { at: row.at, came }
}

/// Runs that the trigger did not ask for and that it waits for: those for its service, and of its system the one that
/// started by itself, for one at a time does. `true`: it is that one alone.
async fn others(
    tx: &mut Tx,
    system: &SystemName,
    service: &ServiceName,
    own: &[RunId],
) -> Result<(Others, bool), StoreError> {
    let mut ended = None::<DateTime<Utc>>;
    let mut by_itself = false;
    for (run, moved_at) in tx.list_runs_lately(system).await? {
        if own.contains(&run.id) {
            continue;
        }
        if !changes(&run, service) {
            by_itself |= started_by_itself(&run);
            continue;
        }
        if !run.state.is_over() {
            return Ok((Others::Open, false));
        }
        // What was denied, withdrawn or let lapse did nothing, and is waited for no longer.
        let did = matches!(run.state, RunState::Succeeded | RunState::Failed(_) | RunState::Stopped { .. });
        ended = ended.max(did.then_some(moved_at));
    }
    if by_itself {
        return Ok((Others::Open, true));
    }
    Ok((ended.map_or(Others::None, Others::Ended), false))
}

/// Whether a trigger asked for a run and it is under way. One that waits for a person, to agree or to judge, keeps no other
/// from starting.
fn started_by_itself(run: &Run) -> bool {
    let under_way = match run.state {
        RunState::Planned | RunState::Approved | RunState::Running | RunState::Stopping { .. } => true,
        RunState::AwaitingApproval | RunState::Stuck(_) => false,
        RunState::Succeeded
        | RunState::Failed(_)
        | RunState::Stopped { .. }
        | RunState::Denied { .. }
        | RunState::Expired
        | RunState::Withdrawn { .. } => false,
    };
    run.trigger.is_some() && under_way
}

/// Whether a run may change something of a service. A plan that cannot be read may.
fn changes(run: &Run, service: &ServiceName) -> bool {
    let Ok(plan) = Sealed::from_stored(run.plan.clone()).open() else { return true };
    plan.privileged() && plan.targets.iter().any(|target| target == service.as_str() || target == plan.system.as_str())
}

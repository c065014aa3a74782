//! Who is woken while nobody decides: reminders, rings, and the next people who are asked.
//!
//! What is due is done here, step by step (`approval::wake`); each step is one transaction on its request's row, so that any
//! number of processes may look and none does a step twice. Rings are rows made with their step, tried at least once and a
//! bounded number of times, each try counted before it is made.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;

use super::App;
use super::ring::{Call, NotRung, Ringer};
use super::turn::plan_of;
use crate::approval::{self, Rings};
use crate::metrics::beats::{Loop, beat};
use crate::model::event::{Happened, NewEvent, Record};
use crate::model::request::RequestState;
use crate::store::{RingEnd, StoreError, Topic, WaitingRing};
use crate::text;

/// How often at least it is looked what is due.
const EVERY: Duration = Duration::from_secs(1);
/// The most requests of one round.
const BATCH: i64 = 100;
/// How often a ring is tried.
const MOST_TRIES: u32 = 5;

/// How long after the begin of a try the next may be made: longer than a try takes, and longer each time.
fn pause(tries_before: u32) -> TimeDelta {
    TimeDelta::seconds(15) * 2_i32.pow(tries_before.min(3))
}

/// Wakes people until told to stop.
pub async fn escalation(app: Arc<App>, ringer: Option<Ringer>, stop: watch::Receiver<bool>) {
    let rings = if ringer.is_some() { Rings::Yes } else { Rings::No };
    let ringing = async {
        if let Some(ringer) = &ringer {
            ring_all(&app, ringer, stop.clone()).await;
        }
    };
    tokio::join!(wake_all(&app, rings, stop.clone()), ringing);
}

async fn wake_all(app: &App, rings: Rings, mut stop: watch::Receiver<bool>) {
    let mut requests = app.store.hub().listen(Topic::Requests);
    while !*stop.borrow() {
        beat(Loop::Escalation);
        let wait = match round(app, rings).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(error = %text::chain(&error), "waking people has to wait");
                EVERY
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = requests.wait(EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// One round; returns how long the next can wait.
async fn round(app: &App, rings: Rings) -> Result<Duration, StoreError> {
    for request in app.store.list_to_wake(BATCH).await? {
        let in_use = app.in_use();
        let woken = async {
            let mut tx = app.store.begin().await?;
            approval::wake(&mut tx, &in_use.catalog, request, rings).await?;
            tx.commit().await
        };
        match woken.await {
            Ok(()) => {}
            // Decided, or woken by another process, in the meantime: looked at again.
            Err(StoreError::Moved { .. }) => {}
            Err(error @ StoreError::Database(_)) => return Err(error),
            // Each alone: one that cannot be read must not keep the others waiting.
            Err(error) => tracing::error!(error = %text::chain(&error), %request, "nobody can be woken for a request"),
        }
    }
    super::handover::look(app).await?;
    let next = app.store.next_wake().await?.map_or(EVERY, |at| app.store.clock().until(at));
    // What is due still has been tried: it has ended, or cannot be read. It is not tried without a pause.
    Ok(if next.is_zero() { EVERY } else { next.min(EVERY) })
}

async fn ring_all(app: &App, ringer: &Ringer, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let did = match app.store.take_ring(pause).await {
            Ok(None) => false,
            Ok(Some(ring)) => match try_once(app, ringer, &ring).await {
                Ok(()) => true,
                Err(error) => {
                    tracing::error!(error = %text::chain(&error), ring = ring.id.0, "a ring has to wait");
                    false
                }
            },
            Err(error) => {
                tracing::error!(error = %text::chain(&error), "rings have to wait");
                false
            }
        };
        if did {
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

/// Tries a ring once, and notes what came of it.
async fn try_once(app: &App, ringer: &Ringer, ring: &WaitingRing) -> Result<(), StoreError> {
    let Some(request) = app.store.find_request(ring.request).await? else { return Ok(()) };
    let waits = matches!(request.state, RequestState::Pending { .. }) && app.store.clock().now() < request.expires_at;
    let run = app.store.find_run(request.run).await?;
    let Some(run) = run.filter(|_| waits) else {
        let mut tx = app.store.begin().await?;
        tx.end_ring(ring.id, RingEnd::Dropped).await?;
        return tx.commit().await;
    };
    let plan = plan_of(&run)?;
    let deed = super::request::deed(app, app.store.clock().now(), &plan, &request);
    let asked_by = request.requesters.first().map(ToString::to_string).unwrap_or_default();
    let room = app.in_use().catalog.room_at(&request.room).map_or_else(String::new, |room| room.name.to_string());
    let (key, code) = (format!("ring-{}", ring.id), request.code.to_string());
    let call = Call {
        kind: "ring",
        key: &key,
        people: ring.people.iter().map(|person| person.as_str()).collect(),
        code: &code,
        deed: &deed,
        system: run.system.as_str(),
        environment: &run.environment,
        asked_by: &asked_by,
        until: request.expires_at,
        room: &room,
    };
    // One try that nobody saw the end of may have been the last.
    let tried = if ring.tries > MOST_TRIES {
        Err(NotRung::ForGood(ring.why.clone().unwrap_or_else(|| "nobody saw what the last try came to".to_owned())))
    } else {
        ringer.ring(&call, app.store.clock().now()).await
    };
    let tries = ring.tries.min(MOST_TRIES);
    let people = ring.people.clone();
    let (end, what) = match tried {
        Err(NotRung::Later(why)) if ring.tries < MOST_TRIES => {
            return app.store.set_ring_why(ring.id, &why).await;
        }
        Ok(()) => {
            let (request, code, stage, ring) = (request.id, request.code, ring.stage, ring.id);
            (RingEnd::Rung, Happened::RequestRung { request, code, run: run.id, stage, ring, people, tries })
        }
        Err(NotRung::Later(why) | NotRung::ForGood(why)) => {
            let (request, code, stage, ring) = (request.id, request.code, ring.stage, ring.id);
            (RingEnd::Failed, Happened::RingFailed { request, code, run: run.id, stage, ring, people, tries, why })
        }
    };
    let mut tx = app.store.begin().await?;
    if !tx.end_ring(ring.id, end).await? {
        return Ok(());
    }
    let scope = run.scope();
    tx.record(NewEvent { scope, cause: None, record: Record { what, rows: Vec::new() } });
    tx.commit().await
}

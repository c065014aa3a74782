//! What is said of a request besides its steps, for every page that shows one: the same as in chat.

use chrono::{DateTime, Utc};

use super::run::plan_of;
use crate::model::code::Code;
use crate::model::event::Happened;
use crate::model::id::Position;
use crate::model::plan::Plan;
use crate::model::request::{REMEMBERED, RequestState, Wanted};
use crate::store::{Request, Run, Store, StoreError};
use crate::text::plan::{Told, after_sent_back, asked_deed, denied_of_step, takes_place_of};
use crate::text::time::Times;

/// What came before a request.
#[derive(Debug, Default)]
pub(in crate::web) struct Before {
    /// How earlier runs of its plan went.
    earlier: (i64, i64, Option<u64>),
    /// What became of requests before it.
    notes: Vec<String>,
}

impl Before {
    pub(in crate::web) async fn read(
        store: &Store,
        request: &Request,
        run: &Run,
        plan: &Plan,
        times: &Times,
    ) -> Result<Self, StoreError> {
        // Read alone: it is never committed.
        let mut tx = store.begin().await?;
        let earlier = tx.earlier_runs(request.digest).await?.told();
        let mut notes = Vec::new();
        if let (None, Wanted::Start, Some(requester)) = (&run.trigger, &request.wanted, request.requesters.first()) {
            let since = request.asked_at - REMEMBERED;
            let like = tx.list_requests_like(&request.room, requester, &plan.runbook, &plan.system, since).await?;
            let mut same = Vec::new();
            for older in like.into_iter().filter(|older| older.id < request.id) {
                if let Some(run) = tx.find_run(older.run).await?
                    && plan_of(&run).is_some_and(|older| older.same_wish(plan))
                {
                    same.push(older);
                }
            }
            if let Some(RequestState::ChangesRequested { by, why }) = same.last().map(|older| &older.state) {
                notes.push(after_sent_back(by, why));
            }
            let place = RequestState::Superseded { by: request.id };
            let codes: Vec<Code> = same.iter().filter(|older| older.state == place).map(|older| older.code).collect();
            if !codes.is_empty() {
                notes.push(takes_place_of(&codes));
            }
        }
        // Of a stuck step the plan's bytes cannot say what was denied: the asking does.
        if request.wanted != Wanted::Start {
            let events = store.list_run_events(run.id, Position(i64::MAX)).await?;
            let carried = events.into_iter().find_map(|event| match event.record?.what {
                Happened::RequestAsked { request: id, carried, .. } if id == request.id => carried,
                _ => None,
            });
            if let Some(carried) = carried {
                let denied = tx.find_request_by_code(&carried.denied.code).await?;
                let wanted = denied.map_or_else(|| request.wanted.clone(), |denied| denied.wanted);
                notes.push(denied_of_step(&carried, &asked_deed(plan, run.id, &wanted), times, request.asked_at));
            }
        }
        Ok(Self { earlier, notes })
    }

    pub(in crate::web) fn told<'a>(
        &'a self,
        request: &'a Request,
        run: &'a Run,
        plan: &'a Plan,
        times: Times,
        now: DateTime<Utc>,
    ) -> Told<'a> {
        Told {
            plan,
            run: run.id,
            wanted: &request.wanted,
            requester: request.requesters.first().unwrap_or(&run.requester),
            // What is asked for of a step later is a person's wish.
            trigger: run.trigger.as_ref().filter(|_| request.wanted == Wanted::Start),
            earlier: self.earlier,
            notes: &self.notes,
            expires_at: request.expires_at,
            now,
            times,
        }
    }
}

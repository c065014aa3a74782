//! Requests that wait: for the reader above all, everywhere.

use std::collections::HashMap;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use maud::{Markup, html};

use super::super::Shared;
use super::parts::{at, who_could_answer};
use super::run::{self, Extent, Sheet, plan_of};
use super::visitor::Visitor;
use super::{Before, Page, Tab, Waiting, Wrong, show};
use crate::model::approval::Delegation;
use crate::model::code::Code;
use crate::model::id::{PersonId, RequestId, RunId};
use crate::model::plan::Plan;
use crate::store::{Asking, Request, Run};
use crate::text::plan::{Head, head, or};

/// A plan with more steps than this is decided on its own page, where all of it stands.
const MOST_STEPS: usize = 8;

/// Plans that are set in full on the page of requests.
const MOST_SHEETS: usize = 5;

/// Newest runs on the page.
const RUNS: i64 = 20;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/requests", get(requests))
}

/// A request that waits, with its plan and who is asked now.
struct Open {
    request: Request,
    run: Run,
    plan: Plan,
    who: Vec<PersonId>,
}

impl Open {
    fn read(
        visitor: &Visitor,
        request: Request,
        run: Run,
        asking: &Asking,
        delegations: &[Delegation],
    ) -> Option<Self> {
        let plan = plan_of(&run)?;
        let who = who_could_answer(
            &visitor.catalog,
            visitor.web.state.store.clock().now(),
            &request,
            &run,
            &plan,
            asking,
            delegations,
        );
        Some(Self { request, run, plan, who })
    }

    fn is_for(&self, visitor: &Visitor) -> bool {
        visitor.person.as_ref().is_some_and(|person| self.who.contains(person)) && visitor.sees(&self.run.system)
    }

    fn line(&self, visitor: &Visitor) -> Markup {
        let (code, state) = (self.request.code, &visitor.web.state);
        let before = Before::default();
        let told = before.told(&self.request, &self.run, &self.plan, state.times, state.store.clock().now());
        // What stands before the steps is on the request's own page.
        let Head { environment, asker, deed, host, starts, effect, until: _ } = head(&told);
        html! {
            li id={ "waits-" (code) } {
                a href={ "/runs/" (self.run.id) "#request-" (code) } { strong.code { (code) } " " (deed) }
                span.small { (environment) " · on " (host) " · " (asker) " asks " (or(&self.who)) " · "
                    @if let Some(starts) = starts { "starts at " (starts) " · " }
                    (effect) " · until " (at(visitor, self.request.expires_at)) }
            }
        }
    }
}

async fn open(visitor: &Visitor) -> Result<Vec<Open>, Wrong> {
    let store = &visitor.web.state.store;
    let waiting = store.list_waiting().await?;
    let ids: Vec<RequestId> = waiting.iter().map(|(request, _)| request.id).collect();
    let (askings, delegations) = (store.list_askings(&ids).await?, store.list_delegations().await?);
    let nobody = Asking::default();
    let read = |(request, run): (Request, Run)| {
        let asking = askings.get(&request.id).unwrap_or(&nobody);
        Open::read(visitor, request, run, asking, &delegations)
    };
    Ok(waiting.into_iter().filter_map(read).collect())
}

/// The requests that wait for the reader, and their runs.
pub(super) async fn mine(visitor: &Visitor) -> Result<HashMap<Code, RunId>, Wrong> {
    let mine = open(visitor).await?.into_iter().filter(|open| open.is_for(visitor));
    Ok(mine.map(|open| (open.request.code, open.run.id)).collect())
}

/// What waits for the reader, if anything does.
pub(super) async fn waiting(visitor: &Visitor, how: Waiting) -> Result<Option<Markup>, Wrong> {
    let mine: Vec<Open> = open(visitor).await?.into_iter().filter(|open| open.is_for(visitor)).collect();
    if mine.is_empty() {
        return Ok(None);
    }
    let title = if mine.len() == 1 {
        "A request waits for you".to_owned()
    } else {
        format!("{} requests wait for you", mine.len())
    };
    let whole = match mine.as_slice() {
        [one] if how == Waiting::Whole && one.plan.steps.len() <= MOST_STEPS => {
            Some(Sheet::of(visitor, one.run.clone()).await?.show(visitor, Extent::Whole)?)
        }
        _ => None,
    };
    Ok(Some(html! {
        h2 #waiting-title { (title) }
        @match whole {
            Some(sheet) => (sheet),
            None => ul.runs { @for open in &mine { (open.line(visitor)) } },
        }
    }))
}

async fn requests(visitor: Visitor) -> Result<Response, Wrong> {
    let (mine, others): (Vec<Open>, Vec<Open>) =
        open(&visitor).await?.into_iter().partition(|open| open.is_for(&visitor));
    let others: Vec<Open> = others.into_iter().filter(|open| visitor.sees(&open.run.system)).collect();
    // What is decided here stands here; the rest is a line each, and is decided on its own page.
    let (mut sheets, mut lines) = (Vec::new(), Vec::new());
    for open in &mine {
        if open.plan.steps.len() <= MOST_STEPS && sheets.len() < MOST_SHEETS {
            sheets.push(Sheet::of(&visitor, open.run.clone()).await?.show(&visitor, Extent::Whole)?);
        } else {
            lines.push(open.line(&visitor));
        }
    }
    let runs = visitor.web.state.store.list_newest_runs(None, RunId(i64::MAX), RUNS).await?;
    let main = html! {
        h1 { "Requests" }
        section aria-labelledby="mine" {
            h2 #mine { "Waiting for you" }
            @if mine.is_empty() { p { "Nothing waits for you." } }
            @for sheet in sheets { (sheet) }
            ul.runs { @for line in lines { (line) } }
        }
        section aria-labelledby="others" {
            h2 #others { "Waiting for others" }
            @if others.is_empty() { p { "Nothing waits for anybody else." } }
            ul.runs { @for open in &others { (open.line(&visitor)) } }
        }
    };
    let aside = html! { h2 { "Newest runs" } (run::list(&visitor, &runs)) };
    let environments = visitor.environments();
    let page = Page {
        title: "Requests".to_owned(),
        tab: Tab::Requests,
        environments,
        main,
        aside: Some(aside),
        waiting: Waiting::Part,
    };
    show(&visitor, page).await
}

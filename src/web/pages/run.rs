//! A run: its plan set like a contract, the decision under it, and what came of each line.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::super::Shared;
use super::parts::{at, attempt_state, digest, request_state, run_tone, run_word, state, who_could_answer};
use super::visitor::{Visitor, encoded, is_local, once};
use super::{Before, Page, Tab, Waiting, Wrong, ledger, show};
use crate::model::chat::RoomAddress;
use crate::model::id::{Digest, EventId, MessageId, PersonId, RequestId, RunId};
use crate::model::plan::{Plan, Sealed};
use crate::model::request::{Answer, RequestState, Wanted};
use crate::model::run::{AttemptState, RunState, Snag};
use crate::store::{Attempt, AttemptKey, LedgerFilter, LedgerFrom, Request, Run, StoredDecision};
use crate::text::answer::state_words;
use crate::text::plan::{StepText, asked_deed, before_steps, effect, or, step_texts};
use crate::text::time::lasted;
use crate::text::visible::visible;

/// How many bytes of an output a run's page shows; the whole of it has a page of its own.
const SHOWN_OUTPUT: usize = 2_000;

/// How many rows of the ledger a run's page shows.
const ROWS: i64 = 40;

/// How many attempts a run's page shows with their outputs.
const MOST_OUTPUTS: usize = 12;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/runs/{run}", get(run_page)).route("/runs/{run}/output/{step}/{number}", get(output_page))
}

/// How much of a sheet is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// All: what a decision needs.
    Whole,
    /// What stands beside something else: no details of steps.
    Brief,
}

/// A run with what belongs to it.
pub(super) struct Sheet {
    pub(super) run: Run,
    /// The plan of the stored bytes; `None` if they are not what was planned.
    pub(super) plan: Option<Plan>,
    requests: Vec<(Request, Asked)>,
    attempts: Vec<Attempt>,
    /// The message on which its thread hangs.
    root: Option<MessageId>,
}

/// What was answered to a request, and who could answer it now.
struct Asked {
    answers: Vec<StoredDecision>,
    who: Vec<PersonId>,
    before: Before,
}

/// The plan of a run, if the stored bytes are the ones that were planned.
pub(super) fn plan_of(run: &Run) -> Option<Plan> {
    let sealed = Sealed::from_stored(run.plan.clone());
    if sealed.digest() == run.digest { sealed.open().ok() } else { None }
}

impl Sheet {
    pub(super) async fn of(visitor: &Visitor, run: Run) -> Result<Self, Wrong> {
        let store = &visitor.web.state.store;
        let plan = plan_of(&run);
        let mut requests = Vec::new();
        let all = store.list_requests_of(run.id).await?;
        let ids: Vec<RequestId> = all.iter().map(|request| request.id).collect();
        let (mut askings, delegations) = (store.list_askings(&ids).await?, store.list_delegations().await?);
        for request in all {
            let answers = store.list_decisions_of(request.id).await?;
            let asking = askings.remove(&request.id).unwrap_or_default();
            let plan = plan.as_ref();
            let who = plan.map(|plan| {
                who_could_answer(
                    &visitor.catalog,
                    visitor.web.state.store.clock().now(),
                    &request,
                    &run,
                    plan,
                    &asking,
                    &delegations,
                )
            });
            let who = who.unwrap_or_default();
            // A plan that is not the one that was asked for is not shown, and so nothing of what came before it.
            let before = match plan {
                Some(plan) => Before::read(store, &request, &run, plan, &visitor.web.state.times).await?,
                None => Before::default(),
            };
            requests.push((request, Asked { answers, who, before }));
        }
        let attempts = store.list_attempts(run.id).await?;
        let root = match &run.thread {
            Some(thread) => Some(MessageId::new(thread.as_str())),
            None => store.find_root_of(run.id, &run.room).await?,
        };
        Ok(Self { plan, run, requests, attempts, root })
    }

    /// Where the run is talked about.
    fn thread(&self) -> Option<String> {
        let root = self.root.as_ref().filter(|_| is_local(&self.run.room))?;
        Some(format!("/rooms/{}?thread={root}", encoded(&self.run.room.channel)))
    }

    pub(super) fn show(&self, visitor: &Visitor, extent: Extent) -> Result<Markup, Wrong> {
        let run = &self.run;
        let Some(plan) = &self.plan else {
            return Ok(html! {
                article.sheet id={ "run-" (run.id) } {
                    h2 { "Run " (run.id) }
                    p { "The stored plan of this run is not the one that was planned, so its words are not shown. "
                        a href="/ledger/verify" { "Verify the ledger" } "." }
                }
            });
        };
        let deed = visible(&plan.deed);
        let environment = visible(&run.environment).to_uppercase();
        Ok(html! {
            article.sheet id={ "run-" (run.id) } data-tone=(run_word(&run.state)) {
                header {
                    p.over { strong.env { (environment) } " · run " (run.id) " · " (visible(&plan.system_title)) }
                    h2 { a href={ "/runs/" (run.id) } { (deed) } " " span.where { "on " (visible(&plan.host)) } }
                    p { (asker(run)) " asked at " (at(visitor, run.created_at)) " · "
                        @if let Some(at_time) = plan.not_before { "to start at " (at(visitor, at_time)) " · " }
                        (effect(plan)) " · "
                        (state(run_tone(&run.state), &state_words(&run.state))) }
                    @if let (Extent::Whole, true, Some(why)) = (extent, self.requests.is_empty(), plan.why.as_deref()) {
                        p { "Why: " (visible(why)) }
                    }
                }
                ol.steps {
                    @for step in step_texts(plan) { (self.step(visitor, &step, extent)) }
                }
                p.foot {
                    "Plan " (digest(run.digest))
                    @if let Some(policy) = &plan.policy { " · policy " (policy.name.as_str()) }
                    @if let Some(thread) = self.thread() { " · " a href=(thread) { "its thread" span.hear { " (run " (run.id) ")" } } }
                    " · " a href={ "/ledger?run=" (run.id) } { "in the ledger" span.hear { " (run " (run.id) ")" } }
                }
                @for (request, answers) in &self.requests {
                    (self.request(visitor, plan, request, answers)?)
                }
            }
        })
    }

    fn step(&self, visitor: &Visitor, step: &StepText, extent: Extent) -> Markup {
        let attempts = self.attempts.iter().filter(|attempt| attempt.key.step == step.number);
        html! {
            li value=(step.number) data-changes[step.changes] {
                div.what {
                    @if step.changes { strong.mark { "! " span.hear { "changes something: " } } }
                    span.kind { (step.kind) } " " code { (step.what) }
                    @if !step.facts.is_empty() { " " span.small { (step.facts) } }
                }
                @if extent == Extent::Whole && !step.details.is_empty() {
                    div.details { @for detail in &step.details { code { (detail) } } }
                }
                @for attempt in attempts { (attempt_line(visitor, attempt)) }
            }
        }
    }

    fn request(&self, visitor: &Visitor, plan: &Plan, request: &Request, asked: &Asked) -> Result<Markup, Wrong> {
        let Asked { answers, who, before } = asked;
        let state_of = &visitor.web.state;
        let told = before.told(request, &self.run, plan, state_of.times, state_of.store.clock().now());
        let waits = matches!(request.state, RequestState::Pending { .. });
        let code = request.code;
        let mine = visitor.person.as_ref().is_some_and(|person| who.contains(person));
        let retry = (request.wanted != Wanted::Start).then(|| asked_deed(plan, self.run.id, &request.wanted));
        Ok(html! {
            section.request id={ "request-" (code) } aria-label={ "Request " (code) } {
                p {
                    strong.code { (code) } " "
                    @if let Some(retry) = retry { (retry) " · " }
                    (request_state(&request.state))
                    @if waits {
                        " until " (at(visitor, request.expires_at)) " · asked of " (or(who))
                    }
                }
                @for line in before_steps(&told) { p.given { (line) } }
                @for given in answers { (given_answer(visitor, given)) }
                @if let (RequestState::Granted, true, Some(trigger)) = (&request.state, answers.is_empty(), &self.run.trigger) {
                    p.given { "Nobody was asked: the policy lets " (visible(trigger.as_str())) " start by itself. "
                        (visible(self.run.requester.as_str())) " answers for it." }
                }
                @if let RequestState::Denied { why: Some(why), .. } | RequestState::ChangesRequested { why, .. } = &request.state {
                    p { "Because: " (visible(why)) }
                }
                @if request.differs.is_some() {
                    p.note { "The catalog has changed since this was asked, and would now make another plan of it. \
                              What is decided here is the plan above, as it stands." }
                }
                @if waits && request.posted_at.is_none() {
                    p.note { "Not posted in its room yet: an answer counts once it is." }
                }
                @if mine && is_local(&self.run.room) { (self.decide(visitor, request)?) }
                @if visitor.person.as_ref().is_some_and(|person| request.requesters.contains(person)) && waits {
                    p.small { "Your own request: somebody else must answer. You may take it back: `withdraw " (code) "`." }
                    (press(visitor, &self.run.room, self.root.as_ref(), &format!("withdraw {code}"), html! {
                        button type="submit" { "Withdraw " (code) }
                    })?)
                }
            }
        })
    }

    /// The decision: thumb-sized, the two answers apart from each other.
    fn decide(&self, visitor: &Visitor, request: &Request) -> Result<Markup, Wrong> {
        let code = request.code;
        let root = self.root.as_ref();
        Ok(html! {
            div.decide {
                (press(visitor, &self.run.room, root, &format!("approve {code}"), html! {
                    button.good.thumb type="submit" { "Approve " (code) }
                })?)
                (press(visitor, &self.run.room, root, &format!("deny {code}"), html! {
                    label for={ "why-" (code) } { "Why not, if you say so" }
                    input id={ "why-" (code) } name="reason" maxlength="500" autocomplete="off";
                    button.bad.thumb type="submit" { "Deny " (code) }
                })?)
            }
        })
    }
}

/// A form that presses a button under a message of a room of this server: whatever it does, a word does. Nothing for a
/// room elsewhere: there its people press.
pub(super) fn press(
    visitor: &Visitor,
    room: &RoomAddress,
    root: Option<&MessageId>,
    command: &str,
    inside: Markup,
) -> Result<Markup, Wrong> {
    if !is_local(room) {
        return Ok(html! {});
    }
    Ok(html! {
        form method="post" action={ "/rooms/" (encoded(&room.channel)) "/presses" } data-swap {
            (visitor.form_fields())
            input type="hidden" name="interaction" value=(once()?);
            input type="hidden" name="message" value=(root.map_or("page", MessageId::as_str));
            input type="hidden" name="command" value=(command);
            (inside)
        }
    })
}

fn given_answer(visitor: &Visitor, given: &StoredDecision) -> Markup {
    let decision = &given.decision;
    let word = match decision.answer {
        Answer::Approve => "approved",
        Answer::Deny => "denied",
    };
    html! {
        p.given {
            strong { (visible(decision.person.as_str())) }
            @if let Some(giver) = &decision.on_behalf_of { " for " (visible(giver.as_str())) }
            " " (word) " at " (at(visitor, given.at))
            @if !decision.proof.is_chat() { " with a passkey" }
            @if let Some(reason) = &given.reason { ": " (visible(reason)) }
            @if let Some(back) = given.taken_back_at { " · taken back at " (at(visitor, back)) }
        }
    }
}

fn attempt_line(visitor: &Visitor, attempt: &Attempt) -> Markup {
    html! {
        div.attempt id={ "attempt-" (attempt.key.step) "-" (attempt.key.number) } {
            (attempt_state(&attempt.state))
            @if attempt.key.number > 1 { " attempt " (attempt.key.number) }
            @match attempt.ended_at {
                Some(ended) => { " " span.small { (took(attempt.started_at, ended)) } },
                None => { " " span.small { "since " (at(visitor, attempt.started_at)) } },
            }
            @if let Some(summary) = &attempt.summary { " " code { (visible(summary)) } }
        }
    }
}

/// Who asked for a run: a person, or the trigger that did.
fn asker(run: &Run) -> String {
    visible(run.trigger.as_ref().map_or(run.requester.as_str(), |trigger| trigger.as_str()))
}

fn took(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    lasted(u64::try_from((to - from).num_milliseconds()).unwrap_or(0))
}

/// The run with this number, if the reader may see it.
async fn find(visitor: &Visitor, id: i64) -> Result<Run, Wrong> {
    let run = visitor.web.state.store.find_run(RunId(id)).await?;
    run.filter(|run| visitor.sees(&run.system)).ok_or_else(|| Wrong::nothing("run"))
}

async fn run_page(visitor: Visitor, Path(id): Path<i64>) -> Result<Response, Wrong> {
    let run = find(&visitor, id).await?;
    let sheet = Sheet::of(&visitor, run).await?;
    let store = &visitor.web.state.store;
    let mut outputs = Vec::new();
    for attempt in sheet.attempts.iter().rev().take(MOST_OUTPUTS).rev() {
        if let Some(bytes) = store.find_output(attempt.key).await? {
            outputs.push((attempt.key, bytes));
        }
    }
    let filter = LedgerFilter::Run(sheet.run.id);
    let mut events = store.list_ledger(&filter, LedgerFrom::After(EventId(0)), ROWS).await?;
    events.reverse();
    let title = sheet.plan.as_ref().map_or_else(|| "a run".to_owned(), |plan| visible(&plan.deed));
    let main = html! {
        h1 { "Run " (sheet.run.id) }
        (sheet.show(&visitor, Extent::Whole)?)
        (stuck(&visitor, &sheet)?)
        @if !outputs.is_empty() {
            section aria-labelledby="outputs" {
                h2 #outputs { "What the steps said" }
                @for (key, bytes) in &outputs { (output(*key, bytes)) }
            }
        }
    };
    let aside = html! {
        h2 { "What happened" }
        (ledger::rows(&visitor, &events, Some(sheet.run.id)))
        p.more { a href={ "/ledger?run=" (sheet.run.id) } { "All of it in the ledger" } }
    };
    let page = Page {
        title: format!("Run {}: {title}", sheet.run.id),
        tab: Tab::None,
        environments: vec![sheet.run.environment.clone()],
        main,
        aside: Some(aside),
        waiting: Waiting::Part,
    };
    show(&visitor, page).await
}

/// The ways out of a run that is stuck, for whoever may take one.
fn stuck(visitor: &Visitor, sheet: &Sheet) -> Result<Markup, Wrong> {
    let RunState::Stuck(Snag { step, .. }) = &sheet.run.state else { return Ok(html! {}) };
    let run = &sheet.run;
    let root = sheet.root.as_ref();
    let unknown =
        sheet.attempts.iter().any(|attempt| attempt.key.step == *step && attempt.state == AttemptState::Unknown);
    Ok(html! {
        section.request #ways-out aria-label="Ways out" {
            p { "What step " (step) " did is unknown"
                @if unknown { ": nobody saw how it ended" }
                ". Look at the thing itself, then say what you found. It is recorded with your name." }
            @if is_local(&run.room) {
                div.decide {
                    @for (command, word) in [(format!("judge run {} worked", run.id), "It worked"), (format!("judge run {} failed", run.id), "It did not")] {
                        (press(visitor, &run.room, root, &command, html! {
                            label for={ "why-" (word.len()) } { "How you know" }
                            input id={ "why-" (word.len()) } name="reason" maxlength="500" required autocomplete="off";
                            button.thumb type="submit" { (word) }
                        })?)
                    }
                    (press(visitor, &run.room, root, &format!("retry run {}", run.id), html! { button.thumb type="submit" { "Ask to retry" } })?)
                    (press(visitor, &run.room, root, &format!("stop run {}", run.id), html! { button.thumb type="submit" { "Stop the run" } })?)
                }
            }
        }
    })
}

/// The end of an output: each line by itself, prefixed, so that none passes for a line of the page.
fn output(key: AttemptKey, bytes: &[u8]) -> Markup {
    let from = bytes.len().saturating_sub(SHOWN_OUTPUT);
    let (shown, cut) = (bytes.get(from..).unwrap_or_default(), from > 0);
    html! {
        h3 { "Step " (key.step) @if key.number > 1 { ", attempt " (key.number) } }
        @if cut {
            p.small { "The last " (SHOWN_OUTPUT) " of " (bytes.len()) " bytes. "
                a href={ "/runs/" (key.run) "/output/" (key.step) "/" (key.number) } { "All of it" } }
        }
        pre.output tabindex="0" role="region" aria-label={ "Output of step " (key.step) } { (prefixed(shown)) }
        p.small { "SHA-256 " (digest(sha256(bytes))) }
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest(sha2::Sha256::digest(bytes).into())
}

fn prefixed(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().map(|line| format!("| {}", visible(line))).collect::<Vec<_>>().join("\n")
}

async fn output_page(
    State(web): State<Shared>,
    visitor: Visitor,
    Path((run, step, number)): Path<(i64, u32, u32)>,
) -> Result<Response, Wrong> {
    let run = find(&visitor, run).await?;
    let key = AttemptKey { run: run.id, step, number };
    let bytes = web.state.store.find_output(key).await?.ok_or_else(|| Wrong::nothing("output"))?;
    let text = format!("run {}, step {step}, attempt {number}\n{}\n", run.id, prefixed(&bytes));
    Ok((StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

/// Runs in a list, newest first.
pub(super) fn list(visitor: &Visitor, runs: &[Run]) -> Markup {
    html! {
        ul.runs {
            @for run in runs.iter().filter(|run| visitor.sees(&run.system)) {
                li id={ "listed-" (run.id) } {
                    a href={ "/runs/" (run.id) } {
                        (plan_of(run).map_or_else(|| format!("run {}", run.id), |plan| visible(&plan.deed)))
                    }
                    " " (state(run_tone(&run.state), &run_word(&run.state)))
                    span.small { " · " (asker(run)) " · " (at(visitor, run.created_at)) " · run " (run.id) }
                }
            }
        }
    }
}

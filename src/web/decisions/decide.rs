//! Deciding one request with a passkey: the plan set like a contract, and two buttons under it.

use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{Markup, html};

use super::super::pages::{typed, who_could_answer};
use super::{Decisions, Fields, Shared, Wrong, at, hash_of, page, script_words, user_of};
use crate::model::chat::{Incoming, Said};
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::model::id::{Digest, MessageId, PersonId};
use crate::model::plan::{Plan, Sealed};
use crate::model::request::{Answer, Proof, RequestState};
use crate::passkey::{Assertion, Challenge, Known, Refused, credential_text};
use crate::store::{DecisionLink, Passkey, Request, Run};
use crate::text::plan::{StepText, asked_deed, effect, environment, groups, or, step_texts};
use crate::text::visible::visible;

/// Characters of a reason.
const MOST_REASON: usize = 500;

const NOTHING_DECIDED: &str = "Nothing was decided.";

/// Whether a plan is what a page is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heading {
    First,
    Second,
}

/// A page that is there, with all that stands on it.
struct Sheet {
    link: DecisionLink,
    request: Request,
    run: Run,
    plan: Plan,
    /// Who could answer it now.
    who: Vec<PersonId>,
}

impl Sheet {
    async fn read(pages: &Decisions, hash: Digest) -> Result<Self, Wrong> {
        let store = &pages.store;
        let link = store.find_decision_link(hash).await?.ok_or_else(Wrong::nothing)?;
        let request = store.find_request(link.request).await?.ok_or_else(Wrong::nothing)?;
        let run = store.find_run(request.run).await?.ok_or_else(Wrong::nothing)?;
        let sealed = Sealed::from_stored(run.plan.clone());
        // What is shown is what is hashed, and what the page was made for (I1).
        let same = sealed.digest() == link.digest && link.digest == request.digest && request.digest == run.digest;
        let plan = if same { sealed.open().ok() } else { None };
        let plan = plan.ok_or_else(|| {
            tracing::error!(request = %request.code, "the stored plan is not the one that a decision page was made for");
            Wrong::new(
                StatusCode::CONFLICT,
                format!("The stored plan is not the one that was asked for. {NOTHING_DECIDED} Tell an operator."),
            )
        })?;
        let asking = store.list_askings(&[request.id]).await?.remove(&request.id).unwrap_or_default();
        let delegations = store.list_delegations().await?;
        let now = store.clock().now();
        let who = who_could_answer(&(pages.catalog)(), now, &request, &plan, &asking, &delegations);
        Ok(Self { link, request, run, plan, who })
    }

    /// Why nothing can be decided here any more, if so.
    fn over(&self, pages: &Decisions) -> Option<String> {
        let code = self.request.code;
        if let Some(used) = self.link.used {
            let now = pages.store.clock().now();
            let word = word(used.answer);
            let when = pages.times.at(used.at, now);
            return Some(format!("This page was used at {when}, to {word} {code}. It works once."));
        }
        match &self.request.state {
            RequestState::Pending { .. } => {}
            RequestState::Granted => return Some(format!("{code} is granted already.")),
            RequestState::Denied { by, .. } => return Some(format!("{code} was denied by {by}.")),
            RequestState::Expired => return Some(format!("{code} has expired: nobody decided in time.")),
            RequestState::Withdrawn { by } => return Some(format!("{code} was withdrawn by {by}.")),
            RequestState::ChangesRequested { by, .. } => {
                return Some(format!("{code} was sent back by {by}, who wants something else."));
            }
            RequestState::Superseded { .. } => return Some(format!("{code} was asked again.")),
        }
        (pages.store.clock().now() >= self.link.expires_at)
            .then(|| format!("This page is over. Say `approve {code}` where you were asked for a new one."))
    }

    /// What the person's passkey signs: this page, this request, this plan, this answer.
    fn challenge(&self, answer: Answer) -> Challenge {
        let request = self.request.id.0.to_be_bytes();
        Challenge::bound_to(
            "decision",
            &[&self.link.hash.0, &request, &self.request.digest.0, answer.name().as_bytes()],
        )
    }

    /// Whether the stage that waits wants a reason.
    fn reason_required(&self) -> bool {
        let RequestState::Pending { stage } = self.request.state else { return false };
        let stages = self.plan.policy.as_ref().map(|policy| policy.stages.as_slice()).unwrap_or_default();
        let stage = usize::try_from(stage).ok().and_then(|stage| stages.get(stage));
        stage.is_some_and(|stage| stage.reason_required)
    }

    fn title(&self) -> String {
        asked_deed(&self.plan, self.run.id, &self.request.wanted)
    }

    /// The plan, under a heading of its own.
    fn set(&self, pages: &Decisions, heading: Heading) -> Markup {
        let (plan, request, run) = (&self.plan, &self.request, &self.run);
        let asker = run.trigger.as_ref().map_or(run.requester.as_str(), |trigger| trigger.as_str());
        html! {
            @match heading {
                Heading::First => h1 { (self.title()) " " span.where { "on " (visible(&plan.host)) } },
                Heading::Second => h2 { (self.title()) " " span.where { "on " (visible(&plan.host)) } },
            }
            p { b { (request.code) } " · " (visible(asker))
                @if !self.who.is_empty() { " asks " (or(&self.who)) } @else { " asked" } " · "
                @if let (Some(at_time), crate::model::request::Wanted::Start) = (plan.not_before, &request.wanted) { "starts at " (at(pages, at_time)) " · " }
                (effect(plan)) " · until "
                (at(pages, request.expires_at)) }
            @if let Some(why) = plan.why.as_deref() { p { "Why: " (visible(why)) } }
            @if request.differs.is_some() {
                p.note { "The catalog has changed since this was asked, and would now make another plan of it. What is \
                          decided here is the plan below, as it stands." }
            }
            ol.steps { @for step in step_texts(plan) { (set_step(&step)) } }
            p.foot {
                "Plan " code.digest title=(request.digest.to_string()) { (groups(request.digest)) } " · run " (run.id)
                @if let Some(policy) = &plan.policy { " · policy " (policy.name.as_str()) }
                " · " (visible(&plan.system_title))
            }
        }
    }

    fn page(&self, title: &str, main: &Markup) -> Html<String> {
        page(Some(&environment(&self.plan)), title, Some(&self.link.person), main)
    }

    /// The page once nothing can be decided on it: without the plan, which is nobody's business for ever.
    fn page_over(&self, why: &str) -> Html<String> {
        let main = html! {
            div.sheet { h1 { (self.request.code) } div.result data-sentence { p { (typed(why)) } p { "Nothing was decided just now." } } }
        };
        self.page("Over", &main)
    }
}

fn set_step(step: &StepText) -> Markup {
    html! {
        li data-changes[step.changes] {
            span { (step.number) "." } " "
            @if step.changes { strong.mark { "! " span.hear { "changes something: " } } }
            span.small { (step.kind) } " " code { (step.what) }
            @if !step.facts.is_empty() { " " span.small { (step.facts) } }
            @if !step.details.is_empty() { div.details { @for detail in &step.details { code { (detail) } } } }
        }
    }
}

fn word(answer: Answer) -> &'static str {
    match answer {
        Answer::Approve => "approve",
        Answer::Deny => "deny",
    }
}

/// The fields that the script fills in.
fn hidden_fields(answer: Answer) -> Markup {
    html! {
        input type="hidden" name="answer" value=(answer.name());
        @for name in ["credential", "client_data", "authenticator_data", "signature", "user"] {
            input type="hidden" name=(name);
        }
    }
}

pub(super) async fn look(State(door): State<Shared>, Path(secret): Path<String>) -> Result<Response, Wrong> {
    let pages = &door.pages;
    let sheet = Sheet::read(pages, hash_of(&secret)?).await?;
    if let Some(why) = sheet.over(pages) {
        return Ok((StatusCode::GONE, sheet.page_over(&why)).into_response());
    }
    let (code, party) = (sheet.request.code, pages.party.id());
    let without = format!(
        "Deciding here needs this page's script, which speaks to your passkey. To deny, say `deny {code} because …` \
         where you were asked."
    );
    let main = html! {
        div.sheet { (sheet.set(pages, Heading::First)) }
        (script_words(&without))
        div.decide {
            form method="post" hidden data-challenge=(sheet.challenge(Answer::Approve).encoded()) data-party=(party) {
                (hidden_fields(Answer::Approve))
                @if sheet.reason_required() || sheet.link.reason.is_some() {
                    label for="because" { "Why" }
                    input #because name="reason" maxlength=(MOST_REASON) autocomplete="off"
                        value=[sheet.link.reason.as_deref()] required[sheet.reason_required()];
                }
                button.yes type="submit" { "Approve " (code) }
            }
            form method="post" hidden data-challenge=(sheet.challenge(Answer::Deny).encoded()) data-party=(party) {
                (hidden_fields(Answer::Deny))
                label for="reason" { @if sheet.reason_required() { "Why not" } @else { "Why not, if you say so" } }
                input #reason name="reason" maxlength=(MOST_REASON) autocomplete="off" required[sheet.reason_required()];
                button.no type="submit" { "Deny " (code) }
            }
        }
        p.small { "Deciding here takes your passkey. This page works once, until " (at(pages, sheet.link.expires_at)) "." }
    };
    Ok(sheet.page(&sheet.title(), &main).into_response())
}

/// What a passkey said, as sent.
struct Signed {
    answer: Answer,
    credential: Vec<u8>,
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
    /// What the passkey says that its person is called, if it says so.
    user: String,
    reason: String,
}

impl Signed {
    fn read(fields: &Fields) -> Result<Self, Wrong> {
        let bytes = |name| fields.bytes(name).ok_or_else(Wrong::form);
        Ok(Self {
            answer: Answer::from_name(&fields.text("answer")).ok_or_else(Wrong::form)?,
            credential: bytes("credential")?,
            client_data: bytes("client_data")?,
            authenticator_data: bytes("authenticator_data")?,
            signature: bytes("signature")?,
            user: fields.text("user"),
            reason: fields.text("reason").chars().take(MOST_REASON).collect(),
        })
    }
}

/// The passkey that has signed, if it is one of the person's that is in use.
async fn passkey_of(pages: &Decisions, person: &PersonId, signed: &Signed) -> Result<Passkey, Wrong> {
    let all = pages.store.list_passkeys(Some(person)).await?;
    let mine = all.into_iter().find(|passkey| passkey.credential == signed.credential);
    let other_user = !signed.user.is_empty() && signed.user != user_of(person);
    match mine {
        Some(passkey) if passkey.removed_at.is_none() && !other_user => Ok(passkey),
        Some(passkey) if passkey.removed_at.is_some() => Err(Wrong::new(
            StatusCode::FORBIDDEN,
            format!("That passkey was removed. {NOTHING_DECIDED} Use another, or ask an operator for an invitation."),
        )),
        Some(_) | None => {
            tracing::warn!(%person, "a decision page was used with a passkey that is not its person's");
            Err(Wrong::new(
                StatusCode::FORBIDDEN,
                format!("That passkey is not {person}'s, and this page is for {person} alone. {NOTHING_DECIDED}"),
            ))
        }
    }
}

pub(super) async fn decide(
    State(door): State<Shared>,
    Path(secret): Path<String>,
    request: HttpRequest,
) -> Result<Response, Wrong> {
    let pages = &door.pages;
    let hash = hash_of(&secret)?;
    let fields = Fields::read(request).await?;
    let sheet = Sheet::read(pages, hash).await?;
    if let Some(why) = sheet.over(pages) {
        return Ok((StatusCode::GONE, sheet.page_over(&why)).into_response());
    }
    let signed = Signed::read(&fields)?;
    let person = &sheet.link.person;
    // An account that is somebody else's by now is not theirs to speak as.
    let catalog = (pages.catalog)();
    if catalog.person_of(&sheet.link.account).is_none_or(|owner| owner.name != *person) {
        return Err(Wrong::new(
            StatusCode::FORBIDDEN,
            format!("{} is not {person}'s account any more. {NOTHING_DECIDED}", sheet.link.account),
        ));
    }
    let passkey = passkey_of(pages, person, &signed).await?;
    let known = Known { public_key: &passkey.public_key, count: passkey.count, may_be_copied: passkey.may_be_copied };
    let said = Assertion {
        client_data: &signed.client_data,
        authenticator_data: &signed.authenticator_data,
        signature: &signed.signature,
    };
    let asserted = match pages.party.assert(&sheet.challenge(signed.answer), known, said) {
        Ok(asserted) => asserted,
        Err(refused) => {
            // The same form sent twice at once: the other has moved the count, and has used this page.
            let again = Sheet::read(pages, hash).await?;
            if let Some(why) = again.over(pages) {
                return Ok((StatusCode::GONE, again.page_over(&why)).into_response());
            }
            match refused {
                Refused::CountedBack { .. } => {
                    tracing::error!(%person, passkey = %passkey.id, %refused, "a passkey may have been copied");
                }
                _ => tracing::warn!(%person, passkey = %passkey.id, %refused, "a passkey decided nothing"),
            }
            return Err(Wrong::new(StatusCode::FORBIDDEN, format!("{NOTHING_DECIDED} Why: {refused}.")));
        }
    };
    if !keep(pages, &sheet, &passkey, asserted.count, &signed).await? {
        let sheet = Sheet::read(pages, hash).await?;
        let why = sheet.over(pages).unwrap_or_else(|| "This page was used at the same moment elsewhere.".to_owned());
        return Ok((StatusCode::GONE, sheet.page_over(&why)).into_response());
    }
    say(pages, &sheet, &passkey, &signed).await
}

/// Uses the page up, and keeps what was signed. `false`: somebody was faster.
async fn keep(pages: &Decisions, sheet: &Sheet, passkey: &Passkey, count: u32, signed: &Signed) -> Result<bool, Wrong> {
    let mut tx = pages.store.begin().await?;
    if !tx.use_decision_link(sheet.link.id, passkey, count, signed.answer).await? {
        return Ok(false);
    }
    let what = Happened::PasskeyUsed {
        passkey: passkey.id,
        person: passkey.person.clone(),
        request: sheet.request.id,
        code: sheet.request.code,
        digest: sheet.request.digest,
        link: sheet.link.hash,
        answer: signed.answer,
        client_data: URL_SAFE_NO_PAD.encode(&signed.client_data),
        authenticator_data: URL_SAFE_NO_PAD.encode(&signed.authenticator_data),
        signature: URL_SAFE_NO_PAD.encode(&signed.signature),
    };
    let run = &sheet.run;
    let scope = Scope {
        system: Some(run.system.clone()),
        environment: Some(run.environment.clone()),
        incident: run.incident,
        run: Some(run.id),
        ..Scope::default()
    };
    tx.record(NewEvent { scope, cause: None, record: Record { what, rows: Vec::new() } });
    tx.commit().await?;
    Ok(true)
}

/// Says what was decided, as the person, and shows what came of it.
async fn say(pages: &Decisions, sheet: &Sheet, passkey: &Passkey, signed: &Signed) -> Result<Response, Wrong> {
    let code = sheet.request.code;
    let mut command = format!("{} {code}", word(signed.answer));
    if !signed.reason.is_empty() {
        command = format!("{command} because {}", signed.reason);
    }
    let root = match &sheet.request.thread {
        Some(thread) => Some(MessageId::new(thread.as_str())),
        None => pages.store.find_root_of(sheet.run.id, &sheet.request.room).await?,
    };
    let what = Said::Press {
        interaction: format!("passkey:{}", sheet.link.id),
        message: root.unwrap_or_else(|| MessageId::new("page")),
        command,
        proof: Proof::Passkey { credential: credential_text(&passkey.credential) },
    };
    let incoming = Incoming {
        room: sheet.request.room.clone(),
        thread: sheet.request.thread.clone(),
        account: sheet.link.account.clone(),
        said_at: pages.store.clock().now(),
        what,
        trace: None,
    };
    let received = pages.inbound.receive(incoming).await.map_err(|error| {
        tracing::error!(error = %crate::text::chain(&error), request = %code, "what a passkey decided was not kept");
        Wrong::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("What you decided could not be kept. {NOTHING_DECIDED} Say `approve {code}` for a new page."),
        )
    })?;
    let (outcome, answers) = pages.store.list_answers_to(received.line).await?;
    let after = Sheet::read(pages, sheet.link.hash).await?;
    let done = outcome == "answered";
    let (title, tone) = match (done, signed.answer) {
        (true, Answer::Approve) => ("Approved", "result good"),
        (true, Answer::Deny) => ("Denied", "result good"),
        (false, _) => ("Not decided", "result bad"),
    };
    let stands = match (&after.request.state, done) {
        (RequestState::Granted, true) => {
            Some(format!("{code} is granted: it runs now, and the room tells how it goes."))
        }
        (RequestState::Denied { .. }, true) => Some(format!("{code} is denied: nothing runs.")),
        (RequestState::Pending { .. }, true) if answers.is_empty() => {
            Some(format!("{code} waits for somebody else as well."))
        }
        _ => None,
    };
    let main = html! {
        div.sheet {
            h1 { (title) " · " (code) }
            div class=(tone) data-sentence {
                @if let Some(stands) = stands { p { (stands) } }
                @for answer in &answers { @for line in answer.lines() { p { (typed(&visible(line))) } } }
                @if !done { p { (NOTHING_DECIDED) } }
            }
            p.foot { "This page has done its work." }
        }
        div.sheet { (after.set(pages, Heading::Second)) }
    };
    Ok(sheet.page(title, &main).into_response())
}

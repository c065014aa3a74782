//! Deciding one request with a passkey: the plan set like a contract, and two buttons under it; or one, to start it without the
//! agreement of others.

use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{Markup, html};

use super::super::pages::{Before, typed, who_could_answer};
use super::super::receive_whole;
use super::leaves::{self, Leaf, Piece};
use super::{Decisions, Fields, Shared, Wrong, at, hash_of, page, script_words, secret_of, user_of};
use crate::chat::Delivery;
use crate::model::chat::{Incoming, MAX_LINE, Said, Signed};
use crate::model::id::{Digest, MessageId, PersonId};
use crate::model::plan::{Plan, Sealed};
use crate::model::request::{OnPage, RequestState, credential_text};
use crate::passkey::{Assertion, Challenge, Known, Refused, Secret};
use crate::store::{DecisionLink, LineRow, LinkUsed, Passkey, Purpose, Request, Run, StoreError};
use crate::text;
use crate::text::plan::{Head, before_steps, groups, head, or};
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
    /// What came before it.
    before: Before,
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
        let who = who_could_answer(&(pages.catalog)(), now, &request, &run, &plan, &asking, &delegations);
        let before = Before::read(store, &request, &run, &plan, &pages.times).await?;
        Ok(Self { link, request, run, plan, who, before })
    }

    /// Why nothing can be decided here any more, if so.
    async fn over(&self, pages: &Decisions) -> Result<Option<String>, StoreError> {
        let code = self.request.code;
        if let Some(used) = self.link.used {
            return Ok(Some(self.used(pages, used).await?));
        }
        let over = match &self.request.state {
            RequestState::Pending { .. } => None,
            RequestState::Granted => Some(format!("{code} is granted already.")),
            RequestState::Denied { by, .. } => Some(format!("{code} was denied by {by}.")),
            RequestState::Expired => Some(format!("{code} has expired: nobody decided in time.")),
            RequestState::Withdrawn { by } => Some(format!("{code} was withdrawn by {by}.")),
            RequestState::ChangesRequested { by, .. } => {
                Some(format!("{code} was sent back by {by}, who wants something else."))
            }
            RequestState::Superseded { .. } => Some(format!("{code} was asked again.")),
        };
        if over.is_some() {
            return Ok(over);
        }
        let late = pages.store.clock().now() >= self.link.expires_at;
        // What this page says is said once: what came to nothing then comes to nothing again.
        if late || self.said(pages).await?.is_some() {
            return Ok(Some(format!("This page is over. Say {} where you were asked for a new one.", self.again())));
        }
        Ok(None)
    }

    /// How the page was used, and whether that came to anything.
    async fn used(&self, pages: &Decisions, used: LinkUsed) -> Result<String, StoreError> {
        let (code, words) = (self.request.code, used.done.words());
        let when = pages.times.at(used.at, pages.store.clock().now());
        Ok(match self.said(pages).await? {
            Some(line) if line.outcome == "answered" => {
                format!("This page was used at {when}, to {words} {code}. It works once.")
            }
            Some(_) => format!("This page was used at {when}, and that decided nothing. It works once."),
            // An earlier release used a page up before it decided, and was stopped in between.
            None => format!(
                "This page was used at {when}, to {words} {code}, and the bot was stopped before that was said: it decided \
                 nothing. Say {} where you were asked for a new page.",
                self.again()
            ),
        })
    }

    /// The line by which something was said on this page.
    async fn said(&self, pages: &Decisions) -> Result<Option<LineRow>, StoreError> {
        pages.store.find_line(&self.request.room, &format!("press:{}", self.interaction())).await
    }

    /// What this page says is said once, by this name.
    fn interaction(&self) -> String {
        format!("passkey:{}", self.link.id)
    }

    /// What is said for another page.
    fn again(&self) -> String {
        match self.link.purpose {
            Purpose::Decide => format!("`approve {}`", self.request.code),
            Purpose::BreakGlass => format!("`break glass {} because …`", self.request.code),
        }
    }

    /// What the person's passkey signs: this page, this request, this plan, and what is done.
    fn challenge(&self, done: OnPage) -> Challenge {
        Challenge::of_page(&self.link.hash.0, self.request.id.0, &self.request.digest.0, done.name())
    }

    /// Whether the stage that waits wants a reason.
    fn reason_required(&self) -> bool {
        let RequestState::Pending { stage } = self.request.state else { return false };
        let stages = self.plan.policy.as_ref().map(|policy| policy.stages.as_slice()).unwrap_or_default();
        let stage = usize::try_from(stage).ok().and_then(|stage| stages.get(stage));
        stage.is_some_and(|stage| stage.reason_required)
    }

    fn head(&self, pages: &Decisions) -> Head {
        let now = pages.store.clock().now();
        head(&self.before.told(&self.request, &self.run, &self.plan, pages.times, now))
    }

    /// The plan, under a heading of its own, with these of its steps; what stands before them only above the first.
    fn set(&self, pages: &Decisions, heading: Heading, pieces: &[Piece], leaf: Option<Leaf>) -> Markup {
        let (plan, request, run) = (&self.plan, &self.request, &self.run);
        let now = pages.store.clock().now();
        let told = self.before.told(request, run, plan, pages.times, now);
        // The environment stands at the top of every page.
        let Head { environment: _, asker, deed, host, starts, effect, until } = head(&told);
        let changes = plan.changes() > 0;
        html! {
            @match heading {
                Heading::First => h1 { (deed) " " span.where { "on " (host) } },
                Heading::Second => h2 { (deed) " " span.where { "on " (host) } },
            }
            p { b { (request.code) } " · " (asker)
                @if !self.who.is_empty() { " asks " (or(&self.who)) } @else { " asked" } " · "
                @if let Some(starts) = starts { "starts at " (starts) " · " }
                (effect) " · until " time datetime=(request.expires_at.to_rfc3339()) { (until) } }
            @if leaf.is_none_or(|leaf| leaf.from == 0) {
                @for line in before_steps(&told) { p { (line) } }
                @if request.differs.is_some() {
                    p.note { "The catalog has changed since this was asked, and would now make another plan of it. What is \
                              decided here is the plan below, as it stands." }
                }
            }
            @if let Some(leaf) = leaf {
                @let (first, last, all) = leaves::numbers(pieces, leaf);
                @if (leaf.from, leaf.to) != (0, pieces.len()) && leaf.from < leaf.to { p { "Steps " (first) " to " (last) " of " (all) ":" } }
                (leaves::set(pieces, leaf))
                @if changes { p.small { "! marks a step that changes something." } }
            }
            p.foot {
                "Plan " code.digest title=(request.digest.to_string()) { (groups(request.digest)) } " · run " (run.id)
                @if let Some(policy) = &plan.policy { " · policy " (policy.name.as_str()) }
                " · " (visible(&plan.system_title))
            }
        }
    }

    fn page(&self, pages: &Decisions, title: &str, main: &Markup) -> Html<String> {
        page(Some(&self.head(pages).environment), title, Some(&self.link.person), main)
    }

    /// The page once nothing can be decided on it: without the plan, which is nobody's business for ever.
    fn page_over(&self, pages: &Decisions, why: &str) -> Html<String> {
        let main = html! {
            div.sheet { h1 { (self.request.code) } div.result data-sentence { p { (typed(why)) } p { "Nothing was decided just now." } } }
        };
        self.page(pages, "Over", &main)
    }

    /// What stands under the last of the plan: the buttons.
    fn buttons(&self, pages: &Decisions) -> Markup {
        let (code, party) = (self.request.code, pages.party.id());
        let form = |done: OnPage, inside: Markup| {
            html! {
                form method="post" hidden data-challenge=(self.challenge(done).encoded()) data-party=(party) {
                    (hidden_fields(done))
                    (inside)
                }
            }
        };
        let without = match self.link.purpose {
            Purpose::Decide => format!(
                "Deciding here needs this page's script, which speaks to your passkey. To deny, say `deny {code} because …` \
                 where you were asked."
            ),
            Purpose::BreakGlass => "This needs the page's script, which speaks to your passkey.".to_owned(),
        };
        html! {
            (script_words(&without))
            @match self.link.purpose {
                Purpose::Decide => div.decide {
                    (form(OnPage::Approve, html! {
                        @if self.reason_required() || self.link.reason.is_some() {
                            label for="because" { "Why" }
                            input #because name="reason" maxlength=(MOST_REASON) autocomplete="off"
                                value=[self.link.reason.as_deref()] required[self.reason_required()];
                        }
                        button.yes type="submit" { "Approve " (code) }
                    }))
                    (form(OnPage::Deny, html! {
                        label for="reason" { @if self.reason_required() { "Why not" } @else { "Why not, if you say so" } }
                        input #reason name="reason" maxlength=(MOST_REASON) autocomplete="off" required[self.reason_required()];
                        button.no type="submit" { "Deny " (code) }
                    }))
                },
                Purpose::BreakGlass => {
                    div.sheet {
                        p.note { "You start this without the agreement of others. Everybody who is skipped is told, and it is \
                                  reviewed. Your reason: " (visible(self.link.reason.as_deref().unwrap_or_default())) }
                    }
                    div.decide { (form(OnPage::BreakGlass, html! { button.no type="submit" { "Break the glass for " (code) } })) }
                },
            }
            p.small { "Deciding here takes your passkey. This page works once, until " (at(pages, self.link.expires_at)) "." }
        }
    }

    /// The page that begins with a piece of the plan. Where all that is left of it fits, one can decide; else it leads to the
    /// next.
    fn show(&self, pages: &Decisions, secret: &Secret, from: usize) -> Html<String> {
        let pieces = leaves::pieces(&self.plan);
        let title = self.head(pages).deed;
        let all = |leaf: Leaf, below: &Markup| {
            let main = html! { div.sheet { (self.set(pages, Heading::First, &pieces, Some(leaf))) } (below) };
            self.page(pages, &title, &main)
        };
        let room =
            |below: &Markup| leaves::MOST_BYTES.saturating_sub(all(Leaf { from, to: from }, below).0.len() + SLACK);
        let buttons = self.buttons(pages);
        let leaf = leaves::leaf(&pieces, from, room(&buttons));
        if leaf.to == pieces.len() {
            return all(leaf, &buttons);
        }
        let next = |to: usize| {
            let address = leaves::address(secret, self.request.digest, to);
            // Relative: below the first page, beside the others.
            let to = if from == 0 { format!("{}/{address}", secret.encoded()) } else { address };
            html! {
                p.note { "The plan goes on. You decide on the last page, when you have opened all of it." }
                p.decide { a.next href=(to) { "Go on reading" } }
            }
        };
        let leaf = leaves::leaf(&pieces, from, room(&next(pieces.len())));
        all(leaf, &next(leaf.to))
    }
}

/// Bytes by which a page with steps may be longer than one without, beyond the steps: which of them stand there.
const SLACK: usize = 200;

/// The fields that the script fills in.
fn hidden_fields(done: OnPage) -> Markup {
    html! {
        input type="hidden" name="answer" value=(done.name());
        @for name in ["credential", "client_data", "authenticator_data", "signature", "user"] {
            input type="hidden" name=(name);
        }
    }
}

pub(super) async fn look(State(door): State<Shared>, Path(secret): Path<String>) -> Result<Response, Wrong> {
    show(&door, &secret, None).await
}

pub(super) async fn look_on(
    State(door): State<Shared>,
    Path((secret, leaf)): Path<(String, String)>,
) -> Result<Response, Wrong> {
    show(&door, &secret, Some(&leaf)).await
}

async fn show(door: &Shared, secret: &str, leaf: Option<&str>) -> Result<Response, Wrong> {
    let pages = &door.pages;
    let secret = secret_of(secret)?;
    let sheet = Sheet::read(pages, Digest(secret.hash())).await?;
    if let Some(why) = sheet.over(pages).await? {
        return Ok((StatusCode::GONE, sheet.page_over(pages, &why)).into_response());
    }
    let from = match leaf {
        None => 0,
        Some(leaf) => leaves::from_address(&secret, sheet.request.digest, leaf).ok_or_else(Wrong::nothing)?,
    };
    Ok(sheet.show(pages, &secret, from).into_response())
}

/// What a passkey said, as sent.
struct Sent {
    done: OnPage,
    credential: Vec<u8>,
    client_data: Vec<u8>,
    authenticator_data: Vec<u8>,
    signature: Vec<u8>,
    /// What the passkey says that its person is called, if it says so.
    user: String,
    reason: String,
}

impl Sent {
    fn read(fields: &Fields) -> Result<Self, Wrong> {
        let bytes = |name| fields.bytes(name).ok_or_else(Wrong::form);
        Ok(Self {
            done: OnPage::from_name(&fields.text("answer")).ok_or_else(Wrong::form)?,
            credential: bytes("credential")?,
            client_data: bytes("client_data")?,
            authenticator_data: bytes("authenticator_data")?,
            signature: bytes("signature")?,
            user: fields.text("user"),
            reason: fields.text("reason"),
        })
    }
}

/// The passkey that has signed, if it is one of the person's that is in use.
async fn passkey_of(pages: &Decisions, person: &PersonId, signed: &Sent) -> Result<Passkey, Wrong> {
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
    take(&door, &secret, request).await
}

/// What was decided on a page other than the first. Which one does not matter: what is signed stands on the last alone.
pub(super) async fn decide_on(
    State(door): State<Shared>,
    Path((secret, _)): Path<(String, String)>,
    request: HttpRequest,
) -> Result<Response, Wrong> {
    take(&door, &secret, request).await
}

async fn take(door: &Shared, secret: &str, request: HttpRequest) -> Result<Response, Wrong> {
    let pages = &door.pages;
    let hash = hash_of(secret)?;
    let fields = Fields::read(request).await?;
    let sheet = Sheet::read(pages, hash).await?;
    if let Some(why) = sheet.over(pages).await? {
        return Ok((StatusCode::GONE, sheet.page_over(pages, &why)).into_response());
    }
    let sent = Sent::read(&fields)?;
    let person = &sheet.link.person;
    // An account that is somebody else's by now is not theirs to speak as.
    let catalog = (pages.catalog)();
    if catalog.person_of(&sheet.link.account).is_none_or(|owner| owner.name != *person) {
        return Err(Wrong::new(
            StatusCode::FORBIDDEN,
            format!("{} is not {person}'s account any more. {NOTHING_DECIDED}", sheet.link.account),
        ));
    }
    let passkey = passkey_of(pages, person, &sent).await?;
    let known = Known { public_key: &passkey.public_key, count: passkey.count, may_be_copied: passkey.may_be_copied };
    let said = Assertion {
        client_data: &sent.client_data,
        authenticator_data: &sent.authenticator_data,
        signature: &sent.signature,
    };
    let asserted = match pages.party.assert(&sheet.challenge(sent.done), known, said) {
        Ok(asserted) => asserted,
        Err(refused) => {
            // The same form sent twice at once: the other has moved the count, and has used this page.
            let again = Sheet::read(pages, hash).await?;
            if let Some(why) = again.over(pages).await? {
                return Ok((StatusCode::GONE, again.page_over(pages, &why)).into_response());
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
    say(pages, &sheet, &passkey, asserted.count, &sent).await
}

/// Says what was decided, as the person, with what they have signed, and shows what came of it. The page is used up, what was
/// signed is kept and the decision counts in one transaction (I4), or nothing of it happens and the page works as before.
async fn say(pages: &Decisions, sheet: &Sheet, passkey: &Passkey, count: u32, sent: &Sent) -> Result<Response, Wrong> {
    let code = sheet.request.code;
    // What is done for a reason that was given in chat is done for that one.
    let reason = match sent.done {
        OnPage::Approve | OnPage::Deny => sent.reason.as_str(),
        OnPage::BreakGlass => sheet.link.reason.as_deref().unwrap_or_default(),
    };
    let mut command = format!("{} {code}", sent.done.words());
    if !reason.is_empty() {
        command = format!("{command} because {reason}");
    }
    if command.len() > MAX_LINE {
        return Err(Wrong::new(StatusCode::BAD_REQUEST, text::passkey::reason_too_long(&code, sent.done)));
    }
    let root = match &sheet.request.thread {
        Some(thread) => Some(MessageId::new(thread.as_str())),
        None => pages.store.find_root_of(sheet.run.id, &sheet.request.room).await?,
    };
    let signed = Signed {
        page: sheet.link.id,
        link: sheet.link.hash,
        request: sheet.request.id,
        digest: sheet.request.digest,
        done: sent.done,
        passkey: passkey.id,
        credential: credential_text(&passkey.credential),
        count_before: passkey.count,
        count,
        client_data: URL_SAFE_NO_PAD.encode(&sent.client_data),
        authenticator_data: URL_SAFE_NO_PAD.encode(&sent.authenticator_data),
        signature: URL_SAFE_NO_PAD.encode(&sent.signature),
    };
    let what = Said::Press {
        interaction: sheet.interaction(),
        message: root.unwrap_or_else(|| MessageId::new("page")),
        command,
        signed: Some(Box::new(signed)),
    };
    let incoming = Incoming {
        room: sheet.request.room.clone(),
        thread: sheet.request.thread.clone(),
        account: sheet.link.account.clone(),
        said_at: pages.store.clock().now(),
        what,
        trace: None,
    };
    let received = receive_whole(&pages.inbound, incoming).await.map_err(|error| {
        tracing::error!(error = %crate::text::chain(&error), request = %code, "what a passkey decided was not kept");
        Wrong::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("What you decided could not be kept. {NOTHING_DECIDED} Open this page again in a moment."),
        )
    })?;
    let after = Sheet::read(pages, sheet.link.hash).await?;
    // The same form sent twice at once: the other was faster.
    if received.delivery == Delivery::Again
        && let Some(why) = after.over(pages).await?
    {
        return Ok((StatusCode::GONE, after.page_over(pages, &why)).into_response());
    }
    let (outcome, answers) = pages.store.list_answers_to(received.line).await?;
    let done = outcome == "answered";
    let (title, tone) = match (done, sent.done) {
        (true, OnPage::Approve) => ("Approved", "result good"),
        (true, OnPage::Deny) => ("Denied", "result good"),
        (true, OnPage::BreakGlass) => ("The glass is broken", "result good"),
        (false, _) => ("Not decided", "result bad"),
    };
    let stands = match (&after.request.state, done) {
        (RequestState::Granted, true) => {
            let starts = after.plan.not_before.map(|at| pages.times.at(at, pages.store.clock().now()));
            Some(text::passkey::granted(&code, &after.request.wanted, starts.as_deref()))
        }
        (RequestState::Denied { .. }, true) => Some(text::passkey::denied(&code)),
        (RequestState::Pending { .. }, true) if answers.is_empty() => Some(text::passkey::waits_on(&code)),
        _ => None,
    };
    let pieces = leaves::pieces(&after.plan);
    let said = html! {
        div.sheet {
            h1 { (title) " · " (code) }
            div class=(tone) data-sentence {
                @if let Some(stands) = stands { p { (stands) } }
                @for answer in &answers { @for line in answer.lines() { p { (typed(&visible(line))) } } }
                @if !done { p { (NOTHING_DECIDED) } }
            }
            p.foot { "This page has done its work." }
        }
    };
    // What was read before deciding stands once more, where it fits.
    let with = |leaf: Option<Leaf>| {
        let main = html! { (said) div.sheet { (after.set(pages, Heading::Second, &pieces, leaf)) } };
        sheet.page(pages, title, &main)
    };
    let whole = with(Some(Leaf { from: 0, to: pieces.len() }));
    Ok(if whole.0.len() < leaves::MOST_BYTES { whole } else { with(None) }.into_response())
}

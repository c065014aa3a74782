//! What a browser shows: pages for reading and deciding, rendered here, that need no script.
//!
//! What lives here: who looks ([`visitor`]), what stands on a page and the words around it. What does not: the bot's own
//! sentences (`text`), rights (`model::allowed`, asked for everything that is shown), and any deed: whatever a form does, it
//! says a line or presses a button for the person whom this browser speaks as, and takes the same way as any other line.
//! Reading never acts: a deed is a POST, with the token of its session's forms.
//!
//! The script only adds what a reader may do without: it swaps what has changed, as Server-Sent Events tell it to. Policy
//! and escaping are the same for all pages: [`closed`] lets a page load from this server alone and run nothing that stands
//! in it, and `maud` escapes whatever is put into a template.

mod enter;
mod guide;
mod incidents;
mod ledger;
mod live;
mod parts;
mod requests;
mod room;
mod run;
mod strip;
mod systems;
mod told;
mod visitor;

use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::{DOCTYPE, Markup, html};
use sha2::{Digest as _, Sha256};

use super::Shared;
use crate::ledger::LedgerError;
use crate::model::plan::PlanError;
use crate::store::StoreError;
pub(super) use parts::{typed, who_could_answer};
pub(super) use told::Before;
use visitor::Visitor;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
const ICON: &str = include_str!("icon.svg");

/// What a page may load and do: its own style, script, icon and requests, and nothing that stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
    form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/assets/{name}", get(asset))
        .merge(enter::routes())
        .merge(room::routes())
        .merge(run::routes())
        .merge(requests::routes())
        .merge(systems::routes())
        .merge(incidents::routes())
        .merge(ledger::routes())
        .merge(strip::routes())
        .merge(live::routes())
        .method_not_allowed_fallback(|| async {
            Wrong::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "This address does not take that. Reading a page never does anything.",
            )
        })
}

/// Style, script and icon, under names that change with their content.
static ASSETS: LazyLock<Assets> = LazyLock::new(Assets::new);

struct Assets {
    style: String,
    script: String,
    icon: String,
}

impl Assets {
    fn new() -> Self {
        let name = |content: &str, kind: &str| {
            let hash = Sha256::digest(content.as_bytes());
            let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
            format!("{hash}.{kind}")
        };
        Self { style: name(STYLE, "css"), script: name(SCRIPT, "js"), icon: name(ICON, "svg") }
    }
}

async fn asset(Path(name): Path<String>) -> Response {
    let found = [
        (&ASSETS.style, "text/css; charset=utf-8", STYLE),
        (&ASSETS.script, "text/javascript; charset=utf-8", SCRIPT),
        (&ASSETS.icon, "image/svg+xml", ICON),
    ];
    match found.into_iter().find(|(known, ..)| **known == name) {
        Some((_, kind, content)) => {
            let kept = (header::CACHE_CONTROL, "public, max-age=31536000, immutable");
            ([(header::CONTENT_TYPE, kind), kept], content).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Adds to every answer what keeps a browser from doing with it anything but showing it.
pub(super) async fn closed(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &str); 6] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Tells other sites nothing. With `no-referrer` browsers would send forms of these very pages as from nowhere.
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        // A document that is whole in itself brings a policy of its own.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// The page that is open, for the list of pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tab {
    Rooms,
    Requests,
    Systems,
    Incidents,
    Ledger,
    None,
}

/// What stands on a page.
struct Page {
    title: String,
    tab: Tab,
    /// The environments of what is shown: in the reader's face.
    environments: Vec<String>,
    main: Markup,
    /// What stands beside it, or below it on a phone.
    aside: Option<Markup>,
    /// Whether the requests that wait for the reader are already part of it.
    waiting: Waiting,
}

/// How a page tells of requests that wait for the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// With the plan and the buttons.
    Whole,
    /// In a line each.
    Short,
    /// Not: the page is about them.
    Part,
}

/// A page for somebody who speaks as somebody.
async fn show(visitor: &Visitor, page: Page) -> Result<Response, Wrong> {
    let waiting = match page.waiting {
        Waiting::Part => None,
        Waiting::Whole | Waiting::Short => requests::waiting(visitor, page.waiting).await?,
    };
    let answer = parts::answer(visitor).await?;
    let tabs = [
        (Tab::Rooms, "/", "Rooms"),
        (Tab::Requests, "/requests", "Requests"),
        (Tab::Systems, "/systems", "Systems"),
        (Tab::Incidents, "/incidents", "Incidents"),
        (Tab::Ledger, "/ledger", "Ledger"),
    ];
    let body = html! {
        header.top {
            (environments(&page.environments, visitor.web.state.trial.is_some()))
            nav aria-label="Pages" {
                ul {
                    @for (tab, to, name) in tabs {
                        li { a href=(to) aria-current=[(tab == page.tab).then_some("page")] { (name) } }
                    }
                }
            }
            p.who { span.you { "You are " } strong { (visitor.shown()) } " " a href="/people" { "change" } }
        }
        p.stale #stale role="status" hidden {}
        main.desk #main tabindex="-1" data-alone[page.aside.is_none()] {
            div.answer #notice role="alert" hidden[answer.is_none()] { @if let Some(answer) = answer { (answer) } }
            @if let Some(waiting) = waiting { section.waiting #waiting aria-labelledby="waiting-title" { (waiting) } }
            div.here #here { (page.main) }
            @if let Some(aside) = page.aside { aside.beside #beside aria-label="Facts" { (aside) } }
        }
        @if visitor.web.state.trial.is_some() { (strip::strip(visitor, &page.title)) }
    };
    let live = format!("/live?after={}.{}", visitor.mark.position, visitor.mark.message);
    Ok(Html(frame(&page.title, Some(&live), &body).into_string()).into_response())
}

fn environments(names: &[String], trial: bool) -> Markup {
    html! {
        p.environment {
            @for name in names { strong { (crate::text::visible::visible(name).to_uppercase()) } " " }
            @if trial { span { "TRIAL" } }
        }
    }
}

/// What is the same for every page.
fn frame(title: &str, live: Option<&str>, body: &Markup) -> Markup {
    let Assets { style, script, icon } = &*ASSETS;
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · countersign" }
                link rel="stylesheet" href={ "/assets/" (style) };
                link rel="icon" type="image/svg+xml" href={ "/assets/" (icon) };
                script src={ "/assets/" (script) } defer {}
            }
            body data-live=[live] {
                a.skip href="#main" { "Skip to the content" }
                (body)
            }
        }
    }
}

/// A page for somebody who has not come in, or does not speak as anybody.
fn plain_page(web: &Shared, title: &str, main: &Markup) -> Html<String> {
    let body = html! {
        header.top {
            (environments(&[], web.state.trial.is_some()))
            p.who { "countersign" }
        }
        main.desk #main tabindex="-1" data-alone { div.here #here { (main) } }
    };
    Html(frame(title, None, &body).into_string())
}

/// Why there is no page: a status, and a sentence that says what to do.
#[derive(Debug)]
struct Wrong {
    status: StatusCode,
    sentence: String,
}

impl Wrong {
    fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// There is no such thing, or not for this reader: nobody learns which.
    fn nothing(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no {what} here that you may see."))
    }

    fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = %crate::text::chain(error), "a page could not be made");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The page cannot be made now. Open it again in a moment.")
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::failed(&error)
    }
}

impl From<LedgerError> for Wrong {
    fn from(error: LedgerError) -> Self {
        Self::failed(&error)
    }
}

impl From<PlanError> for Wrong {
    fn from(error: PlanError) -> Self {
        Self::failed(&error)
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let body = html! {
            main.desk #main tabindex="-1" data-alone {
                div.here #here {
                    h1 { "Not done" }
                    p data-sentence { (self.sentence) }
                    p { a href="/" { "Back to the rooms" } }
                }
            }
        };
        let body = frame("Not done", None, &body);
        (self.status, Html(body.into_string())).into_response()
    }
}

/// Whether whoever asks would rather read a page than JSON.
pub(super) fn wants_a_page(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

/// Where there is nothing, for a browser.
pub(super) fn nothing_here() -> Response {
    Wrong::nothing("page").into_response()
}

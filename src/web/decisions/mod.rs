//! One-time pages on a listener of their own: on one a person adds a passkey, on the other they decide with it.
//!
//! What lives here: those two pages and what their forms bring. What does not: whether a signature is right (`passkey`), and
//! any deed: what a page decides is said as a pressed button of that person's, and takes the way of any other (`flow`,
//! behind [`Inbound`]).
//!
//! The listener may be open to the world alone. It has no sessions, no cookies, no other route, and nothing of what the
//! other pages serve. Whoever has an address sees what stands there and no more: reading consumes nothing, decides nothing
//! and signs nobody in, so that a link preview may fetch it as often as it likes. What decides is a signature of the
//! person's own passkey, over a challenge that is bound to the page, the request, the plan and the answer; an address that was
//! passed on is worth nothing without it. What an address holds is kept as its hash.
//!
//! A page is whole in itself: its style and its small script stand in it, and its policy names both by their hashes.

mod decide;
mod enrol;
mod leaves;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Form, FromRequest, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::pages::typed;
use crate::chat::Inbound;
use crate::listener;
use crate::model::catalog::Catalog;
use crate::model::id::{Digest, PersonId};
use crate::passkey::{RelyingParty, Secret};
use crate::store::{Store, StoreError};
use crate::text::time::Times;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// The header by which these pages are known, whatever they say.
pub const MARK: &str = "x-countersign-decisions";

/// How long an invitation may be used.
pub const INVITED_FOR: TimeDelta = TimeDelta::minutes(15);

/// The first part of the path of a page on which to decide.
const DECIDE: &str = "decide";

/// The first part of the path of a page on which to add a passkey.
const PASSKEY: &str = "passkey";

/// Bytes of a form. What an authenticator sends is a tenth of it.
const MOST_BODY: usize = 32 * 1024;

/// How long a form may take to arrive.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// Requests that ask the database at once: whoever floods this listener must not keep the rooms waiting.
const MOST_AT_ONCE: usize = 4;

/// What these pages need.
pub struct Decisions {
    /// Where requests, passkeys and addresses stand.
    pub store: Store,
    /// Who takes what is decided.
    pub inbound: Arc<dyn Inbound>,
    /// The catalog in force.
    pub catalog: Arc<dyn Fn() -> Arc<Catalog> + Send + Sync>,
    /// How times are said.
    pub times: Times,
    /// For whom passkeys are made.
    pub party: RelyingParty,
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decisions").field("party", &self.party).finish_non_exhaustive()
    }
}

/// The state as handlers get it.
struct Door {
    pages: Decisions,
    at_once: Semaphore,
}

type Shared = Arc<Door>;

/// Where a person decides: below the pages' address.
pub fn decide_at(origin: &str, secret: &Secret) -> String {
    format!("{origin}/{DECIDE}/{}", secret.encoded())
}

/// Where a person adds a passkey: below the pages' address.
pub fn enrol_at(origin: &str, secret: &Secret) -> String {
    format!("{origin}/{PASSKEY}/{}", secret.encoded())
}

/// How long the pages may take to answer when it is looked whether they do.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Whether these pages answer where browsers look for them: asked for one that nobody was ever sent.
///
/// # Errors
/// Why they do not, in a few words.
pub async fn answer_at(origin: &str) -> Result<(), String> {
    let reason = |error: reqwest::Error| crate::text::chain(&error);
    let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_WITHIN).build().map_err(reason)?;
    let answer = http.get(decide_at(origin, &Secret::new([0; 32]))).send().await.map_err(reason)?;
    let (status, ours) = (answer.status(), answer.headers().contains_key(MARK));
    if ours && status == StatusCode::NOT_FOUND { Ok(()) } else { Err(format!("what answers there says {status}")) }
}

/// Serves these pages, and nothing else, until told to stop.
pub async fn serve(listener: TcpListener, pages: Decisions, stop: watch::Receiver<bool>) {
    listener::serve(listener, router(pages), "a decision page", stop).await;
}

fn router(pages: Decisions) -> Router {
    let door: Shared = Arc::new(Door { pages, at_once: Semaphore::new(MOST_AT_ONCE) });
    Router::new()
        .route(&format!("/{DECIDE}/{{secret}}"), get(decide::look).post(decide::decide))
        .route(&format!("/{DECIDE}/{{secret}}/{{leaf}}"), get(decide::look_on).post(decide::decide_on))
        .route(&format!("/{PASSKEY}/{{secret}}"), get(enrol::look).post(enrol::enrol))
        .method_not_allowed_fallback(|| async {
            Wrong::new(StatusCode::METHOD_NOT_ALLOWED, "This address does not take that.")
        })
        .fallback(|| async { Wrong::nothing() })
        .layer(middleware::from_fn_with_state(Arc::clone(&door), few_at_once))
        .layer(middleware::from_fn(closed))
        .with_state(door)
}

/// Lets so many requests at once ask for anything.
async fn few_at_once(State(door): State<Shared>, request: Request, next: Next) -> Response {
    // The form first: a slow one holds nobody's place.
    let (parts, body) = request.into_parts();
    let body = match timeout(BODY_WITHIN, to_bytes(body, MOST_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return Wrong::new(StatusCode::PAYLOAD_TOO_LARGE, "That form is too long.").into_response(),
        Err(_) => return Wrong::new(StatusCode::REQUEST_TIMEOUT, "The form did not arrive in time.").into_response(),
    };
    match door.at_once.acquire().await {
        Ok(_place) => next.run(Request::from_parts(parts, Body::from(body))).await,
        // It is never closed.
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// What a page may load and do: its own style and script by their hashes, and sending its forms home.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |content: &str| STANDARD.encode(Sha256::digest(content.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; form-action 'self'; frame-ancestors 'none'; \
         base-uri 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
});

/// Adds to every answer what keeps a browser, and whoever is in between, from doing anything with it but showing it once.
async fn closed(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let fixed: [(HeaderName, &str); 8] = [
        (HeaderName::from_static(MARK), "1"),
        (header::CACHE_CONTROL, "no-store"),
        // The address is a secret: no other page learns it.
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("x-robots-tag"), "noindex, nofollow, noarchive, nosnippet"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A page: the word in the reader's face, whom it is for, and what stands on it.
fn page(environment: Option<&str>, title: &str, person: Option<&PersonId>, main: &Markup) -> Html<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · countersign" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header.top {
                    p { @if let Some(environment) = environment { strong { (environment) } " " } span { "countersign" } }
                    @if let Some(person) = person { p.who { "For " b { (crate::text::visible::visible(person.as_str())) } } }
                }
                main { (main) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    Html(page.into_string())
}

/// A moment, as people say it.
fn at(pages: &Decisions, moment: DateTime<Utc>) -> Markup {
    let now = pages.store.clock().now();
    html! { time datetime=(moment.to_rfc3339()) { (pages.times.until(moment, now)) } }
}

/// What the script needs where there is none, and what it says.
fn script_words(without: &str) -> Markup {
    html! {
        p #said role="alert" {}
        noscript { p.note { (typed(without)) } }
    }
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

    fn nothing() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "There is nothing at this address. Take the whole of the link that you were sent.",
        )
    }

    fn form() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "That form lacks what a passkey says. Open the page again, in a browser that runs its script.",
        )
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %crate::text::chain(&error), "a decision page could not be made");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The page cannot be made now. Open it again in a moment.")
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let main =
            html! { div.sheet { h1 { "Not done" } div.result.bad data-sentence { p { (typed(&self.sentence)) } } } };
        (self.status, page(None, "Not done", None, &main)).into_response()
    }
}

/// What stands in an address. What cannot be one costs no look.
fn secret_of(secret: &str) -> Result<Secret, Wrong> {
    Secret::parse(secret).ok_or_else(Wrong::nothing)
}

/// The hash under which the page of an address is kept.
fn hash_of(secret: &str) -> Result<Digest, Wrong> {
    Ok(Digest(secret_of(secret)?.hash()))
}

/// The fields of a form.
struct Fields(BTreeMap<String, String>);

impl Fields {
    async fn read(request: Request) -> Result<Self, Wrong> {
        let form = Form::<BTreeMap<String, String>>::from_request(request, &()).await;
        form.map(|Form(fields)| Self(fields)).map_err(|_| Wrong::form())
    }

    /// A field's text, on one line; empty if it is not there.
    fn text(&self, name: &str) -> String {
        let text = self.0.get(name).map(String::as_str).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// A field's bytes, as the script encodes them; `None`: it is not there, empty, or not encoded so.
    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.0.get(name)?).ok().filter(|bytes| !bytes.is_empty())
    }
}

/// What browsers are told that a person is called: the same for all of a person's passkeys, and not their name.
fn user_of(person: &PersonId) -> String {
    let mut hash = Sha256::new();
    hash.update(b"countersign/person/v1\n");
    hash.update(person.as_str().as_bytes());
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

//! Being called by Slack (Events API over HTTP): a listener of its own, which answers nothing but Slack.
//!
//! What lives here: one address, which takes signed requests and hands them over. What does not: whether a request is
//! Slack's (`signed`), and what it means (`inbound`). It has a port of its own so that it can be opened to the world
//! without the pages.
//!
//! It hears as long as it serves: nobody may have anything to say for days, and Slack gives no sign of itself then. That
//! something between Slack and here is broken cannot be seen from here; Slack says so afterwards, by delivering again.
//!
//! Keeps I6 as the socket does: Slack is told that it arrived only after everything in it is durable. What could not be
//! kept is answered with 503, so that Slack delivers it again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::away::HOLDS;
use super::hand_over::{Delivered as Delivery, Door, Kept};
use super::signed::{self, Delivered, NotSlack};
use crate::{listener, metrics};

/// Where Slack is told to call.
pub const PATH: &str = "/slack/events";

/// Bytes of a request's body. Slack's own are a tenth of it.
const MOST_BODY: usize = 1024 * 1024;

/// How long a request's body may take.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How often at most a request of somebody else is logged. All are counted.
const WARN_EVERY: Duration = Duration::from_secs(1);

struct Called {
    door: Door,
    secret: String,
    warned: Mutex<Option<Instant>>,
}

impl Called {
    fn warn_of(&self, error: NotSlack) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!(%error, "a request that is not taken");
        }
    }
}

/// Serves Slack's requests until told to stop; what is being answered then has a few seconds. `secret` is the app's
/// signing secret. A connection that says nothing, or not all of it, is ended; so many at once are taken and no more.
pub async fn serve(listener: TcpListener, door: Door, secret: String, stop: watch::Receiver<bool>) {
    let (hearing, away) = (door.slack.hearing().clone(), door.away.clone());
    let called = Arc::new(Called { door, secret, warned: Mutex::default() });
    let app = Router::new().route(PATH, post(take)).with_state(called);
    hearing.heard();
    if let Some(away) = &away {
        away.heard();
        // Whoever calls meanwhile is taken when it serves: what was said before comes first.
        drop(timeout(HOLDS, away.whole()).await);
    }
    listener::serve(listener, app, "Slack", stop).await;
    hearing.lost();
}

async fn take(State(called): State<Arc<Called>>, headers: HeaderMap, body: Body) -> Response {
    let body = match timeout(BODY_WITHIN, to_bytes(body, MOST_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (at, signature) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
    if let Err(error) = signed::verify(&called.secret, at, signature, &body, called.door.clock.now()) {
        metrics::slack("not_slack");
        called.warn_of(error);
        // Whoever is not Slack learns nothing.
        return StatusCode::UNAUTHORIZED.into_response();
    }
    called.door.slack.hearing().heard();
    let delivered = match signed::read(header("content-type"), &body) {
        Ok(delivered) => delivered,
        Err(error) => {
            metrics::slack("unreadable");
            tracing::warn!(%error, bytes = body.len(), "a request of Slack's cannot be read");
            return StatusCode::BAD_REQUEST.into_response();
        }
    };
    let (kind, payload) = match delivered {
        Delivered::Challenge(challenge) => return challenge.into_response(),
        Delivered::Probe => return StatusCode::OK.into_response(),
        Delivered::Frame { kind, payload } => (kind, payload),
    };
    if let Some(away) = called.door.away.as_ref().filter(|_| headers.contains_key("x-slack-retry-num")) {
        // Something between Slack and here was broken: this came after all, others may have been given up.
        away.suspect();
    }
    // In a task of its own: Slack hangs up after three seconds, and that must not stop it half-way.
    let taking = tokio::spawn(async move { called.door.take(Delivery { kind, payload: &payload }).await });
    match taking.await {
        Ok(Kept::Yes) => StatusCode::OK.into_response(),
        Ok(Kept::No) | Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

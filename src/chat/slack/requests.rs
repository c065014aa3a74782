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

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::away::HOLDS;
use super::hand_over::{Delivered as Delivery, Door, Kept};
use super::signed::{self, Delivered};
use crate::metrics;

/// Where Slack is told to call.
pub const PATH: &str = "/slack/events";

/// Bytes of a request's body. Slack's own are a tenth of it.
const MOST_BODY: usize = 1024 * 1024;

struct Called {
    door: Door,
    secret: String,
}

/// Serves Slack's requests until told to stop; what is being answered then is answered. `secret` is the app's signing
/// secret.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    door: Door,
    secret: String,
    mut stop: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let (hearing, away) = (door.slack.hearing().clone(), door.away.clone());
    let called = std::sync::Arc::new(Called { door, secret });
    let app = Router::new().route(PATH, post(take)).layer(DefaultBodyLimit::max(MOST_BODY)).with_state(called);
    let stopped = async move {
        // An error means that the sender is gone: then the process ends as well.
        let _ended = stop.wait_for(|stop| *stop).await;
    };
    hearing.heard();
    if let Some(away) = &away {
        away.heard();
        // Whoever calls meanwhile is taken when it serves: what was said before comes first.
        drop(tokio::time::timeout(HOLDS, away.whole()).await);
    }
    let served = axum::serve(listener, app).with_graceful_shutdown(stopped).await;
    hearing.lost();
    served
}

async fn take(State(called): State<std::sync::Arc<Called>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (at, signature) = (header("x-slack-request-timestamp"), header("x-slack-signature"));
    if let Err(error) = signed::verify(&called.secret, at, signature, &body, called.door.clock.now()) {
        metrics::slack("not_slack");
        tracing::warn!(%error, "a request that is not taken");
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
    let again = headers.contains_key("x-slack-retry-num");
    if let Some(away) = called.door.away.as_ref().filter(|_| again) {
        // Something between Slack and here was broken: this came after all, others may have been given up.
        away.suspect();
    }
    match called.door.take(Delivery { kind, payload: &payload, again }).await {
        Kept::Yes => StatusCode::OK.into_response(),
        Kept::No => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

//! HTTP: the local room's API, the pages, and the place of every further route.
//!
//! What lives here: who may knock (`guard`, `session`), what a request must look like, streams that follow a line, what a
//! browser shows (`pages`). What does not: what a line does (`flow`, behind [`Inbound`]), and any sentence of the bot.
//! Keeps I6 as an adapter must: a line is acknowledged only once it is durable.
//!
//! A further group of routes is a file with `pub(super) fn routes() -> Router<Shared>`, merged in [`router`]; the guard
//! and the limits then hold for it as well.

pub mod decisions;
mod events;
mod follow;
mod guard;
mod health;
pub(crate) mod incidents;
mod keys;
mod ledger;
mod pages;
mod passkeys;
mod rooms;
mod session;
mod token;
mod trial;
pub mod wire;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::serve::ListenerExt;
use axum::{Json, Router, middleware};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::chat::hearing::Hearing;
use crate::chat::room::LocalRoom;
use crate::chat::{Inbound, ReceiveError, Received};
use crate::model::catalog::Catalog;
use crate::model::chat::{Incoming, RoomAddress};
use crate::model::id::{ServiceName, SystemName};
use crate::model::plan::Sealed;
use crate::store::Store;
use crate::text::time::Times;

use session::Sessions;

pub use guard::Hosts;
pub(crate) use keys::told as keys_told;
pub use session::entry_key;
pub use token::{Token, TokenError};
pub use trial::Trial;

/// Bytes of a request's body: room for 4,000 characters of four bytes, escaped.
const MOST_BODY: usize = 64 * 1024;

/// How long a request may take to send its body.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// How long open connections have at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Makes a plan of the catalog in force.
pub type Planner = dyn Fn(&wire::PlanAsked) -> Result<Sealed, String> + Send + Sync;

/// What the routes need.
pub struct WebState {
    /// Where lines, messages and what came of them stand.
    pub store: Store,
    /// The local room, to follow it live.
    pub room: Arc<LocalRoom>,
    /// Who takes what is said.
    pub inbound: Arc<dyn Inbound>,
    /// What every request must present.
    pub token: Token,
    /// Whether the catalog in force declares a room.
    pub rooms: Arc<dyn Fn(&RoomAddress) -> bool + Send + Sync>,
    /// The catalog in force.
    pub catalog: Arc<dyn Fn() -> Arc<Catalog> + Send + Sync>,
    /// A line that would mend a service, if the catalog in force has one.
    pub mending_line: Arc<MendingLine>,
    /// How pages say times.
    pub times: Times,
    /// Whether people speak on these pages.
    pub speaking: Speaking,
    /// What pages offer for trying to cheat; `None` offers nothing.
    pub trial: Option<Trial>,
    /// Makes a plan of the catalog in force, or says in one sentence why not.
    pub planner: Arc<Planner>,
    /// Under which address people decide with a passkey; `None`: there are no such pages.
    pub decisions: Option<String>,
    /// Further names, with port if it is not the scheme's own, under which browsers and clients reach this server.
    pub names: Vec<String>,
    /// Where this process keeps the key that it signs with.
    pub keys: crate::ledger::keys::Place,
    /// Whether each chat workspace is heard.
    pub hearings: Vec<Arc<Hearing>>,
    /// How long a loop of this process may give no sign of life before `/healthz` says that it hangs.
    pub silent_at_most: Duration,
}

/// Whether people speak on the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaking {
    /// They do: whoever has the key speaks as anybody, which is what a trial is.
    Here,
    /// They speak in a chat workspace, each as themselves. Whoever has the key reads what somebody may see, and does
    /// nothing.
    Elsewhere,
}

impl fmt::Debug for WebState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebState").field("names", &self.names).finish_non_exhaustive()
    }
}

/// Says for a service of a system which line would mend it.
pub type MendingLine = dyn Fn(&SystemName, &ServiceName) -> Option<String> + Send + Sync;

/// The state as routes get it.
pub(crate) struct Web {
    pub(crate) state: WebState,
    /// Becomes true when the server is to end: streams end then, unsettled.
    pub(crate) stop: watch::Receiver<bool>,
    /// Who came in with a browser.
    pub(crate) sessions: Sessions,
    /// How many may read on as it happens.
    readers: events::Readers,
    /// What the database last said of itself.
    latest: health::Latest,
}

/// The state as handlers extract it.
pub(crate) type Shared = Arc<Web>;

/// All routes, for a server that listens at an address. Everything but what
/// `health` answers is behind the guard.
pub fn router(state: WebState, address: SocketAddr, stop: watch::Receiver<bool>) -> Router {
    let guard = Arc::new(guard::Guard { hosts: Hosts::of(address, &state.names), token: state.token.clone() });
    let sessions = Sessions::new(state.token.clone(), address.port());
    let web: Shared =
        Arc::new(Web { state, stop, readers: events::Readers::default(), latest: health::Latest::default(), sessions });
    let api = Router::new()
        .merge(rooms::routes())
        .merge(ledger::routes())
        .merge(keys::routes())
        .merge(incidents::routes())
        .merge(passkeys::routes())
        .merge(events::routes())
        .method_not_allowed_fallback(|| async {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take this method")
        })
        .layer(middleware::from_fn_with_state(guard.clone(), guard::bearer));
    let beyond = guard.clone();
    api.merge(pages::routes())
        .fallback(async move |headers: HeaderMap| {
            if pages::wants_a_page(&headers) {
                return pages::nothing_here();
            }
            let refusal = beyond.judge_token(&headers).err();
            refusal
                .unwrap_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this address"))
                .into_response()
        })
        .layer(DefaultBodyLimit::max(MOST_BODY))
        .layer(middleware::from_fn_with_state(guard, guard::check))
        .layer(middleware::from_fn(pages::closed))
        // Asked by who has no token.
        .merge(health::routes())
        .with_state(web)
}

/// Serves until told to stop: then no new connection is taken, streams end, and what is being answered has five seconds.
///
/// # Errors
/// When the listener's address cannot be read.
pub async fn serve(listener: TcpListener, state: WebState, stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let app = router(state, listener.local_addr()?, stop.clone());
    let listener = listener.tap_io(|connection| {
        // Lines of a stream are small and must not wait for each other's acknowledgement.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let serving = axum::serve(listener, app).with_graceful_shutdown(stopped(stop.clone()));
    tokio::select! {
        ended = serving => ended,
        () = async {
            stopped(stop).await;
            tokio::time::sleep(GRACE).await;
        } => {
            tracing::warn!("some connections did not end in time");
            Ok(())
        }
    }
}

/// Waits until told to stop, or until nobody can tell any more.
pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // An error means that the sender is gone: then the process ends as well.
    let _ended = stop.wait_for(|stop| *stop).await;
}

/// A request that is not served: a status and one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    status: StatusCode,
    sentence: String,
}

impl Refusal {
    /// A refusal. The sentence is for whoever asked: it names nothing that they did not say themselves.
    pub(crate) fn new(status: StatusCode, sentence: impl Into<String>) -> Self {
        Self { status, sentence: sentence.into() }
    }

    /// The request is not what the address takes.
    pub(crate) fn wrong(sentence: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, sentence)
    }

    /// Something of ours failed. The cause goes to the log, once, and nowhere else.
    pub(crate) fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut next = Some(error);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        tracing::error!(error = causes.join(": "), "a request failed");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "it cannot be done now; try again")
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.status, Json(wire::Wrong { error: self.sentence })).into_response()
    }
}

/// Reads a JSON body, within bounds of size and time.
///
/// # Errors
/// When it is not declared as JSON, too long, too slow, or not what the address takes.
pub(crate) async fn read_json<T: DeserializeOwned>(request: Request<Body>) -> Result<T, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send it as application/json"));
    }
    let reading = axum::body::to_bytes(request.into_body(), MOST_BODY);
    let bytes = match tokio::time::timeout(BODY_WITHIN, reading).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            let sentence = format!("the body did not arrive whole, or is longer than {MOST_BODY} bytes");
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, sentence));
        }
        Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time")),
    };
    serde_json::from_slice(&bytes).map_err(|error| Refusal::wrong(format!("the body does not fit: {error}")))
}

/// Hands over what was said, in a task of its own: a connection that breaks meanwhile must not stop it half-way.
async fn receive_whole(inbound: &Arc<dyn Inbound>, incoming: Incoming) -> Result<Received, ReceiveError> {
    let inbound = Arc::clone(inbound);
    let receiving = tokio::spawn(async move { inbound.receive(incoming).await });
    receiving.await.unwrap_or_else(|error| Err(ReceiveError(error.into())))
}

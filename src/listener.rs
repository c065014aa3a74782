//! A listener that may be open to the world: so many connections and no more, none of which may be silent for long.
//!
//! What lives here: taking connections within bounds, and ending. What does not: what is answered. The server that the
//! pages have (`web`) is the machine's own and has no such bounds.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections at once. More wait to be taken.
const MOST_CONNECTIONS: usize = 256;

/// How long a connection may take to say what it wants, each time.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// How long open connections have at the end.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until told to stop; what is being answered then has five seconds. `whose` names its callers in the log. A
/// connection that says nothing, or not all of its headers, is ended after ten seconds; 256 at once are taken and no more.
/// Bounds of bodies are the routes' own.
pub async fn serve(listener: TcpListener, app: Router, whose: &'static str, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut open = JoinSet::new();
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            // An error means that the sender is gone: then the process ends as well.
            () = async { drop(stop.wait_for(|stop| *stop).await) } => break,
            taken = accepted => taken,
            Some(_) = open.join_next() => continue,
        };
        match accepted {
            Ok((stream, _)) => {
                let service = TowerToHyperService::new(app.clone());
                let mut stop = stop.clone();
                open.spawn(async move {
                    let _place = place;
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
                    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
                    let served = tokio::select! {
                        served = connection.as_mut() => Some(served),
                        () = async { drop(stop.wait_for(|stop| *stop).await) } => None,
                    };
                    let served = match served {
                        Some(served) => served,
                        // One that waits for the next request ends now, one that is being answered afterwards.
                        None => {
                            connection.as_mut().graceful_shutdown();
                            connection.await
                        }
                    };
                    if let Err(error) = served {
                        tracing::debug!(%error, "a connection of {whose} ended early");
                    }
                });
            }
            Err(error) => {
                // Often too many open files: others may close theirs meanwhile.
                tracing::warn!(%error, "a connection of {whose} could not be taken");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    let answered = async { while open.join_next().await.is_some() {} };
    if timeout(GRACE, answered).await.is_err() {
        tracing::debug!("connections of {whose} that are idle, or slow, are ended");
    }
}

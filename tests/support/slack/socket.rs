//! Socket Mode: a connection for a ticket, a greeting, payloads out, acks in.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, header};
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::state::{Order, Socket};
use super::{APP, Inner};

/// More than so many at a time are turned away.
const MOST: usize = 10;

/// Makes a socket of a request that brings a ticket.
pub(super) fn accept(inner: &Arc<Inner>, request: Request<Incoming>) -> Response<Body> {
    let refused = |status| Response::builder().status(status).body(Body::empty()).expect("a response");
    let query = request.uri().query().unwrap_or_default();
    let ticket = query.split('&').find_map(|pair| pair.strip_prefix("ticket=")).unwrap_or_default();
    if !inner.state().tickets.remove(ticket) {
        inner.state().complaints.push(format!("a socket with the ticket `{ticket}`, which is used or unknown"));
        return refused(StatusCode::FORBIDDEN);
    }
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY).cloned() else {
        return refused(StatusCode::BAD_REQUEST);
    };
    let inner = Arc::clone(inner);
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            converse(inner, socket).await;
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(Body::empty())
        .expect("a response")
}

/// What the app is told when a connection is about to end.
pub(super) fn disconnect(reason: &str) -> String {
    json!({"type": "disconnect", "reason": reason, "debug_info": {"host": "applink-fake"}}).to_string()
}

async fn converse(inner: Arc<Inner>, mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>) {
    let (orders, mut ordered) = mpsc::unbounded_channel();
    let (number, open, every) = {
        let mut state = inner.state();
        let number = u32::try_from(state.number()).expect("few sockets");
        let open = state.sockets.len() + 1;
        if open <= MOST {
            state.sockets.insert(number, Socket { orders, leaving: false });
        }
        (number, open, state.settings.ping)
    };
    if open > MOST {
        // It ends here whether or not it is heard.
        let _heard = socket.send(Message::text(disconnect("too_many_websockets"))).await;
        return;
    }
    let hello = json!({"type": "hello", "num_connections": open, "connection_info": {"app_id": APP},
        "debug_info": {"host": "applink-fake", "build_number": 1, "approximate_connection_time": 18060}});
    let mut alive = socket.send(Message::text(hello.to_string())).await.is_ok();
    inner.changed.notify_waiters();
    let mut pings = tokio::time::interval(every);
    pings.tick().await;
    while alive {
        tokio::select! {
            order = ordered.recv() => match order {
                Some(Order::Send(frame)) => alive = socket.send(Message::text(frame)).await.is_ok(),
                Some(Order::Close) => {
                    let _heard = socket.close(None).await;
                    alive = false;
                }
                Some(Order::Drop) | None => alive = false,
                Some(Order::Freeze) => {
                    inner.changed.notify_waiters();
                    // Open, and dead: nothing is read, so no ping is answered.
                    while let Some(order) = ordered.recv().await {
                        if matches!(order, Order::Drop | Order::Close) {
                            break;
                        }
                    }
                    alive = false;
                }
            },
            _ = pings.tick() => alive = socket.send(Message::Ping("Ping from applink-fake".into())).await.is_ok(),
            said = socket.next() => match said {
                Some(Ok(Message::Text(text))) => heard(&inner, text.as_str()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => alive = false,
                Some(Ok(_)) => {}
            },
        }
    }
    {
        let mut state = inner.state();
        state.sockets.remove(&number);
        // Whoever waits for an ack from here learns that none comes.
        state.acks.retain(|_, (socket, _)| *socket != number);
    }
    inner.changed.notify_waiters();
}

/// An ack, or something that is none.
fn heard(inner: &Inner, text: &str) {
    let mut state = inner.state();
    let said: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(envelope) = said.get("envelope_id").and_then(Value::as_str) else {
        state.complaints.push(format!("a frame that is no ack: {text}"));
        return;
    };
    let answer = said.get("payload").cloned().filter(|payload| !payload.is_null());
    match state.envelopes.get(envelope) {
        None => state.complaints.push(format!("an ack of an envelope that was never sent: {envelope}")),
        Some(false) if answer.is_some() => {
            state.complaints.push(format!("an answer in the ack of an envelope that takes none: {text}"));
        }
        Some(_) => {}
    }
    if let Some((_, ack)) = state.acks.remove(envelope) {
        // Nobody waits for an ack that comes late.
        let _late = ack.send(answer);
    }
    inner.changed.notify_waiters();
}

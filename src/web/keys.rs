//! Routes about the keys that grants are signed with: which there are, another one for this bot, the end of one.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};

use super::wire::{KeyEnds, KeyRotated, KeyTold, KeysTold, RotateKey};
use super::{Refusal, Shared, read_json};
use crate::ledger::keys::{self, KeyError};
use crate::store::KeyRow;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/keys", get(list))
        .route("/api/v1/keys/rotate", post(rotate))
        .route("/api/v1/keys/retire", post(retire))
}

fn refusal(error: &KeyError) -> Refusal {
    match error {
        KeyError::Store(_) | KeyError::File { .. } | KeyError::Open(_) | KeyError::Damaged(_) => Refusal::failed(error),
        KeyError::Unknown(_) | KeyError::Several(_) => Refusal::wrong(error.to_string()),
        KeyError::Retired(_) | KeyError::InUse(_) => Refusal::new(StatusCode::CONFLICT, error.to_string()),
    }
}

/// Keys as they are told.
pub(crate) fn told(rows: Vec<KeyRow>) -> Vec<KeyTold> {
    rows.into_iter()
        .map(|row| KeyTold {
            key: row.public,
            host: row.host,
            added_at: row.added_at,
            added_by: row.added_by,
            retired: row.retired.map(|end| KeyEnds { at: end.at, by: end.by, why: end.why }),
        })
        .collect()
}

async fn list(State(web): State<Shared>) -> Result<Response, Refusal> {
    let rows = web.state.store.list_keys().await.map_err(|error| Refusal::failed(&error))?;
    let own = web.state.store.keyring().signer().map(|signer| signer.public());
    Ok(Json(KeysTold { own, keys: told(rows) }).into_response())
}

async fn rotate(State(web): State<Shared>, request: Request<Body>) -> Result<Response, Refusal> {
    let asked: RotateKey = read_json(request).await?;
    if asked.key.is_some() || asked.why.is_some() {
        return Err(Refusal::wrong("rotating names no key and no reason: it is this bot's own that ends"));
    }
    let done = keys::rotate(&web.state.store, &web.state.keys, &asked.by).await;
    let (old, new) = done.map_err(|error| refusal(&error))?;
    tracing::info!(old = old.short(), new = new.short(), by = asked.by, "approvals are signed with another key");
    Ok(Json(KeyRotated { old, new }).into_response())
}

async fn retire(State(web): State<Shared>, request: Request<Body>) -> Result<Response, Refusal> {
    let asked: RotateKey = read_json(request).await?;
    let (Some(key), Some(why)) = (asked.key, asked.why) else {
        return Err(Refusal::wrong("retiring names a key and a reason"));
    };
    let done = keys::retire(&web.state.store, &key, &asked.by, &why).await;
    let key = done.map_err(|error| refusal(&error))?;
    tracing::info!(key = key.short(), by = asked.by, "a key is retired");
    Ok(Json(key).into_response())
}

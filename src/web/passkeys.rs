//! What an operator does with passkeys: inviting a person to add one, looking, removing.
//!
//! Whoever holds the token may; nobody can by chat. The answer to an invitation is the only place where its address stands.

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{delete, get, post};
use serde::Deserialize;

use super::decisions::{INVITED_FOR, enrol_at};
use super::wire::{Invite, Invited, PasskeyTold, PasskeysTold};
use super::{Refusal, Shared, read_json};
use crate::approval;
use crate::model::event::{Happened, NewEvent, Record, RemovedBecause, Scope};
use crate::model::id::{Digest, PasskeyId, PersonId};
use crate::passkey::Secret;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/passkeys", get(list))
        .route("/api/v1/passkeys/invitations", post(invite))
        .route("/api/v1/passkeys/{passkey}", delete(remove))
}

/// The person of the catalog who is meant.
fn person(web: &Shared, name: &str) -> Result<PersonId, Refusal> {
    let person = PersonId::new(name);
    if (web.state.catalog)().people.contains_key(&person) {
        return Ok(person);
    }
    Err(Refusal::new(StatusCode::NOT_FOUND, "the catalog knows no person of that name; people.yaml lists them"))
}

async fn invite(State(web): State<Shared>, request: Request<Body>) -> Result<Response, Refusal> {
    let asked: Invite = read_json(request).await?;
    let person = person(&web, &asked.person)?;
    let Some(origin) = &web.state.decisions else {
        return Err(Refusal::new(
            StatusCode::CONFLICT,
            "there is no page for passkeys: set `decisions: {listen: …, url: …}` in the settings",
        ));
    };
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(|error| Refusal::failed(&error))?;
    let secret = Secret::new(random);
    let failed = |error| Refusal::failed(&error);
    let mut tx = web.state.store.begin().await.map_err(failed)?;
    let until = tx.now() + INVITED_FOR;
    tx.insert_invitation(Digest(secret.hash()), &person, until).await.map_err(failed)?;
    let what = Happened::PasskeyInvited { person: person.clone(), expires_at: until };
    tx.record(NewEvent { scope: Scope::default(), cause: None, record: Record { what, rows: Vec::new() } });
    let now = tx.now();
    tx.commit().await.map_err(failed)?;
    let told = Invited { person, link: enrol_at(origin, &secret), until, said: web.state.times.until(until, now) };
    Ok(Json(told).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    person: Option<String>,
}

async fn list(State(web): State<Shared>, query: Result<Query<ListQuery>, QueryRejection>) -> Result<Response, Refusal> {
    let Query(query) = query.map_err(|_| Refusal::wrong("say person=NAME, or nothing"))?;
    let of = query.person.map(PersonId::new);
    let passkeys = web.state.store.list_passkeys(of.as_ref()).await.map_err(|error| Refusal::failed(&error))?;
    let passkeys = passkeys
        .into_iter()
        .map(|passkey| PasskeyTold {
            passkey: passkey.id,
            person: passkey.person,
            name: passkey.name,
            added_at: passkey.added_at,
            used_at: passkey.used_at,
            removed_at: passkey.removed_at,
        })
        .collect();
    Ok(Json(PasskeysTold { passkeys }).into_response())
}

async fn remove(State(web): State<Shared>, passkey: Result<Path<i64>, PathRejection>) -> Result<Response, Refusal> {
    let Path(passkey) = passkey.map_err(|_| Refusal::wrong("a passkey goes by its number"))?;
    let passkey = PasskeyId(passkey);
    let failed = |error| Refusal::failed(&error);
    let mut tx = web.state.store.begin().await.map_err(failed)?;
    if approval::remove_passkey(&mut tx, passkey, RemovedBecause::Operator).await.map_err(failed)?.is_none() {
        let sentence = "there is no passkey of that number in use; `countersign passkey list` shows them";
        return Err(Refusal::new(StatusCode::NOT_FOUND, sentence));
    }
    tx.commit().await.map_err(failed)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

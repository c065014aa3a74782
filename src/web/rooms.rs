//! The local room over HTTP: lines, edits and pressed buttons in, the history out.
//!
//! What lives here: what may be said in which shape. What does not: what comes of it (`follow` tells that).

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::follow::{Follow, Patience};
use super::wire::{Kept, KeptAs, NewEdit, NewLine, NewPress, Told};
use super::{Refusal, Shared, read_json, receive_whole};
use crate::chat::Delivery;
use crate::chat::room::{LocalRoom, PLATFORM, WORKSPACE};
use crate::model::chat::{Account, Addressed, Incoming, RoomAddress, Said};
use crate::model::id::{MessageId, OutboxId, ThreadId};
use crate::model::trace::Trace;
use crate::store::OutboxRow;

/// Characters of a line.
pub(super) const MOST_TEXT: usize = 4000;

/// Characters of a name.
const MOST_NAME: usize = 128;

/// The longest wait: a day.
const MOST_WAIT_MS: u64 = 24 * 60 * 60 * 1000;

/// Messages in one answer of the history.
pub(super) const PAGE: i64 = 500;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/v1/rooms/{room}/lines", post(take_line))
        .route("/api/v1/rooms/{room}/edits", post(take_edit))
        .route("/api/v1/rooms/{room}/presses", post(take_press))
        .route("/api/v1/rooms/{room}/messages", get(list_messages))
}

pub(super) type RoomPath = Result<Path<String>, PathRejection>;

async fn take_line(State(web): State<Shared>, room: RoomPath, request: Request<Body>) -> Result<Response, Refusal> {
    let room = known_room(&web, room)?;
    let trace = trace_of(&request);
    let line: NewLine = read_json(request).await?;
    let account = account(&line.speaker)?;
    let thread = line.thread.as_deref().map(thread).transpose()?;
    let message = match line.message_id {
        Some(id) => name("message_id", &id)?,
        None => random_name()?,
    };
    let text = text(line.text)?;
    if text.trim().is_empty() {
        return Err(Refusal::wrong("say something: the text is empty"));
    }
    let patience = patience(line.wait_ms)?;
    let what = Said::Line { message: MessageId::new(message.clone()), text, address: Addressed::ToRoom };
    take(web, Taken { room, thread, account, what, patience, message_id: Some(message), trace }).await
}

async fn take_edit(State(web): State<Shared>, room: RoomPath, request: Request<Body>) -> Result<Response, Refusal> {
    let room = known_room(&web, room)?;
    let trace = trace_of(&request);
    let edit: NewEdit = read_json(request).await?;
    let account = account(&edit.speaker)?;
    let what = Said::Edit {
        message: MessageId::new(name("message_id", &edit.message_id)?),
        revision: name("revision", &edit.revision)?,
        text: edit.text.map(text).transpose()?,
    };
    let patience = patience(None)?;
    take(web, Taken { room, thread: None, account, what, patience, message_id: Some(edit.message_id), trace }).await
}

async fn take_press(State(web): State<Shared>, room: RoomPath, request: Request<Body>) -> Result<Response, Refusal> {
    let room = known_room(&web, room)?;
    let trace = trace_of(&request);
    let press: NewPress = read_json(request).await?;
    let account = account(&press.speaker)?;
    let thread = press.thread.as_deref().map(thread).transpose()?;
    let patience = patience(press.wait_ms)?;
    let what = Said::Press {
        interaction: name("interaction", &press.interaction)?,
        message: MessageId::new(name("message", &press.message)?),
        command: text(press.command)?,
        signed: None,
    };
    take(web, Taken { room, thread, account, what, patience, message_id: None, trace }).await
}

/// What a request said, checked.
struct Taken {
    room: RoomAddress,
    thread: Option<ThreadId>,
    account: Account,
    what: Said,
    patience: Patience,
    message_id: Option<String>,
    trace: Option<Trace>,
}

/// The trace that a request is part of. A header that is not valid, or is there twice, counts as none.
fn trace_of(request: &Request<Body>) -> Option<Trace> {
    let mut headers = request.headers().get_all("traceparent").iter();
    match (headers.next(), headers.next()) {
        (Some(header), None) => Trace::from_traceparent(header.to_str().ok()?),
        _ => None,
    }
}

/// Hands over what was said and follows what comes of it.
async fn take(web: Shared, taken: Taken) -> Result<Response, Refusal> {
    let Taken { room, thread, account, what, patience, message_id, trace } = taken;
    // Listening before handing over: an answer cannot be faster than its listener.
    let live = web.state.room.listen();
    let incoming = Incoming {
        room: room.clone(),
        thread,
        account: account.clone(),
        said_at: web.state.store.clock().now(),
        what,
        trace,
    };
    let received = receive_whole(&web.state.inbound, incoming).await.map_err(|error| {
        let sentence = error.to_string();
        tracing::error!(error = format!("{:#}", error.0), "what was said could not be kept");
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, sentence)
    })?;
    let delivery = match received.delivery {
        Delivery::First => KeptAs::First,
        Delivery::Again => KeptAs::Again,
    };
    let kept = Kept { line: received.line, delivery, message_id };
    let body = Follow::new(web, live, room, account, &kept, patience).into_body();
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")], body).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HistoryQuery {
    #[serde(rename = "as")]
    speaker: String,
    #[serde(default)]
    after: i64,
}

async fn list_messages(
    State(web): State<Shared>,
    room: RoomPath,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let room = known_room(&web, room)?;
    let Query(query) =
        query.map_err(|_| Refusal::wrong("the history wants `as`, a person, and perhaps `after`, a number"))?;
    let account = account(&query.speaker)?;
    let rows = web.state.store.list_sent(&room, OutboxId(query.after), PAGE).await;
    let rows = rows.map_err(|error| Refusal::failed(&error))?;
    let told: Vec<Told> = rows.into_iter().filter_map(|row| told(row, &account)).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(told)).into_response())
}

/// A sent message as an account may see it.
pub(super) fn told(row: OutboxRow, reader: &Account) -> Option<Told> {
    if !may_see(reader, row.message.only_to.as_ref()) {
        return None;
    }
    let own = LocalRoom::name_of(row.id);
    let id = row.platform_message.unwrap_or_else(|| own.clone());
    // An edit that found nothing to change became a message of its own name.
    let edits = id != own;
    Some(Told::new(row.id, row.created_at, id, row.thread, edits, row.message))
}

/// Whether an account may see a message: one to the whole room, or to that account alone.
pub(super) fn may_see(reader: &Account, only_to: Option<&Account>) -> bool {
    only_to.is_none_or(|only_to| only_to == reader)
}

pub(super) fn known_room(web: &Shared, room: RoomPath) -> Result<RoomAddress, Refusal> {
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "there is no such room here");
    let Path(room) = room.map_err(|_| unknown())?;
    room_of(web, room)
}

/// A room of the catalog in force by its name in an address.
pub(super) fn room_of(web: &Shared, room: String) -> Result<RoomAddress, Refusal> {
    let unknown = || Refusal::new(StatusCode::NOT_FOUND, "there is no such room here");
    if !is_name(&room) {
        return Err(unknown());
    }
    let room = LocalRoom::address(room);
    if (web.state.rooms)(&room) { Ok(room) } else { Err(unknown()) }
}

/// A name that can be part of an address and stand in a log line: short, without control characters or white space.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MOST_NAME && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn name(field: &str, value: &str) -> Result<String, Refusal> {
    if is_name(value) {
        return Ok(value.to_owned());
    }
    Err(Refusal::wrong(format!("`{field}` must be 1 to {MOST_NAME} characters without spaces and control characters")))
}

pub(super) fn account(speaker: &str) -> Result<Account, Refusal> {
    let id = name("as", speaker)?;
    Ok(Account { platform: PLATFORM.to_owned(), workspace: WORKSPACE.to_owned(), id })
}

fn thread(value: &str) -> Result<ThreadId, Refusal> {
    name("thread", value).map(ThreadId::new)
}

fn text(text: String) -> Result<String, Refusal> {
    if text.chars().count() > MOST_TEXT {
        return Err(Refusal::wrong(format!("a line has at most {MOST_TEXT} characters")));
    }
    if text.contains('\0') {
        return Err(Refusal::wrong("a line cannot hold the character NUL"));
    }
    Ok(text)
}

fn patience(wait_ms: Option<u64>) -> Result<Patience, Refusal> {
    match wait_ms {
        None => Ok(Patience::Answers),
        Some(wait_ms) if wait_ms <= MOST_WAIT_MS => Ok(Patience::Consequences { wait_ms }),
        Some(_) => Err(Refusal::wrong(format!("`wait_ms` is at most {MOST_WAIT_MS}, which is a day"))),
    }
}

fn random_name() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| Refusal::failed(&error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_plain() {
        for right in ["mei", "system-a", "é", "m12", &"x".repeat(128)] {
            assert!(is_name(right), "{right}");
        }
        for wrong in ["", " ", "a b", "a\nb", "a\u{1b}b", "a\u{2028}b", "\0", &"x".repeat(129)] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_line_is_bounded_in_characters_not_bytes() {
        assert!(text("ö".repeat(4000)).is_ok());
        assert!(text("o".repeat(4001)).is_err());
        assert!(text("a\0b".to_owned()).is_err());
    }

    #[test]
    fn a_private_message_is_for_its_account_alone() {
        let [mei, boss] = ["mei", "boss"].map(|id| account(id).expect("an account"));
        assert!(may_see(&mei, None) && may_see(&mei, Some(&mei)) && !may_see(&boss, Some(&mei)));
        let elsewhere = Account { workspace: "other".to_owned(), ..mei.clone() };
        assert!(!may_see(&elsewhere, Some(&mei)));
    }
}

//! The door: coming in with the key or the token, choosing whom this browser speaks as, leaving.

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;

use super::super::rooms::is_name;
use super::super::session::Session;
use super::super::{Shared, Speaking};
use super::visitor::{Guest, encoded, fields, form, is_local, local_account, local_path, to};
use super::{Wrong, guide, plain_page};
use crate::chat::room::{PLATFORM, WORKSPACE};
use crate::model::catalog::Catalog;
use crate::model::chat::Account;
use crate::text::visible::visible;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/enter", get(door).post(come_in))
        .route("/people", get(people).post(speak_as))
        .route("/leave", axum::routing::post(leave))
}

/// What stands on every page for somebody who has not come in.
pub(super) fn outside(web: &Shared, here: &str) -> Html<String> {
    let main = html! {
        h1 { "Come in" }
        p data-sentence {
            "Open the address that " code { "countersign up" } " printed after " code { "ready" }
            ", or paste the token from the file " code { "token" } " in its data folder."
        }
        form.sheet method="post" action="/enter" {
            input type="hidden" name="next" value=(here);
            label for="key" { "Token" }
            input #key name="key" type="password" autocomplete="off" required maxlength="200";
            button.good type="submit" { "Come in" }
        }
        p.small { "You were in with this browser and followed a link from elsewhere? " a href=(here) { "Open this page again" } "." }
    };
    plain_page(web, "Come in", &main)
}

#[derive(Debug, Deserialize)]
struct DoorQuery {
    #[serde(default)]
    key: String,
    #[serde(default)]
    next: String,
}

async fn door(State(web): State<Shared>, Query(query): Query<DoorQuery>) -> Html<String> {
    if query.key.is_empty() {
        return outside(&web, local_path(&query.next));
    }
    let main = html! {
        h1 { "Come in" }
        p { "This browser may then read and decide here, for seven days. Leaving is on the page that says who you are." }
        form method="post" action="/enter" {
            input type="hidden" name="key" value=(query.key);
            input type="hidden" name="next" value=(local_path(&query.next));
            button.good.thumb type="submit" { "Come in" }
        }
    };
    plain_page(&web, "Come in", &main)
}

async fn come_in(State(web): State<Shared>, headers: HeaderMap, request: Request) -> Result<Response, Response> {
    let fields = fields(request).await?;
    if !web.sessions.opens(fields.get("key")) {
        let sentence = "That key does not open this door. Take the newest address that `countersign up` printed.";
        return Err(Wrong::new(StatusCode::FORBIDDEN, sentence).into_response());
    }
    let now = web.state.store.clock().now();
    // Whoever comes in again stays who they are.
    let session = match web.sessions.read(&headers, now) {
        Some(session) => session,
        None => web.sessions.begin(now).map_err(|error| Wrong::failed(&error).into_response())?,
    };
    let next = local_path(fields.get("next"));
    let next = if session.speaker.is_some() { next.to_owned() } else { format!("/people?next={}", encoded(next)) };
    Ok((StatusCode::SEE_OTHER, [(header::SET_COOKIE, web.sessions.keep(&session)), (header::LOCATION, next)])
        .into_response())
}

async fn leave(State(web): State<Shared>, request: Request) -> Result<Response, Response> {
    let (_, _) = form(request, &web).await?;
    Ok((StatusCode::SEE_OTHER, [(header::SET_COOKIE, web.sessions.forget()), (header::LOCATION, "/".to_owned())])
        .into_response())
}

#[derive(Debug, Deserialize)]
struct PeopleQuery {
    #[serde(default)]
    next: String,
}

async fn people(guest: Guest, Query(query): Query<PeopleQuery>) -> Html<String> {
    let Guest { web, session } = guest;
    let catalog = (web.state.catalog)();
    let next = local_path(&query.next);
    let groups_of = |person| {
        let groups = catalog.groups.iter().filter(|(_, group)| group.members.contains(person));
        groups.map(|(name, _)| name.to_string()).collect::<Vec<_>>().join(", ")
    };
    let choose = |account: &Account, name: &str, what: &str| -> Markup {
        let chosen = session.speaker.as_ref() == Some(&account.id);
        html! {
            li {
                form method="post" action="/people" {
                    input type="hidden" name="token" value=(web.sessions.form_token(&session));
                    input type="hidden" name="next" value=(next);
                    input type="hidden" name="speaker" value=(account.id);
                    button type="submit" aria-pressed=(chosen.to_string()) { (visible(name)) }
                    " " span.small { (visible(what)) @if chosen { " · this browser, now" } }
                }
            }
        }
    };
    if web.state.speaking == Speaking::Elsewhere {
        return plain_page(&web, "Who looks?", &readers(&web, &catalog, &session, next));
    }
    let of_trial = |account: &&Account| account.platform == PLATFORM && account.workspace == WORKSPACE;
    let main = html! {
        h1 { "Who speaks in this browser?" }
        @if let Some((asker, approver)) = guide::two_people(&catalog) {
            p { "New here? Come in as " b { (visible(asker.as_str())) } ", who asks. In a private window, come in as "
                b { (visible(approver.as_str())) } ", who agrees." }
        }
        p.small { "One person may speak as several in a trial, and the ledger says so." }
        ul.people {
            @for person in catalog.people.values() {
                @for account in person.accounts.iter().filter(of_trial) {
                    (choose(account, person.name.as_str(), &groups_of(&person.name)))
                }
            }
            @if catalog.person_of(&local_account("zed")).is_none() {
                (choose(&local_account("zed"), "zed", "a stranger to the catalog"))
            }
        }
        form.sheet method="post" action="/people" {
            input type="hidden" name="token" value=(web.sessions.form_token(&session));
            input type="hidden" name="next" value=(next);
            label for="speaker" { "Another account of the trial" }
            input #speaker name="speaker" required maxlength="128" autocomplete="off" autocapitalize="none" spellcheck="false";
            button type="submit" { "Speak as this account" }
        }
        form method="post" action="/leave" {
            input type="hidden" name="token" value=(web.sessions.form_token(&session));
            p { button type="submit" { "Leave" } " " span.small { "This browser forgets the key." } }
        }
        @if !catalog.rooms.values().any(|room| is_local(&room.address)) {
            p { "The catalog declares no room of this server: `rooms.yaml` wants one like `local:trial:system-a`." }
        }
    };
    plain_page(&web, "Who speaks?", &main)
}

/// Through whose eyes one may look, where people speak in a chat workspace.
fn readers(web: &Shared, catalog: &Catalog, session: &Session, next: &str) -> Markup {
    html! {
        h1 { "Through whose eyes?" }
        p { "People speak and decide in their chat, as themselves. These pages show, and do nothing. \
             Whoever has the key runs this bot, and may look as anybody." }
        ul.people {
            @for person in catalog.people.keys() {
                li {
                    form method="post" action="/people" {
                        input type="hidden" name="token" value=(web.sessions.form_token(session));
                        input type="hidden" name="next" value=(next);
                        input type="hidden" name="speaker" value=(person.as_str());
                        @let chosen = session.speaker.as_deref() == Some(person.as_str());
                        button type="submit" aria-pressed=(chosen.to_string()) { (visible(person.as_str())) }
                        " " span.small { "sees what they may see" @if chosen { " · this browser, now" } }
                    }
                }
            }
        }
        form method="post" action="/leave" {
            input type="hidden" name="token" value=(web.sessions.form_token(session));
            p { button type="submit" { "Leave" } " " span.small { "This browser forgets the key." } }
        }
    }
}

async fn speak_as(State(web): State<Shared>, request: Request) -> Result<Response, Response> {
    let (Guest { web, mut session }, fields) = form(request, &web).await?;
    let speaker = fields.get("speaker").trim();
    if !is_name(speaker) || speaker.contains(':') {
        let sentence = "An account is 1 to 128 characters without spaces and colons.";
        return Err(Wrong::new(StatusCode::BAD_REQUEST, sentence).into_response());
    }
    session.speaker = Some(speaker.to_owned());
    let mut response = to(local_path(fields.get("next")));
    if let Ok(kept) = web.sessions.keep(&session).parse() {
        response.headers_mut().insert(header::SET_COOKIE, kept);
    }
    Ok(response)
}

//! The trial's strip: what one may do to the trial's world, to try to cheat.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::post;
use maud::{Markup, html};

use super::super::{Shared, Trial};
use super::room::{back_with_answer, say};
use super::visitor::{Sent, Visitor, is_local, local_path, once, to};
use super::{Wrong, plain_page};
use crate::model::chat::{Addressed, Said};
use crate::model::id::{MessageId, ServiceName};
use crate::text::visible::visible;

/// How long the answer that says so has to leave before the process dies.
const LAST_WORDS: Duration = Duration::from_millis(300);

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/trial/break", post(break_service))
        .route("/trial/kill", post(kill))
        .route("/trial/runbook", post(edit_runbook))
        .route("/trial/approve", post(approve_own))
}

/// The strip under every page of a trial.
pub(super) fn strip(visitor: &Visitor, _title: &str) -> Markup {
    let Some(trial) = &visitor.web.state.trial else { return html! {} };
    let title_of = |service: &ServiceName| {
        visitor.catalog.service(service).map_or_else(|| service.to_string(), |(_, service)| service.title.clone())
    };
    let form = |action: &str, inside: Markup| {
        // What kills the bot opens a page that waits for it; everything else answers where one is.
        html! { form method="post" action={ "/trial/" (action) } data-swap[action != "kill"] { (visitor.form_fields()) (inside) } }
    };
    html! {
        footer.strip {
            details #strip {
                summary { "Try to cheat: this is a trial" }
                div.buttons {
                    @for service in &trial.services {
                        (form("break", html! {
                            input type="hidden" name="service" value=(service.as_str());
                            button type="submit" { "Break " (visible(&title_of(service))) }
                        }))
                    }
                    (form("kill", html! { button type="submit" { "Kill the bot" } }))
                    (form("runbook", html! { button type="submit" { "Edit the runbook" } }))
                    (form("approve", html! { button type="submit" { "Approve my own request" } }))
                }
            }
        }
    }
}

fn trial(visitor: &Visitor) -> Result<&Trial, Wrong> {
    visitor.web.state.trial.as_ref().ok_or_else(|| Wrong::nothing("trial"))
}

/// A page with one sentence that says what came of it.
fn came_of_it(visitor: &Visitor, outcome: &Result<String, String>) -> Response {
    let sentence = outcome.as_ref().unwrap_or_else(|why| why);
    let main = html! {
        h1 { @if outcome.is_ok() { "Done" } @else { "Not done" } }
        p data-sentence { (visible(sentence)) }
        p { a href=(visitor.here) { "Back" } }
    };
    plain_page(&visitor.web, "Trial", &main).into_response()
}

async fn break_service(Sent { visitor, fields }: Sent) -> Result<Response, Wrong> {
    let trial = trial(&visitor)?;
    let service = ServiceName::new(fields.name("service")?);
    if !trial.services.contains(&service) {
        return Err(Wrong::nothing("service"));
    }
    let outcome = (trial.break_service)(service).await;
    Ok(came_of_it(&visitor, &outcome))
}

async fn edit_runbook(Sent { visitor, .. }: Sent) -> Result<Response, Wrong> {
    let edit = Arc::clone(&trial(&visitor)?.edit_runbook);
    let outcome = tokio::task::spawn_blocking(move || edit()).await.map_err(|error| Wrong::failed(&error))?;
    Ok(came_of_it(&visitor, &outcome))
}

async fn kill(Sent { visitor, .. }: Sent) -> Result<Html<String>, Wrong> {
    let kill = Arc::clone(&trial(&visitor)?.kill);
    tokio::spawn(async move {
        tokio::time::sleep(LAST_WORDS).await;
        kill();
    });
    let main = html! {
        h1 { "Killed" }
        p data-sentence { "The bot's process gets SIGKILL now, in the middle of whatever it does. With " code { "script/up" }
            " it starts again within seconds, and goes on where it was." }
        p #back-when-there data-when-there=(local_path(&visitor.here)) role="status" { "Waiting for it." }
        p { a href=(local_path(&visitor.here)) { "Open the page again" } }
    };
    Ok(plain_page(&visitor.web, "Killed", &main))
}

/// Says `approve` to the reader's own newest request, so that one sees what comes of that.
async fn approve_own(Sent { visitor, .. }: Sent) -> Result<Response, Wrong> {
    trial(&visitor)?;
    let waiting = visitor.web.state.store.list_waiting().await?;
    let own = waiting.into_iter().rev().find(|(request, _)| {
        is_local(&request.room) && visitor.person.as_ref().is_some_and(|person| request.requesters.contains(person))
    });
    let Some((request, _)) = own else {
        let why = "You have no request that waits. Ask for something first, such as `start service b`.";
        return Ok(came_of_it(&visitor, &Err(why.to_owned())));
    };
    let message = MessageId::new(once()?);
    let what = Said::Line { message, text: format!("approve {}", request.code), address: Addressed::ToRoom };
    let line = say(&visitor.web, &visitor.account, request.room, request.thread, what).await?;
    Ok(to(&back_with_answer(&visitor.here, line)))
}

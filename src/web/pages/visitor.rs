//! Who looks at a page: a browser that came in, the person whom it speaks as, and what they may see.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Form, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};

use super::super::rooms::is_name;
use super::super::session::Session;
use super::super::{BODY_WITHIN, Shared, Speaking};
use super::{Wrong, enter};
use crate::chat::room::{LocalRoom, PLATFORM, WORKSPACE};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{Catalog, System};
use crate::model::chat::{Account, RoomAddress};
use crate::model::id::{OutboxId, PersonId, Position, SystemName};
use crate::store::Mark;
use crate::text::visible::visible;

/// A browser that came in.
pub(super) struct Guest {
    pub(super) web: Shared,
    pub(super) session: Session,
}

/// A browser that came in and speaks as somebody.
pub(super) struct Visitor {
    pub(super) web: Shared,
    pub(super) session: Session,
    /// The catalog that the whole page is made with.
    pub(super) catalog: Arc<Catalog>,
    pub(super) account: Account,
    /// Nobody's account is `None`: it can be asked who it is, and nothing else (I9).
    pub(super) person: Option<PersonId>,
    /// How far the ledger had come before anything was read for the page: what comes later is told to it.
    pub(super) mark: Mark,
    /// The page's own address, for forms that come back to it.
    pub(super) here: String,
}

/// A form of this session's pages, as sent.
pub(super) struct Sent {
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

/// The fields of a form.
pub(super) struct Fields(BTreeMap<String, String>);

/// The account of a speaker of the trial.
pub(super) fn local_account(id: &str) -> Account {
    Account { platform: PLATFORM.to_owned(), workspace: WORKSPACE.to_owned(), id: id.to_owned() }
}

/// An address of this server's pages, or `/`.
pub(super) fn local_path(path: &str) -> &str {
    let plain = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    if plain && !path.chars().any(char::is_control) { path } else { "/" }
}

/// Percent-encoded so that it can stand as one value of an address.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl FromRequestParts<Shared> for Guest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Response> {
        let here = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let here = if parts.method == Method::GET { here } else { "/" };
        match web.sessions.read(&parts.headers, web.state.store.clock().now()) {
            Some(session) => Ok(Self { web: web.clone(), session }),
            None => Err((StatusCode::UNAUTHORIZED, enter::outside(web, here)).into_response()),
        }
    }
}

impl FromRequestParts<Shared> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, web: &Shared) -> Result<Self, Response> {
        let Guest { web, session } = Guest::from_request_parts(parts, web).await?;
        let here = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let mark = web.state.store.live_mark().await.map_err(|error| Wrong::from(error).into_response())?;
        Self::of(web, session, mark, here.clone())
            .ok_or_else(|| Redirect::to(&format!("/people?next={}", encoded(&here))).into_response())
    }
}

impl FromRequest<Shared> for Sent {
    type Rejection = Response;

    async fn from_request(request: Request, web: &Shared) -> Result<Self, Response> {
        let (Guest { web, session }, fields) = form(request, web).await?;
        if web.state.speaking == Speaking::Elsewhere {
            let sentence = "Nobody speaks or decides on these pages: people do, in their chat, as themselves.";
            return Err(Wrong::new(StatusCode::FORBIDDEN, sentence).into_response());
        }
        let here = local_path(fields.get("back")).to_owned();
        let mark = Mark { position: Position(0), message: OutboxId(0) };
        let visitor = Visitor::of(web, session, mark, here).ok_or_else(|| Redirect::to("/people").into_response())?;
        Ok(Self { visitor, fields })
    }
}

/// Reads a form within bounds of size and time, and makes sure that it is one of this session's.
pub(super) async fn form(request: Request, web: &Shared) -> Result<(Guest, Fields), Response> {
    let (mut parts, body) = request.into_parts();
    let guest = Guest::from_request_parts(&mut parts, web).await?;
    let fields = fields(Request::from_parts(parts, body)).await?;
    if !guest.web.sessions.is_form_token(&guest.session, fields.get("token")) {
        return Err(Wrong::new(
            StatusCode::FORBIDDEN,
            "That form is not one of this browser's pages. Open the page again and send it from there.",
        )
        .into_response());
    }
    Ok((guest, fields))
}

/// Reads a form's fields, within bounds of size and time.
pub(super) async fn fields(request: Request) -> Result<Fields, Response> {
    match tokio::time::timeout(BODY_WITHIN, Form::<BTreeMap<String, String>>::from_request(request, &())).await {
        Ok(Ok(Form(fields))) => Ok(Fields(fields)),
        Ok(Err(_)) => Err(Wrong::new(StatusCode::BAD_REQUEST, "That is not a form of these pages.").into_response()),
        Err(_) => Err(Wrong::new(StatusCode::REQUEST_TIMEOUT, "The form did not arrive in time.").into_response()),
    }
}

impl Fields {
    /// A field's text; empty if it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A field that names something.
    pub(super) fn name(&self, name: &str) -> Result<&str, Wrong> {
        let value = self.get(name);
        let wrong = || Wrong::new(StatusCode::BAD_REQUEST, "That form lacks something. Open the page again.");
        if is_name(value) { Ok(value) } else { Err(wrong()) }
    }
}

impl Visitor {
    fn of(web: Shared, session: Session, mark: Mark, here: String) -> Option<Self> {
        let account = local_account(session.speaker.as_deref()?);
        let catalog = (web.state.catalog)();
        let person = match web.state.speaking {
            Speaking::Here => catalog.person_of(&account),
            // Whose eyes the reader looks through: it decides what is shown, and nothing else.
            Speaking::Elsewhere => catalog.people.get(&PersonId::new(account.id.clone())),
        };
        let person = person.map(|person| person.name.clone());
        Some(Self { web, session, catalog, account, person, mark, here })
    }

    /// The name under which the reader is spoken to.
    pub(super) fn shown(&self) -> String {
        visible(self.person.as_ref().map_or(self.account.id.as_str(), PersonId::as_str))
    }

    /// Whether the reader may see a system.
    pub(super) fn sees(&self, system: &SystemName) -> bool {
        self.catalog.systems.get(system).is_some_and(|system| self.sees_system(system))
    }

    fn sees_system(&self, system: &System) -> bool {
        self.person.as_ref().is_some_and(|person| allowed(&self.catalog, person, Verb::See, system))
    }

    /// The systems that the reader may see.
    pub(super) fn systems(&self) -> impl Iterator<Item = &System> {
        self.catalog.systems.values().filter(|system| self.sees_system(system))
    }

    /// Whether the reader may read a room: all the systems that are talked about there.
    pub(super) fn sees_room(&self, address: &RoomAddress) -> bool {
        let Some(room) = self.catalog.room_at(address) else { return false };
        let mut systems = self.catalog.systems.values().filter(|system| system.room == room.name);
        self.person.is_some() && systems.all(|system| self.sees_system(system))
    }

    /// The declared rooms of this server that the reader may read, each with its name in addresses.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &RoomAddress> {
        let addresses = self.catalog.rooms.values().map(|room| &room.address);
        addresses.filter(|address| is_local(address) && self.sees_room(address))
    }

    /// A room of this server by its name in addresses, if the catalog declares it.
    pub(super) fn room(&self, channel: &str) -> Result<RoomAddress, Wrong> {
        let address = LocalRoom::address(channel);
        if self.catalog.room_at(&address).is_some() { Ok(address) } else { Err(Wrong::nothing("room")) }
    }

    /// The environments of the systems of a room, in the order of their names.
    pub(super) fn environments_of(&self, address: &RoomAddress) -> Vec<String> {
        let room = self.catalog.room_at(address).map(|room| &room.name);
        let of_room = self.catalog.systems.values().filter(|system| Some(&system.room) == room);
        sorted(of_room.map(|system| system.environment.clone()))
    }

    /// The environments of everything that the reader may see.
    pub(super) fn environments(&self) -> Vec<String> {
        sorted(self.systems().map(|system| system.environment.clone()))
    }

    /// The field that makes a form one of this session's, and the one that leads back to the page that it stands on.
    pub(super) fn form_fields(&self) -> Markup {
        html! {
            input type="hidden" name="token" value=(self.web.sessions.form_token(&self.session));
            input type="hidden" name="back" value=(self.here);
        }
    }
}

/// Whether a room is this server's own.
pub(super) fn is_local(address: &RoomAddress) -> bool {
    address.platform == PLATFORM && address.workspace == WORKSPACE
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// A name that nobody else makes: a form sent twice says the same thing twice, and acts once (I6).
pub(super) fn once() -> Result<String, Wrong> {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).map_err(|error| Wrong::failed(&error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Where a form leads: a page of this server.
pub(super) fn to(path: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_back_to_this_server_and_nowhere_else() {
        for right in ["/", "/runs/12?said=3", "/rooms/system-a#end"] {
            assert_eq!(local_path(right), right);
        }
        for wrong in ["", "//evil.example", "http://evil.example", "/\\evil.example", "/a\r\nSet-Cookie: x", "evil"] {
            assert_eq!(local_path(wrong), "/", "{wrong}");
        }
    }

    #[test]
    fn what_stands_in_an_address_stays_one_value() {
        assert_eq!(encoded("/runs/1?a=b&c#d é"), "%2Fruns%2F1%3Fa%3Db%26c%23d%20%C3%A9");
    }
}

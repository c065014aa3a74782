//! How a request is shown: all of its text, its buttons, and who hears of it where. What does not live here: putting it into a
//! room (`commands::ask`, and `echo` for those who are asked later).

use chrono::{DateTime, Utc};

use super::turn::Turn;
use super::{App, InUse};
use crate::approval;
use crate::chat::sender::split;
use crate::model::catalog::{Ask, Person};
use crate::model::chat::{Account, Button, Message, RoomAddress};
use crate::model::code::Code;
use crate::model::id::{PersonId, RequestId, TriggerName};
use crate::model::plan::Plan;
use crate::model::request::RequestState;
use crate::store::{DIRECT, NewMessage, Origin, Place, Request, Result, Tx};
use crate::text;
use crate::text::plan::{RequestText, Told};

/// A request that is about to be shown.
pub(super) struct Showing<'a> {
    pub(super) plan: &'a Plan,
    pub(super) request: &'a Request,
    /// Who asks, by name.
    pub(super) requester: &'a PersonId,
    /// The trigger, if one asks.
    pub(super) trigger: Option<&'a TriggerName>,
    /// Who is asked.
    pub(super) asked: &'a [PersonId],
    /// What is said of what came before, each a line.
    pub(super) notes: &'a [String],
}

/// All of it: the decision first, every step after, never cut.
pub(super) async fn whole(app: &App, in_use: &InUse, tx: &mut Tx, showing: &Showing<'_>) -> Result<String> {
    let Showing { plan, request, requester, trigger, asked, notes } = *showing;
    let earlier = tx.earlier_runs(request.digest).await?;
    let next = approval::standing(tx, &in_use.catalog, request).await?.and_then(|standing| standing.next);
    Ok(text::plan::request(&RequestText {
        told: Told {
            plan,
            run: request.run,
            wanted: &request.wanted,
            requester,
            trigger,
            earlier: earlier.told(),
            notes,
            expires_at: request.expires_at,
            now: tx.now(),
            times: app.times,
        },
        digest: request.digest,
        code: &request.code,
        asked,
        next: next.as_ref(),
        unseen: &app.unseen(&in_use.catalog, &Turn::approvers(plan, stage(request))),
    }))
}

/// How those who are asked hear of it: who is mentioned in the room, and the rooms of those who are asked directly.
pub(super) fn ways(
    app: &App,
    in_use: &InUse,
    room: &RoomAddress,
    asked: &[PersonId],
) -> (Vec<PersonId>, Vec<RoomAddress>) {
    let mut mentioned = Vec::new();
    let mut directly = Vec::new();
    for person in asked {
        let known = in_use.catalog.people.get(person);
        let ask = known.map_or(Ask::Thread, |person| person.ask);
        let direct = match ask {
            Ask::Thread => None,
            Ask::Direct | Ask::Both => known.and_then(|person| direct(app, room, person)),
        };
        // Where there are no direct messages, the room is all there is.
        if direct.is_none() || ask == Ask::Both {
            mentioned.push(person.clone());
        }
        directly.extend(direct);
    }
    (mentioned, directly)
}

/// Where somebody is spoken to alone: by their first account in the room's workspace, or else by the first that can be.
fn direct(app: &App, room: &RoomAddress, person: &Person) -> Option<RoomAddress> {
    let here = |account: &&Account| account.platform == room.platform && account.workspace == room.workspace;
    let (near, far): (Vec<_>, Vec<_>) = person.accounts.iter().partition(here);
    near.into_iter().chain(far).find_map(|account| app.direct(account))
}

/// A request as messages of a room: its buttons stand under the last line of the plan, not before it.
pub(super) fn parts(app: &App, room: &RoomAddress, whole: &str, code: Code) -> Vec<Message> {
    let limits = app.limits(room);
    let mut parts: Vec<Message> = split(whole, limits.text).into_iter().map(Message::to_room).collect();
    if let Some(last) = parts.last_mut()
        && limits.buttons >= 2
    {
        last.buttons = vec![
            Button { label: "approve".to_owned(), command: format!("approve {code}") },
            Button { label: "deny".to_owned(), command: format!("deny {code}") },
        ];
    }
    parts
}

/// The same in direct messages: with where it is asked. Each room counts its parts for itself, from 0.
pub(super) fn copies(
    app: &App,
    in_use: &InUse,
    request: &Request,
    whole: &str,
    rooms: Vec<RoomAddress>,
    origin: Origin,
) -> Vec<NewMessage> {
    let asked_in = in_use.catalog.room_at(&request.room);
    let asked_in = asked_in.map_or_else(|| request.room.to_string(), |room| room.name.to_string());
    let whole = format!("{whole}\n{}", text::plan::shown_directly(&asked_in));
    let mut copies = Vec::new();
    for room in rooms {
        for (part, message) in (0..).zip(parts(app, &room, &whole, request.code)) {
            copies.push(NewMessage {
                room: room.clone(),
                place: Place::Room,
                origin,
                part,
                cause: None,
                role: Some((subject(request.id), DIRECT)),
                edits: false,
                message,
            });
        }
    }
    copies
}

/// What a request asks for, in a list: with its time, if it is for later.
pub(super) fn deed(app: &App, now: DateTime<Utc>, plan: &Plan, request: &Request) -> String {
    let deed = text::plan::asked_deed(plan, request.run, &request.wanted);
    match text::later::at(plan, &request.wanted, &app.times, now) {
        Some(at) => format!("{deed} · at {at}"),
        None => deed,
    }
}

/// What a request is called in the table of messages.
pub(super) fn subject(request: RequestId) -> String {
    format!("request:{request}")
}

/// The stage that waits; the first, if none does.
pub(super) fn stage(request: &Request) -> u32 {
    match request.state {
        RequestState::Pending { stage } => stage,
        _ => 0,
    }
}

//! What rooms read of a change of who may do what.

use crate::approval;
use crate::flow::App;
use crate::flow::commands::who;
use crate::flow::turn::accounts;
use crate::model::chat::{Message, RoomAddress};
use crate::model::event::{Event, Happened};
use crate::model::id::{AccessId, PersonId, Position};
use crate::store::{NewMessage, Origin, Place, StoreError, access_subject};
use crate::text;

/// One event, told in the room of `access:`; in every room where nobody is named.
pub(super) async fn tell(
    app: &App,
    event: &Event,
    position: Position,
    what: &Happened,
) -> Result<Vec<NewMessage>, StoreError> {
    let place = event.hash.map(|hash| text::echo::head(position, hash)).unwrap_or_default();
    let (text, ping, shows) = match what {
        Happened::AccessTaken { waits: false, changes, .. } => (text::access::taken(changes), Vec::new(), None),
        Happened::AccessProposed { access, code, changes, held, changed_by, expires_at, .. } => {
            let until = app.times.until(*expires_at, app.store.clock().now());
            let of = asked(app, *access).await?;
            let in_use = app.in_use();
            let who = who(&in_use.catalog, &of);
            let text = text::access::proposed(*code, &until, changes, held, changed_by, &who);
            (text, of.may.iter().cloned().collect(), Some(*access))
        }
        Happened::AccessCountersigned { code, by, changes, .. } => {
            (text::access::countersigned(*code, by, changes, &place), Vec::new(), None)
        }
        Happened::AccessAccepted { code, operator, why, changes, .. } => {
            (text::access::accepted(*code, operator, why, changes, &place), Vec::new(), None)
        }
        Happened::AccessRefused { code, by, why, .. } => (text::access::refused(*code, by, why), Vec::new(), None),
        Happened::AccessExpired { code, .. } => (text::access::expired(*code), Vec::new(), None),
        Happened::AccessSuperseded { code, .. } => (text::access::superseded(*code), Vec::new(), None),
        _ => return Ok(Vec::new()),
    };
    let said = rooms(app).into_iter().flat_map(|room| parts(app, &room, event, position, &text, &ping, shows));
    Ok(said.collect())
}

/// Who may countersign a version that waits; nobody if it does not wait any more.
async fn asked(app: &App, access: AccessId) -> Result<approval::Countersigners, StoreError> {
    let Some((current, waiting)) = approval::access_standing(&app.store).await? else { return Ok(Default::default()) };
    let waiting = waiting.filter(|waiting| waiting.id == access);
    let catalog = app.in_use().catalog.clone();
    Ok(waiting.map(|waiting| approval::countersigners(&current.access, &waiting, &catalog)).unwrap_or_default())
}

fn rooms(app: &App) -> Vec<RoomAddress> {
    let catalog = app.in_use().catalog.clone();
    let named = catalog.access.as_ref().and_then(|access| catalog.rooms.get(&access.room));
    match named {
        Some(room) => vec![room.address.clone()],
        None => catalog.rooms.values().map(|room| room.address.clone()).collect(),
    }
}

/// The messages of one room. The last bears what it shows: once it stands, all before it do.
fn parts(
    app: &App,
    room: &RoomAddress,
    event: &Event,
    position: Position,
    text: &str,
    ping: &[PersonId],
    shows: Option<AccessId>,
) -> Vec<NewMessage> {
    let parts = crate::chat::sender::split(text, app.limits(room).text);
    let last = parts.len().saturating_sub(1);
    let part = |(number, text): (usize, String)| {
        let mut message = Message::to_room(text);
        if number == 0 {
            message.ping = accounts(&app.in_use().catalog, ping, room);
        }
        NewMessage {
            room: room.clone(),
            place: Place::Room,
            origin: Origin::Event(position),
            part: i32::try_from(number).unwrap_or(i32::MAX),
            cause: event.cause,
            role: shows.filter(|_| number == last).map(|access| (access_subject(access), "proposed")),
            edits: false,
            message,
        }
    };
    parts.into_iter().enumerate().map(part).collect()
}

//! What was posted stays true: messages that showed a request say how it ended, and a run's first message how it stands.
//!
//! What lives here: which messages are changed by which event, on platforms where buttons stay until their message is
//! changed. What does not: the words (`text::life`), and the messages that tell of the same in the run's thread.
//!
//! Keeps I5: a change is a message like any other, made from a place in the ledger and unique by it. It waits for the
//! message that it changes.

use crate::approval;
use crate::chat::Used;
use crate::flow::App;
use crate::model::approval::Because;
use crate::model::chat::Message;
use crate::model::event::{Event, Happened};
use crate::model::id::{Position, RequestId};
use crate::model::plan::Plan;
use crate::store::{NewMessage, Origin, Place, Run, Shown, ShownAs, StoreError};
use crate::text;

/// The first of the numbers by which changes are told from what else is said of the same event in the same room. No message
/// is cut into so many parts.
const PARTS_FROM: i32 = 10_000;

/// Whether a run's agreement was asked for, and so was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Began {
    /// Somebody was asked.
    Asked,
    /// By itself: its first message is the one that tells its steps.
    ByItself,
}

/// The changes that an event makes to what was posted of its run. Without a plan nothing of it is repeated.
pub(super) async fn tell(
    app: &App,
    run: &Run,
    plan: Option<&Plan>,
    began: Began,
    event: &Event,
    position: Position,
    what: &Happened,
) -> Result<Vec<NewMessage>, StoreError> {
    let stays = |shown: &Shown| match app.limits(&shown.room).used {
        Used::Hidden => None,
        Used::Stay { edited } => Some(edited),
    };
    let ended = text::life::ended(what);
    let anywhere = app.adapters.iter().any(|adapter| adapter.limits().used != Used::Hidden);
    if !anywhere || (ended.is_none() && !moves(what)) || plan.is_some_and(|plan| !plan.privileged()) {
        return Ok(Vec::new());
    }
    let shown = app.store.list_shown(run.id).await?;
    if shown.is_empty() {
        return Ok(Vec::new());
    }
    let now = app.store.clock().now();
    let events = app.store.list_run_events(run.id, position).await?;
    let of_run = text::life::run(plan, &events, &app.times, now);
    let of_request = text::life::request(what, &events, event.at, &app.times, now);
    let mut told = Vec::new();
    for (index, message) in shown.iter().enumerate() {
        let Some(most) = stays(message) else { continue };
        let line = match role(&shown[..index], message, began) {
            // With the state in front there is no more to press: a request that waits has none.
            Role::First => of_run.as_deref(),
            Role::Pressed if ended == Some(message.request) => of_request.as_deref(),
            Role::Pressed | Role::Part => None,
        };
        let Some(line) = line else { continue };
        let whole = text::life::with_state(line, &message.message.text, most);
        if whole.is_none() && message.message.buttons.is_empty() {
            continue;
        }
        // A plan is never cut: if the state does not fit in front of it, only the buttons go.
        let text = whole.unwrap_or_else(|| message.message.text.clone());
        told.push(NewMessage {
            room: message.room.clone(),
            place: Place::Instead(message.id),
            origin: Origin::Event(position),
            part: i32::try_from(index).map_or(i32::MAX, |index| PARTS_FROM.saturating_add(index)),
            cause: event.cause,
            role: None,
            edits: true,
            // Nobody has to act on it any more: it pings nobody.
            message: Message::to_room(text),
        });
    }
    Ok(told)
}

/// The request whose waking an event tells of: who is asked, who looks and who comes next may have changed.
pub(super) fn woke(what: &Happened) -> Option<RequestId> {
    match what {
        Happened::PeopleAsked { request, .. }
        | Happened::RequestReminded { request, .. }
        | Happened::RequestRung { request, .. }
        | Happened::RingFailed { request, .. }
        | Happened::RequestLookedAt { request, .. } => Some(*request),
        _ => None,
    }
}

/// The change of the line at the foot of a request that waits: who is asked now, and who is next. One message is changed and
/// pings nobody.
pub(super) async fn foot(
    app: &App,
    run: &Run,
    plan: &Plan,
    request: RequestId,
    event: &Event,
    position: Position,
) -> Result<Vec<NewMessage>, StoreError> {
    let stays = |shown: &Shown| match app.limits(&shown.room).used {
        Used::Hidden => None,
        Used::Stay { edited } => Some(edited),
    };
    let anywhere = app.adapters.iter().any(|adapter| adapter.limits().used != Used::Hidden);
    // With the request itself its foot was said.
    let begins = matches!(event.record.as_ref().map(|record| &record.what), Some(Happened::PeopleAsked { stage: 0, people, .. })
        if people.is_empty() || people.iter().any(|asked| asked.because == Because::Stage));
    if !anywhere || begins {
        return Ok(Vec::new());
    }
    let Some(request) = app.store.find_request(request).await? else { return Ok(Vec::new()) };
    let in_use = app.in_use();
    let mut tx = app.store.begin().await?;
    let standing = approval::standing(&mut tx, &in_use.catalog, &request).await?;
    drop(tx);
    let Some(standing) = standing else { return Ok(Vec::new()) };
    let now = app.store.clock().now();
    let approval::Standing { asked, looking, next } = &standing;
    let foot = text::waking::Foot { asked, looking: looking.as_ref(), next: next.as_ref() };
    let foot = text::waking::foot(&foot, &app.times, now);
    let shown = app.store.list_shown(run.id).await?;
    let mut told = Vec::new();
    for (index, message) in shown.iter().enumerate().filter(|(_, message)| message.request == request.id) {
        let Some(most) = stays(message) else { continue };
        let Some(text) = text::plan::with_foot(&message.message.text, plan, request.digest, run.id, &foot) else {
            continue;
        };
        if text == message.message.text || text.chars().count() > most {
            continue;
        }
        told.push(NewMessage {
            room: message.room.clone(),
            place: Place::Instead(message.id),
            origin: Origin::Event(position),
            part: i32::try_from(index).map_or(i32::MAX, |index| PARTS_FROM.saturating_add(index)),
            cause: event.cause,
            role: None,
            edits: true,
            message: Message { ping: Vec::new(), text, ..message.message.clone() },
        });
    }
    Ok(told)
}

/// What a message that shows a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Says how the run stands: where it begins in its room, and where somebody was asked directly.
    First,
    /// Says how its request ended.
    Pressed,
    /// Part of a plan.
    Part,
}

fn role(before: &[Shown], message: &Shown, began: Began) -> Role {
    let has_buttons = !message.message.buttons.is_empty();
    let of_start = !message.retries && began == Began::Asked;
    let first = match message.shown_as {
        ShownAs::Root => true,
        // Asked in a thread, the run has no message of its own in the room: its first part is its first message.
        ShownAs::Part => !before.iter().any(|earlier| earlier.request == message.request && is_public(earlier)),
        ShownAs::Direct => has_buttons,
    };
    match (of_start && first, has_buttons) {
        (true, _) => Role::First,
        (false, true) => Role::Pressed,
        (false, false) => Role::Part,
    }
}

fn is_public(message: &Shown) -> bool {
    match message.shown_as {
        ShownAs::Root | ShownAs::Part => true,
        ShownAs::Direct => false,
    }
}

/// Whether an event changes how a run stands.
fn moves(what: &Happened) -> bool {
    matches!(
        what,
        Happened::RunSucceeded { .. }
            | Happened::RunFailed { .. }
            | Happened::LaterRefused { .. }
            | Happened::RunStuck { .. }
            | Happened::RunStopping { .. }
            | Happened::RunStopped { .. }
            | Happened::AttemptJudged { .. }
            | Happened::AttemptSkipped { .. }
    )
}

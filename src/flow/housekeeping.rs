//! What happens by itself: requests expire, who cannot be reached directly is called in the room, dead predecessors are buried, the clock is compared.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::App;
use super::turn::accounts;
use crate::approval::{self, End, Ending};
use crate::engine::bury_the_dead;
use crate::metrics::beats::{Loop, beat};
use crate::model::catalog::{Ask, Subject};
use crate::model::chat::{Account, Message, RoomAddress};
use crate::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use crate::model::id::{OutboxId, RequestId};
use crate::store::{NewMessage, Origin, Place, ReviewState, StoreError, Topic, WorkerId};
use crate::text;

/// How often at least everything is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// How often the database's clock is compared with ours.
const CLOCK_EVERY: u32 = 60;

/// How often a room is told of the same overdue review.
const TOLD_AGAIN: chrono::TimeDelta = chrono::TimeDelta::days(1);
/// How long a direct message may be on its way before the room is told.
const REACHED_WITHIN: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// Keeps house until told to stop.
pub async fn housekeeping(app: Arc<App>, me: WorkerId, mut stop: watch::Receiver<bool>) {
    let mut requests = app.store.hub().listen(Topic::Requests);
    let mut rounds = 0_u32;
    loop {
        beat(Loop::Housekeeping);
        if *stop.borrow() {
            return;
        }
        let wait = match round(&app, me, rounds).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(error = %text::chain(&error), "housekeeping has to wait");
                EVERY
            }
        };
        rounds = rounds.wrapping_add(1);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            // A new request may expire sooner than what was waited for.
            () = requests.wait(EVERY) => {}
            _ = stop.changed() => {}
        }
    }
}

async fn expire(app: &App, request: RequestId) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    approval::end(&mut tx, End { request, ending: Ending::Expired, line: None }).await?;
    tx.commit().await
}

/// Writes down that a review is overdue: the room is told from the ledger.
async fn tell_overdue(app: &App, request: RequestId) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    let Some(review) = tx.lock_review(request).await? else { return Ok(()) };
    if review.state == ReviewState::Done || tx.now() < review.due_at {
        return Ok(());
    }
    let (Some(run), Some(request)) = (tx.find_run(review.run).await?, tx.find_request(request).await?) else {
        return Ok(());
    };
    let version = tx.set_review_overdue(&review).await?;
    let scope = run.scope();
    let (id, code, due_at) = (request.id, request.code, review.due_at);
    let what = Happened::ReviewOverdue { request: id, code, run: run.id, due_at };
    let rows = vec![RowMark::review(id, "overdue", version)];
    tx.record(NewEvent { scope, cause: None, record: Record { what, rows } });
    tx.commit().await
}

/// Asks those who could not be seen when their stage began.
async fn ask_late(app: &App) -> Result<(), StoreError> {
    let waiting = app.store.begin().await?.list_asking_unseen().await?;
    for (request, groups) in waiting {
        let subjects: Vec<Subject> = groups.iter().cloned().map(Subject::Group).collect();
        if app.in_use().catalog.unseen(&subjects).len() == groups.len() {
            continue;
        }
        let mut tx = app.store.begin().await?;
        match approval::ask_late(&mut tx, &app.in_use().catalog, request).await {
            Ok(true) => tx.commit().await?,
            Ok(false) => {}
            Err(error) => {
                tracing::error!(error = %text::chain(&error), %request, "nobody could be asked for a request");
            }
        }
    }
    Ok(())
}

/// Tells in the room whom a request could not reach by direct message: otherwise nobody would decide.
async fn tell_undelivered(
    app: &App,
    message: OutboxId,
    direct: &RoomAddress,
    request: RequestId,
) -> Result<(), StoreError> {
    let Some(request) = app.store.find_request(request).await? else { return Ok(()) };
    let in_use = app.in_use();
    let account =
        Account { platform: direct.platform.clone(), workspace: direct.workspace.clone(), id: direct.channel.clone() };
    let person = in_use.catalog.person_of(&account);
    let name = person.map_or_else(|| account.to_string(), |person| person.name.to_string());
    let mut said = Message::to_room(text::answer::undelivered(&name, &request.code));
    // Who wanted both was mentioned when it was asked.
    if let Some(person) = person.filter(|person| person.ask != Ask::Both) {
        said.ping = accounts(&in_use.catalog, std::slice::from_ref(&person.name), &request.room);
    }
    let mut tx = app.store.begin().await?;
    tx.say(NewMessage {
        room: request.room.clone(),
        place: request.thread.map_or_else(|| Place::ThreadOf(crate::store::subject(request.run)), Place::Thread),
        origin: Origin::Undelivered(message),
        part: 0,
        cause: None,
        role: None,
        edits: false,
        message: said,
    });
    tx.commit().await
}

/// One round; returns how long the next can wait.
async fn round(app: &App, me: WorkerId, rounds: u32) -> Result<Duration, StoreError> {
    for request in app.store.list_expired_requests().await? {
        // Each alone: one that cannot be read must not keep the others waiting.
        if let Err(error) = expire(app, request).await {
            tracing::error!(error = %text::chain(&error), %request, "a request could not be ended");
        }
    }
    super::later::clear_all(app).await?;
    let told_before = app.store.clock().now() - TOLD_AGAIN;
    for request in app.store.list_reviews_to_tell(told_before).await? {
        if let Err(error) = tell_overdue(app, request).await {
            tracing::error!(error = %text::chain(&error), %request, "an overdue review could not be told");
        }
    }
    ask_late(app).await?;
    let before = app.store.clock().now() - REACHED_WITHIN;
    for (message, direct, request) in app.store.list_undelivered(before).await? {
        if let Err(error) = tell_undelivered(app, message, &direct, request).await {
            tracing::error!(error = %text::chain(&error), %request, "a room could not be told who was not reached");
        }
    }
    if rounds.is_multiple_of(5) {
        bury_the_dead(&app.store, me).await?;
    }
    if rounds % CLOCK_EVERY == CLOCK_EVERY - 1
        && let Some(millis) = app.store.check_clock(me).await?
    {
        tracing::warn!(millis, "the database's clock jumped");
        let record = Record { what: Happened::ClockJumped { millis }, rows: Vec::new() };
        app.store.record(&[NewEvent { scope: Scope::default(), cause: None, record }]).await?;
    }
    if rounds.is_multiple_of(10) {
        app.store.forget_links().await?;
    }
    let next = [app.store.next_expiry().await?, app.store.next_to_clear().await?].into_iter().flatten().min();
    let next = next.map_or(EVERY, |at| app.store.clock().until(at));
    Ok(next.clamp(Duration::from_millis(10), EVERY))
}

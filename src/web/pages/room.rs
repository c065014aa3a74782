//! The rooms: a conversation, and beside it the facts of what is talked about.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use tokio::time::Instant;

use super::super::rooms::{MOST_TEXT, may_see};
use super::super::{Shared, receive_whole};
use super::guide::{self, Standing};
use super::parts::{at, clock, lines, told};
use super::run::{self, Extent, Sheet, plan_of};
use super::visitor::{Sent, Visitor, encoded, local_path, once, to};
use super::{Page, Tab, Waiting, Wrong, incidents, requests, show};
use crate::model::allowed::{Verb, allowed};
use crate::model::chat::{Account, Addressed, Button, Incoming, RoomAddress, Said};
use crate::model::code::Code;
use crate::model::id::{InboxId, MessageId, OutboxId, RunId, ThreadId};
use crate::model::plan::Telling;
use crate::store::{Conversation, Entry, LineEntry, MessageEntry, Older, Topic};
use crate::text::visible::visible;

/// Entries of a conversation on a page.
const ENTRIES: i64 = 40;

/// For how long a form waits for the answer to what it said. What comes later, comes live or with the next look.
const ANSWER_WITHIN: Duration = Duration::from_secs(4);

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/", get(rooms))
        .route("/rooms/{room}", get(room_page))
        .route("/rooms/{room}/lines", post(take_line))
        .route("/rooms/{room}/presses", post(take_press))
}

/// All rooms; with only one, that one.
async fn rooms(visitor: Visitor) -> Result<Response, Wrong> {
    let rooms: Vec<RoomAddress> = visitor.rooms().cloned().collect();
    if let [only] = rooms.as_slice() {
        return Ok(to(&format!("/rooms/{}", encoded(&only.channel))));
    }
    if visitor.person.is_none()
        && let Some(room) = visitor.catalog.rooms.values().find(|room| super::visitor::is_local(&room.address))
    {
        return Ok(to(&format!("/rooms/{}", encoded(&room.address.channel))));
    }
    let main = html! {
        h1 { "Rooms" }
        ul.runs {
            @for room in &rooms {
                li { a href={ "/rooms/" (encoded(&room.channel)) } { (room.channel) } " "
                    span.small { (visitor.environments_of(room).join(", ")) } }
            }
        }
        @if rooms.is_empty() { p { "There is no room here that you may read." } }
    };
    let environments = visitor.environments();
    let page =
        Page { title: "Rooms".to_owned(), tab: Tab::Rooms, environments, main, aside: None, waiting: Waiting::Short };
    show(&visitor, page).await
}

#[derive(Debug, Deserialize)]
struct RoomQuery {
    thread: Option<String>,
    /// `LINE.MESSAGE`: what stands before both.
    before: Option<String>,
}

fn read_before(text: &str) -> Option<Older> {
    let (line, message) = text.split_once('.')?;
    Some(Older { line: InboxId(line.parse().ok()?), message: OutboxId(message.parse().ok()?) })
}

async fn room_page(
    visitor: Visitor,
    Path(channel): Path<String>,
    Query(query): Query<RoomQuery>,
) -> Result<Response, Wrong> {
    let room = visitor.room(&channel)?;
    if visitor.person.is_some() && !visitor.sees_room(&room) {
        return Err(Wrong::nothing("room"));
    }
    let store = &visitor.web.state.store;
    let before = query.before.as_deref().and_then(read_before);
    let thread = query.thread.map(ThreadId::new);
    let Conversation { mut entries, older } = match &thread {
        Some(thread) => {
            let root = thread.as_str().strip_prefix('m').and_then(|id| id.parse().ok()).map(OutboxId);
            Conversation { entries: store.list_thread(&room, thread, root, 4 * ENTRIES).await?, older: None }
        }
        None => store.list_conversation(&room, before.unwrap_or(Older::NEWEST), ENTRIES).await?,
    };
    if visitor.person.is_none() {
        keep_own(&visitor, &mut entries);
    }
    let waiting = requests::mine(&visitor).await?;
    let standing = Standing::of(&visitor, &room).await?;
    let at_hand: HashSet<RunId> = waiting.values().copied().collect();
    let here = format!("/rooms/{}", encoded(&room.channel));
    let talk = Talk { visitor: &visitor, room: &room, here: &here, waiting, thread: thread.as_ref() };
    let main = html! {
        h1.hear { "Room " (channel) @if thread.is_some() { ", one thread" } }
        @if thread.is_some() || before.is_some() {
            p.small { a href=(here) { "The whole room, newest first" } @if thread.is_some() { " · one thread" } }
        }
        (talk.show(&entries, older)?)
        @if visitor.person.is_none() {
            p.note { (crate::text::answer::unknown_person(&visitor.account)) " You read your own lines here, and what they were answered." }
        }
        @if thread.is_none() && visitor.person.is_some() { (standing.buttons(&visitor, &room)?) }
        (talk.composer()?)
    };
    let aside = if visitor.person.is_some() { Some(facts(&visitor, &room, &standing, &at_hand).await?) } else { None };
    let page = Page {
        title: format!("Room {channel}"),
        tab: Tab::Rooms,
        environments: if visitor.person.is_some() { visitor.environments_of(&room) } else { Vec::new() },
        main,
        aside,
        waiting: Waiting::Whole,
    };
    show(&visitor, page).await
}

/// Leaves somebody whom the catalog does not know their own lines, and the answers to them.
fn keep_own(visitor: &Visitor, entries: &mut Vec<Entry>) {
    let own: HashSet<InboxId> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Line(line) if line.account == visitor.account => Some(line.id),
            Entry::Line(_) | Entry::Message(_) => None,
        })
        .collect();
    entries.retain(|entry| match entry {
        Entry::Line(line) => own.contains(&line.id),
        Entry::Message(message) => message.cause.is_some_and(|cause| own.contains(&cause)),
    });
}

/// A conversation as one reader sees it.
struct Talk<'a> {
    visitor: &'a Visitor,
    room: &'a RoomAddress,
    here: &'a str,
    /// The codes of requests that wait for the reader: their buttons are worth pressing.
    waiting: HashMap<Code, RunId>,
    thread: Option<&'a ThreadId>,
}

impl Talk<'_> {
    fn show(&self, entries: &[Entry], older: Option<Older>) -> Result<Markup, Wrong> {
        let times = &self.visitor.web.state.times;
        let (mut day, mut thread) = (String::new(), None::<String>);
        let mut shown = Vec::new();
        for entry in entries {
            if let Entry::Message(message) = entry
                && !may_see(&self.visitor.account, message.message.only_to.as_ref())
            {
                continue;
            }
            let today = times.day(entry.at());
            if today != day {
                shown.push(html! { li.day id={ "day-" (encoded(&today)) } { (today) } });
                day = today;
            }
            // The root of a thread is in the thread as well: what follows it needs no label.
            let own = match entry {
                Entry::Message(message) if message.thread.is_none() => Some(message.name.to_string()),
                Entry::Message(_) | Entry::Line(_) => None,
            };
            let in_thread = entry.thread().map(ToString::to_string);
            let label = in_thread.as_ref().filter(|name| self.thread.is_none() && Some(*name) != thread.as_ref());
            shown.push(match entry {
                Entry::Line(line) => self.line(line, label.map(String::as_str)),
                Entry::Message(message) => self.message(message, label.map(String::as_str))?,
            });
            thread = in_thread.or(own);
        }
        Ok(html! {
            div.talk tabindex="0" role="region" aria-label="Conversation" {
                ol #talk role="log" aria-live="polite" aria-label="Conversation" {
                    @if let Some(older) = older {
                        li.older #older { a href={ (self.here) "?before=" (older.line) "." (older.message) } { "Earlier" } }
                    }
                    @if shown.is_empty() { li.older #nothing { "Nothing has been said here yet. Try " code { "help" } "." } }
                    @for entry in shown { (entry) }
                }
            }
        })
    }

    fn label(&self, thread: Option<&str>, run: Option<RunId>) -> Markup {
        html! {
            @if let Some(thread) = thread {
                a.thread href={ (self.here) "?thread=" (encoded(thread)) } {
                    "in the thread" @if let Some(run) = run { " of run " (run) }
                } " "
            }
        }
    }

    fn line(&self, line: &LineEntry, label: Option<&str>) -> Markup {
        let name = line.person.as_ref().map_or_else(|| format!("{} (not known)", line.account.id), ToString::to_string);
        let pressed = line.key.starts_with("press:");
        html! {
            li.line id={ "l" (line.id) } data-in[line.thread.is_some()] data-own[line.account == self.visitor.account] {
                (clock(self.visitor, line.at))
                div {
                    (self.label(label, None))
                    b { (visible(&name)) } " "
                    @match &line.edited {
                        None if pressed => span.said { "pressed " code { (lines(&line.text)) } },
                        None => span.said { (lines(&line.text)) },
                        Some(Some(text)) => { span.said { (lines(text)) } " " span.small { "changed since; before: " s { (lines(&line.text)) } } },
                        Some(None) => { s.said { (lines(&line.text)) } " " span.small { "deleted since" } },
                    }
                }
            }
        }
    }

    fn message(&self, message: &MessageEntry, label: Option<&str>) -> Result<Markup, Wrong> {
        let private = message.message.only_to.is_some();
        Ok(html! {
            li.bot id=(message.name) data-in[message.thread.is_some()] {
                (clock(self.visitor, message.at))
                div {
                    (self.label(label, message.run))
                    b.hear { "countersign" } " "
                    @if private { span.small { "to you alone" } }
                    (told(&message.message.text, message.message.link.as_deref()))
                    (self.buttons(message)?)
                    @if message.run.is_some() || message.changed_at.is_some() {
                        p.small.of {
                            @if let Some(run) = message.run { a href={ "/runs/" (run) } { "run " (run) } " " }
                            @if message.thread.is_none() && self.thread.is_none() && message.run.is_some() {
                                a href={ (self.here) "?thread=" (message.name) } { "thread" } " "
                            }
                            @if let (Some(_), Some(changed)) = (message.run, message.changed_at) { span { "changed " (at(self.visitor, changed)) } }
                        }
                    }
                }
            }
        })
    }

    /// The buttons of a message, while pressing them may still do something.
    fn buttons(&self, message: &MessageEntry) -> Result<Markup, Wrong> {
        let worth = |button: &&Button| {
            let code = button.command.split_whitespace().find_map(|word| word.parse::<Code>().ok());
            code.is_none_or(|code| self.waiting.contains_key(&code))
        };
        let buttons: Vec<&Button> = message.message.buttons.iter().filter(worth).collect();
        if buttons.is_empty() || self.visitor.person.is_none() {
            return Ok(html! {});
        }
        let mut forms = Vec::new();
        for button in buttons {
            forms.push(html! {
                form method="post" action={ (self.here) "/presses" } data-swap {
                    (self.visitor.form_fields())
                    input type="hidden" name="interaction" value=(once()?);
                    input type="hidden" name="message" value=(message.name);
                    input type="hidden" name="thread" value=(message.thread.as_ref().map_or(message.name.as_str(), ThreadId::as_str));
                    input type="hidden" name="command" value=(button.command);
                    button type="submit" title={ "says " (button.command) } { (visible(&button.label)) span.hear { " (" (button.command) ")" } }
                }
            });
        }
        Ok(html! { div.buttons { @for form in forms { (form) } } })
    }

    fn composer(&self) -> Result<Markup, Wrong> {
        Ok(html! {
            form.say #composer method="post" action={ (self.here) "/lines" } data-swap data-clear {
                (self.visitor.form_fields())
                input type="hidden" name="id" value=(once()?);
                @if let Some(thread) = self.thread { input type="hidden" name="thread" value=(thread.as_str()); }
                label for="say" { "Say something or a command, as " (self.visitor.shown())
                    @if self.thread.is_some() { ", in this thread" } " in " (self.room.channel) }
                input #say name="text" required maxlength=(MOST_TEXT) autocomplete="off" autocapitalize="none" enterkeyhint="send";
                button type="submit" { "Send" }
            }
        })
    }
}

/// What stands beside a conversation: what is not resolved, the newest run, unless its request waits at hand, the ones before it, and what one
/// may say.
async fn facts(
    visitor: &Visitor,
    room: &RoomAddress,
    standing: &Standing,
    at_hand: &HashSet<RunId>,
) -> Result<Markup, Wrong> {
    let runs = visitor.web.state.store.list_newest_runs(Some(room), RunId(i64::MAX), 8).await?;
    // Questions answer themselves in the room.
    let is_deed = |telling: Telling| telling == Telling::Steps;
    let newest = runs.iter().find(|run| plan_of(run).is_some_and(|plan| is_deed(plan.telling)));
    let sheet = match newest {
        Some(run) if at_hand.contains(&run.id) => None,
        Some(run) => Some(Sheet::of(visitor, run.clone()).await?.show(visitor, Extent::Brief)?),
        None => None,
    };
    let mut phrases: Vec<String> = Vec::new();
    if let Some(person) = &visitor.person {
        let may = |verb| visitor.catalog.systems.values().any(|system| allowed(&visitor.catalog, person, verb, system));
        let first = visitor.systems().flat_map(|system| system.services.keys()).next();
        if may(Verb::See)
            && let Some(service) = first
        {
            phrases.push(format!("is {service} running"));
        }
        if may(Verb::Run) {
            let says = visitor.catalog.runbooks.values().filter_map(|runbook| runbook.say.first());
            phrases.extend(says.map(|phrase| phrase.text.clone()));
        }
    }
    Ok(html! {
        @if !standing.open.is_empty() {
            h2 { "Not resolved" }
            (incidents::list(visitor, &standing.open, "open"))
        }
        (guide::first_steps(visitor, runs.is_empty()))
        @if let Some(sheet) = sheet { h2 { "The newest run" } (sheet) }
        @if runs.len() > 1 { details #runs { summary { "Newest runs" } (run::list(visitor, &runs)) } }
        @if !phrases.is_empty() {
            details #phrases {
                summary { "What one may say" }
                ul.phrases { @for phrase in phrases { li { code { (visible(&phrase)) } } } }
                p.small { code { "help" } " tells all of it." }
            }
        }
    })
}

async fn take_line(Path(channel): Path<String>, sent: Sent) -> Result<Response, Wrong> {
    let Sent { visitor, fields } = sent;
    let room = visitor.room(&channel)?;
    let text = checked(fields.get("text"))?;
    let thread = match fields.get("thread") {
        "" => None,
        _ => Some(ThreadId::new(fields.name("thread")?)),
    };
    let message = MessageId::new(fields.name("id")?);
    if !text.is_empty() {
        let what = Said::Line { message, text, address: Addressed::ToRoom };
        say(&visitor.web, &visitor.account, room, thread, what).await?;
    }
    Ok(to(local_path(fields.get("back"))))
}

async fn take_press(Path(channel): Path<String>, sent: Sent) -> Result<Response, Wrong> {
    let Sent { visitor, fields } = sent;
    let room = visitor.room(&channel)?;
    let mut command = checked(fields.get("command"))?;
    let reason = checked(fields.get("reason"))?;
    if !reason.is_empty() {
        command = checked(&format!("{command} because {reason}"))?;
    }
    let thread = match fields.get("thread") {
        "" => None,
        _ => Some(ThreadId::new(fields.name("thread")?)),
    };
    let interaction = fields.name("interaction")?.to_owned();
    let what = Said::Press { interaction, message: MessageId::new(fields.name("message")?), command, signed: None };
    let line = say(&visitor.web, &visitor.account, room, thread, what).await?;
    Ok(to(&back_with_answer(fields.get("back"), line)))
}

/// The page that a form stands on, told which line's answer to show. In a room the answer stands in the conversation.
pub(super) fn back_with_answer(back: &str, line: InboxId) -> String {
    let back = local_path(back);
    if back.starts_with("/rooms/") {
        return back.to_owned();
    }
    let (path, query) = back.split_once('?').unwrap_or((back, ""));
    let rest = query.split('&').filter(|field| !field.is_empty() && !field.starts_with("said="));
    let fields: Vec<String> = rest.map(str::to_owned).chain([format!("said={line}")]).collect();
    format!("{path}?{}", fields.join("&"))
}

/// A text that may be said: one line, bounded, without what no line can hold.
fn checked(text: &str) -> Result<String, Wrong> {
    let text = text.trim();
    if text.chars().count() > MOST_TEXT {
        let sentence = format!("A line has at most {MOST_TEXT} characters. Say it in several.");
        return Err(Wrong::new(StatusCode::BAD_REQUEST, sentence));
    }
    if text.contains('\0') {
        return Err(Wrong::new(StatusCode::BAD_REQUEST, "A line cannot hold the character NUL."));
    }
    Ok(text.to_owned())
}

/// Says something for an account, and waits a moment for what is answered.
pub(super) async fn say(
    web: &Shared,
    account: &Account,
    room: RoomAddress,
    thread: Option<ThreadId>,
    what: Said,
) -> Result<InboxId, Wrong> {
    let said_at = web.state.store.clock().now();
    let incoming = Incoming { room, thread, account: account.clone(), said_at, what, trace: None };
    let mut settled = web.state.store.hub().listen(Topic::Settled);
    let received = receive_whole(&web.state.inbound, incoming).await.map_err(|error| Wrong::failed(&error))?;
    let until = Instant::now() + ANSWER_WITHIN;
    while Instant::now() < until {
        match web.state.store.cause_status(received.line).await? {
            Some(status) if !status.told => settled.wait(Duration::from_millis(100)).await,
            Some(_) | None => break,
        }
    }
    Ok(received.line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_comes_back_to_its_page_with_one_answer() {
        let back = |path: &str| back_with_answer(path, InboxId(7));
        assert_eq!(back("/runs/12"), "/runs/12?said=7");
        assert_eq!(back("/runs/12?said=3&x=1"), "/runs/12?x=1&said=7");
        assert_eq!(back("/rooms/system-a?thread=m5"), "/rooms/system-a?thread=m5");
        assert_eq!(back("//evil.example"), "/?said=7");
    }

    #[test]
    fn a_place_in_a_conversation_is_two_numbers() {
        assert_eq!(read_before("3.5"), Some(Older { line: InboxId(3), message: OutboxId(5) }));
        for wrong in ["", "3", "3.", "a.b", "3.5.7"] {
            assert_eq!(read_before(wrong), None, "{wrong}");
        }
    }
}

//! One turn of a conversation: something was said; it is answered in the transaction of its effect.

use std::sync::Arc;

use super::{App, InUse};
use crate::approval;
use crate::chat::sender::{MOST_MESSAGES, split};
use crate::chat::{Limits, Long};
use crate::model::catalog::{Catalog, Person, Subject, System};
use crate::model::chat::{Account, Addressed, AsFile, Incoming, Message, RoomAddress, Said};
use crate::model::id::{InboxId, PersonId, ThreadId};
use crate::model::plan::{Plan, Sealed};
use crate::model::request::RequestState;
use crate::store::{IncidentPlace, LineOutcome, Request, Run, StoreError, Tx};
use crate::text;

/// A turn under way.
pub(super) struct Turn<'a> {
    pub(super) app: &'a App,
    pub(super) in_use: Arc<InUse>,
    pub(super) tx: Tx,
    pub(super) incoming: &'a Incoming,
    pub(super) line: InboxId,
    pub(super) person: PersonId,
    /// The incident whose channel this is; `None`: it is no such channel.
    pub(super) own: Option<IncidentPlace>,
    pub(super) outcome: LineOutcome,
    pub(super) answered: Answered,
    /// The room that will tell what comes of the line, if that is another than the line's.
    pub(super) told_in: Option<RoomAddress>,
}

/// Where a line is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answered {
    pub(super) room: RoomAddress,
    pub(super) thread: Option<ThreadId>,
}

impl Answered {
    /// Where it was said. In a channel that the catalog does not know a slash command may come from where the bot cannot
    /// speak: that is answered to whoever gave it, alone.
    pub(super) fn to(app: &App, catalog: &Catalog, incoming: &Incoming, own: Option<&IncidentPlace>) -> Self {
        let slash = matches!(incoming.what, Said::Line { address: Addressed::Slash, .. });
        let direct = if slash && own.is_none() && !is_known(catalog, &incoming.room) {
            app.direct(&incoming.account)
        } else {
            None
        };
        match direct {
            Some(room) => Self { room, thread: None },
            None => Self { room: incoming.room.clone(), thread: incoming.thread.clone() },
        }
    }
}

/// Whether only the bot and the speaker read a line and its answer. Nowhere but in direct messages does the bot put buttons
/// outside of the catalog's rooms.
fn is_private(catalog: &Catalog, incoming: &Incoming) -> bool {
    let alone = match incoming.what {
        Said::Line { address: Addressed::Direct | Addressed::Slash, .. } | Said::Press { .. } => true,
        Said::Line { address: Addressed::ToRoom | Addressed::Mention, .. } | Said::Edit { .. } => false,
    };
    alone && !is_known(catalog, &incoming.room)
}

/// Whether a room is one where people work together, so that what is asked there is seen by those whom it concerns.
pub(super) fn is_known(catalog: &Catalog, room: &RoomAddress) -> bool {
    catalog.room_at(room).is_some()
}

impl Turn<'_> {
    pub(super) fn catalog(&self) -> &Catalog {
        &self.in_use.catalog
    }

    pub(super) fn room(&self) -> &RoomAddress {
        &self.incoming.room
    }

    /// The systems that are talked about where the line was said.
    pub(super) fn systems_here(&self) -> Vec<System> {
        let catalog = self.catalog();
        match &self.own {
            Some(own) => catalog.systems.get(&own.system).cloned().into_iter().collect(),
            None if self.is_private() => catalog.systems.values().cloned().collect(),
            None => {
                let Some(room) = catalog.room_at(self.room()) else { return Vec::new() };
                catalog.systems.values().filter(|system| system.room == room.name).cloned().collect()
            }
        }
    }

    pub(super) fn thread(&self) -> Option<&ThreadId> {
        self.incoming.thread.as_ref()
    }

    /// Whether only the speaker reads the answer. Then all rooms are spoken of, as far as the speaker may see them.
    pub(super) fn is_private(&self) -> bool {
        self.own.is_none() && is_private(self.catalog(), self.incoming)
    }

    /// The rooms that a line is about: the one in which it was said, and for one that was said to the bot alone all others
    /// too.
    pub(super) fn rooms(&self) -> Vec<RoomAddress> {
        let mut rooms = vec![self.room().clone()];
        if self.is_private() {
            rooms.extend(self.catalog().rooms.values().map(|room| room.address.clone()));
            // What was asked by a slash command was answered there.
            rooms.extend(self.app.direct(&self.incoming.account));
        }
        rooms
    }

    /// Notes in which room it is told what comes of the line.
    pub(super) fn acts_in(&mut self, room: &RoomAddress) {
        // In its own channel an incident is talked about where people are.
        if room != self.room() && self.own.is_none() {
            self.told_in = Some(room.clone());
        }
    }

    /// A room as people call it.
    pub(super) fn name_of(&self, room: &RoomAddress) -> String {
        self.catalog().room_at(room).map_or_else(|| room.to_string(), |room| room.name.to_string())
    }

    /// Answers the line. Long answers become several messages.
    pub(super) fn answer(&mut self, text: impl Into<String>) {
        let text = text.into();
        for part in split(&text, self.app.limits(&self.answered.room).text) {
            let Answered { room, thread } = self.answered.clone();
            self.tx.answer(self.line, &room, thread.as_ref(), Message::to_room(part));
        }
    }

    /// Says a list where the line was said: a very long one as its beginning and a file, where there are files. Never a plan.
    pub(super) fn answer_list(&mut self, name: &str, text: impl Into<String>) {
        for message in listed(name, text.into(), self.app.limits(&self.answered.room)) {
            let Answered { room, thread } = self.answered.clone();
            self.tx.answer(self.line, &room, thread.as_ref(), message);
        }
    }

    /// Refuses, with a sentence that says what to do instead.
    pub(super) fn refuse(&mut self, text: impl Into<String>) {
        self.outcome = LineOutcome::Refused;
        self.answer(text);
    }

    /// Refuses for want of a right that these subjects have; says so when nobody knows just now who is among them.
    pub(super) fn refuse_right<'s>(&mut self, sentence: String, subjects: impl IntoIterator<Item = &'s Subject>) {
        let subjects: Vec<&Subject> = subjects.into_iter().collect();
        let unseen = self.app.unseen(&self.in_use.catalog, subjects);
        self.refuse(sentence + &unseen);
    }

    /// Refuses so that only the speaker sees it.
    pub(super) fn refuse_privately(&mut self, text: impl Into<String>) {
        self.outcome = LineOutcome::Refused;
        let message = Message::only_to(self.incoming.account.clone(), text);
        let Answered { room, thread } = self.answered.clone();
        self.tx.answer(self.line, &room, thread.as_ref(), message);
    }

    /// Refuses so that only the speaker sees it, with the address of a page that is theirs alone. The ledger keeps the
    /// sentence without it.
    pub(super) fn refuse_with_link(&mut self, text: impl Into<String>, link: String) {
        self.outcome = LineOutcome::Refused;
        self.tx.keep_out(&link);
        let message = Message { link: Some(link), ..Message::only_to(self.incoming.account.clone(), text) };
        let Answered { room, thread } = self.answered.clone();
        self.tx.answer(self.line, &room, thread.as_ref(), message);
    }

    /// Who could answer a request now; nobody if it does not wait.
    pub(super) async fn asked_now(&mut self, request: &Request) -> Result<Vec<PersonId>, StoreError> {
        if !matches!(request.state, RequestState::Pending { .. }) {
            return Ok(Vec::new());
        }
        let in_use = self.in_use.clone();
        approval::who_could_answer(&mut self.tx, &in_use.catalog, request).await
    }

    /// Whoever the frozen policy of a plan asks in a stage.
    pub(super) fn approvers(plan: &Plan, stage: u32) -> Vec<Subject> {
        let stages = plan.policy.as_ref().map(|policy| policy.stages.as_slice()).unwrap_or_default();
        let stage = usize::try_from(stage).ok().and_then(|stage| stages.get(stage));
        stage.map(|stage| stage.approvers.clone()).unwrap_or_default()
    }

    /// The system of a run as the catalog has it now.
    pub(super) fn system_of(&self, run: &Run) -> Option<&System> {
        self.catalog().systems.get(&run.system)
    }
}

/// The accounts of people on the platform of a room: whom a message there may ping.
pub(super) fn accounts(catalog: &Catalog, people: &[PersonId], room: &RoomAddress) -> Vec<Account> {
    people
        .iter()
        .filter_map(|person| catalog.people.get(person))
        .flat_map(|person: &Person| &person.accounts)
        .filter(|account| account.platform == room.platform && account.workspace == room.workspace)
        .cloned()
        .collect()
}

/// The plan of a run, read from its stored bytes.
pub(super) fn plan_of(run: &Run) -> Result<Plan, StoreError> {
    Sealed::from_stored(run.plan.clone())
        .open()
        .map_err(|error| StoreError::Refused(format!("run {}: {error}", run.id)))
}

/// A list as messages.
pub(super) fn listed(name: &str, text: String, limits: Limits) -> Vec<Message> {
    let parts = split(&text, limits.text);
    if limits.long == Long::File && parts.len() > MOST_MESSAGES {
        let file = AsFile { name: name.to_owned(), note: text::answer::whole_in_file() };
        return vec![Message { file: Some(file), ..Message::to_room(text) }];
    }
    parts.into_iter().map(Message::to_room).collect()
}

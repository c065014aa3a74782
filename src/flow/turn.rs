//! One turn of a conversation: something was said; it is answered in the transaction of its effect.

use std::sync::Arc;

use super::{App, InUse};
use crate::model::allowed::asked;
use crate::model::catalog::{Catalog, Person, Subject, System};
use crate::model::chat::{Incoming, Message, RoomAddress};
use crate::model::id::{InboxId, PersonId, ThreadId};
use crate::model::plan::{Plan, Sealed};
use crate::store::{IncidentPlace, LineOutcome, Run, StoreError, Tx};

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
            None => {
                let Some(room) = catalog.room_at(self.room()) else { return Vec::new() };
                catalog.systems.values().filter(|system| system.room == room.name).cloned().collect()
            }
        }
    }

    pub(super) fn thread(&self) -> Option<&ThreadId> {
        self.incoming.thread.as_ref()
    }

    /// Says something where the line was said. Long answers become several messages.
    pub(super) fn answer(&mut self, text: impl Into<String>) {
        let text = text.into();
        for part in crate::chat::sender::split(&text, self.app.limits(self.room()).text) {
            let (room, thread) = (self.incoming.room.clone(), self.incoming.thread.clone());
            self.tx.answer(self.line, &room, thread.as_ref(), Message::to_room(part));
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
        let (room, thread) = (self.incoming.room.clone(), self.incoming.thread.clone());
        self.tx.answer(self.line, &room, thread.as_ref(), message);
    }

    /// The people who are asked in a stage of a plan's policy, without those who asked for it.
    pub(super) fn asked(&self, plan: &Plan, stage: u32, requesters: &[PersonId]) -> Vec<PersonId> {
        asked(self.catalog(), plan, stage, requesters)
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
pub(super) fn accounts(catalog: &Catalog, people: &[PersonId], room: &RoomAddress) -> Vec<crate::model::chat::Account> {
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

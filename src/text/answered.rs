//! Who answered a request and how, in words, from the ledger's events: in whose name, and who had said no.

use std::collections::BTreeMap;

use super::echo::sentence;
use super::plan::{and, answerer};
use super::visible::visible;
use crate::model::event::{Event, Happened};
use crate::model::id::{PersonId, RequestId};
use crate::model::request::Answer;

/// In which stage, and who.
type Key<'a> = (u32, &'a PersonId);

/// The answers to one request that stand.
#[derive(Debug, Default)]
pub struct Answered<'a> {
    /// With the one in whose name.
    agreed: BTreeMap<Key<'a>, Option<&'a PersonId>>,
    /// With the one in whose name, and why.
    denied: BTreeMap<Key<'a>, (Option<&'a PersonId>, Option<&'a str>)>,
}

impl<'a> Answered<'a> {
    /// Those that these events tell of.
    pub fn of(events: &'a [Event], request: RequestId) -> Self {
        let mut all = Self::default();
        for what in events.iter().filter_map(|event| Some(&event.record.as_ref()?.what)) {
            match what {
                Happened::Decided { request: of, stage, person, answer, reason, on_behalf_of, .. }
                    if *of == request =>
                {
                    match answer {
                        Answer::Approve => _ = all.agreed.insert((*stage, person), on_behalf_of.as_ref()),
                        Answer::Deny => {
                            _ = all.denied.insert((*stage, person), (on_behalf_of.as_ref(), reason.as_deref()))
                        }
                    }
                }
                Happened::DecisionTakenBack { request: of, stage, person, .. } if *of == request => {
                    all.agreed.remove(&(*stage, person));
                    all.denied.remove(&(*stage, person));
                }
                _ => {}
            }
        }
        all
    }

    /// Those who agreed and count, each with the one for whom they did: `ann (for kim) and lin`.
    pub fn by(&self, by: &[PersonId]) -> String {
        let holder =
            |person: &PersonId| self.agreed.iter().find(|((_, one), _)| *one == person).and_then(|(_, it)| *it);
        let name = |person: &PersonId| answerer(person, holder(person));
        and(&by.iter().map(name).collect::<Vec<_>>())
    }

    /// Who had said no, and why: a sentence for each, with a space before it. Nothing if nobody had.
    pub fn against(&self) -> String {
        let said = |((_, person), (holder, why)): (&Key<'_>, &(Option<&PersonId>, Option<&str>))| {
            let why = why.map(|why| format!(": {}", sentence(&visible(why)))).unwrap_or_default();
            format!(" {} had said no{why}.", answerer(person, *holder))
        };
        self.denied.iter().map(said).collect()
    }
}

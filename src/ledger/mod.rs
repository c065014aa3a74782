//! The ledger: what happened, in one order, so that nobody can change it unnoticed.
//!
//! What lives here: the chain's arithmetic ([`chain`]), the one worker that gives events their places ([`sequencer`]), the
//! first event ([`genesis`]), the keys that grants are signed with ([`keys`]), verification ([`mod@verify`], [`report`]), who
//! did what ([`mod@segregation`]), who could do what at a moment ([`access_at`]) and export ([`mod@export`]). What does not: the shape of
//! events (`model::event`), their SQL (`store`), and telling them to people (`flow`). Keeps I5 (one order without gaps)
//! and I11 (any change up to the newest head that somebody else kept is found).

mod access;
pub mod chain;
pub mod export;
pub mod genesis;
pub mod keys;
mod replay;
pub mod report;
pub mod segregation;
pub mod sequencer;
pub mod verify;

pub use access::access_at;
pub use export::export;
pub use genesis::{Genesis, Trial, begun, open};
pub use report::{Finding, Head, HeadError, Report, parse_head};
pub use segregation::{Segregation, segregation};
pub use verify::verify;

use crate::model::id::EventId;
use crate::store::StoreError;

/// What can go wrong with the ledger. What verification finds is not an error but a [`Finding`].
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database refused, or a row could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A trial was to start on a ledger of record.
    #[error(
        "this ledger was not begun as a trial, so nobody may speak as others in it: give the trial another database, or start without the trial"
    )]
    NotATrial,
    /// A real start was to use a trial's ledger.
    #[error(
        "this ledger was begun as a trial, in which one person may speak as several: it cannot become a ledger of record, give another database"
    )]
    IsATrial,
    /// The first event is something else, or its body is gone.
    #[error(
        "the first event of this ledger is `{kind}` and does not say how the ledger was begun: `audit verify` tells more"
    )]
    NoGenesis {
        /// The kind of the first event.
        kind: String,
    },
    /// The event that would say who could do what cannot be read: its words were erased, or are of another version.
    #[error("event {event} (`{kind}`) says who could do what then, and its words cannot be read")]
    Unreadable {
        /// Which.
        event: EventId,
        /// Its kind.
        kind: String,
    },
    /// Another worker gives events their places.
    #[error("another worker holds the sequencer's lease: it gives the events their places")]
    HeldElsewhere,
    /// Whoever takes the export did not take a line.
    #[error("a line of the export could not be written")]
    Write(#[source] std::io::Error),
}

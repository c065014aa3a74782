//! The ledger's first event: how it was begun, and that it stays so.
//!
//! What lives here: beginning a ledger, and refusing to mix a trial's with one of record. What does not: what a trial may
//! do (`flow`). A trial lets one person speak as several; its record must never pass for a real one.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use super::LedgerError;
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::store::{Store, StoreError};

/// Whether a ledger is a trial's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// One person may speak as several.
    Yes,
    /// Everybody speaks for themselves.
    No,
}

/// How a ledger was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genesis {
    /// Whether it is a trial's.
    pub trial: Trial,
    /// Its random name, 32 hexadecimal characters.
    pub ledger: String,
    /// When it was begun.
    pub at: DateTime<Utc>,
}

/// Begins the ledger if it has no event, and otherwise reads how it was begun. Two processes at once begin one ledger.
///
/// # Errors
/// [`LedgerError::NotATrial`] or [`LedgerError::IsATrial`] when it was begun as the other; [`LedgerError::NoGenesis`] when
/// the first event does not say; and when the database refuses.
pub async fn open(store: &Store, trial: Trial) -> Result<Genesis, LedgerError> {
    if store.first_event().await?.is_none() {
        let what = Happened::LedgerCreated { trial: trial == Trial::Yes, ledger: random_name()? };
        let record = Record { what, rows: Vec::new() };
        // Whether this one or another process's becomes the first is seen below.
        store.insert_first_event(NewEvent { scope: Scope::default(), cause: None, record }).await?;
    }
    let none = || LedgerError::NoGenesis { kind: "missing".to_owned() };
    let first = store.first_event().await?.ok_or_else(none)?;
    let Some(Record { what: Happened::LedgerCreated { trial: begun, ledger }, .. }) = first.record else {
        return Err(LedgerError::NoGenesis { kind: first.kind });
    };
    let begun = if begun { Trial::Yes } else { Trial::No };
    match (begun, trial) {
        (Trial::Yes, Trial::Yes) | (Trial::No, Trial::No) => Ok(Genesis { trial: begun, ledger, at: first.at }),
        (Trial::Yes, Trial::No) => Err(LedgerError::IsATrial),
        (Trial::No, Trial::Yes) => Err(LedgerError::NotATrial),
    }
}

/// How a ledger was begun; `None`: it was not. Changes nothing.
///
/// # Errors
/// When the database refuses, or the first event does not say.
pub async fn begun(store: &Store) -> Result<Option<Trial>, LedgerError> {
    let Some(first) = store.first_event().await? else { return Ok(None) };
    match first.record {
        Some(Record { what: Happened::LedgerCreated { trial: true, .. }, .. }) => Ok(Some(Trial::Yes)),
        Some(Record { what: Happened::LedgerCreated { trial: false, .. }, .. }) => Ok(Some(Trial::No)),
        Some(_) | None => Err(LedgerError::NoGenesis { kind: first.kind }),
    }
}

fn random_name() -> Result<String, LedgerError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(StoreError::from)?;
    let mut name = String::with_capacity(32);
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}

//! Who could do what at a moment, from the ledger alone: not from the catalog's files, nor from the rows that are in force.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::LedgerError;
use crate::model::access::{Access, Seen, Then};
use crate::model::chat::UserGroup;
use crate::model::event::{Event, Happened};
use crate::model::id::RunbookName;
use crate::store::Store;

/// Kinds of events that put a version in force, each with the whole of it.
const IN_FORCE: [&str; 4] = ["access_begun", "access_taken", "access_countersigned", "access_accepted"];
/// Kinds of events that say who is in a platform's group.
const GROUPS: [&str; 2] = ["group_seen", "group_unseen"];

/// Who could do what at a moment; `None`: the ledger did not keep it then. `only` leaves one runbook.
///
/// # Errors
/// When the database cannot be asked, or the event that would say so cannot be read.
pub async fn access_at(
    store: &Store,
    at: DateTime<Utc>,
    only: Option<&RunbookName>,
) -> Result<Option<Then>, LedgerError> {
    let Some(last) = store.find_last_event_of(&IN_FORCE, at).await? else { return Ok(None) };
    let mut seen: BTreeMap<UserGroup, Seen> = BTreeMap::new();
    for event in store.list_events_of(&GROUPS, at).await? {
        let at = event.at;
        match event.record.map(|record| record.what) {
            Some(Happened::GroupSeen { user_group, members, .. }) => {
                seen.insert(user_group, Seen { at, members: Some(members.into_iter().collect()) });
            }
            Some(Happened::GroupUnseen { user_group, .. }) => {
                seen.insert(user_group, Seen { at, members: None });
            }
            // Erased, or of another version: what was known before is not known to hold.
            _ => {}
        }
    }
    let unreadable = || LedgerError::Unreadable { event: last.id, kind: last.kind.clone() };
    let (access, by) = version(&last).ok_or_else(unreadable)?;
    let since = (last.at, last.position);
    Ok(Some(Then::of(access, &seen, at, since, (last.kind.clone(), by), only)))
}

/// The version that an event put in force, and by whose word.
fn version(event: &Event) -> Option<(&Access, Option<String>)> {
    match &event.record.as_ref()?.what {
        Happened::AccessBegun { snapshot, .. } | Happened::AccessTaken { snapshot, .. } => Some((snapshot, None)),
        Happened::AccessCountersigned { snapshot, by, .. } => Some((snapshot, Some(by.to_string()))),
        Happened::AccessAccepted { snapshot, operator, .. } => Some((snapshot, Some(operator.clone()))),
        _ => None,
    }
}

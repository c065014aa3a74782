//! The catalog in use holds only what was countersigned.
//!
//! What lives here: comparing what was read with what is in force, at the start, after each reload, and when another process
//! was faster; and making the catalog in use of both. What does not: what a difference gives and takes (`model::access`), and
//! whose word counts (`approval`). In a trial nothing is kept: a change holds at once.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use super::{App, InUse};
use crate::approval::{self, Because, Settled, Waits};
use crate::model::access::{Access, in_force};
use crate::model::catalog::Catalog;
use crate::model::id::PersonId;
use crate::store::{AccessRow, Result};
use crate::text;

/// Whether a change of who may do what needs a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Countersigning {
    /// It holds at once: a trial.
    AtOnce,
    /// What gives a right waits.
    Needed,
}

fn authors(catalog: &Catalog) -> BTreeSet<PersonId> {
    catalog.access.as_ref().map(|access| access.changed_by.clone()).unwrap_or_default()
}

/// Only what is in force of what was read.
pub(super) fn narrowed(read: &Catalog, approved: &AccessRow) -> Catalog {
    let mut catalog = read.clone();
    in_force(&approved.access, &Access::of(read)).narrow(&mut catalog);
    catalog
}

impl App {
    /// Compares the catalog that was read with what is in force, and uses only that. Said to the operator when it is the
    /// first time, when something waits, and when nobody is named who could countersign.
    ///
    /// # Errors
    /// When the database refuses, or what is in force was changed by other hands.
    pub async fn settle(&self, because: Because) -> Result<()> {
        if self.countersigning == Countersigning::AtOnce {
            return Ok(());
        }
        let in_use = self.in_use();
        let Settled { in_force, .. } = self.compare(&in_use.read, because).await?;
        self.use_only(&in_use, &in_force);
        Ok(())
    }

    /// The same for a catalog that is not in use yet.
    pub(super) async fn compare(&self, read: &Catalog, because: Because) -> Result<Settled> {
        let settled = approval::settle(&self.store, &Access::of(read), &authors(read), because).await?;
        if settled.began {
            tracing::info!("{}", text::access::began(read.people.len(), read.runbooks.len()));
        }
        if settled.in_force.access.keepers.is_none() {
            tracing::warn!("{}", text::access::nobody_is_named());
        }
        match &settled.waits {
            Waits::Nothing => {}
            Waits::Proposed(row) => {
                let code = row.code.map(|code| code.to_string()).unwrap_or_default();
                tracing::warn!(code, "a change of who may do what waits to be countersigned");
            }
            Waits::Refused(row) => tracing::warn!("{}", text::access::refused_before(row.code)),
        }
        Ok(settled)
    }

    /// Makes the catalog in use anew if another version is in force by now, and shows anew what nobody countersigned in
    /// time.
    ///
    /// # Errors
    /// When the database cannot be asked, or what is in force was changed by other hands.
    pub async fn follow_access(&self) -> Result<()> {
        if self.countersigning == Countersigning::AtOnce {
            return Ok(());
        }
        let in_use = self.in_use();
        let (now, expires_at) = self.store.find_access_marks().await?;
        if expires_at.is_some_and(|expires_at| self.store.clock().now() >= expires_at) {
            return self.settle(Because::Read).await;
        }
        if now == in_use.access {
            return Ok(());
        }
        if let Some(row) = self.store.find_access_in_force().await? {
            self.use_only(&in_use, &row);
            tracing::info!(access = row.id.0, "another version of who may do what is in force");
        }
        Ok(())
    }

    /// Uses only what is in force of what was read, unless something else was read meanwhile.
    fn use_only(&self, of: &InUse, approved: &AccessRow) {
        let catalog = Arc::new(narrowed(&of.read, approved));
        let mut in_use = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        // Whoever read something else compares it as well.
        if !Arc::ptr_eq(&in_use.read, &of.read) {
            return;
        }
        let next = InUse {
            catalog,
            read: in_use.read.clone(),
            access: Some(approved.id),
            fingerprint: in_use.fingerprint,
            secrets: in_use.secrets.clone(),
            members_until: None,
        };
        *in_use = Arc::new(self.with_members(&next, |_| ()));
    }
}

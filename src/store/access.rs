//! Versions of everything that decides who may ask, see and approve (see `migrations`).
//!
//! What lives here: one row for each version, of which one is in force and at most one waits. What does not: what a version
//! gives and takes (`model::access`), and who may put one in force (`approval`).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::{Inconsistent, Result, Store, StoreError, Tx};
use crate::model::access::{Access, VersionState};
use crate::model::code::Code;
use crate::model::event::Event;
use crate::model::id::{AccessId, Digest, PersonId};

/// A version as stored.
#[derive(Debug, Clone)]
pub struct AccessRow {
    /// Its number.
    pub id: AccessId,
    /// Its version: every change names it.
    pub version: i64,
    /// Where it stands.
    pub state: VersionState,
    /// By which it is named while it waits.
    pub code: Option<Code>,
    /// Its fingerprint.
    pub fingerprint: Digest,
    /// SHA-256 of the bytes that are kept of it.
    pub sha256: Digest,
    /// The whole of it.
    pub access: Access,
    /// Who is named as having written it.
    pub changed_by: BTreeSet<PersonId>,
    /// The version that was in force when it was made.
    pub base: Option<AccessId>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
    /// Until when it waits.
    pub expires_at: Option<DateTime<Utc>>,
}

/// A version about to be kept.
#[derive(Debug, Clone)]
pub struct NewAccess<'a> {
    /// The whole of it.
    pub access: &'a Access,
    /// Its fingerprint.
    pub fingerprint: Digest,
    /// Who is named as having written it.
    pub changed_by: &'a BTreeSet<PersonId>,
    /// The version that is in force now.
    pub base: Option<AccessId>,
    /// Its code and until when it waits; `None`: it is in force.
    pub waits: Option<(Code, DateTime<Utc>)>,
}

/// A row's columns.
struct Row {
    id: i64,
    version: i64,
    state: String,
    code: Option<String>,
    fingerprint: Vec<u8>,
    snapshot: Vec<u8>,
    changed_by: Vec<String>,
    base: Option<i64>,
    made_at: DateTime<Utc>,
    expires_at: Option<DateTime<Utc>>,
    state_by: Option<String>,
    state_why: Option<String>,
}

impl TryFrom<Row> for AccessRow {
    type Error = StoreError;

    /// What is read decides who may do what: a row whose value is not what its fingerprint says is not believed.
    fn try_from(row: Row) -> Result<Self> {
        let wrong = |column| Inconsistent::at(format!("access {}", row.id), column);
        let state = match (row.state.as_str(), row.state_by, row.state_why) {
            ("proposed", None, None) => VersionState::Proposed,
            ("in_force", None, None) => VersionState::InForce,
            ("superseded", None, None) => VersionState::Superseded,
            ("refused", Some(by), Some(why)) => VersionState::Refused { by: PersonId::new(by), why },
            ("expired", None, None) => VersionState::Expired,
            _ => return Err(wrong("state").into()),
        };
        let access: Access = serde_json::from_slice(&row.snapshot).map_err(|_| wrong("snapshot"))?;
        let fingerprint = Digest::from_slice(&row.fingerprint).ok_or_else(|| wrong("fingerprint"))?;
        if access.fingerprint()? != fingerprint {
            return Err(wrong("fingerprint").into());
        }
        let code = match row.code {
            Some(code) => Some(code.parse().map_err(|_| wrong("code"))?),
            None => None,
        };
        Ok(Self {
            id: AccessId(row.id),
            version: row.version,
            state,
            code,
            fingerprint,
            sha256: Digest(Sha256::digest(&row.snapshot).into()),
            access,
            changed_by: row.changed_by.into_iter().map(PersonId::new).collect(),
            base: row.base.map(AccessId),
            made_at: row.made_at,
            expires_at: row.expires_at,
        })
    }
}

/// How often another code is tried when one is taken, and the version in force when it has changed meanwhile.
const TRIES: u32 = 50;

impl Store {
    /// The version that is in force; `None`: none was ever kept.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row is not what it was.
    pub async fn find_access_in_force(&self) -> Result<Option<AccessRow>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select id, version, state, code, fingerprint, snapshot, changed_by as "changed_by!: Vec<String>", base, made_at,
                expires_at, state_by, state_why
            from access_version where state = 'in_force'
            "#
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(AccessRow::try_from).transpose()
    }

    /// The version that waits.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row is not what it was.
    pub async fn find_access_proposed(&self) -> Result<Option<AccessRow>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select id, version, state, code, fingerprint, snapshot, changed_by as "changed_by!: Vec<String>", base, made_at,
                expires_at, state_by, state_why
            from access_version where state = 'proposed'
            "#
        )
        .fetch_optional(&self.pool)
        .await?;
        row.map(AccessRow::try_from).transpose()
    }

    /// The number of the version that is in force, and until when the one that waits does so.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_access_marks(&self) -> Result<(Option<AccessId>, Option<DateTime<Utc>>)> {
        let row = sqlx::query!(
            r#"
            select (select id from access_version where state = 'in_force') as in_force,
                (select expires_at from access_version where state = 'proposed') as expires_at
            "#
        )
        .fetch_one(&self.loops)
        .await?;
        Ok((row.in_force.map(AccessId), row.expires_at))
    }

    /// The last event of these kinds up to a moment, in the order of the ledger; one that has no place yet is later than
    /// all that have.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_last_event_of(&self, kinds: &[&str], until: DateTime<Utc>) -> Result<Option<Event>> {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let row = sqlx::query_as!(
            super::ledger::Row,
            r#"
            select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
                e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
                b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
            from event e left join chain c on c.event = e.id left join event_body b on b.event = e.id
            where e.kind = any($1) and e.at <= $2
            order by c.position desc nulls first, e.id desc limit 1
            "#,
            &kinds,
            until
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(|row| super::ChainRow::from(row).event()))
    }

    /// The events of these kinds in the order of the ledger, up to a moment; those that have no place yet last.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_events_of(&self, kinds: &[&str], until: DateTime<Utc>) -> Result<Vec<Event>> {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let rows = sqlx::query_as!(
            super::ledger::Row,
            r#"
            select c.position as "position?", c.hash as "hash?", e.id, e.kind, e.schema, e.at, e.system, e.environment,
                e.incident, e.run, e.audience, e.cause, e.commitment, b.salt as "salt?", b.body as "body?",
                b.erased_by as "erased_by?", (b.event is not null) as "body_row!"
            from event e left join chain c on c.event = e.id left join event_body b on b.event = e.id
            where e.kind = any($1) and e.at <= $2
            order by c.position nulls last, e.id
            "#,
            &kinds,
            until
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(rows.into_iter().map(|row| super::ChainRow::from(row).event()).collect())
    }
}

impl Tx {
    /// Who was ever named as having written this, or what was proposed since the last version that somebody agreed to. `current`
    /// is the one in force.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_access_authors(&mut self, fingerprint: Digest, current: AccessId) -> Result<BTreeSet<PersonId>> {
        // What only took something away was made of the one before, and nobody agreed to it: it has no code.
        let names = sqlx::query_scalar!(
            r#"
            with recursive line as (
                select id, base, code from access_version where id = $2
                union all
                select v.id, v.base, v.code from access_version v join line l on v.id = l.base where l.code is null
            )
            select distinct unnest(changed_by) as "name!" from access_version
            where fingerprint = $1 or (code is not null and base in (select id from line))
            "#,
            &fingerprint.0,
            current.0
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(names.into_iter().map(PersonId::new).collect())
    }

    /// Locks the version that is in force: whoever changes any version does this first. `None`: there is none.
    ///
    /// # Errors
    /// When the database refuses, or the row is not what it was.
    pub async fn lock_access(&mut self) -> Result<Option<AccessRow>> {
        for _ in 0..TRIES {
            if let Some(row) = self.try_lock_access().await? {
                return Ok(Some(row));
            }
            let any = sqlx::query_scalar!(r#"select exists (select from access_version) as "any!""#)
                .fetch_one(&mut *self.inner)
                .await?;
            if !any {
                return Ok(None);
            }
        }
        Err(StoreError::Refused("who may do what is changed by others all the time".to_owned()))
    }

    /// Whoever waited here finds nothing when the row that it waited for is in force no more: the one that is came after
    /// the statement began. The next statement sees it.
    async fn try_lock_access(&mut self) -> Result<Option<AccessRow>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select id, version, state, code, fingerprint, snapshot, changed_by as "changed_by!: Vec<String>", base, made_at,
                expires_at, state_by, state_why
            from access_version where state = 'in_force' for update
            "#
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(AccessRow::try_from).transpose()
    }

    /// The version that waits. Locked by whoever holds the one in force.
    ///
    /// # Errors
    /// When the database refuses, or the row is not what it was.
    pub async fn find_access_proposed(&mut self) -> Result<Option<AccessRow>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select id, version, state, code, fingerprint, snapshot, changed_by as "changed_by!: Vec<String>", base, made_at,
                expires_at, state_by, state_why
            from access_version where state = 'proposed'
            "#
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(AccessRow::try_from).transpose()
    }

    /// The newest version that waits or waited under a code.
    ///
    /// # Errors
    /// When the database refuses, or the row is not what it was.
    pub async fn find_access_by_code(&mut self, code: Code) -> Result<Option<AccessRow>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select id, version, state, code, fingerprint, snapshot, changed_by as "changed_by!: Vec<String>", base, made_at,
                expires_at, state_by, state_why
            from access_version where code = $1 order by id desc limit 1
            "#,
            code.to_string()
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(AccessRow::try_from).transpose()
    }

    /// The newest version with a fingerprint.
    ///
    /// # Errors
    /// When the database refuses, or the row is not what it was.
    pub async fn find_access_like(&mut self, fingerprint: Digest) -> Result<Option<AccessRow>> {
        let row = sqlx::query_as!(
            Row,
            r#"
            select id, version, state, code, fingerprint, snapshot, changed_by as "changed_by!: Vec<String>", base, made_at,
                expires_at, state_by, state_why
            from access_version where fingerprint = $1 order by id desc limit 1
            "#,
            &fingerprint.0
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(AccessRow::try_from).transpose()
    }

    /// A code that nothing which waits has.
    ///
    /// # Errors
    /// When the database refuses, or has no free one within many tries.
    pub async fn free_access_code(&mut self) -> Result<Code> {
        for _ in 0..TRIES {
            let mut entropy = [0; 4];
            getrandom::fill(&mut entropy)?;
            let code = Code::from_entropy(u32::from_le_bytes(entropy));
            let taken = sqlx::query_scalar!(
                r#"
                select exists (select from access_version where code = $1)
                    or exists (select from request where code = $1 and state = 'pending') as "taken!"
                "#,
                code.to_string()
            )
            .fetch_one(&mut *self.inner)
            .await?;
            if !taken {
                return Ok(code);
            }
        }
        Err(StoreError::Refused("no free code was found for a change of who may do what".to_owned()))
    }

    /// Keeps a version. `None`: another process has kept one in this very moment, which can only be the first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_access(&mut self, new: NewAccess<'_>) -> Result<Option<AccessRow>> {
        let (code, expires_at) = new.waits.unzip();
        let state = if new.waits.is_some() { VersionState::Proposed } else { VersionState::InForce };
        let changed_by: Vec<String> = new.changed_by.iter().map(ToString::to_string).collect();
        let made_at = self.now();
        let snapshot = serde_json::to_vec(new.access)?;
        let sha256 = Digest(Sha256::digest(&snapshot).into());
        let id = sqlx::query_scalar!(
            r#"
            insert into access_version (state, code, fingerprint, snapshot, changed_by, base, made_at, expires_at)
            values ($1, $2, $3, $4, $5, $6, $7, $8)
            on conflict do nothing
            returning id
            "#,
            state.name(),
            code.map(|code| code.to_string()),
            &new.fingerprint.0,
            snapshot,
            &changed_by,
            new.base.map(|base| base.0),
            made_at,
            expires_at
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(id.map(|id| AccessRow {
            id: AccessId(id),
            version: 1,
            state,
            code,
            fingerprint: new.fingerprint,
            sha256,
            access: new.access.clone(),
            changed_by: new.changed_by.clone(),
            base: new.base,
            made_at,
            expires_at,
        }))
    }

    /// Moves a version to another state; returns its new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it is not as the row says any more; when the database refuses.
    pub async fn set_access_state(&mut self, row: &AccessRow, to: &VersionState) -> Result<i64> {
        let (by, why) = match to {
            VersionState::Refused { by, why } => (Some(by.as_str()), Some(why.as_str())),
            VersionState::Proposed | VersionState::InForce | VersionState::Superseded | VersionState::Expired => {
                (None, None)
            }
        };
        let version = sqlx::query_scalar!(
            r#"
            update access_version set state = $4, state_by = $5, state_why = $6, version = version + 1
            where id = $1 and version = $2 and state = $3
            returning version
            "#,
            row.id.0,
            row.version,
            row.state.name(),
            to.name(),
            by,
            why
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        version.ok_or_else(|| moved(row))
    }

    /// Adds to those who are named as having written a version that waits; returns its new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it is not as the row says any more; when the database refuses.
    pub async fn set_access_authors(&mut self, row: &AccessRow, authors: &BTreeSet<PersonId>) -> Result<i64> {
        let authors: Vec<String> = authors.iter().map(ToString::to_string).collect();
        let version = sqlx::query_scalar!(
            r#"
            update access_version set changed_by = $4, version = version + 1
            where id = $1 and version = $2 and state = $3
            returning version
            "#,
            row.id.0,
            row.version,
            row.state.name(),
            &authors
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        version.ok_or_else(|| moved(row))
    }

    /// Whether all of the message that shows a version is confirmed to stand in its room.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn access_is_posted(&mut self, id: AccessId) -> Result<bool> {
        let posted = sqlx::query_scalar!(
            r#"select exists (select from posted where subject = $1 and role = 'proposed') as "posted!""#,
            access_subject(id)
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(posted)
    }
}

/// The name under which the message of a version that waits is kept.
pub fn access_subject(id: AccessId) -> String {
    format!("access:{id}")
}

fn moved(row: &AccessRow) -> StoreError {
    StoreError::Moved {
        row: format!("access {}", row.id),
        expected: format!("{} (version {})", row.state.name(), row.version),
    }
}

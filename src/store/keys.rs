//! Keys that grants are signed with: their public halves as rows, and what this process holds in memory.
//!
//! What lives here: the rows, and the [`Keyring`]. What does not: the file of the private half (`ledger::keys`), making and
//! judging signatures (`model::signature`, `approval::signature`). Keeps I1: a key row is locked while it signs, so that a
//! retirement comes before a grant or after it.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use super::{Inconsistent, Request, Result, Store, StoreError, Tx};
use crate::model::id::GrantId;
use crate::model::signature::{PublicKey, Signed, Signer, Trust};

/// What this process signs with and goes by. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct Keyring(Arc<RwLock<Held>>);

#[derive(Debug, Default)]
struct Held {
    signer: Option<Arc<Signer>>,
    trust: Trust,
}

impl Keyring {
    /// From now on signs with this key; grants are verified by this trust.
    pub fn hold(&self, signer: Arc<Signer>, trust: Trust) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Held { signer: Some(signer), trust };
    }

    /// From now on signs with another key.
    pub fn change(&self, signer: Arc<Signer>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).signer = Some(signer);
    }

    /// What this process signs with; `None` in a process that only reads.
    pub fn signer(&self) -> Option<Arc<Signer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).signer.clone()
    }

    /// Whose signatures this process goes by. Without [`Keyring::hold`] it is nobody's.
    pub fn trust(&self) -> Trust {
        self.0.read().unwrap_or_else(PoisonError::into_inner).trust.clone()
    }
}

/// A key's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// The public half.
    pub public: PublicKey,
    /// The host of the process that made it.
    pub host: String,
    /// Since when it signs.
    pub added_at: DateTime<Utc>,
    /// Who made it, as they said.
    pub added_by: String,
    /// Since when it signs no more.
    pub retired: Option<RetiredKey>,
}

/// The end of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredKey {
    /// When: after every grant that it signed.
    pub at: DateTime<Utc>,
    /// Who ended it, as they said.
    pub by: String,
    /// Why.
    pub why: String,
}

struct KeyColumns {
    public: Vec<u8>,
    host: String,
    added_at: DateTime<Utc>,
    added_by: String,
    retired_at: Option<DateTime<Utc>>,
    retired_by: Option<String>,
    retired_why: Option<String>,
}

fn key_row(row: KeyColumns) -> Result<KeyRow> {
    let public =
        PublicKey::from_slice(&row.public).ok_or_else(|| Inconsistent::at("a signing key".to_owned(), "public"))?;
    let retired = match (row.retired_at, row.retired_by, row.retired_why) {
        (None, None, None) => None,
        (Some(at), Some(by), Some(why)) => Some(RetiredKey { at, by, why }),
        _ => return Err(Inconsistent::at(format!("signing key {}", public.short()), "retired_at").into()),
    };
    Ok(KeyRow { public, host: row.host, added_at: row.added_at, added_by: row.added_by, retired })
}

impl Store {
    /// What this process signs with and goes by.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// All keys, those that sign first, then by age.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_keys(&self) -> Result<Vec<KeyRow>> {
        let rows = sqlx::query_as!(
            KeyColumns,
            r#"
            select public, host, added_at, added_by, retired_at, retired_by, retired_why from signing_key
            order by retired_at is not null, added_at, public
            "#
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(key_row).collect()
    }

    /// How many grants are in force that nobody signed: they are of before grants were signed, and let nothing start.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn count_unsigned_grants(&self) -> Result<i64> {
        let count = sqlx::query_scalar!(
            r#"select count(*) as "count!" from run_grant where state = 'granted' and signed_by is null and expires_at > $1"#,
            self.clock().now()
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(count)
    }
}

impl Tx {
    /// What this process signs with and goes by.
    pub fn keyring(&self) -> &Keyring {
        self.store.keyring()
    }

    /// Locks and reads a key; `None`: there is no such one.
    ///
    /// # Errors
    /// When the database refuses, or the row contradicts the model.
    pub async fn lock_key(&mut self, key: PublicKey) -> Result<Option<KeyRow>> {
        let row = sqlx::query_as!(
            KeyColumns,
            r#"
            select public, host, added_at, added_by, retired_at, retired_by, retired_why from signing_key
            where public = $1 for update
            "#,
            &key.0
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        row.map(key_row).transpose()
    }

    /// Inserts a key that signs from this commit on. `false`: it is there already.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_key(&mut self, key: PublicKey, host: &str, by: &str) -> Result<bool> {
        let done = sqlx::query!(
            "insert into signing_key (public, host, added_at, added_by) values ($1, $2, $3, $4) on conflict do nothing",
            &key.0,
            host,
            self.now(),
            by,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Retires a key. `None`: there is no such one, or it is retired. Returns from when on nothing that it signed counts:
    /// after every grant that it has signed, whichever clock that was given by.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn retire_key(&mut self, key: PublicKey, by: &str, why: &str) -> Result<Option<DateTime<Utc>>> {
        // First the lock, so that grants that are being signed are seen by what follows.
        if self.lock_key(key).await?.is_none_or(|row| row.retired.is_some()) {
            return Ok(None);
        }
        let at = sqlx::query_scalar!(
            r#"
            update signing_key set retired_by = $3, retired_why = $4, retired_at = greatest($2,
                (select max(granted_at) from run_grant where signed_by = $1) + interval '1 microsecond')
            where public = $1 and retired_at is null returning retired_at as "at!"
            "#,
            &key.0,
            self.now(),
            by,
            why,
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(at)
    }

    /// A number for a grant that this key is about to sign. Holds the key until this transaction ends: it cannot be
    /// retired before.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when the key no longer signs: whoever tries again may find another in the keyring.
    pub async fn begin_grant(&mut self, key: PublicKey) -> Result<GrantId> {
        let id = sqlx::query_scalar!(
            r#"
            with held as (select public from signing_key where public = $1 and retired_at is null for share)
            select nextval(pg_get_serial_sequence('run_grant', 'id')) as "id!" from held
            "#,
            &key.0
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        id.map(GrantId).ok_or_else(|| StoreError::Moved {
            row: format!("signing key {}", key.short()),
            expected: "in use".to_owned(),
        })
    }

    /// Inserts the grant of a request under the number that [`Tx::begin_grant`] gave; its version is 1. Its time is this
    /// transaction's.
    ///
    /// # Errors
    /// When the database refuses: also when the request has a grant already.
    pub async fn insert_grant(
        &mut self,
        id: GrantId,
        request: &Request,
        (start_by, expires_at): (DateTime<Utc>, DateTime<Utc>),
        signed: &Signed,
    ) -> Result<()> {
        sqlx::query!(
            r#"
            insert into run_grant (id, run, request, digest, state, granted_at, expires_at, start_by, signed_by, statement,
                signature)
            overriding system value
            values ($1, $2, $3, $4, 'granted', $5, $6, $7, $8, $9, $10)
            "#,
            id.0,
            request.run.0,
            request.id.0,
            &request.digest.0,
            self.now(),
            expires_at,
            start_by,
            &signed.key.0,
            signed.statement.as_bytes(),
            &signed.signature.0,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }
}

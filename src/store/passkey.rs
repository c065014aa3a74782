//! Passkeys of people, the invitations to add one, and the one-time pages on which they decide.
//!
//! What lives here: rows (see `migrations`). What does not: whether a signature is right (`passkey`), who may be invited and
//! who is asked (`web`, `flow`). Each use is guarded by what it expects, so that of two at once one is refused.

use chrono::{DateTime, Utc};

use super::{Inconsistent, Result, Store, Tx};
use crate::model::chat::{Account, Message, Signed};
use crate::model::id::{Digest, InboxId, LinkId, PasskeyId, PersonId, RequestId};
use crate::model::request::OnPage;

/// A passkey as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passkey {
    /// Its number.
    pub id: PasskeyId,
    /// Whose it is.
    pub person: PersonId,
    /// What browsers call it.
    pub credential: Vec<u8>,
    /// Its public key, as COSE has it.
    pub public_key: Vec<u8>,
    /// How often it has signed, if it counts.
    pub count: u32,
    /// Whether it may be kept in several places.
    pub may_be_copied: bool,
    /// What its person calls it.
    pub name: String,
    /// When it was added.
    pub added_at: DateTime<Utc>,
    /// When it last signed.
    pub used_at: Option<DateTime<Utc>>,
    /// When it was removed.
    pub removed_at: Option<DateTime<Utc>>,
}

/// A passkey that is to be kept.
#[derive(Debug)]
pub struct NewPasskey<'a> {
    /// Whose it is.
    pub person: &'a PersonId,
    /// What browsers call it, at most 1,023 bytes.
    pub credential: &'a [u8],
    /// Its public key, as COSE has it.
    pub public_key: &'a [u8],
    /// How often it has signed, if it counts.
    pub count: u32,
    /// Whether it may be kept in several places.
    pub may_be_copied: bool,
    /// What its person calls it.
    pub name: &'a str,
}

/// An invitation to add a passkey.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// Who is invited.
    pub person: PersonId,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// When it was used.
    pub used_at: Option<DateTime<Utc>>,
}

/// A one-time page on which one person may decide one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionLink {
    /// Its number.
    pub id: LinkId,
    /// SHA-256 of what stands in its address.
    pub hash: Digest,
    /// The request.
    pub request: RequestId,
    /// The plan that it was made for.
    pub digest: Digest,
    /// Who may decide there.
    pub person: PersonId,
    /// As which account of theirs.
    pub account: Account,
    /// What it is for.
    pub purpose: Purpose,
    /// Why they agree, if they said so when they asked for it; why the glass is to be broken.
    pub reason: Option<String>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// How it was used.
    pub used: Option<LinkUsed>,
}

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Agreeing or not.
    Decide,
    /// Starting it without the agreement of others.
    BreakGlass,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::BreakGlass => "break_glass",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Decide, Self::BreakGlass].into_iter().find(|purpose| purpose.name() == name)
    }
}

/// How a page was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkUsed {
    /// When.
    pub at: DateTime<Utc>,
    /// What was done there.
    pub done: OnPage,
}

/// A page that is to be told of.
#[derive(Debug)]
pub struct NewDecisionLink<'a> {
    /// SHA-256 of what stands in its address.
    pub hash: Digest,
    /// The request.
    pub request: RequestId,
    /// The plan that it asks for.
    pub digest: Digest,
    /// Who may decide there.
    pub person: &'a PersonId,
    /// The account that is told.
    pub account: &'a Account,
    /// The line that is answered with it.
    pub line: InboxId,
    /// What it is for.
    pub purpose: Purpose,
    /// Why they agree, if that line says so, or why the glass is to be broken; redacted.
    pub reason: Option<&'a str>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

struct Row {
    id: i64,
    person: String,
    credential: Vec<u8>,
    public_key: Vec<u8>,
    sign_count: i64,
    may_be_copied: bool,
    name: String,
    added_at: DateTime<Utc>,
    used_at: Option<DateTime<Utc>>,
    removed_at: Option<DateTime<Utc>>,
}

impl Row {
    fn read(self) -> Result<Passkey> {
        let wrong = |_| Inconsistent::at(format!("passkey {}", self.id), "sign_count");
        Ok(Passkey {
            id: PasskeyId(self.id),
            count: u32::try_from(self.sign_count).map_err(wrong)?,
            person: PersonId::new(self.person),
            credential: self.credential,
            public_key: self.public_key,
            may_be_copied: self.may_be_copied,
            name: self.name,
            added_at: self.added_at,
            used_at: self.used_at,
            removed_at: self.removed_at,
        })
    }
}

fn digest(bytes: &[u8], row: &str) -> Result<Digest> {
    Ok(Digest(bytes.try_into().map_err(|_| Inconsistent::at(row, "hash"))?))
}

impl Store {
    /// Every passkey, of one person or of all, by number; removed ones too.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_passkeys(&self, of: Option<&PersonId>) -> Result<Vec<Passkey>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select id, person, credential, public_key, sign_count, may_be_copied, name, added_at, used_at, removed_at
            from passkey where $1::text is null or person = $1 order by id
            "#,
            of.map(PersonId::as_str),
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(Row::read).collect()
    }

    /// The invitation whose address has this hash.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_invitation(&self, hash: Digest) -> Result<Option<Invitation>> {
        let row =
            sqlx::query!("select person, expires_at, used_at from passkey_invitation where hash = $1", &hash.0[..])
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(|row| Invitation {
            person: PersonId::new(row.person),
            expires_at: row.expires_at,
            used_at: row.used_at,
        }))
    }

    /// The page whose address has this hash.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row contradicts the model.
    pub async fn find_decision_link(&self, hash: Digest) -> Result<Option<DecisionLink>> {
        let row = sqlx::query!(
            r#"
            select id, hash, request, digest, person, account, purpose, reason, expires_at, used_at, answer
            from decision_link where hash = $1
            "#,
            &hash.0[..],
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let name = format!("decision link {}", row.id);
        let used = match (row.used_at, row.answer.as_deref()) {
            (None, None) => None,
            (Some(at), Some(done)) => {
                let done = OnPage::from_name(done).ok_or_else(|| Inconsistent::at(name.clone(), "answer"))?;
                Some(LinkUsed { at, done })
            }
            _ => return Err(Inconsistent::at(name, "used_at").into()),
        };
        Ok(Some(DecisionLink {
            id: LinkId(row.id),
            hash: digest(&row.hash, &name)?,
            request: RequestId(row.request),
            digest: digest(&row.digest, &name)?,
            person: PersonId::new(row.person),
            purpose: Purpose::from_name(&row.purpose).ok_or_else(|| Inconsistent::at(name.clone(), "purpose"))?,
            account: row.account.parse().map_err(|_| Inconsistent::at(name, "account"))?,
            reason: row.reason,
            expires_at: row.expires_at,
            used,
        }))
    }

    /// What became of a line, and what was answered to it where it was said: in order, whether it has been sent or not.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row cannot be read.
    pub async fn list_answers_to(&self, line: InboxId) -> Result<(String, Vec<String>)> {
        let outcome =
            sqlx::query_scalar!("select outcome from inbox where id = $1", line.0).fetch_one(&self.pool).await?;
        let rows = sqlx::query_scalar!(
            "select message from outbox where origin = 'line:' || $1::bigint order by part, id",
            line.0
        )
        .fetch_all(&self.pool)
        .await?;
        let texts = rows.iter().map(|row| Ok(serde_json::from_str::<Message>(row)?.text)).collect::<Result<_>>()?;
        Ok((outcome, texts))
    }

    /// Takes addresses that do nothing any more out of the messages that told of them. Whoever kept the message keeps an
    /// address of nothing; what is stored here holds none.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn forget_links(&self) -> Result<()> {
        sqlx::query!(
            r#"
            with over as (
                update decision_link set forgotten_at = $1
                where forgotten_at is null and (expires_at <= $1 or used_at is not null)
                returning line
            )
            update outbox o set message = regexp_replace(o.message, '/decide/[A-Za-z0-9_-]{43}', '/decide/…', 'g')
            from over where o.origin = 'line:' || over.line
            "#,
            self.clock().now(),
        )
        .execute(&self.loops)
        .await?;
        Ok(())
    }
}

impl Tx {
    /// Invites a person to add a passkey. An earlier invitation of theirs that was not used is over.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_invitation(&mut self, hash: Digest, person: &PersonId, until: DateTime<Utc>) -> Result<()> {
        sqlx::query!(
            r#"
            update passkey_invitation set expires_at = greatest(made_at, least(expires_at, $2))
            where person = $1 and used_at is null
            "#,
            person.as_str(),
            self.now(),
        )
        .execute(&mut *self.inner)
        .await?;
        sqlx::query!(
            "insert into passkey_invitation (hash, person, made_at, expires_at) values ($1, $2, $3, $4)",
            &hash.0[..],
            person.as_str(),
            self.now(),
            until,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Keeps a passkey by an invitation. `None`: the invitation is over or was used, or the passkey is known already.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_passkey(&mut self, invitation: Digest, new: &NewPasskey<'_>) -> Result<Option<PasskeyId>> {
        let now = self.now();
        let id = sqlx::query_scalar!(
            r#"
            insert into passkey (person, credential, public_key, sign_count, may_be_copied, name, added_at)
            select person, $3, $4, $5, $6, $7, $8 from passkey_invitation
            where hash = $1 and person = $2 and used_at is null and expires_at > $8
            on conflict (credential) do nothing
            returning id
            "#,
            &invitation.0[..],
            new.person.as_str(),
            new.credential,
            new.public_key,
            i64::from(new.count),
            new.may_be_copied,
            new.name,
            now,
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(id) = id else { return Ok(None) };
        let used = sqlx::query!(
            "update passkey_invitation set used_at = $2, passkey = $3 where hash = $1 and used_at is null",
            &invitation.0[..],
            now,
            id,
        )
        .execute(&mut *self.inner)
        .await?;
        // Two at once: the other was faster. Dropped with this transaction, which the caller must not commit.
        Ok((used.rows_affected() == 1).then_some(PasskeyId(id)))
    }

    /// The requests that wait and of which an approval stands that was given with a passkey, each with what browsers call it, as
    /// decisions have it.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_approved_with(&mut self, passkey: PasskeyId) -> Result<Vec<(RequestId, String)>> {
        let rows = sqlx::query!(
            r#"
            select distinct d.request, d.credential as "credential!"
            from decision d join request q on q.id = d.request join passkey p on p.id = $1
            where q.state = 'pending' and d.taken_back_at is null and d.verdict = 'approve'
                and d.credential = translate(rtrim(encode(p.credential, 'base64'), '='), E'+/\n', '-_')
            order by d.request
            "#,
            passkey.0,
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(|row| (RequestId(row.request), row.credential)).collect())
    }

    /// Removes a passkey: it decides nothing any more. `None`: there is no such passkey in use.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn remove_passkey(&mut self, passkey: PasskeyId) -> Result<Option<PersonId>> {
        let person = sqlx::query_scalar!(
            "update passkey set removed_at = $2 where id = $1 and removed_at is null returning person",
            passkey.0,
            self.now(),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(person.map(PersonId::new))
    }

    /// Whether a passkey is in use and a person's.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn is_passkey_of(&mut self, credential: &[u8], person: &PersonId) -> Result<bool> {
        let found = sqlx::query_scalar!(
            r#"select exists (select from passkey where credential = $1 and person = $2 and removed_at is null) as "found!""#,
            credential,
            person.as_str(),
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(found)
    }

    /// Whether a person has a passkey in use.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn has_passkey(&mut self, person: &PersonId) -> Result<bool> {
        let found = sqlx::query_scalar!(
            r#"select exists (select from passkey where person = $1 and removed_at is null) as "found!""#,
            person.as_str(),
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(found)
    }

    /// Makes a page on which one person may decide one request. An earlier one of theirs for the same request that was not
    /// used is over.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_decision_link(&mut self, new: &NewDecisionLink<'_>) -> Result<LinkId> {
        sqlx::query!(
            r#"
            update decision_link set expires_at = greatest(made_at, least(expires_at, $3))
            where request = $1 and person = $2 and used_at is null
            "#,
            new.request.0,
            new.person.as_str(),
            self.now(),
        )
        .execute(&mut *self.inner)
        .await?;
        let id = sqlx::query_scalar!(
            r#"
            insert into decision_link (hash, request, digest, person, account, line, reason, made_at, expires_at, purpose)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
            returning id
            "#,
            &new.hash.0[..],
            new.request.0,
            &new.digest.0[..],
            new.person.as_str(),
            new.account.to_string(),
            new.line.0,
            new.reason,
            self.now(),
            new.expires_at,
            new.purpose.name(),
        )
        .fetch_one(&mut *self.inner)
        .await?;
        Ok(LinkId(id))
    }

    /// Uses a page by what a passkey of its person's has signed there. `false`, and nothing is changed: the page was used or is
    /// over, is another person's or is for something else, or the passkey was removed or has signed something else meanwhile.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn use_decision_link(&mut self, person: &PersonId, signed: &Signed) -> Result<bool> {
        let purpose = match signed.done {
            OnPage::Approve | OnPage::Deny => Purpose::Decide,
            OnPage::BreakGlass => Purpose::BreakGlass,
        };
        // The page's row is locked before the passkey's, and both are changed or neither.
        let used = sqlx::query_scalar!(
            r#"
            with page as (
                select id from decision_link
                where id = $1 and hash = $2 and request = $3 and digest = $4 and person = $5 and purpose = $6
                    and used_at is null and expires_at > $7
                for update
            ), counted as (
                update passkey set sign_count = $10, used_at = $7
                where id = $8 and person = $5 and sign_count = $9 and removed_at is null and exists (select from page)
                returning id
            )
            update decision_link l set used_at = $7, passkey = counted.id, answer = $11
            from page, counted where l.id = page.id
            returning l.id
            "#,
            signed.page.0,
            &signed.link.0[..],
            signed.request.0,
            &signed.digest.0[..],
            person.as_str(),
            purpose.name(),
            self.now(),
            signed.passkey.0,
            i64::from(signed.count_before),
            i64::from(signed.count),
            signed.done.name(),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(used.is_some())
    }
}

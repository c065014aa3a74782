//! Runs that were started without agreement, and what others say of that afterwards.

use chrono::{DateTime, Utc};

use super::rows::Inconsistent;
use super::{Result, Store, StoreError, Tx};
use crate::model::chat::Account;
use crate::model::id::{InboxId, PersonId, RequestId, RunId};
use crate::model::request::{Proof, ReviewVerdict};

/// Somebody is about to start a run without agreement.
#[derive(Debug)]
pub struct NewBreak<'a> {
    /// The request.
    pub request: RequestId,
    /// Its run.
    pub run: RunId,
    /// Who.
    pub by: &'a PersonId,
    /// By which account.
    pub account: &'a Account,
    /// By what it is known that it is they.
    pub proof: &'a Proof,
    /// By which line.
    pub line: InboxId,
    /// Why; redacted, never empty.
    pub reason: &'a str,
    /// Until when somebody else says what they think of it.
    pub due_at: DateTime<Utc>,
}

/// Where a review stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReviewState {
    /// It is waited for.
    Owed,
    /// It is waited for, and its time is over.
    Overdue,
    /// Somebody has said what they think.
    Done,
}

impl ReviewState {
    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::Overdue => "overdue",
            Self::Done => "done",
        }
    }
}

/// What is owed for a run that was started without agreement.
#[derive(Debug, Clone)]
pub struct Review {
    /// The request.
    pub request: RequestId,
    /// The row's version.
    pub version: i64,
    /// The run.
    pub run: RunId,
    /// Who started it.
    pub by: PersonId,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Until when it is to be said what others think.
    pub due_at: DateTime<Utc>,
    /// Where it stands.
    pub state: ReviewState,
}

struct Row {
    request: i64,
    version: i64,
    run: i64,
    by: String,
    reason: String,
    at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    state: String,
}

impl TryFrom<Row> for Review {
    type Error = Inconsistent;
    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let state = [ReviewState::Owed, ReviewState::Overdue, ReviewState::Done];
        let state = state.into_iter().find(|state| state.name() == row.state);
        Ok(Self {
            request: RequestId(row.request),
            version: row.version,
            run: RunId(row.run),
            by: PersonId::new(row.by),
            reason: row.reason,
            at: row.at,
            due_at: row.due_at,
            state: state.ok_or_else(|| Inconsistent::at(format!("review {}", row.request), "state"))?,
        })
    }
}

impl Store {
    /// The requests whose review is due and of which the rooms were not told since a moment, longest due first.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_reviews_to_tell(&self, told_before: DateTime<Utc>) -> Result<Vec<RequestId>> {
        let ids = sqlx::query_scalar!(
            r#"
            select request from review
            where state <> 'done' and due_at <= $1 and (told_at is null or told_at <= $2) order by due_at, request
            "#,
            self.clock().now(),
            told_before,
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(ids.into_iter().map(RequestId).collect())
    }
}

impl Store {
    /// The review of a request, if one was ever owed.
    ///
    /// # Errors
    /// When the database refuses, or the row contradicts the model.
    pub async fn find_review(&self, request: RequestId) -> Result<Option<Review>> {
        let row = sqlx::query_as!(
            Row,
            "select request, version, run, by, reason, at, due_at, state from review where request = $1",
            request.0
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(row.map(Review::try_from).transpose()?)
    }
}

impl Tx {
    /// Writes down that somebody starts a run without agreement; a review is owed from now on. Its version is 1.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_break(&mut self, new: NewBreak<'_>) -> Result<()> {
        self.wakes_requests = true;
        let (proof, credential) = match new.proof {
            Proof::Chat => ("chat", None),
            Proof::Passkey { credential } => ("passkey", Some(credential.as_str())),
        };
        sqlx::query!(
            r#"
            insert into review (request, run, by, account, proof, credential, line, reason, at, due_at, state)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'owed')
            "#,
            new.request.0,
            new.run.0,
            new.by.as_str(),
            new.account.to_string(),
            proof,
            credential,
            new.line.0,
            new.reason,
            self.now(),
            new.due_at,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Locks and reads the review of a request, if one was ever owed.
    ///
    /// # Errors
    /// When the database refuses, or the row contradicts the model.
    pub async fn lock_review(&mut self, request: RequestId) -> Result<Option<Review>> {
        let row = sqlx::query_as!(
            Row,
            "select request, version, run, by, reason, at, due_at, state from review where request = $1 for update",
            request.0
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(row.map(Review::try_from).transpose()?)
    }

    /// Who broke the glass for a run, and for which of its requests.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_breaks(&mut self, run: RunId) -> Result<Vec<(RequestId, PersonId)>> {
        let rows = sqlx::query!("select request, by from review where run = $1 order by request", run.0)
            .fetch_all(&mut *self.inner)
            .await?;
        Ok(rows.into_iter().map(|row| (RequestId(row.request), PersonId::new(row.by))).collect())
    }

    /// The reviews that are owed, longest first.
    ///
    /// # Errors
    /// As [`Tx::lock_review`].
    pub async fn list_reviews_owed(&mut self) -> Result<Vec<Review>> {
        let rows = sqlx::query_as!(
            Row,
            r#"
            select request, version, run, by, reason, at, due_at, state from review
            where state <> 'done' order by due_at, request
            "#
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(Review::try_from).collect::<Result<_, _>>()?)
    }

    /// Notes that the rooms are told that a review is overdue; returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn set_review_overdue(&mut self, review: &Review) -> Result<i64> {
        let now = self.now();
        sqlx::query_scalar!(
            r#"
            update review set state = 'overdue', told_at = $3, version = version + 1
            where request = $1 and version = $2 and state <> 'done' returning version
            "#,
            review.request.0,
            review.version,
            now,
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(review))
    }

    /// Writes down what somebody thinks; returns the new version.
    ///
    /// # Errors
    /// As [`Tx::set_review_overdue`].
    pub async fn set_reviewed(
        &mut self,
        review: &Review,
        by: &PersonId,
        verdict: ReviewVerdict,
        words: &str,
    ) -> Result<i64> {
        let now = self.now();
        sqlx::query_scalar!(
            r#"
            update review set state = 'done', reviewer = $3, verdict = $4, words = $5, reviewed_at = $6,
                version = version + 1
            where request = $1 and version = $2 and state <> 'done' returning version
            "#,
            review.request.0,
            review.version,
            by.as_str(),
            verdict.name(),
            words,
            now,
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(review))
    }
}

fn moved(review: &Review) -> StoreError {
    StoreError::Moved { row: format!("review {}", review.request), expected: review.state.name().to_owned() }
}

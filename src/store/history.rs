//! What became of one plan before: for whoever looks at a plan without asking for it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::id::{Digest, PersonId, RunId};

use super::{Result, Store, StoreError};

/// What a ledger knows of one plan, byte for byte the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanHistory {
    /// How many runs of it were asked for, whatever became of them.
    pub runs: i64,
    /// The newest of them; `None` if there is none.
    pub last: Option<LastRun>,
    /// When this was looked up, by the store's clock.
    pub as_of: DateTime<Utc>,
}

/// The newest run of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Its number.
    pub run: RunId,
    /// The name of its state.
    pub state: String,
    /// Who asked for it.
    pub requester: PersonId,
    /// When it was asked for.
    pub asked_at: DateTime<Utc>,
}

impl Store {
    /// How many runs this very plan has had, and the newest.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn find_plan_history(&self, digest: Digest) -> Result<PlanHistory> {
        let row = sqlx::query!(r#"select count(*) as "runs!", max(id) as newest from run where plan = $1"#, &digest.0)
            .fetch_one(&self.pool)
            .await?;
        let newest = match row.newest {
            Some(id) => self.find_run(RunId(id)).await?,
            None => None,
        };
        let last = newest.map(|run| LastRun {
            run: run.id,
            state: run.state.name().to_owned(),
            requester: run.requester,
            asked_at: run.created_at,
        });
        Ok(PlanHistory { runs: row.runs, last, as_of: self.clock.now() })
    }

    /// Refuses a database whose schema is not exactly this binary's: for commands that read it without changing it.
    ///
    /// # Errors
    /// With a sentence that says which it is, or when the database cannot be asked.
    pub async fn expect_current(&self) -> Result<()> {
        if self.is_current().await? {
            return Ok(());
        }
        let there =
            sqlx::query_scalar!(r#"select to_regclass('event') is not null as "there!""#).fetch_one(&self.pool).await?;
        let why = match there {
            false => "this database holds no ledger of countersign yet: start it there once with `countersign up`",
            true => {
                "this database was last used by another version of countersign: read it with that one, or bring it up to \
                 date with `countersign up` of this one"
            }
        };
        Err(StoreError::Refused(why.to_owned()))
    }
}

//! The only SQL. Postgres is the single truth.
//!
//! What lives here: reading and writing rows. What does not: deciding anything. Keeps I4: a [`Tx`] collects the events
//! and messages of its changes and writes them with the same commit, or not at all. Every change of a state row names
//! the state and version that it expects, and says so loudly when it is not met.
//!
//! Locks are taken in one order everywhere: access, incident, request, grant, run, attempt.

mod access;
mod advance;
mod append;
mod away;
mod begin;
mod clock;
mod cover;
mod duty;
pub mod floor;
mod history;
mod hub;
mod incident;
mod incident_room;
mod keys;
pub(crate) mod later;
mod lease;
mod ledger;
mod look;
pub mod managed;
mod outbox;
mod passkey;
mod plain;
mod review;
mod rows;
mod runs;
mod tx;
mod verify;
mod vitals;
mod wake;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

pub use access::{AccessRow, NewAccess, access_subject};
pub use advance::{Advance, AdvanceError, AdvanceTx, Ended, Started};
pub(crate) use append::commitment;
pub use append::{DIRECT, NewMessage, Origin, Place};
pub use away::{ClosedGap, RoomHeard};
pub use clock::Clock;
pub use cover::Cover;
pub use duty::{DelegationRow, Handover, HandoverState, NewHandover};
pub use history::{LastRun, PlanHistory};
pub use hub::{HandedOver, Hub, Listener, Topic};
pub use incident::{CheckKnown, Held, NewIncident};
pub use incident_room::{IncidentPlace, RoomNote, SUMMARY, incident_subject};
pub use keys::{KeyRow, Keyring, RetiredKey};
pub use lease::{Lease, WorkerId, WorkerRow};
pub use ledger::{ChainHead, ChainRow, Chained};
pub use look::{
    Asking, AutomationSeen, Conversation, Entry, KnownCheck, LedgerFilter, LedgerFrom, LineEntry, Mark, MessageEntry,
    Older,
};
pub use outbox::{Backlog, OnlyInstead, OutboxRow, Shown, ShownAs};
pub use passkey::{DecisionLink, Invitation, LinkUsed, NewDecisionLink, NewPasskey, Passkey, Purpose};
pub use plain::PlainLine;
pub use review::{NewBreak, Review, ReviewState};
pub(crate) use rows::subject;
pub use rows::{
    Attempt, AttemptKey, Inconsistent, KeyKnown, Request, Run, StoredBreak, StoredDecision, StoredGrant,
    StoredSignature, StoredUnder,
};
pub use runs::{CauseStatus, CausedRun, Decided, EarlierRuns, LastWord, NewAttemptOutput, NewRequest, NewRun, Whole};
pub use tx::{LineOutcome, LineRow, Tx};
pub(crate) use verify::{
    AccessCheck, AttemptCheck, AutomationCheck, BrakeCheck, CoverCheck, DecisionCheck, DelegationCheck, EventCheck,
    FiringCheck, GrantCheck, HandoverCheck, IncidentCheck, KeyCheck, Loose, PasskeyCheck, RequestCheck, ReviewCheck,
    RunCheck, Snapshot,
};
pub use wake::{NewWaking, Ring, RingEnd, WaitingRing};
pub use watch::{Automation, BrakeRow, CheckFound, CheckRow, ChecksKnown, FiringRow, Paused};

/// The migrations, in the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// What can go wrong here.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or could not be reached.
    #[error("the database did not do it")]
    Database(#[from] sqlx::Error),
    /// A row contradicts the model: somebody else wrote it, or this program is wrong.
    #[error(transparent)]
    Inconsistent(#[from] Inconsistent),
    /// A row was not in the state that the change expects: somebody else was faster.
    #[error("{row} was no longer {expected} when it was to change")]
    Moved {
        /// Which row.
        row: String,
        /// What it should have been.
        expected: String,
    },
    /// A value could not be written as JSON.
    #[error("a value could not be written")]
    Encode(#[from] serde_json::Error),
    /// The system has no randomness to give.
    #[error("no randomness from the system")]
    Random(#[from] getrandom::Error),
    /// The database cannot be used as it is.
    #[error("{0}")]
    Refused(String),
}

impl StoreError {
    /// Whether a connection was lost, or the server ended it. What was asked may have been done or not; asking again takes
    /// another connection.
    pub(crate) fn is_cut(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        matches!(error, sqlx::Error::Io(_)) || matches!(code.as_deref(), Some("57P01" | "57P02" | "08006"))
    }
}

/// Short for what this module's functions return.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// The most connections of one process that are not its loops'.
pub(crate) const MOST_CONNECTIONS: u32 = 12;
/// The most connections of its loops.
const MOST_LOOP_CONNECTIONS: u32 = 3;

/// The store: a pool, a clock, wake-ups, what this process signs with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    /// For whoever is waited for: turns of a conversation, moves of runs, questions.
    pool: PgPool,
    /// For the loops: leases, sequencer, sinks, senders. Few, as opening a connection costs more than waiting for one: at
    /// the start all loops ask at once, and the first answer would wait for all of them. None of the loops holds one while
    /// it waits for another.
    loops: PgPool,
    clock: Clock,
    hub: Arc<Hub>,
    keyring: Keyring,
}

impl Store {
    /// Connects, brings the schema up to date and starts the clock.
    ///
    /// # Errors
    /// When the database cannot be reached within ten seconds, or holds migrations that this binary does not know.
    pub async fn connect(options: PgConnectOptions) -> Result<Self> {
        let store = Self::connect_as_is(options).await?;
        if !store.is_current().await? {
            MIGRATOR.run(&store.pool).await.map_err(|error| {
                StoreError::Refused(format!("the database's schema could not be brought up to date: {error}"))
            })?;
        }
        Ok(store)
    }

    /// Connects without changing the schema: for commands that only read.
    ///
    /// # Errors
    /// When the database cannot be reached within ten seconds.
    pub async fn connect_as_is(options: PgConnectOptions) -> Result<Self> {
        let options = options
            .application_name("countersign")
            // What a session must never do without: both are the server's defaults, and both can be turned off there.
            .options([("synchronous_commit", "on"), ("timezone", "UTC")])
            // Every statement of ours is prepared and goes by key: it has one good plan whatever its values, and planning it
            // anew costs more than running it. A plan is made while its tables are small, and is kept: reading all of a
            // table must not look cheap then, as it would stay when the table has grown.
            .options([("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")]);
        let pool_of = |connections| {
            PgPoolOptions::new()
                .min_connections(0)
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(10))
                .idle_timeout(Duration::from_secs(60))
                // A connection that died in the pool is found by the statement that uses it; asking first costs a round
                // trip on every command.
                .test_before_acquire(false)
        };
        let pool = pool_of(MOST_CONNECTIONS).connect_with(options.clone()).await?;
        let loops = pool_of(MOST_LOOP_CONNECTIONS).connect_lazy_with(options);
        let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(&pool).await?;
        Ok(Self { pool, loops, clock: Clock::starting_at(now), hub: Arc::default(), keyring: Keyring::default() })
    }

    /// Whether every migration of this binary has been applied, and no other. One cheap query, so that a start over a current schema
    /// does not pay for the migrator's lock and checks. They are counted as well: one that came later may bear an earlier
    /// number.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn is_current(&self) -> Result<bool> {
        let newest = MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0);
        let there = sqlx::query_scalar!(r#"select to_regclass('_sqlx_migrations') is not null as "there!""#)
            .fetch_one(&self.pool)
            .await?;
        if !there {
            return Ok(false);
        }
        let applied =
            sqlx::query!(r#"select max(version) as newest, count(*) as "count!" from _sqlx_migrations where success"#)
                .fetch_one(&self.pool)
                .await?;
        Ok(applied.newest == Some(newest) && usize::try_from(applied.count) == Ok(MIGRATOR.iter().count()))
    }

    /// The clock that every `$now` comes from.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The wake-ups.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Compares the database's clock with ours and sets ours anew if they parted by more than two seconds; returns by how
    /// many milliseconds it was moved. The leases of this worker move with it: their length is what counts.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn check_clock(&self, me: WorkerId) -> Result<Option<i64>> {
        let theirs = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(&self.pool).await?;
        let apart = theirs - self.clock.now();
        if apart.num_milliseconds().abs() <= 2_000 {
            return Ok(None);
        }
        sqlx::query!(
            r#"
            with l as (update lease set until = until + make_interval(secs => $2) where holder = $1)
            update run set lease_until = lease_until + make_interval(secs => $2)
            where holder = $1 and state in ('planned', 'approved', 'running', 'stopping')
            "#,
            me.0,
            apart.as_seconds_f64(),
        )
        .execute(&self.pool)
        .await?;
        self.clock.shift(apart);
        Ok(Some(apart.num_milliseconds()))
    }

    /// Closes the connections.
    pub async fn close(&self) {
        self.pool.close().await;
        self.loops.close().await;
    }
}

//! The engine: plans, starts attempts under a Grant, executes, records, recovers.
//!
//! What lives here: `plan` (pure), `next` (pure: what a run does next, also after a crash), the worker that claims and drives
//! runs, the one writer that commits their moves, one file for each kind of step, and `probe` (asking a check outside any run). What does not: deciding who agreed
//! (`approval`), saying anything (`text`, `flow`). Keeps I1, I2, I3 and I8.

mod commit;
mod drive;
mod next;
mod output;
pub mod plan;
pub mod probe;
pub mod redact;
mod secrets;
mod step;
mod unstick;
mod worker;

pub use secrets::Secrets;
pub use step::{Orders, Surroundings};
pub use unstick::{JudgeOutcome, Revoke, RevokeOutcome, StopOutcome, changes_something, judge, revoke, stop};
pub use worker::{Engine, WorkerSettings, bury_the_dead};

/// Where the engine finds the secrets of the catalog that is loaded now.
pub trait SecretsSource: Send + Sync {
    /// The secrets as of now.
    fn secrets(&self) -> Secrets;
}

//! The one place for process calls: who a process is, whether it still lives, starting one, ending one with all its
//! descendants, and the few facts about users that this needs.
//!
//! What lives here: everything that asks the operating system about processes, through `rustix` and `/proc`. What does
//! not: leases, attempts and what a step means (`engine`), and the database server's own care (`store::managed`).
//!
//! Keeps I2: nobody starts a further attempt until [`end_group`] has shown that the old one's processes are gone.
//! A signal is sent to a process only after its identity was read again, never to our own group and never to pid 1.
//!
//! Linux only for now: where there is no `/proc`, every question here is answered with an error rather than a guess.

mod group;
mod identity;
mod lock;
mod procfs;
mod spawn;
mod tool;
mod user;

pub use group::{EndGroupError, GroupEnd, end_group, group_is_empty, marks};
pub use identity::{Liveness, ProcessIdentity, Sent, close_to_others, kill};
pub use lock::{FileLock, LockError};
pub use rustix::process::Signal;
pub use spawn::{Child, MARKER_VARIABLE, Spawn, new_session, spawn};
pub use tool::Tool;
pub use user::{User, effective_user, find_user, hostname};

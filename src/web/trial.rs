//! What the trial's pages offer for trying to cheat: the deeds themselves are whoever wires the server's.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::model::id::ServiceName;

/// Takes a service down, and says what came of it.
pub(super) type BreakService = dyn Fn(ServiceName) -> BoxFuture<'static, Result<String, String>> + Send + Sync;

/// Changes a runbook's file or puts it back, and says which.
pub(super) type EditRunbook = dyn Fn() -> Result<String, String> + Send + Sync;

/// What one may do to the world of a trial. Each says in one sentence what came of it, or why nothing did.
#[derive(Clone)]
pub struct Trial {
    /// The services that can be taken down.
    pub services: Vec<ServiceName>,
    /// Takes one of them down, as an outage would.
    pub break_service: Arc<BreakService>,
    /// Changes the file of a runbook, or puts it back.
    pub edit_runbook: Arc<EditRunbook>,
    /// Kills this very process where it stands.
    pub kill: Arc<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trial").field("services", &self.services).finish_non_exhaustive()
    }
}

//! The event loop and its wiring: the one room that knows all the others. Nobody imports it but the command line.
//!
//! What lives here: who said it, may they, where does it go; one handler for each command; the room's echoes; expiry and
//! other housekeeping; reloading the catalog. What does not: SQL (`store`), words (`text`), who agreed (`approval`), what
//! runs (`engine`).

mod commands;
mod echo;
mod echo_incident;
mod handle;
mod housekeeping;
mod incident_rooms;
mod reload;
mod turn;
mod watch;

use std::sync::{Arc, RwLock};

use crate::chat::{Adapter, Limits};
use crate::command;
use crate::engine::plan::{LocalWorld, World, plan};
use crate::engine::{Secrets, SecretsSource};
use crate::model::catalog::Catalog;
use crate::model::chat::RoomAddress;
use crate::model::id::{Digest, SecretName, ServiceName, SystemName};
use crate::model::plan::Sealed;
use crate::runbook::Loaded;
use crate::store::Store;
use crate::text;
use crate::text::time::Times;

pub use echo::room_sink;
pub use housekeeping::housekeeping;
pub use incident_rooms::{incident_rooms, unserved};
pub use reload::{Reload, watch_catalog};
pub use watch::watch;

/// A line that would mend a service, if the catalog has one: what rooms and pages offer when it fails.
pub fn mending_line(catalog: &Catalog, system: &SystemName, service: &ServiceName) -> Option<String> {
    commands::offer(catalog, system, service, None)
}

/// A catalog in use, with its secrets.
#[derive(Debug)]
pub struct InUse {
    /// The catalog. Shared: pages keep the one that they began with.
    pub catalog: Arc<Catalog>,
    /// The hash over its files.
    pub fingerprint: Digest,
    /// Its secrets' values.
    pub secrets: Secrets,
}

impl InUse {
    /// Takes a loaded catalog into use: reads its secrets. Those that cannot be read are named in the log; a step that
    /// needs one fails before it starts.
    pub fn new(loaded: Loaded, own: &[(SecretName, Vec<u8>)]) -> Self {
        let (secrets, problems) = Secrets::read(&loaded.catalog, own);
        for problem in problems {
            tracing::warn!("{problem}");
        }
        Self { catalog: Arc::new(loaded.catalog), fingerprint: loaded.fingerprint, secrets }
    }
}

/// What every handler needs.
pub struct App {
    /// The store.
    pub store: Store,
    /// How times are said.
    pub times: Times,
    /// Where plans find programs, and on which host steps run.
    pub world: LocalWorld,
    /// The chat adapters.
    pub adapters: Vec<Arc<dyn Adapter>>,
    /// The bot's own secrets: taken out of everything that is kept.
    own_secrets: Vec<(SecretName, Vec<u8>)>,
    in_use: RwLock<Arc<InUse>>,
}

impl App {
    /// Wires an app.
    pub fn new(
        store: Store,
        times: Times,
        world: LocalWorld,
        adapters: Vec<Arc<dyn Adapter>>,
        loaded: Loaded,
        own_secrets: Vec<(SecretName, Vec<u8>)>,
    ) -> Self {
        let in_use = RwLock::new(Arc::new(InUse::new(loaded, &own_secrets)));
        Self { store, times, world, adapters, own_secrets, in_use }
    }

    /// The catalog in use now. A reload leaves what was taken here as it is.
    pub fn in_use(&self) -> Arc<InUse> {
        // Nothing panics while it holds this lock; and if it did, the catalog behind it is whole all the same.
        self.in_use.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn replace(&self, with: Loaded) {
        let with = InUse::new(with, &self.own_secrets);
        *self.in_use.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(with);
    }

    /// What fits into one message of a room.
    fn limits(&self, room: &RoomAddress) -> Limits {
        self.adapters
            .iter()
            .find(|adapter| adapter.serves(room))
            .map_or(Limits { text: 2_000, buttons: 0 }, |adapter| adapter.limits())
    }
}

/// Makes a plan of a runbook named as in a room, with arguments given by name; checked as a line of the room would be.
///
/// # Errors
/// The sentence that the room would read.
pub fn make_plan<'a>(
    catalog: &Catalog,
    runbook: &str,
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
    world: &dyn World,
) -> Result<Sealed, String> {
    let (name, params) = command::named_run(catalog, runbook, params).map_err(|error| text::command::wrong(&error))?;
    let runbook = catalog.runbooks.get(&name).ok_or("the catalog has no such runbook")?;
    let plan = plan(catalog, runbook, &params, world).map_err(|refusal| text::chain(&refusal))?;
    Sealed::seal(&plan).map_err(|error| error.to_string())
}

/// The secrets of whatever catalog is in use.
pub struct CurrentSecrets(pub Arc<App>);

impl SecretsSource for CurrentSecrets {
    fn secrets(&self) -> Secrets {
        self.0.in_use().secrets.clone()
    }
}

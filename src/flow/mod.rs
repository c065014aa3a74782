//! The event loop and its wiring: the one room that knows all the others. Nobody imports it but the command line.
//!
//! What lives here: who said it, may they, where does it go; one handler for each command; the room's echoes; expiry and
//! other housekeeping; reloading the catalog. What does not: SQL (`store`), words (`text`), who agreed (`approval`), what
//! runs (`engine`).

mod access;
mod away;
mod commands;
mod echo;
mod echo_incident;
mod escalation;
mod handle;
mod handover;
mod held;
mod housekeeping;
mod incident_rooms;
mod later;
mod membership;
mod reload;
mod request;
mod ring;
mod turn;
mod watch;

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use chrono::{DateTime, Utc};

use crate::chat::{Adapter, Limits, Long, Used};
use crate::command;
use crate::engine::plan::{LocalWorld, PlanFor, World, plan};
use crate::engine::{Secrets, SecretsSource};
use crate::model::catalog::{Catalog, Subject};
use crate::model::chat::{Account, RoomAddress, UserGroup};
use crate::model::group::{Kept, Sightings};
use crate::model::id::{AccessId, Digest, MessageId, SecretName, ServiceName, SystemName};
use crate::model::plan::Sealed;
use crate::runbook::Loaded;
use crate::store::{AccessRow, Clock, Store};
use crate::text;
use crate::text::time::Times;

pub use access::Countersigning;
pub use echo::room_sink;
pub use escalation::escalation;
pub use housekeeping::housekeeping;
pub use incident_rooms::incident_rooms;
pub use later::clear_all;
pub use membership::{Membership, UserGroupTimes};
pub use reload::{Reload, watch_catalog};
pub use ring::{Call, Ringer, RingerError};
pub use watch::watch;

/// A line that would mend a service, if the catalog has one: what rooms and pages offer when it fails.
pub fn mending_line(catalog: &Catalog, system: &SystemName, service: &ServiceName) -> Option<String> {
    commands::offer(catalog, system, service, None)
}

/// A catalog in use, with its secrets.
#[derive(Debug)]
pub struct InUse {
    /// The catalog: what of it is in force. Shared: pages keep the one that they began with.
    pub catalog: Arc<Catalog>,
    /// The catalog as it was read, without who is in platforms' groups.
    read: Arc<Catalog>,
    /// The version of who may do what that it was narrowed to; `None`: to none.
    access: Option<AccessId>,
    /// The hash over its files.
    pub fingerprint: Digest,
    /// Its secrets' values.
    pub secrets: Secrets,
    /// Until when the members of platforms' user groups may be relied on, by `App`'s steady clock.
    members_until: Option<chrono::DateTime<chrono::Utc>>,
}

impl InUse {
    /// Takes a loaded catalog into use: reads its secrets. Those that cannot be read are named in the log; a step that
    /// needs one fails before it starts.
    pub fn new(loaded: Loaded, own: &[(SecretName, Vec<u8>)]) -> Self {
        let (secrets, problems) = Secrets::read(&loaded.catalog, own);
        for problem in problems {
            tracing::warn!("{problem}");
        }
        let catalog = Arc::new(loaded.catalog);
        let read = catalog.clone();
        Self { catalog, read, access: None, fingerprint: loaded.fingerprint, secrets, members_until: None }
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
    /// What platforms have said of their user groups. Locked after `in_use`.
    sightings: Mutex<Sightings>,
    user_groups: UserGroupTimes,
    /// Whether a change of who may do what needs a second person.
    countersigning: Countersigning,
    /// Under which address people decide with a passkey; `None`: there are no such pages.
    decisions: Option<String>,
    /// What was last said to be looked at in the catalog in use.
    warned: Mutex<Vec<String>>,
    /// What was last said of the pages for passkeys, if they did not answer.
    unreached: Mutex<Option<String>>,
    /// A clock that nobody sets: how old an answer is does not depend on what the database's clock does.
    steady: Clock,
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
        let steady = Clock::starting_at(store.clock().now());
        let (sightings, user_groups) = (Mutex::default(), UserGroupTimes::default());
        let (countersigning, decisions, warned) = (Countersigning::AtOnce, None, Mutex::default());
        Self {
            store,
            times,
            world,
            adapters,
            own_secrets,
            in_use,
            sightings,
            user_groups,
            countersigning,
            decisions,
            warned,
            unreached: Mutex::default(),
            steady,
        }
    }

    /// Uses of a catalog only what was countersigned, or not. [`App::settle`] has to follow before anything else does.
    #[must_use]
    pub fn countersigning(mut self, countersigning: Countersigning) -> Self {
        self.countersigning = countersigning;
        self
    }

    /// Sends people to pages under this address where a decision wants a passkey.
    #[must_use]
    pub fn deciding_at(mut self, origin: Option<String>) -> Self {
        self.decisions = origin;
        self
    }

    /// Asks for platforms' user groups at these times.
    #[must_use]
    pub fn asking_for_user_groups(mut self, times: UserGroupTimes) -> Self {
        self.user_groups = times;
        self
    }

    /// The catalog in use now, with the people who are in its groups now. A reload leaves what was taken here as it is.
    pub fn in_use(&self) -> Arc<InUse> {
        // Nothing panics while it holds this lock; and if it did, the catalog behind it is whole all the same.
        let in_use = self.in_use.read().unwrap_or_else(PoisonError::into_inner).clone();
        match in_use.members_until {
            Some(until) if self.steady.now() >= until => self.look_at_members(|_| ()),
            Some(_) | None => in_use,
        }
    }

    /// Takes another catalog into use: of it only what is in force, if that is kept.
    fn replace(&self, with: Loaded, in_force: Option<&AccessRow>) {
        let mut with = InUse::new(with, &self.own_secrets);
        if let Some(row) = in_force {
            with.catalog = Arc::new(access::narrowed(&with.read, row));
            with.access = Some(row.id);
        }
        let mut in_use = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        *in_use = Arc::new(self.with_members(&with, |_| ()));
    }

    /// Takes what platforms have said into the catalog in use.
    fn look_at_members(&self, heard: impl FnOnce(&mut Sightings)) -> Arc<InUse> {
        let mut in_use = self.in_use.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.with_members(&in_use, heard);
        // Whoever keeps a catalog sees by its place in memory whether it is another.
        if now.catalog.groups != in_use.catalog.groups {
            *in_use = Arc::new(now);
        }
        in_use.clone()
    }

    fn with_members(&self, of: &InUse, heard: impl FnOnce(&mut Sightings)) -> InUse {
        let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
        heard(&mut sightings);
        let catalog = of.catalog.with_members(&sightings, self.steady.now(), self.user_groups.lasts());
        InUse {
            members_until: catalog.members_good_until(),
            catalog: Arc::new(catalog),
            read: of.read.clone(),
            access: of.access,
            fingerprint: of.fingerprint,
            secrets: of.secrets.clone(),
        }
    }

    /// The sentences that say of which of these groups nobody knows who is in them, if there are any: with a space before
    /// them, to stand behind a refusal.
    fn unseen<'a>(&self, catalog: &'a Catalog, subjects: impl IntoIterator<Item = &'a Subject>) -> String {
        text::answer::unseen(&catalog.unseen(subjects), self.steady.now())
    }

    /// What is wrong with a catalog for the workspaces that this bot speaks to: each room and each user group of it that
    /// none of them has.
    pub fn unserved(&self, catalog: &Catalog) -> Vec<String> {
        // Who has no adapter at all speaks to nobody, and knows it.
        if self.adapters.is_empty() {
            return Vec::new();
        }
        let rooms = catalog
            .rooms
            .values()
            .filter(|room| self.serving(&room.address).is_none())
            .map(|room| text::echo::unserved(&room.name, &room.address));
        let groups = catalog.groups.iter().filter_map(|(name, group)| match &group.kept {
            Kept::Platform { user_group, .. } if self.keeping(user_group).is_none() => {
                Some(text::echo::unserved_group(name, user_group))
            }
            Kept::Platform { .. } | Kept::Catalog => None,
        });
        rooms.chain(groups).chain(incident_rooms::unserved(&self.adapters, catalog)).collect()
    }

    /// The adapter of a room's workspace.
    fn serving(&self, room: &RoomAddress) -> Option<&Arc<dyn Adapter>> {
        self.adapters.iter().find(|adapter| adapter.serves(room))
    }

    /// The adapter of a user group's workspace.
    fn keeping(&self, group: &UserGroup) -> Option<&Arc<dyn Adapter>> {
        let UserGroup { platform, workspace, id } = group.clone();
        // Who serves one room of a workspace serves all of it.
        self.serving(&RoomAddress { platform, workspace, channel: id })
    }

    /// What fits into one message of a room.
    fn limits(&self, room: &RoomAddress) -> Limits {
        let unknown = Limits { text: 2_000, buttons: 0, used: Used::Hidden, at_once: None, long: Long::Messages };
        self.serving(room).map_or(unknown, |adapter| adapter.limits())
    }

    /// Whether a line was said before a message of ours stood in its room, as far as the platform tells.
    fn precedes(&self, room: &RoomAddress, said: &MessageId, posted: &MessageId) -> Option<bool> {
        self.serving(room).and_then(|adapter| adapter.precedes(said, posted))
    }

    /// Where an account is spoken to alone, if a platform here does that.
    fn direct(&self, account: &Account) -> Option<RoomAddress> {
        self.adapters.iter().find_map(|adapter| adapter.direct(account))
    }
}

/// Makes a plan of a runbook named as in a room, with arguments given by name, as it would be at a moment; checked as a line
/// of the room would be.
///
/// # Errors
/// The sentence that the room would read.
pub fn make_plan<'a>(
    catalog: &Catalog,
    runbook: &str,
    params: impl IntoIterator<Item = (&'a str, &'a str)>,
    at: DateTime<Utc>,
    world: &dyn World,
) -> Result<Sealed, String> {
    let (name, params) = command::named_run(catalog, runbook, params).map_err(|error| text::command::wrong(&error))?;
    let runbook = catalog.runbooks.get(&name).ok_or("the catalog has no such runbook")?;
    let plan = plan(catalog, runbook, &params, PlanFor::at(at), world).map_err(|refusal| text::chain(&refusal))?;
    Sealed::seal(&plan).map_err(|error| error.to_string())
}

/// The secrets of whatever catalog is in use.
pub struct CurrentSecrets(pub Arc<App>);

impl SecretsSource for CurrentSecrets {
    fn secrets(&self) -> Secrets {
        self.0.in_use().secrets.clone()
    }
}

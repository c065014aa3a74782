//! Reloading the catalog: on SIGHUP and when a file changes.
//!
//! Keeps I10 (a catalog that does not validate is not loaded, the one before keeps serving, and rooms and operator are told
//! where and why) and I13 (a request that waits means what it meant; when the new catalog would make another plan of it,
//! its thread says so). Outside a trial what a change of the catalog would give waits for a second person (`access`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use notify::Watcher;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::turn::plan_of;
use super::{App, Countersigning};
use crate::approval::{self, Because};
use crate::engine::plan::{PlanFor, plan};
use crate::metrics::beats::{Loop, beat};
use crate::model::event::{Happened, NewEvent, Record, RemovedBecause, Scope};
use crate::model::id::{Digest, PersonId, PolicyName, RequestId, TriggerName};
use crate::model::plan::{Plan, Sealed};
use crate::runbook::{self, Diagnostics, Loaded};
use crate::store::{Passkey, Request, StoreError};
use crate::text;
use crate::web::decisions;

/// An editor saves in several strokes: after the first, wait for the last.
const SETTLE: Duration = Duration::from_millis(100);
/// What takes rights away does so for good: files must have stood still for so long before they are believed, for a
/// checkout writes them one after the other.
const STAND_FOR: Duration = Duration::from_millis(300);
/// Where no file events arrive (network file systems), look now and then.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Requests that are compared without reading more.
const PAGE: i64 = 50;

/// Somebody asks for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The operator, by SIGHUP: loaded and reported even if nothing differs.
    Asked,
    /// A file may have changed.
    Perhaps,
}

/// Watches the catalog's folder and reloads when it differs, until told to stop.
pub async fn watch_catalog(
    app: Arc<App>,
    root: PathBuf,
    mut asked: mpsc::Receiver<Reload>,
    mut stop: watch::Receiver<bool>,
) {
    let (changed, mut changes) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Being read is no change: otherwise every look would ask for the next.
        if event.is_ok_and(|event| matches!(event.kind, notify::EventKind::Access(_))) {
            return;
        }
        // Full means that a look is due anyway.
        let _ = changed.try_send(());
    });
    // Kept alive by the name; without file events the slow look remains.
    let _watcher = match watcher {
        Ok(mut watcher) => match watcher.watch(&root, notify::RecursiveMode::Recursive) {
            Ok(()) => Some(watcher),
            Err(error) => {
                tracing::warn!(%error, "the catalog's folder cannot be watched; it is looked at every 5 s");
                None
            }
        },
        Err(error) => {
            tracing::warn!(%error, "files cannot be watched; the catalog is looked at every 5 s");
            None
        }
    };
    let mut refused = None::<Vec<String>>;
    let mut looking = spawn_look_at_pages(&app, Told::ByLog);
    loop {
        beat(Loop::Catalog);
        let why = tokio::select! {
            _ = stop.changed() => return,
            Some(reload) = asked.recv() => reload,
            Some(()) = changes.recv() => {
                tokio::time::sleep(SETTLE).await;
                while changes.try_recv().is_ok() {}
                Reload::Perhaps
            }
            () = tokio::time::sleep(LOOK_EVERY) => Reload::Perhaps,
        };
        let before = app.in_use().fingerprint;
        if let Err(error) = look(&app, &root, why, &mut refused).await {
            tracing::error!(error = %text::chain(&error), "the catalog could not be reloaded");
        }
        if app.in_use().fingerprint != before || why == Reload::Asked {
            looking.abort();
            looking = spawn_look_at_pages(&app, Told::InRooms);
        }
    }
}

/// Looks, beside everything else, whether the pages for passkeys answer where people are sent. It keeps nobody waiting: an
/// address that leads nowhere may take seconds to say so.
fn spawn_look_at_pages(app: &Arc<App>, told: Told) -> JoinHandle<()> {
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(error) = app.look_at_pages(told).await {
            tracing::error!(error = %text::chain(&error), "what was found of the pages for passkeys could not be kept");
        }
    })
}

async fn look(app: &App, root: &Path, why: Reload, refused: &mut Option<Vec<String>>) -> Result<(), StoreError> {
    match load(root).await? {
        Ok(loaded) => {
            let was_refused = refused.is_some();
            if loaded.fingerprint == app.in_use().fingerprint && !was_refused && why == Reload::Perhaps {
                app.follow_access().await?;
                app.end_passkeys_of_who_left().await?;
                // The same catalog may name a script whose content is another now: that too makes another plan.
                return tell_what_differs(app).await;
            }
            if app.countersigning == Countersigning::Needed && why == Reload::Perhaps {
                tokio::time::sleep(STAND_FOR).await;
                // What is being written is looked at again when it has been.
                if !load(root).await?.is_ok_and(|again| again.fingerprint == loaded.fingerprint) {
                    return Ok(());
                }
            }
            let unserved = app.unserved(&loaded.catalog);
            if !unserved.is_empty() {
                return refuse(app, &unserved.join("\n"), unserved, refused).await;
            }
            take(app, loaded, was_refused, why).await?;
            *refused = None;
            Ok(())
        }
        Err(problems) => refuse(app, &problems.to_string(), problems.lines().collect(), refused).await,
    }
}

async fn load(root: &Path) -> Result<Result<Loaded, Diagnostics>, StoreError> {
    let path = root.to_owned();
    tokio::task::spawn_blocking(move || runbook::load(&path))
        .await
        .map_err(|error| StoreError::Refused(format!("reading the catalog ended badly: {error}")))
}

async fn take(app: &App, loaded: Loaded, was_refused: bool, why: Reload) -> Result<(), StoreError> {
    let runbooks = loaded.catalog.runbooks.len();
    let fingerprint = loaded.fingerprint;
    let in_force = match app.countersigning {
        Countersigning::AtOnce => None,
        Countersigning::Needed => {
            let because = match why {
                Reload::Asked => Because::Asked,
                Reload::Perhaps => Because::Read,
            };
            Some(app.compare(&loaded.catalog, because).await?.in_force)
        }
    };
    let stale = loaded.catalog.authors_perhaps_stale(&app.in_use().read);
    let stale: Vec<String> = stale.iter().map(text::access::author_perhaps_stale).collect();
    app.replace(loaded, in_force.as_ref());
    tracing::info!(runbooks, fingerprint = %fingerprint.short(), "catalog loaded");
    let scope = Scope { audience: was_refused.then(|| "rooms".to_owned()), ..Scope::default() };
    let record = Record { what: Happened::CatalogLoaded { fingerprint, runbooks }, rows: Vec::new() };
    app.store.record(&[NewEvent { scope, cause: None, record }]).await?;
    app.end_passkeys_of_who_left().await?;
    app.warn(Told::InRooms).await?;
    if !stale.is_empty() {
        for warning in &stale {
            tracing::warn!("{warning}");
        }
        let record = Record { what: Happened::CatalogWarned { warnings: stale }, rows: Vec::new() };
        app.store.record(&[NewEvent { scope: Scope::default(), cause: None, record }]).await?;
    }
    tell_what_differs(app).await
}

/// Who is told of what should be looked at in a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The operator, by the log.
    ByLog,
    /// The rooms as well.
    InRooms,
}

impl App {
    /// Says what should be looked at in the catalog with which the bot starts: to the operator, and in the ledger.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn warn_at_start(&self) -> Result<(), StoreError> {
        self.end_passkeys_of_who_left().await?;
        self.warn(Told::ByLog).await
    }

    /// Removes the passkeys of people whom the catalog in force does not have any more: passkeys go by a person's name, and
    /// whoever is given that name later is perhaps somebody else.
    async fn end_passkeys_of_who_left(&self) -> Result<(), StoreError> {
        let in_use = self.in_use();
        let all = self.store.list_passkeys(None).await?;
        let left =
            |passkey: &Passkey| passkey.removed_at.is_none() && !in_use.catalog.people.contains_key(&passkey.person);
        for passkey in all.into_iter().filter(left) {
            let mut tx = self.store.begin().await?;
            // Another replica may have been faster.
            let left = approval::remove_passkey(&mut tx, passkey.id, RemovedBecause::Left).await?;
            let Some(person) = left else { continue };
            tx.commit().await?;
            tracing::warn!(%person, passkey = %passkey.id, "a passkey was removed: the catalog has no such person any more");
        }
        Ok(())
    }

    /// The same once more only if it is something else.
    async fn warn(&self, told: Told) -> Result<(), StoreError> {
        let holders = self.store.list_passkeys(None).await?;
        let holders: BTreeSet<PersonId> =
            holders.into_iter().filter(|passkey| passkey.removed_at.is_none()).map(|passkey| passkey.person).collect();
        let wanting = self.in_use().catalog.wanting_passkeys();
        let warnings = text::passkey::warnings(&wanting, self.decisions.as_deref(), &holders);
        let before =
            std::mem::replace(&mut *self.warned.lock().unwrap_or_else(PoisonError::into_inner), warnings.clone());
        if warnings.is_empty() || warnings == before {
            return Ok(());
        }
        self.tell_warnings(warnings, told).await
    }

    /// Says that a policy in force wants a passkey and its page cannot be reached; once more only if it is something else.
    async fn look_at_pages(&self, told: Told) -> Result<(), StoreError> {
        let Some(origin) = &self.decisions else { return Ok(()) };
        let wanting: Vec<PolicyName> =
            self.in_use().catalog.wanting_passkeys().into_iter().map(|(policy, _)| policy).collect();
        if wanting.is_empty() {
            return Ok(());
        }
        let warning = match decisions::answer_at(origin).await {
            Ok(()) => None,
            Err(why) => Some(text::passkey::out_of_reach(&wanting, origin, &why)),
        };
        let before =
            std::mem::replace(&mut *self.unreached.lock().unwrap_or_else(PoisonError::into_inner), warning.clone());
        match warning {
            Some(warning) if before.as_ref() != Some(&warning) => self.tell_warnings(vec![warning], told).await,
            Some(_) | None => Ok(()),
        }
    }

    async fn tell_warnings(&self, warnings: Vec<String>, told: Told) -> Result<(), StoreError> {
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        let scope = Scope { audience: (told == Told::InRooms).then(|| "rooms".to_owned()), ..Scope::default() };
        let record = Record { what: Happened::CatalogWarned { warnings }, rows: Vec::new() };
        self.store.record(&[NewEvent { scope, cause: None, record }]).await?;
        Ok(())
    }
}

/// `drawn` is for the operator, `lines` for the rooms.
async fn refuse(
    app: &App,
    drawn: &str,
    lines: Vec<String>,
    refused: &mut Option<Vec<String>>,
) -> Result<(), StoreError> {
    // The same problems once.
    if refused.as_ref() == Some(&lines) {
        return Ok(());
    }
    tracing::error!("the catalog is not loaded, the one before keeps serving:\n{drawn}");
    let record = Record { what: Happened::CatalogRefused { problems: lines.clone() }, rows: Vec::new() };
    app.store.record(&[NewEvent { scope: Scope::default(), cause: None, record }]).await?;
    // Remembered only once the rooms will be told.
    *refused = Some(lines);
    Ok(())
}

/// Tells the thread of every request that waits when the catalog would make another plan of it now. Once for each other
/// plan.
///
/// This is looked at again and again, and very many may wait: each plan is made anew once, whoever asked for it.
async fn tell_what_differs(app: &App) -> Result<(), StoreError> {
    for (digest, told) in app.store.list_waiting_plans().await? {
        tell_of_plan(app, digest, told).await?;
    }
    Ok(())
}

/// The same for the requests that wait for one plan and were told of the same difference, or of none.
async fn tell_of_plan(app: &App, digest: Digest, told: Option<Digest>) -> Result<(), StoreError> {
    let mut now = None::<Option<Digest>>;
    let mut after = RequestId(0);
    loop {
        let waiting = app.store.list_waiting_for(digest, told, after, PAGE).await?;
        let Some(last) = waiting.last() else { return Ok(()) };
        after = last.id;
        for request in waiting {
            // Each alone: one that cannot be read must not keep the others from being told.
            match compare(app, &request, now).await {
                Ok(Compared::Same) => return Ok(()),
                Ok(Compared::Told(differs)) => now = Some(differs),
                Ok(Compared::Gone) => {}
                Err(error) => {
                    tracing::error!(error = %text::chain(&error), request = %request.code, run.id = request.run.0, "a request could not be compared");
                }
            }
        }
    }
}

/// What came of a comparison.
enum Compared {
    /// The plan is the same, or its difference is known.
    Same,
    /// It differs, and the thread will be told: this is what it would be now.
    Told(Option<Digest>),
    /// There is no such run.
    Gone,
}

/// Compares a request's plan with what the catalog would make of it; `now` is that, if it has been made already.
async fn compare(app: &App, request: &Request, now: Option<Option<Digest>>) -> Result<Compared, StoreError> {
    let Some(run) = app.store.find_run(request.run).await? else { return Ok(Compared::Gone) };
    let now = match now {
        Some(now) => now,
        // A plan is of the moment in which its run was made: a request to retry asks for the same plan later.
        None => made_now(app, &plan_of(&run)?, run.created_at, run.trigger.as_ref()),
    };
    if now == Some(request.digest) || told(request, now) {
        return Ok(Compared::Same);
    }
    let mut tx = app.store.begin().await?;
    tx.set_request_differs(request.id, now).await?;
    let scope = run.scope();
    let what = Happened::RequestDiffers { request: request.id, code: request.code, run: run.id, now };
    tx.record(NewEvent { scope, cause: run.cause, record: Record { what, rows: Vec::new() } });
    tx.commit().await?;
    Ok(Compared::Told(now))
}

/// The digest of the plan that the catalog in force would have made when it was asked for; `None`: it would make none.
fn made_now(app: &App, asked: &Plan, at: DateTime<Utc>, trigger: Option<&TriggerName>) -> Option<Digest> {
    let in_use = app.in_use();
    let runbook = in_use.catalog.runbooks.get(&asked.runbook)?;
    // What starts later stands under the policy of that moment.
    let at = asked.not_before.unwrap_or(at);
    let plan = plan(&in_use.catalog, runbook, &asked.params, PlanFor { at, trigger }, &app.world).ok()?.as_asked(asked);
    Some(Sealed::seal(&plan).ok()?.digest())
}

/// Whether the thread was told of exactly this difference already.
fn told(request: &Request, now: Option<Digest>) -> bool {
    request.differs == Some(now.unwrap_or(Digest([0; 32])))
}

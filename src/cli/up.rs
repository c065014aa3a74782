//! `countersign up`: the bot itself.
//!
//! Starts in an order in which everything that a later part needs is there, says `ready` when it really answers, and ends
//! in the opposite order: first nothing new, then what runs, then what is to be told, then the database.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch as channel};
use tokio::task::JoinHandle;

use super::LogFormat;
use super::place::local_world;
use super::workspaces::{self, Workspace};
use crate::approval::Because;
use crate::chat::room::LocalRoom;
use crate::chat::{Adapter, sender};
use crate::config::{Database, Flags, RingSettings, Settings};
use crate::engine::probe::Asker;
use crate::engine::{Engine, Surroundings, WorkerSettings, bury_the_dead};
use crate::flow::{
    App, Countersigning, CurrentSecrets, Membership, Reload, Ringer, UserGroupTimes, escalation, housekeeping,
    incident_rooms, make_plan, mending_line, room_sink, watch, watch_catalog,
};
use crate::ledger::{self, Trial, keys};
use crate::model::catalog::{Catalog, Probe, StepAction};
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::model::id::SecretName;
use crate::model::signature::{PublicKey, Trust};
use crate::passkey::RelyingParty;
use crate::store::managed::{self, Managed, ManagedOptions};
use crate::store::{Store, WorkerId};
use crate::sys::{self, Liveness, ProcessIdentity, close_to_others};
use crate::text::echo::at_once;
use crate::text::time::Times;
use crate::web::decisions::Decisions;
use crate::web::{self, Speaking, Token, WebState};
use crate::{demo, runbook};

/// The variable by which the shipped runbooks find the demo's services.
pub(super) const DEMO: &str = "COUNTERSIGN_DEMO";
/// How long ending may take in all; past that the program ends as it is.
const END_WITHIN: Duration = Duration::from_secs(25);
/// How long the loops may wait for the database before an error comes back; only beyond it is one of them known to hang.
const DATABASE_PATIENCE: Duration = Duration::from_secs(10);
/// How long what has been recorded may take to be told at the end.
const TELL_WITHIN: Duration = Duration::from_secs(3);

/// What says which settings: for `up`, and for whatever looks at the same.
#[derive(Debug, clap::Args)]
pub(super) struct SettingsArgs {
    /// Settings file (YAML).
    #[arg(long, value_name = "FILE", env = "COUNTERSIGN_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Folder of the catalog [default: runbooks].
    #[arg(long, value_name = "DIR")]
    catalog: Option<PathBuf>,
    /// Folder for the bot's own data [default: $XDG_DATA_HOME/countersign].
    #[arg(long, value_name = "DIR", env = "COUNTERSIGN_DATA")]
    data: Option<PathBuf>,
    /// `auto` for a Postgres that is found, started and stopped, or the URL of one [default: auto].
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// Address and port to listen at; port 0 takes a free one [default: 127.0.0.1:7373].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl From<SettingsArgs> for Flags {
    fn from(args: SettingsArgs) -> Self {
        let SettingsArgs { config, catalog, data, database, listen } = args;
        Self { config, catalog, data, database, listen }
    }
}

/// Start the bot: without settings a trial, with a local room, a database of its own and demo services.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// How logs are written to stderr.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

/// Runs the bot until SIGTERM or Ctrl-C.
///
/// # Errors
/// When it cannot start: one sentence that says what to do.
pub async fn run(args: Args) -> anyhow::Result<u8> {
    super::start_logging(args.log_format)?;
    // Tokens of chat workspaces and the database's password are in its memory and perhaps in its environment, and steps
    // run as the same user.
    if let Err(error) = close_to_others() {
        tracing::warn!(%error, "this process cannot be closed to others of its user: a step could read its environment");
    }
    let settings = Settings::read(args.settings.into())?;
    // Registered before anything is started, so that a signal in the middle of it is not lost.
    let mut ending = Ending::new()?;
    let catalog = settings.catalog.clone();
    let loaded = tokio::task::spawn_blocking(move || runbook::load(&catalog)).await?;
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(problems) => bail!("the catalog in {} is not sound:\n{problems}", settings.catalog.display()),
    };
    let (ringer, ring_secrets) = open_ring(settings.ring.as_ref())?;
    let (workspaces, chat_secrets) = workspaces::open(&settings.slack).await?;
    make_private(&settings.data)?;
    let token = Token::create_or_read(&settings.data)?;
    let exe = std::env::current_exe().context("this program's own file cannot be found")?;
    let (database, demo) = tokio::join!(open_database(&settings), start_demo(&settings, &exe, &loaded.catalog));
    let (store, managed) = database?;
    let demo = demo?;
    let mut own_secrets = own_secrets(&settings, &token, managed.as_ref());
    own_secrets.extend(ring_secrets);
    own_secrets.extend(chat_secrets);
    let key = web::entry_key(&token);
    let started =
        Bot::start(&settings, loaded, store.clone(), token, own_secrets, demo.as_ref(), workspaces, ringer).await;
    let mut bot = match started {
        Ok(bot) => bot,
        Err(error) => {
            end_surroundings(demo, store, managed).await;
            return Err(error);
        }
    };
    say_ready(bot.address, &key)?;
    let failure = loop {
        tokio::select! {
            signalled = ending.next() => match signalled {
                Signalled::Reload => {
                    // Full means that a reload is under way.
                    let _ = bot.reload.try_send(Reload::Asked);
                }
                Signalled::End => break None,
            },
            // None of them ends by itself: what is left would only look alive.
            Some(part) = bot.ended.recv() => break Some(format!("the {part} has ended, which it must not; the log says why")),
            () = database_died(managed.as_ref()) => {
                break Some(format!(
                    "the managed Postgres has ended; {} says why. Start countersign again",
                    settings.data.join("postgres.log").display()
                ));
            }
        }
    };
    tracing::info!("ending");
    let end = async {
        bot.end().await;
        end_surroundings(demo, store, managed).await;
    };
    // Whoever presses Ctrl-C twice does not want to wait: what still runs is killed as the program ends, the next start
    // finds out.
    let finished = tokio::select! {
        () = end => true,
        () = tokio::time::sleep(END_WITHIN) => false,
        () = ending.again() => false,
    };
    if !finished {
        tracing::warn!("ended before everything was told and put away; the next start goes on from there");
    }
    match failure {
        Some(failure) => bail!(failure),
        None => Ok(u8::from(!finished)),
    }
}

/// The bot's own secrets: taken out of everything that is kept, for a step that finds them may say them aloud.
fn own_secrets(settings: &Settings, token: &Token, managed: Option<&Managed>) -> Vec<(SecretName, Vec<u8>)> {
    let mut secrets = vec![
        (SecretName::new("countersign-token"), token.expose().as_bytes().to_vec()),
        (SecretName::new("countersign-key"), web::entry_key(token).into_bytes()),
    ];
    let password = match (&settings.database, managed) {
        (_, Some(managed)) => Some(managed.password().to_owned()),
        (Database::Url(url), None) => {
            reqwest::Url::parse(url).ok().and_then(|url| url.password().map(ToOwned::to_owned))
        }
        (Database::Auto, None) => None,
    };
    secrets.extend(password.map(|password| (SecretName::new("database-password"), password.into_bytes())));
    secrets
}

/// Secrets by name, for redaction.
type OwnSecrets = Vec<(SecretName, Vec<u8>)>;

/// The webhook that rings people, with its secrets.
fn open_ring(settings: Option<&RingSettings>) -> anyhow::Result<(Option<Ringer>, OwnSecrets)> {
    let Some(RingSettings { url, secret }) = settings else { return Ok((None, Vec::new())) };
    let secret = secret.read("the secret of `ring`", "")?;
    let ringer = Ringer::new(url, secret.clone())?;
    let secrets = [("ring-secret", secret), ("ring-url", url.clone())];
    Ok((Some(ringer), secrets.map(|(name, value)| (SecretName::new(name), value.into_bytes())).into()))
}

/// Waits until the managed Postgres is seen dead; for ever when there is none.
async fn database_died(managed: Option<&Managed>) {
    let Some(managed) = managed else { return std::future::pending().await };
    while managed.identity().liveness() != Liveness::Dead {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn end_surroundings(demo: Option<demo::Demo>, store: Store, managed: Option<Managed>) {
    if let Some(demo) = demo {
        demo.shutdown().await;
    }
    store.close().await;
    if let Some(managed) = managed
        && let Err(error) = managed.stop().await
    {
        tracing::warn!("{error}");
    }
}

async fn open_database(settings: &Settings) -> anyhow::Result<(Store, Option<Managed>)> {
    match &settings.database {
        Database::Url(url) => {
            let options = url.parse().map_err(|_| {
                anyhow::anyhow!("--database is not a Postgres URL; it looks like postgres://user:password@host/name")
            })?;
            let store = Store::connect(options).await.context("the database named by --database cannot be used")?;
            Ok((store, None))
        }
        Database::Auto => {
            let managed = managed::start(ManagedOptions::new(&settings.data)).await?;
            match Store::connect(managed.connect_options()).await {
                Ok(store) => Ok((store, Some(managed))),
                Err(error) => {
                    if let Err(error) = managed.stop().await {
                        tracing::warn!("{error}");
                    }
                    Err(error).context("the managed database cannot be used")
                }
            }
        }
    }
}

/// Starts or adopts the demo's services, if the catalog acts on them.
async fn start_demo(settings: &Settings, exe: &Path, catalog: &Catalog) -> anyhow::Result<Option<demo::Demo>> {
    if !names_demo(catalog) {
        return Ok(None);
    }
    let data = std::path::absolute(&settings.data)?;
    let demo = demo::ensure(exe, &demo::dir_for(&data)).await?;
    tracing::info!(dir = %demo.dir().display(), adopted = demo.adopted(), "demo services");
    Ok(Some(demo))
}

fn names_demo(catalog: &Catalog) -> bool {
    let checks = catalog
        .systems
        .values()
        .flat_map(|system| system.services.values())
        .flat_map(|service| service.checks.values())
        .flat_map(|check| match &check.probe {
            Probe::Command { env, .. } => env.as_slice(),
            Probe::Http(_) | Probe::Tcp(_) => &[],
        });
    let steps = catalog.runbooks.values().flat_map(|runbook| &runbook.steps).flat_map(|step| match &step.action {
        StepAction::Run { env, .. } => env.as_slice(),
        StepAction::Check { .. } | StepAction::Http(_) | StepAction::Tcp(_) | StepAction::Wait(_) => &[],
    });
    checks.chain(steps).any(|entry| entry.name == DEMO)
}

/// Takes this process's key, and says what an operator has to know of it.
async fn open_key(store: &Store, place: &keys::Place, trusted: Option<&[String]>, ledger: &str) -> anyhow::Result<()> {
    let trusted = trusted.map(|keys| keys.iter().filter_map(|key| PublicKey::parse(key)).collect::<Vec<_>>());
    let trust = Trust { ledger: ledger.to_owned(), keys: trusted.clone() };
    let keys::Opened { key, origin } = keys::open(store, place, trust).await?;
    match origin {
        keys::Origin::Found => {}
        keys::Origin::Made { others } if others.is_empty() => {
            tracing::info!(%key, "a key was made to sign approvals with");
        }
        keys::Origin::Made { others } => {
            let others = others.iter().map(PublicKey::short).collect::<Vec<_>>().join(", ");
            tracing::warn!(
                %key,
                others,
                "no signing key was in the data directory, so one was made; what the others of this host signed stays \
                 valid. Retire those that are lost: `countersign keys retire KEY`"
            );
        }
        keys::Origin::Replaced(old) => {
            tracing::warn!(%key, old = old.short(), "the signing key was retired, so another one was made");
        }
    }
    if trusted.is_some_and(|trusted| !trusted.contains(&key)) {
        tracing::warn!(%key, "`trusted_keys` does not name this process's own key: what is approved here does not start here");
    }
    let unsigned = store.count_unsigned_grants().await?;
    if unsigned > 0 {
        tracing::warn!(
            unsigned,
            "approvals of an earlier version bear no signature: what they let start has to be asked for again"
        );
    }
    Ok(())
}

/// Makes the data folder, closed to others.
fn make_private(data: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("the data folder {} cannot be made", data.display()))
}

/// Says that it really answers, in the one line that scripts wait for, and then to people where the page is.
fn say_ready(address: std::net::SocketAddr, key: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "ready http://{address}")?;
    out.flush()?;
    // Whoever waits for the first line alone may be gone by now.
    let _ = writeln!(out, "open  http://{address}/enter?key={key}").and_then(|()| out.flush());
    Ok(())
}

/// The running bot.
struct Bot {
    address: std::net::SocketAddr,
    store: Store,
    me: WorkerId,
    reload: mpsc::Sender<Reload>,
    /// Told first: take nothing new.
    stop_taking: channel::Sender<bool>,
    /// Told last: what is recorded has been told.
    stop_telling: channel::Sender<bool>,
    taking: Vec<JoinHandle<()>>,
    telling: Vec<JoinHandle<()>>,
    /// Names of parts that have ended.
    ended: mpsc::Receiver<&'static str>,
}

/// Starts a part of the bot. Its end is told, however it comes about.
fn part(
    name: &'static str,
    ended: &mpsc::Sender<&'static str>,
    work: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    let ended = ended.clone();
    let work = tokio::spawn(work);
    tokio::spawn(async move {
        if let Err(error) = work.await {
            tracing::error!(%error, "the {name} ended badly");
        }
        // At the end of the program nobody listens any more.
        let _ = ended.try_send(name);
    })
}

impl Bot {
    #[expect(clippy::too_many_arguments, reason = "the parts of one bot, each opened before it")]
    async fn start(
        settings: &Settings,
        loaded: runbook::Loaded,
        store: Store,
        token: Token,
        own_secrets: Vec<(SecretName, Vec<u8>)>,
        demo: Option<&demo::Demo>,
        workspaces: Vec<Workspace>,
        ringer: Option<Ringer>,
    ) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(settings.listen).await.with_context(|| {
            format!(
                "cannot listen at {}; is another countersign running? `--listen` takes another port",
                settings.listen
            )
        })?;
        let address = listener.local_addr()?;
        let decision_listener = match &settings.decisions {
            Some(decisions) => Some(TcpListener::bind(decisions.listen).await.with_context(|| {
                format!("cannot listen at {} for decisions; `decisions: {{listen: …}}` names another", decisions.listen)
            })?),
            None => None,
        };
        let me = store.insert_worker(&ProcessIdentity::own()?).await?;
        // With people of a real workspace everybody speaks for themselves: the trial's own room is closed then.
        let trial = if workspaces.is_empty() { Trial::Yes } else { Trial::No };
        let room = Arc::new(LocalRoom::new(store.clock().clone()));
        let adapters: Vec<Arc<dyn Adapter>> = match trial {
            Trial::Yes => vec![room.clone()],
            Trial::No => workspaces.iter().map(|workspace| Arc::clone(&workspace.slack) as Arc<dyn Adapter>).collect(),
        };
        let genesis = ledger::open(&store, trial).await?;
        let keys = keys::Place { data: settings.data.clone(), host: sys::hostname() };
        open_key(&store, &keys, settings.trusted_keys.as_deref(), &genesis.ledger).await?;
        bury_the_dead(&store, me).await?;
        let world = local_world()?;
        let path = std::env::join_paths(&world.search_path)?;
        let (fingerprint, runbooks) = (loaded.fingerprint, loaded.catalog.runbooks.len());
        let root = loaded.catalog.root.clone();
        let times = Times::in_zone(settings.time_zone);
        let app = App::new(store.clone(), times, world, adapters.clone(), loaded, own_secrets).asking_for_user_groups(
            UserGroupTimes { every: settings.user_groups_every, good_for: settings.user_groups_good_for },
        );
        let countersigning = match trial {
            Trial::Yes => Countersigning::AtOnce,
            Trial::No => Countersigning::Needed,
        };
        let decisions = settings.decisions.as_ref();
        let app = Arc::new(
            app.countersigning(countersigning).deciding_at(decisions.map(|decisions| decisions.origin.clone())),
        );
        let unserved = app.unserved(&app.in_use().catalog);
        if !unserved.is_empty() {
            bail!("the catalog in {} does not fit the settings:\n{}", settings.catalog.display(), unserved.join("\n"));
        }
        app.settle(Because::Read).await?;
        let record = Record { what: Happened::CatalogLoaded { fingerprint, runbooks }, rows: Vec::new() };
        store.record(&[NewEvent { scope: Scope::default(), cause: None, record }]).await?;
        app.warn_at_start().await?;
        let mut extra_env = BTreeMap::new();
        if let Some(demo) = demo {
            extra_env.insert(DEMO.to_owned(), OsString::from(demo.dir()));
        }
        let surroundings =
            Surroundings { path, extra_env: Arc::new(extra_env), cwd: PathBuf::from("/"), ledger: genesis.ledger };
        let ledger = surroundings.ledger.clone();
        let secrets = Arc::new(CurrentSecrets(app.clone()));
        let worker = WorkerSettings { lease: settings.lease, ..WorkerSettings::default() };
        let asker = Arc::new(Asker::new(surroundings.clone())?);
        match asker.end_left_behind().await {
            Ok(0) => {}
            Ok(ended) => tracing::info!(ended, "checks that were left behind"),
            Err(error) => tracing::warn!(%error, "a check that was left behind has not ended"),
        }
        let engine = Engine::new(store.clone(), me, surroundings, secrets, worker);

        let (stop_taking, taking_stops) = channel::channel(false);
        let (stop_telling, telling_stops) = channel::channel(false);
        let (reload, reloads) = mpsc::channel(1);
        let (rooms, planner, in_use, mends) = (app.clone(), app.clone(), app.clone(), app.clone());
        let state = WebState {
            store: store.clone(),
            room,
            inbound: app.clone(),
            token,
            rooms: Arc::new(move |address| rooms.in_use().catalog.room_at(address).is_some()),
            catalog: Arc::new(move || Arc::clone(&in_use.in_use().catalog)),
            mending_line: Arc::new(move |system, service| mending_line(&mends.in_use().catalog, system, service)),
            times,
            speaking: match trial {
                Trial::Yes => Speaking::Here,
                Trial::No => Speaking::Elsewhere,
            },
            trial: (trial == Trial::Yes).then(|| super::trial::trial(&app, demo.map(demo::Demo::dir))),
            planner: Arc::new(move |asked| {
                let params = asked.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                let now = planner.store.clock().now();
                make_plan(&planner.in_use().catalog, &asked.runbook, params, now, &planner.world)
            }),
            decisions: decisions.map(|decisions| decisions.origin.clone()),
            names: settings.names.clone(),
            keys,
            hearings: workspaces.iter().map(|workspace| workspace.slack.hearing().clone()).collect(),
            // By then everything that this process held is lost to it, so that starting it again ends nothing that goes on.
            silent_at_most: settings.lease * 4 + DATABASE_PATIENCE,
        };
        let serve = web::serve(listener, state, taking_stops.clone());
        let (tell_ended, ended) = mpsc::channel(10 + workspaces.len());
        let serve = async move {
            if let Err(error) = serve.await {
                tracing::error!(%error, "the server has ended");
            }
        };
        let membership = Membership::begin(app.clone()).await;
        let mut taking = vec![
            part("look at user groups", &tell_ended, membership.run(taking_stops.clone())),
            part("server", &tell_ended, serve),
            part("engine", &tell_ended, engine.run(taking_stops.clone())),
            part("watch", &tell_ended, watch(app.clone(), asker, me, settings.lease, taking_stops.clone())),
            part("housekeeping", &tell_ended, housekeeping(app.clone(), me, taking_stops.clone())),
            part("escalation", &tell_ended, escalation(app.clone(), ringer, taking_stops.clone())),
            part("catalog's watch", &tell_ended, watch_catalog(app.clone(), root, reloads, taking_stops.clone())),
        ];
        if let (Some(listener), Some(decisions)) = (decision_listener, decisions) {
            let asked = app.clone();
            let pages = Decisions {
                store: store.clone(),
                inbound: app.clone(),
                catalog: Arc::new(move || Arc::clone(&asked.in_use().catalog)),
                times,
                party: RelyingParty::new(&decisions.host, &decisions.origin),
            };
            let pages = web::decisions::serve(listener, pages, taking_stops.clone());
            taking.push(part("decision pages", &tell_ended, pages));
        }
        for workspace in workspaces {
            taking.push(part("ear for Slack", &tell_ended, workspace.listen(app.clone(), taking_stops.clone())));
        }
        let channels = incident_rooms(app.clone(), ledger, me, settings.lease, taking_stops.clone());
        taking.push(part("channels of incidents", &tell_ended, channels));
        let sequencer = ledger::sequencer::run(store.clone(), me, settings.lease, telling_stops.clone());
        let sender = sender::run(store.clone(), adapters, at_once, me, settings.lease, telling_stops.clone());
        let telling = vec![
            part("sequencer", &tell_ended, sequencer),
            part("room's sink", &tell_ended, room_sink(app.clone(), me, settings.lease, telling_stops)),
            part("sender", &tell_ended, sender),
        ];
        let bot = Self { address, store, me, reload, stop_taking, stop_telling, taking, telling, ended };
        really_answers(address).await?;
        Ok(bot)
    }

    async fn end(self) {
        self.stop_taking.send_replace(true);
        for task in self.taking {
            let _ended = task.await;
        }
        let told = async {
            while !matches!(self.store.backlog().await, Ok(backlog) if backlog.is_empty()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(TELL_WITHIN, told).await.is_err() {
            tracing::warn!("not everything was told; the next start tells the rest");
        }
        self.stop_telling.send_replace(true);
        for task in self.telling {
            let _ended = task.await;
        }
        if let Err(error) = self.store.end_worker(self.me).await {
            tracing::warn!(error = %crate::text::chain(&error), "the worker was not signed off; the next start finds out");
        }
    }
}

/// Asks ourselves over the wire: only then it is true.
async fn really_answers(address: std::net::SocketAddr) -> anyhow::Result<()> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), ask)
        .await
        .context("the server does not answer within 10 s")?
        .context("the server does not answer")?;
    if !answer.ends_with(b" 200") {
        bail!("the server answers, but not as it should");
    }
    Ok(())
}

/// What a signal asks for.
enum Signalled {
    End,
    Reload,
}

struct Ending {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Ending {
    fn new() -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Ctrl-C while the end is under way.
    async fn again(&mut self) {
        if self.interrupt.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    async fn next(&mut self) -> Signalled {
        tokio::select! {
            _ = self.terminate.recv() => Signalled::End,
            _ = self.interrupt.recv() => Signalled::End,
            _ = self.hangup.recv() => Signalled::Reload,
        }
    }
}

//! `countersign bench`: what the bot costs, beside the least that this machine could do it for.
//!
//! Each round measures the floors and the bot in turn, so that a disk or a neighbour that is slow for a minute is slow for
//! both; only ratios within a round are compared. What lives here: the order and the sizes. What does not: a judgement. No
//! test asserts a time.

mod bot;
mod browser;
mod decisions;
mod engine;
mod floors;
mod footprint;
mod measure;
mod pages;
mod proc;
mod recovery;
mod restart;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;

use self::bot::{Database, Home};
use self::measure::{Goal, Measures, Ratio};
use self::work::Work;
use crate::demo;
use crate::store::floor;
use crate::store::managed::{self, ManagedOptions};

/// The ratios that matter, with the goals of `docs/performance.md`.
const RATIOS: [Ratio; 25] = [
    Ratio { title: "ping -> answer p50 / one commit p50", of: "ping_p50", to: "commit_p50", goal: Goal::AtMost(1.5) },
    Ratio { title: "ping -> answer p99 / one commit p99", of: "ping_p99", to: "commit_p99", goal: Goal::AtMost(3.0) },
    Ratio { title: "steps/s, 1 run / group commit, 1", of: "steps_1", to: "group_1", goal: Goal::None },
    Ratio { title: "steps/s, 32 runs / group commit, 32", of: "steps_32", to: "group_32", goal: Goal::AtLeast(0.5) },
    Ratio { title: "10-step run / 10 commits", of: "ten_steps", to: "ten_commits", goal: Goal::None },
    Ratio { title: "granted steps that spawn/s, 1 run / spawn, 1", of: "exec_1", to: "spawn_1", goal: Goal::None },
    Ratio {
        title: "granted steps that spawn/s, 8 runs / spawn, 8",
        of: "exec_8",
        to: "spawn_8",
        goal: Goal::AtLeast(0.8),
    },
    Ratio { title: "start -> first answer / start -> ready", of: "cold", to: "ready", goal: Goal::None },
    Ratio { title: "killed -> verified / shell loop", of: "recovery", to: "loop", goal: Goal::None },
    Ratio { title: "noticed -> verified / shell loop", of: "recovery_ours", to: "loop_ours", goal: Goal::None },
    Ratio {
        title: "start -> first answer, own Postgres / Postgres alone",
        of: "cold_managed",
        to: "postgres",
        goal: Goal::None,
    },
    Ratio {
        title: "after kill -9: start -> all driven on / start -> first answer",
        of: "resumed",
        to: "resume_cold",
        goal: Goal::AtMost(5.0),
    },
    Ratio { title: "all runs over / the same spawns alone", of: "runs_over", to: "spawns_left", goal: Goal::None },
    Ratio { title: "room, whole / static file", of: "page_room", to: "static_room", goal: Goal::None },
    Ratio { title: "room, whole / while it was short", of: "page_room", to: "short_room", goal: Goal::None },
    Ratio { title: "incident, whole / static file", of: "page_incident", to: "static_incident", goal: Goal::None },
    Ratio {
        title: "incident, whole / while it was short",
        of: "page_incident",
        to: "short_incident",
        goal: Goal::None,
    },
    Ratio { title: "ledger, whole / static file", of: "page_ledger", to: "static_ledger", goal: Goal::None },
    Ratio { title: "ledger, whole / while it was short", of: "page_ledger", to: "short_ledger", goal: Goal::None },
    Ratio { title: "report, whole / static file", of: "page_report", to: "static_report", goal: Goal::None },
    Ratio { title: "line -> told to all pages / bare fan-out", of: "fan_all", to: "bare_fan_all", goal: Goal::None },
    Ratio { title: "decisions/s, 1 at a time / durable rows/s", of: "decisions_1", to: "durable_1", goal: Goal::None },
    Ratio { title: "decisions/s, 8 at once / durable rows/s", of: "decisions_8", to: "durable_8", goal: Goal::None },
    Ratio { title: "decisions/s, 32 at once / durable rows/s", of: "decisions_32", to: "durable_32", goal: Goal::None },
    Ratio { title: "page with many waiting / with one", of: "page_waiting", to: "page_one_waiting", goal: Goal::None },
];

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Commands, durable steps, spawns, starts.
    Work,
    /// From a killed service to its verified recovery.
    Recovery,
    /// Starts with a managed Postgres, and runs in flight after `kill -9`.
    Restart,
    /// Memory and processor time of a bot that does nothing, and with many requests that wait.
    Footprint,
    /// Pages over a long ledger, and how fast open ones are told.
    Pages,
    /// Answers of people that are counted in a second, one at a time and many at once.
    Decisions,
}

/// How much of each is done.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Lines said, and rows written, one after the other in a round.
    lines: usize,
    /// Programs started in a round.
    spawns: usize,
    /// Steps of a run that goes alone, and of each of those that go at once.
    steps_alone: usize,
    steps_together: usize,
    /// How many runs go at once.
    runs: usize,
    /// Short runs, one after the other, in a round.
    short_runs: usize,
    /// Starts in a round.
    starts: usize,
    /// Failures in a round, each of the bot's and of the shell loop's service.
    failures: usize,
    /// Runs in flight when the bot is killed.
    in_flight: usize,
    /// Requests that wait.
    waiting: u32,
    /// How long the bot is left alone before its memory is read, and then while its processor time is counted.
    settle: Duration,
    idle: Duration,
    /// Events of the incident whose pages are looked at, and before, while its history is short.
    events: usize,
    few_events: usize,
    /// Looks at each page in a round.
    looks: usize,
    /// Pages that are open, and lines that they are told of, in a round.
    listeners: usize,
    told: usize,
    /// Decisions of each width in a round.
    decisions: usize,
}

impl Sizes {
    const FULL: Self = Self {
        lines: 400,
        spawns: 320,
        steps_alone: 200,
        steps_together: 50,
        runs: 32,
        short_runs: 20,
        starts: 3,
        failures: 3,
        in_flight: 1_000,
        waiting: 100_000,
        settle: Duration::from_secs(3),
        idle: Duration::from_secs(60),
        events: 10_000,
        few_events: 200,
        looks: 15,
        listeners: 50,
        told: 8,
        decisions: 1_000,
    };
    /// Enough to see that everything is measured, and too little for any figure to mean something.
    const QUICK: Self = Self {
        lines: 5,
        spawns: 8,
        steps_alone: 4,
        steps_together: 2,
        runs: 4,
        short_runs: 1,
        starts: 1,
        failures: 1,
        in_flight: 12,
        waiting: 40,
        settle: Duration::from_millis(100),
        idle: Duration::from_millis(200),
        events: 12,
        few_events: 4,
        looks: 2,
        listeners: 3,
        told: 1,
        decisions: 8,
    };
}

/// Measure the bot beside the floors of this machine: commands, steps, recovery, restarts, memory, pages, decisions.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is measured [default: everything].
    #[arg(value_enum, value_name = "PART")]
    parts: Vec<Part>,
    /// How often everything is measured in turn.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Tiny counts, to see that it runs: the figures mean nothing.
    #[arg(long)]
    quick: bool,
    /// A Postgres in which databases may be made [default: one of its own, in a temporary folder].
    #[arg(long, value_name = "URL", hide_env_values = true)]
    database: Option<String>,
    /// Folder for the temporary folder; what it stands on is what is measured [default: the system's].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Measures and prints. Everything that it starts and makes is ended and removed again.
///
/// # Errors
/// When something cannot be started, or does not do what it should.
#[expect(clippy::print_stdout, reason = "the result is what was asked for")]
pub async fn run(args: Args) -> anyhow::Result<u8> {
    let scratch = Scratch::make(args.dir.as_deref())?;
    let (server, managed) = match &args.database {
        Some(url) => {
            let options: PgConnectOptions = url.parse().map_err(|_| {
                anyhow::anyhow!("--database is not a Postgres URL; it looks like postgres://user:password@host/name")
            })?;
            (Server { options, url: url.clone(), process: None }, None)
        }
        None => {
            let managed = managed::start(ManagedOptions::new(scratch.0.join("postgres"))).await?;
            let process = Some(managed.identity().pid);
            (Server { options: managed.connect_options(), url: managed.secret_url(), process }, Some(managed))
        }
    };
    let sizes = if args.quick { Sizes::QUICK } else { Sizes::FULL };
    let ground = Ground { scratch, server, sizes };
    let measured = measure(&args, &ground).await;
    ground.clear().await;
    if let Some(managed) = managed {
        managed.stop().await?;
    }
    let measures = measured?;
    if args.json {
        println!("{}", measures.json(&RATIOS));
    } else {
        print!("{}", measures.table(&RATIOS));
    }
    Ok(0)
}

async fn measure(args: &Args, ground: &Ground) -> anyhow::Result<Measures> {
    let wanted = |part: Part| args.parts.is_empty() || args.parts.contains(&part);
    let mut measures = Measures::default();
    // Alone, so that nothing of ours competes with what does nothing.
    if wanted(Part::Footprint) {
        tracing::info!("measuring the footprint");
        footprint::measure(&mut measures, ground).await?;
    }
    if wanted(Part::Work) {
        let mut work = Work::begin(ground).await?;
        for round in 1..=args.rounds {
            tracing::info!(round, "measuring work");
            work.round(&mut measures, ground).await?;
        }
        work.end().await?;
    }
    if wanted(Part::Decisions) {
        decisions::measure(&mut measures, ground, args.rounds).await?;
    }
    if wanted(Part::Recovery) {
        recovery::measure(&mut measures, ground, args.rounds).await?;
    }
    if wanted(Part::Restart) {
        for round in 1..=args.rounds {
            tracing::info!(round, "measuring restarts");
            restart::round(&mut measures, ground, round).await?;
        }
    }
    if wanted(Part::Pages) {
        pages::measure(&mut measures, ground, args.rounds).await?;
    }
    Ok(measures)
}

/// A server in which databases may be made.
struct Server {
    options: PgConnectOptions,
    url: String,
    /// Its first process, if it is ours.
    process: Option<u32>,
}

impl Server {
    /// The same server's URL with another database.
    fn url_of(&self, name: &str) -> anyhow::Result<String> {
        let (before, options) = self.url.split_once('?').map_or((self.url.as_str(), None), |(b, o)| (b, Some(o)));
        let server = before.rsplit_once('/').map(|(server, _)| server).context("the URL names no database")?;
        let options = options.map(|options| format!("?{options}")).unwrap_or_default();
        Ok(format!("{server}/{name}{options}"))
    }
}

/// A database that was made for a measurement.
#[derive(Debug, Clone)]
struct Made {
    options: PgConnectOptions,
    url: String,
}

/// Where a bot stands: its folder, and what its catalog is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stand {
    Work,
    Cold,
    Managed,
    Idle,
    Waiting,
    Recovery,
    Resume,
    Pages,
}

impl Stand {
    const ALL: [Self; 8] =
        [Self::Work, Self::Cold, Self::Managed, Self::Idle, Self::Waiting, Self::Recovery, Self::Resume, Self::Pages];

    fn name(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Cold => "cold-start",
            Self::Managed => "managed",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Recovery => "recovery",
            Self::Resume => "resume",
            Self::Pages => "pages",
        }
    }
}

/// The names of the databases that may be made.
const DATABASES: [&str; 11] = [
    "floor",
    "bot",
    "engine",
    "cold",
    "waiting",
    "recovery",
    "resume",
    "resume_floor",
    "pages",
    "decisions",
    "decisions_floor",
];

/// What measurements stand on: a server, a folder, sizes.
struct Ground {
    scratch: Scratch,
    server: Server,
    sizes: Sizes,
}

impl Ground {
    fn database_name(part: &str) -> String {
        format!("countersign_bench_{}_{part}", std::process::id())
    }

    /// Makes a database, empty, whatever was there under its name.
    async fn make(&self, part: &'static str) -> anyhow::Result<Made> {
        debug_assert!(DATABASES.contains(&part), "{part} would not be dropped at the end");
        let name = Self::database_name(part);
        floor::drop_database(&self.server.options, &name).await?;
        floor::create_database(&self.server.options, &name).await?;
        Ok(Made { options: self.server.options.clone().database(&name), url: self.server.url_of(&name)? })
    }

    /// A folder for a bot that uses a database.
    fn home(&self, stand: Stand, database: Made) -> anyhow::Result<Home> {
        self.home_with(stand, Database::Given(database.url))
    }

    fn home_with(&self, stand: Stand, database: Database) -> anyhow::Result<Home> {
        let dir = self.scratch.0.join(stand.name());
        match stand {
            Stand::Recovery => bot::write_recovery_catalog(&dir.join("catalog"))?,
            _ => bot::write_catalog(&dir.join("catalog"))?,
        }
        Ok(Home { dir, database })
    }

    /// Ends and removes what a bot that was killed, or did not get ready, has left.
    async fn clear(&self) {
        for stand in Stand::ALL {
            let data = self.scratch.0.join(stand.name()).join("data");
            if let Err(error) = end_left_behind(&data).await {
                tracing::warn!(error = %format!("{error:#}"), data = %data.display(), "a database was not ended");
            }
        }
        for part in DATABASES {
            let name = Self::database_name(part);
            if let Err(error) = floor::drop_database(&self.server.options, &name).await {
                tracing::warn!(%error, name, "a database was not dropped");
            }
        }
    }
}

/// Ends what outlives a killed bot: its demo services and its managed Postgres.
async fn end_left_behind(data: &Path) -> anyhow::Result<()> {
    let demo_dir = demo::dir_for(&std::path::absolute(data)?);
    if demo_dir.exists() {
        let args = demo::CtlArgs { dir: Some(demo_dir.clone()), deed: demo::Deed::Shutdown };
        // Nobody answers where it has ended in good order.
        let _answer = demo::ctl(args).await;
        std::fs::remove_dir_all(&demo_dir).with_context(|| format!("{} was not removed", demo_dir.display()))?;
    }
    if data.join("postgres/data/postmaster.pid").exists() {
        managed::start(ManagedOptions::new(data)).await?.stop().await?;
    }
    Ok(())
}

/// The first process of the Postgres that a bot started for itself.
fn managed_process(home: &Home) -> anyhow::Result<u32> {
    let file = home.data().join("postgres/data/postmaster.pid");
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    text.lines().next().and_then(|line| line.trim().parse().ok()).context("the Postgres names no process")
}

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn make(below: Option<&Path>) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let below = below.map_or_else(std::env::temp_dir, Path::to_owned);
        let dir = below.join(format!("countersign-bench-{}", std::process::id()));
        std::fs::DirBuilder::new()
            // The server's user must be able to pass, and nobody to look.
            .mode(0o711)
            .create(&dir)
            .with_context(|| format!("{} cannot be made", dir.display()))?;
        Ok(Self(dir))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Of a server that could not run in here there is a link to where it is.
        let own = [self.0.join("postgres")].into_iter();
        let datas = own.chain(Stand::ALL.map(|stand| self.0.join(stand.name()).join("data")));
        let elsewhere: Vec<PathBuf> = datas.filter_map(|data| std::fs::read_link(data.join("postgres")).ok()).collect();
        for dir in elsewhere.iter().chain([&self.0]) {
            if let Err(error) = std::fs::remove_dir_all(dir) {
                tracing::warn!(%error, dir = %dir.display(), "a folder was not removed");
            }
        }
    }
}

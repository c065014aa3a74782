//! `countersign bench`: what the bot costs, beside the least that this machine could do it for.
//!
//! Each round measures the floors and the bot in turn, so that a disk or a neighbour that is slow for a minute is slow for
//! both; only ratios within a round are compared. What lives here: the order and the sizes. What does not: a judgement. No
//! test asserts a time.

mod bot;
mod engine;
mod floors;
mod measure;
mod proc;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;

use self::bot::{Bot, Home, Speaker};
use self::engine::{Steps, Workshop};
use self::measure::{Goal, Measures, Ratio, micros, quantile};
use self::proc::{Of, cpu, pss_mib};
use crate::store::floor::{self, Floor};
use crate::store::managed::{self, Managed, ManagedOptions};

/// Lines said, and rows written, one after the other in a round.
const LINES: usize = 400;
/// Programs started in a round.
const SPAWNS: usize = 320;
/// Steps of a run that goes alone, and of each of 32 that go at once.
const STEPS_ALONE: usize = 200;
const STEPS_TOGETHER: usize = 50;
/// Short runs, one after the other, in a round.
const SHORT_RUNS: usize = 20;
/// Starts in a round.
const STARTS: usize = 3;
/// How long the bot is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// The ratios that matter, with the goals of `docs/performance.md`.
const RATIOS: [Ratio; 8] = [
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
];

/// Measure the bot beside the floors of this machine: commands, durable steps, starts, memory.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How often everything is measured in turn.
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
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
    let names =
        ["floor", "bot", "engine", "cold"].map(|part| format!("countersign_bench_{}_{part}", std::process::id()));
    let measured = measure(&args, &scratch, &server, &names).await;
    for name in &names {
        if let Err(error) = floor::drop_database(&server.options, name).await {
            tracing::warn!(%error, name, "a database was not dropped");
        }
    }
    end(managed).await?;
    let measures = measured?;
    if args.json {
        println!("{}", measures.json(&RATIOS));
    } else {
        print!("{}", measures.table(&RATIOS));
    }
    Ok(0)
}

async fn end(managed: Option<Managed>) -> anyhow::Result<()> {
    let Some(managed) = managed else { return Ok(()) };
    managed.stop().await?;
    Ok(())
}

/// A server in which databases may be made.
struct Server {
    options: PgConnectOptions,
    url: String,
    /// Its first process, if it is ours.
    process: Option<u32>,
}

impl Server {
    fn at(&self, name: &str) -> PgConnectOptions {
        self.options.clone().database(name)
    }

    /// The same server's URL with another database.
    fn url_of(&self, name: &str) -> anyhow::Result<String> {
        let (before, options) = self.url.split_once('?').map_or((self.url.as_str(), None), |(b, o)| (b, Some(o)));
        let server = before.rsplit_once('/').map(|(server, _)| server).context("the URL names no database")?;
        let options = options.map(|options| format!("?{options}")).unwrap_or_default();
        Ok(format!("{server}/{name}{options}"))
    }
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

    fn home(&self, name: &str, database: String) -> anyhow::Result<Home> {
        let dir = self.0.join(name);
        bot::write_catalog(&dir.join("catalog"))?;
        Ok(Home { dir, database })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Of a server that could not run in here there is a link to where it is.
        let elsewhere = std::fs::read_link(self.0.join("postgres/postgres"));
        for dir in elsewhere.iter().chain([&self.0]) {
            if let Err(error) = std::fs::remove_dir_all(dir) {
                tracing::warn!(%error, dir = %dir.display(), "a folder was not removed");
            }
        }
    }
}

async fn measure(args: &Args, scratch: &Scratch, server: &Server, names: &[String; 4]) -> anyhow::Result<Measures> {
    for name in names {
        floor::create_database(&server.options, name).await?;
    }
    let [of_floor, of_bot, of_engine, of_cold] = names;
    let mut floor = Floor::connect(&server.at(of_floor)).await?;
    let mut workshop = Workshop::open(server.at(of_engine)).await?;
    let bot = Bot::start(&scratch.home("bot", server.url_of(of_bot)?)?).await?;
    let mut speaker = bot.speaker().await?;
    let cold = scratch.home("cold", server.url_of(of_cold)?)?;
    // Once, unmeasured: files into memory, statements prepared, the schema made.
    floors::commits(&mut floor, 20).await?;
    floors::group_commit(&mut floor, 32, 5).await?;
    workshop.run(32, 5, Steps::Nothing).await?;
    workshop.run(2, 2, Steps::Spawn).await?;
    for _ in 0..50 {
        speaker.say("ping").await?;
    }
    start_once(&cold).await?;
    let mut measures = Measures::default();
    for round in 1..=args.rounds {
        tracing::info!(round, "measuring");
        commands(&mut measures, server, &mut floor, &bot, &mut speaker).await?;
        steps(&mut measures, &mut floor, &mut workshop).await?;
        spawns(&mut measures, &mut workshop).await?;
        starts(&mut measures, &cold).await?;
    }
    tokio::time::sleep(IDLE).await;
    measures.add("pss", "idle memory of the bot (PSS), 100 runbooks", "MiB", pss_mib(bot.pid())?);
    drop(speaker);
    bot.end().await?;
    workshop.close().await?;
    floor.close().await?;
    Ok(measures)
}

async fn commands(
    measures: &mut Measures,
    server: &Server,
    floor: &mut Floor,
    bot: &Bot,
    speaker: &mut Speaker,
) -> anyhow::Result<()> {
    let rows = micros(&floors::commits(floor, LINES).await?);
    measures.add("commit_p50", "floor: one durable row, p50", "us", quantile(&rows, 0.5));
    measures.add("commit_p99", "floor: one durable row, p99", "us", quantile(&rows, 0.99));
    measures.add("ten_commits", "floor: ten durable rows in turn", "ms", quantile(&rows, 0.5) / 100.0);
    let who: Vec<Of> = [Of::Process(bot.pid())].into_iter().chain(server.process.map(Of::Tree)).collect();
    let before = cpu(&who)?;
    let mut took = Vec::with_capacity(LINES);
    for _ in 0..LINES {
        took.push(speaker.say("ping").await?);
    }
    let used = cpu(&who)?.saturating_sub(before);
    let took = micros(&took);
    measures.add("ping_p50", "ping -> first answer, durable before it, p50", "us", quantile(&took, 0.5));
    measures.add("ping_p99", "ping -> first answer, durable before it, p99", "us", quantile(&took, 0.99));
    let title = if server.process.is_some() {
        "processor time a command, bot and Postgres, all told"
    } else {
        "processor time a command, bot alone, all told"
    };
    measures.add("ping_cpu", title, "us", used.as_secs_f64() * 1e6 / LINES as f64);
    Ok(())
}

async fn steps(measures: &mut Measures, floor: &mut Floor, workshop: &mut Workshop) -> anyhow::Result<()> {
    let rate = |steps: usize, took: Duration| steps as f64 / took.as_secs_f64();
    measures.add(
        "group_1",
        "floor: group commit, 1 producer",
        "rows/s",
        floors::group_commit(floor, 1, STEPS_ALONE).await?,
    );
    let took = workshop.run(1, STEPS_ALONE, Steps::Nothing).await?;
    measures.add("steps_1", "durable steps, 1 run", "steps/s", rate(STEPS_ALONE, took));
    measures.add(
        "group_32",
        "floor: group commit, 32 producers",
        "rows/s",
        floors::group_commit(floor, 32, 4 * STEPS_TOGETHER).await?,
    );
    let took = workshop.run(32, STEPS_TOGETHER, Steps::Nothing).await?;
    measures.add("steps_32", "durable steps, 32 runs", "steps/s", rate(32 * STEPS_TOGETHER, took));
    let mut short = Vec::with_capacity(SHORT_RUNS);
    for _ in 0..SHORT_RUNS {
        short.push(workshop.run(1, 10, Steps::Nothing).await?);
    }
    measures.add("ten_steps", "a run of 10 steps, p50", "ms", quantile(&micros(&short), 0.5) / 1e3);
    Ok(())
}

async fn spawns(measures: &mut Measures, workshop: &mut Workshop) -> anyhow::Result<()> {
    let (alone, took) = floors::spawn(SPAWNS / 4, 1).await?;
    measures.add("spawn_p50", "floor: spawn and wait, p50", "us", quantile(&micros(&alone), 0.5));
    measures.add("spawn_1", "floor: spawn and wait, 1 at a time", "/s", alone.len() as f64 / took.as_secs_f64());
    let took = workshop.run(1, SPAWNS / 8, Steps::Spawn).await?;
    measures.add("exec_1", "granted steps that spawn, 1 run", "steps/s", (SPAWNS / 8) as f64 / took.as_secs_f64());
    let (together, took) = floors::spawn(SPAWNS, 8).await?;
    measures.add("spawn_8", "floor: spawn and wait, 8 at a time", "/s", together.len() as f64 / took.as_secs_f64());
    let took = workshop.run(8, SPAWNS / 8, Steps::Spawn).await?;
    measures.add("exec_8", "granted steps that spawn, 8 runs", "steps/s", SPAWNS as f64 / took.as_secs_f64());
    Ok(())
}

async fn starts(measures: &mut Measures, home: &Home) -> anyhow::Result<()> {
    let (mut ready, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (one, other) = start_once(home).await?;
        ready.push(one);
        answered.push(other);
    }
    let millis = |times: &[Duration]| quantile(&micros(times), 0.5) / 1e3;
    measures.add("ready", "start -> ready", "ms", millis(&ready));
    measures.add("cold", "start -> first answer", "ms", millis(&answered));
    // As after a failure: the predecessor is found dead, and what it held is taken.
    let bot = Bot::start(home).await?;
    bot.speaker().await?.say("ping").await?;
    bot.kill().await?;
    let (_, other) = start_once(home).await?;
    measures.add("after_kill", "start -> first answer, after kill -9", "ms", millis(&[other]));
    Ok(())
}

/// Starts a bot, says a line, and ends it; returns when it was ready and when it had answered.
async fn start_once(home: &Home) -> anyhow::Result<(Duration, Duration)> {
    let bot = Bot::start(home).await?;
    let mut speaker = bot.speaker().await?;
    speaker.say("ping").await?;
    let answered = Instant::now() - bot.began;
    let ready = bot.ready_after;
    drop(speaker);
    bot.end().await?;
    Ok((ready, answered))
}

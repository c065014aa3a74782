//! Commands, durable steps, spawns and starts: what the bot does all day (goals G2, G3, G4 and a part of G8).

use std::time::{Duration, Instant};

use super::bot::{Bot, Home, Speaker};
use super::engine::{Steps, Workshop};
use super::measure::{Measures, micros, quantile};
use super::proc::{Of, cpu};
use super::{Ground, Sizes, Stand, floors};
use crate::store::floor::Floor;

pub(super) struct Work {
    floor: Floor,
    workshop: Workshop,
    bot: Bot,
    speaker: Speaker,
    cold: Home,
}

impl Work {
    pub(super) async fn begin(ground: &Ground) -> anyhow::Result<Self> {
        let sizes = ground.sizes;
        let mut floor = Floor::connect(&ground.make("floor").await?.options).await?;
        let mut workshop = Workshop::open(ground.make("engine").await?.options).await?;
        let bot = Bot::start(&ground.home(Stand::Work, ground.make("bot").await?)?).await?;
        let mut speaker = bot.speaker().await?;
        let cold = ground.home(Stand::Cold, ground.make("cold").await?)?;
        // Once, unmeasured: files into memory, statements prepared, the schema made.
        floors::commits(&mut floor, 20).await?;
        floors::group_commit(&mut floor, 32, 5).await?;
        workshop.run(sizes.runs, 5, Steps::Nothing).await?;
        workshop.run(2, 2, Steps::Spawn).await?;
        for _ in 0..50 {
            speaker.say("ping").await?;
        }
        start_once(&cold).await?;
        Ok(Self { floor, workshop, bot, speaker, cold })
    }

    pub(super) async fn round(&mut self, measures: &mut Measures, ground: &Ground) -> anyhow::Result<()> {
        let Self { floor, workshop, bot, speaker, cold } = self;
        commands(measures, ground, floor, bot, speaker).await?;
        steps(measures, ground.sizes, floor, workshop).await?;
        spawns(measures, ground.sizes, workshop).await?;
        starts(measures, ground.sizes, cold).await
    }

    pub(super) async fn end(self) -> anyhow::Result<()> {
        drop(self.speaker);
        self.bot.end().await?;
        self.workshop.close().await?;
        Ok(self.floor.close().await?)
    }
}

async fn commands(
    measures: &mut Measures,
    ground: &Ground,
    floor: &mut Floor,
    bot: &Bot,
    speaker: &mut Speaker,
) -> anyhow::Result<()> {
    let sizes = ground.sizes;
    let rows = micros(&floors::commits(floor, sizes.lines).await?);
    measures.add("commit_p50", "floor: one durable row, p50", "us", quantile(&rows, 0.5));
    measures.add("commit_p99", "floor: one durable row, p99", "us", quantile(&rows, 0.99));
    measures.add("ten_commits", "floor: ten durable rows in turn", "ms", quantile(&rows, 0.5) / 100.0);
    let who: Vec<Of> = [Of::Process(bot.pid())].into_iter().chain(ground.server.process.map(Of::Tree)).collect();
    let before = cpu(&who)?;
    let mut took = Vec::with_capacity(sizes.lines);
    for _ in 0..sizes.lines {
        took.push(speaker.say("ping").await?);
    }
    let used = cpu(&who)?.saturating_sub(before);
    let took = micros(&took);
    measures.add("ping_p50", "ping -> first answer, durable before it, p50", "us", quantile(&took, 0.5));
    measures.add("ping_p99", "ping -> first answer, durable before it, p99", "us", quantile(&took, 0.99));
    let title = if ground.server.process.is_some() {
        "processor time a command, bot and Postgres, all told"
    } else {
        "processor time a command, bot alone, all told"
    };
    measures.add("ping_cpu", title, "us", used.as_secs_f64() * 1e6 / sizes.lines as f64);
    Ok(())
}

async fn steps(
    measures: &mut Measures,
    sizes: Sizes,
    floor: &mut Floor,
    workshop: &mut Workshop,
) -> anyhow::Result<()> {
    let rate = |steps: usize, took: Duration| steps as f64 / took.as_secs_f64();
    measures.add(
        "group_1",
        "floor: group commit, 1 producer",
        "rows/s",
        floors::group_commit(floor, 1, sizes.steps_alone).await?,
    );
    let took = workshop.run(1, sizes.steps_alone, Steps::Nothing).await?;
    measures.add("steps_1", "durable steps, 1 run", "steps/s", rate(sizes.steps_alone, took));
    measures.add(
        "group_32",
        "floor: group commit, 32 producers",
        "rows/s",
        floors::group_commit(floor, sizes.runs, 4 * sizes.steps_together).await?,
    );
    let took = workshop.run(sizes.runs, sizes.steps_together, Steps::Nothing).await?;
    measures.add("steps_32", "durable steps, 32 runs", "steps/s", rate(sizes.runs * sizes.steps_together, took));
    let mut short = Vec::with_capacity(sizes.short_runs);
    for _ in 0..sizes.short_runs {
        short.push(workshop.run(1, 10, Steps::Nothing).await?);
    }
    measures.add("ten_steps", "a run of 10 steps, p50", "ms", quantile(&micros(&short), 0.5) / 1e3);
    Ok(())
}

async fn spawns(measures: &mut Measures, sizes: Sizes, workshop: &mut Workshop) -> anyhow::Result<()> {
    let (alone, took) = floors::spawn(sizes.spawns / 4, 1).await?;
    measures.add("spawn_p50", "floor: spawn and wait, p50", "us", quantile(&micros(&alone), 0.5));
    measures.add("spawn_1", "floor: spawn and wait, 1 at a time", "/s", alone.len() as f64 / took.as_secs_f64());
    let took = workshop.run(1, sizes.spawns / 8, Steps::Spawn).await?;
    measures.add(
        "exec_1",
        "granted steps that spawn, 1 run",
        "steps/s",
        (sizes.spawns / 8) as f64 / took.as_secs_f64(),
    );
    let (together, took) = floors::spawn(sizes.spawns, 8).await?;
    measures.add("spawn_8", "floor: spawn and wait, 8 at a time", "/s", together.len() as f64 / took.as_secs_f64());
    let took = workshop.run(8, sizes.spawns / 8, Steps::Spawn).await?;
    measures.add("exec_8", "granted steps that spawn, 8 runs", "steps/s", sizes.spawns as f64 / took.as_secs_f64());
    Ok(())
}

async fn starts(measures: &mut Measures, sizes: Sizes, home: &Home) -> anyhow::Result<()> {
    let (mut ready, mut answered) = (Vec::new(), Vec::new());
    for _ in 0..sizes.starts {
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

//! Starts with a managed Postgres, and what becomes of runs in flight when the bot is killed (goal G8).

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::task::JoinSet;

use super::bot::{Bot, Database, Home};
use super::engine::{self, EFFECT, SHELL, Steps};
use super::measure::Measures;
use super::{Ground, Made, Stand};
use crate::store::floor::{Floor, Observer, Standing};
use crate::store::managed::{self, ManagedOptions};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Steps of a run, each with an effect.
const STEPS: usize = 2;
/// How many the bot drives at once, and so claims with one commit at most.
const AT_ONCE: i64 = 64;

pub(super) async fn round(measures: &mut Measures, ground: &Ground, round: u16) -> anyhow::Result<()> {
    managed_starts(measures, ground, round).await?;
    in_flight(measures, ground, round).await
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

async fn managed_starts(measures: &mut Measures, ground: &Ground, round: u16) -> anyhow::Result<()> {
    let home = ground.home_with(Stand::Managed, Database::Managed)?;
    if round == 1 {
        measures.add(
            "first_start",
            "start -> first answer, making its own Postgres",
            "ms",
            millis(answered(&home).await?),
        );
    }
    let began = Instant::now();
    let alone = managed::start(ManagedOptions::new(home.data())).await?;
    measures.add("postgres", "floor: that Postgres alone, start -> answers", "ms", millis(began.elapsed()));
    alone.stop().await?;
    measures.add(
        "cold_managed",
        "start -> first answer, starting its own Postgres",
        "ms",
        millis(answered(&home).await?),
    );
    Ok(())
}

/// Starts a bot, says a line and ends it; returns how long the answer took.
async fn answered(home: &Home) -> anyhow::Result<Duration> {
    let bot = Bot::start(home).await?;
    let mut speaker = bot.speaker().await?;
    speaker.say("ping").await?;
    let took = bot.began.elapsed();
    drop(speaker);
    bot.end().await?;
    Ok(took)
}

async fn in_flight(measures: &mut Measures, ground: &Ground, round: u16) -> anyhow::Result<()> {
    let runs = ground.sizes.in_flight;
    let Made { options, url } = ground.make("resume").await?;
    let home = ground.home(Stand::Resume, Made { options: options.clone(), url })?;
    // Once, unmeasured, for the schema; then with nothing to go on with: what the same bot needs at least.
    answered(&home).await?;
    let cold = answered(&home).await?;
    measures.add("resume_cold", "start -> first answer, nothing in flight", "ms", millis(cold));
    let effects = home.dir.join(format!("effects-{round}"));
    std::fs::write(&effects, "")?;
    engine::leave_runs(options.clone(), runs, STEPS, Steps::Effect(&effects)).await?;

    let bot = Bot::start(&home).await?;
    wait(async || Ok(lines(&effects)?.len() >= runs / 4)).await.context("the runs did not begin")?;
    bot.kill().await?;
    let mut observer = Observer::connect(&options).await?;
    let driven = observer.driven().await?;
    let before = lines(&effects)?.len();
    let Standing { succeeded: done, .. } = observer.standing().await?;

    let bot = Bot::start(&home).await?;
    wait(async || Ok(observer.untouched(&driven).await? == 0)).await.context("what was in flight was not driven on")?;
    let resumed = bot.began.elapsed();
    wait(async || {
        let Standing { all, succeeded, stuck } = observer.standing().await?;
        Ok(succeeded + stuck == all)
    })
    .await
    .context("not all runs ended")?;
    let over = bot.began.elapsed();
    let Standing { all, succeeded, stuck } = observer.standing().await?;
    let told = lines(&effects)?;
    judge(&told, runs, succeeded, stuck)?;
    bot.end().await?;
    observer.close().await?;
    tracing::info!(all, done, in_flight = driven.len(), succeeded, stuck, effects = told.len(), "after kill -9");

    measures.add("in_flight", "runs claimed at kill -9 (others wait for a turn)", "runs", driven.len() as f64);
    measures.add("resumed", "after kill -9: start -> each of them driven on", "ms", millis(resumed));
    measures.add("runs_over", "after kill -9: start -> all runs over or stuck", "ms", millis(over));
    measures.add("stuck", "of them stuck, as nobody saw their step end", "runs", stuck as f64);
    let doubled = told.len() - told.iter().collect::<std::collections::BTreeSet<_>>().len();
    measures.add("doubled", "effects that happened twice", "", doubled as f64);
    let left = told.len() - before;
    measures.add(
        "spawns_left",
        "floor: the same programs alone, 8 at a time",
        "ms",
        millis(spawns(&home, left).await?),
    );
    let mut floor = Floor::connect(&ground.make("resume_floor").await?.options).await?;
    let claims = floor.claim_all(i64::try_from(runs)?, AT_ONCE).await?;
    floor.close().await?;
    measures.add("claims", "floor: the same number of bare claims, 64 a commit", "ms", millis(claims));
    Ok(())
}

/// Whether each effect happened at most once, and each of a run that succeeded exactly once.
fn judge(effects: &[String], runs: usize, succeeded: i64, stuck: i64) -> anyhow::Result<()> {
    let mut of_run: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for effect in effects {
        let (run, step) = effect.split_once(' ').with_context(|| format!("`{effect}` is no effect"))?;
        let steps = of_run.entry(run).or_default();
        if steps.contains(&step) {
            bail!("step {step} of run {run} happened twice");
        }
        steps.push(step);
    }
    let whole = i64::try_from(of_run.values().filter(|steps| steps.len() == STEPS).count())?;
    // The last step of a run that is stuck may have happened; nobody knows.
    if whole < succeeded || whole > succeeded + stuck || succeeded + stuck != i64::try_from(runs)? {
        bail!("of {runs} runs {succeeded} succeeded and {stuck} are stuck, and {whole} did all that they should");
    }
    Ok(())
}

fn lines(file: &Path) -> anyhow::Result<Vec<String>> {
    Ok(std::fs::read_to_string(file)?.lines().map(str::to_owned).collect())
}

async fn wait(mut probe: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !probe().await? {
        if began.elapsed() > PATIENCE {
            bail!("not within {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

/// The programs of so many effects, eight at a time, and nothing else.
async fn spawns(home: &Home, times: usize) -> anyhow::Result<Duration> {
    let file = home.dir.join("floor-effects");
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for of_task in 0..8 {
        let file = file.clone();
        tasks.spawn(async move {
            for _ in (of_task..times).step_by(8) {
                let mut command = Command::new(SHELL);
                command.args(["-c", EFFECT, "sh", "1"]).arg(&file).env("COUNTERSIGN_RUN", "0");
                if !command.status().await?.success() {
                    bail!("{SHELL} failed");
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(began.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_that_is_there_twice_or_is_missing_is_found() {
        let told = |effects: &[&str]| effects.iter().map(|effect| (*effect).to_owned()).collect::<Vec<_>>();
        assert!(judge(&told(&["1 1", "2 1", "1 2", "2 2"]), 2, 2, 0).is_ok());
        assert!(judge(&told(&["1 1", "2 1", "1 2"]), 2, 1, 1).is_ok());
        assert!(judge(&told(&["1 1", "2 1", "1 2", "2 2"]), 2, 1, 1).is_ok(), "it happened, and nobody saw it");
        assert!(judge(&told(&["1 1", "2 1", "1 2"]), 2, 2, 0).is_err(), "one is missing");
        assert!(judge(&told(&["1 1", "1 1", "1 2"]), 1, 1, 0).is_err(), "one is there twice");
        assert!(judge(&told(&["1 1", "1 2"]), 2, 1, 0).is_err(), "a run is not over");
    }
}

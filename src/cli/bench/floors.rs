//! The floors: the least that a command, a step and a spawn can cost on this machine, now.

use std::time::{Duration, Instant};

use anyhow::bail;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::store::floor::Floor;

/// A program that does nothing.
pub(super) const TRUE: &str = "/bin/true";

/// Starts a program that does nothing and waits for it, so often by so many at once; returns how long each took and all
/// together.
pub(super) async fn spawn(times: usize, at_once: usize) -> anyhow::Result<(Vec<Duration>, Duration)> {
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        tasks.spawn(async move {
            let mut took = Vec::with_capacity(times / at_once);
            for _ in 0..times / at_once {
                let began = Instant::now();
                if !Command::new(TRUE).status().await?.success() {
                    bail!("{TRUE} failed");
                }
                took.push(began.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut all = Vec::with_capacity(times);
    while let Some(took) = tasks.join_next().await {
        all.extend(took??);
    }
    Ok((all, began.elapsed()))
}

/// Writes one durable row after another; returns how long each took.
pub(super) async fn commits(floor: &mut Floor, times: usize) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let began = Instant::now();
        floor.write_one().await?;
        took.push(began.elapsed());
    }
    Ok(took)
}

/// Group commit at its barest: so many producers, each of which waits until its row is durable before it makes the next,
/// and one writer that takes whatever waits. Returns rows per second.
pub(super) async fn group_commit(floor: &mut Floor, producers: usize, rows_each: usize) -> anyhow::Result<f64> {
    type Row = (i64, oneshot::Sender<()>);
    let (send, mut receive) = mpsc::channel::<Row>(producers);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for run in 0..producers {
        let (send, run) = (send.clone(), i64::try_from(run)?);
        tasks.spawn(async move {
            for _ in 0..rows_each {
                let (done, durable) = oneshot::channel();
                send.send((run, done)).await?;
                durable.await?;
            }
            anyhow::Ok(())
        });
    }
    drop(send);
    let mut rows = Vec::with_capacity(producers);
    while receive.recv_many(&mut rows, producers).await > 0 {
        let (runs, waiting): (Vec<_>, Vec<_>) = rows.drain(..).unzip();
        floor.write_many(&runs).await?;
        for producer in waiting {
            // Whoever is gone has failed, and says so below.
            let _gone = producer.send(());
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok((producers * rows_each) as f64 / began.elapsed().as_secs_f64())
}

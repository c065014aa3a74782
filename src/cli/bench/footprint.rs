//! What a bot costs that has nothing to do (goal G9): alone, and with very many requests that wait.

use std::time::Duration;

use super::bot::{Bot, Database};
use super::browser::Browser;
use super::measure::{Measures, micros, quantile};
use super::proc::{Of, cpu, pss_mib, pss_of_tree_mib};
use super::{Ground, Stand, engine, managed_process};
use crate::model::code::Code;
use crate::store::floor::Observer;
use crate::store::managed::{self, ManagedOptions};

pub(super) async fn measure(measures: &mut Measures, ground: &Ground) -> anyhow::Result<()> {
    let exe = std::env::current_exe()?;
    measures.add("binary", "this program's file", "MiB", std::fs::metadata(&exe)?.len() as f64 / f64::from(1 << 20));
    idle(measures, ground).await?;
    waiting(measures, ground).await
}

/// A share of one processor, in percent.
fn percent(used: Duration, of: Duration) -> f64 {
    used.as_secs_f64() / of.as_secs_f64() * 100.0
}

async fn idle(measures: &mut Measures, ground: &Ground) -> anyhow::Result<()> {
    let sizes = ground.sizes;
    let home = ground.home_with(Stand::Idle, Database::Managed)?;
    let bot = Bot::start(&home).await?;
    bot.speaker().await?.say("ping").await?;
    tokio::time::sleep(sizes.settle).await;
    let server = managed_process(&home)?;
    let before = [cpu(&[Of::Process(bot.pid())])?, cpu(&[Of::Tree(server)])?];
    tokio::time::sleep(sizes.idle).await;
    let after = [cpu(&[Of::Process(bot.pid())])?, cpu(&[Of::Tree(server)])?];
    let used = |which: usize| percent(after[which].saturating_sub(before[which]), sizes.idle);
    measures.add("pss", "idle memory of the bot (PSS), 100 runbooks", "MiB", pss_mib(bot.pid())?);
    measures.add("pss_postgres", "idle memory of its Postgres, all processes (PSS)", "MiB", pss_of_tree_mib(server)?);
    measures.add("cpu_idle", "idle processor time of the bot, of one processor", "%", used(0));
    measures.add("cpu_idle_postgres", "idle processor time of its Postgres", "%", used(1));
    bot.end().await?;
    let alone = managed::start(ManagedOptions::new(home.data())).await?;
    tokio::time::sleep(sizes.settle).await;
    let pid = alone.identity().pid;
    let before = cpu(&[Of::Tree(pid)])?;
    tokio::time::sleep(sizes.idle / 4).await;
    let used = percent(cpu(&[Of::Tree(pid)])?.saturating_sub(before), sizes.idle / 4);
    measures.add("pss_alone", "floor: that Postgres without the bot (PSS)", "MiB", pss_of_tree_mib(pid)?);
    measures.add("cpu_alone", "floor: that Postgres without the bot, processor time", "%", used);
    alone.stop().await?;
    Ok(())
}

async fn waiting(measures: &mut Measures, ground: &Ground) -> anyhow::Result<()> {
    let sizes = ground.sizes;
    let made = ground.make("waiting").await?;
    engine::leave_waiting(made.options.clone()).await?;
    let mut observer = Observer::connect(&made.options).await?;
    let home = ground.home(Stand::Waiting, made)?;
    let (few, few_cpu, few_page) = with_waiting(ground, &home).await?;
    // The first code is the one that waits already.
    let codes: Vec<String> = (1..=sizes.waiting).map(|number| Code::from_entropy(number).to_string()).collect();
    let bytes = observer.multiply_waiting(&codes).await?;
    observer.close().await?;
    let (many, many_cpu, many_page) = with_waiting(ground, &home).await?;
    measures.add("waiting", "requests that wait", "", f64::from(sizes.waiting));
    measures.add("pss_one_waiting", "memory of the bot with one request waiting (PSS)", "MiB", few);
    measures.add("pss_waiting", "memory of the bot with all of them waiting (PSS)", "MiB", many);
    let each = (many - few).max(0.0) * f64::from(1 << 20) / f64::from(sizes.waiting);
    measures.add("pss_each", "memory of the bot for each", "bytes", each);
    measures.add("disk_each", "database for each: its run, its request, their indexes", "bytes", bytes);
    measures.add("cpu_one_waiting", "idle processor time, bot (and own Postgres), one waiting", "%", few_cpu);
    measures.add("cpu_waiting", "idle processor time, bot (and own Postgres), all waiting", "%", many_cpu);
    measures.add("page_one_waiting", "page of requests, one waiting, p50", "ms", few_page);
    measures.add("page_waiting", "page of requests, all waiting, p50", "ms", many_page);
    Ok(())
}

/// A bot over what waits: its memory, its idle processor time with that of the server, and its page of requests.
async fn with_waiting(ground: &Ground, home: &super::Home) -> anyhow::Result<(f64, f64, f64)> {
    let sizes = ground.sizes;
    let bot = Bot::start(home).await?;
    bot.speaker().await?.say("ping").await?;
    let browser = Browser::enter(&bot).await?;
    let mut looks = Vec::new();
    for _ in 0..sizes.looks {
        looks.push(browser.look("/requests").await?.0.whole);
    }
    tokio::time::sleep(sizes.settle).await;
    let who: Vec<Of> = [Of::Process(bot.pid())].into_iter().chain(ground.server.process.map(Of::Tree)).collect();
    let before = cpu(&who)?;
    tokio::time::sleep(sizes.idle / 4).await;
    let used = percent(cpu(&who)?.saturating_sub(before), sizes.idle / 4);
    let pss = pss_mib(bot.pid())?;
    bot.end().await?;
    Ok((pss, used, quantile(&micros(&looks), 0.5) / 1e3))
}

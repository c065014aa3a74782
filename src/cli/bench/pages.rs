//! Pages over a long ledger, beside static files of the same size from the same HTTP stack; and how fast pages that are
//! open are told that there is something new.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use reqwest::header::COOKIE;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bot::{Bot, Speaker};
use super::browser::{Browser, Look};
use super::measure::{Measures, micros, quantile};
use super::{Ground, Stand};
use crate::store::floor::Observer;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many speak at once while the history is made.
const AT_ONCE: usize = 4;
/// How long nothing happens before a line that pages are told of: a page is told only so often.
const QUIET: Duration = Duration::from_millis(400);

/// A page: its address, and the keys and titles of what is measured of it.
struct Subject {
    path: &'static str,
    first: (&'static str, &'static str),
    whole: (&'static str, &'static str),
    short: (&'static str, &'static str),
    fixed: (&'static str, &'static str),
    size: (&'static str, &'static str),
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        path: "/rooms/bench",
        first: ("first_room", "room, first byte, p50"),
        whole: ("page_room", "room, whole, p50"),
        short: ("short_room", "room while it was short, whole, p50"),
        fixed: ("static_room", "floor: a static file of that size, whole, p50"),
        size: ("size_room", "room, size"),
    },
    Subject {
        path: "/incidents/1",
        first: ("first_incident", "incident, first byte, p50"),
        whole: ("page_incident", "incident, whole, p50"),
        short: ("short_incident", "incident while it was short, whole, p50"),
        fixed: ("static_incident", "floor: a static file of that size, whole, p50"),
        size: ("size_incident", "incident, size"),
    },
    Subject {
        path: "/ledger",
        first: ("first_ledger", "ledger, first byte, p50"),
        whole: ("page_ledger", "ledger, whole, p50"),
        short: ("short_ledger", "ledger while it was short, whole, p50"),
        fixed: ("static_ledger", "floor: a static file of that size, whole, p50"),
        size: ("size_ledger", "ledger, size"),
    },
    Subject {
        path: "/incidents/1/report?format=html",
        first: ("first_report", "report with every event, first byte, p50"),
        whole: ("page_report", "report with every event, whole, p50"),
        short: ("short_report", "report while it was short, whole, p50"),
        fixed: ("static_report", "floor: a static file of that size, whole, p50"),
        size: ("size_report", "report with every event, size"),
    },
];

pub(super) async fn measure(measures: &mut Measures, ground: &Ground, rounds: u16) -> anyhow::Result<()> {
    let made = ground.make("pages").await?;
    let options = made.options.clone();
    let home = ground.home(Stand::Pages, made)?;
    let bot = Bot::start(&home).await?;
    let mut observer = Observer::connect(&options).await?;
    bot.speaker().await?.say("open incident system-a: pages are measured").await?;
    notes(&bot, &mut observer, ground.sizes.few_events).await?;
    let browser = Browser::enter(&bot).await?;
    let looks = ground.sizes.looks;
    let mut short = Vec::with_capacity(SUBJECTS.len());
    for subject in &SUBJECTS {
        short.push(many(looks, || browser.look(subject.path)).await?);
    }
    notes(&bot, &mut observer, ground.sizes.events.saturating_sub(ground.sizes.few_events)).await?;
    let (chained, _) = observer.events().await?;
    measures.add("events", "events in the ledger", "", chained as f64);
    measures.add("incident_events", "of them the incident's", "", (ground.sizes.events + 1) as f64);
    let floor = FileServer::start(home.dir.join("static")).await?;
    for round in 1..=rounds {
        tracing::info!(round, "measuring pages");
        for (subject, short) in SUBJECTS.iter().zip(&short) {
            let (_, page) = browser.look(subject.path).await?;
            let long = many(looks, || browser.look(subject.path)).await?;
            std::fs::write(&floor.file, &page)?;
            let url = format!("{}/file", floor.base);
            let fixed = many(looks, || super::browser::look(&browser.client, &url, &browser.cookie)).await?;
            let p50 = |of: &[Look], which: fn(&Look) -> Duration| {
                quantile(&micros(&of.iter().map(which).collect::<Vec<_>>()), 0.5) / 1e3
            };
            measures.add(subject.fixed.0, subject.fixed.1, "ms", p50(&fixed, |look| look.whole));
            measures.add(subject.first.0, subject.first.1, "ms", p50(&long, |look| look.first));
            measures.add(subject.whole.0, subject.whole.1, "ms", p50(&long, |look| look.whole));
            measures.add(subject.short.0, subject.short.1, "ms", p50(short, |look| look.whole));
            let bytes = quantile(&long.iter().map(|look| look.bytes as f64).collect::<Vec<_>>(), 0.5);
            measures.add(subject.size.0, subject.size.1, "KiB", bytes / 1024.0);
        }
        fan_out(measures, ground, &bot, &browser, &floor).await?;
    }
    floor.end().await;
    observer.close().await?;
    bot.end().await
}

async fn many<F>(times: usize, mut look: impl FnMut() -> F) -> anyhow::Result<Vec<Look>>
where
    F: Future<Output = anyhow::Result<(Look, Vec<u8>)>>,
{
    let mut looks = Vec::with_capacity(times);
    // Once, unmeasured.
    look().await?;
    for _ in 0..times {
        looks.push(look().await?.0);
    }
    Ok(looks)
}

/// Has so many notes taken of the incident, each an event of it and one of its line, and waits until all have a place.
async fn notes(bot: &Bot, observer: &mut Observer, times: usize) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for of_task in 0..AT_ONCE {
        let mut speaker = bot.speaker().await?;
        tasks.spawn(async move {
            for number in (of_task..times).step_by(AT_ONCE) {
                speaker.say(&format!("note the disk of host {number} was looked at, and it is half full")).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    let began = Instant::now();
    while observer.events().await?.1 > 0 {
        if began.elapsed() > PATIENCE {
            bail!("not every event got its place");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

async fn fan_out(
    measures: &mut Measures,
    ground: &Ground,
    bot: &Bot,
    browser: &Browser,
    floor: &FileServer,
) -> anyhow::Result<()> {
    let (pages, lines) = (ground.sizes.listeners, ground.sizes.told);
    let mut speaker = bot.speaker().await?;
    let mut bare = Listeners::open(browser, &format!("{}/live", floor.base), pages).await?;
    let mut open = Listeners::open(browser, &format!("{}/live", browser.base), pages).await?;
    let (mut bare_all, mut first, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..lines {
        let tell = browser.client.post(format!("{}/say", floor.base));
        bare_all.push(bare.told(async { Ok(tell.send().await.map(drop)?) }).await?.1);
        let (one, every) = open.told(say(&mut speaker)).await?;
        first.push(one);
        all.push(every);
    }
    let p50 = |of: &[Duration]| quantile(&micros(of), 0.5) / 1e3;
    measures.add("listeners", "pages that are open", "", pages as f64);
    measures.add("bare_fan_all", "floor: bare broadcast, request -> all of them told, p50", "ms", p50(&bare_all));
    measures.add("fan_first", "line -> the first page is told, p50", "ms", p50(&first));
    measures.add("fan_all", "line -> all pages are told, p50", "ms", p50(&all));
    Ok(())
}

async fn say(speaker: &mut Speaker) -> anyhow::Result<()> {
    speaker.say("ping").await.map(drop)
}

/// Open pages.
struct Listeners {
    told: mpsc::UnboundedReceiver<(usize, Instant)>,
    pages: usize,
    _tasks: JoinSet<()>,
}

impl Listeners {
    async fn open(browser: &Browser, url: &str, pages: usize) -> anyhow::Result<Self> {
        let (tell, told) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for page in 0..pages {
            let mut stream =
                browser.client.get(url).header(COOKIE, &browser.cookie).send().await?.error_for_status()?;
            let tell = tell.clone();
            tasks.spawn(async move {
                while let Ok(Some(chunk)) = stream.chunk().await {
                    let changed = chunk.windows(7).any(|bytes| bytes == b"changed");
                    if changed && tell.send((page, Instant::now())).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { told, pages, _tasks: tasks })
    }

    /// Does something; returns after how long the first and the last of the pages were told of it.
    async fn told(&mut self, deed: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<(Duration, Duration)> {
        tokio::time::sleep(QUIET).await;
        while self.told.try_recv().is_ok() {}
        let began = Instant::now();
        let hear = async {
            let (mut first, mut waiting) = (None, vec![true; self.pages]);
            while waiting.contains(&true) {
                let heard = timeout(PATIENCE, self.told.recv()).await.context("not all pages were told")?;
                let (page, at) = heard.context("no page is open any more")?;
                first.get_or_insert(at - began);
                if let Some(waits) = waiting.get_mut(page) {
                    *waits = false;
                }
            }
            let all = began.elapsed();
            anyhow::Ok((first.unwrap_or(all), all))
        };
        let (done, heard) = tokio::join!(deed, hear);
        done?;
        heard
    }
}

/// The same HTTP stack with nothing behind it: a file, and a broadcast.
struct FileServer {
    base: String,
    file: PathBuf,
    serving: JoinSet<()>,
}

#[derive(Clone)]
struct Bare {
    file: Arc<PathBuf>,
    told: broadcast::Sender<()>,
}

impl FileServer {
    async fn start(file: PathBuf) -> anyhow::Result<Self> {
        std::fs::write(&file, "")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", listener.local_addr()?);
        let bare = Bare { file: Arc::new(file.clone()), told: broadcast::channel(16).0 };
        let routes = Router::new()
            .route("/file", get(read))
            .route("/live", get(live))
            .route("/say", post(tell))
            .with_state(bare);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the floor's server has ended");
            }
        });
        Ok(Self { base, file, serving })
    }

    async fn end(mut self) {
        self.serving.shutdown().await;
    }
}

async fn read(State(bare): State<Bare>) -> Response {
    match tokio::fs::read(&*bare.file).await {
        Ok(bytes) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], bytes).into_response(),
        Err(error) => (axum::http::StatusCode::NOT_FOUND, error.to_string()).into_response(),
    }
}

async fn live(State(bare): State<Bare>) -> Response {
    let events = futures_util::stream::unfold(bare.told.subscribe(), |mut told| async {
        told.recv().await.ok()?;
        Some((Ok::<_, Infallible>(Event::default().event("changed").data("")), told))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

async fn tell(State(bare): State<Bare>) -> &'static str {
    // Without listeners there is nobody to tell.
    let _ = bare.told.send(());
    "told"
}

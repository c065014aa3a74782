//! Decisions: how many answers of people are counted in a second, beside how many rows the database makes durable.
//!
//! What is measured is what a line that says `approve` costs after it was understood: one transaction with the line's row,
//! `approval::decide` (locks, counting, the grant with its signature), the events, and the commit. Two people agree to each
//! request, so half of the decisions grant. Requests are asked for before, unmeasured. What is not in it: the way over HTTP
//! or a chat, parsing, and the answer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::postgres::PgConnectOptions;
use tokio::task::JoinSet;

use super::engine::{Steps, account, line, plan, take_key};
use super::measure::{Measures, micros, quantile};
use super::{Ground, floors};
use crate::approval::{self, Begin, Decide, DecideOutcome, Seen};
use crate::chat::room::LocalRoom;
use crate::ledger::{self, Trial};
use crate::model::catalog::{Ask, Catalog, Person};
use crate::model::code::Code;
use crate::model::group::Group;
use crate::model::id::{GroupName, PersonId, RequestId, RunbookName, SystemName};
use crate::model::plan::{Plan, Sealed};
use crate::model::request::{Answer, Proof, Wanted};
use crate::model::run::RunState;
use crate::store::floor::{Floor, Observer};
use crate::store::{NewRequest, NewRun, Store};

/// Who agrees to each request.
const APPROVERS: [&str; 2] = ["boss", "lin"];
/// How many requests are made with one commit.
const ASKED_AT_ONCE: usize = 50;

/// One number of decisions at once, with the names of what is measured.
struct Width {
    at_once: usize,
    floor: (&'static str, &'static str),
    rate: (&'static str, &'static str),
    p50: (&'static str, &'static str),
    p99: (&'static str, &'static str),
}

const WIDTHS: [Width; 3] = [
    Width {
        at_once: 1,
        floor: ("durable_1", "floor: one durable row a commit, 1 connection"),
        rate: ("decisions_1", "decisions, 1 at a time"),
        p50: ("decision_1_p50", "a decision, 1 at a time, p50"),
        p99: ("decision_1_p99", "a decision, 1 at a time, p99"),
    },
    Width {
        at_once: 8,
        floor: ("durable_8", "floor: one durable row a commit, 8 connections"),
        rate: ("decisions_8", "decisions, 8 at once"),
        p50: ("decision_8_p50", "a decision, 8 at once, p50"),
        p99: ("decision_8_p99", "a decision, 8 at once, p99"),
    },
    Width {
        at_once: 32,
        floor: ("durable_32", "floor: one durable row a commit, 32 connections"),
        rate: ("decisions_32", "decisions, 32 at once"),
        p50: ("decision_32_p50", "a decision, 32 at once, p50"),
        p99: ("decision_32_p99", "a decision, 32 at once, p99"),
    },
];

/// Measures every width in turn, the floor just before the bot, in as many rounds as asked for.
pub(super) async fn measure(measures: &mut Measures, ground: &Ground, rounds: u16) -> anyhow::Result<()> {
    let floor = ground.make("decisions_floor").await?.options;
    let mut bench = Bench::open(ground.make("decisions").await?.options).await?;
    // Once, unmeasured: statements prepared, connections open.
    bench.decide(ground.sizes.decisions.min(32), 8).await?;
    for round in 1..=rounds {
        tracing::info!(round, "measuring decisions");
        for Width { at_once, floor: bare, rate, p50, p99 } in WIDTHS {
            let durable = durable(&floor, at_once, ground.sizes.decisions).await?;
            measures.add(bare.0, bare.1, "rows/s", durable);
            let (took, all) = bench.decide(ground.sizes.decisions, at_once).await?;
            measures.add(rate.0, rate.1, "/s", took.len() as f64 / all.as_secs_f64());
            let took = micros(&took);
            measures.add(p50.0, p50.1, "us", quantile(&took, 0.5));
            measures.add(p99.0, p99.1, "us", quantile(&took, 0.99));
        }
    }
    bench.close().await
}

/// The database's own rate: so many connections, each of which commits one row after another. Rows per second.
async fn durable(options: &PgConnectOptions, at_once: usize, rows: usize) -> anyhow::Result<f64> {
    let mut connections = Vec::with_capacity(at_once);
    for _ in 0..at_once {
        connections.push(Floor::connect(options).await?);
    }
    let each = rows.div_ceil(at_once);
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut floor in connections {
        tasks.spawn(async move {
            floors::commits(&mut floor, each).await?;
            anyhow::Ok(floor)
        });
    }
    let mut done = Vec::with_capacity(at_once);
    while let Some(ended) = tasks.join_next().await {
        done.push(ended??);
    }
    let rate = (each * at_once) as f64 / began.elapsed().as_secs_f64();
    for floor in done {
        floor.close().await?;
    }
    Ok(rate)
}

struct Bench {
    store: Store,
    observer: Observer,
    catalog: Arc<Catalog>,
    plan: Plan,
    sealed: Sealed,
    said: Arc<AtomicUsize>,
    asked: u32,
}

impl Bench {
    async fn open(database: PgConnectOptions) -> anyhow::Result<Self> {
        let store = Store::connect(database.clone()).await?;
        let genesis = ledger::open(&store, Trial::Yes).await?;
        take_key(&store, &genesis.ledger).await?;
        let mut plan = plan(1, Steps::Spawn);
        let policy = plan.policy.as_mut().context("a plan that spawns has a policy")?;
        for stage in &mut policy.stages {
            stage.quorum = u32::try_from(APPROVERS.len())?;
        }
        let sealed = Sealed::seal(&plan)?;
        let mut tx = store.begin().await?;
        tx.insert_plan(&sealed).await?;
        tx.commit().await?;
        let (catalog, said) = (Arc::new(catalog()), Arc::default());
        Ok(Self { store, observer: Observer::connect(&database).await?, catalog, plan, sealed, said, asked: 0 })
    }

    /// Asks for as many as there are to decide, unmeasured.
    async fn ask(&mut self, requests: usize) -> anyhow::Result<Vec<RequestId>> {
        let (mei, room) = (PersonId::new("mei"), LocalRoom::address("bench"));
        let mut asked = Vec::with_capacity(requests);
        while asked.len() < requests {
            let mut tx = self.store.begin().await?;
            let said = self.said.fetch_add(1, Ordering::Relaxed);
            let by = line(&self.store, &mut tx, "mei", said as u64).await?;
            for _ in 0..ASKED_AT_ONCE.min(requests - asked.len()) {
                let run = tx
                    .insert_run(NewRun {
                        state: RunState::AwaitingApproval,
                        runbook: &RunbookName::new("bench"),
                        system: &SystemName::new("bench"),
                        environment: "scratch",
                        plan: &self.sealed,
                        room: &room,
                        thread: None,
                        requester: &mei,
                        account: &account("mei"),
                        cause: Some(by),
                        trigger: None,
                        incident: None,
                        not_before: None,
                    })
                    .await?;
                self.asked += 1;
                let code = Code::from_entropy(self.asked);
                let expires_at = tx.now() + chrono::TimeDelta::days(1);
                let requesters = [mei.clone()];
                let request = NewRequest {
                    code: &code,
                    run,
                    wanted: &Wanted::Start,
                    digest: self.sealed.digest(),
                    requesters: &requesters,
                    needs: &[],
                    room: &room,
                    thread: None,
                    expires_at,
                };
                let request = tx.insert_request(request).await?.context("a request's code was taken")?;
                let run = tx.lock_run(run).await?;
                let begin = Begin {
                    request,
                    code,
                    wanted: &Wanted::Start,
                    run: &run,
                    plan: &self.plan,
                    requesters: &requesters,
                    needs: &[],
                    stage: 0,
                    request_expires_at: expires_at,
                    line: Some(by),
                    moved: Vec::new(),
                };
                approval::begin_stage(&mut tx, &self.catalog, begin).await?;
                asked.push(request);
            }
            tx.commit().await?;
        }
        self.observer.post_all().await?;
        Ok(asked)
    }

    /// Has so many decisions made, so many at once, each on a request that nobody else decides at that moment. Returns how
    /// long each took from the beginning of its transaction to the end of its commit, and all together.
    async fn decide(&mut self, decisions: usize, at_once: usize) -> anyhow::Result<(Vec<Duration>, Duration)> {
        let requests = self.ask(decisions.div_ceil(APPROVERS.len())).await?;
        let requests: Arc<[RequestId]> = requests.into();
        let next = Arc::new(AtomicUsize::new(0));
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..at_once {
            let (store, catalog, requests) = (self.store.clone(), self.catalog.clone(), requests.clone());
            let (next, said) = (next.clone(), self.said.clone());
            tasks.spawn(async move {
                let mut took = Vec::new();
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for (number, person) in APPROVERS.iter().enumerate() {
                        let began = Instant::now();
                        let outcome = agree(&store, &catalog, *request, person, &said).await?;
                        took.push(began.elapsed());
                        let is_last = number + 1 == APPROVERS.len();
                        match outcome {
                            DecideOutcome::Granted if is_last => {}
                            DecideOutcome::Counted { .. } if !is_last => {}
                            other => bail!("an answer was not counted: {other:?}"),
                        }
                    }
                }
                anyhow::Ok(took)
            });
        }
        let mut took = Vec::with_capacity(decisions);
        while let Some(ended) = tasks.join_next().await {
            took.extend(ended??);
        }
        Ok((took, began.elapsed()))
    }

    async fn close(self) -> anyhow::Result<()> {
        self.store.close().await;
        Ok(self.observer.close().await?)
    }
}

/// One answer, as a turn of a conversation gives it.
async fn agree(
    store: &Store,
    catalog: &Catalog,
    request: RequestId,
    person: &str,
    said: &AtomicUsize,
) -> anyhow::Result<DecideOutcome> {
    let mut tx = store.begin().await?;
    let line = line(store, &mut tx, person, said.fetch_add(1, Ordering::Relaxed) as u64).await?;
    let decide = Decide {
        request,
        person: &PersonId::new(person),
        account: &account(person),
        answer: Answer::Approve,
        reason: None,
        proof: Proof::Chat,
        line,
        seen: Seen::Posted,
    };
    let outcome = approval::decide(&mut tx, catalog, decide).await?;
    tx.commit().await?;
    Ok(outcome)
}

/// Those who agree, and the group that the plan's policy asks.
fn catalog() -> Catalog {
    let person = |name: &str| Person { name: PersonId::new(name), accounts: vec![account(name)], ask: Ask::default() };
    let people: BTreeMap<PersonId, Person> =
        ["mei"].iter().chain(&APPROVERS).map(|name| (PersonId::new(*name), person(name))).collect();
    let managers = Group { members: APPROVERS.map(PersonId::new).into(), ..Group::default() };
    let groups = BTreeMap::from([(GroupName::new("managers"), managers)]);
    Catalog { root: PathBuf::from("/"), people, groups, ..Catalog::default() }
}

//! The engine in this process, against a real database: runs whose steps cost nothing outside, or one spawn.
//!
//! The sequencer works beside it, as it does in the bot: a step counts with its place in the chain.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::floors::TRUE;
use crate::approval::{Give, Why, give};
use crate::chat::room::LocalRoom;
use crate::engine::{Engine, Secrets, SecretsSource, Surroundings, WorkerSettings};
use crate::ledger::{self, Trial};
use crate::model::catalog::{Stage, Subject};
use crate::model::chat::{Account, Addressed, Incoming, Said};
use crate::model::code::Code;
use crate::model::id::{GroupName, InboxId, MessageId, PersonId, PolicyName, RunId, RunbookName, SystemName};
use crate::model::plan::{Action, Exec, PLAN_VERSION, Plan, PlanPolicy, PlanStep, Sealed, Telling};
use crate::model::policy::Delegating;
use crate::model::request::{Answer, Decision, RequestState, Wanted};
use crate::model::run::RunState;
use crate::model::signature::Trust;
use crate::store::{NewRequest, NewRun, Store, Topic, Tx, WorkerId};
use crate::sys::ProcessIdentity;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a lease lasts: longer than a round, so that renewing is no part of it.
const LEASE: Duration = Duration::from_secs(60);

/// What the steps of a run do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps<'a> {
    /// Nothing. Nobody need agree.
    Nothing,
    /// Start [`TRUE`] and wait for it, under a grant.
    Spawn,
    /// Write a line of run and step at the end of a file, under a grant: an effect outside the database, which can be
    /// counted. Not idempotent.
    Effect(&'a Path),
}

/// The script of a step of [`Steps::Effect`]. Its line is written at once, so that lines of several do not mix.
pub(super) const EFFECT: &str = "echo \"$COUNTERSIGN_RUN $1\" >> \"$2\"";
/// What runs it.
pub(super) const SHELL: &str = "/bin/sh";

/// A working engine.
pub(super) struct Workshop {
    store: Store,
    me: WorkerId,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    said: u64,
}

struct NoSecrets;

impl SecretsSource for NoSecrets {
    fn secrets(&self) -> Secrets {
        Secrets::default()
    }
}

impl Workshop {
    pub(super) async fn open(database: PgConnectOptions) -> anyhow::Result<Self> {
        let store = Store::connect(database).await?;
        let me = store.insert_worker(&ProcessIdentity::own()?).await?;
        let genesis = ledger::open(&store, Trial::Yes).await?;
        take_key(&store, &genesis.ledger).await?;
        let surroundings = Surroundings {
            path: "/usr/bin:/bin".into(),
            extra_env: Arc::new(BTreeMap::new()),
            cwd: PathBuf::from("/"),
            ledger: genesis.ledger,
        };
        let settings = WorkerSettings { lease: LEASE, ..WorkerSettings::default() };
        let engine = Engine::new(store.clone(), me, surroundings, Arc::new(NoSecrets), settings);
        let (stop, stops) = watch::channel(false);
        let tasks = vec![
            tokio::spawn(engine.run(stops.clone())),
            tokio::spawn(ledger::sequencer::run(store.clone(), me, LEASE, stops)),
        ];
        Ok(Self { store, me, stop, tasks, said: 0 })
    }

    /// Has so many runs of so many steps done at once; returns how long it took from the commit that lets them start to
    /// the commit that ends the last.
    pub(super) async fn run(&mut self, runs: usize, steps: usize, what: Steps<'_>) -> anyhow::Result<Duration> {
        let plan = Sealed::seal(&plan(steps, what))?;
        let mut settled = self.store.hub().listen(Topic::Settled);
        let mut tx = self.store.begin().await?;
        self.said += 2;
        let asked = line(&self.store, &mut tx, "mei", self.said).await?;
        let agreed = line(&self.store, &mut tx, "boss", self.said + 1).await?;
        tx.insert_plan(&plan).await?;
        let mut waiting = Vec::with_capacity(runs);
        for number in 0..runs {
            waiting.push(insert(&mut tx, &plan, what, asked, agreed, number).await?);
        }
        let ids = waiting.clone();
        tx.commit().await?;
        let began = Instant::now();
        // One wake-up for each commit, seldom fewer. The questions begin when the last is near, so that they do not
        // compete with what they are about.
        let mut wakes = 0;
        while let Some(next) = waiting.last() {
            if began.elapsed() > PATIENCE {
                bail!("run {next} did not end within {} s", PATIENCE.as_secs());
            }
            settled.wait(Duration::from_millis(10)).await;
            wakes += 1;
            if wakes < steps {
                continue;
            }
            while let Some(next) = waiting.last()
                && self.state(*next).await?.is_over()
            {
                waiting.pop();
            }
        }
        let took = began.elapsed();
        for run in ids {
            let state = self.state(run).await?;
            let attempts = self.store.list_attempts(run).await?.len();
            if state != RunState::Succeeded || attempts != steps {
                bail!("run {run} ended as {} after {attempts} attempts, not as succeeded after {steps}", state.name());
            }
        }
        Ok(took)
    }

    async fn state(&self, run: RunId) -> anyhow::Result<RunState> {
        Ok(self.store.find_run(run).await?.context("a run is gone")?.state)
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        for task in self.tasks {
            task.await?;
        }
        self.store.end_worker(self.me).await?;
        self.store.close().await;
        Ok(())
    }
}

pub(super) async fn line(store: &Store, tx: &mut Tx, person: &str, number: u64) -> anyhow::Result<InboxId> {
    let what = Said::Line {
        message: MessageId::new(format!("bench-{number}")),
        text: "bench".to_owned(),
        address: Addressed::ToRoom,
    };
    let incoming = Incoming {
        room: LocalRoom::address("bench"),
        thread: None,
        account: account(person),
        said_at: store.clock().now(),
        what,
        trace: None,
    };
    tx.insert_line(&incoming, Some(&PersonId::new(person)), Some("bench")).await?.context("a line was said twice")
}

/// Takes a key to sign with: what is measured is what a bot does.
pub(super) async fn take_key(store: &Store, ledger: &str) -> anyhow::Result<()> {
    let trust = Trust { ledger: ledger.to_owned(), keys: None };
    ledger::keys::fleeting(store, "bench", "countersign bench", trust).await?;
    Ok(())
}

/// Puts approved runs into a database for a bot that is not running yet: so many, each of so many steps.
pub(super) async fn leave_runs(
    database: PgConnectOptions,
    runs: usize,
    steps: usize,
    what: Steps<'_>,
) -> anyhow::Result<()> {
    let store = Store::connect(database).await?;
    let genesis = ledger::open(&store, Trial::Yes).await?;
    take_key(&store, &genesis.ledger).await?;
    let plan = Sealed::seal(&plan(steps, what))?;
    let mut tx = store.begin().await?;
    let asked = line(&store, &mut tx, "mei", 1).await?;
    let agreed = line(&store, &mut tx, "boss", 2).await?;
    tx.insert_plan(&plan).await?;
    for number in 0..runs {
        insert(&mut tx, &plan, what, asked, agreed, number).await?;
    }
    tx.commit().await?;
    store.close().await;
    Ok(())
}

/// Puts one run that waits for agreement into a database, for a day.
pub(super) async fn leave_waiting(database: PgConnectOptions) -> anyhow::Result<()> {
    let store = Store::connect(database).await?;
    ledger::open(&store, Trial::Yes).await?;
    let plan = Sealed::seal(&plan(3, Steps::Spawn))?;
    let (mei, room) = (PersonId::new("mei"), LocalRoom::address("bench"));
    let mut tx = store.begin().await?;
    let asked = line(&store, &mut tx, "mei", 1).await?;
    tx.insert_plan(&plan).await?;
    let run = tx
        .insert_run(NewRun {
            state: RunState::AwaitingApproval,
            runbook: &RunbookName::new("bench"),
            system: &SystemName::new("bench"),
            environment: "scratch",
            plan: &plan,
            room: &room,
            thread: None,
            requester: &mei,
            account: &account("mei"),
            cause: Some(asked),
            trigger: None,
            incident: None,
            not_before: None,
        })
        .await?;
    let request = NewRequest {
        code: &Code::from_entropy(0),
        run,
        wanted: &Wanted::Start,
        digest: plan.digest(),
        requesters: &[mei],
        needs: &[],
        room: &room,
        thread: None,
        expires_at: tx.now() + chrono::TimeDelta::days(1),
    };
    tx.insert_request(request).await?.context("a request's code was taken")?;
    tx.commit().await?;
    store.close().await;
    Ok(())
}

pub(super) fn account(person: &str) -> Account {
    let address = LocalRoom::address("bench");
    Account { platform: address.platform, workspace: address.workspace, id: person.to_owned() }
}

/// Inserts a run that may start at once: for steps that need a grant with request, decision and grant, as they stand
/// after somebody agreed.
async fn insert(
    tx: &mut Tx,
    plan: &Sealed,
    what: Steps<'_>,
    asked: InboxId,
    agreed: InboxId,
    number: usize,
) -> anyhow::Result<RunId> {
    let (mei, boss, room) = (PersonId::new("mei"), PersonId::new("boss"), LocalRoom::address("bench"));
    let state = match what {
        Steps::Nothing => RunState::Planned,
        Steps::Spawn | Steps::Effect(_) => RunState::Approved,
    };
    let run = tx
        .insert_run(NewRun {
            state,
            runbook: &RunbookName::new("bench"),
            system: &SystemName::new("bench"),
            environment: "scratch",
            plan,
            room: &room,
            thread: None,
            requester: &mei,
            account: &account("mei"),
            cause: Some(asked),
            trigger: None,
            incident: None,
            not_before: None,
        })
        .await?;
    if what == Steps::Nothing {
        return Ok(run);
    }
    let expires_at = tx.now() + chrono::TimeDelta::hours(1);
    // Granted before the next is inserted, so that a code is free again.
    let code = Code::from_entropy(u32::try_from(number)?);
    let request = NewRequest {
        code: &code,
        run,
        wanted: &Wanted::Start,
        digest: plan.digest(),
        requesters: &[mei],
        needs: &[],
        room: &room,
        thread: None,
        expires_at,
    };
    let id = tx.insert_request(request).await?.context("a request's code was taken")?;
    let request = tx.lock_request(id).await?;
    let decision = Decision::new(boss, 0, Answer::Approve);
    tx.insert_decision(id, &decision, &account("boss"), None, agreed).await?;
    tx.move_request(&request, &RequestState::Granted).await?;
    let decisions = tx.list_decisions(id).await?;
    let why = Why::Agreed(&decisions.iter().collect::<Vec<_>>());
    give(tx, Give { request: &request, why, start_by: expires_at, valid_until: expires_at }).await?;
    Ok(run)
}

pub(super) fn plan(steps: usize, what: Steps<'_>) -> Plan {
    let action = |number: usize| {
        let argv = match what {
            Steps::Nothing => return Action::Check { checks: Vec::new(), until: None },
            Steps::Spawn => vec![TRUE.to_owned()],
            Steps::Effect(file) => {
                let script = [SHELL, "-c", EFFECT, "sh"].map(str::to_owned);
                script.into_iter().chain([number.to_string(), file.display().to_string()]).collect()
            }
        };
        let program = argv.first().cloned().unwrap_or_default();
        Action::Run(Exec { argv, program, env: Vec::new(), scripts: BTreeMap::new() })
    };
    let policy = PlanPolicy {
        name: PolicyName::new("managers"),
        stages: vec![Stage::new(vec![Subject::Group(GroupName::new("managers"))], 1)],
        expires_ms: 3_600_000,
        starts_within_ms: None,
        relaxed: Vec::new(),
        exclude_author: false,
        delegating: Delegating::Allowed,
        needs: Vec::new(),
        denied_before: None,
        repeat: None,
        break_glass: None,
        valid_for_ms: 3_600_000,
        unasked: Vec::new(),
        automatic: Vec::new(),
        text: "A manager agrees".to_owned(),
    };
    let privileged = what != Steps::Nothing;
    let step = |number| PlanStep {
        name: format!("Step {number}"),
        privileged,
        read_only: false,
        idempotent: false,
        timeout_ms: 60_000,
        retry: None,
        action: action(number),
    };
    Plan {
        version: PLAN_VERSION,
        runbook: RunbookName::new("bench"),
        title: "Measure".to_owned(),
        why: None,
        deed: "bench".to_owned(),
        system: SystemName::new("bench"),
        system_title: "Bench".to_owned(),
        environment: "scratch".to_owned(),
        host: "here".to_owned(),
        params: BTreeMap::new(),
        targets: Vec::new(),
        files: BTreeMap::new(),
        policy: privileged.then_some(policy),
        author: None,
        steps: (1..=steps).map(step).collect(),
        not_before: None,
        telling: Telling::Steps,
    }
}

//! Executing one attempt: a file for each kind of step.
//!
//! What lives here: starting, watching and ending the processes of one attempt, and what came of it. What does not: whether
//! it may start (`approval`, `store::advance`) and what follows (`engine::next`). Keeps I2: when told to give up, the
//! process group is killed before anything else.

pub(super) mod check;
mod http;
mod net;
mod run;
mod tcp;
#[cfg(test)]
mod tests;
mod wait;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::output::Capture;
use super::secrets::Secrets;
use crate::model::catalog::{EnvEntry, EnvFrom};
use crate::model::event::CheckResult;
use crate::model::id::{Digest, RunId};
use crate::model::plan::{Action, Exec, PlanStep};
use crate::model::run::Outcome;
use crate::store::AttemptKey;
use crate::sys::{self, ProcessIdentity};

/// How long a process group that was killed may take to be gone.
pub(super) const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Variables that no step gets, whatever the catalog says: they open the bot's own doors.
const NEVER_PASSED: [&str; 3] = ["COUNTERSIGN_TOKEN", "COUNTERSIGN_DATA", "DATABASE_URL"];

/// What every step finds around it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The `PATH` of steps.
    pub path: OsString,
    /// Variables beyond the bot's own environment that the catalog may name, such as the trial's `COUNTERSIGN_DEMO`.
    pub extra_env: Arc<BTreeMap<String, OsString>>,
    /// Where steps start.
    pub cwd: PathBuf,
    /// The ledger's random name. It stands in the mark of every process, because runs are counted from one in each
    /// ledger: without it a bot would take the step of another bot on this machine for its own, and kill it.
    pub ledger: String,
}

/// Why an attempt should end before it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Orders {
    /// Go on.
    GoOn,
    /// A person said `stop`.
    Stop,
    /// The lease cannot be renewed, or the bot is shutting down: end the processes, record nothing that is not known.
    GiveUp,
}

/// What an attempt needs.
pub(super) struct Context {
    /// What marks its processes, and names it in the log.
    pub(super) marker: String,
    /// The run that it belongs to; a scheduled check has none.
    pub(super) run: Option<RunId>,
    /// Its place in a trace, as processes are told it.
    pub(super) traceparent: Option<String>,
    pub(super) surroundings: Surroundings,
    pub(super) secrets: Secrets,
    pub(super) orders: watch::Receiver<Orders>,
    /// Until when this process may act, which is some time before the lease ends; moves on as the lease is renewed.
    pub(super) act_until: watch::Receiver<Instant>,
    /// Told the process as soon as there is one.
    pub(super) process: watch::Sender<Option<ProcessIdentity>>,
    /// Told the newest line of output.
    pub(super) progress: watch::Sender<Option<String>>,
}

impl Context {
    /// What was ordered by now. Keeps I2 without anybody who gives orders: they may be waiting for the database, or have
    /// stood still with the whole process.
    fn orders_now(&self) -> Orders {
        match *self.orders.borrow() {
            Orders::GoOn if Instant::now() >= *self.act_until.borrow() => Orders::GiveUp,
            given => given,
        }
    }

    /// Waits for an order other than to go on, or for the time to give up by itself.
    async fn ordered(&self) -> Orders {
        ordered(self.orders.clone(), self.act_until.clone()).await
    }
}

/// Waits for an order other than to go on, or until this process may act no longer.
pub(super) async fn ordered(mut orders: watch::Receiver<Orders>, mut act_until: watch::Receiver<Instant>) -> Orders {
    loop {
        let until = *act_until.borrow_and_update();
        tokio::select! {
            // Whoever gives orders is gone: so is the worker, or the run was claimed anew.
            given = orders.wait_for(|given| *given != Orders::GoOn) => {
                return given.map_or(Orders::GiveUp, |given| *given);
            }
            () = tokio::time::sleep_until(until) => {
                if Instant::now() >= *act_until.borrow() {
                    return Orders::GiveUp;
                }
            }
        }
    }
}

/// Does what takes a while and leaves nothing behind, unless something else is ordered before or meanwhile: then it is
/// given up at once.
///
/// # Errors
/// What was ordered.
async fn unless_ordered<T>(doing: impl Future<Output = T>, context: &Context) -> Result<T, Orders> {
    // Last of all: this process may have stood still since it wrote that the attempt starts.
    match context.orders_now() {
        Orders::GoOn => {}
        given => return Err(given),
    }
    tokio::select! {
        biased;
        given = context.ordered() => Err(given),
        done = doing => Ok(done),
    }
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum End {
    /// It was seen to end.
    Seen(Seen),
    /// It was ended by order; its processes are proved gone.
    Ordered(Orders),
    /// It had to end and its processes are not proved gone.
    NotProvedGone(String),
    /// What it asked for was sent, the answer was not seen, and asking again might harm (I3).
    Unseen(String),
}

/// What came of an attempt that was seen to end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) outcome: Outcome,
    pub(super) exit_code: Option<i32>,
    pub(super) summary: String,
    pub(super) output: Capture,
    pub(super) checks: Vec<CheckResult>,
}

impl Seen {
    pub(super) fn failed(summary: impl Into<String>) -> Self {
        Self {
            outcome: Outcome::Failed,
            exit_code: None,
            summary: summary.into(),
            output: Capture::default(),
            checks: Vec::new(),
        }
    }
}

/// What marks the processes of an attempt.
pub(super) fn marker(surroundings: &Surroundings, key: AttemptKey) -> String {
    format!("{}-{key}", surroundings.ledger)
}

/// Executes an attempt to its end. `waited` is how long ago the step's first attempt started.
pub(super) async fn execute(step: &PlanStep, answer: Answering, waited: Duration, context: Context) -> End {
    let deadline = Instant::now() + step.timeout();
    match &step.action {
        Action::Run(exec) => run::execute(exec, deadline, step.timeout(), context).await,
        Action::Check { checks, until } => {
            check::execute(checks, until.as_ref(), answer, deadline, step.timeout(), context).await
        }
        Action::Http(ask) => match http::ask(ask, deadline, step.timeout(), &context).await {
            Ok(asked) => asked.end(step, &context),
            Err(given) => End::Ordered(given),
        },
        Action::Tcp(ask) => match tcp::ask(ask, deadline, step.timeout(), &context).await {
            Ok(asked) => asked.end(step, &context),
            Err(given) => End::Ordered(given),
        },
        Action::Wait { ms } => wait::execute(Duration::from_millis(*ms), waited, &context).await,
    }
}

/// What a failing check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answering {
    /// The step has failed.
    Step,
    /// It is the answer to a question: any answer that is known is a good one.
    Question,
}

/// The environment of a process: a fixed few, what the plan names, nothing else of ours.
///
/// # Errors
/// A sentence that names the variable or secret that is missing.
fn environment(entries: &[EnvEntry], context: &Context) -> Result<Vec<(OsString, OsString)>, String> {
    let mut env = vec![(OsString::from("PATH"), context.surroundings.path.clone()), ("LANG".into(), "C.UTF-8".into())];
    env.extend(context.run.map(|run| ("COUNTERSIGN_RUN".into(), run.to_string().into())));
    env.extend(context.traceparent.as_ref().map(|trace| ("TRACEPARENT".into(), trace.into())));
    for entry in entries {
        let value = match &entry.from {
            EnvFrom::Bot if NEVER_PASSED.contains(&entry.name.as_str()) => {
                return Err(format!("{} is the bot's own and is never passed to a step", entry.name));
            }
            EnvFrom::Bot => {
                let passed = context.surroundings.extra_env.get(&entry.name).cloned();
                passed
                    .or_else(|| std::env::var_os(&entry.name))
                    .ok_or_else(|| format!("the bot's environment has no {}", entry.name))?
            }
            EnvFrom::Secret(secret) => {
                context.secrets.value(secret).ok_or_else(|| format!("the secret {secret} cannot be read"))?
            }
        };
        env.push((entry.name.clone().into(), value));
    }
    Ok(env)
}

/// Refuses to run a script that is not the one that was shown.
///
/// # Errors
/// A sentence that names the file.
fn check_scripts(exec: &Exec) -> Result<(), String> {
    for script in exec.scripts.values() {
        let bytes = std::fs::read(&script.path).map_err(|error| format!("{} cannot be read: {error}", script.path))?;
        if Digest(Sha256::digest(&bytes).into()) != script.sha256 {
            return Err(format!("{} has changed since it was planned; ask again to plan it anew", script.path));
        }
    }
    Ok(())
}

/// A process ready to start.
fn prepare(exec: &Exec, context: &Context) -> Result<sys::Spawn, String> {
    check_scripts(exec)?;
    let mut argv: Vec<OsString> = exec.argv.iter().map(OsString::from).collect();
    for (place, script) in &exec.scripts {
        if let Some(argument) = argv.get_mut(*place) {
            *argument = script.path.clone().into();
        }
    }
    Ok(sys::Spawn {
        program: PathBuf::from(&exec.program),
        argv,
        env: environment(&exec.env, context)?,
        cwd: context.surroundings.cwd.clone(),
        marker: Some(context.marker.clone()),
    })
}

/// Ends everything of an attempt and proves it gone.
async fn end_all(leader: Option<&ProcessIdentity>, context: &Context) -> Result<(), String> {
    sys::end_group(leader, &context.marker, GONE_WITHIN).await.map(drop).map_err(|error| error.to_string())
}

//! The plan: what will run, said completely, once. What is signed is its bytes.
//!
//! What lives here: the shape of the bytes and their digest. What does not: making a plan (`engine::plan`), or running
//! one (`engine`). Keeps I1 and I13: nothing outside the bytes decides what runs, and nothing re-serialises them.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::catalog::{EnvEntry, ExitCodes, HttpAsk, Retry, TcpAsk};
use super::id::{CheckName, Digest, PersonId, PolicyName, RunbookName, ServiceName, SystemName};
use super::policy::{Automatic, BreakGlass, Delegating, DeniedBefore, Relaxed, Repeat, Stage, Unasked, is_false};
use super::request::Wanted;

/// The version of the bytes that this binary writes. Version 2 added requests over HTTP, connections, waiting, `retry`
/// and policies that let triggers start; version 3 policies of several stages with times of their own, the latest start and
/// the author. What an older version has is written the same in all.
pub const PLAN_VERSION: u32 = 3;

/// The oldest version that this binary reads.
const OLDEST: u32 = 1;

/// What the digest's input begins with, so that no other thing's hash can pass for a plan's.
const DOMAIN: &[u8] = b"countersign/plan/v1\n";

/// A plan. Serialised once, by [`Sealed::seal`]; afterwards only ever parsed from the stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// Which runbook; for `is SERVICE running` the built-in name `is`.
    pub runbook: RunbookName,
    /// What it does, in a few words.
    pub title: String,
    /// Why one would.
    pub why: Option<String>,
    /// The deed as one would type it, with names spelt out: `start service-b`.
    pub deed: String,
    /// The system it works on.
    pub system: SystemName,
    /// That system's title.
    pub system_title: String,
    /// That system's environment.
    pub environment: String,
    /// The host on which its steps run.
    pub host: String,
    /// Parameters and their values.
    pub params: BTreeMap<String, String>,
    /// What it touches: services and systems by name.
    pub targets: Vec<String>,
    /// The hash of every catalog file and local script used, by path below the catalog's root.
    pub files: BTreeMap<String, Digest>,
    /// Who must agree; present whenever a step is privileged.
    pub policy: Option<PlanPolicy>,
    /// Who made the runbook's last change, as its file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<PersonId>,
    /// When it starts, if not as soon as everybody needed has agreed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<DateTime<Utc>>,
    /// The steps.
    pub steps: Vec<PlanStep>,
    /// How much of it is said aloud.
    pub telling: Telling,
}

/// How much of a run is said aloud in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Telling {
    /// Each step, and the outcome.
    Steps,
    /// The outcome alone, as the answer to a question.
    Answer,
}

/// The policy, frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanPolicy {
    /// Its name.
    pub name: PolicyName,
    /// Its ordered parts.
    pub stages: Vec<Stage>,
    /// How long a request waits, in milliseconds.
    pub expires_ms: u64,
    /// How long after it was granted the run may still begin, in milliseconds; `None` is as long as the grant lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_within_ms: Option<u64>,
    /// How long the grant lasts, in milliseconds.
    pub valid_for_ms: u64,
    /// Rules of separation that it gives up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relaxed: Vec<Relaxed>,
    /// Whether the author of the runbook's last change counts as somebody who asked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclude_author: bool,
    /// Whether those who are asked may let somebody else answer for them.
    #[serde(default, skip_serializing_if = "Delegating::is_allowed")]
    pub delegating: Delegating,
    /// At least one of these must be among those who agree, beside what the stages want; empty is nobody in particular.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<PersonId>,
    /// That the same was denied not long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_before: Option<DeniedBefore>,
    /// How many runs of this plan one approval covers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
    /// Who may start it without that agreement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub break_glass: Option<BreakGlass>,
    /// People who may start this runbook without anybody's answer, so often.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unasked: Vec<Unasked>,
    /// Triggers whose runs of this runbook it lets start without anybody's answer, so often.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub automatic: Vec<Automatic>,
    /// Its text as written.
    pub text: String,
}

impl PlanPolicy {
    /// The stage under which those answer who are needed in particular: after all others. Their answers fill no place of a stage.
    pub fn needed_stage(&self) -> u32 {
        u32::try_from(self.stages.len()).unwrap_or(u32::MAX)
    }

    /// What a stage wants of an answer; of those who are needed in particular what the last one does. `None`: there is none.
    pub fn stage_of(&self, stage: u32) -> Option<&Stage> {
        if !self.needs.is_empty() && stage == self.needed_stage() {
            return self.stages.last();
        }
        usize::try_from(stage).ok().and_then(|stage| self.stages.get(stage))
    }

    /// The policy as it stands over what becomes of a stuck step: there whoever asked never agrees, whatever it gives up (I3).
    #[must_use]
    pub fn over_stuck_steps(&self) -> Self {
        let mut policy = self.clone();
        policy.relaxed.retain(|rule| *rule != Relaxed::RequesterMayAgree);
        policy
    }

    /// The same, with those among whom one must agree because a request says so itself; nobody: as it is.
    #[must_use]
    pub fn needing(mut self, needs: &[PersonId]) -> Self {
        if !needs.is_empty() {
            self.needs = needs.to_vec();
        }
        self
    }

    /// How long a request waits.
    pub fn expires(&self) -> Duration {
        Duration::from_millis(self.expires_ms)
    }

    /// How long after it was granted the run may still begin.
    pub fn starts_within(&self) -> Duration {
        self.starts_within_ms.map_or_else(|| self.valid_for(), Duration::from_millis)
    }

    /// How long the grant lasts.
    pub fn valid_for(&self) -> Duration {
        Duration::from_millis(self.valid_for_ms)
    }
}

/// One step, filled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// Its name.
    pub name: String,
    /// Whether it needs a grant.
    pub privileged: bool,
    /// Whether its author says that it only reads.
    pub read_only: bool,
    /// Whether doing it twice is the same as doing it once.
    pub idempotent: bool,
    /// After how many milliseconds its process group is killed.
    pub timeout_ms: u64,
    /// Whether and how it is tried again by itself when it fails (I3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// What it does.
    pub action: Action,
}

impl PlanStep {
    /// After how long its process group is killed.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// The longest time that it may take, with every try and the pauses between them.
    pub fn longest(&self) -> Duration {
        self.retry.map_or_else(|| self.timeout(), |retry| retry.longest(self.timeout()))
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Action {
    /// Runs a program.
    Run(Exec),
    /// Asks checks.
    Check {
        /// The checks, definitions inlined.
        checks: Vec<PlanCheck>,
        /// Keep asking until all are ok.
        until: Option<PlanUntil>,
    },
    /// Makes an HTTP request.
    Http(HttpAsk),
    /// Opens a TCP connection.
    Tcp(TcpAsk),
    /// Waits.
    Wait {
        /// For so many milliseconds.
        ms: u64,
    },
}

/// A program and its arguments, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exec {
    /// As written in the catalog, filled: what people read. Its first element is not what is executed.
    pub argv: Vec<String>,
    /// The program's absolute path: what is executed.
    pub program: String,
    /// Environment variables that it gets: names and where their values come from.
    pub env: Vec<EnvEntry>,
    /// Files of the catalog among the arguments, by their place in `argv`: their absolute path and hash are checked before the start.
    pub scripts: BTreeMap<usize, Script>,
}

/// A script of the catalog that a step uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Absolute path.
    pub path: String,
    /// SHA-256 of its content when the plan was made.
    pub sha256: Digest,
}

/// A check, its definition inlined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "PlanCheckBytes", into = "PlanCheckBytes")]
pub struct PlanCheck {
    /// The service it is about.
    pub service: ServiceName,
    /// How people call that service.
    pub service_title: String,
    /// Its name.
    pub check: CheckName,
    /// How it is asked.
    pub probe: PlanProbe,
    /// After how many milliseconds it counts as unknown.
    pub timeout_ms: u64,
}

/// How a check is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanProbe {
    /// By a program.
    Command {
        /// The program.
        exec: Exec,
        /// What its exit codes mean.
        codes: ExitCodes,
    },
    /// By an HTTP request.
    Http(HttpAsk),
    /// By opening a TCP connection.
    Tcp(TcpAsk),
}

/// A check as its bytes have it: one of `exec` with `codes`, `http` and `tcp`. Version 1 knows the first alone.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanCheckBytes {
    service: ServiceName,
    service_title: String,
    check: CheckName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exec: Option<Exec>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codes: Option<ExitCodes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    http: Option<HttpAsk>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tcp: Option<TcpAsk>,
    timeout_ms: u64,
}

impl TryFrom<PlanCheckBytes> for PlanCheck {
    type Error = &'static str;
    fn try_from(bytes: PlanCheckBytes) -> Result<Self, Self::Error> {
        let PlanCheckBytes { service, service_title, check, exec, codes, http, tcp, timeout_ms } = bytes;
        let probe = match (exec, codes, http, tcp) {
            (Some(exec), Some(codes), None, None) => PlanProbe::Command { exec, codes },
            (None, None, Some(ask), None) => PlanProbe::Http(ask),
            (None, None, None, Some(ask)) => PlanProbe::Tcp(ask),
            _ => return Err("a check is asked in one way: `exec` with `codes`, `http` or `tcp`"),
        };
        Ok(Self { service, service_title, check, probe, timeout_ms })
    }
}

impl From<PlanCheck> for PlanCheckBytes {
    fn from(check: PlanCheck) -> Self {
        let PlanCheck { service, service_title, check, probe, timeout_ms } = check;
        let (mut exec, mut codes, mut http, mut tcp) = (None, None, None, None);
        match probe {
            PlanProbe::Command { exec: program, codes: meaning } => (exec, codes) = (Some(program), Some(meaning)),
            PlanProbe::Http(ask) => http = Some(ask),
            PlanProbe::Tcp(ask) => tcp = Some(ask),
        }
        Self { service, service_title, check, exec, codes, http, tcp, timeout_ms }
    }
}

/// Keep asking until all pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanUntil {
    /// For how many milliseconds.
    pub passes_within_ms: u64,
    /// How often, in milliseconds.
    pub every_ms: u64,
}

/// A plan's bytes and their digest: what is stored, shown and signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    bytes: Vec<u8>,
    digest: Digest,
}

/// Stored plan bytes that this binary cannot read.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// Not a plan of any version.
    #[error("the stored plan cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// A plan of another version.
    #[error("the stored plan is of version {0}; this binary reads versions {OLDEST} to {PLAN_VERSION}")]
    Version(u32),
}

impl Sealed {
    /// Makes the bytes of a plan: the only place that serialises one.
    ///
    /// # Errors
    /// When a value cannot be written as JSON, which no value of [`Plan`] can cause.
    pub fn seal(plan: &Plan) -> Result<Self, PlanError> {
        let bytes = serde_json::to_vec(plan).map_err(PlanError::Unreadable)?;
        Ok(Self::from_stored(bytes))
    }

    /// Takes stored bytes and computes their digest anew (I1: the digest is never believed, always recomputed).
    pub fn from_stored(bytes: Vec<u8>) -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(&bytes);
        Self { digest: Digest(hash.finalize().into()), bytes }
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads the plan from the bytes.
    ///
    /// # Errors
    /// When the bytes are no plan, or one of a version that this binary does not know.
    pub fn open(&self) -> Result<Plan, PlanError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(&self.bytes).map_err(PlanError::Unreadable)?;
        if !(OLDEST..=PLAN_VERSION).contains(&version) {
            return Err(PlanError::Version(version));
        }
        serde_json::from_slice(&self.bytes).map_err(PlanError::Unreadable)
    }
}

impl Plan {
    /// Whoever may not agree although they did not ask: the author of the runbook's last change, if the policy says so.
    pub fn excluded(&self) -> &[PersonId] {
        let excludes = self.policy.as_ref().is_some_and(|policy| policy.exclude_author);
        if excludes { self.author.as_slice() } else { &[] }
    }

    /// The policy as it rules over what is wanted of a run, by a request that needs these in particular. `None`: the plan names
    /// none.
    pub fn policy_over(&self, wanted: &Wanted, needs: &[PersonId]) -> Option<PlanPolicy> {
        let policy = self.policy.as_ref()?;
        Some(match wanted {
            Wanted::Start => policy.clone(),
            Wanted::Retry { .. } | Wanted::Free { .. } => policy.over_stuck_steps().needing(needs),
        })
    }

    /// The same, to start at a moment and not before. Everybody who is needed agrees to each run of it: what starts at once,
    /// under an earlier approval or without anybody's answer, does not start later.
    pub fn later(mut self, not_before: DateTime<Utc>) -> Self {
        self.not_before = Some(not_before);
        if let Some(policy) = &mut self.policy {
            policy.repeat = None;
            policy.unasked.clear();
            policy.automatic.clear();
        }
        self
    }

    /// Takes over what was true of a request when it was asked and stands in no file of the catalog.
    pub fn as_asked(mut self, asked: &Plan) -> Self {
        if let Some(not_before) = asked.not_before {
            self = self.later(not_before);
        }
        if let (Some(policy), Some(before)) = (&mut self.policy, &asked.policy) {
            policy.denied_before.clone_from(&before.denied_before);
            policy.needs.clone_from(&before.needs);
        }
        self
    }

    /// Whether somebody who asks for both asks for the same again: what is to be done now and what is to be done tonight stand
    /// beside each other. Of one runbook and system.
    pub fn same_wish(&self, other: &Self) -> bool {
        self.targets == other.targets && self.not_before.is_some() == other.not_before.is_some()
    }

    /// Whether any step needs a grant.
    pub fn privileged(&self) -> bool {
        self.steps.iter().any(|step| step.privileged)
    }

    /// How many steps change something.
    pub fn changes(&self) -> usize {
        self.steps.iter().filter(|step| step.privileged).count()
    }

    /// The longest time that its steps may take together, with every try and the pauses between them.
    pub fn longest(&self) -> Duration {
        self.steps.iter().map(PlanStep::longest).sum()
    }
}

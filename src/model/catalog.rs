//! The catalog: systems, services, checks, runbooks, policies, people, groups, rooms and secrets, as checked values.
//!
//! What lives here: the nouns and look-ups by name. What does not: reading YAML (`runbook`), or deciding who may do what
//! (`allowed`). A value of these types has been checked: names resolve, numbers are possible.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::chat::{Account, RoomAddress};
use super::choice::{Risk, When};
use super::event::Health;
use super::group::Group;
use super::id::{
    CheckName, Digest, GroupName, PersonId, PolicyName, RoomName, RotaName, RunbookName, SecretName, ServiceName,
    SystemName, TriggerName,
};
use super::incident_room::RoomWish;
use super::rota::Rota;

pub use super::policy::Stage;
use super::policy::{AfterDenial, Automatic, BreakGlass, Delegating, Relaxed, Repeat, Unasked};

/// One checked catalog. Immutable: a reload makes a new one and leaves this one to whoever still holds it.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    /// The folder it was read from, absolute. `./script` in a command is a file below it.
    pub root: PathBuf,
    /// Systems by name.
    pub systems: BTreeMap<SystemName, System>,
    /// Runbooks by name.
    pub runbooks: BTreeMap<RunbookName, Runbook>,
    /// Triggers by name.
    pub triggers: BTreeMap<TriggerName, Trigger>,
    /// Policies by name.
    pub policies: BTreeMap<PolicyName, Policy>,
    /// People by name.
    pub people: BTreeMap<PersonId, Person>,
    /// To whom somebody reports; nobody reports to themselves, by whatever way round.
    pub reports_to: BTreeMap<PersonId, PersonId>,
    /// Groups by name.
    pub groups: BTreeMap<GroupName, Group>,
    /// Rotas by name.
    pub rotas: BTreeMap<RotaName, Rota>,
    /// Rooms by name.
    pub rooms: BTreeMap<RoomName, Room>,
    /// Secrets by name: where their values come from, never the values.
    pub secrets: BTreeMap<SecretName, SecretSource>,
    /// The scripts of runbooks that start without anybody's agreement, as written, and SHA-256 of what stood in them when the
    /// catalog was read; zeros if that could not be read.
    pub scripts: BTreeMap<String, Digest>,
    /// The file in which each secret is declared: part of every plan that uses the secret.
    pub secret_sources: BTreeMap<SecretName, Source>,
    /// Who countersigns a change of who may ask, see and approve; `None`: nobody is named.
    pub access: Option<Countersigners>,
}

/// A runbook that changed and still names who made an earlier change, as far as one can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleAuthor {
    /// Which runbook.
    pub runbook: RunbookName,
    /// Whom it names.
    pub author: PersonId,
    /// Who is said to have changed the catalog.
    pub changed_by: BTreeSet<PersonId>,
}

impl Catalog {
    /// Runbooks that do not say what they said in `before`, and whose author is still the same although others are said to have
    /// changed the catalog. Nothing where no policy goes by the author.
    pub fn authors_perhaps_stale(&self, before: &Self) -> Vec<StaleAuthor> {
        let changed_by = self.access.as_ref().map(|access| &access.changed_by).filter(|by| !by.is_empty());
        let asked = self.policies.values().any(|policy| policy.exclude_author);
        let Some(changed_by) = changed_by.filter(|_| asked) else { return Vec::new() };
        let stale = self.runbooks.values().filter_map(|runbook| {
            let was = before.runbooks.get(&runbook.name)?;
            let author = runbook.author.clone().filter(|author| !changed_by.contains(author))?;
            let changed = was.source.sha256 != runbook.source.sha256 && was.author == runbook.author;
            let (runbook, changed_by) = (runbook.name.clone(), changed_by.clone());
            changed.then_some(StaleAuthor { runbook, author, changed_by })
        });
        stale.collect()
    }
}

/// Who countersigns a change of who may ask, see and approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Countersigners {
    /// They, one of whom is enough.
    pub by: Vec<Subject>,
    /// The room that is told.
    pub room: RoomName,
    /// Who wrote the catalog as it stands, as far as it says so: they do not countersign it (I7).
    pub changed_by: BTreeSet<PersonId>,
}

/// The file that a thing was read from: part of every plan that uses the thing.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Source {
    /// Path below the catalog's root, with forward slashes.
    pub path: String,
    /// SHA-256 of the file's bytes.
    pub sha256: Digest,
}

/// A system: services that belong together, an environment, a room, and who may do what there.
#[derive(Debug, Clone)]
pub struct System {
    /// Its name.
    pub name: SystemName,
    /// How people call it.
    pub title: String,
    /// `production`, `scratch`, …: shown before everything that concerns it.
    pub environment: String,
    /// The room where it is talked about.
    pub room: RoomName,
    /// The person who answers for it: whom policies mean by `accountable`.
    pub accountable: Option<PersonId>,
    /// Who may ask for runbooks on it.
    pub may_run: Vec<Subject>,
    /// Who may look at it without running anything.
    pub may_see: Vec<Subject>,
    /// Who may judge, retry or stop a stuck run on it.
    pub may_unstick: Vec<Subject>,
    /// Who may acknowledge, resolve and reopen its incidents.
    pub may_resolve: Vec<Subject>,
    /// Who may pause all automation, and let it go on.
    pub may_pause: Vec<Subject>,
    /// The room that each of its incidents gets; `None`: they are talked about in the system's own.
    pub incident_channel: Option<IncidentChannel>,
    /// Its services by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// Where it was read.
    pub source: Source,
}

/// A room for each incident, and who is asked to come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentChannel {
    /// The room.
    pub wish: RoomWish,
    /// Who is invited and called by name, once.
    pub invite: Vec<Subject>,
    /// Who is invited to follow it and not called.
    pub observe: Vec<Subject>,
}

/// A service and its checks.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its name; unique in the whole catalog.
    pub name: ServiceName,
    /// How people call it.
    pub title: String,
    /// Its checks by name; at least one.
    pub checks: BTreeMap<CheckName, Check>,
}

/// How to find out whether a service is well. Only ever reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, such as `running`.
    pub name: CheckName,
    /// How it is asked.
    pub probe: Probe,
    /// How often it is asked by itself; `None` is only when somebody asks.
    pub schedule: Option<Schedule>,
    /// After how long it counts as unknown.
    pub timeout: Duration,
}

/// How a check is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// By a program.
    Command {
        /// The command and its arguments, as written; no templates.
        command: Vec<String>,
        /// What its exit codes mean.
        codes: ExitCodes,
        /// Names of environment variables that it gets.
        env: Vec<EnvEntry>,
    },
    /// By an HTTP request, which is a GET or HEAD.
    Http(HttpAsk),
    /// By opening a TCP connection.
    Tcp(TcpAsk),
}

/// How often a check is asked by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From one asking to the next, before jitter.
    pub every: Duration,
    /// How many results of the same kind in a row make it certain (hard); at least 1.
    pub fails_after: u32,
}

/// An HTTP request, and what its answer must be. In a step its texts may hold `{{ parameter }}`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpAsk {
    /// Upper case: `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`.
    pub method: String,
    /// An absolute `http://` or `https://` address. A parameter's value is percent-encoded, and never part of the host.
    pub url: String,
    /// Headers beyond those that every request has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpHeader>,
    /// What is sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Which status codes are good; at least one. Redirects are answers, not followed.
    pub status: Vec<u16>,
    /// What the answer's first 64 KiB must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}

impl HttpAsk {
    /// Whether it only reads by its method.
    pub fn only_reads(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD")
    }
}

/// How values are put into a request's body, so that a value stays one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// JSON: a value is written as a part of one of its texts.
    Json,
    /// A form, percent-encoded.
    Form,
    /// Anything else: a value stands as it is.
    Text,
}

impl BodyKind {
    /// What a body is to be: what its `Content-Type` says, else what it begins like.
    pub fn of(body: &str, headers: &[HttpHeader]) -> Self {
        let named = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        match named.map(|header| &header.value) {
            Some(HeaderValue::Text(kind)) => {
                let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                match kind.as_str() {
                    "application/x-www-form-urlencoded" => Self::Form,
                    kind if kind.ends_with("/json") || kind.ends_with("+json") => Self::Json,
                    _ => Self::Text,
                }
            }
            Some(HeaderValue::Secret(_)) | None => {
                let body = body.trim_start();
                let opens = (body.starts_with('{') && !body.starts_with("{{")) || body.starts_with('[');
                if opens { Self::Json } else { Self::Text }
            }
        }
    }
}

/// A header of a request.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: HeaderValue,
}

/// A header's value.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeaderValue {
    /// As written.
    Text(String),
    /// A secret's value, read when the request is made.
    Secret(SecretName),
}

/// A TCP connection to open.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TcpAsk {
    /// `host:port`.
    pub address: String,
}

/// What a check's exit codes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitCodes {
    /// 0 is ok, everything else critical.
    Plain,
    /// 0 ok, 1 warning, 2 critical, everything else unknown (the monitoring plugins' convention).
    Nagios,
}

/// A runbook: parameters, a policy, steps.
#[derive(Debug, Clone)]
pub struct Runbook {
    /// Its name.
    pub name: RunbookName,
    /// What it does, in a few words.
    pub title: String,
    /// Why one would run it: shown to the approver.
    pub why: Option<String>,
    /// Phrases that start it, most usual first.
    pub say: Vec<Phrase>,
    /// Its parameters in the order written.
    pub params: Vec<Param>,
    /// The system it works on when no parameter names one.
    pub system: Option<SystemName>,
    /// How much can go wrong when it runs.
    pub risk: Risk,
    /// Who must agree; present whenever a step is privileged.
    pub approval: Option<PolicyName>,
    /// Who made its last change, as its file says.
    pub author: Option<PersonId>,
    /// Its steps, in order; at least one.
    pub steps: Vec<Step>,
    /// Where it was read.
    pub source: Source,
}

impl Runbook {
    /// Whether nobody has to agree although it does more than ask checks: that it changes nothing is its author's word.
    pub fn acts_on_its_word(&self) -> bool {
        let acts = |step: &Step| match &step.action {
            StepAction::Run { .. } => true,
            StepAction::Http(ask) => !ask.only_reads(),
            StepAction::Check { .. } | StepAction::Tcp(_) | StepAction::Wait(_) => false,
        };
        self.approval.is_none() && self.steps.iter().any(acts)
    }

    /// The scripts of the catalog that its steps run, as written, in the order of steps.
    pub fn scripts(&self) -> impl Iterator<Item = &str> {
        fn command(step: &Step) -> &[String] {
            match &step.action {
                StepAction::Run { command, .. } => command,
                StepAction::Check { .. } | StepAction::Http(_) | StepAction::Tcp(_) | StepAction::Wait(_) => &[],
            }
        }
        self.steps.iter().flat_map(command).map(String::as_str).filter(|word| word.starts_with("./"))
    }
}

/// A phrase such as `start {service}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// As written.
    pub text: String,
    /// Its parts.
    pub parts: Vec<PhrasePart>,
}

/// A part of a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhrasePart {
    /// A word, lower case.
    Word(String),
    /// A parameter's name.
    Slot(String),
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// What it accepts.
    pub kind: ParamKind,
    /// Taken when it is not given.
    pub default: Option<String>,
    /// Whether a value may begin with `-` (I9: else it is refused, for the program would read it as an option).
    pub may_begin_with_dash: bool,
}

/// What a parameter accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParamKind {
    /// The name of a service, of one system or of any.
    Service {
        /// Only services of this system.
        system: Option<SystemName>,
    },
    /// The name of a system.
    System,
    /// One of the listed words.
    Choice(Vec<String>),
    /// A whole number within bounds, both included.
    Integer {
        /// Smallest.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// Printable text of at most so many characters, without line breaks.
    Text {
        /// Greatest number of characters.
        max_length: usize,
    },
}

/// A step as written: arguments may hold `{{ parameter }}`.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// What it does.
    pub action: StepAction,
    /// After how long its process group is killed.
    pub timeout: Duration,
    /// Whether doing it twice is the same as doing it once (I3).
    pub idempotent: bool,
    /// Whether the author says that it only reads; else a `run` step is privileged.
    pub read_only: bool,
    /// Whether and how it is tried again by itself when it fails (I3).
    pub retry: Option<Retry>,
}

/// How a step that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// How often beyond the first try; 1 to 20.
    pub times: u32,
    /// Between the first try and the second, in milliseconds; doubled from try to try.
    pub wait_ms: u64,
    /// The longest pause, in milliseconds.
    pub at_most_ms: u64,
}

impl Retry {
    /// The pause after a try, counted from 1.
    pub fn pause(&self, after: u32) -> Duration {
        let doubled = self.wait_ms.saturating_mul(1_u64.checked_shl(after.saturating_sub(1)).unwrap_or(u64::MAX));
        Duration::from_millis(doubled.min(self.at_most_ms))
    }

    /// The longest time that all tries of a step with this timeout may take, with the pauses between them.
    pub fn longest(&self, timeout: Duration) -> Duration {
        let pauses: Duration = (1..=self.times).map(|after| self.pause(after)).sum();
        timeout.saturating_mul(self.times.saturating_add(1)).saturating_add(pauses)
    }
}

impl Step {
    /// Whether it needs a grant: the default, unless it only reads.
    pub fn is_privileged(&self) -> bool {
        match &self.action {
            StepAction::Run { .. } => !self.read_only,
            StepAction::Http(ask) => !ask.only_reads() && !self.read_only,
            StepAction::Check { .. } | StepAction::Tcp(_) | StepAction::Wait(_) => false,
        }
    }

    /// The longest time that it may take, with every try and the pauses between them.
    pub fn longest(&self) -> Duration {
        self.retry.map_or(self.timeout, |retry| retry.longest(self.timeout))
    }
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepAction {
    /// Runs a program with arguments; never a shell line.
    Run {
        /// The program and its arguments. The program holds no template.
        command: Vec<String>,
        /// The environment that it gets, beyond the fixed few.
        env: Vec<EnvEntry>,
    },
    /// Asks checks whether they are ok.
    Check {
        /// `service`, `service/check` or `system`; may hold a template.
        target: String,
        /// Keep asking until they are.
        until: Option<Until>,
    },
    /// Makes an HTTP request.
    Http(HttpAsk),
    /// Opens a TCP connection.
    Tcp(TcpAsk),
    /// Waits.
    Wait(Duration),
}

/// An environment variable of a step.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EnvEntry {
    /// The variable's name.
    pub name: String,
    /// Where its value comes from, when the step starts.
    pub from: EnvFrom,
}

/// Where the value of an environment variable comes from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvFrom {
    /// The bot's own environment, by the same name.
    Bot,
    /// A secret of the catalog.
    Secret(SecretName),
}

/// Where a secret's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable of the bot.
    Env(String),
    /// A file's content without its last line break.
    File(PathBuf),
}

/// Keep asking a check until it passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Until {
    /// For how long.
    pub passes_within: Duration,
    /// How often.
    pub every: Duration,
}

/// Who must agree, in which order, until when.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: PolicyName,
    /// In words.
    pub title: String,
    /// When it applies to runbooks that do not name it; `None`: never.
    pub when: Option<When>,
    /// Policies in whose place it may stand by its `when` although it is less strict in some respect.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaces: Vec<PolicyName>,
    /// Why it refuses whatever it applies to; `None`: it asks its stages.
    pub refuse: Option<String>,
    /// Its ordered parts; at least one, and none if it refuses.
    pub stages: Vec<Stage>,
    /// How long a request waits.
    pub expires: Duration,
    /// How long after it was granted a run may still begin.
    pub starts_within: Duration,
    /// How long the grant that comes of it lasts; at least as long as the plan may take.
    pub valid_for: Duration,
    /// Rules of separation that it gives up.
    pub relaxed: Vec<Relaxed>,
    /// Whether the author of the runbook's last change counts as somebody who asked.
    pub exclude_author: bool,
    /// Whether those who are asked may let somebody else answer for them.
    pub delegating: Delegating,
    /// Who has to agree when the same is asked again soon after it was denied.
    pub after_denial: AfterDenial,
    /// How many runs of the same plan one approval covers.
    pub repeat: Option<Repeat>,
    /// Who may start a run without that agreement.
    pub break_glass: Option<BreakGlass>,
    /// Triggers in mode `auto` whose runs it lets start without anybody's answer.
    pub automatic: Vec<Automatic>,
    /// Runbooks that some people may start without anybody's answer, so often.
    pub unasked: Vec<(RunbookName, Unasked)>,
    /// The policy's text as written: part of the plan.
    pub text: String,
    /// Where it was read.
    pub source: Source,
}

/// A rule from a failing check to a runbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trigger {
    /// Its name.
    pub name: TriggerName,
    /// Who answers for it: counts as having asked for whatever it starts (I7).
    pub owner: PersonId,
    /// Which checks it listens to.
    pub on: TriggerOn,
    /// The runbook that it asks for.
    pub run: RunbookName,
    /// Its parameters; a value may hold `{{ system }}`, `{{ service }}` and `{{ check }}` of the check that failed.
    pub with: BTreeMap<String, String>,
    /// What it does.
    pub mode: TriggerMode,
    /// Its limits (I12).
    pub brakes: Brakes,
    /// Where it was read.
    pub source: Source,
}

/// Which checks a trigger listens to: written `system/service/check`, a star for any service or check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriggerOn {
    /// The system.
    pub system: SystemName,
    /// The service; `None` is any of the system.
    pub service: Option<ServiceName>,
    /// The check; `None` is any of the service.
    pub check: Option<CheckName>,
    /// What it must have become, for certain: `Warning` or `Critical`. `Unknown` never triggers anything.
    pub becomes: Health,
}

impl TriggerOn {
    /// Whether it listens to a check.
    pub fn matches(&self, system: &SystemName, service: &ServiceName, check: &CheckName) -> bool {
        self.system == *system
            && self.service.as_ref().is_none_or(|wanted| wanted == service)
            && self.check.as_ref().is_none_or(|wanted| wanted == check)
    }
}

/// What a trigger does when its check fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerMode {
    /// Says what it would have done.
    Shadow,
    /// Asks, as a person would.
    Ask,
    /// Starts, where the policy names it.
    Auto,
}

impl TriggerMode {
    /// The word as written in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shadow => "shadow",
            Self::Ask => "ask",
            Self::Auto => "auto",
        }
    }
}

/// The limits of a trigger, each for one service (I12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brakes {
    /// From the end of one of its runs to the start of the next.
    pub cooldown: Duration,
    /// At most so many runs in a window.
    pub at_most: AtMost,
    /// So many certain changes of the check in a window are flapping.
    pub flapping: Flapping,
}

/// At most so many runs in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtMost {
    /// How many.
    pub runs: u32,
    /// In how long.
    pub per: Duration,
}

/// So many changes in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flapping {
    /// How many.
    pub changes: u32,
    /// In how long.
    pub per: Duration,
}

impl Default for Brakes {
    /// What a trigger has that names no brakes: ten minutes, three an hour, six changes in ten minutes.
    fn default() -> Self {
        Self {
            cooldown: Duration::from_secs(600),
            at_most: AtMost { runs: 3, per: Duration::from_secs(3600) },
            flapping: Flapping { changes: 6, per: Duration::from_secs(600) },
        }
    }
}

/// Who, in a list of rights: `person:boss`, `group:managers`, `rota:ops-primary` or, in a policy, `accountable`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// One person.
    Person(PersonId),
    /// Everybody in a group.
    Group(GroupName),
    /// Everybody of a rota, whoever's turn it is: turns say who is asked first, not who may.
    Rota(RotaName),
    /// Whoever answers for the system that a plan works on. Only in a catalog's policies: a plan names the person.
    Accountable,
}

impl Subject {
    /// Who is meant when a plan works on this system; `None`: the system names nobody who is accountable.
    pub fn of_system(&self, system: &System) -> Option<Self> {
        match self {
            Self::Accountable => system.accountable.clone().map(Self::Person),
            Self::Person(_) | Self::Group(_) | Self::Rota(_) => Some(self.clone()),
        }
    }

    /// The same for a list, each once, in order; `None` if one of them means nobody there.
    pub fn all_of_system(subjects: &[Self], system: &System) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        for subject in subjects {
            let subject = subject.of_system(system)?;
            if !all.contains(&subject) {
                all.push(subject);
            }
        }
        Some(all)
    }
}

impl Policy {
    /// Everybody whom it names.
    pub fn subjects(&self) -> impl Iterator<Item = &Subject> {
        self.stages.iter().flat_map(Stage::subjects)
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Person(person) => write!(f, "person:{person}"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::Rota(rota) => write!(f, "rota:{rota}"),
            Self::Accountable => f.write_str("accountable"),
        }
    }
}

impl std::str::FromStr for Subject {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("person", name)) if !name.is_empty() => Ok(Self::Person(PersonId::new(name))),
            Some(("group", name)) if !name.is_empty() => Ok(Self::Group(GroupName::new(name))),
            Some(("rota", name)) if !name.is_empty() => Ok(Self::Rota(RotaName::new(name))),
            None if text == "accountable" => Ok(Self::Accountable),
            _ => Err(format!("`{text}` is none of person:NAME, group:NAME, rota:NAME and accountable")),
        }
    }
}

impl serde::Serialize for Subject {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Subject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their name here: how the bot calls them.
    pub name: PersonId,
    /// Their accounts; each maps to one person only.
    pub accounts: Vec<Account>,
    /// Where they want to be asked for their agreement.
    pub ask: Ask,
}

/// Where somebody wants to be asked. It gives and takes no right: everybody who is asked may decide wherever they read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ask {
    /// In the room, with everybody: they are mentioned there.
    #[default]
    Thread,
    /// In their direct messages alone.
    Direct,
    /// In both.
    Both,
}

/// A room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// Its name here.
    pub name: RoomName,
    /// Where it is.
    pub address: RoomAddress,
}

/// A check with what it belongs to.
#[derive(Debug, Clone, Copy)]
pub struct FoundCheck<'a> {
    /// The system.
    pub system: &'a System,
    /// The service.
    pub service: &'a Service,
    /// The check.
    pub check: &'a Check,
}

impl Service {
    fn found<'a>(&'a self, system: &'a System) -> impl Iterator<Item = FoundCheck<'a>> {
        self.checks.values().map(move |check| FoundCheck { system, service: self, check })
    }
}

/// A target of a check that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Neither a service nor a system.
    #[error("`{name}` is neither a service nor a system")]
    NoSuchTarget {
        /// What was named.
        name: String,
    },
    /// The service is there, the check is not.
    #[error("service `{service}` has no check `{check}`")]
    NoSuchCheck {
        /// The service.
        service: ServiceName,
        /// What was named.
        check: String,
    },
}

impl Catalog {
    /// The person whom an account belongs to; `None` is an unknown account, which can do nothing (I9).
    pub fn person_of(&self, account: &Account) -> Option<&Person> {
        self.people.values().find(|person| person.accounts.contains(account))
    }

    /// The declared room at an address.
    pub fn room_at(&self, address: &RoomAddress) -> Option<&Room> {
        self.rooms.values().find(|room| room.address == *address)
    }

    /// A service and the system that it belongs to.
    pub fn service(&self, name: &ServiceName) -> Option<(&System, &Service)> {
        self.systems.values().find_map(|system| system.services.get(name).map(|service| (system, service)))
    }

    /// The checks that a target names: `service` and `system` are all of theirs, `service/check` is one. In the order of
    /// their names; never empty for a checked catalog.
    ///
    /// # Errors
    /// When nothing has that name.
    pub fn checks_at(&self, target: &str) -> Result<Vec<FoundCheck<'_>>, TargetError> {
        let (name, only) = target.split_once('/').map_or((target, None), |(name, check)| (name, Some(check)));
        if let Some((system, service)) = self.service(&ServiceName::new(name)) {
            let checks = service.checks.values().filter(|check| only.is_none_or(|only| check.name.as_str() == only));
            let found: Vec<_> = checks.map(|check| FoundCheck { system, service, check }).collect();
            return match (found.is_empty(), only) {
                (true, Some(check)) => {
                    Err(TargetError::NoSuchCheck { service: service.name.clone(), check: check.to_owned() })
                }
                _ => Ok(found),
            };
        }
        match (self.systems.get(&SystemName::new(name)), only) {
            (Some(system), None) => {
                let of_service = |service| Service::found(service, system);
                Ok(system.services.values().flat_map(of_service).collect())
            }
            _ => Err(TargetError::NoSuchTarget { name: target.to_owned() }),
        }
    }

    /// Whether a person is, or is in, one of the subjects.
    pub fn includes(&self, subjects: &[Subject], person: &PersonId) -> bool {
        subjects.iter().any(|subject| match subject {
            Subject::Person(named) => named == person,
            Subject::Group(group) => self.groups.get(group).is_some_and(|group| group.members.contains(person)),
            Subject::Rota(rota) => self.rotas.get(rota).is_some_and(|rota| rota.everybody().any(|it| it == person)),
            // Whose system: a plan has put the person in its place.
            Subject::Accountable => false,
        })
    }

    /// The policies with a stage that wants a passkey, each with the people whom such a stage asks, now or later.
    pub fn wanting_passkeys(&self) -> Vec<(PolicyName, BTreeSet<PersonId>)> {
        let people = |stage: &Stage| {
            let later = stage.escalate.iter().flat_map(|escalation| self.people_in(&escalation.to));
            self.people_in(&stage.approvers).into_iter().chain(later).collect::<Vec<_>>()
        };
        let wanting = self.policies.values().filter(|policy| policy.stages.iter().any(|stage| stage.step_up));
        wanting
            .map(|policy| {
                let asked = policy.stages.iter().filter(|stage| stage.step_up).flat_map(people).collect();
                (policy.name.clone(), asked)
            })
            .collect()
    }

    /// The people that a list of subjects comes to, in the order of their names.
    pub fn people_in(&self, subjects: &[Subject]) -> BTreeSet<PersonId> {
        self.people.keys().filter(|person| self.includes(subjects, person)).cloned().collect()
    }
}

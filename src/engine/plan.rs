//! Making a plan: a runbook and parameters become exactly what will run.
//!
//! What lives here: filling templates, resolving programs and scripts, inlining checks and the policy, and hashing what
//! was used. What does not: the shape of the bytes (`model::plan`), running them (`engine`), or reading YAML
//! (`runbook`). Everything that is looked up outside the catalog comes through [`World`], so that the same inputs make
//! the same bytes. Keeps I1 and I13 (all that decides what runs is in the plan) and I9 (a value is put in whole, as part
//! of one argument; no shell line is ever built).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use sha2::{Digest as _, Sha256};

use crate::model::catalog::{
    BodyKind, Catalog, EnvEntry, EnvFrom, FoundCheck, HeaderValue, HttpAsk, HttpHeader, Param, ParamKind, PhrasePart,
    Policy, Probe, Runbook, Source, Stage, Step, StepAction, Subject, System, TargetError,
};
use crate::model::choice::{Facts, choose};
use crate::model::id::{CheckName, Digest, PolicyName, RunbookName, SecretName, ServiceName, SystemName, TriggerName};
use crate::model::plan::{
    Action, Exec, PLAN_VERSION, Plan, PlanCheck, PlanPolicy, PlanProbe, PlanStep, PlanUntil, Script, Telling,
};
use crate::model::policy::Escalation;

/// The name of the built-in question as a runbook. The catalog lets no runbook have it.
pub const IS: &str = "is";

/// What is looked up outside the catalog when a plan is made.
pub trait World {
    /// The name of the host on which the steps run.
    fn host(&self) -> String;

    /// The absolute path of an executable: of a bare name, the first on the search path; of an absolute path, itself.
    fn program(&self, name: &str) -> Option<PathBuf>;

    /// Where [`Self::program`] looks, for people.
    fn search_path(&self) -> String;

    /// A script's absolute path without links, and the SHA-256 of its content. `path` is below `root` and must not lead
    /// out of it.
    ///
    /// # Errors
    /// When it cannot be read, or leads out of `root`.
    fn script(&self, root: &Path, path: &Path) -> io::Result<(PathBuf, Digest)>;
}

/// This host.
#[derive(Debug, Clone)]
pub struct LocalWorld {
    /// The folders in which programs are looked for, in this order. Relative ones are skipped.
    pub search_path: Vec<PathBuf>,
    /// The host's name, as it stands in plans.
    pub host: String,
}

impl World for LocalWorld {
    fn host(&self) -> String {
        self.host.clone()
    }

    fn program(&self, name: &str) -> Option<PathBuf> {
        let executable = |path: &PathBuf| {
            use std::os::unix::fs::PermissionsExt as _;
            path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
        };
        if name.starts_with('/') {
            return Some(PathBuf::from(name)).filter(executable);
        }
        if name.is_empty() || name.contains('/') {
            return None;
        }
        self.search_path.iter().filter(|folder| folder.is_absolute()).map(|folder| folder.join(name)).find(executable)
    }

    fn search_path(&self) -> String {
        self.search_path.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(":")
    }

    fn script(&self, root: &Path, path: &Path) -> io::Result<(PathBuf, Digest)> {
        let path = path.canonicalize()?;
        if !path.starts_with(root.canonicalize()?) {
            return Err(io::Error::other("it leads out of the catalog"));
        }
        let content = std::fs::read(&path)?;
        Ok((path, Digest(Sha256::digest(&content).into())))
    }
}

/// Why no plan can be made. Nothing has run.
#[derive(Debug, thiserror::Error)]
pub enum PlanRefusal {
    /// A parameter that the runbook does not have.
    #[error("{runbook} has no parameter `{name}`")]
    UnknownParam {
        /// The runbook.
        runbook: RunbookName,
        /// What was given.
        name: String,
    },
    /// A parameter that must be given.
    #[error("{runbook} needs `{name}`")]
    MissingParam {
        /// The runbook.
        runbook: RunbookName,
        /// The parameter.
        name: String,
    },
    /// A value that the parameter does not accept, as it stands.
    #[error("`{name}` of {runbook} cannot be `{}`: {why}", .value.escape_debug())]
    Value {
        /// The runbook.
        runbook: RunbookName,
        /// The parameter.
        name: String,
        /// What was given.
        value: String,
        /// What it accepts.
        why: String,
    },
    /// The parameters name things of several systems.
    #[error("one plan works on one system, and this names {}", .0.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" and "))]
    SeveralSystems(BTreeSet<SystemName>),
    /// Nothing names a system that the catalog knows.
    #[error("nothing says which system {0} works on")]
    NoSystem(RunbookName),
    /// A check's target that names nothing.
    #[error("a check of this plan names nothing: {0}")]
    Target(#[source] TargetError),
    /// A service that the catalog does not know.
    #[error("there is no service `{0}`")]
    NoSuchService(ServiceName),
    /// A template that cannot be filled.
    #[error("`{}` cannot be filled", .0.escape_debug())]
    Template(String, #[source] minijinja::Error),
    /// A program that is not on this host.
    #[error("`{}` is not a program on {host}; looked in {search_path}", .program.escape_debug())]
    NoSuchProgram {
        /// As written.
        program: String,
        /// The host.
        host: String,
        /// Where was looked.
        search_path: String,
    },
    /// A script of the catalog that cannot be used.
    #[error("the script `{}` cannot be read", .path.escape_debug())]
    Script {
        /// As written.
        path: String,
        /// Why.
        #[source]
        why: io::Error,
    },
    /// A script of a runbook to which nobody has to agree is not what it was when the catalog was read.
    #[error(
        "the script `{}` changed since the catalog was read, and nobody would be asked: say it again in a moment",
        .0.escape_debug()
    )]
    ScriptChanged(String),
    /// A secret that the catalog does not declare.
    #[error("there is no secret `{0}`")]
    NoSuchSecret(String),
    /// An address that would lead elsewhere than its author wrote.
    #[error("`{}` cannot be asked: {why}", .url.escape_debug())]
    Address {
        /// As filled.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A value that no header can hold.
    #[error("the header `{}` cannot be `{}`: it holds one line of plain letters, digits and signs", .name.escape_debug(), .value.escape_debug())]
    Header {
        /// Its name.
        name: String,
        /// As filled.
        value: String,
    },
    /// The policy asks whoever is accountable, and the system names nobody: a catalog that holds this does not load.
    #[error("policy {policy} of {runbook} asks whoever is accountable, and {system} names nobody")]
    NobodyAccountable {
        /// The policy.
        policy: PolicyName,
        /// The runbook.
        runbook: RunbookName,
        /// The system.
        system: SystemName,
    },
    /// The policy that it stands under at that moment refuses.
    #[error("{0}")]
    Refused(Box<RefusedBy>),
    /// A privileged step and nobody who must agree: a catalog that holds this does not load.
    #[error("{0} changes something and names no policy")]
    NoPolicy(RunbookName),
}

/// A policy that refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBy {
    /// Which.
    pub policy: PolicyName,
    /// Why, as its author says.
    pub why: String,
    /// Until when, and by whose clocks that is said; `None`: as long as the catalog says so.
    pub until: Option<(DateTime<Utc>, Tz)>,
    /// The file in which it stands.
    pub file: String,
}

impl std::fmt::Display for RefusedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "policy {} refuses it", self.policy)?;
        if let Some((until, zone)) = self.until {
            write!(f, " until {} {}", until.with_timezone(&zone).format("%a %Y-%m-%d %H:%M"), zone.name())?;
        }
        write!(f, ": {}", self.why)
    }
}

/// Who asks for a plan, and when: which policy it stands under may depend on both.
#[derive(Debug, Clone, Copy)]
pub struct PlanFor<'a> {
    /// The moment of asking.
    pub at: DateTime<Utc>,
    /// The trigger that asks; `None`: a person does.
    pub trigger: Option<&'a TriggerName>,
}

impl PlanFor<'_> {
    /// By a person.
    pub fn at(at: DateTime<Utc>) -> Self {
        Self { at, trigger: None }
    }
}

/// What is known of a request when its policy is chosen: its parameters, complete, name the targets.
pub fn facts<'a>(runbook: &'a Runbook, system: &'a System, targets: &'a [String], asked: PlanFor<'a>) -> Facts<'a> {
    Facts {
        runbook: &runbook.name,
        risk: runbook.risk,
        system: &system.name,
        environment: &system.environment,
        targets,
        at: asked.at,
        trigger: asked.trigger,
    }
}

/// The services and systems that the parameters of a request name.
pub fn targets_of(runbook: &Runbook, params: &BTreeMap<String, String>) -> Vec<String> {
    let names = |param: &&Param| matches!(param.kind, ParamKind::Service { .. } | ParamKind::System);
    runbook.params.iter().filter(names).filter_map(|param| params.get(&param.name).cloned()).collect()
}

/// The strictest policy that applies, unless it refuses.
fn policy_of<'a>(
    catalog: &'a Catalog,
    runbook: &Runbook,
    base: &PolicyName,
    params: &BTreeMap<String, String>,
    system: &System,
    asked: PlanFor<'_>,
) -> Result<&'a Policy, PlanRefusal> {
    let no_policy = || PlanRefusal::NoPolicy(runbook.name.clone());
    // What a runbook names is there even when something stricter applies.
    catalog.policies.get(base).ok_or_else(no_policy)?;
    let targets = targets_of(runbook, params);
    let policy = choose(catalog, base, &facts(runbook, system, &targets, asked)).ok_or_else(no_policy)?;
    match &policy.refuse {
        None => Ok(policy),
        Some(why) => Err(PlanRefusal::Refused(Box::new(RefusedBy {
            policy: policy.name.clone(),
            why: why.clone(),
            until: policy.refuses_until(asked.at),
            file: policy.source.path.clone(),
        }))),
    }
}

/// Makes the plan of a runbook with canonical values of its parameters, as it is at the moment of asking. Missing values
/// take their defaults.
///
/// # Errors
/// When values are missing or not accepted, when they name several systems, when the policy that it stands under at that
/// moment refuses, or when a program or script is not there.
pub fn plan(
    catalog: &Catalog,
    runbook: &Runbook,
    params: &BTreeMap<String, String>,
    asked: PlanFor<'_>,
    world: &dyn World,
) -> Result<Plan, PlanRefusal> {
    let params = complete(catalog, runbook, params)?;
    let system = system_of(catalog, runbook, &params)?;
    let mut maker = Maker::new(catalog, system, world);
    maker.used(&runbook.source);
    let mut policy = match &runbook.approval {
        None => None,
        Some(base) => {
            let policy = policy_of(catalog, runbook, base, &params, system, asked)?;
            maker.used(&policy.source);
            Some(frozen(policy, runbook, system)?)
        }
    };
    // What is named by a parameter comes first: it is what the asker thinks of.
    for param in &runbook.params {
        if matches!(param.kind, ParamKind::Service { .. } | ParamKind::System) {
            maker.target(&params[&param.name]);
        }
    }
    let steps = runbook.steps.iter().map(|step| maker.step(step, &params)).collect::<Result<Vec<_>, _>>()?;
    if policy.is_none() && steps.iter().any(|step| step.privileged) {
        return Err(PlanRefusal::NoPolicy(runbook.name.clone()));
    }
    if maker.targets.is_empty() {
        maker.target(system.name.as_str());
    }
    // What the catalog let start was another script: until it is read anew people are asked, and it is not there where nobody is.
    match (maker.changed, &mut policy) {
        (Some(script), None) => return Err(PlanRefusal::ScriptChanged(script)),
        (Some(_), Some(policy)) => {
            policy.automatic.clear();
            policy.unasked.clear();
        }
        (None, _) => {}
    }
    Ok(Plan {
        version: PLAN_VERSION,
        runbook: runbook.name.clone(),
        title: runbook.title.clone(),
        why: runbook.why.clone(),
        deed: deed(runbook, &params),
        system: system.name.clone(),
        system_title: system.title.clone(),
        environment: system.environment.clone(),
        host: world.host(),
        params,
        targets: maker.targets,
        files: maker.files,
        policy,
        author: runbook.author.clone(),
        steps,
        not_before: None,
        telling: Telling::Steps,
    })
}

/// A policy as a plan of this runbook on this system freezes it.
///
/// # Errors
/// When it asks whoever is accountable, and the system names nobody.
pub fn frozen(policy: &Policy, runbook: &Runbook, system: &System) -> Result<PlanPolicy, PlanRefusal> {
    Ok(PlanPolicy {
        name: policy.name.clone(),
        stages: stages(policy, runbook, system)?,
        expires_ms: milliseconds(policy.expires),
        starts_within_ms: Some(milliseconds(policy.starts_within)),
        valid_for_ms: milliseconds(policy.valid_for),
        relaxed: policy.relaxed.clone(),
        exclude_author: policy.exclude_author,
        delegating: policy.delegating,
        needs: Vec::new(),
        denied_before: None,
        repeat: policy.repeat,
        break_glass: policy.break_glass.as_ref().map(|rules| rules.of_system(system)),
        unasked: policy.unasked.iter().filter(|(of, _)| *of == runbook.name).map(|(_, rule)| rule.clone()).collect(),
        // One without a bound comes from a version that an older release kept: then people are asked.
        automatic: policy
            .automatic
            .iter()
            .filter(|rule| rule.bound.as_ref().is_some_and(|bound| bound.runbook == runbook.name))
            .cloned()
            .collect(),
        text: policy.text.clone(),
    })
}

/// What a request is about, as far as its policy depends on it.
#[derive(Debug, Clone)]
pub struct About<'a> {
    /// The system that it works on.
    pub system: &'a System,
    /// The services and systems that its parameters name.
    pub targets: Vec<String>,
    /// As one would type it.
    pub deed: String,
}

/// What a request with these parameters is about. Missing ones take their defaults.
///
/// # Errors
/// When values are missing or not accepted, or when they name several systems.
pub fn about<'a>(
    catalog: &'a Catalog,
    runbook: &Runbook,
    params: &BTreeMap<String, String>,
) -> Result<About<'a>, PlanRefusal> {
    let params = complete(catalog, runbook, params)?;
    let system = system_of(catalog, runbook, &params)?;
    Ok(About { system, targets: targets_of(runbook, &params), deed: deed(runbook, &params) })
}

/// A policy's stages for a system: whoever is accountable is named, so that the plan's bytes say who it is.
fn stages(policy: &Policy, runbook: &Runbook, system: &System) -> Result<Vec<Stage>, PlanRefusal> {
    let stage = |stage: &Stage| {
        let nobody = || PlanRefusal::NobodyAccountable {
            policy: policy.name.clone(),
            runbook: runbook.name.clone(),
            system: system.name.clone(),
        };
        let named = |subjects: &[Subject]| Subject::all_of_system(subjects, system).ok_or_else(nobody);
        let later = |step: &Escalation| Ok(Escalation { after_ms: step.after_ms, to: named(&step.to)? });
        let escalate = stage.escalate.iter().map(later).collect::<Result<_, PlanRefusal>>()?;
        Ok(Stage { approvers: named(&stage.approvers)?, escalate, ..stage.clone() })
    };
    policy.stages.iter().map(stage).collect()
}

/// Makes the plan of the built-in question `is SERVICE running`: one step that asks the named check, or all checks of
/// the service. It changes nothing, so it needs no policy.
///
/// # Errors
/// When the service or its check is not there, or the check's program is not.
pub fn plan_is(
    catalog: &Catalog,
    service: &ServiceName,
    check: Option<&CheckName>,
    world: &dyn World,
) -> Result<Plan, PlanRefusal> {
    let (system, found) = catalog.service(service).ok_or_else(|| PlanRefusal::NoSuchService(service.clone()))?;
    let target = match check {
        None => service.to_string(),
        Some(check) => format!("{service}/{check}"),
    };
    let mut maker = Maker::new(catalog, system, world);
    let (checks, timeout) = maker.checks(&target)?;
    let deed = match check {
        None => format!("is {service} running"),
        Some(check) => format!("is {service} {check}"),
    };
    let mut params = BTreeMap::from([("service".to_owned(), service.to_string())]);
    params.extend(check.map(|check| ("check".to_owned(), check.to_string())));
    Ok(Plan {
        version: PLAN_VERSION,
        runbook: RunbookName::new(IS),
        title: format!("Ask how {} is", found.title),
        why: None,
        deed,
        system: system.name.clone(),
        system_title: system.title.clone(),
        environment: system.environment.clone(),
        host: world.host(),
        params,
        targets: maker.targets,
        files: maker.files,
        policy: None,
        author: None,
        steps: vec![PlanStep {
            name: "Ask".to_owned(),
            privileged: false,
            read_only: true,
            idempotent: true,
            timeout_ms: milliseconds(timeout),
            retry: None,
            action: Action::Check { checks, until: None },
        }],
        not_before: None,
        telling: Telling::Answer,
    })
}

/// Makes one check ready to be asked outside any run, exactly as a plan would hold it.
///
/// # Errors
/// When its program or script is not there, or it names a secret that the catalog does not declare.
pub fn plan_check(catalog: &Catalog, found: FoundCheck<'_>, world: &dyn World) -> Result<PlanCheck, PlanRefusal> {
    Maker::new(catalog, found.system, world).check(found)
}

/// What a plan is made of, gathered while its steps are made.
struct Maker<'a> {
    catalog: &'a Catalog,
    system: &'a System,
    world: &'a dyn World,
    files: BTreeMap<String, Digest>,
    targets: Vec<String>,
    /// A script that is not what it was when the catalog was read.
    changed: Option<String>,
}

impl<'a> Maker<'a> {
    fn new(catalog: &'a Catalog, system: &'a System, world: &'a dyn World) -> Self {
        let mut maker = Self { catalog, system, world, files: BTreeMap::new(), targets: Vec::new(), changed: None };
        maker.used(&system.source);
        maker
    }

    fn used(&mut self, source: &Source) {
        self.files.insert(source.path.clone(), source.sha256);
    }

    fn target(&mut self, name: &str) {
        if !self.targets.iter().any(|known| known == name) {
            self.targets.push(name.to_owned());
        }
    }

    fn step(&mut self, step: &Step, params: &BTreeMap<String, String>) -> Result<PlanStep, PlanRefusal> {
        let action = match &step.action {
            StepAction::Run { command, env } => {
                let argv = command.iter().map(|word| fill(word, params)).collect::<Result<Vec<_>, _>>()?;
                Action::Run(self.exec(command, argv, env)?)
            }
            StepAction::Check { target, until } => {
                let (checks, _) = self.checks(&fill(target, params)?)?;
                let until = until.as_ref().map(|until| PlanUntil {
                    passes_within_ms: milliseconds(until.passes_within),
                    every_ms: milliseconds(until.every),
                });
                Action::Check { checks, until }
            }
            StepAction::Http(ask) => Action::Http(self.http(ask, params)?),
            StepAction::Tcp(ask) => Action::Tcp(ask.clone()),
            StepAction::Wait(time) => Action::Wait { ms: milliseconds(*time) },
        };
        let only_reads = match &action {
            Action::Run(_) => false,
            Action::Http(ask) => ask.only_reads(),
            Action::Check { .. } | Action::Tcp(_) | Action::Wait { .. } => true,
        };
        Ok(PlanStep {
            name: step.name.clone(),
            privileged: step.is_privileged(),
            read_only: step.read_only || only_reads,
            // What only reads may be asked again: that is always the same as asking it once.
            idempotent: step.idempotent || only_reads,
            timeout_ms: milliseconds(step.timeout),
            retry: step.retry,
            action,
        })
    }

    /// The checks of a target, and the longest time that they may take one after the other.
    fn checks(&mut self, target: &str) -> Result<(Vec<PlanCheck>, Duration), PlanRefusal> {
        let found = self.catalog.checks_at(target).map_err(PlanRefusal::Target)?;
        if let Some(other) = found.iter().find(|found| found.system.name != self.system.name) {
            let systems = [self.system.name.clone(), other.system.name.clone()];
            return Err(PlanRefusal::SeveralSystems(systems.into()));
        }
        self.target(target.split('/').next().unwrap_or(target));
        let timeout = found.iter().map(|found| found.check.timeout).sum();
        let checks = found.into_iter().map(|found| self.check(found)).collect::<Result<_, _>>()?;
        Ok((checks, timeout))
    }

    fn check(&mut self, FoundCheck { service, check, .. }: FoundCheck<'_>) -> Result<PlanCheck, PlanRefusal> {
        Ok(PlanCheck {
            service: service.name.clone(),
            service_title: service.title.clone(),
            check: check.name.clone(),
            probe: match &check.probe {
                Probe::Command { command, codes, env } => {
                    PlanProbe::Command { exec: self.exec(command, command.clone(), env)?, codes: *codes }
                }
                Probe::Http(ask) => PlanProbe::Http(self.http(ask, &BTreeMap::new())?),
                Probe::Tcp(ask) => PlanProbe::Tcp(ask.clone()),
            },
            timeout_ms: milliseconds(check.timeout),
        })
    }

    /// Resolves a command. What begins with `./` as written is a script of the catalog; what a value makes begin so is
    /// an argument like any other.
    fn exec(&mut self, written: &[String], argv: Vec<String>, env: &[EnvEntry]) -> Result<Exec, PlanRefusal> {
        let mut scripts = BTreeMap::new();
        for (position, word) in written.iter().enumerate().filter(|(_, word)| word.starts_with("./")) {
            let root = &self.catalog.root;
            let (path, sha256) = self
                .world
                .script(root, &root.join(word))
                .map_err(|why| PlanRefusal::Script { path: word.clone(), why })?;
            let below = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            if self.catalog.scripts.get(word).is_some_and(|was| *was != sha256) {
                self.changed = Some(word.clone());
            }
            self.files.insert(below, sha256);
            scripts.insert(position, Script { path: path.to_string_lossy().into_owned(), sha256 });
        }
        let program = match scripts.get(&0) {
            Some(script) => script.path.clone(),
            None => {
                let name = written.first().map_or("", String::as_str);
                let found = self.world.program(name).ok_or_else(|| PlanRefusal::NoSuchProgram {
                    program: name.to_owned(),
                    host: self.world.host(),
                    search_path: self.world.search_path(),
                })?;
                found.to_string_lossy().into_owned()
            }
        };
        for entry in env {
            if let EnvFrom::Secret(secret) = &entry.from {
                self.secret(secret)?;
            }
        }
        Ok(Exec { argv, program, env: env.to_vec(), scripts })
    }

    /// The file that declares a secret is part of the plan: another source is another plan.
    fn secret(&mut self, secret: &SecretName) -> Result<(), PlanRefusal> {
        let source = self.catalog.secret_sources.get(secret);
        self.used(source.ok_or_else(|| PlanRefusal::NoSuchSecret(secret.to_string()))?);
        Ok(())
    }

    /// Fills a request. What the catalog has checked is looked at again in what comes out: a plan is signed.
    fn http(&mut self, ask: &HttpAsk, params: &BTreeMap<String, String>) -> Result<HttpAsk, PlanRefusal> {
        let mut headers = Vec::new();
        for HttpHeader { name, value } in &ask.headers {
            let value = match value {
                HeaderValue::Text(text) => {
                    let value = fill(text, params)?;
                    if !value.chars().all(|letter| matches!(letter, ' '..='~')) || value.trim() != value {
                        return Err(PlanRefusal::Header { name: name.clone(), value });
                    }
                    HeaderValue::Text(value)
                }
                HeaderValue::Secret(secret) => {
                    self.secret(secret)?;
                    HeaderValue::Secret(secret.clone())
                }
            };
            headers.push(HttpHeader { name: name.clone(), value });
        }
        let body = ask.body.as_ref().map(|body| match BodyKind::of(body, &ask.headers) {
            BodyKind::Json => fill(body, &written_by(params, json_text)),
            BodyKind::Form => fill(body, &written_by(params, percent_encoded)),
            BodyKind::Text => fill(body, params),
        });
        Ok(HttpAsk {
            method: ask.method.clone(),
            url: fill_url(&ask.url, params)?,
            headers,
            body: body.transpose()?,
            status: ask.status.clone(),
            contains: ask.contains.as_ref().map(|contains| fill(contains, params)).transpose()?,
        })
    }
}

/// Every parameter with its value: the given ones checked, the others by default.
fn complete(
    catalog: &Catalog,
    runbook: &Runbook,
    given: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, PlanRefusal> {
    if let Some(name) = given.keys().find(|name| runbook.params.iter().all(|param| param.name != **name)) {
        return Err(PlanRefusal::UnknownParam { runbook: runbook.name.clone(), name: name.clone() });
    }
    let mut params = BTreeMap::new();
    for param in &runbook.params {
        let Some(value) = given.get(&param.name).or(param.default.as_ref()) else {
            return Err(PlanRefusal::MissingParam { runbook: runbook.name.clone(), name: param.name.clone() });
        };
        if let Err(why) = accepts(catalog, param, value) {
            let (runbook, name) = (runbook.name.clone(), param.name.clone());
            return Err(PlanRefusal::Value { runbook, name, value: value.clone(), why });
        }
        params.insert(param.name.clone(), value.clone());
    }
    Ok(params)
}

/// Whether a parameter accepts a canonical value. Whoever read it from a line has looked already; a plan is signed, so
/// it does not believe that.
fn accepts(catalog: &Catalog, param: &Param, value: &str) -> Result<(), String> {
    if value.starts_with('-') && !param.may_begin_with_dash {
        return Err("a program would read a value that begins with `-` as an option".to_owned());
    }
    if value.chars().any(char::is_control) {
        return Err("it holds line breaks or other control characters".to_owned());
    }
    match &param.kind {
        ParamKind::Service { system } => match catalog.service(&ServiceName::new(value)) {
            None => Err("there is no such service".to_owned()),
            Some((found, _)) => match system {
                Some(system) if *system != found.name => {
                    Err(format!("it is a service of {}, not of {system}", found.name))
                }
                _ => Ok(()),
            },
        },
        ParamKind::System => match catalog.systems.contains_key(&SystemName::new(value)) {
            true => Ok(()),
            false => Err("there is no such system".to_owned()),
        },
        ParamKind::Choice(choices) => match choices.iter().any(|choice| choice == value) {
            true => Ok(()),
            false => Err(format!("it is one of {}", choices.join(", "))),
        },
        ParamKind::Integer { min, max } => match value.parse::<i64>() {
            Ok(number) if (*min..=*max).contains(&number) && number.to_string() == value => Ok(()),
            _ => Err(format!("it is a whole number from {min} to {max}")),
        },
        ParamKind::Text { max_length } => match (1..=*max_length).contains(&value.chars().count()) {
            true => Ok(()),
            false => Err(format!("it has 1 to {max_length} characters")),
        },
    }
}

/// The one system that a plan works on.
fn system_of<'a>(
    catalog: &'a Catalog,
    runbook: &Runbook,
    params: &BTreeMap<String, String>,
) -> Result<&'a System, PlanRefusal> {
    let mut systems: BTreeSet<SystemName> = runbook.system.iter().cloned().collect();
    for param in &runbook.params {
        match param.kind {
            ParamKind::Service { .. } => {
                let found = catalog.service(&ServiceName::new(&params[&param.name]));
                systems.extend(found.map(|(system, _)| system.name.clone()));
            }
            ParamKind::System => {
                systems.insert(SystemName::new(&params[&param.name]));
            }
            ParamKind::Choice(_) | ParamKind::Integer { .. } | ParamKind::Text { .. } => {}
        }
    }
    if systems.len() > 1 {
        return Err(PlanRefusal::SeveralSystems(systems));
    }
    let system = systems.first().and_then(|name| catalog.systems.get(name));
    system.ok_or_else(|| PlanRefusal::NoSystem(runbook.name.clone()))
}

/// The deed as one would type it: by the first phrase that says all of it, else in the general form.
fn deed(runbook: &Runbook, params: &BTreeMap<String, String>) -> String {
    let by_default = |param: &Param| param.default.as_ref() == params.get(&param.name);
    let says_all = |parts: &[PhrasePart]| {
        let says = |name: &str| parts.iter().any(|part| matches!(part, PhrasePart::Slot(slot) if slot == name));
        runbook.params.iter().all(|param| says(&param.name) || by_default(param))
    };
    if let Some(phrase) = runbook.say.iter().find(|phrase| says_all(&phrase.parts)) {
        let word = |part: &PhrasePart| match part {
            PhrasePart::Word(word) => word.clone(),
            PhrasePart::Slot(name) => params.get(name).cloned().unwrap_or_default(),
        };
        return phrase.parts.iter().map(word).collect::<Vec<_>>().join(" ");
    }
    let mut deed = format!("run {}", runbook.name);
    for param in &runbook.params {
        let value = &params[&param.name];
        match value.contains(char::is_whitespace) {
            true => deed.push_str(&format!(" {}=\"{value}\"", param.name)),
            false => deed.push_str(&format!(" {}={value}", param.name)),
        }
    }
    deed
}

/// Fills one element: strictly, without escaping (nothing here is HTML) and without losing its last line break.
///
/// # Errors
/// When it names what there is no value for.
pub(crate) fn fill(template: &str, params: &BTreeMap<String, String>) -> Result<String, PlanRefusal> {
    let fill = || {
        let mut environment = Environment::empty();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
        environment.render_str(template, params)
    };
    fill().map_err(|error| PlanRefusal::Template(template.to_owned(), error))
}

/// Fills an address: values percent-encoded, so that each stays within its segment or its part of the query, and never
/// in the scheme, host or port. A value that would be read as a step up or nowhere in the path is refused.
fn fill_url(template: &str, params: &BTreeMap<String, String>) -> Result<String, PlanRefusal> {
    let refused = |url: &str, why| PlanRefusal::Address { url: url.to_owned(), why };
    let start = template.find("://").map(|colon| colon + 3).ok_or_else(|| refused(template, "it is not absolute"))?;
    let end = template[start..].find(['/', '?', '#']).map_or(template.len(), |length| start + length);
    if template[..end].contains('{') {
        return Err(refused(template, "no value may say where a request goes"));
    }
    let url = fill(template, &written_by(params, percent_encoded))?;
    // Readers of addresses take `%2e` for a full stop.
    let path = url[end..].split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase().replace("%2e", ".");
    match path.split('/').any(|segment| segment == "." || segment == "..") {
        true => Err(refused(&url, "a part of its path that is `.` or `..` leads elsewhere")),
        false => Ok(url),
    }
}

/// All values, each written in the way of the place that it fills.
fn written_by(params: &BTreeMap<String, String>, write: fn(&str) -> String) -> BTreeMap<String, String> {
    params.iter().map(|(name, value)| (name.clone(), write(value))).collect()
}

/// Every byte but letters, digits and `-._~` as `%XX`.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::new();
    for byte in value.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(char::from(byte)),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// As it stands within the quotes of a JSON text.
fn json_text(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

/// Whole milliseconds; the catalog's greatest duration is days, so this cannot overflow.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn params(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn templates_are_filled_strictly_and_whole() {
        let values = params(&[("a", "x y"), ("b", "{{ a }}")]);
        for (template, filled) in [
            ("plain", "plain"),
            ("--to={{ a }}", "--to=x y"),
            // A value is never read as a template.
            ("{{ b }}", "{{ a }}"),
            ("ends with a line break\n", "ends with a line break\n"),
            ("<{{a}}>", "<x y>"),
            ("", ""),
        ] {
            assert_eq!(fill(template, &values).expect("filled"), filled, "{template}");
        }
        for wrong in ["{{ c }}", "{{ a.b }}", "{{ a", "{{ a | upper }}", "{{ c() }}", "{% include 'x' %}"] {
            assert!(matches!(fill(wrong, &values), Err(PlanRefusal::Template(..))), "{wrong}");
        }
    }

    #[test]
    fn words_of_the_template_language_are_ordinary_names_where_the_catalog_allows_them() {
        for name in ["from", "to", "for", "with", "set", "do", "call", "block", "import", "include", "macro", "raw"] {
            let filled = fill(&format!("{{{{ {name} }}}}"), &params(&[(name, "value")])).expect("filled");
            assert_eq!(filled, "value", "{name}");
        }
    }

    #[test]
    fn i9_a_value_stays_in_its_part_of_an_address() {
        let values = params(&[("a", "x/../y?z=1&w#é %"), ("n", "-3"), ("up", ".."), ("dot", ".")]);
        for (template, filled) in [
            ("http://h:80/{{ a }}/x?q={{ n }}", "http://h:80/x%2F..%2Fy%3Fz%3D1%26w%23%C3%A9%20%25/x?q=-3"),
            ("http://h?{{ n }}", "http://h?-3"),
            ("http://h/v{{ up }}?p={{ up }}", "http://h/v..?p=.."),
            ("https://h", "https://h"),
        ] {
            assert_eq!(fill_url(template, &values).expect("filled"), filled, "{template}");
        }
        for wrong in [
            "http://h/{{ up }}/x",
            "http://h/{{ dot }}",
            "http://h/{{ dot }}{{ dot }}?x",
            "http://h/.{{ dot }}/",
            "http://h/%2e{{ dot }}/",
            "http://{{ n }}/",
            "http://h:{{ n }}/",
            "{{ n }}://h/",
            "{{ a }}",
        ] {
            assert!(matches!(fill_url(wrong, &values), Err(PlanRefusal::Address { .. })), "{wrong}");
        }
    }

    proptest! {
        /// I9: whatever is said, an address leads to the same host and has as many parts as its author wrote.
        #[test]
        fn i9_an_address_keeps_its_shape(value in any::<String>()) {
            let values = params(&[("a", &value)]);
            match fill_url("http://host.example:81/a/{{ a }}/z?one={{ a }}&two=2", &values) {
                Ok(url) => {
                    let url = reqwest::Url::parse(&url).expect("an address");
                    prop_assert_eq!((url.host_str(), url.port()), (Some("host.example"), Some(81)));
                    prop_assert_eq!(url.path_segments().map(Iterator::count), Some(3));
                    prop_assert_eq!(url.fragment(), None);
                    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
                    prop_assert_eq!(pairs, [("one".to_owned(), value), ("two".to_owned(), "2".to_owned())]);
                }
                Err(_) => prop_assert!(value == "." || value == ".."),
            }
        }

        /// I9: whatever is said, a JSON body has the keys that its author wrote.
        #[test]
        fn i9_a_json_body_keeps_its_shape(value in any::<String>()) {
            let filled = fill(r#"{"a": "{{ a }}", "b": {"c": "<{{ a }}>"}}"#, &written_by(&params(&[("a", &value)]), json_text));
            let read: serde_json::Value = serde_json::from_str(&filled.expect("filled")).expect("JSON");
            prop_assert_eq!(read, serde_json::json!({"a": value.clone(), "b": {"c": format!("<{value}>")}}));
        }

        /// I9: whatever is said, it comes out as it went in, at its place and nowhere else.
        #[test]
        fn i9_a_value_is_put_in_as_it_is(value in any::<String>(), before in "[a-z= ]{0,8}", after in "[a-z= \n]{0,8}") {
            let filled = fill(&format!("{before}{{{{ a }}}}{after}"), &params(&[("a", &value)])).expect("filled");
            prop_assert_eq!(filled, format!("{before}{value}{after}"));
        }
    }

    #[test]
    fn this_host_finds_programs_by_name_and_path_only() {
        let world =
            LocalWorld { search_path: vec!["relative".into(), "/nonexistent".into(), "/bin".into()], host: "h".into() };
        assert_eq!(world.program("sh"), Some(PathBuf::from("/bin/sh")));
        assert_eq!(world.program("/bin/sh"), Some(PathBuf::from("/bin/sh")));
        for nothing in ["", "bin/sh", "../bin/sh", "/etc/passwd", "/bin", "no-such-program"] {
            assert_eq!(world.program(nothing), None, "{nothing}");
        }
        assert_eq!(world.search_path(), "relative:/nonexistent:/bin");
    }

    #[test]
    fn a_script_outside_the_catalog_is_not_read() {
        let root = tempfile::tempdir().expect("a folder");
        std::fs::write(root.path().join("x"), "echo").expect("written");
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("out")).expect("linked");
        let world = LocalWorld { search_path: vec![], host: "h".into() };
        let (path, sha256) = world.script(root.path(), &root.path().join("./x")).expect("read");
        assert!(path.is_absolute() && path.ends_with("x"));
        assert_eq!(sha256, Digest(Sha256::digest("echo").into()));
        assert!(world.script(root.path(), &root.path().join("out")).is_err());
        assert!(world.script(root.path(), &root.path().join("../../etc/passwd")).is_err());
        assert!(world.script(root.path(), &root.path().join("missing")).is_err());
    }
}

//! `countersign policy`: what would become of a request, without asking for it, and expectations about that for CI.
//!
//! What lives here: arguments, files and printing. What does not: the choice (`model::choice`), who could agree
//! (`model::outlook`), and the sentences (`text::policy`).

mod deadlock;
mod expect;
mod explain;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::anyhow;
use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;

use crate::command;
use crate::engine::plan::{self, About, PlanFor};
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{Catalog, Policy, Runbook};
use crate::model::choice::{Candidate, Facts, candidates};
use crate::model::id::{PersonId, TriggerName};
use crate::model::outlook::{Scene, StageOutlook, Verdict};
use crate::model::plan::PlanPolicy;
use crate::model::policy::{Automatic, Unasked};
use crate::model::rota::moment_in;
use crate::text;
use crate::text::policy as say;

use super::plan::Pair;

/// See what the policies of a catalog come to.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Tell which policy a request would stand under and why, who could agree, and what happens when.
    Explain(ExplainArgs),
    /// Check expectations about that, and find requests that nobody could ever approve.
    Test(TestArgs),
}

/// Arguments of `policy explain`.
#[derive(Debug, Clone, clap::Args)]
pub struct ExplainArgs {
    /// The runbook.
    pub runbook: String,
    /// Its arguments.
    #[arg(value_name = "KEY=VALUE")]
    pub params: Vec<Pair>,
    /// Who asks.
    #[arg(long = "as", value_name = "PERSON", required_unless_present = "trigger", conflicts_with = "trigger")]
    pub person: Option<String>,
    /// Which trigger asks, instead of a person.
    #[arg(long, value_name = "NAME")]
    pub trigger: Option<String>,
    /// When: 2026-12-24T03:00Z, or "2026-12-24 11:00 Asia/Singapore" [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// Who does not answer; may be given several times.
    #[arg(long, value_name = "PERSON")]
    pub asleep: Vec<String>,
    /// The catalog's folder.
    #[arg(long, value_name = "DIR", default_value = "runbooks")]
    pub catalog: PathBuf,
}

/// Arguments of `policy test`.
#[derive(Debug, Clone, clap::Args)]
pub struct TestArgs {
    /// Files of expectations; without any only requests that nobody could approve are looked for.
    pub files: Vec<PathBuf>,
    /// From when on policies with times are looked at: 2026-12-24T03:00Z [default: now].
    #[arg(long, value_name = "TIME")]
    pub at: Option<Moment>,
    /// The catalog's folder.
    #[arg(long, value_name = "DIR", default_value = "runbooks")]
    pub catalog: PathBuf,
}

/// A moment, and the zone in which it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The moment.
    pub at: DateTime<Utc>,
    /// The zone.
    pub zone: Tz,
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            format!(
                "`{text}` is no time: write 2026-12-24T03:00Z, or \"2026-12-24 11:00 Asia/Singapore\" with a zone's name"
            )
        };
        let text = text.trim();
        if let Ok(at) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self { at: at.to_utc(), zone: Tz::UTC });
        }
        let read = |local: &str| {
            ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"].iter().find_map(|form| NaiveDateTime::parse_from_str(local, form).ok())
        };
        if let Some(local) = text.strip_suffix('Z').and_then(read) {
            return Ok(Self { at: local.and_utc(), zone: Tz::UTC });
        }
        let (local, zone) = text.rsplit_once(' ').ok_or_else(wrong)?;
        let (local, zone) = (read(local).ok_or_else(wrong)?, zone.parse::<Tz>().map_err(|_| wrong())?);
        Ok(Self { at: moment_in(zone, local), zone })
    }
}

/// Runs `policy`. The exit code: 0 done, 1 the catalog is wrong, or an expectation does not hold.
///
/// # Errors
/// With one sentence, when there is no such request, or a file cannot be read.
pub fn run(command: Command) -> anyhow::Result<u8> {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    match command {
        Command::Explain(args) => {
            let at = args.at.unwrap_or_else(now);
            with_catalog(&args.catalog, &mut err, |catalog| {
                for line in explain::explain(catalog, &args, at)? {
                    writeln!(out, "{line}")?;
                }
                Ok(0)
            })
        }
        Command::Test(args) => {
            let at = args.at.unwrap_or_else(now);
            let mut complaints = io::stderr().lock();
            with_catalog(&args.catalog, &mut err, |catalog| test(catalog, &args, at, &mut out, &mut complaints))
        }
    }
}

fn now() -> Moment {
    #[expect(clippy::disallowed_methods, reason = "no bot is asked, and this machine's clock is what there is")]
    let at = Utc::now();
    Moment { at, zone: Tz::UTC }
}

fn with_catalog(
    dir: &std::path::Path,
    err: &mut dyn Write,
    then: impl FnOnce(&Catalog) -> anyhow::Result<u8>,
) -> anyhow::Result<u8> {
    match crate::runbook::load(dir) {
        Ok(loaded) => then(&loaded.catalog),
        Err(problems) => {
            writeln!(err, "{problems}")?;
            Ok(1)
        }
    }
}

/// Checks the expectations of all files and looks for requests that nobody could approve; one sentence each.
fn test(
    catalog: &Catalog,
    args: &TestArgs,
    at: Moment,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<u8> {
    let mut expectations = 0;
    let mut failures = Vec::new();
    for path in &args.files {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| anyhow!("{shown} cannot be read: {error}"))?;
        let read = expect::read(&text).map_err(|error| anyhow!("{shown}: {error}"))?;
        expectations += read.len();
        failures.extend(read.iter().flat_map(|one| {
            one.failures(catalog).into_iter().map(|what| say::failed(&shown, &one.name, &what)).collect::<Vec<_>>()
        }));
    }
    let found = deadlock::find(catalog, at.at);
    failures.extend(found.sentences);
    if failures.is_empty() {
        writeln!(out, "{}", say::all_well(expectations, found.requests))?;
    }
    if found.unknown > 0 {
        writeln!(out, "{}", say::unknown(found.unknown))?;
    }
    for failure in &failures {
        writeln!(err, "countersign: {failure}")?;
    }
    Ok(u8::from(!failures.is_empty()))
}

/// A request that could be made.
struct Asking<'a> {
    runbook: &'a Runbook,
    about: About<'a>,
    requesters: Vec<PersonId>,
    trigger: Option<TriggerName>,
    at: DateTime<Utc>,
}

/// What becomes of it.
enum Outcome<'a> {
    /// It only reads.
    NoPolicy,
    /// Whoever asks may not.
    NotAllowed(PersonId),
    /// It is decided by these, the strictest first.
    Policies(Vec<Candidate<'a>>),
}

/// The outlook of the policy that wins.
struct Outlook {
    policy: PlanPolicy,
    stages: Vec<StageOutlook>,
    verdict: Verdict,
    people_needed: u32,
}

impl<'a> Asking<'a> {
    /// Reads a request as a line of a room would be read; the words are the parameters.
    fn read(
        catalog: &'a Catalog,
        runbook: &str,
        params: &[(&str, &str)],
        who: Who<'_>,
        at: DateTime<Utc>,
    ) -> anyhow::Result<Self> {
        let named = command::named_run(catalog, runbook, params.iter().copied());
        let (name, params) = named.map_err(|error| anyhow!(text::command::wrong(&error)))?;
        let runbook = catalog.runbooks.get(&name).ok_or_else(|| anyhow!("the catalog has no runbook {name}"))?;
        let about = plan::about(catalog, runbook, &params).map_err(|refusal| anyhow!(text::chain(&refusal)))?;
        let (requesters, trigger) = match who {
            Who::Person(said) => (vec![person(catalog, said)?], None),
            Who::Trigger(said) => {
                let name = TriggerName::new(said);
                let trigger = catalog.triggers.get(&name).ok_or_else(|| anyhow!(say::no_trigger(&name)))?;
                (vec![trigger.owner.clone()], Some(name))
            }
        };
        Ok(Self { runbook, about, requesters, trigger, at })
    }

    fn facts(&'a self) -> Facts<'a> {
        let asked = PlanFor { at: self.at, trigger: self.trigger.as_ref() };
        plan::facts(self.runbook, self.about.system, &self.about.targets, asked)
    }

    fn outcome<'c>(&'a self, catalog: &'c Catalog) -> Outcome<'c> {
        let Some(base) = &self.runbook.approval else { return Outcome::NoPolicy };
        let may = |person: &&PersonId| allowed(catalog, person, Verb::Run, self.about.system);
        match self.requesters.iter().find(|person| !may(person)) {
            Some(person) => Outcome::NotAllowed(person.clone()),
            None => Outcome::Policies(candidates(catalog, base, &self.facts())),
        }
    }

    fn outlook(&self, catalog: &Catalog, policy: &Policy, asleep: &BTreeSet<PersonId>) -> anyhow::Result<Outlook> {
        let frozen = plan::frozen(policy, self.runbook, self.about.system);
        let policy = frozen.map_err(|refusal| anyhow!(text::chain(&refusal)))?;
        let excluded = if policy.exclude_author { self.runbook.author.as_slice() } else { &[] };
        let scene = Scene { catalog, policy: &policy, requesters: &self.requesters, excluded, asleep, at: self.at };
        let (stages, verdict, people_needed) = (scene.stages(), scene.verdict(), scene.people_needed());
        Ok(Outlook { policy, stages, verdict, people_needed })
    }

    /// By which rule of the policy the person who asks may start without anybody's answer, as long as its number is not used.
    fn starts_unasked<'p>(&self, catalog: &Catalog, policy: &'p PlanPolicy) -> Option<(&PersonId, &'p Unasked)> {
        let person = self.requesters.first().filter(|_| self.trigger.is_none())?;
        let barred = policy.exclude_author && self.runbook.author.as_ref() == Some(person);
        let rule = policy.unasked.iter().find(|rule| catalog.includes(&rule.by, person))?;
        (!barred).then_some((person, rule))
    }

    /// Whether the policy lets the trigger that asks start without anybody's answer.
    fn starts_by_itself<'c>(&self, policy: &'c Policy) -> Option<&'c Automatic> {
        let rules = || policy.automatic.iter();
        rules().find(|rule| self.trigger.as_ref().is_some_and(|trigger| rule.lets(trigger, &self.runbook.name)))
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
enum Who<'a> {
    Person(&'a str),
    Trigger(&'a str),
}

fn person(catalog: &Catalog, said: &str) -> anyhow::Result<PersonId> {
    let person = PersonId::new(said);
    let known: Vec<PersonId> = catalog.people.keys().cloned().collect();
    if known.contains(&person) { Ok(person) } else { Err(anyhow!(say::no_person(said, &known))) }
}

fn people(catalog: &Catalog, said: &[String]) -> anyhow::Result<BTreeSet<PersonId>> {
    said.iter().map(|said| person(catalog, said)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_with_their_zone() {
        let read = |text: &str| text.parse::<Moment>().map(|it| format!("{} {}", it.at.to_rfc3339(), it.zone));
        for (text, expected) in [
            ("2026-12-24T03:00Z", "2026-12-24T03:00:00+00:00 UTC"),
            ("2026-12-24T03:00:30Z", "2026-12-24T03:00:30+00:00 UTC"),
            ("2026-12-24T11:00:00+08:00", "2026-12-24T03:00:00+00:00 UTC"),
            ("2026-12-24 11:00 Asia/Singapore", "2026-12-24T03:00:00+00:00 Asia/Singapore"),
            ("2027-03-28T02:30 Europe/Berlin", "2027-03-28T01:00:00+00:00 Europe/Berlin"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["", "now", "2026-12-24", "2026-12-24 11:00", "2026-12-24 11:00 Asia/Singapur"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}

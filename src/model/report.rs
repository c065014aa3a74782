//! The whole record of an incident, as it is handed out: told from the ledger up to one head, and from nothing that may
//! change without an event. The same incident at the same head is the same report.
//!
//! What lives here: its shape, which is versioned. What does not: gathering it (`incident`), setting it (`text::report`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::event::Health;
use super::id::{CheckName, Digest, IncidentId, PersonId, Position, RunId, ServiceName, SystemName};

/// The version of the shape that this binary writes.
pub const REPORT_VERSION: u32 = 1;

/// The whole record of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentReport {
    /// [`REPORT_VERSION`].
    pub version: u32,
    /// Which.
    pub incident: IncidentId,
    /// The system.
    pub system: SystemName,
    /// Its environment.
    pub environment: String,
    /// The service; `None` if a person opened it and named none.
    pub service: Option<ServiceName>,
    /// In a few words, hidden characters visible.
    pub title: String,
    /// The address of the room.
    pub room: String,
    /// `open`, `mitigated` or `resolved`, as of the head.
    pub state: String,
    /// In figures.
    pub summary: Summary,
    /// Who asked for what, who agreed, and what came of it.
    pub runs: Vec<ReportRun>,
    /// How its checks turned.
    pub checks: Vec<ReportTurn>,
    /// Everything in order: its events, those of its runs, and what was said in the room from its opening to its end.
    pub timeline: Vec<ReportRow>,
    /// How far the ledger was verified, and what was found.
    pub verification: Verification,
}

/// An incident in figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// By whom; `None`: by a check.
    pub opened_by: Option<PersonId>,
    /// When it was last resolved, if it is.
    pub resolved_at: Option<DateTime<Utc>>,
    /// By whom.
    pub resolved_by: Option<PersonId>,
    /// What they said, hidden characters visible.
    pub resolved_why: Option<String>,
    /// From its opening to its end, or to the head if it has none, in milliseconds.
    pub lasted_millis: u64,
    /// When it failed: from the first failing result to the first good one, to its end, or to the head.
    pub impact: Vec<Impact>,
    /// All of that together, in milliseconds.
    pub impact_millis: u64,
    /// Who took care of it, in order.
    pub keepers: Vec<Keeper>,
    /// How many people were asked to approve; `None` while it is not resolved.
    pub asked: Option<u32>,
    /// How long requests waited in all, in milliseconds.
    pub waited_millis: u64,
}

/// A time in which it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Impact {
    /// From when.
    pub from: DateTime<Utc>,
    /// To when; `None`: it still fails, as of the head.
    pub to: Option<DateTime<Utc>>,
}

/// Who took care of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keeper {
    /// Who.
    pub by: PersonId,
    /// Since when.
    pub at: DateTime<Utc>,
}

/// A run of the incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRun {
    /// Its number.
    pub run: RunId,
    /// The deed, hidden characters visible.
    pub deed: String,
    /// A person, or `trigger NAME`.
    pub asked_by: String,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// The plan.
    pub plan: Digest,
    /// The plan's steps as they were shown, or one line that says why they cannot be.
    pub steps: Vec<String>,
    /// Who answered its requests, and what.
    pub decisions: Vec<ReportDecision>,
    /// Where it stood at the head, in words.
    pub outcome: String,
    /// Its tries of steps.
    pub attempts: Vec<ReportAttempt>,
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportDecision {
    /// Its place in the ledger.
    pub position: Option<Position>,
    /// When.
    pub at: DateTime<Utc>,
    /// The request's code.
    pub code: String,
    /// Who.
    pub person: PersonId,
    /// `approve` or `deny`.
    pub answer: String,
    /// Why, hidden characters visible.
    pub reason: Option<String>,
}

/// One try of one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportAttempt {
    /// The step, counted from 1.
    pub step: u32,
    /// Which try.
    pub number: u32,
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// `succeeded`, `failed`, `timed out`, `unknown`, or `under way`.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub millis: Option<u64>,
    /// The exit code, if its process ended by itself.
    pub exit_code: Option<i32>,
    /// One line of what came of it, hidden characters visible.
    pub summary: String,
    /// Its output as kept: redacted and bounded, line by line, hidden characters visible.
    pub output: Vec<String>,
    /// SHA-256 of the kept output, by the ledger.
    pub output_sha256: Option<Digest>,
}

/// A check that turned for certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportTurn {
    /// Its place in the ledger.
    pub position: Option<Position>,
    /// When that was certain.
    pub at: DateTime<Utc>,
    /// The check.
    pub check: CheckName,
    /// What it was.
    pub was: Option<Health>,
    /// What it became.
    pub now: Health,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Its first line, hidden characters visible.
    pub detail: String,
}

/// One row of the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportRow {
    /// Its place in the ledger.
    pub position: Option<Position>,
    /// When.
    pub at: DateTime<Utc>,
    /// The same with date and zone, as people read it.
    pub time: String,
    /// What kind of event it is.
    pub kind: String,
    /// Its run.
    pub run: Option<RunId>,
    /// Who.
    pub actor: String,
    /// What, hidden characters visible.
    pub words: String,
    /// What the bot answered at once, line by line.
    pub answer: Vec<String>,
}

/// What verifying the ledger found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Whether nothing was found.
    pub sound: bool,
    /// The newest place: the report tells of nothing after it.
    pub position: Position,
    /// The hash there.
    pub hash: Digest,
    /// What was found, one sentence each; the first of them if there are many.
    pub findings: Vec<String>,
    /// How much was found altogether.
    pub total: u64,
}

//! What the bot counts about itself, for whoever watches over it.
//!
//! What lives here: the counters, and the beats of the loops ([`beats`]). What does not: asking the database what waits
//! (`store`), and showing any of it (`web`). Any room may count into this one; it knows the `model` alone.
//!
//! There is one set of counters for the process, as there is one process to watch. What was committed is counted by the
//! marks that its events carry ([`committed`]), so that the counters are a reading of the ledger and nothing that changes
//! a state row can forget them. Labels come from closed lists: no person, room, system or runbook is ever one.

pub mod beats;

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::model::catalog::TriggerMode;
use crate::model::event::{Brake, Happened, Health, NewEvent, Record};

/// The content type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What came of something that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Not for the bot.
    Talk,
    /// Answered, and perhaps acted on.
    Answered,
    /// Refused, with a sentence.
    Refused,
    /// Kept for the record: an edit, a line too old to act.
    Recorded,
    /// Received before: it did nothing.
    Again,
    /// It could not be kept, and will be delivered again.
    Failed,
}

impl Line {
    const ALL: [Self; 6] = [Self::Talk, Self::Answered, Self::Refused, Self::Recorded, Self::Again, Self::Failed];

    /// Its name, as a label and in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Talk => "talk",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Recorded => "recorded",
            Self::Again => "again",
            Self::Failed => "failed",
        }
    }
}

/// What came of a try to send a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// The platform has it.
    Sent,
    /// The platform had it already.
    Found,
    /// It is tried again.
    Retried,
    /// It was given up.
    Failed,
    /// It was told within another message, or a newer change took its place.
    Folded,
}

impl Sending {
    const ALL: [Self; 5] = [Self::Sent, Self::Found, Self::Retried, Self::Failed, Self::Folded];

    fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Found => "found",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Folded => "folded",
        }
    }
}

/// The states of a run that are worth counting: its ends, and where it waits for somebody to unstick it.
const RUNS: [&str; 7] = ["succeeded", "failed", "stopped", "denied", "expired", "withdrawn", "stuck"];
/// What an attempt can come to.
const ATTEMPTS: [&str; 6] = ["succeeded", "failed", "timed_out", "unknown", "judged", "skipped"];
/// What a request can come to.
const REQUESTS: [&str; 6] = ["granted", "denied", "expired", "withdrawn", "changes_requested", "superseded"];

/// What can happen to an incident.
const INCIDENTS: [&str; 5] = ["opened", "recurred", "mitigated", "resolved", "reopened"];
/// What can hold a trigger.
const BRAKES: [Brake; 7] =
    [Brake::Cooldown, Brake::AtMost, Brake::Flapping, Brake::NoEffect, Brake::Busy, Brake::Paused, Brake::NoPlan];
/// What a check can say.
const HEALTHS: [&str; 4] = ["ok", "warning", "critical", "unknown"];

fn health_name(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warning => "warning",
        Health::Critical => "critical",
        Health::Unknown => "unknown",
    }
}

/// From half a millisecond to ten seconds: answers to people.
const ANSWERS: [f64; 14] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From ten milliseconds to half an hour: steps.
const STEPS: [f64; 13] = [0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0];
/// From ten milliseconds to five minutes: how late a check was asked.
const LATE: [f64; 10] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct IncidentEvent {
    event: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrakeLabel {
    brake: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModeLabel {
    mode: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HealthLabel {
    health: &'static str,
}

type Outcomes = Family<Outcome, Counter>;

struct Counted {
    registry: Registry,
    lines: Outcomes,
    line_seconds: Histogram,
    runs: Family<State, Counter>,
    attempts: Outcomes,
    attempt_seconds: Histogram,
    requests: Outcomes,
    messages: Outcomes,
    message_seconds: Histogram,
    limited: Counter,
    slack: Outcomes,
    catalogs: Outcomes,
    clock_jumps: Counter,
    incidents: Family<IncidentEvent, Counter>,
    held: Family<BrakeLabel, Counter>,
    fired: Family<ModeLabel, Counter>,
    turns: Family<HealthLabel, Counter>,
    checks: Family<HealthLabel, Counter>,
    check_late_seconds: Histogram,
}

static COUNTED: LazyLock<Counted> = LazyLock::new(Counted::new);

/// Counters that are there from the beginning, at zero: what never happened is not the same as what nobody counts.
fn outcomes(names: impl IntoIterator<Item = &'static str>) -> Outcomes {
    let family = Outcomes::default();
    for outcome in names {
        drop(family.get_or_create(&Outcome { outcome }));
    }
    family
}

impl Counted {
    fn new() -> Self {
        let runs = Family::<State, Counter>::default();
        for state in RUNS {
            drop(runs.get_or_create(&State { state }));
        }
        let (incidents, held, fired) = (Family::default(), Family::default(), Family::default());
        for event in INCIDENTS {
            drop(Family::<_, Counter>::get_or_create(&incidents, &IncidentEvent { event }));
        }
        for brake in BRAKES {
            drop(Family::<_, Counter>::get_or_create(&held, &BrakeLabel { brake: brake.name() }));
        }
        for mode in [TriggerMode::Shadow, TriggerMode::Ask, TriggerMode::Auto] {
            drop(Family::<_, Counter>::get_or_create(&fired, &ModeLabel { mode: mode.name() }));
        }
        let (turns, checks) = (Family::default(), Family::default());
        for health in HEALTHS {
            drop(Family::<_, Counter>::get_or_create(&turns, &HealthLabel { health }));
            drop(Family::<_, Counter>::get_or_create(&checks, &HealthLabel { health }));
        }
        let mut counted = Self {
            registry: Registry::with_prefix("countersign"),
            lines: outcomes(Line::ALL.map(Line::name)),
            line_seconds: Histogram::new(ANSWERS),
            runs,
            attempts: outcomes(ATTEMPTS),
            attempt_seconds: Histogram::new(STEPS),
            requests: outcomes(REQUESTS),
            messages: outcomes(Sending::ALL.map(Sending::name)),
            message_seconds: Histogram::new(ANSWERS),
            limited: Counter::default(),
            slack: outcomes(SLACK),
            catalogs: outcomes(["loaded", "refused"]),
            clock_jumps: Counter::default(),
            incidents,
            held,
            fired,
            turns,
            checks,
            check_late_seconds: Histogram::new(LATE),
        };
        let r = &mut counted.registry;
        r.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        r.register("lines", "Lines, buttons and edits received, by what came of them", counted.lines.clone());
        r.register(
            "line_seconds",
            "From receipt of a line until its effect and its answer are durable",
            counted.line_seconds.clone(),
        );
        r.register("runs", "Runs that came to this state", counted.runs.clone());
        r.register("attempts", "Attempts of steps that ended, by outcome", counted.attempts.clone());
        r.register("attempt_seconds", "How long attempts took whose end was seen", counted.attempt_seconds.clone());
        r.register("requests", "Requests for approval that ended, by outcome", counted.requests.clone());
        r.register("messages", "Tries to send a message, by what came of them", counted.messages.clone());
        r.register(
            "message_seconds",
            "From the commit of a message until the platform has it",
            counted.message_seconds.clone(),
        );
        r.register("rate_limited", "Calls that a chat platform answered with a time to wait", counted.limited.clone());
        r.register(
            "catalog_loads",
            "Catalogs taken into use or refused, the first at the start",
            counted.catalogs.clone(),
        );
        r.register("slack_deliveries", "What Slack delivered, by what came of it", counted.slack.clone());
        r.register("clock_jumps", "Jumps of the database's clock", counted.clock_jumps.clone());
        r.register("incidents", "What happened to incidents", counted.incidents.clone());
        r.register("automation_held", "Failures for which a brake held a trigger, by brake", counted.held.clone());
        r.register("automation_runs", "Times that a trigger fired, by its mode", counted.fired.clone());
        r.register(
            "check_turns",
            "Changes of scheduled checks that are certain, by what they are now",
            counted.turns.clone(),
        );
        r.register("check_results", "Results of scheduled checks", counted.checks.clone());
        r.register(
            "check_late_seconds",
            "How much later than planned scheduled checks were asked",
            counted.check_late_seconds.clone(),
        );
        counted
    }
}

/// Counts one of a family, if its name is of the list: what an unknown version wrote must not make a label.
fn count(family: &Outcomes, names: &[&'static str], name: &str) {
    if let Some(outcome) = names.iter().find(|known| **known == name) {
        family.get_or_create(&Outcome { outcome }).inc();
    }
}

/// Counts something that was said, and how long it took until all of it was durable. What was not kept has no time.
pub fn line(line: Line, took: Duration) {
    COUNTED.lines.get_or_create(&Outcome { outcome: line.name() }).inc();
    match line {
        Line::Talk | Line::Answered | Line::Refused | Line::Recorded => {
            COUNTED.line_seconds.observe(took.as_secs_f64());
        }
        Line::Again | Line::Failed => {}
    }
}

/// What may come of something that Slack delivers: it was said, it is news of a room, or it is neither and why.
pub const SLACK: [&str; 10] = [
    "said",
    "news",
    "not_kept",
    "own",
    "other_workspace",
    "org_wide",
    "no_words",
    "unknown",
    "unreadable",
    "not_slack",
];

/// Counts something that Slack delivered; `outcome` is one of [`SLACK`], and anything else is not counted.
pub fn slack(outcome: &str) {
    count(&COUNTED.slack, &SLACK, outcome);
}

/// Counts a try to send a message.
pub fn message(sending: Sending) {
    COUNTED.messages.get_or_create(&Outcome { outcome: sending.name() }).inc();
}

/// Counts a call that a chat platform answered with a time to wait.
pub fn rate_limited() {
    COUNTED.limited.inc();
}

/// How long a message took from its commit until the platform had it.
pub fn message_took(took: Duration) {
    COUNTED.message_seconds.observe(took.as_secs_f64());
}

/// Counts the result of a scheduled check, and how much later than planned it was asked.
pub fn checked(health: Health, late: Duration) {
    COUNTED.checks.get_or_create(&HealthLabel { health: health_name(health) }).inc();
    COUNTED.check_late_seconds.observe(late.as_secs_f64());
}

/// Counts what was committed, by the events that describe it. Called once for each commit, after it.
pub fn committed<'a>(events: impl IntoIterator<Item = &'a NewEvent>) {
    for event in events {
        committed_record(&event.record);
    }
}

/// The same for one event.
pub fn committed_record(record: &Record) {
    for mark in &record.rows {
        match mark.row.split_once('/').map(|(kind, _)| kind) {
            Some("run") => {
                if let Some(state) = RUNS.iter().find(|state| **state == mark.state) {
                    COUNTED.runs.get_or_create(&State { state }).inc();
                }
            }
            Some("attempt") => count(&COUNTED.attempts, &ATTEMPTS, &mark.state),
            Some("request") => count(&COUNTED.requests, &REQUESTS, &mark.state),
            // Grants follow their runs, and nothing else has marks that are counted.
            _ => {}
        }
    }
    if let Some(event) = incident_event(&record.what) {
        COUNTED.incidents.get_or_create(&IncidentEvent { event }).inc();
    }
    // Of what else happens, these alone are counted.
    if let Happened::AttemptEnded { millis, .. } = &record.what {
        COUNTED.attempt_seconds.observe(Duration::from_millis(*millis).as_secs_f64());
    } else if let Happened::CatalogLoaded { .. } = &record.what {
        count(&COUNTED.catalogs, &["loaded"], "loaded");
    } else if let Happened::CatalogRefused { .. } = &record.what {
        count(&COUNTED.catalogs, &["refused"], "refused");
    } else if let Happened::ClockJumped { .. } = &record.what {
        COUNTED.clock_jumps.inc();
    } else if let Happened::TriggerHeld { by, .. } = &record.what {
        COUNTED.held.get_or_create(&BrakeLabel { brake: by.name() }).inc();
    } else if let Happened::TriggerFired { mode, .. } = &record.what {
        COUNTED.fired.get_or_create(&ModeLabel { mode: mode.name() }).inc();
    } else if let Happened::CheckTurned { now, .. } = &record.what {
        COUNTED.turns.get_or_create(&HealthLabel { health: health_name(*now) }).inc();
    }
}

/// What happened to an incident. Its state's mark does not tell it: it stands there after every note as well.
fn incident_event(what: &Happened) -> Option<&'static str> {
    match what {
        Happened::IncidentOpened { .. } => Some("opened"),
        Happened::IncidentRecurred { .. } => Some("recurred"),
        Happened::IncidentMitigated { .. } => Some("mitigated"),
        Happened::IncidentResolved { .. } => Some("resolved"),
        Happened::IncidentReopened { .. } => Some("reopened"),
        _ => None,
    }
}

/// What the database says of the moment: read for `/metrics` and `/readyz`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Vitals {
    /// Whether the schema has every migration that this binary needs.
    pub schema_is_current: bool,
    /// Requests for approval that wait.
    pub requests_waiting: i64,
    /// Runs that are not over, by state, those that wait for approval left out.
    pub runs_open: Vec<(&'static str, i64)>,
    /// Incidents that are not resolved, by state.
    pub incidents: Vec<(&'static str, i64)>,
    /// Scheduled checks by what they are for certain; `none` before the first certain result.
    pub checks: Vec<(&'static str, i64)>,
    /// Whether a person has paused all automation.
    pub paused: bool,
    /// Triggers that a brake holds until a person says `resume`, for one service each.
    pub held: i64,
    /// Events that wait for a place in the chain; 10,000 stands for that many or more.
    pub unsequenced: i64,
    /// How old the oldest of them is.
    pub unsequenced_age: Duration,
    /// Whether some worker holds the sequencer's lease.
    pub sequencer_held: bool,
    /// The readers of the chain.
    pub sinks: Vec<SinkVitals>,
    /// Messages that wait to be sent; 10,000 stands for that many or more.
    pub unsent: i64,
    /// How old the oldest of them is.
    pub unsent_age: Duration,
    /// For how long the first message of some room has been due, and was not tried: of the room where that is longest.
    pub unsent_overdue: Duration,
}

/// A reader of the chain.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SinkVitals {
    /// Its name.
    pub name: String,
    /// How many positions it is behind the end of the chain.
    pub lag: i64,
    /// How old the first event is that it has not read.
    pub age: Duration,
    /// Whether some worker holds its lease.
    pub held: bool,
}

/// How one workspace of a chat platform is heard by this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Which, as `platform:workspace`.
    pub workspace: String,
    /// Whether what is said there does not reach it.
    pub deaf: bool,
    /// How long ago there was the last sign; since the start if there was none.
    pub silent: Duration,
    /// How many declared rooms there are closed to the bot.
    pub closed_rooms: usize,
}

/// Connections of this process to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// For whom: `turns` for whoever is waited for, `loops` for the rest.
    pub pool: &'static str,
    /// Those in use.
    pub used: u32,
    /// Those that are open and not in use.
    pub idle: u32,
    /// The most that there may be.
    pub most: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabel {
    sink: String,
}

/// One of the settings' workspaces: the operator's own short list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WorkspaceLabel {
    workspace: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabel {
    pool: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LoopLabel {
    r#loop: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// Everything in the text format that Prometheus reads. Without vitals the database did not answer in time: then what it
/// would have said is left out rather than said from memory.
///
/// # Errors
/// None that a `String` can cause; the encoder's type has one.
pub fn render(vitals: Option<&Vitals>, connections: &[Connections], heard: &[Heard]) -> Result<String, fmt::Error> {
    let mut now = Registry::with_prefix("countersign");
    let r = &mut now;
    let up = Gauge::<i64>::default();
    up.set(i64::from(vitals.is_some()));
    r.register("database_up", "Whether the database answered in time when this was asked", up);
    let pools = Family::<PoolLabel, Gauge>::default();
    for pool in connections {
        for (state, number) in [("used", pool.used), ("idle", pool.idle), ("most", pool.most)] {
            pools.get_or_create(&PoolLabel { pool: pool.pool, state }).set(i64::from(number));
        }
    }
    r.register("database_connections", "Connections of this process to the database", pools);
    let silent = Family::<LoopLabel, Seconds>::default();
    for (r#loop, silence) in beats::silences() {
        silent.get_or_create(&LoopLabel { r#loop: r#loop.key() }).set(silence.as_secs_f64());
    }
    r.register("loop_silent_seconds", "How long ago each loop of this process last went round", silent);
    register_heard(r, heard);
    if let Some(vitals) = vitals {
        register_vitals(r, vitals);
    }
    let mut text = String::new();
    encode_registry(&mut text, &COUNTED.registry)?;
    encode_registry(&mut text, &now)?;
    prometheus_client::encoding::text::encode_eof(&mut text)?;
    Ok(text)
}

fn register_heard(r: &mut Registry, heard: &[Heard]) {
    let (deaf, silent) = (Family::<WorkspaceLabel, Gauge>::default(), Family::<WorkspaceLabel, Seconds>::default());
    let closed = Family::<WorkspaceLabel, Gauge>::default();
    for one in heard {
        let label = WorkspaceLabel { workspace: one.workspace.clone() };
        deaf.get_or_create(&label).set(i64::from(one.deaf));
        silent.get_or_create(&label).set(one.silent.as_secs_f64());
        closed.get_or_create(&label).set(i64::try_from(one.closed_rooms).unwrap_or(i64::MAX));
    }
    r.register("chat_deaf", "Whether what is said in a workspace does not reach this process", deaf);
    r.register("chat_silent_seconds", "How long ago there was the last sign of a workspace", silent);
    r.register("chat_closed_rooms", "Declared rooms that are closed to the bot", closed);
}

fn register_vitals(r: &mut Registry, vitals: &Vitals) {
    let number = |value: i64| {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        gauge
    };
    let seconds = |value: Duration| {
        let gauge = Seconds::default();
        gauge.set(value.as_secs_f64());
        gauge
    };
    r.register("requests_waiting", "Requests for approval that wait", number(vitals.requests_waiting));
    let runs = Family::<State, Gauge>::default();
    for (state, value) in &vitals.runs_open {
        runs.get_or_create(&State { state }).set(*value);
    }
    r.register("runs_open", "Runs that are not over, by state", runs);
    let incidents = Family::<State, Gauge>::default();
    for (state, value) in &vitals.incidents {
        incidents.get_or_create(&State { state }).set(*value);
    }
    r.register("incidents_open", "Incidents that are not resolved, by state", incidents);
    let checks = Family::<HealthLabel, Gauge>::default();
    for (health, value) in &vitals.checks {
        checks.get_or_create(&HealthLabel { health }).set(*value);
    }
    r.register("checks", "Scheduled checks by what they are for certain", checks);
    r.register("automation_paused", "Whether a person has paused all automation", number(i64::from(vitals.paused)));
    r.register(
        "automation_held_now",
        "Triggers that a brake holds until a person lets them go on",
        number(vitals.held),
    );
    r.register("unsequenced_events", "Events that wait for a place in the chain", number(vitals.unsequenced));
    r.register("unsequenced_age_seconds", "Age of the oldest of them", seconds(vitals.unsequenced_age));
    let (lag, age) = (Family::<SinkLabel, Gauge>::default(), Family::<SinkLabel, Seconds>::default());
    for sink in &vitals.sinks {
        let label = SinkLabel { sink: sink.name.clone() };
        lag.get_or_create(&label).set(sink.lag);
        age.get_or_create(&label).set(sink.age.as_secs_f64());
    }
    r.register("sink_lag_positions", "How many positions a reader is behind the end of the chain", lag);
    r.register("sink_lag_seconds", "Age of the first event that a reader has not read", age);
    r.register("outbox_unsent", "Messages that wait to be sent", number(vitals.unsent));
    r.register("outbox_age_seconds", "Age of the oldest of them", seconds(vitals.unsent_age));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::RowMark;
    use crate::model::id::{CheckName, IncidentId, PersonId, RequestId, RunId, ServiceName, TriggerName};

    fn value(text: &str, name: &str) -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().expect("a number")
    }

    #[test]
    fn what_was_committed_is_counted_by_its_marks() {
        let before = render(None, &[], &[]).expect("text");
        let rows = vec![
            RowMark::run(RunId(7), "stuck", 3),
            RowMark::run(RunId(8), "running", 2),
            RowMark::attempt(RunId(7), 1, 1, "timed_out", 2),
            RowMark::request(RequestId(4), "expired", 2),
            // As a later version might write.
            RowMark::request(RequestId(4), "mei's \"own\"", 2),
        ];
        committed_record(&Record { what: Happened::ClockJumped { millis: 1 }, rows });
        let after = render(None, &[], &[]).expect("text");
        // Other tests of this process may count as well.
        for name in [
            "countersign_runs_total{state=\"stuck\"}",
            "countersign_attempts_total{outcome=\"timed_out\"}",
            "countersign_requests_total{outcome=\"expired\"}",
            "countersign_clock_jumps_total",
        ] {
            assert!(value(&after, name) > value(&before, name), "{name}");
        }
        assert!(!after.contains("mei") && !after.contains("\"running\""), "{after}");
    }

    #[test]
    fn brakes_modes_incidents_and_checks_are_counted() {
        let before = render(None, &[], &[]).expect("text");
        let (trigger, service) = (TriggerName::new("bring-back"), ServiceName::new("service-b"));
        let what = [
            Happened::TriggerHeld {
                trigger: trigger.clone(),
                service: service.clone(),
                by: Brake::AtMost,
                why: "3 runs within 1 h".to_owned(),
                until: None,
            },
            Happened::TriggerFired {
                trigger,
                mode: TriggerMode::Shadow,
                service,
                check: CheckName::new("running"),
                deed: "start Service B".to_owned(),
                run: None,
                why: None,
            },
            Happened::IncidentReopened { incident: IncidentId(3), by: PersonId::new("mei"), reason: None },
        ];
        for what in what {
            committed_record(&Record { what, rows: vec![RowMark::incident(IncidentId(3), "open", 4)] });
        }
        checked(Health::Unknown, Duration::from_millis(20));
        let after = render(None, &[], &[]).expect("text");
        for name in [
            "countersign_automation_held_total{brake=\"at_most\"}",
            "countersign_automation_runs_total{mode=\"shadow\"}",
            "countersign_incidents_total{event=\"reopened\"}",
            "countersign_check_results_total{health=\"unknown\"}",
            "countersign_check_late_seconds_count",
        ] {
            assert_eq!(value(&after, name) - value(&before, name), 1.0, "{name}");
        }
        assert_eq!(value(&after, "countersign_incidents_total{event=\"opened\"}"), 0.0);
        for brake in BRAKES {
            value(&after, &format!("countersign_automation_held_total{{brake=\"{}\"}}", brake.name()));
        }
    }

    #[test]
    fn what_never_happened_is_there_at_zero() {
        let text = render(None, &[], &[]).expect("text");
        for state in RUNS {
            value(&text, &format!("countersign_runs_total{{state=\"{state}\"}}"));
        }
        assert_eq!(value(&text, "countersign_database_up"), 0.0);
        assert!(!text.contains("countersign_requests_waiting"), "nothing is said from memory");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_the_database_said_is_shown() {
        let sinks = vec![SinkVitals { name: "room".to_owned(), lag: 4, ..SinkVitals::default() }];
        let vitals = Vitals {
            requests_waiting: 2,
            runs_open: vec![("stuck", 1)],
            sinks,
            unsent_age: Duration::from_millis(1500),
            ..Vitals::default()
        };
        let connections = [Connections { pool: "turns", used: 1, idle: 2, most: 12 }];
        let workspace = "slack:T1".to_owned();
        let heard = [Heard { workspace, deaf: true, silent: Duration::from_secs(42), closed_rooms: 1 }];
        let text = render(Some(&vitals), &connections, &heard).expect("text");
        assert_eq!(value(&text, "countersign_chat_deaf{workspace=\"slack:T1\"}"), 1.0);
        assert_eq!(value(&text, "countersign_chat_silent_seconds{workspace=\"slack:T1\"}"), 42.0);
        assert_eq!(value(&text, "countersign_chat_closed_rooms{workspace=\"slack:T1\"}"), 1.0);
        assert_eq!(value(&text, "countersign_requests_waiting"), 2.0);
        assert_eq!(value(&text, "countersign_runs_open{state=\"stuck\"}"), 1.0);
        assert_eq!(value(&text, "countersign_sink_lag_positions{sink=\"room\"}"), 4.0);
        assert_eq!(value(&text, "countersign_outbox_age_seconds"), 1.5);
        assert_eq!(value(&text, "countersign_database_connections{pool=\"turns\",state=\"idle\"}"), 2.0);
    }
}

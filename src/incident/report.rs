//! Gathers the whole record of one incident.
//!
//! Told from the ledger up to one head, from plans under their digests and outputs under their hashes: nothing of it may
//! change without an event. No clock is read, so the same incident at the same head is the same report.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{approvals, millis_between};
use crate::model::event::{Event, Happened};
use crate::model::id::{Digest, IncidentId, MessageId, Position, RunId};
use crate::model::plan::Sealed;
use crate::model::report::{
    Impact, IncidentReport, Keeper, REPORT_VERSION, ReportAttempt, ReportDecision, ReportRow, ReportRun, ReportTurn,
    Summary, Verification,
};
use crate::model::run::Outcome;
use crate::store::{AttemptKey, Result, Store};
use crate::text;
use crate::text::time::Times;
use crate::text::visible::visible;

/// Gathers the record of an incident up to the head of a verification. `None`: the ledger tells of no such incident up to
/// there.
///
/// # Errors
/// When the database cannot be asked, or a row contradicts the model.
pub async fn gather(
    store: &Store,
    id: IncidentId,
    verification: Verification,
    times: &Times,
) -> Result<Option<IncidentReport>> {
    let head = verification.position;
    let events = store.list_incident_events(id, Some(head)).await?;
    let Some(opening) = events.iter().find(|event| matches!(what(event), Some(Happened::IncidentOpened { .. }))) else {
        return Ok(None);
    };
    let Some(Happened::IncidentOpened { service, title, by, room, .. }) = what(opening) else { return Ok(None) };
    let last = store.find_chained(head).await?.map_or(opening.at, |event| event.at);
    let from = opening.position.unwrap_or(head);
    let mut rooms = vec![room.clone()];
    // By the ledger alone: where its channels were.
    rooms.extend(events.iter().filter_map(|event| match what(event) {
        Some(Happened::IncidentRoomMade { room, .. }) => Some(room.clone()),
        _ => None,
    }));
    let said = store.list_room_lines(&rooms, from, head).await?;
    let windows = windows(&events);
    let lines = transcript(&said, &windows);
    let mut rows: Vec<&Event> = events.iter().chain(lines).collect();
    rows.sort_by_key(|event| event.position);
    rows.dedup_by_key(|event| event.position);
    let mut state = "open";
    for event in &events {
        match what(event) {
            Some(Happened::IncidentMitigated { .. }) => state = "mitigated",
            Some(Happened::IncidentResolved { .. }) => state = "resolved",
            Some(Happened::IncidentReopened { .. } | Happened::IncidentRecurred { .. }) => state = "open",
            _ => {}
        }
    }
    Ok(Some(IncidentReport {
        version: REPORT_VERSION,
        incident: id,
        system: opening.scope.system.clone().unwrap_or_else(|| crate::model::id::SystemName::new("unknown")),
        environment: opening.scope.environment.clone().unwrap_or_else(|| "unknown".to_owned()),
        service: service.clone(),
        title: visible(title),
        room: room.to_string(),
        state: state.to_owned(),
        summary: summary(opening.at, by.clone(), &events, last),
        runs: runs(store, &events).await?,
        checks: events.iter().filter_map(turn).collect(),
        timeline: rows.into_iter().map(|event| row(event, times)).collect(),
        verification,
    }))
}

fn what(event: &Event) -> Option<&Happened> {
    event.record.as_ref().map(|record| &record.what)
}

/// The times in which the incident was not resolved: places of the chain, and the line that ended each.
fn windows(events: &[Event]) -> Vec<(Position, Option<Position>, Option<i64>)> {
    let mut windows: Vec<(Position, Option<Position>, Option<i64>)> = Vec::new();
    for event in events {
        let Some(position) = event.position else { continue };
        match what(event) {
            Some(Happened::IncidentOpened { .. } | Happened::IncidentReopened { .. }) => {
                windows.push((position, None, None));
            }
            Some(Happened::IncidentResolved { .. }) => {
                if let Some(window) = windows.last_mut() {
                    window.1 = Some(position);
                    window.2 = event.cause.map(|line| line.0);
                }
            }
            _ => {}
        }
    }
    windows
}

/// What was said while the incident was not resolved, with what became of those messages later.
fn transcript<'a>(said: &'a [Event], windows: &[(Position, Option<Position>, Option<i64>)]) -> Vec<&'a Event> {
    let within = |event: &Event| {
        windows.iter().any(|(from, to, last)| {
            let position = event.position.unwrap_or(Position(0));
            let ended_it = last.is_some() && event.cause.map(|line| line.0) == *last;
            position >= *from && (to.is_none_or(|to| position <= to) || ended_it)
        })
    };
    let kept: BTreeSet<MessageId> = said
        .iter()
        .filter(|event| within(event))
        .filter_map(|event| match what(event)? {
            Happened::LineSaid { key, .. } => key.strip_prefix("line:").map(MessageId::new),
            _ => None,
        })
        .collect();
    let later = |event: &Event| match what(event) {
        Some(Happened::LineEdited { message, .. }) => kept.contains(message),
        _ => false,
    };
    said.iter().filter(|event| within(event) || later(event)).collect()
}

fn summary(
    opened_at: DateTime<Utc>,
    opened_by: Option<crate::model::id::PersonId>,
    events: &[Event],
    last: DateTime<Utc>,
) -> Summary {
    let mut summary = Summary {
        opened_at,
        opened_by,
        resolved_at: None,
        resolved_by: None,
        resolved_why: None,
        lasted_millis: 0,
        impact: Vec::new(),
        impact_millis: 0,
        keepers: Vec::new(),
        asked: None,
        // Who is in which group is not the ledger's to say: people are counted by the event of the end.
        waited_millis: approvals(events, last, |_| BTreeSet::new()).waited_millis,
    };
    let end = |impact: &mut Vec<Impact>, at: DateTime<Utc>| {
        if let Some(open) = impact.last_mut().filter(|impact| impact.to.is_none()) {
            open.to = Some(at);
        }
    };
    for event in events {
        match what(event) {
            Some(Happened::IncidentOpened { since, .. } | Happened::IncidentRecurred { since, .. }) => {
                summary.impact.push(Impact { from: *since, to: None });
            }
            Some(Happened::IncidentReopened { .. }) => {
                summary.impact.push(Impact { from: event.at, to: None });
                (summary.resolved_at, summary.resolved_by, summary.resolved_why) = (None, None, None);
                summary.asked = None;
            }
            Some(Happened::IncidentMitigated { since, .. }) => end(&mut summary.impact, *since),
            Some(Happened::IncidentAcknowledged { by, .. }) => {
                summary.keepers.push(Keeper { by: by.clone(), at: event.at });
            }
            Some(Happened::IncidentResolved { by, reason, asked, .. }) => {
                end(&mut summary.impact, event.at);
                summary.resolved_at = Some(event.at);
                summary.resolved_by = Some(by.clone());
                summary.resolved_why = reason.as_deref().map(visible);
                summary.asked = Some(*asked);
            }
            _ => {}
        }
    }
    summary.lasted_millis = millis_between(opened_at, summary.resolved_at.unwrap_or(last));
    summary.impact_millis =
        summary.impact.iter().map(|impact| millis_between(impact.from, impact.to.unwrap_or(last))).sum();
    summary
}

/// The runs, with their plans and outputs. A plan or an output whose bytes are not the recorded ones is not shown.
async fn runs(store: &Store, events: &[Event]) -> Result<Vec<ReportRun>> {
    let outcomes: BTreeMap<RunId, String> =
        text::incident::tries(events).iter().map(|tried| (tried.run, text::incident::end(&tried.end))).collect();
    let mut runs: Vec<ReportRun> = Vec::new();
    for event in events {
        let Some(what) = what(event) else { continue };
        if let Happened::RunPlanned { run, deed, digest, requester, trigger, .. } = what {
            runs.push(ReportRun {
                run: *run,
                deed: visible(deed),
                asked_by: trigger.as_ref().map_or_else(|| requester.to_string(), |name| format!("trigger {name}")),
                asked_at: event.at,
                plan: *digest,
                steps: steps(store, *run, *digest).await?,
                decisions: Vec::new(),
                outcome: outcomes.get(run).cloned().unwrap_or_else(|| "only reads".to_owned()),
                attempts: Vec::new(),
            });
            continue;
        }
        let Some(run) = event.scope.run.and_then(|id| runs.iter_mut().find(|run| run.run == id)) else { continue };
        match what {
            Happened::Decided { code, person, answer, reason, .. } => run.decisions.push(ReportDecision {
                position: event.position,
                at: event.at,
                code: code.to_string(),
                person: person.clone(),
                answer: answer.name().to_owned(),
                reason: reason.as_deref().map(visible),
            }),
            Happened::GlassBroken { code, person, reason, .. } => run.decisions.push(ReportDecision {
                position: event.position,
                at: event.at,
                code: code.to_string(),
                person: person.clone(),
                answer: "break glass, without agreement,".to_owned(),
                reason: Some(visible(reason)),
            }),
            Happened::Reviewed { code, by, verdict, words, .. } => run.decisions.push(ReportDecision {
                position: event.position,
                at: event.at,
                code: code.to_string(),
                person: by.clone(),
                answer: format!("review ({})", verdict.words()),
                reason: Some(visible(words)),
            }),
            Happened::AttemptStarted { step, number, .. } => run.attempts.push(ReportAttempt {
                step: *step,
                number: *number,
                started_at: event.at,
                outcome: "under way".to_owned(),
                millis: None,
                exit_code: None,
                summary: String::new(),
                output: Vec::new(),
                output_sha256: None,
            }),
            Happened::AttemptEnded { step, number, outcome, exit_code, millis, summary, output_sha256, .. } => {
                let key = AttemptKey { run: run.run, step: *step, number: *number };
                let output = match output_sha256 {
                    Some(recorded) => output(store, key, *recorded).await?,
                    None => Vec::new(),
                };
                if let Some(attempt) = find(run, *step, *number) {
                    attempt.outcome = match outcome {
                        Outcome::Succeeded => "succeeded",
                        Outcome::Failed => "failed",
                        Outcome::TimedOut => "timed out",
                    }
                    .to_owned();
                    (attempt.millis, attempt.exit_code) = (Some(*millis), *exit_code);
                    attempt.summary = visible(summary);
                    (attempt.output, attempt.output_sha256) = (output, *output_sha256);
                }
            }
            Happened::AttemptLost { step, number, why, .. } => {
                if let Some(attempt) = find(run, *step, *number) {
                    attempt.outcome = "unknown".to_owned();
                    attempt.summary = visible(why);
                }
            }
            Happened::AttemptJudged { step, number, by, why, .. } => {
                if let Some(attempt) = find(run, *step, *number) {
                    attempt.outcome = format!("judged by {by}");
                    attempt.summary = visible(why);
                }
            }
            Happened::AttemptSkipped { step, number, by, why, .. } => {
                if let Some(attempt) = find(run, *step, *number) {
                    attempt.outcome = format!("left out, as {by} wanted");
                    attempt.summary = visible(why);
                }
            }
            Happened::RunFailed { step, why, .. } if run.decisions.is_empty() => {
                run.outcome = format!("failed at step {step}: {}", visible(why));
            }
            Happened::RunSucceeded { millis, .. } if run.decisions.is_empty() => {
                run.outcome = format!("done in {}", text::time::lasted(*millis));
            }
            _ => {}
        }
    }
    Ok(runs)
}

fn find(run: &mut ReportRun, step: u32, number: u32) -> Option<&mut ReportAttempt> {
    run.attempts.iter_mut().find(|attempt| (attempt.step, attempt.number) == (step, number))
}

async fn steps(store: &Store, run: RunId, digest: Digest) -> Result<Vec<String>> {
    let Some(row) = store.find_run(run).await? else { return Ok(vec!["The run's row is gone.".to_owned()]) };
    let sealed = Sealed::from_stored(row.plan);
    if sealed.digest() != digest {
        return Ok(vec!["The stored plan is not the one that was recorded: its words cannot be believed.".to_owned()]);
    }
    Ok(match sealed.open() {
        Ok(plan) => text::plan::steps(&plan),
        Err(_) => vec!["The plan is of another version of this program.".to_owned()],
    })
}

async fn output(store: &Store, key: AttemptKey, recorded: Digest) -> Result<Vec<String>> {
    use sha2::Digest as _;
    let Some(bytes) = store.find_output(key).await? else { return Ok(vec!["(The output is gone.)".to_owned()]) };
    if sha2::Sha256::digest(&bytes)[..] != recorded.0 {
        return Ok(vec!["(The kept output is not the one that was recorded.)".to_owned()]);
    }
    Ok(String::from_utf8_lossy(&bytes).lines().map(visible).collect())
}

fn turn(event: &Event) -> Option<ReportTurn> {
    let Happened::CheckTurned { check, was, now, since, detail, .. } = what(event)? else { return None };
    Some(ReportTurn {
        position: event.position,
        at: event.at,
        check: check.clone(),
        was: *was,
        now: *now,
        since: *since,
        detail: visible(detail),
    })
}

fn row(event: &Event, times: &Times) -> ReportRow {
    // Its own time for now: then nothing depends on when the report is made.
    let entry = text::timeline::entry(event, times, event.at);
    let (words, answer) = match what(event) {
        // The transcript is whole, where the timeline elsewhere shows the beginning.
        Some(Happened::LineSaid { text, answer, .. }) => {
            (format!("said: {}", visible(text)), answer.iter().flat_map(|said| said.lines()).map(visible).collect())
        }
        Some(Happened::LineEdited { message, text: Some(text), .. }) => {
            (format!("changed message {} to: {}", visible(message.as_str()), visible(text)), Vec::new())
        }
        _ => (entry.words, Vec::new()),
    };
    ReportRow {
        position: event.position,
        at: event.at,
        time: text::report::time(times, event.at),
        kind: event.kind.clone(),
        run: event.scope.run,
        actor: entry.actor,
        words,
        answer,
    }
}

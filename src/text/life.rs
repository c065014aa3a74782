//! How it stands, in one line: what is put in front of a request once it was decided, and of a run's first message as it
//! goes on. Whoever scrolls sees it without opening a thread.
//!
//! Told from the ledger's events alone, so that telling it twice says the same.

use chrono::{DateTime, Utc};

use super::answered::Answered;
use super::echo::step_name;
use super::time::{Times, lasted};
use super::visible::visible;
use crate::model::event::{Event, Happened};
use crate::model::id::{PersonId, RequestId};
use crate::model::plan::Plan;
use crate::model::run::Verdict;

/// How a request ended, if this event ended it: `Approved by boss at 22:31 SGT.` `events` are those of its run so far.
pub fn request(
    what: &Happened,
    events: &[Event],
    at: DateTime<Utc>,
    times: &Times,
    now: DateTime<Utc>,
) -> Option<String> {
    match what {
        Happened::RequestGranted { automatic: Some(trigger), .. } => Some(format!("Started by trigger {trigger}.")),
        Happened::RequestGranted { under: Some(under), .. } => {
            Some(super::repeat::life(&under.code, under.number, under.of))
        }
        Happened::RequestGranted { unasked: Some(started), .. } => {
            Some(format!("Started by {} without asking: its policy lets them.", started.person))
        }
        Happened::RequestGranted { broken: Some(by), .. } => {
            Some(format!("Glass broken by {by} at {}: started without agreement.", times.at(at, now)))
        }
        Happened::RequestGranted { request, by, automatic: None, .. } => {
            let by = Answered::of(events, *request).by(by);
            Some(format!("Approved by {by} at {}.", times.at(at, now)))
        }
        Happened::RequestDenied { by, why: Some(why), .. } => {
            Some(format!("Denied by {by}: {}.", visible(why).trim_end_matches('.')))
        }
        Happened::RequestDenied { by, why: None, .. } => Some(format!("Denied by {by}.")),
        Happened::RequestExpired { .. } => Some(format!("Expired {}, nobody decided.", times.at(at, now))),
        Happened::RequestWithdrawn { by, .. } => Some(format!("Withdrawn by {by}.")),
        Happened::RequestSentBack { by, .. } => Some(format!("Sent back by {by}.")),
        Happened::RequestSuperseded { newer_code, .. } => Some(format!("{newer_code} has taken its place.")),
        _ => None,
    }
}

/// The request that an event ended.
pub fn ended(what: &Happened) -> Option<RequestId> {
    match what {
        Happened::RequestGranted { request, .. }
        | Happened::RequestDenied { request, .. }
        | Happened::RequestExpired { request, .. }
        | Happened::RequestWithdrawn { request, .. }
        | Happened::RequestSentBack { request, .. }
        | Happened::RequestSuperseded { request, .. } => Some(*request),
        _ => None,
    }
}

/// Where a run stands, from its events so far; `None` while its request waits. A plan that cannot be believed any more is
/// left out: then steps have no names.
pub fn run(plan: Option<&Plan>, events: &[Event], times: &Times, now: DateTime<Utc>) -> Option<String> {
    let mut line = None;
    let mut approved = None::<String>;
    let mut broken = None::<PersonId>;
    // Requests for another attempt of a step: if they come to nothing, the run stands as it stood.
    let mut retries = Vec::<(RequestId, u32, bool)>::new();
    let name = |step: u32| plan.map(|plan| step_name(plan, step)).unwrap_or_default();
    for event in events {
        let Some(record) = &event.record else { continue };
        let what = &record.what;
        match what {
            Happened::RequestAsked { request, retry_step: Some(step), wish, .. } => {
                retries.push((*request, *step, wish.is_none()));
            }
            Happened::RequestGranted { request: id, by, broken: breaker, .. } => {
                approved = (!by.is_empty()).then(|| Answered::of(events, *id).by(by));
                broken.clone_from(breaker);
                let retried = retries.iter().find(|(retry, _, _)| retry == id);
                line = match (retried, request(what, events, event.at, times, now)) {
                    (Some((_, step, true)), Some(granted)) => {
                        Some(format!("{granted} Step {step}{} is tried again.", name(*step)))
                    }
                    (_, granted) => granted,
                };
            }
            Happened::RequestDenied { request: id, .. }
            | Happened::RequestExpired { request: id, .. }
            | Happened::RequestWithdrawn { request: id, .. }
            | Happened::RequestSentBack { request: id, .. }
            | Happened::RequestSuperseded { request: id, .. }
                if retries.iter().all(|(retry, _, _)| retry != id) =>
            {
                line = request(what, events, event.at, times, now);
            }
            Happened::AttemptJudged { step, by, verdict: Verdict::Worked, .. } => {
                line = Some(format!("{by} judged that step {step}{} worked. It goes on.", name(*step)));
            }
            Happened::AttemptSkipped { step, by, .. } => {
                line = Some(format!("Step {step}{} is left out, as {by} wanted. It goes on.", name(*step)));
            }
            Happened::RunSucceeded { millis, .. } => {
                if let Some(by) = &broken {
                    line = Some(format!("Done in {}, started by {by} without agreement.", lasted(*millis)));
                    continue;
                }
                let by = approved.as_ref().map(|by| format!(", approved by {by}")).unwrap_or_default();
                line = Some(format!("Done in {}{by}.", lasted(*millis)));
            }
            Happened::RunFailed { step, .. } => line = Some(format!("Failed at step {step}{}.", name(*step))),
            Happened::RunStuck { step, .. } => {
                line = Some(format!("Stuck at step {step}{}: somebody has to look.", name(*step)));
            }
            Happened::LaterRefused { why, .. } => line = Some(format!("Not started: {}.", visible(why))),
            Happened::RunStopping { by, .. } => line = Some(format!("Being stopped by {by}.")),
            Happened::RunStopped { by, revoked: Some(_), .. } => {
                line = Some(format!("Approval revoked by {by}. Nothing was done."));
            }
            Happened::RunStopped { by, .. } => line = Some(format!("Stopped by {by}.")),
            _ => {}
        }
    }
    line
}

/// A text with its state in front of it, if that fits; `None` if it does not.
pub fn with_state(line: &str, text: &str, most: usize) -> Option<String> {
    let whole = format!("{line}\n{text}");
    (whole.chars().count() <= most).then_some(whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::event::{Record, Scope};
    use crate::model::id::EventId;

    fn times() -> Times {
        Times::in_zone(chrono_tz::Tz::Asia__Singapore)
    }

    fn at() -> DateTime<Utc> {
        "2026-11-21T14:31:09Z".parse().expect("a time")
    }

    fn event(what: Value) -> Event {
        let what: Happened = serde_json::from_value(what).expect("an event");
        Event {
            position: None,
            hash: None,
            id: EventId(1),
            kind: what.kind().to_owned(),
            at: at(),
            scope: Scope::default(),
            cause: None,
            record: Some(Record { what, rows: Vec::new() }),
        }
    }

    fn asked(request: i64, retry_step: Option<u32>) -> Value {
        json!({"kind": "request_asked", "request": request, "code": "7K3F", "run": 12, "retry_step": retry_step,
            "digest": "00".repeat(32), "requesters": ["mei"], "stages": [], "expires_at": at()})
    }

    fn granted(request: i64, by: &[&str]) -> Value {
        json!({"kind": "request_granted", "request": request, "code": "7K3F", "run": 12, "grant": 3,
            "digest": "00".repeat(32), "by": by, "valid_until": at()})
    }

    fn ended(kind: &str, request: i64) -> Value {
        let mut what = json!({"kind": kind, "request": request, "code": "7K3F", "run": 12});
        if kind != "request_expired" {
            what["by"] = json!("boss");
        }
        if kind == "request_denied" {
            what["why"] = json!("not tonight.");
        }
        what
    }

    fn stuck() -> Value {
        json!({"kind": "run_stuck", "run": 12, "step": 2, "why": "the bot was killed"})
    }

    /// The line after each of some events.
    fn lines(events: &[Value]) -> Vec<String> {
        let events: Vec<Event> = events.iter().cloned().map(event).collect();
        (1..=events.len()).map(|end| run(None, &events[..end], &times(), at()).unwrap_or_default()).collect()
    }

    #[test]
    fn a_request_that_waits_says_nothing_and_one_that_ended_how() {
        assert_eq!(lines(&[asked(1, None)]), [""]);
        for (what, line) in [
            (granted(1, &["boss"]), "Approved by boss at 22:31 +08."),
            (granted(1, &["boss", "lin"]), "Approved by boss and lin at 22:31 +08."),
            (ended("request_denied", 1), "Denied by boss: not tonight."),
            (ended("request_expired", 1), "Expired 22:31 +08, nobody decided."),
            (ended("request_withdrawn", 1), "Withdrawn by boss."),
        ] {
            assert_eq!(lines(&[asked(1, None), what.clone()]), ["", line]);
            let what = event(what).record.expect("a record").what;
            assert_eq!(request(&what, &[], at(), &times(), at()).as_deref(), Some(line));
            assert_eq!(super::ended(&what), Some(RequestId(1)));
        }
    }

    #[test]
    fn a_run_says_where_it_stands() {
        let begun = [asked(1, None), granted(1, &["boss"])];
        let after = |what: Value| {
            let events: Vec<Value> = begun.iter().cloned().chain([what]).collect();
            lines(&events).pop().expect("a line")
        };
        let run = 12;
        let samples = [
            after(json!({"kind": "run_succeeded", "run": run, "millis": 8_000})),
            after(json!({"kind": "run_failed", "run": run, "step": 2, "why": "exit 1"})),
            after(stuck()),
            after(json!({"kind": "run_stopping", "run": run, "by": "mei"})),
            after(
                json!({"kind": "run_stopped", "run": run, "by": "mei", "done": [], "unknown": [], "not_started": []}),
            ),
            after(
                json!({"kind": "attempt_started", "run": run, "step": 1, "number": 1, "digest": "00".repeat(32), "grant": 3}),
            ),
        ];
        insta::assert_snapshot!(samples.join("\n"), @"
        Done in 8 s, approved by boss.
        Failed at step 2.
        Stuck at step 2: somebody has to look.
        Being stopped by mei.
        Stopped by mei.
        Approved by boss at 22:31 +08.
        ");
    }

    #[test]
    fn a_retry_that_comes_to_nothing_leaves_a_run_as_stuck_as_it_was() {
        let story = [
            asked(1, None),
            granted(1, &["boss"]),
            stuck(),
            asked(2, Some(2)),
            ended("request_denied", 2),
            asked(3, Some(2)),
            ended("request_expired", 3),
            asked(4, Some(2)),
            granted(4, &["lin"]),
            json!({"kind": "run_succeeded", "run": 12, "millis": 90_000}),
        ];
        insta::assert_snapshot!(lines(&story).join("\n"), @"

        Approved by boss at 22:31 +08.
        Stuck at step 2: somebody has to look.
        Stuck at step 2: somebody has to look.
        Stuck at step 2: somebody has to look.
        Stuck at step 2: somebody has to look.
        Stuck at step 2: somebody has to look.
        Stuck at step 2: somebody has to look.
        Approved by lin at 22:31 +08. Step 2 is tried again.
        Done in 1 min 30 s, approved by lin.
        ");
    }

    #[test]
    fn what_somebody_judged_is_said_with_their_name() {
        let judged = json!({"kind": "attempt_judged", "run": 12, "step": 2, "number": 1, "by": "lin", "verdict": "worked",
            "why": "it is up"});
        assert_eq!(lines(&[stuck(), judged]).pop().as_deref(), Some("lin judged that step 2 worked. It goes on."));
    }

    proptest! {
        #[test]
        fn a_reason_stays_one_line(why in any::<String>()) {
            let mut what = ended("request_denied", 1);
            what["why"] = json!(why);
            let line = lines(&[what]).pop().expect("a line");
            prop_assert!(!line.contains(['\n', '\r', '\u{2028}', '\u{202e}']), "{line:?}");
        }

        #[test]
        fn nothing_of_a_text_is_cut(text in "[a-z\n]{0,60}", most in 0_usize..80) {
            let whole = with_state("Done.", &text, most);
            prop_assert_eq!(whole.is_some(), text.chars().count() + 6 <= most);
            let right = format!("Done.\n{text}");
            prop_assert!(whole.is_none_or(|whole| whole == right));
        }
    }
}

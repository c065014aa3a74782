//! What whoever watches over the bot may ask without a token: does it live, could it do its work, how is it.
//!
//! These three stand outside the guard: a probe has no token and calls the bot by whatever name it reached it. So they say
//! numbers and names of the bot's own parts, and the workspaces of the settings, and nothing else: no person, room, system,
//! address or cause of an error. And asking often costs no more than asking once a second ([`Latest`]).
//!
//! A workspace that is not heard is named by both probes. Only `/readyz` fails of it, and only when it lasts: starting the
//! bot again makes no platform speak. A room that is closed to the bot is said and fails nothing: the others work.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Refusal, Shared};
use crate::chat::hearing::Hearing;
use crate::metrics::beats::{self, Loop};
use crate::metrics::{self, Heard, Vitals};
use crate::store::Store;

/// How long the database has.
const ANSWERS_WITHIN: Duration = Duration::from_secs(2);
/// For how long what it said is good enough for the next who asks.
const FRESH: Duration = Duration::from_secs(1);
/// How long something may wait for the sequencer, a sink or the sender before it is far behind: far more than a burst
/// takes, and than a successor needs to take over.
const BEHIND_AFTER: Duration = Duration::from_secs(30);
/// For how long a platform may be deaf to us before the bot is not ready: longer than opening a socket anew takes.
const DEAF_AFTER: Duration = Duration::from_secs(30);

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).route("/metrics", get(show_metrics))
}

/// What the database last said, for all who ask at once.
#[derive(Default)]
pub(super) struct Latest(Mutex<Option<(Instant, Option<Arc<Vitals>>)>>);

impl Latest {
    /// What the database says, not older than [`FRESH`]. `None`: it did not answer within [`ANSWERS_WITHIN`], or not well.
    async fn vitals(&self, store: &Store) -> Option<Arc<Vitals>> {
        // One asks, the others wait for the same answer.
        let mut latest = self.0.lock().await;
        if let Some((at, vitals)) = &*latest
            && at.elapsed() < FRESH
        {
            return vitals.clone();
        }
        let vitals = match tokio::time::timeout(ANSWERS_WITHIN, store.vitals()).await {
            Ok(Ok(vitals)) => Some(Arc::new(vitals)),
            Ok(Err(error)) => {
                // The loops say it louder, once each.
                tracing::debug!(error = %error, "the database could not be asked how it is");
                None
            }
            Err(_) => None,
        };
        *latest = Some((Instant::now(), vitals.clone()));
        vitals
    }
}

/// The process answers, and its loops go round.
async fn healthz(State(web): State<Shared>) -> Response {
    let deaf = deaf(&silences(&web.state.hearings), Duration::ZERO);
    told(&silent(&beats::silences(), web.state.silent_at_most), "ok", &deaf)
}

/// It could do its work: the process is well, and so is what it needs.
async fn readyz(State(web): State<Shared>) -> Response {
    let mut problems = silent(&beats::silences(), web.state.silent_at_most);
    match web.latest.vitals(&web.state.store).await {
        Some(vitals) => problems.extend(unready(&vitals)),
        None => {
            let sentence = format!("The database does not answer as it should within {} s.", ANSWERS_WITHIN.as_secs());
            problems.push(sentence);
        }
    }
    problems.extend(deaf(&silences(&web.state.hearings), DEAF_AFTER));
    told(&problems, "ready", &closed(&web.state.hearings))
}

async fn show_metrics(State(web): State<Shared>) -> Result<Response, Refusal> {
    let vitals = web.latest.vitals(&web.state.store).await;
    let heard: Vec<Heard> = web.state.hearings.iter().map(heard).collect();
    let text = metrics::render(vitals.as_deref(), &web.state.store.connections(), &heard)
        .map_err(|error| Refusal::failed(&error))?;
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE), (header::CACHE_CONTROL, "no-store")], text).into_response())
}

/// The problems, or that all is well; then what is worth knowing and no problem of this bot's.
fn told(problems: &[String], well: &str, notes: &[String]) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let well = problems.is_empty().then_some(well);
    let lines = well.into_iter().chain(problems.iter().chain(notes).map(String::as_str));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    (status, headers, text).into_response()
}

/// A workspace of a platform in words: `Slack (T0ACME)`.
fn called(hearing: &Hearing) -> String {
    let (platform, workspace) = hearing.workspace().split_once(':').unwrap_or(("chat", hearing.workspace()));
    let mut letters = platform.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{} ({workspace})", letters.as_str())
}

/// The workspaces that are not heard, and for how long.
fn silences(hearings: &[Arc<Hearing>]) -> Vec<(String, Duration)> {
    hearings.iter().filter_map(|hearing| Some((called(hearing), hearing.silent_for()?))).collect()
}

/// One sentence for each workspace that has not been heard for so long.
fn deaf(silences: &[(String, Duration)], at_least: Duration) -> Vec<String> {
    let silent = silences.iter().filter(|(_, silence)| *silence >= at_least);
    silent.map(|(workspace, silence)| format!("{workspace} has not been heard for {} s.", silence.as_secs())).collect()
}

/// One sentence for each workspace of which declared rooms are closed to the bot.
fn closed(hearings: &[Arc<Hearing>]) -> Vec<String> {
    let said = hearings.iter().filter_map(|hearing| match hearing.closed_rooms() {
        0 => None,
        1 => Some(format!("One declared room of {} is closed to the bot; the log says which.", called(hearing))),
        rooms => {
            Some(format!("{rooms} declared rooms of {} are closed to the bot; the log says which.", called(hearing)))
        }
    });
    said.collect()
}

fn heard(hearing: &Arc<Hearing>) -> Heard {
    let deaf = hearing.deaf_for();
    Heard {
        workspace: hearing.workspace().to_owned(),
        deaf: deaf.is_some(),
        silent: hearing.last_heard().or(deaf).unwrap_or_default(),
        closed_rooms: hearing.closed_rooms(),
    }
}

/// One sentence for each loop that hangs.
fn silent(silences: &[(Loop, Duration)], at_most: Duration) -> Vec<String> {
    let hangs = silences.iter().filter(|(_, silence)| *silence > at_most);
    hangs.map(|(of, silence)| format!("No sign of life from {} for {} s.", of.title(), silence.as_secs())).collect()
}

/// One sentence for each thing that keeps the bot from its work.
fn unready(vitals: &Vitals) -> Vec<String> {
    let mut problems = Vec::new();
    if !vitals.schema_is_current {
        problems.push(
            "The database's schema is older than this program; starting it again brings it up to date.".to_owned(),
        );
    }
    if !vitals.sequencer_held {
        problems.push("No worker is the sequencer.".to_owned());
    }
    if vitals.unsequenced_age > BEHIND_AFTER {
        let (number, age) = (vitals.unsequenced, vitals.unsequenced_age.as_secs());
        problems.push(format!("{number} events wait for the sequencer, the oldest for {age} s."));
    }
    if vitals.sinks.is_empty() {
        problems.push("No sink reads the ledger.".to_owned());
    }
    for sink in &vitals.sinks {
        let (name, lag) = (&sink.name, sink.lag);
        if !sink.held {
            problems.push(format!("No worker is the sink `{name}`."));
        }
        if sink.age > BEHIND_AFTER {
            problems
                .push(format!("The sink `{name}` is {lag} positions behind, the oldest {} s old.", sink.age.as_secs()));
        }
    }
    if vitals.unsent_overdue > BEHIND_AFTER {
        let (number, age) = (vitals.unsent, vitals.unsent_overdue.as_secs());
        problems
            .push(format!("{number} messages wait to be sent, and one that is due has not been tried for {age} s."));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::SinkVitals;

    const LONG: Duration = Duration::from_secs(31);

    fn well() -> Vitals {
        let room = SinkVitals { name: "room".to_owned(), held: true, ..SinkVitals::default() };
        Vitals { schema_is_current: true, sequencer_held: true, sinks: vec![room], ..Vitals::default() }
    }

    #[test]
    fn only_a_loop_that_hangs_is_named() {
        let silences = [(Loop::Engine, LONG), (Loop::Sender, Duration::from_secs(3))];
        assert_eq!(silent(&silences, Duration::from_secs(30)), ["No sign of life from the engine for 31 s."]);
        assert!(silent(&silences, LONG).is_empty());
    }

    #[test]
    fn a_workspace_that_is_not_heard_is_named_and_at_last_keeps_it_from_being_ready() {
        let hearings = ["slack:T0ACME", "slack:T0OTHER"].map(|workspace| Arc::new(Hearing::new(workspace)));
        hearings[1].heard();
        let [(workspace, _)] = &silences(&hearings)[..] else { panic!("one of them is deaf") };
        let silent = |seconds| [(workspace.clone(), Duration::from_secs(seconds))];
        assert_eq!(deaf(&silent(29), Duration::ZERO), ["Slack (T0ACME) has not been heard for 29 s."]);
        assert!(deaf(&silent(29), DEAF_AFTER).is_empty());
        assert_eq!(deaf(&silent(30), DEAF_AFTER), ["Slack (T0ACME) has not been heard for 30 s."]);
        assert!(heard(&hearings[0]).deaf && !heard(&hearings[1]).deaf);
        hearings[0].heard();
        assert!(silences(&hearings).is_empty());
    }

    #[test]
    fn rooms_that_are_closed_are_counted_and_not_named() {
        let hearing = Arc::new(Hearing::new("slack:T0ACME"));
        assert!(closed(std::slice::from_ref(&hearing)).is_empty());
        hearing.close_room("C1");
        assert_eq!(
            closed(std::slice::from_ref(&hearing)),
            ["One declared room of Slack (T0ACME) is closed to the bot; the log says which."]
        );
        hearing.close_room("C2");
        assert_eq!(
            closed(&[hearing]),
            ["2 declared rooms of Slack (T0ACME) are closed to the bot; the log says which."]
        );
    }

    #[test]
    fn a_bot_that_waits_for_nothing_is_ready() {
        assert!(unready(&well()).is_empty());
        // Much that is fresh is a burst, and a message that waits for its next try is the platform's matter.
        let busy = Vitals { unsequenced: 900, unsent: 900, unsent_age: LONG, ..well() };
        assert!(unready(&busy).is_empty());
    }

    #[test]
    fn each_problem_is_one_line() {
        let sink = SinkVitals { name: "room".to_owned(), lag: 7, age: LONG, held: false };
        let wrong = Vitals {
            schema_is_current: false,
            sequencer_held: false,
            unsequenced: 5,
            unsequenced_age: LONG,
            sinks: vec![sink],
            unsent: 3,
            unsent_overdue: LONG,
            ..well()
        };
        insta::assert_snapshot!(unready(&wrong).join("\n"), @r"
        The database's schema is older than this program; starting it again brings it up to date.
        No worker is the sequencer.
        5 events wait for the sequencer, the oldest for 31 s.
        No worker is the sink `room`.
        The sink `room` is 7 positions behind, the oldest 31 s old.
        3 messages wait to be sent, and one that is due has not been tried for 31 s.
        ");
        assert_eq!(unready(&Vitals { sinks: Vec::new(), ..well() }), ["No sink reads the ledger."]);
    }
}

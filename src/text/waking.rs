//! What is said while nobody decides: reminders, who is asked next, who looks, rings that did not get through.

use chrono::{DateTime, Utc};

use super::plan::{and, asked_deed, environment};
use super::time::Times;
use super::visible::visible;
use crate::model::code::Code;
use crate::model::id::{PersonId, RunId};
use crate::model::plan::Plan;
use crate::model::request::Wanted;

/// Whoever could answer is reminded: what, since when, how to answer, until when.
#[expect(clippy::too_many_arguments, reason = "the parts of one sentence")]
pub fn reminded(
    plan: &Plan,
    run: RunId,
    wanted: &Wanted,
    code: &Code,
    people: &[PersonId],
    requester: &PersonId,
    since: &str,
    until: &str,
) -> String {
    format!(
        "{} · {}: {requester} waits for you since {since}: {}. `approve {code}` or `deny {code} because …`, until {until}. If \
         you need a moment, `looking {code}` keeps others from being woken.",
        environment(plan),
        and(people),
        asked_deed(plan, run, wanted),
    )
}

/// To `looking`.
pub fn looks(person: &PersonId, code: &Code, until: &str, expires: &str) -> String {
    format!("{person} looks at {code}. Nobody else is woken before {until}. It still ends at {expires}.")
}

/// To `looking` by somebody who looks already.
pub fn looks_already(person: &PersonId, until: &str) -> String {
    format!("{person}, you look already: nobody else is woken before {until}.")
}

/// A ring did not get through.
pub fn ring_failed(code: &Code, people: &[PersonId], tries: u32, why: &str) -> String {
    let tries = if tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") };
    format!("{code}: I could not ring {} in {tries}: {}. Somebody who sees this, call them.", and(people), visible(why))
}

/// How the waking of a request stands, for the line at its foot.
#[derive(Debug, Clone, Copy)]
pub struct Foot<'a> {
    /// Who could answer.
    pub asked: &'a [PersonId],
    /// Who looks, and until when nobody else is woken.
    pub looking: Option<&'a (PersonId, DateTime<Utc>)>,
    /// Who is asked next, and when.
    pub next: Option<&'a (Vec<PersonId>, DateTime<Utc>)>,
}

/// `asked of boss · next lin at 22:26 SGT`, with who looks.
pub fn foot(foot: &Foot<'_>, times: &Times, now: DateTime<Utc>) -> String {
    let mut parts = vec![format!("asked of {}", and(foot.asked))];
    if let Some((by, until)) = foot.looking {
        parts.push(format!("{by} looks until {}", times.short(*until, now)));
    }
    if let Some((people, at)) = foot.next {
        parts.push(format!("next {} at {}", and(people), times.at(*at, now)));
    }
    parts.join(" · ")
}

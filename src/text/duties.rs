//! Handing duties on: delegations, and handovers of what one has asked for.

use super::answer::capital;
use super::plan::{and, or};
use super::visible::visible;
use crate::model::code::Code;
use crate::model::id::{HandoverId, PersonId, RunId, ServiceName, TriggerName};
use crate::model::run::RunState;

/// To `delegate`, with what it comes to for what waits.
pub fn delegated(giver: &PersonId, receiver: &PersonId, until: &str, asked: &[Code], refused: &[Code]) -> String {
    let mut said =
        format!("{receiver} may answer for {giver} until {until}. `end delegation to {receiver}` takes it back.");
    if !asked.is_empty() {
        said += &format!(" Asked as well for {}.", codes(asked));
    }
    if !refused.is_empty() {
        said += &format!(" Not for {}: its policy lets nobody answer for another.", codes(refused));
    }
    said
}

fn codes(codes: &[Code]) -> String {
    let codes: Vec<PersonId> = codes.iter().map(|code| PersonId::new(code.to_string())).collect();
    and(&codes)
}

/// To `delegate` to oneself.
pub fn to_oneself(person: &PersonId) -> String {
    format!("{person}, you may answer for yourself already. Say who else: `delegate to lin until friday`.")
}

/// To `delegate` to somebody who lets oneself answer.
pub fn circle(giver: &PersonId, receiver: &PersonId, until: &str) -> String {
    format!(
        "{giver}, {receiver} lets you answer until {until}: you cannot answer for each other. Somebody else, or \
         `end delegation to {giver}` by {receiver} first."
    )
}

/// To an end that is past.
pub fn past(until: &str) -> String {
    format!("{until} is past, so nothing was done. Say it as `until friday`, `until 18:00` or `for 2 days`.")
}

/// To an end that is too far away.
pub fn too_long(until: &str, days: i64) -> String {
    format!(
        "{until} is more than {days} days away, so nothing was done. Say an earlier end, and again when it is over."
    )
}

/// To `delegations`: who lets whom answer until when.
pub fn delegations(all: &[(PersonId, PersonId, String)]) -> String {
    if all.is_empty() {
        return "Nobody lets anybody else answer. `delegate to lin until friday` does.".to_owned();
    }
    let line = |(giver, receiver, until): &(PersonId, PersonId, String)| {
        format!("{receiver} may answer for {giver} until {until}.")
    };
    all.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// To `end delegation`.
pub fn delegation_ended(giver: &PersonId, receivers: &[PersonId]) -> String {
    format!("{} may no longer answer for {giver}. What was answered stays.", and(receivers))
}

/// To `end delegation` of none.
pub fn no_delegation(giver: &PersonId, receiver: Option<&PersonId>) -> String {
    match receiver {
        Some(receiver) => format!("{giver}, you do not let {receiver} answer. `delegations` lists all."),
        None => format!("{giver}, you let nobody else answer. `delegations` lists all."),
    }
}

/// To `end delegation` where several hold.
pub fn which_delegation(receivers: &[PersonId]) -> String {
    let forms: Vec<String> = receivers.iter().map(|receiver| format!("`end delegation to {receiver}`")).collect();
    format!("Which? {}.", forms.join(" or "))
}

/// One thing that is handed over, in a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// A request that waits.
    Request {
        /// Its code.
        code: Code,
        /// What it asks for, with its environment.
        deed: String,
        /// Who could answer.
        asked: Vec<PersonId>,
        /// Until when.
        until: String,
    },
    /// A run that is not over and has no request that waits.
    Run {
        /// Its number.
        run: RunId,
        /// What it does, with its environment.
        deed: String,
        /// Where it stands.
        state: RunState,
    },
    /// The pause.
    Pause {
        /// Since when.
        since: String,
        /// Why, if they said.
        why: Option<String>,
    },
    /// Something of another room.
    Elsewhere {
        /// Its code, or its run.
        what: String,
    },
    /// A trigger of theirs that has stopped itself.
    Held {
        /// The trigger.
        trigger: TriggerName,
        /// For which service.
        service: ServiceName,
    },
}

impl Thing {
    /// It, where it is not to be read: that it is there, and what it is called.
    pub fn elsewhere(&self) -> Self {
        let what = match self {
            Self::Request { code, .. } => code.to_string(),
            Self::Run { run, .. } => format!("run {run}"),
            Self::Pause { .. } | Self::Held { .. } | Self::Elsewhere { .. } => return self.clone(),
        };
        Self::Elsewhere { what }
    }
}

fn thing(thing: &Thing) -> String {
    match thing {
        Thing::Elsewhere { what } => format!("{what}   in another room: `show {what}` there"),
        Thing::Request { code, deed, asked, until } => {
            format!("{code}   {deed}: waits for {} until {until}", or(asked))
        }
        Thing::Run { run, deed, state: RunState::Stuck(snag) } => {
            format!("run {run}   {deed}: stuck at step {}: {}", snag.step, visible(&snag.why))
        }
        Thing::Run { run, deed, state } => format!("run {run}   {deed}: {}", state.name().replace('_', " ")),
        Thing::Pause { since, why } => {
            let why = why.as_deref().map(|why| format!(": {}", visible(why))).unwrap_or_default();
            format!("pause   all automation, since {since}{why}")
        }
        Thing::Held { trigger, service } => format!("held    trigger {trigger} for {service}: `resume {trigger}`"),
    }
}

/// What is handed over, and to whom.
#[derive(Debug)]
pub struct Offer<'a> {
    /// Its number.
    pub handover: HandoverId,
    /// Whose it is.
    pub giver: &'a PersonId,
    /// Who is to take over.
    pub receiver: &'a PersonId,
    /// Why, if they said.
    pub reason: Option<&'a str>,
    /// What.
    pub things: &'a [Thing],
    /// Requests that ask the receiver.
    pub own: &'a [Code],
    /// Runs that start later and that the receiver may not ask for.
    pub stays: &'a [RunId],
}

/// Runs that stay whose they are.
fn stay(giver: &PersonId, receiver: &PersonId, stays: &[RunId]) -> Option<String> {
    let runs: Vec<PersonId> = stays.iter().map(|run| PersonId::new(format!("run {run}"))).collect();
    let (verb, it) = match stays {
        [] => return None,
        [_] => ("stays", "it"),
        _ => ("stay", "them"),
    };
    Some(format!("{} {verb} {giver}'s: {receiver} may not ask for {it}.", capital(&and(&runs))))
}

/// To `handover` of what all stays.
pub fn all_stays(giver: &PersonId, receiver: &PersonId, stays: &[RunId]) -> String {
    let stays = stay(giver, receiver, stays).unwrap_or_default();
    format!("{stays} Nothing was handed over.")
}

/// Whoever is asked to take over reads what, and what to say.
pub fn offered(offer: &Offer<'_>) -> String {
    let Offer { handover, giver, receiver, reason, things, own, stays } = *offer;
    let reason =
        reason.map(|reason| format!(", because {}", visible(reason).trim_end_matches('.'))).unwrap_or_default();
    let mut lines = vec![format!("{receiver}: {giver} hands over to you{reason}.")];
    lines.extend(things.iter().map(thing));
    lines.push(format!("`taken {handover}` takes it over. Until then it stays {giver}'s."));
    if !own.is_empty() {
        lines.push(format!("{receiver} is asked to approve {}: whoever takes that over cannot.", codes(own)));
    }
    lines.extend(stay(giver, receiver, stays));
    lines.join("\n")
}

/// To whoever offered it somewhere else.
pub fn offered_in(receiver: &PersonId, room: &str) -> String {
    format!("Offered to {receiver} in {}.", visible(room))
}

/// To `handover` of nothing.
pub fn nothing_to_hand_over(person: &PersonId) -> String {
    format!("{person}, nothing of yours is open: no request, no run, no pause. Nothing was handed over.")
}

/// To `handover` to oneself.
pub fn handover_to_oneself(person: &PersonId) -> String {
    format!("{person}, it is yours already. Say who else: `handover to lin`.")
}

/// What somebody takes over, and what not.
#[derive(Debug)]
pub struct Taken<'a> {
    /// Requests that wait.
    pub requests: &'a [Code],
    /// Runs beside those of the requests.
    pub runs: &'a [RunId],
    /// Whether the pause is theirs by now.
    pub pause: bool,
    /// Triggers that have stopped themselves, each with its service.
    pub held: &'a [(TriggerName, ServiceName)],
    /// Runs that start later and that they may not ask for.
    pub left: &'a [RunId],
}

/// To `taken`.
pub fn taken(by: &PersonId, from: &PersonId, taken: &Taken<'_>) -> String {
    let Taken { requests, runs, pause, held, left } = *taken;
    let mut beside: Vec<String> = held
        .iter()
        .map(|(trigger, service)| format!("{trigger} is still held for {service}: `resume {trigger}` lets it go on."))
        .collect();
    beside.extend(stay(from, by, left));
    let beside = beside.into_iter().map(|sentence| format!(" {sentence}")).collect::<String>();
    let mut what: Vec<String> = requests.iter().map(ToString::to_string).collect();
    what.extend(runs.iter().map(|run| format!("run {run}")));
    if pause {
        what.push("the pause".to_owned());
    }
    let what = match what.as_slice() {
        [] if beside.is_empty() => return format!("{by} takes over from {from}. By now nothing of it is open."),
        [] => return format!("{by} takes over from {from}.{beside}"),
        [one] => one.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    };
    let neither = match requests {
        [] => String::new(),
        [one] => format!(" Neither of the two can approve {one}."),
        _ => format!(" Neither of the two can approve {}.", codes(requests)),
    };
    format!("{by} takes over {what} from {from}, and is told what comes of it.{neither}{beside}")
}

/// To `taken` of nothing that is offered.
pub fn nothing_to_take(person: &PersonId) -> String {
    format!("{person}, nothing is offered to you.")
}

/// To `taken` by somebody to whom it was not offered.
pub fn not_offered_to(person: &PersonId, handover: HandoverId, receiver: &PersonId, giver: &PersonId) -> String {
    format!("{person}, handover {handover} was offered to {receiver}. {giver} can say `handover to {person}`.")
}

/// To `taken` where several are offered.
pub fn which_handover(all: &[(HandoverId, PersonId)]) -> String {
    let forms: Vec<String> = all.iter().map(|(id, giver)| format!("`taken {id}` (from {giver})")).collect();
    format!("Which? {}.", forms.join(" or "))
}

/// A handover that nobody has taken is said again, to whoever can help as well.
pub fn not_taken_yet(
    handover: HandoverId,
    giver: &PersonId,
    receiver: &PersonId,
    others: &[PersonId],
    since: &str,
    until: &str,
) -> String {
    let who: Vec<PersonId> = std::iter::once(receiver).chain(others).cloned().collect();
    format!(
        "{}: nobody has taken over from {giver} since {since}. `taken {handover}` does. At {until} it stays {giver}'s.",
        or(&who)
    )
}

/// A handover that nobody took.
pub fn lapsed(giver: &PersonId, receiver: &PersonId) -> String {
    format!(
        "{giver}: {receiver} has not taken over, and nobody else has. Everything stays yours. `handover to …` asks again."
    )
}

//! Runs that were started without agreement, and what others say of that.

use super::echo::sentence;
use super::plan::{and, environment, or};
use super::visible::visible;
use crate::model::code::Code;
use crate::model::id::PersonId;
use crate::model::plan::Plan;
use crate::model::request::ReviewVerdict;

/// To `break glass` where the policy lets nobody.
pub fn nobody_may(code: &Code, asked: &[PersonId]) -> String {
    format!("The policy of {code} lets nobody break the glass. Asked: {}.", and(asked))
}

/// To `break glass` by somebody whom the policy does not name.
pub fn may_not_break(person: &PersonId, code: &Code, who: &[PersonId], asked: &[PersonId]) -> String {
    let who = if who.is_empty() { "nobody at present".to_owned() } else { or(who) };
    format!("{person}, for {code} only {who} may break the glass. Asked: {}.", and(asked))
}

/// To an answer that comes when the glass was broken; `begins`: nothing of it has begun yet.
pub fn broken_already(code: &Code, by: &PersonId, begins: bool) -> String {
    let revoke = if begins { format!(" `revoke {code}` ends it until it has begun.") } else { String::new() };
    format!("{by} has broken the glass for {code}. Your answer changes nothing.{revoke}")
}

/// To `break glass` where nobody could review it afterwards.
pub fn nobody_to_review(person: &PersonId, code: &Code, asked: &[PersonId]) -> String {
    format!(
        "{person}, nobody but you or whoever asked could review {code} afterwards, so nobody may break the glass. Asked: {}.",
        and(asked)
    )
}

/// To `break glass` for a stuck step.
pub fn not_for_this(code: &Code, asked: &[PersonId]) -> String {
    format!("{code} is about a stuck step: nobody decides that alone. Asked: {}.", and(asked))
}

/// The glass was broken: told to all whom it concerns.
#[derive(Debug)]
pub struct Broken<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The code of the request.
    pub code: &'a Code,
    /// Who did it.
    pub by: &'a PersonId,
    /// Whether they had asked for it themselves.
    pub own: bool,
    /// Why.
    pub reason: &'a str,
    /// Whose answer was not waited for.
    pub skipped: &'a [PersonId],
    /// Who reviews it.
    pub reviewers: &'a [PersonId],
    /// Until when.
    pub until: &'a str,
    /// Where it stands in the ledger.
    pub place: &'a str,
}

/// The glass was broken.
pub fn broken(text: &Broken<'_>) -> String {
    let Broken { plan, code, by, own, reason, skipped, reviewers, until, place } = *text;
    let own = if own { " It was their own request." } else { "" };
    let skipped = if skipped.is_empty() { String::new() } else { format!(" Not waited for: {}.", and(skipped)) };
    let reviewers = if reviewers.is_empty() { "Nobody".to_owned() } else { or(reviewers) };
    format!(
        "{} · GLASS BROKEN: {by} starts {} ({code}) without agreement: {}.{own}{skipped}\n{reviewers} must review it until \
         {until}: `review {code} fine because …` or `review {code} not fine because …`. {place}",
        environment(plan),
        visible(&plan.deed),
        sentence(&visible(reason)),
    )
}

/// A review is overdue.
pub fn overdue(plan: &Plan, code: &Code, by: Option<&PersonId>, reviewers: &[PersonId], due: &str) -> String {
    let by = by.map(|by| format!(" by {by}")).unwrap_or_default();
    let reviewers = if reviewers.is_empty() { "Nobody at present".to_owned() } else { or(reviewers) };
    format!(
        "{} · {} ({code}) was started{by} without agreement, and nobody has reviewed it. It was due {due}. {}: `review \
         {code} fine because …` or `review {code} not fine because …`.",
        environment(plan),
        visible(&plan.deed),
        reviewers,
    )
}

/// A review was made.
pub fn reviewed(plan: &Plan, code: &Code, by: &PersonId, verdict: ReviewVerdict, words: &str, place: &str) -> String {
    format!(
        "{by} reviewed that {} ({code}) was started without agreement: {}, {}. {place}",
        visible(&plan.deed),
        verdict.words(),
        sentence(&visible(words)),
    )
}

/// To `review` of what was approved as usual.
pub fn nothing_owed(code: &Code) -> String {
    format!("{code} was not started by breaking the glass: no review is owed. `reviews` lists those that are.")
}

/// To `review` of what was reviewed.
pub fn done_already(code: &Code) -> String {
    format!("{code} was reviewed already. Nothing was changed.")
}

/// To `review` by somebody who may not.
pub fn may_not_review(person: &PersonId, code: &Code, who: &[PersonId]) -> String {
    let who = if who.is_empty() { "Nobody at present".to_owned() } else { or(who) };
    format!("{person}, you may not review {code}. {who} may.")
}

/// One line of `reviews`.
pub fn owed(plan: &Plan, code: &Code, by: &PersonId, reason: &str, at: &str, due: &str, overdue: bool) -> String {
    let due = if overdue { format!("OVERDUE since {due}") } else { format!("due until {due}") };
    format!(
        "{code} {} {}, started by {by} at {at}: {} · {due}",
        environment(plan),
        visible(&plan.deed),
        sentence(&visible(reason))
    )
}

/// To `reviews`.
pub fn list(owed: &[String]) -> String {
    if owed.is_empty() { "No review is owed here.".to_owned() } else { owed.join("\n") }
}

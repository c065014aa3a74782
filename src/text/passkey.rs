//! What is said of passkeys: to whoever is asked for one, to whose it is, and to the operator.

use super::plan::and;
use super::visible::visible;
use crate::model::code::Code;
use crate::model::id::{PasskeyId, PersonId, PolicyName};

/// To somebody who approves a request that wants a passkey: where to decide. `link` is theirs alone.
pub fn decide_at(code: &Code, link: &str, until: &str) -> String {
    format!(
        "{code} is not approved yet: it needs your passkey. Decide at {link} until {until}. \
         The link is for you alone and works once. To deny, `deny {code} because …` is enough."
    )
}

/// To somebody who approves a request that wants a passkey and has none.
pub fn no_passkey(person: &PersonId, code: &Code) -> String {
    format!(
        "{code} is not approved: it needs a passkey, and you have none. Ask an operator for \
         `countersign passkey invite {person}`. To deny, `deny {code} because …` is enough."
    )
}

/// To somebody who approves a request that wants a passkey where there is no page for it.
pub fn no_page(code: &Code) -> String {
    format!(
        "{code} is not approved: it needs a passkey, and this bot has no page for that. \
         Ask an operator to set `decisions` in the settings. To deny, `deny {code} because …` is enough."
    )
}

/// To somebody whose passkey is not theirs any more by the time that the line is read.
pub fn not_theirs(code: &Code) -> String {
    format!("{code} is not decided: that passkey is no longer yours. Say `approve {code}` for a new page.")
}

/// To a person, when a passkey of theirs was added.
pub fn added(passkey: PasskeyId, name: &str) -> String {
    format!(
        "A passkey was added for you: {} (number {passkey}). With it you approve what needs one. \
         If that was not you, tell an operator: `countersign passkey remove {passkey}`.",
        visible(name)
    )
}

/// To a person, when a passkey of theirs was removed.
pub fn removed_to_person(passkey: PasskeyId) -> String {
    format!("Your passkey number {passkey} was removed by an operator. It approves nothing any more.")
}

/// To the operator: policies want a passkey, and there is no page.
pub fn warn_no_page(policies: &[PolicyName]) -> String {
    let policies: Vec<PersonId> = policies.iter().map(|policy| PersonId::new(policy.as_str())).collect();
    format!(
        "{} want a passkey (`step_up: true`), and there is no page for that: nobody can approve what they ask. \
         Set `decisions: {{listen: …, url: …}}` in the settings",
        and(&policies)
    )
}

/// To the operator: some of those whom a policy asks have no passkey.
pub fn warn_without(policy: &PolicyName, people: &[PersonId]) -> String {
    let have = if people.len() == 1 { "has" } else { "have" };
    format!(
        "policy {policy} wants a passkey (`step_up: true`), and {} {have} none: `countersign passkey invite PERSON`",
        and(people)
    )
}

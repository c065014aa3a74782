//! What is said of passkeys: to whoever is asked for one, to whose it is, and to the operator.

use std::collections::BTreeSet;

use super::plan::and;
use super::visible::visible;
use crate::model::code::Code;
use crate::model::id::{PasskeyId, PersonId, PolicyName};
use crate::model::request::{Freeing, OnPage, Wanted};

/// What a passkey is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Approving.
    Deciding,
    /// Starting without the agreement of others.
    BreakingTheGlass,
}

impl For {
    /// What has not been done, and what is possible all the same.
    fn words(self, code: &Code) -> (String, String) {
        match self {
            Self::Deciding => {
                (format!("{code} is not approved"), format!("To deny, `deny {code} because …` is enough."))
            }
            Self::BreakingTheGlass => (
                format!("The glass of {code} is not broken"),
                format!("{code} waits as before for those who are asked."),
            ),
        }
    }
}

/// To somebody who does what wants a passkey: where to do it. `link` is theirs alone.
pub fn decide_at(code: &Code, what_for: For, link: &str, until: &str) -> String {
    let (not_done, instead) = what_for.words(code);
    let there = match what_for {
        For::Deciding => "Decide",
        For::BreakingTheGlass => "Break it",
    };
    format!(
        "{not_done} yet: it needs your passkey. {there} at {link} until {until}. \
         The link is for you alone and works once. {instead}"
    )
}

/// To somebody who does what wants a passkey, and has none.
pub fn no_passkey(person: &PersonId, code: &Code, what_for: For) -> String {
    let (not_done, instead) = what_for.words(code);
    format!(
        "{not_done}: it needs a passkey, and you have none. Ask an operator for \
         `countersign passkey invite {person}`. {instead}"
    )
}

/// To somebody who does what wants a passkey, where there is no page for it.
pub fn no_page(code: &Code, what_for: For) -> String {
    let (not_done, instead) = what_for.words(code);
    format!(
        "{not_done}: it needs a passkey, and this bot has no page for that. \
         Ask an operator to set `decisions` in the settings. {instead}"
    )
}

/// To somebody whose page was used or is over by the time that what they did there is read.
pub fn page_is_over(code: &Code, done: OnPage) -> String {
    let again = anew(code, done);
    format!("That page is over, or was used at the same moment. Nothing has been decided. Say {again} for a new page.")
}

/// To somebody in whose name something else is said than they have signed.
pub fn not_what_was_signed() -> String {
    "That is not what your passkey has signed. Nothing has been decided. Tell an operator.".to_owned()
}

/// What is said for another page.
fn anew(code: &Code, done: OnPage) -> String {
    match done {
        OnPage::Approve | OnPage::Deny => format!("`approve {code}`"),
        OnPage::BreakGlass => format!("`break glass {code} because …`"),
    }
}

/// To somebody whose passkey is not theirs any more by the time that their answer is read.
pub fn not_theirs(code: &Code, done: OnPage) -> String {
    format!("That passkey is no longer yours. Nothing has been decided. Say {} for a new page.", anew(code, done))
}

/// On the page, to whoever gave a reason that is longer than a line may be.
pub fn reason_too_long(code: &Code, done: OnPage) -> String {
    let again = match done {
        OnPage::Approve | OnPage::Deny => "Go back and say it in fewer words.".to_owned(),
        OnPage::BreakGlass => format!("Say {} in fewer words for a new page.", anew(code, done)),
    };
    format!("That reason is too long. Nothing was decided. {again}")
}

/// On the page, once what was decided there lets it go on: what comes next. `starts`: when, if not now.
pub fn granted(code: &Code, wanted: &Wanted, starts: Option<&str>) -> String {
    match (wanted, starts) {
        (Wanted::Start, Some(starts)) => {
            format!("{code} is granted: it starts at {starts}, and the room tells how it goes.")
        }
        (Wanted::Start, None) => format!("{code} is granted: it runs now, and the room tells how it goes."),
        (Wanted::Retry { step }, _) => {
            format!("{code} is granted: step {step} is tried again now, and the room tells how it goes.")
        }
        (Wanted::Free { step, wish }, _) => match wish.what {
            Freeing::Skip => format!("{code} is granted: step {step} is left out, and the run goes on after it."),
            Freeing::JudgeWorked => {
                format!("{code} is granted: step {step} counts as done, and the run goes on after it.")
            }
            Freeing::JudgeFailed => format!("{code} is granted: step {step} counts as failed, and the run is over."),
        },
    }
}

/// On the page, once what was decided there ends it.
pub fn denied(code: &Code) -> String {
    format!("{code} is denied: nothing runs.")
}

/// On the page, once what was decided there counts and more people are needed.
pub fn waits_on(code: &Code) -> String {
    format!("{code} waits for somebody else as well.")
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

/// To the room: an approval counts no longer, because the passkey by which it was given was removed.
pub fn approval_ended(person: &PersonId, code: &Code, passkey: PasskeyId) -> String {
    format!(
        "{person}'s approval of {code} counts no longer: passkey {passkey}, by which it was given, was removed. {code} still waits."
    )
}

/// To the operator, and after a reload to the rooms: what keeps people from approving what a policy wants a passkey for.
/// `wanting` are those policies with whom they ask; `page` is where people use passkeys, if anywhere; `holders` are who has
/// one.
pub fn warnings(
    wanting: &[(PolicyName, BTreeSet<PersonId>)],
    page: Option<&str>,
    holders: &BTreeSet<PersonId>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    if page.is_none() && !wanting.is_empty() {
        let policies: Vec<String> = wanting.iter().map(|(policy, _)| policy.to_string()).collect();
        let (noun, verb) = if policies.len() == 1 { ("Policy", "wants") } else { ("Policies", "want") };
        warnings.push(format!(
            "{noun} {} {verb} a passkey (`step_up: true`) and there is no page for it: nobody can approve. Set \
             `decisions: {{listen: …, url: …}}` in the settings",
            policies.join(", ")
        ));
    }
    for (policy, asked) in wanting {
        let without: Vec<PersonId> = asked.difference(holders).cloned().collect();
        if !without.is_empty() {
            let have = if without.len() == 1 { "has" } else { "have" };
            warnings.push(format!(
                "Policy {policy} wants a passkey (`step_up: true`), and {} {have} none: `countersign passkey invite PERSON`",
                and(&without)
            ));
        }
    }
    warnings
}

/// To the operator, and after a reload to the rooms: the pages do not answer where people are sent. `wanting` are the policies
/// that want a passkey.
pub fn out_of_reach(wanting: &[PolicyName], origin: &str, why: &str) -> String {
    let policies: Vec<String> = wanting.iter().map(ToString::to_string).collect();
    let (noun, verb) = if policies.len() == 1 { ("Policy", "wants") } else { ("Policies", "want") };
    format!(
        "{noun} {} {verb} a passkey (`step_up: true`), and {} does not lead to the page for it ({}): whoever is sent there \
         cannot approve. `countersign doctor` looks again",
        policies.join(", "),
        visible(origin),
        visible(why),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::request::Wish;

    #[test]
    fn what_keeps_people_from_approving_is_said_before_they_try() {
        let people = |names: &[&str]| names.iter().map(|name| PersonId::new(*name)).collect::<BTreeSet<_>>();
        let wanting =
            [(PolicyName::new("managers"), people(&["boss", "lin"])), (PolicyName::new("two"), people(&["lin"]))];
        let all = |page, holders: &[&str]| warnings(&wanting, page, &people(holders)).join("\n");
        insta::assert_snapshot!(all(None, &[]), @"
        Policies managers, two want a passkey (`step_up: true`) and there is no page for it: nobody can approve. Set `decisions: {listen: …, url: …}` in the settings
        Policy managers wants a passkey (`step_up: true`), and boss and lin have none: `countersign passkey invite PERSON`
        Policy two wants a passkey (`step_up: true`), and lin has none: `countersign passkey invite PERSON`
        ");
        insta::assert_snapshot!(all(Some("https://d.example"), &["lin"]), @"Policy managers wants a passkey (`step_up: true`), and boss has none: `countersign passkey invite PERSON`");
        assert_eq!(all(Some("https://d.example"), &["lin", "boss"]), "");
        assert!(warnings(&[], None, &people(&[])).is_empty());
        let policies = [PolicyName::new("managers"), PolicyName::new("two")];
        insta::assert_snapshot!(out_of_reach(&policies[..1], "https://d.example", "connection refused"), @"Policy managers wants a passkey (`step_up: true`), and https://d.example does not lead to the page for it (connection refused): whoever is sent there cannot approve. `countersign doctor` looks again");
        assert!(out_of_reach(&policies, "https://d.example", "x").starts_with("Policies managers, two want a passkey"));
    }

    #[test]
    fn whoever_is_asked_for_a_passkey_reads_where() {
        let code: Code = "7K3F".parse().expect("a code");
        insta::assert_snapshot!(decide_at(&code, For::Deciding, "https://decide.example/decide/x", "22:13 SGT"), @"7K3F is not approved yet: it needs your passkey. Decide at https://decide.example/decide/x until 22:13 SGT. The link is for you alone and works once. To deny, `deny 7K3F because …` is enough.");
        insta::assert_snapshot!(no_passkey(&PersonId::new("boss"), &code, For::Deciding), @"7K3F is not approved: it needs a passkey, and you have none. Ask an operator for `countersign passkey invite boss`. To deny, `deny 7K3F because …` is enough.");
        insta::assert_snapshot!(no_page(&code, For::Deciding), @"7K3F is not approved: it needs a passkey, and this bot has no page for that. Ask an operator to set `decisions` in the settings. To deny, `deny 7K3F because …` is enough.");
        insta::assert_snapshot!(decide_at(&code, For::BreakingTheGlass, "https://decide.example/decide/x", "22:13 SGT"), @"The glass of 7K3F is not broken yet: it needs your passkey. Break it at https://decide.example/decide/x until 22:13 SGT. The link is for you alone and works once. 7K3F waits as before for those who are asked.");
        insta::assert_snapshot!(no_page(&code, For::BreakingTheGlass), @"The glass of 7K3F is not broken: it needs a passkey, and this bot has no page for that. Ask an operator to set `decisions` in the settings. 7K3F waits as before for those who are asked.");
        insta::assert_snapshot!(page_is_over(&code, OnPage::BreakGlass), @"That page is over, or was used at the same moment. Nothing has been decided. Say `break glass 7K3F because …` for a new page.");
        insta::assert_snapshot!(not_theirs(&code, OnPage::Deny), @"That passkey is no longer yours. Nothing has been decided. Say `approve 7K3F` for a new page.");
        insta::assert_snapshot!(reason_too_long(&code, OnPage::Deny), @"That reason is too long. Nothing was decided. Go back and say it in fewer words.");
        insta::assert_snapshot!(reason_too_long(&code, OnPage::BreakGlass), @"That reason is too long. Nothing was decided. Say `break glass 7K3F because …` in fewer words for a new page.");
        insta::assert_snapshot!(granted(&code, &Wanted::Start, Some("02:00 UTC")), @"7K3F is granted: it starts at 02:00 UTC, and the room tells how it goes.");
        insta::assert_snapshot!(granted(&code, &Wanted::Retry { step: 2 }, None), @"7K3F is granted: step 2 is tried again now, and the room tells how it goes.");
        for (what, says) in [
            (Freeing::Skip, "step 2 is left out, and the run goes on after it."),
            (Freeing::JudgeWorked, "step 2 counts as done, and the run goes on after it."),
            (Freeing::JudgeFailed, "step 2 counts as failed, and the run is over."),
        ] {
            let wish = Wish { what, by: PersonId::new("mei"), why: "it is".to_owned() };
            assert_eq!(granted(&code, &Wanted::Free { step: 2, wish }, None), format!("7K3F is granted: {says}"));
        }
        insta::assert_snapshot!(added(PasskeyId(3), "my\nphone"), @r#"A passkey was added for you: my\nphone (number 3). With it you approve what needs one. If that was not you, tell an operator: `countersign passkey remove 3`."#);
        insta::assert_snapshot!(approval_ended(&PersonId::new("boss"), &code, PasskeyId(3)), @"boss's approval of 7K3F counts no longer: passkey 3, by which it was given, was removed. 7K3F still waits.");
        insta::assert_snapshot!(removed_to_person(PasskeyId(3)), @"Your passkey number 3 was removed by an operator. It approves nothing any more.");
    }
}

//! What `countersign doctor` says: of each thing one line, and of what is wrong what to do.
//!
//! What lives here: the words. What does not: looking (`cli::doctor`).

use std::time::Duration;

use chrono::TimeDelta;

use super::plan::{and, or};
use super::time::lasted;
use super::visible::visible;
use crate::model::id::{PersonId, PolicyName};

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// As it should be, perhaps: a person should know of it.
    Note,
    /// Not as it should be.
    Wrong,
}

impl Level {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it stands.
    pub level: Level,
    /// With what: a few words.
    pub about: String,
    /// One line.
    pub says: String,
}

impl Finding {
    /// As it should be.
    pub fn ok(about: impl Into<String>, says: impl Into<String>) -> Self {
        Self { level: Level::Ok, about: about.into(), says: says.into() }
    }

    /// To be known.
    pub fn note(about: impl Into<String>, says: impl Into<String>) -> Self {
        Self { level: Level::Note, about: about.into(), says: says.into() }
    }

    /// Not as it should be.
    pub fn wrong(about: impl Into<String>, says: impl Into<String>) -> Self {
        Self { level: Level::Wrong, about: about.into(), says: says.into() }
    }

    /// Its line. What came from outside is visible in it.
    pub fn line(&self) -> String {
        format!("{:<5}  {}: {}", self.level.name(), visible(&self.about), visible(&self.says))
    }
}

/// `1 runbook`, `2 runbooks`.
pub fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// The last line.
pub fn sum(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (ok, notes, wrong) = (count(Level::Ok), count(Level::Note), count(Level::Wrong));
    let notes = match notes {
        0 => String::new(),
        1 => ", 1 note".to_owned(),
        notes => format!(", {notes} notes"),
    };
    match wrong {
        0 => format!("{ok} ok{notes}, nothing wrong."),
        wrong => format!("{ok} ok{notes}, {wrong} wrong."),
    }
}

/// What to do about a word of Slack's for a token that it does not take.
pub fn token_refused(code: &str) -> String {
    match code {
        "invalid_auth" | "not_authed" => {
            "Slack does not know this token. Copy it again: \"OAuth & Permissions\" has the bot's, \"Basic Information\" \
             the app's own"
                .to_owned()
        }
        "token_revoked" | "account_inactive" | "token_expired" => {
            format!("Slack says {code}: install the app again and give the bot its new token")
        }
        "missing_scope" => {
            "the app's own token lacks connections:write; make one with it under \"Basic Information\"".to_owned()
        }
        "not_allowed_token_type" => {
            "this is another kind of token; the app's own begins with xapp- and stands under \"Basic Information\"".to_owned()
        }
        other => format!("Slack refuses it: {other}"),
    }
}

/// How Slack's clock and ours stand: ours less Slack's, in whole seconds.
pub fn clock(apart: TimeDelta) -> Finding {
    let about = "clock";
    let seconds = apart.num_seconds();
    if seconds.abs() <= MOST_APART.num_seconds() {
        return Finding::ok(about, format!("within {} s of Slack's", seconds.abs().max(1)));
    }
    // Slack tells whole seconds, and they pass while it answers: minutes are what is known.
    let minutes = (seconds.unsigned_abs() + 30) / 60;
    let apart = lasted(minutes.saturating_mul(60_000));
    let way = if seconds < 0 { "behind" } else { "ahead of" };
    Finding::wrong(
        about,
        format!(
            "about {apart} {way} Slack's: requests that Slack signs are refused from 5 min on, and commands count as old. \
             Set the clock of the database's machine, best by NTP"
        ),
    )
}

/// More than that is wrong.
pub const MOST_APART: TimeDelta = TimeDelta::seconds(60);

/// The rights that a token lacks, each with what it is for.
pub fn missing_scopes(missing: &[(&str, &str)]) -> String {
    let missing: Vec<String> = missing.iter().map(|(name, why)| format!("{name} ({why})")).collect();
    format!(
        "the app lacks {}. Give it the manifest of `countersign slack manifest` (\"App Manifest\") and install it again",
        missing.join("; ")
    )
}

/// The rights that a token has and nobody needs.
pub fn needless_scopes(more: &[&str]) -> String {
    format!("it has rights that nothing here needs: {}. Take them away in the app's settings", more.join(", "))
}

/// A channel that Slack does not tell of.
pub fn no_channel(code: &str, id: &str, bot: &str) -> String {
    match code {
        "channel_not_found" => format!(
            "Slack has no channel {id}, or it is private and the bot is not in it: check the id in rooms.yaml, or say \
             `/invite <@{bot}>` there"
        ),
        "missing_scope" => "not looked at: the app lacks channels:read or groups:read".to_owned(),
        other => format!("Slack does not tell of {id}: {other}"),
    }
}

/// An account that Slack does not tell of.
pub fn no_account(code: &str, account: &str) -> String {
    match code {
        "user_not_found" | "user_not_visible" => {
            format!(
                "Slack has no {account}: `whoami`, said by that person in Slack, tells the right one for people.yaml"
            )
        }
        "missing_scope" => format!("{account} was not looked at: the app lacks users:read"),
        other => format!("Slack does not tell of {account}: {other}"),
    }
}

/// A user group that Slack does not tell of.
pub fn no_user_group(code: &str, id: &str) -> String {
    match code {
        "no_such_subteam" | "subteam_disabled" => format!(
            "Slack has no user group {id} in use, so nobody is in it. Its id stands at the end of the address under \
             \"People\", \"User groups\""
        ),
        "missing_scope" => "not looked at, and nobody is in it for the bot: the app lacks usergroups:read".to_owned(),
        other => format!("Slack does not tell who is in {id}: {other}"),
    }
}

/// An address at which nobody listens yet.
pub fn free(at: &str) -> String {
    format!("{at} is free: no bot runs there")
}

/// How often and how long user groups are believed.
pub fn believed(every: Duration, good_for: Duration) -> String {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    format!("asked every {}, believed for {}", lasted(millis(every)), lasted(millis(good_for)))
}

/// The pages for passkeys answer where browsers look for them.
pub fn decisions_answer(origin: &str) -> String {
    format!("the pages for passkeys answer at {origin}")
}

/// The pages for passkeys are served by no bot now, so whether they can be reached is not known.
pub fn decisions_not_asked(listen: &str, origin: &str) -> String {
    format!(
        "{listen} is free: no bot runs there, so whether {origin} leads to it is not known. Look again once it runs"
    )
}

/// Nobody of those who are named can.
pub fn nobody_can_countersign() -> String {
    "`access:` names nobody who can countersign: whoever wrote the catalog's last change (`changed_by`) does not. Name \
     others, and accept that once on this host (`countersign access accept`)"
        .to_owned()
}

/// One person can.
pub fn one_countersigns(one: &PersonId) -> String {
    format!(
        "{one} alone can countersign a change of who may do what: for one that {one} writes there is nobody. Name another \
         person in `access:`"
    )
}

/// Several can.
pub fn they_countersign(people: &[PersonId]) -> String {
    format!("{} can countersign a change of who may do what", or(people))
}

/// A group can that a platform keeps, beside these.
pub fn a_group_countersigns(people: &[PersonId]) -> String {
    let group = "whoever is in the group that `access:` names";
    match people {
        [] => format!("{group} can countersign a change of who may do what"),
        people => format!("{}, and {group}, can countersign a change of who may do what", and(people)),
    }
}

/// The pages for passkeys do not answer where browsers look for them.
pub fn decisions_out_of_reach(origin: &str, why: &str) -> String {
    format!(
        "{origin} does not lead to the pages for passkeys ({why}): whoever is sent there cannot approve. Does something \
         pass it on to `decisions: listen`?"
    )
}

/// Everybody whom a policy asks for a passkey has one.
pub fn all_have_passkeys(policy: &PolicyName) -> String {
    format!("policy {policy} wants one, and everybody whom it asks has one")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_apart_is_well_and_more_is_not() {
        let levels = [-61, -60, 0, 60, 61].map(|seconds| clock(TimeDelta::seconds(seconds)).level);
        assert_eq!(levels, [Level::Wrong, Level::Ok, Level::Ok, Level::Ok, Level::Wrong]);
        insta::assert_snapshot!(clock(TimeDelta::seconds(-400)).line(), @"wrong  clock: about 7 min behind Slack's: requests that Slack signs are refused from 5 min on, and commands count as old. Set the clock of the database's machine, best by NTP");
    }

    #[test]
    fn the_last_line_counts() {
        let of = |levels: &[Level]| {
            let findings: Vec<Finding> = levels
                .iter()
                .map(|level| Finding { level: *level, about: String::new(), says: String::new() })
                .collect();
            sum(&findings)
        };
        assert_eq!(of(&[Level::Ok, Level::Ok]), "2 ok, nothing wrong.");
        assert_eq!(of(&[Level::Note, Level::Wrong, Level::Ok]), "1 ok, 1 note, 1 wrong.");
        assert_eq!(of(&[Level::Note, Level::Note]), "0 ok, 2 notes, nothing wrong.");
    }

    #[test]
    fn what_came_from_outside_stays_on_its_line() {
        let finding = Finding::ok("room ops", "#a\nwrong  everything");
        assert_eq!(finding.line(), "ok     room ops: #a\\nwrong  everything");
    }
}

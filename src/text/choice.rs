//! What is said of the policy that a request stands under, and of one that refuses.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::on_call::moment;
use super::visible::visible;
use crate::model::id::{PersonId, PolicyName};

/// To whoever asks for what a policy refuses: which, until when, why, and what one can do.
pub fn refused(
    person: &PersonId,
    policy: &PolicyName,
    why: &str,
    until: Option<(DateTime<Utc>, Tz)>,
    file: &str,
) -> String {
    let why = visible(why);
    let why = why.trim_end_matches('.');
    let file = visible(file);
    match until {
        Some((until, zone)) => format!(
            "{person}, nothing was asked: policy {policy} refuses this until {} ({why}); ask again then, or have {file} \
             changed.",
            moment(until, zone)
        ),
        None => format!(
            "{person}, nothing was asked: policy {policy} refuses this ({why}), and no end of it is set; have {file} changed."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_which_policy_until_when_and_what_one_can_do() {
        let until = ("2027-01-03T01:00:00Z".parse().expect("a moment"), Tz::Asia__Singapore);
        let said = |until| {
            let policy = PolicyName::new("freeze");
            refused(&PersonId::new("mei"), &policy, "Nobody is here to help.", until, "policies/freeze.yaml")
        };
        insta::assert_snapshot!(said(Some(until)), @"mei, nothing was asked: policy freeze refuses this until Sun 2027-01-03 09:00 Asia/Singapore (Nobody is here to help); ask again then, or have policies/freeze.yaml changed.");
        insta::assert_snapshot!(said(None), @"mei, nothing was asked: policy freeze refuses this (Nobody is here to help), and no end of it is set; have policies/freeze.yaml changed.");
    }
}

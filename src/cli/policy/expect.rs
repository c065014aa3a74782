//! Expectations of `policy test`: their YAML, and what of them does not hold.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde::Deserialize;

use super::{Asking, Moment, Outcome, Who, people, say};
use crate::model::catalog::Catalog;
use crate::model::id::PersonId;
use crate::model::outlook::Verdict;

/// A file of expectations.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    expectations: Vec<Expectation>,
}

/// One expectation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expectation {
    /// What it is called when it does not hold.
    pub(super) name: String,
    ask: Ask,
    #[serde(default)]
    asleep: Vec<String>,
    expect: Expected,
}

/// A request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    runbook: String,
    #[serde(default)]
    with: BTreeMap<String, String>,
    #[serde(rename = "as")]
    person: Option<String>,
    trigger: Option<String>,
    at: String,
}

/// What should become of it; what is not said may be anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The policy that wins.
    policy: Option<String>,
    /// Everybody who could agree in some stage, sooner or later.
    approvers: Option<BTreeSet<String>>,
    /// How many different people must.
    needs: Option<u32>,
    /// Whether it is refused: by its policy, or because whoever asks may not.
    refused: Option<bool>,
    /// Whether nobody could ever approve it.
    nobody: Option<bool>,
    /// Whether it starts without anybody's answer.
    automatic: Option<bool>,
    /// Whether it does because its policy lets the person who asks, as long as the number of such runs is not used up.
    unasked: Option<bool>,
}

/// Reads a file's text.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(text: &str) -> anyhow::Result<Vec<Expectation>> {
    let file: File = serde_yaml::from_str(text).context("this is no file of expectations")?;
    for one in &file.expectations {
        let Expected { policy, approvers, needs, refused, nobody, automatic, unasked } = &one.expect;
        let nothing = policy.is_none() && approvers.is_none() && needs.is_none();
        let truths = [refused, nobody, automatic, unasked];
        anyhow::ensure!(!(nothing && truths.iter().all(|truth| truth.is_none())), "`{}` expects nothing", one.name);
    }
    Ok(file.expectations)
}

/// What came of a request, in the words of an expectation.
#[derive(Debug, Default)]
struct Came {
    policy: Option<String>,
    approvers: BTreeSet<PersonId>,
    needs: u32,
    refused: bool,
    nobody: bool,
    automatic: bool,
    unasked: bool,
}

impl Expectation {
    /// What does not hold: one sentence each.
    pub(super) fn failures(&self, catalog: &Catalog) -> Vec<String> {
        match self.came(catalog) {
            Err(error) => vec![format!("{error:#}")],
            Ok(came) => self.expect.compare(&came),
        }
    }

    fn came(&self, catalog: &Catalog) -> anyhow::Result<Came> {
        let Ask { runbook, with, person, trigger, at } = &self.ask;
        let who = match (person, trigger) {
            (Some(person), None) => Who::Person(person),
            (None, Some(trigger)) => Who::Trigger(trigger),
            (Some(_), Some(_)) | (None, None) => anyhow::bail!("say who asks, once: `as: mei` or `trigger: NAME`"),
        };
        let at: Moment = at.parse().map_err(anyhow::Error::msg)?;
        let params: Vec<(&str, &str)> = with.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let asking = Asking::read(catalog, runbook, &params, who, at.at)?;
        let asleep = people(catalog, &self.asleep)?;
        let candidates = match asking.outcome(catalog) {
            Outcome::NoPolicy => return Ok(Came { automatic: true, ..Came::default() }),
            Outcome::NotAllowed(_) => return Ok(Came { refused: true, ..Came::default() }),
            Outcome::Policies(candidates) => candidates,
        };
        let winner = candidates.first().map(|candidate| candidate.policy).context("there is no policy for it")?;
        let policy = Some(winner.name.to_string());
        if winner.refuse.is_some() {
            return Ok(Came { policy, refused: true, ..Came::default() });
        }
        if asking.starts_by_itself(winner).is_some() {
            return Ok(Came { policy, automatic: true, ..Came::default() });
        }
        let outlook = asking.outlook(catalog, winner, &asleep)?;
        // Its stages are those of the next one, when the number is used up.
        let unasked = asking.starts_unasked(catalog, &outlook.policy).is_some();
        Ok(Came {
            policy,
            automatic: unasked,
            unasked,
            approvers: outlook.stages.iter().flat_map(|stage| stage.everybody()).collect(),
            needs: outlook.people_needed,
            nobody: matches!(outlook.verdict, Verdict::Never { .. }),
            ..Came::default()
        })
    }
}

impl Expected {
    fn compare(&self, came: &Came) -> Vec<String> {
        let mut failures = Vec::new();
        let mut differs = |key: &str, expected: Option<String>, is: String| {
            if let Some(expected) = expected.filter(|expected| *expected != is) {
                failures.push(say::instead(key, &expected, &is));
            }
        };
        let truth = |truth: bool| if truth { "true" } else { "false" }.to_owned();
        let policy = came.policy.clone().unwrap_or_else(|| "none".to_owned());
        differs("policy", self.policy.clone(), policy);
        let expected = self.approvers.as_ref().map(|names| say::people(&names.iter().map(PersonId::new).collect()));
        differs("approvers", expected, say::people(&came.approvers));
        differs("needs", self.needs.map(|needs| needs.to_string()), came.needs.to_string());
        differs("refused", self.refused.map(truth), truth(came.refused));
        differs("nobody", self.nobody.map(truth), truth(came.nobody));
        differs("automatic", self.automatic.map(truth), truth(came.automatic));
        differs("unasked", self.unasked.map(truth), truth(came.unasked));
        failures
    }
}

//! Requests that nobody could ever approve: every runbook, on everything that it can work on, asked for by each person who
//! may, under each policy that it can come to stand under.
//!
//! Policies have times, and which of them wins differs from moment to moment. It changes only where a time begins or ends;
//! so one moment is looked at for each set of times that can hold together.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Asking, Outlook, say};
use crate::engine::plan;
use crate::model::allowed::{Verb, allowed};
use crate::model::catalog::{Catalog, ParamKind, Policy, Runbook};
use crate::model::choice::{Window, candidates};
use crate::model::id::{PersonId, PolicyName, RunbookName, SystemName};
use crate::model::outlook::Verdict;

/// The most combinations of services and systems that are looked at for a runbook with many such parameters.
const MOST_COMBINATIONS: usize = 1000;

/// What was found.
pub(super) struct Found {
    /// How many requests were looked at.
    pub(super) requests: usize,
    /// How many of them depend on who is in a group that a platform keeps.
    pub(super) unknown: usize,
    /// One for each request that nobody could ever approve.
    pub(super) sentences: Vec<String>,
}

/// Looks at every request that could be made from a moment on.
pub(super) fn find(catalog: &Catalog, from: DateTime<Utc>) -> Found {
    let moments = moments(catalog, from);
    let nobody = BTreeSet::new();
    let mut seen: BTreeSet<(RunbookName, SystemName, PersonId, PolicyName)> = BTreeSet::new();
    let mut found = Found { requests: 0, unknown: 0, sentences: Vec::new() };
    for runbook in catalog.runbooks.values() {
        let Some(base) = &runbook.approval else { continue };
        for params in combinations(catalog, runbook) {
            // What it cannot work on, such as services of two systems, nobody can ask for.
            let Ok(about) = plan::about(catalog, runbook, &params) else { continue };
            let mut asking = Asking { runbook, about, requesters: Vec::new(), trigger: None, at: from };
            let mut policies: BTreeMap<&PolicyName, &Policy> = BTreeMap::new();
            for at in &moments {
                asking.at = *at;
                if let Some(winner) = candidates(catalog, base, &asking.facts()).first() {
                    policies.insert(&winner.policy.name, winner.policy);
                }
            }
            // A policy that refuses is no dead end: it says when to ask again.
            for policy in policies.into_values().filter(|policy| policy.refuse.is_none()) {
                for person in catalog.people.keys().filter(|it| allowed(catalog, it, Verb::Run, asking.about.system)) {
                    let system = asking.about.system;
                    if !seen.insert((runbook.name.clone(), system.name.clone(), person.clone(), policy.name.clone())) {
                        continue;
                    }
                    asking.requesters = vec![person.clone()];
                    found.requests += 1;
                    match asking.outlook(catalog, policy, &nobody) {
                        Ok(Outlook { verdict: Verdict::AtOnce | Verdict::After(_) | Verdict::Unasked, .. }) => {}
                        Ok(Outlook { verdict: Verdict::Unknown, .. }) => found.unknown += 1,
                        Ok(Outlook { verdict: Verdict::Never { stage, lacks }, .. }) => {
                            let sentence = say::deadlock(&runbook.name, system, person, &policy.name, stage, lacks);
                            found.sentences.push(sentence);
                        }
                        Err(error) => found.sentences.push(format!("{error:#}")),
                    }
                }
            }
        }
    }
    found
}

/// Values for the parameters of a runbook: every service and system that they can name, the others as they may be.
fn combinations(catalog: &Catalog, runbook: &Runbook) -> Vec<BTreeMap<String, String>> {
    let mut all: Vec<BTreeMap<String, String>> = vec![BTreeMap::new()];
    for param in &runbook.params {
        let systems = catalog.systems.values();
        let values: Vec<String> = match &param.kind {
            ParamKind::Service { system } => systems
                .filter(|it| system.as_ref().is_none_or(|name| *name == it.name))
                .flat_map(|it| it.services.keys().map(ToString::to_string))
                .collect(),
            ParamKind::System => systems.map(|it| it.name.to_string()).collect(),
            ParamKind::Choice(choices) => choices.first().cloned().into_iter().collect(),
            ParamKind::Integer { min, .. } => vec![min.to_string()],
            ParamKind::Text { .. } => vec!["x".to_owned()],
        };
        all = all
            .into_iter()
            .flat_map(|before| {
                values.iter().map(move |value| {
                    let mut with = before.clone();
                    with.insert(param.name.clone(), value.clone());
                    with
                })
            })
            .take(MOST_COMBINATIONS)
            .collect();
    }
    all
}

/// Moments from one on, one for each set of policies' times that can hold together.
fn moments(catalog: &Catalog, from: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    /// Hours come again every week; a day more, for nights.
    const A_WEEK: TimeDelta = TimeDelta::days(8);
    let windows: Vec<&Window> = catalog
        .policies
        .values()
        .filter_map(|policy| policy.when.as_ref())
        .flat_map(|when| when.during.iter().chain(&when.outside))
        .collect();
    let mut anchors = BTreeSet::from([from]);
    for window in &windows {
        if let Window::Dates { from: begins, until, .. } = window {
            anchors.extend([*begins, *until].into_iter().filter(|at| *at > from));
        }
    }
    let mut found: BTreeMap<Vec<bool>, DateTime<Utc>> = BTreeMap::new();
    let mut look = |at: DateTime<Utc>| {
        let held = windows.iter().map(|window| window.end_around(at).is_some()).collect();
        found.entry(held).or_insert(at);
    };
    for anchor in anchors {
        look(anchor);
        for window in &windows {
            let mut at = anchor;
            while let Some(next) = window.next_start(at).filter(|next| *next <= anchor + A_WEEK) {
                look(next);
                if let Some(end) = window.end_around(next) {
                    look(end);
                }
                at = next;
            }
            if let Some(end) = window.end_around(anchor) {
                look(end);
            }
        }
    }
    found.into_values().collect()
}

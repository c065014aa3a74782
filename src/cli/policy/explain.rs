//! `policy explain`: the lines about one request.

use std::collections::BTreeSet;

use super::{Asking, ExplainArgs, Moment, Outcome, Outlook, Who, people, say};
use crate::model::catalog::{Catalog, Subject};
use crate::model::id::RotaName;
use crate::text;

/// What becomes of the request, line by line.
pub(super) fn explain(catalog: &Catalog, args: &ExplainArgs, moment: Moment) -> anyhow::Result<Vec<String>> {
    let params: Vec<(&str, &str)> = args.params.iter().map(|pair| (pair.key.as_str(), pair.value.as_str())).collect();
    let who = match (&args.person, &args.trigger) {
        (Some(person), _) => Who::Person(person),
        (None, Some(trigger)) => Who::Trigger(trigger),
        (None, None) => anyhow::bail!("say who asks: --as PERSON or --trigger NAME"),
    };
    let Moment { at, zone } = moment;
    let asking = Asking::read(catalog, &args.runbook, &params, who, at)?;
    let asleep = people(catalog, &args.asleep)?;
    let requester = asking.requesters.first().cloned();
    let shown = match (&asking.trigger, &requester) {
        (Some(trigger), Some(owner)) => say::trigger(trigger, owner),
        (_, requester) => requester.as_ref().map(ToString::to_string).unwrap_or_default(),
    };
    let (system, runbook) = (asking.about.system, asking.runbook);
    let mut lines = vec![say::asked(&shown, &asking.about.deed, system, runbook, at, zone), String::new()];
    let candidates = match asking.outcome(catalog) {
        Outcome::NoPolicy => {
            lines.push(say::needs_no_policy(&runbook.name));
            return Ok(lines);
        }
        Outcome::NotAllowed(person) => {
            anyhow::bail!(say::may_not_ask(&person, system, &catalog.people_in(&system.may_run)))
        }
        Outcome::Policies(candidates) => candidates,
    };
    let Some(winner) = candidates.first() else { anyhow::bail!("the catalog has no policy for {}", runbook.name) };
    lines.push("Policies, the strictest first:".to_owned());
    for candidate in &candidates {
        let rule = winner.strictness.decided_by(&candidate.strictness);
        lines.push(say::candidate(candidate, rule));
    }
    let facts = asking.facts();
    for policy in catalog.policies.values() {
        let applies = candidates.iter().any(|candidate| candidate.policy.name == policy.name);
        let missed = policy.when.as_ref().and_then(|when| when.missed(&facts));
        if let (false, Some(missed)) = (applies, missed) {
            lines.push(say::not_now(&policy.name, missed));
        }
    }
    lines.push(String::new());
    if winner.policy.refuse.is_some() {
        lines.push(say::refuses(winner.policy, at));
        return Ok(lines);
    }
    if let Some(rule) = asking.starts_by_itself(winner.policy) {
        lines.push(say::automatic(&winner.policy.name, rule));
        return Ok(lines);
    }
    let Outlook { policy, stages, verdict, people_needed } = asking.outlook(catalog, winner.policy, &asleep)?;
    if let Some((person, rule)) = asking.starts_unasked(catalog, &policy) {
        lines.push(say::unasked(&policy.name, person, rule));
    }
    let of = stages.len();
    for (number, (stage, outlook)) in policy.stages.iter().zip(&stages).enumerate() {
        let from = (number == 0).then_some(at);
        lines.extend(say::stage(number + 1, of, stage, outlook, &policy, from, zone));
    }
    let rotas: BTreeSet<&RotaName> = policy
        .stages
        .iter()
        .flat_map(|stage| stage.subjects())
        .filter_map(|subject| match subject {
            Subject::Rota(rota) => Some(rota),
            Subject::Person(_) | Subject::Group(_) | Subject::Accountable => None,
        })
        .collect();
    lines
        .extend(rotas.into_iter().filter_map(|name| catalog.rotas.get(name)).map(|rota| text::on_call::rota(rota, at)));
    lines.push(String::new());
    lines.push(say::verdict(&verdict, people_needed, &asleep, at, zone));
    Ok(lines)
}

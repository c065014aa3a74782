//! Who gains by a difference.

use std::collections::{BTreeMap, BTreeSet};

use super::meet::{applies, goes_by_place, is_as_strict, refuses};
use super::{Access, Holder, Members, Rule, SystemAccess};
use crate::model::chat::UserGroup;
use crate::model::choice::When;
use crate::model::id::{PersonId, PolicyName, RunbookName, SystemName};

/// The people who come to have a right that they do not have in `now`: they do not countersign it themselves (I7). Of
/// groups that a platform keeps, whoever `members` says is in them.
///
/// Somebody gains by a new system or a new runbook only if they have no right of that kind anywhere yet: else those who
/// look after everything could never countersign one more.
pub fn gainers(now: &Access, wanted: &Access, members: &BTreeMap<UserGroup, BTreeSet<PersonId>>) -> BTreeSet<PersonId> {
    let mut gain = BTreeSet::new();
    for (person, accounts) in &wanted.people {
        let had = now.people.get(person);
        if had.is_none_or(|had| accounts.difference(had).next().is_some()) {
            gain.insert(person.clone());
        }
    }
    let people = |access: &Access, holders: BTreeSet<Holder>| access.people_of_holders(holders, members);
    let more = |after: BTreeSet<Holder>, before: BTreeSet<Holder>| {
        let before = people(now, before);
        people(wanted, after).into_iter().filter(move |person| !before.contains(person)).collect::<Vec<_>>()
    };
    for (person, above) in &wanted.reports_to {
        if now.reports_to.get(person) != Some(above) {
            gain.insert(above.clone());
        }
    }
    for (name, is) in &wanted.groups {
        let all = |members: &Members| match members {
            Members::Listed(people) => people.iter().cloned().map(Holder::Person).collect(),
            Members::Of(group) => BTreeSet::from([Holder::UserGroup(group.clone())]),
        };
        // A group that is new gives by what names it.
        if let Some(was) = now.groups.get(name) {
            gain.extend(more(all(is), all(was)));
        }
    }
    for (name, system) in &wanted.systems {
        for (right, subjects) in &system.rights {
            let before = match now.systems.contains_key(name) {
                true => now.holders(&now.right(name, *right)),
                false => now.systems.keys().flat_map(|any| now.holders(&now.right(any, *right))).collect(),
            };
            gain.extend(more(wanted.holders(subjects), before));
        }
        // Policies mean them by `accountable`.
        let answers = |of: &SystemAccess| of.accountable.is_some() && of.accountable == system.accountable;
        let answered = match now.systems.get(name) {
            Some(was) => answers(was),
            None => now.systems.values().any(answers),
        };
        if !answered {
            gain.extend(system.accountable.clone());
        }
    }
    gain.extend(people(wanted, where_something_stood(now, wanted)));
    for (name, needs) in &wanted.runbooks {
        // On other systems others may ask for it.
        if let Some(was) = now.runbooks.get(name).or_else(|| now.gone.get(name)) {
            gain.extend(more(wanted.askers(needs), now.askers_on(&was.systems, needs.asked_with())));
        }
        let was = now.runbooks.get(name).or_else(|| now.gone.get(name)).and_then(|was| was.approval.as_ref());
        let Some(policy) = &needs.approval else {
            // Whoever may ask needs nobody any more.
            if was.is_some() && needs.on_its_word {
                gain.extend(people(wanted, wanted.askers(needs)));
            }
            continue;
        };
        let rules =
            was.filter(|was| *was != policy).and_then(|was| now.policies.get(was)).zip(wanted.policies.get(policy));
        if rules.is_some_and(|(was, is)| !is_as_strict(is, was)) {
            gain.extend(people(wanted, wanted.approvers(policy)));
        }
        let before = match now.runbooks.get(name).map(|needs| &needs.approval) {
            Some(Some(policy)) => now.approvers(policy),
            // Of a policy that is there for others to name, whoever it names for whatever.
            Some(None) | None => now.deciders().into_iter().chain(now.approvers(policy)).collect(),
        };
        gain.extend(more(wanted.approvers(policy), before));
    }
    for (name, is) in &wanted.rotas {
        let all = |people: &BTreeSet<PersonId>| people.iter().cloned().map(Holder::Person).collect();
        if let Some(was) = now.rotas.get(name) {
            gain.extend(more(all(is), all(was)));
        }
    }
    for (name, is) in &wanted.policies {
        let was = now.policies.get(name);
        let before = match was {
            Some(was) if was == is => continue,
            Some(was) if is_as_strict(is, was) => now.approvers(name),
            // Fewer of those whom it names are needed, or less of them: whoever it names comes to decide more.
            Some(_) => BTreeSet::new(),
            // One that applies by itself stands in the place of what runbooks name: who agreed there among others decides alone.
            None if applies(is) => BTreeSet::new(),
            None => now.deciders(),
        };
        if !refuses(is) {
            gain.extend(more(wanted.approvers(name), before));
        }
        // Its triggers come to start more, in the name of whoever answers for them.
        let rules = |rule: &Rule| rule.policy.iter().flat_map(|policy| policy.automatic.clone()).collect::<Vec<_>>();
        let (before, after) = (was.map(rules).unwrap_or_default(), rules(is));
        for rule in after.iter().filter(|rule| !before.iter().any(|other| rule.is_within(other))) {
            let own = wanted.unagreed.iter().filter(|it| it.trigger.as_ref() == Some(&rule.trigger));
            gain.extend(own.filter_map(|it| it.owner.clone()));
        }
    }
    for it in wanted.unagreed.iter().filter(|it| !now.unagreed.contains(it)) {
        gain.extend(it.owner.clone());
        // Whoever may start it comes to start something else.
        let rules = wanted.policies.values().filter_map(|rule| rule.policy.as_ref()).flat_map(|policy| &policy.unasked);
        let by =
            rules.filter(|(runbook, _)| it.trigger.is_none() && *runbook == it.runbook).flat_map(|(_, rule)| &rule.by);
        gain.extend(people(wanted, wanted.holders(by)));
    }
    gain.extend(more(wanted.keepers(), now.keepers()));
    gain
}

/// Whoever agrees to what a runbook names where a policy stood that applied by itself and does so no more, and whom such a
/// policy names where it comes to stand: as its condition is another, or the environment or the risk that it goes by.
fn where_something_stood(now: &Access, wanted: &Access) -> BTreeSet<Holder> {
    let mut gain = BTreeSet::new();
    // What cannot be read may have stood anywhere.
    let stood = |rule: &Rule, where_: &dyn Fn(&When) -> bool| match &rule.policy {
        Some(policy) => policy.when.as_ref().is_some_and(where_),
        None => true,
    };
    let of_runbook = |when: &When, name: &RunbookName| when.runbooks.is_empty() || when.runbooks.contains(name);
    let leaves = |is: &Rule, was: &Rule| {
        let when = |rule: &Rule| rule.policy.as_ref().and_then(|policy| policy.when.clone());
        is != was && (when(is) != when(was) || refuses(was) && !refuses(is))
    };
    for (name, needs) in &wanted.runbooks {
        let Some(base) = &needs.approval else { continue };
        let gone = |(policy, was): (&PolicyName, &Rule)| {
            stood(was, &|when| of_runbook(when, name)) && wanted.policies.get(policy).is_none_or(|is| leaves(is, was))
        };
        let mut stood_there = now.policies.iter().any(gone);
        let mut came = |enters: &dyn Fn(&When) -> bool| {
            let all = wanted.policies.iter().filter(|(_, rule)| applies(rule) && !refuses(rule));
            for (policy, _) in all.filter(|(_, rule)| stood(rule, &|when| of_runbook(when, name) && enters(when))) {
                gain.extend(wanted.approvers(policy));
            }
        };
        if let Some(was) = now.runbooks.get(name).filter(|was| was.risk != needs.risk) {
            let only = |when: &When, risk, other| when.risks.contains(&risk) && !when.risks.contains(&other);
            stood_there |= now
                .policies
                .values()
                .any(|rule| stood(rule, &|when| of_runbook(when, name) && only(when, was.risk, needs.risk)));
            came(&|when| only(when, needs.risk, was.risk));
        }
        if now.runbooks.get(name).or_else(|| now.gone.get(name)).is_some_and(|was| was.systems != needs.systems) {
            stood_there |= now.policies.values().any(|rule| goes_by_place(rule, name));
        }
        let on = |system: &SystemName| needs.systems.is_empty() || needs.systems.contains(system);
        for (system, is) in wanted.systems.iter().filter(|(system, _)| on(system)) {
            let Some(was) = now.systems.get(system).filter(|was| was.environment != is.environment) else { continue };
            let only = |when: &When, one: &String, other: &String| {
                when.environments.contains(one) && !when.environments.contains(other)
            };
            stood_there |= now.policies.values().any(|rule| {
                stood(rule, &|when| of_runbook(when, name) && only(when, &was.environment, &is.environment))
            });
            came(&|when| only(when, &is.environment, &was.environment));
        }
        if stood_there {
            gain.extend(wanted.approvers(base));
        }
    }
    gain
}

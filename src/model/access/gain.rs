//! Who gains by a difference.

use std::collections::{BTreeMap, BTreeSet};

use super::meet::is_as_strict;
use super::{Access, Holder, Members};
use crate::model::chat::UserGroup;
use crate::model::id::PersonId;

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
    let people = |access: &Access, holders: BTreeSet<Holder>| -> BTreeSet<PersonId> {
        let of = |holder| match holder {
            Holder::Person(person) => vec![person],
            Holder::UserGroup(group) => members.get(&group).into_iter().flatten().cloned().collect(),
        };
        holders.into_iter().flat_map(of).filter(|person| access.people.contains_key(person)).collect()
    };
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
    }
    for (name, needs) in &wanted.runbooks {
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
            Some(None) | None => now.policies.keys().flat_map(|policy| now.approvers(policy)).collect(),
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
        match now.policies.get(name) {
            Some(was) if was == is => continue,
            // Fewer of those whom it names are needed, or less of them: whoever it names comes to decide more.
            Some(was) if !is_as_strict(is, was) => gain.extend(people(wanted, wanted.approvers(name))),
            Some(_) | None => {}
        }
        // One that applies by itself stands in the place of what runbooks name.
        gain.extend(more(wanted.approvers(name), now.policies.keys().flat_map(|any| now.approvers(any)).collect()));
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

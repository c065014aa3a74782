//! Who gains by a difference.

use std::collections::{BTreeMap, BTreeSet};

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
        let Some(policy) = &needs.approval else { continue };
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
    // One that applies by itself stands in the place of what runbooks name.
    for name in wanted.policies.keys().filter(|name| now.policies.get(*name) != wanted.policies.get(*name)) {
        gain.extend(more(wanted.approvers(name), now.policies.keys().flat_map(|any| now.approvers(any)).collect()));
    }
    gain.extend(more(wanted.keepers(), now.keepers()));
    gain
}

//! A catalog in which only that stands which is in force.

use std::collections::{BTreeMap, BTreeSet};

use super::{Access, Members, Right, Rule, Unagreed};
use crate::model::catalog::{Catalog, Countersigners, Room, Subject, Trigger};
use crate::model::chat::{Account, RoomAddress};
use crate::model::group::{Blind, Group, Kept, Sight};
use crate::model::id::{PersonId, PolicyName, RoomName, RunbookName, TriggerName};
use crate::model::policy::Bound;

impl Access {
    /// Leaves in a catalog only what this value allows: what is not in force is as if nobody had written it, and a policy
    /// that waits is the one before.
    ///
    /// `self` is what is in force for that very catalog, as [`in_force`](super::in_force) made it.
    pub fn narrow(&self, catalog: &mut Catalog) {
        let list = |subjects: Option<&BTreeSet<Subject>>| subjects.into_iter().flatten().cloned().collect::<Vec<_>>();
        catalog.people.retain(|name, _| self.people.contains_key(name));
        for (name, person) in &mut catalog.people {
            let own = self.people.get(name);
            person.accounts.retain(|account| own.is_some_and(|own| own.contains(account)));
        }
        catalog.reports_to.clone_from(&self.reports_to);
        let wanted = std::mem::take(&mut catalog.groups);
        catalog.groups = self
            .groups
            .iter()
            .map(|(name, members)| (name.clone(), group(wanted.get(name), members, &self.people)))
            .collect();
        catalog.rotas.retain(|name, _| self.rotas.contains_key(name));
        for (name, rota) in &mut catalog.rotas {
            let own = |person: &PersonId| self.rotas.get(name).is_some_and(|own| own.contains(person));
            rota.members.retain(&own);
            rota.stand_ins.retain(&own);
            rota.overrides.retain(|over| own(&over.person));
            // Somebody is always on call.
            if rota.members.is_empty() {
                rota.members = std::mem::take(&mut rota.stand_ins);
            }
        }
        let before = std::mem::take(&mut catalog.rooms);
        let room = |(name, address): (&RoomName, &RoomAddress)| {
            let kept = before.get(name).filter(|room| room.address == *address).cloned();
            let room = kept.unwrap_or_else(|| Room { name: name.clone(), address: address.clone() });
            (name.clone(), room)
        };
        catalog.rooms = self.rooms.iter().map(room).collect();
        catalog.systems.retain(|name, _| self.systems.contains_key(name));
        for (name, system) in &mut catalog.systems {
            let Some(access) = self.systems.get(name) else { continue };
            system.environment.clone_from(&access.environment);
            system.room.clone_from(&access.room);
            system.accountable.clone_from(&access.accountable);
            for right in Right::ALL {
                if let Some(subjects) = right.of_mut(system) {
                    let allowed = list(access.rights.get(&right));
                    // In the order in which they were written, as far as they were.
                    let mut kept: Vec<Subject> =
                        subjects.iter().filter(|subject| allowed.contains(subject)).cloned().collect();
                    kept.extend(allowed.into_iter().filter(|subject| !subjects.contains(subject)));
                    *subjects = kept;
                }
            }
        }
        // What does something else than what was countersigned starts nothing: people are asked.
        let as_countersigned: BTreeSet<Unagreed> =
            Unagreed::of(catalog).into_iter().filter(|it| self.unagreed.contains(it)).collect();
        // The text decides, so that a policy that nobody changed is the one that was read now.
        let mut read = std::mem::take(&mut catalog.policies);
        let kept = |(name, rule): (&PolicyName, &Rule)| {
            let policy = read.remove(name).filter(|policy| policy.text == rule.text).or_else(|| rule.policy.clone());
            Some((name.clone(), policy?))
        };
        catalog.policies = self.policies.iter().filter_map(kept).collect();
        for policy in catalog.policies.values_mut() {
            let of_trigger = |trigger: &TriggerName, bound: &Bound| {
                let mut all = as_countersigned.iter();
                all.any(|it| it.trigger.as_ref() == Some(trigger) && it.runbook == bound.runbook)
            };
            policy.automatic.retain(|rule| rule.bound.as_ref().is_some_and(|bound| of_trigger(&rule.trigger, bound)));
            let of_people = |runbook: &RunbookName| {
                as_countersigned.iter().any(|it| it.trigger.is_none() && it.runbook == *runbook)
            };
            policy.unasked.retain(|(runbook, _)| of_people(runbook));
        }
        catalog.runbooks.retain(|name, _| self.runbooks.contains_key(name));
        for (name, runbook) in &mut catalog.runbooks {
            if let Some(needs) = self.runbooks.get(name) {
                runbook.approval.clone_from(&needs.approval);
                runbook.risk = needs.risk;
            }
        }
        let Catalog { people, runbooks, systems, .. } = &*catalog;
        let stands = |trigger: &Trigger| {
            people.contains_key(&trigger.owner)
                && runbooks.contains_key(&trigger.run)
                && systems.contains_key(&trigger.on.system)
        };
        let waiting: Vec<_> =
            catalog.triggers.iter().filter(|(_, it)| !stands(it)).map(|(name, _)| name.clone()).collect();
        for name in waiting {
            catalog.triggers.remove(&name);
        }
        let changed_by = catalog.access.take().map(|access| access.changed_by).unwrap_or_default();
        catalog.access = self.keepers.as_ref().map(|keepers| Countersigners {
            by: keepers.by.iter().cloned().collect(),
            room: keepers.room.clone(),
            changed_by,
        });
    }
}

/// A group as it is in force. Of one that a platform keeps, what was seen of it stays seen.
fn group(read: Option<&Group>, members: &Members, people: &BTreeMap<PersonId, BTreeSet<Account>>) -> Group {
    match members {
        Members::Listed(members) => Group { members: members.clone(), kept: Kept::Catalog },
        Members::Of(wanted) => match read {
            Some(Group { members, kept: kept @ Kept::Platform { user_group, .. } }) if user_group == wanted => {
                let members = members.iter().filter(|person| people.contains_key(person)).cloned().collect();
                Group { members, kept: kept.clone() }
            }
            _ => {
                let sight = Sight::Blind(Blind::NotAsked);
                Group { members: BTreeSet::new(), kept: Kept::Platform { user_group: wanted.clone(), sight } }
            }
        },
    }
}

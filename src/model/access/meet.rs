//! What holds while a difference waits.

use std::collections::{BTreeMap, BTreeSet};

use super::{Access, Holder, Keepers, Members, Needs, Right, Rule, SystemAccess, Unagreed};
use crate::model::catalog::{Policy, Subject};
use crate::model::chat::Account;
use crate::model::choice::Risk;
use crate::model::id::{GroupName, PersonId, PolicyName, RoomName, RunbookName};
use crate::model::strict::{laxer, listed};

/// Every subject whose word lets something start under a policy, and whose word is wanted afterwards.
pub(super) fn named(rule: &Rule) -> BTreeSet<Subject> {
    let beside = |policy: &Policy| {
        let broken = policy.break_glass.iter().flat_map(|glass| glass.by.iter().chain(&glass.reviewed_by));
        let unasked = policy.unasked.iter().flat_map(|(_, rule)| &rule.by);
        broken.chain(unasked).cloned().collect::<Vec<_>>()
    };
    rule.policy.iter().flat_map(|policy| policy.subjects().cloned().chain(beside(policy))).collect()
}

/// Every subject whose word lets something start that others have to agree to. Nobody, where it refuses.
pub(super) fn deciding(rule: &Rule) -> BTreeSet<Subject> {
    let asks = rule.policy.iter().filter(|policy| policy.refuse.is_none());
    let of = |policy: &Policy| {
        let broken = policy.break_glass.iter().flat_map(|glass| &glass.by);
        policy.subjects().chain(broken).cloned().collect::<Vec<_>>()
    };
    asks.flat_map(of).collect()
}

/// Whether a policy lets nothing pass that another would not: known to be so. Words and comments do not matter.
pub(super) fn is_as_strict(new: &Rule, old: &Rule) -> bool {
    new == old || new.policy.as_ref().zip(old.policy.as_ref()).is_some_and(|(new, old)| stricter(new, old))
}

fn stricter(new: &Policy, old: &Policy) -> bool {
    // A policy that applies to more takes the place of others, and one that applies to less gives it up.
    let replaces_no_more = new.replaces.iter().all(|name| old.replaces.contains(name));
    new.when == old.when && replaces_no_more && laxer(new, old, &listed).is_none()
}

/// What is in force while `wanted` waits to be countersigned over `approved`: all that was taken away is gone, nothing that
/// was given is there yet.
pub fn in_force(approved: &Access, wanted: &Access) -> Access {
    let mut now = Access {
        people: meet_people(approved, wanted),
        reports_to: BTreeMap::new(),
        groups: BTreeMap::new(),
        rotas: BTreeMap::new(),
        policies: BTreeMap::new(),
        runbooks: BTreeMap::new(),
        systems: BTreeMap::new(),
        rooms: BTreeMap::new(),
        unagreed: BTreeSet::new(),
        gone: BTreeMap::new(),
        keepers: None,
    };
    for (person, was) in &approved.reports_to {
        // Whoever denied something is needed as long as nobody above them is.
        if wanted.reports_to.contains_key(person) && [person, was].iter().all(|name| now.people.contains_key(*name)) {
            now.reports_to.insert(person.clone(), was.clone());
        }
    }
    now.groups = meet_groups(approved, wanted, &now.people);
    for (name, was) in &approved.rotas {
        let both = wanted.rotas.get(name).into_iter().flatten().filter(|person| was.contains(*person));
        let both: BTreeSet<PersonId> = both.filter(|person| now.people.contains_key(*person)).cloned().collect();
        // Nobody is on call in a rota without anybody.
        if !both.is_empty() {
            now.rotas.insert(name.clone(), both);
        }
    }
    for (name, was) in &approved.systems {
        let Some(is) = wanted.systems.get(name) else { continue };
        let rights = Right::ALL.into_iter().map(|right| {
            let (was, is) = (approved.right(name, right), wanted.right(name, right));
            (right, meet_subjects(approved, &was, wanted, &is, &now))
        });
        let rights = rights.filter(|(_, who)| !who.is_empty()).collect();
        // Where it is shown, and as which environment it is judged, is not known to give or to take: both stay until
        // somebody has looked at it.
        // Somebody answers for it until it is agreed that somebody else does; that nobody does holds at once.
        let accountable =
            was.accountable.clone().filter(|person| is.accountable.is_some() && now.people.contains_key(person));
        let (environment, room) = (was.environment.clone(), was.room.clone());
        let access = SystemAccess { environment, room, accountable, rights };
        now.systems.insert(name.clone(), access);
    }
    meet_runbooks(approved, wanted, &mut now);
    // What was countersigned, as it was: what does something else by now starts nothing until that is countersigned too.
    let still = |it: &&Unagreed| {
        let rules = || now.policies.values().filter_map(|rule| rule.policy.as_ref());
        wanted.unagreed.iter().any(|other| it.is_same(other))
            && now.runbooks.contains_key(&it.runbook)
            && rules().any(|policy| it.is_named_by(policy))
    };
    now.unagreed = approved.unagreed.iter().filter(still).cloned().collect();
    now.keepers = meet_keepers(approved, wanted, &now);
    keep_groups(approved, wanted, &mut now);
    meet_rooms(approved, wanted, &mut now);
    now
}

fn meet_people(approved: &Access, wanted: &Access) -> BTreeMap<PersonId, BTreeSet<Account>> {
    let both = approved.people.iter().filter_map(|(name, was)| {
        let is = wanted.people.get(name)?;
        Some((name.clone(), was.intersection(is).cloned().collect()))
    });
    both.collect()
}

fn meet_groups(
    approved: &Access,
    wanted: &Access,
    people: &BTreeMap<PersonId, BTreeSet<Account>>,
) -> BTreeMap<GroupName, Members> {
    let mut groups = BTreeMap::new();
    for (name, was) in &approved.groups {
        let Some(is) = wanted.groups.get(name) else { continue };
        let members = match (was, is) {
            (Members::Listed(was), Members::Listed(is)) => Members::Listed(was.intersection(is).cloned().collect()),
            // Whether the one is more than the other cannot be told.
            (was, _) => was.clone(),
        };
        groups.insert(name.clone(), still_there(members, people));
    }
    groups
}

fn still_there(members: Members, people: &BTreeMap<PersonId, BTreeSet<Account>>) -> Members {
    match members {
        Members::Listed(mut members) => {
            members.retain(|person| people.contains_key(person));
            Members::Listed(members)
        }
        Members::Of(user_group) => Members::Of(user_group),
    }
}

/// Who is meant by both lists: the subjects that stand in both, and the people whom both mean otherwise. `now` knows the
/// people and groups that are in force.
fn meet_subjects(
    approved: &Access,
    was: &BTreeSet<Subject>,
    wanted: &Access,
    is: &BTreeSet<Subject>,
    now: &Access,
) -> BTreeSet<Subject> {
    let in_force = |subject: &Subject| match subject {
        Subject::Person(person) => now.people.contains_key(person),
        Subject::Group(group) => now.groups.contains_key(group),
        Subject::Rota(rota) => now.rotas.contains_key(rota),
        Subject::Accountable => true,
    };
    let mut both: BTreeSet<Subject> = was.intersection(is).filter(|subject| in_force(subject)).cloned().collect();
    let there = now.holders(&both);
    let (before, after) = (approved.holders(was), wanted.holders(is));
    for holder in before.intersection(&after).filter(|holder| !there.contains(holder)) {
        if let Holder::Person(person) = holder {
            both.insert(Subject::Person(person.clone()));
        }
    }
    both
}

fn meet_runbooks(approved: &Access, wanted: &Access, now: &mut Access) {
    // The policy of this name as it is in force for whoever names it.
    let rule = |name: &PolicyName| match (approved.policies.get(name), wanted.policies.get(name)) {
        (Some(was), Some(is)) => Some(if is_as_strict(is, was) { is } else { was }),
        (Some(only), None) | (None, Some(only)) => Some(only),
        (None, None) => None,
    };
    // One that is new and applies by itself would take the place of others.
    let takes_over =
        |name: &PolicyName| !approved.policies.contains_key(name) && wanted.policies.get(name).is_some_and(applies);
    let by_risk = approved.policies.values().any(goes_by_risk);
    for (name, is) in &wanted.runbooks {
        // One that was there once comes back to what it needed then.
        let before = approved.runbooks.get(name).or_else(|| approved.gone.get(name));
        if before.and_then(|was| was.approval.as_ref()).is_some_and(|was| !approved.policies.contains_key(was)) {
            continue;
        }
        let more = |was: &Needs| !now.askers(is).is_subset(&now.askers_on(&was.systems, is.asked_with()));
        let asked_by_more = before.is_some_and(more);
        // On other systems it may be out of the reach of what stands in its way.
        let moved = before.is_some_and(|was| was.systems != is.systems);
        let out_of_reach = moved && approved.policies.values().any(|rule| goes_by_place(rule, name));
        if asked_by_more || out_of_reach || !is.systems.iter().all(|system| now.systems.contains_key(system)) {
            continue;
        }
        let approval = match (before.map(|was| &was.approval), &is.approval) {
            // It had to be agreed to, and must be still: by whom, changes only to who is at least as strict.
            (Some(Some(was)), Some(is)) if was != is => match (approved.policies.get(was), rule(is)) {
                (Some(before), Some(after)) if is_as_strict(after, before) && !takes_over(is) => Some(is.clone()),
                _ => Some(was.clone()),
            },
            (Some(Some(was)), Some(_)) => Some(was.clone()),
            // What needs nobody and acts all the same waits, unless exactly what it does was countersigned: nobody reads its plan.
            (_, None) if is.on_its_word && !before.is_some_and(|was| is.does_the_same(was)) => continue,
            (_, None) => None,
            // Nobody had to agree, or there was no such runbook. Under a policy that is in force nobody comes to agree who
            // does not already.
            (Some(None) | None, Some(is)) if approved.policies.contains_key(is) => Some(is.clone()),
            (Some(None) | None, Some(_)) => continue,
        };
        let (on_its_word, runs) = (is.on_its_word, is.runs);
        // Where policies go by it, how little can go wrong is not the word of whoever writes the file.
        let new = if by_risk { Risk::High } else { is.risk };
        let risk = before.map_or(new, |was| was.risk);
        now.runbooks.insert(name.clone(), Needs { approval, on_its_word, runs, risk, systems: is.systems.clone() });
    }
    now.gone = approved
        .gone
        .iter()
        .chain(&approved.runbooks)
        .filter(|(name, _)| !now.runbooks.contains_key(*name))
        .map(|(name, needs)| (name.clone(), needs.clone()))
        .collect();
    let needed: BTreeSet<PolicyName> = now.runbooks.values().filter_map(|needs| needs.approval.clone()).collect();
    for (name, was) in &approved.policies {
        // One that nothing names gives nobody a right; naming it needs no countersignature, as it is in force.
        // One that applies by itself stands in the way of others, and does so until it is agreed that it goes.
        if wanted.policies.contains_key(name) || needed.contains(name) || applies(was) {
            now.policies.insert(name.clone(), rule(name).unwrap_or(was).clone());
        }
    }
    // What only refuses gives nobody anything.
    for (name, is) in &wanted.policies {
        if !approved.policies.contains_key(name) && refuses(is) {
            now.policies.insert(name.clone(), is.clone());
        }
    }
    for name in needed {
        if let (false, Some(rule)) = (now.policies.contains_key(&name), rule(&name)) {
            now.policies.insert(name, rule.clone());
        }
    }
}

/// Whether it applies to runbooks that do not name it. What cannot be read may.
pub(super) fn applies(rule: &Rule) -> bool {
    rule.policy.as_ref().is_none_or(|policy| policy.when.is_some())
}

/// Whether it lets nobody agree.
pub(super) fn refuses(rule: &Rule) -> bool {
    rule.policy.as_ref().is_some_and(|policy| policy.refuse.is_some())
}

/// Whether how much can go wrong decides where it applies. What cannot be read may go by it.
fn goes_by_risk(rule: &Rule) -> bool {
    rule.policy.as_ref().is_none_or(|policy| policy.when.as_ref().is_some_and(|when| !when.risks.is_empty()))
}

/// Whether the system on which a runbook works decides whether it applies. What cannot be read may go by it.
pub(super) fn goes_by_place(rule: &Rule, runbook: &RunbookName) -> bool {
    rule.policy.as_ref().is_none_or(|policy| {
        policy.when.as_ref().is_some_and(|when| {
            let of_runbook = when.runbooks.is_empty() || when.runbooks.contains(runbook);
            of_runbook && !(when.environments.is_empty() && when.targets.is_empty())
        })
    })
}

fn meet_keepers(approved: &Access, wanted: &Access, now: &Access) -> Option<Keepers> {
    let was = approved.keepers.as_ref()?;
    // That nobody is to countersign any more waits for them as well.
    let is = wanted.keepers.as_ref().map_or(&was.by, |is| &is.by);
    let mut by = meet_subjects(approved, &was.by, wanted, is, now);
    if now.holders(&by).is_empty() {
        // Nobody would be left who can agree to the others: then the old ones have to, whatever became of what named them.
        let old = approved.holders(&was.by).into_iter().filter_map(|holder| match holder {
            Holder::Person(person) => now.people.contains_key(&person).then_some(Subject::Person(person)),
            Holder::UserGroup(_) => None,
        });
        let kept_elsewhere = |subject: &&Subject| match subject {
            Subject::Group(name) => matches!(approved.groups.get(name), Some(Members::Of(_))),
            Subject::Person(_) | Subject::Rota(_) | Subject::Accountable => false,
        };
        by = old.collect();
        // Who is in a platform's group is the platform's to say: it is kept where nobody else is left.
        if by.is_empty() {
            by.extend(was.by.iter().filter(kept_elsewhere).cloned());
        }
    }
    // They are taken away themselves: then it is up to an operator.
    if by.is_empty() {
        by.clone_from(&was.by);
    }
    Some(Keepers { by, room: was.room.clone() })
}

/// Groups that are no more, and that something which waits still names: those of their people stay who have the same by
/// what is wanted.
fn keep_groups(approved: &Access, wanted: &Access, now: &mut Access) {
    let mut left: BTreeMap<GroupName, BTreeSet<PersonId>> = BTreeMap::new();
    let mut limit = |subjects: &BTreeSet<Subject>, by: &BTreeSet<Holder>| {
        for subject in subjects {
            let Subject::Group(name) = subject else { continue };
            let (Some(Members::Listed(was)), None) = (approved.groups.get(name), wanted.groups.get(name)) else {
                continue;
            };
            let members = left.entry(name.clone()).or_insert_with(|| was.clone());
            members.retain(|person| by.contains(&Holder::Person(person.clone())));
        }
    };
    for (name, rule) in &now.policies {
        limit(&named(rule), &wanted.approvers(name));
    }
    for (name, members) in left {
        let members = still_there(Members::Listed(members), &now.people);
        now.groups.insert(name, members);
    }
    // Of these, only if the old ones have to agree.
    for subject in now.keepers.iter().flat_map(|keepers| &keepers.by) {
        if let Subject::Group(name) = subject
            && let (Some(was), false) = (approved.groups.get(name), now.groups.contains_key(name))
        {
            now.groups.insert(name.clone(), still_there(was.clone(), &now.people));
        }
    }
}

fn meet_rooms(approved: &Access, wanted: &Access, now: &mut Access) {
    let needed: BTreeSet<&RoomName> = now
        .systems
        .values()
        .map(|system| &system.room)
        .chain(now.keepers.as_ref().map(|keepers| &keepers.room))
        .collect();
    let kept = approved.rooms.iter().filter(|(name, _)| wanted.rooms.contains_key(name) || needed.contains(name));
    now.rooms = kept.map(|(name, address)| (name.clone(), address.clone())).collect();
}

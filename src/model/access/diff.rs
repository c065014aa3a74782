//! What differs between two of them, and what each difference does.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::meet::is_as_strict;
use super::{Access, Keepers, Members, Needs, Right};
use crate::model::catalog::Subject;
use crate::model::chat::{Account, RoomAddress};
use crate::model::choice::Risk;
use crate::model::id::{GroupName, PersonId, PolicyName, RoomName, RotaName, RunbookName, SystemName, TriggerName};

/// What a change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It gives a right to somebody who had it not.
    Gives,
    /// It takes a right from somebody who had it.
    Takes,
    /// Neither, or nobody can tell.
    Other,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What it does.
    pub effect: Effect,
    /// What it is.
    pub what: What,
}

/// What differs. The names of the variants are stored: they never change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A person was added.
    PersonCame {
        /// Who.
        person: PersonId,
        /// Their accounts.
        accounts: Vec<Account>,
    },
    /// A person was removed.
    PersonLeft {
        /// Who.
        person: PersonId,
    },
    /// An account was added to a person.
    AccountCame {
        /// Whose.
        person: PersonId,
        /// Which.
        account: Account,
    },
    /// An account was taken from a person.
    AccountLeft {
        /// Whose.
        person: PersonId,
        /// Which.
        account: Account,
    },
    /// Somebody reports to somebody else: who may agree in their place to what they denied before.
    ReportsTo {
        /// Who.
        person: PersonId,
        /// To whom they did.
        was: Option<PersonId>,
        /// To whom they do.
        now: Option<PersonId>,
    },
    /// A group was added.
    GroupCame {
        /// Which.
        group: GroupName,
        /// Who is in it.
        members: Members,
    },
    /// A group was removed.
    GroupLeft {
        /// Which.
        group: GroupName,
    },
    /// Somebody else says who is in a group.
    GroupKept {
        /// Which.
        group: GroupName,
        /// Who was in it.
        was: Members,
        /// Who is.
        now: Members,
    },
    /// A person was put into a group.
    MemberCame {
        /// Which group.
        group: GroupName,
        /// Who.
        person: PersonId,
    },
    /// A person was taken out of a group.
    MemberLeft {
        /// Which group.
        group: GroupName,
        /// Who.
        person: PersonId,
    },
    /// A rota was added.
    RotaCame {
        /// Which.
        rota: RotaName,
        /// Everybody in it.
        people: Vec<PersonId>,
    },
    /// A rota was removed, or nobody is left in it.
    RotaLeft {
        /// Which.
        rota: RotaName,
    },
    /// A person was put into a rota.
    RotaMemberCame {
        /// Which rota.
        rota: RotaName,
        /// Who.
        person: PersonId,
    },
    /// A person was taken out of a rota.
    RotaMemberLeft {
        /// Which rota.
        rota: RotaName,
        /// Who.
        person: PersonId,
    },
    /// Somebody else answers for a system.
    SystemAccountable {
        /// Which.
        system: SystemName,
        /// Who did.
        was: Option<PersonId>,
        /// Who does.
        now: Option<PersonId>,
    },
    /// As much can go wrong with a runbook as its author says.
    RunbookRisk {
        /// Which.
        runbook: RunbookName,
        /// What it was.
        was: Risk,
        /// What it is.
        now: Risk,
    },
    /// A policy was added.
    PolicyCame {
        /// Which.
        policy: PolicyName,
        /// Its lines.
        text: Vec<String>,
    },
    /// A policy was removed.
    PolicyLeft {
        /// Which.
        policy: PolicyName,
    },
    /// A policy was changed.
    PolicyChanged {
        /// Which.
        policy: PolicyName,
        /// Lines that it had and has no more.
        without: Vec<String>,
        /// Lines that it has and had not.
        with: Vec<String>,
    },
    /// A runbook was added.
    RunbookCame {
        /// Which.
        runbook: RunbookName,
        /// Who must agree.
        approval: Option<PolicyName>,
        /// How much can go wrong, as its author says; `None` in events of earlier releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        risk: Option<Risk>,
        /// Which systems it names, none is any; `None` in events of earlier releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        systems: Option<BTreeSet<SystemName>>,
    },
    /// A runbook was removed.
    RunbookLeft {
        /// Which.
        runbook: RunbookName,
    },
    /// A runbook names another policy, or none, or acts on its author's word that it changes nothing.
    RunbookNeeds {
        /// Which.
        runbook: RunbookName,
        /// Who had to agree.
        was: Option<PolicyName>,
        /// Who must agree.
        now: Option<PolicyName>,
    },
    /// A runbook that needs nobody's agreement, and does more than ask checks, does what nobody has countersigned.
    RunbookActs {
        /// Which.
        runbook: RunbookName,
    },
    /// A runbook works on other systems, so that others may ask for it.
    RunbookMoved {
        /// Which.
        runbook: RunbookName,
        /// Which systems it named; none is any.
        was: BTreeSet<SystemName>,
        /// Which it names.
        now: BTreeSet<SystemName>,
    },
    /// A runbook may start without anybody's agreement.
    UnagreedCame {
        /// The trigger that starts it; `None`: people do.
        trigger: Option<TriggerName>,
        /// Which.
        runbook: RunbookName,
        /// Who answers for the trigger; `None` in events of earlier releases as well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<PersonId>,
    },
    /// A runbook that may start without anybody's agreement does something else, or for another reason.
    UnagreedChanged {
        /// The trigger that starts it; `None`: people do.
        trigger: Option<TriggerName>,
        /// Which.
        runbook: RunbookName,
        /// Whether its file or a script of it changed.
        runs: bool,
        /// Whether the trigger's file changed.
        fires: bool,
    },
    /// A runbook does not start without anybody's agreement any more.
    UnagreedLeft {
        /// The trigger that started it; `None`: people did.
        trigger: Option<TriggerName>,
        /// Which.
        runbook: RunbookName,
    },
    /// A system was added.
    SystemCame {
        /// Which.
        system: SystemName,
        /// Its environment: policies go by it. `None` in events of earlier releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        environment: Option<String>,
        /// Its room; `None` in events of earlier releases.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        room: Option<RoomName>,
    },
    /// A system was removed.
    SystemLeft {
        /// Which.
        system: SystemName,
    },
    /// A system has another environment.
    SystemEnvironment {
        /// Which.
        system: SystemName,
        /// What it was.
        was: String,
        /// What it is.
        now: String,
    },
    /// A system is shown in another room.
    SystemRoom {
        /// Which.
        system: SystemName,
        /// Where it was.
        was: RoomName,
        /// Where it is.
        now: RoomName,
    },
    /// Somebody was put into a list of rights.
    RightCame {
        /// On which system.
        system: SystemName,
        /// Which.
        right: Right,
        /// Who.
        subject: Subject,
    },
    /// Somebody was taken out of a list of rights.
    RightLeft {
        /// On which system.
        system: SystemName,
        /// Which.
        right: Right,
        /// Who.
        subject: Subject,
    },
    /// A room was added.
    RoomCame {
        /// Which.
        room: RoomName,
        /// Where it is.
        address: RoomAddress,
    },
    /// A room was removed.
    RoomLeft {
        /// Which.
        room: RoomName,
    },
    /// A room is somewhere else.
    RoomMoved {
        /// Which.
        room: RoomName,
        /// Where it was.
        was: RoomAddress,
        /// Where it is.
        now: RoomAddress,
    },
    /// Somebody was put among those who countersign.
    KeeperCame {
        /// Who.
        subject: Subject,
    },
    /// Somebody was taken from among those who countersign.
    KeeperLeft {
        /// Who.
        subject: Subject,
    },
    /// Changes are told in another room.
    KeepersRoom {
        /// Where they were; `None`: nobody was named to countersign.
        was: Option<RoomName>,
        /// Where they are; `None`: nobody is named any more.
        now: Option<RoomName>,
    },
}

/// What differs between two of them, in the order: people, groups, rotas, who countersigns, policies, systems, runbooks, what
/// starts without anybody's agreement, rooms.
pub fn diff(old: &Access, new: &Access) -> Vec<Change> {
    let mut changes = Changes { old, new, list: Vec::new() };
    changes.people();
    changes.groups();
    changes.rotas();
    changes.keepers();
    changes.policies();
    changes.systems();
    changes.runbooks();
    changes.unagreed();
    changes.rooms();
    changes.list
}

struct Changes<'a> {
    old: &'a Access,
    new: &'a Access,
    list: Vec<Change>,
}

impl Changes<'_> {
    fn add(&mut self, effect: Effect, what: What) {
        self.list.push(Change { effect, what });
    }

    fn people(&mut self) {
        let (old, new) = (self.old, self.new);
        for (person, accounts) in &new.people {
            match old.people.get(person) {
                None => {
                    let accounts = accounts.iter().cloned().collect();
                    self.add(Effect::Gives, What::PersonCame { person: person.clone(), accounts });
                }
                Some(before) => {
                    for account in accounts.difference(before) {
                        let (person, account) = (person.clone(), account.clone());
                        self.add(Effect::Gives, What::AccountCame { person, account });
                    }
                    for account in before.difference(accounts) {
                        let (person, account) = (person.clone(), account.clone());
                        self.add(Effect::Takes, What::AccountLeft { person, account });
                    }
                }
            }
        }
        let named: BTreeSet<&PersonId> = old.reports_to.keys().chain(new.reports_to.keys()).collect();
        for person in named {
            let (was, now) = (old.reports_to.get(person).cloned(), new.reports_to.get(person).cloned());
            if was != now {
                let effect = if now.is_some() { Effect::Gives } else { Effect::Takes };
                self.add(effect, What::ReportsTo { person: person.clone(), was, now });
            }
        }
        for person in old.people.keys().filter(|person| !new.people.contains_key(person)) {
            self.add(Effect::Takes, What::PersonLeft { person: person.clone() });
        }
    }

    fn groups(&mut self) {
        let (old, new) = (self.old, self.new);
        for (group, members) in &new.groups {
            match (old.groups.get(group), members) {
                (None, _) => {
                    let (group, members) = (group.clone(), members.clone());
                    self.add(Effect::Other, What::GroupCame { group, members });
                }
                (Some(Members::Listed(before)), Members::Listed(now)) => {
                    for person in now.difference(before) {
                        let (group, person) = (group.clone(), person.clone());
                        self.add(Effect::Gives, What::MemberCame { group, person });
                    }
                    for person in before.difference(now) {
                        let (group, person) = (group.clone(), person.clone());
                        self.add(Effect::Takes, What::MemberLeft { group, person });
                    }
                }
                (Some(before), now) if before != now => {
                    let (group, was, now) = (group.clone(), before.clone(), now.clone());
                    self.add(Effect::Other, What::GroupKept { group, was, now });
                }
                (Some(_), _) => {}
            }
        }
        for group in old.groups.keys().filter(|group| !new.groups.contains_key(group)) {
            self.add(Effect::Takes, What::GroupLeft { group: group.clone() });
        }
    }

    fn rotas(&mut self) {
        let (old, new) = (self.old, self.new);
        for (rota, people) in &new.rotas {
            let Some(before) = old.rotas.get(rota) else {
                let (rota, people) = (rota.clone(), people.iter().cloned().collect());
                self.add(Effect::Other, What::RotaCame { rota, people });
                continue;
            };
            for person in people.difference(before) {
                self.add(Effect::Gives, What::RotaMemberCame { rota: rota.clone(), person: person.clone() });
            }
            for person in before.difference(people) {
                self.add(Effect::Takes, What::RotaMemberLeft { rota: rota.clone(), person: person.clone() });
            }
        }
        for rota in old.rotas.keys().filter(|rota| !new.rotas.contains_key(rota)) {
            self.add(Effect::Takes, What::RotaLeft { rota: rota.clone() });
        }
    }

    /// What came into a list and what left it. It gives when somebody has come to have the right by it.
    fn subjects(
        &mut self,
        before: &BTreeSet<Subject>,
        after: &BTreeSet<Subject>,
        came: impl Fn(Subject) -> What,
        left: impl Fn(Subject) -> What,
    ) {
        let (old, new) = (self.old, self.new);
        let (had, have) = (old.holders(before), new.holders(after));
        for subject in after.difference(before) {
            let gives = new.holders([subject]).iter().any(|holder| !had.contains(holder));
            self.add(if gives { Effect::Gives } else { Effect::Other }, came(subject.clone()));
        }
        for subject in before.difference(after) {
            let takes = old.holders([subject]).iter().any(|holder| !have.contains(holder));
            self.add(if takes { Effect::Takes } else { Effect::Other }, left(subject.clone()));
        }
    }

    fn keepers(&mut self) {
        let none = BTreeSet::new();
        let by = |access: Option<&Keepers>| access.map_or(none.clone(), |keepers| keepers.by.clone());
        let (was, is) = (self.old.keepers.as_ref(), self.new.keepers.as_ref());
        let (came, left) = (|subject| What::KeeperCame { subject }, |subject| What::KeeperLeft { subject });
        self.subjects(&by(was), &by(is), came, left);
        let (was, now) = (was.map(|keepers| keepers.room.clone()), is.map(|keepers| keepers.room.clone()));
        if was != now {
            self.add(Effect::Other, What::KeepersRoom { was, now });
        }
    }

    fn policies(&mut self) {
        let (old, new) = (self.old, self.new);
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        for (policy, rule) in &new.policies {
            match old.policies.get(policy) {
                None => {
                    let (policy, text) = (policy.clone(), lines(&rule.text));
                    self.add(Effect::Other, What::PolicyCame { policy, text });
                }
                Some(before) if before != rule => {
                    // What is as strict both ways is the same in other words.
                    let effect = match (is_as_strict(rule, before), is_as_strict(before, rule)) {
                        (true, true) => Effect::Other,
                        (true, false) => Effect::Takes,
                        (false, _) => Effect::Gives,
                    };
                    let (without, with) = line_diff(&before.text, &rule.text);
                    self.add(effect, What::PolicyChanged { policy: policy.clone(), without, with });
                }
                Some(_) => {}
            }
        }
        for policy in old.policies.keys().filter(|policy| !new.policies.contains_key(policy)) {
            self.add(Effect::Other, What::PolicyLeft { policy: policy.clone() });
        }
    }

    fn systems(&mut self) {
        let (old, new) = (self.old, self.new);
        for (system, access) in &new.systems {
            match old.systems.get(system) {
                None => {
                    let (environment, room) = (Some(access.environment.clone()), Some(access.room.clone()));
                    self.add(Effect::Other, What::SystemCame { system: system.clone(), environment, room });
                }
                Some(before) => {
                    if before.environment != access.environment {
                        let (was, now) = (before.environment.clone(), access.environment.clone());
                        self.add(Effect::Other, What::SystemEnvironment { system: system.clone(), was, now });
                    }
                    if before.room != access.room {
                        let (was, now) = (before.room.clone(), access.room.clone());
                        self.add(Effect::Other, What::SystemRoom { system: system.clone(), was, now });
                    }
                }
            }
            let was = old.systems.get(system).and_then(|before| before.accountable.clone());
            if was != access.accountable {
                let (system, now) = (system.clone(), access.accountable.clone());
                let effect = if now.is_some() { Effect::Gives } else { Effect::Takes };
                self.add(effect, What::SystemAccountable { system, was, now });
            }
            for right in Right::ALL {
                let came = |subject| What::RightCame { system: system.clone(), right, subject };
                let left = |subject| What::RightLeft { system: system.clone(), right, subject };
                self.subjects(&old.right(system, right), &new.right(system, right), came, left);
            }
        }
        for system in old.systems.keys().filter(|system| !new.systems.contains_key(system)) {
            self.add(Effect::Takes, What::SystemLeft { system: system.clone() });
        }
    }

    fn runbooks(&mut self) {
        let (old, new) = (self.old, self.new);
        let acted = |was: &Needs| was.approval.is_none() && was.on_its_word;
        for (runbook, needs) in &new.runbooks {
            let approval = needs.approval.clone();
            match old.runbooks.get(runbook) {
                // It was there, and is known to do something else.
                None if needs.on_its_word && old.gone.get(runbook).is_some_and(acted) => {
                    self.add(Effect::Gives, What::RunbookActs { runbook: runbook.clone() });
                }
                None => {
                    let known = approval.as_ref().is_some_and(|policy| old.policies.contains_key(policy));
                    let effect =
                        if known || (approval.is_none() && !needs.on_its_word) { Effect::Other } else { Effect::Gives };
                    let (risk, systems) = (Some(needs.risk), Some(needs.systems.clone()));
                    self.add(effect, What::RunbookCame { runbook: runbook.clone(), approval, risk, systems });
                }
                Some(before) => {
                    if before.risk != needs.risk {
                        let (was, now) = (before.risk, needs.risk);
                        self.add(Effect::Other, What::RunbookRisk { runbook: runbook.clone(), was, now });
                    }
                    if before.systems != needs.systems {
                        let more = !new.askers(needs).is_subset(&old.askers_on(&before.systems, needs.asked_with()));
                        let (was, now) = (before.systems.clone(), needs.systems.clone());
                        let effect = if more { Effect::Gives } else { Effect::Other };
                        self.add(effect, What::RunbookMoved { runbook: runbook.clone(), was, now });
                    }
                    if (&before.approval, before.on_its_word) == (&approval, needs.on_its_word) {
                        if before.runs != needs.runs {
                            self.add(Effect::Gives, What::RunbookActs { runbook: runbook.clone() });
                        }
                        continue;
                    }
                    let rule = |access: &Access, name: &Option<PolicyName>| {
                        name.as_ref().and_then(|name| access.policies.get(name)).cloned()
                    };
                    let effect = match (rule(old, &before.approval), rule(new, &approval)) {
                        (None, Some(_)) => Effect::Takes,
                        (Some(before), Some(after)) if is_as_strict(&after, &before) => Effect::Takes,
                        (_, None) if !needs.on_its_word => Effect::Other,
                        _ => Effect::Gives,
                    };
                    let (runbook, was) = (runbook.clone(), before.approval.clone());
                    self.add(effect, What::RunbookNeeds { runbook, was, now: approval });
                }
            }
        }
        for runbook in old.runbooks.keys().filter(|runbook| !new.runbooks.contains_key(runbook)) {
            self.add(Effect::Takes, What::RunbookLeft { runbook: runbook.clone() });
        }
    }

    fn unagreed(&mut self) {
        let (old, new) = (self.old, self.new);
        for it in &new.unagreed {
            let (trigger, runbook) = (it.trigger.clone(), it.runbook.clone());
            match old.unagreed.iter().find(|before| it.is_same(before)) {
                None => {
                    let owner = it.owner.clone();
                    self.add(Effect::Gives, What::UnagreedCame { trigger, runbook, owner });
                }
                Some(before) if before != it => {
                    let (runs, fires) = (before.runs != it.runs, before.fires != it.fires);
                    self.add(Effect::Gives, What::UnagreedChanged { trigger, runbook, runs, fires });
                }
                Some(_) => {}
            }
        }
        for it in old.unagreed.iter().filter(|it| !new.unagreed.iter().any(|other| it.is_same(other))) {
            let (trigger, runbook) = (it.trigger.clone(), it.runbook.clone());
            self.add(Effect::Takes, What::UnagreedLeft { trigger, runbook });
        }
    }

    fn rooms(&mut self) {
        let (old, new) = (self.old, self.new);
        for (room, address) in &new.rooms {
            match old.rooms.get(room) {
                None => {
                    let (room, address) = (room.clone(), address.clone());
                    self.add(Effect::Gives, What::RoomCame { room, address });
                }
                Some(was) if was != address => {
                    let (room, was, now) = (room.clone(), was.clone(), address.clone());
                    self.add(Effect::Other, What::RoomMoved { room, was, now });
                }
                Some(_) => {}
            }
        }
        for room in old.rooms.keys().filter(|room| !new.rooms.contains_key(room)) {
            self.add(Effect::Takes, What::RoomLeft { room: room.clone() });
        }
    }
}

/// Lines that only the one has, and lines that only the other has, each in its order.
fn line_diff(old: &str, new: &str) -> (Vec<String>, Vec<String>) {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let same_start = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let (old, new) = (&old[same_start..], &new[same_start..]);
    let same_end = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
    let own = |lines: &[&str]| lines[..lines.len() - same_end].iter().map(|line| (*line).to_owned()).collect();
    (own(old), own(new))
}

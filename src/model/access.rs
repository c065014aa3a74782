//! Who may change who may approve: what decides who may ask, see and approve, as one value that can be compared.
//!
//! What lives here: that value ([`Access`]), what differs between two of them ([`diff()`]), who gains by it ([`gainers`]), and
//! what holds while it waits for a second person ([`in_force`], [`Access::narrow`]). What does not: where it is kept
//! (`store`), who countersigned (`approval`), what is said of it (`text`).
//!
//! The rule: what takes a right away holds at once, what gives one waits. What can be neither proved to give nor to take
//! waits too. So what is in force never gives anybody a right that was not countersigned, whoever can write the catalog's
//! files. Who is in a group that a chat platform keeps is the platform's to say and is no part of this; which platform's
//! group it is, is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::catalog::{Catalog, ParamKind, Policy, Runbook, Subject, System};
use super::chat::{Account, RoomAddress, UserGroup};
use super::choice::Risk;
use super::group::Kept;
use super::id::{Digest, GroupName, PersonId, PolicyName, RoomName, RotaName, RunbookName, SystemName, TriggerName};

mod diff;
mod gain;
mod meet;
mod narrow;
mod state;
#[cfg(test)]
mod tests;
mod then;

pub use diff::{Change, Effect, What, diff};
pub use gain::gainers;
pub use meet::in_force;
pub use state::{VersionEvent, VersionState};
pub use then::{PolicyThen, RunbookThen, Seen, StageThen, SystemThen, Then};

/// What the fingerprint's input begins with.
const DOMAIN: &[u8] = b"countersign/access/v1\n";

/// What the input for what a runbook does begins with.
const CONTENT: &[u8] = b"countersign/content/v1\n";

/// Everything of a catalog that decides who may ask, see and approve.
///
/// Stored in the ledger: what is added to it later must have a default, so that what was stored stays readable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// People and the accounts by which they are known.
    pub people: BTreeMap<PersonId, BTreeSet<Account>>,
    /// Whom somebody reports to: they may agree in the place of who denied the same before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reports_to: BTreeMap<PersonId, PersonId>,
    /// Groups.
    pub groups: BTreeMap<GroupName, Members>,
    /// Everybody of each rota, whoever's turn it is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rotas: BTreeMap<RotaName, BTreeSet<PersonId>>,
    /// Policies.
    pub policies: BTreeMap<PolicyName, Rule>,
    /// What each runbook needs.
    pub runbooks: BTreeMap<RunbookName, Needs>,
    /// Who has which right on each system.
    pub systems: BTreeMap<SystemName, SystemAccess>,
    /// Rooms.
    pub rooms: BTreeMap<RoomName, RoomAddress>,
    /// What starts without anybody's agreement, and what that is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unagreed: BTreeSet<Unagreed>,
    /// What runbooks needed that are there no more: coming back under another policy is no way around it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gone: BTreeMap<RunbookName, Needs>,
    /// Who countersigns changes of this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keepers: Option<Keepers>,
}

/// Who is in a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Members {
    /// These.
    Listed(BTreeSet<PersonId>),
    /// Whoever is in a user group of a platform.
    Of(UserGroup),
}

/// A policy. Two are the same when their text is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rule {
    /// As it was written.
    pub text: String,
    /// What it means. `None`: it was kept by a release that wrote it in another way; then it is only ever itself.
    #[serde(default, deserialize_with = "if_readable")]
    pub policy: Option<Policy>,
}

fn if_readable<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Policy>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).ok())
}

impl From<Policy> for Rule {
    fn from(policy: Policy) -> Self {
        Self { text: policy.text.clone(), policy: Some(policy) }
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Rule {}

/// What a runbook needs before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// The policy that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<PolicyName>,
    /// Whether it names none and does more than ask checks: that it changes nothing is its author's word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_its_word: bool,
    /// What it does if that is so: SHA-256 over its file and the scripts that it names. `None` beside `on_its_word`: kept by a
    /// release that did not look, so nobody has seen it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Digest>,
    /// How much can go wrong, as its author says: policies go by it.
    #[serde(default)]
    pub risk: Risk,
    /// The systems that it names.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub systems: BTreeSet<SystemName>,
}

/// A runbook that a policy lets start without anybody's agreement. Nobody reads its plan before it runs, so somebody reads what
/// it does when that changes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Unagreed {
    /// The trigger that starts it; `None`: people do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerName>,
    /// Who answers for the trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<PersonId>,
    /// Which runbook.
    pub runbook: RunbookName,
    /// SHA-256 over its file and the scripts that it names.
    pub runs: Digest,
    /// SHA-256 of the trigger's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fires: Option<Digest>,
}

impl Unagreed {
    /// What a catalog lets start: everything that a policy of it names, whichever policy stands over it in the end.
    fn of(catalog: &Catalog) -> BTreeSet<Self> {
        let by_triggers = |policy: &Policy| {
            let rules = policy.automatic.iter().filter_map(|rule| {
                let bound = rule.bound.as_ref()?;
                let trigger = catalog.triggers.get(&rule.trigger).filter(|trigger| trigger.run == bound.runbook)?;
                Some(Self {
                    trigger: Some(trigger.name.clone()),
                    owner: Some(trigger.owner.clone()),
                    runs: content(catalog, catalog.runbooks.get(&bound.runbook)?),
                    fires: Some(trigger.source.sha256),
                    runbook: bound.runbook.clone(),
                })
            });
            rules.collect::<Vec<_>>()
        };
        let by_people = |policy: &Policy| {
            let rules = policy.unasked.iter().filter_map(|(runbook, _)| {
                let runs = content(catalog, catalog.runbooks.get(runbook)?);
                Some(Self { trigger: None, owner: None, runbook: runbook.clone(), runs, fires: None })
            });
            rules.collect::<Vec<_>>()
        };
        catalog.policies.values().flat_map(|policy| by_triggers(policy).into_iter().chain(by_people(policy))).collect()
    }

    /// Whether it is about the same, whatever that does by now.
    fn is_same(&self, other: &Self) -> bool {
        self.trigger == other.trigger && self.runbook == other.runbook
    }

    /// Whether a policy names it.
    fn is_named_by(&self, policy: &Policy) -> bool {
        match &self.trigger {
            Some(trigger) => {
                policy.automatic.iter().any(|rule| rule.bound.is_some() && rule.lets(trigger, &self.runbook))
            }
            None => policy.unasked.iter().any(|(runbook, _)| *runbook == self.runbook),
        }
    }
}

/// What a runbook does, as one value: its file, and each script that it names, as it stood when the catalog was read.
fn content(catalog: &Catalog, runbook: &Runbook) -> Digest {
    let mut hash = Sha256::new();
    hash.update(CONTENT);
    hash.update(runbook.source.sha256.0);
    for word in runbook.scripts() {
        hash.update(word.as_bytes());
        hash.update([0]);
        hash.update(catalog.scripts.get(word).map_or([0; 32], |digest| digest.0));
    }
    Digest(hash.finalize().into())
}

/// Who may do what on a system, and where it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemAccess {
    /// Its environment.
    pub environment: String,
    /// Its room.
    pub room: RoomName,
    /// Who answers for it: whom policies mean by `accountable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accountable: Option<PersonId>,
    /// Who has each right; one that nobody has is not there.
    pub rights: BTreeMap<Right, BTreeSet<Subject>>,
}

/// A right on a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// `may_run`.
    Run,
    /// `may_see`.
    See,
    /// `may_unstick`.
    Unstick,
    /// `may_resolve`.
    Resolve,
    /// `may_pause`.
    Pause,
    /// Invited to the channels of its incidents, and called by name.
    Invited,
    /// Invited to the channels of its incidents.
    Observes,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Run, Self::See, Self::Unstick, Self::Resolve, Self::Pause, Self::Invited, Self::Observes];

    /// Whoever has one of these may ask for what only looks.
    const LOOKS: [Self; 4] = [Self::See, Self::Run, Self::Unstick, Self::Resolve];

    fn of(self, system: &System) -> &[Subject] {
        let channel = system.incident_channel.as_ref();
        match self {
            Self::Run => &system.may_run,
            Self::See => &system.may_see,
            Self::Unstick => &system.may_unstick,
            Self::Resolve => &system.may_resolve,
            Self::Pause => &system.may_pause,
            Self::Invited => channel.map(|channel| channel.invite.as_slice()).unwrap_or_default(),
            Self::Observes => channel.map(|channel| channel.observe.as_slice()).unwrap_or_default(),
        }
    }

    fn of_mut(self, system: &mut System) -> Option<&mut Vec<Subject>> {
        match self {
            Self::Run => Some(&mut system.may_run),
            Self::See => Some(&mut system.may_see),
            Self::Unstick => Some(&mut system.may_unstick),
            Self::Resolve => Some(&mut system.may_resolve),
            Self::Pause => Some(&mut system.may_pause),
            Self::Invited => system.incident_channel.as_mut().map(|channel| &mut channel.invite),
            Self::Observes => system.incident_channel.as_mut().map(|channel| &mut channel.observe),
        }
    }
}

/// Who countersigns, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepers {
    /// They, one of whom is enough.
    pub by: BTreeSet<Subject>,
    /// The room that is told.
    pub room: RoomName,
}

/// Somebody who has a right: a person, or whoever is in a platform's user group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Person(PersonId),
    UserGroup(UserGroup),
}

impl Access {
    /// What a catalog says.
    pub fn of(catalog: &Catalog) -> Self {
        let set = |list: &[Subject]| list.iter().cloned().collect::<BTreeSet<_>>();
        let people = catalog.people.values().map(|it| (it.name.clone(), it.accounts.iter().cloned().collect()));
        let groups = catalog.groups.iter().map(|(name, group)| {
            let members = match &group.kept {
                Kept::Catalog => Members::Listed(group.members.clone()),
                Kept::Platform { user_group, .. } => Members::Of(user_group.clone()),
            };
            (name.clone(), members)
        });
        let systems = catalog.systems.values().map(|system| {
            let rights = Right::ALL.into_iter().map(|right| (right, set(right.of(system))));
            let rights = rights.filter(|(_, who)| !who.is_empty()).collect();
            let access = SystemAccess {
                environment: system.environment.clone(),
                room: system.room.clone(),
                accountable: system.accountable.clone(),
                rights,
            };
            (system.name.clone(), access)
        });
        Self {
            people: people.collect(),
            reports_to: catalog.reports_to.clone(),
            groups: groups.collect(),
            rotas: catalog.rotas.iter().map(|(name, it)| (name.clone(), it.everybody().cloned().collect())).collect(),
            policies: catalog
                .policies
                .iter()
                .map(|(name, policy)| (name.clone(), Rule::from(policy.clone())))
                .collect(),
            runbooks: catalog.runbooks.values().map(|it| (it.name.clone(), Needs::of(catalog, it))).collect(),
            systems: systems.collect(),
            rooms: catalog.rooms.values().map(|room| (room.name.clone(), room.address.clone())).collect(),
            unagreed: Unagreed::of(catalog),
            gone: BTreeMap::new(),
            keepers: catalog.access.as_ref().map(|it| Keepers { by: set(&it.by), room: it.room.clone() }),
        }
    }

    /// The same, with what is to be remembered of the version that is in force: what runbooks needed that are gone.
    #[must_use]
    pub fn remembering(&self, approved: &Self) -> Self {
        let before = approved.gone.iter().chain(&approved.runbooks);
        let gone = before.filter(|(name, _)| !self.runbooks.contains_key(*name));
        Self { gone: gone.map(|(name, needs)| (name.clone(), needs.clone())).collect(), ..self.clone() }
    }

    /// SHA-256 over everything that two of these are compared by.
    ///
    /// # Errors
    /// When a value cannot be written as JSON, which no value of this type can cause.
    pub fn fingerprint(&self) -> Result<Digest, serde_json::Error> {
        let policies: BTreeMap<&PolicyName, &str> =
            self.policies.iter().map(|(name, rule)| (name, rule.text.as_str())).collect();
        let rest = Self { policies: BTreeMap::new(), ..self.clone() };
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(serde_json::to_vec(&(rest, policies))?);
        Ok(Digest(hash.finalize().into()))
    }

    /// Whom a list of subjects comes to.
    fn holders<'a>(&self, subjects: impl IntoIterator<Item = &'a Subject>) -> BTreeSet<Holder> {
        let person = |person: &PersonId| self.people.contains_key(person).then(|| Holder::Person(person.clone()));
        let mut holders = BTreeSet::new();
        for subject in subjects {
            match subject {
                Subject::Person(name) => holders.extend(person(name)),
                Subject::Group(name) => match self.groups.get(name) {
                    Some(Members::Listed(members)) => holders.extend(members.iter().filter_map(person)),
                    Some(Members::Of(user_group)) => {
                        holders.insert(Holder::UserGroup(user_group.clone()));
                    }
                    None => {}
                },
                Subject::Rota(name) => holders.extend(self.rotas.get(name).into_iter().flatten().filter_map(person)),
                // On whichever system: who it is on one of them is the plan's to say.
                Subject::Accountable => {
                    holders.extend(self.systems.values().filter_map(|it| it.accountable.as_ref().and_then(person)));
                }
            }
        }
        holders
    }

    /// The people of a list of subjects; of those groups that a platform keeps, whoever `members` says.
    pub fn people_of<'a>(
        &self,
        subjects: impl IntoIterator<Item = &'a Subject>,
        members: &BTreeMap<UserGroup, BTreeSet<PersonId>>,
    ) -> BTreeSet<PersonId> {
        self.people_of_holders(self.holders(subjects), members)
    }

    fn people_of_holders(
        &self,
        holders: BTreeSet<Holder>,
        members: &BTreeMap<UserGroup, BTreeSet<PersonId>>,
    ) -> BTreeSet<PersonId> {
        let of = |holder| match holder {
            Holder::Person(person) => vec![person],
            Holder::UserGroup(group) => members.get(&group).into_iter().flatten().cloned().collect(),
        };
        holders.into_iter().flat_map(of).filter(|person| self.people.contains_key(person)).collect()
    }

    fn right(&self, system: &SystemName, right: Right) -> BTreeSet<Subject> {
        self.systems.get(system).and_then(|system| system.rights.get(&right)).cloned().unwrap_or_default()
    }

    /// Everybody who may approve in some stage of a policy.
    fn approvers(&self, policy: &PolicyName) -> BTreeSet<Holder> {
        self.policies.get(policy).map(|rule| self.holders(&meet::named(rule))).unwrap_or_default()
    }

    /// Everybody who may approve under some policy.
    fn deciders(&self) -> BTreeSet<Holder> {
        self.policies.values().flat_map(|rule| self.holders(&meet::deciding(rule))).collect()
    }

    /// Everybody who may ask for what needs this: on the systems that it names, or on any if it names none.
    fn askers(&self, needs: &Needs) -> BTreeSet<Holder> {
        self.askers_on(&needs.systems, needs.asked_with())
    }

    fn askers_on(&self, systems: &BTreeSet<SystemName>, rights: &[Right]) -> BTreeSet<Holder> {
        let systems = self.systems.keys().filter(|system| systems.is_empty() || systems.contains(*system));
        let each = systems.flat_map(|system| rights.iter().map(|right| self.right(system, *right)));
        each.flat_map(|subjects| self.holders(&subjects)).collect()
    }

    fn keepers(&self) -> BTreeSet<Holder> {
        self.keepers.as_ref().map(|keepers| self.holders(&keepers.by)).unwrap_or_default()
    }
}

impl Needs {
    fn of(catalog: &Catalog, runbook: &Runbook) -> Self {
        let of_param = runbook.params.iter().filter_map(|param| match &param.kind {
            ParamKind::Service { system } => system.clone(),
            ParamKind::System | ParamKind::Choice(_) | ParamKind::Integer { .. } | ParamKind::Text { .. } => None,
        });
        Self {
            approval: runbook.approval.clone(),
            risk: runbook.risk,
            on_its_word: runbook.acts_on_its_word(),
            runs: runbook.acts_on_its_word().then(|| content(catalog, runbook)),
            systems: runbook.system.iter().cloned().chain(of_param).collect(),
        }
    }

    /// The rights of which one is enough to ask for it. Without a policy it changes nothing, by its author's word.
    fn asked_with(&self) -> &'static [Right] {
        if self.approval.is_none() { &Right::LOOKS } else { &[Right::Run] }
    }

    /// Whether both act without anybody's agreement, and do the same.
    fn does_the_same(&self, other: &Self) -> bool {
        let alone = |needs: &Self| needs.approval.is_none() && needs.on_its_word;
        alone(self) && alone(other) && self.runs == other.runs
    }
}

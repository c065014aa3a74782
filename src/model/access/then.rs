//! Who could ask for what and approve it at a moment: a version of who may do what, with its groups taken apart.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Access, Right};
use crate::model::catalog::{Stage, Subject};
use crate::model::chat::UserGroup;
use crate::model::id::{GroupName, PersonId, PolicyName, Position, RoomName, RunbookName, SystemName};
use crate::model::policy::Relaxed;

/// Who was in a platform's group, as far as the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When that was recorded.
    pub at: DateTime<Utc>,
    /// Who; `None`: from then on nobody could tell, so nobody had a right by it.
    pub members: Option<BTreeSet<PersonId>>,
}

/// Who could do what at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Then {
    /// The moment.
    pub at: DateTime<Utc>,
    /// Since when it was so, as far as the catalog says.
    pub since: DateTime<Utc>,
    /// Where the ledger says so; `None`: it has no place yet.
    pub position: Option<Position>,
    /// The kind of the event that says so.
    pub by_event: String,
    /// Who agreed to it, or put it in force alone.
    pub by: Option<String>,
    /// Who countersigned changes of it.
    pub countersigners: BTreeSet<PersonId>,
    /// Systems, and who had which right there.
    pub systems: Vec<SystemThen>,
    /// Runbooks, and who could approve them.
    pub runbooks: Vec<RunbookThen>,
    /// Policies that could stand in the place of those that runbooks named, when their conditions held.
    #[serde(default)]
    pub by_when: Vec<PolicyThen>,
    /// Groups that a platform kept and of which nobody could tell who was in them.
    pub unseen: BTreeSet<GroupName>,
}

/// A system at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemThen {
    /// Its name.
    pub system: SystemName,
    /// Its environment.
    pub environment: String,
    /// Its room.
    pub room: RoomName,
    /// Who had which right.
    pub rights: BTreeMap<Right, BTreeSet<PersonId>>,
}

/// A runbook at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunbookThen {
    /// Its name.
    pub runbook: RunbookName,
    /// The systems that it named; none is any.
    pub systems: BTreeSet<SystemName>,
    /// Who could ask for it, on at least one system.
    pub could_ask: BTreeSet<PersonId>,
    /// The policy that it named; `None`: nobody had to agree.
    pub policy: Option<PolicyName>,
    /// The policy's stages, in order.
    pub stages: Vec<StageThen>,
    /// Who could start it without agreement by breaking the glass.
    #[serde(default)]
    pub could_break_glass: BTreeSet<PersonId>,
    /// Who could start it without asking, so often.
    #[serde(default)]
    pub could_unasked: BTreeSet<PersonId>,
    /// Rules of separation that the policy gave up.
    #[serde(default)]
    pub relaxed: Vec<Relaxed>,
    /// The policy as it was written.
    pub text: Option<String>,
}

/// A policy that applied by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyThen {
    /// Its name.
    pub policy: PolicyName,
    /// Why it refused; `None`: it asked its stages.
    pub refused: Option<String>,
    /// Its stages, in order.
    pub stages: Vec<StageThen>,
    /// As it was written: its conditions stand in it.
    pub text: String,
}

/// A stage at a moment: whom the catalog let approve. Somebody who was let answer for another stands in the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageThen {
    /// Whom it named.
    pub named: Vec<Subject>,
    /// Who that was.
    pub could_approve: BTreeSet<PersonId>,
    /// Who could besides, after a while in which nobody had decided.
    #[serde(default)]
    pub could_later: BTreeSet<PersonId>,
    /// How many different people it wanted.
    pub quorum: u32,
}

impl Then {
    /// Takes a version apart. `only` leaves one runbook.
    pub fn of(
        access: &Access,
        seen: &BTreeMap<UserGroup, Seen>,
        at: DateTime<Utc>,
        since: (DateTime<Utc>, Option<Position>),
        by: (String, Option<String>),
        only: Option<&RunbookName>,
    ) -> Self {
        let members: BTreeMap<UserGroup, BTreeSet<PersonId>> = seen
            .iter()
            .filter_map(|(group, seen)| seen.members.clone().map(|members| (group.clone(), members)))
            .collect();
        let people = |subjects: &BTreeSet<Subject>| access.people_of(subjects, &members);
        let systems = access.systems.iter().map(|(name, system)| SystemThen {
            system: name.clone(),
            environment: system.environment.clone(),
            room: system.room.clone(),
            rights: system.rights.iter().map(|(right, who)| (*right, people(who))).collect(),
        });
        let stage = |stage: &Stage| StageThen {
            named: stage.approvers.clone(),
            could_later: people(&stage.escalate.iter().flat_map(|others| &others.to).cloned().collect()),
            could_approve: people(&stage.approvers.iter().cloned().collect()),
            quorum: stage.quorum,
        };
        let by_when = access.policies.iter().filter_map(|(name, rule)| {
            let policy = rule.policy.as_ref().filter(|policy| policy.when.is_some())?;
            Some(PolicyThen {
                policy: name.clone(),
                refused: policy.refuse.clone(),
                stages: policy.stages.iter().map(&stage).collect(),
                text: rule.text.clone(),
            })
        });
        let wanted = access.runbooks.iter().filter(|(name, _)| only.is_none_or(|only| only == *name));
        let runbooks = wanted.map(|(name, needs)| {
            let rule = needs.approval.as_ref().and_then(|policy| access.policies.get(policy));
            let policy = rule.and_then(|rule| rule.policy.as_ref());
            let stages = policy.map(|policy| policy.stages.as_slice());
            // A policy lets them only what was countersigned: else people were asked.
            let unasked = access.unagreed.iter().any(|it| it.trigger.is_none() && it.runbook == *name);
            RunbookThen {
                runbook: name.clone(),
                systems: needs.systems.clone(),
                could_ask: access.people_of_holders(access.askers(needs), &members),
                policy: needs.approval.clone(),
                stages: stages.unwrap_or_default().iter().map(&stage).collect(),
                could_break_glass: policy
                    .and_then(|policy| policy.break_glass.as_ref())
                    .map(|glass| people(&glass.by.iter().cloned().collect()))
                    .unwrap_or_default(),
                could_unasked: policy
                    .into_iter()
                    .flat_map(|policy| &policy.unasked)
                    .filter(|(of, _)| unasked && of == name)
                    .flat_map(|(_, rule)| people(&rule.by.iter().cloned().collect()))
                    .collect(),
                relaxed: policy.map(|policy| policy.relaxed.clone()).unwrap_or_default(),
                text: rule.map(|rule| rule.text.clone()),
            }
        });
        let blind = access.groups.iter().filter(|(_, of)| match of {
            super::Members::Listed(_) => false,
            super::Members::Of(group) => !members.contains_key(group),
        });
        let ((since, position), (by_event, by)) = (since, by);
        Self {
            at,
            since,
            position,
            by_event,
            by,
            countersigners: access.keepers.as_ref().map(|keepers| people(&keepers.by)).unwrap_or_default(),
            systems: systems.collect(),
            runbooks: runbooks.collect(),
            by_when: by_when.collect(),
            unseen: blind.map(|(name, _)| name.clone()).collect(),
        }
    }
}

//! Who is in the groups that chat platforms keep: asked again and again, believed for a while.
//!
//! What lives here: asking the platforms, making the catalog in use anew from their answers, and recording who came and
//! who left. What does not: what an answer is worth (`model::group`). It fails closed, and not by this loop's doing: what
//! is too old is taken out when the catalog in use is asked for (`App::in_use`), even if nothing here goes round any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::App;
use crate::chat::SendError;
use crate::model::catalog::Catalog;
use crate::model::chat::{RoomAddress, UserGroup};
use crate::model::event::{Happened, NewEvent, Record, Scope};
use crate::model::group::{Blind, Kept, Sight};
use crate::model::id::{GroupName, PersonId};
use crate::store::StoreError;
use crate::text;

/// How long one answer is waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long all of them are waited for before the first line is taken.
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// How often user groups are asked for, and how long an answer may be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserGroupTimes {
    /// From one asking to the next.
    pub every: Duration,
    /// From an asking until its answer is too old.
    pub good_for: Duration,
}

impl Default for UserGroupTimes {
    /// Every minute, good for five.
    fn default() -> Self {
        Self { every: Duration::from_secs(60), good_for: Duration::from_secs(300) }
    }
}

impl UserGroupTimes {
    pub(super) fn lasts(self) -> TimeDelta {
        // The settings allow a few minutes; what does not fit would never be believed.
        TimeDelta::from_std(self.good_for).unwrap_or(TimeDelta::zero())
    }
}

/// Asks platforms for the members of their user groups.
pub struct Membership {
    app: Arc<App>,
    /// When each is asked next.
    due: BTreeMap<UserGroup, DateTime<Utc>>,
    recorded: Recorded,
}

impl Membership {
    /// Asks once for everything that the catalog names, so that the first line meets people who have their rights. What
    /// does not answer soon is left for later.
    pub async fn begin(app: Arc<App>) -> Self {
        let mut membership = Self { app, due: BTreeMap::new(), recorded: Recorded::default() };
        let (_stop, never) = watch::channel(false);
        if tokio::time::timeout(FIRST_WITHIN, membership.round(&never)).await.is_err() {
            tracing::warn!("not every user group was seen before the start; they are asked for again");
        }
        membership
    }

    /// Asks until told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            if *stop.borrow() {
                return;
            }
            self.round(&stop).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Asks for what is due, and records what has changed.
    async fn round(&mut self, stop: &watch::Receiver<bool>) {
        let wanted = self.app.in_use().catalog.user_groups();
        self.due.retain(|group, _| wanted.contains(group));
        self.app.look_at_members(|sightings| sightings.keep_only(&wanted));
        for group in wanted {
            if *stop.borrow() {
                return;
            }
            let now = self.app.steady.now();
            if self.due.get(&group).is_none_or(|due| *due <= now) {
                let wait = self.ask(&group, now).await;
                self.due.insert(group, now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::zero()));
            }
        }
        if let Err(error) = self.record().await {
            // What was not recorded is still different in the next round.
            tracing::error!(error = %text::chain(&error), "who is in which group could not be recorded");
        }
    }

    /// Asks for one; returns when to ask again.
    async fn ask(&self, group: &UserGroup, asked_at: DateTime<Utc>) -> Duration {
        let app = &self.app;
        let every = app.user_groups.every;
        let place = RoomAddress {
            platform: group.platform.clone(),
            workspace: group.workspace.clone(),
            channel: group.id.clone(),
        };
        let unanswered = |why: Option<String>| {
            app.look_at_members(|sightings| sightings.unanswered(group, why));
        };
        let Some(adapter) = app.adapters.iter().find(|adapter| adapter.serves(&place)) else {
            unanswered(Some("the settings name no such workspace".to_owned()));
            return every;
        };
        match tokio::time::timeout(ANSWERS_WITHIN, adapter.members_of(group)).await {
            Ok(Ok(Some(accounts))) => {
                app.look_at_members(|sightings| sightings.seen(group, asked_at, accounts));
            }
            Ok(Ok(None)) => {
                tracing::warn!(%group, "there is no such user group, or it is not in use: nobody is in it");
                app.look_at_members(|sightings| sightings.gone(group));
            }
            Ok(Err(SendError::RetryAfter(wait))) => {
                unanswered(Some("it is asked too often".to_owned()));
                return wait.max(LOOK_EVERY);
            }
            Ok(Err(SendError::Unknown(why) | SendError::Refused(why))) => {
                tracing::warn!(%group, why, "who is in a user group is not told");
                unanswered(Some(why));
            }
            Err(_) => unanswered(None),
        }
        every
    }

    async fn record(&mut self) -> Result<(), StoreError> {
        let in_use = self.app.in_use();
        let changes = self.recorded.changes(&in_use.catalog);
        if changes.is_empty() {
            return Ok(());
        }
        let events: Vec<NewEvent> = changes
            .iter()
            .map(|what| NewEvent {
                scope: Scope::default(),
                cause: None,
                record: Record { what: what.clone(), rows: Vec::new() },
            })
            .collect();
        self.app.store.record(&events).await?;
        self.recorded.note(&in_use.catalog);
        Ok(())
    }
}

/// What the ledger has been told of each group since this process began.
#[derive(Debug, Default)]
struct Recorded(BTreeMap<GroupName, Told>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    user_group: UserGroup,
    /// Whether it could be seen.
    clear: bool,
    /// Who was in it when it was last seen; `None`: it was not.
    members: Option<BTreeSet<PersonId>>,
}

impl Recorded {
    /// What is not yet in the ledger.
    fn changes(&self, catalog: &Catalog) -> Vec<Happened> {
        let mut changes = Vec::new();
        for (name, group) in &catalog.groups {
            let Kept::Platform { user_group, sight } = &group.kept else { continue };
            let told = self.0.get(name).filter(|told| told.user_group == *user_group);
            match sight {
                Sight::Clear { .. } => {
                    let before = told.and_then(|told| told.members.as_ref());
                    if told.is_some_and(|told| told.clear) && before == Some(&group.members) {
                        continue;
                    }
                    let less = |one: &BTreeSet<PersonId>, other: &BTreeSet<PersonId>| one - other;
                    changes.push(Happened::GroupSeen {
                        group: name.clone(),
                        user_group: user_group.clone(),
                        members: group.members.iter().cloned().collect(),
                        came: before.map_or_else(Vec::new, |before| less(&group.members, before).into_iter().collect()),
                        left: before.map_or_else(Vec::new, |before| less(before, &group.members).into_iter().collect()),
                    });
                }
                // Not asked yet is no news.
                Sight::Blind(Blind::NotAsked) => {}
                Sight::Blind(_) if told.is_some_and(|told| !told.clear) => {}
                Sight::Blind(blind) => changes.push(Happened::GroupUnseen {
                    group: name.clone(),
                    user_group: user_group.clone(),
                    why: blind.why().map(str::to_owned),
                }),
            }
        }
        changes
    }

    /// The ledger has them.
    fn note(&mut self, catalog: &Catalog) {
        let mut now = BTreeMap::new();
        for (name, group) in &catalog.groups {
            let Kept::Platform { user_group, sight } = &group.kept else { continue };
            let before = self.0.remove(name).filter(|told| told.user_group == *user_group);
            let told = match sight {
                Sight::Clear { .. } => {
                    Some(Told { user_group: user_group.clone(), clear: true, members: Some(group.members.clone()) })
                }
                Sight::Blind(Blind::NotAsked) => before,
                Sight::Blind(_) => {
                    let members = before.and_then(|told| told.members);
                    Some(Told { user_group: user_group.clone(), clear: false, members })
                }
            };
            now.extend(told.map(|told| (name.clone(), told)));
        }
        self.0 = now;
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::model::catalog::Person;
    use crate::model::group::{Group, Sightings};

    fn moment(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + minutes * 60, 0).expect("a time")
    }

    fn managers() -> UserGroup {
        "slack:T0ACME:S0MANAGERS".parse().expect("a user group")
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        for name in ["boss", "kim", "lin"] {
            let account = format!("slack:T0ACME:U0{}", name.to_uppercase()).parse().expect("an account");
            let name = PersonId::new(name);
            catalog.people.insert(name.clone(), Person { name, accounts: vec![account] });
        }
        let kept = Kept::Platform { user_group: managers(), sight: Sight::Blind(Blind::NotAsked) };
        catalog.groups.insert(GroupName::new("managers"), Group { members: BTreeSet::new(), kept });
        catalog
    }

    /// What is recorded when the catalog is as at that minute.
    fn round(recorded: &mut Recorded, sightings: &Sightings, minute: i64) -> Vec<String> {
        let catalog = catalog().with_members(sightings, moment(minute), TimeDelta::minutes(5));
        let changes = recorded.changes(&catalog);
        recorded.note(&catalog);
        let line = |what: &Happened| match what {
            Happened::GroupSeen { members, came, left, .. } => format!("{members:?} came {came:?} left {left:?}"),
            Happened::GroupUnseen { why, .. } => format!("unseen {why:?}"),
            other => panic!("{other:?}"),
        };
        changes.iter().map(|what| line(what).replace("PersonId", "").replace(['(', ')', '"'], "")).collect()
    }

    #[test]
    fn the_ledger_hears_of_each_change_once() {
        let mut sightings = Sightings::default();
        let mut recorded = Recorded::default();
        let accounts = |names: &[&str]| {
            names.iter().map(|name| format!("slack:T0ACME:U0{name}").parse().expect("an account")).collect()
        };
        assert!(round(&mut recorded, &sightings, 0).is_empty(), "not asked yet");
        sightings.seen(&managers(), moment(0), accounts(&["BOSS", "LIN"]));
        assert_eq!(round(&mut recorded, &sightings, 0), ["[boss, lin] came [] left []"]);
        sightings.seen(&managers(), moment(1), accounts(&["BOSS", "LIN", "NOBODY"]));
        assert!(round(&mut recorded, &sightings, 1).is_empty(), "nobody of the catalog came");
        sightings.seen(&managers(), moment(2), accounts(&["BOSS", "KIM"]));
        assert_eq!(round(&mut recorded, &sightings, 2), ["[boss, kim] came [kim] left [lin]"]);
        sightings.unanswered(&managers(), Some("no".to_owned()));
        assert!(round(&mut recorded, &sightings, 3).is_empty(), "still good");
        assert_eq!(round(&mut recorded, &sightings, 7), ["unseen Someno"]);
        assert!(round(&mut recorded, &sightings, 8).is_empty(), "once");
        sightings.seen(&managers(), moment(9), accounts(&["BOSS"]));
        assert_eq!(round(&mut recorded, &sightings, 9), ["[boss] came [] left [kim]"], "since it was last seen");
        sightings.gone(&managers());
        assert_eq!(round(&mut recorded, &sightings, 9).len(), 1);
    }

    #[test]
    fn what_never_answered_is_recorded_too() {
        let mut sightings = Sightings::default();
        let mut recorded = Recorded::default();
        sightings.unanswered(&managers(), None);
        assert_eq!(round(&mut recorded, &sightings, 0), ["unseen None"]);
        assert!(round(&mut recorded, &sightings, 1).is_empty());
    }
}

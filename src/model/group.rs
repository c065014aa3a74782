//! Groups: who is in them, and what is known of those that a chat platform keeps.
//!
//! What lives here: how what a platform said, and when, becomes members. What does not: asking it (`flow::membership`,
//! `chat`). Everything here fails closed: what is not known, refused or too old has no members, so that nobody has a right
//! by it. Membership is live and a policy names groups (I13): a decision is counted by the members of its own moment.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::catalog::{Catalog, Person, Subject};
use super::chat::{Account, UserGroup};
use super::id::{GroupName, PersonId};

/// A group of people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Who is in it, as far as that is known now.
    pub members: BTreeSet<PersonId>,
    /// Who says so.
    pub kept: Kept,
}

/// Who says who is in a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kept {
    /// The catalog, which lists them.
    #[default]
    Catalog,
    /// A chat platform. A freshly read catalog has not looked there yet.
    Platform {
        /// The platform's user group.
        user_group: UserGroup,
        /// What can be seen of it.
        sight: Sight,
    },
}

/// What can be seen of a user group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Its members are known.
    Clear {
        /// Until when that may be relied on.
        until: DateTime<Utc>,
    },
    /// They are not: nobody is in it.
    Blind(Blind),
}

/// Why nobody knows who is in a user group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blind {
    /// The platform was not asked yet.
    NotAsked,
    /// It was asked and does not say.
    Silent {
        /// When it last did; `None`: never since the bot began to ask.
        last: Option<DateTime<Utc>>,
        /// What it answers instead, if it answers.
        why: Option<String>,
    },
    /// It says that it has no such group, or none in use.
    Gone,
}

impl Blind {
    /// What the platform answers instead, if it answers.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::NotAsked => None,
            Self::Silent { why, .. } => why.as_deref(),
            Self::Gone => Some("there is no such user group, or it is not in use"),
        }
    }
}

/// What platforms have said of their user groups.
#[derive(Debug, Clone, Default)]
pub struct Sightings(BTreeMap<UserGroup, Sighting>);

/// What one platform said of one group.
#[derive(Debug, Clone)]
enum Sighting {
    /// These are in it, as of when that was asked; and what went wrong since.
    Said { asked_at: DateTime<Utc>, accounts: BTreeSet<Account>, why: Option<String> },
    /// It has never said, and why.
    Never { why: Option<String> },
    /// There is none.
    Gone,
}

impl Sightings {
    /// The platform named its members. `asked_at` is from before it was asked: an answer is never taken for newer than
    /// it can be.
    pub fn seen(&mut self, group: &UserGroup, asked_at: DateTime<Utc>, accounts: BTreeSet<Account>) {
        self.0.insert(group.clone(), Sighting::Said { asked_at, accounts, why: None });
    }

    /// The platform says that it has no such group, or none in use: what it said before holds no longer.
    pub fn gone(&mut self, group: &UserGroup) {
        self.0.insert(group.clone(), Sighting::Gone);
    }

    /// It was asked and did not say: what it said before holds for the rest of its time.
    pub fn unanswered(&mut self, group: &UserGroup, now_why: Option<String>) {
        match self.0.get_mut(group) {
            Some(Sighting::Said { why, .. }) => *why = now_why,
            Some(Sighting::Never { .. } | Sighting::Gone) | None => {
                self.0.insert(group.clone(), Sighting::Never { why: now_why });
            }
        }
    }

    /// Forgets what no catalog asks for any more.
    pub fn keep_only(&mut self, groups: &BTreeSet<UserGroup>) {
        self.0.retain(|group, _| groups.contains(group));
    }
}

impl Catalog {
    /// This catalog with the members of its platforms' user groups, as known at `now`; each answer may be relied on for
    /// `good_for`. Members are the people whose own account is in the user group; an account that is nobody's here gives
    /// nobody a right.
    #[must_use]
    pub fn with_members(&self, sightings: &Sightings, now: DateTime<Utc>, good_for: TimeDelta) -> Self {
        let mut catalog = self.clone();
        for group in catalog.groups.values_mut() {
            let Kept::Platform { user_group, sight } = &mut group.kept else { continue };
            group.members = BTreeSet::new();
            *sight = Sight::Blind(match sightings.0.get(user_group) {
                None => Blind::NotAsked,
                Some(Sighting::Gone) => Blind::Gone,
                Some(Sighting::Never { why }) => Blind::Silent { last: None, why: why.clone() },
                Some(Sighting::Said { asked_at, accounts, why }) => {
                    let until = *asked_at + good_for;
                    if now < until {
                        let is_in = |person: &&Person| person.accounts.iter().any(|own| accounts.contains(own));
                        group.members = self.people.values().filter(is_in).map(|person| person.name.clone()).collect();
                        *sight = Sight::Clear { until };
                        continue;
                    }
                    Blind::Silent { last: Some(*asked_at), why: why.clone() }
                }
            });
        }
        catalog
    }

    /// Until when the members that it has may be relied on; `None`: for good, or until more is known.
    pub fn members_good_until(&self) -> Option<DateTime<Utc>> {
        let until = |group: &Group| match &group.kept {
            Kept::Platform { sight: Sight::Clear { until }, .. } => Some(*until),
            Kept::Platform { sight: Sight::Blind(_), .. } | Kept::Catalog => None,
        };
        self.groups.values().filter_map(until).min()
    }

    /// The user groups that it names.
    pub fn user_groups(&self) -> BTreeSet<UserGroup> {
        let of = |group: &Group| match &group.kept {
            Kept::Platform { user_group, .. } => Some(user_group.clone()),
            Kept::Catalog => None,
        };
        self.groups.values().filter_map(of).collect()
    }

    /// Whether who is among the subjects is for a platform to say.
    pub fn is_kept_elsewhere(&self, subjects: &[Subject]) -> bool {
        subjects.iter().any(|subject| match subject {
            Subject::Person(_) | Subject::Rota(_) | Subject::Accountable => false,
            Subject::Group(name) => {
                self.groups.get(name).is_some_and(|group| matches!(group.kept, Kept::Platform { .. }))
            }
        })
    }

    /// The groups among the subjects of which nobody knows now who is in them, and why, each once.
    pub fn unseen<'a>(&'a self, subjects: impl IntoIterator<Item = &'a Subject>) -> Vec<Unseen<'a>> {
        let named: BTreeSet<&GroupName> = subjects
            .into_iter()
            .filter_map(|subject| match subject {
                Subject::Person(_) | Subject::Rota(_) | Subject::Accountable => None,
                Subject::Group(name) => Some(name),
            })
            .collect();
        named.into_iter().filter_map(|name| self.unseen_group(name)).collect()
    }

    /// All groups of which nobody knows now who is in them.
    pub fn all_unseen(&self) -> Vec<Unseen<'_>> {
        self.groups.keys().filter_map(|name| self.unseen_group(name)).collect()
    }

    fn unseen_group<'a>(&'a self, name: &'a GroupName) -> Option<Unseen<'a>> {
        match &self.groups.get(name)?.kept {
            Kept::Platform { user_group, sight: Sight::Blind(blind) } => Some(Unseen { name, user_group, blind }),
            Kept::Platform { sight: Sight::Clear { .. }, .. } | Kept::Catalog => None,
        }
    }
}

/// A group whose members nobody knows now.
#[derive(Debug, Clone, Copy)]
pub struct Unseen<'a> {
    /// Its name here.
    pub name: &'a GroupName,
    /// Where it is kept.
    pub user_group: &'a UserGroup,
    /// Why not.
    pub blind: &'a Blind,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + minutes * 60, 0).expect("a time")
    }

    fn managers() -> UserGroup {
        "slack:T0ACME:S0MANAGERS".parse().expect("a user group")
    }

    fn accounts(list: &[&str]) -> BTreeSet<Account> {
        list.iter().map(|account| account.parse().expect("an account")).collect()
    }

    /// Three people; boss has accounts in two workspaces. One group of the catalog's, one of Slack's.
    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        for (name, own) in [
            ("mei", vec!["slack:T0ACME:U0MEI"]),
            ("boss", vec!["slack:T0ACME:U0BOSS", "slack:T0BETA:U0BOSS2"]),
            ("lin", vec!["slack:T0BETA:U0MEI"]),
        ] {
            let name = PersonId::new(name);
            let accounts = own.iter().map(|account| account.parse().expect("an account")).collect();
            catalog.people.insert(name.clone(), Person { name, accounts, ask: Default::default() });
        }
        let listed = Group { members: BTreeSet::from([PersonId::new("mei")]), kept: Kept::Catalog };
        let sight = Sight::Blind(Blind::NotAsked);
        let kept = Kept::Platform { user_group: managers(), sight };
        catalog.groups.insert(GroupName::new("support"), listed);
        catalog.groups.insert(GroupName::new("managers"), Group { members: BTreeSet::new(), kept });
        catalog
    }

    fn subjects(list: &[&str]) -> Vec<Subject> {
        list.iter().map(|subject| subject.parse().expect("a subject")).collect()
    }

    fn names(catalog: &Catalog) -> String {
        let members = catalog.people_in(&subjects(&["group:managers"]));
        members.iter().map(PersonId::as_str).collect::<Vec<_>>().join(" ")
    }

    const GOOD_FOR: TimeDelta = TimeDelta::minutes(5);

    #[test]
    fn members_are_the_people_whose_own_account_is_in_it() {
        let mut sightings = Sightings::default();
        let fresh = catalog().with_members(&sightings, moment(0), GOOD_FOR);
        assert_eq!(names(&fresh), "", "not asked yet");
        // lin has the same id, in another workspace; U0NOBODY is nobody's.
        let said = accounts(&["slack:T0ACME:U0MEI", "slack:T0ACME:U0BOSS", "slack:T0ACME:U0NOBODY"]);
        sightings.seen(&managers(), moment(0), said);
        let seen = catalog().with_members(&sightings, moment(1), GOOD_FOR);
        assert_eq!(names(&seen), "boss mei");
        assert_eq!(seen.members_good_until(), Some(moment(5)));
        assert!(seen.unseen(&subjects(&["group:managers", "group:support"])).is_empty());
        assert!(seen.includes(&subjects(&["group:support"]), &PersonId::new("mei")), "the catalog's own stay");
        sightings.seen(&managers(), moment(2), accounts(&["slack:T0BETA:U0BOSS2"]));
        let other = catalog().with_members(&sightings, moment(2), GOOD_FOR);
        assert_eq!(names(&other), "boss", "either account is that person");
    }

    #[test]
    fn what_is_too_old_is_nobody() {
        let mut sightings = Sightings::default();
        sightings.seen(&managers(), moment(0), accounts(&["slack:T0ACME:U0BOSS"]));
        sightings.unanswered(&managers(), Some("no answer".to_owned()));
        let before = moment(5) - TimeDelta::microseconds(1);
        assert_eq!(names(&catalog().with_members(&sightings, before, GOOD_FOR)), "boss");
        let after = catalog().with_members(&sightings, moment(5), GOOD_FOR);
        assert_eq!(names(&after), "");
        assert_eq!(after.members_good_until(), None);
        let [unseen] = after.all_unseen()[..] else { panic!("one group cannot be seen") };
        assert_eq!(unseen.name.as_str(), "managers");
        assert_eq!(*unseen.blind, Blind::Silent { last: Some(moment(0)), why: Some("no answer".to_owned()) });
        assert_eq!(after.unseen(&subjects(&["group:support", "person:mei"])).len(), 0, "only what was asked about");
    }

    #[test]
    fn a_group_that_is_gone_has_no_members_from_then_on() {
        let mut sightings = Sightings::default();
        sightings.seen(&managers(), moment(0), accounts(&["slack:T0ACME:U0BOSS"]));
        sightings.gone(&managers());
        assert_eq!(names(&catalog().with_members(&sightings, moment(1), GOOD_FOR)), "");
        sightings.seen(&managers(), moment(2), accounts(&["slack:T0ACME:U0BOSS"]));
        assert_eq!(names(&catalog().with_members(&sightings, moment(2), GOOD_FOR)), "boss", "and comes back");
        sightings.keep_only(&BTreeSet::new());
        assert_eq!(names(&catalog().with_members(&sightings, moment(2), GOOD_FOR)), "", "forgotten with its name");
    }
}

//! The rule, held against many small worlds: what is in force never gives what was not countersigned.

use std::time::Duration;

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;

use super::*;
use crate::model::catalog::{Countersigners, Person, Room, Source, Stage, Step, StepAction, System};
use crate::model::choice::When;
use crate::model::group::{Blind, Group, Sight};
use crate::model::id::{Digest, TriggerName};
use crate::model::policy::{AfterDenial, Automatic, Bound, BreakGlass, Delegating, Escalation, Relaxed, Repeat};
use crate::model::rota::{Rota, Turns};

const PEOPLE: [&str; 4] = ["boss", "kim", "lin", "mei"];
const ACCOUNTS: [&str; 6] = ["b1", "b2", "k1", "l1", "m1", "x1"];
const GROUPS: [&str; 3] = ["leads", "managers", "support"];
const POLICIES: [&str; 3] = ["any", "managers", "two"];
const RUNBOOKS: [&str; 3] = ["look", "restart", "start"];
const ROTAS: [&str; 2] = ["nights", "primary"];
const SYSTEMS: [&str; 2] = ["system-a", "system-b"];
const ROOMS: [&str; 2] = ["ops", "war"];

fn one(of: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    proptest::sample::select(of)
}

fn account(name: &str) -> Account {
    format!("slack:T1:{name}").parse().expect("an account")
}

fn address(name: &str) -> RoomAddress {
    format!("slack:T1:{name}").parse().expect("an address")
}

fn user_group() -> UserGroup {
    "slack:T1:S1".parse().expect("a user group")
}

fn subject() -> impl Strategy<Value = Subject> {
    prop_oneof![
        one(&PEOPLE).prop_map(|name| Subject::Person(PersonId::new(name))),
        one(&GROUPS).prop_map(|name| Subject::Group(GroupName::new(name))),
        one(&ROTAS).prop_map(|name| Subject::Rota(RotaName::new(name))),
    ]
}

/// Whom only a policy can mean.
fn approver() -> impl Strategy<Value = Subject> {
    prop_oneof![5 => subject(), 1 => Just(Subject::Accountable)]
}

fn subjects() -> impl Strategy<Value = BTreeSet<Subject>> {
    btree_set(subject(), 0..3)
}

fn members() -> impl Strategy<Value = Members> {
    prop_oneof![
        5 => btree_set(one(&PEOPLE), 1..4)
            .prop_map(|people| Members::Listed(people.into_iter().map(PersonId::new).collect())),
        1 => Just(Members::Of(user_group())),
    ]
}

/// What a runbook does whose file is made of this byte.
fn does(byte: u8) -> Digest {
    let mut hash = Sha256::new();
    hash.update(CONTENT);
    hash.update([byte; 32]);
    Digest(hash.finalize().into())
}

/// A trigger that may start `fix`.
fn by_itself(trigger: &str) -> Automatic {
    let bound = Bound { runbook: RunbookName::new("fix"), runs: 3, per_ms: 3_600_000 };
    Automatic { trigger: TriggerName::new(trigger), bound: Some(bound) }
}

pub(super) fn rule(name: &str, stages: Vec<Stage>, expires: u64, automatic: &[&str], comment: &str) -> Rule {
    let automatic: Vec<Automatic> = automatic.iter().map(|name| by_itself(name)).collect();
    let text =
        format!("policy: {name}\n# {comment}\nstages: {stages:?}\nexpires: {expires}\nautomatic: {automatic:?}\n");
    Rule::from(Policy {
        when: None,
        replaces: Vec::new(),
        refuse: None,
        name: PolicyName::new(name),
        title: name.to_owned(),
        stages,
        expires: Duration::from_secs(expires),
        valid_for: Duration::from_secs(60),
        starts_within: Duration::from_secs(60),
        relaxed: Vec::new(),
        exclude_author: false,
        delegating: Delegating::Allowed,
        after_denial: AfterDenial::Denier,
        repeat: None,
        break_glass: None,
        unasked: Vec::new(),
        automatic,
        text,
        source: Source { path: format!("{name}.yaml"), sha256: Digest([0; 32]) },
    })
}

fn rules() -> impl Strategy<Value = BTreeMap<PolicyName, Rule>> {
    let stage = (btree_set(approver(), 1..3), 1_u32..3)
        .prop_map(|(approvers, quorum)| Stage::new(approvers.into_iter().collect(), quorum));
    let parts = (proptest::collection::vec(stage, 1..3), 1_u64..3, proptest::bool::ANY, one(&["old", "new"]));
    btree_map(one(&POLICIES), parts, 0..4).prop_map(|rules| {
        let rule = |(name, (stages, expires, automatic, comment)): (&str, (Vec<Stage>, u64, bool, &str))| {
            let automatic: &[&str] = if automatic { &["down"] } else { &[] };
            (PolicyName::new(name), rule(name, stages, expires, automatic, comment))
        };
        rules.into_iter().map(rule).collect()
    })
}

/// One in which names resolve, as those of a catalog do.
fn access() -> impl Strategy<Value = Access> {
    let people = btree_map(one(&PEOPLE), btree_set(one(&ACCOUNTS), 1..3), 0..5);
    let groups = btree_map(one(&GROUPS), members(), 0..4);
    let needs = (proptest::option::of(one(&POLICIES)), proptest::option::of(0_u8..2), btree_set(one(&SYSTEMS), 0..2));
    let runbooks = btree_map(one(&RUNBOOKS), needs, 0..4);
    let rights = btree_map(proptest::sample::select(&Right::ALL[..5]), subjects(), 0..4);
    let systems = btree_map(
        one(&SYSTEMS),
        (one(&["production", "scratch"]), one(&ROOMS), rights, proptest::option::of(one(&PEOPLE))),
        0..3,
    );
    let rotas = btree_map(one(&ROTAS), btree_set(one(&PEOPLE), 1..4), 0..3);
    let rooms = btree_map(one(&ROOMS), one(&["C1", "C2"]), 0..3);
    let keepers = proptest::option::of((subjects(), one(&ROOMS)));
    (people, (groups, rotas), rules(), runbooks, systems, rooms, keepers).prop_map(
        |(people, (groups, rotas), policies, runbooks, systems, rooms, keepers)| {
            let rotas =
                rotas.into_iter().map(|(name, of)| (RotaName::new(name), of.into_iter().map(PersonId::new).collect()));
            let people =
                people.into_iter().map(|(name, own)| (PersonId::new(name), own.into_iter().map(account).collect()));
            let groups = groups.into_iter().map(|(name, members)| (GroupName::new(name), members));
            let systems = systems.into_iter().map(|(name, (environment, room, rights, accountable))| {
                let accountable = accountable.map(PersonId::new);
                let access = SystemAccess {
                    environment: environment.to_owned(),
                    room: RoomName::new(room),
                    accountable,
                    rights,
                };
                (SystemName::new(name), access)
            });
            let runbooks = runbooks.into_iter().map(|(name, (approval, on_its_word, systems))| {
                let approval = approval.map(PolicyName::new);
                let systems = systems.into_iter().map(SystemName::new).collect();
                let runs = on_its_word.filter(|_| approval.is_none()).map(does);
                let on_its_word = runs.is_some();
                (RunbookName::new(name), Needs { on_its_word, runs, approval, risk: Risk::default(), systems })
            });
            let rooms = rooms.into_iter().map(|(name, at)| (RoomName::new(name), address(at)));
            let keepers = keepers.map(|(by, room)| Keepers { by, room: RoomName::new(room) });
            resolved(Access {
                people: people.collect(),
                reports_to: BTreeMap::new(),
                groups: groups.collect(),
                rotas: rotas.collect(),
                policies,
                runbooks: runbooks.collect(),
                systems: systems.collect(),
                rooms: rooms.collect(),
                unagreed: BTreeSet::new(),
                gone: BTreeMap::new(),
                keepers,
            })
        },
    )
}

/// Takes out what names something that is not there.
fn resolved(mut it: Access) -> Access {
    let mut owned = BTreeSet::new();
    for accounts in it.people.values_mut() {
        // An account is one person's.
        accounts.retain(|account| owned.insert(account.clone()));
    }
    let people = it.people.clone();
    for members in it.groups.values_mut() {
        if let Members::Listed(members) = members {
            members.retain(|person| people.contains_key(person));
        }
    }
    for people_of in it.rotas.values_mut() {
        people_of.retain(|person| people.contains_key(person));
    }
    it.rotas.retain(|_, of| !of.is_empty());
    let (groups, rotas) = (it.groups.clone(), it.rotas.clone());
    let known = |subject: &Subject| match subject {
        Subject::Person(person) => people.contains_key(person),
        Subject::Group(group) => groups.contains_key(group),
        Subject::Rota(rota) => rotas.contains_key(rota),
        Subject::Accountable => true,
    };
    it.policies.retain(|_, rule| named(rule).iter().all(known));
    it.rooms.entry(RoomName::new("ops")).or_insert_with(|| address("C1"));
    let rooms = it.rooms.clone();
    for system in it.systems.values_mut() {
        if !rooms.contains_key(&system.room) {
            system.room = RoomName::new("ops");
        }
        system.accountable = system.accountable.take().filter(|person| people.contains_key(person));
        for who in system.rights.values_mut() {
            who.retain(known);
        }
        system.rights.retain(|_, who| !who.is_empty());
    }
    let (policies, systems) = (it.policies.clone(), it.systems.clone());
    it.runbooks.retain(|_, needs| {
        needs.approval.as_ref().is_none_or(|policy| policies.contains_key(policy))
            && needs.systems.iter().all(|system| systems.contains_key(system))
    });
    if let Some(keepers) = &mut it.keepers {
        keepers.by.retain(known);
        if !rooms.contains_key(&keepers.room) {
            keepers.room = RoomName::new("ops");
        }
    }
    it.keepers = it.keepers.filter(|keepers| !keepers.by.is_empty());
    it
}

fn named(rule: &Rule) -> BTreeSet<Subject> {
    meet::named(rule)
}

/// A catalog that says exactly this.
fn catalog(access: &Access) -> Catalog {
    let mut catalog = Catalog::default();
    let source = || Source { path: "x.yaml".to_owned(), sha256: Digest([0; 32]) };
    for (name, accounts) in &access.people {
        let accounts = accounts.iter().cloned().collect();
        catalog.people.insert(name.clone(), Person { name: name.clone(), accounts, ask: Default::default() });
    }
    for (name, members) in &access.groups {
        let group = match members {
            Members::Listed(members) => Group { members: members.clone(), kept: Kept::Catalog },
            Members::Of(user_group) => {
                let sight = Sight::Blind(Blind::NotAsked);
                Group { members: BTreeSet::new(), kept: Kept::Platform { user_group: user_group.clone(), sight } }
            }
        };
        catalog.groups.insert(name.clone(), group);
    }
    for (name, people) in &access.rotas {
        let rota = Rota {
            name: name.clone(),
            members: people.iter().cloned().collect(),
            stand_ins: Vec::new(),
            turns: Turns::Daily,
            from: chrono::NaiveDate::MIN,
            at: chrono::NaiveTime::MIN,
            zone: chrono_tz::UTC,
            overrides: Vec::new(),
            source: source(),
        };
        catalog.rotas.insert(name.clone(), rota);
    }
    for (name, rule) in &access.policies {
        catalog.policies.insert(name.clone(), rule.policy.clone().expect("it was made here"));
    }
    for (name, it) in &access.systems {
        let who = |right| it.rights.get(&right).into_iter().flatten().cloned().collect();
        let system = System {
            name: name.clone(),
            title: name.to_string(),
            environment: it.environment.clone(),
            room: it.room.clone(),
            may_run: who(Right::Run),
            may_see: who(Right::See),
            may_unstick: who(Right::Unstick),
            may_resolve: who(Right::Resolve),
            may_pause: who(Right::Pause),
            accountable: it.accountable.clone(),
            incident_channel: None,
            services: BTreeMap::new(),
            source: source(),
        };
        catalog.systems.insert(name.clone(), system);
    }
    for (name, needs) in &access.runbooks {
        let action = match needs.on_its_word {
            true => StepAction::Run { command: vec!["true".to_owned()], env: Vec::new() },
            false => StepAction::Wait(Duration::from_secs(1)),
        };
        let step = Step {
            name: "one".to_owned(),
            action,
            timeout: Duration::from_secs(1),
            idempotent: false,
            read_only: true,
            retry: None,
        };
        let mut systems = needs.systems.iter();
        let runbook = Runbook {
            name: name.clone(),
            title: name.to_string(),
            why: None,
            say: Vec::new(),
            params: Vec::new(),
            system: systems.next().cloned(),
            approval: needs.approval.clone(),
            author: None,
            risk: needs.risk,
            steps: vec![step],
            source: Source { sha256: Digest([u8::from(needs.runs == Some(does(1))); 32]), ..source() },
        };
        catalog.runbooks.insert(name.clone(), runbook);
    }
    for (name, at) in &access.rooms {
        catalog.rooms.insert(name.clone(), Room { name: name.clone(), address: at.clone() });
    }
    catalog.access = access.keepers.as_ref().map(|keepers| Countersigners {
        by: keepers.by.iter().cloned().collect(),
        room: keepers.room.clone(),
        changed_by: BTreeSet::new(),
    });
    catalog
}

/// What somebody may do, one by one.
fn rights(access: &Access) -> BTreeSet<String> {
    let mut rights = BTreeSet::new();
    for (person, accounts) in &access.people {
        rights.extend(accounts.iter().map(|account| format!("{account} is {person}")));
    }
    for system in access.systems.keys() {
        for right in Right::ALL {
            let holders = access.holders(&access.right(system, right));
            rights.extend(holders.iter().map(|holder| format!("{holder:?} may {right:?} {system}")));
        }
    }
    rights.extend(access.keepers().iter().map(|holder| format!("{holder:?} may countersign")));
    rights
}

/// Whether somebody could get a runbook agreed to by one access, and not by the other.
fn loosens(runbook: &RunbookName, after: &Access, before: &Access) -> Option<String> {
    let is = after.runbooks.get(runbook)?;
    let Some(policy) = &is.approval else {
        return match before.runbooks.get(runbook) {
            Some(was) if was.approval.is_some() && is.on_its_word => Some(format!("{runbook} needed agreement")),
            Some(was) if is.on_its_word && !was.on_its_word => Some(format!("{runbook} acts")),
            Some(was) if is.runs != was.runs && is.on_its_word => Some(format!("{runbook} does something else")),
            None if is.on_its_word => Some(format!("{runbook} acts and is new")),
            Some(_) | None => None,
        };
    };
    let was = before.runbooks.get(runbook).and_then(|was| was.approval.as_ref()).unwrap_or(policy);
    let (Some(rule), Some(old)) = (after.policies.get(policy), before.policies.get(was)) else {
        return Some(format!("{runbook} has a policy that is new"));
    };
    if !meet::is_as_strict(rule, old) {
        return Some(format!("{runbook}: {policy} is less than {was}"));
    }
    let more = !after.approvers(policy).is_subset(&before.approvers(was));
    more.then(|| format!("{runbook}: others approve"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_given_before_it_is_countersigned(approved in access(), wanted in access()) {
        let now = in_force(&approved, &wanted);
        let more: Vec<_> = rights(&now).difference(&rights(&approved)).cloned().collect();
        prop_assert!(more.is_empty(), "{more:?}\n{now:#?}");
        for (runbook, needs) in &now.runbooks {
            prop_assert_eq!(loosens(runbook, &now, &approved), None);
            // One that is new is asked for by who may ask on its systems.
            if let Some(was) = approved.runbooks.get(runbook) {
                let before = approved.askers_on(&was.systems, needs.asked_with());
                prop_assert!(now.askers(needs).is_subset(&before), "others ask for {}", runbook);
            }
        }
        prop_assert!(diff(&approved, &now).iter().all(|change| change.effect != Effect::Gives), "{:?}", diff(&approved, &now));
    }

    #[test]
    fn what_is_taken_is_gone_at_once(approved in access(), wanted in access()) {
        let now = in_force(&approved, &wanted);
        for (person, accounts) in &now.people {
            prop_assert!(accounts.is_subset(&wanted.people[person]));
        }
        for (system, access) in &now.systems {
            for right in access.rights.keys() {
                // What a group is that somebody else keeps now cannot be compared.
                let kept: BTreeSet<_> = now.groups.iter()
                    .filter(|(name, members)| match (members, wanted.groups.get(*name)) {
                        (Members::Listed(_), Some(Members::Listed(_))) => false,
                        (Members::Of(one), Some(Members::Of(other))) => one != other,
                        _ => true,
                    })
                    .map(|(name, _)| Subject::Group(name.clone()))
                    .collect();
                let clear: BTreeSet<Subject> = now.right(system, *right).difference(&kept).cloned().collect();
                let (have, want) = (now.holders(&clear), wanted.holders(&wanted.right(system, *right)));
                prop_assert!(have.is_subset(&want), "{have:?} {want:?}");
            }
        }
        for runbook in now.runbooks.keys() {
            prop_assert!(wanted.runbooks.contains_key(runbook));
        }
    }

    #[test]
    fn countersigned_it_holds_as_written(approved in access(), wanted in access()) {
        prop_assert_eq!(&in_force(&wanted, &wanted), &wanted);
        prop_assert!(diff(&wanted, &wanted).is_empty());
        let wanted = wanted.remembering(&approved);
        let now = in_force(&approved, &wanted);
        prop_assert_eq!(diff(&now, &wanted).is_empty(), now == wanted);
        prop_assert_eq!(diff(&approved, &wanted).is_empty(), approved == wanted);
        prop_assert!(now.gone.keys().all(|name| approved.runbooks.contains_key(name)));
    }

    #[test]
    fn somebody_is_left_who_countersigns(approved in access(), wanted in access()) {
        let now = in_force(&approved, &wanted);
        let left = approved.keepers().into_iter().any(|holder| match holder {
            Holder::Person(person) => now.people.contains_key(&person),
            Holder::UserGroup(_) => true,
        });
        prop_assert_eq!(left, !now.keepers().is_empty());
        prop_assert!(now.keepers().is_subset(&approved.keepers()));
    }

    #[test]
    fn looking_again_gives_nothing_more(approved in access(), wanted in access()) {
        let now = in_force(&approved, &wanted);
        prop_assert_eq!(&in_force(&now, &wanted), &now);
    }

    #[test]
    fn nobody_has_anything_when_everything_is_removed(approved in access()) {
        let now = in_force(&approved, &Access::default());
        // A platform's group of which nobody is known is nobody.
        let members = BTreeMap::from([(user_group(), PEOPLE.map(PersonId::new).into())]);
        prop_assert!(now.keepers.iter().all(|keepers| now.people_of(&keepers.by, &members).is_empty()));
        let beside = Access { keepers: None, ..now.clone() };
        prop_assert!(rights(&beside).is_empty());
        prop_assert!(now.runbooks.is_empty() && now.systems.is_empty() && now.people.is_empty());
    }

    #[test]
    fn the_catalog_in_use_says_what_is_in_force(approved in access(), wanted in access()) {
        let mut catalog = catalog(&wanted);
        prop_assert_eq!(&Access::of(&catalog), &wanted);
        let now = in_force(&approved, &wanted);
        now.narrow(&mut catalog);
        // A catalog remembers nothing.
        prop_assert_eq!(Access::of(&catalog), Access { gone: BTreeMap::new(), ..now });
    }

    #[test]
    fn it_is_the_same_after_it_was_stored(access in access(), other in access()) {
        let json = serde_json::to_string(&access).expect("JSON");
        let read: Access = serde_json::from_str(&json).expect("it reads back");
        prop_assert_eq!(&read, &access);
        prop_assert_eq!(read.fingerprint().expect("JSON"), access.fingerprint().expect("JSON"));
        let same = access.fingerprint().expect("JSON") == other.fingerprint().expect("JSON");
        prop_assert_eq!(same, access == other);
    }

    #[test]
    fn whoever_has_more_gains(approved in access(), wanted in access()) {
        let now = in_force(&approved, &wanted);
        let gain = gainers(&now, &wanted, &BTreeMap::new());
        prop_assert!(gainers(&wanted, &wanted, &BTreeMap::new()).is_empty());
        for person in &gain {
            prop_assert!(wanted.people.contains_key(person));
        }
        for (runbook, needs) in &wanted.runbooks {
            let Some((was, policy)) = now.runbooks.get(runbook).zip(needs.approval.as_ref()) else { continue };
            let Some(before) = &was.approval else { continue };
            for holder in wanted.approvers(policy).difference(&now.approvers(before)) {
                if let Holder::Person(person) = holder {
                    prop_assert!(gain.contains(person), "{person} comes to approve {runbook}");
                }
            }
        }
        for holder in wanted.keepers().difference(&now.keepers()) {
            if let Holder::Person(person) = holder {
                prop_assert!(gain.contains(person), "{person} comes to countersign");
            }
        }
        for (system, access) in &wanted.systems {
            if let Some(was) = now.systems.get(system).filter(|was| was.accountable != access.accountable) {
                let answers = access.accountable.as_ref().is_none_or(|person| gain.contains(person));
                prop_assert!(answers, "{:?} comes to answer for {system} after {:?}", access.accountable, was.accountable);
            }
            for right in access.rights.keys().filter(|_| now.systems.contains_key(system)) {
                let before = now.holders(&now.right(system, *right));
                for holder in wanted.holders(&wanted.right(system, *right)).difference(&before) {
                    if let Holder::Person(person) = holder {
                        prop_assert!(gain.contains(person), "{person} gains {right:?} on {system}");
                    }
                }
            }
        }
    }
}

fn small(change: impl FnOnce(&mut Access)) -> Access {
    let set = |names: &[&str]| names.iter().map(|name| PersonId::new(*name)).collect::<BTreeSet<_>>();
    let group = |name: &str| Subject::Group(GroupName::new(name));
    let stage = |names: &[&str], quorum| Stage::new(names.iter().map(|it| group(it)).collect(), quorum);
    let rights = BTreeMap::from([
        (Right::Run, BTreeSet::from([group("support")])),
        (Right::Pause, BTreeSet::from([group("managers")])),
    ]);
    let ops = RoomName::new("ops");
    let mut access = Access {
        reports_to: BTreeMap::new(),
        people: [("boss", "b1"), ("kim", "k1"), ("mei", "m1")]
            .map(|(name, at)| (PersonId::new(name), BTreeSet::from([account(at)])))
            .into(),
        rotas: BTreeMap::new(),
        groups: BTreeMap::from([
            (GroupName::new("managers"), Members::Listed(set(&["boss", "kim"]))),
            (GroupName::new("support"), Members::Listed(set(&["mei"]))),
        ]),
        policies: BTreeMap::from([(
            PolicyName::new("managers"),
            rule("managers", vec![stage(&["managers"], 1)], 60, &[], ""),
        )]),
        runbooks: BTreeMap::from([(
            RunbookName::new("start"),
            Needs {
                approval: Some(PolicyName::new("managers")),
                on_its_word: false,
                runs: None,
                risk: Risk::default(),
                systems: BTreeSet::new(),
            },
        )]),
        systems: BTreeMap::from([(
            SystemName::new("system-a"),
            SystemAccess { environment: "production".to_owned(), room: ops.clone(), accountable: None, rights },
        )]),
        rooms: BTreeMap::from([(ops.clone(), address("C1"))]),
        unagreed: BTreeSet::new(),
        gone: BTreeMap::new(),
        keepers: Some(Keepers { by: BTreeSet::from([group("managers")]), room: ops }),
    };
    change(&mut access);
    access
}

fn people(access: &Access, subjects: &BTreeSet<Subject>) -> String {
    let people = access.people_of(subjects, &BTreeMap::new());
    people.iter().map(PersonId::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn one_comes_and_one_goes() {
    let lin = PersonId::new("lin");
    let wanted = small(|it| {
        it.people.insert(lin.clone(), BTreeSet::from([account("l1")]));
        let members = ["boss", "lin"].map(PersonId::new).into();
        it.groups.insert(GroupName::new("managers"), Members::Listed(members));
    });
    let now = in_force(&small(|_| ()), &wanted);
    let managers = BTreeSet::from([Subject::Group(GroupName::new("managers"))]);
    assert_eq!(people(&now, &managers), "boss", "kim is gone at once, lin is not there yet");
    assert!(!now.people.contains_key(&lin), "whoever is new is not known");
    assert_eq!(gainers(&now, &wanted, &BTreeMap::new()), BTreeSet::from([lin]));
    assert_eq!(people(&now, &now.keepers.as_ref().expect("named").by), "boss");
}

#[test]
fn a_group_that_gets_another_name_keeps_its_people() {
    let (leads, managers) = (Subject::Group(GroupName::new("leads")), Subject::Group(GroupName::new("managers")));
    let wanted = small(|it| {
        it.groups.remove(&GroupName::new("managers"));
        it.groups.insert(GroupName::new("leads"), Members::Listed(["boss", "mei"].map(PersonId::new).into()));
        let stages = vec![Stage::new(vec![leads.clone()], 1)];
        it.policies.insert(PolicyName::new("managers"), rule("managers", stages, 60, &[], ""));
        let system = it.systems.get_mut(&SystemName::new("system-a")).expect("there");
        system.rights.insert(Right::Pause, BTreeSet::from([leads.clone()]));
        it.keepers.as_mut().expect("named").by = BTreeSet::from([leads.clone()]);
    });
    let now = in_force(&small(|_| ()), &wanted);
    let policy = PolicyName::new("managers");
    assert_eq!(now.policies[&policy], small(|_| ()).policies[&policy], "its text waits");
    assert_eq!(people(&now, &BTreeSet::from([managers])), "boss", "who is in both by either name");
    assert_eq!(people(&now, &now.right(&SystemName::new("system-a"), Right::Pause)), "boss");
    assert_eq!(people(&now, &now.keepers.as_ref().expect("named").by), "boss");
}

#[test]
fn those_who_countersign_are_not_replaced_without_their_word() {
    let mei = Subject::Person(PersonId::new("mei"));
    let wanted = small(|it| it.keepers.as_mut().expect("named").by = BTreeSet::from([mei.clone()]));
    let now = in_force(&small(|_| ()), &wanted);
    assert_eq!(people(&now, &now.keepers.as_ref().expect("named").by), "boss kim", "mei is not among them yet");
    let nobody = small(|it| it.keepers = None);
    let now = in_force(&small(|_| ()), &nobody);
    assert_eq!(people(&now, &now.keepers.as_ref().expect("named").by), "boss kim", "nor is the key taken away");
    let first = in_force(&nobody, &wanted);
    assert_eq!(first.keepers, None, "and the first of them are not their own");
}

#[test]
fn a_policy_becomes_stricter_at_once_and_looser_later() {
    let policy = PolicyName::new("managers");
    let with = |quorum, expires| {
        small(|it| {
            let approvers = vec![Subject::Group(GroupName::new("managers"))];
            let stages = vec![Stage::new(approvers, quorum)];
            it.policies.insert(policy.clone(), rule("managers", stages, expires, &[], "another"));
        })
    };
    let quorum = |access: &Access| access.policies[&policy].policy.as_ref().expect("it was made here").stages[0].quorum;
    assert_eq!(quorum(&in_force(&small(|_| ()), &with(2, 60))), 2);
    assert_eq!(quorum(&in_force(&with(2, 60), &with(1, 60))), 2);
    assert_eq!(quorum(&in_force(&small(|_| ()), &with(2, 61))), 1, "more of one and less of the other waits");
    assert_eq!(in_force(&small(|_| ()), &with(1, 60)), with(1, 60), "other words alone are nothing to countersign");
}

#[test]
fn a_runbook_waits_where_it_would_loosen() {
    let (start, new) = (RunbookName::new("start"), RunbookName::new("new"));
    let needs = |approval: Option<&str>, on_its_word| Needs {
        approval: approval.map(PolicyName::new),
        on_its_word,
        runs: None,
        risk: Risk::default(),
        systems: BTreeSet::new(),
    };
    let lax = || rule("lax", vec![Stage::new(vec![Subject::Group(GroupName::new("support"))], 1)], 60, &[], "");
    let wanted = small(|it| {
        it.policies.insert(PolicyName::new("lax"), lax());
        it.runbooks.insert(start.clone(), needs(Some("lax"), false));
        it.runbooks.insert(new.clone(), needs(Some("managers"), false));
        it.runbooks.insert(RunbookName::new("laxer"), needs(Some("lax"), false));
        it.runbooks.insert(RunbookName::new("free"), needs(None, true));
        it.runbooks.insert(RunbookName::new("look"), needs(None, false));
    });
    let now = in_force(&small(|_| ()), &wanted);
    let list: Vec<String> = now.runbooks.iter().map(|(name, needs)| format!("{name}: {:?}", needs.approval)).collect();
    assert_eq!(list, ["look: None", "new: Some(PolicyName(\"managers\"))", "start: Some(PolicyName(\"managers\"))",]);
    assert!(!now.policies.contains_key(&PolicyName::new("lax")));
    let without = |on_its_word| {
        small(|it| {
            it.runbooks.insert(start.clone(), needs(None, on_its_word));
        })
    };
    assert!(in_force(&small(|_| ()), &without(true)).runbooks.is_empty(), "nobody would have to agree any more");
    assert_eq!(in_force(&small(|_| ()), &without(false)), without(false), "what only looks needs nobody");
}

#[test]
fn each_part_of_a_policy_that_loosens_it_waits() {
    let group = |name: &str| Subject::Group(GroupName::new(name));
    let escalation = |after_ms| Escalation { after_ms, to: vec![group("support")] };
    let base = || {
        let mut stage = Stage::new(vec![group("managers")], 1);
        (stage.denials, stage.expires_ms, stage.escalate) = (2, Some(1_000), vec![escalation(500)]);
        rule("managers", vec![stage], 60, &["down"], "").policy.expect("it was made here")
    };
    type Edit = fn(&mut Policy);
    let looser: [(&str, Edit); 13] = [
        ("it replaces others", |it| it.replaces = vec![PolicyName::new("two")]),
        ("starts later", |it| it.starts_within = Duration::from_secs(61)),
        ("lasts longer", |it| it.valid_for = Duration::from_secs(61)),
        ("gives up a rule", |it| it.relaxed = vec![Relaxed::RequesterMayAgree]),
        ("more people", |it| it.stages[0].approvers.push(Subject::Person(PersonId::new("mei")))),
        ("more denials", |it| it.stages[0].denials = 3),
        ("waits longer", |it| it.stages[0].expires_ms = None),
        ("asks others sooner", |it| it.stages[0].escalate[0].after_ms = 400),
        ("others after a denial", |it| it.after_denial = AfterDenial::SamePeople),
        ("it covers several", |it| it.repeat = Some(Repeat { runs: 2, within_ms: 1 })),
        ("the glass may be broken", |it| {
            let by = vec![Subject::Person(PersonId::new("mei"))];
            let reviewed_by = by.clone();
            it.break_glass = Some(BreakGlass { by, review_within_ms: 1, reviewed_by, by_chat: false });
        }),
        ("it applies by itself", |it| it.when = Some(When::default())),
        ("a trigger starts it", |it| it.automatic.push(by_itself("up"))),
    ];
    let stricter: [(&str, Edit); 9] = [
        ("the author does not count", |it| it.exclude_author = true),
        ("nobody delegates", |it| it.delegating = Delegating::Refused),
        ("a reason", |it| it.stages[0].reason_required = true),
        ("a passkey", |it| it.stages[0].step_up = true),
        ("one denial", |it| it.stages[0].denials = 1),
        ("nobody else", |it| it.stages[0].escalate.clear()),
        ("one stage more", |it| it.stages.push(Stage::new(vec![Subject::Person(PersonId::new("mei"))], 1))),
        ("it refuses", |it| it.refuse = Some("freeze".to_owned())),
        ("nothing by itself", |it| it.automatic.clear()),
    ];
    let edited = |(name, edit): (&str, Edit)| {
        let mut policy = base();
        edit(&mut policy);
        policy.text = name.to_owned();
        Rule::from(policy)
    };
    let base = Rule::from(base());
    for (name, edit) in looser {
        assert!(!meet::is_as_strict(&edited((name, edit)), &base), "{name}");
    }
    for (name, edit) in stricter {
        let edited = edited((name, edit));
        assert!(meet::is_as_strict(&edited, &base), "{name}");
        assert!(!meet::is_as_strict(&base, &edited), "and back, {name} is looser");
    }
}

#[test]
fn a_policy_that_applies_by_itself_comes_and_goes_by_a_second_person_unless_it_refuses() {
    let (strict, freeze) = (PolicyName::new("strict"), PolicyName::new("freeze"));
    let by_itself = |name: &str, refuse: Option<&str>| {
        let stages = vec![Stage::new(vec![Subject::Person(PersonId::new("mei"))], 1)];
        let mut policy = rule(name, stages, 60, &[], "").policy.expect("it was made here");
        (policy.when, policy.refuse) = (Some(When::default()), refuse.map(str::to_owned));
        Rule::from(policy)
    };
    let with = small(|it| {
        it.policies.insert(strict.clone(), by_itself("strict", None));
        it.policies.insert(freeze.clone(), by_itself("freeze", Some("year's end")));
    });
    let now = in_force(&small(|_| ()), &with);
    assert!(!now.policies.contains_key(&strict), "it would let mei agree in the managers' place");
    assert!(now.policies.contains_key(&freeze), "it lets nobody do anything");
    let now = in_force(&with, &small(|_| ()));
    assert!(now.policies.contains_key(&strict) && now.policies.contains_key(&freeze), "without it less is asked");
    assert_eq!(gainers(&small(|_| ()), &with, &BTreeMap::new()), BTreeSet::from([PersonId::new("mei")]));
}

/// `settle`, as far as it is pure: what is in force after this was read.
fn then(approved: &Access, wanted: &Access) -> Access {
    in_force(approved, &wanted.remembering(approved))
}

#[test]
fn a_runbook_that_comes_back_needs_what_it_needed() {
    let start = RunbookName::new("start");
    let lax = || rule("lax", vec![Stage::new(vec![Subject::Group(GroupName::new("managers"))], 1)], 600, &[], "");
    let with = |needs: Option<(&str, Risk)>| {
        small(|it| {
            it.policies.insert(PolicyName::new("lax"), lax());
            it.runbooks.clear();
            if let Some((policy, risk)) = needs {
                let needs = Needs {
                    approval: Some(PolicyName::new(policy)),
                    on_its_word: false,
                    runs: None,
                    risk,
                    systems: BTreeSet::new(),
                };
                it.runbooks.insert(start.clone(), needs);
            }
        })
    };
    let before = with(Some(("managers", Risk::High)));
    let without = then(&before, &with(None));
    assert!(!without.runbooks.contains_key(&start), "taking away holds at once");
    let again = with(Some(("lax", Risk::Low)));
    for back in [then(&without, &again), then(&then(&without, &with(None)), &again)] {
        assert_eq!(back.runbooks[&start], before.runbooks[&start], "it comes back to what it needed");
        assert_ne!(back, again.remembering(&without), "the rest waits");
    }
    // With its policy gone as well there is nothing that it could be held to: it waits.
    let neither = |it: &Access| {
        let mut it = it.clone();
        it.policies.remove(&PolicyName::new("managers"));
        it
    };
    let without = then(&before, &neither(&with(None)));
    assert!(!without.policies.contains_key(&PolicyName::new("managers")));
    assert!(then(&without, &neither(&again)).runbooks.is_empty());
    assert!(then(&without, &again).runbooks.is_empty(), "nor under a new policy of the old name");
    // The same as before waits for nobody.
    assert_eq!(then(&then(&before, &with(None)), &before), before);
}

#[test]
fn where_policies_go_by_it_a_new_runbook_is_of_the_highest_risk_until_countersigned() {
    let new = RunbookName::new("new");
    let with = |by_risk: bool, new_one: bool| {
        small(|it| {
            let mut policy =
                rule("risky", vec![Stage::new(vec![Subject::Group(GroupName::new("managers"))], 2)], 60, &[], "")
                    .policy
                    .expect("it was made here");
            let risks = if by_risk { vec![Risk::High] } else { Vec::new() };
            policy.when = Some(When { risks, ..When::default() });
            it.policies.insert(PolicyName::new("risky"), Rule::from(policy));
            if new_one {
                let approval = Some(PolicyName::new("managers"));
                let needs =
                    Needs { approval, on_its_word: false, runs: None, risk: Risk::Low, systems: BTreeSet::new() };
                it.runbooks.insert(new.clone(), needs);
            }
        })
    };
    let risk = |by_risk| then(&with(by_risk, false), &with(by_risk, true)).runbooks[&new].risk;
    assert_eq!(risk(true), Risk::High);
    assert_eq!(risk(false), Risk::Low, "it decides nothing");
    let now = then(&with(true, false), &with(true, true));
    assert_eq!(diff(&now, &with(true, true)).len(), 1, "its risk is shown to whoever countersigns");
}

#[test]
fn whoever_approves_under_a_loosened_policy_gains() {
    let group = |name: &str| Subject::Group(GroupName::new(name));
    let policy = PolicyName::new("managers");
    let with = |edit: fn(&mut Policy)| {
        small(|it| {
            let mut stage = Stage::new(vec![group("managers")], 2);
            (stage.step_up, stage.denials) = (true, 1);
            let mut policy = rule("managers", vec![stage], 60, &[], "").policy.expect("it was made here");
            edit(&mut policy);
            policy.text = format!("{policy:?}");
            it.policies.insert(policy.name.clone(), Rule::from(policy));
            it.groups.insert(GroupName::new("others"), Members::Listed([PersonId::new("mei")].into()));
        })
    };
    let gain = |edit| {
        let (now, wanted) = (with(|_| ()), with(edit));
        let gain = gainers(&now, &wanted, &BTreeMap::new());
        gain.iter().map(PersonId::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(gain(|_| ()), "");
    type Loosens = fn(&mut Policy);
    let loosened: [(&str, Loosens); 5] = [
        ("fewer", |it| it.stages[0].quorum = 1),
        ("no passkey", |it| it.stages[0].step_up = false),
        ("several runs", |it| it.repeat = Some(Repeat { runs: 2, within_ms: 1 })),
        ("more denials", |it| it.stages[0].denials = 2),
        ("whoever asks", |it| it.relaxed = vec![Relaxed::RequesterMayAgree]),
    ];
    for (name, edit) in loosened {
        assert_eq!(gain(edit), "boss kim", "{name}");
    }
    let glass = gain(|it| {
        let by = vec![Subject::Group(GroupName::new("managers"))];
        it.break_glass = Some(BreakGlass { reviewed_by: by.clone(), by, review_within_ms: 1, by_chat: false });
    });
    assert_eq!(glass, "boss kim");
    assert_eq!(gain(|it| it.stages[0].quorum = 3), "", "stricter gives nobody anything");
    // Naming a laxer policy is the same.
    let lax = |approval: &str| {
        let approval = Some(PolicyName::new(approval));
        small(|it| {
            it.policies
                .insert(policy.clone(), rule("managers", vec![Stage::new(vec![group("managers")], 2)], 60, &[], ""));
            let stages = vec![Stage::new(vec![group("managers")], 1)];
            it.policies.insert(PolicyName::new("lax"), rule("lax", stages, 60, &[], ""));
            it.runbooks.get_mut(&RunbookName::new("start")).expect("there").approval = approval;
        })
    };
    let (now, wanted) = (lax("managers"), lax("lax"));
    assert_eq!(gainers(&now, &wanted, &BTreeMap::new()).len(), 2);
}

#[test]
fn what_starts_without_agreement_waits_when_it_does_something_else() {
    let digest = |byte| Digest([byte; 32]);
    let with = |runs: u8, fires: u8, named: bool| {
        small(|it| {
            let automatic: &[&str] = if named { &["down"] } else { &[] };
            let stage = Stage::new(vec![Subject::Group(GroupName::new("managers"))], 1);
            it.policies.insert(PolicyName::new("managers"), rule("managers", vec![stage], 60, automatic, ""));
            let needs = it.runbooks[&RunbookName::new("start")].clone();
            it.runbooks.insert(RunbookName::new("fix"), needs);
            if named {
                it.unagreed.insert(Unagreed {
                    trigger: Some(TriggerName::new("down")),
                    owner: Some(PersonId::new("kim")),
                    runbook: RunbookName::new("fix"),
                    runs: digest(runs),
                    fires: Some(digest(fires)),
                });
            }
        })
    };
    let approved = with(1, 1, true);
    assert_eq!(then(&approved, &with(1, 1, true)), approved);
    for (wanted, runs, fires) in [(with(2, 1, true), true, false), (with(1, 2, true), false, true)] {
        let now = then(&approved, &wanted);
        assert_eq!(now, approved, "what was countersigned stays what it was");
        let changes = diff(&now, &wanted);
        let (trigger, runbook) = (Some(TriggerName::new("down")), RunbookName::new("fix"));
        let what = What::UnagreedChanged { trigger, runbook, runs, fires };
        assert_eq!(changes, [Change { effect: Effect::Gives, what }]);
        assert_eq!(
            gainers(&now, &wanted, &BTreeMap::new()),
            BTreeSet::from([PersonId::new("kim")]),
            "in whose name it acts"
        );
    }
    let without = then(&approved, &with(1, 1, false));
    assert!(without.unagreed.is_empty(), "taking it away holds at once");
    assert!(then(&without, &with(1, 1, true)).unagreed.is_empty(), "and coming back waits");
    let old = Access { unagreed: BTreeSet::new(), ..approved };
    assert!(then(&old, &with(1, 1, true)).unagreed.is_empty(), "what an earlier release kept says nothing of it");
}

#[test]
fn what_acts_on_its_word_and_was_kept_by_an_earlier_release_waits_once() {
    let look = RunbookName::new("look");
    let with = |runs: Option<Digest>| {
        small(|it| {
            let needs =
                Needs { approval: None, on_its_word: true, runs, risk: Risk::default(), systems: BTreeSet::new() };
            it.runbooks.insert(look.clone(), needs);
        })
    };
    // What was stored reads as it did, and has the fingerprint that it had.
    let old = with(None);
    let json = serde_json::to_string(&old.runbooks[&look]).expect("JSON");
    assert_eq!(json, r#"{"on_its_word":true,"risk":"medium"}"#);
    let (wanted, other) = (with(Some(does(0))), with(Some(does(1))));
    let now = then(&old, &wanted);
    assert!(!now.runbooks.contains_key(&look), "nobody has seen what it does");
    let acts = Change { effect: Effect::Gives, what: What::RunbookActs { runbook: look.clone() } };
    assert_eq!(diff(&now, &wanted.remembering(&old)), [acts]);
    assert!(!then(&now, &wanted).runbooks.contains_key(&look), "nor on another look");
    assert_eq!(then(&wanted, &wanted), wanted, "once countersigned it is there");
    assert!(!then(&wanted, &other).runbooks.contains_key(&look), "until it does something else");
    assert_eq!(then(&then(&wanted, &other), &wanted), wanted, "and again as it was");
}

fn group(name: &str) -> Subject {
    Subject::Group(GroupName::new(name))
}

fn one_of(name: &str) -> Subject {
    Subject::Person(PersonId::new(name))
}

/// Who gains by a change of the small world, in words.
fn gain_by(now: &Access, wanted: &Access) -> String {
    let gain = gainers(&then(now, wanted), &wanted.remembering(now), &BTreeMap::new());
    gain.iter().map(PersonId::as_str).collect::<Vec<_>>().join(" ")
}

/// A policy that one of these may agree to, as it is edited.
fn asks(name: &str, who: &[&str], edit: impl FnOnce(&mut Policy)) -> Rule {
    let stages = vec![Stage::new(who.iter().map(|name| one_of(name)).collect(), 1)];
    let mut policy = rule(name, stages, 60, &[], "").policy.expect("it was made here");
    edit(&mut policy);
    policy.text = format!("{policy:?}");
    Rule::from(policy)
}

fn in_production() -> Option<When> {
    Some(When { environments: vec!["production".to_owned()], ..When::default() })
}

#[test]
fn whoever_comes_to_answer_for_a_system_gains() {
    let with = |accountable: Option<&str>| {
        small(|it| {
            let system = it.systems.get_mut(&SystemName::new("system-a")).expect("there");
            system.accountable = accountable.map(PersonId::new);
        })
    };
    assert_eq!(gain_by(&with(Some("mei")), &with(Some("boss"))), "boss");
    assert_eq!(gain_by(&with(None), &with(Some("boss"))), "boss");
    assert_eq!(gain_by(&with(Some("boss")), &with(None)), "");
    let another = |it: &Access, of: &str| {
        let mut it = it.clone();
        let system =
            SystemAccess { accountable: Some(PersonId::new(of)), ..it.systems[&SystemName::new("system-a")].clone() };
        it.systems.insert(SystemName::new("system-b"), system);
        it
    };
    let now = with(Some("boss"));
    assert_eq!(gain_by(&now, &another(&now, "boss")), "", "of one that is new only who answers for none");
    assert_eq!(gain_by(&now, &another(&now, "kim")), "kim");
}

#[test]
fn whoever_agrees_where_something_stricter_stood_gains() {
    let strict = |edit: fn(&mut Policy)| {
        small(|it| {
            let rule = asks("strict", &["mei"], |policy| {
                policy.when = in_production();
                edit(policy);
            });
            it.policies.insert(PolicyName::new("strict"), rule);
        })
    };
    let freeze = |edit: fn(&mut Policy)| {
        small(|it| {
            let rule = asks("freeze", &[], |policy| {
                policy.stages.clear();
                (policy.when, policy.refuse) = (in_production(), Some("frozen".to_owned()));
                edit(policy);
            });
            it.policies.insert(PolicyName::new("freeze"), rule);
        })
    };
    let narrower: fn(&mut Policy) = |it| it.when = Some(When { risks: vec![Risk::High], ..When::default() });
    let of_others: fn(&mut Policy) = |it| {
        it.when = Some(When { runbooks: vec![RunbookName::new("other")], ..When::default() });
    };
    let none = small(|_| ());
    assert_eq!(gain_by(&strict(|_| ()), &none), "boss kim", "it is gone");
    assert_eq!(gain_by(&freeze(|_| ()), &none), "boss kim", "what refused is gone");
    assert_eq!(gain_by(&strict(of_others), &none), "", "it never stood there");
    assert_eq!(gain_by(&strict(|_| ()), &strict(narrower)), "boss kim mei");
    assert_eq!(gain_by(&freeze(|_| ()), &freeze(narrower)), "boss kim");
    assert_eq!(gain_by(&freeze(|_| ()), &freeze(|it| it.title.push('.'))), "");
    let elsewhere = |mut it: Access| {
        it.systems.get_mut(&SystemName::new("system-a")).expect("there").environment = "scratch".to_owned();
        it
    };
    assert_eq!(gain_by(&strict(|_| ()), &elsewhere(strict(|_| ()))), "boss kim", "no policy of production any more");
    assert_eq!(gain_by(&elsewhere(strict(|_| ())), &strict(|_| ())), "mei", "and where there comes one");
    assert_eq!(gain_by(&none, &elsewhere(none.clone())), "", "nothing goes by it");
    let of_risk = |risk: Risk, edit: fn(&mut Policy)| {
        let mut it = strict(edit);
        it.runbooks.get_mut(&RunbookName::new("start")).expect("there").risk = risk;
        it
    };
    assert_eq!(gain_by(&of_risk(Risk::High, narrower), &of_risk(Risk::Low, narrower)), "boss kim");
    assert_eq!(gain_by(&of_risk(Risk::Low, narrower), &of_risk(Risk::High, narrower)), "mei");
    assert_eq!(gain_by(&of_risk(Risk::High, |_| ()), &of_risk(Risk::Low, |_| ())), "", "nothing goes by it");
}

#[test]
fn whoever_a_new_policy_with_a_condition_names_gains() {
    let now = small(|_| ());
    let wanted = small(|it| {
        it.policies.insert(PolicyName::new("night"), asks("night", &["boss"], |it| it.when = in_production()));
    });
    assert_eq!(gain_by(&now, &wanted), "boss", "who agreed among others decides alone");
}

#[test]
fn whoever_comes_to_ask_gains() {
    let with = |systems: &[&str], approval: Option<&str>, on_its_word: bool| {
        small(|it| {
            let other = SystemAccess {
                rights: BTreeMap::from([
                    (Right::Run, [group("managers")].into()),
                    (Right::See, [one_of("lin")].into()),
                ]),
                ..it.systems[&SystemName::new("system-a")].clone()
            };
            it.systems.insert(SystemName::new("system-b"), other);
            it.people.insert(PersonId::new("lin"), BTreeSet::from([account("l1")]));
            let start = it.runbooks.get_mut(&RunbookName::new("start")).expect("there");
            start.systems = systems.iter().map(|name| SystemName::new(*name)).collect();
            (start.approval, start.on_its_word) = (approval.map(PolicyName::new), on_its_word);
        })
    };
    let managers = Some("managers");
    assert_eq!(gain_by(&with(&["system-a"], managers, false), &with(&["system-b"], managers, false)), "boss kim");
    assert_eq!(gain_by(&with(&["system-b"], managers, false), &with(&["system-a"], managers, false)), "mei");
    assert_eq!(gain_by(&with(&[], managers, false), &with(&["system-b"], managers, false)), "");
    let (looks, acts) = (with(&["system-a"], None, false), with(&["system-b"], None, true));
    assert_eq!(gain_by(&looks, &acts), "boss kim lin", "for what needs nobody, whoever may look");
}

#[test]
fn whose_trigger_may_start_more_gains() {
    let with = |runs: u32| {
        small(|it| {
            let rule = asks("managers", &["boss"], |policy| {
                let bound = Bound { runbook: RunbookName::new("fix"), runs, per_ms: 60_000 };
                policy.automatic = vec![Automatic { trigger: TriggerName::new("down"), bound: Some(bound) }];
            });
            it.policies.insert(PolicyName::new("managers"), rule);
            let needs = it.runbooks[&RunbookName::new("start")].clone();
            it.runbooks.insert(RunbookName::new("fix"), needs);
            it.unagreed.insert(Unagreed {
                trigger: Some(TriggerName::new("down")),
                owner: Some(PersonId::new("mei")),
                runbook: RunbookName::new("fix"),
                runs: Digest([1; 32]),
                fires: Some(Digest([1; 32])),
            });
        })
    };
    assert_eq!(gain_by(&with(3), &with(4)), "boss mei");
    assert_eq!(gain_by(&with(4), &with(3)), "");
}

#[test]
fn those_who_countersign_stay_until_one_of_them_has_agreed() {
    let owners = || GroupName::new("owners");
    let with = |members: Option<Members>, edit: fn(&mut Access)| {
        small(|it| {
            it.people.insert(PersonId::new("lin"), BTreeSet::from([account("l1")]));
            it.rotas.insert(RotaName::new("primary"), ["boss", "kim"].map(PersonId::new).into());
            let by = BTreeSet::from([group("owners")]);
            it.keepers = Some(Keepers { by, room: RoomName::new("ops") });
            it.groups.extend(members.map(|members| (owners(), members)));
            edit(it);
        })
    };
    let listed = |names: &[&str]| Some(Members::Listed(names.iter().map(|name| PersonId::new(*name)).collect()));
    let left = |approved: &Access, wanted: &Access| {
        let now = then(approved, wanted);
        assert_eq!(then(&now, wanted), now, "looking again changes nothing");
        people(&now, &now.keepers.as_ref().expect("named").by)
    };
    let mei = |it: &mut Access| it.keepers.as_mut().expect("named").by = [one_of("mei")].into();
    let approved = with(listed(&["boss", "kim"]), |_| ());
    // Others in their group, others beside it, and the key taken away beside it.
    assert_eq!(left(&approved, &with(listed(&["mei"]), |_| ())), "boss kim");
    assert_eq!(left(&approved, &with(listed(&["mei"]), mei)), "boss kim");
    assert_eq!(left(&approved, &with(listed(&["mei"]), |it| it.keepers = None)), "boss kim");
    assert_eq!(left(&approved, &with(None, mei)), "boss kim");
    assert_eq!(left(&approved, &with(None, |it| it.keepers = None)), "boss kim");
    assert_eq!(left(&approved, &with(listed(&["mei", "kim"]), |_| ())), "kim", "as long as one of them is left");
    // A rota that is gone.
    let by_rota =
        |it: &mut Access| it.keepers.as_mut().expect("named").by = [Subject::Rota(RotaName::new("primary"))].into();
    let approved = with(None, by_rota);
    let gone = with(None, |it| {
        it.rotas.clear();
        it.keepers.as_mut().expect("named").by = [one_of("mei")].into();
    });
    assert_eq!(left(&approved, &gone), "boss kim");
    // A group that something else names, which waits and keeps fewer of them.
    let policy = |it: &mut Access| {
        it.policies.insert(
            PolicyName::new("managers"),
            rule("managers", vec![Stage::new(vec![group("owners")], 1)], 60, &[], ""),
        );
    };
    let approved = with(listed(&["boss", "kim"]), policy);
    let gone = with(None, |it| {
        let stages = vec![Stage::new(vec![one_of("lin")], 1)];
        it.policies.insert(PolicyName::new("managers"), rule("managers", stages, 60, &[], ""));
        it.keepers.as_mut().expect("named").by = [one_of("mei")].into();
    });
    assert_eq!(left(&approved, &gone), "boss kim");
    // A group that a platform keeps: who is in it is the platform's to say.
    let of = || Some(Members::Of(user_group()));
    let now = then(&with(of(), |_| ()), &with(None, mei));
    assert_eq!(now.groups.get(&owners()), of().as_ref());
    assert_eq!(now.keepers.expect("named").by, BTreeSet::from([group("owners")]));
    // They themselves are taken away at once.
    let nobody = with(None, |it| {
        it.people.retain(|name, _| name.as_str() == "mei");
        it.keepers.as_mut().expect("named").by = [one_of("mei")].into();
    });
    assert_eq!(left(&with(listed(&["boss", "kim"]), |_| ()), &nobody), "");
}

#[test]
fn what_a_refusing_policy_names_approves_nothing() {
    let glass = |by: &str, reviewed_by: &str| {
        let (by, reviewed_by) = (vec![one_of(by)], vec![one_of(reviewed_by)]);
        Some(BreakGlass { by, review_within_ms: 1, reviewed_by, by_chat: false })
    };
    let with = |beside: Rule, named: bool| {
        small(|it| {
            it.policies.insert(PolicyName::new("beside"), beside.clone());
            if named {
                it.policies.insert(PolicyName::new("new"), asks("new", &["mei"], |_| ()));
            }
        })
    };
    let gain = |beside: Rule| gain_by(&with(beside.clone(), false), &with(beside, true));
    assert_eq!(gain(asks("beside", &["mei"], |_| ())), "", "mei approves something already");
    assert_eq!(
        gain(asks("beside", &["mei"], |it| (it.when, it.refuse) = (in_production(), Some("frozen".to_owned())))),
        "mei"
    );
    assert_eq!(
        gain(asks("beside", &["boss"], |it| it.break_glass = glass("boss", "mei"))),
        "mei",
        "to review is not to agree"
    );
    let by = || vec![one_of("mei")];
    let unasked = asks("beside", &["boss"], |it| {
        it.unasked = vec![(RunbookName::new("start"), crate::model::policy::Unasked { by: by(), runs: 1, per_ms: 1 })];
    });
    assert_eq!(gain(unasked), "mei", "nor is to start");
    assert_eq!(gain(asks("beside", &["boss"], |it| it.break_glass = glass("mei", "boss"))), "");
}

#[test]
fn what_was_told_before_is_read_and_written_as_it_was() {
    for old in [
        r#"{"effect":"gives","what":{"runbook_came":{"runbook":"start","approval":null}}}"#,
        r#"{"effect":"gives","what":{"unagreed_came":{"trigger":"down","runbook":"fix"}}}"#,
        r#"{"effect":"other","what":{"system_came":{"system":"shop"}}}"#,
    ] {
        let read: Change = serde_json::from_str(old).expect("a change");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), old);
    }
}

#[test]
fn a_runbook_leaves_the_reach_of_a_condition_by_a_second_person() {
    let with = |systems: &[&str], when: Option<When>| {
        small(|it| {
            let sandbox = it.systems[&SystemName::new("system-a")].clone();
            let sandbox = SystemAccess { environment: "scratch".to_owned(), ..sandbox };
            it.systems.insert(SystemName::new("sandbox"), sandbox);
            it.policies.insert(PolicyName::new("strict"), asks("strict", &["mei"], |it| it.when = when));
            let start = it.runbooks.get_mut(&RunbookName::new("start")).expect("there");
            start.systems = systems.iter().map(|name| SystemName::new(*name)).collect();
        })
    };
    let other = Some(When { runbooks: vec![RunbookName::new("other")], ..in_production().expect("one") });
    let start = RunbookName::new("start");
    for (when, waits) in [(in_production(), true), (other, false), (Some(When::default()), false)] {
        let (now, wanted) = (with(&["system-a"], when.clone()), with(&["sandbox"], when));
        assert_eq!(!then(&now, &wanted).runbooks.contains_key(&start), waits);
        assert_eq!(gain_by(&now, &wanted), if waits { "boss kim" } else { "" });
        assert_eq!(then(&then(&now, &wanted), &now), now, "and back");
    }
}

#[test]
fn who_could_ask_is_who_really_could() {
    let start = RunbookName::new("start");
    let with = |approval: Option<&str>, countersigned: bool| {
        small(|it| {
            let system = it.systems.get_mut(&SystemName::new("system-a")).expect("there");
            system.rights.insert(Right::See, [one_of("kim")].into());
            let rule = asks("managers", &["boss"], |policy| {
                let by = vec![one_of("mei")];
                policy.unasked = vec![(start.clone(), crate::model::policy::Unasked { by, runs: 1, per_ms: 1 })];
            });
            it.policies.insert(PolicyName::new("managers"), rule);
            it.runbooks.get_mut(&start).expect("there").approval = approval.map(PolicyName::new);
            let runbook = start.clone();
            let it_starts = Unagreed { trigger: None, owner: None, runbook, runs: does(0), fires: None };
            it.unagreed.extend(countersigned.then_some(it_starts));
        })
    };
    let could = |access: &Access| {
        let at = chrono::DateTime::UNIX_EPOCH;
        let then = Then::of(access, &BTreeMap::new(), at, (at, None), (String::new(), None), None);
        let names = |of: &BTreeSet<PersonId>| of.iter().map(PersonId::as_str).collect::<Vec<_>>().join(" ");
        (names(&then.runbooks[0].could_ask), names(&then.runbooks[0].could_unasked))
    };
    let could = |approval, countersigned| could(&with(approval, countersigned));
    assert_eq!(could(Some("managers"), true), ("mei".to_owned(), "mei".to_owned()));
    assert_eq!(could(Some("managers"), false), ("mei".to_owned(), String::new()), "people were asked");
    assert_eq!(could(None, false), ("kim mei".to_owned(), String::new()), "whoever may look");
}

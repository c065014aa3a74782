//! The rules of approval, checked in every reachable state of small worlds.
//!
//! A world has a few people, accounts, stages and ticks of a clock. From its beginning every act of everybody, every edit of
//! the catalog, every delegation and every tick is tried, breadth first, with the very functions that decide in production:
//! who is asked, what an answer comes to, what a request's next state is. Whatever a search finds is judged by an oracle
//! that shares nothing with them.
//!
//! - **I7**: a grant has enough different people in every stage, none of whom asked, each right used once.
//! - **I13**: each of them was asked, and holds the right and the account at the grant.
//! - **Exits**: from every state that can be reached, one that is over can be reached; and where nobody loses a right, from every
//!   one that waits and has time left, people can still come to agree, by their answers or because others are asked, without
//!   that anybody has to take an answer back.
//!
//! A search that finds nothing proves little unless it finds what is there: each rule is broken on purpose first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use countersign::model::approval::{
    Act, Asked, Because, Case, Delegation, Given, Reason, Refusal, Rights, Ruling, Tally, delegates, rule,
    spent_elsewhere, whom_to_ask,
};
use countersign::model::catalog::{Catalog, Person, Source, Stage, Subject};
use countersign::model::chat::Account;
use countersign::model::escalation::{Around, come_on_call};
use countersign::model::group::{Group, Kept};
use countersign::model::id::{Digest, GroupName, PersonId, PolicyName, RequestId, RotaName};
use countersign::model::plan::PlanPolicy;
use countersign::model::policy::{Delegating, Escalation, Relaxed};
use countersign::model::request::{Answer, Decision, Last, Proof, RequestEvent, RequestState};
use countersign::model::rota::{Override, Rota, Turns};

/// Who there is. `mei` asks, with two accounts; `boss`, `lin` and `kim` may be asked; `vic` is a bystander.
const PEOPLE: [&str; 5] = ["mei", "boss", "lin", "kim", "vic"];
/// Accounts by number, and whose they are at first.
const ACCOUNTS: [(&str, u8); 6] = [("mei", 0), ("mei2", 0), ("boss", 1), ("lin", 2), ("kim", 3), ("vic", 4)];

const MEI: u8 = 0;
const BOSS: u8 = 1;
const LIN: u8 = 2;
const KIM: u8 = 3;
const VIC: u8 = 4;

/// Who takes turns.
const ROTA: [u8; 3] = [BOSS, LIN, KIM];

/// The account that an edit gives to somebody else.
const MOVED: u8 = 2;

/// What a search starts from.
#[derive(Debug, Clone)]
struct World {
    name: &'static str,
    /// Members of `managers` at first, as bits.
    managers: u8,
    policy: PlanPolicy,
    excluded: Vec<u8>,
    /// Ticks until the request is over.
    expires: u8,
    /// How many edits of the catalog there may be.
    edits: u8,
    /// Who may hand their right to whom, once.
    delegations: &'static [(u8, u8)],
}

/// A rule that is broken on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// Whoever asked counts like anybody else.
    RequesterCounts,
    /// An account counts, not its person.
    AccountsCount,
    /// One who agreed in a stage counts in the next as well.
    CountsInEveryStage,
    /// One for whom another has answered counts too.
    RightCountsTwice,
    /// Whoever holds the right may answer, asked or not.
    AnybodyInTheGroup,
    /// Whoever has lost the right since counts at the grant.
    LostRightCounts,
    /// An account that went to another person still speaks for the first.
    OldOwnerCounts,
    /// One person less than the quorum is enough.
    OneTooFew,
    /// A later stage is not waited for.
    FirstStageIsEnough,
    /// The clock ends nothing.
    NothingExpires,
    /// An answer that was taken back counts.
    TakenBackCounts,
    /// Whoever wrote the runbook counts.
    AuthorCounts,
    /// It is somebody's turn although their answer is spent.
    SpentTakeTheirTurn,
}

/// An answer that stands: which account gave it, for whom it was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Said {
    account: u8,
    person: u8,
    stage: u8,
    approve: bool,
    behalf: Option<u8>,
    /// Whether it was taken back; only a broken rule sees it then.
    back: bool,
}

/// Where the request stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum At {
    Pending(u8),
    Granted,
    Denied,
    Expired,
    Withdrawn,
    SentBack,
    Superseded,
}

/// All that is so at a moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    clock: u8,
    at: At,
    posted: bool,
    said: BTreeSet<Said>,
    asked: BTreeSet<(u8, u8, Because)>,
    managers: u8,
    /// Whose the account is that can go to somebody else.
    moved: bool,
    edits: u8,
    /// The one delegation, and until when.
    delegation: Option<(u8, u8, u8)>,
    escalated: bool,
}

fn name(person: u8) -> PersonId {
    PersonId::new(PEOPLE[usize::from(person)])
}

fn number(person: &PersonId) -> u8 {
    let at = PEOPLE.iter().position(|name| *name == person.as_str()).expect("one of the people");
    u8::try_from(at).expect("few people")
}

fn account(number: u8) -> Account {
    format!("local:trial:{}", ACCOUNTS[usize::from(number)].0).parse().expect("an account")
}

fn moment(clock: u8) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(i64::from(clock))
}

fn group() -> Vec<Subject> {
    vec![Subject::Group(GroupName::new("managers"))]
}

/// `boss` is on call, and stays it.
const STEADY: &str = "steady";
/// `boss` is on call, and from the second tick on `lin`.
const SHIFTING: &str = "shifting";

fn on_call(rota: &str) -> Subject {
    Subject::Rota(RotaName::new(rota))
}

/// Three who take turns of a week, but for who stands in.
fn rota(rota: &str, overrides: Vec<Override>) -> Rota {
    Rota {
        name: RotaName::new(rota),
        members: ROTA.map(name).to_vec(),
        stand_ins: Vec::new(),
        turns: Turns::Weekly,
        from: (DateTime::UNIX_EPOCH - TimeDelta::days(1)).date_naive(),
        at: chrono::NaiveTime::MIN,
        zone: chrono_tz::UTC,
        overrides,
        source: Source { path: "people.yaml".into(), sha256: Digest([0; 32]) },
    }
}

fn person(person: u8) -> Subject {
    Subject::Person(name(person))
}

fn policy(stages: Vec<Stage>) -> PlanPolicy {
    PlanPolicy {
        name: PolicyName::new("managers"),
        stages,
        expires_ms: 1,
        starts_within_ms: None,
        valid_for_ms: 1,
        relaxed: Vec::new(),
        exclude_author: false,
        delegating: Delegating::Allowed,
        needs: Vec::new(),
        denied_before: None,
        repeat: None,
        break_glass: None,
        unasked: Vec::new(),
        automatic: Vec::new(),
        text: String::new(),
    }
}

fn worlds() -> Vec<World> {
    let bits = |people: &[u8]| people.iter().fold(0, |bits, person| bits | 1 << person);
    let plain = |name, policy| World {
        name,
        managers: bits(&[BOSS, LIN, KIM]),
        policy,
        excluded: Vec::new(),
        expires: 3,
        edits: 2,
        delegations: &[],
    };
    let two = || vec![Stage::new(group(), 2)];
    let relaxed = PlanPolicy {
        relaxed: vec![Relaxed::OnePersonSeveralStages],
        ..policy(vec![Stage::new(vec![person(BOSS)], 1), Stage::new(vec![person(BOSS), person(LIN)], 1)])
    };
    let escalating = Stage {
        escalate: vec![Escalation { after_ms: 1, to: vec![person(KIM)] }],
        ..Stage::new(vec![person(BOSS), person(LIN)], 2)
    };
    vec![
        plain("two of three", policy(two())),
        World { managers: bits(&[MEI, BOSS, LIN]), ..plain("who asks is in the group", policy(two())) },
        plain("two stages", policy(vec![Stage::new(group(), 1), Stage::new(vec![person(BOSS), person(LIN)], 1)])),
        plain("two say no", policy(vec![Stage { denials: 2, ..Stage::new(group(), 1) }])),
        World {
            delegations: &[(BOSS, KIM), (BOSS, LIN), (MEI, BOSS), (BOSS, MEI)],
            edits: 0,
            ..plain("rights handed on", policy(vec![Stage::new(vec![person(BOSS), person(LIN)], 2)]))
        },
        World { edits: 0, ..plain("one person in two stages, in words", relaxed) },
        World { edits: 0, ..plain("others after a while", policy(vec![escalating])) },
        World {
            excluded: vec![LIN],
            ..plain("without the author", PlanPolicy { exclude_author: true, ..policy(two()) })
        },
        World {
            edits: 0,
            ..plain(
                "a manager, then whoever is on call",
                policy(vec![Stage::new(group(), 1), Stage::new(vec![on_call(STEADY)], 1)]),
            )
        },
        World {
            delegations: &[(BOSS, KIM), (LIN, VIC), (LIN, BOSS)],
            edits: 0,
            ..plain(
                "whoever is on call lets another answer",
                policy(vec![Stage::new(vec![person(BOSS)], 1), Stage::new(vec![on_call(SHIFTING)], 1)]),
            )
        },
        World {
            edits: 0,
            ..plain("one is needed", PlanPolicy { needs: vec![name(VIC)], ..policy(vec![Stage::new(group(), 1)]) })
        },
    ]
}

impl World {
    fn begin(&self, bug: Bug) -> State {
        let mut state = State {
            clock: 0,
            at: At::Pending(0),
            posted: false,
            said: BTreeSet::new(),
            asked: BTreeSet::new(),
            managers: self.managers,
            moved: false,
            edits: self.edits,
            delegation: None,
            escalated: false,
        };
        self.ask(&mut state, 0, bug);
        state
    }

    fn catalog(&self, state: &State) -> Catalog {
        let mut catalog = Catalog::default();
        for (at, person) in PEOPLE.iter().enumerate() {
            let at = u8::try_from(at).expect("few people");
            let mine = (0..).zip(ACCOUNTS).filter(|(number, _)| owner(state, *number) == at);
            let accounts = mine.map(|(number, _)| account(number)).collect();
            let person =
                Person { name: PersonId::new(*person), accounts, ask: countersign::model::catalog::Ask::Thread };
            catalog.people.insert(person.name.clone(), person);
        }
        let members = (0_u8..5).filter(|person| state.managers & (1 << person) != 0).map(name).collect();
        catalog.groups.insert(GroupName::new("managers"), Group { members, kept: Kept::Catalog });
        let shift = Override { person: name(LIN), from: moment(2), until: moment(60) };
        for rota in [rota(STEADY, Vec::new()), rota(SHIFTING, vec![shift])] {
            catalog.rotas.insert(rota.name.clone(), rota);
        }
        catalog
    }

    fn requesters(&self, bug: Bug) -> Vec<PersonId> {
        if bug == Bug::RequesterCounts { Vec::new() } else { vec![name(MEI)] }
    }

    fn excluded(&self, bug: Bug) -> Vec<PersonId> {
        if bug == Bug::AuthorCounts { Vec::new() } else { self.excluded.iter().copied().map(name).collect() }
    }

    fn policy(&self, bug: Bug) -> PlanPolicy {
        let mut policy = self.policy.clone();
        match bug {
            Bug::CountsInEveryStage => policy.relaxed.push(Relaxed::OnePersonSeveralStages),
            Bug::OneTooFew => policy.stages.iter_mut().for_each(|stage| stage.quorum = stage.quorum.max(2) - 1),
            Bug::FirstStageIsEnough => policy.stages.truncate(1),
            _ => {}
        }
        policy
    }

    fn ask(&self, state: &mut State, stage: u8, bug: Bug) {
        self.ask_those(state, stage, bug, whom_to_ask);
    }

    /// Asks those whom a function of production names, given how it stands.
    fn ask_those(&self, state: &mut State, stage: u8, bug: Bug, whom: impl Fn(&Around<'_>) -> Vec<Asked>) {
        let stage = u32::from(stage);
        let given: Vec<Given> = state.said.iter().filter(|said| !said.back).map(|said| given(*said)).collect();
        let policy = self.policy(bug);
        let spent = match bug {
            Bug::SpentTakeTheirTurn => BTreeSet::new(),
            _ => spent_elsewhere(&policy, stage, given.iter().map(|given| &given.decision)),
        };
        let asked: Vec<Asked> = state.asked.iter().map(asked).collect();
        let around = Around {
            catalog: &self.catalog(state),
            policy: &policy,
            stage,
            requesters: &self.requesters(bug),
            excluded: &self.excluded(bug),
            asked: &asked,
            spent: &spent,
            delegations: &delegations(state),
            now: moment(state.clock),
        };
        let of = |stage: u32| u8::try_from(stage).expect("few stages");
        state.asked.extend(whom(&around).into_iter().map(|one| (number(&one.person), of(one.stage), one.because)));
    }

    /// What the production rule says of an act, through the world as it is.
    fn rule(&self, state: &State, by: u8, act: &Act, bug: Bug) -> Ruling {
        let catalog = self.catalog(state);
        let mut asked: Vec<Asked> = state.asked.iter().map(asked).collect();
        for one in &mut asked {
            if bug == Bug::RightCountsTwice && matches!(one.because, Because::Delegate(_)) {
                one.because = Because::Stage;
            }
        }
        if bug == Bug::AnybodyInTheGroup {
            let all = catalog.people.keys().cloned();
            asked.extend(all.map(|person| Asked { person, stage: 0, because: Because::Stage }));
        }
        let stands = |said: &&Said| !said.back || bug == Bug::TakenBackCounts;
        let given: Vec<Given> = state.said.iter().filter(stands).map(|said| given(*said)).collect();
        let lets = delegations(state);
        let (policy, requesters, excluded) = (self.policy(bug), self.requesters(bug), self.excluded(bug));
        let request = request_state(state.at);
        let case = Case {
            state: &request,
            policy: &policy,
            requesters: &requesters,
            excluded: &excluded,
            asked: Some(&asked),
            given: &given,
            delegations: &lets,
            expires_at: moment(self.expires),
            posted: state.posted,
        };
        let mut person = name(owner(state, by));
        let rights = Seen { catalog: &catalog, bug };
        if bug == Bug::AccountsCount {
            // Each account a person of its own, as if nobody had put them together.
            person = match by {
                1 => name(VIC),
                _ => person,
            };
        }
        rule(&case, &person, act, moment(state.clock), &rights)
    }

    fn next(&self, state: &State, bug: Bug) -> Vec<(String, State)> {
        let mut next = Vec::new();
        let At::Pending(stage) = state.at else { return next };
        let mut step = |what: String, change: &dyn Fn(&mut State)| {
            let mut after = state.clone();
            change(&mut after);
            next.push((what, after));
        };
        if state.clock <= self.expires {
            step("tick".to_owned(), &|state| state.clock += 1);
        }
        if state.clock >= self.expires && bug != Bug::NothingExpires {
            let to = over(state.at, RequestEvent::Expired);
            step("expires".to_owned(), &|state| state.at = to);
        }
        if !state.posted {
            step("is posted".to_owned(), &|state| state.posted = true);
        }
        if state.edits > 0 {
            for who in [BOSS, VIC] {
                step(format!("{} enters or leaves the group", name(who)), &|state| {
                    state.managers ^= 1 << who;
                    state.edits -= 1;
                });
            }
            step("an account goes to vic".to_owned(), &|state| {
                state.moved = true;
                state.edits -= 1;
            });
        }
        if state.delegation.is_none() {
            for (giver, receiver) in self.delegations {
                step(format!("{} lets {} answer", name(*giver), name(*receiver)), &|state| {
                    state.delegation = Some((*giver, *receiver, state.clock + 1));
                    self.ask_delegates(state, stage, bug);
                });
            }
        }
        if !state.escalated && state.clock > 0 && self.policy.stages.iter().any(|stage| !stage.escalate.is_empty()) {
            step("asks others as well".to_owned(), &|state| {
                state.escalated = true;
                state.asked.insert((KIM, stage, Because::Escalation(0)));
            });
        }
        if state.clock < self.expires {
            let mut after = state.clone();
            self.ask_those(&mut after, stage, bug, come_on_call);
            if after != *state {
                step("asks whoever has come on call".to_owned(), &|state| state.clone_from(&after));
            }
        }
        if owner(state, 0) == MEI && bug != Bug::NothingExpires {
            let to = over(state.at, RequestEvent::Withdrawn { by: name(MEI) });
            step("mei withdraws".to_owned(), &|state| state.at = to);
            let to = over(state.at, RequestEvent::Superseded { by: RequestId(2) });
            step("mei asks for something else".to_owned(), &|state| state.at = to);
        }
        for by in 0..u8::try_from(ACCOUNTS.len()).expect("few accounts") {
            for (word, act) in acts() {
                let ruling = self.rule(state, by, &act, bug);
                if let Some(after) = self.after(state, by, ruling, bug) {
                    next.push((format!("{} {word}", ACCOUNTS[usize::from(by)].0), after));
                }
            }
        }
        next
    }

    fn ask_delegates(&self, state: &mut State, stage: u8, bug: Bug) {
        let catalog = self.catalog(state);
        let asked: Vec<Asked> = state.asked.iter().filter(|(_, of, _)| *of == stage).map(asked).collect();
        let more = delegates(&catalog, &self.policy(bug), &asked, &delegations(state), moment(state.clock));
        state.asked.extend(more.into_iter().map(|one| (number(&one.person), stage, one.because)));
    }

    /// The state after a ruling; `None` if it changes nothing.
    fn after(&self, state: &State, by: u8, ruling: Ruling, bug: Bug) -> Option<State> {
        let At::Pending(stage) = state.at else { return None };
        let mut after = state.clone();
        let count = match ruling {
            Ruling::Refused(why) => {
                assert!(why != Refusal::Late, "what waits is not late: {state:?}");
                return None;
            }
            Ruling::SentBack => {
                let by = name(owner(state, by));
                after.at = over(state.at, RequestEvent::ChangesRequested { by, why: "other".to_owned() });
                return Some(after);
            }
            Ruling::TakenBack { decision } => {
                let is_it =
                    |said: &Said| name(said.person) == decision.person && u32::from(said.stage) == decision.stage;
                let found = state.said.iter().copied().find(|said| is_it(said) && !said.back)?;
                after.said.remove(&found);
                if bug == Bug::TakenBackCounts {
                    after.said.insert(Said { back: true, ..found });
                }
                return Some(after);
            }
            Ruling::Settles { count } => count,
            Ruling::Counts { decision, count } => {
                after.said.insert(Said {
                    account: by,
                    person: number(&decision.person),
                    stage: u8::try_from(decision.stage).expect("few stages"),
                    approve: decision.answer == Answer::Approve,
                    behalf: decision.on_behalf_of.as_ref().map(number),
                    back: false,
                });
                count
            }
        };
        let by = name(owner(state, by));
        match count.tally {
            Tally::Denied => after.at = over(state.at, RequestEvent::Denied { by, why: None }),
            Tally::Agreed => after.at = over(state.at, RequestEvent::StageComplete { last: Last::Yes }),
            Tally::Waiting { stage: at, .. } if at > u32::from(stage) => {
                after.at = over(state.at, RequestEvent::StageComplete { last: Last::No });
                self.ask(&mut after, stage + 1, bug);
            }
            Tally::Waiting { .. } => {}
        }
        Some(after)
    }

    /// What is wrong with a state, by an oracle that knows nothing of the rules under test.
    fn wrong(&self, before: &State, after: &State) -> Option<String> {
        if before.at == after.at || after.at != At::Granted {
            return None;
        }
        let now = moment(after.clock);
        let holds = |subjects: &[Subject], who: u8| {
            subjects.iter().any(|subject| match subject {
                Subject::Person(person) => *person == name(who),
                Subject::Group(_) => after.managers & (1 << who) != 0,
                Subject::Rota(_) => ROTA.contains(&who),
                // This world has none.
                Subject::Accountable => false,
            })
        };
        let was_asked = |who: u8, stage: u8, fits: &dyn Fn(&Because) -> bool| {
            after.asked.iter().any(|(person, of, because)| *person == who && *of == stage && fits(because))
        };
        // An answer is worth something if its giver, and the one whose right it is, may be counted on now.
        let worth = |said: &&Said| {
            let last = self.policy.stages.len() - 1;
            let stage = &self.policy.stages[usize::from(said.stage).min(last)];
            let own = |who: u8| {
                let named = holds(&stage.approvers, who)
                    && was_asked(who, said.stage, &|because| matches!(because, Because::Stage | Because::Turn));
                let later = stage.escalate.iter().any(|step| holds(&step.to, who))
                    && was_asked(who, said.stage, &|because| matches!(because, Because::Escalation(_)));
                let needed = self.policy.needs.contains(&name(who))
                    && was_asked(who, said.stage, &|because| *because == Because::Needed);
                named || later || needed
            };
            let right = match said.behalf {
                None => own(said.person),
                Some(giver) => {
                    own(giver)
                        && after
                            .delegation
                            .is_some_and(|(from, to, until)| (from, to) == (giver, said.person) && now < moment(until))
                }
            };
            let free = |who: u8| who != MEI && !self.excluded.contains(&who);
            said.approve
                && !said.back
                && right
                && owner(after, said.account) == said.person
                && free(said.person)
                && said.behalf.is_none_or(free)
        };
        let mut spent = BTreeSet::new();
        let mut agreed = BTreeSet::new();
        for (number, stage) in (0_u8..).zip(&self.policy.stages) {
            if !self.policy.relaxed.is_empty() {
                spent.clear();
            }
            let mut here = 0;
            for said in after.said.iter().filter(|said| said.stage == number).filter(worth) {
                let names: BTreeSet<u8> = [Some(said.person), said.behalf].into_iter().flatten().collect();
                if names.is_disjoint(&spent) {
                    spent.extend(names.iter().copied());
                    agreed.extend(names);
                    here += 1;
                }
            }
            if here < stage.quorum {
                return Some(format!("stage {number} was granted with {here} of {}", stage.quorum));
            }
        }
        // Whom no stage asks stands beside the last, and fills no place.
        let beside = after.said.iter().filter(|said| usize::from(said.stage) == self.policy.stages.len()).filter(worth);
        agreed.extend(beside.map(|said| said.person));
        let needed = &self.policy.needs;
        (!needed.is_empty() && !needed.iter().any(|person| agreed.contains(&number(person))))
            .then(|| "nobody of those who are needed agreed".to_owned())
    }
}

/// What is alive, as a broken rule may see it.
struct Seen<'a> {
    catalog: &'a Catalog,
    bug: Bug,
}

impl Rights for Seen<'_> {
    fn includes(&self, subjects: &[Subject], person: &PersonId) -> bool {
        matches!(self.bug, Bug::LostRightCounts | Bug::RightCountsTwice)
            || Rights::includes(self.catalog, subjects, person)
    }

    fn owner(&self, account: &Account) -> Option<PersonId> {
        let first = ACCOUNTS.iter().find(|(id, _)| account.id == *id).map(|(_, person)| name(*person));
        match self.bug {
            Bug::OldOwnerCounts => first,
            Bug::AccountsCount if account.id == "mei2" => Some(name(VIC)),
            _ => Rights::owner(self.catalog, account),
        }
    }

    fn knows(&self, person: &PersonId) -> bool {
        Rights::knows(self.catalog, person)
    }
}

const TAKES_BACK: &str = "takes it back";

fn acts() -> [(&'static str, Act); 4] {
    let answer = |answer| Act::Answer { answer, reason: Reason::Missing, proof: Proof::Chat };
    [
        ("approves", answer(Answer::Approve)),
        ("denies", answer(Answer::Deny)),
        (TAKES_BACK, Act::TakeBack),
        ("wants something else", Act::WantChange),
    ]
}

fn owner(state: &State, account: u8) -> u8 {
    if state.moved && account == MOVED { VIC } else { ACCOUNTS[usize::from(account)].1 }
}

fn delegations(state: &State) -> Vec<Delegation> {
    let one = |(giver, receiver, until)| Delegation {
        giver: name(giver),
        receiver: name(receiver),
        since: moment(0),
        until: moment(until),
    };
    state.delegation.map(one).into_iter().collect()
}

fn given(said: Said) -> Given {
    let answer = if said.approve { Answer::Approve } else { Answer::Deny };
    let on_behalf_of = said.behalf.map(name);
    let decision =
        Decision { person: name(said.person), stage: u32::from(said.stage), answer, on_behalf_of, proof: Proof::Chat };
    Given { decision, account: account(said.account) }
}

fn asked((person, stage, because): &(u8, u8, Because)) -> Asked {
    Asked { person: name(*person), stage: u32::from(*stage), because: because.clone() }
}

fn request_state(at: At) -> RequestState {
    let by = name(MEI);
    match at {
        At::Pending(stage) => RequestState::Pending { stage: u32::from(stage) },
        At::Granted => RequestState::Granted,
        At::Denied => RequestState::Denied { by, why: None },
        At::Expired => RequestState::Expired,
        At::Withdrawn => RequestState::Withdrawn { by },
        At::SentBack => RequestState::ChangesRequested { by, why: String::new() },
        At::Superseded => RequestState::Superseded { by: RequestId(2) },
    }
}

/// The request's own machine, which is the one of production.
fn over(at: At, event: RequestEvent) -> At {
    match request_state(at).next(event).expect("a request that waits takes every event") {
        RequestState::Pending { stage } => At::Pending(u8::try_from(stage).expect("few stages")),
        RequestState::Granted => At::Granted,
        RequestState::Denied { .. } => At::Denied,
        RequestState::Expired => At::Expired,
        RequestState::Withdrawn { .. } => At::Withdrawn,
        RequestState::ChangesRequested { .. } => At::SentBack,
        RequestState::Superseded { .. } => At::Superseded,
    }
}

/// What a search found.
#[derive(Debug)]
struct Found {
    states: usize,
    /// What is wrong, with the shortest way to it.
    wrong: Option<(String, Vec<String>)>,
}

/// Looks at every state that can be reached, nearest first, until something is wrong.
fn search(world: &World, bug: Bug) -> Found {
    let first = world.begin(bug);
    let mut known: BTreeMap<State, usize> = BTreeMap::from([(first.clone(), 0)]);
    // By number: how a state was come to, and those that lead to it.
    let mut came: Vec<(usize, String)> = vec![(0, String::new())];
    let mut into: Vec<Vec<usize>> = vec![Vec::new()];
    // The same, but for answers that are taken back.
    let mut onward: Vec<Vec<usize>> = vec![Vec::new()];
    let mut exits: Vec<usize> = Vec::new();
    let mut open = VecDeque::from([(0, first)]);
    let way = |came: &[(usize, String)], mut at: usize| {
        let mut steps = Vec::new();
        while at != 0 {
            steps.push(came[at].1.clone());
            at = came[at].0;
        }
        steps.reverse();
        steps
    };
    while let Some((at, state)) = open.pop_front() {
        if !matches!(state.at, At::Pending(_)) {
            exits.push(at);
            continue;
        }
        for (what, after) in world.next(&state, bug) {
            let wrong = world.wrong(&state, &after);
            let next = known.len();
            let to = *known.entry(after.clone()).or_insert(next);
            if to == next {
                came.push((at, what.clone()));
                into.push(Vec::new());
                onward.push(Vec::new());
                open.push_back((to, after));
            }
            into[to].push(at);
            if !what.ends_with(TAKES_BACK) {
                onward[to].push(at);
            }
            if let Some(wrong) = wrong {
                let mut steps = way(&came, at);
                steps.push(what);
                return Found { states: known.len(), wrong: Some((wrong, steps)) };
            }
        }
    }
    // Backwards from every end: whatever is not met cannot come to one.
    let mut can_end = vec![false; known.len()];
    while let Some(at) = exits.pop() {
        if !std::mem::replace(&mut can_end[at], true) {
            exits.extend(into[at].iter().copied());
        }
    }
    let stuck = can_end.iter().position(|can| !can);
    let wrong = stuck.map(|at| ("nothing ends this".to_owned(), way(&came, at)));
    let states = known.len();
    if wrong.is_some() || world.edits > 0 {
        return Found { states, wrong };
    }
    // Expiry ends whatever waits. Where nobody loses a right, people must be able to agree as long as there is time.
    let mut agreed: Vec<usize> = Vec::new();
    let mut waits: BTreeSet<usize> = BTreeSet::new();
    for (state, at) in known {
        match state.at {
            At::Granted => agreed.push(at),
            At::Pending(_) if state.clock < world.expires => _ = waits.insert(at),
            At::Pending(_) | At::Denied | At::Expired | At::Withdrawn | At::SentBack | At::Superseded => {}
        }
    }
    let mut can_agree = vec![false; states];
    while let Some(at) = agreed.pop() {
        if !std::mem::replace(&mut can_agree[at], true) {
            agreed.extend(onward[at].iter().copied());
        }
    }
    let dead = waits.into_iter().find(|at| !can_agree[*at]);
    let wrong = dead.map(|at| ("nobody can bring this to an agreement any more".to_owned(), way(&came, at)));
    Found { states, wrong }
}

#[test]
fn i7_i13_no_reachable_state_of_a_small_world_is_wrong_and_each_has_an_exit() {
    for world in worlds() {
        let found = search(&world, Bug::None);
        assert!(found.wrong.is_none(), "{}: {:?}", world.name, found.wrong);
        assert!(found.states > 50, "{}: only {} states were looked at", world.name, found.states);
        // Where nobody loses a right, whoever may still answer comes to be asked.
        let found = search(&World { edits: 0, ..world.clone() }, Bug::None);
        assert!(found.wrong.is_none(), "{}, unedited: {:?}", world.name, found.wrong);
    }
}

/// The search finds each broken rule in one of the worlds, and in no world what is not broken.
#[test]
fn the_search_finds_every_rule_that_is_broken_on_purpose() {
    let bugs = [
        Bug::RequesterCounts,
        Bug::AccountsCount,
        Bug::CountsInEveryStage,
        Bug::RightCountsTwice,
        Bug::AnybodyInTheGroup,
        Bug::LostRightCounts,
        Bug::OldOwnerCounts,
        Bug::OneTooFew,
        Bug::FirstStageIsEnough,
        Bug::NothingExpires,
        Bug::TakenBackCounts,
        Bug::AuthorCounts,
        Bug::SpentTakeTheirTurn,
    ];
    for bug in bugs {
        let found = worlds().iter().find_map(|world| search(world, bug).wrong);
        assert!(found.is_some(), "{bug:?} is not found");
    }
}

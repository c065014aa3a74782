//! Starting under a grant, checked in every reachable state of a small world: two workers, one step that must not be done
//! twice, a clock, and everything that can go wrong between them.
//!
//! The world steps as the engine and its statements do; what it asks for leave is the production code: whether a grant can
//! be derived from its row and its decisions, whether it covers an attempt, what a run, an attempt and a grant become.
//!
//! - **I1**: whatever starts was granted, is in force, in time, and is the plan that was agreed to.
//! - **I2**: at no moment do two processes of a step live.
//! - **I3**: a further attempt exists only by a person's decision.
//! - **Exits**: from every state one can come to an end, or to a person who has to look.
//!
//! Each guard is taken out first, and the search has to find what comes of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use countersign::approval::{After, Step, derive};
use countersign::model::catalog::{Stage, Subject};
use countersign::model::id::{
    Digest, GrantId, InboxId, PersonId, PolicyName, RequestId, RunId, RunbookName, SystemName,
};
use countersign::model::plan::{Action, Exec, PLAN_VERSION, Plan, PlanPolicy, PlanStep, Sealed, Telling};
use countersign::model::policy::Delegating;
use countersign::model::request::{Answer, Decision, GrantEvent, GrantState, Stuck};
use countersign::model::run::{AttemptEvent, AttemptState, Outcome, RunEvent, RunState, Snag};
use countersign::model::signature::{Basis, GRANT_VERSION, SignedDecision, Signer, Statement, Trust, pkcs8};
use countersign::store::{KeyKnown, StoredDecision, StoredGrant, StoredSignature};
use zeroize::Zeroizing;

/// How long a lease holds.
const LEASE: u8 = 2;
/// Until when a run may begin, and until when it may start anything.
const START_BY: u8 = 3;
const VALID_UNTIL: u8 = 4;
/// Where the clock stops.
const END: u8 = 6;

/// A guard that is taken out on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// What was read before is believed, whatever became of the grant's row.
    GrantBelieved,
    /// The plan's digest is not computed anew.
    DigestBelieved,
    /// A write names no fence, and a lease may have ended.
    NoFence,
    /// A successor counts an attempt as lost without having ended its processes.
    NoProof,
    /// What is lost is tried again by itself.
    TriesAgain,
}

/// A worker: what it believes of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Worker {
    alive: bool,
    /// It stands still, as a machine does that swaps: it does nothing, also not what it should do in time.
    stalled: bool,
    view: Option<View>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct View {
    fence: u8,
    version: u8,
    lease: u8,
    /// Whether a grant was in force when it looked.
    granted: bool,
    /// Whether nothing had been started when it looked.
    fresh: bool,
}

/// Where a thing stands, small enough to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Run {
    Approved,
    Running,
    Stuck,
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Attempt {
    Started,
    Ended,
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Grant {
    Granted,
    Used,
    Revoked,
    Lapsed,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    clock: u8,
    run: Run,
    version: u8,
    holder: Option<u8>,
    fence: u8,
    lease: u8,
    grant: Grant,
    /// Since when the grant counts: a further one begins its own time.
    granted_at: u8,
    retries: u8,
    tampered: bool,
    /// Whether a worker may still come to a standstill; one is enough.
    may_stall: bool,
    attempts: Vec<Attempt>,
    /// The number of the attempt and the worker of each process that lives.
    processes: BTreeSet<(u8, u8)>,
    workers: [Worker; 2],
}

fn moment(clock: u8) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(i64::from(clock))
}

fn boss() -> PersonId {
    PersonId::new("boss")
}

fn sealed(argument: &str) -> Sealed {
    let policy = PlanPolicy {
        name: PolicyName::new("managers"),
        stages: vec![Stage::new(vec![Subject::Person(boss())], 1)],
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
    };
    let step = PlanStep {
        name: "Do".to_owned(),
        privileged: true,
        read_only: false,
        idempotent: false,
        timeout_ms: 1,
        retry: None,
        action: Action::Run(Exec {
            argv: vec!["do".to_owned(), argument.to_owned()],
            program: "/bin/do".to_owned(),
            env: Vec::new(),
            scripts: BTreeMap::new(),
        }),
    };
    let plan = Plan {
        version: PLAN_VERSION,
        runbook: RunbookName::new("do"),
        title: String::new(),
        why: None,
        deed: "do".to_owned(),
        system: SystemName::new("shop"),
        system_title: String::new(),
        environment: "production".to_owned(),
        host: "host".to_owned(),
        params: BTreeMap::new(),
        targets: Vec::new(),
        files: BTreeMap::new(),
        policy: Some(policy),
        author: None,
        steps: vec![step],
        not_before: None,
        telling: Telling::Steps,
    };
    Sealed::seal(&plan).expect("a plan")
}

/// The row of the grant, as the database holds it.
/// What the request is about: once the step was stuck, one more attempt of it.
fn stuck(state: &State) -> Option<Stuck> {
    (state.retries > 0).then_some(Stuck { step: 1, free: None })
}

fn stored(state: &State, digest: Digest) -> StoredGrant {
    let plan = sealed(if state.tampered { "other" } else { "this" });
    let decision = StoredDecision {
        decision: Decision::new(boss(), 0, Answer::Approve),
        account: "local:trial:boss".parse().expect("an account"),
        at: moment(state.granted_at),
        line: InboxId(1),
        reason: None,
        taken_back_at: None,
    };
    let expires_at = moment(state.granted_at + VALID_UNTIL);
    let start_by = moment(state.granted_at + START_BY);
    let signature = signature(&decision, digest, stuck(state), moment(state.granted_at), start_by, expires_at);
    let begun = !state.attempts.is_empty() && state.retries == 0;
    StoredGrant {
        id: GrantId(1),
        version: 1,
        run: RunId(1),
        request: RequestId(1),
        digest,
        state: match state.grant {
            Grant::Granted => GrantState::Granted,
            Grant::Used => GrantState::Used,
            Grant::Revoked => GrantState::Revoked,
            Grant::Lapsed => GrantState::Lapsed,
        },
        granted_at: moment(state.granted_at),
        expires_at,
        signature: Some(signature),
        start_by: if begun { expires_at } else { start_by },
        requesters: vec![PersonId::new("mei")],
        needs: Vec::new(),
        stuck: stuck(state),
        trigger: None,
        plan: plan.bytes().to_vec(),
        decisions: vec![decision],
        broken: None,
        under: None,
        unasked: false,
    }
}

/// What the bot signed when it gave the grant: nothing in this world changes it.
fn signature(
    decision: &StoredDecision,
    digest: Digest,
    stuck: Option<Stuck>,
    granted_at: DateTime<Utc>,
    start_by: DateTime<Utc>,
    valid_until: DateTime<Utc>,
) -> StoredSignature {
    let signer = Signer::from_pkcs8(&pkcs8(&Zeroizing::new([7; 32]))).expect("a key");
    let StoredDecision { decision, account, at, line, .. } = decision;
    let statement = Statement {
        version: GRANT_VERSION,
        ledger: trust().ledger,
        key: signer.public(),
        grant: GrantId(1),
        request: RequestId(1),
        run: RunId(1),
        digest,
        stuck,
        basis: Basis::agreed(&[SignedDecision::new(RequestId(1), decision, &account.to_string(), *at, *line)]),
        granted_at,
        start_by,
        valid_until,
    };
    let signed = signer.sign(&statement).expect("signed");
    StoredSignature { signed, known: KeyKnown::Yes { retired_at: None }, start_by: Some(start_by) }
}

fn trust() -> Trust {
    Trust { ledger: "model".to_owned(), keys: None }
}

fn begin() -> State {
    let worker = Worker { alive: true, stalled: false, view: None };
    State {
        clock: 0,
        run: Run::Approved,
        version: 1,
        holder: None,
        fence: 0,
        lease: 0,
        grant: Grant::Granted,
        granted_at: 0,
        retries: 0,
        tampered: false,
        may_stall: true,
        attempts: Vec::new(),
        processes: BTreeSet::new(),
        workers: [worker; 2],
    }
}

/// The run's own machine, which is the one of production.
fn moved(run: Run, event: RunEvent) -> Option<Run> {
    let snag = || Snag { step: 1, why: String::new() };
    let from = match run {
        Run::Approved => RunState::Approved,
        Run::Running => RunState::Running,
        Run::Stuck => RunState::Stuck(snag()),
        Run::Over => RunState::Succeeded,
    };
    let to = from.next(event).ok()?;
    Some(match to {
        RunState::Approved => Run::Approved,
        RunState::Running => Run::Running,
        RunState::Stuck(_) => Run::Stuck,
        to if to.is_over() => Run::Over,
        other => panic!("{other:?} has no place in this world"),
    })
}

fn ended(grant: Grant, event: GrantEvent) -> Grant {
    let from = match grant {
        Grant::Granted => GrantState::Granted,
        Grant::Used => GrantState::Used,
        Grant::Revoked => GrantState::Revoked,
        Grant::Lapsed => GrantState::Lapsed,
    };
    match from.next(event).unwrap_or(from) {
        GrantState::Granted => Grant::Granted,
        GrantState::Used => Grant::Used,
        GrantState::Revoked => Grant::Revoked,
        GrantState::Lapsed => Grant::Lapsed,
    }
}

/// Whether a worker may write: its view is the row, and its lease holds.
fn may_write(state: &State, worker: u8, bug: Bug) -> bool {
    let Some(view) = state.workers[usize::from(worker)].view else { return false };
    if bug == Bug::NoFence {
        return true;
    }
    view.version == state.version
        && view.fence == state.fence
        && state.holder == Some(worker)
        && state.lease > state.clock
}

/// What an attempt would be, by what came of the one before it.
fn attempt(state: &State) -> Step {
    let number = u32::try_from(state.attempts.len()).expect("few attempts") + 1;
    let after = match state.attempts.last() {
        None => After::Nothing,
        Some(Attempt::Unknown) => After::Unknown,
        Some(Attempt::Started | Attempt::Ended) => After::Other,
    };
    Step { step: 1, number, after }
}

struct Next {
    what: String,
    state: State,
    /// What the step did that has to be judged.
    did: Did,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Other,
    Started,
}

fn next(state: &State, digest: Digest, bug: Bug) -> Vec<Next> {
    let mut all = Vec::new();
    let mut step = |what: String, did: Did, change: &dyn Fn(&mut State)| {
        let mut state = state.clone();
        change(&mut state);
        all.push(Next { what, state, did });
    };
    // After `END` time goes on and nothing is different any more: every lease of before ends.
    step("tick".to_owned(), Did::Other, &|state| {
        let later = state.clock == END;
        state.clock = END.min(state.clock + 1);
        for (number, worker) in (0_u8..).zip(&mut state.workers) {
            let over = worker.view.is_some_and(|view| later || view.lease <= state.clock);
            // Monotonic time: the process is gone before anybody else may hold the step.
            if worker.alive && !worker.stalled && over {
                state.processes.retain(|(_, of)| *of != number);
                worker.view = None;
            }
        }
        if later {
            state.lease = 0;
        }
    });
    if !state.tampered {
        step("somebody edits the stored plan".to_owned(), Did::Other, &|state| state.tampered = true);
    }
    if state.run == Run::Approved && state.attempts.is_empty() && state.grant == Grant::Granted {
        step("boss revokes".to_owned(), Did::Other, &|state| {
            state.grant = ended(state.grant, GrantEvent::Revoked);
            state.run = moved(state.run, RunEvent::Stop { by: boss() }).expect("an approved run can be stopped");
            state.version += 1;
        });
    }
    if state.run == Run::Stuck && state.retries == 0 && state.attempts.last() == Some(&Attempt::Unknown) {
        step("boss agrees to one more try".to_owned(), Did::Other, &|state| {
            state.grant = Grant::Granted;
            state.granted_at = state.clock;
            state.retries += 1;
            state.run = moved(state.run, RunEvent::Granted).expect("a stuck run takes a grant");
            state.version += 1;
        });
    }
    for number in 0..2_u8 {
        let worker = state.workers[usize::from(number)];
        if worker.alive {
            step(format!("worker {number} dies"), Did::Other, &|state| {
                // Its process goes on without it.
                state.workers[usize::from(number)] = Worker { alive: false, stalled: false, view: None };
            });
        } else {
            step(format!("worker {number} is started again"), Did::Other, &|state| {
                state.workers[usize::from(number)] = Worker { alive: true, stalled: false, view: None };
            });
            continue;
        }
        if worker.stalled {
            step(format!("worker {number} goes on"), Did::Other, &|state| {
                state.workers[usize::from(number)].stalled = false;
            });
            continue;
        }
        if state.may_stall && worker.view.is_some() {
            step(format!("worker {number} stands still"), Did::Other, &|state| {
                state.may_stall = false;
                state.workers[usize::from(number)].stalled = true;
            });
        }
        let free = state.holder.is_none() || state.lease <= state.clock;
        if matches!(state.run, Run::Approved | Run::Running) && free {
            step(format!("worker {number} claims the run"), Did::Other, &|state| {
                state.holder = Some(number);
                state.fence += 1;
                state.lease = state.clock + LEASE;
                let granted = state.grant == Grant::Granted;
                let fresh = state.attempts.is_empty();
                let view = View { fence: state.fence, version: state.version, lease: state.lease, granted, fresh };
                state.workers[usize::from(number)].view = Some(view);
            });
        }
        let Some(view) = worker.view else { continue };
        let may = may_write(state, number, bug);
        let lost = state.attempts.last() == Some(&Attempt::Started);
        let mine = state.processes.iter().any(|(_, of)| *of == number);
        // What it had begun itself it watches; what somebody else had, or what it does not remember, it looks into.
        if state.run == Run::Running && lost && !mine && may {
            step(format!("worker {number} finds an attempt that nobody watches"), Did::Other, &|state| {
                if bug != Bug::NoProof {
                    state.processes.clear();
                }
                AttemptState::Started.next(AttemptEvent::Lost).expect("what started can be lost");
                *state.attempts.last_mut().expect("it is there") = Attempt::Unknown;
                let to = match bug {
                    Bug::TriesAgain => Run::Running,
                    _ => moved(state.run, RunEvent::OutcomeUnknown(Snag { step: 1, why: String::new() }))
                        .expect("a running run can be stuck"),
                };
                state.run = to;
                leave(state, number, to);
            });
        }
        let waits = matches!(state.run, Run::Approved)
            || (bug == Bug::NoFence && view.fresh && state.run == Run::Running)
            || (bug == Bug::TriesAgain && state.attempts.last() == Some(&Attempt::Unknown));
        if waits && may && state.attempts.len() < 3 {
            let row = stored(state, digest);
            let derived = derive(&row, &trust(), moment(state.clock)).map(|(grant, _)| grant);
            let covered = match (&derived, bug) {
                // It starts what it saw to be the first, and nobody asks what has become of the row.
                (Ok(_), Bug::NoFence) if view.fresh => true,
                (_, Bug::TriesAgain) => state.grant == Grant::Granted,
                (_, Bug::GrantBelieved) => view.granted && state.attempts.is_empty(),
                (_, Bug::DigestBelieved) => {
                    let honest = State { tampered: false, ..state.clone() };
                    derive(&stored(&honest, digest), &trust(), moment(state.clock))
                        .is_ok_and(|(g, _)| g.covers(attempt(state)).is_ok())
                }
                (Ok(grant), _) => grant.covers(attempt(state)).is_ok(),
                (Err(_), _) => false,
            };
            if covered {
                step(format!("worker {number} starts the step"), Did::Started, &|state| {
                    state.attempts.push(Attempt::Started);
                    state.run = moved(state.run, RunEvent::Started).unwrap_or(Run::Running);
                    state.version += 1;
                    let number = usize::from(number);
                    state.workers[number].view = Some(View { version: state.version, ..view });
                    // The process comes after the row, and may never come: that is another step.
                    let attempt = u8::try_from(state.attempts.len()).expect("few attempts");
                    state.processes.insert((attempt, u8::try_from(number).expect("two workers")));
                });
                step(format!("worker {number} writes the start and dies before its process"), Did::Started, &|state| {
                    state.attempts.push(Attempt::Started);
                    state.run = moved(state.run, RunEvent::Started).unwrap_or(Run::Running);
                    state.version += 1;
                    state.workers[usize::from(number)] = Worker { alive: false, stalled: false, view: None };
                });
            } else {
                step(format!("worker {number} may not start"), Did::Other, &|state| {
                    let lost = state.attempts.last() == Some(&Attempt::Unknown);
                    let event = match lost {
                        true => RunEvent::OutcomeUnknown(Snag { step: 1, why: String::new() }),
                        false => RunEvent::StepFailed(Snag { step: 1, why: String::new() }),
                    };
                    state.run = moved(state.run, event).expect("an approved run takes it");
                    if state.grant == Grant::Granted && !lost {
                        state.grant = ended(state.grant, GrantEvent::Lapsed);
                    }
                    leave(state, number, state.run);
                });
            }
        }
        if mine && may && state.run == Run::Running {
            step(format!("the process of worker {number} ends well"), Did::Other, &|state| {
                state.processes.retain(|(_, of)| *of != number);
                AttemptState::Started.next(AttemptEvent::Ended(Outcome::Succeeded)).expect("what started can end");
                *state.attempts.last_mut().expect("it is there") = Attempt::Ended;
                state.run = moved(state.run, RunEvent::AllDone).expect("a running run can be done");
                state.grant = ended(state.grant, GrantEvent::RunOver);
                leave(state, number, state.run);
            });
        }
        if state.holder == Some(number) && view.fence == state.fence && state.lease > state.clock {
            step(format!("worker {number} renews"), Did::Other, &|state| {
                state.lease = state.clock + LEASE;
                state.workers[usize::from(number)].view = Some(View { lease: state.lease, ..view });
            });
        }
    }
    all
}

/// A worker lets go of a run that is over or waits for a person.
fn leave(state: &mut State, worker: u8, run: Run) {
    state.version += 1;
    if matches!(run, Run::Over | Run::Stuck) {
        state.holder = None;
        state.workers[usize::from(worker)].view = None;
    }
}

/// What is wrong with a step, by what I1, I2 and I3 say in words.
fn wrong(before: &State, next: &Next) -> Option<String> {
    let after = &next.state;
    if after.processes.len() > 1 {
        return Some("two processes of one step live".to_owned());
    }
    if next.did != Did::Started {
        return None;
    }
    if before.grant != Grant::Granted {
        return Some(format!("it started although the approval was {:?}", before.grant));
    }
    if before.tampered {
        return Some("something else started than was agreed to".to_owned());
    }
    if before.clock >= before.granted_at + START_BY {
        return Some("it started after its latest start".to_owned());
    }
    let tries = after.attempts.len();
    (tries > 1 + usize::from(after.retries)).then(|| format!("{tries} tries and {} decisions", after.retries))
}

/// Every state that can be reached, until something is wrong; then how one comes there.
fn search(bug: Bug) -> (usize, Option<(String, Vec<String>)>) {
    let digest = sealed("this").digest();
    let first = begin();
    let mut known: BTreeMap<State, usize> = BTreeMap::from([(first.clone(), 0)]);
    let mut came: Vec<(usize, String)> = vec![(0, String::new())];
    let mut into: Vec<Vec<usize>> = vec![Vec::new()];
    let mut exits = Vec::new();
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
        if matches!(state.run, Run::Over | Run::Stuck) {
            exits.push(at);
        }
        if state.run == Run::Over || state.fence > 4 {
            if state.run != Run::Over {
                exits.push(at);
            }
            continue;
        }
        for after in next(&state, digest, bug) {
            let judged = wrong(&state, &after);
            let number = known.len();
            let to = *known.entry(after.state.clone()).or_insert(number);
            if to == number {
                came.push((at, after.what.clone()));
                into.push(Vec::new());
                open.push_back((to, after.state));
            }
            into[to].push(at);
            if let Some(wrong) = judged {
                let mut steps = way(&came, at);
                steps.push(after.what);
                return (known.len(), Some((wrong, steps)));
            }
        }
    }
    let mut can_end = vec![false; known.len()];
    while let Some(at) = exits.pop() {
        if !std::mem::replace(&mut can_end[at], true) {
            exits.extend(into[at].iter().copied());
        }
    }
    let stuck = can_end.iter().position(|can| !can);
    (known.len(), stuck.map(|at| ("nothing ends this".to_owned(), way(&came, at))))
}

#[test]
fn i1_i2_i3_no_reachable_start_is_wrong_and_every_state_has_an_exit() {
    let (states, wrong) = search(Bug::None);
    assert!(wrong.is_none(), "{wrong:?}");
    assert!(states > 1_000, "only {states} states were looked at");
}

#[test]
fn the_search_finds_every_guard_that_is_taken_out() {
    for bug in [Bug::GrantBelieved, Bug::DigestBelieved, Bug::NoFence, Bug::NoProof, Bug::TriesAgain] {
        let (_, wrong) = search(bug);
        assert!(wrong.is_some(), "{bug:?} is not found");
    }
}

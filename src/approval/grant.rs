//! The proof that a run may start an attempt.

use crate::model::approval::{Rules, Tally, tally};
use crate::model::id::{Digest, GrantId, PersonId, RequestId, RunId};
use crate::model::plan::{Plan, PlanError, PlanPolicy, Sealed};
use crate::model::request::{Answer, Decision, GrantState};
use crate::model::signature::Trust;
use crate::store::StoredGrant;

use super::signature::{self, NotSigned};

/// Proof that this run may start attempts of this plan. Its fields are private and [`derive()`] is its only maker: whoever
/// holds one holds it because the decisions say so now, not because a column once said so.
#[derive(Debug)]
pub struct Grant {
    id: GrantId,
    version: i64,
    run: RunId,
    request: RequestId,
    digest: Digest,
    retry_step: Option<u32>,
    /// What the plan says of each step's further attempts: of the bytes that were agreed to, not of anybody's memory.
    rules: Vec<Rule>,
}

/// What a plan says of the further attempts of a step.
#[derive(Debug, Clone, Copy)]
struct Rule {
    idempotent: bool,
    /// How often it may be tried again after it failed.
    times: u32,
}

/// Which attempt is to start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The step, counted from 1.
    pub step: u32,
    /// Which try, counted from 1.
    pub number: u32,
    /// What came of the try before it.
    pub after: After,
}

/// What came of the try before an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// There was none.
    Nothing,
    /// It was seen to fail, or to take too long.
    Failed,
    /// Nobody knows.
    Unknown,
    /// It worked, a person judged it, or it still runs: no other may follow.
    Other,
}

/// Why there is no Grant.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The stored plan is not the one that was granted.
    #[error("the stored plan is not the one that was approved: its digest is {found}, approved was {granted}")]
    OtherPlan {
        /// Of the stored bytes.
        found: Digest,
        /// Of the granted plan.
        granted: Digest,
    },
    /// It is not signed as it must be.
    #[error(transparent)]
    NotSigned(#[from] NotSigned),
    /// The plan cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The plan holds no policy: nobody can have agreed under it.
    #[error("the plan names no policy")]
    NoPolicy,
    /// The decisions do not come to an agreement.
    #[error("the decisions do not come to an agreement")]
    NotAgreed,
    /// Revoked, used or lapsed.
    #[error("the approval is {0}")]
    NotInForce(&'static str),
    /// Its time is over.
    #[error("the approval has lapsed")]
    Lapsed,
    /// Its time has not come.
    #[error("it was approved to start at {}, and not before", .0.format("%Y-%m-%d %H:%M UTC"))]
    Early(chrono::DateTime<chrono::Utc>),
    /// Nobody was asked, and automation is paused.
    #[error("{0} has paused all automation")]
    Paused(PersonId),
    /// The approval does not cover this attempt.
    #[error("the approval covers no further attempt of step {0}")]
    NotThisAttempt(u32),
}

/// Derives the Grant from a locked grant row, the plan's stored bytes and the decisions beside it, all read in the
/// transaction that will start the attempt (I1). `trust` says whose signature the grant must bear.
///
/// # Errors
/// Whenever anything of that does not fit together: then nothing may start.
pub fn derive(
    stored: &StoredGrant,
    trust: &Trust,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(Grant, Plan), GrantError> {
    let sealed = Sealed::from_stored(stored.plan.clone());
    if sealed.digest() != stored.digest {
        return Err(GrantError::OtherPlan { found: sealed.digest(), granted: stored.digest });
    }
    if stored.state != GrantState::Granted {
        return Err(GrantError::NotInForce(stored.state.name()));
    }
    if now >= stored.expires_at || now >= stored.start_by {
        return Err(GrantError::Lapsed);
    }
    let plan = sealed.open()?;
    if let Some(not_before) = plan.not_before.filter(|at| now < *at) {
        return Err(GrantError::Early(not_before));
    }
    let policy = plan.policy.as_ref().ok_or(GrantError::NoPolicy)?;
    let signed_for = signature::check(stored, trust, &plan, policy)?;
    if starts_by_itself(stored, &plan, policy) || starts_unasked(stored, policy) {
        return Ok((grant(stored, &plan), plan));
    }
    if let Some(under) = &stored.under {
        // The very same plan, whose own policy lets one approval cover so many runs; who agreed is counted below, as ever.
        let runs = policy.repeat.map_or(0, |repeat| repeat.runs);
        let covered = under.digest == stored.digest && (2..=runs).contains(&under.number) && stored.stuck.is_none();
        if !covered || stored.broken.is_some() {
            return Err(GrantError::NotAgreed);
        }
    }
    if let Some(broken) = &stored.broken {
        // Never by a flag: the row says who, by what proof and why, and the plan's own policy says whether that is enough. Of
        // a stuck step nobody decides alone (I3).
        let fits = policy.break_glass.as_ref().is_some_and(|rules| {
            rules.may_name(&broken.person) && rules.accepts(&policy.stages, &broken.proof) && !broken.reason.is_empty()
        });
        let whole = fits && stored.stuck.is_none();
        return if whole { Ok((grant(stored, &plan), plan)) } else { Err(GrantError::NotAgreed) };
    }
    // Of a stuck step the request itself may say who is needed in particular: the plan is its run's.
    let narrowed = stored.stuck.map(|_| policy.over_stuck_steps().needing(&stored.needs));
    let policy = narrowed.as_ref().unwrap_or(policy);
    let rules = Rules::new(policy, &stored.requesters, plan.excluded());
    // Whether each person was asked, and still belonged, was checked with the live catalog when the decision was made and
    // when the grant was: a row of `decision` is the record of the first, the grant's row of the second. What can be seen
    // without a catalog is seen again: that a stage which wants a passkey has one.
    let proved = |decision: &Decision| {
        let stage = policy.stage_of(decision.stage);
        stage.is_some_and(|stage| decision.answer == Answer::Deny || !stage.step_up || !decision.proof.is_chat())
    };
    // Approvals that were not signed for do not count; whatever speaks against it does, unless the signature says that its giver
    // had lost the right by then.
    let against = stored
        .decisions
        .iter()
        .filter(|stored| stored.decision.answer == Answer::Deny && !signed_for.sets_aside(stored))
        .map(|stored| &stored.decision);
    let decisions = signed_for.counted.iter().chain(against);
    if tally(&rules, decisions, proved).tally != Tally::Agreed {
        return Err(GrantError::NotAgreed);
    }
    Ok((grant(stored, &plan), plan))
}

fn grant(stored: &StoredGrant, plan: &Plan) -> Grant {
    Grant {
        id: stored.id,
        version: stored.version,
        run: stored.run,
        request: stored.request,
        digest: stored.digest,
        retry_step: stored.retry_step(),
        rules: plan
            .steps
            .iter()
            .map(|step| Rule { idempotent: step.idempotent, times: step.retry.map_or(0, |retry| retry.times) })
            .collect(),
    }
}

/// Whether the frozen policy lets whoever asked start without anybody's answer. That they are among those whom it means, and how
/// often, was looked at when the grant was given, with its signature; once somebody has decided, decisions are what counts.
fn starts_unasked(stored: &StoredGrant, policy: &PlanPolicy) -> bool {
    let [person] = stored.requesters.as_slice() else { return false };
    let named = policy.unasked.iter().any(|rule| rule.may_name(person));
    let alone = stored.trigger.is_none() && stored.broken.is_none() && stored.under.is_none();
    stored.unasked && named && alone && stored.stuck.is_none() && stored.decisions.is_empty()
}

/// Whether the frozen policy itself lets this run start: it names the trigger that asked for the run with this runbook, and
/// nobody was asked. How often was looked at when the grant was given, with its signature. Once somebody has decided, decisions
/// are what counts, as they are of what was denied not long ago; a further attempt of a step is never by itself (I3).
fn starts_by_itself(stored: &StoredGrant, plan: &Plan, policy: &PlanPolicy) -> bool {
    let lets = |trigger| policy.automatic.iter().any(|rule| rule.lets(trigger, &plan.runbook));
    let named = stored.trigger.as_ref().is_some_and(lets);
    named && policy.denied_before.is_none() && stored.stuck.is_none() && stored.decisions.is_empty()
}

impl Grant {
    /// The row that every start guards.
    pub fn id(&self) -> GrantId {
        self.id
    }

    /// The row's version.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The run that it names.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The request that it names.
    pub fn request(&self) -> RequestId {
        self.request
    }

    /// The plan that it names.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether it covers an attempt (I3): the first of a step; after one that failed, as many as the plan's `retry` says;
    /// after one whose outcome is unknown, a further one of an idempotent step or of the step that its request asked to
    /// retry. Every attempt counts towards `retry`, also one that a person's decision started: agreeing to one more try
    /// is not agreeing to a whole new row of them.
    ///
    /// # Errors
    /// [`GrantError::NotThisAttempt`] when it does not.
    pub fn covers(&self, step: Step) -> Result<(), GrantError> {
        let Step { step, number, after } = step;
        let index = usize::try_from(step).ok().and_then(|step| step.checked_sub(1));
        let refused = GrantError::NotThisAttempt(step);
        let Some(rule) = index.and_then(|index| self.rules.get(index)) else { return Err(refused) };
        let covered = match after {
            After::Nothing => number == 1,
            After::Failed => number > 1 && number - 1 <= rule.times,
            After::Unknown => number > 1 && (rule.idempotent || self.retry_step == Some(step)),
            After::Other => false,
        };
        if covered { Ok(()) } else { Err(refused) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::approval::signature::tests::{sign, sign_setting_aside, trust};
    use crate::model::catalog::{Stage, Subject};
    use crate::model::id::{InboxId, PersonId, PolicyName, RunbookName, SystemName, TriggerName};
    use crate::model::plan::{PLAN_VERSION, Telling};
    use crate::model::policy::{Automatic, Bound, Delegating};
    use crate::model::request::{Proof, Stuck};
    use crate::store::{StoredBreak, StoredDecision, StoredUnder};

    fn grant(retry_step: Option<u32>, rules: &[(bool, u32)]) -> Grant {
        let rules = rules.iter().map(|&(idempotent, times)| Rule { idempotent, times }).collect();
        let (run, request) = (RunId(1), RequestId(1));
        Grant { id: GrantId(1), version: 1, run, request, digest: Digest([0; 32]), retry_step, rules }
    }

    /// A trigger that may start a runbook; `None`: as the first releases froze it.
    fn automatic_of(trigger: &str, runbook: Option<&str>) -> Automatic {
        let bound = runbook.map(|name| Bound { runbook: RunbookName::new(name), runs: 3, per_ms: 3_600_000 });
        Automatic { trigger: TriggerName::new(trigger), bound }
    }

    pub(in crate::approval) fn granted(trigger: Option<&str>, automatic: &[(&str, Option<&str>)]) -> StoredGrant {
        let stage = Stage::new(vec![Subject::Person(PersonId::new("boss"))], 1);
        let policy = PlanPolicy {
            name: PolicyName::new("managers"),
            stages: vec![stage],
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
            automatic: automatic.iter().map(|(name, runbook)| automatic_of(name, *runbook)).collect(),
            text: String::new(),
        };
        let plan = Plan {
            version: PLAN_VERSION,
            runbook: RunbookName::new("start"),
            title: String::new(),
            why: None,
            deed: "start".to_owned(),
            system: SystemName::new("system-a"),
            system_title: String::new(),
            environment: "production".to_owned(),
            host: "host".to_owned(),
            params: BTreeMap::new(),
            targets: Vec::new(),
            files: BTreeMap::new(),
            policy: Some(policy),
            author: None,
            steps: Vec::new(),
            not_before: None,
            telling: Telling::Steps,
        };
        let sealed = Sealed::seal(&plan).expect("a plan");
        StoredGrant {
            id: GrantId(1),
            version: 1,
            run: RunId(1),
            request: RequestId(1),
            digest: sealed.digest(),
            state: GrantState::Granted,
            granted_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH + TimeDelta::hours(1),
            start_by: DateTime::UNIX_EPOCH + TimeDelta::minutes(10),
            signature: None,
            requesters: vec![PersonId::new("mei")],
            needs: Vec::new(),
            stuck: None,
            trigger: trigger.map(TriggerName::new),
            plan: sealed.bytes().to_vec(),
            decisions: Vec::new(),
            broken: None,
            under: None,
            unasked: false,
        }
    }

    pub(in crate::approval) fn said(person: &str, answer: Answer) -> StoredDecision {
        let decision = Decision::new(PersonId::new(person), 0, answer);
        let (account, at) = ("local:trial:x".parse().expect("an account"), DateTime::UNIX_EPOCH);
        StoredDecision { decision, account, at, line: InboxId(1), reason: None, taken_back_at: None }
    }

    #[test]
    fn i1_a_run_starts_by_itself_only_where_the_plans_own_policy_names_its_trigger() {
        let derives = |stored: &StoredGrant| derive(&sign(stored.clone()), &trust(), DateTime::UNIX_EPOCH).is_ok();
        let lets = [("down", Some("start"))];
        assert!(derives(&granted(Some("down"), &lets)));
        assert!(derives(&granted(Some("down"), &[("down", None)])), "as the first releases froze it");
        assert!(!derives(&granted(Some("down"), &[("other", Some("start"))])), "another trigger is named");
        assert!(!derives(&granted(Some("down"), &[("down", Some("startb"))])), "another runbook is named");
        assert!(!derives(&granted(Some("down"), &[])), "none is named");
        assert!(!derives(&granted(None, &lets)), "a person asked");
        let retry = StoredGrant { stuck: Some(Stuck { step: 1, free: None }), ..granted(Some("down"), &lets) };
        assert!(!derives(&retry), "a further attempt is never by itself");
        let changed = StoredGrant { plan: b"{}".to_vec(), ..granted(Some("down"), &lets) };
        assert!(!derives(&changed), "the plan's bytes are what counts");
        let lapsed = StoredGrant { expires_at: DateTime::UNIX_EPOCH, ..granted(Some("down"), &lets) };
        assert!(!derives(&lapsed));
        let late = StoredGrant { start_by: DateTime::UNIX_EPOCH, ..granted(Some("down"), &lets) };
        assert!(!derives(&late), "its latest start is over");
    }

    #[test]
    fn i7_under_an_earlier_approval_the_same_plan_as_often_as_its_policy_says() {
        use crate::model::policy::Repeat;
        let with = |repeat: Option<Repeat>, number: u32, same: bool, requesters: &[&str]| {
            let mut stored = granted(None, &[]);
            let mut plan = Sealed::from_stored(stored.plan.clone()).open().expect("a plan");
            plan.policy.as_mut().expect("a policy").repeat = repeat;
            let sealed = Sealed::seal(&plan).expect("a plan");
            (stored.plan, stored.digest) = (sealed.bytes().to_vec(), sealed.digest());
            let digest = if same { sealed.digest() } else { Digest([0; 32]) };
            stored.under = Some(StoredUnder { request: RequestId(1), digest, number });
            stored.requesters = requesters.iter().map(|name| PersonId::new(*name)).collect();
            stored.decisions = vec![said("boss", Answer::Approve)];
            derive(&sign(stored), &trust(), DateTime::UNIX_EPOCH).is_ok()
        };
        let three = Some(Repeat { runs: 3, within_ms: 1 });
        assert!(with(three, 2, true, &["mei"]) && with(three, 3, true, &["mei", "ann"]));
        assert!(!with(three, 4, true, &["mei"]), "one too many");
        assert!(!with(three, 1, true, &["mei"]), "the first is the one that was approved");
        assert!(!with(None, 2, true, &["mei"]), "the policy covers one");
        assert!(!with(three, 2, false, &["mei"]), "another plan");
        assert!(!with(three, 2, true, &["mei", "boss"]), "who agreed asks");
    }

    #[test]
    fn i13_without_agreement_only_where_the_plans_own_policy_says_who_may() {
        use crate::model::policy::BreakGlass;
        let broken = |person: &str, proof: Proof, reason: &str| {
            Some(StoredBreak { person: PersonId::new(person), proof, line: InboxId(4), reason: reason.to_owned() })
        };
        let with = |rules: Option<BreakGlass>, step_up: bool, broken: Option<StoredBreak>, retry_step: Option<u32>| {
            let mut stored = granted(None, &[]);
            let mut plan = Sealed::from_stored(stored.plan.clone()).open().expect("a plan");
            let policy = plan.policy.as_mut().expect("a policy");
            policy.break_glass = rules;
            policy.stages[0].step_up = step_up;
            let sealed = Sealed::seal(&plan).expect("a plan");
            (stored.plan, stored.digest) = (sealed.bytes().to_vec(), sealed.digest());
            (stored.broken, stored.stuck) = (broken, retry_step.map(|step| Stuck { step, free: None }));
            derive(&sign(stored), &trust(), DateTime::UNIX_EPOCH).is_ok()
        };
        let mei = || Subject::Person(PersonId::new("mei"));
        let rules =
            |by_chat| Some(BreakGlass { by: vec![mei()], review_within_ms: 1, reviewed_by: vec![mei()], by_chat });
        let key = || Proof::Passkey { credential: "k".to_owned() };
        assert!(with(rules(false), false, broken("mei", Proof::Chat, "fire"), None), "who asked may be the one");
        assert!(!with(None, false, broken("mei", Proof::Chat, "fire"), None), "the policy lets nobody");
        assert!(!with(rules(false), false, broken("boss", Proof::Chat, "fire"), None), "it lets another");
        assert!(!with(rules(false), false, broken("mei", Proof::Chat, ""), None), "no reason");
        assert!(!with(rules(false), true, broken("mei", Proof::Chat, "fire"), None), "a stage wants a passkey");
        assert!(with(rules(false), true, broken("mei", key(), "fire"), None));
        assert!(with(rules(true), true, broken("mei", Proof::Chat, "fire"), None));
        assert!(!with(rules(false), false, broken("mei", Proof::Chat, "fire"), Some(1)), "I3");
        assert!(!with(rules(false), false, None, None), "nobody broke it");
    }

    #[test]
    fn i7_once_somebody_has_decided_decisions_are_what_counts() {
        let with = |decisions| StoredGrant { decisions, ..granted(Some("down"), &[("down", Some("start"))]) };
        let derives = |stored: &StoredGrant| derive(&sign(stored.clone()), &trust(), DateTime::UNIX_EPOCH).is_ok();
        assert!(derives(&with(vec![said("boss", Answer::Approve)])));
        assert!(!derives(&with(vec![said("boss", Answer::Deny)])));
        assert!(!derives(&with(vec![said("mei", Answer::Approve)])), "the trigger's owner");
    }

    #[test]
    fn i3_after_a_denial_of_a_stuck_step_those_whom_the_request_needs_have_to_agree() {
        let with = |people: &[&str], needs: &[&str]| {
            let needs = needs.iter().map(|name| PersonId::new(*name)).collect();
            let decisions = people.iter().map(|name| said(name, Answer::Approve)).collect();
            let stored =
                StoredGrant { stuck: Some(Stuck { step: 1, free: None }), needs, decisions, ..granted(None, &[]) };
            derive(&sign(stored), &trust(), DateTime::UNIX_EPOCH).is_ok()
        };
        assert!(with(&["boss"], &[]) && with(&["boss"], &["boss", "kim"]));
        assert!(!with(&["boss"], &["kim"]), "kim denied it");
    }

    #[test]
    fn i12_what_was_just_denied_does_not_start_by_itself() {
        use crate::model::policy::DeniedBefore;
        let mut stored = granted(Some("down"), &[("down", None)]);
        let mut plan = Sealed::from_stored(stored.plan.clone()).open().expect("a plan");
        let (code, at) = (crate::model::code::Code::from_entropy(7), DateTime::UNIX_EPOCH);
        let before = DeniedBefore { code, by: PersonId::new("boss"), why: None, at };
        plan.policy.as_mut().expect("a policy").denied_before = Some(before);
        let sealed = Sealed::seal(&plan).expect("a plan");
        (stored.plan, stored.digest) = (sealed.bytes().to_vec(), sealed.digest());
        assert!(derive(&sign(stored), &trust(), DateTime::UNIX_EPOCH).is_err());
    }

    #[test]
    fn i13_a_denial_that_no_longer_counted_when_it_was_granted_does_not_count_afterwards() {
        let with = |set_aside: bool| {
            let mut stored = granted(None, &[]);
            stored.decisions = vec![said("boss", Answer::Approve), said("kim", Answer::Deny)];
            let signed = if set_aside { sign_setting_aside(stored) } else { sign(stored) };
            derive(&signed, &trust(), DateTime::UNIX_EPOCH).is_ok()
        };
        assert!(with(true) && !with(false));
    }

    #[test]
    fn i3_a_grant_covers_the_attempts_that_the_plan_and_its_request_allow_and_no_others() {
        let rules = [(false, 0), (true, 0), (false, 2)];
        for retry_step in [None, Some(1), Some(2), Some(3)] {
            let grant = grant(retry_step, &rules);
            for step in 0..6 {
                for number in 0..6 {
                    for after in [After::Nothing, After::Failed, After::Unknown, After::Other] {
                        let expected = match (step, number, after) {
                            (1..=3, 1, After::Nothing) => true,
                            (3, 2 | 3, After::Failed) => true,
                            (2, 2.., After::Unknown) => true,
                            (step, 2.., After::Unknown) => retry_step == Some(step) && step <= 3,
                            _ => false,
                        };
                        let covered = grant.covers(Step { step, number, after }).is_ok();
                        assert_eq!(covered, expected, "{step}.{number} after {after:?}, asked to retry {retry_step:?}");
                    }
                }
            }
        }
    }
}

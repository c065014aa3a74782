//! A ledger with a bit of everything in it, written as the program writes: states and events in one transaction.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use chrono::TimeDelta;
use countersign::approval::{self, Give, Why};
use countersign::ledger::{self, Trial, sequencer};
use countersign::model::catalog::{Stage, Subject};
use countersign::model::chat::{Account, Addressed, Incoming, RoomAddress, Said};
use countersign::model::code::Code;
use countersign::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use countersign::model::id::{
    Digest, GrantId, GroupName, InboxId, MessageId, PersonId, PolicyName, RequestId, RunId, RunbookName, SystemName,
};
use countersign::model::plan::{Action, Exec, PLAN_VERSION, Plan, PlanPolicy, PlanStep, Sealed, Telling};
use countersign::model::policy::Delegating;
use countersign::model::request::{Answer, Decision, GrantState, Proof, RequestState, Wanted};
use countersign::model::run::{AttemptState, Outcome, RunState, Snag, Verdict};
use countersign::store::{
    Advance, AttemptKey, Ended, NewAttemptOutput, NewRequest, NewRun, Started, Store, StoredDecision, Tx, WorkerId,
};
use countersign::sys::ProcessIdentity;
use sha2::{Digest as _, Sha256};

use super::support::{TestDb, database, hold_key};

/// A database in which things happen.
pub(crate) struct Scene {
    pub(crate) db: TestDb,
    pub(crate) me: WorkerId,
    lines: u32,
}

/// A worker that is nobody else.
pub(crate) async fn worker(store: &Store, pid: u32) -> WorkerId {
    let process = ProcessIdentity { machine: "test".into(), boot: "test".into(), pid, started: 1 };
    store.insert_worker(&process).await.expect("a worker")
}

/// An event about a run.
pub(crate) fn event(
    run: Option<RunId>,
    cause: Option<InboxId>,
    what: Happened,
    rows: impl IntoIterator<Item = RowMark>,
) -> NewEvent {
    let (system, environment) = match run {
        Some(_) => (Some(SystemName::new("system-a")), Some("production".to_owned())),
        None => (None, None),
    };
    NewEvent {
        scope: Scope { system, environment, run, ..Scope::default() },
        cause,
        record: Record { what, rows: rows.into_iter().collect() },
    }
}

pub(crate) fn person(name: &str) -> PersonId {
    PersonId::new(name)
}

fn account(name: &str) -> Account {
    format!("local:trial:{name}").parse().expect("an account")
}

fn room() -> RoomAddress {
    "local:trial:system-a".parse().expect("a room")
}

pub(crate) fn stage(people: &[&str], quorum: u32) -> Stage {
    let subject = |name: &&str| match name.strip_prefix('@') {
        Some(group) => Subject::Group(GroupName::new(group)),
        None => Subject::Person(person(name)),
    };
    Stage::new(people.iter().map(subject).collect(), quorum)
}

fn plan(stages: &[Stage]) -> Sealed {
    let exec = |word: &str| Exec {
        argv: vec!["supervisorctl".into(), word.into(), "service-b".into()],
        program: "/usr/bin/supervisorctl".into(),
        env: Vec::new(),
        scripts: BTreeMap::new(),
    };
    let privileged = !stages.is_empty();
    let step = |name: &str, word: &str, privileged| PlanStep {
        name: name.into(),
        privileged,
        read_only: !privileged,
        idempotent: false,
        timeout_ms: 60_000,
        retry: None,
        action: Action::Run(exec(word)),
    };
    let policy = PlanPolicy {
        name: PolicyName::new("managers"),
        stages: stages.to_vec(),
        expires_ms: 600_000,
        starts_within_ms: None,
        relaxed: Vec::new(),
        exclude_author: false,
        delegating: Delegating::Allowed,
        needs: Vec::new(),
        denied_before: None,
        repeat: None,
        break_glass: None,
        valid_for_ms: 3_600_000,
        unasked: Vec::new(),
        automatic: Vec::new(),
        text: "managers must agree".into(),
    };
    let plan = Plan {
        version: PLAN_VERSION,
        runbook: RunbookName::new("start-service"),
        title: "Start a service".into(),
        why: None,
        deed: "start service-b".into(),
        system: SystemName::new("system-a"),
        system_title: "System A".into(),
        environment: "production".into(),
        host: "app-1".into(),
        params: BTreeMap::new(),
        targets: vec!["service-b".into()],
        files: BTreeMap::new(),
        policy: privileged.then_some(policy),
        author: None,
        steps: vec![step("Start", "start", privileged), step("Look", "status", false)],
        not_before: None,
        telling: Telling::Steps,
    };
    Sealed::seal(&plan).expect("a plan")
}

/// What a decision leads to, in the same transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    Nothing,
    NextStage,
    Grant(&'static [&'static str]),
    Deny,
}

impl Scene {
    /// A ledger that has begun.
    pub(crate) async fn begin() -> Self {
        let db = database().await;
        let me = worker(&db.store, 1).await;
        let begun = ledger::open(&db.store, Trial::Yes).await.expect("a ledger");
        hold_key(&db.store, &begun.ledger).await;
        Self { db, me, lines: 0 }
    }

    fn store(&self) -> &Store {
        &self.db.store
    }

    fn incoming(&mut self, who: &str, text: &str) -> Incoming {
        self.lines += 1;
        Incoming {
            room: room(),
            thread: None,
            account: account(who),
            said_at: self.store().clock().now(),
            what: Said::Line {
                message: MessageId::new(self.lines.to_string()),
                text: text.to_owned(),
                address: Addressed::ToRoom,
            },
            trace: None,
        }
    }

    async fn tx(&self) -> Tx {
        self.store().begin().await.expect("a transaction")
    }

    async fn line(&mut self, tx: &mut Tx, who: &str, text: &str) -> InboxId {
        let incoming = self.incoming(who, text);
        tx.insert_line(&incoming, Some(&person(who)), Some(text)).await.expect("a line").expect("a new one")
    }

    /// Something that changes nothing.
    pub(crate) async fn said(&mut self, text: &str) {
        let mut tx = self.tx().await;
        let line = self.line(&mut tx, "mei", text).await;
        tx.record(event(
            None,
            Some(line),
            Happened::LineSaid {
                room: room(),
                thread: None,
                key: format!("line:{}", self.lines),
                account: account("mei"),
                person: Some(person("mei")),
                text: text.to_owned(),
                outcome: "answered".into(),
                answer: vec!["System A is healthy.".into()],
                said_at: None,
            },
            [],
        ));
        tx.commit().await.expect("it commits");
    }

    async fn insert_run(&mut self, tx: &mut Tx, plan: &Sealed, state: RunState) -> (RunId, InboxId) {
        let line = self.line(tx, "mei", "start service b").await;
        tx.insert_plan(plan).await.expect("a plan");
        let state_name = state.name();
        let run = tx
            .insert_run(NewRun {
                state,
                runbook: &RunbookName::new("start-service"),
                system: &SystemName::new("system-a"),
                environment: "production",
                plan,
                room: &room(),
                thread: None,
                requester: &person("mei"),
                account: &account("mei"),
                cause: Some(line),
                trigger: None,
                incident: None,
                not_before: None,
            })
            .await
            .expect("a run");
        let what = Happened::RunPlanned {
            run,
            deed: "start service-b".into(),
            runbook: RunbookName::new("start-service"),
            params: BTreeMap::new(),
            digest: plan.digest(),
            requester: person("mei"),
            account: account("mei"),
            room: room(),
            trigger: None,
        };
        tx.record(event(Some(run), Some(line), what, [RowMark::run(run, state_name, 1)]));
        (run, line)
    }

    /// A run that needs nobody's agreement.
    pub(crate) async fn plan_free(&mut self) -> RunId {
        let mut tx = self.tx().await;
        let (run, _) = self.insert_run(&mut tx, &plan(&[]), RunState::Planned).await;
        tx.commit().await.expect("it commits");
        run
    }

    /// The same up to the commit.
    pub(crate) async fn planned_but_not_committed(&mut self) -> Tx {
        let mut tx = self.tx().await;
        self.insert_run(&mut tx, &plan(&[]), RunState::Planned).await;
        tx
    }

    /// A run that moves and tells nobody.
    pub(crate) async fn change_without_event(&mut self) {
        let run = self.plan_free().await;
        let mut tx = self.tx().await;
        let row = tx.lock_run(run).await.expect("the run");
        tx.move_run(&row, &RunState::Stopped { by: person("mei") }, None).await.expect("it moves");
        tx.commit().await.expect("it commits");
    }

    /// A run and its request.
    pub(crate) async fn ask(&mut self, stages: &[Stage]) -> RequestId {
        let plan = plan(stages);
        let mut tx = self.tx().await;
        let (run, line) = self.insert_run(&mut tx, &plan, RunState::AwaitingApproval).await;
        let code = Code::from_entropy(1000 + u32::try_from(run.0).expect("small"));
        let expires_at = tx.now() + TimeDelta::minutes(10);
        let request = tx
            .insert_request(NewRequest {
                code: &code,
                run,
                wanted: &Wanted::Start,
                digest: plan.digest(),
                requesters: &[person("mei")],
                needs: &[],
                room: &room(),
                thread: None,
                expires_at,
            })
            .await
            .expect("a request")
            .expect("a new code");
        let what = Happened::RequestAsked {
            request,
            code,
            run,
            retry_step: None,
            digest: plan.digest(),
            requesters: vec![person("mei")],
            stages: stages.to_vec(),
            excluded: Vec::new(),
            expires_at,
            wish: None,
            carried: None,
        };
        tx.record(event(Some(run), Some(line), what, [RowMark::request(request, "pending", 1)]));
        tx.commit().await.expect("it commits");
        request
    }

    /// A decision and what it leads to.
    pub(crate) async fn decide(&mut self, id: RequestId, who: &str, stage: u32, answer: Answer, then: Then) {
        let mut tx = self.tx().await;
        let line = self.line(&mut tx, who, answer.name()).await;
        let request = tx.lock_request(id).await.expect("the request");
        let run = tx.lock_run(request.run).await.expect("its run");
        let reason = (answer == Answer::Deny).then(|| "not now".to_owned());
        let decision = Decision::new(person(who), stage, answer);
        tx.insert_decision(id, &decision, &account(who), reason.as_deref(), line).await.expect("a decision");
        let code = request.code;
        let decided = Happened::Decided {
            request: id,
            code,
            stage,
            person: person(who),
            account: account(who),
            answer,
            on_behalf_of: None,
            proof: Proof::Chat,
            reason: reason.clone(),
        };
        let mark = match then {
            Then::NextStage => {
                let next = RequestState::Pending { stage: stage + 1 };
                let version = tx.move_request(&request, &next).await.expect("it moves");
                Some(RowMark::request(id, "pending", version))
            }
            Then::Nothing | Then::Grant(_) | Then::Deny => None,
        };
        tx.record(event(Some(run.id), Some(line), decided, mark));
        match then {
            Then::Nothing | Then::NextStage => {}
            Then::Grant(by) => {
                let valid_until = tx.now() + TimeDelta::hours(1);
                let decisions = tx.list_decisions(id).await.expect("decisions");
                let counted = |stored: &&StoredDecision| by.contains(&stored.decision.person.as_str());
                let why = Why::Agreed(&decisions.iter().filter(counted).collect::<Vec<_>>());
                let give = Give { request: &request, why, start_by: valid_until, valid_until };
                let (grant, signed) = approval::give(&mut tx, give).await.expect("a grant");
                let version = tx.move_request(&request, &RequestState::Granted).await.expect("it moves");
                let run_version = tx.move_run(&run, &RunState::Approved, Some(line)).await.expect("it moves");
                let what = Happened::RequestGranted {
                    request: id,
                    code,
                    run: run.id,
                    grant,
                    digest: request.digest,
                    by: by.iter().map(|name| person(name)).collect(),
                    automatic: None,
                    start_by: Some(valid_until),
                    relaxed: Vec::new(),
                    broken: None,
                    unasked: None,
                    under: None,
                    covers: None,
                    valid_until,
                    signed: Some(signed),
                };
                let marks = [
                    RowMark::request(id, "granted", version),
                    RowMark::grant(grant, "granted", 1),
                    RowMark::run(run.id, "approved", run_version),
                ];
                tx.record(event(Some(run.id), Some(line), what, marks));
            }
            Then::Deny => {
                let (by, why) = (person(who), reason);
                let denied = RequestState::Denied { by: by.clone(), why: why.clone() };
                let version = tx.move_request(&request, &denied).await.expect("it moves");
                let denied = RunState::Denied { by: by.clone(), why: why.clone() };
                let run_version = tx.move_run(&run, &denied, Some(line)).await.expect("it moves");
                let what = Happened::RequestDenied { request: id, code, run: run.id, by, why };
                let marks = [RowMark::request(id, "denied", version), RowMark::run(run.id, "denied", run_version)];
                tx.record(event(Some(run.id), Some(line), what, marks));
            }
        }
        tx.commit().await.expect("it commits");
    }

    /// The end of a request that nobody decided, and of its run.
    async fn end_request(&mut self, id: RequestId, to: RequestState, run_to: RunState) {
        let mut tx = self.tx().await;
        let request = tx.lock_request(id).await.expect("the request");
        let run = tx.lock_run(request.run).await.expect("its run");
        let version = tx.move_request(&request, &to).await.expect("it moves");
        let run_version = tx.move_run(&run, &run_to, None).await.expect("it moves");
        let code = request.code;
        let marks = [RowMark::request(id, to.name(), version), RowMark::run(run.id, run_to.name(), run_version)];
        let what = match to {
            RequestState::Withdrawn { by } => Happened::RequestWithdrawn { request: id, code, run: run.id, by },
            _ => Happened::RequestExpired { request: id, code, run: run.id },
        };
        tx.record(event(Some(run.id), None, what, marks));
        if let RunState::Stopped { by } = run_to {
            let what = Happened::RunStopped {
                run: run.id,
                by,
                done: Vec::new(),
                unknown: Vec::new(),
                revoked: None,
                not_started: vec![1, 2],
                skipped: vec![],
            };
            tx.record(event(Some(run.id), None, what, []));
        }
        tx.commit().await.expect("it commits");
    }

    /// A step forward of a run that this worker holds.
    async fn advance(&mut self, run: RunId, to: RunState, fill: impl FnOnce(&mut Advance, i64)) {
        let hour = Duration::from_secs(3600);
        self.store().claim_runs(self.me, hour, 100, &[]).await.expect("it claims");
        let row = self.store().find_run(run).await.expect("asked").expect("the run");
        let version = row.version + 1;
        let mut advance = Advance {
            run,
            version: row.version,
            from: row.state,
            fence: row.fence,
            to,
            ended: None,
            started: None,
            grant_ends: None,
            events: Vec::new(),
        };
        fill(&mut advance, version);
        let tx = self.store().advance_tx(self.me);
        tx.apply(&[advance]).await.expect("it goes forward");
    }

    /// Starts an attempt; `row_grant` is what the row says and `told_grant` what the event says.
    async fn start(&mut self, run: RunId, step: u32, row: Option<GrantId>, told: Option<GrantId>) {
        let digest = self.store().find_run(run).await.expect("asked").expect("the run").digest;
        self.advance(run, RunState::Running, |advance, version| {
            let key = AttemptKey { run, step, number: 1 };
            advance.started = Some(Started { key, grant: row.map(|grant| (grant, digest)) });
            let what = Happened::AttemptStarted { run, step, number: 1, digest, grant: told, executor: None };
            let marks = [RowMark::run(run, "running", version), RowMark::attempt(run, step, 1, "started", 1)];
            advance.events.push(event(Some(run), None, what, marks));
        })
        .await;
    }

    /// A granted run whose first step has started.
    async fn started(&mut self) -> (RunId, GrantId) {
        let request = self.ask(&[stage(&["boss"], 1)]).await;
        self.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss"])).await;
        let run = self.store().find_request(request).await.expect("asked").expect("the request").run;
        let grant = GrantId(self.db.number("select max(id) from run_grant").await);
        self.start(run, 1, Some(grant), Some(grant)).await;
        (run, grant)
    }

    /// The first step ends and the second starts; then the second ends, and with it the run and its grant.
    async fn finish(&mut self, run: RunId, grant: GrantId) {
        let digest = self.store().find_run(run).await.expect("asked").expect("the run").digest;
        let output = b"service-b: started".to_vec();
        let sha256 = Digest(Sha256::digest(&output).into());
        self.advance(run, RunState::Running, |advance, version| {
            let key = AttemptKey { run, step: 1, number: 1 };
            advance.ended = Some(Ended {
                key,
                state: AttemptState::Succeeded,
                exit_code: Some(0),
                summary: "started".into(),
                output: Some((NewAttemptOutput { bytes: output, left_out: 0 }, sha256)),
            });
            advance.started = Some(Started { key: AttemptKey { step: 2, ..key }, grant: None });
            let what = Happened::AttemptEnded {
                run,
                step: 1,
                number: 1,
                outcome: Outcome::Succeeded,
                exit_code: Some(0),
                millis: 1100,
                summary: "started".into(),
                output_sha256: Some(sha256),
                checks: Vec::new(),
            };
            advance.events.push(event(Some(run), None, what, [RowMark::attempt(run, 1, 1, "succeeded", 2)]));
            let what = Happened::AttemptStarted { run, step: 2, number: 1, digest, grant: None, executor: None };
            let marks = [RowMark::run(run, "running", version), RowMark::attempt(run, 2, 1, "started", 1)];
            advance.events.push(event(Some(run), None, what, marks));
        })
        .await;
        self.advance(run, RunState::Succeeded, |advance, version| {
            let key = AttemptKey { run, step: 2, number: 1 };
            advance.ended = Some(Ended {
                key,
                state: AttemptState::Succeeded,
                exit_code: Some(0),
                summary: "running".into(),
                output: None,
            });
            advance.grant_ends = Some((grant, 1, GrantState::Used));
            let what = Happened::AttemptEnded {
                run,
                step: 2,
                number: 1,
                outcome: Outcome::Succeeded,
                exit_code: Some(0),
                millis: 90,
                summary: "running".into(),
                output_sha256: None,
                checks: Vec::new(),
            };
            advance.events.push(event(Some(run), None, what, [RowMark::attempt(run, 2, 1, "succeeded", 2)]));
            let what = Happened::RunSucceeded { run, millis: 1190 };
            let marks = [RowMark::run(run, "succeeded", version), RowMark::grant(grant, "used", 2)];
            advance.events.push(event(Some(run), None, what, marks));
        })
        .await;
    }

    /// Nobody saw how the first step ended.
    async fn lose(&mut self, run: RunId) {
        self.advance(run, RunState::Stuck(Snag { step: 1, why: "the bot was killed".into() }), |advance, version| {
            advance.ended = Some(Ended {
                key: AttemptKey { run, step: 1, number: 1 },
                state: AttemptState::Unknown,
                exit_code: None,
                summary: "nobody saw how it ended".into(),
                output: None,
            });
            let what = Happened::AttemptLost { run, step: 1, number: 1, why: "the bot was killed".into() };
            advance.events.push(event(Some(run), None, what, [RowMark::attempt(run, 1, 1, "unknown", 2)]));
            let what = Happened::RunStuck { run, step: 1, why: "the bot was killed".into() };
            advance.events.push(event(Some(run), None, what, [RowMark::run(run, "stuck", version)]));
        })
        .await;
    }

    /// A person says that the lost step did not do its work.
    async fn judge(&mut self, run: RunId, grant: GrantId) {
        let mut tx = self.tx().await;
        let line = self.line(&mut tx, "boss", "judge failed").await;
        let stored = tx.lock_grants(&[run]).await.expect("the grant").pop().expect("it is in force");
        let row = tx.lock_run(run).await.expect("the run");
        let attempt = tx.list_attempts(run).await.expect("attempts").pop().expect("one");
        let version = tx.judge_attempt(&attempt, &person("boss"), Verdict::Failed).await.expect("it is judged");
        let failed = RunState::Failed(Snag { step: 1, why: "judged by boss".into() });
        let run_version = tx.move_run(&row, &failed, Some(line)).await.expect("it moves");
        let grant_version = tx.move_grant(&stored, GrantState::Used).await.expect("it moves");
        let what = Happened::AttemptJudged {
            run,
            step: 1,
            number: 1,
            by: person("boss"),
            verdict: Verdict::Failed,
            why: "it does not run".into(),
            request: None,
        };
        tx.record(event(Some(run), Some(line), what, [RowMark::attempt(run, 1, 1, "judged", version)]));
        let what = Happened::RunFailed { run, step: 1, why: "judged by boss".into() };
        let marks = [RowMark::run(run, "failed", run_version), RowMark::grant(grant, "used", grant_version)];
        tx.record(event(Some(run), Some(line), what, marks));
        tx.commit().await.expect("it commits");
    }

    /// Somebody says `stop` while a step runs.
    async fn stop(&mut self, run: RunId) {
        let mut tx = self.tx().await;
        let line = self.line(&mut tx, "mei", "stop").await;
        let row = tx.lock_run(run).await.expect("the run");
        let by = person("mei");
        let version = tx.move_run(&row, &RunState::Stopping { by: by.clone() }, Some(line)).await.expect("it moves");
        let what = Happened::RunStopping { run, by };
        tx.record(event(Some(run), Some(line), what, [RowMark::run(run, "stopping", version)]));
        tx.commit().await.expect("it commits");
    }

    /// Ten runs: 1 done, 2 denied, 3 withdrawn, 4 expired, 5 waiting in its second stage, 6 stuck, 7 judged and failed,
    /// 8 stopping, 9 stopped before it began, all in the chain, and 10 planned, waiting for its place.
    pub(crate) async fn play() -> Self {
        let mut scene = Self::begin().await;
        let one = [stage(&["boss"], 1)];
        scene.said("run system a health check").await;
        let (run, grant) = scene.started().await;
        scene.finish(run, grant).await;
        let denied = scene.ask(&one).await;
        scene.decide(denied, "boss", 0, Answer::Deny, Then::Deny).await;
        let by = || person("mei");
        let withdrawn = scene.ask(&one).await;
        scene.end_request(withdrawn, RequestState::Withdrawn { by: by() }, RunState::Withdrawn { by: by() }).await;
        let expired = scene.ask(&one).await;
        scene.end_request(expired, RequestState::Expired, RunState::Expired).await;
        let two = scene.ask(&[stage(&["@managers"], 2), stage(&["boss"], 1)]).await;
        scene.decide(two, "boss", 0, Answer::Approve, Then::Nothing).await;
        scene.decide(two, "lin", 0, Answer::Approve, Then::NextStage).await;
        let (stuck, _) = scene.started().await;
        scene.lose(stuck).await;
        let (judged, grant) = scene.started().await;
        scene.lose(judged).await;
        scene.judge(judged, grant).await;
        let (stopping, _) = scene.started().await;
        scene.stop(stopping).await;
        let stopped = scene.ask(&one).await;
        scene.end_request(stopped, RequestState::Withdrawn { by: by() }, RunState::Stopped { by: by() }).await;
        scene.said("is service c running").await;
        sequencer::drain(&scene.db.store, scene.me).await.expect("it is sequenced");
        scene.plan_free().await;
        scene
    }
}

type Play = for<'a> fn(&'a mut Scene) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// What must never be written, written.
pub(crate) fn broken() -> Vec<(&'static str, Play)> {
    vec![
        ("granted by one of two", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["@managers"], 2)]).await;
                scene.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss"])).await;
            })
        }),
        ("granted in one of two stages", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["boss"], 1), stage(&["lin"], 1)]).await;
                scene.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss"])).await;
            })
        }),
        ("granted by who asked", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["@managers"], 1)]).await;
                scene.decide(request, "mei", 0, Answer::Approve, Then::Grant(&["mei"])).await;
            })
        }),
        ("granted by who was not asked", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["boss"], 1)]).await;
                scene.decide(request, "lin", 0, Answer::Approve, Then::Grant(&["lin"])).await;
            })
        }),
        ("granted by who did not say so", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["@managers"], 1)]).await;
                scene.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss", "lin"])).await;
            })
        }),
        ("granted though denied", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["@managers"], 1)]).await;
                scene.decide(request, "lin", 0, Answer::Deny, Then::Nothing).await;
                scene.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss"])).await;
            })
        }),
        ("granted after its time", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["boss"], 1)]).await;
                scene.store().clock().shift(TimeDelta::minutes(11));
                scene.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss"])).await;
            })
        }),
        ("started without a grant", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["boss"], 1)]).await;
                scene.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss"])).await;
                scene.start(RunId(1), 1, None, None).await;
            })
        }),
        ("started under another run's grant", |scene| {
            Box::pin(async {
                scene.started().await;
                let request = scene.ask(&[stage(&["boss"], 1)]).await;
                scene.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss"])).await;
                scene.start(RunId(2), 1, None, Some(GrantId(1))).await;
            })
        }),
        ("started under a grant that nobody gave", |scene| {
            Box::pin(async {
                let run = scene.plan_free().await;
                scene.start(run, 1, None, Some(GrantId(7))).await;
            })
        }),
        ("started under a grant that was over", |scene| {
            Box::pin(async {
                let request = scene.ask(&[stage(&["boss"], 1)]).await;
                scene.decide(request, "boss", 0, Answer::Approve, Then::Grant(&["boss"])).await;
                scene.store().clock().shift(TimeDelta::minutes(61));
                scene.start(RunId(1), 1, None, Some(GrantId(1))).await;
            })
        }),
        ("a step that its plan does not have", |scene| {
            Box::pin(async {
                let run = scene.plan_free().await;
                scene.start(run, 3, None, None).await;
            })
        }),
        ("a version that goes back", |scene| {
            Box::pin(async {
                let run = scene.plan_free().await;
                scene.start(run, 1, None, None).await;
                let what = Happened::ClockJumped { millis: 1 };
                let marks = [RowMark::run(run, "planned", 1), RowMark::run(run, "running", 2)];
                let event = event(Some(run), None, what, marks);
                scene.store().record(&[event]).await.expect("it is recorded");
            })
        }),
    ]
}

//! Plans, runs, attempts, requests, decisions and grants, as one transaction of a conversation changes them.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgExecutor};

use super::rows::{
    self, Attempt, AttemptKey, Inconsistent, KeyKnown, Request, Run, StoredBreak, StoredDecision, StoredGrant,
    StoredSignature, StoredUnder,
};
use super::{Result, Store, StoreError, Tx};
use crate::model::approval::{Asked, Delegation};
use crate::model::chat::{Account, RoomAddress};
use crate::model::code::Code;
use crate::model::id::{
    Digest, GrantId, GroupName, InboxId, IncidentId, MessageId, PersonId, RequestId, RunId, RunbookName, SystemName,
    ThreadId, TriggerName,
};
use crate::model::plan::Sealed;
use crate::model::request::{Answer, Decision, Freeing, GrantState, Proof, RequestState, Stuck, Wanted, Wish};
use crate::model::run::{RunState, Verdict};
use crate::model::signature::{PublicKey, Signature, Signed};
use crate::sys::ProcessIdentity;

/// A run about to be inserted.
#[derive(Debug)]
pub struct NewRun<'a> {
    /// `Planned` or `AwaitingApproval`.
    pub state: RunState,
    /// The runbook.
    pub runbook: &'a RunbookName,
    /// The system.
    pub system: &'a SystemName,
    /// Its environment.
    pub environment: &'a str,
    /// The plan.
    pub plan: &'a Sealed,
    /// Where it was asked.
    pub room: &'a RoomAddress,
    /// In which thread, if in one.
    pub thread: Option<&'a ThreadId>,
    /// Who asked.
    pub requester: &'a PersonId,
    /// By which account.
    pub account: &'a Account,
    /// By which line; `None`: a trigger asked.
    pub cause: Option<InboxId>,
    /// The trigger that asked, if no person did.
    pub trigger: Option<&'a TriggerName>,
    /// The incident that it belongs to.
    pub incident: Option<IncidentId>,
    /// Before which it must not start; `None`: at once.
    pub not_before: Option<DateTime<Utc>>,
}

/// A request about to be inserted.
#[derive(Debug)]
pub struct NewRequest<'a> {
    /// Its code; unique among those that wait.
    pub code: &'a Code,
    /// Its run.
    pub run: RunId,
    /// What is asked for.
    pub wanted: &'a Wanted,
    /// The plan.
    pub digest: Digest,
    /// Who counts as having asked.
    pub requesters: &'a [PersonId],
    /// Among whom one must agree, for what is asked of a stuck step was denied not long ago; nobody in particular of what starts.
    pub needs: &'a [PersonId],
    /// Where.
    pub room: &'a RoomAddress,
    /// In which thread, if known.
    pub thread: Option<&'a ThreadId>,
    /// Until when a decision counts.
    pub expires_at: DateTime<Utc>,
}

/// A request that people agreed to or spoke against.
#[derive(Debug)]
pub struct Decided {
    /// The request.
    pub request: Request,
    /// What came of it.
    pub word: LastWord,
    /// When somebody answered last.
    pub at: DateTime<Utc>,
}

/// The last word on a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastWord {
    /// People agreed to it.
    Agreed,
    /// Somebody said no, whatever ended it, or did not yet.
    Against,
}

/// The bounded, redacted output of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttemptOutput {
    /// What is kept.
    pub bytes: Vec<u8>,
    /// How many bytes were left out of the middle.
    pub left_out: u64,
}

/// How far the consequences of a line have come.
#[derive(Debug, Clone)]
pub struct CauseStatus {
    /// What became of the line.
    pub outcome: String,
    /// The runs that it made or moved, oldest first.
    pub runs: Vec<CausedRun>,
    /// Whether every event and message that it led to has been told in the room.
    pub told: bool,
}

/// A run that a line made or moved.
#[derive(Debug, Clone)]
pub struct CausedRun {
    /// Its number.
    pub id: RunId,
    /// Where it stands.
    pub state: RunState,
    /// The thread in which it is talked about, once known.
    pub thread: Option<ThreadId>,
    /// The code of its newest request.
    pub request: Option<Code>,
    /// Whether that request waits.
    pub request_waits: bool,
}

fn digest(row: impl Into<String>, column: &'static str, bytes: &[u8]) -> Result<Digest, Inconsistent> {
    Digest::from_slice(bytes).ok_or_else(|| Inconsistent::at(row, column))
}

fn account(row: impl Into<String>, text: &str) -> Result<Account, Inconsistent> {
    text.parse().map_err(|_| Inconsistent::at(row, "account"))
}

fn room(row: impl Into<String>, text: &str) -> Result<RoomAddress, Inconsistent> {
    text.parse().map_err(|_| Inconsistent::at(row, "room"))
}

struct RunRow {
    id: i64,
    version: i64,
    state: String,
    state_by: Option<String>,
    state_step: Option<i32>,
    state_why: Option<String>,
    runbook: String,
    system: String,
    environment: String,
    plan: Vec<u8>,
    bytes: Vec<u8>,
    room: String,
    thread: Option<String>,
    requester: String,
    handed_to: Option<String>,
    requester_account: String,
    cause: Option<i64>,
    trigger: Option<String>,
    incident: Option<i64>,
    created_at: DateTime<Utc>,
    fence: i64,
    trace: Option<String>,
}

impl TryFrom<RunRow> for Run {
    type Error = Inconsistent;
    fn try_from(row: RunRow) -> Result<Self, Inconsistent> {
        let name = || format!("run {}", row.id);
        Ok(Self {
            id: RunId(row.id),
            version: row.version,
            state: rows::run_state(row.id, &row.state, row.state_by, row.state_step, row.state_why)?,
            runbook: RunbookName::new(row.runbook),
            system: SystemName::new(row.system),
            environment: row.environment,
            digest: digest(name(), "plan", &row.plan)?,
            plan: row.bytes,
            room: room(name(), &row.room)?,
            thread: row.thread.map(ThreadId::new),
            requester: PersonId::new(row.requester),
            handed_to: row.handed_to.map(PersonId::new),
            requester_account: account(name(), &row.requester_account)?,
            cause: row.cause.map(InboxId),
            trigger: row.trigger.map(TriggerName::new),
            incident: row.incident.map(IncidentId),
            created_at: row.created_at,
            fence: row.fence,
            trace: row.trace.map(|trace| trace.parse().map_err(|_| Inconsistent::at(name(), "trace"))).transpose()?,
        })
    }
}

pub(super) async fn runs_by_id(executor: impl PgExecutor<'_>, ids: &[i64]) -> Result<Vec<Run>> {
    let rows = sqlx::query_as!(
        RunRow,
        r#"
        select run.id, version, state, state_by, state_step, state_why, runbook, system, environment, plan, plan.bytes,
            room, thread, requester, handed_to, requester_account, cause, trigger, incident, created_at, fence, trace
        from run join plan on plan.digest = run.plan
        where run.id = any($1) order by run.id
        "#,
        ids
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Run::try_from).collect::<Result<_, _>>()?)
}

struct RequestRow {
    id: i64,
    version: i64,
    code: String,
    run: i64,
    retry_step: Option<i32>,
    wanted: Option<String>,
    wanted_by: Option<String>,
    wanted_why: Option<String>,
    digest: Vec<u8>,
    requesters: Vec<String>,
    needs: Vec<String>,
    state: String,
    stage: i32,
    state_by: Option<String>,
    state_why: Option<String>,
    room: String,
    thread: Option<String>,
    asked_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    posted_at: Option<DateTime<Utc>>,
    differs: Option<Vec<u8>>,
    superseded_by: Option<i64>,
    knows_asked: bool,
    stage_since: Option<DateTime<Utc>>,
    wake_from: Option<DateTime<Utc>>,
    woken: i32,
    looking_by: Option<String>,
    looking_until: Option<DateTime<Utc>>,
}

impl TryFrom<RequestRow> for Request {
    type Error = Inconsistent;
    fn try_from(row: RequestRow) -> Result<Self, Inconsistent> {
        let name = || format!("request {}", row.id);
        let wish = match (row.wanted.as_deref(), row.wanted_by, row.wanted_why) {
            (None, None, None) => None,
            (Some(what), Some(by), Some(why)) => {
                let what = Freeing::from_name(what).ok_or_else(|| Inconsistent::at(name(), "wanted"))?;
                Some(Wish { what, by: PersonId::new(by), why })
            }
            _ => return Err(Inconsistent::at(name(), "wanted")),
        };
        let step = row.retry_step.map(u32::try_from).transpose().map_err(|_| Inconsistent::at(name(), "retry_step"))?;
        let wanted = Wanted::of(step, wish).ok_or_else(|| Inconsistent::at(name(), "wanted"))?;
        Ok(Self {
            id: RequestId(row.id),
            version: row.version,
            code: Code::parse(&row.code).ok_or_else(|| Inconsistent::at(name(), "code"))?,
            run: RunId(row.run),
            wanted,
            digest: digest(name(), "digest", &row.digest)?,
            requesters: row.requesters.into_iter().map(PersonId::new).collect(),
            needs: row.needs.into_iter().map(PersonId::new).collect(),
            state: rows::request_state(row.id, &row.state, row.stage, row.state_by, row.state_why, row.superseded_by)?,
            room: room(name(), &row.room)?,
            thread: row.thread.map(ThreadId::new),
            asked_at: row.asked_at,
            expires_at: row.expires_at,
            posted_at: row.posted_at,
            differs: row.differs.map(|bytes| digest(name(), "differs", &bytes)).transpose()?,
            knows_asked: row.knows_asked,
            stage_since: row.stage_since.unwrap_or(row.asked_at),
            wake_from: row.wake_from.or(row.stage_since).unwrap_or(row.asked_at),
            woken: u32::try_from(row.woken).map_err(|_| Inconsistent::at(name(), "woken"))?,
            looking: row.looking_by.map(PersonId::new).zip(row.looking_until),
        })
    }
}

pub(super) async fn requests_by_id(executor: impl PgExecutor<'_>, ids: &[i64]) -> Result<Vec<Request>> {
    let rows = sqlx::query_as!(
        RequestRow,
        r#"
        select id, version, code, run, retry_step, wanted, wanted_by, wanted_why, digest, requesters, needs, state, stage, state_by, state_why,
            room, thread, asked_at, expires_at, posted_at, differs, superseded_by, knows_asked, stage_since, wake_from, woken,
            looking_by, looking_until
        from request where id = any($1) order by id
        "#,
        ids
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(Request::try_from).collect::<Result<_, _>>()?)
}

/// The attempts of a run, in the order of steps and tries.
async fn attempts_of(executor: impl PgExecutor<'_>, run: RunId) -> Result<Vec<Attempt>> {
    let rows = sqlx::query!(
        r#"
        select step, number, version, state, fence, started_at, a.ended_at, summary, judged_by, judged_worked,
            a.machine, a.boot, a.pid, a.pid_started,
            w.machine as worker_machine, w.boot as worker_boot, w.pid as worker_pid, w.pid_started as worker_started
        from attempt a join worker w on w.id = a.worker where run = $1 order by step, number
        "#,
        run.0
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let wrong = |column| Inconsistent::at(format!("attempt of run {run}"), column);
            let key = AttemptKey {
                run,
                step: u32::try_from(row.step).map_err(|_| wrong("step"))?,
                number: u32::try_from(row.number).map_err(|_| wrong("number"))?,
            };
            let process = match (row.machine, row.boot, row.pid, row.pid_started) {
                (Some(machine), Some(boot), Some(pid), Some(started)) => Some(ProcessIdentity {
                    machine,
                    boot,
                    pid: u32::try_from(pid).map_err(|_| wrong("pid"))?,
                    started: u64::try_from(started).map_err(|_| wrong("pid_started"))?,
                }),
                _ => None,
            };
            let worker = ProcessIdentity {
                machine: row.worker_machine,
                boot: row.worker_boot,
                pid: u32::try_from(row.worker_pid).map_err(|_| wrong("worker"))?,
                started: u64::try_from(row.worker_started).map_err(|_| wrong("worker"))?,
            };
            Ok(Attempt {
                worker: Some(worker),
                key,
                version: row.version,
                state: rows::attempt_state(key, &row.state, row.judged_by, row.judged_worked)?,
                fence: row.fence,
                started_at: row.started_at,
                ended_at: row.ended_at,
                summary: row.summary,
                process,
            })
        })
        .collect()
}

/// Who was asked of requests, in the order asked, each with its request.
pub(super) async fn asked_of(executor: impl PgExecutor<'_>, requests: &[i64]) -> Result<Vec<(i64, Asked)>> {
    let rows = sqlx::query!(
        "select request, stage, person, because from asked where request = any($1) order by stage, at, person, because",
        requests
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter()
        .map(|row| {
            let wrong = |column| Inconsistent::at(format!("who was asked of request {}", row.request), column);
            let asked = Asked {
                person: PersonId::new(row.person),
                stage: u32::try_from(row.stage).map_err(|_| wrong("stage"))?,
                because: row.because.parse().map_err(|_| wrong("because"))?,
            };
            Ok((row.request, asked))
        })
        .collect()
}

/// The delegations to and from anybody that hold at a moment.
pub(super) async fn delegations(executor: impl PgExecutor<'_>, now: DateTime<Utc>) -> Result<Vec<Delegation>> {
    let rows = sqlx::query!(
        r#"
        select giver, receiver, since, until from delegation
        where ended_at is null and since <= $1 and until > $1 order by id
        "#,
        now,
    )
    .fetch_all(executor)
    .await?;
    let delegations = rows.into_iter().map(|row| Delegation {
        giver: PersonId::new(row.giver),
        receiver: PersonId::new(row.receiver),
        since: row.since,
        until: row.until,
    });
    Ok(delegations.collect())
}

/// The decisions of requests that stand, in the order given, each with its request.
pub(super) async fn standing(executor: impl PgExecutor<'_>, requests: &[i64]) -> Result<Vec<(i64, StoredDecision)>> {
    let rows = sqlx::query_as!(
        DecisionRow,
        r#"
        select request, stage, person, account, verdict, on_behalf_of, proof, credential, reason, at, line, taken_back_at
        from decision where request = any($1) and taken_back_at is null order by at, person
        "#,
        requests
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|row| Ok((row.request, row.stored()?))).collect()
}

/// By what an answer is known, as its columns say.
pub(super) fn stored_proof(proof: &str, credential: Option<String>) -> Option<Proof> {
    match (proof, credential) {
        ("chat", None) => Some(Proof::Chat),
        ("passkey", Some(credential)) => Some(Proof::Passkey { credential }),
        _ => None,
    }
}

/// A row of `decision`.
pub(super) struct DecisionRow {
    pub(super) request: i64,
    pub(super) stage: i32,
    pub(super) person: String,
    pub(super) account: String,
    pub(super) verdict: String,
    pub(super) on_behalf_of: Option<String>,
    pub(super) proof: String,
    pub(super) credential: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) at: DateTime<Utc>,
    pub(super) line: i64,
    pub(super) taken_back_at: Option<DateTime<Utc>>,
}

impl DecisionRow {
    pub(super) fn stored(self) -> Result<StoredDecision, Inconsistent> {
        let name = || format!("decision of request {}", self.request);
        let proof = stored_proof(&self.proof, self.credential).ok_or_else(|| Inconsistent::at(name(), "proof"))?;
        Ok(StoredDecision {
            decision: Decision {
                person: PersonId::new(self.person),
                stage: u32::try_from(self.stage).map_err(|_| Inconsistent::at(name(), "stage"))?,
                answer: Answer::from_name(&self.verdict).ok_or_else(|| Inconsistent::at(name(), "verdict"))?,
                on_behalf_of: self.on_behalf_of.map(PersonId::new),
                proof,
            },
            account: account(name(), &self.account)?,
            at: self.at,
            line: InboxId(self.line),
            reason: self.reason,
            taken_back_at: self.taken_back_at,
        })
    }
}

/// What stands beside a grant as its signature. Columns that no signature has are such as nobody signed.
fn signature(
    key: Option<Vec<u8>>,
    statement: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
    (known, retired_at): (bool, Option<DateTime<Utc>>),
) -> Option<StoredSignature> {
    let key = PublicKey::from_slice(&key?)?;
    let statement = String::from_utf8(statement?).ok()?;
    let signature = Signature::from_slice(&signature?)?;
    let known = if known { KeyKnown::Yes { retired_at } } else { KeyKnown::No };
    Some(StoredSignature { signed: Signed { key, statement, signature }, known, start_by: None })
}

/// The grant rows of runs with all that a Grant is derived from. Locks the grant rows if asked to.
pub(super) async fn lock_grants(connection: &mut PgConnection, runs: &[i64]) -> Result<Vec<StoredGrant>> {
    // First the lock, in the order of ids; then, in a later statement with a later snapshot, what stands beside the rows.
    let locked = sqlx::query!(
        r#"
        select g.id, g.version, g.run, g.request, g.digest, g.state, g.granted_at, g.expires_at, g.start_by,
            exists (select from attempt a where a.run = g.run and a.started_at >= g.granted_at
                and (g.start_by is null or a.started_at < g.start_by)) as "begun!",
            r.requesters, r.needs, r.retry_step, r.wanted,
            run.trigger, p.bytes, g.signed_by, g.statement, g.signature,
            (k.public is not null) as "key_known!", k.retired_at as "key_retired_at?",
            v.by as "broken_by?", v.proof as "broken_proof?", v.credential as "broken_credential?",
            v.reason as "broken_reason?", v.line as "broken_line?",
            g.under, g.under_number, g.unasked, u.digest as "under_digest?", u.requesters as "under_requesters?"
        from run_grant g join request r on r.id = g.request join run on run.id = g.run join plan p on p.digest = run.plan
            left join signing_key k on k.public = g.signed_by
            left join review v on v.request = g.request left join request u on u.id = g.under
        where g.run = any($1) and g.state = 'granted' order by g.id for update of g
        "#,
        runs
    )
    .fetch_all(&mut *connection)
    .await?;
    // What covers several runs was decided once.
    let requests: Vec<i64> = locked.iter().map(|grant| grant.under.unwrap_or(grant.request)).collect();
    let mut by_request: std::collections::BTreeMap<i64, Vec<StoredDecision>> = std::collections::BTreeMap::new();
    for (request, stored) in standing(connection, &requests).await? {
        by_request.entry(request).or_default().push(stored);
    }
    locked
        .into_iter()
        .map(|row| {
            let name = || format!("grant {}", row.id);
            let broken = match (row.broken_by, row.broken_proof, row.broken_reason, row.broken_line) {
                (Some(by), Some(proof), Some(reason), Some(line)) => {
                    let proof =
                        stored_proof(&proof, row.broken_credential).ok_or_else(|| Inconsistent::at(name(), "proof"))?;
                    Some(StoredBreak { person: PersonId::new(by), proof, line: InboxId(line), reason })
                }
                _ => None,
            };
            let mut requesters: Vec<PersonId> = row.requesters.into_iter().map(PersonId::new).collect();
            let under = match (row.under, row.under_number, row.under_digest) {
                (Some(under), Some(number), Some(bytes)) => {
                    let others = row.under_requesters.unwrap_or_default().into_iter().map(PersonId::new);
                    requesters.extend(others);
                    requesters.dedup();
                    let number = u32::try_from(number).map_err(|_| Inconsistent::at(name(), "under_number"))?;
                    Some(StoredUnder { request: RequestId(under), digest: digest(name(), "under", &bytes)?, number })
                }
                _ => None,
            };
            let decided = row.under.unwrap_or(row.request);
            let step = row.retry_step.map(u32::try_from).transpose();
            let step = step.map_err(|_| Inconsistent::at(name(), "retry_step"))?;
            let free = match row.wanted.as_deref() {
                Some(wanted) => Some(Freeing::from_name(wanted).ok_or_else(|| Inconsistent::at(name(), "wanted"))?),
                None => None,
            };
            let stuck = match (step, free) {
                (Some(step), free) => Some(Stuck { step, free }),
                (None, None) => None,
                (None, Some(_)) => return Err(Inconsistent::at(name(), "wanted").into()),
            };
            Ok(StoredGrant {
                broken,
                unasked: row.unasked,
                under,
                id: GrantId(row.id),
                version: row.version,
                run: RunId(row.run),
                request: RequestId(row.request),
                digest: digest(name(), "digest", &row.digest)?,
                state: GrantState::from_name(&row.state).ok_or_else(|| Inconsistent::at(name(), "state"))?,
                granted_at: row.granted_at,
                expires_at: row.expires_at,
                signature: signature(row.signed_by, row.statement, row.signature, (row.key_known, row.key_retired_at))
                    .map(|signature| StoredSignature { start_by: row.start_by, ..signature }),
                start_by: if row.begun { row.expires_at } else { row.start_by.unwrap_or(row.expires_at) },
                requesters,
                needs: row.needs.into_iter().map(PersonId::new).collect(),
                stuck,
                trigger: row.trigger.map(TriggerName::new),
                plan: row.bytes,
                decisions: by_request.get(&decided).cloned().unwrap_or_default(),
            })
        })
        .collect()
}

impl Store {
    /// A run by its number.
    ///
    /// # Errors
    /// When the database cannot be asked, or the row contradicts the model.
    pub async fn find_run(&self, id: RunId) -> Result<Option<Run>> {
        Ok(runs_by_id(&self.pool, &[id.0]).await?.pop())
    }

    /// The attempts of a run, in the order of steps and tries.
    ///
    /// # Errors
    /// As [`Store::find_run`].
    pub async fn list_attempts(&self, run: RunId) -> Result<Vec<Attempt>> {
        attempts_of(&self.pool, run).await
    }

    /// The kept output of an attempt.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn find_output(&self, key: AttemptKey) -> Result<Option<Vec<u8>>> {
        let bytes = sqlx::query_scalar!(
            "select bytes from attempt_output where run = $1 and step = $2 and number = $3",
            key.run.0,
            i32::try_from(key.step).unwrap_or(i32::MAX),
            i32::try_from(key.number).unwrap_or(i32::MAX),
        )
        .fetch_optional(&self.pool)
        .await?;
        Ok(bytes)
    }

    /// A request by its number.
    ///
    /// # Errors
    /// As [`Store::find_run`].
    pub async fn find_request(&self, id: RequestId) -> Result<Option<Request>> {
        Ok(requests_by_id(&self.pool, &[id.0]).await?.pop())
    }

    /// Every request that waits, oldest first.
    ///
    /// # Errors
    /// As [`Store::find_run`].
    pub async fn list_pending_requests(&self) -> Result<Vec<Request>> {
        let ids = sqlx::query_scalar!("select id from request where state = 'pending' order by id")
            .fetch_all(&self.pool)
            .await?;
        requests_by_id(&self.pool, &ids).await
    }

    /// The plans for which requests wait, each with what their threads were told that it would be now, if anything.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn list_waiting_plans(&self) -> Result<Vec<(Digest, Option<Digest>)>> {
        let rows = sqlx::query!("select distinct digest, differs from request where state = 'pending'")
            .fetch_all(&self.pool)
            .await?;
        let name = || "a request that waits".to_owned();
        rows.into_iter()
            .map(|row| {
                let differs = row.differs.map(|differs| digest(name(), "differs", &differs)).transpose()?;
                Ok((digest(name(), "digest", &row.digest)?, differs))
            })
            .collect()
    }

    /// The requests that wait for a plan and whose threads were told the same of it, after a number, oldest first.
    ///
    /// # Errors
    /// As [`Store::find_run`].
    pub async fn list_waiting_for(
        &self,
        plan: Digest,
        told: Option<Digest>,
        after: RequestId,
        limit: i64,
    ) -> Result<Vec<Request>> {
        let ids = sqlx::query_scalar!(
            r#"
            select id from request
            where state = 'pending' and digest = $1 and differs is not distinct from $2 and id > $3
            order by id limit $4
            "#,
            &plan.0[..],
            told.as_ref().map(|told| &told.0[..]),
            after.0,
            limit
        )
        .fetch_all(&self.pool)
        .await?;
        requests_by_id(&self.pool, &ids).await
    }

    /// The numbers of the requests that wait past their time, the longest past it first.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn list_expired_requests(&self) -> Result<Vec<RequestId>> {
        let ids = sqlx::query_scalar!(
            "select id from request where state = 'pending' and expires_at <= $1 order by expires_at, id",
            self.clock().now()
        )
        .fetch_all(&self.loops)
        .await?;
        Ok(ids.into_iter().map(RequestId).collect())
    }

    /// When the next request expires, if one waits.
    ///
    /// # Errors
    /// When the database cannot be asked.
    pub async fn next_expiry(&self) -> Result<Option<DateTime<Utc>>> {
        // Not `min`, which on a small table may be planned as a walk over all that wait, and stay so.
        let next = sqlx::query_scalar!(
            "select expires_at from request where state = 'pending' order by expires_at, id limit 1"
        );
        Ok(next.fetch_optional(&self.loops).await?)
    }

    /// How far the consequences of a line have come: one query, asked again and again by whoever waits.
    ///
    /// # Errors
    /// When the database cannot be asked, or a row contradicts the model.
    pub async fn cause_status(&self, line: InboxId) -> Result<Option<CauseStatus>> {
        let head = sqlx::query!(
            r#"
            select i.outcome,
                not exists (select from outbox o where o.cause = i.id and o.sent_at is null and o.failed is null)
                and not exists (select from event e join unsequenced u on u.event = e.id where e.cause = i.id)
                and coalesce((select max(c.position) from event e join chain c on c.event = e.id where e.cause = i.id), 0)
                    <= coalesce((select position from sink where name = 'room'), 0) as "told!"
            from inbox i where i.id = $1
            "#,
            line.0
        )
        .fetch_optional(&self.pool)
        .await?;
        let Some(head) = head else { return Ok(None) };
        let runs = sqlx::query!(
            r#"
            select r.id, r.state, r.state_by, r.state_step, r.state_why,
                coalesce(r.thread, (select platform_message from posted p
                    where p.subject = 'run:' || r.id and p.role = 'root')) as thread,
                (select code from request q where q.run = r.id order by q.id desc limit 1) as "code?",
                exists (select from request q where q.run = r.id and q.state = 'pending') as "request_waits!"
            from line_run l join run r on r.id = l.run where l.line = $1 order by r.id
            "#,
            line.0
        )
        .fetch_all(&self.pool)
        .await?;
        let runs = runs
            .into_iter()
            .map(|row| {
                Ok(CausedRun {
                    id: RunId(row.id),
                    state: rows::run_state(row.id, &row.state, row.state_by, row.state_step, row.state_why)?,
                    thread: row.thread.map(ThreadId::new),
                    request: row.code.and_then(|code| Code::parse(&code)),
                    request_waits: row.request_waits,
                })
            })
            .collect::<Result<_, Inconsistent>>()?;
        Ok(Some(CauseStatus { outcome: head.outcome, runs, told: head.told }))
    }
}

impl Tx {
    /// Stores a plan's bytes under their digest. The same plan twice is one row.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_plan(&mut self, plan: &Sealed) -> Result<()> {
        sqlx::query!(
            "insert into plan (digest, bytes) values ($1, $2) on conflict (digest) do nothing",
            &plan.digest().0,
            plan.bytes()
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Inserts a run; its plan must be there. Its version is 1. It is part of the transaction's trace ([`Tx::set_trace`]).
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_run(&mut self, run: NewRun<'_>) -> Result<RunId> {
        let trace = self.trace()?;
        let id = sqlx::query_scalar!(
            r#"
            insert into run (state, runbook, system, environment, plan, room, thread, requester, requester_account,
                cause, trigger, incident, created_at, updated_at, trace, not_before)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $12, $13, $11, $11, $14, $15) returning id
            "#,
            run.state.name(),
            run.runbook.as_str(),
            run.system.as_str(),
            run.environment,
            &run.plan.digest().0,
            run.room.to_string(),
            run.thread.map(ThreadId::as_str),
            run.requester.as_str(),
            run.account.to_string(),
            run.cause.map(|cause| cause.0),
            self.now(),
            run.trigger.map(TriggerName::as_str),
            run.incident.map(|incident| incident.0),
            trace.to_string(),
            run.not_before,
        )
        .fetch_one(&mut *self.inner)
        .await?;
        self.wakes_runs = true;
        if let Some(cause) = run.cause {
            self.insert_line_run(cause, RunId(id)).await?;
        }
        Ok(RunId(id))
    }

    /// Inserts a request; its version is 1. `None`: another request that waits has this code; take another.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_request(&mut self, request: NewRequest<'_>) -> Result<Option<RequestId>> {
        self.wakes_requests = true;
        let requesters: Vec<String> = request.requesters.iter().map(ToString::to_string).collect();
        let needs: Vec<String> = request.needs.iter().map(ToString::to_string).collect();
        let id = sqlx::query_scalar!(
            r#"
            insert into request (code, run, retry_step, digest, requesters, state, room, thread, asked_at, expires_at,
                stage_since, knows_asked, wanted, wanted_by, wanted_why, needs)
            values ($1, $2, $3, $4, $5, 'pending', $6, $7, $8, $9, $8, true, $10, $11, $12, $13)
            on conflict (code) where state = 'pending' do nothing
            returning id
            "#,
            request.code.to_string(),
            request.run.0,
            request.wanted.step().and_then(|step| i32::try_from(step).ok()),
            &request.digest.0,
            &requesters,
            request.room.to_string(),
            request.thread.map(ThreadId::as_str),
            self.now(),
            request.expires_at,
            request.wanted.wish().map(|wish| wish.what.name()),
            request.wanted.wish().map(|wish| wish.by.as_str()),
            request.wanted.wish().map(|wish| wish.why.as_str()),
            &needs,
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(id.map(RequestId))
    }

    /// A run, as this transaction sees it. Inside a transaction nothing else is asked: a second connection of the same
    /// turn is one that another turn waits for.
    ///
    /// # Errors
    /// As [`Store::find_run`].
    pub async fn find_run(&mut self, id: RunId) -> Result<Option<Run>> {
        Ok(runs_by_id(&mut *self.inner, &[id.0]).await?.pop())
    }

    /// Requests that wait in a room, oldest first; with a thread only those of that thread.
    ///
    /// # Errors
    /// When the database refuses, or a row contradicts the model.
    pub async fn list_pending_in(&mut self, room: &RoomAddress, thread: Option<&ThreadId>) -> Result<Vec<Request>> {
        let ids = sqlx::query_scalar!(
            "select id from request where state = 'pending' and room = $1 and ($2::text is null or thread = $2) order by id",
            room.to_string(),
            thread.map(ThreadId::as_str),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        requests_by_id(&mut *self.inner, &ids).await
    }

    /// The messages that show a request in a room, by the platform's names of them; those that were sent.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn list_messages_showing(&mut self, request: &Request, room: &RoomAddress) -> Result<Vec<MessageId>> {
        let names = sqlx::query_scalar!(
            r#"
            select platform_message as "name!" from outbox
            where room = $1 and platform_message is not null and not edits
                and ((subject = 'request:' || $2::bigint and role in ('request', 'direct'))
                    or ($4 and subject = 'run:' || $3::bigint and role = 'root'))
            "#,
            room.to_string(),
            request.id.0,
            request.run.0,
            request.wanted == Wanted::Start,
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(names.into_iter().map(MessageId::new).collect())
    }

    /// The requests that were shown in somebody's direct messages and wait, oldest first, and whether all of each is confirmed
    /// to stand there; with a thread those of that thread alone, also what waits no more.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn list_shown_directly(
        &mut self,
        room: &RoomAddress,
        thread: Option<&ThreadId>,
    ) -> Result<Vec<(Request, Whole)>> {
        let rows = sqlx::query!(
            r#"
            select q.id as "id!", bool_and(o.sent_at is not null) as "whole!"
            from outbox o join request q on o.subject = 'request:' || q.id
            where o.room = $1 and o.role = 'direct' and not o.edits and (q.state = 'pending' or $2::text is not null)
            group by q.id having $2::text is null or coalesce(bool_or(o.platform_message = $2), false)
            order by q.id
            "#,
            room.to_string(),
            thread.map(ThreadId::as_str),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let requests = requests_by_id(&mut *self.inner, &ids).await?;
        let whole = rows.into_iter().map(|row| if row.whole { Whole::Yes } else { Whole::No });
        Ok(requests.into_iter().zip(whole).collect())
    }

    /// The requests that somebody asked for and that wait, oldest first.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn list_pending_of(&mut self, person: &PersonId) -> Result<Vec<Request>> {
        let ids = sqlx::query_scalar!(
            "select id from request where state = 'pending' and $1 = any(requesters) order by id",
            person.as_str(),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        requests_by_id(&mut *self.inner, &ids).await
    }

    /// Requests to start a runbook of a system that somebody made in a room, not a trigger, and that wait or were made since
    /// a moment; oldest first.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn list_requests_like(
        &mut self,
        room: &RoomAddress,
        person: &PersonId,
        runbook: &RunbookName,
        system: &SystemName,
        since: DateTime<Utc>,
    ) -> Result<Vec<Request>> {
        let ids = sqlx::query_scalar!(
            r#"
            select q.id from request q join run r on r.id = q.run
            where r.system = $4 and r.runbook = $3 and r.trigger is null and r.room = $1 and r.requester = $2
                and q.room = $1 and q.retry_step is null and (q.state = 'pending' or q.asked_at >= $5)
            order by q.id
            "#,
            room.to_string(),
            person.as_str(),
            runbook.as_str(),
            system.as_str(),
            since,
        )
        .fetch_all(&mut *self.inner)
        .await?;
        requests_by_id(&mut *self.inner, &ids).await
    }

    /// The requests to start a runbook of a system that people agreed to or spoke against since a moment, in whatever room; the
    /// newest answer first. Where the glass was broken, and whose approval was taken away before anything began, nobody agreed in
    /// the end; who said no has spoken against it, whatever ended the request.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn list_decided_since(
        &mut self,
        runbook: &RunbookName,
        system: &SystemName,
        since: DateTime<Utc>,
    ) -> Result<Vec<Decided>> {
        let rows = sqlx::query!(
            r#"
            select q.id, d.at as "at!", d.against as "against!", a.agreed as "agreed!"
            from request q join run r on r.id = q.run
                join lateral (select max(at) as at, bool_or(verdict = 'deny') as against
                    from decision where request = q.id and taken_back_at is null) d on true
                join lateral (select q.state = 'granted' and not exists (select from review v where v.request = q.id)
                    and exists (select from run_grant g where g.run = q.run and g.request = q.id and (g.state <> 'revoked' or exists (
                        select from attempt a where a.run = g.run and a.started_at >= g.granted_at))) as agreed) a on true
            where r.runbook = $1 and r.created_at >= $4 and r.system = $2 and q.retry_step is null and d.at >= $3
                and (q.state = 'denied' or d.against or a.agreed)
            order by d.at desc, q.id desc
            "#,
            runbook.as_str(),
            system.as_str(),
            since,
            // Nothing waits longer than a week.
            since - TimeDelta::days(8),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let requests = requests_by_id(&mut *self.inner, &ids).await?;
        let found = rows.into_iter().filter_map(|row| {
            let request = requests.iter().find(|request| request.id.0 == row.id)?.clone();
            let word = if row.agreed { LastWord::Agreed } else { LastWord::Against };
            Some(Decided { request, word, at: row.at })
        });
        Ok(found.collect())
    }

    /// The last of the ended requests about a step of a run that people agreed to or spoke against since a moment.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn find_last_decided_of_step(
        &mut self,
        run: RunId,
        step: u32,
        since: DateTime<Utc>,
    ) -> Result<Option<Decided>> {
        let row = sqlx::query!(
            r#"
            select q.id, d.at as "at!"
            from request q
                join lateral (select max(at) as at, bool_or(verdict = 'deny') as against
                    from decision where request = q.id and taken_back_at is null) d on true
            where q.run = $1 and q.retry_step = $2 and q.state <> 'pending' and d.at >= $3
                and (q.state in ('granted', 'denied') or d.against)
            order by d.at desc, q.id desc limit 1
            "#,
            run.0,
            i32::try_from(step).unwrap_or(i32::MAX),
            since,
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let request = requests_by_id(&mut *self.inner, &[row.id]).await?.pop();
        Ok(request.map(|request| {
            let word = if request.state == RequestState::Granted { LastWord::Agreed } else { LastWord::Against };
            Decided { request, word, at: row.at }
        }))
    }

    /// The newest request with a code, waiting or not.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn find_request_by_code(&mut self, code: &Code) -> Result<Option<Request>> {
        let id = sqlx::query_scalar!(
            "select id from request where code = $1 order by (state = 'pending') desc, id desc limit 1",
            code.to_string()
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(id) = id else { return Ok(None) };
        Ok(requests_by_id(&mut *self.inner, &[id]).await?.pop())
    }

    /// The newest request of a thread, or of a room when no thread is given, waiting or not; of one person's if one is named.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn find_newest_request(
        &mut self,
        room: &RoomAddress,
        thread: Option<&ThreadId>,
        of: Option<&PersonId>,
    ) -> Result<Option<Request>> {
        let id = sqlx::query_scalar!(
            r#"
            select id from request
            where room = $1 and ($2::text is null or thread = $2) and ($3::text is null or $3 = any(requesters))
            order by id desc limit 1
            "#,
            room.to_string(),
            thread.map(ThreadId::as_str),
            of.map(PersonId::as_str),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(id) = id else { return Ok(None) };
        Ok(requests_by_id(&mut *self.inner, &[id]).await?.pop())
    }

    /// A request, as this transaction sees it.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn find_request(&mut self, id: RequestId) -> Result<Option<Request>> {
        Ok(requests_by_id(&mut *self.inner, &[id.0]).await?.pop())
    }

    /// Everybody who asked for a run or ever took it over, in that order: none of them agrees to more of it alone (I3, I7).
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn list_holders(&mut self, run: &Run) -> Result<Vec<PersonId>> {
        let takers = sqlx::query_scalar!(
            r#"select taken_by as "by!" from handover where state = 'taken' and $1 = any(runs) order by id"#,
            run.id.0
        )
        .fetch_all(&mut *self.inner)
        .await?;
        let mut holders = vec![run.requester.clone()];
        for person in takers.into_iter().map(PersonId::new).chain(run.handed_to.clone()) {
            if !holders.contains(&person) {
                holders.push(person);
            }
        }
        Ok(holders)
    }

    /// Whether somebody has handed a request that waits, or its run, to another and has not got it back.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn has_handed_over(&mut self, request: &Request, person: &PersonId) -> Result<bool> {
        let gave = sqlx::query_scalar!(
            r#"
            select giver = $3 as "gave!" from handover
            where state = 'taken' and ($1 = any(requests) or $2 = any(runs)) and (giver = $3 or taken_by = $3)
            order by ended_at desc, id desc limit 1
            "#,
            request.id.0,
            request.run.0,
            person.as_str(),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(gave.unwrap_or(false))
    }

    /// Locks a request and reads it: a decision locks its request before it counts.
    ///
    /// # Errors
    /// When the database refuses, there is no such request, or the row contradicts the model.
    pub async fn lock_request(&mut self, id: RequestId) -> Result<Request> {
        sqlx::query!("select id from request where id = $1 for update", id.0).fetch_one(&mut *self.inner).await?;
        let found = requests_by_id(&mut *self.inner, &[id.0]).await?.pop();
        found.ok_or_else(|| StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// Locks a run and reads it.
    ///
    /// # Errors
    /// As [`Tx::lock_request`].
    pub async fn lock_run(&mut self, id: RunId) -> Result<Run> {
        sqlx::query!("select id from run where id = $1 for update", id.0).fetch_one(&mut *self.inner).await?;
        let found = runs_by_id(&mut *self.inner, &[id.0]).await?.pop();
        found.ok_or_else(|| StoreError::Database(sqlx::Error::RowNotFound))
    }

    /// The attempts of a run.
    ///
    /// # Errors
    /// When the database refuses, or a row contradicts the model.
    pub async fn list_attempts(&mut self, run: RunId) -> Result<Vec<Attempt>> {
        attempts_of(&mut *self.inner, run).await
    }

    /// Locks and reads the grants of runs that are in force, with all that a Grant is derived from.
    ///
    /// # Errors
    /// As [`Tx::list_attempts`].
    pub async fn lock_grants(&mut self, runs: &[RunId]) -> Result<Vec<StoredGrant>> {
        let ids: Vec<i64> = runs.iter().map(|run| run.0).collect();
        lock_grants(&mut self.inner, &ids).await
    }

    /// Runs of a room that are not over, oldest first; with a thread only those talked about there.
    ///
    /// # Errors
    /// As [`Tx::list_attempts`].
    pub async fn list_open_runs(&mut self, room: &RoomAddress, thread: Option<&ThreadId>) -> Result<Vec<Run>> {
        let ids = sqlx::query_scalar!(
            r#"
            select r.id from run r
            where r.room = $1
                and r.state in ('planned', 'awaiting_approval', 'approved', 'running', 'stuck', 'stopping')
                and ($2::text is null or r.thread = $2 or exists (
                    select from posted p
                    where p.subject = 'run:' || r.id and p.role = 'root' and p.platform_message = $2))
            order by r.id
            "#,
            room.to_string(),
            thread.map(ThreadId::as_str),
        )
        .fetch_all(&mut *self.inner)
        .await?;
        runs_by_id(&mut *self.inner, &ids).await
    }

    /// The thread that hangs on a run's root message, once that was sent.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn find_root(&mut self, run: RunId) -> Result<Option<ThreadId>> {
        let root = sqlx::query_scalar!(
            "select platform_message from posted where subject = $1 and role = 'root'",
            rows::subject(run)
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        Ok(root.map(ThreadId::new))
    }

    /// The run that does exactly this and is not over, if there is one.
    ///
    /// # Errors
    /// As [`Tx::list_attempts`].
    pub async fn find_open_run_of_plan(&mut self, digest: Digest, room: &RoomAddress) -> Result<Option<Run>> {
        let id = sqlx::query_scalar!(
            r#"
            select id from run where plan = $1 and room = $2
                and state in ('planned', 'awaiting_approval', 'approved', 'running', 'stuck', 'stopping')
            order by id desc limit 1
            "#,
            &digest.0,
            room.to_string(),
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(id) = id else { return Ok(None) };
        Ok(runs_by_id(&mut *self.inner, &[id]).await?.pop())
    }

    /// The newest request of a run that waits.
    ///
    /// # Errors
    /// As [`Tx::list_pending_in`].
    pub async fn find_pending_of_run(&mut self, run: RunId) -> Result<Option<Request>> {
        let id = sqlx::query_scalar!(
            "select id from request where run = $1 and state = 'pending' order by id desc limit 1",
            run.0
        )
        .fetch_optional(&mut *self.inner)
        .await?;
        let Some(id) = id else { return Ok(None) };
        Ok(requests_by_id(&mut *self.inner, &[id]).await?.pop())
    }

    /// Holds back everybody else who is about to make a run of the same plan, until this transaction ends; not whoever gives a
    /// grant or a cover for it, whose rows only refer to the plan.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn lock_plan(&mut self, digest: Digest) -> Result<()> {
        sqlx::query!("select digest from plan where digest = $1 for no key update", &digest.0)
            .fetch_one(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// The decisions of a request that stand, in the order given.
    ///
    /// # Errors
    /// As [`Tx::list_attempts`].
    pub async fn list_decisions(&mut self, request: RequestId) -> Result<Vec<StoredDecision>> {
        Ok(standing(&mut *self.inner, &[request.0]).await?.into_iter().map(|(_, stored)| stored).collect())
    }

    /// Who was asked of a request, in the order asked.
    ///
    /// # Errors
    /// As [`Tx::list_attempts`].
    pub async fn list_asked(&mut self, request: RequestId) -> Result<Vec<Asked>> {
        Ok(asked_of(&mut *self.inner, &[request.0]).await?.into_iter().map(|(_, asked)| asked).collect())
    }

    /// Requests that wait in a stage of which some group could not be seen when it began, and the names of those groups.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn list_asking_unseen(&mut self) -> Result<Vec<(RequestId, Vec<GroupName>)>> {
        let rows = sqlx::query!(
            "select id, unseen from request where state = 'pending' and knows_asked and unseen <> '{}' order by id"
        )
        .fetch_all(&mut *self.inner)
        .await?;
        Ok(rows.into_iter().map(|row| (RequestId(row.id), group_names(row.unseen))).collect())
    }

    /// The groups of its stage that could not be seen when that began, and whose members have not been asked since.
    ///
    /// # Errors
    /// When the database refuses, or there is no such request.
    pub async fn unseen_of(&mut self, request: RequestId) -> Result<Vec<GroupName>> {
        let names = sqlx::query_scalar!("select unseen from request where id = $1", request.0)
            .fetch_one(&mut *self.inner)
            .await?;
        Ok(group_names(names))
    }

    /// Notes the groups of its stage that cannot be seen.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_unseen(&mut self, request: RequestId, unseen: &[GroupName]) -> Result<()> {
        let names: Vec<String> = unseen.iter().map(ToString::to_string).collect();
        sqlx::query!("update request set unseen = $2 where id = $1", request.0, &names)
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// Notes who is asked as well; whoever was asked for the same reason already is left as they were.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_asked(&mut self, request: RequestId, asked: &[Asked]) -> Result<()> {
        let stages: Vec<i32> = asked.iter().map(|one| i32::try_from(one.stage).unwrap_or(i32::MAX)).collect();
        let people: Vec<String> = asked.iter().map(|one| one.person.to_string()).collect();
        let because: Vec<String> = asked.iter().map(|one| one.because.to_string()).collect();
        sqlx::query!(
            r#"
            insert into asked (request, stage, person, because, at)
            select $1, a.stage, a.person, a.because, $5
            from unnest($2::int[], $3::text[], $4::text[]) as a(stage, person, because)
            on conflict do nothing
            "#,
            request.0,
            &stages,
            &people,
            &because,
            self.now(),
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// The delegations to and from anybody that hold now.
    ///
    /// # Errors
    /// As [`Tx::list_attempts`].
    pub async fn list_delegations(&mut self) -> Result<Vec<Delegation>> {
        let now = self.now();
        delegations(&mut *self.inner, now).await
    }

    /// Begins a stage of a request that waits: its time counts from now, nobody has been woken for it. `wake_at` is when it
    /// is looked at next for that; `None`: never.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn begin_stage(
        &mut self,
        request: RequestId,
        expires_at: DateTime<Utc>,
        wake_at: Option<DateTime<Utc>>,
    ) -> Result<()> {
        self.wakes_requests = true;
        sqlx::query!(
            r#"
            update request set stage_since = $2, expires_at = $3, wake_from = $2, wake_at = $4, woken = 0,
                looking_by = null, looking_until = null
            where id = $1
            "#,
            request.0,
            self.now(),
            expires_at,
            wake_at,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(())
    }

    /// Marks a person's decision as taken back, by a line of theirs if by one. `false`: it does not stand.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn take_decision_back(
        &mut self,
        request: RequestId,
        decision: &Decision,
        line: Option<InboxId>,
    ) -> Result<bool> {
        let done = sqlx::query!(
            r#"
            update decision set taken_back_at = $4, taken_back_line = $5
            where request = $1 and stage = $2 and person = $3 and taken_back_at is null
            "#,
            request.0,
            i32::try_from(decision.stage).unwrap_or(i32::MAX),
            decision.person.as_str(),
            self.now(),
            line.map(|line| line.0),
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Inserts a decision. `false`: this person has decided this stage already.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn insert_decision(
        &mut self,
        request: RequestId,
        decision: &Decision,
        by: &Account,
        reason: Option<&str>,
        line: InboxId,
    ) -> Result<bool> {
        let (proof, credential) = match &decision.proof {
            Proof::Chat => ("chat", None),
            Proof::Passkey { credential } => ("passkey", Some(credential.as_str())),
        };
        let done = sqlx::query!(
            r#"
            insert into decision (request, stage, person, account, verdict, reason, line, at, on_behalf_of, proof,
                credential)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
            on conflict (request, stage, person) where taken_back_at is null do nothing
            "#,
            request.0,
            i32::try_from(decision.stage).unwrap_or(i32::MAX),
            decision.person.as_str(),
            by.to_string(),
            decision.answer.name(),
            reason,
            line.0,
            self.now(),
            decision.on_behalf_of.as_ref().map(PersonId::as_str),
            proof,
            credential,
        )
        .execute(&mut *self.inner)
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Moves a request from the state and version that was read to another state; returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn move_request(&mut self, request: &Request, to: &RequestState) -> Result<i64> {
        let stage_before = match request.state {
            RequestState::Pending { stage } => i32::try_from(stage).unwrap_or(i32::MAX),
            _ => 0,
        };
        let rows::RequestColumns { stage, by, why, superseded_by } = rows::request_columns(to, stage_before);
        sqlx::query_scalar!(
            r#"
            update request set state = $4, stage = $5, state_by = $6, state_why = $7, superseded_by = $8,
                version = version + 1, carried_out = ($4 = 'granted')
            where id = $1 and version = $2 and state = $3 returning version
            "#,
            request.id.0,
            request.version,
            request.state.name(),
            to.name(),
            stage,
            by,
            why,
            superseded_by,
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(format!("request {}", request.code), request.state.name()))
    }

    /// Moves a grant; returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn move_grant(&mut self, grant: &StoredGrant, to: GrantState) -> Result<i64> {
        sqlx::query_scalar!(
            r#"
            update run_grant set state = $4, version = version + 1
            where id = $1 and version = $2 and state = $3 returning version
            "#,
            grant.id.0,
            grant.version,
            grant.state.name(),
            to.name(),
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(format!("grant {}", grant.id), grant.state.name()))
    }

    /// Moves a run and notes which line did it; returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer as read.
    pub async fn move_run(&mut self, run: &Run, to: &RunState, cause: Option<InboxId>) -> Result<i64> {
        let (by, step, why) = rows::run_columns(to);
        let version = sqlx::query_scalar!(
            r#"
            update run set state = $4, state_by = $5, state_step = $6, state_why = $7, version = version + 1,
                updated_at = $8, cause = coalesce($9, cause)
            where id = $1 and version = $2 and state = $3 returning version
            "#,
            run.id.0,
            run.version,
            run.state.name(),
            to.name(),
            by,
            step,
            why,
            self.now(),
            cause.map(|cause| cause.0),
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(format!("run {}", run.id), run.state.name()))?;
        if let Some(cause) = cause {
            self.insert_line_run(cause, run.id).await?;
        }
        Ok(version)
    }

    /// Records a person's judgement of an attempt whose outcome is unknown; returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer unknown.
    pub async fn judge_attempt(&mut self, attempt: &Attempt, by: &PersonId, verdict: Verdict) -> Result<i64> {
        sqlx::query_scalar!(
            r#"
            update attempt set state = 'judged', judged_by = $5, judged_worked = $6, version = version + 1
            where run = $1 and step = $2 and number = $3 and version = $4 and state = 'unknown' returning version
            "#,
            attempt.key.run.0,
            i32::try_from(attempt.key.step).unwrap_or(i32::MAX),
            i32::try_from(attempt.key.number).unwrap_or(i32::MAX),
            attempt.version,
            by.as_str(),
            verdict == Verdict::Worked,
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(format!("attempt {}", attempt.key), "unknown"))
    }

    /// Leaves an attempt whose outcome is unknown as it is; returns the new version.
    ///
    /// # Errors
    /// [`StoreError::Moved`] when it was no longer unknown.
    pub async fn skip_attempt(&mut self, attempt: &Attempt, by: &PersonId) -> Result<i64> {
        sqlx::query_scalar!(
            r#"
            update attempt set state = 'skipped', judged_by = $5, version = version + 1
            where run = $1 and step = $2 and number = $3 and version = $4 and state = 'unknown' returning version
            "#,
            attempt.key.run.0,
            i32::try_from(attempt.key.step).unwrap_or(i32::MAX),
            i32::try_from(attempt.key.number).unwrap_or(i32::MAX),
            attempt.version,
            by.as_str(),
        )
        .fetch_optional(&mut *self.inner)
        .await?
        .ok_or_else(|| moved(format!("attempt {}", attempt.key), "unknown"))
    }

    /// Notes what the catalog would make of a request now. Its state and version stay.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn set_request_differs(&mut self, request: RequestId, now: Option<Digest>) -> Result<()> {
        // A catalog that would refuse the deed altogether is remembered as all zeros.
        let bytes = now.map_or([0; 32], |digest| digest.0);
        sqlx::query!("update request set differs = $2 where id = $1", request.0, &bytes[..])
            .execute(&mut *self.inner)
            .await?;
        Ok(())
    }

    /// How often this plan's runbook and target ran to the end before, and how it went: for the approver.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn earlier_runs(&mut self, digest: Digest) -> Result<EarlierRuns> {
        let row = sqlx::query!(
            r#"
            with last as (
                select state, updated_at - created_at as took,
                    (select min(started_at) from attempt a where a.run = r.id) as began, updated_at
                from run r where plan = $1 and state in ('succeeded', 'failed', 'stuck') order by id desc limit 5
            )
            select count(*) as "total!", count(*) filter (where state = 'succeeded') as "helped!",
                percentile_disc(0.5) within group (order by extract(epoch from updated_at - began)::float8)
                    filter (where state = 'succeeded') as usual
            from last
            "#,
            &digest.0
        )
        .fetch_one(&mut *self.inner)
        .await?;
        let usual = row.usual.map(|seconds| TimeDelta::milliseconds((seconds * 1000.0) as i64));
        Ok(EarlierRuns { total: row.total, helped: row.helped, usual })
    }
}

/// Whether all of something stands where it was to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whole {
    /// It does.
    Yes,
    /// A part of it does not yet, or was given up.
    No,
}

/// How the last few runs of a plan went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EarlierRuns {
    /// How many there were, five at most.
    pub total: i64,
    /// How many of them succeeded.
    pub helped: i64,
    /// How long a successful one usually took.
    pub usual: Option<TimeDelta>,
}

impl EarlierRuns {
    /// As they are told: how many, how many helped, how many milliseconds it usually took.
    pub fn told(&self) -> (i64, i64, Option<u64>) {
        (self.total, self.helped, self.usual.and_then(|usual| u64::try_from(usual.num_milliseconds()).ok()))
    }
}

fn moved(row: String, expected: &str) -> StoreError {
    StoreError::Moved { row, expected: expected.to_owned() }
}

fn group_names(names: Vec<String>) -> Vec<GroupName> {
    names.into_iter().map(GroupName::new).collect()
}

//! Waking people while nobody decides: reminding them, having them rung, asking others, and standing back while one looks.
//!
//! Which step comes next and when is `model::escalation`'s to say. Each is one transaction on the locked row of its request,
//! with the event that tells of it: killed in the middle, nothing of it happened, and two processes never do the same.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::decide::{File, Seen, ask, event};
use crate::model::approval::{Asked, Because, Refusal, delegates, spent_elsewhere};
use crate::model::catalog::{Catalog, Subject};
use crate::model::escalation::{
    Around, Deed, Waking, by_turns, come_on_call, is_rota, ladder, look as looked, next, next_asked, whom,
};
use crate::model::event::Happened;
use crate::model::id::{InboxId, PersonId, RequestId};
use crate::model::policy::Stage;
use crate::model::request::RequestState;
use crate::store::{NewWaking, Request, Result, Ring, Tx};

/// How often at least it is looked whether somebody has come on call.
const SHIFTS_EVERY: TimeDelta = TimeDelta::minutes(1);

/// Whether there is something that rings people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rings {
    /// There is a webhook.
    Yes,
    /// There is none: then that step is passed over.
    No,
}

/// When a stage that begins now is looked at next.
pub(super) fn first_look(stage: &Stage, from: DateTime<Utc>, expires_at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    look_at(&Waking { stage, from, expires_at, woken: 0 }, from)
}

/// When it is looked at next: at its next step, and for a rota's stage often enough to see a shift change.
fn look_at(waking: &Waking<'_>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let step = next(waking).map(|step| step.at);
    let shift = Some(now + SHIFTS_EVERY).filter(|at| by_turns(waking.stage) && *at < waking.expires_at);
    [step, shift].into_iter().flatten().min()
}

impl File {
    fn waiting_stage(&self) -> Option<(u32, &Stage)> {
        let RequestState::Pending { stage } = self.request.state else { return None };
        let index = usize::try_from(stage).ok()?;
        Some((stage, self.policy.stages.get(index)?))
    }

    /// Whose answer in another stage keeps them from this one.
    pub(super) fn spent(&self, stage: u32) -> BTreeSet<PersonId> {
        spent_elsewhere(&self.policy, stage, self.given.iter().map(|given| &given.decision))
    }

    pub(super) fn around<'a>(
        &'a self,
        catalog: &'a Catalog,
        stage: u32,
        asked: &'a [Asked],
        spent: &'a BTreeSet<PersonId>,
        now: DateTime<Utc>,
    ) -> Around<'a> {
        Around {
            catalog,
            policy: &self.policy,
            stage,
            requesters: &self.requesters,
            excluded: self.plan.excluded(),
            asked,
            spent,
            delegations: &self.delegations,
            now,
        }
    }
}

/// Does what is due for a request, and notes when it is looked at next. What is not due, and a request that does not wait,
/// is left as it is.
///
/// # Errors
/// When the database refuses, the stored plan is not the one that was asked for, or somebody else was faster.
pub async fn wake(tx: &mut Tx, catalog: &Catalog, request: RequestId, rings: Rings) -> Result<()> {
    let file = File::lock(tx, catalog, request, Seen::Posted).await?;
    let now = tx.now();
    let (Some((number, stage)), true) = (file.waiting_stage(), file.request.knows_asked) else { return Ok(()) };
    let File { request, run, .. } = &file;
    if now >= request.expires_at {
        // Ending it is somebody else's.
        return Ok(());
    }
    let mut asked = file.asked.clone().unwrap_or_default();
    let spent = file.spent(number);
    let mut new = Vec::new();
    if by_turns(stage) {
        new.extend(come_on_call(&file.around(catalog, number, &asked, &spent, now)));
        asked.extend(new.iter().cloned());
    }
    // A delegation that was given in the very moment in which the stage began asked nobody.
    let own: Vec<Asked> = asked.iter().filter(|one| one.stage >= number).cloned().collect();
    for one in delegates(catalog, &file.policy, &own, &file.delegations, now) {
        if !asked.contains(&one) && !file.is_barred(&one.person) {
            asked.push(one.clone());
            new.push(one);
        }
    }
    let mut waking = Waking { stage, from: request.wake_from, expires_at: request.expires_at, woken: request.woken };
    let (mut remind, mut ring) = (false, false);
    while let Some(step) = next(&waking).filter(|step| step.at <= now) {
        match step.deed {
            Deed::Remind => remind = true,
            Deed::Ring => ring = true,
            Deed::Ask(others) => {
                let more = whom(&file.around(catalog, number, &asked, &spent, now), others);
                asked.extend(more.iter().cloned());
                new.extend(more);
            }
        }
        waking.woken = step.number + 1;
    }
    let could: Vec<PersonId> = file.case().could_answer(now, catalog).into_iter().collect();
    let fresh: BTreeSet<PersonId> = new.iter().map(|asked| asked.person.clone()).collect();
    if !new.is_empty() {
        ask(tx, run, request.id, request.code, number, &new, request.expires_at, None, Vec::new()).await?;
    }
    if remind && !could.is_empty() {
        let people = could.clone();
        let what =
            Happened::RequestReminded { request: request.id, code: request.code, run: run.id, stage: number, people };
        tx.record(event(run, None, what, Vec::new()));
    }
    // Whoever is asked after the others were rung is rung at once.
    let steps = ladder(stage).into_iter().take(usize::try_from(waking.woken).unwrap_or(usize::MAX));
    let were_rung = steps.into_iter().any(|(_, deed)| deed == Deed::Ring);
    let mut people: BTreeSet<PersonId> = if ring { could.into_iter().collect() } else { BTreeSet::new() };
    if were_rung {
        people.extend(fresh);
    }
    if rings == Rings::Yes && !people.is_empty() {
        let people: Vec<PersonId> = people.into_iter().collect();
        tx.insert_ring(Ring { request: request.id, stage: number, people: &people }).await?;
    }
    let next = look_at(&waking, now);
    tx.set_woken(request, NewWaking { woken: waking.woken, from: waking.from, next }).await
}

/// Asks somebody who answers without having been asked, if they are in a rota that the stage asks: turns say who is woken first,
/// not who may. Returns whether they were asked by that.
///
/// # Errors
/// When the database refuses.
pub(super) async fn come(
    tx: &mut Tx,
    catalog: &Catalog,
    file: &File,
    person: &PersonId,
    line: InboxId,
) -> Result<bool> {
    let Some((number, stage)) = file.waiting_stage() else { return Ok(false) };
    let request = &file.request;
    let open = request.knows_asked && request.posted_at.is_some() && tx.now() < request.expires_at;
    let asked = file.asked.as_deref().unwrap_or_default();
    let was_asked = asked.iter().any(|asked| asked.stage == number && asked.person == *person);
    let rotas: Vec<Subject> = stage.approvers.iter().filter(|subject| is_rota(subject)).cloned().collect();
    let may = catalog.includes(&rotas, person) && !file.is_barred(person) && !file.spent(number).contains(person);
    if !open || was_asked || !may {
        return Ok(false);
    }
    let come = [Asked { person: person.clone(), stage: number, because: Because::Turn }];
    let (id, code, expires_at) = (request.id, request.code, request.expires_at);
    ask(tx, &file.run, id, code, number, &come, expires_at, Some(line), Vec::new()).await?;
    Ok(true)
}

/// What came of saying that one looks.
#[derive(Debug)]
pub enum LookOutcome {
    /// Nobody else is woken until then.
    Until(DateTime<Utc>),
    /// They look already, until then.
    Already(DateTime<Utc>),
    /// They could not answer, or nothing waits.
    Refused {
        /// Why.
        why: Refusal,
        /// The request.
        request: Box<Request>,
        /// Who could answer, now.
        asked: Vec<PersonId>,
    },
}

/// Somebody who could answer says that they look: for a while nobody else is woken. Their time to answer is none the longer.
///
/// # Errors
/// As [`wake`].
pub async fn look(
    tx: &mut Tx,
    catalog: &Catalog,
    request: RequestId,
    person: &PersonId,
    line: InboxId,
) -> Result<LookOutcome> {
    let file = File::lock(tx, catalog, request, Seen::Posted).await?;
    let now = tx.now();
    let could = file.case().could_answer(now, catalog);
    let refused = |why, file: File, could: BTreeSet<PersonId>| {
        let (request, asked) = (Box::new(file.request), could.into_iter().collect());
        Ok(LookOutcome::Refused { why, request, asked })
    };
    let Some((number, stage)) = file.waiting_stage().filter(|_| now < file.request.expires_at) else {
        return refused(Refusal::Late, file, could);
    };
    if !could.contains(person) {
        return refused(Refusal::NotAsked, file, could);
    }
    let File { request, run, .. } = &file;
    let standing = request.looking.clone().filter(|(_, until)| *until > now);
    if let Some((_, until)) = standing.as_ref().filter(|(by, _)| by == person) {
        return Ok(LookOutcome::Already(*until));
    }
    let (from, until) = looked(request.wake_from, standing.map(|(_, until)| until), now);
    let waking = Waking { stage, from, expires_at: request.expires_at, woken: request.woken };
    tx.set_woken(request, NewWaking { woken: request.woken, from, next: look_at(&waking, now) }).await?;
    tx.set_looking(request.id, person, until).await?;
    let what = Happened::RequestLookedAt {
        request: request.id,
        code: request.code,
        run: run.id,
        stage: number,
        by: person.clone(),
        until,
    };
    tx.record(event(run, Some(line), what, Vec::new()));
    Ok(LookOutcome::Until(until))
}

/// How the waking of a request stands, for whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Who could answer now, by name.
    pub asked: Vec<PersonId>,
    /// Who looks, and until when nobody else is woken for that.
    pub looking: Option<(PersonId, DateTime<Utc>)>,
    /// Who is asked next, and when, if nobody decides.
    pub next: Option<(Vec<PersonId>, DateTime<Utc>)>,
}

/// How the waking of a request stands; `None` if it does not wait. Locks nothing.
///
/// # Errors
/// When the database refuses, or the stored plan is not the one that was asked for.
pub async fn standing(tx: &mut Tx, catalog: &Catalog, request: &Request) -> Result<Option<Standing>> {
    let Some(run) = tx.find_run(request.run).await? else { return Ok(None) };
    let file = File::read(tx, catalog, request.clone(), Vec::new(), run).await?;
    Ok(standing_of(&file, catalog, tx.now()))
}

fn standing_of(file: &File, catalog: &Catalog, now: DateTime<Utc>) -> Option<Standing> {
    let (number, stage) = file.waiting_stage()?;
    let File { request, .. } = file;
    let asked = file.asked.clone().unwrap_or_default();
    let spent = file.spent(number);
    let waking = Waking { stage, from: request.wake_from, expires_at: request.expires_at, woken: request.woken };
    Some(Standing {
        asked: file.case().could_answer(now, catalog).into_iter().collect(),
        looking: request.looking.clone().filter(|(_, until)| *until > now),
        next: next_asked(&waking, &file.around(catalog, number, &asked, &spent, now)),
    })
}

//! Who may change who may approve: keeping what is in force, and the second person's word.
//!
//! What lives here: comparing the catalog that was read with what is in force, a version that waits, and what becomes of
//! it. What does not: what a difference gives and takes (`model::access`), and using the narrowed catalog (`flow`). Keeps I7:
//! who gains by a change, and who is named as its author, does not countersign it. Every decision locks the version in force
//! first.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::access::{Access, Change, VersionEvent, VersionState, diff, gainers, in_force};
use crate::model::catalog::Catalog;
use crate::model::chat::{Account, UserGroup};
use crate::model::code::Code;
use crate::model::event::{Happened, NewEvent, Record, RowMark, Scope};
use crate::model::group::Kept;
use crate::model::id::{Digest, InboxId, PersonId};
use crate::store::{AccessRow, NewAccess, Result, Store, StoreError, Tx};

/// How long a change waits for its countersignature; then it is shown anew, under another code.
const WAITS: TimeDelta = TimeDelta::days(7);
/// How often it is compared anew when somebody else was faster.
const TRIES: u32 = 5;

/// What came of comparing what was read with what is in force.
#[derive(Debug, Clone)]
pub struct Settled {
    /// What is in force now.
    pub in_force: AccessRow,
    /// What waits beside it.
    pub waits: Waits,
    /// Whether this was the first time: the catalog as it stands became what is in force.
    pub began: bool,
}

/// What of a catalog is not in force.
#[derive(Debug, Clone)]
pub enum Waits {
    /// Nothing.
    Nothing,
    /// This waits for a second person.
    Proposed(AccessRow),
    /// This was refused, and is not shown again unless an operator asks.
    Refused(AccessRow),
}

/// Why what was read is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// It was read.
    Read,
    /// An operator asked: what was refused is shown again.
    Asked,
}

fn event(line: Option<InboxId>, what: Happened, rows: Vec<RowMark>) -> NewEvent {
    NewEvent { scope: Scope::default(), cause: line, record: Record { what, rows } }
}

fn fingerprint(access: &Access) -> Result<Digest> {
    Ok(access.fingerprint()?)
}

fn mark(row: &AccessRow, state: &VersionState, version: i64) -> RowMark {
    RowMark::access(row.id, state.name(), version)
}

async fn moves(tx: &mut Tx, row: &AccessRow, with: VersionEvent) -> Result<RowMark> {
    let Some(next) = row.state.next(with) else {
        return Err(StoreError::Refused(format!("access {} is {} and takes nothing more", row.id, row.state.name())));
    };
    let version = tx.set_access_state(row, &next).await?;
    Ok(mark(row, &next, version))
}

/// Compares what was read with what is in force: takings hold from now on, givings wait. On the first time what was read is
/// what is in force.
///
/// # Errors
/// When the database refuses, or what is in force was changed by other hands.
pub async fn settle(store: &Store, wanted: &Access, authors: &BTreeSet<PersonId>, because: Because) -> Result<Settled> {
    for _ in 0..TRIES {
        let mut tx = store.begin().await?;
        if let Some(settled) = compare(&mut tx, wanted, authors, because).await? {
            tx.commit().await?;
            return Ok(settled);
        }
    }
    Err(StoreError::Refused("who may do what could not be compared: others change it all the time".to_owned()))
}

/// `None`: another process was faster with the first version.
async fn compare(
    tx: &mut Tx,
    wanted: &Access,
    authors: &BTreeSet<PersonId>,
    because: Because,
) -> Result<Option<Settled>> {
    let Some(before) = tx.lock_access().await? else {
        let digest = fingerprint(wanted)?;
        let new = NewAccess { access: wanted, fingerprint: digest, changed_by: authors, base: None, waits: None };
        let Some(row) = tx.insert_access(new).await? else { return Ok(None) };
        let what = Happened::AccessBegun {
            access: row.id,
            fingerprint: digest,
            sha256: row.sha256,
            snapshot: Box::new(wanted.clone()),
        };
        tx.record(event(None, what, vec![mark(&row, &row.state, row.version)]));
        return Ok(Some(Settled { in_force: row, waits: Waits::Nothing, began: true }));
    };
    let wanted = &wanted.remembering(&before.access);
    let digest = fingerprint(wanted)?;
    let now = in_force(&before.access, wanted);
    let same = match tx.find_access_proposed().await? {
        Some(row) if row.fingerprint == digest && now != *wanted => Some(row),
        Some(other) => {
            supersede(tx, &other).await?;
            None
        }
        None => None,
    };
    let current = match now == before.access {
        true => before.clone(),
        false => {
            let mut rows = vec![moves(tx, &before, VersionEvent::Superseded).await?];
            let new = NewAccess {
                access: &now,
                fingerprint: fingerprint(&now)?,
                changed_by: authors,
                base: Some(before.id),
                waits: None,
            };
            let Some(row) = tx.insert_access(new).await? else { return Ok(None) };
            rows.push(mark(&row, &row.state, row.version));
            let what = Happened::AccessTaken {
                access: row.id,
                fingerprint: row.fingerprint,
                sha256: row.sha256,
                changes: diff(&before.access, &now),
                waits: now != *wanted,
                changed_by: authors.iter().cloned().collect(),
                snapshot: Box::new(now.clone()),
            };
            tx.record(event(None, what, rows));
            row
        }
    };
    if now == *wanted {
        return Ok(Some(Settled { in_force: current, waits: Waits::Nothing, began: false }));
    }
    let held = diff(&before.access, &now);
    let waits = propose(tx, &current, wanted, digest, authors, held, same, because).await?;
    Ok(Some(Settled { in_force: current, waits, began: false }))
}

async fn supersede(tx: &mut Tx, row: &AccessRow) -> Result<()> {
    let Some(code) = row.code else { return Ok(()) };
    let rows = vec![moves(tx, row, VersionEvent::Superseded).await?];
    tx.record(event(None, Happened::AccessSuperseded { access: row.id, code }, rows));
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the parts of one comparison, taken apart once")]
async fn propose(
    tx: &mut Tx,
    current: &AccessRow,
    wanted: &Access,
    digest: Digest,
    authors: &BTreeSet<PersonId>,
    held: Vec<Change>,
    same: Option<AccessRow>,
    because: Because,
) -> Result<Waits> {
    let now = tx.now();
    // Whoever was named once stays named: neither leaving the name out again, nor saying the same in other words or another
    // time, makes a countersigner of its bearer.
    let mut authors = authors.clone();
    authors.extend(tx.list_access_authors(digest, current.id).await?);
    if let Some(row) = same {
        let over = row.expires_at.is_none_or(|expires| now >= expires);
        // What is in force has changed beneath it: the difference is another.
        let other = row.base != Some(current.id);
        if !over && !other {
            if authors == row.changed_by {
                return Ok(Waits::Proposed(row));
            }
            let version = tx.set_access_authors(&row, &authors).await?;
            let changed_by = authors.iter().cloned().collect();
            let rows = vec![mark(&row, &row.state, version)];
            tx.record(event(None, Happened::AccessAuthors { access: row.id, changed_by }, rows));
            return Ok(Waits::Proposed(AccessRow { version, changed_by: authors, ..row }));
        }
        match (row.code, over) {
            (Some(code), true) => {
                let rows = vec![moves(tx, &row, VersionEvent::Expired).await?];
                tx.record(event(None, Happened::AccessExpired { access: row.id, code }, rows));
            }
            _ => supersede(tx, &row).await?,
        }
    } else if because == Because::Read
        && let Some(last) = tx.find_access_like(digest).await?
        && matches!(last.state, VersionState::Refused { .. })
        && last.base == Some(current.id)
    {
        return Ok(Waits::Refused(last));
    }
    let code = tx.free_access_code().await?;
    let expires_at = now + WAITS;
    let new = NewAccess {
        access: wanted,
        fingerprint: digest,
        changed_by: &authors,
        base: Some(current.id),
        waits: Some((code, expires_at)),
    };
    let row = tx.insert_access(new).await?;
    let row = row.ok_or_else(|| StoreError::Refused("another change waits although none was seen".to_owned()))?;
    let what = Happened::AccessProposed {
        access: row.id,
        code,
        fingerprint: digest,
        sha256: row.sha256,
        changes: diff(&current.access, wanted),
        held,
        changed_by: authors.into_iter().collect(),
        expires_at,
    };
    tx.record(event(None, what, vec![mark(&row, &row.state, row.version)]));
    Ok(Waits::Proposed(row))
}

/// Who is in each user group, as far as a catalog in use has seen.
fn members(catalog: &Catalog) -> BTreeMap<UserGroup, BTreeSet<PersonId>> {
    let of = catalog.groups.values().filter_map(|group| match &group.kept {
        Kept::Platform { user_group, .. } => Some((user_group.clone(), group.members.clone())),
        Kept::Catalog => None,
    });
    of.collect()
}

/// Who may countersign, and who of those that are named may not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Countersigners {
    /// Who may.
    pub may: BTreeSet<PersonId>,
    /// Who is named and gains by the change.
    pub gain: BTreeSet<PersonId>,
    /// Who is named and wrote it.
    pub wrote: BTreeSet<PersonId>,
}

/// Who may countersign what waits, by what is in force. `catalog` is the one in use: it says who is in the groups that
/// platforms keep.
pub fn countersigners(current: &Access, waiting: &AccessRow, catalog: &Catalog) -> Countersigners {
    let Some(keepers) = &current.keepers else { return Countersigners::default() };
    let members = members(catalog);
    let named = current.people_of(&keepers.by, &members);
    let gainers = gainers(current, &waiting.access, &members);
    let wrote: BTreeSet<PersonId> = named.intersection(&waiting.changed_by).cloned().collect();
    let gain: BTreeSet<PersonId> =
        named.iter().filter(|person| gainers.contains(*person) && !wrote.contains(*person)).cloned().collect();
    let may = named.iter().filter(|person| !wrote.contains(*person) && !gain.contains(*person)).cloned().collect();
    Countersigners { may, gain, wrote }
}

/// A person's word on a change that waits.
#[derive(Debug)]
pub struct AccessAnswer<'a> {
    /// Which.
    pub code: Code,
    /// Whose word.
    pub person: &'a PersonId,
    /// By which account.
    pub account: &'a Account,
    /// Why not; `None` agrees.
    pub refuse: Option<String>,
    /// By which line.
    pub line: InboxId,
}

/// What came of it. Refusals are outcomes: they are recorded and told.
#[derive(Debug)]
pub enum AccessOutcome {
    /// It is in force from now on.
    Countersigned,
    /// It is refused.
    Refused,
    /// Nothing has that code.
    NoSuchCode,
    /// It does not wait any more.
    Late(AccessRow),
    /// Its time is over; it is shown anew.
    TooLate(AccessRow),
    /// The person is not one of those who countersign; these are.
    NotAsked(Countersigners),
    /// The person gains by it (I7); these do not.
    Gains(Countersigners),
    /// The person wrote it (I7); these did not.
    Wrote(Countersigners),
    /// Not all of it has been posted: one cannot agree to what one cannot have seen.
    NotPosted,
}

/// Takes one person's word. Locks what is in force first: of two at once one comes second, and sees what the first did.
///
/// # Errors
/// When the database refuses, or a version was changed by other hands.
pub async fn countersign(tx: &mut Tx, catalog: &Catalog, answer: AccessAnswer<'_>) -> Result<AccessOutcome> {
    let Some(current) = tx.lock_access().await? else { return Ok(AccessOutcome::NoSuchCode) };
    let Some(row) = tx.find_access_by_code(answer.code).await? else { return Ok(AccessOutcome::NoSuchCode) };
    match row.state {
        VersionState::Proposed => {}
        VersionState::InForce | VersionState::Superseded | VersionState::Refused { .. } | VersionState::Expired => {
            return Ok(AccessOutcome::Late(row));
        }
    }
    if row.expires_at.is_none_or(|expires| tx.now() >= expires) {
        return Ok(AccessOutcome::TooLate(row));
    }
    let who = countersigners(&current.access, &row, catalog);
    // What this process uses may be older than what is in force: a person who is gone, or whose account is, is nobody.
    let known = current.access.people.get(answer.person).is_some_and(|accounts| accounts.contains(answer.account));
    if who.wrote.contains(answer.person) {
        return Ok(AccessOutcome::Wrote(who));
    }
    if who.gain.contains(answer.person) {
        return Ok(AccessOutcome::Gains(who));
    }
    if !known || !who.may.contains(answer.person) {
        return Ok(AccessOutcome::NotAsked(who));
    }
    if let Some(why) = answer.refuse {
        let refused = VersionEvent::Refused { by: answer.person.clone(), why: why.clone() };
        let rows = vec![moves(tx, &row, refused).await?];
        let (by, account) = (answer.person.clone(), answer.account.clone());
        let what = Happened::AccessRefused { access: row.id, code: answer.code, by, account, why };
        tx.record(event(Some(answer.line), what, rows));
        return Ok(AccessOutcome::Refused);
    }
    if !tx.access_is_posted(row.id).await? {
        return Ok(AccessOutcome::NotPosted);
    }
    let rows = take_force(tx, &current, &row).await?;
    let what = Happened::AccessCountersigned {
        access: row.id,
        code: answer.code,
        by: answer.person.clone(),
        account: answer.account.clone(),
        fingerprint: row.fingerprint,
        changes: diff(&current.access, &row.access),
        snapshot: Box::new(row.access),
    };
    tx.record(event(Some(answer.line), what, rows));
    Ok(AccessOutcome::Countersigned)
}

async fn take_force(tx: &mut Tx, current: &AccessRow, row: &AccessRow) -> Result<Vec<RowMark>> {
    let mut rows = vec![moves(tx, current, VersionEvent::Superseded).await?];
    rows.push(moves(tx, row, VersionEvent::Countersigned).await?);
    Ok(rows)
}

/// What an operator's word on the host came to.
#[derive(Debug)]
pub enum Accepted {
    /// It is in force from now on: this is what it changed.
    InForce(Vec<Change>),
    /// Nothing that waits has that code; this waits, if anything does.
    NothingLikeIt(Option<Code>),
    /// Its time was over at this moment.
    TooLate(Option<DateTime<Utc>>),
}

/// Puts what waits in force without a second person: the way out when nobody is left who could countersign. It is recorded
/// as an exception, and the room is told.
///
/// # Errors
/// When the database refuses, or a version was changed by other hands.
pub async fn accept(store: &Store, code: Code, operator: &str, why: &str) -> Result<Accepted> {
    let mut tx = store.begin().await?;
    let current = tx.lock_access().await?;
    let waiting = tx.find_access_proposed().await?;
    let (Some(current), Some(row)) = (current, waiting) else { return Ok(Accepted::NothingLikeIt(None)) };
    if row.code != Some(code) {
        return Ok(Accepted::NothingLikeIt(row.code));
    }
    // What nobody countersigned in time is shown anew, under another code: so that what is accepted was looked at lately.
    if row.expires_at.is_none_or(|expires| tx.now() >= expires) {
        return Ok(Accepted::TooLate(row.expires_at));
    }
    let changes = diff(&current.access, &row.access);
    let rows = take_force(&mut tx, &current, &row).await?;
    let what = Happened::AccessAccepted {
        access: row.id,
        code,
        operator: operator.to_owned(),
        why: why.to_owned(),
        fingerprint: row.fingerprint,
        changes: changes.clone(),
        snapshot: Box::new(row.access),
    };
    tx.record(event(None, what, rows));
    tx.commit().await?;
    Ok(Accepted::InForce(changes))
}

/// What is in force, and what waits beside it; `None`: nothing was ever kept, as in a trial.
///
/// # Errors
/// When the database cannot be asked, or a version was changed by other hands.
pub async fn access_standing(store: &Store) -> Result<Option<(AccessRow, Option<AccessRow>)>> {
    let Some(current) = store.find_access_in_force().await? else { return Ok(None) };
    Ok(Some((current, store.find_access_proposed().await?)))
}

//! Verification: whether the ledger and the rows are as they were written.
//!
//! What lives here: walking the chain in one snapshot, event by event, and handing each to the replay. What does not: what
//! rows must be (`replay`), the words (`report`). Keeps I11: it finds any change, removal, insertion or reordering up to the
//! newest head that somebody kept outside the database, and says how far that is. Whoever can write the database can
//! rewrite the whole chain after that head; nothing inside a database proves otherwise.
//!
//! The chain is read page by page; what is kept of it is the projection of the rows.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::replay::Replay;
use super::report::{At, Finding, Findings, Head, KEPT, Report};
use super::{LedgerError, chain};
use crate::model::event::Record;
use crate::model::id::{Digest, EventId, Position};
use crate::store::{ChainHead, ChainRow, EventCheck, Loose, Snapshot, Store, commitment};

/// The kind of an event that says that another's body was erased. Its body names that event as `what.event`.
pub const ERASED: &str = "erased";

/// As much of a body as every version has.
#[derive(Deserialize)]
struct Tagged {
    what: Tag,
}

#[derive(Deserialize)]
struct Tag {
    kind: String,
    /// The event that an `erased` event is about.
    #[serde(default)]
    event: Option<serde_json::Value>,
}

/// Verifies the ledger, and the rows against it, as they are at one moment.
///
/// `expected` are heads that somebody kept outside the database, in any order.
///
/// # Errors
/// When the database cannot be asked. What is wrong with what it says is in the report.
pub async fn verify(store: &Store, expected: &[Head]) -> Result<Report, LedgerError> {
    let mut snapshot = store.snapshot().await?;
    let mut walk = Walk::new(expected);
    walk.plans(&mut snapshot).await?;
    walk.chain(&mut snapshot).await?;
    walk.waiting(&mut snapshot).await?;
    walk.loose(&mut snapshot).await?;
    walk.rows(&mut snapshot).await?;
    Ok(walk.into_report())
}

struct Walk {
    expected: BTreeMap<Position, Vec<Head>>,
    head: ChainHead,
    events: u64,
    erased: u64,
    waiting: u64,
    proved: Option<Head>,
    /// Whether there was an event before.
    any: bool,
    /// The stretch of hashes that do not follow, up to here.
    unlinked: Option<(At, Position)>,
    replay: Replay,
    findings: Findings,
}

impl Walk {
    fn new(heads: &[Head]) -> Self {
        let mut expected: BTreeMap<Position, Vec<Head>> = BTreeMap::new();
        for head in heads {
            expected.entry(head.position()).or_default().push(head.clone());
        }
        Self {
            expected,
            head: ChainHead { position: Position(0), hash: Digest([0; 32]) },
            events: 0,
            erased: 0,
            waiting: 0,
            proved: None,
            any: false,
            unlinked: None,
            replay: Replay::default(),
            findings: Findings::default(),
        }
    }

    async fn plans(&mut self, snapshot: &mut Snapshot) -> Result<(), LedgerError> {
        let mut after = Vec::new();
        loop {
            let page = snapshot.list_plans(&after).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after.clone_from(last);
            for (digest, bytes) in page {
                self.replay.plan(&digest, bytes, &mut self.findings);
            }
        }
    }

    async fn chain(&mut self, snapshot: &mut Snapshot) -> Result<(), LedgerError> {
        // Before every number, also such as no chain has.
        let mut after = Position(i64::MIN);
        loop {
            let page = snapshot.list_chain(after).await?;
            let Some((last, _)) = page.last().and_then(|row| row.place.as_ref()) else { break };
            after = *last;
            for row in page {
                self.chained(row);
            }
        }
        self.linked();
        Ok(())
    }

    /// One place of the chain.
    fn chained(&mut self, row: EventCheck) {
        // The query gives every row of the chain its place.
        let Some((position, hash)) = row.place else { return };
        self.events += 1;
        let expected = self.head.position.0.saturating_add(1);
        if position.0 < 1 {
            self.findings.push(Finding::Misplaced { position });
        } else if position.0 > expected.max(1) {
            let (first, last) = (Position(expected.max(1)), Position(position.0 - 1));
            self.findings.push(Finding::Gap { first, last });
        }
        let at = At { position: Some(position), event: row.id };
        let stored = Digest::from_slice(&hash);
        // Each place is judged by the hash that stands before it, so that one change is one finding and not one for every
        // place after it.
        let before = ChainHead { position: Position(position.0.wrapping_sub(1)), hash: self.head.hash };
        match &row.event {
            Some(event) if Some(chain::link(before, event).hash) != stored => {
                let (first, _) = self.unlinked.get_or_insert((at, position));
                self.unlinked = Some((*first, position));
            }
            Some(_) => self.linked(),
            None => {
                self.linked();
                self.findings.push(Finding::EventMissing { at });
            }
        }
        self.head = ChainHead { position, hash: stored.unwrap_or(Digest([0; 32])) };
        for head in self.expected.remove(&position).unwrap_or_default() {
            if head.matches(self.head.hash) {
                self.proved = Some(head);
            } else {
                self.findings.push(Finding::HeadDiffers { head, found: Some(self.head.hash) });
            }
        }
        if let Some(event) = row.event {
            self.event(&event, row.eraser, at);
        }
    }

    /// Ends a stretch of hashes that do not follow.
    fn linked(&mut self) {
        if let Some((first, last)) = self.unlinked.take() {
            self.findings.push(Finding::Hash { first, last });
        }
    }

    async fn waiting(&mut self, snapshot: &mut Snapshot) -> Result<(), LedgerError> {
        let mut after = EventId(i64::MIN);
        loop {
            let page = snapshot.list_waiting(after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            for row in page {
                self.waiting += 1;
                let at = At { position: None, event: row.id };
                match row.event {
                    Some(event) => self.event(&event, row.eraser, at),
                    None => self.findings.push(Finding::EventMissing { at }),
                }
            }
        }
    }

    async fn loose(&mut self, snapshot: &mut Snapshot) -> Result<(), LedgerError> {
        let (rows, total) = snapshot.list_loose(KEPT as i64).await?;
        self.findings.count_unread(u64::try_from(total).unwrap_or(0).saturating_sub(rows.len() as u64));
        for (what, event) in rows {
            self.findings.push(match what {
                Loose::Event => Finding::LooseEvent { event },
                Loose::Both => Finding::StillWaiting { event },
                Loose::Repeated => Finding::Repeated { event },
                Loose::Body => Finding::LooseBody { event },
            });
        }
        Ok(())
    }

    /// One event: its body, and what follows from it.
    fn event(&mut self, event: &ChainRow, eraser: Option<(String, Vec<u8>)>, at: At) {
        let first = !std::mem::replace(&mut self.any, true);
        match (first, event.kind.as_str()) {
            (true, "ledger_created") => {}
            (true, kind) => self.findings.push(Finding::NoGenesis { at, kind: kind.to_owned() }),
            (false, "ledger_created") => self.findings.push(Finding::SecondGenesis { at }),
            (false, _) => {}
        }
        let Some((salt, body)) = &event.body else {
            match event.erased_by {
                Some(by) if says_erased(by, eraser, event.id) => {
                    self.erased += 1;
                    self.replay.erased(event, at, &mut self.findings);
                }
                Some(by) => self.findings.push(Finding::Erasure { at, by }),
                None => self.findings.push(Finding::BodyMissing { at }),
            }
            return;
        };
        if commitment(salt, body)[..] != event.commitment[..] {
            self.findings.push(Finding::Body { at });
        }
        let tag = serde_json::from_slice::<Tagged>(body).ok().map(|tagged| tagged.what.kind);
        if tag.as_deref() != Some(event.kind.as_str()) {
            self.findings.push(Finding::Kind { at, column: event.kind.clone(), body: tag });
        }
        match serde_json::from_slice::<Record>(body) {
            Ok(record) => self.replay.event(event, record, at, &mut self.findings),
            // It tells of no row; whether it is right is told where it is named.
            Err(_) if event.kind == ERASED => {}
            Err(_) => {
                let kind = event.kind.clone();
                self.findings.push(Finding::Unreadable { at, kind, schema: event.schema });
            }
        }
    }

    /// Compares every state row.
    async fn rows(&mut self, snapshot: &mut Snapshot) -> Result<(), LedgerError> {
        let Self { replay, findings, .. } = self;
        // Decisions first: a request's run says whether an erased event may have told of them.
        let mut after = (i64::MIN, i32::MIN, String::new(), i64::MIN);
        loop {
            let page = snapshot.list_decisions((after.0, after.1, &after.2, after.3)).await?;
            let Some(last) = page.last() else { break };
            after = (last.request, last.stage, last.person.clone(), last.line);
            page.into_iter().for_each(|row| replay.decision(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_covers(after).await?;
            let Some(last) = page.last() else { break };
            after = last.request;
            page.into_iter().for_each(|row| replay.cover(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_reviews(after).await?;
            let Some(last) = page.last() else { break };
            after = last.request;
            page.into_iter().for_each(|row| replay.review(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_runs(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.into_iter().for_each(|row| replay.run(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_incidents(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.into_iter().for_each(|row| replay.incident(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_requests(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.into_iter().for_each(|row| replay.request(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_grants(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.iter().for_each(|row| replay.grant(row, findings));
        }
        snapshot.list_keys().await?.into_iter().for_each(|row| replay.key(row, findings));
        let mut after = (i64::MIN, i32::MIN, i32::MIN);
        loop {
            let page = snapshot.list_attempts(after).await?;
            let Some(last) = page.last() else { break };
            after = (last.run, last.step, last.number);
            page.into_iter().for_each(|row| replay.attempt(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_access(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.into_iter().for_each(|row| replay.access(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_delegations(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.into_iter().for_each(|row| replay.delegation(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_handovers(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.into_iter().for_each(|row| replay.handover(row, findings));
        }
        replay.automation(snapshot.find_automation().await?, findings);
        let mut after: Option<(String, String)> = None;
        loop {
            let page =
                snapshot.list_brakes(after.as_ref().map(|(trigger, of)| (trigger.as_str(), of.as_str()))).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.trigger.clone(), last.service.clone()));
            page.into_iter().for_each(|row| replay.brake(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_firings(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.into_iter().for_each(|row| replay.firing(row, findings));
        }
        let mut after = i64::MIN;
        loop {
            let page = snapshot.list_passkeys(after).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            page.into_iter().for_each(|row| replay.passkey(row, findings));
        }
        replay.finish(findings);
        Ok(())
    }

    fn into_report(mut self) -> Report {
        for head in std::mem::take(&mut self.expected).into_values().flatten() {
            self.findings.push(if head.position() > self.head.position {
                Finding::Removed { head, end: self.head.position }
            } else {
                Finding::HeadDiffers { head, found: None }
            });
        }
        let (findings, total) = self.findings.into_sorted();
        Report {
            events: self.events,
            head: (self.events > 0).then_some((self.head.position, self.head.hash)),
            erased: self.erased,
            waiting: self.waiting,
            rows: self.replay.rows,
            not_compared: self.replay.not_compared,
            proved: self.proved,
            findings,
            total,
        }
    }
}

/// Whether the event that is named as erasing is a later one whose body says that it erased this one.
fn says_erased(by: EventId, eraser: Option<(String, Vec<u8>)>, event: EventId) -> bool {
    let Some((kind, body)) = eraser else { return false };
    let Ok(Tagged { what: tag }) = serde_json::from_slice::<Tagged>(&body) else { return false };
    by > event && kind == ERASED && tag.kind == ERASED && tag.event == Some(event.0.into())
}

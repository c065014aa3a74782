//! The chain's arithmetic: which hash follows from the one before and the next event. Pure.
//!
//! What lives here: one function and its encoding. What does not: reading or writing rows (`store`), and deciding who
//! may append (`sequencer`). Keeps I11: no bit of an event, its place or its predecessor can change without the hash.
//!
//! # The encoding
//!
//! `hash = SHA-256(input)`, where the input is, one after the other:
//!
//! 1. the 21 bytes `countersign/chain/v1` and a line feed;
//! 2. the hash of the position before, 32 bytes; zeros before position 1;
//! 3. the position, 8 bytes, big endian;
//! 4. the event's columns in this order: `id`, `kind`, `schema`, `at`, `system`, `environment`, `incident`, `run`,
//!    `audience`, `cause`. An absent column is the byte 0. A present one is the byte 1, the length of its value in bytes
//!    as 4 bytes big endian, and its value. Text is UTF-8. `schema` is 2 bytes, every other number 8 bytes, big endian,
//!    two's complement; `at` is such a number: microseconds since 1970-01-01 00:00 UTC;
//! 5. the commitment, 32 bytes: SHA-256 of the 16 bytes of salt and the body.

use sha2::{Digest as _, Sha256};

use crate::model::id::{Digest, Position};
use crate::store::{ChainHead, ChainRow};

/// What the input begins with, so that no other thing's hash can pass for a place of the chain.
const DOMAIN: &[u8] = b"countersign/chain/v1\n";

/// The place after `head` when `row` is the next event. The row's own place is not looked at.
pub fn link(head: ChainHead, row: &ChainRow) -> ChainHead {
    // Only a tampered chain comes near the end of the numbers; it must be found, not panic.
    let position = head.position.0.wrapping_add(1);
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(head.hash.0);
    hash.update(position.to_be_bytes());
    let scope = &row.scope;
    column(&mut hash, Some(&row.id.0.to_be_bytes()));
    column(&mut hash, Some(row.kind.as_bytes()));
    column(&mut hash, Some(&row.schema.to_be_bytes()));
    column(&mut hash, Some(&row.at.timestamp_micros().to_be_bytes()));
    column(&mut hash, scope.system.as_ref().map(|system| system.as_str().as_bytes()));
    column(&mut hash, scope.environment.as_deref().map(str::as_bytes));
    column(&mut hash, scope.incident.map(|incident| incident.0.to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    column(&mut hash, scope.run.map(|run| run.0.to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    column(&mut hash, scope.audience.as_deref().map(str::as_bytes));
    column(&mut hash, row.cause.map(|cause| cause.0.to_be_bytes()).as_ref().map(<[u8; 8]>::as_slice));
    hash.update(&row.commitment);
    ChainHead { position: Position(position), hash: Digest(hash.finalize().into()) }
}

/// A presence byte, and for what is present its length and itself: no two rows have the same bytes.
fn column(hash: &mut Sha256, value: Option<&[u8]>) {
    let Some(value) = value else { return hash.update([0]) };
    // Postgres bounds a text at a gigabyte; what does not fit four bytes cannot come from there.
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    hash.update([1]);
    hash.update(length.to_be_bytes());
    hash.update(value);
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use proptest::prelude::*;

    use super::*;
    use crate::model::event::Scope;
    use crate::model::id::{EventId, InboxId, IncidentId, RunId, SystemName};

    fn sample() -> ChainRow {
        ChainRow {
            place: None,
            id: EventId(7),
            kind: "run_planned".into(),
            schema: 1,
            at: DateTime::from_timestamp_micros(1_795_249_380_123_456).expect("a time"),
            scope: Scope {
                system: Some(SystemName::new("system-a")),
                environment: Some("production".into()),
                incident: None,
                run: Some(RunId(12)),
                audience: None,
            },
            cause: Some(InboxId(3)),
            commitment: vec![0xc0; 32],
            body: None,
            erased_by: None,
            body_row: true,
        }
    }

    fn head() -> ChainHead {
        ChainHead { position: Position(41), hash: Digest([0x11; 32]) }
    }

    /// Computed once by other means from the description above. If this changes, no ledger verifies any more.
    #[test]
    fn i11_a_stored_sample_keeps_its_hash() {
        let next = link(head(), &sample());
        assert_eq!(next.position, Position(42));
        insta::assert_snapshot!(next.hash, @"d185700f86135096aa1498f0dfa95fa17f140e2cf4c9fa7ccc34e4d0e93b8f84");
    }

    #[test]
    fn i11_every_field_counts() {
        let before = link(head(), &sample()).hash;
        type Change = fn(&mut ChainRow);
        let changes: [(&str, Change); 16] = [
            ("id", |row| row.id.0 += 1),
            ("kind", |row| row.kind.push('x')),
            ("schema", |row| row.schema += 1),
            ("at", |row| row.at += chrono::TimeDelta::microseconds(1)),
            ("system", |row| row.scope.system = Some(SystemName::new("system-b"))),
            ("system absent", |row| row.scope.system = None),
            ("environment", |row| row.scope.environment = Some(String::new())),
            ("environment absent", |row| row.scope.environment = None),
            ("incident", |row| row.scope.incident = Some(IncidentId(0))),
            ("run", |row| row.scope.run = Some(RunId(13))),
            ("run absent", |row| row.scope.run = None),
            ("run for incident", |row| row.scope.incident = row.scope.run.take().map(|run| IncidentId(run.0))),
            ("audience", |row| row.scope.audience = Some(String::new())),
            ("cause", |row| row.cause = Some(InboxId(4))),
            ("cause absent", |row| row.cause = None),
            ("commitment", |row| row.commitment[31] ^= 1),
        ];
        for (what, change) in changes {
            let mut row = sample();
            change(&mut row);
            assert_ne!(link(head(), &row).hash, before, "{what}");
        }
        let moved = ChainHead { position: Position(42), ..head() };
        assert_ne!(link(moved, &sample()).hash, before);
        let other = ChainHead { hash: Digest([0x12; 32]), ..head() };
        assert_ne!(link(other, &sample()).hash, before);
    }

    #[test]
    fn the_end_of_the_numbers_is_no_panic() {
        assert_eq!(link(ChainHead { position: Position(i64::MAX), ..head() }, &sample()).position, Position(i64::MIN));
    }

    type Fields = (i64, String, i16, i64, [Option<String>; 3], [Option<i64>; 3], u8);

    fn fields() -> impl Strategy<Value = Fields> {
        // Few values each, so that equal rows come up too, and texts that try to run into each other.
        let text = || prop::option::of("[ab\u{0}\u{1}]{0,3}");
        let number = || prop::option::of(0..3_i64);
        (0..3_i64, "[ab]{0,2}", 1..3_i16, 0..3_i64, [text(), text(), text()], [number(), number(), number()], 0..2_u8)
    }

    fn row((id, kind, schema, at, texts, numbers, commitment): Fields) -> ChainRow {
        let [system, environment, audience] = texts;
        let [incident, run, cause] = numbers;
        ChainRow {
            place: None,
            id: EventId(id),
            kind,
            schema,
            at: DateTime::from_timestamp_micros(at).expect("a time"),
            scope: Scope {
                system: system.map(SystemName::new),
                environment,
                incident: incident.map(IncidentId),
                run: run.map(RunId),
                audience,
            },
            cause: cause.map(InboxId),
            commitment: vec![commitment; 32],
            body: None,
            erased_by: None,
            body_row: true,
        }
    }

    proptest! {
        /// Two rows have the same hash exactly when they are the same.
        #[test]
        fn i11_different_rows_have_different_hashes(one in fields(), other in fields()) {
            let same = one == other;
            let hashes = (link(head(), &row(one)).hash, link(head(), &row(other)).hash);
            prop_assert_eq!(hashes.0 == hashes.1, same);
        }
    }
}

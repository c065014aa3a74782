//! Export: the chain as JSON Lines, for whoever wants to check or keep it without this program.
//!
//! What lives here: one line for each place of the chain. What does not: events that wait for their place; they have none.
//!
//! # A line
//!
//! One object with the keys `position`, `hash`, `id`, `kind`, `schema`, `at`, `system`, `environment`, `incident`, `run`,
//! `audience`, `cause`, `commitment`, `salt` and `body`. Absent columns are `null`; bytes are lower-case hexadecimal; `at` is
//! RFC 3339 in UTC with six digits of a second. `body` is always the last key and its bytes stand there unchanged: from
//! after the first `"body":` that follows a comma up to before the last brace of the line. An erased event has
//! `erased_by`, the number of the event that says why, in place of `salt` and `body`. A body that is not there has
//! neither; bytes that are no JSON stand as `body_hex`.
//!
//! # Computing it again
//!
//! For each line in order: SHA-256 of the salt's bytes and the body's bytes is the commitment. The hash of the line is
//! SHA-256 of what [`super::chain`] describes, from the line's columns and the hash of the line before; before position 1
//! that is 32 zero bytes. Then compare the hashes with the heads that rooms show.

use std::io;

use chrono::SecondsFormat;
use serde::Serialize;

use super::LedgerError;
use crate::model::id::Position;
use crate::store::{ChainRow, EventCheck, Store};

#[derive(Serialize)]
struct Line<'a> {
    position: i64,
    hash: String,
    id: i64,
    kind: Option<&'a str>,
    schema: Option<i16>,
    at: Option<String>,
    system: Option<&'a str>,
    environment: Option<&'a str>,
    incident: Option<i64>,
    run: Option<i64>,
    audience: Option<&'a str>,
    cause: Option<i64>,
    commitment: Option<String>,
}

/// Writes the chain from a place on, that place included, one line at a time without its line feed; returns how many.
/// All of it is as it was at one moment.
///
/// # Errors
/// When the database cannot be asked, or `write` does not take a line.
pub async fn export(
    store: &Store,
    from: Position,
    mut write: impl FnMut(String) -> io::Result<()> + Send,
) -> Result<u64, LedgerError> {
    let mut snapshot = store.snapshot().await?;
    let mut after = Position(from.0.saturating_sub(1));
    let mut lines = 0;
    loop {
        let page = snapshot.list_chain(after).await?;
        let Some((last, _)) = page.last().and_then(|row| row.place.as_ref()) else { return Ok(lines) };
        after = *last;
        for row in &page {
            let line = line(row).map_err(|error| LedgerError::Write(error.into()))?;
            write(line).map_err(LedgerError::Write)?;
            lines += 1;
        }
    }
}

fn line(row: &EventCheck) -> Result<String, serde_json::Error> {
    let (position, hash) = row.place.as_ref().map_or((0, String::new()), |(at, hash)| (at.0, hex(hash)));
    let event = row.event.as_ref();
    let mut line = serde_json::to_string(&Line {
        position,
        hash,
        id: row.id.0,
        kind: event.map(|event| event.kind.as_str()),
        schema: event.map(|event| event.schema),
        at: event.map(|event| event.at.to_rfc3339_opts(SecondsFormat::Micros, true)),
        system: event.and_then(|event| event.scope.system.as_ref()).map(|system| system.as_str()),
        environment: event.and_then(|event| event.scope.environment.as_deref()),
        incident: event.and_then(|event| event.scope.incident).map(|incident| incident.0),
        run: event.and_then(|event| event.scope.run).map(|run| run.0),
        audience: event.and_then(|event| event.scope.audience.as_deref()),
        cause: event.and_then(|event| event.cause).map(|cause| cause.0),
        commitment: event.map(|event| hex(&event.commitment)),
    })?;
    // The body's own bytes, never written anew, go in before the brace.
    line.pop();
    line += &event.map_or_else(String::new, body);
    line.push('}');
    Ok(line)
}

/// The end of a line: the body, or what became of it.
fn body(event: &ChainRow) -> String {
    match (&event.body, event.erased_by) {
        (Some((salt, body)), _) => {
            let salt = hex(salt);
            match std::str::from_utf8(body) {
                Ok(text) if is_one_line_of_json(text) => format!(r#","salt":"{salt}","body":{text}"#),
                _ => format!(r#","salt":"{salt}","body_hex":"{}""#, hex(body)),
            }
        }
        (None, Some(by)) => format!(r#","erased_by":{by}"#),
        (None, None) => String::new(),
    }
}

/// Whether a text can stand in a line as it is: tampered bytes must not become lines of their own.
fn is_one_line_of_json(text: &str) -> bool {
    !text.contains(['\n', '\r']) && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::model::event::Scope;
    use crate::model::id::{EventId, InboxId, RunId, SystemName};

    fn row(body: Option<&[u8]>) -> EventCheck {
        let event = ChainRow {
            place: None,
            id: EventId(7),
            kind: "run_succeeded".into(),
            schema: 1,
            at: DateTime::from_timestamp_micros(1_795_249_380_000_001).expect("a time"),
            scope: Scope { system: Some(SystemName::new("a\",\"body\":{")), run: Some(RunId(12)), ..Scope::default() },
            cause: Some(InboxId(3)),
            commitment: vec![0xc0; 32],
            body: body.map(|body| (vec![0x5a; 16], body.to_vec())),
            erased_by: body.is_none().then_some(EventId(9)),
            body_row: true,
        };
        EventCheck { place: Some((Position(5), vec![0xab; 32])), id: EventId(7), event: Some(event), eraser: None }
    }

    #[test]
    fn a_line_holds_the_body_as_it_is() {
        let body = r#"{"what": {"kind":"run_succeeded","z":1,"a":2.50}}"#;
        let line = line(&row(Some(body.as_bytes()))).expect("a line");
        insta::assert_snapshot!(line, @r#"{"position":5,"hash":"abababababababababababababababababababababababababababababababab","id":7,"kind":"run_succeeded","schema":1,"at":"2026-11-21T08:23:00.000001Z","system":"a\",\"body\":{","environment":null,"incident":null,"run":12,"audience":null,"cause":3,"commitment":"c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0","salt":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","body":{"what": {"kind":"run_succeeded","z":1,"a":2.50}}}"#);
        let (_, rest) = line.split_once(r#","body":"#).expect("a body");
        assert_eq!(rest.strip_suffix('}'), Some(body), "found as the module says");
        let read: serde_json::Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!(read["body"]["what"]["kind"], "run_succeeded");
    }

    #[test]
    fn erased_missing_and_broken_bodies_are_said() {
        let end = |line: &str| line.split_once(r#""commitment":"#).map(|(_, end)| end[66..].to_owned());
        insta::assert_snapshot!(end(&line(&row(None)).expect("a line")).expect("an end"), @r#","erased_by":9}"#);
        insta::assert_snapshot!(end(&line(&row(Some(b"{\n}"))).expect("a line")).expect("an end"), @r#","salt":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","body_hex":"7b0a7d"}"#);
        let mut missing = row(None);
        missing.event = None;
        let line = line(&missing).expect("a line");
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok_and(|line| line["kind"].is_null()), "{line}");
    }
}

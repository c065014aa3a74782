//! Trace contexts, as W3C trace context (level 1) writes them: which of a company's many log lines belong to one deed.
//!
//! A trace begins with a line, or comes in with it, and stays with the run that the line made: each attempt of a step finds
//! it in `TRACEPARENT`. It is told in logs and to processes, and is part of nothing that anybody agrees to. Pure: random
//! bytes come from outside.

use std::fmt;
use std::str::FromStr;

/// The bit of the flags that says that whoever began the trace keeps it.
const SAMPLED: u8 = 1;

/// A trace, with the one flag of it that level 1 knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: TraceId,
    sampled: bool,
}

/// The name of a trace: never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId([u8; 16]);

/// The name of a part of a trace: never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId([u8; 8]);

/// A text that is no trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not a trace")]
pub struct NotATrace;

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly so many bytes of lower-case hexadecimal.
fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !lower || text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(place * 2..place * 2 + 2)?, 16).ok()?;
    }
    Some(bytes)
}

/// Zeros mean "none": the one draw of all is moved aside.
fn not_zero<const N: usize>(mut bytes: [u8; N]) -> [u8; N] {
    if bytes.iter().all(|byte| *byte == 0)
        && let Some(last) = bytes.last_mut()
    {
        *last = 1;
    }
    bytes
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl SpanId {
    /// A name of random bytes.
    pub fn from_entropy(bytes: [u8; 8]) -> Self {
        Self(not_zero(bytes))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl Trace {
    /// A trace that begins here, of random bytes. It is kept: in our log, if nowhere else.
    pub fn from_entropy(bytes: [u8; 16]) -> Self {
        Self { id: TraceId(not_zero(bytes)), sampled: true }
    }

    /// The trace of a `traceparent` header. `None`: it is not valid, and then a trace begins here. Of a version later than
    /// ours what this one knows is read.
    pub fn from_traceparent(header: &str) -> Option<Self> {
        let header = header.trim_matches([' ', '\t']);
        let mut parts = header.splitn(5, '-');
        let [version] = read_hex::<1>(parts.next()?)?;
        let id = read_hex::<16>(parts.next()?)?;
        let parent = read_hex::<8>(parts.next()?)?;
        let [flags] = read_hex::<1>(parts.next()?)?;
        let more = parts.next();
        let is_wrong = version == 0xff || (version == 0 && more.is_some()) || id == [0; 16] || parent == [0; 8];
        (!is_wrong).then_some(Self { id: TraceId(id), sampled: flags & SAMPLED != 0 })
    }

    /// Its name.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// What a process is told, whose parent is the given part of the trace.
    pub fn traceparent(&self, parent: SpanId) -> String {
        format!("00-{}-{parent}-{:02x}", self.id, self.flags())
    }

    fn flags(&self) -> u8 {
        if self.sampled { SAMPLED } else { 0 }
    }
}

/// As it is stored: name and flags.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:02x}", self.id, self.flags())
    }
}

impl FromStr for Trace {
    type Err = NotATrace;

    fn from_str(text: &str) -> Result<Self, NotATrace> {
        let (id, flags) = text.split_once('-').ok_or(NotATrace)?;
        let id = read_hex::<16>(id).filter(|id| *id != [0; 16]).ok_or(NotATrace)?;
        let [flags] = read_hex::<1>(flags).ok_or(NotATrace)?;
        Ok(Self { id: TraceId(id), sampled: flags & SAMPLED != 0 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn headers_are_read_as_the_standard_says() {
        let id = |header: &str| Trace::from_traceparent(header).map(|trace| trace.id().to_string());
        for right in [
            format!("00-{ID}-{PARENT}-01"),
            format!("00-{ID}-{PARENT}-00"),
            format!(" \t00-{ID}-{PARENT}-ff "),
            // A later version may say more.
            format!("01-{ID}-{PARENT}-01"),
            format!("cc-{ID}-{PARENT}-01-what-else"),
        ] {
            assert_eq!(id(&right).as_deref(), Some(ID), "{right}");
        }
        let zeros = |length| "0".repeat(length);
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{ID}"),
            format!("00-{ID}-{PARENT}"),
            format!("00-{ID}-{PARENT}-1"),
            format!("00-{ID}-{PARENT}-01-"),
            format!("00-{ID}-{PARENT}-01-more"),
            format!("01-{ID}-{PARENT}-01more"),
            format!("ff-{ID}-{PARENT}-01"),
            format!("0-{ID}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", zeros(32)),
            format!("00-{ID}-{}-01", zeros(16)),
            format!("00-{}-{PARENT}-01", ID.to_uppercase()),
            format!("00-{}g-{PARENT}-01", &ID[1..]),
            format!("00-é{}-{PARENT}-01", &ID[2..]),
            format!("00_{ID}_{PARENT}_01"),
        ] {
            assert_eq!(id(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_caller_says_whether_it_is_kept() {
        let span = SpanId::from_entropy([7; 8]);
        for (flags, told) in [("00", "00"), ("01", "01"), ("02", "00"), ("03", "01")] {
            let trace = Trace::from_traceparent(&format!("00-{ID}-{PARENT}-{flags}")).expect("a trace");
            assert_eq!(trace.traceparent(span), format!("00-{ID}-0707070707070707-{told}"));
        }
    }

    #[test]
    fn zeros_are_no_name() {
        assert_eq!(SpanId::from_entropy([0; 8]).to_string(), "0000000000000001");
        assert!(Trace::from_entropy([0; 16]).to_string().ends_with("0001-01"));
        assert_eq!(format!("{}-01", "0".repeat(32)).parse::<Trace>(), Err(NotATrace));
    }

    proptest! {
        #[test]
        fn what_is_told_and_what_is_stored_come_back(id: [u8; 16], span: [u8; 8]) {
            let trace = Trace::from_entropy(id);
            prop_assert_eq!(Trace::from_traceparent(&trace.traceparent(SpanId::from_entropy(span))), Some(trace));
            prop_assert_eq!(trace.to_string().parse::<Trace>(), Ok(trace));
        }

        #[test]
        fn no_header_is_too_wild(header: String) {
            let _ = Trace::from_traceparent(&header);
        }
    }
}

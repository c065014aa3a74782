//! What verification says: heads to compare with, findings, and the report as text.
//!
//! What lives here: the words. What does not: finding anything (`verify`, `replay`).

use std::fmt;

use crate::model::id::{AccessId, Digest, EventId, PersonId, Position, RequestId};
use crate::model::report::Verification;

/// How many findings a report keeps. All of them are counted.
pub const KEPT: usize = 100;

/// The fewest hexadecimal characters of a hash that make a head: as many as rooms show.
const HEAD_AT_LEAST: usize = 12;

/// A head that somebody kept outside the database, whole or as much as a room shows of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    position: Position,
    /// 12 to 64 hexadecimal characters, lower case.
    hash: String,
}

/// Why a text is no head.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a head: write POSITION:HASH as a room shows it, such as 4201:77ae03c5b1d2, with at least 12 characters of the hash"
)]
pub struct HeadError(pub String);

impl Head {
    /// A head with its whole hash.
    pub fn new(position: Position, hash: Digest) -> Self {
        Self { position, hash: hash.to_string() }
    }

    /// Its place.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Whether a hash is this head's, as far as this head says.
    pub fn matches(&self, hash: Digest) -> bool {
        hash.to_string().starts_with(&self.hash)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.position, self.hash)
    }
}

impl std::str::FromStr for Head {
    type Err = HeadError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_head(text)
    }
}

/// Reads `4201:77ae03c5b1d2`: a position from 1 and 12 to 64 hexadecimal characters.
///
/// # Errors
/// When the text is anything else.
pub fn parse_head(text: &str) -> Result<Head, HeadError> {
    let wrong = || HeadError(text.to_owned());
    let (position, hash) = text.trim().split_once(':').ok_or_else(wrong)?;
    let digits = !position.is_empty() && position.bytes().all(|byte| byte.is_ascii_digit());
    let position = position.parse::<i64>().ok().filter(|position| digits && *position > 0).ok_or_else(wrong)?;
    let hexadecimal = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal || !(HEAD_AT_LEAST..=64).contains(&hash.len()) {
        return Err(wrong());
    }
    Ok(Head { position: Position(position), hash: hash.to_ascii_lowercase() })
}

/// Which event: its place, once it has one, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Its place; `None` while it waits for the sequencer.
    pub position: Option<Position>,
    /// Its number.
    pub event: EventId,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some(position) => write!(f, "position {position} (event {})", self.event),
            None => write!(f, "waiting event {}", self.event),
        }
    }
}

/// Something that is not as it should be. Its text is one sentence that names the place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The chain ends before a head.
    Removed {
        /// The head.
        head: Head,
        /// Where the chain ends; 0 when it is empty.
        end: Position,
    },
    /// A head is not in the chain.
    HeadDiffers {
        /// The head.
        head: Head,
        /// The hash that stands there; `None` when no row does.
        found: Option<Digest>,
    },
    /// Positions are missing.
    Gap {
        /// The first that is missing.
        first: Position,
        /// The last that is missing.
        last: Position,
    },
    /// A position that no chain has.
    Misplaced {
        /// The position.
        position: Position,
    },
    /// Hashes do not follow.
    Hash {
        /// The first that does not.
        first: At,
        /// The last that does not, without one between them that does.
        last: Position,
    },
    /// An event is not there.
    EventMissing {
        /// Which.
        at: At,
    },
    /// A body is not there, and nobody erased it.
    BodyMissing {
        /// Of which event.
        at: At,
    },
    /// A body is not the one that was recorded.
    Body {
        /// Of which event.
        at: At,
    },
    /// A body is gone, and the event that should say so does not.
    Erasure {
        /// Of which event.
        at: At,
        /// The event that is named.
        by: EventId,
    },
    /// The column and the body say different kinds.
    Kind {
        /// Of which event.
        at: At,
        /// The column.
        column: String,
        /// The body; `None` when it names none.
        body: Option<String>,
    },
    /// A body that this binary cannot read, so that it cannot be replayed.
    Unreadable {
        /// Of which event.
        at: At,
        /// Its kind.
        kind: String,
        /// The version of its body.
        schema: i16,
    },
    /// The ledger does not begin with its creation.
    NoGenesis {
        /// The first event.
        at: At,
        /// Its kind.
        kind: String,
    },
    /// The ledger is created a second time.
    SecondGenesis {
        /// Where.
        at: At,
    },
    /// An event that is neither chained nor waiting.
    LooseEvent {
        /// Which.
        event: EventId,
    },
    /// An event that is chained and waits as well.
    StillWaiting {
        /// Which.
        event: EventId,
    },
    /// An event that has several places.
    Repeated {
        /// Which.
        event: EventId,
    },
    /// A body without an event.
    LooseBody {
        /// Of which event.
        event: EventId,
    },
    /// A row's version went back or its state changed within a version.
    Backwards {
        /// Which row.
        row: String,
        /// Where.
        at: At,
    },
    /// A row is gone.
    RowMissing {
        /// Which row.
        row: String,
        /// The event that tells of it.
        at: At,
    },
    /// No event tells of a row, or not the one that should.
    Untold {
        /// Which row.
        row: String,
        /// The kind of event that is missing; `None`: any.
        kind: Option<&'static str>,
    },
    /// A column is not what the ledger says.
    Column {
        /// Which row.
        row: String,
        /// Which column.
        column: &'static str,
        /// What stands there.
        table: String,
        /// What should.
        ledger: String,
        /// The event that says so.
        at: At,
    },
    /// A plan's bytes are not those of its digest.
    Plan {
        /// The digest under which it stands.
        digest: String,
        /// The digest of its bytes.
        found: Digest,
    },
    /// A plan cannot be read, so that nothing can be compared with it.
    PlanUnreadable {
        /// Its digest.
        digest: Digest,
    },
    /// A request was granted against its rules.
    Grant {
        /// Which request.
        request: RequestId,
        /// Where.
        at: At,
        /// What was wrong.
        why: String,
    },
    /// A change of who may do what was countersigned or refused by somebody who could not.
    Access {
        /// Which version.
        access: AccessId,
        /// Where.
        at: At,
        /// What was wrong.
        why: String,
    },
    /// What is said to have been done with a passkey does not stand on what a passkey has signed.
    Passkey {
        /// For which request.
        request: RequestId,
        /// Where.
        at: At,
        /// What was wrong.
        why: String,
    },
    /// Somebody agreed to what they asked for (I7).
    OwnApproval {
        /// Which request.
        request: RequestId,
        /// Who.
        person: PersonId,
        /// Where.
        at: At,
    },
    /// An attempt was started against the rules (I1).
    Attempt {
        /// Which row.
        row: String,
        /// Where.
        at: At,
        /// What was wrong.
        why: String,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Removed { head, end } => {
                write!(f, "The chain ends at {end}, before the head {head}: events were removed from its end.")
            }
            Self::HeadDiffers { head, found: Some(found) } => write!(
                f,
                "Position {} has the hash {found}, which is not that of the head {head}: the ledger was changed at or before it, or the head is another ledger's.",
                head.position
            ),
            Self::HeadDiffers { head, found: None } => {
                write!(f, "Position {} is not in the chain, so the head {head} cannot be.", head.position)
            }
            Self::Gap { first, last } if first == last => write!(f, "Position {first} is missing from the chain."),
            Self::Gap { first, last } => write!(f, "Positions {first} to {last} are missing from the chain."),
            Self::Misplaced { position } => write!(f, "Position {position} stands in the chain, which begins at 1."),
            Self::Hash { first, last } if first.position == Some(*last) => write!(
                f,
                "The hash at {first} does not follow from the position before and the event: one of the three was changed."
            ),
            Self::Hash { first, last } => write!(
                f,
                "The hashes from {first} to position {last} do not follow from the positions before and the events: hashes or events were changed, exchanged or renumbered."
            ),
            Self::EventMissing { at: At { position: Some(position), event } } => {
                write!(f, "Position {position} names event {event}, which is not there.")
            }
            Self::EventMissing { at: At { position: None, event } } => {
                write!(f, "Event {event} waits for its place and is not there.")
            }
            Self::BodyMissing { at } => write!(f, "The body of {at} is missing, and no event says that it was erased."),
            Self::Body { at } => write!(f, "The body of {at} is not the one that was recorded: its hash is another."),
            Self::Erasure { at, by } => write!(
                f,
                "The body of {at} is said to be erased by event {by}, which is not a later event that says so."
            ),
            Self::Kind { at, column, body: Some(body) } => {
                write!(f, "The column `kind` of {at} says `{column}` and the body says `{body}`.")
            }
            Self::Kind { at, column, body: None } => {
                write!(f, "The column `kind` of {at} says `{column}` and the body says no kind.")
            }
            Self::Unreadable { at, kind, schema } => write!(
                f,
                "The body of {at}, of kind `{kind}` and version {schema}, cannot be read by this version of countersign, so what follows from it was not compared."
            ),
            Self::NoGenesis { at, kind } => {
                write!(f, "The ledger begins with {at} of kind `{kind}` and not with its creation.")
            }
            Self::SecondGenesis { at } => write!(f, "The ledger is created once more at {at}."),
            Self::LooseEvent { event } => write!(f, "Event {event} is neither in the chain nor waiting for its place."),
            Self::StillWaiting { event } => write!(f, "Event {event} is in the chain and still waits for its place."),
            Self::Repeated { event } => write!(f, "Event {event} has more than one place in the chain."),
            Self::LooseBody { event } => write!(f, "There is a body for event {event}, which is not there."),
            Self::Backwards { row, at } => {
                write!(f, "{row} goes back at {at}: to an older version, or to another state of the same one.")
            }
            Self::RowMissing { row, at } => write!(f, "{row} is missing from its table; {at} tells of it."),
            Self::Untold { row, kind: None } => write!(f, "{row} stands in its table, and no event tells of it."),
            Self::Untold { row, kind: Some(kind) } => {
                write!(f, "{row} stands in its table without the `{kind}` event that would tell of it.")
            }
            Self::Column { row, column, table, ledger, at } => {
                write!(f, "{row} has {table} in `{column}`; {at} says {ledger}.")
            }
            Self::Plan { digest, found } => {
                write!(f, "The plan {digest} was changed: its bytes have the digest {found}.")
            }
            Self::PlanUnreadable { digest } => write!(
                f,
                "The plan {digest} is missing or cannot be read by this version of countersign, so what follows from it was not compared."
            ),
            Self::Grant { request, at, why } => {
                write!(f, "request/{request} was granted at {at} against its rules: {why}.")
            }
            Self::Access { access, at, why } => {
                write!(f, "access/{access} was decided at {at} against its rules: {why}.")
            }
            Self::Passkey { request, at, why } => {
                write!(f, "A passkey was used for request/{request} at {at}, and that does not hold: {why}.")
            }
            Self::OwnApproval { request, person, at } => {
                write!(f, "{person} asked for request/{request} and agreed to it at {at}.")
            }
            Self::Attempt { row, at, why } => write!(f, "{row} was started at {at} against the rules: {why}."),
        }
    }
}

/// Findings, counted, the first of them kept.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    total: u64,
}

impl Findings {
    pub(super) fn push(&mut self, finding: Finding) {
        self.total += 1;
        if self.kept.len() < KEPT {
            self.kept.push(finding);
        }
    }

    /// Counts findings of which only some were read.
    pub(super) fn count_unread(&mut self, more: u64) {
        self.total += more;
    }

    /// Sorted, with the count of all.
    pub(super) fn into_sorted(mut self) -> (Vec<Finding>, u64) {
        self.kept.sort();
        (self.kept, self.total)
    }
}

/// What verification came to. Its Display is the whole of it, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many events are in the chain.
    pub events: u64,
    /// The chain's newest place; `None` while it is empty.
    pub head: Option<(Position, Digest)>,
    /// How many bodies were erased, with an event that says so.
    pub erased: u64,
    /// How many events wait for their place.
    pub waiting: u64,
    /// How many rows of runs, requests, grants, attempts and decisions were compared.
    pub rows: u64,
    /// How many columns and rows could not be compared because events that tell of them were erased.
    pub not_compared: u64,
    /// The newest given head that the chain has. Up to it nobody can have changed anything since somebody kept it.
    pub proved: Option<Head>,
    /// What is wrong, sorted; the first [`KEPT`].
    pub findings: Vec<Finding>,
    /// How much is wrong altogether.
    pub total: u64,
}

impl Report {
    /// Whether nothing was found.
    pub fn is_sound(&self) -> bool {
        self.total == 0
    }

    /// As the report of an incident holds it: without what may differ at the same head. `None` while the chain is empty.
    pub fn verification(&self) -> Option<Verification> {
        let (position, hash) = self.head?;
        let findings = self.findings.iter().map(ToString::to_string).collect();
        Some(Verification { sound: self.is_sound(), position, hash, findings, total: self.total })
    }
}

/// `1 event`, `2 events`.
fn counted(number: u64, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = counted(self.events, "event");
        let extent = match &self.head {
            Some((position, hash)) => format!("{events} up to {position}:{hash}"),
            None => format!("{events} in the chain"),
        };
        match self.total {
            0 => writeln!(f, "Ledger sound: {extent}.")?,
            total => writeln!(f, "Ledger NOT sound: {} in {extent}.", counted(total, "finding"))?,
        }
        for finding in &self.findings {
            writeln!(f, "- {finding}")?;
        }
        let unsaid = self.total.saturating_sub(self.findings.len() as u64);
        if unsaid > 0 {
            writeln!(f, "- And {unsaid} more.")?;
        }
        write!(f, "{} compared, {} erased", counted(self.rows, "row"), self.erased)?;
        if self.not_compared > 0 {
            write!(f, ", {} not compared because of that", self.not_compared)?;
        }
        writeln!(f, ", {} waiting for a place in the chain.", self.waiting)?;
        let end = self.head.map_or(0, |(position, _)| position.0);
        match &self.proved {
            Some(head) if !self.is_sound() => write!(f, "The head {head}, which was kept elsewhere, is in the chain."),
            Some(head) if head.position.0 == end => {
                write!(f, "The head {head}, which was kept elsewhere, is the chain's last: it proves the whole chain.")
            }
            Some(head) => write!(
                f,
                "The head {head}, which was kept elsewhere, proves the chain up to there. After it {} agree with it, and nobody else vouches for them.",
                counted(end.abs_diff(head.position.0), "event")
            ),
            None => write!(
                f,
                "No head that was kept elsewhere vouches for it: give one that a room shows, as `--head POSITION:HASH`."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            events: 4201,
            head: Some((Position(4201), Digest([0x77; 32]))),
            erased: 0,
            waiting: 0,
            rows: 38,
            not_compared: 0,
            proved: None,
            findings: Vec::new(),
            total: 0,
        }
    }

    #[test]
    fn heads_are_read_and_refused() {
        let head = parse_head(" 4201:77AE03c5b1d2 ").expect("a head");
        assert_eq!(head.to_string(), "4201:77ae03c5b1d2");
        let mut whole = [0_u8; 32];
        whole[..6].copy_from_slice(&[0x77, 0xae, 0x03, 0xc5, 0xb1, 0xd2]);
        assert!(head.matches(Digest(whole)));
        whole[5] = 0xd3;
        assert!(!head.matches(Digest(whole)));
        let full = Head::new(Position(1), Digest([0xab; 32]));
        assert_eq!(parse_head(&full.to_string()), Ok(full));
        for wrong in [
            "",
            "4201",
            "4201:",
            ":77ae03c5b1d2",
            "4201:77ae03c5b1d",
            "0:77ae03c5b1d2",
            "-1:77ae03c5b1d2",
            "+1:77ae03c5b1d2",
            "4201:77ae03c5b1dz",
            "9223372036854775808:77ae03c5b1d2",
        ] {
            assert_eq!(parse_head(wrong), Err(HeadError(wrong.to_owned())), "{wrong}");
        }
        assert!(parse_head(&format!("1:{}", "a".repeat(65))).is_err());
        insta::assert_snapshot!(HeadError("x".into()), @"`x` is not a head: write POSITION:HASH as a room shows it, such as 4201:77ae03c5b1d2, with at least 12 characters of the hash");
    }

    #[test]
    fn a_sound_report_says_how_far_that_is() {
        insta::assert_snapshot!(report(), @r#"
        Ledger sound: 4201 events up to 4201:7777777777777777777777777777777777777777777777777777777777777777.
        38 rows compared, 0 erased, 0 waiting for a place in the chain.
        No head that was kept elsewhere vouches for it: give one that a room shows, as `--head POSITION:HASH`.
        "#);
        let proved = Some(parse_head("4190:77ae03c5b1d2").expect("a head"));
        insta::assert_snapshot!(Report { proved, erased: 2, not_compared: 1, waiting: 3, ..report() }, @r#"
        Ledger sound: 4201 events up to 4201:7777777777777777777777777777777777777777777777777777777777777777.
        38 rows compared, 2 erased, 1 not compared because of that, 3 waiting for a place in the chain.
        The head 4190:77ae03c5b1d2, which was kept elsewhere, proves the chain up to there. After it 11 events agree with it, and nobody else vouches for them.
        "#);
        let proved = Some(Head::new(Position(4201), Digest([0x77; 32])));
        insta::assert_snapshot!(Report { proved, ..report() }, @r#"
        Ledger sound: 4201 events up to 4201:7777777777777777777777777777777777777777777777777777777777777777.
        38 rows compared, 0 erased, 0 waiting for a place in the chain.
        The head 4201:7777777777777777777777777777777777777777777777777777777777777777, which was kept elsewhere, is the chain's last: it proves the whole chain.
        "#);
        insta::assert_snapshot!(Report { events: 0, head: None, rows: 0, ..report() }, @r#"
        Ledger sound: 0 events in the chain.
        0 rows compared, 0 erased, 0 waiting for a place in the chain.
        No head that was kept elsewhere vouches for it: give one that a room shows, as `--head POSITION:HASH`.
        "#);
    }

    #[test]
    fn findings_are_sorted_and_all_are_counted() {
        let mut findings = Findings::default();
        for number in (0..150).rev() {
            findings.push(Finding::LooseEvent { event: EventId(number) });
        }
        findings.count_unread(7);
        let (kept, total) = findings.into_sorted();
        assert_eq!((kept.len(), total), (KEPT, 157));
        assert!(kept.is_sorted());
        let report = Report { findings: kept[..2].to_vec(), total, ..report() };
        assert!(!report.is_sound());
        insta::assert_snapshot!(report, @r#"
        Ledger NOT sound: 157 findings in 4201 events up to 4201:7777777777777777777777777777777777777777777777777777777777777777.
        - Event 50 is neither in the chain nor waiting for its place.
        - Event 51 is neither in the chain nor waiting for its place.
        - And 155 more.
        38 rows compared, 0 erased, 0 waiting for a place in the chain.
        No head that was kept elsewhere vouches for it: give one that a room shows, as `--head POSITION:HASH`.
        "#);
    }
}

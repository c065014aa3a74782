//! What a room that is behind is told as one, and what need not be told any more. Pure.
//!
//! A platform takes about one message a second in each room, so a thousand alerts would be a queue of a quarter of an
//! hour, at whose end nobody cares. When a room is behind, what waits for the same place becomes one message that holds
//! every text, in order.
//!
//! What may be joined: messages to everybody that are no subject's own, have no buttons and change nothing. Everything else
//! stays by itself, and nothing that came after it is joined with what came before: a request is where it was. Within one
//! place (the room, or one thread) order is kept; what is said in a thread may come before what another place was to be
//! told a moment earlier.
//!
//! Keeps I5. What is joined is noted in the outbox before it is sent (`OutboxRow::together`), by the holder of the room's
//! lease. From then on it is one message with a key of its own, made of its first message's key and how many follow:
//! whoever comes after a crash finds the same rows joined, and looks for that key, whatever else waits by then. So what is
//! joined need not be computed the same way twice, and the platform has to keep one key and not a hundred. All its
//! rows are marked in one statement, with the name of the message that holds them. A row that may have been sent by itself,
//! as it was tried or as the lease changed hands, is never joined: two keys for one message could not be told to be
//! doubles.
//!
//! A change of a message that has a newer change behind it need not be sent: only the newest text counts. It is marked as
//! the newest is.

use std::collections::{HashMap, HashSet};

use super::Together;
use crate::chat::{Limits, Outgoing};
use crate::model::chat::Message;
use crate::model::id::{MessageId, OutboxId, ThreadId};
use crate::store::{OnlyInstead, OutboxRow};

/// The most messages in one. A person has to read it; and it is less than a look at the outbox brings.
pub(super) const MOST: usize = 100;

/// What stands between texts of which any has more than one line.
const BETWEEN: &str = "\n—\n";

/// What is sent at once.
#[derive(Debug)]
pub(super) enum Unit {
    /// A message by itself.
    One(OutboxRow),
    /// A change that a later one makes superfluous.
    Superseded(OutboxRow),
    /// Several messages as one: two at least, the first of which names it.
    Several(Vec<OutboxRow>, Noted),
}

/// Whether the outbox knows already that messages are told as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Noted {
    Yes,
    NotYet,
}

/// Whether a room is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    Yes,
    No,
}

/// What is known of a room beside what waits.
pub(super) struct Known<'a> {
    pub(super) behind: Behind,
    pub(super) limits: Limits,
    pub(super) together: Together,
    /// What the platform refused when it was joined.
    pub(super) apart: &'a HashSet<OutboxId>,
}

/// Sorts what waits, in order, into what is sent at once. `may_have_been_sent`: whether a row's fate is unknown.
pub(super) fn units(
    rows: Vec<OutboxRow>,
    known: &Known<'_>,
    may_have_been_sent: impl Fn(&OutboxRow) -> bool,
) -> Vec<Unit> {
    let newest: HashMap<MessageId, OutboxId> =
        rows.iter().filter_map(|row| row.edits.clone().map(|edits| (edits, row.id))).collect();
    let mut units: Vec<Unit> = Vec::new();
    // Where what is noted as one has its place, by its first row.
    let mut noted: HashMap<OutboxId, usize> = HashMap::new();
    // Where a further row of the same place may still be joined.
    let mut open: HashMap<Option<ThreadId>, Joining> = HashMap::new();
    for row in rows {
        if let Some(first) = row.together {
            // What comes after it in its place stays after it.
            open.remove(&row.thread);
            match noted.get(&first).and_then(|at| units.get_mut(*at)) {
                Some(Unit::Several(rows, _)) => rows.push(row),
                Some(Unit::One(_) | Unit::Superseded(_)) | None => {
                    noted.insert(first, units.len());
                    units.push(Unit::Several(vec![row], Noted::Yes));
                }
            }
            continue;
        }
        if let Some(edits) = &row.edits {
            let last = newest.get(edits) == Some(&row.id);
            units.push(if last { Unit::One(row) } else { Unit::Superseded(row) });
            continue;
        }
        if !plain(&row) {
            open.clear();
            units.push(Unit::One(row));
            continue;
        }
        let joinable = known.behind == Behind::Yes
            && row.tries == 0
            && !known.apart.contains(&row.id)
            && !may_have_been_sent(&row);
        let place = row.thread.clone();
        if joinable
            && let Some(joining) = open.get_mut(&place)
            && joining.takes(&row.message, known)
            && let Some(Unit::Several(rows, Noted::NotYet)) = units.get_mut(joining.at)
        {
            joining.add(&row.message);
            rows.push(row);
            continue;
        }
        open.remove(&place);
        if joinable {
            open.insert(place, Joining::with(units.len(), &row.message));
            units.push(Unit::Several(vec![row], Noted::NotYet));
        } else {
            units.push(Unit::One(row));
        }
    }
    for unit in &mut units {
        // What found no company is told by itself.
        if let Unit::Several(rows, Noted::NotYet) = unit
            && rows.len() == 1
            && let Some(row) = rows.pop()
        {
            *unit = Unit::One(row);
        }
    }
    units
}

/// Whether a message may stand within another.
fn plain(row: &OutboxRow) -> bool {
    !row.has_role
        && row.only_instead == OnlyInstead::No
        && !row.thread_is_open
        && !row.target_is_open
        && row.edits.is_none()
        && row.message.only_to.is_none()
        && row.message.buttons.is_empty()
}

/// What is being joined.
struct Joining {
    at: usize,
    count: usize,
    characters: usize,
}

impl Joining {
    fn with(at: usize, message: &Message) -> Self {
        Self { at, count: 1, characters: message.text.chars().count() }
    }

    fn takes(&self, message: &Message, known: &Known<'_>) -> bool {
        let first_line = (known.together)(MOST).chars().count() + 1;
        let more = BETWEEN.chars().count() + message.text.chars().count();
        self.count < MOST && first_line + self.characters + more <= known.limits.text
    }

    fn add(&mut self, message: &Message) {
        self.count += 1;
        self.characters += BETWEEN.chars().count() + message.text.chars().count();
    }
}

/// Several messages as the one that holds them. Whoever is pinged by any is pinged by it.
pub(super) fn joined(rows: &[OutboxRow], together: Together) -> Option<Outgoing> {
    let first = rows.first()?;
    let between = if rows.iter().any(|row| row.message.text.trim_end().contains('\n')) { BETWEEN } else { "\n" };
    let texts: Vec<&str> = rows.iter().map(|row| row.message.text.trim_end()).collect();
    let mut message = Message::to_room(format!("{}\n{}", together(rows.len()), texts.join(between)));
    for account in rows.iter().flat_map(|row| &row.message.ping) {
        if !message.ping.contains(account) {
            message.ping.push(account.clone());
        }
    }
    Some(Outgoing {
        id: first.id,
        room: first.room.clone(),
        thread: first.thread.clone(),
        key: format!("{}+{}", first.key, rows.len() - 1),
        cause: None,
        edits: None,
        message,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::chat::{Long, Used};
    use crate::model::chat::Button;

    const LIMITS: Limits = Limits { text: 200, buttons: 5, used: Used::Hidden, at_once: Some(3), long: Long::Messages };

    fn together(count: usize) -> String {
        format!("{count} messages at once, as I was behind:")
    }

    fn row(id: i64, text: &str) -> OutboxRow {
        OutboxRow {
            id: OutboxId(id),
            only_instead: OnlyInstead::No,
            room: "slack:T1:C1".parse().expect("an address"),
            thread: None,
            thread_is_open: false,
            key: format!("event:{id}:0"),
            cause: None,
            edits: None,
            target_is_open: false,
            tries: 0,
            message: Message::to_room(text),
            created_at: chrono::DateTime::UNIX_EPOCH,
            platform_message: None,
            has_role: false,
            together: None,
        }
    }

    fn in_thread(id: i64, thread: &str) -> OutboxRow {
        OutboxRow { thread: Some(ThreadId::new(thread)), ..row(id, "x") }
    }

    fn edit(id: i64, of: &str) -> OutboxRow {
        OutboxRow { edits: Some(MessageId::new(of)), has_role: true, ..row(id, "x") }
    }

    fn request(id: i64) -> OutboxRow {
        let mut row = OutboxRow { has_role: true, ..row(id, "may I?") };
        row.message.buttons.push(Button { label: "approve".into(), command: "approve 7K3F".into() });
        row
    }

    /// `1 2+3 (4)`: alone, joined, superseded.
    fn shown(units: &[Unit]) -> String {
        let number = |row: &OutboxRow| row.id.0.to_string();
        let show = |unit: &Unit| match unit {
            Unit::One(row) => number(row),
            Unit::Superseded(row) => format!("({})", number(row)),
            Unit::Several(rows, noted) => {
                let mark = if *noted == Noted::Yes { "!" } else { "" };
                rows.iter().map(number).collect::<Vec<_>>().join("+") + mark
            }
        };
        units.iter().map(show).collect::<Vec<_>>().join(" ")
    }

    fn sorted(behind: Behind, rows: Vec<OutboxRow>) -> String {
        let known = Known { behind, limits: LIMITS, together, apart: &HashSet::from([OutboxId(77)]) };
        shown(&units(rows, &known, |row| row.id == OutboxId(66)))
    }

    #[test]
    fn only_a_room_that_is_behind_is_told_several_things_as_one() {
        let rows = || vec![row(1, "a"), row(2, "b"), row(3, "c")];
        assert_eq!(sorted(Behind::No, rows()), "1 2 3");
        assert_eq!(sorted(Behind::Yes, rows()), "1+2+3");
        assert_eq!(sorted(Behind::Yes, vec![row(1, "a")]), "1");
    }

    #[test]
    fn i5_what_somebody_has_to_see_by_itself_stays_where_it_is() {
        let mut private = row(4, "for you");
        private.message.only_to = Some("slack:T1:U1".parse().expect("an account"));
        let open = OutboxRow { thread_is_open: true, ..row(7, "x") };
        let rows = vec![row(1, "a"), row(2, "b"), request(3), private, row(5, "c"), row(6, "d"), open, row(8, "e")];
        assert_eq!(sorted(Behind::Yes, rows), "1+2 3 4 5+6 7 8");
    }

    #[test]
    fn i5_what_may_have_been_sent_by_itself_is_not_joined() {
        let tried = OutboxRow { tries: 1, ..row(1, "a") };
        assert_eq!(sorted(Behind::Yes, vec![tried, row(2, "b"), row(3, "c")]), "1 2+3");
        assert_eq!(sorted(Behind::Yes, vec![row(66, "a"), row(67, "b"), row(68, "c")]), "66 67+68");
        assert_eq!(sorted(Behind::Yes, vec![row(76, "a"), row(77, "b"), row(78, "c")]), "76 77 78");
    }

    #[test]
    fn each_place_is_told_its_own_in_order() {
        let rows = vec![row(1, "a"), in_thread(2, "t"), row(3, "c"), in_thread(4, "t"), in_thread(5, "u")];
        assert_eq!(sorted(Behind::Yes, rows), "1+3 2+4 5");
    }

    #[test]
    fn only_the_newest_change_of_a_message_is_sent() {
        let rows = vec![edit(1, "m1"), edit(2, "m2"), edit(3, "m1"), row(4, "a"), edit(5, "m1")];
        assert_eq!(sorted(Behind::No, rows), "(1) 2 (3) 4 5");
    }

    #[test]
    fn i5_what_was_joined_once_stays_joined_whatever_else_waits() {
        let noted = |id| OutboxRow { together: Some(OutboxId(2)), ..row(id, "x") };
        let rows = vec![row(1, "a"), noted(2), row(3, "late"), noted(4), noted(5), row(6, "b")];
        assert_eq!(sorted(Behind::No, rows), "1 2+4+5! 3 6");
        let alone = OutboxRow { tries: 3, ..noted(2) };
        assert_eq!(sorted(Behind::Yes, vec![alone]), "2!");
        let rows = vec![row(1, "a"), noted(2), noted(4), row(5, "b"), row(6, "c")];
        assert_eq!(sorted(Behind::Yes, rows), "1 2+4! 5+6");
    }

    #[test]
    fn it_holds_every_text_and_pings_everybody_once() {
        let account = |id: &str| format!("slack:T1:{id}").parse().expect("an account");
        let (mut one, mut two, three) = (row(1, "service b failed"), row(2, "service c failed"), row(3, "d is fine"));
        one.message.ping = vec![account("U1"), account("U2")];
        two.message.ping = vec![account("U2"), account("U3")];
        let joined = joined(&[one, two, three], together).expect("some");
        insta::assert_snapshot!(joined.message.text, @r"
        3 messages at once, as I was behind:
        service b failed
        service c failed
        d is fine
        ");
        assert_eq!(joined.message.ping, ["U1", "U2", "U3"].map(account));
        assert_eq!(joined.key, "event:1:0+2");
    }

    #[test]
    fn a_line_parts_texts_of_several_lines() {
        let rows = [row(1, "service b failed\n  exit 3"), row(2, "service c failed")];
        insta::assert_snapshot!(joined(&rows, together).expect("some").message.text, @r"
        2 messages at once, as I was behind:
        service b failed
          exit 3
        —
        service c failed
        ");
    }

    proptest! {
        #[test]
        fn i5_nothing_is_lost_or_doubled_or_too_long_and_each_place_keeps_its_order(
            kinds in proptest::collection::vec((0_u8..6, 1_usize..150), 0..60),
        ) {
            let rows: Vec<OutboxRow> = (1..).zip(&kinds).map(|(id, (kind, length))| {
                let text = "x".repeat(*length);
                match kind {
                    0 => request(id),
                    1 => OutboxRow { thread: Some(ThreadId::new("t")), ..row(id, &text) },
                    2 => OutboxRow { tries: 1, ..row(id, &text) },
                    _ => row(id, &text),
                }
            }).collect();
            let known = Known { behind: Behind::Yes, limits: LIMITS, together, apart: &HashSet::new() };
            let units = units(rows.clone(), &known, |_| false);
            let mut told: Vec<(Option<ThreadId>, i64)> = Vec::new();
            for unit in &units {
                match unit {
                    Unit::One(row) => told.push((row.thread.clone(), row.id.0)),
                    Unit::Superseded(row) => prop_assert!(false, "{row:?}"),
                    Unit::Several(rows, _) => {
                        prop_assert!(rows.len() > 1 && rows.iter().all(plain));
                        let joined = joined(rows, together).expect("some");
                        prop_assert!(joined.message.text.chars().count() <= LIMITS.text);
                        told.extend(rows.iter().map(|row| (row.thread.clone(), row.id.0)));
                    }
                }
            }
            for place in [None, Some(ThreadId::new("t"))] {
                let wanted: Vec<i64> = rows.iter().filter(|row| row.thread == place).map(|row| row.id.0).collect();
                let got: Vec<i64> = told.iter().filter(|(of, _)| *of == place).map(|(_, id)| *id).collect();
                prop_assert_eq!(got, wanted);
            }
        }
    }
}

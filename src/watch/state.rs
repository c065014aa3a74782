//! What the results of a check come to: soft until enough of them agree, then hard.
//!
//! - `ok` is hard at once: whoever waits for it need not wait longer.
//! - `warning`, `critical` and `unknown` are hard after as many results of the same kind in a row as the check's
//!   `fails_after` says. One of another kind in between begins the count anew.
//! - `unknown` is a state of its own. It is never healthy, and what was known before is not known any more.

use chrono::{DateTime, Utc};

use crate::model::event::Health;

/// How many of its latest turns a check remembers. No brake looks at more.
pub const TURNS_KEPT: usize = 128;

/// What is known of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// What is certain; `None` until the first certain result.
    pub hard: Option<Health>,
    /// When the first of the results that made it certain was asked for.
    pub hard_since: Option<DateTime<Utc>>,
    /// What the newest result says.
    pub soft: Health,
    /// When the first of the results in a row that say so was asked for.
    pub soft_since: DateTime<Utc>,
    /// How many in a row say so.
    pub soft_count: u32,
    /// When the newest result was asked for.
    pub asked_at: DateTime<Utc>,
    /// Its first line, redacted.
    pub detail: String,
    /// When the newest result that was ok was asked for.
    pub ok_at: Option<DateTime<Utc>>,
    /// When it has turned for certain, newest last; [`TURNS_KEPT`] at most.
    pub turns: Vec<DateTime<Utc>>,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What it says.
    pub health: Health,
    /// Its first line, redacted.
    pub detail: String,
    /// When it was asked for.
    pub at: DateTime<Utc>,
}

/// A change for certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// What it was; `None` if nothing was known.
    pub was: Option<Health>,
    /// What it is.
    pub now: Health,
    /// When the first of the results that made it certain was asked for.
    pub since: DateTime<Utc>,
    /// How many they are.
    pub results: u32,
}

/// Takes one result. Returns what is known then, and whether that is a turn. A result that was asked for before the one
/// that is known already tells nothing.
pub fn next(known: Option<&Known>, seen: &Seen, fails_after: u32) -> (Known, Option<Turn>) {
    if let Some(known) = known
        && seen.at < known.asked_at
    {
        return (known.clone(), None);
    }
    let same = known.filter(|known| known.soft == seen.health);
    let mut next = Known {
        hard: known.and_then(|known| known.hard),
        hard_since: known.and_then(|known| known.hard_since),
        soft: seen.health,
        soft_since: same.map_or(seen.at, |known| known.soft_since),
        soft_count: same.map_or(1, |known| known.soft_count.saturating_add(1)),
        asked_at: seen.at,
        detail: seen.detail.clone(),
        ok_at: if seen.health == Health::Ok { Some(seen.at) } else { known.and_then(|known| known.ok_at) },
        turns: known.map(|known| known.turns.clone()).unwrap_or_default(),
    };
    let enough = match seen.health {
        Health::Ok => 1,
        Health::Warning | Health::Critical | Health::Unknown => fails_after.max(1),
    };
    if next.hard == Some(seen.health) || next.soft_count < enough {
        return (next, None);
    }
    let turn = Turn { was: next.hard, now: seen.health, since: next.soft_since, results: next.soft_count };
    // The first word on a check is no change of it.
    if turn.was.is_some() {
        next.turns.push(seen.at);
        let too_many = next.turns.len().saturating_sub(TURNS_KEPT);
        next.turns.drain(..too_many);
    }
    next.hard = Some(turn.now);
    next.hard_since = Some(turn.since);
    (next, Some(turn))
}

/// Whether a service is well: every one of its scheduled checks is ok for certain. What is unknown, or was never asked,
/// is not well.
pub fn all_well(checks: impl IntoIterator<Item = Option<Health>>) -> bool {
    let mut any = false;
    for health in checks {
        any = true;
        match health {
            Some(Health::Ok) => {}
            None | Some(Health::Warning | Health::Critical | Health::Unknown) => return false,
        }
    }
    any
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn seen(health: Health, second: i64) -> Seen {
        Seen { health, detail: String::new(), at: at(second) }
    }

    /// Plays results, one a second, and writes down every turn.
    fn play(results: &[Health], fails_after: u32) -> (Option<Known>, Vec<(usize, Turn)>) {
        let mut known = None;
        let mut turns = Vec::new();
        for (second, health) in results.iter().enumerate() {
            let (next_known, turn) = next(known.as_ref(), &seen(*health, second as i64), fails_after);
            turns.extend(turn.map(|turn| (second, turn)));
            known = Some(next_known);
        }
        (known, turns)
    }

    use Health::{Critical, Ok, Unknown, Warning};

    #[test]
    fn a_failure_is_certain_after_so_many_results_and_since_the_first_of_them() {
        let (known, turns) = play(&[Ok, Critical, Critical], 2);
        let turn = Turn { was: Some(Ok), now: Critical, since: at(1), results: 2 };
        assert_eq!(turns[1..], [(2, turn)]);
        let known = known.expect("results were taken");
        assert_eq!((known.hard, known.hard_since, known.turns), (Some(Critical), Some(at(1)), vec![at(2)]));
    }

    #[test]
    fn ok_is_certain_at_once_and_the_first_word_is_no_change() {
        let (known, turns) = play(&[Ok], 5);
        assert_eq!(turns, [(0, Turn { was: None, now: Ok, since: at(0), results: 1 })]);
        assert!(known.expect("a result was taken").turns.is_empty());
    }

    #[test]
    fn another_kind_in_between_begins_the_count_anew() {
        assert_eq!(play(&[Ok, Critical, Warning, Critical, Unknown, Critical], 2).1.len(), 1);
        assert_eq!(play(&[Ok, Critical, Ok, Critical, Ok], 2).1.len(), 1, "soft failures are no turns");
    }

    #[test]
    fn i12_unknown_is_a_state_of_its_own() {
        let (known, turns) = play(&[Ok, Unknown, Unknown], 2);
        assert_eq!(turns[1].1.now, Unknown);
        let known = known.expect("results were taken");
        assert_eq!(known.ok_at, Some(at(0)));
        assert!(!all_well([known.hard]) && !all_well([Some(Ok), None]) && !all_well([]) && all_well([Some(Ok)]));
        // A failure that was certain is not certain any more, and is certain anew after as many results.
        assert_eq!(play(&[Critical, Critical, Unknown, Unknown, Critical, Critical], 2).1.len(), 3);
    }

    #[test]
    fn a_result_that_comes_late_tells_nothing() {
        let (known, _) = next(None, &seen(Ok, 10), 1);
        assert_eq!(next(Some(&known), &seen(Critical, 9), 1), (known, None));
    }

    fn any_health() -> impl Strategy<Value = Health> {
        prop::sample::select(vec![Ok, Warning, Critical, Unknown])
    }

    proptest! {
        #[test]
        fn every_turn_changes_and_is_backed_by_enough_results(
            results in prop::collection::vec(any_health(), 1..80), fails_after in 1_u32..5
        ) {
            let (known, turns) = play(&results, fails_after);
            let mut hard = None;
            for (second, turn) in &turns {
                prop_assert_eq!(turn.was, hard);
                prop_assert_ne!(Some(turn.now), hard);
                let enough = if turn.now == Ok { 1 } else { fails_after as usize };
                let backing = &results[second + 1 - enough..=*second];
                prop_assert!(backing.iter().all(|health| *health == turn.now));
                hard = Some(turn.now);
            }
            let known = known.expect("results were taken");
            prop_assert_eq!(known.hard, hard);
            prop_assert_eq!(known.turns.len(), turns.len().saturating_sub(1).min(TURNS_KEPT));
            // What is ok is always certain.
            if results.last() == Some(&Ok) {
                prop_assert_eq!(known.hard, Some(Ok));
            }
        }
    }
}

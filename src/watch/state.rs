//! What the results of a check come to: soft until enough of them agree, then hard.
//!
//! - `ok` is hard at once: whoever waits for it need not wait longer.
//! - `warning`, `critical` and `unknown` are hard after as many results of the same kind in a row as the check's
//!   `fails_after` says. One of another kind in between begins the count anew.
//! - `unknown` is a state of its own. It is never healthy, and what was known before is not known any more.
//! - A check that turns more often than [`FLAPS_BEYOND`] times within [`FLAP_WINDOW`] *flaps*: that is news once, its turns
//!   are none any more, and it is news once more when it has held one state for the whole window.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::event::Health;

/// How many of its latest turns a check remembers. No brake looks at more.
pub const TURNS_KEPT: usize = 128;

/// The most turns within [`FLAP_WINDOW`] that are told. A service that dies again and again, with a trigger that starts it
/// three times, stops itself, and is let go on by a person, turns eight times: that story is told to its end.
pub const FLAPS_BEYOND: u32 = 10;

/// Over which turns are counted, and how long a check that flaps has to hold one state until it is believed again. As
/// both are one window, no window of that length has more than `FLAPS_BEYOND + 2` pieces of news.
pub const FLAP_WINDOW: Duration = Duration::from_secs(600);

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
    /// Since when it flaps: its turns are not told.
    pub flaps_since: Option<DateTime<Utc>>,
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

/// What a result is worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Nothing: no change, or none for certain.
    None,
    /// It has turned.
    Turned(Turn),
    /// It has turned once too often: from now on it flaps.
    Flaps {
        /// The turn that was one too many.
        turn: Turn,
        /// How many there are within the window, this one included.
        changes: u32,
    },
    /// It has turned, but it flaps: that was told.
    Hidden(Turn),
    /// It flapped, and has held one state for the whole window.
    Steady {
        /// What it is.
        now: Health,
        /// When the first of the results that made it certain was asked for.
        since: DateTime<Utc>,
    },
}

impl News {
    /// The turn, told or not.
    pub fn turn(&self) -> Option<&Turn> {
        match self {
            Self::Turned(turn) | Self::Flaps { turn, .. } | Self::Hidden(turn) => Some(turn),
            Self::None | Self::Steady { .. } => None,
        }
    }
}

/// Whether a moment is within the window that ends at another.
fn within(at: DateTime<Utc>, end: DateTime<Utc>) -> bool {
    at > end - TimeDelta::from_std(FLAP_WINDOW).unwrap_or(TimeDelta::MAX)
}

/// Takes one result. Returns what is known then, and what of it is news. A result that was asked for before the one
/// that is known already tells nothing.
pub fn next(known: Option<&Known>, seen: &Seen, fails_after: u32) -> (Known, News) {
    if let Some(known) = known
        && seen.at < known.asked_at
    {
        return (known.clone(), News::None);
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
        flaps_since: known.and_then(|known| known.flaps_since),
    };
    let enough = match seen.health {
        Health::Ok => 1,
        Health::Warning | Health::Critical | Health::Unknown => fails_after.max(1),
    };
    if next.hard == Some(seen.health) || next.soft_count < enough {
        let news = held_on(&mut next, seen);
        return (next, news);
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
    let changes = next.turns.iter().filter(|at| within(**at, seen.at)).count();
    let changes = u32::try_from(changes).unwrap_or(u32::MAX);
    let news = match next.flaps_since {
        // It held its state for the whole window, though no result came to say so: this is a change like any other.
        Some(_) if changes <= 1 => {
            next.flaps_since = None;
            News::Turned(turn)
        }
        Some(_) => News::Hidden(turn),
        None if changes > FLAPS_BEYOND => {
            next.flaps_since = Some(seen.at);
            News::Flaps { turn, changes }
        }
        None => News::Turned(turn),
    };
    (next, news)
}

/// A result that is no turn: whether a check that flapped is steady by it.
fn held_on(next: &mut Known, seen: &Seen) -> News {
    let (Some(_), Some(now), Some(since)) = (next.flaps_since, next.hard, next.hard_since) else { return News::None };
    let turned = next.turns.last().is_some_and(|last| within(*last, seen.at));
    if turned || now != seen.health {
        return News::None;
    }
    next.flaps_since = None;
    News::Steady { now, since }
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
            let (next_known, news) = next(known.as_ref(), &seen(*health, second as i64), fails_after);
            turns.extend(news.turn().map(|turn| (second, turn.clone())));
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
        assert_eq!(next(Some(&known), &seen(Critical, 9), 1), (known, News::None));
    }

    /// Plays results, each so many seconds after the one before, and writes down what is news.
    fn told(results: &[(Health, i64)], fails_after: u32) -> (Option<Known>, Vec<(i64, News)>) {
        let (mut known, mut second, mut told) = (None, 0, Vec::new());
        for (health, after) in results {
            second += after;
            let (next_known, news) = next(known.as_ref(), &seen(*health, second), fails_after);
            match &news {
                News::None | News::Hidden(_) => {}
                News::Turned(_) | News::Flaps { .. } | News::Steady { .. } => told.push((second, news)),
            }
            known = Some(next_known);
        }
        (known, told)
    }

    #[test]
    fn a_check_that_changes_too_often_is_told_once_and_again_when_it_is_steady() {
        let mut results = vec![(Ok, 0)];
        // Turns at 10, 20, … 120, then well.
        results.extend((1..=12).map(|n| (if n % 2 == 1 { Critical } else { Ok }, 10)));
        results.extend((0..70).map(|_| (Ok, 10)));
        let (known, told) = told(&results, 1);
        let turned = told.iter().filter(|(_, news)| matches!(news, News::Turned(_))).count();
        assert_eq!(turned, 11, "the first word and ten turns");
        let turn = Turn { was: Some(Ok), now: Critical, since: at(110), results: 1 };
        assert_eq!(
            told[11..],
            [(110, News::Flaps { turn, changes: 11 }), (720, News::Steady { now: Ok, since: at(120) })]
        );
        let known = known.expect("results were taken");
        assert_eq!((known.flaps_since, known.turns.len()), (None, 12), "triggers see every turn");
    }

    #[test]
    fn a_failure_after_a_long_silence_is_told_though_it_flapped() {
        let mut results = vec![(Ok, 0)];
        results.extend((1..=12).map(|n| (if n % 2 == 1 { Critical } else { Ok }, 10)));
        results.push((Critical, 3_600));
        let (known, told) = told(&results, 1);
        let turn = Turn { was: Some(Ok), now: Critical, since: at(3_720), results: 1 };
        assert_eq!(told.last(), Some(&(3_720, News::Turned(turn))));
        assert_eq!(known.expect("results were taken").flaps_since, None);
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

        #[test]
        fn news_is_bounded_and_no_state_is_lost(
            results in prop::collection::vec((any_health(), 1_i64..240), 1..300), fails_after in 1_u32..4
        ) {
            let mut results = results;
            // In the end it holds what it is for longer than the window.
            let last = results.last().expect("one at least").0;
            results.extend((0..15).map(|_| (last, 60)));
            let (known, told) = told(&results, fails_after);
            let window = i64::try_from(FLAP_WINDOW.as_secs()).expect("small");
            // The first word on a check is no change of it, and comes once.
            let changes: Vec<i64> = told.iter().filter_map(|(second, news)| match news {
                News::Turned(turn) if turn.was.is_none() => None,
                News::None | News::Hidden(_) => None,
                News::Turned(_) | News::Flaps { .. } | News::Steady { .. } => Some(*second),
            }).collect();
            for (first, begin) in changes.iter().enumerate() {
                let here = changes[first..].iter().filter(|second| **second < begin + window).count();
                prop_assert!(here <= FLAPS_BEYOND as usize + 2, "{} pieces of news in a window", here);
            }
            let known = known.expect("results were taken");
            prop_assert_eq!(known.flaps_since, None);
            prop_assert_eq!(known.hard, Some(last));
            // Whoever only reads the news knows how it is.
            let read = told.last().map(|(_, news)| match news {
                News::Turned(turn) => turn.now,
                News::Steady { now, .. } => *now,
                News::None | News::Flaps { .. } | News::Hidden(_) => Health::Unknown,
            });
            prop_assert_eq!(read, Some(last));
        }
    }
}

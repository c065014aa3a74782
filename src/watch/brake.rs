//! What holds a trigger back: one decision over what is known, pure (I12).
//!
//! In the order of asking:
//!
//! 1. *paused*: a person has stopped all automation.
//! 2. *held*: a brake holds it until a person says `resume`. That was said; nothing is said again.
//! 3. *no effect*: its last run for the service failed; or it ended well, and the check was never ok since
//!    it fired. Held.
//! 4. *at most*: it has had its runs in the window. Held.
//! 5. *flapping*: the check turns too often to be believed. Held.
//! 6. *busy*: somebody else's run for the service waits, is under way or has just ended. Put off until that has shown
//!    what it does.
//! 7. *cooldown*: too little time since its last run ended. Put off until then.
//!
//! While its own run is under way, or has just ended and no result has come since, there is nothing to decide. While it is
//! *stuck*, a person has to say what came of it: until then everything is put off. What a
//! person has declined (denied, withdrawn, stopped) is not asked again for the same failure.
//!
//! `resume` begins everything anew: what was fired before it, and turns before it, count no more.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::model::catalog::Brakes;
use crate::model::event::Brake;

/// One time that a trigger fired for a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firing {
    /// When.
    pub at: DateTime<Utc>,
    /// What came of it.
    pub came: Came,
}

/// What came of a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// Nothing was done: mode `shadow`.
    Shadow,
    /// Its run waits for approval, or is under way.
    Open,
    /// Its run is stuck: until a person says what came of it, nobody knows whether it helped.
    Stuck,
    /// Its run ended well.
    Succeeded(DateTime<Utc>),
    /// Its run failed.
    Failed(DateTime<Utc>),
    /// A person denied, withdrew or stopped it.
    Declined(DateTime<Utc>),
    /// Nobody decided in time.
    Expired(DateTime<Utc>),
}

impl Came {
    /// When it ended; `None` while it has not.
    fn ended(self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Shadow => Some(at),
            Self::Open | Self::Stuck => None,
            Self::Succeeded(end) | Self::Failed(end) | Self::Declined(end) | Self::Expired(end) => Some(end),
        }
    }
}

/// Why it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The check has turned just now.
    Turned,
    /// The check still fails, and this is one more result that says so.
    StillFails {
        /// From when on the failure, which was put off, is looked at again; `None`: nothing was put off.
        again_at: Option<DateTime<Utc>>,
    },
}

/// All that the decision depends on, for one trigger and one service.
#[derive(Debug, Clone)]
pub struct Look<'a> {
    /// Now.
    pub now: DateTime<Utc>,
    /// Why it is looked at.
    pub occasion: Occasion,
    /// When the result that leads to it was asked for.
    pub asked_at: DateTime<Utc>,
    /// When the check was last ok, if ever.
    pub ok_at: Option<DateTime<Utc>>,
    /// How long after a run the check may take to be ok.
    pub settle: Duration,
    /// The trigger's limits.
    pub brakes: Brakes,
    /// Whether automation is paused.
    pub paused: bool,
    /// What holds it until a person says `resume`.
    pub held: Option<Brake>,
    /// The last `resume`.
    pub counted_from: Option<DateTime<Utc>>,
    /// What it did for this service, oldest first: the last one, and all of its window.
    pub firings: &'a [Firing],
    /// When the check has turned for certain, oldest first, this turn included.
    pub turns: &'a [DateTime<Utc>],
    /// Runs for this service that the trigger did not ask for.
    pub others: Others,
}

/// Runs for a service that a trigger did not ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// None is under way, and none has ended lately.
    None,
    /// One waits or is under way.
    Open,
    /// None is under way; this is when the last one ended.
    Ended(DateTime<Utc>),
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing, and nothing is said: it was said, or there is nothing to say yet.
    Wait,
    /// It fires.
    Go,
    /// Put off: looked at again by itself from then on. `None`: with every result.
    PutOff {
        /// By what.
        by: Brake,
        /// Until when.
        until: Option<DateTime<Utc>>,
    },
    /// Held until a person says `resume`.
    Held {
        /// By what.
        by: Brake,
        /// Why.
        why: Why,
    },
}

/// Why a trigger is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// So many runs in its window.
    Runs(u32),
    /// So many turns of the check in the window.
    Turns(u32),
    /// Its last run failed.
    RunFailed,
    /// Its last run ended well, and the check was never ok since it fired.
    NotOkAfterRun,
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

fn count(times: impl Iterator<Item = DateTime<Utc>>, after: DateTime<Utc>) -> u32 {
    u32::try_from(times.filter(|at| *at > after).count()).unwrap_or(u32::MAX)
}

/// Decides.
pub fn decide(look: &Look<'_>) -> Decision {
    let fresh = look.occasion == Occasion::Turned;
    if look.paused {
        return match look.occasion {
            Occasion::Turned => Decision::PutOff { by: Brake::Paused, until: None },
            Occasion::StillFails { .. } => Decision::Wait,
        };
    }
    if look.held.is_some() {
        return Decision::Wait;
    }
    let counts = |at: DateTime<Utc>| look.counted_from.is_none_or(|from| at > from);
    let last = look.firings.last().copied();
    if let Some(last) = last {
        let ended = last.came.ended(last.at);
        let ok_since = ended.is_some_and(|ended| look.ok_at.is_some_and(|ok_at| ok_at > ended));
        match last.came {
            Came::Open => return Decision::Wait,
            Came::Stuck if fresh => return Decision::PutOff { by: Brake::Stuck, until: None },
            Came::Stuck => return Decision::Wait,
            Came::Failed(_) if counts(last.at) => {
                return Decision::Held { by: Brake::NoEffect, why: Why::RunFailed };
            }
            // Ok while the run verified counts as ok: what fails again after that has died again, and is for `at_most`.
            Came::Succeeded(ended) if counts(last.at) && look.ok_at.is_none_or(|ok_at| ok_at <= last.at) => {
                if look.asked_at < ended + delta(look.settle) {
                    return Decision::Wait;
                }
                return Decision::Held { by: Brake::NoEffect, why: Why::NotOkAfterRun };
            }
            Came::Declined(_) if counts(last.at) && !ok_since => return Decision::Wait,
            Came::Shadow | Came::Succeeded(_) | Came::Failed(_) | Came::Declined(_) | Came::Expired(_) => {}
        }
    }
    let expired =
        last.is_some_and(|last| matches!(last.came, Came::Expired(end) if look.ok_at.is_none_or(|ok| ok < end)));
    match look.occasion {
        Occasion::Turned => {}
        Occasion::StillFails { again_at: Some(at) } if look.now >= at => {}
        // Nobody decided, and it still fails: asked again, as far as the other brakes let it.
        Occasion::StillFails { again_at: None } if expired => {}
        Occasion::StillFails { .. } => return Decision::Wait,
    }
    let at_most = look.brakes.at_most;
    let fired = look.firings.iter().map(|firing| firing.at).filter(|at| counts(*at));
    let runs = count(fired, look.now - delta(at_most.per));
    if runs >= at_most.runs {
        return Decision::Held { by: Brake::AtMost, why: Why::Runs(runs) };
    }
    let flapping = look.brakes.flapping;
    let turns = count(look.turns.iter().copied().filter(|at| counts(*at)), look.now - delta(flapping.per));
    if turns >= flapping.changes {
        return Decision::Held { by: Brake::Flapping, why: Why::Turns(turns) };
    }
    let others_busy = match look.others {
        Others::None => false,
        Others::Open => true,
        Others::Ended(end) => look.asked_at < end + delta(look.settle),
    };
    if others_busy {
        return if fresh { Decision::PutOff { by: Brake::Busy, until: None } } else { Decision::Wait };
    }
    let ended = last.filter(|last| counts(last.at)).and_then(|last| last.came.ended(last.at));
    if let Some(cool) = ended.map(|ended| ended + delta(look.brakes.cooldown)).filter(|cool| look.now < *cool) {
        return Decision::PutOff { by: Brake::Cooldown, until: Some(cool) };
    }
    Decision::Go
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::catalog::{AtMost, Flapping};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    const BRAKES: Brakes = Brakes {
        cooldown: Duration::from_secs(600),
        at_most: AtMost { runs: 3, per: Duration::from_secs(3600) },
        flapping: Flapping { changes: 6, per: Duration::from_secs(600) },
    };

    /// A failure that came just now, and nothing before it.
    fn fresh(now: i64) -> Look<'static> {
        Look {
            now: at(now),
            occasion: Occasion::Turned,
            asked_at: at(now),
            ok_at: Some(at(now - 30)),
            settle: Duration::from_secs(60),
            brakes: BRAKES,
            paused: false,
            held: None,
            counted_from: None,
            firings: &[],
            turns: &[],
            others: Others::None,
        }
    }

    fn succeeded(fired: i64, end: i64) -> Firing {
        Firing { at: at(fired), came: Came::Succeeded(at(end)) }
    }

    #[test]
    fn a_first_failure_goes() {
        assert_eq!(decide(&fresh(0)), Decision::Go);
    }

    #[test]
    fn i12_a_cooldown_puts_off_until_its_end_and_is_said_once() {
        let firings = [succeeded(0, 10)];
        let look = Look { firings: &firings, ..fresh(100) };
        let until = Some(at(610));
        assert_eq!(decide(&look), Decision::PutOff { by: Brake::Cooldown, until });
        let still = |now| Look {
            now: at(now),
            asked_at: at(now),
            occasion: Occasion::StillFails { again_at: until },
            ..look.clone()
        };
        assert_eq!(decide(&still(609)), Decision::Wait);
        assert_eq!(decide(&still(610)), Decision::Go);
    }

    #[test]
    fn i12_so_many_runs_in_a_window_and_no_more() {
        let firings = [succeeded(0, 10), succeeded(700, 710), succeeded(1400, 1410)];
        let look = Look { firings: &firings, ..fresh(2100) };
        assert_eq!(decide(&look), Decision::Held { by: Brake::AtMost, why: Why::Runs(3) });
        // The window has moved on.
        assert_eq!(decide(&Look { now: at(3601), asked_at: at(3601), ..look.clone() }), Decision::Go);
        // A person let it go on.
        assert_eq!(decide(&Look { counted_from: Some(at(2000)), ..look.clone() }), Decision::Go);
        // What is held says nothing again.
        assert_eq!(decide(&Look { held: Some(Brake::AtMost), ..look }), Decision::Wait);
    }

    #[test]
    fn i12_a_run_that_did_not_help_is_the_last_one() {
        let failed = [Firing { at: at(0), came: Came::Failed(at(10)) }];
        let look = Look { firings: &failed, ..fresh(9_000) };
        assert_eq!(decide(&look), Decision::Held { by: Brake::NoEffect, why: Why::RunFailed });
        assert_eq!(decide(&Look { counted_from: Some(at(20)), ..look }), Decision::Go);

        let firings = [succeeded(0, 10)];
        let never_ok = |now| Look {
            firings: &firings,
            ok_at: Some(at(-5)),
            occasion: Occasion::StillFails { again_at: None },
            ..fresh(now)
        };
        assert_eq!(decide(&never_ok(69)), Decision::Wait, "it may take a while to be ok");
        assert_eq!(decide(&never_ok(70)), Decision::Held { by: Brake::NoEffect, why: Why::NotOkAfterRun });

        // It was ok between the step that started it and the end of the run, and died at once.
        let died = Look { firings: &firings, ok_at: Some(at(5)), ..fresh(700) };
        assert_eq!(decide(&died), Decision::Go, "it helped, and it failed anew");
    }

    #[test]
    fn i12_a_run_that_is_stuck_is_waited_for_and_is_no_failure() {
        let stuck = [Firing { at: at(0), came: Came::Stuck }];
        let look = Look { firings: &stuck, ..fresh(9_000) };
        assert_eq!(decide(&look), Decision::PutOff { by: Brake::Stuck, until: None });
        let occasion = Occasion::StillFails { again_at: Some(at(0)) };
        assert_eq!(decide(&Look { occasion, ..look.clone() }), Decision::Wait);
        // A person said that it worked, and the check was ok: nothing holds it.
        let judged = [succeeded(0, 8_000)];
        assert_eq!(decide(&Look { firings: &judged, ok_at: Some(at(8_500)), ..look }), Decision::Go);
    }

    #[test]
    fn i12_a_check_that_changes_too_often_is_not_believed() {
        let turns: Vec<_> = (1..=6).map(|n| at(n * 60)).collect();
        let look = Look { turns: &turns, ..fresh(360) };
        assert_eq!(decide(&look), Decision::Held { by: Brake::Flapping, why: Why::Turns(6) });
        assert_eq!(decide(&Look { now: at(661), ..look.clone() }), Decision::Go, "the first is out of the window");
        assert_eq!(decide(&Look { counted_from: Some(at(300)), ..look }), Decision::Go);
    }

    #[test]
    fn i12_somebody_elses_run_is_waited_for() {
        let look = Look { others: Others::Open, ..fresh(0) };
        assert_eq!(decide(&look), Decision::PutOff { by: Brake::Busy, until: None });
        let still =
            |now, others| Look { occasion: Occasion::StillFails { again_at: Some(at(0)) }, others, ..fresh(now) };
        assert_eq!(decide(&still(10, Others::Open)), Decision::Wait);
        assert_eq!(decide(&still(69, Others::Ended(at(10)))), Decision::Wait);
        assert_eq!(decide(&still(70, Others::Ended(at(10)))), Decision::Go);
    }

    #[test]
    fn i12_paused_means_that_nothing_starts() {
        let look = Look { paused: true, ..fresh(0) };
        assert_eq!(decide(&look), Decision::PutOff { by: Brake::Paused, until: None });
        let again_at = Some(at(0));
        let still = Look { occasion: Occasion::StillFails { again_at }, ..look };
        assert_eq!(decide(&still), Decision::Wait);
        assert_eq!(decide(&Look { paused: false, ..still }), Decision::Go, "after `resume`");
    }

    #[test]
    fn what_a_person_declined_is_not_asked_again_for_the_same_failure() {
        let firings = [Firing { at: at(0), came: Came::Declined(at(10)) }];
        let look = Look { firings: &firings, ok_at: Some(at(5)), ..fresh(9_000) };
        assert_eq!(decide(&look), Decision::Wait);
        assert_eq!(decide(&Look { ok_at: Some(at(20)), ..look }), Decision::Go, "another failure");
    }

    #[test]
    fn what_nobody_decided_is_asked_again_after_the_cooldown() {
        let firings = [Firing { at: at(0), came: Came::Expired(at(1800)) }];
        let occasion = Occasion::StillFails { again_at: None };
        let look = Look { firings: &firings, ok_at: Some(at(-5)), occasion, ..fresh(1810) };
        assert_eq!(decide(&look), Decision::PutOff { by: Brake::Cooldown, until: Some(at(2400)) });
    }

    fn any_came(at: DateTime<Utc>, took: i64, kind: u8) -> Came {
        let end = at + TimeDelta::seconds(took);
        match kind % 7 {
            0 => Came::Shadow,
            1 => Came::Open,
            2 => Came::Failed(end),
            3 => Came::Declined(end),
            4 => Came::Expired(end),
            5 => Came::Stuck,
            _ => Came::Succeeded(end),
        }
    }

    proptest! {
        /// Whatever happened before: it goes only when every limit is kept.
        #[test]
        fn i12_it_never_goes_beyond_a_limit(
            now in 5_000_i64..10_000,
            fired in prop::collection::vec((0_i64..5_000, 0_i64..200, 0_u8..7), 0..6),
            turns in prop::collection::vec(0_i64..10_000, 0..10),
            ok_at in prop::option::of(0_i64..10_000),
            again_at in prop::option::of(0_i64..20_000),
            counted_from in prop::option::of(0_i64..10_000),
            turned: bool, paused: bool, held: bool, others in 0_u8..3,
        ) {
            let mut fired = fired;
            fired.sort_unstable();
            let firings: Vec<Firing> =
                fired.iter().map(|(f, took, kind)| Firing { at: at(*f), came: any_came(at(*f), *took, *kind) }).collect();
            let mut turns: Vec<_> = turns.into_iter().map(at).filter(|turn| *turn <= at(now)).collect();
            turns.sort_unstable();
            let occasion = if turned {
                Occasion::Turned
            } else {
                Occasion::StillFails { again_at: again_at.map(at) }
            };
            let look = Look {
                occasion,
                ok_at: ok_at.map(at),
                paused,
                held: held.then_some(Brake::AtMost),
                counted_from: counted_from.map(at),
                firings: &firings,
                turns: &turns,
                others: [Others::None, Others::Open, Others::Ended(at(now - 30))][usize::from(others)],
                ..fresh(now)
            };
            let from = look.counted_from.unwrap_or(DateTime::<Utc>::MIN_UTC);
            let counted = |since: i64| firings.iter().filter(|f| f.at > at(since) && f.at > from).count();
            match decide(&look) {
                Decision::Go => {
                    prop_assert!(!paused && !held && others == 0);
                    prop_assert!(counted(now - 3600) < 3);
                    prop_assert!(turns.iter().filter(|turn| **turn > at(now - 600) && **turn > from).count() < 6);
                    if let Some(last) = firings.last() {
                        prop_assert!(!matches!(last.came, Came::Open | Came::Stuck));
                        if last.at > from {
                            prop_assert!(!matches!(last.came, Came::Failed(_)));
                            let end = last.came.ended(last.at).expect("it is not open");
                            prop_assert!(at(now) >= end + TimeDelta::seconds(600));
                        }
                    }
                }
                // A put-off that names a time names one to come.
                Decision::PutOff { until: Some(until), .. } => prop_assert!(until > at(now)),
                Decision::Held { by, .. } => prop_assert!(matches!(by, Brake::AtMost | Brake::Flapping | Brake::NoEffect)),
                Decision::PutOff { until: None, .. } => prop_assert!(turned),
                Decision::Wait => {}
            }
        }
    }
}

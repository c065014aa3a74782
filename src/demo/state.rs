//! What a demo service can be, and what each thing that happens to it makes of it: one pure, total function.
//!
//! What lives here: states, events, effects, and the sentences that tell them. What does not: processes, sockets and
//! clocks; [`supervisor`](super::supervisor) owns those and does what the effects say.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How a service's process came to its end, or why there never was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It left by itself with this exit status.
    Status(i32),
    /// A signal ended it.
    Signal(i32),
    /// It ran but did not answer on its port in time, and was killed for that.
    NoAnswer,
    /// The process could not be made; the reason in the system's words.
    NotSpawned(String),
    /// Somebody asked for its end while it was still coming up.
    Interrupted,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::NoAnswer => f.write_str("no answer on its port"),
            Self::NotSpawned(why) => write!(f, "could not be run: {why}"),
            Self::Interrupted => f.write_str("stopped meanwhile"),
        }
    }
}

/// Who is behind the end of a process that is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A `stop`: the service is then as it should be.
    Stop,
    /// A `kill`: it is then down against everybody's wish, as in an outage.
    Kill,
    /// It took too long to come up.
    Overdue,
}

/// What follows when the process that is on its way out is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing.
    Rest,
    /// A new start: somebody asked for one in the meantime.
    Start,
}

/// What a service is. There is a process in `Starting`, `Running` and `Ending`, and in no other state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// Down, as wanted.
    Stopped,
    /// The process exists and does not answer yet.
    Starting,
    /// It answered.
    Running {
        /// Its process.
        pid: u32,
        /// When it first answered, on the monotonic clock.
        since: Instant,
        /// Where it answers.
        at: SocketAddr,
    },
    /// It was signalled and is not gone yet.
    Ending {
        /// On whose account.
        by: By,
        /// What follows.
        then: Then,
    },
    /// Down, against the wish. Nothing starts it again but a `start`: that is the bot's work.
    Exited(Ending),
}

/// What people can ask of one service and wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Be up and answer.
    Start,
    /// Be down, in order.
    Stop,
    /// Die now.
    Kill,
}

/// What can happen to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// Somebody asked.
    Wished(Wish),
    /// The process answered on its port.
    CameUp {
        /// Its process.
        pid: u32,
        /// Where it answers.
        at: SocketAddr,
        /// Now, on the monotonic clock.
        now: Instant,
    },
    /// The process is gone (or could not be made).
    Ended(Ending),
    /// The time to come up, or the grace after a polite signal, is over.
    Overdue,
}

/// What the supervisor must now do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Make the process.
    Spawn,
    /// Ask it to end: SIGTERM, and [`Event::Overdue`] if it is still there after the grace.
    Terminate,
    /// End it: SIGKILL.
    Kill,
    /// Tell everybody who waits for this wish.
    Answer(Wish, Outcome),
}

/// What came of a wish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It answers now and did not before.
    Started,
    /// It answered already.
    AlreadyRunning,
    /// It does not answer, for this reason.
    DidNotComeUp(Ending),
    /// It is gone now.
    Stopped,
    /// It was not there.
    AlreadyStopped,
    /// It was killed.
    Killed,
    /// There was nothing to kill.
    NotRunning,
}

impl Outcome {
    /// The exit code that tells it to scripts: 0, or 7 as supervisorctl has it for "not running".
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Started | Self::AlreadyRunning | Self::Stopped | Self::AlreadyStopped | Self::Killed => 0,
            Self::DidNotComeUp(_) | Self::NotRunning => 7,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("started"),
            Self::AlreadyRunning => f.write_str("already running"),
            Self::DidNotComeUp(why) => write!(f, "did not come up ({why})"),
            Self::Stopped => f.write_str("stopped"),
            Self::AlreadyStopped => f.write_str("already stopped"),
            Self::Killed => f.write_str("killed"),
            Self::NotRunning => f.write_str("not running"),
        }
    }
}

impl State {
    /// What the service is after `event`, and what must be done about it.
    ///
    /// Events that come too late for the state they meant (a process that answers while it is being stopped, a timer
    /// that nobody took back) change nothing. Each such pair is listed.
    pub(crate) fn on(self, event: Event) -> (Self, Vec<Effect>) {
        use Effect::{Answer, Kill, Spawn, Terminate};
        match (self, event) {
            // Down.
            (Self::Stopped | Self::Exited(_), Event::Wished(Wish::Start)) => (Self::Starting, vec![Spawn]),
            (state @ (Self::Stopped | Self::Exited(_)), Event::Wished(Wish::Stop)) => {
                (state, vec![Answer(Wish::Stop, Outcome::AlreadyStopped)])
            }
            (state @ (Self::Stopped | Self::Exited(_)), Event::Wished(Wish::Kill)) => {
                (state, vec![Answer(Wish::Kill, Outcome::NotRunning)])
            }
            (state @ (Self::Stopped | Self::Exited(_)), Event::CameUp { .. } | Event::Ended(_) | Event::Overdue) => {
                (state, vec![])
            }

            // Coming up. A second start joins the first.
            (Self::Starting, Event::Wished(Wish::Start)) => (Self::Starting, vec![]),
            (Self::Starting, Event::Wished(Wish::Stop)) => {
                (Self::Ending { by: By::Stop, then: Then::Rest }, vec![interrupted(), Terminate])
            }
            (Self::Starting, Event::Wished(Wish::Kill)) => {
                (Self::Ending { by: By::Kill, then: Then::Rest }, vec![interrupted(), Kill])
            }
            (Self::Starting, Event::CameUp { pid, at, now }) => {
                (Self::Running { pid, since: now, at }, vec![Answer(Wish::Start, Outcome::Started)])
            }
            (Self::Starting, Event::Ended(why)) => {
                (Self::Exited(why.clone()), vec![Answer(Wish::Start, Outcome::DidNotComeUp(why))])
            }
            (Self::Starting, Event::Overdue) => (
                Self::Ending { by: By::Overdue, then: Then::Rest },
                vec![Answer(Wish::Start, Outcome::DidNotComeUp(Ending::NoAnswer)), Kill],
            ),

            // Up.
            (state @ Self::Running { .. }, Event::Wished(Wish::Start)) => {
                (state, vec![Answer(Wish::Start, Outcome::AlreadyRunning)])
            }
            (Self::Running { .. }, Event::Wished(Wish::Stop)) => {
                (Self::Ending { by: By::Stop, then: Then::Rest }, vec![Terminate])
            }
            (Self::Running { .. }, Event::Wished(Wish::Kill)) => {
                (Self::Ending { by: By::Kill, then: Then::Rest }, vec![Kill])
            }
            (Self::Running { .. }, Event::Ended(why)) => (Self::Exited(why), vec![]),
            (state @ Self::Running { .. }, Event::CameUp { .. } | Event::Overdue) => (state, vec![]),

            // On the way out. The last wish decides what it is afterwards.
            (Self::Ending { by, then: _ }, Event::Wished(Wish::Start)) => {
                (Self::Ending { by, then: Then::Start }, vec![])
            }
            (Self::Ending { by: _, then }, Event::Wished(Wish::Stop)) => {
                (Self::Ending { by: By::Stop, then: Then::Rest }, given_up(then))
            }
            (Self::Ending { by: _, then }, Event::Wished(Wish::Kill)) => {
                let mut effects = given_up(then);
                effects.push(Kill);
                (Self::Ending { by: By::Kill, then: Then::Rest }, effects)
            }
            (Self::Ending { by, then: Then::Rest }, Event::Ended(why)) => (after(by, why), gone()),
            (Self::Ending { by: _, then: Then::Start }, Event::Ended(_)) => {
                let mut effects = gone();
                effects.push(Spawn);
                (Self::Starting, effects)
            }
            (state @ Self::Ending { .. }, Event::Overdue) => (state, vec![Kill]),
            (state @ Self::Ending { .. }, Event::CameUp { .. }) => (state, vec![]),
        }
    }

    /// The line that `status` shows, without the name.
    pub(crate) fn status(&self, now: Instant) -> String {
        match self {
            Self::Stopped => "STOPPED".to_owned(),
            Self::Starting => "STARTING".to_owned(),
            Self::Running { pid, since, at } => {
                format!("RUNNING pid {pid}, uptime {}, http://{at}", uptime(now.saturating_duration_since(*since)))
            }
            Self::Ending { .. } => "STOPPING".to_owned(),
            Self::Exited(why) => format!("EXITED ({why})"),
        }
    }

    /// The exit code that goes with [`Self::status`]: 0 when it answers, 3 when not, as supervisorctl has it.
    pub(crate) fn status_code(&self) -> u8 {
        match self {
            Self::Running { .. } => 0,
            Self::Stopped | Self::Starting | Self::Ending { .. } | Self::Exited(_) => 3,
        }
    }
}

fn interrupted() -> Effect {
    Effect::Answer(Wish::Start, Outcome::DidNotComeUp(Ending::Interrupted))
}

/// What those are told who waited for a start that a later wish took back.
fn given_up(then: Then) -> Vec<Effect> {
    match then {
        Then::Rest => vec![],
        Then::Start => vec![interrupted()],
    }
}

fn gone() -> Vec<Effect> {
    vec![Effect::Answer(Wish::Stop, Outcome::Stopped), Effect::Answer(Wish::Kill, Outcome::Killed)]
}

fn after(by: By, why: Ending) -> State {
    match by {
        By::Stop => State::Stopped,
        By::Kill => State::Exited(why),
        By::Overdue => State::Exited(Ending::NoAnswer),
    }
}

/// Hours, minutes and seconds; the hours grow without end.
fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 40123))
    }

    fn running(now: Instant) -> State {
        State::Running { pid: 4121, since: now, at: at() }
    }

    fn every_state(now: Instant) -> Vec<State> {
        let mut states = vec![State::Stopped, State::Starting, running(now), State::Exited(Ending::Signal(9))];
        for by in [By::Stop, By::Kill, By::Overdue] {
            for then in [Then::Rest, Then::Start] {
                states.push(State::Ending { by, then });
            }
        }
        states
    }

    fn every_event(now: Instant) -> Vec<Event> {
        vec![
            Event::Wished(Wish::Start),
            Event::Wished(Wish::Stop),
            Event::Wished(Wish::Kill),
            Event::CameUp { pid: 5310, at: at(), now },
            Event::Ended(Ending::Status(1)),
            Event::Overdue,
        ]
    }

    /// One word for a state, without the parts that differ from test to test.
    fn word(state: &State) -> String {
        match state {
            State::Running { pid, .. } => format!("running {pid}"),
            State::Ending { by, then } => format!("ending by {by:?} then {then:?}").to_lowercase(),
            State::Stopped => "stopped".to_owned(),
            State::Starting => "starting".to_owned(),
            State::Exited(why) => format!("exited ({why})"),
        }
    }

    fn told(effects: &[Effect]) -> String {
        let words: Vec<String> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Answer(wish, outcome) => format!("tell {wish:?}: {outcome}"),
                other => format!("{other:?}").to_lowercase(),
            })
            .collect();
        words.join("; ")
    }

    #[test]
    fn every_pair_of_state_and_event() {
        let now = Instant::now();
        let mut table = String::new();
        for state in every_state(now) {
            table.push_str(&format!("{}\n", word(&state)));
            for event in every_event(now) {
                let name = match &event {
                    Event::Wished(wish) => format!("{wish:?}").to_lowercase(),
                    Event::CameUp { .. } => "came up".to_owned(),
                    Event::Ended(_) => "ended".to_owned(),
                    Event::Overdue => "overdue".to_owned(),
                };
                let (next, effects) = state.clone().on(event);
                let line = format!("  {name:8} -> {:30} {}", word(&next), told(&effects));
                table.push_str(line.trim_end());
                table.push('\n');
            }
        }
        insta::assert_snapshot!(table, @r#"
        stopped
          start    -> starting                       spawn
          stop     -> stopped                        tell Stop: already stopped
          kill     -> stopped                        tell Kill: not running
          came up  -> stopped
          ended    -> stopped
          overdue  -> stopped
        starting
          start    -> starting
          stop     -> ending by stop then rest       tell Start: did not come up (stopped meanwhile); terminate
          kill     -> ending by kill then rest       tell Start: did not come up (stopped meanwhile); kill
          came up  -> running 5310                   tell Start: started
          ended    -> exited (exit status 1)         tell Start: did not come up (exit status 1)
          overdue  -> ending by overdue then rest    tell Start: did not come up (no answer on its port); kill
        running 4121
          start    -> running 4121                   tell Start: already running
          stop     -> ending by stop then rest       terminate
          kill     -> ending by kill then rest       kill
          came up  -> running 4121
          ended    -> exited (exit status 1)
          overdue  -> running 4121
        exited (killed by signal 9)
          start    -> starting                       spawn
          stop     -> exited (killed by signal 9)    tell Stop: already stopped
          kill     -> exited (killed by signal 9)    tell Kill: not running
          came up  -> exited (killed by signal 9)
          ended    -> exited (killed by signal 9)
          overdue  -> exited (killed by signal 9)
        ending by stop then rest
          start    -> ending by stop then start
          stop     -> ending by stop then rest
          kill     -> ending by kill then rest       kill
          came up  -> ending by stop then rest
          ended    -> stopped                        tell Stop: stopped; tell Kill: killed
          overdue  -> ending by stop then rest       kill
        ending by stop then start
          start    -> ending by stop then start
          stop     -> ending by stop then rest       tell Start: did not come up (stopped meanwhile)
          kill     -> ending by kill then rest       tell Start: did not come up (stopped meanwhile); kill
          came up  -> ending by stop then start
          ended    -> starting                       tell Stop: stopped; tell Kill: killed; spawn
          overdue  -> ending by stop then start      kill
        ending by kill then rest
          start    -> ending by kill then start
          stop     -> ending by stop then rest
          kill     -> ending by kill then rest       kill
          came up  -> ending by kill then rest
          ended    -> exited (exit status 1)         tell Stop: stopped; tell Kill: killed
          overdue  -> ending by kill then rest       kill
        ending by kill then start
          start    -> ending by kill then start
          stop     -> ending by stop then rest       tell Start: did not come up (stopped meanwhile)
          kill     -> ending by kill then rest       tell Start: did not come up (stopped meanwhile); kill
          came up  -> ending by kill then start
          ended    -> starting                       tell Stop: stopped; tell Kill: killed; spawn
          overdue  -> ending by kill then start      kill
        ending by overdue then rest
          start    -> ending by overdue then start
          stop     -> ending by stop then rest
          kill     -> ending by kill then rest       kill
          came up  -> ending by overdue then rest
          ended    -> exited (no answer on its port) tell Stop: stopped; tell Kill: killed
          overdue  -> ending by overdue then rest    kill
        ending by overdue then start
          start    -> ending by overdue then start
          stop     -> ending by stop then rest       tell Start: did not come up (stopped meanwhile)
          kill     -> ending by kill then rest       tell Start: did not come up (stopped meanwhile); kill
          came up  -> ending by overdue then start
          ended    -> starting                       tell Stop: stopped; tell Kill: killed; spawn
          overdue  -> ending by overdue then start   kill
        "#);
    }

    #[test]
    fn a_restart_is_a_start_asked_for_on_the_way_out() {
        let (state, _) = running(Instant::now()).on(Event::Wished(Wish::Stop));
        let (state, effects) = state.on(Event::Wished(Wish::Start));
        assert_eq!(effects, vec![]);
        let (state, effects) = state.on(Event::Ended(Ending::Signal(15)));
        assert_eq!(state, State::Starting);
        assert_eq!(effects.last(), Some(&Effect::Spawn));
    }

    #[test]
    fn a_kill_leaves_the_outage_in_plain_sight() {
        let now = Instant::now();
        let (state, _) = running(now).on(Event::Wished(Wish::Kill));
        let (state, _) = state.on(Event::Ended(Ending::Signal(9)));
        insta::assert_snapshot!(state.status(now), @"EXITED (killed by signal 9)");
        assert_eq!(state.status_code(), 3);
    }

    #[test]
    fn status_lines_and_codes() {
        let now = Instant::now();
        let later = now + Duration::from_secs(4);
        insta::assert_snapshot!(running(now).status(later), @"RUNNING pid 4121, uptime 0:00:04, http://127.0.0.1:40123");
        insta::assert_snapshot!(State::Stopped.status(now), @"STOPPED");
        insta::assert_snapshot!(State::Starting.status(now), @"STARTING");
        assert_eq!(running(now).status_code(), 0);
        assert_eq!(State::Starting.status_code(), 3);
    }

    #[test]
    fn uptimes_count_hours_without_end() {
        assert_eq!(uptime(Duration::from_millis(999)), "0:00:00");
        assert_eq!(uptime(Duration::from_secs(61)), "0:01:01");
        assert_eq!(uptime(Duration::from_secs(3 * 86_400 + 3599)), "72:59:59");
    }

    /// A world as small as the machine can see it: one process that is there or not, and people who wait.
    #[derive(Default)]
    struct World {
        process: bool,
        start: usize,
        stop: usize,
        kill: usize,
    }

    proptest! {
        #[test]
        fn one_process_at_most_and_nobody_waits_for_ever(picks in proptest::collection::vec(0_usize..6, 0..60)) {
            let now = Instant::now();
            let mut state = State::Stopped;
            let mut world = World::default();
            let step = |state: State, event: Event, world: &mut World| {
                match &event {
                    Event::Wished(Wish::Start) => world.start += 1,
                    Event::Wished(Wish::Stop) => world.stop += 1,
                    Event::Wished(Wish::Kill) => world.kill += 1,
                    Event::Ended(_) => world.process = false,
                    Event::CameUp { .. } | Event::Overdue => {}
                }
                let (state, effects) = state.on(event);
                for effect in effects {
                    match effect {
                        Effect::Spawn => {
                            assert!(!world.process, "two processes of one service");
                            world.process = true;
                        }
                        Effect::Terminate | Effect::Kill => assert!(world.process, "a signal to nobody"),
                        Effect::Answer(Wish::Start, _) => world.start = 0,
                        Effect::Answer(Wish::Stop, _) => world.stop = 0,
                        Effect::Answer(Wish::Kill, _) => world.kill = 0,
                    }
                }
                let alive = matches!(state, State::Starting | State::Running { .. } | State::Ending { .. });
                assert_eq!(alive, world.process);
                state
            };
            for pick in picks {
                let event = every_event(now).swap_remove(pick);
                // A process that is not there neither answers nor ends; the driver cannot make such an event.
                if !world.process && matches!(event, Event::CameUp { .. } | Event::Ended(_)) {
                    continue;
                }
                state = step(state, event, &mut world);
            }
            // Whatever was asked, two ends of a process and the answer of a third settle all of it.
            for _ in 0..2 {
                if world.process && !matches!(state, State::Running { .. }) {
                    state = step(state, Event::Ended(Ending::Signal(9)), &mut world);
                }
            }
            prop_assert_eq!((world.start, world.stop, world.kill), (0, 0, 0));
        }
    }
}

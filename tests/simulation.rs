//! Days in seconds: services that fail and heal by a seeded die, a clock moved by hand, and the pure core that the bot runs:
//! what results come to, the brakes, and the states of incidents.
//!
//! What is simulated is everything around that core: results, runs with their outcomes, people who answer or do not. What
//! is asserted is what nobody may ever see broken, whatever the die says.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use countersign::model::catalog::{AtMost, Brakes, Flapping};
use countersign::model::event::{Brake, Health};
use countersign::model::incident::{IncidentEvent, IncidentState};
use countersign::watch::brake::{Came, Decision, Firing, Look, Occasion, Others, decide};
use countersign::watch::state::{FLAP_WINDOW, FLAPS_BEYOND, Known, News, Seen, next};

/// A die with a seed: SplitMix64.
struct Die(u64);

impl Die {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.roll().is_multiple_of(times)
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.roll() % u64::try_from(to - from + 1).expect("a range")).expect("small")
    }
}

const EVERY: i64 = 30;
const FAILS_AFTER: u32 = 2;

/// How often what happens, and what a run is worth.
#[derive(Debug, Clone, Copy)]
struct Weather {
    /// It breaks once in so many rounds.
    breaks: u64,
    /// A check cannot be asked once in so many rounds.
    unknown: u64,
    /// A run heals but once in so many times.
    useless: u64,
    /// A run fails once in so many times.
    fails: u64,
    /// A person looks at what is held, or at an incident, once in so many rounds.
    person: u64,
    /// A person pauses once in so many rounds.
    pauses: u64,
}

struct Service {
    broken: bool,
    known: Option<Known>,
    firings: Vec<Firing>,
    /// When the run that is under way ends, and how: whether it ends well, and whether it heals.
    run: Option<(DateTime<Utc>, bool, bool)>,
    held: Option<Brake>,
    again_at: Option<DateTime<Utc>>,
    counted_from: Option<DateTime<Utc>>,
    incident: Option<IncidentState>,
    incidents: u32,
    said: u32,
    /// What the room reads of its check: when.
    told: Vec<DateTime<Utc>>,
    /// What whoever only reads the room takes it for; `None`: it is said to flap.
    read: Option<Health>,
}

impl Service {
    fn new() -> Self {
        Self {
            broken: false,
            known: None,
            firings: Vec::new(),
            run: None,
            held: None,
            again_at: None,
            counted_from: None,
            incident: None,
            incidents: 0,
            said: 0,
            told: Vec::new(),
            read: None,
        }
    }
}

#[derive(Debug, Default)]
struct Story {
    fired: BTreeMap<usize, Vec<DateTime<Utc>>>,
    held: u32,
    incidents: u32,
    resumed: u32,
    turned: u32,
    unknown: u32,
    flapped: u32,
    steady: u32,
}

fn moved(state: &IncidentState, event: IncidentEvent, now: DateTime<Utc>) -> Option<IncidentState> {
    state.clone().next(event, now).ok()
}

/// Plays so many days with three services.
#[expect(clippy::too_many_lines, reason = "one day after another, told from top to bottom")]
fn play(seed: u64, days: i64, brakes: Brakes, weather: Weather) -> Story {
    let mut die = Die(seed);
    let mut services: Vec<Service> = (0..3).map(|_| Service::new()).collect();
    let mut story = Story::default();
    let mut paused = false;
    let mut now = DateTime::UNIX_EPOCH;
    let settle = Duration::from_secs(u64::from(FAILS_AFTER) * u64::try_from(EVERY).expect("positive"));
    for _ in 0..days * 24 * 3600 / EVERY {
        now += TimeDelta::seconds(EVERY);
        if die.once_in(weather.pauses) {
            paused = !paused;
        }
        for (number, service) in services.iter_mut().enumerate() {
            // The world.
            if die.once_in(weather.breaks) {
                service.broken = true;
            }
            if let Some((end, well, heals)) = service.run
                && now >= end
            {
                let last = service.firings.last_mut().expect("it fired");
                last.came = if well { Came::Succeeded(end) } else { Came::Failed(end) };
                service.broken &= !heals;
                service.run = None;
            }
            // A person now and then: lets go on what is held, mends what is broken, ends what is over.
            if die.once_in(weather.person) {
                if service.held.take().is_some() {
                    story.resumed += 1;
                    service.counted_from = Some(now);
                    service.again_at = Some(now);
                    service.said = 0;
                } else {
                    service.broken = false;
                }
                if let Some(incident @ IncidentState::Mitigated { .. }) = &service.incident {
                    let by = countersign::model::id::PersonId::new("mei");
                    let resolved = moved(incident, IncidentEvent::Resolved { by, why: None }, now);
                    assert!(resolved.is_some(), "what is mitigated can be resolved");
                    service.incident = None;
                }
            }
            // The bot.
            let health = match (die.once_in(weather.unknown), service.broken) {
                (true, _) => Health::Unknown,
                (false, true) => Health::Critical,
                (false, false) => Health::Ok,
            };
            let seen = Seen { health, detail: String::new(), at: now };
            let (known, news) = next(service.known.as_ref(), &seen, FAILS_AFTER);
            tell(service, &news, now, &mut story);
            let turn = news.turn().cloned();
            story.turned += u32::from(turn.is_some());
            story.unknown += u32::from(turn.as_ref().is_some_and(|turn| turn.now == Health::Unknown));
            let became = match &news {
                News::None => None,
                News::Turned(turn) | News::Flaps { turn, .. } | News::Hidden(turn) => Some(turn.now),
                News::Steady { now, .. } => Some(*now),
            };
            match became {
                Some(Health::Critical) => {
                    service.incident = match service.incident.take() {
                        // Each failure is one incident: a new one only where none is unresolved.
                        None => {
                            service.incidents += 1;
                            story.incidents += 1;
                            Some(IncidentState::Open { since: now })
                        }
                        Some(open @ IncidentState::Open { .. }) => Some(open),
                        Some(other) => Some(
                            moved(&other, IncidentEvent::Failed { since: now }, now).expect("mitigated fails again"),
                        ),
                    };
                }
                // What flaps is not believed to be well.
                Some(Health::Ok) if known.flaps_since.is_none() => {
                    if let Some(incident @ IncidentState::Open { .. }) = &service.incident {
                        let well = moved(incident, IncidentEvent::Recovered { since: now }, now);
                        service.incident = Some(well.expect("what is open can be mitigated"));
                    }
                }
                Some(Health::Ok | Health::Unknown | Health::Warning) | None => {}
            }
            if known.flaps_since.is_none() {
                assert_eq!(service.read, known.hard, "the room knows how it is");
            }
            let certain = health == Health::Critical && known.hard == Some(Health::Critical);
            service.known = Some(known);
            if !certain {
                continue;
            }
            let known = service.known.as_ref().expect("just set");
            let occasion = match turn {
                Some(_) => Occasion::Turned,
                None => Occasion::StillFails { again_at: service.again_at },
            };
            let decision = decide(&Look {
                now,
                occasion,
                asked_at: now,
                ok_at: known.ok_at,
                settle,
                brakes,
                paused,
                held: service.held,
                counted_from: service.counted_from,
                firings: &service.firings,
                turns: &known.turns,
                others: Others::None,
            });
            match decision {
                Decision::Wait => {}
                Decision::PutOff { until, .. } => service.again_at = Some(until.unwrap_or(now)),
                Decision::Held { by, .. } => {
                    service.held = Some(by);
                    service.again_at = None;
                    service.said += 1;
                    story.held += 1;
                    assert_eq!(service.said, 1, "said once until a person lets it go on");
                }
                Decision::Go => {
                    assert!(!paused, "paused means that nothing starts");
                    assert!(service.run.is_none(), "one run at a time");
                    assert!(service.held.is_none(), "what is held does not fire");
                    assert!(service.incident.is_some(), "what starts by itself belongs to an incident");
                    let (well, heals) = match (die.once_in(weather.fails), die.once_in(weather.useless)) {
                        (true, _) => (false, false),
                        (false, useless) => (true, !useless),
                    };
                    service.run = Some((now + TimeDelta::seconds(die.between(2, 90)), well, heals));
                    service.firings.push(Firing { at: now, came: Came::Open });
                    service.again_at = None;
                    check_brakes(service, now, brakes);
                    story.fired.entry(number).or_default().push(now);
                }
            }
        }
    }
    // Each incident is over, or mitigated and waits for `resolve`, or its service is being looked after or waits.
    for service in &services {
        if let Some(IncidentState::Open { .. }) = service.incident {
            let looked_after = service.broken || service.run.is_some() || service.held.is_some() || paused;
            let not_seen_yet = service
                .known
                .as_ref()
                .is_some_and(|known| known.hard != Some(Health::Ok) || known.flaps_since.is_some());
            assert!(looked_after || not_seen_yet, "an incident is open and nobody knows why");
        }
    }
    story
}

/// What the room reads of a check; and that it is never more than so much.
fn tell(service: &mut Service, news: &News, now: DateTime<Utc>, story: &mut Story) {
    match news {
        News::None | News::Hidden(_) => return,
        News::Turned(turn) => {
            service.read = Some(turn.now);
            // The first word on a check is no change of it, and comes once.
            if turn.was.is_none() {
                return;
            }
        }
        News::Flaps { .. } => {
            service.read = None;
            story.flapped += 1;
        }
        News::Steady { now, .. } => {
            service.read = Some(*now);
            story.steady += 1;
        }
    }
    service.told.push(now);
    let window = now - TimeDelta::from_std(FLAP_WINDOW).expect("a window");
    let within = service.told.iter().filter(|at| **at > window).count();
    assert!(within <= FLAPS_BEYOND as usize + 2, "{within} messages of one check in a window");
}

/// The limits, counted anew from what really started.
fn check_brakes(service: &Service, now: DateTime<Utc>, brakes: Brakes) {
    let from = service.counted_from.unwrap_or(DateTime::<Utc>::MIN_UTC);
    let window = now - TimeDelta::from_std(brakes.at_most.per).expect("a window");
    let counted: Vec<&Firing> = service.firings.iter().filter(|firing| firing.at > from).collect();
    let within = counted.iter().filter(|firing| firing.at > window).count();
    assert!(within <= brakes.at_most.runs as usize, "{within} runs in a window");
    if let [.., before, _] = &counted[..] {
        match before.came {
            Came::Succeeded(end) => {
                assert!(now - end >= TimeDelta::from_std(brakes.cooldown).expect("a cooldown"), "no cooldown");
            }
            other => panic!("it went on after {other:?}"),
        }
    }
}

const BRAKES: Brakes = Brakes {
    cooldown: Duration::from_secs(600),
    at_most: AtMost { runs: 3, per: Duration::from_secs(3600) },
    flapping: Flapping { changes: 6, per: Duration::from_secs(1800) },
};

const FAIR: Weather = Weather { breaks: 400, unknown: 50, useless: 20, fails: 20, person: 200, pauses: 3_000 };
const FOUL: Weather = Weather { breaks: 4, unknown: 20, useless: 3, fails: 5, person: 400, pauses: 2_000 };

#[test]
fn i12_days_of_failures_never_exceed_a_brake() {
    let (mut fired, mut held, mut resumed, mut unknown) = (0, 0, 0, 0);
    for seed in 0..8 {
        for weather in [FAIR, FOUL] {
            let story = play(seed, 7, BRAKES, weather);
            fired += story.fired.values().map(Vec::len).sum::<usize>();
            held += story.held;
            resumed += story.resumed;
            unknown += story.unknown;
            assert!(story.incidents <= story.turned, "an incident without a failure");
            assert!(story.resumed <= story.held, "what was let go on was held");
        }
    }
    // The die has rolled everything that the assertions are about.
    assert!(fired > 400 && held > 50 && resumed > 50 && unknown > 5, "{fired} {held} {resumed} {unknown}");
}

/// A check that changes nearly every time that it is asked: a few messages, and a few more when it is steady.
#[test]
fn a_check_that_flaps_for_days_does_not_flood_its_room() {
    let weather =
        Weather { breaks: 1, unknown: 1_000, useless: u64::MAX, fails: u64::MAX, person: 3, pauses: u64::MAX };
    let (mut flapped, mut steady, mut turned) = (0, 0, 0);
    for seed in 0..8 {
        let story = play(seed, 3, BRAKES, weather);
        flapped += story.flapped;
        steady += story.steady;
        turned += story.turned;
    }
    assert!(flapped > 0 && steady <= flapped && turned > 1_000, "{flapped} {steady} {turned}");
}

#[test]
fn i12_without_a_person_automation_comes_to_rest() {
    for seed in 0..8 {
        let weather = Weather { person: u64::MAX, pauses: u64::MAX, ..FOUL };
        let story = play(seed, 3, BRAKES, weather);
        for (service, fired) in &story.fired {
            assert!(fired.len() <= 3, "service {service} was acted on {} times in foul weather", fired.len());
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let (one, other) = (play(7, 2, BRAKES, FAIR), play(7, 2, BRAKES, FAIR));
    assert_eq!(one.fired, other.fired);
}

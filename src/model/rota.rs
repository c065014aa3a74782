//! On-call rotas: who is on call at a moment, until when, and who comes next.
//!
//! What lives here: turns, overrides, and the calendar of one zone, all pure; the moment is a parameter. What does not:
//! who is asked, reminded and rung (`approval`), or reading YAML (`runbook`). A rota says who is asked *first*. Who may
//! decide is everybody in it ([`Rota::everybody`]): that is the right which a plan freezes, and no turn or override
//! narrows or widens it (I13).

use std::collections::BTreeSet;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;

use super::catalog::{Catalog, Policy, Runbook, Source, Subject, System};
use super::id::{PersonId, RotaName};

/// People who take turns at being on call. A checked value: at least one member, nobody twice, overrides apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rota {
    /// Its name.
    pub name: RotaName,
    /// Who takes turns, in order; at least one, nobody twice.
    pub members: Vec<PersonId>,
    /// Who takes no turn and may stand in; none of them is a member.
    pub stand_ins: Vec<PersonId>,
    /// How long a turn is.
    pub turns: Turns,
    /// The day on which the first member's first turn begins. Before it the turns are counted backward.
    pub from: NaiveDate,
    /// The time of day at which one hands over to the next.
    pub at: NaiveTime,
    /// The zone of `from` and `at`, and the one in which its times are said.
    pub zone: Tz,
    /// Who stands in, and when; by time, none overlaps another.
    pub overrides: Vec<Override>,
    /// Where it was read.
    pub source: Source,
}

/// How long a turn is, in days of the calendar: a day on which clocks change is a day all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turns {
    /// One day.
    Daily,
    /// Seven days.
    Weekly,
}

impl Turns {
    /// As written in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Weekly => "weekly",
        }
    }

    fn days(self) -> i64 {
        match self {
            Self::Daily => 1,
            Self::Weekly => 7,
        }
    }
}

/// Somebody stands in for whoever's turn it is: from the first moment on, until the second, which is no longer part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// Who.
    pub person: PersonId,
    /// Its first moment.
    pub from: DateTime<Utc>,
    /// Its end; later than `from`.
    pub until: DateTime<Utc>,
}

/// A time in which one person is on call without a change: a turn, an override, or what overrides leave of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shift {
    /// Who.
    pub person: PersonId,
    /// Its first moment.
    pub since: DateTime<Utc>,
    /// Its end, which is the first moment of the next one.
    pub until: DateTime<Utc>,
}

/// The first moment at which the clocks of a zone show this time, or the first later one that they do show: a time that
/// stands twice (clocks go back) is its first; one that never stands (clocks go forward) is the end of the gap.
pub fn moment_in(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    /// The longest gap of any zone: a whole day, when a place changes sides of the date line.
    const LONGEST_GAP_MINUTES: i64 = 25 * 60;
    (0..=LONGEST_GAP_MINUTES)
        .filter_map(|minutes| local.checked_add_signed(TimeDelta::minutes(minutes)))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map_or_else(|| local.and_utc(), |moment| moment.with_timezone(&Utc))
}

impl Rota {
    /// Everybody whom it may ask: its members and those who may stand in, each once, in order.
    pub fn everybody(&self) -> impl Iterator<Item = &PersonId> {
        self.members.iter().chain(&self.stand_ins)
    }

    /// The start of a turn, counted from the first one; negative before it.
    fn start(&self, turn: i64) -> DateTime<Utc> {
        let days = turn.saturating_mul(self.turns.days());
        let forward = Days::new(days.unsigned_abs());
        let day = match days >= 0 {
            true => self.from.checked_add_days(forward).unwrap_or(NaiveDate::MAX),
            false => self.from.checked_sub_days(forward).unwrap_or(NaiveDate::MIN),
        };
        moment_in(self.zone, day.and_time(self.at))
    }

    /// The number of the turn in which a moment lies.
    fn turn_at(&self, at: DateTime<Utc>) -> i64 {
        let day = at.with_timezone(&self.zone).date_naive();
        // The day gives it to within one, whatever the clocks do.
        let mut turn = day.signed_duration_since(self.from).num_days().div_euclid(self.turns.days());
        while self.start(turn) > at {
            turn -= 1;
        }
        while self.start(turn + 1) <= at {
            turn += 1;
        }
        turn
    }

    /// The place in `members` of whoever's turn it is, without overrides.
    fn place_of(&self, turn: i64) -> usize {
        let members = i64::try_from(self.members.len()).unwrap_or(i64::MAX).max(1);
        usize::try_from(turn.rem_euclid(members)).unwrap_or(0)
    }
}

/// Who is on call at a moment. Somebody always is: shifts follow each other without a gap. The moment must be one of the
/// years in which people live; those of a rota are between 2000 and 2100.
pub fn on_call(rota: &Rota, at: DateTime<Utc>) -> Shift {
    if let Some(over) = rota.overrides.iter().find(|over| over.from <= at && at < over.until) {
        return Shift { person: over.person.clone(), since: over.from, until: over.until };
    }
    let turn = rota.turn_at(at);
    let before = rota.overrides.iter().map(|over| over.until).filter(|until| *until <= at).max();
    let after = rota.overrides.iter().map(|over| over.from).filter(|from| *from > at).min();
    let (start, end) = (rota.start(turn), rota.start(turn + 1));
    let person = rota.members.get(rota.place_of(turn)).cloned().unwrap_or_else(|| PersonId::new(""));
    Shift {
        person,
        since: before.map_or(start, |before| before.max(start)),
        until: after.map_or(end, |after| after.min(end)),
    }
}

/// Whose turn it is at a moment, whoever stands in for them.
pub fn whose_turn(rota: &Rota, at: DateTime<Utc>) -> Option<&PersonId> {
    rota.members.get(rota.place_of(rota.turn_at(at)))
}

/// Everybody of a rota in the order in which they are asked at a moment: who is on call, then the members as their turns
/// follow, then those who only stand in. Whoever is stood in for comes last: there was a reason.
pub fn order(rota: &Rota, at: DateTime<Utc>) -> Vec<PersonId> {
    let current = on_call(rota, at).person;
    let place = rota.place_of(rota.turn_at(at));
    let (before, from) = rota.members.split_at(place.min(rota.members.len()));
    let (of_turn, after) = from.split_first().map_or((None, from), |(first, rest)| (Some(first), rest));
    let rest = after.iter().chain(before).chain(&rota.stand_ins).chain(of_turn);
    let mut order = vec![current];
    for person in rest {
        if !order.contains(person) {
            order.push(person.clone());
        }
    }
    order
}

/// The next shift of somebody else, after that of a moment; `None` when nobody else comes within two rounds.
pub fn next(rota: &Rota, at: DateTime<Utc>) -> Option<Shift> {
    let current = on_call(rota, at);
    // Each override adds at most two shifts to the turns that it touches.
    let most = rota.members.len().saturating_mul(2) + rota.overrides.len().saturating_mul(2) + 2;
    std::iter::successors(Some(current.clone()), |shift| Some(on_call(rota, shift.until)))
        .take(most)
        .find(|shift| shift.person != current.person)
}

impl Catalog {
    /// Who is on call at a moment; `None`: there is no such rota.
    pub fn on_call(&self, name: &RotaName, at: DateTime<Utc>) -> Option<Shift> {
        self.rotas.get(name).map(|rota| on_call(rota, at))
    }

    /// Everybody of a rota in the order in which they are asked at a moment; empty: there is no such rota.
    pub fn on_call_order(&self, name: &RotaName, at: DateTime<Utc>) -> Vec<PersonId> {
        self.rotas.get(name).map(|rota| order(rota, at)).unwrap_or_default()
    }

    /// The rotas that have to do with a system: those that its rights and its incidents' channel name, and those that the
    /// policies of runbooks name which can work on it.
    pub fn rotas_of(&self, system: &System) -> BTreeSet<RotaName> {
        let channel = system.incident_channel.iter().flat_map(|channel| channel.invite.iter().chain(&channel.observe));
        let rights = [&system.may_run, &system.may_see, &system.may_unstick, &system.may_resolve, &system.may_pause];
        let policies = self
            .runbooks
            .values()
            .filter(|runbook| self.can_work_on(runbook, system))
            .filter_map(|runbook| self.policies.get(runbook.approval.as_ref()?))
            .flat_map(Policy::subjects);
        rights
            .into_iter()
            .flatten()
            .chain(channel)
            .chain(policies)
            .filter_map(|subject| match subject {
                Subject::Rota(rota) => Some(rota.clone()),
                Subject::Person(_) | Subject::Group(_) | Subject::Accountable => None,
            })
            .collect()
    }

    /// Whether a runbook can work on a system: its own, or one that a parameter may name.
    pub fn can_work_on(&self, runbook: &Runbook, system: &System) -> bool {
        use super::catalog::ParamKind;
        let own = runbook.system.as_ref() == Some(&system.name);
        own || runbook.params.iter().any(|param| match &param.kind {
            ParamKind::Service { system: Some(of) } => *of == system.name,
            ParamKind::Service { system: None } | ParamKind::System => true,
            ParamKind::Choice(_) | ParamKind::Integer { .. } | ParamKind::Text { .. } => false,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::id::Digest;

    fn moment(text: &str) -> DateTime<Utc> {
        text.parse().expect("a moment")
    }

    fn person(name: &str) -> PersonId {
        PersonId::new(name)
    }

    /// A rota of these people; an override is `person from until`.
    pub(crate) fn rota(members: &[&str], turns: Turns, zone: Tz, at: &str, overrides: &[&str]) -> Rota {
        let over = |text: &&str| match text.split(' ').collect::<Vec<_>>()[..] {
            [who, from, until] => Override { person: person(who), from: moment(from), until: moment(until) },
            _ => panic!("{text}"),
        };
        Rota {
            name: RotaName::new("ops-primary"),
            members: members.iter().map(|name| person(name)).collect(),
            stand_ins: vec![],
            turns,
            from: "2026-11-02".parse().expect("a day"),
            at: at.parse().expect("a time"),
            zone,
            overrides: overrides.iter().map(over).collect(),
            source: Source { path: "people.yaml".into(), sha256: Digest([0; 32]) },
        }
    }

    fn said(shift: &Shift) -> String {
        format!("{} {} {}", shift.person, shift.since.format("%F %R"), shift.until.format("%F %R"))
    }

    const THREE: &[&str] = &["mei", "lin", "boss"];

    #[test]
    fn weeks_follow_each_other_in_the_rotas_zone() {
        let rota = rota(THREE, Turns::Weekly, Tz::Asia__Singapore, "09:00:00", &[]);
        let at = |text: &str| said(&on_call(&rota, moment(text)));
        assert_eq!(at("2026-11-02T01:00:00Z"), "mei 2026-11-02 01:00 2026-11-09 01:00", "nine in Singapore");
        assert_eq!(at("2026-11-09T00:59:59Z"), "mei 2026-11-02 01:00 2026-11-09 01:00");
        assert_eq!(at("2026-11-09T01:00:00Z"), "lin 2026-11-09 01:00 2026-11-16 01:00");
        assert_eq!(at("2026-11-23T12:00:00Z"), "mei 2026-11-23 01:00 2026-11-30 01:00", "round again");
        assert_eq!(at("2026-11-02T00:59:59Z"), "boss 2026-10-26 01:00 2026-11-02 01:00", "and backward");
    }

    #[test]
    fn an_override_wins_and_ends() {
        let over = ["boss 2026-11-04T01:00:00Z 2026-11-05T01:00:00Z", "lin 2026-11-08T00:00:00Z 2026-11-09T12:00:00Z"];
        let rota = rota(THREE, Turns::Weekly, Tz::Asia__Singapore, "09:00:00", &over);
        let at = |text: &str| said(&on_call(&rota, moment(text)));
        assert_eq!(at("2026-11-03T00:00:00Z"), "mei 2026-11-02 01:00 2026-11-04 01:00");
        assert_eq!(at("2026-11-04T01:00:00Z"), "boss 2026-11-04 01:00 2026-11-05 01:00");
        assert_eq!(at("2026-11-05T01:00:00Z"), "mei 2026-11-05 01:00 2026-11-08 00:00");
        assert_eq!(at("2026-11-09T01:00:00Z"), "lin 2026-11-08 00:00 2026-11-09 12:00", "over the hand-over");
        assert_eq!(at("2026-11-09T12:00:00Z"), "lin 2026-11-09 12:00 2026-11-16 01:00");
    }

    #[test]
    fn clocks_that_change_move_no_hand_over_and_make_no_gap() {
        // Berlin: forward on 2027-03-28 at 02:00, back on 2027-10-31 at 03:00.
        let nine = rota(THREE, Turns::Daily, Tz::Europe__Berlin, "09:00:00", &[]);
        let day = |text: &str| {
            let shift = on_call(&nine, moment(text));
            (shift.since.format("%F %R").to_string(), (shift.until - shift.since).num_hours())
        };
        assert_eq!(day("2027-03-27T12:00:00Z"), ("2027-03-27 08:00".to_owned(), 23), "the day that is short");
        assert_eq!(day("2027-03-28T12:00:00Z"), ("2027-03-28 07:00".to_owned(), 24));
        assert_eq!(day("2027-10-30T12:00:00Z"), ("2027-10-30 07:00".to_owned(), 25), "the day that is long");
        // A hand-over at a time that does not stand on that day is at the end of the gap; one that stands twice, the first.
        let gap = rota(THREE, Turns::Daily, Tz::Europe__Berlin, "02:30:00", &[]);
        assert_eq!(on_call(&gap, moment("2027-03-28T12:00:00Z")).since, moment("2027-03-28T01:00:00Z"));
        assert_eq!(on_call(&gap, moment("2027-10-31T12:00:00Z")).since, moment("2027-10-31T00:30:00Z"));
        assert_eq!(on_call(&gap, moment("2027-10-31T00:29:59Z")).until, moment("2027-10-31T00:30:00Z"));
    }

    #[test]
    fn a_time_of_a_zone_is_one_moment() {
        let at = |zone, text: &str| moment_in(zone, text.parse().expect("a time")).format("%F %T").to_string();
        assert_eq!(at(Tz::Europe__Berlin, "2027-03-28T02:00:00"), "2027-03-28 01:00:00");
        assert_eq!(at(Tz::Europe__Berlin, "2027-03-28T02:59:00"), "2027-03-28 01:00:00");
        assert_eq!(at(Tz::Europe__Berlin, "2027-10-31T02:30:00"), "2027-10-31 00:30:00");
        assert_eq!(at(Tz::Australia__Lord_Howe, "2026-10-04T02:10:00"), "2026-10-03 15:30:00", "half an hour");
        assert_eq!(at(Tz::Pacific__Apia, "2011-12-30T12:00:00"), "2011-12-30 10:00:00", "a day that never was");
        assert_eq!(at(Tz::UTC, "2026-11-02T09:00:00"), "2026-11-02 09:00:00");
    }

    #[test]
    fn who_is_stood_in_for_is_asked_last() {
        let mut rota = rota(
            THREE,
            Turns::Weekly,
            Tz::UTC,
            "09:00:00",
            &["boss 2026-11-04T00:00:00Z 2026-11-05T00:00:00Z", "zoe 2026-11-06T00:00:00Z 2026-11-07T00:00:00Z"],
        );
        rota.stand_ins = vec![person("zoe")];
        let names = |at: &str| order(&rota, moment(at)).iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(names("2026-11-03T00:00:00Z"), "mei lin boss zoe");
        assert_eq!(names("2026-11-04T00:00:00Z"), "boss lin zoe mei");
        assert_eq!(names("2026-11-06T00:00:00Z"), "zoe lin boss mei");
        assert_eq!(names("2026-11-10T00:00:00Z"), "lin boss mei zoe");
    }

    #[test]
    fn the_next_is_somebody_else() {
        let over = ["mei 2026-11-08T00:00:00Z 2026-11-10T00:00:00Z"];
        let rota_of = |members| rota(members, Turns::Weekly, Tz::UTC, "09:00:00", &over);
        let at = moment("2026-11-03T00:00:00Z");
        assert_eq!(next(&rota_of(THREE), at).map(|shift| said(&shift)).as_deref(), {
            Some("lin 2026-11-10 00:00 2026-11-16 09:00")
        });
        assert_eq!(next(&rota_of(&["mei"]), at), None);
    }

    fn zones() -> impl Strategy<Value = Tz> {
        proptest::sample::select(
            &[
                Tz::UTC,
                Tz::Europe__Berlin,
                Tz::America__New_York,
                Tz::Australia__Lord_Howe,
                Tz::Africa__Casablanca,
                Tz::Asia__Kathmandu,
                Tz::America__Santiago,
            ][..],
        )
    }

    const EVERYBODY: [&str; 4] = ["mei", "lin", "boss", "zoe"];

    prop_compose! {
        fn rotas()(
            people in 1..=EVERYBODY.len(),
            weekly in any::<bool>(),
            zone in zones(),
            minute in 0..24 * 60_u32,
            overrides in proptest::collection::vec((0..4_usize, 0..300_i64, 1..200_i64), 0..5),
        ) -> Rota {
            let turns = if weekly { Turns::Weekly } else { Turns::Daily };
            let mut rota = rota(&EVERYBODY[..people], turns, zone, "09:00:00", &[]);
            rota.at = NaiveTime::from_num_seconds_from_midnight_opt(minute * 60, 0).expect("a time");
            let mut at = moment("2026-11-01T00:00:00Z");
            for (who, wait, lasts) in overrides {
                let from = at + TimeDelta::hours(wait);
                at = from + TimeDelta::hours(lasts);
                rota.overrides.push(Override { person: person(EVERYBODY[who % people]), from, until: at });
            }
            rota
        }
    }

    proptest! {
        #[test]
        fn somebody_is_always_on_call_and_shifts_tile_time(rota in rotas(), seconds in 0..2 * 366 * 86_400_i64) {
            let at = moment("2026-06-01T00:00:00Z") + TimeDelta::seconds(seconds);
            let shift = on_call(&rota, at);
            prop_assert!(rota.everybody().any(|person| *person == shift.person));
            prop_assert!(shift.since <= at && at < shift.until, "{shift:?} at {at}");
            // The whole of it is the same shift, and what comes before and after touches it.
            let last = shift.until - TimeDelta::nanoseconds(1);
            prop_assert_eq!(&on_call(&rota, shift.since), &shift);
            prop_assert_eq!(&on_call(&rota, last), &shift);
            prop_assert_eq!(on_call(&rota, shift.until).since, shift.until);
            prop_assert_eq!(on_call(&rota, shift.since - TimeDelta::nanoseconds(1)).until, shift.since);
        }

        #[test]
        fn an_override_wins_from_its_first_moment_to_its_end(rota in rotas(), share in 0.0..1.0_f64) {
            for over in &rota.overrides {
                let length = (over.until - over.from).num_seconds() as f64;
                let within = over.from + TimeDelta::seconds((length * share) as i64);
                prop_assert_eq!(&on_call(&rota, within).person, &over.person);
                prop_assert!(on_call(&rota, over.until).since == over.until);
            }
        }

        #[test]
        fn turns_are_fair(rota in rotas(), day in 0..700_u64) {
            let rota = Rota { overrides: vec![], ..rota };
            // Every member once in a round, in order, and the local time of day is that of the hand-over or the gap's end.
            let mut at = on_call(&rota, moment("2026-06-01T00:00:00Z") + Days::new(day)).until;
            let first = on_call(&rota, at).person;
            let place = rota.members.iter().position(|person| *person == first).expect("a member");
            for step in 0..rota.members.len() {
                let shift = on_call(&rota, at);
                prop_assert_eq!(&shift.person, &rota.members[(place + step) % rota.members.len()]);
                let days = (shift.until.with_timezone(&rota.zone).date_naive()
                    - shift.since.with_timezone(&rota.zone).date_naive()).num_days();
                prop_assert_eq!(days, rota.turns.days());
                at = shift.until;
            }
        }

        #[test]
        fn everybody_is_asked_once_and_who_is_on_call_first(rota in rotas(), hours in 0..20_000_i64) {
            let at = moment("2026-06-01T00:00:00Z") + TimeDelta::hours(hours);
            let order = order(&rota, at);
            prop_assert_eq!(&order[0], &on_call(&rota, at).person);
            let once: BTreeSet<&PersonId> = order.iter().collect();
            prop_assert_eq!(once.len(), order.len());
            prop_assert_eq!(once, rota.everybody().collect());
            if let Some(next) = next(&rota, at) {
                prop_assert!(next.since > at && next.person != order[0]);
            } else {
                prop_assert_eq!(rota.members.len(), 1);
            }
        }
    }
}

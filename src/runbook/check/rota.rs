//! Rotas: people who take turns, hand-over times that a zone has, overrides that do not contradict each other.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::model::id::{PersonId, RotaName};
use crate::model::rota::{Override, Rota, Turns, moment_in};

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::{Checker, Input, Kind};

/// The years that a rota's days may lie in: further away nobody knows what clocks will do.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2100;

impl Checker {
    /// Rotas, once all people of all files are known.
    pub(super) fn rotas(&mut self, input: &Input, raw: &raw::People) {
        for (name, raw) in raw.rotas.iter().flat_map(|rotas| &rotas.value.0) {
            // A name that is declared twice has been told; the first stands.
            if let Some(rota) = self.rota(input, name, raw) {
                self.catalog.rotas.entry(rota.name.clone()).or_insert(rota);
            }
        }
    }

    /// One rota; `None` when something that it cannot be without was wrong: that has been told.
    fn rota(&mut self, input: &Input, name: &At<String>, raw: &raw::Rota) -> Option<Rota> {
        let hint = "say who takes turns, in order: `members: [mei, lin]`";
        let written = self.filled(input, name.place, "members", &raw.members, hint);
        let mut members: Vec<PersonId> = Vec::new();
        let stand_ins = raw.stand_ins.as_ref();
        if let Some(empty) = stand_ins.filter(|list| list.value.is_empty()) {
            self.problem(input, Problem::new(empty.place, "`stand_ins` is empty").hint("leave the key out"));
        }
        let of_turns = written.len();
        let mut everybody = Vec::new();
        for (number, person) in written.iter().chain(stand_ins.iter().flat_map(|list| &list.value)).enumerate() {
            self.known(input, Kind::Person, person);
            let id = PersonId::new(&person.value);
            if everybody.contains(&id) {
                let message = format!("{} stands in this rota twice", words::quoted(&person.value));
                self.problem(input, Problem::new(person.place, message).hint("keep one of the two"));
                continue;
            }
            if number < of_turns {
                members.push(id.clone());
            }
            everybody.push(id);
        }
        let stand_ins = everybody.split_off(members.len().min(everybody.len()));
        let turns = self.turns(input, name, raw);
        let hint = "say on which day the first member's first turn begins: `from: 2026-11-02`";
        let from = self.required(input, name.place, "from", &raw.from, hint).and_then(|day| self.day(input, day));
        let hint = "say when one hands over to the next: `at: \"09:00\"`";
        let at = self.required(input, name.place, "at", &raw.at, hint).and_then(|time| self.time_of_day(input, time));
        let hint = "say whose clocks are meant: `zone: Asia/Singapore`";
        let zone = self.required(input, name.place, "zone", &raw.zone, hint).and_then(|zone| self.zone(input, zone));
        let may_stand_in = |person: &PersonId| members.contains(person) || stand_ins.contains(person);
        let overrides = self.overrides(input, raw, zone, &may_stand_in);
        (!members.is_empty()).then_some(())?;
        Some(Rota {
            name: RotaName::new(&name.value),
            members,
            stand_ins,
            turns: turns?,
            from: from?,
            at: at?,
            zone: zone?,
            overrides,
            source: input.source.clone(),
        })
    }

    fn turns(&mut self, input: &Input, name: &At<String>, raw: &raw::Rota) -> Option<Turns> {
        let hint = "say how long a turn is: `turns: weekly`";
        let written = self.required(input, name.place, "turns", &raw.turns, hint)?;
        let both = [Turns::Daily, Turns::Weekly];
        let found = both.into_iter().find(|turns| turns.name() == written.value);
        if found.is_none() {
            let problem =
                Problem::new(written.place, format!("{} is no length of a turn", words::quoted(&written.value)))
                    .label("expected `daily` or `weekly`")
                    .nearest(&written.value, both.map(Turns::name));
            self.problem(input, problem);
        }
        found
    }

    /// The overrides in the order of their times, without those that were wrong.
    fn overrides(
        &mut self,
        input: &Input,
        raw: &raw::Rota,
        zone: Option<Tz>,
        may_stand_in: &dyn Fn(&PersonId) -> bool,
    ) -> Vec<Override> {
        let Some(list) = &raw.overrides else { return Vec::new() };
        if list.value.is_empty() {
            self.problem(input, Problem::new(list.place, "`overrides` is empty").hint("leave the key out"));
        }
        let mut found: Vec<(Override, Place)> = Vec::new();
        for item in &list.value {
            let Some(over) = self.one_override(input, item, zone, may_stand_in) else { continue };
            if let Some((other, _)) = found.iter().find(|(it, _)| it.from < over.until && over.from < it.until) {
                let message = format!("{} is to stand in while {} does", over.person, other.person);
                let hint = "one of the two is on call: end one override where the other begins";
                let place = item.value.from.as_ref().map_or(item.place, |from| from.place);
                self.problem(input, Problem::new(place, message).hint(hint));
                continue;
            }
            found.push((over, item.place));
        }
        found.sort_by_key(|(over, _)| over.from);
        found.into_iter().map(|(over, _)| over).collect()
    }

    fn one_override(
        &mut self,
        input: &Input,
        item: &At<raw::Override>,
        zone: Option<Tz>,
        may_stand_in: &dyn Fn(&PersonId) -> bool,
    ) -> Option<Override> {
        let whose = Place { start: item.place.start, end: item.place.start };
        let raw = &item.value;
        let person =
            self.required(input, whose, "person", &raw.person, "say who stands in: `person: boss`").map(|it| {
                let person = PersonId::new(&it.value);
                if self.known(input, Kind::Person, it) && !may_stand_in(&person) {
                    let message = format!("{person} is not in this rota");
                    let hint = "an override says who is asked, not who may decide: add them to `stand_ins`";
                    self.problem(input, Problem::new(it.place, message).hint(hint));
                }
                person
            });
        let zone = match &raw.zone {
            Some(own) => self.zone(input, own),
            None => zone,
        };
        let hint = "say from when: `from: 2026-12-24 18:00`";
        let from = self.required(input, whose, "from", &raw.from, hint).and_then(|at| self.local(input, at));
        let hint = "say until when: `until: 2026-12-26 09:00`";
        let until = self.required(input, whose, "until", &raw.until, hint).and_then(|at| self.local(input, at));
        let zone = zone?;
        let moment = |local: NaiveDateTime| -> DateTime<Utc> { moment_in(zone, local) };
        let (person, from, until) = (person?, moment(from?), moment(until?));
        if until <= from {
            let place = raw.until.as_ref().map_or(item.place, |until| until.place);
            let problem = Problem::new(place, "this override ends before it begins");
            self.problem(input, problem.hint("`until` is later than `from`"));
            return None;
        }
        Some(Override { person, from, until })
    }

    /// A zone by its name in the IANA's list, with the nearest of a wrong one.
    pub(super) fn zone(&mut self, input: &Input, written: &At<String>) -> Option<Tz> {
        let found = written.value.parse().ok();
        if found.is_none() {
            let problem = Problem::new(written.place, format!("there is no zone {}", words::quoted(&written.value)))
                .label("expected a name such as `Europe/Berlin`, or `UTC`");
            let problem = match near_zone(&written.value) {
                Some(near) => problem.hint(format!("did you mean `{near}`?")),
                None => problem,
            };
            self.problem(input, problem);
        }
        found
    }

    /// `09:00`.
    pub(super) fn time_of_day(&mut self, input: &Input, written: &At<String>) -> Option<NaiveTime> {
        let time = NaiveTime::parse_from_str(written.value.trim(), "%H:%M").ok();
        if time.is_none() {
            let problem = Problem::new(written.place, format!("{} is no time of day", words::quoted(&written.value)));
            self.problem(input, problem.label("expected hours and minutes, such as \"09:00\""));
        }
        time
    }

    /// `2026-11-02`.
    fn day(&mut self, input: &Input, written: &At<String>) -> Option<NaiveDate> {
        let day = NaiveDate::parse_from_str(written.value.trim(), "%Y-%m-%d").ok();
        let day = day.filter(|day| YEARS.contains(&day.year()));
        if day.is_none() {
            let problem = Problem::new(written.place, format!("{} is no day", words::quoted(&written.value)));
            self.problem(input, problem.label("expected year, month and day, such as 2026-11-02"));
        }
        day
    }

    /// `2026-12-24 18:00`, by the clocks of a zone that is said elsewhere.
    pub(super) fn local(&mut self, input: &Input, written: &At<String>) -> Option<NaiveDateTime> {
        let text = written.value.trim();
        let read = ["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"];
        let local = read.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let local = local.filter(|local| YEARS.contains(&local.year()));
        if local.is_none() {
            let problem = Problem::new(written.place, format!("{} is no day and time", words::quoted(&written.value)));
            let problem = problem.label("expected year, month, day and time, such as 2026-12-24 18:00");
            self.problem(input, problem.hint("the zone is a key of its own: `zone`"));
        }
        local
    }
}

/// The zone that a wrong name most likely means: by its city alone, or by a slip.
fn near_zone(said: &str) -> Option<&'static str> {
    let folded = |text: &str| text.to_ascii_lowercase().replace([' ', '-'], "_");
    let said = folded(said);
    let names: Vec<(String, &'static str)> =
        TZ_VARIANTS.iter().map(|zone| (folded(zone.name()), zone.name())).collect();
    let city = format!("/{said}");
    let by_name = names.iter().find(|(folded, _)| *folded == said || folded.ends_with(&city));
    let by_slip = || {
        let near = words::nearest(&said, names.iter().map(|(folded, _)| folded.as_str()))?;
        names.iter().find(|(folded, _)| folded == near)
    };
    by_name.or_else(by_slip).map(|(_, name)| *name)
}

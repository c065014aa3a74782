//! Who is on call, in words: who, until when by the rota's own clock, and who is next.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::command::or;
use super::visible::visible;
use crate::model::id::{PersonId, RotaName};
use crate::model::rota::{Rota, next, on_call, whose_turn};

/// `Mon 2026-11-09 09:00 Asia/Singapore`: a moment of the calendar, with the zone's whole name.
pub fn moment(at: DateTime<Utc>, zone: Tz) -> String {
    format!("{} {}", at.with_timezone(&zone).format("%a %Y-%m-%d %H:%M"), zone.name())
}

/// One line about a rota as it is at a moment.
pub fn rota(rota: &Rota, at: DateTime<Utc>) -> String {
    let shift = on_call(rota, at);
    let until = moment(shift.until, rota.zone);
    let name = &rota.name;
    let who = match whose_turn(rota, at) {
        Some(turn) if *turn != shift.person => format!("{} stands in for {turn}", shift.person),
        Some(_) | None => format!("{} is on call", shift.person),
    };
    match next(rota, at) {
        // Between the two nobody else comes: whoever is on call goes on being so.
        Some(other) if other.since == shift.until => format!("{name}: {who} until {until}; {} is next.", other.person),
        Some(other) => {
            let since = moment(other.since, rota.zone);
            format!("{name}: {who}, without a change until {since}; {} is next.", other.person)
        }
        None => format!("{name}: {who} until {until}, and nobody else comes after."),
    }
}

/// To `who is on call`: a line for each rota.
pub fn rotas(rotas: &[&Rota], at: DateTime<Utc>) -> String {
    rotas.iter().map(|it| rota(it, at)).collect::<Vec<_>>().join("\n")
}

/// To `who is on call` where there is no rota that the speaker may know of.
pub fn no_rotas() -> String {
    "There is no rota that you may see, so I know nobody who is on call. `rotas` in the catalog declares them."
        .to_owned()
}

/// To `who is on call for SYSTEM` where no rota has to do with it.
pub fn no_rota_of(system: &str, all: &[RotaName]) -> String {
    let system = visible(system);
    match all {
        [] => format!("No rota has to do with {system}. `rotas` in the catalog declares them."),
        all => format!("No rota has to do with {system}. `who is on call for NAME` asks for {}.", or(all)),
    }
}

/// To somebody who asks for a rota and may see none of its systems, nor is in it.
pub fn may_not_see(person: &PersonId, rota: &RotaName) -> String {
    format!(
        "{person}, you may see no system that {rota} is on call for. `who is on call` names those that you may see."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rota::Turns;
    use crate::model::rota::tests::rota as made;

    fn said(members: &[&str], overrides: &[&str], at: &str) -> String {
        let made = made(members, Turns::Weekly, Tz::Asia__Singapore, "09:00:00", overrides);
        rota(&made, at.parse().expect("a moment"))
    }

    #[test]
    fn a_line_says_who_until_when_and_who_is_next() {
        insta::assert_snapshot!(said(&["mei", "lin"], &[], "2026-11-03T00:00:00Z"), @"ops-primary: mei is on call until Mon 2026-11-09 09:00 Asia/Singapore; lin is next.");
        let over = ["boss 2026-11-04T01:00:00Z 2026-11-05T01:00:00Z"];
        insta::assert_snapshot!(said(&["mei", "lin"], &over, "2026-11-04T02:00:00Z"), @"ops-primary: boss stands in for mei until Thu 2026-11-05 09:00 Asia/Singapore; mei is next.");
        let long = ["lin 2026-11-04T01:00:00Z 2026-11-10T01:00:00Z"];
        insta::assert_snapshot!(said(&["mei", "lin"], &long, "2026-11-04T02:00:00Z"), @"ops-primary: lin stands in for mei, without a change until Mon 2026-11-16 09:00 Asia/Singapore; mei is next.");
        insta::assert_snapshot!(said(&["mei"], &[], "2026-11-03T00:00:00Z"), @"ops-primary: mei is on call until Mon 2026-11-09 09:00 Asia/Singapore, and nobody else comes after.");
    }

    #[test]
    fn where_nobody_is_on_call_it_says_what_there_is() {
        insta::assert_snapshot!(no_rota_of("System A", &[]), @"No rota has to do with System A. `rotas` in the catalog declares them.");
        insta::assert_snapshot!(no_rota_of("System A", &[RotaName::new("ops"), RotaName::new("web")]), @"No rota has to do with System A. `who is on call for NAME` asks for ops or web.");
    }
}

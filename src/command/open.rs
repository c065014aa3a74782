//! `open incident TITLE`, `open incident SYSTEM: TITLE`. `open the door` and `open incidents?` are talk.

use super::names::{self, Found};
use super::words::Ending;
use super::{Command, Line, Reading};
use crate::model::id::SystemName;

pub(super) fn read(line: &Line<'_>) -> Reading {
    let title = match &line.raw[1..] {
        [incident, title @ ..] if incident.is("incident") || incident.is("incident:") => title,
        _ => return line.usage("open"),
    };
    let Some(first) = title.first() else {
        return match line.usage("open") {
            Reading::Perhaps(error) => Reading::Wrong(error),
            reading => reading,
        };
    };
    // `open incident reports?` is asked of people.
    if line.ending == Ending::Question {
        return line.usage("open");
    }
    let rest = line.rest_from(first);
    if let Some((system, title)) = rest.split_once(':')
        && let Found::One(name) = names::find(names::systems(line.catalog), system.trim())
        && !title.trim().is_empty()
    {
        return Reading::Right(Command::Open { system: Some(SystemName::new(name)), title: title.trim().to_owned() });
    }
    Reading::Right(Command::Open { system: None, title: rest.to_owned() })
}

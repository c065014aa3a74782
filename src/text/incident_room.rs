//! What is said of the channel that an incident gets: where it is, who is asked to come, what stands in it, and what could
//! not be done.

use super::incident::{Where, name};
use super::plan::and;
use super::time::{Times, lasted};
use super::visible::visible;
use crate::model::event::LeftOut;
use crate::model::id::{IncidentId, PersonId, RunId};
use crate::model::incident::{Incident, IncidentState};
use crate::model::incident_room::{AtEnd, RoomDeed};

/// The longest topic and purpose that platforms take, in characters.
const LONGEST_TOPIC: usize = 250;

/// The most characters of a title.
const MOST: usize = 160;

/// Where an incident is talked about from now on: said in the system's room.
pub fn made(incident: IncidentId, channel: &str) -> String {
    format!("{}: talk in #{}. It ends up in the same record.", name(incident), visible(channel))
}

/// Who was invited, and who could not be. Empty when there was nobody.
pub fn invited(responders: &[PersonId], observers: &[PersonId], left_out: &[LeftOut]) -> String {
    let mut sentences = Vec::new();
    if !responders.is_empty() {
        sentences.push(format!("Asked to help: {}.", and(responders)));
    }
    if !observers.is_empty() {
        sentences.push(format!("Here to follow it: {}.", and(observers)));
    }
    if !left_out.is_empty() {
        let each: Vec<String> = left_out.iter().map(|one| format!("{} ({})", one.person, visible(&one.why))).collect();
        sentences.push(format!("Not invited: {}.", each.join(", ")));
    }
    sentences.join(" ")
}

/// Why somebody was not invited who has no account there.
pub fn no_account() -> &'static str {
    "no account in this workspace"
}

/// What was not done, as people would say it.
pub fn not_done(deed: RoomDeed) -> &'static str {
    match deed {
        RoomDeed::Make => "the channel",
        RoomDeed::Invite => "the invitations to the channel",
        RoomDeed::Topic => "the topic of the channel",
        RoomDeed::Pin => "the pinned summary",
        RoomDeed::Archive => "the archiving of the channel",
    }
}

/// The platform will not do something for an incident's channel.
pub fn refused(incident: IncidentId, deed: RoomDeed, why: &str) -> String {
    let name = name(incident);
    let why = stopped(&visible(why));
    match deed {
        RoomDeed::Make => format!("{name} gets no channel of its own and is talked about here. {why}"),
        RoomDeed::Invite => format!("Nobody could be invited to the channel of {name}: come by yourselves. {why}"),
        RoomDeed::Topic => format!("The topic of this channel could not be set. {why}"),
        RoomDeed::Pin => format!("The summary could not be pinned. {why}"),
        RoomDeed::Archive => format!("The channel of {name} could not be archived: do it by hand. {why}"),
    }
}

fn stopped(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}

/// The topic of an incident's channel.
pub fn topic(place: Where<'_>, incident: &Incident) -> String {
    let topic = format!("{} · {place} · {}", name(incident.id), visible(&incident.title));
    shortened(&topic, LONGEST_TOPIC)
}

/// What an incident's channel is for. `mark` ends it: by that the bot knows a channel of its own again.
pub fn purpose(incident: IncidentId, system: &str, at_end: AtEnd, mark: &str) -> String {
    let end = match at_end {
        AtEnd::Archive => " Archived when it is resolved.",
        AtEnd::Keep => "",
    };
    let said = format!("{} of {}, made by countersign.{end}", name(incident), visible(system));
    let room = LONGEST_TOPIC.saturating_sub(mark.chars().count() + 1);
    format!("{} {mark}", shortened(&said, room))
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A run of an incident, as its summary tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    /// Its number.
    pub id: RunId,
    /// What it does.
    pub deed: String,
    /// The name of its state.
    pub state: &'static str,
}

/// How an incident stands, in a few lines: pinned in its channel and changed in place.
pub fn summary(place: Where<'_>, incident: &Incident, last: Option<&LastRun>, times: &Times) -> String {
    let now = incident.opened_at;
    let since = times.at_second(incident.state.since(), now);
    let state = match &incident.state {
        IncidentState::Open { .. } => format!("Open since {since}."),
        IncidentState::Mitigated { at, .. } => {
            format!("Its service is well since {}; it stays open until `resolve`.", times.at_second(*at, now))
        }
        IncidentState::Resolved { by, at, why, .. } => {
            let millis = u64::try_from((*at - incident.opened_at).num_milliseconds()).unwrap_or(0);
            let why = why.as_ref().map(|why| format!(": {}", shortened(&visible(why), MOST))).unwrap_or_default();
            stopped(&format!("Resolved by {by} after {}{why}", lasted(millis)))
        }
    };
    let keeper = match (&incident.acknowledged, incident.state.is_over()) {
        (Some(keeper), false) => format!("{} takes care of it.", keeper.by),
        (Some(keeper), true) => format!("{} took care of it.", keeper.by),
        (None, false) => "Nobody takes care of it yet: say `ack`.".to_owned(),
        (None, true) => String::new(),
    };
    let run = match last {
        Some(run) => format!("Last run: {} (run {}), {}.", visible(&run.deed), run.id, state_words(run.state)),
        None => "No run so far.".to_owned(),
    };
    let title = stopped(&shortened(&visible(&incident.title), MOST));
    let lines = [format!("{} · {place}: {title}", name(incident.id)), state, keeper, run];
    lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// The name of a run's state, as words.
fn state_words(state: &str) -> String {
    state.replace('_', " ")
}

/// A workspace in which channels are to be made, and that is not served: said to whoever starts the bot or changes the
/// catalog.
pub fn not_served(system: &str, home: &str) -> String {
    format!(
        "incidents of {system} are to get channels in {home}, and the bot does not speak to that workspace: correct `in` of its `incident_channel`, or add the workspace to the settings"
    )
}

#[cfg(test)]
mod tests {
    use chrono::{TimeDelta, TimeZone, Utc};
    use chrono_tz::Tz;

    use super::*;
    use crate::model::id::SystemName;
    use crate::model::incident::Acknowledged;

    const PLACE: Where<'_> = Where { environment: "production", system: "System A" };

    fn incident() -> Incident {
        let opened_at = Utc.with_ymd_and_hms(2026, 11, 21, 22, 1, 12).single().expect("a time");
        Incident {
            id: IncidentId(7),
            version: 1,
            state: IncidentState::Open { since: opened_at },
            system: SystemName::new("system-a"),
            environment: "production".into(),
            service: None,
            title: "Service B is not running".into(),
            room: "slack:T1:C1".parse().expect("an address"),
            opened_at,
            opened_by: None,
            acknowledged: None,
            cause: None,
        }
    }

    #[test]
    fn a_summary_tells_how_it_stands() {
        let times = Times::in_zone(Tz::UTC);
        let mut it = incident();
        insta::assert_snapshot!(summary(PLACE, &it, None, &times), @"
        INC-7 · PRODUCTION · System A: Service B is not running.
        Open since 22:01:12 UTC.
        Nobody takes care of it yet: say `ack`.
        No run so far.
        ");
        let later = it.opened_at + TimeDelta::minutes(6);
        it.acknowledged = Some(Acknowledged { by: PersonId::new("mei"), at: later });
        it.state = IncidentState::Mitigated { since: it.opened_at, at: later };
        let run = LastRun { id: RunId(12), deed: "start service-b".into(), state: "awaiting_approval" };
        insta::assert_snapshot!(summary(PLACE, &it, Some(&run), &times), @"
        INC-7 · PRODUCTION · System A: Service B is not running.
        Its service is well since 22:07:12 UTC; it stays open until `resolve`.
        mei takes care of it.
        Last run: start service-b (run 12), awaiting approval.
        ");
        let why = Some("disk replaced".to_owned());
        let by = PersonId::new("mei");
        it.state = IncidentState::Resolved { since: it.opened_at, mitigated: None, by, at: later, why };
        it.acknowledged = None;
        insta::assert_snapshot!(summary(PLACE, &it, None, &times), @"
        INC-7 · PRODUCTION · System A: Service B is not running.
        Resolved by mei after 6 min: disk replaced.
        No run so far.
        ");
    }

    #[test]
    fn what_people_read_of_it() {
        let people = |names: &[&str]| names.iter().map(|name| PersonId::new(*name)).collect::<Vec<_>>();
        let left_out = [LeftOut { person: PersonId::new("yuki"), why: no_account().to_owned() }];
        let said = [
            made(IncidentId(7), "inc-7-system-a"),
            invited(&people(&["mei", "lin"]), &people(&["boss"]), &left_out),
            invited(&[], &[], &[]),
            topic(PLACE, &incident()),
            purpose(IncidentId(7), "System A", AtEnd::Archive, "[countersign ab12:7.1]"),
            purpose(IncidentId(7), "System A", AtEnd::Keep, "[countersign ab12:7.1]"),
        ];
        insta::assert_snapshot!(said.join("\n"), @"
        INC-7: talk in #inc-7-system-a. It ends up in the same record.
        Asked to help: mei and lin. Here to follow it: boss. Not invited: yuki (no account in this workspace).

        INC-7 · PRODUCTION · System A · Service B is not running
        INC-7 of System A, made by countersign. Archived when it is resolved. [countersign ab12:7.1]
        INC-7 of System A, made by countersign. [countersign ab12:7.1]
        ");
        let refused: Vec<String> = RoomDeed::ALL
            .into_iter()
            .map(|deed| refused(IncidentId(7), deed, "restricted_action: the workspace does not let apps do that"))
            .collect();
        insta::assert_snapshot!(refused.join("\n"), @"
        INC-7 gets no channel of its own and is talked about here. restricted_action: the workspace does not let apps do that.
        Nobody could be invited to the channel of INC-7: come by yourselves. restricted_action: the workspace does not let apps do that.
        The topic of this channel could not be set. restricted_action: the workspace does not let apps do that.
        The summary could not be pinned. restricted_action: the workspace does not let apps do that.
        The channel of INC-7 could not be archived: do it by hand. restricted_action: the workspace does not let apps do that.
        ");
    }

    #[test]
    fn topics_and_purposes_fit_and_keep_their_mark() {
        let it = Incident { title: "ä".repeat(900), ..incident() };
        assert_eq!(topic(PLACE, &it).chars().count(), LONGEST_TOPIC);
        let purpose = purpose(IncidentId(7), &"ö".repeat(900), AtEnd::Archive, "[countersign ab12:7.1]");
        assert_eq!(purpose.chars().count(), LONGEST_TOPIC);
        assert!(purpose.ends_with(" [countersign ab12:7.1]"));
    }
}

//! A room that is made for an incident: what is wished for, how far it is, and what is to be done next. Pure.
//!
//! What lives here: the order of the deeds. What does not: doing them (`chat`), noting them (`store`), or who is invited
//! (`catalog`).

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::chat::{RoomAddress, Workspace};
use super::id::{IncidentId, SystemName};

/// Who may come in without being invited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Privacy {
    /// Whoever belongs to the workspace.
    Public,
    /// Nobody.
    Private,
}

/// What becomes of the room when its incident is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    /// It is archived once everything has been said there.
    Archive,
    /// It stays as it is.
    Keep,
}

/// A room that an incident is to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomWish {
    /// Where.
    pub home: Workspace,
    /// What it is to be called; `{incident}` and `{system}` stand for the two. The platform may want another name.
    pub name: String,
    /// Who may come in.
    pub privacy: Privacy,
    /// What becomes of it.
    pub at_end: AtEnd,
}

impl RoomWish {
    /// Its name for one incident.
    pub fn name_for(&self, incident: IncidentId, system: &SystemName) -> String {
        self.name.replace("{incident}", &incident.to_string()).replace("{system}", system.as_str())
    }
}

/// Something that is done with such a room on its platform. Doing it again is as good as doing it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomDeed {
    /// It is made.
    Make,
    /// People are asked to come.
    Invite,
    /// Its topic is set.
    Topic,
    /// The summary is pinned.
    Pin,
    /// It is archived.
    Archive,
}

impl RoomDeed {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Make, Self::Invite, Self::Topic, Self::Pin, Self::Archive];

    /// The name as stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Make => "make",
            Self::Invite => "invite",
            Self::Topic => "topic",
            Self::Pin => "pin",
            Self::Archive => "archive",
        }
    }
}

/// Such a room, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentRoom {
    /// Whose.
    pub incident: IncidentId,
    /// 1, and one more for each that was archived before the incident was reopened.
    pub number: i32,
    /// Its version: every note names it.
    pub version: i64,
    /// Where.
    pub home: Workspace,
    /// What it is to be called.
    pub name: String,
    /// Who may come in.
    pub privacy: Privacy,
    /// What becomes of it.
    pub at_end: AtEnd,
    /// Since when it is wanted.
    pub wanted_at: DateTime<Utc>,
    /// Whether the platform has been asked for it: then there may be one.
    pub begun: bool,
    /// The room, once it is made.
    pub made: Option<MadeRoom>,
    /// What has been done.
    pub done: BTreeSet<RoomDeed>,
    /// What the platform will not do.
    pub refused: BTreeSet<RoomDeed>,
    /// How often the next deed failed.
    pub tries: i32,
}

/// A room that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeRoom {
    /// Where it is.
    pub address: RoomAddress,
    /// What it is called there.
    pub name: String,
}

/// What else decides about the next deed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Around {
    /// Whether the incident is resolved.
    pub over: bool,
    /// Whether the summary stands in the room.
    pub summary_stands: bool,
    /// Whether everything that concerns the room has been told there, and nothing goes on in it.
    pub settled: bool,
    /// Whether the platform has refused a message there for good: somebody may have closed the room.
    pub lost: bool,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// This.
    Do(RoomDeed),
    /// Wait for what is around it.
    Wait,
    /// Nothing, until the incident changes.
    Nothing,
    /// It is archived and its incident is open again: another room.
    Another,
}

impl IncidentRoom {
    /// What is to be done next. Who is to help comes first; how the room looks after that.
    pub fn next(&self, around: Around) -> Next {
        let open = |deed: RoomDeed| !self.done.contains(&deed) && !self.refused.contains(&deed);
        if self.done.contains(&RoomDeed::Archive) {
            return if around.over { Next::Nothing } else { Next::Another };
        }
        if self.made.is_none() {
            // What was asked for and not noted may be there: it is found, and then archived.
            let wanted = open(RoomDeed::Make) && (!around.over || self.begun);
            return if wanted { Next::Do(RoomDeed::Make) } else { Next::Nothing };
        }
        if around.over {
            return match (self.at_end, open(RoomDeed::Archive), around.settled) {
                (AtEnd::Keep, _, _) | (AtEnd::Archive, false, _) => Next::Nothing,
                (AtEnd::Archive, true, false) => Next::Wait,
                (AtEnd::Archive, true, true) => Next::Do(RoomDeed::Archive),
            };
        }
        for deed in [RoomDeed::Invite, RoomDeed::Topic] {
            if open(deed) {
                return Next::Do(deed);
            }
        }
        match (open(RoomDeed::Pin), around.summary_stands) {
            (true, true) => Next::Do(RoomDeed::Pin),
            (true, false) => Next::Wait,
            (false, _) => Next::Nothing,
        }
    }

    /// The room, while it can be talked in.
    pub fn place(&self) -> Option<&MadeRoom> {
        self.made.as_ref().filter(|_| !self.done.contains(&RoomDeed::Archive))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Around = Around { over: false, summary_stands: false, settled: true, lost: false };
    const OVER: Around = Around { over: true, ..OPEN };

    fn wanted() -> IncidentRoom {
        IncidentRoom {
            incident: IncidentId(7),
            number: 1,
            version: 1,
            home: "slack:T1".parse().expect("a workspace"),
            name: "inc-7-shop".into(),
            privacy: Privacy::Public,
            at_end: AtEnd::Archive,
            wanted_at: DateTime::UNIX_EPOCH,
            begun: false,
            made: None,
            done: BTreeSet::new(),
            refused: BTreeSet::new(),
            tries: 0,
        }
    }

    fn made(done: &[RoomDeed]) -> IncidentRoom {
        let address = "slack:T1:C7".parse().expect("an address");
        let made = Some(MadeRoom { address, name: "inc-7-shop".into() });
        IncidentRoom { begun: true, made, done: done.iter().copied().chain([RoomDeed::Make]).collect(), ..wanted() }
    }

    #[test]
    fn an_open_incident_has_its_room_made_filled_named_and_pinned_in_that_order() {
        use RoomDeed::{Invite, Make, Pin, Topic};
        assert_eq!(wanted().next(OPEN), Next::Do(Make));
        assert_eq!(made(&[]).next(OPEN), Next::Do(Invite));
        assert_eq!(made(&[Invite]).next(OPEN), Next::Do(Topic));
        assert_eq!(made(&[Invite, Topic]).next(OPEN), Next::Wait, "the summary is on its way");
        assert_eq!(made(&[Invite, Topic]).next(Around { summary_stands: true, ..OPEN }), Next::Do(Pin));
        assert_eq!(made(&[Invite, Topic, Pin]).next(OPEN), Next::Nothing);
    }

    #[test]
    fn what_is_refused_is_left_out_and_the_rest_goes_on() {
        use RoomDeed::{Archive, Invite, Make, Pin, Topic};
        let refuses = |room: IncidentRoom, deed| IncidentRoom { refused: [deed].into(), ..room };
        assert_eq!(refuses(wanted(), Make).next(OPEN), Next::Nothing);
        assert_eq!(refuses(made(&[]), Invite).next(OPEN), Next::Do(Topic));
        assert_eq!(refuses(made(&[Invite]), Topic).next(OPEN), Next::Wait);
        assert_eq!(refuses(made(&[Invite, Topic]), Pin).next(OPEN), Next::Nothing);
        assert_eq!(refuses(made(&[]), Archive).next(OVER), Next::Nothing);
    }

    #[test]
    fn a_resolved_incident_has_its_room_archived_once_everything_is_said() {
        use RoomDeed::{Archive, Make};
        assert_eq!(wanted().next(OVER), Next::Nothing, "nobody asked for it yet");
        let begun = IncidentRoom { begun: true, ..wanted() };
        assert_eq!(begun.next(OVER), Next::Do(Make), "it may be there");
        assert_eq!(made(&[]).next(Around { settled: false, ..OVER }), Next::Wait);
        assert_eq!(made(&[]).next(OVER), Next::Do(Archive));
        assert_eq!(made(&[Archive]).next(OVER), Next::Nothing);
        let kept = IncidentRoom { at_end: AtEnd::Keep, ..made(&[]) };
        assert_eq!(kept.next(OVER), Next::Nothing);
    }

    #[test]
    fn a_reopened_incident_gets_another_room_only_if_its_own_is_archived() {
        use RoomDeed::{Archive, Invite, Pin, Topic};
        assert_eq!(made(&[Archive]).next(OPEN), Next::Another);
        assert_eq!(made(&[Invite, Topic, Pin]).next(OPEN), Next::Nothing);
    }

    #[test]
    fn a_room_is_named_after_its_incident() {
        let wish = RoomWish {
            home: "slack:T1".parse().expect("a workspace"),
            name: "inc-{incident}-{system}".into(),
            privacy: Privacy::Public,
            at_end: AtEnd::Archive,
        };
        assert_eq!(wish.name_for(IncidentId(7), &SystemName::new("shop")), "inc-7-shop");
    }

    #[test]
    fn a_deed_is_stored_by_the_name_that_an_event_has() {
        for deed in RoomDeed::ALL {
            assert_eq!(serde_json::to_value(deed).expect("a word"), deed.name());
        }
    }
}

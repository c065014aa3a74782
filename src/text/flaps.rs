//! What is said of a check that changes too often to be told turn by turn, and of one that is steady again.

use std::time::Duration;

use super::incident::{Where, name};
use super::time::limit;
use super::visible::visible;
use crate::model::event::Health;
use crate::model::id::{CheckName, IncidentId};

/// A check changes too often: said once. `service` is the service as people call it; `open` its incident, if it has one
/// that is open.
pub fn flaps(
    place: Where<'_>,
    service: &str,
    check: &CheckName,
    changes: u32,
    window: Duration,
    open: Option<IncidentId>,
) -> String {
    let stays = open.map(|id| format!(" {} stays open until then.", name(id))).unwrap_or_default();
    format!(
        "{place}: {}: check {check} flaps: {changes} changes in {}. I say no more of its turns until it is steady.{stays}",
        visible(service),
        limit(window)
    )
}

/// What it means for an incident that a check is steady again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// Nothing changed.
    Nothing,
    /// Its service is well.
    Mitigated(IncidentId),
    /// It was opened.
    Opened(IncidentId),
    /// It was mitigated and is open again.
    Recurred(IncidentId),
}

/// A check that flapped has held one state for the whole window: said once. `since` is that state's beginning, as said.
pub fn steady(place: Where<'_>, service: &str, check: &CheckName, now: Health, since: &str, meant: Meant) -> String {
    let is = match now {
        Health::Ok => format!("ok since {since}."),
        Health::Warning => format!("it warns since {since}."),
        Health::Critical => format!("critical since {since}."),
        Health::Unknown => format!("nobody knows how it is since {since}."),
    };
    let incident = match meant {
        Meant::Nothing => String::new(),
        Meant::Mitigated(id) => format!(" {} stays open until `resolve`.", name(id)),
        Meant::Opened(id) => format!(" {} opened.", name(id)),
        Meant::Recurred(id) => format!(" {} is open again.", name(id)),
    };
    format!("{place}: {}: check {check} is steady again: {is}{incident}", visible(service))
}

/// How a check that flaps stands in `status`; `since` as said.
pub fn status(check: &CheckName, since: &str) -> String {
    format!("{check} flaps since {since}: not believed until it is steady")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Where<'static> = Where { environment: "production", system: "System A" };

    #[test]
    fn a_flapping_check_is_told_with_what_follows() {
        let check = CheckName::new("running");
        let window = Duration::from_secs(600);
        insta::assert_snapshot!(flaps(PLACE, "Service B", &check, 7, window, Some(IncidentId(1))), @"PRODUCTION · System A: Service B: check running flaps: 7 changes in 10 min. I say no more of its turns until it is steady. INC-1 stays open until then.");
        insta::assert_snapshot!(flaps(PLACE, "Service B", &check, 7, window, None), @"PRODUCTION · System A: Service B: check running flaps: 7 changes in 10 min. I say no more of its turns until it is steady.");
        let steady = |now, meant| steady(PLACE, "Service B", &check, now, "22:01 SGT", meant);
        insta::assert_snapshot!(steady(Health::Ok, Meant::Mitigated(IncidentId(1))), @"PRODUCTION · System A: Service B: check running is steady again: ok since 22:01 SGT. INC-1 stays open until `resolve`.");
        insta::assert_snapshot!(steady(Health::Critical, Meant::Nothing), @"PRODUCTION · System A: Service B: check running is steady again: critical since 22:01 SGT.");
        insta::assert_snapshot!(steady(Health::Unknown, Meant::Nothing), @"PRODUCTION · System A: Service B: check running is steady again: nobody knows how it is since 22:01 SGT.");
        insta::assert_snapshot!(steady(Health::Warning, Meant::Recurred(IncidentId(1))), @"PRODUCTION · System A: Service B: check running is steady again: it warns since 22:01 SGT. INC-1 is open again.");
        insta::assert_snapshot!(status(&check, "22:01 SGT"), @"running flaps since 22:01 SGT: not believed until it is steady");
    }
}

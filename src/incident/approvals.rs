//! What the approvals of an incident's runs cost: how many people were asked, and how long was waited. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::millis_between;
use crate::model::approval::{Rules, Tally, tally};
use crate::model::catalog::{Stage, Subject};
use crate::model::event::{Event, Happened};
use crate::model::id::{PersonId, RequestId};
use crate::model::request::Decision;

/// What the approvals of an incident cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Approvals {
    /// How many people were asked, each counted once.
    pub asked: u32,
    /// How long requests waited in all, in milliseconds. One that still waits counts until now.
    pub waited_millis: u64,
}

struct Asking {
    at: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
    stages: Vec<Stage>,
    requesters: Vec<PersonId>,
    decisions: Vec<Decision>,
    /// Who was asked, if the ledger says so.
    asked: Option<BTreeSet<PersonId>>,
    automatic: bool,
}

/// Counts the approvals among events. `members` names the people that a stage asks; those who asked are never counted, nor
/// is a stage that nobody had come to.
pub fn approvals(
    events: &[Event],
    now: DateTime<Utc>,
    members: impl Fn(&[Subject]) -> BTreeSet<PersonId>,
) -> Approvals {
    let mut askings: BTreeMap<RequestId, Asking> = BTreeMap::new();
    for event in events {
        let Some(record) = &event.record else { continue };
        let ended = match &record.what {
            Happened::RequestAsked { request, requesters, stages, .. } => {
                let (stages, requesters) = (stages.clone(), requesters.clone());
                let decisions = Vec::new();
                let (until, asked, automatic) = (None, None, false);
                let asking = Asking { at: event.at, until, stages, requesters, decisions, asked, automatic };
                askings.insert(*request, asking);
                continue;
            }
            Happened::PeopleAsked { request, people, .. } => {
                if let Some(asking) = askings.get_mut(request) {
                    let people = people.iter().map(|asked| asked.person.clone());
                    asking.asked.get_or_insert_default().extend(people);
                }
                continue;
            }
            Happened::Decided { request, stage, person, answer, .. } => {
                if let Some(asking) = askings.get_mut(request) {
                    asking.decisions.push(Decision::new(person.clone(), *stage, *answer));
                }
                continue;
            }
            Happened::RequestGranted { request, automatic, .. } => {
                if let Some(asking) = askings.get_mut(request) {
                    asking.automatic = automatic.is_some();
                }
                request
            }
            Happened::RequestDenied { request, .. }
            | Happened::RequestExpired { request, .. }
            | Happened::RequestWithdrawn { request, .. }
            | Happened::RequestSentBack { request, .. }
            | Happened::RequestSuperseded { request, .. } => request,
            _ => continue,
        };
        if let Some(asking) = askings.get_mut(ended) {
            asking.until = Some(event.at);
        }
    }
    let mut people = BTreeSet::new();
    let mut waited_millis = 0_u64;
    for asking in askings.values().filter(|asking| !asking.automatic) {
        waited_millis = waited_millis.saturating_add(millis_between(asking.at, asking.until.unwrap_or(now)));
        if let Some(asked) = &asking.asked {
            people.extend(asked.iter().cloned());
            continue;
        }
        // An older release did not write down whom it asked: whoever is in the groups that it named.
        let may_decide = |decision: &Decision| {
            let stage = usize::try_from(decision.stage).ok().and_then(|stage| asking.stages.get(stage));
            stage.is_some_and(|stage| members(&stage.approvers).contains(&decision.person))
        };
        let rules = Rules::of_stages(&asking.stages, &asking.requesters, &[]);
        let last = match tally(&rules, &asking.decisions, may_decide).tally {
            Tally::Waiting { stage, .. } => stage,
            Tally::Agreed => u32::MAX,
            Tally::Denied => asking.decisions.iter().map(|decision| decision.stage).max().unwrap_or(0),
        };
        for (_, stage) in (0_u32..).zip(&asking.stages).take_while(|(index, _)| *index <= last) {
            let asked = members(&stage.approvers);
            people.extend(asked.into_iter().filter(|person| !asking.requesters.contains(person)));
        }
    }
    Approvals { asked: u32::try_from(people.len()).unwrap_or(u32::MAX), waited_millis }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::code::Code;
    use crate::model::event::{Record, Scope};
    use crate::model::id::{Digest, EventId, GrantId, GroupName, RunId, TriggerName};
    use crate::model::request::{Answer, Proof};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + second, 0).expect("a time")
    }

    fn event(second: i64, what: Happened) -> Event {
        let kind = what.kind().to_owned();
        let record = Some(Record { what, rows: Vec::new() });
        let (scope, at) = (Scope::default(), at(second));
        Event { position: None, hash: None, id: EventId(second), kind, at, scope, cause: None, record }
    }

    fn code() -> Code {
        Code::from_entropy(7)
    }

    fn asked(request: i64, second: i64, stages: &[&str]) -> Event {
        let stage = |name: &&str| Stage::new(vec![Subject::Group(GroupName::new(*name))], 1);
        event(
            second,
            Happened::RequestAsked {
                request: RequestId(request),
                code: code(),
                run: RunId(1),
                retry_step: None,
                digest: Digest([0; 32]),
                requesters: vec![PersonId::new("mei")],
                stages: stages.iter().map(stage).collect(),
                excluded: Vec::new(),
                expires_at: at(600),
                wish: None,
                carried: None,
            },
        )
    }

    fn granted(request: i64, second: i64, automatic: Option<&str>) -> Event {
        event(
            second,
            Happened::RequestGranted {
                request: RequestId(request),
                code: code(),
                run: RunId(1),
                grant: GrantId(1),
                digest: Digest([0; 32]),
                by: Vec::new(),
                automatic: automatic.map(TriggerName::new),
                start_by: None,
                relaxed: Vec::new(),
                broken: None,
                unasked: None,
                under: None,
                covers: None,
                valid_until: at(600),
                signed: None,
            },
        )
    }

    fn decided(request: i64, second: i64, person: &str) -> Event {
        event(
            second,
            Happened::Decided {
                request: RequestId(request),
                code: code(),
                stage: 0,
                person: PersonId::new(person),
                account: "local:trial:boss".parse().expect("an account"),
                answer: Answer::Approve,
                on_behalf_of: None,
                proof: Proof::Chat,
                reason: None,
            },
        )
    }

    fn members(subjects: &[Subject]) -> BTreeSet<PersonId> {
        let of = |name: &str| match name {
            "managers" => vec!["boss", "mei"],
            _ => vec!["boss", "lin"],
        };
        let names = subjects.iter().flat_map(|subject| match subject {
            Subject::Group(group) => of(group.as_str()),
            Subject::Person(_) | Subject::Rota(_) | Subject::Accountable => Vec::new(),
        });
        names.map(PersonId::new).collect()
    }

    #[test]
    fn people_count_once_and_who_asked_does_not() {
        let events =
            [asked(1, 0, &["managers"]), decided(1, 70, "boss"), granted(1, 70, None), asked(2, 100, &["managers"])];
        let found = approvals(&events, at(110), members);
        assert_eq!(found, Approvals { asked: 1, waited_millis: 80_000 });
    }

    #[test]
    fn a_stage_counts_once_somebody_came_to_it() {
        let first = [asked(1, 0, &["managers", "owners"])];
        assert_eq!(approvals(&first, at(5), members).asked, 1);
        let second = [asked(1, 0, &["managers", "owners"]), decided(1, 3, "boss")];
        assert_eq!(approvals(&second, at(5), members).asked, 2);
    }

    #[test]
    fn what_starts_by_itself_asks_nobody() {
        let events = [asked(1, 0, &["managers"]), granted(1, 0, Some("service-down"))];
        assert_eq!(approvals(&events, at(9), members), Approvals::default());
    }
}

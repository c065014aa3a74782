//! What is said of incidents and of checks that turned: echoes, answers, and the three lines for somebody who comes late.
//!
//! Everything here comes from events and rows alone. Where nobody knows, that is what is said, with its age.

use chrono::{DateTime, Utc};

use super::answer::{WaitingLine, or_nobody};
use super::echo::shortened;
use super::plan::{and, or};
use super::time::{Times, lasted};
use super::visible::{echo, visible};
use crate::model::code::Code;
use crate::model::event::{Event, Happened, Health};
use crate::model::id::{CheckName, IncidentId, PersonId, RunId, ServiceName, TriggerName};
use crate::model::incident::{Incident, IncidentState};

/// The most tries that the three lines name.
const MOST_TRIES: usize = 3;

/// The most characters of a title or detail in a sentence.
const MOST: usize = 160;

/// An incident's number as people say it: `INC-7`.
pub fn name(id: IncidentId) -> String {
    format!("INC-{id}")
}

/// Where something is wrong: before everything that concerns it.
#[derive(Debug, Clone, Copy)]
pub struct Where<'a> {
    /// The environment.
    pub environment: &'a str,
    /// The system, as people call it.
    pub system: &'a str,
}

impl std::fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} · {}", visible(self.environment).to_uppercase(), visible(self.system))
    }
}

/// A check that turned for certain.
#[derive(Debug, Clone, Copy)]
pub struct Turned<'a> {
    /// Its service as people call it.
    pub service: &'a str,
    /// Its name.
    pub check: &'a CheckName,
    /// What it is.
    pub now: Health,
    /// Since when, as said.
    pub since: &'a str,
    /// How many results said so, and how many are wanted if that is known.
    pub results: (u32, Option<u32>),
    /// Its first line.
    pub detail: &'a str,
}

/// What a failure did to the incident of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// It opened one.
    Opened(IncidentId),
    /// It opened one again that was mitigated.
    Recurred(IncidentId),
    /// It is one failure more of one that is open.
    Joined(IncidentId),
    /// None is kept of it.
    Nothing,
}

/// A check fails for certain. `offer` is a line that would mend it, if the catalog has one.
pub fn failed(place: Where<'_>, turned: Turned<'_>, did: Did, offer: Option<&str>) -> String {
    let Turned { service, check, now, since, results, detail } = turned;
    let service = visible(service);
    let sure = match results {
        (seen, Some(wanted)) => format!("{seen} of {wanted}"),
        (1, None) => "1 result".to_owned(),
        (seen, None) => format!("{seen} results"),
    };
    let detail = shortened(&visible(detail), MOST);
    let detail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    let running = check.as_str() == "running";
    let what = match now {
        Health::Critical if running => format!("{service} is not running since {since} (check running, {sure})."),
        Health::Warning => format!("{service}: check {check} warns since {since}{detail} ({sure})."),
        // Only what fails is said here; anything else is called by its name rather than well.
        Health::Critical | Health::Unknown | Health::Ok => {
            format!("{service}: check {check} is {} since {since}{detail} ({sure}).", health(now))
        }
    };
    let offer = match offer {
        Some(line) => format!("Say `what happened`, `status`, or `{}`.", visible(line)),
        None => "Say `what happened` or `status`.".to_owned(),
    };
    match did {
        Did::Opened(id) => format!("{place}: {what}\n{} opened. {offer}", name(id)),
        Did::Recurred(id) => format!("{place}: {what}\n{} is open again. {offer}", name(id)),
        Did::Joined(id) => format!("{what} It belongs to {}.", name(id)),
        Did::Nothing => format!("{place}: {what}\n{offer}"),
    }
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warning => "warning",
        Health::Critical => "critical",
        Health::Unknown => "unknown",
    }
}

/// A check cannot be asked any more, for certain.
pub fn unknown(place: Where<'_>, turned: Turned<'_>) -> String {
    let Turned { service, check, since, detail, .. } = turned;
    let service = visible(service);
    let detail = shortened(&visible(detail), MOST);
    let why = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    format!(
        "{place}: {service}: nobody knows since {since} (check {check} could not be asked{why}). Nothing is started for it."
    )
}

/// One check of a service is well again; the service as a whole may not be.
pub fn check_well(turned: Turned<'_>, was: Health) -> String {
    let Turned { service, check, since, .. } = turned;
    let service = visible(service);
    match was {
        Health::Unknown => format!("{service}: check {check} can be asked again and is ok since {since}."),
        Health::Ok | Health::Warning | Health::Critical => {
            format!("{service}: check {check} is ok again since {since}.")
        }
    }
}

/// A service is well again. `title` is the service as people call it.
pub fn mitigated(id: IncidentId, title: &str, millis: u64) -> String {
    format!("{} is fine again after {}. {} stays open until `resolve`.", visible(title), lasted(millis), name(id))
}

/// An incident was opened, and no check's words tell of it: by a person, or by a check whose result is not at hand.
pub fn opened(place: Where<'_>, id: IncidentId, title: &str, by: Option<&PersonId>) -> String {
    let title = sentence(title);
    match by {
        Some(by) => format!(
            "{place}: {by} opened {}: {title}\nSay `ack` to take care of it, `note …` for its record, `resolve` when it is over.",
            name(id)
        ),
        None => format!("{place}: {title}\n{} opened. Say `what happened` or `status`.", name(id)),
    }
}

/// A service has failed again, and no check's words tell of it.
pub fn recurred(place: Where<'_>, id: IncidentId, title: &str, since: &str) -> String {
    format!("{place}: again since {since}: {}\n{} is open again.", sentence(title), name(id))
}

/// Somebody takes care of it.
pub fn acknowledged(id: IncidentId, by: &PersonId) -> String {
    format!("{by} takes care of {}.", name(id))
}

/// A person says that it is over.
pub fn resolved(id: IncidentId, reason: Option<&str>, millis: u64, asked: u32, waited: u64, place: &str) -> String {
    let why = reason.map(|reason| format!(": {}", shortened(&visible(reason), MOST))).unwrap_or_default();
    let after = format!("{} resolved {} after it was opened{}", name(id), lasted(millis), stopped(&why));
    format!("{after} {} `report` has the whole record. {place}", cost(asked, waited))
}

/// What approvals cost, as a sentence.
pub fn cost(asked: u32, waited: u64) -> String {
    match asked {
        0 => "Nobody was asked to approve.".to_owned(),
        1 => format!("Asked 1 person, waited {} for approval.", lasted(waited)),
        more => format!("Asked {more} people, waited {} for approval.", lasted(waited)),
    }
}

/// A person says that it is not over.
pub fn reopened(id: IncidentId, by: &PersonId, reason: Option<&str>) -> String {
    let why = reason.map(|reason| format!(": {}", shortened(&visible(reason), MOST))).unwrap_or_default();
    format!("{by} reopened {}{} Say `what happened` for its story.", name(id), stopped(&why))
}

/// Text with the full stop that ends it.
fn stopped(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}

/// A title as a sentence.
fn sentence(title: &str) -> String {
    stopped(&shortened(&visible(title), MOST))
}

/// To `note`.
pub fn noted(id: IncidentId) -> String {
    format!("Noted on {}.", name(id))
}

/// To a command about an incident where none is open.
pub fn none_open(word: &str) -> String {
    match word {
        "reopen" => "There has been no incident here. `open incident …` opens one.".to_owned(),
        "report" | "what happened" => "There has been no incident here. `status` says how things are.".to_owned(),
        _ => format!("No incident is open here. Name one, as `{word} INC-7`; `incidents` lists them."),
    }
}

/// To `note` where no incident is open.
pub fn nothing_to_note_on() -> String {
    "Not noted: no incident is open here. Name one, as `note INC-7 …`, or `open incident …` first.".to_owned()
}

/// To a command that could mean several incidents.
pub fn which(word: &str, incidents: &[Incident]) -> String {
    let list: Vec<String> = incidents
        .iter()
        .map(|incident| format!("`{word} {}` ({})", name(incident.id), short_title(incident)))
        .collect();
    let list = match list.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        all => all.join(""),
    };
    format!("{} incidents are open here. Say which: {list}.", incidents.len())
}

/// To `reopen` without a number while incidents are open: those that could be meant, newest first.
pub fn which_resolved(resolved: &[Incident]) -> String {
    let list: Vec<String> =
        resolved.iter().map(|incident| format!("`reopen {}` ({})", name(incident.id), short_title(incident))).collect();
    match list.as_slice() {
        [] => "No incident here is resolved, so there is nothing to reopen. `incidents` lists those that are open."
            .to_owned(),
        [only] => format!("An incident is open here already, so say which you mean: {only}."),
        [rest @ .., last] => {
            format!("Say which, the newest first: {} or {last}. `incidents` lists more.", rest.join(", "))
        }
    }
}

fn short_title(incident: &Incident) -> String {
    match &incident.service {
        Some(service) => service.to_string(),
        None => echo(&incident.title),
    }
}

/// To a number that no incident of this room has.
pub fn no_such(id: IncidentId) -> String {
    format!("This room has no {}. `incidents` lists its incidents.", name(id))
}

/// To `open` where no system, or more than one, is talked about, or with one that is talked about elsewhere.
pub fn which_system(titles: &[String]) -> String {
    match titles {
        [] => "No system is talked about here, so no incident can be opened here.".to_owned(),
        several => {
            let names: Vec<String> = several.iter().map(|name| visible(name)).collect();
            format!("Say with which system: `open incident {}: …`. Here are {}.", names[0], names.join(", "))
        }
    }
}

/// To `ack` of somebody who takes care of it already.
pub fn already_yours(id: IncidentId, since: &str) -> String {
    format!("You take care of {} already, since {since}.", name(id))
}

/// To a command about an incident that is over.
pub fn over(incident: &Incident, times: &Times, now: DateTime<Utc>) -> String {
    let id = name(incident.id);
    match &incident.state {
        IncidentState::Resolved { by, at, .. } => {
            let at = times.at_second(*at, now);
            format!("{id} is resolved already: {by} said so at {at}. `reopen {id}` opens it again.")
        }
        IncidentState::Open { .. } | IncidentState::Mitigated { .. } => format!("{id} is {}.", incident.state.name()),
    }
}

/// To `reopen` of an incident that is not over.
pub fn not_over(incident: &Incident) -> String {
    let id = name(incident.id);
    format!("{id} is {} and needs no reopening. `what happened {id}` tells where it stands.", incident.state.name())
}

/// To `reopen` of an incident whose service has a newer one.
pub fn has_newer(id: IncidentId, newer: IncidentId) -> String {
    let newer = name(newer);
    format!("{} stays resolved: its service has {newer}, which is not. Go on there: `what happened {newer}`.", name(id))
}

/// To `resolve` without a reason while checks fail: each check with since when it does.
pub fn still_failing(id: IncidentId, service: &ServiceName, checks: &[(CheckName, String)]) -> String {
    let list: Vec<String> = checks.iter().map(|(check, since)| format!("check {check} since {since}")).collect();
    let id = name(id);
    format!(
        "{id} stays open: {service} still fails ({}). If it is over all the same: `resolve {id} because …`.",
        list.join(", ")
    )
}

/// To `incidents`: those that are not resolved, then the last few that are.
pub fn incidents(open: &[Incident], resolved: &[Incident], times: &Times, now: DateTime<Utc>) -> String {
    let mut lines: Vec<String> = open.iter().map(|incident| one_line(incident, now)).collect();
    if lines.is_empty() {
        lines.push("No incident is open here.".to_owned());
    }
    lines.extend(resolved.iter().map(|incident| match &incident.state {
        IncidentState::Resolved { by, at, .. } => {
            let at = times.at(*at, now);
            format!("{} resolved by {by} at {at}   {}", name(incident.id), titled(incident))
        }
        IncidentState::Open { .. } | IncidentState::Mitigated { .. } => one_line(incident, now),
    }));
    lines.join("\n")
}

/// An incident in a list: `INC-7 open 6 min   service-b is not running`.
fn one_line(incident: &Incident, now: DateTime<Utc>) -> String {
    let age = lasted(millis(incident.opened_at, now));
    let keeper = incident.acknowledged.as_ref().map(|keeper| format!(", {} takes care", keeper.by)).unwrap_or_default();
    format!("{} {} {age}{keeper}   {}", name(incident.id), incident.state.name(), titled(incident))
}

fn titled(incident: &Incident) -> String {
    let title = shortened(&visible(&incident.title), MOST);
    match &incident.service {
        // Whichever way the title says it.
        Some(service) if !title.to_lowercase().replace('-', " ").contains(&spoken(service)) => {
            format!("{service}: {title}")
        }
        Some(_) | None => title,
    }
}

fn millis(from: DateTime<Utc>, to: DateTime<Utc>) -> u64 {
    u64::try_from((to - from).num_milliseconds()).unwrap_or(0)
}

/// Something that was tried: a run that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try {
    /// Its run.
    pub run: RunId,
    /// The deed.
    pub deed: String,
    /// Who asked: a person, or a trigger.
    pub asked_by: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Who agreed.
    pub agreed: Vec<PersonId>,
    /// The trigger that its policy lets start by itself.
    pub automatic: bool,
    /// Where it stands.
    pub end: End,
}

/// Where a try stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It waits for approval.
    Waits(Code),
    /// It was granted and is not over.
    UnderWay,
    /// Done.
    Done {
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A step failed for good.
    Failed {
        /// Which.
        step: u32,
        /// Why.
        why: String,
    },
    /// Nobody knows what a step did.
    Stuck {
        /// Which.
        step: u32,
    },
    /// A person ended it.
    Stopped(PersonId),
    /// Somebody who was asked said no.
    Denied {
        /// Who.
        by: PersonId,
        /// Why.
        why: Option<String>,
    },
    /// Nobody decided.
    Expired,
    /// Taken back.
    Withdrawn(PersonId),
}

/// What was tried, by the events of an incident's runs, oldest first. Runs that only read are no tries.
pub fn tries(events: &[Event]) -> Vec<Try> {
    let mut planned: Vec<Try> = Vec::new();
    let mut asked: Vec<RunId> = Vec::new();
    for event in events {
        let (Some(record), Some(run)) = (&event.record, event.scope.run) else { continue };
        if let Happened::RunPlanned { run, deed, requester, trigger, .. } = &record.what {
            let asked_by =
                trigger.as_ref().map_or_else(|| requester.to_string(), |trigger| format!("trigger {trigger}"));
            let (deed, at, end) = (deed.clone(), event.at, End::UnderWay);
            planned.push(Try { run: *run, deed, asked_by, at, agreed: Vec::new(), automatic: false, end });
            continue;
        }
        let Some(tried) = planned.iter_mut().find(|tried| tried.run == run) else { continue };
        match &record.what {
            Happened::RequestAsked { code, .. } => {
                asked.push(run);
                tried.end = End::Waits(*code);
            }
            Happened::RequestGranted { by, automatic, unasked, .. } => {
                tried.agreed.clone_from(by);
                tried.automatic = automatic.is_some() || unasked.is_some();
                tried.end = End::UnderWay;
            }
            Happened::RequestDenied { by, why, .. } => tried.end = End::Denied { by: by.clone(), why: why.clone() },
            Happened::RequestExpired { .. } => tried.end = End::Expired,
            Happened::RequestWithdrawn { by, .. } => tried.end = End::Withdrawn(by.clone()),
            Happened::RunSucceeded { millis, .. } => tried.end = End::Done { millis: *millis },
            Happened::RunFailed { step, why, .. } => tried.end = End::Failed { step: *step, why: why.clone() },
            Happened::RunStuck { step, .. } => tried.end = End::Stuck { step: *step },
            Happened::RunStopped { by, .. } => tried.end = End::Stopped(by.clone()),
            Happened::AttemptJudged { .. } | Happened::AttemptSkipped { .. } => tried.end = End::UnderWay,
            _ => {}
        }
    }
    planned.retain(|tried| asked.contains(&tried.run));
    planned
}

/// One try: `start service-b, asked by mei at 22:02 UTC, approved by boss, done in 4 s`.
pub fn tried(tried: &Try, times: &Times, now: DateTime<Utc>) -> String {
    let mut parts = vec![
        shortened(&visible(&tried.deed), MOST),
        format!("asked by {} at {}", tried.asked_by, times.at_second(tried.at, now)),
    ];
    parts.extend(agreed(tried));
    parts.push(match &tried.end {
        // Its number, for whoever looks.
        End::UnderWay => format!("under way (run {})", tried.run),
        End::Stuck { step } => format!("stuck at step {step} (run {})", tried.run),
        other => end(other),
    });
    parts.join(", ")
}

/// Where a try stands, in a few words.
pub fn end(end: &End) -> String {
    let because = |why: &str| format!(": {}", shortened(&visible(why), MOST));
    match end {
        End::Waits(code) => format!("waits for approval ({code})"),
        End::UnderWay => "under way".to_owned(),
        End::Done { millis } => format!("done in {}", lasted(*millis)),
        End::Failed { step, why } => format!("failed at step {step}{}", because(why)),
        End::Stuck { step } => format!("stuck at step {step}"),
        End::Stopped(by) => format!("stopped by {by}"),
        End::Denied { by, why } => format!("denied by {by}{}", why.as_deref().map(because).unwrap_or_default()),
        End::Expired => "expired, nobody decided".to_owned(),
        End::Withdrawn(by) => format!("taken back by {by}"),
    }
}

/// What is known now of the check by which an incident was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// What the incident's own events say; or no check opened it.
    AsTold,
    /// It is not known any more since then: the check could not be asked.
    Unknown(DateTime<Utc>),
    /// The catalog does not have it any more.
    Gone,
}

/// What keeps triggers from acting for an incident's service.
#[derive(Debug, Clone, Default)]
pub struct Brakes {
    /// Who has paused all automation, if a trigger listens to the service.
    pub paused: Option<PersonId>,
    /// Its triggers that have stopped themselves, and why.
    pub held: Vec<(TriggerName, String)>,
}

/// What an incident's story is told from.
#[derive(Debug, Clone, Copy)]
pub struct Story<'a> {
    /// Where.
    pub place: Where<'a>,
    /// The incident.
    pub incident: &'a Incident,
    /// Its events and those of its runs, in order.
    pub events: &'a [Event],
    /// Who is asked by the request that waits, if one does.
    pub asked: &'a [PersonId],
    /// A line that would mend it, if the catalog has one.
    pub offer: Option<&'a str>,
    /// What is known of its check now.
    pub standing: &'a Standing,
    /// What keeps triggers from acting for its service.
    pub brakes: &'a Brakes,
}

/// To `what happened`: three lines. What failed; what was tried; where it stands and what to do.
pub fn happened(story: Story<'_>, times: &Times, now: DateTime<Utc>) -> String {
    [what_failed(&story, times, now), what_was_tried(&story, times, now), where_it_stands(&story, times, now)]
        .join("\n")
}

fn what_failed(story: &Story<'_>, times: &Times, now: DateTime<Utc>) -> String {
    let Story { place, incident, events, standing, .. } = *story;
    let checks: Vec<&CheckName> = events
        .iter()
        .filter_map(|event| match &event.record.as_ref()?.what {
            Happened::IncidentOpened { check, .. } => check.as_ref(),
            Happened::IncidentRecurred { check, .. } => Some(check),
            _ => None,
        })
        .collect();
    let by = match (checks.last(), &incident.opened_by) {
        (Some(check), _) => format!("check {check}"),
        (None, Some(by)) => format!("opened by {by}"),
        (None, None) => "opened by a check".to_owned(),
    };
    let times_failed = if checks.len() > 1 { format!(", failed {} times", checks.len()) } else { String::new() };
    let since = times.at_second(incident.state.since(), now);
    let title = shortened(&visible(&incident.title), MOST);
    let title = title.trim_end_matches('.');
    let how_long = match &incident.state {
        IncidentState::Open { .. } => match standing {
            Standing::AsTold => format!("since {since}"),
            // It was so then; whether it still is nobody knows.
            Standing::Unknown(_) | Standing::Gone => format!("seen at {since}"),
        },
        IncidentState::Mitigated { since: from, at }
        | IncidentState::Resolved { since: from, mitigated: Some(at), .. } => {
            format!("from {since} for {}", lasted(millis(*from, *at)))
        }
        IncidentState::Resolved { since: from, mitigated: None, at, .. } => {
            format!("from {since}, resolved {} later", lasted(millis(*from, *at)))
        }
    };
    let comma = match (&incident.state, standing) {
        (IncidentState::Open { .. }, Standing::AsTold) => "",
        _ => ",",
    };
    format!("{place}: {}: {title}{comma} {how_long} ({by}{times_failed}).", name(incident.id))
}

fn what_was_tried(story: &Story<'_>, times: &Times, now: DateTime<Utc>) -> String {
    let tries = tries(story.events);
    if tries.is_empty() {
        return "Nothing was tried yet.".to_owned();
    }
    // Tries that tell the same are told once.
    let mut groups: Vec<Vec<&Try>> = Vec::new();
    for one in &tries {
        match groups.last_mut() {
            Some(group) if group.iter().all(|other| tells_the_same(other, one)) => group.push(one),
            _ => groups.push(vec![one]),
        }
    }
    let (before, shown) = groups.split_at(groups.len().saturating_sub(MOST_TRIES));
    let earlier = match before.iter().map(Vec::len).sum() {
        0 => String::new(),
        1 => "1 earlier try; ".to_owned(),
        more => format!("{more} earlier tries; "),
    };
    let list: Vec<String> = shown.iter().map(|group| told_once(group, times, now)).collect();
    format!("Tried: {earlier}{}.", list.join("; then "))
}

/// Whether two tries differ in nothing but when they were, and in how long they took.
fn tells_the_same(one: &Try, other: &Try) -> bool {
    let same_end = match (&one.end, &other.end) {
        (End::Done { .. }, End::Done { .. }) => true,
        // What waits, is under way or is stuck is named by its own number.
        (End::Waits(_) | End::UnderWay | End::Stuck { .. }, _) => false,
        (one, other) => one == other,
    };
    same_end
        && (&one.deed, &one.asked_by, &one.agreed, one.automatic)
            == (&other.deed, &other.asked_by, &other.agreed, other.automatic)
}

/// Tries that tell the same: `start service-c, 3 times by trigger service-c-down, last at 22:02 UTC, done each time`.
fn told_once(group: &[&Try], times: &Times, now: DateTime<Utc>) -> String {
    let (count, last) = match group {
        [] => return String::new(),
        [only] => return tried(only, times, now),
        [.., last] => (group.len(), last),
    };
    let mut parts = vec![
        shortened(&visible(&last.deed), MOST),
        format!("{count} times by {}", last.asked_by),
        format!("last at {}", times.at_second(last.at, now)),
    ];
    parts.extend(agreed(last));
    parts.push(match &last.end {
        End::Done { .. } => "done each time".to_owned(),
        other => format!("each time {}", end(other)),
    });
    parts.join(", ")
}

/// Who let it start.
fn agreed(tried: &Try) -> Option<String> {
    if tried.automatic {
        return Some("let by its policy".to_owned());
    }
    (!tried.agreed.is_empty()).then(|| format!("approved by {}", and(&tried.agreed)))
}

fn where_it_stands(story: &Story<'_>, times: &Times, now: DateTime<Utc>) -> String {
    let incident = story.incident;
    let id = name(incident.id);
    let keeper = match &incident.acknowledged {
        Some(keeper) => format!("{} takes care of it since {}.", keeper.by, times.at(keeper.at, now)),
        None => "Nobody has said `ack` yet.".to_owned(),
    };
    match &incident.state {
        IncidentState::Open { .. } => {
            let tries = tries(story.events);
            let last = tries.iter().rev().find_map(|tried| match &tried.end {
                End::Waits(code) => {
                    Some(format!("{code} waits for {}: `approved` or `deny because …`.", or(story.asked)))
                }
                End::Stuck { .. } => {
                    Some(format!("Run {0} must be judged, retried or stopped: `show run {0}`.", tried.run))
                }
                End::UnderWay => Some(format!("Run {} is under way.", tried.run)),
                _ => None,
            });
            // Nothing is offered for what nobody knows to be broken.
            let offer = story.offer.filter(|_| *story.standing == Standing::AsTold);
            let words = match (offer, &incident.acknowledged) {
                (Some(line), None) => format!("`{}`, `ack`, or", visible(line)),
                (Some(line), Some(_)) => format!("`{}`, or", visible(line)),
                (None, None) => "`ack`, `note …`, or".to_owned(),
                (None, Some(_)) => "`note …`, or".to_owned(),
            };
            let next = last.unwrap_or_else(|| format!("Next: {words} `resolve` when it is over."));
            let known = match story.standing {
                Standing::AsTold => String::new(),
                Standing::Unknown(since) => {
                    format!(" Nobody knows since {} whether that is still so.", times.at_second(*since, now))
                }
                Standing::Gone => {
                    " The catalog does not have that check any more, so nobody knows how it is.".to_owned()
                }
            };
            let open = lasted(millis(incident.opened_at, now));
            format!("Now: open for {open}.{known} {keeper}{} {next}", kept_back(story.brakes))
        }
        IncidentState::Mitigated { at, .. } => {
            let at = times.at_second(*at, now);
            let kept_back = kept_back(story.brakes);
            format!("Now: well again since {at}; it stays open until `resolve`. {keeper}{kept_back}")
        }
        IncidentState::Resolved { by, at, why, .. } => {
            let at = times.at_second(*at, now);
            let why = why.as_deref().map(|why| format!(": {}", shortened(&visible(why), MOST))).unwrap_or_default();
            let end = stopped(&format!("Now: resolved by {by} at {at}{why}"));
            format!("{end} `report {id}` has the whole record; `reopen {id}` if it is not over.")
        }
    }
}

/// What keeps triggers from acting, as sentences that follow another.
fn kept_back(brakes: &Brakes) -> String {
    let paused = brakes.paused.as_ref().map(|by| format!(" Automation is paused by {by}: `resume` lets it go on."));
    let held = brakes.held.iter().map(|(trigger, why)| {
        let why = shortened(&visible(why), MOST);
        format!(" {trigger} has stopped itself ({}): `resume {trigger}` lets it go on.", why.trim_end_matches('.'))
    });
    paused.into_iter().chain(held).collect()
}

/// To `report`: the three lines, and where the whole is.
pub fn report(story: Story<'_>, times: &Times, now: DateTime<Utc>) -> String {
    let id = story.incident.id;
    format!(
        "{}\nThe whole record: `countersign report {}`, or /incidents/{id} on the page.",
        happened(story, times, now),
        name(id)
    )
}

/// How a check stands, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckStatus {
    /// The check.
    pub check: CheckName,
    /// What is known.
    pub known: Known,
}

/// What is known of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// It is asked only when a person asks.
    NotScheduled,
    /// It has not been asked yet.
    NotYet,
    /// It was last asked longer ago than it should be.
    NotSince(DateTime<Utc>),
    /// It is asked, and nothing is certain yet.
    Uncertain {
        /// When it was asked last.
        asked: DateTime<Utc>,
    },
    /// It changes too often to be believed.
    Flaps {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// It is certain.
    Certain {
        /// What.
        health: Health,
        /// Since when.
        since: DateTime<Utc>,
        /// When it was asked last.
        asked: DateTime<Utc>,
        /// Its first line.
        detail: String,
    },
}

/// How one service is, in one line: what is worst first, and how old the knowledge is.
pub fn service_status(
    service: &ServiceName,
    title: &str,
    checks: &[CheckStatus],
    times: &Times,
    now: DateTime<Utc>,
) -> String {
    let mut wrong = Vec::new();
    let mut well = Vec::new();
    let mut unscheduled = Vec::new();
    let mut oldest: Option<DateTime<Utc>> = None;
    for CheckStatus { check, known } in checks {
        match known {
            Known::NotScheduled => unscheduled.push(check.to_string()),
            Known::NotYet => wrong.push((2, format!("{check} not checked yet"))),
            Known::NotSince(at) => wrong.push((1, format!("{check} not checked since {}", times.at_second(*at, now)))),
            Known::Uncertain { asked } => {
                let age = lasted(millis(*asked, now));
                wrong.push((2, format!("{check}: nothing is certain yet, asked {age} ago")));
            }
            Known::Flaps { since } => wrong.push((0, super::flaps::status(check, &times.at_second(*since, now)))),
            Known::Certain { health: Health::Ok, asked, .. } => {
                well.push(check.to_string());
                oldest = Some(oldest.map_or(*asked, |oldest| oldest.min(*asked)));
            }
            Known::Certain { health, since, asked, detail } => {
                let since = times.at_second(*since, now);
                let age = lasted(millis(*asked, now));
                let said = shortened(&visible(detail), MOST);
                let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
                let (rank, what) = match health {
                    Health::Critical if check.as_str() == "running" => (0, format!("not running since {since}{said}")),
                    Health::Critical => (0, format!("{check} is critical since {since}{said}")),
                    Health::Warning => (0, format!("{check} warns since {since}{said}")),
                    // Ok was told above; what is not known is called so.
                    Health::Unknown | Health::Ok => (1, format!("nobody knows {check} since {since}{said}")),
                };
                wrong.push((rank, format!("{what}, asked {age} ago")));
            }
        }
    }
    wrong.sort_by_key(|(rank, _)| *rank);
    let mut parts: Vec<String> = wrong.into_iter().map(|(_, what)| what).collect();
    if let Some(oldest) = oldest {
        let age = lasted(millis(oldest, now));
        let what = if well == ["running"] { "running".to_owned() } else { format!("ok by {}", well.join(", ")) };
        parts.push(format!("{what}, asked {age} ago"));
    }
    if !unscheduled.is_empty() {
        // What nobody asks is not known, whatever the others say.
        let which =
            if unscheduled.len() == checks.len() { String::new() } else { format!("{} ", unscheduled.join(", ")) };
        parts.push(format!("{which}not checked by itself: ask `is {} ok`", spoken(service)));
    }
    format!("{}: {}.", visible(title), parts.join("; "))
}

/// A name as one says it: `service b`.
pub fn spoken(service: &ServiceName) -> String {
    service.as_str().replace('-', " ")
}

/// Everything else that `status` tells.
#[derive(Debug, Clone, Default)]
pub struct UnderWay {
    /// Incidents that are not resolved.
    pub incidents: Vec<Incident>,
    /// Runs that are not over and wait for nobody's approval: number, deed, state.
    pub runs: Vec<(RunId, String, String)>,
    /// Requests that wait.
    pub requests: Vec<WaitingLine>,
    /// Who paused all automation, since when, and why.
    pub paused: Option<(PersonId, String, Option<String>)>,
    /// Held triggers: trigger, service, since when, why.
    pub held: Vec<(String, ServiceName, String, String)>,
}

/// To `status`: lines of services by system, then what is under way.
pub fn status(systems: &[(String, Vec<String>)], under_way: &UnderWay, now: DateTime<Utc>) -> String {
    let mut lines = Vec::new();
    for (place, services) in systems {
        lines.push(place.clone());
        lines.extend(services.iter().cloned());
    }
    if systems.is_empty() {
        lines.push("No system that you may see is talked about here.".to_owned());
    }
    match under_way.incidents.as_slice() {
        [] => lines.push("No incident is open here.".to_owned()),
        open => lines.extend(open.iter().map(|incident| one_line(incident, now))),
    }
    for (run, deed, state) in &under_way.runs {
        lines.push(format!("run {run} {}   {}", state.replace('_', " "), shortened(&visible(deed), MOST)));
    }
    for WaitingLine { code, requester: _, deed, until, asked, progress } in &under_way.requests {
        let progress = progress.as_ref().map(|progress| format!(" ({progress})")).unwrap_or_default();
        let deed = shortened(&visible(deed), MOST);
        lines.push(format!("{code} waits for {} until {until}{progress}   {deed}", or(asked)));
    }
    if let Some((by, since, why)) = &under_way.paused {
        let why = why.as_deref().map(|why| format!(": {}", shortened(&visible(why), MOST))).unwrap_or_default();
        lines.push(format!(
            "{} `resume` lets it go on.",
            stopped(&format!("Automation is paused by {by} since {since}{why}"))
        ));
    }
    for (trigger, service, since, why) in &under_way.held {
        let why = shortened(&visible(why), MOST);
        lines.push(format!(
            "{} `resume {trigger}` lets it go on.",
            stopped(&format!("{trigger} is held for {service} since {since}: {why}"))
        ));
    }
    lines.join("\n")
}

/// To somebody who lacks every right that would do.
pub fn may_not(person: &PersonId, word: &str, system: &str, who: &[PersonId]) -> String {
    format!("{person}, you may not {word} on {}. {} may.", visible(system), or_nobody(who))
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use chrono_tz::Tz;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-21T22:03:00Z".parse().expect("a time")
    }

    fn ago(seconds: i64) -> DateTime<Utc> {
        now() - TimeDelta::seconds(seconds)
    }

    fn status_of(checks: Vec<(&str, Known)>) -> String {
        let checks: Vec<CheckStatus> =
            checks.into_iter().map(|(check, known)| CheckStatus { check: CheckName::new(check), known }).collect();
        service_status(&ServiceName::new("service-b"), "Service B", &checks, &Times::in_zone(Tz::UTC), now())
    }

    fn certain(health: Health, asked: i64) -> Known {
        Known::Certain { health, since: ago(108), asked: ago(asked), detail: "no\nanswer".into() }
    }

    #[test]
    fn what_is_not_known_is_never_called_well() {
        let said = [
            status_of(vec![("running", certain(Health::Ok, 4))]),
            status_of(vec![("answers", certain(Health::Ok, 4)), ("running", certain(Health::Ok, 9))]),
            status_of(vec![("answers", certain(Health::Ok, 4)), ("running", certain(Health::Critical, 3))]),
            status_of(vec![("answers", certain(Health::Warning, 4)), ("running", certain(Health::Unknown, 3))]),
            status_of(vec![("running", Known::NotSince(ago(3_600)))]),
            status_of(vec![("running", Known::NotYet)]),
            status_of(vec![("running", Known::Uncertain { asked: ago(1) })]),
            status_of(vec![("running", Known::NotScheduled)]),
            status_of(vec![("answers", Known::NotScheduled), ("running", certain(Health::Ok, 2))]),
        ];
        insta::assert_snapshot!(said.join("\n"), @r#"
        Service B: running, asked 4 s ago.
        Service B: ok by answers, running, asked 9 s ago.
        Service B: not running since 22:01:12 UTC (no\nanswer), asked 3 s ago; ok by answers, asked 4 s ago.
        Service B: answers warns since 22:01:12 UTC (no\nanswer), asked 4 s ago; nobody knows running since 22:01:12 UTC (no\nanswer), asked 3 s ago.
        Service B: running not checked since 21:03:00 UTC.
        Service B: running not checked yet.
        Service B: running: nothing is certain yet, asked 1 s ago.
        Service B: not checked by itself: ask `is service b ok`.
        Service B: running, asked 2 s ago; answers not checked by itself: ask `is service b ok`.
        "#);
    }

    #[test]
    fn failures_in_words() {
        let place = Where { environment: "production", system: "System A" };
        let (running, answers) = (CheckName::new("running"), CheckName::new("answers"));
        let turned = |check, now, results| Turned {
            service: "Service B",
            check,
            now,
            since: "22:01:12 UTC",
            results,
            detail: "HTTP 503\u{202e}",
        };
        let seven = IncidentId(7);
        let offer = Some("start service b");
        let said = [
            failed(place, turned(&running, Health::Critical, (2, Some(2))), Did::Opened(seven), offer),
            failed(place, turned(&answers, Health::Critical, (2, Some(2))), Did::Recurred(seven), None),
            failed(place, turned(&answers, Health::Warning, (1, None)), Did::Joined(seven), offer),
            failed(place, turned(&answers, Health::Critical, (3, None)), Did::Nothing, offer),
            unknown(place, turned(&running, Health::Unknown, (2, Some(2)))),
            check_well(turned(&running, Health::Ok, (2, Some(2))), Health::Unknown),
            check_well(turned(&answers, Health::Ok, (2, Some(2))), Health::Critical),
            mitigated(seven, "Service B", 4_000),
            resolved(seven, None, 400_000, 1, 70_000, "Ledger 4201 · 77ae03c5b1d2"),
            resolved(seven, Some("a drill"), 400_000, 0, 0, "Ledger 4201 · 77ae03c5b1d2"),
        ];
        insta::assert_snapshot!(said.join("\n"), @r#"
        PRODUCTION · System A: Service B is not running since 22:01:12 UTC (check running, 2 of 2).
        INC-7 opened. Say `what happened`, `status`, or `start service b`.
        PRODUCTION · System A: Service B: check answers is critical since 22:01:12 UTC: HTTP 503\u{202e} (2 of 2).
        INC-7 is open again. Say `what happened` or `status`.
        Service B: check answers warns since 22:01:12 UTC: HTTP 503\u{202e} (1 result). It belongs to INC-7.
        PRODUCTION · System A: Service B: check answers is critical since 22:01:12 UTC: HTTP 503\u{202e} (3 results).
        Say `what happened`, `status`, or `start service b`.
        PRODUCTION · System A: Service B: nobody knows since 22:01:12 UTC (check running could not be asked: HTTP 503\u{202e}). Nothing is started for it.
        Service B: check running can be asked again and is ok since 22:01:12 UTC.
        Service B: check answers is ok again since 22:01:12 UTC.
        Service B is fine again after 4 s. INC-7 stays open until `resolve`.
        INC-7 resolved 6 min 40 s after it was opened. Asked 1 person, waited 1 min 10 s for approval. `report` has the whole record. Ledger 4201 · 77ae03c5b1d2
        INC-7 resolved 6 min 40 s after it was opened: a drill. Nobody was asked to approve. `report` has the whole record. Ledger 4201 · 77ae03c5b1d2
        "#);
    }

    fn try_of(run: i64, seconds: i64, end: End) -> Try {
        Try {
            run: RunId(run),
            deed: "start service-c".into(),
            asked_by: "trigger service-c-down".into(),
            at: ago(seconds),
            agreed: Vec::new(),
            automatic: true,
            end,
        }
    }

    #[test]
    fn equal_tries_are_told_once() {
        let [one, two, three] = [(1, 90, 4_000), (2, 60, 5_000), (3, 30, 6_000)]
            .map(|(run, seconds, millis)| try_of(run, seconds, End::Done { millis }));
        let failed = |run| try_of(run, 20, End::Failed { step: 2, why: "exit code 1".into() });
        let times = Times::in_zone(Tz::UTC);
        assert!(tells_the_same(&one, &two) && tells_the_same(&failed(4), &failed(5)));
        assert!(!tells_the_same(&one, &failed(4)));
        let stuck = try_of(6, 10, End::Stuck { step: 1 });
        assert!(!tells_the_same(&stuck, &stuck), "each is judged by its own number");
        let said = [
            told_once(&[&one], &times, now()),
            told_once(&[&one, &two, &three], &times, now()),
            told_once(&[&failed(4), &failed(5)], &times, now()),
        ];
        insta::assert_snapshot!(said.join("\n"), @r#"
    start service-c, asked by trigger service-c-down at 22:01:30 UTC, let by its policy, done in 4 s
    start service-c, 3 times by trigger service-c-down, last at 22:02:30 UTC, let by its policy, done each time
    start service-c, 2 times by trigger service-c-down, last at 22:02:40 UTC, let by its policy, each time failed at step 2: exit code 1
    "#);
    }

    #[test]
    fn what_keeps_triggers_back_says_how_it_goes_on() {
        let brakes = Brakes {
            paused: Some(PersonId::new("boss")),
            held: vec![(TriggerName::new("service-c-down"), "3 runs within 10 min is its limit".into())],
        };
        insta::assert_snapshot!(kept_back(&brakes).trim(), @r#"
    Automation is paused by boss: `resume` lets it go on. service-c-down has stopped itself (3 runs within 10 min is its limit): `resume service-c-down` lets it go on.
    "#);
        assert_eq!(kept_back(&Brakes::default()), "");
    }
}

//! The ledger in words: one sentence for each kind of event, its actor first.
//!
//! What lives here: the one reading of an event that the page, reports and `tail` share, a total match over [`Happened`].
//! What does not: its place, time and hash, which stand beside the sentence, and what rooms are told (`echo`), which is
//! addressed to whoever must act. What came from outside is visible, bounded and on one line (I9).

use chrono::{DateTime, Utc};

use super::plan::{and, or};
use super::time::{Times, lasted};
use super::visible::visible;
use crate::model::approval::Because;
use crate::model::catalog::{Stage, Subject, TriggerMode};
use crate::model::chat::{Account, RoomAddress, RoomChange};
use crate::model::code::Code;
use crate::model::event::{Brake, CheckResult, Event, Happened, Health, RemovedBecause, WhoAsked};
use crate::model::id::{PersonId, RunId};
use crate::model::policy::Carried;
use crate::model::request::{Answer, Freeing, Proof};
use crate::model::run::{Outcome, Verdict};

/// The most characters of a text from outside that a sentence holds; `…` stands for the rest.
const MOST: usize = 240;

/// The bot, where no person acts.
const BOT: &str = "countersign";

/// An event in words: who, and what they did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who: a person's name, an account that nobody is known by, or the bot.
    pub actor: String,
    /// What, as it follows the actor after a space. What somebody said stands last, behind a colon.
    pub words: String,
}

impl std::fmt::Display for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.actor, self.words)
    }
}

/// An event as one sentence: `boss approved 7K3F.`
pub fn line(event: &Event, times: &Times, now: DateTime<Utc>) -> String {
    entry(event, times, now).to_string()
}

/// An event as actor and words, for whoever sets them apart.
pub fn entry(event: &Event, times: &Times, now: DateTime<Utc>) -> Entry {
    match &event.record {
        Some(record) => happened(&record.what, times, now),
        None => bot(format!(
            "recorded `{}`, whose words were erased or are of another version of this program.",
            visible(&event.kind)
        )),
    }
}

/// Who wrote a change, where they are named.
fn written(by: &[PersonId]) -> String {
    if by.is_empty() { String::new() } else { format!(", written by {}", and(by)) }
}

/// Somebody who was asked, with the reason if it is not that the stage names them.
fn who_asked(asked: &WhoAsked) -> String {
    match &asked.because {
        Because::Stage => asked.person.to_string(),
        Because::Needed => format!("{}, who is needed", asked.person),
        Because::Escalation(_) => format!("{}, as nobody had decided", asked.person),
        Because::Turn => format!("{}, next on call", asked.person),
        Because::Delegate(giver) => format!("{}, for {giver}", asked.person),
    }
}

/// What is handed over: `7K3F, run 12 and the pause`.
fn handed(codes: &[Code], runs: &[RunId], pause: bool) -> String {
    let codes = codes.iter().map(ToString::to_string);
    let runs = runs.iter().map(|run| format!("run {run}"));
    let all: Vec<PersonId> =
        codes.chain(runs).chain(pause.then(|| "the pause".to_owned())).map(PersonId::new).collect();
    and(&all)
}

fn told(actor: &PersonId, words: String) -> Entry {
    Entry { actor: visible(actor.as_str()), words }
}

fn bot(words: String) -> Entry {
    Entry { actor: BOT.to_owned(), words }
}

fn happened(what: &Happened, times: &Times, now: DateTime<Utc>) -> Entry {
    match what {
        Happened::LedgerCreated { trial, ledger } => {
            let trial = if *trial { ", as a trial: one person may speak as several" } else { "" };
            bot(format!("began the ledger {}{trial}.", shown(ledger)))
        }
        Happened::LineSaid { room, thread: _, key: _, account, person, text, outcome, answer: _, said_at } => {
            let became = match outcome.as_str() {
                "refused" => ", refused",
                "recorded" => ", not acted on",
                _ => "",
            };
            let later = said_at.map(|at| format!(", at {} and read later", times.at(at, now))).unwrap_or_default();
            let words = format!("in {}{later}{became}: {}", channel(room), shown(text));
            Entry { actor: speaker(person.as_ref(), account), words }
        }
        Happened::LineEdited { room, message, account, person, text, answer: _ } => {
            let message = format!("message {} in {}", shown(message.as_str()), channel(room));
            let words = match text {
                Some(text) => format!("changed {message} to: {}", shown(text)),
                None => format!("deleted {message}."),
            };
            Entry { actor: speaker(person.as_ref(), account), words }
        }
        Happened::CatalogLoaded { fingerprint, runbooks } => {
            bot(format!("loaded the catalog {}: {}.", fingerprint.short(), counted(*runbooks, "runbook")))
        }
        Happened::CatalogRefused { problems } => {
            let first = problems.first().map(|problem| format!(" The first: {}", shown(problem))).unwrap_or_default();
            bot(format!("did not load the changed catalog: {}.{first}", counted(problems.len(), "problem")))
        }
        Happened::RunPlanned { run, deed, runbook, params: _, digest, requester, account: _, room, trigger } => {
            let plan = format!("run {run}, runbook {runbook}, plan {}", digest.short());
            match trigger {
                None => told(requester, format!("asked for {} in {}: {plan}.", shown(deed), channel(room))),
                Some(trigger) => {
                    bot(format!("planned {} for {trigger}, which {requester} answers for: {plan}.", shown(deed)))
                }
            }
        }
        Happened::RequestAsked {
            request: _,
            code,
            run,
            retry_step,
            digest: _,
            requesters,
            stages,
            expires_at,
            excluded,
            wish,
            carried,
        } => {
            let what = match (retry_step, wish) {
                (None, _) => format!("run {run}"),
                (Some(step), None) => format!("another attempt of step {step} of run {run}"),
                (Some(step), Some(wish)) => {
                    let how = match wish.what {
                        Freeing::Skip => "leaving out",
                        Freeing::JudgeWorked => "counting as done",
                        Freeing::JudgeFailed => "counting as failed",
                    };
                    format!("{how} step {step} of run {run} ({})", shown(&wish.why))
                }
            };
            let until = times.until(*expires_at, now);
            let who = asked(stages);
            let without = if excluded.is_empty() { String::new() } else { format!(" {} may not.", and(excluded)) };
            let needed = match carried {
                Some(Carried { denied, needs }) if !needs.is_empty() => {
                    format!(" {} must be among them, for {} denied {}.", or(needs), denied.by, denied.code)
                }
                Some(_) | None => String::new(),
            };
            let asker = and(requesters);
            bot(format!("asked {who} to approve {what} for {asker}: {code}, until {until}.{without}{needed}"))
        }
        Happened::PeopleAsked { request: _, code, run: _, stage, people, expires_at } => {
            let who: Vec<String> = people.iter().map(who_asked).collect();
            let who = if who.is_empty() { "nobody".to_owned() } else { who.join(", ") };
            let until = times.until(*expires_at, now);
            bot(format!("asked {who} in stage {} of {code}, until {until}.", u64::from(*stage) + 1))
        }
        Happened::Decided { request: _, code, stage: _, person, account: _, answer, reason, on_behalf_of, proof } => {
            let word = match answer {
                Answer::Approve => "approved",
                Answer::Deny => "denied",
            };
            let whose = on_behalf_of.as_ref().map(|giver| format!(" for {giver}")).unwrap_or_default();
            let how = match proof {
                Proof::Chat => "",
                Proof::Passkey { .. } => " with a passkey",
            };
            told(person, format!("{word} {code}{whose}{how}{}", because(reason.as_deref())))
        }
        Happened::RequestReminded { request: _, code, run: _, stage: _, people } => {
            bot(format!("reminded {} of {code}.", and(people)))
        }
        Happened::RequestRung { request: _, code, run: _, stage: _, ring: _, people, tries } => {
            let tries = if *tries > 1 { format!(", at try {tries}") } else { String::new() };
            bot(format!("rang {} for {code}{tries}.", and(people)))
        }
        Happened::RingFailed { request: _, code, run: _, stage: _, ring: _, people, tries, why } => bot(format!(
            "could not ring {} for {code} in {}: {}",
            and(people),
            if *tries == 1 { "1 try".to_owned() } else { format!("{tries} tries") },
            shown(why)
        )),
        Happened::RequestLookedAt { request: _, code, run: _, stage: _, by, until } => {
            told(by, format!("looks at {code}: nobody else is woken before {}.", times.until(*until, now)))
        }
        Happened::DelegationGiven { delegation: _, giver, receiver, since: _, until } => {
            told(giver, format!("lets {receiver} answer requests until {}.", times.at(*until, now)))
        }
        Happened::DelegationEnded { delegation: _, giver, receiver } => {
            told(giver, format!("no longer lets {receiver} answer requests."))
        }
        Happened::HandoverOffered { handover, from, to, reason, requests: _, codes, runs, pause, room } => {
            let words = format!("offered {to} in {} to take over {}", channel(room), handed(codes, runs, *pause));
            told(from, format!("{words}, handover {handover}{}", because(reason.as_deref())))
        }
        Happened::HandoverReminded { handover, from, to, people } => {
            let who: Vec<PersonId> = std::iter::once(to).chain(people).cloned().collect();
            bot(format!("said again to {} that {from} wants to hand over, handover {handover}.", and(&who)))
        }
        Happened::HandoverTaken { handover, from, by, codes, runs, pause } => {
            told(by, format!("took over {} from {from}, handover {handover}.", handed(codes, runs, *pause)))
        }
        Happened::HandoverLapsed { handover, from, to } => {
            bot(format!("left everything with {from}, as {to} did not take over, handover {handover}."))
        }
        Happened::RequestHandedOver { request: _, code, run: _, from, to, requesters } => {
            told(to, format!("took over {code} from {from}: {} cannot approve it.", and(requesters)))
        }
        Happened::RunHandedOver { run, from, to } => told(to, format!("took over run {run} from {from}.")),
        Happened::DecisionTakenBack { request: _, code, stage: _, person, account: _, line: _, passkey } => {
            match passkey {
                None => told(person, format!("took back their answer to {code}.")),
                Some(passkey) => bot(format!(
                    "took back {person}'s approval of {code}, as passkey {passkey}, by which it was given, is removed."
                )),
            }
        }
        Happened::RequestGranted {
            request: _,
            code,
            run,
            grant: _,
            digest,
            by,
            automatic,
            valid_until,
            start_by,
            relaxed,
            broken,
            under,
            unasked,
            covers,
            signed: _,
        } => {
            let until = times.until(*valid_until, now);
            let why = match (automatic, broken) {
                (_, Some(by)) => format!("{by} broke the glass, nobody's agreement was waited for"),
                (Some(trigger), None) => format!("its policy lets {trigger} start by itself"),
                (None, None) => match unasked {
                    Some(started) => format!(
                        "its policy lets {} start it without asking, run {} of {}",
                        started.person, started.number, started.of
                    ),
                    None => format!("{} agreed", and(by)),
                },
            };
            let begin = match start_by {
                Some(start_by) if start_by < valid_until => {
                    format!(" It must begin by {}.", times.until(*start_by, now))
                }
                Some(_) | None => String::new(),
            };
            let under = under.as_ref().map_or_else(String::new, |under| {
                format!(" It is run {} of {} under {}.", under.number, under.of, under.code)
            });
            let covers = covers.as_ref().map_or_else(String::new, |covers| {
                let until = times.until(covers.until, now);
                format!(" It covers {} runs of this plan until {until}.", covers.runs)
            });
            let exception = if relaxed.is_empty() {
                String::new()
            } else {
                let rules: Vec<&str> = relaxed.iter().map(|rule| rule.name()).collect();
                format!(" Exception that its policy makes: {}.", rules.join(", "))
            };
            bot(format!(
                "granted {code}: {why}. Run {run} may start plan {} until {until}.{begin}{under}{covers}{exception}",
                digest.short()
            ))
        }
        Happened::LaterRefused { request: _, code, run, not_before: _, why } => {
            bot(format!("did not start run {run} at its time, although {code} was approved: {}", stop(&shown(why))))
        }
        Happened::CoverEnded { request: _, code, run: _, by, used } => told(
            by,
            format!("took {code} back: it covers no further runs ({} started under it).", counted(*used, "run")),
        ),
        Happened::GlassBroken {
            request: _,
            code,
            run,
            person,
            account: _,
            proof: _,
            reason,
            own,
            skipped,
            review_by,
        } => {
            let own = if *own { " It was their own request: an exception that the policy makes." } else { "" };
            let skipped =
                if skipped.is_empty() { String::new() } else { format!(" Not waited for: {}.", and(skipped)) };
            let until = times.until(*review_by, now);
            let why = stop(&shown(reason));
            told(
                person,
                format!("BROKE THE GLASS for run {run} ({code}): {why}{own}{skipped} A review is owed until {until}."),
            )
        }
        Happened::ReviewOverdue { request: _, code, run, due_at } => {
            let due = times.at(*due_at, now);
            bot(format!("found the review of {code} (run {run}) overdue: it was due {due}."))
        }
        Happened::Reviewed { request: _, code, run, by, verdict, words } => told(
            by,
            format!(
                "reviewed that run {run} ({code}) was started without agreement: {}. {}",
                verdict.words(),
                stop(&shown(words))
            ),
        ),
        Happened::RequestDenied { request: _, code, run, by, why } => {
            bot(format!("closed {code} of run {run}: {by} denied it{}", because(why.as_deref())))
        }
        Happened::RequestExpired { request: _, code, run } => {
            bot(format!("closed {code} of run {run}: nobody decided in time."))
        }
        Happened::RequestWithdrawn { request: _, code, run, by } => told(by, format!("withdrew {code} of run {run}.")),
        Happened::RequestSentBack { request: _, code, run, by, why } => {
            told(by, format!("sent {code} of run {run} back{}", because(Some(why))))
        }
        Happened::RequestSuperseded { request: _, code, run, by, newer: _, newer_code } => {
            told(by, format!("asked again: {newer_code} took the place of {code} of run {run}."))
        }
        Happened::RequestDiffers { request: _, code, run, now } => {
            let now = match now {
                Some(digest) => format!("would now be plan {}", digest.short()),
                None => "could not be planned now".to_owned(),
            };
            bot(format!(
                "saw the catalog change while {code} waits: run {run} {now}. {code} means what it meant when asked."
            ))
        }
        Happened::GrantEnded { grant: _, run, state } => {
            let words = match state.as_str() {
                "lapsed" => format!("saw the grant of run {run} lapse: it starts nothing more."),
                _ => format!("revoked the grant of run {run}: it starts nothing more."),
            };
            bot(words)
        }
        Happened::AttemptStarted { run, step, number, digest: _, grant: _, executor: _ } => {
            bot(format!("started {}.", attempt(*run, *step, *number)))
        }
        Happened::AttemptEnded { run, step, number, outcome, exit_code, millis, summary, output_sha256: _, checks } => {
            let end = match (outcome, exit_code) {
                (Outcome::Succeeded, _) => "succeed",
                (Outcome::Failed, _) => "fail",
                (Outcome::TimedOut, _) => "run out of time",
            };
            let code = match (outcome, exit_code) {
                (Outcome::Failed, Some(code)) => format!(" with exit code {code}"),
                _ => String::new(),
            };
            let said = said(checks, summary);
            bot(format!("saw {} {end}{code} in {}{said}", attempt(*run, *step, *number), lasted(*millis)))
        }
        Happened::AttemptProgress { run, step, number, line } => {
            bot(format!("heard from {}: {}", attempt(*run, *step, *number), shown(line)))
        }
        Happened::AttemptLost { run, step, number, why } => {
            bot(format!("did not see how {} ended: {}", attempt(*run, *step, *number), stop(&shown(why))))
        }
        Happened::AttemptJudged { run, step, number, by, verdict, why, request: _ } => {
            let verdict = match verdict {
                Verdict::Worked => "worked",
                Verdict::Failed => "failed",
            };
            told(by, format!("judged that {} {verdict}: {}", attempt(*run, *step, *number), stop(&shown(why))))
        }
        Happened::AttemptSkipped { run, step, number, by, why, request: _ } => {
            told(by, format!("had {} left out: {}", attempt(*run, *step, *number), stop(&shown(why))))
        }
        Happened::RunSucceeded { run, millis } => bot(format!("finished run {run}: done in {}.", lasted(*millis))),
        Happened::RunFailed { run, step, why } => {
            bot(format!("ended run {run}: step {step} failed. {}", stop(&shown(why))))
        }
        Happened::RunStuck { run, step, why } => bot(format!(
            "holds run {run} as stuck at step {step}: {} A person must judge, retry or stop it.",
            stop(&shown(why))
        )),
        Happened::RunStopping { run, by } => told(by, format!("is stopping run {run}: the step that runs is ended.")),
        Happened::RunStopped { run, by, revoked: Some(revoked), .. } => {
            told(by, format!("revoked the approval {} of run {run}{}", revoked.code, because(revoked.why.as_deref())))
        }
        Happened::RunStopped { run, by, done, unknown, not_started, skipped, revoked: None } => told(
            by,
            format!(
                "stopped run {run}. Steps done: {}. Unknown: {}.{} Not started: {}.",
                steps(done),
                steps(unknown),
                if skipped.is_empty() { String::new() } else { format!(" Left out: {}.", steps(skipped)) },
                steps(not_started)
            ),
        ),
        Happened::CheckTurned { service, check, was, now: is, since, results, detail } => {
            let before = was.map(|was| format!(" instead of {}", health(was))).unwrap_or_default();
            let since = times.at_second(*since, now);
            let sure = counted(*results, "result");
            bot(format!(
                "found {service} {}{before} by `{check}`, since {since}, {sure}{}",
                health(*is),
                colon(&shown(detail))
            ))
        }
        Happened::CheckFlaps { service, check, changes, within_secs, now: is } => {
            let window = super::time::limit(std::time::Duration::from_secs(*within_secs));
            let is = health(*is);
            bot(format!("found that `{check}` of {service} flaps: {changes} changes in {window}, {is} at the moment."))
        }
        Happened::CheckSteady { service, check, now: is, since, detail } => {
            let since = times.at_second(*since, now);
            let words = colon(&shown(detail));
            bot(format!("found `{check}` of {service} steady again: {} since {since}{words}", health(*is)))
        }
        Happened::IncidentOpened { incident, service, title, check, by, room, since } => {
            let about = service.as_ref().map(|service| format!(" on {service}")).unwrap_or_default();
            let found = check
                .as_ref()
                .map(|check| format!(", found by `{check}`, so since {}", times.at_second(*since, now)))
                .unwrap_or_default();
            let words = format!("opened INC-{incident}{about} in {}{found}: {}", channel(room), stop(&shown(title)));
            by.as_ref().map_or_else(|| bot(words.clone()), |by| told(by, words.clone()))
        }
        Happened::IncidentAcknowledged { incident, by } => told(by, format!("takes care of INC-{incident}.")),
        Happened::IncidentMitigated { incident, since: _, millis } => {
            let took = lasted(*millis);
            bot(format!("found the service of INC-{incident} well again after {took}; nobody has resolved it yet."))
        }
        Happened::IncidentRecurred { incident, check, since: _ } => {
            bot(format!("found the service of INC-{incident} failing again, by `{check}`."))
        }
        Happened::IncidentResolved { incident, by, reason, millis, asked, waited_millis } => {
            let waited = match *asked {
                0 => "Nobody was asked to approve.".to_owned(),
                asked => format!(
                    "Asked {}, waited {} for approval.",
                    if asked == 1 { "1 person".to_owned() } else { format!("{asked} people") },
                    lasted(*waited_millis)
                ),
            };
            told(
                by,
                format!(
                    "resolved INC-{incident} {} after it was opened{} {waited}",
                    lasted(*millis),
                    because(reason.as_deref())
                ),
            )
        }
        Happened::IncidentReopened { incident, by, reason } => {
            told(by, format!("reopened INC-{incident}{}", because(reason.as_deref())))
        }
        Happened::IncidentNoted { incident, by, text } => {
            told(by, format!("noted on INC-{incident}: {}", stop(&shown(text))))
        }
        Happened::IncidentRoomMade { incident, room: _, name } => {
            bot(format!("made #{} for INC-{incident}.", shown(name)))
        }
        Happened::IncidentRoomInvited { incident, room: _, responders, observers, left_out } => {
            let mut words = super::incident_room::invited(responders, observers, left_out);
            if words.is_empty() {
                words = "Nobody was to be invited.".to_owned();
            }
            bot(format!("invited people to the channel of INC-{incident}. {words}"))
        }
        Happened::IncidentRoomRefused { incident, room: _, undone, why } => {
            let what = super::incident_room::not_done(*undone);
            bot(format!("had to leave out {what} of INC-{incident}: {}", stop(&shown(why))))
        }
        Happened::IncidentRoomArchived { incident, room: _ } => {
            bot(format!("saw the channel of INC-{incident} closed."))
        }
        Happened::TriggerFired { trigger, mode, service, check, deed, run, why } => {
            let deed = shown(deed);
            let run = run.map(|run| format!(" (run {run})")).unwrap_or_default();
            let did = match mode {
                TriggerMode::Shadow => format!("would have asked for {deed}, and only says so{run}"),
                TriggerMode::Ask => format!("asks for {deed}{run}"),
                TriggerMode::Auto => format!("starts {deed}{run}"),
            };
            let why = why.as_ref().map(|why| format!(" {}", stop(&shown(why)))).unwrap_or_default();
            bot(format!("fired {trigger}, as `{check}` of {service} failed: it {did}.{why}"))
        }
        Happened::TriggerHeld { trigger, service, by, why, until } => {
            let until = match (until, by) {
                (Some(until), _) => format!("It is looked at again at {}.", times.at_second(*until, now)),
                (None, Brake::AtMost | Brake::Flapping | Brake::NoEffect | Brake::Cooldown) => {
                    format!("It waits for `resume {trigger}`.")
                }
                (None, Brake::Paused) => "It waits for `resume`.".to_owned(),
                (None, Brake::Stuck) => "It is looked at again when that run is over.".to_owned(),
                (None, Brake::Busy) => "It is looked at again when that is over.".to_owned(),
                (None, Brake::NoPlan) => "It is looked at again when the catalog changes.".to_owned(),
            };
            bot(format!("held {trigger} for {service} ({}): {} {until}", brake(*by), stop(&shown(why))))
        }
        Happened::TriggerReleased { trigger, service, by } => told(by, format!("let {trigger} go on for {service}.")),
        Happened::AutomationPaused { by, reason } => {
            told(by, format!("paused all automation{}", because(reason.as_deref())))
        }
        Happened::AutomationResumed { by } => told(by, "let automation go on.".to_owned()),
        Happened::AccessBegun { fingerprint, snapshot, .. } => bot(format!(
            "keeps who may do what from now on, {}: {}, {}.",
            fingerprint.short(),
            counted(snapshot.people.len(), "person"),
            counted(snapshot.runbooks.len(), "runbook")
        )),
        Happened::AccessTaken { changes, changed_by, .. } => bot(format!(
            "took rights away at once, as the catalog says{}: {}",
            written(changed_by),
            shown(&super::access::changes(changes).replace('\n', "; "))
        )),
        Happened::AccessProposed { code, changes, changed_by, expires_at, .. } => bot(format!(
            "asks for a countersignature of {code}{} until {}: {}",
            written(changed_by),
            times.until(*expires_at, now),
            shown(&super::access::changes(changes).replace('\n', "; "))
        )),
        Happened::AccessCountersigned { code, by, fingerprint, .. } => {
            told(by, format!("countersigned {code}: who may do what is {} from now on.", fingerprint.short()))
        }
        Happened::AccessAccepted { code, operator, why, fingerprint, .. } => Entry {
            actor: shown(operator),
            words: format!(
                "put {code} in force on the host without a second person, who may do what is {} from now on: {}",
                fingerprint.short(),
                stop(&shown(why))
            ),
        },
        Happened::AccessRefused { code, by, why, .. } => told(by, format!("refused {code}: {}", stop(&shown(why)))),
        Happened::AccessExpired { code, .. } => bot(format!("closed {code}: nobody countersigned it in time.")),
        Happened::AccessSuperseded { code, .. } => {
            bot(format!("closed {code}: the catalog's files or the rights in force say something else since."))
        }
        Happened::AccessAuthors { changed_by, .. } => {
            bot(format!("notes that {} wrote what waits to be countersigned.", and(changed_by)))
        }
        Happened::GroupSeen { group, user_group, members, came, left } => {
            let (id, members) = (visible(&user_group.to_string()), and(members));
            let changed = |word: &str, people: &[PersonId]| match people {
                [] => String::new(),
                people => format!(" {word}: {}.", and(people)),
            };
            bot(format!("sees in {group} ({id}): {members}.{}{}", changed("Came", came), changed("Left", left)))
        }
        Happened::GroupUnseen { group, user_group, why } => {
            let why = why.as_deref().map(shown).unwrap_or_default();
            bot(format!(
                "cannot see who is in {group} ({}), so nobody is{}",
                visible(&user_group.to_string()),
                colon(&why)
            ))
        }
        Happened::WasAway { room, from, to, not_done, more, unread_until } => {
            let away = super::away::Away { from: *from, to: *to, not_done, more: *more, unread_until: *unread_until };
            bot(super::away::recorded(&channel(room), &away, times, now))
        }
        Happened::RoomChanged { room, at: _, account, person, change } => {
            room_changed(&channel(room), account, person.as_ref(), change)
        }
        Happened::KeyAdded { key, host, by } => {
            bot(format!("signs approvals on {} with the key {} (made by {}).", visible(host), key.short(), visible(by)))
        }
        Happened::KeyRetired { key, at: _, by, why } => bot(format!(
            "accepts nothing more that the key {} signs: {} (said by {}).",
            key.short(),
            visible(why),
            visible(by)
        )),
        Happened::CatalogWarned { warnings } => {
            let first = warnings.first().map(|warning| format!(" The first: {}", shown(warning))).unwrap_or_default();
            bot(format!("loaded the catalog with {}.{first}", counted(warnings.len(), "warning")))
        }
        Happened::PasskeyInvited { person, expires_at } => {
            bot(format!("let an operator invite {person} to add a passkey until {}.", times.until(*expires_at, now)))
        }
        Happened::PasskeyAdded { passkey, person, name, credential: _, public_key: _ } => {
            told(person, format!("added passkey {passkey}: {}", shown(name)))
        }
        Happened::PasskeyRemoved { passkey, person, because } => bot(match because {
            RemovedBecause::Operator => format!("let an operator remove passkey {passkey} of {person}."),
            RemovedBecause::Left => {
                format!("removed passkey {passkey} of {person}, whom the catalog does not have any more.")
            }
        }),
        Happened::DecisionLinked { request: _, code, person, account: _, digest, link: _, expires_at } => bot(format!(
            "asked {person} for a passkey to decide {code}, plan {}, until {}.",
            digest.short(),
            times.until(*expires_at, now)
        )),
        Happened::PasskeyUsed {
            passkey,
            person,
            request: _,
            code,
            digest,
            link: _,
            answer,
            client_data: _,
            authenticator_data: _,
            signature: _,
        } => {
            let word = answer.words();
            told(person, format!("signed to {word} {code}, plan {}, with passkey {passkey}.", digest.short()))
        }
        Happened::ClockJumped { millis } => {
            let way = if *millis < 0 { "back" } else { "forward" };
            bot(format!("set its clock {way} by {}.", lasted(millis.unsigned_abs())))
        }
    }
}

fn room_changed(room: &str, account: &Account, person: Option<&PersonId>, change: &RoomChange) -> Entry {
    let somebody = |words: String| Entry { actor: speaker(person, account), words };
    match change {
        RoomChange::Joined => somebody(format!("joined {room}.")),
        RoomChange::Left => somebody(format!("left {room}.")),
        RoomChange::BotJoined => bot(format!("was invited to {room} and hears it from now on.")),
        RoomChange::BotLeft => bot(format!("was taken out of {room} and hears nothing there any more.")),
        RoomChange::Renamed { name } => bot(format!("saw {room} get the name {}.", shown(name))),
        RoomChange::Archived => somebody(format!("archived {room}: nothing can be said there any more.")),
        RoomChange::Unarchived => somebody(format!("brought {room} back.")),
    }
}

/// Foreign text, visible and bounded.
fn shown(text: &str) -> String {
    let shown = visible(text.trim());
    match shown.char_indices().nth(MOST) {
        None => shown,
        Some(_) => shown.chars().take(MOST - 1).chain(['…']).collect(),
    }
}

/// A text with the full stop that ends it.
fn stop(text: &str) -> String {
    if text.ends_with(['.', '…', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

/// `: text.`, or the full stop alone when there is none.
fn colon(text: &str) -> String {
    if text.is_empty() { ".".to_owned() } else { format!(": {}", stop(text)) }
}

fn because(reason: Option<&str>) -> String {
    colon(&reason.map(shown).unwrap_or_default())
}

fn speaker(person: Option<&PersonId>, account: &Account) -> String {
    person.map_or_else(|| visible(&account.to_string()), |person| visible(person.as_str()))
}

/// A room by its channel: the workspace is the same for most of a ledger.
fn channel(room: &RoomAddress) -> String {
    visible(&room.channel)
}

/// Who is asked: `boss`, `managers`, `2 of managers, then boss`.
fn asked(stages: &[Stage]) -> String {
    let stage = |stage: &Stage| {
        let who: Vec<PersonId> = stage
            .approvers
            .iter()
            .map(|subject| match subject {
                Subject::Person(person) => person.clone(),
                Subject::Group(group) => PersonId::new(group.as_str()),
                Subject::Rota(rota) => PersonId::new(rota.as_str()),
                Subject::Accountable => PersonId::new("accountable"),
            })
            .collect();
        let who = visible(&or(&who));
        if stage.quorum > 1 { format!("{} of {who}", stage.quorum) } else { who }
    };
    stages.iter().map(stage).collect::<Vec<_>>().join(", then ")
}

fn attempt(run: RunId, step: u32, number: u32) -> String {
    match number {
        1 => format!("step {step} of run {run}"),
        number => format!("step {step} of run {run} (attempt {number})"),
    }
}

/// What an attempt said: its checks, else its summary.
fn said(checks: &[CheckResult], summary: &str) -> String {
    if checks.is_empty() {
        return colon(&shown(summary));
    }
    let checks: Vec<String> =
        checks.iter().map(|result| format!("{} {} {}", result.service, result.check, health(result.health))).collect();
    colon(&shown(&checks.join(", ")))
}

fn steps(steps: &[u32]) -> String {
    if steps.is_empty() {
        return "none".to_owned();
    }
    steps.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warning => "in warning",
        Health::Critical => "critical",
        Health::Unknown => "unknown",
    }
}

fn brake(brake: Brake) -> &'static str {
    match brake {
        Brake::Cooldown => "cooldown",
        Brake::AtMost => "at most so many runs",
        Brake::Flapping => "flapping",
        Brake::NoEffect => "no effect",
        Brake::Stuck => "stuck",
        Brake::Busy => "busy",
        Brake::Paused => "paused",
        Brake::NoPlan => "no plan",
    }
}

fn counted(count: impl ToString, what: &str) -> String {
    let count = count.to_string();
    if count == "1" { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::{Value, json};

    use super::*;
    use crate::model::event::{Record, Scope};
    use crate::model::glyph;
    use crate::model::id::EventId;

    fn moment() -> DateTime<Utc> {
        "2026-11-21T22:02:00Z".parse().expect("a time")
    }

    fn event(what: Option<Happened>) -> Event {
        Event {
            position: None,
            hash: None,
            id: EventId(1),
            kind: what.as_ref().map_or("later_kind", Happened::kind).to_owned(),
            at: moment(),
            scope: Scope::default(),
            cause: None,
            record: what.map(|what| Record { what, rows: Vec::new() }),
        }
    }

    fn said(what: Value) -> String {
        let what: Happened = serde_json::from_value(what).expect("an event");
        line(&event(Some(what)), &Times::in_zone(Tz::Asia__Singapore), moment())
    }

    /// One of each kind, so that none is without its sentence.
    fn samples() -> Vec<Value> {
        let digest = "9f2c41d077ae".to_owned() + &"0".repeat(52);
        let later = "2026-11-21T22:33:00Z";
        let room = "local:trial:system-a";
        let mei = "local:trial:mei";
        vec![
            json!({"kind": "ledger_created", "trial": true, "ledger": "ab12"}),
            json!({"kind": "line_said", "room": room, "thread": null, "key": "line:1", "account": mei, "person": "mei",
                "text": "start service b", "outcome": "answered", "answer": []}),
            json!({"kind": "line_said", "room": room, "thread": "m2", "key": "line:2", "account": "local:trial:zed",
                "person": null, "text": "start service b\nboss approved", "outcome": "refused", "answer": ["no"]}),
            json!({"kind": "line_said", "room": room, "thread": null, "key": "line:3", "account": mei, "person": "mei",
                "text": "start service b", "outcome": "recorded", "answer": []}),
            json!({"kind": "line_edited", "room": room, "message": "x1", "account": mei, "person": "mei",
                "text": "stop service b", "answer": []}),
            json!({"kind": "line_edited", "room": room, "message": "x1", "account": mei, "person": "mei",
                "text": null, "answer": []}),
            json!({"kind": "catalog_loaded", "fingerprint": digest, "runbooks": 4}),
            json!({"kind": "catalog_refused", "problems": ["start.yaml:6:11: there is no policy `manager`", "more"]}),
            json!({"kind": "run_planned", "run": 12, "deed": "start service-b", "runbook": "start-service",
                "params": {}, "digest": digest, "requester": "mei", "account": mei, "room": room}),
            json!({"kind": "run_planned", "run": 13, "deed": "start service-b", "runbook": "start-service",
                "params": {}, "digest": digest, "requester": "lin", "account": mei, "room": room,
                "trigger": "service-down"}),
            json!({"kind": "request_asked", "request": 7, "code": "7K3F", "run": 12, "retry_step": null,
                "digest": digest, "requesters": ["mei"],
                "stages": [{"approvers": ["group:managers", "person:lin"], "quorum": 1}], "expires_at": later}),
            json!({"kind": "request_asked", "request": 8, "code": "8K3F", "run": 12, "retry_step": 2,
                "digest": digest, "requesters": ["mei"],
                "stages": [{"approvers": ["group:managers"], "quorum": 2}, {"approvers": ["person:boss"], "quorum": 1}],
                "expires_at": later}),
            json!({"kind": "decided", "request": 7, "code": "7K3F", "stage": 0, "person": "boss", "account": mei,
                "answer": "approve", "reason": null}),
            json!({"kind": "decided", "request": 7, "code": "7K3F", "stage": 0, "person": "boss", "account": mei,
                "answer": "deny", "reason": "not tonight"}),
            json!({"kind": "request_granted", "request": 7, "code": "7K3F", "run": 12, "grant": 3, "digest": digest,
                "by": ["boss"], "valid_until": later}),
            json!({"kind": "request_granted", "request": 7, "code": "7K3F", "run": 12, "grant": 3, "digest": digest,
                "by": [], "automatic": "service-down", "valid_until": later}),
            json!({"kind": "request_denied", "request": 7, "code": "7K3F", "run": 12, "by": "boss", "why": "not tonight."}),
            json!({"kind": "request_expired", "request": 7, "code": "7K3F", "run": 12}),
            json!({"kind": "request_withdrawn", "request": 7, "code": "7K3F", "run": 12, "by": "mei"}),
            json!({"kind": "request_differs", "request": 7, "code": "7K3F", "run": 12, "now": digest}),
            json!({"kind": "request_differs", "request": 7, "code": "7K3F", "run": 12, "now": null}),
            json!({"kind": "grant_ended", "grant": 3, "run": 12, "state": "lapsed"}),
            json!({"kind": "grant_ended", "grant": 3, "run": 12, "state": "revoked"}),
            json!({"kind": "attempt_started", "run": 12, "step": 1, "number": 1, "digest": digest, "grant": 3}),
            json!({"kind": "attempt_ended", "run": 12, "step": 1, "number": 1, "outcome": "succeeded", "exit_code": 0,
                "millis": 1100, "summary": "service-b: started", "output_sha256": null}),
            json!({"kind": "attempt_ended", "run": 12, "step": 2, "number": 2, "outcome": "failed", "exit_code": 3,
                "millis": 30000, "summary": "", "output_sha256": null, "checks":
                [{"service": "service-b", "check": "running", "health": "critical", "detail": "STOPPED"}]}),
            json!({"kind": "attempt_ended", "run": 12, "step": 1, "number": 1, "outcome": "timed_out",
                "exit_code": null, "millis": 60000, "summary": "killed after 1 min", "output_sha256": null}),
            json!({"kind": "attempt_progress", "run": 12, "step": 1, "number": 1, "line": "halfway"}),
            json!({"kind": "attempt_lost", "run": 12, "step": 1, "number": 1, "why": "the bot ended"}),
            json!({"kind": "attempt_judged", "run": 12, "step": 1, "number": 1, "by": "boss", "verdict": "worked",
                "why": "it answers"}),
            json!({"kind": "run_succeeded", "run": 12, "millis": 4000}),
            json!({"kind": "run_failed", "run": 12, "step": 2, "why": "service-b is not running"}),
            json!({"kind": "run_stuck", "run": 12, "step": 1, "why": "nobody saw how it ended"}),
            json!({"kind": "run_stopping", "run": 12, "by": "mei"}),
            json!({"kind": "run_stopped", "run": 12, "by": "mei", "done": [1, 2], "unknown": [], "not_started": [3]}),
            json!({"kind": "check_turned", "service": "service-b", "check": "running", "was": "ok", "now": "critical",
                "since": "2026-11-21T22:01:12Z", "results": 2, "detail": "STOPPED"}),
            json!({"kind": "check_turned", "service": "service-b", "check": "running", "was": null, "now": "unknown",
                "since": "2026-11-21T22:01:12Z", "results": 1, "detail": ""}),
            json!({"kind": "check_flaps", "service": "service-b", "check": "running", "changes": 7, "within_secs": 600,
                "now": "critical"}),
            json!({"kind": "check_steady", "service": "service-b", "check": "running", "now": "ok",
                "since": "2026-11-21T22:01:12Z", "detail": "RUNNING"}),
            json!({"kind": "incident_opened", "incident": 7, "service": "service-b", "title": "Service B is not running",
                "check": "running", "by": null, "room": room, "since": "2026-11-21T22:01:12Z"}),
            json!({"kind": "incident_opened", "incident": 8, "service": null, "title": "everything is slow",
                "check": null, "by": "mei", "room": room, "since": later}),
            json!({"kind": "incident_acknowledged", "incident": 7, "by": "mei"}),
            json!({"kind": "incident_mitigated", "incident": 7, "since": later, "millis": 70000}),
            json!({"kind": "incident_recurred", "incident": 7, "since": later, "check": "running"}),
            json!({"kind": "incident_resolved", "incident": 7, "by": "mei", "reason": null, "millis": 400000,
                "asked": 1, "waited_millis": 70000}),
            json!({"kind": "incident_resolved", "incident": 7, "by": "mei", "reason": "disk replaced", "millis": 400000,
                "asked": 0, "waited_millis": 0}),
            json!({"kind": "incident_reopened", "incident": 7, "by": "boss", "reason": "it is down again"}),
            json!({"kind": "incident_noted", "incident": 7, "by": "mei", "text": "called the hoster"}),
            json!({"kind": "incident_room_made", "incident": 7, "room": "slack:T1:C7", "name": "inc-7-system-a"}),
            json!({"kind": "incident_room_invited", "incident": 7, "room": "slack:T1:C7", "responders": ["mei", "lin"],
                "observers": ["boss"], "left_out": [{"person": "yuki", "why": "no account in this workspace"}]}),
            json!({"kind": "incident_room_invited", "incident": 7, "room": "slack:T1:C7", "responders": [],
                "observers": [], "left_out": []}),
            json!({"kind": "incident_room_refused", "incident": 7, "room": null, "undone": "make",
                "why": "restricted_action: the workspace lets apps make no channels"}),
            json!({"kind": "incident_room_refused", "incident": 7, "room": "slack:T1:C7", "undone": "pin",
                "why": "missing_scope: the app lacks the right pins:write"}),
            json!({"kind": "incident_room_archived", "incident": 7, "room": "slack:T1:C7"}),
            json!({"kind": "trigger_fired", "trigger": "service-down", "mode": "shadow", "service": "service-b",
                "check": "running", "deed": "start service-b", "run": null}),
            json!({"kind": "trigger_fired", "trigger": "service-down", "mode": "ask", "service": "service-b",
                "check": "running", "deed": "start service-b", "run": 14}),
            json!({"kind": "trigger_fired", "trigger": "service-down", "mode": "auto", "service": "service-b",
                "check": "running", "deed": "start service-b", "run": 15}),
            json!({"kind": "trigger_held", "trigger": "service-down", "service": "service-b", "by": "cooldown",
                "why": "its last run ended 2 min ago", "until": later}),
            json!({"kind": "trigger_held", "trigger": "service-down", "service": "service-b", "by": "at_most",
                "why": "3 runs within 1 h", "until": null}),
            json!({"kind": "trigger_released", "trigger": "service-down", "service": "service-b", "by": "boss"}),
            json!({"kind": "automation_paused", "by": "boss", "reason": "maintenance"}),
            json!({"kind": "automation_resumed", "by": "boss"}),
            json!({"kind": "group_seen", "group": "managers", "user_group": "slack:T0ACME:S0MANAGERS",
                "members": ["boss", "kim"], "came": [], "left": []}),
            json!({"kind": "group_seen", "group": "managers", "user_group": "slack:T0ACME:S0MANAGERS",
                "members": [], "came": [], "left": ["boss", "kim"]}),
            json!({"kind": "group_unseen", "group": "managers", "user_group": "slack:T0ACME:S0MANAGERS", "why": null}),
            json!({"kind": "group_unseen", "group": "managers", "user_group": "slack:T0ACME:S0MANAGERS",
                "why": "the connection failed"}),
            json!({"kind": "line_said", "room": room, "thread": null, "key": "line:4", "account": mei, "person": "mei",
                "text": "start service b", "outcome": "recorded", "answer": [], "said_at": "2026-11-21T21:40:00Z"}),
            json!({"kind": "was_away", "room": room, "from": "2026-11-21T21:40:00Z", "to": "2026-11-21T22:01:00Z",
                "not_done": [{"line": "line:4", "person": "mei", "said_at": "2026-11-21T21:41:00Z",
                    "text": "start service b", "why": "late"}], "more": 2}),
            json!({"kind": "was_away", "room": room, "from": "2026-11-21T21:40:00Z", "to": "2026-11-21T22:01:00Z",
                "unread_until": "2026-11-21T21:50:00Z"}),
            json!({"kind": "room_changed", "room": room, "at": later, "account": mei, "person": "mei",
                "change": {"change": "joined"}}),
            json!({"kind": "room_changed", "room": room, "at": later, "account": "slack:T1:U9", "person": null,
                "change": {"change": "left"}}),
            json!({"kind": "room_changed", "room": room, "at": later, "account": "slack:T1:U0", "person": null,
                "change": {"change": "bot_joined"}}),
            json!({"kind": "room_changed", "room": room, "at": later, "account": "slack:T1:U0", "person": null,
                "change": {"change": "bot_left"}}),
            json!({"kind": "room_changed", "room": room, "at": later, "account": "slack:T1:U0", "person": null,
                "change": {"change": "renamed", "name": "incidents-old"}}),
            json!({"kind": "room_changed", "room": room, "at": later, "account": mei, "person": "mei",
                "change": {"change": "archived"}}),
            json!({"kind": "room_changed", "room": room, "at": later, "account": mei, "person": "mei",
                "change": {"change": "unarchived"}}),
            json!({"kind": "catalog_warned", "warnings": ["Policy managers wants a passkey", "x"]}),
            json!({"kind": "passkey_invited", "person": "boss", "expires_at": later}),
            json!({"kind": "passkey_added", "passkey": 3, "person": "boss", "name": "my\nphone", "credential": "AQ",
                "public_key": "AQ"}),
            json!({"kind": "passkey_removed", "passkey": 3, "person": "boss"}),
            json!({"kind": "decision_linked", "request": 1, "code": "7K3F", "person": "boss", "account": "local:trial:boss",
                "digest": digest, "link": digest, "expires_at": later}),
            json!({"kind": "passkey_used", "passkey": 3, "person": "boss", "request": 1, "code": "7K3F", "digest": digest,
                "link": digest, "answer": "approve", "client_data": "e30", "authenticator_data": "AQ", "signature": "AQ"}),
            json!({"kind": "request_reminded", "request": 1, "code": "7K3F", "run": 12, "stage": 0, "people": ["boss", "lin"]}),
            json!({"kind": "request_rung", "request": 1, "code": "7K3F", "run": 12, "stage": 0, "ring": 4,
                "people": ["boss"], "tries": 2}),
            json!({"kind": "ring_failed", "request": 1, "code": "7K3F", "run": 12, "stage": 0, "ring": 4, "people": ["boss"],
                "tries": 5, "why": "the webhook answered 503"}),
            json!({"kind": "request_looked_at", "request": 1, "code": "7K3F", "run": 12, "stage": 0, "by": "boss",
                "until": later}),
            json!({"kind": "delegation_given", "delegation": 2, "giver": "boss", "receiver": "lin", "since": later,
                "until": later}),
            json!({"kind": "delegation_ended", "delegation": 2, "giver": "boss", "receiver": "lin"}),
            json!({"kind": "handover_offered", "handover": 3, "from": "mei", "to": "lin", "reason": "my shift ends",
                "requests": [1], "codes": ["7K3F"], "runs": [12], "pause": true, "room": room}),
            json!({"kind": "handover_reminded", "handover": 3, "from": "mei", "to": "lin", "people": ["boss"]}),
            json!({"kind": "handover_taken", "handover": 3, "from": "mei", "by": "lin", "codes": ["7K3F"], "runs": [],
                "pause": false}),
            json!({"kind": "handover_lapsed", "handover": 3, "from": "mei", "to": "lin"}),
            json!({"kind": "request_handed_over", "request": 1, "code": "7K3F", "run": 12, "from": "mei", "to": "lin",
                "requesters": ["lin", "mei"]}),
            json!({"kind": "run_handed_over", "run": 12, "from": "mei", "to": "lin"}),
            json!({"kind": "clock_jumped", "millis": -3000}),
        ]
    }

    #[test]
    fn every_kind_reads_as_a_sentence() {
        let lines: Vec<String> = samples().into_iter().map(said).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        countersign began the ledger ab12, as a trial: one person may speak as several.
        mei in system-a: start service b
        local:trial:zed in system-a, refused: start service b\nboss approved
        mei in system-a, not acted on: start service b
        mei changed message x1 in system-a to: stop service b
        mei deleted message x1 in system-a.
        countersign loaded the catalog 9f2c41d077ae: 4 runbooks.
        countersign did not load the changed catalog: 2 problems. The first: start.yaml:6:11: there is no policy `manager`
        mei asked for start service-b in system-a: run 12, runbook start-service, plan 9f2c41d077ae.
        countersign planned start service-b for service-down, which lin answers for: run 13, runbook start-service, plan 9f2c41d077ae.
        countersign asked managers or lin to approve run 12 for mei: 7K3F, until 06:33 +08.
        countersign asked 2 of managers, then boss to approve another attempt of step 2 of run 12 for mei: 8K3F, until 06:33 +08.
        boss approved 7K3F.
        boss denied 7K3F: not tonight.
        countersign granted 7K3F: boss agreed. Run 12 may start plan 9f2c41d077ae until 06:33 +08.
        countersign granted 7K3F: its policy lets service-down start by itself. Run 12 may start plan 9f2c41d077ae until 06:33 +08.
        countersign closed 7K3F of run 12: boss denied it: not tonight.
        countersign closed 7K3F of run 12: nobody decided in time.
        mei withdrew 7K3F of run 12.
        countersign saw the catalog change while 7K3F waits: run 12 would now be plan 9f2c41d077ae. 7K3F means what it meant when asked.
        countersign saw the catalog change while 7K3F waits: run 12 could not be planned now. 7K3F means what it meant when asked.
        countersign saw the grant of run 12 lapse: it starts nothing more.
        countersign revoked the grant of run 12: it starts nothing more.
        countersign started step 1 of run 12.
        countersign saw step 1 of run 12 succeed in 1.1 s: service-b: started.
        countersign saw step 2 of run 12 (attempt 2) fail with exit code 3 in 30 s: service-b running critical.
        countersign saw step 1 of run 12 run out of time in 1 min: killed after 1 min.
        countersign heard from step 1 of run 12: halfway
        countersign did not see how step 1 of run 12 ended: the bot ended.
        boss judged that step 1 of run 12 worked: it answers.
        countersign finished run 12: done in 4 s.
        countersign ended run 12: step 2 failed. service-b is not running.
        countersign holds run 12 as stuck at step 1: nobody saw how it ended. A person must judge, retry or stop it.
        mei is stopping run 12: the step that runs is ended.
        mei stopped run 12. Steps done: 1, 2. Unknown: none. Not started: 3.
        countersign found service-b critical instead of ok by `running`, since 06:01:12 +08, 2 results: STOPPED.
        countersign found service-b unknown by `running`, since 06:01:12 +08, 1 result.
        countersign found that `running` of service-b flaps: 7 changes in 10 min, critical at the moment.
        countersign found `running` of service-b steady again: ok since 06:01:12 +08: RUNNING.
        countersign opened INC-7 on service-b in system-a, found by `running`, so since 06:01:12 +08: Service B is not running.
        mei opened INC-8 in system-a: everything is slow.
        mei takes care of INC-7.
        countersign found the service of INC-7 well again after 1 min 10 s; nobody has resolved it yet.
        countersign found the service of INC-7 failing again, by `running`.
        mei resolved INC-7 6 min 40 s after it was opened. Asked 1 person, waited 1 min 10 s for approval.
        mei resolved INC-7 6 min 40 s after it was opened: disk replaced. Nobody was asked to approve.
        boss reopened INC-7: it is down again.
        mei noted on INC-7: called the hoster.
        countersign made #inc-7-system-a for INC-7.
        countersign invited people to the channel of INC-7. Asked to help: mei and lin. Here to follow it: boss. Not invited: yuki (no account in this workspace).
        countersign invited people to the channel of INC-7. Nobody was to be invited.
        countersign had to leave out the channel of INC-7: restricted_action: the workspace lets apps make no channels.
        countersign had to leave out the pinned summary of INC-7: missing_scope: the app lacks the right pins:write.
        countersign saw the channel of INC-7 closed.
        countersign fired service-down, as `running` of service-b failed: it would have asked for start service-b, and only says so.
        countersign fired service-down, as `running` of service-b failed: it asks for start service-b (run 14).
        countersign fired service-down, as `running` of service-b failed: it starts start service-b (run 15).
        countersign held service-down for service-b (cooldown): its last run ended 2 min ago. It is looked at again at 06:33:00 +08.
        countersign held service-down for service-b (at most so many runs): 3 runs within 1 h. It waits for `resume service-down`.
        boss let service-down go on for service-b.
        boss paused all automation: maintenance.
        boss let automation go on.
        countersign sees in managers (slack:T0ACME:S0MANAGERS): boss and kim.
        countersign sees in managers (slack:T0ACME:S0MANAGERS): nobody. Left: boss and kim.
        countersign cannot see who is in managers (slack:T0ACME:S0MANAGERS), so nobody is.
        countersign cannot see who is in managers (slack:T0ACME:S0MANAGERS), so nobody is: the connection failed.
        mei in system-a, at 05:40 +08 and read later, not acted on: start service b
        countersign did not hear system-a 05:40–06:01 +08. Not done: mei 05:41 `start service b`; and 2 more.
        countersign did not hear system-a 05:40–06:01 +08. More was said than I read: what was said before 05:50 +08 is not recorded.
        mei joined system-a.
        slack:T1:U9 left system-a.
        countersign was invited to system-a and hears it from now on.
        countersign was taken out of system-a and hears nothing there any more.
        countersign saw system-a get the name incidents-old.
        mei archived system-a: nothing can be said there any more.
        mei brought system-a back.
        countersign loaded the catalog with 2 warnings. The first: Policy managers wants a passkey
        countersign let an operator invite boss to add a passkey until 06:33 +08.
        boss added passkey 3: my\nphone
        countersign let an operator remove passkey 3 of boss.
        countersign asked boss for a passkey to decide 7K3F, plan 9f2c41d077ae, until 06:33 +08.
        boss signed to approve 7K3F, plan 9f2c41d077ae, with passkey 3.
        countersign reminded boss and lin of 7K3F.
        countersign rang boss for 7K3F, at try 2.
        countersign could not ring boss for 7K3F in 5 tries: the webhook answered 503
        boss looks at 7K3F: nobody else is woken before 06:33 +08.
        boss lets lin answer requests until 06:33 +08.
        boss no longer lets lin answer requests.
        mei offered lin in system-a to take over 7K3F, run 12 and the pause, handover 3: my shift ends.
        countersign said again to lin and boss that mei wants to hand over, handover 3.
        lin took over 7K3F from mei, handover 3.
        countersign left everything with mei, as lin did not take over, handover 3.
        lin took over 7K3F from mei: lin and mei cannot approve it.
        lin took over run 12 from mei.
        countersign set its clock back by 3 s.
        "#);
    }

    #[test]
    fn i9_no_event_makes_a_line_of_its_own_or_hides_anything() {
        for sample in samples() {
            let text = said(poisoned(sample));
            assert!(!text.chars().any(glyph::hidden), "{text:?}");
        }
        let long = json!({"kind": "incident_noted", "incident": 7, "by": "mei", "text": "x".repeat(100_000)});
        assert!(said(long).chars().count() < MOST + 60);
    }

    /// The same with tricks in every free text.
    fn poisoned(mut sample: Value) -> Value {
        for key in ["text", "title", "why", "detail", "deed", "reason", "summary", "line", "ledger", "message"] {
            if let Some(Value::String(text)) = sample.get_mut(key) {
                text.push_str("\u{202e}\u{1b}[31m\nboss approved 7K3F.");
            }
        }
        for pointer in ["/not_done/0/text", "/change/name"] {
            if let Some(Value::String(text)) = sample.pointer_mut(pointer) {
                text.push_str("\u{202e}\u{1b}[31m\nboss approved 7K3F.");
            }
        }
        sample
    }

    #[test]
    fn what_cannot_be_read_is_said_to_be_so() {
        insta::assert_snapshot!(line(&event(None), &Times::in_zone(Tz::UTC), moment()),
            @"countersign recorded `later_kind`, whose words were erased or are of another version of this program.");
    }

    #[test]
    fn the_actor_stands_apart_for_whoever_wants_columns() {
        let what = Happened::AutomationResumed { by: PersonId::new("boss") };
        let entry = entry(&event(Some(what)), &Times::in_zone(Tz::UTC), moment());
        assert_eq!((entry.actor.as_str(), entry.words.as_str()), ("boss", "let automation go on."));
    }
}

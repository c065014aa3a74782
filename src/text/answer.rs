//! Answers to lines: one function for each thing that can be said at once.

use chrono::{DateTime, Utc};

use super::plan::{and, environment, or, steps};
use super::time::{Times, lasted};
use super::visible::{echo, visible};
use crate::model::approval::Tally;
use crate::model::chat::{Account, WhyWords};
use crate::model::code::Code;
use crate::model::group::{Blind, Unseen};
use crate::model::id::{PersonId, RunId};
use crate::model::plan::Plan;
use crate::model::request::{Answer, RequestState};
use crate::model::run::RunState;

/// To `ping`.
pub fn pong() -> String {
    "I am here.".to_owned()
}

/// The window in which a platform asks why, when somebody denies by a button.
pub fn why_window() -> WhyWords {
    WhyWords {
        title: "Deny".to_owned(),
        question: "Why? The room reads it.".to_owned(),
        send: "Deny".to_owned(),
        cancel: "Not now".to_owned(),
    }
}

/// To somebody whom the catalog does not know.
pub fn unknown_person(account: &Account) -> String {
    let name = echo(&account.id);
    format!("{name} ({}) is not known here. Ask an operator to add you to people.yaml.", echo(&account.to_string()))
}

/// To `whoami`.
pub fn whoami(person: &PersonId, account: &Account, groups: &[String]) -> String {
    let groups = if groups.is_empty() { "no group".to_owned() } else { groups.join(", ") };
    format!("You are {person} ({account}), in {groups}.")
}

/// To `whoami` of an account that the catalog does not know.
pub fn whoami_unknown(account: &Account) -> String {
    format!(
        "You are {}, and that is all I know. Ask an operator to add you to people.yaml.",
        echo(&account.to_string())
    )
}

/// Of which groups nobody knows who is in them just now, and why: one sentence each, with a space before it, to stand
/// behind a refusal or a name. Empty when all can be seen.
pub fn unseen(groups: &[Unseen<'_>], now: DateTime<Utc>) -> String {
    groups
        .iter()
        .map(|unseen| {
            let Unseen { name, user_group, blind } = unseen;
            let platform = capital(&visible(&user_group.platform));
            let why = match blind {
                Blind::NotAsked => format!("{platform} has not been asked yet. Say it again in a moment."),
                Blind::Gone => format!(
                    "{platform} has no user group {} in use. Ask an operator to correct people.yaml.",
                    visible(&user_group.id)
                ),
                Blind::Silent { last, why } => {
                    let since = last.map_or_else(
                        || "yet".to_owned(),
                        |last| {
                            let silent = u64::try_from((now - last).num_milliseconds()).unwrap_or_default();
                            format!("for {}", lasted(silent))
                        },
                    );
                    match why {
                        Some(why) => format!("{platform} has not told it {since} ({}). Ask an operator.", visible(why)),
                        None => format!("{platform} has not answered {since}. Ask an operator."),
                    }
                }
            };
            format!(" I cannot see who is in {name} just now: {why}")
        })
        .collect()
}

/// To somebody who lacks the right.
pub fn not_allowed(person: &PersonId, deed: &str, system: &str, who: &[PersonId]) -> String {
    format!("{person}, you may not {} on {}. {} may.", visible(deed), visible(system), or_nobody(who))
}

/// To a command that was said too long ago.
pub fn stale(text: &str, said: &str) -> String {
    format!("Not done: `{}` was said at {said}, more than two minutes ago. Say it again if still wanted.", echo(text))
}

/// Under the beginning of an answer that is too long for a room.
pub fn whole_in_file() -> String {
    "Cut here: the whole is in the file next to this message.".to_owned()
}

/// To a command in an edited message.
pub fn edited() -> String {
    "Void: you edited that message. Say it again.".to_owned()
}

/// To a plan that cannot be made.
pub fn no_plan(why: &str) -> String {
    format!("Not planned: {}", visible(why))
}

/// To somebody who asks what waits already.
pub fn already_waiting(asked: &[PersonId], since: &str, code: &Code) -> String {
    format!("Already waiting for {} since {since}, {code}. `again` asks anew.", or(asked))
}

/// To somebody who asks what is under way already.
pub fn already_going(run: RunId, state: &RunState, since: &str) -> String {
    match state {
        RunState::Stuck(_) => {
            format!(
                "The same is stuck since {since}, run {run}: `show run {run}`. It has to be judged, retried or stopped first."
            )
        }
        RunState::Planned
        | RunState::AwaitingApproval
        | RunState::Approved
        | RunState::Running
        | RunState::Stopping { .. }
        | RunState::Succeeded
        | RunState::Failed(_)
        | RunState::Stopped { .. }
        | RunState::Denied { .. }
        | RunState::Expired
        | RunState::Withdrawn { .. } => {
            format!("The same is under way since {since}, run {run}. `stop run {run}` ends it.")
        }
    }
}

/// To somebody who asks for what is decided in another room.
pub fn asked_in(room: &str, code: &Code, asked: &[PersonId]) -> String {
    format!("Asked in {room}: {code}. {} decides there.", or(asked))
}

/// To a command of which another room is told what comes of it.
pub fn told_in(room: &str) -> String {
    format!("Done. What comes of it is told in {room}.")
}

/// To `again` where nothing was asked before.
pub fn nothing_to_repeat() -> String {
    "Nothing was asked here that could be asked again. Say what you want, or `help`.".to_owned()
}

/// To a decision where nothing waits.
pub fn nothing_waits() -> String {
    "Nothing waits for approval here. `requests` lists what waits in this room.".to_owned()
}

/// To the room, when somebody who wants to be asked by direct message was not reached.
pub fn undelivered(person: &str, code: &Code) -> String {
    format!("{} was not reached by direct message. {code} waits for you here.", echo(person))
}

/// To a decision in direct messages where nothing was shown that waits.
pub fn nothing_waits_directly() -> String {
    "Nothing that was shown here waits for you. `requests` lists what waits; with its code, as in `approve 7K3F`, it can be \
     decided here."
        .to_owned()
}

/// To a decision that could mean several requests.
pub fn which_request(word: &str, waiting: &[(Code, String)]) -> String {
    let list: Vec<String> = waiting.iter().map(|(code, deed)| format!("`{word} {code}` ({})", visible(deed))).collect();
    format!("{} requests wait here. Say which: {}.", waiting.len(), list.join(" or "))
}

/// To a code that no request has.
pub fn no_such_code(code: &Code) -> String {
    format!("No request has the code {code}. `requests` lists what waits in this room.")
}

/// To a requester who approves their own request.
pub fn own_request(person: &PersonId, asked: &[PersonId]) -> String {
    format!("{person}, it is your own request: someone else must approve. Asked: {}.", and(asked))
}

/// To a requester who denies their own request.
pub fn own_denial(person: &PersonId) -> String {
    format!("{person}, it is your own request: `withdraw` takes it back.")
}

/// To somebody who is not asked.
pub fn not_asked(person: &PersonId, code: &Code, asked: &[PersonId]) -> String {
    format!("{person}, {code} is not for you to decide. Asked: {}.", and(asked))
}

/// To somebody who has decided already.
pub fn already_decided(person: &PersonId, code: &Code) -> String {
    format!("{person}, you have decided {code} already. `requests` lists what still waits.")
}

/// To a decision that counted, when more people are needed.
pub fn counted(person: &PersonId, code: &Code, tally: &Tally) -> String {
    let missing = tally.missing();
    let people = if missing == 1 { "1 more person".to_owned() } else { format!("{missing} more people") };
    let progress = match *tally {
        Tally::Waiting { agreed, of, needed: false, .. } => format!(" {agreed} of {of}."),
        Tally::Waiting { agreed, of, needed: true, .. } => {
            format!(" {agreed} of {of}, and somebody whom it needs in particular has yet to agree.")
        }
        Tally::Agreed | Tally::Denied => String::new(),
    };
    format!("{person}'s answer to {code} counts:{progress} It still needs {people}.")
}

/// To a decision that comes when the request is no longer waiting.
pub fn late(code: &Code, state: &RequestState, by: Option<&[String]>, newer: Option<&Code>, expired: &str) -> String {
    match state {
        RequestState::Pending { .. } | RequestState::Expired => {
            format!("{code} expired at {expired}, nobody decided. Nothing was done. `again` asks anew.")
        }
        RequestState::Granted => match by {
            Some(by) => format!("{code} is approved already, by {}. Your answer changes nothing.", and(by)),
            None => format!("{code} is approved already. Your answer changes nothing."),
        },
        RequestState::Denied { by, .. } => {
            format!("{code} was denied by {by}. Your answer changes nothing. `again` asks anew.")
        }
        RequestState::Withdrawn { by } => {
            format!("{code} was withdrawn by {by}. Your answer changes nothing. `again` asks anew.")
        }
        RequestState::ChangesRequested { by, .. } => {
            format!("{code} was sent back by {by}. Your answer changes nothing. It has to be asked anew.")
        }
        RequestState::Superseded { .. } => match newer {
            Some(newer) => {
                format!("{newer} has taken the place of {code}. Your answer changes nothing: look at {newer}.")
            }
            None => format!("Another request has taken the place of {code}. Your answer changes nothing."),
        },
    }
}

/// To somebody who has lost the right since they were asked.
pub fn right_lost(person: &PersonId, code: &Code, asked: &[PersonId]) -> String {
    format!("{person}, {code} was yours to decide and is no longer. Asked: {}.", and(asked))
}

/// To the author of a runbook whose policy leaves them out.
pub fn author(person: &PersonId, code: &Code, asked: &[PersonId]) -> String {
    format!(
        "{person}, you made the last change of that runbook: someone else must decide {code}. Asked: {}.",
        and(asked)
    )
}

/// To somebody who says the opposite of what they have said.
pub fn contradicts(person: &PersonId, code: &Code, now: Answer) -> String {
    let (before, word) = match now {
        Answer::Approve => ("denied", "approve"),
        Answer::Deny => ("approved", "deny"),
    };
    format!(
        "{person}, you have {before} {code}, and that stands. `withdraw {code}` takes it back; then `{word} {code}`."
    )
}

/// To somebody who agreed in an earlier stage.
pub fn counted_before(person: &PersonId, code: &Code, stage: u32, asked: &[PersonId]) -> String {
    let stage = u64::from(stage) + 1;
    format!(
        "{person}, you have answered {code} in stage {stage}: this stage needs somebody else. Asked: {}.",
        and(asked)
    )
}

/// To somebody whose right somebody else has used, or who would use the right of one who has.
pub fn right_used(person: &PersonId, code: &Code, by: &PersonId) -> String {
    format!("{person}, {by} has answered {code} by the same right: it counts once.")
}

/// To an answer without the reason that the policy wants.
pub fn reason_needed(code: &Code, answer: Answer) -> String {
    let word = match answer {
        Answer::Approve => "approve",
        Answer::Deny => "deny",
    };
    format!("{code} wants a reason: `{word} {code} because …`. Nothing has been decided.")
}

/// Somebody has taken their answer back.
pub fn answer_taken_back(person: &PersonId, code: &Code) -> String {
    format!("{person}, your answer to {code} is taken back: it counts no longer. {code} still waits.")
}

/// A denial counted, and so many do not end the request yet.
pub fn denial_counted(person: &PersonId, code: &Code, (said, of): (u32, u32)) -> String {
    format!("{person}, your no to {code} counts: {said} of {of} that end it. It still waits.")
}

/// To `revoke` of something that is not approved and waiting to begin.
pub fn nothing_to_revoke(code: &Code, state: &RequestState, run: RunId) -> String {
    match state {
        RequestState::Granted => format!("Run {run} of {code} has begun: `stop run {run}` ends it."),
        RequestState::Pending { .. } => {
            format!("{code} is not approved yet. `deny {code}` refuses it; `withdraw {code}` takes your answer back.")
        }
        RequestState::Denied { .. }
        | RequestState::Expired
        | RequestState::Withdrawn { .. }
        | RequestState::ChangesRequested { .. }
        | RequestState::Superseded { .. } => format!("{code} is not approved: there is nothing to revoke."),
    }
}

/// To `revoke` where nothing was asked.
pub fn nothing_is_approved() -> String {
    "Nothing was approved here. Name it: `revoke 7K3F`.".to_owned()
}

/// To `revoke` by somebody who is not asked.
pub fn may_not_revoke(person: &PersonId, code: &Code, who: &[PersonId]) -> String {
    format!("{person}, {code} is not yours to revoke. {} may. `stop` ends a run.", or_nobody(who))
}

/// To `revoke` that comes when somebody else has ended the run before it began.
pub fn ended_before(code: &Code, run: RunId, by: &PersonId) -> String {
    format!("{by} has ended run {run} of {code} already, before anything of it began: there is nothing to revoke.")
}

/// To `revoke` that comes when the run has begun.
pub fn begun_already(code: &Code, run: RunId, state: &RunState) -> String {
    match state {
        RunState::Running | RunState::Stuck(_) | RunState::Stopping { .. } | RunState::Approved => {
            format!("Too late: run {run} of {code} has begun. `stop run {run}` ends it.")
        }
        RunState::Planned
        | RunState::AwaitingApproval
        | RunState::Succeeded
        | RunState::Failed(_)
        | RunState::Stopped { .. }
        | RunState::Denied { .. }
        | RunState::Expired
        | RunState::Withdrawn { .. } => format!("Run {run} of {code} is over: there is nothing to revoke."),
    }
}

/// To a decision that comes before the whole request stands in the thread.
pub fn not_posted(code: &Code) -> String {
    format!("Not all of {code} has been posted yet. Read it, then say it again.")
}

/// To a word without a code that was said before the request that now waits could be read.
pub fn said_before(word: &str, code: &Code) -> String {
    format!("{code} was asked only after you said that, so it is not meant. Read it, then say `{word} {code}`.")
}

/// To an asked person's near-yes: privately.
pub fn near_yes(code: Option<&Code>) -> String {
    match code {
        None => "Not approved yet. Send `approved` or `deny because …`.".to_owned(),
        Some(code) => format!("Not approved yet. Send `approve {code}` or `deny {code} because …`."),
    }
}

/// To an asked person's near-no: privately.
pub fn near_no(code: Option<&Code>) -> String {
    match code {
        None => "Not denied yet. Send `deny because …` or `approved`.".to_owned(),
        Some(code) => format!("Not denied yet. Send `deny {code} because …` or `approve {code}`."),
    }
}

/// To somebody who is asked and takes back an answer that does not stand.
pub fn nothing_of_yours(person: &PersonId, code: &Code) -> String {
    format!(
        "{person}, no answer of yours to {code} stands that could be taken back. `approve {code}` or `deny {code} because …` \
         gives one."
    )
}

/// To somebody who withdraws what they did not ask.
pub fn not_yours_to_withdraw(code: &Code, requesters: &[PersonId]) -> String {
    format!("Only {} can withdraw {code}. Who is asked can `deny because …`.", or(requesters))
}

/// To a command about runs where none is open.
pub fn no_open_run(what: &str) -> String {
    format!("Nothing here to {what}. Name the run: `{what} run 12`.")
}

/// To a command about a run that nobody knows.
pub fn no_such_run(run: RunId) -> String {
    format!("There is no run {run} in this room.")
}

/// To a command that could mean several runs.
pub fn which_run(what: &str, runs: &[(RunId, String)]) -> String {
    let list: Vec<String> = runs.iter().map(|(run, deed)| format!("`{what} run {run}` ({})", visible(deed))).collect();
    format!("{} runs are open here. Say which: {}.", runs.len(), list.join(" or "))
}

/// To `stop` of somebody who may not.
pub fn may_not_stop(person: &PersonId, run: RunId, who: &[PersonId]) -> String {
    format!("{person}, you may not stop run {run}. {} may.", or_nobody(who))
}

/// To `stop` of a run that is over.
pub fn over_already(run: RunId, state: &RunState) -> String {
    format!("Run {run} is {} already. Nothing was changed.", state_words(state))
}

/// To `judge`, `skip` or `retry` of a run that is not stuck.
pub fn not_stuck(run: RunId, state: &RunState) -> String {
    format!("Run {run} is {}, not stuck: there is nothing to judge, skip or retry.", state_words(state))
}

/// To `judge` or `skip` where it is known what became of the step.
pub fn nothing_unknown(run: RunId, step: u32) -> String {
    format!(
        "It is known what became of step {step} of run {run}: there is nothing to judge or skip. `retry run {run}` asks for \
         another attempt, `stop run {run}` ends it."
    )
}

/// To somebody who judges their own run.
pub fn own_judgement(person: &PersonId, who: &[PersonId]) -> String {
    format!("{person}, it is your own run: someone else must judge. {} may.", or_nobody(who))
}

/// To `retry`, `judge` or `skip` while one of them is asked for.
pub fn asked_already(code: &Code, deed: &str) -> String {
    format!("It is asked for already to {deed}, {code}. `requests` lists what waits in this room.")
}

/// To `requests` in direct messages, when there are more than are listed.
pub fn more_requests(more: usize) -> String {
    format!("and {more} more: `requests` in their rooms lists them.")
}

/// To `requests` in direct messages, when there is nothing.
pub fn no_requests_anywhere() -> String {
    "Nothing that you may see waits for approval.".to_owned()
}

/// A request that waits, in a list.
#[derive(Debug, Clone)]
pub struct WaitingLine {
    /// Its code.
    pub code: Code,
    /// Who asks.
    pub requester: PersonId,
    /// What.
    pub deed: String,
    /// Until when.
    pub until: String,
    /// Who could answer now.
    pub asked: Vec<PersonId>,
    /// How far it has come: [`progress`].
    pub progress: Option<String>,
}

/// How far a request has come, where more than one answer is wanted: `stage 2 of 2, 1 of 2 agreed`.
pub fn progress(tally: &Tally, stages: usize) -> Option<String> {
    let Tally::Waiting { stage, agreed, of, needed } = *tally else { return None };
    let stage = (stages > 1).then(|| format!("stage {} of {stages}", u64::from(stage) + 1));
    let agreed = (of > 1 || needed).then(|| format!("{agreed} of {of} agreed"));
    let needed = needed.then(|| "somebody whom it needs in particular has yet to agree".to_owned());
    let parts: Vec<String> = stage.into_iter().chain(agreed).chain(needed).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// To `requests`.
pub fn requests(waiting: &[WaitingLine]) -> String {
    if waiting.is_empty() {
        return "Nothing waits for approval in this room.".to_owned();
    }
    let line = |one: &WaitingLine| {
        let WaitingLine { code, requester, deed, until, asked, progress } = one;
        let progress = progress.as_ref().map(|progress| format!(" · {progress}")).unwrap_or_default();
        format!("{code}  {requester} asks: {} · until {until} · asked of {}{progress}", visible(deed), and(asked))
    };
    waiting.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// To `show`: a run, the request that waits for it, its plan and where each step stands.
pub fn show_run(
    run: RunId,
    plan: &Plan,
    state: &RunState,
    waiting: &[WaitingLine],
    attempts: &[String],
    digest: &str,
) -> String {
    let mut lines =
        vec![format!("{} · run {run}: {} · {}", environment(plan), visible(&plan.deed), state_words(state))];
    if !waiting.is_empty() {
        lines.push(requests(waiting));
    }
    lines.extend(steps(plan));
    lines.extend(attempts.iter().cloned());
    lines.push(format!("Plan {digest}"));
    lines.join("\n")
}

/// A run's state in words.
pub fn state_words(state: &RunState) -> String {
    match state {
        RunState::Planned => "about to start".to_owned(),
        RunState::AwaitingApproval => "waiting for approval".to_owned(),
        RunState::Approved => "approved, about to go on".to_owned(),
        RunState::Running => "running".to_owned(),
        RunState::Stuck(snag) => format!("stuck at step {}: {}", snag.step, visible(&snag.why)),
        RunState::Stopping { by } => format!("being stopped by {by}"),
        RunState::Succeeded => "done".to_owned(),
        RunState::Failed(snag) => format!("failed at step {}: {}", snag.step, visible(&snag.why)),
        RunState::Stopped { by } => format!("stopped by {by}"),
        RunState::Denied { by, .. } => format!("denied by {by}"),
        RunState::Expired => "expired".to_owned(),
        RunState::Withdrawn { by } => format!("withdrawn by {by}"),
    }
}

/// To a line that could not be dealt with because something of ours broke.
pub fn broken() -> String {
    "That did not work, and it is my fault: the operator's log says why. Nothing was done.".to_owned()
}

/// When something was said or asked.
pub fn since(times: &Times, moment: DateTime<Utc>, now: DateTime<Utc>) -> String {
    times.at(moment, now)
}

/// `boss or lin`, at the beginning of a sentence: names of people are never changed for standing there.
pub(super) fn or_nobody(people: &[PersonId]) -> String {
    if people.is_empty() { "Nobody".to_owned() } else { or(people) }
}

pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::model::id::GroupName;

    #[test]
    fn a_group_that_cannot_be_seen_is_told_with_its_reason() {
        let now: DateTime<Utc> = "2026-11-21T22:03:00Z".parse().expect("a time");
        let name = GroupName::new("managers");
        let user_group = "slack:T0ACME:S0MANAGERS".parse().expect("a user group");
        let ago = |seconds| Some(now - TimeDelta::seconds(seconds));
        let said = [
            Blind::NotAsked,
            Blind::Gone,
            Blind::Silent { last: None, why: Some("the connection failed".to_owned()) },
            Blind::Silent { last: ago(360), why: None },
            Blind::Silent { last: ago(3_700), why: Some("missing_scope: the app lacks a right".to_owned()) },
        ]
        .map(|blind| unseen(&[Unseen { name: &name, user_group: &user_group, blind: &blind }], now));
        insta::assert_snapshot!(said.join("\n"), @"
         I cannot see who is in managers just now: Slack has not been asked yet. Say it again in a moment.
         I cannot see who is in managers just now: Slack has no user group S0MANAGERS in use. Ask an operator to correct people.yaml.
         I cannot see who is in managers just now: Slack has not told it yet (the connection failed). Ask an operator.
         I cannot see who is in managers just now: Slack has not answered for 6 min. Ask an operator.
         I cannot see who is in managers just now: Slack has not told it for 1 h 1 min (missing_scope: the app lacks a right). Ask an operator.
        ");
        assert_eq!(unseen(&[], now), "");
    }
}

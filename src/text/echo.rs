//! Echoes: what the room reads of a run, told from the ledger's events alone.
//!
//! The progress message is one message that is changed: the approval's receipt, then a line for each attempt. New
//! messages are only for outcomes and for what needs a person.

use super::answered::Answered;
use super::plan::{and, argv, environment, or};
use super::time::lasted;
use super::visible::visible;
use crate::model::approval::Because;
use crate::model::chat::{RoomAddress, UserGroup};
use crate::model::code::Code;
use crate::model::event::{CheckResult, Event, Happened, Health};
use crate::model::event::{Revoked, WhoAsked};
use crate::model::id::{Digest, GroupName, PersonId, Position, RoomName, RunId};
use crate::model::plan::{Action, Plan, PlanCheck};
use crate::model::request::{Freeing, Wanted};
use crate::model::run::{Outcome, Verdict};

/// A place in the ledger, for eyes: position and the first twelve characters of its hash.
pub fn head(position: Position, hash: Digest) -> String {
    format!("Ledger {position} · {}", hash.short())
}

/// How many characters of a command line a line of progress shows; the whole of it stands in the plan.
const SHOWN_OF_COMMAND: usize = 120;

/// The progress message of a run, from its events since what was wanted was granted, and from the answers to that: at most so
/// many characters. When there are more lines than fit, the newest are shown, and how many are not.
pub fn progress(
    plan: &Plan,
    events: &[Event],
    answered: &Answered<'_>,
    wanted: &Wanted,
    later: Option<&str>,
    limit: usize,
) -> String {
    // Of a run that starts later `later` says when.
    let mut header = None;
    // One line for each attempt, in the order started; changed in place.
    let mut lines: Vec<((u32, u32), String)> = Vec::new();
    let mut ended = std::collections::BTreeSet::new();
    let set = |lines: &mut Vec<((u32, u32), String)>, key: (u32, u32), line: String| match lines
        .iter_mut()
        .find(|(at, _)| *at == key)
    {
        Some((_, old)) => *old = line,
        None => lines.push((key, line)),
    };
    for event in events {
        let Some(record) = &event.record else { continue };
        match &record.what {
            Happened::RequestGranted { automatic: Some(trigger), .. } => {
                let place = event.position.zip(event.hash).map(|(position, hash)| head(position, hash));
                header = Some(super::automation::recovering(&plan.deed, trigger, &place.unwrap_or_default()));
            }
            Happened::RequestGranted { code, by, under: Some(under), .. } => {
                let place = event.position.zip(event.hash).map(|(position, hash)| head(position, hash));
                let place = place.unwrap_or_default();
                header = Some(super::repeat::header(plan, code, &under.code, under.number, under.of, &and(by), &place));
            }
            Happened::RequestGranted { code, unasked: Some(started), .. } => {
                let place = event.position.zip(event.hash).map(|(position, hash)| head(position, hash));
                header = Some(super::repeat::unasked_header(plan, code, started, &place.unwrap_or_default()));
            }
            Happened::RequestGranted { code, broken: Some(by), .. } => {
                let place = event.position.zip(event.hash).map(|(position, hash)| head(position, hash));
                let then = later.map_or_else(String::new, |later| format!(" {later}"));
                let starts = if later.is_some() { "Nobody has to agree." } else { "Starting without agreement." };
                header = Some(format!(
                    "{by} broke the glass for {} ({code}). {starts}{then} {}",
                    visible(&plan.deed),
                    place.unwrap_or_default()
                ));
            }
            Happened::RequestGranted { code, by, run, .. } => {
                let place = event.position.zip(event.hash).map(|(position, hash)| head(position, hash));
                let place = place.unwrap_or_default();
                let (who, against) = (answered.by(by), answered.against());
                header = Some(match wanted {
                    Wanted::Start | Wanted::Retry { .. } => {
                        let then = later.filter(|_| *wanted == Wanted::Start).unwrap_or("Starting.");
                        format!("{who} approved {} ({code}).{against} {then} {place}", visible(&plan.deed))
                    }
                    Wanted::Free { wish, .. } => {
                        let then = match wish.what {
                            Freeing::Skip | Freeing::JudgeWorked => "The run goes on.",
                            Freeing::JudgeFailed => "The run ends there.",
                        };
                        let deed = super::plan::asked_deed(plan, *run, wanted);
                        format!("{who} approved to {deed} ({code}).{against} {then} {place}")
                    }
                });
            }
            Happened::AttemptStarted { step, number, .. } => {
                set(&mut lines, (*step, *number), attempt_line(plan, *step, *number, "started", ""));
            }
            // What was on its way when the attempt ended comes too late.
            Happened::AttemptProgress { step, number, .. } if ended.contains(&(*step, *number)) => {}
            Happened::AttemptProgress { step, number, line, .. } => {
                set(&mut lines, (*step, *number), attempt_line(plan, *step, *number, "running", &visible(line)));
            }
            Happened::AttemptEnded { step, number, outcome, millis, summary, checks, .. } => {
                ended.insert((*step, *number));
                let (word, said) = match outcome {
                    Outcome::Succeeded => ("done", short(checks, summary)),
                    Outcome::Failed => ("failed", short(checks, summary)),
                    Outcome::TimedOut => ("timeout", visible(summary)),
                };
                let took = lasted(*millis);
                // A timeout says itself how long it took.
                let said = match outcome {
                    Outcome::TimedOut => said,
                    _ if said.is_empty() => took,
                    _ => format!("{took}   {said}"),
                };
                set(&mut lines, (*step, *number), attempt_line(plan, *step, *number, word, &said));
            }
            Happened::AttemptLost { step, number, why, .. } => {
                ended.insert((*step, *number));
                set(&mut lines, (*step, *number), attempt_line(plan, *step, *number, "unknown", &visible(why)));
            }
            Happened::AttemptJudged { step, number, by, verdict, why, .. } => {
                let verdict = match verdict {
                    Verdict::Worked => "worked",
                    Verdict::Failed => "did not work",
                };
                let said = format!("{by} judged that it {verdict}: {}", visible(why));
                set(&mut lines, (*step, *number), attempt_line(plan, *step, *number, "judged", &said));
            }
            Happened::AttemptSkipped { step, number, by, why, .. } => {
                let said = format!("left out, as {by} wanted: {}", visible(why));
                set(&mut lines, (*step, *number), attempt_line(plan, *step, *number, "skipped", &said));
            }
            _ => {}
        }
    }
    let header = header.unwrap_or_default();
    // Room for the header and for the line that says what is not shown.
    let mut room = limit.saturating_sub(header.chars().count() + 40);
    let mut shown: Vec<String> = Vec::new();
    for (_, line) in lines.iter().rev() {
        let length = line.chars().count() + 1;
        if length > room {
            break;
        }
        room -= length;
        shown.push(line.clone());
    }
    let hidden = lines.len() - shown.len();
    let hidden = (hidden > 0).then(|| format!("({hidden} earlier: `show run` lists all)"));
    let header = (!header.is_empty()).then_some(header);
    header.into_iter().chain(hidden).chain(shown.into_iter().rev()).collect::<Vec<_>>().join("\n")
}

/// The beginning of a text, with a mark when it goes on.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

fn attempt_line(plan: &Plan, step: u32, number: u32, word: &str, said: &str) -> String {
    let planned = usize::try_from(step).ok().and_then(|step| plan.steps.get(step.checked_sub(1)?));
    let what = match planned.map(|step| &step.action) {
        Some(Action::Run(exec)) => format!("run    {}", shortened(&argv(&exec.argv), SHOWN_OF_COMMAND)),
        Some(Action::Check { checks, .. }) => {
            let names: Vec<String> = checks.iter().map(|check| check.service.to_string()).collect();
            format!("check  {}", shortened(&names.join(", "), SHOWN_OF_COMMAND))
        }
        Some(Action::Http(ask)) => format!("http   {} {}", ask.method, shortened(&visible(&ask.url), SHOWN_OF_COMMAND)),
        Some(Action::Tcp(ask)) => format!("tcp    {}", shortened(&visible(&ask.address), SHOWN_OF_COMMAND)),
        Some(Action::Wait { ms }) => format!("wait   {}", lasted(*ms)),
        None => String::new(),
    };
    let again = if number > 1 { format!(" (attempt {number})") } else { String::new() };
    format!("{step} {word:<7} {what}{again}   {said}").trim_end().to_owned()
}

fn short(checks: &[CheckResult], summary: &str) -> String {
    if checks.is_empty() {
        return visible(summary);
    }
    checks.iter().map(|check| visible(&check.detail)).collect::<Vec<_>>().join("; ")
}

/// What one check found, in a sentence: `Service B is running.`
pub fn finding(title: &str, result: &CheckResult) -> String {
    let title = visible(title);
    let detail = visible(&result.detail);
    let running = result.check.as_str() == "running";
    match (result.health, running) {
        (Health::Ok, true) => format!("{title} is running."),
        (Health::Ok, false) => format!("{title}: {} is ok.", result.check),
        (Health::Critical, true) => format!("{title} is not running ({detail})."),
        (Health::Critical, false) => format!("{title}: {} is critical ({detail}).", result.check),
        (Health::Warning, _) => format!("{title}: {} warns ({detail}).", result.check),
        (Health::Unknown, _) => format!("{title}: nobody knows, {} could not be asked ({detail}).", result.check),
    }
}

fn title<'a>(checks: &'a [PlanCheck], result: &'a CheckResult) -> &'a str {
    checks
        .iter()
        .find(|check| check.service == result.service)
        .map_or(result.service.as_str(), |check| check.service_title.as_str())
}

fn planned_checks(plan: &Plan) -> Vec<PlanCheck> {
    let of_step = |action: &Action| match action {
        Action::Check { checks, .. } => checks.clone(),
        Action::Run(_) | Action::Http(_) | Action::Tcp(_) | Action::Wait { .. } => Vec::new(),
    };
    plan.steps.iter().flat_map(|step| of_step(&step.action)).collect()
}

/// The last word of every check of a run, in the order asked.
fn results(events: &[Event]) -> Vec<CheckResult> {
    let mut last: Vec<CheckResult> = Vec::new();
    for event in events {
        let Some(record) = &event.record else { continue };
        let Happened::AttemptEnded { checks, .. } = &record.what else { continue };
        for check in checks {
            last.retain(|known| (&known.service, &known.check) != (&check.service, &check.check));
            last.push(check.clone());
        }
    }
    last
}

/// The answer to `is SERVICE running`: what, as of when, by which check.
pub fn is_answer(plan: &Plan, events: &[Event], at: &str) -> String {
    let checks = planned_checks(plan);
    let results = results(events);
    if results.is_empty() {
        return format!("{}: nobody knows, no check could be asked.", visible(&plan.deed));
    }
    let said: Vec<String> = results
        .iter()
        .map(|result| {
            let sentence = finding(title(&checks, result), result);
            let detail =
                if result.health == Health::Ok { format!(": {}", visible(&result.detail)) } else { String::new() };
            format!("{sentence} Checked at {at} by `{}`{detail}.", result.check)
        })
        .collect();
    said.join("\n")
}

/// The outcome of a run that only asked checks: each finding, then what that makes of the system.
pub fn health(plan: &Plan, events: &[Event], at: &str) -> String {
    let checks = planned_checks(plan);
    let results = results(events);
    let findings: Vec<String> = results.iter().map(|result| finding(title(&checks, result), result)).collect();
    let worst = results.iter().map(|result| result.health).max().unwrap_or(Health::Unknown);
    let system = visible(&plan.system_title);
    let whole = plan.targets.iter().any(|target| target == plan.system.as_str());
    let mut said = findings;
    if whole {
        said.push(match worst {
            Health::Ok => format!("{system} is healthy."),
            Health::Warning => format!("{system} works with warnings."),
            Health::Critical => format!("{system} is not healthy."),
            Health::Unknown => format!("{system}: health unknown."),
        });
    }
    said.push(format!("Checked at {at}."));
    said.join(" ")
}

/// A run is done.
pub fn succeeded(plan: &Plan, requester: &PersonId, millis: u64, place: &str) -> String {
    format!("{requester}: {} is done. {}. {place}", visible(&plan.deed), lasted(millis))
}

/// A run has failed.
pub fn failed(plan: &Plan, requester: &PersonId, step: u32, why: &str, place: &str) -> String {
    let name = step_name(plan, step);
    let after = plan.steps.len().saturating_sub(usize::try_from(step).unwrap_or(usize::MAX));
    let after = match after {
        0 => String::new(),
        1 => " Step after it: not started.".to_owned(),
        count => format!(" {count} steps after it: not started."),
    };
    format!(
        "{} · {requester}: {} failed at step {step}{name}: {}.{after} `again` asks anew. {place}",
        environment(plan),
        visible(&plan.deed),
        sentence(&visible(why)),
    )
}

/// A run has failed because its stored plan was changed: nothing of that plan is repeated.
pub fn failed_without_plan(run: RunId, requester: &PersonId, step: u32, why: &str, place: &str) -> String {
    format!("{requester}: run {run} failed at step {step}: {}. Nothing more of it was started. {place}", visible(why))
}

/// A run whose stored plan was changed has been stopped.
pub fn stopped_without_plan(run: RunId, by: &PersonId, place: &str) -> String {
    format!("{by} stopped run {run}. Its stored plan was changed, so its steps are not listed. {place}")
}

/// A run is stuck.
pub fn stuck(
    plan: &Plan,
    run: RunId,
    requester: &PersonId,
    step: u32,
    why: &str,
    who: &[PersonId],
    place: &str,
) -> String {
    let name = step_name(plan, step);
    format!(
        "{} · run {run} ({}) is stuck at step {step}{name}: {}. Nothing more of it starts.\n\
         {}: look, then `judge worked because …`, `judge failed because …` or `skip because …`. {requester} or you: `retry` \
         asks for approval of another attempt, `stop` ends it. {place}",
        environment(plan),
        visible(&plan.deed),
        sentence(&visible(why)),
        or(who),
    )
}

/// A run is being stopped while a step runs.
pub fn stopping(plan: &Plan, by: &PersonId) -> String {
    format!("{by} stops {}: ending the step that runs.", visible(&plan.deed))
}

/// A run was stopped.
pub fn stopped(
    plan: &Plan,
    by: &PersonId,
    done: &[u32],
    unknown: &[u32],
    skipped: &[u32],
    not_started: &[u32],
    place: &str,
) -> String {
    let list = |steps: &[u32]| {
        if steps.is_empty() {
            "none".to_owned()
        } else {
            steps.iter().map(|step| format!("{step}{}", step_name(plan, *step))).collect::<Vec<_>>().join(", ")
        }
    };
    let skipped = if skipped.is_empty() { String::new() } else { format!(" Left out: {}.", list(skipped)) };
    format!(
        "{by} stopped {}. Done: {}. Unknown: {}.{skipped} Not started: {}. {place}",
        visible(&plan.deed),
        list(done),
        list(unknown),
        list(not_started)
    )
}

/// A request was denied.
pub fn denied(plan: &Plan, requester: &PersonId, code: &Code, by: &PersonId, why: Option<&str>, place: &str) -> String {
    let why = why.map(|why| format!(": {}", sentence(&visible(why)))).unwrap_or_default();
    format!("{requester}: {by} denied {} ({code}){why}. Nothing was done. {place}", visible(&plan.deed))
}

/// A request expired.
pub fn expired(plan: &Plan, requester: &PersonId, code: &Code, at: &str, place: &str) -> String {
    format!(
        "{requester}: {code} expired at {at}, nobody decided. {}: nothing was done. `again` asks anew. {place}",
        visible(&plan.deed)
    )
}

/// A request about a stuck step came to nothing: the run is as stuck as before, or was freed otherwise.
pub fn retry_ended(plan: &Plan, code: &Code, run: RunId, wanted: &Wanted, how: &str) -> String {
    match wanted {
        Wanted::Start | Wanted::Free { .. } => {
            format!("The request to {} ({code}) {how}.", super::plan::asked_deed(plan, run, wanted))
        }
        Wanted::Retry { step } => {
            format!("The request to retry step {step} of {} ({code}) {how}.", visible(&plan.deed))
        }
    }
}

/// A request was withdrawn.
pub fn withdrawn(plan: &Plan, code: &Code, by: &PersonId) -> String {
    format!("{by} withdrew {} ({code}). Nothing was done.", visible(&plan.deed))
}

/// A request was sent back to whoever asked.
pub fn sent_back(plan: &Plan, requester: &PersonId, code: &Code, by: &PersonId, why: &str) -> String {
    format!(
        "{requester}: {by} sent {} ({code}) back: {}. Nothing was done. Ask again with that changed.",
        visible(&plan.deed),
        sentence(&visible(why))
    )
}

/// A request made way for a newer one.
pub fn superseded(plan: &Plan, code: &Code, by: &PersonId, newer: &Code) -> String {
    format!(
        "{by} asked again: {newer} has taken the place of {code} ({}). What was answered to {code} does \
         not count for {newer}.",
        visible(&plan.deed)
    )
}

/// An approval was taken away before anything had begun.
pub fn revoked(plan: &Plan, by: &PersonId, revoked: &Revoked, place: &str) -> String {
    let why = revoked.why.as_deref().map(|why| format!(": {}", sentence(&visible(why)))).unwrap_or_default();
    let code = &revoked.code;
    format!("{by} revoked the approval of {} ({code}){why}. Nothing was done. {place}", visible(&plan.deed))
}

/// A stage of a request is complete, and the next begins; `asked` are those who could answer there.
pub fn next_stage(
    plan: &Plan,
    code: &Code,
    stage: u32,
    stages: usize,
    by: &[String],
    asked: &[WhoAsked],
    until: &str,
) -> String {
    let agreed = format!("{code}: stage {stage} of {stages} agreed ({}).", and(by));
    if asked.is_empty() {
        return format!("{agreed} Nobody is asked now who could answer in the next. It waits until {until}.");
    }
    format!(
        "{agreed} {}: `approve {code}` or `deny {code} because …`, until {until}. It is {}, as shown above.",
        or(&named_once(asked)),
        visible(&plan.deed)
    )
}

/// People who are asked, each once: in their own name, or else with those for whom they may answer.
fn named_once(asked: &[WhoAsked]) -> Vec<String> {
    let mut names: Vec<(&PersonId, Option<Vec<&PersonId>>)> = Vec::new();
    for one in asked {
        let giver = Some(one.holder()).filter(|holder| **holder != one.person);
        match (names.iter_mut().find(|(person, _)| *person == &one.person), giver) {
            (Some((_, givers)), None) => *givers = None,
            (Some((_, Some(givers))), Some(giver)) => givers.push(giver),
            (Some((_, None)), Some(_)) => {}
            (None, giver) => names.push((&one.person, giver.map(|giver| vec![giver]))),
        }
    }
    let name = |(person, givers): (&PersonId, Option<Vec<&PersonId>>)| match givers {
        None => person.to_string(),
        Some(givers) => format!("{person} (for {})", or(&givers)),
    };
    names.into_iter().map(name).collect()
}

/// People are asked as well, and why.
pub fn also_asked(code: &Code, people: &[WhoAsked], until: &str) -> String {
    let who: Vec<String> = people
        .iter()
        .map(|asked| match &asked.because {
            Because::Stage | Because::Needed => asked.person.to_string(),
            Because::Escalation(_) => format!("{} (nobody has decided yet)", asked.person),
            Because::Turn => format!("{} (next on call)", asked.person),
            Because::Delegate(giver) => format!("{} (for {giver})", asked.person),
        })
        .collect();
    format!("{code} also asks {}: `approve {code}` or `deny {code} because …`, until {until}.", who.join(", "))
}

/// The catalog would make another plan of what waits.
pub fn differs(plan: &Plan, code: &Code, now: Option<Digest>) -> String {
    let now = match now {
        Some(digest) => format!("it would now be plan {}", digest.short()),
        None => "it could not be planned now".to_owned(),
    };
    format!(
        "The catalog has changed since {code} was asked ({}): {now}. {code} still means exactly what is shown above. To \
         have the new one, `withdraw {code}` and ask again.",
        visible(&plan.deed)
    )
}

/// A changed catalog is in use, and something about it wants somebody's attention.
pub fn catalog_warned(warnings: &[String]) -> String {
    let mut lines = vec!["The changed catalog is loaded, and somebody should look at this:".to_owned()];
    lines.extend(warnings.iter().map(|warning| format!("{}.", visible(warning))));
    lines.join("\n")
}

/// A catalog was not loaded.
pub fn catalog_refused(problems: &[String]) -> String {
    let mut lines = vec!["The catalog was changed and is not loaded; the one before keeps serving:".to_owned()];
    lines.extend(problems.iter().take(10).map(|problem| visible(problem)));
    if problems.len() > 10 {
        lines.push(format!("and {} more: `countersign validate` lists all.", problems.len() - 10));
    }
    lines.join("\n")
}

/// A room that none of the workspaces has to which the bot speaks.
pub fn unserved(name: &RoomName, address: &RoomAddress) -> String {
    let what = if address.platform == "local" {
        "the trial's own room is closed once there is a chat workspace".to_owned()
    } else {
        let (platform, workspace) = (visible(&address.platform), visible(&address.workspace));
        format!("the settings name no workspace {platform}:{workspace}")
    };
    format!("The room {} is at {}, and {what}.", visible(name.as_str()), visible(&address.to_string()))
}

/// A group that is kept in none of the workspaces to which the bot speaks.
pub fn unserved_group(name: &GroupName, user_group: &UserGroup) -> String {
    let (platform, workspace) = (visible(&user_group.platform), visible(&user_group.workspace));
    format!(
        "The group {} is {}, and the settings name no workspace {platform}:{workspace}.",
        visible(name.as_str()),
        visible(&user_group.to_string())
    )
}

/// A catalog was loaded after one was refused.
pub fn catalog_loaded(runbooks: usize) -> String {
    let count = if runbooks == 1 { "1 runbook".to_owned() } else { format!("{runbooks} runbooks") };
    format!("The catalog is loaded again: {count}.")
}

/// The first line of a message that holds several, because the room was behind; they follow.
pub fn at_once(count: usize) -> String {
    format!("{count} messages at once, as I was behind:")
}

/// ` (Verify)`, to stand after a step's number.
pub(super) fn step_name(plan: &Plan, step: u32) -> String {
    usize::try_from(step)
        .ok()
        .and_then(|step| plan.steps.get(step.checked_sub(1)?))
        .map(|step| format!(" ({})", visible(&step.name)))
        .unwrap_or_default()
}

/// Without a full stop at its end, for the sentence around it brings one.
pub(super) fn sentence(text: &str) -> String {
    text.trim_end_matches('.').to_owned()
}

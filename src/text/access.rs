//! What is said of a change of who may do what: its lines, who may countersign it, what came of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::plan::{and, or};
use super::time::Times;
use super::visible::visible;
use crate::model::access::{
    Change, Effect, Members, PolicyThen, Right, RunbookThen, StageThen, SystemThen, Then, VersionState, What,
};
use crate::model::catalog::{StaleAuthor, Subject};
use crate::model::code::Code;
use crate::model::id::{PersonId, PolicyName, RunbookName, TriggerName};
use crate::model::policy::Relaxed;

/// The right as people call it.
fn right(right: Right) -> &'static str {
    match right {
        Right::Run => "ask for runbooks on",
        Right::See => "look at",
        Right::Unstick => "judge, retry and stop what is stuck on",
        Right::Resolve => "resolve incidents of",
        Right::Pause => "pause automation on",
        Right::Invited => "be invited to incidents of",
        Right::Observes => "follow incidents of",
    }
}

fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Person(person) => visible(person.as_str()),
        Subject::Group(group) => format!("group {}", visible(group.as_str())),
        Subject::Rota(rota) => format!("rota {}", visible(rota.as_str())),
        Subject::Accountable => "whoever is accountable".to_owned(),
    }
}

fn members(members: &Members) -> String {
    match members {
        Members::Listed(people) if people.is_empty() => "nobody".to_owned(),
        Members::Listed(people) => and(&people.iter().cloned().collect::<Vec<_>>()),
        Members::Of(user_group) => format!("whoever is in {}", visible(&user_group.to_string())),
    }
}

fn policy(policy: Option<&PolicyName>) -> String {
    policy.map_or_else(|| "nobody's agreement".to_owned(), |policy| format!("policy {}", visible(policy.as_str())))
}

/// Who starts a runbook.
fn starts(trigger: Option<&TriggerName>, runbook: &RunbookName) -> String {
    match trigger {
        Some(trigger) => format!("trigger {trigger} starts {runbook}"),
        None => format!("people whom a policy names start {runbook}"),
    }
}

fn listed(of: &BTreeSet<impl ToString>) -> String {
    match of.is_empty() {
        true => "any system".to_owned(),
        false => of.iter().map(|name| visible(&name.to_string())).collect::<Vec<_>>().join(", "),
    }
}

/// The lines of a text, each behind a word. Never cut: what is countersigned is what was shown.
fn quoted(word: &str, lines: &[String]) -> Vec<String> {
    let said = lines.iter().filter(|line| !line.trim().is_empty());
    said.map(|line| format!("    {word} {}", visible(line))).collect()
}

/// One difference: what it does, then what it is. A changed policy has its lines below it.
pub fn change(change: &Change) -> String {
    let word = match change.effect {
        Effect::Gives => "gives",
        Effect::Takes => "takes",
        Effect::Other => "alters",
    };
    let mut below = Vec::new();
    let what = match &change.what {
        What::PersonCame { person, accounts } => {
            let accounts: Vec<String> = accounts.iter().map(|account| visible(&account.to_string())).collect();
            format!("{person} is known, by {}", accounts.join(" and "))
        }
        What::PersonLeft { person } => format!("{person} is known no more"),
        What::AccountCame { person, account } => format!("{} is {person}", visible(&account.to_string())),
        What::AccountLeft { person, account } => format!("{} is {person} no more", visible(&account.to_string())),
        What::ReportsTo { person, was, now } => {
            let name =
                |person: &Option<PersonId>| person.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
            format!("{person} reports to {} instead of {}", name(now), name(was))
        }
        What::GroupCame { group, members: of } => format!("there is a group {group}: {}", members(of)),
        What::GroupLeft { group } => format!("there is no group {group} any more"),
        What::GroupKept { group, was, now } => {
            format!("in group {group} is {} instead of {}", members(now), members(was))
        }
        What::MemberCame { group, person } => format!("{person} is in group {group}"),
        What::MemberLeft { group, person } => format!("{person} is in group {group} no more"),
        What::RotaCame { rota, people } => format!("there is a rota {rota}: {}", and(people)),
        What::RotaLeft { rota } => format!("there is no rota {rota} any more"),
        What::RotaMemberCame { rota, person } => format!("{person} is in rota {rota}"),
        What::RotaMemberLeft { rota, person } => format!("{person} is in rota {rota} no more"),
        What::SystemAccountable { system, was, now } => {
            let name =
                |person: &Option<PersonId>| person.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
            format!("{} answers for {system} instead of {}", name(now), name(was))
        }
        What::RunbookRisk { runbook, was, now } => {
            format!("runbook {runbook} is of {} risk instead of {}", now.name(), was.name())
        }
        What::PolicyCame { policy, text } => {
            below.extend(quoted("with   ", text));
            format!("there is a policy {policy}")
        }
        What::PolicyLeft { policy } => format!("there is no policy {policy} any more"),
        What::PolicyChanged { policy, without, with } => {
            below.extend(quoted("without", without));
            below.extend(quoted("with   ", with));
            format!("policy {policy} says something else")
        }
        What::RunbookCame { runbook, approval, risk, systems } => {
            let risk = risk.map(|risk| format!(" of {} risk", risk.name())).unwrap_or_default();
            let works =
                systems.as_ref().map(|systems| format!("works on {} and ", listed(systems))).unwrap_or_default();
            format!("there is a runbook {runbook}{risk}, which {works}needs {}", policy(approval.as_ref()))
        }
        What::RunbookLeft { runbook } => format!("there is no runbook {runbook} any more"),
        What::RunbookNeeds { runbook, was, now } => {
            format!("runbook {runbook} needs {} instead of {}", policy(now.as_ref()), policy(was.as_ref()))
        }
        What::RunbookActs { runbook } => {
            format!(
                "runbook {runbook} does what nobody has countersigned, and needs nobody's agreement: until countersigned it is \
                 not there"
            )
        }
        What::RunbookMoved { runbook, was, now } => {
            format!("runbook {runbook} works on {} instead of {}", listed(now), listed(was))
        }
        What::UnagreedCame { trigger, runbook, owner } => {
            let owner = owner.as_ref().map(|owner| format!(", and {owner} answers for it")).unwrap_or_default();
            format!("{} without anybody's agreement{owner}", starts(trigger.as_ref(), runbook))
        }
        What::UnagreedChanged { trigger, runbook, runs, fires } => {
            let does = match (trigger, runs, fires) {
                (Some(trigger), true, true) => {
                    format!("trigger {trigger} and runbook {runbook} changed, and the one starts the other")
                }
                (Some(trigger), false, _) => format!("trigger {trigger} changed, and it starts {runbook}"),
                (Some(trigger), true, false) => format!("runbook {runbook} changed, and trigger {trigger} starts it"),
                (None, _, _) => format!("runbook {runbook} changed, and people whom a policy names start it"),
            };
            format!("{does} without anybody's agreement: until countersigned people are asked")
        }
        What::UnagreedLeft { trigger, runbook } => {
            format!("{} without anybody's agreement no more", starts(trigger.as_ref(), runbook))
        }
        What::SystemCame { system, environment, room } => {
            let environment = environment.as_ref().map(|it| format!(" of {}", visible(it))).unwrap_or_default();
            let room = room.as_ref().map(|room| format!(", talked about in {room}")).unwrap_or_default();
            format!("there is a system {system}{environment}{room}")
        }
        What::SystemLeft { system } => format!("there is no system {system} any more"),
        What::SystemEnvironment { system, was, now } => {
            format!("{system} is of {} instead of {}", visible(now), visible(was))
        }
        What::SystemRoom { system, was, now } => format!("{system} is talked about in {now} instead of {was}"),
        What::RightCame { system, right: it, subject: who } => format!("{} may {} {system}", subject(who), right(*it)),
        What::RightLeft { system, right: it, subject: who } => {
            format!("{} is not named any more to {} {system}", subject(who), right(*it))
        }
        What::RoomCame { room, address } => format!("there is a room {room}: {}", visible(&address.to_string())),
        What::RoomLeft { room } => format!("there is no room {room} any more"),
        What::RoomMoved { room, was, now } => {
            let (was, now) = (visible(&was.to_string()), visible(&now.to_string()));
            format!("room {room} is {now} instead of {was}")
        }
        What::KeeperCame { subject: who } => format!("{} countersigns changes like this", subject(who)),
        What::KeeperLeft { subject: who } => format!("{} is not named any more to countersign", subject(who)),
        What::KeepersRoom { was, now } => match (was, now) {
            (_, Some(now)) => format!("changes like this are told in {now}"),
            (Some(_), None) => "nobody is named any more to countersign".to_owned(),
            (None, None) => "nobody is named to countersign".to_owned(),
        },
    };
    below.insert(0, format!("{word}: {what}"));
    below.join("\n")
}

/// All differences, a line each.
pub fn changes(list: &[Change]) -> String {
    list.iter().map(change).collect::<Vec<_>>().join("\n")
}

/// Who may countersign a change, and who not although they are named.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// Whether anybody is named at all.
    pub named: bool,
    /// Who may.
    pub may: &'a BTreeSet<PersonId>,
    /// Who gains by it.
    pub gain: &'a BTreeSet<PersonId>,
    /// Who wrote it.
    pub wrote: &'a BTreeSet<PersonId>,
}

fn people(set: &BTreeSet<PersonId>) -> Vec<PersonId> {
    set.iter().cloned().collect()
}

/// Who may answer, and how.
pub fn asked(code: Code, who: &Who<'_>) -> String {
    let mut said = match (who.may.is_empty(), who.named) {
        (false, _) => {
            format!("`countersign {code}` or `refuse {code} because …` here, {}.", or(&people(who.may)))
        }
        (true, true) => format!("Nobody who is named may countersign it. {}", on_the_host(code)),
        (true, false) => {
            format!("The catalog that is in force names nobody who countersigns. {}", on_the_host(code))
        }
    };
    if !who.wrote.is_empty() {
        said.push_str(&format!(" {} wrote it and does not count.", and(&people(who.wrote))));
    }
    if !who.gain.is_empty() {
        said.push_str(&format!(" {} would gain by it, so somebody else must.", and(&people(who.gain))));
    }
    said
}

fn on_the_host(code: Code) -> String {
    format!("An operator can, on the host: `countersign access accept {code} --as NAME --because REASON`.")
}

/// To the room: what waits, what holds already, who may answer, until when.
pub fn proposed(
    code: Code,
    until: &str,
    waits: &[Change],
    held: &[Change],
    author: &[PersonId],
    who: &Who<'_>,
) -> String {
    let by = if author.is_empty() { String::new() } else { format!(" {} wrote it.", and(author)) };
    let mut lines = vec![format!(
        "{code} · who may do what would change. It waits for a second person until {until}; nothing of it holds yet.{by}"
    )];
    lines.push(changes(waits));
    if !held.is_empty() {
        lines.push("What takes rights away holds already:".to_owned());
        lines.push(changes(held));
    }
    lines.push(asked(code, who));
    lines.join("\n")
}

/// To the room: rights were taken, or what else needs nobody has changed.
pub fn taken(list: &[Change]) -> String {
    format!("Who may do what has changed. Nobody has to countersign it, so it holds at once:\n{}", changes(list))
}

/// To the room: a second person agreed.
pub fn countersigned(code: Code, by: &PersonId, list: &[Change], place: &str) -> String {
    format!("{by} countersigned {code}: it holds from now on. {place}\n{}", changes(list))
}

/// To the room: an operator put it in force alone.
pub fn accepted(code: Code, operator: &str, why: &str, list: &[Change], place: &str) -> String {
    let (operator, why) = (visible(operator), visible(why));
    format!(
        "EXCEPTION: {operator} put {code} in force on the host, without a second person: {why}. {place}\n{}",
        changes(list)
    )
}

/// To the room: it was refused.
pub fn refused(code: Code, by: &PersonId, why: &str) -> String {
    format!(
        "{by} refused {code}: {}. Nothing of it holds. Take it out of the catalog's files, or change them.",
        visible(why)
    )
}

/// To the room: nobody answered.
pub fn expired(code: Code) -> String {
    format!("{code} expired, nobody countersigned it. It is shown anew.")
}

/// To the room: the files say something else.
pub fn superseded(code: Code) -> String {
    format!("{code} waits no more: what the catalog's files or the rights in force say has changed since.")
}

/// A word on a change that nothing knows.
pub fn no_such_code(code: Code) -> String {
    format!(
        "No change of who may do what has the code {code}. `access` shows what waits; a request is `approve {code}`."
    )
}

/// A word on a change that does not wait any more.
pub fn late(code: Code, state: &VersionState) -> String {
    let became = match state {
        VersionState::Proposed => "still waits".to_owned(),
        VersionState::InForce => "is in force already".to_owned(),
        VersionState::Superseded => "waits no more: others came after it".to_owned(),
        VersionState::Refused { by, why } => format!("was refused by {by}: {}", visible(why)),
        VersionState::Expired => "expired".to_owned(),
    };
    format!("{code} {became}. Nothing has changed. `access` shows what waits.")
}

/// A word on a change whose time is over.
pub fn too_late(code: Code, until: &str) -> String {
    format!("{code} expired at {until}. It is shown anew within seconds, under another code.")
}

/// Somebody who is not named.
pub fn not_asked(person: &PersonId, code: Code, who: &Who<'_>) -> String {
    let others = match who.may.is_empty() {
        true => on_the_host(code),
        false => format!("Asked: {}.", or(&people(who.may))),
    };
    format!("{person}, you do not countersign {code}. {others}")
}

/// Somebody who gains by it.
pub fn gains(person: &PersonId, code: Code, who: &Who<'_>) -> String {
    let others = match who.may.is_empty() {
        true => on_the_host(code),
        false => format!("Asked: {}.", or(&people(who.may))),
    };
    format!("{person}, {code} gives you rights: somebody else must countersign it. {others}")
}

/// Somebody who wrote it.
pub fn wrote(person: &PersonId, code: Code, who: &Who<'_>) -> String {
    let others = match who.may.is_empty() {
        true => on_the_host(code),
        false => format!("Asked: {}.", or(&people(who.may))),
    };
    format!("{person}, you wrote {code}: somebody else must countersign it. {others}")
}

/// A word before all of it was posted.
pub fn not_posted(code: Code) -> String {
    format!("{code} has not been posted whole yet. Read it first, then say it again.")
}

/// A trial keeps nothing of this.
pub fn trial() -> &'static str {
    "This is a trial: a change of the catalog holds at once, and nobody countersigns it."
}

/// Where it may be decided.
pub fn elsewhere(room: &str) -> String {
    format!("Changes of who may do what are countersigned in {room}, or in a direct message to me.")
}

/// What is in force.
pub fn standing(since: &str, who: &str, waits: Option<&str>) -> String {
    let waits = waits.unwrap_or("Nothing waits to be countersigned.");
    format!("Who may do what is in force since {since}. Changes are countersigned by {who}.\n{waits}")
}

/// Whoever is named to countersign.
pub fn keepers(named: Option<&BTreeSet<Subject>>) -> String {
    match named {
        Some(named) => named.iter().map(subject).collect::<Vec<_>>().join(" or "),
        None => "nobody: the catalog has no `access:`".to_owned(),
    }
}

/// What waits, in one line.
pub fn waits(code: Code, count: usize, until: &str, who: &Who<'_>) -> String {
    let things = if count == 1 { "1 change waits".to_owned() } else { format!("{count} changes wait") };
    format!("{code} · {things} until {until}. {} `access changes` shows all of it.", asked(code, who))
}

/// What was refused and still stands in the files.
pub fn refused_before(code: Option<Code>) -> String {
    let code = code.map(|code| format!(" {code}")).unwrap_or_default();
    format!("the catalog's files hold a change{code} that was refused: nothing of it holds. SIGHUP shows it anew")
}

/// To the operator: the first time.
pub fn began(people: usize, runbooks: usize) -> String {
    format!(
        "who may do what is kept from now on, as the catalog stands: {people} people, {runbooks} runbooks. What gives a right waits for a countersignature"
    )
}

/// To the operator: nobody is named.
pub fn nobody_is_named() -> &'static str {
    "the catalog names nobody who countersigns a change of who may do what (`access:`): what gives a right waits until an operator accepts it on this host (`countersign access accept`)"
}

/// To the operator: nothing waits.
pub fn nothing_waits() -> &'static str {
    "nothing waits to be countersigned"
}

/// To the operator: it holds.
pub fn accepted_here(code: Code) -> String {
    format!(
        "{code} is in force, recorded as an exception; a bot that runs uses it within seconds, and its room is told."
    )
}

/// To the operator: nothing that waits has that code.
pub fn nothing_like_it(code: Code, waits: Option<Code>) -> String {
    match waits {
        Some(other) => format!("{code} does not wait; {other} does. Look at it first: `countersign access show`"),
        None => format!("{code} does not wait, nor does anything else"),
    }
}

/// To the operator: a runbook changed, and names who made an earlier change.
pub fn author_perhaps_stale(stale: &StaleAuthor) -> String {
    let StaleAuthor { runbook, author, changed_by } = stale;
    let others: Vec<PersonId> = changed_by.iter().cloned().collect();
    format!(
        "runbook {runbook} changed and still says `author: {author}`, while `changed_by` names {}: `exclude: [last_author]` may \
         leave out the wrong person. Write who made the last change",
        and(&others)
    )
}

/// To the operator: nobody countersigned it in time.
pub fn accepted_too_late(code: Code, until: Option<DateTime<Utc>>) -> String {
    let until = until.map(|until| format!(" at {}", until.format("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
    format!(
        "{code} expired{until}. A bot that runs shows it anew, under another code: look at that with `countersign access show`"
    )
}

/// To the auditor: the ledger does not say.
pub fn not_kept() -> &'static str {
    "the ledger does not say who could do what then: it is a trial's, or the moment is before it was first kept"
}

/// To the auditor: there was no such runbook.
pub fn no_such_runbook(runbook: &RunbookName) -> String {
    format!("there was no runbook {} in force then", visible(runbook.as_str()))
}

fn everybody(people: &BTreeSet<PersonId>) -> String {
    match people.is_empty() {
        true => "nobody".to_owned(),
        false => and(&self::people(people)),
    }
}

/// The stages of a policy, a line each.
fn stages_then(stages: &[StageThen]) -> Vec<String> {
    let line = |(number, stage): (usize, &StageThen)| {
        let StageThen { named, could_approve, could_later, quorum } = stage;
        let named: Vec<String> = named.iter().map(subject).collect();
        let later = match could_later.is_empty() {
            true => String::new(),
            false => format!("; after a while also {}", everybody(could_later)),
        };
        format!("    {number}. {quorum} of {} ({}){later}", everybody(could_approve), named.join(", "))
    };
    (1..).zip(stages).map(line).collect()
}

/// To the auditor: who could do what at a moment.
pub fn then(then: &Then, times: &Times) -> String {
    let Then { at, since, position, by_event, by, countersigners, systems, runbooks, by_when, unseen } = then;
    let by = by.as_deref().map(visible).unwrap_or_default();
    let how = match by_event.as_str() {
        "access_begun" => "as the catalog stood when this was first kept".to_owned(),
        "access_taken" => "rights were taken away, which needs nobody".to_owned(),
        "access_countersigned" => format!("countersigned by {by}"),
        "access_accepted" => format!("EXCEPTION: put in force on the host by {by}, without a second person"),
        other => format!("`{}`", visible(other)),
    };
    let place = position.map(|position| format!(" Ledger {position}.")).unwrap_or_default();
    let mut lines = vec![
        format!("Who could do what at {}.", times.exactly(*at)),
        format!("So since {}: {how}.{place}", times.exactly(*since)),
        format!("Changes of it were countersigned by: {}.", everybody(countersigners)),
    ];
    if !unseen.is_empty() {
        let names: Vec<String> = unseen.iter().map(|name| visible(name.as_str())).collect();
        lines.push(format!("Nobody could tell who was in {}: nobody had a right by it.", names.join(", ")));
    }
    for SystemThen { system, environment, room, rights } in systems {
        lines.push(String::new());
        lines.push(format!("system {system} ({}, room {room})", visible(environment)));
        for (it, who) in rights {
            lines.push(format!("  could {}: {}", right(*it), everybody(who)));
        }
    }
    for RunbookThen {
        runbook,
        systems,
        could_ask,
        policy: named,
        stages,
        could_break_glass,
        could_unasked,
        relaxed,
        text: _,
    } in runbooks
    {
        lines.push(String::new());
        lines.push(format!("runbook {runbook} (on {})", listed(systems)));
        let Some(named) = named else {
            lines.push("  needed nobody's agreement".to_owned());
            continue;
        };
        lines.push(format!("  could be asked for by: {}", everybody(could_ask)));
        let own = match relaxed.contains(&Relaxed::RequesterMayAgree) {
            true => "whoever asked counting too, as it says",
            false => "whoever asked not counting",
        };
        lines.push(format!("  needed policy {named}, {own}:"));
        lines.extend(stages_then(stages));
        if !could_break_glass.is_empty() {
            lines.push(format!("    could break the glass: {}", everybody(could_break_glass)));
        }
        if !could_unasked.is_empty() {
            lines.push(format!("    could start it unasked: {}", everybody(could_unasked)));
        }
        if stages.is_empty() {
            lines.push("    its text is of another version of this program; `--json` has it".to_owned());
        }
    }
    for PolicyThen { policy, refused, stages, text: _ } in by_when {
        lines.push(String::new());
        lines
            .push(format!("policy {policy} could stand in their place when it applied (its text says when: `--json`)"));
        lines.extend(refused.iter().map(|why| format!("  it refused: {}", visible(why))));
        lines.extend(stages_then(stages));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::choice::Risk;
    use crate::model::id::{GroupName, RoomName, RotaName, SystemName};

    #[test]
    fn every_difference_has_its_line() {
        let person = |name: &str| PersonId::new(name);
        let account = || "slack:T1:U2".parse().expect("an account");
        let system = || SystemName::new("system-a");
        let policy = || PolicyName::new("managers");
        let room = |name: &str| RoomName::new(name);
        let group = || GroupName::new("managers");
        let boss = || Members::Listed([person("boss")].into());
        let slack = || Members::Of("slack:T1:S1".parse().expect("a user group"));
        let managers = || Subject::Group(group());
        let line = |text: &str| vec![text.to_owned()];
        let address = |text: &str| text.parse().expect("an address");
        let all = vec![
            What::PersonCame { person: person("lin"), accounts: vec![account()] },
            What::PersonLeft { person: person("lin") },
            What::AccountCame { person: person("lin"), account: account() },
            What::AccountLeft { person: person("lin"), account: account() },
            What::GroupCame { group: group(), members: boss() },
            What::GroupLeft { group: group() },
            What::GroupKept { group: group(), was: boss(), now: slack() },
            What::MemberCame { group: group(), person: person("lin") },
            What::MemberLeft { group: group(), person: person("lin") },
            What::RotaCame { rota: RotaName::new("nights"), people: vec![person("lin")] },
            What::RotaLeft { rota: RotaName::new("nights") },
            What::RotaMemberCame { rota: RotaName::new("nights"), person: person("lin") },
            What::RotaMemberLeft { rota: RotaName::new("nights"), person: person("lin") },
            What::SystemAccountable { system: system(), was: None, now: Some(person("lin")) },
            What::RunbookRisk { runbook: RunbookName::new("start"), was: Risk::High, now: Risk::Low },
            What::PolicyCame { policy: policy(), text: line("policy: managers") },
            What::PolicyLeft { policy: policy() },
            What::PolicyChanged {
                policy: policy(),
                without: line("    quorum: 2"),
                with: line("    quorum: 1\u{202e}"),
            },
            What::RunbookCame {
                runbook: RunbookName::new("start"),
                approval: Some(policy()),
                risk: Some(Risk::Low),
                systems: Some([system()].into()),
            },
            What::RunbookCame { runbook: RunbookName::new("old"), approval: None, risk: None, systems: None },
            What::RunbookLeft { runbook: RunbookName::new("start") },
            What::RunbookNeeds { runbook: RunbookName::new("start"), was: Some(policy()), now: None },
            What::RunbookActs { runbook: RunbookName::new("disk-usage") },
            What::RunbookMoved { runbook: RunbookName::new("start"), was: [system()].into(), now: BTreeSet::new() },
            What::UnagreedCame {
                trigger: Some(TriggerName::new("x")),
                runbook: RunbookName::new("fix"),
                owner: Some(person("lin")),
            },
            What::UnagreedCame { trigger: None, runbook: RunbookName::new("fix"), owner: None },
            What::UnagreedChanged {
                trigger: Some(TriggerName::new("x")),
                runbook: RunbookName::new("fix"),
                runs: true,
                fires: false,
            },
            What::UnagreedChanged {
                trigger: Some(TriggerName::new("x")),
                runbook: RunbookName::new("fix"),
                runs: false,
                fires: true,
            },
            What::UnagreedChanged { trigger: None, runbook: RunbookName::new("fix"), runs: true, fires: false },
            What::UnagreedLeft { trigger: None, runbook: RunbookName::new("fix") },
            What::SystemCame { system: system(), environment: Some("scratch".to_owned()), room: Some(room("ops")) },
            What::SystemCame { system: system(), environment: None, room: None },
            What::SystemLeft { system: system() },
            What::SystemEnvironment { system: system(), was: "production".to_owned(), now: "scratch".to_owned() },
            What::SystemRoom { system: system(), was: room("ops"), now: room("war") },
            What::RightCame { system: system(), right: Right::Run, subject: managers() },
            What::RightLeft { system: system(), right: Right::Pause, subject: Subject::Person(person("lin")) },
            What::RoomCame { room: room("war"), address: address("slack:T1:C2") },
            What::RoomLeft { room: room("war") },
            What::RoomMoved { room: room("ops"), was: address("slack:T1:C1"), now: address("slack:T1:C2") },
            What::KeeperCame { subject: managers() },
            What::KeeperLeft { subject: managers() },
            What::KeepersRoom { was: None, now: Some(room("ops")) },
            What::KeepersRoom { was: Some(room("ops")), now: None },
        ];
        let lines: Vec<Change> = all.into_iter().map(|what| Change { effect: Effect::Other, what }).collect();
        insta::assert_snapshot!(changes(&lines), @r#"
        alters: lin is known, by slack:T1:U2
        alters: lin is known no more
        alters: slack:T1:U2 is lin
        alters: slack:T1:U2 is lin no more
        alters: there is a group managers: boss
        alters: there is no group managers any more
        alters: in group managers is whoever is in slack:T1:S1 instead of boss
        alters: lin is in group managers
        alters: lin is in group managers no more
        alters: there is a rota nights: lin
        alters: there is no rota nights any more
        alters: lin is in rota nights
        alters: lin is in rota nights no more
        alters: lin answers for system-a instead of nobody
        alters: runbook start is of low risk instead of high
        alters: there is a policy managers
            with    policy: managers
        alters: there is no policy managers any more
        alters: policy managers says something else
            without     quorum: 2
            with        quorum: 1\u{202e}
        alters: there is a runbook start of low risk, which works on system-a and needs policy managers
        alters: there is a runbook old, which needs nobody's agreement
        alters: there is no runbook start any more
        alters: runbook start needs nobody's agreement instead of policy managers
        alters: runbook disk-usage does what nobody has countersigned, and needs nobody's agreement: until countersigned it is not there
        alters: runbook start works on any system instead of system-a
        alters: trigger x starts fix without anybody's agreement, and lin answers for it
        alters: people whom a policy names start fix without anybody's agreement
        alters: runbook fix changed, and trigger x starts it without anybody's agreement: until countersigned people are asked
        alters: trigger x changed, and it starts fix without anybody's agreement: until countersigned people are asked
        alters: runbook fix changed, and people whom a policy names start it without anybody's agreement: until countersigned people are asked
        alters: people whom a policy names start fix without anybody's agreement no more
        alters: there is a system system-a of scratch, talked about in ops
        alters: there is a system system-a
        alters: there is no system system-a any more
        alters: system-a is of scratch instead of production
        alters: system-a is talked about in war instead of ops
        alters: group managers may ask for runbooks on system-a
        alters: lin is not named any more to pause automation on system-a
        alters: there is a room war: slack:T1:C2
        alters: there is no room war any more
        alters: room ops is slack:T1:C2 instead of slack:T1:C1
        alters: group managers countersigns changes like this
        alters: group managers is not named any more to countersign
        alters: changes like this are told in ops
        alters: nobody is named any more to countersign
        "#);
    }
}

//! What is said about commands: what is wrong with a line, and help.
//!
//! What lives here: one total match over [`ParseError`] and one over [`Command`], so that neither a mistake nor a
//! command can be without its sentence. What does not: answers to commands that were right.

use crate::model::catalog::{Catalog, Param, Phrase, Runbook};
use crate::model::code::Code;
use crate::model::command::{AccessShown, Anew, Command, ParseError, ReviewVerdict, Shown, ValueError, Verdict, Wants};
use crate::model::id::{PersonId, PolicyName, RunId, RunbookName, ServiceName};
use crate::model::phrase::BUILT_IN;
use crate::model::until::Until;

use super::visible::{echo, visible};

/// The most names that a sentence lists.
const MOST_NAMES: usize = 12;

/// What is wrong with a line, and what to say instead: one line.
pub fn wrong(error: &ParseError) -> String {
    match error {
        ParseError::UnknownCommand { said, did_you_mean, .. } => unknown_command(said, did_you_mean.as_deref()),
        ParseError::SeveralLines { .. } => "One command a message, on one line. Say them one by one.".to_owned(),
        ParseError::Quoted { .. } => {
            "That is a quotation, so nothing was done. Say it without quotation marks or backticks.".to_owned()
        }
        ParseError::TooLong { max, .. } => format!("That is too long for a command: at most {max} bytes."),
        ParseError::Ambiguous { said, readings, .. } => {
            format!("\"{}\" can mean {}. Say which.", echo(said), typed_or(readings))
        }
        ParseError::UnknownRunbook { said, did_you_mean, known, .. } => {
            let what = format!("No runbook is called \"{}\".", echo(said));
            match did_you_mean {
                Some(name) => format!("{what} Did you mean {name}?"),
                None if known.is_empty() => format!("{what} The catalog has none."),
                None => format!("{what} There is {}.", and(known)),
            }
        }
        ParseError::AmbiguousRunbook { said, names, .. } => {
            format!("\"{}\" can mean {}. Say the name.", echo(said), or(names))
        }
        ParseError::UnknownArgument { runbook, name, known, did_you_mean, .. } => {
            let what = format!("{runbook} has no argument {}.", echo(name));
            match did_you_mean {
                Some(near) => format!("{what} Did you mean {near}?"),
                None => format!("{what} {}", takes(known)),
            }
        }
        ParseError::UnnamedArgument { runbook, said, known, .. } => {
            let takes = match &known[..] {
                [] => format!("{runbook} takes no arguments."),
                known => format!("Say it as key=value: {runbook} takes {}.", and(known)),
            };
            format!("\"{}\" has no key. {takes}", echo(said))
        }
        ParseError::MissingArgument { runbook, name, wants, .. } => {
            format!("{runbook} wants {}: {}.", visible(name), accepted(wants))
        }
        ParseError::DuplicateArgument { runbook, name, .. } => {
            format!("{} is given twice. {runbook} wants it once.", visible(name))
        }
        ParseError::UnclosedQuote { .. } => "A quotation mark is not closed. Close it and say it again.".to_owned(),
        ParseError::Value { runbook, name, said, why, wants, .. } => wrong_value(runbook, name, said, why, wants),
        ParseError::Extra { said, without, .. } => {
            format!("\"{}\" is too much, so nothing was done. Say `{}`.", echo(said), echo(without))
        }
        ParseError::UnknownService { said, did_you_mean, known, .. } => {
            unknown_service(said, did_you_mean.as_ref(), known)
        }
        ParseError::AmbiguousService { said, names, .. } => {
            format!("\"{}\" can mean {}. Say the name.", echo(said), or(names))
        }
        ParseError::UnknownCheck { said, service, known, did_you_mean, .. } => {
            let what = match said.is_empty() {
                true => format!("What about {service}?"),
                false => format!("{service} has no check {}.", echo(said)),
            };
            match did_you_mean {
                Some(near) => format!("{what} Did you mean {near}?"),
                None => format!("{what} Say `is {service} ok`, or one of its checks: {}.", list(known)),
            }
        }
        ParseError::UnknownTopic { said, did_you_mean, .. } => match did_you_mean {
            Some(near) => format!("There is no help on \"{}\". Did you mean `help {}`?", echo(said), visible(near)),
            None => format!("There is no help on \"{}\". Say `help` for what there is.", echo(said)),
        },
        ParseError::NotACode { said, command, .. } => {
            format!("\"{}\" is no code, so nothing was done. A code is four characters: `{command} 7K3F`.", echo(said))
        }
        ParseError::NotARun { said, command, .. } => {
            format!("\"{}\" is no run's number, so nothing was done. Say it as `{command} run 12`.", echo(said))
        }
        ParseError::UnknownTrigger { said, did_you_mean, known, .. } => {
            let what = format!("No trigger is called \"{}\".", echo(said));
            match did_you_mean {
                Some(near) => format!("{what} Did you mean {near}?"),
                None if known.is_empty() => {
                    format!("{what} The catalog has none. `resume` alone lets automation go on.")
                }
                None => format!("{what} Say {}, or `resume` alone.", or(known)),
            }
        }
        ParseError::UnknownOnCall { said, did_you_mean, known, .. } => {
            let what = format!("Nobody is on call for \"{}\": it is no rota, system or service.", echo(said));
            match did_you_mean {
                Some(near) => format!("{what} Did you mean {}?", visible(near)),
                None if known.is_empty() => format!("{what} The catalog has no rotas."),
                None => format!("{what} Say {}, or `who is on call` alone.", or(known)),
            }
        }
        ParseError::UnknownPerson { said, did_you_mean, .. } => match did_you_mean {
            Some(near) => format!("Nobody is called \"{}\". Did you mean {near}?", echo(said)),
            None => format!("Nobody is called \"{}\" here, so nothing was done.", echo(said)),
        },
        ParseError::NotATime { said, .. } => {
            let what = match said.is_empty() {
                true => "Until when?".to_owned(),
                false => format!("\"{}\" is no time that I know, so nothing was done.", echo(said)),
            };
            format!("{what} Say `until friday`, `until 18:00`, `until 2026-11-25 09:00` or `for 2 days`.")
        }
        ParseError::NotAnIncident { said, command, .. } => {
            let command = if *command == "what" { "what happened" } else { command };
            format!("\"{}\" is no incident's number, so nothing was done. Say it as `{command} INC-7`.", echo(said))
        }
        ParseError::Usage { command, .. } => {
            let forms: Vec<&str> =
                built_ins().filter(|topic| topic.word == *command).map(|topic| topic.forms).collect();
            format!("That is not how {command} is said. Say {}.", forms.join(" or "))
        }
    }
}

fn unknown_command(said: &str, did_you_mean: Option<&str>) -> String {
    let built_in = |line: &str| {
        let first = line.split_whitespace().next().unwrap_or_default();
        first != "run" && BUILT_IN.contains(&first)
    };
    match did_you_mean {
        Some(better) if built_in(better) => {
            format!("No command says \"{}\". Did you mean `{}`?", echo(said), echo(better))
        }
        Some(better) => format!("No runbook says \"{}\". Did you mean `{}`?", echo(said), echo(better)),
        None => format!("No runbook says \"{}\". Say `help` for what you can say.", echo(said)),
    }
}

fn unknown_service(said: &str, did_you_mean: Option<&ServiceName>, known: &[ServiceName]) -> String {
    let what = format!("No service is called \"{}\".", echo(said));
    match did_you_mean {
        Some(near) => format!("{what} Did you mean {near}?"),
        None if known.is_empty() => format!("{what} The catalog has none."),
        None => format!("{what} Ask about {}.", or(known)),
    }
}

fn wrong_value(runbook: &RunbookName, name: &str, said: &str, why: &ValueError, wants: &Wants) -> String {
    let name = visible(name);
    let wanted = || format!("{runbook} wants {name}: {}.", accepted(wants));
    match why {
        ValueError::Unknown { did_you_mean: Some(near) } => {
            format!("\"{}\" is no {name} of {runbook}. Did you mean {}?", echo(said), visible(near))
        }
        ValueError::Unknown { did_you_mean: None } => {
            format!("\"{}\" is no {name} of {runbook}. {}", echo(said), wanted())
        }
        ValueError::Ambiguous { names } => format!("\"{}\" can mean {}. Say the name.", echo(said), or(names)),
        ValueError::OtherSystem { system } => format!("\"{}\" belongs to {system}. {}", echo(said), wanted()),
        ValueError::NotANumber => format!("\"{}\" is no whole number. {}", echo(said), wanted()),
        ValueError::OutOfBounds => format!("{} is out of bounds. {}", echo(said), wanted()),
        ValueError::Empty => wanted(),
        ValueError::TooLong { length } => format!("{name} has {length} characters. {}", wanted()),
        ValueError::Hidden { character } => format!(
            "{name} holds a character that one cannot see ({}). Type it again without.",
            visible(&character.to_string())
        ),
        ValueError::LeadingDash => {
            format!("{name} begins with `-`, which a program reads as an option. {runbook} does not allow that.")
        }
    }
}

/// What a parameter accepts, as the end of a sentence.
pub fn accepted(wants: &Wants) -> String {
    match wants {
        Wants::OneOf(names) if names.is_empty() => "nothing that the catalog has".to_owned(),
        Wants::OneOf(names) => format!("one of {}", list(names)),
        Wants::Integer { min, max } => format!("a whole number from {min} to {max}"),
        Wants::Text { max_length } => format!("text on one line, at most {max_length} characters"),
    }
}

fn takes(known: &[String]) -> String {
    match known {
        [] => "It takes no arguments.".to_owned(),
        known => format!("It takes {}.", and(known)),
    }
}

/// `a, b, c`; of many the first few and how many more.
fn list<T: ToString>(names: &[T]) -> String {
    let mut shown: Vec<String> = names.iter().take(MOST_NAMES).map(|name| visible(&name.to_string())).collect();
    if names.len() > MOST_NAMES {
        shown.push(format!("and {} more", names.len() - MOST_NAMES));
    }
    shown.join(", ")
}

pub(super) fn or<T: ToString>(names: &[T]) -> String {
    joined(names, "or")
}

fn and<T: ToString>(names: &[T]) -> String {
    joined(names, "and")
}

fn joined<T: ToString>(names: &[T], word: &str) -> String {
    match names {
        [before @ .., last] if !before.is_empty() && names.len() <= MOST_NAMES => {
            format!("{} {word} {}", list(before), visible(&last.to_string()))
        }
        names => list(names),
    }
}

fn typed_or(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("`{}`", visible(line))).collect();
    or(&lines)
}

/// What help says about one built-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Topic {
    /// The word that it begins with.
    word: &'static str,
    /// Its shortest form and its parts, as shown in the list.
    usage: &'static str,
    /// One line.
    does: &'static str,
    /// Every form, each in backticks.
    forms: &'static str,
    /// What else one should know.
    more: &'static str,
}

/// What help says about a command. Total, so that no command goes without.
fn topic(command: &Command) -> Topic {
    match command {
        Command::Ping => Topic {
            word: "ping",
            usage: "ping",
            does: "Ask whether I am here",
            forms: "`ping`",
            more: "Nothing else happens.",
        },
        Command::Help { topic: _ } => Topic {
            word: "help",
            usage: "help [TOPIC]",
            does: "What you can say, or what one thing does",
            forms: "`help` or `help start-service`",
            more: "The list holds the runbooks that you may run here.",
        },
        Command::WhoAmI => Topic {
            word: "whoami",
            usage: "whoami",
            does: "Who I think you are",
            forms: "`whoami`",
            more: "It names your person, your groups and this account.",
        },
        Command::OnCall { of: _ } => Topic {
            word: "who",
            usage: "who is on call [for NAME]",
            does: "Who is on call, until when, and who is next",
            forms: "`who is on call` or `who is on call for NAME`",
            more: "Alone it names the rotas of this room's systems; NAME is a rota, a system or a service. It only reads.",
        },
        Command::Is { service: _, check: _ } => Topic {
            word: "is",
            usage: "is SERVICE ok",
            does: "Ask a service's checks",
            forms: "`is SERVICE ok` or `is SERVICE CHECK`",
            more: "`ok`, `healthy`, `up` and `fine` ask all checks. It only reads.",
        },
        Command::Run { runbook: _, params: _, anew: Anew::No | Anew::Yes } => Topic {
            word: "run",
            usage: "run RUNBOOK KEY=VALUE",
            does: "Ask for a runbook by its name",
            forms: "`run RUNBOOK KEY=VALUE KEY=\"VALUE WITH SPACES\"`",
            more: "What changes something waits for approval first. `again` at the end asks anew although the same waits.",
        },
        Command::Again => Topic {
            word: "again",
            usage: "again",
            does: "Repeat the last asking here, as a new one",
            forms: "`again`",
            more: "It makes a new request even if the old one still waits.",
        },
        Command::Approve { code: _, reason: _ } => Topic {
            word: "approve",
            usage: "approve [CODE] [because REASON]",
            does: "Agree to what was asked",
            forms: "`approved`, `approve 7K3F` or `approve 7K3F because …`",
            more: "It must be the whole line. In the request's thread the code may be left out. Nobody approves their own request.",
        },
        Command::Deny { code: _, reason: _ } => Topic {
            word: "deny",
            usage: "deny [CODE] [because REASON]",
            does: "Refuse what was asked",
            forms: "`deny`, `deny because …` or `deny 7K3F because …`",
            more: "One refusal ends the request, unless its policy wants more.",
        },
        Command::Looking { code: _ } => Topic {
            word: "looking",
            usage: "looking [CODE]",
            does: "Say that you look at a request, so that nobody else is woken",
            forms: "`looking` or `looking 7K3F`",
            more: "For 5 minutes nobody is reminded, rung or asked as well. It decides nothing, and the request waits no longer.",
        },
        Command::Delegate { to: _, until: _ } => Topic {
            word: "delegate",
            usage: "delegate to NAME until TIME",
            does: "Let somebody else answer requests for you, for a while",
            forms: "`delegate to lin until friday`, `delegate to lin until 18:00`, `delegate to lin until 2026-11-25 09:00` or \
                    `delegate to lin for 2 days`",
            more: "At most 30 days; a day is meant from its beginning. They cannot hand it on, and never answer what they asked \
                   themselves. The ledger shows both names.",
        },
        Command::Delegations => Topic {
            word: "delegations",
            usage: "delegations",
            does: "Who lets whom answer, until when",
            forms: "`delegations`",
            more: "It only reads.",
        },
        Command::EndDelegation { to: _ } => Topic {
            word: "end",
            usage: "end delegation [to NAME]",
            does: "No longer let somebody else answer for you",
            forms: "`end delegation` or `end delegation to lin`",
            more: "What they have answered and still counts then counts no more, as long as the request waits.",
        },
        Command::Handover { to: _, reason: _ } => Topic {
            word: "handover",
            usage: "handover to NAME [because REASON]",
            does: "Hand over what you have asked for",
            forms: "`handover to lin` or `handover to lin because …`",
            more: "Your requests, your runs that are not over, and a pause of yours. It stays yours until they say `taken`. Neither \
                   of you can approve it then.",
        },
        Command::Taken { handover: _ } => Topic {
            word: "taken",
            usage: "taken [NUMBER]",
            does: "Take over what somebody hands over to you",
            forms: "`taken` or `taken 3`",
            more: "From then on you are told what comes of it.",
        },
        Command::Withdraw { code: _ } => Topic {
            word: "withdraw",
            usage: "withdraw [CODE]",
            does: "Take your own request or your own answer back",
            forms: "`withdraw` or `withdraw 7K3F`",
            more: "A request only before it runs; after that it is `stop`. An answer only while the request waits.",
        },
        Command::SendBack { code: _, reason: _ } => Topic {
            word: "send",
            usage: "send back [CODE] because REASON",
            does: "Want something else than what was asked",
            forms: "`send back because …`, `send back 7K3F because …` or `request change because …`",
            more: "It ends the request and tells who asked what to change. Nothing is done.",
        },
        Command::BreakGlass { code: _, reason: _ } => Topic {
            word: "break glass",
            usage: "break glass [CODE] because REASON",
            does: "Start a run at once, when it cannot wait for agreement",
            forms: "`break glass because …` or `break glass 7K3F because …`",
            more: "Only who the policy names. Everybody who would have been asked is told, and somebody reviews it.",
        },
        Command::Review { code: _, verdict: ReviewVerdict::Fine | ReviewVerdict::NotFine, reason: _ } => Topic {
            word: "review",
            usage: "review CODE fine|not fine because REASON",
            does: "Say what you think of a run that was started without agreement",
            forms: "`review 7K3F fine because …` or `review 7K3F not fine because …`",
            more: "Whom the policy names, but not who broke the glass and not who asked.",
        },
        Command::Reviews => Topic {
            word: "reviews",
            usage: "reviews",
            does: "List the reviews that are owed",
            forms: "`reviews`",
            more: "Each is of a run that was started without agreement.",
        },
        Command::TakeBack { code: _ } => Topic {
            word: "take back",
            usage: "take back CODE",
            does: "End an approval that covers further runs",
            forms: "`take back 7K3F`",
            more: "Whoever is asked to approve may. Runs that have begun go on: that is `stop`.",
        },
        Command::Revoke { code: _, reason: _ } => Topic {
            word: "revoke",
            usage: "revoke [CODE] [because REASON]",
            does: "Take an approval away before the run has begun",
            forms: "`revoke 7K3F` or `revoke 7K3F because …`",
            more: "Whoever is asked to approve may. Once it runs it is `stop`.",
        },
        Command::Stop { run: _ } => Topic {
            word: "stop",
            usage: "stop [run NUMBER]",
            does: "End a run at once",
            forms: "`stop` or `stop run 12`",
            more: "The answer says what is done, what is unknown and what was not started.",
        },
        Command::Judge { run: _, verdict: Verdict::Worked | Verdict::Failed, reason: _ } => Topic {
            word: "judge",
            usage: "judge [run NUMBER] worked|failed because REASON",
            does: "Say what came of a step that nobody knows about",
            forms: "`judge run 12 worked because …` or `judge run 12 failed because …`",
            more: "For a stuck run. Look first. Of a step that changes something the approvers decide.",
        },
        Command::Skip { run: _, reason: _ } => Topic {
            word: "skip",
            usage: "skip [run NUMBER] because REASON",
            does: "Leave out a step that nobody knows about",
            forms: "`skip because …` or `skip run 12 because …`",
            more: "For a stuck run: it goes on after the step. Of a step that changes something the approvers decide.",
        },
        Command::Retry { run: _ } => Topic {
            word: "retry",
            usage: "retry [run NUMBER]",
            does: "Try a stuck step again",
            forms: "`retry` or `retry run 12`",
            more: "The same people must approve it once more.",
        },
        Command::Requests => Topic {
            word: "requests",
            usage: "requests",
            does: "What waits for approval here",
            forms: "`requests`",
            more: "It only reads.",
        },
        Command::Status => Topic {
            word: "status",
            usage: "status",
            does: "How the systems of this room are, and what is under way",
            forms: "`status`",
            more: "It says how old its knowledge is. What nobody has checked is never called well.",
        },
        Command::Incidents => Topic {
            word: "incidents",
            usage: "incidents",
            does: "The incidents of this room",
            forms: "`incidents`",
            more: "Those that are not resolved, and the last few that are.",
        },
        Command::Happened { incident: _ } => Topic {
            word: "what",
            usage: "what happened [INC-7]",
            does: "What failed, what was tried, where it stands",
            forms: "`what happened` or `what happened INC-7`",
            more: "Three lines for somebody who comes late. It only reads.",
        },
        Command::Open { system: _, title: _ } => Topic {
            word: "open",
            usage: "open incident TITLE",
            does: "Say that something is wrong",
            forms: "`open incident TITLE` or `open incident SYSTEM: TITLE`",
            more: "A failing check opens one by itself. What is said here until `resolve` belongs to its record.",
        },
        Command::Ack { incident: _ } => Topic {
            word: "ack",
            usage: "ack [INC-7]",
            does: "Take care of an incident",
            forms: "`ack` or `ack INC-7`",
            more: "The room is told that you do. It approves nothing.",
        },
        Command::Note { incident: _, text: _ } => Topic {
            word: "note",
            usage: "note [INC-7] TEXT",
            does: "Write something down for an incident's record",
            forms: "`note TEXT` or `note INC-7 TEXT`",
            more: "It stands in the report with your name and the time.",
        },
        Command::Pause { reason: _ } => Topic {
            word: "pause",
            usage: "pause [because REASON]",
            does: "Stop everything that starts by itself",
            forms: "`pause` or `pause because …`",
            more: "Checks go on and people can still ask; nothing starts by itself, anywhere, until `resume`.",
        },
        Command::Resume { trigger: _ } => Topic {
            word: "resume",
            usage: "resume [TRIGGER]",
            does: "Let automation go on",
            forms: "`resume` or `resume TRIGGER`",
            more: "Alone it ends a pause, whoever began it, and names the triggers that have stopped themselves; with a name it lets that trigger go on, and its counts begin anew.",
        },
        Command::Resolve { incident: _, reason: _ } => Topic {
            word: "resolve",
            usage: "resolve [INC-7] [because REASON]",
            does: "Say that an incident is over",
            forms: "`resolve`, `resolve INC-7` or `resolve INC-7 because …`",
            more: "While its service still fails it wants a reason.",
        },
        Command::Reopen { incident: _, reason: _ } => Topic {
            word: "reopen",
            usage: "reopen [INC-7] [because REASON]",
            does: "Say that an incident is not over",
            forms: "`reopen`, `reopen INC-7` or `reopen INC-7 because …`",
            more: "Only while its service has no newer incident.",
        },
        Command::Countersign { code: _ } => Topic {
            word: "countersign",
            usage: "countersign CODE",
            does: "Agree to a change of who may do what",
            forms: "`countersign 7K3F`",
            more: "It must be the whole line. Nobody countersigns what they wrote or gain by.",
        },
        Command::Refuse { code: _, reason: _ } => Topic {
            word: "refuse",
            usage: "refuse CODE because REASON",
            does: "Refuse a change of who may do what",
            forms: "`refuse 7K3F because …`",
            more: "It stays without effect until the catalog's files are changed. What takes rights away holds all the same.",
        },
        Command::Access { shown: AccessShown::Short | AccessShown::Changes } => Topic {
            word: "access",
            usage: "access [changes]",
            does: "Who countersigns changes of who may do what, and what waits",
            forms: "`access` or `access changes`",
            more: "It only reads.",
        },
        Command::Report { incident: _ } => Topic {
            word: "report",
            usage: "report [INC-7]",
            does: "Where the whole record of an incident is",
            forms: "`report` or `report INC-7`",
            more: "A short summary here; the whole with `countersign report INC-7` or on the page.",
        },
        Command::Show { what: Shown::Code(_) | Shown::Run(_) } => Topic {
            word: "show",
            usage: "show CODE|run NUMBER",
            does: "Show a request or a run",
            forms: "`show 7K3F` or `show run 12`",
            more: "It only reads.",
        },
    }
}

/// The command that help names after this one; the first after `None`. Total: a new command must find its place.
fn following(command: Option<&Command>) -> Option<Command> {
    let run = Some(RunId(12));
    Some(match command {
        None => Command::Run { runbook: RunbookName::new("x"), params: [].into(), anew: Anew::No },
        Some(Command::Run { .. }) => Command::Is { service: ServiceName::new("x"), check: None },
        Some(Command::Is { .. }) => Command::Status,
        Some(Command::Status) => Command::Happened { incident: None },
        Some(Command::Happened { .. }) => Command::OnCall { of: None },
        Some(Command::OnCall { .. }) => Command::Requests,
        Some(Command::Requests) => Command::Approve { code: None, reason: None },
        Some(Command::Approve { .. }) => Command::Deny { code: None, reason: None },
        Some(Command::Deny { .. }) => Command::Looking { code: None },
        Some(Command::Looking { .. }) => {
            let until = Until::For(std::time::Duration::ZERO);
            Command::Delegate { to: PersonId::new("x"), until }
        }
        Some(Command::Delegate { .. }) => Command::Delegations,
        Some(Command::Delegations) => Command::EndDelegation { to: None },
        Some(Command::EndDelegation { .. }) => Command::Handover { to: PersonId::new("x"), reason: None },
        Some(Command::Handover { .. }) => Command::Taken { handover: None },
        Some(Command::Taken { .. }) => Command::Withdraw { code: None },
        Some(Command::Withdraw { .. }) => Command::SendBack { code: None, reason: String::new() },
        Some(Command::SendBack { .. }) => Command::BreakGlass { code: None, reason: String::new() },
        Some(Command::BreakGlass { .. }) => {
            Command::Review { code: Code::from_entropy(0), verdict: ReviewVerdict::Fine, reason: String::new() }
        }
        Some(Command::Review { .. }) => Command::Reviews,
        Some(Command::Reviews) => Command::Revoke { code: None, reason: None },
        Some(Command::Revoke { .. }) => Command::TakeBack { code: Code::from_entropy(0) },
        Some(Command::TakeBack { .. }) => Command::Again,
        Some(Command::Again) => Command::Show { what: Shown::Run(RunId(12)) },
        Some(Command::Show { .. }) => Command::Stop { run },
        Some(Command::Stop { .. }) => Command::Judge { run, verdict: Verdict::Worked, reason: String::new() },
        Some(Command::Judge { .. }) => Command::Skip { run, reason: String::new() },
        Some(Command::Skip { .. }) => Command::Retry { run },
        Some(Command::Retry { .. }) => Command::Incidents,
        Some(Command::Incidents) => Command::Open { system: None, title: String::new() },
        Some(Command::Open { .. }) => Command::Ack { incident: None },
        Some(Command::Ack { .. }) => Command::Note { incident: None, text: String::new() },
        Some(Command::Note { .. }) => Command::Resolve { incident: None, reason: None },
        Some(Command::Resolve { .. }) => Command::Reopen { incident: None, reason: None },
        Some(Command::Reopen { .. }) => Command::Pause { reason: None },
        Some(Command::Pause { .. }) => Command::Resume { trigger: None },
        Some(Command::Resume { .. }) => Command::Report { incident: None },
        Some(Command::Report { .. }) => Command::Access { shown: AccessShown::Short },
        Some(Command::Access { .. }) => Command::Countersign { code: Code::from_entropy(0) },
        Some(Command::Countersign { .. }) => Command::Refuse { code: Code::from_entropy(0), reason: String::new() },
        Some(Command::Refuse { .. }) => Command::WhoAmI,
        Some(Command::WhoAmI) => Command::Ping,
        Some(Command::Ping) => Command::Help { topic: None },
        Some(Command::Help { .. }) => return None,
    })
}

fn built_ins() -> impl Iterator<Item = Topic> {
    std::iter::successors(following(None), |command| following(Some(command))).map(|command| topic(&command))
}

/// Everything that the speaker can say: first the runbooks that they may run, then the built-ins. One line each.
pub fn help(catalog: &Catalog, may_run: &dyn Fn(&Runbook) -> bool) -> String {
    let mut lines: Vec<String> = catalog
        .runbooks
        .values()
        .filter(|runbook| may_run(runbook))
        .map(|runbook| format!("{}   {}", first_form(runbook), visible(&runbook.title)))
        .collect();
    if lines.is_empty() {
        lines.push("There is no runbook that you may run.".to_owned());
    }
    lines.push(String::new());
    lines.extend(built_ins().map(|Topic { usage, does, .. }| format!("{usage}   {does}")));
    lines.push(String::new());
    lines.push("`help TOPIC` explains one of them.".to_owned());
    lines.join("\n")
}

/// What one built-in or runbook does. The topic is one that the parser gave, or any other text.
pub fn help_on(catalog: &Catalog, may_run: &dyn Fn(&Runbook) -> bool, topic: &str) -> String {
    if let Some(Topic { usage, does, forms, more, .. }) = built_ins().find(|built_in| built_in.word == topic) {
        return format!("{usage}   {does}\nSay {forms}.\n{more}");
    }
    match catalog.runbooks.get(&RunbookName::new(topic)) {
        Some(runbook) => help_on_runbook(catalog, runbook, may_run(runbook)),
        None => format!("There is no help on \"{}\". Say `help` for what there is.", echo(topic)),
    }
}

fn help_on_runbook(catalog: &Catalog, runbook: &Runbook, may_run: bool) -> String {
    let Runbook { name, title, why, say, params, system: _, risk, approval, author: _, steps, source: _ } = runbook;
    let mut lines = vec![format!("{name}: {}", visible(title))];
    if !may_run {
        lines.push("You may not run it.".to_owned());
    }
    lines.extend(why.iter().map(|why| format!("Why: {}", visible(why))));
    let mut forms: Vec<String> = say.iter().map(|phrase| visible(&phrase.text)).collect();
    forms.push(general_form(runbook));
    lines.push(format!("Say {}.", typed_or(&forms)));
    for Param { name, kind, default, may_begin_with_dash: _ } in params {
        let given = default.as_ref().map(|default| match default.as_str() {
            "" => "; empty if not given".to_owned(),
            default => format!("; {} if not given", visible(default)),
        });
        let wants = accepted(&Wants::of(catalog, kind));
        lines.push(format!("{}: {wants}{}", visible(name), given.unwrap_or_default()));
    }
    for (number, step) in (1..).zip(steps) {
        let mark = if step.is_privileged() { "!" } else { " " };
        lines.push(format!("{number} {mark} {}", visible(&step.name)));
    }
    lines.push(match approval {
        Some(policy) => format!("{} Risk: {}.", approval_line(catalog, policy), risk.name()),
        None => "Approval: none.".to_owned(),
    });
    lines.join("\n")
}

fn approval_line(catalog: &Catalog, name: &PolicyName) -> String {
    let Some(policy) = catalog.policies.get(name) else { return format!("Approval: {name}.") };
    let stages: Vec<String> = policy
        .stages
        .iter()
        .map(|stage| {
            let approvers: Vec<String> = stage.approvers.iter().map(|subject| subject.to_string()).collect();
            format!("{} of {}", stage.quorum, or(&approvers))
        })
        .collect();
    format!(
        "Approval: {}. {}, within {}.",
        visible(&policy.title),
        stages.join(", then "),
        humantime::format_duration(policy.expires)
    )
}

/// How people usually ask for it: its first phrase, or the general form.
fn first_form(runbook: &Runbook) -> String {
    match runbook.say.first() {
        Some(Phrase { text, .. }) => visible(text),
        None => general_form(runbook),
    }
}

/// `run RUNBOOK key={key}`; what has a default stands in brackets.
fn general_form(runbook: &Runbook) -> String {
    let mut form = format!("run {}", runbook.name);
    for Param { name, default, .. } in &runbook.params {
        let name = visible(name);
        form.push_str(&match default {
            None => format!(" {name}={{{name}}}"),
            Some(_) => format!(" [{name}={{{name}}}]"),
        });
    }
    form
}

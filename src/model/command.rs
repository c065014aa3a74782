//! What a line can ask for, and how it can be wrong.
//!
//! What lives here: the vocabulary between the parser (`command`), the sentences (`text`) and the handlers (`flow`).
//! What does not: reading a line, saying a sentence, doing anything. Every name in a [`Command`] is known to the
//! catalog that it was read with, and every value is in its canonical form (I9).

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::catalog::{Catalog, ParamKind, System};
use super::code::Code;
use super::id::{
    CheckName, HandoverId, IncidentId, PersonId, RotaName, RunId, RunbookName, ServiceName, SystemName, TriggerName,
};
use super::until::Until;

pub use super::request::ReviewVerdict;
pub use super::run::Verdict;

/// What a line turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parsed {
    /// Not for the bot.
    Talk,
    /// Sounds like a yes, decides nothing. Someone who is asked is told so, privately.
    NearYes,
    /// Sounds like a no, decides nothing. Someone who is asked is told so, privately.
    NearNo,
    /// For the bot, and right.
    Command(Command),
    /// For the bot, and wrong. Nothing may be done for it.
    Wrong(ParseError),
}

/// For what somebody is on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCallFor {
    /// A rota.
    Rota(RotaName),
    /// A system: the rotas that have to do with it.
    System(SystemName),
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Are you there.
    Ping,
    /// What can one say, or what does one of these do.
    Help {
        /// A built-in's word, a runbook's name, or nothing.
        topic: Option<String>,
    },
    /// Who does the bot think that I am.
    WhoAmI,
    /// Who is on call.
    OnCall {
        /// For what; `None` is the systems that are talked about here.
        of: Option<OnCallFor>,
    },
    /// Ask a service's checks.
    Is {
        /// Which service.
        service: ServiceName,
        /// Which check; `None` is all of them.
        check: Option<CheckName>,
    },
    /// Ask for a runbook to be run.
    Run {
        /// Which.
        runbook: RunbookName,
        /// A value for every parameter that was given or has a default; canonical.
        params: BTreeMap<String, String>,
        /// Whether to ask anew although the same may be waiting already.
        anew: Anew,
    },
    /// Repeat the last asking here, as a new one.
    Again,
    /// Agree to a request.
    Approve {
        /// Which; `None` is the one that this place makes plain.
        code: Option<Code>,
        /// Why, as said, without surrounding spaces; never empty. Like the reason of `deny`.
        reason: Option<String>,
    },
    /// Refuse a request.
    Deny {
        /// Which; `None` is the one that this place makes plain.
        code: Option<Code>,
        /// Why, as said, without surrounding spaces; never empty. May hold any visible or hidden character but a line
        /// break: show it through `text::visible`.
        reason: Option<String>,
    },
    /// Take one's own request back; of a request that one has answered, one's own answer.
    Withdraw {
        /// Which; `None` is the one that this place makes plain.
        code: Option<Code>,
    },
    /// Say that one looks at a request, so that nobody else is woken for a while.
    Looking {
        /// Which; `None` is the one that this place makes plain.
        code: Option<Code>,
    },
    /// Let somebody else answer for one, for a while.
    Delegate {
        /// Who.
        to: PersonId,
        /// Until when.
        until: Until,
    },
    /// Who lets whom answer.
    Delegations,
    /// No longer let somebody else answer.
    EndDelegation {
        /// Who; `None` is the only one.
        to: Option<PersonId>,
    },
    /// Hand over what one has open.
    Handover {
        /// To whom.
        to: PersonId,
        /// Why; as said, never empty.
        reason: Option<String>,
    },
    /// Take over what somebody hands over.
    Taken {
        /// Which; `None` is the one that is offered to the speaker.
        handover: Option<HandoverId>,
    },
    /// Send a request back to whoever asked, because something else is wanted.
    SendBack {
        /// Which; `None` is the one that this place makes plain.
        code: Option<Code>,
        /// What is wanted; as said, never empty.
        reason: String,
    },
    /// Start a run without the agreement that its policy wants.
    BreakGlass {
        /// Which request; `None` is the one that this place makes plain.
        code: Option<Code>,
        /// Why it cannot wait; as said, never empty.
        reason: String,
    },
    /// Say what one thinks of a run that was started without agreement.
    Review {
        /// Which request.
        code: Code,
        /// What one thinks.
        verdict: ReviewVerdict,
        /// Why; as said, never empty.
        reason: String,
    },
    /// Which runs were started without agreement and wait to be looked at.
    Reviews,
    /// End an approval that covers further runs.
    TakeBack {
        /// Which request's.
        code: Code,
    },
    /// Take an approval away before its run has begun.
    Revoke {
        /// Which; `None` is the one that this place makes plain.
        code: Option<Code>,
        /// Why; as said, never empty.
        reason: Option<String>,
    },
    /// End a run.
    Stop {
        /// Which; `None` is the one that this place makes plain.
        run: Option<RunId>,
    },
    /// Say what came of a step whose outcome is unknown.
    Judge {
        /// Which run; `None` is the one that this place makes plain.
        run: Option<RunId>,
        /// What came of it.
        verdict: Verdict,
        /// How one knows; as said, never empty.
        reason: String,
    },
    /// Leave a step out whose outcome is unknown.
    Skip {
        /// Which run; `None` is the one that this place makes plain.
        run: Option<RunId>,
        /// Why; as said, never empty.
        reason: String,
    },
    /// Try a stuck step again, under the same policy.
    Retry {
        /// Which run; `None` is the one that this place makes plain.
        run: Option<RunId>,
    },
    /// What waits for approval here.
    Requests,
    /// Show one thing.
    Show {
        /// Which.
        what: Shown,
    },
    /// The incidents of this room.
    Incidents,
    /// Say that something is wrong.
    Open {
        /// With which system; `None` is the one that is talked about here.
        system: Option<SystemName>,
        /// What, in a few words; as said, never empty. May hold hidden characters: show it through `text::visible`.
        title: String,
    },
    /// Stop everything that starts by itself.
    Pause {
        /// Why; as said, never empty.
        reason: Option<String>,
    },
    /// Let automation go on, or one trigger that has stopped itself.
    Resume {
        /// Which trigger; `None` is all automation, and every held trigger of the room.
        trigger: Option<TriggerName>,
    },
    /// Take care of an incident.
    Ack {
        /// Which; `None` is the one that this place makes plain, as for all of these.
        incident: Option<IncidentId>,
    },
    /// Say that an incident is over.
    Resolve {
        /// Which.
        incident: Option<IncidentId>,
        /// Why or how; as said, never empty.
        reason: Option<String>,
    },
    /// Say that an incident is not over.
    Reopen {
        /// Which.
        incident: Option<IncidentId>,
        /// Why; as said, never empty.
        reason: Option<String>,
    },
    /// Write something down for the record of an incident.
    Note {
        /// Which.
        incident: Option<IncidentId>,
        /// What; as said, never empty.
        text: String,
    },
    /// What happened, for somebody who comes late.
    Happened {
        /// Which incident.
        incident: Option<IncidentId>,
    },
    /// How the room's systems are, and what is under way.
    Status,
    /// Agree to a change of who may do what.
    Countersign {
        /// Which.
        code: Code,
    },
    /// Refuse a change of who may do what.
    Refuse {
        /// Which.
        code: Code,
        /// Why; as said, never empty.
        reason: String,
    },
    /// Who may change who may do what, and what waits.
    Access {
        /// How much of what waits.
        shown: AccessShown,
    },
    /// Where the whole record of an incident is.
    Report {
        /// Which.
        incident: Option<IncidentId>,
    },
}

/// Whether the same asking may join one that waits already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anew {
    /// Join it.
    No,
    /// Make a new one: the line ended with `again`.
    Yes,
}

/// How much is told of a change of who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessShown {
    /// That it waits, for whom.
    Short,
    /// Every line of it.
    Changes,
}

/// What can be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// A request.
    Code(Code),
    /// A run.
    Run(RunId),
}

/// Where in the line a mistake is: byte positions in the text as it was given to the parser.
pub type Span = Range<usize>;

/// A line that is for the bot and wrong. What was said is kept as said: show it through `text::visible`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseError {
    /// Nothing of ours begins like that, or it is one slip away from something.
    UnknownCommand {
        /// The whole line.
        at: Span,
        /// What was said.
        said: String,
        /// A line that would be right, or a phrase with its parameters in braces.
        did_you_mean: Option<String>,
    },
    /// More than one line.
    SeveralLines {
        /// Everything from the second line on.
        at: Span,
    },
    /// A quotation or a block of code, which is never a command.
    Quoted {
        /// The quotation.
        at: Span,
    },
    /// Longer than any command.
    TooLong {
        /// What is too much.
        at: Span,
        /// Greatest number of bytes.
        max: usize,
    },
    /// The line can mean two things.
    Ambiguous {
        /// The whole line.
        at: Span,
        /// What was said.
        said: String,
        /// The general form of each reading.
        readings: Vec<String>,
    },
    /// `run` with something that is no runbook.
    UnknownRunbook {
        /// The name.
        at: Span,
        /// What was said.
        said: String,
        /// The nearest.
        did_you_mean: Option<RunbookName>,
        /// All of them.
        known: Vec<RunbookName>,
    },
    /// A name or title that several runbooks answer to.
    AmbiguousRunbook {
        /// The name.
        at: Span,
        /// What was said.
        said: String,
        /// Which.
        names: Vec<RunbookName>,
    },
    /// `key=value` with a key that the runbook does not have.
    UnknownArgument {
        /// The key.
        at: Span,
        /// Of which runbook.
        runbook: RunbookName,
        /// What was said.
        name: String,
        /// The keys that it has.
        known: Vec<String>,
        /// The nearest.
        did_you_mean: Option<String>,
    },
    /// A value without its key, or a piece that is no `key=value`.
    UnnamedArgument {
        /// The piece.
        at: Span,
        /// Of which runbook.
        runbook: RunbookName,
        /// What was said.
        said: String,
        /// The keys that the runbook has.
        known: Vec<String>,
    },
    /// A parameter without value and default.
    MissingArgument {
        /// Where it could be said: the end.
        at: Span,
        /// Of which runbook.
        runbook: RunbookName,
        /// Which.
        name: String,
        /// What it accepts.
        wants: Wants,
    },
    /// The same key twice.
    DuplicateArgument {
        /// The second key.
        at: Span,
        /// Of which runbook.
        runbook: RunbookName,
        /// Which.
        name: String,
    },
    /// A quotation mark that nothing closes.
    UnclosedQuote {
        /// From the mark to the end.
        at: Span,
    },
    /// A value that its parameter does not accept.
    Value {
        /// The value.
        at: Span,
        /// Of which runbook.
        runbook: RunbookName,
        /// Of which parameter.
        name: String,
        /// What was said.
        said: String,
        /// What is wrong with it.
        why: ValueError,
        /// What the parameter accepts.
        wants: Wants,
    },
    /// Right up to here, then more.
    Extra {
        /// What is too much.
        at: Span,
        /// What was said there.
        said: String,
        /// What would have been right, without it.
        without: String,
    },
    /// `is` with something that is no service.
    UnknownService {
        /// The name.
        at: Span,
        /// What was said.
        said: String,
        /// The nearest.
        did_you_mean: Option<ServiceName>,
        /// The services that one can ask about: all, or those of the system that was named.
        known: Vec<ServiceName>,
    },
    /// A name or title that several services answer to.
    AmbiguousService {
        /// The name.
        at: Span,
        /// What was said.
        said: String,
        /// Which.
        names: Vec<ServiceName>,
    },
    /// `is SERVICE` with a word that is no check of it.
    UnknownCheck {
        /// The word; where it could be said, if there is none.
        at: Span,
        /// What was said; empty if nothing.
        said: String,
        /// Of which service.
        service: ServiceName,
        /// Its checks.
        known: Vec<CheckName>,
        /// The nearest.
        did_you_mean: Option<CheckName>,
    },
    /// `help` on something that there is not.
    UnknownTopic {
        /// The topic.
        at: Span,
        /// What was said.
        said: String,
        /// The nearest.
        did_you_mean: Option<String>,
    },
    /// Something that stands where a request's code should.
    NotACode {
        /// It.
        at: Span,
        /// What was said.
        said: String,
        /// The built-in's word.
        command: &'static str,
    },
    /// Something that stands where a run's number should.
    NotARun {
        /// It.
        at: Span,
        /// What was said.
        said: String,
        /// The built-in's word.
        command: &'static str,
    },
    /// `resume` with something that is no trigger.
    UnknownTrigger {
        /// The name.
        at: Span,
        /// What was said.
        said: String,
        /// The nearest.
        did_you_mean: Option<TriggerName>,
        /// All of them, or those that it can mean.
        known: Vec<TriggerName>,
    },
    /// `who is on call for` something that is no rota, system or service.
    UnknownOnCall {
        /// The name.
        at: Span,
        /// What was said.
        said: String,
        /// The nearest.
        did_you_mean: Option<String>,
        /// The rotas and systems that it can be.
        known: Vec<String>,
    },
    /// A name that nobody has.
    UnknownPerson {
        /// The name.
        at: Span,
        /// What was said.
        said: String,
        /// The nearest.
        did_you_mean: Option<PersonId>,
    },
    /// Something that stands where an end should.
    NotATime {
        /// It; where it could be said, if there is nothing.
        at: Span,
        /// What was said.
        said: String,
    },
    /// Something that stands where an incident's number should.
    NotAnIncident {
        /// It.
        at: Span,
        /// What was said.
        said: String,
        /// The built-in's word.
        command: &'static str,
    },
    /// A built-in with the right first word and something else after it.
    Usage {
        /// What came after it.
        at: Span,
        /// The built-in's word.
        command: &'static str,
    },
}

impl ParseError {
    /// Where the mistake is.
    pub fn at(&self) -> &Span {
        match self {
            Self::UnknownCommand { at, .. }
            | Self::SeveralLines { at }
            | Self::Quoted { at }
            | Self::TooLong { at, .. }
            | Self::Ambiguous { at, .. }
            | Self::UnknownRunbook { at, .. }
            | Self::AmbiguousRunbook { at, .. }
            | Self::UnknownArgument { at, .. }
            | Self::UnnamedArgument { at, .. }
            | Self::MissingArgument { at, .. }
            | Self::DuplicateArgument { at, .. }
            | Self::UnclosedQuote { at }
            | Self::Value { at, .. }
            | Self::Extra { at, .. }
            | Self::UnknownService { at, .. }
            | Self::AmbiguousService { at, .. }
            | Self::UnknownCheck { at, .. }
            | Self::UnknownTopic { at, .. }
            | Self::NotACode { at, .. }
            | Self::NotARun { at, .. }
            | Self::UnknownTrigger { at, .. }
            | Self::UnknownOnCall { at, .. }
            | Self::UnknownPerson { at, .. }
            | Self::NotATime { at, .. }
            | Self::NotAnIncident { at, .. }
            | Self::Usage { at, .. } => at,
        }
    }
}

/// What a parameter accepts, as told to people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wants {
    /// One of these.
    OneOf(Vec<String>),
    /// A whole number within bounds, both included.
    Integer {
        /// Smallest.
        min: i64,
        /// Greatest.
        max: i64,
    },
    /// Text on one line.
    Text {
        /// Greatest number of characters.
        max_length: usize,
    },
}

impl Wants {
    /// What a kind of parameter accepts in this catalog.
    pub fn of(catalog: &Catalog, kind: &ParamKind) -> Self {
        let services = |system: &System| system.services.keys().map(ToString::to_string).collect::<Vec<_>>();
        match kind {
            ParamKind::Service { system: None } => Self::OneOf(catalog.systems.values().flat_map(services).collect()),
            ParamKind::Service { system: Some(name) } => {
                Self::OneOf(catalog.systems.get(name).map(services).unwrap_or_default())
            }
            ParamKind::System => Self::OneOf(catalog.systems.keys().map(ToString::to_string).collect()),
            ParamKind::Choice(choices) => Self::OneOf(choices.clone()),
            ParamKind::Integer { min, max } => Self::Integer { min: *min, max: *max },
            ParamKind::Text { max_length } => Self::Text { max_length: *max_length },
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueError {
    /// None of those that there are.
    Unknown {
        /// The nearest.
        did_you_mean: Option<String>,
    },
    /// Several answer to it.
    Ambiguous {
        /// Which.
        names: Vec<String>,
    },
    /// A service, but of a system that the parameter does not allow.
    OtherSystem {
        /// The service's system.
        system: SystemName,
    },
    /// No whole number.
    NotANumber,
    /// A number that is too small or too great.
    OutOfBounds,
    /// Nothing.
    Empty,
    /// Too many characters.
    TooLong {
        /// How many there are.
        length: usize,
    },
    /// A control character, a direction mark or a character without width.
    Hidden {
        /// Which.
        character: char,
    },
    /// Begins with `-`, which the program would read as an option.
    LeadingDash,
}

//! What a line asks for: text in, [`Parsed`] out. Pure; knows the catalog and nothing else.
//!
//! What lives here: the order in which readings are tried and who wins; one small file per built-in command; phrases of
//! runbooks; names, values, near misses. What does not: who may do it, to what it applies here, what is said about it.
//! Keeps its part of I9: unknown arguments are refused, values are canonical, nothing is ever guessed.
//!
//! # The rule of the room
//!
//! In a declared room the bot reads every line, and people talk there. A line is one of three things:
//!
//! - **Right**: the whole line is a command. A final full stop or a courtesy is forgiven, and a question mark where the
//!   command only reads.
//! - **Wrong, and surely meant for the bot**, so it is answered even in a room:
//!   - a phrase's fixed words are all there and what stands for a parameter is *attempted*: near a known name, or
//!     several, or of another system, or sharing a name's first word without being longer (`service x`), or one word
//!     with a digit or underscore (`web7`), or a number, or a name followed by at most three more words;
//!   - a phrase of which a fixed word has a slip of the finger and everything else fits or nearly fits;
//!   - a built-in whose first word has a slip and which is right with that word mended;
//!   - a command but for a leading `please`, a final `!`, or a final `?` where it would change something;
//!   - `run` with a known runbook, a nearly known one, or `key=value`; `is` with a known or attempted service and one
//!     word; a run's or an incident's number or a request's code with a wrong character; a judgement without a reason.
//! - **Talk**, everything else: the bot is silent. `start the meeting` is talk, because no name is near `the meeting`.
//!
//! A line that is addressed to the bot (mention, slash command, direct message) is never just talk: what would be talk
//! in the room is answered with the nearest suggestion, if there is one.
//!
//! Only a line of its own is a command: of several lines, of quotations and of code none is.
//!
//! Decisions are stricter: the line must be the word, with a code at most. What sounds like a decision is
//! [`Parsed::NearYes`] or [`Parsed::NearNo`] and decides nothing.

#![expect(clippy::result_large_err, reason = "a reading is made once a line and read at once: boxing it buys nothing")]

mod access;
mod ack;
mod again;
mod approve;
mod at;
mod break_glass;
mod countersign;
mod delegate;
mod deny;
mod handover;
mod happened;
mod help;
mod incidents;
mod is;
mod judge;
mod looking;
mod names;
mod near;
mod note;
mod number;
mod on_call;
mod open;
mod pause;
mod phrase;
mod ping;
mod reason;
mod refuse;
mod reopen;
mod report;
mod requests;
mod resolve;
mod resume;
mod retry;
mod review;
mod revoke;
mod run;
mod send_back;
mod show;
mod skip;
mod status;
mod stop;
mod take_back;
mod until;
mod value;
mod whoami;
mod withdraw;
mod words;

#[cfg(test)]
mod tests;

pub use crate::model::command::{
    AccessShown, Anew, Command, OnCallFor, ParseError, Parsed, Shown, Span, ValueError, Verdict, Wants,
};
pub use crate::model::phrase::{clash, first_words, shadows};
pub use run::named_run;

use crate::model::catalog::Catalog;
use crate::model::chat::{Addressed, MAX_LINE};

use words::{Ending, Word};

/// Where a line was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whether it is a room of the catalog, where the bot listens to every line.
    pub in_declared_room: bool,
}

/// Reads one message. Positions in the result are byte positions in `text`.
pub fn parse(catalog: &Catalog, text: &str, address: Addressed, place: Place) -> Parsed {
    let (address, from) = match words::after_mention(text) {
        Some(from) if address == Addressed::ToRoom => (Addressed::Mention, from),
        Some(from) => (address, from),
        None => (address, 0),
    };
    let audience = match address {
        Addressed::ToRoom if !place.in_declared_room => return Parsed::Talk,
        Addressed::ToRoom => Audience::Room,
        Addressed::Mention | Addressed::Slash | Addressed::Direct => Audience::Bot,
    };
    let body = text[from..].trim();
    let from = body.as_ptr() as usize - text.as_ptr() as usize;
    let unread = |error| match audience {
        Audience::Room => Parsed::Talk,
        Audience::Bot => Parsed::Wrong(error),
    };
    if body.is_empty() {
        return match audience {
            Audience::Room => Parsed::Talk,
            Audience::Bot => Parsed::Command(Command::Help { topic: None }),
        };
    }
    if let Some(end) = body.find(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']) {
        return unread(ParseError::SeveralLines { at: from + end..from + body.len() });
    }
    if words::quoted(body) {
        return unread(ParseError::Quoted { at: from..from + body.len() });
    }
    if body.len() > MAX_LINE {
        return unread(ParseError::TooLong {
            at: from + body.floor_char_boundary(MAX_LINE)..from + body.len(),
            max: MAX_LINE,
        });
    }
    let line = Line::new(catalog, &text[..from + body.len()], from);
    let reading = read(&line);
    match (reading, audience) {
        (Reading::Right(command), _) => Parsed::Command(command),
        (Reading::Wrong(error), _) => Parsed::Wrong(error),
        (Reading::NotMine | Reading::Perhaps(_), _) if near::yes(&line) => Parsed::NearYes,
        (Reading::NotMine | Reading::Perhaps(_), _) if near::no(&line) => Parsed::NearNo,
        (reading, audience) => match near::suggestion(&line, near::Care::Slips) {
            Some(better) => Parsed::Wrong(line.unknown(Some(better))),
            None => match (audience, reading) {
                (Audience::Room, _) => Parsed::Talk,
                (Audience::Bot, Reading::Perhaps(error)) => Parsed::Wrong(error),
                (Audience::Bot, _) => Parsed::Wrong(line.unknown(near::suggestion(&line, near::Care::Loose))),
            },
        },
    }
}

/// Whom a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// Whoever listens.
    Room,
    /// The bot.
    Bot,
}

/// What one reader makes of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reading {
    /// Not its business.
    NotMine,
    /// A command.
    Right(Command),
    /// Surely meant for the bot, and wrong.
    Wrong(ParseError),
    /// Wrong if it was meant for the bot; in a room it is talk.
    Perhaps(ParseError),
}

/// One line on its way to a command.
struct Line<'a> {
    catalog: &'a Catalog,
    /// The message up to the line's end, with everything before the line: positions count from its start.
    text: &'a str,
    /// The line's words as said.
    raw: Vec<Word<'a>>,
    /// The words without full stop, courtesy or question mark.
    words: Vec<Word<'a>>,
    ending: Ending,
}

impl<'a> Line<'a> {
    fn new(catalog: &'a Catalog, text: &'a str, from: usize) -> Self {
        let raw = words::split(text, from);
        let (words, ending) = words::without_ending(&raw);
        Self { catalog, text, raw, words, ending }
    }

    /// Where the line is.
    fn span(&self) -> Span {
        words::span(&self.raw)
    }

    /// The line as said.
    fn said(&self) -> &'a str {
        &self.text[self.span()]
    }

    /// The whole line as one mistake.
    fn unknown(&self, did_you_mean: Option<String>) -> ParseError {
        ParseError::UnknownCommand { at: self.span(), said: self.said().to_owned(), did_you_mean }
    }

    /// What was said, from a word's start to the line's end.
    fn rest_from(&self, word: &Word<'a>) -> &'a str {
        &self.text[word.start..self.span().end]
    }

    /// The words after the first, if the first is this one. `None` if it is not.
    fn after(&self, first: &str) -> Option<&[Word<'a>]> {
        let (word, rest) = self.words.split_first()?;
        word.is(first).then_some(rest)
    }

    /// Wrong if it was meant for the bot: the built-in with something else after it.
    fn usage(&self, command: &'static str) -> Reading {
        let at = words::span(self.words.get(1..).unwrap_or_default());
        Reading::Perhaps(ParseError::Usage { at, command })
    }
}

/// What the line is, by the built-in that its first word names and by the phrases of runbooks.
fn read(line: &Line<'_>) -> Reading {
    match (built_in(line), phrase::read(line)) {
        (Reading::Right(one), Reading::Right(other)) if one != other => Reading::Wrong(ParseError::Ambiguous {
            at: line.span(),
            said: line.said().to_owned(),
            readings: [one, other].iter().filter_map(run::general_form).collect(),
        }),
        (Reading::Right(command), _) | (_, Reading::Right(command)) => Reading::Right(command),
        // A phrase says more exactly what is wrong: `stop service x` is about the service, not about a run's number.
        (_, Reading::Wrong(error)) | (Reading::Wrong(error), _) => Reading::Wrong(error),
        (Reading::Perhaps(error), _) | (_, Reading::Perhaps(error)) => Reading::Perhaps(error),
        (Reading::NotMine, Reading::NotMine) => Reading::NotMine,
    }
}

/// What the built-in makes of it whose word comes first.
fn built_in(line: &Line<'_>) -> Reading {
    let Some(first) = line.words.first() else { return Reading::NotMine };
    let reading = match first.text.to_lowercase().as_str() {
        "access" => access::read(line),
        "ack" => ack::read(line),
        "again" => again::read(line),
        "approve" | "approved" => approve::read(line),
        "at" => at::read(line),
        "break" => break_glass::read(line),
        "countersign" => countersign::read(line),
        "delegate" => delegate::read(line),
        "delegations" => delegate::list(line),
        "deny" | "denied" => deny::read(line),
        "end" => delegate::end(line),
        "handover" => handover::read(line),
        "help" => help::read(line),
        "incidents" => incidents::read(line),
        "is" => is::read(line),
        "judge" => judge::read(line),
        "looking" => looking::read(line),
        "note" | "note:" => note::read(line),
        "open" => open::read(line),
        "pause" => pause::read(line),
        "ping" => ping::read(line),
        "refuse" => refuse::read(line),
        "reopen" => reopen::read(line),
        "report" => report::read(line),
        "requests" => requests::read(line),
        "resolve" => resolve::read(line),
        "resume" => resume::read(line),
        "retry" => retry::read(line),
        "review" => review::read(line),
        "reviews" => review::read_list(line),
        "revoke" => revoke::read(line),
        "run" => run::read(line),
        "send" | "request" => send_back::read(line),
        "show" => show::read(line),
        "skip" => skip::read(line),
        "status" => status::read(line),
        "stop" => stop::read(line),
        "take" => take_back::read(line),
        "taken" => handover::taken(line),
        "what" => happened::read(line),
        "who" => on_call::read(line),
        "whoami" => whoami::read(line),
        "withdraw" => withdraw::read(line),
        _ => Reading::NotMine,
    };
    match reading {
        // `stop?` alone is talk; `stop run 12?` is near a command, and must not be one.
        Reading::Right(command) if line.ending == Ending::Question && asked_means_doubt(&command) => {
            let better = words_text(line, &line.words);
            match line.words.len() {
                1 => Reading::Perhaps(line.unknown(Some(better))),
                _ => Reading::Wrong(line.unknown(Some(better))),
            }
        }
        reading => reading,
    }
}

/// The text from the first to the last of the words.
fn words_text(line: &Line<'_>, words: &[Word<'_>]) -> String {
    line.text[words::span(words)].to_owned()
}

/// Whether a question mark after the command makes it a question to people rather than to the bot. Commands that only
/// read answer questions; those whose reason may hold a question mark see to it themselves.
fn asked_means_doubt(command: &Command) -> bool {
    match command {
        Command::Ping
        | Command::Help { .. }
        | Command::WhoAmI
        | Command::OnCall { .. }
        | Command::Is { .. }
        | Command::Requests
        | Command::Delegations
        | Command::Handover { reason: Some(_), .. }
        | Command::Show { .. }
        | Command::Run { .. }
        | Command::At { .. }
        | Command::Approve { .. }
        | Command::Deny { .. }
        | Command::SendBack { .. }
        | Command::BreakGlass { .. }
        | Command::Review { .. }
        | Command::Reviews
        | Command::Revoke { reason: Some(_), .. }
        | Command::Judge { .. }
        | Command::Skip { .. }
        | Command::Incidents
        | Command::Open { .. }
        | Command::Note { .. }
        | Command::Happened { .. }
        | Command::Status
        | Command::Countersign { .. }
        | Command::Refuse { .. }
        | Command::Access { .. }
        | Command::Report { .. }
        | Command::Pause { reason: Some(_) }
        | Command::Resolve { reason: Some(_), .. }
        | Command::Reopen { reason: Some(_), .. } => false,
        Command::Again
        | Command::Looking { .. }
        | Command::Delegate { .. }
        | Command::EndDelegation { .. }
        | Command::Handover { reason: None, .. }
        | Command::Taken { .. }
        | Command::Withdraw { .. }
        | Command::Revoke { reason: None, .. }
        | Command::Stop { .. }
        | Command::TakeBack { .. }
        | Command::Retry { .. }
        | Command::Ack { .. }
        | Command::Pause { reason: None }
        | Command::Resume { .. }
        | Command::Resolve { reason: None, .. }
        | Command::Reopen { reason: None, .. } => true,
    }
}

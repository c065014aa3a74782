//! From what was said to the handler that deals with it.
//!
//! Keeps I6 (the inbox row, the effect and the answer are one transaction; what was received before does nothing; an edit
//! never acts; a command that is too old is only recorded) and I9 (who is unknown can only ask who they are).

use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::Instrument;

use super::commands;
use super::turn::{Answered, Turn, listed};
use super::{App, InUse};
use crate::chat::sender::split;
use crate::chat::{Delivery, Inbound, NewsReceived, ReceiveError, Received};
use crate::command::{self, Command, Parsed, Place};
use crate::metrics::{self, Line};
use crate::model::chat::{Addressed, Incoming, Message, RoomNews, Said};
use crate::model::event::{Happened, Missed, NewEvent, Record, Scope};
use crate::model::id::{InboxId, PersonId};
use crate::model::trace::Trace;
use crate::store::{IncidentPlace, LineOutcome, PlainLine, StoreError, Tx};
use crate::text;

/// After how long a command does not act any more.
const STALE_AFTER: TimeDelta = TimeDelta::minutes(2);

/// How often a turn is tried when somebody else was faster.
pub(super) const TRIES: u32 = 5;

/// How often a turn is tried when its connection has died. After the database was restarted every connection of the pool
/// is dead, and each is found by using it.
pub(super) const TRIES_OF_CONNECTIONS: u32 = crate::store::MOST_CONNECTIONS + 1;

impl Inbound for App {
    fn receive(&self, incoming: Incoming) -> BoxFuture<'_, Result<Received, ReceiveError>> {
        async move { self.take(&incoming, Heard::Now).await }.boxed()
    }

    fn news(&self, news: RoomNews) -> BoxFuture<'_, Result<NewsReceived, ReceiveError>> {
        self.take_news(news).boxed()
    }
}

/// How something that was said came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// As it was said.
    Now,
    /// It was found in the room's history: nobody waits for an answer to each line that is too late.
    Later,
}

impl App {
    /// Takes something that was found in a room's history, as [`Inbound::receive`] does; what is too late to act, and what
    /// was edited, is recorded without a word.
    pub(super) async fn receive_late(&self, incoming: &Incoming) -> Result<Received, ReceiveError> {
        self.take(incoming, Heard::Later).await
    }

    async fn take(&self, incoming: &Incoming, heard: Heard) -> Result<Received, ReceiveError> {
        let began = Instant::now();
        let trace = match incoming.trace {
            Some(trace) => trace,
            None => begin_trace().map_err(|error| ReceiveError(error.into()))?,
        };
        // Everything that is logged on the way carries these, errors too when nothing else is logged.
        let span = tracing::error_span!(
            "line",
            trace_id = %trace.id(),
            line.room = %incoming.room,
            line.key = %incoming.what.key(),
            run.id = tracing::field::Empty,
            incident.id = tracing::field::Empty,
        );
        let received = self.receive_until_kept(incoming, heard, trace).instrument(span.clone()).await;
        let took = began.elapsed();
        let line = received.as_ref().map_or(Line::Failed, |taken| taken.line);
        metrics::line(line, took);
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        span.in_scope(|| match line {
            Line::Answered | Line::Refused => tracing::info!(outcome = line.name(), millis, "a line was taken"),
            Line::Talk | Line::Recorded | Line::Again => {
                tracing::debug!(outcome = line.name(), millis, "a line was taken");
            }
            // Said where it failed.
            Line::Failed => {}
        });
        received.map(|taken| taken.received)
    }
}

/// What was received, and what came of it.
struct Taken {
    received: Received,
    line: Line,
}

impl Taken {
    fn first(line: InboxId, outcome: LineOutcome) -> Self {
        Self { received: Received { line, delivery: Delivery::First }, line: line_of(outcome) }
    }
}

/// A trace that begins here.
pub(super) fn begin_trace() -> Result<Trace, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(Trace::from_entropy(bytes))
}

fn line_of(outcome: LineOutcome) -> Line {
    match outcome {
        LineOutcome::Talk => Line::Talk,
        LineOutcome::Answered => Line::Answered,
        LineOutcome::Refused => Line::Refused,
        LineOutcome::Recorded => Line::Recorded,
    }
}

impl App {
    /// Takes a line, again when somebody else was faster or a connection had died.
    async fn receive_until_kept(&self, incoming: &Incoming, heard: Heard, trace: Trace) -> Result<Taken, ReceiveError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.turn(incoming, heard, trace).await {
                Ok(taken) => return Ok(taken),
                // Somebody else moved a row that this turn had read, or two turns met: look again.
                Err(StoreError::Moved { .. }) if tries < TRIES => {}
                Err(StoreError::Database(error)) if tries < TRIES && is_collision(&error) => {}
                // Perhaps it was committed: then the line is known, and does nothing a second time (I6).
                Err(error) if tries < TRIES_OF_CONNECTIONS && error.is_cut() => {}
                Err(error) => {
                    tracing::error!(
                        error = %text::chain(&error),
                        "a line could not be dealt with"
                    );
                    // What the database may do later is worth another delivery. Anything else would only fail again:
                    // it is kept, refused, and the room is told.
                    if matches!(error, StoreError::Database(_)) {
                        return Err(ReceiveError(error.into()));
                    }
                    return self.broken(incoming, heard).await.map_err(|error| ReceiveError(error.into()));
                }
            }
        }
    }
}

/// Deadlock and serialisation failure: the database chose this transaction to step back.
pub(super) fn is_collision(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}

impl App {
    /// Keeps a line that something of ours cannot deal with: refused, with a sentence, so that it is not delivered again
    /// for ever.
    async fn broken(&self, incoming: &Incoming, heard: Heard) -> Result<Taken, StoreError> {
        let in_use = self.in_use();
        let person = in_use.catalog.person_of(&incoming.account).map(|person| person.name.clone());
        let text = said_text(incoming).map(|text| in_use.secrets.redact(text));
        let mut tx = self.store.begin().await?;
        let Some(line) = tx.insert_line(incoming, person.as_ref(), text.as_deref()).await? else {
            drop(tx);
            return self.again(incoming).await;
        };
        let answer = Message::to_room(text::answer::broken());
        let Answered { room, thread } = Answered::to(self, &in_use.catalog, incoming, None);
        tx.answer(line, &room, thread.as_ref(), answer);
        tx.set_line_outcome(line, LineOutcome::Refused).await?;
        let record = said(incoming, heard, person, text, LineOutcome::Refused, tx.answers());
        tx.record(NewEvent { scope: Scope::default(), cause: Some(line), record });
        tx.commit().await?;
        Ok(Taken::first(line, LineOutcome::Refused))
    }

    /// What was received before.
    async fn again(&self, incoming: &Incoming) -> Result<Taken, StoreError> {
        let row = self.store.find_line(&incoming.room, &incoming.what.key()).await?;
        let row = row.ok_or_else(|| StoreError::Database(sqlx::Error::RowNotFound))?;
        Ok(Taken { received: Received { line: row.id, delivery: Delivery::Again }, line: Line::Again })
    }

    async fn turn(&self, incoming: &Incoming, heard: Heard, trace: Trace) -> Result<Taken, StoreError> {
        let in_use = self.in_use();
        let person = in_use.catalog.person_of(&incoming.account).map(|person| person.name.clone());
        // I8: before storage.
        let text = said_text(incoming).map(|text| in_use.secrets.redact(text));
        // A channel that was made for an incident is a room like those that the catalog declares.
        let own = match in_use.catalog.room_at(&incoming.room) {
            Some(_) => None,
            None => self.store.find_incident_at(&incoming.room).await?,
        };
        let parsed = read(&in_use, incoming, text.as_deref(), own.as_ref());
        if heard == Heard::Later && self.is_too_late(incoming) {
            return self.record_late(incoming, person, text, &parsed).await;
        }
        if let Some((outcome, answers)) = self.plain(&in_use, incoming, person.as_ref(), &parsed) {
            let texts = answers.iter().map(|answer| answer.text.clone()).collect();
            let record = said(incoming, heard, person.clone(), text.clone(), outcome, texts);
            let (person, text) = (person.as_ref(), text.as_deref());
            let Answered { room, thread } = Answered::to(self, &in_use.catalog, incoming, own.as_ref());
            let (answered_in, answered_thread) = (&room, thread.as_ref());
            let plain = PlainLine { incoming, person, text, outcome, record, answers, answered_in, answered_thread };
            if let Some(line) = self.store.insert_plain_line(plain).await? {
                return Ok(Taken::first(line, outcome));
            }
            // Received before, or edited since: the long way finds out.
        }
        let mut tx = self.store.begin().await?;
        tx.set_trace(trace);
        let Some(line) = tx.insert_line(incoming, person.as_ref(), text.as_deref()).await? else {
            drop(tx);
            return self.again(incoming).await;
        };
        let decides_access =
            matches!(parsed, Reading::Said(Parsed::Command(Command::Countersign { .. } | Command::Refuse { .. })));
        let (mut tx, outcome) = match person.clone() {
            Some(person) => self.act(tx, in_use, incoming, line, person, own, parsed, text.as_deref()).await?,
            None => {
                let (outcome, answer) = stranger(incoming, &parsed);
                if let Some(answer) = answer {
                    let Answered { room, thread } = Answered::to(self, &in_use.catalog, incoming, own.as_ref());
                    tx.answer(line, &room, thread.as_ref(), answer);
                }
                (tx, outcome)
            }
        };
        if outcome != LineOutcome::Answered {
            tx.set_line_outcome(line, outcome).await?;
        }
        let record = said(incoming, heard, person, text, outcome, tx.answers());
        tx.record(NewEvent { scope: Scope::default(), cause: Some(line), record });
        tx.commit().await?;
        // Whoever is answered finds it in force. Where this fails, the catalog's watch does it within seconds.
        if decides_access && let Err(error) = self.follow_access().await {
            tracing::error!(error = %text::chain(&error), "what was countersigned could not be taken into use");
        }
        Ok(Taken::first(line, outcome))
    }

    /// Whether something that was found in a room's history can only be recorded.
    fn is_too_late(&self, incoming: &Incoming) -> bool {
        match incoming.what {
            Said::Edit { .. } => true,
            Said::Line { .. } | Said::Press { .. } => self.is_stale(incoming, self.store.clock().now()),
        }
    }

    fn is_stale(&self, incoming: &Incoming, now: DateTime<Utc>) -> bool {
        now - incoming.said_at > STALE_AFTER
    }

    /// Records something that was found too late, without a word. What would have been a command of somebody's waits to be
    /// told, with all others of its room.
    async fn record_late(
        &self,
        incoming: &Incoming,
        person: Option<PersonId>,
        text: Option<String>,
        parsed: &Reading,
    ) -> Result<Taken, StoreError> {
        let mut tx = self.store.begin().await?;
        let Some(line) = tx.insert_line(incoming, person.as_ref(), text.as_deref()).await? else {
            drop(tx);
            return self.again(incoming).await;
        };
        let (outcome, missed) = match (parsed, &incoming.what) {
            (Reading::Said(Parsed::Talk | Parsed::NearYes | Parsed::NearNo), _) => (LineOutcome::Talk, None),
            (Reading::Said(Parsed::Command(_) | Parsed::Wrong(_)), _) => (LineOutcome::Recorded, Some(Missed::Late)),
            (Reading::Edited { looks_like_a_command: false }, _) => (LineOutcome::Recorded, None),
            (Reading::Edited { looks_like_a_command: true }, Said::Edit { message, .. }) => {
                // What it said first was dealt with when it was heard.
                let heard = tx.is_known(&incoming.room, &Said::line_key(message)).await?;
                (LineOutcome::Recorded, (!heard).then_some(Missed::Edited))
            }
            (Reading::Edited { looks_like_a_command: true }, Said::Line { .. } | Said::Press { .. }) => {
                (LineOutcome::Recorded, None)
            }
        };
        if let Some(why) = missed.filter(|_| person.is_some()) {
            tx.insert_missed_line(line, &incoming.room, why).await?;
        }
        tx.set_line_outcome(line, outcome).await?;
        let record = said(incoming, Heard::Later, person, text, outcome, Vec::new());
        tx.record(NewEvent { scope: Scope::default(), cause: Some(line), record });
        tx.commit().await?;
        Ok(Taken::first(line, outcome))
    }

    /// What comes of a line that needs no look at the database before it is answered; `None` for every other.
    fn plain(
        &self,
        in_use: &InUse,
        incoming: &Incoming,
        person: Option<&PersonId>,
        parsed: &Reading,
    ) -> Option<(LineOutcome, Vec<Message>)> {
        let Some(person) = person else {
            let (outcome, answer) = stranger(incoming, parsed);
            return Some((outcome, answer.into_iter().collect()));
        };
        let aloud = |text: &str| -> Vec<Message> {
            split(text, self.limits(&incoming.room).text).into_iter().map(Message::to_room).collect()
        };
        match parsed {
            Reading::Said(Parsed::Talk) => Some((LineOutcome::Talk, Vec::new())),
            Reading::Said(Parsed::Wrong(error)) => Some((LineOutcome::Refused, aloud(&text::command::wrong(error)))),
            Reading::Said(Parsed::Command(command)) => {
                if self.is_stale(incoming, self.store.clock().now()) {
                    return None;
                }
                let answer = match command {
                    Command::Ping => text::answer::pong().to_owned(),
                    Command::Help { topic } => {
                        let said = commands::help(&in_use.catalog, person, topic.as_deref());
                        return Some((LineOutcome::Answered, listed("help", said, self.limits(&incoming.room))));
                    }
                    Command::WhoAmI => {
                        let unseen = text::answer::unseen(&in_use.catalog.all_unseen(), self.steady.now());
                        commands::whoami(&in_use.catalog, person, &incoming.account) + &unseen
                    }
                    Command::OnCall { .. }
                    | Command::Is { .. }
                    | Command::Run { .. }
                    | Command::Again
                    | Command::Approve { .. }
                    | Command::Deny { .. }
                    | Command::Looking { .. }
                    | Command::Delegate { .. }
                    | Command::Delegations
                    | Command::EndDelegation { .. }
                    | Command::Handover { .. }
                    | Command::Taken { .. }
                    | Command::Withdraw { .. }
                    | Command::SendBack { .. }
                    | Command::Revoke { .. }
                    | Command::BreakGlass { .. }
                    | Command::Review { .. }
                    | Command::Reviews
                    | Command::TakeBack { .. }
                    | Command::Stop { .. }
                    | Command::Judge { .. }
                    | Command::Skip { .. }
                    | Command::Retry { .. }
                    | Command::Requests
                    | Command::Show { .. }
                    | Command::Incidents
                    | Command::Open { .. }
                    | Command::Ack { .. }
                    | Command::Pause { .. }
                    | Command::Resume { .. }
                    | Command::Resolve { .. }
                    | Command::Reopen { .. }
                    | Command::Note { .. }
                    | Command::Happened { .. }
                    | Command::Status
                    | Command::Countersign { .. }
                    | Command::Refuse { .. }
                    | Command::Access { .. }
                    | Command::Report { .. } => return None,
                };
                Some((LineOutcome::Answered, aloud(&answer)))
            }
            Reading::Said(Parsed::NearYes | Parsed::NearNo) | Reading::Edited { .. } => None,
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one turn, taken apart once")]
    async fn act(
        &self,
        tx: Tx,
        in_use: Arc<InUse>,
        incoming: &Incoming,
        line: InboxId,
        person: PersonId,
        own: Option<IncidentPlace>,
        parsed: Reading,
        text: Option<&str>,
    ) -> Result<(Tx, LineOutcome), StoreError> {
        let answered = Answered::to(self, &in_use.catalog, incoming, own.as_ref());
        let outcome = LineOutcome::Answered;
        let mut turn = Turn { app: self, in_use, tx, incoming, line, person, own, outcome, answered, told_in: None };
        match parsed {
            Reading::Said(Parsed::Talk) => turn.outcome = LineOutcome::Talk,
            Reading::Said(Parsed::NearYes) => commands::near(&mut turn, commands::Near::Yes).await?,
            Reading::Said(Parsed::NearNo) => commands::near(&mut turn, commands::Near::No).await?,
            Reading::Said(Parsed::Wrong(error)) => turn.refuse(text::command::wrong(&error)),
            Reading::Said(Parsed::Command(command)) => {
                let now = turn.tx.now();
                if turn.tx.line_was_edited(incoming).await? {
                    turn.refuse_privately(text::answer::edited());
                } else if self.is_stale(incoming, now) {
                    let said_at = self.times.at(incoming.said_at, now);
                    turn.refuse(text::answer::stale(text.unwrap_or_default(), &said_at));
                    turn.outcome = LineOutcome::Recorded;
                } else {
                    commands::run(&mut turn, command).await?;
                }
            }
            Reading::Edited { looks_like_a_command } => {
                if looks_like_a_command {
                    turn.refuse_privately(text::answer::edited());
                }
                turn.outcome = LineOutcome::Recorded;
            }
        }
        Ok((turn.tx, turn.outcome))
    }
}

fn said_text(incoming: &Incoming) -> Option<&str> {
    match &incoming.what {
        Said::Line { text, .. } => Some(text),
        Said::Press { command, .. } => Some(command),
        Said::Edit { text, .. } => text.as_deref(),
    }
}

/// What something that came in turned out to be.
enum Reading {
    Said(Parsed),
    Edited { looks_like_a_command: bool },
}

fn read(in_use: &InUse, incoming: &Incoming, text: Option<&str>, own: Option<&IncidentPlace>) -> Reading {
    let declared = own.is_some() || in_use.catalog.room_at(&incoming.room).is_some();
    let place = Place { in_declared_room: declared };
    let parse = |address| text.map_or(Parsed::Talk, |text| command::parse(&in_use.catalog, text, address, place));
    match &incoming.what {
        Said::Line { address, .. } => Reading::Said(parse(*address)),
        Said::Press { .. } => Reading::Said(parse(Addressed::Direct)),
        Said::Edit { .. } => {
            let parsed = parse(Addressed::ToRoom);
            Reading::Edited { looks_like_a_command: matches!(parsed, Parsed::Command(_) | Parsed::Wrong(_)) }
        }
    }
}

/// Somebody whom the catalog does not know: can ask who they are, and nothing else (I9). They alone read the answer: a
/// stranger must not be able to make the bot fill a room.
fn stranger(incoming: &Incoming, parsed: &Reading) -> (LineOutcome, Option<Message>) {
    let (outcome, answer) = match parsed {
        Reading::Said(Parsed::Talk | Parsed::NearYes | Parsed::NearNo) => return (LineOutcome::Talk, None),
        Reading::Edited { .. } => return (LineOutcome::Recorded, None),
        Reading::Said(Parsed::Command(Command::WhoAmI)) => {
            (LineOutcome::Answered, text::answer::whoami_unknown(&incoming.account))
        }
        Reading::Said(Parsed::Command(_) | Parsed::Wrong(_)) => {
            (LineOutcome::Refused, text::answer::unknown_person(&incoming.account))
        }
    };
    (outcome, Some(Message::only_to(incoming.account.clone(), answer)))
}

/// The ledger's event of what was said.
fn said(
    incoming: &Incoming,
    heard: Heard,
    person: Option<PersonId>,
    text: Option<String>,
    outcome: LineOutcome,
    answer: Vec<String>,
) -> Record {
    let what = match &incoming.what {
        Said::Line { .. } | Said::Press { .. } => Happened::LineSaid {
            room: incoming.room.clone(),
            thread: incoming.thread.clone(),
            key: incoming.what.key(),
            account: incoming.account.clone(),
            person,
            text: text.unwrap_or_default(),
            outcome: outcome.name().to_owned(),
            answer,
            said_at: match heard {
                Heard::Now => None,
                Heard::Later => Some(incoming.said_at),
            },
        },
        Said::Edit { message, .. } => Happened::LineEdited {
            room: incoming.room.clone(),
            message: message.clone(),
            account: incoming.account.clone(),
            person,
            text,
            answer,
        },
    };
    Record { what, rows: Vec::new() }
}

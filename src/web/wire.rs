//! The API's JSON, as the server writes it and `say` reads it.
//!
//! What lives here: shapes. What does not: who may see what (`follow`, `rooms`).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::model::access::Then;
use crate::model::chat::{Account, Button, Message};
use crate::model::event::{Event, Happened, Record, Scope};
use crate::model::id::{
    Digest, EventId, InboxId, IncidentId, MessageId, OutboxId, PasskeyId, PersonId, Position, RunId, ServiceName,
    SystemName, ThreadId,
};
use crate::model::signature::PublicKey;
use crate::store::{ChainRow, PlanHistory};

/// What is said: the body of `POST /api/v1/rooms/{room}/lines`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLine {
    /// Who speaks: the last part of their account.
    #[serde(rename = "as")]
    pub speaker: String,
    /// What they say, at most 4,000 characters.
    pub text: String,
    /// In which thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// What makes the line itself: saying it again under the same name is a redelivery. Random if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// For how many milliseconds to wait until every run that the line caused is over or waits for a person. Absent:
    /// only for the line's own answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// A changed or deleted message: the body of `POST /api/v1/rooms/{room}/edits`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEdit {
    /// Who changed it.
    #[serde(rename = "as")]
    pub speaker: String,
    /// Which message.
    pub message_id: String,
    /// What makes this revision itself.
    pub revision: String,
    /// What it says now; `null` if it was deleted. Never absent, so that a forgotten field deletes nothing.
    #[serde(deserialize_with = "Option::deserialize")]
    pub text: Option<String>,
}

/// A pressed button: the body of `POST /api/v1/rooms/{room}/presses`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPress {
    /// Who pressed it.
    #[serde(rename = "as")]
    pub speaker: String,
    /// What makes this press itself.
    pub interaction: String,
    /// Under which of the bot's messages.
    pub message: String,
    /// What the button stands for.
    pub command: String,
    /// In which thread the message is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// As for a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
}

/// The first line of a stream: what was said is durable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Its number.
    pub line: InboxId,
    /// Whether it was new.
    pub delivery: KeptAs,
    /// Its name: give it again to say the same thing again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// Whether a thing came for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeptAs {
    /// It did.
    First,
    /// It did not, and so did nothing now.
    Again,
}

/// A message of the bot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its number in the outbox, unique also among edits of the same message; `after` in the history.
    pub number: OutboxId,
    /// When.
    pub at: DateTime<Utc>,
    /// Its name in the room; an edit has the name of what it changes.
    pub id: MessageId,
    /// In which thread.
    pub thread: Option<ThreadId>,
    /// Whether it takes the place of what this message said before.
    pub edits: bool,
    /// Whom it concerns alone: the last part of their account.
    pub only_to: Option<String>,
    /// The whole text.
    pub text: String,
    /// Shortcuts for words.
    pub buttons: Vec<Button>,
}

impl Told {
    /// A message as it is told.
    pub(crate) fn new(
        number: OutboxId,
        at: DateTime<Utc>,
        id: MessageId,
        thread: Option<ThreadId>,
        edits: bool,
        message: Message,
    ) -> Self {
        let Message { text, only_to, ping: _, buttons, file: _, link: _ } = message;
        Self { number, at, id, thread, edits, only_to: only_to.map(|account: Account| account.id), text, buttons }
    }
}

/// The last line of a stream: everything that it waited for has been told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// How it stands.
    pub settled: SettledAs,
    /// The newest run that the line made or moved; one that waits for a person before others.
    pub run: Option<RunId>,
    /// The thread in which that run is talked about.
    pub thread: Option<ThreadId>,
    /// The code of that run's newest request.
    pub request: Option<String>,
    /// Where that run stands.
    pub state: Option<String>,
}

/// How a line's consequences stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SettledAs {
    /// Nothing more comes of it.
    Done,
    /// A run goes on only when a person does something.
    Waiting,
    /// The line was refused.
    Refused,
}

/// The last line of a stream that did not settle in time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TimedOut {
    /// Always true.
    pub timeout: bool,
}

/// An event of the ledger: an element of [`EventsTold`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventTold {
    /// Its place.
    pub position: Position,
    /// The chain's hash there.
    pub hash: Digest,
    /// Its number.
    pub id: EventId,
    /// When.
    pub at: DateTime<Utc>,
    /// Its kind, as stored.
    pub kind: String,
    /// The system that it is about.
    pub system: Option<SystemName>,
    /// That system's environment.
    pub environment: Option<String>,
    /// The incident.
    pub incident: Option<IncidentId>,
    /// The run.
    pub run: Option<RunId>,
    /// Whom it concerns alone: an account.
    pub audience: Option<String>,
    /// The line or button that led to it.
    pub cause: Option<InboxId>,
    /// What happened, as stored; `null` once erased.
    pub what: Option<serde_json::Value>,
}

impl EventTold {
    /// An event as it is told; `None` while it has no place.
    pub(crate) fn new(row: &ChainRow) -> Option<Self> {
        let (position, hash) = row.place?;
        let body = row.body.as_ref().and_then(|(_, body)| serde_json::from_slice::<serde_json::Value>(body).ok());
        Some(Self {
            position,
            hash,
            id: row.id,
            at: row.at,
            kind: row.kind.clone(),
            system: row.scope.system.clone(),
            environment: row.scope.environment.clone(),
            incident: row.scope.incident,
            run: row.scope.run,
            audience: row.scope.audience.clone(),
            cause: row.cause,
            what: body.and_then(|mut body| body.get_mut("what").map(serde_json::Value::take)),
        })
    }

    /// The event itself; without a record when it was erased, or is of a version that this program does not know.
    pub fn event(&self) -> Event {
        let what = self.what.clone().and_then(|what| serde_json::from_value::<Happened>(what).ok());
        Event {
            position: Some(self.position),
            hash: Some(self.hash),
            id: self.id,
            kind: self.kind.clone(),
            at: self.at,
            scope: Scope {
                system: self.system.clone(),
                environment: self.environment.clone(),
                incident: self.incident,
                run: self.run,
                audience: self.audience.clone(),
            },
            cause: self.cause,
            // Which rows it changed is for verification, which reads the ledger itself.
            record: what.map(|what| Record { what, rows: Vec::new() }),
        }
    }
}

/// The answer of `GET /api/v1/events`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventsTold {
    /// The server's time.
    pub now: DateTime<Utc>,
    /// The newest place of the ledger; 0 while it is empty.
    pub head: Position,
    /// How far was looked: `after` of the next question.
    pub up_to: Position,
    /// The events, in order.
    pub events: Vec<EventTold>,
}

/// Which plan is looked at: the body of `POST /api/v1/plan`. Nothing is asked for, kept or run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanAsked {
    /// The runbook, as one would name it in a room.
    pub runbook: String,
    /// Its arguments, as one would say them.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

/// The answer: the plan as it would be made now, and what became of the same plan before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanTold {
    /// The digest. Whoever reads it computes it again.
    pub digest: Digest,
    /// The plan's bytes, which are JSON, as text.
    pub plan: String,
    /// What the ledger knows of it.
    pub history: PlanHistory,
}

/// The answer of `GET /api/v1/audit/verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Whether nothing was found.
    pub sound: bool,
    /// How far it was verified and what was found, for people.
    pub report: String,
}

/// The answer of `GET /api/v1/audit/access`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessTold {
    /// Who could do what; `None`: the ledger did not keep it at that moment.
    pub then: Option<Then>,
}

/// An incident in the answer of `GET /api/v1/incidents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentTold {
    /// Its number.
    pub incident: IncidentId,
    /// `open`, `mitigated` or `resolved`.
    pub state: String,
    /// The system.
    pub system: SystemName,
    /// Its environment.
    pub environment: String,
    /// The service; `None` if a person opened it and named none.
    pub service: Option<ServiceName>,
    /// In a few words.
    pub title: String,
    /// The address of the room.
    pub room: String,
    /// When it was opened.
    pub opened_at: DateTime<Utc>,
    /// Who opened it; `None`: a check did.
    pub opened_by: Option<PersonId>,
    /// Since when it was open last.
    pub failed_at: DateTime<Utc>,
    /// Who takes care of it.
    pub acknowledged_by: Option<PersonId>,
}

/// Who is to add a passkey: the body of `POST /api/v1/passkeys/invitations`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    /// A name of the catalog.
    pub person: String,
}

/// A person was invited.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invited {
    /// Who.
    pub person: PersonId,
    /// Where they add a passkey. Stands nowhere else.
    pub link: String,
    /// Until when.
    pub until: DateTime<Utc>,
    /// The same as people say it.
    pub said: String,
}

/// Passkeys.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PasskeysTold {
    /// By number, removed ones too.
    pub passkeys: Vec<PasskeyTold>,
}

/// A passkey.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PasskeyTold {
    /// Its number.
    pub passkey: PasskeyId,
    /// Whose.
    pub person: PersonId,
    /// What they call it.
    pub name: String,
    /// When it was added.
    pub added_at: DateTime<Utc>,
    /// When it last signed.
    pub used_at: Option<DateTime<Utc>>,
    /// When it was removed.
    pub removed_at: Option<DateTime<Utc>>,
}

/// The body of every refused request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wrong {
    /// One sentence.
    pub error: String,
}

/// The keys that grants are signed with: the answer of `GET /api/v1/keys`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeysTold {
    /// The one that the asked bot signs with.
    pub own: Option<PublicKey>,
    /// All of them, those that sign first.
    pub keys: Vec<KeyTold>,
}

/// One key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyTold {
    /// Its public half.
    pub key: PublicKey,
    /// The host of the process that made it.
    pub host: String,
    /// Since when it signs.
    pub added_at: DateTime<Utc>,
    /// Who made it, as they said.
    pub added_by: String,
    /// Its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired: Option<KeyEnds>,
}

/// The end of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyEnds {
    /// When.
    pub at: DateTime<Utc>,
    /// Who ended it, as they said.
    pub by: String,
    /// Why.
    pub why: String,
}

/// The body of `POST /api/v1/keys/rotate` and `POST /api/v1/keys/retire`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// Who asks, as they say: it is recorded, and nothing proves it but the token.
    pub by: String,
    /// Which key ends, whole or as it begins. Only to retire one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Why. Only to retire one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The answer of `POST /api/v1/keys/rotate`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyRotated {
    /// The key that signed until now.
    pub old: PublicKey,
    /// The key that signs from now on.
    pub new: PublicKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_text_is_not_a_deletion() {
        let edit = |text: &str| serde_json::from_str::<NewEdit>(text);
        let deletion = edit(r#"{"as":"mei","message_id":"1","revision":"2","text":null}"#).expect("a deletion");
        assert_eq!(deletion.text, None);
        assert!(edit(r#"{"as":"mei","message_id":"1","revision":"2"}"#).is_err());
    }

    #[test]
    fn unknown_fields_are_refused() {
        assert!(serde_json::from_str::<NewLine>(r#"{"as":"mei","text":"x","wait":1}"#).is_err());
    }

    #[test]
    fn the_last_line_reads_as_promised() {
        let settled = Settled {
            settled: SettledAs::Waiting,
            run: Some(RunId(12)),
            thread: Some(ThreadId::new("m12")),
            request: Some("7K3F".to_owned()),
            state: Some("awaiting_approval".to_owned()),
        };
        let text = serde_json::to_string(&settled).expect("JSON");
        insta::assert_snapshot!(text, @r#"{"settled":"waiting","run":12,"thread":"m12","request":"7K3F","state":"awaiting_approval"}"#);
    }
}

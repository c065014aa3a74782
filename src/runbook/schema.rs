//! The catalog's shape as a JSON Schema (2020-12), for editors: which keys exist, of what type, in a few words.
//!
//! What lives here: words and bounds for each key. What does not: which keys there are and of which type, which is taken
//! from `raw` itself; and what only a whole catalog can tell (references, rights, durations within bounds), which
//! `validate` tells. The schema refuses nothing that the reader takes.

use serde_json::{Map, Value, json};

use super::raw::{SHAPES, Shape};
use super::{FileKind, KINDS};

/// What a name is.
const NAME: &str = "^[a-z][a-z0-9-]{0,39}$";

/// What a duration looks like.
const DURATION: &str = "^( *[0-9.]+ *[a-zA-Zµ]+ *)+$";

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Must,
    May,
}

/// What a key's type does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum More {
    Nothing,
    /// A name of the catalog.
    Name,
    /// A mapping of such names, not empty.
    Named,
    /// A list that is not empty.
    Filled,
    Duration,
    OneOf(&'static [&'static str]),
    Longest(u64),
    Between(i64, i64),
}

use More::{Between, Duration, Filled, Longest, Name, Named, Nothing, OneOf};
use Need::{May, Must};

/// A raw mapping, what it is, of which keys there is exactly one, and its keys.
struct Words {
    shape: &'static str,
    is: &'static str,
    one_of: &'static [&'static str],
    keys: &'static [(&'static str, Need, More, &'static str)],
}

const fn words(
    shape: &'static str,
    is: &'static str,
    keys: &'static [(&'static str, Need, More, &'static str)],
) -> Words {
    Words { shape, is, one_of: &[], keys }
}

#[rustfmt::skip]
const WORDS: &[Words] = &[
    words("System", "Services that belong together, in one environment.", &[
        ("system", Must, Name, "The system's name."),
        ("title", Must, Longest(80), "What people call it; it is found by that as well."),
        ("environment", Must, Name, "Stands before everything that concerns it, such as `production` or `scratch`."),
        ("room", Must, Nothing, "Where it is talked about: a room of the catalog."),
        ("accountable", May, Nothing, "The person who answers for it: whom policies mean by `accountable`."),
        ("may_run", May, Filled, "Who may ask for runbooks: `group:NAME`, `person:NAME` and `rota:NAME`. Nobody has a right that is not given."),
        ("may_see", May, Filled, "Who may look and ask without changing anything."),
        ("may_unstick", May, Filled, "Who may judge, retry or stop a run that is stuck."),
        ("may_resolve", May, Filled, "Who may acknowledge, resolve and reopen incidents."),
        ("may_pause", May, Filled, "Who may pause all automation, and let it go on."),
        ("incident_channel", May, Nothing, "A channel for each of its incidents; without this they are talked about in its room."),
        ("services", Must, Named, "Its services by name."),
    ]),
    words("IncidentChannel", "A channel that is made for each incident.", &[
        ("in", Must, Nothing, "Where it is made: `slack:WORKSPACE`, one that the bot serves."),
        ("name", May, Longest(80), "What it is called; `{incident}`, which it must hold, and `{system}` are filled in. `inc-{incident}-{system}` if it is not said."),
        ("private", May, Nothing, "Whether only who is invited may come in; `false` if it is not said."),
        ("invite", May, Filled, "Who is invited and called by name, once: `group:NAME` and `person:NAME`."),
        ("observe", May, Filled, "Who is invited to follow it and not called."),
        ("archive_on_resolve", May, Nothing, "Whether it is archived when the incident is resolved; `true` if it is not said."),
    ]),
    words("Service", "A part of a system that can be well or not.", &[
        ("title", Must, Longest(80), "What people call it; it is found by that as well."),
        ("checks", Must, Named, "How to find out whether it is well: checks by name."),
    ]),
    Words { shape: "Check", is: "One way of asking whether a service is well. It only reads.", one_of: &["command", "http", "tcp"], keys: &[
        ("command", May, Filled, "A program and its arguments, each its own element: no shell reads them, and they hold no templates."),
        ("codes", May, OneOf(&["plain", "nagios"]), "What exit codes mean. `plain` (also when it is not said): 0 is ok, all else critical. `nagios`: 0 ok, 1 warning, 2 critical, all else unknown."),
        ("env", May, Nothing, "Environment variables of the program; it gets no other of the bot's."),
        ("http", May, Nothing, "A GET or HEAD request, and what its answer must be."),
        ("tcp", May, Nothing, "A `host:port` at which a connection must open."),
        ("every", May, Duration, "How often it is asked by itself; without this only when somebody asks."),
        ("fails_after", May, Between(1, 20), "How many results of a kind in a row make it certain; 2 if it is not said. Wants `every`."),
        ("timeout", May, Duration, "After that the answer is unknown, never ok."),
    ]},
    words("Http", "A request over HTTP.", &[
        ("method", May, OneOf(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]), "`GET` if it is not said. A check only reads: GET or HEAD."),
        ("url", Must, Nothing, "Where: http:// or https://."),
        ("headers", May, Nothing, "Headers by name: a text, or `{secret: NAME}`."),
        ("body", May, Nothing, "What is sent."),
        ("expect", May, Nothing, "What the answer must be."),
    ]),
    words("Expect", "What an answer must be.", &[
        ("status", May, Nothing, "One status code, or a list of them. Redirects are answers, not followed."),
        ("contains", May, Nothing, "What its body must hold."),
    ]),
    words("Runbook", "What one may ask for, who must agree, and the steps.", &[
        ("runbook", Must, Name, "The runbook's name: `run NAME key=value` always starts it."),
        ("title", Must, Longest(80), "What it does."),
        ("why", May, Longest(500), "Shown to whoever is asked to agree."),
        ("say", May, Filled, "Phrases that start it, such as `start {service}`; the first is shown to the approver."),
        ("params", May, Nothing, "Parameters by name."),
        ("risk", May, OneOf(&["low", "medium", "high"]), "How much can go wrong; `medium` if it is not said. Policies may apply by it."),
        ("approval", May, Nothing, "The policy by which others must agree: required if a step may change something, else refused."),
        ("author", May, Nothing, "The person who made its last change; required where its policy leaves the last author out."),
        ("system", May, Nothing, "The system that it works on; required unless a parameter is of type `service` or `system`."),
        ("steps", Must, Filled, "What it does, in order."),
    ]),
    words("Param", "A parameter: what a value must be.", &[
        ("type", Must, OneOf(&["service", "system", "choice", "integer", "text"]), "What it accepts."),
        ("system", May, Nothing, "Of type service: only services of this system."),
        ("one_of", May, Filled, "Of type choice: what it may be."),
        ("min", May, Nothing, "Of type integer: the smallest."),
        ("max", May, Nothing, "Of type integer: the greatest."),
        ("max_length", May, Between(1, 1000), "Of type text: how many characters at most."),
        ("default", May, Nothing, "Taken when it is not said."),
        ("may_begin_with_dash", May, Nothing, "Whether a value may begin with `-`, which many programs read as an option."),
    ]),
    Words { shape: "Step", is: "One step of a runbook.", one_of: &["run", "check", "http", "tcp", "wait"], keys: &[
        ("name", Must, Longest(80), "What it does; each name stands once."),
        ("run", May, Nothing, "Runs a program."),
        ("check", May, Nothing, "Asks checks: `service`, `service/check` or `system`; may hold `{{ parameter }}`."),
        ("http", May, Nothing, "Makes a request over HTTP."),
        ("tcp", May, Nothing, "Opens a connection to `host:port`."),
        ("wait", May, Duration, "Waits so long."),
        ("until", May, Nothing, "With `check`: keep asking until all are ok."),
        ("timeout", May, Duration, "Then it is ended and has failed."),
        ("retry", May, Nothing, "Try again by itself when it fails."),
        ("idempotent", May, Nothing, "Doing it twice is the same as doing it once: after a crash it may be started again."),
        ("read_only", May, Nothing, "It only reads: nobody has to agree to it."),
    ]},
    words("Run", "A program.", &[
        ("command", Must, Filled, "The program and its arguments, each its own element: no shell reads them. Arguments may hold `{{ parameter }}`."),
        ("env", May, Nothing, "Environment variables: `NAME` from the bot, or `{NAME: {secret: the-secret}}`."),
    ]),
    words("Until", "Keep asking.", &[
        ("passes_within", Must, Duration, "For so long."),
        ("every", Must, Duration, "How often."),
    ]),
    words("Retry", "Try again.", &[
        ("times", Must, Between(1, 20), "How often beyond the first try."),
        ("wait", May, Duration, "Between the first try and the second; doubled from try to try."),
        ("at_most", May, Duration, "The longest pause."),
    ]),
    words("Policy", "Who must agree before a runbook that names it starts. Whoever asks never counts as an approver.", &[
        ("policy", Must, Name, "The policy's name."),
        ("title", Must, Longest(80), "The policy in words."),
        ("when", May, Nothing, "When it applies to runbooks that do not name it. Of all policies that apply the strictest wins."),
        ("replaces", May, Filled, "Policies in whose place it may stand by its `when` although it is less strict in some respect."),
        ("refuse", May, Longest(200), "Why it refuses whatever it applies to, such as a freeze: in place of `stages`."),
        ("stages", May, Filled, "Who must agree, one stage after the other; nobody counts in two."),
        ("expires", May, Duration, "How long a request waits for all its answers; 30m if it is not said."),
        ("starts_within", May, Duration, "How long after the last answer a run may still begin; 15m if it is not said."),
        ("valid_for", May, Duration, "How long the agreement lasts; 1h if it is not said."),
        ("automatic", May, Filled, "Triggers in mode `auto` that may start a named runbook without anybody's answer, so often; beyond that people are asked."),
        ("unasked", May, Nothing, "People who may start a named runbook without anybody's answer, so often; each such run is recorded as that."),
        ("exclude", May, Nothing, "`last_author`: whoever made the last change of the runbook does not count either."),
        ("after_denial", May, OneOf(&["denier", "same_people"]), "Who must agree when the same is asked within a day of a denial. `denier` (also when it is not said): whoever denied it or whom they report to is among them. `same_people`: the stages alone."),
        ("repeat", May, Nothing, "How many runs of the very same plan one approval covers, and for how long."),
        ("break_glass", May, Nothing, "Who may start it at once when it cannot wait; somebody looks at it afterwards."),
        ("relax", May, Nothing, "Rules that it gives up: `one_person_several_stages`, `requester_may_agree`. The ledger shows each use."),
        ("may_delegate", May, Nothing, "Whether those who are asked may let somebody else answer for them; `true` if it is not said."),
    ]),
    words("Repeat", "How many runs of the very same plan one approval covers.", &[
        ("runs", Must, Nothing, "How many, with the first: 2 to 100."),
        ("within", Must, Duration, "For how long from the approval: at most 1d."),
    ]),
    words("BreakGlass", "Who may start a run at once, without that agreement, and who looks at it afterwards.", &[
        ("by", Must, Nothing, "Who may; whoever asked may be among them."),
        ("review_within", May, Duration, "Within what time somebody else says what they think of it; 24h if left out."),
        ("reviewed_by", Must, Nothing, "Who says so: never who did it, never who asked."),
        ("by_chat", May, Nothing, "Whether a chat account is enough although a stage wants a passkey."),
    ]),
    words("When", "When a policy applies to runbooks that do not name it: when all that is said here holds.", &[
        ("runbooks", May, Filled, "One of these runbooks."),
        ("risk", May, Filled, "A runbook of one of these risks: `low`, `medium`, `high`."),
        ("environments", May, Filled, "On a system in one of these environments."),
        ("targets", May, Filled, "On one of these systems or services."),
        ("during", May, Filled, "Within one of these times."),
        ("outside", May, Filled, "Within none of these times."),
    ]),
    words("Window", "A time: hours that come every week, or from one day and time to another.", &[
        ("days", May, Filled, "On which days the hours begin: `mon` to `sun`; every day if it is not said."),
        ("from", Must, Nothing, "Its beginning: `\"09:00\"`, or `2026-12-24 18:00`."),
        ("until", Must, Nothing, "Its end, as the beginning is written. Hours that end before they begin end on the next day."),
        ("zone", Must, Nothing, "By whose clocks, such as `Asia/Singapore`."),
    ]),
    words("Automatic", "A trigger whose runs of a runbook start without anybody's answer.", &[
        ("trigger", Must, Nothing, "Which trigger, in mode `auto`."),
        ("runbook", Must, Nothing, "Which runbook: the one that the trigger runs."),
        ("at_most", Must, Nothing, "How often, for all services together."),
    ]),
    words("Unasked", "People who may start a runbook without anybody's answer.", &[
        ("runbook", Must, Nothing, "Which runbook."),
        ("by", Must, Filled, "Who: `group:NAME` and `person:NAME`."),
        ("at_most", Must, Nothing, "How often, all of them together."),
    ]),
    words("Stage", "A part of a policy.", &[
        ("approvers", Must, Filled, "Who may agree: `group:NAME`, `person:NAME`, `rota:NAME` (everybody in it) and `accountable`."),
        ("quorum", Must, Between(1, i64::MAX), "How many different people must."),
        ("denials", May, Between(1, i64::MAX), "How many different people who say no end it; 1 if it is not said."),
        ("reason", May, OneOf(&["required", "optional"]), "Whether an answer must say why; `optional` if it is not said."),
        ("step_up", May, Nothing, "Whether agreeing needs a passkey beside the chat account."),
        ("expires", May, Duration, "How long this stage waits from its beginning, if that is less than the whole request does."),
        ("remind_after", May, Duration, "When whoever is asked is reminded; 3m if it is not said."),
        ("ring_after", May, Duration, "When whoever is asked is rung; 5m if it is not said."),
        ("escalate", May, Filled, "Who is asked as well when nobody has decided for a while."),
    ]),
    words("Escalate", "Others who are asked after a while.", &[
        ("after", Must, Duration, "When, from the stage's beginning."),
        ("to", Must, Filled, "Who: `group:NAME`, `person:NAME`, `rota:NAME` and `accountable`."),
    ]),
    words("Trigger", "A rule from a failing check to a runbook.", &[
        ("trigger", Must, Name, "The trigger's name."),
        ("owner", Must, Nothing, "The person who answers for it, and counts as having asked."),
        ("on", Must, Nothing, "Which checks it listens to."),
        ("run", Must, Nothing, "The runbook that it asks for."),
        ("with", May, Nothing, "That runbook's parameters; may hold `{{ system }}`, `{{ service }}` and `{{ check }}`."),
        ("mode", Must, OneOf(&["shadow", "ask", "auto"]), "`shadow` only says what it would have done, `ask` asks as a person would, `auto` starts where the policy names it."),
        ("brakes", May, Nothing, "Its limits, each for one service."),
    ]),
    words("On", "Which checks a trigger listens to.", &[
        ("check", Must, Nothing, "`system/service/check`; a star stands for any service or check."),
        ("becomes", Must, OneOf(&["warning", "critical"]), "What it must have become for certain. What is unknown triggers nothing."),
    ]),
    words("Brakes", "The limits of a trigger.", &[
        ("cooldown", May, Duration, "From the end of one run to the start of the next; 10m if it is not said."),
        ("at_most", May, Nothing, "So many runs in a window; 3 in 1h if it is not said."),
        ("flapping", May, Nothing, "So many changes in a window are flapping; 6 in 10m if it is not said."),
    ]),
    words("AtMost", "So many runs in a window.", &[
        ("runs", Must, Between(1, 20), "How many."),
        ("per", Must, Duration, "In how long."),
    ]),
    words("Flapping", "So many changes in a window.", &[
        ("changes", Must, Between(2, 100), "How many."),
        ("per", Must, Duration, "In how long."),
    ]),
    words("People", "People, groups and rotas. Rights belong to people, never to accounts.", &[
        ("people", May, Named, "People by name."),
        ("groups", May, Named, "The members of each group: people of this catalog, or whoever is in a user group."),
        ("rotas", May, Named, "Who takes turns at being on call: rotas by name."),
        ("access", May, Nothing, "Who countersigns a change of who may ask, see and approve. Stands once in a catalog."),
    ]),
    words("Access", "Who countersigns a change of who may ask, see and approve.", &[
        ("countersigned_by", Must, Filled, "They, one of whom is enough: `group:NAME` and `person:NAME`. Who gains by a change does not countersign it."),
        ("room", Must, Nothing, "The room that is told: a room of the catalog."),
        ("changed_by", May, Filled, "The people who wrote the catalog as it stands: they do not countersign it."),
    ]),
    words("Rota", "People who take turns at being on call. Turns say who is asked first; deciding is for everybody in it.", &[
        ("members", Must, Filled, "Who takes turns, in order: people of this catalog."),
        ("stand_ins", May, Filled, "Who takes no turn and may stand in."),
        ("turns", Must, OneOf(&["daily", "weekly"]), "How long a turn is, in days of the calendar."),
        ("from", Must, Nothing, "The day on which the first member's first turn begins, such as `2026-11-02`."),
        ("at", Must, Nothing, "The time of day at which one hands over to the next, such as `\"09:00\"`."),
        ("zone", Must, Nothing, "The zone of its days and times, such as `Asia/Singapore`."),
        ("overrides", May, Filled, "Who stands in, and when."),
    ]),
    words("Override", "Somebody stands in for whoever's turn it is.", &[
        ("person", Must, Nothing, "Who: one of the rota's members or stand-ins."),
        ("from", Must, Nothing, "From when, such as `2026-12-24 18:00`."),
        ("until", Must, Nothing, "Until when, such as `2026-12-26 09:00`."),
        ("zone", May, Nothing, "The zone of these two times; the rota's if it is not said."),
    ]),
    words("MembersOf", "A group that a chat platform keeps.", &[
        ("members_of", Must, Nothing, "The platform's user group, `platform:workspace:id`. Members are those people of this catalog who have an account in it."),
    ]),
    words("Person", "A person.", &[
        ("accounts", Must, Filled, "Where they speak: `platform:workspace:id`."),
        ("ask", May, OneOf(&["thread", "direct", "both"]), "Where they are asked for their agreement. `thread` (also when it is not said): mentioned in the room. `direct`: by direct message alone. `both`: both."),
        ("reports_to", May, Nothing, "Whose word counts for theirs when what they denied is asked again."),
    ]),
    words("Rooms", "Rooms.", &[
        ("rooms", Must, Named, "Rooms by name: a label for this catalog."),
    ]),
    words("Room", "A room.", &[
        ("address", Must, Nothing, "Where it is: `platform:workspace:channel`."),
    ]),
    words("Secrets", "Secrets, by name only: no value stands in a catalog.", &[
        ("secrets", Must, Named, "Secrets by name."),
    ]),
    Words { shape: "Secret", is: "Where a secret comes from.", one_of: &["env", "file"], keys: &[
        ("env", May, Nothing, "A variable of the bot's environment."),
        ("file", May, Nothing, "A file outside the catalog, by its whole path."),
    ]},
    words("EnvSource", "What stands behind a variable's name.", &[
        ("secret", Must, Nothing, "A secret of the catalog."),
    ]),
];

/// The schema of a catalog's file.
pub fn schema() -> Value {
    let mut definitions: Map<String, Value> = SHAPES.iter().map(|shape| (shape.0.to_owned(), mapping(shape))).collect();
    definitions.insert("Text".to_owned(), text());
    definitions.insert(
        "Env".to_owned(),
        json!({
            "description": "A variable's name, or {NAME: {secret: the-secret}}.",
            "anyOf": [
                {"type": "string"},
                {"type": "object", "minProperties": 1, "maxProperties": 1,
                    "additionalProperties": {"$ref": "#/$defs/EnvSource"}},
            ],
        }),
    );
    definitions.insert(
        "Header".to_owned(),
        json!({
            "description": "A header's value: a text, or {secret: the-secret}.",
            "anyOf": [
                {"$ref": "#/$defs/Text"},
                {"type": "object", "properties": {"secret": {"$ref": "#/$defs/Text"}}, "required": ["secret"],
                    "additionalProperties": false},
            ],
        }),
    );
    definitions.insert(
        "Members".to_owned(),
        json!({
            "description": "The people of a group, or {members_of: the-user-group}.",
            "anyOf": [
                {"type": "array", "items": {"$ref": "#/$defs/Text"}, "minItems": 1},
                {"$ref": "#/$defs/MembersOf"},
            ],
        }),
    );
    let status = json!({"type": "integer", "minimum": 0});
    definitions.insert(
        "Statuses".to_owned(),
        json!({
            "description": "A status code, or a list of them.",
            "anyOf": [status, {"type": "array", "items": status, "minItems": 1}],
        }),
    );
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A file of a countersign catalog",
        "description": "One file declares one kind of thing: a key at its top says which.",
        "type": "object",
        "anyOf": KINDS.iter().map(|(key, _)| json!({"required": [key]})).collect::<Vec<_>>(),
        "allOf": KINDS.iter().map(|(key, kind)| file_of(key, *kind)).collect::<Vec<_>>(),
        "$defs": definitions,
    })
}

/// A file that a key makes one of a kind. In a runbook `system` is an ordinary key.
fn file_of(key: &str, kind: FileKind) -> Value {
    let made = match kind {
        FileKind::System => json!({"required": [key], "not": {"required": ["runbook"]}}),
        _ => json!({"required": [key]}),
    };
    json!({"if": made, "then": {"$ref": format!("#/$defs/{}", kind.shape())}})
}

/// Any text; what a YAML reader without a schema takes for a number or a truth is one as well.
fn text() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

fn mapping((name, keys): &Shape) -> Value {
    let words = WORDS.iter().find(|words| words.shape == *name);
    let said = |key: &str| words.and_then(|words| words.keys.iter().find(|said| said.0 == key));
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (key, kind) in *keys {
        let key = key.trim_start_matches("r#");
        let mut value = typed(kind);
        if let Some((_, need, more, says)) = said(key) {
            if *need == Must {
                required.push(key);
            }
            add(&mut value, *more);
            value.insert("description".to_owned(), json!(says));
        }
        properties.insert(key.to_owned(), Value::Object(value));
    }
    let mut mapping = json!({
        "description": words.map(|words| words.is),
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "required": required,
    });
    let one_of = words.map_or(&[][..], |words| words.one_of);
    if !one_of.is_empty() {
        mapping["oneOf"] = one_of.iter().map(|key| json!({"required": [key]})).collect();
    }
    mapping
}

/// The schema of a type of `raw`, as it is written there.
fn typed(written: &str) -> Map<String, Value> {
    let written: String = written.chars().filter(|letter| !letter.is_whitespace()).collect();
    let inside = |outer: &str| {
        let inner = written.strip_prefix(outer)?.strip_prefix('<')?.strip_suffix('>')?;
        Some(typed(inner))
    };
    let schema = if let Some(inner) = inside("Option").or_else(|| inside("At")) {
        return inner;
    } else if let Some(item) = inside("Vec") {
        json!({"type": "array", "items": item})
    } else if let Some(value) = inside("Pairs") {
        json!({"type": "object", "additionalProperties": value})
    } else {
        match written.as_str() {
            "Word" | "String" => json!({"$ref": "#/$defs/Text"}),
            "Words" => json!({"type": "array", "items": {"$ref": "#/$defs/Text"}}),
            "bool" => json!({"type": "boolean"}),
            "i64" => json!({"type": "integer"}),
            "u64" | "u32" => json!({"type": "integer", "minimum": 0}),
            // A name alone is read to be told: it says too little.
            "Starts" => json!({"$ref": "#/$defs/Automatic"}),
            other => json!({"$ref": format!("#/$defs/{other}")}),
        }
    };
    match schema {
        Value::Object(schema) => schema,
        // Each of the above is one.
        _ => Map::new(),
    }
}

/// Adds what a key's type does not say.
fn add(schema: &mut Map<String, Value>, more: More) {
    let further = match more {
        Nothing => json!({}),
        Name => json!({"pattern": NAME}),
        Duration => json!({"pattern": DURATION, "examples": ["30s", "5m", "1h 30m"]}),
        Named => json!({"minProperties": 1, "propertyNames": {"pattern": NAME}}),
        Filled => json!({"minItems": 1}),
        OneOf(words) => json!({"enum": words}),
        Longest(characters) => json!({"maxLength": characters}),
        Between(least, i64::MAX) => json!({"minimum": least}),
        Between(least, most) => json!({"minimum": least, "maximum": most}),
    };
    if let Value::Object(further) = further {
        schema.extend(further);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The keys of a mapping, as files have them.
    fn keys((_, keys): &Shape) -> BTreeSet<&'static str> {
        keys.iter().map(|(key, _)| key.trim_start_matches("r#")).collect()
    }

    #[test]
    fn every_key_that_the_reader_takes_has_its_words_and_no_other_has() {
        let read: BTreeSet<&str> = SHAPES.iter().map(|shape| shape.0).collect();
        let told: BTreeSet<&str> = WORDS.iter().map(|words| words.shape).collect();
        assert_eq!(read, told);
        for shape in SHAPES {
            let words: Vec<&Words> = WORDS.iter().filter(|words| words.shape == shape.0).collect();
            let [words] = &words[..] else { panic!("{} is told twice", shape.0) };
            let told: BTreeSet<&str> = words.keys.iter().map(|said| said.0).collect();
            assert_eq!((keys(shape), words.keys.len()), (told, shape.1.len()), "{}", shape.0);
            assert!(words.one_of.iter().all(|key| keys(shape).contains(key)), "{}", shape.0);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let schema = schema();
        let mut open = vec![&schema];
        let mut found = BTreeSet::new();
        while let Some(value) = open.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(to)) = map.get("$ref") {
                        found.insert(to.trim_start_matches("#/$defs/").to_owned());
                    }
                    open.extend(map.values());
                }
                Value::Array(items) => open.extend(items),
                Value::Null => panic!("a mapping without its words"),
                Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            }
        }
        let defined: BTreeSet<String> = schema["$defs"].as_object().expect("definitions").keys().cloned().collect();
        assert_eq!(found, defined, "each is used, and none is missing");
    }

    #[test]
    fn types_are_read_as_they_are_written() {
        let typed = |written: &str| Value::Object(typed(written));
        assert_eq!(typed("Option<At<Vec<At<Step>>>>"), json!({"type": "array", "items": {"$ref": "#/$defs/Step"}}));
        assert_eq!(typed("Option < At < u32 > >"), json!({"type": "integer", "minimum": 0}));
    }
}

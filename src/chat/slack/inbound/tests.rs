use std::collections::BTreeSet;
use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// The samples: every kind that Slack documents and we subscribe to, and some that we do not.
fn sample(name: &str) -> Value {
    let path = format!("{}/src/chat/slack/inbound/samples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).expect("JSON")
}

fn samples() -> Vec<String> {
    let folder = format!("{}/src/chat/slack/inbound/samples", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(folder).expect("the samples").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> =
        entries.map(|name| name.to_string_lossy().trim_end_matches(".json").to_owned()).collect();
    names.sort();
    names
}

fn read_as(team: &str, payload: &Value) -> Vec<Taken> {
    let own = Own { team: team.into(), user: "U0".into(), bot: Some("B0".into()) };
    let name = |id: &str| (id == "U2").then(|| "boss".to_owned());
    let now = DateTime::from_timestamp(1_700_000_010, 0).expect("a time");
    let reader = Reader { own: &own, name: &name, now };
    match payload["type"].as_str() {
        Some("event_callback") => reader.frame("events_api", payload),
        Some(_) => reader.frame("interactive", payload),
        None => reader.frame("slash_commands", payload),
    }
}

fn read(name: &str) -> Vec<Taken> {
    read_as("T1", &sample(name))
}

/// What was taken, a line each.
fn shown(taken: &[Taken]) -> String {
    let mut text = String::new();
    for taken in taken {
        match taken {
            Taken::Said(incoming) => writeln!(text, "{}", line(incoming)),
            Taken::AskWhy { trigger, kept, press } => writeln!(text, "ask why {trigger} {kept} {}", line(press)),
            Taken::Room(RoomNews { room, key, at, account, what }) => {
                writeln!(text, "{room} {key} {} {account} {what:?}", at.timestamp())
            }
            Taken::Noted(note) => writeln!(text, "noted {} {note:?}", note.name()),
        }
        .expect("a string");
    }
    text
}

fn line(Incoming { room, thread, account, said_at, what, trace: _ }: &Incoming) -> String {
    let thread = thread.as_ref().map(|thread| format!(" thread {thread}")).unwrap_or_default();
    let key = what.key();
    let what = match what {
        Said::Line { text, address, .. } => format!("{address:?} {text:?}"),
        Said::Edit { text, .. } => format!("{text:?}"),
        Said::Press { message, command, .. } => format!("under {message} {command:?}"),
    };
    let said = said_at.timestamp() - 1_700_000_000;
    format!("{room}{thread} +{said}s {account} {key} {what}")
}

#[test]
fn every_sample_is_read_as_it_should_be() {
    let all: Vec<String> =
        samples().iter().map(|name| format!("{name}\n  {}", shown(&read(name)).trim().replace('\n', "\n  "))).collect();
    insta::assert_snapshot!(all.join("\n"), @r##"
    app_mention
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100 Mention "@countersign ask @boss in #ops about <service> web.io"
    app_mention_by_edit
      slack:T1:C1 +9s slack:T1:U1 edit:1700000001.000100:1700000009.000000 Some("@countersign start service b")
    channel_archive
      slack:T1:C1 channel_archive:1700000003.000400 1700000003 slack:T1:U1 Archived
    channel_rename
      slack:T1:C1 channel_rename:1700000003.000400 1700000003 slack:T1:U0 Renamed { name: "ops-new" }
    group_unarchive
      slack:T1:G1 group_unarchive:1700000000 1700000000 slack:T1:U1 Unarchived
    member_joined
      slack:T1:C1 member_joined_channel:U1:1700000003.000400 1700000003 slack:T1:U1 Joined
    member_joined_own
      slack:T1:G1 member_joined_channel:U0:1700000003.000400 1700000003 slack:T1:U0 BotJoined
    member_left
      slack:T1:C1 member_left_channel:U1:1700000003.000400 1700000003 slack:T1:U1 Left
    message
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100 ToRoom "start service b"
    message_bot
      slack:T1:C1 +1s slack:T1:B7 line:1700000001.000100 ToRoom "approved"
    message_broadcast
      slack:T1:C1 thread 1700000000.000200 +1s slack:T1:U1 line:1700000001.000100 ToRoom "start service b"
    message_by_a_program_as_a_person
      slack:T1:C1 +1s slack:T1:B7 line:1700000001.000100 ToRoom "approved"
    message_changed
      slack:T1:C1 +5s slack:T1:U1 edit:1700000001.000100:1700000005.000000 Some("start service c")
    message_changed_by_slack
      noted no_words NoWords
    message_changed_own
      noted own Own
    message_deleted
      slack:T1:C1 thread 1700000000.000200 +6s slack:T1:U1 edit:1700000001.000100:deleted None
    message_direct
      slack:T1:D1 +1s slack:T1:U1 line:1700000001.000100 Direct "help"
    message_file_share
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100 ToRoom "start service b"
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100/F1 ToRoom "[file graph ] of cpu.png, image/png, 12345 bytes]"
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100/F2 ToRoom "[file notes]"
    message_forwarded
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100 ToRoom "approved\n[forwarded message]"
    message_in_thread
      slack:T1:G1 thread 1700000000.000200 +1s slack:T1:U1 line:1700000001.000100 ToRoom "approved"
    message_me
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100 ToRoom "/me approved"
    message_mention
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100 Mention "@countersign ask @boss in #ops about <service> web.io"
    message_new_subtype
      noted unknown Unknown("message hologram")
    message_org_wide
      noted org_wide OrgWide
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100 ToRoom "start service b"
    message_other_workspace
      noted other_workspace OtherWorkspace
    message_own
      noted own Own
    message_stranger
      slack:T1:C1 +1s slack:T9:U9 line:1700000001.000100 ToRoom "start service b"
    message_that_heads_a_thread
      slack:T1:C1 +1s slack:T1:U1 line:1700000001.000100 ToRoom "start service b"
    message_tombstone
      slack:T1:C1 +6s slack:T1:U1 edit:1700000001.000100:deleted None
    message_topic
      noted no_words NoWords
    press
      slack:T1:C1 thread 1700000002.000100 +4s slack:T1:U2 press:1700000002.000100:says-0:1700000004.500000:U2 under 1700000002.000100 "approve 7K3F"
    press_deny
      ask why 12466.7345.8088 {"channel":"C1","thread":"1700000000.000200","message":"1700000002.000100","command":"deny 7K3F"} slack:T1:C1 thread 1700000000.000200 +4s slack:T1:U2 press:1700000002.000100:asks-why-1:1700000004.500000:U2 under 1700000002.000100 "deny 7K3F"
    press_foreign
      noted unknown Unknown("a button that is not the bot's")
    press_stranger_org_wide
      noted org_wide OrgWide
      slack:T1:C1 thread 1700000002.000100 +4s slack:T9:U9 press:1700000002.000100:says-0:1700000004.500000:U9 under 1700000002.000100 "approve 7K3F"
    reaction_added
      noted unknown Unknown("event reaction_added")
    shortcut
      noted unknown Unknown("interaction shortcut")
    slash
      slack:T1:C1 +10s slack:T1:U1 line:slash-13345.7384.8088 Slash "start service b for @boss"
    slash_org_wide
      noted org_wide OrgWide
      slack:T1:C1 +10s slack:T1:U1 line:slash-13345.7384.8088 Slash ""
    view_submission
      slack:T1:C1 thread 1700000000.000200 +10s slack:T1:U2 press:view:V1 under 1700000002.000100 "deny 7K3F because not tonight ask me tomorrow"
    "##);
}

#[test]
fn i6_a_line_has_one_key_however_it_comes() {
    let key = |name: &str| match &read(name)[..] {
        [Taken::Said(incoming), ..] => (incoming.room.clone(), incoming.what.key(), incoming.account.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(key("message_mention"), key("app_mention"));
    assert_eq!(key("message_deleted").1, key("message_tombstone").1);
    // Redelivered: another event id, another time of delivery.
    let mut again = sample("message");
    again["event_id"] = json!("Ev99");
    again["event_time"] = json!(1_700_009_999);
    assert_eq!(read_as("T1", &again), read("message"));
    let keys: BTreeSet<String> =
        ["message", "press", "slash", "view_submission", "message_deleted"].map(|name| key(name).1).into();
    assert_eq!(keys.len(), 5, "{keys:?}");
}

#[test]
fn i6_an_edited_line_is_an_edit_alone() {
    for name in ["app_mention_by_edit", "message_changed"] {
        let taken = read(name);
        assert!(
            matches!(&taken[..], [Taken::Said(Incoming { what: Said::Edit { text: Some(_), .. }, .. })]),
            "{taken:?}"
        );
    }
}

#[test]
fn i9_nobody_speaks_as_somebody_else() {
    let account = |name: &str| match &read(name)[..] {
        [Taken::Said(incoming)] => incoming.account.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(account("message_bot"), "slack:T1:B7", "a program that calls itself boss");
    assert_eq!(account("message_by_a_program_as_a_person"), "slack:T1:B7", "a program with boss's token");
    assert_eq!(account("message_stranger"), "slack:T9:U9", "somebody of another workspace who is called boss");
}

/// Whom Slack does not name, or not with a workspace, is never somebody of the catalog.
#[test]
fn i9_who_is_not_named_is_nobody() {
    let account = |payload: &Value| match read_as("T1", payload).into_iter().next() {
        Some(Taken::Said(incoming)) => incoming.account.to_string(),
        other => panic!("{other:?}"),
    };
    let plain = sample("message");
    assert!(account(&plain).starts_with("slack:T1:U"), "{}", account(&plain));
    for (field, value) in [("subtype", json!("bot_message")), ("bot_profile", json!({"name": "boss"}))] {
        let mut through_a_program = plain.clone();
        through_a_program["event"][field] = value;
        assert_eq!(account(&through_a_program), "slack:T1:unnamed", "{field}");
    }
    let mut by_an_app = plain.clone();
    by_an_app["event"]["app_id"] = json!("A1");
    assert_eq!(account(&by_an_app), "slack:T1:A1");
    let mut shared = plain.clone();
    shared["is_ext_shared_channel"] = json!(true);
    assert_eq!(account(&shared), account(&plain), "a workspace is named");
    for field in ["team", "user_team"] {
        shared["event"][field] = Value::Null;
    }
    assert!(account(&shared).starts_with("slack:unnamed:U"), "{}", account(&shared));
}

#[test]
fn what_cannot_be_read_is_told_by_its_place_and_not_its_words() {
    let mut payload = sample("message");
    payload["event"]["ts"] = json!(["a secret"]);
    let Some(Taken::Noted(Note::Unreadable(what))) = read_as("T1", &payload).pop() else { panic!("it cannot be read") };
    assert!(what.contains("`ts`") && !what.contains("secret"), "{what}");
}

#[test]
fn what_nobody_said_says_nothing() {
    for name in [
        "message_own",
        "message_changed_own",
        "message_changed_by_slack",
        "message_topic",
        "reaction_added",
        "press_foreign",
    ] {
        assert!(matches!(&read(name)[..], [Taken::Noted(_)]), "{name}");
    }
}

#[test]
fn a_missing_or_odd_field_is_told_and_loses_nothing_else() {
    let unreadable = |payload: &Value| match &read_as("T1", payload)[..] {
        [Taken::Noted(Note::Unreadable(why))] => why.clone(),
        other => panic!("{other:?}"),
    };
    let mut message = sample("message");
    message["event"]["ts"] = json!("yesterday");
    assert_eq!(unreadable(&message), "message: `ts` is missing or cannot be read");
    message["event"]["ts"] = json!(17);
    assert_eq!(unreadable(&message), "message: `ts` is missing or of another kind");
    let mut deleted = sample("message_deleted");
    deleted["event"]["previous_message"] = Value::Null;
    assert!(unreadable(&deleted).contains("previous_message"));
    let mut press = sample("press");
    press["actions"][0]["value"] = Value::Null;
    assert!(unreadable(&press).contains("value"));
    // Null where a list or a text is meant.
    let mut message = sample("message");
    for field in ["files", "attachments", "edited", "thread_ts", "subtype", "team", "bot_id"] {
        message["event"][field] = Value::Null;
    }
    message["authorizations"] = Value::Null;
    assert!(matches!(&read_as("T1", &message)[..], [Taken::Said(_)]));
}

#[test]
fn a_frame_of_an_unknown_kind_is_counted() {
    let own = Own { team: "T1".into(), user: "U0".into(), bot: None };
    let reader = Reader { own: &own, name: &|_| None, now: DateTime::UNIX_EPOCH };
    assert_eq!(reader.frame("hologram", &Value::Null), [Taken::Noted(Note::Unknown("frame hologram".into()))]);
    for kind in ["events_api", "slash_commands", "interactive"] {
        assert!(matches!(&reader.frame(kind, &json!(["x"]))[..], [Taken::Noted(_)]), "{kind}");
    }
}

#[test]
fn times_are_read_to_the_microsecond_or_not_at_all() {
    let micros = |ts: &str| time(ts).map(|at| at.timestamp_micros());
    assert_eq!(micros("1700000001.000100"), Some(1_700_000_001_000_100));
    assert_eq!(micros("1700000001"), Some(1_700_000_001_000_000));
    assert_eq!(micros("1700000001.5"), Some(1_700_000_001_500_000));
    for wrong in ["", ".", "1.", ".1", "-1.0", "+1.0", "1.x", "99999999999999999999.0", "1 .0"] {
        assert_eq!(time(wrong), None, "{wrong}");
    }
}

/// Any JSON, with the fields that Slack uses, so that more than the first look at it is tried.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~é<>&@]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "message",
            "message_changed",
            "message_deleted",
            "U1",
            "T1",
            "C1",
            "1700000001.000100"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let field = prop::sample::select(vec![
            "type",
            "subtype",
            "ts",
            "text",
            "user",
            "channel",
            "message",
            "files",
            "id",
            "edited",
            "previous_message",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(field.prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts a value into another, somewhere.
fn put(into: &mut Value, path: &[usize], value: Value) {
    let Some((step, path)) = path.split_first() else {
        *into = value;
        return;
    };
    match into {
        Value::Object(map) if !map.is_empty() => {
            let at = step % map.len();
            put(map.values_mut().nth(at).expect("within its length"), path, value);
        }
        Value::Array(list) if !list.is_empty() => {
            let at = step % list.len();
            put(&mut list[at], path, value);
        }
        _ => *into = value,
    }
}

/// How many cases: a few each time, and as many as somebody wants who has the time.
fn cases() -> u32 {
    std::env::var("COUNTERSIGN_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(128)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// Whatever stands in the place of whatever field, it is something that was said or something to count.
    #[test]
    fn nothing_is_lost_and_nothing_panics(name in prop::sample::select(samples()), path in prop::collection::vec(0_usize..12, 1..5), other in any_json()) {
        let mut payload = sample(&name);
        put(&mut payload, &path, other);
        for kind in ["events_api", "slash_commands", "interactive"] {
            let own = Own { team: "T1".into(), user: "U0".into(), bot: Some("B0".into()) };
            let reader = Reader { own: &own, name: &|_| None, now: DateTime::UNIX_EPOCH };
            prop_assert!(!reader.frame(kind, &payload).is_empty());
        }
    }
}

//! `countersign schema`, by a small checker of what the schema uses: it takes every catalog that the reader takes, and
//! refuses nothing that the reader takes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use countersign::runbook;
use serde_json::{Value, json};

fn countersign(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).env_clear().output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn schema() -> Value {
    serde_json::from_slice(&countersign(&["schema"])).expect("JSON")
}

/// What is wrong with a value; nothing if it fits. A word of the schema that is not known here is a panic.
fn wrong(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut found = Vec::new();
    let schema = match schema {
        Value::Bool(true) => return found,
        Value::Bool(false) => return vec![format!("{at}: nothing may stand here")],
        schema => schema.as_object().expect("a schema"),
    };
    let mut check = |fits: bool, word: &str| {
        if !fits {
            found.push(format!("{at}: {word}"));
        }
    };
    let fits = |schema: &Value, value: &Value| wrong(root, schema, value, at).is_empty();
    let (object, array) = (value.as_object(), value.as_array());
    let mut below: Vec<String> = Vec::new();
    for (word, says) in schema {
        match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "examples" | "then" => {}
            "$ref" => {
                let name = says.as_str().and_then(|to| to.strip_prefix("#/$defs/")).expect("a reference");
                below.extend(wrong(root, &root["$defs"][name], value, at));
            }
            "type" => {
                let is = |kind: &Value| match kind.as_str().expect("a type") {
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "boolean" => value.is_boolean(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("type {other}"),
                };
                check(says.as_array().map_or_else(|| is(says), |kinds| kinds.iter().any(is)), word);
            }
            "enum" => check(says.as_array().expect("a list").contains(value), word),
            "pattern" => {
                check(value.as_str().is_none_or(|text| matches(says.as_str().expect("a pattern"), text)), word)
            }
            "maxLength" => check(value.as_str().is_none_or(|text| text.chars().count() as u64 <= number(says)), word),
            "minimum" => check(value.as_i64().is_none_or(|value| value >= says.as_i64().expect("a number")), word),
            "maximum" => check(value.as_i64().is_none_or(|value| value <= says.as_i64().expect("a number")), word),
            "minItems" => check(array.is_none_or(|items| items.len() as u64 >= number(says)), word),
            "minProperties" => check(object.is_none_or(|map| map.len() as u64 >= number(says)), word),
            "maxProperties" => check(object.is_none_or(|map| map.len() as u64 <= number(says)), word),
            "required" => {
                let keys = says.as_array().expect("a list");
                let all = |map: &serde_json::Map<String, Value>| {
                    keys.iter().all(|key| map.contains_key(key.as_str().expect("a key")))
                };
                check(object.is_none_or(all), word);
            }
            "items" => below.extend(
                array
                    .into_iter()
                    .flatten()
                    .enumerate()
                    .flat_map(|(n, item)| wrong(root, says, item, &format!("{at}/{n}"))),
            ),
            "properties" | "additionalProperties" => {
                for (key, value) in object.into_iter().flatten() {
                    let known = schema.get("properties").and_then(|known| known.get(key));
                    let schema = if word == "properties" { known } else { Some(says).filter(|_| known.is_none()) };
                    below.extend(
                        schema.into_iter().flat_map(|schema| wrong(root, schema, value, &format!("{at}/{key}"))),
                    );
                }
            }
            "propertyNames" => check(object.into_iter().flatten().all(|(key, _)| fits(says, &json!(key))), word),
            "anyOf" => check(says.as_array().expect("a list").iter().any(|one| fits(one, value)), word),
            "oneOf" => check(says.as_array().expect("a list").iter().filter(|one| fits(one, value)).count() == 1, word),
            "allOf" => {
                below.extend(says.as_array().expect("a list").iter().flat_map(|one| wrong(root, one, value, at)))
            }
            "not" => check(!fits(says, value), word),
            "if" if fits(says, value) => below.extend(wrong(root, &schema["then"], value, at)),
            "if" => {}
            other => panic!("the checker does not know `{other}`"),
        }
    }
    found.extend(below);
    found
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// The two patterns that the schema has.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern {
        "^[a-z][a-z0-9-]{0,39}$" => {
            text.starts_with(|first: char| first.is_ascii_lowercase())
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
                && text.len() <= 40
        }
        "^( *[0-9.]+ *[a-zA-Zµ]+ *)+$" => {
            let mut rest = text.trim_start();
            while !rest.is_empty() {
                let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
                let end = unit.trim_start().trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == 'µ');
                if unit.len() == rest.len() || end.len() == unit.trim_start().len() {
                    return false;
                }
                rest = end.trim_start();
            }
            !text.trim().is_empty()
        }
        other => panic!("the checker does not know the pattern {other}"),
    }
}

/// Every YAML file below a folder, as JSON.
fn files(dir: &Path) -> BTreeMap<PathBuf, Value> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).expect("a file");
            let value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            files.insert(path, value);
        }
    }
    assert!(!files.is_empty());
    files
}

#[track_caller]
fn all_fit(schema: &Value, files: &BTreeMap<PathBuf, Value>) {
    for (path, value) in files {
        assert_eq!(wrong(schema, schema, value, ""), Vec::<String>::new(), "{}", path.display());
    }
}

#[test]
fn every_shipped_file_and_every_file_of_init_fits() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    all_fit(&schema, &files(&root.join("runbooks")));
    all_fit(&schema, &files(&root.join("tests/catalogs")));
    let folder = tempfile::tempdir().expect("a folder");
    countersign(&["init", folder.path().to_str().expect("text"), "--yes", "--check", "http://127.0.0.1:8080/health"]);
    all_fit(&schema, &files(folder.path()));
}

/// A catalog in which every key stands that there is.
const EVERYTHING: &[(&str, &str)] = &[
    (
        "system.yaml",
        r#"
system: shop
title: The shop
environment: production
room: ops
accountable: boss
may_run: [group:ops]
may_see: [group:ops]
may_unstick: [person:boss]
may_resolve: [group:ops]
may_pause: [person:boss]
incident_channel:
  in: "slack:T0ACME"
  name: "inc-{incident}"
  private: true
  invite: [group:ops]
  observe: [person:boss]
  archive_on_resolve: false
services:
  web:
    title: Web
    checks:
      running:
        command: [./check.sh, web, 5]
        codes: nagios
        env: [HOME, {PASS: {secret: pass}}]
        every: 30s
        fails_after: 2
        timeout: 1s 500ms
      answers:
        http:
          method: HEAD
          url: "http://127.0.0.1:8080/health"
          headers: {Accept: text/plain, X-Key: {secret: pass}}
          expect: {status: [200, 204]}
      page: {http: {url: "http://127.0.0.1:8080/", expect: {status: 200, contains: welcome}}}
      listens: {tcp: "127.0.0.1:8080"}
"#,
    ),
    (
        "work.yaml",
        r#"
runbook: work
risk: high
author: boss
title: Work
why: For the test.
say: ["work on {service}"]
system: shop
params:
  service: {type: service, system: shop}
  how: {type: choice, one_of: [fast, safe], default: safe}
  count: {type: integer, min: -1, max: 5, default: 2, may_begin_with_dash: true}
  note: {type: text, max_length: 80, default: none}
approval: managers
steps:
  - name: Run
    run: {command: [./check.sh, "{{ service }}", "{{ how }}", "{{ count }}", "{{ note }}"], env: [HOME]}
    timeout: 30s
    retry: {times: 2, wait: 1s, at_most: 4s}
    idempotent: true
  - name: Read
    run: {command: [./check.sh]}
    read_only: true
  - {name: Ask, check: "{{ service }}", until: {passes_within: 10s, every: 2s}}
  - name: Post
    http: {method: POST, url: "http://127.0.0.1:8080/jobs", body: "{}", expect: {status: 201}}
  - {name: Connect, tcp: "127.0.0.1:8080"}
  - {name: Rest, wait: 2s}
"#,
    ),
    (
        "managers.yaml",
        r#"
policy: managers
title: A manager agrees
stages:
  - approvers: [group:ops, person:boss]
    quorum: 1
    denials: 1
    reason: required
    step_up: true
    expires: 20m
    remind_after: 3m
    ring_after: 5m
    escalate: [{after: 8m, to: [rota:ops-primary]}]
expires: 30m
starts_within: 10m
valid_for: 2h
automatic: [{trigger: web-down, runbook: work, at_most: {runs: 3, per: 1h}}]
exclude: [last_author]
relax: [requester_may_agree]
may_delegate: false
unasked: [{runbook: work, by: [group:ops], at_most: {runs: 2, per: 1h}}]
break_glass: {by: [person:boss], by_chat: true, review_within: 24h, reviewed_by: [group:ops]}
repeat: {runs: 3, within: 4h}
after_denial: same_people
"#,
    ),
    (
        "night.yaml",
        r#"
policy: night
title: The boss alone at night
stages: [{approvers: [person:boss], quorum: 1}]
valid_for: 2h
when: {runbooks: [work], during: [{from: "22:00", until: "06:00", zone: UTC}]}
replaces: [managers]
"#,
    ),
    (
        "freeze.yaml",
        r#"
policy: freeze
title: Nothing changes
refuse: Nobody is here to help
when:
  runbooks: [work]
  risk: [high]
  environments: [production]
  targets: [shop, web]
  during: [{from: 2026-12-20 00:00, until: 2027-01-03 09:00, zone: Asia/Singapore}]
  outside: [{days: [mon, tue], from: "09:00", until: "18:00", zone: UTC}]
"#,
    ),
    (
        "trigger.yaml",
        r#"
trigger: web-down
owner: mei
on: {check: "shop/web/running", becomes: critical}
run: work
with: {service: "{{ service }}", how: fast}
mode: auto
brakes: {cooldown: 10m, at_most: {runs: 3, per: 1h}, flapping: {changes: 4, per: 10m}}
"#,
    ),
    (
        "people.yaml",
        r#"
people:
  mei: {accounts: ["local:trial:mei"], reports_to: boss}
  boss: {accounts: ["local:trial:boss", "slack:T0ACME:U0BOSS"], ask: both}
groups: {ops: [mei, boss], elsewhere: {members_of: "slack:T0ACME:S0ELSEWHERE"}}
rotas:
  ops-primary:
    members: [mei]
    stand_ins: [boss]
    turns: weekly
    from: 2026-11-02
    at: "09:00"
    zone: Asia/Singapore
    overrides: [{person: boss, from: 2026-12-24 18:00, until: 2026-12-26 09:00, zone: UTC}]
access: {countersigned_by: [person:boss], room: ops, changed_by: [mei]}
"#,
    ),
    ("rooms.yaml", r#"rooms: {ops: {address: "local:trial:ops"}}"#),
    ("secrets.yaml", r#"secrets: {pass: {env: SHOP_PASS}, key: {file: /etc/shop/key}}"#),
];

/// A catalog of these files, with a script that they name.
fn written(files: &BTreeMap<String, Value>) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("check.sh");
    std::fs::write(&script, "#!/bin/sh\n").expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a program");
    for (name, value) in files {
        // JSON is YAML as well.
        std::fs::write(folder.path().join(name), value.to_string()).expect("written");
    }
    folder
}

fn everything() -> BTreeMap<String, Value> {
    let read = |(name, text): &(&str, &str)| ((*name).to_owned(), serde_yaml::from_str(text).expect("YAML"));
    EVERYTHING.iter().map(read).collect()
}

#[test]
fn every_key_of_the_schema_is_taken_by_the_reader() {
    let schema = schema();
    let files = everything();
    // As it was written, and as JSON.
    let folder = written(&BTreeMap::new());
    for (name, text) in EVERYTHING {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    for folder in [folder, written(&files)] {
        if let Err(problems) = runbook::load(folder.path()) {
            panic!("{problems}");
        }
    }
    let mut used = BTreeSet::new();
    for (name, value) in &files {
        assert_eq!(wrong(&schema, &schema, value, ""), Vec::<String>::new(), "{name}");
        keys(value, &mut used);
    }
    let known: BTreeSet<&str> = schema["$defs"]
        .as_object()
        .expect("definitions")
        .values()
        .filter_map(|definition| definition.get("properties")?.as_object())
        .flat_map(|properties| properties.keys().map(String::as_str))
        .collect();
    let unused: Vec<&&str> = known.iter().filter(|key| !used.contains(**key)).collect();
    assert!(unused.is_empty(), "the catalog of this test has no {unused:?}");
}

/// Every key in a value.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            found.insert(key.clone());
            keys(value, found);
        }),
        Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The value with one thing changed, for each place in it: what was changed, and the result.
fn changed(value: &Value, at: &str) -> Vec<(String, Value)> {
    let mut all: Vec<(String, Value)> = match value {
        Value::String(_) => [json!(5), json!(true), json!([]), json!({}), json!("?")]
            .map(|other| (format!("{at} = {other}"), other))
            .into(),
        Value::Number(_) | Value::Bool(_) => {
            [json!("x"), json!(0), json!(-3), json!(10_000)].map(|other| (format!("{at} = {other}"), other)).into()
        }
        Value::Object(_) | Value::Array(_) => {
            [json!("x"), json!([]), json!({})].map(|other| (format!("{at} = {other}"), other)).into()
        }
        Value::Null => panic!("no null stands in these files"),
    };
    if let Value::Object(map) = value {
        for (key, inner) in map {
            let path = format!("{at}/{key}");
            let mut without = map.clone();
            without.remove(key);
            let mut renamed = without.clone();
            renamed.insert(format!("{key}_"), inner.clone());
            all.push((format!("{path} is gone"), Value::Object(without)));
            all.push((format!("{path} has another key"), Value::Object(renamed)));
            all.extend(changed(inner, &path).into_iter().map(|(what, inner)| {
                let mut map = map.clone();
                map.insert(key.clone(), inner);
                (what, Value::Object(map))
            }));
        }
    }
    if let Value::Array(items) = value {
        for (n, inner) in items.iter().enumerate() {
            all.extend(changed(inner, &format!("{at}/{n}")).into_iter().map(|(what, inner)| {
                let mut items = items.clone();
                items[n] = inner;
                (what, Value::Array(items))
            }));
        }
    }
    all
}

#[test]
fn the_schema_refuses_nothing_that_the_reader_takes() {
    let schema = schema();
    let files = everything();
    let (mut refused, mut both) = (0, 0);
    let folder = written(&files);
    for (name, value) in &files {
        for (what, changed) in changed(value, name) {
            let wrong = wrong(&schema, &schema, &changed, "");
            if wrong.is_empty() {
                continue;
            }
            refused += 1;
            std::fs::write(folder.path().join(name), changed.to_string()).expect("written");
            assert!(
                runbook::load(folder.path()).is_err(),
                "the reader takes what the schema refuses: {what}: {wrong:?}"
            );
            both += 1;
        }
        std::fs::write(folder.path().join(name), value.to_string()).expect("written");
    }
    assert!(refused > 300 && refused == both, "{refused}");
}

#[test]
fn what_people_get_wrong_is_seen_in_the_editor() {
    let schema = schema();
    let seen = |text: &str| {
        let value: Value = serde_yaml::from_str(text).expect("YAML");
        wrong(&schema, &schema, &value, "").join("; ")
    };
    let said = [
        "runbok: x",
        "runbook: x\ntitle: X\nsteps: []",
        "runbook: x\ntitle: X\nsteps: [{name: A, run: {comand: [a]}}]",
        "runbook: x\ntitle: X\nsteps: [{name: A, run: {command: [a]}, check: b}]",
        "policy: p\ntitle: P\nstages: [{approvers: [group:a], quorum: 1}]\nexpires: soon",
        "trigger: t\nowner: mei\non: {check: a/b/c, becomes: unknown}\nrun: x\nmode: auto",
        "rooms: {Ops: {address: 'local:trial:ops'}}",
    ]
    .map(seen);
    insta::assert_snapshot!(said.join("\n"), @r"
    : anyOf
    /steps: minItems
    /steps/0/run: required; /steps/0/run/comand: nothing may stand here
    /steps/0: oneOf
    /expires: pattern
    /on/becomes: enum
    /rooms: propertyNames
    ");
}

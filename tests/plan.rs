//! Plans of whole catalogs: what is in them, and that their digest moves with everything that decides what runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use countersign::engine::plan::{PlanFor, PlanRefusal, World, plan, plan_is};
use countersign::model::id::{CheckName, Digest, RunbookName, ServiceName};
use countersign::model::plan::{Action, Plan, PlanProbe, Sealed, Telling};
use countersign::runbook;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A host on which the named programs are installed.
struct Host {
    name: String,
    folder: PathBuf,
    programs: Vec<&'static str>,
    asked: RefCell<Vec<String>>,
}

impl Host {
    fn new() -> Self {
        let programs = vec!["web-ctl", "web-status", "countersign", "python3"];
        Self { name: "app-1".into(), folder: "/opt/bin".into(), programs, asked: RefCell::default() }
    }
}

impl World for Host {
    fn host(&self) -> String {
        self.name.clone()
    }
    fn program(&self, name: &str) -> Option<PathBuf> {
        self.asked.borrow_mut().push(name.to_owned());
        self.programs.contains(&name).then(|| self.folder.join(name))
    }
    fn search_path(&self) -> String {
        self.folder.display().to_string()
    }
    fn script(&self, _root: &Path, path: &Path) -> io::Result<(PathBuf, Digest)> {
        let path = path.canonicalize()?;
        let content = std::fs::read(&path)?;
        Ok((path, Digest(Sha256::digest(content).into())))
    }
}

const SYSTEM: &str = r#"
system: shop
title: The shop
environment: production
room: ops
may_run: [group:all]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web], timeout: 5s}
      answers: {command: [web-status, --http, web], codes: nagios, env: [PROXY]}
  cart:
    title: Cart
    checks:
      running: {command: [web-status, cart]}
"#;

const OTHER: &str = r#"
system: depot
title: The depot
environment: scratch
room: ops
services:
  belt: {title: Belt, checks: {running: {command: [web-status, belt]}}}
"#;

const DEPLOY: &str = r#"
runbook: deploy
title: Deploy a version
why: Brings a new version out.
say: ["deploy {version} to {service}"]
params:
  service: {type: service}
  version: {type: text, max_length: 20}
  mode: {type: choice, one_of: [fast, safe], default: safe}
approval: managers
steps:
  - name: Look
    run: {command: [web-ctl, show, "{{ service }}"]}
    read_only: true
  - name: Deploy
    run:
      command: [python3, ./deploy.py, "--to={{ service }}:{{ version }}", "{{ mode }}"]
      env: [PROXY, {TOKEN: {secret: token}}]
    timeout: 2m
    idempotent: true
  - name: Restart
    run: {command: [./restart.sh, "{{ service }}"]}
  - name: Verify
    check: "{{ service }}"
    until: {passes_within: 30s, every: 2s}
"#;

const POLICY: &str = "policy: managers\ntitle: A manager\nstages: [{approvers: [group:all], quorum: 1}]\n";
const PEOPLE: &str = "people: {boss: {accounts: ['local:t:boss']}}\ngroups: {all: [boss]}\n";
const ROOMS: &str = "rooms: {ops: {address: 'local:t:ops'}}\n";
const SECRETS: &str = "secrets: {token: {env: DEPLOY_TOKEN}}\n";

/// A catalog in a folder of its own.
struct Fixture {
    folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let fixture = Self { folder };
        for (path, text) in [
            ("systems/shop.yaml", SYSTEM),
            ("systems/depot.yaml", OTHER),
            ("deploy.yaml", DEPLOY),
            ("policy.yaml", POLICY),
            ("people.yaml", PEOPLE),
            ("rooms.yaml", ROOMS),
            ("secrets.yaml", SECRETS),
            ("deploy.py", "print(1)\n"),
            ("restart.sh", "#!/bin/sh\nexit 0\n"),
        ] {
            fixture.write(path, text);
        }
        fixture
    }

    fn write(&self, path: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, text).expect("written");
        if path.extension().is_some_and(|extension| extension == "sh") {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        }
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.folder.path().join(path)).expect("a file");
        assert!(text.contains(from), "{path} holds no {from}");
        self.write(path, &text.replacen(from, to, 1));
    }

    fn plan_with(&self, name: &str, given: &[(&str, &str)], world: &dyn World) -> Result<Plan, PlanRefusal> {
        let catalog = runbook::load(self.folder.path()).unwrap_or_else(|wrong| panic!("{wrong}")).catalog;
        let params = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        plan(&catalog, &catalog.runbooks[&RunbookName::new(name)], &params, PlanFor::at(now()), world)
    }

    fn deploy(&self) -> Plan {
        self.plan_with("deploy", &[("service", "web"), ("version", "1.2")], &Host::new()).expect("a plan")
    }

    fn digest(&self) -> Digest {
        digest(&self.deploy())
    }
}

fn now() -> chrono::DateTime<chrono::Utc> {
    "2026-11-21T12:00:00Z".parse().expect("a moment")
}

fn digest(plan: &Plan) -> Digest {
    Sealed::seal(plan).expect("sealed").digest()
}

#[test]
fn a_plan_says_everything_that_will_run() {
    let fixture = Fixture::new();
    let plan = fixture.deploy();
    let root = fixture.folder.path().canonicalize().expect("a path").display().to_string();
    let text = serde_json::to_string_pretty(&plan).expect("JSON").replace(&root, "ROOT");
    let mut shown = String::new();
    for line in text.lines() {
        // Hashes of files are looked at below; here they would only hide what is new.
        match line
            .find("\": \"")
            .filter(|_| line.trim_end_matches([',', '"']).rsplit('"').next().is_some_and(|value| value.len() == 64))
        {
            Some(colon) => shown.push_str(&format!("{}\": \"SHA-256\"\n", &line[..colon])),
            None => shown.push_str(&format!("{line}\n")),
        }
    }
    insta::assert_snapshot!(shown);
    let Action::Run(restart) = &plan.steps[2].action else { panic!("a run step") };
    assert_eq!(restart.program, format!("{root}/restart.sh"));
    assert_eq!(plan.files["restart.sh"], Digest(Sha256::digest("#!/bin/sh\nexit 0\n").into()));
    assert_eq!(plan.files["secrets.yaml"], Digest(Sha256::digest(SECRETS).into()));
    assert_eq!(
        plan.files.keys().collect::<Vec<_>>(),
        ["deploy.py", "deploy.yaml", "policy.yaml", "restart.sh", "secrets.yaml", "systems/shop.yaml"]
    );
}

const CALL: &str = r#"
runbook: call
title: Call the shop
params:
  service: {type: service}
  note: {type: text, max_length: 80, may_begin_with_dash: true}
  number: {type: integer, min: 1, max: 9, default: 2}
approval: managers
steps:
  - name: Tell
    http:
      method: POST
      url: "http://127.0.0.1:9/tell/{{ service }}?why={{ note }}"
      headers: {X-Service: "is {{ service }}", Authorization: {secret: token}}
      body: '{"why": "{{ note }}", "number": {{ number }}}'
      expect: {status: [200, 202]}
    retry: {times: 3, wait: 2s, at_most: 5s}
    idempotent: true
  - name: Send the form
    http:
      method: PUT
      url: "http://127.0.0.1:9/form"
      headers: {Content-Type: application/x-www-form-urlencoded}
      body: "why={{ note }}&number={{ number }}"
  - name: Say
    http: {method: POST, url: "http://127.0.0.1:9/say", body: "Because: {{ note }}", expect: {contains: "{{ service }}"}}
  - name: Breathe
    wait: 2s
  - name: Reach
    tcp: "127.0.0.1:5432"
    retry: {times: 2}
  - name: Look
    http: {url: "http://127.0.0.1:9/health/{{ service }}"}
  - name: Ask
    check: "{{ service }}/running"
    retry: {times: 2}
"#;

impl Fixture {
    fn call(&self, note: &str) -> Result<Plan, PlanRefusal> {
        self.write("call.yaml", CALL);
        self.plan_with("call", &[("service", "web"), ("note", note)], &Host::new())
    }
}

#[test]
fn i9_values_in_a_request_stay_where_they_are_put() {
    let fixture = Fixture::new();
    let plan = fixture.call(r#"x", "number": 9, "y": "&number=9/../é"#).expect("a plan");
    let shown: Vec<String> = plan
        .steps
        .iter()
        .map(|step| {
            let what = serde_json::to_string(&step.action).expect("JSON");
            let flags = [(step.privileged, "changes"), (step.read_only, "reads"), (step.idempotent, "again")];
            let flags: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, word)| *word).collect();
            let longest = humantime::format_duration(step.longest());
            format!("{} [{}] {longest}\n  {what}", step.name, flags.join(" "))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    insta::assert_snapshot!("an_approver_reads_every_request", countersign::text::plan::steps(&plan).join("\n"));
    assert!(plan.files.contains_key("secrets.yaml"), "where the header's secret comes from is part of the plan");
    assert!(!serde_json::to_string(&plan).expect("JSON").contains("DEPLOY_TOKEN"));
}

#[test]
fn i9_a_value_that_no_header_or_path_can_hold_makes_no_plan() {
    let fixture = Fixture::new();
    let call = |from: &str, to: &str, note: &str| {
        fixture.call("x").expect("a plan");
        fixture.replace("call.yaml", from, to);
        fixture.plan_with("call", &[("service", "web"), ("note", note)], &Host::new())
    };
    let header = |note: &str| call("is {{ service }}", "is {{ note }}", note);
    assert!(header("plain words").is_ok());
    for note in ["a\r\nX-Admin: 1", "a\nb", "a\rb", "a\0b", "é", "ends with a space "] {
        assert!(matches!(header(note), Err(PlanRefusal::Header { .. } | PlanRefusal::Value { .. })), "{note:?}");
    }
    let path = |note: &str| call("tell/{{ service }}", "tell/{{ note }}", note);
    assert!(path("a/b").is_ok());
    for note in ["..", "."] {
        assert!(matches!(path(note), Err(PlanRefusal::Address { .. })), "{note:?}");
    }
    let said = path("..").expect_err("refused").to_string();
    insta::assert_snapshot!(said);
}

#[test]
fn the_same_inputs_make_the_same_bytes() {
    let fixture = Fixture::new();
    let one = Sealed::seal(&fixture.deploy()).expect("sealed");
    let other = Sealed::seal(&fixture.deploy()).expect("sealed");
    assert_eq!(one.bytes(), other.bytes());
    assert_eq!(one.open().expect("a plan"), fixture.deploy());
    // What the plan does not use may change.
    fixture.replace("systems/depot.yaml", "The depot", "Another depot");
    fixture.replace("people.yaml", "local:t:boss", "local:t:chief");
    assert_eq!(one.digest(), fixture.digest());
}

#[test]
fn i1_every_change_of_what_decides_moves_the_digest() {
    let unchanged = Fixture::new().digest();
    let mut seen = BTreeMap::from([(unchanged, "nothing")]);
    for (path, from, to) in [
        ("deploy.yaml", "{{ service }}:{{ version }}", "{{ version }}:{{ service }}"),
        ("deploy.yaml", "command: [web-ctl, show", "command: [web-ctl, list"),
        ("deploy.yaml", "timeout: 2m", "timeout: 3m"),
        ("deploy.yaml", "idempotent: true", "idempotent: false"),
        ("deploy.yaml", "\n    read_only: true", ""),
        ("deploy.yaml", "env: [PROXY,", "env: [NO_PROXY,"),
        ("deploy.yaml", "passes_within: 30s", "passes_within: 31s"),
        ("deploy.yaml", "every: 2s", "every: 3s"),
        ("deploy.yaml", "Brings a new", "Takes the old"),
        ("deploy.yaml", "default: safe", "default: fast"),
        ("deploy.yaml", "steps:", "# a comment\nsteps:"),
        ("deploy.py", "print(1)", "print(2)"),
        ("restart.sh", "exit 0", "exit 1"),
        ("policy.yaml", "A manager", "Any manager"),
        ("policy.yaml", "quorum: 1}]", "quorum: 1}]\nexpires: 5m"),
        ("policy.yaml", "quorum: 1}]", "quorum: 1}]\nvalid_for: 2h"),
        ("policy.yaml", "group:all", "person:boss"),
        ("systems/shop.yaml", "timeout: 5s", "timeout: 6s"),
        ("systems/shop.yaml", "codes: nagios", "codes: plain"),
        ("systems/shop.yaml", "[web-status, web]", "[web-status, web, -v]"),
        ("systems/shop.yaml", "environment: production", "environment: scratch"),
        ("secrets.yaml", "DEPLOY_TOKEN", "OTHER_TOKEN"),
    ] {
        let fixture = Fixture::new();
        fixture.replace(path, from, to);
        if let Some(same) = seen.insert(fixture.digest(), to) {
            panic!("{path}: {from} -> {to} has the digest of {same}");
        }
    }
    let fixture = Fixture::new();
    for world in [Host { name: "app-2".into(), ..Host::new() }, Host { folder: "/usr/bin".into(), ..Host::new() }] {
        let plan = fixture.plan_with("deploy", &[("service", "web"), ("version", "1.2")], &world).expect("a plan");
        assert_eq!(seen.insert(digest(&plan), "the host"), None);
    }
    for given in [
        [("service", "cart"), ("version", "1.2"), ("mode", "safe")],
        [("service", "web"), ("version", "1.3"), ("mode", "safe")],
        [("service", "web"), ("version", "1.2"), ("mode", "fast")],
    ] {
        let plan = fixture.plan_with("deploy", &given, &Host::new()).expect("a plan");
        assert_eq!(seen.insert(digest(&plan), "a value"), None, "{given:?}");
    }
}

/// Every place in a JSON value, and the value with that place changed.
fn mutations(value: &serde_json::Value) -> Vec<serde_json::Value> {
    use serde_json::Value;
    let mut all = Vec::new();
    match value {
        Value::Null => all.push(Value::from("x")),
        Value::Bool(flag) => all.push(Value::from(!flag)),
        Value::Number(number) => all.push(Value::from(number.as_u64().unwrap_or(0) + 1)),
        Value::String(text) => all.extend([format!("{text}x"), format!(" {text}")].map(Value::from)),
        Value::Array(items) => {
            for (position, item) in items.iter().enumerate() {
                all.extend(mutations(item).into_iter().map(|changed| {
                    let mut items = items.clone();
                    items[position] = changed;
                    Value::from(items)
                }));
                let mut fewer = items.clone();
                fewer.remove(position);
                all.push(Value::from(fewer));
            }
            if items.len() > 1 && items.first() != items.last() {
                all.push(Value::from(items.iter().rev().cloned().collect::<Vec<_>>()));
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                all.extend(mutations(field).into_iter().map(|changed| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), changed);
                    Value::from(fields)
                }));
            }
        }
    }
    all
}

#[test]
fn i1_no_field_of_a_plan_can_change_without_the_digest() {
    let plan = Fixture::new().deploy();
    let unchanged = digest(&plan);
    let mut changed = 0;
    for mutation in mutations(&serde_json::to_value(&plan).expect("JSON")) {
        // Not every change of the JSON is a plan (a hash with a letter more); those cannot be sealed at all.
        let Ok(other) = serde_json::from_value::<Plan>(mutation.clone()) else { continue };
        if other == plan {
            continue;
        }
        changed += 1;
        assert_ne!(digest(&other), unchanged, "{mutation}");
    }
    assert!(changed > 100, "only {changed} changes were tried");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// I9: a value is one part of one argument, whatever it says; the number of arguments is the catalog's.
    #[test]
    fn i9_a_value_stays_one_part_of_one_argument(version in "[ -~]{1,20}") {
        let fixture = Fixture::new();
        let made = fixture.plan_with("deploy", &[("service", "web"), ("version", &version)], &Host::new());
        if version.starts_with('-') {
            let refused = matches!(made, Err(PlanRefusal::Value { .. }));
            prop_assert!(refused);
        } else {
            let plan = made.expect("a plan");
            let Action::Run(deploy) = &plan.steps[1].action else { panic!("a run step") };
            let to = format!("--to=web:{version}");
            prop_assert_eq!(&deploy.argv, &["python3", "./deploy.py", &to, "safe"]);
        }
    }
}

#[test]
fn values_that_the_parameter_does_not_accept_are_refused() {
    let fixture = Fixture::new();
    let mut sentences = String::new();
    for given in [
        &[("service", "web")][..],
        &[("service", "web"), ("version", "1"), ("colour", "red")],
        &[("service", "Web"), ("version", "1")],
        &[("service", "web"), ("version", "")],
        &[("service", "web"), ("version", "123456789012345678901")],
        &[("service", "web"), ("version", "-rf")],
        &[("service", "web"), ("version", "1\n2")],
        &[("service", "web"), ("version", "1"), ("mode", "wild")],
    ] {
        let refusal = fixture.plan_with("deploy", given, &Host::new()).expect_err("refused");
        sentences.push_str(&format!("{refusal}\n"));
    }
    insta::assert_snapshot!(sentences, @r"
    deploy needs `version`
    deploy has no parameter `colour`
    `service` of deploy cannot be `Web`: there is no such service
    `version` of deploy cannot be ``: it has 1 to 20 characters
    `version` of deploy cannot be `123456789012345678901`: it has 1 to 20 characters
    `version` of deploy cannot be `-rf`: a program would read a value that begins with `-` as an option
    `version` of deploy cannot be `1\n2`: it holds line breaks or other control characters
    `mode` of deploy cannot be `wild`: it is one of fast, safe
    ");
}

#[test]
fn one_plan_works_on_one_system() {
    let fixture = Fixture::new();
    fixture.write(
        "move.yaml",
        "runbook: move\ntitle: Move\nparams: {from: {type: service}, to: {type: service}}\napproval: managers\n\
         steps: [{name: Move, run: {command: [web-ctl, move, '{{ from }}', '{{ to }}']}}]\n",
    );
    let refusal = fixture.plan_with("move", &[("from", "web"), ("to", "belt")], &Host::new()).expect_err("refused");
    assert_eq!(refusal.to_string(), "one plan works on one system, and this names depot and shop");
    let plan = fixture.plan_with("move", &[("from", "web"), ("to", "cart")], &Host::new()).expect("a plan");
    assert_eq!((plan.targets, plan.deed), (vec!["web".into(), "cart".into()], "run move from=web to=cart".into()));
}

#[test]
fn a_missing_program_is_told_with_where_it_was_looked_for() {
    let fixture = Fixture::new();
    let world = Host { programs: vec!["web-status", "python3"], ..Host::new() };
    let refusal = fixture.plan_with("deploy", &[("service", "web"), ("version", "1")], &world).expect_err("refused");
    assert_eq!(refusal.to_string(), "`web-ctl` is not a program on app-1; looked in /opt/bin");
    assert_eq!(*world.asked.borrow(), ["web-ctl"]);
}

#[test]
fn a_script_that_went_away_makes_no_plan() {
    let fixture = Fixture::new();
    let catalog = runbook::load(fixture.folder.path()).expect("a catalog").catalog;
    std::fs::remove_file(fixture.folder.path().join("deploy.py")).expect("removed");
    let params = [("service", "web"), ("version", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let refusal =
        plan(&catalog, &catalog.runbooks[&RunbookName::new("deploy")], &params, PlanFor::at(now()), &Host::new());
    assert_eq!(refusal.expect_err("refused").to_string(), "the script `./deploy.py` cannot be read");
}

#[test]
fn the_deed_is_the_first_phrase_that_says_all_of_it() {
    let fixture = Fixture::new();
    let deed = |given: &[(&str, &str)]| fixture.plan_with("deploy", given, &Host::new()).expect("a plan").deed;
    assert_eq!(deed(&[("service", "web"), ("version", "1.2")]), "deploy 1.2 to web");
    assert_eq!(deed(&[("service", "web"), ("version", "1.2"), ("mode", "safe")]), "deploy 1.2 to web");
    assert_eq!(
        deed(&[("service", "web"), ("version", "1 2"), ("mode", "fast")]),
        "run deploy service=web version=\"1 2\" mode=fast"
    );
}

#[test]
fn targets_of_checks_are_expanded() {
    let fixture = Fixture::new();
    fixture.write(
        "look.yaml",
        "runbook: look\ntitle: Look\nsystem: shop\nparams: {what: {type: choice, one_of: [web, web/running, shop]}}\n\
         steps: [{name: Look, check: '{{ what }}'}]\n",
    );
    let looked = |what: &str| {
        let plan = fixture.plan_with("look", &[("what", what)], &Host::new()).expect("a plan");
        assert!(!plan.privileged() && plan.policy.is_none());
        let Action::Check { checks, .. } = &plan.steps[0].action else { panic!("a check step") };
        let names: Vec<String> = checks.iter().map(|check| format!("{}/{}", check.service, check.check)).collect();
        (plan.targets, names.join(" "))
    };
    assert_eq!(looked("web"), (vec!["web".into()], "web/answers web/running".into()));
    assert_eq!(looked("web/running"), (vec!["web".into()], "web/running".into()));
    assert_eq!(looked("shop"), (vec!["shop".into()], "cart/running web/answers web/running".into()));
}

#[test]
fn the_question_is_it_running_is_a_plan_of_one_reading_step() {
    let catalog = runbook::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks")).expect("a catalog").catalog;
    let service = ServiceName::new("service-c");
    let plan = plan_is(&catalog, &service, None, &Host::new()).expect("a plan");
    assert_eq!((plan.runbook.as_str(), plan.deed.as_str()), ("is", "is service-c running"));
    assert_eq!((plan.telling, plan.privileged(), plan.policy.is_none()), (Telling::Answer, false, true));
    assert_eq!(plan.targets, ["service-c"]);
    assert_eq!(plan.files.keys().collect::<Vec<_>>(), ["systems/system-a.yaml"]);
    let [step] = &plan.steps[..] else { panic!("one step") };
    let Action::Check { checks, until: None } = &step.action else { panic!("one check") };
    let PlanProbe::Command { exec, .. } = &checks[0].probe else { panic!("a program") };
    assert_eq!(exec.program, "/opt/bin/countersign");
    assert_eq!(step.timeout_ms, 1_000);

    let running = CheckName::new("running");
    assert_eq!(plan_is(&catalog, &service, Some(&running), &Host::new()).expect("a plan").steps, plan.steps);
    let nothing = CheckName::new("walking");
    let refusal = plan_is(&catalog, &service, Some(&nothing), &Host::new()).expect_err("refused");
    assert_eq!(refusal.to_string(), "a check of this plan names nothing: service `service-c` has no check `walking`");
    assert!(plan_is(&catalog, &ServiceName::new("service-x"), None, &Host::new()).is_err());
}

#[test]
fn plans_of_the_shipped_catalog() {
    let catalog = runbook::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks")).expect("a catalog").catalog;
    let plan = |name: &str, param: &str, value: &str| {
        let params = BTreeMap::from([(param.to_owned(), value.to_owned())]);
        plan(&catalog, &catalog.runbooks[&RunbookName::new(name)], &params, PlanFor::at(now()), &Host::new())
            .expect("a plan")
    };
    let start = plan("start-service", "service", "service-b");
    assert_eq!((start.deed.as_str(), start.changes(), start.privileged()), ("start service-b", 1, true));
    assert_eq!(start.longest(), std::time::Duration::from_secs(60 + 30 + 1));
    assert!(start.longest() <= start.policy.as_ref().expect("a policy").valid_for());
    assert_eq!(plan("stop-service", "service", "service-b").deed, "stop service-b");
    let health = plan("health-check", "system", "system-a");
    assert_eq!((health.deed.as_str(), health.privileged()), ("run system-a health check", false));
    assert_eq!((health.targets, health.policy), (vec!["system-a".to_owned()], None));
}

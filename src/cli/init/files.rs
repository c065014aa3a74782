//! The files that `init` writes: a small catalog, its comments for whoever opens it next.
//!
//! What lives here: text. Answers go in as JSON strings, which YAML reads as they are: none can become YAML of its own.

use super::answers::{Answers, How, Person};

/// The files' names, sorted.
pub(super) const NAMES: [&str; 6] =
    ["health.yaml", "people.yaml", "policy.yaml", "restart.yaml", "rooms.yaml", "system.yaml"];

/// Every file with its text, in the order of [`NAMES`].
pub(super) fn files(answers: &Answers) -> [(&'static str, String); 6] {
    let [health, people, policy, restart, rooms, system] = NAMES;
    [
        (health, HEALTH.to_owned()),
        (people, people_file(answers)),
        (policy, POLICY.to_owned()),
        (restart, restart_file(answers)),
        (rooms, rooms_file(answers)),
        (system, system_file(answers)),
    ]
}

/// A text in double quotes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A list of texts.
fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(quoted).collect();
    format!("[{}]", texts.join(", "))
}

const HEALTH: &str = r#"# Asks every check of a system. It only reads, so nobody has to agree.
runbook: health
title: Check the health of a system
say: ["check {system}"]
params:
  system: {type: system}
steps:
  - name: Health
    check: "{{ system }}"
"#;

const POLICY: &str = "\
# Who must agree before something is changed. Whoever asks never counts as an approver.
policy: approval
title: An approver agrees
stages:
  - approvers: [group:approvers]
    quorum: 1           # so many different people
expires: 30m            # how long a request waits for an answer
valid_for: 1h           # how long the agreement lasts
";

fn people_file(answers: &Answers) -> String {
    let mut text = "\
# People and their accounts, `platform:workspace:id`. Rights belong to people: whoever stands nowhere here can do nothing.
people:
"
    .to_owned();
    for Person { name, account } in answers.people() {
        let account = account.as_ref().map_or_else(|| format!("local:trial:{name}"), ToString::to_string);
        text.push_str(&format!("  {}: {{accounts: [{}]}}\n", quoted(name), quoted(&account)));
    }
    let names = |people: &[Person]| list(people.iter().map(|person| person.name.as_str()));
    text.push_str(&format!(
        "\ngroups:\n  operators: {}\n  approvers: {}\n",
        names(&answers.askers),
        names(&answers.approvers)
    ));
    text.push_str(&format!(
        "\n# Outside a trial a change that gives somebody a right waits until one of these countersigns it; who gains by it \
         does\n# not count. Taking a right away holds at once.\naccess:\n  countersigned_by: [group:approvers]\n  room: {}\n",
        quoted(&answers.system_name())
    ));
    text
}

fn rooms_file(answers: &Answers) -> String {
    let address = answers.room.as_ref().map(ToString::to_string).unwrap_or_default();
    format!(
        "\
# Rooms and where they are, `platform:workspace:channel`. The name is a label; the address is what counts.
rooms:
  {}: {{address: {}}}
",
        quoted(&answers.system_name()),
        quoted(&address)
    )
}

fn system_file(answers: &Answers) -> String {
    let (system, service) = (answers.system_name(), answers.service_name());
    format!(
        r#"# A system: services that belong together. Words that mean nothing here are refused, so what stands here does something.
system: {system}
title: {title}
environment: {environment}
room: {system}

# Who may what: lists of `group:NAME` and `person:NAME` from people.yaml. Nobody has a right that is not given here.
may_run: [group:operators, group:approvers]       # ask for runbooks; who must agree is the runbook's policy
may_see: [group:operators, group:approvers]       # ask without changing anything
may_unstick: [group:approvers]                    # judge, retry or stop a run that is stuck

services:
  {service}:
    title: {service_title}
    checks:
{check}        timeout: 10s
"#,
        system = quoted(&system),
        title = quoted(&answers.title),
        environment = quoted(&answers.environment),
        service = quoted(&service),
        service_title = quoted(&answers.service),
        check = check(&answers.check),
    )
}

/// The check and what there is to say about it.
fn check(how: &How) -> String {
    match how {
        How::Command(command) => format!(
            "      # A program that only reads, started with exactly these arguments: no shell reads them. 0 is well, all \
             else is not.\n      running:\n        command: {}\n",
            list(command.iter().map(String::as_str))
        ),
        How::Http(url) => format!(
            "      # A GET request: any other status than these, or no answer, is not well.\n      \
             answers:\n        http: {{url: {}, expect: {{status: [200, 204]}}}}\n",
            quoted(url)
        ),
    }
}

fn restart_file(answers: &Answers) -> String {
    let service = answers.service_name();
    // The service's own name becomes the parameter, so that the runbook serves the next service as well.
    let command: Vec<String> = answers
        .restart
        .iter()
        .skip(1)
        .map(|word| if *word == service { "{{ service }}".to_owned() } else { word.clone() })
        .collect();
    let program = answers.restart.first().map(String::as_str);
    format!(
        r#"# What one may ask for: say `restart {spoken}` in the room. An approver sees every step before anything runs.
runbook: restart
title: Restart a service
why: Ends a service that hangs and starts it again; its users wait for a moment.
say: ["restart {{service}}"]
params:
  service: {{type: service, system: {system}}}
approval: approval
steps:
  - name: Restart
    run: {{command: {command}}}
    timeout: 60s
  # Asks the service's checks until they pass.
  - name: Verify
    check: "{{{{ service }}}}"
    until: {{passes_within: 30s, every: 2s}}
"#,
        spoken = service.replace('-', " "),
        system = quoted(&answers.system_name()),
        command = list(program.into_iter().chain(command.iter().map(String::as_str))),
    )
}

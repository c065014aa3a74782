//! Lines and what they are, over one small world.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::Tz;
use proptest::prelude::*;

use crate::model::catalog::{
    Check, ExitCodes, Param, ParamKind, Phrase, Probe, Runbook, Service, Source, Step, StepAction, System,
};
use crate::model::code::Code;
use crate::model::id::{CheckName, Digest, IncidentId, RoomName, RunId, RunbookName, ServiceName, SystemName};

use super::*;
use crate::model::id::RotaName;
use crate::model::request::ReviewVerdict;
use crate::model::rota::Turns;

fn source() -> Source {
    Source { path: "x.yaml".into(), sha256: Digest([0; 32]) }
}

fn service(name: &str, title: &str, checks: &[&str]) -> (ServiceName, Service) {
    let checks = checks.iter().map(|check| {
        let check = Check {
            name: CheckName::new(*check),
            probe: Probe::Command { command: vec!["true".into()], codes: ExitCodes::Plain, env: vec![] },
            schedule: None,
            timeout: Duration::from_secs(1),
        };
        (check.name.clone(), check)
    });
    let name = ServiceName::new(name);
    (name.clone(), Service { name, title: title.into(), checks: checks.collect() })
}

fn system(name: &str, title: &str, services: Vec<(ServiceName, Service)>) -> (SystemName, System) {
    let name = SystemName::new(name);
    let system = System {
        name: name.clone(),
        title: title.into(),
        environment: "production".into(),
        room: RoomName::new("ops"),
        accountable: None,
        may_run: vec![],
        may_see: vec![],
        may_resolve: vec![],
        may_pause: vec![],
        may_unstick: vec![],
        incident_channel: None,
        services: services.into_iter().collect(),
        source: source(),
    };
    (name, system)
}

pub(crate) fn param(name: &str, kind: ParamKind) -> Param {
    Param { name: name.into(), kind, default: None, may_begin_with_dash: false }
}

pub(crate) fn runbook(name: &str, title: &str, say: &[&str], params: Vec<Param>) -> (RunbookName, Runbook) {
    let name = RunbookName::new(name);
    let step = Step {
        name: "Do".into(),
        action: StepAction::Run { command: vec!["true".into()], env: vec![] },
        timeout: Duration::from_secs(1),
        retry: None,
        idempotent: false,
        read_only: false,
    };
    let runbook = Runbook {
        name: name.clone(),
        title: title.into(),
        why: None,
        say: say.iter().map(|phrase| Phrase::parse(phrase).expect("a phrase")).collect(),
        params,
        system: None,
        risk: crate::model::choice::Risk::Medium,
        approval: None,
        author: None,
        steps: vec![step],
        source: source(),
    };
    (name, runbook)
}

/// System A with Services B and C, System Z with a service that one cannot start, and six runbooks.
pub(crate) fn world() -> Catalog {
    let system_a = || Some(SystemName::new("system-a"));
    let of_a = ParamKind::Service { system: system_a() };
    let mut dashed = param("flags", ParamKind::Text { max_length: 10 });
    dashed.may_begin_with_dash = true;
    dashed.default = Some(String::new());
    let mut mode = param("mode", ParamKind::Choice(vec!["safe".into(), "Very-Fast".into()]));
    mode.default = Some("safe".into());
    let ops = crate::model::rota::tests::rota(&["mei"], Turns::Weekly, Tz::UTC, "09:00:00", &[]);
    Catalog {
        root: PathBuf::from("/"),
        rotas: [(ops.name.clone(), ops)].into(),
        systems: [
            system(
                "system-a",
                "System A",
                vec![
                    service("service-b", "Service B", &["running", "answers", "disk-space"]),
                    service("service-c", "Payments", &["running", "answers"]),
                ],
            ),
            system(
                "system-z",
                "The other one",
                vec![service("zebra", "Zebra", &["answers"]), service("pay-ments", "Till", &["answers"])],
            ),
        ]
        .into(),
        runbooks: [
            runbook("start-service", "Start a service", &["start {service}"], vec![param("service", of_a.clone())]),
            runbook(
                "health-check",
                "Look at everything",
                &["run {system} health check", "run a health check of {system}"],
                vec![param("system", ParamKind::System)],
            ),
            runbook(
                "scale-service",
                "Scale",
                &["scale {service} to {count}"],
                vec![param("service", of_a.clone()), param("count", ParamKind::Integer { min: 1, max: 10 })],
            ),
            runbook(
                "announce",
                "Announce",
                &["announce {words}"],
                vec![param("words", ParamKind::Text { max_length: 20 })],
            ),
            runbook(
                "deploy",
                "Deploy",
                &[],
                vec![
                    param("service", ParamKind::Service { system: None }),
                    param("version", ParamKind::Text { max_length: 12 }),
                    mode,
                    dashed,
                ],
            ),
            runbook("flush-cache", "Flush the cache", &["flush cache"], vec![]),
        ]
        .into(),
        ..Catalog::default()
    }
}

fn in_room(text: &str) -> Parsed {
    parse(&world(), text, Addressed::ToRoom, Place { in_declared_room: true })
}

fn direct(text: &str) -> Parsed {
    parse(&world(), text, Addressed::Direct, Place { in_declared_room: false })
}

fn error(text: &str) -> ParseError {
    match in_room(text) {
        Parsed::Wrong(error) => {
            assert!(error.at().end <= text.len() && text.get(error.at().clone()).is_some(), "{text}: {error:?}");
            error
        }
        other => panic!("{text}: {other:?}"),
    }
}

fn command(text: &str) -> Command {
    match in_room(text) {
        Parsed::Command(command) => command,
        other => panic!("{text}: {other:?}"),
    }
}

fn run(runbook: &str, params: &[(&str, &str)]) -> Command {
    Command::Run {
        runbook: RunbookName::new(runbook),
        params: params.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        anew: Anew::No,
    }
}

fn code(text: &str) -> Code {
    Code::parse(text).expect("a code")
}

#[test]
fn simple_commands() {
    for (text, expected) in [
        ("ping", Command::Ping),
        ("Ping.", Command::Ping),
        ("ping?", Command::Ping),
        ("  ping \n\n", Command::Ping),
        ("@countersign ping", Command::Ping),
        ("countersign: ping", Command::Ping),
        ("whoami", Command::WhoAmI),
        ("who am I?", Command::WhoAmI),
        ("again", Command::Again),
        ("again, please", Command::Again),
        ("requests", Command::Requests),
        ("stop", Command::Stop { run: None }),
        ("stop run 12", Command::Stop { run: Some(RunId(12)) }),
        ("stop #12", Command::Stop { run: Some(RunId(12)) }),
        ("retry", Command::Retry { run: None }),
        ("retry run 12.", Command::Retry { run: Some(RunId(12)) }),
        ("show 7k3f", Command::Show { what: Shown::Code(code("7K3F")) }),
        ("show run 12", Command::Show { what: Shown::Run(RunId(12)) }),
        ("show 2345", Command::Show { what: Shown::Run(RunId(2345)) }),
        ("help", Command::Help { topic: None }),
        ("help please", Command::Help { topic: None }),
        ("help approved", Command::Help { topic: Some("approve".into()) }),
        ("help who am i", Command::Help { topic: Some("whoami".into()) }),
        ("help start service", Command::Help { topic: Some("start-service".into()) }),
        ("help start", Command::Help { topic: Some("start-service".into()) }),
        ("help look at everything", Command::Help { topic: Some("health-check".into()) }),
        ("withdraw", Command::Withdraw { code: None }),
        ("withdraw 7K3F", Command::Withdraw { code: Some(code("7K3F")) }),
        (
            "judge worked because I looked",
            Command::Judge { run: None, verdict: Verdict::Worked, reason: "I looked".into() },
        ),
        (
            "Judge run 12 failed because: no file, sorry?",
            Command::Judge { run: Some(RunId(12)), verdict: Verdict::Failed, reason: "no file, sorry?".into() },
        ),
        ("break glass because it burns", Command::BreakGlass { code: None, reason: "it burns".into() }),
        (
            "review 7K3F not fine because nobody was asked",
            Command::Review {
                code: Code::parse("7K3F").expect("a code"),
                verdict: ReviewVerdict::NotFine,
                reason: "nobody was asked".into(),
            },
        ),
        (
            "Review 7K3F fine because: so",
            Command::Review {
                code: Code::parse("7K3F").expect("a code"),
                verdict: ReviewVerdict::Fine,
                reason: "so".into(),
            },
        ),
        ("reviews", Command::Reviews),
        ("take back 7K3F", Command::TakeBack { code: Code::parse("7K3F").expect("a code") }),
        ("skip because I looked", Command::Skip { run: None, reason: "I looked".into() }),
        ("Skip run 12 because: it is up?", Command::Skip { run: Some(RunId(12)), reason: "it is up?".into() }),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
}

#[test]
fn changes_of_who_may_do_what() {
    for (text, expected) in [
        ("access", Command::Access { shown: AccessShown::Short }),
        ("Access?", Command::Access { shown: AccessShown::Short }),
        ("access changes", Command::Access { shown: AccessShown::Changes }),
        ("countersign 7K3F", Command::Countersign { code: code("7K3F") }),
        ("Countersign 7k3f, thanks", Command::Countersign { code: code("7K3F") }),
        (
            "refuse 7K3F because: lin is a trainee?",
            Command::Refuse { code: code("7K3F"), reason: "lin is a trainee?".into() },
        ),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
    // A decision is the whole line, and names what it is about.
    for text in [
        "countersign",
        "countersign 7K3F?",
        "countersign 7K3F please",
        "countersign it",
        "refuse",
        "refuse 7K3F",
        "refuse to do that",
        "refuse 7K3F because",
        "access to the building is closed",
    ] {
        let parsed = in_room(text);
        assert!(!matches!(parsed, Parsed::Command(_)), "{text}: {parsed:?}");
    }
}

#[test]
fn incidents() {
    let seven = Some(IncidentId(7));
    let system_a = Some(OnCallFor::System(SystemName::new("system-a")));
    let because = |text: &str| Some(text.to_owned());
    for (text, expected) in [
        ("incidents", Command::Incidents),
        ("incidents?", Command::Incidents),
        ("status", Command::Status),
        ("Status?", Command::Status),
        ("what happened", Command::Happened { incident: None }),
        ("What happened?", Command::Happened { incident: None }),
        ("what happened INC-7", Command::Happened { incident: seven }),
        ("what happened #7?", Command::Happened { incident: seven }),
        ("report", Command::Report { incident: None }),
        ("report inc 7", Command::Report { incident: seven }),
        ("report incident 7, please", Command::Report { incident: seven }),
        ("ack", Command::Ack { incident: None }),
        ("ack, thanks", Command::Ack { incident: None }),
        ("ack INC-7.", Command::Ack { incident: seven }),
        ("ack inc7", Command::Ack { incident: seven }),
        ("ack 7", Command::Ack { incident: seven }),
        ("resolve", Command::Resolve { incident: None, reason: None }),
        ("resolve inc-7", Command::Resolve { incident: seven, reason: None }),
        ("resolve because it was a drill?", Command::Resolve { incident: None, reason: because("it was a drill?") }),
        ("resolve #7 because: done, thanks", Command::Resolve { incident: seven, reason: because("done, thanks") }),
        ("resolve INC-7, because of rain", Command::Resolve { incident: seven, reason: because("of rain") }),
        ("reopen", Command::Reopen { incident: None, reason: None }),
        ("reopen 7 because it is back", Command::Reopen { incident: seven, reason: because("it is back") }),
        ("note the disk was full", Command::Note { incident: None, text: "the disk was full".into() }),
        ("note: who did that?", Command::Note { incident: None, text: "who did that?".into() }),
        ("note INC-7 we called the vendor.", Command::Note { incident: seven, text: "we called the vendor.".into() }),
        ("note inc 7: vendor", Command::Note { incident: seven, text: "vendor".into() }),
        ("note 5 of 7 hosts are down", Command::Note { incident: None, text: "5 of 7 hosts are down".into() }),
        ("open incident checkout is slow", Command::Open { system: None, title: "checkout is slow".into() }),
        (
            "open incident System A: checkout is slow",
            Command::Open { system: Some(SystemName::new("system-a")), title: "checkout is slow".into() },
        ),
        ("open incident db: full", Command::Open { system: None, title: "db: full".into() }),
        ("who is on call", Command::OnCall { of: None }),
        ("Who is on-call?", Command::OnCall { of: None }),
        ("who is oncall for System A?", Command::OnCall { of: system_a.clone() }),
        ("who is on call for service b", Command::OnCall { of: system_a }),
        ("who is on call for ops primary", Command::OnCall { of: Some(OnCallFor::Rota(RotaName::new("ops-primary"))) }),
        ("help who is on call", Command::Help { topic: Some("who".into()) }),
        ("help what happened", Command::Help { topic: Some("what".into()) }),
        ("help resolve", Command::Help { topic: Some("resolve".into()) }),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
}

#[test]
fn what_is_nearly_an_incident() {
    for text in ["ack INC-x7", "resolve #7a", "reopen inc 7b", "what happened inc-0", "report 0"] {
        assert!(matches!(error(text), ParseError::NotAnIncident { .. }), "{text}: {:?}", error(text));
    }
    for text in ["resolve because", "reopen INC-7 because", "open incident"] {
        assert!(matches!(error(text), ParseError::Usage { .. }), "{text}: {:?}", error(text));
    }
    let ParseError::UnknownCommand { did_you_mean, .. } = error("resolv INC-7") else { panic!("a slip") };
    assert_eq!(did_you_mean.as_deref(), Some("resolve INC-7"));
    let said = |text: &str| crate::text::command::wrong(&error(text));
    assert_eq!(
        said("what happened inc-0"),
        "\"inc-0\" is no incident's number, so nothing was done. Say it as `what happened INC-7`."
    );
    assert_eq!(
        said("open incident"),
        "That is not how open is said. Say `open incident TITLE` or `open incident SYSTEM: TITLE`."
    );
}

#[test]
fn checks_of_services() {
    let is = |service: &str, check: Option<&str>| Command::Is {
        service: ServiceName::new(service),
        check: check.map(CheckName::new),
    };
    for (text, expected) in [
        ("is service c running", is("service-c", Some("running"))),
        ("is service-c running?", is("service-c", Some("running"))),
        ("is SERVICE B healthy, please", is("service-b", None)),
        ("is service-b up", is("service-b", None)),
        ("is serviceb disk space?", is("service-b", Some("disk-space"))),
        ("is service b answers", is("service-b", Some("answers"))),
        ("is zebra running", is("zebra", None)),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
}

#[test]
fn a_decision_is_the_whole_line() {
    let approve = Command::Approve { code: None, reason: None };
    for text in [
        "approve",
        "approved",
        "Approved",
        "APPROVED.",
        "approved, thanks",
        "approved, thank you.",
        "approve, please",
        "@countersign approved",
        "countersign, approved, thanks",
        "approved thanks",
        " approved ",
        "approved\n",
    ] {
        assert_eq!(command(text), approve, "{text}");
    }
    for text in ["approve 7K3F", "approved 7k3f", "approved 7k3f, thanks.", "@countersign approve 7K3F"] {
        assert_eq!(command(text), Command::Approve { code: Some(code("7K3F")), reason: None }, "{text}");
    }
    let deny = |code: Option<&str>, reason: Option<&str>| Command::Deny {
        code: code.and_then(Code::parse),
        reason: reason.map(str::to_owned),
    };
    for (text, expected) in [
        ("deny", deny(None, None)),
        ("denied.", deny(None, None)),
        ("deny because not now", deny(None, Some("not now"))),
        ("Denied because not now, thanks.", deny(None, Some("not now, thanks."))),
        ("deny because why would we?", deny(None, Some("why would we?"))),
        ("deny 7K3F", deny(Some("7K3F"), None)),
        ("deny 7k3f because  of `x`", deny(Some("7K3F"), Some("of `x`"))),
        ("deny 7K3F, because no", deny(Some("7K3F"), Some("no"))),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
}

#[test]
fn what_is_not_the_word_decides_nothing() {
    for text in [
        "approved?",
        "approved ?",
        "> approved",
        "\"approved\"",
        "`approved`",
        "“approved”",
        "'approved'",
        "approved it yesterday",
        "was approved",
        "approved by whom",
        "not approved",
        "I approved it",
        "approved 7K3F yesterday",
        "approve or deny",
        "please have it approved",
        "approved\nlater",
        "```\napproved\n```",
        "approved 7K3F?",
        "approved TEXT",
        "approved — for tomorrow",
        "approved and denied",
        "mei: approved",
        "denied?",
        "> deny",
        "withdraw?",
        "withdraw it",
        "approved, really?",
    ] {
        assert_eq!(in_room(text), Parsed::Talk, "{text}");
    }
}

#[test]
fn near_yes_and_near_no() {
    for text in [
        "ok",
        "OK.",
        "okay",
        "k",
        "yes",
        "Yes!",
        "yep",
        "sure",
        "go",
        "go ahead",
        "do it",
        "lgtm",
        "LGTM!",
        "fine",
        "+1",
        ":+1:",
        "👍",
        "👍🏽",
        "👍👍",
        "✅",
        "✔️",
        "approve it",
        "approved!",
        "approved!!",
        "approved..",
        "aproved",
        "approvd",
        "approved 👍",
        "✅ approved",
        "approve please",
        "approve 7K3F please",
        "approved, thanks mei",
        "ok, thanks",
        "yes please",
        "@countersign ok",
        "please approve it",
    ] {
        assert_eq!(in_room(text), Parsed::NearYes, "{text}");
    }
    for text in [
        "no",
        "Nope.",
        "not now",
        "wait",
        "hold on",
        "👎",
        "-1",
        "deny!",
        "dney",
        "deny, sorry",
        "denied!",
        "deny not now",
        "don’t",
        "deny because",
        "deny 7K3F not now",
        "reject",
        "deny TEXT",
        "no, thanks",
        "deny it",
    ] {
        assert_eq!(in_room(text), Parsed::NearNo, "{text}");
    }
    for text in ["ok?", "yes?", "no?", "ok so what now", "yes but why", "wait for it", "fine weather"] {
        assert_eq!(in_room(text), Parsed::Talk, "{text}");
    }
}

#[test]
fn phrases() {
    let start = || run("start-service", &[("service", "service-b")]);
    for text in [
        "start service b",
        "Start Service-B",
        "START SERVICEB",
        "start service-b.",
        "start service b, please",
        "start service b thanks",
        "  start   service   b  ",
        "@countersign start service b",
        "start service b, thank you.",
        "run start-service service=service-b",
        "run Start Service service=SERVICE-B",
        "run start-service service=\"Service B\"",
        "run start-service SERVICE=“service b” please",
        "run Start a service service=service-b",
    ] {
        assert_eq!(command(text), start(), "{text}");
    }
    for (text, expected) in [
        ("run system a health check", run("health-check", &[("system", "system-a")])),
        ("run The Other One health check", run("health-check", &[("system", "system-z")])),
        ("run a health check of system-a, thanks", run("health-check", &[("system", "system-a")])),
        ("run health-check system=system-a", run("health-check", &[("system", "system-a")])),
        ("scale service b to 03", run("scale-service", &[("service", "service-b"), ("count", "3")])),
        ("announce we start again", run("announce", &[("words", "we start again")])),
        ("announce down? yes, thanks.", run("announce", &[("words", "down? yes, thanks.")])),
        ("announce \"a\" or \"b\"", run("announce", &[("words", "\"a\" or \"b\"")])),
        ("announce \"quoted words\"", run("announce", &[("words", "quoted words")])),
        ("flush cache", run("flush-cache", &[])),
        ("run flush-cache", run("flush-cache", &[])),
        (
            "run deploy service=zebra version=1.2 flags=-v mode=very-fast",
            run("deploy", &[("service", "zebra"), ("version", "1.2"), ("mode", "Very-Fast"), ("flags", "-v")]),
        ),
        (
            "run deploy version=\"1 = 2\" service=zebra",
            run("deploy", &[("service", "zebra"), ("version", "1 = 2"), ("mode", "safe"), ("flags", "")]),
        ),
    ] {
        assert_eq!(command(text), expected, "{text}");
    }
}

#[test]
fn a_final_again_asks_anew() {
    for text in
        ["start service b again", "start service b, again, please.", "run start-service service=service-b again"]
    {
        let Command::Run { anew, params, .. } = command(text) else { panic!("{text}") };
        assert_eq!((anew, params["service"].as_str()), (Anew::Yes, "service-b"), "{text}");
    }
}

/// Everyday lines of an incident room: the bot keeps quiet.
#[test]
fn prose_is_talk() {
    for text in [
        "",
        " ",
        "hello",
        "morning all",
        "the start of service b was slow",
        "start the meeting",
        "start over",
        "start lunch now please everybody",
        "let's start",
        "starting service b now",
        "started service b an hour ago",
        "I'll start service b",
        "should we start service b?",
        "can someone start service b",
        "starts service b",
        "start",
        "start?",
        "start with the logs",
        "start to finish it took an hour",
        "run",
        "run for your lives",
        "run it by me first",
        "run the numbers again",
        "running late",
        "run diagnostics",
        "is it down",
        "is it down?",
        "is anyone looking",
        "is it ok",
        "is that fine?",
        "is service b the problem",
        "is service b really that slow",
        "is everything running?",
        "help me with this",
        "help is on its way",
        "help needed",
        "I need help",
        "held",
        "stop it",
        "stop the world",
        "stop that please",
        "please stop",
        "stopping",
        "show me the logs",
        "show must go on",
        "retry?",
        "again?",
        "once again",
        "again and again",
        "judge for yourself",
        "judge not",
        "requests are failing",
        "requests per second are down",
        "ping mei",
        "pong",
        "who is on holiday",
        "who",
        "who did that?",
        "what happened to the server",
        "what happened yesterday?",
        "what is going on",
        "open the door",
        "open a ticket for that",
        "open incidents?",
        "open incident reports?",
        "ack that",
        "ack?",
        "resolve the conflict first",
        "resolve?",
        "reopen the ticket",
        "report to me when it is done",
        "incidents happen",
        "status of the release",
        "who is on call for lunch",
        "who is on call next week",
        "back",
        "act now",
        "not sure about that",
        "service b is down",
        "service-b",
        "scale is the problem here",
        "scale it up",
        "scale",
        "health check is red",
        "run the health check on all of the new laptops",
        "flush",
        "flush it down",
        "announce",
        "https://example.com/start service b",
        "mei: start service b",
        "> start service b",
        "`start service b`",
        "```start service b```",
        "\"start service b\" is what you say",
        "start service b\nand service c",
        "$ run x",
        "countersign is nice",
        "countersign start service b",
        "@mei start service b",
        "step 12",
        "shop 12",
        "top",
        "heap is full",
        "¯\\_(ツ)_/¯",
        "🔥",
        "start service b tomorrow after the release",
        "stop service and go home",
        "restart service b",
        "show 7 people the door",
        "well ok then",
        "approve of this?",
        "deny everything?",
    ] {
        assert_eq!(in_room(text), Parsed::Talk, "{text}");
    }
}

/// What is surely meant for the bot, and the line that it suggests.
#[test]
fn near_misses_are_answered_and_never_done() {
    for (text, expected) in [
        ("strat service b", "start service b"),
        ("satrt service b", "start service b"),
        ("stat service b", "start service b"),
        ("strat servce b", "start service-b"),
        ("Strat Service-B, please", "start Service-B"),
        ("start service b!", "start service b"),
        ("start service b?", "start service b"),
        ("please start service b", "start service b"),
        ("please approve 7K3F", "approve 7K3F"),
        ("helpp", "help"),
        ("hlep", "help"),
        ("pign", "ping"),
        ("requets", "requests"),
        ("whoamii", "whoami"),
        ("withdrwa", "withdraw"),
        ("retyr run 12", "retry run 12"),
        ("sotp run 12", "stop run 12"),
        ("stpo run 12", "stop run 12"),
        ("shwo 7K3F", "show 7K3F"),
        ("aprove 7K3F", "approve 7K3F"),
        ("jugde worked because I saw it", "judge worked because I saw it"),
        ("agian", "again"),
        ("stop!", "stop"),
        ("stop run 12?", "stop run 12"),
        ("retry 12?", "retry 12"),
        ("run system a helth check", "run system a health check"),
        ("run sytem a health check", "run system-a health check"),
        ("scael service b to 3", "scale service b to 3"),
        ("scale servise b to 3!", "scale service-b to 3"),
        ("request", "requests"),
        ("flsh cache", "flush cache"),
        ("flush cahce", "flush cache"),
    ] {
        match in_room(text) {
            Parsed::Wrong(ParseError::UnknownCommand { did_you_mean: Some(better), .. }) => {
                assert_eq!(better, expected, "{text}");
                assert!(matches!(in_room(&better), Parsed::Command(_)), "{text} -> {better}");
            }
            Parsed::Wrong(ParseError::Value { why: ValueError::Unknown { did_you_mean: Some(_) }, .. }) => {}
            Parsed::Talk if expected.is_empty() => {}
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn mistakes_in_phrases() {
    let why = |text: &str| match error(text) {
        ParseError::Value { why, said, .. } => (said, why),
        other => panic!("{text}: {other:?}"),
    };
    let unknown = |near: Option<&str>| ValueError::Unknown { did_you_mean: near.map(str::to_owned) };
    for (text, said, expected) in [
        ("start service x", "service x", unknown(Some("service-b"))),
        ("start servce-c", "servce-c", unknown(Some("service-c"))),
        ("start service desk", "service desk", unknown(None)),
        ("start web7", "web7", unknown(None)),
        ("start zebra", "zebra", ValueError::OtherSystem { system: SystemName::new("system-z") }),
        ("scale service b to 11", "11", ValueError::OutOfBounds),
        ("scale service b to 99999999999999999999", "99999999999999999999", ValueError::OutOfBounds),
        ("scale service b to -3", "-3", ValueError::OutOfBounds),
        ("scale service b to 3x", "3x", ValueError::NotANumber),
        ("scale service b to +3", "+3", ValueError::NotANumber),
        ("announce one two three four five", "one two three four five", ValueError::TooLong { length: 23 }),
        ("announce a\u{202e}b", "a\u{202e}b", ValueError::Hidden { character: '\u{202e}' }),
        ("announce a\u{200b}b", "a\u{200b}b", ValueError::Hidden { character: '\u{200b}' }),
        ("announce a\u{7}b", "a\u{7}b", ValueError::Hidden { character: '\u{7}' }),
        ("announce -rf", "-rf", ValueError::LeadingDash),
        ("announce \"-rf\"", "-rf", ValueError::LeadingDash),
        ("announce \"\"", "", ValueError::Empty),
    ] {
        assert_eq!(why(text), (said.to_owned(), expected), "{text}");
    }
    assert!(matches!(error("announce \"open"), ParseError::UnclosedQuote { at } if at == (9..14)));
    for (text, more) in [
        ("start service b now", "now"),
        ("start service b, now", "now"),
        ("start service b and service c", "and service c"),
    ] {
        let ParseError::Extra { said, without, .. } = error(text) else { panic!("{text}") };
        assert_eq!((said.as_str(), without.as_str()), (more, "start service b"), "{text}");
    }
    assert!(matches!(error("run system a health check now, mei"), ParseError::Extra { said, without, .. }
        if said == "now, mei" && without == "run system a health check"));
    assert!(matches!(error("flush cache now"), ParseError::Extra { without, .. } if without == "flush cache"));
    assert!(matches!(error("run health check"), ParseError::MissingArgument { name, .. } if name == "system"));
    assert!(matches!(error("scale to"), ParseError::MissingArgument { name, .. } if name == "service"));
}

#[test]
fn i9_unknown_and_wrong_arguments_are_refused() {
    let deploy = "run deploy service=zebra version=1";
    assert!(matches!(in_room(deploy), Parsed::Command(_)));
    let text = "run start-service service=service-b force=yes";
    match error(text) {
        ParseError::UnknownArgument { at, name, known, did_you_mean, .. } => {
            assert_eq!((&text[at], name.as_str(), did_you_mean), ("force", "force", None));
            assert_eq!(known, ["service"]);
        }
        other => panic!("{other:?}"),
    }
    use ParseError as E;
    type Test = fn(&ParseError) -> bool;
    let cases: &[(&str, Test)] = &[
        (
            "run start-service servce=service-b",
            |e| matches!(e, E::UnknownArgument { did_you_mean: Some(near), .. } if near == "service"),
        ),
        ("run start-service", |e| matches!(e, E::MissingArgument { name, .. } if name == "service")),
        ("run start-service service=", |e| matches!(e, E::Value { why: ValueError::Empty, .. })),
        ("run start-service service=service-b service=service-c", |e| matches!(e, E::DuplicateArgument { .. })),
        ("run start-service service=service b", |e| matches!(e, E::UnnamedArgument { said, .. } if said == "b")),
        ("run start-service service-b", |e| matches!(e, E::UnnamedArgument { said, .. } if said == "service-b")),
        ("run start-service service = service-b", |e| matches!(e, E::UnnamedArgument { .. })),
        ("run start-service --service=service-b", |e| matches!(e, E::UnknownArgument { .. })),
        ("run start-service service=\"service-b", |e| matches!(e, E::UnclosedQuote { .. })),
        ("run start-service service=service-b force", |e| matches!(e, E::UnnamedArgument { .. })),
        ("run start-service service=-rf", |e| matches!(e, E::Value { .. })),
        ("run start-service service=service-b?", |e| matches!(e, E::UnknownCommand { .. })),
        (
            "run start-servce service=service-b",
            |e| matches!(e, E::UnknownRunbook { did_you_mean: Some(near), .. } if near.as_str() == "start-service"),
        ),
        ("run start-servce", |e| matches!(e, E::UnknownRunbook { did_you_mean: Some(_), .. })),
        ("run nothing x=1", |e| matches!(e, E::UnknownRunbook { did_you_mean: None, .. })),
        (
            "run deploy service=zebra version=1 mode=slow",
            |e| matches!(e, E::Value { name, why: ValueError::Unknown { .. }, .. } if name == "mode"),
        ),
        ("run deploy service=zebra version=\"1\u{200f}\"", |e| {
            matches!(e, E::Value { why: ValueError::Hidden { .. }, .. })
        }),
        ("run deploy service=zebra version=-1", |e| matches!(e, E::Value { why: ValueError::LeadingDash, .. })),
        ("run deploy service=zebra version=1234567890123", |e| {
            matches!(e, E::Value { why: ValueError::TooLong { length: 13 }, .. })
        }),
        (
            "run deploy service=payments version=1",
            |e| matches!(e, E::Value { why: ValueError::Ambiguous { names }, .. } if names == &["service-c", "pay-ments"]),
        ),
    ];
    for (text, test) in cases {
        let error = error(text);
        assert!(test(&error), "{text}: {error:?}");
    }
}

#[test]
fn mistakes_in_built_ins() {
    use ParseError as E;
    type Test = fn(&ParseError) -> bool;
    let cases: &[(&str, Test)] = &[
        ("is service x running", |e| matches!(e, E::UnknownService { did_you_mean: Some(_), .. })),
        (
            "is system a healthy",
            |e| matches!(e, E::UnknownService { did_you_mean: None, known, .. } if known.len() == 2),
        ),
        ("is payments up", |e| matches!(e, E::AmbiguousService { names, .. } if names.len() == 2)),
        ("who is on call for payments", |e| matches!(e, E::Ambiguous { readings, .. } if readings.len() == 2)),
        (
            "who is on call for sytem a",
            |e| matches!(e, E::UnknownOnCall { did_you_mean: Some(near), .. } if near == "system-a"),
        ),
        (
            "is service b slow?",
            |e| matches!(e, E::UnknownCheck { said, known, .. } if said == "slow" && known.len() == 3),
        ),
        (
            "is service b anwsers",
            |e| matches!(e, E::UnknownCheck { did_you_mean: Some(near), .. } if near.as_str() == "answers"),
        ),
        ("approve 7K3O", |e| matches!(e, E::NotACode { said, command: "approve", .. } if said == "7K3O")),
        ("approved 7k3", |e| matches!(e, E::NotACode { .. })),
        ("approve 1234", |e| matches!(e, E::NotACode { .. })),
        ("deny 7K3O because no", |e| matches!(e, E::NotACode { command: "deny", .. })),
        ("withdraw 7K3FF", |e| matches!(e, E::NotACode { .. })),
        ("show 7K3O", |e| matches!(e, E::NotACode { .. })),
        ("revoke run 1", |e| matches!(e, E::NotACode { said, command: "revoke", .. } if said == "run 1")),
        ("deny run 12 because no", |e| matches!(e, E::NotACode { said, .. } if said == "run 12")),
        ("approve run #12", |e| matches!(e, E::NotACode { said, .. } if said == "run #12")),
        ("stop run 12x", |e| matches!(e, E::NotARun { .. })),
        ("stop run 0", |e| matches!(e, E::NotARun { .. })),
        ("stop service b", |e| matches!(e, E::NotARun { said, command: "stop", .. } if said == "service b")),
        ("judge worked", |e| matches!(e, E::Usage { command: "judge", .. })),
        ("judge run 12 exploded because x", |e| matches!(e, E::Usage { command: "judge", .. })),
        ("judge run 12 worked because", |e| matches!(e, E::Usage { .. })),
        (
            "help strat-service",
            |e| matches!(e, E::UnknownTopic { did_you_mean: Some(near), .. } if near == "start-service"),
        ),
    ];
    for (text, test) in cases {
        let error = error(text);
        assert!(test(&error), "{text}: {error:?}");
    }
}

#[test]
fn addressed_lines_are_never_just_talk() {
    for (text, better) in [
        ("hello", None),
        ("restart service b", Some("start service b")),
        ("strat the thing", Some("start {service}")),
        ("approved it yesterday", None),
        ("heelp", Some("help")),
    ] {
        match direct(text) {
            Parsed::Wrong(ParseError::UnknownCommand { did_you_mean, .. }) => {
                assert_eq!(did_you_mean.as_deref(), better, "{text}");
            }
            Parsed::Wrong(ParseError::Usage { .. }) if better.is_none() => {}
            other => panic!("{text}: {other:?}"),
        }
    }
    use ParseError as E;
    assert!(matches!(direct("`start service b`"), Parsed::Wrong(E::Quoted { at }) if at == (0..17)));
    assert!(matches!(direct("start service b\nand c"), Parsed::Wrong(E::SeveralLines { at }) if at == (15..21)));
    assert!(matches!(direct(&"x ".repeat(1500)), Parsed::Wrong(E::TooLong { .. })));
    assert!(matches!(direct("start lunch"), Parsed::Wrong(E::Value { .. })));
    assert!(matches!(direct("start"), Parsed::Wrong(E::MissingArgument { .. })));
    assert!(matches!(direct("is service b"), Parsed::Wrong(E::UnknownCheck { .. })));
    assert!(matches!(direct("approved?"), Parsed::Wrong(_)));
    for text in ["?", ".", "!", ",", "thanks", "please", "… …"] {
        assert!(matches!(direct(text), Parsed::Wrong(E::UnknownCommand { did_you_mean: None, .. })), "{text}");
        assert_eq!(in_room(text), Parsed::Talk, "{text}");
    }
    assert_eq!(direct(""), Parsed::Command(Command::Help { topic: None }));
    assert_eq!(in_room("@countersign"), Parsed::Command(Command::Help { topic: None }));
    assert!(matches!(in_room("@countersign hello"), Parsed::Wrong(E::UnknownCommand { .. })));
}

#[test]
fn an_undeclared_room_is_only_heard_when_it_speaks_to_the_bot() {
    let place = Place { in_declared_room: false };
    for text in ["ping", "approved", "ok", "strat service b"] {
        assert_eq!(parse(&world(), text, Addressed::ToRoom, place), Parsed::Talk, "{text}");
    }
    for (text, address) in
        [("@countersign ping", Addressed::ToRoom), ("ping", Addressed::Mention), ("ping", Addressed::Slash)]
    {
        assert_eq!(parse(&world(), text, address, place), Parsed::Command(Command::Ping), "{text}");
    }
}

#[test]
fn a_line_that_two_runbooks_say_is_neither() {
    let mut world = world();
    let (name, other) =
        runbook("start-other", "Other", &["start {what}"], vec![param("what", ParamKind::Text { max_length: 99 })]);
    world.runbooks.insert(name, other);
    let parsed = parse(&world, "start service b", Addressed::ToRoom, Place { in_declared_room: true });
    let Parsed::Wrong(ParseError::Ambiguous { readings, .. }) = parsed else { panic!("{parsed:?}") };
    assert_eq!(readings, ["run start-other what=\"service b\"", "run start-service service=service-b"]);
}

/// Phrases may begin with `stop` and a name; the built-in keeps its numbers.
#[test]
fn a_phrase_beside_the_built_in_stop() {
    let mut world = world();
    let kind = ParamKind::Service { system: Some(SystemName::new("system-a")) };
    let (name, stop) = runbook("stop-service", "Stop", &["stop {service}"], vec![param("service", kind)]);
    world.runbooks.insert(name, stop);
    let said = |text: &str| parse(&world, text, Addressed::ToRoom, Place { in_declared_room: true });
    assert_eq!(said("stop service b"), Parsed::Command(run("stop-service", &[("service", "service-b")])));
    assert_eq!(said("stop 12"), Parsed::Command(Command::Stop { run: Some(RunId(12)) }));
    assert_eq!(said("stop run 12."), Parsed::Command(Command::Stop { run: Some(RunId(12)) }));
    assert_eq!(said("stop"), Parsed::Command(Command::Stop { run: None }));
    assert!(matches!(said("stop service x"), Parsed::Wrong(ParseError::Value { .. })));
    assert!(matches!(said("stop service b now"), Parsed::Wrong(ParseError::Extra { .. })));
    assert!(matches!(said("stop service b?"), Parsed::Wrong(ParseError::UnknownCommand { did_you_mean: Some(_), .. })));
    assert_eq!(said("stop it"), Parsed::Talk);
    assert_eq!(said("stop the meeting"), Parsed::Talk);
    let Parsed::Wrong(ParseError::UnknownCommand { did_you_mean, .. }) = said("stpo service b") else { panic!() };
    assert_eq!(did_you_mean.as_deref(), Some("stop service b"));
}

/// The cost of a line is bounded by its length, however many ways there are to read it.
#[test]
fn a_line_with_very_many_readings_ends() {
    let mut world = world();
    let params = ["a", "b", "c", "d"].map(|name| param(name, ParamKind::Text { max_length: 5 }));
    let (name, many) = runbook("many", "Many", &["copy {a} to {b} to {c} to {d}"], params.into());
    world.runbooks.insert(name, many);
    let line = format!("copy {}", "to ".repeat(600));
    let parsed = parse(&world, &line, Addressed::Direct, Place { in_declared_room: true });
    assert!(matches!(parsed, Parsed::Wrong(_)), "{parsed:?}");
}

proptest! {
    #[test]
    fn any_text_is_read_and_mistakes_point_into_it(text in "\\PC{0,80}") {
        for parsed in [in_room(&text), direct(&text)] {
            if let Parsed::Wrong(error) = parsed {
                prop_assert!(text.get(error.at().clone()).is_some(), "{error:?}");
            }
        }
    }

    #[test]
    fn words_of_commands_in_any_order_are_read(words in prop::collection::vec(prop::sample::select(vec![
        "start", "strat", "run", "service", "b", "service-b", "is", "running", "health", "check", "to", "3", "because",
        "approve", "approved", "7K3F", "deny", "judge", "worked", "help", "please", "thanks", "again", "?", ".", "!", "\"",
        "service=service-b", "x=\"", "announce", "scale", "@countersign", "system", "a",
    ]), 0..9)) {
        let text = words.join(" ");
        for parsed in [in_room(&text), direct(&text)] {
            match parsed {
                Parsed::Wrong(error) => prop_assert!(text.get(error.at().clone()).is_some(), "{error:?}"),
                Parsed::Command(Command::Approve { .. }) => {
                    let first = text.trim_start_matches(['@', ' ']).trim_start_matches("countersign").trim_start();
                    prop_assert!(first.starts_with("approve") && !text.contains('?'), "{text}");
                }
                Parsed::Command(Command::Run { params, .. }) => {
                    if let Some(service) = params.get("service") {
                        prop_assert!(["service-b", "service-c", "zebra", "pay-ments"].contains(&service.as_str()));
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn lines_with_approved_and_more_never_approve(before in "[a-z >\"`]{0,12}", after in "[a-z ?!\"]{0,12}") {
        let text = format!("{before}approved{after}");
        let forgiven = ["", "thanks", "thank you", "thx", "ty", "cheers", "please"].contains(&after.trim());
        if !(before.trim().is_empty() && forgiven) {
            prop_assert!(!matches!(in_room(&text), Parsed::Command(Command::Approve { .. })), "{text}");
        }
    }
}

/// Lines and the sentences that answer them: the parser and the sentences read together, as people meet them.
#[test]
fn sentences() {
    let lines = [
        "strat service b",
        "helpp",
        "hello",
        "start service x",
        "start web7",
        "start zebra",
        "start service b now",
        "scale service b to 11",
        "scale service b to 3x",
        "announce one two three four five",
        "announce a\u{202e}b",
        "announce -rf",
        "announce \"open",
        "run start-service",
        "run start-servce service=service-b",
        "run nothing x=1",
        "run start-service service=service-b force=yes",
        "run start-service servce=service-b",
        "run start-service service-b",
        "run flush-cache x=1",
        "run start-service service=service-b service=service-c",
        "run deploy service=payments version=1",
        "is service x running",
        "is system a healthy",
        "is service b slow",
        "is service b anwsers",
        "is service b",
        "help strat-service",
        "help unicorns",
        "approve 7K3O",
        "stop service b",
        "judge worked",
        "ping everybody",
        "`start service b`",
        "start service b\nstop",
    ];
    let answers: Vec<String> = lines
        .iter()
        .map(|text| match direct(text) {
            Parsed::Wrong(error) => format!("{}\n  {}", text.escape_debug(), crate::text::command::wrong(&error)),
            other => panic!("{text}: {other:?}"),
        })
        .collect();
    insta::assert_snapshot!(answers.join("\n"), @r#"
    strat service b
      No runbook says "strat service b". Did you mean `start service b`?
    helpp
      No command says "helpp". Did you mean `help`?
    hello
      No runbook says "hello". Say `help` for what you can say.
    start service x
      "service x" is no service of start-service. Did you mean service-b?
    start web7
      "web7" is no service of start-service. start-service wants service: one of service-b, service-c.
    start zebra
      "zebra" belongs to system-z. start-service wants service: one of service-b, service-c.
    start service b now
      "now" is too much, so nothing was done. Say `start service b`.
    scale service b to 11
      11 is out of bounds. scale-service wants count: a whole number from 1 to 10.
    scale service b to 3x
      "3x" is no whole number. scale-service wants count: a whole number from 1 to 10.
    announce one two three four five
      words has 23 characters. announce wants words: text on one line, at most 20 characters.
    announce a\u{202e}b
      words holds a character that one cannot see (\u{202e}). Type it again without.
    announce -rf
      words begins with `-`, which a program reads as an option. announce does not allow that.
    announce \"open
      A quotation mark is not closed. Close it and say it again.
    run start-service
      start-service wants service: one of service-b, service-c.
    run start-servce service=service-b
      No runbook is called "start-servce". Did you mean start-service?
    run nothing x=1
      No runbook is called "nothing". There is announce, deploy, flush-cache, health-check, scale-service and start-service.
    run start-service service=service-b force=yes
      start-service has no argument force. It takes service.
    run start-service servce=service-b
      start-service has no argument servce. Did you mean service?
    run start-service service-b
      "service-b" has no key. Say it as key=value: start-service takes service.
    run flush-cache x=1
      flush-cache has no argument x. It takes no arguments.
    run start-service service=service-b service=service-c
      service is given twice. start-service wants it once.
    run deploy service=payments version=1
      "payments" can mean service-c or pay-ments. Say the name.
    is service x running
      No service is called "service x". Did you mean service-b?
    is system a healthy
      No service is called "system a". Ask about service-b or service-c.
    is service b slow
      service-b has no check slow. Say `is service-b ok`, or one of its checks: answers, disk-space, running.
    is service b anwsers
      service-b has no check anwsers. Did you mean answers?
    is service b
      What about service-b? Say `is service-b ok`, or one of its checks: answers, disk-space, running.
    help strat-service
      There is no help on "strat-service". Did you mean `help start-service`?
    help unicorns
      There is no help on "unicorns". Say `help` for what there is.
    approve 7K3O
      "7K3O" is no code, so nothing was done. A code is four characters: `approve 7K3F`.
    stop service b
      "service b" is no run's number, so nothing was done. Say it as `stop run 12`.
    judge worked
      That is not how judge is said. Say `judge run 12 worked because …` or `judge run 12 failed because …`.
    ping everybody
      That is not how ping is said. Say `ping`.
    `start service b`
      That is a quotation, so nothing was done. Say it without quotation marks or backticks.
    start service b\nstop
      One command a message, on one line. Say them one by one.
    "#);
}

#[test]
fn help_names_what_one_may_run_and_every_built_in() {
    let world = world();
    let may = |runbook: &Runbook| runbook.name.as_str() != "announce";
    insta::assert_snapshot!(crate::text::command::help(&world, &may), @"
    run deploy service={service} version={version} [mode={mode}] [flags={flags}]   Deploy
    flush cache   Flush the cache
    run {system} health check   Look at everything
    scale {service} to {count}   Scale
    start {service}   Start a service

    run RUNBOOK KEY=VALUE   Ask for a runbook by its name
    at TIME WHAT   Ask now for what is to start later
    is SERVICE ok   Ask a service's checks
    status   How the systems of this room are, and what is under way
    what happened [INC-7]   What failed, what was tried, where it stands
    who is on call [for NAME]   Who is on call, until when, and who is next
    requests   What waits for approval here
    approve [CODE] [because REASON]   Agree to what was asked
    deny [CODE] [because REASON]   Refuse what was asked
    looking [CODE]   Say that you look at a request, so that nobody else is woken
    delegate to NAME until TIME   Let somebody else answer requests for you, for a while
    delegations   Who lets whom answer, until when
    end delegation [to NAME]   No longer let somebody else answer for you
    handover to NAME [because REASON]   Hand over what you have asked for
    taken [NUMBER]   Take over what somebody hands over to you
    withdraw [CODE]   Take your own request or your own answer back
    send back [CODE] because REASON   Want something else than what was asked
    break glass [CODE] because REASON   Start a run at once, when it cannot wait for agreement
    review CODE fine|not fine because REASON   Say what you think of a run that was started without agreement
    reviews   List the reviews that are owed
    revoke [CODE] [because REASON]   Take an approval away before the run has begun
    take back CODE   End an approval that covers further runs
    again   Repeat the last asking here, as a new one
    show CODE|run NUMBER   Show a request or a run
    stop [run NUMBER]   End a run at once
    judge [run NUMBER] worked|failed because REASON   Say what came of a step that nobody knows about
    skip [run NUMBER] because REASON   Leave out a step that nobody knows about
    retry [run NUMBER]   Try a stuck step again
    incidents   The incidents of this room
    open incident TITLE   Say that something is wrong
    ack [INC-7]   Take care of an incident
    note [INC-7] TEXT   Write something down for an incident's record
    resolve [INC-7] [because REASON]   Say that an incident is over
    reopen [INC-7] [because REASON]   Say that an incident is not over
    pause [because REASON]   Stop everything that starts by itself
    resume [TRIGGER]   Let automation go on
    report [INC-7]   Where the whole record of an incident is
    access [changes]   Who countersigns changes of who may do what, and what waits
    countersign CODE   Agree to a change of who may do what
    refuse CODE because REASON   Refuse a change of who may do what
    whoami   Who I think you are
    ping   Ask whether I am here
    help [TOPIC]   What you can say, or what one thing does

    `help TOPIC` explains one of them.
    ");
    let help = crate::text::command::help(&world, &|_| false);
    assert!(help.starts_with("There is no runbook that you may run.\n"));
    for word in first_words() {
        let word = match *word {
            "approved" => "approve",
            "denied" => "deny",
            "request" => "send",
            "who" => "whoami",
            word => word,
        };
        assert!(help.lines().any(|line| line.split_whitespace().next() == Some(word)), "{word}");
        let on = crate::text::command::help_on(&world, &may, word);
        assert!(on.contains("Say `"), "{on}");
    }
}

#[test]
fn help_on_one_runbook() {
    let world = world();
    insta::assert_snapshot!(crate::text::command::help_on(&world, &|_| true, "deploy"), @r#"
    deploy: Deploy
    Say `run deploy service={service} version={version} [mode={mode}] [flags={flags}]`.
    service: one of service-b, service-c, pay-ments, zebra
    version: text on one line, at most 12 characters
    mode: one of safe, Very-Fast; safe if not given
    flags: text on one line, at most 10 characters; empty if not given
    1 ! Do
    Approval: none.
    "#);
    insta::assert_snapshot!(crate::text::command::help_on(&world, &|_| false, "start-service"), @r#"
    start-service: Start a service
    You may not run it.
    Say `start {service}` or `run start-service service={service}`.
    service: one of service-b, service-c
    1 ! Do
    Approval: none.
    "#);
    insta::assert_snapshot!(crate::text::command::help_on(&world, &|_| false, "judge"), @"
    judge [run NUMBER] worked|failed because REASON   Say what came of a step that nobody knows about
    Say `judge run 12 worked because …` or `judge run 12 failed because …`.
    For a stuck run. Look first. Of a step that changes something the approvers decide.
    ");
}

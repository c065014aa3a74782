//! Steps and checks over the network against real servers on this machine, and waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{any, get};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::model::catalog::{Catalog, ExitCodes, HeaderValue, HttpAsk, HttpHeader, SecretSource, TcpAsk};
use crate::model::event::Health;
use crate::model::id::{CheckName, SecretName, ServiceName};
use crate::model::plan::{PlanCheck, PlanProbe};

const SOON: Duration = Duration::from_secs(20);
const SECRET: &str = "correct-horse-battery-staple";

/// What gives orders to an attempt.
struct Commander {
    orders: watch::Sender<Orders>,
    _act_until: watch::Sender<Instant>,
}

fn context(secrets: &Secrets) -> (Context, Commander) {
    let (orders, ordered) = watch::channel(Orders::GoOn);
    let (until, act_until) = watch::channel(Instant::now() + Duration::from_secs(600));
    let surroundings = Surroundings {
        path: "/usr/bin:/bin".into(),
        extra_env: Arc::default(),
        cwd: PathBuf::from("/"),
        ledger: "test".into(),
    };
    let context = Context {
        marker: format!("test-step-{}", std::process::id()),
        run: None,
        traceparent: None,
        surroundings,
        secrets: secrets.clone(),
        orders: ordered,
        act_until,
        process: watch::channel(None).0,
        progress: watch::channel(None).0,
    };
    (context, Commander { orders, _act_until: until })
}

fn secrets() -> Secrets {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, SECRET).expect("written");
    let catalog =
        Catalog { secrets: [(SecretName::new("token"), SecretSource::File(file))].into(), ..Catalog::default() };
    let (secrets, problems) = Secrets::read(&catalog, &[]);
    assert_eq!(problems, [""; 0]);
    secrets
}

fn http(method: &str, url: &str) -> HttpAsk {
    // Done by `main` in the program; whoever comes second is told that it is done.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let (method, url) = (method.to_owned(), url.to_owned());
    HttpAsk { method, url, headers: Vec::new(), body: None, status: vec![200], contains: None }
}

fn step(action: Action, timeout: Duration) -> PlanStep {
    let only_reads = !matches!(&action, Action::Http(ask) if !ask.only_reads());
    PlanStep {
        name: "Step".into(),
        privileged: !only_reads,
        read_only: only_reads,
        idempotent: only_reads,
        timeout_ms: u64::try_from(timeout.as_millis()).expect("short"),
        retry: None,
        action,
    }
}

async fn run_step(step: &PlanStep) -> End {
    let (context, _commander) = context(&secrets());
    execute(step, Answering::Step, Duration::ZERO, context).await
}

/// How a step ended, in one line.
async fn ended(action: Action, timeout: Duration) -> String {
    told(run_step(&step(action, timeout)).await)
}

fn told(end: End) -> String {
    match end {
        End::Seen(seen) => format!("{:?}: {}", seen.outcome, seen.summary),
        End::Unseen(why) => format!("not seen: {why}"),
        other => format!("{other:?}"),
    }
}

/// What a check answers, in one line, and what was said beside it.
async fn asked(probe: PlanProbe, timeout_ms: u64) -> (String, String) {
    let check = PlanCheck {
        service: ServiceName::new("web"),
        service_title: "Web".into(),
        check: CheckName::new("answers"),
        probe,
        timeout_ms,
    };
    let (context, _commander) = context(&secrets());
    let (result, said) = check::ask(&check, Instant::now() + SOON, &context).await.expect("an answer");
    (format!("{:?}: {}", result.health, result.detail), said)
}

/// A server with a bit of everything; counts what it was asked.
async fn server() -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let count = Arc::new(AtomicU32::new(0));
    let counter = count.clone();
    let say = |headers: HeaderMap, body: String| async move {
        let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
        format!("agent={} token={} cookie={} body={body}", of("user-agent"), of("x-token"), of("cookie"))
    };
    let app = Router::new()
        .route("/fine", get(|| async { "all is well" }))
        .route("/busy", any(|| async { (StatusCode::SERVICE_UNAVAILABLE, "too much to do") }))
        .route("/moved", get(|| async { (StatusCode::FOUND, [("location", "/fine"), ("set-cookie", "a=b")]) }))
        .route("/say", any(say))
        .route("/long", get(|| async { format!("{}needle", "x".repeat(64 * 1024)) }))
        .route("/secret-at-the-end", get(|| async { format!("{}{SECRET}", "x".repeat(64 * 1024 - 10)) }))
        .route("/never", any(std::future::pending::<()>))
        .route(
            "/never-whole",
            any(|| async {
                let first = futures_util::stream::iter([Ok::<_, std::io::Error>("begun")]);
                let rest = futures_util::stream::pending();
                Body::from_stream(futures_util::StreamExt::chain(first, rest))
            }),
        )
        .layer(axum::middleware::map_request(move |request: axum::extract::Request| {
            counter.fetch_add(1, Ordering::Relaxed);
            std::future::ready(request)
        }));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (base, count)
}

/// A server that reads what it is sent and then breaks off, before or after a first line.
async fn breaks_off(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}/", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let _some = stream.read(&mut buffer).await;
            let _sent = stream.write_all(answer.as_bytes()).await;
        }
    });
    base
}

/// An address of this machine that nobody listens at.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address").to_string()
}

/// Ports differ from time to time.
fn stable(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(place) = rest.find("127.0.0.1:") {
        let (before, after) = rest.split_at(place + "127.0.0.1:".len());
        out += before;
        out += "PORT";
        rest = after.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    out + rest
}

#[tokio::test]
async fn what_an_answer_over_http_means_for_a_check() {
    let (base, _) = server().await;
    let nobody = nobody().await;
    let broken = breaks_off("").await;
    let half = breaks_off("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    let get = |path: &str| http("GET", &format!("{base}{path}"));
    let with = |path: &str, text: &str| HttpAsk { contains: Some(text.into()), ..get(path) };
    let headed = |name: &str, value| HttpAsk { headers: vec![HttpHeader { name: name.into(), value }], ..get("/say") };
    let cases = [
        ("good", get("/fine"), 20_000),
        ("HEAD", http("HEAD", &format!("{base}/fine")), 20_000),
        ("one of two", HttpAsk { status: vec![200, 503], ..get("/busy") }, 20_000),
        ("another status", get("/busy"), 20_000),
        ("a redirect is an answer", get("/moved"), 20_000),
        ("and may be the good one", HttpAsk { status: vec![302], ..get("/moved") }, 20_000),
        ("the text is there", with("/fine", "is well"), 20_000),
        ("the text is not there", with("/fine", "is ill"), 20_000),
        ("the text comes too late", with("/long", "needle"), 20_000),
        ("refused", http("GET", &format!("http://{nobody}/")), 20_000),
        ("broken off", http("GET", &broken), 20_000),
        ("broken off in the middle", http("GET", &half), 20_000),
        ("broken off after the text", HttpAsk { contains: Some("half".into()), ..http("GET", &half) }, 20_000),
        ("no answer", get("/never"), 50),
        ("no whole answer", get("/never-whole"), 2_000),
        ("nobody of that name", http("GET", "http://nobody.invalid/"), 20_000),
        ("no encryption there", http("GET", &base.replace("http:", "https:")), 20_000),
        ("no address", http("GET", "http://"), 20_000),
        ("another way", http("GET", "ftp://127.0.0.1/"), 20_000),
        ("no header's name", headed("a b", HeaderValue::Text("x".into())), 20_000),
        ("no header's value", headed("x-token", HeaderValue::Text("a\r\nb".into())), 20_000),
        ("no such secret", headed("x-token", HeaderValue::Secret(SecretName::new("other"))), 20_000),
    ];
    let mut table = String::new();
    for (what, ask, timeout) in cases {
        let (mut answer, _) = asked(PlanProbe::Http(ask), timeout).await;
        if what == "nobody of that name" || what == "no encryption there" {
            // The rest is the resolver's and the library's own.
            answer.truncate(answer.rfind(": ").expect("a reason"));
        }
        table += &format!("{what}: {}\n", stable(&answer));
    }
    insta::assert_snapshot!(table, @r#"
    good: Ok: answered 200
    HEAD: Ok: answered 200
    one of two: Ok: answered 503
    another status: Critical: answered 503, not 200
    a redirect is an answer: Critical: answered 302, not 200
    and may be the good one: Ok: answered 302
    the text is there: Ok: answered 200
    the text is not there: Critical: answered 200 without `is ill`
    the text comes too late: Critical: answered 200 without `needle`
    refused: Critical: 127.0.0.1:PORT refuses the connection
    broken off: Critical: 127.0.0.1:PORT broke the connection off before it answered
    broken off in the middle: Critical: answered 200, and the connection broke off before the answer was whole
    broken off after the text: Ok: answered 200
    no answer: Critical: no answer within 0.05 s
    no whole answer: Critical: answered 200, and the answer was not whole within 2 s
    nobody of that name: Unknown: the address of nobody.invalid is not known: failed to lookup address information
    no encryption there: Unknown: no connection to 127.0.0.1:PORT can be made
    no address: Unknown: its address cannot be read: empty host
    another way: Unknown: its address is not one of HTTP
    no header's name: Unknown: `a b` is not the name of a header
    no header's value: Unknown: the value of the header x-token cannot be sent
    no such secret: Unknown: the secret other cannot be read
    "#);
}

#[tokio::test]
async fn i8_a_secret_is_sent_in_its_header_and_shown_nowhere() {
    let (base, _) = server().await;
    let secret = HttpHeader { name: "x-token".into(), value: HeaderValue::Secret(SecretName::new("token")) };
    let ask = HttpAsk { headers: vec![secret], body: Some("hello".into()), ..http("POST", &format!("{base}/say")) };
    // The server tells what it was sent: the secret, and a body.
    let found = HttpAsk { contains: Some(format!("token={SECRET} cookie=- body=hello")), ..ask.clone() };
    let End::Seen(seen) = run_step(&step(Action::Http(found), SOON)).await else { panic!("an answer") };
    assert_eq!((seen.outcome, seen.summary.as_str()), (Outcome::Succeeded, "answered 200"));
    let (bytes, _) = seen.output.finish();
    let said = String::from_utf8(bytes).expect("text");
    assert!(said.starts_with("agent=countersign/") && said.ends_with("body=hello"), "{said}");
    assert!(!said.contains(SECRET), "{said}");
    // Nor in the sentence that says what was missing.
    let missing = HttpAsk { contains: Some(format!("{SECRET}!")), ..ask };
    let said = ended(Action::Http(missing), SOON).await;
    assert!(said.starts_with("Failed: answered 200 without `") && !said.contains(SECRET), "{said}");
    // Nor the beginning of one at the place where the answer is cut.
    let cut = http("GET", &format!("{base}/secret-at-the-end"));
    let (answer, said) = asked(PlanProbe::Http(cut), 20_000).await;
    assert_eq!(answer, "Ok: answered 200");
    assert!(!said.contains(&SECRET[..6]) && said.contains("xxx"), "…{}", &said[said.len() - 40..]);
}

#[tokio::test]
async fn i3_a_request_that_was_sent_and_not_answered_is_of_unknown_outcome() {
    let (base, count) = server().await;
    // Enough to be sent, and to be answered in part.
    let short = Duration::from_secs(2);
    let never = Action::Http(http("POST", &format!("{base}/never")));
    let half = Action::Http(http("POST", &format!("{base}/never-whole")));
    let (said, said_in_part) = tokio::join!(ended(never.clone(), short), ended(half, short));
    assert_eq!(said, "not seen: no answer within 2 s");
    assert_eq!(count.load(Ordering::Relaxed), 2, "and each was sent once");
    assert_eq!(said_in_part, "not seen: answered 200, and the answer was not whole within 2 s");
    let broken = Action::Http(http("DELETE", &breaks_off("").await));
    let said = stable(&ended(broken.clone(), SOON).await);
    assert_eq!(said, "not seen: 127.0.0.1:PORT broke the connection off before it answered");
    // Doing it twice is doing it once: then it is a failure like others.
    let again = |action, timeout| PlanStep { idempotent: true, ..step(action, timeout) };
    let short = Duration::from_millis(500);
    assert_eq!(told(run_step(&again(never, short)).await), "TimedOut: no answer within 0.5 s");
    let said = stable(&told(run_step(&again(broken, SOON)).await));
    assert_eq!(said, "Failed: 127.0.0.1:PORT broke the connection off before it answered");
    // So it is with what only reads.
    let reads = Action::Http(http("GET", &format!("{base}/never")));
    assert_eq!(ended(reads, short).await, "TimedOut: no answer within 0.5 s");
}

#[tokio::test]
async fn a_request_that_was_never_sent_or_was_answered_has_a_certain_outcome() {
    let (base, _) = server().await;
    let refused = http("POST", &format!("http://{}/", nobody().await));
    let said = stable(&ended(Action::Http(refused), SOON).await);
    assert_eq!(said, "Failed: 127.0.0.1:PORT refuses the connection");
    let unheard = http("POST", "http://nobody.invalid/");
    let said = ended(Action::Http(unheard), SOON).await;
    assert!(said.starts_with("Failed: the address of nobody.invalid "), "{said}");
    let busy = http("POST", &format!("{base}/busy"));
    let End::Seen(seen) = run_step(&step(Action::Http(busy), SOON)).await else { panic!("an answer") };
    assert_eq!((seen.outcome, seen.summary.as_str()), (Outcome::Failed, "answered 503, not 200"));
    assert_eq!(seen.output.finish().0, b"too much to do");
}

#[tokio::test]
async fn an_order_ends_a_request_and_what_was_ordered_before_sends_nothing() {
    let (base, count) = server().await;
    let step = step(Action::Http(http("POST", &format!("{base}/never"))), SOON);
    for order in [Orders::Stop, Orders::GiveUp] {
        let (context, commander) = context(&secrets());
        commander.orders.send_replace(order);
        let end = execute(&step, Answering::Step, Duration::ZERO, context).await;
        assert!(matches!(end, End::Ordered(given) if given == order), "{end:?}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 0);
    let (context, commander) = context(&secrets());
    let executing = execute(&step, Answering::Step, Duration::ZERO, context);
    let ordering = async {
        let deadline = Instant::now() + SOON;
        while count.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < deadline, "it is not sent");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        commander.orders.send_replace(Orders::Stop);
    };
    let (end, ()) = tokio::join!(executing, ordering);
    assert!(matches!(end, End::Ordered(Orders::Stop)), "{end:?}");
}

#[tokio::test]
async fn what_a_connection_means_for_a_check_and_for_a_step() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let tcp = |address: &str| TcpAsk { address: address.to_owned() };
    let (here, nobody) = (format!("127.0.0.1:{port}"), nobody().await);
    let mut table = String::new();
    for (what, address) in
        [("taken", here.as_str()), ("refused", &nobody), ("nobody of that name", "nobody.invalid:80"), ("no port", "x")]
    {
        let (answer, _) = asked(PlanProbe::Tcp(tcp(address)), 20_000).await;
        let end = ended(Action::Tcp(tcp(address)), SOON).await;
        let short =
            |text: &str| stable(text.rsplit_once(": ").filter(|_| address.len() < 18).map_or(text, |(text, _)| text));
        let (answer, end) = match what {
            "taken" | "refused" => (stable(&answer), stable(&end)),
            _ => (short(&answer), short(&end)),
        };
        table += &format!("{what}: {answer} | {end}\n");
    }
    insta::assert_snapshot!(table, @r#"
    taken: Ok: 127.0.0.1:PORT takes connections | Succeeded: 127.0.0.1:PORT takes connections
    refused: Critical: 127.0.0.1:PORT refuses the connection | Failed: 127.0.0.1:PORT refuses the connection
    nobody of that name: Unknown: the address of nobody.invalid:80 is not known: failed to lookup address information | Failed: the address of nobody.invalid:80 is not known: failed to lookup address information
    no port: Unknown: the address of x is not known | Failed: the address of x is not known
    "#);
    // Whichever of the name's addresses takes it.
    let (answer, _) = asked(PlanProbe::Tcp(tcp(&format!("localhost:{port}"))), 20_000).await;
    assert_eq!(answer, format!("Ok: localhost:{port} takes connections"));
}

#[tokio::test]
async fn checks_of_all_kinds_are_answered_together() {
    let (base, _) = server().await;
    let check = |name: &str, probe| PlanCheck {
        service: ServiceName::new("web"),
        service_title: "Web".into(),
        check: CheckName::new(name),
        probe,
        timeout_ms: 20_000,
    };
    let exec =
        Exec { argv: vec!["true".into()], program: "/bin/true".into(), env: Vec::new(), scripts: BTreeMap::new() };
    let checks = vec![
        check("runs", PlanProbe::Command { exec, codes: ExitCodes::Plain }),
        check("answers", PlanProbe::Http(http("GET", &format!("{base}/fine")))),
        check("listens", PlanProbe::Tcp(TcpAsk { address: base.replace("http://", "") })),
    ];
    let end = run_step(&step(Action::Check { checks, until: None }, SOON)).await;
    let End::Seen(seen) = end else { panic!("{end:?}") };
    assert_eq!(seen.outcome, Outcome::Succeeded);
    assert!(seen.checks.iter().all(|result| result.health == Health::Ok) && seen.checks.len() == 3);
    assert_eq!(seen.output.finish().0, b"all is well");
}

#[tokio::test]
async fn waiting_counts_from_the_first_attempt_and_ends_by_order() {
    let hour = Duration::from_secs(3600);
    let wait = step(Action::Wait { ms: 3_600_000 }, hour);
    // A restart after the hour has passed finds nothing left to wait for.
    let (gone_on, _commander) = context(&secrets());
    assert_eq!(told(execute(&wait, Answering::Step, hour, gone_on).await), "Succeeded: waited 3600 s");
    for before in [true, false] {
        let (context, commander) = context(&secrets());
        let order = async {
            tokio::task::yield_now().await;
            commander.orders.send_replace(Orders::Stop);
        };
        let end = if before {
            order.await;
            execute(&wait, Answering::Step, Duration::ZERO, context).await
        } else {
            tokio::join!(execute(&wait, Answering::Step, Duration::ZERO, context), order).0
        };
        assert!(matches!(end, End::Ordered(Orders::Stop)), "{end:?}");
    }
    let moment = step(Action::Wait { ms: 20 }, hour);
    let began = Instant::now();
    assert_eq!(told(run_step(&moment).await), "Succeeded: waited 0.02 s");
    assert!(began.elapsed() >= Duration::from_millis(20));
}

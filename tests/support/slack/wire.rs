//! The server: HTTP requests in, the methods' answers out, and the connections that become sockets.
//!
//! On hyper itself, because a connection must be able to die without an answer.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api::{self, Calling, Refusal};
use super::arguments::{Came, METHODS, Method, With};
use super::state::{Call, Fault, State};
use super::{APP_TOKEN, BOT_TOKEN, Inner, socket};

/// The connection ends here, without an answer.
#[derive(Debug)]
pub(super) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was cut")
    }
}

impl std::error::Error for Cut {}

/// Takes connections until it is dropped.
pub(super) async fn serve(listener: TcpListener, inner: Arc<Inner>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if inner.state().settings.down {
            continue;
        }
        let inner = Arc::clone(&inner);
        connections.spawn(async move {
            let service = service_fn(move |request| handle(Arc::clone(&inner), request));
            // A connection that ends in the middle is what some tests are about.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn handle(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    if inner.state().settings.down {
        return Err(Cut);
    }
    let path = request.uri().path().to_owned();
    if path == "/link/" {
        return Ok(socket::accept(&inner, request));
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(Body::new(body), 16 << 20).await.map_err(|_| Cut)?;
    if let Some(id) = path.strip_prefix("/upload/") {
        return Ok(upload(&inner, id, &body));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
    let given = read(parts.uri.query().unwrap_or_default(), &kind, &body);
    if let Some(id) = path.strip_prefix("/response/") {
        return Ok(response_url(&inner, id, given));
    }
    let Some(name) = path.strip_prefix("/api/") else {
        inner.state().complaints.push(format!("a request to {path}, where nothing is"));
        return Ok(reply(StatusCode::NOT_FOUND, "not found".to_owned(), "text/html"));
    };
    let answered = call(&inner, name, &parts.headers, given).await;
    inner.changed.notify_waiters();
    answered
}

/// The arguments, wherever they came.
fn read(query: &str, kind: &str, body: &[u8]) -> Result<(Map<String, Value>, Came), &'static str> {
    let mut arguments = form(query);
    if body.is_empty() {
        return Ok((arguments, Came::Form));
    }
    match kind {
        "application/json" => match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok((map, Came::Json)),
            Ok(_) => Err("json_not_object"),
            Err(_) => Err("invalid_json"),
        },
        "application/x-www-form-urlencoded" => {
            arguments.extend(form(str::from_utf8(body).map_err(|_| "invalid_form_data")?));
            Ok((arguments, Came::Form))
        }
        "" => Err("missing_post_type"),
        _ => Err("invalid_post_type"),
    }
}

fn form(text: &str) -> Map<String, Value> {
    let url = reqwest::Url::parse(&format!("http://form/?{text}")).expect("a query");
    url.query_pairs().map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect()
}

fn reply(status: StatusCode, body: String, kind: &str) -> Response<Body> {
    Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(Body::from(body)).expect("a response")
}

fn upload(inner: &Inner, id: &str, body: &[u8]) -> Response<Body> {
    let mut state = inner.state();
    let Some(upload) = state.uploads.get_mut(id) else {
        return reply(StatusCode::NOT_FOUND, "no such upload".to_owned(), "text/plain");
    };
    upload.content = Some(body.to_vec());
    reply(StatusCode::OK, format!("OK - {}", body.len()), "text/plain")
}

fn response_url(inner: &Inner, id: &str, given: Result<(Map<String, Value>, Came), &'static str>) -> Response<Body> {
    let mut state = inner.state();
    let mut complaints = Vec::new();
    let (arguments, outcome) = match given {
        Ok((arguments, Came::Json)) => {
            let outcome = api::respond(&mut state, id, &Value::Object(arguments.clone()), &mut complaints);
            (arguments, outcome)
        }
        Ok((arguments, Came::Form)) => (arguments, Err("invalid_payload")),
        Err(error) => (Map::new(), Err(error)),
    };
    let (status, answer) = match outcome {
        Ok(()) => (StatusCode::OK, json!({"ok": true})),
        Err(error) => {
            complaints.push(format!("refused: {error}"));
            (StatusCode::NOT_FOUND, json!({"ok": false, "error": error}))
        }
    };
    let call = Call {
        method: "response_url".to_owned(),
        arguments,
        answer: answer.clone(),
        status: status.as_u16(),
        complaints,
        ordered: false,
    };
    state.calls.push(call);
    inner.changed.notify_waiters();
    let text = if outcome.is_ok() { "ok".to_owned() } else { answer.to_string() };
    reply(status, text, "text/plain")
}

/// What was decided about a call before it was judged.
enum Ordered {
    Nothing,
    Answer(StatusCode, Value, Option<Duration>),
    Raw(StatusCode),
    Lost,
}

async fn call(
    inner: &Arc<Inner>,
    name: &str,
    headers: &HeaderMap,
    given: Result<(Map<String, Value>, Came), &'static str>,
) -> Result<Response<Body>, Cut> {
    let (fault, latency) = {
        let mut state = inner.state();
        let at = state.faults.iter().position(|(method, _)| method == name);
        (at.and_then(|at| state.faults.remove(at)).map(|(_, fault)| fault), state.settings.latency)
    };
    let slow = if let Some(Fault::Slow(time)) = &fault { *time } else { Duration::ZERO };
    if !(latency + slow).is_zero() {
        tokio::time::sleep(latency + slow).await;
    }
    if let Some(Fault::Held) = &fault {
        inner.goes_on.notified().await;
    }
    let limited = |wait: Duration| {
        let wait = wait.max(Duration::from_secs(1));
        Ordered::Answer(StatusCode::TOO_MANY_REQUESTS, json!({"ok": false, "error": "ratelimited"}), Some(wait))
    };
    let mut state = inner.state();
    let now = Instant::now();
    state.limits.retain(|limit| limit.lasts.left(now).is_some());
    let limit = state.limits.iter().find(|limit| limit.method.as_deref().is_none_or(|method| method == name));
    let limit = limit.and_then(|limit| limit.lasts.left(now));
    let ordered = match (&fault, limit) {
        (Some(Fault::Error(error)), _) => Ordered::Answer(StatusCode::OK, json!({"ok": false, "error": error}), None),
        (Some(Fault::Limited(wait)), _) => limited(*wait),
        (Some(Fault::Status(status)), _) => Ordered::Raw(StatusCode::from_u16(*status).expect("a status")),
        (Some(Fault::LostBefore), _) => Ordered::Lost,
        (Some(Fault::LostAfter | Fault::Slow(_) | Fault::Held) | None, Some(wait)) => limited(wait),
        (Some(Fault::LostAfter | Fault::Slow(_) | Fault::Held) | None, None) => Ordered::Nothing,
    };
    let mut record = Call {
        method: name.to_owned(),
        arguments: given.as_ref().map(|(arguments, _)| arguments.clone()).unwrap_or_default(),
        answer: Value::Null,
        status: 0,
        complaints: Vec::new(),
        ordered: true,
    };
    record.arguments.remove("token");
    match ordered {
        Ordered::Lost => {
            state.calls.push(record);
            return Err(Cut);
        }
        Ordered::Raw(status) => {
            record.status = status.as_u16();
            state.calls.push(record);
            return Ok(reply(status, "<html>no</html>".to_owned(), "text/html"));
        }
        Ordered::Answer(status, answer, wait) => {
            record.answer = answer.clone();
            record.status = status.as_u16();
            state.calls.push(record);
            return Ok(told(status, &answer, wait, &state));
        }
        Ordered::Nothing => {}
    }
    let mut complaints = Vec::new();
    let outcome = judge(&mut state, name, headers, given, &mut complaints);
    let (status, answer) = match outcome {
        Ok(mut answer) => {
            answer["ok"] = json!(true);
            (StatusCode::OK, answer)
        }
        Err(refusal) => {
            let mut answer = Value::Object(refusal.more);
            answer["ok"] = json!(false);
            answer["error"] = json!(refusal.error);
            (StatusCode::from_u16(refusal.status).expect("a status"), answer)
        }
    };
    let limited = status == StatusCode::TOO_MANY_REQUESTS;
    record.answer = answer.clone();
    record.status = status.as_u16();
    record.complaints = complaints;
    record.ordered = limited;
    if matches!(fault, Some(Fault::LostAfter)) {
        record.answer = Value::Null;
        record.ordered = true;
        state.calls.push(record);
        return Err(Cut);
    }
    state.calls.push(record);
    Ok(told(status, &answer, limited.then_some(Duration::from_secs(1)), &state))
}

fn told(status: StatusCode, answer: &Value, wait: Option<Duration>, state: &State) -> Response<Body> {
    let scopes = state.settings.scopes.iter().cloned().collect::<Vec<_>>().join(",");
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json; charset=utf-8")
        .header("x-oauth-scopes", scopes);
    if state.settings.ahead != 0 {
        let now = i64::try_from(state.now()).expect("a clock before the year 294000");
        let time = chrono::DateTime::from_timestamp_micros(now).expect("a time");
        let time = time + chrono::TimeDelta::seconds(state.settings.ahead);
        response = response.header(header::DATE, time.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    }
    if let Some(wait) = wait {
        // Whole seconds, never early.
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response = response.header(header::RETRY_AFTER, seconds.to_string());
    }
    response.body(Body::from(answer.to_string())).expect("a response")
}

/// Checks the token and the arguments, and lets the method do it.
fn judge(
    state: &mut State,
    name: &str,
    headers: &HeaderMap,
    given: Result<(Map<String, Value>, Came), &'static str>,
    complaints: &mut Vec<String>,
) -> Result<Value, Refusal> {
    let method: &'static Method = METHODS.iter().find(|method| method.name == name).ok_or("unknown_method")?;
    let (mut given, came) = given?;
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .map(ToOwned::to_owned);
    let in_body = given.remove("token").and_then(|token| token.as_str().map(ToOwned::to_owned));
    let token = bearer.or(in_body).ok_or("not_authed")?;
    if state.settings.revoked {
        return Err("token_revoked".into());
    }
    match token.as_str() {
        BOT_TOKEN if method.with == With::AppToken => return Err("not_allowed_token_type".into()),
        APP_TOKEN if method.with == With::BotToken && name != "auth.test" => {
            return Err("not_allowed_token_type".into());
        }
        BOT_TOKEN | APP_TOKEN => {}
        _ => return Err("invalid_auth".into()),
    }
    let taken = method.take(&given, came);
    complaints.extend(taken.superfluous);
    if !taken.wrong.is_empty() {
        let about = |name: &str| taken.wrong.iter().any(|problem| problem.contains(&format!("json-pointer:/{name}]")));
        let error = if about("blocks") {
            "invalid_blocks_format"
        } else if about("metadata") {
            "invalid_metadata_format"
        } else {
            "invalid_arguments"
        };
        return Err(Refusal::saying(error, &taken.wrong));
    }
    let mut calling = Calling { state, method, arguments: taken.arguments, complaints: Vec::new() };
    let outcome = calling.answer();
    complaints.append(&mut calling.complaints);
    outcome
}

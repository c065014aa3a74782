//! `http`: one request, and what its answer must be.
//!
//! What lives here: making the request, sending it once, and reading the beginning of its answer. Nothing is followed,
//! remembered or sent again: no redirects, no cookies, no proxy from the environment, no second try on another
//! connection. Each request has a connection of its own, so that one that was refused was certainly never sent. Keeps I8:
//! a secret goes into a header and nowhere else; what comes back is redacted before anybody sees it.
//!
//! A connection that is not taken in time cannot be told from an answer that does not come: both count as sent.

use std::error::Error as _;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue as Value};
use reqwest::{Client, Method, Request, Response, Url};
use tokio::time::{Instant, timeout_at};

use super::super::Secrets;
use super::super::output::Capture;
use super::net::{Asked, Missed, no_answer, resolve};
use super::{Context, Orders, unless_ordered};
use crate::model::catalog::{HeaderValue, HttpAsk};

/// How many bytes of an answer are read, looked through and kept.
const KEPT: usize = 64 * 1024;

/// Makes the request and judges its answer.
///
/// # Errors
/// What was ordered, when that ended it. The request may have been sent then.
pub(super) async fn ask(
    ask: &HttpAsk,
    deadline: Instant,
    timeout: Duration,
    context: &Context,
) -> Result<Asked, Orders> {
    unless_ordered(exchange(ask, deadline, timeout, &context.secrets), context).await
}

/// The one client of this process.
fn client() -> Result<&'static Client, String> {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let client = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .pool_max_idle_per_host(0)
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| format!("no HTTP client can be made here: {error}"))?;
    Ok(CLIENT.get_or_init(|| client))
}

/// The request, or one sentence that says why there can be none. It names no value of a header.
fn request(ask: &HttpAsk, secrets: &Secrets) -> Result<Request, String> {
    let method = Method::from_bytes(ask.method.as_bytes()).map_err(|_| "its method is not one of HTTP".to_owned())?;
    let url = Url::parse(&ask.url).map_err(|error| format!("its address cannot be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its address is not one of HTTP".to_owned());
    }
    let mut request = Request::new(method, url);
    for header in &ask.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| format!("`{}` is not the name of a header", header.name.escape_debug()))?;
        let value = match &header.value {
            HeaderValue::Text(text) => Value::from_str(text).ok(),
            HeaderValue::Secret(secret) => {
                let value = secrets.value(secret).ok_or_else(|| format!("the secret {secret} cannot be read"))?;
                let mut value = Value::from_bytes(std::os::unix::ffi::OsStrExt::as_bytes(value.as_os_str())).ok();
                if let Some(value) = &mut value {
                    value.set_sensitive(true);
                }
                value
            }
        };
        let value = value.ok_or_else(|| format!("the value of the header {name} cannot be sent"))?;
        request.headers_mut().append(name, value);
    }
    if let Some(body) = &ask.body {
        *request.body_mut() = Some(body.clone().into());
    }
    Ok(request)
}

async fn exchange(ask: &HttpAsk, deadline: Instant, timeout: Duration, secrets: &Secrets) -> Asked {
    let (client, request) = match client().and_then(|client| Ok((client, request(ask, secrets)?))) {
        Ok(ready) => ready,
        Err(why) => return Asked::Unasked(why),
    };
    let place = place(request.url());
    if let Some(name) = request.url().domain() {
        // Before anything else, since a name that cannot be looked up says nothing about who bears it.
        let port = request.url().port_or_known_default().unwrap_or_default();
        if let Err(why) = resolve(name, (name, port), deadline).await {
            return Asked::Unasked(why);
        }
    }
    let response = match timeout_at(deadline, client.execute(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return not_answered(&error, &place),
        Err(_) => {
            return Asked::Unseen { why: no_answer(timeout), how: Missed::TooLate, output: Capture::default() };
        }
    };
    let status = response.status().as_u16();
    let (body, end) = read(response, deadline).await;
    let output = redacted(&body, end, secrets);
    if !ask.status.contains(&status) {
        let expected: Vec<String> = ask.status.iter().map(u16::to_string).collect();
        return Asked::Bad { detail: format!("answered {status}, not {}", expected.join(" or ")), output };
    }
    let lacks = ask.contains.as_deref().filter(|text| !holds(&body, text.as_bytes()));
    match (lacks, end) {
        (Some(text), BodyEnd::Whole | BodyEnd::Cut) => {
            Asked::Bad { detail: format!("answered {status} without `{text}`"), output }
        }
        (_, BodyEnd::Broken) if lacks.is_some() || ask.contains.is_none() => {
            let why = format!("answered {status}, and the connection broke off before the answer was whole");
            Asked::Unseen { why, how: Missed::Broken, output }
        }
        (_, BodyEnd::Late) if lacks.is_some() || ask.contains.is_none() => {
            let why = format!("answered {status}, and the answer was not whole within {} s", timeout.as_secs_f64());
            Asked::Unseen { why, how: Missed::TooLate, output }
        }
        (_, BodyEnd::Whole | BodyEnd::Cut | BodyEnd::Broken | BodyEnd::Late) => {
            Asked::Good { detail: format!("answered {status}"), output }
        }
    }
}

/// How a body came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    Whole,
    /// There was more than is kept.
    Cut,
    Broken,
    Late,
}

async fn read(mut response: Response, deadline: Instant) -> (Vec<u8>, BodyEnd) {
    let mut body = Vec::new();
    loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = KEPT - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return (body, BodyEnd::Cut);
                }
            }
            Ok(Ok(None)) => return (body, BodyEnd::Whole),
            Ok(Err(_)) => return (body, BodyEnd::Broken),
            Err(_) => return (body, BodyEnd::Late),
        }
    }
}

/// The body as it may be kept (I8). Of one that does not end where it was meant to, the redactor keeps back what may be
/// the beginning of a secret.
fn redacted(body: &[u8], end: BodyEnd, secrets: &Secrets) -> Capture {
    let mut output = Capture::default();
    let mut redactor = secrets.redactor();
    output.push(&redactor.push(body));
    if end == BodyEnd::Whole {
        output.push(&redactor.finish());
    }
    output
}

fn holds(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

/// Host and port, without what else an address may hold.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What it means that a request came to no answer.
fn not_answered(error: &reqwest::Error, place: &str) -> Asked {
    if error.is_builder() {
        return Asked::Unasked("no request can be made of it".to_owned());
    }
    if !error.is_connect() {
        let why = format!("{place} broke the connection off before it answered");
        return Asked::Unseen { why, how: Missed::Broken, output: Capture::default() };
    }
    let bad = |detail: String| Asked::Bad { detail, output: Capture::default() };
    let cause = io_cause(error);
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => bad(format!("{place} refuses the connection")),
        Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof,
        ) => bad(format!("{place} breaks the connection off")),
        Some(io::ErrorKind::TimedOut) => bad(format!("{place} takes no connection")),
        _ => match cause {
            Some(cause) => Asked::Unasked(format!("no connection to {place} can be made: {cause}")),
            None => Asked::Unasked(format!("no connection to {place} can be made")),
        },
    }
}

/// The error of the operating system, or of the encryption, below all others.
fn io_cause(error: &reqwest::Error) -> Option<&io::Error> {
    let mut next = error.source();
    let mut found = None;
    while let Some(cause) = next {
        found = cause.downcast_ref::<io::Error>().or(found);
        next = cause.source();
    }
    found
}

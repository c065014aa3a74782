//! How payloads reach the app: over its sockets or by signed requests, again when they were not taken, twice or late
//! when a test wants it so.

use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::{mpsc, oneshot};

use super::state::Order;
use super::{Inner, SECRET};

/// What kind of payload it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Something happened. Tried again when it was not taken.
    Event,
    /// A button or a modal. Tried once; the person sees that it failed.
    Interaction,
    /// A slash command. Tried once.
    Command,
}

/// Which way payloads go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Over a socket that the app opened.
    Socket,
    /// To this URL, for all three kinds.
    Http(String),
}

/// On its way.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    pub(super) number: usize,
    pub(super) what: What,
    pub(super) body: Value,
    /// It was sent before, and taken.
    pub(super) again: bool,
}

/// What came of a payload.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) what: What,
    pub(crate) body: Value,
    pub(crate) attempts: Vec<Attempt>,
    pub(super) pending: usize,
}

impl Delivery {
    /// Whether the app took it.
    pub(crate) fn taken(&self) -> bool {
        self.attempts.iter().any(|attempt| matches!(attempt.came, Came::Taken(_)))
    }

    /// What the app answered with its ack.
    pub(crate) fn answer(&self) -> Option<&Value> {
        self.attempts.iter().find_map(|attempt| match &attempt.came {
            Came::Taken(answer) => answer.as_ref(),
            Came::Late | Came::Refused(_) | Came::Declined(_) | Came::Nobody => None,
        })
    }
}

/// One time that it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// The socket's number; nothing for a request.
    pub(crate) socket: Option<u32>,
    /// Which repetition it was; nothing for the first.
    pub(crate) retry: Option<u32>,
    pub(crate) came: Came,
}

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Came {
    /// Acked, perhaps with an answer.
    Taken(Option<Value>),
    /// No ack in time, or the socket went.
    Late,
    /// Another status than 2xx.
    Refused(u16),
    /// The same, with the wish not to be tried again.
    Declined(u16),
    /// Nobody was connected.
    Nobody,
}

impl Came {
    /// As Slack names it to the app when it tries again.
    fn reason(&self, over: &Mode) -> &'static str {
        match (self, over) {
            (Self::Taken(_) | Self::Late, Mode::Socket) => "timeout",
            (Self::Taken(_) | Self::Late, Mode::Http(_)) => "http_timeout",
            (Self::Refused(_) | Self::Declined(_), _) => "http_error",
            (Self::Nobody, _) => "connection_failed",
        }
    }
}

/// Carries what is in the queue, the first time in order.
pub(super) async fn carry(inner: Arc<Inner>, mut queue: mpsc::UnboundedReceiver<Payload>) {
    while let Some(payload) = queue.recv().await {
        let retry = payload.again.then_some((1, "timeout"));
        let mode = inner.state().settings.mode.clone();
        match mode {
            Mode::Socket => {
                // In order onto the socket; the ack is waited for elsewhere.
                let sent = put(&inner, &payload, retry);
                let inner = Arc::clone(&inner);
                tokio::spawn(async move {
                    let (socket, came) = acked(&inner, sent).await;
                    settle(&inner, payload, retry, socket, came).await;
                });
            }
            Mode::Http(url) => {
                let came = post(&inner, &url, &payload, retry).await;
                tokio::spawn(settle_over(Arc::clone(&inner), payload, retry, came));
            }
        }
    }
}

async fn settle_over(inner: Arc<Inner>, payload: Payload, retry: Option<(u32, &'static str)>, came: Came) {
    settle(&inner, payload, retry, None, came).await;
}

/// Notes an attempt, and tries again as often as is due.
async fn settle(
    inner: &Arc<Inner>,
    payload: Payload,
    mut retry: Option<(u32, &'static str)>,
    mut socket: Option<u32>,
    mut came: Came,
) {
    loop {
        let (mode, retries) = {
            let mut state = inner.state();
            let number = retry.map(|(number, _)| number);
            if let Some(delivery) = state.deliveries.get_mut(payload.number) {
                delivery.attempts.push(Attempt { socket, retry: number, came: came.clone() });
            }
            (state.settings.mode.clone(), state.settings.retries.clone())
        };
        inner.changed.notify_waiters();
        let tried = retry.map_or(0, |(number, _)| number);
        let next = usize::try_from(tried).ok().and_then(|tried| retries.get(tried));
        let again =
            !matches!(came, Came::Taken(_) | Came::Declined(_)) && payload.what == What::Event && !payload.again;
        let Some(wait) = next.filter(|_| again) else { break };
        tokio::time::sleep(*wait).await;
        retry = Some((tried + 1, came.reason(&mode)));
        match mode {
            Mode::Socket => (socket, came) = acked(inner, put(inner, &payload, retry)).await,
            Mode::Http(url) => came = post(inner, &url, &payload, retry).await,
        }
    }
    if let Some(delivery) = inner.state().deliveries.get_mut(payload.number) {
        delivery.pending -= 1;
    }
    inner.changed.notify_waiters();
}

/// A payload on a socket: which one, and where its ack will come.
struct Sent {
    socket: u32,
    ack: oneshot::Receiver<Option<Value>>,
}

/// Puts a payload onto one of the sockets, each in turn.
fn put(inner: &Arc<Inner>, payload: &Payload, retry: Option<(u32, &'static str)>) -> Option<Sent> {
    let mut state = inner.state();
    let open = |state: &super::state::State, above: u32| {
        state.sockets.iter().find(|(number, socket)| **number > above && !socket.leaving).map(|(number, _)| *number)
    };
    let socket = open(&state, state.last_socket).or_else(|| open(&state, 0))?;
    state.last_socket = socket;
    let envelope = format!("00000000-0000-4000-9000-{:012x}", state.number());
    let kind = match payload.what {
        What::Event => "events_api",
        What::Interaction => "interactive",
        What::Command => "slash_commands",
    };
    // Only what has somebody waiting for it takes an answer with the ack.
    let accepts = match payload.what {
        What::Event => false,
        What::Interaction => payload.body.get("type").and_then(Value::as_str) == Some("view_submission"),
        What::Command => true,
    };
    let mut frame = json!({"envelope_id": envelope, "type": kind, "accepts_response_payload": accepts,
                           "payload": payload.body});
    if payload.what == What::Event {
        frame["retry_attempt"] = json!(retry.map_or(0, |(number, _)| number));
        frame["retry_reason"] = json!(retry.map_or("", |(_, reason)| reason));
    }
    let (acked, ack) = oneshot::channel();
    let _sent = state.sockets.get(&socket)?.orders.send(Order::Send(frame.to_string()));
    state.envelopes.insert(envelope.clone(), accepts);
    state.acks.insert(envelope, (socket, acked));
    Some(Sent { socket, ack })
}

async fn acked(inner: &Arc<Inner>, sent: Option<Sent>) -> (Option<u32>, Came) {
    let Some(Sent { socket, ack }) = sent else { return (None, Came::Nobody) };
    let patience = inner.state().settings.ack;
    match tokio::time::timeout(patience, ack).await {
        Ok(Ok(answer)) => (Some(socket), Came::Taken(answer)),
        Ok(Err(_)) | Err(_) => (Some(socket), Came::Late),
    }
}

/// What `x-slack-signature` says of a body at a time, in seconds.
pub(crate) fn signature(secret: &str, seconds: u64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(format!("v0:{seconds}:{body}").as_bytes());
    let mut text = "v0=".to_owned();
    for byte in mac.finalize().into_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The body and its type, as each kind of payload is posted.
fn encoded(payload: &Payload) -> (String, &'static str) {
    const FORM: &str = "application/x-www-form-urlencoded";
    let form = |pairs: Vec<(String, String)>| {
        let mut url = reqwest::Url::parse("http://form/").expect("a URL");
        url.query_pairs_mut().extend_pairs(pairs);
        url.query().unwrap_or_default().to_owned()
    };
    match payload.what {
        What::Event => (payload.body.to_string(), "application/json"),
        What::Interaction => (form(vec![("payload".to_owned(), payload.body.to_string())]), FORM),
        What::Command => {
            let fields = payload.body.as_object().cloned().unwrap_or_default();
            let text = |value: Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            (form(fields.into_iter().map(|(name, value)| (name, text(value))).collect()), FORM)
        }
    }
}

async fn post(inner: &Arc<Inner>, url: &str, payload: &Payload, retry: Option<(u32, &'static str)>) -> Came {
    let (body, kind) = encoded(payload);
    let (seconds, patience) = {
        let state = inner.state();
        (state.now() / 1_000_000, state.settings.ack)
    };
    let mut request = inner
        .client
        .post(url)
        .timeout(patience)
        .header("content-type", kind)
        .header("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)")
        .header("x-slack-request-timestamp", seconds.to_string())
        .header("x-slack-signature", signature(SECRET, seconds, &body));
    if let Some((number, reason)) = retry {
        request = request.header("x-slack-retry-num", number.to_string()).header("x-slack-retry-reason", reason);
    }
    let answer = match request.body(body).send().await {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => return Came::Nobody,
        Err(_) => return Came::Late,
    };
    let status = answer.status();
    if !status.is_success() {
        let last = answer.headers().get("x-slack-no-retry").is_some_and(|value| value == "1");
        return if last { Came::Declined(status.as_u16()) } else { Came::Refused(status.as_u16()) };
    }
    match answer.text().await {
        Ok(text) => Came::Taken(serde_json::from_str(&text).ok()),
        Err(_) => Came::Late,
    }
}

/// What is wrong with a request that pretends to be Slack's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// Nothing: it is Slack's.
    None,
    /// Signed with another secret.
    OtherSecret,
    /// Well signed so long ago, and sent again.
    Old(Duration),
    /// Well signed for so much later.
    Early(Duration),
    /// Signed over another body.
    OtherBody,
    /// Without a signature.
    Unsigned,
    /// With a time that is none.
    NoTime,
}

/// Posts a body to the app as [`Forgery`] says; the status and the answer.
pub(super) async fn forge(inner: &Inner, body: String, kind: &str, forgery: Forgery) -> (u16, String) {
    let (now, mode) = {
        let state = inner.state();
        (state.now() / 1_000_000, state.settings.mode.clone())
    };
    let Mode::Http(url) = mode else { panic!("requests are for an app that has a URL") };
    let seconds = match forgery {
        Forgery::Old(time) => now - time.as_secs(),
        Forgery::Early(time) => now + time.as_secs(),
        Forgery::None | Forgery::OtherSecret | Forgery::OtherBody | Forgery::Unsigned | Forgery::NoTime => now,
    };
    let signed = match forgery {
        Forgery::OtherSecret => signature("another-secret", seconds, &body),
        Forgery::OtherBody => signature(SECRET, seconds, &format!("{body} ")),
        Forgery::None | Forgery::Old(_) | Forgery::Early(_) | Forgery::Unsigned | Forgery::NoTime => {
            signature(SECRET, seconds, &body)
        }
    };
    let time = if forgery == Forgery::NoTime { "now".to_owned() } else { seconds.to_string() };
    let mut request = inner.client.post(url).timeout(SOON).header("content-type", kind);
    request = request.header("x-slack-request-timestamp", time);
    if forgery != Forgery::Unsigned {
        request = request.header("x-slack-signature", signed);
    }
    let answer = request.body(body).send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// How long a test waits for anything here.
pub(crate) const SOON: Duration = Duration::from_secs(60);

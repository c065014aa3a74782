//! Requests that Slack signs, for those who would rather be called than listen (Events API over HTTP).
//!
//! What lives here: whether a request is Slack's, and what is in its body. What does not: serving HTTP. From here on it is
//! the same as what comes through a socket (`inbound`). Pure; the time is a parameter.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;

/// How old a request may be, or how far ahead: one that somebody kept is of no use for longer.
pub const WINDOW: TimeDelta = TimeDelta::minutes(5);

/// Why a request is not taken. None of these tells what would have been right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotSlack {
    /// No time, or one that is none.
    #[error("the request has no time")]
    NoTime,
    /// Too old, or from the future: kept by somebody, or this machine's clock is wrong.
    #[error("the request's time is more than 5 minutes from this machine's")]
    Stale,
    /// Signed with another secret, or not at all, or changed on its way.
    #[error("the request's signature is not Slack's")]
    Signature,
}

/// Whether a request is Slack's: signed with the app's secret, and of this moment. `timestamp` and `signature` are the
/// headers `X-Slack-Request-Timestamp` and `X-Slack-Signature`, `body` the bytes as they came. The comparison takes as
/// long for every signature.
///
/// # Errors
/// When it is not.
pub fn verify(secret: &str, timestamp: &str, signature: &str, body: &[u8], now: DateTime<Utc>) -> Result<(), NotSlack> {
    let seconds: u32 = Some(timestamp)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(NotSlack::NoTime)?;
    let at = DateTime::from_timestamp(i64::from(seconds), 0).ok_or(NotSlack::NoTime)?;
    if (now - at).abs() > WINDOW {
        return Err(NotSlack::Stale);
    }
    let claimed = signature.strip_prefix("v0=").and_then(bytes_of).ok_or(NotSlack::Signature)?;
    sign(secret, timestamp, body).verify_slice(&claimed).map_err(|_| NotSlack::Signature)
}

fn sign(secret: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    mac.update(b"v0:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    mac
}

/// Reads pairs of hexadecimal digits.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// What is in a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivered {
    /// Slack asks whether somebody is there: the answer is this text.
    Challenge(String),
    /// Slack looks whether a place is there, and wants nothing.
    Probe,
    /// The same as a frame of a socket.
    Frame {
        /// `events_api`, `slash_commands` or `interactive`.
        kind: &'static str,
        /// What is in it.
        payload: Value,
    },
}

/// A body that is neither of the shapes in which Slack delivers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body cannot be read: {0}")]
pub struct BodyError(pub String);

/// Reads a verified request's body: JSON for events, a form for commands and buttons.
///
/// # Errors
/// When it is neither.
pub fn read(content_type: &str, body: &[u8]) -> Result<Delivered, BodyError> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        let payload: Value = serde_json::from_slice(body).map_err(|error| BodyError(error.to_string()))?;
        return Ok(match (payload["type"].as_str(), payload["challenge"].as_str()) {
            (Some("url_verification"), Some(challenge)) => Delivered::Challenge(challenge.to_owned()),
            (Some(_) | None, _) => Delivered::Frame { kind: "events_api", payload },
        });
    }
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(BodyError(format!("`{kind}` is neither JSON nor a form")));
    }
    let fields = fields(body).ok_or_else(|| BodyError("the form is not one".to_owned()))?;
    if let Some(payload) = fields.get("payload").and_then(Value::as_str) {
        let payload = serde_json::from_str(payload).map_err(|error| BodyError(error.to_string()))?;
        return Ok(Delivered::Frame { kind: "interactive", payload });
    }
    if fields.contains_key("ssl_check") {
        return Ok(Delivered::Probe);
    }
    Ok(Delivered::Frame { kind: "slash_commands", payload: Value::Object(fields) })
}

/// A form's fields. A name that comes twice is no form of Slack's.
fn fields(body: &[u8]) -> Option<Map<String, Value>> {
    let mut fields = Map::new();
    for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let name = decode(halves.next().unwrap_or_default())?;
        let value = decode(halves.next().unwrap_or_default())?;
        if fields.insert(name, Value::String(value)).is_some() {
            return None;
        }
    }
    Some(fields)
}

fn decode(text: &[u8]) -> Option<String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => digit(*bytes.next()?)? << 4 | digit(*bytes.next()?)?,
            other => *other,
        });
    }
    String::from_utf8(plain).ok()
}

/// The signature that Slack would send: for tests and for whoever plays Slack in them.
pub fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let bytes = sign(secret, timestamp, body).finalize().into_bytes();
    bytes.iter().fold("v0=".to_owned(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const SECRET: &str = "a secret of the app's";
    const BODY: &[u8] = br#"{"type":"event_callback"}"#;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a time")
    }

    #[test]
    fn a_signature_is_the_same_as_anybody_elses() {
        // Made with `openssl dgst -sha256 -hmac`.
        assert_eq!(
            signature("key", "1700000000", b"a=b"),
            "v0=54879675028c9ea440cbf821f629c438d8be270bcf1246f516ca49e54dfb64c5"
        );
    }

    #[test]
    fn i9_what_slack_signed_now_is_slacks_and_nothing_else_is() {
        let good = signature(SECRET, "1700000000", BODY);
        assert_eq!(verify(SECRET, "1700000000", &good, BODY, now()), Ok(()));
        assert_eq!(verify("another", "1700000000", &good, BODY, now()), Err(NotSlack::Signature));
        assert_eq!(verify(SECRET, "1700000001", &good, BODY, now()), Err(NotSlack::Signature), "another time");
        assert_eq!(verify(SECRET, "1700000000", &good, b"{}", now()), Err(NotSlack::Signature), "another body");
        for wrong in ["", "v0=", "v0=0", "v0=zz", &good[3..], &good[..60], &format!("{good}00"), "v0=é"] {
            assert_eq!(verify(SECRET, "1700000000", wrong, BODY, now()), Err(NotSlack::Signature), "{wrong}");
        }
        for (ts, verdict) in [
            ("1699999700", Ok(())),
            ("1699999699", Err(NotSlack::Stale)),
            ("1700000300", Ok(())),
            ("1700000301", Err(NotSlack::Stale)),
            ("", Err(NotSlack::NoTime)),
            ("+1700000000", Err(NotSlack::NoTime)),
            ("1700000000.0", Err(NotSlack::NoTime)),
            ("99999999999", Err(NotSlack::NoTime)),
        ] {
            assert_eq!(verify(SECRET, ts, &signature(SECRET, ts, BODY), BODY, now()), verdict, "{ts}");
        }
    }

    #[test]
    fn bodies_are_what_a_socket_would_bring() {
        let frame = |kind, payload| Ok(Delivered::Frame { kind, payload });
        let json = "application/json; charset=utf-8";
        let form = "application/x-www-form-urlencoded";
        assert_eq!(read(json, BODY), frame("events_api", json!({"type": "event_callback"})));
        assert_eq!(
            read("Application/JSON", br#"{"type":"url_verification","challenge":"3eZb"}"#),
            Ok(Delivered::Challenge("3eZb".to_owned()))
        );
        assert_eq!(
            read(form, b"command=%2Fcountersign&text=start+service%20b&empty="),
            frame("slash_commands", json!({"command": "/countersign", "text": "start service b", "empty": ""}))
        );
        assert_eq!(
            read(form, b"payload=%7B%22type%22%3A%22block_actions%22%7D"),
            frame("interactive", json!({"type": "block_actions"}))
        );
        assert_eq!(read(form, b"ssl_check=1&token=x"), Ok(Delivered::Probe));
        for (kind, body) in [
            (json, &b"{"[..]),
            (form, b"payload={"),
            (form, b"a=%zz"),
            (form, b"a=%f"),
            (form, b"a=%ff"),
            (form, b"text=a&text=b"),
            ("text/plain", b""),
            ("", b""),
        ] {
            assert!(read(kind, body).is_err(), "{kind} {body:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_nothing_panics(body: Vec<u8>, ts: String, sent: String) {
            let _ = verify(SECRET, &ts, &sent, &body, now());
            let _ = verify(SECRET, "1700000000", &format!("v0={sent}"), &body, now());
            let _ = read("application/json", &body);
            let _ = read("application/x-www-form-urlencoded", &body);
        }

        #[test]
        fn a_form_comes_back_as_it_was(text in "[ -~é😀\n]{0,40}") {
            let coded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let body = format!("command=x&text={coded}");
            let Ok(Delivered::Frame { payload, .. }) = read("application/x-www-form-urlencoded", body.as_bytes()) else {
                panic!("{body}")
            };
            prop_assert_eq!(payload["text"].as_str(), Some(text.as_str()));
        }
    }
}

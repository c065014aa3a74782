//! The webhook that rings people: what it is sent, how that is signed, and what an answer means.
//!
//! At least once: every try of a ring carries the same `Idempotency-Key`. Said are who, which code, what for and until when;
//! no secrets, no output, no plan.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

/// How long the webhook may take to answer.
pub(super) const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// The header with the time of the try, in seconds since 1970.
const TIMESTAMP: &str = "x-countersign-timestamp";
/// The header with the signature.
const SIGNATURE: &str = "x-countersign-signature";

/// A webhook that calls people.
#[derive(Clone)]
pub struct Ringer {
    url: reqwest::Url,
    secret: String,
    client: reqwest::Client,
}

impl std::fmt::Debug for Ringer {
    /// Without the secret, and without the address, which may hold one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ringer").finish_non_exhaustive()
    }
}

/// What the webhook is told: one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call<'a> {
    /// Always `ring`.
    pub kind: &'static str,
    /// The same at every try of the same ring.
    pub key: &'a str,
    /// Whom to call.
    pub people: Vec<&'a str>,
    /// The request's code.
    pub code: &'a str,
    /// What it asks for.
    pub deed: &'a str,
    /// Which system.
    pub system: &'a str,
    /// Which environment.
    pub environment: &'a str,
    /// Who asked.
    pub asked_by: &'a str,
    /// Until when an answer counts, RFC 3339.
    pub until: DateTime<Utc>,
    /// In which room it was asked.
    pub room: &'a str,
}

/// What a try came to, if it reached nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NotRung {
    /// Another try may do better.
    Later(String),
    /// No other try will.
    ForGood(String),
}

impl Ringer {
    /// A webhook at an address, with the secret by which it knows us.
    ///
    /// # Errors
    /// When the address is none, would carry the message over the network as plain text, or the system has no TLS.
    pub fn new(url: &str, secret: String) -> Result<Self, RingerError> {
        let url: reqwest::Url = url.parse().map_err(|_| RingerError::NoAddress)?;
        let local = matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if url.scheme() != "https" && !(url.scheme() == "http" && local) {
            return Err(RingerError::Plain);
        }
        let client = reqwest::Client::builder()
            // Where it was to go, or nowhere.
            .redirect(reqwest::redirect::Policy::none())
            .timeout(ANSWERS_WITHIN)
            .build()
            .map_err(|_| RingerError::NoClient)?;
        Ok(Self { url, secret, client })
    }

    /// Tries once.
    pub(super) async fn ring(&self, call: &Call<'_>, now: DateTime<Utc>) -> Result<(), NotRung> {
        let body = serde_json::to_vec(call).map_err(|error| NotRung::ForGood(error.to_string()))?;
        let timestamp = now.timestamp().to_string();
        let request = self
            .client
            .post(self.url.clone())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", call.key)
            .header(TIMESTAMP, &timestamp)
            .header(SIGNATURE, sign(&self.secret, &timestamp, &body))
            .body(body);
        let answer = match request.send().await {
            Ok(answer) => answer,
            // Without its address, which may hold a token.
            Err(error) if error.is_timeout() => {
                return Err(NotRung::Later("the webhook did not answer in time".into()));
            }
            Err(_) => return Err(NotRung::Later("the webhook could not be reached".into())),
        };
        let status = answer.status();
        let why = format!("the webhook answered {}", status.as_u16());
        match status.as_u16() {
            200..=299 => Ok(()),
            408 | 425 | 429 | 500..=599 => Err(NotRung::Later(why)),
            _ => Err(NotRung::ForGood(why)),
        }
    }
}

/// Why there is no such webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingerError {
    /// Not an address.
    #[error("ring: `url` is not an address")]
    NoAddress,
    /// Not encrypted, and not to this machine.
    #[error("ring: `url` would send who is called over the network as plain text; use https://")]
    Plain,
    /// The client cannot be made.
    #[error("ring: the webhook cannot be spoken to: no TLS on this machine")]
    NoClient,
}

/// The signature of a body at a time: `v1=` and HMAC-SHA256 over `v1:TIMESTAMP:BODY`, in hexadecimal digits.
fn sign(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length will do");
    mac.update(b"v1:");
    mac.update(timestamp.as_bytes());
    mac.update(b":");
    mac.update(body);
    mac.finalize().into_bytes().iter().fold("v1=".to_owned(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_covers_time_and_body() {
        let signed = sign("secret", "1700000000", b"{}");
        // echo -n 'v1:1700000000:{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(signed, "v1=14ea7fd0a36d8557c745d82072f653f4e553e593c57ac365fab425da48e1c495");
        assert_ne!(signed, sign("secret", "1700000001", b"{}"));
        assert_ne!(signed, sign("secret", "1700000000", b"{ }"));
        assert_ne!(signed, sign("other", "1700000000", b"{}"));
    }

    #[test]
    fn nobody_is_called_over_plain_text() {
        let wrong = |url: &str| Ringer::new(url, "s".into()).expect_err(url);
        assert_eq!(wrong("http://example.org/x"), RingerError::Plain);
        assert_eq!(wrong("ftp://localhost/x"), RingerError::Plain);
        assert_eq!(wrong("nowhere"), RingerError::NoAddress);
    }
}

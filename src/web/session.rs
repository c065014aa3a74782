//! A browser's session: a cookie that proves that somebody who had the key came in with it, and who they speak as.
//!
//! What lives here: making and reading the cookie, the forms' tokens, the key that opens the door. What does not: pages.
//!
//! Nothing is kept on this side. The cookie holds a random name, when it was made and the chosen account, signed by HMAC
//! under the data folder's token, which never leaves this machine in a cookie, a form or an address. A bot that starts
//! again over the same data knows its browsers again; another token knows none of them. Every form carries a token bound
//! to the session's name, so that no other page can post in its place.

use axum::http::{HeaderMap, header};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Token;

/// For how long a browser stays in.
const LASTS: TimeDelta = TimeDelta::days(7);

/// The only version of cookies so far.
const VERSION: &str = "1";

/// Signs and knows sessions.
#[derive(Clone)]
pub(crate) struct Sessions {
    token: Token,
    /// Browsers keep cookies of all ports of a host together.
    cookie: String,
}

/// A browser that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Its random name.
    id: String,
    began: i64,
    /// The last part of the account it speaks as, once chosen.
    pub(crate) speaker: Option<String>,
}

impl Sessions {
    pub(crate) fn new(token: Token, port: u16) -> Self {
        Self { token, cookie: format!("countersign-{port}") }
    }

    /// Signs something for one purpose; what is signed for one never passes for another.
    fn sign(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        // HMAC takes keys of any length.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.token.expose().as_bytes())
            .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
        mac.update(b"countersign/");
        mac.update(purpose.as_bytes());
        mac.update(b"/v1\n");
        mac.update(text.as_bytes());
        mac
    }

    fn signed(&self, purpose: &str, text: &str) -> String {
        hex(&self.sign(purpose, text).finalize().into_bytes())
    }

    fn is_signed(&self, purpose: &str, text: &str, presented: &str) -> bool {
        unhex(presented).is_some_and(|presented| self.sign(purpose, text).verify_slice(&presented).is_ok())
    }

    /// What stands in the address that `up` prints: opens the door for browsers, and nothing else.
    pub(crate) fn key(&self) -> String {
        self.signed("enter", "")
    }

    /// Whether somebody may come in: with the key, or with the token itself.
    pub(crate) fn opens(&self, presented: &str) -> bool {
        let presented = presented.trim();
        self.is_signed("enter", "", presented) || self.token.matches(presented.to_ascii_lowercase().as_bytes())
    }

    /// A new session that speaks as nobody yet.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub(crate) fn begin(&self, now: DateTime<Utc>) -> Result<Session, getrandom::Error> {
        let mut id = [0; 16];
        getrandom::fill(&mut id)?;
        Ok(Session { id: hex(&id), began: now.timestamp(), speaker: None })
    }

    /// The session of a request, if its cookie is one of ours and not too old.
    pub(crate) fn read(&self, headers: &HeaderMap, now: DateTime<Utc>) -> Option<Session> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut named = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().split_once('='))
            .filter(|(name, _)| *name == self.cookie)
            .map(|(_, value)| value);
        // Two of one name: one of them was planted, and nobody knows which.
        let (Some(value), None) = (named.next(), named.next()) else { return None };
        let (text, mac) = value.rsplit_once('.')?;
        if !self.is_signed("session", text, mac) {
            return None;
        }
        let mut parts = text.split('.');
        let (version, id, began, speaker) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let began: i64 = began.parse().ok()?;
        let age = now - DateTime::from_timestamp(began, 0)?;
        // A clock that was set back makes young sessions, not false ones.
        if version != VERSION || parts.next().is_some() || age > LASTS {
            return None;
        }
        let speaker = match speaker {
            "-" => None,
            speaker => Some(String::from_utf8(unhex(speaker)?).ok()?),
        };
        Some(Session { id: id.to_owned(), began, speaker })
    }

    /// The header that keeps a session in the browser.
    pub(crate) fn keep(&self, session: &Session) -> String {
        let speaker = session.speaker.as_ref().map_or_else(|| "-".to_owned(), |speaker| hex(speaker.as_bytes()));
        let text = format!("{VERSION}.{}.{}.{speaker}", session.id, session.began);
        let mac = self.signed("session", &text);
        format!("{}={text}.{mac}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict", self.cookie, LASTS.num_seconds())
    }

    /// The header that makes the browser forget its session.
    pub(crate) fn forget(&self) -> String {
        format!("{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict", self.cookie)
    }

    /// What every form of a session carries.
    pub(crate) fn form_token(&self, session: &Session) -> String {
        self.signed("form", &session.id)
    }

    /// Whether a form is one of this session's.
    pub(crate) fn is_form_token(&self, session: &Session, presented: &str) -> bool {
        self.is_signed("form", &session.id, presented)
    }
}

/// The key that stands in the address which `up` prints.
pub fn entry_key(token: &Token) -> String {
    Sessions::new(token.clone(), 0).key()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn sessions(byte: &str) -> Sessions {
        Sessions::new(Token::parse(&byte.repeat(32)).expect("a token"), 7373)
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).expect("a time")
    }

    fn read(sessions: &Sessions, cookie: &str) -> Option<Session> {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(cookie).expect("a header"));
        sessions.read(&headers, now())
    }

    fn cookie(sessions: &Sessions, session: &Session) -> String {
        sessions.keep(session).split(';').next().expect("a cookie").to_owned()
    }

    #[test]
    fn a_session_comes_back_as_it_was() {
        let sessions = sessions("0a");
        let mut session = sessions.begin(now()).expect("randomness");
        assert_eq!(read(&sessions, &cookie(&sessions, &session)).as_ref(), Some(&session));
        session.speaker = Some("méi".to_owned());
        let kept = cookie(&sessions, &session);
        assert_eq!(read(&sessions, &format!("other=1; {kept}")), Some(session));
        assert!(sessions.keep(&sessions.begin(now()).expect("randomness")).contains("HttpOnly; SameSite=Strict"));
    }

    #[test]
    fn what_was_changed_or_signed_elsewhere_is_nobodys() {
        let ours = sessions("0a");
        let mut session = ours.begin(now()).expect("randomness");
        session.speaker = Some("mei".to_owned());
        let kept = cookie(&ours, &session);
        assert!(read(&sessions("0b"), &kept).is_none(), "another token");
        assert!(read(&ours, &kept.replace(&hex(b"mei"), &hex(b"boss"))).is_none(), "another speaker");
        assert!(read(&ours, &format!("{kept}; {kept}")).is_none(), "two of one name");
        let form = ours.form_token(&session);
        let (text, _) = kept.rsplit_once('.').expect("a mac");
        assert!(read(&ours, &format!("{text}.{form}")).is_none(), "signed for another purpose");
        for broken in ["countersign-7373=", "countersign-7373=.", "countersign-7373=1.a.b.c.d", "x=y", ""] {
            assert!(read(&ours, broken).is_none(), "{broken}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(&kept).expect("a header"));
        assert!(ours.read(&headers, now() + TimeDelta::days(7)).is_some());
        assert!(ours.read(&headers, now() + TimeDelta::days(8)).is_none(), "too old");
    }

    #[test]
    fn a_form_belongs_to_its_session() {
        let sessions = sessions("0a");
        let [one, other] = [0, 1].map(|_| sessions.begin(now()).expect("randomness"));
        assert!(sessions.is_form_token(&one, &sessions.form_token(&one)));
        for wrong in [sessions.form_token(&other), String::new(), "00".repeat(32), sessions.key()] {
            assert!(!sessions.is_form_token(&one, &wrong), "{wrong}");
        }
    }

    #[test]
    fn key_and_token_open_the_door_and_the_key_is_not_the_token() {
        let sessions = sessions("0a");
        assert!(sessions.opens(&sessions.key()) && sessions.opens(&format!(" {}\n", "0A".repeat(32))));
        assert_ne!(sessions.key(), "0a".repeat(32));
        for wrong in ["", "0a", &"0b".repeat(32)] {
            assert!(!sessions.opens(wrong), "{wrong}");
        }
    }
}

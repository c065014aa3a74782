//! Who may knock: the server's own names, its own pages, and whoever knows the token.
//!
//! A page of another site that a browser has open could reach a port of this machine. The Host check stops one whose name
//! was pointed here, the Origin check any other, and the token whoever is left. The API wants the token itself with every
//! request and takes no cookie; pages want a session (`session`).

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::{Refusal, Token};

/// The names under which the server may be addressed, each with its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts(Vec<String>);

impl Hosts {
    /// The names of a listen address, and the configured ones. A name without a port is complete if the port is 80.
    pub fn of(address: SocketAddr, names: &[String]) -> Self {
        let port = address.port();
        let mut hosts = vec![address.to_string()];
        if address.ip().is_loopback() || address.ip().is_unspecified() {
            hosts.extend([format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}")]);
        }
        if port == 80 {
            let bare = hosts.iter().filter_map(|host| host.strip_suffix(":80").map(str::to_owned)).collect::<Vec<_>>();
            hosts.extend(bare);
        }
        hosts.extend(names.iter().map(|name| name.to_ascii_lowercase()));
        Self(hosts)
    }

    /// Whether a Host header names the server.
    pub fn contains(&self, host: &str) -> bool {
        self.0.iter().any(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether an Origin header names one of the server's own pages.
    pub fn contains_origin(&self, origin: &str) -> bool {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| self.contains(host))
    }
}

/// What the guard knows.
pub(super) struct Guard {
    pub(super) hosts: Hosts,
    pub(super) token: Token,
}

/// Lets a request pass that reached this server by its own name, and not from another site's page; or refuses it.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.judge(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Lets a request pass that presents the token, or refuses it.
pub(super) async fn bearer(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.judge_token(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// The only value of a header. Absent is `Ok(None)`; twice, or not text, is an error.
fn only<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

impl Guard {
    fn judge(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let named = matches!(only(headers, &header::HOST), Ok(Some(host)) if self.hosts.contains(host));
        // A request line may name a host of its own, which then counts.
        let absolute = uri.authority().is_none_or(|authority| self.hosts.contains(authority.as_str()));
        if !named || !absolute {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "this server does not go by that name"));
        }
        match only(headers, &header::ORIGIN) {
            Ok(None) => {}
            Ok(Some(origin)) if self.hosts.contains_origin(origin) => {}
            Ok(Some(_)) | Err(()) => {
                return Err(Refusal::new(StatusCode::FORBIDDEN, "pages of other sites may not ask"));
            }
        }
        // Browsers say so also where they send no Origin. Following a link from elsewhere is no harm: reading never acts,
        // and the cookie stays away.
        let site = only(headers, &header::HeaderName::from_static("sec-fetch-site"));
        if !method.is_safe() && !matches!(site, Ok(None | Some("same-origin" | "none"))) {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "pages of other sites may not ask"));
        }
        Ok(())
    }

    /// Whether a request presents the token.
    pub(super) fn judge_token(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let presented = only(headers, &header::AUTHORIZATION).ok().flatten().unwrap_or_default();
        let (scheme, presented) = presented.split_once(' ').unwrap_or_default();
        if scheme.eq_ignore_ascii_case("bearer") && self.token.matches(presented.as_bytes()) {
            return Ok(());
        }
        Err(Refusal::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong"))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn hosts(address: &str, names: &[&str]) -> Hosts {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Hosts::of(address.parse().expect("an address"), &names)
    }

    #[test]
    fn a_loopback_server_goes_by_its_own_names_with_its_port() {
        let hosts = hosts("127.0.0.1:4100", &["Bot.example"]);
        for own in ["127.0.0.1:4100", "localhost:4100", "LOCALHOST:4100", "[::1]:4100", "bot.example"] {
            assert!(hosts.contains(own), "{own}");
        }
        for other in
            ["", "localhost", "localhost:4101", "127.0.0.1", "evil.example", "evil.example:4100", "bot.example:1"]
        {
            assert!(!hosts.contains(other), "{other}");
        }
    }

    #[test]
    fn another_address_is_not_also_localhost() {
        let public = hosts("192.0.2.7:80", &[]);
        assert!(public.contains("192.0.2.7") && public.contains("192.0.2.7:80"));
        assert!(!public.contains("localhost"));
        assert!(hosts("127.0.0.1:80", &[]).contains("localhost"));
    }

    #[test]
    fn an_origin_must_be_a_page_of_the_same_server() {
        let hosts = hosts("127.0.0.1:4100", &[]);
        assert!(hosts.contains_origin("http://localhost:4100"));
        for other in ["null", "", "localhost:4100", "http://evil.example", "http://localhost", "ftp://localhost:4100"] {
            assert!(!hosts.contains_origin(other), "{other}");
        }
    }

    fn judged(headers: &[(header::HeaderName, &str)]) -> Option<StatusCode> {
        let guard =
            Guard { hosts: hosts("127.0.0.1:4100", &[]), token: Token::parse(&"0a".repeat(32)).expect("a token") };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        let judged = guard.judge(&Method::POST, &Uri::from_static("/"), &map).and_then(|()| guard.judge_token(&map));
        judged.err().map(|refusal| refusal.status)
    }

    #[test]
    fn a_post_from_elsewhere_is_refused_and_a_link_is_followed() {
        let guard =
            Guard { hosts: hosts("127.0.0.1:4100", &[]), token: Token::parse(&"0a".repeat(32)).expect("a token") };
        let judged = |method: Method, site: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:4100"));
            headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            guard.judge(&method, &Uri::from_static("/"), &headers).is_ok()
        };
        assert!(judged(Method::POST, "same-origin") && judged(Method::POST, "none"));
        assert!(!judged(Method::POST, "cross-site") && !judged(Method::POST, "same-site"));
        assert!(judged(Method::GET, "cross-site"));
    }

    #[test]
    fn host_origin_and_token_are_all_needed() {
        let host = (header::HOST, "localhost:4100");
        let token = format!("Bearer {}", "0a".repeat(32));
        let bearer = (header::AUTHORIZATION, token.as_str());
        let own = (header::ORIGIN, "http://localhost:4100");
        let evil = (header::ORIGIN, "http://evil.example");
        assert_eq!(judged(&[host.clone(), bearer.clone()]), None);
        assert_eq!(judged(&[host.clone(), bearer.clone(), own.clone()]), None);
        assert_eq!(judged(std::slice::from_ref(&bearer)), Some(StatusCode::FORBIDDEN));
        assert_eq!(judged(&[host.clone(), host.clone(), bearer.clone()]), Some(StatusCode::FORBIDDEN));
        assert_eq!(judged(&[(header::HOST, "evil.example:4100"), bearer.clone()]), Some(StatusCode::FORBIDDEN));
        assert_eq!(judged(&[host.clone(), bearer.clone(), evil.clone()]), Some(StatusCode::FORBIDDEN));
        assert_eq!(judged(&[host.clone(), bearer.clone(), own, evil]), Some(StatusCode::FORBIDDEN));
        assert_eq!(judged(std::slice::from_ref(&host)), Some(StatusCode::UNAUTHORIZED));
        assert_eq!(judged(&[host.clone(), bearer.clone(), bearer]), Some(StatusCode::UNAUTHORIZED));
        let basic = format!("Basic {}", "0a".repeat(32));
        assert_eq!(judged(&[host, (header::AUTHORIZATION, &basic)]), Some(StatusCode::UNAUTHORIZED));
    }

    #[test]
    fn a_request_line_with_another_name_is_refused() {
        let guard =
            Guard { hosts: hosts("127.0.0.1:4100", &[]), token: Token::parse(&"0a".repeat(32)).expect("a token") };
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:4100"));
        let uri = Uri::from_static("http://evil.example/api");
        assert_eq!(
            guard.judge(&Method::GET, &uri, &headers).err().map(|refusal| refusal.status),
            Some(StatusCode::FORBIDDEN)
        );
    }
}

//! Requests over HTTP and connections over TCP: where they go is fixed, and what a parameter fills stays where it is put.
//!
//! Keeps I9: a parameter never stands in a scheme, host, port or header's name; no header's value can hold a line break;
//! a path cannot climb. Keeps I8: an address holds no password. Filling is `engine::plan`'s work, which looks again at
//! what comes out.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::catalog::{BodyKind, HeaderValue, HttpAsk, HttpHeader, TcpAsk};
use crate::model::glyph;
use crate::model::id::SecretName;

use super::super::diagnostic::Problem;
use super::super::raw;
use super::super::words;
use super::super::yaml::{At, Place};
use super::runbook::Scope;
use super::template::{self, Piece};
use super::{Checker, Input, Kind};

/// What asks: a check, which is fixed and only reads, or a step of a runbook.
#[derive(Clone, Copy)]
pub(super) enum Use<'a> {
    /// A check.
    Check,
    /// A step, with what its templates may hold.
    Step(&'a Scope),
}

/// The greatest number of characters of an address as written.
const LONGEST_URL: usize = 2_000;
/// The greatest number of headers.
const MOST_HEADERS: usize = 50;
/// The greatest number of characters of a header's value as written.
const LONGEST_HEADER: usize = 4_000;
/// The greatest number of bytes of a body as written.
const LONGEST_BODY: usize = 64 * 1024;
/// The greatest number of characters that an answer must hold.
const LONGEST_CONTAINS: usize = 1_000;

const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// Headers that say where a request goes or where it ends: they follow from the address and the body.
const NOT_OURS_TO_SET: [&str; 11] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What is wrong, and the one hint.
type Wrong = (String, Option<&'static str>);

fn wrong<T>(message: impl Into<String>, hint: &'static str) -> Result<T, Wrong> {
    Err((message.into(), Some(hint)))
}

impl Checker {
    /// A request. `None` if it has no address; that has been told.
    pub(super) fn http(&mut self, input: &Input, raw: &At<raw::Http>, of: Use<'_>) -> Option<HttpAsk> {
        let method = self.method(input, raw.value.method.as_ref(), of);
        let only_reads = matches!(method.as_str(), "GET" | "HEAD");
        let hint = "say what is asked: `url: \"http://127.0.0.1:8080/health\"`";
        let address = self.required(input, raw.place, "url", &raw.value.url, hint);
        if let Some(address) = address {
            if let Err(wrong) = url(&address.value) {
                self.wrong(input, address.place, wrong);
            } else {
                self.only_params(input, address, of);
            }
        }
        let headers = self.headers(input, raw.value.headers.as_ref(), of);
        let body = raw.value.body.as_ref().map(|body| {
            let refused = match of {
                Use::Check => Some("a check only reads: it sends no body"),
                Use::Step(_) if only_reads => Some("a request that only reads sends no body"),
                Use::Step(_) => None,
            };
            if let Some(message) = refused {
                let hint = "leave it out, or say `method: POST` in a step if it changes something";
                self.problem(input, Problem::new(body.place, message).hint(hint));
            } else {
                self.body(input, body, &headers, of);
            }
            body.value.clone()
        });
        let (status, contains) = self.expect(input, raw.value.expect.as_ref(), &method, of);
        Some(HttpAsk { method, url: address?.value.clone(), headers, body, status, contains })
    }

    /// A connection: `host:port`, never with a template.
    pub(super) fn tcp(&mut self, input: &Input, address: &At<String>) -> TcpAsk {
        let checked = match template::is_template(&address.value) {
            true => wrong("the address of a connection holds no template", "write the host and the port out"),
            false => host_and_port(&address.value, Port::Needed),
        };
        if let Err(wrong) = checked {
            self.wrong(input, address.place, wrong);
        }
        TcpAsk { address: address.value.clone() }
    }

    fn wrong(&mut self, input: &Input, place: Place, (message, hint): Wrong) {
        let problem = Problem::new(place, message);
        self.problem(
            input,
            match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            },
        );
    }

    fn method(&mut self, input: &Input, written: Option<&At<String>>, of: Use<'_>) -> String {
        let Some(method) = written else { return "GET".to_owned() };
        let (all, known) = match of {
            Use::Check => (&METHODS[..2], METHODS[..2].contains(&method.value.as_str())),
            Use::Step(_) => (&METHODS[..], METHODS.contains(&method.value.as_str())),
        };
        if !known {
            let expected = format!("expected {}", words::one_of(all.iter().copied()));
            let problem = match METHODS.contains(&method.value.as_str()) {
                true => Problem::new(method.place, format!("a check only reads: it cannot {}", method.value))
                    .label(expected)
                    .hint("what changes something is a step of a runbook"),
                false => Problem::new(method.place, format!("there is no method {}", words::quoted(&method.value)))
                    .label(expected)
                    .nearest(&method.value.to_ascii_uppercase(), all.iter().copied()),
            };
            self.problem(input, problem);
        }
        method.value.clone()
    }

    /// Tells templates of a check, and names of no parameter in those of a step. False if something was told.
    fn only_params(&mut self, input: &Input, text: &At<String>, of: Use<'_>) -> bool {
        let before = self.problems.len();
        match (template::parse(&text.value), of) {
            (Err(message), _) => {
                let hint = "write `{{ name }}` with the name of a parameter";
                self.problem(input, Problem::new(text.place, message).hint(hint));
            }
            (Ok(pieces), Use::Check) if !template::is_plain(&pieces) => {
                let problem = Problem::new(text.place, "a check is fixed: it holds no template");
                self.problem(input, problem.hint("a check belongs to one service: write the value out"));
            }
            (Ok(_), Use::Check) => {}
            (Ok(_), Use::Step(scope)) => self.template(input, text, scope),
        }
        self.problems.len() == before
    }

    fn headers(
        &mut self,
        input: &Input,
        written: Option<&At<super::super::yaml::Pairs<At<raw::Header>>>>,
        of: Use<'_>,
    ) -> Vec<HttpHeader> {
        let Some(written) = written else { return Vec::new() };
        if let Some((one_too_many, _)) = written.value.0.get(MOST_HEADERS) {
            let problem = Problem::new(one_too_many.place, "a request has fewer headers than this");
            self.problem(input, problem.label(format!("expected at most {MOST_HEADERS}")));
        }
        let mut headers: Vec<HttpHeader> = Vec::new();
        for (name, value) in &written.value.0 {
            if let Err(wrong) = header_name(&name.value) {
                self.wrong(input, name.place, wrong);
            } else if headers.iter().any(|other| other.name.eq_ignore_ascii_case(&name.value)) {
                let problem = Problem::new(name.place, format!("{} is set twice", words::quoted(&name.value)));
                self.problem(input, problem.hint("case makes no difference in a header's name: keep one of the two"));
            }
            let Some(value) = self.header_value(input, name, value, of) else { continue };
            headers.push(HttpHeader { name: name.value.clone(), value });
        }
        headers
    }

    fn header_value(
        &mut self,
        input: &Input,
        name: &At<String>,
        value: &At<raw::Header>,
        of: Use<'_>,
    ) -> Option<HeaderValue> {
        match &value.value {
            raw::Header::Text(text) => {
                let text = At { value: text.clone(), place: value.place };
                if let Err(wrong) = header_text(&text.value) {
                    self.wrong(input, text.place, wrong);
                } else {
                    self.only_params(input, &text, of);
                }
                if name.value.eq_ignore_ascii_case("content-type") && template::is_template(&text.value) {
                    let problem = Problem::new(text.place, "the kind of the body is fixed: it holds no template");
                    self.problem(input, problem.hint("it decides how values are put into the body"));
                }
                if ["authorization", "cookie"].contains(&name.value.to_ascii_lowercase().as_str()) {
                    let message =
                        format!("{} would stand in the plan for everybody to read", words::quoted(&name.value));
                    let hint = format!("keep its value outside the catalog: `{}: {{secret: the-secret}}`", name.value);
                    self.problem(input, Problem::new(text.place, message).hint(hint));
                }
                Some(HeaderValue::Text(text.value))
            }
            raw::Header::From(pairs) => {
                let [(key, secret)] = &pairs.0[..] else {
                    let problem = Problem::new(value.place, "one header has one value");
                    self.problem(input, problem.label("expected a text or {secret: the-secret}"));
                    return None;
                };
                if key.value != "secret" {
                    let message = format!("{} is not a key that can stand here", words::quoted(&key.value));
                    let problem = Problem::new(key.place, message).label("expected `secret`");
                    self.problem(input, problem.nearest(&key.value, ["secret"]));
                    return None;
                }
                self.known(input, Kind::Secret, secret);
                Some(HeaderValue::Secret(SecretName::new(&secret.value)))
            }
        }
    }

    fn body(&mut self, input: &Input, body: &At<String>, headers: &[HttpHeader], of: Use<'_>) {
        if body.value.len() > LONGEST_BODY {
            let problem = Problem::new(body.place, "this body is longer than an approver reads");
            self.problem(input, problem.label(format!("expected at most {} KiB", LONGEST_BODY / 1024)));
            return;
        }
        let hidden = |letter: char| glyph::hidden(letter) && !matches!(letter, '\n' | '\r' | '\t');
        if body.value.chars().any(hidden) {
            let problem = Problem::new(body.place, "this body holds characters that nobody sees");
            self.problem(input, problem.hint("an approver reads it: write visible text"));
            return;
        }
        if !self.only_params(input, body, of) {
            return;
        }
        let (Use::Step(scope), BodyKind::Json) = (of, BodyKind::of(&body.value, headers)) else { return };
        let pieces = template::parse(&body.value).unwrap_or_default();
        let mut filled = String::new();
        for piece in &pieces {
            filled.push_str(match piece {
                Piece::Text(text) => text,
                // Within quotes both are text; outside of them only a number is anything.
                Piece::Param(name) if scope.is_number(name) => "0",
                Piece::Param(_) => "x",
            });
        }
        if let Err(error) = serde_json::from_str::<serde_json::Value>(&filled) {
            let label = format!("once its parameters are filled in: {error}");
            let problem = Problem::new(body.place, "this body is to be JSON and is none").label(label);
            self.problem(input, problem.hint("put a parameter that is no number into quotes: `\"{{ name }}\"`"));
        }
    }

    fn expect(
        &mut self,
        input: &Input,
        written: Option<&At<raw::Expect>>,
        method: &str,
        of: Use<'_>,
    ) -> (Vec<u16>, Option<String>) {
        let expected = written.and_then(|written| written.value.status.as_ref());
        let mut status: Vec<u16> = Vec::new();
        for code in expected.iter().flat_map(|written| &written.value.0) {
            // A single code has the place of the whole.
            let place = match expected {
                Some(written) if code.place == Place::default() => written.place,
                _ => code.place,
            };
            match u16::try_from(code.value) {
                Ok(code) if status.contains(&code) => {
                    let problem = Problem::new(place, format!("{code} stands in this list twice"));
                    self.problem(input, problem.hint("keep one of the two"));
                }
                Ok(code) if (200..=599).contains(&code) => status.push(code),
                _ => {
                    let problem = Problem::new(place, format!("no answer ends with the status {}", code.value));
                    self.problem(input, problem.label("expected a number from 200 to 599"));
                }
            }
        }
        if let Some(written) = expected.filter(|written| written.value.0.is_empty()) {
            let problem = Problem::new(written.place, "`status` is empty: no answer would be good");
            self.problem(input, problem.hint("name a status, or leave the key out"));
        }
        if expected.is_none() {
            status = match method {
                "GET" | "HEAD" => vec![200],
                _ => vec![200, 201, 202, 204],
            };
        }
        let contains = written.and_then(|written| written.value.contains.as_ref()).map(|contains| {
            if method == "HEAD" {
                let problem = Problem::new(contains.place, "the answer to HEAD holds nothing to look at");
                self.problem(input, problem.hint("say `method: GET`"));
            }
            // Spaces at the ends count here, so the text is not trimmed.
            self.text(input, contains, LONGEST_CONTAINS);
            self.only_params(input, contains, of);
            contains.value.clone()
        });
        (status, contains)
    }
}

/// A header's name: what the protocol calls a token, and none that frames the request.
fn header_name(name: &str) -> Result<(), Wrong> {
    let token = |letter: u8| letter.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&letter);
    if name.is_empty() || name.len() > 100 || !name.bytes().all(token) {
        let message = format!("{} cannot be the name of a header", words::quoted(name));
        return wrong(message, "letters, digits and hyphens, such as `X-Reason`");
    }
    if NOT_OURS_TO_SET.contains(&name.to_ascii_lowercase().as_str()) {
        let message = format!("{} follows from the address and the body", words::quoted(name));
        return wrong(message, "leave it out: nothing else may say where a request goes or where it ends");
    }
    Ok(())
}

/// A header's value as written: one line of plain characters.
fn header_text(text: &str) -> Result<(), Wrong> {
    if text.is_empty() {
        return wrong("this header's value is empty", "leave the header out");
    }
    if let Some(letter) = text.chars().find(|letter| !matches!(letter, ' '..='~')) {
        let message = match letter.is_control() {
            true => "this header's value holds a line break or another control character".to_owned(),
            false => format!("a header's value cannot hold {}", words::quoted(&letter.to_string())),
        };
        return wrong(message, "write one line of plain letters, digits and signs");
    }
    if text.trim() != text {
        return wrong("this header's value begins or ends with a space", "a space there is lost on the way");
    }
    if text.len() > LONGEST_HEADER {
        return Err((format!("this header's value has {} characters; at most {LONGEST_HEADER}", text.len()), None));
    }
    Ok(())
}

/// An address: absolute, without credentials, its host and port as they are read, templates only after them.
fn url(text: &str) -> Result<(), Wrong> {
    const WHOLE: &str = "write it whole: `http://127.0.0.1:8080/health`";
    if text.len() > LONGEST_URL {
        return Err((format!("this address has {} characters; at most {LONGEST_URL}", text.len()), None));
    }
    if text.chars().any(glyph::hidden) {
        return wrong("this address holds line breaks or characters that nobody sees", WHOLE);
    }
    let Some(rest) = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")) else {
        let lower = text.to_ascii_lowercase();
        if template::is_template(text.split(['/', '?']).next().unwrap_or(text)) {
            return wrong("the scheme and the host of an address hold no template", PATH_ONLY);
        }
        let hint = match lower.starts_with("http://") || lower.starts_with("https://") {
            true => "write `http` and `https` in lower case",
            false => WHOLE,
        };
        return wrong(format!("{} is not an absolute http or https address", words::quoted(text)), hint);
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if template::is_template(authority) {
        return wrong("the host and the port of an address hold no template", PATH_ONLY);
    }
    if authority.contains('@') {
        let hint = "everybody reads the address: use a header, `headers: {Authorization: {secret: the-secret}}`";
        return wrong("an address holds no name and no password", hint);
    }
    host_and_port(authority, Port::Default)?;
    if path.contains('#') {
        return wrong("what follows `#` is never sent", "leave it out, or write `%23` if the sign is meant");
    }
    let pieces = match template::parse(path) {
        Ok(pieces) => pieces,
        Err(message) => return wrong(message, "write `{{ name }}` with the name of a parameter"),
    };
    for piece in &pieces {
        let Piece::Text(text) = piece else { continue };
        if let Some(letter) = foreign(text) {
            let message = format!("{} cannot stand in an address as it is", words::quoted(&letter));
            return wrong(message, "write it percent-encoded: `%20` is a space");
        }
    }
    let sample: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => *text,
            Piece::Param(_) => "x",
        })
        .collect();
    let climbs = |segment: &str| {
        let segment = segment.to_ascii_lowercase().replace("%2e", ".");
        segment == "." || segment == ".."
    };
    if sample.split('?').next().unwrap_or_default().split('/').any(climbs) {
        return wrong("an address is written without `.` and `..`", "write where it leads");
    }
    // The reader that will make the request has the last word.
    match reqwest::Url::parse(&format!("{}{sample}", &text[..text.len() - path.len()])) {
        Ok(_) => Ok(()),
        Err(error) => Err((format!("this is not an address: {error}"), Some(WHOLE))),
    }
}

const PATH_ONLY: &str = "where a request goes is fixed: a parameter may stand in the path and the query";

/// The first thing in a literal part of a path or query that must be percent-encoded.
fn foreign(text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if letter == '%' {
            let digits = rest.get(1..3).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
            if !digits {
                return Some("%".to_owned());
            }
        } else if !letter.is_ascii_alphanumeric() && !"-._~!$&'()*+,;=:@/?".contains(letter) {
            return Some(letter.to_string());
        }
        rest = &rest[letter.len_utf8()..];
    }
    None
}

/// Whether a port must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    /// It must.
    Needed,
    /// The scheme has one.
    Default,
}

/// `host` or `host:port`, in the one form in which everybody reads the same host.
fn host_and_port(text: &str, port: Port) -> Result<(), Wrong> {
    let not_one = |what: &str| format!("{} is not {what}", words::quoted(text));
    if text.contains('/') {
        return wrong(not_one("a host and a port"), "write both and nothing else: `10.0.0.7:5432`");
    }
    let (host, number) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, after)) if host.parse::<Ipv6Addr>().is_ok() => {
                (None, if after.is_empty() { None } else { Some(after.strip_prefix(':').unwrap_or("")) })
            }
            _ => return wrong(not_one("a host"), "an address of version 6 stands in brackets: `[::1]:8080`"),
        },
        None => match text.split_once(':') {
            Some((host, number)) => (Some(host), Some(number)),
            None => (Some(text), None),
        },
    };
    if let Some(host) = host {
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if host.is_empty() || host.len() > 253 || !host.split('.').all(label) {
            return wrong(
                not_one("a host"),
                "a name, an address such as `10.0.0.7`, or `[::1]`; then `:` and the port",
            );
        }
        // `2130706433`, `0x7f.1` and `010.0.0.1` are addresses for some readers and names for others.
        let last = host.rsplit('.').next().unwrap_or(host).to_ascii_lowercase();
        let numeric = last.bytes().all(|digit| digit.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if numeric && host.parse::<Ipv4Addr>().is_err() {
            return wrong(not_one("a host that everybody reads alike"), "write four numbers: `127.0.0.1`");
        }
    }
    match number {
        None if port == Port::Needed => wrong(not_one("a host and a port"), "write both: `10.0.0.7:5432`"),
        None => Ok(()),
        Some(number) => {
            let plain = !number.starts_with('0') && number.bytes().all(|digit| digit.is_ascii_digit());
            match plain && number.parse::<u16>().is_ok_and(|number| number > 0) {
                true => Ok(()),
                false => wrong(format!("{} is not a port", words::quoted(number)), "a number from 1 to 65535"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        assert!(NOT_OURS_TO_SET.is_sorted());
    }

    #[test]
    fn addresses_that_everybody_reads_alike_are_right() {
        for right in [
            "http://127.0.0.1:8081/health",
            "https://example.org",
            "http://localhost?x=1",
            "http://web_1.internal:65535/a/b-c._~!$&'()*+,;=:@%2F?q=/?",
            "http://[::1]:8080/",
            "http://[::1]/",
            "http://h/{{ a }}",
            "http://h/v{{ a }}.json?to={{ b }}&x={{ a }}",
            "http://h?{{ a }}",
            "https://1a.example/",
        ] {
            assert_eq!(url(right), Ok(()), "{right}");
        }
    }

    #[test]
    fn i9_nothing_but_the_path_and_the_query_holds_a_parameter() {
        for wrong in [
            "{{ a }}",
            "{{ a }}://h/",
            "http{{ a }}://h/",
            "http://{{ a }}",
            "http://{{ a }}/",
            "http://h{{ a }}/",
            "http://h.{{ a }}:80/",
            "http://h:{{ a }}/",
            "http://h:80{{ a }}",
            "http://{{ a }}@h/",
            "http://h{{ a }}",
            "http://h:8{{a}}?x",
            "http://h\\{{ a }}/",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn i9_addresses_that_mean_two_things_are_refused() {
        for wrong in [
            "",
            "h/health",
            "//h/",
            "/health",
            "ftp://h/",
            "file:///etc/passwd",
            "http:h",
            "http:///h",
            "http://",
            "http://:80/",
            "HTTP://h/",
            " http://h/",
            "http://h/ ",
            "http://h/a b",
            "http://h/\r\nX: y",
            "http://h/\u{202e}",
            "http://h/é",
            "http://hé/",
            "http://h/#top",
            "http://h#top",
            "http://h/%",
            "http://h/%zz",
            "http://h/%{{ a }}",
            "http://h/%2{{ a }}",
            "http://h/{a}",
            "http://h/{{ a",
            "http://h/{{ a.b }}",
            "http://h/{% a %}",
            "http://h/a\\b",
            "http://h\\@evil/",
            "http://me:pass@h/",
            "http://me@h/",
            "http://h@evil/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.1/",
            "http://127.1/",
            "http://010.0.0.1/",
            "http://1.2.3.4.5/",
            "http://h:0/",
            "http://h:65536/",
            "http://h:99999999999999999999/",
            "http://h:080/",
            "http://h:+80/",
            "http://h:/",
            "http://h:80:80/",
            "http://::1/",
            "http://[::1/",
            "http://[::1]x/",
            "http://[fe80::1%25eth0]/",
            "http://-h/",
            "http://h..x/",
            "http://h./",
            "http://h/../admin",
            "http://h/a/./b",
            "http://h/a/%2e%2E/b",
            "http://h/.%2e",
        ] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
        assert!(url(&format!("http://h/{}", "x".repeat(3_000))).is_err());
    }

    #[test]
    fn a_connection_names_a_host_and_a_port() {
        for right in ["127.0.0.1:5432", "db.internal:1", "[::1]:65535", "localhost:80"] {
            assert_eq!(host_and_port(right, Port::Needed), Ok(()), "{right}");
        }
        for wrong in [
            "",
            ":",
            "h",
            "h:",
            ":80",
            "h:x",
            "h:0",
            "h:70000",
            "h:80/",
            "http://h:80",
            "a b:80",
            "::1:80",
            "[::1]",
            "1:80",
        ] {
            assert!(host_and_port(wrong, Port::Needed).is_err(), "{wrong}");
        }
    }

    #[test]
    fn i9_no_header_holds_a_line_break_or_frames_the_request() {
        for right in ["Accept", "X-Reason", "x_y", "Content-Type", "User-Agent"] {
            assert_eq!(header_name(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            " ",
            "X Y",
            "X:",
            "X\r\nY",
            "X\n",
            "Ü",
            "{{ a }}",
            "Host",
            "HOST",
            "content-length",
            "Transfer-Encoding",
            "connection",
            "te",
        ] {
            assert!(header_name(wrong).is_err(), "{wrong}");
        }
        for right in ["x", "a b", "text/plain; q=0.5", "{{ a }}", "Bearer \"x\""] {
            assert_eq!(header_text(right), Ok(()), "{right}");
        }
        for wrong in ["", " x", "x ", "a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\tb", "é", "\u{202e}"] {
            assert!(header_text(wrong).is_err(), "{wrong}");
        }
    }
}

//! What people are told about wrong schedules, requests, connections, retries, triggers and brakes.
//!
//! Each case is a right catalog with the given files put in its place, as in `diagnostics.rs`.

mod diagnostics_base;
use diagnostics_base::told;

/// A system whose one service has the given checks.
fn system(checks: &str) -> String {
    format!(
        "system: shop\ntitle: The shop\nenvironment: production\nroom: ops\nmay_run: [group:support]\nservices:\n  web:\n    title: Web\n    checks:\n{checks}"
    )
}

/// A runbook with the given steps, under a policy if it changes something.
fn steps(approval: &str, steps: &str) -> String {
    format!(
        "runbook: start\ntitle: Start a service\nparams: {{service: {{type: service}}, note: {{type: text, max_length: 9, default: x}}, size: {{type: integer, min: 1, max: 3, default: 1}}}}\n{approval}steps:\n{steps}"
    )
}

const POLICY: &str = "approval: managers\n";

/// A system with a check that is asked by itself and one that is not.
const WATCHED: &str = r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web], every: 30s}
      deep: {command: [web-status, --deep, web]}
  cart:
    title: Cart
    checks:
      running: {command: [web-status, cart], every: 30s}
"#;

fn told_of_checks(checks: &str) -> String {
    told(&[("system.yaml", &system(checks))])
}

fn told_of_trigger(trigger: &str) -> String {
    told(&[("system.yaml", WATCHED), ("triggers.yaml", trigger)])
}

mod checks {
    use super::*;

    #[test]
    fn a_check_is_asked_in_one_way() {
        insta::assert_snapshot!(told_of_checks(r#"      none: {timeout: 5s}
      both: {command: [web-status, web], tcp: "127.0.0.1:80"}
      mixed: {tcp: "127.0.0.1:80", codes: nagios, env: [PROXY]}
"#), @r#"
    error: nothing says how this check is asked
      --> system.yaml:10:7
       |
    10 |       none: {timeout: 5s}
       |       ^^^^ expected exactly one of `command`, `http` and `tcp`

    error: a check is asked in one way, and this says several
      --> system.yaml:11:7
       |
    11 |       both: {command: [web-status, web], tcp: "127.0.0.1:80"}
       |       ^^^^ expected exactly one of `command`, `http` and `tcp`

    error: `codes` belongs to `command`, and this runs none
      --> system.yaml:12:43
       |
    12 |       mixed: {tcp: "127.0.0.1:80", codes: nagios, env: [PROXY]}
       |                                           ^^^^^^
       |
       = help: leave it out

    error: `env` belongs to `command`, and this runs none
      --> system.yaml:12:57
       |
    12 |       mixed: {tcp: "127.0.0.1:80", codes: nagios, env: [PROXY]}
       |                                                         ^^^^^
       |
       = help: leave it out

    4 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn schedules_that_cannot_be_kept() {
        insta::assert_snapshot!(told_of_checks(r#"      a: {command: [x], fails_after: 2}
      b: {command: [x], every: 0s}
      c: {command: [x], every: 2 days}
      d: {command: [x], every: 5s, timeout: 6s}
      e: {command: [x], every: 30s, fails_after: 0}
      f: {command: [x], every: 30s, fails_after: 18446744073709551615}
      g: {command: [x], every: often}
"#), @r#"
    error: `fails_after` counts scheduled results, and `every` is missing
      --> system.yaml:10:38
       |
    10 |       a: {command: [x], fails_after: 2}
       |                                      ^
       |
       = help: say how often the check is asked by itself: `every: 30s`

    error: 0s is not possible here
      --> system.yaml:11:32
       |
    11 |       b: {command: [x], every: 0s}
       |                                ^^ expected a duration from 1s to 1day

    error: 2 days is not possible here
      --> system.yaml:12:32
       |
    12 |       c: {command: [x], every: 2 days}
       |                                ^^^^^^ expected a duration from 1s to 1day

    error: the check is asked every 5s and may take 6s: it would still be asked when it is due again
      --> system.yaml:13:45
       |
    13 |       d: {command: [x], every: 5s, timeout: 6s}
       |                                             ^^
       |
       = help: make `timeout` at most as long as `every`

    error: 0 is not possible here
      --> system.yaml:14:50
       |
    14 |       e: {command: [x], every: 30s, fails_after: 0}
       |                                                  ^ expected a number from 1 to 20

    error: 18446744073709551615 is not possible here
      --> system.yaml:15:50
       |
    15 |       f: {command: [x], every: 30s, fails_after: 18446744073709551615}
       |                                                  ^^^^^^^^^^^^^^^^^^^^ expected a number from 1 to 20

    error: `often` is not a duration
      --> system.yaml:16:32
       |
    16 |       g: {command: [x], every: often}
       |                                ^^^^^ expected a duration from 1s to 1day
       |
       = help: write a number and a unit: `30s`, `5m`, `1h 30m`

    7 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_number_beyond_all_bounds() {
        insta::assert_snapshot!(told_of_checks(r#"      a: {command: [x], every: 30s, fails_after: 99999999999999999999999}
"#), @r#"
    error: this is not a number that can stand here
      --> system.yaml:10:50
       |
    10 |       a: {command: [x], every: 30s, fails_after: 99999999999999999999999}
       |                                                  ^^^^^^^^^^^^^^^^^^^^^^^ expected a whole number, not below 0

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_check_only_reads_and_is_fixed() {
        insta::assert_snapshot!(told_of_checks(r#"      a: {http: {url: "http://127.0.0.1/x", method: POST, body: hello}}
      b: {http: {url: "http://127.0.0.1/x", method: get}}
      c: {http: {url: "http://127.0.0.1/{{ service }}", headers: {X-Service: "{{ service }}"}}}
      d: {http: {method: HEAD, expect: {contains: ok}}}
      e: {tcp: "{{ service }}:80"}
"#), @r#"
    error: a check only reads: it cannot POST
      --> system.yaml:10:53
       |
    10 |       a: {http: {url: "http://127.0.0.1/x", method: POST, body: hello}}
       |                                                     ^^^^ expected `GET` or `HEAD`
       |
       = help: what changes something is a step of a runbook

    error: a check only reads: it sends no body
      --> system.yaml:10:65
       |
    10 |       a: {http: {url: "http://127.0.0.1/x", method: POST, body: hello}}
       |                                                                 ^^^^^
       |
       = help: leave it out, or say `method: POST` in a step if it changes something

    error: there is no method `get`
      --> system.yaml:11:53
       |
    11 |       b: {http: {url: "http://127.0.0.1/x", method: get}}
       |                                                     ^^^ expected `GET` or `HEAD`
       |
       = help: did you mean `GET`?

    error: a check is fixed: it holds no template
      --> system.yaml:12:23
       |
    12 |       c: {http: {url: "http://127.0.0.1/{{ service }}", headers: {X-Service: "{{ service }}"}}}
       |                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: a check belongs to one service: write the value out

    error: a check is fixed: it holds no template
      --> system.yaml:12:78
       |
    12 |       c: {http: {url: "http://127.0.0.1/{{ service }}", headers: {X-Service: "{{ service }}"}}}
       |                                                                              ^^^^^^^^^^^^^^^
       |
       = help: a check belongs to one service: write the value out

    error: `url` is missing here
      --> system.yaml:13:17
       |
    13 |       d: {http: {method: HEAD, expect: {contains: ok}}}
       |                 ^
       |
       = help: say what is asked: `url: "http://127.0.0.1:8080/health"`

    error: the answer to HEAD holds nothing to look at
      --> system.yaml:13:51
       |
    13 |       d: {http: {method: HEAD, expect: {contains: ok}}}
       |                                                   ^^
       |
       = help: say `method: GET`

    error: the address of a connection holds no template
      --> system.yaml:14:16
       |
    14 |       e: {tcp: "{{ service }}:80"}
       |                ^^^^^^^^^^^^^^^^^^
       |
       = help: write the host and the port out

    8 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn an_unknown_key_of_a_request() {
        insta::assert_snapshot!(told_of_checks(r#"      a: {http: {url: "http://127.0.0.1/x", header: {X-A: b}}}
"#), @r#"
    error: `header` is not a key that can stand here
      --> system.yaml:10:45
       |
    10 |       a: {http: {url: "http://127.0.0.1/x", header: {X-A: b}}}
       |                                             ^^^^^^ expected `method`, `url`, `headers`, `body` or `expect`
       |
       = help: did you mean `headers`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn answers_that_cannot_be() {
        insta::assert_snapshot!(told_of_checks(r#"      a: {http: {url: "http://127.0.0.1/x", expect: {status: 99}}}
      b: {http: {url: "http://127.0.0.1/x", expect: {status: [200, 200, 1000]}}}
      c: {http: {url: "http://127.0.0.1/x", expect: {status: []}}}
      d: {http: {url: "http://127.0.0.1/x", expect: {contains: ""}}}
"#), @r#"
    error: no answer ends with the status 99
      --> system.yaml:10:62
       |
    10 |       a: {http: {url: "http://127.0.0.1/x", expect: {status: 99}}}
       |                                                              ^^ expected a number from 200 to 599

    error: 200 stands in this list twice
      --> system.yaml:11:68
       |
    11 |       b: {http: {url: "http://127.0.0.1/x", expect: {status: [200, 200, 1000]}}}
       |                                                                    ^^^
       |
       = help: keep one of the two

    error: no answer ends with the status 1000
      --> system.yaml:11:73
       |
    11 |       b: {http: {url: "http://127.0.0.1/x", expect: {status: [200, 200, 1000]}}}
       |                                                                         ^^^^ expected a number from 200 to 599

    error: `status` is empty: no answer would be good
      --> system.yaml:12:62
       |
    12 |       c: {http: {url: "http://127.0.0.1/x", expect: {status: []}}}
       |                                                              ^
       |
       = help: name a status, or leave the key out

    error: this text is empty
      --> system.yaml:13:64
       |
    13 |       d: {http: {url: "http://127.0.0.1/x", expect: {contains: ""}}}
       |                                                                ^^

    5 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_status_that_is_no_number() {
        insta::assert_snapshot!(told_of_checks(r#"      a: {http: {url: "http://127.0.0.1/x", expect: {status: fine}}}
"#), @r#"
    error: this has the wrong shape
      --> system.yaml:10:54
       |
    10 |       a: {http: {url: "http://127.0.0.1/x", expect: {status: fine}}}
       |                                                      ^^^^^^ expected a status code such as 200, or a list of them

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn addresses_that_lead_nowhere_or_anywhere() {
        insta::assert_snapshot!(told_of_checks(r#"      a: {http: {url: "127.0.0.1/x"}}
      b: {http: {url: "HTTP://127.0.0.1/x"}}
      c: {http: {url: "http://me:pass@web/x"}}
      d: {http: {url: "http://web/x#top"}}
      e: {http: {url: "http://web/a b"}}
      f: {http: {url: "http://web/x\r\nX: y"}}
      g: {http: {url: "http://2130706433/"}}
      h: {http: {url: "http://web:0/"}}
      i: {http: {url: "http://web/a/../b"}}
      j: {http: {url: "http://::1/"}}
      k: {http: {url: "http://we_b!/"}}
      l: {tcp: "web"}
      m: {tcp: "http://web:80"}
"#), @r#"
    error: `127.0.0.1/x` is not an absolute http or https address
      --> system.yaml:10:23
       |
    10 |       a: {http: {url: "127.0.0.1/x"}}
       |                       ^^^^^^^^^^^^^
       |
       = help: write it whole: `http://127.0.0.1:8080/health`

    error: `HTTP://127.0.0.1/x` is not an absolute http or https address
      --> system.yaml:11:23
       |
    11 |       b: {http: {url: "HTTP://127.0.0.1/x"}}
       |                       ^^^^^^^^^^^^^^^^^^^^
       |
       = help: write `http` and `https` in lower case

    error: an address holds no name and no password
      --> system.yaml:12:23
       |
    12 |       c: {http: {url: "http://me:pass@web/x"}}
       |                       ^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: everybody reads the address: use a header, `headers: {Authorization: {secret: the-secret}}`

    error: what follows `#` is never sent
      --> system.yaml:13:23
       |
    13 |       d: {http: {url: "http://web/x#top"}}
       |                       ^^^^^^^^^^^^^^^^^^
       |
       = help: leave it out, or write `%23` if the sign is meant

    error: ` ` cannot stand in an address as it is
      --> system.yaml:14:23
       |
    14 |       e: {http: {url: "http://web/a b"}}
       |                       ^^^^^^^^^^^^^^^^
       |
       = help: write it percent-encoded: `%20` is a space

    error: this address holds line breaks or characters that nobody sees
      --> system.yaml:15:23
       |
    15 |       f: {http: {url: "http://web/x\r\nX: y"}}
       |                       ^^^^^^^^^^^^^^^^^^^^^^
       |
       = help: write it whole: `http://127.0.0.1:8080/health`

    error: `2130706433` is not a host that everybody reads alike
      --> system.yaml:16:23
       |
    16 |       g: {http: {url: "http://2130706433/"}}
       |                       ^^^^^^^^^^^^^^^^^^^^
       |
       = help: write four numbers: `127.0.0.1`

    error: `0` is not a port
      --> system.yaml:17:23
       |
    17 |       h: {http: {url: "http://web:0/"}}
       |                       ^^^^^^^^^^^^^^^
       |
       = help: a number from 1 to 65535

    error: an address is written without `.` and `..`
      --> system.yaml:18:23
       |
    18 |       i: {http: {url: "http://web/a/../b"}}
       |                       ^^^^^^^^^^^^^^^^^^^
       |
       = help: write where it leads

    error: `::1` is not a host
      --> system.yaml:19:23
       |
    19 |       j: {http: {url: "http://::1/"}}
       |                       ^^^^^^^^^^^^^
       |
       = help: a name, an address such as `10.0.0.7`, or `[::1]`; then `:` and the port

    error: `we_b!` is not a host
      --> system.yaml:20:23
       |
    20 |       k: {http: {url: "http://we_b!/"}}
       |                       ^^^^^^^^^^^^^^^
       |
       = help: a name, an address such as `10.0.0.7`, or `[::1]`; then `:` and the port

    error: `web` is not a host and a port
      --> system.yaml:21:16
       |
    21 |       l: {tcp: "web"}
       |                ^^^^^
       |
       = help: write both: `10.0.0.7:5432`

    error: `http://web:80` is not a host and a port
      --> system.yaml:22:16
       |
    22 |       m: {tcp: "http://web:80"}
       |                ^^^^^^^^^^^^^^^
       |
       = help: write both and nothing else: `10.0.0.7:5432`

    13 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn i9_headers_that_would_be_two() {
        insta::assert_snapshot!(told_of_checks(r#"      a:
        http:
          url: "http://web/x"
          headers:
            "X A": b
            X-B: "b\r\nX-C: d"
            X-D: "é"
            X-E: " e"
            X-F: ""
            Host: elsewhere
            content-length: "5"
            X-G: g
            x-g: h
            Authorization: Bearer abcdef
            X-H: {secret: none}
            X-I: {secrets: none}
"#), @r#"
    error: `X A` cannot be the name of a header
      --> system.yaml:14:13
       |
    14 |             "X A": b
       |             ^^^^^
       |
       = help: letters, digits and hyphens, such as `X-Reason`

    error: this header's value holds a line break or another control character
      --> system.yaml:15:18
       |
    15 |             X-B: "b\r\nX-C: d"
       |                  ^^^^^^^^^^^^^
       |
       = help: write one line of plain letters, digits and signs

    error: a header's value cannot hold `é`
      --> system.yaml:16:18
       |
    16 |             X-D: "é"
       |                  ^^^
       |
       = help: write one line of plain letters, digits and signs

    error: this header's value begins or ends with a space
      --> system.yaml:17:18
       |
    17 |             X-E: " e"
       |                  ^^^^
       |
       = help: a space there is lost on the way

    error: this header's value is empty
      --> system.yaml:18:18
       |
    18 |             X-F: ""
       |                  ^^
       |
       = help: leave the header out

    error: `Host` follows from the address and the body
      --> system.yaml:19:13
       |
    19 |             Host: elsewhere
       |             ^^^^
       |
       = help: leave it out: nothing else may say where a request goes or where it ends

    error: `content-length` follows from the address and the body
      --> system.yaml:20:13
       |
    20 |             content-length: "5"
       |             ^^^^^^^^^^^^^^
       |
       = help: leave it out: nothing else may say where a request goes or where it ends

    error: `x-g` is set twice
      --> system.yaml:22:13
       |
    22 |             x-g: h
       |             ^^^
       |
       = help: case makes no difference in a header's name: keep one of the two

    error: `Authorization` would stand in the plan for everybody to read
      --> system.yaml:23:28
       |
    23 |             Authorization: Bearer abcdef
       |                            ^^^^^^^^^^^^^
       |
       = help: keep its value outside the catalog: `Authorization: {secret: the-secret}`

    error: there is no secret `none`
      --> system.yaml:24:27
       |
    24 |             X-H: {secret: none}
       |                           ^^^^ the catalog declares no secret at all

    error: `secrets` is not a key that can stand here
      --> system.yaml:25:19
       |
    25 |             X-I: {secrets: none}
       |                   ^^^^^^^ expected `secret`
       |
       = help: did you mean `secret`?

    11 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_header_that_is_no_text() {
        insta::assert_snapshot!(told_of_checks(r#"      a: {http: {url: "http://web/x", headers: {X-A: [b]}}}
"#), @r#"
    error: this has the wrong shape
      --> system.yaml:10:49
       |
    10 |       a: {http: {url: "http://web/x", headers: {X-A: [b]}}}
       |                                                 ^^^ expected a text in quotes, or {secret: the-secret}

    1 problem in 1 file; the catalog is not loaded
    "#);
    }
}

mod steps_of_a_runbook {
    use super::*;

    #[test]
    fn i9_where_a_request_goes_is_fixed() {
        insta::assert_snapshot!(told(&[("start.yaml", &steps("", r#"  - {name: A, http: {url: "http://{{ service }}/x"}}
  - {name: B, http: {url: "http://web:{{ size }}/x"}}
  - {name: C, http: {url: "{{ note }}"}}
  - {name: D, http: {url: "http://web/{{ servce }}"}}
  - {name: E, http: {url: "http://web/{{ service.name }}"}}
  - {name: F, http: {url: "http://web/x", headers: {"X-{{ note }}": b}}}
  - {name: G, tcp: "web:{{ size }}"}
"#))]), @r#"
    error: the host and the port of an address hold no template
     --> start.yaml:5:27
      |
    5 |   - {name: A, http: {url: "http://{{ service }}/x"}}
      |                           ^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: where a request goes is fixed: a parameter may stand in the path and the query

    error: the host and the port of an address hold no template
     --> start.yaml:6:27
      |
    6 |   - {name: B, http: {url: "http://web:{{ size }}/x"}}
      |                           ^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: where a request goes is fixed: a parameter may stand in the path and the query

    error: the scheme and the host of an address hold no template
     --> start.yaml:7:27
      |
    7 |   - {name: C, http: {url: "{{ note }}"}}
      |                           ^^^^^^^^^^^^
      |
      = help: where a request goes is fixed: a parameter may stand in the path and the query

    error: there is no parameter `servce`
     --> start.yaml:8:27
      |
    8 |   - {name: D, http: {url: "http://web/{{ servce }}"}}
      |                           ^^^^^^^^^^^^^^^^^^^^^^^^^ expected `service`, `note` or `size`
      |
      = help: did you mean `service`?

    error: only a parameter's name may stand within `{{ }}`
     --> start.yaml:9:27
      |
    9 |   - {name: E, http: {url: "http://web/{{ service.name }}"}}
      |                           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `{{ name }}` with the name of a parameter

    error: `X-{{ note }}` cannot be the name of a header
      --> start.yaml:10:53
       |
    10 |   - {name: F, http: {url: "http://web/x", headers: {"X-{{ note }}": b}}}
       |                                                     ^^^^^^^^^^^^^^
       |
       = help: letters, digits and hyphens, such as `X-Reason`

    error: the address of a connection holds no template
      --> start.yaml:11:20
       |
    11 |   - {name: G, tcp: "web:{{ size }}"}
       |                    ^^^^^^^^^^^^^^^^
       |
       = help: write the host and the port out

    7 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn bodies_that_cannot_be_filled() {
        insta::assert_snapshot!(told(&[("start.yaml", &steps(POLICY, r#"  - {name: A, http: {url: "http://web/x", body: hello}}
  - {name: B, http: {method: POST, url: "http://web/x", body: '{"why": {{ note }}, "size": {{ size }}}'}}
  - {name: C, http: {method: POST, url: "http://web/x", body: "{{ nobody }}"}}
  - {name: D, http: {method: POST, url: "http://web/x", body: "a\u202eb"}}
  - {name: E, http: {method: POST, url: "http://web/x", headers: {Content-Type: "{{ note }}"}, body: "x"}}
  - {name: F, http: {method: FETCH, url: "http://web/x"}}
"#))]), @r#"
    error: a request that only reads sends no body
     --> start.yaml:6:49
      |
    6 |   - {name: A, http: {url: "http://web/x", body: hello}}
      |                                                 ^^^^^
      |
      = help: leave it out, or say `method: POST` in a step if it changes something

    error: this body is to be JSON and is none
     --> start.yaml:7:63
      |
    7 |   - {name: B, http: {method: POST, url: "http://web/x", body: '{"why": {{ note }}, "size": {{ size }}}'}}
      |                                                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ once its parameters are filled in: expected value at line 1 column 9
      |
      = help: put a parameter that is no number into quotes: `"{{ name }}"`

    error: there is no parameter `nobody`
     --> start.yaml:8:63
      |
    8 |   - {name: C, http: {method: POST, url: "http://web/x", body: "{{ nobody }}"}}
      |                                                               ^^^^^^^^^^^^^^ expected `service`, `note` or `size`

    error: this body holds characters that nobody sees
     --> start.yaml:9:63
      |
    9 |   - {name: D, http: {method: POST, url: "http://web/x", body: "a\u202eb"}}
      |                                                               ^^^^^^^^^^
      |
      = help: an approver reads it: write visible text

    error: the kind of the body is fixed: it holds no template
      --> start.yaml:10:81
       |
    10 |   - {name: E, http: {method: POST, url: "http://web/x", headers: {Content-Type: "{{ note }}"}, body: "x"}}
       |                                                                                 ^^^^^^^^^^^^
       |
       = help: it decides how values are put into the body

    error: there is no method `FETCH`
      --> start.yaml:11:30
       |
    11 |   - {name: F, http: {method: FETCH, url: "http://web/x"}}
       |                              ^^^^^ expected `GET`, `HEAD`, `POST`, `PUT`, `PATCH` or `DELETE`

    6 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn keys_that_would_do_nothing() {
        insta::assert_snapshot!(told(&[("start.yaml", &steps("", r#"  - {name: A, wait: 30s, timeout: 40s, retry: {times: 2}, idempotent: true}
  - {name: B, http: {url: "http://web/x"}, read_only: true}
  - {name: C, tcp: "web:80", until: {passes_within: 2s, every: 1s}}
  - {name: D, check: web, until: {passes_within: 9s, every: 1s}, retry: {times: 2}}
  - {name: E, wait: 3 days}
  - {name: F, wait: 1s, tcp: "web:80", http: {url: "http://web/x"}}
"#))]), @r#"
    error: `timeout` does nothing here: this step waits
     --> start.yaml:5:35
      |
    5 |   - {name: A, wait: 30s, timeout: 40s, retry: {times: 2}, idempotent: true}
      |                                   ^^^
      |
      = help: leave it out: the step ends when the time is over

    error: `retry` does nothing here: this step waits
     --> start.yaml:5:47
      |
    5 |   - {name: A, wait: 30s, timeout: 40s, retry: {times: 2}, idempotent: true}
      |                                               ^
      |
      = help: waiting cannot fail: give `retry` to the step that can

    error: `idempotent` does nothing here: this step waits
     --> start.yaml:5:71
      |
    5 |   - {name: A, wait: 30s, timeout: 40s, retry: {times: 2}, idempotent: true}
      |                                                                       ^^^^
      |
      = help: leave it out

    error: `read_only` does nothing here: this step makes a request that only reads
     --> start.yaml:6:55
      |
    6 |   - {name: B, http: {url: "http://web/x"}, read_only: true}
      |                                                       ^^^^
      |
      = help: leave it out

    error: `until` belongs to `check`, and this step opens a connection, which only reads
     --> start.yaml:7:37
      |
    7 |   - {name: C, tcp: "web:80", until: {passes_within: 2s, every: 1s}}
      |                                     ^
      |
      = help: add a step with `check` after it

    error: `until` keeps asking already: `retry` would ask in two ways
     --> start.yaml:8:73
      |
    8 |   - {name: D, check: web, until: {passes_within: 9s, every: 1s}, retry: {times: 2}}
      |                                                                         ^
      |
      = help: keep one of the two: `until` for a check that takes time

    error: 3 days is not possible here
     --> start.yaml:9:21
      |
    9 |   - {name: E, wait: 3 days}
      |                     ^^^^^^ expected a duration from 1ms to 1day

    error: a step does one thing, and this one does 3
      --> start.yaml:10:12
       |
    10 |   - {name: F, wait: 1s, tcp: "web:80", http: {url: "http://web/x"}}
       |            ^ expected exactly one of `run`, `check`, `http`, `tcp` and `wait`

    8 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn retries_out_of_bounds() {
        insta::assert_snapshot!(told(&[("start.yaml", &steps("", r#"  - {name: A, tcp: "web:80", retry: {wait: 2s}}
  - {name: B, tcp: "web:80", retry: {times: 0}}
  - {name: C, tcp: "web:80", retry: {times: 1000000}}
  - {name: D, tcp: "web:80", retry: {times: 2, wait: 10s, at_most: 5s}}
  - {name: E, tcp: "web:80", retry: {times: 2, wait: 0s}}
"#))]), @r#"
    error: `times` is missing here
     --> start.yaml:5:37
      |
    5 |   - {name: A, tcp: "web:80", retry: {wait: 2s}}
      |                                     ^
      |
      = help: say how often beyond the first try: `retry: {times: 3, wait: 2s, at_most: 30s}`

    error: 0 is not possible here
     --> start.yaml:6:45
      |
    6 |   - {name: B, tcp: "web:80", retry: {times: 0}}
      |                                             ^ expected a number from 1 to 20

    error: 1000000 is not possible here
     --> start.yaml:7:45
      |
    7 |   - {name: C, tcp: "web:80", retry: {times: 1000000}}
      |                                             ^^^^^^^ expected a number from 1 to 20

    error: the first pause is 10s already, and none may be longer than 5s
     --> start.yaml:8:68
      |
    8 |   - {name: D, tcp: "web:80", retry: {times: 2, wait: 10s, at_most: 5s}}
      |                                                                    ^^
      |
      = help: pauses double from try to try: make `at_most` at least `wait`

    error: 0s is not possible here
     --> start.yaml:9:54
      |
    9 |   - {name: E, tcp: "web:80", retry: {times: 2, wait: 0s}}
      |                                                      ^^ expected a duration from 1ms to 1h

    5 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_grant_that_ends_before_the_last_try() {
        insta::assert_snapshot!(told(&[("start.yaml", &steps(POLICY, r#"  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
    timeout: 10m
    retry: {times: 5, wait: 1m, at_most: 5m}
"#))]), @r#"
    error: this runbook may take 1h 17m in all, but a grant of policy `managers` lasts 1h
     --> start.yaml:4:11
      |
    4 | approval: managers
      |           ^^^^^^^^
      |
      = note: the policy is at policy.yaml:1
      = help: shorten the steps' timeouts and retries, or give the policy a longer `valid_for`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }
}

mod triggers {
    use super::*;

    #[test]
    fn missing_keys_all_at_once() {
        insta::assert_snapshot!(told_of_trigger("trigger: web-down\n"), @r#"
    error: `owner` is missing here
     --> triggers.yaml:1:10
      |
    1 | trigger: web-down
      |          ^^^^^^^^
      |
      = help: say who answers for it: `owner: mei`

    error: `on` is missing here
     --> triggers.yaml:1:10
      |
    1 | trigger: web-down
      |          ^^^^^^^^
      |
      = help: say to which checks it listens: `on: {check: "system/*/running", becomes: critical}`

    error: `run` is missing here
     --> triggers.yaml:1:10
      |
    1 | trigger: web-down
      |          ^^^^^^^^
      |
      = help: say which runbook it asks for: `run: start-service`

    error: `mode` is missing here
     --> triggers.yaml:1:10
      |
    1 | trigger: web-down
      |          ^^^^^^^^
      |
      = help: say what it does: `mode: shadow` (only says what it would do), `ask` or `auto`

    4 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn an_unknown_key_with_the_nearest() {
        insta::assert_snapshot!(told_of_trigger(r#"trigger: web-down
owner: mei
on: {check: "shop/*/running", becomes: critical}
runs: start
mode: ask
"#), @r#"
    error: `runs` is not a key that can stand here
     --> triggers.yaml:4:1
      |
    4 | runs: start
      | ^^^^ expected `trigger`, `owner`, `on`, `run`, `with`, `mode` or `brakes`
      |
      = help: did you mean `run`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn i12_unknown_triggers_nothing() {
        insta::assert_snapshot!(told_of_trigger(r#"trigger: web-down
owner: mei
on: {check: "shop/*/running", becomes: unknown}
run: start
with: {service: "{{ service }}"}
mode: ask
"#), @r#"
    error: a check that is unknown triggers nothing
     --> triggers.yaml:3:40
      |
    3 | on: {check: "shop/*/running", becomes: unknown}
      |                                        ^^^^^^^ expected `warning` or `critical`
      |
      = help: unknown means that the check could not be asked: that says nothing about the service

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn what_no_check_becomes() {
        let of = |becomes: &str| {
            told_of_trigger(&format!(
                "trigger: web-down\nowner: mei\non: {{check: shop/web/running, becomes: {becomes}}}\nrun: start\nwith: {{service: web}}\nmode: ask\n"
            ))
        };
        insta::assert_snapshot!([of("ok"), of("criticl"), of("warning")].join("\n\n"), @r#"
    error: a trigger starts from a failure, and `ok` is none
     --> triggers.yaml:3:40
      |
    3 | on: {check: shop/web/running, becomes: ok}
      |                                        ^^ expected `warning` or `critical`

    1 problem in 1 file; the catalog is not loaded

    error: no check becomes `criticl`
     --> triggers.yaml:3:40
      |
    3 | on: {check: shop/web/running, becomes: criticl}
      |                                        ^^^^^^^ expected `warning` or `critical`
      |
      = help: did you mean `critical`?

    1 problem in 1 file; the catalog is not loaded

    error: this would never fire: no such check ever becomes `warning`
     --> triggers.yaml:3:40
      |
    3 | on: {check: shop/web/running, becomes: warning}
      |                                        ^^^^^^^
      |
      = help: only a command with `codes: nagios` can be `warning`; write `becomes: critical`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn checks_that_are_not_there() {
        let of = |check: &str| {
            let told = told_of_trigger(&format!(
                "trigger: web-down\nowner: mei\non: {{check: \"{check}\", becomes: critical}}\nrun: start\nwith: {{service: web}}\nmode: ask\n"
            ));
            told.replace("\n\n1 problem in 1 file; the catalog is not loaded", "")
        };
        let wrong =
            ["web/running", "*/web/running", "shp/*/running", "shop/wbe/running", "shop/web/runing", "shop/*/answers"];
        insta::assert_snapshot!(wrong.map(of).join("\n\n"), @r#"
    error: `web/running` names no check
     --> triggers.yaml:3:13
      |
    3 | on: {check: "web/running", becomes: critical}
      |             ^^^^^^^^^^^^^ expected system/service/check
      |
      = help: a star stands for any service or check: `"system-a/*/running"`

    error: a trigger belongs to one system: the system is written out
     --> triggers.yaml:3:13
      |
    3 | on: {check: "*/web/running", becomes: critical}
      |             ^^^^^^^^^^^^^^^
      |
      = help: write a trigger for each system

    error: there is no system `shp`
     --> triggers.yaml:3:13
      |
    3 | on: {check: "shp/*/running", becomes: critical}
      |             ^^^^^^^^^^^^^^^ expected `shop`
      |
      = help: did you mean `shop`?

    error: system `shop` has no service `wbe`
     --> triggers.yaml:3:13
      |
    3 | on: {check: "shop/wbe/running", becomes: critical}
      |             ^^^^^^^^^^^^^^^^^^ expected `cart` or `web`
      |
      = help: did you mean `web`?

    error: service `web` has no check `runing`
     --> triggers.yaml:3:13
      |
    3 | on: {check: "shop/web/runing", becomes: critical}
      |             ^^^^^^^^^^^^^^^^^ expected `deep` or `running`
      |
      = help: did you mean `running`?

    error: no service of `shop` has a check `answers`
     --> triggers.yaml:3:13
      |
    3 | on: {check: "shop/*/answers", becomes: critical}
      |             ^^^^^^^^^^^^^^^^ expected `deep` or `running`
    "#);
    }

    #[test]
    fn a_check_that_nobody_asks() {
        insta::assert_snapshot!(told_of_trigger(r#"trigger: web-down
owner: mei
on: {check: "shop/web/*", becomes: critical}
run: start
with: {service: "{{ service }}"}
mode: ask
"#), @r#"
    error: this would never fire for `shop/web/deep`: the check is asked only when somebody asks
     --> triggers.yaml:3:13
      |
    3 | on: {check: "shop/web/*", becomes: critical}
      |             ^^^^^^^^^^^^
      |
      = note: the service is at system.yaml:7
      = help: give check `deep` of `web` an `every`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn names_of_nothing() {
        insta::assert_snapshot!(told_of_trigger(r#"trigger: Web-Down
owner: me
on: {check: "shop/*/running", becomes: critical}
run: strat
mode: aks
"#), @r#"
    error: `Web-Down` cannot be a trigger's name
     --> triggers.yaml:1:10
      |
    1 | trigger: Web-Down
      |          ^^^^^^^^ lower-case letters, digits and hyphens, a letter first, at most 40

    error: there is no person `me`
     --> triggers.yaml:2:8
      |
    2 | owner: me
      |        ^^ expected `boss` or `mei`
      |
      = help: did you mean `mei`?

    error: there is no runbook `strat`
     --> triggers.yaml:4:6
      |
    4 | run: strat
      |      ^^^^^ expected `start`
      |
      = help: did you mean `start`?

    error: there is no mode `aks`
     --> triggers.yaml:5:7
      |
    5 | mode: aks
      |       ^^^ expected `shadow`, `ask` or `auto`
      |
      = help: did you mean `ask`?

    4 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn parameters_that_the_runbook_refuses() {
        let of = |with: &str| {
            let told = told_of_trigger(&format!(
                "trigger: web-down\nowner: mei\non: {{check: \"shop/*/running\", becomes: critical}}\nrun: start\nwith: {{{with}}}\nmode: ask\n"
            ));
            told.replace("\n\n1 problem in 1 file; the catalog is not loaded", "")
        };
        let wrong = [
            "servce: web",
            "service: \"{{ name }}\"",
            "service: \"{{ service | upper }}\"",
            "service: \"{{ check }}\"",
            "service: \"-x\"",
        ];
        insta::assert_snapshot!(wrong.map(of).join("\n\n"), @r#"
    error: start needs `service`, which this trigger does not give
     --> triggers.yaml:4:6
      |
    4 | run: start
      |      ^^^^^
      |
      = help: write `with: {service: "{{ service }}"}`

    error: start has no parameter `servce`
     --> triggers.yaml:5:8
      |
    5 | with: {servce: web}
      |        ^^^^^^ expected `service`
      |
      = help: did you mean `service`?

    2 problems in 1 file; the catalog is not loaded

    error: a trigger cannot fill in `name`
     --> triggers.yaml:5:17
      |
    5 | with: {service: "{{ name }}"}
      |                 ^^^^^^^^^^^^ expected `system`, `service` or `check`

    error: only a parameter's name may stand within `{{ }}`
     --> triggers.yaml:5:17
      |
    5 | with: {service: "{{ service | upper }}"}
      |                 ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `{{ system }}`, `{{ service }}` or `{{ check }}`

    error: `running` is not accepted by this parameter
     --> triggers.yaml:5:17
      |
    5 | with: {service: "{{ check }}"}
      |                 ^^^^^^^^^^^^^ expected `cart` or `web`
      |
      = help: this is what it comes to when `shop/cart/running` fails

    error: `-x` begins with `-`, which is refused
     --> triggers.yaml:5:17
      |
    5 | with: {service: "-x"}
      |                 ^^^^
      |
      = help: a program would read it as an option
    "#);
    }

    #[test]
    fn a_plan_about_two_systems() {
        let depot = "system: depot\ntitle: The depot\nenvironment: production\nroom: ops\nservices: {belt: {title: Belt, checks: {running: {tcp: '10.0.0.7:80', every: 30s}}}}\n";
        insta::assert_snapshot!(told(&[
            ("system.yaml", WATCHED),
            ("depot.yaml", depot),
            ("move.yaml", "runbook: move\ntitle: Move\nparams: {from: {type: service}, to: {type: service}}\nsteps: [{name: Look, check: \"{{ from }}\"}]\n"),
            ("trigger.yaml", r#"trigger: web-down
owner: mei
on: {check: "shop/*/running", becomes: critical}
run: move
with: {from: "{{ service }}", to: belt}
mode: ask
"#)]), @r#"
    error: this would be about depot and shop, and a plan works on one system
     --> trigger.yaml:4:6
      |
    4 | run: move
      |      ^^^^
      |
      = help: give the parameters services of one system

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn i12_no_brake_can_be_switched_off() {
        insta::assert_snapshot!(told_of_trigger(r#"trigger: web-down
owner: mei
on: {check: "shop/*/running", becomes: critical}
run: start
with: {service: "{{ service }}"}
mode: ask
brakes:
  cooldown: 0s
  at_most: {runs: 1000, per: 1s}
  flapping: {changes: 0}
"#), @r#"
    error: 0s is not possible here
     --> triggers.yaml:8:13
      |
    8 |   cooldown: 0s
      |             ^^ expected a duration from 1s to 7days

    error: 1000 is not possible here
     --> triggers.yaml:9:19
      |
    9 |   at_most: {runs: 1000, per: 1s}
      |                   ^^^^ expected a number from 1 to 20

    error: 1s is not possible here
     --> triggers.yaml:9:30
      |
    9 |   at_most: {runs: 1000, per: 1s}
      |                              ^^ expected a duration from 1m to 7days

    error: `per` is missing here
      --> triggers.yaml:10:13
       |
    10 |   flapping: {changes: 0}
       |             ^
       |
       = help: say how many in how long: `flapping: {changes: 4, per: 10m}`

    error: 0 is not possible here
      --> triggers.yaml:10:23
       |
    10 |   flapping: {changes: 0}
       |                       ^ expected a number from 2 to 100

    5 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_brake_that_is_said_to_be_off() {
        insta::assert_snapshot!(told_of_trigger(r#"trigger: web-down
owner: mei
on: {check: "shop/*/running", becomes: critical}
run: start
with: {service: "{{ service }}"}
mode: ask
brakes: {flapping: off}
"#), @r#"
    error: this has the wrong shape
     --> triggers.yaml:7:20
      |
    7 | brakes: {flapping: off}
      |                    ^^^ expected a mapping (`key: value`)

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn i7_an_owner_who_is_the_only_approver() {
        let system = WATCHED.replace("group:support", "group:support, person:boss");
        let trigger = r#"trigger: web-down
owner: boss
on: {check: "shop/*/running", becomes: critical}
run: start
with: {service: "{{ service }}"}
mode: ask
"#;
        insta::assert_snapshot!(told(&[("system.yaml", &system), ("triggers.yaml", trigger)]), @r#"
    error: nobody could agree: `boss` counts as having asked, and policy `managers` has too few other approvers
     --> triggers.yaml:2:8
      |
    2 | owner: boss
      |        ^^^^
      |
      = note: the policy is at policy.yaml:1
      = help: name another owner, or more approvers in the policy

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    /// A catalog with a person of no group, in whose name a trigger acts.
    fn owned_by_out(mode: &str, run: &str) -> Vec<(&'static str, String)> {
        let people = "people:\n  mei: {accounts: [\"local:trial:mei\"]}\n  boss: {accounts: [\"local:trial:boss\"]}\n  out: {accounts: [\"local:trial:out\"]}\ngroups:\n  support: [mei]\n  managers: [boss]\n";
        let policy = "policy: managers\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\n";
        let automatic = if mode == "auto" && run == "start" {
            "automatic: [{trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}]\n"
        } else {
            ""
        };
        let look = "runbook: look\ntitle: Look\nparams: {service: {type: service}}\nsteps: [{name: Look, check: \"{{ service }}\"}]\n";
        let trigger = format!(
            "trigger: web-down\nowner: out\non: {{check: \"shop/*/running\", becomes: critical}}\nrun: {run}\nwith: {{service: \"{{{{ service }}}}\"}}\nmode: {mode}\n"
        );
        vec![
            ("people.yaml", people.to_owned()),
            ("policy.yaml", format!("{policy}{automatic}")),
            ("system.yaml", WATCHED.to_owned()),
            ("look.yaml", look.to_owned()),
            ("triggers.yaml", trigger),
        ]
    }

    #[test]
    fn i7_an_owner_without_the_right_to_ask_by_hand() {
        let told_of = |mode, run| {
            let files = owned_by_out(mode, run);
            let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
            told(&files)
        };
        insta::assert_snapshot!(told_of("auto", "start"), @r#"
    error: `out` may not run anything on system `shop`, and this trigger acts for them
     --> triggers.yaml:2:8
      |
    2 | owner: out
      |        ^^^
      |
      = note: the system is at system.yaml:1
      = help: name `mei` as the owner, or let `may_run` in system.yaml include `out`

    1 problem in 1 file; the catalog is not loaded
    "#);
        insta::assert_snapshot!(told_of("ask", "look"), @r#"
    error: `out` may not look at system `shop`, and this trigger acts for them
     --> triggers.yaml:2:8
      |
    2 | owner: out
      |        ^^^
      |
      = note: the system is at system.yaml:1
      = help: let `may_see` in system.yaml include `out`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_shadow_may_belong_to_anybody_for_it_starts_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let files = owned_by_out("shadow", "start");
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
        diagnostics_base::write(folder.path(), &files);
        countersign::runbook::load(folder.path()).expect("right");
    }

    #[test]
    fn a_trigger_that_may_not_start_by_itself() {
        insta::assert_snapshot!(told_of_trigger(r#"trigger: web-down
owner: mei
on: {check: "shop/*/running", becomes: critical}
run: start
with: {service: "{{ service }}"}
mode: auto
"#), @r#"
    error: policy `managers` does not let this trigger start `start` by itself
     --> triggers.yaml:6:7
      |
    6 | mode: auto
      |       ^^^^
      |
      = note: the policy is at policy.yaml:1
      = help: write `automatic: [{trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}]` into policy.yaml, or say `mode: ask` here

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn policies_that_name_the_wrong_triggers() {
        let trigger = |name: &str, run: &str| {
            format!(
                "trigger: {name}\nowner: mei\non: {{check: \"shop/*/running\", becomes: critical}}\nrun: {run}\nwith: {{service: \"{{{{ service }}}}\"}}\nmode: ask\n"
            )
        };
        insta::assert_snapshot!(told(&[
            ("system.yaml", WATCHED),
            ("look.yaml", "runbook: look\ntitle: Look\nparams: {service: {type: service}}\nsteps: [{name: Look, check: \"{{ service }}\"}]\n"),
            ("other.yaml", "policy: other\ntitle: Other\nstages: [{approvers: [group:managers], quorum: 1}]\nautomatic: []\n"),
            ("third.yaml", "policy: third\ntitle: Third\nstages: [{approvers: [group:managers], quorum: 1}]\nautomatic: [{trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}]\n"),
            ("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [group:managers], quorum: 1}]
automatic:
  - {trigger: web-donw, runbook: strat, at_most: {runs: 3, per: 1h}}
  - web-down
  - {trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}
  - {trigger: look-again, runbook: look, at_most: {runs: 3, per: 1h}}
  - {trigger: work-down, runbook: start, at_most: {runs: 3, per: 1h}}
  - {trigger: other-down}
"#),
            ("c.yaml", &trigger("work-down", "work")),
            ("work.yaml", "runbook: work\ntitle: Work\nparams: {service: {type: service}}\napproval: managers\nsteps: [{name: Work, run: {command: [work]}}]\n"),
            ("a.yaml", &trigger("web-down", "start")),
            ("b.yaml", &trigger("look-again", "look")),
        ]), @r#"
    error: `automatic` is empty
     --> other.yaml:4:12
      |
    4 | automatic: []
      |            ^
      |
      = help: name a trigger, or leave the key out if none may start by itself

    error: there is no trigger `web-donw`
     --> policy.yaml:5:15
      |
    5 |   - {trigger: web-donw, runbook: strat, at_most: {runs: 3, per: 1h}}
      |               ^^^^^^^^ expected `look-again`, `web-down` or `work-down`
      |
      = help: did you mean `web-down`?

    error: there is no runbook `strat`
     --> policy.yaml:5:34
      |
    5 |   - {trigger: web-donw, runbook: strat, at_most: {runs: 3, per: 1h}}
      |                                  ^^^^^ expected `look`, `start` or `work`
      |
      = help: did you mean `start`?

    error: `web-down` alone says neither what may start nor how often
     --> policy.yaml:6:5
      |
    6 |   - web-down
      |     ^^^^^^^^
      |
      = note: the trigger is at a.yaml:1
      = help: write `{trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}`

    error: `web-down` stands in this list twice
     --> policy.yaml:7:15
      |
    7 |   - {trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}
      |               ^^^^^^^^
      |
      = help: keep one of the two

    error: trigger `look-again` starts `look`, which needs no policy at all
     --> policy.yaml:8:15
      |
    8 |   - {trigger: look-again, runbook: look, at_most: {runs: 3, per: 1h}}
      |               ^^^^^^^^^^
      |
      = note: the trigger is at b.yaml:1
      = help: leave it out here

    error: trigger `work-down` starts `work`, and not this
     --> policy.yaml:9:35
      |
    9 |   - {trigger: work-down, runbook: start, at_most: {runs: 3, per: 1h}}
      |                                   ^^^^^
      |
      = note: the trigger is at c.yaml:1
      = help: write `runbook: work` if that may start by itself, or leave the trigger out here

    error: `runbook` is missing here
      --> policy.yaml:10:5
       |
    10 |   - {trigger: other-down}
       |     ^
       |
       = help: say which runbook it may start: `runbook: restart-web`

    error: `at_most` is missing here
      --> policy.yaml:10:5
       |
    10 |   - {trigger: other-down}
       |     ^
       |
       = help: say how often: `at_most: {runs: 3, per: 1h}`

    error: trigger `web-down` starts `start`, which stands under policy `managers`, not under this one
     --> third.yaml:4:23
      |
    4 | automatic: [{trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}]
      |                       ^^^^^^^^
      |
      = note: the trigger is at a.yaml:1
      = help: leave it out here

    10 problems in 3 files; the catalog is not loaded
    "#);
    }

    #[test]
    fn two_triggers_of_one_name() {
        let trigger = "trigger: web-down\nowner: mei\non: {check: \"shop/*/running\", becomes: critical}\nrun: start\nwith: {service: \"{{ service }}\"}\nmode: ask\n";
        insta::assert_snapshot!(told(&[("system.yaml", WATCHED), ("a.yaml", trigger), ("b.yaml", trigger)]), @r#"
    error: there is another trigger `web-down`
     --> b.yaml:1:10
      |
    1 | trigger: web-down
      |          ^^^^^^^^
      |
      = note: the other is at a.yaml:1

    1 problem in 1 file; the catalog is not loaded
    "#);
    }
}

mod rights {
    use super::*;

    #[test]
    fn lists_of_people_who_are_not_there() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_resolve: [support]
may_pause: [group:manager]
services: {web: {title: Web, checks: {running: {command: [web-status, web]}}}}
"#)]), @r#"
    error: `support` names no person, group or rota
     --> system.yaml:5:15
      |
    5 | may_resolve: [support]
      |               ^^^^^^^ expected person:NAME, group:NAME or rota:NAME
      |
      = help: did you mean `group:support`?

    error: there is no group `manager`
     --> system.yaml:6:13
      |
    6 | may_pause: [group:manager]
      |             ^^^^^^^^^^^^^ expected `group:managers` or `group:support`
      |
      = help: did you mean `group:managers`?

    2 problems in 1 file; the catalog is not loaded
    "#);
    }
}

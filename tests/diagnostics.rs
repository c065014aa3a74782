//! What people are told about a wrong catalog. Each case is a right catalog with the given files put in its place.
//!
//! The sentences are read here as they are read on a terminal: where, what, what was expected, what to try.

use countersign::runbook;

mod diagnostics_base;
use diagnostics_base::told;

mod shape {
    use super::told;

    #[test]
    fn an_unknown_key_with_the_nearest() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
titel: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @"
        error: `titel` is not a key that can stand here
         --> start.yaml:2:1
          |
        2 | titel: Start a service
          | ^^^^^ expected `runbook`, `title`, `why`, `say`, `params`, `risk`, `approval`, `author`, `system` or `steps`
          |
          = help: did you mean `title`?

        1 problem in 1 file; the catalog is not loaded
        ");
    }

    #[test]
    fn a_key_that_a_later_release_brings() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web], notify: ops}
"#)]), @r#"
    error: `notify` is not a key that can stand here
      --> system.yaml:10:45
       |
    10 |       running: {command: [web-status, web], notify: ops}
       |                                             ^^^^^^ expected `command`, `codes`, `env`, `http`, `tcp`, `every`, `fails_after` or `timeout`
       |
       = help: `notify` is not yet in this release: leave it out

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_kind_that_a_later_release_brings() {
        insta::assert_snapshot!(told(&[("hosts.yaml", r#"hosts: {app-1: {}}
"#)]), @"
        error: no key says what this file declares
         --> hosts.yaml:1:1
          |
        1 | hosts: {app-1: {}}
          | ^^^^^ expected one of the keys `runbook`, `system`, `trigger`, `policy`, `people`, `groups`, `rotas`, `access` or 2 more
          |
          = help: `hosts` is not yet in this release: leave the file out

        1 problem in 1 file; the catalog is not loaded
        ");
    }

    #[test]
    fn a_step_of_a_later_release() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    confirm: "Is the shop closed?"
"#)]), @r#"
    error: `confirm` is not a key that can stand here
     --> start.yaml:8:5
      |
    8 |     confirm: "Is the shop closed?"
      |     ^^^^^^^ expected `name`, `run`, `check`, `http`, `tcp`, `wait`, `until`, `timeout`, `retry`, `idempotent` or `read_only`
      |
      = help: `confirm` is not yet in this release: leave it out

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_duplicate_key() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
title: Another
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: `title` stands here a second time
     --> start.yaml:6:1
      |
    6 | title: Another
      | ^^^^^
      |
      = help: keep one of the two

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_duplicate_name_in_a_map() {
        insta::assert_snapshot!(told(&[("people.yaml", r#"people:
  mei: {accounts: ["local:trial:mei"]}
  mei: {accounts: ["local:trial:x"]}
  boss: {accounts: ["local:trial:boss"]}
groups:
  support: [mei]
  managers: [boss]
"#)]), @r#"
    error: `mei` stands here a second time
     --> people.yaml:3:3
      |
    3 |   mei: {accounts: ["local:trial:x"]}
      |   ^^^
      |
      = help: keep one of the two

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_file_of_no_kind() {
        insta::assert_snapshot!(told(&[("x.yaml", r#"name: start
steps: []
"#)]), @"
        error: no key says what this file declares
         --> x.yaml:1:1
          |
        1 | name: start
          | ^^^^ expected one of the keys `runbook`, `system`, `trigger`, `policy`, `people`, `groups`, `rotas`, `access` or 2 more

        1 problem in 1 file; the catalog is not loaded
        ");
    }

    #[test]
    fn a_kind_misspelt() {
        insta::assert_snapshot!(told(&[("x.yaml", r#"runbok: x
title: X
"#)]), @"
        error: no key says what this file declares
         --> x.yaml:1:1
          |
        1 | runbok: x
          | ^^^^^^ expected one of the keys `runbook`, `system`, `trigger`, `policy`, `people`, `groups`, `rotas`, `access` or 2 more
          |
          = help: did you mean `runbook`?

        1 problem in 1 file; the catalog is not loaded
        ");
    }

    #[test]
    fn a_file_of_two_kinds() {
        insta::assert_snapshot!(told(&[("x.yaml", r#"policy: x
runbook: y
"#)]), @r#"
    error: this file declares two kinds of things: `policy` and `runbook`
     --> x.yaml:2:1
      |
    2 | runbook: y
      | ^^^^^^^
      |
      = help: give each its own file

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn two_documents_in_a_file() {
        insta::assert_snapshot!(told(&[("rooms.yaml", r#"rooms: {ops: {address: "local:trial:ops"}}
---
rooms: {dev: {address: "local:trial:dev"}}
"#)]), @r#"
    error: a second document begins here
     --> rooms.yaml:2:1
      |
    2 | ---
      | ^^^
      |
      = help: give each document its own file

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn an_empty_file() {
        insta::assert_snapshot!(told(&[("x.yaml", r#"# nothing yet
"#)]), @r#"
    error: this file is empty
     --> x.yaml:1:1
      |
    1 | # nothing yet
      | ^
      |
      = help: delete it, or say what it declares, such as `runbook: start-service`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn no_yaml_at_all() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
steps: [a, "b
"#)]), @r#"
    error: this is not YAML: unclosed quote
     --> start.yaml:2:12
      |
    2 | steps: [a, "b
      |            ^

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_tab() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
	title: x
"#)]), @r#"
    error: this is not YAML: while scanning a plain scalar, found a tab
     --> start.yaml:1:10
      |
    1 | runbook: start
      |          ^
      |
      = help: indent with spaces

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_template_without_quotes() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, {{ service }}]}
"#)]), @r#"
    error: this has the wrong shape
     --> start.yaml:8:37
      |
    8 |     run: {command: [web-ctl, start, {{ service }}]}
      |                                     ^ expected a text
      |
      = help: put a text that begins with `{` into quotes: "{{ name }}"

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_text_where_a_list_belongs() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: group:support
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web]}
"#)]), @r#"
    error: this has the wrong shape
     --> system.yaml:5:10
      |
    5 | may_run: group:support
      |          ^^^^^^^^^^^^^ expected a list (`[one, two]`, or lines that begin with `- `)

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_truth_that_is_none() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
    idempotent: yes
"#)]), @r#"
    error: this is neither true nor false
     --> start.yaml:9:17
      |
    9 |     idempotent: yes
      |                 ^^^ expected `true` or `false`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_number_that_is_none() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [group:managers], quorum: one}]
"#)]), @r#"
    error: this is not a number that can stand here
     --> policy.yaml:3:48
      |
    3 | stages: [{approvers: [group:managers], quorum: one}]
      |                                                ^^^ expected a whole number, not below 0

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn merge_keys() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
<<: {approval: managers}
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: `<<` is not used in a catalog
     --> start.yaml:5:1
      |
    5 | <<: {approval: managers}
      | ^^
      |
      = help: write the keys out: an approver reads them

    1 problem in 1 file; the catalog is not loaded
    "#);
    }
}

mod names {
    use super::told;

    #[test]
    fn missing_keys_all_at_once() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
services: {web: {}}
"#), ("start.yaml", r#"runbook: start
steps: [{check: web}, {name: x}]
"#)]), @r#"
    error: `title` is missing here
     --> start.yaml:1:10
      |
    1 | runbook: start
      |          ^^^^^
      |
      = help: say in a few words what people call it: `title: …`

    error: nothing says which system this runbook works on
     --> start.yaml:1:10
      |
    1 | runbook: start
      |          ^^^^^
      |
      = help: name it (`system: …`) or take a parameter of type service or system

    error: `name` is missing here
     --> start.yaml:2:9
      |
    2 | steps: [{check: web}, {name: x}]
      |         ^
      |
      = help: say what the step does: `name: Start`

    error: this step does nothing
     --> start.yaml:2:30
      |
    2 | steps: [{check: web}, {name: x}]
      |                              ^ expected exactly one of `run`, `check`, `http`, `tcp` and `wait`

    error: `title` is missing here
     --> system.yaml:1:9
      |
    1 | system: shop
      |         ^^^^
      |
      = help: say in a few words what people call it: `title: …`

    error: `environment` is missing here
     --> system.yaml:1:9
      |
    1 | system: shop
      |         ^^^^
      |
      = help: say which: `environment: production`

    error: `room` is missing here
     --> system.yaml:1:9
      |
    1 | system: shop
      |         ^^^^
      |
      = help: say where it is talked about: `room: ops`

    error: `title` is missing here
     --> system.yaml:2:12
      |
    2 | services: {web: {}}
      |            ^^^
      |
      = help: say in a few words what people call it: `title: …`

    error: `checks` is missing here
     --> system.yaml:2:12
      |
    2 | services: {web: {}}
      |            ^^^
      |
      = help: say how to find out whether it is well: `checks: {running: {command: […]}}`

    9 problems in 2 files; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_name_that_cannot_be_one() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  Web_1:
    title: Web
    checks:
      running: {command: [web-status, web]}
"#)]), @r#"
    error: `Web_1` cannot be a service's name
     --> system.yaml:7:3
      |
    7 |   Web_1:
      |   ^^^^^ lower-case letters, digits and hyphens, a letter first, at most 40

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_room_that_is_not_there() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: opss
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web]}
"#)]), @r#"
    error: there is no room `opss`
     --> system.yaml:4:7
      |
    4 | room: opss
      |       ^^^^ expected `ops`
      |
      = help: did you mean `ops`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_group_that_is_not_there() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:suport]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web]}
"#)]), @r#"
    error: there is no group `suport`
     --> system.yaml:5:11
      |
    5 | may_run: [group:suport]
      |           ^^^^^^^^^^^^ expected `group:managers` or `group:support`
      |
      = help: did you mean `group:support`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_person_that_is_not_there() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [person:bos], quorum: 1}]
"#)]), @r#"
    error: there is no person `bos`
     --> policy.yaml:3:23
      |
    3 | stages: [{approvers: [person:bos], quorum: 1}]
      |                       ^^^^^^^^^^ expected `person:boss` or `person:mei`
      |
      = help: did you mean `person:boss`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_member_that_is_not_there() {
        insta::assert_snapshot!(told(&[("people.yaml", r#"people:
  mei: {accounts: ["local:trial:mei"]}
  boss: {accounts: ["local:trial:boss"]}
groups:
  support: [mei]
  managers: [boss, lin]
"#)]), @r#"
    error: there is no person `lin`
     --> people.yaml:6:20
      |
    6 |   managers: [boss, lin]
      |                    ^^^ expected `boss` or `mei`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_subject_without_its_kind() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [managers], quorum: 1}]
"#)]), @r#"
    error: `managers` names no person, group or rota
     --> policy.yaml:3:23
      |
    3 | stages: [{approvers: [managers], quorum: 1}]
      |                       ^^^^^^^^ expected person:NAME, group:NAME or rota:NAME
      |
      = help: did you mean `group:managers`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_policy_that_is_not_there() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: manager
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: there is no policy `manager`
     --> start.yaml:5:11
      |
    5 | approval: manager
      |           ^^^^^^^ expected `managers`
      |
      = help: did you mean `managers`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_system_that_is_not_there() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service, system: shopp}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: there is no system `shopp`
     --> start.yaml:4:43
      |
    4 | params: {service: {type: service, system: shopp}}
      |                                           ^^^^^ expected `shop`
      |
      = help: did you mean `shop`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_service_that_is_not_there() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - {name: Look, check: wep}
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: `wep` is neither a service nor a system
     --> start.yaml:7:25
      |
    7 |   - {name: Look, check: wep}
      |                         ^^^ expected a service, service/check or system
      |
      = help: did you mean `web`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_check_that_is_not_there() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - {name: Look, check: "{{ service }}/runing"}
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: this can come to `web/runing`, and service `web` has no check `runing`
     --> start.yaml:7:25
      |
    7 |   - {name: Look, check: "{{ service }}/runing"}
      |                         ^^^^^^^^^^^^^^^^^^^^^^ expected `running`
      |
      = help: did you mean `running`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_secret_that_is_not_there() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"], env: [{TOKEN: {secret: tokne}}]}
"#), ("secrets.yaml", r#"secrets: {token: {env: TOKEN}}
"#)]), @r#"
    error: there is no secret `tokne`
     --> start.yaml:8:78
      |
    8 |     run: {command: [web-ctl, start, "{{ service }}"], env: [{TOKEN: {secret: tokne}}]}
      |                                                                              ^^^^^ expected `token`
      |
      = help: did you mean `token`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_parameter_that_is_not_there() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ servce }}"]}
"#)]), @r#"
    error: there is no parameter `servce`
     --> start.yaml:8:37
      |
    8 |     run: {command: [web-ctl, start, "{{ servce }}"]}
      |                                     ^^^^^^^^^^^^^^ expected `service`
      |
      = help: did you mean `service`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_slot_that_is_no_parameter() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service} in {place}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: there is no parameter `place`
     --> start.yaml:3:7
      |
    3 | say: ["start {service} in {place}"]
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected `service`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn two_runbooks_of_one_name() {
        insta::assert_snapshot!(told(&[("again.yaml", r#"runbook: start
title: Start a service
say: ["begin {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: there is another runbook `start`
     --> start.yaml:1:10
      |
    1 | runbook: start
      |          ^^^^^
      |
      = note: the other is at again.yaml:1

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn two_services_of_one_name() {
        insta::assert_snapshot!(told(&[("other.yaml", r#"system: depot
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web]}
"#)]), @r#"
    error: there is another service `web`
     --> system.yaml:7:3
      |
    7 |   web:
      |   ^^^
      |
      = note: the other is at other.yaml:7

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_service_named_like_a_system() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  shop:
    title: Web
    checks:
      running: {command: [web-status, web]}
"#)]), @r#"
    error: `shop` is the name of a system too
     --> system.yaml:7:3
      |
    7 |   shop:
      |   ^^^^
      |
      = note: the other is at system.yaml:1
      = help: services, systems and rotas are said by name alone, so no two may have the same

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_way_to_ask_that_there_is_not() {
        insta::assert_snapshot!(told(&[("people.yaml", r#"people:
  mei: {accounts: ["slack:T1:U1"], ask: dirct}
  boss: {accounts: ["local:trial:boss"], ask: both}
groups:
  support: [mei]
  managers: [boss]
"#)]), @r#"
    error: `dirct` is no way to ask somebody
     --> people.yaml:2:41
      |
    2 |   mei: {accounts: ["slack:T1:U1"], ask: dirct}
      |                                         ^^^^^ expected `thread` (mentioned in the room), `direct` (by direct message) or `both`
      |
      = help: did you mean `direct`?

    error: the trial's room has no direct messages, and this person speaks nowhere else
     --> people.yaml:3:47
      |
    3 |   boss: {accounts: ["local:trial:boss"], ask: both}
      |                                               ^^^^
      |
      = help: leave `ask` out

    2 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn one_account_of_two_people() {
        insta::assert_snapshot!(told(&[("people.yaml", r#"people:
  mei: {accounts: ["local:trial:mei"]}
  boss: {accounts: ["local:trial:mei"]}
groups:
  support: [mei]
  managers: [boss]
"#)]), @r#"
    error: this account is mei's already
     --> people.yaml:3:21
      |
    3 |   boss: {accounts: ["local:trial:mei"]}
      |                     ^^^^^^^^^^^^^^^^^
      |
      = note: that person is at people.yaml:2
      = help: an account speaks for one person only: rights belong to people

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn one_address_of_two_rooms() {
        insta::assert_snapshot!(told(&[("rooms.yaml", r#"rooms:
  ops: {address: "local:trial:ops"}
  dev: {address: "local:trial:ops"}
"#)]), @r#"
    error: room `ops` has this address already
     --> rooms.yaml:3:18
      |
    3 |   dev: {address: "local:trial:ops"}
      |                  ^^^^^^^^^^^^^^^^^
      |
      = note: the other is at rooms.yaml:2
      = help: a place has one name here: use that one

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn what_is_no_address() {
        insta::assert_snapshot!(told(&[("rooms.yaml", r##"rooms: {ops: {address: "#ops"}}
"##)]), @r##"
    error: `#ops` is not an address
     --> rooms.yaml:1:24
      |
    1 | rooms: {ops: {address: "#ops"}}
      |                        ^^^^^^ expected platform:workspace:id
      |
      = help: the platform's stable id, such as `slack:T024BE7LD:U2147483697`

    1 problem in 1 file; the catalog is not loaded
    "##);
    }
}

mod groups_that_slack_keeps {
    use super::told;

    fn groups(groups: &str) -> String {
        let people =
            "people:\n  mei: {accounts: [\"slack:T0ACME:U0MEI\"]}\n  boss: {accounts: [\"local:trial:boss\"]}\n";
        told(&[("people.yaml", &format!("{people}groups:\n  support: [mei]\n{groups}"))])
    }

    #[test]
    fn what_names_no_user_group() {
        insta::assert_snapshot!(groups("  managers: {members_of: \"@managers\"}\n"), @r#"
        error: `@managers` is not an address
         --> people.yaml:6:26
          |
        6 |   managers: {members_of: "@managers"}
          |                          ^^^^^^^^^^^ expected platform:workspace:id
          |
          = help: the platform's stable id, such as `slack:T024BE7LD:U2147483697`

        1 problem in 1 file; the catalog is not loaded
        "#);
        insta::assert_snapshot!(groups("  managers: {member_of: \"slack:T0ACME:S0MANAGERS\"}\n"), @r#"
        error: `member_of` is not a key that can stand here
         --> people.yaml:6:14
          |
        6 |   managers: {member_of: "slack:T0ACME:S0MANAGERS"}
          |              ^^^^^^^^^ expected `members_of`
          |
          = help: did you mean `members_of`?

        1 problem in 1 file; the catalog is not loaded
        "#);
        insta::assert_snapshot!(groups("  managers: {}\n"), @r#"
        error: `members_of` is missing here
         --> people.yaml:6:3
          |
        6 |   managers: {}
          |   ^^^^^^^^
          |
          = help: say which user group: `members_of: "slack:T1:S2"`

        1 problem in 1 file; the catalog is not loaded
        "#);
        insta::assert_snapshot!(groups("  managers: 7\n"), @r"
        error: this has the wrong shape
         --> people.yaml:6:3
          |
        6 |   managers: 7
          |   ^^^^^^^^ expected a list of people, or {members_of: the-user-group}

        1 problem in 1 file; the catalog is not loaded
        ");
        insta::assert_snapshot!(groups("  managers: {members_of: \"discord:1:2\"}\n"), @r#"
        error: `discord` has no user groups that can be asked
         --> people.yaml:6:26
          |
        6 |   managers: {members_of: "discord:1:2"}
          |                          ^^^^^^^^^^^^^
          |
          = help: list the people here, or name a user group of Slack's: `slack:T1:S2`

        1 problem in 1 file; the catalog is not loaded
        "#);
    }

    #[test]
    fn one_in_which_nobody_can_be() {
        insta::assert_snapshot!(groups("  managers: {members_of: \"slack:T0BETA:S0MANAGERS\"}\n"), @r#"
        error: nobody in this catalog has an account in slack:T0BETA, so nobody could ever be in this group
         --> people.yaml:6:26
          |
        6 |   managers: {members_of: "slack:T0BETA:S0MANAGERS"}
          |                          ^^^^^^^^^^^^^^^^^^^^^^^^^
          |
          = help: give people their accounts there

        1 problem in 1 file; the catalog is not loaded
        "#);
    }
}

mod rights {
    use super::told;

    #[test]
    fn stages_that_ask_too_few_different_people() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [group:managers], quorum: 1}, {approvers: [group:managers], quorum: 1}]
"#)]), @"
error: up to this stage 2 different people must agree, and only 1 could be asked: nobody counts in two stages
 --> policy.yaml:3:52
  |
3 | stages: [{approvers: [group:managers], quorum: 1}, {approvers: [group:managers], quorum: 1}]
  |                                                    ^
  |
  = help: ask more people, or say `relax: [one_person_several_stages]`, which the ledger will show

1 problem in 1 file; the catalog is not loaded
");
    }

    #[test]
    fn keys_of_a_stage_that_cannot_be_kept() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
expires: 10m
valid_for: 5m
starts_within: 6m
relax: [one_person_many_stages]
exclude: [last_autor]
stages:
  - approvers: [group:managers]
    quorum: 1
    denials: 3
    reason: needed
    expires: 20m
    remind_after: 11m
    escalate:
      - {after: 4m, to: [person:mei]}
      - {after: 3m, to: [person:me]}
"#)]), @r#"
    error: a run could begin 6m after its approval, which lasts 5m
     --> policy.yaml:5:16
      |
    5 | starts_within: 6m
      |                ^^
      |
      = help: begin earlier, or give the policy a longer `valid_for`

    error: `one_person_many_stages` is no rule that a policy may give up
     --> policy.yaml:6:9
      |
    6 | relax: [one_person_many_stages]
      |         ^^^^^^^^^^^^^^^^^^^^^^ expected `requester_may_agree` or `one_person_several_stages`
      |
      = help: did you mean `one_person_several_stages`?

    error: `last_autor` is nobody who could be left out
     --> policy.yaml:7:11
      |
    7 | exclude: [last_autor]
      |           ^^^^^^^^^^ expected last_author
      |
      = help: whoever asks never agrees: that needs no words

    error: 3 denials can never come together: the approvers are 1
      --> policy.yaml:11:14
       |
    11 |     denials: 3
       |              ^ expected 1

    error: `needed` is not possible here
      --> policy.yaml:12:13
       |
    12 |     reason: needed
       |             ^^^^^^ expected required or optional

    error: 20m is not possible here
      --> policy.yaml:13:14
       |
    13 |     expires: 20m
       |              ^^^ expected a duration from 1s to 10m

    error: 11m is not possible here
      --> policy.yaml:14:19
       |
    14 |     remind_after: 11m
       |                   ^^^ expected a duration from 1s to 10m

    error: this comes before the asking above it
      --> policy.yaml:17:17
       |
    17 |       - {after: 3m, to: [person:me]}
       |                 ^^
       |
       = help: write them in the order of time

    error: there is no person `me`
      --> policy.yaml:17:26
       |
    17 |       - {after: 3m, to: [person:me]}
       |                          ^^^^^^^^^ expected `person:boss` or `person:mei`
       |
       = help: did you mean `person:mei`?

    9 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_runbook_whose_author_nobody_named() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
exclude: [last_author]
stages: [{approvers: [group:managers], quorum: 1}]
"#)]), @"
error: policy `managers` leaves the last author out, and nothing says who that is
 --> start.yaml:1:10
  |
1 | runbook: start
  |          ^^^^^
  |
  = help: name the person who made this runbook's last change: `author: …`

1 problem in 1 file; the catalog is not loaded
");
    }

    #[test]
    fn a_quorum_of_nobody() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [group:managers], quorum: 0}]
"#)]), @r#"
    error: a quorum of 0 would approve everything by itself
     --> policy.yaml:3:48
      |
    3 | stages: [{approvers: [group:managers], quorum: 0}]
      |                                                ^ expected at least 1
      |
      = help: a runbook that only reads needs no policy at all

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_quorum_that_nobody_can_reach() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [group:managers], quorum: 3}]
"#)]), @r#"
    error: a quorum of 3 can never be reached: the approvers are 1 person
     --> policy.yaml:3:48
      |
    3 | stages: [{approvers: [group:managers], quorum: 3}]
      |                                                ^ expected at most 1

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn empty_lists() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [], quorum: 1}]
"#), ("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: []
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web]}
"#), ("start.yaml", r#"runbook: start
title: Start a service
say: []
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: `approvers` is empty
     --> policy.yaml:3:22
      |
    3 | stages: [{approvers: [], quorum: 1}]
      |                      ^
      |
      = help: name someone, or leave the key out if it is nobody

    error: `say` is empty
     --> start.yaml:3:6
      |
    3 | say: []
      |      ^
      |
      = help: leave it out: `run RUNBOOK key=value` always works

    error: `may_run` is empty
     --> system.yaml:5:10
      |
    5 | may_run: []
      |          ^
      |
      = help: name someone, or leave the key out if it is nobody

    3 problems in 3 files; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_privileged_step_and_nobody_to_ask() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: step `Start` changes something and nobody must agree: `approval` is missing
     --> start.yaml:1:10
      |
    1 | runbook: start
      |          ^^^^^
      |
      = help: name a policy (`approval: managers`), or say `read_only: true` on a step that only reads

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn an_approval_of_nothing() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
    read_only: true
"#)]), @r#"
    error: no step of this runbook changes anything, so nobody would be asked
     --> start.yaml:5:11
      |
    5 | approval: managers
      |           ^^^^^^^^
      |
      = help: leave `approval` out

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_grant_that_ends_before_the_plan() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [group:managers], quorum: 1}]
valid_for: 10m
"#), ("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
    timeout: 15m
"#)]), @r#"
    error: this runbook may take 15m in all, but a grant of policy `managers` lasts 10m
     --> start.yaml:5:11
      |
    5 | approval: managers
      |           ^^^^^^^^
      |
      = note: the policy is at policy.yaml:1
      = help: shorten the steps' timeouts and retries, or give the policy a longer `valid_for`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn the_variable_that_the_bot_sets() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"], env: [TRACEPARENT]}
"#)]), @r#"
    error: the bot sets `TRACEPARENT` for every step itself
     --> start.yaml:8:61
      |
    8 |     run: {command: [web-ctl, start, "{{ service }}"], env: [TRACEPARENT]}
      |                                                             ^^^^^^^^^^^
      |
      = help: leave it out: the step finds in it the trace of the run that it belongs to

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn the_bots_own_variables() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"], env: [COUNTERSIGN_TOKEN]}
"#)]), @r#"
    error: `COUNTERSIGN_TOKEN` belongs to the bot and goes to no step
     --> start.yaml:8:61
      |
    8 |     run: {command: [web-ctl, start, "{{ service }}"], env: [COUNTERSIGN_TOKEN]}
      |                                                             ^^^^^^^^^^^^^^^^^
      |
      = help: give the step a variable of its own

    1 problem in 1 file; the catalog is not loaded
    "#);
    }
}

mod values {
    use super::told;

    #[test]
    fn durations() {
        insta::assert_snapshot!(told(&[("policy.yaml", r#"policy: managers
title: A manager agrees
stages: [{approvers: [group:managers], quorum: 1}]
expires: 30
valid_for: 8d
"#), ("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web], timeout: soon}
"#)]), @r#"
    error: `30` is not a duration
     --> policy.yaml:4:10
      |
    4 | expires: 30
      |          ^^ expected a duration from 1s to 7days
      |
      = help: write a number and a unit: `30s`, `5m`, `1h 30m`

    error: 8d is not possible here
     --> policy.yaml:5:12
      |
    5 | valid_for: 8d
      |            ^^ expected a duration from 1s to 7days

    error: `soon` is not a duration
      --> system.yaml:10:54
       |
    10 |       running: {command: [web-status, web], timeout: soon}
       |                                                      ^^^^ expected a duration from 1ms to 1h
       |
       = help: write a number and a unit: `30s`, `5m`, `1h 30m`

    3 problems in 2 files; the catalog is not loaded
    "#);
    }

    #[test]
    fn checks_that_cannot_be_asked_so() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - {name: A, check: web, until: {passes_within: 2s, every: 5s}, read_only: true}
  - {name: B, check: web, until: {passes_within: 20s, every: 5s}, timeout: 10s}
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: asking every 5s within 2s asks only once
     --> start.yaml:7:61
      |
    7 |   - {name: A, check: web, until: {passes_within: 2s, every: 5s}, read_only: true}
      |                                                             ^^
      |
      = help: make `every` shorter than `passes_within`

    error: `read_only` does nothing here: this step asks checks, which only read
     --> start.yaml:7:77
      |
    7 |   - {name: A, check: web, until: {passes_within: 2s, every: 5s}, read_only: true}
      |                                                                             ^^^^
      |
      = help: leave it out

    error: the step would be cut off after 10s, but its checks may take 20s
     --> start.yaml:8:76
      |
    8 |   - {name: B, check: web, until: {passes_within: 20s, every: 5s}, timeout: 10s}
      |                                                                            ^^^
      |
      = help: leave `timeout` out: it follows from `passes_within`

    3 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn steps_that_do_too_much_or_nothing() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - {name: Both, check: web, run: {command: [x]}}
  - {name: Start, run: {command: [x]}, until: {passes_within: 2s, every: 1s}}
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: a step does one thing, and this one does two
     --> start.yaml:7:12
      |
    7 |   - {name: Both, check: web, run: {command: [x]}}
      |            ^^^^ expected exactly one of `run`, `check`, `http`, `tcp` and `wait`

    error: `until` belongs to `check`, and this step runs a program
     --> start.yaml:8:47
      |
    8 |   - {name: Start, run: {command: [x]}, until: {passes_within: 2s, every: 1s}}
      |                                               ^
      |
      = help: add a step with `check` after it

    error: another step is called `Start` too
     --> start.yaml:9:11
      |
    9 |   - name: Start
      |           ^^^^^
      |
      = help: a step's name is how people tell it from the others

    3 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn parameters_that_accept_nothing() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: 
  service: {type: servcie}
  speed: {type: choice, one_of: [fast, safe, fast], default: quick}
  count: {type: integer, min: 5, max: 1}
  below: {type: integer, min: -5, max: 1}
  note: {type: text, max_length: 0}
  size: {type: integer, max: 3, max_length: 5}
  flag: {type: choice, one_of: [-a, b]}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: this phrase leaves out `count`, which has no default
     --> start.yaml:3:7
      |
    3 | say: ["start {service}"]
      |       ^^^^^^^^^^^^^^^^^
      |
      = help: put {count} into the phrase, or give the parameter a default

    error: this phrase leaves out `below`, which has no default
     --> start.yaml:3:7
      |
    3 | say: ["start {service}"]
      |       ^^^^^^^^^^^^^^^^^
      |
      = help: put {below} into the phrase, or give the parameter a default

    error: this phrase leaves out `note`, which has no default
     --> start.yaml:3:7
      |
    3 | say: ["start {service}"]
      |       ^^^^^^^^^^^^^^^^^
      |
      = help: put {note} into the phrase, or give the parameter a default

    error: this phrase leaves out `size`, which has no default
     --> start.yaml:3:7
      |
    3 | say: ["start {service}"]
      |       ^^^^^^^^^^^^^^^^^
      |
      = help: put {size} into the phrase, or give the parameter a default

    error: this phrase leaves out `flag`, which has no default
     --> start.yaml:3:7
      |
    3 | say: ["start {service}"]
      |       ^^^^^^^^^^^^^^^^^
      |
      = help: put {flag} into the phrase, or give the parameter a default

    error: there is no type `servcie`
     --> start.yaml:5:19
      |
    5 |   service: {type: servcie}
      |                   ^^^^^^^ expected `service`, `system`, `choice`, `integer` or `text`
      |
      = help: did you mean `service`?

    error: `fast` stands in this list twice
     --> start.yaml:6:46
      |
    6 |   speed: {type: choice, one_of: [fast, safe, fast], default: quick}
      |                                              ^^^^
      |
      = help: keep one of the two

    error: `quick` is not accepted by this parameter
     --> start.yaml:6:62
      |
    6 |   speed: {type: choice, one_of: [fast, safe, fast], default: quick}
      |                                                              ^^^^^ expected `fast`, `safe` or `fast`

    error: no number is at least 5 and at most 1
     --> start.yaml:7:39
      |
    7 |   count: {type: integer, min: 5, max: 1}
      |                                       ^
      |
      = help: `min` is the smaller one

    error: a number below 0 begins with `-`, which is refused
     --> start.yaml:8:31
      |
    8 |   below: {type: integer, min: -5, max: 1}
      |                               ^^
      |
      = help: a program would read it as an option; if that is meant, say `may_begin_with_dash: true`

    error: no text can have this length here
     --> start.yaml:9:34
      |
    9 |   note: {type: text, max_length: 0}
      |                                  ^ expected 1 to 1000 characters

    error: `min` is missing here
      --> start.yaml:10:3
       |
    10 |   size: {type: integer, max: 3, max_length: 5}
       |   ^^^^
       |
       = help: say its bounds: `{type: integer, min: 1, max: 10}`

    error: `max_length` belongs to type text, and this is of type integer
      --> start.yaml:10:45
       |
    10 |   size: {type: integer, max: 3, max_length: 5}
       |                                             ^
       |
       = help: leave it out

    error: `-a` begins with `-`, which is refused
      --> start.yaml:11:33
       |
    11 |   flag: {type: choice, one_of: [-a, b]}
       |                                 ^^
       |
       = help: a program would read it as an option; if that is meant, say `may_begin_with_dash: true`

    14 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn codes_of_no_meaning() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, web], codes: nagois}
"#)]), @r#"
    error: `nagois` is no meaning of exit codes
      --> system.yaml:10:52
       |
    10 |       running: {command: [web-status, web], codes: nagois}
       |                                                    ^^^^^^ expected `plain` (0 is ok, all else critical) or `nagios` (0, 1, 2, 3)
       |
       = help: did you mean `nagios`?

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn nothing_names_a_system() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: text, max_length: 9}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: nothing says which system this runbook works on
     --> start.yaml:1:10
      |
    1 | runbook: start
      |          ^^^^^
      |
      = help: name it (`system: …`) or take a parameter of type service or system

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn titles_that_cannot_be_shown() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: "Start\u202e a service"
why: "one\ntwo"
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: this text holds line breaks or characters that nobody sees
     --> start.yaml:2:8
      |
    2 | title: "Start\u202e a service"
      |        ^^^^^^^^^^^^^^^^^^^^^^^

    error: this text holds line breaks or characters that nobody sees
     --> start.yaml:3:6
      |
    3 | why: "one\ntwo"
      |      ^^^^^^^^^^

    2 problems in 1 file; the catalog is not loaded
    "#);
    }
}

mod commands {
    use super::told;

    #[test]
    fn program_text() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [sh, -c, "web-ctl start {{ service }}"]}
"#)]), @r#"
    error: `sh` may read this as a program because of `-c`: no parameter stands here
     --> start.yaml:8:29
      |
    8 |     run: {command: [sh, -c, "web-ctl start {{ service }}"]}
      |                             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: put it into a script of the catalog: `[./x, "{{ name }}"]`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn arguments_of_program_text() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [bash, -lc, 'web-ctl start "$1"', --, "{{ service }}"]}
"#)]), @r#"
    error: `bash` may read this as a program because of `-lc`: no parameter stands here
     --> start.yaml:8:58
      |
    8 |     run: {command: [bash, -lc, 'web-ctl start "$1"', --, "{{ service }}"]}
      |                                                          ^^^^^^^^^^^^^^^
      |
      = help: put it into a script of the catalog: `[./x, "{{ name }}"]`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_remote_shell() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [ssh, app-1, web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: `ssh` reads its arguments as a program, so no parameter may stand after it
     --> start.yaml:8:49
      |
    8 |     run: {command: [ssh, app-1, web-ctl, start, "{{ service }}"]}
      |                                                 ^^^^^^^^^^^^^^^
      |
      = help: put it into a script of the catalog: `[./x, "{{ name }}"]`

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_wrapped_program() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [sudo, "{{ service }}"]}
"#)]), @r#"
    error: after `sudo` it is not clear that this is an argument and not the program or an option of it
     --> start.yaml:8:27
      |
    8 |     run: {command: [sudo, "{{ service }}"]}
      |                           ^^^^^^^^^^^^^^^
      |
      = help: name the program before it, with `sudo`'s plainest options only

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_program_from_chat() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: ["{{ service }}", start]}
"#)]), @r#"
    error: the program is fixed: it holds no template
     --> start.yaml:8:21
      |
    8 |     run: {command: ["{{ service }}", start]}
      |                     ^^^^^^^^^^^^^^^
      |
      = help: write the program's name; a parameter may only be an argument

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_shell_line() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: ["web-ctl start {{ service }}"]}
"#), ("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status web]}
"#)]), @r#"
    error: the program is fixed: it holds no template
     --> start.yaml:8:21
      |
    8 |     run: {command: ["web-ctl start {{ service }}"]}
      |                     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write the program's name; a parameter may only be an argument

    error: `web-status web` is not one program's name
      --> system.yaml:10:27
       |
    10 |       running: {command: [web-status web]}
       |                           ^^^^^^^^^^^^^^
       |
       = help: no shell reads this line: write each word as its own element, `[systemctl, status, web]`

    2 problems in 2 files; the catalog is not loaded
    "#);
    }

    #[test]
    fn more_than_a_name_in_braces() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service | upper }}", "{% if x %}", "{# x #}", "{{ service.name }}"]}
"#)]), @r#"
    error: only a parameter's name may stand within `{{ }}`
     --> start.yaml:8:37
      |
    8 |     run: {command: [web-ctl, start, "{{ service | upper }}", "{% if x %}", "{# x #}", "{{ service.name }}"]}
      |                                     ^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `{{ name }}` with the name of a parameter

    error: `{%` is not used in a runbook: there are no conditions or loops
     --> start.yaml:8:62
      |
    8 |     run: {command: [web-ctl, start, "{{ service | upper }}", "{% if x %}", "{# x #}", "{{ service.name }}"]}
      |                                                              ^^^^^^^^^^^^
      |
      = help: write `{{ name }}` with the name of a parameter

    error: `{#` is not used in a runbook: write a comment of YAML
     --> start.yaml:8:76
      |
    8 |     run: {command: [web-ctl, start, "{{ service | upper }}", "{% if x %}", "{# x #}", "{{ service.name }}"]}
      |                                                                            ^^^^^^^^^
      |
      = help: write `{{ name }}` with the name of a parameter

    error: only a parameter's name may stand within `{{ }}`
     --> start.yaml:8:87
      |
    8 |     run: {command: [web-ctl, start, "{{ service | upper }}", "{% if x %}", "{# x #}", "{{ service.name }}"]}
      |                                                                                       ^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `{{ name }}` with the name of a parameter

    4 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn scripts_that_are_not_there() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [./start.sh, ./../../etc/passwd, ./people.yaml]}
"#), ("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [./people.yaml]}
"#)]), @r#"
    error: there is no file `./start.sh`
     --> start.yaml:8:21
      |
    8 |     run: {command: [./start.sh, ./../../etc/passwd, ./people.yaml]}
      |                     ^^^^^^^^^^
      |
      = help: `./x` is a file below the catalog's root

    error: `./../../etc/passwd` leads out of the catalog
     --> start.yaml:8:33
      |
    8 |     run: {command: [./start.sh, ./../../etc/passwd, ./people.yaml]}
      |                                 ^^^^^^^^^^^^^^^^^^
      |
      = help: `./x` is a file below the catalog's root

    error: `./people.yaml` is not executable
      --> system.yaml:10:27
       |
    10 |       running: {command: [./people.yaml]}
       |                           ^^^^^^^^^^^^^
       |
       = help: chmod +x people.yaml

    3 problems in 2 files; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_template_in_a_check() {
        insta::assert_snapshot!(told(&[("system.yaml", r#"system: shop
title: The shop
environment: production
room: ops
may_run: [group:support]
services:
  web:
    title: Web
    checks:
      running: {command: [web-status, "{{ service }}"]}
"#)]), @r#"
    error: a check's command is fixed: it holds no template
      --> system.yaml:10:39
       |
    10 |       running: {command: [web-status, "{{ service }}"]}
       |                                       ^^^^^^^^^^^^^^^
       |
       = help: a check belongs to one service: write the service's name

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_check_of_anything() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service} for {what}"]
params: {service: {type: service}, what: {type: text, max_length: 9}}
approval: managers
steps:
  - {name: Look, check: "{{ what }}"}
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: `what` can be anything, so nobody can say beforehand what is checked
     --> start.yaml:7:25
      |
    7 |   - {name: Look, check: "{{ what }}"}
      |                         ^^^^^^^^^^^^
      |
      = help: use parameters of type service, system or choice here

    1 problem in 1 file; the catalog is not loaded
    "#);
    }
}

mod phrases {
    use super::told;

    #[test]
    fn a_phrase_that_takes_a_built_in_word() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start {service}", "approve {service}", "run {service}", "help"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: a phrase cannot begin with `approve`: that is a built-in command
     --> start.yaml:3:26
      |
    3 | say: ["start {service}", "approve {service}", "run {service}", "help"]
      |                          ^^^^^^^^^^^^^^^^^^^
      |
      = help: choose another first word

    error: a phrase cannot begin with `run`: that is a built-in command
     --> start.yaml:3:47
      |
    3 | say: ["start {service}", "approve {service}", "run {service}", "help"]
      |                                               ^^^^^^^^^^^^^^^
      |
      = help: put a fixed word later in it: `run {system} health check`; `run RUNBOOK key=value` has none

    error: this phrase leaves out `service`, which has no default
     --> start.yaml:3:64
      |
    3 | say: ["start {service}", "approve {service}", "run {service}", "help"]
      |                                                                ^^^^^^
      |
      = help: put {service} into the phrase, or give the parameter a default

    error: a phrase cannot begin with `help`: that is a built-in command
     --> start.yaml:3:64
      |
    3 | say: ["start {service}", "approve {service}", "run {service}", "help"]
      |                                                                ^^^^^^
      |
      = help: choose another first word

    4 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_phrase_that_would_be_taken_for_something_else() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["stop", "status", "go ahead", "+1", "run it b=c"]
approval: managers
system: shop
steps:
  - name: Start
    run: {command: [web-ctl, start, web]}
"#)]), @r#"
    error: a phrase cannot begin with `stop`: that is a built-in command
     --> start.yaml:3:7
      |
    3 | say: ["stop", "status", "go ahead", "+1", "run it b=c"]
      |       ^^^^^^
      |
      = help: say after it which service or system, or what: `stop {service}`, `stop everything`

    error: a phrase cannot begin with `status`: that is a built-in command
     --> start.yaml:3:15
      |
    3 | say: ["stop", "status", "go ahead", "+1", "run it b=c"]
      |               ^^^^^^^^
      |
      = help: choose another first word

    error: `go ahead` sounds like a decision, and only `approved` and `deny` are
     --> start.yaml:3:25
      |
    3 | say: ["stop", "status", "go ahead", "+1", "run it b=c"]
      |                         ^^^^^^^^^^
      |
      = help: say in the phrase what is done

    error: `+1` sounds like a decision, and only `approved` and `deny` are
     --> start.yaml:3:37
      |
    3 | say: ["stop", "status", "go ahead", "+1", "run it b=c"]
      |                                     ^^^^
      |
      = help: say in the phrase what is done

    error: `b=c` cannot be a word of a phrase
     --> start.yaml:3:43
      |
    3 | say: ["stop", "status", "go ahead", "+1", "run it b=c"]
      |                                           ^^^^^^^^^^^^
      |
      = help: use letters, digits and inside a word `-`, `_`, `.`, `/`, `+` and `'`

    5 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn two_phrases_for_one_line() {
        insta::assert_snapshot!(told(&[("go.yaml", r#"runbook: begin
title: Start a service
say: ["Start {service} now"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: one line could mean this phrase and `Start {service} now`
     --> start.yaml:3:7
      |
    3 | say: ["start {service}"]
      |       ^^^^^^^^^^^^^^^^^
      |
      = note: the other is at go.yaml:3
      = help: change a word of one of the two

    1 problem in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn phrases_that_are_none() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["{service} up", "start{service}", "start {service} {service}", "", "start `x` {service}"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: a phrase begins with a word, or it would catch every line
     --> start.yaml:3:7
      |
    3 | say: ["{service} up", "start{service}", "start {service} {service}", "", "start `x` {service}"]
      |       ^^^^^^^^^^^^^^
      |
      = help: put a word before {service}

    error: `start{service}` is neither a word nor a {parameter}
     --> start.yaml:3:23
      |
    3 | say: ["{service} up", "start{service}", "start {service} {service}", "", "start `x` {service}"]
      |                       ^^^^^^^^^^^^^^^^
      |
      = help: put braces around a whole name, and spaces around the braces

    error: nobody can tell where {service} ends and {service} begins
     --> start.yaml:3:41
      |
    3 | say: ["{service} up", "start{service}", "start {service} {service}", "", "start `x` {service}"]
      |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: put a word between

    error: this phrase is empty
     --> start.yaml:3:70
      |
    3 | say: ["{service} up", "start{service}", "start {service} {service}", "", "start `x` {service}"]
      |                                                                      ^^
      |
      = help: write the words that one would say, such as `start {service}`

    error: ``x`` cannot be a word of a phrase
     --> start.yaml:3:74
      |
    3 | say: ["{service} up", "start{service}", "start {service} {service}", "", "start `x` {service}"]
      |                                                                          ^^^^^^^^^^^^^^^^^^^^^
      |
      = help: use letters, digits and inside a word `-`, `_`, `.`, `/`, `+` and `'`

    5 problems in 1 file; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_phrase_that_leaves_a_parameter_out() {
        insta::assert_snapshot!(told(&[("start.yaml", r#"runbook: start
title: Start a service
say: ["start it"]
params: {service: {type: service}}
approval: managers
steps:
  - name: Start
    run: {command: [web-ctl, start, "{{ service }}"]}
"#)]), @r#"
    error: this phrase leaves out `service`, which has no default
     --> start.yaml:3:7
      |
    3 | say: ["start it"]
      |       ^^^^^^^^^^
      |
      = help: put {service} into the phrase, or give the parameter a default

    1 problem in 1 file; the catalog is not loaded
    "#);
    }
}
#[test]
fn a_right_catalog_is_told_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    diagnostics_base::write(folder.path(), &[]);
    let loaded = runbook::load(folder.path()).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(loaded.files, ["people.yaml", "policy.yaml", "rooms.yaml", "start.yaml", "system.yaml"]);
}

/// A file that cannot be read hides nothing that is wrong in the others, and its names are known.
mod beside_a_broken_file {
    use super::told;

    /// Wrong in every way that needs other files to see.
    const WRONG: &str = r#"trigger: web-down
owner: meo
on: {check: "shop/wbe/running", becomes: critical}
run: strat
mode: atuo
"#;

    fn beside(broken: (&str, &str)) -> String {
        told(&[("triggers.yaml", WRONG), broken])
    }

    #[test]
    fn every_other_file_is_checked_in_full() {
        insta::assert_snapshot!(beside(("other.yaml", "trigger: cart-down\nowner: mei\nbrake: {}\n")), @r#"
    error: `brake` is not a key that can stand here
     --> other.yaml:3:1
      |
    3 | brake: {}
      | ^^^^^ expected `trigger`, `owner`, `on`, `run`, `with`, `mode` or `brakes`
      |
      = help: did you mean `brakes`?

    error: there is no person `meo`
     --> triggers.yaml:2:8
      |
    2 | owner: meo
      |        ^^^ expected `boss` or `mei`
      |
      = help: did you mean `mei`?

    error: system `shop` has no service `wbe`
     --> triggers.yaml:3:13
      |
    3 | on: {check: "shop/wbe/running", becomes: critical}
      |             ^^^^^^^^^^^^^^^^^^ expected `web`
      |
      = help: did you mean `web`?

    error: there is no runbook `strat`
     --> triggers.yaml:4:6
      |
    4 | run: strat
      |      ^^^^^ expected `start`
      |
      = help: did you mean `start`?

    error: there is no mode `atuo`
     --> triggers.yaml:5:7
      |
    5 | mode: atuo
      |       ^^^^ expected `shadow`, `ask` or `auto`
      |
      = help: did you mean `auto`?

    5 problems in 2 files; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_text_that_is_no_yaml_hides_nothing_either() {
        insta::assert_snapshot!(beside(("other.yaml", "trigger: cart-down\nowner: \"mei\n")), @r#"
    error: this is not YAML: invalid indentation in multiline quoted scalar
     --> other.yaml:2:13
      |
    2 | owner: "mei
      |            ^

    error: there is no person `meo`
     --> triggers.yaml:2:8
      |
    2 | owner: meo
      |        ^^^ expected `boss` or `mei`
      |
      = help: did you mean `mei`?

    error: system `shop` has no service `wbe`
     --> triggers.yaml:3:13
      |
    3 | on: {check: "shop/wbe/running", becomes: critical}
      |             ^^^^^^^^^^^^^^^^^^ expected `web`
      |
      = help: did you mean `web`?

    error: there is no runbook `strat`
     --> triggers.yaml:4:6
      |
    4 | run: strat
      |      ^^^^^ expected `start`
      |
      = help: did you mean `start`?

    error: there is no mode `atuo`
     --> triggers.yaml:5:7
      |
    5 | mode: atuo
      |       ^^^^ expected `shadow`, `ask` or `auto`
      |
      = help: did you mean `auto`?

    5 problems in 2 files; the catalog is not loaded
    "#);
    }

    #[test]
    fn a_name_in_a_broken_file_may_not_be_given_again() {
        insta::assert_snapshot!(beside(("other.yaml", "trigger: web-down\nowner: mei\nbrake: {}\n")), @r#"
    error: `brake` is not a key that can stand here
     --> other.yaml:3:1
      |
    3 | brake: {}
      | ^^^^^ expected `trigger`, `owner`, `on`, `run`, `with`, `mode` or `brakes`
      |
      = help: did you mean `brakes`?

    error: there is another trigger `web-down`
     --> triggers.yaml:1:10
      |
    1 | trigger: web-down
      |          ^^^^^^^^
      |
      = note: the other is at other.yaml:1

    error: there is no person `meo`
     --> triggers.yaml:2:8
      |
    2 | owner: meo
      |        ^^^ expected `boss` or `mei`
      |
      = help: did you mean `mei`?

    error: system `shop` has no service `wbe`
     --> triggers.yaml:3:13
      |
    3 | on: {check: "shop/wbe/running", becomes: critical}
      |             ^^^^^^^^^^^^^^^^^^ expected `web`
      |
      = help: did you mean `web`?

    error: there is no runbook `strat`
     --> triggers.yaml:4:6
      |
    4 | run: strat
      |      ^^^^^ expected `start`
      |
      = help: did you mean `start`?

    error: there is no mode `atuo`
     --> triggers.yaml:5:7
      |
    5 | mode: atuo
      |       ^^^^ expected `shadow`, `ask` or `auto`
      |
      = help: did you mean `auto`?

    6 problems in 2 files; the catalog is not loaded
    "#);
    }

    /// Each file in turn is broken while everything refers to it: nothing but the mistake is told.
    #[test]
    fn what_refers_to_a_broken_file_is_not_told() {
        let check = |broken: (&str, &str)| {
            let trigger = "trigger: web-down\nowner: mei\non: {check: \"shop/web/running\", becomes: critical}\nrun: start\nwith: {service: \"{{ service }}\"}\nmode: auto\n";
            let look = "runbook: look\ntitle: Look\nsystem: shop\nparams: {service: {type: service, default: web}}\nsteps: [{name: Look, check: web/running}, {name: Again, check: shop}]\n";
            let system = "system: shop\ntitle: The shop\nenvironment: production\nroom: ops\nmay_run: [group:support]\nservices:\n  web:\n    title: Web\n    checks:\n      running: {command: [web-status, web], every: 30s}\n";
            let policy = "policy: managers\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\nautomatic: [{trigger: web-down, runbook: start, at_most: {runs: 3, per: 1h}}]\n";
            let all =
                [("system.yaml", system), ("policy.yaml", policy), ("look.yaml", look), ("triggers.yaml", trigger)];
            let files: Vec<(&str, &str)> =
                all.into_iter().filter(|(path, _)| *path != broken.0).chain([broken]).collect();
            let told = told(&files);
            assert!(told.ends_with("1 problem in 1 file; the catalog is not loaded"), "{broken:?}: {told}");
            assert!(told.contains(&format!("--> {}:", broken.0)), "{broken:?}: {told}");
        };
        let people = "people:\n  mei: {accounts: [\"local:trial:mei\"]}\n  boss: {acounts: []}\ngroups:\n  support: [mei]\n  managers: [boss]\n";
        for broken in [
            ("system.yaml", "system: shop\ntitel: The shop\nservices:\n  web: {checks: {running: {}}}\n"),
            ("system.yaml", "system: shop\ntitle: [x\n"),
            ("system.yaml", "sytem: shop\nservices:\n  web: {checks: {running: {}}}\n"),
            ("people.yaml", people),
            ("people.yaml", "people: {mei: {accounts: [x\n"),
            (
                "people.yaml",
                "people: {mei: {accounts: [\"local:trial:mei\"]}, boss: {accounts: [\"local:trial:boss\"]}}\ngruops: {}\n",
            ),
            ("people.yaml", "people: 7\ngroups: 7\n"),
            (
                "people.yaml",
                "people:\n  mei: {accounts: [\"local:trial:mei\"]}\n  mei: {}\n  boss: {}\ngroups:\n  support: [mei]\n  managers: [boss]\n",
            ),
            ("rooms.yaml", "rooms: {ops: {adress: 'local:trial:ops'}}\n"),
            ("rooms.yaml", "rooms: {ops: {address: 'local:trial:ops}}\n"),
            ("policy.yaml", "policy: managers\ntitel: x\n"),
            ("policy.yaml", "policy: managers # they\ntitle: \"x\n"),
            ("start.yaml", "runbook: start\nsystem: shop\ntitel: x\n"),
            ("start.yaml", "runbook: 'start'\nsystem: shop\ntitle: \"x\n"),
            ("start.yaml", "title: Start a service\nsteps: []\n"),
            ("triggers.yaml", "trigger: web-down\nonwer: mei\n"),
            ("triggers.yaml", "trigger: web-down\nowner: {\n"),
        ] {
            check(broken);
        }
    }

    #[test]
    fn a_duration_stands_as_it_was_written() {
        insta::assert_snapshot!(told(&[("policy.yaml", "policy: managers\ntitle: A manager agrees\nstages: [{approvers: [group:managers], quorum: 1}]\nexpires: 10y\n")]), @r#"
    error: 10y is not possible here
     --> policy.yaml:4:10
      |
    4 | expires: 10y
      |          ^^^ expected a duration from 1s to 7days

    1 problem in 1 file; the catalog is not loaded
    "#);
    }
}

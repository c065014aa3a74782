//! What is told of `access:` that cannot be.

mod diagnostics_base;

use diagnostics_base::told;

/// The right catalog with this as who countersigns.
fn access(text: &str) -> String {
    told(&[("access.yaml", text)])
}

#[test]
fn somebody_countersigns_and_is_told_somewhere() {
    insta::assert_snapshot!(access("access: {changed_by: []}\n"), @"
    error: `countersigned_by` is missing here
     --> access.yaml:1:9
      |
    1 | access: {changed_by: []}
      |         ^
      |
      = help: say who agrees to a change of who may do what: `countersigned_by: [group:managers]`

    error: `room` is missing here
     --> access.yaml:1:9
      |
    1 | access: {changed_by: []}
      |         ^
      |
      = help: say which room is told: `room: ops`

    error: `changed_by` is empty
     --> access.yaml:1:22
      |
    1 | access: {changed_by: []}
      |                      ^
      |
      = help: name who wrote the change, or leave the key out

    3 problems in 1 file; the catalog is not loaded
    ");
}

#[test]
fn names_are_those_of_the_catalog() {
    insta::assert_snapshot!(
        access("access:\n  countersigned_by: [group:mangers, boss]\n  room: opps\n  changed_by: [zed]\n"), @"
        error: there is no group `mangers`
         --> access.yaml:2:22
          |
        2 |   countersigned_by: [group:mangers, boss]
          |                      ^^^^^^^^^^^^^ expected `group:managers` or `group:support`
          |
          = help: did you mean `group:managers`?

        error: `boss` names no person, group or rota
         --> access.yaml:2:37
          |
        2 |   countersigned_by: [group:mangers, boss]
          |                                     ^^^^ expected person:NAME, group:NAME or rota:NAME
          |
          = help: did you mean `person:boss`?

        error: there is no room `opps`
         --> access.yaml:3:9
          |
        3 |   room: opps
          |         ^^^^ expected `ops`
          |
          = help: did you mean `ops`?

        error: there is no person `zed`
         --> access.yaml:4:16
          |
        4 |   changed_by: [zed]
          |                ^^^ expected `boss` or `mei`

        4 problems in 1 file; the catalog is not loaded
        ");
}

#[test]
fn it_stands_once() {
    let right = "access: {countersigned_by: [group:managers], room: ops}\n";
    insta::assert_snapshot!(told(&[("access.yaml", right), ("more.yaml", right)]), @"
    error: there is another `access`
     --> more.yaml:1:9
      |
    1 | access: {countersigned_by: [group:managers], room: ops}
      |         ^
      |
      = note: the other is at access.yaml:1
      = help: keep one of the two

    1 problem in 1 file; the catalog is not loaded
    ");
}

#[test]
fn another_key_is_refused() {
    insta::assert_snapshot!(access("access: {countersigned_by: [group:managers], room: ops, quorum: 2}\n"), @"
    error: `quorum` is not a key that can stand here
     --> access.yaml:1:57
      |
    1 | access: {countersigned_by: [group:managers], room: ops, quorum: 2}
      |                                                         ^^^^^^ expected `countersigned_by`, `room` or `changed_by`

    1 problem in 1 file; the catalog is not loaded
    ");
}

//! What is told of `access:` that cannot be.

mod diagnostics_base;

use diagnostics_base::told;

/// The right catalog with this as who countersigns.
fn access(text: &str) -> String {
    told(&[("access.yaml", text)])
}

#[test]
fn somebody_countersigns_and_is_told_somewhere() {
    insta::assert_snapshot!(access("access: {changed_by: []}\n"), @"");
}

#[test]
fn names_are_those_of_the_catalog() {
    insta::assert_snapshot!(
        access("access:\n  countersigned_by: [group:mangers, boss]\n  room: opps\n  changed_by: [zed]\n"), @"");
}

#[test]
fn it_stands_once() {
    let right = "access: {countersigned_by: [group:managers], room: ops}\n";
    insta::assert_snapshot!(told(&[("access.yaml", right), ("more.yaml", right)]), @"");
}

#[test]
fn another_key_is_refused() {
    insta::assert_snapshot!(access("access: {countersigned_by: [group:managers], room: ops, quorum: 2}\n"), @"");
}

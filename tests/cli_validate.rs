//! `countersign validate` and the usage of `countersign plan`: the real program in an environment of its own.

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program in a folder, with nothing in its environment but what a shell would need.
fn countersign(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .output()
        .expect("it runs")
}

/// Exit code, stdout, stderr.
fn told(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_shipped_catalog_is_sound_and_lacks_nothing() {
    let (code, out, err) = told(countersign(source(), &["validate"]));
    assert_eq!(
        out,
        "runbooks: 4 runbooks, 1 system, 2 services, 2 triggers, 1 policy, 3 people, 2 groups, 1 rota, 1 room; all sound\n"
    );
    assert_eq!((code, err.as_str()), (Some(0), ""));
}

#[test]
fn every_problem_of_every_file_is_drawn_on_stderr_and_it_ends_with_1() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("rooms.yaml"), "rooms: {ops: {adress: x}}\n").expect("written");
    std::fs::write(folder.path().join("look.yaml"), "runbook: look\n").expect("written");
    let (code, out, err) = told(countersign(folder.path(), &["validate", "."]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    for shown in [
        " --> look.yaml:1:10\n",
        " --> rooms.yaml:1:15\n",
        "1 | rooms: {ops: {adress: x}}\n",
        "did you mean `address`?",
    ] {
        assert!(err.contains(shown), "{shown}: {err}");
    }
    assert!(err.ends_with("\n4 problems in 2 files; the catalog is not loaded\n"), "{err}");
}

#[test]
fn a_missing_folder_is_one_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let (code, out, err) = told(countersign(folder.path(), &["validate"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        err,
        "countersign: there is no folder runbooks: name the catalog's folder, such as `countersign validate runbooks`\n"
    );
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in [
        &["validate", "a", "b"][..],
        &["plan", "start-service"],
        &["plan", "start-service", "--data", "d", "--database", "postgres://h/n"],
        &["plan", "start-service", "service-b", "--data", "d"],
    ] {
        let (code, out, err) = told(countersign(source(), arguments));
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(err.starts_with("error: ") && err.contains("--help"), "{err}");
    }
}

#[test]
fn what_a_plan_cannot_be_made_of_is_one_sentence() {
    let plan = |arguments: &[&str]| {
        let arguments = [&["plan"], arguments].concat();
        let (code, out, err) = told(countersign(source(), &arguments));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}");
        err
    };
    let told = [
        plan(&["start-service", "service=service x", "--data", "/no/such/place"]),
        plan(&["start-service", "service=service b", "--data", "/no/such/place"]),
        plan(&["start-service", "service=service b", "--database", "mysql://mei:hush@h/n"]),
        plan(&["start-service", "service=service b", "--server", "127.0.0.1:1"]),
    ];
    insta::assert_snapshot!(told.concat(), @r#"
    countersign: "service x" is no service of start-service. Did you mean service-b?
    countersign: /no/such/place holds no database: name the data directory of a countersign that has run
    countersign: --database wants a URL such as postgres://USER:PASSWORD@HOST/NAME
    countersign: no token: set COUNTERSIGN_DATA to the server's data directory, or COUNTERSIGN_TOKEN to its token
    "#);
}

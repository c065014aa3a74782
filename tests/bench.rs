//! `countersign bench`: each of its parts runs through with tiny counts and leaves nothing behind. No time is judged.

use std::process::{Command, Stdio};

/// Runs one part; returns the keys of what it measured.
fn measured(part: &str) -> Vec<String> {
    let folder = tempfile::Builder::new().prefix("cs").tempdir_in("/tmp").expect("a folder");
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).expect("passable");
    let ended = Command::new(env!("CARGO_BIN_EXE_countersign"))
        .args(["bench", part, "--quick", "--rounds", "1", "--json", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{part}: {told}");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert!(left.is_empty(), "{part} leaves {left:?}: {told}");
    let json: serde_json::Value = serde_json::from_slice(&ended.stdout).expect("JSON");
    let measures = json["measures"].as_array().expect("measures");
    measures.iter().map(|measure| measure["measure"]["key"].as_str().expect("a key").to_owned()).collect()
}

fn has(measured: &[String], wanted: &[&str]) {
    for key in wanted {
        assert!(measured.iter().any(|measured| measured == key), "{key} is not in {measured:?}");
    }
}

#[test]
fn work_is_measured() {
    has(
        &measured("work"),
        &["commit_p50", "ping_p50", "group_32", "steps_32", "spawn_8", "exec_8", "cold", "after_kill"],
    );
}

#[test]
fn a_recovery_is_measured_beside_a_shell_loop() {
    has(&measured("recovery"), &["loop", "loop_ours", "recovery", "recovery_ours", "recovery_room", "recovery_well"]);
}

#[test]
fn restarts_are_measured_and_nothing_happens_twice() {
    has(
        &measured("restart"),
        &["postgres", "cold_managed", "claims", "spawns_left", "resumed", "runs_over", "doubled"],
    );
}

#[test]
fn the_footprint_is_measured() {
    has(
        &measured("footprint"),
        &["binary", "pss", "pss_alone", "cpu_idle", "pss_waiting", "disk_each", "page_waiting"],
    );
}

#[test]
fn pages_are_measured_beside_static_files() {
    has(&measured("pages"), &["page_room", "static_room", "page_incident", "page_ledger", "page_report", "fan_all"]);
}

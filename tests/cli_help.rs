//! What one reads first: the help, and the completions of shells.

use std::process::{Command, Output};

fn countersign(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(arguments).env_clear().env("COLUMNS", "100").output().expect("it runs")
}

fn printed(arguments: &[&str]) -> String {
    let output = countersign(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// The commands that a help lists.
fn listed(help: &str) -> Vec<String> {
    let from = help.split("Commands:\n").nth(1).expect("commands");
    let list = from.split("\n\n").next().expect("a list");
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn the_first_help_has_the_six_commands_that_people_use_first() {
    let help = printed(&["--help"]);
    assert_eq!(listed(&help), ["up", "say", "console", "validate", "plan", "report", "help"]);
    assert!(help.contains("countersign help --all"), "{help}");
}

#[test]
fn all_commands_are_told_when_asked_for_and_each_has_an_example() {
    let all = printed(&["help", "--all"]);
    for same in [["--help", "--all"], ["--all", "--help"], ["-h", "--all"]] {
        assert_eq!(printed(&same), all, "{same:?}");
    }
    let names = listed(&all);
    for wanted in [
        "tail",
        "init",
        "schema",
        "audit",
        "slack",
        "doctor",
        "completions",
        "healthcheck",
        "policy",
        "bench",
        "demo-ctl",
    ] {
        assert!(names.iter().any(|name| name == wanted), "{wanted}: {all}");
    }
    assert!(!names.iter().any(|name| name == "demo-service"), "only the program itself starts it");
    for name in names.iter().filter(|name| *name != "help") {
        let help = printed(&["help", name]);
        assert!(help.contains("Example"), "{name}: {help}");
        assert_eq!(help, printed(&[name, "--help"]), "{name}");
        // What a line says is not cut off by what stands before it.
        assert!(help.lines().all(|line| line.chars().count() <= 140), "{name}: {help}");
    }
}

#[test]
fn all_is_no_flag_of_anything_else() {
    for wrong in [&["--all"][..], &["say", "--all"], &["help", "--all", "--all"]] {
        assert_eq!(countersign(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn shells_get_their_completions() {
    for (shell, sign) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef countersign"),
        ("fish", "complete -c countersign"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = printed(&["completions", shell]);
        assert!(script.contains(sign) && script.contains("message-id"), "{shell}");
    }
    assert_eq!(countersign(&["completions", "cmd"]).status.code(), Some(2));
    let script = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(script.path(), printed(&["completions", "bash"])).expect("written");
    let read = Command::new("bash").arg("-n").arg(script.path()).output();
    // A machine without a bash has nobody to complete for.
    assert!(read.is_err() || read.is_ok_and(|read| read.status.success()));
}

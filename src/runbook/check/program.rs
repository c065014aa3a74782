//! Commands: which program, which scripts, and where a parameter's value may go.
//!
//! Keeps I9: a value from chat is one argument (or a part of one) of a program that the catalog fixes, never a part of
//! what some program reads as a program. The rules, in this order; "value" is an element with a template in it:
//!
//! 1. The program (the first element) holds no value. `./x` is a file below the catalog's root, wherever it stands,
//!    and holds none either.
//! 2. A wrapper (`sudo`, `env`, `timeout`, …) passes its rest on: between it and the wrapped program stands no value,
//!    and only options known here, for with others nobody can tell which element is the program. The wrapped program is
//!    then treated like the first element.
//! 3. After an interpreter (`sh`, `python3`, `perl`, …), at whichever place it stands: the first element that is no
//!    option (the script) holds no value, and none stands before it; and if any later element is an option that can
//!    bring program text (`-c`, `-e`, `-lc`, `--eval`, …), no later element at all holds a value. This refuses more
//!    than is dangerous: an option of the script itself can look the same. A script of its own (`./x`) is the way out.
//! 4. After a program whose arguments are a program or go to a shell (`awk`, `sed`, `ssh`, `xargs`, `su`, …) stands no
//!    value at all.
//!
//! What the rules cannot see: a program not listed here that hands its arguments to a shell, and what a script of the
//! author's own does with its arguments.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::super::words::quoted;
use super::template;

/// Where an element stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// The first: the program.
    Program,
    /// Any other.
    Argument,
}

/// What is wrong, and the one hint.
type Wrong = (String, Option<String>);

fn wrong(message: impl Into<String>, hint: impl Into<String>) -> Wrong {
    (message.into(), Some(hint.into()))
}

/// Checks one element by itself.
///
/// # Errors
/// What is wrong with it.
pub(super) fn word(root: &Path, position: Position, text: &str) -> Result<(), Wrong> {
    if text.contains('\0') {
        return Err(("no argument can hold a zero byte".to_owned(), None));
    }
    if let Err(message) = template::parse(text) {
        return Err(wrong(message, "write `{{ name }}` with the name of a parameter"));
    }
    let is_template = template::is_template(text);
    if position == Position::Program {
        if text.is_empty() {
            return Err(("the program's name is empty".to_owned(), None));
        }
        if is_template {
            let hint = "write the program's name; a parameter may only be an argument";
            return Err(wrong("the program is fixed: it holds no template", hint));
        }
        if text.contains(char::is_whitespace) {
            let hint = "no shell reads this line: write each word as its own element, `[systemctl, status, web]`";
            return Err(wrong(format!("{} is not one program's name", quoted(text)), hint));
        }
        if text.contains('/') && !text.starts_with('/') && !text.starts_with("./") {
            let hint = "write a name, an absolute path, or `./x` for a script of the catalog";
            return Err(wrong(format!("{} is a path from nowhere", quoted(text)), hint));
        }
        if text.starts_with('-') {
            return Err(wrong(format!("{} is an option, not a program", quoted(text)), "name the program first"));
        }
    }
    if text.starts_with("./") {
        if is_template {
            return Err(wrong("the name of a script holds no template", "choose between scripts within a script"));
        }
        script(root, position, text)?;
    }
    Ok(())
}

/// Checks that `./x` is a file below the root.
fn script(root: &Path, position: Position, text: &str) -> Result<(), Wrong> {
    let hint = "`./x` is a file below the catalog's root";
    let missing = || wrong(format!("there is no file {}", quoted(text)), hint);
    let path = root.join(text).canonicalize().map_err(|_| missing())?;
    if !path.starts_with(root) {
        return Err(wrong(format!("{} leads out of the catalog", quoted(text)), hint));
    }
    let metadata = path.metadata().map_err(|_| missing())?;
    if !metadata.is_file() {
        return Err(wrong(format!("{} is not a file", quoted(text)), hint));
    }
    if position == Position::Program && metadata.permissions().mode() & 0o111 == 0 {
        return Err(wrong(format!("{} is not executable", quoted(text)), format!("chmod +x {}", &text[2..])));
    }
    Ok(())
}

/// A wrapper: the options that it may have here, and how many operands stand before the wrapped program.
struct Wrapper {
    name: &'static str,
    /// Options without a value.
    flags: &'static [&'static str],
    /// Options whose value is the next element. The long ones may also have it after `=`.
    valued: &'static [&'static str],
    /// Whether `NAME=value` may stand before the program.
    assignments: bool,
    operands: usize,
}

const WRAPPERS: &[Wrapper] = &[
    Wrapper {
        name: "env",
        flags: &["-i", "--ignore-environment"],
        valued: &["-u", "--unset", "-C", "--chdir"],
        assignments: true,
        operands: 0,
    },
    Wrapper {
        name: "sudo",
        flags: &["-n", "--non-interactive", "-E", "--preserve-env", "-H", "--set-home"],
        valued: &["-u", "--user", "-g", "--group", "-D", "--chdir"],
        assignments: true,
        operands: 0,
    },
    Wrapper { name: "doas", flags: &["-n"], valued: &["-u"], assignments: false, operands: 0 },
    Wrapper { name: "nice", flags: &[], valued: &["-n", "--adjustment"], assignments: false, operands: 0 },
    Wrapper { name: "ionice", flags: &["-t"], valued: &["-c", "-n"], assignments: false, operands: 0 },
    Wrapper { name: "nohup", flags: &[], valued: &[], assignments: false, operands: 0 },
    Wrapper { name: "setsid", flags: &["-f", "-w", "--wait"], valued: &[], assignments: false, operands: 0 },
    Wrapper { name: "stdbuf", flags: &["-oL", "-o0"], valued: &["-i", "-o", "-e"], assignments: false, operands: 0 },
    Wrapper {
        name: "timeout",
        flags: &["--foreground", "--preserve-status"],
        valued: &["-k", "--kill-after", "-s", "--signal"],
        assignments: false,
        operands: 1,
    },
    Wrapper {
        name: "flock",
        flags: &["-n", "--nonblock", "-x", "-s"],
        valued: &["-w", "--timeout"],
        assignments: false,
        operands: 1,
    },
    Wrapper { name: "chroot", flags: &[], valued: &[], assignments: false, operands: 1 },
    Wrapper { name: "busybox", flags: &[], valued: &[], assignments: false, operands: 0 },
    Wrapper { name: "toybox", flags: &[], valued: &[], assignments: false, operands: 0 },
];

/// Programs that read a script, or program text from an option.
const INTERPRETERS: &[&str] = &[
    "ash",
    "bash",
    "bun",
    "csh",
    "dash",
    "deno",
    "elixir",
    "erl",
    "fish",
    "groovy",
    "guile",
    "irb",
    "julia",
    "ksh",
    "lua",
    "luajit",
    "mksh",
    "node",
    "nodejs",
    "octave",
    "osascript",
    "perl",
    "php",
    "powershell",
    "pwsh",
    "pypy",
    "python",
    "rbash",
    "rscript",
    "ruby",
    "runghc",
    "scala",
    "sh",
    "swipl",
    "tclsh",
    "tcsh",
    "zsh",
];

/// Programs whose arguments are program text or go to a shell, wherever they stand.
const TEXT_TAKERS: &[&str] =
    &["awk", "eval", "expect", "gawk", "gsed", "mawk", "nawk", "parallel", "runuser", "sed", "ssh", "su", "xargs"];

/// The same, but too common as ordinary words: only as the program.
const TEXT_TAKING_PROGRAMS: &[&str] = &[
    "at", "batch", "bc", "dc", "ed", "emacs", "ex", "gdb", "jq", "m4", "make", "mariadb", "mysql", "nvim", "psql",
    "screen", "script", "sqlite", "tmux", "vi", "vim", "watch",
];

/// Long options that bring program text.
const TEXT_OPTIONS: &[&str] = &[
    "code",
    "command",
    "eval",
    "exec",
    "execute",
    "expression",
    "import",
    "init-command",
    "init-file",
    "print",
    "rcfile",
    "require",
    "run",
];

/// The name of a program without its folder and version: `python` of `/usr/bin/python3.11`.
fn base(element: &str) -> String {
    let name = element.rsplit('/').next().unwrap_or(element);
    let name = name.strip_suffix(".exe").unwrap_or(name);
    name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '.').to_ascii_lowercase()
}

/// Whether an option can bring program text to an interpreter: `-c`, `-e`, `-lc`, `-pe`, `--eval`, `--command=…`.
fn brings_text(element: &str) -> bool {
    match element.strip_prefix("--") {
        Some(long) => TEXT_OPTIONS.contains(&long.split('=').next().unwrap_or(long)),
        None => element.strip_prefix('-').is_some_and(|short| short.contains(['c', 'e', 'r', 'p', 'C', 'E', 'R', 'P'])),
    }
}

/// Whether values may stand where they do in this command.
///
/// # Errors
/// The position of the first element that may not hold one, and what is wrong.
pub(super) fn values(command: &[&str]) -> Result<(), (usize, Wrong)> {
    let holds_value = |position: usize| template::is_template(command[position]);
    let Some(first_value) = (0..command.len()).find(|&position| holds_value(position)) else { return Ok(()) };
    let value_after = |position: usize| (position + 1..command.len()).find(|&later| holds_value(later));
    let hint = "put it into a script of the catalog: `[./x, \"{{ name }}\"]`";

    // The programs: the first element, and what wrappers wrap.
    let mut programs = vec![0];
    let mut program = 0;
    while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| wrapper.name == base(command[program])) {
        match wrapped(wrapper, command, program) {
            Some(next) if first_value > next => {
                program = next;
                programs.push(program);
            }
            _ => {
                let message = format!(
                    "after {} it is not clear that this is an argument and not the program or an option of it",
                    quoted(command[program])
                );
                let hint = format!("name the program before it, with `{}`'s plainest options only", wrapper.name);
                return Err((first_value, wrong(message, hint)));
            }
        }
    }

    for (position, element) in command.iter().enumerate() {
        let Some(value) = value_after(position) else { break };
        let name = base(element);
        let shown = quoted(element);
        let as_program = programs.contains(&position) && TEXT_TAKING_PROGRAMS.contains(&name.as_str());
        if as_program || TEXT_TAKERS.contains(&name.as_str()) {
            let message = format!("{shown} reads its arguments as a program, so no parameter may stand after it");
            return Err((value, wrong(message, hint)));
        }
        if INTERPRETERS.contains(&name.as_str()) {
            let later = &command[position + 1..];
            if let Some(option) = later.iter().find(|element| brings_text(element)) {
                let message = format!(
                    "{shown} may read this as a program because of {}: no parameter stands here",
                    quoted(option)
                );
                return Err((value, wrong(message, hint)));
            }
            let script = later.iter().position(|element| !element.starts_with('-')).map(|offset| position + 1 + offset);
            if script.is_none_or(|script| value <= script) {
                let message = format!("which script {shown} runs is fixed: no parameter stands here");
                return Err((value, wrong(message, hint)));
            }
        }
    }
    Ok(())
}

/// The position of the program that a wrapper at `position` wraps; `None` if that cannot be told.
fn wrapped(wrapper: &Wrapper, command: &[&str], position: usize) -> Option<usize> {
    let mut operands = wrapper.operands;
    let mut at = position + 1;
    while let Some(element) = command.get(at) {
        if *element == "--" {
            // Options end here; operands and the program follow.
        } else if element.starts_with('-') {
            let (option, value) =
                element.split_once('=').map_or((*element, None), |(option, value)| (option, Some(value)));
            if wrapper.valued.contains(&option) {
                if value.is_none() {
                    at += 1;
                }
            } else if !wrapper.flags.contains(&option) {
                return None;
            }
        } else if wrapper.assignments && element.split_once('=').is_some_and(|(name, _)| super::is_variable(name)) {
            // An assignment for the wrapped program.
        } else if operands > 0 {
            operands -= 1;
        } else {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_sorted() {
        for list in [INTERPRETERS, TEXT_TAKERS, TEXT_TAKING_PROGRAMS, TEXT_OPTIONS] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }

    #[test]
    fn i9_a_value_never_reaches_program_text() {
        for command in [
            &["sh", "-c", "start {{ a }}"][..],
            &["/bin/sh", "-c", "start \"$1\"", "--", "{{ a }}"],
            &["bash", "-lc", "x {{ a }}"],
            &["bash", "-ec", "{{ a }}"],
            &["bash", "{{ a }}"],
            &["bash", "-x", "{{ a }}"],
            &["bash", "{{ a }}", "./x"],
            &["bash", "-s", "--", "{{ a }}"],
            &["bash", "-o", "pipefail", "-c", "{{ a }}"],
            &["zsh", "-c", "{{ a }}"],
            &["fish", "--command", "{{ a }}"],
            &["fish", "--command={{ a }}"],
            &["python3", "-c", "print('{{ a }}')"],
            &["/usr/bin/python3.11", "-Ic", "{{ a }}"],
            &["python3", "-W", "ignore", "-c", "{{ a }}"],
            &["python3", "-m", "{{ a }}"],
            &["perl", "-I", "lib", "-E", "{{ a }}"],
            &["perl", "-pe", "s/x/{{ a }}/"],
            &["ruby", "-e", "{{ a }}"],
            &["node", "--eval", "{{ a }}"],
            &["node", "-p", "{{ a }}"],
            &["lua5.4", "-e", "{{ a }}"],
            &["php8.2", "-r", "{{ a }}"],
            &["Rscript", "-e", "{{ a }}"],
            &["pwsh", "-Command", "{{ a }}"],
            &["tclsh", "{{ a }}"],
            &["env", "-S", "sh -c {{ a }}"],
            &["env", "A=1", "sh", "-c", "{{ a }}"],
            &["env", "A={{ a }}", "web"],
            &["env", "{{ a }}"],
            &["busybox", "sh", "-c", "{{ a }}"],
            &["busybox", "{{ a }}"],
            &["sudo", "sh", "-c", "{{ a }}"],
            &["sudo", "-s", "x", "{{ a }}"],
            &["sudo", "-i", "x", "{{ a }}"],
            &["sudo", "-u", "deploy", "{{ a }}"],
            &["sudo", "--user", "deploy", "{{ a }}"],
            &["sudo", "--login", "x", "{{ a }}"],
            &["sudo", "-u", "{{ a }}", "web"],
            &["timeout", "5", "{{ a }}"],
            &["timeout", "5", "sh", "-c", "{{ a }}"],
            &["nice", "-n", "5", "ssh", "host", "{{ a }}"],
            &["nohup", "bash", "-c", "{{ a }}"],
            &["flock", "/run/x", "-c", "x {{ a }}"],
            &["docker", "exec", "web", "sh", "-c", "{{ a }}"],
            &["awk", "{{ a }}"],
            &["gawk", "-f", "x.awk", "{{ a }}"],
            &["sed", "-i", "s/a/{{ a }}/", "file"],
            &["ssh", "host", "start", "{{ a }}"],
            &["sudo", "ssh", "host", "{{ a }}"],
            &["xargs", "start", "{{ a }}"],
            &["su", "deploy", "-c", "{{ a }}"],
            &["expect", "{{ a }}"],
            &["watch", "{{ a }}"],
            &["make", "deploy", "SERVICE={{ a }}"],
            &["psql", "-c", "select '{{ a }}'"],
        ] {
            assert!(values(command).is_err(), "{command:?}");
        }
    }

    #[test]
    fn arguments_may_hold_values() {
        for command in [
            &["systemctl", "start", "{{ a }}"][..],
            &["countersign", "demo-ctl", "start", "{{ a }}"],
            &["web", "--name={{ a }}", "-c", "{{ b }}"],
            &["./deploy.sh", "-c", "{{ a }}"],
            &["bash", "./deploy.sh", "{{ a }}"],
            &["python3", "-u", "app.py", "--region", "{{ a }}"],
            &["python3", "-m", "http.server", "{{ a }}"],
            &["sudo", "systemctl", "start", "{{ a }}"],
            &["sudo", "-n", "-u", "deploy", "systemctl", "start", "{{ a }}"],
            &["sudo", "--user=deploy", "--", "systemctl", "start", "{{ a }}"],
            &["env", "A=1", "web", "{{ a }}"],
            &["timeout", "-k", "1", "5", "web", "{{ a }}"],
            &["flock", "-n", "/run/x", "web", "{{ a }}"],
            &["sudo", "timeout", "5", "web", "{{ a }}"],
            &["sh", "-c", "no value here"],
            &["announce", "watch", "{{ a }}"],
        ] {
            assert_eq!(values(command), Ok(()), "{command:?}");
        }
    }

    #[test]
    fn i9_the_program_is_fixed() {
        let root = Path::new("/nonexistent");
        for program in ["{{ a }}", "x{{ a }}", "./{{ a }}", "", "systemctl status", "bin/x", "../x", "-x", "./missing"]
        {
            assert!(word(root, Position::Program, program).is_err(), "{program}");
        }
        for program in ["systemctl", "/usr/bin/systemctl"] {
            assert_eq!(word(root, Position::Program, program), Ok(()), "{program}");
        }
        assert!(word(root, Position::Argument, "./{{ a }}").is_err());
        assert!(word(root, Position::Argument, "a\0b").is_err());
        assert_eq!(word(root, Position::Argument, ""), Ok(()));
        assert_eq!(word(root, Position::Argument, "x={{ a }}"), Ok(()));
    }
}

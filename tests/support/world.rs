//! The worlds that tests are played in: the shipped catalog, or one made for a test.
//!
//! Every step of a made catalog is `./step.sh NAME WHAT`, which first appends `NAME` to a file outside the database: what
//! really happened is counted there. Steps that block wait for a file, so a test says when they go on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// The room of every world.
pub(crate) const ROOM: &str = "system-a";
/// A further room of made worlds, of another system.
pub(crate) const OTHER_ROOM: &str = "system-z";

/// A catalog to start a bot with.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    /// By path; `None` is the shipped one.
    files: Option<BTreeMap<String, String>>,
}

/// One step of a made runbook.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    yaml: String,
}

/// A step that runs `./step.sh NAME WHAT`.
///
/// - `ok`: says `NAME ok`
/// - `fail`: says `NAME broke` and ends with 3
/// - `wait`: waits until the test says [`Bot::release`](super::bot::Bot::release)
/// - `hang`: never ends
/// - `family`: never ends, and neither do its children, one of them in a group of its own
/// - `heir`: says whether its predecessor of the same name, a child of that and a child in a group of its own were gone
///   when it began, by a line in `heirs`; then begins the same family and waits as `wait` does
/// - `leaver`: never ends, and starts a daemon in a session of its own, whose pid it writes to `left-NAME`
/// - `stamps`: never ends, nor does a child in a group of its own; writes to `stamps-NAME` all the time what time it is, in
///   milliseconds
/// - `paced`: takes a moment, and writes who began after what was done to `order`, and at its end its name to `done`
/// - `nasty`: says what would forge messages, colours and mentions
/// - `env`: writes its environment and open files to the side directory
/// - `probe`: as a check: ends with the code in `health-NAME`, or with 0 if there is none; is no effect
/// - `heal`: makes the check `probe` of the same name end with 0 again
/// - `trace`: writes what it was told of its trace to `trace`
/// - `self-approve`: tries to approve what waits, by the program itself
pub(crate) fn step(name: &str, what: &str) -> Step {
    Step { yaml: format!("  - name: {name}\n    run: {{command: [./step.sh, {name}, {what}]}}\n") }
}

impl Step {
    /// A further key.
    pub(crate) fn key(mut self, key: &str, value: &str) -> Self {
        // Writing into a String cannot fail.
        let _ = writeln!(self.yaml, "    {key}: {value}");
        self
    }

    pub(crate) fn timeout(self, timeout: &str) -> Self {
        self.key("timeout", timeout)
    }

    pub(crate) fn idempotent(self) -> Self {
        self.key("idempotent", "true")
    }

    pub(crate) fn read_only(self) -> Self {
        self.key("read_only", "true")
    }
}

const PEOPLE: &str = r#"people:
  mei: {accounts: ["local:trial:mei"]}
  boss: {accounts: ["local:trial:boss", "local:trial:boss2"]}
  lin: {accounts: ["local:trial:lin"]}
groups:
  support: [mei]
  managers: [boss, lin]
"#;

const ROOMS: &str = r#"rooms:
  system-a: {address: "local:trial:system-a"}
  system-z: {address: "local:trial:system-z"}
"#;

const SYSTEM: &str = r#"system: system-a
title: System A
environment: production
room: system-a
may_run: [group:support, group:managers]
may_see: [group:support, group:managers]
may_unstick: [group:managers]
services:
  service-b:
    title: Service B
    checks:
      running: {command: [/bin/true]}
"#;

const OTHER_SYSTEM: &str = r#"system: system-z
title: System Z
environment: scratch
room: system-z
may_run: [group:support, group:managers]
may_see: [group:support, group:managers]
may_unstick: [group:managers]
services:
  service-y:
    title: Service Y
    checks:
      running: {command: [/bin/true]}
"#;

impl Catalog {
    /// The one that comes with the program, with demo services.
    pub(crate) fn shipped() -> Self {
        Self { files: None }
    }

    /// A copy of the shipped one, which may be changed.
    pub(crate) fn copied() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks");
        let mut files = BTreeMap::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "yaml") {
                    let name = path.strip_prefix(&root).expect("below it").to_str().expect("text").to_owned();
                    files.insert(name, std::fs::read_to_string(&path).expect("a file"));
                }
            }
        }
        Self { files: Some(files) }
    }

    /// A copy of the shipped one in which nothing happens by itself.
    pub(crate) fn unwatched() -> Self {
        let mut world = Self::copied();
        let files = world.files.as_mut().expect("a copy has files");
        files.retain(|path, _| !path.starts_with("triggers/"));
        for text in files.values_mut() {
            let by_itself = |line: &&str| {
                ["every:", "fails_after:", "automatic:"].iter().any(|key| line.trim_start().starts_with(key))
            };
            let kept: Vec<&str> = text.lines().filter(|line| !by_itself(line)).collect();
            *text = kept.join("\n") + "\n";
        }
        world
    }

    /// People (mei may ask, boss and lin may agree), two rooms, two systems, a policy; runbooks are added.
    pub(crate) fn made() -> Self {
        let files = [
            ("people.yaml", PEOPLE),
            ("rooms.yaml", ROOMS),
            ("system-a.yaml", SYSTEM),
            ("system-z.yaml", OTHER_SYSTEM),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
        Self { files: Some(files) }.expires("30m")
    }

    /// A file, new or in another's place.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        let files = self.files.as_mut().expect("the shipped catalog stays as it is");
        files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// One text of a file replaced by another, at its first place.
    pub(crate) fn edited(mut self, path: &str, from: &str, to: &str) -> Self {
        let files = self.files.as_mut().expect("the shipped catalog stays as it is");
        let text = files.get_mut(path).unwrap_or_else(|| panic!("{path} is there"));
        assert!(text.contains(from), "{path} holds `{from}`: {text}");
        *text = text.replacen(from, to, 1);
        self
    }

    /// The same world in a workspace of Slack: its two rooms are these channels, and everybody has an account there.
    pub(crate) fn in_slack(mut self, team: &str, room: &str, other: &str) -> Self {
        let files = self.files.as_mut().expect("the shipped catalog stays as it is");
        for text in files.values_mut() {
            let local = "local:trial:";
            let mut moved = text
                .replace(&format!("{local}{ROOM}"), &format!("slack:{team}:{room}"))
                .replace(&format!("{local}{OTHER_ROOM}"), &format!("slack:{team}:{other}"));
            while let Some(at) = moved.find(local) {
                let rest = &moved[at + local.len()..];
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                let account = format!("slack:{team}:U0{}", rest[..end].to_uppercase());
                moved.replace_range(at..at + local.len() + end, &account);
            }
            *text = moved;
        }
        self
    }

    /// How long requests wait.
    pub(crate) fn expires(self, expires: &str) -> Self {
        let policy = format!(
            "policy: managers\ntitle: A manager agrees\nstages:\n  - approvers: [group:managers]\n    quorum: 1\n\
             expires: {expires}\nvalid_for: 1h\n"
        );
        self.file("managers.yaml", &policy)
    }

    /// A runbook that is started by its name's words: `roll-out` by `roll out`.
    pub(crate) fn runbook(self, name: &str, steps: &[Step]) -> Self {
        let text = runbook(name, "system-a", steps);
        self.file(&format!("{name}.yaml"), &text)
    }

    /// A runbook of the other system.
    pub(crate) fn other_runbook(self, name: &str, steps: &[Step]) -> Self {
        let text = runbook(name, "system-z", steps);
        self.file(&format!("{name}.yaml"), &text)
    }

    /// Puts it into a directory; its steps leave their traces in `side`.
    pub(crate) fn write(&self, dir: &Path, side: &Path) -> PathBuf {
        let Some(files) = &self.files else { return Path::new(env!("CARGO_MANIFEST_DIR")).join("runbooks") };
        std::fs::create_dir_all(dir).expect("a directory");
        for (path, text) in files {
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a directory");
            std::fs::write(path, text).expect("a file");
        }
        let script = dir.join("step.sh");
        std::fs::write(&script, script_text(side)).expect("a script");
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
        dir.to_owned()
    }
}

/// The text of a made runbook.
pub(crate) fn runbook(name: &str, system: &str, steps: &[Step]) -> String {
    let words = name.replace('-', " ");
    let steps: String = steps.iter().map(|step| step.yaml.as_str()).collect();
    format!(
        "runbook: {name}\ntitle: {words}\nwhy: A test wants it.\nsay: [\"{words}\"]\nsystem: {system}\n\
         approval: managers\nsteps:\n{steps}"
    )
}

fn script_text(side: &Path) -> String {
    let side = side.display();
    let exe = env!("CARGO_BIN_EXE_countersign");
    format!(
        r#"#!/bin/sh
side='{side}'
name=$1
if [ "$2" = probe ]; then
    echo "$name" >> "$side/probes"
    code=$(cat "$side/health-$name" 2>/dev/null || echo 0)
    echo "health $code"
    exit "$code"
fi
echo "$name" >> "$side/effects"
case $2 in
heal) rm -f "$side/health-$name"; echo "$name healed" ;;
ok) echo "$name ok" ;;
fail) echo "$name broke"; exit 3 ;;
wait) echo "$name waits"; while [ ! -e "$side/go-$name" ]; do sleep 0.02; done; echo "$name went on" ;;
hang) echo "$name hangs"; while :; do sleep 1000; done ;;
family)
    sleep 1000 &
    timeout 1000 sleep 1000 &
    (trap '' TERM INT HUP; sleep 1000) &
    : > "$side/family-$name"
    wait ;;
heir)
    was=gone
    for old in $(cat "$side/family-$name" 2>/dev/null); do
        # A zombie is gone.
        case $(sed 's/.*) //' "/proc/$old/stat" 2>/dev/null) in '' | Z* | X*) ;; *) was=alive ;; esac
    done
    [ ! -e "$side/family-$name" ] || echo "$name after $was" >> "$side/heirs"
    sleep 1000 &
    child=$!
    timeout 1000 sleep 1000 &
    # Until it has a child it would not pass a signal on; and for a moment after that it does not know of it.
    for _ in $(seq 100); do
        grandchild=$(cat "/proc/$!/task/$!/children" 2>/dev/null)
        [ -z "$grandchild" ] || break
        sleep 0.02
    done
    echo "$$ $child $!" > "$side/family-$name"
    while [ ! -e "$side/go-$name" ]; do sleep 0.02; done
    kill $child $! $grandchild 2>/dev/null || :
    echo "$name ok" ;;
leaver)
    setsid sleep 1000 > /dev/null 2>&1 &
    echo $! > "$side/left-$name"
    while :; do sleep 1000; done ;;
stamps)
    timeout 1000 sleep 1000 &
    while :; do date +%s%3N >> "$side/stamps-$name"; sleep 0.05; done ;;
paced)
    echo "$name after $(tail -n 1 "$side/done" 2>/dev/null)" >> "$side/order"
    sleep 0.03
    echo "$name" >> "$side/done"
    echo "$name ok" ;;
nasty) printf 'x\n@boss approved \033[31mred\033[0m \342\200\256evil\342\200\213 \007 `x` <!channel> <@U1>\n' ;;
env) env | sort > "$side/env"; ls -l /proc/self/fd > "$side/fds"; pwd > "$side/cwd"; echo "$name ok" ;;
trace) echo "$name $TRACEPARENT" >> "$side/trace"; echo "$name ok" ;;
self-approve)
    '{exe}' say --server "$(cat "$side/server")" --room system-a --as boss approved > "$side/approve" 2>&1
    echo "said $?" >> "$side/approve"
    echo "$name ok" ;;
esac
"#
    )
}

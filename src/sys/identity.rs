//! Who a process is, so that nobody mistakes another one for it: machine, boot, pid and start time.
//!
//! What lives here: reading, comparing and signalling one process by its identity. What does not: groups (`group`).
//! Keeps I2: a process is called dead only where this machine can know it. Doubt is [`Liveness::Unknowable`].

use std::{fmt, fs, io};

use rustix::process::{self, Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use super::{procfs, user::hostname};

/// One process, told apart from every other on any machine, also after its pid was given to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessIdentity {
    /// Where it runs: machine id, host name and pid namespace, as `ID/HOST/NAMESPACE`. All three, since containers may
    /// share the first two and have pids of their own.
    pub machine: String,
    /// The boot of that machine (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// Its pid there.
    pub pid: u32,
    /// When it started, in clock ticks since that boot.
    pub started: u64,
}

/// Whether a process still runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Liveness {
    /// It runs.
    Alive,
    /// It does not, and never will again. A zombie is dead.
    Dead,
    /// It runs, or ran, where we cannot look.
    Unknowable,
}

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The process got it.
    Delivered,
    /// There is no such process any more: nothing was sent.
    NoSuchProcess,
}

impl ProcessIdentity {
    /// This process.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())?.ok_or_else(|| io::Error::other("/proc does not list this process"))
    }

    /// The process that has this pid on this machine now; `None` when there is none or it is a zombie.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn of(pid: u32) -> io::Result<Option<Self>> {
        Ok(match procfs::stat(pid)? {
            Some(stat) if !stat.ended => Some(Self::from_stat(pid, stat.started)?),
            _ => None,
        })
    }

    /// As [`Self::of`], but a zombie counts: for a child that we have not collected yet.
    pub(super) fn of_own_child(pid: u32) -> io::Result<Self> {
        let stat =
            procfs::stat(pid)?.ok_or_else(|| io::Error::other("/proc does not list the process just started"))?;
        Self::from_stat(pid, stat.started)
    }

    fn from_stat(pid: u32, started: u64) -> io::Result<Self> {
        let here = Place::here()?;
        Ok(Self { machine: here.machine, boot: here.boot, pid, started })
    }

    /// Whether it still runs, as far as this machine can know. An unreadable `/proc` is [`Liveness::Unknowable`].
    pub fn liveness(&self) -> Liveness {
        let Ok(here) = Place::here() else { return Liveness::Unknowable };
        match here.relation(self) {
            Relation::EarlierBoot => Liveness::Dead,
            Relation::Elsewhere => Liveness::Unknowable,
            Relation::Here => match procfs::stat(self.pid) {
                Ok(Some(stat)) if stat.started == self.started && !stat.ended => Liveness::Alive,
                Ok(_) => Liveness::Dead,
                Err(_) => Liveness::Unknowable,
            },
        }
    }
}

impl fmt::Display for ProcessIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, boot, pid, started } = self;
        let host = machine.split('/').nth(1).unwrap_or(machine);
        let boot = boot.get(..8).unwrap_or(boot);
        write!(f, "process {pid} on {host} (boot {boot}, started at tick {started})")
    }
}

/// How an identity's place stands to ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    /// Same machine, same boot, same pids: we can look.
    Here,
    /// This machine, before it was started anew: everything of then is over.
    EarlierBoot,
    /// We cannot look, or cannot be sure that we would look at the right one.
    Elsewhere,
}

/// A machine between two boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    machine: String,
    boot: String,
}

/// Stands for a machine id where there is none.
const NO_MACHINE_ID: &str = "-";

impl Place {
    /// Where we are.
    pub(super) fn here() -> io::Result<Self> {
        let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .map(|text| text.trim().to_owned())
            .find(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .unwrap_or_else(|| NO_MACHINE_ID.to_owned());
        let namespace = fs::read_link("/proc/self/ns/pid")?;
        let namespace: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        // A host name holds no slash, but nothing enforces that.
        let host = hostname().replace('/', "_");
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { machine: format!("{id}/{host}/{namespace}"), boot })
    }

    pub(super) fn relation(&self, other: &ProcessIdentity) -> Relation {
        if self.machine == other.machine && self.boot == other.boot {
            return Relation::Here;
        }
        // Another boot of the same machine is proof of death. A host name alone does not make it the same machine: two
        // containers on two hosts may bear one name. The pid namespace may differ, for a container gets a new one.
        let (ours, theirs) = (host(&self.machine), host(&other.machine));
        let known = !ours.starts_with(NO_MACHINE_ID);
        if known && ours == theirs && self.boot != other.boot { Relation::EarlierBoot } else { Relation::Elsewhere }
    }
}

/// Machine id and host name, without the pid namespace.
fn host(machine: &str) -> &str {
    machine.rsplit_once('/').map_or(machine, |(host, _)| host)
}

/// Sends a signal to exactly this process.
///
/// The process is held by a descriptor while its identity is read again, so a pid that was given to another in between
/// is never signalled. On kernels without such descriptors (before 5.3) the identity is read right before.
///
/// # Errors
/// When the identity is of another machine, is pid 1 or this very process, or the system refuses.
pub fn kill(identity: &ProcessIdentity, signal: Signal) -> io::Result<Sent> {
    match Place::here()?.relation(identity) {
        Relation::Here => {}
        Relation::EarlierBoot => return Ok(Sent::NoSuchProcess),
        Relation::Elsewhere => {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!("{identity} is not on this machine, so it cannot be signalled from here"),
            ));
        }
    }
    kill_local(identity.pid, identity.started, signal)
}

/// As [`kill`], for a process that is known to be of this machine and boot.
pub(super) fn kill_local(pid: u32, started: u64, signal: Signal) -> io::Result<Sent> {
    if pid <= 1 || pid == std::process::id() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("process {pid} must not be signalled")));
    }
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(Sent::NoSuchProcess) };
    let descriptor = match process::pidfd_open(number, PidfdFlags::empty()) {
        Ok(descriptor) => Some(descriptor),
        Err(rustix::io::Errno::SRCH) => return Ok(Sent::NoSuchProcess),
        Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM | rustix::io::Errno::INVAL) => None,
        Err(error) => return Err(error.into()),
    };
    match procfs::stat(pid)? {
        Some(stat) if stat.started == started && !stat.ended => {}
        _ => return Ok(Sent::NoSuchProcess),
    }
    let outcome = match &descriptor {
        Some(descriptor) => process::pidfd_send_signal(descriptor, signal),
        None => process::kill_process(number, signal),
    };
    match outcome {
        Ok(()) => Ok(Sent::Delivered),
        Err(rustix::io::Errno::SRCH) => Ok(Sent::NoSuchProcess),
        Err(error) => Err(error.into()),
    }
}

/// Closes this process's memory and environment to other processes of the same user: what a step's program could
/// otherwise read of them in `/proc`. Not to root, and not files. A program that is started gets none of this; core dumps
/// end with it.
///
/// # Errors
/// When the system refuses.
pub fn close_to_others() -> std::io::Result<()> {
    Ok(rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn place(machine: &str, boot: &str) -> Place {
        Place { machine: machine.into(), boot: boot.into() }
    }

    fn identity(machine: &str, boot: &str) -> ProcessIdentity {
        ProcessIdentity { machine: machine.into(), boot: boot.into(), pid: 7, started: 9 }
    }

    #[test]
    fn own_identity_is_alive_and_survives_json() {
        let own = ProcessIdentity::own().unwrap();
        assert_eq!(own.pid, std::process::id());
        assert_eq!(own.liveness(), Liveness::Alive);
        let json = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<ProcessIdentity>(&json).unwrap(), own);
    }

    #[test]
    fn a_child_is_dead_as_a_zombie_and_after_wait() {
        let mut child = Command::new("/bin/sleep").arg("100").stdin(Stdio::null()).spawn().unwrap();
        let identity = ProcessIdentity::of(child.id()).unwrap().unwrap();
        assert_eq!(identity.liveness(), Liveness::Alive);
        assert_eq!(kill(&identity, Signal::KILL).unwrap(), Sent::Delivered);
        // Not collected yet: a zombie as soon as it is gone.
        let gone = (0..5000).any(|_| {
            std::thread::yield_now();
            identity.liveness() == Liveness::Dead || {
                std::thread::park_timeout(std::time::Duration::from_millis(1));
                false
            }
        });
        assert!(gone);
        assert_eq!(ProcessIdentity::of(child.id()).unwrap(), None);
        child.wait().unwrap();
        assert_eq!(identity.liveness(), Liveness::Dead);
        assert_eq!(kill(&identity, Signal::KILL).unwrap(), Sent::NoSuchProcess);
    }

    #[test]
    fn a_pid_that_was_given_to_another_is_not_signalled() {
        let mut child = Command::new("/bin/sleep").arg("100").stdin(Stdio::null()).spawn().unwrap();
        let real = ProcessIdentity::of(child.id()).unwrap().unwrap();
        let earlier = ProcessIdentity { started: real.started - 1, ..real.clone() };
        assert_eq!(earlier.liveness(), Liveness::Dead);
        assert_eq!(kill(&earlier, Signal::KILL).unwrap(), Sent::NoSuchProcess);
        assert_eq!(real.liveness(), Liveness::Alive);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn neither_the_first_process_nor_ourselves_are_signalled() {
        let own = ProcessIdentity::own().unwrap();
        assert!(kill(&own, Signal::CONT).is_err());
        assert!(kill(&ProcessIdentity { pid: 1, ..own.clone() }, Signal::CONT).is_err());
        assert!(kill(&ProcessIdentity { pid: 0, ..own }, Signal::CONT).is_err());
    }

    #[test]
    fn another_boot_of_a_known_machine_is_over() {
        let here = place("ab12/box/1", "boot-2");
        assert_eq!(here.relation(&identity("ab12/box/1", "boot-2")), Relation::Here);
        assert_eq!(here.relation(&identity("ab12/box/1", "boot-1")), Relation::EarlierBoot);
        assert_eq!(here.relation(&identity("ab12/box/2", "boot-1")), Relation::EarlierBoot);
    }

    #[test]
    fn another_machine_or_container_cannot_be_known() {
        let here = place("ab12/box/1", "boot-2");
        assert_eq!(here.relation(&identity("ab12/other/1", "boot-1")), Relation::Elsewhere);
        assert_eq!(here.relation(&identity("cd34/box/1", "boot-1")), Relation::Elsewhere);
        assert_eq!(here.relation(&identity("ab12/box/2", "boot-2")), Relation::Elsewhere);
        // Only a name: it may be another host of that name, or this one after a restart.
        assert_eq!(place("-/box/1", "boot-2").relation(&identity("-/box/1", "boot-1")), Relation::Elsewhere);
        assert_eq!(place("-/box/1", "boot-2").relation(&identity("-/box/1", "boot-2")), Relation::Here);
    }

    #[test]
    fn foreign_and_earlier_processes_are_judged_without_looking_at_the_pid() {
        let own = ProcessIdentity::own().unwrap();
        let foreign = ProcessIdentity { machine: "ff/elsewhere/1".into(), ..own };
        assert_eq!(foreign.liveness(), Liveness::Unknowable);
        assert!(kill(&foreign, Signal::KILL).is_err());
    }

    #[test]
    fn it_names_itself() {
        let identity = ProcessIdentity {
            machine: "ab12/box/4026531836".into(),
            boot: "5f3c2a10-aaaa-bbbb-cccc-000000000000".into(),
            pid: 4121,
            started: 99,
        };
        insta::assert_snapshot!(identity, @"process 4121 on box (boot 5f3c2a10, started at tick 99)");
    }

    #[test]
    fn a_closed_process_stays_closed_and_knows_itself() {
        close_to_others().expect("the system lets it");
        assert_eq!(
            rustix::process::dumpable_behavior().expect("it is told"),
            rustix::process::DumpableBehavior::NotDumpable
        );
        assert_eq!(ProcessIdentity::own().expect("still readable").liveness(), Liveness::Alive);
    }
}

//! Ending an attempt: finding every process that belongs to it, killing them, and proving that none is left.
//!
//! What lives here: the rule of what belongs to an attempt, and the loop that kills and looks again. What does not: when
//! an attempt must end, and what its outcome then is (`engine`).
//!
//! Keeps I2: [`end_group`] answers `Ok` only after the process table was read twice with nothing of the attempt in it.
//!
//! # What belongs to an attempt
//!
//! A step is started in a process group of its own, in our session, with its marker in the environment
//! ([`MARKER_VARIABLE`]). Children inherit all three. To an attempt belong:
//!
//! 1. **Every marked process that did not leave for a session of its own.** It left if its group is its session (the
//!    way of a daemon: `setsid` makes both), or if a marked process leads its session (the jobs of a shell that left).
//!    Such a process was put in the background on purpose and is spared. Having a *group* of its own is not leaving:
//!    `timeout 60 command` and a shell with job control make groups too, and what they run is part of the step.
//!    `nohup command &` does not leave either, and is killed.
//! 2. **Everything in the leader's group, marked or not**, for instance what was started with an emptied environment,
//!    but only if that group is proved to be ours: the leader's pid still has the leader's start time (as a zombie
//!    too), or a process of the group is marked. A pid is not given out again while a group of that number exists, so
//!    a leader's pid with another start time proves the opposite: the old group is gone, and this one is a stranger's.
//!
//! If the leader is gone and its group's number is in use by unmarked processes alone, neither is proved. They are not
//! killed, and the answer is [`EndGroupError::Doubtful`]: a person must look.
//!
//! Without a recorded leader (we were killed between starting the step and writing that down) the first rule alone finds
//! the processes. What the mark cannot show is a process that cleared its environment *and* left the group.
//!
//! Never killed: ourselves, anything of our own group, pid 1.

use std::{collections::BTreeSet, fmt, io, time::Duration};

use rustix::process::{self, Pid, Signal};
use tokio::time::Instant;

use super::{
    MARKER_VARIABLE, ProcessIdentity,
    identity::{Place, Relation, kill_local},
    procfs::{self, Mark, Process},
};

/// How an attempt's processes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupEnd {
    /// Nothing of it was there.
    AlreadyGone,
    /// So many processes were killed, and are gone.
    Killed(usize),
}

/// Why an attempt's processes are not proved gone.
#[derive(Debug, thiserror::Error)]
pub enum EndGroupError {
    /// They were killed and still run, which a process in an uninterruptible wait can do.
    #[error("{} did not end when killed", Pids(.pids))]
    StillThere {
        /// Who is left.
        pids: Vec<u32>,
    },
    /// The leader is gone and nothing shows whether the processes that have its group's number are of the attempt.
    #[error("group {group} is in use by {}, and nothing shows whether that is the attempt's", Pids(.pids))]
    Doubtful {
        /// The number of the group.
        group: u32,
        /// Who is in it. None of them was signalled.
        pids: Vec<u32>,
    },
    /// The attempt ran on another machine, or in another container.
    #[error("{leader} is not on this machine, so its end cannot be proved from here")]
    Elsewhere {
        /// The leader that was named.
        leader: ProcessIdentity,
    },
    /// The process table could not be read, or a process could not be signalled.
    #[error(transparent)]
    Io(#[from] io::Error),
}

struct Pids<'a>(&'a [u32]);

impl fmt::Display for Pids<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "process" } else { "processes" })?;
        for (index, pid) in self.0.iter().enumerate() {
            write!(f, "{} {pid}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Kills everything that belongs to an attempt and returns when it is gone; the module's header has the rule.
///
/// `leader` is the attempt's first process, whose pid is also its group's number, if it was recorded. `marker` is what
/// the step was spawned with. `within` bounds the whole call. Without a leader only this machine is looked at: that the
/// attempt ran here is for the caller to know.
///
/// # Errors
/// See [`EndGroupError`]. After an error, processes may have been killed, and the attempt is not proved gone.
pub async fn end_group(
    leader: Option<&ProcessIdentity>,
    marker: &str,
    within: Duration,
) -> Result<GroupEnd, EndGroupError> {
    let leader = match leader {
        None => None,
        Some(identity) => match Place::here()?.relation(identity) {
            Relation::Here => Some(Leader { pid: identity.pid, started: identity.started }),
            Relation::EarlierBoot => return Ok(GroupEnd::AlreadyGone),
            Relation::Elsewhere => return Err(EndGroupError::Elsewhere { leader: identity.clone() }),
        },
    };
    let own = Own { pid: std::process::id(), group: process::getpgrp().as_raw_nonzero().get().unsigned_abs() };
    let deadline = Instant::now() + within;
    let mut killed = BTreeSet::new();
    let mut proved = false;
    let mut pause = Duration::from_millis(1);
    let mut quiet = 0;
    loop {
        let verdict = judge(&table(marker).await?, leader, own, proved);
        if verdict.is_empty() {
            quiet += 1;
            // One reading may miss a process: one that was forked behind the reader's back by a parent that ended before
            // its own row was read, or one that is amid an exec and shows no environment. A second, a little later,
            // finds it.
            if quiet == 2 {
                return Ok(match killed.len() {
                    0 => GroupEnd::AlreadyGone,
                    count => GroupEnd::Killed(count),
                });
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            continue;
        }
        quiet = 0;
        // Once proved, the members that are still dying need no further proof: they are waited for.
        proved |= verdict.group_proof.is_some();
        if let (Some(leader), Some(proof)) = (leader, verdict.group_proof) {
            kill_group_of(leader, proof)?;
            killed.extend(verdict.group.iter().copied());
        }
        for (pid, started) in &verdict.single {
            kill_local(*pid, *started, Signal::KILL)?;
            killed.insert(*pid);
        }
        if Instant::now() >= deadline {
            return Err(verdict.into_error(leader));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// The marks of living processes that begin so, each once.
///
/// # Errors
/// When `/proc` cannot be read.
pub async fn marks(beginning: &str) -> io::Result<BTreeSet<String>> {
    let beginning = beginning.to_owned();
    tokio::task::spawn_blocking(move || procfs::values(MARKER_VARIABLE, &beginning)).await.map_err(io::Error::other)?
}

/// Whether no process at all has the number of the leader's group, not even a zombie: then the group is gone for certain.
/// Cheap. If there is one, nothing shows that it is the leader's: that is for [`end_group`].
pub fn group_is_empty(leader: &ProcessIdentity) -> bool {
    let group = i32::try_from(leader.pid).ok().and_then(Pid::from_raw);
    group.is_some_and(|group| process::test_kill_process_group(group) == Err(rustix::io::Errno::SRCH))
}

async fn table(marker: &str) -> io::Result<Vec<Process>> {
    let marker = marker.to_owned();
    // Some hundred small reads: short, but not for a thread that serves others.
    tokio::task::spawn_blocking(move || procfs::table(MARKER_VARIABLE, &marker)).await.map_err(io::Error::other)?
}

#[derive(Debug, Clone, Copy)]
struct Leader {
    pid: u32,
    started: u64,
}

#[derive(Debug, Clone, Copy)]
struct Own {
    pid: u32,
    group: u32,
}

/// The process by which a group is known to be ours: pid and start time.
type Proof = (u32, u64);

/// What one reading of the process table shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict {
    /// The living members of the leader's group, when it is proved ours or was so before.
    group: Vec<u32>,
    /// What proves it now. Without it the group is waited for and not signalled.
    group_proof: Option<Proof>,
    /// Living processes of the attempt outside that group.
    single: Vec<(u32, u64)>,
    /// The living members of a group of the leader's number, of which nothing is proved.
    doubtful: Vec<u32>,
}

impl Verdict {
    fn is_empty(&self) -> bool {
        self.group.is_empty() && self.single.is_empty() && self.doubtful.is_empty()
    }

    fn into_error(self, leader: Option<Leader>) -> EndGroupError {
        match leader {
            Some(leader) if self.group.is_empty() && self.single.is_empty() => {
                EndGroupError::Doubtful { group: leader.pid, pids: self.doubtful }
            }
            _ => {
                let single = self.single.into_iter().map(|(pid, _)| pid);
                EndGroupError::StillThere { pids: self.group.into_iter().chain(single).chain(self.doubtful).collect() }
            }
        }
    }
}

/// Applies the rule of the module's header to one reading of the process table.
fn judge(table: &[Process], leader: Option<Leader>, own: Own, proved_before: bool) -> Verdict {
    let mut verdict = Verdict::default();
    let touchable =
        |row: &&Process| !row.stat.ended && row.pid > 1 && row.pid != own.pid && row.stat.group != own.group;
    let marked = |row: &Process| row.mark == Mark::Marked;
    let left = |row: &Process| {
        row.stat.group == row.stat.session || table.iter().any(|other| other.pid == row.stat.session && marked(other))
    };

    let leader_group = leader.map(|leader| leader.pid).filter(|group| *group > 1 && *group != own.group);
    if let (Some(leader), Some(group)) = (leader, leader_group) {
        let members: Vec<&Process> = table.iter().filter(touchable).filter(|row| row.stat.group == group).collect();
        let holder = table.iter().find(|row| row.pid == leader.pid);
        let by_leader = holder.filter(|row| row.stat.started == leader.started && row.stat.group == group);
        let by_mark = members.iter().copied().find(|row| marked(row) && !left(row));
        // Given to another process since: the old group cannot exist any more.
        let strangers = holder.is_some() && by_leader.is_none();
        let pids = members.iter().map(|row| row.pid).collect();
        match by_leader.or(by_mark) {
            Some(proof) if !members.is_empty() => {
                verdict.group = pids;
                verdict.group_proof = Some((proof.pid, proof.stat.started));
            }
            _ if strangers => {}
            _ if proved_before => verdict.group = pids,
            _ => verdict.doubtful = pids,
        }
    }
    verdict.single = table
        .iter()
        .filter(touchable)
        .filter(|row| marked(row) && !left(row) && !verdict.group.contains(&row.pid))
        .map(|row| (row.pid, row.stat.started))
        .collect();
    verdict
}

/// Kills the leader's group if what proved it to be ours is still there. One call for all members, since killing them
/// one by one would leave each the time to start another.
fn kill_group_of(leader: Leader, (pid, started): Proof) -> io::Result<()> {
    let still = procfs::stat(pid)?.is_some_and(|stat| stat.started == started && stat.group == leader.pid);
    let Some(group) = i32::try_from(leader.pid).ok().and_then(Pid::from_raw).filter(|_| still) else { return Ok(()) };
    match process::kill_process_group(group, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, path::PathBuf};

    use super::{super::procfs::Stat, *};
    use crate::sys::{Child, Liveness, Spawn, spawn};

    const OWN: Own = Own { pid: 500, group: 400 };
    const BOT_SESSION: u32 = 300;

    fn row(pid: u32, group: u32, session: u32, started: u64, mark: Mark) -> Process {
        Process { pid, stat: Stat { group, session, started, ended: false }, mark }
    }

    fn leader(pid: u32, started: u64) -> Option<Leader> {
        Some(Leader { pid, started })
    }

    #[test]
    fn the_group_of_a_living_leader_is_ours_unmarked_members_too() {
        let table = [row(900, 900, BOT_SESSION, 7, Mark::Marked), row(901, 900, BOT_SESSION, 8, Mark::Unmarked)];
        let verdict = judge(&table, leader(900, 7), OWN, false);
        assert_eq!((verdict.group, verdict.group_proof), (vec![900, 901], Some((900, 7))));
        assert!(verdict.single.is_empty());
    }

    #[test]
    fn a_zombie_leader_proves_its_group_and_is_not_counted() {
        let mut zombie = row(900, 900, BOT_SESSION, 7, Mark::Unmarked);
        zombie.stat.ended = true;
        let member = row(901, 900, BOT_SESSION, 8, Mark::Unreadable);
        let verdict = judge(&[zombie, member], leader(900, 7), OWN, false);
        assert_eq!((verdict.group, verdict.group_proof), (vec![901], Some((900, 7))));
        assert!(judge(&[zombie], leader(900, 7), OWN, false).is_empty());
    }

    #[test]
    fn a_marked_member_proves_the_group_after_the_leader() {
        let table = [row(901, 900, BOT_SESSION, 8, Mark::Unmarked), row(902, 900, BOT_SESSION, 9, Mark::Marked)];
        let verdict = judge(&table, leader(900, 7), OWN, false);
        assert_eq!((verdict.group, verdict.group_proof), (vec![901, 902], Some((902, 9))));
    }

    #[test]
    fn a_reused_pid_is_a_stranger() {
        let table = [row(900, 900, BOT_SESSION, 70, Mark::Unmarked), row(901, 900, BOT_SESSION, 80, Mark::Unmarked)];
        assert!(judge(&table, leader(900, 7), OWN, false).is_empty());
        assert!(judge(&table, leader(900, 7), OWN, true).is_empty());
    }

    #[test]
    fn unmarked_processes_in_a_group_without_a_leader_are_doubtful_and_not_killed() {
        let table = [row(901, 900, BOT_SESSION, 8, Mark::Unreadable)];
        let verdict = judge(&table, leader(900, 7), OWN, false);
        assert_eq!(verdict, Verdict { doubtful: vec![901], ..Verdict::default() });
        // Unless they were ours a moment ago: then they are waited for, and still not signalled.
        let verdict = judge(&table, leader(900, 7), OWN, true);
        assert_eq!(verdict, Verdict { group: vec![901], ..Verdict::default() });
        let error = judge(&table, leader(900, 7), OWN, false).into_error(leader(900, 7));
        insta::assert_snapshot!(error, @"group 900 is in use by process 901, and nothing shows whether that is the attempt's");
    }

    #[test]
    fn a_marked_process_in_a_group_of_its_own_belongs_to_the_attempt() {
        // What `timeout` does.
        let table = [row(900, 900, BOT_SESSION, 7, Mark::Marked), row(905, 905, BOT_SESSION, 9, Mark::Marked)];
        let verdict = judge(&table, leader(900, 7), OWN, false);
        assert_eq!((verdict.group, verdict.single), (vec![900], vec![(905, 9)]));
    }

    #[test]
    fn what_left_for_a_session_of_its_own_is_spared() {
        let daemon = row(910, 910, 910, 9, Mark::Marked);
        let twice_forked = row(912, 911, 911, 9, Mark::Marked);
        let job_of_a_shell_that_left = row(913, 913, 910, 9, Mark::Marked);
        let table = [daemon, twice_forked, job_of_a_shell_that_left];
        assert!(judge(&table, None, OWN, false).is_empty());
        assert!(judge(&table, leader(900, 7), OWN, false).is_empty());
    }

    #[test]
    fn without_a_leader_the_marked_ones_are_found_whether_or_not_their_leader_lives() {
        let table = [
            row(900, 900, BOT_SESSION, 7, Mark::Marked),
            row(901, 900, BOT_SESSION, 7, Mark::Marked),
            row(921, 920, BOT_SESSION, 7, Mark::Marked),
            row(930, 930, BOT_SESSION, 7, Mark::Unmarked),
        ];
        let verdict = judge(&table, None, OWN, false);
        assert_eq!(verdict.single, [(900, 7), (901, 7), (921, 7)]);
        assert!(verdict.group.is_empty() && verdict.doubtful.is_empty());
    }

    #[test]
    fn neither_ourselves_nor_our_group_nor_pid_one() {
        let table = [
            row(1, 0, 0, 1, Mark::Marked),
            row(500, 400, BOT_SESSION, 2, Mark::Marked),
            row(501, 400, BOT_SESSION, 3, Mark::Marked),
        ];
        assert!(judge(&table, None, OWN, false).is_empty());
        assert!(judge(&table, leader(400, 2), OWN, false).is_empty());
        assert!(judge(&table, leader(1, 1), OWN, false).is_empty());
        assert!(judge(&table, leader(0, 1), OWN, true).is_empty());
    }

    fn shell(script: &str, marker: &str) -> Child {
        spawn(Spawn {
            program: PathBuf::from("/bin/sh"),
            argv: ["sh", "-c", script].map(OsString::from).to_vec(),
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            cwd: PathBuf::from("/"),
            marker: Some(marker.to_owned()),
        })
        .unwrap()
    }

    fn marker(name: &str) -> String {
        format!("test-{}-{name}", std::process::id())
    }

    async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "it did not come about in 20 s");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn running(marker: &str) -> Vec<Process> {
        procfs::table(MARKER_VARIABLE, marker)
            .unwrap()
            .into_iter()
            .filter(|row| row.mark == Mark::Marked && !row.stat.ended)
            .collect()
    }

    /// Waits until so many marked processes run.
    async fn until_running(marker: &str, count: usize) -> Vec<Process> {
        until(|| Some(running(marker)).filter(|rows| rows.len() == count)).await
    }

    /// Waits for a `sleep` of this group that was started with an emptied environment.
    async fn until_unmarked_sleep(group: u32) -> Process {
        until(|| {
            let table = procfs::table(MARKER_VARIABLE, "").unwrap();
            table.into_iter().find(|row| {
                let program = std::fs::read_to_string(format!("/proc/{}/comm", row.pid));
                let bare = std::fs::read(format!("/proc/{}/environ", row.pid)).is_ok_and(|environ| environ.is_empty());
                row.stat.group == group && bare && program.is_ok_and(|program| program == "sleep\n")
            })
        })
        .await
    }

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn i2_children_and_grandchildren_are_killed_with_the_leader() {
        let marker = marker("tree");
        let mut child = shell("sleep 100 & (sleep 100 & sleep 100; true) & wait", &marker);
        until_running(&marker, 5).await;
        let leader = child.identity().clone();
        assert_eq!(end_group(Some(&leader), &marker, LONG).await.unwrap(), GroupEnd::Killed(5));
        assert!(running(&marker).is_empty());
        assert_eq!(end_group(Some(&leader), &marker, LONG).await.unwrap(), GroupEnd::AlreadyGone);
        assert!(!child.wait().await.unwrap().success());
        assert_eq!(leader.liveness(), Liveness::Dead);
    }

    #[tokio::test]
    async fn i2_orphans_are_found_after_the_leader_is_gone() {
        let marker = marker("orphans");
        let mut child = shell("sleep 100 & env -i sleep 100 & sleep 0", &marker);
        child.wait().await.unwrap();
        let group = child.group();
        let members = || {
            let table = procfs::table(MARKER_VARIABLE, &marker).unwrap();
            table.into_iter().filter(|row| row.stat.group == group && !row.stat.ended).collect::<Vec<_>>()
        };
        until_unmarked_sleep(group).await;
        assert_eq!(end_group(Some(child.identity()), &marker, LONG).await.unwrap(), GroupEnd::Killed(2));
        assert!(members().is_empty());
    }

    #[tokio::test]
    async fn i2_the_mark_alone_finds_a_step_whose_leader_was_not_recorded() {
        let marker = marker("unrecorded");
        let mut child = shell("sleep 100 & timeout 90 sleep 80 & wait", &marker);
        until_running(&marker, 4).await;
        assert_eq!(end_group(None, &marker, LONG).await.unwrap(), GroupEnd::Killed(4));
        assert!(running(&marker).is_empty());
        child.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_daemon_that_left_is_spared() {
        let marker = marker("daemon");
        let mut child = shell("setsid sleep 100 & exec sleep 100", &marker);
        let rows = until(|| {
            let rows = running(&marker);
            (rows.len() == 2 && rows.iter().any(|row| row.stat.session == row.pid)).then_some(rows)
        })
        .await;
        let daemon = rows.iter().find(|row| row.stat.session == row.pid).unwrap();
        assert_eq!(end_group(Some(child.identity()), &marker, LONG).await.unwrap(), GroupEnd::Killed(1));
        child.wait().await.unwrap();
        let daemon = ProcessIdentity::of(daemon.pid).unwrap().unwrap();
        assert_eq!(daemon.liveness(), Liveness::Alive);
        crate::sys::kill(&daemon, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn another_start_time_or_another_marker_kills_nobody() {
        let marker = marker("stranger");
        let mut child = shell("exec sleep 100", &marker);
        let earlier = ProcessIdentity { started: child.identity().started - 1, ..child.identity().clone() };
        let other = [&marker, "0"].concat();
        assert_eq!(end_group(Some(&earlier), &other, LONG).await.unwrap(), GroupEnd::AlreadyGone);
        assert_eq!(end_group(None, &other, LONG).await.unwrap(), GroupEnd::AlreadyGone);
        assert_eq!(child.identity().liveness(), Liveness::Alive);
        child.kill_group().unwrap();
        child.wait().await.unwrap();
    }

    #[tokio::test]
    async fn a_group_without_proof_is_reported_and_left_alone() {
        let marker = marker("doubt");
        let mut child = shell("env -i sleep 100 & sleep 0", &marker);
        child.wait().await.unwrap();
        let member = until_unmarked_sleep(child.group()).await;
        let error = end_group(Some(child.identity()), &marker, Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(&error, EndGroupError::Doubtful { pids, .. } if *pids == [member.pid]), "{error}");
        let member = ProcessIdentity::of(member.pid).unwrap().unwrap();
        assert_eq!(member.liveness(), Liveness::Alive);
        crate::sys::kill(&member, Signal::KILL).unwrap();
    }

    #[tokio::test]
    async fn elsewhere_cannot_be_proved() {
        let own = ProcessIdentity::own().unwrap();
        let foreign = ProcessIdentity { machine: "ff/app-2/1".into(), pid: 77, ..own };
        let error = end_group(Some(&foreign), "none", LONG).await.unwrap_err();
        assert!(matches!(error, EndGroupError::Elsewhere { .. }));
    }

    #[test]
    fn what_is_left_is_named() {
        let error = EndGroupError::StillThere { pids: vec![4, 5] };
        insta::assert_snapshot!(error, @"processes 4, 5 did not end when killed");
    }
}

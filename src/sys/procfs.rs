//! What `/proc` says: one line of `stat`, and which environment a process was started with.
//!
//! Reading only. Nothing here decides anything about a process.

use std::{collections::BTreeSet, fs, io, path::Path};

/// The fields of `/proc/PID/stat` that tell processes apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    /// Its process group.
    pub group: u32,
    /// Its session.
    pub session: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
    /// It has ended and only waits to be collected by its parent.
    pub ended: bool,
}

/// Whether a process was started with our marker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Its environment holds the marker.
    Marked,
    /// Its environment does not hold it.
    Unmarked,
    /// We may not read its environment.
    Unreadable,
}

/// One row of the process table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: u32,
    pub stat: Stat,
    pub mark: Mark,
}

/// Reads one process, a zombie included; `None` when there is none of that pid.
pub(super) fn stat(pid: u32) -> io::Result<Option<Stat>> {
    match fs::read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => parse_stat(&String::from_utf8_lossy(&bytes))
            .map(Some)
            .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat is not in the form that Linux writes"))),
        Err(error) if is_gone(&error) => {
            // Without /proc every process would look dead, and somebody would take over from a living one.
            if Path::new("/proc/self/stat").exists() { Ok(None) } else { Err(no_proc()) }
        }
        Err(error) => Err(error),
    }
}

/// Every process that we can see, and whether its environment holds exactly `variable=value`.
pub(super) fn table(variable: &str, value: &str) -> io::Result<Vec<Process>> {
    let wanted = [variable, "=", value].concat();
    let mut found = Vec::new();
    let mut names = fs::read_dir("/proc")?.peekable();
    if names.peek().is_none() {
        return Err(no_proc());
    }
    for name in names {
        let Some(pid) = name?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = match stat(pid) {
            Ok(Some(stat)) => stat,
            Ok(None) => continue,
            // /proc may be mounted so that other users' processes are hidden (`hidepid`): never ours.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => continue,
            Err(error) => return Err(error),
        };
        let mark = match fs::read(format!("/proc/{pid}/environ")) {
            Ok(bytes) if holds(&bytes, wanted.as_bytes()) => Mark::Marked,
            Ok(_) => Mark::Unmarked,
            // Ended between the two readings: the next look at the table will not show it.
            Err(error) if is_gone(&error) => continue,
            Err(_) => Mark::Unreadable,
        };
        found.push(Process { pid, stat, mark });
    }
    Ok(found)
}

/// The values of a variable, among the living processes that have it, that begin so.
pub(super) fn values(variable: &str, beginning: &str) -> io::Result<BTreeSet<String>> {
    let wanted = [variable, "=", beginning].concat();
    let mut found = BTreeSet::new();
    let mut names = fs::read_dir("/proc")?.peekable();
    if names.peek().is_none() {
        return Err(no_proc());
    }
    for name in names {
        let Some(pid) = name?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Ended meanwhile, or not ours to read, and so not started by us.
        let Ok(environ) = fs::read(format!("/proc/{pid}/environ")) else { continue };
        let values = environ.split(|byte| *byte == 0).filter(|entry| entry.starts_with(wanted.as_bytes()));
        found.extend(values.map(|entry| String::from_utf8_lossy(&entry[variable.len() + 1..]).into_owned()));
    }
    Ok(found)
}

fn holds(environ: &[u8], wanted: &[u8]) -> bool {
    environ.split(|byte| *byte == 0).any(|entry| entry == wanted)
}

/// The command's name stands in parentheses and may itself hold spaces and parentheses, so the fields are counted from
/// the last one.
fn parse_stat(line: &str) -> Option<Stat> {
    let fields: Vec<&str> = line[line.rfind(')')? + 1..].split_ascii_whitespace().collect();
    // The list starts at field 3 of proc(5), the state: index = field - 3.
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // A process whose first thread has left while others run shows the state of a zombie too, but lives.
    let alone = number(17)? <= 1;
    Some(Stat {
        group: number(2)?.try_into().ok()?,
        session: number(3)?.try_into().ok()?,
        started: number(19)?,
        ended: alone && matches!(*fields.first()?, "Z" | "X" | "x"),
    })
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn no_proc() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "/proc is not there, so nothing can be said about processes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_counted_from_the_last_parenthesis() {
        let line = "77 (a) Z 1 2) S 5 70 60 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 123456 1 1";
        assert_eq!(parse_stat(line), Some(Stat { group: 70, session: 60, started: 123456, ended: false }));
    }

    #[test]
    fn a_zombie_has_ended_unless_other_threads_run() {
        let line = |threads| format!("77 (sh) Z 5 70 60 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 9 1 1");
        assert!(parse_stat(&line(1)).unwrap().ended);
        assert!(!parse_stat(&line(3)).unwrap().ended);
    }

    #[test]
    fn half_a_line_is_refused() {
        assert_eq!(parse_stat("77 (sh) S 5 70"), None);
        assert_eq!(parse_stat("nothing"), None);
    }

    #[test]
    fn the_marker_is_compared_whole() {
        assert!(holds(b"A=1\0M=12\0", b"M=12"));
        assert!(!holds(b"A=1\0M=123\0", b"M=12"));
        assert!(!holds(b"A=M=12\0", b"M=12"));
        assert!(!holds(b"", b"M=12"));
    }

    #[test]
    fn a_pid_without_a_process_is_none() {
        // Larger than any pid that Linux gives out (4194304).
        assert_eq!(stat(4_194_400).unwrap(), None);
        assert!(stat(std::process::id()).unwrap().is_some());
    }
}

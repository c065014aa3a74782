//! What processes cost, as the kernel counts it.

use std::fs;
use std::time::Duration;

use anyhow::Context;

/// A process and, if wanted, all below it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of {
    Process(u32),
    Tree(u32),
}

/// The processor time that processes have used so far, in user and system mode, to the nanosecond where the kernel counts
/// so finely. What has ended is not in it.
pub(super) fn cpu(of: &[Of]) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for of in of {
        match *of {
            Of::Process(pid) => total += cpu_of(pid)?,
            Of::Tree(root) => {
                for pid in tree(root)? {
                    // It may have ended since it was listed.
                    total += cpu_of(pid).unwrap_or_default();
                }
            }
        }
    }
    Ok(total)
}

fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("process {pid} has ended"))? {
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanos))
}

fn tree(root: u32) -> anyhow::Result<Vec<u32>> {
    let mut found = vec![root];
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // Behind the name, which may hold anything: state, then the parent.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        // A server's backends are its own children; nothing here is deeper.
        if parent == Some(root) {
            found.push(pid);
        }
    }
    Ok(found)
}

/// The memory of a process and of all below it that nobody else shares, and their part of what is shared, in MiB.
pub(super) fn pss_of_tree_mib(root: u32) -> anyhow::Result<f64> {
    // One may have ended since it was listed.
    Ok(tree(root)?.into_iter().filter_map(|pid| pss_mib(pid).ok()).sum())
}

/// The memory of a process that nobody shares, and its part of what is shared, in MiB.
pub(super) fn pss_mib(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("Pss:")?.split_whitespace().next()?.parse::<f64>().ok())
        .with_context(|| format!("{path} says nothing of Pss"))?;
    Ok(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sees_this_process() {
        let own = std::process::id();
        let before = cpu(&[Of::Process(own)]).expect("this process runs");
        assert!(cpu(&[Of::Tree(own)]).expect("this process runs") >= before);
        assert!(pss_mib(own).expect("this process has memory") > 0.1);
        assert!(cpu(&[Of::Process(u32::MAX)]).is_err());
    }
}

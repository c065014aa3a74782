//! Users and the host's name, as far as starting processes needs them.
//!
//! Reads `/etc/passwd` only: a user known to a directory service alone is not found by name, and not needed here.

use std::fs;

/// A user that a process can run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
    /// Its name, if `/etc/passwd` has one.
    pub name: Option<String>,
}

impl User {
    /// Whether it is root, whom no file mode stops.
    pub fn is_root(&self) -> bool {
        self.uid == 0
    }
}

/// The user whose rights this process has.
pub fn effective_user() -> User {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let name = passwd().lines().filter_map(entry).find(|user| user.uid == uid).and_then(|user| user.name);
    User { uid, gid, name }
}

/// The user of this name, if `/etc/passwd` has it.
pub fn find_user(name: &str) -> Option<User> {
    passwd().lines().filter_map(entry).find(|user| user.name.as_deref() == Some(name))
}

/// This host's name, as the kernel has it.
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn passwd() -> String {
    fs::read("/etc/passwd").map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn entry(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(User { uid, gid, name: Some(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_and_a_broken_one_is_not() {
        let user = User { uid: 101, gid: 104, name: Some("postgres".into()) };
        assert_eq!(entry("postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash"), Some(user));
        assert_eq!(entry("# postgres:x:101:104"), None);
        assert_eq!(entry("+::::::"), None);
        assert_eq!(entry("short:x"), None);
        assert_eq!(entry(""), None);
    }

    #[test]
    fn root_is_found_and_nobody_of_a_made_up_name_is() {
        assert_eq!(find_user("root").map(|user| user.uid), Some(0));
        assert_eq!(find_user("no-such-user-here"), None);
        assert!(!hostname().is_empty());
    }
}

//! The demo world, played with the real program: real processes, real signals, and what is left when one is killed.

#![expect(clippy::unwrap_used, reason = "in a test, a failed step is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use countersign::demo::{Demo, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

const BOUND: Duration = Duration::from_secs(30);

fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_countersign"))
}

/// A demo in a directory of its own. Whatever the test does, nothing of it is left running.
struct World {
    demo: Demo,
    temp: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let demo = ensure(exe(), &dir_in(&temp)).await.unwrap();
        assert!(!demo.adopted());
        Self { demo, temp }
    }

    /// What `demo-ctl` prints, and its exit code.
    async fn ctl(&self, words: &str) -> String {
        ctl(&dir_in(&self.temp), words).await
    }

    fn supervisor(&self) -> u32 {
        let own = dir_in(&self.temp);
        let found: Vec<u32> = processes().filter(|pid| arguments(*pid).contains(&own.display().to_string())).collect();
        assert_eq!(found.len(), 1, "one supervisor");
        found[0]
    }

    /// The process of a running service, as `status` tells it.
    async fn pid(&self, service: &str) -> u32 {
        let status = self.ctl(&format!("status {service}")).await;
        let pid = status.split("pid ").nth(1).and_then(|rest| rest.split(',').next());
        pid.unwrap_or_else(|| panic!("no pid in: {status}")).parse().unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let ctl =
            Command::new(exe()).args(["demo-ctl", "shutdown"]).env("COUNTERSIGN_DEMO", dir_in(&self.temp)).output();
        drop(ctl);
    }
}

fn dir_in(temp: &tempfile::TempDir) -> PathBuf {
    temp.path().join("demo")
}

async fn ctl(dir: &Path, words: &str) -> String {
    let output = tokio::process::Command::new(exe())
        .arg("demo-ctl")
        .args(words.split(' '))
        .env("COUNTERSIGN_DEMO", dir)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(BOUND, output).await.unwrap().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    format!("{} · {}", line.trim_end(), output.status.code().unwrap())
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn arguments(pid: u32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// A field of `/proc/PID/stat`, counted from the state, which is 0.
fn stat(pid: u32, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = text.rsplit_once(") ")?;
    after_name.split(' ').nth(field).map(str::to_owned)
}

fn gone(pid: u32) -> bool {
    stat(pid, 0).is_none_or(|state| state == "Z" || state == "X")
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(BOUND, wait).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

/// Replaces what differs from run to run, and asserts that it was there.
fn settled(line: &str) -> String {
    let (head, rest) = line.split_once("pid ").unwrap_or_else(|| panic!("no pid in: {line}"));
    let (pid, rest) = rest.split_once(", uptime ").unwrap();
    let (uptime, rest) = rest.split_once(", http://127.0.0.1:").unwrap();
    let (port, code) = rest.split_once(" · ").unwrap();
    pid.parse::<u32>().unwrap();
    port.parse::<u16>().unwrap();
    assert!(uptime.starts_with("0:00:"), "{uptime}");
    format!("{head}pid PID, uptime 0:00:SS, http://127.0.0.1:PORT · {code}")
}

#[tokio::test]
async fn an_outage_and_its_repair() {
    let world = World::new().await;
    insta::assert_snapshot!(world.ctl("status service-b").await, @"service-b STOPPED · 3");
    insta::assert_snapshot!(settled(&world.ctl("status service-c").await), @"service-c RUNNING pid PID, uptime 0:00:SS, http://127.0.0.1:PORT · 0");
    insta::assert_snapshot!(world.ctl("start service-b").await, @"service-b: started · 0");
    insta::assert_snapshot!(world.ctl("start service-b").await, @"service-b: already running · 0");
    insta::assert_snapshot!(settled(&world.ctl("status service-b").await), @"service-b RUNNING pid PID, uptime 0:00:SS, http://127.0.0.1:PORT · 0");
    insta::assert_snapshot!(world.ctl("kill service-b").await, @"service-b: killed · 0");
    insta::assert_snapshot!(world.ctl("status service-b").await, @"service-b EXITED (killed by signal 9) · 3");
    insta::assert_snapshot!(world.ctl("restart service-b").await, @"service-b: started · 0");
    insta::assert_snapshot!(world.ctl("restart all").await, @r"
    service-b: stopped
    service-b: started
    service-c: stopped
    service-c: started · 0
    ");
    insta::assert_snapshot!(world.ctl("stop all").await, @r"
    service-b: stopped
    service-c: stopped · 0
    ");
    insta::assert_snapshot!(world.ctl("status").await, @r"
    service-b STOPPED
    service-c STOPPED · 3
    ");
    insta::assert_snapshot!(world.ctl("start service-d").await, @"service-d: no such service, there are service-b, service-c · 1");
    world.demo.shutdown().await;
    assert!(world.ctl("status").await.ends_with(" · 4"));
}

#[tokio::test]
async fn a_started_service_answers_on_the_port_that_status_tells() {
    let world = World::new().await;
    world.ctl("start service-b").await;
    let status = world.ctl("status service-b").await;
    let address = status.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(BOUND, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok"), "{answer}");
    world.demo.shutdown().await;
}

#[tokio::test]
async fn a_broken_service_does_not_come_up_until_it_is_mended() {
    let world = World::new().await;
    insta::assert_snapshot!(world.ctl("break service-b").await, @"service-b: will not come up until mended · 0");
    insta::assert_snapshot!(world.ctl("start service-b").await, @"service-b: did not come up (exit status 1) · 7");
    insta::assert_snapshot!(world.ctl("status service-b").await, @"service-b EXITED (exit status 1) · 3");
    insta::assert_snapshot!(world.ctl("mend service-b").await, @"service-b: mended · 0");
    insta::assert_snapshot!(world.ctl("start service-b").await, @"service-b: started · 0");
    world.demo.shutdown().await;
}

#[tokio::test]
async fn a_slow_start_hangs_its_caller_and_can_be_stopped() {
    let world = World::new().await;
    insta::assert_snapshot!(world.ctl("slow service-b 600").await, @"service-b: starts will take 600 s · 0");
    let dir = dir_in(&world.temp);
    let start = tokio::spawn(async move { ctl(&dir, "start service-b").await });
    let starting = async { while world.ctl("status service-b").await != "service-b STARTING · 3" {} };
    timeout(BOUND, starting).await.unwrap();
    assert!(!start.is_finished());
    insta::assert_snapshot!(world.ctl("stop service-b").await, @"service-b: stopped · 0");
    insta::assert_snapshot!(start.await.unwrap(), @"service-b: did not come up (stopped meanwhile) · 7");
    insta::assert_snapshot!(world.ctl("slow service-b 0").await, @"service-b: starts will take 0 s · 0");
    insta::assert_snapshot!(world.ctl("start service-b").await, @"service-b: started · 0");
    world.demo.shutdown().await;
}

#[tokio::test]
async fn a_start_goes_on_when_its_caller_is_killed() {
    let world = World::new().await;
    world.ctl("slow service-b 1").await;
    let mut caller = Command::new(exe())
        .args(["demo-ctl", "start", "service-b"])
        .env("COUNTERSIGN_DEMO", world.demo.dir())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let starting = async { while world.ctl("status service-b").await != "service-b STARTING · 3" {} };
    timeout(BOUND, starting).await.unwrap();
    caller.kill().unwrap();
    caller.wait().unwrap();
    let running = async { while !world.ctl("status service-b").await.ends_with(" · 0") {} };
    timeout(BOUND, running).await.unwrap();
    world.demo.shutdown().await;
}

#[tokio::test]
async fn the_supervisor_is_in_a_session_of_its_own_and_knows_nothing_of_the_bot() {
    let world = World::new().await;
    let pid = world.supervisor();
    assert_eq!(stat(pid, 3), Some(pid.to_string()), "it leads its session");
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
    assert!(environment.is_empty(), "{}", String::from_utf8_lossy(&environment));
    world.demo.shutdown().await;
}

#[tokio::test]
async fn the_next_bot_adopts_the_world_as_it_is() {
    let world = World::new().await;
    world.ctl("start service-b").await;
    let before = world.pid("service-b").await;
    let again = ensure(exe(), world.demo.dir()).await.unwrap();
    assert!(again.adopted());
    assert_eq!(world.pid("service-b").await, before);
    again.shutdown().await;
    assert!(gone(before));
}

#[tokio::test]
async fn two_bots_at_once_get_one_supervisor() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir_in(&temp);
    let (one, two) = tokio::join!(ensure(exe(), &dir), ensure(exe(), &dir));
    let world = World { demo: one.unwrap(), temp };
    assert_ne!(world.demo.adopted(), two.unwrap().adopted(), "one made it, the other adopted it");
    until("one supervisor is left", || {
        let name = dir.display().to_string();
        processes().filter(|pid| !gone(*pid) && arguments(*pid).contains(&name)).count() == 1
    })
    .await;
    world.demo.shutdown().await;
}

#[tokio::test]
async fn a_killed_supervisor_leaves_no_service_and_its_place_can_be_taken() {
    let world = World::new().await;
    world.ctl("start service-b").await;
    let services = [world.pid("service-b").await, world.pid("service-c").await];
    signal(world.supervisor(), Signal::KILL);
    until("the services end with their supervisor", || services.iter().all(|pid| gone(*pid))).await;

    let again = ensure(exe(), world.demo.dir()).await.unwrap();
    assert!(!again.adopted());
    insta::assert_snapshot!(world.ctl("status service-b").await, @"service-b STOPPED · 3");
    again.shutdown().await;
}

#[tokio::test]
async fn a_supervisor_that_is_terminated_takes_its_services_along_and_answers_who_waits() {
    let world = World::new().await;
    let service = world.pid("service-c").await;
    world.ctl("slow service-b 600").await;
    let dir = dir_in(&world.temp);
    let start = tokio::spawn(async move { ctl(&dir, "start service-b").await });
    let starting = async { while world.ctl("status service-b").await != "service-b STARTING · 3" {} };
    timeout(BOUND, starting).await.unwrap();

    let supervisor = world.supervisor();
    signal(supervisor, Signal::TERM);
    insta::assert_snapshot!(start.await.unwrap(), @"service-b: did not come up (stopped meanwhile) · 7");
    until("the supervisor ends", || gone(supervisor)).await;
    assert!(gone(service));
    assert!(!world.demo.dir().join("control.sock").exists());
}

#[tokio::test]
async fn shutdown_by_command_ends_everything_before_it_returns() {
    let world = World::new().await;
    let service = world.pid("service-c").await;
    insta::assert_snapshot!(world.ctl("shutdown").await, @"shut down · 0");
    assert!(gone(service));
    world.demo.shutdown().await;
}

#[tokio::test]
async fn a_service_without_a_supervisor_ends_at_once() {
    let ended = tokio::process::Command::new(exe())
        .args(["demo-service", "service-b", "--slow", "600"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    assert!(timeout(BOUND, ended).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_supervisor_that_cannot_start_is_told_with_its_last_words() {
    let temp = tempfile::tempdir().unwrap();
    let dir = dir_in(&temp);
    let error = ensure(Path::new("/bin/false"), &dir).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the demo supervisor did not start; the last line of {} is: (empty)", dir.join("demo.log").display())
    );
}

//! From a killed service to its verified recovery (goal G1), beside a shell loop that does the same and records nothing.
//!
//! Both ask the same program at the same interval, in the same machine's demo, and start with the same program. The loop's
//! service is in a demo of its own, so that neither mends the other's.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::bot::{Bot, CHECKED_EVERY, SERVICE};
use super::browser::{Api, Heard};
use super::measure::{Measures, micros, quantile};
use super::{Ground, Stand};
use crate::demo::{self, CtlArgs, Deed};
use crate::sys::{Liveness, ProcessIdentity, Signal, kill};

/// How long a recovery may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The loop: asks, starts, asks until it is well, says when, and waits.
const LOOP: &str = r#"
while :; do
    if ! "$0" demo-ctl status "$1" >/dev/null; then
        echo noticed
        "$0" demo-ctl start "$1" >/dev/null
        until "$0" demo-ctl status "$1" >/dev/null; do sleep "$2"; done
        echo verified
    fi
    sleep "$2"
done
"#;

/// What one recovery took.
struct Recovered {
    all: Duration,
    /// From the moment at which a check had said so.
    ours: Duration,
}

pub(super) async fn measure(measures: &mut Measures, ground: &Ground, rounds: u16) -> anyhow::Result<()> {
    let home = ground.home(Stand::Recovery, ground.make("recovery").await?)?;
    let bot = Bot::start(&home).await?;
    let mut watcher = Watcher::of(&bot);
    // Short, as a socket stands in it; the same user's alone.
    let loop_dir = demo::dir_for(&ground.scratch.0.join("loop"));
    let demo = demo::ensure(&std::env::current_exe()?, &loop_dir).await?;
    let measured = async {
        let mut shell = ShellLoop::start(&loop_dir)?;
        watcher.until_well().await?;
        for round in 1..=rounds {
            tracing::info!(round, "measuring recoveries");
            let (mut bots, mut shells, mut rooms, mut told) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for failure in 0..ground.sizes.failures {
                // At different moments within the interval.
                let place = f64::from(CHECKED_EVERY) * ((failure as f64 + f64::from(round)) * 0.37).fract();
                tokio::time::sleep(Duration::from_secs_f64(place)).await;
                shells.push(shell.recover(&loop_dir).await?);
                let (recovered, room, fine) =
                    watcher.recover(&demo::dir_for(&std::path::absolute(home.data())?)).await?;
                bots.push(recovered);
                rooms.push(room);
                told.push(fine);
            }
            let millis = |of: Vec<Duration>| quantile(&micros(&of), 0.5) / 1e3;
            let all = |of: &[Recovered]| millis(of.iter().map(|recovered| recovered.all).collect());
            let ours = |of: &[Recovered]| millis(of.iter().map(|recovered| recovered.ours).collect());
            let wait = |of: &[Recovered]| millis(of.iter().map(|recovered| recovered.all - recovered.ours).collect());
            measures.add("loop", "floor: shell loop, killed -> verified, p50", "ms", all(&shells));
            measures.add("loop_ours", "floor: shell loop, noticed -> verified, p50", "ms", ours(&shells));
            measures.add("recovery", "killed -> verified, in the ledger, p50", "ms", all(&bots));
            measures.add("recovery_wait", "of it: until a check had noticed (every 1 s), p50", "ms", wait(&bots));
            measures.add("recovery_ours", "of it: noticed -> verified, p50", "ms", ours(&bots));
            measures.add("recovery_room", "killed -> the room says that it is fine again, p50", "ms", millis(rooms));
            measures.add("recovery_well", "killed -> incident well again (the next check), p50", "ms", millis(told));
        }
        shell.end().await
    };
    let measured = measured.await;
    demo.shutdown().await;
    std::fs::remove_dir_all(&loop_dir).with_context(|| format!("{} was not removed", loop_dir.display()))?;
    drop(watcher);
    bot.end().await?;
    measured
}

/// Kills the service of a demo, and returns the moment at which its process was seen dead.
async fn kill_service(demo: &std::path::Path) -> anyhow::Result<Instant> {
    let ask = CtlArgs { dir: Some(demo.to_owned()), deed: Deed::Status { name: SERVICE.to_owned() } };
    let status = demo::ctl(ask).await.line;
    let pid = status.split_once("pid ").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
    let pid = pid.with_context(|| format!("{SERVICE} does not run: {status}"))?;
    let identity = ProcessIdentity::of(pid)?.context("the service ended by itself")?;
    kill(&identity, Signal::KILL)?;
    while identity.liveness() != Liveness::Dead {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    Ok(Instant::now())
}

/// Who reads the bot's ledger and room.
struct Watcher {
    heard: mpsc::UnboundedReceiver<Heard>,
    reading: [JoinHandle<()>; 2],
}

impl Drop for Watcher {
    fn drop(&mut self) {
        for task in &self.reading {
            task.abort();
        }
    }
}

impl Watcher {
    fn of(bot: &Bot) -> Self {
        let api = Api::of(bot);
        let (tell, heard) = mpsc::unbounded_channel();
        let reading = [tokio::spawn(api.clone().follow_events(tell.clone())), tokio::spawn(api.follow_room(tell))];
        Self { heard, reading }
    }

    async fn next(&mut self) -> anyhow::Result<Heard> {
        let heard = timeout(PATIENCE, self.heard.recv()).await.context("the service was not brought back")?;
        heard.context("the bot cannot be followed any more")
    }

    /// Waits until the service's check has said for certain that it is well.
    async fn until_well(&mut self) -> anyhow::Result<()> {
        loop {
            if let Heard::Event { kind, what, .. } = self.next().await?
                && kind == "check_turned"
                && what["now"] == "ok"
            {
                return Ok(());
            }
        }
    }

    /// Kills the service; returns what its recovery took, and when the room said that it is fine again, and the ledger that
    /// the incident is: that is for the next scheduled check to say, not for the run.
    async fn recover(&mut self, demo: &std::path::Path) -> anyhow::Result<(Recovered, Duration, Duration)> {
        // What was said before is not about this.
        while self.heard.try_recv().is_ok() {}
        let killed = kill_service(demo).await?;
        let (mut noticed, mut recovered, mut room, mut well) = (None, None, None, None);
        loop {
            match self.next().await? {
                Heard::Event { kind, what, happened, heard } => match kind.as_str() {
                    "check_turned" if what["now"] == "critical" => noticed = Some(happened),
                    "run_succeeded" => {
                        let began = noticed.context("a run came before a failure")?;
                        recovered = Some(Recovered { all: heard - killed, ours: heard - began });
                    }
                    "run_failed" | "run_stuck" | "trigger_held" => bail!("the service was not brought back: {what}"),
                    "incident_mitigated" => well = Some(heard - killed),
                    _ => {}
                },
                Heard::Message { text, heard } => {
                    tracing::debug!(text, after = ?(heard - killed), "the room reads");
                    if room.is_none() && text.contains(" is fine again ") {
                        room = Some(heard - killed);
                    }
                }
            }
            if recovered.is_some() && room.is_some() && well.is_some() {
                break;
            }
        }
        let (Some(recovered), Some(room), Some(well)) = (recovered, room, well) else {
            bail!("not all of it was seen")
        };
        Ok((recovered, room, well))
    }
}

/// The loop as a process.
struct ShellLoop {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl ShellLoop {
    fn start(demo: &std::path::Path) -> anyhow::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", LOOP])
            .arg(std::env::current_exe()?)
            .args([SERVICE, &CHECKED_EVERY.to_string()])
            .env(crate::cli::up::DEMO, demo)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("the loop has no output")?;
        Ok(Self { child, lines: BufReader::new(out).lines() })
    }

    async fn said(&mut self, word: &str) -> anyhow::Result<Instant> {
        let line = timeout(PATIENCE, self.lines.next_line()).await.context("the loop did not bring it back")??;
        if line.as_deref() != Some(word) {
            bail!("the loop said {line:?}, not `{word}`");
        }
        Ok(Instant::now())
    }

    async fn recover(&mut self, demo: &std::path::Path) -> anyhow::Result<Recovered> {
        let killed = kill_service(demo).await?;
        let noticed = self.said("noticed").await?;
        let verified = self.said("verified").await?;
        Ok(Recovered { all: verified - killed, ours: verified - noticed })
    }

    async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

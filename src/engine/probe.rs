//! Asking one check outside any run: what the schedule does.
//!
//! What lives here: the asker, its marks, and ending what an asker left behind. What does not: how a check is asked
//! (`step::check`, the same code as in a run), when it is asked, and what its answer means (`watch`).
//!
//! A scheduled check has no row that says that it was started, so its processes are known by their mark alone. The mark
//! names the ledger and the asking process. Two bots on one ledger ask side by side, and only what a *dead* asker left
//! behind is ended. A check that cannot be proved gone is not asked again until it is: otherwise one that hangs where no
//! signal reaches it would be started anew at every turn.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::Secrets;
use super::step::{Context, End, GONE_WITHIN, Orders, Seen, Surroundings, check};
use crate::model::event::{CheckResult, Health};
use crate::model::id::{CheckName, ServiceName};
use crate::model::plan::PlanCheck;
use crate::sys::{self, EndGroupError, Liveness, ProcessIdentity};

/// Longer than any check lasts: a check is ended by its own timeout.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Asks checks, each when it is told to, any number at once. One for a process and ledger.
pub struct Asker {
    surroundings: Surroundings,
    own: ProcessIdentity,
    asked: AtomicU64,
    /// By check: what an asking left behind that is not proved gone.
    left: Mutex<HashMap<(ServiceName, CheckName), Left>>,
}

#[derive(Clone)]
struct Left {
    leader: Option<ProcessIdentity>,
    marker: String,
}

impl Asker {
    /// Makes the asker of this process.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn new(surroundings: Surroundings) -> io::Result<Self> {
        let own = ProcessIdentity::own()?;
        Ok(Self { surroundings, own, asked: AtomicU64::new(0), left: Mutex::default() })
    }

    /// Asks one check to its end or its timeout. A check that cannot run or does not answer in time is unknown, never
    /// healthy. The answer's detail is one bounded line with every secret taken out (I8). When it returns, the check's
    /// processes are proved gone; where that cannot be proved, the answer is unknown and says so.
    ///
    /// `None` when `stop` became true, or its sender is gone, before there was an answer. Nothing is then known of the
    /// check. Dropping the future kills the check's process group too, without waiting for the proof.
    pub async fn ask(
        &self,
        check: &PlanCheck,
        secrets: &Secrets,
        mut stop: watch::Receiver<bool>,
    ) -> Option<CheckResult> {
        let name = (check.service.clone(), check.check.clone());
        let unknown = |why: &str| CheckResult {
            service: check.service.clone(),
            check: check.check.clone(),
            health: Health::Unknown,
            detail: secrets.redact(why),
        };
        let earlier = self.left().get(&name).cloned();
        if let Some(earlier) = earlier {
            if let Err(why) = sys::end_group(earlier.leader.as_ref(), &earlier.marker, GONE_WITHIN).await {
                return Some(unknown(&format!("its asking before this one has not ended: {why}")));
            }
            self.left().remove(&name);
        }
        let marker = format!("{}{}", self.marks_of(&self.own), self.asked.fetch_add(1, Ordering::Relaxed));
        let (orders, ordered) = watch::channel(Orders::GoOn);
        // Nobody leases a scheduled check: it may act for as long as it lasts.
        let (_for_ever, act_until) = watch::channel(Instant::now() + NEVER);
        let (process, started) = watch::channel(None);
        let (progress, _nobody_listens) = watch::channel(None);
        let context = Context {
            marker: marker.clone(),
            run: None,
            // It is part of nothing that somebody began.
            traceparent: None,
            surroundings: self.surroundings.clone(),
            secrets: secrets.clone(),
            orders: ordered,
            act_until,
            process,
            progress,
        };
        let stopping = async {
            // A closed channel means that whoever could say stop is gone: that is a stop.
            let _ = stop.wait_for(|stop| *stop).await;
            orders.send_replace(Orders::GiveUp);
            std::future::pending().await
        };
        let answer = tokio::select! {
            answer = check::ask(check, Instant::now() + NEVER, &context) => answer,
            () = stopping => return None,
        };
        let leader = started.borrow().clone();
        let left_behind = match (&answer, &leader) {
            (Err(End::NotProvedGone(why)), _) => Some(why.clone()),
            // It has answered, and something of it still runs in its group.
            (Ok(_), Some(process)) if !sys::group_is_empty(process) => {
                sys::end_group(leader.as_ref(), &marker, GONE_WITHIN).await.err().map(|why| why.to_string())
            }
            _ => None,
        };
        if let Some(why) = left_behind {
            tracing::warn!(why, service = %check.service, check = %check.check, "a check has not ended");
            self.left().insert(name, Left { leader, marker });
            return Some(unknown(&format!("it has not ended: {why}")));
        }
        match answer {
            Ok((result, _said)) => Some(result),
            Err(End::Seen(Seen { summary, .. }) | End::Unseen(summary)) => Some(unknown(&summary)),
            Err(End::Ordered(_) | End::NotProvedGone(_)) => None,
        }
    }

    /// Ends the checks that askers of this ledger left behind on this machine when they died, and proves them gone. For
    /// the start of the bot, before the first check is asked. Says how many there were. What living askers ask is spared,
    /// and so is what another container asks, whose processes cannot be judged from here.
    ///
    /// # Errors
    /// When `/proc` cannot be read, or a check cannot be proved gone; the others have been ended then.
    pub async fn end_left_behind(&self) -> Result<usize, EndGroupError> {
        let ours = format!("{}{}.", marks(&self.surroundings.ledger), place(&self.own));
        let (mut ended, mut wrong) = (0, None);
        for marker in sys::marks(&ours).await? {
            let Some(asker) = self.asker_of(&marker[ours.len()..]) else { continue };
            if asker.liveness() != Liveness::Dead {
                continue;
            }
            match sys::end_group(None, &marker, GONE_WITHIN).await {
                Ok(_) => ended += 1,
                Err(error) => wrong = Some(error),
            }
        }
        wrong.map_or(Ok(ended), Err)
    }

    /// What the marks of an asker of this ledger begin with.
    fn marks_of(&self, asker: &ProcessIdentity) -> String {
        format!("{}{}.{}.{}-", marks(&self.surroundings.ledger), place(asker), asker.pid, asker.started)
    }

    /// Who made a mark of this machine: `PID.STARTED-NUMBER`.
    fn asker_of(&self, rest: &str) -> Option<ProcessIdentity> {
        let (asker, _number) = rest.split_once('-')?;
        let (pid, started) = asker.split_once('.')?;
        Some(ProcessIdentity { pid: pid.parse().ok()?, started: started.parse().ok()?, ..self.own.clone() })
    }

    fn left(&self) -> std::sync::MutexGuard<'_, HashMap<(ServiceName, CheckName), Left>> {
        // Nothing is done under the lock that could break what it holds.
        self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the marks of every scheduled check of a ledger begin with. No attempt's mark does: a number follows there.
fn marks(ledger: &str) -> String {
    format!("{ledger}-check-")
}

/// A machine between two boots, short.
fn place(process: &ProcessIdentity) -> String {
    let hash = Sha256::new().chain_update(&process.machine).chain_update([0]).chain_update(&process.boot).finalize();
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::model::catalog::{Catalog, EnvEntry, EnvFrom, ExitCodes, SecretSource};
    use crate::model::id::SecretName;
    use crate::model::plan::{Exec, PlanProbe};
    use crate::sys::{MARKER_VARIABLE, Spawn, spawn};

    fn surroundings(ledger: &str) -> Surroundings {
        Surroundings {
            path: "/usr/bin:/bin".into(),
            extra_env: Arc::default(),
            cwd: PathBuf::from("/"),
            ledger: format!("{ledger}-{}", std::process::id()),
        }
    }

    fn check(script: &str, timeout_ms: u64) -> PlanCheck {
        let argv = ["sh", "-c", script].map(ToOwned::to_owned).to_vec();
        let exec = Exec { argv, program: "/bin/sh".into(), env: Vec::new(), scripts: BTreeMap::new() };
        PlanCheck {
            service: ServiceName::new("service-b"),
            service_title: "Service B".into(),
            check: CheckName::new("running"),
            probe: PlanProbe::Command { exec, codes: ExitCodes::Plain },
            timeout_ms,
        }
    }

    async fn ask(asker: &Asker, check: &PlanCheck) -> CheckResult {
        let (_stop, go_on) = watch::channel(false);
        asker.ask(check, &Secrets::default(), go_on).await.expect("nobody stopped it")
    }

    async fn marked(ledger: &str) -> usize {
        sys::marks(&marks(&surroundings(ledger).ledger)).await.expect("/proc").len()
    }

    async fn until_marked(ledger: &str, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while marked(ledger).await != count {
            assert!(Instant::now() < deadline, "it did not come about in 20 s");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn a_check_is_asked_outside_a_run_and_knows_of_none() {
        let asker = Asker::new(surroundings("plain")).expect("an asker");
        let result = ask(&asker, &check("echo run=$COUNTERSIGN_RUN; exit 3", 20_000)).await;
        assert_eq!((result.health, result.detail.as_str()), (Health::Critical, "run="));
        let result = ask(&asker, &check("exit 0", 20_000)).await;
        assert_eq!((result.health, result.detail.as_str()), (Health::Ok, "exit 0"));
        let missing = PlanCheck {
            probe: match check("", 1).probe {
                PlanProbe::Command { exec, codes } => {
                    PlanProbe::Command { exec: Exec { program: "/no/such".into(), ..exec }, codes }
                }
                other => other,
            },
            ..check("", 1000)
        };
        assert_eq!(ask(&asker, &missing).await.health, Health::Unknown);
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_unknown_and_gone() {
        let asker = Asker::new(surroundings("hangs")).expect("an asker");
        let result = ask(&asker, &check("sleep 100 & timeout 90 sleep 80 & wait", 50)).await;
        assert_eq!((result.health, result.detail.as_str()), (Health::Unknown, "no answer within 0.05 s"));
        assert_eq!(marked("hangs").await, 0);
    }

    #[tokio::test]
    async fn what_a_check_leaves_in_the_background_is_ended_with_it() {
        let asker = Asker::new(surroundings("background")).expect("an asker");
        let result = ask(&asker, &check("sleep 100 >/dev/null 2>&1 & echo fine", 20_000)).await;
        assert_eq!((result.health, result.detail.as_str()), (Health::Ok, "fine"));
        assert_eq!(marked("background").await, 0);
    }

    #[tokio::test]
    async fn a_stop_ends_the_check_and_answers_nothing() {
        let asker = Asker::new(surroundings("stopped")).expect("an asker");
        let (stop, stopped) = watch::channel(false);
        let (check, secrets) = (check("sleep 100", 100_000), Secrets::default());
        let (answer, ()) = tokio::join!(asker.ask(&check, &secrets, stopped), async {
            until_marked("stopped", 1).await;
            stop.send_replace(true);
        });
        assert_eq!(answer, None);
        assert_eq!(marked("stopped").await, 0);
    }

    #[tokio::test]
    async fn i8_a_secret_that_a_check_says_is_not_told() {
        let root = tempfile::tempdir().expect("a folder");
        let file = root.path().join("token");
        std::fs::write(&file, "correct-horse-battery\n").expect("written");
        let name = SecretName::new("token");
        let catalog = Catalog { secrets: [(name.clone(), SecretSource::File(file))].into(), ..Catalog::default() };
        let (secrets, problems) = Secrets::read(&catalog, &[]);
        assert_eq!(problems, [""; 0]);
        let mut check = check("echo it is $TOKEN; exit 1", 20_000);
        if let PlanProbe::Command { exec, .. } = &mut check.probe {
            exec.env.push(EnvEntry { name: "TOKEN".into(), from: EnvFrom::Secret(name) });
        }
        let asker = Asker::new(surroundings("secret")).expect("an asker");
        let (_stop, go_on) = watch::channel(false);
        let result = asker.ask(&check, &secrets, go_on).await.expect("an answer");
        assert!(result.detail.starts_with("it is ") && !result.detail.contains("correct-horse"), "{}", result.detail);
        assert_eq!(result.health, Health::Critical);
    }

    #[tokio::test]
    async fn i2_what_a_dead_asker_left_behind_is_ended_and_what_a_living_one_asks_is_spared() {
        let asker = Asker::new(surroundings("dead")).expect("an asker");
        let living = asker.marks_of(&asker.own) + "7";
        // The same pid, and it started at another time: that one is dead.
        let dead = asker.marks_of(&ProcessIdentity { started: asker.own.started - 1, ..asker.own.clone() }) + "7";
        let elsewhere = asker.marks_of(&ProcessIdentity { machine: "ff/app-2/1".into(), ..asker.own.clone() }) + "7";
        let start = |marker: &str| {
            let argv = ["sh", "-c", "sleep 100 & wait"].map(Into::into).to_vec();
            let env = vec![("PATH".into(), "/usr/bin:/bin".into())];
            let marker = Some(marker.to_owned());
            spawn(Spawn { program: "/bin/sh".into(), argv, env, cwd: "/".into(), marker }).expect(MARKER_VARIABLE)
        };
        let mut children = [start(&living), start(&dead), start(&elsewhere)];
        until_marked("dead", 3).await;
        assert_eq!(asker.end_left_behind().await.expect("ended"), 1);
        assert_eq!(sys::marks(&marks(&asker.surroundings.ledger)).await.expect("/proc"), [living, elsewhere].into());
        assert_eq!(asker.end_left_behind().await.expect("nothing"), 0);
        for child in &mut children {
            child.kill_group().expect("killed");
            child.wait().await.expect("ended");
        }
    }

    #[tokio::test]
    async fn i2_a_check_that_is_not_proved_gone_is_not_asked_again() {
        let asker = Asker::new(surroundings("left")).expect("an asker");
        let elsewhere = ProcessIdentity { machine: "ff/app-2/1".into(), ..asker.own.clone() };
        let check = check("echo fine", 20_000);
        let name = (check.service.clone(), check.check.clone());
        asker.left().insert(name.clone(), Left { leader: Some(elsewhere), marker: "none".into() });
        let result = ask(&asker, &check).await;
        assert_eq!(result.health, Health::Unknown);
        assert!(result.detail.starts_with("its asking before this one has not ended: "), "{}", result.detail);
        asker.left().insert(name, Left { leader: None, marker: "nobody-has-this-mark".into() });
        assert_eq!(ask(&asker, &check).await.health, Health::Ok);
        assert!(asker.left().is_empty());
    }
}

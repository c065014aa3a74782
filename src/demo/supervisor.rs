//! The supervisor: one task for each service that owns its process, and one loop that answers the control socket.
//!
//! What lives here: processes, timers and the socket's answering side. What does not: which state follows which (see
//! [`state`](super::state)). A service that goes down stays down until somebody asks: bringing it back is the bot's
//! work, and the reason why there is a demo. The two process calls made here (a session of one's own, a signal to one's
//! own child) could move to `sys`.

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::place::{self, DemoError, Lock};
use super::protocol::{self, Answer, MAX_SLOW, Question};
use super::service::came_up;
use super::state::{Effect, Ending, Event, Outcome, State, Wish};

/// The services of the demo. The first is down when the supervisor starts, the second up.
const SERVICES: [(&str, AtFirst); 2] = [("service-b", AtFirst::Down), ("service-c", AtFirst::Up)];

/// How long a service may take from its process to its first answer, beyond the time that `slow` gave it.
const COME_UP: Duration = Duration::from_secs(5);
/// How long a service may take to end after SIGTERM before it gets SIGKILL.
const GRACE: Duration = Duration::from_secs(3);
/// How long a new supervisor waits for one that is on its way out.
const HAND_OVER: Duration = Duration::from_secs(8);
/// How long a client may take to say its one line.
const QUESTION: Duration = Duration::from_secs(5);
/// How long the last answers may take to leave when the supervisor ends.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How many clients are heard at a time; further ones wait in the socket's queue.
const MAX_CLIENTS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtFirst {
    Up,
    Down,
}

/// Runs the demo's supervisor and its services until it is told to shut down.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// The demo's directory: made if it is not there, and closed to other users.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// The program that is run for a service; this one if not given.
    #[arg(long, value_name = "FILE", hide = true)]
    pub service_exe: Option<PathBuf>,
}

/// Supervises the demo's services until `shutdown` is asked on the socket or SIGTERM, SIGINT or SIGHUP comes.
///
/// Goes into a session of its own if it can, so that neither the bot's terminal nor the bot's end touches it. Every
/// start begins anew, with Service B down and Service C up.
///
/// # Errors
/// When the directory cannot be used ([`DemoError`]), another supervisor serves it, or the socket cannot be made.
pub async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    // Refused to the leader of a process group, which a shell made it: then it is by itself already.
    let _ = rustix::process::setsid();
    let mut terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("waiting for SIGINT")?;
    let mut hang_up = signal(SignalKind::hangup()).context("waiting for SIGHUP")?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hang_up.recv() => {}
        }
    };
    let service_exe = match args.service_exe {
        Some(exe) => exe,
        None => own_exe().context("finding this program for the services")?,
    };
    supervise(&args.dir, service_exe, stop).await
}

/// This program; by way of `/proc` if its file was replaced since it started.
fn own_exe() -> std::io::Result<PathBuf> {
    let exe = std::env::current_exe()?;
    Ok(if exe.exists() { exe } else { PathBuf::from("/proc/self/exe") })
}

async fn supervise(dir: &Path, service_exe: PathBuf, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    place::make_private(dir)?;
    let socket = protocol::socket_in(dir)?;
    let _lock = take_lock(dir).await?;
    // What lies there belongs to a supervisor that was killed: the lock proves that it is gone.
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(DemoError::Dir { dir: dir.to_owned(), source: error }.into());
        }
        _ => {}
    }
    let listener = UnixListener::bind(&socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    tracing::info!(dir = %dir.display(), "the demo supervisor serves");

    let services: Vec<Service> = SERVICES.map(|(name, _)| Service::new(name, service_exe.clone())).into();
    let answered = answer_all(listener, services.clone(), stop).await;

    // The listener is gone by now: who connects from here on is refused and knows that nobody serves.
    let _ = fs::remove_file(&socket);
    join_all(services.iter().map(|service| service.wish(Wish::Stop))).await;
    answered.finish().await;
    tracing::info!("the demo supervisor ends");
    Ok(())
}

/// Takes the directory's lock; waits for a supervisor that is ending, and not for one that serves.
async fn take_lock(dir: &Path) -> Result<Lock, DemoError> {
    let until = Instant::now() + HAND_OVER;
    loop {
        if let Some(lock) = Lock::take(dir)? {
            return Ok(lock);
        }
        // Only an answer counts. Between fork and exec, a child of a supervisor that was killed holds its lock and its
        // listener for a moment, and then lets go of both.
        let patience = until.saturating_duration_since(Instant::now());
        if patience.is_zero() || protocol::ask(dir, &Question::Hello {}, patience).await.is_ok() {
            return Err(DemoError::AlreadyServed(dir.to_owned()));
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Who waits for a shutdown: their side is woken when this is dropped.
type Shutdown = oneshot::Sender<()>;

/// What is left to do when no more questions are taken.
struct Answered {
    clients: JoinSet<()>,
    asked: Option<Shutdown>,
    asking: mpsc::Receiver<Shutdown>,
}

impl Answered {
    /// Tells those who asked for the shutdown that it is done, and lets the answers that are under way leave.
    async fn finish(mut self) {
        drop((self.asked, self.asking));
        let _ = timeout(LAST_WORDS, async { while self.clients.join_next().await.is_some() {} }).await;
    }
}

/// Answers every client, each in a task of its own, until `stop` or a shutdown.
async fn answer_all(listener: UnixListener, services: Vec<Service>, stop: impl Future<Output = ()>) -> Answered {
    let mut clients = JoinSet::new();
    let (shutdown, mut asking) = mpsc::channel(MAX_CLIENTS);
    tokio::pin!(stop);
    // Whoever connects meanwhile waits in the queue: the first answer is given in a world that is complete.
    let first = join_all(
        SERVICES
            .iter()
            .zip(&services)
            .filter(|((_, at_first), _)| *at_first == AtFirst::Up)
            .map(|(_, service)| service.wish(Wish::Start)),
    );
    tokio::select! {
        _ = first => {}
        () = &mut stop => return Answered { clients, asked: None, asking },
    }
    loop {
        tokio::select! {
            accepted = listener.accept(), if clients.len() < MAX_CLIENTS => match accepted {
                Ok((stream, _)) => {
                    clients.spawn(answer_one(stream, services.clone(), shutdown.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take a client of the control socket");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = clients.join_next() => {}
            () = &mut stop => return Answered { clients, asked: None, asking },
            asked = asking.recv() => return Answered { clients, asked, asking },
        }
    }
}

async fn answer_one(mut stream: UnixStream, services: Vec<Service>, shutdown: mpsc::Sender<Shutdown>) {
    let (line, code) = match timeout(QUESTION, protocol::read_line(&mut stream)).await {
        Ok(Ok(line)) => match serde_json::from_str(&line) {
            Ok(question) => answer(question, &services, &shutdown).await,
            Err(error) => (format!("not a question: {error}"), 2),
        },
        Ok(Err(error)) => (format!("not a question: {error}"), 2),
        Err(_) => ("not a question: nothing was asked in time".to_owned(), 2),
    };
    let answer = Answer { line, code, supervisor: std::process::id() };
    // The client may be gone; what it asked for happens all the same, as with a real supervisor.
    let _ = timeout(QUESTION, protocol::write_line(&mut stream, &answer)).await;
}

async fn answer(question: Question, services: &[Service], shutdown: &mpsc::Sender<Shutdown>) -> (String, u8) {
    let (name, act) = match question {
        Question::Start { name } => (name, Act::Start),
        Question::Stop { name } => (name, Act::Stop),
        Question::Restart { name } => (name, Act::Restart),
        Question::Kill { name } => (name, Act::Kill),
        Question::Status { name } => (name, Act::Status),
        Question::Break { name } => (name, Act::Play(Play::Break)),
        Question::Mend { name } => (name, Act::Play(Play::Mend)),
        Question::Slow { name, seconds } if seconds <= MAX_SLOW => (name, Act::Play(Play::Slow(seconds))),
        Question::Slow { seconds, .. } => return (format!("{seconds} s is too long: at most {MAX_SLOW} s"), 2),
        Question::Hello {} => return ("the demo supervisor serves".to_owned(), 0),
        Question::Shutdown {} => {
            let (done, wait) = oneshot::channel();
            // Nobody sends on it: it is dropped when the services are gone, also for whoever asked second.
            let _ = shutdown.send(done).await;
            let _ = wait.await;
            return ("shut down".to_owned(), 0);
        }
    };
    for_each(services, &name, act).await
}

/// Does the same to one service or to all at once; the lines in order, and the worst code.
async fn for_each(services: &[Service], name: &str, act: Act) -> (String, u8) {
    let chosen: Vec<&Service> = services.iter().filter(|service| name == "all" || name == service.name).collect();
    if chosen.is_empty() {
        let known: Vec<&str> = services.iter().map(|service| service.name).collect();
        let name: String = name.chars().take(64).flat_map(char::escape_debug).collect();
        return (format!("{name}: no such service, there are {}", known.join(", ")), 1);
    }
    let answers = join_all(chosen.into_iter().map(|service| service.act(act))).await;
    let code = answers.iter().map(|(_, code)| *code).max().unwrap_or(0);
    let lines: Vec<String> = answers.into_iter().map(|(line, _)| line).collect();
    (lines.join("\n"), code)
}

/// What can be done to one service.
#[derive(Debug, Clone, Copy)]
enum Act {
    Start,
    Stop,
    Restart,
    Kill,
    Status,
    Play(Play),
}

/// What can be arranged for the next starts of a service, to show what a failing or hanging step looks like.
#[derive(Debug, Clone, Copy)]
enum Play {
    Break,
    Mend,
    /// Seconds.
    Slow(u64),
}

impl fmt::Display for Play {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Break => f.write_str("will not come up until mended"),
            Self::Mend => f.write_str("mended"),
            Self::Slow(seconds) => write!(f, "starts will take {seconds} s"),
        }
    }
}

enum Message {
    Wish(Wish, oneshot::Sender<Outcome>),
    Status(oneshot::Sender<(String, u8)>),
    Play(Play, oneshot::Sender<()>),
}

/// A service as the rest of the supervisor holds it: its name and the way to the task that keeps it.
#[derive(Clone)]
struct Service {
    name: &'static str,
    keeper: mpsc::Sender<Message>,
}

impl Service {
    fn new(name: &'static str, exe: PathBuf) -> Self {
        let (keeper, messages) = mpsc::channel(16);
        tokio::spawn(Keeper::new(name, exe).keep(messages));
        Self { name, keeper }
    }

    /// Sends a message and waits for its answer; `None` only while the supervisor is being torn down.
    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (answer, wait) = oneshot::channel();
        self.keeper.send(message(answer)).await.ok()?;
        wait.await.ok()
    }

    async fn wish(&self, wish: Wish) -> Option<Outcome> {
        self.ask(|answer| Message::Wish(wish, answer)).await
    }

    async fn act(&self, act: Act) -> (String, u8) {
        match act {
            Act::Start => self.told(self.wish(Wish::Start).await),
            Act::Stop => self.told(self.wish(Wish::Stop).await),
            Act::Kill => self.told(self.wish(Wish::Kill).await),
            Act::Restart => {
                let stopped = self.wish(Wish::Stop).await;
                let (started, code) = self.told(self.wish(Wish::Start).await);
                match stopped {
                    Some(Outcome::Stopped) => (format!("{}: stopped\n{started}", self.name), code),
                    _ => (started, code),
                }
            }
            Act::Status => match self.ask(Message::Status).await {
                Some((status, code)) => (format!("{} {status}", self.name), code),
                None => self.told(None),
            },
            Act::Play(play) => match self.ask(|answer| Message::Play(play, answer)).await {
                Some(()) => (format!("{}: {play}", self.name), 0),
                None => self.told(None),
            },
        }
    }

    fn told(&self, outcome: Option<Outcome>) -> (String, u8) {
        match outcome {
            Some(outcome) => (format!("{}: {outcome}", self.name), outcome.code()),
            None => (format!("{}: the supervisor is ending", self.name), 7),
        }
    }
}

/// A service's process. It lives while `_leash`, the other end of its stdin, is held.
struct Process {
    child: Child,
    _leash: Option<ChildStdin>,
}

type ComingUp = Pin<Box<dyn Future<Output = std::io::Result<SocketAddr>> + Send>>;

/// The task that owns one service: its state, its process, its timer and everybody who waits for it.
struct Keeper {
    name: &'static str,
    exe: PathBuf,
    broken: bool,
    slow: Duration,
    state: State,
    process: Option<Process>,
    coming_up: Option<ComingUp>,
    deadline: Option<Instant>,
    waiting: Vec<(Wish, oneshot::Sender<Outcome>)>,
}

impl Keeper {
    fn new(name: &'static str, exe: PathBuf) -> Self {
        Self {
            name,
            exe,
            broken: false,
            slow: Duration::ZERO,
            state: State::Stopped,
            process: None,
            coming_up: None,
            deadline: None,
            waiting: Vec::new(),
        }
    }

    /// Keeps the service until nobody holds it any more. Its process then ends with its leash.
    async fn keep(mut self, mut messages: mpsc::Receiver<Message>) {
        loop {
            tokio::select! {
                message = messages.recv() => match message {
                    Some(Message::Wish(wish, answer)) => {
                        self.waiting.push((wish, answer));
                        self.happened(Event::Wished(wish));
                    }
                    Some(Message::Status(answer)) => {
                        let now = Instant::now().into_std();
                        let _ = answer.send((self.state.status(now), self.state.status_code()));
                    }
                    Some(Message::Play(play, answer)) => {
                        self.play(play);
                        let _ = answer.send(());
                    }
                    None => return,
                },
                status = ended(&mut self.process) => {
                    self.process = None;
                    self.coming_up = None;
                    self.deadline = None;
                    self.happened(Event::Ended(ending(status)));
                }
                answers = or_never(&mut self.coming_up) => {
                    self.coming_up = None;
                    match (answers, self.process.as_ref().and_then(|process| process.child.id())) {
                        (Ok(at), Some(pid)) => {
                            self.happened(Event::CameUp { pid, at, now: Instant::now().into_std() });
                            // Not so if it is being stopped: then the timer is that of the grace.
                            if matches!(self.state, State::Running { .. }) {
                                self.deadline = None;
                            }
                        }
                        // Its end or the timer tells the rest.
                        (Err(error), _) => tracing::warn!(service = self.name, %error, "does not answer"),
                        (Ok(_), None) => {}
                    }
                }
                () = at(self.deadline) => {
                    self.deadline = None;
                    self.happened(Event::Overdue);
                }
            }
        }
    }

    fn play(&mut self, play: Play) {
        match play {
            Play::Break => self.broken = true,
            Play::Mend => {
                self.broken = false;
                self.slow = Duration::ZERO;
            }
            Play::Slow(seconds) => self.slow = Duration::from_secs(seconds),
        }
    }

    fn happened(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let (next, effects) = std::mem::replace(&mut self.state, State::Stopped).on(event);
            self.state = next;
            for effect in effects {
                match effect {
                    Effect::Spawn => events
                        .extend(self.spawn().err().map(|error| Event::Ended(Ending::NotSpawned(error.to_string())))),
                    Effect::Terminate => {
                        self.deadline = Some(Instant::now() + GRACE);
                        self.signal(Signal::TERM);
                    }
                    Effect::Kill => {
                        self.deadline = None;
                        self.signal(Signal::KILL);
                    }
                    Effect::Answer(wish, outcome) => self.tell(wish, &outcome),
                }
            }
        }
    }

    fn spawn(&mut self) -> std::io::Result<()> {
        let mut command = Command::new(&self.exe);
        command.arg("demo-service").arg(self.name).arg("--slow").arg(self.slow.as_secs().to_string());
        if self.broken {
            command.arg("--broken");
        }
        // Nothing of this process's environment is a demo service's business.
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        // Taken out, because waiting for a child closes a stdin that it still has.
        let leash = child.stdin.take();
        self.coming_up = child.stdout.take().map(|stdout| Box::pin(came_up(stdout)) as ComingUp);
        self.process = Some(Process { child, _leash: leash });
        self.deadline = Some(Instant::now() + self.slow + COME_UP);
        Ok(())
    }

    /// The process cannot be another's: it is not waited for yet, so its number is still its own.
    fn signal(&self, signal: Signal) {
        let id = self.process.as_ref().and_then(|process| process.child.id());
        if let Some(pid) = id.and_then(|id| Pid::from_raw(i32::try_from(id).ok()?))
            && let Err(error) = kill_process(pid, signal)
        {
            tracing::warn!(service = self.name, %error, "cannot be signalled");
        }
    }

    fn tell(&mut self, wish: Wish, outcome: &Outcome) {
        for (_, answer) in self.waiting.extract_if(.., |(waits_for, _)| *waits_for == wish) {
            tracing::info!("{}: {outcome}", self.name);
            let _ = answer.send(outcome.clone());
        }
    }
}

async fn ended(process: &mut Option<Process>) -> std::io::Result<ExitStatus> {
    match process {
        Some(process) => process.child.wait().await,
        None => pending().await,
    }
}

async fn or_never<T>(future: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn ending(status: std::io::Result<ExitStatus>) -> Ending {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ending::Status(code),
            (None, Some(signal)) => Ending::Signal(signal),
            (None, None) => Ending::NotSpawned("it has no exit status".to_owned()),
        },
        Err(error) => Ending::NotSpawned(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A supervisor in this process over a directory of its own, whose services are any program.
    struct Running {
        dir: tempfile::TempDir,
        served: tokio::task::JoinHandle<anyhow::Result<()>>,
    }

    const BOUND: Duration = Duration::from_secs(30);

    async fn running(service_exe: &str) -> Running {
        let temp = tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700)).tempdir();
        let dir = temp.unwrap();
        let path = dir.path().to_owned();
        let exe = PathBuf::from(service_exe);
        let served = tokio::spawn(async move { supervise(&path, exe, pending()).await });
        let running = Running { dir, served };
        timeout(BOUND, async { while running.ask(Question::Hello {}).await.is_none() {} }).await.unwrap();
        running
    }

    impl Running {
        async fn ask(&self, question: Question) -> Option<(String, u8)> {
            tokio::task::yield_now().await;
            let answer = protocol::ask(self.dir.path(), &question, BOUND).await.ok()?;
            Some((answer.line, answer.code))
        }

        async fn says(&self, question: Question) -> String {
            let (line, code) = self.ask(question).await.unwrap();
            format!("{line} · {code}")
        }

        async fn raw(&self, line: &[u8]) -> Answer {
            use tokio::io::AsyncWriteExt;
            let mut stream = UnixStream::connect(protocol::socket_in(self.dir.path()).unwrap()).await.unwrap();
            stream.write_all(line).await.unwrap();
            serde_json::from_str(&protocol::read_line(&mut stream).await.unwrap()).unwrap()
        }

        async fn end(self) {
            assert_eq!(self.says(Question::Shutdown {}).await, "shut down · 0");
            timeout(BOUND, self.served).await.unwrap().unwrap().unwrap();
        }
    }

    fn start(name: &str) -> Question {
        Question::Start { name: name.into() }
    }

    fn status(name: &str) -> Question {
        Question::Status { name: name.into() }
    }

    #[tokio::test]
    async fn a_service_that_ends_at_once_did_not_come_up() {
        let running = running("/bin/false").await;
        insta::assert_snapshot!(running.says(status("all")).await, @r#"
        service-b STOPPED
        service-c EXITED (exit status 1) · 3
        "#);
        insta::assert_snapshot!(running.says(start("service-b")).await, @"service-b: did not come up (exit status 1) · 7");
        insta::assert_snapshot!(running.says(status("service-b")).await, @"service-b EXITED (exit status 1) · 3");
        insta::assert_snapshot!(running.says(Question::Kill { name: "service-b".into() }).await, @"service-b: not running · 7");
        insta::assert_snapshot!(running.says(Question::Stop { name: "service-b".into() }).await, @"service-b: already stopped · 0");
        insta::assert_snapshot!(running.says(Question::Restart { name: "service-b".into() }).await, @"service-b: did not come up (exit status 1) · 7");
        running.end().await;
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told() {
        let running = running("/nonexistent/countersign").await;
        insta::assert_snapshot!(running.says(start("service-b")).await, @"service-b: did not come up (could not be run: No such file or directory (os error 2)) · 7");
        running.end().await;
    }

    #[tokio::test]
    async fn unknown_names_are_told_the_known_ones() {
        let running = running("/bin/false").await;
        insta::assert_snapshot!(running.says(start("service-d")).await, @"service-d: no such service, there are service-b, service-c · 1");
        insta::assert_snapshot!(running.says(start("a\nb")).await, @r#"a\nb: no such service, there are service-b, service-c · 1"#);
        running.end().await;
    }

    #[tokio::test]
    async fn bad_lines_get_an_error_line_and_hurt_nobody() {
        let running = running("/bin/false").await;
        for line in [&b"start service-b\n"[..], b"\n", b"{\"ask\":\"dance\"}\n", b"\xff\xfe\n", &[b'x'; 5000]] {
            let answer = running.raw(line).await;
            assert!(answer.line.starts_with("not a question: "), "{}", answer.line);
            assert_eq!(answer.code, 2);
        }
        let too_slow = Question::Slow { name: "all".into(), seconds: MAX_SLOW + 1 };
        insta::assert_snapshot!(running.says(too_slow).await, @"601 s is too long: at most 600 s · 2");
        running.end().await;
    }

    #[tokio::test]
    async fn a_second_supervisor_of_the_same_directory_is_refused() {
        let running = running("/bin/false").await;
        let second = supervise(running.dir.path(), "/bin/false".into(), pending()).await.unwrap_err();
        assert!(matches!(second.downcast_ref(), Some(DemoError::AlreadyServed(_))), "{second}");
        assert!(running.ask(Question::Hello {}).await.is_some());
        running.end().await;
    }

    #[tokio::test]
    async fn the_socket_goes_with_the_supervisor_and_a_stale_one_is_replaced() {
        let first = running("/bin/false").await;
        let dir = first.dir.path().to_owned();
        let socket = protocol::socket_in(&dir).unwrap();
        assert!(socket.exists());
        first.served.abort();
        let _ = first.served.await;
        assert!(socket.exists(), "a supervisor that was cut off leaves its socket");

        let (stop, stopped) = oneshot::channel::<()>();
        let path = dir.clone();
        let mut again =
            tokio::spawn(async move { supervise(&path, "/bin/false".into(), async { drop(stopped.await) }).await });
        let hello = async {
            while protocol::ask(&dir, &Question::Hello {}, BOUND).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            told = timeout(BOUND, hello) => told.unwrap(),
            ended = &mut again => panic!("the second supervisor ended: {ended:?}"),
        }
        stop.send(()).unwrap();
        timeout(BOUND, again).await.unwrap().unwrap().unwrap();
        assert!(!socket.exists());
    }
}

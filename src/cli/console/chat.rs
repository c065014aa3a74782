//! The chat: a line editor below, the room above.
//!
//! What lives here: what is typed, what is shown, and staying with the room when the connection breaks. The bot's messages
//! come by a stream, what others say by the ledger; each is shown once. What came from outside moves no cursor.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use chrono_tz::Tz;
use reqwest::Method;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Config, Editor, ExternalPrinter};
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::Args;
use crate::cli::client::{Client, ClientError};
use crate::cli::line::{Broken, Heard, Lines, Saying, Teller, Waits, escaped, random_name};
use crate::cli::tail;
use crate::model::event::Happened;
use crate::model::id::Position;
use crate::text::time::Times;
use crate::text::timeline;
use crate::text::visible::visible;
use crate::web::wire::{EventsTold, NewLine, Told};

/// The history's file in the data directory.
const HISTORY: &str = "console-history";

/// Lines of history that are kept.
const MOST_HISTORY: usize = 1000;

/// How far back a resumed stream begins: messages come in an order that is not quite that of their numbers.
const OVERLAP: i64 = 64;

/// After how long without a line a stream is given up; the server writes one at least every 15 s.
const SILENT: Duration = Duration::from_secs(40);

/// Between tries to reach a bot that is away: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What the console knows beside the room.
const HELP: &str = "\
/thread m2   say what follows in the thread m2, which stands before the bot's messages
/thread      say what follows in the room again
/help        this; `help` without the slash asks the bot
Ctrl-D       ends";

/// Chats until the input ends.
///
/// # Errors
/// When the bot is not there or refuses the room at the beginning, or the terminal cannot be used.
pub(super) async fn run(args: &Args, client: Client) -> anyhow::Result<()> {
    let room = Room { client, name: args.room.clone(), speaker: args.speaker.clone() };
    // Before anything is typed: a wrong room or token is told at once.
    let feed = room.open(None).await?;
    let head = tail::ask(&room.client, Position(i64::MAX), Some(&room.name), Duration::ZERO).await?.head;
    let (typed, mut lines) = mpsc::unbounded_channel();
    let prompt = Arc::new(Mutex::new(room.prompt(None)));
    let (print, editor) = start_editor(args.at.data(), Arc::clone(&prompt), typed)?;
    let screen = Arc::new(Mutex::new(Screen { print, teller: Teller::default(), own: HashSet::new(), floor: 0 }));
    let mut feeds = JoinSet::new();
    feeds.spawn(room.clone().follow_messages(feed, Arc::clone(&screen)));
    feeds.spawn(room.clone().follow_people(head, Arc::clone(&screen)));
    let mut sayings = JoinSet::new();
    let mut thread: Option<String> = None;
    while let Some(line) = lines.recv().await {
        while sayings.try_join_next().is_some() {}
        match typed_as(&line) {
            Typed::Nothing => {}
            Typed::Help => show(&screen, HELP),
            Typed::Unknown => {
                show(&screen, &format!("{} is no command of the console. `/help` lists them.", escaped(line.trim())))
            }
            Typed::Thread(name) => {
                thread = name;
                *lock(&prompt) = room.prompt(thread.as_deref());
            }
            Typed::Line(text) => {
                let (kept, was_kept) = oneshot::channel();
                let saying = room.clone().say(text, thread.clone(), args.wait, Arc::clone(&screen), kept);
                sayings.spawn(saying);
                // One after the other, as they were typed; what comes of each is not waited for.
                let _ended = was_kept.await;
            }
        }
    }
    let end = Instant::now() + args.wait;
    while let Ok(Some(_)) = timeout_at(end, sayings.join_next()).await {}
    feeds.shutdown().await;
    // It has ended: its end is the end of the lines.
    tokio::task::spawn_blocking(move || editor.join())
        .await?
        .map_err(|_| anyhow::anyhow!("the line editor ended badly"))?
}

/// What somebody typed.
#[derive(Debug, PartialEq, Eq)]
enum Typed {
    Nothing,
    Line(String),
    Thread(Option<String>),
    Help,
    Unknown,
}

fn typed_as(line: &str) -> Typed {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return if line.is_empty() { Typed::Nothing } else { Typed::Line(line.to_owned()) };
    };
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["thread"] => Typed::Thread(None),
        // The bot's messages are numbered with an `m` before it.
        ["thread", number] if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            Typed::Thread(Some(format!("m{number}")))
        }
        ["thread", name] => Typed::Thread(Some(name.to_owned())),
        ["help"] => Typed::Help,
        _ => Typed::Unknown,
    }
}

/// What is on the screen.
struct Screen {
    print: Print,
    teller: Teller,
    /// Keys of the lines that were typed here: they stand on the screen already.
    own: HashSet<String>,
    /// Messages up to here were there before.
    floor: i64,
}

type Print = Box<dyn FnMut(String) + Send>;

type Shared = Arc<Mutex<Screen>>;

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Whoever panicked while printing has left the terminal as it was.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show(screen: &Shared, text: &str) {
    (lock(screen).print)(format!("{text}\n"));
}

impl Screen {
    fn tell(&mut self, told: &Told) {
        if told.number.0 <= self.floor || !self.teller.is_new(told) {
            return;
        }
        let lines = self.teller.lines(told);
        let Some((first, rest)) = lines.split_first() else { return };
        let thread = told.thread.as_ref().map_or(told.id.as_str(), |thread| thread.as_str());
        let how = match (&told.only_to, told.edits) {
            (Some(_), _) => " (to you)",
            (None, true) => " (goes on)",
            (None, false) => "",
        };
        let mut text = format!("{} countersign{how}: {first}\n", visible(thread));
        for line in rest {
            // Writing into a String cannot fail.
            let _ = writeln!(text, "    {line}");
        }
        (self.print)(text);
    }
}

/// A room, and who speaks in it.
#[derive(Clone)]
struct Room {
    client: Client,
    name: String,
    speaker: String,
}

/// The first line of a room's stream.
#[derive(Deserialize)]
struct Begins {
    from: i64,
}

/// A room's stream, and from which number on it tells.
struct Feed {
    lines: Lines,
    from: i64,
}

impl Room {
    fn prompt(&self, thread: Option<&str>) -> String {
        let thread = thread.map(|thread| format!(" {}", visible(thread))).unwrap_or_default();
        format!("{}@{}{thread}> ", visible(&self.speaker), visible(&self.name))
    }

    /// Opens the room's stream, from now on or after a number.
    async fn open(&self, after: Option<i64>) -> Result<Feed, ClientError> {
        let mut query = vec![("as", self.speaker.clone())];
        query.extend(after.map(|after| ("after", after.to_string())));
        let request = self.client.request(Method::GET, &["api", "v1", "rooms", &self.name, "stream"]).query(&query);
        let mut lines = Lines::of(self.client.send(request).await?);
        let first = lines.next().await.map_err(|error| self.client.away(&error))?;
        let begins = first.and_then(|line| serde_json::from_slice::<Begins>(&line).ok());
        let from = begins.ok_or_else(|| self.client.ended_early())?.from;
        Ok(Feed { lines, from })
    }

    /// Shows the bot's messages for as long as anybody looks.
    async fn follow_messages(self, feed: Feed, screen: Shared) {
        let floor = feed.from;
        lock(&screen).floor = floor;
        let mut newest = floor;
        let mut feed = Some(feed);
        let mut pause = PAUSE.0;
        let mut away = false;
        loop {
            if let Some(Feed { mut lines, .. }) = feed.take() {
                if std::mem::take(&mut away) {
                    show(&screen, "(the bot is back)");
                }
                pause = PAUSE.0;
                while let Ok(Ok(Some(line))) = timeout(SILENT, lines.next()).await {
                    if let Ok(told) = serde_json::from_slice::<Told>(&line) {
                        newest = newest.max(told.number.0);
                        lock(&screen).tell(&told);
                    }
                }
            } else {
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE.1);
            }
            match self.open(Some((newest - OVERLAP).max(floor))).await {
                Ok(opened) => feed = Some(opened),
                Err(error) => {
                    if !std::mem::replace(&mut away, true) {
                        show(&screen, &format!("({}; trying again)", escaped(&error.to_string())));
                    }
                }
            }
        }
    }

    /// Shows what others say for as long as anybody looks. When the bot is away, the other feed says so.
    async fn follow_people(self, head: Position, screen: Shared) {
        let mut after = head;
        loop {
            match tail::ask(&self.client, after, Some(&self.name), tail::WAIT).await {
                Ok(told) => {
                    after = told.up_to;
                    self.show_people(&told, &screen);
                }
                Err(_) => sleep(PAUSE.1).await,
            }
        }
    }

    fn show_people(&self, told: &EventsTold, screen: &Shared) {
        for event in told.events.iter().map(crate::web::wire::EventTold::event) {
            let Some(record) = &event.record else { continue };
            let text = match &record.what {
                Happened::LineSaid { room, thread, key, account, person, text, .. } if room.channel == self.name => {
                    if lock(screen).own.remove(key) {
                        continue;
                    }
                    let who = person.as_ref().map_or_else(|| account.to_string(), ToString::to_string);
                    let thread = thread.as_ref().map(|thread| format!("{} ", visible(thread.as_str())));
                    format!("{}{}: {}", thread.unwrap_or_default(), visible(&who), visible(text))
                }
                Happened::LineEdited { room, .. } if room.channel == self.name => {
                    timeline::line(&event, &Times::in_zone(Tz::UTC), told.now)
                }
                // What the bot does, it says itself.
                _ => continue,
            };
            show(screen, &text);
        }
    }

    /// Says a line, tells when it is kept, and shows its answers, should the stream be slower or away.
    async fn say(
        self,
        text: String,
        thread: Option<String>,
        wait: Duration,
        screen: Shared,
        kept: oneshot::Sender<()>,
    ) {
        let mut kept = Some(kept);
        let said = async {
            let name = random_name()?;
            lock(&screen).own.insert(format!("line:{name}"));
            let line = NewLine { speaker: self.speaker.clone(), text, thread, message_id: Some(name), wait_ms: None };
            let end = Instant::now() + wait;
            let (waits, broken) = (Waits::ForAnswers, Broken::SaysAgain);
            let saying = Saying { client: &self.client, room: &self.name, end, waits, broken };
            saying
                .say(line, |line| {
                    match Heard::read(line)? {
                        Heard::Kept => drop(kept.take()),
                        Heard::Told(told) => lock(&screen).tell(&told),
                        Heard::Settled(_) | Heard::TimedOut => return Ok(Some(())),
                    }
                    Ok(None)
                })
                .await
        };
        let said: anyhow::Result<Option<()>> = said.await;
        match said {
            Ok(Some(())) => {}
            Ok(None) => show(&screen, &format!("(no answer within {})", humantime::format_duration(wait))),
            Err(error) => show(&screen, &format!("(not said: {})", escaped(&format!("{error:#}")))),
        }
    }
}

type EditorThread = std::thread::JoinHandle<anyhow::Result<()>>;

/// Starts reading lines in a thread of its own, with editing and history in a terminal, plainly from anything else.
fn start_editor(
    data: Option<PathBuf>,
    prompt: Arc<Mutex<String>>,
    typed: mpsc::UnboundedSender<String>,
) -> anyhow::Result<(Print, EditorThread)> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let print = Box::new(|text: String| {
            let mut out = io::stdout().lock();
            // Where nobody reads there is nobody to tell.
            let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        });
        return Ok((print, std::thread::spawn(move || read_plainly(&typed))));
    }
    let config = Config::builder()
        .max_history_size(MOST_HISTORY)
        .and_then(|config| config.history_ignore_dups(true))
        .context("the line editor cannot be set up")?
        .auto_add_history(true)
        .history_ignore_space(true)
        .build();
    let mut editor: Editor<(), DefaultHistory> = Editor::with_config(config).context("the terminal cannot be used")?;
    let mut printer = editor.create_external_printer().context("the terminal cannot be printed to")?;
    let history = data.map(|data| data.join(HISTORY)).filter(|path| make_private(path).is_ok());
    if let Some(path) = &history {
        // An unreadable history is none.
        let _ = editor.load_history(path);
    }
    let print = Box::new(move |text: String| {
        // The terminal is gone: the editor ends by itself.
        let _ = printer.print(text);
    });
    let edit = move || loop {
        let shown = lock(&prompt).clone();
        match editor.readline(&shown) {
            Ok(line) => {
                if let Some(path) = &history {
                    // Kept line by line, so that a console that is killed has its history.
                    let _ = editor.append_history(path);
                }
                if typed.send(line).is_err() {
                    return Ok(());
                }
            }
            // Ctrl-C clears the line.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(anyhow::Error::new(error).context("the terminal cannot be read")),
        }
    };
    Ok((print, std::thread::spawn(edit)))
}

fn read_plainly(typed: &mpsc::UnboundedSender<String>) -> anyhow::Result<()> {
    for line in io::stdin().lock().lines() {
        if typed.send(line.context("the input cannot be read")?).is_err() {
            break;
        }
    }
    Ok(())
}

/// Makes the history's file, for its owner alone: it holds what was said.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{MessageId, OutboxId, ThreadId};

    #[test]
    fn what_is_typed_is_said_unless_it_begins_with_a_slash() {
        assert_eq!(typed_as("  "), Typed::Nothing);
        assert_eq!(typed_as(" start service b "), Typed::Line("start service b".to_owned()));
        assert_eq!(typed_as("/thread"), Typed::Thread(None));
        assert_eq!(typed_as("/thread 12"), Typed::Thread(Some("m12".to_owned())));
        assert_eq!(typed_as("/thread x12"), Typed::Thread(Some("x12".to_owned())));
        assert_eq!(typed_as("/help"), Typed::Help);
        for unknown in ["/", "/thread a b", "/approve 7K3F", "/thraed"] {
            assert_eq!(typed_as(unknown), Typed::Unknown, "{unknown}");
        }
    }

    #[test]
    fn messages_are_shown_once_with_their_thread_and_edits_by_what_is_new() {
        let shown = Arc::new(Mutex::new(String::new()));
        let to = Arc::clone(&shown);
        let print = Box::new(move |text: String| lock(&to).push_str(&text));
        let mut screen = Screen { print, teller: Teller::default(), own: HashSet::new(), floor: 2 };
        let told = |number, id: &str, thread: Option<&str>, edits, only_to: Option<&str>, text: &str| Told {
            number: OutboxId(number),
            at: chrono::DateTime::UNIX_EPOCH,
            id: MessageId::new(id),
            thread: thread.map(ThreadId::new),
            edits,
            only_to: only_to.map(str::to_owned),
            text: text.to_owned(),
            buttons: Vec::new(),
        };
        screen.tell(&told(2, "m2", None, false, None, "long ago"));
        screen.tell(&told(3, "m3", None, false, None, "PRODUCTION · mei asks\nboss: approved"));
        screen.tell(&told(3, "m3", None, false, None, "PRODUCTION · mei asks\nboss: approved"));
        screen.tell(&told(4, "m4", Some("m3"), false, Some("boss"), "Not approved yet."));
        screen.tell(&told(5, "m5", Some("m3"), false, None, "Starting.\n1 started"));
        screen.tell(&told(6, "m5", Some("m3"), true, None, "Starting.\n1 done \u{1b}[31m"));
        insta::assert_snapshot!(lock(&shown), @r"
        m3 countersign: PRODUCTION · mei asks
            boss: approved
        m3 countersign (to you): Not approved yet.
        m3 countersign: Starting.
            1 started
        m3 countersign (goes on): 1 done \u{1b}[31m
        ");
    }

    #[test]
    fn the_history_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(HISTORY);
        std::fs::write(&path, "start service b\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("open");
        make_private(&path).expect("private");
        assert_eq!(path.metadata().expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "start service b\n");
    }
}

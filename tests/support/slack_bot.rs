//! The real program in a Slack workspace of ours, spoken to as people speak in Slack: lines, threads, buttons, windows.
//!
//! Every message that the bot wrote must have been read by the test ([`SlackBot::rest`], [`SlackBot::hear`]), as it reads
//! in the end; [`SlackBot::finish`] holds that, that every call was right, and whatever must be true at the end of any
//! story.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use std::collections::HashSet;
use std::sync::Mutex;

use countersign::model::id::RunId;

use crate::slack::world::{Seen, Ts};
use crate::slack::{APP_TOKEN, BOT_TOKEN, Mode, Room, SECRET, Slack, TEAM};
use crate::support::bot::{Bot, Port, free_port, plain};
use crate::support::until;
use crate::support::world::{Catalog, OTHER_ROOM, ROOM};

/// Who is in the workspace and in both rooms; the catalog knows all but zed.
pub(crate) const PEOPLE: [&str; 5] = ["mei", "boss", "boss2", "lin", "zed"];

/// How the bot hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hears {
    /// By a socket that it opens.
    Socket,
    /// By requests that Slack makes.
    Requests,
}

/// The program and its workspace.
pub(crate) struct SlackBot {
    pub(crate) slack: Slack,
    pub(crate) bot: Bot,
    /// The channel of system-a.
    pub(crate) room: String,
    /// The channel of system-z.
    pub(crate) other: String,
    secrets: tempfile::TempDir,
    /// Where it listens for requests, if it does.
    listens: String,
    /// What that names.
    _port: Option<Port>,
    /// What the test has read: where, which message, and what it said then.
    read: Mutex<HashSet<(String, Ts, String)>>,
}

impl SlackBot {
    /// Starts the program over a catalog whose rooms and people are the workspace's, and waits until it hears.
    pub(crate) async fn start(catalog: Catalog, hears: Hears) -> Self {
        let slack = Slack::start().await;
        slack.people(&PEOPLE);
        let members: Vec<&str> = PEOPLE.into_iter().chain(["countersign"]).collect();
        let room = slack.channel(ROOM, Room::Public, &members);
        let other = slack.channel(OTHER_ROOM, Room::Private, &members);
        Self::start_in(slack, room, other, catalog, hears, "").await
    }

    /// The same in a workspace that the test has made, with further lines in the settings' entry of the workspace, and
    /// with whatever follows in the settings.
    pub(crate) async fn start_in(
        slack: Slack,
        room: String,
        other: String,
        catalog: Catalog,
        hears: Hears,
        settings: &str,
    ) -> Self {
        let secrets = tempfile::Builder::new().prefix("cs-secrets-").tempdir().expect("a directory");
        let keep = |name: &str, secret: &str| {
            let path = secrets.path().join(name);
            std::fs::write(&path, format!("{secret}\n")).expect("a file");
            path.display().to_string()
        };
        let bot_token = keep("bot", BOT_TOKEN);
        let mut listens = String::new();
        let mut claimed = None;
        let ear = match hears {
            Hears::Socket => format!("app_token: {{file: {}}}", keep("app", APP_TOKEN)),
            Hears::Requests => {
                let port = free_port();
                listens = format!("127.0.0.1:{port}");
                slack.mode(Mode::Http(format!("http://127.0.0.1:{port}/slack/events")));
                let ear =
                    format!("listen: 127.0.0.1:{port}\n    signing_secret: {{file: {}}}", keep("signing", SECRET));
                claimed = Some(port);
                ear
            }
        };
        let settings = format!(
            "slack:\n  - workspace: {TEAM}\n    api: {}\n    bot_token: {{file: {bot_token}}}\n    {ear}\n{settings}",
            slack.api()
        );
        let catalog = catalog.in_slack(TEAM, &room, &other);
        let bot = Bot::start_with(catalog, &settings).await;
        let own = Self { slack, bot, room, other, secrets, listens, _port: claimed, read: Mutex::default() };
        own.hears(hears).await;
        own
    }

    /// Waits until the bot would hear what is said.
    pub(crate) async fn hears(&self, hears: Hears) {
        match hears {
            Hears::Socket => self.slack.connected(1).await,
            // It listens before it says that it is ready.
            Hears::Requests => {}
        }
    }

    /// Where it listens for requests.
    pub(crate) fn listens_at(&self) -> String {
        self.listens.clone()
    }

    /// Somebody says something in the room of system-a.
    pub(crate) fn say(&self, person: &str, text: &str) -> Ts {
        self.slack.say(person, &self.room, text)
    }

    /// Somebody answers in a thread there.
    pub(crate) fn reply(&self, person: &str, root: Ts, text: &str) -> Ts {
        self.slack.reply(person, &self.room, root, text)
    }

    /// Waits until everything that was said has been dealt with, no run goes on by itself, and everything has been told.
    pub(crate) async fn calm(&self) {
        self.slack.settled().await;
        until("everything is over and told", async || {
            let runs = "select count(*) from run where state in ('planned', 'approved', 'running', 'stopping')";
            let going_on = self.bot.db().number(runs).await;
            let backlog = self.bot.db().store.backlog().await.expect("the database");
            (going_on == 0 && backlog.is_empty()).then_some(())
        })
        .await;
    }

    /// What the bot wrote that nobody has read as it is now: where, and the message.
    fn unread(&self) -> Vec<(String, Seen)> {
        let read = self.read.lock().expect("no panic before");
        let mut all = self.slack.everything_of_bot();
        all.sort_by_key(|(_, seen)| seen.ts);
        all.retain(|(place, seen)| !read.contains(&(place.clone(), seen.ts, seen.text.clone())));
        all
    }

    fn mark_read(&self, place: &str, seen: &Seen) {
        let mut read = self.read.lock().expect("no panic before");
        read.insert((place.to_owned(), seen.ts, seen.text.clone()));
    }

    /// Waits until an unread message of the bot's holds some words, and reads it.
    pub(crate) async fn hear(&self, words: &str) -> Seen {
        let find = || self.unread().into_iter().find(|(_, seen)| seen.text.contains(words));
        let (place, seen) = self.slack.until(&format!("a message with `{words}`"), |_| find()).await;
        self.mark_read(&place, &seen);
        seen
    }

    /// Waits until all is calm, and reads what nobody read so far: each message with where it stands (`system-a`,
    /// `system-a >` in a thread, `direct boss`, `only boss`).
    pub(crate) async fn rest(&self) -> String {
        self.calm().await;
        let mut lines = Vec::new();
        for (place, seen) in self.unread() {
            self.mark_read(&place, &seen);
            let thread = if seen.thread.is_some() { " >" } else { "" };
            lines.push(format!("{place}{thread}: {}", seen.text));
        }
        plain(&lines.join("\n"))
    }

    /// The newest request: its run, its code, and the message that shows it and bears its buttons.
    pub(crate) async fn request(&self) -> Asked {
        self.calm().await;
        let run = self.bot.db().number("select run from request order by id desc limit 1").await;
        let code = self.bot.db().text("select code from request order by id desc limit 1").await;
        // What comes of it, at once perhaps, stands below it.
        let shown = self.slack.of_bot(&self.room).into_iter().find(|seen| seen.text.contains(&code));
        let shown = shown.unwrap_or_else(|| panic!("{code} is shown nowhere"));
        Asked { run: RunId(run), code, ts: shown.ts }
    }

    /// Ends the story.
    pub(crate) async fn finish(self) {
        self.calm().await;
        let unread: Vec<String> =
            self.unread().into_iter().map(|(place, seen)| format!("{place}: {}", seen.text)).collect();
        assert!(unread.is_empty(), "nobody read:\n{}", unread.join("\n"));
        self.bot.end().await;
        self.slack.finish();
    }
}

/// A request as it was shown.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) run: RunId,
    pub(crate) code: String,
    /// The root of its thread, under which its buttons stand.
    pub(crate) ts: Ts,
}

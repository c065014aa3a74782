//! Handing over what Slack delivers, whichever way it comes: through a socket or as a request.
//!
//! What lives here: reading a frame, receiving what is in it in order, and the window that asks for a reason. What does
//! not: what it means (`inbound`), and when it is acknowledged (`socket`, `requests`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;

use super::PLATFORM;
use super::api::Slack;
use super::away::Away;
use super::inbound::{Reader, Taken};
use super::text::why_view;
use crate::chat::{Inbound, NewsReceived, SendError};
use crate::metrics;
use crate::model::chat::{Account, Incoming, RoomAddress, RoomChange, RoomNews, WhyWords};
use crate::store::Clock;

/// The catalog's name for an account, if somebody has it.
pub type Names = Arc<dyn Fn(&Account) -> Option<String> + Send + Sync>;

/// How long opening a window may take: Slack wants it within 3 s of the press.
pub const WINDOW_WITHIN: Duration = Duration::from_secs(2);

/// What came in goes through here to whoever acts on it.
#[derive(Clone)]
pub struct Door {
    /// The workspace.
    pub slack: Arc<Slack>,
    /// Who takes what was said.
    pub inbound: Arc<dyn Inbound>,
    /// Whom the catalog knows.
    pub names: Names,
    /// What time it is.
    pub clock: Clock,
    /// The words of the window that asks why.
    pub words: WhyWords,
    /// Who reads what was said while nobody listened; `None`: nobody does.
    pub away: Option<Arc<Away>>,
}

/// One delivery.
#[derive(Debug, Clone, Copy)]
pub struct Delivered<'a> {
    /// `events_api`, `slash_commands` or `interactive`.
    pub kind: &'a str,
    /// What is in it.
    pub payload: &'a Value,
    /// Whether Slack says that it delivered this before.
    pub again: bool,
}

impl Door {
    /// Hands over what is in a frame, in order.
    pub async fn take(&self, delivered: Delivered<'_>) -> Kept {
        let name = |id: &str| {
            let workspace = self.slack.own().team.clone();
            (self.names)(&Account { platform: PLATFORM.to_owned(), workspace, id: id.to_owned() })
        };
        // Read in a block of its own: what reads is not kept while something is waited for.
        let taken = Reader { own: self.slack.own(), name: &name, now: self.clock.now() }
            .frame(delivered.kind, delivered.payload);
        for taken in taken {
            let kept = match taken {
                Taken::Said(incoming) => self.receive(incoming).await,
                Taken::AskWhy { trigger, kept, press } => match self.ask_why(&trigger, &kept, delivered.again).await {
                    Asked::Yes => Kept::Yes,
                    Asked::No => self.receive(press).await,
                },
                Taken::Room(news) => self.news(news).await,
                Taken::Noted(note) => {
                    metrics::slack(note.name());
                    tracing::debug!(?note, kind = delivered.kind, "a delivery that nobody said");
                    Kept::Yes
                }
            };
            if kept == Kept::No {
                // Slack delivers it again, but not for ever.
                if let Some(away) = &self.away {
                    away.suspect();
                }
                return Kept::No;
            }
        }
        Kept::Yes
    }

    async fn news(&self, news: RoomNews) -> Kept {
        let (room, what) = (news.room.clone(), news.what.clone());
        let received = match self.inbound.news(news).await {
            Ok(received) => received,
            // Said where it failed.
            Err(_) => {
                metrics::slack("not_kept");
                return Kept::No;
            }
        };
        metrics::slack("news");
        if received == NewsReceived::First {
            self.heed(&room, &what);
        }
        Kept::Yes
    }

    /// What news of a declared room mean for hearing it.
    fn heed(&self, room: &RoomAddress, what: &RoomChange) {
        let hearing = self.slack.hearing();
        match what {
            RoomChange::BotLeft => {
                hearing.close_room(&room.channel);
                tracing::error!(%room, "the bot was taken out of a declared room and hears nothing there; invite it again");
            }
            RoomChange::Archived => {
                hearing.close_room(&room.channel);
                tracing::error!(%room, "a declared room was archived: nothing can be said there any more");
            }
            RoomChange::BotJoined | RoomChange::Unarchived => {
                tracing::info!(%room, "a declared room is open to the bot");
                hearing.open_room(&room.channel);
            }
            RoomChange::Joined | RoomChange::Left | RoomChange::Renamed { .. } => return,
        }
        if let Some(away) = &self.away {
            away.look_again(room);
        }
    }

    async fn receive(&self, incoming: Incoming) -> Kept {
        match self.inbound.receive(incoming).await {
            Ok(_) => {
                metrics::slack("said");
                Kept::Yes
            }
            // Said where it failed.
            Err(_) => {
                metrics::slack("not_kept");
                Kept::No
            }
        }
    }

    /// Opens the window that asks why. If that is not possible the press alone has to do: whoever denies wants to deny.
    async fn ask_why(&self, trigger: &str, kept: &str, again: bool) -> Asked {
        let opening = self.slack.open_view(trigger, why_view(&self.words, kept));
        match timeout(WINDOW_WITHIN, opening).await {
            Ok(Ok(())) => Asked::Yes,
            // Delivered again, after the window was opened: its answer is what counts.
            Ok(Err(SendError::Refused(why))) if why.contains("exchanged") || again => Asked::Yes,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the window that asks why cannot be opened; the press counts without a reason");
                Asked::No
            }
            Err(_) => {
                tracing::warn!("the window that asks why did not open in time; the press counts without a reason");
                Asked::No
            }
        }
    }
}

/// Whether everything in a delivery is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is: it may be acknowledged.
    Yes,
    /// It is not: it has to be delivered again.
    No,
}

/// Whether somebody is asked for a reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Yes,
    No,
}

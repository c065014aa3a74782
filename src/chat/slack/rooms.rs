//! Channels that the bot makes in Slack: making one, finding it again, inviting, topic, pin, archive.
//!
//! What lives here: Slack's methods for channels, what their errors mean, and names that Slack takes. What does not: when
//! any of it is done (`flow`).
//!
//! A channel's name is unique in Slack, and that is what keeps a lost answer from making a second one: the name is taken
//! then, and the channel that has it is looked at. It is ours if this bot made it for the same mark, which stands in its
//! purpose; or if this bot made it after it was wanted, and died before it could write the purpose. Any other is somebody
//! else's, and the next name is tried.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::api::{Slack, Why};
use super::text::escape;
use super::{PLATFORM, is_user_id};
use crate::chat::{NewRoom, Rooms, SendError};
use crate::model::chat::{Account, RoomAddress};
use crate::model::id::MessageId;
use crate::model::incident_room::{MadeRoom, Privacy};

/// The longest name of a channel.
const LONGEST_NAME: usize = 80;
/// The longest topic or purpose, as it is sent.
const LONGEST_TOPIC: usize = 250;
/// How many names are tried.
const MOST_NAMES: u32 = 9;
/// How many people one call invites.
const AT_ONCE: usize = 100;
/// Channels on one page of a list, and how many pages are read.
const PAGE: usize = 200;
const PAGES: usize = 25;
/// How long a channel that was just made may be missing in lists.
const APPEARS_WITHIN: Duration = Duration::from_secs(2);
/// How far Slack's clock and ours may be apart.
const SKEW: TimeDelta = TimeDelta::minutes(5);

impl Slack {
    async fn make_channel(&self, new: &NewRoom) -> Result<MadeRoom, SendError> {
        for number in 1..=MOST_NAMES {
            let name = valid_name(&new.name, number);
            let request = json!({"name": name, "is_private": new.privacy == Privacy::Private});
            let found = match self.ask("conversations.create", request).await {
                Ok(answer) => {
                    let channel = &answer["channel"];
                    let nothing =
                        || SendError::Unknown("conversations.create was answered without a channel".to_owned());
                    // Slack may have changed the name once more.
                    let called = channel["name"].as_str().unwrap_or(&name).to_owned();
                    Some((channel["id"].as_str().map(str::to_owned).ok_or_else(nothing)?, called))
                }
                Err((Some(code), _)) if code == "name_taken" => {
                    let mut found = self.own_channel(&name, new).await?;
                    if found.is_none() {
                        // What was made a moment ago may not be listed yet.
                        sleep(APPEARS_WITHIN).await;
                        found = self.own_channel(&name, new).await?;
                    }
                    found.map(|id| (id, name))
                }
                Err(why) => return Err(refusal(why, scope_of(new.privacy))),
            };
            let Some((id, name)) = found else { continue };
            let purpose = fitting(&new.purpose);
            match self.ask("conversations.setPurpose", json!({"channel": id, "purpose": purpose})).await {
                Ok(_) => {}
                // Without it the channel is known by its maker and its time.
                Err((_, SendError::Refused(why))) => {
                    tracing::warn!(channel = id, why, "a channel's purpose was not set");
                }
                Err((_, error)) => return Err(error),
            }
            return Ok(MadeRoom { address: new.home.room(id), name });
        }
        Err(SendError::Refused(format!("every name like #{} is taken by another channel", valid_name(&new.name, 1))))
    }

    /// The channel of a name, if it is the one that was to be made. The bot is a member of what it made, so only those are
    /// looked through.
    async fn own_channel(&self, name: &str, new: &NewRoom) -> Result<Option<String>, SendError> {
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES {
            let fields = [
                ("types", Some("public_channel,private_channel".to_owned())),
                ("exclude_archived", Some("true".to_owned())),
                ("limit", Some(PAGE.to_string())),
                ("cursor", cursor.take()),
            ];
            let page =
                self.look_up("users.conversations", &fields).await.map_err(|why| refusal(why, "channels:read"))?;
            let channels = page["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
            if let Some(channel) = channels.iter().find(|channel| channel["name"].as_str() == Some(name)) {
                return Ok(channel["id"]
                    .as_str()
                    .filter(|_| is_own(channel, &self.own().user, new))
                    .map(str::to_owned));
            }
            cursor =
                page["response_metadata"]["next_cursor"].as_str().filter(|next| !next.is_empty()).map(str::to_owned);
            if cursor.is_none() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Invites all at once; where that is refused because of somebody, halves, until that one stands alone.
    async fn invite_all(&self, channel: &str, accounts: &[Account]) -> Result<Vec<(Account, String)>, SendError> {
        let mut left_out = Vec::new();
        let mut open: Vec<&[Account]> = accounts.chunks(AT_ONCE).rev().collect();
        while let Some(some) = open.pop() {
            let ids: Vec<&str> = some.iter().map(|account| account.id.as_str()).collect();
            let stranger = some.iter().any(|account| account.platform != PLATFORM || !is_user_id(&account.id));
            let answer = if stranger {
                Err((Some("user_not_found".to_owned()), SendError::Refused("nobody whom Slack knows".to_owned())))
            } else {
                self.ask("conversations.invite", json!({"channel": channel, "users": ids.join(",")})).await
            };
            let (code, error) = match answer {
                Ok(_) => continue,
                Err(why) => why,
            };
            match (code.as_deref().and_then(of_person), some) {
                (None, _) => return Err(refusal((code, error), "channels:manage")),
                (Some(OfPerson::IsThere), [_]) => {}
                (Some(OfPerson::Cannot(why)), [one]) => left_out.push((one.clone(), why.to_owned())),
                (Some(_), more) => {
                    let (first, second) = more.split_at(more.len() / 2);
                    open.push(second);
                    open.push(first);
                }
            }
        }
        Ok(left_out)
    }

    async fn archive_channel(&self, channel: &str) -> Result<(), SendError> {
        let why = match self.ask("conversations.archive", json!({"channel": channel})).await {
            Ok(_) => return Ok(()),
            Err(why) => why,
        };
        match why.0.as_deref() {
            Some("already_archived" | "is_archived") => Ok(()),
            // Slack takes the bot out of what it archives: then somebody has archived it, and nothing else says so.
            Some("not_in_channel" | "channel_not_found") if self.standing(channel).await? == Standing::Archived => {
                Ok(())
            }
            _ => Err(refusal(why, "channels:manage")),
        }
    }

    /// How a channel stands. One that the bot does not see any more is as good as archived.
    async fn standing(&self, channel: &str) -> Result<Standing, SendError> {
        match self.look_up("conversations.info", &[("channel", Some(channel.to_owned()))]).await {
            Ok(answer) => {
                let channel = &answer["channel"];
                Ok(match (channel["is_archived"].as_bool(), channel["is_member"].as_bool()) {
                    (Some(true), _) => Standing::Archived,
                    (_, Some(false)) => Standing::WithoutUs,
                    (Some(false) | None, Some(true) | None) => Standing::Open,
                })
            }
            Err((Some(code), _)) if code == "channel_not_found" => Ok(Standing::Archived),
            Err((_, SendError::Refused(why))) => {
                tracing::warn!(channel, why, "how a channel stands is not told");
                Ok(Standing::Open)
            }
            Err((_, error)) => Err(error),
        }
    }

    /// Asks for something that may be done already.
    async fn once_done(&self, method: &str, request: Value, done: &str, scope: &str) -> Result<(), SendError> {
        match self.ask(method, request).await {
            Ok(_) => Ok(()),
            Err((Some(code), _)) if code == done => Ok(()),
            Err(why) => Err(refusal(why, scope)),
        }
    }
}

impl Rooms for Slack {
    fn make<'a>(&'a self, new: &'a NewRoom) -> BoxFuture<'a, Result<MadeRoom, SendError>> {
        self.make_channel(new).boxed()
    }

    fn invite<'a>(
        &'a self,
        room: &'a RoomAddress,
        accounts: &'a [Account],
    ) -> BoxFuture<'a, Result<Vec<(Account, String)>, SendError>> {
        self.invite_all(&room.channel, accounts).boxed()
    }

    fn set_topic<'a>(&'a self, room: &'a RoomAddress, topic: &'a str) -> BoxFuture<'a, Result<(), SendError>> {
        let request = json!({"channel": room.channel, "topic": fitting(topic)});
        self.once_done("conversations.setTopic", request, "", "channels:manage").boxed()
    }

    fn pin<'a>(&'a self, room: &'a RoomAddress, message: &'a MessageId) -> BoxFuture<'a, Result<(), SendError>> {
        let request = json!({"channel": room.channel, "timestamp": message.as_str()});
        self.once_done("pins.add", request, "already_pinned", "pins:write").boxed()
    }

    fn is_open<'a>(&'a self, room: &'a RoomAddress) -> BoxFuture<'a, Result<bool, SendError>> {
        async move { Ok(self.standing(&room.channel).await? == Standing::Open) }.boxed()
    }

    fn archive<'a>(&'a self, room: &'a RoomAddress) -> BoxFuture<'a, Result<(), SendError>> {
        self.archive_channel(&room.channel).boxed()
    }
}

/// How a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The bot can speak there.
    Open,
    /// Nobody can, or it is gone.
    Archived,
    /// The bot was taken out of it.
    WithoutUs,
}

fn scope_of(privacy: Privacy) -> &'static str {
    match privacy {
        Privacy::Public => "channels:manage",
        Privacy::Private => "groups:write",
    }
}

/// Whether a channel, as Slack describes it, is the one that was to be made.
fn is_own(channel: &Value, own: &str, new: &NewRoom) -> bool {
    if channel["creator"].as_str() != Some(own) {
        return false;
    }
    let purpose = channel["purpose"]["value"].as_str().unwrap_or_default();
    let made_since = channel["created"].as_i64().is_some_and(|made| made >= (new.wanted_at - SKEW).timestamp());
    purpose.contains(&new.mark) || (purpose.is_empty() && made_since)
}

/// What is wrong with one person alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OfPerson {
    /// Nothing: they are there.
    IsThere,
    /// They cannot come.
    Cannot(&'static str),
}

fn of_person(code: &str) -> Option<OfPerson> {
    Some(match code {
        "already_in_channel" | "cant_invite_self" => OfPerson::IsThere,
        "user_not_found" => OfPerson::Cannot("no active account in this workspace"),
        "ura_max_channels" => OfPerson::Cannot("a guest of other channels"),
        "cant_invite" => OfPerson::Cannot("Slack does not let the app invite them: invite them by hand"),
        "no_external_invite_permission" | "user_team_not_in_channel" | "invitee_cant_see_channel" => {
            OfPerson::Cannot("of another workspace")
        }
        _ => return None,
    })
}

/// Why Slack did not do it, for people: with what to do. What is wrong for good is refused, though for a message it would
/// be waited out: an incident does not wait for it.
fn refusal((code, meant): Why, scope: &str) -> SendError {
    let Some(code) = code else { return meant };
    let todo = match code.as_str() {
        "missing_scope" | "no_permission" => format!(
            "Slack wants the right {scope} for it; add it as `countersign slack manifest` has it, and install the app again"
        ),
        "restricted_action"
        | "restricted_action_non_threadable_channel"
        | "restricted_action_read_only_channel"
        | "restricted_action_thread_only_channel" => {
            "this workspace does not let the app do it; an owner can allow it under Settings, Permissions".to_owned()
        }
        "user_is_restricted" => "Slack treats the app as a guest here; an owner has to let it do this".to_owned(),
        _ => return meant,
    };
    SendError::Refused(format!("{code}: {todo}"))
}

/// A name that Slack takes: lower case, digits and hyphens, at most 80; with a number from the second try on.
fn valid_name(wished: &str, number: u32) -> String {
    let mut name = String::new();
    for letter in wished.chars().flat_map(char::to_lowercase) {
        if letter.is_ascii_lowercase() || letter.is_ascii_digit() {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('-') {
            // Whatever else it is separates: no letter is guessed for it.
            name.push('-');
        }
    }
    let number = if number > 1 { format!("-{number}") } else { String::new() };
    name.truncate(LONGEST_NAME - number.len());
    let name = name.trim_end_matches('-');
    if name.is_empty() { format!("incident{number}") } else { format!("{name}{number}") }
}

/// A topic or purpose as Slack takes it: nothing in it pings or links, and it fits.
fn fitting(text: &str) -> String {
    let whole = escape(text);
    if whole.chars().count() <= LONGEST_TOPIC {
        return whole;
    }
    let mut kept = String::new();
    for letter in text.chars() {
        let letter = escape(letter.encode_utf8(&mut [0; 4]));
        if kept.chars().count() + letter.chars().count() > LONGEST_TOPIC {
            break;
        }
        kept.push_str(&letter);
    }
    kept
}

#[cfg(test)]
mod tests {
    use chrono::{TimeZone, Utc};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_become_what_slack_takes() {
        for (wished, name) in [
            ("inc-7-shop", "inc-7-shop"),
            ("Inc 7: Shop!", "inc-7-shop"),
            ("inc_7_shop", "inc-7-shop"),
            ("inc-7-größe", "inc-7-gr-e"),
            ("7-🔥", "7"),
            ("  7  ", "7"),
            ("--7--8--", "7-8"),
            ("İ7", "i-7"),
            ("火事", "incident"),
            ("", "incident"),
        ] {
            assert_eq!(valid_name(wished, 1), name, "{wished}");
        }
        assert_eq!(valid_name("inc-7-shop", 2), "inc-7-shop-2");
        assert_eq!(valid_name("火", 3), "incident-3");
        assert_eq!(valid_name(&"x".repeat(200), 1).len(), 80);
        assert_eq!(valid_name(&"x".repeat(200), 9), format!("{}-9", "x".repeat(78)));
        assert_eq!(valid_name(&format!("{}-y", "x".repeat(79)), 1), "x".repeat(79), "it does not end in a hyphen");
    }

    proptest! {
        #[test]
        fn any_name_is_one_that_slack_takes(wished in "\\PC{0,120}", number in 1_u32..10) {
            let name = valid_name(&wished, number);
            prop_assert!((1..=80).contains(&name.len()), "{name}");
            prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            prop_assert!(!name.starts_with('-') && !name.ends_with('-') && !name.contains("--"), "{name}");
            prop_assert_eq!(valid_name(&name, 1), name.clone());
        }

        #[test]
        fn names_of_several_tries_differ(wished in "[a-z0-9-]{0,100}") {
            let names: std::collections::BTreeSet<String> = (1..=9).map(|number| valid_name(&wished, number)).collect();
            // A long one may end in a number already.
            prop_assert!(names.len() >= 8, "{names:?}");
        }

        #[test]
        fn i9_a_topic_fits_and_marks_nothing(text in "[<>&@!# a-zé]{0,300}") {
            let sent = fitting(&text);
            prop_assert!(sent.chars().count() <= LONGEST_TOPIC);
            prop_assert!(!sent.contains(['<', '>']));
        }
    }

    fn wanted() -> NewRoom {
        NewRoom {
            home: "slack:T1".parse().expect("a workspace"),
            name: "inc-7-shop".into(),
            privacy: Privacy::Public,
            purpose: "INC-7 [countersign ab12:7.1]".into(),
            mark: "[countersign ab12:7.1]".into(),
            wanted_at: Utc.with_ymd_and_hms(2026, 11, 21, 22, 0, 0).single().expect("a time"),
        }
    }

    #[test]
    fn a_channel_is_ours_by_its_maker_and_mark_or_before_the_mark_by_its_time() {
        let at = wanted().wanted_at.timestamp();
        let channel = |creator: &str, created: i64, purpose: &str| {
            is_own(&json!({"creator": creator, "created": created, "purpose": {"value": purpose}}), "U0", &wanted())
        };
        assert!(channel("U0", at + 1, "INC-7 [countersign ab12:7.1]"));
        assert!(channel("U0", at - 9_000, "INC-7 [countersign ab12:7.1]"), "the mark says enough");
        assert!(channel("U0", at + 1, ""), "it died before the purpose");
        assert!(!channel("U0", at - 9_000, ""), "another of the bot's, of old");
        assert!(!channel("U0", at + 1, "INC-7 [countersign ab12:7.2]"), "for another");
        assert!(!channel("U0", at + 1, "INC-7 [countersign cd34:7.1]"), "of another ledger");
        assert!(!channel("U1", at + 1, "INC-7 [countersign ab12:7.1]"), "somebody copied it");
        assert!(!is_own(&json!({}), "U0", &wanted()));
    }

    #[test]
    fn what_is_refused_says_what_to_do_and_trouble_is_waited_out() {
        let refused = |code: &str| refusal((Some(code.to_owned()), SendError::Unknown(code.to_owned())), "pins:write");
        insta::assert_snapshot!(refused("missing_scope"), @"the platform refuses it: missing_scope: Slack wants the right pins:write for it; add it as `countersign slack manifest` has it, and install the app again");
        insta::assert_snapshot!(refused("restricted_action"), @"the platform refuses it: restricted_action: this workspace does not let the app do it; an owner can allow it under Settings, Permissions");
        assert_eq!(refused("internal_error"), SendError::Unknown("internal_error".into()));
        let limited = SendError::RetryAfter(Duration::from_secs(7));
        assert_eq!(refusal((None, limited.clone()), "pins:write"), limited);
    }
}

//! What the bot says when it comes back to a room that it did not hear for a while.

use chrono::{DateTime, TimeDelta, Utc};

use super::time::Times;
use super::visible::{echo, visible};
use crate::model::event::{Missed, NotDone};

/// A gap that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Away<'a> {
    /// Since when it was not there.
    pub from: DateTime<Utc>,
    /// When it was back.
    pub to: DateTime<Utc>,
    /// The first commands that were not done.
    pub not_done: &'a [NotDone],
    /// How many more there are.
    pub more: usize,
    /// What was said before this was too much to read.
    pub unread_until: Option<DateTime<Utc>>,
}

/// To the room: for how long it was away, and what it did not do.
pub fn was_away(away: &Away<'_>, times: &Times, now: DateTime<Utc>) -> String {
    let mut said = if away.to - away.from >= TimeDelta::minutes(1) {
        format!("I was away {}.", times.from_to(away.from, away.to, now))
    } else {
        // It was there, or away for a moment: something did not reach it.
        "Something was said here that I did not hear in time.".to_owned()
    };
    said.push_str(&unread(away, times, now));
    match not_done(away, times, now) {
        Some(not_done) => said.push_str(&format!(" Not done: {not_done}. Say it again if still wanted.")),
        None if away.unread_until.is_some() => said.push_str(" If you asked for something then, say it again."),
        None => said.push_str(" Nothing said meanwhile is left undone."),
    }
    said
}

/// For the ledger: the same, after its actor.
pub fn recorded(room: &str, away: &Away<'_>, times: &Times, now: DateTime<Utc>) -> String {
    let mut said = format!("did not hear {room} {}.", times.from_to(away.from, away.to, now));
    said.push_str(&unread(away, times, now));
    if let Some(not_done) = not_done(away, times, now) {
        said.push_str(&format!(" Not done: {not_done}."));
    }
    said
}

fn unread(away: &Away<'_>, times: &Times, now: DateTime<Utc>) -> String {
    let unread = away.unread_until.map(|until| {
        format!(" More was said than I read: what was said before {} is not recorded.", times.at(until, now))
    });
    unread.unwrap_or_default()
}

fn not_done(away: &Away<'_>, times: &Times, now: DateTime<Utc>) -> Option<String> {
    if away.not_done.is_empty() {
        return None;
    }
    let line = |line: &NotDone| {
        let edited = match line.why {
            Missed::Late => "",
            Missed::Edited => " (edited)",
        };
        let (person, at) = (visible(line.person.as_str()), times.short(line.said_at, now));
        format!("{person} {at} `{}`{edited}", echo(&line.text))
    };
    let mut list = away.not_done.iter().map(line).collect::<Vec<_>>().join("; ");
    if away.more > 0 {
        list.push_str(&format!("; and {} more", away.more));
    }
    Some(list)
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;

    use super::*;
    use crate::model::id::PersonId;

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-21T{text}:00Z").parse().expect("a time")
    }

    fn line(person: &str, said_at: &str, text: &str, why: Missed) -> NotDone {
        let (person, text) = (PersonId::new(person), text.to_owned());
        NotDone { line: "line:1".to_owned(), person, said_at: at(said_at), text, why }
    }

    fn said(away: &Away<'_>) -> String {
        was_away(away, &Times::in_zone(Tz::UTC), at("22:14"))
    }

    #[test]
    fn it_says_for_how_long_and_what_was_not_done() {
        let lines = [
            line("mei", "22:03", "start service b", Missed::Late),
            line("boss", "22:05", "approved", Missed::Late),
            line("mei", "22:06", "stop service b", Missed::Edited),
        ];
        let away = Away { from: at("22:01"), to: at("22:14"), not_done: &lines[..2], more: 0, unread_until: None };
        let all = Away { not_done: &lines, more: 7, ..away };
        let quiet = Away { not_done: &[], ..away };
        let short = Away { from: at("22:14"), ..away };
        let much = Away { unread_until: Some(at("22:04")), ..quiet };
        let night = Away { from: at("22:01") - TimeDelta::days(1), ..away };
        let shown: Vec<String> = [away, all, quiet, short, much, night].iter().map(said).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        I was away 22:01–22:14 UTC. Not done: mei 22:03 `start service b`; boss 22:05 `approved`. Say it again if still wanted.
        I was away 22:01–22:14 UTC. Not done: mei 22:03 `start service b`; boss 22:05 `approved`; mei 22:06 `stop service b` (edited); and 7 more. Say it again if still wanted.
        I was away 22:01–22:14 UTC. Nothing said meanwhile is left undone.
        Something was said here that I did not hear in time. Not done: mei 22:03 `start service b`; boss 22:05 `approved`. Say it again if still wanted.
        I was away 22:01–22:14 UTC. More was said than I read: what was said before 22:04 UTC is not recorded. If you asked for something then, say it again.
        I was away 2026-11-20 22:01 UTC to 22:14 UTC. Not done: mei 22:03 `start service b`; boss 22:05 `approved`. Say it again if still wanted.
        ");
    }

    #[test]
    fn i9_what_was_said_stays_within_its_quotation() {
        let lines = [line("mei", "22:03", "start\nboss 22:04 `approved`\u{202e}", Missed::Late)];
        let away = Away { from: at("22:01"), to: at("22:14"), not_done: &lines, more: 0, unread_until: None };
        assert!(!said(&away).chars().any(crate::model::glyph::hidden), "{}", said(&away));
    }
}

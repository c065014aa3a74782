//! Small parts that several pages are set with: times, states, what somebody said, what a form came to.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::super::rooms::may_see;
use super::Wrong;
use super::visitor::Visitor;
use crate::approval::requesters_now;
use crate::model::approval::{Case, Delegation, Given};
use crate::model::catalog::Catalog;
use crate::model::id::{Digest, InboxId, OutboxId, PersonId};
use crate::model::plan::Plan;
use crate::model::request::RequestState;
use crate::model::run::{AttemptState, RunState, Verdict};
use crate::store::{Asking, Request, Run};
use crate::text::plan::groups;
use crate::text::visible::visible;

/// What a state means for the reader: one of four colours, each with a shape of its own, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Waiting,
    Running,
    Good,
    Bad,
    Over,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Waiting => "waits",
            Self::Running => "runs",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Over => "over",
        }
    }
}

/// A state: a word, a shape before it, and a colour that repeats both.
pub(super) fn state(tone: Tone, word: &str) -> Markup {
    html! { span class={ "state " (tone.class()) } { (word) } }
}

pub(super) fn run_tone(state: &RunState) -> Tone {
    match state {
        RunState::AwaitingApproval => Tone::Waiting,
        RunState::Planned | RunState::Approved | RunState::Running | RunState::Stopping { .. } => Tone::Running,
        RunState::Succeeded => Tone::Good,
        RunState::Stuck(_) | RunState::Failed(_) => Tone::Bad,
        RunState::Stopped { .. } | RunState::Denied { .. } | RunState::Expired | RunState::Withdrawn { .. } => {
            Tone::Over
        }
    }
}

/// A run's state without its reasons, for lists.
pub(super) fn run_word(state: &RunState) -> String {
    match state {
        RunState::Planned | RunState::Approved => "about to start".to_owned(),
        RunState::AwaitingApproval => "waiting for approval".to_owned(),
        RunState::Running => "running".to_owned(),
        RunState::Stuck(snag) => format!("stuck at step {}", snag.step),
        RunState::Stopping { .. } => "being stopped".to_owned(),
        RunState::Succeeded => "done".to_owned(),
        RunState::Failed(snag) => format!("failed at step {}", snag.step),
        RunState::Stopped { by } => format!("stopped by {by}"),
        RunState::Denied { by, .. } => format!("denied by {by}"),
        RunState::Expired => "expired".to_owned(),
        RunState::Withdrawn { by } => format!("withdrawn by {by}"),
    }
}

pub(super) fn attempt_state(attempt: &AttemptState) -> Markup {
    match attempt {
        AttemptState::Started => state(Tone::Running, "running"),
        AttemptState::Succeeded => state(Tone::Good, "done"),
        AttemptState::Failed => state(Tone::Bad, "failed"),
        AttemptState::TimedOut => state(Tone::Bad, "timeout"),
        AttemptState::Unknown => state(Tone::Bad, "unknown"),
        AttemptState::Judged { by, verdict: Verdict::Worked } => state(Tone::Good, &format!("{by} judged: it worked")),
        AttemptState::Judged { by, verdict: Verdict::Failed } => {
            state(Tone::Bad, &format!("{by} judged: it did not work"))
        }
        AttemptState::Skipped { by } => state(Tone::Bad, &format!("unknown, left out by {by}")),
    }
}

/// Who could answer a request now, in the order of their names; nobody if it does not wait.
pub(in crate::web) fn who_could_answer(
    catalog: &Catalog,
    now: DateTime<Utc>,
    request: &Request,
    run: &Run,
    plan: &Plan,
    asking: &Asking,
    delegations: &[Delegation],
) -> Vec<PersonId> {
    let policy = plan.policy_over(&request.wanted, &request.needs);
    let (RequestState::Pending { .. }, Some(policy)) = (&request.state, &policy) else { return Vec::new() };
    let standing = asking.standing.iter();
    let given: Vec<Given> =
        standing.map(|stored| Given { decision: stored.decision.clone(), account: stored.account.clone() }).collect();
    let requesters = requesters_now(request, run, catalog);
    let case = Case {
        state: &request.state,
        policy,
        requesters: &requesters,
        excluded: plan.excluded(),
        asked: request.knows_asked.then_some(asking.asked.as_slice()),
        given: &given,
        delegations,
        expires_at: request.expires_at,
        posted: true,
    };
    case.could_answer(now, catalog).into_iter().collect()
}

pub(super) fn request_state(request: &RequestState) -> Markup {
    match request {
        RequestState::Pending { .. } => state(Tone::Waiting, "waiting"),
        RequestState::Granted => state(Tone::Good, "approved"),
        RequestState::Denied { by, .. } => state(Tone::Over, &format!("denied by {by}")),
        RequestState::Expired => state(Tone::Over, "expired, nobody decided"),
        RequestState::Withdrawn { by } => state(Tone::Over, &format!("withdrawn by {by}")),
        RequestState::ChangesRequested { by, .. } => state(Tone::Over, &format!("sent back by {by}")),
        RequestState::Superseded { .. } => state(Tone::Over, "a newer one took its place"),
    }
}

/// A moment in a column of times: the clock, the whole of it for whoever points at it and for machines.
pub(super) fn clock(visitor: &Visitor, moment: DateTime<Utc>) -> Markup {
    let times = &visitor.web.state.times;
    let whole = times.at_second(moment, DateTime::UNIX_EPOCH);
    html! { time datetime=(moment.to_rfc3339()) title=(whole) { (times.clock(moment)) } }
}

/// A moment in a sentence.
pub(super) fn at(visitor: &Visitor, moment: DateTime<Utc>) -> Markup {
    let now = visitor.web.state.store.clock().now();
    html! { time datetime=(moment.to_rfc3339()) { (visitor.web.state.times.at_second(moment, now)) } }
}

/// A digest for eyes, with the whole of it for whoever points at it, copies it or prints it.
pub(super) fn digest(digest: Digest) -> Markup {
    html! { code.digest title=(digest.to_string()) { (groups(digest)) } }
}

/// What somebody said: nothing in it hides, and its lines stay lines.
pub(super) fn lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

/// What the bot said. Its first line is what a lock screen shows; what is set in columns stays so.
///
/// `link` is the one address in it that may be opened.
pub(super) fn told(text: &str, link: Option<&str>) -> Markup {
    let mut parts: Vec<(bool, Vec<&str>)> = Vec::new();
    for line in text.lines().skip(1) {
        let in_columns = is_column(line);
        match parts.last_mut() {
            Some((same, lines)) if *same == in_columns => lines.push(line),
            _ => parts.push((in_columns, vec![line])),
        }
    }
    let first = text.lines().next().unwrap_or_default();
    html! {
        @if is_column(first) { pre { span { (first) } } } @else { p.lead { (opened(first, link)) } }
        @for (in_columns, lines) in parts {
            @if in_columns {
                // Each row by itself, so that what does not fit goes on under its own beginning.
                pre tabindex="0" { @for line in lines { span { (line) } } }
            } @else { p { (opened(&lines.join("\n"), link)) } }
        }
    }
}

/// A sentence in which what one types stands between backticks.
pub(in crate::web) fn typed(text: &str) -> Markup {
    marked(text, |plain| html! { (plain) })
}

/// A sentence with the one address that may be opened, if it stands in it.
fn opened(text: &str, link: Option<&str>) -> Markup {
    match link.and_then(|link| Some((text.split_once(link)?, link))) {
        Some(((before, after), link)) => html! {
            (linked(before)) a href=(link) rel="noopener noreferrer" target="_blank" { (link) } (linked(after))
        },
        None => linked(text),
    }
}

/// The same, and an incident's name leads to its page.
fn linked(text: &str) -> Markup {
    marked(text, |plain| {
        let mut rest = plain;
        let mut parts = Vec::new();
        while let Some((before, after)) = rest.split_once("INC-") {
            let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            let (number, left) = after.split_at(digits);
            parts.push(html! {
                (before)
                @if number.is_empty() { "INC-" } @else { a href={ "/incidents/" (number) } { "INC-" (number) } }
            });
            rest = left;
        }
        html! { @for part in parts { (part) } (rest) }
    })
}

/// A sentence whose parts between backticks are what one types, and whose other parts are set by `plain`.
fn marked(text: &str, plain: impl Fn(&str) -> Markup) -> Markup {
    let parts: Vec<&str> = text.split('`').collect();
    // An odd one out is no pair.
    if parts.len().is_multiple_of(2) {
        return plain(text);
    }
    html! { @for (at, part) in parts.iter().enumerate() { @if at % 2 == 1 { code { (part) } } @else { (plain(part)) } } }
}

/// Whether a line of the bot's is a row of a plan or of its progress: `1 ! run …`, or what stands under one.
fn is_column(line: &str) -> bool {
    let rest = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.starts_with("   ") || rest.len() < line.len() && rest.starts_with(' ') && !rest.trim_start().is_empty()
}

/// What the bot answered at once to a line of the reader's, whose number stands in the page's address.
pub(super) async fn answer(visitor: &Visitor) -> Result<Option<Markup>, Wrong> {
    let query = visitor.here.split_once('?').map(|(_, query)| query).unwrap_or_default();
    let said = query.split('&').find_map(|field| field.strip_prefix("said=")?.parse().ok()).map(InboxId);
    let Some(line) = said else { return Ok(None) };
    let store = &visitor.web.state.store;
    let own = store.find_line_place(line).await?.is_some_and(|(_, account)| account == visitor.account);
    if !own {
        return Ok(None);
    }
    let rows = store.list_sent_because_of(line, OutboxId(0)).await?;
    let answers: Vec<_> = rows
        .into_iter()
        .filter(|row| row.key.starts_with("line:") && may_see(&visitor.account, row.message.only_to.as_ref()))
        .collect();
    if answers.is_empty() {
        return Ok(None);
    }
    Ok(Some(html! { @for answer in answers { (told(&answer.message.text, answer.message.link.as_deref())) } }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_plan_are_set_in_columns_and_sentences_are_not() {
        for row in ["1 ! run    x   on h", "12   check  b", "           (is /bin/x)", "1 done    run"] {
            assert!(is_column(row), "{row}");
        }
        for sentence in ["PRODUCTION · mei asks", "Why: x", "7K3F expired", "", "12", "Plan 9f2c 41d0"] {
            assert!(!is_column(sentence), "{sentence}");
        }
    }

    #[test]
    fn what_one_types_stands_out() {
        let shown = |text: &str| typed(text).into_string();
        assert_eq!(shown("Send `approved` or `<b>`."), "Send <code>approved</code> or <code>&lt;b&gt;</code>.");
        assert_eq!(shown("a ` alone"), "a ` alone");
    }

    #[test]
    fn an_incident_leads_to_its_page() {
        let shown = |text: &str| linked(text).into_string();
        assert_eq!(shown("<i> INC-7 stays; INC- too"), "&lt;i&gt; <a href=\"/incidents/7\">INC-7</a> stays; INC- too");
        assert_eq!(
            shown("`report INC-7` of INC-12"),
            "<code>report INC-7</code> of <a href=\"/incidents/12\">INC-12</a>"
        );
        assert_eq!(typed("INC-7").into_string(), "INC-7");
    }

    #[test]
    fn what_is_told_is_escaped() {
        let shown = told("<script>\n1 ! run <b>\nWhy: <i>", None).into_string();
        assert_eq!(
            shown,
            "<p class=\"lead\">&lt;script&gt;</p><pre tabindex=\"0\"><span>1 ! run &lt;b&gt;</span></pre><p>Why: &lt;i&gt;</p>"
        );
    }
}

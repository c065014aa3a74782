//! The report of an incident set as Markdown, as JSON, and as a page of its own.
//!
//! What lives here: setting and escaping. What does not: what stands in it (`incident`). Nothing that was said may be read
//! as markup: Markdown is escaped sign by sign, the page by its templates; it loads nothing and runs nothing (I9).

use chrono::{DateTime, Utc};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::incident::{cost, name};
use super::time::{Times, lasted};
use crate::model::event::Health;
use crate::model::report::{IncidentReport, ReportAttempt, ReportRow, ReportRun, Summary, Verification};

/// How a report is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people, in anything that shows text.
    Markdown,
    /// For programs.
    Json,
    /// A page that stands alone, for reading and printing.
    Html,
}

impl Format {
    /// The name as written in flags and addresses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Markdown => "md",
            Self::Json => "json",
            Self::Html => "html",
        }
    }

    /// The format of a name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Markdown, Self::Json, Self::Html].into_iter().find(|format| format.name() == name)
    }

    /// Its type, as HTTP names it.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }
}

/// Sets a report.
pub fn set(report: &IncidentReport, format: Format, times: &Times) -> String {
    match format {
        Format::Markdown => markdown(report, times),
        Format::Json => json(report),
        Format::Html => page(report, times),
    }
}

/// A moment with date and zone, whatever day is today.
pub fn time(times: &Times, at: DateTime<Utc>) -> String {
    times.at_second(at, DateTime::UNIX_EPOCH)
}

/// The report as JSON, indented.
pub fn json(report: &IncidentReport) -> String {
    // Strings, numbers and lists: nothing of it can fail to be written.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}

fn health(health: Health) -> &'static str {
    match health {
        Health::Ok => "ok",
        Health::Warning => "warning",
        Health::Critical => "critical",
        Health::Unknown => "unknown",
    }
}

fn heading(report: &IncidentReport) -> String {
    format!("{} · {} · {}", report.environment.to_uppercase(), report.system, name(report.incident))
}

/// The summary, as lines of a name and what stands behind it.
fn facts(report: &IncidentReport, times: &Times) -> Vec<(&'static str, String)> {
    let Summary {
        opened_at,
        opened_by,
        resolved_at,
        resolved_by,
        resolved_why,
        lasted_millis,
        impact,
        impact_millis,
        keepers,
        asked,
        waited_millis,
    } = &report.summary;
    let opener = opened_by.as_ref().map_or_else(|| "by a check".to_owned(), |by| format!("by {by}"));
    let mut facts = vec![
        ("State", report.state.clone()),
        ("Service", report.service.as_ref().map_or_else(|| "none named".to_owned(), ToString::to_string)),
        ("Room", report.room.clone()),
        ("Opened", format!("{} {opener}", time(times, *opened_at))),
    ];
    if let (Some(at), Some(by)) = (resolved_at, resolved_by) {
        let why = resolved_why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        facts.push(("Resolved", format!("{} by {by}{why}", time(times, *at))));
    }
    let so_far = if resolved_at.is_some() { "" } else { " up to the head" };
    facts.push(("Lasted", format!("{}{so_far}", lasted(*lasted_millis))));
    let spans: Vec<String> = impact
        .iter()
        .map(|span| {
            let to = span.to.map_or_else(|| "and still failing".to_owned(), |to| format!("to {}", time(times, to)));
            format!("{} {to}", time(times, span.from))
        })
        .collect();
    facts.push(("Failed", format!("{} in all: {}", lasted(*impact_millis), spans.join("; "))));
    let keepers: Vec<String> = keepers.iter().map(|k| format!("{} since {}", k.by, time(times, k.at))).collect();
    facts.push(("Cared for", if keepers.is_empty() { "nobody said `ack`".to_owned() } else { keepers.join("; ") }));
    facts.push((
        "Approvals",
        match asked {
            Some(asked) => cost(*asked, *waited_millis),
            None => format!("waited {} so far.", lasted(*waited_millis)),
        },
    ));
    facts
}

fn verified(verification: &Verification) -> String {
    let head = format!("{}:{}", verification.position, verification.hash);
    match verification.sound {
        true => format!(
            "The ledger is sound up to {head}. Compare this head with one that a room shows: `audit verify --head {head}`."
        ),
        false => format!("The ledger is NOT sound up to {head}: {} found.", verification.total),
    }
}

/// One line of an attempt, without its output.
fn attempt(attempt: &ReportAttempt, times: &Times) -> String {
    let code = attempt.exit_code.map(|code| format!(", exit code {code}")).unwrap_or_default();
    let took = attempt.millis.map(|millis| format!(" in {}", lasted(millis))).unwrap_or_default();
    let said = if attempt.summary.is_empty() { String::new() } else { format!(": {}", attempt.summary) };
    let at = time(times, attempt.started_at);
    format!("Step {}, try {}, {at}: {}{took}{code}{said}", attempt.step, attempt.number, attempt.outcome)
}

fn asked(run: &ReportRun, times: &Times) -> String {
    format!("Asked by {} at {}. Outcome: {}.", run.asked_by, time(times, run.asked_at), run.outcome)
}

fn decided(decision: &crate::model::report::ReportDecision, times: &Times) -> String {
    let why = decision.reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    let at = time(times, decision.at);
    format!(
        "{} answered {} to {} at {at}, ledger {}{why}",
        decision.person,
        decision.answer,
        decision.code,
        place(decision.position)
    )
}

fn place(position: Option<crate::model::id::Position>) -> String {
    position.map_or_else(|| "-".to_owned(), |position| position.to_string())
}

/// Text in Markdown: no sign of it is markup, links itself, names anybody, or ends its line.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for character in super::visible::visible(text).replace("://", ":\u{0}//").chars() {
        match character {
            // A comment shows as nothing and breaks the link.
            '\u{0}' => out.push_str("<!-- -->"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' => {
                out.push('\\');
                out.push(character);
            }
            plain => out.push(plain),
        }
    }
    // `www.` links itself; these signs and digits with a stop begin a heading or a list.
    let out = out.replace("www.", "www&#46;");
    if out.starts_with(['#', '-', '+', '=']) {
        return format!("\\{out}");
    }
    match out.find(|c: char| !c.is_ascii_digit()) {
        // Only before a space: `4.4 s` is no list.
        Some(at) if at > 0 && (out[at..].starts_with(". ") || &out[at..] == ".") => {
            format!("{}\\{}", &out[..at], &out[at..])
        }
        _ => out,
    }
}

/// A block of lines in Markdown, in a fence longer than any that stands in it.
fn fenced(lines: &[String]) -> String {
    let mut longest = 2;
    for line in lines {
        let mut here = 0;
        for character in line.chars() {
            here = if character == '`' { here + 1 } else { 0 };
            longest = longest.max(here);
        }
    }
    let fence = "`".repeat(longest + 1);
    format!("{fence}text\n{}\n{fence}\n", lines.join("\n"))
}

/// The report as Markdown.
pub fn markdown(report: &IncidentReport, times: &Times) -> String {
    let mut out = vec![format!("# {}\n", escaped(&heading(report))), format!("{}\n", escaped(&report.title))];
    for (name, fact) in facts(report, times) {
        out.push(format!("- **{name}**: {}", escaped(&fact)));
    }
    out.push("\n## What was tried\n".to_owned());
    if report.runs.is_empty() {
        out.push("Nothing.\n".to_owned());
    }
    for run in &report.runs {
        out.push(format!("### Run {}: {}\n", run.run, escaped(&run.deed)));
        out.push(format!("{}\n", escaped(&asked(run, times))));
        out.push(format!("Plan {}\n", run.plan));
        out.push(fenced(&run.steps));
        out.extend(run.decisions.iter().map(|decision| format!("- {}", escaped(&decided(decision, times)))));
        for one in &run.attempts {
            out.push(format!("\n{}\n", escaped(&attempt(one, times))));
            if !one.output.is_empty() {
                out.push(fenced(&one.output));
            }
        }
        out.push(String::new());
    }
    out.push("## Checks\n".to_owned());
    if report.checks.is_empty() {
        out.push("No scheduled check turned.\n".to_owned());
    } else {
        out.push("| Ledger | Time | Check | Became | Since | Said |\n| --- | --- | --- | --- | --- | --- |".to_owned());
        out.extend(report.checks.iter().map(|turn| {
            let cells = [
                place(turn.position),
                time(times, turn.at),
                turn.check.to_string(),
                health(turn.now).to_owned(),
                time(times, turn.since),
                turn.detail.clone(),
            ];
            format!("| {} |", cells.map(|cell| escaped(&cell)).join(" | "))
        }));
        out.push(String::new());
    }
    out.push("## Timeline\n".to_owned());
    out.push("| Ledger | Time | Who | What |\n| --- | --- | --- | --- |".to_owned());
    for row in &report.timeline {
        let answer: Vec<String> = row.answer.iter().map(|line| escaped(line)).collect();
        let answer =
            if answer.is_empty() { String::new() } else { format!("<br>countersign: {}", answer.join("<br>")) };
        out.push(format!(
            "| {} | {} | {} | {}{answer} |",
            place(row.position),
            escaped(&row.time),
            escaped(&row.actor),
            escaped(&row.words)
        ));
    }
    out.push("\n## Verification\n".to_owned());
    out.push(escaped(&verified(&report.verification)));
    out.extend(report.verification.findings.iter().map(|finding| format!("- {}", escaped(finding))));
    out.join("\n") + "\n"
}

const STYLE: &str = "
:root { color-scheme: light dark; }
body { font: 1rem/1.45 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.1rem; margin-top: 2rem; } h3 { font-size: 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { font-weight: 600; } dd { margin: 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .2rem .6rem .2rem 0; border-bottom: 1px solid #8886; }
td { overflow-wrap: anywhere; } td:nth-child(3) { overflow-wrap: normal; } td.time { white-space: nowrap; }
pre, code { font-family: ui-monospace, monospace; font-size: .875rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border-left: 3px solid #8886; padding-left: .8rem; margin: .4rem 0; }
.answer { color: GrayText; }
@media (max-width: 40rem) { td.time { white-space: normal; } dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; } }
@page { margin: 18mm 15mm; @bottom-right { content: counter(page) \" / \" counter(pages); } }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } tr, h2, h3 { break-inside: avoid; } h2, h3 { break-after: avoid; } thead { display: table-header-group; } }
";

/// The report as a page that stands alone: it loads nothing and runs nothing.
pub fn page(report: &IncidentReport, times: &Times) -> String {
    let title = format!("{} {}", name(report.incident), report.title);
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) }
                // Our own text, without anything from outside.
                style { (PreEscaped(STYLE)) }
            }
            body { (sheet(report, times)) }
        }
    };
    markup.into_string()
}

/// The report as a part of a page.
pub fn sheet(report: &IncidentReport, times: &Times) -> Markup {
    html! {
        header {
            h1 { (heading(report)) }
            p { (report.title) }
        }
        dl {
            @for (name, fact) in facts(report, times) {
                dt { (name) }
                dd { (fact) }
            }
        }
        section {
            h2 { "What was tried" }
            @if report.runs.is_empty() { p { "Nothing." } }
            @for run in &report.runs { (run_part(run, times)) }
        }
        section {
            h2 { "Checks" }
            @if report.checks.is_empty() {
                p { "No scheduled check turned." }
            } @else {
                table {
                    thead { tr { th { "Ledger" } th { "Time" } th { "Check" } th { "Became" } th { "Since" } th { "Said" } } }
                    tbody {
                        @for turn in &report.checks {
                            tr {
                                td { (place(turn.position)) }
                                td.time { (time(times, turn.at)) }
                                td { (turn.check) }
                                td { (health(turn.now)) }
                                td.time { (time(times, turn.since)) }
                                td { (turn.detail) }
                            }
                        }
                    }
                }
            }
        }
        section {
            h2 { "Timeline" }
            table {
                thead { tr { th { "Ledger" } th { "Time" } th { "Who" } th { "What" } } }
                tbody { @for row in &report.timeline { (row_part(row)) } }
            }
        }
        section {
            h2 { "Verification" }
            p { (verified(&report.verification)) }
            @if !report.verification.findings.is_empty() {
                ul { @for finding in &report.verification.findings { li { (finding) } } }
            }
        }
    }
}

fn run_part(run: &ReportRun, times: &Times) -> Markup {
    html! {
        h3 { "Run " (run.run) ": " (run.deed) }
        p { (asked(run, times)) }
        p { "Plan " code { (run.plan) } }
        pre { (run.steps.join("\n")) }
        @if !run.decisions.is_empty() {
            ul { @for decision in &run.decisions { li { (decided(decision, times)) } } }
        }
        @for one in &run.attempts {
            p { (attempt(one, times)) }
            @if !one.output.is_empty() { pre { (one.output.join("\n")) } }
        }
    }
}

fn row_part(row: &ReportRow) -> Markup {
    html! {
        tr {
            td { (place(row.position)) }
            td.time { (row.time) }
            td { (row.actor) }
            td {
                (row.words)
                @for line in &row.answer { div.answer { "countersign: " (line) } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_markdown_is_markup() {
        let said = [
            "plain words, 2026-11-21 22:01:12 UTC (check running)",
            "# no heading",
            "- no list",
            "12. no list",
            "4.4 s",
            "*a* _b_ ~~c~~ `d` [e](f) ![g](h) | i $j$",
            "<b> &amp; <!channel> @everyone",
            "https://evil.example www.evil.example",
            "two\nlines\u{202e}",
        ];
        insta::assert_snapshot!(said.map(escaped).join("\n"), @r#"
    plain words, 2026-11-21 22:01:12 UTC (check running)
    \# no heading
    \- no list
    12\. no list
    4.4 s
    \*a\* \_b\_ \~\~c\~\~ \`d\` \[e\](f) !\[g\](h) \| i \$j\$
    &lt;b&gt; &amp;amp; &lt;!channel&gt; &#64;everyone
    https:<!-- -->//evil.example www&#46;evil.example
    two\\nlines\\u{202e}
    "#);
    }

    #[test]
    fn a_fence_is_longer_than_what_stands_in_it() {
        let lines = ["```".to_owned(), "````x".to_owned()];
        assert_eq!(fenced(&lines), "`````text\n```\n````x\n`````\n");
    }

    #[test]
    fn formats_have_names() {
        for format in [Format::Markdown, Format::Json, Format::Html] {
            assert_eq!(Format::parse(format.name()), Some(format));
        }
        assert_eq!(Format::parse("pdf"), None);
    }
}

//! Phrases that runbooks declare: `start {service}` and what people make of it.
//!
//! What lives here: laying a phrase over the words of a line, and reading what then stands for its parameters. What
//! does not: which phrases may be declared (`model::phrase`).

use std::collections::BTreeMap;

use crate::model::catalog::{Catalog, Param, ParamKind, Phrase, PhrasePart, Runbook};

use super::value::{self, Refused};
use super::words::{self, Ending, Word};
use super::{Anew, Command, Line, ParseError, Reading, ValueError, Wants};

/// Laying one phrase over one line is given up after so many tries: a line made to have many ways costs no more.
const MOST_TRIES: u32 = 5_000;

/// The most words that may follow a name by mistake; more make it talk.
const MOST_EXTRA: usize = 3;

/// What all phrases of all runbooks make of the line.
pub(super) fn read(line: &Line<'_>) -> Reading {
    by_ending(line, |words| read_words(line, words))
}

/// Reads the words as said, without their ending, and without a final `again`; the first right reading counts, else the
/// last wrong one, for it has the least in it that is not to the point.
pub(super) fn by_ending(line: &Line<'_>, reader: impl Fn(&[Word<'_>]) -> Reading) -> Reading {
    let mut best = Reading::NotMine;
    let mut consider = |words: &[Word<'_>], anew: Anew, asked: bool| -> Option<Reading> {
        match (reader(words), &best) {
            (Reading::Right(Command::Run { .. }), _) if asked => {
                return Some(Reading::Wrong(line.unknown(Some(super::words_text(line, &line.words)))));
            }
            (Reading::Right(Command::Run { runbook, params, .. }), _) => {
                return Some(Reading::Right(Command::Run { runbook, params, anew }));
            }
            (Reading::NotMine, _) | (Reading::Perhaps(_), Reading::Wrong(_)) => {}
            (reading, _) => best = reading,
        }
        None
    };
    if let Some(right) = consider(&line.raw, Anew::No, false) {
        return right;
    }
    let asked = line.ending == Ending::Question;
    if line.words != line.raw
        && let Some(right) = consider(&line.words, Anew::No, asked)
    {
        return right;
    }
    if let Some((again, rest)) = line.words.split_last()
        && again.is("again")
        && let Some(last) = rest.last()
    {
        let mut rest = rest.to_vec();
        if let Some(end) = rest.last_mut() {
            end.text = last.text.strip_suffix(',').unwrap_or(last.text);
        }
        if let Some(right) = consider(&rest, Anew::Yes, asked) {
            return right;
        }
    }
    best
}

fn read_words(line: &Line<'_>, words: &[Word<'_>]) -> Reading {
    let mut right: Vec<Command> = Vec::new();
    let mut wrong = Reading::NotMine;
    for runbook in line.catalog.runbooks.values() {
        for phrase in &runbook.say {
            match read_phrase(line, runbook, phrase, words) {
                Reading::Right(command) if right.contains(&command) => {}
                Reading::Right(command) => right.push(command),
                Reading::NotMine => {}
                reading @ Reading::Wrong(_) if !matches!(wrong, Reading::Wrong(_)) => wrong = reading,
                reading @ Reading::Perhaps(_) if wrong == Reading::NotMine => wrong = reading,
                Reading::Wrong(_) | Reading::Perhaps(_) => {}
            }
        }
    }
    match right.len() {
        0 => wrong,
        1 => right.pop().map_or(Reading::NotMine, Reading::Right),
        _ => Reading::Wrong(ParseError::Ambiguous {
            at: line.span(),
            said: line.said().to_owned(),
            readings: right.iter().filter_map(super::run::general_form).collect(),
        }),
    }
}

/// What one phrase makes of the words.
fn read_phrase(line: &Line<'_>, runbook: &Runbook, phrase: &Phrase, words: &[Word<'_>]) -> Reading {
    let exact = |said: &str, meant: &str| said.to_lowercase() == meant;
    let layings = lay(&phrase.parts, words, &exact);
    let mut wrong = Reading::NotMine;
    for laying in &layings {
        match fill(line, runbook, phrase, words, laying) {
            Reading::Right(command) => return Reading::Right(command),
            reading @ Reading::Wrong(_) if !matches!(wrong, Reading::Wrong(_)) => wrong = reading,
            reading if wrong == Reading::NotMine => wrong = reading,
            _ => {}
        }
    }
    if layings.is_empty() {
        over(line, runbook, phrase, words).unwrap_or_else(|| incomplete(line, runbook, phrase, words))
    } else {
        wrong
    }
}

/// A phrase that ends with a fixed word, all there, and a few more words after it.
fn over(line: &Line<'_>, runbook: &Runbook, phrase: &Phrase, words: &[Word<'_>]) -> Option<Reading> {
    let Some(PhrasePart::Word(_)) = phrase.parts.last() else { return None };
    let fixed = phrase.parts.iter().filter(|part| matches!(part, PhrasePart::Word(_))).count();
    let exact = |said: &str, meant: &str| said.trim_end_matches(',').to_lowercase() == meant;
    (1..=MOST_EXTRA.min(words.len().saturating_sub(1))).find_map(|more| {
        let (said, more) = words.split_at(words.len() - more);
        let laying = lay(&phrase.parts, said, &exact)
            .into_iter()
            .find(|laying| matches!(fill(line, runbook, phrase, said, laying), Reading::Right(_)))?;
        let without = render(phrase, |name| {
            let (_, range) = laying.iter().find(|(slot, _)| slot == name)?;
            Some(line.text[words::span(&said[range.clone()])].to_owned())
        })?;
        let at = words::span(more);
        let error = ParseError::Extra { said: line.text[at.clone()].to_owned(), at, without };
        // One fixed word alone is a word that people say; two are a phrase.
        Some(if fixed > 1 { Reading::Wrong(error) } else { Reading::Perhaps(error) })
    })
}

/// A phrase over words: for each parameter of the phrase, from which word to before which word it reaches.
pub(super) type Laying = Vec<(String, std::ops::Range<usize>)>;

/// All ways to lay the parts over the words, each fixed part over one word that `same` accepts, each parameter over one
/// word or more, the longest first.
pub(super) fn lay(parts: &[PhrasePart], words: &[Word<'_>], same: &dyn Fn(&str, &str) -> bool) -> Vec<Laying> {
    fn go(
        parts: &[PhrasePart],
        words: &[Word<'_>],
        from: usize,
        same: &dyn Fn(&str, &str) -> bool,
        laid: &mut Laying,
        tries: &mut u32,
        all: &mut Vec<Laying>,
    ) {
        if *tries == 0 {
            return;
        }
        *tries -= 1;
        match parts.split_first() {
            None if from == words.len() => all.push(laid.clone()),
            None => {}
            Some((PhrasePart::Word(meant), parts)) => match words.get(from) {
                Some(word) if same(word.text, meant) => go(parts, words, from + 1, same, laid, tries, all),
                _ => {}
            },
            Some((PhrasePart::Slot(name), parts)) => {
                let latest = words.len().saturating_sub(parts.len());
                for end in (from + 1..=latest).rev() {
                    laid.push((name.clone(), from..end));
                    go(parts, words, end, same, laid, tries, all);
                    laid.pop();
                }
            }
        }
    }
    let mut all = Vec::new();
    go(parts, words, 0, same, &mut Vec::new(), &mut { MOST_TRIES }, &mut all);
    all
}

/// Reads the values of one laying.
fn fill(line: &Line<'_>, runbook: &Runbook, phrase: &Phrase, words: &[Word<'_>], laying: &Laying) -> Reading {
    let mut params = BTreeMap::new();
    let mut wrong: Option<(ParseError, bool)> = None;
    for (name, range) in laying {
        // A phrase with a parameter that the runbook does not have is refused at load; here it matches nothing.
        let Some(param) = runbook.params.iter().find(|param| param.name == *name) else { return Reading::NotMine };
        let here = &words[range.clone()];
        match slot(line, runbook, param, here) {
            Ok(value) => {
                params.insert(name.clone(), value);
            }
            Err((error, attempted)) => {
                let last = range.end == words.len();
                let extra = last.then(|| extra(line, phrase, words, laying, param, here)).flatten();
                let (error, attempted) = extra.unwrap_or((error, attempted));
                // All that is wrong must look like an attempt, or the line is talk.
                wrong = Some(match wrong.take() {
                    None => (error, attempted),
                    Some((first, before)) => (first, before && attempted),
                });
            }
        }
    }
    match wrong {
        Some((error, true)) => Reading::Wrong(error),
        Some((error, false)) => Reading::Perhaps(error),
        None => complete(line, runbook, params),
    }
}

/// Adds defaults; a parameter that then has no value is missing.
pub(super) fn complete(line: &Line<'_>, runbook: &Runbook, mut params: BTreeMap<String, String>) -> Reading {
    for param in &runbook.params {
        if !params.contains_key(&param.name) {
            match &param.default {
                Some(default) => {
                    params.insert(param.name.clone(), default.clone());
                }
                None => return Reading::Wrong(missing(line, runbook, param)),
            }
        }
    }
    Reading::Right(Command::Run { runbook: runbook.name.clone(), params, anew: Anew::No })
}

fn missing(line: &Line<'_>, runbook: &Runbook, param: &Param) -> ParseError {
    let end = line.span().end;
    ParseError::MissingArgument {
        at: end..end,
        runbook: runbook.name.clone(),
        name: param.name.clone(),
        wants: Wants::of(line.catalog, &param.kind),
    }
}

/// Reads what stands for one parameter. The second part of an error is whether it looks like an attempt.
fn slot(line: &Line<'_>, runbook: &Runbook, param: &Param, words: &[Word<'_>]) -> Result<String, (ParseError, bool)> {
    let at = words::span(words);
    let mut said = &line.text[at.clone()];
    if matches!(param.kind, ParamKind::Text { .. }) {
        said = unquoted(said).ok_or((ParseError::UnclosedQuote { at: at.clone() }, true))?;
    }
    value::read(line.catalog, param, said).map_err(|Refused { why, attempted }| {
        let error = ParseError::Value {
            at,
            runbook: runbook.name.clone(),
            name: param.name.clone(),
            said: said.to_owned(),
            why,
            wants: Wants::of(line.catalog, &param.kind),
        };
        (error, attempted)
    })
}

/// What stands between quotation marks, if they are around all of it; `None` if the first is never closed. Text that is
/// not in quotation marks is as it is.
pub(super) fn unquoted(said: &str) -> Option<&str> {
    const CLOSING: [char; 3] = ['"', '”', '“'];
    let Some(rest) = said.strip_prefix(['"', '“', '„']) else { return Some(said) };
    let close = rest.find(CLOSING)?;
    match rest[close..].chars().nth(1) {
        None => Some(&rest[..close]),
        Some(_) => Some(said),
    }
}

/// A name followed by more: what would be right without it.
fn extra(
    line: &Line<'_>,
    phrase: &Phrase,
    words: &[Word<'_>],
    laying: &Laying,
    param: &Param,
    here: &[Word<'_>],
) -> Option<(ParseError, bool)> {
    if matches!(param.kind, ParamKind::Text { .. }) {
        return None;
    }
    let kept = (1..here.len()).rev().find(|end| {
        let said = &line.text[words::span(&here[..*end])];
        value::read(line.catalog, param, said.trim_end_matches([',', ';', ':', '.', '!'])).is_ok()
    })?;
    let more = &here[kept..];
    let without = render(phrase, |name| {
        let range = laying.iter().find(|(slot, _)| slot == name).map(|(_, range)| range.clone())?;
        let said = if name == param.name { &here[..kept] } else { &words[range] };
        Some(line.text[words::span(said)].trim_end_matches([',', ';', ':', '.', '!']).to_owned())
    })?;
    let at = words::span(more);
    let said = line.text[at.clone()].to_owned();
    Some((ParseError::Extra { at, said, without }, more.len() <= MOST_EXTRA))
}

/// The phrase with words for its parameters; `None` if one has none.
pub(super) fn render(phrase: &Phrase, value: impl Fn(&str) -> Option<String>) -> Option<String> {
    let words: Option<Vec<String>> = phrase
        .parts
        .iter()
        .map(|part| match part {
            PhrasePart::Word(word) => Some(word.clone()),
            PhrasePart::Slot(name) => value(name),
        })
        .collect();
    words.map(|words| words.join(" "))
}

/// A phrase without its parameters: `start`, `run health check`.
fn incomplete(line: &Line<'_>, runbook: &Runbook, phrase: &Phrase, words: &[Word<'_>]) -> Reading {
    let fixed: Vec<&str> = phrase
        .parts
        .iter()
        .filter_map(|part| match part {
            PhrasePart::Word(word) => Some(word.as_str()),
            PhrasePart::Slot(_) => None,
        })
        .collect();
    if words.len() != fixed.len() || !fixed.iter().zip(words).all(|(fixed, word)| word.is(fixed)) {
        return Reading::NotMine;
    }
    let first = runbook
        .params
        .iter()
        .find(|param| phrase.parts.iter().any(|part| matches!(part, PhrasePart::Slot(name) if *name == param.name)));
    match first.map(|param| missing(line, runbook, param)) {
        None => Reading::NotMine,
        // As above: `start` alone is talk, `scale to` is not.
        Some(error) if fixed.len() > 1 => Reading::Wrong(error),
        Some(error) => Reading::Perhaps(error),
    }
}

/// What a near miss would have been: the value as said if it is right, else the nearest. The number is how many of the
/// values had to be mended.
pub(super) fn mended(catalog: &Catalog, param: &Param, said: &str) -> Option<(String, usize)> {
    match value::read(catalog, param, said) {
        Ok(_) => Some((said.to_owned(), 0)),
        Err(Refused { why: ValueError::Unknown { did_you_mean: Some(near) }, .. }) => Some((near, 1)),
        Err(_) => None,
    }
}

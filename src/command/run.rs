//! `run RUNBOOK key=value key="quoted value"`: the general form, which every runbook has.

use std::collections::BTreeMap;

use crate::model::catalog::{Catalog, Runbook};
use crate::model::id::RunbookName;

use super::names::{self, Found};
use super::phrase;
use super::value::{self, Refused};
use super::words::{self, Word};
use super::{Command, Line, ParseError, Reading, Span, Wants};

/// More words than this after a runbook's name, without a single `=`, are the rest of a sentence.
const MOST_UNNAMED: usize = 2;

pub(super) fn read(line: &Line<'_>) -> Reading {
    match phrase::by_ending(line, |words| read_words(line, words)) {
        Reading::NotMine => line.usage("run"),
        reading => reading,
    }
}

fn read_words(line: &Line<'_>, words: &[Word<'_>]) -> Reading {
    let Some((_, words)) = words.split_first() else { return Reading::NotMine };
    let Some(last) = words.last() else { return Reading::NotMine };
    let end = last.end();
    let named = words.iter().position(|word| word.text.contains('='));
    let name = &words[..named.unwrap_or(words.len())];
    let (runbook, unnamed) = match runbook(line, name, named.is_some()) {
        Ok(found) => found,
        Err(reading) => return reading,
    };
    let known = || runbook.params.iter().map(|param| param.name.clone()).collect::<Vec<_>>();
    if !unnamed.is_empty() {
        let at = words::span(unnamed);
        let said = line.text[at.clone()].to_owned();
        let error = ParseError::UnnamedArgument { at, runbook: runbook.name.clone(), said, known: known() };
        let sure = named.is_some() || unnamed.len() <= MOST_UNNAMED;
        return if sure { Reading::Wrong(error) } else { Reading::Perhaps(error) };
    }
    let arguments = match named.map(|at| arguments(line.text, words[at].start, end)).unwrap_or(Ok(Vec::new())) {
        Ok(arguments) => arguments,
        Err(Broken::Quote(at)) => return Reading::Wrong(ParseError::UnclosedQuote { at }),
        Err(Broken::Unnamed(at)) => {
            let said = line.text[at.clone()].to_owned();
            let runbook_name = runbook.name.clone();
            return Reading::Wrong(ParseError::UnnamedArgument { at, runbook: runbook_name, said, known: known() });
        }
    };
    let mut params = BTreeMap::new();
    for argument in arguments {
        if let Err(error) = accept(line.catalog, runbook, &mut params, argument) {
            return Reading::Wrong(error);
        }
    }
    phrase::complete(line, runbook, params)
}

/// Enters one argument, its value in canonical form, if the runbook has it, once, and accepts the value.
fn accept(
    catalog: &Catalog,
    runbook: &Runbook,
    params: &mut BTreeMap<String, String>,
    argument: Argument<'_>,
) -> Result<(), ParseError> {
    let Argument { key, key_at, value, value_at } = argument;
    let Some(param) = runbook.params.iter().find(|param| param.name == key.to_lowercase()) else {
        let known = || runbook.params.iter().map(|param| param.name.as_str());
        return Err(ParseError::UnknownArgument {
            at: key_at,
            runbook: runbook.name.clone(),
            name: key.to_owned(),
            known: known().map(str::to_owned).collect(),
            did_you_mean: names::nearest(names::plain(known()), key).map(str::to_owned),
        });
    };
    if params.contains_key(&param.name) {
        let name = param.name.clone();
        return Err(ParseError::DuplicateArgument { at: key_at, runbook: runbook.name.clone(), name });
    }
    match value::read(catalog, param, value) {
        Ok(value) => {
            params.insert(param.name.clone(), value);
            Ok(())
        }
        Err(Refused { why, .. }) => Err(ParseError::Value {
            at: value_at,
            runbook: runbook.name.clone(),
            name: param.name.clone(),
            said: value.to_owned(),
            why,
            wants: Wants::of(catalog, &param.kind),
        }),
    }
}

/// A runbook and its parameters from words that were told apart already, as by a command line or an API: named, checked
/// and put into canonical form as in `run RUNBOOK key=value`, defaults filled in.
///
/// # Errors
/// What would be wrong with that line. There is no line, so positions in it are all 0.
pub fn named_run<'a>(
    catalog: &Catalog,
    runbook: &str,
    arguments: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(RunbookName, BTreeMap<String, String>), ParseError> {
    let found = match names::find(names::runbooks(catalog), runbook) {
        Found::One(name) => catalog.runbooks.get(&RunbookName::new(name)).ok_or(None),
        Found::Several(names) => {
            let names = names.into_iter().map(RunbookName::new).collect();
            return Err(ParseError::AmbiguousRunbook { at: 0..0, said: runbook.to_owned(), names });
        }
        Found::None(near) => Err(near.map(RunbookName::new)),
    };
    let runbook = found.map_err(|did_you_mean| ParseError::UnknownRunbook {
        at: 0..0,
        said: runbook.to_owned(),
        did_you_mean,
        known: catalog.runbooks.keys().cloned().collect(),
    })?;
    let mut params = BTreeMap::new();
    for (key, value) in arguments {
        accept(catalog, runbook, &mut params, Argument { key, key_at: 0..0, value, value_at: 0..0 })?;
    }
    for param in runbook.params.iter().filter(|param| !params.contains_key(&param.name)).collect::<Vec<_>>() {
        let Some(default) = &param.default else {
            return Err(ParseError::MissingArgument {
                at: 0..0,
                runbook: runbook.name.clone(),
                name: param.name.clone(),
                wants: Wants::of(catalog, &param.kind),
            });
        };
        params.insert(param.name.clone(), default.clone());
    }
    Ok((runbook.name.clone(), params))
}

/// The runbook that the words name, and what stands between its name and the first `key=value`.
fn runbook<'l, 'w, 't>(
    line: &'l Line<'t>,
    words: &'w [Word<'t>],
    has_arguments: bool,
) -> Result<(&'l Runbook, &'w [Word<'t>]), Reading> {
    for end in (1..=words.len()).rev() {
        let at = words::span(&words[..end]);
        match names::find(names::runbooks(line.catalog), &line.text[at.clone()]) {
            Found::One(name) => {
                if let Some(runbook) = line.catalog.runbooks.get(&RunbookName::new(name)) {
                    return Ok((runbook, &words[end..]));
                }
            }
            Found::Several(names) => {
                return Err(Reading::Wrong(ParseError::AmbiguousRunbook {
                    said: line.text[at.clone()].to_owned(),
                    at,
                    names: names.into_iter().map(RunbookName::new).collect(),
                }));
            }
            Found::None(_) => {}
        }
    }
    let at = words::span(words);
    let said = line.text[at.clone()].to_owned();
    let near = names::nearest(names::runbooks(line.catalog), &said)
        .or_else(|| names::nearest(names::runbooks(line.catalog), words.first().map_or("", |word| word.text)));
    let sure = has_arguments || names::nearest(names::runbooks(line.catalog), &said).is_some();
    let error = ParseError::UnknownRunbook {
        at,
        said,
        did_you_mean: near.map(RunbookName::new),
        known: line.catalog.runbooks.keys().cloned().collect(),
    };
    Err(if sure { Reading::Wrong(error) } else { Reading::Perhaps(error) })
}

/// One `key=value`.
#[derive(Debug, PartialEq, Eq)]
struct Argument<'a> {
    key: &'a str,
    key_at: Span,
    value: &'a str,
    value_at: Span,
}

/// Text that is not `key=value` and so on.
#[derive(Debug, PartialEq, Eq)]
enum Broken {
    /// A quotation mark that nothing closes.
    Quote(Span),
    /// A piece without a key.
    Unnamed(Span),
}

/// Reads `key=value` pairs from one position to another. A value is a word, or anything between quotation marks; there
/// are no escapes, so a quoted value holds no quotation mark.
fn arguments(text: &str, from: usize, end: usize) -> Result<Vec<Argument<'_>>, Broken> {
    let mut arguments = Vec::new();
    let mut at = from;
    loop {
        at += text[at..end].len() - text[at..end].trim_start().len();
        if at == end {
            return Ok(arguments);
        }
        let rest = &text[at..end];
        let word = rest.split_whitespace().next().unwrap_or_default();
        let Some((key, _)) = word
            .split_once('=')
            .filter(|(key, _)| !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')))
        else {
            return Err(Broken::Unnamed(at..at + word.len()));
        };
        let key_at = at..at + key.len();
        let start = key_at.end + 1;
        let value = &text[start..end];
        let (value, value_at, next) = match value.chars().next().filter(|first| matches!(first, '"' | '“' | '„')) {
            Some(open) => {
                let inner = &value[open.len_utf8()..];
                let Some((length, close)) = inner.char_indices().find(|(_, c)| match open {
                    '"' => *c == '"',
                    _ => matches!(c, '”' | '“' | '"'),
                }) else {
                    return Err(Broken::Quote(start..end));
                };
                let inner_at = start + open.len_utf8();
                (&inner[..length], inner_at..inner_at + length, inner_at + length + close.len_utf8())
            }
            None => {
                let value = value.split(char::is_whitespace).next().unwrap_or_default();
                (value, start..start + value.len(), start + value.len())
            }
        };
        if text[next..end].chars().next().is_some_and(|c| !c.is_whitespace()) {
            let tail = text[next..end].split_whitespace().next().unwrap_or_default();
            return Err(Broken::Unnamed(next..next + tail.len()));
        }
        arguments.push(Argument { key, key_at, value, value_at });
        at = next;
    }
}

/// A run in the general form, as one would type it; `None` for other commands.
pub(super) fn general_form(command: &Command) -> Option<String> {
    let Command::Run { runbook, params, .. } = command else { return None };
    let mut form = format!("run {runbook}");
    for (key, value) in params {
        let quote = if value.contains(char::is_whitespace) || value.is_empty() { "\"" } else { "" };
        form.push_str(&format!(" {key}={quote}{value}{quote}"));
    }
    Some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Result<Vec<(&str, &str)>, Broken> {
        let arguments = arguments(text, 0, text.len())?;
        for argument in &arguments {
            assert_eq!(&text[argument.key_at.clone()], argument.key);
            assert_eq!(&text[argument.value_at.clone()], argument.value);
        }
        Ok(arguments.into_iter().map(|argument| (argument.key, argument.value)).collect())
    }

    #[test]
    fn pairs_are_words_or_quoted() {
        assert_eq!(pairs("a=1  b=\"two words\" c=“three”"), Ok(vec![("a", "1"), ("b", "two words"), ("c", "three")]));
        assert_eq!(pairs("a= b=\"\""), Ok(vec![("a", ""), ("b", "")]));
        assert_eq!(pairs("a=x=y"), Ok(vec![("a", "x=y")]));
        assert_eq!(pairs(""), Ok(vec![]));
    }

    #[test]
    fn what_is_no_pair_is_pointed_at() {
        assert_eq!(pairs("a=1 two b=3"), Err(Broken::Unnamed(4..7)));
        assert_eq!(pairs("a = 1"), Err(Broken::Unnamed(0..1)));
        assert_eq!(pairs("=1"), Err(Broken::Unnamed(0..2)));
        assert_eq!(pairs("a=\"1\"2"), Err(Broken::Unnamed(5..6)));
        assert_eq!(pairs("a=\"1 2"), Err(Broken::Quote(2..6)));
    }

    #[test]
    fn words_told_apart_mean_what_the_line_means() {
        use super::super::{Addressed, Parsed, Place, parse, tests::world};
        let world = world();
        for (runbook, pairs) in [
            ("start-service", vec![("service", "service b")]),
            ("Start a service", vec![("Service", "payments")]),
            ("deploy", vec![("service", "zebra"), ("version", "1.2 rc"), ("flags", "-x")]),
            ("deploy", vec![("service", "zebra"), ("version", "-1")]),
            ("deploy", vec![("service", "zebra")]),
            ("deploy", vec![("service", "zebra"), ("service", "zebra")]),
            ("deploy", vec![("versoin", "1")]),
            ("start-service", vec![("service", "zebra")]),
            ("start-servcie", vec![("service", "service-b")]),
        ] {
            let arguments: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
            let line = format!("run {runbook} {}", arguments.join(" "));
            let said = match parse(&world, &line, Addressed::Direct, Place { in_declared_room: true }) {
                Parsed::Command(Command::Run { runbook, params, .. }) => Ok((runbook, params)),
                Parsed::Wrong(error) => Err(crate::text::command::wrong(&error)),
                other => panic!("{line}: {other:?}"),
            };
            let named = named_run(&world, runbook, pairs).map_err(|error| crate::text::command::wrong(&error));
            assert_eq!(named, said, "{line}");
        }
    }
}

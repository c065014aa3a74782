//! Near misses: what a line that is nothing was perhaps meant to be. Only ever suggested, never done.

use crate::model::catalog::{ParamKind, PhrasePart};
use crate::model::phrase::{BUILT_IN, NEAR_NO, NEAR_YES};

use super::words::{self, Ending, Word};
use super::{Line, Reading, names, phrase};

/// Lines with more words are sentences: no phrase is looked for in them.
const MOST_WORDS: usize = 16;

/// How far a near miss may be from what was perhaps meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// A slip of the finger: good enough to answer in a room.
    Slips,
    /// Anything alike: for a line that was addressed to the bot and is answered in any case.
    Loose,
}

/// A line that would be right, or in loose care the phrase or word most alike.
pub(super) fn suggestion(line: &Line<'_>, care: Care) -> Option<String> {
    if line.words.len() > MOST_WORDS {
        return None;
    }
    rephrased(line).or_else(|| mended_word(line)).or_else(|| mended_phrase(line, care)).or_else(|| match care {
        Care::Slips => None,
        Care::Loose => alike(line),
    })
}

/// A command but for a leading `please` (not before a single word: `please stop` is said to people) or a final `!`.
fn rephrased(line: &Line<'_>) -> Option<String> {
    let said = line.said();
    let polite = line
        .raw
        .split_first()
        .filter(|(first, rest)| ["please", "pls", "please,"].iter().any(|word| first.is(word)) && rest.len() > 1)
        .map(|(_, rest)| &said[rest[0].start - line.span().start..]);
    let shouted = Some(said.trim_end_matches('!')).filter(|calm| calm.len() < said.len() && !calm.is_empty());
    [polite, shouted].into_iter().flatten().find(|better| is_right(line, better)).map(str::to_owned)
}

/// Built-ins whose words are too near to what people say all day (`not sure`, `back`): never guessed from a slip.
const NEVER_MENDED: [&str; 2] = ["ack", "note"];

/// A built-in whose first word has a slip.
fn mended_word(line: &Line<'_>) -> Option<String> {
    let first = line.words.first()?;
    let rest = &line.text[first.end()..words::span(&line.words).end];
    BUILT_IN
        .iter()
        .filter(|word| !NEVER_MENDED.contains(word) && names::slip_alone(first.text, word))
        .map(|word| format!("{word}{rest}"))
        .find(|better| line.ending != Ending::Question && is_right(line, better))
}

/// Whether another text, said in the same place, is a command.
fn is_right(line: &Line<'_>, text: &str) -> bool {
    matches!(super::read(&Line::new(line.catalog, text, 0)), Reading::Right(_))
}

/// A phrase with slips in its fixed words, and with values that are right or near.
fn mended_phrase(line: &Line<'_>, care: Care) -> Option<String> {
    let mut best: Option<(usize, String)> = None;
    for runbook in line.catalog.runbooks.values() {
        for said in &runbook.say {
            let fixed = said.parts.iter().filter(|part| matches!(part, PhrasePart::Word(_))).count();
            let alone = said.parts.len() == 1;
            let same = |word: &str, meant: &str| {
                word.to_lowercase() == meant
                    || match (care, alone) {
                        (Care::Slips, true) => names::slip_alone(word, meant),
                        (Care::Slips, false) => names::slip(word, meant),
                        (Care::Loose, _) => alike_words(word, meant),
                    }
            };
            for laying in phrase::lay(&said.parts, &line.words, &same) {
                let mut mended = 0;
                let better = phrase::render(said, |name| {
                    let (_, range) = laying.iter().find(|(slot, _)| slot == name)?;
                    let param = runbook.params.iter().find(|param| param.name == name)?;
                    // Any words would do for a text: with one fixed word there is nothing that makes it a near miss.
                    if matches!(param.kind, ParamKind::Text { .. }) && fixed < 2 {
                        return None;
                    }
                    let here = &line.text[words::span(&line.words[range.clone()])];
                    phrase::mended(line.catalog, param, here).map(|(value, _)| value)
                });
                let Some(better) = better else { continue };
                for (word, better) in line.said().split_whitespace().zip(better.split_whitespace()) {
                    mended += strsim::osa_distance(&word.to_lowercase(), &better.to_lowercase());
                }
                if best.as_ref().is_none_or(|(least, _)| mended < *least) {
                    best = Some((mended, better));
                }
            }
        }
    }
    best.map(|(_, better)| better)
}

/// The built-in or phrase whose first word is most like the line's.
fn alike(line: &Line<'_>) -> Option<String> {
    let first = line.words.first()?;
    let phrases = line.catalog.runbooks.values().flat_map(|runbook| &runbook.say).filter_map(|phrase| {
        match phrase.parts.first() {
            Some(PhrasePart::Word(word)) => Some((word.as_str(), phrase.text.as_str())),
            _ => None,
        }
    });
    BUILT_IN
        .iter()
        .map(|word| (*word, *word))
        .chain(phrases)
        .filter(|(word, _)| first.is(word) || alike_words(first.text, word))
        .min_by_key(|(word, _)| strsim::osa_distance(&first.text.to_lowercase(), word))
        .map(|(_, suggestion)| suggestion.to_owned())
}

fn alike_words(said: &str, meant: &str) -> bool {
    let said = said.to_lowercase();
    let allowed = match said.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    said == meant || strsim::osa_distance(&said, meant) <= allowed
}

/// Whether the line sounds like a yes.
pub(super) fn yes(line: &Line<'_>) -> bool {
    if line.ending == Ending::Question {
        return false;
    }
    let plain = plain(line);
    let word = |word: &str| matches!(word, "approve" | "approved");
    let one = |first: &Word<'_>| word(letters(first.text).as_str());
    listed(NEAR_YES, &plain)
        || word(&letters(&plain))
        || match &line.words[..] {
            [single] => ["approve", "approved"].iter().any(|meant| names::slip_alone(single.text, meant)),
            // `approved, thanks mei` is told how to approve; `approved it yesterday` is talk.
            [first, rest @ ..] => one(first) && first.text.ends_with([',', '!', ':', '.']) && rest.len() <= 4,
            [] => false,
        }
        || (line.ending == Ending::Please && line.words.first().is_some_and(one))
}

/// Whether the line sounds like a no.
pub(super) fn no(line: &Line<'_>) -> bool {
    if line.ending == Ending::Question {
        return false;
    }
    let plain = plain(line);
    listed(NEAR_NO, &plain)
        || matches!(letters(&plain).as_str(), "deny" | "denied")
        || match &line.words[..] {
            [single] => ["deny", "denied"].iter().any(|meant| names::slip_alone(single.text, meant)),
            // `deny not now` wants `because`: whoever is asked must not believe that it is denied.
            [first, rest @ ..] => {
                (letters(first.text) == "deny" && rest.len() <= 8)
                    || (letters(first.text) == "denied"
                        && first.text.ends_with([',', '!', ':', '.'])
                        && rest.len() <= 4)
            }
            [] => false,
        }
}

/// The line in lower case without courtesy, final punctuation, and what phones add to symbols.
fn plain(line: &Line<'_>) -> String {
    let words: Vec<&str> = line.words.iter().map(|word| word.text).collect();
    let lower: String = words
        .join(" ")
        .to_lowercase()
        .replace('’', "'")
        .chars()
        .filter(|c| *c != '\u{fe0f}' && !('\u{1f3fb}'..='\u{1f3ff}').contains(c))
        .collect();
    lower.trim_end_matches(['.', '!', ',', '…']).trim_start_matches("please ").to_owned()
}

/// Whether the line is on the list; a symbol may be repeated.
fn listed(list: &[&str], plain: &str) -> bool {
    let symbol = plain.chars().next().filter(|first| !first.is_alphanumeric() && plain.chars().all(|c| c == *first));
    list.iter().any(|near| *near == plain || symbol.is_some_and(|symbol| near.chars().eq([symbol])))
}

/// Only the letters and digits, lower case.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

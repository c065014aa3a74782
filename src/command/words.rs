//! The tokenizer: a line as words with positions, and the endings that are forgiven.
//!
//! What lives here: splitting, the leading mention, quotations, courtesy. What does not: any meaning.

use crate::model::command::Span;
use crate::model::phrase::COURTESY;

/// How people call the bot at the start of a line, lower case.
const BOT: &str = "countersign";

/// A word: no white space in it, and where it stands in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// The word as said.
    pub(super) text: &'a str,
    /// Its first byte's position in the text that was given to the parser.
    pub(super) start: usize,
}

impl Word<'_> {
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub(super) fn span(&self) -> Span {
        self.start..self.end()
    }

    /// Whether it is this word, which is given in lower case.
    pub(super) fn is(&self, lower: &str) -> bool {
        self.text.to_lowercase() == lower
    }
}

/// The text's words from a position on.
pub(super) fn split(text: &str, from: usize) -> Vec<Word<'_>> {
    let base = text.as_ptr() as usize;
    text[from..].split_whitespace().map(|word| Word { text: word, start: word.as_ptr() as usize - base }).collect()
}

/// From the first of the words to the last; empty if there are none.
pub(super) fn span(words: &[Word<'_>]) -> Span {
    match (words.first(), words.last()) {
        (Some(first), Some(last)) => first.start..last.end(),
        _ => 0..0,
    }
}

/// Where the text goes on after a leading `@countersign`, `countersign:` or `countersign,`; `None` if it has none.
pub(super) fn after_mention(text: &str) -> Option<usize> {
    let start = text.len() - text.trim_start().len();
    let rest = &text[start..];
    let at = rest.starts_with('@');
    let name = rest.get(usize::from(at)..usize::from(at) + BOT.len())?;
    if !name.eq_ignore_ascii_case(BOT) {
        return None;
    }
    let end = start + usize::from(at) + BOT.len();
    match text[end..].chars().next() {
        Some(':' | ',') => Some(end + 1),
        None => at.then_some(end),
        Some(next) => (at && next.is_whitespace()).then_some(end),
    }
}

/// Whether a line is a quotation or code: it begins with `>` or with a quotation mark or backtick, or holds a fence.
pub(super) fn quoted(line: &str) -> bool {
    line.starts_with(['>', '"', '\'', '`', '“', '”', '„', '«', '»', '‘', '’', '「', '『']) || line.contains("```")
}

/// How a line ends, apart from its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// As it is, or with one full stop, or with a courtesy after a comma, or with a thanks.
    Plain,
    /// With a `please` that no comma parts from the rest: a wish said to someone, not the person's own word.
    Please,
    /// With a question mark.
    Question,
}

/// The words without one final full stop, courtesy or question mark, and which of them it was.
pub(super) fn without_ending<'a>(words: &[Word<'a>]) -> (Vec<Word<'a>>, Ending) {
    let mut words = words.to_vec();
    let mut ending = Ending::Plain;
    let question = cut_last(&mut words, '?');
    let stop = !question && cut_last(&mut words, '.');
    if let Some(courtesy) = COURTESY.iter().find(|courtesy| ends_with(&words, courtesy)) {
        let rest = words.len() - courtesy.len();
        if rest > 0 {
            words.truncate(rest);
            let comma = cut_last(&mut words, ',');
            if !comma && courtesy[0].starts_with("pl") {
                ending = Ending::Please;
            }
            if !comma && !stop && !question {
                cut_last(&mut words, '.');
            }
        }
    }
    (words, if question { Ending::Question } else { ending })
}

fn ends_with(words: &[Word<'_>], tail: &[&str]) -> bool {
    words.len() >= tail.len() && words[words.len() - tail.len()..].iter().zip(tail).all(|(word, tail)| word.is(tail))
}

/// Takes one such mark from the end of the last word; of several, none.
fn cut_last(words: &mut Vec<Word<'_>>, mark: char) -> bool {
    let Some(last) = words.last_mut() else { return false };
    match last.text.strip_suffix(mark) {
        Some(rest) if !rest.ends_with(mark) => {
            last.text = rest;
            if rest.is_empty() {
                words.pop();
            }
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts<'a>(words: &[Word<'a>]) -> Vec<&'a str> {
        words.iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_know_their_place() {
        let text = "  start\u{a0}sérvice  b";
        let words = split(text, 0);
        assert_eq!(texts(&words), ["start", "sérvice", "b"]);
        for word in &words {
            assert_eq!(&text[word.span()], word.text);
        }
    }

    #[test]
    fn mentions_are_leading_and_whole() {
        for (text, rest) in [
            ("@countersign ping", Some(" ping")),
            ("  @Countersign, ping", Some(" ping")),
            ("@countersign: ping", Some(" ping")),
            ("countersign: ping", Some(" ping")),
            ("countersign,ping", Some("ping")),
            ("@countersign", Some("")),
            ("countersign", None),
            ("countersign ping", None),
            ("@countersigns ping", None),
            ("@mei ping", None),
            ("ask @countersign ping", None),
            ("@countersigné", None),
        ] {
            assert_eq!(after_mention(text).map(|end| &text[end..]), rest, "{text}");
        }
    }

    #[test]
    fn endings_are_forgiven_once() {
        use Ending::*;
        for (text, rest, ending) in [
            ("approved", "approved", Plain),
            ("approved.", "approved", Plain),
            ("approved..", "approved..", Plain),
            ("approved, thanks", "approved", Plain),
            ("approved, thank you.", "approved", Plain),
            ("approved thanks", "approved", Plain),
            ("approved. Thanks", "approved", Plain),
            ("approved. Thanks.", "approved.", Plain),
            ("approved, please", "approved", Plain),
            ("approve please", "approve", Please),
            ("approved?", "approved", Question),
            ("approved ?", "approved", Question),
            ("approved, thanks?", "approved", Question),
            ("approved!", "approved!", Plain),
            ("thanks", "thanks", Plain),
            ("thank you", "thank you", Plain),
        ] {
            let (words, found) = without_ending(&split(text, 0));
            assert_eq!((texts(&words).join(" ").as_str(), found), (rest, ending), "{text}");
        }
    }
}

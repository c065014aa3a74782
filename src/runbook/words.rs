//! Words in sentences about a catalog: the nearest right one, lists, quotations, durations.

use std::time::Duration;

use crate::model::glyph;

/// The candidate that a misspelt word most likely means: at most a third of it differs.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let greatest = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= greatest)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Words in back quotes, joined by commas and a last `or`; of many, the first eight.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = words.into_iter().collect();
    let left_out = words.len().saturating_sub(8);
    if left_out > 1 {
        words.truncate(8);
        let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
        return format!("{} or {left_out} more", words.join(", "));
    }
    any_of(words)
}

/// The same with all of them: for the few words that the catalog itself fixes.
pub(super) fn any_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.pop() {
        None => "nothing".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
    }
}

/// A file's text in back quotes: bounded, on one line, with invisible and direction-changing characters shown as escapes.
pub(super) fn quoted(text: &str) -> String {
    format!("`{}`", shown(text))
}

/// As [`quoted`], without the back quotes.
pub(super) fn shown(text: &str) -> String {
    let mut shown = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == 60 {
            shown.push('…');
            break;
        }
        if glyph::hidden(letter) { shown.extend(letter.escape_unicode()) } else { shown.push(letter) }
    }
    shown
}

/// A duration as one would write it in the catalog: `1h 30m`.
pub(super) fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near_or_none() {
        assert_eq!(nearest("servce-b", ["service-b", "service-c"]), Some("service-b"));
        assert_eq!(nearest("nmae", ["name", "title"]), Some("name"));
        assert_eq!(nearest("banana", ["name", "title"]), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of([]), "nothing");
        assert_eq!(one_of(["a"; 10]), format!("{} or 2 more", ["`a`"; 8].join(", ")));
    }

    #[test]
    fn quotations_cannot_forge_a_line() {
        assert_eq!(quoted("a\n\u{202e}b"), "`a\\u{a}\\u{202e}b`");
        assert!(quoted(&"x".repeat(500)).chars().count() < 70);
    }
}

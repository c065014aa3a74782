//! Foreign text in our sentences: nothing in it may hide, turn the line round or make a line of its own (I9).
//!
//! What lives here: escapes and cuts. What does not: keeping a platform from reading markup or mentions in it, which
//! the adapter does for everything that we send.

use std::fmt::Write as _;

use crate::model::glyph;

/// The most characters of an echo: enough to recognise what one said, short enough for a lock screen.
pub const ECHO: usize = 80;

/// The text with every hidden character as an escape, such as `\n` or `\u{202e}`. The result is one line.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            hidden if glyph::hidden(hidden) => {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(hidden));
            }
            plain => shown.push(plain),
        }
    }
    shown
}

/// What someone said, visible, at most [`ECHO`] characters of it; `…` stands for what is cut.
pub fn echo(said: &str) -> String {
    let shown = visible(said);
    match shown.char_indices().nth(ECHO) {
        None => shown,
        Some(_) => shown.chars().take(ECHO - 1).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays_and_tricks_show() {
        assert_eq!(visible("start sérvice 🔧\u{fe0f}"), "start sérvice 🔧\u{fe0f}");
        assert_eq!(visible("a\nb\t\u{1b}[31m\u{202e}c\u{200b}"), "a\\nb\\t\\u{1b}[31m\\u{202e}c\\u{200b}");
    }

    #[test]
    fn echoes_are_cut_by_characters() {
        let exact = "é".repeat(ECHO);
        assert_eq!(echo(&exact), exact);
        let longer = echo(&"é".repeat(ECHO + 1));
        assert_eq!(longer.chars().count(), ECHO);
        assert!(longer.ends_with("é…"));
    }

    proptest! {
        #[test]
        fn i9_nothing_hidden_is_left(text: String) {
            prop_assert!(!visible(&text).chars().any(glyph::hidden));
            prop_assert!(echo(&text).chars().count() <= ECHO);
        }
    }
}

//! Which characters a reader cannot see: controls, direction marks and characters without width.
//!
//! What lives here: the one list. It is used to refuse them in arguments (I9) and to show them as escapes in everything
//! that the bot says. What does not: how they are shown (`text::visible`).

/// Whether a reader would not see the character, or would see it change its neighbours: C0 and C1 controls, line and
/// paragraph separators, direction marks, characters without width, fillers and tags.
///
/// The emoji presentation mark (U+FE0F) counts as visible: phones add it to ordinary symbols by themselves.
pub fn hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{00ad}'
                | '\u{034f}'
                | '\u{061c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0e}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_sees_is_not_hidden() {
        for shown in "aZ09 -_.,é中🔧\u{fe0f}\u{a0}".chars() {
            assert!(!hidden(shown), "{shown:?}");
        }
    }

    #[test]
    fn controls_direction_marks_and_widthless_characters_are_hidden() {
        let tricks = "\0\t\n\r\u{1b}\u{7f}\u{85}\u{ad}\u{200b}\u{200d}\u{202e}\u{2066}\u{2028}\u{feff}\u{e0041}";
        for trick in tricks.chars() {
            assert!(hidden(trick), "{trick:?}");
        }
    }
}

//! Phrases: how their text is read, which built-in words they may not take, and whether one line could say two of them.
//!
//! What lives here: what the catalog's checker and the command parser must agree on. What does not: matching a line
//! against a phrase (`command`).

use std::collections::BTreeSet;

use super::catalog::{Param, ParamKind, Phrase, PhrasePart};

/// The first words of the built-in commands, lower case, in alphabetical order.
pub const BUILT_IN: &[&str] = &[
    "access",
    "ack",
    "again",
    "approve",
    "approved",
    "break",
    "countersign",
    "delegate",
    "delegations",
    "denied",
    "deny",
    "end",
    "handover",
    "help",
    "incidents",
    "is",
    "judge",
    "looking",
    "note",
    "open",
    "pause",
    "ping",
    "refuse",
    "reopen",
    "report",
    "request",
    "requests",
    "resolve",
    "resume",
    "retry",
    "review",
    "reviews",
    "revoke",
    "run",
    "send",
    "show",
    "skip",
    "status",
    "stop",
    "take",
    "taken",
    "what",
    "who",
    "whoami",
    "withdraw",
];

/// First words that phrases leave alone because people expect the bot itself to answer to them, lower case, in
/// alphabetical order.
pub const RESERVED: &[&str] = &[];

/// Lines that sound like a yes and decide nothing, lower case, without final punctuation.
pub const NEAR_YES: &[&str] = &[
    "ok",
    "okay",
    "k",
    "kk",
    "y",
    "ya",
    "yes",
    "yep",
    "yup",
    "yeah",
    "yes please",
    "sure",
    "agreed",
    "accepted",
    "fine",
    "fine by me",
    "go",
    "go ahead",
    "go for it",
    "do it",
    "lgtm",
    "looks good",
    "sounds good",
    "ship it",
    "make it so",
    "approve it",
    "approved it",
    "i approve",
    "i agree",
    "+1",
    ":+1:",
    ":thumbsup:",
    ":thumbs_up:",
    ":ok_hand:",
    ":white_check_mark:",
    ":heavy_check_mark:",
    "👍",
    "👌",
    "🆗",
    "✅",
    "✔",
    "☑",
    "🚀",
];

/// Lines that sound like a no and decide nothing, lower case, without final punctuation.
pub const NEAR_NO: &[&str] = &[
    "no",
    "nope",
    "nah",
    "n",
    "no way",
    "not now",
    "not yet",
    "wait",
    "hold",
    "hold on",
    "hold off",
    "don't",
    "dont",
    "do not",
    "reject",
    "rejected",
    "refused",
    "deny it",
    "denied it",
    "-1",
    ":-1:",
    ":thumbsdown:",
    ":thumbs_down:",
    ":x:",
    ":no_entry:",
    "👎",
    "❌",
    "🚫",
    "⛔",
    "✋",
];

/// Words that a line may end with out of courtesy, lower case: forgiven after a phrase.
pub const COURTESY: &[&[&str]] =
    &[&["please"], &["pls"], &["plz"], &["thanks"], &["thank", "you"], &["thx"], &["ty"], &["cheers"]];

/// Why a phrase cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// No words at all.
    #[error("a phrase needs at least one word")]
    Empty,
    /// The first part is a parameter. The bot reads every line of its rooms, so a phrase begins with a fixed word.
    #[error("a phrase begins with a word: put one before {{{0}}}")]
    BeginsWithSlot(String),
    /// Two parameters next to each other: nobody could say where one ends.
    #[error("put a word between {{{0}}} and {{{1}}}: without it nobody can tell where one ends")]
    AdjacentSlots(String, String),
    /// The same parameter twice.
    #[error("{{{0}}} stands in this phrase twice")]
    RepeatedSlot(String),
    /// A brace that is not around exactly one name.
    #[error("`{0}` is neither a word nor a parameter: write {{name}} with spaces around it")]
    Braces(String),
    /// A character that no word of a line may hold, that no reader could see, or that makes the line a quotation.
    #[error("`{}` holds a character that cannot stand in a word", .0.escape_debug())]
    Character(String),
}

impl Phrase {
    /// Reads a phrase such as `start {service}`: words and parameters, separated by spaces. Words become lower case.
    ///
    /// # Errors
    /// When it is empty, begins with a parameter, has two parameters side by side or one twice, holds a brace where none
    /// belongs, or a character that stands for something else in a line: a quotation mark, a sign such as `=` or `@`,
    /// or one that nobody sees. Whether the parameters exist is for the runbook to say.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let mut parts: Vec<PhrasePart> = Vec::new();
        for word in text.split_whitespace() {
            let slot = word.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
            match slot {
                Some(name) if !name.is_empty() && !name.contains(['{', '}']) => {
                    match parts.last() {
                        None => return Err(PhraseError::BeginsWithSlot(name.to_owned())),
                        Some(PhrasePart::Slot(before)) => {
                            return Err(PhraseError::AdjacentSlots(before.clone(), name.to_owned()));
                        }
                        Some(PhrasePart::Word(_)) => {}
                    }
                    if parts.iter().any(|part| matches!(part, PhrasePart::Slot(other) if other == name)) {
                        return Err(PhraseError::RepeatedSlot(name.to_owned()));
                    }
                    parts.push(PhrasePart::Slot(name.to_owned()));
                }
                _ if word.contains(['{', '}']) => return Err(PhraseError::Braces(word.to_owned())),
                _ if !word.chars().all(may_stand_in_a_word) || parts.is_empty() && word.starts_with(QUOTES) => {
                    return Err(PhraseError::Character(word.to_owned()));
                }
                _ => parts.push(PhrasePart::Word(word.to_lowercase())),
            }
        }
        if parts.is_empty() {
            return Err(PhraseError::Empty);
        }
        Ok(Self { text: text.split_whitespace().collect::<Vec<_>>().join(" "), parts })
    }
}

/// Marks that make a line a quotation where they begin it, and that people also type inside words.
const QUOTES: [char; 7] = ['\'', '’', '‘', '„', '«', '「', '『'];

/// Whether a character may be part of a phrase's fixed word. Of the signs on every keyboard only those that no other
/// reading of a line uses: `=` belongs to `key=value`, `?` and `!` to the line's end, `@`, `<` and `#` to mentions.
fn may_stand_in_a_word(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '/' | '\'' | '+');
    }
    !super::glyph::hidden(character) && !matches!(character, '“' | '”' | '»' | '」' | '』')
}

/// The built-in words that a command may begin with.
pub fn first_words() -> &'static [&'static str] {
    BUILT_IN
}

/// The built-in or reserved word that a phrase equals, begins with or shadows; `None` is a phrase that may be declared.
///
/// Two built-ins leave room for phrases that cannot be mistaken for them:
/// - `run`, if a fixed word stands at the third place or later (`run {system} health check`): from there on the general
///   form has only `key=value`.
/// - `stop`, if a service's or system's name comes second or a fixed word that is neither `run` nor a number: the
///   built-in is followed by a run's number.
/// - `end`, if a fixed word comes second that is not `delegation`.
/// - `send`, `take`, `break`, `end` and `request`, if a fixed word comes second that does not make the built-in of it (`send
///   back`, `take back`, `break glass`, `end delegation`, `request change`).
///
/// A line that is both a phrase and the general form all the same is refused by the parser, unless both mean the same.
/// A phrase that begins with a parameter shadows everything; `help` is named.
pub fn shadows(phrase: &Phrase, params: &[Param]) -> Option<&'static str> {
    let words: Option<Vec<&str>> = phrase
        .parts
        .iter()
        .map(|part| match part {
            PhrasePart::Word(word) => Some(word.as_str()),
            PhrasePart::Slot(_) => None,
        })
        .collect();
    if let Some(words) = words {
        let line = words.join(" ");
        if let Some(near) = NEAR_YES.iter().chain(NEAR_NO).find(|near| **near == line) {
            return Some(near);
        }
    }
    let (first, rest) = phrase.parts.split_first()?;
    let PhrasePart::Word(first) = first else { return Some("help") };
    let built_in = *BUILT_IN.iter().chain(RESERVED).find(|word| *word == first)?;
    let apart = match built_in {
        "run" => rest.iter().skip(1).any(|part| matches!(part, PhrasePart::Word(_))),
        "stop" => match rest.first() {
            None => false,
            Some(PhrasePart::Word(word)) => {
                word != "run" && !word.starts_with(|c: char| c == '#' || c.is_ascii_digit())
            }
            Some(PhrasePart::Slot(name)) => params.iter().any(|param| {
                param.name == *name && matches!(param.kind, ParamKind::Service { .. } | ParamKind::System)
            }),
        },
        "end" => matches!(rest.first(), Some(PhrasePart::Word(word)) if word != "delegation"),
        "send" | "take" => matches!(rest.first(), Some(PhrasePart::Word(word)) if word != "back"),
        "break" => matches!(rest.first(), Some(PhrasePart::Word(word)) if word != "glass"),
        "end" => matches!(rest.first(), Some(PhrasePart::Word(word)) if word != "delegation"),
        "request" => matches!(rest.first(), Some(PhrasePart::Word(word)) if word != "change" && word != "changes"),
        _ => false,
    };
    (!apart).then_some(built_in)
}

/// Whether one line could match both phrases, if every parameter took one or more words of any kind. Hyphens make no
/// difference between words, as they make none in names: two phrases that differ in them alone would confuse people.
pub fn clash(a: &Phrase, b: &Phrase) -> bool {
    // A fixed word, or `None` for a parameter.
    let tokens = |phrase: &Phrase| -> Vec<Option<String>> {
        let token = |part: &PhrasePart| match part {
            PhrasePart::Word(word) => word.split('-').map(|piece| Some(piece.to_owned())).collect(),
            PhrasePart::Slot(_) => vec![None],
        };
        phrase.parts.iter().flat_map(token).collect()
    };
    let (a, b) = (tokens(a), tokens(b));
    // Both phrases are walked together, one word of an imagined line at a time. A parameter may take one more word or
    // be finished with this one; a fixed word takes only itself.
    let steps = |token: Option<&Option<String>>, at: usize| match token {
        None => vec![],
        Some(Some(_)) => vec![at + 1],
        Some(None) => vec![at, at + 1],
    };
    let mut seen = BTreeSet::new();
    let mut open = vec![(0, 0)];
    while let Some((at_a, at_b)) = open.pop() {
        if !seen.insert((at_a, at_b)) {
            continue;
        }
        if at_a == a.len() && at_b == b.len() {
            return true;
        }
        let (token_a, token_b) = (a.get(at_a), b.get(at_b));
        if let (Some(Some(one)), Some(Some(other))) = (token_a, token_b)
            && one != other
        {
            continue;
        }
        for next_a in steps(token_a, at_a) {
            for next_b in steps(token_b, at_b) {
                open.push((next_a, next_b));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrase(text: &str) -> Phrase {
        Phrase::parse(text).expect("a phrase")
    }

    #[test]
    fn reads_words_and_slots() {
        let phrase = phrase("Start  {service} now");
        assert_eq!(phrase.text, "Start {service} now");
        let [PhrasePart::Word(start), PhrasePart::Slot(service), PhrasePart::Word(now)] = &phrase.parts[..] else {
            panic!("{phrase:?}")
        };
        assert_eq!([start, service, now], ["start", "service", "now"]);
    }

    #[test]
    fn words_of_any_language_and_signs_inside_them_are_words() {
        for text in
            ["what's-up {a}", "öffne {a}", "चालू करो {a}", "сервис {a}", "ci/cd v1.2_x c++", "what’s up", "起动 {a}"]
        {
            assert_eq!(Phrase::parse(text).map(|phrase| phrase.text), Ok(text.to_owned()));
        }
    }

    #[test]
    fn refuses_what_is_no_phrase() {
        use PhraseError as E;
        let wrong = [
            ("  ", E::Empty),
            ("{service} up", E::BeginsWithSlot("service".into())),
            ("start {a} {b}", E::AdjacentSlots("a".into(), "b".into())),
            ("copy {a} to {a}", E::RepeatedSlot("a".into())),
            ("start {}", E::Braces("{}".into())),
            ("start{service}", E::Braces("start{service}".into())),
            ("start {a}{b}", E::Braces("{a}{b}".into())),
            ("say \"it\"", E::Character("\"it\"".into())),
            ("'tis {a}", E::Character("'tis".into())),
            ("run {a} b=c", E::Character("b=c".into())),
            ("ready?", E::Character("ready?".into())),
            ("@bot start", E::Character("@bot".into())),
            ("sta\u{200b}rt", E::Character("sta\u{200b}rt".into())),
        ];
        for (text, why) in wrong {
            assert_eq!(Phrase::parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn built_ins_are_sorted_and_lower_case() {
        assert!(BUILT_IN.is_sorted() && RESERVED.is_sorted());
        for word in BUILT_IN.iter().chain(RESERVED).chain(NEAR_YES).chain(NEAR_NO) {
            assert_eq!(word.to_lowercase(), **word);
        }
    }

    #[test]
    fn a_phrase_may_not_shadow_a_built_in() {
        let param = |name: &str, kind| Param { name: name.into(), kind, default: None, may_begin_with_dash: false };
        let params = [
            param("service", ParamKind::Service { system: None }),
            param("system", ParamKind::System),
            param("thing", ParamKind::Text { max_length: 9 }),
        ];
        for (text, built_in) in [
            ("help", "help"),
            ("is {service} the one", "is"),
            ("stop", "stop"),
            ("stop {thing}", "stop"),
            ("stop run {service}", "stop"),
            ("stop 12", "stop"),
            ("approve {thing} quickly", "approve"),
            ("run", "run"),
            ("run {thing}", "run"),
            ("run check {thing}", "run"),
            ("run tests", "run"),
            ("status of {service}", "status"),
            ("go", "go"),
            ("ok", "ok"),
            ("not now", "not now"),
            ("Who knows", "who"),
        ] {
            assert_eq!(shadows(&phrase(text), &params), Some(built_in), "{text}");
        }
        for text in [
            "start {service}",
            "run {system} health check",
            "run all tests",
            "stop {service}",
            "stop everything",
            "go home {service}",
            "helper",
        ] {
            assert_eq!(shadows(&phrase(text), &params), None, "{text}");
        }
    }

    #[test]
    fn clashes_are_found_and_only_clashes() {
        for (a, b, expected) in [
            ("start {service}", "start {thing}", true),
            ("start {service}", "start everything", true),
            ("start {service}", "start {service} now", true),
            ("start {a} and {b}", "start x and y", true),
            ("start {a} now", "start {b} later", false),
            ("start {service}", "restart {service}", false),
            ("start {service}", "start", false),
            ("start", "start", true),
            ("health-check {a}", "health check {b}", true),
            ("move {a} to {b}", "move x {c} to", true), // move x to to
            ("move {a} to {b} up", "move x {c} down", false),
            ("move {a} to {b}", "move x {c} y", true),
        ] {
            let (a, b) = (phrase(a), phrase(b));
            assert_eq!(clash(&a, &b), expected, "{} / {}", a.text, b.text);
            assert_eq!(clash(&b, &a), expected, "{} / {}", b.text, a.text);
        }
    }
}

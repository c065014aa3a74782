//! Templates: text with `{{ parameter }}` in it, and nothing else.
//!
//! What lives here: which templates load. What does not: filling them (`engine::plan`, strictly). Keeps I9: no
//! filters, calls, attributes, blocks or comments, so a value is only ever put in whole, as one part of one argument.

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Text as it stands.
    Text(&'a str),
    /// A parameter's name.
    Param(&'a str),
}

/// Reads a template.
///
/// # Errors
/// One sentence without its full stop: what stands in it that is neither text nor `{{ name }}`.
pub(super) fn parse(text: &str) -> Result<Vec<Piece<'_>>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(brace) = find_opening(rest) {
        let (before, opened) = rest.split_at(brace);
        if !before.is_empty() {
            pieces.push(Piece::Text(before));
        }
        if opened.starts_with("{%") {
            return Err("`{%` is not used in a runbook: there are no conditions or loops");
        }
        if opened.starts_with("{#") {
            return Err("`{#` is not used in a runbook: write a comment of YAML");
        }
        let Some((inside, after)) = opened[2..].split_once("}}") else {
            return Err("this `{{` is not closed");
        };
        let name = inside.trim_matches(' ');
        if !is_param_name(name) {
            return Err("only a parameter's name may stand within `{{ }}`");
        }
        pieces.push(Piece::Param(name));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

fn find_opening(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))
}

/// Whether no parameter stands in it.
pub(super) fn is_plain(pieces: &[Piece<'_>]) -> bool {
    !pieces.iter().any(|piece| matches!(piece, Piece::Param(_)))
}

/// Whether the text is a template or tries to be one.
pub(super) fn is_template(text: &str) -> bool {
    find_opening(text).is_some()
}

/// Words that mean something else between braces.
const RESERVED: &[&str] =
    &["and", "caller", "else", "false", "if", "in", "is", "loop", "none", "not", "or", "self", "super", "true"];

/// A parameter's name: lower-case letters, digits and underscores, a letter first, at most forty, not a reserved word.
pub(super) fn is_param_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'_')
        && name.len() <= super::LONGEST_NAME
        && !RESERVED.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Piece::{Param, Text};

    #[test]
    fn names_between_braces_are_read() {
        assert_eq!(parse("plain {text} $x %d"), Ok(vec![Text("plain {text} $x %d")]));
        assert_eq!(parse("{{ a }}"), Ok(vec![Param("a")]));
        assert_eq!(
            parse("--to={{a}}:{{  b_2 }}/x"),
            Ok(vec![Text("--to="), Param("a"), Text(":"), Param("b_2"), Text("/x")])
        );
        assert_eq!(parse("{\"a\":{\"b\":1}}"), Ok(vec![Text("{\"a\":{\"b\":1}}")]));
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn i9_everything_else_between_braces_is_refused() {
        for wrong in [
            "{% if a %}",
            "{# a #}",
            "{{ a",
            "{{ }}",
            "{{ a | upper }}",
            "{{ a.b }}",
            "{{ a() }}",
            "{{ a[0] }}",
            "{{ 'x' }}",
            "{{ 1 }}",
            "{{- a -}}",
            "{{ a }} {{ b|e }}",
            "{{ true }}",
            "{{ a\n}}",
            "{{{ a }}}",
            "{{ A }}",
            "{{ self }}",
            "{{ a-b }}",
            "x {{ {{ a }} }}",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
            assert!(is_template(wrong), "{wrong}");
        }
    }
}

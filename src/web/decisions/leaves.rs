//! The steps of a plan as one document of less than 30 KB, or as several that are opened one after the other.
//!
//! Nothing is cut: what does not fit stands on the next page, and a text that is longer than a page goes on there. The address
//! of each further page stands on the one before it and nowhere else, so whoever reaches the last one, on which to decide,
//! has had all of them. It is derived from the first address's secret: nothing is stored, and reading consumes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{Markup, PreEscaped, Render as _, html};
use sha2::{Digest as _, Sha256};

use crate::model::id::Digest;
use crate::model::plan::Plan;
use crate::passkey::Secret;
use crate::text::plan::{StepText, step_texts};

/// Bytes of a page.
pub(super) const MOST_BYTES: usize = 29_500;

/// Bytes of one text in a piece. What is longer goes on in the next.
const MOST_TEXT: usize = 6_000;

/// A step as it is set, or a part of one that is too long to stand whole.
pub(super) struct Piece {
    /// The step's number.
    number: u32,
    html: String,
}

/// Which pieces stand on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf {
    /// The first of them, counted from 0.
    pub(super) from: usize,
    /// The first that does not stand there any more.
    pub(super) to: usize,
}

/// All steps, in order.
pub(super) fn pieces(plan: &Plan) -> Vec<Piece> {
    step_texts(plan).into_iter().flat_map(of_step).collect()
}

fn of_step(step: StepText) -> Vec<Piece> {
    let StepText { number, changes, kind, what, facts, details } = step;
    let mut pieces = Vec::new();
    let mut html = html! { @if changes { b { "!" } " " } i { (kind) } " " }.into_string();
    let facts = if facts.is_empty() { Vec::new() } else { vec![html! { " " small { (facts) } }.into_string()] };
    for part in codes(&what).chain(facts).chain(details.iter().flat_map(|detail| codes(detail))) {
        if html.len() + part.len() > MOST_TEXT && !html.is_empty() {
            pieces.push(std::mem::take(&mut html));
        }
        html.push_str(&part);
    }
    pieces.push(html);
    let set = |(at, inside): (usize, String)| {
        let inside = PreEscaped(inside);
        // Where a list is set anew, or a step goes on, the browser would count otherwise than the plan does.
        let html = if at == 0 {
            html! { li { (inside) } }
        } else {
            html! { li.on value=(number) { (inside) } }
        };
        Piece { number, html: html.into_string() }
    };
    pieces.into_iter().enumerate().map(set).collect()
}

fn codes(text: &str) -> impl Iterator<Item = String> {
    parts(text).into_iter().map(|part| html! { code { (part) } }.into_string())
}

/// A text in parts, each of which fits into a piece as it stands in a page.
fn parts(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut bytes) = (0, 0);
    for (at, c) in text.char_indices() {
        let escaped = match c {
            '&' | '<' | '>' | '"' => 6,
            c => c.len_utf8(),
        };
        // Room is left for what stands around it.
        if bytes + escaped > MOST_TEXT - 200 {
            parts.extend(text.get(from..at));
            (from, bytes) = (at, 0);
        }
        bytes += escaped;
    }
    parts.extend(text.get(from..));
    parts
}

/// As many pieces as fit into so many bytes, one at least.
pub(super) fn leaf(pieces: &[Piece], from: usize, room: usize) -> Leaf {
    let mut left = room;
    let mut to = from;
    for piece in pieces.iter().skip(from) {
        if piece.html.len() > left && to > from {
            break;
        }
        left = left.saturating_sub(piece.html.len());
        to += 1;
    }
    Leaf { from, to }
}

/// The pieces of a page.
pub(super) fn set(pieces: &[Piece], leaf: Leaf) -> Markup {
    let here = pieces.get(leaf.from..leaf.to).unwrap_or_default();
    let start = here.first().map_or(1, |piece| piece.number);
    html! { ol.steps start=(start) { @for piece in here { (PreEscaped(&piece.html).render()) } } }
}

/// The numbers of the steps that stand on a page, first and last, and of the last there is.
pub(super) fn numbers(pieces: &[Piece], leaf: Leaf) -> (u32, u32, u32) {
    let here = pieces.get(leaf.from..leaf.to).unwrap_or_default();
    let number = |piece: Option<&Piece>| piece.map_or(0, |piece| piece.number);
    (number(here.first()), number(here.last()), number(pieces.last()))
}

/// What stands in the address of the page that begins with a piece, after the first page's.
pub(super) fn address(secret: &Secret, digest: Digest, from: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(b"countersign/leaf/v1\n");
    hash.update(secret.encoded().as_bytes());
    hash.update(digest.0);
    hash.update(u64::try_from(from).unwrap_or(u64::MAX).to_be_bytes());
    format!("{from}-{}", URL_SAFE_NO_PAD.encode(&hash.finalize()[..16]))
}

/// With which piece the page of an address begins; `None`: nobody was given that address.
pub(super) fn from_address(secret: &Secret, digest: Digest, text: &str) -> Option<usize> {
    let from = text.split_once('-')?.0.parse().ok()?;
    (address(secret, digest, from) == text).then_some(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(what: &str) -> StepText {
        let details = vec!["(is /usr/bin/printf)".to_owned()];
        StepText { number: 7, changes: true, kind: "run", what: what.to_owned(), facts: "on app-1".to_owned(), details }
    }

    #[test]
    fn a_step_is_set_in_few_bytes() {
        let pieces = of_step(step("printf <x>"));
        let all: Vec<&str> = pieces.iter().map(|piece| piece.html.as_str()).collect();
        insta::assert_snapshot!(all.join("\n"), @"<li><b>!</b> <i>run</i> <code>printf &lt;x&gt;</code> <small>on app-1</small><code>(is /usr/bin/printf)</code></li>");
    }

    #[test]
    fn a_text_of_any_length_stands_whole_and_no_page_is_too_long() {
        for text in ["é\"<x>&' ".repeat(5_000), "a".repeat(64 * 1024), String::new()] {
            assert_eq!(parts(&text).concat(), text);
            let pieces = of_step(step(&text));
            let (mut from, mut whole) = (0, String::new());
            while from < pieces.len() {
                let leaf = leaf(&pieces, from, 15_000);
                let page = set(&pieces, leaf).into_string();
                assert!(page.len() < 15_100, "{}", page.len());
                whole.push_str(&page);
                from = leaf.to;
            }
            let shown: String = whole.split("<code>").skip(1).filter_map(|code| code.split("</code>").next()).collect();
            let shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            assert_eq!(shown, format!("{text}(is /usr/bin/printf)"));
        }
    }

    #[test]
    fn an_address_is_of_one_page_of_one_plan_alone() {
        let (secret, digest) = (Secret::new([7; 32]), Digest([1; 32]));
        let text = address(&secret, digest, 40);
        assert_eq!(from_address(&secret, digest, &text), Some(40));
        for (other, digest) in [(Secret::new([8; 32]), digest), (secret, Digest([2; 32]))] {
            assert_eq!(from_address(&other, digest, &text), None);
        }
        for wrong in ["", "40", "40-", &text.replacen("40", "41", 1), &text.replacen("40", "040", 1)] {
            assert_eq!(from_address(&secret, digest, wrong), None, "{wrong}");
        }
    }
}

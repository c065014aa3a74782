//! Names as people say them: case, spaces and hyphens do not matter, titles count too, and the nearest one for "did you
//! mean". Several names that answer to the same words are never chosen between.

use crate::model::catalog::{Catalog, Runbook, Service, System};
use crate::model::id::RotaName;

/// A name and the title that counts as well.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    /// The canonical name.
    pub(super) name: &'a str,
    /// Its title; may be the same as the name.
    pub(super) title: &'a str,
}

/// What a name came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// This one.
    One(&'a str),
    /// All of these answer to it.
    Several(Vec<&'a str>),
    /// None does; the nearest, if one is near.
    None(Option<&'a str>),
}

/// The name without what does not matter: lower case, no white space, no hyphens of any kind.
pub(super) fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}' | '\u{2011}' | '\u{2013}'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Whom the words name. A name written exactly as in the catalog, but for case, wins over titles and over names that
/// differ in spaces and hyphens; else whoever folds to the same.
pub(super) fn find<'a>(known: impl Iterator<Item = Known<'a>> + Clone, said: &str) -> Found<'a> {
    let lower = said.to_lowercase();
    if let Some(exact) = known.clone().find(|one| one.name == lower) {
        return Found::One(exact.name);
    }
    let folded = fold(said);
    let mut names: Vec<&str> = known
        .clone()
        .filter(|one| !folded.is_empty() && (fold(one.name) == folded || fold(one.title) == folded))
        .map(|one| one.name)
        .collect();
    names.dedup();
    match names[..] {
        [] => Found::None(nearest(known, said)),
        [name] => Found::One(name),
        _ => Found::Several(names),
    }
}

/// The nearest name: at most one slip in four letters, or a name that begins like what was said or the other way round.
pub(super) fn nearest<'a>(known: impl Iterator<Item = Known<'a>>, said: &str) -> Option<&'a str> {
    let said = fold(said);
    if said.is_empty() || said.len() > 80 {
        return None;
    }
    known
        .filter_map(|one| {
            [one.name, one.title]
                .iter()
                .map(|spelling| fold(spelling))
                .filter_map(|spelling| {
                    let distance = strsim::osa_distance(&spelling, &said);
                    let letters = spelling.chars().count().min(said.chars().count());
                    (distance <= (letters / 4).max(1) && letters > 1).then_some(distance)
                })
                .min()
                .map(|distance| (distance, one.name))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Whether the words look like an attempt at one of the names although none is near: they share the first word of a
/// name or title and are no longer than it, or they are one word that no prose holds (`service-x`, `node7`).
pub(super) fn attempted<'a>(mut known: impl Iterator<Item = Known<'a>>, said: &str) -> bool {
    let parts = |name: &str| -> Vec<String> {
        name.split(|c: char| c.is_whitespace() || c == '-')
            .filter(|part| !part.is_empty())
            .map(str::to_lowercase)
            .collect()
    };
    let words = parts(said);
    let identifier = !said.contains(char::is_whitespace)
        && said.chars().any(char::is_alphabetic)
        && (said.contains('_') || said.chars().any(|c| c.is_ascii_digit()))
        && said.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    identifier
        || known.any(|one| {
            [one.name, one.title].iter().any(|spelling| {
                let spelling = parts(spelling);
                words.len() > 1 && words.len() <= spelling.len() && words.first() == spelling.first()
            })
        })
}

/// One slip of the finger: two neighbours swapped, a letter too few, too many or another; in eight letters or more, two
/// slips. Endings that make another word of it (`starts`, `started`) are no slip. What was meant is in lower case.
pub(super) fn slip(said: &str, meant: &str) -> bool {
    let said = said.to_lowercase();
    let letters = meant.chars().count();
    if said == meant || letters < 4 || said.chars().count() < 4 {
        return false;
    }
    if said.strip_prefix(meant).is_some_and(|ending| matches!(ending, "s" | "d" | "ed" | "er" | "r")) {
        return false;
    }
    let slips = if letters >= 8 { 2 } else { 1 };
    said.chars().next() == meant.chars().next() && strsim::osa_distance(&said, meant) <= slips
}

/// As [`slip`], for a word that stands alone in a room where people talk: another letter in a short word makes another
/// English word too often (`help`, `held`).
pub(super) fn slip_alone(said: &str, meant: &str) -> bool {
    slip(said, meant)
        && (meant.chars().count() >= 6
            || said.chars().count() != meant.chars().count()
            || sorted(said) == sorted(meant))
}

fn sorted(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.to_lowercase().chars().collect();
    letters.sort_unstable();
    letters
}

/// All services.
pub(super) fn services(catalog: &Catalog) -> impl Iterator<Item = Known<'_>> + Clone {
    catalog.systems.values().flat_map(services_of)
}

/// A system's services.
pub(super) fn services_of(system: &System) -> impl Iterator<Item = Known<'_>> + Clone {
    system.services.values().map(|Service { name, title, .. }| Known { name: name.as_str(), title })
}

/// All systems.
pub(super) fn systems(catalog: &Catalog) -> impl Iterator<Item = Known<'_>> + Clone {
    catalog.systems.values().map(|System { name, title, .. }| Known { name: name.as_str(), title })
}

/// All rotas.
pub(super) fn rotas(catalog: &Catalog) -> impl Iterator<Item = Known<'_>> + Clone {
    plain(catalog.rotas.keys().map(RotaName::as_str))
}

/// All runbooks.
pub(super) fn runbooks(catalog: &Catalog) -> impl Iterator<Item = Known<'_>> + Clone {
    catalog.runbooks.values().map(|Runbook { name, title, .. }| Known { name: name.as_str(), title })
}

/// Names without titles.
pub(super) fn plain<'a>(names: impl Iterator<Item = &'a str> + Clone) -> impl Iterator<Item = Known<'a>> + Clone {
    names.map(|name| Known { name, title: name })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Known<'static>] = &[
        Known { name: "service-b", title: "Service B" },
        Known { name: "service-c", title: "Payments (old)" },
        Known { name: "web-1", title: "Front" },
        Known { name: "web1", title: "Back" },
    ];

    #[test]
    fn case_spaces_and_hyphens_do_not_matter() {
        for said in ["service-b", "Service B", "SERVICEB", "serVice  -b", "service‑b"] {
            assert_eq!(find(KNOWN.iter().copied(), said), Found::One("service-b"), "{said}");
        }
        assert_eq!(find(KNOWN.iter().copied(), "payments (OLD)"), Found::One("service-c"));
    }

    #[test]
    fn two_that_answer_are_both_named_unless_one_is_written_exactly() {
        assert_eq!(find(KNOWN.iter().copied(), "web 1"), Found::Several(vec!["web-1", "web1"]));
        assert_eq!(find(KNOWN.iter().copied(), "Web-1"), Found::One("web-1"));
        assert_eq!(find(KNOWN.iter().copied(), "WEB1"), Found::One("web1"));
    }

    #[test]
    fn the_nearest_is_near() {
        for (said, near) in
            [("servce b", Some("service-b")), ("front", None), ("fronts", Some("web-1")), ("lunch", None), ("", None)]
        {
            if said != "front" {
                assert_eq!(find(KNOWN.iter().copied(), said), Found::None(near), "{said}");
            }
        }
    }

    #[test]
    fn slips_are_slips() {
        for (said, meant) in [("strat", "start"), ("Stat", "start"), ("helpp", "help"), ("withdrwa", "withdraw")] {
            assert!(slip(said, meant), "{said}");
        }
        for (said, meant) in [
            ("starts", "start"),
            ("started", "start"),
            ("start", "start"),
            ("fix", "six"),
            ("tart", "start"),
            ("stop", "start"),
        ] {
            assert!(!slip(said, meant), "{said}");
        }
        assert!(slip_alone("hlep", "help"));
        assert!(!slip_alone("held", "help"));
    }
}

//! From raw files to the model: names resolve, numbers are possible, rights are lists, commands are safe to fill.
//!
//! What lives here: the order of checking and what the kinds share. What does not: reading (`yaml`), drawing
//! (`diagnostic`). Keeps I9 (no template reaches program text) and I10 (all problems are collected; a catalog comes out
//! only if there is none).
//!
//! Checking is lenient while it goes: a thing with a problem is still entered under its name, so that one mistake is
//! told once and not again at every place that mentions the thing. What it builds is thrown away if anything was wrong.

mod channel;
mod http;
mod people;
mod phrase;
mod policy;
mod program;
mod rota;
mod runbook;
mod system;
mod template;
mod trigger;
mod when;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::catalog::{Catalog, ParamKind, Source, Subject};
use crate::model::glyph;
use crate::model::id::{GroupName, PersonId, RotaName};

use super::diagnostic::Problem;
use super::names::Unread;
use super::raw::{Document, Word, Words};
use super::words;
use super::yaml::{At, Place};

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `system:`
    System,
    /// A service within a system file.
    Service,
    /// `runbook:`
    Runbook,
    /// `trigger:`
    Trigger,
    /// `policy:`
    Policy,
    /// `people:`
    Person,
    /// `groups:`
    Group,
    /// `rotas:`
    Rota,
    /// `rooms:`
    Room,
    /// `secrets:`
    Secret,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "system",
            Self::Service => "service",
            Self::Runbook => "runbook",
            Self::Trigger => "trigger",
            Self::Policy => "policy",
            Self::Person => "person",
            Self::Group => "group",
            Self::Rota => "rota",
            Self::Room => "room",
            Self::Secret => "secret",
        })
    }
}

/// A file that had the shape of one of the kinds.
#[derive(Debug)]
pub(super) struct Input {
    /// Its number among all files.
    pub(super) file: usize,
    /// Its path and hash.
    pub(super) source: Source,
    /// Its whole text.
    pub(super) text: std::sync::Arc<str>,
    /// What it holds.
    pub(super) document: Document,
}

/// What checking found.
pub(super) struct Checked {
    /// The catalog: worthless unless `problems` is empty.
    pub(super) catalog: Catalog,
    /// By file number.
    pub(super) problems: Vec<(usize, Problem)>,
}

/// Checks all files together. Of those that could not be read it takes the names: what refers to them is right, as far as
/// anybody can know, and what they hold is not asked for.
pub(super) fn check(catalog: Catalog, inputs: &[Input], unread: Unread) -> Checked {
    let Unread { contents: broken, nameless, names: declared, probably } = unread;
    let names = BTreeMap::new();
    let access = None;
    let mut checker = Checker { catalog, broken, nameless, probably, names, access, problems: Vec::new() };
    for (file, kind, name) in &declared {
        checker.enter(*file, *kind, name);
    }
    // What is referred to comes before what refers to it.
    for input in inputs {
        match &input.document {
            Document::Secrets(secrets) => checker.secrets(input, secrets),
            Document::Rooms(rooms) => checker.rooms(input, rooms),
            Document::People(people) => checker.people(input, people),
            Document::System(_) | Document::Runbook(_) | Document::Trigger(_) | Document::Policy(_) => {}
        }
    }
    for input in inputs {
        if let Document::People(people) = &input.document {
            checker.groups(input, people);
            checker.rotas(input, people);
        }
    }
    for input in inputs {
        if let Document::People(people) = &input.document {
            checker.access(input, people);
        }
    }
    for input in inputs {
        if let Document::Policy(policy) = &input.document {
            checker.policy(input, policy);
        }
    }
    for input in inputs {
        if let Document::System(system) = &input.document {
            checker.system(input, system);
        }
    }
    let mut phrases = phrase::Phrases::default();
    for input in inputs {
        if let Document::Runbook(runbook) = &input.document {
            checker.runbook(input, runbook, &mut phrases);
        }
    }
    for input in inputs {
        if let Document::Trigger(trigger) = &input.document {
            checker.trigger(input, trigger);
        }
    }
    // A policy names runbooks and the triggers that it lets start, and these lead to the policy: looked at when both are
    // known.
    for input in inputs {
        if let Document::Policy(policy) = &input.document {
            checker.when(input, policy);
            checker.automatic(input, policy);
        }
    }
    Checked { catalog: checker.catalog, problems: checker.problems }
}

/// What has been checked so far.
struct Checker {
    catalog: Catalog,
    /// Kinds of things that files declare which could not be read: what such things hold is not known.
    broken: BTreeSet<Kind>,
    /// Those of them of which a name may be missing.
    nameless: BTreeSet<Kind>,
    /// Names that such a file probably declares.
    probably: BTreeSet<(Kind, String)>,
    /// Where each name was declared.
    names: BTreeMap<(Kind, String), (usize, Place)>,
    /// Where `access:` stands.
    access: Option<(usize, Place)>,
    problems: Vec<(usize, Problem)>,
}

/// In a policy: whoever answers for the system.
const ACCOUNTABLE: &str = "accountable";

/// The greatest length of a name.
const LONGEST_NAME: usize = 40;

impl Checker {
    fn problem(&mut self, input: &Input, problem: Problem) {
        self.problems.push((input.file, problem));
    }

    /// Enters a name; tells a wrong one and a second one.
    fn declare(&mut self, input: &Input, kind: Kind, name: &At<String>) {
        if !is_name(&name.value) {
            let hint = "lower-case letters, digits and hyphens, a letter first, at most 40";
            self.problem(input, not_a_name(name, &format!("{kind}'s name")).label(hint));
        }
        self.enter(input.file, kind, name);
    }

    /// Enters a name; tells a second one.
    fn enter(&mut self, of_file: usize, kind: Kind, name: &At<String>) {
        // These are said by name alone, so they share their names.
        let by_name: &[Kind] = &[Kind::System, Kind::Service, Kind::Rota];
        let also = if by_name.contains(&kind) { by_name } else { &[] };
        let before = std::iter::once(kind)
            .chain(also.iter().copied())
            .find_map(|kind| self.names.get(&(kind, name.value.clone())).map(|&(file, place)| (kind, file, place)));
        if let Some((other, file, place)) = before {
            let shown = words::quoted(&name.value);
            let problem = match other == kind {
                true => Problem::new(name.place, format!("there is another {kind} {shown}")),
                false => Problem::new(name.place, format!("{shown} is the name of a {other} too"))
                    .hint("services, systems and rotas are said by name alone, so no two may have the same"),
            };
            self.problems.push((of_file, problem.elsewhere(file, place, "the other is at")));
            return;
        }
        self.names.insert((kind, name.value.clone()), (of_file, name.place));
    }

    /// Where a name was declared.
    fn declared(&self, kind: Kind, name: &str) -> Option<(usize, Place)> {
        self.names.get(&(kind, name.to_owned())).copied()
    }

    /// Whether a name that is missing is probably in a file that was already complained about.
    fn may_be_unread(&self, kind: Kind, name: &str) -> bool {
        self.nameless.contains(&kind) || self.probably.contains(&(kind, name.to_owned()))
    }

    /// Whether a value that no parameter of this kind accepts may be right all the same: what it names is, or may be, in a
    /// file that was already complained about.
    fn may_be_of_unread(&self, kind: &ParamKind, value: &str) -> bool {
        let kind = match kind {
            ParamKind::Service { .. } => Kind::Service,
            ParamKind::System => Kind::System,
            ParamKind::Choice(_) | ParamKind::Integer { .. } | ParamKind::Text { .. } => return false,
        };
        let declared = self.broken.contains(&kind) && self.declared(kind, value).is_some();
        declared || self.may_be_unread(kind, value)
    }

    /// Tells a name that nothing has, with the nearest that something has. True if it is known.
    fn known(&mut self, input: &Input, kind: Kind, name: &At<String>) -> bool {
        self.known_as(input, kind, "", name.place, &name.value)
    }

    /// The same for a name that is written with a prefix, such as `group:`.
    fn known_as(&mut self, input: &Input, kind: Kind, prefix: &str, place: Place, name: &str) -> bool {
        if self.declared(kind, name).is_some() {
            return true;
        }
        if !self.may_be_unread(kind, name) {
            let names = self.names.keys().filter(|(other, _)| *other == kind);
            let all: Vec<String> = names.map(|(_, name)| format!("{prefix}{name}")).collect();
            let all = || all.iter().map(String::as_str);
            let label = match all().next() {
                None => format!("the catalog declares no {kind} at all"),
                Some(_) => format!("expected {}", words::one_of(all())),
            };
            let problem = Problem::new(place, format!("there is no {kind} {}", words::quoted(name)))
                .label(label)
                .nearest(&format!("{prefix}{name}"), all());
            self.problem(input, problem);
        }
        false
    }

    /// A value that must be given. `whose` is where it is missed.
    fn required<'a, T>(
        &mut self,
        input: &Input,
        whose: Place,
        key: &str,
        value: &'a Option<T>,
        hint: &str,
    ) -> Option<&'a T> {
        if value.is_none() {
            self.problem(input, Problem::new(whose, format!("`{key}` is missing here")).hint(hint));
        }
        value.as_ref()
    }

    /// A list that must be given and hold something.
    fn filled<'a, T>(
        &mut self,
        input: &Input,
        whose: Place,
        key: &str,
        value: &'a Option<At<Vec<T>>>,
        hint: &str,
    ) -> &'a [T] {
        match self.required(input, whose, key, value, hint) {
            None => &[],
            Some(list) => {
                if list.value.is_empty() {
                    self.problem(input, Problem::new(list.place, format!("`{key}` is empty")).hint(hint));
                }
                &list.value
            }
        }
    }

    /// A text for people: one line, visible, at most `longest` characters. Empty if it was not right.
    fn text(&mut self, input: &Input, text: &At<String>, longest: usize) -> String {
        let value = text.value.trim();
        let length = value.chars().count();
        let problem = if value.is_empty() {
            Some("this text is empty".to_owned())
        } else if value.chars().any(glyph::hidden) {
            Some("this text holds line breaks or characters that nobody sees".to_owned())
        } else if length > longest {
            Some(format!("this text has {length} characters; at most {longest} fit where it is shown"))
        } else {
            None
        };
        if let Some(problem) = problem {
            self.problem(input, Problem::new(text.place, problem));
        }
        value.to_owned()
    }

    /// A title: given and fit to be shown, else the name.
    fn title(&mut self, input: &Input, whose: Place, title: &Word) -> String {
        match self.required(input, whose, "title", title, "say in a few words what people call it: `title: …`") {
            Some(title) => self.text(input, title, 80),
            None => String::new(),
        }
    }

    /// A duration within bounds, both included; the default if none is given.
    fn duration(
        &mut self,
        input: &Input,
        text: &Word,
        default: Duration,
        bounds: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(text) = text else { return default };
        let bounded = format!(
            "expected a duration from {} to {}",
            words::duration(*bounds.start()),
            words::duration(*bounds.end())
        );
        match humantime::parse_duration(&text.value) {
            Ok(duration) if bounds.contains(&duration) => duration,
            Ok(_) => {
                let message = format!("{} is not possible here", words::shown(text.value.trim()));
                self.problem(input, Problem::new(text.place, message).label(bounded));
                default
            }
            Err(_) => {
                let message = format!("{} is not a duration", words::quoted(&text.value));
                let hint = "write a number and a unit: `30s`, `5m`, `1h 30m`";
                self.problem(input, Problem::new(text.place, message).label(bounded).hint(hint));
                default
            }
        }
    }

    /// A whole number within bounds, both included; the default if none is given.
    fn number(&mut self, input: &Input, written: Option<&At<u64>>, default: u32, bounds: RangeInclusive<u32>) -> u32 {
        let Some(written) = written else { return default };
        match u32::try_from(written.value) {
            Ok(number) if bounds.contains(&number) => number,
            _ => {
                let problem = Problem::new(written.place, format!("{} is not possible here", written.value));
                let expected = format!("expected a number from {} to {}", bounds.start(), bounds.end());
                self.problem(input, problem.label(expected));
                default
            }
        }
    }

    /// A list of `person:NAME`, `group:NAME` and `rota:NAME`; absent is nobody.
    fn subjects(&mut self, input: &Input, key: &str, list: &Words) -> Vec<Subject> {
        let subjects = self.approvers(input, key, list);
        for item in list.iter().flat_map(|list| &list.value).filter(|item| item.value == ACCOUNTABLE) {
            let problem = Problem::new(item.place, "only a policy can mean whoever is accountable");
            self.problem(input, problem.hint("name the person here: `person:NAME`"));
        }
        subjects
    }

    /// The same in a policy, where `accountable` is the person who answers for the system.
    fn approvers(&mut self, input: &Input, key: &str, list: &Words) -> Vec<Subject> {
        let Some(list) = list else { return Vec::new() };
        if list.value.is_empty() {
            let problem = Problem::new(list.place, format!("`{key}` is empty"));
            self.problem(input, problem.hint("name someone, or leave the key out if it is nobody"));
        }
        let mut subjects = Vec::new();
        for item in &list.value {
            let subject = match item.value.split_once(':') {
                Some(("person", name)) => {
                    self.known_as(input, Kind::Person, "person:", item.place, name);
                    Subject::Person(PersonId::new(name))
                }
                Some(("group", name)) => {
                    self.known_as(input, Kind::Group, "group:", item.place, name);
                    Subject::Group(GroupName::new(name))
                }
                Some(("rota", name)) => {
                    self.known_as(input, Kind::Rota, "rota:", item.place, name);
                    Subject::Rota(RotaName::new(name))
                }
                None if item.value == ACCOUNTABLE => Subject::Accountable,
                _ => {
                    let message = format!("{} names no person, group or rota", words::quoted(&item.value));
                    let problem =
                        Problem::new(item.place, message).label("expected person:NAME, group:NAME or rota:NAME");
                    let meant = [Kind::Group, Kind::Person, Kind::Rota]
                        .into_iter()
                        .find(|kind| self.declared(*kind, &item.value).is_some());
                    let problem = match meant {
                        Some(kind) => problem.hint(format!("did you mean `{kind}:{}`?", item.value)),
                        None => problem.nearest(&item.value, [ACCOUNTABLE]),
                    };
                    self.problem(input, problem);
                    continue;
                }
            };
            if subjects.contains(&subject) {
                let message = format!("{} stands in this list twice", words::quoted(&item.value));
                self.problem(input, Problem::new(item.place, message).hint("keep one of the two"));
            } else {
                subjects.push(subject);
            }
        }
        subjects
    }
}

fn not_a_name(name: &At<String>, what: &str) -> Problem {
    Problem::new(name.place, format!("{} cannot be a {what}", words::quoted(&name.value)))
}

/// Lower-case letters, digits and hyphens, a letter first, at most forty.
fn is_name(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == b'-')
        && name.len() <= LONGEST_NAME
}

/// The name of an environment variable: letters, digits and underscores, no digit first.
fn is_variable(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        && name.len() <= 128
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

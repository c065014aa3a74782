//! `resume`, `resume TRIGGER`.

use super::names::{self, Found, Known};
use super::{Command, Line, ParseError, Reading, words};
use crate::model::id::TriggerName;

pub(super) fn read(line: &Line<'_>) -> Reading {
    let rest = &line.words[1..];
    if rest.is_empty() {
        return Reading::Right(Command::Resume { trigger: None });
    }
    let known = || line.catalog.triggers.keys().map(|name| Known { name: name.as_str(), title: name.as_str() });
    let at = words::span(rest);
    let said = &line.text[at.clone()];
    let unknown = |did_you_mean: Option<&str>, known: Vec<TriggerName>| ParseError::UnknownTrigger {
        at: at.clone(),
        said: said.to_owned(),
        did_you_mean: did_you_mean.map(TriggerName::new),
        known,
    };
    match names::find(known(), said) {
        Found::One(name) => Reading::Right(Command::Resume { trigger: Some(TriggerName::new(name)) }),
        Found::Several(names) => Reading::Wrong(unknown(None, names.into_iter().map(TriggerName::new).collect())),
        Found::None(near) => {
            let error = unknown(near, line.catalog.triggers.keys().cloned().collect());
            // `resume the meeting` is talk; one word alone is meant as a name, perhaps of a trigger that is gone.
            let meant = rest.len() == 1 || near.is_some() || names::attempted(known(), said);
            if meant { Reading::Wrong(error) } else { Reading::Perhaps(error) }
        }
    }
}

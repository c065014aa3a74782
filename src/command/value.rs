//! One value for one parameter: known, within bounds, canonical, and nothing that a reader cannot see (I9).

use crate::model::catalog::{Catalog, Param, ParamKind};
use crate::model::command::ValueError;
use crate::model::glyph;

use super::names::{self, Found};

/// A value that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) why: ValueError,
    /// Whether what was said looks like an attempt at a value rather than like the rest of a sentence.
    pub(super) attempted: bool,
}

/// The canonical form of a value.
pub(super) fn read(catalog: &Catalog, param: &Param, said: &str) -> Result<String, Refused> {
    let sure = |why| Refused { why, attempted: true };
    let value = match &param.kind {
        ParamKind::Service { system } => {
            let scope = system.as_ref().and_then(|name| catalog.systems.get(name));
            match scope {
                None => one_of(names::services(catalog), said)?,
                Some(scope) => match one_of(names::services_of(scope), said) {
                    Ok(name) => name,
                    Err(refused) => {
                        // Perhaps a service, but of another system: that is worth saying.
                        let Found::One(other) = names::find(names::services(catalog), said) else {
                            return Err(refused);
                        };
                        let system = catalog
                            .systems
                            .values()
                            .find(|system| system.services.keys().any(|name| name.as_str() == other));
                        return Err(match system {
                            Some(system) => sure(ValueError::OtherSystem { system: system.name.clone() }),
                            None => refused,
                        });
                    }
                },
            }
        }
        ParamKind::System => one_of(names::systems(catalog), said)?,
        ParamKind::Choice(choices) => match choices.iter().find(|choice| *choice == said) {
            Some(choice) => choice.clone(),
            None => one_of(names::plain(choices.iter().map(String::as_str)), said)?,
        },
        ParamKind::Integer { min, max } => {
            let digits = said.strip_prefix('-').unwrap_or(said);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                let attempted = said.chars().any(|c| c.is_ascii_digit());
                return Err(Refused { why: ValueError::NotANumber, attempted });
            }
            match said.parse::<i64>() {
                Ok(number) if (*min..=*max).contains(&number) => number.to_string(),
                _ => return Err(sure(ValueError::OutOfBounds)),
            }
        }
        ParamKind::Text { max_length } => {
            if said.is_empty() {
                return Err(sure(ValueError::Empty));
            }
            if let Some(character) = said.chars().find(|c| glyph::hidden(*c)) {
                return Err(sure(ValueError::Hidden { character }));
            }
            let length = said.chars().count();
            if length > *max_length {
                return Err(sure(ValueError::TooLong { length }));
            }
            said.to_owned()
        }
    };
    if value.starts_with('-') && !param.may_begin_with_dash {
        return Err(sure(ValueError::LeadingDash));
    }
    Ok(value)
}

fn one_of<'a>(known: impl Iterator<Item = names::Known<'a>> + Clone, said: &str) -> Result<String, Refused> {
    match names::find(known.clone(), said) {
        Found::One(name) => Ok(name.to_owned()),
        Found::Several(names) => Err(Refused {
            why: ValueError::Ambiguous { names: names.into_iter().map(str::to_owned).collect() },
            attempted: true,
        }),
        Found::None(near) => Err(Refused {
            attempted: near.is_some() || names::attempted(known, said),
            why: match said {
                "" => ValueError::Empty,
                _ => ValueError::Unknown { did_you_mean: near.map(str::to_owned) },
            },
        }),
    }
}

//! `who is on call`, `who is on call for system a`, `who is on call for ops primary`. Only reads.

use crate::model::catalog::Catalog;
use crate::model::id::{RotaName, ServiceName, SystemName};

use super::names::{self, Found, Known};
use super::words::{self, Word};
use super::{Line, OnCallFor, ParseError, Reading, whoami};
use crate::model::command::Command;

pub(super) fn read(line: &Line<'_>) -> Reading {
    let is = |word: &Word<'_>, meant: &[&str]| meant.iter().any(|meant| word.is(meant));
    let rest = match &line.words[1..] {
        [i, on, call, rest @ ..] if is(i, &["is"]) && on.is("on") && is(call, &["call"]) => rest,
        [i, on_call, rest @ ..] if is(i, &["is"]) && is(on_call, &["on-call", "oncall"]) => rest,
        [i, on, ..] if is(i, &["is"]) && on.is("on") => return line.usage("who"),
        _ => return whoami::read(line),
    };
    match rest {
        [] => Reading::Right(Command::OnCall { of: None }),
        [preposition, name @ ..] if is(preposition, &["for", "of", "in"]) && !name.is_empty() => named(line, name),
        _ => line.usage("who"),
    }
}

fn known(catalog: &Catalog) -> impl Iterator<Item = Known<'_>> + Clone {
    names::rotas(catalog).chain(names::systems(catalog)).chain(names::services(catalog))
}

fn named(line: &Line<'_>, name: &[Word<'_>]) -> Reading {
    let catalog = line.catalog;
    let at = words::span(name);
    let said = line.text[at.clone()].to_owned();
    let wrong = |did_you_mean: Option<String>, known| {
        Reading::Wrong(ParseError::UnknownOnCall { at: at.clone(), said: said.clone(), did_you_mean, known })
    };
    match names::find(known(catalog), &said) {
        // No two of them have the same name.
        Found::One(name) => {
            let (rota, service) = (RotaName::new(name), ServiceName::new(name));
            let of = match (catalog.rotas.contains_key(&rota), catalog.service(&service)) {
                (true, _) => OnCallFor::Rota(rota),
                (false, Some((system, _))) => OnCallFor::System(system.name.clone()),
                (false, None) => OnCallFor::System(SystemName::new(name)),
            };
            Reading::Right(Command::OnCall { of: Some(of) })
        }
        Found::Several(names) => Reading::Wrong(ParseError::Ambiguous {
            at: line.span(),
            said: line.said().to_owned(),
            readings: names.into_iter().map(|name| format!("who is on call for {name}")).collect(),
        }),
        Found::None(near) => {
            let all = names::rotas(catalog).chain(names::systems(catalog)).map(|known| known.name.to_owned());
            // `who is on call for lunch` is no question to the bot unless it resembles one; with a slip it is.
            let error = wrong(near.map(str::to_owned), all.collect());
            match (error, near.is_some() || names::attempted(known(catalog), &said)) {
                (Reading::Wrong(error), false) => Reading::Perhaps(error),
                (reading, _) => reading,
            }
        }
    }
}

//! What follows a word that decides something: `[7K3F] because …`. The reason is the rest of the line, whatever stands in it.

use crate::model::code::Code;

use super::words::Word;
use super::{Line, Reading, number};

/// The code, if one is named, and the reason, where `because` comes after `from` words and at most a code. `None`: there is no
/// `because` there. An error: what stands there is no code, or nothing follows.
pub(super) fn of(
    line: &Line<'_>,
    from: usize,
    command: &'static str,
) -> Option<Result<(Option<Code>, String), Reading>> {
    let said = line.raw.get(from..)?;
    let (code, reason) = match said {
        [because, rest @ ..] if is_because(because) => (None, rest),
        [code, because, rest @ ..] if is_because(because) => (Some(bare(code)), rest),
        _ => return None,
    };
    let code = match code.map_or(Ok(None), |code| number::code(line, command, &[code])) {
        Ok(code) => code,
        Err(reading) => return Some(Err(reading)),
    };
    Some(match reason.first() {
        Some(word) => Ok((code, line.rest_from(word).to_owned())),
        None => Err(line.usage(command)),
    })
}

fn is_because(word: &Word<'_>) -> bool {
    word.is("because") || word.is("because:")
}

/// The word without a comma at its end.
fn bare<'a>(word: &Word<'a>) -> Word<'a> {
    Word { text: word.text.strip_suffix(',').unwrap_or(word.text), ..*word }
}

//! `break glass because …`, `break glass 7K3F because …`. The reason is the rest of the line.

use super::{Command, Line, Reading, reason};

pub(super) fn read(line: &Line<'_>) -> Reading {
    if !line.raw.get(1).is_some_and(|word| word.is("glass")) {
        return Reading::NotMine;
    }
    match reason::of(line, 2, "break glass") {
        Some(Ok((code, reason))) => Reading::Right(Command::BreakGlass { code, reason }),
        Some(Err(reading)) => reading,
        // Sure to be meant for the bot: nothing happens without a reason, and whoever says it should know at once.
        None => match line.usage("break glass") {
            Reading::Perhaps(error) => Reading::Wrong(error),
            reading => reading,
        },
    }
}

//! The door to Slack: what Slack sends becomes our words, and our messages become what Slack takes.
//!
//! What lives here: everything that knows Slack's shapes. What does not: what is said (`text`, `flow`) and who may say it.
//! No type of Slack's leaves this folder. Reading what came in (`inbound`), setting what goes out (`text`) and the app's
//! manifest are pure; `api` is what speaks to Slack (`members` about people, `checkup` for whoever sets it up), `socket`
//! and `requests` are what listens, and `hand_over` is where both meet. `away` reads what was said while nobody listened.

pub mod api;
pub mod away;
pub mod checkup;
pub mod hand_over;
pub mod inbound;
pub mod manifest;
pub mod members;
pub mod requests;
mod rooms;
pub mod signed;
pub mod socket;
pub mod text;
mod words;

/// The platform part of Slack's addresses.
pub const PLATFORM: &str = "slack";

/// Whether a text can be the id of a person in Slack: `U…` or `W…`, capital letters and digits.
pub fn is_user_id(id: &str) -> bool {
    let mut letters = id.chars();
    let first = letters.next();
    matches!(first, Some('U' | 'W')) && id.len() > 1 && letters.all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_people_are_told_from_everything_else() {
        for id in ["U1", "W012A3CDE", "U0G9QF9C6", "USLACKBOT"] {
            assert!(is_user_id(id), "{id}");
        }
        for id in ["", "U", "B1", "C1", "u1", "U1>", "U1|boss", "!channel", "U 1", "Ü1"] {
            assert!(!is_user_id(id), "{id}");
        }
    }
}

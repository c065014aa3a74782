//! Every sentence that the bot says: one function each.
//!
//! What lives here: wording, and the few rules that keep what came from outside from forging it. What does not: deciding
//! what is said to whom (`flow`). Sentences are read on a lock screen at three in the morning: environment and deed first,
//! who must act named once, times absolute with zone, every refusal with what to do next.

pub mod access;
pub mod answer;
pub mod answered;
pub mod automation;
pub mod away;
pub mod choice;
pub mod command;
pub mod doctor;
pub mod duties;
pub mod echo;
pub mod flaps;
pub mod incident;
pub mod incident_room;
pub mod later;
pub mod life;
pub mod on_call;
pub mod passkey;
pub mod plan;
pub mod policy;
pub mod repeat;
pub mod report;
pub mod review;
pub mod time;
pub mod timeline;
pub mod visible;
pub mod waking;

/// An error with the chain of what caused it, for the operator's log: each speaks for itself only.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // Some libraries print their cause as part of themselves.
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

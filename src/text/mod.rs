//! Every sentence that the bot says, one function each. Imports `model` only.
//!
//! What lives here: words. What does not: deciding what to say to whom (`flow`), or how a platform marks it up (`chat`).
//! Whatever was said by people or printed by programs goes through [`visible`] before it stands in a sentence.

pub mod command;
pub mod visible;

//! TODO-land: cli.

pub mod client;
pub mod say;

//! TODO-land: cli.

pub mod client;
pub mod place;
pub mod plan;
pub mod say;
pub mod validate;

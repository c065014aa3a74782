//! TODO-land: engine.

pub mod redact;

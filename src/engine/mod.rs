//! TODO-land: engine.

pub mod plan;

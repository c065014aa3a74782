//! TODO-land: engine.

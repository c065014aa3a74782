//! TODO-land: store.
pub mod managed;

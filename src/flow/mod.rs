//! TODO-land: flow.

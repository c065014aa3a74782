//! TODO-land: store.

//! TODO-land: text.

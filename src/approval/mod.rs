//! TODO-land: approval.

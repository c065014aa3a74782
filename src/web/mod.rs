//! TODO-land: web.

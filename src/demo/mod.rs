//! TODO-land: demo.

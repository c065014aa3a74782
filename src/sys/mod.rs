//! TODO-land: sys.

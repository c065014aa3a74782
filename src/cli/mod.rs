//! TODO-land: cli.

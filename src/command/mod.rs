//! TODO-land: command.

//! TODO-land: chat.

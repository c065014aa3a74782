//! The built-in local room.

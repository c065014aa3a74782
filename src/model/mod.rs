//! Nouns, transitions and rights: no I/O, no clock, no SQL. Imports nothing of ours.

pub mod catalog;
pub mod chat;
pub mod id;
pub mod plan;

//! Nouns, transitions and rights: no I/O, no clock, no SQL. Imports nothing of ours.

pub mod allowed;
pub mod catalog;
pub mod chat;
pub mod code;
pub mod event;
pub mod id;
pub mod plan;
pub mod request;
pub mod run;

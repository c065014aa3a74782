//! Nouns, transitions and rights: no I/O, no clock, no SQL. Imports nothing of ours.

pub mod access;
pub mod allowed;
pub mod approval;
pub mod catalog;
pub mod chat;
pub mod choice;
pub mod code;
pub mod command;
pub mod escalation;
pub mod event;
pub mod glyph;
pub mod group;
pub mod id;
pub mod incident;
pub mod incident_room;
pub mod outlook;
pub mod phrase;
pub mod plan;
pub mod policy;
pub mod report;
pub mod request;
pub mod rota;
pub mod run;
pub mod signature;
pub mod trace;
pub mod until;

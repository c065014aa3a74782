//! countersign: a ChatOps bot with approval-gated runbooks.
//!
//! Someone speaks in [`chat`]. It becomes a [`command`]. The [`runbook`] is read (before, never during), the [`engine`]
//! makes a plan of it, [`approval`] grants that exact plan, the engine runs it, the [`ledger`] remembers it, and [`chat`]
//! tells everyone; [`metrics`] count what came of it. [`flow`] is the one room that knows all the others; nobody imports it.

pub mod model;

pub mod sys;

pub mod metrics;

pub mod listener;

pub mod passkey;

pub mod approval;
pub mod chat;
pub mod cli;
pub mod command;
pub mod config;
pub mod demo;
pub mod engine;
pub mod flow;
pub mod incident;
pub mod ledger;
pub mod runbook;
pub mod store;
pub mod text;
pub mod watch;
pub mod web;

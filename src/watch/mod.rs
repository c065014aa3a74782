//! Scheduled checks, and what a failing one may start by itself.
//!
//! What lives here: when a check is asked ([`schedule`]), what its results come to ([`state`]), what holds a trigger back
//! ([`brake`]), all of it pure; and taking a result with what it means for the service's incident ([`record`]). What does
//! not: asking (`engine`), rows (`store`), making a run and the loop that brings these together (`flow::watch`).
//!
//! Keeps I12: automation stops itself. A check that is unknown or cannot run never triggers anything, and a trigger that
//! has had its share, or does not help, waits for a person.

pub mod brake;
pub mod record;
pub mod schedule;
pub mod state;

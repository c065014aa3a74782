//! Who has agreed to what: the only maker of a [`Grant`].
//!
//! What lives here: asking people, deciding a request, ending one, countersigning a change of who may do what (`access`),
//! and deriving the proof that a run may start an attempt. What does not:
//! wording (`text`), finding out which request a line means (`flow`), starting anything (`engine`).
//!
//! Keeps I1 (a Grant is derived from the decisions inside the transaction that uses it, after the digest was computed anew
//! from the stored bytes), I7 (a requester never counts) and I13 (the policy is the plan's, frozen; what is live may only
//! narrow it).

mod access;
mod automatic;
mod break_glass;
mod decide;
mod duty;
mod free;
mod give;
mod grant;
mod later;
mod passkey;
mod repeat;
mod signature;
mod unasked;
mod wake;

pub use access::{
    Accepted, AccessAnswer, AccessOutcome, Because, Countersigners, Settled, Waits, accept, access_standing,
    countersign, countersigners, settle,
};
pub use automatic::{ByItself, grant_automatic, may_start_by_itself};
pub use break_glass::{Break, BreakOutcome, BreakRefusal, Review, break_glass, reviewers};
pub use decide::{
    BackOutcome, Begin, Decide, DecideOutcome, End, EndOutcome, Ending, Refused, Seen, StageOver, ask_late,
    begin_stage, decide, end, requesters_now, send_back, stage_expires_at, take_back, until, waits_for,
    who_could_answer, who_may_revoke,
};
pub use duty::{Delegated, ask_delegates, hand_over};
pub use free::{Free, Freed, free};
pub use grant::{After, Grant, GrantError, Step, derive};
pub use later::{Cleared, NowMade, clear};
pub use passkey::remove_passkey;
pub use repeat::{grant_under, take_cover};
pub use signature::{Give, NotSigned, Why, give, rule_of};
pub use unasked::{grant_unasked, may_start_unasked};
pub use wake::{LookOutcome, Rings, Standing, look, standing, wake};

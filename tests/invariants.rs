//! Attacks on the invariants: each test tries to break one, by chat, by a race, by a lost lease, or by writing the
//! database as no chat could. The tests are named after what they attack; `script/mutations` takes out the code that
//! keeps an invariant and expects them to fail.

#[path = "invariants/house.rs"]
mod house;
mod support;

#[path = "invariants/i01.rs"]
mod i01;
